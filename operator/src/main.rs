//! The tracepipe operator: one TracingPipeline in, one trace collector on every node out.
//!
//! The way of a resource: `reconcile` (one pass: observe, `validate`, `plan`, `apply`, `report`). What decides is pure:
//! `validate`, `amp`, `collector_config`, `plan`, `iam`, `managed_role`, `drift`, `ownership`, `rollout`, `report`. What acts is
//! thin: `apply`, `cluster` (calls to Kubernetes), `identity`, `aws` (calls to AWS), `watches`, `controller` (when to
//! look), `health`. Start reading at `reconcile::pass`.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::needless_pass_by_value,
        clippy::type_complexity,
        clippy::wildcard_enum_match_arm,
        reason = "tables of cases are written to be read"
    )
)]

mod amp;
mod apply;
mod aws;
mod cleanup;
mod cli;
mod clock;
mod cluster;
mod collector_config;
mod controller;
mod drift;
mod exporting;
mod facts;
mod health;
mod iam;
mod identity;
mod managed_role;
mod metrics;
mod names;
mod offline;
mod operator_policy;
mod ownership;
mod plan;
mod reconcile;
mod report;
mod rollout;
mod settings;
#[cfg(test)]
mod testing;
mod validate;
mod watches;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use futures_util::FutureExt;
use http::{HeaderValue, header};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use cli::{Arguments, CleanupArguments, Command, LogFormat, RunArguments};
use offline::Outcome;

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Run(arguments) => run(&arguments).map(|()| Outcome::Accepted),
        Command::Crd => print_crd(),
        Command::Validate(arguments) => offline::check(&arguments),
        Command::Render(arguments) => offline::render(&arguments),
        Command::IamPolicy(arguments) => offline::iam_policy(&arguments),
        Command::Cleanup(arguments) => cleanup(&arguments).map(|()| Outcome::Accepted),
    };
    match outcome {
        Ok(Outcome::Accepted) => ExitCode::SUCCESS,
        Ok(Outcome::Refused) => ExitCode::from(2),
        Err(error) => {
            // Nothing is left to tell it to when standard error is gone.
            let _unwritable = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn print_crd() -> anyhow::Result<Outcome> {
    let yaml = tracepipe_crds::generate::crd_yaml().map_err(anyhow::Error::msg)?;
    write!(std::io::stdout(), "{yaml}")?;
    Ok(Outcome::Accepted)
}

#[tokio::main(flavor = "current_thread")]
async fn run(arguments: &RunArguments) -> anyhow::Result<()> {
    init_log(arguments.log_level, arguments.log_format);
    let settings = arguments.settings()?;
    let health = health::Health::bind(arguments.health_address, arguments.metrics_address).await?;
    let client = connect().await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    controller::run(
        client,
        arguments.namespaces.clone(),
        settings,
        health,
        stop.boxed().shared(),
    )
    .await
}

#[tokio::main(flavor = "current_thread")]
async fn cleanup(arguments: &CleanupArguments) -> anyhow::Result<()> {
    init_log(LevelFilter::INFO, arguments.log_format);
    let client = connect().await?;
    let context = reconcile::Context::new(
        client.clone(),
        arguments.settings()?,
        controller::facts_of_pod(arguments.issuer()),
    );
    Box::pin(cleanup::run(&client, &context, arguments)).await
}

async fn connect() -> anyhow::Result<kube::Client> {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider was chosen before"))?;
    let mut config = kube::Config::infer()
        .await
        .context("no cluster: neither a service account nor a kubeconfig")?;
    // For audit logs and an administrator's flow schemas.
    let agent = HeaderValue::from_static(concat!("tracepipe-operator/", env!("CARGO_PKG_VERSION")));
    config.headers.push((header::USER_AGENT, agent));
    Ok(kube::Client::try_from(config)?)
}

/// The libraries' own lines would bury ours, and hold what ours do not: bodies of requests, credentials among them.
fn log_filter(level: LevelFilter) -> tracing_subscriber::filter::Targets {
    tracing_subscriber::filter::Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("tracepipe_operator", level)
}

fn init_log(level: LevelFilter, format: LogFormat) {
    let registry = tracing_subscriber::registry().with(log_filter(level));
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Json => registry.with(layer.json()).init(),
        LogFormat::Text => registry.with(layer).init(),
    }
}

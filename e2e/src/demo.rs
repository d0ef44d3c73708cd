//! `make demo`: the product in one command, without cluster or AWS.
//!
//! A strict fake X-Ray, a real collector with the configuration that the operator makes of a TracingPipeline, and under
//! half a minute of an order system's traffic between them. What it prints is what happened; [`verdict`] says whether that is what had to
//! happen.

mod report;
mod verdict;

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::account::Account;
use crate::clock;
use crate::collector::{CollectorProcess, Ended, Start};
use crate::fake_xray::{Credentials, FakeXray, Options as FakeOptions};
use crate::load::{self, LoadReport};
use crate::operator;
use crate::order_system::{self, Traffic};
use crate::process::Usage;
use crate::terminal::{Ink, Terminal, grouped};
pub use verdict::KeptTraces;

/// A test key: the fake knows it, AWS does not.
const KEY: (&str, &str) = ("AKIATRACEPIPEDEMO", "demo-secret-of-no-account");

/// For a TracingPipeline that names none; the fake takes signatures for any.
const REGION: &str = "us-east-1";

/// From the last request to the last decision and export: the seed's decision_wait of 10 s, a batch, and room for a
/// slow machine.
const SETTLE_LIMIT: Duration = Duration::from_secs(25);
/// A collector without spans ends a few seconds after SIGTERM; its grace period is the limit.
const STOP_LIMIT: Duration = Duration::from_secs(35);
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// What the demo is run with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The TracingPipeline; `tracepipe-operator render` makes the collector's configuration of it.
    pub pipeline: PathBuf,
    /// `None`: as [`crate::operator::find_binary`] finds it.
    pub operator: Option<PathBuf>,
    /// `None`: as [`crate::collector::find_binary`] finds it.
    pub collector: Option<PathBuf>,
    /// How many traces.
    pub traces: u32,
    /// Traces start within this time; the slowest end four seconds later.
    pub length: Duration,
    /// Another seed is another day in the shop.
    pub seed: u64,
    /// Have the fake forget one failed trace, to show that this is noticed.
    pub swallow_one_error: bool,
}

/// Everything that is known when it is over.
struct Run {
    traffic: Traffic,
    load: LoadReport,
    usage: Usage,
    elapsed: Duration,
    account: Account,
    ended: Ended,
    kept: KeptTraces,
    /// Equations that did not hold on the way.
    problems: Vec<String>,
}

/// Runs the demo and writes what happens to `out`.
///
/// The answer lists what should not have happened; empty means that all is well.
///
/// # Errors
/// When the demo itself cannot be run: no collector, no configuration, nowhere to write to.
pub async fn run(options: &Options, out: &mut impl Write, terminal: Terminal) -> anyhow::Result<Vec<String>> {
    let key = Credentials::new(KEY.0, KEY.1);
    let fake = FakeXray::start(FakeOptions::new(key))
        .await
        .context("starting the fake X-Ray")?;
    if options.swallow_one_error {
        fake.swallow_one_fault();
    }
    let operator = match &options.operator {
        Some(binary) => binary.clone(),
        None => operator::find_binary()?,
    };
    let folder = tempfile::tempdir().context("making a folder for the configuration")?;
    let config = folder.path().join("collector.yaml");
    let rendered = operator::render_collector_config(&operator, &options.pipeline, REGION).await?;
    std::fs::write(&config, rendered).with_context(|| format!("writing {}", config.display()))?;
    let start = Start {
        binary: options.collector.clone(),
        ..Start::new(&config)
    };
    // On a cluster the pod's own environment has it.
    let start = start.env("K8S_NODE_NAME", "this-machine");
    let collector = CollectorProcess::start(start.xray(fake.url(), KEY)).await?;
    heading(out, terminal, "Traffic")?;
    writeln!(
        out,
        "AWS X-Ray      {} (a strict fake: signatures and documents are checked)",
        fake.url()
    )?;
    writeln!(
        out,
        "collector      OTLP/gRPC {}, OTLP/HTTP {}",
        collector.grpc()?,
        collector.http()?
    )?;
    writeln!(
        out,
        "configuration  by `tracepipe-operator render` from {}",
        options.pipeline.display()
    )?;
    let services: Vec<&str> = order_system::Service::ALL
        .into_iter()
        .map(order_system::Service::name)
        .collect();
    writeln!(out, "services       {}", services.join(", "))?;

    let run = drive(options, &fake, collector, out).await?;
    report::write(out, terminal, &run)?;
    let problems = verdict::problems(&run, &fake);
    write_verdict(out, terminal, &run, &problems)?;
    Ok(problems)
}

async fn drive(
    options: &Options,
    fake: &FakeXray,
    collector: CollectorProcess,
    out: &mut impl Write,
) -> anyhow::Result<Run> {
    let senders = order_system::senders(collector.grpc()?, collector.http()?)?;
    let traffic = Traffic::new(options.seed, options.traces, options.length, clock::unix_nanos());
    writeln!(
        out,
        "sending        {} traces in {} requests, for {} s\n",
        grouped(traffic.stories.len() as u64),
        grouped(traffic.requests.len() as u64),
        traffic.length().as_secs(),
    )?;
    let started = clock::now();
    let requests = traffic.requests.clone();
    let mut load = tokio::spawn(async move { load::run(&senders, started, requests.into_iter()).await });

    let mut progress = Progress {
        started,
        problems: Vec::new(),
    };
    let mut tick = tokio::time::interval(PROGRESS_INTERVAL);
    let load = loop {
        tokio::select! {
            load = &mut load => break load?,
            _ = tick.tick() => progress.look(&collector, fake, out).await.map(|_| ())?,
        }
    };
    let settled = settle(&collector, fake, &mut tick, &mut progress, out).await?;
    let usage = collector.usage()?;
    let elapsed = clock::now().saturating_duration_since(started);
    writeln!(
        out,
        "\nstopping the collector: it stays for a few seconds while clients would move on ..."
    )?;
    out.flush()?;
    let ended = collector.terminate(STOP_LIMIT).await?;
    let kept = KeptTraces::read(&fake.accepted())?;
    Ok(Run {
        traffic,
        load,
        usage,
        elapsed,
        account: settled,
        ended,
        kept,
        problems: progress.problems,
    })
}

/// Looks until no span is inside of the collector any more, or for as long as that may take.
async fn settle(
    collector: &CollectorProcess,
    fake: &FakeXray,
    tick: &mut tokio::time::Interval,
    progress: &mut Progress,
    out: &mut impl Write,
) -> anyhow::Result<Account> {
    let limit = clock::now() + SETTLE_LIMIT;
    loop {
        tick.tick().await;
        let account = progress.look(collector, fake, out).await?;
        if account.spans_inside() == 0 {
            return Ok(account);
        }
        if clock::now() > limit {
            let inside = account.spans_inside();
            progress.problems.push(format!(
                "{} spans are still in the collector {} s after the last request",
                grouped(inside),
                SETTLE_LIMIT.as_secs()
            ));
            return Ok(account);
        }
    }
}

struct Progress {
    started: Instant,
    problems: Vec<String>,
}

impl Progress {
    /// One line of how it stands; an account that does not hold is remembered.
    async fn look(
        &mut self,
        collector: &CollectorProcess,
        fake: &FakeXray,
        out: &mut impl Write,
    ) -> anyhow::Result<Account> {
        let account = Account::parse(&collector.metrics().await?);
        let seconds = clock::now().saturating_duration_since(self.started).as_secs();
        if let Err(problems) = account.check() {
            self.problems.extend(
                problems
                    .into_iter()
                    .map(|problem| format!("after {seconds} s: {problem}")),
            );
        }
        let usage = collector.usage()?;
        writeln!(
            out,
            "{seconds:>4} s   came in {:>7}   buffered {:>7}   kept {:>6}   in X-Ray {:>6}   {:>3} MiB",
            grouped(account.sum("tracepipe_spans_accepted")),
            grouped(account.sum("tracepipe_spans_buffered")),
            grouped(account.sum("tracepipe_spans_kept")),
            grouped(fake.counts().documents_accepted),
            usage.rss_bytes / (1024 * 1024),
        )?;
        out.flush()?;
        Ok(account)
    }
}

fn heading(out: &mut impl Write, terminal: Terminal, text: &str) -> std::io::Result<()> {
    writeln!(out, "\n{}", terminal.paint(Ink::Bold, &format!("== {text} ==")))
}

fn write_verdict(
    out: &mut impl Write,
    terminal: Terminal,
    run: &Run,
    problems: &[String],
) -> std::io::Result<()> {
    heading(out, terminal, "Verdict")?;
    if problems.is_empty() {
        let owed = verdict::owed(run).count() as u64;
        let text = format!(
            "All {} traces that had to be kept are in X-Ray, complete.",
            grouped(owed)
        );
        return writeln!(out, "{}", terminal.paint(Ink::Green, &text));
    }
    writeln!(
        out,
        "{}",
        terminal.paint(Ink::Red, "This is not what should have happened:")
    )?;
    for problem in problems {
        writeln!(out, "- {problem}")?;
    }
    Ok(())
}

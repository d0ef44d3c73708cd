//! The fake AWS of a test cluster as a process of its own: see `tracepipe_e2e::fake_aws`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use http::Uri;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracepipe_e2e::fake_aws::{FakeAws, Options, names};
use tracepipe_e2e::fake_sts::{self, KeySource};
use tracepipe_e2e::fake_xray::TestTls;

/// Answers as AWS X-Ray, STS and IAM do until SIGTERM or SIGINT, then writes what X-Ray counted. The first line that it
/// writes is JSON: `aws` is the URL of the services, `control` the address it is steered by.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where AWS listens (HTTPS).
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where the fakes are steered (HTTP).
    #[arg(long, default_value = "127.0.0.1:0")]
    control: SocketAddr,
    /// Write the certificate of the authority (PEM), made at each start, here.
    #[arg(long)]
    ca_file: PathBuf,
    /// Where the API server publishes the keys of its service account tokens.
    #[arg(long)]
    jwks_url: Uri,
    /// The API server's authority (PEM).
    #[arg(long)]
    jwks_ca: Option<PathBuf>,
    /// A bearer token for the API server, if it shows its keys to nobody else.
    #[arg(long)]
    jwks_token_file: Option<PathBuf>,
    /// `iss` of the tokens.
    #[arg(long)]
    issuer: String,
    /// An audience that the identity provider is registered for.
    #[arg(long, default_value = "sts.amazonaws.com")]
    audience: Vec<String>,
    /// The region of the endpoints.
    #[arg(long)]
    region: String,
    /// The account in which roles and identity provider lie.
    #[arg(long, default_value = "111122223333")]
    account: String,
    /// Another DNS name that the certificate is valid for.
    #[arg(long)]
    name: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let of_aws = names(&arguments.region);
    let names: Vec<&str> = of_aws.iter().chain(&arguments.name).map(String::as_str).collect();
    let tls = TestTls::new(&names)?;
    tokio::fs::write(&arguments.ca_file, tls.ca_pem())
        .await
        .with_context(|| format!("writing {}", arguments.ca_file.display()))?;
    let fake = FakeAws::start(Options {
        sts: fake_sts::Options {
            account: arguments.account,
            region: arguments.region,
            issuer: arguments.issuer,
            audiences: arguments.audience,
            keys: KeySource {
                url: arguments.jwks_url,
                ca_file: arguments.jwks_ca,
                bearer_file: arguments.jwks_token_file,
            },
        },
        tls: Some(tls),
        listen: Some(arguments.listen),
        control: Some(arguments.control),
    })
    .await?;
    let addresses = json!({"aws": fake.url(), "control": fake.control()});
    writeln!(std::io::stdout(), "{addresses}")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    writeln!(
        std::io::stdout(),
        "{}",
        serde_json::to_string(&fake.xray().counts())?
    )?;
    Ok(())
}

//! The strict fake X-Ray as a process of its own: see `tracepipe_e2e::fake_xray`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracepipe_e2e::fake_xray::{Credentials, FakeXray, Options, TestTls, Verifier};

/// Answers as AWS X-Ray does until SIGTERM or SIGINT, then writes what it counted.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The one access key that is known.
    #[arg(long, default_value = "AKIATRACEPIPETEST")]
    access_key_id: String,
    /// Its secret.
    #[arg(long, default_value = "test-secret-of-no-account")]
    secret_access_key: String,
    /// Its session token, if it has one.
    #[arg(long)]
    session_token: Option<String>,
    /// The region that signatures must be made for [default: any].
    #[arg(long)]
    region: Option<String>,
    /// Speak HTTPS and write the authority's certificate (PEM) here.
    #[arg(long)]
    ca_file: Option<PathBuf>,
    /// A DNS name that the certificate is valid for, besides localhost and 127.0.0.1.
    #[arg(long, requires = "ca_file")]
    name: Vec<String>,
    /// Forget one trace with a fault after saying that it was stored.
    #[arg(long)]
    swallow_one_error: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let tls = match &arguments.ca_file {
        None => None,
        Some(file) => {
            let names: Vec<&str> = arguments.name.iter().map(String::as_str).collect();
            let tls = TestTls::new(&names)?;
            tokio::fs::write(file, tls.ca_pem())
                .await
                .with_context(|| format!("writing {}", file.display()))?;
            Some(tls)
        }
    };
    let key = Credentials {
        session_token: arguments.session_token,
        ..Credentials::new(arguments.access_key_id, arguments.secret_access_key)
    };
    let verifier = Verifier {
        credentials: vec![key],
        region: arguments.region,
        service: "xray".into(),
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let fake = FakeXray::start(Options {
        verifier,
        tls,
        listen: Some(arguments.listen),
    })
    .await?;
    if arguments.swallow_one_error {
        fake.swallow_one_fault();
    }
    writeln!(std::io::stdout(), "{}", fake.url())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&fake.counts())?)?;
    Ok(())
}

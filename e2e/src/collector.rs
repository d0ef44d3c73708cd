//! A collector process under test: ours, and upstream's beside it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, bail};
use http::StatusCode;
use serde_json::Value;

use crate::account::Account;
use crate::binary;
use crate::http_get::http_get;
use crate::metrics::Metrics;
use crate::process::{Process, Usage};

/// Names the collector's binary; without it the one beside this binary is taken.
pub const BINARY_VARIABLE: &str = "TRACEPIPE_COLLECTOR";

/// From start to ready. Debug builds on a busy machine need a second or two.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How often a condition on metrics is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Free ports for everything that listens, and a log that can be read.
const OVERRIDES: [&str; 6] = [
    "receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0",
    "receivers.otlp.protocols.http.endpoint=127.0.0.1:0",
    "service.telemetry.metrics.readers=[{pull: {exporter: {prometheus: {host: 127.0.0.1, port: 0}}}}]",
    "extensions.health_check.endpoint=127.0.0.1:0",
    "service.extensions=[health_check]",
    "service.telemetry.logs.encoding=json",
];

/// How a collector is started.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// `--config`.
    pub config: PathBuf,
    /// Further arguments.
    pub args: Vec<String>,
    /// Its environment; it gets nothing else but `PATH`.
    pub env: BTreeMap<String, String>,
    /// `None`: [`BINARY_VARIABLE`], else beside this binary.
    pub binary: Option<PathBuf>,
}

impl Start {
    /// With this configuration.
    pub fn new(config: impl Into<PathBuf>) -> Self {
        Self {
            config: config.into(),
            ..Self::default()
        }
    }

    /// With another setting of the configuration replaced: `path=YAML`.
    pub fn set(mut self, setting: impl Into<String>) -> Self {
        self.args.extend(["--set".to_owned(), setting.into()]);
        self
    }

    /// With a variable in its environment.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.insert(name.to_owned(), value.into());
        self
    }

    /// With the variables that send X-Ray documents to a fake: address, a test key, a region.
    pub fn xray(self, url: impl Into<String>, (access_key_id, secret_access_key): (&str, &str)) -> Self {
        self.env("AWS_ENDPOINT_URL_XRAY", url)
            .env("AWS_ACCESS_KEY_ID", access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", secret_access_key)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
    }
}

/// A collector of this project, ready to be used. It is killed when dropped.
#[derive(Debug)]
pub struct CollectorProcess {
    process: Process,
    listening: BTreeMap<String, SocketAddr>,
}

/// How a collector ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// The account that it logged last.
    pub account: Option<Account>,
    /// Its whole log.
    pub log: Vec<String>,
}

impl CollectorProcess {
    /// Starts it on free ports of 127.0.0.1 and waits until it says that it is ready.
    ///
    /// # Errors
    /// When there is no binary, or it ends or is not ready after 30 s; with the end of its log.
    pub async fn start(start: Start) -> anyhow::Result<Self> {
        let binary = start.binary.map_or_else(find_binary, Ok)?;
        let mut args = vec!["--config".to_owned(), start.config.display().to_string()];
        for setting in OVERRIDES {
            args.extend(["--set".to_owned(), setting.to_owned()]);
        }
        args.extend(start.args);
        let mut process = Process::start(&binary, &args, &start.env)?;
        let mut listening = BTreeMap::new();
        let ready = |line: &str| match Said::parse(line)? {
            Said::Listening { server, address } => {
                listening.insert(server, address);
                None
            }
            Said::Ready => Some(()),
            Said::Account(_) => None,
        };
        process
            .wait_for_line("ready collector", START_LIMIT, ready)
            .await?;
        Ok(Self { process, listening })
    }

    /// The OTLP/gRPC server.
    ///
    /// # Errors
    /// When the collector has none.
    pub fn grpc(&self) -> anyhow::Result<SocketAddr> {
        self.address("otlp_grpc")
    }

    /// The OTLP/HTTP server.
    ///
    /// # Errors
    /// When the collector has none.
    pub fn http(&self) -> anyhow::Result<SocketAddr> {
        self.address("otlp_http")
    }

    /// A server by the name it has in the log: `otlp_grpc`, `otlp_http`, `metrics`, `health`.
    ///
    /// # Errors
    /// When the collector has no such server.
    pub fn address(&self, server: &str) -> anyhow::Result<SocketAddr> {
        let address = self.listening.get(server).copied();
        address.with_context(|| format!("the collector does not listen for {server}: {:?}", self.listening))
    }

    /// The child itself: log, cost, signals.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What it has cost so far.
    ///
    /// # Errors
    /// When it has ended.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        self.process.usage()
    }

    /// Its metrics now.
    ///
    /// # Errors
    /// When the page cannot be fetched or read.
    pub async fn metrics(&self) -> anyhow::Result<Metrics> {
        metrics_of(self.address("metrics")?).await
    }

    /// Its account now.
    ///
    /// # Errors
    /// As [`CollectorProcess::metrics`], and every equation that does not hold.
    pub async fn checked_account(&self) -> anyhow::Result<Account> {
        let account = Account::parse(&self.metrics().await?);
        account
            .check()
            .map_err(|problems| anyhow::anyhow!("the account: {}", problems.join("; ")))?;
        Ok(account)
    }

    /// Status and body of a path of its health server.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn health(&self, path: &str) -> anyhow::Result<(StatusCode, String)> {
        http_get(self.address("health")?, path).await
    }

    /// Waits until the account fulfils `condition`; every snapshot on the way must hold.
    ///
    /// # Errors
    /// When `limit` passes before, or a snapshot does not hold.
    pub async fn wait_until(
        &self,
        what: &str,
        limit: Duration,
        condition: impl Fn(&Account) -> bool,
    ) -> anyhow::Result<Account> {
        let waiting = async {
            loop {
                let account = self.checked_account().await?;
                if condition(&account) {
                    return anyhow::Ok(account);
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        match tokio::time::timeout(limit, waiting).await {
            Ok(account) => account,
            Err(_) => bail!("no {what} in {limit:?}:\n{:#?}", self.checked_account().await),
        }
    }

    /// SIGTERM; waits for the end and reads the last account.
    ///
    /// # Errors
    /// When it has not ended after `limit`.
    pub async fn terminate(mut self, limit: Duration) -> anyhow::Result<Ended> {
        let status = self.process.terminate(limit).await?;
        Ok(self.ended(status))
    }

    /// Waits for an end that something else causes.
    ///
    /// # Errors
    /// When it has not ended after `limit`.
    pub async fn wait(mut self, limit: Duration) -> anyhow::Result<Ended> {
        let status = self.process.wait(limit).await?;
        Ok(self.ended(status))
    }

    fn ended(&self, status: ExitStatus) -> Ended {
        let log = self.process.log();
        let account = account_in_log(log.iter().map(String::as_str));
        Ended { status, account, log }
    }
}

/// The account that a collector logged last, at its end.
pub fn account_in_log<'a>(log: impl DoubleEndedIterator<Item = &'a str>) -> Option<Account> {
    let figures = log.rev().find_map(|line| match Said::parse(line)? {
        Said::Account(text) => Metrics::parse(&text).ok(),
        Said::Listening { .. } | Said::Ready => None,
    })?;
    Some(Account::parse(&figures))
}

/// The upstream collector, or a distribution of it: the oracle.
#[derive(Debug)]
pub struct OtelcolPeer {
    process: Process,
    // Removed when the peer is dropped.
    _config: tempfile::NamedTempFile,
}

/// How the upstream collector is started.
#[derive(Debug, Clone)]
pub struct PeerStart<'a> {
    /// The program.
    pub binary: &'a Path,
    /// The text of its configuration.
    pub config: &'a str,
    /// Where its configuration makes it listen. It does not say which port it took, so take one of [`free_address`].
    pub otlp: SocketAddr,
    /// Further arguments.
    pub args: Vec<String>,
    /// Its environment; it gets nothing else but `PATH`.
    pub env: BTreeMap<String, String>,
}

impl<'a> PeerStart<'a> {
    /// Without further arguments and environment.
    pub fn new(binary: &'a Path, config: &'a str, otlp: SocketAddr) -> Self {
        Self {
            binary,
            config,
            otlp,
            args: Vec::new(),
            env: BTreeMap::new(),
        }
    }

    /// Starts it and waits until something accepts connections.
    ///
    /// # Errors
    /// When it cannot be started, ends, or is not there after 30 s.
    pub async fn start(self) -> anyhow::Result<OtelcolPeer> {
        let file = tempfile::Builder::new().suffix(".yaml").tempfile()?;
        std::fs::write(file.path(), self.config)?;
        let mut args = vec!["--config".to_owned(), file.path().display().to_string()];
        args.extend(self.args);
        let mut process = Process::start(self.binary, &args, &self.env)?;
        let waiting = async {
            while tokio::net::TcpStream::connect(self.otlp).await.is_err() {
                if let Some(status) = process.ended()? {
                    bail!("{} ended with {status}", self.binary.display());
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
            anyhow::Ok(())
        };
        let started = match tokio::time::timeout(START_LIMIT, waiting).await {
            Ok(started) => started,
            Err(_) => Err(anyhow::anyhow!("nothing listens on {}", self.otlp)),
        };
        started.with_context(|| format!("starting the upstream collector:\n{}", process.log_tail(30)))?;
        Ok(OtelcolPeer {
            process,
            _config: file,
        })
    }
}

impl OtelcolPeer {
    /// Starts `binary` with a configuration: see [`PeerStart`].
    ///
    /// # Errors
    /// As [`PeerStart::start`].
    pub async fn start(
        binary: &Path,
        config: &str,
        otlp: SocketAddr,
        env: &BTreeMap<String, String>,
    ) -> anyhow::Result<Self> {
        let start = PeerStart {
            env: env.clone(),
            ..PeerStart::new(binary, config, otlp)
        };
        start.start().await
    }

    /// The child itself: log, cost, signals.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The metrics page at an address that its configuration names.
    ///
    /// # Errors
    /// When the page cannot be fetched or read.
    pub async fn metrics(&self, at: SocketAddr) -> anyhow::Result<Metrics> {
        metrics_of(at).await
    }

    /// SIGTERM; waits for the end.
    ///
    /// # Errors
    /// When it has not ended after `limit`.
    pub async fn terminate(mut self, limit: Duration) -> anyhow::Result<(ExitStatus, Vec<String>)> {
        let status = self.process.terminate(limit).await?;
        Ok((status, self.process.log()))
    }
}

/// An address of 127.0.0.1 that nobody listened on a moment ago.
///
/// # Errors
/// When no port is free.
pub fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// The binary that [`BINARY_VARIABLE`] names, else the one near this program.
///
/// # Errors
/// When there is none.
pub fn find_binary() -> anyhow::Result<PathBuf> {
    binary::find(BINARY_VARIABLE, "tracepipe-collector")
}

async fn metrics_of(address: SocketAddr) -> anyhow::Result<Metrics> {
    let (status, text) = http_get(address, "/metrics").await?;
    if status != StatusCode::OK {
        bail!("/metrics answered {status}");
    }
    Metrics::parse(&text)
}

/// The lines of the collector's log that are an interface.
enum Said {
    Listening { server: String, address: SocketAddr },
    Ready,
    Account(String),
}

impl Said {
    fn parse(line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        let fields = line.get("fields")?;
        let text = |name: &str| fields.get(name)?.as_str();
        match text("message")? {
            "listening" => Some(Self::Listening {
                server: text("server")?.to_owned(),
                address: text("address")?.parse().ok()?,
            }),
            "ready" => Some(Self::Ready),
            "account" => Some(Self::Account(text("account")?.to_owned())),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "collector/tests.rs"]
mod tests;

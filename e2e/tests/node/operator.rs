//! An operator of a test's own, as a process of this machine: with other settings than Helm's, or to be killed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use http::StatusCode;
use tracepipe_e2e::http_get::http_get;
use tracepipe_e2e::operator::find_binary;
use tracepipe_e2e::process::Process;

/// From start to the first pass.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A running operator. It is killed when dropped.
pub(crate) struct OwnOperator {
    process: Process,
    metrics: SocketAddr,
}

/// A port that is free now.
fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

impl OwnOperator {
    /// Looks after one namespace, as the cluster's administrator.
    pub(crate) async fn start(namespace: &str, args: &[&str]) -> anyhow::Result<Self> {
        Self::start_with(namespace, args, BTreeMap::new()).await
    }

    /// The same, with variables.
    pub(crate) async fn start_with(
        namespace: &str,
        args: &[&str],
        env: BTreeMap<String, String>,
    ) -> anyhow::Result<Self> {
        let administrator = std::env::var("KUBECONFIG").context("KUBECONFIG")?;
        Self::start_as(Path::new(&administrator), namespace, args, env).await
    }

    /// The same, as somebody else.
    pub(crate) async fn start_as(
        kubeconfig: &Path,
        namespaces: &str,
        args: &[&str],
        mut env: BTreeMap<String, String>,
    ) -> anyhow::Result<Self> {
        let metrics = free_port()?;
        let mut all = ["run", "--namespaces", namespaces, "--log-level", "debug"]
            .map(str::to_owned)
            .to_vec();
        all.extend(
            [
                "--health-address",
                "127.0.0.1:0",
                "--metrics-address",
                &metrics.to_string(),
            ]
            .map(str::to_owned),
        );
        if !args.contains(&"--image-pull-policy") {
            all.extend(["--image-pull-policy", "Never"].map(str::to_owned));
        }
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        env.insert("KUBECONFIG".to_owned(), kubeconfig.display().to_string());
        let mut process = Process::start(&find_binary()?, &all, &env)?;
        let connected = |line: &str| line.contains("connected to the API server").then_some(());
        process
            .wait_for_line("connected operator", START_LIMIT, connected)
            .await?;
        Ok(Self { process, metrics })
    }

    /// What it wrote so far.
    pub(crate) fn log(&self) -> String {
        self.process.log().join("\n")
    }

    /// What it counts.
    pub(crate) async fn metrics(&self) -> anyhow::Result<String> {
        let (status, text) = http_get(self.metrics, "/metrics").await?;
        anyhow::ensure!(status == StatusCode::OK, "{status}: {text}");
        Ok(text)
    }

    /// Resident memory: now and at most, in MiB.
    pub(crate) fn memory_mib(&self) -> anyhow::Result<(f64, f64)> {
        let usage = self.process.usage()?;
        let mib = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
        Ok((mib(usage.rss_bytes), mib(usage.rss_peak_bytes)))
    }

    /// Ends it as the kernel does when memory is short.
    pub(crate) fn kill(self) {
        drop(self.process);
    }
}

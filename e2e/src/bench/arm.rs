//! The two collectors that are compared, each as a process under load.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::task::JoinHandle;

use crate::account::Account;
use crate::bench::machine::{self, Busy};
use crate::bench::setup::{Places, Setup};
use crate::clock;
use crate::collector::{CollectorProcess, OtelcolPeer, Start, free_address};
use crate::metrics::Metrics;

/// 5 s in which a collector stays for its clients, and its flush.
const STOP_LIMIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Whose collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arm {
    /// This project's.
    Ours,
    /// The upstream project's.
    Upstream,
}

impl Arm {
    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "tracepipe",
            Self::Upstream => "upstream",
        }
    }
}

/// What a collector is loaded with, and counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Spans,
    /// Data points; then "spans" means them in [`Look`] and [`Books`].
    Points,
}

/// What all runs share.
#[derive(Debug, Clone)]
pub struct Bench {
    /// Our collector.
    pub ours: PathBuf,
    /// Upstream's, unless only ours is measured.
    pub upstream: Option<PathBuf>,
    /// Upstream's v0.120.0 with its X-Ray exporter, for the scenarios that send to X-Ray.
    pub upstream_xray: Option<PathBuf>,
    /// The text of `deploy/examples/otlp-out.yaml`.
    pub base: String,
    /// Start scripts and configurations lie here.
    pub scratch: PathBuf,
    /// The collector's core, when processes can be pinned.
    pub core: Option<u32>,
}

/// A collector under load. It is killed when dropped.
pub struct Collector {
    process: Child,
    pid: u32,
    signal: Signal,
    http: SocketAddr,
    grpc: SocketAddr,
    /// From the start of the process to the first accepted connection.
    pub ready_after: Duration,
    memory: Arc<Mutex<Vec<u64>>>,
    sampler: JoinHandle<()>,
    _config: tempfile::NamedTempFile,
}

enum Child {
    Ours(CollectorProcess),
    Upstream { peer: OtelcolPeer, metrics: SocketAddr },
}

/// One look at everything that is measured.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// When.
    pub at: Instant,
    /// Spans that the collector took in so far.
    pub received: u64,
    /// Its CPU time.
    pub cpu: Duration,
    /// Its resident memory, in bytes.
    pub rss: u64,
    /// The most it ever was, in bytes.
    pub rss_peak: u64,
    /// Who else was busy.
    pub busy: Busy,
}

/// What a collector counted, in the same words for both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Books {
    /// Spans taken in.
    pub received: u64,
    /// Spans (upstream) or requests (ours) that were refused.
    pub refused: u64,
    /// Spans that were lost: not decided, or not delivered.
    pub lost: u64,
    /// Spans of traces that were kept (ours), or that exporters have sent (upstream).
    pub kept: u64,
    /// Traces that were decided (upstream); spans that are still inside (ours).
    pub decided_or_inside: u64,
}

/// What a collector is started with.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The program.
    pub binary: &'a Path,
    /// Where its configuration makes it listen.
    pub places: Places,
    /// Its configuration.
    pub yaml: String,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// Settings of the configuration, `path=YAML`, that ours gets anew after those of [`Start`].
    pub settings: &'a [&'a str],
    /// What it counts.
    pub signal: Signal,
    /// A cgroup for it.
    pub cgroup: Option<&'a Path>,
}

/// What signs requests to a sink that does not look at the signature.
pub(crate) fn aws_environment() -> BTreeMap<String, String> {
    [
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        (
            "AWS_SECRET_ACCESS_KEY",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        ),
        ("AWS_REGION", "us-east-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// What a program in Go is told of its core and its memory.
pub(crate) fn go_environment(memory: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("GOMAXPROCS".to_owned(), "1".to_owned()),
        ("GOMEMLIMIT".to_owned(), memory.to_owned()),
    ])
}

impl Places {
    /// Ours takes free ports itself and says which; for upstream free ones are looked for.
    ///
    /// # Errors
    /// When no port is free.
    pub(crate) fn of(arm: Arm, sink: SocketAddr) -> std::io::Result<Self> {
        let any = || match arm {
            Arm::Ours => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            Arm::Upstream => free_address(),
        };
        Ok(Self {
            grpc: any()?,
            http: any()?,
            metrics: any()?,
            sink,
        })
    }
}

impl Bench {
    /// Starts one.
    ///
    /// # Errors
    /// When it does not start, with the end of its log.
    pub async fn start(
        &self,
        arm: Arm,
        setup: &Setup,
        sink: SocketAddr,
        cgroup: Option<&Path>,
    ) -> anyhow::Result<Collector> {
        let places = Places::of(arm, sink)?;
        let env = match arm {
            Arm::Ours => BTreeMap::new(),
            Arm::Upstream => go_environment(&setup.gomemlimit()),
        };
        let launch = Launch {
            binary: self.binary(arm)?,
            places,
            yaml: setup.yaml(&self.base, &places)?,
            env,
            settings: &[],
            signal: Signal::Spans,
            cgroup,
        };
        self.launch(arm, launch).await
    }

    /// The collector.
    ///
    /// # Errors
    /// When upstream's is not there.
    pub(crate) fn binary(&self, arm: Arm) -> anyhow::Result<&Path> {
        match arm {
            Arm::Ours => Ok(&self.ours),
            Arm::Upstream => self.upstream.as_deref().context("there is no upstream collector"),
        }
    }

    /// The collector that sends to X-Ray.
    ///
    /// # Errors
    /// When upstream's is not there.
    pub(crate) fn xray_binary(&self, arm: Arm) -> anyhow::Result<&Path> {
        match arm {
            Arm::Ours => Ok(&self.ours),
            Arm::Upstream => self
                .upstream_xray
                .as_deref()
                .context("there is no upstream collector with an X-Ray exporter"),
        }
    }

    /// Starts one with any configuration.
    ///
    /// # Errors
    /// As [`Bench::start`].
    pub async fn launch(&self, arm: Arm, launch: Launch<'_>) -> anyhow::Result<Collector> {
        let Launch {
            binary,
            places,
            yaml,
            env,
            settings,
            signal,
            cgroup,
        } = launch;
        let config = tempfile::Builder::new()
            .suffix(".yaml")
            .tempfile_in(&self.scratch)?;
        std::fs::write(config.path(), &yaml)?;
        let script = machine::start_script(&self.scratch, binary, self.core, cgroup)?;
        let started = clock::now();
        let (process, pid, grpc, http) = match arm {
            Arm::Ours => {
                let start = Start {
                    binary: Some(script),
                    env,
                    ..Start::new(config.path())
                };
                let start = settings.iter().fold(start, |start, setting| start.set(*setting));
                let mut ours = CollectorProcess::start(start).await?;
                let (grpc, http, pid) = (ours.grpc()?, ours.http()?, ours.process().pid());
                (Child::Ours(ours), pid, grpc, http)
            }
            Arm::Upstream => {
                let mut peer = OtelcolPeer::start(&script, &yaml, places.grpc, &env).await?;
                let pid = peer.process().pid();
                let metrics = places.metrics;
                (Child::Upstream { peer, metrics }, pid, places.grpc, places.http)
            }
        };
        let memory = Arc::new(Mutex::new(Vec::new()));
        Ok(Collector {
            process,
            pid,
            signal,
            http,
            grpc,
            ready_after: clock::now().saturating_duration_since(started),
            sampler: tokio::spawn(sample_memory(pid, Arc::clone(&memory))),
            memory,
            _config: config,
        })
    }
}

async fn sample_memory(pid: u32, memory: Arc<Mutex<Vec<u64>>>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        let Ok((rss, _)) = machine::memory_of(pid) else {
            return;
        };
        memory.lock().unwrap_or_else(PoisonError::into_inner).push(rss);
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.sampler.abort();
    }
}

impl Collector {
    /// Its OTLP/gRPC server.
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Its OTLP/HTTP server.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Its resident memory now and at its peak, in bytes.
    ///
    /// # Errors
    /// When it has ended.
    pub fn memory(&self) -> anyhow::Result<(u64, u64)> {
        machine::memory_of(self.pid).context("the collector has ended")
    }

    /// Resident memory once a second since the start, in bytes.
    pub fn memory_series(&self) -> Vec<u64> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// CPU time so far.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        machine::cpu_of(&self.pid.to_string())
    }

    /// Looks at everything.
    ///
    /// # Errors
    /// When the collector has ended or does not answer.
    pub async fn look(&self) -> anyhow::Result<Look> {
        let received = self.books().await?.received;
        let (rss, rss_peak) = self.memory()?;
        Ok(Look {
            at: clock::now(),
            received,
            cpu: self.cpu()?,
            rss,
            rss_peak,
            busy: Busy::now()?,
        })
    }

    /// What it counted so far.
    ///
    /// # Errors
    /// When its metrics page cannot be read, or its own account does not hold.
    pub async fn books(&self) -> anyhow::Result<Books> {
        match &self.process {
            Child::Ours(ours) => {
                let account = ours.checked_account().await?;
                Ok(match self.signal {
                    Signal::Spans => our_books(&account),
                    Signal::Points => our_point_books(&account),
                })
            }
            Child::Upstream { peer, metrics } => {
                let page = peer.metrics(*metrics).await?;
                Ok(match self.signal {
                    Signal::Spans => upstream_books(&page),
                    Signal::Points => upstream_point_books(&page),
                })
            }
        }
    }

    /// Returns when every trace is decided and gone. Set a time limit around it.
    ///
    /// # Errors
    /// As [`Collector::books`].
    pub async fn settled(&self, traces: u64) -> anyhow::Result<()> {
        let mut tick = tokio::time::interval(POLL_INTERVAL);
        loop {
            tick.tick().await;
            let books = self.books().await?;
            let settled = match self.process {
                Child::Ours(_) => books.decided_or_inside == 0,
                Child::Upstream { .. } => books.decided_or_inside + books.lost >= traces,
            };
            if settled {
                return Ok(());
            }
        }
    }

    /// Asks it to end and waits for that.
    ///
    /// # Errors
    /// When it does not, or says that it failed.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.sampler.abort();
        let mut this = self;
        let process = match &mut this.process {
            Child::Ours(ours) => ours.process(),
            Child::Upstream { peer, .. } => peer.process(),
        };
        let status = process.terminate(STOP_LIMIT).await?;
        if !status.success() {
            bail!("it ended with {status}:\n{}", process.log_tail(10));
        }
        Ok(())
    }
}

fn our_books(account: &Account) -> Books {
    Books {
        received: account.sum("tracepipe_spans_accepted"),
        refused: account.sum("tracepipe_requests_refused"),
        lost: account.sum("tracepipe_spans_lost")
            + account.sum("tracepipe_spans_rejected")
            + account.sum("tracepipe_exporter_spans_lost"),
        kept: account.sum("tracepipe_spans_kept"),
        decided_or_inside: account.spans_inside(),
    }
}

fn our_point_books(account: &Account) -> Books {
    Books {
        received: account.sum("tracepipe_metric_points_accepted"),
        refused: account.sum("tracepipe_metric_requests_refused"),
        lost: account.sum("tracepipe_metric_points_lost")
            + account.sum("tracepipe_exporter_metric_points_dropped")
            + account.sum("tracepipe_exporter_metric_points_lost")
            + account.sum("tracepipe_exporter_samples_lost"),
        kept: account.sum("tracepipe_exporter_metric_points_exported"),
        decided_or_inside: account.metrics_inside(),
    }
}

fn upstream_point_books(page: &Metrics) -> Books {
    let sum = |name: &str| page.sum(name) as u64;
    Books {
        received: sum("otelcol_receiver_accepted_metric_points"),
        refused: sum("otelcol_receiver_refused_metric_points"),
        lost: sum("otelcol_exporter_send_failed_metric_points")
            + sum("otelcol_exporter_enqueue_failed_metric_points"),
        kept: sum("otelcol_exporter_sent_metric_points"),
        decided_or_inside: 0,
    }
}

fn upstream_books(page: &Metrics) -> Books {
    // One of the two: v0.120.0 writes the suffix that Prometheus asks for.
    let sum = |name: &str| (page.sum(name) + page.sum(&format!("{name}_total"))) as u64;
    Books {
        received: sum("otelcol_receiver_accepted_spans"),
        refused: sum("otelcol_receiver_refused_spans"),
        lost: sum("otelcol_exporter_send_failed_spans")
            + sum("otelcol_exporter_enqueue_failed_spans")
            + sum("otelcol_processor_tail_sampling_sampling_trace_dropped_too_early"),
        kept: sum("otelcol_exporter_sent_spans"),
        decided_or_inside: sum("otelcol_processor_tail_sampling_global_count_traces_sampled"),
    }
}

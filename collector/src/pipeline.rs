//! The one place that knows the order:
//!
//! ```text
//! receivers -> ingest (walk, tail_sampling, resource) ==channel==> batch -> queues -> exporters
//! ```
//!
//! Two owners, each a thread with a current-thread runtime: *ingest* (receivers, walk, table, store) and *export*
//! (batch, translation, signing, TLS). Between them one bounded channel; everything inside an owner is a plain call.
//! `ingest_owner.rs` and `export.rs` are the two, `tasks.rs` what the first does besides serving.
//! A [`Message::Snapshot`] goes down the same channel, behind every span released before it: so one snapshot of the
//! account is taken at one consistent point of both owners.
//!
//! With a pipeline for metrics there is a third owner, `metrics_owner.rs`, with a channel of its own:
//!
//! ```text
//! receivers ==channel==> metrics (batch, resource) -> queues -> exporters
//! ```
//!
//! A snapshot of its account is asked for at the same moment, and put beside the other by [`Snapshots::take`].

mod export;
mod ingest_owner;
mod metrics_owner;
mod tasks;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use socket2::{Domain, Socket, Type};
use tokio::sync::{mpsc, oneshot};
use tracepipe_config::{MetricsExporterKind, MetricsExporterSettings, Settings};

use crate::account::{Account, IngestAccount, MetricsAccount, SamplingFigures};
use crate::admin::{Admin, Health};
use crate::batcher::resource_edits;
use crate::clock::Clock;
use crate::exposition::account_text;
use crate::ingest::SampledTraces;
use crate::limiter::{MemoryLimiter, Sources};
use crate::metrics::{self, MetricsInlet};
use export::Export;
use ingest_owner::IngestOwner;
use metrics_owner::MetricsOwner;

/// What waits for an answer when nothing comes any more has this long: then it is given up and counted.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(8);

/// Pieces of kept traces between the owners, of 256 KiB or one larger trace each. Enough to keep export busy while ingest
/// decides, few enough to weigh little: a trace that finds the channel full stays in the table, where its bytes are
/// accounted for.
const CHANNEL_PIECES: usize = 16;

/// Long requests are inflated and walked one after the other on a thread aside: however many there are, they take one
/// core at most.
const INGEST_THREADS_ASIDE: usize = 1;

/// Connections that may wait to be accepted. The standard library's 128 are not enough when all pods of a node connect
/// again after a restart: the kernel then answers some of them with a reset.
const CONNECTS_WAITING_MAX: i32 = 1024;

/// Snapshots asked for at a time.
const SNAPSHOTS_MAX: usize = 8;

/// What goes from ingest to export.
enum Message {
    Traces(SampledTraces),
    Snapshot {
        ingest: Box<(IngestAccount, SamplingFigures)>,
        metrics: Option<oneshot::Receiver<MetricsAccount>>,
        reply: Reply,
    },
}

/// Where a snapshot goes: the account without metrics, and where those of the same moment will come from.
type Reply = oneshot::Sender<(Account, Option<oneshot::Receiver<MetricsAccount>>)>;

/// Asks for a snapshot of the account.
#[derive(Debug, Clone)]
pub struct Snapshots {
    requests: mpsc::Sender<Reply>,
}

/// The sockets, bound before anything runs so that their ports are known.
struct Sockets {
    grpc: Option<std::net::TcpListener>,
    http: Option<std::net::TcpListener>,
    metrics: Option<std::net::TcpListener>,
    health: std::net::TcpListener,
    /// For each exporter of the metrics pipeline; those that are scraped have one.
    scraped: Vec<Option<std::net::TcpListener>>,
}

/// The collector, built and not yet running.
pub struct Pipeline {
    settings: Settings,
    sockets: Sockets,
    limiter: MemoryLimiter,
    clock: Clock,
}

// === impl Pipeline ===

impl Pipeline {
    /// Binds the sockets.
    ///
    /// # Errors
    /// An address that cannot be bound, named with its setting.
    pub fn build(settings: Settings) -> anyhow::Result<Self> {
        let otlp = &settings.otlp;
        let sockets = Sockets {
            grpc: otlp
                .grpc
                .as_ref()
                .map(|grpc| {
                    bind(
                        "otlp_grpc",
                        "receivers.otlp.protocols.grpc.endpoint",
                        grpc.endpoint,
                    )
                })
                .transpose()?,
            http: otlp
                .http
                .as_ref()
                .map(|http| {
                    bind(
                        "otlp_http",
                        "receivers.otlp.protocols.http.endpoint",
                        http.endpoint,
                    )
                })
                .transpose()?,
            metrics: settings
                .telemetry
                .metrics
                .map(|address| bind("metrics", "service.telemetry.metrics", address))
                .transpose()?,
            health: bind(
                "health",
                "extensions.health_check.endpoint",
                settings.telemetry.health,
            )?,
            scraped: settings
                .metrics
                .iter()
                .flat_map(|metrics| &metrics.exporters)
                .map(bind_scraped)
                .collect::<anyhow::Result<_>>()?,
        };
        let limiter = MemoryLimiter::new(&settings.memory_limiter);
        limiter.set_readings(Sources::find().read());
        if limiter.is_cut_by_group() {
            tracing::warn!(
                limit_bytes = limiter.ceiling(),
                soft_limit_bytes = limiter.soft_limit(),
                "processors.memory_limiter.limit_mib does not fit into the container's memory limit: the smaller one \
                 counts"
            );
        }
        Ok(Self {
            settings,
            sockets,
            limiter,
            clock: Clock::start(),
        })
    }

    /// Runs until it is told to stop and all is flushed. Gives the last account.
    ///
    /// # Errors
    /// An exporter that cannot be built; a runtime that cannot be started.
    pub fn run(mut self) -> anyhow::Result<Account> {
        let (traces, released) = mpsc::channel(CHANNEL_PIECES);
        let (requests, snapshot_requests) = mpsc::channel(SNAPSHOTS_MAX);
        let snapshots = Snapshots { requests };
        let health = Arc::new(Health::default());
        let (exporters_ready, exporters_are_ready) = oneshot::channel();
        let exporters = self.settings.exporters.len()
            + self
                .settings
                .metrics
                .as_ref()
                .map_or(0, |metrics| metrics.exporters.len());
        let queue_bytes_max = self.limiter.export_queue_bytes_max() / exporters.max(1) as u64;
        let (metrics_line, inlet) = self.spawn_metrics(queue_bytes_max)?.unzip();

        let export = Export {
            settings: self.settings.clone(),
            limiter: self.limiter.clone(),
            clock: self.clock,
            queue_bytes_max,
            released,
            admin: Admin {
                metrics: self.sockets.metrics,
                health_listener: self.sockets.health,
                health: Arc::clone(&health),
                snapshots,
                limiter: self.limiter.clone(),
                clock: self.clock,
            },
        };
        let export = std::thread::Builder::new()
            .name("export".into())
            .spawn(move || export.run(exporters_ready))
            .context("cannot start the export thread")?;

        let runtime = runtime(INGEST_THREADS_ASIDE)?;
        let local = tokio::task::LocalSet::new();
        let ingest = IngestOwner {
            grpc: self.sockets.grpc,
            http: self.sockets.http,
            settings: self.settings,
            limiter: self.limiter,
            clock: self.clock,
            health,
            metrics: inlet,
        };
        let (metrics_thread, metrics_are_ready) = metrics_line.unzip();
        let ran = local.block_on(&runtime, async {
            // Without exporters there is no use in taking spans.
            if exporters_are_ready.await.is_err() {
                return Ok(());
            }
            if let Some(ready) = metrics_are_ready
                && ready.await.is_err()
            {
                return Ok(());
            }
            // What a set of tasks blocks on is polled with each of them, so it must not be much.
            let ingest = tokio::task::spawn_local(ingest.run(traces, snapshot_requests));
            ingest.await.context("the ingest owner panicked")?
        });
        // Its tasks hold the channels open on which the other owners wait.
        drop(local);
        let account = export
            .join()
            .map_err(|_panic| anyhow::anyhow!("the export thread panicked"));
        let metrics = metrics_thread.map(|thread| {
            let joined = thread.join();
            joined.map_err(|_panic| anyhow::anyhow!("the metrics thread panicked"))
        });
        ran?;
        match metrics.map(Result::flatten).transpose() {
            Ok(metrics) => Ok(Account { metrics, ..account?? }),
            // If they could not begin, the export owner had to end without an account.
            Err(no_metrics) => {
                if let Ok(Ok(account)) = &account {
                    tracing::error!(
                        account = account_text(account),
                        "the metrics owner is gone: what it held is lost"
                    );
                }
                Err(no_metrics)
            }
        }
    }

    /// Starts the metrics owner, if there is a pipeline for metrics.
    fn spawn_metrics(&mut self, queue_bytes_max: u64) -> anyhow::Result<Option<(MetricsLine, MetricsInlet)>> {
        let Some(settings) = &self.settings.metrics else {
            return Ok(None);
        };
        let edits = resource_edits(&settings.resource);
        let (inlet, messages) = metrics::channel(&self.limiter, edits, self.clock);
        let owner = MetricsOwner {
            settings: settings.clone(),
            limiter: self.limiter.clone(),
            clock: self.clock,
            messages,
            queue_bytes_max,
            sockets: std::mem::take(&mut self.sockets.scraped),
        };
        let (ready, is_ready) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("metrics".into())
            .spawn(move || owner.run(ready))
            .context("cannot start the metrics thread")?;
        Ok(Some(((thread, is_ready), inlet)))
    }
}

/// The metrics owner's thread, and what tells that its exporters are built.
type MetricsLine = (JoinHandle<anyhow::Result<MetricsAccount>>, oneshot::Receiver<()>);

fn bind_scraped(exporter: &MetricsExporterSettings) -> anyhow::Result<Option<std::net::TcpListener>> {
    match &exporter.kind {
        MetricsExporterKind::Prometheus(prometheus) => {
            let setting = format!("exporters.{}.endpoint", exporter.id);
            bind(&exporter.id, &setting, prometheus.endpoint).map(Some)
        }
        MetricsExporterKind::RemoteWrite(_)
        | MetricsExporterKind::Otlp(_)
        | MetricsExporterKind::Debug(_) => Ok(None),
    }
}

fn bind(server: &str, setting: &str, address: std::net::SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    let listener = listen(address).with_context(|| format!("{setting}: cannot listen on {address}"))?;
    let bound = listener
        .local_addr()
        .with_context(|| format!("{setting}: {address}"))?;
    tracing::info!(server, address = %bound, "listening");
    Ok(listener)
}

/// As the standard library binds, but with room for [`CONNECTS_WAITING_MAX`] connections that wait to be accepted.
fn listen(address: std::net::SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restarted collector takes its port although connections of the one before are still fading.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(CONNECTS_WAITING_MAX)?;
    Ok(socket.into())
}

/// A runtime of one thread, with so many others for what would hold it up.
fn runtime(threads_aside: usize) -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(threads_aside)
        .build()
        .context("cannot start a runtime")
}

// === impl Snapshots ===

impl Snapshots {
    /// The account at one moment; none while the collector is going down.
    pub async fn take(&self) -> Option<Account> {
        let (reply, account) = oneshot::channel();
        self.requests.send(reply).await.ok()?;
        let (mut account, metrics) = account.await.ok()?;
        if let Some(metrics) = metrics {
            account.metrics = Some(metrics.await.ok()?);
        }
        Some(account)
    }
}

#[cfg(test)]
mod soak;

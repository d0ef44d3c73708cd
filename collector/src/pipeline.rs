//! The one place that knows the order:
//!
//! ```text
//! receivers -> ingest (walk, tail_sampling) ==channel==> batch, resource -> queues -> exporters
//! ```
//!
//! Two owners, each a thread with a current-thread runtime: *ingest* (receivers, walk, table, store) and *export*
//! (batch, translation, signing, TLS). Between them one bounded channel; everything inside an owner is a plain call.
//! A [`Message::Snapshot`] goes down the same channel, behind every span released before it: so one snapshot of the
//! account is taken at one consistent point of both owners.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracepipe_config::Settings;

use crate::account::{Account, IngestAccount, SamplingFigures, Transport};
use crate::admin::{Admin, Health};
use crate::batcher::{Batcher, SpanBatch};
use crate::clock::Clock;
use crate::exporter::{Exporter, SendingQueue};
use crate::exposition::account_text;
use crate::ingest::{Ingest, SampledTrace, SharedIngest};
use crate::limiter::MemoryLimiter;
use crate::process;
use crate::receiver::Server;
use crate::shutdown::{self, Draining};

/// Kept traces between the owners. Enough to keep export busy while ingest decides, few enough to weigh nothing:
/// a trace that finds the channel full stays in the table, where its bytes are accounted for.
const CHANNEL_TRACES: usize = 256;

/// A decision may come this much later than its deadline, so that one wake-up decides many traces.
const DECISION_SLACK: Duration = Duration::from_millis(10);

/// The ingest owner shows at least this often that it is alive.
const BEAT_INTERVAL: Duration = Duration::from_secs(5);

/// Connections that may wait to be accepted. The standard library's 128 are not enough when all pods of a node connect
/// again after a restart: the kernel then answers some of them with a reset.
const CONNECTS_WAITING_MAX: i32 = 1024;

/// Snapshots asked for at a time.
const SNAPSHOTS_MAX: usize = 8;

/// A batch that waits for an answer when the channel closes has this long: then it is given up and counted.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(8);

/// What goes from ingest to export.
enum Message {
    Trace(SampledTrace),
    Snapshot {
        ingest: Box<(IngestAccount, SamplingFigures)>,
        reply: oneshot::Sender<Account>,
    },
}

/// Asks for a snapshot of the account.
#[derive(Debug, Clone)]
pub struct Snapshots {
    requests: mpsc::Sender<oneshot::Sender<Account>>,
}

/// The sockets, bound before anything runs so that their ports are known.
struct Sockets {
    grpc: Option<std::net::TcpListener>,
    http: Option<std::net::TcpListener>,
    metrics: Option<std::net::TcpListener>,
    health: std::net::TcpListener,
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
        };
        let limiter = MemoryLimiter::new(&settings.memory_limiter);
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
    pub fn run(self) -> anyhow::Result<Account> {
        let (traces, released) = mpsc::channel(CHANNEL_TRACES);
        let (requests, snapshot_requests) = mpsc::channel(SNAPSHOTS_MAX);
        let snapshots = Snapshots { requests };
        let health = Arc::new(Health::default());
        let (exporters_ready, exporters_are_ready) = oneshot::channel();

        let export = Export {
            settings: self.settings.clone(),
            limiter: self.limiter.clone(),
            clock: self.clock,
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

        let runtime = runtime()?;
        let local = tokio::task::LocalSet::new();
        let ingest = IngestTasks {
            grpc: self.sockets.grpc,
            http: self.sockets.http,
            settings: self.settings,
            limiter: self.limiter,
            clock: self.clock,
            health,
        };
        let ran = local.block_on(&runtime, async {
            // Without exporters there is no use in taking spans.
            if exporters_are_ready.await.is_err() {
                return Ok(());
            }
            ingest.run(traces, snapshot_requests).await
        });
        let account = export
            .join()
            .map_err(|_panic| anyhow::anyhow!("the export thread panicked"))?;
        ran?;
        account
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

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")
}

// === impl Snapshots ===

impl Snapshots {
    /// The account at one moment; none while the collector is going down.
    pub async fn take(&self) -> Option<Account> {
        let (reply, account) = oneshot::channel();
        self.requests.send(reply).await.ok()?;
        account.await.ok()
    }
}

/// The ingest owner's tasks.
struct IngestTasks {
    grpc: Option<std::net::TcpListener>,
    http: Option<std::net::TcpListener>,
    settings: Settings,
    limiter: MemoryLimiter,
    clock: Clock,
    health: Arc<Health>,
}

// === impl IngestTasks ===

impl IngestTasks {
    async fn run(
        mut self,
        traces: mpsc::Sender<Message>,
        snapshots: mpsc::Receiver<oneshot::Sender<Account>>,
    ) -> anyhow::Result<()> {
        let ingest = Ingest::new(
            self.settings.tail_sampling.as_ref(),
            self.limiter.clone(),
            self.clock,
        );
        let ingest: SharedIngest = Rc::new(RefCell::new(ingest));
        let (close_receivers, closing) = watch::channel(false);
        let mut servers = JoinSet::new();
        for (transport, listener, settings) in [
            (Transport::Grpc, self.grpc.take(), &self.settings.otlp.grpc),
            (Transport::Http, self.http.take(), &self.settings.otlp.http),
        ] {
            if let (Some(listener), Some(settings)) = (listener, settings) {
                let listener = TcpListener::from_std(listener).context("a socket cannot be used")?;
                let server = Server::new(
                    transport,
                    listener,
                    settings,
                    Rc::clone(&ingest),
                    self.limiter.clone(),
                );
                servers.spawn_local(server.run(closing.clone()));
            }
        }
        let drained = Rc::new(Notify::new());
        let (stop_releasing, stop) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn_local(decide(Rc::clone(&ingest), self.clock));
        let interval = self.settings.memory_limiter.check_interval;
        tasks.spawn_local(watch_memory(
            self.limiter.clone(),
            interval,
            Arc::clone(&self.health),
            self.clock,
        ));
        let mut releasing = tokio::task::spawn_local(release(
            Rc::clone(&ingest),
            Outlet { traces, snapshots },
            Rc::clone(&drained),
            stop,
        ));
        self.limiter.set_base(process::resident_bytes());
        if self.limiter.leaves_no_room() {
            anyhow::bail!(
                "processors.memory_limiter: limit_mib less spike_limit_mib is below what the collector itself needs \
                 ({} MiB); every request would be refused",
                process::resident_bytes() / tracepipe_config::MIB
            );
        }
        self.health.set_ready(true);
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");

        let going_down = shutdown::run(Draining {
            ingest: Rc::clone(&ingest),
            servers,
            close_receivers,
            drained,
            health: self.health,
        });
        tokio::select! {
            stopped = going_down => stopped?,
            Some(ended) = tasks.join_next() => {
                ended.context("a task of the ingest owner failed")?;
                anyhow::bail!("a task of the ingest owner ended; the collector cannot go on");
            }
            ended = &mut releasing => {
                ended.context("the release task failed")?;
                anyhow::bail!("the export owner is gone; the collector cannot go on");
            }
        }
        stop_releasing.send_replace(true);
        ingest.borrow().released().notify_one();
        releasing.await.context("the release task failed")
    }
}

/// Decides traces when their time has come.
async fn decide(ingest: SharedIngest, clock: Clock) {
    let wake = ingest.borrow().deadline_changed();
    loop {
        let deadline = ingest.borrow().next_deadline();
        match deadline {
            None => wake.notified().await,
            Some(deadline) => {
                // Deadlines come in the order of the traces, so a new trace never makes the next one earlier.
                let pause = (deadline + DECISION_SLACK).saturating_sub(clock.now());
                tokio::time::sleep(pause).await;
                ingest.borrow_mut().run_decisions();
            }
        }
    }
}

/// What `release` sends into and is asked by.
struct Outlet {
    traces: mpsc::Sender<Message>,
    snapshots: mpsc::Receiver<oneshot::Sender<Account>>,
}

/// Hands kept traces to the export owner, one when there is room for one, and snapshots in their order. Ends when it
/// is told to stop and nothing is left.
async fn release(ingest: SharedIngest, mut outlet: Outlet, drained: Rc<Notify>, stop: watch::Receiver<bool>) {
    let changed = ingest.borrow().released();
    loop {
        // Room first, then the trace: nothing can be lost between "taken" and "sent".
        let Ok(permit) = outlet.traces.reserve().await else {
            return give_up(&ingest);
        };
        if let Ok(reply) = outlet.snapshots.try_recv() {
            permit.send(snapshot(&ingest, reply));
            continue;
        }
        let released = ingest.borrow_mut().pop_released();
        if let Some(trace) = released {
            permit.send(Message::Trace(trace));
            continue;
        }
        drop(permit);
        if ingest.borrow().is_empty() {
            drained.notify_waiters();
            if *stop.borrow() {
                break;
            }
        }
        tokio::select! {
            () = changed.notified() => {}
            Some(reply) = outlet.snapshots.recv() => {
                let Ok(permit) = outlet.traces.reserve().await else { return give_up(&ingest) };
                permit.send(snapshot(&ingest, reply));
            }
        }
    }
    // The last snapshot has no asker: the export owner gives it out when all is flushed.
    let (reply, _nobody) = oneshot::channel();
    if outlet.traces.send(snapshot(&ingest, reply)).await.is_err() {
        give_up(&ingest);
    }
}

fn snapshot(ingest: &SharedIngest, reply: oneshot::Sender<Account>) -> Message {
    let ingest = ingest.borrow();
    Message::Snapshot {
        ingest: Box::new((ingest.account.clone(), ingest.figures())),
        reply,
    }
}

fn give_up(ingest: &SharedIngest) {
    let mut ingest = ingest.borrow_mut();
    ingest.decide_all();
    ingest.lose_released("export_gone");
    // There is nobody to complete the account; this half is still true.
    let account = Account {
        ingest: ingest.account.clone(),
        sampling: ingest.figures(),
        exporters: Vec::new(),
    };
    tracing::error!(
        account = account_text(&account),
        "the export owner is gone: kept spans are lost"
    );
}

/// Reads the resident size, and shows that the ingest owner is alive.
async fn watch_memory(limiter: MemoryLimiter, every: Duration, health: Arc<Health>, clock: Clock) {
    // However rarely the resident size is asked for, the health endpoint must see signs of life.
    let mut ticks = tokio::time::interval(every.min(BEAT_INTERVAL));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        limiter.set_resident(process::resident_bytes());
        health.beat(clock.now());
    }
}

/// The export owner.
struct Export {
    settings: Settings,
    limiter: MemoryLimiter,
    clock: Clock,
    released: mpsc::Receiver<Message>,
    admin: Admin,
}

// === impl Export ===

impl Export {
    /// Runs until the channel closes and all is flushed. Gives the last account.
    fn run(self, ready: oneshot::Sender<()>) -> anyhow::Result<Account> {
        let runtime = runtime()?;
        tokio::task::LocalSet::new().block_on(&runtime, self.export(ready))
    }

    async fn export(mut self, ready: oneshot::Sender<()>) -> anyhow::Result<Account> {
        let mut consumers = JoinSet::new();
        let mut queues = Vec::with_capacity(self.settings.exporters.len());
        let queue_bytes_max =
            self.limiter.export_queue_bytes_max() / self.settings.exporters.len().max(1) as u64;
        for settings in &self.settings.exporters {
            let exporter = Exporter::build(settings, &self.limiter, queue_bytes_max).await?;
            queues.push(exporter.queue());
            exporter.spawn(&mut consumers);
        }
        let mut admin = JoinSet::new();
        self.admin.spawn(&mut admin)?;
        if ready.send(()).is_err() {
            anyhow::bail!("the ingest owner did not start");
        }
        let batcher = Batcher::new(
            self.settings.batch.as_ref(),
            &self.settings.resource,
            self.limiter,
        );
        let last = fill_queues(&mut self.released, batcher, &queues, self.clock).await;
        queues.iter().for_each(SendingQueue::close);
        let flushed = tokio::time::timeout(FLUSH_TIME_MAX, async {
            while let Some(ended) = consumers.join_next().await {
                if let Err(error) = ended {
                    tracing::error!(%error, "an exporter failed");
                }
            }
        });
        if flushed.await.is_err() {
            tracing::error!("not everything could be exported in time");
            // Dropping a consumer gives up what it was sending, and counts it.
            consumers.shutdown().await;
        }
        queues.iter().for_each(|queue| queue.abandon("shutdown"));
        let (ingest, sampling) = *last.context("the ingest owner ended without a last account")?;
        Ok(Account {
            ingest,
            sampling,
            exporters: queues.iter().map(SendingQueue::account).collect(),
        })
    }
}

/// Batches kept traces until the channel closes. Gives the ingest half of the last snapshot.
async fn fill_queues(
    released: &mut mpsc::Receiver<Message>,
    mut batcher: Batcher,
    queues: &[SendingQueue],
    clock: Clock,
) -> Option<Box<(IngestAccount, SamplingFigures)>> {
    let send = |batch: Option<Arc<SpanBatch>>| {
        if let Some(batch) = batch {
            queues.iter().for_each(|queue| queue.push(Arc::clone(&batch)));
        }
    };
    let mut last = None;
    loop {
        let due = batcher.due().map(|due| due.saturating_sub(clock.now()));
        let message = tokio::select! {
            biased;
            () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => {
                send(batcher.take());
                continue;
            }
            message = released.recv() => message,
        };
        match message {
            Some(Message::Trace(trace)) => {
                queues.iter().for_each(|queue| queue.expect(trace.span_count));
                batcher.push(clock.now(), &trace).into_iter().for_each(send);
            }
            Some(Message::Snapshot { ingest, reply }) => {
                let exporters = queues.iter().map(SendingQueue::account).collect();
                let (account, sampling) = ingest.as_ref().clone();
                // Who asked may have gone away meanwhile.
                drop(reply.send(Account {
                    ingest: account,
                    sampling,
                    exporters,
                }));
                last = Some(ingest);
            }
            None => {
                send(batcher.take());
                return last;
            }
        }
    }
}

//! The ingest owner: starts its tasks, and ends them in order.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tracepipe_config::Settings;

use super::tasks::{Outlet, decide, release, watch_memory, write_decisions};
use super::{Message, Reply};
use crate::account::Transport;
use crate::admin::Health;
use crate::batcher::resource_edits;
use crate::clock::Clock;
use crate::decision_log::{DecisionLog, DecisionWriter};
use crate::ingest::{Ingest, SharedIngest};
use crate::limiter::MemoryLimiter;
use crate::metrics::{MetricsInlet, SharedInlet};
use crate::process;
use crate::receiver::{Owners, Server};
use crate::shutdown::{self, Draining};

/// At the end the last decisions must be on the disk within this time.
const DECISIONS_WRITTEN_WITHIN: Duration = Duration::from_secs(1);

/// Receivers, walk, table and store.
pub(super) struct IngestOwner {
    pub(super) grpc: Option<std::net::TcpListener>,
    pub(super) http: Option<std::net::TcpListener>,
    pub(super) settings: Settings,
    pub(super) limiter: MemoryLimiter,
    pub(super) clock: Clock,
    pub(super) health: Arc<Health>,
    /// Where requests with metrics go, if there is a pipeline for them.
    pub(super) metrics: Option<MetricsInlet>,
}

// === impl IngestOwner ===

impl IngestOwner {
    /// Runs until it is told to stop and all is decided and released.
    pub(super) async fn run(
        mut self,
        traces: mpsc::Sender<Message>,
        snapshots: mpsc::Receiver<Reply>,
    ) -> anyhow::Result<()> {
        let (ingest, writer) = self.ingest()?;
        let ingest: SharedIngest = Rc::new(RefCell::new(ingest));
        let metrics: Option<SharedInlet> = self.metrics.take().map(Rc::new);
        let (close_receivers, closing) = watch::channel(false);
        let mut servers = JoinSet::new();
        for (transport, listener, settings) in [
            (Transport::Grpc, self.grpc.take(), &self.settings.otlp.grpc),
            (Transport::Http, self.http.take(), &self.settings.otlp.http),
        ] {
            if let (Some(listener), Some(settings)) = (listener, settings) {
                let listener = TcpListener::from_std(listener).context("a socket cannot be used")?;
                let owners = Owners {
                    ingest: Rc::clone(&ingest),
                    takes_traces: self.settings.takes_traces(),
                    metrics: metrics.clone(),
                };
                let server = Server::new(transport, listener, settings, owners, self.limiter.clone());
                servers.spawn_local(server.run(closing.clone()));
            }
        }
        let drained = Rc::new(Notify::new());
        let (stop_releasing, stop) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn_local(decide(Rc::clone(&ingest), self.clock));
        if let Some(writer) = &writer {
            tasks.spawn_local(write_decisions(Rc::clone(&ingest), Rc::clone(writer)));
        }
        let interval = self.settings.memory_limiter.check_interval;
        tasks.spawn_local(watch_memory(
            self.limiter.clone(),
            interval,
            Arc::clone(&self.health),
            self.clock,
        ));
        let mut releasing = tokio::task::spawn_local(release(
            Rc::clone(&ingest),
            Outlet {
                traces,
                gather: Outlet::gather_time(self.settings.batch.as_ref()),
                snapshots,
                decision_log: writer.as_ref().map(|writer| Arc::clone(writer.counters())),
                metrics: metrics.clone(),
            },
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
            metrics,
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
        releasing.await.context("the release task failed")?;
        // Last: spans are worth more than what is remembered of them, and disks may hang.
        if let Some(writer) = writer {
            tasks.shutdown().await;
            let (decisions, held) = ingest.borrow_mut().new_decisions();
            writer.write(decisions, held);
            if let Some(writer) = Rc::into_inner(writer) {
                writer.finish(DECISIONS_WRITTEN_WITHIN);
            }
        }
        Ok(())
    }

    /// Walk, table and store, with what is remembered of former runs.
    fn ingest(&self) -> anyhow::Result<(Ingest, Option<Rc<DecisionWriter>>)> {
        let sampling = self.settings.tail_sampling.as_ref();
        let log = sampling.and_then(|settings| {
            let folder = settings.decision_cache.directory.as_ref()?;
            Some(DecisionLog::open(folder, settings, rand::random()))
        });
        let seed = log.as_ref().map_or_else(rand::random, DecisionLog::seed);
        let edits = resource_edits(&self.settings.resource);
        let ingest = Ingest::seeded(sampling, edits, self.limiter.clone(), self.clock, seed);
        let mut ingest = ingest.context("tail_sampling cannot be used")?;
        let Some(log) = log else {
            return Ok((ingest, None));
        };
        let writer = log.restore(|record| ingest.restore(record));
        ingest.record_decisions();
        let writer = writer.context("cannot start the thread that writes decisions")?;
        Ok((ingest, Some(Rc::new(writer))))
    }
}

//! The metrics owner: batch, resource, exporters. A third thread, there only with a pipeline for metrics, so that neither
//! metrics nor traces wait for the others.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{mpsc, oneshot};
use tracepipe_config::MetricsSettings;

use super::{FLUSH_TIME_MAX, runtime};
use crate::account::{MetricsAccount, MetricsIngestAccount};
use crate::batcher::resource_edits;
use crate::clock::Clock;
use crate::exporter::{MetricsExporter, MetricsTasks, Room};
use crate::limiter::MemoryLimiter;
use crate::metrics::{MetricsBatch, MetricsBatcher, MetricsMessage};

/// Names are resolved and files read aside; each exporter has few of both.
const METRICS_THREADS_ASIDE: usize = 8;

/// What is sent when nothing comes any more must be taken within this time: a bit less than all there is, so that those who
/// send see its end themselves.
const SEND_TIME_MAX: Duration = FLUSH_TIME_MAX.saturating_sub(Duration::from_millis(500));

/// The metrics owner.
pub(super) struct MetricsOwner {
    pub(super) settings: MetricsSettings,
    pub(super) limiter: MemoryLimiter,
    pub(super) clock: Clock,
    pub(super) messages: mpsc::Receiver<MetricsMessage>,
    /// For each exporter.
    pub(super) queue_bytes_max: u64,
    /// For each exporter, bound for those that are scraped.
    pub(super) sockets: Vec<Option<std::net::TcpListener>>,
}

/// What runs: the batch that is being filled, the exporters, and what became of the data points on their way there.
pub(super) struct Line {
    batcher: MetricsBatcher,
    exporters: Vec<MetricsExporter>,
    account: MetricsAccount,
    clock: Clock,
}

// === impl MetricsOwner ===

impl MetricsOwner {
    /// Runs until the channel closes and all is flushed. Gives the last account.
    pub(super) fn run(self, ready: oneshot::Sender<()>) -> anyhow::Result<MetricsAccount> {
        let runtime = runtime(METRICS_THREADS_ASIDE)?;
        let local = tokio::task::LocalSet::new();
        // What a set of tasks blocks on is polled with each of them, so it must not be much.
        let metrics = local.spawn_local(self.metrics(ready));
        local
            .block_on(&runtime, metrics)
            .context("the metrics owner panicked")?
    }

    async fn metrics(mut self, ready: oneshot::Sender<()>) -> anyhow::Result<MetricsAccount> {
        let mut tasks = MetricsTasks::default();
        let mut exporters = Vec::with_capacity(self.settings.exporters.len());
        let limiter = &self.limiter;
        let room = Room::of(&self.settings.exporters, limiter, self.queue_bytes_max);
        for (settings, socket) in self.settings.exporters.iter().zip(self.sockets) {
            let exporter = MetricsExporter::build(settings, socket, limiter, room).await?;
            exporter.spawn(&mut tasks)?;
            exporters.push(exporter);
        }
        if ready.send(()).is_err() {
            anyhow::bail!("the ingest owner did not start");
        }
        let batcher = MetricsBatcher::new(
            self.settings.batch.as_ref(),
            resource_edits(&self.settings.resource),
            self.limiter.clone(),
        );
        let mut line = Line::new(batcher, exporters, self.clock);
        line.run(&mut self.messages).await;
        line.drain(&mut self.messages, tasks).await;
        Ok(line.account())
    }
}

// === impl Line ===

impl Line {
    /// An empty line.
    pub(super) fn new(batcher: MetricsBatcher, exporters: Vec<MetricsExporter>, clock: Clock) -> Self {
        Self {
            batcher,
            exporters,
            account: MetricsAccount::default(),
            clock,
        }
    }

    /// Takes what comes, until no request comes any more.
    pub(super) async fn run(&mut self, messages: &mut mpsc::Receiver<MetricsMessage>) {
        loop {
            let due = self.batcher.due().map(|due| due.saturating_sub(self.clock.now()));
            let message = tokio::select! {
                // What is there already goes with the batch that is due; if more comes all the time, batches fill up.
                biased;
                message = messages.recv() => message,
                () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => {
                    let batch = self.batcher.take();
                    self.hand_on(batch).await;
                    continue;
                }
            };
            match message {
                Some(MetricsMessage::Request(request)) => {
                    self.account.waiting += request.counted.points;
                    let mut request = self.batcher.edit(request);
                    let mut rest = request.rest();
                    while let Some(full) = self.batcher.fill(&mut rest) {
                        self.hand_on([full]).await;
                    }
                    self.lose("too_large", rest.lost());
                }
                Some(MetricsMessage::Snapshot { ingest, reply }) => self.answer(*ingest, reply),
                Some(MetricsMessage::Drain) | None => break,
            }
        }
        let batch = self.batcher.take();
        self.hand_on(batch).await;
    }

    /// Sends what waits, for [`FLUSH_TIME_MAX`] at most, and answers meanwhile and after it: until the channel closes.
    async fn drain(&mut self, messages: &mut mpsc::Receiver<MetricsMessage>, tasks: MetricsTasks) {
        let MetricsTasks {
            mut senders,
            services,
        } = tasks;
        self.exporters
            .iter()
            .for_each(|exporter| exporter.drain(SEND_TIME_MAX));
        let exporters = self.exporters.clone();
        let flush = async move {
            let flushed = tokio::time::timeout(FLUSH_TIME_MAX, async {
                while let Some(ended) = senders.join_next().await {
                    if let Err(error) = ended {
                        tracing::error!(%error, "an exporter of metrics failed");
                    }
                }
            });
            if flushed.await.is_err() {
                tracing::error!("not all metrics could be exported in time");
                // Dropping a consumer gives up what it was sending, and counts it.
                senders.shutdown().await;
            }
            exporters.iter().for_each(MetricsExporter::abandon);
            // The page of a scraper is there until now.
            drop(services);
        };
        let answer = async {
            while let Some(message) = messages.recv().await {
                match message {
                    MetricsMessage::Snapshot { ingest, reply } => self.answer(*ingest, reply),
                    // The servers have ended before; nothing that was accepted may be forgotten even so.
                    MetricsMessage::Request(request) => {
                        *self.account.lost.entry("shutdown").or_default() += request.counted.points;
                    }
                    MetricsMessage::Drain => {}
                }
            }
        };
        tokio::join!(flush, answer);
    }

    /// Data points that wait and get into no batch.
    fn lose(&mut self, reason: &'static str, points: u64) {
        if points > 0 {
            self.account.waiting -= points;
            *self.account.lost.entry(reason).or_default() += points;
        }
    }

    /// Gives batches to every exporter. Between two others have their turn: scrapes are answered, answers read.
    async fn hand_on(&mut self, batches: impl IntoIterator<Item = Arc<MetricsBatch>>) {
        for batch in batches {
            for exporter in &self.exporters {
                // What is being filled waits here, and nowhere else.
                exporter.expect(batch.points);
                exporter.push(&batch).await;
            }
            self.account.waiting -= batch.points;
            self.account.handed_on += batch.points;
            tokio::task::yield_now().await;
        }
    }

    fn answer(&mut self, ingest: MetricsIngestAccount, reply: oneshot::Sender<MetricsAccount>) {
        self.account.ingest = ingest;
        // Who asked may have gone away meanwhile.
        drop(reply.send(self.account()));
    }

    /// The account now, with the receivers' half as it came last.
    pub(super) fn account(&self) -> MetricsAccount {
        MetricsAccount {
            exporters: self.exporters.iter().map(MetricsExporter::account).collect(),
            ..self.account.clone()
        }
    }
}

#[cfg(test)]
mod tests;

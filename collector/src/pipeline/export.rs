//! The export owner: batch, queues, exporters, and the collector's own ports.

use std::sync::Arc;

use anyhow::Context;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tracepipe_config::Settings;

use super::{FLUSH_TIME_MAX, Message, runtime};
use crate::account::{Account, IngestAccount, SamplingFigures};
use crate::admin::Admin;
use crate::batcher::{Batcher, SpanBatch};
use crate::clock::Clock;
use crate::exporter::{Exporter, SendingQueue};
use crate::limiter::MemoryLimiter;

/// Names are resolved and files read aside; each exporter and its credentials have few of both.
const EXPORT_THREADS_ASIDE: usize = 8;

/// The export owner.
pub(super) struct Export {
    pub(super) settings: Settings,
    pub(super) limiter: MemoryLimiter,
    pub(super) clock: Clock,
    /// For each exporter.
    pub(super) queue_bytes_max: u64,
    pub(super) released: mpsc::Receiver<Message>,
    pub(super) admin: Admin,
}

// === impl Export ===

impl Export {
    /// Runs until the channel closes and all is flushed. Gives the last account.
    pub(super) fn run(self, ready: oneshot::Sender<()>) -> anyhow::Result<Account> {
        let runtime = runtime(EXPORT_THREADS_ASIDE)?;
        let local = tokio::task::LocalSet::new();
        // What a set of tasks blocks on is polled with each of them, so it must not be much.
        let export = local.spawn_local(self.export(ready));
        local
            .block_on(&runtime, export)
            .context("the export owner panicked")?
    }

    async fn export(mut self, ready: oneshot::Sender<()>) -> anyhow::Result<Account> {
        let mut consumers = JoinSet::new();
        let mut queues = Vec::with_capacity(self.settings.exporters.len());
        for settings in &self.settings.exporters {
            let exporter = Exporter::build(settings, &self.limiter, self.queue_bytes_max).await?;
            queues.push(exporter.queue());
            exporter.spawn(&mut consumers);
        }
        let mut admin = JoinSet::new();
        self.admin.spawn(&mut admin)?;
        if ready.send(()).is_err() {
            anyhow::bail!("the ingest owner did not start");
        }
        let batcher = Batcher::new(self.settings.batch.as_ref());
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
            metrics: None,
        })
    }
}

/// Batches kept traces until the channel closes. Gives the ingest half of the last snapshot.
pub(super) async fn fill_queues(
    released: &mut mpsc::Receiver<Message>,
    mut batcher: Batcher,
    queues: &[SendingQueue],
    clock: Clock,
) -> Option<Box<(IngestAccount, SamplingFigures)>> {
    let send = |batch: Arc<SpanBatch>| queues.iter().for_each(|queue| queue.push(Arc::clone(&batch)));
    let mut last = None;
    loop {
        let due = batcher.due().map(|due| due.saturating_sub(clock.now()));
        let message = tokio::select! {
            // What is there already goes with the batch that is due; if more comes all the time, batches fill up.
            biased;
            message = released.recv() => message,
            () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => {
                batcher.take().into_iter().for_each(send);
                continue;
            }
        };
        match message {
            Some(Message::Traces(released)) => {
                let spans = released.traces.iter().map(|trace| trace.span_count).sum();
                queues.iter().for_each(|queue| queue.expect(spans));
                batcher.push(released).into_iter().for_each(send);
            }
            Some(Message::Snapshot {
                ingest,
                metrics,
                reply,
            }) => {
                let exporters = queues.iter().map(SendingQueue::account).collect();
                let (account, sampling) = ingest.as_ref().clone();
                // Who asked may have gone away meanwhile.
                let account = Account {
                    ingest: account,
                    sampling,
                    exporters,
                    metrics: None,
                };
                drop(reply.send((account, metrics)));
                last = Some(ingest);
            }
            None => {
                batcher.take().into_iter().for_each(send);
                return last;
            }
        }
    }
}

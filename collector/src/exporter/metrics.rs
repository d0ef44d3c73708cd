//! The exporters of the metrics line. Those that send what came as it came (`otlp`, `debug`) have a queue of batches each, as
//! those of spans have; those that make series of it (`written.rs`, `scraped.rs`) do so at once, and hold what they made.

mod debug;
mod page;
mod scraped;
mod translated;
mod whole;
mod written;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tracepipe_config::{MetricsExporterKind, MetricsExporterSettings};

use crate::account::MetricsExporterAccount;
use crate::limiter::MemoryLimiter;
use crate::metrics::MetricsBatch;
use scraped::Scraped;
use whole::Whole;
use written::Written;

/// One exporter of the metrics pipeline; clones share it.
#[derive(Clone)]
pub enum MetricsExporter {
    /// Sends batches as they are.
    Whole(Whole),
    /// Makes series, and shows them.
    Scraped(Scraped),
    /// Makes samples, and sends them.
    Written(Written),
}

/// What an exporter may hold, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Of batches or samples that wait.
    pub queue_bytes_max: u64,
    /// Of what one that writes series remembers of them.
    pub series_bytes_max: u64,
}

/// The tasks of the exporters.
#[derive(Default)]
pub struct MetricsTasks {
    /// They end when their exporter is drained and has sent what it had.
    pub senders: JoinSet<()>,
    /// They go on to the end.
    pub services: JoinSet<()>,
}

// === impl Room ===

impl Room {
    /// Of one of these exporters, whose queue may hold so much.
    pub fn of(exporters: &[MetricsExporterSettings], limiter: &MemoryLimiter, queue_bytes_max: u64) -> Self {
        let writes = |it: &&MetricsExporterSettings| matches!(it.kind, MetricsExporterKind::RemoteWrite(_));
        let writers = exporters.iter().filter(writes).count() as u64;
        Self {
            queue_bytes_max,
            series_bytes_max: limiter.series_bytes_max(writers),
        }
    }
}

// === impl MetricsExporter ===

impl MetricsExporter {
    /// Prepares an exporter; nothing is connected yet. One that is scraped answers on `socket`.
    ///
    /// # Errors
    /// When something outside the configuration is missing: a file of certificate authorities, a region.
    pub async fn build(
        settings: &MetricsExporterSettings,
        socket: Option<std::net::TcpListener>,
        limiter: &MemoryLimiter,
        room: Room,
    ) -> anyhow::Result<Self> {
        let id = &settings.id;
        let queue_bytes_max = room.queue_bytes_max;
        Ok(match &settings.kind {
            MetricsExporterKind::Otlp(otlp) => Self::Whole(Whole::otlp(id, otlp, limiter, queue_bytes_max)?),
            MetricsExporterKind::Debug(debug) => Self::Whole(Whole::debug(id, debug, queue_bytes_max)),
            MetricsExporterKind::Prometheus(prometheus) => {
                Self::Scraped(Scraped::new(id, prometheus, socket, limiter))
            }
            MetricsExporterKind::RemoteWrite(settings) => {
                Self::Written(Written::build(id, settings, limiter, room).await?)
            }
        })
    }

    /// Starts what sends and what answers.
    ///
    /// # Errors
    /// A socket that the runtime cannot use.
    pub fn spawn(&self, tasks: &mut MetricsTasks) -> anyhow::Result<()> {
        match self {
            Self::Whole(whole) => whole.spawn(&mut tasks.senders),
            Self::Scraped(scraped) => scraped.spawn(&mut tasks.services)?,
            Self::Written(written) => written.spawn(tasks),
        }
        Ok(())
    }

    /// Data points are about to come by [`Self::push`].
    pub fn expect(&self, points: u64) {
        match self {
            Self::Whole(whole) => whole.expect(points),
            Self::Scraped(scraped) => scraped.expect(points),
            Self::Written(written) => written.expect(points),
        }
    }

    /// Takes a batch whose points [`Self::expect`] was told of. While it makes something of it others have their turn.
    pub async fn push(&self, batch: &Arc<MetricsBatch>) {
        match self {
            Self::Whole(whole) => whole.push(batch),
            Self::Scraped(scraped) => scraped.push(batch).await,
            Self::Written(written) => written.push(batch).await,
        }
    }

    /// No batch comes any more: what waits must leave now, in this time.
    pub fn drain(&self, within: Duration) {
        match self {
            Self::Whole(whole) => whole.drain(),
            Self::Scraped(_) => {}
            Self::Written(written) => written.drain(within),
        }
    }

    /// Gives up what has not left.
    pub fn abandon(&self) {
        match self {
            Self::Whole(whole) => whole.abandon(),
            Self::Scraped(_) => {}
            Self::Written(written) => written.abandon(),
        }
    }

    /// One that takes batches and does nothing with them, and its queue.
    #[cfg(test)]
    pub(crate) fn idle(
        id: &str,
        queue_bytes_max: u64,
    ) -> (Self, crate::exporter::SendingQueue<MetricsBatch>) {
        let (idle, queue) = Whole::idle(id, queue_bytes_max);
        (Self::Whole(idle), queue)
    }

    /// The account now.
    pub fn account(&self) -> MetricsExporterAccount {
        match self {
            Self::Whole(whole) => whole.account(),
            Self::Scraped(scraped) => scraped.account(),
            Self::Written(written) => written.account(),
        }
    }
}

#[cfg(test)]
mod tests;

//! The exporters of the metrics line. Those that send what came as it came (`otlp`, `debug`) have a queue of batches each, as
//! those of spans have.

mod debug;

use std::rc::Rc;
use std::sync::Arc;

use tokio::task::JoinSet;
use tracepipe_config::{MetricsExporterKind, MetricsExporterSettings};

use super::otlp::OtlpExporter;
use super::progress::Progress;
use super::queue::SendingQueue;
use super::{consume, debug::Sampling};
use crate::account::MetricsExporterAccount;
use crate::limiter::MemoryLimiter;
use crate::metrics::MetricsBatch;
use debug::DebugMetrics;

/// One exporter of the metrics pipeline; clones share it.
#[derive(Clone)]
pub struct MetricsExporter {
    queue: SendingQueue<MetricsBatch>,
    backend: Rc<Backend>,
}

/// What takes whole batches.
enum Backend {
    Otlp(Box<OtlpExporter>),
    Debug(DebugMetrics),
}

// === impl MetricsExporter ===

impl MetricsExporter {
    /// Prepares an exporter; nothing is connected yet.
    ///
    /// # Errors
    /// When something outside the configuration is missing: a file of certificate authorities.
    pub fn build(
        settings: &MetricsExporterSettings,
        limiter: &MemoryLimiter,
        queue_bytes_max: u64,
    ) -> anyhow::Result<Self> {
        let (backend, batches_max) = match &settings.kind {
            MetricsExporterKind::Otlp(otlp) => (
                Backend::Otlp(Box::new(OtlpExporter::build(otlp, limiter.clone())?)),
                otlp.queue.queue_size,
            ),
            MetricsExporterKind::Debug(debug) => (
                Backend::Debug(DebugMetrics::new(debug.verbosity, Sampling::new(debug))),
                u64::MAX,
            ),
            MetricsExporterKind::RemoteWrite(_) | MetricsExporterKind::Prometheus(_) => {
                anyhow::bail!("exporters.{}: not in this build", settings.id)
            }
        };
        Ok(Self {
            queue: SendingQueue::new(settings.id.clone(), queue_bytes_max, batches_max),
            backend: Rc::new(backend),
        })
    }

    /// Starts what sends; it ends when the exporter is drained and has sent what it had.
    pub fn spawn(&self, tasks: &mut JoinSet<()>) {
        let consumers = match &*self.backend {
            Backend::Otlp(otlp) => otlp.consumers(),
            Backend::Debug(_) => 1,
        };
        for _ in 0..consumers {
            let backend = Rc::clone(&self.backend);
            let export = async move |batch: &MetricsBatch, progress| backend.export(batch, progress).await;
            tasks.spawn_local(consume(self.queue.clone(), export));
        }
    }

    /// Data points have come; they are in the batch that is being filled.
    pub fn expect(&self, points: u64) {
        self.queue.expect(points);
    }

    /// Takes a batch whose points [`Self::expect`] was told of.
    pub fn push(&self, batch: &Arc<MetricsBatch>) {
        self.queue.push(Arc::clone(batch));
    }

    /// No batch comes any more: what waits must leave now.
    pub fn drain(&self) {
        self.queue.close();
    }

    /// Gives up what has not left.
    pub fn abandon(&self, reason: &'static str) {
        self.queue.abandon(reason);
    }

    /// The account now.
    pub fn account(&self) -> MetricsExporterAccount {
        MetricsExporterAccount {
            points: self.queue.account(),
            ..MetricsExporterAccount::default()
        }
    }
}

// === impl Backend ===

impl Backend {
    /// Works on one batch until each of its data points is accounted for.
    async fn export(&self, batch: &MetricsBatch, progress: Progress<MetricsBatch>) {
        match self {
            Self::Otlp(otlp) => otlp.export(batch, progress).await,
            Self::Debug(debug) => debug.export(batch, progress),
        }
    }
}

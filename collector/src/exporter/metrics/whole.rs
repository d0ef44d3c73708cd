//! Exporters that take batches as they are: `otlp` and `debug`.

use std::rc::Rc;
use std::sync::Arc;

use tokio::task::JoinSet;
use tracepipe_config::{DebugSettings, OtlpExporterSettings};

use super::debug::DebugMetrics;
use crate::account::MetricsExporterAccount;
use crate::exporter::consume;
use crate::exporter::debug::Sampling;
use crate::exporter::otlp::OtlpExporter;
use crate::exporter::progress::Progress;
use crate::exporter::queue::SendingQueue;
use crate::limiter::MemoryLimiter;
use crate::metrics::MetricsBatch;

/// The exporter; clones share it.
#[derive(Clone)]
pub struct Whole {
    queue: SendingQueue<MetricsBatch>,
    backend: Rc<Backend>,
}

enum Backend {
    Otlp(Box<OtlpExporter>),
    Debug(DebugMetrics),
}

// === impl Whole ===

impl Whole {
    pub(super) fn otlp(
        id: &str,
        settings: &OtlpExporterSettings,
        limiter: &MemoryLimiter,
        queue_bytes_max: u64,
    ) -> anyhow::Result<Self> {
        let backend = Backend::Otlp(Box::new(OtlpExporter::build(settings, limiter.clone())?));
        let batches_max = settings.queue.queue_size;
        Ok(Self::new(id, backend, queue_bytes_max, batches_max))
    }

    pub(super) fn debug(id: &str, settings: &DebugSettings, queue_bytes_max: u64) -> Self {
        let debug = DebugMetrics::new(settings.verbosity, Sampling::new(settings));
        Self::new(id, Backend::Debug(debug), queue_bytes_max, u64::MAX)
    }

    fn new(id: &str, backend: Backend, queue_bytes_max: u64, batches_max: u64) -> Self {
        Self {
            queue: SendingQueue::new(id.to_owned(), queue_bytes_max, batches_max),
            backend: Rc::new(backend),
        }
    }

    pub(super) fn spawn(&self, senders: &mut JoinSet<()>) {
        let consumers = match &*self.backend {
            Backend::Otlp(otlp) => otlp.consumers(),
            Backend::Debug(_) => 1,
        };
        for _ in 0..consumers {
            let backend = Rc::clone(&self.backend);
            let export = async move |batch: &MetricsBatch, progress| backend.export(batch, progress).await;
            senders.spawn_local(consume(self.queue.clone(), export));
        }
    }

    pub(super) fn expect(&self, points: u64) {
        self.queue.expect(points);
    }

    pub(super) fn push(&self, batch: &Arc<MetricsBatch>) {
        self.queue.push(Arc::clone(batch));
    }

    pub(super) fn drain(&self) {
        self.queue.close();
    }

    pub(super) fn abandon(&self) {
        self.queue.abandon("shutdown");
    }

    pub(super) fn account(&self) -> MetricsExporterAccount {
        MetricsExporterAccount {
            points: self.queue.account(),
            ..MetricsExporterAccount::default()
        }
    }

    /// One that takes batches and does nothing with them, and its queue.
    #[cfg(test)]
    pub(crate) fn idle(id: &str, queue_bytes_max: u64) -> (Self, SendingQueue<MetricsBatch>) {
        let settings = DebugSettings {
            verbosity: tracepipe_config::Verbosity::Basic,
            sampling_initial: 0,
            sampling_thereafter: 0,
        };
        let idle = Self::debug(id, &settings, queue_bytes_max);
        let queue = idle.queue.clone();
        (idle, queue)
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

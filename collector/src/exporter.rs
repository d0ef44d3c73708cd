//! The exporters: each has a [`SendingQueue`] of its own, so that a slow backend slows nobody else.
//!
//! `queue.rs` holds what waits, `progress.rs` accounts for a batch while it is being sent, `retry.rs` says when to try
//! again; `xray.rs`, `otlp.rs` and `debug.rs` speak to the backends; `aws.rs` is what those of AWS share.

mod aws;
mod debug;
mod metrics;
mod otlp;
mod progress;
mod queue;
mod remote_write;
mod retry;
mod xray;

use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use futures_util::FutureExt;
use tokio::task::JoinSet;
use tracepipe_config::{ExporterKind, ExporterSettings};

use crate::batcher::{Batch, SpanBatch};
use crate::limiter::MemoryLimiter;
use debug::DebugExporter;
pub use metrics::{MetricsExporter, MetricsTasks, Room};
use otlp::OtlpExporter;
use progress::Progress;
pub use queue::SendingQueue;
pub use remote_write::{Ended, LATENCY_BOUNDS, Latencies, RemoteWriteAccount};
use xray::XrayExporter;

/// One exporter of the pipeline, ready to run.
pub struct Exporter {
    queue: SendingQueue,
    backend: Rc<Backend>,
}

/// What the exporters of this version speak to.
enum Backend {
    Xray(Box<XrayExporter>),
    Otlp(Box<OtlpExporter>),
    Debug(DebugExporter),
}

// === impl Exporter ===

impl Exporter {
    /// Prepares an exporter; nothing is connected yet.
    ///
    /// # Errors
    /// When something outside the configuration is missing: a region, a file of certificate authorities.
    pub async fn build(
        settings: &ExporterSettings,
        limiter: &MemoryLimiter,
        queue_bytes_max: u64,
    ) -> anyhow::Result<Self> {
        let (backend, batches_max) = match &settings.kind {
            ExporterKind::AwsXray(xray) => (
                Backend::Xray(Box::new(XrayExporter::build(xray, limiter.clone()).await?)),
                u64::MAX,
            ),
            ExporterKind::Otlp(otlp) => (
                Backend::Otlp(Box::new(OtlpExporter::build(otlp, limiter.clone())?)),
                otlp.queue.queue_size,
            ),
            ExporterKind::Debug(debug) => (Backend::Debug(DebugExporter::new(debug)), u64::MAX),
        };
        Ok(Self {
            queue: SendingQueue::new(settings.id.clone(), queue_bytes_max, batches_max),
            backend: Rc::new(backend),
        })
    }

    /// The queue that the batcher fills.
    pub fn queue(&self) -> SendingQueue {
        self.queue.clone()
    }

    /// Starts the consumers of the queue; they end when the queue is closed and empty.
    pub fn spawn(self, tasks: &mut JoinSet<()>) {
        for _ in 0..self.backend.consumers() {
            let backend = Rc::clone(&self.backend);
            let export = async move |batch: &SpanBatch, progress| backend.export(batch, progress).await;
            tasks.spawn_local(consume(self.queue.clone(), export));
        }
    }
}

/// Takes batches out of a queue, one after the other, until it is closed and empty.
async fn consume<B: Batch>(queue: SendingQueue<B>, export: impl AsyncFn(&B, Progress<B>)) {
    while let Some((batch, progress)) = queue.take().await {
        // A batch that makes an exporter panic is lost, and counted, alone. Not by a task of its own: that would end some
        // time after the consumer that is told to end, and the last account would not know of it.
        let one = AssertUnwindSafe(export(&batch, progress)).catch_unwind();
        if one.await.is_err() {
            tracing::error!("an exporter panicked on a batch; what is in it is lost");
        }
    }
}

// === impl Backend ===

impl Backend {
    /// How many batches are worked on at a time.
    fn consumers(&self) -> u64 {
        match self {
            Self::Xray(_) => xray::BATCHES_IN_FLIGHT,
            Self::Otlp(otlp) => otlp.consumers(),
            Self::Debug(_) => 1,
        }
    }

    /// Works on one batch until each of its spans is accounted for.
    async fn export(&self, batch: &SpanBatch, progress: Progress) {
        match self {
            Self::Xray(xray) => xray.export(batch, progress).await,
            Self::Otlp(otlp) => otlp.export(batch, progress).await,
            Self::Debug(debug) => debug.export(batch, progress),
        }
    }
}

//! `batch` of the metrics pipeline: requests become batches, and resources are edited on the way.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tracepipe_config::BatchSettings;
use tracepipe_otlp::edit::{ResourceEdit, edit_metrics, growth_max};
use tracepipe_otlp::metrics::Counted;

use super::inlet::MetricsRequest;
use crate::account::Signal;
use crate::batcher::Batch;
use crate::limiter::{MemoryLimiter, Reservation};

/// A batch is full at this size whatever `batch` says: OTLP servers take 4 MiB by default (gRPC's default), and what
/// is being filled must have a bound.
const BATCH_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What the exporters share: whole requests, as they came or with edited resources. They lie where they were written: a
/// batch is never copied together.
#[derive(Debug, Default)]
pub struct MetricsBatch {
    requests: Vec<Request>,
    /// What is in all of them.
    pub resources: u64,
    /// Metrics, those without data points included.
    pub metrics: u64,
    /// Data points.
    pub points: u64,
    /// Bytes that its requests hold, which may be some more than are sent.
    bytes: u64,
}

/// One request of a batch.
#[derive(Debug)]
struct Request {
    bytes: Bytes,
    points: u64,
    _reservation: Reservation,
}

/// Collects requests until a batch is due. A request is never split.
pub struct MetricsBatcher {
    timeout: Duration,
    /// In data points. Zero: no such bound.
    send_batch_size: u64,
    send_batch_max_size: u64,
    edits: Vec<ResourceEdit>,
    limiter: MemoryLimiter,
    filling: MetricsBatch,
    /// When the batch that is being filled must go.
    due: Option<Duration>,
}

// === impl MetricsBatch ===

impl Batch for MetricsBatch {
    const SIGNAL: Signal = Signal::Metrics;

    fn items(&self) -> u64 {
        self.points
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn pieces(&self) -> impl ExactSizeIterator<Item = &Bytes> {
        self.requests.iter().map(|request| &request.bytes)
    }
}

impl MetricsBatch {
    /// Its requests, each with the number of its data points.
    pub fn requests(&self) -> impl Iterator<Item = (&Bytes, u64)> {
        self.requests
            .iter()
            .map(|request| (&request.bytes, request.points))
    }

    fn add(&mut self, bytes: Bytes, counted: &Counted, reservation: Reservation) {
        self.resources += counted.resources;
        self.metrics += counted.metrics;
        self.points += counted.points;
        self.bytes += reservation.bytes();
        self.requests.push(Request {
            bytes,
            points: counted.points,
            _reservation: reservation,
        });
    }
}

// === impl MetricsBatcher ===

impl MetricsBatcher {
    /// An empty batcher. Without `batch` each request is a batch.
    pub fn new(batch: Option<&BatchSettings>, edits: Vec<ResourceEdit>, limiter: MemoryLimiter) -> Self {
        Self {
            timeout: batch.map_or(Duration::ZERO, |batch| batch.timeout),
            send_batch_size: batch.map_or(1, |batch| batch.send_batch_size),
            send_batch_max_size: batch.map_or(0, |batch| batch.send_batch_max_size),
            edits,
            limiter,
            filling: MetricsBatch::default(),
            due: None,
        }
    }

    /// When [`Self::take`] must be called at the latest.
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Adds a request. Gives the batches that are full: one before a request that would make it too large, and one that
    /// the request has filled. A request that alone has more than `send_batch_max_size` data points is a batch of its own.
    pub fn push(&mut self, request: MetricsRequest) -> Vec<Arc<MetricsBatch>> {
        let (bytes, counted, since, reservation) = request.leave_channel();
        let (bytes, reservation) = self.edited(bytes, &counted, reservation);
        let mut full = Vec::new();
        let points = self.filling.points + counted.points;
        let too_many = self.send_batch_max_size > 0 && points > self.send_batch_max_size;
        if too_many || self.filling.bytes + reservation.bytes() > BATCH_BYTES_MAX {
            full.extend(self.take());
        }
        self.filling.add(bytes, &counted, reservation);
        self.due.get_or_insert(since + self.timeout);
        let is_full = self.send_batch_size > 0 && self.filling.points >= self.send_batch_size;
        if is_full || self.filling.bytes >= BATCH_BYTES_MAX {
            full.extend(self.take());
        }
        full
    }

    /// The batch as it is; none when it is empty.
    pub fn take(&mut self) -> Option<Arc<MetricsBatch>> {
        self.due = None;
        let filled = std::mem::take(&mut self.filling);
        (filled.points > 0).then(|| Arc::new(filled))
    }

    /// The request with its resources edited. The reservation has room for what is added; the new bytes are held beside it
    /// while the old ones are there.
    fn edited(
        &self,
        request: Bytes,
        counted: &Counted,
        mut reservation: Reservation,
    ) -> (Bytes, Reservation) {
        if self.edits.is_empty() {
            return (request, reservation);
        }
        let most = request.len() + growth_max(counted.resources, &self.edits) as usize;
        let _both = self.limiter.hold(most as u64);
        let mut edited = Vec::with_capacity(most);
        edit_metrics(&request, &self.edits, &mut edited);
        drop(request);
        edited.shrink_to_fit();
        reservation.shrink_to(edited.capacity() as u64);
        (edited.into(), reservation)
    }
}

#[cfg(test)]
mod tests;

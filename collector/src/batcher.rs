//! `batch` and `resource`: kept traces become batches, each with the configured resource attributes.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tracepipe_config::{AttributeValue, BatchSettings, ResourceAction, ResourceOp};
use tracepipe_otlp::TraceId;
use tracepipe_otlp::edit::{ResourceEdit, ResourceEditOp, Value, apply_resource_edits};

use crate::ingest::SampledTrace;
use crate::limiter::{Held, MemoryLimiter};

/// What the exporters share: whole traces, encoded once.
#[derive(Debug)]
pub struct SpanBatch {
    /// An encoded `ExportTraceServiceRequest` with all traces of the batch.
    pub request: Bytes,
    /// Where each trace lies in `request`.
    pub traces: Vec<TraceInBatch>,
    /// How many spans that are.
    pub span_count: u64,
    /// Its place in the memory account.
    _held: Held,
}

/// A batch is full at this size whatever `batch` says: OTLP servers take 4 MiB by default (gRPC's default), and what
/// is being filled must have a bound.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One trace of a batch, or a late part of one.
#[derive(Debug, Clone)]
pub struct TraceInBatch {
    /// Its id.
    pub trace_id: TraceId,
    /// Its bytes in the batch's request; an `ExportTraceServiceRequest` of their own.
    pub range: Range<usize>,
    /// How many spans.
    pub span_count: u64,
}

/// Collects kept traces until a batch is due. A trace is never split: X-Ray gives the segments of a trace more room
/// when they come together.
pub struct Batcher {
    timeout: Duration,
    /// Zero: no such bound.
    send_batch_size: u64,
    send_batch_max_size: u64,
    edits: Vec<ResourceEdit>,
    limiter: MemoryLimiter,
    request: Vec<u8>,
    /// The place of `request` in the memory account.
    held: Vec<Held>,
    traces: Vec<TraceInBatch>,
    span_count: u64,
    /// When the batch that is being filled must go.
    due: Option<Duration>,
}

// === impl Batcher ===

impl Batcher {
    /// An empty batcher. Without `batch` each trace is a batch.
    pub fn new(batch: Option<&BatchSettings>, resource: &[ResourceAction], limiter: MemoryLimiter) -> Self {
        let one_by_one = BatchSettings {
            timeout: Duration::ZERO,
            send_batch_size: 1,
            send_batch_max_size: 0,
        };
        let batch = batch.unwrap_or(&one_by_one);
        Self {
            timeout: batch.timeout,
            send_batch_size: batch.send_batch_size,
            send_batch_max_size: batch.send_batch_max_size,
            edits: resource.iter().map(edit).collect(),
            limiter,
            request: Vec::new(),
            held: Vec::new(),
            traces: Vec::new(),
            span_count: 0,
            due: None,
        }
    }

    /// When [`Self::take`] must be called at the latest.
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Adds a trace. Gives the batches that are full: the one before it when the trace would make it too large, and
    /// the one it filled.
    pub fn push(&mut self, now: Duration, trace: &SampledTrace) -> [Option<Arc<SpanBatch>>; 2] {
        let too_many =
            self.send_batch_max_size > 0 && self.span_count + trace.span_count > self.send_batch_max_size;
        let too_large = too_many || self.request.len() + trace.spans.len() > BATCH_BYTES_MAX;
        let before = if too_large { self.take() } else { None };
        let start = self.request.len();
        apply_resource_edits(&trace.spans, &self.edits, &mut self.request);
        self.held
            .push(self.limiter.hold((self.request.len() - start) as u64));
        self.traces.push(TraceInBatch {
            trace_id: trace.trace_id,
            range: start..self.request.len(),
            span_count: trace.span_count,
        });
        self.span_count += trace.span_count;
        self.due.get_or_insert(now + self.timeout);
        let full = (self.send_batch_size > 0 && self.span_count >= self.send_batch_size)
            || self.request.len() >= BATCH_BYTES_MAX;
        [before, if full { self.take() } else { None }]
    }

    /// The batch as it is; none when it is empty.
    pub fn take(&mut self) -> Option<Arc<SpanBatch>> {
        self.due = None;
        if self.traces.is_empty() {
            return None;
        }
        let mut request = std::mem::take(&mut self.request);
        request.shrink_to_fit();
        self.held.clear();
        let request = Bytes::from(request);
        let held = self.limiter.hold(request.len() as u64);
        Some(Arc::new(SpanBatch {
            request,
            traces: std::mem::take(&mut self.traces),
            span_count: std::mem::take(&mut self.span_count),
            _held: held,
        }))
    }
}

fn edit(action: &ResourceAction) -> ResourceEdit {
    let op = match &action.op {
        ResourceOp::Insert(to) => ResourceEditOp::Insert(value(to)),
        ResourceOp::Update(to) => ResourceEditOp::Update(value(to)),
        ResourceOp::Upsert(to) => ResourceEditOp::Upsert(value(to)),
        ResourceOp::Delete => ResourceEditOp::Delete,
    };
    ResourceEdit {
        key: action.key.clone(),
        op,
    }
}

fn value(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::String(text) => Value::String(text.clone()),
        AttributeValue::Bool(on) => Value::Bool(*on),
        AttributeValue::Int(number) => Value::Int(*number),
        AttributeValue::Double(number) => Value::Double(*number),
    }
}

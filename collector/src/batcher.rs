//! `batch`: kept traces become batches.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tracepipe_config::{AttributeValue, BatchSettings, ResourceAction, ResourceOp};
use tracepipe_otlp::TraceId;
use tracepipe_otlp::edit::{ResourceEdit, ResourceEditOp, Value};

use crate::account::Signal;
use crate::ingest::SampledTraces;
use crate::limiter::Held;

/// What the exporters of one pipeline share and their queues hold.
pub trait Batch: 'static {
    /// What its requests carry.
    const SIGNAL: Signal;

    /// Spans or data points.
    fn items(&self) -> u64;

    /// Bytes that it holds.
    fn bytes(&self) -> u64;

    /// Encoded requests: one after the other they are one (concatenated messages merge; Protocol Buffers, "Last One Wins").
    fn pieces(&self) -> impl ExactSizeIterator<Item = &Bytes>;
}

/// What the exporters share: whole traces, encoded once. They lie where they were written when they left the store: a
/// batch is never copied together.
#[derive(Debug)]
pub struct SpanBatch {
    pieces: Vec<Piece>,
    /// Bytes of all pieces.
    pub bytes: usize,
    /// Where each trace lies.
    pub traces: Vec<TraceInBatch>,
    /// How many spans that are.
    pub span_count: u64,
}

/// A part of a batch, and its place in the memory account, which two batches may share.
#[derive(Debug)]
struct Piece {
    spans: Bytes,
    _held: Arc<Held>,
}

/// A batch is full at this size whatever `batch` says: OTLP servers take 4 MiB by default (gRPC's default), and what
/// is being filled must have a bound.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One trace of a batch, or a late part of one.
#[derive(Debug, Clone)]
pub struct TraceInBatch {
    /// Its id.
    pub trace_id: TraceId,
    /// In which of the batch's pieces it lies.
    pub piece: usize,
    /// Its bytes in that piece; an `ExportTraceServiceRequest` of their own.
    pub range: Range<usize>,
    /// How many spans.
    pub span_count: u64,
    /// These are all spans of the trace that came in time, not a part of it.
    pub is_whole: bool,
}

/// Collects kept traces until a batch is due. A trace is never split: X-Ray gives the segments of a trace more room
/// when they come together.
pub struct Batcher {
    timeout: Duration,
    /// Zero: no such bound.
    send_batch_size: u64,
    send_batch_max_size: u64,
    /// What the batch is made of, in order.
    pieces: Vec<Piece>,
    /// Bytes of all pieces.
    bytes: usize,
    traces: Vec<TraceInBatch>,
    span_count: u64,
    /// When the batch that is being filled must go.
    due: Option<Duration>,
}

// === impl SpanBatch ===

impl SpanBatch {
    /// The bytes of one of its traces.
    pub fn spans_of(&self, trace: &TraceInBatch) -> &[u8] {
        &self.pieces[trace.piece].spans[trace.range.clone()]
    }
}

impl Batch for SpanBatch {
    const SIGNAL: Signal = Signal::Traces;

    fn items(&self) -> u64 {
        self.span_count
    }

    fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    fn pieces(&self) -> impl ExactSizeIterator<Item = &Bytes> {
        self.pieces.iter().map(|piece| &piece.spans)
    }
}

// === impl Batcher ===

impl Batcher {
    /// An empty batcher. Without `batch` each trace is a batch.
    pub fn new(batch: Option<&BatchSettings>) -> Self {
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
            pieces: Vec::new(),
            bytes: 0,
            traces: Vec::new(),
            span_count: 0,
            due: None,
        }
    }

    /// When [`Self::take`] must be called at the latest.
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Adds traces. Gives the batches that are full: one before a trace that would make it too large, and one that a
    /// trace has filled.
    pub fn push(&mut self, released: SampledTraces) -> Vec<Arc<SpanBatch>> {
        let SampledTraces {
            spans,
            traces,
            since,
            held,
        } = released;
        let held = Arc::new(held);
        let mut full = Vec::new();
        // Where in `spans` the traces begin that are in the batch being filled.
        let mut from = 0;
        for trace in traces {
            let Range { start, end } = trace.range;
            let too_many =
                self.send_batch_max_size > 0 && self.span_count + trace.span_count > self.send_batch_max_size;
            if too_many || self.bytes + (end - start) > BATCH_BYTES_MAX {
                self.add_piece(&spans, from..start, &held);
                from = start;
                full.extend(self.take());
            }
            self.bytes += end - start;
            self.span_count += trace.span_count;
            self.traces.push(TraceInBatch {
                trace_id: trace.trace_id,
                piece: self.pieces.len(),
                range: start - from..end - from,
                span_count: trace.span_count,
                is_whole: trace.is_whole,
            });
            self.due.get_or_insert(since + self.timeout);
            if (self.send_batch_size > 0 && self.span_count >= self.send_batch_size)
                || self.bytes >= BATCH_BYTES_MAX
            {
                self.add_piece(&spans, from..end, &held);
                from = end;
                full.extend(self.take());
            }
        }
        self.add_piece(&spans, from..spans.len(), &held);
        full
    }

    /// The batch as it is; none when it is empty.
    pub fn take(&mut self) -> Option<Arc<SpanBatch>> {
        self.due = None;
        if self.traces.is_empty() {
            return None;
        }
        Some(Arc::new(SpanBatch {
            pieces: std::mem::take(&mut self.pieces),
            bytes: std::mem::take(&mut self.bytes),
            traces: std::mem::take(&mut self.traces),
            span_count: std::mem::take(&mut self.span_count),
        }))
    }

    fn add_piece(&mut self, spans: &Bytes, range: Range<usize>, held: &Arc<Held>) {
        if !range.is_empty() {
            self.pieces.push(Piece {
                spans: spans.slice(range),
                _held: Arc::clone(held),
            });
        }
    }
}

/// The `resource` processor's actions as edits of wire bytes.
pub fn resource_edits(actions: &[ResourceAction]) -> Vec<ResourceEdit> {
    actions.iter().map(edit).collect()
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

#[cfg(test)]
mod tests;

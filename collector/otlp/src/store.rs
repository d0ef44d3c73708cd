//! Where the bytes of undecided spans lie: append-only chunks that are freed whole.
//!
//! A *record* is the key, length and body of one span, as it stood in a `ScopeSpans`. Records of one trace and one
//! context that come one after the other form a *run*: a header of 16 bytes, then the records. A [`Chain`] is the list
//! of a trace's runs, linked through the headers, so that a trace costs no allocation. A chunk is freed when none of its
//! runs is in a chain any more: traces are decided in the order in which they began, so a chunk's runs go at about the
//! same time.

mod chunks;
mod context;
mod slots;

use crate::walk::ContextHead;
use crate::wire::{Cursor, bytes_field_len, put_bytes, put_bytes_header};
use chunks::{Chunks, Run, RunRef};
pub use context::ContextId;
use context::Contexts;

/// Bytes of a chunk, if there is no reason for another size: hundreds of spans are freed by one call, and an idle
/// collector holds little.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// The buffered spans of all traces, and what stands around them.
#[derive(Debug)]
pub struct SpanStore {
    chunks: Chunks,
    contexts: Contexts,
}

/// Where one trace's records are. Give it back with [`SpanStore::release`]: what is merely dropped stays in the store.
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use = "a chain that is not released keeps its chunks for ever"]
pub struct Chain {
    first: RunRef,
    last: RunRef,
    spans: u32,
    bytes: u64,
}

/// One field of bytes: `key` and `value` as an encoded `KeyValue` in field `field_number`.
///
/// 9 is `Span.attributes`, 1 is `Resource.attributes`.
pub fn encode_string_attribute(field_number: u32, key: &str, value: &str) -> Vec<u8> {
    let any_value_len = bytes_field_len(1, value.len());
    let key_value_len = bytes_field_len(1, key.len()) + bytes_field_len(2, any_value_len);
    let mut out = Vec::with_capacity(bytes_field_len(field_number, key_value_len));
    put_bytes_header(field_number, key_value_len, &mut out);
    put_bytes(1, key.as_bytes(), &mut out);
    put_bytes_header(2, any_value_len, &mut out);
    put_bytes(1, value.as_bytes(), &mut out);
    out
}

// === impl Chain ===

impl Chain {
    /// Number of records.
    pub fn spans(&self) -> u32 {
        self.spans
    }

    /// Bytes of all records, without what the store adds.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// True before the first record.
    pub fn is_empty(&self) -> bool {
        self.spans == 0
    }
}

// === impl SpanStore ===

impl SpanStore {
    /// An empty store. Chunks have `chunk_bytes` bytes, at least 4096; a larger record has a chunk of its own. `seed` is
    /// drawn at random once a process, since senders choose what is hashed with it.
    pub fn new(chunk_bytes: usize, seed: u64) -> Self {
        Self {
            chunks: Chunks::new(chunk_bytes),
            contexts: Contexts::new(seed),
        }
    }

    /// Makes a context known: `context` is of the walk over `request`. Equal contexts are stored once. Every `begin`
    /// needs an [`Self::end`] after the appends that use the id; the context stays as long as a record needs it.
    pub fn begin(&mut self, request: &[u8], context: ContextHead<'_>) -> ContextId {
        self.contexts.hold(request, context)
    }

    /// Undoes one [`Self::begin`].
    pub fn end(&mut self, context: ContextId) {
        self.contexts.release(context);
    }

    /// Appends a record: key, length and body of a span, as [`crate::SpanHead::record`] gives it, below
    /// [`crate::walk::REQUEST_BYTES_MAX`] bytes. `context` must be between its `begin` and its `end`.
    pub fn append(&mut self, chain: &mut Chain, context: ContextId, record: &[u8]) {
        let extended = !chain.is_empty() && self.chunks.extend(chain.last, context, record);
        if !extended {
            let run = self.chunks.push(context, record);
            self.contexts.retain(context);
            if chain.is_empty() {
                chain.first = run;
            } else {
                self.chunks.link(chain.last, run);
            }
            chain.last = run;
        }
        chain.spans = chain.spans.saturating_add(1);
        chain.bytes += record.len() as u64;
    }

    /// Forgets a trace's records.
    #[expect(clippy::needless_pass_by_value, reason = "a chain is released once")]
    pub fn release(&mut self, chain: Chain) {
        let mut next = (!chain.is_empty()).then_some(chain.first);
        while let Some(at) = next {
            let Some(run) = self.chunks.run(at) else { break };
            let (context, following) = (run.context, run.next);
            self.chunks.release(at);
            self.contexts.release(context);
            next = (at != chain.last).then_some(following);
        }
    }

    /// Appends the trace to `out` as an encoded `ExportTraceServiceRequest`.
    ///
    /// Everything is as it came, unknown fields too. Records of the same context are put together, in their order, and
    /// so are scopes of the same resource; resources and scopes come in an order of the store. `extra_span_fields` are
    /// encoded fields that are added to the end of each span, and may be empty. `out` grows once, by
    /// [`Self::encoded_len`].
    pub fn write_trace(&self, chain: &Chain, extra_span_fields: &[u8], out: &mut Vec<u8>) {
        let runs = self.ordered_runs(chain);
        out.reserve(
            self.plan(&runs, extra_span_fields.len())
                .map(|plan| plan.field_len())
                .sum(),
        );
        for plan in self.plan(&runs, extra_span_fields.len()) {
            put_bytes_header(1, plan.body_len, out);
            out.extend_from_slice(self.contexts.resource(plan.context()));
            for scope in scopes(plan.runs) {
                let context = scope[0].context;
                put_bytes_header(2, self.scope_len(scope, extra_span_fields.len()), out);
                out.extend_from_slice(self.contexts.scope(context));
                for run in scope {
                    write_records(run.records, extra_span_fields, out);
                }
            }
        }
    }

    /// Bytes that [`Self::write_trace`] appends with `extra_len` bytes of extra fields.
    pub fn encoded_len(&self, chain: &Chain, extra_len: usize) -> usize {
        let runs = self.ordered_runs(chain);
        self.plan(&runs, extra_len).map(|plan| plan.field_len()).sum()
    }

    /// What the store has allocated, in bytes: chunks, contexts and their tables, used or not.
    pub fn memory_bytes(&self) -> usize {
        self.chunks.memory_bytes() + self.contexts.memory_bytes()
    }

    /// Number of chunks.
    pub fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    /// Number of different contexts.
    pub fn context_count(&self) -> usize {
        self.contexts.len()
    }

    /// The runs with equal contexts side by side, and equal resources too: a trace whose spans alternate between two
    /// large resources must not hold each of them a hundred times.
    fn ordered_runs(&self, chain: &Chain) -> Vec<Run<'_>> {
        let mut runs = Vec::new();
        let mut next = (!chain.is_empty()).then_some(chain.first);
        while let Some(at) = next {
            let Some(run) = self.chunks.run(at) else { break };
            next = (at != chain.last).then_some(run.next);
            runs.push(run);
        }
        runs.sort_by_key(|run| (self.contexts.resource_id(run.context), run.context));
        runs
    }

    /// One entry per `ResourceSpans` to be written.
    fn plan<'r>(&self, runs: &'r [Run<'r>], extra_len: usize) -> impl Iterator<Item = PlannedResource<'r>> {
        runs.chunk_by(|a, b| self.contexts.resource_id(a.context) == self.contexts.resource_id(b.context))
            .map(move |runs| {
                let scopes: usize = scopes(runs)
                    .map(|scope| bytes_field_len(2, self.scope_len(scope, extra_len)))
                    .sum();
                let resource = runs
                    .first()
                    .map_or(0, |run| self.contexts.resource(run.context).len());
                PlannedResource {
                    runs,
                    body_len: resource + scopes,
                }
            })
    }

    /// Bytes of a `ScopeSpans` message with these runs.
    fn scope_len(&self, runs: &[Run<'_>], extra_len: usize) -> usize {
        let records: usize = runs.iter().map(|run| records_len(run.records, extra_len)).sum();
        runs.first()
            .map_or(0, |run| self.contexts.scope(run.context).len())
            + records
    }
}

/// A `ResourceSpans` to be written.
struct PlannedResource<'r> {
    /// At least one.
    runs: &'r [Run<'r>],
    body_len: usize,
}

impl PlannedResource<'_> {
    fn context(&self) -> ContextId {
        self.runs[0].context
    }

    fn field_len(&self) -> usize {
        bytes_field_len(1, self.body_len)
    }
}

fn scopes<'r>(runs: &'r [Run<'r>]) -> impl Iterator<Item = &'r [Run<'r>]> {
    runs.chunk_by(|a, b| a.context == b.context)
}

/// The bodies of records.
fn bodies(records: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut cursor = Cursor::new(records);
    std::iter::from_fn(move || {
        cursor.key().ok()?;
        cursor.bytes().ok()
    })
}

fn records_len(records: &[u8], extra_len: usize) -> usize {
    if extra_len == 0 {
        return records.len();
    }
    bodies(records)
        .map(|body| bytes_field_len(2, body.len() + extra_len))
        .sum()
}

fn write_records(records: &[u8], extra: &[u8], out: &mut Vec<u8>) {
    if extra.is_empty() {
        out.extend_from_slice(records);
        return;
    }
    for body in bodies(records) {
        put_bytes_header(2, body.len() + extra.len(), out);
        out.extend_from_slice(body);
        out.extend_from_slice(extra);
    }
}

#[cfg(test)]
mod tests;

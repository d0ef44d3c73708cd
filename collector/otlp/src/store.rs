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

use crate::edit::ResourceEdit;
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
    /// Done on each resource that leaves.
    edits: Vec<ResourceEdit>,
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

    /// Bytes of all records, and of resource and scope once for each run of records: what [`SpanStore::write_trace`] makes
    /// of it, or more, but for keys and lengths, edits and extra fields.
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
            edits: Vec::new(),
        }
    }

    /// The same store, whose [`Self::write_trace`] does these edits on each resource, one after the other. What is stored
    /// stays as it came.
    #[must_use]
    pub fn with_edits(mut self, edits: Vec<ResourceEdit>) -> Self {
        self.edits = edits;
        self
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
            chain.bytes += self.contexts.stored_len(context);
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

    /// Takes records off the front of a trace, as many as have `bytes_max` bytes with their resources and scopes but at
    /// least one run of them, so that a large trace can be written in parts. Each span will get `extra_len` bytes more.
    /// What is taken is a chain like any other.
    pub fn split_front(&self, chain: &mut Chain, bytes_max: u64, extra_len: usize) -> Chain {
        let mut front = Chain::default();
        let mut front_len = 0;
        while !chain.is_empty() {
            let Some(run) = self.chunks.run(chain.first) else {
                break;
            };
            let bytes = run.records.len() as u64 + self.contexts.stored_len(run.context);
            let spans = u32::try_from(bodies(run.records).count()).unwrap_or(u32::MAX);
            front_len += bytes + u64::from(spans) * extra_len as u64;
            if !front.is_empty() && front_len > bytes_max {
                break;
            }
            if front.is_empty() {
                front.first = chain.first;
            }
            front.last = chain.first;
            front.spans += spans;
            front.bytes += bytes;
            if chain.first == chain.last {
                *chain = Chain::default();
            } else {
                chain.first = run.next;
                chain.spans = chain.spans.saturating_sub(spans);
                chain.bytes = chain.bytes.saturating_sub(bytes);
            }
        }
        front
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
    /// But for the edits of [`Self::with_edits`] everything is as it came, unknown fields too. Records of the same context
    /// are put together, in their order, and so are scopes of the same resource; resources and scopes come in an order
    /// of the store. `extra_span_fields` are encoded fields that are added to the end of each span, and may be empty.
    pub fn write_trace(&mut self, chain: &Chain, extra_span_fields: &[u8], out: &mut Vec<u8>) {
        let Self {
            chunks,
            contexts,
            edits,
        } = self;
        let mut runs = runs(chunks, chain);
        for run in &runs {
            contexts.edit(run.context, edits);
        }
        // The runs with equal contexts side by side, and equal resources too: a trace whose spans alternate between two
        // large resources must not hold each of them a hundred times.
        if runs.len() > 1 {
            runs.sort_by_key(|run| (contexts.resource_id(run.context), run.context));
        }
        let extra_len = extra_span_fields.len();
        for resource in
            runs.chunk_by(|a, b| contexts.resource_id(a.context) == contexts.resource_id(b.context))
        {
            let fields = contexts.resource(resource[0].context);
            let scopes_len: usize = scopes(resource)
                .map(|scope| bytes_field_len(2, scope_len(contexts, scope, extra_len)))
                .sum();
            put_bytes_header(1, fields.len() + scopes_len, out);
            out.reserve(fields.len() + scopes_len);
            out.extend_from_slice(fields);
            for scope in scopes(resource) {
                put_bytes_header(2, scope_len(contexts, scope, extra_len), out);
                out.extend_from_slice(contexts.scope(scope[0].context));
                for run in scope {
                    write_records(run.records, extra_span_fields, out);
                }
            }
        }
    }

    /// What the store has allocated, in bytes: chunks, contexts and their tables, used or not.
    pub fn memory_bytes(&self) -> usize {
        self.chunks.memory_bytes() + self.contexts.memory_bytes()
    }

    #[cfg(test)]
    fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    #[cfg(test)]
    fn context_count(&self) -> usize {
        self.contexts.len()
    }
}

/// In the order in which they were begun.
fn runs<'c>(chunks: &'c Chunks, chain: &Chain) -> Vec<Run<'c>> {
    let mut runs = Vec::new();
    let mut next = (!chain.is_empty()).then_some(chain.first);
    while let Some(at) = next {
        let Some(run) = chunks.run(at) else { break };
        next = (at != chain.last).then_some(run.next);
        runs.push(run);
    }
    runs
}

fn scopes<'r>(runs: &'r [Run<'r>]) -> impl Iterator<Item = &'r [Run<'r>]> {
    runs.chunk_by(|a, b| a.context == b.context)
}

/// Bytes of a `ScopeSpans` message with these runs, which are at least one.
fn scope_len(contexts: &Contexts, runs: &[Run<'_>], extra_len: usize) -> usize {
    let records: usize = runs.iter().map(|run| records_len(run.records, extra_len)).sum();
    contexts.scope(runs[0].context).len() + records
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

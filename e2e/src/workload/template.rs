//! A request that is encoded once and then only patched.

use anyhow::{Context, anyhow};
use tracepipe_otlp::{SpanId, TraceId};

use crate::wire::{Field, Reader};

/// What is written into one span.
pub(crate) struct Patch {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    /// Ignored where the template's span has no parent.
    pub(crate) parent: Option<SpanId>,
    pub(crate) start_unix_nano: u64,
    pub(crate) end_unix_nano: u64,
    /// 0 to 2.
    pub(crate) status_code: u8,
}

/// The encoded request and where its changing bytes lie.
#[derive(Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

/// Byte offsets of one span's changing fields.
#[derive(Debug, Default)]
struct Slot {
    trace: u32,
    span: u32,
    body: Part,
    trace_id: usize,
    span_id: usize,
    parent: Option<usize>,
    start: usize,
    end: usize,
    status_code: usize,
}

impl Template {
    /// Takes a request in which trace T has the id T + 1, its span S the id S + 1, and every span a status.
    pub(crate) fn new(bytes: Vec<u8>) -> anyhow::Result<Self> {
        let mut slots = Vec::new();
        for resource_spans in messages(
            &bytes,
            Part {
                start: 0,
                end: bytes.len(),
            },
            1,
        )? {
            for scope_spans in messages(&bytes, resource_spans, 2)? {
                for span in messages(&bytes, scope_spans, 2)? {
                    slots.push(Slot::find(&bytes, span)?);
                }
            }
        }
        Ok(Self { bytes, slots })
    }

    /// The request as it was given.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A copy with `patch(trace, span)` written into each span.
    pub(super) fn render(&self, patch: impl Fn(u32, u32) -> Option<Patch>) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        self.patch(&mut bytes, patch);
        bytes
    }

    /// Writes `patch(trace, span)` into each span of `bytes`, which are [`Template::bytes`] or were patched before.
    pub(crate) fn patch(&self, bytes: &mut [u8], patch: impl Fn(u32, u32) -> Option<Patch>) {
        for slot in &self.slots {
            if let Some(patch) = patch(slot.trace, slot.span) {
                slot.write(bytes, &patch);
            }
        }
    }

    /// The bytes of the first trace's span `span` with `patch` written into them.
    pub(crate) fn span(&self, span: u32, patch: &Patch) -> Option<Vec<u8>> {
        let slot = self
            .slots
            .iter()
            .find(|slot| slot.trace == 0 && slot.span == span)?;
        let Part { start, end } = slot.body;
        let mut bytes = self.bytes.get(start..end)?.to_vec();
        slot.moved(start).write(&mut bytes, patch);
        Some(bytes)
    }
}

impl Slot {
    fn write(&self, bytes: &mut [u8], patch: &Patch) {
        write(bytes, self.trace_id, &patch.trace_id.0);
        write(bytes, self.span_id, &patch.span_id.0);
        if let (Some(at), Some(parent)) = (self.parent, patch.parent) {
            write(bytes, at, &parent.0);
        }
        write(bytes, self.start, &patch.start_unix_nano.to_le_bytes());
        write(bytes, self.end, &patch.end_unix_nano.to_le_bytes());
        write(bytes, self.status_code, &[patch.status_code]);
    }

    /// As offsets from `start` on.
    fn moved(&self, start: usize) -> Self {
        Self {
            trace: self.trace,
            span: self.span,
            body: self.body,
            trace_id: self.trace_id - start,
            span_id: self.span_id - start,
            parent: self.parent.map(|parent| parent - start),
            start: self.start - start,
            end: self.end - start,
            status_code: self.status_code - start,
        }
    }

    fn find(bytes: &[u8], span: Part) -> anyhow::Result<Self> {
        let mut slot = Self {
            body: span,
            ..Self::default()
        };
        let body = bytes
            .get(span.start..span.end)
            .context("a span outside of its request")?;
        let mut reader = Reader::new(body);
        while let Some(field) = reader.next() {
            let (number, field) = field.map_err(|_| anyhow!("a span that is no protobuf"))?;
            let end = span.start + reader.offset();
            match (number, field) {
                (1, Field::Bytes(id)) => {
                    slot.trace_id = end - id.len();
                    slot.trace = last_four(id).checked_sub(1).context("trace ids start at 1")?;
                }
                (2, Field::Bytes(id)) => {
                    slot.span_id = end - id.len();
                    slot.span = last_four(id).checked_sub(1).context("span ids start at 1")?;
                }
                (4, Field::Bytes(id)) => slot.parent = Some(end - id.len()),
                (7, Field::Fixed64(_)) => slot.start = end - 8,
                (8, Field::Fixed64(_)) => slot.end = end - 8,
                // The status has one field, the code, whose value is its last byte.
                (15, Field::Bytes(_)) => slot.status_code = end - 1,
                _ => {}
            }
        }
        let found = [
            slot.trace_id,
            slot.span_id,
            slot.start,
            slot.end,
            slot.status_code,
        ];
        if found.contains(&0) {
            return Err(anyhow!("a span without one of the fields to patch"));
        }
        Ok(slot)
    }
}

/// A message's place in the request.
#[derive(Debug, Default, Clone, Copy)]
struct Part {
    start: usize,
    end: usize,
}

/// The places of the messages in field `number` of the message at `within`.
fn messages(bytes: &[u8], within: Part, number: u32) -> anyhow::Result<Vec<Part>> {
    let body = bytes
        .get(within.start..within.end)
        .context("a message outside of its request")?;
    let mut reader = Reader::new(body);
    let mut parts = Vec::new();
    while let Some(field) = reader.next() {
        let (found, field) = field.map_err(|_| anyhow!("a request that is no protobuf"))?;
        if let (true, Field::Bytes(inner)) = (found == number, field) {
            let end = within.start + reader.offset();
            parts.push(Part {
                start: end - inner.len(),
                end,
            });
        }
    }
    Ok(parts)
}

fn last_four(id: &[u8]) -> u32 {
    id.iter()
        .rev()
        .take(4)
        .rev()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn write(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

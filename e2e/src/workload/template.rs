//! A request that is encoded once and then only patched.

use anyhow::{Context, anyhow};
use tracepipe_otlp::{SpanId, TraceId};

use crate::wire::{Field, Reader};

/// What is written into one span.
pub(super) struct Patch {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    /// Ignored where the template's span has no parent.
    pub(super) parent: Option<SpanId>,
    pub(super) start_unix_nano: u64,
    pub(super) end_unix_nano: u64,
    /// 0 to 2.
    pub(super) status_code: u8,
}

/// The encoded request and where its changing bytes lie.
#[derive(Debug)]
pub(super) struct Template {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

/// Byte offsets of one span's changing fields.
#[derive(Debug, Default)]
struct Slot {
    trace: u32,
    span: u32,
    trace_id: usize,
    span_id: usize,
    parent: Option<usize>,
    start: usize,
    end: usize,
    status_code: usize,
}

impl Template {
    /// Takes a request in which trace T has the id T + 1, its span S the id S + 1, and every span a status.
    pub(super) fn new(bytes: Vec<u8>) -> anyhow::Result<Self> {
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

    /// A copy with `patch(trace, span)` written into each span.
    pub(super) fn render(&self, patch: impl Fn(u32, u32) -> Option<Patch>) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for slot in &self.slots {
            let Some(patch) = patch(slot.trace, slot.span) else {
                continue;
            };
            write(&mut bytes, slot.trace_id, &patch.trace_id.0);
            write(&mut bytes, slot.span_id, &patch.span_id.0);
            if let (Some(at), Some(parent)) = (slot.parent, patch.parent) {
                write(&mut bytes, at, &parent.0);
            }
            write(&mut bytes, slot.start, &patch.start_unix_nano.to_le_bytes());
            write(&mut bytes, slot.end, &patch.end_unix_nano.to_le_bytes());
            write(&mut bytes, slot.status_code, &[patch.status_code]);
        }
        bytes
    }
}

impl Slot {
    fn find(bytes: &[u8], span: Part) -> anyhow::Result<Self> {
        let mut slot = Self::default();
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
#[derive(Clone, Copy)]
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

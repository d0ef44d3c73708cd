//! One span, and one resource: their fields, and what is shown of them to a watch.

use std::borrow::Cow;

use crate::check::{Shape, VALUE_DEPTH_MAX, check, check_field, plain_attributes};
use crate::decode::{span_id, status_code, trace_id};
use crate::head::{SpanDefect, SpanHead};
use crate::id::{SpanId, TraceId};
use crate::view::StatusCode;
use crate::watch::Watch;
use crate::wire::{Cursor, Fault, Payload, WireType, fields, key_of, split_key};

/// The keys of the usual fields. Keys are matched whole, number and wire type at once: one jump per field.
mod key {
    use crate::wire::WireType::{Bytes, Fixed32, Fixed64, Varint};
    use crate::wire::key_of;

    pub(super) const TRACE_ID: u32 = key_of(1, Bytes);
    pub(super) const SPAN_ID: u32 = key_of(2, Bytes);
    pub(super) const TRACE_STATE: u32 = key_of(3, Bytes);
    pub(super) const PARENT_SPAN_ID: u32 = key_of(4, Bytes);
    pub(super) const NAME: u32 = key_of(5, Bytes);
    pub(super) const KIND: u32 = key_of(6, Varint);
    pub(super) const START_TIME: u32 = key_of(7, Fixed64);
    pub(super) const END_TIME: u32 = key_of(8, Fixed64);
    pub(super) const ATTRIBUTE: u32 = key_of(9, Bytes);
    pub(super) const STATUS: u32 = key_of(15, Bytes);
    pub(super) const FLAGS: u32 = key_of(16, Fixed32);
}

/// `Resource.attributes`.
const RESOURCE_ATTRIBUTE: u32 = key_of(1, WireType::Bytes);

/// Reads and checks a span. Its record and its context are for the caller to fill in.
#[inline(always)]
pub(super) fn span_head<W: Watch>(message: &[u8], watch: &mut W) -> Result<SpanHead, Fault> {
    let mut fields = Fields::default();
    let rest = fields.usual(message, watch);
    if !rest.is_empty() {
        fields.any(rest, watch)?;
    }
    let defect = match (fields.trace.is_valid(), fields.span.is_valid()) {
        (false, _) => Some(SpanDefect::TraceId),
        (true, false) => Some(SpanDefect::SpanId),
        (true, true) => None,
    };
    Ok(SpanHead {
        trace_id: fields.trace,
        span_id: fields.span,
        is_root: !fields.parent.is_valid(),
        start_time_unix_nano: fields.start,
        end_time_unix_nano: fields.end,
        status: fields.status,
        flags: fields.flags,
        matched: watch.end_span(),
        record: 0..0,
        context: 0,
        defect,
    })
}

/// What a head needs of a span.
#[derive(Default)]
struct Fields {
    trace: TraceId,
    span: SpanId,
    parent: SpanId,
    start: u64,
    end: u64,
    status: StatusCode,
    flags: u32,
}

impl Fields {
    /// Reads a span as encoders write it: fields in the order of their numbers, short lengths. What is left begins with
    /// the first field that is not as usual; nothing is wrong with it yet.
    #[inline(always)]
    fn usual<'a, W: Watch>(&mut self, message: &'a [u8], watch: &mut W) -> &'a [u8] {
        let mut rest = message;
        if let Some((ids, after)) = rest.split_first_chunk::<28>()
            && let [0x0a, 0x10, trace @ .., 0x12, 0x08, _, _, _, _, _, _, _, _] = ids
            && let [.., _, _, s0, s1, s2, s3, s4, s5, s6, s7] = ids
        {
            self.trace = TraceId(*trace);
            self.span = SpanId([*s0, *s1, *s2, *s3, *s4, *s5, *s6, *s7]);
            rest = after;
        }
        if let Some((field, after)) = rest.split_first_chunk::<10>()
            && let [0x22, 0x08, parent @ ..] = field
        {
            self.parent = SpanId(*parent);
            rest = after;
        }
        if let [0x2a, length @ ..0x80, after @ ..] = rest
            && let Some(after) = after.get(usize::from(*length)..)
        {
            rest = after;
        }
        if let [0x30, ..0x80, after @ ..] = rest {
            rest = after;
        }
        if let Some((times, after)) = rest.split_first_chunk::<18>()
            && let [
                0x39,
                a0,
                a1,
                a2,
                a3,
                a4,
                a5,
                a6,
                a7,
                0x41,
                b0,
                b1,
                b2,
                b3,
                b4,
                b5,
                b6,
                b7,
            ] = *times
        {
            self.start = u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]);
            self.end = u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]);
            rest = after;
        }
        rest = span_attributes(rest, watch);
        if let [0x7a, 0x00, after @ ..] = rest {
            rest = after;
        }
        if let [0x85, 0x01, f0, f1, f2, f3, after @ ..] = rest {
            self.flags = u32::from_le_bytes([*f0, *f1, *f2, *f3]);
            rest = after;
        }
        rest
    }

    /// Reads fields in any order.
    fn any<W: Watch>(&mut self, message: &[u8], watch: &mut W) -> Result<(), Fault> {
        let mut cursor = Cursor::new(message);
        while !cursor.is_empty() {
            let place = cursor.rest();
            match cursor.raw_key()? {
                key::ATTRIBUTE => {
                    let attribute = cursor.bytes()?;
                    if watch.wants_attributes() {
                        show_attribute(attribute, |key, value| watch.span_attribute(key, value))?;
                    } else {
                        check(Shape::KeyValue, attribute, VALUE_DEPTH_MAX)?;
                    }
                    cursor = Cursor::new(span_attributes(cursor.rest(), watch));
                }
                key::TRACE_ID => self.trace = trace_id(cursor.bytes()?),
                key::SPAN_ID => self.span = span_id(cursor.bytes()?),
                key::PARENT_SPAN_ID => self.parent = span_id(cursor.bytes()?),
                key::START_TIME => self.start = cursor.fixed64()?,
                key::END_TIME => self.end = cursor.fixed64()?,
                key::NAME => drop(cursor.bytes()?),
                key::KIND => drop(cursor.varint()?),
                key::STATUS => read_status(cursor.bytes()?, &mut self.status)?,
                key::FLAGS => self.flags = cursor.fixed32()?,
                key::TRACE_STATE => {
                    let text = cursor.bytes()?;
                    if watch.wants_trace_state() {
                        watch.trace_state(text);
                    }
                }
                key => check_field(
                    Shape::Span,
                    split_key(key, place)?,
                    &mut cursor,
                    VALUE_DEPTH_MAX,
                    place,
                )?,
            }
        }
        Ok(())
    }
}

/// What is left after the plain attributes at the beginning, which are shown.
#[inline(always)]
fn span_attributes<'a, W: Watch>(message: &'a [u8], watch: &mut W) -> &'a [u8] {
    if watch.wants_attributes() {
        plain_attributes(key::ATTRIBUTE as u8, message, |key, value| {
            watch.span_attribute(key, value);
        })
    } else {
        plain_attributes(key::ATTRIBUTE as u8, message, |_, _| {})
    }
}

/// Checks a `Resource` message and shows its attributes.
pub(super) fn show_resource<W: Watch>(message: &[u8], watch: &mut W) -> Result<(), Fault> {
    let mut cursor = Cursor::new(message);
    while !cursor.is_empty() {
        let place = cursor.rest();
        match cursor.raw_key()? {
            RESOURCE_ATTRIBUTE => {
                show_attribute(cursor.bytes()?, |key, value| {
                    watch.resource_attribute(key, value);
                })?;
                let show = |key: &[u8], value: &[u8]| watch.resource_attribute(key, value);
                let rest = plain_attributes(RESOURCE_ATTRIBUTE as u8, cursor.rest(), show);
                cursor = Cursor::new(rest);
            }
            key => check_field(
                Shape::Resource,
                split_key(key, place)?,
                &mut cursor,
                VALUE_DEPTH_MAX,
                place,
            )?,
        }
    }
    Ok(())
}

/// Checks and shows any attribute. As protobuf has it the last name stands, and several values are one, which is all of
/// their fields.
#[inline(never)]
fn show_attribute(message: &[u8], show: impl FnOnce(&[u8], &[u8])) -> Result<(), Fault> {
    check(Shape::KeyValue, message, VALUE_DEPTH_MAX)?;
    let (mut name, mut value) = (&[][..], Cow::Borrowed(&[][..]));
    for field in fields(message) {
        match field {
            (1, Payload::Bytes(bytes)) => name = bytes,
            (2, Payload::Bytes(bytes)) if value.is_empty() => value = Cow::Borrowed(bytes),
            (2, Payload::Bytes(bytes)) => value.to_mut().extend_from_slice(bytes),
            _ => {}
        }
    }
    show(name, &value);
    Ok(())
}

/// The code is the only field that matters; of several messages the last code stands.
fn read_status(message: &[u8], status: &mut StatusCode) -> Result<(), Fault> {
    let mut cursor = Cursor::new(message);
    while !cursor.is_empty() {
        let place = cursor.rest();
        match cursor.key()? {
            (3, WireType::Varint) => *status = status_code(cursor.varint()?),
            key => check_field(Shape::Status, key, &mut cursor, VALUE_DEPTH_MAX, place)?,
        }
    }
    Ok(())
}

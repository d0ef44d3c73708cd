//! Which messages may stand where: the whole structure of a trace request, as far as OTLP 1.x knows it.
//!
//! A known field of another wire type than its own is an error, as in prost and in the Go collector; an unknown field is
//! skipped. Text is not looked at: invalid UTF-8 is accepted here, where prost refuses the whole request.

use crate::wire::{Cursor, Fault, WireError, WireType};

/// Most values inside each other: `[[[1]]]` has four. Large enough for every attribute that was ever meant, small enough
/// that whoever descends by recursion cannot exhaust a thread's stack. (prost gives up at about 47 lists, the Go
/// collector at none.)
pub const VALUE_DEPTH_MAX: u32 = 256;

/// A message of the trace request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Request,
    ResourceSpans,
    Resource,
    EntityRef,
    ScopeSpans,
    Scope,
    Span,
    Event,
    Link,
    Status,
    KeyValue,
    AnyValue,
    ArrayValue,
    KeyValueList,
}

/// What a field must hold.
#[derive(Debug, Clone, Copy)]
enum Rule {
    Varint,
    Fixed64,
    Fixed32,
    /// Bytes or text.
    Bytes,
    Message(Shape),
    Unknown,
}

/// Checks a whole request.
///
/// # Errors
/// [`WireError`] with the first place that is wrong.
pub(crate) fn check_request(request: &[u8]) -> Result<(), WireError> {
    check(Shape::Request, request, VALUE_DEPTH_MAX).map_err(|fault| fault.within(request))
}

/// Checks one message; values may nest `depth` levels.
pub(crate) fn check(shape: Shape, message: &[u8], mut depth: u32) -> Result<(), Fault> {
    if shape == Shape::AnyValue {
        if depth == 0 {
            return Err(Fault::at(message, "values nest too deeply"));
        }
        depth -= 1;
    }
    let mut cursor = Cursor::new(message);
    while !cursor.is_empty() {
        let place = cursor.rest();
        let key = cursor.key()?;
        check_field(shape, key, &mut cursor, depth, place)?;
    }
    Ok(())
}

/// Checks the value after a key. `place` is where the key stands.
#[inline]
pub(crate) fn check_field<'a>(
    shape: Shape,
    (field, wire): (u32, WireType),
    cursor: &mut Cursor<'a>,
    depth: u32,
    place: &'a [u8],
) -> Result<(), Fault> {
    match (rule(shape, field), wire) {
        (Rule::Varint, WireType::Varint) => cursor.varint().map(drop),
        (Rule::Fixed64, WireType::Fixed64) => cursor.fixed64().map(drop),
        (Rule::Fixed32, WireType::Fixed32) => cursor.fixed32().map(drop),
        (Rule::Bytes, WireType::Bytes) => cursor.bytes().map(drop),
        (Rule::Message(Shape::KeyValue), WireType::Bytes) => check_attributes(place, cursor, depth),
        (Rule::Message(inner), WireType::Bytes) => check(inner, cursor.bytes()?, depth),
        (Rule::Unknown, _) => cursor.payload(field, wire).map(drop),
        (Rule::Varint | Rule::Fixed64 | Rule::Fixed32 | Rule::Bytes | Rule::Message(_), _) => {
            Err(Fault::at(place, "a known field has a wrong wire type"))
        }
    }
}

/// Checks an attribute, whose key stands at `place`, and the plain ones that follow it.
pub(crate) fn check_attributes<'a>(
    place: &'a [u8],
    cursor: &mut Cursor<'a>,
    depth: u32,
) -> Result<(), Fault> {
    // Where values may nest no further there are none.
    if depth > 0
        && let [key @ ..0x80, ..] = place
    {
        let rest = plain_attributes(*key, place, |_, _| {});
        if rest.len() < place.len() {
            *cursor = Cursor::new(rest);
            return Ok(());
        }
    }
    check(Shape::KeyValue, cursor.bytes()?, depth)
}

/// Shows key and encoded value of all attributes at the beginning of a message that have this key of one byte and are
/// checked at a glance, and gives what is left: a key, then a value of text, truth, number or fraction, every length in
/// one byte. Attributes stand side by side and are half of a span's work: four bytes are compared at a time, and this
/// loop stays in registers.
#[inline(always)]
pub(crate) fn plain_attributes<'a>(
    key: u8,
    message: &'a [u8],
    mut show: impl FnMut(&'a [u8], &'a [u8]),
) -> &'a [u8] {
    // The attribute's key, a length below 128, the key of the attribute's key, a length below 128.
    const SHORT_LENGTHS: u32 = 0x80ff_80ff;
    let beginning = u32::from(key) | 0x000a_0000;
    let mut rest = message;
    while let Some(head) = number_at(rest, 0)
        && head & SHORT_LENGTHS == beginning
        && let Some((attribute, next)) = rest.split_at_checked(2 + (head >> 8 & 0x7f) as usize)
        && let value_at = 4 + (head >> 24) as usize
        && let Some(value_head) = number_at(attribute, value_at)
    {
        // The value's key and length, the key of its only field, and that one's length or first byte. A text reaches to
        // the end of the value, and the value to the end of the attribute.
        let text_length = (attribute.len() - value_at - 4) as u32;
        let text_head = 0x000a_0212 + text_length * 0x0100_0100;
        let is_plain = value_head == text_head
            || value_head & 0xffff == text_head & 0xffff && is_plain_number(&attribute[value_at + 2..]);
        if !is_plain {
            break;
        }
        show(&attribute[4..value_at], &attribute[value_at + 2..]);
        rest = next;
    }
    rest
}

/// The four bytes at a place.
#[inline(always)]
fn number_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// True for a value of one truth, number or fraction.
#[inline]
fn is_plain_number(value: &[u8]) -> bool {
    match value {
        [0x10 | 0x18, number] => *number < 0x80,
        [0x18, low, high] => *low >= 0x80 && *high < 0x80,
        [0x18, low, middle, high] => *low >= 0x80 && *middle >= 0x80 && *high < 0x80,
        [0x21, _, _, _, _, _, _, _, _] => true,
        _ => false,
    }
}

/// OTLP's field numbers.
#[inline]
fn rule(shape: Shape, field: u32) -> Rule {
    use Rule::{Bytes, Fixed32, Fixed64, Message, Unknown, Varint};
    match (shape, field) {
        (Shape::Request, 1) => Message(Shape::ResourceSpans),
        (Shape::ResourceSpans, 1) => Message(Shape::Resource),
        (Shape::ResourceSpans, 2) => Message(Shape::ScopeSpans),
        (Shape::ResourceSpans, 3) => Bytes,
        (Shape::Resource, 1) => Message(Shape::KeyValue),
        (Shape::Resource, 2) => Varint,
        (Shape::Resource, 3) => Message(Shape::EntityRef),
        (Shape::EntityRef, 1..=4) => Bytes,
        (Shape::ScopeSpans, 1) => Message(Shape::Scope),
        (Shape::ScopeSpans, 2) => Message(Shape::Span),
        (Shape::ScopeSpans, 3) => Bytes,
        (Shape::Scope, 1 | 2) => Bytes,
        (Shape::Scope, 3) => Message(Shape::KeyValue),
        (Shape::Scope, 4) => Varint,
        (Shape::Span, 1..=5) => Bytes,
        (Shape::Span, 6 | 10 | 12 | 14) => Varint,
        (Shape::Span, 7 | 8) => Fixed64,
        (Shape::Span, 9) => Message(Shape::KeyValue),
        (Shape::Span, 11) => Message(Shape::Event),
        (Shape::Span, 13) => Message(Shape::Link),
        (Shape::Span, 15) => Message(Shape::Status),
        (Shape::Span, 16) => Fixed32,
        (Shape::Event, 1) => Fixed64,
        (Shape::Event, 2) => Bytes,
        (Shape::Event, 3) => Message(Shape::KeyValue),
        (Shape::Event, 4) => Varint,
        (Shape::Link, 1..=3) => Bytes,
        (Shape::Link, 4) => Message(Shape::KeyValue),
        (Shape::Link, 5) => Varint,
        (Shape::Link, 6) => Fixed32,
        (Shape::Status, 2) => Bytes,
        (Shape::Status, 3) => Varint,
        (Shape::KeyValue, 1) => Bytes,
        (Shape::KeyValue, 2) => Message(Shape::AnyValue),
        (Shape::KeyValue, 3) => Varint,
        (Shape::AnyValue, 1 | 7) => Bytes,
        (Shape::AnyValue, 2 | 3 | 8) => Varint,
        (Shape::AnyValue, 4) => Fixed64,
        (Shape::AnyValue, 5) => Message(Shape::ArrayValue),
        (Shape::AnyValue, 6) => Message(Shape::KeyValueList),
        (Shape::ArrayValue, 1) => Message(Shape::AnyValue),
        (Shape::KeyValueList, 1) => Message(Shape::KeyValue),
        (_, _) => Unknown,
    }
}

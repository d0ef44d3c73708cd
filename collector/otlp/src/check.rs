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
pub(crate) fn check_field(
    shape: Shape,
    (field, wire): (u32, WireType),
    cursor: &mut Cursor<'_>,
    depth: u32,
    place: &[u8],
) -> Result<(), Fault> {
    match (rule(shape, field), wire) {
        (Rule::Varint, WireType::Varint) => cursor.varint().map(drop),
        (Rule::Fixed64, WireType::Fixed64) => cursor.fixed64().map(drop),
        (Rule::Fixed32, WireType::Fixed32) => cursor.fixed32().map(drop),
        (Rule::Bytes, WireType::Bytes) => cursor.bytes().map(drop),
        (Rule::Message(Shape::KeyValue), WireType::Bytes) => check_key_value(cursor.bytes()?, depth),
        (Rule::Message(inner), WireType::Bytes) => check(inner, cursor.bytes()?, depth),
        (Rule::Unknown, _) => cursor.payload(field, wire).map(drop),
        (Rule::Varint | Rule::Fixed64 | Rule::Fixed32 | Rule::Bytes | Rule::Message(_), _) => {
            Err(Fault::at(place, "a known field has a wrong wire type"))
        }
    }
}

/// What is left of a message after all fields at its beginning that have this key of one byte and hold an attribute that
/// is checked at a glance. Attributes stand side by side and are half of a span's work: this loop stays in registers.
pub(crate) fn skip_plain_attributes(key: u8, message: &[u8]) -> &[u8] {
    let mut rest = message;
    while let [first, length, after @ ..] = rest
        && *first == key
        && let Some((attribute, next)) = after.split_at_checked(usize::from(*length))
        && is_plain_key_value(attribute)
    {
        rest = next;
    }
    rest
}

/// Checks an attribute. Most are short and plainly encoded: those take two dozen instructions.
#[inline]
pub(crate) fn check_key_value(message: &[u8], depth: u32) -> Result<(), Fault> {
    if depth > 0 && is_plain_key_value(message) {
        Ok(())
    } else {
        check(Shape::KeyValue, message, depth)
    }
}

/// True for some well-formed attributes: a key, then a value of text, truth, small number or fraction, every length in
/// one byte.
#[inline]
fn is_plain_key_value(message: &[u8]) -> bool {
    // The message's length bounds those within: none can be of 128 or more, where a length takes two bytes.
    if message.len() >= 0x80 {
        return false;
    }
    let [0x0a, key_length, after_key_length @ ..] = message else {
        return false;
    };
    let Some(value_field) = after_key_length.get(usize::from(*key_length)..) else {
        return false;
    };
    let [0x12, value_length, value @ ..] = value_field else {
        return false;
    };
    if usize::from(*value_length) != value.len() {
        return false;
    }
    match value {
        [0x0a, length, text @ ..] => usize::from(*length) == text.len(),
        [0x10 | 0x18, number] => *number < 0x80,
        [0x18, low, high] => *low >= 0x80 && *high < 0x80,
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

//! Wire bytes to the borrowed types of [`crate::view`].

use std::borrow::Cow;

use crate::check::check_request;
use crate::id::{SpanId, TraceId};
use crate::view::{
    AnyValue, Event, KeyValue, Link, ResourceSpans, ScopeSpans, Span, SpanKind, Status, StatusCode,
};
use crate::wire::{Cursor, Payload, WireError, fields};

/// The bytes are not an `ExportTraceServiceRequest`.
pub type DecodeError = WireError;

/// Most attributes, events, links and elements of values that are decoded of one span, all together, and the same of one
/// resource and of one scope: what follows is left out. They are larger in memory than on the wire (2 bytes can become
/// 56), so that a hostile span must not choose how many. An X-Ray document is at most 64 kB and has no room for as many.
pub const ITEMS_MAX: usize = 16_384;

/// Attributes that most spans and resources have at most.
const USUAL_ATTRIBUTES: usize = 16;

/// Decodes an encoded `ExportTraceServiceRequest` or `TracesData`.
///
/// By the rules of protobuf: the last of a repeated single field wins, or is merged if it is a message. An id of a wrong
/// length is as an absent one. Text that is not UTF-8 gets U+FFFD where it is wrong.
///
/// # Errors
/// [`DecodeError`] on malformed bytes, a known field of a wrong wire type, and values nested more than
/// [`crate::check::VALUE_DEPTH_MAX`] levels. What `RequestWalk::walk` has taken has none of these.
pub fn decode_traces(bytes: &[u8]) -> Result<Vec<ResourceSpans<'_>>, DecodeError> {
    check_request(bytes)?;
    Ok(fields(bytes)
        .filter_map(|field| match field {
            (1, Payload::Bytes(message)) => Some(resource_spans(message)),
            _ => None,
        })
        .collect())
}

/// Decodes one span after the other of an encoded `ExportTraceServiceRequest`, so that what is decoded is never larger
/// than one span: on the wire a span can be a fraction of that, and a trace has as many as its sender likes.
#[derive(Debug)]
pub struct EachSpan<'a> {
    resources: Cursor<'a>,
    scopes: Cursor<'a>,
    spans: Cursor<'a>,
    current: [ResourceSpans<'a>; 1],
}

impl<'a> EachSpan<'a> {
    /// Before the first span.
    ///
    /// # Errors
    /// As [`decode_traces`].
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        check_request(bytes)?;
        Ok(Self::of_walked(bytes))
    }

    /// The same of bytes that `RequestWalk::walk` has taken, or that the store made of such. Of other bytes what can be
    /// read.
    pub fn of_walked(bytes: &'a [u8]) -> Self {
        Self {
            resources: Cursor::new(bytes),
            scopes: Cursor::new(&[]),
            spans: Cursor::new(&[]),
            current: [ResourceSpans::default()],
        }
    }

    /// The next span, alone with its resource and scope.
    #[expect(
        clippy::should_implement_trait,
        reason = "what it gives borrows from it: no iterator can"
    )]
    pub fn next(&mut self) -> Option<&[ResourceSpans<'a>; 1]> {
        loop {
            if let Some(message) = next_message(&mut self.spans, 2) {
                for scope in &mut self.current[0].scope_spans {
                    scope.spans.clear();
                    scope.spans.push(span(message));
                }
                return Some(&self.current);
            }
            if let Some(message) = next_message(&mut self.scopes, 2) {
                self.current[0].scope_spans.clear();
                self.current[0].scope_spans.push(scope(message));
                self.spans = Cursor::new(message);
            } else {
                let message = next_message(&mut self.resources, 1)?;
                self.current[0] = resource(message);
                self.scopes = Cursor::new(message);
            }
        }
    }
}

/// The next embedded message of one field. The whole has been checked.
fn next_message<'a>(cursor: &mut Cursor<'a>, number: u32) -> Option<&'a [u8]> {
    while !cursor.is_empty() {
        let (field, wire) = cursor.key().ok()?;
        if let (Payload::Bytes(message), true) = (cursor.payload(field, wire).ok()?, field == number) {
            return Some(message);
        }
    }
    None
}

fn resource_spans(message: &[u8]) -> ResourceSpans<'_> {
    let mut decoded = resource(message);
    decoded.scope_spans = fields(message)
        .filter_map(|field| match field {
            (2, Payload::Bytes(scope)) => Some(scope_spans(scope)),
            _ => None,
        })
        .collect();
    decoded
}

/// A `ResourceSpans` without its spans.
fn resource(message: &[u8]) -> ResourceSpans<'_> {
    let mut decoded = ResourceSpans::default();
    let mut room = ITEMS_MAX;
    for field in fields(message) {
        match field {
            (1, Payload::Bytes(resource)) => {
                for field in fields(resource) {
                    if let (1, Payload::Bytes(attribute)) = field {
                        make_room(&mut decoded.resource);
                        push_key_value(&mut decoded.resource, attribute, &mut room);
                    }
                }
            }
            (3, Payload::Bytes(url)) => decoded.schema_url = text(url),
            _ => {}
        }
    }
    decoded
}

fn scope_spans(message: &[u8]) -> ScopeSpans<'_> {
    let mut decoded = scope(message);
    decoded.spans = fields(message)
        .filter_map(|field| match field {
            (2, Payload::Bytes(message)) => Some(span(message)),
            _ => None,
        })
        .collect();
    decoded
}

/// A `ScopeSpans` without its spans.
fn scope(message: &[u8]) -> ScopeSpans<'_> {
    let mut decoded = ScopeSpans::default();
    let mut room = ITEMS_MAX;
    for field in fields(message) {
        if let (1, Payload::Bytes(scope)) = field {
            for field in fields(scope) {
                match field {
                    (1, Payload::Bytes(name)) => decoded.scope_name = text(name),
                    (2, Payload::Bytes(version)) => decoded.scope_version = text(version),
                    (3, Payload::Bytes(attribute)) => {
                        push_key_value(&mut decoded.scope_attributes, attribute, &mut room);
                    }
                    _ => {}
                }
            }
        }
    }
    decoded
}

fn span(message: &[u8]) -> Span<'_> {
    let mut decoded = Span::default();
    let mut room = ITEMS_MAX;
    for field in fields(message) {
        match field {
            (1, Payload::Bytes(id)) => decoded.trace_id = trace_id(id),
            (2, Payload::Bytes(id)) => decoded.span_id = span_id(id),
            (3, Payload::Bytes(state)) => decoded.trace_state = text(state),
            (4, Payload::Bytes(id)) => {
                decoded.parent_span_id = Some(span_id(id)).filter(|id| id.is_valid());
            }
            (5, Payload::Bytes(name)) => decoded.name = text(name),
            (6, Payload::Varint(number)) => decoded.kind = span_kind(number),
            (7, Payload::Fixed64(time)) => decoded.start_time_unix_nano = time,
            (8, Payload::Fixed64(time)) => decoded.end_time_unix_nano = time,
            (9, Payload::Bytes(attribute)) => {
                make_room(&mut decoded.attributes);
                push_key_value(&mut decoded.attributes, attribute, &mut room);
            }
            (11, Payload::Bytes(message)) if take_room(&mut room) => {
                decoded.events.push(event(message, &mut room));
            }
            (13, Payload::Bytes(message)) if take_room(&mut room) => {
                decoded.links.push(link(message, &mut room));
            }
            (15, Payload::Bytes(message)) => merge_status(&mut decoded.status, message),
            (16, Payload::Fixed32(flags)) => decoded.flags = flags,
            _ => {}
        }
    }
    decoded
}

fn event<'a>(message: &'a [u8], room: &mut usize) -> Event<'a> {
    let mut decoded = Event::default();
    for field in fields(message) {
        match field {
            (1, Payload::Fixed64(time)) => decoded.time_unix_nano = time,
            (2, Payload::Bytes(name)) => decoded.name = text(name),
            (3, Payload::Bytes(attribute)) => push_key_value(&mut decoded.attributes, attribute, room),
            _ => {}
        }
    }
    decoded
}

fn link<'a>(message: &'a [u8], room: &mut usize) -> Link<'a> {
    let mut decoded = Link::default();
    for field in fields(message) {
        match field {
            (1, Payload::Bytes(id)) => decoded.trace_id = trace_id(id),
            (2, Payload::Bytes(id)) => decoded.span_id = span_id(id),
            (4, Payload::Bytes(attribute)) => push_key_value(&mut decoded.attributes, attribute, room),
            _ => {}
        }
    }
    decoded
}

fn merge_status<'a>(status: &mut Status<'a>, message: &'a [u8]) {
    for field in fields(message) {
        match field {
            (2, Payload::Bytes(message)) => status.message = text(message),
            (3, Payload::Varint(number)) => status.code = status_code(number),
            _ => {}
        }
    }
}

/// Spans and resources have more attributes than a list has room for at first; growing costs more than
/// the rest.
fn make_room(attributes: &mut Vec<KeyValue<'_>>) {
    if attributes.is_empty() {
        attributes.reserve(USUAL_ATTRIBUTES);
    }
}

fn push_key_value<'a>(to: &mut Vec<KeyValue<'a>>, message: &'a [u8], room: &mut usize) {
    if !take_room(room) {
        return;
    }
    if let Some(usual) = usual_key_value(message) {
        to.push(usual);
        return;
    }
    let mut decoded = KeyValue::default();
    for field in fields(message) {
        match field {
            (1, Payload::Bytes(key)) => decoded.key = text(key),
            (2, Payload::Bytes(value)) => merge_value(&mut decoded.value, value, room),
            _ => {}
        }
    }
    to.push(decoded);
}

/// An attribute as encoders write it: a short key, then a text, a number or a truth value, and nothing else. None for
/// any other, of which nothing is known yet.
#[inline]
fn usual_key_value(message: &[u8]) -> Option<KeyValue<'_>> {
    let [0x0a, length @ ..0x80, rest @ ..] = message else {
        return None;
    };
    let (key, rest) = rest.split_at_checked(usize::from(*length))?;
    let [0x12, length @ ..0x80, value @ ..] = rest else {
        return None;
    };
    if value.len() != usize::from(*length) {
        return None;
    }
    let value = match value {
        [0x0a, length @ ..0x80, string @ ..] if string.len() == usize::from(*length) => {
            AnyValue::String(text(string))
        }
        [0x10, truth @ ..0x80] => AnyValue::Bool(*truth != 0),
        [0x18, number @ ..0x80] => AnyValue::Int(i64::from(*number)),
        [0x18, low @ 0x80..=0xff, high @ ..0x80] => {
            AnyValue::Int(i64::from(low & 0x7f) | i64::from(*high) << 7)
        }
        [0x21, bits @ ..] => AnyValue::Double(f64::from_le_bytes(bits.try_into().ok()?)),
        _ => return None,
    };
    Some(KeyValue {
        key: text(key),
        value,
    })
}

/// Recursion ends at the depth that has been checked.
fn merge_value<'a>(value: &mut AnyValue<'a>, message: &'a [u8], room: &mut usize) {
    for field in fields(message) {
        match field {
            (1, Payload::Bytes(string)) => *value = AnyValue::String(text(string)),
            (2, Payload::Varint(truth)) => *value = AnyValue::Bool(truth != 0),
            (3, Payload::Varint(number)) => *value = AnyValue::Int(number.cast_signed()),
            (4, Payload::Fixed64(bits)) => *value = AnyValue::Double(f64::from_bits(bits)),
            (5, Payload::Bytes(list)) => merge_array(value, list, room),
            (6, Payload::Bytes(list)) => merge_map(value, list, room),
            (7, Payload::Bytes(bytes)) => *value = AnyValue::Bytes(Cow::Borrowed(bytes)),
            // An index into a table that only profiles have.
            (8, Payload::Varint(_)) => *value = AnyValue::Empty,
            _ => {}
        }
    }
}

fn merge_array<'a>(value: &mut AnyValue<'a>, message: &'a [u8], room: &mut usize) {
    let mut elements = match std::mem::take(value) {
        AnyValue::Array(elements) => elements,
        AnyValue::Empty
        | AnyValue::String(_)
        | AnyValue::Bool(_)
        | AnyValue::Int(_)
        | AnyValue::Double(_)
        | AnyValue::Map(_)
        | AnyValue::Bytes(_) => Vec::new(),
    };
    for field in fields(message) {
        if let (1, Payload::Bytes(message)) = field
            && take_room(room)
        {
            let mut element = AnyValue::Empty;
            merge_value(&mut element, message, room);
            elements.push(element);
        }
    }
    *value = AnyValue::Array(elements);
}

fn merge_map<'a>(value: &mut AnyValue<'a>, message: &'a [u8], room: &mut usize) {
    let mut entries = match std::mem::take(value) {
        AnyValue::Map(entries) => entries,
        AnyValue::Empty
        | AnyValue::String(_)
        | AnyValue::Bool(_)
        | AnyValue::Int(_)
        | AnyValue::Double(_)
        | AnyValue::Array(_)
        | AnyValue::Bytes(_) => Vec::new(),
    };
    for field in fields(message) {
        if let (1, Payload::Bytes(message)) = field {
            push_key_value(&mut entries, message, room);
        }
    }
    *value = AnyValue::Map(entries);
}

/// False when an item must be left out.
fn take_room(room: &mut usize) -> bool {
    let fits = *room > 0;
    *room = room.saturating_sub(1);
    fits
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    // Nearly all text is UTF-8, which is seen several bytes at a time.
    match str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// All zero when there are not 16 bytes.
#[inline]
pub(crate) fn trace_id(bytes: &[u8]) -> TraceId {
    bytes.try_into().map_or(TraceId::default(), TraceId)
}

/// All zero when there are not 8 bytes.
#[inline]
pub(crate) fn span_id(bytes: &[u8]) -> SpanId {
    bytes.try_into().map_or(SpanId::default(), SpanId)
}

pub(crate) fn span_kind(number: u64) -> SpanKind {
    match enum_number(number) {
        1 => SpanKind::Internal,
        2 => SpanKind::Server,
        3 => SpanKind::Client,
        4 => SpanKind::Producer,
        5 => SpanKind::Consumer,
        _ => SpanKind::Unspecified,
    }
}

#[inline]
pub(crate) fn status_code(number: u64) -> StatusCode {
    match enum_number(number) {
        1 => StatusCode::Ok,
        2 => StatusCode::Error,
        _ => StatusCode::Unset,
    }
}

/// Enums are 32-bit numbers on a 64-bit wire: the upper half does not count.
fn enum_number(number: u64) -> u32 {
    number as u32
}

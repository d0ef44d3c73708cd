//! Spans as a program writes them, and their OTLP forms: protobuf and JSON.
//!
//! Field numbers are those of opentelemetry-proto v1 (`trace/v1/trace.proto`, `common/v1/common.proto`); JSON follows
//! the OTLP specification, "JSON Protobuf Encoding": hex ids, camelCase names, 64-bit integers as strings, enums as
//! numbers.

use serde_json::{Map, Value as Json, json};
use tracepipe_otlp::{SpanId, TraceId};

use crate::wire::Writer;

/// An attribute's value: the kinds that instrumentation writes.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// True or false.
    Bool(bool),
    /// A number with a fraction.
    Double(f64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

/// Names and values in order.
pub type Attributes = Vec<(String, Value)>;

/// `Span.SpanKind`, with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Work inside of a service.
    Internal = 1,
    /// A request that is being answered.
    Server = 2,
    /// A request that is being made.
    Client = 3,
    /// A message that is being sent.
    Producer = 4,
    /// A message that is being worked on.
    Consumer = 5,
}

/// `Status`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Status {
    /// Nothing was said.
    #[default]
    Unset,
    /// It went well.
    Ok,
    /// It failed, with a message.
    Error(String),
}

/// `Span.Event`.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// `exception`, for one.
    pub name: String,
    /// Its attributes.
    pub attributes: Attributes,
}

/// A span.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Its trace.
    pub trace_id: TraceId,
    /// Itself.
    pub span_id: SpanId,
    /// `None` for a root.
    pub parent: Option<SpanId>,
    /// W3C flags in the low byte, the is-remote bits above.
    pub flags: u32,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// Nanoseconds since the Unix epoch.
    pub start_unix_nano: u64,
    /// Nanoseconds since the Unix epoch.
    pub end_unix_nano: u64,
    /// Its attributes.
    pub attributes: Attributes,
    /// Its events.
    pub events: Vec<Event>,
    /// How it went.
    pub status: Status,
}

/// The spans of one process in one request.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceSpans {
    /// The resource's attributes.
    pub resource: Attributes,
    /// The instrumentation scope's name.
    pub scope: String,
    /// The spans.
    pub spans: Vec<Span>,
}

/// Encodes an `ExportTraceServiceRequest` as protobuf.
pub fn to_protobuf(request: &[ResourceSpans]) -> Vec<u8> {
    let mut writer = Writer::default();
    for part in request {
        writer.message(1, |resource_spans| {
            resource_spans.message(1, |resource| write_attributes(resource, 1, &part.resource));
            resource_spans.message(2, |scope_spans| {
                scope_spans.message(1, |scope| scope.string(1, &part.scope));
                for span in &part.spans {
                    scope_spans.message(2, |writer| write_span(writer, span));
                }
            });
        });
    }
    writer.into_bytes()
}

/// Encodes an `ExportTraceServiceRequest` as OTLP JSON.
pub fn to_json(request: &[ResourceSpans]) -> Vec<u8> {
    let parts: Vec<Json> = request
        .iter()
        .map(|part| {
            let spans: Vec<Json> = part.spans.iter().map(span_json).collect();
            json!({
                "resource": { "attributes": attributes_json(&part.resource) },
                "scopeSpans": [{ "scope": { "name": part.scope }, "spans": spans }],
            })
        })
        .collect();
    json!({ "resourceSpans": parts }).to_string().into_bytes()
}

fn write_span(writer: &mut Writer, span: &Span) {
    // Ids first and of fixed length: templates patch them in place.
    writer.bytes(1, &span.trace_id.0);
    writer.bytes(2, &span.span_id.0);
    if let Some(parent) = span.parent {
        writer.bytes(4, &parent.0);
    }
    writer.string(5, &span.name);
    writer.varint(6, span.kind as u64);
    writer.fixed64(7, span.start_unix_nano);
    writer.fixed64(8, span.end_unix_nano);
    write_attributes(writer, 9, &span.attributes);
    for event in &span.events {
        writer.message(11, |writer| {
            writer.fixed64(1, event.time_unix_nano);
            writer.string(2, &event.name);
            write_attributes(writer, 3, &event.attributes);
        });
    }
    match &span.status {
        Status::Unset => {}
        Status::Ok => writer.message(15, |status| status.varint(3, 1)),
        Status::Error(message) => writer.message(15, |status| {
            status.string(2, message);
            status.varint(3, 2);
        }),
    }
    if span.flags != 0 {
        writer.fixed32(16, span.flags);
    }
}

fn write_attributes(writer: &mut Writer, field: u32, attributes: &Attributes) {
    for (key, value) in attributes {
        writer.message(field, |pair| {
            pair.string(1, key);
            pair.message(2, |any| match value {
                Value::Text(text) => any.bytes(1, text.as_bytes()),
                Value::Bool(flag) => any.varint_always(2, u64::from(*flag)),
                Value::Int(number) => any.varint_always(3, number.cast_unsigned()),
                Value::Double(number) => any.fixed64(4, number.to_bits()),
            });
        });
    }
}

fn span_json(span: &Span) -> Json {
    let mut json = Map::new();
    json.insert("traceId".into(), span.trace_id.to_string().into());
    json.insert("spanId".into(), span.span_id.to_string().into());
    if let Some(parent) = span.parent {
        json.insert("parentSpanId".into(), parent.to_string().into());
    }
    json.insert("flags".into(), span.flags.into());
    json.insert("name".into(), span.name.as_str().into());
    json.insert("kind".into(), (span.kind as u64).into());
    json.insert(
        "startTimeUnixNano".into(),
        span.start_unix_nano.to_string().into(),
    );
    json.insert("endTimeUnixNano".into(), span.end_unix_nano.to_string().into());
    json.insert("attributes".into(), attributes_json(&span.attributes));
    let events: Vec<Json> = span
        .events
        .iter()
        .map(|event| {
            json!({ "timeUnixNano": event.time_unix_nano.to_string(), "name": event.name,
                    "attributes": attributes_json(&event.attributes) })
        })
        .collect();
    json.insert("events".into(), events.into());
    let status = match &span.status {
        Status::Unset => json!({}),
        Status::Ok => json!({ "code": 1 }),
        Status::Error(message) => json!({ "code": 2, "message": message }),
    };
    json.insert("status".into(), status);
    Json::Object(json)
}

fn attributes_json(attributes: &Attributes) -> Json {
    attributes
        .iter()
        .map(|(key, value)| {
            let value = match value {
                Value::Text(text) => json!({ "stringValue": text }),
                Value::Bool(flag) => json!({ "boolValue": flag }),
                Value::Int(number) => json!({ "intValue": number.to_string() }),
                Value::Double(number) => json!({ "doubleValue": number }),
            };
            json!({ "key": key, "value": value })
        })
        .collect()
}

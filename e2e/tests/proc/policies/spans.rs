//! OTLP traces as a hostile or careless client may write them: what `tracepipe_e2e::spans` leaves out.
//!
//! Field numbers are those of opentelemetry-proto v1 (`trace/v1/trace.proto`, `common/v1/common.proto`).

use std::fmt;

use tracepipe_e2e::wire::Writer;

/// Text longer than this is cut in messages.
const SHOWN_BYTES_MAX: usize = 80;

/// A value, or what stands in its place.
#[derive(Clone, PartialEq)]
pub(super) enum Value {
    /// Perhaps not UTF-8.
    Text(Vec<u8>),
    Int(i64),
    Double(f64),
    Bool(bool),
    Bytes(Vec<u8>),
    Array(Vec<Value>),
    Map(Vec<(String, Value)>),
    /// An `AnyValue` without a value.
    Empty,
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.as_bytes().to_vec())
    }
}

/// A `KeyValue`. Protobuf lets its value be absent, or be there more than once: then the last one stands.
#[derive(Clone, PartialEq)]
pub(super) struct Attribute {
    pub(super) key: String,
    pub(super) values: Vec<Value>,
}

impl Attribute {
    pub(super) fn new(key: &str, value: impl Into<Value>) -> Self {
        Self {
            key: key.to_owned(),
            values: vec![value.into()],
        }
    }
}

/// Where fields stand that usually come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Layout {
    /// As every encoder writes them.
    #[default]
    Usual,
    /// After those that usually follow.
    Late,
    /// In two parts, one before and one after.
    Split,
}

/// A span. Ids, names and events that no policy looks at are left to the encoder.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Span {
    /// Number of its trace within the traffic.
    pub(super) trace: usize,
    /// Unique within the traffic.
    pub(super) number: u64,
    pub(super) root: bool,
    pub(super) layout: Layout,
    pub(super) flags: u32,
    pub(super) start_unix_nano: u64,
    pub(super) end_unix_nano: u64,
    /// The number on the wire; `None`: no status at all.
    pub(super) status: Option<i32>,
    /// Protobuf lets it be there more than once: then the last one stands.
    pub(super) trace_states: Vec<Text>,
    pub(super) attributes: Vec<Attribute>,
}

/// Text that is perhaps not UTF-8.
#[derive(Clone, PartialEq)]
pub(super) struct Text(pub(super) Vec<u8>);

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct ScopeSpans {
    pub(super) attributes: Vec<Attribute>,
    pub(super) spans: Vec<Span>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct ResourceSpans {
    /// `None`: the message has no resource.
    pub(super) resource: Option<Vec<Attribute>>,
    pub(super) layout: Layout,
    pub(super) scopes: Vec<ScopeSpans>,
}

/// Encodes an `ExportTraceServiceRequest`; `trace_ids` by [`Span::trace`].
pub(super) fn encode(request: &[ResourceSpans], trace_ids: &[[u8; 16]]) -> Vec<u8> {
    let mut writer = Writer::default();
    for part in request {
        writer.message(1, |writer| resource_spans(writer, part, trace_ids));
    }
    writer.into_bytes()
}

/// The bytes of a span within its `ScopeSpans`, with tag and length.
pub(super) fn span_bytes(span: &Span, trace_ids: &[[u8; 16]]) -> usize {
    let mut writer = Writer::default();
    writer.message(2, |writer| write_span(writer, span, trace_ids));
    writer.into_bytes().len()
}

fn resource_spans(writer: &mut Writer, part: &ResourceSpans, trace_ids: &[[u8; 16]]) {
    let attributes = part.resource.as_deref().unwrap_or_default();
    let (before, after) = match part.layout {
        Layout::Usual => (Some(attributes), None),
        Layout::Late => (None, Some(attributes)),
        Layout::Split => {
            let (before, after) = attributes.split_at(attributes.len() / 2);
            (Some(before), Some(after))
        }
    };
    let resource = |writer: &mut Writer, attributes: Option<&[Attribute]>| {
        if let Some(attributes) = attributes
            && part.resource.is_some()
        {
            writer.message(1, |writer| write_attributes(writer, 1, attributes));
        }
    };
    resource(writer, before);
    for scope in &part.scopes {
        writer.message(2, |writer| {
            writer.message(1, |writer| {
                writer.string(1, "parity");
                write_attributes(writer, 3, &scope.attributes);
            });
            for span in &scope.spans {
                writer.message(2, |writer| write_span(writer, span, trace_ids));
            }
        });
    }
    resource(writer, after);
}

fn write_span(writer: &mut Writer, span: &Span, trace_ids: &[[u8; 16]]) {
    let rest = |writer: &mut Writer, attributes: &[Attribute]| {
        for state in &span.trace_states {
            writer.bytes(3, &state.0);
        }
        write_attributes(writer, 9, attributes);
        if let Some(code) = span.status {
            writer.message(15, |status| status.varint(3, i64::from(code).cast_unsigned()));
        }
    };
    let (before, after) = match span.layout {
        Layout::Usual => (None, &span.attributes[..]),
        Layout::Late => (Some(&span.attributes[..]), &[][..]),
        Layout::Split => {
            let (before, after) = span.attributes.split_at(span.attributes.len() / 2);
            (Some(before), after)
        }
    };
    if let Some(attributes) = before {
        write_attributes(writer, 9, attributes);
    }
    writer.bytes(1, &trace_ids[span.trace]);
    writer.bytes(2, &span.number.to_be_bytes());
    if !span.root {
        writer.bytes(4, &[7; 8]);
    }
    writer.string(5, "step");
    writer.varint(6, 1);
    // Zero is the default; some encoders write it and some do not.
    for (field, nanos) in [(7, span.start_unix_nano), (8, span.end_unix_nano)] {
        if nanos != 0 || span.number.is_multiple_of(2) {
            writer.fixed64(field, nanos);
        }
    }
    if span.layout == Layout::Late {
        // A field of a version to come.
        writer.bytes(1000, b"unknown");
    }
    rest(writer, after);
    if span.flags != 0 {
        writer.fixed32(16, span.flags);
    }
}

fn write_attributes(writer: &mut Writer, field: u32, attributes: &[Attribute]) {
    for attribute in attributes {
        writer.message(field, |pair| {
            let (last, first) = match attribute.values.split_last() {
                Some((last, first)) => (Some(last), first),
                None => (None, &[][..]),
            };
            if !first.is_empty() {
                // Of two keys the last one stands too.
                pair.string(1, "retry");
            }
            for value in first {
                pair.message(2, |any| write_value(any, value));
            }
            pair.bytes(1, attribute.key.as_bytes());
            if let Some(value) = last {
                pair.message(2, |any| write_value(any, value));
            }
        });
    }
}

fn write_value(any: &mut Writer, value: &Value) {
    match value {
        Value::Text(text) => any.bytes(1, text),
        Value::Bool(flag) => any.varint_always(2, u64::from(*flag)),
        Value::Int(number) => any.varint_always(3, number.cast_unsigned()),
        Value::Double(number) => any.fixed64(4, number.to_bits()),
        Value::Array(items) => any.message(5, |list| {
            for item in items {
                list.message(1, |any| write_value(any, item));
            }
        }),
        Value::Map(entries) => any.message(6, |list| {
            for (key, value) in entries {
                list.message(1, |pair| {
                    pair.string(1, key);
                    pair.message(2, |any| write_value(any, value));
                });
            }
        }),
        Value::Bytes(bytes) => any.bytes(7, bytes),
        Value::Empty => {}
    }
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} = {:?}", self.key, self.values)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => show(f, "", text),
            Self::Int(number) => write!(f, "{number}"),
            Self::Double(number) => write!(f, "{number:?}f64"),
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Bytes(bytes) => show(f, "bytes ", bytes),
            Self::Array(items) => f.debug_list().entries(items).finish(),
            Self::Map(entries) => f
                .debug_map()
                .entries(entries.iter().map(|(key, value)| (key, value)))
                .finish(),
            Self::Empty => f.write_str("empty"),
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, "", &self.0)
    }
}

fn show(f: &mut fmt::Formatter<'_>, kind: &str, bytes: &[u8]) -> fmt::Result {
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    let more = if shown.len() < bytes.len() {
        format!("... ({} bytes)", bytes.len())
    } else {
        String::new()
    };
    match std::str::from_utf8(shown) {
        Ok(text) => write!(f, "{kind}{text:?}{more}"),
        Err(_) => write!(f, "{kind}b\"{}\"{more}", shown.escape_ascii()),
    }
}

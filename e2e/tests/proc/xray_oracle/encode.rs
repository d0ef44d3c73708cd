//! Spans as protobuf, whatever is in them.

use bytes::Bytes;
use tracepipe_e2e::wire::Writer;
use tracepipe_otlp::view::{AnyValue, KeyValue, ResourceSpans, Span, StatusCode};

/// An `ExportTraceServiceRequest`.
pub(crate) fn request(all: &[ResourceSpans<'_>]) -> Bytes {
    let mut writer = Writer::default();
    for part in all {
        writer.message(1, |resource_spans| {
            resource_spans.message(1, |resource| attributes(resource, 1, &part.resource));
            for scope in &part.scope_spans {
                resource_spans.message(2, |scope_spans| {
                    scope_spans.message(1, |writer| writer.string(1, &scope.scope_name));
                    for it in &scope.spans {
                        scope_spans.message(2, |writer| span(writer, it));
                    }
                });
            }
        });
    }
    writer.into_bytes().into()
}

fn span(writer: &mut Writer, span: &Span<'_>) {
    writer.bytes(1, &span.trace_id.0);
    writer.bytes(2, &span.span_id.0);
    writer.string(3, &span.trace_state);
    if let Some(parent) = span.parent_span_id {
        writer.bytes(4, &parent.0);
    }
    writer.string(5, &span.name);
    writer.varint(6, span.kind as u64);
    writer.fixed64(7, span.start_time_unix_nano);
    writer.fixed64(8, span.end_time_unix_nano);
    attributes(writer, 9, &span.attributes);
    for event in &span.events {
        writer.message(11, |writer| {
            writer.fixed64(1, event.time_unix_nano);
            writer.string(2, &event.name);
            attributes(writer, 3, &event.attributes);
        });
    }
    for link in &span.links {
        writer.message(13, |writer| {
            writer.bytes(1, &link.trace_id.0);
            writer.bytes(2, &link.span_id.0);
            attributes(writer, 4, &link.attributes);
        });
    }
    writer.message(15, |status| {
        status.string(2, &span.status.message);
        status.varint(
            3,
            match span.status.code {
                StatusCode::Unset => 0,
                StatusCode::Ok => 1,
                StatusCode::Error => 2,
            },
        );
    });
    writer.fixed32(16, span.flags);
}

fn attributes(writer: &mut Writer, field: u32, attributes: &[KeyValue<'_>]) {
    for pair in attributes {
        writer.message(field, |writer| key_value(writer, pair));
    }
}

fn key_value(writer: &mut Writer, pair: &KeyValue<'_>) {
    writer.string(1, &pair.key);
    writer.message(2, |writer| any(writer, &pair.value));
}

fn any(writer: &mut Writer, value: &AnyValue<'_>) {
    match value {
        AnyValue::Empty => {}
        AnyValue::String(text) => writer.bytes(1, text.as_bytes()),
        AnyValue::Bool(flag) => writer.varint_always(2, u64::from(*flag)),
        AnyValue::Int(number) => writer.varint_always(3, number.cast_unsigned()),
        AnyValue::Double(number) => writer.fixed64(4, number.to_bits()),
        AnyValue::Array(items) => writer.message(5, |writer| {
            for item in items {
                writer.message(1, |writer| any(writer, item));
            }
        }),
        AnyValue::Map(pairs) => writer.message(6, |writer| {
            for pair in pairs {
                writer.message(1, |writer| key_value(writer, pair));
            }
        }),
        AnyValue::Bytes(bytes) => writer.bytes(7, bytes),
    }
}

//! Requests as JSON, by another way than the decoder's.

use serde_json::json;

use crate::proto;
use crate::proto::any_value::Value;

/// How another encoder writes a request.
pub(super) fn to_json(request: &proto::ExportTraceServiceRequest, style: Style) -> serde_json::Value {
    let resource_spans: Vec<_> = request
        .resource_spans
        .iter()
        .map(|from| {
            let mut to = json!({ "schemaUrl": from.schema_url });
            to[style.name("scopeSpans", "scope_spans")] = from
                .scope_spans
                .iter()
                .map(|scope| scope_json(scope, style))
                .collect();
            if let Some(resource) = &from.resource {
                to["resource"] = json!({
                    "attributes": attributes_json(&resource.attributes),
                    "droppedAttributesCount": resource.dropped_attributes_count,
                });
            }
            to
        })
        .collect();
    let mut to = json!({});
    to[style.name("resourceSpans", "resource_spans")] = resource_spans.into();
    to
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) snake: bool,
    pub(super) quoted: bool,
}

impl Style {
    fn name(self, camel: &'static str, snake: &'static str) -> &'static str {
        if self.snake { snake } else { camel }
    }

    fn number(self, number: u64) -> serde_json::Value {
        if self.quoted {
            number.to_string().into()
        } else {
            number.into()
        }
    }
}

fn scope_json(from: &proto::ScopeSpans, style: Style) -> serde_json::Value {
    let mut to = json!({ "schemaUrl": from.schema_url });
    to["spans"] = from.spans.iter().map(|span| span_to_json(span, style)).collect();
    if let Some(scope) = &from.scope {
        to["scope"] = json!({
            "name": scope.name,
            "version": scope.version,
            "attributes": attributes_json(&scope.attributes),
            "droppedAttributesCount": scope.dropped_attributes_count,
        });
    }
    to
}

fn span_to_json(from: &proto::Span, style: Style) -> serde_json::Value {
    let events: Vec<_> = from
        .events
        .iter()
        .map(|event| {
            json!({
                "timeUnixNano": style.number(event.time_unix_nano),
                "name": event.name,
                "attributes": attributes_json(&event.attributes),
                "droppedAttributesCount": event.dropped_attributes_count,
            })
        })
        .collect();
    let links: Vec<_> = from
        .links
        .iter()
        .map(|link| {
            json!({
                "traceId": hex(&link.trace_id),
                "spanId": hex(&link.span_id),
                "traceState": link.trace_state,
                "attributes": attributes_json(&link.attributes),
                "droppedAttributesCount": link.dropped_attributes_count,
                "flags": link.flags,
            })
        })
        .collect();
    let mut to = json!({
        "spanId": hex(&from.span_id),
        "traceState": from.trace_state,
        "parentSpanId": hex(&from.parent_span_id),
        "name": from.name,
        "kind": from.kind,
        "endTimeUnixNano": style.number(from.end_time_unix_nano),
        "attributes": attributes_json(&from.attributes),
        "droppedAttributesCount": from.dropped_attributes_count,
        "events": events,
        "droppedEventsCount": style.number(u64::from(from.dropped_events_count)),
        "links": links,
        "droppedLinksCount": from.dropped_links_count,
        "flags": from.flags,
    });
    to[style.name("traceId", "trace_id")] = hex(&from.trace_id).into();
    to[style.name("startTimeUnixNano", "start_time_unix_nano")] = style.number(from.start_time_unix_nano);
    if let Some(status) = &from.status {
        to["status"] = json!({ "message": status.message, "code": status.code });
    }
    to
}

fn attributes_json(from: &[proto::KeyValue]) -> serde_json::Value {
    from.iter()
        .map(|attribute| match &attribute.value {
            Some(value) => json!({ "key": attribute.key, "value": value_json(value) }),
            None => json!({ "key": attribute.key }),
        })
        .collect()
}

fn value_json(from: &proto::AnyValue) -> serde_json::Value {
    use base64::Engine;
    match &from.value {
        None => json!({}),
        Some(Value::StringValue(text)) => json!({ "stringValue": text }),
        Some(Value::BoolValue(truth)) => json!({ "boolValue": truth }),
        Some(Value::IntValue(number)) => json!({ "intValue": number.to_string() }),
        Some(Value::DoubleValue(number)) if number.is_finite() => json!({ "doubleValue": number }),
        Some(Value::DoubleValue(number)) if number.is_nan() => json!({ "doubleValue": "NaN" }),
        Some(Value::DoubleValue(number)) if *number > 0.0 => json!({ "doubleValue": "Infinity" }),
        Some(Value::DoubleValue(_)) => json!({ "doubleValue": "-Infinity" }),
        Some(Value::ArrayValue(list)) => {
            let values: Vec<_> = list.values.iter().map(value_json).collect();
            json!({ "arrayValue": { "values": values } })
        }
        Some(Value::KvlistValue(list)) => {
            json!({ "kvlistValue": { "values": attributes_json(&list.values) } })
        }
        Some(Value::BytesValue(bytes)) => {
            json!({ "bytesValue": base64::engine::general_purpose::STANDARD.encode(bytes) })
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! Requests as JSON, by another way than the decoder's, and texts that are nearly such.

use proptest::prelude::*;
use serde_json::json;

use super::requests;
use crate::proto;
use crate::proto::any_value::Value;

/// How another encoder writes a request.
pub(crate) fn to_json(request: &proto::ExportTraceServiceRequest, style: Style) -> serde_json::Value {
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
pub(crate) struct Style {
    pub(crate) snake: bool,
    pub(crate) quoted: bool,
}

impl Style {
    pub(super) fn name(self, camel: &'static str, snake: &'static str) -> &'static str {
        if self.snake { snake } else { camel }
    }

    pub(super) fn number(self, number: u64) -> serde_json::Value {
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

pub(super) fn attributes_json(from: &[proto::KeyValue]) -> serde_json::Value {
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

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Requests in JSON from an encoder or with everything a reader may meet, some of them changed, cut out or cut off.
pub(crate) fn json_texts() -> impl Strategy<Value = Vec<u8>> {
    let encoded = (requests(), any::<[bool; 3]>()).prop_map(|(request, [snake, quoted, pretty])| {
        let json = to_json(&request, Style { snake, quoted });
        if pretty {
            format!("{json:#}")
        } else {
            json.to_string()
        }
    });
    let wild = prop::collection::vec(any::<u8>(), 0..200).prop_map(|entropy| {
        let mut out = String::new();
        wild_value("{request", &mut entropy.into_iter(), &mut out);
        out
    });
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..4), 0..3);
    (prop_oneof![encoded, wild], changes).prop_map(|(text, changes)| {
        let mut bytes = text.into_bytes();
        for (index, byte, change) in changes {
            if bytes.is_empty() {
                break;
            }
            let at = index.index(bytes.len());
            match change {
                0 => bytes[at] = byte,
                1 => bytes[at] = b"{}[]\",:\\u0-."[usize::from(byte) % 12],
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
        }
        bytes
    })
}

/// Names that mean something: of which message, the name, what it holds. `{` is a message, `[` a list.
const NAMES: &[(&str, &str, &str)] = &[
    ("request", "resourceSpans", "[{resource_spans"),
    ("request", "resource_spans", "[{resource_spans"),
    ("resource_spans", "resource", "{resource"),
    ("resource_spans", "scopeSpans", "[{scope_spans"),
    ("resource_spans", "schemaUrl", "text"),
    ("resource", "attributes", "[{key_value"),
    ("resource", "droppedAttributesCount", "number"),
    ("resource", "entityRefs", "[{entity_ref"),
    ("entity_ref", "type", "text"),
    ("entity_ref", "idKeys", "[text"),
    ("scope_spans", "scope", "{scope"),
    ("scope_spans", "spans", "[{span"),
    ("scope", "name", "text"),
    ("scope", "attributes", "[{key_value"),
    ("span", "traceId", "id16"),
    ("span", "spanId", "id8"),
    ("span", "parentSpanId", "id8"),
    ("span", "name", "text"),
    ("span", "kind", "enum"),
    ("span", "startTimeUnixNano", "number"),
    ("span", "end_time_unix_nano", "number"),
    ("span", "attributes", "[{key_value"),
    ("span", "attributes", "[{key_value"),
    ("span", "events", "[{event"),
    ("span", "links", "[{link"),
    ("span", "status", "{status"),
    ("span", "flags", "number"),
    ("event", "timeUnixNano", "number"),
    ("event", "attributes", "[{key_value"),
    ("link", "traceId", "id16"),
    ("link", "attributes", "[{key_value"),
    ("status", "code", "enum"),
    ("status", "message", "text"),
    ("key_value", "key", "text"),
    ("key_value", "value", "{value"),
    ("key_value", "value", "{value"),
    ("value", "stringValue", "text"),
    ("value", "string_value", "text"),
    ("value", "boolValue", "truth"),
    ("value", "intValue", "number"),
    ("value", "doubleValue", "fraction"),
    ("value", "arrayValue", "{list"),
    ("value", "kvlistValue", "{map"),
    ("value", "bytesValue", "base64"),
    ("list", "values", "[{value"),
    ("map", "values", "[{key_value"),
];

/// What may stand for a value of some kind; of another kind it is wrong.
const SCALARS: &[(&str, &[&str])] = &[
    (
        "text",
        &[
            r#""""#,
            r#""abc""#,
            r#""http.request.method""#,
            r#""\u00e4\n\"\\""#,
            "\"\u{e4}\u{20ac}\"",
            r#""\ud83d\ude00""#,
            r#""a text that is longer than a hundred and twenty-seven bytes, so that its length takes two bytes: 0123456789 0123456789 0123456789 0123456789""#,
        ],
    ),
    (
        "number",
        &[
            "0",
            "1",
            "\"7\"",
            "127",
            "128",
            "4294967295",
            "\"999999999999999999\"",
            "\"1750000000000000000\"",
            "9223372036854775807",
            "\"18446744073709551615\"",
            "18446744073709551616",
            "-1",
            "\"-9223372036854775808\"",
            "\"+5\"",
            "\"007\"",
            "1e3",
            "\"\"",
        ],
    ),
    (
        "fraction",
        &["1.5", "\"NaN\"", "\"-Infinity\"", "-0.0", "1e999", "1e-999", "3"],
    ),
    ("truth", &["true", "false"]),
    (
        "enum",
        &[
            "2",
            "\"2\"",
            "\"SPAN_KIND_SERVER\"",
            "\"STATUS_CODE_ERROR\"",
            "99",
            "-1",
        ],
    ),
    (
        "id16",
        &[
            "\"000102030405060708090a0B0C0d0e0f\"",
            "\"\"",
            "\"00000000000000000000000000000000\"",
            "\"0001\"",
        ],
    ),
    ("id8", &["\"00010203040506Ff\"", "\"\"", "\"000102030405060g\""]),
    ("base64", &["\"+/8=\"", "\"\"", "\"+/8\"", "\"AAAA\\r\\n\""]),
    (
        "junk",
        &[
            "null",
            "[]",
            "{}",
            "[[{\"a\":[1,null]}]]",
            "{\"key\":\"k\"}",
            "tru",
            "01",
        ],
    ),
];

fn wild_value(kind: &str, entropy: &mut std::vec::IntoIter<u8>, out: &mut String) {
    let choice = entropy.next().unwrap_or(0);
    let space = if choice.is_multiple_of(11) { " " } else { "" };
    out.push_str(space);
    if let Some(message) = kind.strip_prefix('{') {
        let names: Vec<_> = NAMES.iter().filter(|(of, _, _)| *of == message).collect();
        let fields = (0..choice % 5).map(|_| {
            let pick = entropy.next().unwrap_or(0);
            let (_, name, kind) = names[usize::from(pick) % names.len()];
            let (name, kind) = if pick < 245 {
                (*name, *kind)
            } else {
                ("unknown", "junk")
            };
            let mut field = format!("\"{name}\"{space}:");
            wild_value(kind, entropy, &mut field);
            field
        });
        let fields: Vec<_> = fields.collect();
        out.push_str(&format!("{{{}{space}}}", fields.join(",")));
    } else if let Some(element) = kind.strip_prefix('[') {
        let elements = (0..choice % 4).map(|_| {
            let mut text = String::new();
            wild_value(element, entropy, &mut text);
            text
        });
        let elements: Vec<_> = elements.collect();
        out.push_str(&format!("[{}]{space}", elements.join(",")));
    } else {
        let kind = if choice < 250 { kind } else { "junk" };
        let scalars = SCALARS.iter().find(|(of, _)| *of == kind).unwrap().1;
        out.push_str(scalars[usize::from(choice) % scalars.len()]);
    }
}

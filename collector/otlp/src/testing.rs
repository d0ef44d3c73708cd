//! What the tests of several modules share: random requests, and what an independent decoder makes of them.

pub(crate) mod json;
pub(crate) mod metrics;
pub(crate) mod metrics_json;

use std::borrow::Cow;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1 as trace;
use proptest::prelude::*;
use prost::Message;

use crate::id::{SpanId, TraceId};
use crate::proto;
use crate::view::{
    AnyValue, Event, KeyValue, Link, ResourceSpans, ScopeSpans, Span, SpanKind, Status, StatusCode,
};
use crate::wire::{put_bytes, put_varint};

/// What prost and the published types make of the bytes.
pub(crate) fn oracle(bytes: &[u8]) -> Result<Vec<ResourceSpans<'static>>, prost::DecodeError> {
    let request = ExportTraceServiceRequest::decode(bytes)?;
    Ok(request.resource_spans.into_iter().map(resource_spans).collect())
}

/// The two documented differences: text is not looked at, and values may nest deeper.
pub(crate) fn only_prost_refuses(error: &prost::DecodeError) -> bool {
    let text = error.to_string();
    text.contains("UTF-8") || text.contains("recursion limit")
}

/// Fractions are compared by their bits through this, since one that is no number equals nothing.
pub(crate) fn printed(spans: &[ResourceSpans<'_>]) -> String {
    format!("{spans:#?}")
}

fn resource_spans(from: trace::ResourceSpans) -> ResourceSpans<'static> {
    ResourceSpans {
        resource: attributes(from.resource.unwrap_or_default().attributes),
        schema_url: Cow::Owned(from.schema_url),
        scope_spans: from.scope_spans.into_iter().map(scope_spans).collect(),
    }
}

fn scope_spans(from: trace::ScopeSpans) -> ScopeSpans<'static> {
    let scope = from.scope.unwrap_or_default();
    ScopeSpans {
        scope_name: Cow::Owned(scope.name),
        scope_version: Cow::Owned(scope.version),
        scope_attributes: attributes(scope.attributes),
        spans: from.spans.into_iter().map(span).collect(),
    }
}

fn span(from: trace::Span) -> Span<'static> {
    let status = from.status.unwrap_or_default();
    Span {
        trace_id: trace_id(&from.trace_id),
        span_id: span_id(&from.span_id),
        trace_state: Cow::Owned(from.trace_state),
        parent_span_id: Some(span_id(&from.parent_span_id)).filter(|id| id.is_valid()),
        flags: from.flags,
        name: Cow::Owned(from.name),
        kind: match from.kind {
            1 => SpanKind::Internal,
            2 => SpanKind::Server,
            3 => SpanKind::Client,
            4 => SpanKind::Producer,
            5 => SpanKind::Consumer,
            _ => SpanKind::Unspecified,
        },
        start_time_unix_nano: from.start_time_unix_nano,
        end_time_unix_nano: from.end_time_unix_nano,
        attributes: attributes(from.attributes),
        events: from
            .events
            .into_iter()
            .map(|event| Event {
                time_unix_nano: event.time_unix_nano,
                name: Cow::Owned(event.name),
                attributes: attributes(event.attributes),
            })
            .collect(),
        links: from
            .links
            .into_iter()
            .map(|link| Link {
                trace_id: trace_id(&link.trace_id),
                span_id: span_id(&link.span_id),
                attributes: attributes(link.attributes),
            })
            .collect(),
        status: Status {
            message: Cow::Owned(status.message),
            code: match status.code {
                1 => StatusCode::Ok,
                2 => StatusCode::Error,
                _ => StatusCode::Unset,
            },
        },
    }
}

fn attributes(from: Vec<common::KeyValue>) -> Vec<KeyValue<'static>> {
    from.into_iter()
        .map(|attribute| KeyValue {
            key: Cow::Owned(attribute.key),
            value: any_value(attribute.value.unwrap_or_default()),
        })
        .collect()
}

pub(crate) fn any_value(from: common::AnyValue) -> AnyValue<'static> {
    match from.value {
        None | Some(Value::StringValueStrindex(_)) => AnyValue::Empty,
        Some(Value::StringValue(text)) => AnyValue::String(Cow::Owned(text)),
        Some(Value::BoolValue(truth)) => AnyValue::Bool(truth),
        Some(Value::IntValue(number)) => AnyValue::Int(number),
        Some(Value::DoubleValue(number)) => AnyValue::Double(number),
        Some(Value::ArrayValue(list)) => AnyValue::Array(list.values.into_iter().map(any_value).collect()),
        Some(Value::KvlistValue(list)) => AnyValue::Map(attributes(list.values)),
        Some(Value::BytesValue(bytes)) => AnyValue::Bytes(Cow::Owned(bytes)),
    }
}

fn trace_id(bytes: &[u8]) -> TraceId {
    <[u8; 16]>::try_from(bytes).map(TraceId).unwrap_or_default()
}

fn span_id(bytes: &[u8]) -> SpanId {
    <[u8; 8]>::try_from(bytes).map(SpanId).unwrap_or_default()
}

/// Requests as clients send them, with every field in use.
pub(crate) fn requests() -> impl Strategy<Value = proto::ExportTraceServiceRequest> {
    prop::collection::vec(proto_resource_spans(), 0..4)
        .prop_map(|resource_spans| proto::ExportTraceServiceRequest { resource_spans })
}

fn proto_resource_spans() -> impl Strategy<Value = proto::ResourceSpans> {
    let resource =
        (proto_attributes(), 0_u32..3).prop_map(|(attributes, dropped_attributes_count)| proto::Resource {
            attributes,
            dropped_attributes_count,
        });
    (
        prop::option::of(resource),
        prop::collection::vec(proto_scope_spans(), 0..3),
        "[a-z]{0,3}",
    )
        .prop_map(|(resource, scope_spans, schema_url)| proto::ResourceSpans {
            resource,
            scope_spans,
            schema_url,
        })
}

fn proto_scope_spans() -> impl Strategy<Value = proto::ScopeSpans> {
    let scope = ("[a-z]{0,3}", "[0-9.]{0,3}", proto_attributes(), 0_u32..3).prop_map(
        |(name, version, attributes, dropped_attributes_count)| proto::InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    );
    (
        prop::option::of(scope),
        prop::collection::vec(proto_span(), 0..5),
        "[a-z]{0,3}",
    )
        .prop_map(|(scope, spans, schema_url)| proto::ScopeSpans {
            scope,
            spans,
            schema_url,
        })
}

fn proto_span() -> impl Strategy<Value = proto::Span> {
    let identity = (
        id(16),
        id(8),
        "[a-z=,]{0,8}",
        id(8),
        "\\PC{0,20}",
        -1_i32..8,
        any::<u32>(),
    );
    let times = (any::<u64>(), any::<u64>());
    let lists = (
        proto_attributes(),
        prop::collection::vec(proto_event(), 0..3),
        prop::collection::vec(proto_link(), 0..3),
    );
    let status = prop::option::of(
        ("\\PC{0,8}", 0_i32..4).prop_map(|(message, code)| proto::SpanStatus { message, code }),
    );
    (identity, times, lists, status, [0_u32..3, 0..3, 0..300]).prop_map(
        |(identity, times, lists, status, dropped)| {
            let (trace_id, span_id, trace_state, parent_span_id, name, kind, flags) = identity;
            let (attributes, events, links) = lists;
            proto::Span {
                trace_id,
                span_id,
                trace_state,
                parent_span_id,
                name,
                kind: kind.max(0),
                start_time_unix_nano: times.0,
                end_time_unix_nano: times.1,
                attributes,
                dropped_attributes_count: dropped[0],
                events,
                dropped_events_count: dropped[1],
                links,
                dropped_links_count: dropped[2],
                status,
                flags,
            }
        },
    )
}

/// Mostly as it should be.
fn id(length: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(any::<u8>(), length),
        1 => Just(Vec::new()),
        1 => Just(vec![0; length]),
    ]
}

fn proto_event() -> impl Strategy<Value = proto::Event> {
    (any::<u64>(), "\\PC{0,8}", proto_attributes(), 0_u32..3).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| proto::Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn proto_link() -> impl Strategy<Value = proto::Link> {
    (
        id(16),
        id(8),
        "[a-z=]{0,4}",
        proto_attributes(),
        0_u32..3,
        any::<u32>(),
    )
        .prop_map(
            |(trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags)| proto::Link {
                trace_id,
                span_id,
                trace_state,
                attributes,
                dropped_attributes_count,
                flags,
            },
        )
}

fn proto_attributes() -> impl Strategy<Value = Vec<proto::KeyValue>> {
    prop::collection::vec(proto_key_value(proto_value().boxed()), 0..4)
}

fn proto_key_value(value: BoxedStrategy<proto::AnyValue>) -> impl Strategy<Value = proto::KeyValue> {
    ("[a-c.]{0,4}", prop::option::of(value)).prop_map(|(key, value)| proto::KeyValue { key, value })
}

fn proto_value() -> impl Strategy<Value = proto::AnyValue> {
    use proto::any_value::Value;
    let leaf = prop_oneof![
        Just(None),
        "\\PC{0,8}".prop_map(|text| Some(Value::StringValue(text))),
        "[a-z]{120,140}".prop_map(|text| Some(Value::StringValue(text))),
        any::<bool>().prop_map(|truth| Some(Value::BoolValue(truth))),
        any::<i64>().prop_map(|number| Some(Value::IntValue(number))),
        (-200_i64..200).prop_map(|number| Some(Value::IntValue(number))),
        any::<f64>().prop_map(|number| Some(Value::DoubleValue(number))),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(|bytes| Some(Value::BytesValue(bytes))),
    ]
    .prop_map(|value| proto::AnyValue { value });
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|values| Value::ArrayValue(proto::ArrayValue { values })),
            prop::collection::vec(proto_key_value(inner.boxed()), 0..4)
                .prop_map(|values| Value::KvlistValue(proto::KeyValueList { values })),
        ]
        .prop_map(|value| proto::AnyValue { value: Some(value) })
    })
}

/// Encoded requests that no encoder writes but every decoder must take: fields in any order and several times,
/// messages in parts, unknown fields, groups, long numbers.
pub(crate) fn wild_bytes() -> impl Strategy<Value = Vec<u8>> {
    wild("request")
}

/// As [`wild_bytes`], of the message of this name in [`FIELDS`].
fn wild(message: &'static str) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..400).prop_map(move |entropy| {
        let mut out = Vec::new();
        let mut entropy = entropy.into_iter();
        while entropy.len() > 0 {
            wild_field(message, &mut entropy, &mut out);
        }
        out
    })
}

/// Known fields: message, number, what it holds.
const FIELDS: &[(&str, u32, &str)] = &[
    ("request", 1, "resource_spans"),
    ("resource_spans", 1, "resource"),
    ("resource_spans", 2, "scope_spans"),
    ("resource_spans", 3, "text"),
    ("resource", 1, "key_value"),
    ("resource", 2, "varint"),
    ("resource", 3, "entity_ref"),
    ("entity_ref", 1, "text"),
    ("entity_ref", 3, "text"),
    ("scope_spans", 1, "scope"),
    ("scope_spans", 2, "span"),
    ("scope_spans", 3, "text"),
    ("scope", 1, "text"),
    ("scope", 2, "text"),
    ("scope", 3, "key_value"),
    ("scope", 4, "varint"),
    ("span", 1, "id16"),
    ("span", 2, "id8"),
    ("span", 3, "text"),
    ("span", 4, "id8"),
    ("span", 5, "text"),
    ("span", 6, "varint"),
    ("span", 7, "fixed64"),
    ("span", 8, "fixed64"),
    ("span", 9, "key_value"),
    ("span", 10, "varint"),
    ("span", 11, "event"),
    ("span", 13, "link"),
    ("span", 15, "status"),
    ("span", 16, "fixed32"),
    ("event", 1, "fixed64"),
    ("event", 2, "text"),
    ("event", 3, "key_value"),
    ("link", 1, "id16"),
    ("link", 2, "id8"),
    ("link", 4, "key_value"),
    ("link", 6, "fixed32"),
    ("status", 2, "text"),
    ("status", 3, "varint"),
    ("key_value", 1, "text"),
    ("key_value", 2, "value"),
    ("key_value", 2, "value"),
    ("key_value", 3, "varint"),
    ("value", 1, "text"),
    ("value", 2, "varint"),
    ("value", 3, "varint"),
    ("value", 4, "fixed64"),
    ("value", 5, "list"),
    ("value", 6, "map"),
    ("value", 7, "text"),
    ("value", 8, "varint"),
    ("list", 1, "value"),
    ("map", 1, "key_value"),
    ("metrics_request", 1, "resource_metrics"),
    ("resource_metrics", 1, "resource"),
    ("resource_metrics", 2, "scope_metrics"),
    ("resource_metrics", 2, "scope_metrics"),
    ("resource_metrics", 3, "text"),
    ("scope_metrics", 1, "scope"),
    ("scope_metrics", 2, "metric"),
    ("scope_metrics", 2, "metric"),
    ("scope_metrics", 3, "text"),
    ("metric", 1, "text"),
    ("metric", 3, "text"),
    ("metric", 5, "gauge"),
    ("metric", 7, "sum"),
    ("metric", 9, "histogram"),
    ("metric", 10, "exponential"),
    ("metric", 11, "summary"),
    ("metric", 12, "key_value"),
    ("gauge", 1, "number_point"),
    ("sum", 1, "number_point"),
    ("sum", 2, "varint"),
    ("sum", 3, "varint"),
    ("histogram", 1, "histogram_point"),
    ("histogram", 2, "varint"),
    ("exponential", 1, "exponential_point"),
    ("exponential", 2, "varint"),
    ("summary", 1, "summary_point"),
    ("number_point", 2, "fixed64"),
    ("number_point", 3, "fixed64"),
    ("number_point", 4, "fixed64"),
    ("number_point", 5, "exemplar"),
    ("number_point", 6, "fixed64"),
    ("number_point", 7, "key_value"),
    ("number_point", 8, "varint"),
    ("histogram_point", 3, "fixed64"),
    ("histogram_point", 5, "fixed64"),
    ("histogram_point", 6, "fixed64s"),
    ("histogram_point", 6, "fixed64"),
    ("histogram_point", 7, "fixed64s"),
    ("histogram_point", 8, "exemplar"),
    ("histogram_point", 9, "key_value"),
    ("histogram_point", 10, "varint"),
    ("histogram_point", 11, "fixed64"),
    ("exponential_point", 1, "key_value"),
    ("exponential_point", 3, "fixed64"),
    ("exponential_point", 6, "varint"),
    ("exponential_point", 7, "fixed64"),
    ("exponential_point", 8, "buckets"),
    ("exponential_point", 9, "buckets"),
    ("exponential_point", 11, "exemplar"),
    ("exponential_point", 14, "fixed64"),
    ("buckets", 1, "varint"),
    ("buckets", 2, "varints"),
    ("buckets", 2, "varint"),
    ("summary_point", 3, "fixed64"),
    ("summary_point", 5, "fixed64"),
    ("summary_point", 6, "quantile"),
    ("summary_point", 7, "key_value"),
    ("quantile", 1, "fixed64"),
    ("quantile", 2, "fixed64"),
    ("exemplar", 2, "fixed64"),
    ("exemplar", 3, "fixed64"),
    ("exemplar", 4, "id8"),
    ("exemplar", 5, "id16"),
    ("exemplar", 6, "fixed64"),
    ("exemplar", 7, "key_value"),
];

fn wild_field(message: &str, entropy: &mut std::vec::IntoIter<u8>, out: &mut Vec<u8>) {
    let choice = entropy.next().unwrap_or(0);
    let known: Vec<_> = FIELDS.iter().filter(|(of, _, _)| *of == message).collect();
    let (number, kind) = match choice {
        0..200 => {
            let (_, number, kind) = known[usize::from(choice) % known.len()];
            (*number, *kind)
        }
        200..215 => (100 + u32::from(choice), "text"),
        215..225 => (17, "varint"),
        225..235 => (2000, "fixed64"),
        235..240 => (u32::MAX >> 3, "fixed32"),
        240..250 => (19, "group"),
        // A key in more bytes than it needs.
        250..=255 => {
            let (_, number, kind) = known[usize::from(choice) % known.len()];
            if !matches!(kind, &"varint" | &"fixed64" | &"fixed32") {
                out.extend([(number << 3 | 2) as u8 | 0x80, (number >> 4) as u8 | 0x80, 0]);
                let body = wild_body(kind, entropy);
                put_varint(body.len() as u64, out);
                out.extend(body);
            }
            return;
        }
    };
    let key = u64::from(number) << 3;
    match kind {
        "varint" => {
            put_varint(key, out);
            let low = entropy.next().unwrap_or(0);
            match low {
                0..240 => put_varint(u64::from(low % 140), out),
                240.. => put_varint(u64::from(low).pow(7).wrapping_mul(0x9e37_79b9_7f4a_7c15), out),
            }
        }
        "fixed64" => {
            put_varint(key | 1, out);
            out.extend([entropy.next().unwrap_or(0); 8]);
        }
        "fixed32" => {
            put_varint(key | 5, out);
            out.extend([entropy.next().unwrap_or(0); 4]);
        }
        "group" => {
            put_varint(key | 3, out);
            wild_field("scope", entropy, out);
            put_varint(key | 4, out);
        }
        body => put_bytes(number, &wild_body(body, entropy), out),
    }
}

fn wild_body(kind: &str, entropy: &mut std::vec::IntoIter<u8>) -> Vec<u8> {
    let length = entropy.next().unwrap_or(0);
    match kind {
        "text" => "\u{e4}bc".repeat(usize::from(length % 60)).into_bytes(),
        "id16" => vec![
            length;
            if length < 230 {
                16
            } else {
                usize::from(length % 18)
            }
        ],
        // One in ten is wrong.
        "fixed64s" => vec![length; usize::from(length % 5) * 8 + usize::from(length > 230)],
        "varints" => {
            let mut body = vec![length % 128; usize::from(length % 9)];
            body.extend(vec![0x81; usize::from(length > 230)]);
            body
        }
        "id8" => vec![length; if length < 230 { 8 } else { usize::from(length % 10) }],
        _ => {
            let mut body = Vec::new();
            for _ in 0..length % 6 {
                wild_field(kind, entropy, &mut body);
            }
            body
        }
    }
}

/// Good bytes with some of them changed, cut out or cut off.
pub(crate) fn broken_bytes() -> impl Strategy<Value = Vec<u8>> {
    broken(prop_oneof![
        requests().prop_map(|request| request.encode_to_vec()),
        wild_bytes()
    ])
}

fn broken(good: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..4), 0..4);
    (good, changes).prop_map(|(mut bytes, changes)| {
        for (index, byte, change) in changes {
            if bytes.is_empty() {
                break;
            }
            let at = index.index(bytes.len());
            match change {
                0 => bytes[at] = byte,
                1 => bytes[at] ^= 1 << (byte % 8),
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
        }
        bytes
    })
}

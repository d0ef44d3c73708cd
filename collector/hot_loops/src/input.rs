//! What the loops work on: one request as instrumented services send them, in both encodings.

use prost::Message;
use tracepipe_otlp::proto::any_value::Value;
use tracepipe_otlp::proto::{
    AnyValue, ExportTraceServiceRequest, InstrumentationScope, KeyValue, Resource, ResourceSpans, ScopeSpans,
    Span, SpanStatus,
};

/// Traces of the request.
pub(crate) const TRACES: u64 = 20;
/// Spans of each trace.
pub(crate) const SPANS_PER_TRACE: u64 = 10;
/// Spans of the request.
pub(crate) const SPANS: u64 = TRACES * SPANS_PER_TRACE;

/// A trace's spans are of four services, as those of real traces are: each service has a `ResourceSpans` of its own.
const SERVICES: [&str; 4] = ["frontend", "cart", "pricing", "ledger"];

const START_UNIX_NANO: u64 = 1_750_000_000_000_000_000;
const MILLI: u64 = 1_000_000;

/// 200 spans of about 526 bytes with ten attributes each: 20 traces of 10 spans, none of which failed.
pub(crate) fn request() -> ExportTraceServiceRequest {
    let resource_spans = (0..SERVICES.len() as u64)
        .zip(SERVICES)
        .map(|(index, service)| {
            let spans = (0..TRACES)
                .flat_map(|trace| (0..SPANS_PER_TRACE).map(move |number| (trace, number)))
                .filter(|(_, number)| number % SERVICES.len() as u64 == index)
                .map(|(trace, number)| span(trace, number))
                .collect();
            ResourceSpans {
                resource: Some(resource(service)),
                scope_spans: vec![ScopeSpans {
                    scope: Some(InstrumentationScope {
                        name: "io.opentelemetry.http".into(),
                        version: "2.11.0".into(),
                        ..InstrumentationScope::default()
                    }),
                    spans,
                    schema_url: String::new(),
                }],
                schema_url: "https://opentelemetry.io/schemas/1.27.0".into(),
            }
        })
        .collect();
    ExportTraceServiceRequest { resource_spans }
}

/// [`request`] on the wire.
pub(crate) fn protobuf() -> Vec<u8> {
    request().encode_to_vec()
}

/// [`request`] as OTLP/HTTP's JSON, as the exporters of browsers write it.
pub(crate) fn json() -> String {
    let resources = list(&request().resource_spans, |resource| {
        let attributes = list(
            &resource
                .resource
                .iter()
                .flat_map(|resource| &resource.attributes)
                .collect::<Vec<_>>(),
            |a| attribute_json(a),
        );
        let scopes = list(&resource.scope_spans, |scope| {
            let name = scope.scope.as_ref().map_or("", |scope| &scope.name);
            let spans = list(&scope.spans, span_json);
            format!(r#"{{"scope":{{"name":"{name}"}},"spans":{spans}}}"#)
        });
        format!(r#"{{"resource":{{"attributes":{attributes}}},"scopeSpans":{scopes}}}"#)
    });
    format!(r#"{{"resourceSpans":{resources}}}"#)
}

fn span(trace: u64, number: u64) -> Span {
    let id = |number: u64| scattered(trace << 8 | (number + 1)).to_be_bytes().to_vec();
    let strings = [
        ("http.request.method", "GET"),
        ("url.path", "/api/v2/items/availability"),
        ("url.scheme", "https"),
        ("server.address", "items.shop.svc.cluster.local"),
        ("network.peer.address", "10.21.144.187"),
        (
            "user_agent.original",
            "shop-client/4.12.0 (linux; x86_64) http/1.1",
        ),
        ("thread.name", "worker-3-thread-14"),
    ];
    let mut attributes: Vec<KeyValue> = strings
        .iter()
        .map(|(key, value)| attribute(key, Value::StringValue((*value).into())))
        .collect();
    attributes.insert(1, attribute("http.response.status_code", Value::IntValue(200)));
    attributes.insert(5, attribute("server.port", Value::IntValue(8443)));
    attributes.push(attribute("feature.enabled", Value::BoolValue(true)));
    let start = START_UNIX_NANO + trace * MILLI + number * 100_000;
    Span {
        trace_id: [scattered(trace), scattered(!trace)]
            .iter()
            .flat_map(|half| half.to_be_bytes())
            .collect(),
        span_id: id(number),
        parent_span_id: number.checked_sub(1).map(id).unwrap_or_default(),
        name: format!("GET /api/v2/items/availability step {number}"),
        kind: if number == 0 { 2 } else { 1 },
        start_time_unix_nano: start,
        end_time_unix_nano: start + 20 * MILLI,
        attributes,
        status: Some(SpanStatus::default()),
        flags: 0x101,
        ..Span::default()
    }
}

fn resource(service: &str) -> Resource {
    let pod = format!("{service}-6d5f7c9b8d-x2x7k");
    let attributes = [
        ("service.name", service),
        ("service.namespace", "shop"),
        ("service.version", "4.12.0"),
        ("service.instance.id", "4f6ee39f-4e25-4f0c-9c6c-3d1f8f8f7d1b"),
        ("deployment.environment.name", "production"),
        ("telemetry.sdk.name", "opentelemetry"),
        ("telemetry.sdk.language", "java"),
        ("telemetry.sdk.version", "1.45.0"),
        ("k8s.namespace.name", "shop"),
        ("k8s.deployment.name", service),
        ("k8s.pod.name", &pod),
        ("k8s.pod.uid", "0f1b24d6-4f3c-4ad2-9e47-5a3d7c1be110"),
        ("k8s.node.name", "ip-10-21-144-12.ec2.internal"),
        ("k8s.container.name", "app"),
    ]
    .map(|(key, value)| attribute(key, Value::StringValue(value.into())));
    Resource {
        attributes: attributes.into(),
        ..Resource::default()
    }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
    }
}

/// A number that looks like a random one (the finish of splitmix64).
fn scattered(number: u64) -> u64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 27)
}

fn span_json(span: &Span) -> String {
    let parent = match &span.parent_span_id[..] {
        [] => String::new(),
        id => format!(r#""parentSpanId":"{}","#, hex(id)),
    };
    format!(
        r#"{{"traceId":"{}","spanId":"{}",{parent}"name":"{}","kind":{},"startTimeUnixNano":"{}","endTimeUnixNano":"{}","attributes":{},"status":{{}},"flags":{}}}"#,
        hex(&span.trace_id),
        hex(&span.span_id),
        span.name,
        span.kind,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        list(&span.attributes, attribute_json),
        span.flags,
    )
}

/// No text of this request needs an escape.
fn attribute_json(attribute: &KeyValue) -> String {
    let value = match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => format!(r#"{{"stringValue":"{text}"}}"#),
        Some(Value::IntValue(number)) => format!(r#"{{"intValue":"{number}"}}"#),
        Some(Value::BoolValue(truth)) => format!(r#"{{"boolValue":{truth}}}"#),
        Some(Value::DoubleValue(_) | Value::ArrayValue(_) | Value::KvlistValue(_) | Value::BytesValue(_))
        | None => "{}".into(),
    };
    format!(r#"{{"key":"{}","value":{value}}}"#, attribute.key)
}

fn list<T>(items: &[T], item: impl Fn(&T) -> String) -> String {
    let items: Vec<String> = items.iter().map(item).collect();
    format!("[{}]", items.join(","))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! On ordinary spans the shipped translator makes what upstream makes ([`crate::upstream`], v0.161.0), but for the
//! differences that [`expected`] lists. What is ordinary: names of the right characters, values of the right types, no
//! more of anything than X-Ray takes, one generation of the conventions at a time, and a parent in the same process
//! unless the span is a server's.

use proptest::test_runner::Config;
use serde_json::{Map, Value, json};
use tracepipe_config::AwsXraySettings;
use tracepipe_otlp::SpanId;
use tracepipe_otlp::TraceId;
use tracepipe_otlp::view::{
    AnyValue, Event, FLAG_HAS_IS_REMOTE, FLAG_IS_REMOTE, KeyValue, Link, Span, SpanKind, Status, StatusCode,
};

use crate::tests::{attribute, attributes, batch, settings, span, translate};
use crate::upstream::{Outcome, Translator, Version};

/// Decisions by the bits of a number, so that a failure shrinks to the few that matter.
struct Bits(u64);

impl Bits {
    fn is(&mut self) -> bool {
        let bit = self.0 & 1 == 1;
        self.0 >>= 1;
        bit
    }

    fn one<T: Copy>(&mut self, of: [T; 4]) -> T {
        let index = usize::from(self.is()) + 2 * usize::from(self.is());
        of[index]
    }
}

fn resource(bits: &mut Bits) -> Vec<KeyValue<'static>> {
    // Of a language that is not told upstream reads no stack trace; ours is the text of it.
    let mut list = attributes(&[("service.name", "shop"), ("telemetry.sdk.language", "java")]);
    if bits.is() {
        list.extend(attributes(&[
            ("telemetry.sdk.name", "opentelemetry"),
            ("telemetry.sdk.version", "1.40.0"),
        ]));
    }
    if bits.is() {
        list.extend(attributes(&[("service.version", "1.2.3")]));
    }
    if bits.is() {
        list.extend(attributes(&[
            ("cloud.provider", "aws"),
            ("cloud.account.id", "123456789012"),
        ]));
    }
    list.extend(match bits.one([0, 1, 2, 3]) {
        0 => Vec::new(),
        1 => attributes(&[
            ("cloud.platform", "aws_ec2"),
            ("host.id", "i-0abc"),
            ("host.type", "m6g.large"),
            ("cloud.availability_zone", "us-east-1a"),
        ]),
        2 => attributes(&[
            ("cloud.platform", "aws_ecs"),
            ("aws.ecs.launchtype", "fargate"),
            ("aws.ecs.task.arn", "arn:aws:ecs:us-east-1:1:task/t"),
            ("container.name", "web"),
        ]),
        _ => attributes(&[
            ("cloud.platform", "aws_eks"),
            ("k8s.cluster.name", "prod"),
            ("k8s.pod.name", "web-7d"),
            ("aws.log.group.names", "one&two"),
        ]),
    });
    list
}

fn http(bits: &mut Bits, kind: SpanKind) -> Vec<KeyValue<'static>> {
    let status = bits.one([200, 404, 429, 503]);
    let is_server = kind == SpanKind::Server;
    if bits.is() {
        let mut list = attributes(&[
            ("http.method", "GET"),
            ("http.scheme", "https"),
            ("http.target", "/a?b=c"),
            ("http.user_agent", "curl/8"),
        ]);
        list.push(attribute("http.status_code", AnyValue::Int(status)));
        list.extend(match is_server {
            true => attributes(&[("http.host", "shop.example"), ("http.client_ip", "203.0.113.7")]),
            false => attributes(&[("net.peer.name", "shop.example"), ("net.peer.port", "8443")]),
        });
        list
    } else {
        let mut list = attributes(&[("http.request.method", "GET"), ("user_agent.original", "curl/8")]);
        list.push(attribute("http.response.status_code", AnyValue::Int(status)));
        list.extend(match is_server {
            true => attributes(&[
                ("url.scheme", "https"),
                ("url.path", "/a"),
                ("url.query", "b=c"),
                ("server.address", "shop.example"),
                ("client.address", "203.0.113.7"),
                ("network.peer.address", "198.51.100.4"),
            ]),
            false => attributes(&[("url.full", "https://shop.example/a?b=c")]),
        });
        list
    }
}

fn call(bits: &mut Bits) -> Vec<KeyValue<'static>> {
    match bits.one([0, 1, 2, 3]) {
        0 => attributes(&[
            ("db.system", "postgresql"),
            ("db.name", "d"),
            ("db.connection_string", "postgresql://h:5432"),
            ("db.statement", "SELECT 1"),
            ("db.user", "u"),
        ]),
        1 => attributes(&[
            ("rpc.system", "aws-api"),
            ("rpc.service", "DynamoDB"),
            ("rpc.method", "GetItem"),
            ("aws.region", "eu-central-1"),
            ("aws.request_id", "R"),
            ("aws.table_name", "orders"),
        ]),
        2 => attributes(&[
            ("rpc.system", "grpc"),
            ("rpc.service", "shop.Cart"),
            ("rpc.method", "Add"),
        ]),
        _ => attributes(&[("messaging.system", "kafka"), ("peer.service", "broker")]),
    }
}

fn ordinary(bits: &mut Bits) -> Span<'static> {
    let kind = bits.one([
        SpanKind::Internal,
        SpanKind::Server,
        SpanKind::Client,
        SpanKind::Producer,
    ]);
    let mut list = match (bits.is(), kind) {
        (_, SpanKind::Internal) | (false, _) => Vec::new(),
        (true, _) => http(bits, kind),
    };
    if list.is_empty() && matches!(kind, SpanKind::Client | SpanKind::Producer) && bits.is() {
        list = call(bits);
    }
    if bits.is() {
        list.extend(attributes(&[("custom.text", "x"), ("enduser.id", "user-1")]));
        list.push(attribute("custom.number", AnyValue::Double(1.5)));
        list.push(attribute("custom.flag", AnyValue::Bool(true)));
        list.push(attribute(
            "custom.list",
            AnyValue::Array(vec![AnyValue::Int(1), AnyValue::String("b".into())]),
        ));
    }
    if bits.is() {
        list.extend(attributes(&[
            ("aws.xray.metadata.app", "{\"a\": [1, \"b\"]}"),
            ("aws.xray.metadata.default", "{\"c\": true}"),
        ]));
        let names = vec![AnyValue::String("custom.text".into())];
        list.push(attribute("aws.xray.annotations", AnyValue::Array(names)));
    }
    let is_root = matches!(kind, SpanKind::Server | SpanKind::Consumer);
    Span {
        kind,
        name: "GET /api".into(),
        parent_span_id: (!is_root || bits.is()).then_some(SpanId([0x22; 8])),
        flags: FLAG_HAS_IS_REMOTE | if is_root { FLAG_IS_REMOTE } else { 0 },
        status: match bits.one([0, 1, 2, 2]) {
            0 => Status::default(),
            1 => Status {
                code: StatusCode::Ok,
                ..Status::default()
            },
            _ => Status {
                code: StatusCode::Error,
                message: "it failed".into(),
            },
        },
        events: if bits.is() { vec![exception()] } else { Vec::new() },
        links: if bits.is() { vec![link()] } else { Vec::new() },
        ..span(list)
    }
}

fn exception() -> Event<'static> {
    Event {
        time_unix_nano: 1_700_000_000_200_000_000,
        name: "exception".into(),
        attributes: attributes(&[
            ("exception.type", "java.lang.IllegalStateException"),
            ("exception.message", "state"),
            (
                "exception.stacktrace",
                "java.lang.IllegalStateException: state\n\tat com.shop.Cart.add(Cart.java:42)\n\
                 \tat java.base/java.util.ArrayList.get(ArrayList.java:427)\n\
                 Caused by: java.io.IOException: disk\n\tat com.shop.Disk.write(Disk.java:7)\n\t... 1 more\n",
            ),
        ]),
    }
}

fn link() -> Link<'static> {
    Link {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([2; 8]),
        attributes: attributes(&[("a", "b")]),
    }
}

/// Upstream's document with our differences:
/// - Members without a value are left out; upstream writes `null`.
/// - What a facet has looked at and not written whole stays in the metadata.
/// - What cannot be an annotation and should be one is in the metadata.
/// - A message is received by a service, after which its segment is named.
/// - The name of a span whose document has another one, and does not hold it as `sql.url`, is in the metadata.
/// - Frames that a Java trace does not repeat are counted as such.
fn expected(upstream: Value, shipped: &Value, span: &Span<'_>, index_all: bool) -> Value {
    let mut document = without_nulls(upstream);
    // Where attributes are.
    let place = if index_all {
        "/annotations"
    } else {
        "/metadata/default"
    };
    let mut kept = Map::new();
    for attribute in &span.attributes {
        let (key, value) = (attribute.key.as_ref(), as_json(&attribute.value));
        let found = shipped.pointer(place).and_then(|it| it.get(key));
        if looked_at(key) && found == Some(&value) {
            kept.insert(key.to_owned(), value);
        }
    }
    if span.kind == SpanKind::Consumer {
        document["name"] = "shop".into();
    }
    if document.get("sql").is_none() && document["name"] != *span.name {
        kept.insert("otel.span.name".to_owned(), span.name.as_ref().into());
    }
    if !kept.is_empty() {
        add(&mut document, place, kept);
    }
    if index_all && span.attributes.iter().any(|it| it.key == "custom.list") {
        add(
            &mut document,
            "/metadata/default",
            Map::from_iter([("custom.list".to_owned(), json!([1, "b"]))]),
        );
    }
    if let Some(cause) = document.pointer_mut("/cause/exceptions/1") {
        cause["truncated"] = 1.into();
    }
    document
}

fn add(document: &mut Value, place: &str, members: Map<String, Value>) {
    let object = place.split('/').skip(1).fold(document, |at, name| &mut at[name]);
    match object.as_object_mut() {
        Some(object) => object.extend(members),
        None => *object = members.into(),
    }
}

/// Attributes from which upstream makes a part of something, and which are gone then.
fn looked_at(key: &str) -> bool {
    ["http.", "url.", "net.", "server.", "client.", "network."]
        .iter()
        .any(|start| key.starts_with(start))
}

fn as_json(value: &AnyValue<'_>) -> Value {
    match value {
        AnyValue::String(text) => text.as_ref().into(),
        AnyValue::Int(number) => (*number).into(),
        AnyValue::Empty
        | AnyValue::Bool(_)
        | AnyValue::Double(_)
        | AnyValue::Array(_)
        | AnyValue::Map(_)
        | AnyValue::Bytes(_) => Value::Null,
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let members = object.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(members.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

/// The document with numbers as doubles and with the ids of exceptions in the order of their appearance.
fn normal(mut document: Value) -> Value {
    as_doubles(&mut document);
    let exceptions = document
        .pointer_mut("/cause/exceptions")
        .and_then(Value::as_array_mut);
    let mut names = Map::new();
    for exception in exceptions.into_iter().flatten() {
        for member in ["id", "cause"] {
            if let Some(id) = exception.get_mut(member) {
                let next = names.len();
                let name = names
                    .entry(id.as_str().unwrap_or_default())
                    .or_insert_with(|| next.into());
                *id = name.clone();
            }
        }
    }
    document
}

fn as_doubles(value: &mut Value) {
    match value {
        Value::Number(number) => *value = number.as_f64().into(),
        Value::Array(items) => items.iter_mut().for_each(as_doubles),
        Value::Object(object) => object.values_mut().for_each(as_doubles),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn check(bits: u64, settings: &AwsXraySettings) {
    let mut bits = Bits(bits);
    let span = ordinary(&mut bits);
    let spans = batch(resource(&mut bits), vec![span.clone()]);
    let mut last = 0;
    let mut random_id = || {
        last += 1;
        last
    };
    let outcomes = Translator::new(settings, Version::V0_161).translate(&spans, &mut random_id);
    let [Outcome::Documents(upstream)] = outcomes.as_slice() else {
        panic!("{outcomes:?}");
    };
    let [upstream] = upstream.as_slice() else {
        panic!("{upstream:?}");
    };
    let (_, documents) = translate(settings, std::slice::from_ref(&spans));
    let [shipped] = documents.as_slice() else {
        panic!("{documents:?}");
    };
    let shipped: Value = serde_json::from_str(&shipped.json()).unwrap();
    let expected = expected(upstream.clone(), &shipped, &span, settings.index_all_attributes);
    assert_eq!(normal(shipped), normal(expected), "{span:?}");
}

proptest::proptest! {
    #![proptest_config(Config { cases: 512, ..Config::default() })]

    #[test]
    fn ordinary_spans_become_what_upstream_makes_of_them(bits: u64) {
        check(bits, &settings());
        check(bits, &AwsXraySettings { index_all_attributes: true, ..settings() });
        let indexed = ["custom.text", "custom.number", "rpc.method", "otel.resource.service.name"];
        check(bits, &AwsXraySettings {
            indexed_attributes: indexed.map(str::to_owned).to_vec(),
            ..settings()
        });
    }
}

//! What the model says where the real exporter cannot be asked: the vectors V1 to V7 of the specification, and what
//! changed between v0.120.0, which is compared as a process, and v0.161.0. The parsers of stack traces have the cases
//! of upstream's own tests.

mod stacks;

use serde_json::{Value, json};
use tracepipe_otlp::view::{AnyValue, KeyValue, Link, ResourceSpans, ScopeSpans, Span, SpanKind};
use tracepipe_otlp::{SpanId, TraceId};

use super::{Outcome, Translator, Version};
use crate::tests::{attribute, attributes, settings};

const PARENT: SpanId = SpanId([0x22; 8]);

fn span(kind: SpanKind, name: &'static str, attributes: Vec<KeyValue<'static>>) -> Span<'static> {
    Span {
        name: name.into(),
        kind,
        parent_span_id: Some(PARENT),
        ..crate::tests::span(attributes)
    }
}

fn of_resource(resource: Vec<KeyValue<'static>>, span: Span<'static>) -> ResourceSpans<'static> {
    ResourceSpans {
        resource,
        scope_spans: vec![ScopeSpans {
            spans: vec![span],
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }
}

/// The documents, without what every one of them has: ids of span and trace, times.
fn documents(version: Version, spans: &ResourceSpans<'_>) -> Vec<Value> {
    let mut next = 0;
    let mut random_id = || {
        next += 1;
        next
    };
    let mut outcomes = Translator::new(&settings(), version).translate(spans, &mut random_id);
    let Some(Outcome::Documents(mut documents)) = outcomes.pop() else {
        panic!("no documents");
    };
    assert!(outcomes.is_empty());
    for document in &mut documents {
        let document = document.as_object_mut().unwrap();
        assert_eq!(
            document.remove("trace_id"),
            Some("1-4bf92f35-77b34da6a3ce929d0e0e4736".into())
        );
        assert_eq!(
            document.remove("start_time"),
            Some(1_700_000_000.123_456_7.into())
        );
        if document.get("id") == Some(&"1111111111111111".into()) {
            document.remove("id");
        }
    }
    documents
}

/// As [`documents`], when the span has ended.
fn ended(version: Version, spans: &ResourceSpans<'_>) -> Vec<Value> {
    let mut documents = documents(version, spans);
    for document in &mut documents {
        let end = document.as_object_mut().unwrap().remove("end_time");
        assert_eq!(end, Some(1_700_000_000.5.into()));
    }
    documents
}

/// Both versions make this one document of it.
fn assert_both(spans: &ResourceSpans<'_>, expected: &Value) {
    assert_both_documents(spans, std::slice::from_ref(expected));
}

#[test]
fn v1_a_call_of_awss_sdk() {
    let call = attributes(&[
        ("http.method", "POST"),
        ("http.scheme", "https"),
        ("http.host", "dynamodb.us-east-1.amazonaws.com"),
        ("http.target", "/"),
        ("rpc.service", "DynamoDB"),
        ("rpc.method", "GetItem"),
        ("rpc.system", "aws-api"),
        ("aws.request_id", "R"),
        ("aws.table_name", "T"),
    ]);
    let resource = attributes(&[
        ("cloud.provider", "aws"),
        ("k8s.cluster.name", "production"),
        ("k8s.pod.name", "pod1"),
        ("service.version", "v1"),
    ]);
    let spans = of_resource(resource, span(SpanKind::Client, "AmazonDynamoDB.getItem", call));
    assert_both(
        &spans,
        &json!({
            "name": "DynamoDB", "type": "subsegment", "parent_id": "2222222222222222", "namespace": "aws",
            "service": { "version": "v1" },
            "http": {
                "request": { "method": "POST", "url": "https://dynamodb.us-east-1.amazonaws.com/" },
                "response": { "content_length": 0 },
            },
            "fault": false, "error": false, "throttle": false,
            "aws": {
                "eks": { "cluster_name": "production", "pod": "pod1", "container_id": null },
                "xray": { "auto_instrumentation": false },
                "operation": "GetItem", "request_id": "R", "table_name": "T",
            },
            "metadata": { "default": { "rpc.service": "DynamoDB", "rpc.system": "aws-api" } },
        }),
    );
}

fn v2() -> ResourceSpans<'static> {
    let mut request = attributes(&[
        ("http.request.method", "GET"),
        ("url.scheme", "https"),
        ("server.address", "api.example.com"),
        ("url.path", "/u"),
        ("url.query", "a=1"),
        ("client.address", "10.0.0.9"),
    ]);
    request.push(attribute("server.port", AnyValue::Int(443)));
    request.push(attribute("http.response.status_code", AnyValue::Int(404)));
    let span = Span {
        parent_span_id: None,
        ..span(SpanKind::Server, "/api", request)
    };
    of_resource(attributes(&[("service.name", "shop")]), span)
}

#[test]
fn v2_a_request_by_the_newer_conventions() {
    assert_eq!(
        ended(Version::V0_161, &v2()),
        [json!({
            "name": "shop",
            "http": {
                "request": {
                    "x_forwarded_for": true, "method": "GET",
                    "url": "https://api.example.com/u?a=1", "client_ip": "10.0.0.9",
                },
                "response": { "status": 404, "content_length": 0 },
            },
            "fault": false, "error": true, "throttle": false,
            "aws": { "xray": { "auto_instrumentation": false } },
            "metadata": { "default": { "otel.resource.service.name": "shop" } },
        })]
    );
}

#[test]
fn v3_a_database() {
    let query = attributes(&[
        ("db.system", "postgresql"),
        ("db.name", "d"),
        ("db.connection_string", "jdbc:postgresql://h:5432"),
        ("db.statement", "q"),
        ("net.peer.name", "h"),
    ]);
    assert_both(
        &of_resource(Vec::new(), span(SpanKind::Client, "SELECT d", query)),
        &json!({
            "name": "d@h", "type": "subsegment", "parent_id": "2222222222222222", "namespace": "remote",
            "fault": false, "error": false, "throttle": false,
            "aws": { "xray": { "auto_instrumentation": false } },
            "sql": {
                "connection_string": "jdbc:postgresql://h:5432/d", "url": "SELECT d", "sanitized_query": "q",
                "database_type": "postgresql",
            },
        }),
    );
}

fn v4(kind: SpanKind, local_service: &[(&'static str, &'static str)]) -> ResourceSpans<'static> {
    let mut list = attributes(&[("aws.span.kind", "LOCAL_ROOT"), ("aws.remote.service", "B")]);
    list.extend(attributes(local_service));
    let span = Span {
        links: vec![Link {
            trace_id: TraceId([1; 16]),
            span_id: SpanId([2; 8]),
            ..Link::default()
        }],
        ..span(kind, "process", list)
    };
    of_resource(attributes(&[("service.name", "R")]), span)
}

fn v4_dependency(metadata: &Value) -> Value {
    json!({
        "name": "B", "type": "subsegment", "parent_id": "0000000000000001", "namespace": "remote",
        "fault": false, "error": false, "throttle": false,
        "aws": { "xray": { "auto_instrumentation": false } },
        "metadata": { "default": metadata },
    })
}

fn v4_service(name: &str, metadata: &Value) -> Value {
    json!({
        "name": name, "id": "0000000000000001", "parent_id": "2222222222222222",
        "fault": false, "error": false, "throttle": false,
        "aws": { "xray": { "auto_instrumentation": false } },
        "metadata": { "default": metadata },
    })
}

fn with_link(mut document: Value) -> Value {
    document["links"] = json!([{
        "trace_id": "1-01010101-010101010101010101010101", "id": "0202020202020202",
    }]);
    document
}

#[test]
fn v4_a_message_at_its_first_span() {
    let named = v4(SpanKind::Consumer, &[("aws.local.service", "A")]);
    let metadata = json!({
        "aws.span.kind": "LOCAL_ROOT", "aws.remote.service": "B", "aws.local.service": "A",
        "otel.resource.service.name": "R",
    });
    let of_resource = json!({ "otel.resource.service.name": "R" });
    assert_eq!(
        ended(Version::V0_161, &named),
        [v4_dependency(&metadata), with_link(v4_service("A", &of_resource))]
    );
    let unnamed = ended(Version::V0_161, &v4(SpanKind::Consumer, &[]));
    assert_eq!(unnamed[1], with_link(v4_service("R", &of_resource)));
}

#[test]
fn v4_a_call_at_its_first_span() {
    let metadata = json!({
        "aws.span.kind": "LOCAL_ROOT", "aws.remote.service": "B", "aws.local.service": "A",
    });
    assert_both_documents(
        &v4(SpanKind::Client, &[("aws.local.service", "A")]),
        &[with_link(v4_dependency(&metadata)), v4_service("A", &json!({}))],
    );
}

fn assert_both_documents(spans: &ResourceSpans<'_>, expected: &[Value]) {
    for version in [Version::V0_120, Version::V0_161] {
        assert_eq!(ended(version, spans), expected, "{version:?}");
    }
}

fn v5() -> ResourceSpans<'static> {
    let message = attributes(&[("messaging.system", "kafka")]);
    of_resource(
        attributes(&[("service.name", "R")]),
        span(SpanKind::Consumer, "orders process", message),
    )
}

#[test]
fn v5_a_message_with_a_plain_sdk() {
    assert_eq!(
        ended(Version::V0_161, &v5()),
        [json!({
            "name": "orders process", "parent_id": "2222222222222222",
            "fault": false, "error": false, "throttle": false,
            "aws": { "xray": { "auto_instrumentation": false } },
            "metadata": { "default": { "messaging.system": "kafka", "otel.resource.service.name": "R" } },
        })]
    );
}

fn v6() -> ResourceSpans<'static> {
    let message = attributes(&[("messaging.system", "kafka"), ("peer.service", "K")]);
    of_resource(Vec::new(), span(SpanKind::Producer, "orders send", message))
}

#[test]
fn v6_a_message_that_is_sent() {
    assert_eq!(
        ended(Version::V0_161, &v6()),
        [json!({
            "name": "K", "type": "subsegment", "parent_id": "2222222222222222", "namespace": "remote",
            "fault": false, "error": false, "throttle": false,
            "aws": { "xray": { "auto_instrumentation": false } },
            "metadata": { "default": { "messaging.system": "kafka", "peer.service": "K" } },
        })]
    );
}

fn v7(value: AnyValue<'static>) -> ResourceSpans<'static> {
    let list = vec![attribute("aws.xray.inprogress", value)];
    of_resource(Vec::new(), span(SpanKind::Server, "x", list))
}

#[test]
fn v7_a_span_in_progress() {
    let documents = documents(Version::V0_161, &v7(AnyValue::Bool(true)));
    assert_eq!(documents[0]["in_progress"], true);
    assert_eq!(documents[0].get("end_time"), None);
    assert_eq!(documents[0].get("metadata"), None);

    let done = ended(Version::V0_161, &v7(AnyValue::Bool(false)));
    assert_eq!(done[0].get("in_progress"), None);
    assert_eq!(done[0].get("metadata"), None);

    let text = ended(Version::V0_161, &v7(AnyValue::String("true".into())));
    assert_eq!(text[0].get("in_progress"), None);
    assert_eq!(
        text[0]["metadata"],
        json!({ "default": { "aws.xray.inprogress": "true" } })
    );
}

/// Since v0.137: PR 42633.
#[test]
fn a_message_with_a_parent_was_a_subsegment() {
    let old = ended(Version::V0_120, &v5());
    assert_eq!(old[0]["type"], "subsegment");
    assert_eq!(
        old[0]["metadata"],
        json!({ "default": { "messaging.system": "kafka" } })
    );
    let new = ended(Version::V0_161, &v5());
    assert_eq!(new[0].get("type"), None);
}

/// The same at a local root: the call had no resource, and so had the service.
#[test]
fn the_call_of_a_message_had_no_resource() {
    let spans = v4(SpanKind::Consumer, &[("aws.local.service", "A")]);
    let metadata = json!({
        "aws.span.kind": "LOCAL_ROOT", "aws.remote.service": "B", "aws.local.service": "A",
    });
    assert_eq!(
        ended(Version::V0_120, &spans),
        [v4_dependency(&metadata), with_link(v4_service("A", &json!({})))]
    );
}

/// A consumer that calls another service was below its parent, and the call a remote one.
#[test]
fn a_message_that_names_what_it_calls_was_a_remote_call() {
    let list = attributes(&[("aws.remote.service", "B")]);
    let spans = of_resource(Vec::new(), span(SpanKind::Consumer, "process", list));
    assert_eq!(ended(Version::V0_120, &spans)[0]["namespace"], "remote");
    assert_eq!(ended(Version::V0_161, &spans)[0].get("namespace"), None);
}

/// Since v0.137: PR 42633.
#[test]
fn a_message_that_is_sent_had_no_namespace() {
    assert_eq!(ended(Version::V0_120, &v6())[0].get("namespace"), None);
    assert_eq!(ended(Version::V0_161, &v6())[0]["namespace"], "remote");
}

/// PR 47568.
#[test]
fn a_service_was_not_named_by_its_resource() {
    let spans = v4(SpanKind::Client, &[]);
    assert_eq!(ended(Version::V0_120, &spans)[1]["name"], "process");
    assert_eq!(ended(Version::V0_161, &spans)[1]["name"], "R");
}

#[test]
fn a_span_in_progress_was_like_any_other() {
    let old = ended(Version::V0_120, &v7(AnyValue::Bool(true)));
    assert_eq!(old[0].get("in_progress"), None);
    assert_eq!(
        old[0]["metadata"],
        json!({ "default": { "aws.xray.inprogress": true } })
    );
}

#[test]
fn the_tags_of_an_image_were_no_version() {
    let with = |more: &[(&'static str, &'static str)]| {
        let tags = AnyValue::Array(vec![
            AnyValue::String("v8".into()),
            AnyValue::String("latest".into()),
        ]);
        let mut resource = attributes(&[("container.image.tag", "v7")]);
        resource.push(attribute("container.image.tags", tags));
        resource.extend(attributes(more));
        of_resource(resource, span(SpanKind::Server, "x", Vec::new()))
    };
    for (more, old, new) in [(&[][..], "v7", "v8"), (&[("service.version", "1")], "1", "1")] {
        let spans = with(more);
        assert_eq!(ended(Version::V0_120, &spans)[0]["service"]["version"], old);
        assert_eq!(ended(Version::V0_161, &spans)[0]["service"]["version"], new);
    }
}

/// The older version took the query for the target, and read no path of a call.
#[test]
fn path_and_query_of_the_newer_conventions_were_lost() {
    let url = |version, kind, list: &[(&'static str, &'static str)]| {
        let mut all = attributes(&[
            ("url.scheme", "https"),
            ("net.peer.name", "p"),
            ("net.host.name", "s"),
        ]);
        all.extend(attributes(list));
        let spans = of_resource(Vec::new(), span(kind, "x", all));
        ended(version, &spans)[0]["http"]["request"]["url"].take()
    };
    let both = [("url.path", "/u"), ("url.query", "a=1")];
    let path = [("url.path", "/u")];
    for (kind, list, old, new) in [
        (SpanKind::Client, &both[..], "https://pa=1", "https://p/u?a=1"),
        (SpanKind::Client, &path, "https://p/", "https://p/u"),
        (SpanKind::Client, &[], "https://p/", "https://p/"),
        (SpanKind::Server, &both, "https://sa=1", "https://s/u?a=1"),
        (SpanKind::Server, &path, "https://s/u", "https://s/u"),
        (
            SpanKind::Server,
            &[("url.query", "?a=1")],
            "https://s?a=1",
            "https://s/?a=1",
        ),
        (SpanKind::Client, &[("url.query", "")], "https://p", "https://p/?"),
        (
            SpanKind::Client,
            &[("http.target", "/t"), ("url.path", "/u")],
            "https://p/t",
            "https://p/t",
        ),
    ] {
        assert_eq!(url(Version::V0_120, kind, list), old, "{kind:?} {list:?}");
        assert_eq!(url(Version::V0_161, kind, list), new, "{kind:?} {list:?}");
    }
}

fn outcome(spans: &ResourceSpans<'_>) -> Outcome {
    let translator = Translator::new(&settings(), Version::V0_161);
    translator.translate(spans, &mut || 1).remove(0)
}

#[test]
fn a_local_root_of_another_cloud_is_a_crash() {
    let list = attributes(&[("aws.span.kind", "LOCAL_ROOT")]);
    let resource = attributes(&[("cloud.provider", "gcp")]);
    let spans = |kind| of_resource(resource.clone(), span(kind, "x", list.clone()));
    assert_eq!(outcome(&spans(SpanKind::Client)), Outcome::Crash);
    assert!(matches!(outcome(&spans(SpanKind::Server)), Outcome::Documents(_)));
}

#[test]
fn a_number_that_json_has_not_is_the_end_of_the_span() {
    let spans = |value| {
        of_resource(
            Vec::new(),
            span(SpanKind::Server, "x", vec![attribute("n", value)]),
        )
    };
    for number in [f64::NAN, f64::INFINITY] {
        assert_eq!(outcome(&spans(AnyValue::Double(number))), Outcome::Nothing);
    }
    let nested = AnyValue::Array(vec![AnyValue::Double(f64::NAN)]);
    assert_eq!(outcome(&spans(nested)), Outcome::Nothing);
}

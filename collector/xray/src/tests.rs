//! Golden cases (`testdata/`, one file a case) and what they cannot say.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tracepipe_config::AwsXraySettings;
use tracepipe_otlp::view::{
    AnyValue, Event, FLAG_HAS_IS_REMOTE, FLAG_IS_REMOTE, KeyValue, Link, ResourceSpans, ScopeSpans, Span,
    SpanKind, Status, StatusCode,
};
use tracepipe_otlp::{SpanId, TraceId, TraceOutline};

use crate::check::{check_document, check_no_repeated_key};
use crate::{SegmentDocument, Translated, Translator};

pub(crate) fn attributes(list: &[(&'static str, &'static str)]) -> Vec<KeyValue<'static>> {
    list.iter()
        .map(|(key, value)| attribute(key, AnyValue::String((*value).into())))
        .collect()
}

pub(crate) fn attribute(key: &str, value: AnyValue<'static>) -> KeyValue<'static> {
    KeyValue {
        key: key.to_owned().into(),
        value,
    }
}

pub(crate) fn settings() -> AwsXraySettings {
    AwsXraySettings {
        max_elapsed_time: Duration::from_secs(300),
        ..AwsXraySettings::default()
    }
}

pub(crate) fn indexing_all() -> AwsXraySettings {
    AwsXraySettings {
        index_all_attributes: true,
        ..settings()
    }
}

pub(crate) fn span(attributes: Vec<KeyValue<'static>>) -> Span<'static> {
    Span {
        trace_id: TraceId(*b"\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36"),
        span_id: SpanId([0x11; 8]),
        name: "x".into(),
        kind: SpanKind::Server,
        start_time_unix_nano: 1_700_000_000_123_456_789,
        end_time_unix_nano: 1_700_000_000_500_000_000,
        attributes,
        ..Span::default()
    }
}

pub(crate) fn batch(resource: Vec<KeyValue<'static>>, spans: Vec<Span<'static>>) -> ResourceSpans<'static> {
    let scope = ScopeSpans {
        spans,
        ..ScopeSpans::default()
    };
    ResourceSpans {
        resource,
        scope_spans: vec![scope],
        ..ResourceSpans::default()
    }
}

/// Ids are 1, 2, 3 ...; every document is checked.
pub(crate) fn translate(
    settings: &AwsXraySettings,
    traces: &[ResourceSpans<'_>],
) -> (Translated, Vec<SegmentDocument>) {
    let mut last_id = 0;
    let mut next_id = || {
        last_id += 1;
        last_id
    };
    let mut documents = Vec::new();
    let translated = Translator::new(settings)
        .begin(|| TraceOutline::of(traces, true))
        .translate(traces, &mut next_id, &mut documents);
    for document in &documents {
        check_document(document);
        check_no_repeated_key(&document.json());
    }
    let spans: usize = traces
        .iter()
        .flat_map(|part| &part.scope_spans)
        .map(|scope| scope.spans.len())
        .sum();
    assert_eq!(
        translated.spans + translated.untranslatable_spans.total(),
        spans as u64
    );
    assert_eq!(translated.documents, documents.len() as u64);
    assert_eq!(
        translated.spans,
        documents
            .iter()
            .map(|document| u64::from(document.spans))
            .sum::<u64>()
    );
    (translated, documents)
}

/// Of a span that is not a local root.
fn inner(span: Span<'static>) -> Span<'static> {
    Span {
        parent_span_id: Some(SpanId([0x22; 8])),
        flags: FLAG_HAS_IS_REMOTE,
        ..span
    }
}

fn translate_one(settings: &AwsXraySettings, span: Span<'static>) -> (Translated, Value) {
    let (translated, documents) = translate(settings, &[batch(Vec::new(), vec![span])]);
    assert_eq!(documents.len(), 1);
    (translated, check_document(&documents[0]))
}

// === Golden cases ===

#[test]
fn golden_cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 20);
    for file in files {
        let case: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        run_case(&file, &case);
    }
}

/// With `TRACEPIPE_WRITE` set the file gets the documents that there are; look at what that changes.
fn run_case(file: &Path, case: &Value) {
    let name = file.file_stem().unwrap().to_string_lossy();
    let texts = |key: &str| -> Vec<String> {
        let list = case["settings"][key].as_array().into_iter().flatten();
        list.map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    let settings = AwsXraySettings {
        index_all_attributes: case["settings"]["index_all_attributes"] == true,
        indexed_attributes: texts("indexed_attributes"),
        aws_log_groups: texts("aws_log_groups"),
        ..settings()
    };
    let traces = [batch(
        attributes_of(&case["resource"]),
        vec![span_of(&case["span"])],
    )];
    let (translated, documents) = translate(&settings, &traces);
    let got: Vec<Value> = documents.iter().map(check_document).collect();
    if std::env::var_os("TRACEPIPE_WRITE").is_some() {
        let mut case = case.clone();
        case["documents"] = got.iter().map(without_constants).collect();
        case["counts"] = json!({"annotations_spilled": translated.annotations_spilled,
                                "links_dropped": translated.links_dropped});
        let text = serde_json::to_string_pretty(&case).unwrap() + "\n";
        fs::write(file, text).unwrap();
        return;
    }
    let expected: Vec<Value> = case["documents"]
        .as_array()
        .unwrap()
        .iter()
        .map(with_constants)
        .collect();
    let pretty = |values: &[Value]| serde_json::to_string_pretty(values).unwrap();
    assert_eq!(pretty(&got), pretty(&expected), "{name}: {}", case["why"]);
    assert_eq!(
        translated.annotations_spilled,
        case["counts"]["annotations_spilled"].as_u64().unwrap_or(0),
        "{name}"
    );
    assert_eq!(
        translated.links_dropped,
        case["counts"]["links_dropped"].as_u64().unwrap_or(0),
        "{name}"
    );
    assert_eq!(translated.shrunk, 0, "{name}");
    assert_eq!(
        documents
            .iter()
            .map(|document| document.spans)
            .collect::<Vec<_>>(),
        if documents.len() == 1 { &[1][..] } else { &[0, 1] }
    );
}

fn without_constants(document: &Value) -> Value {
    let mut document = document.clone();
    for constant in ["trace_id", "start_time", "end_time"] {
        document.as_object_mut().unwrap().remove(constant);
    }
    document
}

/// The files leave out what is the same in all.
fn with_constants(document: &Value) -> Value {
    let mut document = document.clone();
    document["trace_id"] = json!("1-4bf92f35-77b34da6a3ce929d0e0e4736");
    document["start_time"] = serde_json::from_str("1700000000.123456789").unwrap();
    if document.get("in_progress").is_none() {
        document["end_time"] = json!(1_700_000_000.5);
    }
    document
}

fn span_of(case: &Value) -> Span<'static> {
    let text = |key: &str| case[key].as_str().unwrap_or_default().to_owned();
    let list = |key: &str| case[key].as_array().cloned().unwrap_or_default();
    let kind = match &*text("kind") {
        "SERVER" => SpanKind::Server,
        "CLIENT" => SpanKind::Client,
        "PRODUCER" => SpanKind::Producer,
        "CONSUMER" => SpanKind::Consumer,
        other => {
            assert_eq!(other, "INTERNAL");
            SpanKind::Internal
        }
    };
    let code = if text("status") == "ERROR" {
        StatusCode::Error
    } else {
        StatusCode::Unset
    };
    Span {
        kind,
        name: text("name").into(),
        parent_span_id: case["parent"].as_str().map(|id| SpanId(bytes(id))),
        events: list("events").iter().map(event_of).collect(),
        links: list("links").iter().map(link_of).collect(),
        status: Status {
            code,
            message: text("message").into(),
        },
        flags: match &*text("parent_is") {
            "" | "local" => FLAG_HAS_IS_REMOTE,
            "remote" => FLAG_HAS_IS_REMOTE | FLAG_IS_REMOTE,
            other => {
                assert_eq!(other, "unknown");
                0
            }
        },
        ..span(attributes_of(&case["attributes"]))
    }
}

fn event_of(case: &Value) -> Event<'static> {
    Event {
        name: case["name"].as_str().unwrap().to_owned().into(),
        time_unix_nano: case["time"].as_u64().unwrap_or(0),
        attributes: attributes_of(&case["attributes"]),
    }
}

fn link_of(case: &Value) -> Link<'static> {
    Link {
        trace_id: TraceId(bytes(case["trace_id"].as_str().unwrap())),
        span_id: SpanId(bytes(case["span_id"].as_str().unwrap())),
        attributes: attributes_of(&case["attributes"]),
    }
}

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    assert_eq!(hex.len(), 2 * N);
    std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
}

fn attributes_of(case: &Value) -> Vec<KeyValue<'static>> {
    let none = Map::new();
    let members = case.as_object().unwrap_or(&none);
    members
        .iter()
        .map(|(key, value)| attribute(key, any_value(value)))
        .collect()
}

fn any_value(value: &Value) -> AnyValue<'static> {
    match value {
        Value::Null => AnyValue::Empty,
        Value::Bool(value) => AnyValue::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => AnyValue::Int(number),
            None => AnyValue::Double(number.as_f64().unwrap()),
        },
        Value::String(text) => AnyValue::String(text.clone().into()),
        Value::Array(items) => AnyValue::Array(items.iter().map(any_value).collect()),
        Value::Object(_) => AnyValue::Map(attributes_of(value)),
    }
}

// === What a file cannot say ===

#[test]
fn times_are_written_to_the_nanosecond() {
    let (_, documents) = translate(&settings(), &[batch(Vec::new(), vec![span(Vec::new())])]);
    let json = documents[0].json();
    assert!(json.contains(r#""start_time":1700000000.123456789,"#), "{json}");
    assert!(json.contains(r#""end_time":1700000000.5,"#), "{json}");
}

#[test]
fn a_span_that_never_ended_takes_no_time() {
    let (_, document) = translate_one(
        &settings(),
        Span {
            end_time_unix_nano: 0,
            ..span(Vec::new())
        },
    );
    assert_eq!(document["end_time"], document["start_time"]);
}

#[test]
fn a_span_without_ids_is_counted_and_the_others_are_translated() {
    let without_trace = Span {
        trace_id: TraceId::default(),
        ..span(Vec::new())
    };
    let without_id = Span {
        span_id: SpanId::default(),
        ..span(Vec::new())
    };
    let (translated, documents) = translate(
        &settings(),
        &[batch(
            Vec::new(),
            vec![without_trace, without_id, span(Vec::new())],
        )],
    );
    assert_eq!(documents.len(), 1);
    assert_eq!(
        translated.untranslatable_spans.by_reason(),
        [("zero_trace_id", 1), ("zero_span_id", 1)]
    );
}

#[test]
fn at_most_fifty_annotations_and_cluster_name_is_the_first() {
    let many = |prefix: &str| -> Vec<_> {
        (0..60)
            .map(|n| attribute(&format!("{prefix}{n}"), AnyValue::Int(n)))
            .collect()
    };
    let mut resource = many("r");
    resource.push(attribute("cluster_name", AnyValue::String("prod-eu".into())));
    let (translated, documents) = translate(&indexing_all(), &[batch(resource, vec![span(many("s"))])]);
    let document = check_document(&documents[0]);
    let annotations = document["annotations"].as_object().unwrap();
    assert_eq!(annotations.len(), 50);
    assert!(
        documents[0]
            .json()
            .contains(r#""annotations":{"cluster_name":"prod-eu","s0":0,"s1":1,"#)
    );
    assert_eq!(annotations["s48"], 48);
    // Nothing is lost: 11 of the span, 61 of the resource.
    let metadata = document["metadata"]["default"].as_object().unwrap();
    assert_eq!(metadata.len(), 11 + 61);
    assert_eq!(metadata["s49"], 49);
    assert_eq!(metadata["otel.resource.cluster_name"], "prod-eu");
    assert_eq!(translated.annotations_spilled, 11 + 61);
}

#[test]
fn what_cannot_be_indexed_is_metadata() {
    let attributes = vec![
        attribute("nan", AnyValue::Double(f64::NAN)),
        attribute("bytes", AnyValue::Bytes(vec![0xff, 0].into())),
        attribute(
            "map",
            AnyValue::Map(vec![
                attribute("a", AnyValue::Empty),
                attribute("b", AnyValue::Int(1)),
            ]),
        ),
        attribute("empty", AnyValue::Empty),
        attribute(
            "list",
            AnyValue::Array(vec![AnyValue::Empty, AnyValue::Double(f64::INFINITY)]),
        ),
        attribute("a-b", AnyValue::Int(1)),
        attribute("a_b", AnyValue::Int(2)),
        attribute("long", AnyValue::String("\u{e9}".repeat(1001).into())),
        attribute("", AnyValue::Int(3)),
    ];
    let (translated, document) = translate_one(&indexing_all(), span(attributes));
    let annotations = json!({"a_b": 1, "long": "\u{e9}".repeat(1000), "_": 3});
    assert_eq!(document["annotations"], annotations);
    let metadata = json!({
        "nan": "NaN", "bytes": "/wA=", "map": {"b": 1}, "list": ["Infinity"], "a_b": 2, "long": "\u{e9}".repeat(1001),
    });
    assert_eq!(document["metadata"]["default"], metadata);
    assert_eq!(translated.annotations_spilled, 6);
}

#[test]
fn of_an_attribute_given_twice_the_first_counts() {
    let twice = vec![attribute("k", AnyValue::Int(1)), attribute("k", AnyValue::Int(2))];
    let inner = vec![attribute("map", AnyValue::Map(twice.clone()))];
    let (_, document) = translate_one(&settings(), span([twice, inner].concat()));
    assert_eq!(document["metadata"]["default"], json!({"k": 1, "map": {"k": 1}}));
}

#[test]
fn of_two_generations_of_a_name_the_last_counts_and_the_other_stays() {
    let both = attributes(&[("http.method", "GET"), ("http.request.method", "POST")]);
    let (_, document) = translate_one(&settings(), span(both));
    assert_eq!(document["http"]["request"]["method"], "POST");
    assert_eq!(document["metadata"]["default"], json!({"http.method": "GET"}));
}

#[test]
fn a_text_too_long_for_its_place_is_cut_there_and_whole_in_the_metadata() {
    let url = format!("http://h/{}", "\u{e9}".repeat(300));
    let user = "u".repeat(251);
    let list = [
        ("url.full", url.clone()),
        ("enduser.id", user.clone()),
        ("user_agent.original", user.clone()),
    ];
    let list = list.map(|(key, value)| attribute(key, AnyValue::String(value.into())));
    let (translated, document) = translate_one(&settings(), span(list.to_vec()));
    assert_eq!(
        document["http"]["request"]["url"],
        format!("http://h/{}", "\u{e9}".repeat(241))
    );
    assert_eq!(document["user"], "u".repeat(250));
    let whole = json!({"url.full": url, "enduser.id": user, "user_agent.original": user});
    assert_eq!(document["metadata"]["default"], whole);
    assert_eq!(translated.shrunk, 0);
}

#[test]
fn names_from_attributes_are_cleaned_too() {
    let client = |list| {
        inner(Span {
            kind: SpanKind::Client,
            ..span(attributes(list))
        })
    };
    let (_, document) = translate_one(&settings(), client(&[("peer.service", "orders,v2")]));
    assert_eq!(document["name"], "ordersv2");
    let (_, document) = translate_one(&settings(), client(&[("peer.service", "<>"), ("http.host", "h")]));
    assert_eq!(document["name"], "h");
    let (_, document) = translate_one(
        &settings(),
        Span {
            name: "\n".into(),
            ..span(Vec::new())
        },
    );
    assert_eq!(document["name"], "span");
}

#[test]
fn an_aws_service_is_one_by_its_attribute_alone() {
    for (list, name, namespace) in [
        (&[("aws.service", "S3")][..], "S3", "aws"),
        (&[("aws.service", "")], "x", "aws"),
        (&[("aws.service", "S3"), ("peer.service", "p")], "p", "remote"),
        (
            &[
                ("aws.service", "S3"),
                ("peer.service", "p"),
                ("rpc.system", "aws-api"),
            ],
            "p",
            "aws",
        ),
        (&[("rpc.service", "r"), ("http.host", "h")], "r", "remote"),
        (&[("http.host", "h"), ("net.peer.name", "n")], "h", "remote"),
        (&[("net.peer.name", "n"), ("server.address", "s")], "n", "remote"),
        (
            &[("messaging.destination.name", "orders"), ("server.address", "s")],
            "orders",
            "remote",
        ),
        (
            &[("messaging.destination", "orders"), ("rpc.service", "SQS")],
            "SQS",
            "remote",
        ),
    ] {
        let call = inner(Span {
            kind: SpanKind::Client,
            ..span(attributes(list))
        });
        let (_, document) = translate_one(&settings(), call);
        assert_eq!(
            (&document["name"], &document["namespace"]),
            (&json!(name), &json!(namespace)),
            "{list:?}"
        );
    }
}

fn exception(attributes: Vec<KeyValue<'static>>) -> Event<'static> {
    Event {
        name: "exception".into(),
        attributes,
        ..Event::default()
    }
}

#[test]
fn an_exception_names_its_cause_and_that_its_own() {
    let trace =
        "E: top\n\tat a.B.c(D.java:1)\nCaused by: F: middle\n\tat a.B.d(D.java:2)\nCaused by: G: root\n";
    let list = [
        ("exception.type", "E"),
        ("exception.message", "top"),
        ("exception.stacktrace", trace),
    ];
    let failed = Span {
        events: vec![
            exception(attributes(&list)),
            exception(attributes(&[("exception.type", "H")])),
        ],
        ..span(Vec::new())
    };
    let resource = attributes(&[("telemetry.sdk.language", "java")]);
    let (_, documents) = translate(&settings(), &[batch(resource, vec![failed])]);
    let document = check_document(&documents[0]);
    assert_eq!(
        document["cause"]["exceptions"],
        json!([
            {"id": "0000000000000001", "type": "E", "remote": false, "message": "top", "cause": "0000000000000002",
             "stack": [{"path": "D.java", "line": 1, "label": "a.B.c"}]},
            {"id": "0000000000000002", "type": "F", "remote": false, "message": "middle", "cause": "0000000000000003",
             "stack": [{"path": "D.java", "line": 2, "label": "a.B.d"}]},
            {"id": "0000000000000003", "type": "G", "remote": false, "message": "root"},
            {"id": "0000000000000004", "type": "H", "remote": false, "message": ""},
        ])
    );
}

#[test]
fn a_document_too_large_keeps_the_innermost_frames() {
    let frame = format!("\tat a.B.{}(D.java:1)\n", "c".repeat(3_000));
    let text = format!("E\n{}", frame.repeat(40));
    let list = vec![attribute("exception.stacktrace", AnyValue::String(text.into()))];
    let failed = Span {
        events: vec![exception(list)],
        ..span(Vec::new())
    };
    let resource = attributes(&[("telemetry.sdk.language", "java")]);
    let (translated, documents) = translate(&settings(), &[batch(resource, vec![failed])]);
    let document = check_document(&documents[0]);
    assert_eq!(translated.shrunk, 1);
    let exception = &document["cause"]["exceptions"][0];
    assert_eq!(exception["stack"].as_array().unwrap().len(), 5);
    assert_eq!(exception["truncated"], 35);
}

#[test]
fn events_that_are_no_exceptions_are_metadata_and_too_many_are_counted() {
    let event = |name: &str| Event {
        name: name.to_owned().into(),
        time_unix_nano: 1_500_000_000,
        attributes: attributes(&[("k", "v")]),
    };
    let with_more = exception(attributes(&[("exception.type", "E"), ("retry", "1")]));
    let events = [vec![with_more], vec![event("cache miss"); 25]].concat();
    let (translated, document) = translate_one(
        &settings(),
        Span {
            events,
            ..span(Vec::new())
        },
    );
    let events = document["metadata"]["default"]["otel.events"].as_array().unwrap();
    assert_eq!(events.len(), 20);
    assert_eq!(
        events[0],
        json!({"name": "exception", "time": 0, "attributes": {"retry": "1"}})
    );
    assert_eq!(
        events[1],
        json!({"name": "cache miss", "time": 1.5, "attributes": {"k": "v"}})
    );
    assert_eq!(translated.events_dropped, 6);
}

#[test]
fn the_documents_of_one_trace_have_room_together() {
    let large = |n: u8| {
        let text = AnyValue::String("m".repeat(50_000).into());
        inner(Span {
            span_id: SpanId([n; 8]),
            ..span(vec![attribute("large", text)])
        })
    };
    let spans: Vec<_> = (1..=40).map(large).collect();
    let (translated, documents) = translate(&settings(), &[batch(Vec::new(), spans)]);
    let sum: usize = documents.iter().map(|document| document.json().len()).sum();
    // All are there; those that X-Ray would have no room for say the essential only.
    assert_eq!(documents.len(), 40);
    assert!((380_000..480_000).contains(&sum), "{sum}");
    assert!(translated.shrunk >= 30, "{}", translated.shrunk);
}

#[test]
fn a_resource_without_end_is_bounded_and_counted() {
    let many = (0..1_000).map(|n| attribute(&format!("r{n}"), AnyValue::Int(n)));
    let large = ("large", AnyValue::String("m".repeat(100_000).into()));
    let resource: Vec<_> = std::iter::once(attribute(large.0, large.1)).chain(many).collect();
    let (translated, documents) = translate(&settings(), &[batch(resource, vec![span(Vec::new())])]);
    let document = check_document(&documents[0]);
    let metadata = document["metadata"]["default"].as_object().unwrap();
    assert_eq!(metadata.len(), 255);
    assert_eq!(translated.resource_attributes_dropped, 1 + 745);
}

#[test]
fn traces_that_come_together_have_room_each() {
    let large = |n: u8| Span {
        trace_id: TraceId([n; 16]),
        ..span(vec![attribute(
            "large",
            AnyValue::String("m".repeat(50_000).into()),
        )])
    };
    let (translated, _) = translate(&settings(), &[batch(Vec::new(), (1..=40).map(large).collect())]);
    assert_eq!(translated.shrunk, 0);
}

#[test]
fn more_than_twenty_links_are_cut_and_counted() {
    let link = Link {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([1; 8]),
        ..Link::default()
    };
    let (translated, document) = translate_one(
        &settings(),
        Span {
            links: vec![link; 25],
            ..span(Vec::new())
        },
    );
    assert_eq!(document["links"].as_array().unwrap().len(), 20);
    assert_eq!(translated.links_dropped, 5);
}

#[test]
fn a_document_too_large_loses_its_largest_metadata_first() {
    let text = |size: usize| AnyValue::String("m".repeat(size).into());
    let list = vec![
        attribute("small", text(10)),
        attribute("large", text(70_000)),
        attribute("middle", text(1_000)),
        attribute("order.id", AnyValue::Int(7)),
    ];
    let (translated, document) = translate_one(&settings(), span(list));
    let default = document["metadata"]["default"].as_object().unwrap();
    assert_eq!(
        default.keys().collect::<Vec<_>>(),
        ["middle", "order.id", "small"]
    );
    assert_eq!(translated.shrunk, 1);
}

#[test]
fn a_document_too_large_keeps_cluster_name_and_a_short_message() {
    let message = "n".repeat(100_000);
    let annotations =
        (0..60).map(|n| attribute(&format!("a{n}"), AnyValue::String("\u{1}".repeat(1_000).into())));
    let failed = Span {
        status: Status {
            code: StatusCode::Error,
            message: message.into(),
        },
        ..span(annotations.collect())
    };
    let resource = attributes(&[("cluster_name", "prod-eu"), ("service.name", "shop")]);
    let (translated, documents) = translate(&indexing_all(), &[batch(resource, vec![failed])]);
    let document = check_document(&documents[0]);
    assert_eq!(translated.shrunk, 1);
    assert_eq!(document["cause"]["exceptions"][0]["message"], "n".repeat(1_000));
    let annotations = document["annotations"].as_object().unwrap();
    assert_eq!(annotations["cluster_name"], "prod-eu");
    // As many as fit stay: one is 6,000 bytes when escaped.
    assert!(annotations.len() >= 10, "{}", annotations.len());
}

#[test]
fn a_document_of_nothing_but_long_names_still_fits() {
    let long = || AnyValue::String("\u{1}".repeat(80_000).into());
    let list = [
        "aws.region",
        "aws.queue_url",
        "db.statement",
        "db.name",
        "db.user",
    ]
    .map(|key| attribute(key, long()));
    let resource = ["k8s.cluster.name", "service.version", "cluster_name"].map(|key| attribute(key, long()));
    let system = attributes(&[("db.system", "mysql")]);
    let spans = vec![span([list.to_vec(), system].concat())];
    let (translated, documents) = translate(&settings(), &[batch(resource.to_vec(), spans)]);
    let document = check_document(&documents[0]);
    assert_eq!(document["annotations"]["cluster_name"], "\u{1}".repeat(1_000));
    assert_eq!(translated.shrunk, 1);
}

#[test]
fn an_attribute_that_opens_one_namespace_too_many_stays_as_it_is() {
    let space = |n| {
        attribute(
            &format!("aws.xray.metadata.s{n}"),
            AnyValue::String(r#"{"a":1}"#.into()),
        )
    };
    let (_, document) = translate_one(&settings(), span((0..60).map(space).collect()));
    let metadata = document["metadata"].as_object().unwrap();
    assert_eq!(metadata.len(), 50 + 1);
    assert_eq!(metadata["s49"], json!({"a": 1}));
    assert_eq!(metadata["default"]["aws.xray.metadata.s50"], r#"{"a":1}"#);
    assert_eq!(metadata["default"].as_object().unwrap().len(), 10);
}

#[test]
fn nesting_without_end_is_cut() {
    let nest = |inner, _| AnyValue::Array(vec![inner]);
    let deep = (0..1_000).fold(AnyValue::Int(1), nest);
    let (_, document) = translate_one(&settings(), span(vec![attribute("deep", deep)]));
    assert!(document["metadata"]["default"]["deep"].is_array());
}

#[test]
fn the_same_input_and_ids_give_the_same_bytes() {
    let list = attributes(&[
        ("aws.span.kind", "LOCAL_ROOT"),
        ("b", "1"),
        ("a", "2"),
        ("http.method", "GET"),
    ]);
    let call = Span {
        kind: SpanKind::Client,
        ..span(list)
    };
    let traces = [batch(
        attributes(&[("z", "1"), ("cluster_name", "c")]),
        vec![call.clone(), call],
    )];
    for settings in [settings(), indexing_all()] {
        let first = translate(&settings, &traces);
        assert_eq!(first, translate(&settings, &traces));
        assert_eq!(first.1.len(), 4);
    }
}

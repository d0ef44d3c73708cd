//! Whatever comes in, what goes out is a document that X-Ray takes, and every span is in one or counted.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::Config;
use tracepipe_config::AwsXraySettings;
use tracepipe_otlp::view::{
    AnyValue, Event, KeyValue, Link, ResourceSpans, Span, SpanKind, Status, StatusCode,
};
use tracepipe_otlp::{SpanId, TraceId};

use crate::tests::{attribute, batch, settings, translate};

/// Every name that some facet looks for, so that they meet in one span.
const NAMES: [&str; 66] = [
    "exception.stacktrace",
    "telemetry.sdk.language",
    "messaging.destination.name",
    "otel.span.name",
    "http.method",
    "http.request.method",
    "http.client_ip",
    "http.user_agent",
    "user_agent.original",
    "http.status_code",
    "http.response.status_code",
    "http.url",
    "url.full",
    "http.scheme",
    "url.scheme",
    "http.host",
    "http.target",
    "http.server_name",
    "net.host.port",
    "host.name",
    "net.host.name",
    "net.peer.name",
    "net.peer.port",
    "net.peer.ip",
    "network.peer.address",
    "client.address",
    "url.path",
    "url.query",
    "server.address",
    "server.port",
    "aws.span.kind",
    "aws.local.service",
    "aws.remote.service",
    "peer.service",
    "aws.service",
    "db.name",
    "db.namespace",
    "db.connection_string",
    "db.system",
    "db.system.name",
    "db.statement",
    "db.user",
    "rpc.service",
    "rpc.system",
    "rpc.method",
    "aws.operation",
    "aws.account_id",
    "aws.region",
    "aws.request_id",
    "aws.queue_url",
    "aws.dynamodb.table_names",
    "messaging.url",
    "enduser.id",
    "aws.xray.annotations",
    "aws.xray.metadata.app",
    "aws.xray.metadata.default",
    "aws.xray.inprogress",
    "service.name",
    "cluster_name",
    "cloud.provider",
    "cloud.platform",
    "k8s.cluster.name",
    "host.id",
    "service.instance.id",
    "aws.log.group.names",
    "exception.message",
];

const TEXTS: [&str; 25] = [
    "java",
    "python",
    "E: m\n\tat a.B.c(D.java:1)\nCaused by: F:\n  File \"x\", line 1\n\nDuring handling of the above exception, another exception occurred:\n",
    "",
    "aws",
    "aws_eks",
    "aws_ecs",
    "aws_elastic_beanstalk",
    "LOCAL_ROOT",
    "aws-api",
    "postgresql",
    "503",
    "429",
    "::1",
    "10.0.0.1",
    "exception",
    "HTTP request failure",
    "{\"a\":null,\"b\":{\"c\":[null,1]}}",
    "{\"default\":1}",
    "jdbc:postgresql://u:p@[::1]:5432/d",
    "a,b\\c<d>",
    "\u{0}\u{1f}\"",
    "\u{fffd}\u{2028}",
    "?a=1",
    "cluster_name",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => proptest::sample::select(&TEXTS[..]).prop_map(str::to_owned),
        4 => ".{0,20}",
        1 => ("[\u{1}a\u{e9}\u{1f600}\"]", 200_usize..2_000).prop_map(|(part, times)| part.repeat(times)),
        1 => ("[\u{1}a]", 20_000_usize..70_000).prop_map(|(part, times)| part.repeat(times)),
    ]
}

fn value() -> impl Strategy<Value = AnyValue<'static>> {
    let leaf = prop_oneof![
        8 => text().prop_map(|text| AnyValue::String(text.into())),
        1 => Just(AnyValue::Empty),
        1 => any::<bool>().prop_map(AnyValue::Bool),
        2 => prop_oneof![any::<i64>(), 0_i64..700].prop_map(AnyValue::Int),
        2 => any::<f64>().prop_map(AnyValue::Double),
        1 => proptest::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0]).prop_map(AnyValue::Double),
        1 => vec(any::<u8>(), 0..20).prop_map(|bytes| AnyValue::Bytes(bytes.into())),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let entry = (name(), inner.clone()).prop_map(|(key, value)| attribute(&key, value));
        prop_oneof![
            vec(inner, 0..4).prop_map(AnyValue::Array),
            vec(entry, 0..4).prop_map(AnyValue::Map)
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        20 => proptest::sample::select(&NAMES[..]).prop_map(str::to_owned),
        4 => "[a-c._ -]{0,3}",
        1 => text(),
    ]
}

fn attributes(most: usize) -> impl Strategy<Value = Vec<KeyValue<'static>>> {
    vec(
        (name(), value()).prop_map(|(key, value)| attribute(&key, value)),
        0..most,
    )
}

fn trace_id() -> impl Strategy<Value = TraceId> {
    prop_oneof![9 => any::<[u8; 16]>(), 1 => Just([0; 16])].prop_map(TraceId)
}

fn span_id() -> impl Strategy<Value = SpanId> {
    prop_oneof![9 => any::<[u8; 8]>(), 1 => Just([0; 8])].prop_map(SpanId)
}

fn span() -> impl Strategy<Value = Span<'static>> {
    let kinds = vec![
        SpanKind::Unspecified,
        SpanKind::Internal,
        SpanKind::Server,
        SpanKind::Client,
        SpanKind::Producer,
        SpanKind::Consumer,
    ];
    let codes = vec![StatusCode::Unset, StatusCode::Ok, StatusCode::Error];
    let event = (text(), attributes(4), any::<u64>()).prop_map(|(name, attributes, time_unix_nano)| Event {
        name: name.into(),
        attributes,
        time_unix_nano,
    });
    let link = (trace_id(), span_id(), attributes(3)).prop_map(|(trace_id, span_id, attributes)| Link {
        trace_id,
        span_id,
        attributes,
    });
    let ids = (trace_id(), span_id(), option::of(any::<[u8; 8]>()));
    let what = (
        proptest::sample::select(kinds),
        text(),
        proptest::sample::select(codes),
        text(),
    );
    let lists = (
        prop_oneof![9 => attributes(30), 1 => attributes(120)],
        vec(event, 0..4),
        vec(link, 0..24),
    );
    (ids, what, any::<[u64; 2]>(), lists).prop_map(|(ids, what, times, lists)| Span {
        trace_id: ids.0,
        span_id: ids.1,
        parent_span_id: ids.2.map(SpanId).filter(|id| id.is_valid()),
        kind: what.0,
        name: what.1.into(),
        status: Status {
            code: what.2,
            message: what.3.into(),
        },
        start_time_unix_nano: times[0],
        end_time_unix_nano: times[1],
        attributes: lists.0,
        events: lists.1,
        links: lists.2,
        ..Span::default()
    })
}

fn any_settings() -> impl Strategy<Value = AwsXraySettings> {
    let names = vec(name(), 0..5);
    (any::<bool>(), names, vec(text(), 0..2)).prop_map(|(index_all_attributes, names, groups)| {
        AwsXraySettings {
            index_all_attributes,
            indexed_attributes: names,
            aws_log_groups: groups,
            ..settings()
        }
    })
}

fn traces() -> impl Strategy<Value = Vec<ResourceSpans<'static>>> {
    vec(
        (attributes(20), vec(span(), 0..3)).prop_map(|(resource, spans)| batch(resource, spans)),
        1..3,
    )
}

proptest::proptest! {
    #![proptest_config(Config { cases: 128, ..Config::default() })]

    // `translate` checks every document and the account.
    #[test]
    fn every_output_is_valid_and_every_span_is_accounted_for(settings in any_settings(), traces in traces()) {
        let first = translate(&settings, &traces);
        assert_eq!(first, translate(&settings, &traces));
        check_cluster_name(&traces, &first.1);
    }
}

/// Every document has the cluster's name, whatever else there is.
fn check_cluster_name(traces: &[ResourceSpans<'_>], documents: &[crate::SegmentDocument]) {
    let [only] = traces else { return };
    let Some(entry) = only.resource.iter().find(|entry| entry.key == "cluster_name") else {
        return;
    };
    if let AnyValue::String(cluster) = &entry.value {
        let expected: String = cluster.chars().take(400).collect();
        for document in documents {
            let document: serde_json::Value = serde_json::from_str(&document.json()).unwrap();
            let got = document["annotations"]["cluster_name"].as_str().unwrap();
            assert!(got.starts_with(&expected), "{got}");
        }
    }
}

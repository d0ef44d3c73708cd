//! The whole line: OTLP in by every way, the right traces out, X-Ray content with them.

use std::time::Duration;

use bytes::Bytes;
use tracepipe_e2e::clock;
use tracepipe_e2e::fake_amp::{FakeAmp, Options};
use tracepipe_e2e::load::{self, Outcome, Sender, Target};
use tracepipe_e2e::order_system::{self, Traffic};
use tracepipe_e2e::rng::Rng;
use tracepipe_e2e::service_map::{CLIENTS, ServiceMap};
use tracepipe_e2e::spans::{Kind, ResourceSpans, Span, Status};
use tracepipe_e2e::workload::{Encoding, Mix, OtlpRequest};
use tracepipe_otlp::{SpanId, TraceId};

use crate::amp_rig::{self, Counters};
use crate::rig::{self, LIMIT, plain, send, settled, stop, truths};

/// A trace of one span that failed, so that it is kept.
pub(crate) fn failed_span(seed: u64) -> Span {
    let mut rng = Rng::new(seed);
    let now = clock::unix_nanos();
    Span {
        trace_id: TraceId(rng.trace_id()),
        span_id: SpanId(rng.span_id()),
        parent: None,
        flags: 0,
        name: "GET /".into(),
        kind: Kind::Server,
        start_unix_nano: now - 1_000_000,
        end_unix_nano: now,
        attributes: vec![("http.request.method".into(), "GET".into())],
        events: Vec::new(),
        status: Status::Error("it broke".into()),
    }
}

pub(crate) fn request(spans: Vec<Span>, encoding: Encoding) -> OtlpRequest {
    let resource = vec![("service.name".into(), "orders".into())];
    OtlpRequest::new(
        &[ResourceSpans {
            resource,
            scope: "test".into(),
            spans,
        }],
        encoding,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_systems_failed_and_slow_traces_reach_xray_whole() {
    // Services send up to a second apart and the slowest traces last four.
    let rig = rig::xray(|start| start.set("processors.tail_sampling.decision_wait=6s")).await;
    let senders =
        order_system::senders(rig.collector.grpc().unwrap(), rig.collector.http().unwrap()).unwrap();
    let traffic = Traffic::new(11, 400, Duration::from_secs(4), clock::unix_nanos());
    let report = load::run(&senders, clock::now(), traffic.requests.clone().into_iter()).await;
    assert!(report.all_accepted(), "{:?}", report.answers);
    settled(&rig.collector, report.spans).await;
    rig.assert_clean();

    let documents = rig.documents();
    for story in traffic
        .stories
        .iter()
        .filter(|story| story.truth.must_be_kept.is_some())
    {
        assert!(
            rig.has_whole(&documents, &story.truth),
            "{} {}",
            story.truth.trace_id,
            story.title
        );
    }
    for document in documents.values().flatten() {
        assert_eq!(
            document.annotation("cluster_name").unwrap(),
            "prod-eu",
            "{document:?}"
        );
    }
    for (trace, documents) in &documents {
        let story = traffic
            .stories
            .iter()
            .find(|story| story.truth.trace_id.to_string() == *trace)
            .unwrap();
        assert!(
            rig.has_whole(&[(trace.clone(), documents.clone())].into(), &story.truth),
            "{}",
            story.title
        );
    }

    let map = ServiceMap::build(&documents.values().flatten().cloned().collect::<Vec<_>>());
    let edge = |from: &str, to: &str| map.edges.contains_key(&(from.to_owned(), to.to_owned()));
    assert!(edge(CLIENTS, "load-balancer"), "{:?}", map.edges.keys());
    for (from, to) in [
        ("load-balancer", "authentication"),
        ("load-balancer", "orders"),
        ("load-balancer", "catalogue"),
        ("orders", "catalogue"),
        ("orders", "payment"),
    ] {
        assert!(edge(from, to), "no {from} -> {to} in {:?}", map.edges.keys());
    }
    assert_eq!(map.orphans, 0);
    stop(rig.collector).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kept_traces_are_whole_and_the_rest_is_a_tenth() {
    let rig = rig::otlp(|start| start).await;
    let plain = plain(5, Mix::default(), 1000);
    let report = send(Target::grpc(rig.collector.grpc().unwrap()), &plain, 150).await;
    assert!(report.all_accepted(), "{:?}", report.answers);
    settled(&rig.collector, report.spans).await;
    let traces = rig.sink.traces();
    assert_eq!(rig.sink.repeated_spans(), 0);
    let (mut ordinary, mut ordinary_kept) = (0_u32, 0_u32);
    for truth in truths(&plain, 150) {
        let kept = traces.get(&truth.trace_id);
        if let Some(spans) = kept {
            let mut got = spans.clone();
            let mut sent = truth.spans.clone();
            got.sort_unstable();
            sent.sort_unstable();
            assert_eq!(got, sent, "trace {} is not whole", truth.trace_id);
        }
        assert!(
            kept.is_some() || truth.must_be_kept.is_none(),
            "{truth:?} is missing"
        );
        if truth.must_be_kept.is_none() {
            ordinary += 1;
            ordinary_kept += u32::from(kept.is_some());
        }
    }
    let share = f64::from(ordinary_kept) / f64::from(ordinary);
    assert!(
        (0.07..0.13).contains(&share),
        "{ordinary_kept} of {ordinary} ordinary traces were kept"
    );
    stop(rig.collector).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_protocol_encoding_and_compression_is_taken() {
    let rig = rig::xray(|start| start).await;
    let (grpc, http) = (rig.collector.grpc().unwrap(), rig.collector.http().unwrap());
    let mut sent = Vec::new();
    for gzip in [false, true] {
        for (target, encoding) in [
            (Target::grpc(grpc), Encoding::Protobuf),
            (Target::http(http), Encoding::Protobuf),
            (Target::http(http), Encoding::Json),
        ] {
            let span = failed_span(sent.len() as u64 + 1);
            sent.push(span.span_id.to_string());
            let target = Target { gzip, ..target };
            let sender = Sender::new(target.clone()).unwrap();
            let request = request(vec![span], encoding);
            let outcome = sender.send(request.body, encoding).await;
            assert_eq!(
                outcome,
                Outcome::Accepted { rejected_spans: 0 },
                "{target:?} {encoding:?}"
            );
        }
    }
    settled(&rig.collector, sent.len() as u64).await;
    rig.assert_clean();
    let mut got: Vec<String> = rig
        .fake
        .accepted()
        .into_iter()
        .map(|document| document.id)
        .collect();
    got.sort_unstable();
    sent.sort_unstable();
    assert_eq!(got, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_without_a_valid_id_is_rejected_alone() {
    let rig = rig::xray(|start| start).await;
    let (grpc, http) = (rig.collector.grpc().unwrap(), rig.collector.http().unwrap());
    for (number, (target, encoding)) in [
        (Target::grpc(grpc), Encoding::Protobuf),
        (Target::http(http), Encoding::Protobuf),
        (Target::http(http), Encoding::Json),
    ]
    .into_iter()
    .enumerate()
    {
        let good = failed_span(number as u64 + 1);
        let no_trace = Span {
            trace_id: TraceId::default(),
            ..failed_span(100)
        };
        let no_span = Span {
            span_id: SpanId::default(),
            ..failed_span(101)
        };
        let request = request(vec![no_trace, good, no_span], encoding);
        let outcome = Sender::new(target).unwrap().send(request.body, encoding).await;
        assert_eq!(outcome, Outcome::Accepted { rejected_spans: 2 }, "{encoding:?}");
    }
    let account = settled(&rig.collector, 9).await;
    assert_eq!(account.sum("tracepipe_spans_rejected"), 6);
    assert_eq!(rig.fake.counts().documents_accepted, 3);
    rig.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn late_spans_follow_the_remembered_decision() {
    let rig = rig::xray(|start| start).await;
    let sender = Sender::new(Target::grpc(rig.collector.grpc().unwrap())).unwrap();
    let first = failed_span(1);
    let late = Span {
        span_id: SpanId([7; 8]),
        parent: Some(first.span_id),
        status: Status::Unset,
        ..first.clone()
    };
    for (index, span) in [first, late].into_iter().enumerate() {
        let body = request(vec![span], Encoding::Protobuf).body;
        let outcome = sender.send(body, Encoding::Protobuf).await;
        assert_eq!(outcome, Outcome::Accepted { rejected_spans: 0 });
        // Decided and exported before the next one comes.
        let exported = index as u64 + 1;
        let counts = rig
            .fake
            .wait_until(|counts| counts.documents_accepted >= exported);
        tokio::time::timeout(LIMIT, counts).await.unwrap();
    }
    settled(&rig.collector, 2).await;
    rig.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_that_no_pipeline_takes_are_answered_for_good() {
    let rig = rig::xray(|start| start).await;
    for signal in ["metrics", "logs"] {
        let (status, body) = post(rig.collector.http().unwrap(), &format!("/v1/{signal}")).await;
        assert_eq!(status, 404, "{body}");
        assert!(
            body.contains(&format!("OTEL_{}_EXPORTER", signal.to_uppercase())),
            "{body}"
        );
    }
    let (status, _) = post(rig.collector.http().unwrap(), "/v1/traces").await;
    assert_eq!(status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_alone_run_and_traces_are_refused_for_good() {
    let front = FakeAmp::start(Options::new(amp_rig::key())).await.unwrap();
    let both = amp_rig::config(&front.url());
    let is_of_traces = |line: &str| line.trim_start().starts_with("traces:") || line == "  debug:";
    let alone: Vec<&str> = both.lines().filter(|line| !is_of_traces(line)).collect();
    // Ready, or it would not have started.
    let collector = amp_rig::collector(&alone.join("\n"), |start| start).await;

    let sender = Sender::new(Target::grpc(collector.grpc().unwrap())).unwrap();
    let spans = request(vec![failed_span(1)], Encoding::Protobuf);
    let outcome = sender.send(spans.body, Encoding::Protobuf).await;
    let Outcome::Refused {
        retryable: false,
        code,
        message,
        ..
    } = outcome
    else {
        panic!("{outcome:?}");
    };
    assert_eq!(code, "grpc 12", "UNIMPLEMENTED");
    assert!(message.contains("service.pipelines.traces"), "{message}");
    let (status, body) = post(collector.http().unwrap(), "/v1/traces").await;
    assert_eq!(status, 404, "{body}");
    assert!(body.contains("OTEL_TRACES_EXPORTER"), "{body}");

    let counters = Counters::until_now(40, 5);
    let points = amp_rig::send(&amp_rig::sender(&collector), &counters, 0..5).await;
    let account = amp_rig::settled(&collector, points).await;
    assert_eq!(amp_rig::written(&front), counters.samples(5));
    assert_eq!(account.sum("tracepipe_spans_accepted"), 0);
    let refused = account.by_label("tracepipe_requests_refused", "reason");
    assert_eq!(
        refused,
        [("no_pipeline".to_owned(), 2)].into(),
        "in the account of spans"
    );
    let (_, said) = collector.health("/exporters").await.unwrap();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["exporters"], serde_json::json!([]));
    assert_eq!(said["metrics_exporters"][0]["id"], "prometheusremotewrite");
    let last = stop(collector).await;
    assert_eq!(last.metrics_inside(), 0);
}

/// An empty JSON request.
async fn post(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    use http_body_util::{BodyExt, Full};
    let client =
        hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let request =
        http::Request::post(format!("http://{address}{path}")).header("content-type", "application/json");
    let request = request.body(Full::new(Bytes::from_static(b"{}"))).unwrap();
    let response = tokio::time::timeout(LIMIT, client.request(request))
        .await
        .unwrap()
        .unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

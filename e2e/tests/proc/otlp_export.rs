//! OTLP out: a backend that refuses, goes away and comes back.

use tracepipe_e2e::load::Target;
use tracepipe_e2e::otlp_sink::{Behaviour, OtlpSink};
use tracepipe_e2e::workload::Mix;

use crate::rig::{self, LIMIT, plain, send, settled, truths};

const ALL_FAIL: Mix = Mix {
    error_share: 1.0,
    slow_share: 0.0,
    slow_ms: 500,
};
/// Shorter pauses than the default of 5 s.
const RETRY: &str = "exporters.otlp.retry_on_failure.initial_interval=200ms";

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_refuses_for_a_while_gets_everything_once() {
    let rig = rig::otlp(|start| start.set(RETRY)).await;
    rig.sink.set_behaviour(Behaviour::Refuse);
    let plain = plain(4, ALL_FAIL, 1000);
    let report = send(Target::grpc(rig.collector.grpc().unwrap()), &plain, 5).await;
    tokio::time::timeout(LIMIT, rig.sink.wait_until(|counts| counts.failed > 2))
        .await
        .unwrap();
    rig.sink.set_behaviour(Behaviour::Accept);
    settled(&rig.collector, report.spans).await;
    assert_eq!(
        (rig.sink.counts().spans, rig.sink.repeated_spans()),
        (report.spans, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_goes_away_and_comes_back_gets_everything() {
    let rig = rig::otlp(|start| start.set(RETRY)).await;
    let address = rig.sink.address();
    drop(rig.sink);
    let plain = plain(5, ALL_FAIL, 1000);
    let report = send(Target::grpc(rig.collector.grpc().unwrap()), &plain, 5).await;
    rig.collector
        .wait_until("spans that are being sent", LIMIT, |account| {
            account.sum("tracepipe_exporter_spans_in_flight") > 0
        })
        .await
        .unwrap();
    let sink = OtlpSink::start_at(Some(address)).await.unwrap();
    settled(&rig.collector, report.spans).await;
    let traces = sink.traces();
    for truth in truths(&plain, 5) {
        assert_eq!(traces.get(&truth.trace_id).map(Vec::len), Some(truth.spans.len()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_backend_rejects_for_good_is_counted_as_lost() {
    let rig = rig::otlp(|start| start.set(RETRY)).await;
    rig.sink.set_behaviour(Behaviour::Reject);
    let plain = plain(6, ALL_FAIL, 1000);
    let report = send(Target::grpc(rig.collector.grpc().unwrap()), &plain, 5).await;
    let account = settled(&rig.collector, report.spans).await;
    assert_eq!(account.sum("tracepipe_exporter_spans_lost"), report.spans);
}

#[tokio::test(flavor = "multi_thread")]
async fn gzip_on_both_sides_carries_the_same_spans() {
    let rig = rig::otlp(|start| start.set("exporters.otlp.compression=gzip")).await;
    let plain = plain(7, ALL_FAIL, 1000);
    let target = Target {
        gzip: true,
        connections: 4,
        ..Target::grpc(rig.collector.grpc().unwrap())
    };
    let report = send(target, &plain, 10).await;
    assert!(report.all_accepted(), "{:?}", report.answers);
    settled(&rig.collector, report.spans).await;
    assert_eq!(
        (rig.sink.counts().spans, rig.sink.repeated_spans()),
        (report.spans, 0)
    );
}

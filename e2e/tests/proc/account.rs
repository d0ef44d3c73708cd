//! The account on real figures.

use tracepipe_e2e::fake_xray::{Failure, Script, When};
use tracepipe_e2e::load::Target;
use tracepipe_e2e::workload::{Encoding, Mix};

use crate::line::{failed_span, request};
use crate::rig::{self, plain, send, settled, stop, truths};
use tracepipe_e2e::load::Sender;
use tracepipe_otlp::TraceId;

#[tokio::test(flavor = "multi_thread")]
async fn every_counter_that_counted_is_needed_for_the_account_to_hold() {
    let rig = rig::xray(|start| start).await;
    let (grpc, http) = (rig.collector.grpc().unwrap(), rig.collector.http().unwrap());
    let plain = plain(1, Mix::default(), 1000);
    let accepted = send(Target::grpc(grpc), &plain, 20).await;
    assert!(accepted.all_accepted(), "{:?}", accepted.answers);
    let http_sender = Sender::new(Target::http(http)).unwrap();
    // One malformed request and one rejected span, so that these counters count too.
    http_sender.send("not protobuf".into(), Encoding::Protobuf).await;
    let mut bad = failed_span(1);
    bad.trace_id = TraceId::default();
    http_sender
        .send(request(vec![bad], Encoding::Protobuf).body, Encoding::Protobuf)
        .await;

    let account = settled(&rig.collector, accepted.spans + 1).await;
    for (name, perturbed) in account.perturbed() {
        assert!(perturbed.check().is_err(), "{name} is in no equation");
    }
    let forgotten = account.forgotten();
    assert!(
        forgotten.len() >= 12,
        "only {} counters have counted",
        forgotten.len()
    );
    for (name, forgotten) in forgotten {
        assert!(forgotten.check().is_err(), "{name} could be forgotten");
    }
    stop(rig.collector).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_account_agrees_with_generator_and_fake() {
    let rig = rig::xray(|start| start).await;
    let script = Script {
        when: When::Every(3),
        failure: Failure::Throttle,
    };
    rig.fake.set_script(Some(script));
    let plain = plain(2, Mix::default(), 1000);
    let report = send(Target::grpc(rig.collector.grpc().unwrap()), &plain, 50).await;
    settled(&rig.collector, report.spans_accepted).await;
    let documents = rig.documents();
    let in_xray: usize = truths(&plain, 50)
        .iter()
        .filter(|truth| rig.has_whole(&documents, truth))
        .map(|truth| truth.spans.len())
        .sum();
    rig.assert_clean();
    let fake = rig.fake;
    let account = stop(rig.collector).await;
    assert_eq!(account.sum("tracepipe_requests_received"), report.requests);
    // Five bytes of gRPC framing each.
    assert_eq!(
        account.sum("tracepipe_request_bytes_received"),
        report.body_bytes + 5 * report.requests
    );
    assert_eq!(account.sum("tracepipe_spans_accepted"), report.spans_accepted);
    assert_eq!(
        account.sum_with("tracepipe_exporter_spans_exported", "exporter", |id| id
            == "awsxray"),
        in_xray as u64
    );
    assert_eq!(fake.counts().documents_accepted, in_xray as u64);
}

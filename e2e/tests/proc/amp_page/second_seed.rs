//! `seeds/seed2.yaml` as it stands: only where it listens and where X-Ray is are said from outside.

use serde_json::Value;
use tracepipe_e2e::collector::{CollectorProcess, Start};
use tracepipe_e2e::fake_xray::{FakeXray, Options, Verifier};
use tracepipe_e2e::load::{Outcome, Sender, Target};
use tracepipe_e2e::otlp_metrics::{encode, points};
use tracepipe_e2e::workload::{Encoding, Mix};

use super::findings::{Promtool, assert_listed};
use super::{SECOND, page, shop};
use crate::amp_rig::key;
use crate::rig::{self, KEY, XrayRig};

const REQUESTS: u64 = 5;

const MIX: Mix = Mix {
    error_share: 0.1,
    slow_share: 0.1,
    slow_ms: 500,
};

/// The region is the document's, whatever the environment says.
async fn second_seed() -> XrayRig {
    let verifier = Verifier {
        credentials: vec![key()],
        region: Some("us-east-1".into()),
        service: "xray".into(),
    };
    let fake = FakeXray::start(Options {
        verifier,
        ..Options::new(key())
    });
    let fake = fake.await.unwrap();
    let start = Start::new(rig::example("seed2.yaml"))
        .set("exporters.prometheus.endpoint=127.0.0.1:0")
        .xray(fake.url(), KEY)
        .env("AWS_REGION", "eu-central-1");
    let collector = CollectorProcess::start(start).await.unwrap();
    XrayRig { fake, collector }
}

/// The shop's metrics twice, over one protocol and then over the other; how many data points.
async fn send_metrics(collector: &CollectorProcess) -> u64 {
    let now = tracepipe_e2e::clock::unix_nanos();
    let grpc = Target::grpc(collector.grpc().unwrap());
    let http = Target::http(collector.http().unwrap());
    let mut sent = 0;
    for (target, orders, time) in [(grpc, 4, now - SECOND), (http, 7, now)] {
        let request = shop::request(orders, time);
        sent += points(&request);
        let sender = Sender::of_metrics(target).unwrap();
        let outcome = sender.send(encode(&request), Encoding::Protobuf).await;
        assert_eq!(outcome, Outcome::Accepted { rejected_spans: 0 });
        crate::amp_rig::settled(collector, sent).await;
    }
    sent
}

/// What the exporter `logging` said, by message.
fn logged<'a>(log: &'a [Value], message: &'a str) -> impl Iterator<Item = &'a Value> {
    let fields = log.iter().map(|line| &line["fields"]);
    fields.filter(move |fields| fields["message"] == message)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_seeds_configuration_runs_as_it_stands() {
    let rig = second_seed().await;
    let plain = rig::plain(11, MIX, 1000);
    let sent = rig::send(Target::grpc(rig.collector.grpc().unwrap()), &plain, REQUESTS).await;
    assert!(sent.all_accepted(), "{:?}", sent.answers);
    let points = send_metrics(&rig.collector).await;
    rig::settled(&rig.collector, sent.spans).await;

    // Nothing is sampled: every trace is in X-Ray, whole.
    rig.assert_clean();
    let documents = rig.documents();
    for truth in rig::truths(&plain, REQUESTS) {
        assert!(
            rig.has_whole(&documents, &truth),
            "{} is not whole",
            truth.trace_id
        );
    }
    let page = page(&rig.collector, "prometheus").await;
    assert_eq!(page, shop::text(7));

    let XrayRig {
        fake: _fake,
        collector,
    } = rig;
    let ended = collector.terminate(rig::LIMIT).await.unwrap();
    assert!(ended.status.success(), "{}", ended.status);
    let account = ended.account.expect("the last account is logged");
    assert_eq!(account.check(), Ok(()));
    assert_eq!((account.spans_inside(), account.metrics_inside()), (0, 0));
    let log = ended.log.iter().map(|line| serde_json::from_str(line).unwrap());
    let log: Vec<Value> = log.collect();
    let sum = |message, figure| {
        let of_logging = logged(&log, message).filter(|fields| fields["exporter"] == "logging");
        of_logging
            .filter_map(|fields| fields[figure].as_u64())
            .sum::<u64>()
    };
    assert_eq!(sum("traces", "spans"), sent.spans);
    assert_eq!(sum("metrics", "data_points"), points);
    // `loglevel: debug` shows them whole.
    let spans: String = logged(&log, "resource spans").map(Value::to_string).collect();
    for truth in rig::truths(&plain, REQUESTS) {
        assert!(spans.contains(&truth.trace_id.to_string()), "{}", truth.trace_id);
    }
    let metrics = logged(&log, "metric").filter(|fields| fields["name"] == "\"orders.placed\"");
    assert_eq!(metrics.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_reads_what_the_second_seeds_page_says() {
    let Some(promtool) = Promtool::find() else { return };
    let rig = second_seed().await;
    send_metrics(&rig.collector).await;
    let page = page(&rig.collector, "prometheus").await;
    assert_listed("findings_second_seed.txt", &promtool.check(&page).await);
}

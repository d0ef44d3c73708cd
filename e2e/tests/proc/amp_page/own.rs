//! The page on 8888 of a collector that has everything, after things went wrong.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::Method;
use tracepipe_e2e::account::Account;
use tracepipe_e2e::collector::{CollectorProcess, Start};
use tracepipe_e2e::fake_amp::{self, FakeAmp, Poison, Reason};
use tracepipe_e2e::fake_xray::{self, FakeXray, When};
use tracepipe_e2e::http_get::http_request;
use tracepipe_e2e::load::{Outcome, Sender, Target};
use tracepipe_e2e::otlp_metrics::{Data, Metric, Number, Point, encode, points, single, texts};
use tracepipe_e2e::spans::Span;
use tracepipe_e2e::workload::{Encoding, Mix};
use tracepipe_e2e::{clock, otlp_metrics::Resource};
use tracepipe_otlp::SpanId;

use super::findings::{Promtool, assert_listed, assert_none_is_ours};
use super::{generated, page};
use crate::amp_rig::{self, key, with_key};
use crate::line;
use crate::rig::{self, KEY, LIMIT};

const MIX: Mix = Mix {
    error_share: 0.5,
    slow_share: 0.0,
    slow_ms: 500,
};

/// Families that have no sample after [`misfortunes`]: that takes a memory limit that is reached, or a thread that is gone.
const SILENT: [&str; 7] = [
    "tracepipe_exporter_metric_points_lost_total",
    "tracepipe_metric_points_lost_total",
    "tracepipe_metric_request_bytes_refused_total",
    "tracepipe_metric_requests_refused_total",
    "tracepipe_request_bytes_refused_total",
    "tracepipe_requests_refused_total",
    "tracepipe_spans_lost_total",
];

struct World {
    xray: FakeXray,
    amp: FakeAmp,
    collector: CollectorProcess,
    _folder: tempfile::TempDir,
}

async fn world() -> World {
    let xray = FakeXray::start(fake_xray::Options::new(key())).await.unwrap();
    let amp = FakeAmp::start(fake_amp::Options::new(key())).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "extensions:\n  sigv4auth: {{region: us-east-1, service: aps}}\n\
         receivers:\n  otlp: {{protocols: {{grpc: , http: }}}}\n\
         processors:\n  memory_limiter: {{check_interval: 1s, limit_mib: 400}}\n  batch: {{timeout: 100ms}}\n  \
         tail_sampling:\n    decision_wait: 1s\n    decision_cache: {{sampled_cache_size: 1000, \
         non_sampled_cache_size: 1000, directory: '{}'}}\n    \
         policies: [{{name: errors, type: status_code, status_code: {{status_codes: [ERROR]}}}}]\n\
         exporters:\n  awsxray: {{region: us-east-1}}\n  debug:\n  prometheus: {{endpoint: '127.0.0.1:0'}}\n  \
         prometheusremotewrite:\n    endpoint: {}\n    auth: {{authenticator: sigv4auth}}\n    \
         tracepipe: {{batch_send_deadline: 100ms}}\n\
         service:\n  extensions: [sigv4auth]\n  pipelines:\n    \
         traces: {{receivers: [otlp], processors: [memory_limiter, tail_sampling, batch], exporters: [awsxray, debug]}}\n    \
         metrics: {{receivers: [otlp], processors: [memory_limiter, batch], \
         exporters: [prometheusremotewrite, prometheus, debug]}}\n",
        folder.path().display(),
        amp.url(),
    );
    let adjust = |start: Start| with_key(start.xray(xray.url(), KEY));
    let collector = amp_rig::collector(&config, adjust).await;
    World {
        xray,
        amp,
        collector,
        _folder: folder,
    }
}

/// Traffic, and of each kind of misfortune one.
async fn misfortunes(world: &World) {
    refused_requests(&world.collector).await;
    lost_samples(world).await;
    lost_spans(world).await;
}

/// Requests that are none.
async fn refused_requests(collector: &CollectorProcess) {
    let http = collector.http().unwrap();
    for path in ["traces", "metrics"] {
        let url = format!("http://{http}/v1/{path}");
        for method in [Method::GET, Method::POST] {
            let (status, _) = http_request(&url, method, "no OTLP").await.unwrap();
            assert!(status.is_client_error(), "{status}");
        }
    }
    let garbage = Bytes::from_static(b"no OTLP");
    for sender in [
        Sender::new(Target::http(http)),
        Sender::of_metrics(Target::http(http)),
    ] {
        let outcome = sender.unwrap().send(garbage.clone(), Encoding::Protobuf).await;
        assert!(!matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
    }
}

async fn lost_samples(world: &World) {
    world.amp.set_script(Some(fake_amp::Script {
        when: When::Next(3),
        failure: fake_amp::Failure::throttle(),
    }));
    world.amp.set_poison(vec![Poison {
        label: "pt".into(),
        value: "1".into(),
        reason: Reason::LabelValueTooLong,
    }]);
    let sender = amp_rig::sender(&world.collector);
    let mut sent = 0;
    for request in generated().into_iter().chain([odd_points()]) {
        sent += points(&request);
        let outcome = sender.send(encode(&request), Encoding::Protobuf).await;
        assert_eq!(outcome, Outcome::Accepted { rejected_spans: 0 });
    }
    amp_rig::settled(&world.collector, sent).await;
}

/// One time twice, and a point without any.
fn odd_points() -> Vec<Resource> {
    let point = |time, value| Point {
        attributes: texts(&[("number", "1")]),
        time,
        value: Number::Int(value),
        ..Point::default()
    };
    let now = clock::unix_nanos();
    let points = vec![point(now, 1), point(now, 2), point(0, 3)];
    single(Metric::new("odd", "", Data::Gauge(points)))
}

/// A span has no id; one document is refused for good; at the end X-Ray takes nothing any more.
async fn lost_spans(world: &World) {
    world.xray.set_script(Some(fake_xray::Script {
        when: When::Next(1),
        failure: fake_xray::Failure::Unprocessed {
            code: "InvalidName".into(),
            documents: 1,
        },
    }));
    let target = || Target::grpc(world.collector.grpc().unwrap());
    let nameless = Span {
        span_id: SpanId::default(),
        ..line::failed_span(1)
    };
    let nameless = line::request(vec![nameless], Encoding::Protobuf);
    let outcome = Sender::new(target())
        .unwrap()
        .send(nameless.body, Encoding::Protobuf)
        .await;
    assert_eq!(outcome, Outcome::Accepted { rejected_spans: 1 });
    let sent = rig::send(target(), &rig::plain(3, MIX, 1000), 5).await;
    rig::settled(&world.collector, sent.spans + 1).await;
    world.xray.set_script(Some(fake_xray::Script {
        when: When::Every(1),
        failure: fake_xray::Failure::Status(500),
    }));
    rig::send(target(), &rig::plain(4, MIX, 1000), 1).await;
    let failing = "tracepipe_exporter_failing_since_seconds";
    let told = async {
        while world
            .collector
            .metrics()
            .await
            .unwrap()
            .named(failing)
            .next()
            .is_none()
        {}
    };
    tokio::time::timeout(LIMIT, told).await.unwrap();
}

/// Families that are announced and have no sample.
fn silent(page: &str) -> BTreeSet<&str> {
    let families = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let families: BTreeSet<&str> = families.filter_map(|line| line.split(' ').next()).collect();
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    let names: BTreeSet<&str> = samples.filter_map(|line| line.split(['{', ' ']).next()).collect();
    let has_sample = |family: &str| names.contains(family) || names.contains(&*format!("{family}_count"));
    families
        .into_iter()
        .filter(|family| !has_sample(family))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_nothing_in_the_page_on_8888_but_names_of_upstream() {
    let Some(promtool) = Promtool::find() else { return };
    let world = world().await;
    misfortunes(&world).await;
    let page = page(&world.collector, "metrics").await;
    assert_eq!(silent(&page), BTreeSet::from(SILENT), "{page}");
    let found = promtool.check(&page).await;
    assert_none_is_ours(&found);
    assert_listed("findings_8888.txt", &found);
    // What was read is the account.
    let account = Account::parse(&tracepipe_e2e::metrics::Metrics::parse(&page).unwrap());
    assert_eq!(account.check(), Ok(()));
}

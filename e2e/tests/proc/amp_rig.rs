//! What the tests of metrics stand on: a collector with a pipeline for metrics before a fake of Amazon Managed Prometheus.

use std::collections::BTreeMap;

use tracepipe_e2e::account::Account;
use tracepipe_e2e::clock;
use tracepipe_e2e::collector::{CollectorProcess, Start};
use tracepipe_e2e::fake_amp::{Failure, FakeAmp, Options, Script};
use tracepipe_e2e::fake_xray::{Credentials, When};
use tracepipe_e2e::load::{Outcome, Sender, Target};
use tracepipe_e2e::otlp_metrics::{Data, Metric, Number, Point, Resource, Scope, encode, points, texts};
use tracepipe_e2e::otlp_sink::OtlpSink;
use tracepipe_e2e::remote_write::label_value;
use tracepipe_e2e::workload::{Encoding, Mix};

use crate::rig::{self, KEY, LIMIT};

pub(crate) fn key() -> Credentials {
    Credentials::new(KEY.0, KEY.1)
}

/// Metrics alone, signed, sent as soon as they come.
pub(crate) fn config(endpoint: &str) -> String {
    format!(
        "extensions:\n  sigv4auth: {{region: us-east-1, service: aps}}\n\
         receivers:\n  otlp: {{protocols: {{grpc: , http: }}}}\n\
         processors:\n  memory_limiter: {{check_interval: 1s, limit_mib: 400}}\n\
         exporters:\n  prometheusremotewrite:\n    endpoint: {endpoint}\n    auth: {{authenticator: sigv4auth}}\n    \
         timeout: 2s\n    tracepipe: {{batch_send_deadline: 100ms}}\n  \
         debug:\n\
         service:\n  extensions: [sigv4auth]\n  pipelines:\n    \
         traces: {{receivers: [otlp], processors: [memory_limiter], exporters: [debug]}}\n    \
         metrics: {{receivers: [otlp], processors: [memory_limiter], exporters: [prometheusremotewrite]}}\n"
    )
}

/// A collector with this configuration and the test's credentials.
pub(crate) async fn collector(config: &str, adjust: impl FnOnce(Start) -> Start) -> CollectorProcess {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), config).unwrap();
    // The settings of a test replace the list.
    let start = with_key(Start::new(file.path())).set("service.extensions=[health_check, sigv4auth]");
    // It has read its configuration when it is ready.
    CollectorProcess::start(adjust(start)).await.unwrap()
}

pub(crate) fn with_key(start: Start) -> Start {
    start
        .env("AWS_ACCESS_KEY_ID", KEY.0)
        .env("AWS_SECRET_ACCESS_KEY", KEY.1)
        .env("AWS_EC2_METADATA_DISABLED", "true")
}

pub(crate) struct AmpRig {
    pub(crate) front: FakeAmp,
    pub(crate) collector: CollectorProcess,
    pub(crate) sender: Sender,
}

/// A collector before a fake.
pub(crate) async fn amp(adjust: impl FnOnce(Start) -> Start, options: impl FnOnce(&mut Options)) -> AmpRig {
    let mut with = Options::new(key());
    options(&mut with);
    let front = FakeAmp::start(with).await.unwrap();
    let collector = collector(&config(&front.url()), adjust).await;
    let sender = sender(&collector);
    AmpRig {
        front,
        collector,
        sender,
    }
}

/// Counters of a job, each a second later in the next request.
#[derive(Debug, Clone)]
pub(crate) struct Counters {
    pub(crate) series: u64,
    /// Of the first request, nanoseconds since the Unix epoch.
    pub(crate) start: u64,
}

/// The samples of each series by its label `number`: value by time in milliseconds.
pub(crate) type Samples = BTreeMap<String, BTreeMap<i64, f64>>;

impl Counters {
    /// So many that the last of `requests` is of now.
    pub(crate) fn until_now(series: u64, requests: u64) -> Self {
        let start = clock::unix_nanos() - requests * 1_000_000_000;
        Self { series, start }
    }

    fn time(&self, request: u64) -> u64 {
        self.start + request * 1_000_000_000
    }

    pub(crate) fn request(&self, request: u64) -> Vec<Resource> {
        let point = |number: u64| Point {
            attributes: texts(&[("number", &number.to_string())]),
            start: self.start - 1,
            time: self.time(request),
            value: Number::Int((number + request) as i64),
            ..Point::default()
        };
        let points = (0..self.series).map(point).collect();
        vec![Resource {
            attributes: texts(&[("service.name", "shop"), ("service.instance.id", "1")]),
            scopes: vec![Scope {
                metrics: vec![Metric::new("orders", "", Data::counter(points))],
                ..Scope::default()
            }],
        }]
    }

    /// What the first requests come to.
    pub(crate) fn samples(&self, requests: u64) -> Samples {
        let of = |number: u64| {
            let sample = |request| {
                let time = (self.time(request) / 1_000_000).cast_signed();
                (time, (number + request) as f64)
            };
            (number.to_string(), (0..requests).map(sample).collect())
        };
        (0..self.series).map(of).collect()
    }
}

/// The samples of [`Counters`] that a fake has.
pub(crate) fn written(front: &FakeAmp) -> Samples {
    let series = front.series();
    let ours = series
        .iter()
        .filter(|(labels, _)| label_value(labels, "__name__") == Some("orders_total"));
    ours.map(|(labels, series)| {
        let number = label_value(labels, "number").unwrap_or_default().to_owned();
        let samples = series
            .samples
            .iter()
            .map(|(time, bits)| (*time, f64::from_bits(*bits)));
        (number, samples.collect())
    })
    .collect()
}

pub(crate) fn sender(collector: &CollectorProcess) -> Sender {
    Sender::of_metrics(Target::grpc(collector.grpc().unwrap())).unwrap()
}

/// Sends requests one after the other; the collector takes each. How many data points they were.
pub(crate) async fn send(sender: &Sender, counters: &Counters, requests: std::ops::Range<u64>) -> u64 {
    let mut sent = 0;
    for number in requests {
        let request = counters.request(number);
        sent += points(&request);
        let outcome = sender.send(encode(&request), Encoding::Protobuf).await;
        assert_eq!(outcome, Outcome::Accepted { rejected_spans: 0 });
    }
    sent
}

/// Every request fails so.
pub(crate) fn always(failure: Failure) -> Script {
    Script {
        when: When::Every(1),
        failure,
    }
}

impl AmpRig {
    /// [`send`].
    pub(crate) async fn send(&self, counters: &Counters, requests: std::ops::Range<u64>) -> u64 {
        send(&self.sender, counters, requests).await
    }

    /// Waits until `points` came in and nothing of them is inside any more; every snapshot on the way holds.
    pub(crate) async fn settled(&self, points: u64) -> Account {
        settled(&self.collector, points).await
    }

    pub(crate) fn fail(&self, when: When, failure: Failure) {
        self.front.set_script(Some(Script { when, failure }));
    }

    /// Every sample is there, once and in its order, and none was refused or lost.
    pub(crate) async fn assert_all_written(&self, counters: &Counters, requests: u64) -> Account {
        let account = self.settled(counters.series * requests).await;
        assert_eq!(written(&self.front), counters.samples(requests));
        assert_eq!(account.sum("tracepipe_exporter_samples_lost"), 0, "{account:#?}");
        assert_eq!(self.front.refused(), []);
        let counts = self.front.counts();
        assert_eq!(
            (counts.samples_out_of_order, counts.invalid),
            (0, 0),
            "{counts:?}"
        );
        account
    }
}

pub(crate) async fn settled(collector: &CollectorProcess, points: u64) -> Account {
    let inside = |account: &Account| {
        account.sum("tracepipe_metric_points_accepted") >= points && account.metrics_inside() == 0
    };
    collector
        .wait_until("settled collector", LIMIT, inside)
        .await
        .unwrap()
}

/// What samples were lost for.
pub(crate) fn lost(account: &Account) -> BTreeMap<String, u64> {
    let mut lost = account.by_label("tracepipe_exporter_samples_lost", "reason");
    lost.retain(|_, count| *count > 0);
    lost
}

/// A collector with a pipeline for each signal: spans to an OTLP sink, metrics to a fake.
pub(crate) struct Both {
    pub(crate) sink: OtlpSink,
    pub(crate) front: FakeAmp,
    pub(crate) collector: CollectorProcess,
}

pub(crate) async fn both() -> Both {
    let front = FakeAmp::start(Options::new(key())).await.unwrap();
    let sink = OtlpSink::start().await.unwrap();
    let policies = "tail_sampling: {decision_wait: 1s, policies: [{name: all, type: always_sample}]}";
    let otlp = format!(
        "otlp: {{endpoint: '{}', tls: {{insecure: true}}, timeout: 2s}}",
        sink.address()
    );
    let config = config(&front.url())
        .replace(
            "\nexporters:\n",
            &format!("\n  {policies}\nexporters:\n  {otlp}\n"),
        )
        .replace(
            "processors: [memory_limiter], exporters: [debug]",
            "processors: [memory_limiter, tail_sampling], exporters: [otlp]",
        )
        .replace("  debug:\n", "");
    let collector = collector(&config, |start| start).await;
    Both {
        sink,
        front,
        collector,
    }
}

impl Both {
    /// Requests of forty data points; how many points.
    pub(crate) async fn send_metrics(&self, requests: u64) -> u64 {
        let counters = Counters::until_now(40, requests);
        send(&sender(&self.collector), &counters, 0..requests).await
    }

    /// How many spans.
    pub(crate) async fn send_traces(&self, traces: u64) -> u64 {
        let mix = Mix {
            error_share: 1.0,
            slow_share: 0.0,
            slow_ms: 500,
        };
        let plain = rig::plain(3, mix, 1000);
        let report = rig::send(
            Target::grpc(self.collector.grpc().unwrap()),
            &plain,
            traces.div_ceil(20),
        )
        .await;
        assert!(report.all_accepted(), "{:?}", report.answers);
        report.spans
    }
}

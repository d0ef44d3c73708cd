//! Real SDKs: every stream that they recorded arrives whole, by remote write and on the page.

pub(crate) mod expected;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use http::StatusCode;
use serde::Deserialize;
use tokio::process::Command;
use tracepipe_e2e::collector::CollectorProcess;
use tracepipe_e2e::fake_amp::{FakeAmp, Options};
use tracepipe_e2e::http_get::http_get;
use tracepipe_e2e::metrics::Metrics;
use tracepipe_e2e::remote_write::{self, label_value};

use crate::amp_rig::{self, key};
use crate::clients;
use crate::rig::{self, named};
use expected::{Held, Key, Maker, Names, Native, Stream, Texts, Value, assert_same};

/// The instruments of `send_metrics.py` and `send_metrics.js`.
const NAMES: Names = &[
    ("shop.orders", "shop_orders_total"),
    ("shop.waiting", "shop_waiting"),
    ("shop.latency", "shop_latency_seconds"),
    ("shop.size", "shop_size_bytes"),
    ("shop.fill", "shop_fill_percent"),
    ("shop.cpu.time", "shop_cpu_time_seconds_total"),
    ("shop.memory", "shop_memory_bytes"),
    ("shop.load", "shop_load_ratio"),
];

/// The last line of a client.
#[derive(Debug, Deserialize)]
struct Report {
    client: String,
    /// Data points that were exported.
    points: u64,
    resource: Texts,
    scope: (String, String),
    streams: Vec<Stream>,
    exemplars: Vec<Exemplar>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Exemplar {
    pub(crate) metric: String,
    pub(crate) attributes: Texts,
    pub(crate) value: f64,
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
}

impl Report {
    fn maker(&self) -> Maker<'_> {
        Maker {
            resource: &self.resource,
            scope: [&self.scope.0, &self.scope.1, ""],
            names: NAMES,
        }
    }

    fn stream(&self, exemplar: &Exemplar) -> &Stream {
        let of =
            |stream: &&Stream| stream.metric == exemplar.metric && stream.attributes == exemplar.attributes;
        self.streams.iter().find(of).expect("the stream of an exemplar")
    }
}

/// A collector that writes what it gets to a fake and shows it on a page.
pub(crate) struct Rig {
    pub(crate) front: FakeAmp,
    pub(crate) collector: CollectorProcess,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        let front = FakeAmp::start(Options::new(key())).await.unwrap();
        let config = amp_rig::config(&front.url());
        let collector = amp_rig::collector(&config, |start| {
            start
                .set("exporters.prometheus={endpoint: '127.0.0.1:0'}")
                .set("service.pipelines.metrics.exporters=[prometheusremotewrite, prometheus]")
        })
        .await;
        Self { front, collector }
    }

    /// Waits until both exporters are done with these data points; they lost and dropped none, and the fake refused none.
    pub(crate) async fn assert_all_exported(&self, points: u64) {
        let account = amp_rig::settled(&self.collector, points).await;
        assert_eq!(account.sum("tracepipe_metric_points_accepted"), points);
        let exported = account.by_label("tracepipe_exporter_metric_points_exported", "exporter");
        let all = ["prometheus", "prometheusremotewrite"].map(|name| (name.to_owned(), points));
        assert_eq!(exported, BTreeMap::from(all), "{account:#?}");
        let translated = account.sum("tracepipe_exporter_samples_translated");
        assert_eq!(account.sum("tracepipe_exporter_samples_written"), translated);
        assert_eq!(self.front.refused(), []);
        let counts = self.front.counts();
        assert_eq!(
            (counts.samples, counts.samples_out_of_order, counts.invalid),
            (translated, 0, 0),
            "{counts:?}"
        );
    }

    /// The newest of each series that was written.
    pub(crate) fn written(&self) -> Held {
        let mut held = Held::default();
        for (labels, series) in self.front.series() {
            let key: Key = labels.into_iter().collect();
            if let Some((_, bits)) = series.samples.last_key_value() {
                held.floats.insert(key.clone(), f64::from_bits(*bits));
            }
            if let Some((_, histogram)) = series.histograms.last_key_value() {
                held.natives.insert(key, Native::of(histogram));
            }
        }
        held
    }

    /// The exemplars of each series that was written.
    pub(crate) fn exemplars(&self) -> BTreeMap<Key, Vec<remote_write::Exemplar>> {
        let series = self.front.series().into_iter();
        series
            .map(|(labels, series)| (labels.into_iter().collect(), series.exemplars))
            .collect()
    }

    /// The page's text.
    pub(crate) async fn page(&self) -> String {
        let address = self.collector.address("prometheus").unwrap();
        let (status, text) = http_get(address, "/metrics").await.unwrap();
        assert_eq!(status, StatusCode::OK, "{text}");
        text
    }
}

/// The series of a page.
pub(crate) fn shown(page: &str) -> BTreeMap<Key, f64> {
    let samples = Metrics::parse(page).unwrap().samples.into_iter();
    let keyed = samples.map(|sample| {
        let mut key = sample.labels;
        key.insert("__name__".to_owned(), sample.name);
        (key, sample.value)
    });
    keyed.collect()
}

/// The page says of each metric what it is.
pub(crate) fn assert_types(page: &str, maker: Maker<'_>, streams: &[Stream]) {
    for stream in streams {
        let line = format!(
            "# TYPE {} {}",
            maker.name(&stream.metric),
            stream.value.type_word()
        );
        assert!(page.lines().any(|it| it == line), "no line {line:?} in\n{page}");
    }
}

/// Sends with the client that `command` makes of each temporality; all that it recorded arrives.
async fn assert_arrives(rig: &Rig, command: impl Fn(&'static str) -> Command) {
    let reports = tokio::join!(run(command("cumulative")), run(command("delta")));
    let reports: [Report; 2] = reports.into();
    let points = reports.iter().map(|report| report.points).sum();
    rig.assert_all_exported(points).await;

    let (mut by_write, mut on_page) = (Held::default(), Held::default());
    for report in &reports {
        let reported: BTreeSet<&str> = report.streams.iter().map(|it| it.metric.as_str()).collect();
        let instruments: BTreeSet<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        assert_eq!(reported, instruments, "{}", report.client);
        for stream in &report.streams {
            by_write.add(report.maker(), stream);
            on_page.add_floats(report.maker(), stream);
        }
        by_write.add_target_info(&report.resource);
        on_page.add_target_info(&report.resource);
    }
    let written = rig.written();
    assert_same(&written.floats, &by_write.floats);
    assert_same(&written.natives, &by_write.natives);
    let page = rig.page().await;
    assert_same(&shown(&page), &on_page.floats);
    for report in &reports {
        assert_types(&page, report.maker(), &report.streams);
        assert_exemplars(rig, report);
    }
}

/// Every exemplar that Prometheus has a place for is on its series.
fn assert_exemplars(rig: &Rig, report: &Report) {
    let written = rig.exemplars();
    for exemplar in &report.exemplars {
        assert_written(&written, report.maker(), report.stream(exemplar), exemplar);
    }
}

/// An exemplar of this stream is on its series. Those of gauges have no place.
pub(crate) fn assert_written(
    written: &BTreeMap<Key, Vec<remote_write::Exemplar>>,
    maker: Maker<'_>,
    stream: &Stream,
    exemplar: &Exemplar,
) {
    let key = match &stream.value {
        Value::UpDown { .. } | Value::Gauge { .. } => return,
        Value::Counter { .. } | Value::Exponential { .. } => maker.key(stream, "", None),
        Value::Histogram { bounds, .. } => {
            let bound = bounds.iter().find(|bound| exemplar.value <= **bound);
            let le = bound.map_or_else(|| "+Inf".to_owned(), f64::to_string);
            maker.key(stream, "_bucket", Some(&le))
        }
    };
    let is_it = |it: &remote_write::Exemplar| {
        it.bits == exemplar.value.to_bits()
            && label_value(&it.labels, "trace_id") == Some(&exemplar.trace_id)
            && label_value(&it.labels, "span_id") == Some(&exemplar.span_id)
    };
    let there = written.get(&key).map_or(&[][..], Vec::as_slice);
    assert!(
        there.iter().any(is_it),
        "{exemplar:?} is not on {key:?}: {there:?}"
    );
}

async fn run(mut command: Command) -> Report {
    clients::last_line(&clients::run(&mut command).await)
}

async fn python(protocol: &'static str) {
    let what = format!("OpenTelemetry Python's metrics over {protocol}");
    let Some(python) = named("TRACEPIPE_PYTHON", &what) else {
        return;
    };
    let rig = Rig::start().await;
    let server = match protocol {
        "grpc" => rig.collector.grpc().unwrap(),
        _ => rig.collector.http().unwrap(),
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/python/send_metrics.py");
    assert_arrives(&rig, |temporality| {
        let mut command = Command::new(&python);
        command
            .arg(&script)
            .args([protocol, &format!("http://{server}"), temporality])
            .args(["--temporality", temporality]);
        command
    })
    .await;
    rig::stop(rig.collector).await;
}

async fn node(protocol: &'static str) {
    let what = format!("OpenTelemetry Node's metrics over {protocol}");
    let Some(folder) = named("TRACEPIPE_NODE_DIR", &what) else {
        return;
    };
    let rig = Rig::start().await;
    let server = match protocol {
        "grpc" => rig.collector.grpc().unwrap(),
        _ => rig.collector.http().unwrap(),
    };
    assert_arrives(&rig, |temporality| {
        let mut command = Command::new("node");
        command
            .current_dir(&folder)
            .args(["send_metrics.js", protocol, &format!("http://{server}")])
            // The service is called after it.
            .args([temporality, temporality]);
        command
    })
    .await;
    rig::stop(rig.collector).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opentelemetry_pythons_metrics_over_grpc_arrive_whole() {
    python("grpc").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opentelemetry_pythons_metrics_over_http_arrive_whole() {
    python("http").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opentelemetry_nodes_metrics_over_grpc_arrive_whole() {
    node("grpc").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opentelemetry_nodes_metrics_over_http_with_protobuf_arrive_whole() {
    node("http/protobuf").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opentelemetry_nodes_metrics_over_http_with_json_arrive_whole() {
    node("http/json").await;
}

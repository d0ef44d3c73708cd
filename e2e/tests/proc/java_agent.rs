//! The OpenTelemetry Java agent: every data point that it sent is a sample of its value, labels and time.
//!
//! What it sent is read off the wire: its own log shows another collection than the one that it exports. `make peers`
//! names the agent by `TRACEPIPE_JAVA_AGENT`.

mod otlp;
mod tap;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;
use tracepipe_e2e::remote_write::label_value;

use crate::rig::{self, LIMIT, named};
use crate::sdk_metrics::expected::{Held, Key, Maker, Names, Native, Stream, Texts, assert_same};
use crate::sdk_metrics::{Rig, assert_types, assert_written, shown};
use otlp::{Sent, SentPoint};
use tap::Tap;

/// All that the agent and `Shop.java` measure.
const NAMES: Names = &[
    ("jvm.class.count", "jvm_class_count"),
    ("jvm.class.loaded", "jvm_class_loaded_total"),
    ("jvm.class.unloaded", "jvm_class_unloaded_total"),
    ("jvm.cpu.count", "jvm_cpu_count"),
    ("jvm.cpu.recent_utilization", "jvm_cpu_recent_utilization_ratio"),
    ("jvm.cpu.time", "jvm_cpu_time_seconds_total"),
    ("jvm.gc.duration", "jvm_gc_duration_seconds"),
    ("jvm.memory.committed", "jvm_memory_committed_bytes"),
    ("jvm.memory.limit", "jvm_memory_limit_bytes"),
    ("jvm.memory.used", "jvm_memory_used_bytes"),
    (
        "jvm.memory.used_after_last_gc",
        "jvm_memory_used_after_last_gc_bytes",
    ),
    ("jvm.thread.count", "jvm_thread_count"),
    (
        "http.client.request.duration",
        "http_client_request_duration_seconds",
    ),
    (
        "http.server.request.duration",
        "http_server_request_duration_seconds",
    ),
    ("otlp.exporter.exported", "otlp_exporter_exported_total"),
    ("otlp.exporter.seen", "otlp_exporter_seen_total"),
    ("shop.fill", "shop_fill_percent"),
    ("shop.latency", "shop_latency_seconds"),
    ("shop.load", "shop_load_ratio"),
    ("shop.orders", "shop_orders_total"),
    ("shop.waiting", "shop_waiting"),
];

/// Milliseconds from one of its exports to the next.
const EXPORT_INTERVAL: &str = "500";
/// So many exports have the program's own instruments in them, and one more at its end.
const EXPORTS: usize = 3;

/// All values that a series had, by their times in milliseconds since the Unix epoch.
#[derive(Default)]
struct History {
    floats: BTreeMap<Key, BTreeMap<i64, f64>>,
    natives: BTreeMap<Key, BTreeMap<i64, Native>>,
}

impl History {
    fn note(&mut self, time: i64, held: &Held, keys: &Held) {
        for key in keys.floats.keys() {
            let values = self.floats.entry(key.clone()).or_default();
            values.insert(time, held.floats[key]);
        }
        for key in keys.natives.keys() {
            let values = self.natives.entry(key.clone()).or_default();
            values.insert(time, held.natives[key].clone());
        }
    }

    /// All that was written but for `target_info`, which has times of its own.
    fn written(rig: &Rig) -> Self {
        let mut history = Self::default();
        for (labels, series) in rig.front.series() {
            if label_value(&labels, "__name__") == Some("target_info") {
                continue;
            }
            let key: Key = labels.into_iter().collect();
            if !series.samples.is_empty() {
                let samples = series.samples.iter();
                let values = samples.map(|(time, bits)| (*time, f64::from_bits(*bits)));
                history.floats.insert(key.clone(), values.collect());
            }
            if !series.histograms.is_empty() {
                let histograms = series.histograms.iter();
                let values = histograms.map(|(time, it)| (*time, Native::of(it)));
                history.natives.insert(key, values.collect());
            }
        }
        history
    }
}

/// Where all series stand after each data point.
#[derive(Default)]
struct Standing {
    by_write: Held,
    on_page: Held,
    history: History,
}

impl Standing {
    fn take(&mut self, resource: &Texts, point: &SentPoint) {
        let (maker, stream) = (maker(resource, point), stream(point));
        let (mut written, mut shown) = (Held::default(), Held::default());
        written.add(maker, &stream);
        shown.add_floats(maker, &stream);
        self.by_write.follow(&written, point.is_delta);
        self.on_page.follow(&shown, point.is_delta);
        self.history.note(point.time, &self.by_write, &written);
    }
}

impl Held {
    /// Goes on to these values, or by them.
    fn follow(&mut self, next: &Self, is_delta: bool) {
        for (key, value) in &next.floats {
            let before = self.floats.get(key).filter(|_| is_delta);
            let value = before.map_or(*value, |before| before + value);
            self.floats.insert(key.clone(), value);
        }
        for (key, native) in &next.natives {
            let before = self.natives.get(key).filter(|_| is_delta);
            let native = before.map_or_else(|| native.clone(), |before| before.with(native));
            self.natives.insert(key.clone(), native);
        }
    }
}

fn maker<'a>(resource: &'a Texts, point: &'a SentPoint) -> Maker<'a> {
    Maker {
        resource,
        scope: point.scope.each_ref().map(String::as_str),
        names: NAMES,
    }
}

fn stream(point: &SentPoint) -> Stream {
    Stream {
        metric: point.metric.clone(),
        attributes: point.attributes.clone(),
        value: point.value.clone(),
    }
}

/// What of the table of names was not sent yet, and how often the program's own instruments were.
fn progress(bodies: &[Vec<u8>]) -> (BTreeSet<&'static str>, usize) {
    let mut missing: BTreeSet<&'static str> = NAMES.iter().map(|(name, _)| *name).collect();
    let mut exports = 0;
    for body in bodies {
        let sent = otlp::read(body);
        let names: BTreeSet<&str> = sent
            .iter()
            .flat_map(|it| &it.points)
            .map(|it| it.metric.as_str())
            .collect();
        missing.retain(|name| !names.contains(name));
        exports += usize::from(names.contains("shop.orders"));
    }
    (missing, exports)
}

async fn compile(libraries: &str, into: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/java/Shop.java");
    let output = Command::new("javac")
        .args(["-cp", libraries, "-d"])
        .args([into, &source])
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, output).await;
    let output = output.expect("a compiler that ends").unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs the program under the agent until enough was sent, ends it, and gives back all that was sent.
async fn sent_by(agent: &Path, tap: &Tap, environment: &[(&str, &str)]) -> Vec<Sent> {
    let folder = tempfile::tempdir().unwrap();
    let libraries = format!("{}/*", agent.parent().unwrap().display());
    compile(&libraries, folder.path()).await;
    let mut log = tempfile::NamedTempFile::new().unwrap();
    let mut child = Command::new("java")
        .arg(format!("-javaagent:{}", agent.display()))
        .arg("-cp")
        .arg(format!("{}:{libraries}", folder.path().display()))
        .arg("Shop")
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("OTEL_SERVICE_NAME", "shop-java")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", tap.url())
        .env("OTEL_METRIC_EXPORT_INTERVAL", EXPORT_INTERVAL)
        .env("OTEL_TRACES_EXPORTER", "none")
        .env("OTEL_LOGS_EXPORTER", "none")
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log.reopen().unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let stdin = child.stdin.take();
    let enough = |bodies: &[Vec<u8>]| {
        let (missing, exports) = progress(bodies);
        missing.is_empty() && exports >= EXPORTS
    };
    let waited = tokio::time::timeout(LIMIT, async {
        tokio::select! {
            () = tap.wait_until(enough) => None,
            status = child.wait() => Some(status.unwrap()),
        }
    });
    let ended_early = waited.await;
    // It ends with its input, and sends what it has then.
    drop(stdin);
    let status = match tokio::time::timeout(LIMIT, child.wait()).await {
        Ok(status) => status.unwrap().to_string(),
        Err(_) => "no end".to_owned(),
    };
    let mut said = String::new();
    log.read_to_string(&mut said).unwrap();
    let as_told = matches!(ended_early, Ok(None)) && status == "exit status: 0";
    assert!(
        as_told && !said.contains("Failed to export"),
        "{ended_early:?}, {status}, not sent, exports: {:?}\n{said}",
        progress(&tap.bodies())
    );
    tap.bodies().iter().flat_map(|body| otlp::read(body)).collect()
}

/// How much that was.
async fn every_point_arrives(environment: &[(&str, &str)]) -> String {
    let Some(agent) = named("TRACEPIPE_JAVA_AGENT", "the OpenTelemetry Java agent's metrics") else {
        return "none".to_owned();
    };
    let rig = Rig::start().await;
    let tap = Tap::before(rig.collector.http().unwrap()).await;
    let sent = sent_by(&agent, &tap, environment).await;
    let points: usize = sent.iter().map(|sent| sent.points.len()).sum();
    rig.assert_all_exported(points as u64).await;

    let mut standing = Standing::default();
    for sent in &sent {
        for point in &sent.points {
            standing.take(&sent.resource, point);
        }
        standing.by_write.add_target_info(&sent.resource);
        standing.on_page.add_target_info(&sent.resource);
    }
    let written = History::written(&rig);
    assert_same(&written.floats, &standing.history.floats);
    assert_same(&written.natives, &standing.history.natives);
    assert_same(&rig.written().floats, &standing.by_write.floats);
    let page = rig.page().await;
    assert_same(&shown(&page), &standing.on_page.floats);

    let exemplars = rig.exemplars();
    let mut seen = 0;
    for sent in &sent {
        for point in &sent.points {
            let (maker, stream) = (maker(&sent.resource, point), stream(point));
            assert_types(&page, maker, std::slice::from_ref(&stream));
            for exemplar in &point.exemplars {
                assert_written(&exemplars, maker, &stream, exemplar);
                seen += 1;
            }
        }
    }
    assert!(seen > 0, "the agent sends exemplars of its requests");
    rig::stop(rig.collector).await;
    format!(
        "{points} data points in {} requests, {} series, {seen} exemplars",
        sent.len(),
        written.floats.len() + written.natives.len()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_data_point_of_the_agent_is_written_as_it_was_sent() {
    println!("{}", every_point_arrives(&[]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn deltas_and_exponential_histograms_of_the_agent_are_added_up() {
    let histograms = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
    let environment = [
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
        (histograms, "BASE2_EXPONENTIAL_BUCKET_HISTOGRAM"),
    ];
    println!("{}", every_point_arrives(&environment).await);
}

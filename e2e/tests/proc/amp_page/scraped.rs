//! The page on 8889 as a real Prometheus has it: in both forms it holds what was sent, which is what remote write wrote of
//! the same requests. That is compared with upstream's series in `amp_oracle`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use tracepipe_e2e::collector::CollectorProcess;
use tracepipe_e2e::fake_amp::{FakeAmp, Options, Series};
use tracepipe_e2e::load::Outcome;
use tracepipe_e2e::otlp_metrics::source::Kind;
use tracepipe_e2e::otlp_metrics::{Data, Point, encode, points};
use tracepipe_e2e::prometheus::{self, Prometheus};
use tracepipe_e2e::remote_write::{Exemplar, Labels, STALE_NAN_BITS, label_value};
use tracepipe_e2e::workload::Encoding;

use super::findings::{Promtool, assert_listed};
use super::{generated, page, shop, source};
use crate::amp_rig::{self, key};
use crate::rig::named;

/// The forms of the page, each an exporter.
const FORMS: [&str; 2] = ["prometheus/text", "prometheus/openmetrics"];

/// What a Prometheus has of a series: its value, and the exemplar that is shown with it.
type Shown = BTreeMap<Labels, (u64, Option<Exemplar>)>;

/// Remote write and both forms of the page, of the same requests.
struct World {
    front: FakeAmp,
    collector: CollectorProcess,
}

impl World {
    async fn start() -> Self {
        let front = FakeAmp::start(Options::new(key())).await.unwrap();
        let both = "debug, prometheusremotewrite, prometheus/text, prometheus/openmetrics";
        let pages = "  prometheus/text: {endpoint: '127.0.0.1:0'}\n  \
                     prometheus/openmetrics: {endpoint: '127.0.0.1:0', enable_open_metrics: true}\n  debug:\n";
        let config = amp_rig::config(&front.url())
            .replace("  debug:\n", pages)
            .replace(
                "exporters: [prometheusremotewrite]",
                &format!("exporters: [{both}]"),
            );
        let collector = amp_rig::collector(&config, |start| start).await;
        Self { front, collector }
    }

    /// Sends generated requests and the shop's.
    async fn send(&self) {
        let sender = amp_rig::sender(&self.collector);
        let shop = shop::request(7, tracepipe_e2e::clock::unix_nanos());
        let mut sent = 0;
        for request in generated().into_iter().chain([shop]) {
            sent += points(&request);
            let outcome = sender.send(encode(&request), Encoding::Protobuf).await;
            assert_eq!(outcome, Outcome::Accepted { rejected_spans: 0 });
        }
        amp_rig::settled(&self.collector, sent).await;
        assert_eq!(self.front.refused(), []);
    }

    fn pages(&self) -> [(&'static str, SocketAddr); 2] {
        FORMS.map(|form| (form, self.collector.address(form).unwrap()))
    }
}

// === what was written ===

/// The series of the page by what remote write wrote.
fn written(front: &FakeAmp) -> Shown {
    let counters = source().numbers(|kind| matches!(kind, Kind::Counter(_)));
    let mut shown = Shown::new();
    for (labels, series) in front.series() {
        let labels = of_page(labels);
        let name = label_value(&labels, "__name__").unwrap().to_owned();
        // On the page it is only for those who say both.
        let is_whole = ["job", "instance"]
            .iter()
            .all(|key| label_value(&labels, key).is_some());
        if name == "target_info" && !is_whole {
            continue;
        }
        if series.histograms.is_empty() {
            // A gauge has no exemplars in OpenMetrics.
            let is_counter = stream_number(&name).is_none_or(|number| counters.contains(&number));
            let has_exemplars = name.ends_with("_bucket") || (name.ends_with("_total") && is_counter);
            shown.extend(float(&series, has_exemplars).map(|it| (labels, it)));
        } else {
            shown.extend(native(&name, &labels, &series));
        }
    }
    shown
}

/// The labels that a series has on the page: two things are not the same as in remote write.
fn of_page(mut labels: Labels) -> Labels {
    for (name, value) in &mut labels {
        if name.starts_with("__") && name != "__name__" {
            // The text formats keep them for themselves.
            name.insert_str(0, "key");
        }
        if let ("le" | "quantile", Ok(number)) = (name.as_str(), value.parse::<f64>()) {
            *value = bound(number);
        }
    }
    labels.sort();
    labels
}

/// One text for a number, whatever the form.
fn bound(number: f64) -> String {
    number.to_string().replace("inf", "+Inf")
}

fn float(series: &Series, has_exemplars: bool) -> Option<(u64, Option<Exemplar>)> {
    let (_, bits) = series.samples.last_key_value()?;
    let stale = series.samples.iter().filter(|(_, bits)| **bits == STALE_NAN_BITS);
    let ended = stale.map(|(time, _)| *time).max();
    let exemplar = newest(series, ended).filter(|_| has_exemplars);
    (*bits != STALE_NAN_BITS).then(|| (in_text(*bits), exemplar))
}

/// The text forms know of a native histogram its count and its sum; without its buckets there is no place for exemplars.
fn native(name: &str, labels: &Labels, series: &Series) -> Vec<(Labels, (u64, Option<Exemplar>))> {
    let last = series.histograms.last_key_value().map(|(_, last)| last);
    let Some(last) = last.filter(|last| last.sum_bits != STALE_NAN_BITS) else {
        return Vec::new();
    };
    let count = (last.count_int.unwrap() as f64).to_bits();
    let part = |suffix: &str, value| {
        let mut labels: Labels = labels.clone();
        labels.retain(|(name, _)| name != "__name__");
        labels.push(("__name__".to_owned(), format!("{name}{suffix}")));
        if suffix == "_bucket" {
            labels.push(("le".to_owned(), "+Inf".to_owned()));
        }
        labels.sort();
        (labels, (in_text(value), None))
    };
    vec![
        part("_bucket", count),
        part("_count", count),
        part("_sum", last.sum_bits),
    ]
}

/// Of those that came after the series ended the last time; the page has of an exemplar its ids, as upstream's.
fn newest(series: &Series, ended: Option<i64>) -> Option<Exemplar> {
    let live = series.exemplars.iter().filter(|it| Some(it.timestamp) > ended);
    let mut newest = live.max_by_key(|it| it.timestamp)?.clone();
    newest
        .labels
        .retain(|(name, _)| matches!(name.as_str(), "trace_id" | "span_id"));
    Some(newest)
}

/// Text knows one NaN, and upstream's text one zero.
fn in_text(bits: u64) -> u64 {
    match f64::from_bits(bits) {
        value if value.is_nan() => f64::NAN.to_bits(),
        0.0 => 0,
        _ => bits,
    }
}

/// The number of a generated stream in the name of a series.
fn stream_number(name: &str) -> Option<usize> {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric());
    let number = |word: &str| {
        word.strip_prefix('s')
            .or_else(|| word.strip_suffix('s'))?
            .parse()
            .ok()
    };
    words.filter_map(number).next()
}

// === what was scraped ===

/// The series of one page, without what Prometheus adds.
fn scraped(held: &BTreeMap<Labels, prometheus::Series>, (form, address): (&str, SocketAddr)) -> Shown {
    let mut shown = Shown::new();
    let theirs = held
        .iter()
        .filter(|(labels, _)| label_value(labels, "page") == Some(form));
    for (labels, series) in theirs {
        let name = label_value(labels, "__name__").unwrap();
        if name == "up" || name.starts_with("scrape_") {
            continue;
        }
        let values: BTreeSet<u64> = series.samples.iter().map(|it| in_text(it.bits)).collect();
        assert_eq!(values.len(), 1, "{labels:?} changed while nothing came");
        assert!(
            series.histograms.is_empty() && series.exemplars.len() <= 1,
            "{labels:?}"
        );
        let address = address.to_string();
        let added = |(name, value): &&(String, String)| match name.as_str() {
            "page" => true,
            "job" => value == "scraped",
            "instance" => *value == address,
            _ => false,
        };
        let labels: Labels = labels.iter().filter(|label| !added(label)).cloned().collect();
        let labels = of_page(labels);
        let value = values.first().copied().unwrap();
        shown.insert(labels, (value, series.exemplars.first().cloned()));
    }
    shown
}

/// A sentence for each series that is not the same.
fn differences(scraped: &Shown, written: &Shown) -> Vec<String> {
    let all: BTreeSet<&Labels> = scraped.keys().chain(written.keys()).collect();
    let shown = |it: Option<&(u64, Option<Exemplar>)>| {
        it.map(|(bits, exemplar)| (f64::from_bits(*bits), exemplar.clone()))
    };
    let different = all
        .into_iter()
        .filter(|labels| scraped.get(*labels) != written.get(*labels));
    different
        .map(|labels| {
            format!(
                "{labels:?}: scraped {:?}, written {:?}",
                shown(scraped.get(labels)),
                shown(written.get(labels))
            )
        })
        .collect()
}

/// Streams whose series are others on the page: exponential histograms that are too coarse for remote write, and points
/// with an attribute that has the name of a label which a family needs. The tests of `tracepipe-metrics` have those.
fn not_compared() -> BTreeSet<usize> {
    let mut streams = source().numbers(|kind| kind == Kind::Coarse);
    let requests = generated();
    let scopes = requests.iter().flatten().flat_map(|resource| &resource.scopes);
    for metric in scopes.flat_map(|scope| &scope.metrics) {
        if keys(&metric.data)
            .iter()
            .any(|key| matches!(*key, "le" | "quantile"))
        {
            streams.extend(stream_number(&metric.name));
        }
    }
    streams
}

fn keys(data: &Data) -> Vec<&str> {
    fn of<V>(points: &[Point<V>]) -> Vec<&str> {
        let attributes = points.iter().flat_map(|point| &point.attributes);
        attributes.map(|(key, _)| key.as_str()).collect()
    }
    match data {
        Data::Gauge(points) | Data::Sum { points, .. } => of(points),
        Data::Histogram { points, .. } => of(points),
        Data::Exponential { points, .. } => of(points),
        Data::Summary(points) => of(points),
    }
}

/// Takes out what belongs to these streams; gives how many series that were.
fn without(shown: &mut Shown, streams: &BTreeSet<usize>) -> usize {
    let before = shown.len();
    shown.retain(|labels, _| {
        let number = label_value(labels, "__name__").and_then(stream_number);
        number.is_none_or(|number| !streams.contains(&number))
    });
    before - shown.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_scrapes_what_was_sent_in_both_forms() {
    let Some(binary) = named(
        prometheus::BINARY_VARIABLE,
        "the page on 8889 in a real Prometheus",
    ) else {
        return;
    };
    let world = World::start().await;
    world.send().await;
    let prometheus = Prometheus::scraping(&binary, &world.pages()).await.unwrap();
    prometheus.wait_for_scrapes().await.unwrap();
    let held = prometheus.series().await.unwrap();
    let not_compared = not_compared();
    let mut written = written(&world.front);
    without(&mut written, &not_compared);
    assert!(written.len() > 150, "{}", written.len());
    for page in world.pages() {
        let mut expected = written.clone();
        if page.0 == "prometheus/text" {
            // It has no place for them.
            expected.values_mut().for_each(|(_, exemplar)| *exemplar = None);
        } else {
            let exemplars = expected.values().filter(|(_, exemplar)| exemplar.is_some());
            assert!(exemplars.count() > 10);
        }
        let mut found = scraped(&held, page);
        assert!(without(&mut found, &not_compared) > 0);
        let different = differences(&found, &expected);
        assert!(
            different.is_empty(),
            "{}: {} of {} series differ: {:#?}",
            page.0,
            different.len(),
            expected.len(),
            different.iter().take(12).collect::<Vec<_>>()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_in_the_page_on_8889_what_the_application_chose() {
    let Some(promtool) = Promtool::find() else { return };
    let world = World::start().await;
    world.send().await;
    let text = page(&world.collector, "prometheus/text").await;
    assert_listed("findings_8889.txt", &promtool.check(&text).await);
    // Who does not ask for OpenMetrics gets the same text.
    assert_eq!(page(&world.collector, "prometheus/openmetrics").await, text);
}

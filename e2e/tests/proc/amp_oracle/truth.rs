//! What exponential histograms have to become, worked out from what was sent: each source bucket lies whole in one bucket
//! of a coarser scale, so counts are added by the index there and nothing else.

use std::collections::BTreeMap;

use tracepipe_e2e::otlp_metrics::{Any, Data, Exponential, Point, Resource, Temporality};
use tracepipe_e2e::prometheus::{NativeHistogram, Series};
use tracepipe_e2e::remote_write::{Counts, label_value};

use super::compare::Held;

/// The finest resolution of a native histogram.
const FINEST: i32 = 8;

/// A stream by its number, one of its series by `pt`.
type Key = (usize, String);

/// What was sent of a series, by time in milliseconds: populated buckets above and below zero at its native resolution.
type Points = BTreeMap<i64, (Counts, Counts)>;

/// Exponential histograms that were sent.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    series: BTreeMap<Key, Points>,
    /// Of delta series, what has come so far.
    sums: BTreeMap<Key, (Counts, Counts)>,
    /// The scale of each.
    pub(crate) scales: BTreeMap<Key, i32>,
    /// How many exemplars have come of what Prometheus has exemplars of, by the stream's number.
    exemplars: BTreeMap<usize, usize>,
}

impl Truth {
    /// Notes a request.
    pub(crate) fn note(&mut self, request: &[Resource]) {
        let scopes = request.iter().flat_map(|resource| &resource.scopes);
        for metric in scopes.flat_map(|scope| &scope.metrics) {
            let number = stream_number(&metric.name).unwrap();
            *self.exemplars.entry(number).or_default() += exemplars(&metric.data);
            let Data::Exponential { temporality, points } = &metric.data else {
                continue;
            };
            for point in points.iter().filter(|point| !point.stale) {
                self.note_point((number, series_of(point)), *temporality, point);
            }
        }
    }

    /// Streams of which a storage does not hold as many exemplars as were sent.
    pub(crate) fn without_exemplars(&self, held: &Held) -> Vec<String> {
        let mut found: BTreeMap<usize, usize> = BTreeMap::new();
        for (labels, series) in held {
            if let Some(number) = label_value(labels, "__name__").and_then(stream_number) {
                *found.entry(number).or_default() += series.exemplars.len();
            }
        }
        let lacking = self.exemplars.iter().filter_map(|(number, sent)| {
            let held = found.get(number).copied().unwrap_or_default();
            (held != *sent).then(|| format!("stream {number}: {held} of {sent}"))
        });
        lacking.collect()
    }

    /// How many exemplars have come.
    pub(crate) fn exemplars(&self) -> usize {
        self.exemplars.values().sum()
    }

    fn note_point(&mut self, key: Key, temporality: Temporality, point: &Point<Exponential>) {
        let value = &point.value;
        // Prometheus has nothing coarser.
        if value.scale < -4 {
            return;
        }
        let down = (value.scale - FINEST).max(0);
        let mut now = (native(&value.positive, down), native(&value.negative, down));
        if temporality == Temporality::Delta {
            let sums = self.sums.entry(key.clone()).or_default();
            add(&mut sums.0, &now.0);
            add(&mut sums.1, &now.1);
            now = sums.clone();
        }
        self.scales.insert(key.clone(), value.scale);
        let time = i64::try_from(point.time / 1_000_000).unwrap();
        self.series.entry(key).or_default().insert(time, now);
    }

    /// How many points of each scale a storage holds as they were sent, and how many otherwise.
    pub(crate) fn beside(&self, held: &Held) -> BTreeMap<i32, Tally> {
        let mut tallies: BTreeMap<i32, Tally> = BTreeMap::new();
        let mut by_key: BTreeMap<Key, &Series> = BTreeMap::new();
        for (labels, series) in held {
            let name = label_value(labels, "__name__").unwrap_or_default();
            let key = stream_number(name).zip(label_value(labels, "pt"));
            if let Some((number, pt)) = key.filter(|_| !series.histograms.is_empty()) {
                by_key.insert((number, pt.to_owned()), series);
            }
        }
        for (key, points) in &self.series {
            let scale = self.scales[key];
            let tally = tallies.entry(scale).or_default();
            for (time, (positive, negative)) in points {
                let histograms = by_key.get(key).map(|series| series.histograms.as_slice());
                let held = histograms
                    .unwrap_or_default()
                    .iter()
                    .find(|it| it.timestamp == *time);
                match held.map(|it| by_index(it, scale.min(FINEST))) {
                    None => tally.missing += 1,
                    Some(it) if it == (positive.clone(), negative.clone()) => tally.right += 1,
                    Some(it) => {
                        tally.wrong += 1;
                        let example = || format!("{key:?}@{time}: {it:?}, sent {positive:?} {negative:?}");
                        tally.example.get_or_insert_with(example);
                    }
                }
            }
        }
        tallies
    }
}

/// Of the points of one scale.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) right: u64,
    pub(crate) wrong: u64,
    pub(crate) missing: u64,
    /// A wrong one.
    pub(crate) example: Option<String>,
}

/// OTLP's bucket `i` of scale `s` ends at `2^((i + 1) / 2^s)`, Prometheus' bucket `i` of schema `s` at `2^(i / 2^s)`.
fn native((offset, counts): &(i32, Vec<u64>), down: i32) -> Counts {
    let mut native = Counts::new();
    for (position, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let index = ((i64::from(*offset) + position as i64) >> down) + 1;
        *native.entry(index).or_default() += *count as f64;
    }
    native
}

/// Buckets of the query API by their index: the upper bound of one above zero, the lower bound of one below, is
/// `2^(index / 2^schema)`.
fn by_index(histogram: &NativeHistogram, schema: i32) -> (Counts, Counts) {
    let (mut positive, mut negative) = (Counts::new(), Counts::new());
    for (rule, lower, upper, count) in &histogram.buckets {
        let number = |text: &String| text.parse::<f64>().unwrap();
        let (side, bound) = match rule {
            0 => (&mut positive, number(upper)),
            1 => (&mut negative, -number(lower)),
            // The one around zero.
            _ => continue,
        };
        let index = (bound.log2() * f64::from(schema).exp2()).round() as i64;
        assert_eq!(side.insert(index, number(count)), None, "{histogram:?}");
    }
    (positive, negative)
}

/// Of counters and histograms (OpenTelemetry's compatibility specification), but of none below scale -4, which Prometheus
/// has no histograms of.
fn exemplars(data: &Data) -> usize {
    match data {
        Data::Gauge(_) | Data::Summary(_) | Data::Sum { monotonic: false, .. } => 0,
        Data::Sum { points, .. } => points.iter().map(|it| it.exemplars.len()).sum(),
        Data::Histogram { points, .. } => points.iter().map(|it| it.exemplars.len()).sum(),
        Data::Exponential { points, .. } => {
            let held = points.iter().filter(|it| it.value.scale >= -4);
            held.map(|it| it.exemplars.len()).sum()
        }
    }
}

fn add(sum: &mut Counts, more: &Counts) {
    for (index, count) in more {
        *sum.entry(*index).or_default() += count;
    }
}

fn series_of(point: &Point<Exponential>) -> String {
    let pt = point.attributes.iter().find(|(key, _)| key == "pt");
    match pt {
        Some((_, Any::Int(number))) => number.to_string(),
        other => panic!("a point without its number: {other:?}"),
    }
}

/// The number in a metric's name: `s17` or `17s`, between anything that is no letter and no digit.
pub(crate) fn stream_number(name: &str) -> Option<usize> {
    name.split(|c: char| !c.is_ascii_alphanumeric()).find_map(|word| {
        let digits = word.strip_prefix('s').or_else(|| word.strip_suffix('s'))?;
        digits.parse().ok()
    })
}

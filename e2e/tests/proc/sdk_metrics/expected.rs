//! What a stream of an SDK has to be in Prometheus. Names are looked up in a table that a person wrote; the rest is
//! arithmetic of its own, which shares nothing with the collector's.

use std::collections::BTreeMap;

use serde::Deserialize;
use tracepipe_e2e::remote_write::{Counts, Histogram};

/// The finest resolution of native histograms.
const SCHEMA_MAX: i32 = 8;
/// From the first bucket to the last, as in the SDKs; where deltas need more, the resolution is halved.
const BUCKETS_MAX: i64 = 160;

/// Of a scope's name, version and schema URL.
const SCOPE_LABELS: [&str; 3] = ["otel_scope_name", "otel_scope_version", "otel_scope_schema_url"];

/// The labels of a series, `__name__` among them.
pub(crate) type Key = BTreeMap<String, String>;

/// Attributes as text.
pub(crate) type Texts = BTreeMap<String, String>;

/// Names of metrics and what Prometheus has to call them, without `_bucket`, `_sum`, `_count`.
pub(crate) type Names = &'static [(&'static str, &'static str)];

/// A stream and where it stands since its start.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Stream {
    pub(crate) metric: String,
    pub(crate) attributes: Texts,
    #[serde(flatten)]
    pub(crate) value: Value,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Value {
    Counter {
        value: f64,
    },
    UpDown {
        value: f64,
    },
    Gauge {
        value: f64,
    },
    Histogram {
        count: u64,
        sum: f64,
        bounds: Vec<f64>,
        buckets: Vec<u64>,
    },
    /// Of observations that are not below zero.
    Exponential {
        count: u64,
        sum: f64,
        scale: i32,
        zero: u64,
        offset: i32,
        buckets: Vec<u64>,
    },
}

impl Value {
    /// The word behind `# TYPE`.
    pub(crate) fn type_word(&self) -> &'static str {
        match self {
            Self::Counter { .. } => "counter",
            Self::UpDown { .. } | Self::Gauge { .. } => "gauge",
            Self::Histogram { .. } | Self::Exponential { .. } => "histogram",
        }
    }
}

/// Who made a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Maker<'a> {
    pub(crate) resource: &'a Texts,
    /// Name, version and schema URL; empty: it has none.
    pub(crate) scope: [&'a str; 3],
    pub(crate) names: Names,
}

/// A native histogram, as far as an SDK says something of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Native {
    pub(crate) schema: i64,
    pub(crate) count: f64,
    pub(crate) sum: f64,
    pub(crate) zero: f64,
    pub(crate) positive: Counts,
}

impl Native {
    /// What arrived.
    pub(crate) fn of(histogram: &Histogram) -> Self {
        assert_eq!(
            histogram.negative().unwrap(),
            Counts::new(),
            "nothing was below zero"
        );
        Self {
            schema: histogram.schema,
            count: histogram.count(),
            sum: histogram.sum(),
            zero: histogram.zero_count(),
            positive: histogram.positive().unwrap(),
        }
    }

    /// The same with buckets twice as wide.
    pub(crate) fn coarser(&self) -> Self {
        let mut positive = Counts::new();
        for (index, count) in &self.positive {
            // Bucket i ends at 2^(i / 2^schema): two and one make one.
            *positive
                .entry(index.div_euclid(2) + index.rem_euclid(2))
                .or_default() += count;
        }
        Self {
            schema: self.schema - 1,
            positive,
            ..self.clone()
        }
    }

    /// With what was observed later.
    pub(crate) fn with(&self, later: &Self) -> Self {
        let (mut all, mut later) = (self.clone(), later.clone());
        while all.schema > later.schema {
            all = all.coarser();
        }
        while later.schema > all.schema {
            later = later.coarser();
        }
        all.count += later.count;
        all.sum += later.sum;
        all.zero += later.zero;
        for (index, count) in later.positive {
            *all.positive.entry(index).or_default() += count;
        }
        while all.width() > BUCKETS_MAX {
            all = all.coarser();
        }
        all
    }

    /// Buckets from the first to the last.
    fn width(&self) -> i64 {
        let first = self.positive.first_key_value();
        let last = self.positive.last_key_value();
        first
            .zip(last)
            .map_or(0, |((first, _), (last, _))| last - first + 1)
    }
}

/// Where series with floats stand, and native histograms.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Held {
    pub(crate) floats: BTreeMap<Key, f64>,
    pub(crate) natives: BTreeMap<Key, Native>,
}

impl Held {
    /// Adds what remote write has to have of a stream.
    pub(crate) fn add(&mut self, maker: Maker<'_>, stream: &Stream) {
        let Value::Exponential {
            count,
            sum,
            scale,
            zero,
            offset,
            buckets,
        } = &stream.value
        else {
            return self.add_floats(maker, stream);
        };
        let populated = (i64::from(*offset)..)
            .zip(buckets)
            .filter(|(_, count)| **count > 0);
        let mut native = Native {
            schema: i64::from(*scale),
            count: *count as f64,
            sum: *sum,
            zero: *zero as f64,
            // OTLP counts buckets by their lower bound, Prometheus by their upper one.
            positive: populated
                .map(|(index, count)| (index + 1, *count as f64))
                .collect(),
        };
        while native.schema > i64::from(SCHEMA_MAX) {
            native = native.coarser();
        }
        self.natives.insert(maker.key(stream, "", None), native);
    }

    /// Adds what the page has to have of a stream.
    pub(crate) fn add_floats(&mut self, maker: Maker<'_>, stream: &Stream) {
        match &stream.value {
            Value::Counter { value } | Value::UpDown { value } | Value::Gauge { value } => {
                self.floats.insert(maker.key(stream, "", None), *value);
            }
            Value::Histogram {
                count,
                sum,
                bounds,
                buckets,
            } => {
                assert_eq!(buckets.len(), bounds.len() + 1, "{stream:?}");
                let mut below = 0;
                for (bound, observed) in bounds.iter().zip(buckets) {
                    below += observed;
                    let key = maker.key(stream, "_bucket", Some(&bound.to_string()));
                    self.floats.insert(key, below as f64);
                }
                self.add_whole(maker, stream, *count, *sum);
            }
            // The text formats have no native histograms.
            Value::Exponential { count, sum, .. } => self.add_whole(maker, stream, *count, *sum),
        }
    }

    fn add_whole(&mut self, maker: Maker<'_>, stream: &Stream, count: u64, sum: f64) {
        let infinity = maker.key(stream, "_bucket", Some("+Inf"));
        self.floats.insert(infinity, count as f64);
        self.floats
            .insert(maker.key(stream, "_count", None), count as f64);
        self.floats.insert(maker.key(stream, "_sum", None), sum);
    }

    /// Adds what is said of the resource.
    pub(crate) fn add_target_info(&mut self, resource: &Texts) {
        let mut key = job(resource);
        key.insert("__name__".to_owned(), "target_info".to_owned());
        let others = resource.iter().filter(|(name, _)| {
            !["service.name", "service.namespace", "service.instance.id"].contains(&name.as_str())
        });
        key.extend(others.map(|(name, value)| (label(name), value.clone())));
        self.floats.insert(key, 1.0);
    }
}

impl Maker<'_> {
    /// What Prometheus has to call a metric.
    pub(crate) fn name(&self, metric: &str) -> &'static str {
        let known = self.names.iter().find(|(name, _)| *name == metric);
        let (_, name) = known.unwrap_or_else(|| panic!("{metric} is not in the test's table of names"));
        name
    }

    pub(crate) fn key(&self, stream: &Stream, suffix: &str, le: Option<&str>) -> Key {
        let mut key = job(self.resource);
        let name = format!("{}{suffix}", self.name(&stream.metric));
        key.insert("__name__".to_owned(), name);
        let scope = SCOPE_LABELS.iter().zip(self.scope);
        let said = scope.filter(|(_, value)| !value.is_empty());
        key.extend(said.map(|(name, value)| ((*name).to_owned(), value.to_owned())));
        let attributes = stream.attributes.iter();
        key.extend(attributes.map(|(name, value)| (label(name), value.clone())));
        key.extend(le.map(|le| ("le".to_owned(), le.to_owned())));
        key
    }
}

/// The keys of these tests have nothing in them but letters, dots and underscores.
fn label(key: &str) -> String {
    key.replace('.', "_")
}

fn job(resource: &Texts) -> Key {
    let name = &resource["service.name"];
    let job = match resource.get("service.namespace") {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.clone(),
    };
    let instance = resource["service.instance.id"].clone();
    BTreeMap::from([("job".to_owned(), job), ("instance".to_owned(), instance)])
}

/// Fails with what is missing, what is too much and what has another value.
pub(crate) fn assert_same<T: PartialEq + std::fmt::Debug>(
    found: &BTreeMap<Key, T>,
    expected: &BTreeMap<Key, T>,
) {
    let mut wrong = Vec::new();
    for (key, expected) in expected {
        match found.get(key) {
            None => wrong.push(format!("missing: {key:?}")),
            Some(found) if found == expected => {}
            Some(found) => wrong.push(format!("{key:?}: {found:?}, expected {expected:?}")),
        }
    }
    let known = |key: &&Key| !expected.contains_key(*key);
    wrong.extend(
        found
            .keys()
            .filter(known)
            .map(|key| format!("not expected: {key:?}")),
    );
    assert!(wrong.is_empty(), "{} series:\n{}", wrong.len(), wrong.join("\n"));
}

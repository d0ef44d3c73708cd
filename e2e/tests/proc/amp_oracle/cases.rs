//! Where ours differs from upstream on purpose: each row of the table in docs/metrics.md, "Beside upstream", with what
//! both make of the same requests.

mod exemplars;
mod odd;
mod series;

use tracepipe_e2e::otlp_metrics::{
    Attributes, Data, Explicit, Exponential, Metric, Number, Point, Resource, Scope, Temporality,
};

/// A second.
const SECOND: u64 = 1_000_000_000;

/// Requests that both get.
pub(crate) struct Case {
    /// What it is; of a difference, what the table calls it.
    pub(crate) name: &'static str,
    /// Both come to the same, though one might doubt it: no row.
    pub(crate) same: bool,
    /// Upstream has its processor that accumulates deltas.
    pub(crate) accumulated: bool,
    /// What is sent, in this order, its points at about the given time.
    pub(crate) requests: fn(u64) -> Vec<Vec<Resource>>,
    /// What upstream's Prometheus holds then.
    pub(crate) theirs: &'static [&'static str],
    /// Requests that upstream answers with an error.
    pub(crate) theirs_refused: usize,
    /// What ours holds.
    pub(crate) ours: &'static [&'static str],
    /// Points that ours drops, by reason.
    pub(crate) dropped: &'static [(&'static str, u64)],
}

fn at(time: u64, attributes: Attributes, value: f64) -> Point<Number> {
    Point {
        attributes,
        start: time - 60 * SECOND,
        time,
        value: Number::Double(value),
        ..Point::default()
    }
}

fn gauge(name: &str, points: Vec<Point<Number>>) -> Metric {
    Metric::new(name, "", Data::Gauge(points))
}

fn one(metric: Metric) -> Vec<Vec<Resource>> {
    vec![vec![Resource {
        attributes: Vec::new(),
        scopes: vec![Scope {
            metrics: vec![metric],
            ..Scope::default()
        }],
    }]]
}

fn exponential(time: u64, value: Exponential) -> Metric {
    Metric::new(
        "h",
        "",
        Data::Exponential {
            temporality: Temporality::Cumulative,
            points: vec![Point {
                start: time - SECOND,
                time,
                value,
                ..Point::default()
            }],
        },
    )
}

fn histogram(time: u64, bounds: &[f64], counts: &[u64]) -> Metric {
    Metric::new(
        "h",
        "",
        Data::Histogram {
            temporality: Temporality::Cumulative,
            points: vec![Point {
                start: time - SECOND,
                time,
                value: Explicit {
                    count: counts.iter().sum(),
                    sum: Some(1.5),
                    counts: counts.to_vec(),
                    bounds: bounds.to_vec(),
                },
                ..Point::default()
            }],
        },
    )
}

fn buckets(scale: i32, counts: &[u64]) -> Exponential {
    Exponential {
        count: counts.iter().sum(),
        sum: Some(2.0),
        scale,
        positive: (0, counts.to_vec()),
        ..Exponential::default()
    }
}

/// The table, and what one might think to be in it.
pub(crate) fn all() -> Vec<&'static Case> {
    [series::CASES, exemplars::CASES, odd::CASES]
        .into_iter()
        .flatten()
        .collect()
}

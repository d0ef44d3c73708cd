//! Exemplars.

use tracepipe_e2e::otlp_metrics::{Attributes, Data, Exemplar, Metric, Point, Temporality, texts};

use super::{Case, SECOND, at, histogram, one};

/// One that is so many milliseconds older than the point.
fn exemplar(now: u64, ago_ms: u64, value: f64) -> Exemplar {
    Exemplar {
        attributes: Vec::new(),
        time: now - ago_ms * 1_000_000,
        value,
        trace_id: [0; 16],
        span_id: [0xab; 8],
    }
}

fn with(attributes: Attributes, now: u64) -> Exemplar {
    Exemplar {
        attributes,
        ..exemplar(now, 1, 1.0)
    }
}

fn counter(temporality: Temporality, time: u64, exemplars: Vec<Exemplar>) -> Metric {
    let point = Point {
        start: time - SECOND,
        exemplars,
        ..at(time, Vec::new(), 1.0)
    };
    Metric::new(
        "c",
        "",
        Data::Sum {
            temporality,
            monotonic: true,
            points: vec![point],
        },
    )
}

fn cumulative(time: u64, exemplars: Vec<Exemplar>) -> Metric {
    counter(Temporality::Cumulative, time, exemplars)
}

pub(super) const CASES: &[Case] = &[
    Case {
        name: "exemplars that are not in the order of their times",
        same: false,
        accumulated: false,
        requests: |now| {
            let ages = [(2, 1.0), (1, 2.0), (3, 3.0)];
            one(cumulative(
                now,
                ages.map(|(ago, value)| exemplar(now, ago, value)).into(),
            ))
        },
        theirs: &["c_total{} 1 # {span_id=\"abababababababab\"} 1 # {span_id=\"abababababababab\"} 2"],
        theirs_refused: 0,
        ours: &[
            "c_total{} 1 # {span_id=\"abababababababab\"} 3 # {span_id=\"abababababababab\"} 1 # {span_id=\"abababababababab\"} 2",
        ],
        dropped: &[],
    },
    Case {
        name: "more than ten exemplars of a series",
        same: false,
        accumulated: false,
        requests: |now| {
            let all = (0..12).rev().map(|ago| exemplar(now, ago, 12.0 - ago as f64));
            one(cumulative(now, all.collect()))
        },
        theirs: &[
            "c_total{} 1 # {span_id=\"abababababababab\"} 1 # {span_id=\"abababababababab\"} 2 # {span_id=\"abababababababab\"} 3 # {span_id=\"abababababababab\"} 4 # {span_id=\"abababababababab\"} 5 # {span_id=\"abababababababab\"} 6 # {span_id=\"abababababababab\"} 7 # {span_id=\"abababababababab\"} 8 # {span_id=\"abababababababab\"} 9 # {span_id=\"abababababababab\"} 10 # {span_id=\"abababababababab\"} 11 # {span_id=\"abababababababab\"} 12",
        ],
        theirs_refused: 0,
        ours: &[
            "c_total{} 1 # {span_id=\"abababababababab\"} 3 # {span_id=\"abababababababab\"} 4 # {span_id=\"abababababababab\"} 5 # {span_id=\"abababababababab\"} 6 # {span_id=\"abababababababab\"} 7 # {span_id=\"abababababababab\"} 8 # {span_id=\"abababababababab\"} 9 # {span_id=\"abababababababab\"} 10 # {span_id=\"abababababababab\"} 11 # {span_id=\"abababababababab\"} 12",
        ],
        dropped: &[],
    },
    Case {
        name: "an exemplar without ids and attributes",
        same: false,
        accumulated: false,
        requests: |now| {
            let bare = Exemplar {
                span_id: [0; 8],
                ..exemplar(now, 1, 1.0)
            };
            one(cumulative(now, vec![bare]))
        },
        theirs: &["c_total{} 1 # {} 1"],
        theirs_refused: 0,
        ours: &["c_total{} 1"],
        dropped: &[],
    },
    Case {
        name: "an exemplar without time",
        same: false,
        accumulated: false,
        requests: |now| {
            let timeless = Exemplar {
                time: 0,
                ..exemplar(now, 1, 1.0)
            };
            one(cumulative(now, vec![timeless]))
        },
        theirs: &["c_total{} 1 # {span_id=\"abababababababab\"} 1 at 0"],
        theirs_refused: 0,
        ours: &["c_total{} 1 # {span_id=\"abababababababab\"} 1"],
        dropped: &[],
    },
    Case {
        name: "an exemplar of a histogram that is no number",
        same: false,
        accumulated: false,
        requests: |now| {
            let mut metric = histogram(now, &[1.0], &[0, 1]);
            if let Data::Histogram { points, .. } = &mut metric.data {
                points[0].exemplars = vec![exemplar(now, 1, f64::NAN)];
            }
            one(metric)
        },
        theirs: &[
            "h_bucket{le=\"+Inf\"} 1",
            "h_bucket{le=\"1\"} 0",
            "h_count{} 1",
            "h_sum{} 1.5",
        ],
        theirs_refused: 0,
        ours: &[
            "h_bucket{le=\"+Inf\"} 1 # {span_id=\"abababababababab\"} NaN",
            "h_bucket{le=\"1\"} 0",
            "h_count{} 1",
            "h_sum{} 1.5",
        ],
        dropped: &[],
    },
    Case {
        name: "keys of an exemplar's attributes that are no names",
        same: false,
        accumulated: false,
        requests: |now| {
            let attributes = texts(&[("http.route", "/")]);
            one(cumulative(now, vec![with(attributes, now)]))
        },
        theirs: &["c_total{} 1 # {http.route=\"/\",span_id=\"abababababababab\"} 1"],
        theirs_refused: 0,
        ours: &["c_total{} 1 # {http_route=\"/\",span_id=\"abababababababab\"} 1"],
        dropped: &[],
    },
    Case {
        name: "an exemplar's attribute `span_id`",
        same: false,
        accumulated: false,
        requests: |now| {
            let attributes = texts(&[("span_id", "other")]);
            one(cumulative(now, vec![with(attributes, now)]))
        },
        theirs: &["c_total{} 1 # {span_id=\"other\"} 1"],
        theirs_refused: 0,
        ours: &["c_total{} 1 # {span_id=\"abababababababab\"} 1"],
        dropped: &[],
    },
    Case {
        name: "exemplars beside an empty attribute of the scope",
        same: false,
        accumulated: false,
        requests: |now| {
            let mut requests = one(cumulative(now, vec![exemplar(now, 1, 1.0)]));
            requests[0][0].scopes[0].attributes = texts(&[("k", "")]);
            requests
        },
        theirs: &["c_total{} 1"],
        theirs_refused: 0,
        ours: &["c_total{} 1 # {span_id=\"abababababababab\"} 1"],
        dropped: &[],
    },
    Case {
        name: "exemplars of deltas",
        same: false,
        accumulated: true,
        requests: |now| {
            let at = |ago: u64| {
                let time = now - ago * SECOND;
                let exemplars = vec![exemplar(time, 1, ago as f64)];
                one(counter(Temporality::Delta, time, exemplars)).remove(0)
            };
            vec![at(2), at(1), at(0)]
        },
        theirs: &["c_total{} 1 2 3 # {span_id=\"abababababababab\"} 2"],
        theirs_refused: 0,
        ours: &[
            "c_total{} 1 2 3 # {span_id=\"abababababababab\"} 2 # {span_id=\"abababababababab\"} 1 # {span_id=\"abababababababab\"} 0",
        ],
        dropped: &[],
    },
    Case {
        name: "exemplars of a gauge",
        same: true,
        accumulated: false,
        requests: |now| {
            let mut point = at(now, Vec::new(), 1.0);
            point.exemplars = vec![exemplar(now, 1, 1.0)];
            one(super::gauge("g", vec![point]))
        },
        theirs: &["g{} 1"],
        theirs_refused: 0,
        ours: &["g{} 1"],
        dropped: &[],
    },
];

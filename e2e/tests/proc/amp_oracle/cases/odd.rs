//! What hardly any sender does.

use tracepipe_e2e::otlp_metrics::{
    Any, Attributes, Data, Exponential, Metric, Point, Summary, Temporality, texts,
};

use super::{Case, SECOND, at, buckets, exponential, gauge, histogram, one};

fn summary(time: u64, attributes: Attributes, quantiles: &[(f64, f64)]) -> Metric {
    Metric::new(
        "q",
        "",
        Data::Summary(vec![Point {
            attributes,
            time,
            value: Summary {
                count: 2,
                sum: 3.0,
                quantiles: quantiles.to_vec(),
            },
            ..Point::default()
        }]),
    )
}

fn with_attributes(mut metric: Metric, attributes: &Attributes) -> Metric {
    match &mut metric.data {
        Data::Gauge(points) | Data::Sum { points, .. } => {
            points
                .iter_mut()
                .for_each(|it| it.attributes.clone_from(attributes));
        }
        Data::Histogram { points, .. } => {
            points
                .iter_mut()
                .for_each(|it| it.attributes.clone_from(attributes));
        }
        Data::Exponential { points, .. } => {
            points
                .iter_mut()
                .for_each(|it| it.attributes.clone_from(attributes));
        }
        Data::Summary(points) => points
            .iter_mut()
            .for_each(|it| it.attributes.clone_from(attributes)),
    }
    metric
}

/// As a sender says it that knows no more than the stream.
fn stale(mut metric: Metric) -> Metric {
    match &mut metric.data {
        Data::Gauge(points) | Data::Sum { points, .. } => points.iter_mut().for_each(|it| it.stale = true),
        Data::Exponential { points, .. } => points.iter_mut().for_each(|it| it.stale = true),
        Data::Histogram { points, .. } => points.iter_mut().for_each(|it| {
            it.stale = true;
            it.value = Default::default();
        }),
        Data::Summary(points) => points.iter_mut().for_each(|it| {
            it.stale = true;
            it.value = Summary::default();
        }),
    }
    metric
}

fn delta(time: u64, value: f64, is_stale: bool) -> Metric {
    let point = Point {
        start: time - SECOND,
        stale: is_stale,
        ..at(time, Vec::new(), value)
    };
    Metric::new(
        "c",
        "",
        Data::Sum {
            temporality: Temporality::Delta,
            monotonic: true,
            points: vec![point],
        },
    )
}

fn delta_exponential(time: u64, value: Exponential) -> Metric {
    let mut metric = exponential(time, value);
    if let Data::Exponential { temporality, .. } = &mut metric.data {
        *temporality = Temporality::Delta;
    }
    metric
}

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a histogram or summary that ends without its bounds or quantiles",
        same: false,
        accumulated: false,
        requests: |now| {
            let (then, quantiles) = (now - SECOND, [(0.5, 1.0)]);
            [
                histogram(then, &[1.0], &[1, 1]),
                summary(then, Vec::new(), &quantiles),
                stale(histogram(now, &[1.0], &[1, 1])),
                stale(summary(now, Vec::new(), &quantiles)),
            ]
            .map(|metric| one(metric).remove(0))
            .into()
        },
        theirs: &[
            "h_bucket{le=\"+Inf\"} 2 stale",
            "h_bucket{le=\"1\"} 1",
            "h_count{} 2 stale",
            "h_sum{} 1.5",
            "q{quantile=\"0.5\"} 1",
            "q_count{} 2 stale",
            "q_sum{} 3 stale",
        ],
        theirs_refused: 0,
        ours: &[
            "h_bucket{le=\"+Inf\"} 2 stale",
            "h_bucket{le=\"1\"} 1 stale",
            "h_count{} 2 stale",
            "h_sum{} 1.5 stale",
            "q{quantile=\"0.5\"} 1 stale",
            "q_count{} 2 stale",
            "q_sum{} 3 stale",
        ],
        dropped: &[],
    },
    Case {
        name: "empty bytes in a list",
        same: false,
        accumulated: false,
        requests: |now| {
            let list = Any::List(vec![
                Any::from(""),
                Any::Bytes(Vec::new()),
                Any::Empty,
                Any::Int(1),
            ]);
            one(gauge("g", vec![at(now, vec![("k".to_owned(), list)], 1.0)]))
        },
        theirs: &["g{k=\"[\\\"\\\",null,null,1]\"} 1"],
        theirs_refused: 0,
        ours: &["g{k=\"[\\\"\\\",\\\"\\\",null,1]\"} 1"],
        dropped: &[],
    },
    Case {
        name: "an attribute `quantile` of a summary",
        same: false,
        accumulated: false,
        requests: |now| one(summary(now, texts(&[("quantile", "x")]), &[(0.5, 1.0)])),
        theirs: &[],
        theirs_refused: 1,
        ours: &[
            "q{quantile=\"0.5\"} 1",
            "q_count{quantile=\"x\"} 2",
            "q_sum{quantile=\"x\"} 3",
        ],
        dropped: &[],
    },
    Case {
        name: "an attribute `le` or `__name__` of a histogram",
        same: false,
        accumulated: false,
        requests: |now| {
            let with = |key, time| {
                let metric = histogram(time, &[1.0], &[1, 1]);
                one(with_attributes(metric, &texts(&[(key, "x")]))).remove(0)
            };
            vec![with("le", now - SECOND), with("__name__", now)]
        },
        theirs: &[],
        theirs_refused: 2,
        ours: &[
            "h_bucket{le=\"+Inf\"} 2 2",
            "h_bucket{le=\"1\"} 1 1",
            "h_count{le=\"x\"} 2",
            "h_count{} 2",
            "h_sum{le=\"x\"} 1.5",
            "h_sum{} 1.5",
        ],
        dropped: &[],
    },
    Case {
        name: "keys of point and resource that make one label",
        same: false,
        accumulated: false,
        requests: |now| {
            let mut requests = one(gauge("g", vec![at(now, texts(&[("res_x", "point")]), 1.0)]));
            requests[0][0].attributes = texts(&[("res.x", "resource")]);
            requests
        },
        theirs: &[
            "g{res_x=\"resource;point\"} 1",
            "target_info{res_x=\"resource\"} 1",
        ],
        theirs_refused: 0,
        ours: &["g{res_x=\"point\"} 1", "target_info{res_x=\"resource\"} 1"],
        dropped: &[],
    },
    Case {
        name: "a value with the bits of a stale marker",
        same: false,
        accumulated: false,
        requests: |now| {
            let value = f64::from_bits(tracepipe_e2e::remote_write::STALE_NAN_BITS);
            one(gauge("g", vec![at(now, Vec::new(), value)]))
        },
        theirs: &["g{} stale"],
        theirs_refused: 0,
        ours: &["g{} NaN"],
        dropped: &[],
    },
    Case {
        name: "an exponential histogram whose counts do not add up",
        same: false,
        accumulated: false,
        requests: |now| {
            let value = Exponential {
                count: 3,
                ..buckets(0, &[4])
            };
            one(exponential(now, value))
        },
        theirs: &[],
        theirs_refused: 1,
        ours: &[],
        dropped: &[("buckets", 1)],
    },
    Case {
        name: "a delta that says it has no value",
        same: false,
        accumulated: true,
        requests: |now| {
            [(2, 2.0, false), (1, 0.0, true), (0, 3.0, false)]
                .map(|(ago, value, stale)| one(delta(now - ago * SECOND, value, stale)).remove(0))
                .into()
        },
        theirs: &["c_total{} 2 2 5"],
        theirs_refused: 0,
        ours: &["c_total{} 2 stale 5"],
        dropped: &[],
    },
    Case {
        name: "deltas with different zero thresholds",
        same: false,
        accumulated: true,
        requests: |now| {
            [(1, 0.0), (0, 1.5)]
                .map(|(ago, zero_threshold)| {
                    let value = Exponential {
                        zero_threshold,
                        zero_count: 1,
                        count: 11,
                        ..buckets(0, &[1, 2, 7])
                    };
                    one(delta_exponential(now - ago * SECOND, value)).remove(0)
                })
                .into()
        },
        theirs: &["h{} count 11 sum 2 <=1e-128:1 <=2:1 <=4:2 <=8:7 count 22 sum 4 <=2:3 <=2:1 <=4:4 <=8:14"],
        theirs_refused: 0,
        ours: &["h{} count 11 sum 2 <=1e-128:1 <=2:1 <=4:2 <=8:7 count 22 sum 4 <=2:4 <=4:4 <=8:14"],
        dropped: &[],
    },
    Case {
        name: "a histogram without sum",
        same: true,
        accumulated: false,
        requests: |now| {
            let mut metric = histogram(now, &[-1.0, 1.0], &[1, 1, 0]);
            if let Data::Histogram { points, .. } = &mut metric.data {
                points[0].value.sum = None;
            }
            one(metric)
        },
        theirs: &[
            "h_bucket{le=\"+Inf\"} 2",
            "h_bucket{le=\"-1\"} 1",
            "h_bucket{le=\"1\"} 2",
            "h_count{} 2",
        ],
        theirs_refused: 0,
        ours: &[
            "h_bucket{le=\"+Inf\"} 2",
            "h_bucket{le=\"-1\"} 1",
            "h_bucket{le=\"1\"} 2",
            "h_count{} 2",
        ],
        dropped: &[],
    },
    Case {
        name: "no name at all",
        same: true,
        accumulated: false,
        requests: |now| one(gauge("", vec![at(now, Vec::new(), 1.0)])),
        theirs: &[],
        theirs_refused: 0,
        ours: &[],
        dropped: &[("name", 1)],
    },
    // The last one: an hour ahead, upstream's Prometheus takes nothing that is of now.
    Case {
        name: "a time of zero, of two hours ago, of an hour ahead",
        same: false,
        accumulated: false,
        requests: |now| {
            let times = [0, now - 7200 * SECOND, now + 3600 * SECOND];
            times
                .into_iter()
                .map(|time| {
                    let mut point = at(now, Vec::new(), 1.0);
                    point.time = time;
                    one(gauge("g", vec![point])).remove(0)
                })
                .collect()
        },
        theirs: &["g{} 1"],
        theirs_refused: 2,
        ours: &[],
        dropped: &[("no_timestamp", 1), ("too_old", 1), ("future", 1)],
    },
];

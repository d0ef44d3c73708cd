//! Names, labels and values.

use tracepipe_e2e::otlp_metrics::{Any, Data, Exponential, Metric, Point, Temporality, texts};

use super::{Case, SECOND, at, buckets, exponential, gauge, histogram, one};

/// Of samples and labels.
pub(super) const CASES: &[Case] = &[
    Case {
        name: "delta temporality",
        same: false,
        accumulated: false,
        requests: |now| {
            let point = |time: u64, value| Point {
                start: time - SECOND,
                ..at(time, Vec::new(), value)
            };
            let of = |point| {
                let temporality = Temporality::Delta;
                let sum = Data::Sum {
                    temporality,
                    monotonic: true,
                    points: vec![point],
                };
                one(Metric::new("c", "", sum)).remove(0)
            };
            vec![of(point(now - SECOND, 2.0)), of(point(now, 3.0))]
        },
        theirs: &[],
        theirs_refused: 0,
        ours: &["c_total{} 2 5"],
        dropped: &[],
    },
    Case {
        name: "a scale above 8",
        same: false,
        accumulated: false,
        requests: |now| one(exponential(now, buckets(9, &[0, 0, 5, 6]))),
        theirs: &["h{} count 11 sum 2 <=1.0027112750502025:5 <=1.0054299011128027:6"],
        theirs_refused: 0,
        ours: &["h{} count 11 sum 2 <=1.0054299011128027:11"],
        dropped: &[],
    },
    Case {
        name: "more than 160 populated buckets",
        same: false,
        accumulated: false,
        requests: |now| one(exponential(now, buckets(3, &[1; 200]))),
        theirs: &["h{} count 200 sum 2 200 buckets"],
        theirs_refused: 0,
        ours: &["h{} count 200 sum 2 100 buckets"],
        dropped: &[],
    },
    Case {
        name: "an exponential histogram without sum",
        same: false,
        accumulated: false,
        requests: |now| {
            let value = Exponential {
                sum: None,
                ..buckets(0, &[4])
            };
            one(exponential(now, value))
        },
        theirs: &["h{} count 4 sum 0 <=2:4"],
        theirs_refused: 0,
        ours: &[],
        dropped: &[("no_sum", 1)],
    },
    Case {
        name: "a key that is no name",
        same: false,
        accumulated: false,
        requests: |now| {
            let attributes = texts(&[("", "x"), ("___", "y"), ("ok", "z")]);
            one(gauge("g", vec![at(now, attributes, 1.0)]))
        },
        theirs: &[],
        theirs_refused: 0,
        ours: &["g{key_=\"y\",ok=\"z\"} 1"],
        dropped: &[],
    },
    Case {
        name: "a name of nothing but its unit",
        same: false,
        accumulated: false,
        requests: |now| {
            one(Metric::new(
                "日本.メトリック",
                "s",
                Data::Gauge(vec![at(now, Vec::new(), 1.0)]),
            ))
        },
        theirs: &["seconds{} 1"],
        theirs_refused: 0,
        ours: &[],
        dropped: &[("name", 1)],
    },
    Case {
        name: "a key of point and resource",
        same: false,
        accumulated: false,
        requests: |now| {
            let mut requests = one(gauge("g", vec![at(now, texts(&[("host.name", "point")]), 1.0)]));
            requests[0][0].attributes = texts(&[("host.name", "resource")]);
            requests
        },
        theirs: &[
            "g{host_name=\"resource\"} 1",
            "target_info{host_name=\"resource\"} 1",
        ],
        theirs_refused: 0,
        ours: &[
            "g{host_name=\"point\"} 1",
            "target_info{host_name=\"resource\"} 1",
        ],
        dropped: &[],
    },
    Case {
        name: "the scope's schema URL",
        same: false,
        accumulated: false,
        requests: |now| {
            let mut requests = one(gauge("g", vec![at(now, Vec::new(), 1.0)]));
            requests[0][0].scopes[0].name = "lib".to_owned();
            requests[0][0].scopes[0].schema_url = "https://opentelemetry.io/schemas/1.40.0".to_owned();
            requests
        },
        theirs: &["g{otel_scope_name=\"lib\"} 1"],
        theirs_refused: 0,
        ours: &[
            "g{otel_scope_name=\"lib\",otel_scope_schema_url=\"https://opentelemetry.io/schemas/1.40.0\"} 1",
        ],
        dropped: &[],
    },
    Case {
        name: "an infinite last bound",
        same: true,
        accumulated: false,
        requests: |now| one(histogram(now, &[1.0, f64::INFINITY], &[1, 2, 0])),
        theirs: &[
            "h_bucket{le=\"+Inf\"} 3",
            "h_bucket{le=\"1\"} 1",
            "h_count{} 3",
            "h_sum{} 1.5",
        ],
        theirs_refused: 0,
        ours: &[
            "h_bucket{le=\"+Inf\"} 3",
            "h_bucket{le=\"1\"} 1",
            "h_count{} 3",
            "h_sum{} 1.5",
        ],
        dropped: &[],
    },
    Case {
        name: "bounds that are not sorted",
        same: false,
        accumulated: false,
        requests: |now| one(histogram(now, &[2.0, 1.0], &[1, 2, 3])),
        theirs: &[
            "h_bucket{le=\"+Inf\"} 6",
            "h_bucket{le=\"1\"} 3",
            "h_bucket{le=\"2\"} 1",
            "h_count{} 6",
            "h_sum{} 1.5",
        ],
        theirs_refused: 0,
        ours: &[],
        dropped: &[("bounds", 1)],
    },
    Case {
        name: "counts that do not fit their bounds",
        same: false,
        accumulated: false,
        requests: |now| one(histogram(now, &[1.0, 2.0], &[1, 2])),
        theirs: &[
            "h_bucket{le=\"+Inf\"} 3",
            "h_bucket{le=\"1\"} 1",
            "h_bucket{le=\"2\"} 3",
            "h_count{} 3",
            "h_sum{} 1.5",
        ],
        theirs_refused: 0,
        ours: &[],
        dropped: &[("buckets", 1)],
    },
    Case {
        name: "one time twice",
        same: false,
        accumulated: false,
        requests: |now| {
            one(gauge(
                "g",
                vec![at(now, Vec::new(), 1.0), at(now, Vec::new(), 2.0)],
            ))
        },
        theirs: &["g{} 1"],
        theirs_refused: 0,
        ours: &["g{} 2"],
        dropped: &[],
    },
    Case {
        name: "two metrics of one name",
        same: true,
        accumulated: false,
        requests: |now| {
            let mut requests = one(Metric::new(
                "x",
                "",
                Data::counter(vec![at(now, Vec::new(), 1.0)]),
            ));
            let other = gauge("x.total", vec![at(now, Vec::new(), 2.0)]);
            requests[0][0].scopes[0].metrics.push(other);
            requests
        },
        theirs: &["x_total{} 1"],
        theirs_refused: 0,
        ours: &["x_total{} 1"],
        dropped: &[("type_collision", 1)],
    },
    Case {
        name: "an attribute `__name__` of a gauge",
        same: true,
        accumulated: false,
        requests: |now| one(gauge("g", vec![at(now, texts(&[("__name__", "other")]), 1.0)])),
        theirs: &["g{} 1"],
        theirs_refused: 0,
        ours: &["g{} 1"],
        dropped: &[],
    },
    Case {
        name: "temporality that is not said",
        same: true,
        accumulated: false,
        requests: |now| {
            let sum = Data::Sum {
                temporality: Temporality::Unspecified,
                monotonic: true,
                points: vec![at(now, Vec::new(), 1.0)],
            };
            one(Metric::new("c", "", sum))
        },
        theirs: &[],
        theirs_refused: 0,
        ours: &[],
        dropped: &[("unspecified_temporality", 1)],
    },
    Case {
        name: "a key twice",
        same: true,
        accumulated: false,
        requests: |now| {
            let attributes = vec![("k".to_owned(), Any::from("a")), ("k".to_owned(), Any::from("b"))];
            one(gauge("g", vec![at(now, attributes, 1.0)]))
        },
        theirs: &["g{k=\"a;b\"} 1"],
        theirs_refused: 0,
        ours: &["g{k=\"a;b\"} 1"],
        dropped: &[],
    },
];

//! Histograms with explicit bounds.

use crate::DropReason;
use crate::testing::*;

fn one(point: opentelemetry_proto::tonic::metrics::v1::HistogramDataPoint) -> Vec<String> {
    lines(&Bench::new(&settings()).send_metric(histogram("h", CUMULATIVE, vec![point])))
}

#[test]
fn a_histogram_is_a_sum_a_count_and_running_totals() {
    assert_eq!(
        one(buckets(NOW, &[0.005, 1.0, 10.0], &[1, 2, 3, 4])),
        [
            "h_bucket{job=shop,le=+Inf} 10@0",
            "h_bucket{job=shop,le=0.005} 1@0",
            "h_bucket{job=shop,le=10} 6@0",
            "h_bucket{job=shop,le=1} 3@0",
            "h_count{job=shop} 10@0",
            "h_sum{job=shop} 100@0",
        ]
    );
}

#[test]
fn bounds_are_written_without_an_exponent() {
    let shown = one(buckets(NOW, &[1e-7, 1e21], &[0, 0, 0]));
    assert!(
        shown.contains(&"h_bucket{job=shop,le=0.0000001} 0@0".to_owned()),
        "{shown:?}"
    );
    assert!(
        shown.contains(&"h_bucket{job=shop,le=1000000000000000000000} 0@0".to_owned()),
        "{shown:?}"
    );
}

#[test]
fn the_infinite_bucket_has_the_count_and_not_the_running_total() {
    let mut point = buckets(NOW, &[1.0], &[1, 1]);
    point.count = 5;
    assert_eq!(one(point)[0], "h_bucket{job=shop,le=+Inf} 5@0");
}

#[test]
fn without_bounds_there_is_one_bucket_and_without_a_sum_no_sum() {
    let mut point = buckets(NOW, &[], &[]);
    point.count = 3;
    assert_eq!(
        one(point.clone()),
        [
            "h_bucket{job=shop,le=+Inf} 3@0",
            "h_count{job=shop} 3@0",
            "h_sum{job=shop} 0@0"
        ]
    );
    point.sum = None;
    assert_eq!(
        one(point),
        ["h_bucket{job=shop,le=+Inf} 3@0", "h_count{job=shop} 3@0"]
    );
}

#[test]
fn bounds_without_counts_give_no_buckets() {
    let mut point = buckets(NOW, &[1.0, 2.0], &[]);
    point.count = 3;
    point.sum = None;
    assert_eq!(
        one(point),
        ["h_bucket{job=shop,le=+Inf} 3@0", "h_count{job=shop} 3@0"]
    );
}

#[test]
fn an_infinite_last_bound_is_written_once() {
    assert_eq!(
        one(buckets(NOW, &[1.0, f64::INFINITY], &[1, 2, 0])),
        [
            "h_bucket{job=shop,le=+Inf} 3@0",
            "h_bucket{job=shop,le=1} 1@0",
            "h_count{job=shop} 3@0",
            "h_sum{job=shop} 30@0",
        ]
    );
}

#[test]
fn bounds_that_do_not_rise_and_counts_that_do_not_fit_are_dropped() {
    let cases = [
        (buckets(NOW, &[2.0, 1.0], &[1, 1, 1]), DropReason::Bounds),
        (buckets(NOW, &[1.0, 1.0], &[1, 1, 1]), DropReason::Bounds),
        (buckets(NOW, &[f64::NAN], &[1, 1]), DropReason::Bounds),
        (buckets(NOW, &[1.0, 2.0], &[1, 1]), DropReason::Buckets),
        (buckets(NOW, &[1.0], &[1, 1, 1]), DropReason::Buckets),
    ];
    for (point, reason) in cases {
        let mut bench = Bench::new(&settings());
        let shown = bench.send_metric(histogram("h", CUMULATIVE, vec![point.clone()]));
        assert!(shown.is_empty(), "{point:?}");
        assert_eq!(bench.done.dropped.of(reason), 1, "{point:?}");
    }
}

#[test]
fn other_bounds_are_other_series() {
    let mut bench = Bench::new(&settings());
    bench.send_metric(histogram("h", CUMULATIVE, vec![buckets(NOW, &[1.0], &[1, 1])]));
    let shown = bench.send_metric(histogram(
        "h",
        CUMULATIVE,
        vec![buckets(NOW + 1, &[2.0], &[1, 1])],
    ));
    assert!(shown.contains_key("h_bucket{job=shop,le=2}"), "{shown:?}");
    assert!(!shown.contains_key("h_bucket{job=shop,le=1}"), "{shown:?}");
}

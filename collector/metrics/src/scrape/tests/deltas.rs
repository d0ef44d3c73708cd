//! Deltas become totals.

use opentelemetry_proto::tonic::metrics::v1 as otlp;

use super::build::*;

#[test]
fn deltas_are_added_up() {
    let mut registry = registry();
    let deltas = |points| vec![counter("c", DELTA, points)];
    let (_, page) = applied(&mut registry, deltas(vec![delta(-60, 0, 5, &[])]), NOW);
    assert_eq!(page, "c_total 5");
    let (done, page) = applied(
        &mut registry,
        deltas(vec![delta(0, 60, 7, &[]), delta(60, 120, 1, &[])]),
        later(120),
    );
    assert_eq!(page, "c_total 13");
    assert_eq!((done.points, done.delta_gaps), (2, 0));
    // Sent again, and late: counted already.
    let (done, page) = applied(
        &mut registry,
        deltas(vec![delta(60, 120, 1, &[]), delta(0, 60, 7, &[])]),
        later(120),
    );
    assert_eq!(counts(&done), (0, vec![("delta_out_of_order", 2)]));
    assert_eq!(page, "c_total 13");
    // One is missing; upstream would begin anew.
    let (done, page) = applied(&mut registry, deltas(vec![delta(180, 240, 2, &[])]), later(240));
    assert_eq!(page, "c_total 15");
    assert_eq!((done.points, done.delta_gaps), (1, 1));
}

#[test]
fn deltas_that_may_fall_are_added_up_too() {
    let mut registry = registry();
    let deltas = vec![updown(
        "q",
        DELTA,
        vec![delta(-60, 0, 5, &[]), delta(0, 1, -2, &[])],
    )];
    assert_eq!(applied(&mut registry, deltas, later(1)).1, "q 3");
}

#[test]
fn whole_deltas_stay_exact_and_do_not_overflow() {
    let mut registry = registry();
    let big = i64::MAX - 1;
    let deltas = |points| vec![updown("q", DELTA, points)];
    applied(&mut registry, deltas(vec![delta(-1, 0, big, &[])]), NOW);
    let (_, page) = applied(&mut registry, deltas(vec![delta(0, 1, 1 - big, &[])]), NOW);
    assert_eq!(page, "q 1");
    let (_, page) = applied(
        &mut registry,
        deltas(vec![delta(1, 2, big, &[]), delta(2, 3, big, &[])]),
        later(3),
    );
    assert_eq!(page, "q 1.8446744073709552e+19");
}

#[test]
fn deltas_of_histograms_are_added_up_bucket_by_bucket() {
    let mut registry = registry();
    let point = |start, time, bounds: &[f64], counts: &[u64], sum| otlp::HistogramDataPoint {
        start_time_unix_nano: at(start),
        sum,
        ..histogram_point(time, bounds, counts, 0.0)
    };
    let deltas = |points| vec![histogram("h", DELTA, points)];
    applied(
        &mut registry,
        deltas(vec![point(-60, 0, &[1.0], &[1, 2], Some(5.0))]),
        NOW,
    );
    let (_, page) = applied(
        &mut registry,
        deltas(vec![point(0, 60, &[1.0], &[10, 20], Some(50.5))]),
        later(60),
    );
    assert_eq!(
        page,
        "h_bucket{le=\"1\"} 11\nh_bucket{le=\"+Inf\"} 33\nh_sum 55.5\nh_count 33"
    );
    // A sum that is not known for a part is not known for the whole.
    let (_, page) = applied(
        &mut registry,
        deltas(vec![point(60, 120, &[1.0], &[1, 0], None)]),
        later(120),
    );
    assert_eq!(
        page,
        "h_bucket{le=\"1\"} 12\nh_bucket{le=\"+Inf\"} 34\nh_count 34"
    );
    // Other bounds: the sum begins anew, as a counter after a restart.
    let (done, page) = applied(
        &mut registry,
        deltas(vec![point(120, 180, &[2.0], &[1, 1], Some(3.0))]),
        later(180),
    );
    assert_eq!(done.delta_resets, 1);
    assert_eq!(
        page,
        "h_bucket{le=\"2\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2"
    );
}

#[test]
fn deltas_of_exponential_histograms_are_added_up() {
    let mut registry = registry();
    let point = |start, time, count, scale| otlp::ExponentialHistogramDataPoint {
        start_time_unix_nano: at(start),
        time_unix_nano: at(time),
        count,
        sum: Some(1.5),
        scale,
        zero_count: count,
        ..otlp::ExponentialHistogramDataPoint::default()
    };
    let deltas = vec![exponential(
        "h",
        DELTA,
        vec![point(-60, 0, 2, 3), point(0, 60, 3, 1)],
    )];
    let (_, page) = applied(&mut registry, deltas, later(60));
    assert_eq!(page, "h_bucket{le=\"+Inf\"} 5\nh_sum 3\nh_count 5");
}

#[test]
fn a_sender_that_changes_its_temporality_goes_on_in_the_same_series() {
    let mut registry = registry();
    applied(
        &mut registry,
        vec![counter("c", CUMULATIVE, vec![number(0, 100.0, &[])])],
        NOW,
    );
    let (_, page) = applied(
        &mut registry,
        vec![counter("c", DELTA, vec![delta(0, 60, 1, &[])])],
        later(60),
    );
    assert_eq!(page, "c_total 1");
    let (_, page) = applied(
        &mut registry,
        vec![counter("c", CUMULATIVE, vec![number(120, 9.0, &[])])],
        later(120),
    );
    assert_eq!(page, "c_total 9");
}

#[test]
fn the_order_of_attributes_does_not_matter() {
    let mut registry = registry();
    applied(
        &mut registry,
        vec![counter(
            "c",
            DELTA,
            vec![delta(0, 1, 1, &[("a", "1"), ("b", "2")])],
        )],
        later(1),
    );
    let (_, page) = applied(
        &mut registry,
        vec![counter(
            "c",
            DELTA,
            vec![delta(1, 2, 1, &[("b", "2"), ("a", "1")])],
        )],
        later(2),
    );
    assert_eq!(page, "c_total{a=\"1\",b=\"2\"} 2");
}

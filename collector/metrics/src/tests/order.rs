//! Samples of one series: collisions, order, the same time twice.

use opentelemetry_proto::tonic::metrics::v1 as otlp;

use crate::DropReason;
use crate::testing::*;

#[test]
fn of_one_time_in_one_request_the_last_sample_stays() {
    let mut bench = Bench::new(&settings());
    // Two attributes that become one label.
    let of = |key: &str, value| otlp::NumberDataPoint {
        attributes: vec![text(key, "1")],
        ..point(NOW, value)
    };
    let shown = bench.send_metric(gauge("a", vec![of("k.k", 1.0), of("k_k", 2.0)]));
    assert_eq!(lines(&shown), ["a{job=shop,k_k=1} 2@0"]);
    assert_eq!((bench.done.samples, bench.done.points), (1, 2));
    assert_eq!(bench.done.samples_dropped.of(DropReason::DuplicateTimestamp), 1);
}

#[test]
fn what_was_sent_before_is_not_sent_again() {
    let mut bench = Bench::new(&settings());
    bench.send_metric(gauge("a", vec![point(NOW, 1.0)]));
    assert!(bench.send_metric(gauge("a", vec![point(NOW, 1.0)])).is_empty());
    assert_eq!(bench.done.dropped.of(DropReason::DuplicateTimestamp), 1);
}

#[test]
fn an_older_sample_is_sent_within_the_window_and_dropped_behind_it() {
    let mut bench = Bench::new(&settings());
    bench.send_metric(gauge("a", vec![point(NOW, 1.0)]));
    let shown = bench.send_metric(gauge(
        "a",
        vec![point(NOW - MINUTE, 2.0), point(NOW - MINUTE - 1, 3.0)],
    ));
    assert_eq!(lines(&shown), ["a{job=shop} 2@-60000"]);
    assert_eq!(bench.done.dropped.of(DropReason::OutOfOrder), 1);
}

#[test]
fn samples_of_one_request_are_sorted_by_time() {
    let mut bench = Bench::new(&settings());
    let shown = bench.send_metric(gauge(
        "a",
        vec![point(NOW, 1.0), point(NOW - 2, 2.0), point(NOW - 1, 3.0)],
    ));
    assert_eq!(
        lines(&shown),
        ["a{job=shop} 2@-2", "a{job=shop} 3@-1", "a{job=shop} 1@0"]
    );
}

#[test]
fn a_metric_of_another_type_with_the_same_series_is_dropped() {
    let mut bench = Bench::new(&settings());
    let metrics = vec![
        sum("a", CUMULATIVE, true, vec![point(NOW, 1.0)]),
        gauge("a_total", vec![point(NOW + 1, 2.0)]),
        gauge("b", vec![point(NOW, 1.0)]),
        exponential("b", CUMULATIVE, vec![exponents(NOW + 1, 0, 0, &[1])]),
    ];
    let shown = bench.send(&request(service(), metrics));
    assert_eq!(lines(&shown), ["a_total{job=shop} 1@0", "b{job=shop} 1@0"]);
    assert_eq!(bench.done.dropped.of(DropReason::TypeCollision), 2);
}

#[test]
fn a_series_that_was_silent_for_long_may_have_another_type() {
    let mut bench = Bench::new(&settings());
    bench.send_metric(sum("a", CUMULATIVE, true, vec![point(NOW, 1.0)]));
    bench.now += 5 * MINUTE;
    let shown = bench.send_metric(gauge("a_total", vec![point(bench.now, 2.0)]));
    assert_eq!(lines(&shown), ["a_total{job=shop} 2@300000"]);
}

#[test]
fn a_histogram_of_which_some_series_collide_is_translated_and_the_samples_are_counted() {
    let mut bench = Bench::new(&settings());
    let metrics = vec![
        gauge("h_sum", vec![point(NOW, 1.0)]),
        histogram("h", CUMULATIVE, vec![buckets(NOW, &[], &[1])]),
    ];
    let shown = bench.send(&request(service(), metrics));
    assert_eq!(
        lines(&shown),
        [
            "h_bucket{job=shop,le=+Inf} 1@0",
            "h_count{job=shop} 1@0",
            "h_sum{job=shop} 1@0"
        ]
    );
    assert_eq!((bench.done.points, bench.done.dropped.total()), (2, 0));
    assert_eq!(bench.done.samples_dropped.of(DropReason::TypeCollision), 1);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let bytes = || {
        let metrics = (0..50)
            .map(|number| gauge(&format!("m{number}"), vec![point(NOW, 1.0), point(NOW - 5, 2.0)]))
            .collect();
        let mut sorted = Bench::new(&settings()).send_raw(&request(service(), metrics));
        crate::write_request::sort(&mut sorted);
        let mut bytes = Vec::new();
        crate::write_request::encode(&sorted, &mut bytes);
        bytes
    };
    assert_eq!(bytes(), bytes());
}

#[test]
fn two_streams_that_write_one_series_are_counted_and_one_that_takes_over_is_once() {
    let of = |pid: &str| {
        let mut resource = service();
        resource.push(text("process.pid", pid));
        resource
    };
    let counter = |time_ms, value| vec![sum("c", CUMULATIVE, true, vec![point(time_ms, value)])];
    let mut bench = Bench::new(&settings());
    for second in 0..10 {
        let time_ms = NOW + second * 1000;
        bench.send(&request(of("1"), counter(time_ms, 100.0)));
        bench.send(&request(of("2"), counter(time_ms + 500, 50.0)));
    }
    assert_eq!((bench.done.points, bench.done.series_conflicts), (20, 19));

    let mut bench = Bench::new(&settings());
    for second in 0..10 {
        let pid = if second < 5 { "1" } else { "2" };
        bench.send(&request(of(pid), counter(NOW + second * 1000, 1.0)));
    }
    bench.now += 6 * MINUTE;
    let now = bench.now;
    bench.send(&request(of("3"), counter(now, 1.0)));
    assert_eq!(
        bench.done.series_conflicts, 1,
        "five minutes later it is anybody's"
    );
}

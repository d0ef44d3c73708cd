//! Deltas are added up.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1 as otlp;
use proptest::prelude::*;

use crate::DropReason;
use crate::testing::*;

/// The delta of a minute which ends at this one.
fn delta(minute: i64, value: f64) -> otlp::NumberDataPoint {
    point(NOW + minute * MINUTE, value)
}

fn counter(points: Vec<otlp::NumberDataPoint>) -> otlp::Metric {
    sum("a", DELTA, true, points)
}

#[test]
fn deltas_become_a_running_total_across_requests() {
    let mut bench = Bench::new(&settings());
    let shown = bench.send_metric(counter(vec![delta(0, 3.0), delta(1, 4.0)]));
    assert_eq!(
        lines(&shown),
        ["a_total{job=shop} 3@0", "a_total{job=shop} 7@60000"]
    );
    bench.now += MINUTE;
    let shown = bench.send_metric(counter(vec![delta(2, 0.5)]));
    assert_eq!(lines(&shown), ["a_total{job=shop} 7.5@120000"]);
    assert_eq!(
        (
            bench.done.delta_gaps,
            bench.done.delta_resets,
            bench.remote_write.delta_streams()
        ),
        (0, 0, 1)
    );
}

#[test]
fn deltas_that_may_be_negative_become_a_gauge() {
    let mut bench = Bench::new(&settings());
    let shown = bench.send_metric(sum("a", DELTA, false, vec![delta(0, 3.0), delta(1, -4.0)]));
    assert_eq!(lines(&shown), ["a{job=shop} 3@0", "a{job=shop} -1@60000"]);
}

#[test]
fn streams_are_told_apart_by_resource_scope_metric_type_unit_and_attributes() {
    let mut bench = Bench::new(&settings());
    let with = |attributes: Vec<KeyValue>| otlp::NumberDataPoint {
        attributes,
        ..delta(0, 1.0)
    };
    let mut by_unit = counter(vec![delta(0, 1.0)]);
    by_unit.unit = "By".to_owned();
    let metrics = vec![
        counter(vec![with(vec![text("k", "1")]), with(vec![text("k", "2")])]),
        sum("b", DELTA, true, vec![delta(0, 1.0)]),
        sum("a", DELTA, false, vec![delta(0, 1.0)]),
        by_unit,
    ];
    bench.send(&request(service(), metrics));
    assert_eq!(bench.remote_write.delta_streams(), 5);
    bench.send(&request(
        vec![text("service.name", "other")],
        vec![counter(vec![delta(0, 1.0)])],
    ));
    assert_eq!(bench.remote_write.delta_streams(), 6);
    let mut other_scope = request(service(), vec![counter(vec![delta(1, 1.0)])]);
    other_scope.resource_metrics[0].scope_metrics[0]
        .scope
        .as_mut()
        .unwrap()
        .name = "other".to_owned();
    bench.send(&other_scope);
    assert_eq!(bench.remote_write.delta_streams(), 7);
}

#[test]
fn an_old_delta_is_dropped_and_does_not_count_twice() {
    let mut bench = Bench::new(&settings());
    bench.send_metric(counter(vec![delta(1, 3.0)]));
    let shown = bench.send_metric(counter(vec![delta(1, 3.0), delta(0, 1.0)]));
    assert!(shown.is_empty());
    assert_eq!(bench.done.dropped.of(DropReason::DeltaOutOfOrder), 2);
    let shown = bench.send_metric(counter(vec![delta(2, 1.0)]));
    assert_eq!(lines(&shown), ["a_total{job=shop} 4@120000"]);
}

#[test]
fn a_gap_is_counted_and_what_follows_is_added() {
    let mut bench = Bench::new(&settings());
    let shown = bench.send_metric(counter(vec![delta(0, 3.0), delta(3, 1.0)]));
    assert_eq!(lines(&shown)[1], "a_total{job=shop} 4@180000");
    assert_eq!(bench.done.delta_gaps, 1);
    // Clocks that jitter and a start that is not said leave none.
    let mut jitter = delta(4, 1.0);
    jitter.start_time_unix_nano += nanos(900);
    let mut unsaid = delta(6, 1.0);
    unsaid.start_time_unix_nano = 0;
    bench.send_metric(counter(vec![jitter, unsaid]));
    assert_eq!(bench.done.delta_gaps, 1);
}

#[test]
fn histograms_are_added_bucket_by_bucket() {
    let mut bench = Bench::new(&settings());
    let at = |minute, counts: &[u64]| buckets(NOW + minute * MINUTE, &[1.0, 2.0], counts);
    let shown = bench.send_metric(histogram("h", DELTA, vec![at(0, &[1, 0, 2]), at(1, &[0, 5, 1])]));
    let second: Vec<_> = lines(&shown)
        .into_iter()
        .filter(|line| line.ends_with("@60000"))
        .collect();
    assert_eq!(
        second,
        [
            "h_bucket{job=shop,le=+Inf} 9@60000",
            "h_bucket{job=shop,le=1} 1@60000",
            "h_bucket{job=shop,le=2} 6@60000",
            "h_count{job=shop} 9@60000",
            "h_sum{job=shop} 90@60000",
        ]
    );
}

#[test]
fn other_bounds_begin_anew() {
    let mut bench = Bench::new(&settings());
    bench.send_metric(histogram("h", DELTA, vec![buckets(NOW, &[1.0], &[1, 1])]));
    let shown = bench.send_metric(histogram(
        "h",
        DELTA,
        vec![buckets(NOW + MINUTE, &[2.0], &[3, 0])],
    ));
    assert!(
        lines(&shown).contains(&"h_count{job=shop} 3@60000".to_owned()),
        "{shown:?}"
    );
    assert_eq!(
        (bench.done.delta_resets, bench.remote_write.delta_streams()),
        (1, 1)
    );
}

#[test]
fn a_sum_that_is_missing_once_is_missing_for_good() {
    let mut bench = Bench::new(&settings());
    let mut without = buckets(NOW + MINUTE, &[], &[2]);
    without.sum = None;
    let points = vec![
        buckets(NOW, &[], &[1]),
        without,
        buckets(NOW + 2 * MINUTE, &[], &[1]),
    ];
    let shown = bench.send_metric(histogram("h", DELTA, points));
    assert_eq!(shown["h_sum{job=shop}"].len(), 1);
    assert_eq!(shown["h_count{job=shop}"].len(), 3);
}

#[test]
fn exponential_histograms_are_added_at_the_lower_scale() {
    let mut bench = Bench::new(&settings());
    let points = vec![
        exponents(NOW, 1, 0, &[1, 2]),
        exponents(NOW + MINUTE, 0, -1, &[4, 8]),
        exponents(NOW + 2 * MINUTE, 3, 8, &[16]),
    ];
    let shown = bench.send_metric(exponential("h", DELTA, points));
    assert_eq!(
        lines(&shown),
        [
            "h{job=shop} schema 1 count 3 sum 30 zeros 0 {1:1 2:2}@0",
            "h{job=shop} schema 0 count 15 sum 150 zeros 0 {0:4 1:11}@60000",
            "h{job=shop} schema 0 count 31 sum 310 zeros 0 {0:4 1:11 2:16}@120000",
        ]
    );
}

#[test]
fn deltas_that_add_up_beyond_what_prometheus_counts_cost_themselves_alone() {
    let mut bench = Bench::new(&settings());
    let points = (0..3).map(|minute| exponents(NOW + minute * MINUTE, 0, 0, &[1, 1 << 62]));
    let shown = bench.send_metric(exponential("h", DELTA, points.collect()));
    assert_eq!(shown["h{job=shop}"].len(), 1);
    assert_eq!(bench.done.dropped.of(DropReason::Buckets), 2);
}

#[test]
fn below_the_wider_zero_of_two_deltas_there_are_no_buckets() {
    let delta = |time: i64, zero_threshold, offset, counts: &[u64]| otlp::ExponentialHistogramDataPoint {
        zero_threshold,
        ..exponents(time, 0, offset, counts)
    };
    let points = vec![
        delta(NOW, 0.0, -2, &[1, 2, 4, 8]),
        // The bucket from 1 to 2 lies on it: it counts as zero, and zero goes up to 2.
        delta(NOW + MINUTE, 1.5, 2, &[16]),
        delta(NOW + 2 * MINUTE, 0.5, 0, &[32, 64]),
    ];
    let out = Bench::new(&settings()).send_raw(&request(service(), vec![exponential("h", DELTA, points)]));
    let shown = decoded(&out).into_iter().flat_map(|series| series.histograms);
    let shown: Vec<_> = shown
        .map(|it| format!("{} up to {:e}", native(&it), it.zero_threshold))
        .collect();
    assert_eq!(
        shown,
        [
            "schema 0 count 15 sum 150 zeros 0 {-1:1 0:2 1:4 2:8} up to 1e-128",
            "schema 0 count 31 sum 310 zeros 7 {2:8 3:16} up to 2e0",
            "schema 0 count 127 sum 1270 zeros 39 {2:72 3:16} up to 2e0",
        ]
    );
}

#[test]
fn deltas_with_bounds_and_without_counts_say_nothing_of_buckets() {
    let mut point = buckets(NOW, &[1.0, 2.0], &[]);
    point.count = 3;
    let shown = Bench::new(&settings()).send_metric(histogram("h", DELTA, vec![point]));
    assert_eq!(
        shown.keys().collect::<Vec<_>>(),
        [
            "h_bucket{job=shop,le=+Inf}",
            "h_count{job=shop}",
            "h_sum{job=shop}"
        ]
    );
}

#[test]
fn exponential_histograms_that_lie_apart_lose_resolution_and_not_counts() {
    let mut bench = Bench::new(&settings());
    let points = vec![
        exponents(NOW, 8, -1000, &[5]),
        exponents(NOW + MINUTE, 8, 1000, &[7]),
    ];
    let shown = bench.send_metric(exponential("h", DELTA, points));
    assert_eq!(
        lines(&shown)[1],
        "h{job=shop} schema 4 count 12 sum 120 zeros 0 {-62:5 63:7}@60000"
    );
    // Too far apart for any scale that Prometheus has: the new delta is dropped, the sum is as it was.
    let far = exponents(NOW + 2 * MINUTE, -4, 1000, &[1]);
    let shown = bench.send_metric(exponential(
        "h",
        DELTA,
        vec![far, exponents(NOW + 3 * MINUTE, 8, 1000, &[1])],
    ));
    assert_eq!(
        lines(&shown),
        ["h{job=shop} schema 4 count 13 sum 130 zeros 0 {-62:5 63:8}@180000"]
    );
    assert_eq!(bench.done.dropped.of(DropReason::Scale), 1);
}

#[test]
fn new_streams_beyond_the_limit_are_dropped_and_known_ones_go_on() {
    let mut settings = settings();
    settings.max_streams = 2;
    let mut bench = Bench::new(&settings);
    let of = |stream: i32, minute| otlp::NumberDataPoint {
        attributes: vec![text("k", &stream.to_string())],
        ..delta(minute, 1.0)
    };
    bench.send_metric(counter((0..4).map(|stream| of(stream, 0)).collect()));
    assert_eq!(bench.done.dropped.of(DropReason::StreamsFull), 2);
    let shown = bench.send_metric(counter((0..4).map(|stream| of(stream, 1)).collect()));
    assert_eq!(
        lines(&shown),
        ["a_total{job=shop,k=0} 2@60000", "a_total{job=shop,k=1} 2@60000"]
    );
}

#[test]
fn a_silent_stream_ends_with_a_stale_marker_behind_its_last_sample() {
    let mut bench = Bench::new(&settings());
    bench.send_metric(counter(vec![delta(0, 3.0)]));
    bench.now += 4 * MINUTE;
    assert!(bench.poll().is_empty());
    bench.now += MINUTE;
    assert_eq!(lines(&bench.poll()), ["a_total{job=shop} stale@1"]);
    assert_eq!(bench.remote_write.delta_streams(), 0);
    bench.now += MINUTE;
    assert!(bench.poll().is_empty(), "once");
}

#[test]
fn a_stale_delta_ends_the_series_and_keeps_the_sum() {
    let mut bench = Bench::new(&settings());
    let mut stale = delta(1, 0.0);
    stale.flags = 1;
    let shown = bench.send_metric(counter(vec![delta(0, 3.0), stale, delta(2, 1.0)]));
    assert_eq!(
        lines(&shown),
        [
            "a_total{job=shop} 3@0",
            "a_total{job=shop} stale@60000",
            "a_total{job=shop} 4@120000"
        ]
    );
}

proptest! {
    /// What is added up is what a naive sum of all that was observed is.
    #[test]
    fn no_count_is_lost_among_deltas_of_any_scale(
        deltas in prop::collection::vec(
            (-4..12_i32, -300..300_i32, prop::collection::vec(0..50_u64, 0..40)),
            1..12,
        ),
    ) {
        let mut bench = Bench::new(&settings());
        let mut counts = 0;
        let mut lowest = i32::MAX;
        for (minute, (scale, offset, added)) in deltas.iter().enumerate() {
            let time = NOW + i64::try_from(minute).unwrap() * MINUTE;
            bench.now = time;
            let metric = exponential("h", DELTA, vec![exponents(time, *scale, *offset, added)]);
            let out = bench.send_raw(&request(service(), vec![metric]));
            if out.is_empty() {
                continue;
            }
            counts += added.iter().sum::<u64>();
            lowest = lowest.min(*scale);
            let histogram = &decoded(&out)[0].histograms[0];
            let buckets = absolute(&histogram.positive_spans, &histogram.positive_deltas);
            prop_assert_eq!(histogram.count_int, Some(counts));
            prop_assert_eq!(buckets.iter().map(|(_, count)| u64::try_from(*count).unwrap()).sum::<u64>(), counts);
            prop_assert!(histogram.schema <= lowest.min(8));
        }
    }
}

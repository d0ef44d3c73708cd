//! Points that cannot be sent, each counted under its reason.

use opentelemetry_proto::tonic::metrics::v1 as otlp;

use crate::DropReason;
use crate::testing::*;

fn dropped(metric: otlp::Metric, reason: DropReason) {
    let mut bench = Bench::new(&settings());
    let shown = bench.send_metric(metric);
    assert!(shown.is_empty(), "{shown:?}");
    assert_eq!(
        bench.done.dropped.of(reason),
        1,
        "{reason:?}: {:?}",
        bench.done.dropped
    );
}

#[test]
fn times_that_no_receiver_takes_are_dropped() {
    let mut without_time = point(NOW, 1.0);
    without_time.time_unix_nano = 0;
    dropped(gauge("a", vec![without_time]), DropReason::NoTimestamp);
    dropped(
        gauge("a", vec![point(NOW + 10 * MINUTE + 1, 1.0)]),
        DropReason::Future,
    );
    dropped(
        gauge("a", vec![point(NOW - 60 * MINUTE - 1, 1.0)]),
        DropReason::TooOld,
    );
    let mut bench = Bench::new(&settings());
    let edges = vec![point(NOW - 60 * MINUTE, 1.0), point(NOW + 10 * MINUTE, 1.0)];
    assert_eq!(lines(&bench.send_metric(gauge("a", edges))).len(), 2);
}

#[test]
fn a_metric_that_does_not_say_since_when_it_counts_is_dropped() {
    let reason = DropReason::UnspecifiedTemporality;
    dropped(sum("a", 0, true, vec![point(NOW, 1.0)]), reason);
    dropped(sum("a", 3, true, vec![point(NOW, 1.0)]), reason);
    dropped(histogram("a", 0, vec![buckets(NOW, &[], &[])]), reason);
    dropped(exponential("a", 0, vec![exponents(NOW, 0, 0, &[1])]), reason);
}

#[test]
fn a_metric_without_a_name_that_prometheus_can_have_is_dropped() {
    for name in ["", "___", "\u{65e5}\u{672c}"] {
        dropped(gauge(name, vec![point(NOW, 1.0)]), DropReason::Name);
    }
}

#[test]
fn a_point_without_a_number_is_dropped() {
    let mut point = point(NOW, 1.0);
    point.value = None;
    dropped(gauge("a", vec![point]), DropReason::NoValue);
}

#[test]
fn a_bad_point_costs_itself_alone() {
    let mut bench = Bench::new(&settings());
    let shown = bench.send_metric(gauge("a", vec![point(0, 1.0), point(NOW, 2.0)]));
    assert_eq!(lines(&shown), ["a{job=shop} 2@0"]);
    assert_eq!((bench.done.points, bench.done.dropped.total()), (1, 1));
}

#[test]
fn every_reason_has_a_name_of_its_own() {
    let mut names: Vec<_> = DropReason::ALL.iter().map(|reason| reason.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), DropReason::ALL.len());
    for (place, reason) in DropReason::ALL.iter().enumerate() {
        assert_eq!(*reason as usize, place);
    }
}

#[test]
fn a_series_with_labels_beyond_the_limit_is_dropped_and_its_neighbour_is_not() {
    let of = |length: usize| otlp::NumberDataPoint {
        attributes: vec![text("a", &"x".repeat(length))],
        ..point(NOW, 1.0)
    };
    let mut bench = Bench::new(&settings());
    let limit = crate::limits::LABELS_BYTES_MAX;
    let shown = bench.send_metric(gauge("g", vec![of(limit), of(limit - 100)]));
    assert_eq!(shown.len(), 1);
    assert_eq!(bench.done.dropped.of(DropReason::LabelsTooLarge), 1);
}

#[test]
fn a_point_whose_series_repeat_large_labels_without_end_is_dropped() {
    let of = |bounds: usize| {
        let counts = vec![1; bounds + 1];
        let bounds: Vec<f64> = (0..bounds).map(|bound| bound as f64).collect();
        otlp::HistogramDataPoint {
            attributes: vec![text("a", &"x".repeat(60 * 1024))],
            ..buckets(NOW, &bounds, &counts)
        }
    };
    let quantiles = otlp::SummaryDataPoint {
        attributes: vec![text("a", &"x".repeat(60 * 1024))],
        quantile_values: vec![otlp::summary_data_point::ValueAtQuantile::default(); 5000],
        time_unix_nano: nanos(NOW),
        ..Default::default()
    };
    let mut bench = Bench::new(&settings());
    let shown = bench.send_metric(histogram("h", CUMULATIVE, vec![of(4000), of(10)]));
    assert_eq!(shown.len(), 13);
    bench.send_metric(summary("s", vec![quantiles]));
    assert_eq!(bench.done.dropped.of(DropReason::LabelsTooLarge), 2);
}

//! Gauges and sums.

use opentelemetry_proto::tonic::metrics::v1 as otlp;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;

use crate::testing::*;

fn one(metric: otlp::Metric) -> Vec<String> {
    lines(&Bench::new(&settings()).send_metric(metric))
}

#[test]
fn a_gauge_is_one_sample() {
    assert_eq!(one(gauge("a.b", vec![point(NOW, 1.5)])), ["a_b{job=shop} 1.5@0"]);
}

#[test]
fn a_cumulative_monotonic_sum_is_a_counter_and_others_are_gauges() {
    let counter = sum("a", CUMULATIVE, true, vec![point(NOW, 3.0)]);
    assert_eq!(one(counter), ["a_total{job=shop} 3@0"]);
    let up_down = sum("a", CUMULATIVE, false, vec![point(NOW, -3.0)]);
    assert_eq!(one(up_down), ["a{job=shop} -3@0"]);
}

#[test]
fn names_carry_units() {
    let gauge = Data::Gauge(otlp::Gauge {
        data_points: vec![point(NOW, 1.0)],
    });
    assert_eq!(
        one(metric("disk.free", "By", gauge.clone())),
        ["disk_free_bytes{job=shop} 1@0"]
    );
    assert_eq!(one(metric("cpu", "1", gauge)), ["cpu_ratio{job=shop} 1@0"]);
}

#[test]
fn whole_numbers_become_fractions_and_nanoseconds_are_cut() {
    let point = otlp::NumberDataPoint {
        value: Some(Value::AsInt(i64::MAX)),
        time_unix_nano: nanos(NOW) + 999_999,
        ..point(NOW, 0.0)
    };
    assert_eq!(
        one(gauge("a", vec![point])),
        ["a{job=shop} 9223372036854776000@0"]
    );
}

#[test]
fn values_that_are_no_number_or_infinite_are_kept_and_are_never_a_stale_marker() {
    let stale_by_accident = f64::from_bits(crate::STALE_NAN_BITS);
    let values = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        stale_by_accident,
        -0.0,
    ];
    let shown: Vec<_> = values
        .iter()
        .map(|value| one(gauge("a", vec![point(NOW, *value)])).remove(0))
        .collect();
    assert_eq!(
        shown,
        [
            "a{job=shop} NaN@0",
            "a{job=shop} inf@0",
            "a{job=shop} -inf@0",
            "a{job=shop} NaN@0",
            "a{job=shop} -0@0"
        ]
    );
}

#[test]
fn a_summary_is_a_sum_a_count_and_each_quantile() {
    let quantile = |quantile, value| otlp::summary_data_point::ValueAtQuantile { quantile, value };
    let point = otlp::SummaryDataPoint {
        time_unix_nano: nanos(NOW),
        count: 7,
        sum: 3.5,
        quantile_values: vec![
            quantile(0.0, 0.1),
            quantile(0.5, 0.4),
            quantile(0.999, 2.0),
            quantile(1.0, 3.0),
        ],
        ..otlp::SummaryDataPoint::default()
    };
    assert_eq!(
        one(summary("a", vec![point])),
        [
            "a_count{job=shop} 7@0",
            "a_sum{job=shop} 3.5@0",
            "a{job=shop,quantile=0.5} 0.4@0",
            "a{job=shop,quantile=0.999} 2@0",
            "a{job=shop,quantile=0} 0.1@0",
            "a{job=shop,quantile=1} 3@0",
        ]
    );
}

#[test]
fn a_namespace_stands_in_front_and_suffixes_can_be_left_out() {
    let mut settings = settings();
    settings.translation.namespace = Some("app".to_owned());
    settings.translation.strategy = tracepipe_config::TranslationStrategy::UnderscoreEscapingWithoutSuffixes;
    let counter = sum("requests.made", CUMULATIVE, true, vec![point(NOW, 3.0)]);
    let shown = Bench::new(&settings).send_metric(counter);
    assert_eq!(lines(&shown), ["app_requests_made{job=shop} 3@0"]);
}

#[test]
fn a_metric_without_points_or_of_no_known_kind_is_nothing() {
    let mut bench = Bench::new(&settings());
    let unknown = otlp::Metric {
        data: None,
        ..gauge("b", Vec::new())
    };
    let shown = bench.send(&request(service(), vec![gauge("a", Vec::new()), unknown]));
    assert_eq!(
        (lines(&shown), bench.done.points, bench.done.dropped.total()),
        (vec![], 0, 0)
    );
}

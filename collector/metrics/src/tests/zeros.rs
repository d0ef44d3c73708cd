//! Zeros at the start of new series, so that `rate` sees their first observations.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1 as otlp;

use crate::testing::*;

fn bench() -> Bench {
    let mut settings = settings();
    settings.inject_zero = true;
    Bench::new(&settings)
}

/// A counter of a process that began at `start`.
fn counter(name: &str, start: i64, time: i64) -> otlp::Metric {
    let point = otlp::NumberDataPoint {
        start_time_unix_nano: nanos(start),
        ..point(time, 5.0)
    };
    sum(name, CUMULATIVE, true, vec![point])
}

/// Of one process.
fn process() -> Vec<KeyValue> {
    vec![text("service.name", "shop"), text("service.instance.id", "1")]
}

/// Sends these counters at our time, and moves the clock on by a minute.
fn collect(bench: &mut Bench, start: i64, names: &[&str]) -> Vec<String> {
    collect_of(bench, process(), start, names)
}

fn collect_of(bench: &mut Bench, resource: Vec<KeyValue>, start: i64, names: &[&str]) -> Vec<String> {
    let time = bench.now;
    let metrics = names.iter().map(|name| counter(name, start, time)).collect();
    let shown = bench.send(&request(resource, metrics));
    bench.now += MINUTE;
    lines(&shown)
}

#[test]
fn a_process_that_began_after_us_has_zeros_at_its_start() {
    let mut bench = bench();
    bench.poll();
    bench.send_metric(gauge("other", vec![point(NOW, 1.0)]));
    bench.now += MINUTE;
    let start = bench.now - 10_000;
    assert_eq!(
        collect(&mut bench, start, &["a"]),
        [
            "a_total{instance=1,job=shop} 0@50000",
            "a_total{instance=1,job=shop} 5@60000"
        ]
    );
    assert_eq!(
        collect(&mut bench, start, &["a"]),
        ["a_total{instance=1,job=shop} 5@120000"],
        "once"
    );
}

#[test]
fn a_zero_is_no_older_than_the_window() {
    let mut bench = bench();
    bench.send(&request(
        vec![text("service.name", "other")],
        vec![gauge("g", vec![point(NOW, 1.0)])],
    ));
    bench.now = NOW + 5 * MINUTE;
    let shown = collect(&mut bench, NOW + 1, &["a"]);
    assert_eq!(shown[0], "a_total{instance=1,job=shop} 0@240000");
}

#[test]
fn a_series_that_appears_in_a_process_known_for_long_was_zero_at_the_collection_before() {
    let mut bench = bench();
    let start = NOW - 60 * MINUTE;
    for _ in 0..3 {
        let shown = collect(&mut bench, start, &["a"]);
        assert_eq!(
            shown.len(),
            1,
            "what was there when we began has no zero: {shown:?}"
        );
    }
    bench.now -= 30_000;
    assert_eq!(
        collect(&mut bench, start, &["a", "b"]),
        [
            "a_total{instance=1,job=shop} 5@150000",
            "b_total{instance=1,job=shop} 0@120000",
            "b_total{instance=1,job=shop} 5@150000"
        ]
    );
}

#[test]
fn what_was_there_before_our_own_start_has_no_zero() {
    let mut bench = bench();
    let start = NOW - 60 * MINUTE;
    assert_eq!(collect(&mut bench, start, &["a"]).len(), 1);
    // The first collection may have come in part.
    assert_eq!(collect(&mut bench, start, &["a", "b"]).len(), 2);
}

#[test]
fn what_another_reader_or_process_collected_says_nothing_of_what_was_there() {
    let start = NOW - 60 * MINUTE;
    // A process with a reader for each of two scopes, of which the second is slow.
    let mut bench = bench();
    for _ in 0..3 {
        collect(&mut bench, start, &["a"]);
    }
    let mut slow = request(process(), vec![counter("b", start, bench.now)]);
    if let Some(scope) = &mut slow.resource_metrics[0].scope_metrics[0].scope {
        scope.name = "slow".to_owned();
    }
    let shown = bench.send(&slow);
    assert_eq!(shown.values().map(Vec::len).collect::<Vec<_>>(), [1], "{shown:?}");
    // Two processes that call themselves the same.
    let mut bench = self::bench();
    for _ in 0..3 {
        collect_of(&mut bench, service(), start, &["a"]);
    }
    let shown = collect_of(&mut bench, service(), start, &["a", "b"]);
    assert_eq!(shown.len(), 2, "{shown:?}");
}

#[test]
fn a_collection_in_several_requests_is_one() {
    let mut bench = bench();
    let start = NOW - 60 * MINUTE;
    for _ in 0..3 {
        collect(&mut bench, start, &["a"]);
        bench.now -= MINUTE - 10;
        let second = collect(&mut bench, start, &["b"]);
        assert_eq!(second.len(), 1, "{second:?}");
        bench.now -= 10;
    }
}

#[test]
fn histograms_begin_empty_and_gauges_and_quantiles_do_not() {
    let mut bench = bench();
    bench.send_metric(gauge("other", vec![point(NOW, 1.0)]));
    bench.now += MINUTE;
    let time = bench.now;
    let start_time_unix_nano = nanos(time - 10_000);
    let summary_point = otlp::SummaryDataPoint {
        time_unix_nano: nanos(time),
        start_time_unix_nano,
        quantile_values: vec![otlp::summary_data_point::ValueAtQuantile {
            quantile: 0.5,
            value: 1.0,
        }],
        ..otlp::SummaryDataPoint::default()
    };
    let metrics = vec![
        gauge(
            "g",
            vec![otlp::NumberDataPoint {
                start_time_unix_nano,
                ..point(time, 1.0)
            }],
        ),
        histogram(
            "h",
            CUMULATIVE,
            vec![otlp::HistogramDataPoint {
                start_time_unix_nano,
                ..buckets(time, &[], &[1])
            }],
        ),
        exponential(
            "e",
            CUMULATIVE,
            vec![otlp::ExponentialHistogramDataPoint {
                start_time_unix_nano,
                ..exponents(time, 0, 0, &[1])
            }],
        ),
        summary("s", vec![summary_point]),
    ];
    let shown = bench.send(&request(service(), metrics));
    let zeros: Vec<_> = lines(&shown)
        .into_iter()
        .filter(|line| line.ends_with("@50000"))
        .collect();
    assert_eq!(
        zeros,
        [
            "e{job=shop} schema 0 count 0 sum 0 zeros 0 {}@50000",
            "h_bucket{job=shop,le=+Inf} 0@50000",
            "h_count{job=shop} 0@50000",
            "h_sum{job=shop} 0@50000",
            "s_count{job=shop} 0@50000",
            "s_sum{job=shop} 0@50000",
        ]
    );
}

#[test]
fn a_new_stream_of_deltas_begins_with_a_zero_at_its_first_start() {
    let mut bench = bench();
    bench.send_metric(gauge("other", vec![point(NOW, 1.0)]));
    bench.now += 2 * MINUTE;
    let time = bench.now;
    let deltas = vec![point(time, 2.0), point(time + MINUTE, 3.0)];
    let shown = bench.send_metric(sum("d", DELTA, true, deltas));
    assert_eq!(
        lines(&shown),
        [
            "d_total{job=shop} 0@60000",
            "d_total{job=shop} 2@120000",
            "d_total{job=shop} 5@180000"
        ]
    );
}

#[test]
fn series_that_were_forgotten_for_want_of_room_get_no_zero() {
    let mut settings = settings();
    settings.inject_zero = true;
    settings.max_streams = 4;
    let mut bench = Bench::new(&settings);
    let start = NOW - 60 * MINUTE;
    let names: Vec<String> = (0..20).map(|number| format!("m{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for _ in 0..5 {
        assert_eq!(collect(&mut bench, start, &names).len(), names.len());
    }
}

#[test]
fn without_the_switch_there_are_none() {
    let mut bench = Bench::new(&settings());
    bench.send_metric(gauge("other", vec![point(NOW, 1.0)]));
    bench.now += MINUTE;
    let start = bench.now - 10_000;
    assert_eq!(
        collect(&mut bench, start, &["a"]),
        ["a_total{instance=1,job=shop} 5@60000"]
    );
}

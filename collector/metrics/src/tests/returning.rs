//! Streams of deltas that fall silent and come back, and totals that begin anew: what `increase` makes of them.

use opentelemetry_proto::tonic::metrics::v1 as otlp;

use crate::DropReason;
use crate::testing::*;

fn delta(minute: i64, value: f64) -> otlp::NumberDataPoint {
    point(NOW + minute * MINUTE, value)
}

fn counter(points: Vec<otlp::NumberDataPoint>) -> otlp::Metric {
    sum("a", DELTA, true, points)
}

fn with_zeros() -> Bench {
    let mut settings = settings();
    settings.inject_zero = true;
    Bench::new(&settings)
}

/// The stream falls silent until this minute.
fn silent_until(bench: &mut Bench, minute: i64, all: &mut Shown) {
    while bench.now < NOW + minute * MINUTE {
        bench.now += MINUTE;
        add(all, bench.poll());
    }
}

fn add(all: &mut Shown, more: Shown) {
    for (series, samples) in more {
        all.entry(series).or_default().extend(samples);
    }
}

/// What Prometheus makes of a counter's samples, but for what it extrapolates beyond the first and the last: markers are
/// passed over, and where the value falls the counter has begun anew.
fn increase(samples: &[(i64, String)]) -> f64 {
    assert!(samples.is_sorted_by(|a, b| a.0 < b.0), "{samples:?}");
    let values = samples.iter().filter(|(_, value)| value != "stale");
    let values: Vec<f64> = values.map(|(_, value)| value.parse().unwrap()).collect();
    let steps = values.windows(2);
    steps
        .map(|pair| {
            if pair[1] < pair[0] {
                pair[1]
            } else {
                pair[1] - pair[0]
            }
        })
        .sum()
}

#[test]
fn a_counter_that_was_silent_goes_on_and_no_increase_is_lost() {
    let mut bench = Bench::new(&settings());
    let mut all = bench.send_metric(counter(vec![delta(0, 100.0)]));
    silent_until(&mut bench, 6, &mut all);
    assert_eq!(bench.remote_write.delta_streams(), 0);
    add(&mut all, bench.send_metric(counter(vec![delta(6, 150.0)])));
    let samples = &all["a_total{job=shop}"];
    assert_eq!(
        lines(&all),
        [
            "a_total{job=shop} 100@0",
            "a_total{job=shop} stale@1",
            "a_total{job=shop} 250@360000"
        ]
    );
    assert_eq!(increase(samples).to_bits(), 150_f64.to_bits());
    assert_eq!(bench.remote_write.delta_streams(), 1);
}

#[test]
fn what_happens_once_in_hours_is_seen_each_time() {
    let mut bench = Bench::new(&settings());
    let mut all = Shown::new();
    for hours in 0..10 {
        silent_until(&mut bench, hours * 150, &mut all);
        add(
            &mut all,
            bench.send_metric(counter(vec![delta(hours * 150, 1.0)])),
        );
    }
    silent_until(&mut bench, 10 * 150, &mut all);
    let samples = &all["a_total{job=shop}"];
    assert_eq!(increase(samples).to_bits(), 9_f64.to_bits(), "{samples:?}");
    assert_eq!(samples.len(), 20, "each time it ends once: {samples:?}");
}

#[test]
fn histograms_go_on_too() {
    let mut bench = Bench::new(&settings());
    let metrics = |minute: i64| {
        let time = NOW + minute * MINUTE;
        let metrics = vec![
            histogram("h", DELTA, vec![buckets(time, &[1.0], &[1, 2])]),
            exponential("e", DELTA, vec![exponents(time, 0, 0, &[4])]),
        ];
        request(service(), metrics)
    };
    bench.send(&metrics(0));
    silent_until(&mut bench, 60, &mut Shown::new());
    let shown = bench.send(&metrics(60));
    assert_eq!(
        lines(&shown),
        [
            "e{job=shop} schema 0 count 8 sum 80 zeros 0 {1:8}@3600000",
            "h_bucket{job=shop,le=+Inf} 6@3600000",
            "h_bucket{job=shop,le=1} 2@3600000",
            "h_count{job=shop} 6@3600000",
            "h_sum{job=shop} 60@3600000",
        ]
    );
    assert_eq!(bench.done.delta_resets, 0);
}

#[test]
fn a_histogram_that_comes_back_with_other_bounds_begins_anew() {
    let mut bench = Bench::new(&settings());
    let of = |minute: i64, bounds: &[f64]| {
        let counts = vec![1; bounds.len() + 1];
        histogram("h", DELTA, vec![buckets(NOW + minute * MINUTE, bounds, &counts)])
    };
    bench.send_metric(of(0, &[1.0, 2.0]));
    silent_until(&mut bench, 6, &mut Shown::new());
    let shown = bench.send_metric(of(6, &[3.0]));
    assert_eq!(shown["h_count{job=shop}"], [(NOW + 6 * MINUTE, "2".to_owned())]);
    assert_eq!(bench.done.delta_resets, 1);
}

#[test]
fn sums_of_what_has_ended_make_room_for_what_goes_on() {
    let mut settings = settings();
    settings.max_streams = 4;
    let mut bench = Bench::new(&settings);
    let of = |stream: i32, minute| otlp::NumberDataPoint {
        attributes: vec![text("k", &stream.to_string())],
        ..delta(minute, 1.0)
    };
    bench.send_metric(counter(vec![of(0, 0), of(1, 0)]));
    bench.now += MINUTE;
    bench.send_metric(counter(vec![of(2, 1)]));
    silent_until(&mut bench, 10, &mut Shown::new());
    assert_eq!(bench.remote_write.delta_streams(), 0);
    // Three that have ended, and four that are new.
    let shown = bench.send_metric(counter((3..7).map(|stream| of(stream, 10)).collect()));
    assert_eq!((shown.len(), bench.remote_write.delta_streams()), (4, 4));
    let shown = bench.send_metric(counter((3..8).map(|stream| of(stream, 11)).collect()));
    assert!(
        shown.values().all(|samples| samples[0].1 == "2"),
        "what goes on keeps its place: {shown:?}"
    );
    assert_eq!(bench.done.dropped.of(DropReason::StreamsFull), 1);
}

#[test]
fn a_sum_is_kept_for_a_day_and_a_new_one_begins_with_a_zero_if_that_is_wanted() {
    const DAY: i64 = 24 * 60;
    for (mut bench, expected) in [(with_zeros(), 1.0_f64), (Bench::new(&settings()), 0.0)] {
        bench.send_metric(gauge("other", vec![point(NOW - 1, 1.0)]));
        let mut all = bench.send_metric(counter(vec![delta(0, 1.0)]));
        silent_until(&mut bench, DAY, &mut all);
        add(&mut all, bench.send_metric(counter(vec![delta(DAY, 1.0)])));
        let samples = &all["a_total{job=shop}"];
        assert_eq!(increase(samples).to_bits(), 1_f64.to_bits(), "{samples:?}");

        silent_until(&mut bench, 2 * DAY + 10, &mut all);
        let mut again = bench.send_metric(counter(vec![delta(2 * DAY + 10, 2.0)]));
        again
            .get_mut("a_total{job=shop}")
            .unwrap()
            .insert(0, (0, "2".to_owned()));
        let samples = &again["a_total{job=shop}"];
        assert_eq!(
            increase(samples).to_bits(),
            (2.0 * expected).to_bits(),
            "{samples:?}"
        );
    }
}

#[test]
fn a_sum_that_begins_anew_with_other_bounds_has_a_zero() {
    let mut bench = with_zeros();
    let of = |minute: i64, bounds: &[f64], count| {
        let time = NOW + minute * MINUTE;
        histogram("h", DELTA, vec![buckets(time, bounds, &[count, 0])])
    };
    let mut all = bench.send_metric(of(0, &[1.0], 5));
    bench.now += MINUTE;
    add(&mut all, bench.send_metric(of(1, &[2.0], 7)));
    for series in ["h_count{job=shop}", "h_bucket{job=shop,le=+Inf}"] {
        assert_eq!(
            all[series],
            [
                (NOW, "5".to_owned()),
                (NOW + 1, "0".to_owned()),
                (NOW + MINUTE, "7".to_owned())
            ]
        );
    }
}

#[test]
fn a_total_that_a_new_process_begins_has_a_zero_at_its_start() {
    let mut bench = with_zeros();
    let total = |start: i64, time: i64, value: f64| {
        let point = otlp::NumberDataPoint {
            start_time_unix_nano: nanos(start),
            ..point(time, value)
        };
        sum("a", CUMULATIVE, true, vec![point])
    };
    let mut all = Shown::new();
    let process = NOW - 60 * MINUTE;
    let next = NOW + MINUTE + 30_000;
    for (start, minute, value) in [
        (process, 0, 5.0),
        (process, 1, 6.0),
        (next, 2, 9.0),
        (next, 3, 9.0),
    ] {
        bench.now = NOW + minute * MINUTE;
        add(&mut all, bench.send_metric(total(start, bench.now, value)));
    }
    assert_eq!(
        lines(&all),
        [
            "a_total{job=shop} 5@0",
            "a_total{job=shop} 6@60000",
            "a_total{job=shop} 0@90000",
            "a_total{job=shop} 9@120000",
            "a_total{job=shop} 9@180000"
        ]
    );
    assert_eq!(increase(&all["a_total{job=shop}"]).to_bits(), 10_f64.to_bits());
    // A sample that comes late says nothing of what is behind it.
    bench.now += MINUTE;
    let late = bench.send_metric(total(next, NOW + 3 * MINUTE - 1, 8.0));
    assert_eq!(late["a_total{job=shop}"].len(), 1);
}

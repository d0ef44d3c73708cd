//! Stale markers: those of senders, and ours at the end.

use opentelemetry_proto::tonic::metrics::v1 as otlp;

use crate::testing::*;

#[test]
fn a_point_that_says_so_ends_all_series_of_its_stream() {
    let mut bench = Bench::new(&settings());
    let quantile_values = vec![otlp::summary_data_point::ValueAtQuantile {
        quantile: 0.5,
        value: 1.0,
    }];
    let summary_point = otlp::SummaryDataPoint {
        time_unix_nano: nanos(NOW),
        quantile_values,
        ..otlp::SummaryDataPoint::default()
    };
    let mut send = |stale: u32, time_ms| {
        let metrics = vec![
            gauge(
                "g",
                vec![otlp::NumberDataPoint {
                    flags: stale,
                    ..point(time_ms, 1.0)
                }],
            ),
            exponential(
                "e",
                CUMULATIVE,
                vec![otlp::ExponentialHistogramDataPoint {
                    flags: stale,
                    ..exponents(time_ms, 0, 0, &[1])
                }],
            ),
            summary(
                "s",
                vec![otlp::SummaryDataPoint {
                    flags: stale,
                    time_unix_nano: nanos(time_ms),
                    ..summary_point.clone()
                }],
            ),
        ];
        bench.send(&request(service(), metrics))
    };
    let before = send(0, NOW);
    let after = send(1, NOW + 1);
    assert_eq!(
        before.keys().collect::<Vec<_>>(),
        after.keys().collect::<Vec<_>>()
    );
    assert!(
        after
            .values()
            .all(|samples| *samples == [(NOW + 1, "stale".to_owned())]),
        "{after:?}"
    );
}

#[test]
fn a_stale_histogram_without_bounds_ends_the_buckets_that_were_there() {
    let mut bench = Bench::new(&settings());
    bench.send_metric(histogram("h", CUMULATIVE, vec![buckets(NOW, &[1.0], &[1, 1])]));
    let mut stale = buckets(NOW + 1, &[], &[]);
    stale.flags = 1;
    stale.sum = None;
    let shown = bench.send_metric(histogram("h", CUMULATIVE, vec![stale]));
    assert_eq!(
        lines(&shown),
        [
            "h_bucket{job=shop,le=+Inf} stale@1",
            "h_bucket{job=shop,le=1} stale@1",
            "h_count{job=shop} stale@1",
            "h_sum{job=shop} stale@1",
        ]
    );
}

#[test]
fn of_a_stream_that_is_not_known_the_series_end_that_the_point_names() {
    let mut stale = buckets(NOW, &[1.0], &[1, 1]);
    stale.flags = 1;
    let shown = Bench::new(&settings()).send_metric(histogram("h", CUMULATIVE, vec![stale]));
    assert_eq!(
        lines(&shown),
        [
            "h_bucket{job=shop,le=+Inf} stale@0",
            "h_bucket{job=shop,le=1} stale@0",
            "h_count{job=shop} stale@0",
            "h_sum{job=shop} stale@0",
        ]
    );
    let quantile_values = vec![otlp::summary_data_point::ValueAtQuantile {
        quantile: 0.5,
        value: 1.0,
    }];
    let point = otlp::SummaryDataPoint {
        time_unix_nano: nanos(NOW),
        flags: 1,
        quantile_values,
        ..otlp::SummaryDataPoint::default()
    };
    let shown = Bench::new(&settings()).send_metric(summary("s", vec![point]));
    assert_eq!(
        lines(&shown),
        [
            "s_count{job=shop} stale@0",
            "s_sum{job=shop} stale@0",
            "s{job=shop,quantile=0.5} stale@0",
        ]
    );
}

#[test]
fn a_stale_native_histogram_is_empty() {
    let mut bench = Bench::new(&settings());
    let mut stale = exponents(NOW, 0, 0, &[1]);
    stale.flags = 1;
    let out = bench.send_raw(&request(
        service(),
        vec![exponential("e", CUMULATIVE, vec![stale])],
    ));
    let histogram = &decoded(&out)[0].histograms[0];
    assert_eq!(histogram.count_int, Some(0));
    assert!(histogram.positive_spans.is_empty());
    assert_eq!(native(histogram), "stale");
}

#[test]
fn the_end_marks_what_is_ours_and_leaves_the_senders_series() {
    let mut settings = settings();
    settings.target_info = true;
    let mut bench = Bench::new(&settings);
    let resource = vec![text("service.name", "shop"), text("host.name", "h")];
    let metrics = vec![
        gauge("g", vec![point(NOW, 1.0)]),
        sum("d", DELTA, true, vec![point(NOW, 1.0)]),
        histogram("h", DELTA, vec![buckets(NOW, &[], &[1])]),
        exponential("e", DELTA, vec![exponents(NOW, 0, 0, &[1])]),
    ];
    bench.send(&request(resource, metrics));
    // The new pod of the node has written the same series since: what it wrote is not ended.
    bench.now += 6_000;
    assert_eq!(
        lines(&bench.drain()),
        [
            "d_total{job=shop} stale@1",
            "e{job=shop} stale@1",
            "h_bucket{job=shop,le=+Inf} stale@1",
            "h_count{job=shop} stale@1",
            "h_sum{job=shop} stale@1",
            "target_info{host_name=h,job=shop} stale@1",
        ]
    );
    assert!(bench.drain().is_empty(), "once");
}

#[test]
fn a_marker_is_never_older_than_the_last_sample() {
    let mut bench = Bench::new(&settings());
    bench.send_metric(sum("d", DELTA, true, vec![point(NOW + 3 * MINUTE, 1.0)]));
    assert_eq!(lines(&bench.drain()), ["d_total{job=shop} stale@180001"]);
}

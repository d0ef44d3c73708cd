//! Each kind of metric in both formats, character by character.

use opentelemetry_proto::tonic::metrics::v1 as otlp;
use opentelemetry_proto::tonic::metrics::v1::exemplar;

use super::build::*;
use crate::scrape::Format::{OpenMetrics, Text};
use crate::scrape::parser;
use crate::scrape::*;

/// Both pages, each parsed as well.
fn pages(registry: &Registry) -> (String, String) {
    let pages = (text(registry, Text, NOW), text(registry, OpenMetrics, NOW));
    parser::check(&pages.0, Text);
    parser::check(&pages.1, OpenMetrics);
    pages
}

fn exemplar(time: i64, value: f64, trace: u8) -> otlp::Exemplar {
    otlp::Exemplar {
        time_unix_nano: at(time) + 123_456_789,
        trace_id: vec![trace; 16],
        span_id: vec![trace; 8],
        value: Some(exemplar::Value::AsDouble(value)),
        ..otlp::Exemplar::default()
    }
}

#[test]
fn a_gauge() {
    let mut registry = registry();
    let metric = described(
        gauge(
            "room.temp",
            vec![number(0, 21.5, &[("room", "kitchen")]), number(0, -3.0, &[])],
        ),
        "Cel",
        "How warm it is.",
    );
    registry.apply(&request(&[], vec![metric]), NOW);
    let (plain, open) = pages(&registry);
    assert_eq!(
        plain,
        "# HELP room_temp_celsius How warm it is.\n\
         # TYPE room_temp_celsius gauge\n\
         room_temp_celsius -3\n\
         room_temp_celsius{room=\"kitchen\"} 21.5\n"
    );
    assert_eq!(
        open,
        "# HELP room_temp_celsius How warm it is.\n\
         # TYPE room_temp_celsius gauge\n\
         room_temp_celsius -3.0\n\
         room_temp_celsius{room=\"kitchen\"} 21.5\n\
         # EOF\n"
    );
}

#[test]
fn a_counter_with_an_exemplar() {
    let mut registry = registry();
    let point = otlp::NumberDataPoint {
        exemplars: vec![exemplar(-1, 1.0, 0xab), exemplar(-2, 1.0, 0xcd)],
        ..delta(-60, 0, 1_000_000, &[("status", "200")])
    };
    registry.apply(
        &request(&[], vec![counter("requests", CUMULATIVE, vec![point])]),
        NOW,
    );
    let (plain, open) = pages(&registry);
    assert_eq!(
        plain,
        "# TYPE requests_total counter\nrequests_total{status=\"200\"} 1e+06\n"
    );
    // The newer one. OpenMetrics calls the counter without `_total`. No `_created`, as upstream by default.
    assert_eq!(
        open,
        "# TYPE requests counter\n\
         requests_total{status=\"200\"} 1e+06 \
         # {trace_id=\"abababababababababababababababab\",span_id=\"abababababababab\"} 1.0 1699999999.123\n\
         # EOF\n"
    );
}

#[test]
fn a_sum_that_may_fall_is_a_gauge() {
    let mut registry = registry();
    registry.apply(
        &request(&[], vec![updown("queue", CUMULATIVE, vec![number(0, 7.0, &[])])]),
        NOW,
    );
    assert_eq!(pages(&registry).0, "# TYPE queue gauge\nqueue 7\n");
}

#[test]
fn a_histogram_with_exemplars() {
    let mut registry = registry();
    let point = otlp::HistogramDataPoint {
        attributes: attributes(&[("path", "/a")]),
        exemplars: vec![exemplar(-3, 0.25, 1), exemplar(-2, 0.3, 2), exemplar(-1, 50.0, 3)],
        ..histogram_point(0, &[0.5, 1.0, 1e6], &[2, 3, 0, 1], 60.25)
    };
    let metric = described(histogram("duration", CUMULATIVE, vec![point]), "s", "");
    registry.apply(&request(&[], vec![metric]), NOW);
    let (plain, open) = pages(&registry);
    assert_eq!(
        plain,
        "# TYPE duration_seconds histogram\n\
         duration_seconds_bucket{path=\"/a\",le=\"0.5\"} 2\n\
         duration_seconds_bucket{path=\"/a\",le=\"1\"} 5\n\
         duration_seconds_bucket{path=\"/a\",le=\"1e+06\"} 5\n\
         duration_seconds_bucket{path=\"/a\",le=\"+Inf\"} 6\n\
         duration_seconds_sum{path=\"/a\"} 60.25\n\
         duration_seconds_count{path=\"/a\"} 6\n"
    );
    let trace = |byte: &str| format!("trace_id=\"{}\",span_id=\"{}\"", byte.repeat(16), byte.repeat(8));
    assert_eq!(
        open,
        format!(
            "# TYPE duration_seconds histogram\n\
             duration_seconds_bucket{{path=\"/a\",le=\"0.5\"}} 2 # {{{}}} 0.3 1699999998.123\n\
             duration_seconds_bucket{{path=\"/a\",le=\"1.0\"}} 5\n\
             duration_seconds_bucket{{path=\"/a\",le=\"1e+06\"}} 5 # {{{}}} 50.0 1699999999.123\n\
             duration_seconds_bucket{{path=\"/a\",le=\"+Inf\"}} 6\n\
             duration_seconds_sum{{path=\"/a\"}} 60.25\n\
             duration_seconds_count{{path=\"/a\"}} 6\n\
             # EOF\n",
            trace("02"),
            trace("03"),
        )
    );
}

#[test]
fn a_histogram_without_buckets_or_sum() {
    let mut registry = registry();
    let point = otlp::HistogramDataPoint {
        count: 1_234_567,
        sum: None,
        ..histogram_point(0, &[], &[], 0.0)
    };
    registry.apply(&request(&[], vec![histogram("d", CUMULATIVE, vec![point])]), NOW);
    let (plain, open) = pages(&registry);
    assert_eq!(
        plain,
        "# TYPE d histogram\nd_bucket{le=\"+Inf\"} 1.234567e+06\nd_count 1.234567e+06\n"
    );
    assert_eq!(
        open,
        "# TYPE d histogram\nd_bucket{le=\"+Inf\"} 1234567\nd_count 1234567\n# EOF\n"
    );
}

#[test]
fn a_last_bound_that_is_infinite_is_written_once() {
    let mut registry = registry();
    let point = otlp::HistogramDataPoint {
        exemplars: vec![exemplar(0, 5.0, 1)],
        ..histogram_point(0, &[1.0, f64::INFINITY], &[1, 2, 0], 9.0)
    };
    registry.apply(&request(&[], vec![histogram("d", CUMULATIVE, vec![point])]), NOW);
    let (plain, open) = pages(&registry);
    assert_eq!(
        plain,
        "# TYPE d histogram\nd_bucket{le=\"1\"} 1\nd_bucket{le=\"+Inf\"} 3\nd_sum 9\nd_count 3\n"
    );
    assert!(open.contains("d_bucket{le=\"+Inf\"} 3 # {trace_id="), "{open}");
}

#[test]
fn an_exponential_histogram_has_one_bucket_in_text() {
    let mut registry = registry();
    let point = |scale| otlp::ExponentialHistogramDataPoint {
        attributes: attributes(&[("scale", "x")]),
        time_unix_nano: at(0),
        count: 3,
        sum: Some(4.5),
        scale,
        zero_count: 1,
        positive: Some(otlp::exponential_histogram_data_point::Buckets {
            offset: 2,
            bucket_counts: vec![1, 1],
        }),
        exemplars: vec![exemplar(0, 1.0, 1)],
        ..otlp::ExponentialHistogramDataPoint::default()
    };
    registry.apply(
        &request(&[], vec![exponential("d", CUMULATIVE, vec![point(20)])]),
        NOW,
    );
    let expected = "# TYPE d histogram\nd_bucket{scale=\"x\",le=\"+Inf\"} 3\nd_sum{scale=\"x\"} 4.5\nd_count{scale=\"x\"} 3\n";
    assert_eq!(pages(&registry).0, expected);
    // No native histogram has so low a scale. The text does not say it.
    let done = registry.apply(
        &request(&[], vec![exponential("d", CUMULATIVE, vec![point(-9)])]),
        NOW,
    );
    assert_eq!(counts(&done), (1, vec![]));
    assert_eq!(pages(&registry).0, expected);
}

#[test]
fn a_summary() {
    let mut registry = registry();
    let quantile = |quantile, value| otlp::summary_data_point::ValueAtQuantile { quantile, value };
    let point = otlp::SummaryDataPoint {
        time_unix_nano: at(0),
        count: 5,
        sum: 12.0,
        quantile_values: vec![
            quantile(0.99, 4.0),
            quantile(0.5, 1.0),
            quantile(0.5, 2.0),
            quantile(1.0, f64::NAN),
        ],
        ..otlp::SummaryDataPoint::default()
    };
    registry.apply(&request(&[], vec![summary("d", vec![point])]), NOW);
    let (plain, open) = pages(&registry);
    assert_eq!(
        plain,
        "# TYPE d summary\n\
         d{quantile=\"0.5\"} 2\n\
         d{quantile=\"0.99\"} 4\n\
         d{quantile=\"1\"} NaN\n\
         d_sum 12\n\
         d_count 5\n"
    );
    assert!(
        open.contains("d{quantile=\"1.0\"} NaN\nd_sum 12.0\nd_count 5\n# EOF\n"),
        "{open}"
    );
}

#[test]
fn values_that_are_no_numbers() {
    let mut registry = registry();
    let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0];
    let points = values
        .iter()
        .enumerate()
        .map(|(at, value)| number(0, *value, &[("n", &at.to_string())]))
        .collect();
    registry.apply(&request(&[], vec![gauge("g", points)]), NOW);
    let (plain, open) = pages(&registry);
    assert_eq!(
        plain,
        "# TYPE g gauge\ng{n=\"0\"} NaN\ng{n=\"1\"} +Inf\ng{n=\"2\"} -Inf\ng{n=\"3\"} 0\n"
    );
    assert!(open.contains("g{n=\"3\"} 0.0\n"), "{open}");
}

#[test]
fn what_would_end_a_text_is_escaped() {
    let mut registry = registry();
    let metric = described(
        gauge("g", vec![number(0, 1.0, &[("path", "C:\\a \"b\"\nc\td é")])]),
        "",
        "One \"line\" \\ and\nanother.",
    );
    registry.apply(&request(&[], vec![metric]), NOW);
    let (plain, open) = pages(&registry);
    let sample = "g{path=\"C:\\\\a \\\"b\\\"\\nc\td é\"}";
    assert_eq!(
        plain,
        format!("# HELP g One \"line\" \\\\ and\\nanother.\n# TYPE g gauge\n{sample} 1\n")
    );
    assert_eq!(
        open,
        format!("# HELP g One \\\"line\\\" \\\\ and\\nanother.\n# TYPE g gauge\n{sample} 1.0\n# EOF\n")
    );
}

#[test]
fn samples_carry_their_time_if_that_is_wanted() {
    let mut registry = Registry::new(&PrometheusSettings {
        send_timestamps: true,
        ..settings()
    });
    let timeless = otlp::NumberDataPoint {
        time_unix_nano: 0,
        ..number(0, 1.0, &[("time", "none")])
    };
    let timed = otlp::NumberDataPoint {
        time_unix_nano: at(-1) + 7_999_999,
        ..number(0, 1.0, &[])
    };
    let resource = [("service.name", "a"), ("service.instance.id", "1")];
    registry.apply(&request(&resource, vec![gauge("g", vec![timed, timeless])]), NOW);
    let (plain, open) = pages(&registry);
    assert!(
        plain.contains("g{instance=\"1\",job=\"a\"} 1 1699999999007\n"),
        "{plain}"
    );
    assert!(
        plain.contains("g{instance=\"1\",job=\"a\",time=\"none\"} 1\n"),
        "{plain}"
    );
    assert!(
        plain.contains("target_info{instance=\"1\",job=\"a\"} 1\n"),
        "{plain}"
    );
    assert!(
        open.contains("g{instance=\"1\",job=\"a\"} 1.0 1699999999.007\n"),
        "{open}"
    );
}

#[test]
fn a_counter_that_open_metrics_cannot_name_is_of_no_known_type_there() {
    let mut settings = settings();
    settings.translation.strategy = tracepipe_config::TranslationStrategy::UnderscoreEscapingWithoutSuffixes;
    let mut registry = Registry::new(&settings);
    let point = otlp::NumberDataPoint {
        exemplars: vec![exemplar(0, 1.0, 1)],
        ..delta(-60, 0, 1, &[])
    };
    registry.apply(
        &request(&[], vec![counter("requests", CUMULATIVE, vec![point])]),
        NOW,
    );
    let (plain, open) = pages(&registry);
    assert_eq!(plain, "# TYPE requests counter\nrequests 1\n");
    assert_eq!(open, "# TYPE requests unknown\nrequests 1.0\n# EOF\n");
}

#[test]
fn a_counter_whose_short_name_is_taken_is_of_no_known_type_in_open_metrics() {
    let short = || gauge("queue", vec![number(0, 2.0, &[])]);
    let long = || counter("queue", CUMULATIVE, vec![number(0, 1.0, &[])]);
    for metrics in [vec![short(), long()], vec![long(), short()]] {
        let mut registry = registry();
        registry.apply(&request(&[], metrics), NOW);
        let (plain, open) = pages(&registry);
        assert_eq!(
            plain,
            "# TYPE queue gauge\nqueue 2\n# TYPE queue_total counter\nqueue_total 1\n"
        );
        assert_eq!(
            open,
            "# TYPE queue gauge\nqueue 2.0\n# TYPE queue_total unknown\nqueue_total 1.0\n# EOF\n"
        );
    }
}

#[test]
fn an_empty_page() {
    assert_eq!(pages(&registry()), (String::new(), "# EOF\n".to_owned()));
}

#[test]
fn exemplars_are_not_held_where_nobody_can_ask_for_them() {
    let mut registry = Registry::new(&PrometheusSettings {
        enable_open_metrics: false,
        ..settings()
    });
    let point = otlp::NumberDataPoint {
        exemplars: vec![exemplar(0, 1.0, 1)],
        ..delta(-60, 0, 1, &[])
    };
    registry.apply(
        &request(&[], vec![counter("requests", CUMULATIVE, vec![point])]),
        NOW,
    );
    assert!(!text(&registry, OpenMetrics, NOW).contains("trace_id"));
}

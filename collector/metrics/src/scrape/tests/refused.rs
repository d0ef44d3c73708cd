//! What is dropped, and under which reason.

use opentelemetry_proto::tonic::metrics::v1 as otlp;
use tracepipe_config::TranslationStrategy;

use super::build::*;
use crate::scrape::parser;
use crate::scrape::*;

#[test]
fn a_point_from_the_future_does_not_hold_off_the_others() {
    let mut registry = registry();
    let (done, _) = applied(&mut registry, vec![gauge("g", vec![number(601, 1.0, &[])])], NOW);
    assert_eq!(counts(&done), (0, vec![("future", 1)]));
    let (done, page) = applied(&mut registry, vec![gauge("g", vec![number(600, 2.0, &[])])], NOW);
    assert_eq!((counts(&done), page.as_str()), ((1, vec![]), "g 2"));
}

#[test]
fn there_are_no_more_series_than_allowed() {
    let mut registry = Registry::new(&PrometheusSettings {
        max_series: 3,
        ..settings()
    });
    let points = |time, count: usize| {
        let point = |n: usize| number(time, 1.0, &[("n", &n.to_string())]);
        vec![gauge("g", (0..count).map(point).collect())]
    };
    let (done, _) = applied(&mut registry, points(0, 5), NOW);
    assert_eq!(counts(&done), (3, vec![("series_full", 2)]));
    // Those that are held go on, and there is room again when one has gone.
    let (done, _) = applied(&mut registry, points(1, 3), later(1));
    assert_eq!(counts(&done), (3, vec![]));
    applied(
        &mut registry,
        vec![gauge("g", vec![stale(number(2, 0.0, &[("n", "1")]))])],
        later(2),
    );
    let (done, page) = applied(&mut registry, points(3, 5), later(3));
    assert_eq!(counts(&done), (3, vec![("series_full", 2)]));
    assert_eq!(page, "g{n=\"0\"} 1\ng{n=\"1\"} 1\ng{n=\"2\"} 1");
}

#[test]
fn there_are_no_more_bytes_than_allowed() {
    let mut registry = registry().with_bytes_max(20_000);
    let long = "x".repeat(3000);
    let points = (0..10)
        .map(|n| number(0, 1.0, &[("n", &n.to_string()), ("long", &long)]))
        .collect();
    let (done, _) = applied(&mut registry, vec![gauge("g", points)], NOW);
    let (held, refused) = (registry.held(), done.dropped.total());
    assert!(
        done.points > 0 && refused > 0 && done.points + refused == 10,
        "{done:?}"
    );
    assert_eq!(held.series as u64, done.points);
    assert!(
        held.bytes <= 20_000 && held.bytes > 3000 * held.series,
        "{held:?}"
    );
    // A histogram that grows beyond the room goes.
    let mut registry = self::registry().with_bytes_max(20_000);
    applied(
        &mut registry,
        vec![histogram(
            "h",
            CUMULATIVE,
            vec![histogram_point(0, &[1.0], &[1, 1], 1.0)],
        )],
        NOW,
    );
    let bounds: Vec<f64> = (0..5000).map(f64::from).collect();
    let wide = histogram_point(1, &bounds, &vec![1; 5001], 1.0);
    let (done, page) = applied(
        &mut registry,
        vec![histogram("h", CUMULATIVE, vec![wide])],
        later(1),
    );
    assert_eq!(
        (counts(&done), page.as_str()),
        ((0, vec![("series_full", 1)]), "")
    );
    assert_eq!(registry.held().bytes, 0);
}

#[test]
fn the_first_type_of_a_name_stays_until_its_series_are_gone() {
    let mut settings = settings();
    settings.translation.strategy = TranslationStrategy::UnderscoreEscapingWithoutSuffixes;
    let mut registry = Registry::new(&settings);
    let count = |time| vec![counter("x", CUMULATIVE, vec![number(time, 1.0, &[("a", "1")])])];
    applied(&mut registry, vec![gauge("x", vec![number(0, 2.0, &[])])], NOW);
    let (done, page) = applied(&mut registry, count(0), NOW);
    assert_eq!(
        (counts(&done), page.as_str()),
        ((0, vec![("type_collision", 1)]), "x 2")
    );
    // Nobody had to call `expire` for it.
    let (done, page) = applied(&mut registry, count(301), later(301));
    assert_eq!((counts(&done), page.as_str()), ((1, vec![]), "x{a=\"1\"} 1"));
}

#[test]
fn no_family_has_the_samples_of_another() {
    let histogram_x = || histogram("x", CUMULATIVE, vec![histogram_point(0, &[], &[1], 1.0)]);
    let summary_x = || {
        let point = otlp::SummaryDataPoint {
            time_unix_nano: at(0),
            ..otlp::SummaryDataPoint::default()
        };
        summary("x", vec![point])
    };
    let gauge_of = |name: &str| gauge(name, vec![number(0, 1.0, &[])]);
    let pairs: [(otlp::Metric, &str, bool); 7] = [
        (histogram_x(), "x_sum", true),
        (histogram_x(), "x_count", true),
        (histogram_x(), "x_bucket", true),
        (histogram_x(), "x_total", false),
        (summary_x(), "x_sum", true),
        (summary_x(), "x_bucket", false),
        (gauge_of("x"), "x_sum", false),
    ];
    for (metric, other, collides) in pairs {
        for metrics in [
            vec![metric.clone(), gauge_of(other)],
            vec![gauge_of(other), metric.clone()],
        ] {
            let mut registry = registry();
            let (done, _) = applied(&mut registry, metrics, NOW);
            let expected = if collides {
                vec![("type_collision", 1)]
            } else {
                vec![]
            };
            assert_eq!(
                counts(&done),
                (2 - u64::from(collides), expected),
                "{} {other}",
                metric.name
            );
            parser::check(&text(&registry, Format::OpenMetrics, NOW), Format::OpenMetrics);
        }
    }
}

#[test]
fn bad_points_are_dropped_alone_and_each_under_its_reason() {
    let mut registry = registry();
    let bad = |bounds: &[f64], counts: &[u64], count| otlp::HistogramDataPoint {
        count,
        ..histogram_point(0, bounds, counts, 1.0)
    };
    let metrics = vec![
        gauge("..", vec![number(0, 1.0, &[])]),
        gauge("", vec![number(0, 1.0, &[]), number(0, 1.0, &[])]),
        gauge(
            "no_value",
            vec![
                otlp::NumberDataPoint {
                    value: None,
                    ..number(0, 1.0, &[])
                },
                number(0, 1.0, &[]),
            ],
        ),
        counter("c", 0, vec![number(0, 1.0, &[])]),
        histogram("d", 7, vec![histogram_point(0, &[], &[1], 1.0)]),
        histogram(
            "h",
            CUMULATIVE,
            vec![
                bad(&[1.0, 1.0], &[1, 1, 1], 3),
                bad(&[2.0, 1.0], &[1, 1, 1], 3),
                bad(&[f64::NAN], &[1, 1], 2),
                bad(&[1.0], &[1, 1, 1], 3),
                bad(&[1.0], &[1], 1),
                bad(&[1.0], &[2, 2], 3),
                otlp::HistogramDataPoint {
                    bucket_counts: vec![u64::MAX, 2],
                    ..bad(&[1.0], &[1, 1], 3)
                },
                bad(&[1.0], &[1, 2], 3),
            ],
        ),
        otlp::Metric::default(),
    ];
    let (done, page) = applied(&mut registry, metrics, NOW);
    assert_eq!(
        counts(&done),
        (
            2,
            vec![
                ("unspecified_temporality", 2),
                ("name", 3),
                ("no_value", 1),
                ("bounds", 3),
                ("buckets", 4)
            ]
        )
    );
    assert_eq!(
        page,
        "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 3\nh_sum 1\nh_count 3\nno_value 1"
    );
}

#[test]
fn labels_that_nobody_reads_are_dropped() {
    let mut registry = registry();
    let point = |length: usize| number(0, 1.0, &[("long", &"x".repeat(length))]);
    let metrics = vec![gauge(
        "g",
        vec![point(LABELS_BYTES_MAX), point(LABELS_BYTES_MAX - 100)],
    )];
    let (done, page) = applied(&mut registry, metrics, NOW);
    assert_eq!(counts(&done), (1, vec![("labels_too_large", 1)]));
    assert!(page.len() > LABELS_BYTES_MAX - 100);
}

#[test]
fn a_histogram_that_would_be_megabytes_of_labels_is_dropped() {
    let mut registry = registry();
    let point = |time, buckets: u32| {
        let bounds: Vec<f64> = (1..buckets).map(f64::from).collect();
        otlp::HistogramDataPoint {
            attributes: attributes(&[("long", &"x".repeat(20_000))]),
            ..histogram_point(time, &bounds, &vec![1; bounds.len() + 1], 1.0)
        }
    };
    let (done, _) = applied(
        &mut registry,
        vec![histogram("h", CUMULATIVE, vec![point(0, 80), point(1, 120)])],
        later(1),
    );
    assert_eq!(counts(&done), (1, vec![("labels_too_large", 1)]));
    let (done, _) = applied(
        &mut registry,
        vec![histogram("i", CUMULATIVE, vec![point(0, 120)])],
        later(1),
    );
    assert_eq!(counts(&done), (0, vec![("labels_too_large", 1)]));
}

/// Only so that it ends: with a walk over all series of the name for each point it would take minutes.
#[test]
fn points_of_another_type_cost_the_same_however_many_series_have_the_name() {
    let mut settings = settings();
    settings.translation.strategy = tracepipe_config::TranslationStrategy::UnderscoreEscapingWithoutSuffixes;
    settings.max_series = 40_000;
    let mut registry = Registry::new(&settings);
    let series = (0..40_000).map(|n| number(0, 1.0, &[("n", &n.to_string())]));
    registry.apply(&request(&[], vec![gauge("x", series.collect())]), NOW);
    let points = vec![number(0, 1.0, &[]); 100_000];
    // All but the last of them have expired.
    let last = number(600, 1.0, &[("n", "9999")]);
    let metrics = vec![gauge("x", vec![last]), counter("x", CUMULATIVE, points)];
    let done = registry.apply(&request(&[], metrics), later(600));
    assert_eq!(counts(&done), (1, vec![("type_collision", 100_000)]));
    assert_eq!(
        text(&registry, Format::Text, later(600)),
        "# TYPE x gauge\nx{n=\"9999\"} 1\n"
    );
}

/// As the one before.
#[test]
fn names_that_are_changed_cost_the_same_however_many_there_are() {
    let keys: Vec<String> = (0..20_000).map(|n| format!("__k{n:05}__")).collect();
    let pairs: Vec<_> = keys.iter().map(|key| (key.as_str(), "v")).collect();
    let long = number(0, 1.0, &pairs);
    let mut registry = registry();
    let (done, _) = applied(&mut registry, vec![gauge("g", vec![long; 20])], NOW);
    assert_eq!(counts(&done), (0, vec![("labels_too_large", 20)]));
}

//! What is held, and for how long.

use opentelemetry_proto::tonic::metrics::v1 as otlp;

use super::build::*;
use crate::scrape::parser;
use crate::scrape::*;

#[test]
fn the_last_value_is_shown_and_older_news_is_dropped() {
    let mut registry = registry();
    let (_, page) = applied(&mut registry, vec![gauge("g", vec![number(0, 1.0, &[])])], NOW);
    assert_eq!(page, "g 1");
    // Of the same time: a correction, as upstream.
    let (_, page) = applied(&mut registry, vec![gauge("g", vec![number(0, 2.0, &[])])], NOW);
    assert_eq!(page, "g 2");
    let (done, page) = applied(&mut registry, vec![gauge("g", vec![number(-1, 3.0, &[])])], NOW);
    assert_eq!(counts(&done), (0, vec![("out_of_order", 1)]));
    assert_eq!(page, "g 2");
}

#[test]
fn a_point_without_a_value_ends_its_own_series_only() {
    let mut registry = registry();
    let series = |a, b, c| vec![gauge("g", vec![a, b, c])];
    let label = |n: &'static str| [("n", n)];
    let points = series(
        number(0, 1.0, &label("a")),
        number(0, 2.0, &label("b")),
        number(0, 3.0, &label("c")),
    );
    applied(&mut registry, points, NOW);
    // Upstream reads no further than the first of them.
    let points = series(
        stale(number(10, 0.0, &label("a"))),
        number(10, 5.0, &label("b")),
        stale(number(10, 0.0, &label("none"))),
    );
    let (done, page) = applied(&mut registry, points, later(10));
    assert_eq!(counts(&done), (3, vec![]));
    assert_eq!(page, "g{n=\"b\"} 5\ng{n=\"c\"} 3");
    // Older news than the value.
    let points = vec![gauge("g", vec![stale(number(5, 0.0, &label("b")))])];
    let (done, page) = applied(&mut registry, points, later(10));
    assert_eq!(counts(&done), (0, vec![("out_of_order", 1)]));
    assert_eq!(page, "g{n=\"b\"} 5\ng{n=\"c\"} 3");
}

#[test]
fn every_kind_can_end() {
    let mut registry = registry();
    let metrics = |flags| {
        vec![
            counter(
                "c",
                CUMULATIVE,
                vec![otlp::NumberDataPoint {
                    flags,
                    ..number(0, 1.0, &[])
                }],
            ),
            histogram(
                "h",
                CUMULATIVE,
                vec![otlp::HistogramDataPoint {
                    flags,
                    ..histogram_point(0, &[], &[1], 1.0)
                }],
            ),
            exponential(
                "e",
                CUMULATIVE,
                vec![otlp::ExponentialHistogramDataPoint {
                    flags,
                    time_unix_nano: at(0),
                    ..otlp::ExponentialHistogramDataPoint::default()
                }],
            ),
            summary(
                "s",
                vec![otlp::SummaryDataPoint {
                    flags,
                    time_unix_nano: at(0),
                    ..otlp::SummaryDataPoint::default()
                }],
            ),
        ]
    };
    applied(&mut registry, metrics(0), NOW);
    assert_eq!((registry.held().series, registry.held().families), (4, 4));
    let (done, page) = applied(&mut registry, metrics(NO_RECORDED_VALUE), NOW);
    assert_eq!((counts(&done), page.as_str()), ((4, vec![]), ""));
    assert_eq!(registry.held(), Held::default());
}

#[test]
fn a_series_expires_though_nobody_looks() {
    let mut registry = registry();
    assert_eq!(registry.expire(NOW), None, "nothing to expire");
    applied(&mut registry, vec![gauge("old", vec![number(0, 1.0, &[])])], NOW);
    applied(
        &mut registry,
        vec![gauge("new", vec![number(60, 1.0, &[])])],
        later(200),
    );
    let mut now = NOW;
    let mut calls = 0;
    while let Some(next) = registry.expire(now) {
        assert!(next > now, "it would be asked for ever");
        let _same = registry.expire(now);
        now = next;
        calls += 1;
    }
    // Both are gone, and the last one not much later than it expired.
    assert!(later(500) <= now && now < later(580), "{now:?}");
    assert!(calls <= 10, "{calls} calls for one series");
    let Held {
        series,
        families,
        bytes,
        expired,
        ..
    } = registry.held();
    assert_eq!((series, families, bytes, expired), (0, 0, 0, 2));
}

#[test]
fn an_expired_series_is_not_shown_though_it_is_held_still() {
    let mut registry = registry();
    applied(&mut registry, vec![gauge("g", vec![number(0, 1.0, &[])])], NOW);
    assert!(text(&registry, Format::Text, later(300)).contains("g 1"));
    assert_eq!(text(&registry, Format::Text, later(301)), "");
    assert_eq!(registry.held().series, 1);
}

#[test]
fn a_point_keeps_its_series_by_when_it_comes_and_not_by_its_time() {
    let mut registry = registry();
    applied(
        &mut registry,
        vec![gauge("g", vec![number(-5000, 1.0, &[])])],
        NOW,
    );
    assert!(page(&registry).contains("g 1"));
}

#[test]
fn no_byte_is_lost_from_the_account() {
    let mut registry = registry();
    for time in 0..20_i64 {
        let bounds: Vec<f64> = (0..time % 7).map(|bound| bound as f64).collect();
        let counts = vec![1; bounds.len() + 1];
        let label = [("n", if time % 2 == 0 { "a" } else { "b" })];
        let metrics = vec![
            histogram(
                "h",
                CUMULATIVE,
                vec![histogram_point(time, &bounds, &counts, 1.0)],
            ),
            gauge("g", vec![number(time, 1.0, &label)]),
        ];
        let resource = [
            ("service.name", "s"),
            ("service.instance.id", "i"),
            ("n", label[0].1),
        ];
        registry.apply(&request(&resource, metrics), later(time));
    }
    assert!(registry.held().bytes > 0);
    registry.expire(later(100_000));
    let Held {
        series,
        families,
        bytes,
        ..
    } = registry.held();
    assert_eq!((series, families, bytes), (0, 0, 0));
    assert!(registry.targets.is_empty());
}

#[test]
fn histograms_of_both_sorts_are_one_family() {
    let mut registry = registry();
    let point = otlp::ExponentialHistogramDataPoint {
        attributes: attributes(&[("sort", "e")]),
        time_unix_nano: at(0),
        count: 1,
        ..otlp::ExponentialHistogramDataPoint::default()
    };
    let metrics = vec![
        histogram("h", CUMULATIVE, vec![histogram_point(0, &[], &[2], 1.0)]),
        exponential("h", CUMULATIVE, vec![point]),
    ];
    let (_, page) = applied(&mut registry, metrics, NOW);
    assert_eq!(
        page,
        "h_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2\nh_bucket{sort=\"e\",le=\"+Inf\"} 1\nh_count{sort=\"e\"} 1"
    );
}

#[test]
fn the_first_description_stays() {
    let mut registry = registry();
    let metric = |label: &str, help| described(gauge("g", vec![number(0, 1.0, &[("n", label)])]), "", help);
    applied(
        &mut registry,
        vec![
            metric("1", "First."),
            metric("2", "Second."),
            metric("3", "First."),
        ],
        NOW,
    );
    assert!(page(&registry).starts_with("# HELP g First.\n"));
    assert_eq!(registry.held().help_conflicts, 1);
}

#[test]
fn two_metrics_of_one_name_and_labels_are_one_series() {
    let mut registry = registry();
    let metrics = vec![
        gauge("a.b", vec![number(0, 1.0, &[])]),
        gauge("a_b", vec![number(1, 2.0, &[])]),
    ];
    let (done, page) = applied(&mut registry, metrics, later(1));
    assert_eq!((counts(&done), page.as_str()), ((2, vec![]), "a_b 2"));
}

#[test]
fn exemplars_stay_until_newer_ones_come() {
    let mut registry = registry();
    let exemplar = |time: i64, value: f64, trace: u8| otlp::Exemplar {
        time_unix_nano: at(time),
        trace_id: vec![trace; 16],
        value: Some(otlp::exemplar::Value::AsDouble(value)),
        ..otlp::Exemplar::default()
    };
    let point = |time: i64, exemplars| otlp::HistogramDataPoint {
        exemplars,
        ..histogram_point(time, &[1.0], &[time.unsigned_abs(), 1], 1.0)
    };
    let nobody = otlp::Exemplar {
        trace_id: vec![0; 16],
        ..exemplar(0, 0.5, 0)
    };
    let points = |points| vec![histogram("h", CUMULATIVE, points)];
    applied(
        &mut registry,
        points(vec![point(
            1,
            vec![exemplar(1, 0.5, 1), exemplar(1, 2.0, 2), nobody],
        )]),
        NOW,
    );
    applied(
        &mut registry,
        points(vec![point(2, vec![exemplar(2, f64::NAN, 3)])]),
        NOW,
    );
    applied(
        &mut registry,
        points(vec![point(3, vec![exemplar(-5, 0.5, 4)])]),
        NOW,
    );
    let page = text(&registry, Format::OpenMetrics, NOW);
    parser::check(&page, Format::OpenMetrics);
    let traces: Vec<_> = page.split("trace_id=\"").skip(1).map(|rest| &rest[..2]).collect();
    assert_eq!(traces, ["01", "03"], "{page}");
    assert!(
        page.contains("h_bucket{le=\"+Inf\"} 4 # {trace_id=\"03030303030303030303030303030303\"} NaN "),
        "{page}"
    );
}

#[test]
fn exemplars_take_no_room_from_series() {
    let exemplar = otlp::Exemplar {
        time_unix_nano: at(0),
        trace_id: vec![1; 16],
        value: Some(otlp::exemplar::Value::AsDouble(0.5)),
        ..otlp::Exemplar::default()
    };
    let bounds: Vec<f64> = (1..200).map(f64::from).collect();
    let observed = |time, exemplars| {
        let point = otlp::HistogramDataPoint {
            exemplars,
            ..histogram_point(time, &bounds, &[1; 200], 1.0)
        };
        histogram("h", CUMULATIVE, vec![point])
    };
    let counted = |time| counter("c", DELTA, vec![delta(time - 1, time, 1, &[])]);
    let mut registry = registry();
    registry.apply(&request(&[], vec![counted(0), observed(0, vec![])]), NOW);
    let mut registry = registry_of(registry.held().bytes + 1000);
    // The histogram with its first exemplars, which would need ten times the room that is left; then the counter goes on.
    let metrics = vec![counted(0), observed(0, vec![exemplar.clone()])];
    let (done, _) = applied(&mut registry, metrics, NOW);
    assert_eq!((counts(&done), done.exemplars_dropped), ((2, vec![]), 1));
    let metrics = vec![counted(1), observed(1, vec![exemplar])];
    let (done, page) = applied(&mut registry, metrics, later(1));
    assert_eq!((counts(&done), done.exemplars_dropped), ((2, vec![]), 1));
    assert!(page.starts_with("c_total 2\n"), "{page}");
    assert!(page.ends_with("h_count 200"), "{page}");
}

#[test]
fn a_histogram_that_outgrows_the_room_goes_alone() {
    let mut registry = registry_of(3000);
    let counted = |time| counter("c", DELTA, vec![delta(time - 1, time, 1, &[])]);
    let small = histogram("h", CUMULATIVE, vec![histogram_point(0, &[1.0], &[1, 1], 1.0)]);
    applied(&mut registry, vec![counted(0), small], NOW);
    let bounds: Vec<f64> = (1..200).map(f64::from).collect();
    let large = histogram("h", CUMULATIVE, vec![histogram_point(1, &bounds, &[1; 200], 1.0)]);
    let (done, page) = applied(&mut registry, vec![large, counted(1)], later(1));
    assert_eq!(counts(&done), (1, vec![("series_full", 1)]));
    assert_eq!(page, "c_total 2");
}

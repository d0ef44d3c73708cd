//! Pages in pieces, while what is held changes.

use opentelemetry_proto::tonic::metrics::v1 as otlp;

use super::build::*;
use crate::scrape::parser;
use crate::scrape::*;

fn gauges(names: &[&str], time: i64) -> Vec<u8> {
    let points = |_: &&str| {
        (0..20)
            .map(|n| number(time, f64::from(n), &[("n", &format!("{n:02}"))]))
            .collect()
    };
    request(&[], names.iter().map(|name| gauge(name, points(name))).collect())
}

/// The page in pieces of so many bytes; `between` is done after each.
fn pieces(
    registry: &mut Registry,
    bytes: usize,
    mut between: impl FnMut(&mut Registry, usize),
) -> Vec<String> {
    let mut page = Page::new(Format::OpenMetrics);
    let mut pieces = Vec::new();
    loop {
        let mut piece = Vec::new();
        if !registry.write_some(&mut page, NOW, bytes, &mut piece) {
            assert!(piece.is_empty());
            return pieces;
        }
        pieces.push(String::from_utf8(piece).expect("text"));
        between(registry, pieces.len());
    }
}

#[test]
fn pieces_make_the_same_page() {
    let mut registry = registry();
    registry.apply(&gauges(&["a", "b", "c"], 0), NOW);
    let whole = text(&registry, Format::OpenMetrics, NOW);
    for bytes in [0, 1, 2, 30, 100, 1000, 100_000] {
        let pieces = pieces(&mut registry, bytes, |_, _| {});
        assert_eq!(pieces.concat(), whole);
        // The longest that is written at once is a header and a sample.
        assert!(pieces.iter().all(|piece| piece.len() < bytes + 50), "of {bytes}");
    }
}

#[test]
fn the_same_series_make_the_same_page_in_whatever_order_they_came() {
    let mut forth = registry();
    let mut back = registry();
    for (one, other) in ["a", "b", "c"].iter().zip(["c", "b", "a"]) {
        forth.apply(&gauges(&[one], 0), NOW);
        back.apply(&gauges(&[other], 0), NOW);
    }
    assert_eq!(text(&forth, Format::Text, NOW), text(&back, Format::Text, NOW));
}

#[test]
fn a_page_stays_right_while_series_come_and_go() {
    let mut registry = registry();
    registry.apply(&gauges(&["a", "c", "e"], 0), NOW);
    let page = pieces(&mut registry, 60, |registry, piece| {
        let names: &[&str] = match piece % 3 {
            0 => &["a", "b"],
            1 => &["c", "d"],
            _ => &["e", "f"],
        };
        registry.apply(&gauges(names, i64::try_from(piece).expect("few")), NOW);
    });
    let parsed = parser::check(&page.concat(), Format::OpenMetrics);
    // What was there all the time is there.
    for name in ["a", "c", "e"] {
        assert_eq!(
            parsed.samples().filter(|sample| sample.name == name).count(),
            20,
            "{name}"
        );
    }
}

#[test]
fn a_family_that_became_another_is_not_mixed_with_it() {
    let mut settings = settings();
    settings.translation.strategy = tracepipe_config::TranslationStrategy::UnderscoreEscapingWithoutSuffixes;
    let mut registry = Registry::new(&settings);
    registry.apply(&gauges(&["a", "b"], 0), NOW);
    let page = pieces(&mut registry, 50, |registry, piece| {
        if piece == 2 {
            registry.expire_at = Some(NOW);
            registry.expire(later(1000));
            let points = (0..20)
                .map(|n| number(1, 1.0, &[("n", &format!("{n:02}"))]))
                .collect();
            let metrics = vec![
                counter("a", CUMULATIVE, points),
                gauge("c", vec![number(1, 1.0, &[])]),
            ];
            registry.apply(&request(&[], metrics), NOW);
        }
    });
    let parsed = parser::check(&page.concat(), Format::OpenMetrics);
    let names: Vec<_> = parsed
        .families
        .iter()
        .map(|family| (&*family.name, &*family.kind))
        .collect();
    assert_eq!(names, [("a", "gauge"), ("c", "gauge")]);
}

fn buckets(bounds: &[f64], each: u64, time: i64) -> Vec<u8> {
    let counts = vec![each; bounds.len() + 1];
    let point = histogram_point(time, bounds, &counts, 1.0);
    request(&[], vec![histogram("h", CUMULATIVE, vec![point])])
}

#[test]
fn a_long_series_is_written_in_pieces_of_one_point() {
    let bounds: Vec<f64> = (0..100).map(f64::from).collect();
    let others: Vec<f64> = (0..100).map(|bound| 0.5 + f64::from(bound)).collect();
    let mut registry = registry();
    registry.apply(&buckets(&bounds, 1, 0), NOW);
    registry.apply(&gauges(&["i"], 0), NOW);
    let whole = text(&registry, Format::OpenMetrics, NOW);
    // Meanwhile there are more observations, other buckets, and no histogram any more.
    let ended = otlp::HistogramDataPoint {
        flags: NO_RECORDED_VALUE,
        ..histogram_point(3, &[], &[], 0.0)
    };
    let ended = request(&[], vec![histogram("h", CUMULATIVE, vec![ended])]);
    let pieces = pieces(&mut registry, 64, |registry, piece| {
        let news = match piece {
            2 => buckets(&bounds, 7, 1),
            4 => buckets(&others, 3, 2),
            6 => ended.clone(),
            _ => return,
        };
        let done = registry.apply(&news, NOW);
        assert_eq!(counts(&done), (1, vec![]));
    });
    assert_eq!(registry.held().families, 1);
    assert_eq!(pieces.concat(), whole);
    assert!(pieces.iter().all(|piece| piece.len() < 64 + 50));
}

#[test]
fn every_kind_is_the_same_page_in_pieces() {
    let exponential_point = otlp::ExponentialHistogramDataPoint {
        time_unix_nano: at(0),
        count: 2,
        sum: Some(1.0),
        zero_count: 2,
        ..otlp::ExponentialHistogramDataPoint::default()
    };
    let quantile = |quantile| otlp::summary_data_point::ValueAtQuantile { quantile, value: 2.0 };
    let summary_point = otlp::SummaryDataPoint {
        time_unix_nano: at(0),
        quantile_values: vec![quantile(0.5), quantile(0.9)],
        ..otlp::SummaryDataPoint::default()
    };
    let mut without_sum = histogram_point(0, &[1.0, f64::INFINITY], &[1, 2, 0], 0.0);
    without_sum.sum = None;
    let metrics = vec![
        counter("c", CUMULATIVE, vec![number(0, 1.0, &[])]),
        exponential("e", CUMULATIVE, vec![exponential_point]),
        histogram("h", CUMULATIVE, vec![without_sum]),
        summary("s", vec![summary_point]),
    ];
    let mut registry = registry();
    registry.apply(&request(&[], metrics), NOW);
    let whole = text(&registry, Format::OpenMetrics, NOW);
    parser::check(&whole, Format::OpenMetrics);
    assert_eq!(pieces(&mut registry, 1, |_, _| {}).concat(), whole);
}

//! Exemplars.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1 as otlp;
use opentelemetry_proto::tonic::metrics::v1::exemplar::Value;

use crate::testing::*;

fn exemplar(time_ms: i64, value: f64) -> otlp::Exemplar {
    otlp::Exemplar {
        time_unix_nano: nanos(time_ms),
        value: Some(Value::AsDouble(value)),
        trace_id: (1..=16).collect(),
        span_id: (1..=8).collect(),
        ..otlp::Exemplar::default()
    }
}

const IDS: &str = "span_id=0102030405060708,trace_id=0102030405060708090a0b0c0d0e0f10";

/// Each series with its exemplars.
fn exemplars_of(bench: &mut Bench, metric: otlp::Metric) -> Vec<String> {
    let out = bench.send_raw(&request(service(), vec![metric]));
    let counted: usize = out.iter().map(crate::TranslatedSeries::exemplars).sum();
    let mut shown = Vec::new();
    for series in decoded(&out) {
        let le = series.labels.iter().find(|label| label.name == "le");
        for exemplar in &series.exemplars {
            let labels: Vec<_> = exemplar
                .labels
                .iter()
                .map(|label| format!("{}={}", label.name, label.value))
                .collect();
            let le = le.map_or("", |le| &le.value);
            let time = exemplar.timestamp - NOW;
            shown.push(format!("{le} {{{}}} {}@{time}", labels.join(","), exemplar.value));
        }
    }
    assert_eq!(counted, shown.len());
    shown
}

fn counter(exemplars: Vec<otlp::Exemplar>) -> otlp::Metric {
    let point = otlp::NumberDataPoint {
        exemplars,
        ..point(NOW, 1.0)
    };
    sum("a", CUMULATIVE, true, vec![point])
}

#[test]
fn a_counter_has_all_the_oldest_first_and_a_gauge_none() {
    let exemplars = vec![
        exemplar(NOW - 2, 1.0),
        exemplar(NOW - 1, 2.0),
        exemplar(NOW - 3, 3.0),
    ];
    let mut bench = Bench::new(&settings());
    assert_eq!(
        exemplars_of(&mut bench, counter(exemplars.clone())),
        [
            format!(" {{{IDS}}} 3@-3"),
            format!(" {{{IDS}}} 1@-2"),
            format!(" {{{IDS}}} 2@-1")
        ]
    );
    assert_eq!(bench.done.exemplars_dropped, 0);
    let point = otlp::NumberDataPoint {
        exemplars,
        ..point(NOW, 1.0)
    };
    assert!(exemplars_of(&mut bench, gauge("b", vec![point])).is_empty());
    assert_eq!(bench.done.exemplars_dropped, 3);
}

#[test]
fn each_bucket_has_its_newest_ten_the_oldest_first() {
    let mut point = buckets(NOW, &[1.0, 2.0], &[1, 1, 1]);
    point.exemplars = vec![
        exemplar(NOW - 5, 1.0),
        exemplar(NOW - 4, 0.5),
        exemplar(NOW - 6, 0.6),
        exemplar(NOW - 3, 1.5),
        exemplar(NOW - 2, f64::NAN),
    ];
    let more = (0..11).map(|number| exemplar(NOW - 20 - number, 2.0));
    point.exemplars.extend(more);
    let mut bench = Bench::new(&settings());
    let shown = exemplars_of(&mut bench, histogram("h", CUMULATIVE, vec![point]));
    assert_eq!(
        shown[..3],
        [
            format!("1 {{{IDS}}} 0.6@-6"),
            format!("1 {{{IDS}}} 1@-5"),
            format!("1 {{{IDS}}} 0.5@-4")
        ]
    );
    assert_eq!((shown.len(), &shown[3]), (14, &format!("2 {{{IDS}}} 2@-28")));
    assert_eq!(shown[12], format!("2 {{{IDS}}} 1.5@-3"));
    assert_eq!(shown[13], format!("+Inf {{{IDS}}} NaN@-2"));
    assert_eq!(bench.done.exemplars_dropped, 2);
}

#[test]
fn a_native_histogram_has_the_newest_ten_the_oldest_first() {
    let mut point = exponents(NOW, 0, 0, &[20]);
    point.exemplars = (0..20)
        .map(|number| exemplar(NOW - number, 1.0 + number as f64))
        .collect();
    let mut bench = Bench::new(&settings());
    let shown = exemplars_of(&mut bench, exponential("e", CUMULATIVE, vec![point]));
    assert_eq!(shown.len(), 10);
    assert_eq!(shown[0], format!(" {{{IDS}}} 10@-9"));
    assert_eq!(shown[9], format!(" {{{IDS}}} 1@0"));
    assert_eq!(bench.done.exemplars_dropped, 10);
}

#[test]
fn filtered_attributes_go_along_unless_they_are_too_long() {
    let with = |attributes: Vec<KeyValue>| otlp::Exemplar {
        filtered_attributes: attributes,
        ..exemplar(NOW, 1.0)
    };
    let mut bench = Bench::new(&settings());
    let short = with(vec![text("user.id", "7"), text("empty", "")]);
    assert_eq!(
        exemplars_of(&mut bench, counter(vec![short])),
        [" {span_id=0102030405060708,trace_id=0102030405060708090a0b0c0d0e0f10,user_id=7} 1@0"]
    );
    // With the ids, their names included, 128 characters in all.
    let fits = 128 - (8 + 32 + 7 + 16) - 1;
    for (length, labels) in [(fits, 3), (fits + 1, 2)] {
        let mut bench = Bench::new(&settings());
        let long = with(vec![text("k", &"\u{e9}".repeat(length))]);
        let shown = exemplars_of(&mut bench, counter(vec![long]));
        assert_eq!(shown[0].matches('=').count(), labels, "{length}");
    }
}

#[test]
fn labels_are_counted_as_they_are_sent() {
    // `1` becomes `key_1`, which is four characters too many.
    let long = otlp::Exemplar {
        filtered_attributes: vec![text("1", &"x".repeat(128 - (8 + 32 + 7 + 16) - 1))],
        ..exemplar(NOW, 1.0)
    };
    let mut bench = Bench::new(&settings());
    assert_eq!(
        exemplars_of(&mut bench, counter(vec![long])),
        [format!(" {{{IDS}}} 1@0")]
    );
}

#[test]
fn a_missing_time_is_the_points() {
    let mut bench = Bench::new(&settings());
    let timeless = otlp::Exemplar {
        time_unix_nano: 0,
        ..exemplar(NOW, 1.0)
    };
    assert_eq!(
        exemplars_of(&mut bench, counter(vec![timeless])),
        [format!(" {{{IDS}}} 1@0")]
    );
}

#[test]
fn one_without_a_number_or_without_any_label_is_left_out() {
    let mut bench = Bench::new(&settings());
    let without_value = otlp::Exemplar {
        value: None,
        ..exemplar(NOW, 1.0)
    };
    // Ids of nothing, or of another length, are none.
    let without_label = otlp::Exemplar {
        trace_id: vec![0; 16],
        span_id: vec![1, 2],
        filtered_attributes: vec![text("empty", "")],
        ..exemplar(NOW, 1.0)
    };
    assert!(exemplars_of(&mut bench, counter(vec![without_value, without_label])).is_empty());
    assert_eq!(bench.done.exemplars_dropped, 2);
}

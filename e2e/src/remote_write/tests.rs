use super::{
    Exemplar, Histogram, Metadata, STALE_NAN_BITS, Sample, TimeSeries, WriteRequest, decode_read_response,
};
use crate::wire::Writer;

fn histogram() -> Histogram {
    Histogram {
        count_int: Some(21),
        sum_bits: 1.5_f64.to_bits(),
        schema: -2,
        zero_threshold_bits: 1e-128_f64.to_bits(),
        zero_count_int: Some(2),
        negative_spans: vec![(-3, 1)],
        negative_deltas: vec![4],
        positive_spans: vec![(-2, 2), (3, 1)],
        positive_deltas: vec![5, -1, 2],
        timestamp: 1_700_000_000_123,
        ..Histogram::default()
    }
}

fn request() -> WriteRequest {
    let labels = vec![
        ("__name__".to_owned(), "a".to_owned()),
        ("b".to_owned(), "c".to_owned()),
    ];
    let samples = TimeSeries {
        labels: labels.clone(),
        samples: vec![
            Sample {
                bits: STALE_NAN_BITS,
                timestamp: 7,
            },
            Sample {
                bits: 0,
                timestamp: -9,
            },
        ],
        exemplars: vec![Exemplar {
            labels: vec![("trace_id".into(), "0a".into())],
            bits: 2.0_f64.to_bits(),
            timestamp: 8,
        }],
        ..TimeSeries::default()
    };
    let histograms = TimeSeries {
        labels,
        histograms: vec![histogram()],
        ..TimeSeries::default()
    };
    WriteRequest {
        series: vec![samples, histograms],
        metadata: vec![Metadata {
            kind: 1,
            name: "a".into(),
            help: "of a".into(),
            unit: "seconds".into(),
        }],
    }
}

#[test]
fn what_is_written_is_read() {
    assert_eq!(WriteRequest::decode(&request().encode()), Ok(request()));
    assert_eq!(request().samples(), 3);
    assert!(request().series[0].samples[0].is_stale());
    assert_eq!(request().series[0].name(), "a");
}

#[test]
fn buckets_have_the_index_of_their_span_and_absolute_counts() {
    let positive: Vec<_> = histogram().positive().unwrap().into_iter().collect();
    assert_eq!(positive, [(-2, 5.0), (-1, 4.0), (3, 6.0)]);
    let negative: Vec<_> = histogram().negative().unwrap().into_iter().collect();
    assert_eq!(negative, [(-3, 4.0)]);
    assert_eq!(histogram().check(), Ok(()));
}

#[test]
fn histograms_that_contradict_themselves_are_found() {
    let wrong = |change: fn(&mut Histogram)| {
        let mut it = histogram();
        change(&mut it);
        assert!(it.check().is_err(), "{it:?}");
    };
    wrong(|it| it.count_int = Some(20));
    wrong(|it| it.positive_deltas = vec![5, -6, 12]);
    wrong(|it| it.positive_spans = vec![(-2, 2)]);
    wrong(|it| it.positive_spans = vec![(-2, 2), (-1, 1)]);
    let stale = Histogram {
        sum_bits: STALE_NAN_BITS,
        ..Histogram::default()
    };
    assert_eq!(stale.check(), Ok(()));
}

#[test]
fn a_field_that_nobody_knows_is_an_error() {
    let mut writer = Writer::default();
    writer.varint_always(2, 0);
    assert!(WriteRequest::decode(&writer.into_bytes()).is_err());
    assert!(WriteRequest::decode(&[0x0a, 9]).is_err());
    let mut series = Writer::default();
    series.message(5, |inner| inner.varint_always(1, 1));
    assert!(TimeSeries::decode(&series.into_bytes()).is_err());
}

#[test]
fn an_answer_to_remote_read_holds_series() {
    let mut writer = Writer::default();
    writer.message(1, |result| result.bytes(1, &request().encode()[..0]));
    let series = decode_read_response(&writer.into_bytes()).unwrap();
    assert_eq!(series, [TimeSeries::default()]);
}

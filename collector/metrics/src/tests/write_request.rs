//! Sorting and encoding of requests.

use proptest::prelude::*;
use prost::Message;

use crate::series::{SampleValue, TranslatedSeries};
use crate::testing::prompb;
use crate::write_request::{encode, encoded_len, sort};

/// A sample of series `series`, some of which have the same hash.
fn sample(series: u8, timestamp_ms: i64, value: f64) -> TranslatedSeries {
    let mut labels = Vec::new();
    let name = format!("m{series}");
    crate::label_set::put_label(b"__name__", name.as_bytes(), b"", &mut labels);
    TranslatedSeries {
        hash: u64::from(series % 2),
        labels: labels.into(),
        timestamp_ms,
        value: SampleValue::Float(value),
        exemplars: None,
    }
}

fn read(samples: &[TranslatedSeries]) -> prompb::WriteRequest {
    let mut bytes = Vec::new();
    encode(samples, &mut bytes);
    assert_eq!(bytes.len(), encoded_len(samples));
    prompb::WriteRequest::decode(bytes.as_slice()).unwrap()
}

#[test]
fn samples_of_one_series_stand_together_by_time_in_the_order_of_the_series() {
    let mut samples = vec![
        sample(2, 5, 1.0),
        sample(0, 1, 2.0),
        sample(2, 3, 3.0),
        sample(0, 2, 4.0),
    ];
    assert_eq!(sort(&mut samples), 0);
    let request = read(&samples);
    let shown: Vec<_> = request
        .timeseries
        .iter()
        .map(|series| {
            let samples: Vec<_> = series.samples.iter().map(|it| (it.timestamp, it.value)).collect();
            (series.labels[0].value.as_str(), samples)
        })
        .collect();
    assert_eq!(
        shown,
        [("m2", vec![(3, 3.0), (5, 1.0)]), ("m0", vec![(1, 2.0), (2, 4.0)])]
    );
}

#[test]
fn of_one_time_the_last_sample_stays_and_the_others_are_counted() {
    let mut samples = vec![
        sample(0, 1, 1.0),
        sample(1, 1, 2.0),
        sample(0, 1, 3.0),
        sample(0, 1, 4.0),
    ];
    assert_eq!(sort(&mut samples), 2);
    let values: Vec<_> = read(&samples)
        .timeseries
        .iter()
        .map(|series| series.samples[0].value)
        .collect();
    assert_eq!(values, [4.0, 2.0]);
}

#[test]
fn nothing_is_an_empty_request() {
    let mut samples = Vec::new();
    assert_eq!(sort(&mut samples), 0);
    assert_eq!(encoded_len(&samples), 0);
}

#[test]
fn what_protobuf_leaves_out_is_left_out() {
    let bytes = |sample: TranslatedSeries| {
        let mut bytes = Vec::new();
        encode(&[sample], &mut bytes);
        bytes
    };
    for (timestamp, value) in [(0, 0.0), (0, 1.0), (1, 0.0), (-1, f64::NAN), (i64::MAX, f64::MIN)] {
        let ours = bytes(sample(0, timestamp, value));
        let decoded = prompb::WriteRequest::decode(ours.as_slice()).unwrap();
        assert_eq!(decoded.timeseries[0].samples[0].timestamp, timestamp);
        assert_eq!(decoded.timeseries[0].samples[0].value.to_bits(), value.to_bits());
        assert_eq!(decoded.encode_to_vec(), ours);
    }
}

#[test]
fn a_series_can_be_shown_to_people() {
    let mut labels = Vec::new();
    for (name, value) in [("Z", "a\"b"), ("__name__", "up"), ("job", "shop")] {
        crate::label_set::put_label(name.as_bytes(), value.as_bytes(), b"", &mut labels);
    }
    let series = TranslatedSeries {
        labels: labels.into(),
        ..sample(0, 0, 0.0)
    };
    assert_eq!(series.describe(), "up{Z=\"a\\\"b\",job=\"shop\"}");
}

proptest! {
    #[test]
    fn no_sample_is_lost_and_sizes_are_exact(
        items in prop::collection::vec((0..6_u8, 0..5_i64, any::<f64>()), 0..60),
    ) {
        let mut samples: Vec<_> =
            items.iter().map(|(series, time, value)| sample(*series, *time, *value)).collect();
        let alone: usize = samples.iter().map(TranslatedSeries::encoded_len).sum();
        for sample in &samples {
            prop_assert_eq!(sample.encoded_len(), encoded_len(std::slice::from_ref(sample)));
        }
        let replaced = sort(&mut samples);
        prop_assert!(encoded_len(&samples) <= alone);
        let mut model = std::collections::BTreeMap::new();
        for (series, time, value) in &items {
            model.insert((format!("m{series}"), *time), value.to_bits());
        }
        prop_assert_eq!(replaced, items.len() - model.len());
        let mut read_back = std::collections::BTreeMap::new();
        for series in read(&samples).timeseries {
            prop_assert!(series.samples.is_sorted_by(|a, b| a.timestamp < b.timestamp));
            for sample in series.samples {
                let before = read_back.insert((series.labels[0].value.clone(), sample.timestamp), sample.value.to_bits());
                prop_assert_eq!(before, None);
            }
        }
        prop_assert_eq!(read_back, model);
    }
}

//! What a translation gives: samples with the labels of their series.

use std::rc::Rc;

use tracepipe_otlp::wire::{bytes_field_len, fields, put_bytes_header, put_varint, varint_len};

use crate::write_request::TIMESERIES;

/// One sample, with its series. The labels are shared by all samples of the series for as long as it is remembered.
#[derive(Debug, Clone, PartialEq)]
pub struct TranslatedSeries {
    /// Of the labels. Another one in every process.
    pub hash: u64,
    /// The `labels` of a `TimeSeries` of remote write 1.0, encoded: sorted by name, no name twice, no value empty.
    pub(crate) labels: Rc<[u8]>,
    /// Milliseconds since the Unix epoch.
    pub(crate) timestamp_ms: i64,
    /// What was observed.
    pub(crate) value: SampleValue,
    /// The `exemplars` of a `TimeSeries`, encoded.
    pub(crate) exemplars: Option<Box<[u8]>>,
}

/// What was observed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SampleValue {
    /// A number, or [`STALE_NAN`].
    Float(f64),
    /// A `Histogram` of remote write 1.0, encoded, its time included.
    Histogram(Box<[u8]>),
}

/// The number that says: there is no value any more (Prometheus, `model/value`).
pub const STALE_NAN: f64 = f64::from_bits(STALE_NAN_BITS);

/// Its bits.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The bits of every other value that is not a number, where a sender's has those of [`STALE_NAN`] by accident.
const ORDINARY_NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0001);

/// Field numbers of `TimeSeries`.
const SAMPLES: u32 = 2;
const HISTOGRAMS: u32 = 4;

/// A sender's number: never [`STALE_NAN`], which only a flag may say.
pub(crate) fn ordinary(value: f64) -> f64 {
    if value.to_bits() == STALE_NAN_BITS {
        ORDINARY_NAN
    } else {
        value
    }
}

impl TranslatedSeries {
    /// A number of a series whose labels are encoded as [`Self::labels`] says, and have this hash.
    pub fn sample(hash: u64, labels: Rc<[u8]>, value: f64, timestamp_ms: i64) -> Self {
        Self {
            hash,
            labels,
            timestamp_ms,
            value: SampleValue::Float(value),
            exemplars: None,
        }
    }

    /// The series' labels, as the `labels` of a `TimeSeries` of remote write 1.0, encoded: sorted by name, no name twice, no
    /// value empty. The same bytes are the same series.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// The series as Prometheus shows it, for people: `up{job="a"}`.
    pub fn describe(&self) -> String {
        crate::label_set::describe(&self.labels)
    }

    /// Milliseconds since the Unix epoch.
    pub fn timestamp_ms(&self) -> i64 {
        self.timestamp_ms
    }

    /// A native histogram, which counts as one sample.
    pub fn is_histogram(&self) -> bool {
        match self.value {
            SampleValue::Float(_) => false,
            SampleValue::Histogram(_) => true,
        }
    }

    /// Exemplars that go with it.
    pub fn exemplars(&self) -> usize {
        self.exemplars
            .as_deref()
            .map_or(0, |exemplars| fields(exemplars).count())
    }

    /// Bytes that [`Self::put_sample`] writes.
    pub(crate) fn sample_len(&self) -> usize {
        let exemplars = self.exemplars.as_ref().map_or(0, |exemplars| exemplars.len());
        let value = match &self.value {
            SampleValue::Float(value) => bytes_field_len(SAMPLES, float_len(*value, self.timestamp_ms)),
            SampleValue::Histogram(histogram) => bytes_field_len(HISTOGRAMS, histogram.len()),
        };
        value + exemplars
    }

    /// The sample and its exemplars as fields of a `TimeSeries`.
    pub(crate) fn put_sample(&self, out: &mut Vec<u8>) {
        match &self.value {
            SampleValue::Float(value) => {
                put_bytes_header(SAMPLES, float_len(*value, self.timestamp_ms), out);
                // What is zero is left out, as every protobuf library does.
                if value.to_bits() != 0 {
                    out.push(1 << 3 | 1);
                    out.extend_from_slice(&value.to_bits().to_le_bytes());
                }
                if self.timestamp_ms != 0 {
                    out.push(2 << 3);
                    put_varint(self.timestamp_ms.cast_unsigned(), out);
                }
            }
            SampleValue::Histogram(histogram) => {
                put_bytes_header(HISTOGRAMS, histogram.len(), out);
                out.extend_from_slice(histogram);
            }
        }
        if let Some(exemplars) = &self.exemplars {
            out.extend_from_slice(exemplars);
        }
    }

    /// Bytes of a request that holds this sample alone. What [`crate::write_request::encode`] writes of several is never
    /// larger than their sum.
    pub fn encoded_len(&self) -> usize {
        bytes_field_len(TIMESERIES, self.labels.len() + self.sample_len())
    }

    /// Both are samples of one series.
    pub(crate) fn is_series_of(&self, other: &Self) -> bool {
        self.hash == other.hash && (Rc::ptr_eq(&self.labels, &other.labels) || self.labels == other.labels)
    }
}

fn float_len(value: f64, timestamp_ms: i64) -> usize {
    let value = if value.to_bits() == 0 { 0 } else { 9 };
    let time = if timestamp_ms == 0 {
        0
    } else {
        1 + varint_len(timestamp_ms.cast_unsigned())
    };
    value + time
}

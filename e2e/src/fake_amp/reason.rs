//! Why a sample is not taken, in the words of Amazon Managed Prometheus.

use serde::{Deserialize, Serialize};

/// A reason. [`Reason::code`] is what AMP counts it under (CloudWatch, `DiscardedSamples`), where it has a name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No `__name__`.
    MissingMetricName,
    /// `__name__` has a character that it cannot have.
    MetricNameInvalid,
    /// A label's name has a character that it cannot have, or its value is empty.
    LabelInvalid,
    /// A label stands there twice.
    DuplicateLabelNames,
    /// Labels are not sorted by name. AMP's own name for it is not known.
    LabelsNotSorted,
    /// A label's name is too long.
    LabelNameTooLong,
    /// A label's value is too long.
    LabelValueTooLong,
    /// Too many labels.
    MaxLabelNamesPerSeries,
    /// The series stands in the request twice. Prometheus takes that; a sender that does it has lost order.
    DuplicateSeries,
    /// Neither a float nor a histogram, or both. Prometheus takes that.
    NoOneKind,
    /// Older than an hour.
    GreaterThanMaxSampleAge,
    /// More than ten minutes ahead.
    TooFarInFuture,
    /// Older than the last one, and the window is 0.
    SampleOutOfOrder,
    /// Older than the window allows.
    SampleTooOld,
    /// Another value for a time that has one.
    NewValueForTimestamp,
    /// A resolution that AMP has not.
    NativeHistogramInvalidSchema,
    /// It contradicts itself.
    NativeHistogramInvalid,
    /// Too many populated buckets.
    NativeHistogramBucketsExceeded,
    /// The workspace has as many series as it may have.
    PerUserSeriesLimit,
}

impl Reason {
    /// The name in AMP's list.
    pub fn code(self) -> &'static str {
        match self {
            Self::MissingMetricName => "missing_metric_name",
            Self::MetricNameInvalid => "metric_name_invalid",
            Self::LabelInvalid => "label_invalid",
            Self::DuplicateLabelNames => "duplicate_label_names",
            Self::LabelsNotSorted => "labels_not_sorted",
            Self::LabelNameTooLong => "label_name_too_long",
            Self::LabelValueTooLong => "label_value_too_long",
            Self::MaxLabelNamesPerSeries => "max_label_names_per_series",
            Self::DuplicateSeries => "duplicate_series",
            Self::NoOneKind => "no_one_kind",
            Self::GreaterThanMaxSampleAge => "greater_than_max_sample_age",
            Self::TooFarInFuture => "too_far_in_future",
            Self::SampleOutOfOrder => "sample-out-of-order",
            Self::SampleTooOld => "sample-too-old",
            Self::NewValueForTimestamp => "new-value-for-timestamp",
            Self::NativeHistogramInvalidSchema => "native_histogram_invalid_schema",
            Self::NativeHistogramInvalid => "native_histogram_invalid",
            Self::NativeHistogramBucketsExceeded => "native_histogram_buckets_exceeded",
            Self::PerUserSeriesLimit => "per_user_series_limit",
        }
    }

    /// What AMP answers: limits are 429, all else is 400.
    pub fn status(self) -> u16 {
        if self == Self::PerUserSeriesLimit {
            429
        } else {
            400
        }
    }
}

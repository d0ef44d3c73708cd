//! Why samples are lost: one reason each, out of a closed list.
//!
//! What a receiver says about a request that it refuses is text for people. It does not decide what is sent again (remote
//! write 1.0: a sender must not interpret it): it names the reason under which the samples are counted, and of a sample
//! that was refused alone whether the next one of its series would be.

/// Why samples were given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// The queue was full and these were the oldest.
    QueueFull,
    /// Older than `sample_age_limit`: no receiver takes them any more.
    AgeLimit,
    /// The same series had another sample of the same time, which came later and was sent.
    Duplicate,
    /// `retry_on_failure` says so.
    RetriesExhausted,
    /// The receiver takes no request so small.
    TooLarge,
    /// The receiver answered with a status that means the same every time.
    Refused,
    /// The receiver refused what is in them.
    Rejected(Reject),
    /// There was no time left at the end.
    Shutdown,
    /// The exporter panicked.
    Abandoned,
}

impl Lost {
    /// The label in metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::AgeLimit => "age_limit",
            Self::Duplicate => "duplicate",
            Self::RetriesExhausted => "retries_exhausted",
            Self::TooLarge => "too_large",
            Self::Refused => "refused",
            Self::Rejected(reject) => reject.label(),
            Self::Shutdown => "shutdown",
            Self::Abandoned => "abandoned",
        }
    }
}

/// What a receiver says is wrong with a sample: the reasons of Amazon Managed Prometheus' metric `DiscardedSamples`, and
/// what Prometheus itself says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reject {
    /// Older than the last one of its series, or older than the window allows.
    OutOfOrder,
    /// Too many of those.
    OutOfOrderRateLimit,
    /// Another value for a time that has one.
    DuplicateTimestamp,
    /// Too long ago.
    TooOld,
    /// Too far ahead.
    TooNew,
    /// The workspace has too many series.
    SeriesLimit,
    /// The metric has too many series.
    MetricSeriesLimit,
    /// Too many samples, told as a fault of the request.
    RateLimited,
    /// A label's value is too long.
    LabelValueTooLong,
    /// A label's name is too long.
    LabelNameTooLong,
    /// The series has too many labels.
    TooManyLabels,
    /// The series has no name.
    MissingMetricName,
    /// The series' name has characters that it must not have.
    MetricNameInvalid,
    /// A label's name has characters that it must not have.
    LabelInvalid,
    /// A label stands twice.
    DuplicateLabelNames,
    /// Labels are not in their order.
    LabelsNotSorted,
    /// The schema of a native histogram is not taken.
    HistogramSchema,
    /// A native histogram has too many buckets.
    HistogramBuckets,
    /// A native histogram is too large.
    HistogramSize,
    /// Too many native histograms in a time.
    HistogramRateLimited,
    /// Too many series of native histograms.
    HistogramSeriesLimit,
    /// A native histogram contradicts itself, or is not taken at all.
    HistogramInvalid,
    /// Anything else.
    Other,
}

/// What stands in the text of an answer, in lower case, and what it means. What stands first in the text counts, since
/// names and labels come after it; of two at one place the first of this list. The words are the reasons of
/// `DiscardedSamples` (AWS, "Troubleshooting Amazon Managed Service for Prometheus") and the messages of Prometheus and
/// Cortex, which the service is made of.
const WORDS: &[(&str, Reject)] = &[
    ("native_histogram_series_limit", Reject::HistogramSeriesLimit),
    ("native histogram series limit", Reject::HistogramSeriesLimit),
    ("native_histogram_rate_limited", Reject::HistogramRateLimited),
    ("native histogram ingestion rate", Reject::HistogramRateLimited),
    (
        "native_histogram_sample_size_bytes_exceeded",
        Reject::HistogramSize,
    ),
    ("native histogram sample size", Reject::HistogramSize),
    ("native_histogram_invalid_schema", Reject::HistogramSchema),
    ("invalid native histogram schema", Reject::HistogramSchema),
    ("invalid schema", Reject::HistogramSchema),
    ("native_histogram_buckets_exceeded", Reject::HistogramBuckets),
    ("native histogram buckets", Reject::HistogramBuckets),
    ("native_histogram", Reject::HistogramInvalid),
    ("histogram", Reject::HistogramInvalid),
    ("out-of-order-rate-limit", Reject::OutOfOrderRateLimit),
    ("out-of-order rate limit", Reject::OutOfOrderRateLimit),
    ("out of order rate limit", Reject::OutOfOrderRateLimit),
    ("out-of-order", Reject::OutOfOrder),
    ("out of order", Reject::OutOfOrder),
    ("new-value-for-timestamp", Reject::DuplicateTimestamp),
    ("duplicate sample for timestamp", Reject::DuplicateTimestamp),
    ("greater_than_max_sample_age", Reject::TooOld),
    ("sample-too-old", Reject::TooOld),
    ("too old", Reject::TooOld),
    ("out of bounds", Reject::TooOld),
    ("too_far_in_future", Reject::TooNew),
    ("too far in the future", Reject::TooNew),
    ("too new", Reject::TooNew),
    ("per_metric_series_limit", Reject::MetricSeriesLimit),
    ("per-metric series limit", Reject::MetricSeriesLimit),
    ("per_user_series_limit", Reject::SeriesLimit),
    ("per-user series limit", Reject::SeriesLimit),
    ("per_labelset_series_limit", Reject::SeriesLimit),
    ("active series", Reject::SeriesLimit),
    // The limit that follows the load: "Capacity from 2,000,000 to 50,000,000 is automatically adjusted ...".
    ("automatically adjusted", Reject::SeriesLimit),
    ("rate_limited", Reject::RateLimited),
    ("rate limit", Reject::RateLimited),
    ("label_value_too_long", Reject::LabelValueTooLong),
    ("label value too long", Reject::LabelValueTooLong),
    ("label_name_too_long", Reject::LabelNameTooLong),
    ("label name too long", Reject::LabelNameTooLong),
    ("max_label_names_per_series", Reject::TooManyLabels),
    ("too many labels", Reject::TooManyLabels),
    ("label names; actual", Reject::TooManyLabels),
    ("missing_metric_name", Reject::MissingMetricName),
    ("missing metric name", Reject::MissingMetricName),
    ("metric_name_invalid", Reject::MetricNameInvalid),
    ("invalid metric name", Reject::MetricNameInvalid),
    ("duplicate_label_names", Reject::DuplicateLabelNames),
    ("duplicate label name", Reject::DuplicateLabelNames),
    ("labels_not_sorted", Reject::LabelsNotSorted),
    ("labels not sorted", Reject::LabelsNotSorted),
    ("label_invalid", Reject::LabelInvalid),
    ("invalid label", Reject::LabelInvalid),
];

// === impl Reject ===

impl Reject {
    /// What the text of an answer with status 400 speaks of.
    pub(super) fn of(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body).to_ascii_lowercase();
        WORDS
            .iter()
            .filter_map(|(word, reject)| Some((text.find(word)?, *reject)))
            .min_by_key(|(at, _)| *at)
            .map_or(Self::Other, |(_, reject)| reject)
    }

    /// It is said of samples, too, that the receiver has already: of a request whose answer was lost on the way. Not that
    /// they are too old: that says nothing about which the receiver has.
    pub(super) fn may_mean_written(self) -> bool {
        matches!(self, Self::OutOfOrder | Self::DuplicateTimestamp)
    }

    /// It is said of what a series is called: it will be said of every sample that it has.
    pub(super) fn is_of_labels(self) -> bool {
        match self {
            Self::LabelValueTooLong
            | Self::LabelNameTooLong
            | Self::TooManyLabels
            | Self::MissingMetricName
            | Self::MetricNameInvalid
            | Self::LabelInvalid
            | Self::DuplicateLabelNames
            | Self::LabelsNotSorted => true,
            Self::OutOfOrder
            | Self::OutOfOrderRateLimit
            | Self::DuplicateTimestamp
            | Self::TooOld
            | Self::TooNew
            | Self::SeriesLimit
            | Self::MetricSeriesLimit
            | Self::RateLimited
            | Self::HistogramSchema
            | Self::HistogramBuckets
            | Self::HistogramSize
            | Self::HistogramRateLimited
            | Self::HistogramSeriesLimit
            | Self::HistogramInvalid
            | Self::Other => false,
        }
    }

    /// It is said of all native histograms of a series: ours do not contradict themselves, so the receiver takes none, or
    /// none of this resolution.
    pub(super) fn is_of_histograms(self) -> bool {
        matches!(self, Self::HistogramSchema | Self::HistogramInvalid)
    }

    fn label(self) -> &'static str {
        match self {
            Self::OutOfOrder => "rejected_out_of_order",
            Self::OutOfOrderRateLimit => "rejected_out_of_order_rate_limit",
            Self::DuplicateTimestamp => "rejected_duplicate_timestamp",
            Self::TooOld => "rejected_too_old",
            Self::TooNew => "rejected_too_new",
            Self::SeriesLimit => "rejected_series_limit",
            Self::MetricSeriesLimit => "rejected_metric_series_limit",
            Self::RateLimited => "rejected_rate_limited",
            Self::LabelValueTooLong => "rejected_label_value_too_long",
            Self::LabelNameTooLong => "rejected_label_name_too_long",
            Self::TooManyLabels => "rejected_too_many_labels",
            Self::MissingMetricName => "rejected_missing_metric_name",
            Self::MetricNameInvalid => "rejected_metric_name_invalid",
            Self::LabelInvalid => "rejected_label_invalid",
            Self::DuplicateLabelNames => "rejected_duplicate_label_names",
            Self::LabelsNotSorted => "rejected_labels_not_sorted",
            Self::HistogramSchema => "rejected_histogram_schema",
            Self::HistogramBuckets => "rejected_histogram_buckets",
            Self::HistogramSize => "rejected_histogram_size",
            Self::HistogramRateLimited => "rejected_histogram_rate_limited",
            Self::HistogramSeriesLimit => "rejected_histogram_series_limit",
            Self::HistogramInvalid => "rejected_histogram_invalid",
            Self::Other => "rejected_other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_receivers_say_is_counted_by_its_reason() {
        for (text, label) in [
            ("out of order sample", "rejected_out_of_order"),
            (
                "err: out of order sample. timestamp=1, series={__name__=\"rate_limited_histogram\"}",
                "rejected_out_of_order",
            ),
            ("sample-out-of-order", "rejected_out_of_order"),
            ("out-of-order-rate-limit", "rejected_out_of_order_rate_limit"),
            (
                "user=1: err: duplicate sample for timestamp. timestamp=2026-01-01",
                "rejected_duplicate_timestamp",
            ),
            ("new-value-for-timestamp", "rejected_duplicate_timestamp"),
            ("timestamp too old: 17 metric: \"up\"", "rejected_too_old"),
            ("sample-too-old", "rejected_too_old"),
            ("greater_than_max_sample_age", "rejected_too_old"),
            ("out of bounds", "rejected_too_old"),
            ("timestamp too new: 17", "rejected_too_new"),
            ("per_user_series_limit", "rejected_series_limit"),
            (
                "Capacity from 2,000,000 to 50,000,000 is automatically adjusted based on the last 30 min",
                "rejected_series_limit",
            ),
            ("per_metric_series_limit", "rejected_metric_series_limit"),
            ("rate_limited", "rejected_rate_limited"),
            ("label_value_too_long", "rejected_label_value_too_long"),
            ("label name too long: \"x\"", "rejected_label_name_too_long"),
            ("max_label_names_per_series", "rejected_too_many_labels"),
            ("missing_metric_name", "rejected_missing_metric_name"),
            ("sample missing metric name", "rejected_missing_metric_name"),
            ("metric_name_invalid", "rejected_metric_name_invalid"),
            ("label_invalid", "rejected_label_invalid"),
            ("sample invalid label: \"a b\"", "rejected_label_invalid"),
            ("duplicate_label_names", "rejected_duplicate_label_names"),
            (
                "native_histogram_sample_size_bytes_exceeded",
                "rejected_histogram_size",
            ),
            ("native_histogram_invalid_schema", "rejected_histogram_schema"),
            ("native_histogram_invalid", "rejected_histogram_invalid"),
            ("native_histogram_buckets_exceeded", "rejected_histogram_buckets"),
            ("native_histogram_rate_limited", "rejected_histogram_rate_limited"),
            (
                "per_user_native_histogram_series_limit",
                "rejected_histogram_series_limit",
            ),
            ("native histograms are disabled", "rejected_histogram_invalid"),
            ("", "rejected_other"),
            ("something new", "rejected_other"),
        ] {
            let lost = Lost::Rejected(Reject::of(text.as_bytes()));
            assert_eq!(lost.label(), label, "{text}");
            assert_eq!(
                Lost::Rejected(Reject::of(text.to_uppercase().as_bytes())).label(),
                label
            );
        }
        assert_eq!(Reject::of(&[0xff, 0xfe]), Reject::Other);
    }
}

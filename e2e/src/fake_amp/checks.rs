//! What is checked of a series before its samples are looked at, and of a sample by itself.

use std::time::Duration;

use super::reason::Reason;
use crate::remote_write::{Histogram, Labels, TimeSeries};

/// Quotas of a workspace. Numbers that no page of AWS names are those of Cortex, which AMP began as.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Labels of a series, its name included.
    pub labels_per_series: usize,
    /// Bytes of a label's name.
    pub label_name_bytes: usize,
    /// Bytes of a label's value.
    pub label_value_bytes: usize,
    /// A sample may be so old.
    pub sample_age: Duration,
    /// A sample may be so far ahead.
    pub ahead: Duration,
    /// A sample may be so much older than the newest of its series. Zero: not older at all.
    pub out_of_order_window: Duration,
    /// Populated buckets of a native histogram.
    pub native_buckets: usize,
    /// Series of the workspace.
    pub series: usize,
    /// Samples a second, and how many of them at once; more get 429. None: as many as come.
    pub rate: Option<(u64, u64)>,
    /// Bytes of a request after inflation; a larger one gets 413.
    pub request_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            labels_per_series: 70,
            label_name_bytes: 1024,
            label_value_bytes: 2048,
            sample_age: Duration::from_secs(3600),
            ahead: Duration::from_secs(600),
            out_of_order_window: Duration::from_secs(60),
            native_buckets: 500,
            series: 50_000_000,
            rate: None,
            request_bytes: 16 * 1024 * 1024,
        }
    }
}

/// The finest resolution and the coarsest.
const SCHEMAS: std::ops::RangeInclusive<i64> = -4..=8;

/// Checks a series, whatever its samples.
pub(super) fn series(series: &TimeSeries, limits: &Limits) -> Result<(), Reason> {
    labels(&series.labels, limits)?;
    if series.samples.is_empty() == series.histograms.is_empty() {
        return Err(Reason::NoOneKind);
    }
    Ok(())
}

fn labels(labels: &Labels, limits: &Limits) -> Result<(), Reason> {
    if labels.len() > limits.labels_per_series {
        return Err(Reason::MaxLabelNamesPerSeries);
    }
    for pair in labels.windows(2) {
        if let [(before, _), (after, _)] = pair {
            match before.as_bytes().cmp(after.as_bytes()) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Err(Reason::DuplicateLabelNames),
                std::cmp::Ordering::Greater => return Err(Reason::LabelsNotSorted),
            }
        }
    }
    let mut name_seen = false;
    for (name, value) in labels {
        let is_name = name == "__name__";
        name_seen |= is_name;
        if is_name && !is_legal(value, true) {
            return Err(Reason::MetricNameInvalid);
        }
        if value.is_empty() || !is_legal(name, false) {
            return Err(Reason::LabelInvalid);
        }
        if name.len() > limits.label_name_bytes {
            return Err(Reason::LabelNameTooLong);
        }
        if value.len() > limits.label_value_bytes {
            return Err(Reason::LabelValueTooLong);
        }
    }
    if name_seen {
        Ok(())
    } else {
        Err(Reason::MissingMetricName)
    }
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`, colons in names of metrics only.
fn is_legal(name: &str, of_metric: bool) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (of_metric && byte == b':');
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(legal)
}

/// Checks a time against the fake's clock, both in milliseconds since the Unix epoch.
pub(super) fn time(timestamp: i64, now: i64, limits: &Limits) -> Result<(), Reason> {
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    if timestamp < now.saturating_sub(millis(limits.sample_age)) {
        Err(Reason::GreaterThanMaxSampleAge)
    } else if timestamp > now.saturating_add(millis(limits.ahead)) {
        Err(Reason::TooFarInFuture)
    } else {
        Ok(())
    }
}

/// Checks a histogram by itself.
pub(super) fn histogram(histogram: &Histogram, limits: &Limits) -> Result<(), Reason> {
    if !SCHEMAS.contains(&histogram.schema) {
        return Err(Reason::NativeHistogramInvalidSchema);
    }
    let invalid = |_| Reason::NativeHistogramInvalid;
    histogram.check().map_err(invalid)?;
    let populated =
        histogram.positive().map_err(invalid)?.len() + histogram.negative().map_err(invalid)?.len();
    if populated > limits.native_buckets {
        return Err(Reason::NativeHistogramBucketsExceeded);
    }
    Ok(())
}

/// A sample beside the newest of its series and what its time has already.
pub(super) fn order<T: PartialEq>(
    (timestamp, value): (i64, &T),
    newest: Option<i64>,
    known: Option<&T>,
    window: Duration,
) -> Result<Place, Reason> {
    let Some(newest) = newest else {
        return Ok(Place::Newest);
    };
    match known {
        Some(known) if known == value => return Ok(Place::Repeated),
        Some(_) => return Err(Reason::NewValueForTimestamp),
        None => {}
    }
    if timestamp > newest {
        return Ok(Place::Newest);
    }
    let window = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
    if window == 0 {
        Err(Reason::SampleOutOfOrder)
    } else if timestamp < newest.saturating_sub(window) {
        Err(Reason::SampleTooOld)
    } else {
        Ok(Place::Older)
    }
}

/// Where a good sample stands in its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// After all others.
    Newest,
    /// Before another, within the window.
    Older,
    /// It is there.
    Repeated,
}

/// What a sample is called in an answer.
pub(super) fn described(labels: &Labels, timestamp: i64) -> String {
    let labels: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    format!("timestamp={timestamp}, series={{{}}}", labels.join(", "))
}

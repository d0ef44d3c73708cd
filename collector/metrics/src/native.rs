//! Native histograms: the encoded `Histogram` of remote write 1.0, made of exponential buckets.
//!
//! Buckets are merged by their index, one after the other. Upstream's routine (`convertBucketsLayout`) keeps the index of an
//! empty group and so counts the next group under a wrong one when it merges.

use tracepipe_otlp::wire::{put_bytes_header, put_varint, varint_len};

use crate::account::DropReason;
use crate::series::{STALE_NAN, ordinary};

/// Schemas that Prometheus and Amazon Managed Prometheus take.
pub(crate) const SCHEMA_MIN: i32 = -4;
const SCHEMA_MAX: i32 = 8;

/// What is nearly zero when the sender does not say (Prometheus' default, `DefNativeHistogramZeroThreshold` being 2^-128).
const ZERO_THRESHOLD: f64 = 1e-128;

/// Counts of each half that are read. The SDKs write 160; the values of a double need 2,099 times 256 at schema 8.
pub(crate) const COUNTS_MAX: usize = 1 << 20;

/// Buckets that may be empty between two others before a new span costs less than they do.
const GAP_MAX: i64 = 2;

/// Half of an exponential histogram: buckets in a row from `offset` on, as OTLP counts them.
#[derive(Debug, Clone)]
pub(crate) struct Half<I> {
    pub(crate) offset: i64,
    pub(crate) counts: I,
}

/// An exponential histogram.
#[derive(Debug, Clone)]
pub(crate) struct Exponential<P, N> {
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) scale: i32,
    pub(crate) zero_count: u64,
    pub(crate) zero_threshold: f64,
    pub(crate) positive: Half<P>,
    pub(crate) negative: Half<N>,
}

/// Room that is used again and again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    spans: Vec<(i32, u32)>,
    deltas: Vec<i64>,
    encoded: Vec<u8>,
}

impl<I: Iterator<Item = u64> + Clone> Half<I> {
    /// Index and count of each bucket that is not empty, `2^shift` buckets merged into one. The index is Prometheus', whose
    /// buckets are counted by their upper bound: one more.
    pub(crate) fn merged(&self, shift: u32) -> impl Iterator<Item = (i64, u64)> + use<I> {
        let offset = self.offset;
        let index = move |place: usize| ((offset + place.cast_signed() as i64) >> shift.min(63)) + 1;
        let mut counts = self
            .counts
            .clone()
            .enumerate()
            .filter(|(_, count)| *count > 0)
            .peekable();
        std::iter::from_fn(move || {
            let (place, mut sum) = counts.next()?;
            let bucket = index(place);
            while let Some((_, count)) = counts.next_if(|(place, _)| index(*place) == bucket) {
                sum = sum.saturating_add(count);
            }
            Some((bucket, sum))
        })
    }

    /// The indexes of the first and the last of them.
    pub(crate) fn ends(&self, shift: u32) -> Option<(i64, i64)> {
        let mut merged = self.merged(shift).map(|(index, _)| index);
        let first = merged.next()?;
        Some((first, merged.last().unwrap_or(first)))
    }

    fn total(&self) -> Option<u64> {
        self.counts.clone().try_fold(0_u64, u64::checked_add)
    }
}

impl<P: Iterator<Item = u64> + Clone, N: Iterator<Item = u64> + Clone> Exponential<P, N> {
    /// What Prometheus would refuse: counts that do not add up, thresholds that are none (`histogram.Validate`).
    pub(crate) fn check(&self) -> Result<(), DropReason> {
        let too_many = self.positive.counts.clone().nth(COUNTS_MAX).is_some()
            || self.negative.counts.clone().nth(COUNTS_MAX).is_some();
        if self.scale < SCHEMA_MIN || too_many {
            return Err(DropReason::Scale);
        }
        let total = self
            .positive
            .total()
            .and_then(|positive| positive.checked_add(self.negative.total()?))
            .and_then(|buckets| buckets.checked_add(self.zero_count))
            .ok_or(DropReason::Buckets)?;
        // Observations that are not a number are in no bucket.
        let fits = total == self.count || (self.sum.is_nan() && total < self.count);
        let is_countable = i64::try_from(self.count).is_ok();
        let is_threshold = self.zero_threshold >= 0.0 && self.zero_threshold.is_finite();
        if fits && is_countable && is_threshold {
            Ok(())
        } else {
            Err(DropReason::Buckets)
        }
    }

    /// The encoded `Histogram`, at the highest resolution that has at most `buckets_max` populated buckets, or at the lowest
    /// there is. Of what [`Self::check`] takes.
    pub(crate) fn encode(
        &self,
        timestamp_ms: i64,
        buckets_max: u64,
        scratch: &mut Scratch,
    ) -> Result<Box<[u8]>, DropReason> {
        let mut schema = self.scale.min(SCHEMA_MAX);
        let shift = |schema: i32| self.scale.saturating_sub(schema).unsigned_abs();
        while schema > SCHEMA_MIN && self.populated(shift(schema), buckets_max) > buckets_max {
            schema -= 1;
        }
        if self.populated(shift(schema), buckets_max) > buckets_max {
            return Err(DropReason::Scale);
        }
        // Deltas that are countable one by one may not be so together. Prometheus' counts of buckets are signed.
        if i64::try_from(self.count).is_err() {
            return Err(DropReason::Buckets);
        }
        let Scratch {
            spans,
            deltas,
            encoded,
        } = scratch;
        encoded.clear();
        encoded.push(1 << 3);
        put_varint(self.count, encoded);
        put_double(3, ordinary(self.sum), encoded);
        if schema != 0 {
            encoded.push(4 << 3);
            put_varint(zigzag(schema.into()), encoded);
        }
        let threshold = if self.zero_threshold == 0.0 {
            ZERO_THRESHOLD
        } else {
            self.zero_threshold
        };
        put_double(5, threshold, encoded);
        encoded.push(6 << 3);
        put_varint(self.zero_count, encoded);
        put_half(8, self.negative.merged(shift(schema)), spans, deltas, encoded)?;
        put_half(11, self.positive.merged(shift(schema)), spans, deltas, encoded)?;
        put_time(timestamp_ms, encoded);
        Ok(Box::from(encoded.as_slice()))
    }

    /// Buckets that are not empty; more than `enough` need not be counted.
    fn populated(&self, shift: u32, enough: u64) -> u64 {
        let enough = usize::try_from(enough).unwrap_or(usize::MAX).saturating_add(1);
        let positive = self.positive.merged(shift);
        positive.chain(self.negative.merged(shift)).take(enough).count() as u64
    }
}

/// The histogram that says: there is no value any more. Prometheus looks at the sum alone.
pub(crate) fn stale(timestamp_ms: i64) -> Box<[u8]> {
    let mut encoded = vec![1 << 3, 0];
    put_double(3, STALE_NAN, &mut encoded);
    put_time(timestamp_ms, &mut encoded);
    encoded.into_boxed_slice()
}

/// The histogram of nothing.
pub(crate) fn empty(timestamp_ms: i64) -> Box<[u8]> {
    let mut encoded = vec![1 << 3, 0];
    put_double(5, ZERO_THRESHOLD, &mut encoded);
    encoded.extend_from_slice(&[6 << 3, 0]);
    put_time(timestamp_ms, &mut encoded);
    encoded.into_boxed_slice()
}

/// Spans as field `first`, deltas behind it.
fn put_half(
    first: u32,
    buckets: impl Iterator<Item = (i64, u64)>,
    spans: &mut Vec<(i32, u32)>,
    deltas: &mut Vec<i64>,
    out: &mut Vec<u8>,
) -> Result<(), DropReason> {
    spans.clear();
    deltas.clear();
    // Behind the last bucket written: `next` is the index there, `before` the count.
    let mut next = 0;
    let mut before = 0;
    for (index, count) in buckets {
        let count = count.cast_signed();
        let gap = index - next;
        match spans.last_mut() {
            Some((_, length)) if gap <= GAP_MAX => {
                for _ in 0..gap {
                    deltas.push(-before);
                    before = 0;
                    *length += 1;
                }
                *length += 1;
            }
            _ => {
                let offset = i32::try_from(gap).map_err(|_| DropReason::Scale)?;
                spans.push((offset, 1));
            }
        }
        deltas.push(count - before);
        before = count;
        next = index + 1;
    }
    for (offset, length) in spans {
        let offset = zigzag((*offset).into());
        let length = u64::from(*length);
        let offset_len = if offset == 0 { 0 } else { 1 + varint_len(offset) };
        put_bytes_header(first, offset_len + 1 + varint_len(length), out);
        if offset != 0 {
            out.push(1 << 3);
            put_varint(offset, out);
        }
        out.push(2 << 3);
        put_varint(length, out);
    }
    if !deltas.is_empty() {
        let length = deltas.iter().map(|delta| varint_len(zigzag(*delta))).sum();
        put_bytes_header(first + 1, length, out);
        for delta in deltas {
            put_varint(zigzag(*delta), out);
        }
    }
    Ok(())
}

/// A `sint32` or `sint64`.
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn put_double(field: u8, value: f64, out: &mut Vec<u8>) {
    if value.to_bits() != 0 {
        out.push(field << 3 | 1);
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
}

fn put_time(timestamp_ms: i64, out: &mut Vec<u8>) {
    if timestamp_ms != 0 {
        out.push(15 << 3);
        put_varint(timestamp_ms.cast_unsigned(), out);
    }
}

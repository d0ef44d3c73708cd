//! Exponential histograms are added bucket by bucket, at the lower of both scales.

use crate::account::DropReason;
use crate::limits::DELTA_BUCKETS_MAX;
use crate::native::{Exponential, Half, SCHEMA_MIN};

/// What has been added up.
#[derive(Debug, Clone)]
pub(crate) struct ExponentialSum {
    count: u64,
    sum: f64,
    scale: i32,
    zero_count: u64,
    zero_threshold: f64,
    positive: Row,
    negative: Row,
}

/// Counts of buckets in a row, no more than [`DELTA_BUCKETS_MAX`].
#[derive(Debug, Clone, Default)]
struct Row {
    /// Of the first count, as OTLP counts them.
    offset: i64,
    counts: Vec<u64>,
}

impl ExponentialSum {
    /// Nothing yet.
    pub(crate) fn new(scale: i32) -> Self {
        Self {
            count: 0,
            sum: 0.0,
            scale,
            zero_count: 0,
            zero_threshold: 0.0,
            positive: Row::default(),
            negative: Row::default(),
        }
    }

    /// Adds a delta that [`Exponential::check`] takes. At an error nothing is added.
    pub(crate) fn add<P, N>(&mut self, delta: &Exponential<P, N>) -> Result<(), DropReason>
    where
        P: Iterator<Item = u64> + Clone,
        N: Iterator<Item = u64> + Clone,
    {
        let mut scale = self.scale.min(delta.scale);
        let shifts = |scale: i32| (shift(self.scale, scale), shift(delta.scale, scale));
        while !self.positive.fits(&delta.positive, shifts(scale))
            || !self.negative.fits(&delta.negative, shifts(scale))
        {
            if scale <= SCHEMA_MIN {
                return Err(DropReason::Scale);
            }
            scale -= 1;
        }
        let (mine, theirs) = shifts(scale);
        self.positive.add(mine, &delta.positive, theirs);
        self.negative.add(mine, &delta.negative, theirs);
        self.scale = scale;
        self.count = self.count.saturating_add(delta.count);
        self.sum += delta.sum;
        self.zero_count = self.zero_count.saturating_add(delta.zero_count);
        let is_empty = self.count == delta.count;
        let widest = self.zero_threshold.max(delta.zero_threshold);
        let is_wider = !is_empty && self.zero_threshold != delta.zero_threshold;
        self.zero_threshold = widest;
        if is_wider {
            self.widen_zero();
        }
        Ok(())
    }

    /// What one of both counted in buckets below the threshold of the other counts as zero, too. A bucket that lies on the
    /// threshold moves it up to its own end (Prometheus' native histogram specification, "Zero bucket").
    fn widen_zero(&mut self) {
        let buckets_per_double = f64::from(self.scale).exp2();
        // Bucket `i` lies above `2^(i / 2^scale)`; the conversion saturates.
        #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
        let end = (self.zero_threshold.log2() * buckets_per_double).ceil() as i64;
        for row in [&mut self.positive, &mut self.negative] {
            let Some((count, highest)) = row.take_below(end) else {
                continue;
            };
            self.zero_count = self.zero_count.saturating_add(count);
            #[expect(clippy::cast_precision_loss, reason = "a bucket's index is far below 2^53")]
            let end = ((highest + 1) as f64 / buckets_per_double).exp2();
            self.zero_threshold = self.zero_threshold.max(end.min(f64::MAX));
        }
    }

    /// As a histogram.
    pub(crate) fn total(
        &self,
    ) -> Exponential<impl Iterator<Item = u64> + Clone + '_, impl Iterator<Item = u64> + Clone + '_> {
        Exponential {
            count: self.count,
            sum: self.sum,
            scale: self.scale,
            zero_count: self.zero_count,
            zero_threshold: self.zero_threshold,
            positive: self.positive.as_half(),
            negative: self.negative.as_half(),
        }
    }
}

fn shift(from: i32, to: i32) -> u32 {
    from.saturating_sub(to).unsigned_abs()
}

impl Row {
    fn as_half(&self) -> Half<impl Iterator<Item = u64> + Clone + '_> {
        Half {
            offset: self.offset,
            counts: self.counts.iter().copied(),
        }
    }

    /// Both together are no longer than a row may be, at a lower scale each.
    fn fits<I: Iterator<Item = u64> + Clone>(&self, other: &Half<I>, (mine, theirs): (u32, u32)) -> bool {
        let mut ends = self.as_half().ends(mine);
        if let Some((first, last)) = other.ends(theirs) {
            let (low, high) = ends.unwrap_or((first, last));
            ends = Some((low.min(first), high.max(last)));
        }
        ends.is_none_or(|(low, high)| high - low < DELTA_BUCKETS_MAX.cast_signed() as i64)
    }

    /// Takes out what is counted before a bucket; with the last bucket that had a count.
    fn take_below(&mut self, end: i64) -> Option<(u64, i64)> {
        let end = usize::try_from(end.saturating_sub(self.offset)).ok()?;
        let end = end.min(self.counts.len());
        let taken = self.counts.get_mut(..end)?;
        let highest = taken.iter().rposition(|count| *count > 0)?;
        let total = taken.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
        taken.fill(0);
        Some((total, self.offset + i64::try_from(highest).ok()?))
    }

    fn add<I: Iterator<Item = u64> + Clone>(&mut self, mine: u32, other: &Half<I>, theirs: u32) {
        let ends = [self.as_half().ends(mine), other.ends(theirs)];
        let Some(low) = ends.iter().flatten().map(|(first, _)| *first).min() else {
            return;
        };
        let high = ends.iter().flatten().map(|(_, last)| *last).max().unwrap_or(low);
        let mut counts = vec![0_u64; usize::try_from(high - low + 1).unwrap_or_default()];
        let mut put = |index: i64, count: u64| {
            let slot = usize::try_from(index - low)
                .ok()
                .and_then(|place| counts.get_mut(place));
            if let Some(slot) = slot {
                *slot = slot.saturating_add(count);
            }
        };
        for (index, count) in self.as_half().merged(mine) {
            put(index, count);
        }
        for (index, count) in other.merged(theirs) {
            put(index, count);
        }
        // Merged indexes are Prometheus', one more than OTLP's.
        self.offset = low - 1;
        self.counts = counts;
    }
}

//! Series that the receiver does not take, whatever their samples: for a while they are not sent.
//!
//! To find a wrong sample costs a dozen requests, and a request has a bound of them: a few series that are always wrong
//! would cost their neighbours' samples, at every flush anew.
//!
//! Of each series only hashes are kept, which name 128 bits of it: two that are taken for one are not to be expected.
//!
//! Pure: time is a parameter.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tracepipe_metrics::TranslatedSeries;

use super::reason::Reject;
use crate::limiter::{Held, MemoryLimiter};

/// So long a series is not sent; then it is asked for again, since limits are raised.
pub(super) const KEPT: Duration = Duration::from_secs(600);

/// As many are remembered; of more, those that came last.
const SERIES_MAX: usize = 16_384;

/// What one takes in memory, at most: its place in a table that has just grown and its place in the order, twice.
const SERIES_BYTES: u64 = 128;

/// The series.
pub(super) struct RefusedSeries {
    /// By [`TranslatedSeries::hash`].
    series: HashMap<u64, Refused>,
    /// When each is forgotten, the next one first.
    order: VecDeque<(Duration, u64)>,
    /// Of labels.
    hasher: RandomState,
    held: Held,
}

struct Refused {
    /// Another hash of the labels.
    labels: u64,
    reject: Reject,
}

// === impl RefusedSeries ===

impl RefusedSeries {
    /// None.
    pub(super) fn new(limiter: &MemoryLimiter) -> Self {
        Self {
            series: HashMap::new(),
            order: VecDeque::new(),
            hasher: RandomState::new(),
            held: limiter.hold(0),
        }
    }

    /// The receiver has refused this sample alone. True when its series is not sent from now on: it would be refused
    /// again.
    pub(super) fn remember(&mut self, sample: &TranslatedSeries, reject: Reject, now: Duration) -> bool {
        let stays = reject.is_of_labels() || (reject.is_of_histograms() && sample.is_histogram());
        if !stays {
            return false;
        }
        let labels = self.hasher.hash_one(sample.labels());
        let refused = Refused { labels, reject };
        if self.series.insert(sample.hash, refused).is_none() {
            self.order.push_back((now + KEPT, sample.hash));
        }
        while self.series.len() > SERIES_MAX {
            self.forget_next();
        }
        self.account();
        true
    }

    /// Takes out the samples that would be refused, and tells why.
    pub(super) fn take_out(
        &mut self,
        samples: &mut Vec<TranslatedSeries>,
        now: Duration,
        mut lost: impl FnMut(Reject),
    ) {
        if self.series.is_empty() {
            return;
        }
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_next();
        }
        self.account();
        samples.retain(|one| {
            let reject = self.reject_of(one);
            reject.into_iter().for_each(&mut lost);
            reject.is_none()
        });
    }

    fn reject_of(&self, sample: &TranslatedSeries) -> Option<Reject> {
        let known = self.series.get(&sample.hash)?;
        let is_it = known.reject.is_of_labels() || sample.is_histogram();
        (is_it && known.labels == self.hasher.hash_one(sample.labels())).then_some(known.reject)
    }

    fn forget_next(&mut self) {
        if let Some((_, hash)) = self.order.pop_front() {
            self.series.remove(&hash);
        }
        if self.series.is_empty() {
            self.series = HashMap::new();
            self.order = VecDeque::new();
        }
    }

    fn account(&mut self) {
        self.held.set(self.series.len() as u64 * SERIES_BYTES);
    }
}

#[cfg(test)]
mod tests;

//! What waits to be sent: samples in the order in which they came, each series in one shard.
//!
//! A shard's samples go when they fill a request (in samples or bytes), when the oldest has waited long enough, when it is
//! the next to make room in a queue that is half full, or when all must go. All shards share one bound in bytes and one in samples; beyond it the oldest samples of all are dropped.
//!
//! Pure: time is a parameter.

use std::collections::VecDeque;
use std::time::Duration;

use tracepipe_config::RemoteWriteSettings;
use tracepipe_metrics::TranslatedSeries;

/// What a sample takes in memory beside its encoded bytes: its place in the queue, the head of an allocation for its
/// labels and one for what else it has.
const SAMPLE_BYTES: u64 = size_of::<Waiting>() as u64 + 2 * 32;

/// Samples that wait.
#[derive(Debug)]
pub(super) struct Shards {
    shards: Vec<Shard>,
    /// Most samples of a request.
    samples_max: usize,
    /// How long a sample waits for others at most.
    deadline: Duration,
    /// Bounds of what waits.
    bytes_max: u64,
    waiting_max: u64,
    /// What waits.
    bytes: u64,
    waiting: u64,
    next_number: u64,
    /// All must go.
    is_closing: bool,
}

#[derive(Debug, Default)]
struct Shard {
    samples: VecDeque<Waiting>,
    /// Bytes that they make of requests, at most.
    encoded: u64,
}

#[derive(Debug)]
struct Waiting {
    series: TranslatedSeries,
    encoded: u64,
    since: Duration,
    /// In the order in which they came, over all shards.
    number: u64,
}

/// When a shard has something to send.
#[derive(Debug)]
pub(super) enum Ready {
    /// These.
    Now(Vec<TranslatedSeries>),
    /// Then, if not before.
    At(Duration),
    /// When something comes.
    Empty,
    /// Never again.
    Over,
}

// === impl Shards ===

impl Shards {
    /// Empty.
    pub(super) fn new(settings: &RemoteWriteSettings, bytes_max: u64) -> Self {
        let samples_max = settings.max_samples_per_send.max(1);
        Self {
            shards: (0..settings.shards.max(1)).map(|_| Shard::default()).collect(),
            samples_max: usize::try_from(samples_max).unwrap_or(usize::MAX),
            deadline: settings.batch_send_deadline,
            bytes_max,
            waiting_max: settings.queue_size.saturating_mul(samples_max),
            bytes: 0,
            waiting: 0,
            next_number: 0,
            is_closing: false,
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.shards.len()
    }

    /// Adds a sample to the shard of its series, which is given.
    pub(super) fn push(&mut self, series: TranslatedSeries, now: Duration) -> usize {
        // The low bits of a hash choose the place in a table of our own or of the translation: take others.
        let at = (series.hash >> 32) % self.shards.len() as u64;
        let at = usize::try_from(at).unwrap_or_default();
        let encoded = series.encoded_len() as u64;
        let shard = &mut self.shards[at];
        shard.encoded += encoded;
        shard.samples.push_back(Waiting {
            series,
            encoded,
            since: now,
            number: self.next_number,
        });
        self.next_number += 1;
        self.bytes += encoded + SAMPLE_BYTES;
        self.waiting += 1;
        at
    }

    /// Drops the oldest samples until the rest fits; gives their number.
    pub(super) fn make_room(&mut self) -> u64 {
        let before = self.waiting;
        while self.bytes > self.bytes_max || self.waiting > self.waiting_max {
            let Some(at) = self.oldest() else { break };
            self.pop(at);
        }
        before - self.waiting
    }

    /// The shard with the oldest sample, when more than half of a bound is used up: what waits for a full request there
    /// may be dropped before that comes.
    pub(super) fn urgent(&self) -> Option<usize> {
        let is_crowded = self.bytes > self.bytes_max / 2 || self.waiting > self.waiting_max / 2;
        is_crowded.then(|| self.oldest()).flatten()
    }

    /// What a shard sends next, in requests of at most `bytes_max` bytes; a sample that has more goes alone.
    pub(super) fn take(&mut self, at: usize, bytes_max: u64, now: Duration) -> Ready {
        let shard = &self.shards[at];
        let Some(oldest) = shard.samples.front() else {
            return if self.is_closing {
                Ready::Over
            } else {
                Ready::Empty
            };
        };
        let due = oldest.since + self.deadline;
        let is_full = shard.samples.len() >= self.samples_max || shard.encoded >= bytes_max;
        if !is_full && !self.is_closing && now < due && self.urgent() != Some(at) {
            return Ready::At(due);
        }
        let mut taken = Vec::with_capacity(shard.samples.len().min(self.samples_max));
        let mut bytes = 0;
        while taken.len() < self.samples_max
            && let Some(next) = self.shards[at].samples.front()
        {
            bytes += next.encoded;
            if bytes > bytes_max && !taken.is_empty() {
                break;
            }
            taken.extend(self.pop(at));
        }
        Ready::Now(taken)
    }

    /// From now on all must go, and nothing else comes.
    pub(super) fn close(&mut self) {
        self.is_closing = true;
    }

    /// Drops what waits in a shard; gives the number of samples.
    pub(super) fn clear(&mut self, at: usize) -> u64 {
        let before = self.waiting;
        while self.pop(at).is_some() {}
        before - self.waiting
    }

    /// Bytes of memory that wait.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When the oldest sample came.
    pub(super) fn oldest_since(&self) -> Option<Duration> {
        let shard = &self.shards[self.oldest()?];
        shard.samples.front().map(|oldest| oldest.since)
    }

    /// When the oldest sample of this shard came.
    pub(super) fn since(&self, at: usize) -> Option<Duration> {
        self.shards[at].samples.front().map(|oldest| oldest.since)
    }

    /// What samples take in memory that have been taken out.
    pub(super) fn bytes_of(taken: &[TranslatedSeries]) -> u64 {
        let encoded: u64 = taken.iter().map(|one| one.encoded_len() as u64).sum();
        encoded + taken.len() as u64 * SAMPLE_BYTES
    }

    /// The shard with the oldest sample.
    fn oldest(&self) -> Option<usize> {
        let firsts = self.shards.iter().map(|shard| shard.samples.front());
        firsts
            .enumerate()
            .filter_map(|(at, first)| Some((first?.number, at)))
            .min()
            .map(|(_, at)| at)
    }

    fn pop(&mut self, at: usize) -> Option<TranslatedSeries> {
        let shard = &mut self.shards[at];
        let oldest = shard.samples.pop_front()?;
        shard.encoded -= oldest.encoded;
        self.bytes -= oldest.encoded + SAMPLE_BYTES;
        self.waiting -= 1;
        if shard.samples.is_empty() {
            // What an outage took is given back.
            shard.samples.shrink_to(self.samples_max);
        }
        Some(oldest.series)
    }
}

#[cfg(test)]
mod tests;

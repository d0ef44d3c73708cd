//! The queue of a remote write exporter as its owner sees it, and the account of what came out of it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tracepipe_config::RemoteWriteSettings;
use tracepipe_metrics::{TranslatedSeries, write_request};

use super::account::RemoteWriteAccount;
use super::reason::Lost;
use super::shards::{Ready, Shards};
use crate::clock::Clock;
use crate::limiter::{Held, MemoryLimiter};

/// Longest pause between two attempts once all must go.
const LAST_PAUSE_MAX: Duration = Duration::from_millis(500);

/// Requests with metadata that wait; the oldest makes room. There are new ones every minute.
const METADATA_REQUESTS_MAX: usize = 16;

/// The queue; clones share it.
#[derive(Clone)]
pub(crate) struct SampleQueue {
    inner: Rc<Inner>,
}

struct Inner {
    state: RefCell<State>,
    /// One for each shard.
    wakes: Vec<Notify>,
    metadata_wake: Notify,
    closing: Notify,
    limiter: MemoryLimiter,
    clock: Clock,
}

struct State {
    shards: Shards,
    account: RemoteWriteAccount,
    metadata: VecDeque<Vec<u8>>,
    /// Of each shard: when the oldest sample came that it has taken out, and that has come to no end.
    flights: Vec<Option<Duration>>,
    /// The place of what waits in the memory account.
    held: Held,
    /// When what has not been taken is given up; set once all must go.
    ends: Option<Duration>,
    /// Samples have been dropped since the queue was last empty.
    is_full: bool,
}

/// Samples that were taken out of the queue. What has come to no end when it is dropped (no time left, a panic) is lost,
/// and counted so.
pub(super) struct Flight {
    queue: SampleQueue,
    shard: usize,
    left: u64,
    _held: Held,
}

// === impl SampleQueue ===

impl SampleQueue {
    /// Empty; it may hold `bytes_max` bytes of memory.
    pub(super) fn new(
        id: &str,
        settings: &RemoteWriteSettings,
        limiter: &MemoryLimiter,
        bytes_max: u64,
        clock: Clock,
    ) -> Self {
        let shards = Shards::new(settings, bytes_max);
        let flights = vec![None; shards.count()];
        let wakes = (0..shards.count()).map(|_| Notify::new()).collect();
        let account = RemoteWriteAccount {
            id: id.to_owned(),
            queue_bytes_max: bytes_max,
            shards: shards.count() as u64,
            ..RemoteWriteAccount::default()
        };
        Self {
            inner: Rc::new(Inner {
                state: RefCell::new(State {
                    shards,
                    account,
                    metadata: VecDeque::new(),
                    flights,
                    held: limiter.hold(0),
                    ends: None,
                    is_full: false,
                }),
                wakes,
                metadata_wake: Notify::new(),
                closing: Notify::new(),
                limiter: limiter.clone(),
                clock,
            }),
        }
    }

    /// Takes samples over, in the order in which they came. Never waits: the oldest make room. The room of `series` can
    /// be used again.
    pub(crate) fn push(&self, series: &mut Vec<TranslatedSeries>) {
        let now = self.inner.clock.now();
        let mut state = self.inner.state.borrow_mut();
        let state = &mut *state;
        state.account.translated += series.len() as u64;
        state.account.waiting += series.len() as u64;
        let mut touched = 0_u64;
        for one in series.drain(..) {
            // There are no more than 64 shards (`remote_write_queue.num_consumers`).
            touched |= 1 << (state.shards.push(one, now) % 64);
        }
        let dropped = state.shards.make_room();
        touched |= state.shards.urgent().map_or(0, |at| 1 << (at % 64));
        state.account.waiting -= dropped;
        state.account.lose(Lost::QueueFull, dropped);
        if dropped > 0 && !std::mem::replace(&mut state.is_full, true) {
            tracing::warn!(
                exporter = state.account.id,
                "the exporter's queue is full: the oldest samples are dropped and counted"
            );
        }
        state.held.set(state.shards.bytes());
        for (at, wake) in self.inner.wakes.iter().enumerate() {
            if touched & (1 << (at % 64)) != 0 {
                wake.notify_one();
            }
        }
    }

    /// Takes over an encoded write request that has metadata and no samples. It goes beside the samples: none waits for
    /// it.
    pub(crate) fn push_metadata(&self, request: Vec<u8>) {
        let mut state = self.inner.state.borrow_mut();
        if state.ends.is_some() {
            return;
        }
        state.metadata.push_back(request);
        while state.metadata.len() > METADATA_REQUESTS_MAX {
            state.metadata.pop_front();
            state.account.metadata_lost += 1;
        }
        self.inner.metadata_wake.notify_one();
    }

    /// No sample comes any more: what there is goes at once, pauses are short, and what has not been taken after `within`
    /// is given up. The exporter's tasks have ended by then.
    pub(crate) fn drain(&self, within: Duration) {
        let mut state = self.inner.state.borrow_mut();
        let ends = self.inner.clock.now() + within;
        state.ends = Some(state.ends.map_or(ends, |before| before.min(ends)));
        state.shards.close();
        state.account.metadata_lost += state.metadata.len() as u64;
        state.metadata.clear();
        drop(state);
        self.inner.wakes.iter().for_each(Notify::notify_one);
        self.inner.metadata_wake.notify_one();
        self.inner.closing.notify_waiters();
    }

    /// Gives up what waits. For an owner that has ended the exporter's tasks itself.
    pub(crate) fn abandon(&self) {
        for shard in 0..self.inner.wakes.len() {
            self.abandon_shard(shard);
        }
    }

    /// The account now.
    pub(crate) fn account(&self) -> RemoteWriteAccount {
        let state = self.inner.state.borrow();
        let now = self.inner.clock.now();
        let waiting = state.shards.oldest_since();
        let oldest = state.flights.iter().copied().chain([waiting]).flatten().min();
        let age = |since: Option<Duration>| since.map(|since| now.saturating_sub(since));
        RemoteWriteAccount {
            queue_bytes: state.shards.bytes(),
            oldest_age: age(waiting).unwrap_or_default(),
            lag: age(oldest).unwrap_or_default(),
            ..state.account.clone()
        }
    }

    /// Changes the account.
    pub(super) fn update(&self, change: impl FnOnce(&mut RemoteWriteAccount)) {
        change(&mut self.inner.state.borrow_mut().account);
    }

    /// How many shards there are.
    pub(super) fn shards(&self) -> usize {
        self.inner.wakes.len()
    }

    /// The next request of a shard: sorted, and each time of a series once. None when no other will come.
    pub(super) async fn next(
        &self,
        shard: usize,
        bytes_max: impl Fn() -> u64,
    ) -> Option<(Vec<TranslatedSeries>, Flight)> {
        let wake = &self.inner.wakes[shard];
        loop {
            let now = self.inner.clock.now();
            let (since, ready, urgent) = {
                let shards = &mut self.inner.state.borrow_mut().shards;
                let since = shards.since(shard);
                (since, shards.take(shard, bytes_max(), now), shards.urgent())
            };
            match ready {
                Ready::Now(mut series) => {
                    if let Some(next) = urgent {
                        self.inner.wakes[next].notify_one();
                    }
                    let mut flight = self.take_off(shard, since, &series);
                    let again = write_request::sort(&mut series) as u64;
                    flight.lost(Lost::Duplicate, again);
                    return Some((series, flight));
                }
                Ready::At(due) => {
                    // Too late is no harm: it ends the wait for others, and no more.
                    drop(tokio::time::timeout(due.saturating_sub(now), wake.notified()).await);
                }
                Ready::Empty => wake.notified().await,
                Ready::Over => return None,
            }
        }
    }

    /// The next request with metadata; none when all must go.
    pub(super) async fn next_metadata(&self) -> Option<Vec<u8>> {
        loop {
            {
                let mut state = self.inner.state.borrow_mut();
                if state.ends.is_some() {
                    return None;
                }
                if let Some(request) = state.metadata.pop_front() {
                    return Some(request);
                }
            }
            self.inner.metadata_wake.notified().await;
        }
    }

    /// Waits until all must go; afterwards for [`LAST_PAUSE_MAX`]. Whoever waits for a better time to send has little left
    /// then, and tries.
    pub(super) async fn last_call(&self) {
        let closing = self.inner.closing.notified();
        let is_closing = self.inner.state.borrow().ends.is_some();
        if is_closing {
            tokio::time::sleep(LAST_PAUSE_MAX).await;
        } else {
            closing.await;
        }
    }

    /// Waits until there is no time left.
    pub(super) async fn end(&self) {
        loop {
            let closing = self.inner.closing.notified();
            let ends = self.inner.state.borrow().ends;
            match ends {
                // A second call may set an earlier end.
                Some(ends) => {
                    let left = ends.saturating_sub(self.inner.clock.now());
                    if tokio::time::timeout(left, closing).await.is_err() {
                        return;
                    }
                }
                None => closing.await,
            }
        }
    }

    /// Gives up what waits in a shard.
    pub(super) fn abandon_shard(&self, shard: usize) {
        let mut state = self.inner.state.borrow_mut();
        let samples = state.shards.clear(shard);
        state.account.waiting -= samples;
        state.account.lose(Lost::Shutdown, samples);
        state.settle();
    }

    fn take_off(&self, shard: usize, since: Option<Duration>, series: &[TranslatedSeries]) -> Flight {
        let mut state = self.inner.state.borrow_mut();
        let samples = series.len() as u64;
        state.account.waiting -= samples;
        state.account.in_flight += samples;
        state.flights[shard] = since;
        state.settle();
        Flight {
            queue: self.clone(),
            shard,
            left: samples,
            _held: self.inner.limiter.hold(Shards::bytes_of(series)),
        }
    }
}

// === impl State ===

impl State {
    /// Something has gone from the queue.
    fn settle(&mut self) {
        self.held.set(self.shards.bytes());
        self.is_full &= self.shards.bytes() > 0;
    }
}

// === impl Flight ===

impl Flight {
    /// The receiver took these.
    pub(super) fn written(&mut self, series: &[TranslatedSeries]) {
        let samples = self.settle(series.len() as u64);
        let histograms = series.iter().filter(|one| one.is_histogram()).count() as u64;
        let exemplars: usize = series.iter().map(TranslatedSeries::exemplars).sum();
        let newest = series.iter().map(TranslatedSeries::timestamp_ms).max();
        self.queue.update(|account| {
            account.written += samples;
            account.histograms_written += histograms;
            account.exemplars_written += exemplars as u64;
            account.newest_written_ms = account.newest_written_ms.max(newest);
            account.in_flight -= samples;
        });
    }

    /// The receiver has these already, by all that is known.
    pub(super) fn presumed_written(&mut self, series: &[TranslatedSeries]) {
        self.written(series);
        self.queue
            .update(|account| account.presumed_written += series.len() as u64);
    }

    /// So many are given up.
    pub(super) fn lost(&mut self, reason: Lost, samples: u64) {
        let samples = self.settle(samples);
        self.queue.update(|account| {
            account.lose(reason, samples);
            account.in_flight -= samples;
        });
    }

    fn settle(&mut self, samples: u64) -> u64 {
        let samples = samples.min(self.left);
        self.left -= samples;
        samples
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let is_closing = self.queue.inner.state.borrow().ends.is_some();
        let reason = if is_closing {
            Lost::Shutdown
        } else {
            Lost::Abandoned
        };
        self.lost(reason, self.left);
        self.queue.inner.state.borrow_mut().flights[self.shard] = None;
    }
}

//! Deltas are added up: Prometheus knows totals only.
//!
//! As the Collector's `deltatocumulative`, but that streams and their bytes are bounded, and that a stream which ends is
//! marked stale. The sum begins with the first delta and at its start time.
//!
//! The sum outlives its series. SDKs send no delta while nothing is observed, so a counter of what is rare falls silent, is
//! marked stale and comes back. If its sum began anew, the series would be 1, stale, 1: `rate` and `increase` pass over
//! markers and see nothing happen. With its sum it is 1, stale, 2.

mod exponential;

use std::rc::Rc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::account::DropReason;
use crate::identity::Identity;
use crate::limits::{DELTA_BUCKETS_MAX, DELTA_BYTES_MAX, GAP_MS, SUM_KEPT_MS};
use crate::stream::Stream;
use crate::time::millis;

pub(crate) use exponential::ExponentialSum;

/// The streams that deltas are added up of.
#[derive(Debug)]
pub(crate) struct Deltas {
    streams: HashTable<Slot>,
    streams_max: usize,
    /// Those of them that have ended.
    ended: usize,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Slot {
    identity: Identity,
    series: SeriesOf,
    bytes: usize,
    start_nanos: u64,
    last_nanos: u64,
    /// By our clock.
    seen_ms: i64,
    sum: Sum,
}

/// What is known of the series of a sum.
#[derive(Debug)]
enum SeriesOf {
    Live(Rc<Stream>),
    /// They have been marked stale. Of them there is left what their sum was made for.
    Ended(Box<[u64]>),
}

/// What has been added up of a stream.
#[derive(Debug)]
pub(crate) enum Sum {
    Number(f64),
    Explicit(ExplicitSum),
    Exponential(ExponentialSum),
}

/// Of a histogram with explicit bounds.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExplicitSum {
    pub(crate) count: u64,
    /// Absent from the first delta on that has none.
    pub(crate) sum: Option<f64>,
    pub(crate) counts: Vec<u64>,
}

/// When a delta is of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interval {
    pub(crate) start_nanos: u64,
    pub(crate) end_nanos: u64,
    pub(crate) now_ms: i64,
}

/// What is known of a stream when a delta has been found to follow.
#[derive(Debug)]
pub(crate) struct Advance<'a> {
    pub(crate) sum: &'a mut Sum,
    /// When the sum began.
    pub(crate) start_nanos: u64,
    /// Deltas are missing before this one.
    pub(crate) has_gap: bool,
    /// The stream's buckets have other bounds than before: the sum begins anew.
    pub(crate) is_reset: bool,
    /// This is the first delta of the sum.
    pub(crate) is_first: bool,
}

/// A stream that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) stream: Rc<Stream>,
    pub(crate) last_ms: i64,
}

// === impl Deltas ===

impl Deltas {
    pub(crate) fn new(streams_max: usize) -> Self {
        Self {
            streams: HashTable::new(),
            streams_max,
            ended: 0,
            bytes: 0,
            bytes_max: DELTA_BYTES_MAX,
        }
    }

    /// With another bound than [`DELTA_BYTES_MAX`].
    pub(crate) fn set_bytes_max(&mut self, bytes: usize) {
        self.bytes_max = bytes;
    }

    /// Bytes that the streams take, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A stream that has not ended.
    pub(crate) fn stream(&self, identity: Identity) -> Option<&Rc<Stream>> {
        let found = self
            .streams
            .find(identity.hash(), |slot| slot.identity == identity)?;
        match &found.series {
            SeriesOf::Live(stream) => Some(stream),
            SeriesOf::Ended(_) => None,
        }
    }

    /// The sum that a delta is to be added to; `begin` makes it when the stream is new.
    pub(crate) fn advance(
        &mut self,
        stream: &Rc<Stream>,
        interval: Interval,
        begin: impl Fn() -> Sum,
    ) -> Result<Advance<'_>, DropReason> {
        self.make_room();
        let Self {
            streams,
            streams_max,
            ended,
            bytes,
            bytes_max,
        } = self;
        let identity = stream.identity;
        let count = streams.len();
        let entry = streams.entry(
            identity.hash(),
            |slot| slot.identity == identity,
            |slot| slot.identity.hash(),
        );
        match entry {
            Entry::Occupied(found) => {
                let slot = found.into_mut();
                slot.check_order(interval)?;
                let is_reset = slot.has_other_bounds(stream);
                if is_reset || slot.has_ended() {
                    let fresh = is_reset.then(begin);
                    let size = weight(stream, fresh.as_ref().unwrap_or(&slot.sum));
                    let others = *bytes - slot.bytes;
                    if size > slot.bytes && others + size > *bytes_max {
                        return Err(DropReason::StreamsFull);
                    }
                    *bytes = others + size;
                    slot.bytes = size;
                    *ended -= usize::from(slot.has_ended());
                    if let Some(fresh) = fresh {
                        slot.sum = fresh;
                        slot.start_nanos = interval.start();
                    }
                }
                Ok(slot.advance(stream, interval, is_reset))
            }
            Entry::Vacant(vacant) => {
                let sum = begin();
                let size = weight(stream, &sum);
                if count >= *streams_max || *bytes + size > *bytes_max {
                    return Err(DropReason::StreamsFull);
                }
                *bytes += size;
                let slot = vacant.insert(Slot {
                    identity,
                    series: SeriesOf::Live(Rc::clone(stream)),
                    bytes: size,
                    start_nanos: interval.start(),
                    last_nanos: interval.end_nanos,
                    seen_ms: interval.now_ms,
                    sum,
                });
                Ok(Advance {
                    sum: &mut slot.into_mut().sum,
                    start_nanos: interval.start(),
                    has_gap: false,
                    is_reset: false,
                    is_first: true,
                })
            }
        }
    }

    /// Sums of streams that have ended make room for others, the oldest half of them at a time.
    fn make_room(&mut self) {
        let is_full = self.streams.len() >= self.streams_max || self.bytes > self.bytes_max / 16 * 15;
        if !is_full || self.ended == 0 {
            return;
        }
        let ended = self.streams.iter().filter(|slot| slot.has_ended());
        let mut seen: Vec<i64> = ended.map(|slot| slot.seen_ms).collect();
        let middle = seen.len() / 2;
        let (_, newest_ms, _) = seen.select_nth_unstable(middle);
        self.forget_ended(*newest_ms);
    }

    /// Forgets the sums of streams that nothing has come for since `before_ms` and that have ended.
    fn forget_ended(&mut self, before_ms: i64) {
        let old = self
            .streams
            .extract_if(|slot| slot.has_ended() && slot.seen_ms <= before_ms);
        for slot in old {
            self.bytes -= slot.bytes;
            self.ended -= 1;
        }
    }

    /// A point of the stream says that there is no value: the sum stays for what may follow.
    pub(crate) fn pause(&mut self, identity: Identity, interval: Interval) {
        let found = self
            .streams
            .find_mut(identity.hash(), |slot| slot.identity == identity);
        if let Some(slot) = found {
            slot.last_nanos = slot.last_nanos.max(interval.end_nanos);
            slot.seen_ms = interval.now_ms;
        }
    }

    /// Ends the streams that nothing has come for since `before_ms` and gives them in the order of their labels. Their sums
    /// are kept for what may follow, for [`SUM_KEPT_MS`] or until there is no room.
    pub(crate) fn end_silent(&mut self, before_ms: i64) -> Vec<Ended> {
        self.forget_ended(before_ms.saturating_sub(SUM_KEPT_MS));
        let silent = self.streams.iter_mut().filter(|slot| slot.seen_ms <= before_ms);
        let mut ended = Vec::new();
        for slot in silent {
            let had = slot.bytes;
            ended.extend(slot.end());
            self.bytes = self.bytes + slot.bytes - had;
        }
        self.ended += ended.len();
        ended.sort_by(|a, b| first_labels(&a.stream).cmp(first_labels(&b.stream)));
        ended
    }

    /// Nothing is held, not even of streams that have ended.
    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Streams that have not ended.
    pub(crate) fn len(&self) -> usize {
        self.streams.len() - self.ended
    }
}

/// Bytes that a stream and its sum take, roughly.
fn weight(stream: &Stream, sum: &Sum) -> usize {
    stream.weight() + sum_weight(sum)
}

fn sum_weight(sum: &Sum) -> usize {
    let counts = match sum {
        Sum::Number(_) => 0,
        Sum::Explicit(sum) => sum.counts.len(),
        Sum::Exponential(_) => 2 * DELTA_BUCKETS_MAX,
    };
    size_of::<Slot>() + counts * size_of::<u64>()
}

fn first_labels(stream: &Stream) -> &[u8] {
    stream.series.first().map_or(&[], |series| &series.labels)
}

// === impl Interval ===

impl Interval {
    /// When a sum began of which this is the first delta.
    fn start(&self) -> u64 {
        match self.start_nanos {
            // Not known: the sum is of this moment.
            0 => self.end_nanos,
            start => start,
        }
    }
}

// === impl Slot ===

impl Slot {
    fn has_ended(&self) -> bool {
        matches!(self.series, SeriesOf::Ended(_))
    }

    fn has_other_bounds(&self, stream: &Rc<Stream>) -> bool {
        match &self.series {
            SeriesOf::Live(mine) => !Rc::ptr_eq(mine, stream) && !mine.has_layout(&stream.layout),
            SeriesOf::Ended(layout) => *layout != stream.layout,
        }
    }

    /// What has been added once is not added again.
    fn check_order(&self, interval: Interval) -> Result<(), DropReason> {
        let is_older = interval.start_nanos != 0 && interval.start_nanos < self.start_nanos;
        if interval.end_nanos <= self.last_nanos || is_older {
            return Err(DropReason::DeltaOutOfOrder);
        }
        Ok(())
    }

    fn advance(&mut self, stream: &Rc<Stream>, interval: Interval, is_reset: bool) -> Advance<'_> {
        let has_gap = millis(interval.start_nanos) > millis(self.last_nanos) + GAP_MS;
        self.series = SeriesOf::Live(Rc::clone(stream));
        self.last_nanos = interval.end_nanos;
        self.seen_ms = interval.now_ms;
        Advance {
            sum: &mut self.sum,
            start_nanos: self.start_nanos,
            has_gap,
            is_reset,
            is_first: is_reset,
        }
    }

    /// Keeps the sum only; none if that is so already.
    fn end(&mut self) -> Option<Ended> {
        let SeriesOf::Live(stream) = &self.series else {
            return None;
        };
        let stream = Rc::clone(stream);
        self.series = SeriesOf::Ended(stream.layout.clone());
        self.bytes = sum_weight(&self.sum) + size_of_val(&*stream.layout);
        Some(Ended {
            stream,
            last_ms: millis(self.last_nanos),
        })
    }
}

// === impl ExplicitSum ===

impl ExplicitSum {
    /// Of buckets with as many counts.
    pub(crate) fn new(counts: usize, has_sum: bool) -> Self {
        Self {
            count: 0,
            sum: has_sum.then_some(0.0),
            counts: vec![0; counts],
        }
    }

    pub(crate) fn add(&mut self, count: u64, sum: Option<f64>, counts: impl Iterator<Item = u64>) {
        self.count = self.count.saturating_add(count);
        self.sum = self.sum.zip(sum).map(|(mine, theirs)| mine + theirs);
        for (mine, theirs) in self.counts.iter_mut().zip(counts) {
            *mine = mine.saturating_add(theirs);
        }
    }
}

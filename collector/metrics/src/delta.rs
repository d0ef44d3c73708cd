//! Deltas are added up: Prometheus knows totals only.
//!
//! As the Collector's `deltatocumulative`, but that streams and their bytes are bounded, and that a stream which ends is
//! marked stale. The sum begins with the first delta and at its start time.

mod exponential;

use std::rc::Rc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::account::DropReason;
use crate::identity::Identity;
use crate::limits::{DELTA_BUCKETS_MAX, DELTA_BYTES_MAX, GAP_MS};
use crate::stream::Stream;
use crate::time::millis;

pub(crate) use exponential::ExponentialSum;

/// The streams that deltas are added up of.
#[derive(Debug)]
pub(crate) struct Deltas {
    streams: HashTable<Slot>,
    streams_max: usize,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Slot {
    identity: Identity,
    stream: Rc<Stream>,
    bytes: usize,
    start_nanos: u64,
    last_nanos: u64,
    /// By our clock.
    seen_ms: i64,
    sum: Sum,
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
            bytes: 0,
            bytes_max: DELTA_BYTES_MAX,
        }
    }

    /// The sum that a delta is to be added to; `begin` makes it when the stream is new.
    pub(crate) fn advance(
        &mut self,
        stream: &Rc<Stream>,
        interval: Interval,
        begin: impl Fn() -> Sum,
    ) -> Result<Advance<'_>, DropReason> {
        let Self {
            streams,
            streams_max,
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
        let start_nanos = match interval.start_nanos {
            // Not known: the sum is of this moment.
            0 => interval.end_nanos,
            start => start,
        };
        match entry {
            Entry::Occupied(found) => {
                let slot = found.into_mut();
                if slot.has_other_bounds(stream) {
                    let size = weight(stream, &begin());
                    *bytes = *bytes - slot.bytes + size;
                    slot.bytes = size;
                }
                slot.advance(stream, interval, begin)
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
                    stream: Rc::clone(stream),
                    bytes: size,
                    start_nanos,
                    last_nanos: interval.end_nanos,
                    seen_ms: interval.now_ms,
                    sum,
                });
                Ok(Advance {
                    sum: &mut slot.into_mut().sum,
                    start_nanos,
                    has_gap: false,
                    is_reset: false,
                })
            }
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

    /// Takes out the streams that nothing has come for since `before_ms`, in the order of their labels.
    pub(crate) fn end_silent(&mut self, before_ms: i64) -> Vec<Ended> {
        let bytes = &mut self.bytes;
        let mut ended: Vec<Ended> = self
            .streams
            .extract_if(|slot| slot.seen_ms <= before_ms)
            .map(|slot| {
                *bytes -= slot.bytes;
                Ended {
                    stream: slot.stream,
                    last_ms: millis(slot.last_nanos),
                }
            })
            .collect();
        ended.sort_by(|a, b| first_labels(&a.stream).cmp(first_labels(&b.stream)));
        ended
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }
}

/// Bytes that a stream and its sum take, roughly.
fn weight(stream: &Stream, sum: &Sum) -> usize {
    let counts = match sum {
        Sum::Number(_) => 0,
        Sum::Explicit(sum) => sum.counts.len(),
        Sum::Exponential(_) => 2 * DELTA_BUCKETS_MAX,
    };
    size_of::<Slot>() + stream.weight() + counts * size_of::<u64>()
}

fn first_labels(stream: &Stream) -> &[u8] {
    stream.series.first().map_or(&[], |series| &series.labels)
}

// === impl Slot ===

impl Slot {
    fn has_other_bounds(&self, stream: &Rc<Stream>) -> bool {
        !Rc::ptr_eq(&self.stream, stream) && !self.stream.has_layout(&stream.layout)
    }

    fn advance(
        &mut self,
        stream: &Rc<Stream>,
        interval: Interval,
        begin: impl Fn() -> Sum,
    ) -> Result<Advance<'_>, DropReason> {
        let Interval {
            start_nanos,
            end_nanos,
            now_ms,
        } = interval;
        let is_older = start_nanos != 0 && start_nanos < self.start_nanos;
        if end_nanos <= self.last_nanos || is_older {
            return Err(DropReason::DeltaOutOfOrder);
        }
        let has_gap = millis(start_nanos) > millis(self.last_nanos) + GAP_MS;
        let is_reset = self.has_other_bounds(stream);
        if is_reset {
            self.sum = begin();
            self.start_nanos = if start_nanos == 0 { end_nanos } else { start_nanos };
        }
        self.stream = Rc::clone(stream);
        self.last_nanos = end_nanos;
        self.seen_ms = now_ms;
        Ok(Advance {
            sum: &mut self.sum,
            start_nanos: self.start_nanos,
            has_gap,
            is_reset,
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

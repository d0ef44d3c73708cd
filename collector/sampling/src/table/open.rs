//! The traces that wait for their decision.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashTable;
use tracepipe_otlp::id::TraceId;

use crate::id_hash::IdHasher;
use crate::summary::TraceSummary;

/// One trace that waits.
#[derive(Debug)]
pub(super) struct OpenTrace<S> {
    pub(super) id: TraceId,
    /// Since process start.
    pub(super) deadline: Duration,
    pub(super) summary: TraceSummary,
    /// Of the owner.
    pub(super) stored: S,
}

/// Open traces in the order of their first spans, which is that of their deadlines since all wait equally long, and an
/// index from id to place. They leave at the front only, so a ring holds them: no links, no holes.
#[derive(Debug)]
pub(super) struct OpenTraces<S> {
    ring: VecDeque<OpenTrace<S>>,
    /// Each trace has a number, one more than the trace before it, wrapping: its place is its number less this one.
    front_number: u32,
    /// The number of the trace that was looked for last. It may be gone: it is compared before it is believed.
    last_number: u32,
    index: HashTable<u32>,
    hasher: IdHasher,
}

/// Where an open trace is, until one is pushed or popped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place(u32);

/// Most open traces: their numbers, of 32 bits, must stay distinct.
pub(super) const OPEN_TRACES_MAX: usize = 1 << 31;

/// Room is given back above this many traces (about half a megabyte) ...
const SHRINK_ABOVE: usize = 4096;
/// ... when less than one in this many is in use. Half of the room is taken then, so that growing again is far off.
const SHRINK_RATIO: usize = 4;

impl<S> OpenTraces<S> {
    pub(super) fn new(expected: usize, hasher: IdHasher) -> Self {
        Self {
            ring: VecDeque::with_capacity(expected),
            front_number: 0,
            last_number: 0,
            index: HashTable::with_capacity(expected),
            hasher,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }

    /// The trace that was looked for last, if it is this one: spans of a trace tend to come together, and this needs
    /// neither hash nor probe.
    pub(super) fn find_last(&self, id: TraceId) -> Option<Place> {
        let place = Place(self.last_number.wrapping_sub(self.front_number));
        let trace = self.ring.get(place.0 as usize)?;
        (trace.id == id).then_some(place)
    }

    /// One probe. `hash` is that of the id.
    pub(super) fn find(&mut self, id: TraceId, hash: u64) -> Option<Place> {
        let Self {
            ring,
            front_number,
            index,
            ..
        } = self;
        let same = |number: &u32| ring[number.wrapping_sub(*front_number) as usize].id == id;
        let number = *index.find(hash, same)?;
        self.last_number = number;
        Some(Place(number.wrapping_sub(self.front_number)))
    }

    pub(super) fn at(&mut self, place: Place) -> &mut OpenTrace<S> {
        &mut self.ring[place.0 as usize]
    }

    /// The trace that is decided next.
    pub(super) fn front(&self) -> Option<&OpenTrace<S>> {
        self.ring.front()
    }

    /// Adds a trace that is not there, with a deadline not before that of the last one. `hash` is that of its id.
    pub(super) fn push(&mut self, hash: u64, trace: OpenTrace<S>) -> Place {
        let place = Place(self.ring.len() as u32);
        let number = self.front_number.wrapping_add(place.0);
        self.ring.push_back(trace);
        let Self {
            ring,
            front_number,
            index,
            hasher,
            ..
        } = self;
        index.insert_unique(hash, number, |number| {
            hasher.hash(ring[number.wrapping_sub(*front_number) as usize].id)
        });
        self.last_number = number;
        place
    }

    /// Takes the trace that is decided next, and the hash of its id.
    pub(super) fn pop(&mut self) -> Option<(u64, OpenTrace<S>)> {
        let trace = self.ring.pop_front()?;
        let hash = self.hasher.hash(trace.id);
        if let Ok(entry) = self.index.find_entry(hash, |number| *number == self.front_number) {
            entry.remove();
        }
        self.front_number = self.front_number.wrapping_add(1);
        Some((hash, trace))
    }

    /// Gives room back after a burst.
    pub(super) fn shrink(&mut self) {
        let len = self.ring.len();
        if self.ring.capacity() <= SHRINK_ABOVE || len > self.ring.capacity() / SHRINK_RATIO {
            return;
        }
        let room = (self.ring.capacity() / 2).max(SHRINK_ABOVE);
        self.ring.shrink_to(room);
        let Self {
            ring,
            front_number,
            index,
            hasher,
            ..
        } = self;
        index.shrink_to(room, |number| {
            hasher.hash(ring[number.wrapping_sub(*front_number) as usize].id)
        });
    }

    /// Bytes allocated, without what `S` points to.
    pub(super) fn memory_bytes(&self) -> usize {
        self.ring.capacity() * size_of::<OpenTrace<S>>() + self.index.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> TraceId {
        TraceId(u128::from(n).to_be_bytes())
    }

    fn push(traces: &mut OpenTraces<u64>, n: u64) {
        let hash = traces.hasher.hash(id(n));
        let trace = OpenTrace {
            id: id(n),
            deadline: Duration::from_secs(n),
            summary: TraceSummary::EMPTY,
            stored: n,
        };
        let place = traces.push(hash, trace);
        assert_eq!(traces.at(place).stored, n);
    }

    #[test]
    fn places_stay_right_when_the_numbers_wrap() {
        let mut traces = OpenTraces::new(0, IdHasher::new(1));
        traces.front_number = u32::MAX - 5;
        (0..4).for_each(|n| push(&mut traces, n));
        for n in 4..20 {
            push(&mut traces, n);
            let (_, oldest) = traces.pop().unwrap();
            assert_eq!(oldest.stored, n - 4);
            for open in n - 3..=n {
                let hash = traces.hasher.hash(id(open));
                let place = traces.find(id(open), hash).unwrap();
                assert_eq!(traces.at(place).stored, open);
                assert!(traces.find_last(id(open)).is_some());
            }
            let hash = traces.hasher.hash(id(n - 4));
            assert!(traces.find(id(n - 4), hash).is_none());
            assert!(traces.find_last(id(n - 4)).is_none());
        }
    }

    #[test]
    fn room_is_given_back_after_a_burst_and_nothing_is_lost() {
        let mut traces = OpenTraces::new(0, IdHasher::new(1));
        (0..100_000).for_each(|n| push(&mut traces, n));
        let most = traces.memory_bytes();
        while traces.len() > 10 {
            assert!(traces.pop().is_some());
            traces.shrink();
        }
        assert!(
            traces.memory_bytes() < most / 10,
            "{} of {most}",
            traces.memory_bytes()
        );
        for n in 99_990..100_000 {
            let hash = traces.hasher.hash(id(n));
            let place = traces.find(id(n), hash).unwrap();
            assert_eq!(traces.at(place).stored, n);
        }
    }
}

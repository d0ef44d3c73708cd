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
    /// All zero once the trace is gone: no valid id is.
    pub(super) id: TraceId,
    /// Since process start.
    pub(super) deadline: Duration,
    pub(super) summary: TraceSummary,
    /// Of the owner.
    pub(super) stored: S,
}

/// Open traces in the order of their first spans, which is that of their deadlines since all wait equally long, and an
/// index from id to place. A ring holds them: no links.
///
/// A trace whose root span has come has an earlier deadline: those wait equally long too, so a second queue has them in
/// order. They leave the ring from its middle and leave a gap there, until all before it have left, or until the ring
/// is mostly gaps.
#[derive(Debug)]
pub(super) struct OpenTraces<S> {
    /// The first is no gap.
    ring: VecDeque<OpenTrace<S>>,
    /// Each trace has a number, one more than the trace before it, wrapping: its place is its number less this one.
    front_number: u32,
    /// The number of the trace that was looked for last. It may be gone: it is compared before it is believed.
    last_number: u32,
    /// Of the traces that are no gaps.
    index: HashTable<u32>,
    /// Deadlines and numbers of traces whose root span has come. The first is of a trace that is there; others may be
    /// gone.
    roots: VecDeque<(Duration, u32)>,
    hasher: IdHasher,
}

/// Where an open trace is, until one is pushed or taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u32);

/// Most open traces: their numbers, of 32 bits, must stay distinct, gaps included.
pub(super) const OPEN_TRACES_MAX: usize = 1 << 30;

/// Room is given back above this many traces (about half a megabyte) ...
const SHRINK_ABOVE: usize = 4096;
/// ... when less than one in this many is in use. Half of the room is taken then, so that growing again is far off.
const SHRINK_RATIO: usize = 4;

// === impl OpenTraces ===

impl<S: Default> OpenTraces<S> {
    pub(super) fn new(expected: usize, hasher: IdHasher) -> Self {
        Self {
            ring: VecDeque::with_capacity(expected),
            front_number: 0,
            last_number: 0,
            index: HashTable::with_capacity(expected),
            roots: VecDeque::new(),
            hasher,
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The trace that was looked for last, if it is this one: spans of a trace tend to come together, and this needs
    /// neither hash nor probe.
    #[inline]
    pub(super) fn find_last(&self, id: TraceId) -> Option<Place> {
        let place = Place(self.last_number.wrapping_sub(self.front_number));
        let trace = self.ring.get(place.0 as usize)?;
        (trace.id == id).then_some(place)
    }

    /// One probe. `hash` is that of the id.
    #[inline]
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

    #[inline]
    pub(super) fn at(&mut self, place: Place) -> &mut OpenTrace<S> {
        &mut self.ring[place.0 as usize]
    }

    /// The trace that came first.
    pub(super) fn oldest(&self) -> Option<Place> {
        (!self.ring.is_empty()).then_some(Place(0))
    }

    /// The trace that is decided next and its deadline. Of two with one deadline the oldest trace comes first, then the
    /// one whose root came first.
    #[inline]
    pub(super) fn next(&self) -> Option<(Duration, Place)> {
        let oldest = self.ring.front()?.deadline;
        match self.roots.front() {
            Some((deadline, number)) if *deadline < oldest => {
                Some((*deadline, Place(number.wrapping_sub(self.front_number))))
            }
            Some(_) | None => Some((oldest, Place(0))),
        }
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

    /// A root span of the trace has come: if this deadline is earlier it holds, so of several roots the first counts. It
    /// is not before the deadline for which this was called last.
    pub(super) fn set_root_deadline(&mut self, place: Place, deadline: Duration) {
        let trace = self.at(place);
        if deadline >= trace.deadline {
            return;
        }
        trace.deadline = deadline;
        let number = self.front_number.wrapping_add(place.0);
        if self.roots.len() > 2 * self.len() + SHRINK_ABOVE {
            let mut roots = std::mem::take(&mut self.roots);
            roots.retain(|(_, number)| self.is_there(*number));
            self.roots = roots;
        }
        self.roots.push_back((deadline, number));
    }

    /// Takes a trace that waits, and the hash of its id.
    #[inline(always)]
    pub(super) fn take(&mut self, place: Place) -> (u64, OpenTrace<S>) {
        let number = self.front_number.wrapping_add(place.0);
        let trace = if place.0 == 0
            && let Some(oldest) = self.ring.pop_front()
        {
            self.front_number = self.front_number.wrapping_add(1);
            oldest
        } else {
            std::mem::replace(self.at(place), OpenTrace::gap())
        };
        let hash = self.hasher.hash(trace.id);
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == number) {
            entry.remove();
        }
        while self.ring.front().is_some_and(OpenTrace::is_gap) {
            self.ring.pop_front();
            self.front_number = self.front_number.wrapping_add(1);
        }
        while let Some((_, number)) = self.roots.front()
            && !self.is_there(*number)
        {
            self.roots.pop_front();
        }
        if self.ring.len() > 2 * self.index.len() + SHRINK_ABOVE {
            self.close_gaps();
        }
        (hash, trace)
    }

    /// Gives room back after a burst.
    pub(super) fn shrink(&mut self) {
        if self.roots.capacity() > SHRINK_ABOVE && self.roots.len() <= self.roots.capacity() / SHRINK_RATIO {
            self.roots
                .shrink_to((self.roots.capacity() / 2).max(SHRINK_ABOVE));
        }
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
        self.ring.capacity() * size_of::<OpenTrace<S>>()
            + self.index.allocation_size()
            + self.roots.capacity() * size_of::<(Duration, u32)>()
    }

    /// Whether the trace of this number waits.
    fn is_there(&self, number: u32) -> bool {
        let place = number.wrapping_sub(self.front_number) as usize;
        self.ring.get(place).is_some_and(|trace| !trace.is_gap())
    }

    /// Gives each trace a new number, so that none is a gap's.
    #[cold]
    fn close_gaps(&mut self) {
        let front = self.front_number;
        let mut next = front;
        let new_numbers: Vec<u32> = self
            .ring
            .iter()
            .map(|trace| {
                let number = next;
                next = next.wrapping_add(u32::from(!trace.is_gap()));
                number
            })
            .collect();
        let renumber = |number: &mut u32| *number = new_numbers[number.wrapping_sub(front) as usize];
        let there = |number: &u32| {
            let place = number.wrapping_sub(front) as usize;
            self.ring.get(place).is_some_and(|trace| !trace.is_gap())
        };
        self.roots.retain(|(_, number)| there(number));
        self.roots.iter_mut().for_each(|(_, number)| renumber(number));
        self.index.iter_mut().for_each(renumber);
        self.ring.retain(|trace| !trace.is_gap());
        self.last_number = front;
    }
}

impl<S: Default> OpenTrace<S> {
    fn gap() -> Self {
        Self {
            id: TraceId::default(),
            deadline: Duration::ZERO,
            summary: TraceSummary::EMPTY,
            stored: S::default(),
        }
    }

    fn is_gap(&self) -> bool {
        self.id == TraceId::default()
    }
}

#[cfg(test)]
mod tests;

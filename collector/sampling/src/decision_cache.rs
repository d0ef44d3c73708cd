//! What was decided, for the spans that come later.

use hashbrown::HashTable;

/// Remembers the last `size` decided traces by their 64-bit keyed fingerprints, with something about each.
///
/// A trace that is asked for is spared: when its turn to be forgotten comes, it gets one more round (the "clock" or
/// "second chance" rule). Upstream has a least-recently-used list, which forgets in almost the same order and costs
/// two links an entry and a move at each late span; this costs one byte and one store.
///
/// Memory: nothing at first, then 14 to 19 bytes an entry and the size of `V`, never given back.
#[derive(Debug)]
pub(crate) struct DecisionCache<V> {
    size: usize,
    /// Slots in the order of insertion; once all `size` are there, `hand` is the one to go next.
    fingerprints: Vec<u64>,
    values: Vec<V>,
    asked_for: Vec<bool>,
    hand: usize,
    /// Slot numbers by fingerprint.
    index: HashTable<u32>,
}

/// Most entries, whatever is configured: slot numbers have 32 bits. At 20 bytes each this is past any memory limit.
const SIZE_MAX: usize = 1 << 31;

/// Room is made for this many entries at least, and for as many as there are at most: doubling without overshooting.
const GROWTH_MIN: usize = 1024;

impl<V: Copy> DecisionCache<V> {
    /// With a `size` of 0 nothing is remembered.
    pub(crate) fn new(size: u64) -> Self {
        Self {
            size: usize::try_from(size).unwrap_or(SIZE_MAX).min(SIZE_MAX),
            fingerprints: Vec::new(),
            values: Vec::new(),
            asked_for: Vec::new(),
            hand: 0,
            index: HashTable::new(),
        }
    }

    /// What was remembered, which is spared for another round.
    pub(crate) fn ask(&mut self, fingerprint: u64) -> Option<V> {
        let slot = self.slot_of(fingerprint)?;
        self.asked_for[slot] = true;
        Some(self.values[slot])
    }

    /// Whether a trace is remembered; it is not spared for it.
    pub(crate) fn contains(&self, fingerprint: u64) -> bool {
        self.slot_of(fingerprint).is_some()
    }

    /// True when nothing is remembered.
    pub(crate) fn is_empty(&self) -> bool {
        self.fingerprints.is_empty()
    }

    /// Remembers a trace that may be remembered already: the last word counts.
    pub(crate) fn replace(&mut self, fingerprint: u64, value: V) {
        match self.slot_of(fingerprint) {
            Some(slot) => self.values[slot] = value,
            None => self.insert(fingerprint, value),
        }
    }

    /// Remembers a trace that is not remembered, and forgets another if `size` are remembered already. (Should two ids
    /// have the same fingerprint both stay, and either may answer for both.)
    pub(crate) fn insert(&mut self, fingerprint: u64, value: V) {
        if self.size == 0 {
            return;
        }
        let slot = if self.fingerprints.len() < self.size {
            self.grow(value)
        } else {
            self.evict()
        };
        self.fingerprints[slot] = fingerprint;
        self.values[slot] = value;
        let Self {
            fingerprints, index, ..
        } = self;
        index.insert_unique(fingerprint, slot as u32, |slot| fingerprints[*slot as usize]);
    }

    /// Bytes allocated.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.index.allocation_size()
            + self.fingerprints.capacity() * size_of::<u64>()
            + self.values.capacity() * size_of::<V>()
            + self.asked_for.capacity()
    }

    fn slot_of(&self, fingerprint: u64) -> Option<usize> {
        let same = |slot: &u32| self.fingerprints[*slot as usize] == fingerprint;
        self.index.find(fingerprint, same).map(|slot| *slot as usize)
    }

    /// A slot that was not there, and was not asked for.
    fn grow(&mut self, value: V) -> usize {
        let slot = self.fingerprints.len();
        if slot == self.fingerprints.capacity() {
            let more = slot.max(GROWTH_MIN).min(self.size - slot);
            self.fingerprints.reserve_exact(more);
            self.values.reserve_exact(more);
            self.asked_for.reserve_exact(more);
        }
        self.fingerprints.push(0);
        self.values.push(value);
        self.asked_for.push(false);
        slot
    }

    /// The slot of an entry that is now forgotten, and was not asked for. It passes over entries that were asked for, each of them once for
    /// all the times it was: at most one round.
    fn evict(&mut self) -> usize {
        loop {
            let slot = self.hand;
            self.hand += 1;
            if self.hand == self.size {
                self.hand = 0;
            }
            if !std::mem::take(&mut self.asked_for[slot]) {
                let fingerprint = self.fingerprints[slot];
                if let Ok(entry) = self
                    .index
                    .find_entry(fingerprint, |other| *other as usize == slot)
                {
                    entry.remove();
                }
                return slot;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembered(cache: &DecisionCache<u32>) -> Vec<u64> {
        (0..100)
            .filter(|fingerprint| cache.slot_of(*fingerprint).is_some())
            .collect()
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut cache = DecisionCache::new(3);
        for n in 1..=5 {
            cache.insert(n, n as u32 * 10);
        }
        assert_eq!(remembered(&cache), [3, 4, 5]);
        assert_eq!(cache.ask(4), Some(40));
        assert_eq!(cache.ask(1), None);
    }

    #[test]
    fn one_that_is_asked_for_is_spared_for_a_round() {
        let mut cache = DecisionCache::new(3);
        for n in 1..=3 {
            cache.insert(n, 0);
        }
        assert!(cache.ask(1).is_some());
        assert!(cache.ask(1).is_some());
        cache.insert(4, 0);
        assert_eq!(remembered(&cache), [1, 3, 4], "2 went in place of 1");
        cache.insert(5, 0);
        assert_eq!(remembered(&cache), [1, 4, 5]);
        cache.insert(6, 0);
        assert_eq!(
            remembered(&cache),
            [4, 5, 6],
            "spared once, however often it was asked for"
        );
    }

    #[test]
    fn when_all_were_asked_for_the_oldest_goes() {
        let mut cache = DecisionCache::new(3);
        for n in 1..=3 {
            cache.insert(n, 0);
            assert!(cache.ask(n).is_some());
        }
        cache.insert(4, 0);
        assert_eq!(remembered(&cache), [2, 3, 4]);
    }

    #[test]
    fn the_last_word_counts() {
        let mut cache = DecisionCache::new(2);
        cache.replace(1, 10);
        cache.replace(1, 20);
        cache.insert(2, 30);
        assert_eq!((cache.ask(1), cache.ask(2)), (Some(20), Some(30)));
    }

    #[test]
    fn without_size_nothing_is_remembered_and_no_memory_is_taken() {
        let mut cache = DecisionCache::new(0);
        cache.insert(1, 10);
        assert_eq!(cache.ask(1), None);
        assert_eq!(cache.memory_bytes(), 0);
        assert_eq!(DecisionCache::<u32>::new(u64::MAX).memory_bytes(), 0);
    }

    #[test]
    fn an_entry_takes_about_twenty_bytes_and_a_full_cache_takes_no_more() {
        let mut cache = DecisionCache::new(100_000);
        let scattered = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        (0..100_000).for_each(|n| cache.insert(scattered(n), 7u32));
        let full = cache.memory_bytes();
        assert!(full <= 24 * 100_000, "{full}");
        (100_000..400_000).for_each(|n| cache.insert(scattered(n), 7));
        assert_eq!(cache.memory_bytes(), full);
        assert_eq!(cache.index.len(), 100_000);
    }
}

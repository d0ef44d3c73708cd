//! What was used lately, by identity, within a bound.

use hashbrown::HashTable;

use crate::identity::Identity;

/// Values in two generations: what is used moves to the young one, and when that one has half of the weight allowed, the old
/// one is forgotten. So nothing that was used among the last half of the weight is ever missing.
#[derive(Debug)]
pub(crate) struct Recent<V> {
    young: HashTable<Entry<V>>,
    old: HashTable<Entry<V>>,
    young_weight: usize,
    /// Of what is still old.
    old_weight: usize,
    weight_max: usize,
}

#[derive(Debug)]
struct Entry<V> {
    identity: Identity,
    weight: usize,
    value: V,
}

impl<V> Recent<V> {
    pub(crate) fn new(weight_max: usize) -> Self {
        Self {
            young: HashTable::new(),
            old: HashTable::new(),
            young_weight: 0,
            old_weight: 0,
            weight_max,
        }
    }

    /// With another bound. What is above it is forgotten.
    pub(crate) fn set_weight_max(&mut self, weight_max: usize) {
        self.weight_max = weight_max;
        if self.weight() > weight_max {
            self.old.clear();
            self.old_weight = 0;
        }
        if self.young_weight > weight_max {
            self.young.clear();
            self.young_weight = 0;
        }
    }

    /// What all that is held weighs.
    pub(crate) fn weight(&self) -> usize {
        self.young_weight + self.old_weight
    }

    /// The value of `identity`, which is used herewith.
    #[inline]
    pub(crate) fn get(&mut self, identity: Identity) -> Option<&mut V> {
        let hash = identity.hash();
        // Looked up twice, because a borrow that is returned on one path only lasts for both.
        if self
            .young
            .find(hash, |entry| entry.identity == identity)
            .is_none()
        {
            let Ok(found) = self.old.find_entry(hash, |entry| entry.identity == identity) else {
                return None;
            };
            let (entry, _) = found.remove();
            self.old_weight -= entry.weight;
            self.put(entry);
        }
        self.young
            .find_mut(hash, |entry| entry.identity == identity)
            .map(|entry| &mut entry.value)
    }

    /// Adds or replaces a value. True when others were forgotten for it.
    pub(crate) fn insert(&mut self, identity: Identity, weight: usize, value: V) -> bool {
        let hash = identity.hash();
        if let Ok(found) = self.young.find_entry(hash, |entry| entry.identity == identity) {
            let (entry, _) = found.remove();
            self.young_weight -= entry.weight;
        }
        self.put(Entry {
            identity,
            weight,
            value,
        })
    }

    fn put(&mut self, entry: Entry<V>) -> bool {
        let is_full = !self.young.is_empty() && self.young_weight + entry.weight > self.weight_max / 2;
        let mut has_forgotten = false;
        if is_full {
            has_forgotten = !self.old.is_empty();
            self.old = std::mem::take(&mut self.young);
            self.old_weight = std::mem::take(&mut self.young_weight);
        }
        self.young_weight += entry.weight;
        let hash = entry.identity.hash();
        self.young
            .insert_unique(hash, entry, |entry| entry.identity.hash());
        has_forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identities;

    #[test]
    fn what_was_used_lately_stays_and_the_rest_goes() {
        let identities = Identities::default();
        let of = |number: u32| identities.of(&[&number.to_le_bytes()]);
        let mut recent = Recent::new(100);
        let mut forgotten = 0;
        for number in 0..1000 {
            forgotten += u32::from(recent.insert(of(number), 1, number));
            assert_eq!(recent.get(of(0)), Some(&mut 0), "used each time");
            for lately in number.saturating_sub(40)..=number {
                assert_eq!(recent.get(of(lately)).copied(), Some(lately), "of {number}");
            }
        }
        assert!(forgotten > 0);
        assert_eq!(recent.get(of(1)), None);
        assert!(recent.young.len() + recent.old.len() <= 100);
        assert_eq!(recent.weight(), recent.young.len() + recent.old.len());
    }

    #[test]
    fn under_a_lower_bound_what_was_used_last_is_forgotten_last() {
        let identities = Identities::default();
        let of = |number: u32| identities.of(&[&number.to_le_bytes()]);
        let mut recent = Recent::new(100);
        for number in 0..100 {
            recent.insert(of(number), 1, number);
        }
        recent.set_weight_max(60);
        assert!(recent.weight() <= 60);
        assert_eq!(recent.get(of(99)), Some(&mut 99));
        recent.set_weight_max(10);
        assert_eq!((recent.weight(), recent.get(of(99))), (0, None));
    }

    #[test]
    fn a_replaced_value_weighs_once() {
        let identities = Identities::default();
        let one = identities.of(&[b"one"]);
        let mut recent = Recent::new(10);
        recent.insert(identities.of(&[b"two"]), 1, 2);
        for value in 0..100 {
            recent.insert(one, 2, value);
        }
        assert_eq!(recent.get(one), Some(&mut 99));
        assert_eq!(recent.get(identities.of(&[b"two"])), Some(&mut 2));
    }
}

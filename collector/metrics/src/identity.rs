//! Who is who: 128 bits stand for the bytes of a resource, a scope, a metric or a stream.
//!
//! They are hashes with two seeds that differ in every process. Two of a million things have the same ones with a
//! probability below 10^-26: what a hash table compares in full elsewhere need not be kept here.

use std::hash::{BuildHasher, Hasher};

use foldhash::SharedSeed;
use foldhash::quality::{FoldHasher, SeedableRandomState};

/// Of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    high: u64,
    low: u64,
}

/// Makes identities.
#[derive(Debug)]
pub(crate) struct Identities {
    high: SeedableRandomState,
    low: SeedableRandomState,
}

impl Default for Identities {
    /// Others in every process and every time.
    fn default() -> Self {
        Self {
            high: SeedableRandomState::random(),
            low: SeedableRandomState::random(),
        }
    }
}

impl Identity {
    /// For a hash table.
    #[inline]
    pub(crate) fn hash(self) -> u64 {
        self.low
    }

    /// The same whatever the order in which several are added.
    #[inline]
    fn add(self, other: Self) -> Self {
        Self {
            high: self.high.wrapping_add(other.high),
            low: self.low.wrapping_add(other.low),
        }
    }
}

impl Identities {
    /// Always the same: for those who count instructions.
    pub(crate) fn with_seed(seed: u64) -> Self {
        let seeded = |seed| SeedableRandomState::with_seed(seed, SharedSeed::global_fixed());
        Self {
            high: seeded(seed),
            low: seeded(!seed),
        }
    }

    /// Of something that is said by these parts in this order.
    pub(crate) fn of(&self, parts: &[&[u8]]) -> Identity {
        self.with_both(|hasher| {
            for part in parts {
                hasher.write_usize(part.len());
                hasher.write(part);
            }
        })
    }

    /// Of something in `parent` that is said by `items` in whatever order: attributes, which some senders shuffle.
    #[inline]
    pub(crate) fn of_items<'a>(&self, parent: Identity, items: impl Iterator<Item = &'a [u8]>) -> Identity {
        let mut sum = parent;
        for item in items {
            sum = sum.add(self.with_both(|hasher| hasher.write(item)));
        }
        self.child(parent, sum)
    }

    /// Of something in `parent`.
    #[inline]
    pub(crate) fn child(&self, parent: Identity, child: Identity) -> Identity {
        self.with_both(|hasher| {
            hasher.write_u64(parent.high);
            hasher.write_u64(parent.low);
            hasher.write_u64(child.high);
            hasher.write_u64(child.low);
        })
    }

    #[inline]
    fn with_both(&self, write: impl Fn(&mut FoldHasher<'_>)) -> Identity {
        let mut high = self.high.build_hasher();
        write(&mut high);
        let mut low = self.low.build_hasher();
        write(&mut low);
        Identity {
            high: high.finish(),
            low: low.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_attributes_does_not_matter_and_their_borders_do() {
        let identities = Identities::default();
        let root = identities.of(&[b"root"]);
        let of = |items: &[&'static [u8]]| identities.of_items(root, items.iter().copied());
        assert_eq!(of(&[b"a", b"b"]), of(&[b"b", b"a"]));
        assert_ne!(of(&[b"ab"]), of(&[b"a", b"b"]));
        assert_ne!(of(&[b"a", b"a"]), of(&[b"a"]));
        assert_ne!(of(&[]), root);
        assert_ne!(identities.of(&[b"ab", b"c"]), identities.of(&[b"a", b"bc"]));
    }
}

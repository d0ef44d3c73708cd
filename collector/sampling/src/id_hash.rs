//! The keyed hash of trace ids.

use tracepipe_otlp::id::TraceId;

/// Hashes trace ids with a key of this process.
///
/// Senders choose the ids, so the hash must not be predictable: ids made to collide would turn every probe into a
/// walk over all of them. Ids are also far from random in places (64-bit ids padded with zeros, seconds in the first
/// four bytes), so every bit of the id must reach every bit of the hash.
///
/// The 64-bit result serves the trace table as hash, where whole ids are compared afterwards, and the decision caches
/// as the id's fingerprint, where it stands for the id: with 10^6 remembered ids a new id is mistaken for one of them
/// once in about 10^13 times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdHasher {
    keys: [u64; 3],
}

impl IdHasher {
    /// `seed` is drawn once a process, at random.
    pub(crate) fn new(seed: u64) -> Self {
        // An odd step through all 64-bit numbers, each scattered: three keys that have nothing visible in common.
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let key = |n: u64| scatter(seed.wrapping_add(n.wrapping_mul(STEP)));
        Self {
            keys: [key(1), key(2), key(3)],
        }
    }

    /// One hash for one id, as long as the process lives.
    pub(crate) fn hash(self, id: TraceId) -> u64 {
        let bytes = u128::from_le_bytes(id.0);
        let [low, high] = [bytes as u64, (bytes >> 64) as u64];
        let product = u128::from(low ^ self.keys[0]) * u128::from(high ^ self.keys[1]);
        let folded = (product as u64) ^ ((product >> 64) as u64);
        scatter(folded ^ self.keys[2])
    }
}

/// A bijection in which each input bit changes about half of the output bits (multiply and shift, as in splitmix64).
fn scatter(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn ids() -> Vec<TraceId> {
        let counted = (1..=20_000u128).map(|n| TraceId(n.to_be_bytes()));
        let padded = (1..=20_000u128).map(|n| TraceId((n << 64).to_be_bytes()));
        let timed = (0..20_000u128).map(|n| TraceId(((0x6920_0000 << 96) | n).to_be_bytes()));
        counted.chain(padded).chain(timed).collect()
    }

    #[test]
    fn ids_that_hardly_differ_get_hashes_that_spread_over_low_and_high_bits() {
        for seed in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
            let hasher = IdHasher::new(seed);
            let ids = ids();
            let distinct: BTreeSet<u64> = ids.iter().map(|id| hasher.hash(*id)).collect();
            assert_eq!(distinct.len(), ids.len(), "seed {seed}");
            for shift in [0, 57] {
                let mut buckets = [0usize; 128];
                for hash in &distinct {
                    buckets[((hash >> shift) & 127) as usize] += 1;
                }
                let mean = ids.len() / 128;
                assert!(
                    buckets.iter().all(|n| (mean / 2..mean * 2).contains(n)),
                    "seed {seed} shift {shift}: {buckets:?}"
                );
            }
        }
    }

    #[test]
    fn another_seed_gives_other_hashes() {
        let id = TraceId(*b"0123456789abcdef");
        assert_ne!(IdHasher::new(1).hash(id), IdHasher::new(2).hash(id));
    }
}

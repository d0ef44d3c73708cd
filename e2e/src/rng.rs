//! A seeded generator whose sequence never changes: runs must be repeatable across versions of every dependency.

/// `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): one addition and
/// three multiply-xor steps a number. Not for secrets.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The same seed gives the same sequence for ever.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator of its own for item `index`, so that item N does not depend on how many numbers items before it
    /// drew.
    pub fn for_item(seed: u64, index: u64) -> Self {
        let mut mix = Self(seed ^ index.wrapping_mul(0xd134_2543_de82_ef95));
        Self(mix.next())
    }

    /// The next 64 bits.
    #[expect(
        clippy::should_implement_trait,
        reason = "it never ends, so an iterator says too little"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included; `low` when `high` is not above it.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        if high <= low {
            return low;
        }
        // The modulo's bias is below 2^-40 for every range used here.
        low + self.next() % (high - low).saturating_add(1)
    }

    /// True in `share` of all cases; `share` from 0.0 to 1.0.
    pub fn chance(&mut self, share: f64) -> bool {
        // 53 bits are what a double holds exactly.
        ((self.next() >> 11) as f64) < share * (1_u64 << 53) as f64
    }

    /// One of `choices`, or `None` when there are none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        let last = choices.len().checked_sub(1)?;
        choices.get(self.between(0, last as u64) as usize)
    }

    /// 16 random bytes, never all zero.
    pub fn trace_id(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.span_id());
        id[8..].copy_from_slice(&self.span_id());
        id
    }

    /// 8 random bytes, never all zero.
    pub fn span_id(&mut self) -> [u8; 8] {
        self.next().max(1).to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn sequence_is_the_published_one() {
        // First numbers of SplitMix64 for seed 1234567, as other implementations give them.
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn chance_keeps_its_share_and_its_ends() {
        let mut rng = Rng::new(7);
        let hits = (0..100_000).filter(|_| rng.chance(0.1)).count();
        assert!((9_500..10_500).contains(&hits), "{hits} of 100000 at 10 %");
        assert!((0..1000).all(|_| !rng.chance(0.0)));
        assert!((0..1000).all(|_| rng.chance(1.0)));
    }

    #[test]
    fn an_item_does_not_depend_on_the_items_before_it() {
        assert_eq!(Rng::for_item(1, 5).trace_id(), Rng::for_item(1, 5).trace_id());
        assert_ne!(Rng::for_item(1, 5).trace_id(), Rng::for_item(1, 6).trace_id());
    }
}

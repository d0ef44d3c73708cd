//! The budget of `rate_limiting`, `bytes_limiting` and `composite`.

use std::time::Duration;

/// Fills steadily up to its size, and is full at first. A trace takes as many tokens as it has spans (bytes), all at
/// once or none: one with more than the bucket's size never fits.
#[derive(Debug, Clone)]
pub(super) struct TokenBucket {
    /// Tokens a second, which is also billionths of a token a nanosecond.
    rate: u64,
    /// In billionths of a token: exact at any rate, so that nothing is lost between two traces.
    size: u128,
    level: u128,
    /// When `level` was right.
    at: Duration,
}

const BILLIONTHS: u128 = 1_000_000_000;

impl TokenBucket {
    /// `rate` tokens a second, at most `size`.
    pub(super) fn new(rate: u64, size: u64) -> Self {
        let size = u128::from(size) * BILLIONTHS;
        Self {
            rate,
            size,
            level: size,
            at: Duration::ZERO,
        }
    }

    /// Takes tokens if there are so many.
    #[inline(never)]
    pub(super) fn take(&mut self, now: Duration, tokens: u64) -> bool {
        let enough = self.has(now, tokens);
        if enough {
            self.level -= u128::from(tokens) * BILLIONTHS;
        }
        enough
    }

    /// Whether there are so many tokens.
    pub(super) fn has(&mut self, now: Duration, tokens: u64) -> bool {
        let passed = now.saturating_sub(self.at).as_nanos();
        let filled = passed.saturating_mul(u128::from(self.rate));
        self.level = self.level.saturating_add(filled).min(self.size);
        self.at = self.at.max(now);
        u128::from(tokens) * BILLIONTHS <= self.level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn it_is_full_at_first_and_fills_by_time() {
        let mut bucket = TokenBucket::new(10, 20);
        assert!(bucket.take(ms(0), 20));
        assert!(!bucket.take(ms(0), 1));
        assert!(!bucket.take(ms(99), 1));
        assert!(bucket.take(ms(100), 1));
        assert!(!bucket.take(ms(100), 1));
        assert!(!bucket.take(ms(1_099), 10), "what does not fit takes nothing");
        assert!(bucket.take(ms(1_100), 10));
        assert!(bucket.take(ms(3_600_000), 20), "never more than its size");
        assert!(!bucket.take(ms(3_600_000), 1));
    }

    #[test]
    fn more_than_its_size_never_fits() {
        let mut bucket = TokenBucket::new(1_000, 20);
        assert!(!bucket.take(ms(3_600_000), 21));
        assert!(bucket.take(ms(3_600_000), 20));
    }

    #[test]
    fn a_clock_that_goes_back_adds_nothing() {
        let mut bucket = TokenBucket::new(10, 10);
        assert!(bucket.take(ms(1_000), 10));
        assert!(!bucket.take(ms(0), 1));
        assert!(!bucket.take(ms(1_000), 1));
        assert!(bucket.take(ms(1_100), 1));
    }

    #[test]
    fn the_largest_numbers_do_no_harm() {
        let mut bucket = TokenBucket::new(u64::MAX, u64::MAX);
        assert!(bucket.take(Duration::MAX, u64::MAX));
        assert!(!bucket.take(Duration::MAX, 1));
        let mut none = TokenBucket::new(0, 0);
        assert!(!none.take(Duration::MAX, 1));
    }
}

//! How large a request may be: as configured, or what the receiver has been seen to take.

use std::time::Duration;

/// A receiver that has refused a request for its size gets none larger than half of it for so long; then twice that.
/// A proxy on the way may have been set wrong for a while.
const KEPT: Duration = Duration::from_secs(3600);

/// No bound below this is learned: requests of a few samples each would not keep up.
const BYTES_LEAST: u64 = 16 * 1024;

/// The bound of a request, in bytes before compression.
#[derive(Debug)]
pub(super) struct SizeLimit {
    configured: u64,
    /// What was learned, and when.
    learned: Option<(u64, Duration)>,
}

// === impl SizeLimit ===

impl SizeLimit {
    /// As configured.
    pub(super) fn new(configured: u64) -> Self {
        Self {
            configured,
            learned: None,
        }
    }

    /// The bound now.
    pub(super) fn bytes_max(&self, now: Duration) -> u64 {
        let Some((bytes, since)) = self.learned else {
            return self.configured;
        };
        let times = now.saturating_sub(since).as_secs() / KEPT.as_secs();
        let doubled = u32::try_from(times)
            .ok()
            .and_then(|times| 1_u64.checked_shl(times));
        bytes
            .saturating_mul(doubled.unwrap_or(u64::MAX))
            .min(self.configured)
    }

    /// A request of so many bytes was refused for its size. True when the bound is lower now.
    pub(super) fn refused(&mut self, bytes: u64, now: Duration) -> bool {
        let bytes_max = (bytes / 2).max(BYTES_LEAST).min(self.bytes_max(now));
        let is_lower = bytes_max < self.bytes_max(now);
        if is_lower {
            self.learned = Some((bytes_max, now));
        }
        is_lower
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn half_of_what_was_refused_is_the_bound_until_it_is_tried_again() {
        let mut limit = SizeLimit::new(3 * MIB);
        assert_eq!(limit.bytes_max(Duration::ZERO), 3 * MIB);
        assert!(limit.refused(3 * MIB, Duration::ZERO));
        assert!(limit.refused(MIB, Duration::ZERO));
        assert!(!limit.refused(2 * MIB, Duration::ZERO), "it was lower already");
        assert_eq!(limit.bytes_max(KEPT - Duration::from_secs(1)), MIB / 2);
        assert_eq!(limit.bytes_max(KEPT), MIB);
        assert_eq!(limit.bytes_max(KEPT * 2), 2 * MIB);
        assert_eq!(limit.bytes_max(KEPT * 3), 3 * MIB, "as configured");
        assert_eq!(limit.bytes_max(KEPT * 1000), 3 * MIB);
        assert!(limit.refused(2 * MIB, KEPT * 3), "it is as before");
    }

    #[test]
    fn a_receiver_that_refuses_every_size_does_not_get_requests_of_a_sample_each() {
        let mut limit = SizeLimit::new(MIB);
        limit.refused(100, Duration::ZERO);
        assert_eq!(limit.bytes_max(Duration::ZERO), BYTES_LEAST);
        let mut small = SizeLimit::new(1000);
        assert!(!small.refused(900, Duration::ZERO));
        assert_eq!(small.bytes_max(Duration::ZERO), 1000);
    }
}

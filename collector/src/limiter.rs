//! The memory limiter: who may take how many bytes, decided before they are taken.
//!
//! Two figures are watched. The *account* is exact and instant: bytes of requests being read ([`Reservation`]), what
//! the span store and the trace table hold, what kept spans hold until they are exported ([`Held`]). The *resident
//! size* is what the kernel says, read every `check_interval`; it also knows what the allocator has not given back.
//! A request is refused when either would pass `limit - spike`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use tracepipe_config::MemoryLimiterSettings;

/// What part of the limit the export queues may fill, in percent; then the oldest batch is dropped and counted.
/// The rest has to hold the traces that wait for a decision.
const EXPORT_QUEUE_PERCENT: u64 = 40;

/// The memory limiter; clones share one account.
#[derive(Debug, Clone)]
pub struct MemoryLimiter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The process stays below this many bytes.
    limit: u64,
    /// New requests are refused above this many.
    soft_limit: u64,
    /// Resident size before the first request: code, stacks, runtimes, TLS roots.
    base: AtomicU64,
    /// Bytes of requests that are being read or walked.
    reserved: AtomicU64,
    /// Bytes of the span store and the trace table.
    buffered: AtomicU64,
    /// Bytes of kept spans on their way out, and of connections.
    held: AtomicU64,
    /// The resident size at the last check.
    resident: AtomicU64,
    /// Whether the limit has been reached and not been left again, to log each once.
    refusing: AtomicBool,
}

/// A request was refused because of memory. It can be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverLimit;

// === impl MemoryLimiter ===

impl MemoryLimiter {
    /// A limiter with an empty account.
    pub fn new(settings: &MemoryLimiterSettings) -> Self {
        Self {
            shared: Arc::new(Shared {
                limit: settings.limit_bytes,
                soft_limit: settings.limit_bytes.saturating_sub(settings.spike_bytes),
                base: AtomicU64::new(0),
                reserved: AtomicU64::new(0),
                buffered: AtomicU64::new(0),
                held: AtomicU64::new(0),
                resident: AtomicU64::new(0),
                refusing: AtomicBool::new(false),
            }),
        }
    }

    /// Says what the process needs before any request: the account starts from there.
    pub fn set_base(&self, resident: u64) {
        self.shared.base.store(resident, Relaxed);
        self.shared.resident.store(resident, Relaxed);
    }

    /// Says what the kernel reports now.
    pub fn set_resident(&self, resident: u64) {
        self.shared.resident.store(resident, Relaxed);
    }

    /// Says what the span store and the trace table hold now.
    pub fn set_buffered(&self, bytes: u64) {
        self.shared.buffered.store(bytes, Relaxed);
    }

    /// Room for `bytes` of a request, or a refusal.
    ///
    /// # Errors
    /// [`OverLimit`] when the account or the resident size would pass the soft limit.
    pub fn try_reserve(&self, bytes: u64) -> Result<Reservation, OverLimit> {
        self.admit(bytes)?;
        Ok(Reservation {
            limiter: self.clone(),
            bytes,
        })
    }

    /// Accounts for what is never refused: kept spans, connections.
    pub fn hold(&self, bytes: u64) -> Held {
        self.shared.held.fetch_add(bytes, Relaxed);
        Held {
            limiter: self.clone(),
            bytes,
        }
    }

    /// The most bytes that waiting batches may hold, for all exporters together.
    pub fn export_queue_bytes_max(&self) -> u64 {
        self.shared.limit / 100 * EXPORT_QUEUE_PERCENT
    }

    /// True when what the process needs before any request is above the soft limit already.
    pub fn leaves_no_room(&self) -> bool {
        self.shared.base.load(Relaxed) >= self.shared.soft_limit
    }

    /// What the account comes to, in bytes, base included.
    pub fn accounted(&self) -> u64 {
        let shared = &self.shared;
        shared.base.load(Relaxed)
            + shared.reserved.load(Relaxed)
            + shared.buffered.load(Relaxed)
            + shared.held.load(Relaxed)
    }

    /// The resident size at the last check, in bytes.
    pub fn resident(&self) -> u64 {
        self.shared.resident.load(Relaxed)
    }

    fn admit(&self, bytes: u64) -> Result<(), OverLimit> {
        let used = self.accounted().max(self.resident());
        if used + bytes > self.shared.soft_limit {
            if !self.shared.refusing.swap(true, Relaxed) {
                tracing::warn!(
                    used_bytes = used,
                    soft_limit_bytes = self.shared.soft_limit,
                    "memory limit reached: requests are refused, senders will retry"
                );
            }
            return Err(OverLimit);
        }
        // A tenth below the limit, so that a sender at the limit does not choose how often this is logged.
        if self.shared.refusing.load(Relaxed) && used < self.shared.soft_limit / 10 * 9 {
            self.shared.refusing.store(false, Relaxed);
            tracing::info!(
                used_bytes = used,
                "memory is back under the limit: requests are accepted"
            );
        }
        self.shared.reserved.fetch_add(bytes, Relaxed);
        Ok(())
    }
}

/// Bytes of one request, given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    limiter: MemoryLimiter,
    bytes: u64,
}

impl Reservation {
    /// Room for `more` bytes of the same request.
    ///
    /// # Errors
    /// [`OverLimit`]; what was reserved before stays reserved until the reservation is dropped.
    pub fn grow(&mut self, more: u64) -> Result<(), OverLimit> {
        self.limiter.admit(more)?;
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.limiter.shared.reserved.fetch_sub(self.bytes, Relaxed);
    }
}

/// Bytes that were not asked for, given back when dropped.
#[derive(Debug)]
pub struct Held {
    limiter: MemoryLimiter,
    bytes: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.limiter.shared.held.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limiter() -> MemoryLimiter {
        MemoryLimiter::new(&MemoryLimiterSettings {
            check_interval: Duration::from_secs(1),
            limit_bytes: 1_000,
            spike_bytes: 200,
        })
    }

    #[test]
    fn a_reservation_is_given_back_wherever_it_is_dropped() {
        let limiter = limiter();
        let mut reservation = limiter.try_reserve(500).unwrap();
        reservation.grow(300).unwrap();
        assert_eq!(reservation.grow(1), Err(OverLimit));
        assert_eq!(limiter.try_reserve(1).err(), Some(OverLimit));
        drop(reservation);
        assert_eq!(limiter.accounted(), 0);
        assert!(limiter.try_reserve(800).is_ok());
    }

    #[test]
    fn requests_are_refused_above_limit_minus_spike_whoever_holds_the_bytes() {
        let limiter = limiter();
        limiter.set_base(100);
        limiter.set_buffered(300);
        let held = limiter.hold(300);
        assert!(limiter.try_reserve(100).is_ok());
        assert!(limiter.try_reserve(101).is_err());
        drop(held);
        assert!(limiter.try_reserve(400).is_ok());
    }

    #[test]
    fn a_resident_size_above_the_account_refuses_as_well() {
        let limiter = limiter();
        limiter.set_resident(900);
        assert!(limiter.try_reserve(1).is_err());
        limiter.set_resident(700);
        assert!(limiter.try_reserve(1).is_ok());
    }
}

//! Freed memory goes back to the kernel also when nothing happens.
//!
//! jemalloc gives back what has lain idle for a while when something is allocated or freed. After a load nothing is, and
//! the process would keep its size until the next request. Its own thread for that works at any time, but in bursts: while
//! it is on nobody else gives anything back, and large bodies take the process over its limit before it wakes. So it is
//! on only while there is much to give back and little in use.

use crate::limiter::MemoryLimiter;

/// Less than this above the account is not worth a thread: allocators always hold some.
const WORTH_BYTES: u64 = 512 * 1024;

/// Turns jemalloc's thread on and off.
#[derive(Debug, Default)]
pub struct Purge {
    is_on: bool,
    has_failed: bool,
}

// === impl Purge ===

impl Purge {
    /// To be called after each reading of the resident size.
    pub fn adjust(&mut self, limiter: &MemoryLimiter) {
        let worth_it = limiter.resident() > limiter.accounted() + WORTH_BYTES;
        self.turn(worth_it && limiter.is_calm());
    }

    fn turn(&mut self, on: bool) {
        if self.is_on == on || self.has_failed {
            return;
        }
        match tikv_jemalloc_ctl::background_thread::write(on) {
            Ok(()) => self.is_on = on,
            Err(error) => {
                self.has_failed = true;
                tracing::warn!(%error, "freed memory is given back only while requests come");
            }
        }
    }
}

//! The memory limiter: who may take how many bytes, decided before they are taken.
//!
//! Three figures are watched. The *account* is exact and instant: bytes of requests being read ([`Reservation`]), what
//! the span store and the trace table hold, what kept spans and connections hold ([`Held`]). The *resident size* is what
//! the kernel says of the process, the *group* what it says of its cgroup: they also know what is in no account
//! (fragments, buffers of libraries, of sockets). The resident size is read a few times a second, the group every
//! `check_interval`; between two readings they are assumed to grow with the account, so neither can be outrun.
//!
//! | figure | refuses above | why |
//! |---|---|---|
//! | account | `limit - spike` | the spike is for what was admitted already and still grows |
//! | resident size | half of the spike more | pages that were freed and not yet given back are used again first: at the account's own bound they would refuse what fits |
//! | cgroup | 15/16 of its limit | beyond its limit the kernel kills |
//!
//! Where the cgroup's limit is below `limit_mib`, it takes its place and the spike shrinks with it.

mod readings;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use tracepipe_config::MemoryLimiterSettings;

pub use readings::{Readings, Sources};

/// What part of the limit the export queues may fill, in percent; then the oldest batch is dropped and counted.
/// The rest has to hold the traces that wait for a decision.
const EXPORT_QUEUE_PERCENT: u64 = 40;

/// An exporter may hold at least this part of the limit for what it remembers of series.
const SERIES_DIVISOR_MAX: u64 = 32;

/// This part of a cgroup's limit is left to what the kernel counts there and the process cannot see.
const GROUP_RESERVE_DIVISOR: u64 = 16;

/// The memory limiter; clones share one account.
#[derive(Debug, Clone)]
pub struct MemoryLimiter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The process stays below this many bytes, by its configuration.
    limit: u64,
    /// What of `limit` is not given to requests.
    spike: u64,
    /// The limit that counts: `limit`, or less where the cgroup gives less.
    ceiling: AtomicU64,
    /// New requests are refused above this many.
    soft_limit: AtomicU64,
    /// Resident size before the first request: code, stacks, runtimes, TLS roots.
    base: AtomicU64,
    /// Bytes of requests that are being read or walked.
    reserved: AtomicU64,
    /// Bytes of the span store and the trace table.
    buffered: AtomicU64,
    /// Bytes of kept spans on their way out, and of connections.
    held: AtomicU64,
    /// The last readings, and the account at that time.
    resident: AtomicU64,
    group: AtomicU64,
    group_max: AtomicU64,
    accounted_then: AtomicU64,
    /// Whether the limit has been reached and not been left again, to log each once.
    refusing: AtomicBool,
}

/// A request was refused because of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverLimit {
    /// There is no room now. It can be sent again.
    Now,
    /// It alone needs more than there ever is.
    Ever,
}

// === impl MemoryLimiter ===

impl MemoryLimiter {
    /// A limiter with an empty account.
    pub fn new(settings: &MemoryLimiterSettings) -> Self {
        let limit = settings.limit_bytes;
        let spike = settings.spike_bytes.min(limit);
        Self {
            shared: Arc::new(Shared {
                limit,
                spike,
                ceiling: AtomicU64::new(limit),
                soft_limit: AtomicU64::new(limit - spike),
                base: AtomicU64::new(0),
                reserved: AtomicU64::new(0),
                buffered: AtomicU64::new(0),
                held: AtomicU64::new(0),
                resident: AtomicU64::new(0),
                group: AtomicU64::new(0),
                group_max: AtomicU64::new(u64::MAX),
                accounted_then: AtomicU64::new(0),
                refusing: AtomicBool::new(false),
            }),
        }
    }

    /// Says what the process needs before any request: the account starts from there.
    pub fn set_base(&self, resident: u64) {
        self.shared.base.store(resident, Relaxed);
    }

    /// Says what the kernel reports now.
    pub fn set_readings(&self, readings: Readings) {
        let shared = &self.shared;
        let group_limit = readings.group_limit.unwrap_or(u64::MAX);
        let group_max = group_limit - group_limit / GROUP_RESERVE_DIVISOR;
        let ceiling = shared.limit.min(group_max);
        let spike = share(shared.spike, ceiling, shared.limit);
        if shared.ceiling.swap(ceiling, Relaxed) != ceiling {
            shared.soft_limit.store(ceiling - spike, Relaxed);
        }
        shared.group_max.store(group_max, Relaxed);
        shared.group.store(readings.group_used.unwrap_or(0), Relaxed);
        shared.resident.store(readings.resident, Relaxed);
        shared.accounted_then.store(self.accounted(), Relaxed);
    }

    /// Says what the span store and the trace table hold now.
    pub fn set_buffered(&self, bytes: u64) {
        self.shared.buffered.store(bytes, Relaxed);
    }

    /// Room for `bytes` of a request, or a refusal.
    ///
    /// # Errors
    /// [`OverLimit`] when a figure would pass its bound.
    pub fn try_reserve(&self, bytes: u64) -> Result<Reservation, OverLimit> {
        let mut reservation = Reservation {
            limiter: self.clone(),
            bytes: 0,
        };
        reservation.grow(bytes)?;
        Ok(reservation)
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
        self.ceiling() / 100 * EXPORT_QUEUE_PERCENT
    }

    /// The most bytes that one of so many exporters that remember series may hold for that. Together they have half of what
    /// neither the process at its start nor the export queues need; the other half is left to what comes in. But never less
    /// than is needed to work at all.
    pub fn series_bytes_max(&self, exporters: u64) -> u64 {
        let used = self.resident() + self.export_queue_bytes_max();
        let part = self.soft_limit().saturating_sub(used) / 2 / exporters.max(1);
        part.max(self.ceiling() / SERIES_DIVISOR_MAX)
    }

    /// The limit that counts, in bytes: the configured one, or less where the cgroup gives less.
    pub fn ceiling(&self) -> u64 {
        self.shared.ceiling.load(Relaxed)
    }

    /// New requests are refused above this many bytes.
    pub fn soft_limit(&self) -> u64 {
        self.shared.soft_limit.load(Relaxed)
    }

    /// True when the configured limit does not fit into the cgroup.
    pub fn is_cut_by_group(&self) -> bool {
        self.ceiling() < self.shared.limit
    }

    /// True when what the process needs before any request is above the soft limit already.
    pub fn leaves_no_room(&self) -> bool {
        self.shared.base.load(Relaxed) >= self.soft_limit()
    }

    /// True when more than three quarters of what requests may have is used: time to take little at once.
    pub fn is_tight(&self) -> bool {
        self.accounted() > self.soft_limit() / 4 * 3
    }

    /// True when less than an eighth of what requests may have is used.
    pub fn is_calm(&self) -> bool {
        let base = self.shared.base.load(Relaxed);
        let used = self.accounted().saturating_sub(base);
        used < self.soft_limit().saturating_sub(base) / 8
    }

    /// What the account comes to, in bytes, base included.
    pub fn accounted(&self) -> u64 {
        let shared = &self.shared;
        shared.base.load(Relaxed)
            + shared.reserved.load(Relaxed)
            + shared.buffered.load(Relaxed)
            + shared.held.load(Relaxed)
    }

    /// The resident size at the last reading, in bytes.
    pub fn resident(&self) -> u64 {
        self.shared.resident.load(Relaxed)
    }

    fn check(&self, had: u64, more: u64) -> Result<(), OverLimit> {
        let shared = &self.shared;
        let soft_limit = self.soft_limit();
        let accounted = self.accounted() + more;
        let grown = accounted.saturating_sub(shared.accounted_then.load(Relaxed));
        let fits = accounted <= soft_limit
            && self.resident() + grown <= midway(soft_limit, self.ceiling())
            && shared.group.load(Relaxed).saturating_add(grown) <= shared.group_max.load(Relaxed);
        if fits {
            self.log_room(accounted, soft_limit);
            return Ok(());
        }
        if shared.base.load(Relaxed) + had + more > soft_limit {
            return Err(OverLimit::Ever);
        }
        if !shared.refusing.swap(true, Relaxed) {
            tracing::warn!(
                accounted_bytes = accounted,
                soft_limit_bytes = soft_limit,
                resident_bytes = self.resident(),
                cgroup_bytes = shared.group.load(Relaxed),
                "memory limit reached: requests are refused, senders will retry"
            );
        }
        Err(OverLimit::Now)
    }

    /// A tenth below the limit, so that a sender at the limit does not choose how often this is logged.
    fn log_room(&self, accounted: u64, soft_limit: u64) {
        if self.shared.refusing.load(Relaxed) && accounted < soft_limit / 10 * 9 {
            self.shared.refusing.store(false, Relaxed);
            tracing::info!(
                accounted_bytes = accounted,
                "memory is back under the limit: requests are accepted"
            );
        }
    }
}

/// `part` of `old` as the same part of `new`.
fn share(part: u64, new: u64, old: u64) -> u64 {
    let scaled = u128::from(part) * u128::from(new) / u128::from(old.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

fn midway(low: u64, high: u64) -> u64 {
    low + high.saturating_sub(low) / 2
}

/// Bytes of one request, given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    limiter: MemoryLimiter,
    bytes: u64,
}

// === impl Reservation ===

impl Reservation {
    /// Room for `more` bytes of the same request.
    ///
    /// # Errors
    /// [`OverLimit`]; what was reserved before stays reserved until the reservation is dropped.
    pub fn grow(&mut self, more: u64) -> Result<(), OverLimit> {
        self.check(more)?;
        self.bytes += more;
        self.limiter.shared.reserved.fetch_add(more, Relaxed);
        Ok(())
    }

    /// Whether there is room for `more` bytes now, without taking it.
    ///
    /// # Errors
    /// [`OverLimit`], as [`Self::grow`].
    pub fn check(&self, more: u64) -> Result<(), OverLimit> {
        self.limiter.check(self.bytes, more)
    }

    /// How many bytes are reserved.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives back all but `bytes`; nothing if fewer are reserved.
    pub fn shrink_to(&mut self, bytes: u64) {
        self.shrink(self.bytes.saturating_sub(bytes));
    }

    /// Gives back `less` bytes that the request does not need any more.
    pub fn shrink(&mut self, less: u64) {
        let less = less.min(self.bytes);
        self.bytes -= less;
        self.limiter.shared.reserved.fetch_sub(less, Relaxed);
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

// === impl Held ===

impl Held {
    /// Says that it is this many bytes now.
    pub fn set(&mut self, bytes: u64) {
        let held = &self.limiter.shared.held;
        if bytes >= self.bytes {
            held.fetch_add(bytes - self.bytes, Relaxed);
        } else {
            held.fetch_sub(self.bytes - bytes, Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.limiter.shared.held.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests;

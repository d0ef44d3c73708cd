//! The one place of this crate that reads a clock. Everything that can be tested without one takes time as a
//! parameter.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The monotonic time: for schedules and latencies.
#[expect(clippy::disallowed_methods, reason = "this is the place that reads it")]
pub fn now() -> Instant {
    Instant::now()
}

/// The wall-clock time: for span times, signatures and arrival times.
#[expect(clippy::disallowed_methods, reason = "this is the place that reads it")]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// The wall-clock time in nanoseconds since the Unix epoch; 0 for a clock set before 1970.
pub fn unix_nanos() -> u64 {
    nanos_of(wall())
}

/// A wall-clock time in nanoseconds since the Unix epoch; 0 before it, `u64::MAX` after the year 2554.
pub fn nanos_of(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

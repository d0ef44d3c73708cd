//! The only file that reads a clock. Everything else is told the time.

#![expect(clippy::disallowed_methods, reason = "this is the one place")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The process's monotonic clock: durations since its start. It is the runtime's, which tests can set.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Time since the start; never goes back.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Wall-clock time since the Unix epoch; zero before it.
    pub fn unix_now() -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

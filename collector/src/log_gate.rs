//! Keeps what others choose from flooding the log.

use std::cell::Cell;
use std::time::Duration;

/// Lets one line through in each interval.
#[derive(Debug)]
pub struct LogGate {
    interval: Duration,
    next: Cell<Duration>,
}

// === impl LogGate ===

impl LogGate {
    /// The first line passes.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            next: Cell::new(Duration::ZERO),
        }
    }

    /// True when a line may be written at `now`.
    pub fn is_due(&self, now: Duration) -> bool {
        let due = now >= self.next.get();
        if due {
            self.next.set(now + self.interval);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_passes_in_each_interval() {
        let gate = LogGate::new(Duration::from_secs(10));
        let passed: Vec<u64> = (0..25)
            .filter(|second| gate.is_due(Duration::from_secs(*second)))
            .collect();
        assert_eq!(passed, [0, 10, 20]);
    }
}

//! AWS's time: what its answers say, carried on by the monotonic clock.
//!
//! AWS refuses a signature whose time is more than five minutes from its own. We sign with the time of its last answer,
//! refusals too, as the SDK does by itself: so a request that was refused for its time is taken when it is sent again.
//! Credentials end by that time as well, and people are told that a clock is wrong.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

use crate::clock::Clock;
use crate::log_gate::LogGate;

/// AWS refuses signatures that are five minutes off; the SDK speaks of a wrong clock from here on, too.
const OFF_MAX: Duration = Duration::from_secs(4 * 60);

/// A wrong clock is logged this often at most.
const LOG_INTERVAL: Duration = Duration::from_secs(600);

/// What time it is at AWS's. Until an answer came, what this node's clock said at the start.
#[derive(Debug)]
pub(in crate::exporter) struct AwsClock {
    clock: Clock,
    heard: Mutex<Heard>,
}

#[derive(Debug)]
struct Heard {
    /// AWS's time ...
    date: SystemTime,
    /// ... when the monotonic clock was here.
    at: Duration,
    log: LogGate,
}

// === impl AwsClock ===

impl AwsClock {
    pub(in crate::exporter) fn new(clock: Clock) -> Self {
        let heard = Heard {
            date: UNIX_EPOCH + Clock::unix_now(),
            at: clock.now(),
            log: LogGate::new(LOG_INTERVAL),
        };
        Self {
            clock,
            heard: Mutex::new(heard),
        }
    }

    /// AWS's time now. A step of this node's clock does not move it.
    pub(in crate::exporter) fn now(&self) -> SystemTime {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.date + self.clock.now().saturating_sub(heard.at)
    }

    /// An answer was dated `date` by AWS.
    pub(in crate::exporter) fn hear(&self, date: SystemTime) {
        let now = self.clock.now();
        let here = UNIX_EPOCH + Clock::unix_now();
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.date = date;
        heard.at = now;
        let behind = date.duration_since(here);
        let off = behind.as_ref().map_or_else(|ahead| ahead.duration(), |off| *off);
        if off > OFF_MAX && heard.log.is_due(now) {
            tracing::warn!(
                off_seconds = off.as_secs(),
                is_behind = behind.is_ok(),
                "this node's clock is wrong; requests to AWS are signed with AWS's time (said once in {} s at most)",
                LOG_INTERVAL.as_secs()
            );
        }
    }
}

/// When an answer was made, if it was made now: one with an age comes out of a cache.
pub(in crate::exporter) fn date(headers: &Headers) -> Option<SystemTime> {
    if headers.get("age").is_some() {
        return None;
    }
    let date = DateTime::from_str(headers.get("date")?, Format::HttpDate).ok()?;
    SystemTime::try_from(date).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_time_is_that_of_the_last_answer_and_goes_on() {
        let aws = AwsClock::new(Clock::start());
        let hour = Duration::from_secs(3600);
        for date in [aws.now() + hour, aws.now() - hour] {
            aws.hear(date);
            tokio::time::advance(Duration::from_secs(90)).await;
            assert_eq!(aws.now(), date + Duration::from_secs(90));
        }
    }
}

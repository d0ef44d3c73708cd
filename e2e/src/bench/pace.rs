//! When requests are due: an absolute schedule, and an alarm that is more exact than the runtime's milliseconds.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::net::unix::pipe::Receiver;

use crate::clock;

/// A time with one rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// Spans a second.
    pub rate: u64,
    /// How long.
    pub length: Duration,
}

/// Phases one after the other, as requests of one size.
#[derive(Debug, Clone)]
pub struct Plan {
    spans_per_request: u64,
    parts: Vec<Part>,
    requests: u64,
    length: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    first: u64,
    start_nanos: u128,
    rate: u64,
}

impl Plan {
    /// Requests of `spans_per_request` spans at the phases' rates.
    pub fn new(spans_per_request: u64, phases: &[Phase]) -> Self {
        let mut plan = Self {
            spans_per_request: spans_per_request.max(1),
            parts: Vec::new(),
            requests: 0,
            length: Duration::ZERO,
        };
        for phase in phases {
            plan.parts.push(Part {
                first: plan.requests,
                start_nanos: plan.length.as_nanos(),
                rate: phase.rate.max(1),
            });
            let spans = u128::from(phase.rate) * phase.length.as_nanos() / 1_000_000_000;
            plan.requests += (spans / u128::from(plan.spans_per_request)) as u64;
            plan.length += phase.length;
        }
        plan
    }

    /// All of them.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Until the end of the last phase.
    pub fn length(&self) -> Duration {
        self.length
    }

    /// Spans in each request.
    pub fn spans_per_request(&self) -> u64 {
        self.spans_per_request
    }

    /// When request `number` is due, from the start; the last part's rate goes on behind the end.
    pub fn due(&self, number: u64) -> Duration {
        let after = self.parts.partition_point(|part| part.first <= number);
        let Some(part) = after.checked_sub(1).and_then(|index| self.parts.get(index)) else {
            return Duration::ZERO;
        };
        let spans = u128::from(number - part.first) * u128::from(self.spans_per_request);
        let nanos = part.start_nanos + spans * 1_000_000_000 / u128::from(part.rate);
        Duration::from_nanos(nanos as u64)
    }
}

/// Wakes at an instant, some ten microseconds late at most on an idle core; the runtime's own timer has steps of 1 ms.
#[derive(Debug)]
pub struct Alarm {
    /// A timerfd (timerfd_create(2)): like a pipe it is readable at its time, and that is all the runtime looks at.
    timer: Receiver,
    settings: File,
}

impl Alarm {
    /// Needs a runtime with its I/O driver.
    ///
    /// # Errors
    /// When the kernel gives no timer.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let settings = File::from(timerfd_create(TimerfdClockId::Monotonic, flags)?);
        let timer = Receiver::from_file_unchecked(settings.try_clone()?)?;
        Ok(Self { timer, settings })
    }

    /// Returns at `due`, or as soon as everybody else had a turn when that has passed.
    ///
    /// # Errors
    /// When the timer cannot be set or read.
    pub async fn until(&self, due: Instant) -> io::Result<()> {
        let left = due.saturating_duration_since(clock::now());
        if left.is_zero() {
            tokio::task::yield_now().await;
            return Ok(());
        }
        let once = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec {
                tv_sec: left.as_secs().cast_signed(),
                tv_nsec: i64::from(left.subsec_nanos()),
            },
        };
        timerfd_settime(&self.settings, TimerfdTimerFlags::empty(), &once)?;
        loop {
            self.timer.readable().await?;
            match self.timer.try_read(&mut [0; 8]) {
                Ok(_count) => return Ok(()),
                // Readiness of an alarm before this one.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Alarm, Phase, Plan};
    use crate::clock;

    fn seconds(rate: u64, length: u64) -> Phase {
        Phase {
            rate,
            length: Duration::from_secs(length),
        }
    }

    #[test]
    fn requests_are_due_at_absolute_times_without_drift() {
        let plan = Plan::new(200, &[seconds(30_000, 10)]);
        assert_eq!(plan.requests(), 1500);
        assert_eq!(plan.due(0), Duration::ZERO);
        // 150 requests a second do not divide a second of nanoseconds; no error adds up.
        assert_eq!(plan.due(150), Duration::from_secs(1));
        assert_eq!(plan.due(1500), Duration::from_secs(10));
        assert_eq!(plan.due(1), Duration::from_nanos(6_666_666));
    }

    #[test]
    fn phases_follow_each_other() {
        let plan = Plan::new(10, &[seconds(100, 2), seconds(300, 1), seconds(50, 2)]);
        assert_eq!(plan.requests(), 20 + 30 + 10);
        assert_eq!(plan.length(), Duration::from_secs(5));
        assert_eq!(plan.due(19), Duration::from_millis(1900));
        assert_eq!(plan.due(20), Duration::from_secs(2));
        assert_eq!(plan.due(49).as_millis(), 2966);
        assert_eq!(plan.due(50), Duration::from_secs(3));
        assert_eq!(plan.due(59), Duration::from_millis(4800));
    }

    #[tokio::test]
    async fn the_alarm_is_not_early_and_the_past_is_now() {
        let alarm = Alarm::new().unwrap();
        for micros in [0, 50, 700, 3000] {
            let due = clock::now() + Duration::from_micros(micros);
            alarm.until(due).await.unwrap();
            assert!(clock::now() >= due);
        }
    }
}

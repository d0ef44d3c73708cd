//! The time. Every wait of a pass is told by it, so that tests live through hours in a moment.

#[cfg(test)]
use jiff::SignedDuration;
use jiff::Timestamp;

/// A point of the runtime's time, for what lasts no longer than the process.
#[allow(clippy::disallowed_methods, reason = "the operator's one clock")]
pub(crate) fn instant() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// Tells the time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    #[cfg(test)]
    paused: Option<(Timestamp, tokio::time::Instant)>,
}

impl Clock {
    /// The time now.
    pub(crate) fn now(&self) -> Timestamp {
        #[cfg(test)]
        if let Some((start, at)) = self.paused {
            return start + SignedDuration::try_from(at.elapsed()).unwrap();
        }
        Timestamp::now()
    }

    /// The runtime's own time, which a test may have paused.
    #[cfg(test)]
    pub(crate) fn of_the_runtime(start: Timestamp) -> Self {
        Self {
            paused: Some((start, tokio::time::Instant::now())),
        }
    }
}

//! What became of the samples of one remote write exporter, and what was said meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use super::answer::Verdict;
use super::reason::Lost;
use crate::account::{BackendErrors, Failing};
use crate::clock::Clock;

/// Upper bounds of the buckets of [`Latencies`], in seconds: from a receiver on the same node to one attempt's time.
pub const LATENCY_BOUNDS: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// One snapshot. In samples, of which a native histogram is one:
/// `translated = written + lost + waiting + in_flight`. Each is counted where it happens.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RemoteWriteAccount {
    /// The exporter's name in the configuration.
    pub id: String,
    /// Handed to the exporter.
    pub translated: u64,
    /// Taken by the receiver.
    pub written: u64,
    /// Of these, native histograms.
    pub histograms_written: u64,
    /// Of these, samples whose request was not answered and which the receiver refused afterwards because it has them or
    /// later ones.
    pub presumed_written: u64,
    /// Exemplars of the samples that were written.
    pub exemplars_written: u64,
    /// Given up, by reason.
    pub lost: BTreeMap<&'static str, u64>,
    /// In the queue.
    pub waiting: u64,
    /// In a request that has not been answered, or between two attempts.
    pub in_flight: u64,
    /// Bytes in the queue, and how many there may be.
    pub queue_bytes: u64,
    /// The bound of [`Self::queue_bytes`].
    pub queue_bytes_max: u64,
    /// How long the oldest sample of the queue has waited.
    pub oldest_age: Duration,
    /// How long the oldest sample of those has been here that are neither written nor given up.
    pub lag: Duration,
    /// Requests sent, attempts included, by what they ended with.
    pub requests: BTreeMap<Ended, u64>,
    /// Requests that failed, by what was done about it.
    pub failed_requests: BTreeMap<&'static str, u64>,
    /// Of the requests, those that were sent before.
    pub retries: u64,
    /// How often a request was halved because it was refused.
    pub halvings: u64,
    /// Bytes of requests before compression, attempts not included.
    pub bytes_encoded: u64,
    /// Bytes of requests as they went, attempts included.
    pub bytes_sent: u64,
    /// From a request to its answer, whatever that was.
    pub latencies: Latencies,
    /// Requests with metadata that were taken.
    pub metadata_written: u64,
    /// Requests with metadata that were given up.
    pub metadata_lost: u64,
    /// Largest request now, in bytes before compression: as configured, or less if the receiver takes no more.
    pub request_bytes_max: u64,
    /// Requests in flight: at most as many as this now ...
    pub shards_allowed: u64,
    /// ... and ever.
    pub shards: u64,
    /// The latest time of a sample that was written, in ms since the Unix epoch.
    pub newest_written_ms: Option<i64>,
    /// What the receiver said itself.
    pub backend_errors: BackendErrors,
    /// Set while no request is taken.
    pub failing: Option<Failing>,
}

/// What a request ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    /// An answer of this status.
    Status(u16),
    /// No answer in time.
    Timeout,
    /// No connection, or one that broke.
    Connection,
    /// Nothing was sent: there were no credentials.
    Credentials,
}

/// How long requests took.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Latencies {
    /// How many took no longer than the bound of this place, and longer than the one before; the last has no bound.
    pub buckets: [u64; LATENCY_BOUNDS.len() + 1],
    /// All of them together.
    pub sum: Duration,
}

// === impl RemoteWriteAccount ===

impl RemoteWriteAccount {
    /// Samples are given up that are counted nowhere else any more.
    pub(super) fn lose(&mut self, reason: Lost, samples: u64) {
        if samples > 0 {
            *self.lost.entry(reason.label()).or_default() += samples;
        }
    }

    /// A request was answered; `code` is the receiver's own word for an error, and may be empty.
    pub(super) fn answered(&mut self, status: u16, code: &str, verdict: Verdict) {
        if !code.is_empty() {
            self.backend_errors.count("request", code);
        }
        let Some(reason) = verdict.label() else {
            self.failing = None;
            return;
        };
        match verdict {
            // The receiver answers, and takes others.
            Verdict::Taken | Verdict::Wrong(_) | Verdict::TooLarge => {
                *self.failed_requests.entry(reason).or_default() += 1;
                self.failing = None;
            }
            Verdict::Throttled(_) | Verdict::Denied | Verdict::Later(..) | Verdict::Refused => {
                let status = status.to_string();
                self.fail(reason, if code.is_empty() { &status } else { code });
            }
        }
    }

    /// A request failed, and will fail until something changes.
    pub(super) fn fail(&mut self, reason: &'static str, code: &str) {
        *self.failed_requests.entry(reason).or_default() += 1;
        let since = self.failing.as_ref().map(|failing| failing.since);
        self.failing = Some(Failing {
            reason,
            code: BackendErrors::word(code),
            since: since.unwrap_or_else(Clock::unix_now),
        });
    }
}

// === impl Ended ===

impl Ended {
    /// The label in metrics.
    pub fn label(self) -> String {
        match self {
            Self::Status(status) => status.to_string(),
            Self::Timeout => "timeout".to_owned(),
            Self::Connection => "connection".to_owned(),
            Self::Credentials => "credentials".to_owned(),
        }
    }
}

// === impl Latencies ===

impl Latencies {
    /// One took so long.
    pub(super) fn add(&mut self, took: Duration) {
        let at = LATENCY_BOUNDS
            .iter()
            .position(|bound| took.as_secs_f64() <= *bound)
            .unwrap_or(LATENCY_BOUNDS.len());
        self.buckets[at] += 1;
        self.sum += took;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exporter::remote_write::reason::Reject;

    #[test]
    fn a_latency_is_counted_in_the_bucket_that_it_fits() {
        let mut latencies = Latencies::default();
        for ms in [5, 6, 30_000, 31_000] {
            latencies.add(Duration::from_millis(ms));
        }
        assert_eq!(latencies.buckets, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(latencies.sum, Duration::from_millis(61_011));
    }

    #[test]
    fn the_time_since_which_nothing_is_taken_stays_that_of_the_first_failure() {
        let mut account = RemoteWriteAccount::default();
        account.fail("timeout", "");
        let since = account.failing.as_ref().map(|failing| failing.since);
        account.answered(403, "AccessDeniedException", Verdict::Denied);
        let failing = account.failing.clone().unwrap();
        assert_eq!(Some(failing.since), since);
        assert_eq!(
            (failing.reason, &*failing.code),
            ("denied", "AccessDeniedException")
        );
        account.answered(404, "", Verdict::Later("not_found", None));
        assert_eq!(account.failing.clone().unwrap().code, "404");
        account.answered(400, "", Verdict::Wrong(Reject::Other));
        assert_eq!(account.failing, None, "it answers");
    }
}

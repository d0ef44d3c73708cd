//! Sends requests at their time, whatever the server does, and knows what became of each.
//!
//! Open loop: a request is due at an absolute time, a slow server makes requests pile up instead of making the load
//! smaller, and latency counts from the time it was due. [`sender`] speaks OTLP/gRPC and OTLP/HTTP.

mod sender;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tracepipe_otlp::TraceId;

use crate::clock;
use crate::workload::{OtlpRequest, TraceTruth};
pub(crate) use sender::grpc_outcome;
pub use sender::{Outcome, Protocol, Sender, Target};

/// Requests without an answer at a time. More means that the server stands still: the generator's memory has a limit
/// too (4096 requests of 105 kB are 430 MB).
const IN_FLIGHT_MAX: usize = 4096;

/// A request and when it is to be sent.
#[derive(Debug, Clone)]
pub struct Planned {
    /// From the start of the load.
    pub due: Duration,
    /// Index of the sender that sends it.
    pub sender: usize,
    /// What is sent.
    pub request: OtlpRequest,
}

/// What became of a load.
#[derive(Debug, Default, Clone)]
pub struct LoadReport {
    /// Requests whose time came.
    pub requests: u64,
    /// Requests that were accepted, partial successes included.
    pub accepted: u64,
    /// Requests refused with a code that says "come again".
    pub refused_retryable: u64,
    /// Requests refused for good.
    pub refused: u64,
    /// Requests without an answer: connection lost, time out, or never sent because too many were waiting.
    pub failed: u64,
    /// Spans of all requests.
    pub spans: u64,
    /// Spans of accepted requests, rejected ones left out.
    pub spans_accepted: u64,
    /// Spans that partial successes rejected.
    pub spans_rejected: u64,
    /// Bytes of all bodies, before compression and framing.
    pub body_bytes: u64,
    /// How often each answer came: `ok`, `grpc 14`, `http 503`, or the text of a failure.
    pub answers: BTreeMap<String, u64>,
    /// From due to answered, of accepted requests, sorted.
    pub latencies: Vec<Duration>,
    /// The most that a request was sent after its time: the generator's own trouble.
    pub send_lag_max: Duration,
    /// From the first due time to the last answer.
    pub elapsed: Duration,
    /// Spans of each trace in requests that were accepted whole.
    accepted_spans: HashMap<TraceId, u32>,
}

impl LoadReport {
    /// Every span of the trace was in a request that was accepted whole: the collector owes it.
    pub fn fully_accepted(&self, truth: &TraceTruth) -> bool {
        self.accepted_spans
            .get(&truth.trace_id)
            .is_some_and(|spans| *spans as usize == truth.spans.len())
    }

    /// Nothing was refused, rejected or lost on the way in.
    pub fn all_accepted(&self) -> bool {
        self.accepted == self.requests && self.spans_rejected == 0
    }

    /// The latency that `share` (0.0 to 1.0) of the accepted requests did not exceed; `None` when there are none.
    pub fn latency(&self, share: f64) -> Option<Duration> {
        let last = self.latencies.len().checked_sub(1)?;
        self.latencies
            .get((last as f64 * share.clamp(0.0, 1.0)).round() as usize)
            .copied()
    }

    fn add(&mut self, sent: Sent) {
        let spans = sent
            .traces
            .iter()
            .map(|(_, spans)| u64::from(*spans))
            .sum::<u64>();
        *self.answers.entry(sent.outcome.name()).or_default() += 1;
        self.send_lag_max = self.send_lag_max.max(sent.lag);
        match sent.outcome {
            Outcome::Accepted { rejected_spans } => {
                self.accepted += 1;
                self.spans_rejected += rejected_spans;
                self.spans_accepted += spans.saturating_sub(rejected_spans);
                self.latencies.push(sent.latency);
                // Which spans a partial success rejected is not said, so its traces are owed to nobody.
                if rejected_spans == 0 {
                    for (trace_id, spans) in sent.traces {
                        *self.accepted_spans.entry(trace_id).or_default() += spans;
                    }
                }
            }
            Outcome::Refused { retryable: true, .. } => self.refused_retryable += 1,
            Outcome::Refused { retryable: false, .. } => self.refused += 1,
            Outcome::Failed(_) => self.failed += 1,
        }
    }
}

struct Sent {
    outcome: Outcome,
    traces: Vec<(TraceId, u32)>,
    latency: Duration,
    lag: Duration,
}

/// Sends everything in `planned`, which must be in the order of `due`, and waits for all answers.
///
/// `start` is the time that `due` counts from: pass the same to several loads that run side by side.
pub async fn run(
    senders: &[Arc<Sender>],
    start: Instant,
    planned: impl Iterator<Item = Planned>,
) -> LoadReport {
    let mut report = LoadReport::default();
    let mut in_flight = JoinSet::new();
    for planned in planned {
        let due = start + planned.due;
        tokio::time::sleep_until(due.into()).await;
        report.requests += 1;
        report.spans += planned.request.spans();
        report.body_bytes += planned.request.body.len() as u64;
        while let Some(sent) = in_flight.try_join_next() {
            add_finished(&mut report, sent);
        }
        match senders.get(planned.sender) {
            Some(sender) if in_flight.len() < IN_FLIGHT_MAX => {
                in_flight.spawn(send(Arc::clone(sender), planned.request, due));
            }
            Some(_) => report.add(unsent("too many requests without an answer")),
            None => report.add(unsent("there is no such sender")),
        }
    }
    while let Some(sent) = in_flight.join_next().await {
        add_finished(&mut report, sent);
    }
    report.elapsed = clock::now().saturating_duration_since(start);
    report.latencies.sort_unstable();
    report
}

async fn send(sender: Arc<Sender>, request: OtlpRequest, due: Instant) -> Sent {
    let lag = clock::now().saturating_duration_since(due);
    let outcome = sender.send(request.body, request.encoding).await;
    let latency = clock::now().saturating_duration_since(due);
    Sent {
        outcome,
        traces: request.traces,
        latency,
        lag,
    }
}

fn unsent(why: &str) -> Sent {
    Sent {
        outcome: Outcome::Failed(why.to_owned()),
        traces: Vec::new(),
        latency: Duration::ZERO,
        lag: Duration::ZERO,
    }
}

fn add_finished(report: &mut LoadReport, finished: Result<Sent, tokio::task::JoinError>) {
    report.add(finished.unwrap_or_else(|error| unsent(&error.to_string())));
}

#[cfg(test)]
#[path = "load/tests.rs"]
mod tests;

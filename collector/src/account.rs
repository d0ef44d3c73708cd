//! The account: where every request and every span went.
//!
//! Requests and bytes, per transport: `received = refused + malformed + accepted`.
//! Spans of accepted requests: `accepted = rejected + filtered + dropped + lost + buffered + kept`.
//! For each exporter: `kept = exported + lost + waiting + in_flight`.
//!
//! Each term is counted where it happens and none is computed from the others, so the sums can fail. [`Account`] is
//! one snapshot: the ingest owner fills in its half and sends it down the channel behind every span it has released,
//! the export owner adds its half when it arrives (see `pipeline.rs`). Metrics have an account of their own
//! (`account/metrics.rs`), of the same moment.

mod metrics;

use std::collections::BTreeMap;
use std::time::Duration;

use tracepipe_otlp::SpanDefect;
use tracepipe_sampling::SamplingStats;

use crate::decision_log::LogFigures;
pub use metrics::{HeldSeries, MetricsAccount, MetricsExporterAccount, MetricsIngestAccount};

/// What a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Data points.
    Metrics,
}

/// How a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// Port 4317.
    Grpc,
    /// Port 4318.
    Http,
}

impl Transport {
    /// Both, in the order of the metrics.
    pub const ALL: [Self; 2] = [Self::Grpc, Self::Http];

    /// The label in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its good spans are in.
    Accepted,
    /// It was fine, but not now or not here.
    Refused(&'static str),
    /// It was not a valid request.
    Malformed(&'static str),
}

/// A number of requests and the bytes of their bodies on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// How many.
    pub count: u64,
    /// Bytes as they came from the wire, compressed if they were.
    pub bytes: u64,
}

impl Requests {
    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// The requests of one transport.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransportAccount {
    /// Read to their end, or to the point where they were turned away.
    pub received: Requests,
    /// By reason.
    pub refused: BTreeMap<&'static str, Requests>,
    /// By reason.
    pub malformed: BTreeMap<&'static str, Requests>,
    /// Answered with success.
    pub accepted: Requests,
}

impl TransportAccount {
    /// A request has been read, `bytes` of it.
    fn receive(&mut self, bytes: u64) {
        self.received.add(bytes);
    }

    /// What became of the request that [`Self::receive`] was told of.
    fn finish(&mut self, bytes: u64, outcome: Outcome) {
        match outcome {
            Outcome::Accepted => self.accepted.add(bytes),
            Outcome::Refused(reason) => self.refused.entry(reason).or_default().add(bytes),
            Outcome::Malformed(reason) => self.malformed.entry(reason).or_default().add(bytes),
        }
    }
}

/// The ingest owner's half of the account.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IngestAccount {
    /// OTLP over gRPC.
    pub grpc: TransportAccount,
    /// OTLP over HTTP.
    pub http: TransportAccount,
    /// Spans in accepted requests.
    pub accepted: u64,
    /// Spans of accepted requests that were not valid, told to the sender as partial success.
    pub rejected: BTreeMap<SpanDefect, u64>,
    /// Spans that a filter took out. (No filter exists yet.)
    pub filtered: u64,
    /// Spans dropped by a decision, when it was made.
    pub dropped_by_policy: u64,
    /// Spans dropped on arrival because their trace had been dropped before.
    pub dropped_late: u64,
    /// Spans that ought to have been kept but could not be handed on.
    pub lost: BTreeMap<&'static str, u64>,
    /// Spans that wait: for their decision, or decided and for room in the channel.
    pub buffered: u64,
    /// Spans handed to the exporters, by the policy that kept them.
    pub kept: Vec<u64>,
}

impl IngestAccount {
    /// A request has been read, `bytes` of it.
    pub fn receive(&mut self, transport: Transport, bytes: u64) {
        self.transport(transport).receive(bytes);
    }

    /// What became of the request that [`Self::receive`] was told of.
    pub fn finish(&mut self, transport: Transport, bytes: u64, outcome: Outcome) {
        self.transport(transport).finish(bytes, outcome);
    }

    /// `spans` of a trace that the policy of this index kept were handed on.
    pub fn keep(&mut self, policy: usize, spans: u64) {
        if self.kept.len() <= policy {
            self.kept.resize(policy + 1, 0);
        }
        self.kept[policy] += spans;
    }

    fn transport(&mut self, transport: Transport) -> &mut TransportAccount {
        match transport {
            Transport::Grpc => &mut self.grpc,
            Transport::Http => &mut self.http,
        }
    }
}

/// What one exporter did with the kept spans; with data points, of an exporter of metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExporterAccount {
    /// The exporter's name in the configuration.
    pub id: String,
    /// Taken by the backend.
    pub exported: u64,
    /// Given up, by reason.
    pub lost: BTreeMap<&'static str, u64>,
    /// In the batch or in the queue.
    pub waiting: u64,
    /// In a request that has not been answered, or between two attempts.
    pub in_flight: u64,
    /// Bytes in the queue.
    pub queue_bytes: u64,
    /// Batches in the queue.
    pub queue_batches: u64,
    /// Requests sent, attempts included.
    pub requests: u64,
    /// X-Ray documents that miss something because they were too large with it.
    pub shrunk_documents: u64,
    /// Attributes that were to be annotations of an X-Ray document and are its metadata.
    pub annotations_spilled: u64,
    /// Links that an X-Ray document has no room for.
    pub links_dropped: u64,
    /// Events that an X-Ray document has no room for.
    pub events_dropped: u64,
    /// Attributes of resources that an X-Ray document has no room for.
    pub resource_attributes_dropped: u64,
    /// X-Ray documents given up, by reason; a span can have two.
    pub lost_documents: BTreeMap<&'static str, u64>,
    /// Requests that failed, by reason.
    pub failed_requests: BTreeMap<&'static str, u64>,
    /// What the backend said itself.
    pub backend_errors: BackendErrors,
    /// Set while no request is taken.
    pub failing: Option<Failing>,
}

/// The backend takes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// Of the last failure.
    pub reason: &'static str,
    /// The backend's own word for it; may be empty.
    pub code: String,
    /// When the first request failed after the last one that was taken: time since the Unix epoch.
    pub since: Duration,
}

/// How often the backend said which code, of a request or of a part of one (a document of X-Ray's).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackendErrors(BTreeMap<(&'static str, String), u64>);

/// Most codes that are told apart; further ones are `other`. A backend chooses them, not we.
const BACKEND_CODES_MAX: usize = 32;

/// Longest code that is believed to be one.
const BACKEND_CODE_LEN_MAX: usize = 64;

// === impl BackendErrors ===

impl BackendErrors {
    /// Counts one.
    pub fn count(&mut self, of: &'static str, code: &str) {
        let mut key = (of, Self::word(code));
        if self.0.len() >= BACKEND_CODES_MAX && !self.0.contains_key(&key) {
            key.1 = "other".to_owned();
        }
        *self.0.entry(key).or_default() += 1;
    }

    /// What it is of, the code, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str, u64)> {
        self.0
            .iter()
            .map(|((of, code), count)| (*of, code.as_str(), *count))
    }

    /// A code as it may stand in a label: a backend's answer is not ours.
    pub fn word(code: &str) -> String {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_';
        if code.len() <= BACKEND_CODE_LEN_MAX && code.bytes().all(is_word) {
            code.to_owned()
        } else {
            "other".to_owned()
        }
    }
}

/// One snapshot of both owners.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// Of the ingest owner.
    pub ingest: IngestAccount,
    /// The sampler's own figures at the same moment.
    pub sampling: SamplingFigures,
    /// One for each exporter of spans, in the order of the configuration.
    pub exporters: Vec<ExporterAccount>,
    /// Of the metrics pipeline, if there is one.
    pub metrics: Option<MetricsAccount>,
}

/// What the tail sampler reports beside the account.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SamplingFigures {
    /// Names of the policies, in the order of the configuration.
    pub policies: Vec<String>,
    /// What the trace table counted; its policies in the same order.
    pub stats: SamplingStats,
    /// About the files with decisions, if there are any.
    pub decision_log: Option<LogFigures>,
}

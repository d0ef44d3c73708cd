//! Every document that came, and what became of it.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::checks::{self, Refusal};

/// Bytes of one trace's documents that X-Ray takes when they come together (AWS re:Post, "X-Ray trace quota error").
pub const TRACE_BYTES_MAX: usize = 500 * 1024;

/// A document that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// When it came, in nanoseconds since the Unix epoch.
    pub arrived_unix_nano: u64,
    /// In X-Ray's form, `1-8hex-24hex`.
    pub trace_id: String,
    /// 16 hex digits.
    pub id: String,
    /// As sent.
    pub text: String,
}

/// A document that broke a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The code it was answered with.
    pub code: String,
    /// The rule.
    pub message: String,
    /// As sent.
    pub text: String,
}

/// What the fake counted since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// HTTP requests to the API, all of them.
    pub requests: u64,
    /// Of these, refused for their signature.
    pub denied: u64,
    /// Of these, refused whole: too many documents, no JSON, unknown path.
    pub invalid: u64,
    /// Of these, failed because the script said so.
    pub scripted: u64,
    /// `PutTraceSegments` calls that were answered with 200.
    pub put_calls: u64,
    /// Documents stored, resent ones included.
    pub documents_accepted: u64,
    /// Of these, sent before: same trace, same id.
    pub documents_repeated: u64,
    /// Documents that broke a rule.
    pub documents_refused: u64,
    /// Good documents that the script gave back as unprocessed.
    pub documents_scripted: u64,
    /// Documents answered as stored and then forgotten on purpose.
    pub documents_swallowed: u64,
    /// `PutTelemetryRecords` calls.
    pub telemetry_calls: u64,
}

/// What the fake remembers.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) accepted: Vec<Accepted>,
    pub(super) refused: Vec<Refused>,
    pub(super) counts: Counts,
    swallow: Swallow,
    trace_bytes: HashMap<String, usize>,
    seen: HashSet<(String, String)>,
}

/// The deliberate fault that a demo or a test must notice.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
enum Swallow {
    #[default]
    Nothing,
    /// The next trace with a fault is the one.
    Armed,
    /// Documents of this trace are forgotten.
    Trace(String),
}

impl Store {
    /// From now on one trace with a fault is answered as stored and forgotten.
    pub(super) fn swallow_one_fault(&mut self) {
        if self.swallow == Swallow::Nothing {
            self.swallow = Swallow::Armed;
        }
    }

    /// The trace that is being forgotten.
    pub(super) fn swallowed_trace(&self) -> Option<&str> {
        match &self.swallow {
            Swallow::Trace(trace_id) => Some(trace_id),
            Swallow::Nothing | Swallow::Armed => None,
        }
    }

    /// Checks a document and stores it.
    pub(super) fn put(&mut self, text: &str, arrived_unix_nano: u64) -> Result<(), Refusal> {
        let checked = checks::check(text).and_then(|facts| match self.trace_bytes.get(&facts.trace_id) {
            Some(bytes) if bytes + text.len() > TRACE_BYTES_MAX => Err(Refusal {
                code: "InvalidSegment",
                message: format!("Trace Size Exceeded: more than {TRACE_BYTES_MAX} bytes"),
            }),
            Some(_) | None => Ok(facts),
        });
        let facts = match checked {
            Ok(facts) => facts,
            Err(refusal) => {
                self.counts.documents_refused += 1;
                self.refused.push(Refused {
                    code: refusal.code.to_owned(),
                    message: refusal.message.clone(),
                    text: text.to_owned(),
                });
                return Err(refusal);
            }
        };
        if self.swallows(&facts) {
            self.counts.documents_swallowed += 1;
            return Ok(());
        }
        self.counts.documents_accepted += 1;
        if !self.seen.insert((facts.trace_id.clone(), facts.id.clone())) {
            self.counts.documents_repeated += 1;
        }
        *self.trace_bytes.entry(facts.trace_id.clone()).or_default() += text.len();
        self.accepted.push(Accepted {
            arrived_unix_nano,
            trace_id: facts.trace_id,
            id: facts.id,
            text: text.to_owned(),
        });
        Ok(())
    }

    fn swallows(&mut self, facts: &checks::Facts) -> bool {
        match &self.swallow {
            Swallow::Nothing => false,
            Swallow::Trace(trace_id) => *trace_id == facts.trace_id,
            Swallow::Armed if facts.fault => {
                // Documents of the trace that came before its fault go too.
                let before = self.accepted.len();
                self.accepted
                    .retain(|document| document.trace_id != facts.trace_id);
                let forgotten = (before - self.accepted.len()) as u64;
                self.counts.documents_accepted -= forgotten;
                self.counts.documents_swallowed += forgotten;
                self.swallow = Swallow::Trace(facts.trace_id.clone());
                true
            }
            Swallow::Armed => false,
        }
    }
}

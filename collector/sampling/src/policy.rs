//! The sampling policies. Each is folded into the summary span by span and decides from the summary alone, so no span
//! is looked at twice.
//!
//! Names, fields and results are those of the `tail_sampling` processor of the OpenTelemetry Collector (contrib,
//! v0.161.0). Where that one depends on the order of spans, ours does not; each policy says where.

mod always_sample;
mod latency;
mod probabilistic;
mod status_code;

use tracepipe_config::{PolicyKind, PolicySettings};
use tracepipe_otlp::head::SpanHead;
use tracepipe_otlp::id::TraceId;

use crate::summary::TraceSummary;
use always_sample::AlwaysSample;
use latency::Latency;
use probabilistic::Probabilistic;
use status_code::StatusCodes;

/// The policies of one pipeline, in the order of its configuration.
#[derive(Debug, Clone)]
pub struct Policies {
    policies: Vec<Policy>,
}

/// Which policy: its place in the configuration, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyIndex(u32);

/// What becomes of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is kept.
    Sampled {
        /// The first policy, in the order of the configuration, that wants it. Upstream records the same one.
        policy: PolicyIndex,
    },
    /// No policy wants it.
    NotSampled,
}

#[derive(Debug, Clone)]
struct Policy {
    name: String,
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    AlwaysSample(AlwaysSample),
    Latency(Latency),
    StatusCode(StatusCodes),
    Probabilistic(Probabilistic),
}

impl Policies {
    /// Without any policy no trace is sampled.
    pub fn new(settings: &[PolicySettings]) -> Self {
        let policies = settings.iter().map(Policy::new).collect();
        Self { policies }
    }

    /// How many there are; every [`PolicyIndex`] is below it.
    pub fn len(&self) -> usize {
        self.policies.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// The policy's name in the configuration; `None` for an index of other policies.
    pub fn name(&self, policy: PolicyIndex) -> Option<&str> {
        self.policies
            .get(policy.index())
            .map(|policy| policy.name.as_str())
    }

    /// Adds one span of `record_len` bytes to the summary of its trace: called once for each span, when it arrives.
    pub fn fold(&self, summary: &mut TraceSummary, head: &SpanHead, record_len: u32) {
        // Policies that look at attributes will set their predicate bits here.
        summary.merge(&TraceSummary::of_span(head, record_len));
    }

    /// Decides a trace. The same id and summary always give the same decision.
    pub fn decide(&self, trace_id: TraceId, summary: &TraceSummary) -> Decision {
        self.evaluate(trace_id, summary, |_, _| {})
    }

    /// As [`Policies::decide`], and tells what each policy says: upstream counts the traces that each policy wants,
    /// also where an earlier policy wanted them already.
    pub fn evaluate(
        &self,
        trace_id: TraceId,
        summary: &TraceSummary,
        mut on_result: impl FnMut(PolicyIndex, bool),
    ) -> Decision {
        let mut decision = Decision::NotSampled;
        for (index, policy) in (0..).map(PolicyIndex).zip(&self.policies) {
            let wants = policy.rule.wants(trace_id, summary);
            on_result(index, wants);
            if wants && decision == Decision::NotSampled {
                decision = Decision::Sampled { policy: index };
            }
        }
        decision
    }
}

impl PolicyIndex {
    /// The place in `PolicySettings`, from 0.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl Policy {
    fn new(settings: &PolicySettings) -> Self {
        let rule = match &settings.kind {
            PolicyKind::AlwaysSample => Rule::AlwaysSample(AlwaysSample),
            PolicyKind::Latency { threshold_ms } => Rule::Latency(Latency::new(*threshold_ms)),
            PolicyKind::StatusCode { status_codes } => Rule::StatusCode(StatusCodes::new(status_codes)),
            PolicyKind::Probabilistic {
                hash_salt,
                sampling_percentage,
            } => Rule::Probabilistic(Probabilistic::new(hash_salt, *sampling_percentage)),
        };
        Self {
            name: settings.name.clone(),
            rule,
        }
    }
}

impl Rule {
    fn wants(&self, trace_id: TraceId, summary: &TraceSummary) -> bool {
        match self {
            Self::AlwaysSample(rule) => rule.wants(),
            Self::Latency(rule) => rule.wants(summary),
            Self::StatusCode(rule) => rule.wants(summary),
            Self::Probabilistic(rule) => rule.wants(trace_id),
        }
    }
}

#[cfg(test)]
mod tests;

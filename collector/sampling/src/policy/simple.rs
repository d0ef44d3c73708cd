//! The policies that may stand everywhere.

use tracepipe_config::SimplePolicy;
use tracepipe_config::predicates::{Predicate, predicate};
use tracepipe_otlp::head::SpanHead;

use super::Question;
use super::latency::Latency;
use super::probabilistic::Probabilistic;
use super::status_code::StatusCodes;
use super::token_bucket::TokenBucket;
use crate::summary::{StatusSet, TraceSummary};

/// One policy, and what it has left of its budget.
#[derive(Debug, Clone)]
pub(super) enum Simple {
    AlwaysSample,
    Latency(Latency),
    /// Some span fulfils the predicate of this bit, or none does: the attribute policies and `trace_state`.
    Predicate {
        bit: u128,
        invert_match: bool,
    },
    StatusCode(StatusCodes),
    Probabilistic(Probabilistic),
    RateLimiting(TokenBucket),
    BytesLimiting(TokenBucket),
    SpanCount {
        min: u32,
        max: u32,
    },
    TraceFlags,
}

/// What one span can have that makes a policy want its trace, whatever else the trace has.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Triggers {
    predicates: u128,
    statuses: StatusSet,
    flag_sampled: bool,
}

// === impl Simple ===

impl Simple {
    /// `predicates` has that of this policy, if it has one.
    pub(super) fn new(settings: &SimplePolicy, predicates: &[Predicate<'_>]) -> Self {
        let bit = predicate(settings)
            .and_then(|wanted| predicates.iter().position(|known| *known == wanted))
            .and_then(|place| 1u128.checked_shl(place as u32))
            .unwrap_or(0);
        match settings {
            SimplePolicy::AlwaysSample => Self::AlwaysSample,
            SimplePolicy::Latency {
                threshold_ms,
                upper_threshold_ms,
            } => Self::Latency(Latency::new(*threshold_ms, *upper_threshold_ms)),
            SimplePolicy::NumericAttribute { invert_match, .. }
            | SimplePolicy::StringAttribute { invert_match, .. }
            | SimplePolicy::BooleanAttribute { invert_match, .. } => Self::Predicate {
                bit,
                invert_match: *invert_match,
            },
            SimplePolicy::TraceState { .. } => Self::Predicate {
                bit,
                invert_match: false,
            },
            SimplePolicy::StatusCode { status_codes } => Self::StatusCode(StatusCodes::new(status_codes)),
            SimplePolicy::Probabilistic {
                hash_salt,
                sampling_percentage,
            } => Self::Probabilistic(Probabilistic::new(hash_salt, *sampling_percentage)),
            SimplePolicy::RateLimiting {
                spans_per_second,
                burst_capacity,
            } => Self::RateLimiting(TokenBucket::new(*spans_per_second, *burst_capacity)),
            SimplePolicy::BytesLimiting {
                bytes_per_second,
                burst_capacity,
            } => Self::BytesLimiting(TokenBucket::new(*bytes_per_second, *burst_capacity)),
            SimplePolicy::SpanCount { min_spans, max_spans } => Self::SpanCount {
                min: *min_spans,
                max: max_spans.unwrap_or(u32::MAX),
            },
            SimplePolicy::TraceFlags => Self::TraceFlags,
        }
    }

    /// What the policy says; it spends its budget when it says yes.
    #[inline(always)]
    pub(super) fn wants(&mut self, question: &Question<'_>) -> bool {
        let summary = question.summary;
        match self {
            Self::AlwaysSample => true,
            Self::Latency(policy) => policy.wants(summary),
            Self::Predicate { bit, invert_match } => (summary.predicates & *bit != 0) != *invert_match,
            Self::StatusCode(policy) => policy.wants(summary),
            Self::Probabilistic(policy) => policy.wants(question.trace_id),
            Self::RateLimiting(bucket) => bucket.take(question.now, u64::from(summary.spans)),
            Self::BytesLimiting(bucket) => bucket.take(question.now, summary.bytes),
            Self::SpanCount { min, max } => (*min..=*max).contains(&summary.spans),
            Self::TraceFlags => summary.flag_sampled,
        }
    }
}

// === impl Triggers ===

impl Triggers {
    /// Those of policies that stand alone.
    pub(super) fn of<'p>(policies: impl Iterator<Item = &'p Simple>) -> Self {
        let mut triggers = Self::default();
        for policy in policies {
            match policy {
                Simple::Predicate {
                    bit,
                    invert_match: false,
                } => triggers.predicates |= bit,
                Simple::StatusCode(policy) => triggers.statuses = triggers.statuses.union(policy.wanted()),
                Simple::TraceFlags => triggers.flag_sampled = true,
                Simple::AlwaysSample
                | Simple::Latency(_)
                | Simple::Predicate {
                    invert_match: true, ..
                }
                | Simple::Probabilistic(_)
                | Simple::RateLimiting(_)
                | Simple::BytesLimiting(_)
                | Simple::SpanCount { .. } => {}
            }
        }
        triggers
    }

    #[inline]
    pub(super) fn contain(&self, head: &SpanHead) -> bool {
        let span = TraceSummary::of_span(head, 0);
        self.predicates & span.predicates != 0
            || self.statuses.intersects(span.statuses)
            || (self.flag_sampled && span.flag_sampled)
    }
}

//! The sampling policies. What they look for in spans is folded into the summary when a span arrives, and they decide
//! from the summary alone, so no span is looked at twice.
//!
//! Names, fields and results are those of the `tail_sampling` processor of the OpenTelemetry Collector (contrib,
//! v0.161.0). Where that one depends on the order of spans, on a wall clock or on a type that an attribute does not
//! have, ours does not: `docs/sampling.md` has the table.

mod composite;
mod latency;
mod probabilistic;
mod simple;
mod status_code;
mod token_bucket;

use std::time::Duration;

use thiserror::Error;
use tracepipe_config::predicates::{PREDICATES_MAX, Predicate, predicates};
use tracepipe_config::{AndMember, PolicyKind, PolicySettings};
use tracepipe_otlp::head::SpanHead;
use tracepipe_otlp::id::TraceId;

use crate::summary::TraceSummary;
use crate::watch::PolicyWatch;
use composite::Composite;
use simple::{Simple, Triggers};

/// The policies of one pipeline, in the order of its configuration, and their budgets.
#[derive(Debug, Clone)]
pub struct Policies {
    policies: Vec<Policy>,
    /// Some of them drop.
    drops: bool,
    sample_on_first_match: bool,
    triggers: Triggers,
    /// Never shown a span: for the owners' own.
    watch: PolicyWatch,
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
    /// A policy of type `drop` matches; no other one was asked.
    Dropped {
        /// The first that does.
        policy: PolicyIndex,
    },
}

/// What one policy says about a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It wants the trace.
    Sampled,
    /// It does not.
    NotSampled,
    /// It is of type `drop` and matches.
    Dropped,
}

/// All that a policy may look at, besides its own budget.
#[derive(Debug, Clone, Copy)]
pub struct Question<'s> {
    /// Since process start: when the trace is decided.
    pub now: Duration,
    /// Of the trace.
    pub trace_id: TraceId,
    /// Of its spans.
    pub summary: &'s TraceSummary,
}

/// Policies that cannot be used. The configuration refuses both before.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// The policies look for more different things than there are bits.
    #[error("the policies look for {0} different things in spans, more than {PREDICATES_MAX}")]
    TooManyPredicates(usize),
    /// A pattern of a `string_attribute` is no regular expression of Go's, or too large.
    #[error("the pattern {0}")]
    Pattern(String),
}

#[derive(Debug, Clone)]
struct Policy {
    name: String,
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    Simple(Simple),
    And(Vec<Member>),
    Not(Simple),
    Drop(Vec<Member>),
    Composite(Composite),
}

/// A member of `and` or `drop`.
#[derive(Debug, Clone)]
struct Member {
    policy: Simple,
    /// It stands in a `not`.
    negated: bool,
}

// === impl Policies ===

impl Policies {
    /// Without any policy no trace is sampled. With `sample_on_first_match` policies after the first that wants a trace
    /// are not asked: they count nothing and spend nothing.
    ///
    /// # Errors
    /// [`PolicyError`], which the configuration finds too.
    pub fn new(settings: &[PolicySettings], sample_on_first_match: bool) -> Result<Self, PolicyError> {
        let predicates = predicates(settings);
        if predicates.len() > PREDICATES_MAX {
            return Err(PolicyError::TooManyPredicates(predicates.len()));
        }
        let policies: Vec<Policy> = settings
            .iter()
            .map(|settings| Policy {
                name: settings.name.clone(),
                rule: Rule::new(&settings.kind, &predicates),
            })
            .collect();
        let single = policies.iter().filter_map(|policy| match &policy.rule {
            Rule::Simple(policy) => Some(policy),
            Rule::And(_) | Rule::Not(_) | Rule::Drop(_) | Rule::Composite(_) => None,
        });
        Ok(Self {
            drops: policies.iter().any(|policy| matches!(policy.rule, Rule::Drop(_))),
            sample_on_first_match,
            triggers: Triggers::of(single),
            watch: PolicyWatch::new(&predicates).map_err(PolicyError::Pattern)?,
            policies,
        })
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

    /// The policy of this name.
    pub fn find(&self, name: &str) -> Option<PolicyIndex> {
        let place = self.policies.iter().position(|policy| policy.name == name)?;
        u32::try_from(place).ok().map(PolicyIndex)
    }

    /// What the walk must show spans to, so that [`SpanHead::matched`] says what these policies look for.
    pub fn watch(&self) -> PolicyWatch {
        self.watch.clone()
    }

    /// Adds one span of `record_len` bytes to the summary of its trace: called once for each span, when it arrives.
    #[inline]
    pub fn fold(&self, summary: &mut TraceSummary, head: &SpanHead, record_len: u32) {
        summary.merge(&TraceSummary::of_span(head, record_len));
    }

    /// Decides a trace. Policies with a budget spend it; without those the same id and summary always give the same
    /// decision, whenever it is asked for.
    pub fn decide(&mut self, question: &Question<'_>) -> Decision {
        self.evaluate(question, |_, _| {})
    }

    /// As [`Policies::decide`], and tells what each policy says that was asked: upstream counts the traces that each
    /// policy wants, also where an earlier policy wanted them already.
    ///
    /// Policies of type `drop` are asked first; the first that matches ends it. Of the others, in their order, the first
    /// that wants the trace keeps it.
    pub fn evaluate(
        &mut self,
        question: &Question<'_>,
        mut on_verdict: impl FnMut(PolicyIndex, Verdict),
    ) -> Decision {
        if self.drops {
            for (policy, Policy { rule, .. }) in (0..).map(PolicyIndex).zip(&mut self.policies) {
                if let Rule::Drop(_) = rule {
                    if rule.wants(question) {
                        on_verdict(policy, Verdict::Dropped);
                        return Decision::Dropped { policy };
                    }
                    on_verdict(policy, Verdict::NotSampled);
                }
            }
        }
        let mut decision = Decision::NotSampled;
        for (policy, Policy { rule, .. }) in (0..).map(PolicyIndex).zip(&mut self.policies) {
            let wants = match rule {
                Rule::Simple(policy) => policy.wants(question),
                Rule::Drop(_) => continue,
                Rule::And(_) | Rule::Not(_) | Rule::Composite(_) => rule.wants(question),
            };
            let verdict = if wants {
                Verdict::Sampled
            } else {
                Verdict::NotSampled
            };
            on_verdict(policy, verdict);
            if wants && decision == Decision::NotSampled {
                decision = Decision::Sampled { policy };
                if self.sample_on_first_match {
                    break;
                }
            }
        }
        decision
    }

    /// True when this span alone makes some policy want its trace, whatever the others are like: of a trace that was
    /// dropped, that it came too late.
    #[inline]
    pub fn is_triggered_by(&self, head: &SpanHead) -> bool {
        self.triggers.contain(head)
    }
}

impl PolicyIndex {
    /// The place in `PolicySettings`, from 0.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl Rule {
    fn new(kind: &PolicyKind, predicates: &[Predicate<'_>]) -> Self {
        match kind {
            PolicyKind::Simple(policy) => Self::Simple(Simple::new(policy, predicates)),
            PolicyKind::And(and) => Self::And(members(and, predicates)),
            PolicyKind::Not(policy) => Self::Not(Simple::new(policy, predicates)),
            PolicyKind::Drop(drop) => Self::Drop(members(drop, predicates)),
            PolicyKind::Composite(composite) => Self::Composite(Composite::new(composite, predicates)),
        }
    }

    /// Apart, so that the loop over simple policies stays small.
    #[inline(never)]
    fn wants(&mut self, question: &Question<'_>) -> bool {
        match self {
            Self::Simple(policy) => policy.wants(question),
            Self::And(members) | Self::Drop(members) => all_want(members, question),
            Self::Not(policy) => !policy.wants(question),
            Self::Composite(composite) => composite.wants(question),
        }
    }
}

fn members(settings: &[AndMember], predicates: &[Predicate<'_>]) -> Vec<Member> {
    settings
        .iter()
        .map(|settings| {
            let (policy, negated) = match settings {
                AndMember::Simple(policy) => (policy, false),
                AndMember::Not(policy) => (policy, true),
            };
            Member {
                policy: Simple::new(policy, predicates),
                negated,
            }
        })
        .collect()
}

/// As upstream the members are asked in their order, and those after the first that says no are not: a budget behind
/// it is not spent.
fn all_want(members: &mut [Member], question: &Question<'_>) -> bool {
    members
        .iter_mut()
        .all(|member| member.policy.wants(question) != member.negated)
}

#[cfg(test)]
mod tests;

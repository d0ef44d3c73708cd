//! `composite`: several policies that share a rate.

use tracepipe_config::predicates::Predicate;
use tracepipe_config::{CompositeKind, CompositeSettings};

use super::simple::Simple;
use super::token_bucket::TokenBucket;
use super::{Member, Question, all_want, members};

/// The first member that wants a trace decides: the trace is kept if it fits into the member's share and into the rate
/// of all.
///
/// As upstream a trace that does not fit is not offered to the members after it: shares are there so that what comes
/// first in the order cannot eat what was left for the others. Unlike upstream, `policy_order` is honoured, the rate of
/// all is one for all and not one for each, and both are buckets that hold a second's worth, where upstream counts
/// calendar seconds (so that twice the rate may pass around the turn of one).
#[derive(Debug, Clone)]
pub(super) struct Composite {
    all: TokenBucket,
    /// In the order in which they are asked.
    members: Vec<(Rule, TokenBucket)>,
}

#[derive(Debug, Clone)]
enum Rule {
    Simple(Simple),
    And(Vec<Member>),
}

impl Composite {
    /// `predicates` has those of the members.
    pub(super) fn new(settings: &CompositeSettings, predicates: &[Predicate<'_>]) -> Self {
        let bucket = |rate| TokenBucket::new(rate, rate);
        let members = settings
            .members
            .iter()
            .map(|member| {
                let rule = match &member.kind {
                    CompositeKind::Simple(policy) => Rule::Simple(Simple::new(policy, predicates)),
                    CompositeKind::And(and) => Rule::And(members(and, predicates)),
                };
                (rule, bucket(member.spans_per_second))
            })
            .collect();
        Self {
            all: bucket(settings.max_total_spans_per_second),
            members,
        }
    }

    /// What the policy says; it spends its budgets when it says yes.
    pub(super) fn wants(&mut self, question: &Question<'_>) -> bool {
        let first = self.members.iter_mut().find_map(|(rule, share)| {
            let wants = match rule {
                Rule::Simple(policy) => policy.wants(question),
                Rule::And(members) => all_want(members, question),
            };
            wants.then_some(share)
        });
        let Some(share) = first else { return false };
        let spans = u64::from(question.summary.spans);
        share.has(question.now, spans)
            && self.all.take(question.now, spans)
            && share.take(question.now, spans)
    }
}

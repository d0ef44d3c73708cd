//! How many regular expressions there are, before any is compiled: each takes time at start and memory for ever.

use crate::config::{
    AndMemberConfig, CompositeMemberConfig, NotConfig, Policies, PolicyConfig, PolicyKindConfig,
    SimplePolicyConfig, Spanned,
};

/// Those of these policies and of all their members.
pub(super) fn count(policies: &[Spanned<PolicyConfig>]) -> usize {
    let policies = policies.iter().map(|policy| match &policy.value.kind {
        PolicyKindConfig::Simple(policy) => simple(policy),
        PolicyKindConfig::And(members) | PolicyKindConfig::Drop(members) => and(members),
        PolicyKindConfig::Not(member) => not(member),
        PolicyKindConfig::Composite(composite) => {
            let members = composite.composite_sub_policy.iter();
            let members = members.flat_map(|members| &members.value);
            let members = members.map(|member| match &member.value.kind {
                CompositeMemberConfig::Simple(policy) => simple(policy),
                CompositeMemberConfig::And(members) => and(members),
            });
            members.sum()
        }
    });
    policies.sum()
}

fn and(members: &Policies<AndMemberConfig>) -> usize {
    let members = members.iter().flat_map(|members| &members.value);
    let members = members.map(|member| match &member.value.kind {
        AndMemberConfig::Simple(policy) => simple(policy),
        AndMemberConfig::Not(member) => not(member),
    });
    members.sum()
}

fn not(member: &NotConfig) -> usize {
    member.as_ref().map_or(0, |member| simple(&member.value.kind))
}

fn simple(policy: &SimplePolicyConfig) -> usize {
    match policy {
        SimplePolicyConfig::StringAttribute {
            values: Some(values),
            enabled_regex_matching: Some(regex),
            ..
        } if regex.value => values.value.len(),
        SimplePolicyConfig::AlwaysSample
        | SimplePolicyConfig::Latency { .. }
        | SimplePolicyConfig::NumericAttribute { .. }
        | SimplePolicyConfig::StringAttribute { .. }
        | SimplePolicyConfig::BooleanAttribute { .. }
        | SimplePolicyConfig::StatusCode { .. }
        | SimplePolicyConfig::Probabilistic { .. }
        | SimplePolicyConfig::RateLimiting { .. }
        | SimplePolicyConfig::BytesLimiting { .. }
        | SimplePolicyConfig::SpanCount { .. }
        | SimplePolicyConfig::TraceState { .. }
        | SimplePolicyConfig::TraceFlags => 0,
    }
}

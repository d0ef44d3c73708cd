//! The rules of policies, at every level where a policy may stand.

use super::{Found, is_percentage, message};
use crate::policies::{AndMember, CompositePolicy, NotPolicy, Policy, PolicyType, SimpleSettings};

/// Those of `spec.sampling.policies`.
pub(super) fn of(policies: &[Policy], found: &mut Found) {
    for (index, policy) in policies.iter().enumerate() {
        let path = format!("spec.sampling.policies[{index}]");
        let members = [
            (PolicyType::And, policy.and.is_some()),
            (PolicyType::Not, policy.not.is_some()),
            (PolicyType::Drop, policy.drop.is_some()),
            (PolicyType::Composite, policy.composite.is_some()),
        ];
        union(policy.kind, &policy.settings, &members, &path, found);
        if let Some(and) = &policy.and {
            and_members(&and.and_sub_policy, &format!("{path}.and.andSubPolicy"), found);
        }
        if let Some(not) = &policy.not {
            not_member(not, &path, found);
        }
        if let Some(drop) = &policy.drop {
            and_members(
                &drop.drop_sub_policy,
                &format!("{path}.drop.dropSubPolicy"),
                found,
            );
        }
        if let Some(settings) = &policy.composite {
            composite(settings, &format!("{path}.composite"), found);
        }
    }
}

fn and_members(members: &[AndMember], path: &str, found: &mut Found) {
    for (index, member) in members.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let nested = [(PolicyType::Not, member.not.is_some())];
        union(member.kind, &member.settings, &nested, &path, found);
        if let Some(not) = &member.not {
            not_member(not, &path, found);
        }
    }
}

fn not_member(not: &NotPolicy, path: &str, found: &mut Found) {
    let member = &not.not_sub_policy;
    union(
        member.kind,
        &member.settings,
        &[],
        &format!("{path}.not.notSubPolicy"),
        found,
    );
}

fn composite(composite: &CompositePolicy, path: &str, found: &mut Found) {
    let is_member = |name: &String| {
        let mut members = composite.composite_sub_policy.iter();
        members.any(|member| member.name == *name)
    };
    let order = composite.policy_order.iter().all(is_member);
    found.unless(order, format!("{path}.policyOrder"), message::ORDER_OF_MEMBERS);
    let mut shares = composite.rate_allocation.iter();
    let named = shares.all(|share| is_member(&share.policy));
    let percents = composite
        .rate_allocation
        .iter()
        .map(|share| i128::from(share.percent));
    let path_of_shares = format!("{path}.rateAllocation");
    found.unless(named, path_of_shares.as_str(), message::SHARES_OF_MEMBERS);
    found.unless(percents.sum::<i128>() <= 100, path_of_shares, message::SHARES);
    for (index, member) in composite.composite_sub_policy.iter().enumerate() {
        let path = format!("{path}.compositeSubPolicy[{index}]");
        let nested = [(PolicyType::And, member.and.is_some())];
        union(member.kind, &member.settings, &nested, &path, found);
        if let Some(and) = &member.and {
            and_members(&and.and_sub_policy, &format!("{path}.and.andSubPolicy"), found);
        }
    }
}

/// The rules that a policy keeps wherever it stands. `nested` are its members that hold policies.
fn union(
    kind: PolicyType,
    settings: &SimpleSettings,
    nested: &[(PolicyType, bool)],
    path: &str,
    found: &mut Found,
) {
    let simple = [
        (PolicyType::StatusCode, settings.status_code.is_some()),
        (PolicyType::Latency, settings.latency.is_some()),
        (PolicyType::NumericAttribute, settings.numeric_attribute.is_some()),
        (PolicyType::StringAttribute, settings.string_attribute.is_some()),
        (PolicyType::BooleanAttribute, settings.boolean_attribute.is_some()),
        (PolicyType::Probabilistic, settings.probabilistic.is_some()),
        (PolicyType::RateLimiting, settings.rate_limiting.is_some()),
        (PolicyType::BytesLimiting, settings.bytes_limiting.is_some()),
        (PolicyType::SpanCount, settings.span_count.is_some()),
        (PolicyType::TraceState, settings.trace_state.is_some()),
    ];
    let mut members = simple.iter().chain(nested);
    let holds = members.all(|(named, is_set)| (*named == kind) == *is_set);
    found.unless(holds, path, message::POLICY_MEMBER);
    bounds(settings, path, found);
}

fn bounds(settings: &SimpleSettings, path: &str, found: &mut Found) {
    let above =
        |least: Option<i64>, most: Option<i64>| least.zip(most).is_none_or(|(least, most)| least <= most);
    if let Some(latency) = &settings.latency {
        let holds = latency
            .upper_threshold_ms
            .is_none_or(|upper| latency.threshold_ms < upper);
        found.unless(holds, format!("{path}.latency"), message::LATENCY_BOUNDS);
    }
    if let Some(number) = &settings.numeric_attribute {
        let (least, most) = (number.min_value, number.max_value);
        let holds = (least.is_some() || most.is_some()) && above(least, most);
        found.unless(holds, format!("{path}.numericAttribute"), message::NUMBER_BOUNDS);
    }
    if let Some(count) = &settings.span_count {
        let (least, most) = (count.min_spans, count.max_spans);
        let holds = (least.is_some() || most.is_some()) && above(least, most);
        found.unless(holds, format!("{path}.spanCount"), message::SPAN_BOUNDS);
    }
    if let Some(share) = &settings.probabilistic {
        let holds = is_percentage(&share.sampling_percentage);
        let path = format!("{path}.probabilistic.samplingPercentage");
        found.unless(holds, path, message::PERCENTAGE);
    }
}

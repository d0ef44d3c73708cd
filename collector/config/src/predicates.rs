//! What sampling policies look for in spans: predicates, each of which a trace's summary has one bit for.

use crate::settings::{AndMember, CompositeKind, PolicyKind, PolicySettings, SimplePolicy, StringMatcher};

/// Most different predicates of one pipeline's policies: the bits of a `u128`, which every span and trace carries.
pub const PREDICATES_MAX: usize = 128;

/// Something that a span, or its resource, fulfils or not. Policies that look for the same share it, and `invert_match`
/// is not part of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Predicate<'s> {
    /// An attribute is a number within bounds.
    Number {
        /// The attribute's.
        key: &'s str,
        /// Inclusive; `i64::MIN` for none.
        min: i64,
        /// Inclusive; `i64::MAX` for none.
        max: i64,
    },
    /// An attribute is a text that matches.
    Text {
        /// The attribute's.
        key: &'s str,
        /// What matches.
        matcher: &'s StringMatcher,
    },
    /// An attribute is this truth value.
    Truth {
        /// The attribute's.
        key: &'s str,
        /// The value.
        value: bool,
    },
    /// The span's trace state has the key with one of the values.
    TraceState {
        /// The list member's.
        key: &'s str,
        /// Compared whole.
        values: &'s [String],
    },
}

/// What a policy looks for in each span; `None` for one that looks at the trace as a whole, or at what every span has.
pub fn predicate(policy: &SimplePolicy) -> Option<Predicate<'_>> {
    match policy {
        SimplePolicy::NumericAttribute {
            key,
            min_value,
            max_value,
            ..
        } => Some(Predicate::Number {
            key,
            min: min_value.unwrap_or(i64::MIN),
            max: max_value.unwrap_or(i64::MAX),
        }),
        SimplePolicy::StringAttribute { key, matcher, .. } => Some(Predicate::Text { key, matcher }),
        SimplePolicy::BooleanAttribute { key, value, .. } => Some(Predicate::Truth { key, value: *value }),
        SimplePolicy::TraceState { key, values } => Some(Predicate::TraceState { key, values }),
        SimplePolicy::AlwaysSample
        | SimplePolicy::Latency { .. }
        | SimplePolicy::StatusCode { .. }
        | SimplePolicy::Probabilistic { .. }
        | SimplePolicy::RateLimiting { .. }
        | SimplePolicy::BytesLimiting { .. }
        | SimplePolicy::SpanCount { .. }
        | SimplePolicy::TraceFlags => None,
    }
}

/// The different predicates of these policies and of all their members, in the order in which they come first.
pub fn predicates(policies: &[PolicySettings]) -> Vec<Predicate<'_>> {
    let mut found = Vec::new();
    let all = policies.iter().flat_map(|policy| simple_policies(&policy.kind));
    for predicate in all.filter_map(predicate) {
        if !found.contains(&predicate) {
            found.push(predicate);
        }
    }
    found
}

/// How many different predicates these policies have; more than [`PREDICATES_MAX`] cannot be used.
pub fn predicate_count(policies: &[PolicySettings]) -> usize {
    predicates(policies).len()
}

/// The policy itself, or its members, and theirs.
fn simple_policies(kind: &PolicyKind) -> Vec<&SimplePolicy> {
    match kind {
        PolicyKind::Simple(policy) | PolicyKind::Not(policy) => vec![policy],
        PolicyKind::And(members) | PolicyKind::Drop(members) => members.iter().map(simple_member).collect(),
        PolicyKind::Composite(composite) => composite
            .members
            .iter()
            .flat_map(|member| match &member.kind {
                CompositeKind::Simple(policy) => vec![policy],
                CompositeKind::And(members) => members.iter().map(simple_member).collect(),
            })
            .collect(),
    }
}

fn simple_member(member: &AndMember) -> &SimplePolicy {
    match member {
        AndMember::Simple(policy) | AndMember::Not(policy) => policy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(key: &str, min: i64, invert_match: bool) -> SimplePolicy {
        SimplePolicy::NumericAttribute {
            key: key.to_owned(),
            min_value: Some(min),
            max_value: None,
            invert_match,
        }
    }

    fn named(kind: PolicyKind) -> PolicySettings {
        PolicySettings {
            name: "policy".to_owned(),
            kind,
        }
    }

    #[test]
    fn equal_predicates_count_once_wherever_they_stand() {
        let policies = [
            named(PolicyKind::Simple(number("a", 1, false))),
            named(PolicyKind::Not(number("a", 1, true))),
            named(PolicyKind::And(vec![
                AndMember::Not(number("a", 1, false)),
                AndMember::Simple(number("a", 2, false)),
                AndMember::Simple(SimplePolicy::AlwaysSample),
            ])),
            named(PolicyKind::Drop(vec![AndMember::Simple(number("b", 1, false))])),
        ];
        assert_eq!(predicate_count(&policies), 3);
        assert_eq!(
            predicates(&policies)[1],
            Predicate::Number {
                key: "a",
                min: 2,
                max: i64::MAX
            }
        );
    }
}

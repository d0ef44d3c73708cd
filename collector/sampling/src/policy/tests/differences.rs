//! Where we answer otherwise than upstream v0.161.0: each row of the table in `docs/sampling.md`, with both answers.
//! `upstream` is what its source does, told again for the policies that differ; that it does so in fact is what the
//! parity tests show, which leave out these rows only.

use tracepipe_config::go_regex::GoRegex;
use tracepipe_config::{CompositeKind, CompositeMember, CompositeSettings, StringMatcher};

use super::trace::{Span, Value, decided, keeps};
use super::*;

/// Upstream's answer for a trace whose spans came in this order.
fn upstream(policy: &SimplePolicy, trace: &[Span]) -> bool {
    match policy {
        SimplePolicy::Latency {
            threshold_ms,
            upper_threshold_ms,
        } => latency(*threshold_ms, *upper_threshold_ms, trace),
        SimplePolicy::NumericAttribute {
            key,
            min_value,
            max_value,
            invert_match,
        } => {
            // What is written as 0 is taken for not written.
            let min = min_value.filter(|min| *min != 0).unwrap_or(i64::MIN);
            let max = max_value.filter(|max| *max != 0).unwrap_or(i64::MAX);
            // Whatever is no whole number reads as 0.
            let within = |value: &Value, _| {
                let number = if let Value::Int(number) = value {
                    *number
                } else {
                    0
                };
                (min..=max).contains(&number)
            };
            any(trace, key, within) != *invert_match
        }
        SimplePolicy::StringAttribute {
            key,
            matcher: StringMatcher::Regex { patterns, .. },
            invert_match,
        } => {
            let matches = |value: &Value, of_span| {
                // Whatever is no text reads as an empty one, which is skipped in spans only.
                let text = if let Value::Text(text) = value { text } else { "" };
                let pattern = |pattern: &String| GoRegex::new(pattern).unwrap().is_match(text.as_bytes());
                !(of_span && text.is_empty()) && patterns.iter().any(pattern)
            };
            any(trace, key, matches) != *invert_match
        }
        SimplePolicy::BooleanAttribute {
            key,
            value: wanted,
            invert_match,
        } => {
            // Whatever is no truth value reads as false.
            let same = |value: &Value, _| matches!(value, Value::Bool(true)) == *wanted;
            any(trace, key, same) != *invert_match
        }
        SimplePolicy::AlwaysSample
        | SimplePolicy::StringAttribute { .. }
        | SimplePolicy::StatusCode { .. }
        | SimplePolicy::Probabilistic { .. }
        | SimplePolicy::RateLimiting { .. }
        | SimplePolicy::BytesLimiting { .. }
        | SimplePolicy::SpanCount { .. }
        | SimplePolicy::TraceState { .. }
        | SimplePolicy::TraceFlags => panic!("no difference: {policy:?}"),
    }
}

/// Compares after each span with what it knows then, and stops at the first yes. A start of 0 is forgotten.
fn latency(threshold_ms: i64, upper_threshold_ms: Option<i64>, trace: &[Span]) -> bool {
    let (mut start, mut end) = (0u64, 0u64);
    trace.iter().any(|span| {
        start = if start == 0 {
            span.start
        } else {
            start.min(span.start)
        };
        end = end.max(span.end);
        let lasted = end.cast_signed() - start.cast_signed();
        threshold_ms < lasted && upper_threshold_ms.is_none_or(|upper| lasted <= upper)
    })
}

/// Whether the first attribute of this key fulfils something, in a resource or in a span.
fn any(trace: &[Span], key: &str, fulfils: impl Fn(&Value, bool) -> bool) -> bool {
    let first = |attributes: &[(String, Value)], of_span| {
        let found = attributes.iter().find(|(name, _)| name == key);
        found.is_some_and(|(_, value)| fulfils(value, of_span))
    };
    trace
        .iter()
        .any(|span| first(&span.resource, false) || first(&span.attributes, true))
}

#[track_caller]
fn differs(policy: &SimplePolicy, trace: &[Span], ours: bool, theirs: bool) {
    assert_eq!(
        keeps(PolicyKind::Simple(policy.clone()), trace),
        ours,
        "ours: {policy:?}"
    );
    assert_eq!(upstream(policy, trace), theirs, "upstream: {policy:?}");
}

fn number(min_value: Option<i64>, max_value: Option<i64>) -> SimplePolicy {
    SimplePolicy::NumericAttribute {
        key: "key".to_owned(),
        min_value,
        max_value,
        invert_match: false,
    }
}

fn truth(value: bool) -> SimplePolicy {
    SimplePolicy::BooleanAttribute {
        key: "key".to_owned(),
        value,
        invert_match: false,
    }
}

fn regex(pattern: &str) -> SimplePolicy {
    SimplePolicy::StringAttribute {
        key: "key".to_owned(),
        matcher: StringMatcher::Regex {
            patterns: vec![pattern.to_owned()],
            cache_max_size: 128,
        },
        invert_match: false,
    }
}

#[test]
fn latency_with_an_upper_bound_does_not_depend_on_the_order_of_spans() {
    let policy = SimplePolicy::Latency {
        threshold_ms: 5,
        upper_threshold_ms: Some(9),
    };
    let within = Span::timed(1_000, 1_007);
    let beyond = Span::timed(1_000, 1_020);
    differs(&policy, &[within.clone(), beyond.clone()], false, true);
    differs(&policy, &[beyond, within], false, false);
}

#[test]
fn a_span_that_starts_at_0_makes_its_trace_long_wherever_it_comes() {
    let unset = Span::timed(0, 0);
    let short = Span::timed(1_000, 1_001);
    differs(&slow(500), &[unset.clone(), short.clone()], true, false);
    differs(&slow(500), &[short, unset], true, true);
}

#[test]
fn a_numeric_bound_written_as_0_is_a_bound() {
    differs(
        &number(Some(0), Some(10)),
        &[Span::with("key", Value::Int(-1))],
        false,
        true,
    );
    differs(
        &number(Some(-10), Some(0)),
        &[Span::with("key", Value::Int(1))],
        false,
        true,
    );
    differs(
        &number(Some(0), Some(10)),
        &[Span::with("key", Value::Int(0))],
        true,
        true,
    );
}

#[test]
fn a_fraction_is_compared_as_a_number_and_what_is_no_number_matches_no_bounds() {
    differs(
        &number(Some(1), None),
        &[Span::with("key", Value::Double(1.5))],
        true,
        false,
    );
    differs(
        &number(None, Some(1)),
        &[Span::with("key", Value::Double(1.5))],
        false,
        true,
    );
    for odd in [
        Value::text("5"),
        Value::Bool(true),
        Value::None,
        Value::Bytes,
        Value::List,
    ] {
        differs(
            &number(None, Some(1)),
            &[Span::with("key", odd.clone())],
            false,
            true,
        );
        differs(&number(Some(1), None), &[Span::with("key", odd)], false, false);
    }
}

#[test]
fn what_is_no_truth_value_is_neither_true_nor_false() {
    for odd in [Value::text("false"), Value::Int(0), Value::None, Value::List] {
        differs(&truth(false), &[Span::with("key", odd.clone())], false, true);
        differs(&truth(true), &[Span::with("key", odd)], false, false);
    }
}

#[test]
fn an_empty_text_and_what_is_no_text_match_nothing_in_a_resource_as_in_a_span() {
    for odd in [Value::text(""), Value::Int(0), Value::None, Value::Bytes] {
        differs(
            &regex(".*"),
            &[Span::of_resource("key", odd.clone())],
            false,
            true,
        );
        differs(&regex(".*"), &[Span::with("key", odd)], false, false);
    }
}

/// Upstream's `composite`: members as they are defined, a counter for each that starts anew with each calendar second,
/// and the total compared with each member's counter.
struct UpstreamComposite {
    total: u64,
    members: Vec<(SimplePolicy, u64, u64)>,
    second: u64,
}

impl UpstreamComposite {
    fn wants(&mut self, at_ms: u64, trace: &[Span]) -> bool {
        if self.second != at_ms / 1_000 {
            self.second = at_ms / 1_000;
            self.members.iter_mut().for_each(|(_, _, count)| *count = 0);
        }
        for (policy, share, count) in &mut self.members {
            if keeps(PolicyKind::Simple(policy.clone()), trace) {
                let after = *count + trace.len() as u64;
                let fits = after <= *share && after <= self.total;
                if fits {
                    *count = after;
                }
                return fits;
            }
        }
        false
    }
}

/// Both, with the members in the order of their definition for upstream and in this one for us.
fn composites(total: u64, members: &[(SimplePolicy, u64)], order: &[usize]) -> (Policies, UpstreamComposite) {
    let ours = order
        .iter()
        .map(|place| CompositeMember {
            name: format!("member-{place}"),
            kind: CompositeKind::Simple(members[*place].0.clone()),
            spans_per_second: members[*place].1,
        })
        .collect();
    let settings = CompositeSettings {
        max_total_spans_per_second: total,
        members: ours,
    };
    let upstream = UpstreamComposite {
        total,
        members: members
            .iter()
            .map(|(policy, share)| (policy.clone(), *share, 0))
            .collect(),
        second: 0,
    };
    (policies(vec![PolicyKind::Composite(settings)]), upstream)
}

fn failed(spans: usize) -> Vec<Span> {
    let span = Span {
        status: StatusCode::Error,
        ..Span::default()
    };
    vec![span; spans]
}

fn kept(policies: &mut Policies, at_ms: u64, trace: &[Span]) -> bool {
    decided(policies, Duration::from_millis(at_ms), trace) != Decision::NotSampled
}

#[test]
fn composite_asks_its_members_in_policy_order() {
    let members = [(SimplePolicy::AlwaysSample, 1), (errors(), 9)];
    let (mut ours, mut upstream) = composites(10, &members, &[1, 0]);
    assert!(kept(&mut ours, 0, &failed(5)), "the share of errors");
    assert!(!upstream.wants(0, &failed(5)), "the share of all");
}

#[test]
fn the_total_of_composite_is_that_of_all_members() {
    let members = [(errors(), 10), (SimplePolicy::AlwaysSample, 10)];
    let (mut ours, mut upstream) = composites(10, &members, &[0, 1]);
    let dull = vec![Span::default(); 8];
    assert!(kept(&mut ours, 0, &failed(8)) && upstream.wants(0, &failed(8)));
    assert!(!kept(&mut ours, 0, &dull), "16 are more than 10");
    assert!(upstream.wants(0, &dull));
}

#[test]
fn the_rate_of_composite_does_not_double_at_the_turn_of_a_second() {
    let members = [(SimplePolicy::AlwaysSample, 10)];
    let (mut ours, mut upstream) = composites(10, &members, &[0]);
    let trace = vec![Span::default(); 10];
    assert!(kept(&mut ours, 999, &trace) && upstream.wants(999, &trace));
    assert!(!kept(&mut ours, 1_001, &trace));
    assert!(upstream.wants(1_001, &trace));
}

//! Each type of policy at the edges of what it wants.

use tracepipe_config::{CompositeKind, CompositeMember, CompositeSettings, StringMatcher};

use super::trace::{Span, Value, decided, keeps};
use super::*;

fn number(min_value: Option<i64>, max_value: Option<i64>, invert_match: bool) -> SimplePolicy {
    SimplePolicy::NumericAttribute {
        key: "key".to_owned(),
        min_value,
        max_value,
        invert_match,
    }
}

fn text(matcher: StringMatcher, invert_match: bool) -> SimplePolicy {
    SimplePolicy::StringAttribute {
        key: "key".to_owned(),
        matcher,
        invert_match,
    }
}

fn exact(values: &[&str]) -> StringMatcher {
    StringMatcher::Exact(values.iter().map(|value| (*value).to_owned()).collect())
}

fn regex(patterns: &[&str]) -> StringMatcher {
    StringMatcher::Regex {
        patterns: patterns.iter().map(|pattern| (*pattern).to_owned()).collect(),
        cache_max_size: 128,
    }
}

fn truth(value: bool, invert_match: bool) -> SimplePolicy {
    SimplePolicy::BooleanAttribute {
        key: "key".to_owned(),
        value,
        invert_match,
    }
}

fn spans(count: usize) -> Vec<Span> {
    vec![Span::default(); count]
}

fn of_bytes(bytes: u32) -> Span {
    Span {
        bytes,
        ..Span::default()
    }
}

#[track_caller]
fn expect(policy: &SimplePolicy, trace: &[Span], kept: bool) {
    assert_eq!(
        keeps(PolicyKind::Simple(policy.clone()), trace),
        kept,
        "{policy:?} {trace:?}"
    );
    assert_eq!(
        keeps(PolicyKind::Not(policy.clone()), trace),
        !kept,
        "not {policy:?}"
    );
}

#[test]
fn numeric_attribute_bounds_are_inclusive_and_any_span_or_resource_counts() {
    let both = number(Some(10), Some(20), false);
    for (value, kept) in [(9, false), (10, true), (20, true), (21, false), (-15, false)] {
        expect(&both, &[Span::with("key", Value::Int(value))], kept);
        expect(&both, &[Span::of_resource("key", Value::Int(value))], kept);
        expect(
            &both,
            &[Span::default(), Span::with("key", Value::Int(value))],
            kept,
        );
        expect(&both, &[Span::with("other", Value::Int(value))], false);
    }
    expect(
        &number(Some(10), None, false),
        &[Span::with("key", Value::Int(i64::MAX))],
        true,
    );
    expect(
        &number(None, Some(20), false),
        &[Span::with("key", Value::Int(i64::MIN))],
        true,
    );
}

#[test]
fn invert_match_wants_traces_in_which_nothing_matches() {
    let matching = Span::with("key", Value::Int(15));
    let other = Span::with("key", Value::Int(25));
    let inverted = number(Some(10), Some(20), true);
    expect(&inverted, std::slice::from_ref(&other), true);
    expect(&inverted, &[Span::default()], true);
    expect(&inverted, &[other, matching], false);
    expect(&inverted, &[Span::of_resource("key", Value::Int(10))], false);

    let inverted = text(exact(&["a"]), true);
    expect(&inverted, &[Span::with("key", Value::text("b"))], true);
    expect(
        &inverted,
        &[Span::with("key", Value::text("a")), Span::default()],
        false,
    );
    let inverted = truth(true, true);
    expect(&inverted, &[Span::with("key", Value::Bool(false))], true);
    expect(&inverted, &[Span::with("key", Value::Bool(true))], false);
}

#[test]
fn string_attribute_matches_whole_texts_or_patterns() {
    for (value, is_exact, is_regex) in [
        ("GET", true, true),
        ("get", false, false),
        ("GETS", false, true),
        ("healthz", false, false),
        ("/api/v1", false, true),
        ("", false, false),
    ] {
        for span in [Span::with, Span::of_resource] {
            let trace = [span("key", Value::text(value))];
            expect(&text(exact(&["GET", "PUT"]), false), &trace, is_exact);
            expect(&text(regex(&["GET", "^/api/"]), false), &trace, is_regex);
        }
    }
}

#[test]
fn boolean_attribute_is_that_value() {
    for value in [true, false] {
        let trace = [Span::with("key", Value::Bool(value))];
        expect(&truth(true, false), &trace, value);
        expect(&truth(false, false), &trace, !value);
        expect(&truth(value, false), &[Span::default()], false);
        expect(
            &truth(value, false),
            &[Span::of_resource("key", Value::Bool(value))],
            true,
        );
    }
}

#[test]
fn of_two_attributes_with_one_key_the_first_counts() {
    let attributes = |values: [i64; 2]| values.map(|value| ("key".to_owned(), Value::Int(value))).to_vec();
    let policy = number(Some(10), None, false);
    for (values, kept) in [([9, 10], false), ([10, 9], true)] {
        let in_span = Span {
            attributes: attributes(values),
            ..Span::default()
        };
        expect(&policy, &[in_span], kept);
        let in_resource = Span {
            resource: attributes(values),
            ..Span::default()
        };
        expect(&policy, &[in_resource], kept);
    }
    let apart = Span {
        resource: vec![("key".to_owned(), Value::Int(9))],
        ..Span::with("key", Value::Int(10))
    };
    expect(&policy, &[apart], true);
}

#[test]
fn status_code_and_trace_flags_are_those_of_any_span() {
    let with_status = |status| Span {
        status,
        ..Span::default()
    };
    let failed = [with_status(StatusCode::Ok), with_status(StatusCode::Error)];
    expect(&errors(), &failed, true);
    expect(&errors(), &failed[..1], false);

    let flagged = |flags| Span {
        flags,
        ..Span::default()
    };
    expect(&SimplePolicy::TraceFlags, &[flagged(0), flagged(1)], true);
    expect(&SimplePolicy::TraceFlags, &[flagged(0x103)], true);
    expect(&SimplePolicy::TraceFlags, &[flagged(0x0100_0102)], false);
    expect(&SimplePolicy::TraceFlags, &[flagged(0)], false);
}

#[test]
fn latency_is_over_one_threshold_and_not_over_the_other() {
    let within = |threshold_ms, upper_threshold_ms| SimplePolicy::Latency {
        threshold_ms,
        upper_threshold_ms,
    };
    for (end, over, between) in [
        (5, false, false),
        (6, true, true),
        (9, true, true),
        (10, true, false),
    ] {
        let trace = [Span::timed(1_003, 1_004), Span::timed(1_000, 1_000 + end)];
        expect(&within(5, None), &trace, over);
        expect(&within(5, Some(9)), &trace, between);
    }
}

#[test]
fn span_count_bounds_are_inclusive() {
    let count = |min_spans, max_spans| SimplePolicy::SpanCount { min_spans, max_spans };
    for (length, at_least, between) in [
        (1, false, false),
        (2, true, true),
        (3, true, true),
        (4, true, false),
    ] {
        expect(&count(2, None), &spans(length), at_least);
        expect(&count(2, Some(3)), &spans(length), between);
    }
}

#[test]
fn trace_state_has_the_key_with_one_of_the_values() {
    let policy = SimplePolicy::TraceState {
        key: "vendor".to_owned(),
        values: ["keep", "debug"].map(str::to_owned).to_vec(),
    };
    for (header, kept) in [
        ("vendor=keep", true),
        ("other=1,vendor=debug", true),
        ("vendor=keeps", false),
        ("other=keep", false),
        ("vendor=keep,vendor=keep", false),
        ("", false),
    ] {
        let span = Span {
            trace_state: header.to_owned(),
            ..Span::default()
        };
        expect(&policy, &[Span::default(), span], kept);
    }
}

#[test]
fn probabilistic_goes_by_the_id_alone() {
    expect(&share(100.0), &spans(1), true);
    expect(&share(0.0), &spans(1), false);
}

#[test]
fn rate_limiting_and_bytes_limiting_take_whole_traces() {
    let by_spans = SimplePolicy::RateLimiting {
        spans_per_second: 2,
        burst_capacity: 3,
    };
    let by_bytes = SimplePolicy::BytesLimiting {
        bytes_per_second: 200,
        burst_capacity: 300,
    };
    let traces = |count: usize| (spans(count), vec![of_bytes(100); count]);
    let mut policies = [by_spans, by_bytes].map(|policy| policies(simple(vec![policy])));
    let mut at = |ms: u64, count: usize| {
        let (by_spans, by_bytes) = traces(count);
        let now = Duration::from_millis(ms);
        let [a, b] = &mut policies;
        let kept = decided(a, now, &by_spans) != Decision::NotSampled;
        assert_eq!(decided(b, now, &by_bytes) != Decision::NotSampled, kept);
        kept
    };
    assert!(!at(0, 4), "larger than the burst");
    assert!(at(0, 2));
    assert!(!at(0, 2));
    assert!(at(0, 1));
    assert!(!at(999, 2));
    assert!(at(1_000, 2));
    assert!(!at(1_000, 1));
}

#[test]
fn a_policy_after_the_first_match_spends_its_budget_unless_it_is_not_asked() {
    let limit = SimplePolicy::RateLimiting {
        spans_per_second: 1,
        burst_capacity: 1,
    };
    let kinds = simple(vec![errors(), limit]);
    let failed = Span {
        status: StatusCode::Error,
        ..Span::default()
    };
    for (on_first_match, left) in [
        (false, Decision::NotSampled),
        (
            true,
            Decision::Sampled {
                policy: PolicyIndex(1),
            },
        ),
    ] {
        let mut policies = Policies::new(&settings(kinds.clone()), on_first_match).unwrap();
        decided(&mut policies, Duration::ZERO, std::slice::from_ref(&failed));
        assert_eq!(decided(&mut policies, Duration::ZERO, &spans(1)), left);
    }
}

#[test]
fn and_wants_what_all_members_want_each_for_whatever_span() {
    let key = |name: &str| SimplePolicy::BooleanAttribute {
        key: name.to_owned(),
        value: true,
        invert_match: false,
    };
    let spans = ["a", "b"].map(|name| Span::with(name, Value::Bool(true)));
    let [a, b] = [&spans[..1], &spans[1..]];
    let and = |members: &[AndMember]| PolicyKind::And(members.to_vec());
    let both = and(&[AndMember::Simple(key("a")), AndMember::Simple(key("b"))]);
    assert!(keeps(both.clone(), &spans));
    assert!(!keeps(both.clone(), a));
    assert!(!keeps(both, b));
    let only_a = and(&[AndMember::Simple(key("a")), AndMember::Not(key("b"))]);
    assert!(keeps(only_a.clone(), a));
    assert!(!keeps(only_a, &spans));
}

#[test]
fn a_budget_in_and_is_spent_when_its_turn_comes() {
    let limit = AndMember::Simple(SimplePolicy::RateLimiting {
        spans_per_second: 1,
        burst_capacity: 1,
    });
    let failed = Span {
        status: StatusCode::Error,
        ..Span::default()
    };
    let errors = AndMember::Simple(errors());
    for (members, kept) in [([errors.clone(), limit.clone()], true), ([limit, errors], false)] {
        let mut policies = policies(vec![PolicyKind::And(members.to_vec())]);
        decided(&mut policies, Duration::ZERO, &spans(1));
        let decision = decided(&mut policies, Duration::ZERO, std::slice::from_ref(&failed));
        assert_eq!(decision != Decision::NotSampled, kept, "{members:?}");
    }
}

#[test]
fn drop_drops_what_all_members_want() {
    let drop = PolicyKind::Drop(vec![AndMember::Simple(errors()), AndMember::Not(slow(500))]);
    let kinds = vec![PolicyKind::Simple(SimplePolicy::AlwaysSample), drop];
    let span = |status, end| Span {
        status,
        ..Span::timed(0, end)
    };
    for (span, dropped) in [
        (span(StatusCode::Error, 100), true),
        (span(StatusCode::Error, 501), false),
        (span(StatusCode::Ok, 100), false),
    ] {
        let decision = decided(&mut policies(kinds.clone()), Duration::ZERO, &[span]);
        assert_eq!(matches!(decision, Decision::Dropped { .. }), dropped);
    }
}

fn composite(total: u64, members: &[(SimplePolicy, u64)]) -> PolicyKind {
    let members = members
        .iter()
        .enumerate()
        .map(|(n, (policy, spans_per_second))| CompositeMember {
            name: format!("member-{n}"),
            kind: CompositeKind::Simple(policy.clone()),
            spans_per_second: *spans_per_second,
        })
        .collect();
    PolicyKind::Composite(CompositeSettings {
        max_total_spans_per_second: total,
        members,
    })
}

/// Which of these traces, all at one time, a composite keeps.
fn kept_at_once(kind: PolicyKind, traces: &[Vec<Span>]) -> Vec<bool> {
    let mut policies = policies(vec![kind]);
    traces
        .iter()
        .map(|trace| decided(&mut policies, Duration::ZERO, trace) != Decision::NotSampled)
        .collect()
}

#[test]
fn composite_gives_each_member_its_share_and_all_no_more_than_the_total() {
    let failed = |count: usize| {
        let span = Span {
            status: StatusCode::Error,
            ..Span::default()
        };
        vec![span; count]
    };
    let members = |first, second| [(errors(), first), (SimplePolicy::AlwaysSample, second)];
    // A member over its share is not helped by the next one.
    assert_eq!(
        kept_at_once(
            composite(10, &members(3, 7)),
            &[failed(2), failed(2), failed(1), failed(1), spans(7), spans(1)]
        ),
        [true, false, true, false, true, false]
    );
    // The total binds where shares add up to more.
    assert_eq!(
        kept_at_once(
            composite(5, &members(4, 4)),
            &[failed(4), spans(2), spans(1), spans(1)]
        ),
        [true, false, true, false]
    );
    assert_eq!(kept_at_once(composite(9, &members(3, 3)), &[spans(4)]), [false]);
}

#[test]
fn composite_members_may_be_and() {
    let and = CompositeMember {
        name: "slow errors".to_owned(),
        kind: CompositeKind::And(vec![AndMember::Simple(errors()), AndMember::Simple(slow(5))]),
        spans_per_second: 10,
    };
    let kind = PolicyKind::Composite(CompositeSettings {
        max_total_spans_per_second: 10,
        members: vec![and],
    });
    let span = |status, end| Span {
        status,
        ..Span::timed(0, end)
    };
    assert!(keeps(kind.clone(), &[span(StatusCode::Error, 6)]));
    assert!(!keeps(kind.clone(), &[span(StatusCode::Error, 5)]));
    assert!(!keeps(kind, &[span(StatusCode::Ok, 6)]));
}

#[test]
fn composite_fills_by_time() {
    let mut policies = policies(vec![composite(2, &[(SimplePolicy::AlwaysSample, 2)])]);
    let mut kept = |ms| decided(&mut policies, Duration::from_millis(ms), &spans(2)) != Decision::NotSampled;
    assert!(kept(900));
    assert!(!kept(1_100), "no new second, no new share");
    assert!(kept(1_900));
}

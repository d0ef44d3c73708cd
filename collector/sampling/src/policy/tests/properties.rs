//! What holds for every set of policies and every trace.

use proptest::prelude::*;
use tracepipe_config::StringMatcher;

use super::trace::{ID, Span, Value, folded};
use super::*;

const KEYS: [&str; 4] = ["a", "http.method", "service.name", "http.status"];

fn any_key() -> impl Strategy<Value = String> {
    prop::sample::select(&KEYS[..]).prop_map(str::to_owned)
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => prop::sample::select(vec!["", "x", "GET", "health"]).prop_map(Value::text),
        3 => (-2i64..4).prop_map(Value::Int),
        2 => any::<bool>().prop_map(Value::Bool),
        2 => prop::sample::select(vec![0.5, 1.0, -1.5, f64::NAN]).prop_map(Value::Double),
        1 => Just(Value::None),
        1 => Just(Value::Bytes),
        1 => Just(Value::List),
    ]
}

fn any_attributes() -> impl Strategy<Value = Vec<(String, Value)>> {
    prop::collection::vec((any_key(), any_value()), 0..4)
}

fn any_span() -> impl Strategy<Value = Span> {
    let status = prop::sample::select(vec![StatusCode::Unset, StatusCode::Ok, StatusCode::Error]);
    let trace_state = prop::sample::select(vec!["", "v=1", "v=2,w=1", "v=1,v=1"]);
    let times = (0u64..10, 0u64..10);
    (
        any_attributes(),
        any_attributes(),
        times,
        status,
        trace_state,
        (0u32..4, 0u32..500),
    )
        .prop_map(
            |(resource, attributes, (start, end), status, trace_state, (flags, bytes))| Span {
                resource,
                attributes,
                trace_state: trace_state.to_owned(),
                start,
                end,
                status,
                flags,
                bytes,
            },
        )
}

/// One policy, of every type that merges.
fn any_policy() -> impl Strategy<Value = SimplePolicy> {
    let bound = || prop::option::of(-2i64..4);
    let texts = |values| prop::collection::vec(prop::sample::select(values), 1..3);
    let exact = texts(vec!["x", "GET", "nope"])
        .prop_map(|values| StringMatcher::Exact(values.iter().map(|value| (*value).to_owned()).collect()));
    let regex = texts(vec!["^.$", "h", "T$", "\\d"]).prop_map(|patterns| StringMatcher::Regex {
        patterns: patterns.iter().map(|pattern| (*pattern).to_owned()).collect(),
        cache_max_size: 2,
    });
    prop_oneof![
        Just(SimplePolicy::AlwaysSample),
        Just(SimplePolicy::TraceFlags),
        Just(errors()),
        (0i64..9, prop::option::of(0i64..9)).prop_map(|(threshold_ms, upper_threshold_ms)| {
            SimplePolicy::Latency {
                threshold_ms,
                upper_threshold_ms,
            }
        }),
        (0u32..8, prop::option::of(0u32..8))
            .prop_map(|(min_spans, max_spans)| SimplePolicy::SpanCount { min_spans, max_spans }),
        (0.0..100.0).prop_map(share),
        (any_key(), bound(), bound(), any::<bool>()).prop_map(|(key, min_value, max_value, invert_match)| {
            SimplePolicy::NumericAttribute {
                key,
                min_value,
                max_value,
                invert_match,
            }
        }),
        (any_key(), prop_oneof![exact, regex], any::<bool>()).prop_map(|(key, matcher, invert_match)| {
            SimplePolicy::StringAttribute {
                key,
                matcher,
                invert_match,
            }
        }),
        (any_key(), any::<bool>(), any::<bool>()).prop_map(|(key, value, invert_match)| {
            SimplePolicy::BooleanAttribute {
                key,
                value,
                invert_match,
            }
        }),
        prop::sample::select(vec!["v", "w"]).prop_map(|key| SimplePolicy::TraceState {
            key: key.to_owned(),
            values: vec!["1".to_owned()],
        }),
    ]
}

fn any_kind() -> impl Strategy<Value = PolicyKind> {
    prop_oneof![
        4 => any_policy().prop_map(PolicyKind::Simple),
        1 => any_policy().prop_map(PolicyKind::Not),
        2 => any_members().prop_map(PolicyKind::And),
        1 => any_members().prop_map(PolicyKind::Drop),
    ]
}

fn any_members() -> impl Strategy<Value = Vec<AndMember>> {
    let member = (any_policy(), any::<bool>()).prop_map(|(policy, negated)| {
        if negated {
            AndMember::Not(policy)
        } else {
            AndMember::Simple(policy)
        }
    });
    prop::collection::vec(member, 1..4)
}

/// What each policy says, and the decision.
fn said(policies: &mut Policies, summary: &TraceSummary) -> (Vec<(PolicyIndex, Verdict)>, Decision) {
    let mut verdicts = Vec::new();
    let question = Question {
        now: Duration::ZERO,
        trace_id: ID,
        summary,
    };
    let decision = policies.evaluate(&question, |policy, verdict| verdicts.push((policy, verdict)));
    (verdicts, decision)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn a_decision_on_merged_parts_is_that_on_all_spans(
        kinds in prop::collection::vec(any_kind(), 1..6),
        spans in prop::collection::vec((any_span(), 0usize..3, any::<u64>()), 1..10),
    ) {
        let mut policies = policies(kinds);
        let whole: Vec<Span> = spans.iter().map(|(span, _, _)| span.clone()).collect();
        let expected = said(&mut policies.clone(), &folded(&policies, &whole));

        let mut shuffled = spans;
        shuffled.sort_by_key(|(_, _, order)| *order);
        let mut merged = TraceSummary::EMPTY;
        for part in [2, 0, 1] {
            let of_part = shuffled.iter().filter(|(_, of, _)| *of == part);
            let part: Vec<Span> = of_part.map(|(span, _, _)| span.clone()).collect();
            merged.merge(&folded(&policies, &part));
        }
        prop_assert_eq!(said(&mut policies, &merged), expected);
    }

    #[test]
    fn a_span_that_triggers_makes_its_trace_kept_whatever_else_is_in_it(
        policy in any_policy(),
        trigger in any_span(),
        others in prop::collection::vec(any_span(), 0..4),
    ) {
        let mut policies = policies(simple(vec![policy]));
        let head = trigger.head(&mut policies.watch());
        if policies.is_triggered_by(&head) {
            let spans: Vec<Span> = others.into_iter().chain([trigger]).collect();
            let summary = folded(&policies, &spans);
            let (_, decision) = said(&mut policies, &summary);
            let policy = PolicyIndex(0);
            prop_assert_eq!(decision, Decision::Sampled { policy });
        }
    }
}

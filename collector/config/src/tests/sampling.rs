//! `tail_sampling`: what each policy of a file means, what is accepted with a warning, and how many are too many.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use super::{SMALLEST, load_text};
use crate::*;

/// A file with these lines under `tail_sampling`.
fn file(lines: &str) -> String {
    let mut processors = "processors:\n  tail_sampling:\n".to_owned();
    for line in lines.lines() {
        writeln!(processors, "    {line}").unwrap();
    }
    let text = SMALLEST.replace(
        "exporters:\n  awsxray",
        &format!("{processors}exporters:\n  awsxray"),
    );
    text.replace(
        "receivers: [otlp]",
        "receivers: [otlp]\n      processors: [tail_sampling]",
    )
}

fn sampling(lines: &str) -> TailSamplingSettings {
    load_text(&file(lines)).unwrap().settings.tail_sampling.unwrap()
}

/// The one policy of a file, in flow style without its name.
fn kind(policy: &str) -> PolicyKind {
    let policies = sampling(&format!("policies: [{{name: it, {policy}}}]")).policies;
    let [policy] = policies.try_into().unwrap();
    assert_eq!(policy.name, "it");
    policy.kind
}

fn warnings(lines: &str) -> Vec<String> {
    let warnings = load_text(&file(lines)).unwrap().warnings;
    let said = |warning: &ConfigWarning| format!("{}: {}", warning.path, warning.message);
    warnings.iter().map(said).collect()
}

fn errors(lines: &str) -> Vec<String> {
    let errors = load_text(&file(lines)).unwrap_err();
    let said = |error: &ConfigError| format!("{}: {}", error.path, error.message);
    errors.errors().iter().map(said).collect()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[test]
fn each_simple_policy_means_what_it_means_upstream() {
    let number = |min_value, max_value, invert_match| SimplePolicy::NumericAttribute {
        key: "a".to_owned(),
        min_value,
        max_value,
        invert_match,
    };
    let text = |matcher, invert_match| SimplePolicy::StringAttribute {
        key: "a".to_owned(),
        matcher,
        invert_match,
    };
    let regex = |pattern, cache_max_size| StringMatcher::Regex {
        patterns: texts(&[pattern]),
        cache_max_size,
    };
    let latency = |upper_threshold_ms| SimplePolicy::Latency {
        threshold_ms: 5,
        upper_threshold_ms,
    };
    let truth = |value, invert_match| SimplePolicy::BooleanAttribute {
        key: "a".to_owned(),
        value,
        invert_match,
    };
    let spans = |min_spans, max_spans| SimplePolicy::SpanCount { min_spans, max_spans };
    let cases = [
        ("type: always_sample", SimplePolicy::AlwaysSample),
        ("type: trace_flags", SimplePolicy::TraceFlags),
        ("type: latency, latency: {threshold_ms: 5}", latency(None)),
        (
            "type: latency, latency: {threshold_ms: 5, upper_threshold_ms: 0}",
            latency(None),
        ),
        (
            "type: latency, latency: {threshold_ms: 5, upper_threshold_ms: 6}",
            latency(Some(6)),
        ),
        (
            "type: numeric_attribute, numeric_attribute: {key: a, min_value: 1, max_value: 1, invert_match: true}",
            number(Some(1), Some(1), true),
        ),
        (
            "type: numeric_attribute, numeric_attribute: {key: a, max_value: -3}",
            number(None, Some(-3), false),
        ),
        (
            "type: string_attribute, string_attribute: {key: a, values: [b, c], invert_match: true}",
            text(StringMatcher::Exact(texts(&["b", "c"])), true),
        ),
        (
            "type: string_attribute, string_attribute: {key: a, values: ['^b'], enabled_regex_matching: true}",
            text(regex("^b", 128), false),
        ),
        (
            "type: string_attribute, string_attribute: {key: a, values: ['^b'], enabled_regex_matching: true, \
             cache_max_size: 7}",
            text(regex("^b", 7), false),
        ),
        (
            "type: boolean_attribute, boolean_attribute: {key: a, value: true}",
            truth(true, false),
        ),
        (
            "type: boolean_attribute, boolean_attribute: {key: a, value: false, invert_match: true}",
            truth(false, true),
        ),
        (
            "type: rate_limiting, rate_limiting: {spans_per_second: 10}",
            SimplePolicy::RateLimiting {
                spans_per_second: 10,
                burst_capacity: 20,
            },
        ),
        (
            "type: bytes_limiting, bytes_limiting: {bytes_per_second: 10, burst_capacity: 5}",
            SimplePolicy::BytesLimiting {
                bytes_per_second: 10,
                burst_capacity: 5,
            },
        ),
        ("type: span_count, span_count: {min_spans: 2}", spans(2, None)),
        ("type: span_count, span_count: {max_spans: 9}", spans(0, Some(9))),
        (
            "type: trace_state, trace_state: {key: a, values: [b]}",
            SimplePolicy::TraceState {
                key: "a".to_owned(),
                values: texts(&["b"]),
            },
        ),
    ];
    for (policy, meant) in cases {
        assert_eq!(kind(policy), PolicyKind::Simple(meant), "{policy}");
    }
}

/// Upstream takes a 0 for no bound, so that `max_value: 0` never matched what it says.
#[test]
fn a_bound_of_zero_is_a_bound() {
    let bounds = |written: &str| {
        let kind = kind(&format!(
            "type: numeric_attribute, numeric_attribute: {{key: a, {written}}}"
        ));
        let PolicyKind::Simple(SimplePolicy::NumericAttribute {
            min_value, max_value, ..
        }) = kind
        else {
            panic!("{kind:?}")
        };
        (min_value, max_value)
    };
    assert_eq!(bounds("min_value: 0"), (Some(0), None));
    assert_eq!(bounds("min_value: 0, max_value: 0"), (Some(0), Some(0)));
    assert_eq!(bounds("min_value: -1, max_value: 0"), (Some(-1), Some(0)));
}

#[test]
fn policies_stand_in_each_other_as_upstream() {
    let flags = || SimplePolicy::TraceFlags;
    let members = || {
        vec![
            AndMember::Simple(flags()),
            AndMember::Not(SimplePolicy::AlwaysSample),
        ]
    };
    let written =
        "[{name: a, type: trace_flags}, {type: not, not: {not_sub_policy: {name: b, type: always_sample}}}]";
    assert_eq!(
        kind(&format!("type: and, and: {{and_sub_policy: {written}}}")),
        PolicyKind::And(members())
    );
    assert_eq!(
        kind(&format!("type: drop, drop: {{drop_sub_policy: {written}}}")),
        PolicyKind::Drop(members())
    );
    assert_eq!(
        kind("type: not, not: {not_sub_policy: {type: trace_flags}}"),
        PolicyKind::Not(flags())
    );
    let composite = format!(
        "type: composite, composite: {{max_total_spans_per_second: 1000, composite_sub_policy: \
         [{{name: x, type: trace_flags}}, {{name: y, type: and, and: {{and_sub_policy: {written}}}}}]}}"
    );
    let member = |name: &str, kind| CompositeMember {
        name: name.to_owned(),
        kind,
        spans_per_second: 500,
    };
    let expected = CompositeSettings {
        max_total_spans_per_second: 1000,
        members: vec![
            member("x", CompositeKind::Simple(flags())),
            member("y", CompositeKind::And(members())),
        ],
    };
    assert_eq!(kind(&composite), PolicyKind::Composite(expected));
}

/// The members of a composite of 1000 spans a second with members a, b, c and d.
fn shares(more: &str) -> Vec<(String, u64)> {
    let members: Vec<String> = ["a", "b", "c", "d"]
        .map(|name| format!("{{name: {name}, type: trace_flags}}"))
        .into();
    let members = members.join(", ");
    let policy = format!(
        "type: composite, composite: {{max_total_spans_per_second: 1000, composite_sub_policy: [{members}], {more}}}"
    );
    let PolicyKind::Composite(composite) = kind(&policy) else {
        panic!()
    };
    let members = composite.members.into_iter();
    members
        .map(|member| (member.name, member.spans_per_second))
        .collect()
}

#[test]
fn members_of_a_composite_share_the_rate_and_are_asked_in_policy_order() {
    let expected = |shares: [(&str, u64); 4]| shares.map(|(name, spans)| (name.to_owned(), spans));
    assert_eq!(
        shares(""),
        expected([("a", 250), ("b", 250), ("c", 250), ("d", 250)])
    );
    assert_eq!(
        shares("policy_order: [c, a], rate_allocation: [{policy: a, percent: 50}, {policy: d, percent: 25}]"),
        expected([("c", 125), ("a", 500), ("b", 125), ("d", 250)])
    );
}

#[test]
fn what_is_not_written_is_upstreams_default_or_ours() {
    let settings = sampling("policies: [{name: all, type: always_sample}]");
    let expected = TailSamplingSettings {
        decision_wait: Duration::from_secs(30),
        decision_wait_after_root_received: None,
        num_traces: 50_000,
        block_on_overflow: false,
        expected_new_traces_per_sec: 0,
        maximum_trace_size_bytes: None,
        sample_on_first_match: false,
        record_policy: true,
        decision_cache: DecisionCacheSettings {
            sampled_cache_size: 50_000,
            non_sampled_cache_size: 50_000,
            directory: None,
        },
        policies: settings.policies.clone(),
    };
    assert_eq!(settings, expected);
}

#[test]
fn each_setting_of_the_processor_is_taken() {
    let settings = sampling(
        "decision_wait: 10s\n\
         decision_wait_after_root_received: 1500ms\n\
         num_traces: 7\n\
         block_on_overflow: true\n\
         expected_new_traces_per_sec: 9\n\
         maximum_trace_size_bytes: 1000\n\
         sample_on_first_match: true\n\
         record_policy: false\n\
         sampling_strategy: trace-complete\n\
         drop_pending_traces_on_shutdown: false\n\
         decision_cache: {sampled_cache_size: 0, non_sampled_cache_size: 3, directory: /var/decisions}\n\
         policies: [{name: all, type: always_sample}]",
    );
    let expected = TailSamplingSettings {
        decision_wait: Duration::from_secs(10),
        decision_wait_after_root_received: Some(Duration::from_millis(1500)),
        num_traces: 7,
        block_on_overflow: true,
        expected_new_traces_per_sec: 9,
        maximum_trace_size_bytes: Some(1000),
        sample_on_first_match: true,
        record_policy: false,
        decision_cache: DecisionCacheSettings {
            sampled_cache_size: 0,
            non_sampled_cache_size: 3,
            directory: Some(PathBuf::from("/var/decisions")),
        },
        policies: settings.policies.clone(),
    };
    assert_eq!(settings, expected);
}

#[test]
fn what_may_surprise_is_accepted_with_a_warning() {
    let policies = "policies: [{name: all, type: always_sample}]";
    assert_eq!(
        warnings(&format!(
            "num_shards: 4\ndecision_wait: 5s\ndecision_wait_after_root_received: 5s\n{policies}"
        )),
        [
            "processors.tail_sampling.num_shards: has no effect here: one thread owns all traces",
            "processors.tail_sampling.decision_wait_after_root_received: has no effect: it is not below \
             `decision_wait`, which comes first",
        ]
    );
    assert_eq!(
        warnings(&format!(
            "decision_cache: {{sampled_cache_size: 0, non_sampled_cache_size: 0, directory: /d}}\n{policies}"
        )),
        [
            "processors.tail_sampling.decision_cache.directory: has no effect: both caches have the size 0, so there is \
             nothing to keep"
        ]
    );
    assert_eq!(
        warnings("policies: [{name: a, type: boolean_attribute, boolean_attribute: {key: b}}]"),
        [
            "processors.tail_sampling.policies[0].boolean_attribute.value: is not written: `value: false` is meant, as \
             upstream has it"
        ]
    );
    assert_eq!(
        warnings(
            "policies: [{name: a, type: string_attribute, string_attribute: {key: b, values: [c], cache_max_size: 9}}]"
        ),
        [
            "processors.tail_sampling.policies[0].string_attribute.cache_max_size: has no effect: it is for \
             `enabled_regex_matching: true`"
        ]
    );
    assert_eq!(
        warnings("policies: [{name: a, type: drop, drop: {drop_sub_policy: [{type: trace_flags}]}}]"),
        [
            "processors.tail_sampling.policies: only `drop` policies: no trace is kept; write one with \
             `type: always_sample` to keep the rest"
        ]
    );
    assert_eq!(
        warnings("policies: [{name: a, type: trace_flags, trace_flags: {}, latency: {threshold_ms: 5}}]"),
        [
            "processors.tail_sampling.policies[0].trace_flags: has no effect here: this type has no settings",
            "processors.tail_sampling.policies[0].latency: has no effect here: the policy's `type` is another",
        ]
    );
}

#[test]
fn an_order_that_upstream_takes_no_notice_of_is_followed_with_a_warning() {
    let composite = |order: &str| {
        warnings(&format!(
            "policies: [{{name: a, type: composite, composite: {{max_total_spans_per_second: 9, policy_order: {order}, \
             composite_sub_policy: [{{name: x, type: trace_flags}}, {{name: y, type: always_sample}}]}}}}]"
        ))
    };
    assert_eq!(composite("[x, y]"), [""; 0]);
    assert_eq!(composite("[x]"), [""; 0]);
    assert_eq!(
        composite("[y]"),
        [
            "processors.tail_sampling.policies[0].composite.policy_order: is another order than that of \
             `composite_sub_policy`: tracepipe asks in this one, upstream in the other"
        ]
    );
}

/// `count` items in one line.
fn items(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(", ")
}

#[test]
fn there_are_bounds_on_how_many() {
    let all = |index| format!("{{name: p{index}, type: always_sample}}");
    let policies = |count| format!("policies: [{}]", items(count, all));
    assert_eq!(sampling(&policies(64)).policies.len(), 64);
    assert_eq!(
        errors(&policies(65)),
        ["processors.tail_sampling.policies: has 65 items, more than 64"]
    );
    let members = |kind: &str, list: &str, count| {
        format!(
            "policies: [{{name: it, type: {kind}, {kind}: {{{list}: [{}]}}}}]",
            items(count, all)
        )
    };
    for (kind, list) in [("and", "and_sub_policy"), ("drop", "drop_sub_policy")] {
        assert_eq!(sampling(&members(kind, list, 64)).policies.len(), 1);
        assert_eq!(
            errors(&members(kind, list, 65)),
            [format!(
                "processors.tail_sampling.policies[0].{kind}.{list}: has 65 items, more than 64"
            )]
        );
    }
    let composite = members(
        "composite",
        "max_total_spans_per_second: 100, composite_sub_policy",
        65,
    );
    assert_eq!(
        errors(&composite),
        ["processors.tail_sampling.policies[0].composite.composite_sub_policy: has 65 items, more than 64"]
    );
    let values = |more: &str, count| {
        format!(
            "policies: [{{name: it, type: string_attribute, string_attribute: {{key: a, {more} values: [{}]}}}}]",
            items(count, |index| format!("v{index}"))
        )
    };
    assert_eq!(sampling(&values("", 1000)).policies.len(), 1);
    let path = "processors.tail_sampling.policies[0].string_attribute.values";
    let advice = "one policy more can take the rest";
    assert_eq!(
        errors(&values("", 1001)),
        [format!("{path}: has 1001 items, more than 1000; {advice}")]
    );
    assert_eq!(
        errors(&values("enabled_regex_matching: true,", 101)),
        [format!("{path}: has 101 items, more than 100; {advice}")]
    );
}

#[test]
fn there_is_a_bound_on_how_many_patterns_there_are_in_all() {
    let patterns = |count| {
        let values = items(count, |index| format!("v{index}"));
        format!(
            "{{type: string_attribute, string_attribute: {{key: a, enabled_regex_matching: true, values: [{values}]}}}}"
        )
    };
    let policies = |last| {
        format!(
            "policies: [{{name: a, type: and, and: {{and_sub_policy: [{0}, {0}, {0}]}}}}, \
             {{name: b, type: not, not: {{not_sub_policy: {0}}}}}, {{name: c, type: drop, drop: {{drop_sub_policy: \
             [{1}]}}}}]",
            patterns(100),
            patterns(last)
        )
    };
    assert_eq!(sampling(&policies(100)).policies.len(), 3);
    assert_eq!(
        errors(&policies(101)),
        [
            "processors.tail_sampling.policies: have 501 regular expressions, more than 500; one can hold several: ^/a|^/b"
        ]
    );
}

#[test]
fn there_is_a_bound_on_how_many_things_are_looked_for() {
    let number =
        |value| format!("{{type: numeric_attribute, numeric_attribute: {{key: a, min_value: {value}}}}}");
    let policies = |last: usize| {
        format!(
            "policies: [{{name: a, type: and, and: {{and_sub_policy: [{}]}}}}, {{name: b, type: drop, drop: \
             {{drop_sub_policy: [{}]}}}}, {{name: c, type: not, not: {{not_sub_policy: {}}}}}]",
            items(64, number),
            items(64, |index| number(index + 64)),
            number(last)
        )
    };
    assert_eq!(sampling(&policies(127)).policies.len(), 3);
    assert_eq!(
        errors(&policies(128)),
        [
            "processors.tail_sampling.policies: look for more than 128 different things in spans; put the values of one \
             key into one policy"
        ]
    );
}

#[test]
fn regular_expressions_that_are_large_together_are_refused_once_and_no_more_are_compiled() {
    let policy = |name: &str| {
        let patterns: Vec<String> = (0..100).map(|number| format!(r"'\pL{{60}}{number}'")).collect();
        format!(
            "- name: {name}\n  type: string_attribute\n  string_attribute:\n    key: a\n    \
             enabled_regex_matching: true\n    values: [{}]\n",
            patterns.join(", ")
        )
    };
    let errors = errors(&format!("policies:\n{}{}", policy("one"), policy("two")));
    let [error] = &errors[..] else {
        panic!("{errors:?}");
    };
    assert!(error.contains("compile to more than 32 MiB"), "{error}");
}

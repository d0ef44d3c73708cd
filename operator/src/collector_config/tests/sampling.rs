//! `spec.sampling`.

use tracepipe_config::{AndMember, CompositeKind, CompositeMember, CompositeSettings, StringMatcher};

use super::*;

/// What one policy of the spec becomes.
fn policy(policy: Value) -> PolicyKind {
    let mut named = json!({"name": "it"});
    named
        .as_object_mut()
        .unwrap()
        .extend(policy.as_object().unwrap().clone());
    let mut all = policies(json!({"sampling": {"policies": [named]}}));
    all.pop().unwrap().1
}

#[test]
fn each_simple_policy_becomes_the_collectors() {
    let key = "a".to_owned();
    let values = vec!["b".to_owned(), "c".to_owned()];
    let cases = [
        (json!({"type": "TraceFlags"}), SimplePolicy::TraceFlags),
        (
            json!({"type": "Latency", "latency": {"thresholdMs": 1, "upperThresholdMs": 2}}),
            latency(1, Some(2)),
        ),
        (
            json!({"type": "NumericAttribute", "numericAttribute": {"key": "a", "minValue": 0, "invertMatch": true}}),
            SimplePolicy::NumericAttribute {
                key: key.clone(),
                min_value: Some(0),
                max_value: None,
                invert_match: true,
            },
        ),
        (
            json!({"type": "StringAttribute", "stringAttribute": {"key": "a", "values": ["b", "c"]}}),
            SimplePolicy::StringAttribute {
                key: key.clone(),
                matcher: StringMatcher::Exact(values.clone()),
                invert_match: false,
            },
        ),
        (
            json!({"type": "StringAttribute", "stringAttribute": {
                "key": "a", "values": ["b", "c"], "enabledRegexMatching": true, "cacheMaxSize": 9, "invertMatch": true,
            }}),
            SimplePolicy::StringAttribute {
                key: key.clone(),
                matcher: StringMatcher::Regex {
                    patterns: values.clone(),
                    cache_max_size: 9,
                },
                invert_match: true,
            },
        ),
        (
            json!({"type": "BooleanAttribute", "booleanAttribute": {"key": "a", "value": false, "invertMatch": true}}),
            SimplePolicy::BooleanAttribute {
                key: key.clone(),
                value: false,
                invert_match: true,
            },
        ),
        (
            json!({"type": "RateLimiting", "rateLimiting": {"spansPerSecond": 5}}),
            SimplePolicy::RateLimiting {
                spans_per_second: 5,
                burst_capacity: 10,
            },
        ),
        (
            json!({"type": "BytesLimiting", "bytesLimiting": {"bytesPerSecond": 5, "burstCapacity": 1}}),
            SimplePolicy::BytesLimiting {
                bytes_per_second: 5,
                burst_capacity: 1,
            },
        ),
        (
            json!({"type": "SpanCount", "spanCount": {"maxSpans": 5}}),
            SimplePolicy::SpanCount {
                min_spans: 0,
                max_spans: Some(5),
            },
        ),
        (
            json!({"type": "TraceState", "traceState": {"key": "a", "values": ["b", "c"]}}),
            SimplePolicy::TraceState { key, values },
        ),
    ];
    for (written, expected) in cases {
        assert_eq!(
            policy(written.clone()),
            PolicyKind::Simple(expected.clone()),
            "{written}"
        );
        let not = policy(json!({"type": "Not", "not": {"notSubPolicy": written}}));
        assert_eq!(not, PolicyKind::Not(expected), "{not:?}");
    }
}

#[test]
fn policies_in_policies_become_the_collectors() {
    let members = json!([
        {"type": "TraceFlags", "name": "a"},
        {"type": "Not", "not": {"notSubPolicy": {"type": "Latency", "latency": {"thresholdMs": 5}}}},
    ]);
    let expected = || {
        vec![
            AndMember::Simple(SimplePolicy::TraceFlags),
            AndMember::Not(latency(5, None)),
        ]
    };
    assert_eq!(
        policy(json!({"type": "And", "and": {"andSubPolicy": members}})),
        PolicyKind::And(expected())
    );
    assert_eq!(
        policy(json!({"type": "Drop", "drop": {"dropSubPolicy": members}})),
        PolicyKind::Drop(expected())
    );
    let composite = policy(json!({"type": "Composite", "composite": {
        "maxTotalSpansPerSecond": 1000,
        "policyOrder": ["y"],
        "compositeSubPolicy": [
            {"name": "x", "type": "And", "and": {"andSubPolicy": members}},
            {"name": "y", "type": "AlwaysSample"},
        ],
        "rateAllocation": [{"policy": "x", "percent": 30}],
    }}));
    let member = |name: &str, kind, spans_per_second| CompositeMember {
        name: name.to_owned(),
        kind,
        spans_per_second,
    };
    assert_eq!(
        composite,
        PolicyKind::Composite(CompositeSettings {
            max_total_spans_per_second: 1000,
            members: vec![
                member("y", CompositeKind::Simple(SimplePolicy::AlwaysSample), 700),
                member("x", CompositeKind::And(expected()), 300),
            ],
        })
    );
}

#[test]
fn each_setting_of_sampling_reaches_the_collector() {
    let sampling = settings_of(json!({"sampling": {
        "decisionWaitAfterRoot": "1500ms", "blockOnOverflow": true, "expectedNewTracesPerSec": 7,
        "maximumTraceSizeBytes": 9, "sampleOnFirstMatch": true, "recordPolicy": false,
        "decisionCache": {"sampledCacheSize": 0, "nonSampledCacheSize": 5, "persistence": {}},
    }}))
    .tail_sampling
    .unwrap();
    assert_eq!(
        sampling.decision_wait_after_root_received.unwrap().as_millis(),
        1500
    );
    assert_eq!(
        (
            sampling.block_on_overflow,
            sampling.sample_on_first_match,
            sampling.record_policy
        ),
        (true, true, false)
    );
    assert_eq!(
        (
            sampling.expected_new_traces_per_sec,
            sampling.maximum_trace_size_bytes
        ),
        (7, Some(9))
    );
    let cache = sampling.decision_cache;
    assert_eq!((cache.sampled_cache_size, cache.non_sampled_cache_size), (0, 5));
    assert_eq!(
        cache.directory.unwrap().to_str(),
        Some("/var/lib/tracepipe/decisions")
    );
}

/// Upstream refuses a configuration with a key that it does not know. Of our own keys, `record_policy` is written only
/// where it is false, `decision_cache.directory` only with persistence, and `tracepipe` never.
#[test]
fn a_configuration_has_upstreams_keys_alone_unless_ours_are_asked_for() {
    let ours = |sampling: Value| {
        let spec = with_spec(json!({
            "sampling": sampling,
            "exporters": {"xray": {"mode": "Disabled"}, "logging": {}},
        }))
        .spec;
        let yaml = build(&spec, &settings(), None, None).unwrap().to_yaml();
        let keys = ["record_policy", "directory", "tracepipe"];
        let found = keys.into_iter().filter(|key| yaml.contains(&format!(" {key}:")));
        found.collect::<Vec<_>>()
    };
    assert_eq!(ours(json!({})), [""; 0]);
    assert_eq!(
        ours(json!({"recordPolicy": true, "decisionCache": {"sampledCacheSize": 9}})),
        [""; 0]
    );
    assert_eq!(ours(json!({"recordPolicy": false})), ["record_policy"]);
    assert_eq!(ours(json!({"decisionCache": {"persistence": {}}})), ["directory"]);
}

#[test]
fn what_only_the_collectors_parser_finds_is_told_with_its_place_in_the_spec() {
    let said = |policy: Value| {
        let spec = with_spec(json!({"sampling": {"policies": [policy]}})).spec;
        let config = build(&spec, &settings(), Some("eu-west-1"), None).unwrap();
        let errors = config.resolve().unwrap_err();
        let lines = errors.errors().iter().map(|error| in_spec(error, &spec));
        lines.collect::<Vec<_>>().join("\n")
    };
    let pattern = json!({"type": "StringAttribute", "stringAttribute": {
        "key": "a", "values": ["b", "("], "enabledRegexMatching": true,
    }});
    let nested = json!({"name": "it", "type": "And", "and": {"andSubPolicy": [
        {"type": "TraceFlags"}, {"type": "Not", "not": {"notSubPolicy": pattern}},
    ]}});
    let place = "spec.sampling.policies[0].and.andSubPolicy[1].not.notSubPolicy.stringAttribute.values[1]: ";
    assert!(said(nested.clone()).starts_with(place), "{}", said(nested));
    assert_eq!(
        said(json!({"name": "it", "type": "Composite", "composite": {
            "maxTotalSpansPerSecond": 1,
            "compositeSubPolicy": [{"name": "x", "type": "AlwaysSample"}, {"name": "y", "type": "TraceFlags"}],
        }})),
        "spec.sampling.policies[0].composite.rateAllocation: less than one span a second is left for `x`, `y`, which \
         would keep nothing"
    );
}

#[test]
fn the_example_of_policies_becomes_a_configuration() {
    let example = include_str!("../../../../deploy/examples/pipeline-policies.yaml");
    let [pipeline] = tracepipe_crds::parse(example)
        .unwrap()
        .pipelines
        .try_into()
        .unwrap();
    let config = build(&pipeline.spec, &settings(), Some("eu-west-1"), None).unwrap();
    let loaded = config.resolve().unwrap();
    assert_eq!(loaded.warnings, []);
    let sampling = loaded.settings.tail_sampling.unwrap();
    let names: Vec<&str> = sampling
        .policies
        .iter()
        .map(|policy| policy.name.as_str())
        .collect();
    let added = ["health-checks", "server-errors", "slow-checkouts", "other-plans"];
    assert_eq!(
        names,
        [&[KEEP_ERRORS, KEEP_SLOW, SAMPLING_RATE][..], &added].concat()
    );
}

/// A CRD older than the operator lacks the schema that keeps it out.
#[test]
fn a_type_where_it_cannot_stand_is_told_with_its_place() {
    let spec = with_spec(json!({"sampling": {"policies": [
        {"name": "it", "type": "And", "and": {"andSubPolicy": [{"type": "Composite"}]}},
        {"name": "other", "type": "Not", "not": {"notSubPolicy": {"type": "Not"}}},
    ]}}))
    .spec;
    assert_eq!(
        build(&spec, &settings(), None, None).unwrap_err(),
        [
            "spec.sampling.policies[0].and.andSubPolicy[0].type: Composite cannot stand here",
            "spec.sampling.policies[1].not.notSubPolicy.type: Not cannot stand here",
        ]
    );
}

mod sampling;

use serde_json::{Value, json};
use tracepipe_config::{ExporterKind, PolicyKind, SimplePolicy, StatusCode};

use super::*;
use crate::collector_config::sampling::{KEEP_ERRORS, KEEP_SLOW, SAMPLING_RATE};
use crate::testing::*;

fn settings_of(spec: Value) -> tracepipe_config::Settings {
    let spec = with_spec(spec).spec;
    build(&spec, &settings(), Some("eu-west-1"), None)
        .unwrap()
        .resolve()
        .unwrap()
        .settings
}

fn policies(spec: Value) -> Vec<(String, PolicyKind)> {
    let sampling = settings_of(spec).tail_sampling.unwrap();
    sampling
        .policies
        .into_iter()
        .map(|policy| (policy.name, policy.kind))
        .collect()
}

fn latency(threshold_ms: i64, upper_threshold_ms: Option<i64>) -> SimplePolicy {
    SimplePolicy::Latency {
        threshold_ms,
        upper_threshold_ms,
    }
}

#[test]
fn errors_slow_traces_and_a_share_are_kept_by_default() {
    let expected = [
        (
            KEEP_ERRORS,
            SimplePolicy::StatusCode {
                status_codes: vec![StatusCode::Error],
            },
        ),
        (KEEP_SLOW, latency(500, None)),
        (
            SAMPLING_RATE,
            SimplePolicy::Probabilistic {
                hash_salt: "default-hash-seed".to_owned(),
                sampling_percentage: 10.0,
            },
        ),
    ];
    assert_eq!(
        policies(json!({})),
        expected.map(|(name, policy)| (name.to_owned(), PolicyKind::Simple(policy)))
    );
}

#[test]
fn what_is_switched_off_is_no_policy() {
    let names = |spec: Value| {
        policies(spec)
            .into_iter()
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(json!({"sampling": {"keepErrors": false}})),
        [KEEP_SLOW, SAMPLING_RATE]
    );
    assert_eq!(
        names(json!({"sampling": {"slowThreshold": "0s"}})),
        [KEEP_ERRORS, SAMPLING_RATE]
    );
    assert_eq!(
        names(json!({"samplingRatePercentage": 0})),
        [KEEP_ERRORS, KEEP_SLOW, SAMPLING_RATE]
    );
}

#[test]
fn own_policies_come_behind_in_their_order() {
    let added = policies(json!({"sampling": {"policies": [
        {"name": "z", "type": "Latency", "latency": {"thresholdMs": 7}},
        {"name": "a", "type": "StatusCode", "statusCode": {"statusCodes": ["OK", "UNSET"]}},
        {"name": "m", "type": "Probabilistic", "probabilistic": {"samplingPercentage": "0.25", "hashSalt": "s"}},
        {"name": "n", "type": "AlwaysSample"},
    ]}}))
    .split_off(3);
    let expected = [
        ("z", latency(7, None)),
        (
            "a",
            SimplePolicy::StatusCode {
                status_codes: vec![StatusCode::Ok, StatusCode::Unset],
            },
        ),
        (
            "m",
            SimplePolicy::Probabilistic {
                hash_salt: "s".to_owned(),
                sampling_percentage: 0.25,
            },
        ),
        ("n", SimplePolicy::AlwaysSample),
    ];
    assert_eq!(
        added,
        expected.map(|(name, policy)| (name.to_owned(), PolicyKind::Simple(policy)))
    );
}

#[test]
fn amounts_and_times_are_those_of_the_spec() {
    let settings = settings_of(json!({
        "sampling": {"decisionWait": "1m30s", "numTraces": 777},
        "memoryLimiter": {"limitMiB": 300, "spikeLimitMiB": 60, "checkInterval": "250ms"},
        "batch": {"timeout": "3s", "sendBatchSize": 10, "sendBatchMaxSize": 20},
    }));
    let sampling = settings.tail_sampling.unwrap();
    assert_eq!((sampling.decision_wait.as_secs(), sampling.num_traces), (90, 777));
    let limiter = settings.memory_limiter;
    assert_eq!((limiter.limit_bytes >> 20, limiter.spike_bytes >> 20), (300, 60));
    assert_eq!(limiter.check_interval.as_millis(), 250);
    let batch = settings.batch.unwrap();
    assert_eq!(
        (
            batch.timeout.as_secs(),
            batch.send_batch_size,
            batch.send_batch_max_size
        ),
        (3, 10, 20)
    );
}

#[test]
fn the_attributes_to_index_are_those_of_the_spec_letter_by_letter() {
    for names in [json!([]), json!(["customer.id", "${env:HOME}", "a b"])] {
        let xray = json!({ "indexAllAttributes": false, "indexedAttributes": names });
        let settings = settings_of(json!({ "exporters": { "xray": xray } }));
        let ExporterKind::AwsXray(xray) = &settings.exporters[0].kind else {
            panic!("not awsxray")
        };
        assert_eq!(
            (xray.index_all_attributes, json!(xray.indexed_attributes)),
            (false, names)
        );
    }
}

#[test]
fn an_unreadable_text_is_told_with_its_place() {
    let spec = with_spec(json!({
        "samplingRatePercentage": "many",
        "sampling": {"decisionWait": "soon", "policies": [
            {"name": "a", "type": "AlwaysSample"},
            {"name": "b", "type": "Probabilistic", "probabilistic": {"samplingPercentage": -1}},
        ]},
        "batch": {"sendBatchSize": -5},
    }))
    .spec;
    let wrong = build(&spec, &settings(), None, None).unwrap_err();
    for place in [
        "spec.samplingRatePercentage: ",
        "spec.sampling.decisionWait: ",
        "spec.sampling.policies[1].probabilistic.samplingPercentage: ",
        "spec.batch.sendBatchSize: ",
    ] {
        assert!(
            wrong.iter().any(|line| line.starts_with(place)),
            "{place}: {wrong:?}"
        );
    }
    assert_eq!(wrong.len(), 4, "{wrong:?}");
}

#[test]
fn a_place_in_the_configuration_is_one_in_the_spec() {
    let cases = [
        (
            "processors.tail_sampling.policies[3].name",
            3,
            "spec.sampling.policies[0].name",
        ),
        (
            "processors.tail_sampling.policies[12]",
            2,
            "spec.sampling.policies[10]",
        ),
        (
            "processors.tail_sampling.policies[0].name",
            1,
            "spec.sampling (processors.tail_sampling.policies[0].name)",
        ),
        ("processors.tail_sampling.policies", 3, "spec.sampling.policies"),
        (
            "processors.tail_sampling.policies[4].drop.drop_sub_policy[2].numeric_attribute.max_value",
            3,
            "spec.sampling.policies[1].drop.dropSubPolicy[2].numericAttribute.maxValue",
        ),
        (
            "processors.tail_sampling.decision_wait",
            3,
            "spec.sampling.decisionWait",
        ),
        (
            "processors.tail_sampling.decision_wait_after_root_received",
            3,
            "spec.sampling.decisionWaitAfterRoot",
        ),
        (
            "processors.tail_sampling.decision_cache.directory",
            3,
            "spec.sampling.decisionCache.persistence",
        ),
        (
            "processors.memory_limiter.limit_mib",
            3,
            "spec.memoryLimiter (processors.memory_limiter.limit_mib)",
        ),
        ("processors.batch", 3, "spec.batch (processors.batch)"),
        (
            "exporters.awsxray.endpoint",
            3,
            "spec.exporters.xray (exporters.awsxray.endpoint)",
        ),
        ("exporters.debug", 3, "spec.exporters.logging (exporters.debug)"),
        (
            "exporters.prometheusremotewrite.endpoint",
            3,
            "spec.ampRemoteWriteEndpoint (exporters.prometheusremotewrite.endpoint)",
        ),
        ("service.pipelines", 3, "spec (service.pipelines)"),
    ];
    for (path, built_in, expected) in cases {
        assert_eq!(spec_path(path, built_in), expected);
    }
}

#[test]
fn our_own_policies_are_counted_as_they_are_built() {
    for (spec, count) in [
        (json!({}), 3),
        (json!({"keepErrors": false}), 2),
        (json!({"slowThreshold": "0ms"}), 2),
        (json!({"keepErrors": false, "slowThreshold": "0s"}), 1),
    ] {
        let sampling = with_spec(json!({"sampling": spec})).spec.sampling;
        assert_eq!(built_in_policies(&sampling), count, "{spec}");
        assert_eq!(policies(json!({"sampling": spec})).len(), count, "{spec}");
    }
}

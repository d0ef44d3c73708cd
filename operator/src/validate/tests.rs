use serde_json::{Value, json};

use super::*;
use crate::testing::*;

fn refusal(spec: Value) -> Refusal {
    validate(&with_spec(spec), &settings(), &facts()).unwrap_err()
}

#[test]
fn every_broken_rule_is_told_with_its_place() {
    let refusal = refusal(json!({
        "samplingRatePercentage": 101,
        "sampling": {"decisionWait": "soon"},
        "memoryLimiter": {"spikeLimitMiB": 400},
    }));
    assert_eq!(refusal.reason, reasons::INVALID_CONFIG);
    let lines: Vec<&str> = refusal.message.lines().collect();
    for place in [
        "spec.samplingRatePercentage",
        "spec.sampling.decisionWait",
        "spec.memoryLimiter",
    ] {
        assert!(
            lines.iter().any(|line| line.starts_with(place)),
            "{place}: {lines:?}"
        );
    }
}

#[test]
fn a_name_that_cannot_be_a_services_is_refused() {
    for name in ["1st", "A", "a.b", "-a", "a-", &"a".repeat(53)] {
        let mut pipeline = minimal();
        pipeline.metadata.name = Some(name.to_owned());
        let refusal = validate(&pipeline, &settings(), &facts()).unwrap_err();
        assert!(
            refusal.message.starts_with("metadata.name: "),
            "{name}: {}",
            refusal.message
        );
    }
}

#[test]
fn the_region_is_the_specs_else_the_administrators_else_the_nodes() {
    let region = |spec: Option<&str>, administrator: Option<&str>, nodes: Option<&str>| {
        let mut settings = settings();
        settings.region = administrator.map(str::to_owned);
        let facts = Facts {
            region_of_nodes: nodes.map(str::to_owned),
            ..facts()
        };
        validate(&with_spec(json!({"region": spec})), &settings, &facts).map(|accepted| accepted.region)
    };
    let (a, b, c) = (Some("eu-west-1"), Some("eu-west-2"), Some("eu-west-3"));
    assert_eq!(region(a, b, c), Ok(a.map(str::to_owned)));
    assert_eq!(region(None, b, c), Ok(b.map(str::to_owned)));
    assert_eq!(region(None, None, c), Ok(c.map(str::to_owned)));
    let refusal = region(None, None, None).unwrap_err();
    assert_eq!(refusal.reason, reasons::REGION_UNKNOWN);
    for way in ["spec.region", "aws.region", "topology.kubernetes.io/region"] {
        assert!(refusal.message.contains(way), "{}", refusal.message);
    }
}

#[test]
fn without_x_ray_no_region_is_needed() {
    let accepted = validate(&pipeline_of("logging"), &settings(), &Facts::default()).unwrap();
    assert_eq!(accepted.region, None);
}

#[test]
fn an_older_cluster_gets_local_where_same_node_is_preferred() {
    let policy = |wanted: &str, facts: &Facts| {
        let pipeline = with_spec(json!({"service": {"trafficPolicy": wanted}}));
        validate(&pipeline, &settings(), facts).unwrap().traffic_policy
    };
    assert_eq!(policy("PreferSameNode", &facts()), TrafficPolicy::PreferSameNode);
    assert_eq!(policy("PreferSameNode", &old_cluster()), TrafficPolicy::Local);
    for facts in [facts(), old_cluster()] {
        assert_eq!(policy("Local", &facts), TrafficPolicy::Local);
        assert_eq!(policy("Cluster", &facts), TrafficPolicy::Cluster);
    }
}

/// What only the collector's own check finds is told in the words of the spec.
#[test]
fn a_name_that_a_policy_of_ours_has_already_is_found_where_it_was_written() {
    let policy = |name: &str| json!({"name": name, "type": "AlwaysSample"});
    for taken in ["always-sample-errors", "always-sample-slow", "probabilistic"] {
        let refusal = refusal(json!({"sampling": {"policies": [policy("a"), policy(taken)]}}));
        assert_eq!(refusal.reason, reasons::INVALID_CONFIG);
        assert!(
            refusal.message.starts_with("spec.sampling.policies[1]"),
            "{}",
            refusal.message
        );
    }
    // A policy that is off has no name that could be taken.
    let pipeline =
        with_spec(json!({"sampling": {"keepErrors": false, "policies": [policy("always-sample-errors")]}}));
    assert!(validate(&pipeline, &settings(), &facts()).is_ok());
    let pipeline =
        with_spec(json!({"sampling": {"slowThreshold": "0s", "policies": [policy("always-sample-slow")]}}));
    assert!(validate(&pipeline, &settings(), &facts()).is_ok());
    let twice = refusal(json!({"sampling": {"keepErrors": false, "policies": [policy("b"), policy("b")]}}));
    assert!(
        twice.message.starts_with("spec.sampling.policies[1]"),
        "{}",
        twice.message
    );
}

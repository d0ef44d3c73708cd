//! `testdata/pipelines/*.yaml` and beside them, in `rendered/`, all that comes of each. `TRACEPIPE_WRITE=1` rewrites that.

mod attacks;
mod persistence;
mod random;
mod restricted;

use serde_json::{Value, json};
use tracepipe_crds::TracingPipeline;

use super::*;
use crate::settings::Facts;
use crate::testing::*;

/// Case, pipeline, administrator, cluster.
fn cases() -> Vec<(&'static str, TracingPipeline, Settings, Facts)> {
    vec![
        ("minimal", minimal(), settings(), facts()),
        ("minimal-1.33", minimal(), settings(), old_cluster()),
        ("minimal-administered", minimal(), all_settings(), facts()),
        ("managed", pipeline_of("managed"), all_settings(), facts_of_aws()),
        ("full", pipeline_of("full"), all_settings(), facts()),
        ("ambient", pipeline_of("ambient"), settings(), facts()),
        ("pod-identity", pipeline_of("pod-identity"), settings(), facts()),
        (
            "pod-identity-ipv6",
            pipeline_of("pod-identity"),
            settings(),
            Facts {
                ipv6: true,
                ..facts()
            },
        ),
        ("logging", pipeline_of("logging"), settings(), Facts::default()),
        ("amp", pipeline_of("amp"), all_settings(), facts_of_aws()),
    ]
}

fn manifests(plan: &Plan) -> String {
    let one = |object: &Object| format!("---\n{}", serde_saphyr::to_string(&object.desired).unwrap());
    plan.objects.iter().map(one).collect()
}

#[test]
fn every_pipeline_becomes_what_lies_beside_it() {
    for (case, pipeline, settings, facts) in cases() {
        let plan = plan_of(&pipeline, &settings, &facts);
        golden(&format!("rendered/{case}.manifests.yaml"), &manifests(&plan));
        golden(&format!("rendered/{case}.collector.yaml"), &plan.config_yaml);
    }
}

#[test]
fn the_same_pipeline_makes_the_same_bytes() {
    for (case, pipeline, settings, facts) in cases() {
        let again: TracingPipeline =
            serde_json::from_value(serde_json::to_value(&pipeline).unwrap()).unwrap();
        let (one, other) = (
            plan_of(&pipeline, &settings, &facts),
            plan_of(&again, &settings, &facts),
        );
        assert_eq!(one, other, "{case}");
        assert_eq!(manifests(&one), manifests(&other), "{case}");
    }
}

#[test]
fn a_hash_does_not_depend_on_the_order_of_a_map() {
    let one: Value = serde_json::from_str(r#"{"a":{"x":1,"y":2},"b":3}"#).unwrap();
    let other: Value = serde_json::from_str(r#"{"b":3,"a":{"y":2,"x":1}}"#).unwrap();
    assert_eq!(hash_of(&one), hash_of(&other));
    assert_eq!(hash_of(&one).len(), 10);
    assert_ne!(hash_of(&one), hash_of(&json!({"a": {"x": 1, "y": 2}, "b": 4})));
}

#[test]
fn objects_come_in_the_order_in_which_they_need_each_other() {
    let kinds: Vec<Kind> = plain_plan(&minimal())
        .objects
        .iter()
        .map(|object| object.kind)
        .collect();
    assert_eq!(
        kinds,
        [
            Kind::ServiceAccount,
            Kind::ConfigMap,
            Kind::Service,
            Kind::DaemonSet
        ]
    );
}

#[test]
fn every_object_has_the_pipeline_as_its_owner_and_its_own_name() {
    for (case, pipeline, settings, facts) in cases() {
        let name = pipeline.name_any();
        let plan = plan_of(&pipeline, &settings, &facts);
        for object in &plan.objects {
            let metadata = &object.desired["metadata"];
            assert_eq!(
                metadata["ownerReferences"],
                json!([owned_by(&name, UID)]),
                "{case}"
            );
            assert_eq!(metadata["namespace"], "tracing", "{case}");
            assert_eq!(metadata["name"], object.name, "{case}");
            assert_eq!(
                metadata["labels"]["app.kubernetes.io/managed-by"],
                "tracepipe-operator"
            );
            let expected = if object.kind == Kind::Service {
                name.clone()
            } else {
                format!("{name}-collector")
            };
            assert!(object.name.starts_with(&expected), "{case}");
        }
    }
}

/// What a change of the spec or by the administrator does to running pods.
fn changes() -> Vec<(&'static str, TracingPipeline, Settings, Facts, bool)> {
    let spec = |changes: Value| (with_spec(changes), settings(), facts());
    let by_administrator = |change: fn(&mut Settings)| {
        let mut settings = settings();
        change(&mut settings);
        (minimal(), settings, facts())
    };
    let role = "arn:aws:iam::111122223333:role/other";
    let table = [
        ("nothing", spec(json!({})), false),
        (
            "a default written out",
            spec(json!({"sampling": {
                "decisionWait": "10s", "recordPolicy": true, "blockOnOverflow": false, "sampleOnFirstMatch": false,
                "expectedNewTracesPerSec": 0, "decisionCache": {},
            }})),
            false,
        ),
        (
            "the same rate as a text",
            spec(json!({"samplingRatePercentage": "10"})),
            false,
        ),
        (
            "the Service",
            spec(json!({"service": {"trafficPolicy": "Cluster"}})),
            false,
        ),
        ("an older cluster", (minimal(), settings(), old_cluster()), false),
        ("the rate", spec(json!({"samplingRatePercentage": 11})), true),
        (
            "a policy",
            spec(json!({"sampling": {"policies": [{"name": "a", "type": "AlwaysSample"}]}})),
            true,
        ),
        (
            "persistence",
            spec(json!({"sampling": {"decisionCache": {"persistence": {}}}})),
            true,
        ),
        ("the cluster's name", spec(json!({"clusterName": "other"})), true),
        ("the region", spec(json!({"region": "eu-west-3"})), true),
        ("the role", spec(json!({"identity": {"roleArn": role}})), true),
        (
            "no role",
            spec(json!({"identity": {"type": "Ambient", "roleArn": null}})),
            true,
        ),
        (
            "an association instead of a role",
            spec(json!({"identity": {"type": "PodIdentity", "roleArn": null}})),
            true,
        ),
        (
            "an amount",
            spec(json!({"collector": {"resources": {"requests": {"cpu": "60m"}}}})),
            true,
        ),
        (
            "the selector",
            spec(json!({"collector": {"nodeSelector": {"a": "b"}}})),
            true,
        ),
        (
            "no toleration",
            spec(json!({"collector": {"tolerations": []}})),
            true,
        ),
        (
            "the image",
            by_administrator(|it| it.collector_image.push('1')),
            true,
        ),
        (
            "the pull policy",
            by_administrator(|it| it.image_pull_policy = "Never".to_owned()),
            true,
        ),
        (
            "a pull secret",
            by_administrator(|it| it.image_pull_secrets.push("a".to_owned())),
            true,
        ),
        (
            "the priority",
            by_administrator(|it| it.priority_class = Some("a".to_owned())),
            true,
        ),
        (
            "the STS endpoint",
            by_administrator(|it| it.sts_endpoint = Some("http://a".to_owned())),
            true,
        ),
        (
            "the X-Ray endpoint",
            by_administrator(|it| it.xray_endpoint = Some("http://a".to_owned())),
            true,
        ),
        (
            "a certificate authority",
            by_administrator(|it| it.extra_ca = Some("a".to_owned())),
            true,
        ),
        (
            "a region that is not used",
            by_administrator(|it| it.region = Some("eu-west-1".to_owned())),
            false,
        ),
    ];
    table
        .map(|(what, (pipeline, settings, facts), rolls)| (what, pipeline, settings, facts, rolls))
        .into()
}

#[test]
fn the_revision_changes_when_and_only_when_pods_have_to_be_replaced() {
    let before = plain_plan(&minimal());
    for (what, pipeline, settings, facts, rolls) in changes() {
        let after = plan_of(&pipeline, &settings, &facts);
        assert_eq!(before.revision != after.revision, rolls, "{what}");
        assert_eq!(template(&before) != template(&after), rolls, "{what}");
    }
}

#[test]
fn no_two_changes_have_one_revision() {
    let plans: Vec<_> = changes()
        .into_iter()
        .map(|(what, pipeline, settings, facts, _)| (what, plan_of(&pipeline, &settings, &facts)))
        .collect();
    for (what, one) in &plans {
        for (other_what, other) in &plans {
            let same = template(one) == template(other);
            assert_eq!(one.revision == other.revision, same, "{what} and {other_what}");
            let same = planned(one, Kind::ConfigMap)["data"] == planned(other, Kind::ConfigMap)["data"];
            assert_eq!(
                one.config_map == other.config_map,
                same,
                "{what} and {other_what}"
            );
        }
    }
}

#[test]
fn a_change_of_what_is_set_changes_the_applied_annotation() {
    let hash = |plan: &Plan, kind| planned(plan, kind)["metadata"]["annotations"][APPLIED_ANNOTATION].clone();
    let before = plain_plan(&minimal());
    for (what, pipeline, settings, facts, _) in changes() {
        let after = plan_of(&pipeline, &settings, &facts);
        for kind in [Kind::ServiceAccount, Kind::Service, Kind::DaemonSet] {
            let same = planned(&before, kind) == planned(&after, kind);
            assert_eq!(
                hash(&before, kind) == hash(&after, kind),
                same,
                "{what}: {kind:?}"
            );
        }
    }
}

#[test]
fn a_name_of_52_characters_fits_everywhere() {
    let plan = plan_of(&pipeline_of("full"), &all_settings(), &facts());
    let name = pipeline_of("full").name_any();
    assert_eq!(name.len(), 52);
    assert_eq!(names::config_map(&name, "0123456789").len(), 73);
    for object in &plan.objects {
        // The API's limits: 253 for most names, 63 for a Service's and for what becomes a label (a DaemonSet's).
        let limit = if object.kind == Kind::ConfigMap { 253 } else { 63 };
        assert!(object.name.len() <= limit, "{}", object.name);
        labels_fit(&object.desired["metadata"]["labels"]);
    }
    labels_fit(&template(&plan)["metadata"]["labels"]);
    let container = &template(&plan)["spec"]["containers"][0];
    for port in container["ports"].as_array().unwrap() {
        assert!(port["name"].as_str().unwrap().len() <= 15);
    }
}

fn labels_fit(labels: &Value) {
    for (key, value) in labels.as_object().unwrap() {
        let value = value.as_str().unwrap();
        assert!(value.len() <= 63, "{key}: {value}");
        assert!(
            value
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)),
            "{key}: {value}"
        );
        assert!(key.rsplit('/').next().unwrap().len() <= 63, "{key}");
    }
}

#[test]
fn pods_have_as_long_to_end_as_the_collector_needs() {
    // min(decisionWait, 60 s) + 25 s (design.md, section 3).
    for (wait, seconds) in [
        ("100ms", 26),
        ("10s", 35),
        ("10500ms", 36),
        ("60s", 85),
        ("5m", 85),
    ] {
        let plan = plain_plan(&with_spec(json!({"sampling": {"decisionWait": wait}})));
        assert_eq!(
            template(&plan)["spec"]["terminationGracePeriodSeconds"],
            seconds,
            "{wait}"
        );
    }
}

fn variables(plan: &Plan) -> Vec<String> {
    let env = template(plan)["spec"]["containers"][0]["env"].as_array().unwrap();
    env.iter()
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_role_brings_its_token_and_nothing_else_is_tried() {
    let plan = plain_plan(&minimal());
    let annotations = &planned(&plan, Kind::ServiceAccount)["metadata"]["annotations"];
    assert_eq!(annotations["eks.amazonaws.com/role-arn"], ROLE);
    let variables = variables(&plan);
    for name in [
        "AWS_ROLE_ARN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_REGION",
    ] {
        assert!(variables.iter().any(|one| one == name), "{name}");
    }
    let spec = &template(&plan)["spec"];
    let file = spec["containers"][0]["env"].as_array().unwrap();
    let file = file
        .iter()
        .find(|one| one["name"] == "AWS_WEB_IDENTITY_TOKEN_FILE")
        .unwrap();
    let mount = &spec["containers"][0]["volumeMounts"][1];
    assert_eq!(
        file["value"],
        format!("{}/token", mount["mountPath"].as_str().unwrap())
    );
    let source = &spec["volumes"][1]["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(source["audience"], "sts.amazonaws.com");
    assert_eq!(spec["volumes"][1]["name"], mount["name"]);
}

#[test]
fn without_a_role_no_token_is_projected_and_the_nodes_credentials_are_not_forbidden() {
    let plan = plain_plan(&pipeline_of("ambient"));
    let annotations = &planned(&plan, Kind::ServiceAccount)["metadata"]["annotations"];
    assert_eq!(annotations["eks.amazonaws.com/role-arn"], Value::Null);
    assert_eq!(
        variables(&plan),
        [
            "K8S_NODE_NAME",
            "AWS_REGION",
            "AWS_DEFAULT_REGION",
            "AWS_STS_REGIONAL_ENDPOINTS"
        ]
    );
    assert_eq!(template(&plan)["spec"]["volumes"].as_array().unwrap().len(), 1);
}

#[test]
fn an_amount_of_cpu_is_a_text_even_when_it_was_written_as_a_number() {
    let plan = plan_of(&pipeline_of("full"), &settings(), &facts());
    let resources = &template(&plan)["spec"]["containers"][0]["resources"];
    assert_eq!(resources["limits"]["cpu"], "2");
    assert_eq!(resources["requests"]["cpu"], "0.5");
}

#[test]
fn the_config_map_is_named_by_all_that_is_in_it() {
    let with_ca = |ca: &str| Settings {
        extra_ca: Some(ca.to_owned()),
        ..settings()
    };
    let plans = [
        plan_of(&minimal(), &settings(), &facts()),
        plan_of(&minimal(), &with_ca("a"), &facts()),
        plan_of(&minimal(), &with_ca("b"), &facts()),
    ];
    let names: std::collections::BTreeSet<&str> = plans.iter().map(|plan| plan.config_map.as_str()).collect();
    assert_eq!(names.len(), 3);
    for plan in &plans {
        let config_map = planned(plan, Kind::ConfigMap);
        assert_eq!(config_map["immutable"], true);
        assert_eq!(
            template(plan)["spec"]["volumes"][0]["configMap"]["name"],
            plan.config_map
        );
        assert_eq!(config_map["data"]["collector.yaml"], plan.config_yaml);
    }
}

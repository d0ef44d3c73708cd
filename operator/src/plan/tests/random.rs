//! Any spec. What is free text in a TracingPipeline stays text on all ways.

use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use tracepipe_config::{AttributeValue, MetricsExporterKind, ResourceOp, Source};

use super::restricted::violations;
use super::*;
use crate::settings::Settings;
use crate::validate::{Credentials, validate};

/// Texts that YAML, JSON or expansion would read as something else, and any other.
fn text() -> BoxedStrategy<String> {
    #[rustfmt::skip]
    let traps = [
        "", " ", "a b", "~", "null", "True", "yes", "OFF", "1", "0x1f", "1e3", "-.inf", "<<", "---", "...", "a: b",
        "a #b", "#", "${env:K8S_NODE_NAME}", "$AWS_REGION", "${AWS_REGION}", "$$", "$", "$${env:X}", "${${env:X}}",
        "${env:X:-y}", "${file:/etc/passwd}", "${yaml:a: b}", "'", "\"", "\\", "a\nb: c\n", "\n  exporters: {}",
        "\r\n", "\t", "\u{7f}\u{85}\u{a0}\u{feff}", "\u{2028}", "{a: b}", "[a]", "&a", "*a", "!!str a", "|", ">",
        "{{ .Values }}", "$(AWS_ROLE_ARN)", "2026-11-21", "? ", ",",
    ];
    prop_oneof![
        2 => "[a-z][a-z0-9-]{0,20}",
        4 => select(traps.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
    .boxed()
}

fn duration() -> BoxedStrategy<&'static str> {
    select(vec!["100ms", "1s", "10s", "30s", "1500ms", "59s"]).boxed()
}

fn percentage() -> BoxedStrategy<Value> {
    let texts = select(vec!["0.5", "99.9999", "0"]);
    prop_oneof![
        (0..=100).prop_map(|whole| json!(whole)),
        texts.prop_map(|text| json!(text))
    ]
    .boxed()
}

/// A policy that may stand everywhere, without a name.
fn simple_policy() -> BoxedStrategy<Value> {
    let codes = select(vec![json!(["OK"]), json!(["ERROR", "UNSET"])]);
    let filled = || text().prop_filter("is not empty", |text| !text.is_empty());
    prop_oneof![
        Just(json!({"type": "AlwaysSample"})),
        codes.prop_map(|codes| json!({"type": "StatusCode", "statusCode": {"statusCodes": codes}})),
        (1..3_600_000).prop_map(|millis| json!({"type": "Latency", "latency": {"thresholdMs": millis}})),
        (percentage(), of(text())).prop_map(|(share, salt)| {
            json!({"type": "Probabilistic", "probabilistic": {"samplingPercentage": share, "hashSalt": salt}})
        }),
        (filled(), vec(filled(), 1..3)).prop_map(|(key, values)| {
            json!({"type": "StringAttribute", "stringAttribute": {"key": key, "values": values}})
        }),
        (filled(), any::<i64>(), any::<bool>()).prop_map(|(key, least, invert)| {
            json!({"type": "NumericAttribute", "numericAttribute": {"key": key, "minValue": least, "invertMatch": invert}})
        }),
        (filled(), filled()).prop_map(|(key, value)| {
            json!({"type": "TraceState", "traceState": {"key": key, "values": [value]}})
        }),
        (1..9).prop_map(|rate| json!({"type": "RateLimiting", "rateLimiting": {"spansPerSecond": rate}})),
    ]
    .boxed()
}

/// The same, or such a one in a `Not`.
fn and_member() -> BoxedStrategy<Value> {
    prop_oneof![
        simple_policy(),
        simple_policy().prop_map(|policy| json!({"type": "Not", "not": {"notSubPolicy": policy}})),
    ]
    .boxed()
}

fn policy() -> BoxedStrategy<Value> {
    let name = prop_oneof![9 => "[a-z][a-z0-9]{0,20}", 1 => text()];
    let and = |members| json!({"type": "And", "and": {"andSubPolicy": members}});
    let composite = (vec(and_member(), 1..3), text()).prop_map(move |(members, name)| {
        let mut member = and(members);
        member["name"] = json!(name);
        let composite = json!({
            "maxTotalSpansPerSecond": 9, "policyOrder": [name], "compositeSubPolicy": [member],
            "rateAllocation": [{"policy": name, "percent": 100}],
        });
        json!({"type": "Composite", "composite": composite})
    });
    let kind = prop_oneof![
        4 => and_member(),
        1 => vec(and_member(), 1..3).prop_map(and),
        1 => vec(and_member(), 1..3).prop_map(|members| json!({"type": "Drop", "drop": {"dropSubPolicy": members}})),
        1 => composite,
    ];
    (name, kind)
        .prop_map(|(name, mut policy)| {
            policy["name"] = json!(name);
            policy
        })
        .boxed()
}

fn toleration() -> BoxedStrategy<Value> {
    let effect = of(select(vec!["NoSchedule", "NoExecute"]));
    prop_oneof![
        (text(), effect)
            .prop_map(|(key, effect)| json!({"operator": "Exists", "key": key, "effect": effect})),
        ("[a-z]{1,9}", text()).prop_map(|(key, value)| json!({"key": key, "value": value})),
    ]
    .boxed()
}

prop_compose! {
    fn sampling()(
        keep_errors: bool,
        slow in select(vec!["0s", "500ms", "1h"]),
        wait in duration(),
        policies in vec(policy(), 0..4),
        limit in of(prop_oneof![9 => Just("64Mi".to_owned()), 1 => text()]),
    ) -> Value {
        let cache = limit.map_or(json!({}), |limit| json!({"persistence": {"sizeLimit": limit}}));
        json!({
            "keepErrors": keep_errors, "slowThreshold": slow, "decisionWait": wait, "policies": policies,
            "decisionCache": cache,
        })
    }
}

prop_compose! {
    fn collector()(
        selector in btree_map(text(), text(), 0..3),
        tolerations in vec(toleration(), 0..4),
        cpu in select(vec![json!("50m"), json!(1), json!("0.25")]),
    ) -> Value {
        json!({"nodeSelector": selector, "tolerations": tolerations, "resources": {"requests": {"cpu": cpu}}})
    }
}

prop_compose! {
    fn pipeline()(
        cluster in prop_oneof![9 => "[A-Za-z0-9][A-Za-z0-9_-]{0,20}", 1 => text()],
        region in prop_oneof![9 => Just("eu-west-1".to_owned()), 1 => text()],
        rate in percentage(),
        sampling in sampling(),
        batch_timeout in duration(),
        logging in of(select(vec!["Basic", "Normal", "Detailed"])),
        index: bool,
        role in of(prop_oneof![9 => Just(ROLE.to_owned()), 1 => text()]),
        without_role in select(vec!["PodIdentity", "Ambient"]),
        collector in collector(),
        amp in of(prop_oneof![9 => Just(AMP_ENDPOINT.to_owned()), 1 => text()]),
    ) -> TracingPipeline {
        let identity = json!({"type": if role.is_some() { "IRSA" } else { without_role }, "roleArn": role});
        let mut exporters = json!({"xray": {"indexAllAttributes": index}});
        if let Some(verbosity) = logging {
            exporters["logging"] = json!({"verbosity": verbosity});
        }
        with_spec(json!({
            "clusterName": cluster,
            "region": region,
            "samplingRatePercentage": rate,
            "sampling": sampling,
            "batch": {"timeout": batch_timeout},
            "exporters": exporters,
            "identity": identity,
            "collector": collector,
            "ampRemoteWriteEndpoint": amp,
        }))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// The collector's own reader, with an environment that has every variable, makes of the ConfigMap what the
    /// operator meant: the only text that is expanded is the operator's own.
    #[test]
    fn the_collector_reads_what_the_operator_meant(pipeline in pipeline()) {
        let Ok(accepted) = validate(&pipeline, &all_settings(), &facts()) else {
            return Ok(());
        };
        let planned = plan(&pipeline, &accepted, &all_settings());
        let source = Source { name: "collector.yaml".to_owned(), text: planned.config_yaml.clone() };
        let loaded = tracepipe_config::load(&source, &[], &|name| Some(format!("LEAKED {name}")));
        let loaded = loaded.map_err(|errors| TestCaseError::fail(format!("{errors}\n{}", planned.config_yaml)))?;
        let mut meant = accepted.config.resolve().unwrap().settings;
        let of_metrics = meant.metrics.iter_mut();
        let resources = of_metrics.map(|metrics| &mut metrics.resource).chain([&mut meant.resource]);
        for action in resources.flatten() {
            if action.key == "k8s.node.name" {
                action.op = ResourceOp::Insert(AttributeValue::String("LEAKED K8S_NODE_NAME".to_owned()));
            }
        }
        for exporter in meant.metrics.iter_mut().flat_map(|metrics| &mut metrics.exporters) {
            let MetricsExporterKind::RemoteWrite(settings) = &mut exporter.kind else { panic!() };
            settings.external_labels[0].1 = "LEAKED K8S_NODE_NAME".to_owned();
        }
        prop_assert_eq!(&loaded.settings, &meant);
        let expanded = if meant.metrics.is_some() { 3 } else { 1 };
        prop_assert_eq!(format!("{:?}", loaded.settings).matches("LEAKED").count(), expanded);
    }

    /// What `render` prints is read back as what the operator applies.
    #[test]
    fn the_manifests_are_what_is_applied(pipeline in pipeline()) {
        let Ok(accepted) = validate(&pipeline, &all_settings(), &facts()) else {
            return Ok(());
        };
        for object in plan(&pipeline, &accepted, &all_settings()).objects {
            let text = serde_saphyr::to_string(&object.desired).unwrap();
            let back: Value = serde_saphyr::from_str(&text)
                .map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            prop_assert_eq!(back, object.desired, "{}", text);
        }
    }

    /// Nothing in a TracingPipeline gives a pod more rights, another image, another mount or another variable.
    #[test]
    fn a_spec_cannot_ask_for_more(pipeline in pipeline()) {
        let settings =
            Settings { managed_roles: Some(managed_roles()), amp: all_settings().amp, ..settings() };
        let Ok(accepted) = validate(&pipeline, &settings, &facts_of_aws()) else {
            return Ok(());
        };
        let planned = plan(&pipeline, &accepted, &settings);
        let spec = &template(&planned)["spec"];
        prop_assert_eq!(violations(spec), Vec::<String>::new());
        let container = &spec["containers"][0];
        prop_assert_eq!(&container["image"], &json!(settings.collector_image));
        prop_assert_eq!(&container["args"], &json!(["--config=/etc/tracepipe/collector.yaml"]));
        let kept = pipeline.spec.sampling.decision_cache.persistence.is_some();
        let (tokens, variables_of_aws) = match accepted.credentials {
            Credentials::Role(_) | Credentials::Managed(_) | Credentials::PodIdentity { .. } => (1, 3),
            Credentials::NotNeeded => (0, 1),
            Credentials::Ambient => (0, 0),
        };
        let mounts = 1 + tokens + usize::from(kept);
        prop_assert_eq!(container["volumeMounts"].as_array().unwrap().len(), mounts);
        prop_assert_eq!(variables(&planned).len(), 4 + variables_of_aws);
    }
}

#[test]
fn a_good_part_of_these_specs_is_accepted() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let accepted = (0..200).filter(|_| {
        let pipeline = pipeline().new_tree(&mut runner).unwrap().current();
        validate(
            &pipeline,
            &Settings {
                amp: all_settings().amp,
                ..settings()
            },
            &facts(),
        )
        .is_ok()
    });
    assert!(accepted.count() > 60);
}

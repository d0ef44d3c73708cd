//! Somebody who may write a TracingPipeline and wants more: into each field what would get it elsewhere, and fields that
//! other operators have.

use std::collections::BTreeSet;

use super::restricted::violations;
use super::*;
use crate::settings::Settings;
use crate::validate::{Credentials, validate};

/// What a text could be taken for by whoever reads it next: YAML, JSON, ARNs, shells, templates, hosts, paths.
fn attacks() -> Vec<String> {
    let texts = [
        "arn:aws:iam::999988887777:role/admin",
        "arn:aws:iam::111122223333:role/tracing-pipeline/prod-eu/*",
        "arn:aws:iam::111122223333:role/x\",\"Principal\":\"*",
        "${env:AWS_SECRET_ACCESS_KEY}",
        "${file:/var/run/secrets/eks.amazonaws.com/serviceaccount/token}",
        "$${env:HOME}",
        "$(cat /etc/passwd)",
        "{{ .Values.x }}",
        "\"}, \"Statement\": [{\"Effect\": \"Allow\"",
        "x\n  exporters:\n    otlp:\n      endpoint: evil.example:4317",
        "x: y # z",
        "*",
        "../../kube-system/default",
        "kube-system/default",
        "system:serviceaccount:kube-system:default",
        "http://169.254.169.254/latest/meta-data",
        "https://ec2.eu-west-1.amazonaws.com",
        "https://xray.eu-west-1.amazonaws.com.evil.example",
        "https://my-lb.eu-west-1.elb.amazonaws.com",
        "https://abc.execute-api.eu-west-1.amazonaws.com",
        "https://bucket.s3.amazonaws.com",
        "https://aps-workspaces.eu-west-1.amazonaws.com.evil.example/workspaces/ws-0/api/v1/remote_write",
        "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-*/api/v1/remote_write",
        "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write",
        "https://amp.internal:8443/workspaces/ws-1/api/v1/remote_write",
        "https://xray.eu-west-1.amazonaws.com@evil.example",
        "\u{202e}gnp.exe",
        "a\u{0}b",
        "ｘｒａｙ",
        "kubernetes.io/hostname",
    ];
    let long = "a".repeat(5_000);
    texts.into_iter().map(str::to_owned).chain([long]).collect()
}

/// The example that has every field of the spec.
fn full_example() -> Value {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples/pipeline-full.yaml");
    serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// Each place of a value, as a JSON pointer, and the keys of its maps that people may choose.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, below) in members {
                leaves(
                    below,
                    &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")),
                    found,
                );
            }
        }
        Value::Array(items) => {
            for (index, below) in items.iter().enumerate() {
                leaves(below, &format!("{at}/{index}"), found);
            }
        }
        _ => found.push(at.to_owned()),
    }
}

fn administrator() -> Settings {
    Settings {
        managed_roles: Some(managed_roles()),
        amp: all_settings().amp,
        ..settings()
    }
}

/// What no spec changes, whatever it says.
fn assert_no_more_than(plan: &Plan, accepted: &Accepted, what: &str) {
    let spec = &template(plan)["spec"];
    assert_eq!(violations(spec), Vec::<String>::new(), "{what}");
    let container = &spec["containers"][0];
    assert_eq!(container["image"], settings().collector_image, "{what}");
    assert_eq!(
        container["args"],
        json!(["--config=/etc/tracepipe/collector.yaml"]),
        "{what}"
    );
    assert_eq!(
        spec["serviceAccountName"],
        json!(names::workload(&plan.objects[2].name)),
        "{what}"
    );
    assert!(spec["priorityClassName"].is_null(), "{what}");
    let known: BTreeSet<&str> = [
        "K8S_NODE_NAME",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_STS_REGIONAL_ENDPOINTS",
        "AWS_ROLE_ARN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_EC2_METADATA_DISABLED",
    ]
    .into();
    for variable in container["env"].as_array().unwrap() {
        let name = variable["name"].as_str().unwrap();
        assert!(known.contains(name), "{what}: {name}");
    }
    for object in &plan.objects {
        assert_eq!(object.desired["metadata"]["namespace"], "tracing", "{what}");
        let text = serde_saphyr::to_string(&object.desired).unwrap();
        let back: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(back, object.desired, "{what}");
    }
    // The collector expands nothing of what it is given: every sign is written so that it stays one.
    let source = tracepipe_config::Source {
        name: "collector.yaml".to_owned(),
        text: plan.config_yaml.clone(),
    };
    let asked = std::cell::RefCell::new(BTreeSet::new());
    let read = tracepipe_config::load(&source, &[], &|name| {
        asked.borrow_mut().insert(name.to_owned());
        Some("node".to_owned())
    });
    assert!(read.is_ok(), "{what}: {read:?}\n{}", plan.config_yaml);
    assert_eq!(asked.into_inner(), ["K8S_NODE_NAME".to_owned()].into(), "{what}");
    let rights = accepted.rights().unwrap();
    assert!(
        rights.workspaces.iter().all(|arn| arn == WORKSPACE),
        "{what}: {rights:?}"
    );
    if let Credentials::Managed(Some(role)) = &accepted.credentials {
        let clean = crate::managed_role::Role::new(
            &pipeline_of("managed"),
            &managed_roles(),
            &aws_account(),
            &issuer(),
            &rights,
        );
        // Nothing in a spec is among what a role is made of.
        let clean = clean.unwrap();
        assert_eq!(
            (&role.path, &role.policy, &role.boundary),
            (&clean.path, &clean.policy, &clean.boundary),
            "{what}"
        );
        assert_eq!(
            role.trust["Statement"][0]["Action"], "sts:AssumeRoleWithWebIdentity",
            "{what}"
        );
    }
}

#[test]
fn no_field_of_the_spec_is_a_way_to_more() {
    let example = full_example();
    let mut places = Vec::new();
    leaves(&example["spec"], "/spec", &mut places);
    assert!(places.len() > 60, "{}", places.len());
    let (mut refused, mut taken) = (0, 0);
    for attack in attacks() {
        let spoilt = |place: &String| {
            let mut document = example.clone();
            *document.pointer_mut(place).unwrap() = json!(attack);
            format!("---\n{}", serde_saphyr::to_string(&document).unwrap())
        };
        let short = attack.chars().take(60).collect::<String>();
        // One text: the schema is made once for it.
        let text: String = places.iter().map(spoilt).collect();
        let errors = tracepipe_crds::parse(&text).unwrap_err();
        let mut left = Vec::new();
        for (index, place) in places.iter().enumerate() {
            let Some(error) = errors.iter().find(|error| error.document == index + 1) else {
                left.push(place);
                continue;
            };
            // It names the field, or the one that cannot be right beside it.
            let top = place.split('/').nth(2).unwrap();
            let named = error.path.starts_with(&format!("spec.{top}")) || error.path == "spec";
            assert!(named && error.line.is_some(), "{place}: {short}: {error}");
            refused += 1;
        }
        let text: String = left.iter().map(|place| spoilt(place)).collect();
        let pipelines = tracepipe_crds::parse(&text).unwrap().pipelines;
        assert_eq!(pipelines.len(), left.len());
        for (pipeline, place) in pipelines.iter().zip(left) {
            let what = format!("{place}: {short}");
            match validate(pipeline, &administrator(), &facts_of_aws()) {
                Ok(accepted) => {
                    let plan = plan(pipeline, &accepted, &administrator());
                    assert_no_more_than(&plan, &accepted, &what);
                    taken += 1;
                }
                Err(refusal) => {
                    assert!(
                        refusal.message.starts_with("spec."),
                        "{what}: {}",
                        refusal.message
                    );
                    refused += 1;
                }
            }
        }
    }
    // Texts of policies may be anything; all else has its own form.
    assert!(
        refused > 4 * taken && taken > 0,
        "{refused} refused, {taken} taken"
    );
}

/// The resource's own names become names of objects, hosts, subjects of a trust policy.
#[test]
fn no_name_is_a_way_to_more() {
    for attack in attacks() {
        let mut pipeline = pipeline_of("managed");
        pipeline.metadata.name = Some(attack.clone());
        assert!(
            validate(&pipeline, &administrator(), &facts_of_aws()).is_err(),
            "{attack}"
        );
        let mut pipeline = pipeline_of("managed");
        pipeline.metadata.namespace = Some(attack.clone());
        let refused = validate(&pipeline, &administrator(), &facts_of_aws()).is_err();
        assert!(
            refused || attack.len() < 64 && !attack.contains(['/', ':', '"', '*', '$']),
            "{attack}"
        );
    }
}

#[test]
fn nothing_of_the_resources_labels_and_annotations_goes_anywhere() {
    let mut pipeline = pipeline_of("managed");
    let canary = "canary-4711";
    pipeline.metadata.labels = Some([(canary.to_owned(), canary.to_owned())].into());
    pipeline.metadata.annotations = Some([(canary.to_owned(), canary.to_owned())].into());
    let plan = plan_of(&pipeline, &administrator(), &facts_of_aws());
    assert!(!format!("{plan:?}").contains(canary));
}

#[test]
fn fields_that_would_give_more_do_not_exist() {
    let fields = [
        "image",
        "imagePullSecrets",
        "env",
        "envFrom",
        "command",
        "args",
        "serviceAccount",
        "serviceAccountName",
        "namespace",
        "hostNetwork",
        "hostPID",
        "hostPort",
        "volumes",
        "volumeMounts",
        "initContainers",
        "podTemplate",
        "securityContext",
        "priorityClassName",
        "runtimeClassName",
        "affinity",
        "configOverrides",
        "endpoint",
        "proxyAddress",
        "assumeRoleArn",
        "managedRole",
        "rolePath",
        "permissionsBoundary",
        "permissionsBoundaryArn",
        "trustPolicy",
        "policy",
        "extraPolicyArns",
        "tags",
        "secretRef",
        "headersSecretRef",
        "configMapRef",
    ];
    let places = [
        "",
        "/collector",
        "/collector/resources",
        "/identity",
        "/exporters",
        "/exporters/xray",
        "/service",
        "/sampling",
    ];
    for place in places {
        let mut document = full_example();
        let at = document.pointer_mut(&format!("/spec{place}")).unwrap();
        for field in fields {
            at[field] = json!("x");
        }
        let errors = tracepipe_crds::parse(&serde_saphyr::to_string(&document).unwrap()).unwrap_err();
        for field in fields {
            let path = format!("spec{}.{field}", place.replace('/', "."));
            let told = errors
                .iter()
                .any(|error| error.path == path && error.message.contains("unknown field"));
            assert!(told, "{path}: {errors:?}");
        }
    }
}

use serde_json::{Value, json};

use super::*;
use crate::plan::{Kind, Object};
use crate::settings::{Facts, Settings};
use crate::testing::*;
use crate::validate::{Credentials, Refusal, validate};

const PATH: &str = "/workspaces/ws-0a1b2c3d-0000-4000-8000-0123456789ab/api/v1/remote_write";

fn any() -> Amp {
    Amp {
        workspaces: Workspaces::Any,
        endpoints: Vec::new(),
    }
}

fn with_any() -> Settings {
    Settings {
        amp: any(),
        managed_roles: Some(managed_roles()),
        ..settings()
    }
}

/// The least pipeline with an endpoint and parts of its spec replaced.
fn metrics(mut changes: Value) -> TracingPipeline {
    let members = changes.as_object_mut().unwrap();
    members
        .entry("ampRemoteWriteEndpoint")
        .or_insert_with(|| json!(AMP_ENDPOINT));
    with_spec(changes)
}

fn refusal(pipeline: &TracingPipeline, settings: &Settings) -> Refusal {
    validate(pipeline, settings, &facts_of_aws()).unwrap_err()
}

#[test]
fn amazons_hosts_are_known_by_their_exact_forms() {
    let region = |host: &str| {
        let url = format!("https://{host}{PATH}");
        target(&url, Some("ap-south-1"), None, &any()).map(|target| target.region)
    };
    for (host, of) in [
        ("aps-workspaces.eu-west-1.amazonaws.com", "eu-west-1"),
        ("aps-workspaces.eu-west-1.amazonaws.com:443", "eu-west-1"),
        ("aps-workspaces-fips.us-gov-east-1.amazonaws.com", "us-gov-east-1"),
        ("aps-workspaces.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("aps-workspaces.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
        (
            "aps-workspaces.eusc-de-east-1.api.amazonwebservices.eu",
            "eusc-de-east-1",
        ),
        ("aps-workspaces.us-east-2.api.aws", "us-east-2"),
        ("aps-workspaces-fips.us-east-2.api.aws", "us-east-2"),
        (
            "vpce-0a1b2c-x1y2.aps-workspaces.eu-west-1.vpce.amazonaws.com",
            "eu-west-1",
        ),
        (
            "vpce-0a1b2c-x1y2-eu-west-1a.aps-workspaces.eu-west-1.vpce.amazonaws.com",
            "eu-west-1",
        ),
        (
            "vpce-0a1b2c.aps-workspaces.cn-north-1.vpce.amazonaws.com.cn",
            "cn-north-1",
        ),
    ] {
        assert_eq!(region(host).as_deref(), Ok(of), "{host}");
    }
    for host in [
        "aps-workspaces.eu-west-1.amazonaws.com:8443",
        "aps-workspaces.eu-west-1.amazonaws.com.evil.example",
        "aps-workspaces.eu-west-1.amazonaws.com.cn",
        "aps-workspaces.cn-north-1.amazonaws.com",
        "aps-workspaces.cn-north-1.api.aws",
        "aps-workspaces.eusc-de-east-1.amazonaws.com",
        "aps-workspaces.eusc-de-east-1.api.aws",
        "aps-workspaces.eu-west-1.amazonaws.eu",
        "aps-workspaces.evil.amazonaws.com",
        "aps-workspaces.eu-west-1.evil.example",
        "aps-workspaces-evil.eu-west-1.amazonaws.com",
        "aps-workspaces.amazonaws.com",
        "aps.eu-west-1.amazonaws.com",
        "xray.eu-west-1.amazonaws.com",
        "evil.aps-workspaces.eu-west-1.amazonaws.com",
        "evil.aps-workspaces.eu-west-1.vpce.amazonaws.com",
        "vpce-.aps-workspaces.eu-west-1.vpce.amazonaws.com",
        "vpce-0a1b2c.aps-workspaces.eu-west-1.amazonaws.com",
        "vpce-0a1b2c.xray.eu-west-1.vpce.amazonaws.com",
        "vpce-0a1b2c.aps-workspaces.evil.eu-west-1.vpce.amazonaws.com",
        "abc.execute-api.eu-west-1.amazonaws.com",
        "APS-workspaces.eu-west-1.amazonaws.com",
        "169.254.169.254",
        "localhost",
    ] {
        let why = region(host).unwrap_err();
        assert!(why.contains("the chart's aws.amp.endpoints"), "{host}: {why}");
    }
    // Plain text would show what is written, and to whom the credentials belong.
    let plain = AMP_ENDPOINT.replace("https", "http");
    assert!(target(&plain, Some("eu-west-1"), None, &any()).is_err());
}

#[test]
fn another_host_is_the_administrators_to_allow_word_for_word() {
    let allowed = Amp {
        endpoints: vec!["https://amp.internal:8443".to_owned(), "http://proxy".to_owned()],
        ..any()
    };
    let region = |origin: &str, region| {
        target(&format!("{origin}{PATH}"), region, None, &allowed).map(|target| target.region)
    };
    let of_pipeline = Some("eu-west-3");
    assert_eq!(
        region("https://amp.internal:8443", of_pipeline),
        Ok("eu-west-3".to_owned())
    );
    assert_eq!(region("http://proxy", of_pipeline), Ok("eu-west-3".to_owned()));
    for origin in [
        "http://amp.internal:8443",
        "https://amp.internal",
        "https://amp.internal:84430",
        "https://evil.amp.internal:8443",
        "https://proxy",
    ] {
        assert!(region(origin, of_pipeline).is_err(), "{origin}");
    }
    let why = region("http://proxy", None).unwrap_err();
    assert!(why.contains("set spec.region"), "{why}");
}

#[test]
fn a_workspace_is_one_of_the_administrators() {
    let pipeline = metrics(json!({}));
    // Nobody has allowed anything.
    let none = refusal(&pipeline, &settings());
    assert_eq!(none.reason, tracepipe_crds::conditions::reasons::INVALID_CONFIG);
    assert!(
        none.message.starts_with(
            "spec.ampRemoteWriteEndpoint: the administrator does not allow the workspace ws-0a1b2c3d-"
        ),
        "{}",
        none.message
    );
    assert!(none.message.contains("aws.amp.workspaces"), "{}", none.message);
    let other = metrics(json!({ "ampRemoteWriteEndpoint": AMP_ENDPOINT.replace("0a1b2c3d", "ffffffff") }));
    assert!(refusal(&other, &all_settings()).message.contains("ws-ffffffff"));
    // The id of one region's, in another.
    let elsewhere =
        metrics(json!({ "ampRemoteWriteEndpoint": AMP_ENDPOINT.replace("eu-west-1", "eu-west-2") }));
    assert!(
        refusal(&elsewhere, &all_settings())
            .message
            .contains("in eu-west-2")
    );
    assert!(validate(&pipeline, &all_settings(), &facts_of_aws()).is_ok());
}

#[test]
fn the_role_may_write_to_exactly_this_workspace() {
    let rights = |pipeline: &TracingPipeline, settings: &Settings, facts: &Facts| {
        validate(pipeline, settings, facts).unwrap().rights()
    };
    let workspaces = |pipeline: &TracingPipeline, settings: &Settings| {
        rights(pipeline, settings, &facts_of_aws()).unwrap().workspaces
    };
    // The ARN is the administrator's word for word, also where the role is of another account.
    let foreign = json!({ "identity": { "roleArn": "arn:aws:iam::444455556666:role/r" } });
    assert_eq!(workspaces(&metrics(json!({})), &all_settings()), [WORKSPACE]);
    assert_eq!(
        workspaces(&metrics(foreign.clone()), &all_settings()),
        [WORKSPACE]
    );
    // With * the account is the role's, else the operator's.
    let of_role = WORKSPACE.replace("111122223333", "444455556666");
    assert_eq!(workspaces(&metrics(foreign), &with_any()), [of_role]);
    let china = json!({
        "ampRemoteWriteEndpoint": format!("https://aps-workspaces.cn-north-1.amazonaws.com.cn{PATH}"),
        "identity": { "roleArn": "arn:aws-cn:iam::111122223333:role/r" },
    });
    let of_china = WORKSPACE
        .replace(":aws:", ":aws-cn:")
        .replace("eu-west-1", "cn-north-1");
    assert_eq!(workspaces(&metrics(china), &with_any()), [of_china]);
    let association = metrics(json!({ "identity": { "type": "PodIdentity", "roleArn": null } }));
    assert_eq!(workspaces(&association, &with_any()), [WORKSPACE]);
    let why = rights(&association, &with_any(), &facts()).unwrap_err();
    assert!(why.starts_with("--account is needed"), "{why}");
}

#[test]
fn a_managed_role_has_the_statement_and_changes_with_it() {
    let managed = |mut changes: Value| {
        changes["identity"] = Value::Null;
        let accepted = validate(&with_spec(changes), &with_any(), &facts_of_aws()).unwrap();
        match accepted.credentials {
            Credentials::Managed(Some(role)) => *role,
            other => panic!("{other:?}"),
        }
    };
    let without = managed(json!({}));
    let with = managed(json!({ "ampRemoteWriteEndpoint": AMP_ENDPOINT }));
    let xray = without.policy["Statement"][0].clone();
    let amp =
        json!({ "Sid": "AMP", "Effect": "Allow", "Action": ["aps:RemoteWrite"], "Resource": [WORKSPACE] });
    assert_eq!(without.policy["Statement"], json!([xray]));
    assert_eq!(with.policy["Statement"], json!([xray, amp]));
    assert_eq!(with.trust, without.trust);
    assert_eq!(with.name, without.name);
    assert_ne!(with.fingerprint(), without.fingerprint());
    // Each only by its switch.
    let alone = managed(json!({
        "ampRemoteWriteEndpoint": AMP_ENDPOINT,
        "exporters": { "xray": { "mode": "Disabled" }, "logging": {} },
    }));
    assert_eq!(alone.policy["Statement"], json!([amp]));
}

#[test]
fn metrics_alone_need_a_region_and_credentials_too() {
    let spec = json!({ "exporters": { "xray": { "mode": "Disabled" }, "logging": {} } });
    let pipeline = metrics(spec.clone());
    let nowhere = validate(&pipeline, &with_any(), &Facts::default()).unwrap_err();
    assert_eq!(
        nowhere.reason,
        tracepipe_crds::conditions::reasons::REGION_UNKNOWN
    );
    let accepted = validate(&pipeline, &with_any(), &facts_of_aws()).unwrap();
    assert_ne!(accepted.credentials, Credentials::NotNeeded);
    assert!(crate::validate::wants_managed_role(&metrics(
        json!({ "identity": null, "exporters": spec["exporters"] })
    )));
}

/// Words that nothing but the metrics pipeline brings.
const TRACES_OF_IT: [&str; 8] = [
    "aps",
    "prometheusremotewrite",
    "sigv4",
    "remote_write",
    "resource_to_telemetry",
    "collector_node",
    "external_labels",
    "workspace",
];

#[test]
fn without_the_endpoint_nothing_of_it_exists() {
    let pipelines = ["minimal", "managed", "full", "ambient", "pod-identity", "logging"];
    for name in pipelines {
        let pipeline = pipeline_of(name);
        // Whatever the administrator allows.
        let allowing = Settings {
            amp: any(),
            ..all_settings()
        };
        let forbidding = Settings {
            amp: Amp::default(),
            ..all_settings()
        };
        let with = plan_of(&pipeline, &allowing, &facts_of_aws());
        let without = plan_of(&pipeline, &forbidding, &facts_of_aws());
        assert_eq!(with, without, "{name}");
        let rights = validate(&pipeline, &allowing, &facts_of_aws()).unwrap().rights();
        assert_eq!(rights.unwrap(), traces_only(), "{name}");
        let text = with.objects.iter().map(|object| object.desired.to_string());
        let text: String = text.chain([with.config_yaml.clone()]).collect();
        for word in TRACES_OF_IT {
            assert!(!text.contains(word), "{name}: {word}");
        }
        // The section of the collector's own metrics is all that is called so.
        assert_eq!(text.matches("metrics:").count(), 2, "{name}");
    }
}

#[test]
fn the_endpoint_changes_the_configuration_and_the_hashes_of_it_alone() {
    let pipeline = |spec: Value| plan_of(&with_spec(spec), &all_settings(), &facts());
    let without = pipeline(json!({}));
    let with = pipeline(json!({ "ampRemoteWriteEndpoint": AMP_ENDPOINT }));
    assert_ne!(with.revision, without.revision);
    assert_ne!(with.config_map, without.config_map);
    // The pods are as they were but for what they mount.
    let renamed = |object: &Object| {
        let text = object.desired.to_string();
        let text = text.replace(&with.config_map, &without.config_map);
        text.replace(&with.revision, &without.revision)
    };
    for (one, other) in with.objects.iter().zip(&without.objects) {
        let without_hash = |text: String| {
            let mut value: Value = serde_json::from_str(&text).unwrap();
            value["metadata"]["annotations"] = Value::Null;
            value
        };
        if one.kind != Kind::ConfigMap {
            assert_eq!(
                without_hash(renamed(one)),
                without_hash(other.desired.to_string()),
                "{:?}",
                one.kind
            );
        }
    }
}

#[test]
fn an_arn_is_that_of_a_workspace() {
    assert_eq!(WorkspaceArn::parse(WORKSPACE).unwrap().to_string(), WORKSPACE);
    for text in [
        "",
        "*",
        "arn:aws:aps:eu-west-1:111122223333:workspace/*",
        "arn:aws:aps:*:111122223333:workspace/ws-1",
        "arn:aws:aps:eu-west-1:*:workspace/ws-1",
        "arn:*:aps:eu-west-1:111122223333:workspace/ws-1",
        "arn:aws:aps:eu-west-1:111122223333:workspace/ws-",
        "arn:aws:aps:eu-west-1:111122223333:workspace/ws-${aws:username}",
        "arn:aws:aps:eu-west-1:111122223333:rulegroupsnamespace/ws-1",
        "arn:aws:xray:eu-west-1:111122223333:workspace/ws-1",
        "arn:aws:aps:eu-west-1:111122223333:workspace/ws-1:x",
        "ws-1",
    ] {
        let why = WorkspaceArn::parse(text).unwrap_err();
        assert!(why.contains("arn:aws:aps:REGION"), "{text}: {why}");
    }
}

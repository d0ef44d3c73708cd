//! What the tests of this crate share.

pub(crate) mod api_server;
pub(crate) mod collectors;
pub(crate) mod faults;
pub(crate) mod world;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tracepipe_crds::TracingPipeline;

use crate::amp::WorkspaceArn;
use crate::iam::{Issuer, Rights};
use crate::plan::{Kind, Plan, plan};
use crate::settings::{Amp, AwsAccount, Facts, ManagedRoles, Settings, Workspaces};
use crate::validate::validate;

/// UID of the pipelines of the tests.
pub(crate) const UID: &str = "93d56346-baa9-4f6f-9c91-c927f9bdb771";
pub(crate) const ROLE: &str = "arn:aws:iam::111122223333:role/prod-eu-tracing";

/// A workspace, and its endpoint.
pub(crate) const WORKSPACE: &str =
    "arn:aws:aps:eu-west-1:111122223333:workspace/ws-0a1b2c3d-0000-4000-8000-0123456789ab";
pub(crate) const AMP_ENDPOINT: &str = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-0a1b2c3d-0000-4000-8000-0123456789ab/api/v1/remote_write";

/// What collectors do in AWS without metrics.
pub(crate) fn traces_only() -> Rights {
    Rights {
        xray: true,
        workspaces: Vec::new(),
    }
}

/// A file of `testdata/`.
pub(crate) fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

/// Holds `text` against a file of `testdata/`.
pub(crate) fn golden(name: &str, text: &str) {
    let file = testdata(name);
    if std::env::var_os("TRACEPIPE_WRITE").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, expected, "{name}: TRACEPIPE_WRITE=1 rewrites it");
}

/// A pipeline of `testdata/pipelines/`, as if a cluster had it.
pub(crate) fn pipeline_of(name: &str) -> TracingPipeline {
    let text = std::fs::read_to_string(testdata(&format!("pipelines/{name}.yaml"))).unwrap();
    let mut pipeline = tracepipe_crds::parse(&text).unwrap().pipelines.remove(0);
    pipeline.metadata.uid = Some(UID.to_owned());
    pipeline.metadata.generation = Some(1);
    pipeline
}

/// The least pipeline.
pub(crate) fn minimal() -> TracingPipeline {
    pipeline_of("minimal")
}

/// The least pipeline, with parts of its spec replaced.
pub(crate) fn with_spec(changes: Value) -> TracingPipeline {
    let mut pipeline = serde_json::to_value(minimal()).unwrap();
    json_patch::merge(&mut pipeline["spec"], &changes);
    serde_json::from_value(pipeline).unwrap()
}

/// An administrator who has set nothing.
pub(crate) fn settings() -> Settings {
    Settings {
        collector_image: "tracepipe.dev/collector:0.1.0".to_owned(),
        image_pull_policy: "IfNotPresent".to_owned(),
        image_pull_secrets: Vec::new(),
        priority_class: None,
        region: None,
        xray_endpoint: None,
        sts_endpoint: None,
        extra_ca: None,
        managed_roles: None,
        amp: Amp::default(),
        issuer: None,
        exporting_patience: crate::exporting::PATIENCE,
    }
}

/// An administrator who has set everything.
pub(crate) fn all_settings() -> Settings {
    Settings {
        collector_image: "registry.example:5000/a/b@sha256:0123".to_owned(),
        image_pull_policy: "Always".to_owned(),
        image_pull_secrets: vec!["pull-one".to_owned(), "pull-two".to_owned()],
        priority_class: Some("tracepipe".to_owned()),
        region: Some("eu-central-1".to_owned()),
        xray_endpoint: Some("https://xray.internal:8443".to_owned()),
        sts_endpoint: Some("https://sts.internal".to_owned()),
        extra_ca: Some("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_owned()),
        managed_roles: Some(managed_roles()),
        amp: Amp {
            workspaces: Workspaces::Listed(vec![WorkspaceArn::parse(WORKSPACE).unwrap()]),
            endpoints: vec!["https://amp.internal:8443".to_owned()],
        },
        issuer: None,
        exporting_patience: crate::exporting::PATIENCE,
    }
}

/// What an administrator says of roles.
pub(crate) fn managed_roles() -> ManagedRoles {
    ManagedRoles {
        cluster: "prod-eu".to_owned(),
        path_prefix: "/tracing-pipeline/".to_owned(),
        boundary: Some("arn:aws:iam::111122223333:policy/tracing-boundary".to_owned()),
    }
}

/// The issuer of a cluster of EKS.
pub(crate) fn issuer() -> Issuer {
    Issuer::parse("https://oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF").unwrap()
}

/// The account of the tests.
pub(crate) fn aws_account() -> AwsAccount {
    AwsAccount::of_arn(ROLE).unwrap()
}

/// A cluster of today.
pub(crate) fn facts() -> Facts {
    Facts {
        prefer_same_node: true,
        ipv6: false,
        region_of_nodes: Some("eu-west-1".to_owned()),
        aws: None,
        issuer: None,
    }
}

/// [`facts`], with all that a role needs.
pub(crate) fn facts_of_aws() -> Facts {
    Facts {
        aws: Some(aws_account()),
        issuer: Some(issuer()),
        ..facts()
    }
}

/// A cluster from before `PreferSameNode`.
pub(crate) fn old_cluster() -> Facts {
    Facts {
        prefer_same_node: false,
        ..facts()
    }
}

/// The plan of a pipeline that is accepted.
pub(crate) fn plan_of(pipeline: &TracingPipeline, settings: &Settings, facts: &Facts) -> Plan {
    let accepted = validate(pipeline, settings, facts).unwrap();
    plan(pipeline, &accepted, settings)
}

/// [`plan_of`] where nothing special is set.
pub(crate) fn plain_plan(pipeline: &TracingPipeline) -> Plan {
    plan_of(pipeline, &settings(), &facts())
}

/// The plan's object of a kind.
pub(crate) fn planned(plan: &Plan, kind: Kind) -> &Value {
    let found = plan.objects.iter().find(|object| object.kind == kind);
    &found.unwrap().desired
}

/// The plan's pod template.
pub(crate) fn template(plan: &Plan) -> &Value {
    &planned(plan, Kind::DaemonSet)["spec"]["template"]
}

/// An owner reference to the pipelines of the tests.
pub(crate) fn owned_by(name: &str, uid: &str) -> Value {
    json!({
        "apiVersion": "tracepipe.dev/v1alpha1",
        "kind": "TracingPipeline",
        "name": name,
        "uid": uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

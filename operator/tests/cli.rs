//! The program as people and scripts call it.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const REFUSED: &str = "
apiVersion: tracepipe.dev/v1alpha1
kind: TracingPipeline
metadata: {name: broken}
spec:
  clusterName: prod
  identity: {type: Ambient}
  sampling:
    policies: [{name: probabilistic, type: AlwaysSample}]
";

fn operator(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracepipe-operator"));
    // What this machine's environment says is not what is tested.
    command.args(arguments).env_clear();
    command
}

fn testdata(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
    file.to_str().unwrap().to_owned()
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    told(operator(arguments).output().unwrap())
}

fn told(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Calls with `text` on standard input.
fn feed(arguments: &[&str], text: &str) -> (Option<i32>, String, String) {
    let mut command = operator(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    told(child.wait_with_output().unwrap())
}

fn written(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let file = folder.path().join(name);
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn validate_accepts_with_0() {
    let file = testdata("pipelines/full.yaml");
    let (code, out, err) = run(&["validate", "-f", &file]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let expected =
        "tracingpipeline.tracepipe.dev/a-name-of-fifty-two-characters-which-is-the-most-000: accepted\n";
    assert_eq!(out, expected);
}

#[test]
fn validate_refuses_with_2_and_says_where() {
    let (code, out, err) = feed(&["validate", "-f", "-", "--region", "eu-west-1"], REFUSED);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    let start = "tracingpipeline.tracepipe.dev/broken: spec.sampling.policies[0].name: ";
    assert!(err.starts_with(start), "{err}");
}

#[test]
fn validate_says_of_each_document_what_becomes_of_it() {
    let minimal = std::fs::read_to_string(testdata("pipelines/logging.yaml")).unwrap();
    let (code, out, err) = feed(
        &["validate", "-f", "-", "--region", "eu-west-1"],
        &format!("{minimal}---{REFUSED}"),
    );
    assert_eq!(code, Some(2));
    assert_eq!(out, "tracingpipeline.tracepipe.dev/logs: accepted\n");
    assert!(err.contains("tracingpipeline.tracepipe.dev/broken: "), "{err}");
}

#[test]
fn validate_refuses_what_is_no_tracing_pipeline() {
    for text in [
        "",
        "a: [",
        "kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\n",
        "- 1\n",
    ] {
        let (code, out, err) = feed(&["validate", "-f", "-"], text);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{text}: {err}");
        assert!(err.starts_with("-: "), "{text}: {err}");
    }
}

#[test]
fn validate_refuses_what_the_api_server_would_refuse() {
    let cases = [
        ("clusterName: a b", "spec.clusterName"),
        ("clusterName: a\n  clusterNam: b", "spec.clusterNam"),
        (
            "clusterName: a\n  batch: {sendBatchSize: 0}",
            "spec.batch.sendBatchSize",
        ),
        (
            "clusterName: a\n  batch: {sendBatchSize: many}",
            "spec.batch.sendBatchSize",
        ),
    ];
    for (spec, place) in cases {
        let head = "apiVersion: tracepipe.dev/v1alpha1\nkind: TracingPipeline\nmetadata: {name: a}\nspec:\n";
        let text = format!("{head}  {spec}\n  identity: {{type: Ambient}}\n");
        let (code, _, err) = feed(&["validate", "-f", "-"], &text);
        assert_eq!(code, Some(2), "{spec}");
        assert!(err.contains(place), "{spec}: {err}");
    }
}

#[test]
fn a_file_that_is_not_there_is_no_refusal() {
    for command in ["validate", "render"] {
        let (code, out, err) = run(&[command, "-f", "/does/not/exist.yaml"]);
        assert_eq!((code, out.as_str()), (Some(1), ""));
        assert!(err.contains("/does/not/exist.yaml"), "{err}");
    }
}

#[test]
fn the_region_can_come_from_the_administrator_or_the_nodes() {
    let file = testdata("pipelines/minimal.yaml");
    let (code, _, err) = run(&["render", "-f", &file]);
    assert_eq!(code, Some(2));
    assert!(err.contains("no AWS region"), "{err}");
    let (code, _, err) = run(&["validate", "-f", &file]);
    assert_eq!(code, Some(0), "a cluster's nodes name it");
    assert!(err.contains("note: no region"), "{err}");
    let (code, _, err) = run(&["validate", "-f", &file, "--region", "eu-west-1"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(
        run(&["validate", "-f", &file, "--node-region", "eu-west-1"]).0,
        Some(0)
    );
    let by_environment = operator(&["validate", "-f", &file])
        .env("TRACEPIPE_REGION", "eu-west-1")
        .output()
        .unwrap();
    assert_eq!(by_environment.status.code(), Some(0));
}

#[test]
fn render_prints_the_collectors_configuration() {
    let file = testdata("pipelines/minimal.yaml");
    let (code, out, err) = run(&[
        "render",
        "-f",
        &file,
        "--node-region",
        "eu-west-1",
        "--output",
        "collector-config",
    ]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let expected = std::fs::read_to_string(testdata("rendered/minimal.collector.yaml")).unwrap();
    assert_eq!(out, expected);
}

#[test]
fn render_prints_objects_that_kubectl_can_apply() {
    let file = testdata("pipelines/minimal.yaml");
    let (code, out, err) = run(&["render", "-f", &file, "--node-region", "eu-west-1"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    // The owner's UID is known to a cluster alone.
    assert!(!out.contains("ownerReferences") && !out.contains("uid:"), "{out}");
    let objects: Vec<serde_json::Value> = serde_saphyr::from_multiple(&out).unwrap();
    let kinds: Vec<&str> = objects
        .iter()
        .map(|object| object["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["ServiceAccount", "ConfigMap", "Service", "DaemonSet"]);
    for object in &objects {
        assert_eq!(object["metadata"]["namespace"], "tracing");
    }
    assert_eq!(objects[2]["spec"]["trafficDistribution"], "PreferSameNode");
}

#[test]
fn render_knows_older_clusters() {
    let file = testdata("pipelines/minimal.yaml");
    for version in ["1.33", "v1.33.5", "1.33+"] {
        let (code, out, _) = run(&[
            "render",
            "-f",
            &file,
            "--node-region",
            "eu-west-1",
            "--kubernetes-version",
            version,
        ]);
        assert_eq!(code, Some(0));
        assert!(!out.contains("trafficDistribution"), "{version}");
        assert!(out.contains("internalTrafficPolicy: Local"), "{version}");
    }
    for version in ["1.34", "v1.34.4", "1.35+"] {
        let (_, out, _) = run(&[
            "render",
            "-f",
            &file,
            "--node-region",
            "eu-west-1",
            "--kubernetes-version",
            version,
        ]);
        assert!(out.contains("trafficDistribution: PreferSameNode"), "{version}");
    }
}

#[test]
fn render_of_a_refused_pipeline_prints_nothing_and_ends_with_2() {
    let (code, out, err) = feed(&["render", "-f", "-", "--region", "eu-west-1"], REFUSED);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("spec.sampling.policies[0]"), "{err}");
}

#[test]
fn the_administrators_part_is_in_what_is_rendered() {
    let folder = tempfile::tempdir().unwrap();
    let ca = written(
        &folder,
        "ca.pem",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    );
    let file = testdata("pipelines/minimal.yaml");
    let flags = [
        ["--collector-image", "registry.example/collector:2"],
        ["--image-pull-policy", "Never"],
        ["--image-pull-secrets", "one,two"],
        ["--priority-class", "high"],
        ["--region", "eu-west-2"],
        ["--xray-endpoint", "https://xray.internal"],
        ["--sts-endpoint", "https://sts.internal"],
        ["--amp-workspaces", "*"],
        ["--amp-endpoints", "https://one:1,http://two"],
        ["--extra-ca-file", ca.to_str().unwrap()],
    ];
    let arguments: Vec<&str> = ["render", "-f", &file]
        .into_iter()
        .chain(flags.iter().flatten().copied())
        .collect();
    let (code, out, err) = run(&arguments);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    for part in [
        "image: registry.example/collector:2",
        "imagePullPolicy: Never",
        "- name: two",
        "priorityClassName: high",
        "value: eu-west-2",
        "endpoint: \"https://xray.internal\"",
        "value: https://sts.internal",
        "extra-ca.pem",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
}

#[test]
fn a_file_without_a_certificate_is_not_taken_for_an_authority() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(
        &folder,
        "ca.pem",
        "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n",
    );
    let (code, _, err) = run(&["render", "-f", "-", "--extra-ca-file", file.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(err.contains("holds no certificate"), "{err}");
}

#[test]
fn a_wrong_flag_is_told_before_anything_is_done() {
    for arguments in [
        ["--namespaces", "A"],
        ["--namespaces", ""],
        ["--xray-endpoint", "xray.internal"],
        ["--sts-endpoint", "ftp://sts"],
        ["--image-pull-policy", "Sometimes"],
        ["--amp-workspaces", "ws-1"],
        ["--amp-workspaces", "*,*"],
        ["--amp-endpoints", "https://amp.internal/path"],
        ["--health-address", "8081"],
        ["--log-level", "loud"],
    ] {
        let (code, out, err) = run(&[&["run"][..], &arguments].concat());
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(err.contains(arguments[0]), "{arguments:?}: {err}");
    }
    let (code, _, err) = run(&["run"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("--namespaces"), "{err}");
}

#[test]
fn crd_prints_a_custom_resource_definition() {
    let (code, out, err) = run(&["crd"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let crd: serde_json::Value = serde_saphyr::from_str(&out).unwrap();
    assert_eq!(crd["kind"], "CustomResourceDefinition");
    assert_eq!(crd["metadata"]["name"], "tracingpipelines.tracepipe.dev");
}

/// Neither the resource nor a flag names a region: the policies of a role have none.
#[test]
fn render_prints_the_policies_of_the_role() {
    let file = testdata("pipelines/minimal.yaml");
    let issuer = "https://oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF";
    let expected = std::fs::read_to_string(testdata("rendered/irsa.iam.json")).unwrap();
    for flags in [&["--iam"][..], &["--output", "iam"]] {
        let arguments = ["render", "-f", &file, "--issuer", issuer];
        let (code, out, err) = run(&[&arguments[..], flags].concat());
        assert_eq!(
            (code, err.as_str(), out.as_str()),
            (Some(0), "", expected.as_str())
        );
    }
    let (code, out, err) = run(&["render", "--iam", "-f", &file]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(
        err.contains(": --issuer is needed: aws eks describe-cluster "),
        "{err}"
    );
}

/// The administrator's list is not at hand where people write: it is said that there is one.
#[test]
fn an_amp_endpoint_is_judged_by_the_list_that_is_given() {
    let file = testdata("pipelines/amp.yaml");
    let (code, out, err) = run(&["validate", "-f", &file, "--region", "eu-west-1"]);
    assert_eq!((code, out.ends_with(": accepted\n")), (Some(0), true), "{err}");
    assert!(
        err.contains("the chart's aws.amp.workspaces has to have"),
        "{err}"
    );
    let other = "arn:aws:aps:eu-west-1:111122223333:workspace/ws-other";
    let (code, _, err) = run(&[
        "validate",
        "-f",
        &file,
        "--region",
        "eu-west-1",
        "--amp-workspaces",
        other,
    ]);
    assert_eq!(code, Some(2));
    assert!(err.contains("spec.ampRemoteWriteEndpoint: "), "{err}");
}

#[test]
fn the_boundary_is_printed_with_the_workspaces_that_are_allowed() {
    let workspace = "arn:aws:aps:eu-west-1:111122223333:workspace/ws-0a1b2c3d-0000-4000-8000-0123456789ab";
    let arguments = [
        "iam-policy",
        "--account",
        "111122223333",
        "--cluster-name",
        "prod-eu",
        "--boundary",
    ];
    let printed = |flags: &[&str]| {
        let (code, out, err) = run(&[&arguments[..], flags].concat());
        assert_eq!((code, err.as_str()), (Some(0), ""));
        out
    };
    let expected = |name: &str| std::fs::read_to_string(testdata(name)).unwrap();
    assert_eq!(printed(&[]), expected("rendered/boundary.iam.json"));
    assert_eq!(
        printed(&["--amp-workspaces", workspace]),
        expected("rendered/boundary-amp.iam.json")
    );
    let any = printed(&["--partition", "aws-cn", "--amp-workspaces", "*"]);
    assert!(
        any.contains("\"arn:aws-cn:aps:*:111122223333:workspace/*\""),
        "{any}"
    );
}

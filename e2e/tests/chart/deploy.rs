//! `deploy/`: made from the chart, and examples that are true.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::helm::helms;
use crate::values::crd_spec;
use crate::{document, documents, leave_out, root, strings, text, the};

const CRD: &str = "crds/tracingpipelines.tracepipe.dev.yaml";
/// Plain `kubectl apply` keeps a copy of what it applied in an annotation, and an object's annotations together may
/// have 256 KiB.
const CRD_LIMIT_BYTES: usize = 200_000;

fn assert_same(left: &str, right: &str, what: &str) {
    let differs = left
        .lines()
        .zip(right.lines())
        .position(|(left, right)| left != right);
    assert!(
        left == right,
        "{what} differs at line {differs:?}: run scripts/deploy.sh"
    );
}

#[test]
fn chart_and_deploy_hold_the_generated_crd() {
    let crd = text(CRD);
    assert_same(
        &text("charts/tracepipe/crds/tracingpipelines.tracepipe.dev.yaml"),
        &crd,
        "the chart's CRD",
    );
    assert_same(&text("deploy/crd.yaml"), &crd, "deploy/crd.yaml");
    assert!(crd.len() < CRD_LIMIT_BYTES, "{} bytes", crd.len());
    assert_eq!(
        document(CRD)["metadata"]["name"],
        "tracingpipelines.tracepipe.dev"
    );
}

#[test]
fn deploy_is_what_either_helm_makes_of_the_chart() {
    for helm in helms("deploy/ from the chart") {
        let out = tempfile::tempdir().unwrap();
        let output = Command::new(root().join("scripts/deploy.sh"))
            .arg(out.path())
            .env("TRACEPIPE_HELM3", &helm.path)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        for file in ["install.yaml", "crd.yaml", "argocd/argocd-cm-patch.yaml"] {
            let made = std::fs::read_to_string(out.path().join(file)).unwrap();
            assert_same(
                &text(&format!("deploy/{file}")),
                &made,
                &format!("{file} ({})", helm.path.display()),
            );
        }
    }
}

#[test]
fn plain_kubectl_can_apply_every_manifest_in_the_order_it_stands_in() {
    let all = documents(&text("deploy/install.yaml"));
    let mut namespaces = BTreeSet::new();
    for object in &all {
        let kind = object["kind"].as_str().unwrap();
        let metadata = &object["metadata"];
        if let Some(namespace) = metadata["namespace"].as_str() {
            assert!(
                namespaces.contains(namespace),
                "{kind} stands before its namespace {namespace}"
            );
        }
        if kind == "Namespace" {
            namespaces.insert(metadata["name"].as_str().unwrap());
        }
        assert!(
            metadata["labels"]["app.kubernetes.io/managed-by"].is_null(),
            "nothing of this is Helm's"
        );
    }
    assert_eq!(namespaces, BTreeSet::from(["tracepipe-system", "tracing"]));
    assert!(!text("deploy/install.yaml").contains("helm.sh"));
    the(&all, "CustomResourceDefinition");

    // `kubectl apply -f deploy/` takes every file with these endings, and knows no Kustomization.
    for entry in std::fs::read_dir(root().join("deploy")).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|it| it == "yaml" || it == "yml" || it == "json")
        {
            for object in documents(&std::fs::read_to_string(&path).unwrap()) {
                assert!(
                    object["apiVersion"].is_string() && object["metadata"]["name"].is_string(),
                    "{path:?}"
                );
                assert_ne!(object["kind"], "Kustomization");
            }
        }
    }
}

#[test]
fn the_patch_in_the_kustomization_meets_the_collectors_image() {
    assert!(text("deploy/Kustomization").contains("path: /spec/template/spec/containers/0/args/2\n"));
    let all = documents(&text("deploy/install.yaml"));
    let deployment = the(&all, "Deployment");
    assert_eq!(deployment["metadata"]["name"], "tracepipe");
    let args = strings(&deployment["spec"]["template"]["spec"]["containers"][0]["args"]);
    assert!(args[2].starts_with("--collector-image="), "{args:?}");
}

#[test]
fn kustomize_takes_the_folder() {
    let folder = std::env::var_os("TRACEPIPE_CLUSTER_BIN").map(PathBuf::from);
    let Some(kubectl) = folder.map(|it| it.join("kubectl")).filter(|it| it.is_file()) else {
        leave_out("kubectl kustomize (TRACEPIPE_CLUSTER_BIN not set)");
        return;
    };
    let output = Command::new(kubectl)
        .arg("kustomize")
        .arg(root().join("deploy"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let built = documents(&String::from_utf8(output.stdout).unwrap());
    let installed = documents(&text("deploy/install.yaml"));
    assert_eq!(built.len(), installed.len());
    assert!(installed.iter().all(|it| built.contains(it)));
}

/// The values of the chart in an example, as `helm template` takes them.
fn values_of(example: &str) -> Value {
    let all = documents(&text(&format!("deploy/examples/{example}")));
    let app = all
        .iter()
        .find(|it| it["kind"] == "Application")
        .map(|it| &it["spec"]["source"]["helm"]["valuesObject"]);
    let release = all
        .iter()
        .find(|it| it["kind"] == "HelmRelease")
        .map(|it| &it["spec"]["values"]);
    app.or(release).unwrap().clone()
}

#[test]
fn the_examples_for_argo_and_flux_install_the_chart_with_a_pipeline() {
    for helm in helms("values in the examples") {
        for example in ["argocd-application.yaml", "flux.yaml"] {
            let all = helm.manifests(&values_of(example).to_string());
            let minimal = document("deploy/examples/pipeline-minimal.yaml");
            let pipeline = the(&all, "TracingPipeline");
            assert_eq!(pipeline["spec"], minimal["spec"], "{example}");
            assert_eq!(pipeline["metadata"]["name"], minimal["metadata"]["name"]);
        }
    }
    for example in ["argocd-application.yaml", "flux.yaml"] {
        assert!(text(&format!("deploy/examples/{example}")).contains("charts/tracepipe\n"));
    }
}

#[test]
fn the_example_pipelines_have_the_kind_and_the_fields_of_the_crd() {
    let examples = ["minimal", "full", "policies"]
        .map(|name| document(&format!("deploy/examples/pipeline-{name}.yaml")));
    for pipeline in &examples {
        assert_eq!(pipeline["apiVersion"], "tracepipe.dev/v1alpha1");
        assert_eq!(pipeline["kind"], "TracingPipeline");
    }
    for helm in helms("the fields of the example pipelines") {
        for pipeline in &examples {
            // The chart's schema of the spec is the CRD's, and strict.
            let values = serde_json::json!({ "pipeline": { "create": true, "spec": pipeline["spec"] } });
            helm.manifests(&values.to_string());
        }
    }
}

/// Every field of a schema that a value leaves out, by its dotted name.
fn left_out(schema: &Value, value: &Value, name: &str, found: &mut Vec<String>) {
    if let Some(items) = value.as_array() {
        // Different items have different members; together they have all.
        let fields = schema["items"]["properties"].as_object().into_iter().flatten();
        for (field, schema) in fields {
            let with: Vec<&Value> = items
                .iter()
                .map(|it| &it[field])
                .filter(|it| !it.is_null())
                .collect();
            match with.first() {
                Some(value) => left_out(schema, value, &format!("{name}[].{field}"), found),
                None => found.push(format!("{name}[].{field}")),
            }
        }
        return;
    }
    for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
        match value.get(field) {
            Some(value) => left_out(schema, value, &format!("{name}.{field}"), found),
            None => found.push(format!("{name}.{field}")),
        }
    }
}

#[test]
fn the_full_example_has_every_field() {
    let mut found = vec![];
    let full = document("deploy/examples/pipeline-full.yaml");
    left_out(&crd_spec(), &full["spec"], "spec", &mut found);
    // What a pod's toleration has is no news.
    found.retain(|it| !it.starts_with("spec.collector.tolerations[]."));
    // A policy in another one has what a policy has.
    found.retain(|it| !it.contains("SubPolicy"));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn the_full_example_says_every_default_that_it_does_not_mark() {
    let full = text("deploy/examples/pipeline-full.yaml");
    let value = document("deploy/examples/pipeline-full.yaml");
    let mut told = vec![];
    defaults(&crd_spec(), &value["spec"], &mut told);
    for (field, default, value) in told {
        let marked = full
            .lines()
            .any(|it| it.trim_start().starts_with(&format!("{field}:")) && it.contains("# default"));
        assert!(
            marked || default == value,
            "{field} is {value}, its default {default}"
        );
    }
}

/// (field, default, value) of each field that has a plain default.
fn defaults(schema: &Value, value: &Value, found: &mut Vec<(String, Value, Value)>) {
    for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
        let default = &schema["default"];
        if schema["properties"].is_object() {
            defaults(schema, &value[field], found);
        } else if !default.is_null() {
            found.push((field.clone(), default.clone(), value[field].clone()));
        }
    }
}

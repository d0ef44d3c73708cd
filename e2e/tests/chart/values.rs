//! What the chart says about its values: defaults, schema and README agree, and a wrong value is refused by name.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::helm::helms;
use crate::{chart, document, root, text};

const SCHEMA: &str = "charts/tracepipe/values.schema.json";
/// The schema of `pipeline.spec` is the last definition of the file: all behind this is made from the CRD.
const PIPELINE_SPEC: &str = "    \"pipelineSpec\": ";

/// A values file of `ci/`.
pub(crate) fn ci_file(name: &str) -> String {
    text(&format!("charts/tracepipe/ci/{name}-values.yaml"))
}

/// All values files of `ci/`.
pub(crate) fn ci_files() -> Vec<String> {
    let folder = std::fs::read_dir(chart().join("ci")).unwrap();
    let files: Vec<String> = folder
        .map(|it| std::fs::read_to_string(it.unwrap().path()).unwrap())
        .collect();
    assert!(files.len() >= 5);
    files
}

/// Each value that is no map, or an empty one, by its dotted name.
fn leaves(value: &Value, name: &str, found: &mut BTreeMap<String, Value>) {
    match value.as_object() {
        Some(members) if !members.is_empty() => {
            for (member, value) in members {
                let dot = if name.is_empty() { "" } else { "." };
                leaves(value, &format!("{name}{dot}{member}"), found);
            }
        }
        _ => {
            found.insert(name.to_owned(), value.clone());
        }
    }
}

fn defaults() -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    leaves(&document("charts/tracepipe/values.yaml"), "", &mut found);
    found
}

#[test]
fn the_readme_has_every_value_with_its_default() {
    let readme = text("charts/tracepipe/README.md");
    let (_, table) = readme
        .split_once("| value | default | is |\n|---|---|---|\n")
        .unwrap();
    let told: BTreeMap<String, Value> = table
        .lines()
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(|it| it.trim().trim_matches('`')).collect();
            (
                cells[1].to_owned(),
                serde_json::from_str(cells[2]).unwrap_or_else(|error| panic!("{line}: {error}")),
            )
        })
        .collect();
    assert_eq!(told, defaults());
}

/// The names that the schema knows in a map, through `$ref`.
fn known<'a>(schema: &'a Value, whole: &'a Value) -> Option<&'a Map<String, Value>> {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => whole.pointer(reference.trim_start_matches('#'))?,
        None => schema,
    };
    schema["properties"].as_object()
}

#[test]
fn the_schema_knows_exactly_the_values_that_there_are() {
    let whole: Value = serde_json::from_str(&text(SCHEMA)).unwrap();
    let mut found = BTreeSet::new();
    let mut left = vec![(String::new(), &whole)];
    while let Some((name, schema)) = left.pop() {
        match known(schema, &whole) {
            Some(members) if !members.contains_key("requests") && !members.contains_key("nodeAffinity") => {
                for (member, schema) in members {
                    let dot = if name.is_empty() { "" } else { "." };
                    left.push((format!("{name}{dot}{member}"), schema));
                }
            }
            _ => {
                found.insert(name);
            }
        }
    }
    // What Helm and a chart around this one add.
    assert!(found.remove("global") && found.remove("enabled"));
    let defaults: BTreeSet<String> = defaults()
        .into_keys()
        .map(|it| {
            if it.starts_with("resources.") {
                "resources".to_owned()
            } else {
                it
            }
        })
        .collect();
    assert_eq!(found, defaults);
}

#[test]
fn the_values_files_name_every_value_there_is() {
    let mut named = BTreeMap::new();
    leaves(
        &document("charts/tracepipe/ci/everything-values.yaml"),
        "",
        &mut named,
    );
    for (name, default) in defaults() {
        let known = named
            .iter()
            .any(|(it, _)| *it == name || it.starts_with(&format!("{name}.")));
        // A tag and a digest exclude each other.
        assert!(
            known || name == "image.operator.digest",
            "ci/everything-values.yaml leaves out {name} ({default})"
        );
    }
}

#[test]
fn a_wrong_value_is_refused_with_its_name() {
    const WRONG: &[(&str, &str)] = &[
        ("watchNamespace: [tracing]", "watchNamespace"),
        ("aws: {regio: eu-west-1}", "regio"),
        ("aws: {region: Ireland}", "/aws/region"),
        ("aws: {endpoints: {xray: 'http://plain'}}", "/aws/endpoints/xray"),
        ("aws: {caBundle: /etc/ca.pem}", "/aws/caBundle"),
        ("aws: {amp: {workspaces: [ws-1]}}", "/aws/amp/workspaces"),
        (
            "aws: {amp: {workspaces: ['*', 'arn:aws:aps:eu-west-1:111122223333:workspace/ws-1']}}",
            "/aws/amp/workspaces",
        ),
        (
            "aws: {amp: {endpoints: ['https://amp.internal/workspaces']}}",
            "/aws/amp/endpoints/0",
        ),
        ("image: {collector: {repo: a}}", "repo"),
        ("image: {operator: {digest: latest}}", "/image/operator/digest"),
        ("log: {level: loud}", "/log/level"),
        ("watchNamespaces: []", "/watchNamespaces"),
        ("watchNamespaces: ['*', tracing]", "/watchNamespaces"),
        ("createNamespaces: 'no'", "/createNamespaces"),
        ("resources: {limit: {memory: 1Gi}}", "limit"),
        ("priorityClass: {value: high}", "/priorityClass/value"),
        (
            "pipeline: {create: true, spec: {samplingRatePercentage: 5}}",
            "clusterName",
        ),
        (
            "pipeline: {create: true, spec: {clusterName: a, sampling: {keepError: true}}}",
            "keepError",
        ),
        (
            "pipeline: {create: true, spec: {clusterName: a, identity: {type: Magic}}}",
            "/pipeline/spec/identity/type",
        ),
    ];
    for helm in helms("wrong values") {
        for (values, name) in WRONG {
            let refused = helm.with_values(values);
            assert!(!refused.good, "{values} is taken");
            assert!(refused.all.contains(name), "{values}: {}", refused.all);
        }
    }
}

#[test]
fn the_chart_can_be_part_of_another() {
    let parent = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(parent.path().join("charts")).unwrap();
    std::os::unix::fs::symlink(chart(), parent.path().join("charts/tracepipe")).unwrap();
    let manifest = "apiVersion: v2\nname: parent\nversion: 1.0.0\n\
        dependencies: [{name: tracepipe, version: '*', condition: tracepipe.enabled}]\n";
    std::fs::write(parent.path().join("Chart.yaml"), manifest).unwrap();
    let values = "global: {registry: example.com}\ntracepipe: {enabled: true, log: {level: warn}}\n";
    std::fs::write(parent.path().join("values.yaml"), values).unwrap();
    for helm in helms("the chart as a part of another") {
        let ended = helm.run([
            "template",
            "app",
            &parent.path().to_string_lossy(),
            "--kube-version",
            "1.34.0",
        ]);
        assert!(
            ended.good && ended.out.contains("name: app-tracepipe\n"),
            "{}",
            ended.all
        );
    }
}

/// From the CRD's schema to JSON schema: strict about names, and without what only an API server knows.
fn json_schema(schema: &Value) -> Value {
    let Value::Object(members) = schema else {
        return match schema.as_array() {
            Some(items) => items.iter().map(json_schema).collect(),
            None => schema.clone(),
        };
    };
    let mut made = Map::new();
    for (name, member) in members {
        let member = match (name.as_str(), member.as_object()) {
            ("default" | "enum", _) => member.clone(),
            ("properties", Some(fields)) => fields
                .iter()
                .map(|(name, it)| (name.clone(), json_schema(it)))
                .collect(),
            _ => json_schema(member),
        };
        if !name.starts_with("x-kubernetes-") && name != "format" {
            made.insert(name.clone(), member);
        }
    }
    if made.contains_key("properties") {
        made.insert("additionalProperties".to_owned(), json!(false));
    }
    if members.get("x-kubernetes-int-or-string") == Some(&json!(true)) && !made.contains_key("anyOf") {
        made.insert("type".to_owned(), json!(["integer", "string"]));
    }
    Value::Object(made)
}

/// The schema of a TracingPipeline's spec in the CRD.
pub(crate) fn crd_spec() -> Value {
    let crd = document("crds/tracingpipelines.tracepipe.dev.yaml");
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
}

#[test]
fn the_schema_of_the_pipeline_is_the_one_of_the_crd() {
    let schema = text(SCHEMA);
    let (own, _) = schema.split_once(PIPELINE_SPEC).unwrap();
    let made = serde_json::to_string_pretty(&json_schema(&crd_spec()))
        .unwrap()
        .replace('\n', "\n    ");
    let made = format!("{own}{PIPELINE_SPEC}{made}\n  }}\n}}\n");
    if std::env::var_os("TRACEPIPE_WRITE").is_some() {
        std::fs::write(root().join(SCHEMA), &made).unwrap();
        return;
    }
    assert!(
        schema == made,
        "run TRACEPIPE_WRITE=1 cargo test -p tracepipe-e2e --test chart the_schema_of"
    );
}

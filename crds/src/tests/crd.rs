//! The CRD is one that API servers take and people can read. Each test here stands for an answer of a real API server
//! 1.34, or for something that it takes silently and should not have been given.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Value, json};

use crate::generate::{crd, crd_yaml};
use crate::schema::{check, complete};
use crate::{TracingPipelineSpec, TracingPipelineStatus, generate};

/// Each schema of the spec, or of all, with its path: `spec.sampling.policies[].name`.
fn each<'a>(schema: &'a Value, path: &str, all: &mut Vec<(String, &'a Value)>) {
    all.push((path.to_owned(), schema));
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        each(below, &format!("{path}.{name}"), all);
    }
    for (word, sign) in [("items", "[]"), ("additionalProperties", ".*")] {
        if let Some(below) = schema.get(word) {
            each(below, &format!("{path}{sign}"), all);
        }
    }
}

fn spec_of(schema: &Value) -> Vec<(String, &Value)> {
    let mut all = Vec::new();
    each(&schema["properties"]["spec"], "spec", &mut all);
    all
}

/// A spec after the API server's defaults.
fn completed(mut spec: Value) -> Value {
    let schema = generate::schema(None);
    complete(&mut spec, &schema["properties"]["spec"]);
    spec
}

#[test]
fn it_is_under_200_kb() {
    assert!(
        crd_yaml().unwrap().len() < 200_000,
        "{}",
        crd_yaml().unwrap().len()
    );
    // What `kubectl apply` keeps in an annotation, of at most 262,144 bytes.
    let json = crd().unwrap().to_string().len();
    assert!(json < 130_000, "{json}");
}

#[test]
fn its_yaml_says_the_same_as_the_value() {
    let read: Value = serde_saphyr::from_str(&crd_yaml().unwrap()).unwrap();
    assert_eq!(read, crd().unwrap());
}

#[test]
fn its_yaml_has_no_flow_style_and_no_endless_line() {
    for line in crd_yaml().unwrap().lines() {
        assert!(!line.trim_start().starts_with(['{', '[']), "{line}");
        let words = line.trim_start();
        let most = 112.max(line.len() - words.len() + 92);
        let is_list = words.ends_with(']') && words.contains(": [");
        assert!(line.len() <= most || is_list || !words.contains(' '), "{line}");
    }
}

#[test]
fn the_schema_is_structural() {
    let schema = generate::schema(None);
    let mut all = Vec::new();
    each(&schema, "", &mut all);
    assert!(all.len() > 80, "{}", all.len());
    for (path, schema) in all {
        let words: BTreeSet<&str> = schema.as_object().unwrap().keys().map(String::as_str).collect();
        for word in [
            "nullable",
            "anyOf",
            "oneOf",
            "allOf",
            "$ref",
            "$schema",
            "title",
            "const",
            "definitions",
        ] {
            assert!(!words.contains(word), "{path} has {word}");
        }
        let int_or_string = schema["x-kubernetes-int-or-string"] == json!(true);
        assert!(words.contains("type") != int_or_string, "{path} has no type");
        assert!(
            schema["type"].is_null() || schema["type"].is_string(),
            "{path} has many types"
        );
        let format = schema["format"].as_str().unwrap_or("int64");
        assert!(
            ["int32", "int64", "date-time"].contains(&format),
            "{path} has format {format}"
        );
    }
}

#[test]
fn everything_that_a_rule_could_read_is_bounded() {
    let schema = generate::schema(None);
    for (path, schema) in spec_of(&schema) {
        let has = |word: &str| schema.get(word).is_some();
        match schema["type"].as_str() {
            Some("string") => assert!(has("maxLength") || has("enum"), "{path} has no maxLength"),
            Some("array") => assert!(has("maxItems"), "{path} has no maxItems"),
            Some("object") => assert!(
                has("properties") || has("maxProperties"),
                "{path} has no maxProperties"
            ),
            Some("integer") => assert!(has("minimum"), "{path} has no minimum"),
            Some("boolean") => {}
            None => assert!(has("maxLength"), "{path} has no maxLength"),
            Some(other) => panic!("{path} is of type {other}"),
        }
    }
    let mut status = Vec::new();
    each(&schema["properties"]["status"], "status", &mut status);
    for (path, schema) in status {
        assert!(
            schema["type"] != "array" || schema["maxItems"].is_u64(),
            "{path} has no maxItems"
        );
    }
}

#[test]
fn each_field_has_a_text_of_one_paragraph() {
    let schema = generate::schema(None);
    let mut all = Vec::new();
    for part in ["spec", "status"] {
        each(&schema["properties"][part], part, &mut all);
    }
    for (path, schema) in all {
        let is_scalar_item = path.ends_with("[]") && schema.get("properties").is_none();
        if path.ends_with(".*") || is_scalar_item {
            continue;
        }
        let text = schema["description"].as_str().unwrap_or_default();
        assert!(
            text.ends_with('.') && !text.contains('\n') && !text.contains("  "),
            "{path}: {text:?}"
        );
    }
}

#[test]
fn the_text_of_a_field_says_its_default_its_bounds_and_its_choices() {
    let schema = generate::schema(None);
    let text = |pointer: &str| {
        schema["properties"]["spec"].pointer(pointer).unwrap()["description"]
            .as_str()
            .unwrap()
    };
    let sampling = "/properties/sampling/properties";
    assert!(text(&format!("{sampling}/slowThreshold")).ends_with(" Default: 500ms."));
    assert!(text(&format!("{sampling}/numTraces")).ends_with(" From 100 to 10000000. Default: 100000."));
    assert!(text("/properties/samplingRatePercentage").ends_with(" Default: 10."));
    let identity = text("/properties/identity/properties/type");
    assert!(
        identity.contains("`IRSA`: the pod's own token") && identity.ends_with("Default: IRSA."),
        "{identity}"
    );
    let effect = text("/properties/collector/properties/tolerations/items/properties/effect");
    assert!(
        effect.starts_with("Effect of the taint.") && effect.contains("`NoExecute`: "),
        "{effect}"
    );
}

/// What `kubectl apply` of a cluster's name stores. A default that changes here changes every cluster.
#[test]
fn a_cluster_name_alone_gets_these_settings() {
    let expected = json!({
        "clusterName": "prod",
        "samplingRatePercentage": 10,
        "sampling": {
            "keepErrors": true, "slowThreshold": "500ms", "decisionWait": "10s", "numTraces": 100_000,
            "blockOnOverflow": false, "expectedNewTracesPerSec": 0, "sampleOnFirstMatch": false,
            "recordPolicy": true, "decisionCache": {}, "policies": [],
        },
        "memoryLimiter": { "limitMiB": 400, "spikeLimitMiB": 100, "checkInterval": "1s" },
        "batch": { "timeout": "200ms", "sendBatchSize": 8192, "sendBatchMaxSize": 0 },
        "exporters": { "xray": { "mode": "Enabled", "indexAllAttributes": true } },
        "identity": { "type": "IRSA", "deletionPolicy": "Delete" },
        "collector": {
            "resources": {
                "requests": { "cpu": "50m", "memory": "128Mi" },
                "limits": { "memory": "512Mi" },
            },
            "nodeSelector": {},
            "tolerations": [{ "operator": "Exists" }],
        },
        "service": { "trafficPolicy": "PreferSameNode" },
    });
    assert_eq!(completed(json!({ "clusterName": "prod" })), expected);
}

#[test]
fn an_object_written_in_part_keeps_the_defaults_of_the_rest() {
    let whole = completed(json!({ "clusterName": "prod" }));
    let schema = generate::schema(None);
    let mut tried = 0;
    for (path, schema) in spec_of(&schema) {
        if schema["default"].is_object() && schema["properties"].is_object() {
            let path = path.trim_start_matches("spec.");
            let written = path
                .rsplit('.')
                .fold(json!({}), |inner, name| json!({ name: inner }));
            let mut spec = json!({ "clusterName": "prod" });
            spec.as_object_mut()
                .unwrap()
                .extend(written.as_object().unwrap().clone());
            assert_eq!(completed(spec), whole, "{path}: {{}}");
            tried += 1;
        }
    }
    assert!(tried >= 10, "{tried}");
}

#[test]
fn the_operator_reads_the_same_defaults_as_the_api_server_writes() {
    let read = |spec: Value| serde_json::from_value::<TracingPipelineSpec>(spec).unwrap();
    for more in [
        json!({}),
        json!({ "sampling": {} }),
        json!({ "sampling": { "policies": [{ "name": "a", "type": "AlwaysSample" }] } }),
        json!({ "memoryLimiter": {} }),
        json!({ "batch": {} }),
        json!({ "exporters": {} }),
        json!({ "exporters": { "xray": {}, "logging": {} } }),
        json!({ "identity": {} }),
        json!({ "service": {} }),
        json!({ "collector": {} }),
        json!({ "collector": { "resources": {}, "tolerations": [{ "key": "a" }] } }),
        json!({ "collector": { "resources": { "requests": {}, "limits": {} } } }),
        json!({ "collector": { "resources": { "requests": { "cpu": 1 }, "limits": { "cpu": "2" } } } }),
    ] {
        let mut spec = json!({ "clusterName": "prod" });
        spec.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        assert_eq!(read(spec.clone()), read(completed(spec.clone())), "{spec}");
    }
}

/// The API server refuses a CRD whose defaults do not keep their own schema.
#[test]
fn each_default_keeps_its_own_schema() {
    let schema = generate::schema(None);
    let mut all = Vec::new();
    each(&schema, "", &mut all);
    let mut found = Vec::new();
    for (path, schema) in all {
        if let Some(default) = schema.get("default") {
            let mut default = default.clone();
            complete(&mut default, schema);
            check(&default, schema, &path, &mut found);
        }
    }
    assert_eq!(found, []);
}

#[test]
fn each_pattern_can_be_read_and_holds_for_the_whole_text() {
    let schema = generate::schema(None);
    let mut all = Vec::new();
    each(&schema, "", &mut all);
    let patterns: Vec<&str> = all
        .iter()
        .filter_map(|(_, schema)| schema["pattern"].as_str())
        .collect();
    assert!(patterns.len() >= 8, "{patterns:?}");
    for pattern in patterns {
        assert!(pattern.starts_with('^') && pattern.ends_with('$'), "{pattern}");
        Regex::new(pattern).unwrap();
    }
}

#[test]
fn a_condition_of_the_operator_fits_the_schema() {
    let mut status = json!({
        "observedGeneration": 3,
        "conditions": [{
            "type": "Ready", "status": "False", "reason": "RollingOut", "message": "",
            "lastTransitionTime": "2026-01-02T03:04:05Z", "observedGeneration": 3,
        }],
    });
    let schema = &generate::schema(None)["properties"]["status"];
    complete(&mut status, schema);
    let mut found = Vec::new();
    check(&status, schema, "status", &mut found);
    assert_eq!(found, []);
    let typed: TracingPipelineStatus = serde_json::from_value(status.clone()).unwrap();
    assert_eq!(serde_json::to_value(typed).unwrap(), status);
}

#[test]
fn a_resource_is_not_ready_before_the_operator_has_seen_it() {
    let status = &generate::schema(None)["properties"]["status"];
    assert_eq!(status["default"], json!({ "observedGeneration": -1 }));
    let mut empty = json!({});
    complete(&mut empty, status);
    assert_eq!(
        empty,
        json!({ "observedGeneration": -1 }),
        "the operator alone fills the status"
    );
}

#[test]
fn each_column_and_each_selectable_field_is_in_the_schema() {
    let crd = crd().unwrap();
    let version = &crd["spec"]["versions"][0];
    let columns = version["additionalPrinterColumns"].as_array().unwrap();
    let selectable = version["selectableFields"].as_array().unwrap();
    assert_eq!((columns.len(), selectable.len()), (10, 1));
    for field in columns.iter().chain(selectable) {
        let path = field["jsonPath"].as_str().unwrap();
        if path == ".metadata.creationTimestamp" {
            continue;
        }
        let mut schema = &version["schema"]["openAPIV3Schema"];
        // One condition is chosen by its type; that has dots of its own.
        let plain = path
            .replace(r#"[?(@.type=="Ready")]"#, "")
            .replace(r#"[?(@.type=="Exporting")]"#, "");
        for name in plain.split('.').skip(1) {
            schema = &schema["properties"][name];
            schema = schema.get("items").unwrap_or(schema);
        }
        assert_eq!(schema["type"], "string", "{path}");
    }
}

#[test]
fn the_version_has_a_status_of_its_own_and_is_stored() {
    let crd = crd().unwrap();
    let version = &crd["spec"]["versions"][0];
    assert_eq!(version["subresources"], json!({ "status": {} }));
    assert_eq!(
        (&version["served"], &version["storage"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(
        crd["metadata"],
        json!({ "name": "tracingpipelines.tracepipe.dev" })
    );
    assert_eq!(crd["spec"]["names"]["shortNames"], json!(["tp"]));
    assert_eq!(crd["spec"]["scope"], "Namespaced");
}

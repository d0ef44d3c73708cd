//! The CRD: what the types say, as an API server wants to have it said.
//!
//! `kube` makes the frame (names, columns, subresources). The schema is made here, because `kube` loses the texts of
//! enum variants and some of fields, and `kubectl explain` shows nothing else.

use std::collections::BTreeMap;

use kube::{CustomResourceExt, Resource};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::{TracingPipeline, TracingPipelineSpec, TracingPipelineStatus, rules};

mod columns;
pub(crate) mod structural;
mod yaml;

/// Where the generated YAML lies, from the root of the project.
pub const FILE: &str = "crds/tracingpipelines.tracepipe.dev.yaml";

/// The CRD as the API server takes it.
///
/// # Errors
/// When the types make no JSON, which a test excludes.
pub fn crd() -> Result<Value, serde_json::Error> {
    let mut crd = serde_json::to_value(TracingPipeline::crd())?;
    // What the API server would add, so that nobody sees a difference.
    crd["spec"]["names"]["listKind"] = json!(format!("{}List", TracingPipeline::kind(&())));
    if let Some(versions) = crd.pointer_mut("/spec/versions").and_then(Value::as_array_mut) {
        for version in versions {
            let description = version.pointer("/schema/openAPIV3Schema/description").cloned();
            version["additionalPrinterColumns"] = columns::columns();
            version["schema"] = json!({ "openAPIV3Schema": schema(description) });
        }
    }
    Ok(sorted(crd))
}

/// [`crd`] as YAML, with a line on top that says where it comes from.
///
/// # Errors
/// As [`crd`], in words.
pub fn crd_yaml() -> Result<String, String> {
    let crd = crd().map_err(|error| error.to_string())?;
    let members = crd.as_object().ok_or("a CRD is an object")?;
    let yaml = yaml::write(members).map_err(|error| error.to_string())?;
    Ok(format!(
        "# Made by `tracepipe-operator crd`; do not edit.\n{yaml}"
    ))
}

/// The schema of the whole resource. `metadata` is the API server's own.
pub(crate) fn schema(description: Option<Value>) -> Value {
    let mut spec = of::<TracingPipelineSpec>();
    structural::explain(&mut spec);
    let mut status = of::<TracingPipelineStatus>();
    structural::without_defaults(&mut status);
    // A resource that the operator has not seen is not ready: kstatus compares this with the generation.
    // https://github.com/helm/helm/issues/32066 is what happens without it.
    status["default"] = json!({ "observedGeneration": -1 });
    json!({
        "description": description.unwrap_or_default(),
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            // The longest name that any resource can have, so that the rule on it has a price.
            "metadata": { "type": "object", "properties": { "name": { "type": "string", "maxLength": 253 } } },
            "spec": spec,
            "status": status,
        },
        "x-kubernetes-validations": rules::at_resource(),
    })
}

fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    structural::rewrite(&mut schema);
    schema
}

/// The members of each object in order, whatever `serde_json` is built with.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<String, Value> = members.into_iter().collect();
            let members: Map<String, Value> =
                members.into_iter().map(|(key, it)| (key, sorted(it))).collect();
            Value::Object(members)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

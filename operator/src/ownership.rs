//! Whose an object is. Pure.

use kube::{Resource, ResourceExt};
use serde_json::Value;
use tracepipe_crds::TracingPipeline;

/// To whom an object belongs that has a name of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// To this pipeline.
    Ours,
    /// To a pipeline of this name that is gone; it will be collected.
    Predecessor,
    /// To somebody else.
    Foreign,
}

/// Decides by the owner reference's UID: names can be reused, UIDs cannot.
pub(crate) fn owner_of(object: &Value, pipeline: &TracingPipeline) -> Owner {
    let references = object
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let is =
        |reference: &Value, key: &str, value: &str| reference.get(key).and_then(Value::as_str) == Some(value);
    let uid = pipeline.uid().unwrap_or_default();
    if references.iter().any(|one| is(one, "uid", &uid)) {
        return Owner::Ours;
    }
    let namesake = references.iter().any(|one| {
        is(one, "kind", &TracingPipeline::kind(&()))
            && is(one, "name", &pipeline.name_any())
            && one
                .get("apiVersion")
                .and_then(Value::as_str)
                .is_some_and(|version| version.starts_with("tracepipe.dev/"))
    });
    if namesake {
        Owner::Predecessor
    } else {
        Owner::Foreign
    }
}

#[cfg(test)]
mod tests;

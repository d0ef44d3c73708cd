use serde_json::json;

use super::*;
use crate::testing::*;

fn owner(references: Value) -> Owner {
    owner_of(&json!({"metadata": {"ownerReferences": references}}), &minimal())
}

#[test]
fn an_object_with_our_uid_is_ours() {
    let other = json!({"apiVersion": "v1", "kind": "Other", "name": "o", "uid": "other"});
    assert_eq!(owner(json!([owned_by("otel-collector", UID)])), Owner::Ours);
    assert_eq!(
        owner(json!([other, owned_by("otel-collector", UID)])),
        Owner::Ours
    );
    // A UID cannot be reused, so what else the reference says does not matter.
    assert_eq!(owner(json!([owned_by("renamed", UID)])), Owner::Ours);
}

#[test]
fn an_object_of_a_pipeline_of_our_name_is_our_predecessors() {
    assert_eq!(
        owner(json!([owned_by("otel-collector", "older")])),
        Owner::Predecessor
    );
    let mut of_another_version = owned_by("otel-collector", "older");
    of_another_version["apiVersion"] = json!("tracepipe.dev/v1");
    assert_eq!(owner(json!([of_another_version])), Owner::Predecessor);
}

#[test]
fn every_other_object_is_somebody_elses() {
    let mut of_another_group = owned_by("otel-collector", "older");
    of_another_group["apiVersion"] = json!("tracepipe.development/v1");
    let cases = [
        json!(null),
        json!([]),
        json!([of_another_group]),
        json!([owned_by("another", "older")]),
        json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "otel-collector", "uid": "x"}]),
    ];
    for references in cases {
        assert_eq!(owner(references.clone()), Owner::Foreign, "{references}");
    }
    // A label or an annotation of ours can be written by anybody.
    let labelled = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "tracepipe-operator"}}});
    assert_eq!(owner_of(&labelled, &minimal()), Owner::Foreign);
    assert_eq!(owner_of(&json!({}), &minimal()), Owner::Foreign);
}

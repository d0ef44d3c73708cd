//! Decisions that outlive a container.

use serde_json::json;

use super::*;

fn of(sampling: Value) -> Value {
    let plan = plain_plan(&with_spec(json!({ "sampling": sampling })));
    template(&plan)["spec"].clone()
}

#[test]
fn decisions_that_are_kept_have_a_folder_of_their_own_with_a_limit() {
    let spec = of(json!({"decisionCache": {"persistence": {"sizeLimit": "100Mi"}}}));
    let volume = spec["volumes"].as_array().unwrap().last().unwrap();
    assert_eq!(
        *volume,
        json!({"name": "decisions", "emptyDir": {"sizeLimit": "100Mi"}})
    );
    let mounts = spec["containers"][0]["volumeMounts"].as_array().unwrap();
    assert_eq!(
        mounts.last(),
        Some(&json!({"name": "decisions", "mountPath": "/var/lib/tracepipe/decisions"}))
    );
    // Or the collector's user could not write there.
    assert_eq!(
        spec["securityContext"]["fsGroup"],
        spec["securityContext"]["runAsUser"]
    );
}

#[test]
fn without_persistence_there_is_no_folder() {
    for sampling in [json!({}), json!({"decisionCache": {"sampledCacheSize": 5}})] {
        assert!(!of(sampling).to_string().contains("decisions"));
    }
}

#[test]
fn the_collector_is_told_the_folder_that_is_mounted() {
    let pipeline = with_spec(json!({"sampling": {"decisionCache": {"persistence": {}}}}));
    let plan = plain_plan(&pipeline);
    let mounts = template(&plan)["spec"]["containers"][0]["volumeMounts"].clone();
    let folder = mounts.as_array().unwrap().last().unwrap()["mountPath"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        plan.config_yaml.contains(&format!("      directory: {folder}\n")),
        "{}",
        plan.config_yaml
    );
}

//! A pipeline at rest costs no write; what somebody changes by hand is put back, what is not ours is left.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};
use tracepipe_e2e::cluster::DIR_VARIABLE;
use tracepipe_e2e::cluster::kube_api::Patch;
use tracepipe_e2e::cluster::wait::wait_until;

use crate::account::Right;
use crate::rig::{Rig, ambient, rig};

/// Long enough for anything that is done every minute or so.
const REST: Duration = Duration::from_secs(300);
/// "Seconds": a watch, a pass, an apply, on two cores under the rest of the tests.
const REPAIR: Duration = Duration::from_secs(30);

fn audit_log() -> PathBuf {
    PathBuf::from(std::env::var_os(DIR_VARIABLE).unwrap()).join("audit.log")
}

/// The end of the audit log.
pub(crate) fn audit_place() -> u64 {
    std::fs::metadata(audit_log()).unwrap().len()
}

/// How many writes to a namespace any operator has had answered, from this place of the audit log on.
pub(crate) fn operators_writes_since(place: u64, namespace: &str) -> usize {
    let ours = |event: &Value| {
        let agent = event["userAgent"].as_str().unwrap_or_default();
        agent.starts_with("tracepipe-operator/")
    };
    events_since(place, namespace, ours).len()
}

/// Writes of the operator's ServiceAccount to a namespace, from this place of the audit log on.
fn writes_since(place: u64, namespace: &str) -> Vec<Value> {
    let ours = |event: &Value| {
        let name = event["user"]["username"].as_str().unwrap_or_default();
        name.starts_with("system:serviceaccount:tracepipe-system:")
    };
    events_since(place, namespace, ours)
}

fn events_since(place: u64, namespace: &str, ours: impl Fn(&Value) -> bool) -> Vec<Value> {
    let writes = audited(place).filter(|event| {
        let verb = event["verb"].as_str().unwrap_or_default();
        ours(event)
            && !["get", "list", "watch"].contains(&verb)
            // A token is asked for and not kept: nothing is stored.
            && event["objectRef"]["subresource"] != "token"
            && event["objectRef"]["namespace"] == namespace
    });
    writes.collect()
}

/// The rights that a user has made use of from this place of the audit log on: what was refused is no use.
pub(crate) fn rights_used_since(place: u64, user: &str) -> BTreeSet<Right> {
    let used = audited(place).filter(|event| {
        let done = event["responseStatus"]["code"]
            .as_u64()
            .is_some_and(|code| code != 403);
        event["user"]["username"] == user && done
    });
    used.map(|event| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (of, subresource) = (&event["objectRef"], text(&event["objectRef"]["subresource"]));
        let mut resource = text(&of["resource"]);
        if !subresource.is_empty() {
            resource = format!("{resource}/{subresource}");
        }
        Right {
            verb: text(&event["verb"]),
            group: text(&of["apiGroup"]),
            resource,
        }
    })
    .collect()
}

/// All that stands in the audit log from this place on.
fn audited(place: u64) -> impl Iterator<Item = Value> {
    let mut file = File::open(audit_log()).unwrap();
    file.seek(SeekFrom::Start(place)).unwrap();
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn at_rest_the_operator_writes_nothing_for_five_minutes() {
    let Some(rig) = rig().await else { return };
    rig.create("tp-steady", "rest", &ambient()).await.unwrap();
    rig.until_ready("tp-steady", "rest").await;
    // The last event of the rollout follows the status.
    wait_until("rest", Duration::from_secs(60), || async {
        let place = std::fs::metadata(audit_log())?.len();
        tokio::time::sleep(Duration::from_secs(5)).await;
        ensure!(writes_since(place, "tp-steady").is_empty(), "it still writes");
        Ok(())
    })
    .await
    .unwrap();
    let place = std::fs::metadata(audit_log()).unwrap().len();
    tokio::time::sleep(REST).await;
    let mut writes = writes_since(place, "tp-steady");
    // The pipeline of the release rests as well, with its role, token and extra authority.
    writes.extend(writes_since(place, "tracing"));
    assert!(
        writes.is_empty(),
        "{} writes, the first: {}",
        writes.len(),
        writes[0]
    );
    // The log is one: what the operator does stands in it.
    rig.change("tp-steady", "rest", json!({ "samplingRatePercentage": 11 }))
        .await
        .unwrap();
    rig.until_ready("tp-steady", "rest").await;
    assert!(
        !writes_since(place, "tp-steady").is_empty(),
        "the audit log shows no write at all"
    );
}

/// Path of an object, and the name that messages give it.
const OURS: [(&str, &str); 3] = [
    (
        "/apis/apps/v1/namespaces/tp-edits/daemonsets/main-collector",
        "DaemonSet",
    ),
    ("/api/v1/namespaces/tp-edits/services/main", "Service"),
    (
        "/api/v1/namespaces/tp-edits/serviceaccounts/main-collector",
        "ServiceAccount",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn hand_edits_of_what_we_set_are_repaired_and_others_are_left_alone() {
    let Some(rig) = rig().await else { return };
    rig.make_namespace("tp-edits").await.unwrap();
    let _operator = crate::operator::OwnOperator::start("tp-edits", &[])
        .await
        .unwrap();
    // With a role, so that its annotation, token and variables are there to be edited.
    let role = "arn:aws:iam::111122223333:role/edited";
    let spec = json!({
        "clusterName": "prod-eu",
        "identity": { "roleArn": role },
        "collector": { "nodeSelector": { "kubernetes.io/os": "linux" } },
    });
    rig.create("tp-edits", "main", &spec).await.unwrap();
    rig.until_ready("tp-edits", "main").await;

    let mut refused = Vec::new();
    for (path, kind) in OURS {
        let original = rig.object(path).await.unwrap();
        let edits = edits_of(&original);
        assert!(edits.len() >= 3, "{kind}: {edits:?}");
        for edit in edits {
            let answer = rig.api.patch(path, Patch::Json(&edit)).await.unwrap();
            if !answer.status.is_success() {
                let at = edit[0]["path"].as_str().unwrap().to_owned();
                refused.push(format!("{kind} {at}: {}", answer.message()));
                continue;
            }
            repaired(&rig, path, &original, &edit).await;
        }
        let foreign = json!({ "metadata": { "annotations": { "example.com/of-somebody": "yes" }, "labels": { "team": "a" } } });
        rig.api
            .patch(path, Patch::Merge(&foreign))
            .await
            .unwrap()
            .success()
            .unwrap();
    }
    refused.retain(|one: &String| !FIXED.iter().any(|fixed| one.contains(fixed)));
    assert!(refused.is_empty(), "edits that were never made: {refused:#?}");
    // A repair after the foreign additions: they outlive it.
    let (service, _) = OURS[1];
    let original = rig.object(service).await.unwrap();
    let edit = json!([{ "op": "replace", "path": "/spec/ports/0/targetPort", "value": 1234 }]);
    rig.api
        .patch(service, Patch::Json(&edit))
        .await
        .unwrap()
        .success()
        .unwrap();
    repaired(&rig, service, &original, &edit).await;
    for (path, kind) in OURS {
        let now = rig.object(path).await.unwrap();
        assert_eq!(now["metadata"]["labels"]["team"], "a", "{kind}");
        assert_eq!(
            now["metadata"]["annotations"]["example.com/of-somebody"], "yes",
            "{kind}"
        );
    }
    // What is deleted is made again.
    for (path, _) in OURS {
        let uid = rig.object(path).await.unwrap()["metadata"]["uid"].clone();
        rig.api.delete(path, None).await.unwrap().success().unwrap();
        wait_until("new object", REPAIR, || async {
            let now = rig.object(path).await?;
            ensure!(now["metadata"]["uid"] != uid, "the old one");
            Ok(())
        })
        .await
        .unwrap();
    }
    rig.until_ready("tp-edits", "main").await;
    rig.remove("tp-edits", None).await.unwrap();
}

/// An edit of each leaf that our apply owns, by the object's own managed fields.
fn edits_of(object: &Value) -> Vec<Value> {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let ours = entries
        .iter()
        .find(|one| one["manager"] == "tracepipe-operator" && one["operation"] == "Apply")
        .unwrap();
    let mut fields = ours["fieldsV1"].clone();
    // Without it the object is nobody's, and what is not ours is not touched.
    if let Some(metadata) = fields["f:metadata"].as_object_mut() {
        metadata.remove("f:ownerReferences");
    }
    let mut edits = Vec::new();
    leaves(&fields, object, "", &mut edits);
    edits
}

/// Walks `fieldsV1` beside the object: `f:name` is a member, `k:{..}` an element by key, `.` the thing itself.
fn leaves(fields: &Value, at: &Value, path: &str, edits: &mut Vec<Value>) {
    let Some(members) = fields.as_object() else { return };
    if members.keys().all(|key| key == ".") {
        if let Some(changed) = changed(at, path) {
            edits.push(changed);
        }
        return;
    }
    for (key, below) in members {
        if let Some(name) = key.strip_prefix("f:") {
            let step = name.replace('~', "~0").replace('/', "~1");
            leaves(below, &at[name], &format!("{path}/{step}"), edits);
        } else if let Some(wanted) = key.strip_prefix("k:") {
            let wanted: Value = serde_json::from_str(wanted).unwrap();
            let wanted = wanted.as_object().unwrap();
            let elements = at.as_array().cloned().unwrap_or_default();
            let found = elements
                .iter()
                .position(|one| wanted.iter().all(|(key, value)| one[key] == *value));
            // Another key is another element, and that is somebody else's.
            let mut below = below.clone();
            if let Some(members) = below.as_object_mut() {
                members.retain(|key, _| !wanted.keys().any(|name| *key == format!("f:{name}")));
            }
            if let Some(index) = found {
                leaves(&below, &elements[index], &format!("{path}/{index}"), edits);
            }
        }
    }
}

/// Fields of which the API server takes no other value: it never changes, or another field says what it has to be.
const FIXED: [&str; 6] = [
    "DaemonSet /spec/selector",
    "DaemonSet /spec/template/metadata/labels/app.kubernetes.io~1name",
    "DaemonSet /spec/template/metadata/labels/app.kubernetes.io~1instance",
    "DaemonSet /spec/template/spec/containers/0/env/0/valueFrom/fieldRef:",
    "DaemonSet /spec/template/spec/containers/0/volumeMounts/",
    "DaemonSet /spec/updateStrategy/rollingUpdate/maxUnavailable",
];

/// Another value for each of a closed set, and for amounts.
const OTHERS: [(&str, &str); 13] = [
    ("Never", "IfNotPresent"),
    ("Cluster", "Local"),
    ("ClusterIP", "NodePort"),
    ("PreferSameNode", "PreferClose"),
    ("RollingUpdate", "OnDelete"),
    ("RuntimeDefault", "Unconfined"),
    ("HTTP", "HTTPS"),
    ("FallbackToLogsOnError", "File"),
    ("spec.nodeName", "metadata.name"),
    ("25%", "50%"),
    ("50m", "60m"),
    ("128Mi", "130Mi"),
    ("512Mi", "600Mi"),
];

/// A JSON patch that gives the leaf another value, or takes it away.
fn changed(value: &Value, path: &str) -> Option<Value> {
    let known = |text: &str| {
        OTHERS
            .iter()
            .find(|(from, _)| *from == text)
            .map(|(_, to)| json!(to))
    };
    let other = match value {
        Value::String(text) if known(text).is_some() => known(text)?,
        Value::String(text) if text.parse::<i64>().is_ok() => json!("7"),
        Value::String(text) => json!(format!("{text}x")),
        Value::Number(number) => json!(number.as_i64()? + 1),
        Value::Bool(on) => json!(!on),
        Value::Array(_) | Value::Object(_) => return Some(json!([{ "op": "remove", "path": path }])),
        Value::Null => return None,
    };
    Some(json!([{ "op": "replace", "path": path, "value": other }]))
}

/// Waits until every field that we set is as it was.
async fn repaired(rig: &Rig, path: &str, original: &Value, edit: &Value) {
    let at = edit[0]["path"].as_str().unwrap();
    // An owner reference or a label that is gone hides the object from nobody: it is found by name.
    wait_until(&format!("repair of {at} in {path}"), REPAIR, || async {
        let now = rig.object(path).await?;
        ensure!(
            now.pointer(at) == original.pointer(at),
            "it is {:?}",
            now.pointer(at)
        );
        Ok(())
    })
    .await
    .unwrap();
}

//! An operator that is killed at any time leaves the same end state as one that is not.

use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};
use tracepipe_e2e::cluster::wait::wait_until;
use tracepipe_e2e::rng::Rng;

use crate::operator::OwnOperator;
use crate::rig::{LIMIT, Rig, ambient, rig};

const NAMESPACE: &str = "tp-kill";
/// Seeds another run of the same times.
const SEED: u64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_during_create_update_and_delete_the_end_is_the_same() {
    let Some(rig) = rig().await else { return };
    rig.make_namespace(NAMESPACE).await.unwrap();
    let undisturbed = {
        let _operator = OwnOperator::start(NAMESPACE, &[]).await.unwrap();
        rig.create(NAMESPACE, "calm", &ambient()).await.unwrap();
        rig.until_ready(NAMESPACE, "calm").await;
        rig.change(NAMESPACE, "calm", json!({ "samplingRatePercentage": 25 }))
            .await
            .unwrap();
        rig.until_ready(NAMESPACE, "calm").await;
        settled_state(&rig, "calm").await
    };
    let mut rng = Rng::new(SEED);
    rig.create(NAMESPACE, "wild", &ambient()).await.unwrap();
    let children = kill_some(&rig, &mut rng, 6).await;
    assert!(
        children.iter().any(|count| *count > 4),
        "none lived to its first write: {children:?}"
    );
    let operator = OwnOperator::start(NAMESPACE, &[]).await.unwrap();
    rig.until_ready(NAMESPACE, "wild").await;
    operator.kill();
    rig.change(NAMESPACE, "wild", json!({ "samplingRatePercentage": 25 }))
        .await
        .unwrap();
    kill_some(&rig, &mut rng, 6).await;
    let operator = OwnOperator::start(NAMESPACE, &[]).await.unwrap();
    rig.until_ready(NAMESPACE, "wild").await;
    let disturbed = settled_state(&rig, "wild").await;
    assert_eq!(disturbed, undisturbed);

    operator.kill();
    for name in ["calm", "wild"] {
        rig.remove(NAMESPACE, Some(name)).await.unwrap();
    }
    kill_some(&rig, &mut rng, 4).await;
    wait_until("namespace without children", LIMIT, || async {
        let left = count(&rig).await;
        ensure!(left == 0, "{left} are left");
        Ok(())
    })
    .await
    .unwrap();
    rig.remove(NAMESPACE, None).await.unwrap();
}

/// Starts an operator and kills it after a random time, again and again: some die before their first write, some
/// between two, some after the last. Answers how many children there were each time.
async fn kill_some(rig: &Rig, rng: &mut Rng, times: u32) -> Vec<usize> {
    let mut children = Vec::new();
    for _ in 0..times {
        let operator = OwnOperator::start(NAMESPACE, &[]).await.unwrap();
        let life = Duration::from_millis(rng.between(0, 1_500));
        tokio::time::sleep(life).await;
        operator.kill();
        children.push(count(rig).await);
    }
    children
}

async fn count(rig: &Rig) -> usize {
    let mut count = 0;
    for (group, kind) in CHILDREN {
        count += ours(rig, &format!("/{group}/namespaces/{NAMESPACE}/{kind}"))
            .await
            .unwrap()
            .len();
    }
    count
}

/// Group and plural of everything that the operator makes.
const CHILDREN: [(&str, &str); 4] = [
    ("api/v1", "serviceaccounts"),
    ("api/v1", "configmaps"),
    ("api/v1", "services"),
    ("apis/apps/v1", "daemonsets"),
];

async fn ours(rig: &Rig, path: &str) -> anyhow::Result<Vec<Value>> {
    let objects = rig
        .list(&format!(
            "{path}?labelSelector=app.kubernetes.io/part-of%3Dtracepipe"
        ))
        .await?;
    Ok(objects)
}

/// What the operator has set of every child, under a name that does not tell pipelines apart. Waits until old
/// ConfigMaps are gone.
async fn settled_state(rig: &Rig, name: &str) -> Vec<(String, Value)> {
    let label =
        format!("labelSelector=app.kubernetes.io/instance%3D{name},app.kubernetes.io/part-of%3Dtracepipe");
    wait_until("one ConfigMap", LIMIT, || async {
        let maps = rig
            .list(&format!("/api/v1/namespaces/{NAMESPACE}/configmaps?{label}"))
            .await?;
        ensure!(maps.len() == 1, "{} ConfigMaps", maps.len());
        Ok(())
    })
    .await
    .unwrap();
    let mut state = Vec::new();
    for (group, kind) in CHILDREN {
        for object in rig
            .list(&format!("/{group}/namespaces/{NAMESPACE}/{kind}?{label}"))
            .await
            .unwrap()
        {
            let owned = object["metadata"]["managedFields"].as_array().unwrap().iter();
            let managers: Vec<(Value, Value)> = owned
                .filter(|entry| entry["manager"] == "tracepipe-operator")
                .map(|entry| (entry["operation"].clone(), without_uids(&entry["fieldsV1"])))
                .collect();
            let kept = json!({
                "name": object["metadata"]["name"],
                "labels": object["metadata"]["labels"],
                "data": object["data"],
                "template": object["spec"]["template"]["spec"],
                "ports": object["spec"]["ports"],
                "managers": managers,
            });
            let text = kept.to_string().replace(name, "NAME");
            let mut value: Value = serde_json::from_str(&text).unwrap();
            // nodePort and the like are the API server's.
            strip(&mut value, &["nodePort"]);
            state.push((kind.to_owned(), value));
        }
    }
    state
}

fn without_uids(fields: &Value) -> Value {
    let mut fields = fields.clone();
    if let Some(references) = fields
        .pointer_mut("/f:metadata/f:ownerReferences")
        .and_then(Value::as_object_mut)
    {
        let own: Vec<Value> = references.values().cloned().collect();
        references.clear();
        references.insert("all".to_owned(), Value::Array(own));
    }
    fields
}

fn strip(value: &mut Value, keys: &[&str]) {
    match value {
        Value::Object(members) => {
            members.retain(|key, _| !keys.contains(&key.as_str()));
            members.values_mut().for_each(|one| strip(one, keys));
        }
        Value::Array(items) => items.iter_mut().for_each(|one| strip(one, keys)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

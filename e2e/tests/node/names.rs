//! Names that are somebody else's.

use serde_json::{Value, json};

use crate::rig::{Rig, ambient, message, rig};

/// What may not change of an object that is somebody else's.
async fn fingerprint(rig: &Rig, path: &str) -> (Value, Value) {
    let object = rig.object(path).await.unwrap();
    (
        object["metadata"]["uid"].clone(),
        object["metadata"]["resourceVersion"].clone(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_called_default_leaves_the_service_account_default_alone() {
    let Some(rig) = rig().await else { return };
    let account = "/api/v1/namespaces/tp-names/serviceaccounts/default";
    let before = fingerprint(&rig, account).await;
    rig.create("tp-names", "default", &ambient()).await.unwrap();
    rig.until_ready("tp-names", "default").await;
    assert_eq!(fingerprint(&rig, account).await, before);
    rig.remove("tp-names", Some("default")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_called_kubernetes_does_not_touch_the_api_servers_service() {
    let Some(rig) = rig().await else { return };
    let service = "/api/v1/namespaces/default/services/kubernetes";
    let before = fingerprint(&rig, service).await;
    rig.create("default", "kubernetes", &ambient()).await.unwrap();
    let found = rig
        .until("default", "kubernetes", "Conflicted", ("True", "Conflicted"))
        .await;
    assert!(
        message(&found, "Conflicted").contains("Service kubernetes"),
        "{}",
        found["status"]
    );
    rig.until("default", "kubernetes", "Ready", ("False", "Conflicted"))
        .await;
    assert_eq!(fingerprint(&rig, service).await, before);
    let daemon_set = rig
        .api
        .get("/apis/apps/v1/namespaces/default/daemonsets/kubernetes-collector")
        .await
        .unwrap();
    assert_eq!(
        daemon_set.found().unwrap(),
        None,
        "nothing is made where something is in the way"
    );
    rig.remove("default", Some("kubernetes")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_daemon_set_and_a_foreign_service_account_are_left_and_named() {
    let Some(rig) = rig().await else { return };
    let labels = json!({ "app": "somebody" });
    let container = json!({
        "name": "main",
        "image": "tracepipe.dev/pause:test",
        "imagePullPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": 65532, "allowPrivilegeEscalation": false,
            "capabilities": { "drop": ["ALL"] }, "seccompProfile": { "type": "RuntimeDefault" },
        },
    });
    let daemon_set = json!({
        "metadata": { "name": "taken-collector" },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": { "containers": [container] } },
        },
    });
    let base = "/apis/apps/v1/namespaces/tp-names/daemonsets";
    rig.api.post(base, &daemon_set).await.unwrap().success().unwrap();
    let account = json!({ "metadata": { "name": "held-collector" } });
    let accounts = "/api/v1/namespaces/tp-names/serviceaccounts";
    rig.api.post(accounts, &account).await.unwrap().success().unwrap();
    let spec = async |path: String| {
        let object = rig.object(&path).await.unwrap();
        (
            object["spec"].clone(),
            object["metadata"]["labels"].clone(),
            object["metadata"]["annotations"].clone(),
        )
    };
    let before = (
        spec(format!("{base}/taken-collector")).await,
        fingerprint(&rig, &format!("{accounts}/held-collector")).await,
    );
    for (name, taken) in [
        ("taken", "DaemonSet taken-collector"),
        ("held", "ServiceAccount held-collector"),
    ] {
        rig.create("tp-names", name, &ambient()).await.unwrap();
        let found = rig
            .until("tp-names", name, "Conflicted", ("True", "Conflicted"))
            .await;
        assert!(
            message(&found, "Conflicted").contains(taken),
            "{}",
            found["status"]
        );
    }
    let after = (
        spec(format!("{base}/taken-collector")).await,
        fingerprint(&rig, &format!("{accounts}/held-collector")).await,
    );
    assert_eq!(after, before);

    // The way out that the message names.
    rig.api
        .delete(&format!("{accounts}/held-collector"), None)
        .await
        .unwrap()
        .success()
        .unwrap();
    rig.api
        .delete(&format!("{base}/taken-collector"), None)
        .await
        .unwrap()
        .success()
        .unwrap();
    rig.until_ready("tp-names", "held").await;
    rig.until_ready("tp-names", "taken").await;
}

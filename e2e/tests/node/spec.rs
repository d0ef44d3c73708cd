//! What a spec may say: each rule at the API server, what only the collector's parser finds in the status, and running
//! pods are left alone by both.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};
use tracepipe_e2e::cluster::wait::wait_until;

use crate::rig::{LIMIT, ambient, message, project, rig};

#[tokio::test(flavor = "multi_thread")]
async fn each_rule_is_refused_by_the_api_server_with_its_message_and_path() {
    let Some(rig) = rig().await else { return };
    let folder = project("crds/testdata/rules");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    let mut refused = 0;
    for file in files
        .iter()
        .filter(|file| file.extension().is_some_and(|it| it == "yaml"))
    {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(file).unwrap();
        let apply = format!(
            "apply --dry-run=server --namespace tp-rules --filename {}",
            file.display()
        );
        let outcome = rig.kubectl(&apply).await;
        let (path, message) = expected(&text);
        match (path, message, outcome) {
            (None, None, outcome) => assert!(outcome.is_ok(), "{name}: {outcome:?}"),
            (path, message, Err(error)) => {
                let error = format!("{error:#}");
                for part in [path, message].into_iter().flatten() {
                    assert!(error.contains(&part), "{name}: {part:?} is not in {error}");
                }
                refused += 1;
            }
            (_, _, Ok(_)) => panic!("{name} was taken"),
        }
    }
    assert!(refused >= 15, "{refused} cases of {}", files.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_changed_is_refused_and_everything_else_is_taken() {
    let Some(rig) = rig().await else { return };
    // Nobody's: what is made here becomes no pods.
    rig.make_namespace("tp-updates").await.unwrap();
    let folder = project("crds/testdata/updates");
    let files = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    let updates: Vec<_> = files
        .filter(|file| file.to_string_lossy().ends_with(".update.yaml"))
        .collect();
    let mut refused = 0;
    for update in updates {
        let name = update.file_name().unwrap().to_string_lossy().into_owned();
        let first = folder.join(name.replace(".update.yaml", ".yaml"));
        let expected = expected(&fs::read_to_string(&update).unwrap());
        let apply = |file: &Path| format!("apply --namespace tp-updates --filename {}", file.display());
        rig.kubectl(&apply(&first)).await.unwrap();
        let outcome = rig.kubectl(&apply(&update)).await;
        let delete = format!("delete --namespace tp-updates --filename {}", first.display());
        rig.kubectl(&delete).await.unwrap();
        let (None, None) = expected else {
            let error = format!("{:#}", outcome.map(|_| name.clone()).unwrap_err());
            for part in [expected.0, expected.1].into_iter().flatten() {
                assert!(error.contains(&part), "{name}: {part:?} is not in {error}");
            }
            refused += 1;
            continue;
        };
        outcome.unwrap();
    }
    assert!(refused > 0, "clusterName at least cannot be changed");
}

/// Path and message that a file says it is refused with.
fn expected(text: &str) -> (Option<String>, Option<String>) {
    let after = |key: &str| {
        let key = format!("tracepipe.dev/expect-{key}:");
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(key.as_str()));
        line.map(|line| line.trim().trim_matches(['"', '\'']).replace("''", "'"))
    };
    (after("path"), after("message"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spec_that_the_collector_would_refuse_leaves_the_running_pods_alone() {
    let Some(rig) = rig().await else { return };
    rig.create("tp-broken", "main", &ambient()).await.unwrap();
    let ready = rig.until_ready("tp-broken", "main").await;
    let pods = rig.pod_ids("tp-broken", "main").await;
    let daemon_set = "/apis/apps/v1/namespaces/tp-broken/daemonsets/main-collector";
    let generation = rig.object(daemon_set).await.unwrap()["metadata"]["generation"].clone();

    // The API server cannot know that this name is taken by the policy behind keepErrors.
    let policy = json!([{ "name": "always-sample-errors", "type": "AlwaysSample" }]);
    rig.change("tp-broken", "main", json!({ "sampling": { "policies": policy } }))
        .await
        .unwrap();
    let broken = rig
        .until("tp-broken", "main", "ConfigAccepted", ("False", "InvalidConfig"))
        .await;
    let text = message(&broken, "ConfigAccepted");
    assert!(text.contains("spec.sampling.policies[0].name"), "{text}");
    rig.until("tp-broken", "main", "Ready", ("False", "InvalidConfig"))
        .await;
    rig.until("tp-broken", "main", "Stalled", ("True", "InvalidConfig"))
        .await;
    assert_eq!(
        rig.object(daemon_set).await.unwrap()["metadata"]["generation"],
        generation
    );
    assert_eq!(rig.pod_ids("tp-broken", "main").await, pods, "the same pods run");
    assert_eq!(
        broken["status"]["collector"]["nodes"],
        ready["status"]["collector"]["nodes"]
    );

    rig.change("tp-broken", "main", json!({ "sampling": { "policies": null } }))
        .await
        .unwrap();
    rig.until_ready("tp-broken", "main").await;
    assert_eq!(
        rig.pod_ids("tp-broken", "main").await,
        pods,
        "the old configuration is the new one"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_resource_leaves_none_of_its_children_and_deleting_the_namespace_does_not_hang() {
    let Some(rig) = rig().await else { return };
    rig.create("tp-gone", "main", &ambient()).await.unwrap();
    rig.until_ready("tp-gone", "main").await;
    rig.remove("tp-gone", Some("main")).await.unwrap();
    wait_until("namespace without children", LIMIT, || async {
        for kind in ["configmaps", "services", "serviceaccounts", "pods"] {
            nothing_of_ours(&rig.list(&format!("/api/v1/namespaces/tp-gone/{kind}")).await?)?;
        }
        nothing_of_ours(&rig.list("/apis/apps/v1/namespaces/tp-gone/daemonsets").await?)
    })
    .await
    .unwrap();

    rig.create("tp-gone", "second", &ambient()).await.unwrap();
    rig.until_ready("tp-gone", "second").await;
    rig.remove("tp-gone", None).await.unwrap();
    wait_until("end of the namespace", Duration::from_secs(120), || async {
        let namespace = rig.api.get("/api/v1/namespaces/tp-gone").await?.found()?;
        ensure!(namespace.is_none(), "{}", namespace.unwrap_or_default()["status"]);
        Ok(())
    })
    .await
    .unwrap();
}

fn nothing_of_ours(objects: &[Value]) -> anyhow::Result<()> {
    let label = |object: &Value| object["metadata"]["labels"]["app.kubernetes.io/part-of"] == "tracepipe";
    let left: Vec<&Value> = objects
        .iter()
        .filter(|object| label(object))
        .map(|it| &it["metadata"]["name"])
        .collect();
    ensure!(left.is_empty(), "left: {left:?}");
    Ok(())
}

//! Ready tells the truth, and what reads it (kstatus, `kubectl wait`) never says otherwise.

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tracepipe_e2e::cluster::kube_api::Patch;
use tracepipe_e2e::cluster::network::Node;

use crate::operator::OwnOperator;
use crate::rig::{LIMIT, Rig, ambient, bare_rig, condition, message, rig};

/// What `kstatus` prints once a second.
#[derive(Debug, Clone, Deserialize)]
struct Look {
    generation: i64,
    #[serde(rename = "observedGeneration")]
    observed_generation: Option<i64>,
    ready: String,
    kstatus: String,
    message: String,
}

/// Seconds of looking at a state that does not change.
const LOOKS: usize = 10;

/// Looks once a second by kstatus and by `kubectl wait --timeout=0`, until it is stopped.
struct Watcher {
    kstatus: Child,
    looks: watch::Receiver<Vec<Look>>,
    stop: oneshot::Sender<()>,
    waits: JoinHandle<Vec<(bool, bool, Value)>>,
}

impl Watcher {
    fn start(namespace: &'static str, name: &'static str) -> Self {
        let rig = bare_rig().unwrap();
        let mut kstatus = rig
            .command("kstatus")
            .args([
                "-interval",
                "1s",
                "tracepipe.dev/v1alpha1/tracingpipelines",
                namespace,
                name,
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(kstatus.stdout.take().unwrap()).lines();
        let (seen, looks) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let look: Look = serde_json::from_str(&line).unwrap_or_else(|_| panic!("kstatus: {line}"));
                seen.send_modify(|looks| looks.push(look));
            }
        });
        let (stop, mut stopped) = oneshot::channel();
        let waits = tokio::spawn(async move {
            let mut every = tokio::time::interval(Duration::from_secs(1));
            let mut waits = Vec::new();
            loop {
                tokio::select! {
                    _ = &mut stopped => return waits,
                    _ = every.tick() => waits.push(wait_once(&rig, namespace, name).await),
                }
            }
        });
        Self {
            kstatus,
            looks,
            stop,
            waits,
        }
    }

    /// Waits until what was seen so far is as it has to be.
    async fn until(&mut self, what: &str, so: impl Fn(&[Look]) -> bool) {
        let found = self.looks.wait_for(|looks| so(looks));
        let found = tokio::time::timeout(LIMIT, found).await;
        let found = found.unwrap_or_else(|_| panic!("kstatus never saw {what}"));
        found.expect("kstatus goes on");
    }

    /// Looks for a while longer, then stops, and checks everything that was seen.
    async fn finish(mut self) -> Vec<Look> {
        let enough = self.looks.borrow().len() + LOOKS;
        self.until("enough", |looks| looks.len() >= enough).await;
        self.stop.send(()).unwrap();
        self.kstatus.start_kill().unwrap();
        let looks = self.looks.borrow().clone();
        for look in &looks {
            let current = look.kstatus == "Current";
            let ready = look.is_ready();
            assert_eq!(
                current, ready,
                "kstatus contradicts Ready ({}): {look:?}",
                look.message
            );
        }
        for (before, waited, now) in &self.waits.await.unwrap() {
            // Ready may turn between two reads; when it was the same before and after, kubectl must say it.
            let after = is_ready(now);
            assert!(
                *before != after || waited == before,
                "kubectl wait said {waited}: {now}"
            );
        }
        looks
    }
}

impl Look {
    fn is_ready(&self) -> bool {
        self.ready == "True" && self.observed_generation == Some(self.generation)
    }
}

fn is_ready(pipeline: &Value) -> bool {
    condition(pipeline, "Ready").0 == "True"
        && pipeline["status"]["observedGeneration"] == pipeline["metadata"]["generation"]
}

/// Ready before, what `kubectl wait` says, and the resource afterwards.
async fn wait_once(rig: &Rig, namespace: &str, name: &str) -> (bool, bool, Value) {
    let before = rig.pipeline(namespace, name).await.unwrap_or_default();
    let args = [
        "wait",
        "--timeout=0",
        "--for=condition=Ready",
        "--namespace",
        namespace,
        &format!("tracingpipeline/{name}"),
    ];
    let output = rig.try_run("kubectl", &args.map(str::to_owned)).await.unwrap();
    let after = rig.pipeline(namespace, name).await.unwrap_or_default();
    (is_ready(&before), output.status.success(), after)
}

/// A pipeline in a namespace of its own, under an operator with these settings; waits for what Ready has to say.
async fn becomes(namespace: &'static str, args: &[&str], wanted: (&str, &str), while_it_is: &str) {
    let Some(rig) = rig().await else { return };
    rig.make_namespace(namespace).await.unwrap();
    let _operator = OwnOperator::start(namespace, args).await.unwrap();
    rig.create(namespace, "main", &ambient()).await.unwrap();
    let watcher = Watcher::start(namespace, "main");
    let found = rig.until(namespace, "main", "Ready", wanted).await;
    assert!(
        message(&found, "Ready").contains(while_it_is),
        "{}",
        found["status"]
    );
    let looks = watcher.finish().await;
    assert!(!looks.iter().any(Look::is_ready), "it never was Ready: {looks:?}");
    rig.remove(namespace, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_image_is_not_ready_and_says_which() {
    let args = ["--collector-image", "tracepipe.dev/collector:no-such"];
    becomes(
        "tp-image",
        &args,
        ("False", "ImagePull"),
        "tracepipe.dev/collector:no-such",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_ends_again_and_again_is_not_ready_and_its_last_words_are_told() {
    // Not a collector: it does not know --config.
    let args = ["--collector-image", "tracepipe.dev/operator:0.1.0"];
    becomes("tp-crash", &args, ("False", "CrashLoop"), "exit code 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_forbids_pods_is_told_in_the_api_servers_words() {
    let Some(rig) = rig().await else { return };
    rig.make_namespace("tp-quota").await.unwrap();
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "none" }, "spec": { "hard": { "pods": "0" } },
    });
    let path = "/api/v1/namespaces/tp-quota/resourcequotas";
    rig.api.post(path, &quota).await.unwrap().success().unwrap();
    becomes("tp-quota", &[], ("False", "Forbidden"), "quota").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_node_that_matches_is_not_ready_until_one_does() {
    let Some(rig) = rig().await else { return };
    let mut spec = ambient();
    spec["collector"] = json!({ "nodeSelector": { "tracepipe.dev/test-pool": "gpu" } });
    rig.create("tp-nodes", "pool", &spec).await.unwrap();
    let mut watcher = Watcher::start("tp-nodes", "pool");
    rig.until("tp-nodes", "pool", "Ready", ("False", "NoEligibleNodes"))
        .await;
    let label = json!({ "metadata": { "labels": { "tracepipe.dev/test-pool": "gpu" } } });
    let node = format!("/api/v1/nodes/{}", Node::Node1.name());
    rig.api
        .patch(&node, Patch::Merge(&label))
        .await
        .unwrap()
        .success()
        .unwrap();
    let ready = rig.until_ready("tp-nodes", "pool").await;
    assert_eq!(ready["status"]["collector"]["nodes"], "1/1");
    watcher
        .until("it Ready", |looks| looks.iter().any(Look::is_ready))
        .await;
    watcher.finish().await;
    let label = json!({ "metadata": { "labels": { "tracepipe.dev/test-pool": null } } });
    rig.api
        .patch(&node, Patch::Merge(&label))
        .await
        .unwrap()
        .success()
        .unwrap();
    rig.until("tp-nodes", "pool", "Ready", ("False", "NoEligibleNodes"))
        .await;
    rig.remove("tp-nodes", Some("pool")).await.unwrap();
}

/// Alone: a node that is not Ready is everybody's.
pub(crate) mod alone {
    use tracepipe_e2e::cluster::front::{KubeletAction, kubelet};
    use tracepipe_e2e::cluster::wait::wait_until;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_node_that_is_not_ready_is_left_out_and_counted_again_when_it_is_back() {
        let Some(rig) = rig().await else { return };
        let ready = rig.until_ready("tracing", "otel-collector").await;
        assert_eq!(ready["status"]["collector"]["nodes"], "2/2");
        let watcher = Watcher::start("tracing", "otel-collector");
        kubelet(KubeletAction::Pause, Node::Node2).await.unwrap();
        let left_out = with_nodes(&rig, "1/1").await;
        kubelet(KubeletAction::Resume, Node::Node2).await.unwrap();
        let left_out = left_out.unwrap();
        assert!(
            message(&left_out, "Ready").contains("not Ready and left out"),
            "{}",
            left_out["status"]
        );
        with_nodes(&rig, "2/2").await.unwrap();
        watcher.finish().await;
    }

    /// Waits until it is Ready on so many nodes.
    async fn with_nodes(rig: &Rig, nodes: &str) -> anyhow::Result<Value> {
        wait_until(&format!("Ready on {nodes}"), LIMIT, || async {
            let pipeline = rig.pipeline("tracing", "otel-collector").await?;
            let so = is_ready(&pipeline) && pipeline["status"]["collector"]["nodes"] == nodes;
            anyhow::ensure!(so, "{}", pipeline["status"]);
            Ok(pipeline)
        })
        .await
    }
}

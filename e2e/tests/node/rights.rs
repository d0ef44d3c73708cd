//! Each right that the chart gives the operator, taken away on the real API server: one operator, and a namespace for each
//! right in which that one is missing.

use std::sync::Arc;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tracepipe_e2e::cluster::kube_api::Patch;
use tracepipe_e2e::cluster::wait::wait_until;

use crate::account::{Account, Right, shipped};
use crate::identity::{Aws, SECRET, nowhere};
use crate::operator::OwnOperator;
use crate::rig::{LIMIT, Rig, ambient, condition, message, rig};
use crate::steady::{audit_place, rights_used_since};

/// Where nothing is missing.
const WHOLE: &str = "tp-right-whole";
const NAME: &str = "main";

/// A right that is missing in a namespace of its own.
#[derive(Clone)]
struct Case {
    right: Right,
    namespace: String,
}

impl Case {
    fn of(right: Right) -> Self {
        let namespace = format!("tp-right-{}", right.words().replace([' ', '/'], "-"));
        Self { right, namespace }
    }

    /// What API servers say of it.
    fn words(&self) -> String {
        let Right { verb, resource, .. } = &self.right;
        match resource.as_str() {
            // The guard of owner references names no verb.
            "tracingpipelines/finalizers" => format!("{verb} {resource}"),
            _ => format!("cannot {verb} resource \"{resource}\""),
        }
    }

    /// The pipeline that needs the right. Most have a role and no pod.
    fn spec(&self) -> Value {
        match self.right.words().as_str() {
            // Why a pod is missing, and when a configuration is old, is asked where there should be pods.
            "list events" | "delete configmaps" => ambient(),
            _ => nowhere(),
        }
    }

    /// Whether a condition can be written without it.
    fn is_told_in_a_condition(&self) -> bool {
        let words = self.right.words();
        let silent = [
            "get tracingpipelines",
            "list tracingpipelines",
            "patch tracingpipelines/status",
        ];
        !silent.contains(&words.as_str())
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v1/namespaces/{}/{rest}", self.namespace)
    }

    /// Before the pipeline is there.
    async fn prepare(&self, rig: &Rig) -> anyhow::Result<()> {
        if self.right.words() == "list events" {
            let quota = json!({ "metadata": { "name": "none" }, "spec": { "hard": { "pods": "0" } } });
            rig.api
                .post(&self.path("resourcequotas"), &quota)
                .await?
                .success()?;
        }
        Ok(())
    }

    /// What makes the operator need the right, where a new pipeline does not.
    async fn provoke(&self, rig: &Rig) -> anyhow::Result<()> {
        match self.right.words().as_str() {
            "delete daemonsets" => {
                self.is_whole(rig).await?;
                rig.remove(&self.namespace, Some(NAME)).await?;
            }
            // Two of one kind are one event, which is changed.
            "patch events" => {
                self.is_whole(rig).await?;
                for port in [1, 2] {
                    self.edit_service(rig, port).await?;
                }
            }
            "delete configmaps" => {
                rig.until_ready(&self.namespace, NAME).await;
                let maps = rig.list(&self.path("configmaps")).await?;
                let of_pipeline = |map: &&Value| map["metadata"]["ownerReferences"].is_array();
                let ours = maps.iter().find(of_pipeline).context("a configuration")?;
                let metadata = json!({
                    "name": "old",
                    "labels": ours["metadata"]["labels"],
                    "ownerReferences": ours["metadata"]["ownerReferences"],
                });
                let old = json!({ "metadata": metadata });
                rig.api.post(&self.path("configmaps"), &old).await?.success()?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Waits until all is made: the DaemonSet is the last.
    async fn is_whole(&self, rig: &Rig) -> anyhow::Result<()> {
        let path = format!(
            "/apis/apps/v1/namespaces/{}/daemonsets/{NAME}-collector",
            self.namespace
        );
        wait_until("the DaemonSet", LIMIT, || rig.object(&path)).await?;
        rig.until(&self.namespace, NAME, "IdentityReady", ("True", "Verified"))
            .await;
        rig.until(&self.namespace, NAME, "Ready", ("False", "NoEligibleNodes"))
            .await;
        Ok(())
    }

    /// And waits until the operator has put it back.
    async fn edit_service(&self, rig: &Rig, port: u16) -> anyhow::Result<()> {
        let path = self.path(&format!("services/{NAME}"));
        let before = rig.object(&path).await?;
        let edit = json!([{ "op": "replace", "path": "/spec/ports/0/targetPort", "value": port }]);
        rig.api.patch(&path, Patch::Json(&edit)).await?.success()?;
        wait_until("repair of the Service", LIMIT, || async {
            let now = rig.object(&path).await?;
            ensure!(now["spec"]["ports"] == before["spec"]["ports"], "{}", now["spec"]);
            Ok(())
        })
        .await
    }

    /// Waits until somebody can read which right is missing.
    async fn is_named(&self, rig: &Rig, operator: &OwnOperator) -> anyhow::Result<()> {
        let words = self.words();
        if self.is_told_in_a_condition() {
            return wait_until(&format!("condition with {words}"), LIMIT, || async {
                let pipeline = rig.pipeline(&self.namespace, NAME).await?;
                let told = ["Ready", "IdentityReady"]
                    .iter()
                    .any(|kind| message(&pipeline, kind).contains(&words));
                ensure!(told, "{}", pipeline["status"]["conditions"]);
                Ok(())
            })
            .await;
        }
        let Right { verb, resource, .. } = &self.right;
        let series = format!("tracepipe_operator_forbidden_total{{verb=\"{verb}\",resource=\"{resource}\"}}");
        wait_until(&format!("log and metric with {words}"), LIMIT, || async {
            let place = format!("namespace \\\"{}\\\"", self.namespace);
            let log = operator.log();
            let in_log = log
                .lines()
                .any(|line| line.contains(&words.replace('"', "\\\"")) && line.contains(&place));
            ensure!(in_log, "the log does not say {words} of {place}");
            ensure!(operator.metrics().await?.contains(&series), "no {series}");
            Ok(())
        })
        .await?;
        // The resource is known, so that something can be said of it.
        if resource == "tracingpipelines/status" {
            let events = format!("/apis/events.k8s.io/v1/namespaces/{}/events", self.namespace);
            wait_until("event", LIMIT, || async {
                let events = rig.list(&events).await?;
                let told = events
                    .iter()
                    .any(|event| event["note"].as_str().unwrap_or_default().contains(&words));
                ensure!(told, "{} events", events.len());
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Waits until nobody is told any more, and what was to be done is done.
    async fn is_well(&self, rig: &Rig) -> anyhow::Result<()> {
        let words = self.right.words();
        wait_until(&format!("work with {words}"), LIMIT, || async {
            if words == "delete daemonsets" {
                ensure!(rig.pipeline(&self.namespace, NAME).await.is_err(), "it is there");
                return Ok(());
            }
            let pipeline = rig.pipeline(&self.namespace, NAME).await?;
            let said = pipeline["status"]["conditions"].to_string();
            ensure!(
                !said.contains("cannot ") && !said.contains("is missing"),
                "{said}"
            );
            let (reason, identity) = match words.as_str() {
                "list events" => ("Forbidden", "Ambient"),
                "delete configmaps" => ("Ready", "Ambient"),
                _ => ("NoEligibleNodes", "Verified"),
            };
            ensure!(condition(&pipeline, "Ready").1 == reason, "{said}");
            ensure!(condition(&pipeline, "IdentityReady").1 == identity, "{said}");
            if words == "delete configmaps" {
                let old = rig.api.get(&self.path("configmaps/old")).await?.found()?;
                ensure!(old.is_none(), "the old configuration is there");
            }
            Ok(())
        })
        .await
    }
}

/// An operator, the ServiceAccount it is, and what it lacks where.
struct Scene {
    account: Account,
    operator: OwnOperator,
    cases: Vec<Case>,
}

/// What the chart gives.
struct Rights {
    in_cluster: Vec<Right>,
    of_nodes: Vec<Right>,
    in_namespaces: Vec<Right>,
}

/// Rights in a namespace, but for the one that is missing there.
fn without(rights: &[Right], missing: &Right) -> Vec<Right> {
    rights.iter().filter(|right| *right != missing).cloned().collect()
}

/// Does it for all cases at once: most of it is waiting.
async fn for_each<Doing>(cases: &[Case], what: impl Fn(Case) -> Doing)
where
    Doing: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut all = JoinSet::new();
    for case in cases {
        let words = case.right.words();
        let doing = what(case.clone());
        all.spawn(async move { doing.await.with_context(|| format!("without {words}")) });
    }
    let outcomes = all.join_all().await;
    let failed: Vec<String> = outcomes
        .into_iter()
        .filter_map(|outcome| outcome.err().map(|error| format!("{error:#}")))
        .collect();
    assert!(
        failed.is_empty(),
        "{} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

impl Rights {
    /// Namespaces with their pipelines, then the operator: some rights are needed only when it begins to look.
    async fn set(
        &self,
        (rig, aws): (&Rig, &Aws),
        (name, in_cluster): (&str, &[Right]),
        cases: Vec<Case>,
        whole: Option<&str>,
    ) -> Scene {
        let account = Account::make(rig, name).await.unwrap();
        account.grant_in_cluster(rig, in_cluster).await.unwrap();
        let mut namespaces: Vec<&str> = cases.iter().map(|case| &*case.namespace).collect();
        for case in &cases {
            rig.make_namespace(&case.namespace).await.unwrap();
            let rights = without(&self.in_namespaces, &case.right);
            account.grant(rig, &case.namespace, &rights).await.unwrap();
            case.prepare(rig).await.unwrap();
            rig.create(&case.namespace, NAME, &case.spec()).await.unwrap();
        }
        if let Some(whole) = whole {
            rig.make_namespace(whole).await.unwrap();
            account.grant(rig, whole, &self.in_namespaces).await.unwrap();
            rig.create(whole, NAME, &nowhere()).await.unwrap();
            namespaces.push(whole);
        }
        let operator = aws.operator_as(account.kubeconfig(), &namespaces.join(",")).await;
        Scene {
            account,
            operator,
            cases,
        }
    }
}

/// The rights of the ClusterRole to TracingPipelines are given in each namespace here, so that they can be missing in one;
/// nodes are the cluster's, so there is an operator for each right to them.
#[tokio::test(flavor = "multi_thread")]
async fn each_right_that_is_missing_is_named_where_it_is_and_missed_no_longer_and_none_is_spare() {
    let Some(rig) = rig().await else { return };
    let rig = Arc::new(rig);
    let aws = Aws::start(&rig).await.unwrap();
    let place = audit_place();
    let (in_cluster, mut in_namespaces) = shipped(&rig).await.unwrap();
    let (of_nodes, of_pipelines): (Vec<_>, Vec<_>) = in_cluster
        .iter()
        .cloned()
        .partition(|right| right.resource == "nodes");
    in_namespaces.extend(of_pipelines);
    assert!(
        of_nodes.len() >= 2 && in_namespaces.len() >= 20,
        "{in_namespaces:?}"
    );

    let cases = in_namespaces.iter().cloned().map(Case::of).collect();
    let rights = Rights {
        in_cluster,
        of_nodes,
        in_namespaces,
    };
    let scene = rights
        .set((&rig, &aws), ("tp-rights", &rights.of_nodes), cases, Some(WHOLE))
        .await;
    let mut others = Vec::new();
    for right in &rights.of_nodes {
        let name = format!("tp-rights-{}-nodes", right.verb);
        let missing = without(&rights.of_nodes, right);
        let cases = vec![Case::of(right.clone())];
        others.push(rights.set((&rig, &aws), (&name, &missing), cases, None).await);
    }
    let user = scene.account.user();
    let rights = Arc::new(rights);
    let mut playing = JoinSet::new();
    for scene in others.into_iter().chain([scene]) {
        playing.spawn(play(Arc::clone(&rig), scene, Arc::clone(&rights)));
    }
    playing.join_all().await;

    let used = rights_used_since(place, &user);
    let all = rights.in_namespaces.iter().chain(&rights.of_nodes);
    let spare: Vec<String> = all
        // Asked for by the API server itself, when it looks at an owner reference: its case shows that.
        .filter(|right| right.resource != "tracingpipelines/finalizers")
        .filter(|right| !used.contains(right))
        .map(Right::words)
        .collect();
    assert_eq!(spare, Vec::<String>::new(), "of what was used: {used:?}");
}

/// From the first complaint to the end of the namespaces.
async fn play(rig: Arc<Rig>, scene: Scene, rights: Arc<Rights>) {
    let scene = Arc::new(scene);
    let has_whole = scene.cases.len() > 1;
    for_each(&scene.cases, |case| {
        let (rig, scene) = (Arc::clone(&rig), Arc::clone(&scene));
        async move {
            case.provoke(&rig).await?;
            case.is_named(&rig, &scene.operator).await
        }
    })
    .await;
    if has_whole {
        others_reconcile(&rig).await;
    }
    // Rights that are given work without anybody's doing.
    let Scene {
        account, operator, ..
    } = &*scene;
    account.grant_in_cluster(&rig, &rights.of_nodes).await.unwrap();
    for case in &scene.cases {
        let whole = &rights.in_namespaces;
        account.grant(&rig, &case.namespace, whole).await.unwrap();
    }
    for_each(&scene.cases, |case| {
        let rig = Arc::clone(&rig);
        async move { case.is_well(&rig).await }
    })
    .await;
    let seen = operator.log() + &operator.metrics().await.unwrap();
    for secret in [SECRET, account.token()] {
        assert!(!seen.contains(secret), "a secret is in the log or the metrics");
    }
    // What goes is let go of by rights that do not go with it; and with its operator, or the roles would hold it.
    account.grant_in_cluster(&rig, &rights.in_cluster).await.unwrap();
    for case in &scene.cases {
        rig.remove(&case.namespace, None).await.unwrap();
    }
    if has_whole {
        rig.remove(WHOLE, None).await.unwrap();
    }
    for_each(&scene.cases, |case| {
        let rig = Arc::clone(&rig);
        async move { is_gone(&rig, &case.namespace).await }
    })
    .await;
}

/// Whatever is missing beside them.
async fn others_reconcile(rig: &Rig) {
    let changed = json!({ "samplingRatePercentage": 11 });
    rig.change(WHOLE, NAME, changed).await.unwrap();
    let pipeline = rig
        .until(WHOLE, NAME, "Ready", ("False", "NoEligibleNodes"))
        .await;
    assert_eq!(pipeline["status"]["effective"]["samplingRatePercentage"], "11");
    assert_eq!(condition(&pipeline, "IdentityReady").1, "Verified");
    let said = pipeline["status"]["conditions"].to_string();
    assert!(!said.contains("cannot "), "{said}");
}

async fn is_gone(rig: &Rig, namespace: &str) -> anyhow::Result<()> {
    let path = format!("/api/v1/namespaces/{namespace}");
    wait_until(&format!("end of {namespace}"), LIMIT, || async {
        ensure!(rig.api.get(&path).await?.found()?.is_none(), "it is there");
        Ok(())
    })
    .await
}

use serde_json::json;

use super::*;
use crate::testing::api_server::ApiServer as Fake;
use crate::testing::*;

const ACCOUNT: &str = "/api/v1/namespaces/tracing/serviceaccounts/otel-collector-collector";
const SERVICE: &str = "/api/v1/namespaces/tracing/services/otel-collector";
const DAEMON_SET: &str = "/apis/apps/v1/namespaces/tracing/daemonsets/otel-collector-collector";
const CONFIG_MAPS: &str = "/api/v1/namespaces/tracing/configmaps";
const KEY: &str = "tracing/otel-collector";

/// An operator before an API server.
struct Operator {
    fake: Fake,
    context: Context,
    pipeline: TracingPipeline,
}

impl Operator {
    fn new() -> Self {
        let fake = Fake::default();
        let context = Context::new(fake.client(), settings(), facts());
        Self {
            fake,
            context,
            pipeline: minimal(),
        }
    }

    /// One whose objects are all there.
    async fn settled() -> Self {
        let operator = Self::new();
        assert!(operator.pass().await.unwrap().is_whole());
        operator.fake.writes();
        operator
    }

    fn plan(&self) -> Plan {
        plain_plan(&self.pipeline)
    }

    fn config_map(&self) -> String {
        format!("{CONFIG_MAPS}/{}", self.plan().config_map)
    }

    fn namespace(&self) -> Namespace {
        Namespace::new(self.fake.client(), "tracing".to_owned())
    }

    async fn children(&self) -> Children {
        Children::observe(&self.pipeline, Some(&self.plan()), &self.namespace())
            .await
            .unwrap()
    }

    async fn pass(&self) -> Result<Applied, PassError> {
        apply(
            &self.pipeline,
            &self.plan(),
            self.children().await,
            &self.namespace(),
            &self.context,
        )
        .await
    }

    async fn prune(&self, pods: &[PodFacts]) {
        prune(&self.pipeline, &self.plan(), pods.iter(), &self.namespace())
            .await
            .unwrap();
    }

    /// What a pass told, and what it wrote.
    async fn told(&self) -> (Vec<String>, Vec<String>) {
        let applied = self.pass().await.unwrap();
        assert_eq!(applied.failure, None);
        let reasons = applied.happenings.into_iter().map(|one| one.reason).collect();
        (reasons, self.fake.writes())
    }
}

#[tokio::test]
async fn a_pipeline_is_made_in_the_plans_order_and_then_left_alone() {
    let operator = Operator::new();
    let applied = operator.pass().await.unwrap();
    assert!(applied.is_whole());
    assert!(applied.happenings.is_empty());
    assert_eq!(applied.daemon_set.unwrap().revision, operator.plan().revision);
    let creates: Vec<String> = operator
        .fake
        .writes()
        .into_iter()
        .filter(|write| write.starts_with("POST"))
        .collect();
    let kinds: Vec<&str> = creates
        .iter()
        .map(|write| write.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(kinds, ["serviceaccounts", "configmaps", "services", "daemonsets"]);
    for object in [ACCOUNT, SERVICE, DAEMON_SET, &operator.config_map()] {
        assert!(drift::is_applied(&operator.fake.get(object).unwrap()), "{object}");
    }
    for _ in 0..3 {
        assert_eq!(operator.told().await, (vec![], vec![]));
    }
}

#[tokio::test]
async fn a_hand_edit_is_put_back_with_one_write_and_told_once() {
    let operator = Operator::settled().await;
    operator.fake.edit(SERVICE, |service| {
        service["spec"]["internalTrafficPolicy"] = json!("Local")
    });
    assert_eq!(
        operator.told().await,
        (vec!["Repaired".to_owned()], vec![format!("PATCH {SERVICE}")])
    );
    assert_eq!(
        operator.fake.get(SERVICE).unwrap()["spec"]["internalTrafficPolicy"],
        "Cluster"
    );
    assert_eq!(operator.told().await, (vec![], vec![]));
}

#[tokio::test]
async fn a_new_plan_is_written_and_is_no_repair() {
    let mut operator = Operator::settled().await;
    operator.pipeline = with_spec(json!({"service": {"trafficPolicy": "Cluster"}}));
    assert_eq!(operator.told().await, (vec![], vec![format!("PATCH {SERVICE}")]));
}

#[tokio::test]
async fn what_somebody_else_adds_is_left_alone() {
    let operator = Operator::settled().await;
    operator.fake.edit(DAEMON_SET, |it| {
        it["spec"]["template"]["metadata"]["annotations"]["restartedAt"] = json!("now")
    });
    assert_eq!(operator.told().await, (vec![], vec![]));
}

#[tokio::test]
async fn an_edited_port_number_is_put_back() {
    let operator = Operator::settled().await;
    operator.fake.edit(SERVICE, |service| {
        service["spec"]["ports"][1]["port"] = json!(9999)
    });
    let (told, _) = operator.told().await;
    assert_eq!(told, ["Repaired"]);
    let ports = &operator.fake.get(SERVICE).unwrap()["spec"]["ports"];
    assert_eq!(ports, &planned(&operator.plan(), Kind::Service)["spec"]["ports"]);
    assert_eq!(operator.told().await, (vec![], vec![]));
}

/// The operator ended between its create and what follows.
#[tokio::test]
async fn a_create_that_was_not_followed_up_is_followed_up() {
    let operator = Operator::settled().await;
    operator.fake.edit(ACCOUNT, |account| {
        account["metadata"]["managedFields"][0]["operation"] = json!("Update")
    });
    assert_eq!(operator.told().await.0, [""; 0]);
    assert!(drift::is_applied(&operator.fake.get(ACCOUNT).unwrap()));
    assert_eq!(operator.told().await, (vec![], vec![]));
}

#[tokio::test]
async fn managed_fields_that_were_reset_are_made_ours_again() {
    let operator = Operator::settled().await;
    operator.fake.edit(ACCOUNT, |account| {
        account["metadata"]["managedFields"] = json!([])
    });
    assert_eq!(operator.told().await, (vec![], vec![format!("PATCH {ACCOUNT}")]));
    assert_eq!(operator.told().await, (vec![], vec![]));
}

/// The DaemonSet controller writes the status of a new DaemonSet at once.
#[tokio::test]
async fn a_write_by_somebody_else_in_between_is_no_failure() {
    let operator = Operator::new();
    operator.fake.interrupt(3);
    let applied = operator.pass().await.unwrap();
    assert_eq!(applied.failure, None);
    assert!(drift::is_applied(&operator.fake.get(DAEMON_SET).unwrap()));
}

#[tokio::test]
async fn what_admission_rewrites_is_applied_once_and_told_once() {
    let operator = Operator::settled().await;
    let image = "/spec/template/spec/containers/0/image";
    operator.fake.admit_by(Some(|object| {
        if let Some(image) = object.pointer_mut("/spec/template/spec/containers/0/image") {
            *image = json!("mirror.example/collector");
        }
    }));
    operator.fake.edit(DAEMON_SET, |_| {});
    assert_eq!(
        operator.told().await,
        (vec!["Rewritten".to_owned()], vec![format!("PATCH {DAEMON_SET}")])
    );
    for _ in 0..3 {
        assert_eq!(operator.told().await, (vec![], vec![]));
    }
    // Any other edit is a reason to try once more.
    operator
        .fake
        .edit(DAEMON_SET, |it| it["spec"]["minReadySeconds"] = json!(7));
    assert_eq!(operator.told().await.1, [format!("PATCH {DAEMON_SET}")]);
    assert_eq!(operator.told().await, (vec![], vec![]));
    operator.fake.admit_by(None);
    operator
        .fake
        .edit(DAEMON_SET, |it| it["metadata"]["labels"]["foreign"] = json!("x"));
    assert_eq!(operator.told().await.0, ["Repaired"]);
    assert_eq!(
        operator.fake.get(DAEMON_SET).unwrap().pointer(image),
        Some(&json!(settings().collector_image))
    );
}

#[tokio::test]
async fn a_refusal_is_told_and_nothing_behind_it_is_written() {
    for (code, refuse) in [
        (
            403,
            (|said| said.starts_with("POST").then_some(403)) as fn(&str) -> Option<u16>,
        ),
        (422, |said| said.starts_with("POST").then_some(422)),
    ] {
        let operator = Operator::new();
        operator.fake.refuse(Some(refuse));
        let applied = operator.pass().await.unwrap();
        assert_eq!(
            applied.failure.as_deref(),
            Some(
                r#"ServiceAccount otel-collector-collector: serviceaccounts "" is forbidden: User "operator" cannot create resource "serviceaccounts" in API group "" in the namespace "tracing""#
            ),
            "{code}"
        );
        assert!(!applied.is_whole());
        assert_eq!(operator.fake.writes().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn a_refused_change_leaves_the_daemon_set_to_be_judged() {
    let mut operator = Operator::settled().await;
    operator.pipeline = with_spec(json!({"samplingRatePercentage": 20}));
    operator.fake.refuse(Some(|said| {
        said.contains("configmaps")
            .then_some(403)
            .filter(|_| said.starts_with("POST"))
    }));
    let applied = operator.pass().await.unwrap();
    assert!(
        applied
            .failure
            .unwrap()
            .starts_with("ConfigMap otel-collector-collector-")
    );
    assert_eq!(
        applied.daemon_set.unwrap().revision,
        plain_plan(&minimal()).revision
    );
}

#[tokio::test]
async fn what_may_pass_is_tried_again_before_it_is_told() {
    for (code, refuse) in [
        (
            500,
            (|said| said.starts_with("POST").then_some(500)) as fn(&str) -> Option<u16>,
        ),
        (429, |said| said.starts_with("POST").then_some(429)),
        (409, |said| said.starts_with("POST").then_some(409)),
        (401, |said| said.starts_with("POST").then_some(401)),
    ] {
        let operator = Operator::new();
        operator.fake.refuse(Some(refuse));
        for failures in 0..PATIENCE {
            operator
                .context
                .remember(KEY, |memory| memory.failures = failures);
            assert!(operator.pass().await.is_err(), "{code}");
        }
        operator
            .context
            .remember(KEY, |memory| memory.failures = PATIENCE);
        let applied = operator.pass().await.unwrap();
        assert!(applied.failure.is_some(), "{code}");
    }
}

fn foreign(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "tracing", "uid": "foreign", "resourceVersion": "1"}, "spec": {"a": 1}})
}

#[tokio::test]
async fn a_foreign_object_is_a_conflict() {
    for (path, conflict) in [
        (SERVICE, "Service otel-collector is"),
        (ACCOUNT, "ServiceAccount otel-collector-collector is"),
        (DAEMON_SET, "DaemonSet otel-collector-collector is"),
    ] {
        let operator = Operator::new();
        operator.fake.put(path, foreign("any"));
        let children = operator.children().await;
        assert_eq!(children.conflicts, [conflict]);
        let applied = Applied::untouched(children);
        assert_eq!(applied.daemon_set, None);
        assert!(!applied.is_whole());
        assert_eq!(operator.fake.writes(), [""; 0]);
    }
}

/// The reads found nothing; then somebody was faster.
#[tokio::test]
async fn an_object_that_somebody_else_makes_meanwhile_is_not_touched() {
    let operator = Operator::new();
    let children = operator.children().await;
    operator.fake.put(SERVICE, foreign("otel-collector"));
    let before = operator.fake.get(SERVICE);
    let applied = apply(
        &operator.pipeline,
        &operator.plan(),
        children,
        &operator.namespace(),
        &operator.context,
    )
    .await;
    assert!(applied.is_err());
    assert_eq!(operator.fake.get(SERVICE), before);
    assert_eq!(operator.fake.get(DAEMON_SET), None);
}

/// Ours when it was read, deleted and made anew by somebody else before the apply.
#[tokio::test]
async fn an_object_that_becomes_another_meanwhile_is_not_touched() {
    let operator = Operator::settled().await;
    operator.fake.edit(SERVICE, |service| {
        service["spec"]["internalTrafficPolicy"] = json!("Local")
    });
    let children = operator.children().await;
    operator.fake.put(SERVICE, foreign("otel-collector"));
    let before = operator.fake.get(SERVICE);
    let applied = apply(
        &operator.pipeline,
        &operator.plan(),
        children,
        &operator.namespace(),
        &operator.context,
    )
    .await;
    assert!(applied.is_err());
    assert_eq!(operator.fake.get(SERVICE), before);
}

#[tokio::test]
async fn nothing_is_written_while_something_of_this_name_is_being_removed() {
    let operator = Operator::settled().await;
    operator.fake.edit(SERVICE, |it| {
        it["metadata"]["ownerReferences"] = json!([owned_by("otel-collector", "older")])
    });
    let applied = operator.pass().await.unwrap();
    assert_eq!(
        applied.failure.as_deref(),
        Some("objects of this name are still being removed")
    );
    let leaving = Operator::settled().await;
    leaving.fake.edit(DAEMON_SET, |it| {
        it["metadata"]["deletionTimestamp"] = json!("2026-11-21T12:00:00Z")
    });
    leaving
        .fake
        .edit(SERVICE, |it| it["spec"]["internalTrafficPolicy"] = json!("Local"));
    assert!(leaving.pass().await.unwrap().failure.is_some());
    assert_eq!(operator.fake.writes(), [""; 0]);
    assert_eq!(leaving.fake.writes(), [""; 0]);
}

#[tokio::test]
async fn only_config_maps_of_ours_that_no_pod_mounts_are_removed() {
    let operator = Operator::settled().await;
    let of = |name: &str, owner: Value| {
        let metadata = json!({"name": name, "uid": name, "ownerReferences": owner});
        (format!("{CONFIG_MAPS}/{name}"), json!({"metadata": metadata}))
    };
    let ours = || json!([owned_by("otel-collector", UID)]);
    for (path, object) in [
        of("old", ours()),
        of("mounted", ours()),
        of("foreign", json!([])),
        of("others", json!([owned_by("b", "b")])),
    ] {
        operator.fake.put(&path, object);
    }
    let pods = [PodFacts {
        config_maps: vec!["mounted".to_owned()],
        ..PodFacts::default()
    }];
    operator.prune(&pods).await;
    assert_eq!(operator.fake.writes(), [format!("DELETE {CONFIG_MAPS}/old")]);
    operator.prune(&pods).await;
    assert_eq!(operator.fake.writes(), [""; 0]);
    operator.prune(&[]).await;
    assert_eq!(operator.fake.writes(), [format!("DELETE {CONFIG_MAPS}/mounted")]);
    assert!(operator.fake.get(&operator.config_map()).is_some());
}

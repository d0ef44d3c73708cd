//! Each of the operator's rights in Kubernetes, taken away.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Whether a call (method and path) is made with the right that is taken away.
type Taken = fn(&str) -> Option<u16>;

fn denied(call: &str, method: &str, kind: &str) -> Option<u16> {
    let path = call.strip_prefix(method)?.trim_start();
    let is_kind = path.split('/').any(|part| part == kind) && !path.ends_with("/token");
    is_kind.then_some(403)
}

/// What lacks, the right that is taken away, and the condition that names it.
const CASES: [(&str, Taken, &str); 13] = [
    (
        "serviceaccounts",
        |call| denied(call, "GET", "serviceaccounts"),
        "False/ApplyFailed",
    ),
    (
        "serviceaccounts",
        |call| denied(call, "POST", "serviceaccounts"),
        "False/ApplyFailed",
    ),
    (
        "serviceaccounts",
        |call| denied(call, "PATCH", "serviceaccounts"),
        "False/ApplyFailed",
    ),
    (
        "configmaps",
        |call| denied(call, "GET", "configmaps"),
        "False/ApplyFailed",
    ),
    (
        "configmaps",
        |call| denied(call, "POST", "configmaps"),
        "False/ApplyFailed",
    ),
    (
        "configmaps",
        |call| denied(call, "PATCH", "configmaps"),
        "False/ApplyFailed",
    ),
    (
        "services",
        |call| denied(call, "GET", "services"),
        "False/ApplyFailed",
    ),
    (
        "services",
        |call| denied(call, "POST", "services"),
        "False/ApplyFailed",
    ),
    (
        "services",
        |call| denied(call, "PATCH", "services"),
        "False/ApplyFailed",
    ),
    (
        "daemonsets",
        |call| denied(call, "GET", "daemonsets"),
        "False/ApplyFailed",
    ),
    (
        "daemonsets",
        |call| denied(call, "POST", "daemonsets"),
        "False/ApplyFailed",
    ),
    (
        "daemonsets",
        |call| denied(call, "PATCH", "daemonsets"),
        "False/ApplyFailed",
    ),
    // The finalizer; the status is a right of its own.
    (
        "tracingpipelines",
        |call| denied(call, "PATCH", "tracingpipelines").filter(|_| !call.ends_with("/status")),
        "False/ApplyFailed",
    ),
];

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_is_named_in_ready_and_missed_no_longer_than_it_is() {
    for (resource, taken, says) in CASES {
        let world = World::new(&json!({}));
        world.api.refuse(Some(taken));
        let operator = world.live(world.operator(), MINUTE * 5).await;
        assert_eq!(world.says(types::READY), says, "{resource}");
        let message = world.message(types::READY);
        assert!(
            message.contains(resource) && message.contains("forbidden"),
            "{resource}: {message}"
        );
        world.api.refuse(None);
        // The longest pause after failures.
        world.live(operator, MINUTE * 12).await;
        assert_eq!(world.says(types::READY), "True/Ready", "{resource}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_ask_for_tokens_pods_start_and_the_condition_says_which() {
    let world = World::new(&json!({}));
    world
        .api
        .refuse(Some(|call| call.ends_with("/token").then_some(403)));
    let operator = world.live(world.operator(), MINUTE * 2).await;
    assert_eq!(world.says(types::IDENTITY_READY), "Unknown/TokenForbidden");
    assert!(
        world
            .message(types::IDENTITY_READY)
            .contains("serviceaccounts/token")
    );
    assert_eq!(world.says(types::READY), "True/Ready");
    world.api.refuse(None);
    world.live(operator, MINUTE).await;
    assert_eq!(world.says(types::IDENTITY_READY), "True/Verified");
}

/// Old configurations stay, which is told, once.
#[tokio::test(start_paused = true)]
async fn without_the_right_to_remove_old_config_maps_ready_says_so_and_rests() {
    let world = settled(json!({})).await;
    world
        .api
        .refuse(Some(|call| denied(call, "DELETE", "configmaps")));
    change_spec(&world, &json!({"samplingRatePercentage": 50}));
    let operator = world.live(world.operator(), MINUTE * 2).await;
    assert_eq!(world.says(types::READY), "False/ApplyFailed");
    assert!(world.message(types::READY).contains("configmaps"));
    let operator = world.live(operator, MINUTE * 2).await;
    let told = world
        .faults
        .writes()
        .into_iter()
        .filter(|write| write.ends_with("/status"));
    assert_eq!(told.count(), 0);
    world.api.refuse(None);
    world.live(operator, MINUTE * 2).await;
    assert_eq!(world.says(types::READY), "True/Ready");
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_end_collectors_a_deletion_says_so() {
    let world = settled(json!({})).await;
    world
        .api
        .refuse(Some(|call| denied(call, "DELETE", "daemonsets")));
    delete_pipeline(&world);
    let operator = world.live(world.operator(), MINUTE).await;
    assert_eq!(world.says(types::IDENTITY_READY), "False/Forbidden");
    assert!(world.message(types::IDENTITY_READY).contains("daemonsets"));
    world.api.refuse(None);
    world.live(operator, MINUTE).await;
    assert_eq!(world.api.get(PIPELINE), None);
}

/// What a watch says, twice: once may be an API server that has just started.
async fn refuse_watch(operator: &Context, kind: &'static str) {
    for _ in 0..2 {
        let words =
            format!(r#"{kind} is forbidden: User "operator" cannot watch resource "{kind}" in API group """#);
        let answer = kube::core::Status::failure(&words, "Forbidden").with_code(403);
        let error = kube::runtime::watcher::Error::WatchStartFailed(Error::Api(answer.boxed()));
        let refused: Result<kube::runtime::watcher::Event<()>, _> = Err(error);
        assert!(operator.stores.refusals.hear(kind, refused).is_none());
        tokio::time::sleep(Duration::from_secs(6)).await;
    }
}

/// What was listed once grows old.
#[tokio::test(start_paused = true)]
async fn without_the_right_to_watch_pods_ready_says_so_and_nothing_rests_on_old_ones() {
    let world = settled(json!({})).await;
    let operator = world.live(world.operator(), MINUTE).await;
    refuse_watch(&operator, "pods").await;
    change_spec(&world, &json!({"samplingRatePercentage": 50}));
    let operator = world.live(operator, Duration::from_secs(20)).await;
    assert_eq!(world.says(types::READY), "False/ApplyFailed");
    assert!(
        world
            .message(types::READY)
            .contains(r#"cannot watch resource "pods""#)
    );
    assert!(
        operator
            .metrics
            .render()
            .contains(r#"forbidden_total{verb="watch",resource="pods"} 2"#)
    );
    world.live(operator, MINUTE * 2).await;
    assert_eq!(world.says(types::READY), "True/Ready");
}

/// The operator still does everything, but later.
#[tokio::test(start_paused = true)]
async fn without_the_right_to_watch_what_it_makes_ready_stays_and_says_so() {
    let world = settled(json!({})).await;
    let operator = world.live(world.operator(), MINUTE).await;
    refuse_watch(&operator, "services").await;
    change_spec(&world, &json!({"samplingRatePercentage": 50}));
    let operator = world.live(operator, Duration::from_secs(40)).await;
    assert_eq!(world.says(types::READY), "True/Ready");
    assert!(
        world
            .message(types::READY)
            .contains(r#"cannot watch resource "services""#)
    );
    let quiet = world.live(operator, Duration::from_secs(10)).await;
    world.live(quiet, MINUTE).await;
    assert_eq!(world.says(types::READY), "True/Ready");
    assert!(!world.message(types::READY).contains("services"));
}

/// An event that nobody may write is not lost: it is written when it may be.
#[tokio::test(start_paused = true)]
async fn without_the_right_to_write_events_ready_says_so_and_the_last_one_comes_later() {
    let world = settled(json!({})).await;
    let operator = world.live(world.operator(), MINUTE).await;
    world.api.refuse(Some(|call| denied(call, "POST", "events")));
    change_spec(
        &world,
        &json!({"identity": {"roleArn": "arn:aws:iam::111122223333:role/x"}}),
    );
    let operator = world.live(operator, MINUTE * 5).await;
    assert_eq!(world.api.events(), Vec::<String>::new());
    assert_eq!(world.says(types::READY), "False/AssumeRoleDenied");
    assert!(
        world
            .message(types::READY)
            .contains(r#"cannot create resource "events""#)
    );
    world.api.refuse(None);
    world.live(operator, MINUTE).await;
    assert_eq!(world.api.events(), ["AssumeRoleDenied"]);
    assert!(!world.message(types::READY).contains("events"));
}

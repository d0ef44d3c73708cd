//! What those make of a status who wait for it: kstatus (Helm 4, Flux) and `kubectl wait`.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kstatus {
    Current,
    InProgress,
    Failed,
}

/// kstatus' rules for a resource that it has no own rules for.
/// <https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>
fn kstatus(pipeline: &Value) -> Kstatus {
    let status = &pipeline["status"];
    let observed = &status["observedGeneration"];
    if !observed.is_null() && *observed != pipeline["metadata"]["generation"] {
        return Kstatus::InProgress;
    }
    let conditions = status["conditions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let status_of = |kind: &str| {
        conditions
            .iter()
            .find(|one| one["type"] == kind)
            .map(|one| &one["status"])
    };
    for (kind, means) in [("Reconciling", Kstatus::InProgress), ("Stalled", Kstatus::Failed)] {
        if status_of(kind).is_some_and(|status| status == "True") {
            return means;
        }
    }
    match status_of("Ready") {
        Some(status) if status != "True" => Kstatus::InProgress,
        Some(_) | None => Kstatus::Current,
    }
}

/// `kubectl wait --for=condition=Ready`: an old condition does not count.
fn kubectl_waits(pipeline: &Value) -> bool {
    let conditions = pipeline["status"]["conditions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let ready = conditions.iter().find(|one| one["type"] == "Ready");
    !ready.is_some_and(|ready| {
        ready["status"] == "True" && ready["observedGeneration"] == pipeline["metadata"]["generation"]
    })
}

fn seen(story: &Story) -> (Kstatus, bool) {
    let pipeline = serde_json::to_value(&story.pipeline).unwrap();
    (kstatus(&pipeline), kubectl_waits(&pipeline))
}

#[test]
fn those_who_wait_are_told_what_is_true() {
    let tell = |change: &dyn Fn(&mut Story)| {
        let mut story = Story::new();
        change(&mut story);
        story.pass();
        seen(&story)
    };
    assert_eq!(tell(&|it| it.rollout = complete()), (Kstatus::Current, false));
    assert_eq!(tell(&|_| {}), (Kstatus::InProgress, true));
    assert_eq!(
        tell(&|it| it.rollout = failing(reasons::IMAGE_PULL)),
        (Kstatus::InProgress, true)
    );
    assert_eq!(
        tell(&|it| it.rollout = failing(reasons::NO_ELIGIBLE_NODES)),
        (Kstatus::InProgress, true)
    );
    assert_eq!(
        tell(&|it| it.failure = Some("forbidden")),
        (Kstatus::InProgress, true)
    );
    assert_eq!(
        tell(&|it| it.conflicts = vec!["Service a is".to_owned()]),
        (Kstatus::Failed, true)
    );
    let refused = json!({"memoryLimiter": {"spikeLimitMiB": 400}});
    assert_eq!(
        tell(&|it| it.change_spec(refused.clone())),
        (Kstatus::Failed, true)
    );
}

#[test]
fn a_new_spec_is_waited_for_before_the_operator_has_seen_it() {
    let mut story = Story::new();
    // As the API server makes it: the CRD's default.
    let mut unseen = serde_json::to_value(&story.pipeline).unwrap();
    unseen["status"] = json!({"observedGeneration": -1});
    assert_eq!(
        (kstatus(&unseen), kubectl_waits(&unseen)),
        (Kstatus::InProgress, true)
    );
    story.rollout = complete();
    story.pass();
    assert_eq!(seen(&story), (Kstatus::Current, false));
    story.change_spec(json!({"samplingRatePercentage": 20}));
    assert_eq!(seen(&story), (Kstatus::InProgress, true));
}

prop_compose! {
    fn any_turn()(
        rollout in select(vec![
            rolling(0), rolling(1), complete(), complete(), failing(reasons::IMAGE_PULL),
            failing(reasons::NO_ELIGIBLE_NODES), failing(reasons::NOT_APPLIED),
        ]),
        failure in select(vec![None, None, Some("forbidden")]),
        conflict in prop::bool::weighted(0.2),
        spec in select(vec![None, None, Some(json!({})), Some(json!({"memoryLimiter": {"spikeLimitMiB": 400}}))]),
        restart in prop::bool::weighted(0.1),
        wait in 0..15_i64,
    ) -> (Verdict, Option<&'static str>, bool, Option<Value>, bool, i64) {
        (rollout, failure, conflict, spec, restart, wait)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order.
    #[test]
    fn those_who_wait_and_ready_never_contradict_each_other(turns in prop::collection::vec(any_turn(), 1..30)) {
        let mut story = Story::new();
        // The CRD's default.
        story.pipeline.status = Some(TracingPipelineStatus::default());
        for (rollout, failure, conflict, spec, restart, wait) in turns {
            story.rollout = rollout;
            story.failure = failure;
            story.conflicts = if conflict { vec!["Service a is".to_owned()] } else { Vec::new() };
            if let Some(spec) = spec {
                story.change_spec(spec);
                let (kstatus, waits) = seen(&story);
                prop_assert!(waits && kstatus == Kstatus::InProgress);
            }
            if restart {
                story.restart();
            }
            let status = story.after(minutes(wait));
            let is = |kind: &str| find(&status.conditions, kind).is_some_and(|one| one.status == "True");
            let (ready, working, stalled) = (is(types::READY), is(types::RECONCILING), is(types::STALLED));
            prop_assert!(u8::from(ready) + u8::from(working) + u8::from(stalled) <= 1);
            let (kstatus, waits) = seen(&story);
            prop_assert_eq!(ready, !waits);
            prop_assert_eq!(ready, kstatus == Kstatus::Current);
            prop_assert_eq!(stalled, kstatus == Kstatus::Failed);
            let types: std::collections::BTreeSet<&str> = status.conditions.iter().map(|one| one.type_.as_str()).collect();
            prop_assert_eq!(types.len(), status.conditions.len());
            prop_assert!(status.conditions.iter().all(|one| !one.reason.is_empty() && !one.message.is_empty()));
        }
    }
}

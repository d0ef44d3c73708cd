mod stuck;
mod waiters;

use serde_json::json;

use super::*;
use crate::facts::{DaemonSetFacts, NodeFacts, PodFacts};
use crate::rollout::{Evidence, judge};
use crate::testing::*;
use crate::validate::validate;

fn start() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

/// A pipeline over time: what a pass finds, and what the last one wrote.
struct Story {
    pipeline: TracingPipeline,
    rollout: Verdict,
    conflicts: Vec<String>,
    failure: Option<&'static str>,
    identity: Option<identity::Verdict>,
    exporting: Option<exporting::Verdict>,
    managed_roles: Vec<String>,
    revision: &'static str,
    now: Timestamp,
    progress: Option<Progress>,
}

impl Story {
    fn new() -> Self {
        Self {
            pipeline: minimal(),
            rollout: rolling(0),
            conflicts: Vec::new(),
            failure: None,
            identity: Some(unproven()),
            exporting: None,
            managed_roles: Vec::new(),
            revision: "one",
            now: start(),
            progress: None,
        }
    }

    /// A pass; answers what was there before and what is written.
    fn pass(&mut self) -> (TracingPipelineStatus, TracingPipelineStatus) {
        let settings = settings();
        let config = validate(&self.pipeline, &settings, &facts());
        let findings = Findings {
            pipeline: &self.pipeline,
            settings: &settings,
            config: config.as_ref(),
            config_map: "otel-collector-collector-1",
            revision: self.revision,
            conflicts: &self.conflicts,
            failure: self.failure,
            identity: self.identity.as_ref(),
            exporting: self.exporting.as_ref(),
            managed_roles: &self.managed_roles,
            rollout: &self.rollout,
            hindered: &[],
            now: self.now,
        };
        let ready = works(&findings).then_some(self.rollout.ready);
        let generation = self.pipeline.metadata.generation.unwrap();
        let progress = Progress::next(self.progress.take(), generation, self.revision, ready, self.now);
        let new = status(&findings, &progress);
        self.progress = Some(progress);
        let old = self.pipeline.status.replace(new.clone()).unwrap_or_default();
        (old, new)
    }

    fn after(&mut self, time: SignedDuration) -> TracingPipelineStatus {
        self.now += time;
        self.pass().1
    }

    fn change_spec(&mut self, changes: serde_json::Value) {
        let generation = self.pipeline.metadata.generation.unwrap() + 1;
        let status = self.pipeline.status.take();
        self.pipeline = with_spec(changes);
        self.pipeline.metadata.generation = Some(generation);
        self.pipeline.status = status;
    }

    fn restart(&mut self) {
        self.progress = None;
    }
}

fn verdict_of(complete: bool, reason: &'static str, ready: usize, message: &str) -> Verdict {
    Verdict {
        complete,
        reason,
        message: message.to_owned(),
        desired: 2,
        ready,
        failing: Vec::new(),
        look_again: None,
    }
}

fn identity_of(ready: Option<bool>, reason: &'static str) -> identity::Verdict {
    identity::Verdict {
        ready,
        reason,
        message: "why".to_owned(),
        foreign: Vec::new(),
    }
}

fn unproven() -> identity::Verdict {
    identity_of(None, reasons::NOT_VERIFIED)
}

fn rolling(ready: usize) -> Verdict {
    verdict_of(
        false,
        reasons::ROLLING_OUT,
        ready,
        "some nodes have a working collector",
    )
}

fn complete() -> Verdict {
    verdict_of(
        true,
        reasons::ROLLOUT_COMPLETE,
        2,
        "all 2 nodes have a working collector",
    )
}

fn failing(reason: &'static str) -> Verdict {
    verdict_of(false, reason, 0, "why not")
}

fn condition<'a>(status: &'a TracingPipelineStatus, kind: &str) -> &'a Condition {
    find(&status.conditions, kind).unwrap_or_else(|| panic!("no {kind}"))
}

fn says(status: &TracingPipelineStatus, kind: &str) -> String {
    find(&status.conditions, kind).map_or("-".to_owned(), |one| format!("{}/{}", one.status, one.reason))
}

/// Ready, Reconciling, Stalled.
fn summary(status: &TracingPipelineStatus) -> [String; 3] {
    [types::READY, types::RECONCILING, types::STALLED].map(|kind| says(status, kind))
}

#[test]
fn a_rollout_that_is_complete_is_ready() {
    let mut story = Story::new();
    story.rollout = complete();
    let status = story.pass().1;
    assert_eq!(summary(&status), ["True/Ready", "-", "-"]);
    assert_eq!(says(&status, types::CONFIG_ACCEPTED), "True/Valid");
    assert_eq!(says(&status, types::IDENTITY_READY), "Unknown/NotVerified");
    assert_eq!(says(&status, types::COLLECTOR_AVAILABLE), "True/RolloutComplete");
    assert_eq!(says(&status, types::CONFLICTED), "-");
    assert_eq!(status.observed_generation, 1);
    let collector = status.collector.unwrap();
    assert_eq!(
        (
            collector.nodes.as_str(),
            collector.nodes_ready,
            collector.nodes_desired
        ),
        ("2/2", 2, 2)
    );
    assert_eq!(collector.config_map, "otel-collector-collector-1");
    assert_eq!(collector.image, settings().collector_image);
    let endpoints = status.endpoints.unwrap();
    assert_eq!(
        endpoints.grpc,
        "http://otel-collector.tracing.svc.cluster.local:4317"
    );
    assert_eq!(
        endpoints.http,
        "http://otel-collector.tracing.svc.cluster.local:4318"
    );
    assert_eq!(endpoints.traffic_policy, "PreferSameNode");
    let identity = status.identity.unwrap();
    assert_eq!(
        (identity.kind.as_str(), identity.role_arn.as_deref()),
        ("IRSA", Some(ROLE))
    );
    assert_eq!(identity.service_account_name, "otel-collector-collector");
    let effective = status.effective.unwrap();
    assert_eq!(
        (
            effective.region.as_deref(),
            effective.sampling_rate_percentage.as_str()
        ),
        (Some("eu-west-1"), "10")
    );
    assert_eq!(effective.exporters, ["xray"]);
}

/// What is found, and what Ready, Reconciling and Stalled say of it.
#[test]
fn what_is_wrong_is_the_reason_of_ready() {
    let refused = json!({"batch": {"sendBatchSize": 100, "sendBatchMaxSize": 10}});
    let tell = |change: &dyn Fn(&mut Story)| {
        let mut story = Story::new();
        change(&mut story);
        summary(&story.pass().1)
    };
    let conflict = || vec!["Service otel-collector is".to_owned()];
    assert_eq!(tell(&|_| {}), ["False/RollingOut", "True/RollingOut", "-"]);
    for reason in [
        reasons::IMAGE_PULL,
        reasons::CRASH_LOOP,
        reasons::FORBIDDEN,
        reasons::NOT_APPLIED,
    ] {
        let expected = [
            format!("False/{reason}"),
            format!("True/{reason}"),
            "-".to_owned(),
        ];
        assert_eq!(tell(&|it| it.rollout = failing(reason)), expected);
    }
    assert_eq!(
        tell(&|it| it.rollout = failing(reasons::NO_ELIGIBLE_NODES)),
        ["False/NoEligibleNodes", "-", "-"]
    );
    assert_eq!(
        tell(&|it| it.failure = Some("forbidden")),
        ["False/ApplyFailed", "True/ApplyFailed", "-"]
    );
    // Pods that still work do not make good what could not be applied.
    assert_eq!(
        tell(&|it| {
            it.failure = Some("forbidden");
            it.rollout = complete();
        }),
        ["False/ApplyFailed", "True/ApplyFailed", "-"]
    );
    assert_eq!(
        tell(&|it| {
            it.conflicts = conflict();
            it.rollout = complete();
        }),
        ["False/Conflicted", "-", "True/Conflicted"]
    );
    assert_eq!(
        tell(&|it| {
            it.change_spec(refused.clone());
            it.rollout = complete();
        }),
        ["False/InvalidConfig", "-", "True/InvalidConfig"]
    );
}

#[test]
fn a_conflict_names_what_is_in_other_hands_and_the_way_out() {
    let mut story = Story::new();
    story.conflicts = vec!["Service a is".to_owned(), "DaemonSet a-collector is".to_owned()];
    let status = story.pass().1;
    let message = &condition(&status, types::CONFLICTED).message;
    assert!(
        message.starts_with("Service a is, DaemonSet a-collector is not made by this"),
        "{message}"
    );
    assert!(message.contains("rename or remove"), "{message}");
    assert_eq!(&condition(&status, types::READY).message, message);
    // The address is not one to send traces to.
    assert_eq!(status.endpoints, None);
}

#[test]
fn a_refused_spec_keeps_what_is_true_of_the_running_pods() {
    let mut story = Story::new();
    story.rollout = complete();
    let before = story.pass().1;
    story.change_spec(json!({"clusterName": "other", "memoryLimiter": {"spikeLimitMiB": 400}}));
    let after = story.pass().1;
    assert_eq!(after.endpoints, before.endpoints);
    assert_eq!(after.identity, before.identity);
    assert_eq!(after.effective, before.effective);
    assert_eq!(after.collector, before.collector);
    assert_eq!(after.observed_generation, 2);
    assert_eq!(says(&after, types::COLLECTOR_AVAILABLE), "True/RolloutComplete");
    let message = &condition(&after, types::READY).message;
    assert!(
        message.contains("spec.memoryLimiter") && message.contains("pods were left as they are"),
        "{message}"
    );
    // A correction makes it whole again.
    story.change_spec(json!({}));
    assert_eq!(summary(&story.pass().1), ["True/Ready", "-", "-"]);
}

#[test]
fn what_was_never_true_is_not_told_of_a_refused_spec() {
    let mut story = Story::new();
    story.rollout = failing(reasons::NOT_APPLIED);
    story.change_spec(json!({"memoryLimiter": {"spikeLimitMiB": 400}}));
    let status = story.pass().1;
    assert_eq!(
        (status.endpoints, status.identity, status.effective),
        (None, None, None)
    );
    assert_eq!(status.collector.unwrap().image, "");
}

#[test]
fn a_transition_has_its_time_and_nothing_else_moves_it() {
    let mut story = Story::new();
    story.pass();
    let since = |status: &TracingPipelineStatus, kind: &str| condition(status, kind).last_transition_time.0;
    let other_reason = {
        story.rollout = failing(reasons::IMAGE_PULL);
        story.after(minutes(1))
    };
    assert_eq!(since(&other_reason, types::READY), start());
    story.rollout = complete();
    let ready = story.after(minutes(1));
    assert_eq!(since(&ready, types::READY), start() + minutes(2));
    assert_eq!(since(&ready, types::COLLECTOR_AVAILABLE), start() + minutes(2));
    assert_eq!(since(&ready, types::CONFIG_ACCEPTED), start());
    story.change_spec(json!({"samplingRatePercentage": 20}));
    let next = story.after(minutes(1));
    assert_eq!(since(&next, types::READY), start() + minutes(2));
    assert_eq!(condition(&next, types::READY).observed_generation, Some(2));
}

#[test]
fn every_condition_speaks_of_the_generation_that_was_seen() {
    let mut story = Story::new();
    story.change_spec(json!({}));
    story.conflicts = vec!["Service a is".to_owned()];
    let status = story.pass().1;
    assert_eq!(status.observed_generation, 2);
    assert!(
        status
            .conditions
            .iter()
            .all(|one| one.observed_generation == Some(2))
    );
}

#[test]
fn the_same_findings_make_the_same_status() {
    let mut story = Story::new();
    for rollout in [rolling(1), complete(), failing(reasons::CRASH_LOOP)] {
        story.rollout = rollout;
        let first = story.after(minutes(1));
        let second = story.after(minutes(1));
        assert_eq!(first, second);
        assert_eq!(write_in(&first, &second, None, story.now), None);
    }
}

#[test]
fn a_new_word_is_written_at_once_and_counts_every_ten_seconds() {
    let mut story = Story::new();
    let first = story.pass().1;
    let seconds = SignedDuration::from_secs;
    assert_eq!(
        write_in(
            &TracingPipelineStatus::default(),
            &first,
            Some(story.now),
            story.now
        ),
        Some(seconds(0))
    );
    story.rollout.ready = 1;
    let counted = story.after(seconds(3));
    let last = Some(start());
    assert_eq!(write_in(&first, &counted, last, story.now), Some(seconds(7)));
    assert_eq!(
        write_in(&first, &counted, last, start() + seconds(10)),
        Some(seconds(0))
    );
    // After a restart nobody knows when the last was written.
    assert_eq!(write_in(&first, &counted, None, story.now), Some(seconds(0)));
    // A clock that was set back by an hour.
    assert_eq!(
        write_in(&first, &counted, Some(start() + minutes(60)), story.now),
        Some(seconds(10))
    );
    story.rollout = failing(reasons::IMAGE_PULL);
    let told = story.after(seconds(0));
    assert_eq!(
        write_in(&counted, &told, Some(story.now), story.now),
        Some(seconds(0))
    );
    story.change_spec(json!({"samplingRatePercentage": 20}));
    let seen = story.after(seconds(0));
    assert_eq!(
        write_in(&told, &seen, Some(story.now), story.now),
        Some(seconds(0))
    );
}

fn reasons_of(before: &TracingPipelineStatus, after: &TracingPipelineStatus) -> Vec<(bool, String)> {
    happenings(before, after)
        .into_iter()
        .map(|one| (one.warning, one.reason))
        .collect()
}

#[test]
fn each_turn_is_an_event_once() {
    let mut story = Story::new();
    let mut told = Vec::new();
    let turns: [(&str, fn(&mut Story)); 7] = [
        ("made", |_| {}),
        ("still", |it| it.rollout = rolling(1)),
        ("image", |it| it.rollout = failing(reasons::IMAGE_PULL)),
        ("ready", |it| it.rollout = complete()),
        ("forbidden", |it| it.failure = Some("forbidden")),
        ("conflict", |it| {
            it.failure = None;
            it.conflicts = vec!["Service a is".to_owned()];
        }),
        ("refused", |it| {
            it.change_spec(json!({"memoryLimiter": {"spikeLimitMiB": 400}}))
        }),
    ];
    for (what, turn) in turns {
        turn(&mut story);
        let (before, after) = story.pass();
        told.extend(
            reasons_of(&before, &after)
                .into_iter()
                .map(|(warning, reason)| (what, warning, reason)),
        );
        let (before, after) = story.pass();
        assert_eq!(reasons_of(&before, &after), [], "{what}");
    }
    let told: Vec<(&str, bool, &str)> = told
        .iter()
        .map(|(what, warning, why)| (*what, *warning, why.as_str()))
        .collect();
    let expected = [
        ("made", false, "RollingOut"),
        ("image", true, "ImagePull"),
        ("ready", false, "RolloutComplete"),
        ("forbidden", true, "ApplyFailed"),
        ("conflict", true, "Conflicted"),
        ("refused", true, "InvalidConfig"),
    ];
    assert_eq!(told, expected);
}

/// What a merge of the patch with the old status gives, as the API server does it (RFC 7386).
fn merged(old: &TracingPipelineStatus, new: &TracingPipelineStatus) -> TracingPipelineStatus {
    let mut stored = serde_json::to_value(old).unwrap();
    json_patch::merge(&mut stored, &merge_patch(Some(old), new).unwrap());
    serde_json::from_value(stored).unwrap()
}

/// No role of the node's is claimed to work before something has used it.
#[test]
fn whose_credentials_they_are_is_said_and_not_more_than_is_known() {
    let kinds = [
        ("IRSA", json!(ROLE), reasons::VERIFYING, "is being asked"),
        ("PodIdentity", json!(null), reasons::NOT_VERIFIED, "association"),
        ("Ambient", json!(null), reasons::AMBIENT, "that they find"),
    ];
    for (kind, role, reason, said) in kinds {
        let mut story = Story::new();
        story.change_spec(json!({"identity": {"type": kind, "roleArn": role}}));
        let accepted = validate(&story.pipeline, &settings(), &facts()).unwrap();
        let (account, memory) = (identity::KnownAccount::default(), identity::Memory::default());
        let verdict = identity::verdict(&accepted.credentials, true, &account, &memory, story.now);
        story.identity = Some(verdict);
        let status = story.pass().1;
        let identity = status.identity.unwrap();
        assert_eq!((identity.kind.as_str(), json!(identity.role_arn)), (kind, role));
        let ready = find(&status.conditions, types::IDENTITY_READY).unwrap();
        assert_eq!(
            (ready.status.as_str(), ready.reason.as_str()),
            ("Unknown", reason)
        );
        assert!(ready.message.contains(said), "{}", ready.message);
    }
}

/// Ready is the first of what is wrong; an identity that nobody has judged holds nothing back.
#[test]
fn a_refused_identity_holds_ready_back_and_somebody_has_to_act() {
    let mut story = Story::new();
    story.rollout = complete();
    assert_eq!(summary(&story.pass().1), ["True/Ready", "-", "-"]);
    story.identity = Some(identity_of(Some(false), reasons::ACCESS_DENIED));
    let (old, new) = story.pass();
    assert_eq!(summary(&new), ["False/AccessDenied", "-", "True/AccessDenied"]);
    let told = happenings(&old, &new);
    assert!(told.iter().any(|one| one.warning && one.reason == "AccessDenied"));
    story.identity = Some(identity_of(None, reasons::AWS_UNREACHABLE));
    assert_eq!(summary(&story.pass().1), ["True/Ready", "-", "-"]);
    story.identity = Some(identity_of(Some(true), reasons::VERIFIED));
    assert_eq!(summary(&story.pass().1), ["True/Ready", "-", "-"]);
}

#[test]
fn roles_that_there_may_be_are_written_down_whatever_becomes_of_the_spec() {
    let mut story = Story::new();
    story.managed_roles = vec![ROLE.to_owned()];
    assert_eq!(story.pass().1.identity.unwrap().managed_roles, [ROLE]);
    story.change_spec(json!({"sampling": {"decisionWait": "soon"}}));
    story.identity = None;
    let status = story.pass().1;
    assert_eq!(status.identity.as_ref().unwrap().managed_roles, [ROLE]);
    assert_eq!(says(&status, types::CONFIG_ACCEPTED), "False/InvalidConfig");
}

/// What is proven of one role is not said of another that nobody has asked about.
#[test]
fn while_nothing_is_done_about_the_identity_the_status_names_the_role_that_it_judged() {
    let mut story = Story::new();
    story.identity = Some(identity_of(Some(true), reasons::VERIFIED));
    story.pass();
    story.conflicts = vec!["Service otel-collector is".to_owned()];
    story.identity = None;
    story.change_spec(json!({"identity": {"roleArn": "arn:aws:iam::111122223333:role/new"}}));
    let status = story.pass().1;
    assert_eq!(says(&status, types::IDENTITY_READY), "True/Verified");
    assert_eq!(status.identity.unwrap().role_arn.as_deref(), Some(ROLE));
}

#[test]
fn foreign_policies_are_a_condition_while_they_are_there() {
    let mut story = Story::new();
    let mut identity = identity_of(Some(true), reasons::VERIFIED);
    identity.foreign = vec!["arn:aws:iam::aws:policy/ReadOnlyAccess".to_owned()];
    story.identity = Some(identity);
    let status = story.pass().1;
    assert_eq!(says(&status, types::POLICY_DRIFT), "True/ForeignPolicies");
    assert!(
        condition(&status, types::POLICY_DRIFT)
            .message
            .contains("ReadOnlyAccess")
    );
    story.identity = Some(identity_of(Some(true), reasons::VERIFIED));
    assert_eq!(says(&story.pass().1, types::POLICY_DRIFT), "-");
}

/// A right that is missing is told over what was known; what was known otherwise stays.
#[test]
fn a_missing_right_of_the_operator_is_told_and_the_rest_stays() {
    let mut story = Story::new();
    story.rollout = complete();
    story.pass();
    let told = forbidden(&story.pipeline, "configmaps is forbidden", story.now);
    assert_eq!(summary(&told), ["False/ApplyFailed", "-", "True/ApplyFailed"]);
    assert!(
        condition(&told, types::READY)
            .message
            .contains("configmaps is forbidden")
    );
    assert_eq!(says(&told, types::CONFIG_ACCEPTED), "True/Valid");
    assert_eq!(says(&told, types::COLLECTOR_AVAILABLE), "True/RolloutComplete");
    assert_eq!(told.collector, story.pipeline.status.as_ref().unwrap().collector);
    story.pipeline.status = Some(told);
    assert_eq!(summary(&story.pass().1), ["True/Ready", "-", "-"]);
}

#[test]
fn a_merge_leaves_nothing_of_what_is_gone() {
    let mut story = Story::new();
    story.rollout.failing = vec![tracepipe_crds::FailingPod::default()];
    let full = story.pass().1;
    story.rollout = complete();
    story.change_spec(json!({"identity": {"type": "Ambient", "roleArn": null}, "exporters": {"xray": {"mode": "Disabled"}, "logging": {}}}));
    let without_role = story.pass().1;
    assert_eq!(without_role.identity.as_ref().unwrap().role_arn, None);
    let statuses = [TracingPipelineStatus::default(), full, without_role];
    for old in &statuses {
        for new in &statuses {
            assert_eq!(&merged(old, new), new);
        }
    }
    assert_eq!(
        merge_patch(None, &statuses[1]).unwrap(),
        serde_json::to_value(&statuses[1]).unwrap()
    );
}

/// The verdict on a real scene and the status together: what a person reads while an image cannot be had.
#[test]
fn the_first_failing_pod_is_told_in_the_status() {
    let nodes = ["node-1", "node-2"].map(|name| NodeFacts {
        name: name.to_owned(),
        labels: [("kubernetes.io/os".to_owned(), "linux".to_owned())].into(),
        taints: Vec::new(),
        ready: true,
        created: None,
    });
    let pods = [PodFacts {
        name: "otel-collector-collector-x7k2p".to_owned(),
        node: "node-2".to_owned(),
        revision: "one".to_owned(),
        problem: Some((
            reasons::IMAGE_PULL,
            "tracepipe.dev/collector:9: not found".to_owned(),
        )),
        ..PodFacts::default()
    }];
    let mut story = Story::new();
    story.rollout = judge(&Evidence {
        daemon_set: Some(&DaemonSetFacts::default()),
        revision: "one",
        pods: &pods,
        nodes: &nodes,
        collector: &minimal().spec.collector,
        refused: None,
        now: start(),
    });
    let status = story.pass().1;
    let message = "0 of 2 nodes: node-2: tracepipe.dev/collector:9: not found";
    assert_eq!(condition(&status, types::READY).message, message);
    let failing = &status.collector.unwrap().failing;
    assert_eq!(failing[0].pod, "otel-collector-collector-x7k2p");
    assert_eq!(failing[0].reason, "ImagePull");
}

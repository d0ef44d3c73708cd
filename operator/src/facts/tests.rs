use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::json;

use super::*;

fn pod(value: Value) -> PodFacts {
    PodFacts::of(&serde_json::from_value::<Pod>(value).unwrap())
}

/// A pod with the collector's container in this state.
fn with_container(container: Value) -> PodFacts {
    let mut status = json!({
        "name": "collector", "image": "tracepipe.dev/collector:1", "imageID": "", "ready": false, "restartCount": 0,
    });
    json_patch::merge(&mut status, &container);
    pod(json!({"metadata": {"name": "p"}, "status": {"containerStatuses": [status]}}))
}

#[test]
fn a_pod_is_taken_in_with_all_that_is_judged() {
    let facts = pod(json!({
        "metadata": {
            "name": "otel-collector-collector-x7k2p",
            "labels": {"app.kubernetes.io/instance": "otel-collector", "tracepipe.dev/revision": "c0d5f11409"},
            "creationTimestamp": "2026-11-21T08:25:04Z",
            "deletionTimestamp": "2026-11-21T08:26:04Z",
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Other", "name": "o", "uid": "other"},
                {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "ds", "controller": true},
            ],
        },
        "spec": {
            "nodeName": "node-1",
            "containers": [],
            "volumes": [
                {"name": "config", "configMap": {"name": "otel-collector-collector-5dbf024092"}},
                {"name": "token", "projected": {"sources": []}},
            ],
        },
        "status": {"podIP": "10.1.2.3", "conditions": [{"type": "Ready", "status": "True"}]},
    }));
    let expected = PodFacts {
        name: "otel-collector-collector-x7k2p".to_owned(),
        pipeline: "otel-collector".to_owned(),
        owner: "ds".to_owned(),
        created: Some("2026-11-21T08:25:04Z".parse().unwrap()),
        node: "node-1".to_owned(),
        ip: Some("10.1.2.3".parse().unwrap()),
        revision: "c0d5f11409".to_owned(),
        ready: true,
        deleting: true,
        config_maps: vec!["otel-collector-collector-5dbf024092".to_owned()],
        problem: None,
    };
    assert_eq!(facts, expected);
}

#[test]
fn a_pod_that_is_not_scheduled_yet_belongs_to_the_node_it_was_made_for() {
    let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{
        "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-2"]}],
    }]}}});
    let facts = pod(json!({
        "metadata": {"name": "p"},
        "spec": {"containers": [], "affinity": affinity},
        "status": {"conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/2 nodes are available: 1 Insufficient memory.",
        }]},
    }));
    assert_eq!(facts.node, "node-2");
    let problem = Some((
        "Pending",
        "0/2 nodes are available: 1 Insufficient memory.".to_owned(),
    ));
    assert_eq!(facts.problem, problem);
}

#[test]
fn a_pod_of_nobody_says_nothing() {
    assert_eq!(
        pod(json!({"metadata": {"name": "p"}})),
        PodFacts {
            name: "p".to_owned(),
            ..PodFacts::default()
        }
    );
}

#[test]
fn a_container_that_cannot_start_says_why() {
    let waiting = |reason: &str, message: &str| {
        with_container(json!({"state": {"waiting": {"reason": reason, "message": message}}}))
    };
    for reason in [
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
    ] {
        let problem = Some((
            reasons::IMAGE_PULL,
            "tracepipe.dev/collector:1: not found".to_owned(),
        ));
        assert_eq!(waiting(reason, "not found").problem, problem, "{reason}");
    }
    for reason in ["CreateContainerConfigError", "RunContainerError", "SomethingNew"] {
        let problem = Some((reasons::CRASH_LOOP, format!("{reason}: it is so")));
        assert_eq!(waiting(reason, "it is so").problem, problem, "{reason}");
    }
    for reason in ["ContainerCreating", "PodInitializing"] {
        assert_eq!(waiting(reason, "").problem, None, "{reason}");
    }
}

#[test]
fn a_container_that_ends_again_and_again_says_its_last_words() {
    let end =
        json!({"exitCode": 1, "reason": "Error", "message": "error: collector.yaml:3: unknown key `x`\n"});
    let expected = "exit code 1, restarted 4 times: error: collector.yaml:3: unknown key `x`";
    let states = [
        json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}}),
        json!({"running": {"startedAt": "2026-11-21T08:25:04Z"}}),
    ];
    for state in states {
        let facts =
            with_container(json!({"restartCount": 4, "state": state, "lastState": {"terminated": end}}));
        assert_eq!(
            facts.problem,
            Some((reasons::CRASH_LOOP, expected.to_owned())),
            "{state}"
        );
    }
    let ended = with_container(json!({"restartCount": 4, "state": {"terminated": end}}));
    assert_eq!(ended.problem, Some((reasons::CRASH_LOOP, expected.to_owned())));
}

#[test]
fn a_container_that_works_again_has_no_problem() {
    let facts = with_container(json!({
        "ready": true,
        "restartCount": 1,
        "state": {"running": {}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }));
    assert_eq!(facts.problem, None);
}

#[test]
fn a_kill_for_memory_is_named() {
    let facts = with_container(json!({
        "restartCount": 2,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }));
    let said = "exit code 137, restarted 2 times: OOMKilled".to_owned();
    assert_eq!(facts.problem, Some((reasons::CRASH_LOOP, said)));
}

#[test]
fn a_foreign_container_beside_the_collector_is_not_judged() {
    let facts = pod(json!({
        "metadata": {"name": "p"},
        "status": {"containerStatuses": [{
            "name": "injected", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ImagePullBackOff"}},
        }]},
    }));
    assert_eq!(facts.problem, None);
}

fn node(value: Value) -> NodeFacts {
    NodeFacts::of(&serde_json::from_value::<Node>(value).unwrap())
}

#[test]
fn a_node_is_taken_in_with_all_that_is_judged() {
    let facts = node(json!({
        "metadata": {
            "name": "ip-10-0-0-1", "labels": {"kubernetes.io/os": "linux"}, "creationTimestamp": "2026-11-21T08:00:00Z",
        },
        "spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}, {"key": "a", "value": "b", "effect": "NoExecute"}]},
        "status": {"conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}]},
    }));
    let text = str::to_owned;
    let expected = NodeFacts {
        name: text("ip-10-0-0-1"),
        labels: [(text("kubernetes.io/os"), text("linux"))].into(),
        taints: vec![
            (text("gpu"), String::new(), text("NoSchedule")),
            (text("a"), text("b"), text("NoExecute")),
        ],
        ready: true,
        created: Some("2026-11-21T08:00:00Z".parse().unwrap()),
    };
    assert_eq!(facts, expected);
}

#[test]
fn a_node_that_nobody_hears_of_is_not_ready() {
    for status in ["False", "Unknown"] {
        let conditions = json!([{"type": "Ready", "status": status}]);
        assert!(
            !node(json!({"metadata": {"name": "n"}, "status": {"conditions": conditions}})).ready,
            "{status}"
        );
    }
    assert!(!node(json!({"metadata": {"name": "n"}})).ready);
}

/// A kubelet says every 10 s to 5 min that it lives; only what is judged makes a pass.
#[test]
fn a_heartbeat_changes_no_fact() {
    let at = |time: &str| {
        node(json!({
            "metadata": {"name": "n", "resourceVersion": time},
            "status": {
                "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": time}],
                "images": [{"names": [time], "sizeBytes": 1}],
            },
        }))
    };
    assert_eq!(at("2026-11-21T08:00:00Z"), at("2026-11-21T08:05:00Z"));
}

fn in_region(region: Option<&str>) -> NodeFacts {
    let labels = match region {
        Some(region) => json!({"topology.kubernetes.io/region": region}),
        None => json!({}),
    };
    node(json!({"metadata": {"name": "n", "labels": labels}}))
}

#[test]
fn the_region_is_the_one_that_nodes_name() {
    let region =
        |names: &[Option<&str>]| region_of(&names.iter().map(|name| in_region(*name)).collect::<Vec<_>>());
    assert_eq!(region(&[]), None);
    assert_eq!(region(&[None]), None);
    assert_eq!(
        region(&[Some("eu-west-1"), Some("eu-west-1")]).as_deref(),
        Some("eu-west-1")
    );
    assert_eq!(region(&[Some("eu-west-1"), Some("eu-west-2")]), None);
    // A node gets its labels a moment after it comes, in any order.
    assert_eq!(region(&[None, Some("eu-west-1")]).as_deref(), Some("eu-west-1"));
    assert_eq!(region(&[Some("eu-west-1"), None]).as_deref(), Some("eu-west-1"));
}

#[test]
fn a_daemon_set_is_taken_in_with_all_that_is_judged() {
    let facts = DaemonSetFacts::of(&json!({
        "metadata": {"uid": "ds", "generation": 4},
        "spec": {"template": {"metadata": {"labels": {"tracepipe.dev/revision": "c0d5f11409"}}}},
        "status": {"observedGeneration": 3, "desiredNumberScheduled": 2, "updatedNumberScheduled": 1},
    }));
    let expected = DaemonSetFacts {
        uid: "ds".to_owned(),
        generation: 4,
        observed_generation: 3,
        desired: 2,
        updated: 1,
        revision: "c0d5f11409".to_owned(),
    };
    assert_eq!(facts, expected);
    assert_eq!(DaemonSetFacts::of(&json!({})), DaemonSetFacts::default());
}

#[test]
fn a_long_text_is_cut_in_front() {
    assert_eq!(shortened(" one\ntwo\t\u{1b}[31m "), "one two  [31m");
    let long = shortened(&format!("{}end", "x".repeat(1000)));
    assert_eq!(long.chars().count(), 256);
    assert!(long.starts_with("...x") && long.ends_with("xend"));
    let wide = shortened(&"\u{e4}".repeat(300));
    assert_eq!(wide.chars().count(), 256);
}

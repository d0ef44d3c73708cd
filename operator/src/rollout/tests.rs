mod incomplete;
mod random;

use serde_json::{Value, json};

use super::*;
use crate::testing::*;

const NEW: &str = "new";
const OLD: &str = "old";

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

/// A cluster as the operator sees it.
#[derive(Debug, Clone)]
struct Scene {
    daemon_set: Option<DaemonSetFacts>,
    pods: Vec<PodFacts>,
    nodes: Vec<NodeFacts>,
    collector: Collector,
    refused: Option<&'static str>,
}

impl Scene {
    /// Two nodes, all well.
    fn well() -> Self {
        Self {
            daemon_set: Some(daemon_set(2)),
            pods: vec![pod("a", NEW), pod("b", NEW)],
            nodes: vec![node("a"), node("b")],
            collector: Collector::default(),
            refused: None,
        }
    }

    fn evidence(&self) -> Evidence<'_> {
        Evidence {
            daemon_set: self.daemon_set.as_ref(),
            revision: NEW,
            pods: &self.pods,
            nodes: &self.nodes,
            collector: &self.collector,
            refused: self.refused,
            now: now(),
        }
    }

    fn judge(&self) -> Verdict {
        judge(&self.evidence())
    }

    fn collector(mut self, changes: Value) -> Self {
        self.collector = with_spec(json!({"collector": changes})).spec.collector;
        self
    }
}

fn daemon_set(nodes: i64) -> DaemonSetFacts {
    DaemonSetFacts {
        uid: "ds".to_owned(),
        generation: 3,
        observed_generation: 3,
        desired: nodes,
        updated: nodes,
        revision: NEW.to_owned(),
    }
}

fn node(name: &str) -> NodeFacts {
    NodeFacts {
        name: name.to_owned(),
        labels: [("kubernetes.io/os".to_owned(), "linux".to_owned())].into(),
        taints: Vec::new(),
        ready: true,
        created: Some(now() - SignedDuration::from_hours(1)),
    }
}

fn young(name: &str, seconds: i64) -> NodeFacts {
    NodeFacts {
        created: Some(now() - SignedDuration::from_secs(seconds)),
        ..node(name)
    }
}

fn tainted(name: &str, key: &str, value: &str, effect: &str) -> NodeFacts {
    NodeFacts {
        taints: vec![(key.to_owned(), value.to_owned(), effect.to_owned())],
        ..node(name)
    }
}

fn pod(node: &str, revision: &str) -> PodFacts {
    PodFacts {
        name: format!("pod-{node}-{revision}"),
        owner: "ds".to_owned(),
        node: node.to_owned(),
        revision: revision.to_owned(),
        ready: true,
        created: Some(now() - SignedDuration::from_mins(30)),
        ..PodFacts::default()
    }
}

fn failing_pod(node: &str, reason: &'static str, message: &str) -> PodFacts {
    PodFacts {
        ready: false,
        problem: Some((reason, message.to_owned())),
        ..pod(node, NEW)
    }
}

#[test]
fn all_nodes_with_a_working_collector_is_complete() {
    let verdict = Scene::well().judge();
    assert!(verdict.complete);
    assert_eq!(verdict.reason, reasons::ROLLOUT_COMPLETE);
    assert_eq!((verdict.ready, verdict.desired), (2, 2));
    assert_eq!(verdict.message, "all 2 nodes have a working collector");
    assert_eq!(verdict.look_again, None);
}

#[test]
fn a_node_without_a_collector_that_needs_none_does_not_hold_ready_back() {
    let with = |other: NodeFacts| {
        let mut scene = Scene::well();
        scene.nodes.push(other);
        scene
    };
    let not_ready = NodeFacts {
        ready: false,
        ..node("c")
    };
    let labelled = |key: &str, value: &str| {
        let mut other = node("c");
        other.labels.insert(key.to_owned(), value.to_owned());
        other
    };
    let cases = [
        ("NotReady", with(not_ready)),
        ("young", with(young("c", 119))),
        ("Windows", with(labelled("kubernetes.io/os", "windows"))),
        (
            "Fargate",
            with(labelled("eks.amazonaws.com/compute-type", "fargate")),
        ),
        (
            "no operating system named",
            with(NodeFacts {
                labels: BTreeMap::new(),
                ..node("c")
            }),
        ),
        (
            "tainted",
            with(tainted("c", "gpu", "", "NoSchedule")).collector(json!({"tolerations": []})),
        ),
        ("not selected", {
            let mut scene = with(node("c")).collector(json!({"nodeSelector": {"pool": "x"}}));
            for node in &mut scene.nodes[..2] {
                node.labels.insert("pool".to_owned(), "x".to_owned());
            }
            scene
        }),
    ];
    for (what, scene) in cases {
        let verdict = scene.judge();
        assert!(verdict.complete, "{what}: {verdict:?}");
        assert_eq!((verdict.ready, verdict.desired), (2, 2), "{what}");
    }
}

#[test]
fn a_node_without_a_collector_that_needs_one_holds_ready_back() {
    let cases = [
        ("two minutes old", young("c", 120), json!({})),
        (
            "age unknown",
            NodeFacts {
                created: None,
                ..node("c")
            },
            json!({}),
        ),
        (
            "cordoned",
            tainted("c", "node.kubernetes.io/unschedulable", "", "NoSchedule"),
            json!({"tolerations": []}),
        ),
        (
            "short of disk",
            tainted("c", "node.kubernetes.io/disk-pressure", "", "NoSchedule"),
            json!({"tolerations": []}),
        ),
        (
            "rather not",
            tainted("c", "gpu", "", "PreferNoSchedule"),
            json!({"tolerations": []}),
        ),
        (
            "tainted, by default",
            tainted("c", "gpu", "yes", "NoExecute"),
            json!({}),
        ),
        (
            "tainted, by key",
            tainted("c", "gpu", "yes", "NoSchedule"),
            json!({"tolerations": [{"key": "gpu", "operator": "Exists"}]}),
        ),
        (
            "tainted, by value",
            tainted("c", "gpu", "yes", "NoSchedule"),
            json!({"tolerations": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]}),
        ),
        (
            "EC2",
            {
                let mut other = node("c");
                other
                    .labels
                    .insert("eks.amazonaws.com/compute-type".to_owned(), "ec2".to_owned());
                other
            },
            json!({}),
        ),
    ];
    for (what, other, collector) in cases {
        let mut scene = Scene::well().collector(collector);
        scene.nodes.push(other);
        let verdict = scene.judge();
        assert!(!verdict.complete, "{what}");
        assert_eq!((verdict.ready, verdict.desired), (2, 3), "{what}");
    }
}

#[test]
fn a_toleration_bears_what_kubernetes_says_it_bears() {
    let taint = ("gpu", "yes", "NoSchedule");
    let cases = [
        (json!([]), false),
        (json!([{"operator": "Exists"}]), true),
        (json!([{"operator": "Exists", "key": ""}]), true),
        (json!([{"operator": "Exists", "effect": "NoSchedule"}]), true),
        (json!([{"operator": "Exists", "effect": "NoExecute"}]), false),
        (json!([{"operator": "Exists", "key": "gpu"}]), true),
        (json!([{"operator": "Exists", "key": "cpu"}]), false),
        (json!([{"key": "gpu", "value": "yes"}]), true),
        (json!([{"key": "gpu", "value": "no"}]), false),
        (json!([{"key": "gpu"}]), false),
        (
            json!([{"key": "gpu", "value": "no"}, {"key": "gpu", "value": "yes"}]),
            true,
        ),
        (
            json!([{"key": "gpu", "value": "yes", "effect": "PreferNoSchedule"}]),
            false,
        ),
    ];
    for (tolerations, bears) in cases {
        let collector = with_spec(json!({"collector": {"tolerations": tolerations}}))
            .spec
            .collector;
        let node = tainted("a", taint.0, taint.1, taint.2);
        assert_eq!(is_eligible(&node, &collector), bears, "{tolerations}");
    }
}

#[test]
fn in_a_cluster_that_is_new_as_a_whole_its_nodes_count() {
    let mut scene = Scene::well();
    scene.nodes = vec![young("a", 10), young("b", 20)];
    assert!(scene.judge().complete);
    scene.pods.pop();
    let verdict = scene.judge();
    assert!(!verdict.complete);
    assert_eq!((verdict.ready, verdict.desired), (1, 2));
}

#[test]
fn a_young_node_is_looked_at_again_when_it_counts() {
    let mut scene = Scene::well();
    scene.nodes.extend([young("c", 30), young("d", 100)]);
    assert_eq!(scene.judge().look_again, Some(SignedDuration::from_secs(20)));
}

#[test]
fn a_young_node_whose_collector_works_is_counted_at_once() {
    let mut scene = Scene::well();
    scene.nodes.push(young("c", 5));
    scene.pods.push(pod("c", NEW));
    let verdict = scene.judge();
    assert!(verdict.complete);
    assert_eq!((verdict.ready, verdict.desired), (3, 3));
}

#[test]
fn a_not_ready_node_is_told_beside_the_good_news() {
    let mut scene = Scene::well();
    scene.nodes.push(NodeFacts {
        ready: false,
        ..node("c")
    });
    // The DaemonSet controller still counts it, and its pod may be old.
    scene.daemon_set = Some(DaemonSetFacts {
        updated: 2,
        ..daemon_set(3)
    });
    let verdict = scene.judge();
    assert!(verdict.complete, "{verdict:?}");
    assert_eq!(
        verdict.message,
        "all 2 nodes have a working collector; 1 not Ready and left out"
    );
}

#[test]
fn one_node_is_spoken_of_as_one() {
    let mut scene = Scene::well();
    scene.nodes.pop();
    scene.pods.pop();
    scene.daemon_set = Some(daemon_set(1));
    assert_eq!(scene.judge().message, "the one node has a working collector");
}

#[test]
fn a_terminating_old_pod_does_not_hold_ready_back() {
    let mut scene = Scene::well();
    scene.pods.push(PodFacts {
        deleting: true,
        ..pod("b", OLD)
    });
    assert!(scene.judge().complete);
}

#[test]
fn a_pod_on_a_node_that_is_gone_changes_nothing() {
    let mut scene = Scene::well();
    scene.pods.push(failing_pod("gone", reasons::CRASH_LOOP, "lost"));
    assert!(scene.judge().complete);
}

#[test]
fn at_most_five_failing_pods_are_named() {
    let mut scene = Scene::well();
    scene.nodes = (0..50).map(|index| node(&format!("node-{index:02}"))).collect();
    scene.pods = scene
        .nodes
        .iter()
        .map(|node| failing_pod(&node.name, reasons::IMAGE_PULL, "no image"))
        .collect();
    let verdict = scene.judge();
    assert_eq!(verdict.failing.len(), 5);
    assert_eq!(verdict.failing[0].node, "node-00");
    assert_eq!(verdict.failing[0].pod, "pod-node-00-new");
    assert_eq!((verdict.ready, verdict.desired), (0, 50));
}

#[test]
fn refusals_are_asked_for_only_when_a_node_has_no_pod() {
    let mut scene = Scene::well();
    assert!(!misses_pods(&scene.evidence()));
    scene.pods[1].ready = false;
    assert!(!misses_pods(&scene.evidence()));
    scene.pods[1].revision = OLD.to_owned();
    assert!(misses_pods(&scene.evidence()));
    scene.nodes[1].ready = false;
    assert!(!misses_pods(&scene.evidence()));
}

#[test]
fn a_refusal_counts_until_a_pod_was_made_after_it() {
    let scene = Scene::well();
    let at = |minutes_ago| now() - SignedDuration::from_mins(minutes_ago);
    let holds = |scene: &Scene, minutes_ago| still_refused(at(minutes_ago), &scene.evidence());
    let mut without_pods = scene.clone();
    without_pods.pods.clear();
    assert!(holds(&without_pods, 0) && holds(&without_pods, 19));
    assert!(!holds(&without_pods, 20));
    // The youngest pod is 30 minutes old.
    assert!(holds(&scene, 19));
    let mut newer = scene;
    newer.pods[0].created = Some(at(5));
    assert!(holds(&newer, 5) && holds(&newer, 4));
    assert!(!holds(&newer, 6));
}

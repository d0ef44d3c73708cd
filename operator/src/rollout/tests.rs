use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
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

/// What is wrong with a scene, and what is said of it: reason, ready, desired, a part of the message.
type Case = (&'static str, Scene, &'static str, usize, usize, &'static str);

fn incomplete() -> Vec<Case> {
    let change = |change: fn(&mut Scene)| {
        let mut scene = Scene::well();
        change(&mut scene);
        scene
    };
    vec![
        (
            "no DaemonSet",
            change(|it| it.daemon_set = None),
            reasons::NOT_APPLIED,
            2,
            2,
            "no DaemonSet",
        ),
        (
            "no pod on one node",
            change(|it| it.pods.truncate(1)),
            reasons::ROLLING_OUT,
            1,
            2,
            "1 of 2 nodes",
        ),
        (
            "no pods",
            change(|it| it.pods.clear()),
            reasons::ROLLING_OUT,
            0,
            2,
            "0 of 2 nodes",
        ),
        (
            "a pod is not ready",
            change(|it| it.pods[1].ready = false),
            reasons::ROLLING_OUT,
            1,
            2,
            "1 of 2",
        ),
        (
            "a pod is on its way out",
            change(|it| it.pods[1].deleting = true),
            reasons::ROLLING_OUT,
            1,
            2,
            "1 of 2",
        ),
        (
            "a pod is of the old revision",
            change(|it| it.pods[1] = pod("b", OLD)),
            reasons::ROLLING_OUT,
            1,
            2,
            "1 of 2",
        ),
        (
            "the old pod still works beside the new one",
            change(|it| it.pods.push(pod("b", OLD))),
            reasons::ROLLING_OUT,
            1,
            2,
            "1 of 2",
        ),
        (
            "an old pod that does not work is still there",
            change(|it| {
                it.pods.push(PodFacts {
                    ready: false,
                    ..pod("b", OLD)
                })
            }),
            reasons::ROLLING_OUT,
            1,
            2,
            "1 of 2",
        ),
        (
            "the new image cannot be had while the old pods run",
            change(|it| {
                it.pods = vec![
                    pod("a", OLD),
                    pod("b", OLD),
                    failing_pod("a", reasons::IMAGE_PULL, "x: not found"),
                ];
            }),
            reasons::IMAGE_PULL,
            0,
            2,
            "0 of 2 nodes: a: x: not found",
        ),
        (
            "a collector ends again and again",
            change(|it| it.pods[0] = failing_pod("a", reasons::CRASH_LOOP, "exit code 1: no such file")),
            reasons::CRASH_LOOP,
            1,
            2,
            "1 of 2 nodes: a: exit code 1: no such file",
        ),
        (
            "a pod finds no place",
            change(|it| it.pods[0] = failing_pod("a", "Pending", "Insufficient cpu")),
            reasons::ROLLING_OUT,
            1,
            2,
            "a: Insufficient cpu",
        ),
        (
            "a quota forbids pods",
            change(|it| {
                it.pods.truncate(1);
                it.refused = Some("exceeded quota");
            }),
            reasons::FORBIDDEN,
            1,
            2,
            "b: exceeded quota",
        ),
        (
            "a problem of a pod is nearer than a refusal",
            change(|it| {
                it.pods = vec![failing_pod("a", reasons::IMAGE_PULL, "no image")];
                it.refused = Some("exceeded quota");
            }),
            reasons::IMAGE_PULL,
            0,
            2,
            "a: no image",
        ),
        (
            "no node at all",
            change(|it| it.nodes.clear()),
            reasons::NO_ELIGIBLE_NODES,
            0,
            0,
            "no Linux node matches",
        ),
        (
            "only NotReady nodes",
            change(|it| it.nodes.iter_mut().for_each(|node| node.ready = false)),
            reasons::NO_ELIGIBLE_NODES,
            0,
            0,
            "none of them is Ready",
        ),
        (
            "the one node is NotReady",
            change(|it| {
                it.nodes.truncate(1);
                it.nodes[0].ready = false;
            }),
            reasons::NO_ELIGIBLE_NODES,
            0,
            0,
            "the one node that matches is not Ready",
        ),
        (
            "the controller has not seen the newest template",
            change(|it| it.daemon_set.as_mut().unwrap().observed_generation = 2),
            reasons::ROLLING_OUT,
            2,
            2,
            "has not seen",
        ),
        (
            "the DaemonSet has another template",
            change(|it| it.daemon_set.as_mut().unwrap().revision = OLD.to_owned()),
            reasons::ROLLING_OUT,
            2,
            2,
            "has not seen",
        ),
        (
            "somebody restarts the rollout",
            change(|it| it.daemon_set.as_mut().unwrap().updated = 1),
            reasons::ROLLING_OUT,
            2,
            2,
            "1 pods are being replaced",
        ),
    ]
}

#[test]
fn whatever_is_missing_is_said() {
    for (what, scene, reason, ready, desired, message) in incomplete() {
        let verdict = scene.judge();
        assert!(!verdict.complete, "{what}");
        assert_eq!(verdict.reason, reason, "{what}: {verdict:?}");
        assert_eq!((verdict.ready, verdict.desired), (ready, desired), "{what}");
        assert!(verdict.message.contains(message), "{what}: {}", verdict.message);
    }
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

fn any_node(name: String) -> impl Strategy<Value = NodeFacts> {
    let taints = select(vec![
        None,
        None,
        Some(("gpu", "NoSchedule")),
        Some(("node.kubernetes.io/unschedulable", "NoSchedule")),
    ]);
    let labels = select(vec![
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/os", "windows"),
    ]);
    (prop::bool::weighted(0.8), 0..300_i64, taints, labels).prop_map(
        move |(ready, age, taint, (key, value))| NodeFacts {
            ready,
            labels: [(key.to_owned(), value.to_owned())].into(),
            taints: taint
                .map(|(key, effect)| (key.to_owned(), String::new(), effect.to_owned()))
                .into_iter()
                .collect(),
            ..young(&name, age)
        },
    )
}

fn any_pod() -> impl Strategy<Value = PodFacts> {
    let problem = select(vec![None, Some((reasons::CRASH_LOOP, "x".to_owned()))]);
    let is = prop::bool::weighted;
    (0..5_usize, is(0.8), is(0.8), is(0.1), problem).prop_map(|(node, new, ready, deleting, problem)| {
        PodFacts {
            ready,
            deleting,
            problem,
            ..pod(&format!("n{node}"), if new { NEW } else { OLD })
        }
    })
}

prop_compose! {
    fn any_scene()(
        nodes in (0..5_usize).prop_flat_map(|count| (0..count).map(|index| any_node(format!("n{index}"))).collect::<Vec<_>>()),
        pods in vec(any_pod(), 0..8),
        desired in 0..6_i64,
        updated in 0..6_i64,
        tolerate: bool,
        refused in select(vec![None, Some("exceeded quota")]),
    ) -> Scene {
        let tolerations = if tolerate { json!([{"operator": "Exists"}]) } else { json!([]) };
        Scene {
            daemon_set: Some(DaemonSetFacts { updated, ..daemon_set(desired) }),
            nodes,
            pods,
            refused,
            ..Scene::well()
        }
        .collector(json!({"tolerations": tolerations}))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The promise of Ready, written down once more in other words.
    #[test]
    fn ready_is_never_said_of_a_node_without_a_working_collector(scene in any_scene()) {
        let verdict = scene.judge();
        prop_assert_eq!(verdict.complete, verdict.reason == reasons::ROLLOUT_COMPLETE);
        prop_assert!(verdict.ready <= verdict.desired);
        prop_assert!(!verdict.message.is_empty());
        prop_assert!(verdict.failing.len() <= verdict.desired - verdict.ready);
        if !verdict.complete {
            return Ok(());
        }
        prop_assert_eq!(verdict.ready, verdict.desired);
        prop_assert!(verdict.desired > 0);
        for node in &scene.nodes {
            let bears = scene.collector.tolerations.len() == 1 || node.taints.iter().all(|(key, ..)| key != "gpu");
            let linux = node.labels["kubernetes.io/os"] == "linux";
            let mature = now().duration_since(node.created.unwrap()) >= SignedDuration::from_secs(120);
            if node.ready && bears && linux && mature {
                let on_it = || scene.pods.iter().filter(|pod| pod.node == node.name && !pod.deleting);
                prop_assert!(on_it().any(|pod| pod.revision == NEW && pod.ready), "{}", node.name);
                prop_assert!(on_it().all(|pod| pod.revision == NEW), "{}", node.name);
            }
        }
    }
}

#[test]
fn both_answers_are_given_to_many_scenes_of_this_test() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let complete = (0..500).filter(|_| {
        any_scene()
            .new_tree(&mut runner)
            .unwrap()
            .current()
            .judge()
            .complete
    });
    let complete = complete.count();
    assert!((20..400).contains(&complete), "{complete}");
}

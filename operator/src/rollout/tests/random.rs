//! Any cluster.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;

use super::*;

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

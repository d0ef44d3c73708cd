//! Every way in which a pipeline is not ready.

use super::*;

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

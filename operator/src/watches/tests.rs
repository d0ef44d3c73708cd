use serde_json::{Value, json};

use super::*;
use crate::testing::*;

fn pod(namespace: &str, name: &str, ready: &str, version: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {
            "namespace": namespace,
            "name": name,
            "resourceVersion": version,
            "labels": {"app.kubernetes.io/instance": "otel-collector"},
        },
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }))
    .unwrap()
}

/// Takes an event in; answers the names of the pods that it changed.
fn take(table: &mut Table<PodFacts>, event: Event<Pod>) -> Vec<String> {
    let changed = table.take(event, PodFacts::of);
    changed
        .into_iter()
        .map(|((namespace, name), _)| format!("{namespace}/{name}"))
        .collect()
}

#[test]
fn nothing_is_known_before_the_list_is_whole() {
    let mut table = Table::default();
    assert!(take(&mut table, Event::Init).is_empty());
    assert!(take(&mut table, Event::InitApply(pod("tracing", "a", "True", "1"))).is_empty());
    assert!(!table.listed);
    assert!(table.now.is_empty());
    assert_eq!(take(&mut table, Event::InitDone), ["tracing/a"]);
    assert!(table.listed);
}

#[test]
fn a_change_is_one_of_facts() {
    let mut table = Table::default();
    assert_eq!(
        take(&mut table, Event::Apply(pod("tracing", "a", "False", "1"))),
        ["tracing/a"]
    );
    assert!(take(&mut table, Event::Apply(pod("tracing", "a", "False", "2"))).is_empty());
    assert_eq!(
        take(&mut table, Event::Apply(pod("tracing", "a", "True", "3"))),
        ["tracing/a"]
    );
    assert_eq!(
        take(&mut table, Event::Apply(pod("other", "a", "True", "4"))),
        ["other/a"]
    );
    assert_eq!(
        take(&mut table, Event::Delete(pod("tracing", "a", "True", "5"))),
        ["tracing/a"]
    );
    assert!(take(&mut table, Event::Delete(pod("tracing", "a", "True", "5"))).is_empty());
}

/// After a broken watch everything is listed anew; what is gone since has no event of its own.
#[test]
fn a_new_list_tells_what_is_gone_what_is_new_and_what_is_different() {
    let mut table = Table::default();
    for name in ["gone", "same", "different"] {
        take(&mut table, Event::Apply(pod("tracing", name, "True", "1")));
    }
    take(&mut table, Event::Init);
    for (name, ready) in [("same", "True"), ("different", "False"), ("new", "True")] {
        take(&mut table, Event::InitApply(pod("tracing", name, ready, "2")));
    }
    assert!(table.now.contains_key(&("tracing".to_owned(), "gone".to_owned())));
    let mut changed = take(&mut table, Event::InitDone);
    changed.sort();
    assert_eq!(changed, ["tracing/different", "tracing/gone", "tracing/new"]);
    assert!(table.listed);
}

#[test]
fn a_list_that_breaks_off_leaves_nothing_behind() {
    let mut table = Table::default();
    take(&mut table, Event::Init);
    take(
        &mut table,
        Event::InitApply(pod("tracing", "phantom", "True", "1")),
    );
    take(&mut table, Event::Init);
    assert!(take(&mut table, Event::InitDone).is_empty());
    assert!(table.now.is_empty());
}

fn stores() -> Stores {
    Stores {
        nodes: Nodes::new(Arc::default()),
        pods: Pods::default(),
        refusals: Refusals::new(Arc::default()),
    }
}

#[test]
fn a_pipeline_has_the_pods_of_its_name_in_its_namespace() {
    let stores = stores();
    let mut other = pod("tracing", "other", "True", "1");
    other.metadata.labels = Some([("app.kubernetes.io/instance".to_owned(), "logs".to_owned())].into());
    for one in [
        pod("tracing", "ours", "True", "1"),
        pod("elsewhere", "theirs", "True", "1"),
        other,
    ] {
        lock(&stores.pods.table).take(Event::Apply(one), PodFacts::of);
    }
    let names: Vec<String> = stores.pods(&minimal()).into_iter().map(|pod| pod.name).collect();
    assert_eq!(names, ["ours"]);
}

/// Before, every node would seem to be without a collector, and every ConfigMap unused.
#[test]
fn nothing_may_rest_on_stores_before_nodes_and_pods_are_listed() {
    let stores = stores();
    assert!(!stores.listed());
    for event in [Event::Init, Event::InitDone] {
        lock(&stores.nodes.table).take(event, NodeFacts::of);
    }
    assert!(!stores.listed());
    for event in [Event::Init, Event::InitDone] {
        lock(&stores.pods.table).take(event, PodFacts::of);
    }
    assert!(stores.listed());
}

fn node(value: Value) -> Node {
    serde_json::from_value(value).unwrap()
}

#[test]
fn nodes_are_reduced_on_arrival() {
    let stores = stores();
    let seen = node(json!({
        "metadata": {"name": "n", "managedFields": [{"manager": "kubelet"}]},
        "status": {"images": [{"names": ["x"], "sizeBytes": 1}]},
    }));
    lock(&stores.nodes.table).take(Event::Apply(seen), NodeFacts::of);
    let names: Vec<String> = stores.nodes().into_iter().map(|node| node.name).collect();
    assert_eq!(names, ["n"]);
}

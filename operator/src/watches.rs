//! Nodes and pods as they are watched: reduced on arrival to what is judged, so that a large cluster costs little. What is
//! watched besides only says whose pass is due.

mod refusals;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, PartialObjectMeta};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Client, Resource, ResourceExt};
use tokio::sync::watch as channel;
use tracepipe_crds::TracingPipeline;

use crate::facts::{NodeFacts, PodFacts};
use crate::metrics::Metrics;
use crate::names::MANAGED_SELECTOR;
pub(crate) use refusals::Refusals;

const NODES: &str = "nodes";
const PODS: &str = "pods";

/// The nodes of the cluster, and a way to hear that something about them changed.
#[derive(Debug, Clone)]
pub(crate) struct Nodes {
    table: Arc<Mutex<Table<NodeFacts>>>,
    turns: channel::Sender<u64>,
    refusals: Refusals,
}

/// The pods of the collectors of one watched scope.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pods {
    table: Arc<Mutex<Table<PodFacts>>>,
}

/// What a pass reads.
#[derive(Debug, Clone)]
pub(crate) struct Stores {
    /// All nodes.
    pub(crate) nodes: Nodes,
    /// The scope's pods.
    pub(crate) pods: Pods,
    /// What the scope may not watch.
    pub(crate) refusals: Refusals,
}

impl Stores {
    /// True when nodes and pods were listed once: before, what is not here may be there all the same.
    pub(crate) fn listed(&self) -> bool {
        self.nodes.listed() && lock(&self.pods.table).listed
    }

    /// What the API server says when it does not let the operator list or watch nodes or pods: what is known of them may
    /// be old.
    pub(crate) fn forbidden(&self) -> Option<String> {
        let of_nodes = self.nodes.refusals.of(NODES);
        of_nodes.or_else(|| self.refusals.of(PODS))
    }

    /// What it says of everything else that is watched, without which changes are seen late.
    pub(crate) fn hindered(&self) -> Vec<String> {
        self.refusals.but(PODS)
    }

    /// All nodes.
    pub(crate) fn nodes(&self) -> Vec<NodeFacts> {
        lock(&self.nodes.table).now.values().cloned().collect()
    }

    /// The pods of one pipeline.
    pub(crate) fn pods(&self, pipeline: &TracingPipeline) -> Vec<PodFacts> {
        let namespace = pipeline.namespace().unwrap_or_default();
        let name = pipeline.name_any();
        let table = lock(&self.pods.table);
        let of_pipeline = table
            .now
            .iter()
            .filter(|((other, _), pod)| *other == namespace && pod.pipeline == name);
        of_pipeline.map(|(_, pod)| pod.clone()).collect()
    }
}

impl Nodes {
    /// None yet.
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            table: Arc::default(),
            turns: channel::Sender::new(0),
            refusals: Refusals::new(metrics),
        }
    }

    /// Follows the cluster's nodes, for ever.
    pub(crate) async fn follow(self, client: Client) {
        let api: Api<Node> = Api::all(client);
        let mut events = std::pin::pin!(watch(api, watcher::Config::default()).default_backoff());
        while let Some(event) = events.next().await {
            let Some(event) = self.refusals.hear(NODES, event) else {
                continue;
            };
            if !lock(&self.table).take(event, NodeFacts::of).is_empty() {
                self.turns.send_modify(|turn| *turn += 1);
            }
        }
    }

    /// True when the nodes were listed once.
    pub(crate) fn listed(&self) -> bool {
        lock(&self.table).listed
    }

    /// Says that something about the nodes changed, or whether they can be watched.
    pub(crate) fn turns(&self) -> impl Stream<Item = ()> + Send + 'static {
        stream::select(changes(&self.turns), self.refusals.turns())
    }
}

#[cfg(test)]
impl Stores {
    /// As if watched.
    pub(crate) fn set(&self, nodes: Vec<NodeFacts>, namespace: &str, pods: Vec<PodFacts>) {
        let mut table = lock(&self.nodes.table);
        table.now = nodes
            .into_iter()
            .map(|node| ((String::new(), node.name.clone()), node))
            .collect();
        table.listed = true;
        let mut table = lock(&self.pods.table);
        table.now = pods
            .into_iter()
            .map(|pod| ((namespace.to_owned(), pod.name.clone()), pod))
            .collect();
        table.listed = true;
    }
}

impl Pods {
    /// Names and addresses of the collectors that work, by namespace and name of their pipeline.
    pub(crate) fn working(&self) -> BTreeMap<Key, BTreeMap<String, IpAddr>> {
        let mut working: BTreeMap<Key, BTreeMap<String, IpAddr>> = BTreeMap::new();
        for ((namespace, name), pod) in &lock(&self.table).now {
            if let Some(ip) = pod.ip.filter(|_| pod.ready && !pod.deleting) {
                let key = (namespace.clone(), pod.pipeline.clone());
                working.entry(key).or_default().insert(name.clone(), ip);
            }
        }
        working
    }

    /// Follows the scope's pods, for ever; says which pipeline's pods have changed.
    pub(crate) fn follow(
        &self,
        api: Api<Pod>,
        refusals: Refusals,
    ) -> impl Stream<Item = ObjectRef<Watched>> + Send + 'static {
        let table = Arc::clone(&self.table);
        let ours = watcher::Config::default().labels(MANAGED_SELECTOR);
        watch(api, ours).default_backoff().flat_map(move |event| {
            let event = refusals.hear(PODS, event);
            let changed = event.map(|event| lock(&table).take(event, PodFacts::of));
            let pipelines = changed
                .unwrap_or_default()
                .into_iter()
                .map(|((namespace, _), pod)| ObjectRef::new(&pod.pipeline).within(&namespace));
            stream::iter(pipelines.collect::<Vec<_>>())
        })
    }
}

/// A TracingPipeline as it is watched: by metadata alone. Each pass reads the resource anew, and one that this version
/// cannot read stops nobody else's.
pub(crate) type Watched = PartialObjectMeta<TracingPipeline>;

/// The scope's TracingPipelines, for ever, into `writer`; says which have changed.
pub(crate) fn pipelines(
    api: Api<Watched>,
    writer: Writer<Watched>,
    refusals: Refusals,
) -> impl Stream<Item = Result<Watched, watcher::Error>> + Send + 'static {
    let events = watch(api, watcher::Config::default()).default_backoff();
    // An error would hold up what the others say.
    let events = events.filter_map(move |event| {
        let event = refusals.hear("tracingpipelines", event);
        std::future::ready(event.map(Ok))
    });
    events.reflect(writer).applied_objects()
}

/// Follows what pipelines own, for ever; says whose have changed. Only their owners are needed of `plural`.
pub(crate) fn owners<K>(
    api: Api<PartialObjectMeta<K>>,
    plural: &'static str,
    refusals: Refusals,
) -> impl Stream<Item = ObjectRef<Watched>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    let ours = watcher::Config::default().labels(MANAGED_SELECTOR);
    watch(api, ours).default_backoff().flat_map(move |event| {
        let object = match refusals.hear(plural, event) {
            Some(Event::Apply(object) | Event::InitApply(object) | Event::Delete(object)) => Some(object),
            Some(Event::Init | Event::InitDone) | None => None,
        };
        let owners = object.into_iter().flat_map(|object| {
            let namespace = object.namespace();
            let of = |owner| ObjectRef::from_owner_ref(namespace.as_deref(), owner, ());
            object
                .owner_references()
                .iter()
                .filter_map(of)
                .collect::<Vec<_>>()
        });
        stream::iter(owners.collect::<Vec<_>>())
    })
}

/// Says that there was a change.
fn changes(turns: &channel::Sender<u64>) -> impl Stream<Item = ()> + Send + 'static {
    stream::unfold(turns.subscribe(), |mut turns| async move {
        turns.changed().await.ok().map(|()| ((), turns))
    })
}

type Key = (String, String);

/// Facts by namespace and name.
#[derive(Debug)]
struct Table<T> {
    now: BTreeMap<Key, T>,
    /// While a list comes in: what it has so far.
    next: BTreeMap<Key, T>,
    listed: bool,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            now: BTreeMap::new(),
            next: BTreeMap::new(),
            listed: false,
        }
    }
}

impl<T: Clone + PartialEq> Table<T> {
    /// Takes an event in; answers what is new, different or gone. A heartbeat changes no fact.
    fn take<K: Resource>(&mut self, event: Event<K>, facts: impl Fn(&K) -> T) -> Vec<(Key, T)> {
        match event {
            Event::Apply(object) => {
                let (key, new) = (key_of(&object), facts(&object));
                if self.now.get(&key) == Some(&new) {
                    return Vec::new();
                }
                self.now.insert(key.clone(), new.clone());
                vec![(key, new)]
            }
            Event::Delete(object) => self.now.remove_entry(&key_of(&object)).into_iter().collect(),
            Event::Init => {
                self.next = BTreeMap::new();
                Vec::new()
            }
            Event::InitApply(object) => {
                self.next.insert(key_of(&object), facts(&object));
                Vec::new()
            }
            Event::InitDone => {
                let old = std::mem::replace(&mut self.now, std::mem::take(&mut self.next));
                self.listed = true;
                let gone = old.iter().filter(|(key, _)| !self.now.contains_key(*key));
                let new = self.now.iter().filter(|(key, new)| old.get(*key) != Some(*new));
                gone.chain(new)
                    .map(|(key, one)| (key.clone(), one.clone()))
                    .collect()
            }
        }
    }
}

fn key_of<K: Resource>(object: &K) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn lock<T>(table: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

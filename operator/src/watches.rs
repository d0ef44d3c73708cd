//! Nodes and pods as they are watched: reduced on arrival to what is judged, so that a large cluster costs little.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, PartialObjectMeta};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Client, Resource, ResourceExt};
use tokio::sync::watch as channel;
use tracepipe_crds::TracingPipeline;

use crate::facts::{NodeFacts, PodFacts};
use crate::names::MANAGED_SELECTOR;

/// The nodes of the cluster, and a way to hear that something about them changed.
#[derive(Debug, Clone)]
pub(crate) struct Nodes {
    table: Arc<Mutex<Table<NodeFacts>>>,
    turns: channel::Sender<u64>,
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
}

impl Stores {
    /// True when nodes and pods were listed once: before, what is not here may be there all the same.
    pub(crate) fn listed(&self) -> bool {
        self.nodes.listed() && lock(&self.pods.table).listed
    }

    /// What the API server says when it does not let the operator list.
    pub(crate) fn forbidden(&self) -> Option<String> {
        let of_nodes = lock(&self.nodes.table).forbidden.clone();
        of_nodes.or_else(|| lock(&self.pods.table).forbidden.clone())
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
    pub(crate) fn new() -> Self {
        Self {
            table: Arc::default(),
            turns: channel::Sender::new(0),
        }
    }

    /// Follows the cluster's nodes, for ever.
    pub(crate) async fn follow(self, client: Client) {
        let api: Api<Node> = Api::all(client);
        let mut events = std::pin::pin!(watch(api, watcher::Config::default()).default_backoff());
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    let changed = lock(&self.table).take(event, NodeFacts::of);
                    if !changed.is_empty() {
                        self.turns.send_modify(|turn| *turn += 1);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "watching nodes; trying again");
                    lock(&self.table).forbidden = refusal(&error);
                    self.turns.send_modify(|turn| *turn += 1);
                }
            }
        }
    }

    /// True when the nodes were listed once.
    pub(crate) fn listed(&self) -> bool {
        lock(&self.table).listed
    }

    /// Says that something about the nodes changed.
    pub(crate) fn turns(&self) -> impl Stream<Item = ()> + Send + 'static {
        stream::unfold(self.turns.subscribe(), |mut turns| async move {
            turns.changed().await.ok().map(|()| ((), turns))
        })
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
    /// Follows the scope's pods, for ever; says which pipeline's pods have changed.
    pub(crate) fn follow(
        &self,
        api: Api<Pod>,
    ) -> impl Stream<Item = ObjectRef<PartialObjectMeta<TracingPipeline>>> + Send + 'static {
        let table = Arc::clone(&self.table);
        let ours = watcher::Config::default().labels(MANAGED_SELECTOR);
        watch(api, ours).default_backoff().flat_map(move |event| {
            let changed = match event {
                Ok(event) => lock(&table).take(event, PodFacts::of),
                Err(error) => {
                    tracing::warn!(%error, "watching pods; trying again");
                    lock(&table).forbidden = refusal(&error);
                    Vec::new()
                }
            };
            let pipelines = changed
                .into_iter()
                .map(|((namespace, _), pod)| ObjectRef::new(&pod.pipeline).within(&namespace));
            stream::iter(pipelines.collect::<Vec<_>>())
        })
    }
}

type Key = (String, String);

/// Facts by namespace and name.
#[derive(Debug)]
struct Table<T> {
    now: BTreeMap<Key, T>,
    /// While a list comes in: what it has so far.
    next: BTreeMap<Key, T>,
    listed: bool,
    /// The API server's words when it does not let us list.
    forbidden: Option<String>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            now: BTreeMap::new(),
            next: BTreeMap::new(),
            listed: false,
            forbidden: None,
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
                self.forbidden = None;
                let gone = old.iter().filter(|(key, _)| !self.now.contains_key(*key));
                let new = self.now.iter().filter(|(key, new)| old.get(*key) != Some(*new));
                gone.chain(new)
                    .map(|(key, one)| (key.clone(), one.clone()))
                    .collect()
            }
        }
    }
}

/// Its words, when the answer is that something is not allowed.
fn refusal(error: &watcher::Error) -> Option<String> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(answer))
        | watcher::Error::WatchStartFailed(kube::Error::Api(answer))
            if answer.code == 403 =>
        {
            Some(answer.message.clone())
        }
        watcher::Error::WatchError(answer) if answer.code == 403 => Some(answer.message.clone()),
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchError(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => None,
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

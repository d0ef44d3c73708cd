//! What the operator needs to know of nodes, pods and a DaemonSet, taken out of the API's objects. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Node, Pod};
use kube::ResourceExt;
use serde_json::Value;
use tracepipe_crds::conditions::reasons;

use crate::names::{CONTAINER, INSTANCE_LABEL, REVISION_LABEL};

/// Longest text of a container or of the API server that is passed on, in characters.
const MESSAGE_CHARS_MAX: usize = 256;

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeFacts {
    /// Its name.
    pub(crate) name: String,
    /// Its labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Taints: key, value, effect.
    pub(crate) taints: Vec<(String, String, String)>,
    /// Whether its kubelet says that it is Ready.
    pub(crate) ready: bool,
    /// Since when it exists.
    pub(crate) created: Option<Timestamp>,
}

/// A pod of a collector.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PodFacts {
    /// Its name.
    pub(crate) name: String,
    /// The pipeline it belongs to.
    pub(crate) pipeline: String,
    /// UID of its controller, as a rule the DaemonSet.
    pub(crate) owner: String,
    /// Since when it exists.
    pub(crate) created: Option<Timestamp>,
    /// Its node; empty before it is scheduled, when the one it is meant for is known from its affinity.
    pub(crate) node: String,
    /// Its address, once it has one.
    pub(crate) ip: Option<IpAddr>,
    /// Which pod template it was made from.
    pub(crate) revision: String,
    /// Whether it answers its readiness probe.
    pub(crate) ready: bool,
    /// Whether it is on its way out.
    pub(crate) deleting: bool,
    /// ConfigMaps that it mounts.
    pub(crate) config_maps: Vec<String>,
    /// Why it does not work: reason and sentence.
    pub(crate) problem: Option<(&'static str, String)>,
}

/// A DaemonSet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct DaemonSetFacts {
    /// Its identity.
    pub(crate) uid: String,
    /// The spec's generation.
    pub(crate) generation: i64,
    /// The generation that its status speaks of.
    pub(crate) observed_generation: i64,
    /// Nodes that should have a pod.
    pub(crate) desired: i64,
    /// Nodes whose pod is of the newest template, by the DaemonSet controller's count.
    pub(crate) updated: i64,
    /// [`REVISION_LABEL`] of its template.
    pub(crate) revision: String,
}

impl NodeFacts {
    /// Takes them out of a node.
    pub(crate) fn of(node: &Node) -> Self {
        let status = node.status.as_ref();
        let conditions = status
            .and_then(|status| status.conditions.as_deref())
            .unwrap_or_default();
        let taints = node
            .spec
            .as_ref()
            .and_then(|spec| spec.taints.as_deref())
            .unwrap_or_default();
        Self {
            name: node.name_any(),
            labels: node.labels().clone(),
            taints: taints
                .iter()
                .map(|taint| {
                    (
                        taint.key.clone(),
                        taint.value.clone().unwrap_or_default(),
                        taint.effect.clone(),
                    )
                })
                .collect(),
            ready: conditions
                .iter()
                .any(|one| one.type_ == "Ready" && one.status == "True"),
            created: node.creation_timestamp().map(|time| time.0),
        }
    }
}

impl PodFacts {
    /// Takes them out of a pod.
    pub(crate) fn of(pod: &Pod) -> Self {
        let label = |key: &str| pod.labels().get(key).cloned().unwrap_or_default();
        let spec = pod.spec.as_ref();
        let volumes = spec.and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
        let conditions = pod
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_deref())
            .unwrap_or_default();
        Self {
            name: pod.name_any(),
            pipeline: label(INSTANCE_LABEL),
            owner: controller_of(pod),
            created: pod.creation_timestamp().map(|time| time.0),
            node: spec
                .and_then(|spec| spec.node_name.clone())
                .or_else(|| meant_for(pod))
                .unwrap_or_default(),
            ip: pod
                .status
                .as_ref()
                .and_then(|status| status.pod_ip.as_ref()?.parse().ok()),
            revision: label(REVISION_LABEL),
            ready: conditions
                .iter()
                .any(|one| one.type_ == "Ready" && one.status == "True"),
            deleting: pod.metadata.deletion_timestamp.is_some(),
            config_maps: volumes
                .iter()
                .filter_map(|volume| volume.config_map.as_ref().map(|map| map.name.clone()))
                .collect(),
            problem: problem(pod),
        }
    }
}

impl DaemonSetFacts {
    /// Takes them out of a DaemonSet as the API server answers it.
    pub(crate) fn of(daemon_set: &Value) -> Self {
        let number = |path: &str| daemon_set.pointer(path).and_then(Value::as_i64).unwrap_or(0);
        let text = |path: &str| {
            let found = daemon_set.pointer(path).and_then(Value::as_str);
            found.unwrap_or_default().to_owned()
        };
        Self {
            uid: text("/metadata/uid"),
            generation: number("/metadata/generation"),
            observed_generation: number("/status/observedGeneration"),
            desired: number("/status/desiredNumberScheduled"),
            updated: number("/status/updatedNumberScheduled"),
            revision: text("/spec/template/metadata/labels/tracepipe.dev~1revision"),
        }
    }
}

/// The region that the nodes name, None when they name none or several. A node that has just come has no label yet.
pub(crate) fn region_of(nodes: &[NodeFacts]) -> Option<String> {
    let mut regions = nodes
        .iter()
        .filter_map(|node| node.labels.get("topology.kubernetes.io/region"));
    let first = regions.next()?;
    regions.all(|other| other == first).then(|| first.clone())
}

/// At most [`MESSAGE_CHARS_MAX`] characters of a foreign text, without control characters.
pub(crate) fn shortened(text: &str) -> String {
    let plain: String = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if plain.chars().count() <= MESSAGE_CHARS_MAX {
        return plain;
    }
    // What a program says last is why it ended.
    let tail: Vec<char> = plain.chars().rev().take(MESSAGE_CHARS_MAX - 3).collect();
    format!("...{}", tail.into_iter().rev().collect::<String>())
}

fn controller_of(pod: &Pod) -> String {
    let mut owners = pod.owner_references().iter();
    let controller = owners.find(|owner| owner.controller == Some(true));
    controller.map(|owner| owner.uid.clone()).unwrap_or_default()
}

/// The node that the DaemonSet controller made the pod for, before the scheduler has put it there.
fn meant_for(pod: &Pod) -> Option<String> {
    let affinity = pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()?;
    let terms = &affinity
        .required_during_scheduling_ignored_during_execution
        .as_ref()?
        .node_selector_terms;
    let fields = terms
        .iter()
        .flat_map(|term| term.match_fields.as_deref().unwrap_or_default());
    fields
        .filter(|field| field.key == "metadata.name")
        .find_map(|field| field.values.as_ref()?.first().cloned())
}

fn problem(pod: &Pod) -> Option<(&'static str, String)> {
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.as_deref().unwrap_or_default();
    if let Some(found) = containers
        .iter()
        .find(|one| one.name == CONTAINER)
        .and_then(container_problem)
    {
        return Some(found);
    }
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let unscheduled = conditions
        .iter()
        .find(|one| one.type_ == "PodScheduled" && one.status == "False")?;
    let message = unscheduled.message.as_deref().unwrap_or("it is not scheduled");
    Some(("Pending", shortened(message)))
}

fn container_problem(container: &ContainerStatus) -> Option<(&'static str, String)> {
    let state = container.state.as_ref();
    let last_end = container
        .last_state
        .as_ref()
        .and_then(|last| last.terminated.as_ref())
        .or_else(|| state.and_then(|state| state.terminated.as_ref()));
    if let Some(waiting) = state.and_then(|state| state.waiting.as_ref()) {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        let message = waiting.message.as_deref().unwrap_or(reason);
        match reason {
            "ContainerCreating" | "PodInitializing" | "" => return None,
            "ErrImagePull"
            | "ImagePullBackOff"
            | "ErrImageNeverPull"
            | "InvalidImageName"
            | "ImageInspectError"
            | "RegistryUnavailable" => {
                return Some((
                    reasons::IMAGE_PULL,
                    shortened(&format!("{}: {message}", container.image)),
                ));
            }
            "CrashLoopBackOff" if last_end.is_some() => {}
            // CreateContainerError, RunContainerError and what later versions call it.
            _ => return Some((reasons::CRASH_LOOP, shortened(&format!("{reason}: {message}")))),
        }
    }
    let end = last_end.filter(|_| !container.ready)?;
    let said = end
        .message
        .as_deref()
        .or(end.reason.as_deref())
        .unwrap_or("no message");
    let text = format!(
        "exit code {}, restarted {} times: {said}",
        end.exit_code, container.restart_count
    );
    Some((reasons::CRASH_LOOP, shortened(&text)))
}

#[cfg(test)]
mod tests;

//! Whether every node that should have a collector has one that works. Pure: the answer is Ready's.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use tracepipe_crds::conditions::reasons;
use tracepipe_crds::{Collector, FailingPod, Toleration, TolerationEffect, TolerationOperator};

use crate::facts::{DaemonSetFacts, NodeFacts, PodFacts};

/// A node that has just come does not make a working pipeline unready: its pod needs a while.
const YOUNG_NODE: SignedDuration = SignedDuration::from_secs(120);
/// The DaemonSet controller tries again after at most 1000 s (client-go's default rate limiter).
const REFUSAL_LIFE: SignedDuration = SignedDuration::from_secs(1200);
/// Pods named in the status.
const FAILING_MAX: usize = 5;

/// Everything that the judgement rests on.
#[derive(Debug)]
pub(crate) struct Evidence<'a> {
    /// None: there is none yet.
    pub(crate) daemon_set: Option<&'a DaemonSetFacts>,
    /// The pod template that shall run.
    pub(crate) revision: &'a str,
    /// The DaemonSet's pods.
    pub(crate) pods: &'a [PodFacts],
    /// All nodes of the cluster.
    pub(crate) nodes: &'a [NodeFacts],
    /// Where pods may run.
    pub(crate) collector: &'a Collector,
    /// What the API server said when it refused a pod, if it did.
    pub(crate) refused: Option<&'a str>,
    /// The time.
    pub(crate) now: Timestamp,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// True: every node that should have a collector has one that works.
    pub(crate) complete: bool,
    /// One of [`reasons`], of the condition CollectorAvailable.
    pub(crate) reason: &'static str,
    /// A sentence.
    pub(crate) message: String,
    /// Nodes that should have a collector.
    pub(crate) desired: usize,
    /// Of these, nodes that have one that works.
    pub(crate) ready: usize,
    /// Pods that do not work.
    pub(crate) failing: Vec<FailingPod>,
    /// When the answer may change although nothing happens.
    pub(crate) look_again: Option<SignedDuration>,
}

impl Verdict {
    /// The pods do not become what they shall be yet.
    pub(crate) fn wait_for_identity(&mut self) {
        self.complete = false;
        self.reason = reasons::WAITING_FOR_IDENTITY;
        "the pods wait until AWS has given their role to the operator; IdentityReady says more"
            .clone_into(&mut self.message);
    }
}

/// True when pods are missing on nodes that should have one: only then the API server's refusals are worth a read.
pub(crate) fn misses_pods(evidence: &Evidence<'_>) -> bool {
    let new = evidence
        .pods
        .iter()
        .filter(|pod| pod.revision == evidence.revision);
    let nodes_with_one: BTreeSet<&str> = new.map(|pod| pod.node.as_str()).collect();
    !Nodes::of(evidence).required.is_subset(&nodes_with_one)
}

/// True when a refusal at this time still says why pods are missing: none could be made since, and the DaemonSet
/// controller would have tried again.
pub(crate) fn still_refused(at: Timestamp, evidence: &Evidence<'_>) -> bool {
    let newest = evidence.pods.iter().filter_map(|pod| pod.created).max();
    newest.is_none_or(|newest| at >= newest) && evidence.now.duration_since(at) < REFUSAL_LIFE
}

/// Judges.
pub(crate) fn judge(evidence: &Evidence<'_>) -> Verdict {
    let nodes = Nodes::of(evidence);
    let works = working_nodes(evidence);
    let required: BTreeSet<&str> = nodes
        .required
        .iter()
        .chain(nodes.young.intersection(&works))
        .copied()
        .collect();
    let ready = required.intersection(&works).count();
    let mut verdict = Verdict {
        complete: false,
        reason: reasons::ROLLING_OUT,
        message: String::new(),
        desired: required.len(),
        ready,
        failing: Vec::new(),
        look_again: nodes.matures_in,
    };
    let Some(daemon_set) = evidence.daemon_set else {
        verdict.reason = reasons::NOT_APPLIED;
        verdict.message = "there is no DaemonSet yet".to_owned();
        return verdict;
    };
    if required.is_empty() {
        verdict.reason = reasons::NO_ELIGIBLE_NODES;
        verdict.message = nodes.why_none();
        return verdict;
    }
    let missing: Vec<&str> = required.difference(&works).copied().collect();
    verdict.failing = failing(evidence, &missing);
    if let Some(first) = verdict.failing.first() {
        verdict.reason = reason_of(first);
        verdict.message = format!(
            "{ready} of {} nodes: {}: {}",
            required.len(),
            first.node,
            first.message
        );
    } else if !missing.is_empty() {
        verdict.message = format!("{ready} of {} nodes have a working collector", required.len());
    } else if let Some(why) = unsettled(evidence, daemon_set, &required) {
        verdict.message = why;
    } else {
        verdict.complete = true;
        verdict.reason = reasons::ROLLOUT_COMPLETE;
        verdict.message = nodes.all_well(required.len());
    }
    verdict
}

/// Nodes by what is expected of them.
struct Nodes<'a> {
    /// Ready nodes that must have a collector.
    required: BTreeSet<&'a str>,
    /// Ready nodes that may still be without.
    young: BTreeSet<&'a str>,
    /// Nodes that would have one if they were Ready.
    not_ready: usize,
    /// When the next young node is no longer young.
    matures_in: Option<SignedDuration>,
}

impl<'a> Nodes<'a> {
    fn of(evidence: &Evidence<'a>) -> Self {
        let mut nodes = Self {
            required: BTreeSet::new(),
            young: BTreeSet::new(),
            not_ready: 0,
            matures_in: None,
        };
        for node in evidence
            .nodes
            .iter()
            .filter(|node| is_eligible(node, evidence.collector))
        {
            let age = node
                .created
                .map_or(YOUNG_NODE, |created| evidence.now.duration_since(created));
            if !node.ready {
                nodes.not_ready += 1;
            } else if age < YOUNG_NODE {
                nodes.young.insert(&node.name);
                let rest = YOUNG_NODE - age;
                nodes.matures_in = Some(nodes.matures_in.map_or(rest, |other| other.min(rest)));
            } else {
                nodes.required.insert(&node.name);
            }
        }
        // In a cluster that is new as a whole, its nodes are what counts.
        if nodes.required.is_empty() {
            nodes.required = std::mem::take(&mut nodes.young);
            nodes.matures_in = None;
        }
        nodes
    }

    fn why_none(&self) -> String {
        match self.not_ready {
            0 => {
                "no Linux node matches spec.collector.nodeSelector and spec.collector.tolerations".to_owned()
            }
            1 => "the one node that matches is not Ready".to_owned(),
            count => format!("{count} nodes match, none of them is Ready"),
        }
    }

    fn all_well(&self, count: usize) -> String {
        let mut text = match count {
            1 => "the one node has a working collector".to_owned(),
            count => format!("all {count} nodes have a working collector"),
        };
        if self.not_ready > 0 {
            text.push_str(&format!("; {} not Ready and left out", self.not_ready));
        }
        text
    }
}

/// Nodes with a working pod of the revision that shall run, and no older one that is still wanted.
fn working_nodes<'a>(evidence: &Evidence<'a>) -> BTreeSet<&'a str> {
    let mut works = BTreeMap::new();
    for pod in evidence.pods.iter().filter(|pod| !pod.deleting) {
        let new = pod.revision == evidence.revision;
        let state = works.entry(pod.node.as_str()).or_insert((false, false));
        state.0 |= new && pod.ready;
        state.1 |= !new;
    }
    works
        .into_iter()
        .filter_map(|(node, (ready, old))| (ready && !old).then_some(node))
        .collect()
}

/// Why the DaemonSet controller is not done although each node has its pod.
fn unsettled(
    evidence: &Evidence<'_>,
    daemon_set: &DaemonSetFacts,
    required: &BTreeSet<&str>,
) -> Option<String> {
    if daemon_set.revision != evidence.revision || daemon_set.observed_generation != daemon_set.generation {
        return Some("the DaemonSet controller has not seen the newest pod template".to_owned());
    }
    // Somebody else's change of the template (kubectl rollout restart) rolls the same revision once more.
    let outdated = daemon_set.desired - daemon_set.updated;
    let elsewhere = daemon_set.desired - i64::try_from(required.len()).unwrap_or(i64::MAX);
    (outdated > elsewhere.max(0)).then(|| format!("{outdated} pods are being replaced"))
}

fn failing(evidence: &Evidence<'_>, missing: &[&str]) -> Vec<FailingPod> {
    let mut by_node: BTreeMap<&str, Vec<&PodFacts>> = BTreeMap::new();
    let new = |pod: &&PodFacts| pod.revision == evidence.revision && !pod.deleting;
    for pod in evidence.pods.iter().filter(new) {
        by_node.entry(&pod.node).or_default().push(pod);
    }
    let failing = missing.iter().filter_map(|node| {
        let pods = by_node.get(node).map(Vec::as_slice).unwrap_or_default();
        let problem = pods.iter().find_map(|pod| Some((*pod, pod.problem.as_ref()?)));
        let (pod, reason, message) = match (problem, evidence.refused) {
            (Some((pod, (reason, message))), _) => (pod.name.as_str(), *reason, message.as_str()),
            (None, Some(refused)) if pods.is_empty() => ("", reasons::FORBIDDEN, refused),
            (None, _) => return None,
        };
        Some(FailingPod {
            node: (*node).to_owned(),
            pod: pod.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
        })
    });
    failing.take(FAILING_MAX).collect()
}

fn reason_of(pod: &FailingPod) -> &'static str {
    [reasons::IMAGE_PULL, reasons::CRASH_LOOP, reasons::FORBIDDEN]
        .into_iter()
        .find(|reason| *reason == pod.reason)
        .unwrap_or(reasons::ROLLING_OUT)
}

/// Whether the DaemonSet controller would put a pod on the node: the plan's affinity, the selector, the tolerations.
fn is_eligible(node: &NodeFacts, collector: &Collector) -> bool {
    let label = |key: &str| node.labels.get(key).map(String::as_str);
    label("kubernetes.io/os") == Some("linux")
        && label("eks.amazonaws.com/compute-type") != Some("fargate")
        && collector
            .node_selector
            .iter()
            .all(|(key, value)| label(key) == Some(value))
        && node
            .taints
            .iter()
            .all(|taint| is_borne(taint, &collector.tolerations))
}

/// Taints that the DaemonSet controller lets its pods bear.
/// <https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#taints-and-tolerations>
const BORNE_BY_ALL: [&str; 6] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/unschedulable",
];

fn is_borne((key, value, effect): &(String, String, String), tolerations: &[Toleration]) -> bool {
    if effect == "PreferNoSchedule" || BORNE_BY_ALL.contains(&key.as_str()) {
        return true;
    }
    tolerations.iter().any(|one| {
        let same_effect = one.effect.is_none_or(|known| effect_name(known) == effect);
        let wanted = one.key.as_deref().unwrap_or_default();
        let same_key = wanted == key || (wanted.is_empty() && one.operator == TolerationOperator::Exists);
        let same_value = match one.operator {
            TolerationOperator::Exists => true,
            TolerationOperator::Equal => one.value.as_deref().unwrap_or_default() == value,
        };
        same_effect && same_key && same_value
    })
}

fn effect_name(effect: TolerationEffect) -> &'static str {
    match effect {
        TolerationEffect::NoSchedule => "NoSchedule",
        TolerationEffect::PreferNoSchedule => "PreferNoSchedule",
        TolerationEffect::NoExecute => "NoExecute",
    }
}

#[cfg(test)]
mod tests;

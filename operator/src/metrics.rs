//! What the operator counts, as Prometheus text.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use kube::ResourceExt;
use tracepipe_crds::{TracingPipeline, TracingPipelineStatus};

use crate::plan::Kind;

/// Counters and the last status of each pipeline.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    failures: AtomicU64,
    /// By verb and resource.
    forbidden: Mutex<BTreeMap<(String, String), u64>>,
    writes: Mutex<BTreeMap<&'static str, u64>>,
    conditions: Mutex<BTreeMap<Series, bool>>,
}

/// Namespace, pipeline, condition type.
type Series = (String, String, String);

impl Metrics {
    /// A pass failed.
    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// The API server does not allow something. False: its words name no right.
    pub(crate) fn forbidden(&self, words: &str) -> bool {
        let Some((verb, resource)) = missing_right(words) else {
            return false;
        };
        let mut forbidden = self.forbidden.lock().unwrap_or_else(PoisonError::into_inner);
        *forbidden
            .entry((verb.to_owned(), resource.to_owned()))
            .or_default() += 1;
        true
    }

    /// An object was written.
    pub(crate) fn wrote(&self, kind: Kind) {
        let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        *writes.entry(kind.name()).or_default() += 1;
    }

    /// A pipeline has this status.
    pub(crate) fn status(&self, pipeline: &TracingPipeline, status: &TracingPipelineStatus) {
        let (namespace, name) = (pipeline.namespace().unwrap_or_default(), pipeline.name_any());
        let mut all = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(other, one, _), _| *other != namespace || *one != name);
        for condition in &status.conditions {
            let series = (namespace.clone(), name.clone(), condition.type_.clone());
            all.insert(series, condition.status == "True");
        }
    }

    /// A pipeline is gone.
    pub(crate) fn gone(&self, namespace: &str, name: &str) {
        let mut all = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(other, one, _), _| other != namespace || one != name);
    }

    /// In the Prometheus text format.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        let mut family =
            |name: &str, kind: &str, help: &str, samples: &mut dyn Iterator<Item = (String, u64)>| {
                // Writing to a String cannot fail.
                text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
                for (labels, value) in samples {
                    text.push_str(&format!("{name}{labels} {value}\n"));
                }
            };
        let failures = self.failures.load(Ordering::Relaxed);
        family(
            "tracepipe_operator_reconcile_failures_total",
            "counter",
            "Passes over a pipeline that ended with an error.",
            &mut std::iter::once((String::new(), failures)),
        );
        let forbidden = self
            .forbidden
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        family(
            "tracepipe_operator_forbidden_total",
            "counter",
            "Requests for which the operator lacks a right in Kubernetes.",
            &mut forbidden.iter().map(|((verb, resource), count)| {
                let labels = format!("{{verb=\"{verb}\",resource=\"{resource}\"}}");
                (labels, *count)
            }),
        );
        let writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        family(
            "tracepipe_operator_writes_total",
            "counter",
            "Objects created or applied, by kind.",
            &mut writes
                .iter()
                .map(|(kind, count)| (format!("{{kind=\"{kind}\"}}"), *count)),
        );
        let conditions = self
            .conditions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        family(
            "tracepipe_operator_pipeline_condition",
            "gauge",
            "1 when the condition of the TracingPipeline is True, else 0.",
            &mut conditions.iter().map(|((namespace, name, kind), on)| {
                let labels = format!("{{namespace=\"{namespace}\",name=\"{name}\",type=\"{kind}\"}}");
                (labels, u64::from(*on))
            }),
        );
        text
    }
}

/// Verb and resource of `... cannot VERB resource "RESOURCE" in API group ...`, as Kubernetes' authorizers say it. Only what
/// looks like both: it becomes a label.
fn missing_right(words: &str) -> Option<(&str, &str)> {
    let (_, rest) = words.split_once(" cannot ")?;
    let (verb, rest) = rest.split_once(" resource \"")?;
    let (resource, _) = rest.split_once('"')?;
    let plain = |text: &str| {
        let is_plain = |c: char| c.is_ascii_lowercase() || c == '/';
        !text.is_empty() && text.len() <= 64 && text.chars().all(is_plain)
    };
    (plain(verb) && plain(resource)).then_some((verb, resource))
}

#[cfg(test)]
mod tests;

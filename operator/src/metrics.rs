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

#[cfg(test)]
mod tests;

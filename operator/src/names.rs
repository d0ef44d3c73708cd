//! Names, labels and keys of everything that the operator makes. They are an API: selectors, alerts and trust policies
//! hold them.

use std::collections::BTreeMap;

/// Field manager of every write, and the value of `app.kubernetes.io/managed-by`.
pub(crate) const MANAGER: &str = "tracepipe-operator";
/// Label that tells pods of one revision of the pod template from those of another.
pub(crate) const REVISION_LABEL: &str = "tracepipe.dev/revision";
/// Annotation with the hash of what was applied last, so that a field that is no longer set is taken back.
pub(crate) const APPLIED_ANNOTATION: &str = "tracepipe.dev/applied";
/// Annotation of a ServiceAccount that EKS's pod identity webhook reads.
pub(crate) const ROLE_ANNOTATION: &str = "eks.amazonaws.com/role-arn";
/// Selects every object that the operator makes.
pub(crate) const MANAGED_SELECTOR: &str = "app.kubernetes.io/managed-by=tracepipe-operator";
/// Label with the name of the pipeline.
pub(crate) const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";

/// Variable of the collector with its node's name.
pub(crate) const NODE_NAME_VARIABLE: &str = "K8S_NODE_NAME";
/// Name of the collector's container.
pub(crate) const CONTAINER: &str = "collector";
/// OTLP over gRPC.
pub(crate) const GRPC_PORT: u16 = 4317;
/// OTLP over HTTP.
pub(crate) const HTTP_PORT: u16 = 4318;
/// The collector's own metrics.
pub(crate) const METRICS_PORT: u16 = 8888;
/// Health.
pub(crate) const HEALTH_PORT: u16 = 13133;

/// Where the collector keeps the decisions that outlive its container.
pub(crate) const DECISIONS_FOLDER: &str = "/var/lib/tracepipe/decisions";

/// Name of the ServiceAccount and of the DaemonSet. A pipeline called `default` must not touch the ServiceAccount
/// `default`, so it is never the pipeline's own name.
pub(crate) fn workload(pipeline: &str) -> String {
    format!("{pipeline}-collector")
}

/// Name of the ConfigMap with this hash.
pub(crate) fn config_map(pipeline: &str, hash: &str) -> String {
    format!("{pipeline}-collector-{hash}")
}

/// The labels that select a pipeline's pods. They never change: a DaemonSet's selector cannot.
pub(crate) fn selector(pipeline: &str) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "tracepipe-collector"),
        (INSTANCE_LABEL, pipeline),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// [`selector`] and what else each object carries.
pub(crate) fn labels(pipeline: &str) -> BTreeMap<String, String> {
    let mut labels = selector(pipeline);
    for (key, value) in [
        ("app.kubernetes.io/component", "collector"),
        ("app.kubernetes.io/part-of", "tracepipe"),
        ("app.kubernetes.io/managed-by", MANAGER),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    labels
}

/// A label selector that matches exactly a pipeline's own objects.
pub(crate) fn selector_text(pipeline: &str) -> String {
    format!("{MANAGED_SELECTOR},{INSTANCE_LABEL}={pipeline}")
}

//! The columns of `kubectl get tracingpipelines`.

use serde_json::{Value, json};

/// The columns as the CRD has them.
pub(super) fn columns() -> Value {
    let mut wide = false;
    let columns = COLUMNS.iter().map(|&(name, kind, path, text)| {
        let mut column = json!({ "name": name, "type": kind, "jsonPath": path, "description": text });
        if wide {
            column["priority"] = json!(1);
        }
        wide |= name == "Age";
        column
    });
    columns.collect()
}

/// What `kubectl get` prints: name, type, where, text; those behind `Age` with `-o wide` alone.
const COLUMNS: &[(&str, &str, &str, &str)] = &[
    (
        "Ready",
        "string",
        ".status.conditions[?(@.type==\"Ready\")].status",
        "Whether every node that should have a collector has one that works.",
    ),
    (
        "Reason",
        "string",
        ".status.conditions[?(@.type==\"Ready\")].reason",
        "Why it is ready or not, in one word.",
    ),
    (
        "Nodes",
        "string",
        ".status.collector.nodes",
        "Nodes with a working collector, of those that should have one.",
    ),
    (
        "Exporting",
        "string",
        ".status.conditions[?(@.type==\"Exporting\")].status",
        "Whether backends take what the collectors send.",
    ),
    (
        "Sampling",
        "string",
        ".status.effective.samplingRatePercentage",
        "Share of the traces that are neither failed nor slow, in percent.",
    ),
    (
        "Age",
        "date",
        ".metadata.creationTimestamp",
        "How old the resource is.",
    ),
    (
        "gRPC",
        "string",
        ".status.endpoints.grpc",
        "Where applications send OTLP over gRPC.",
    ),
    (
        "Role",
        "string",
        ".status.identity.roleArn",
        "The IAM role that the collectors use.",
    ),
    (
        "Region",
        "string",
        ".status.effective.region",
        "The AWS region that traces go to.",
    ),
    (
        "Message",
        "string",
        ".status.conditions[?(@.type==\"Ready\")].message",
        "Why it is ready or not, in a sentence.",
    ),
];

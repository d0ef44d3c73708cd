//! What people write about sampling.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policies::{NUMBER_MAX, Policy};
use crate::rules::{self, cel, message, validation};

/// Which traces are kept. Errors, slow traces and the sampled share are decided first; `policies` add to them.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Sampling {
    /// Keep every trace that has a span with status ERROR.
    pub keep_errors: bool,
    /// Keep every trace that took longer than this, from its first span's start to its last span's end, for example
    /// `500ms` or `2s`. `0s` keeps no trace for being slow. At most `1h`, in whole milliseconds.
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-validations" = [validation(cel::SLOW_THRESHOLD, message::SLOW_THRESHOLD)]))]
    pub slow_threshold: String,
    /// How long a trace is collected before it is decided, counted from its first span, for example `10s`. Longer
    /// waits see slower traces whole and hold more memory. `100ms` to `5m`.
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-validations" = [validation(cel::DECISION_WAIT, message::DECISION_WAIT)]))]
    pub decision_wait: String,
    /// How long a trace is collected after its root span, where that makes the wait shorter, for example `2s`. A root
    /// span is the last to end in most traces. `100ms` to `5m`. Absent: a root span makes no difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-validations" = [validation(cel::DECISION_WAIT, message::DECISION_WAIT)]))]
    pub decision_wait_after_root: Option<String>,
    /// Traces that a collector holds undecided at once. When one more comes, the oldest is decided on what is known,
    /// or with `blockOnOverflow` the new one is refused.
    #[schemars(range(min = 100, max = 10_000_000))]
    pub num_traces: i64,
    /// When `numTraces` are held, refuse requests with new traces, retryably, until there is room.
    pub block_on_overflow: bool,
    /// How many traces to make room for at start. A hint; 0 is none.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub expected_new_traces_per_sec: i64,
    /// A trace with more bytes than this is dropped at once. Absent: no such bound; a trace that grows very large is
    /// decided early.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = NUMBER_MAX))]
    pub maximum_trace_size_bytes: Option<i64>,
    /// Ask no further policy once one wants a trace. Policies that are not asked count nothing, and limit no rate.
    pub sample_on_first_match: bool,
    /// Write the name of the policy that kept a trace to its spans, as the attribute `tailsampling.policy`.
    pub record_policy: bool,
    /// Decisions that are remembered for spans that come late.
    pub decision_cache: DecisionCache,
    /// Further traces to keep: a trace is kept when any policy says so, unless a `Drop` policy drops it.
    #[schemars(length(max = 50))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub policies: Vec<Policy>,
}

/// Decisions that are remembered for spans that come late.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct DecisionCache {
    /// Kept traces that are remembered. Absent: as many as `numTraces`. 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub sampled_cache_size: Option<i64>,
    /// Dropped traces that are remembered. Absent: as many as `numTraces`. 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub non_sampled_cache_size: Option<i64>,
    /// Keep them on the node's disk, in an emptyDir, so that a container that starts again still knows them. A pod that
    /// is replaced starts without. Off when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistence: Option<Persistence>,
}

/// Where decisions outlive a container.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Persistence {
    /// Most space on the node's disk, for example `64Mi`: at least `1Mi`, and 64 bytes for each
    /// decision that is remembered.
    #[schemars(length(max = 20), regex(pattern = rules::AMOUNT))]
    pub size_limit: String,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            keep_errors: true,
            slow_threshold: "500ms".to_owned(),
            decision_wait: "10s".to_owned(),
            decision_wait_after_root: None,
            num_traces: 100_000,
            block_on_overflow: false,
            expected_new_traces_per_sec: 0,
            maximum_trace_size_bytes: None,
            sample_on_first_match: false,
            record_policy: true,
            decision_cache: DecisionCache::default(),
            policies: Vec::new(),
        }
    }
}

impl Default for Persistence {
    fn default() -> Self {
        Self {
            size_limit: "64Mi".to_owned(),
        }
    }
}

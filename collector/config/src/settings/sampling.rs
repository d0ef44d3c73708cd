//! `tail_sampling`.

use std::path::PathBuf;
use std::time::Duration;

/// `tail_sampling`.
#[derive(Debug, Clone, PartialEq)]
pub struct TailSamplingSettings {
    /// From a trace's first span to its decision.
    pub decision_wait: Duration,
    /// From the first root span of a trace to its decision, when that comes earlier; none: roots make no difference.
    pub decision_wait_after_root_received: Option<Duration>,
    /// Most traces waiting for a decision.
    pub num_traces: u64,
    /// False: when `num_traces` wait and another comes, the oldest is decided at once. True: requests with new traces
    /// are refused, retryably, until there is room.
    pub block_on_overflow: bool,
    /// How many traces to make room for at start; a hint, as upstream.
    pub expected_new_traces_per_sec: u64,
    /// A trace with more bytes than this is dropped at once; none: no such bound.
    pub maximum_trace_size_bytes: Option<u64>,
    /// Policies after the first one that wants a trace are not asked; they count nothing then.
    pub sample_on_first_match: bool,
    /// Kept spans get the attribute `tailsampling.policy`. Default true; upstream has it behind a feature gate.
    pub record_policy: bool,
    /// How many decisions are remembered for late spans.
    pub decision_cache: DecisionCacheSettings,
    /// In the order of the file; names are unique and not empty.
    pub policies: Vec<PolicySettings>,
}

/// `tail_sampling.decision_cache`. Ours is on by default; upstream's is off.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionCacheSettings {
    /// Kept traces remembered. Default `num_traces`.
    pub sampled_cache_size: u64,
    /// Dropped traces remembered. Default `num_traces`.
    pub non_sampled_cache_size: u64,
    /// Where decisions are kept over a restart of the process; none: in memory only. A key of our own.
    pub directory: Option<PathBuf>,
}

/// One sampling policy.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicySettings {
    /// Unique among the policies; it stands in metrics and in `tailsampling.policy`.
    pub name: String,
    /// What it looks for.
    pub kind: PolicyKind,
}

/// A policy at the top level. Which may stand in which is upstream's rule.
#[derive(Debug, Clone, PartialEq)]
pub enum PolicyKind {
    /// One of the policies that may stand everywhere.
    Simple(SimplePolicy),
    /// `and`: all of these want the trace, each perhaps for another span. Not empty.
    And(Vec<AndMember>),
    /// `not`: this one does not want the trace.
    Not(SimplePolicy),
    /// `drop`: when all of these want the trace it is dropped, whatever other policies say. Not empty.
    Drop(Vec<AndMember>),
    /// `composite`: the first member that wants the trace keeps it, if its share of the rate allows.
    Composite(CompositeSettings),
}

/// A member of `and` or `drop`.
#[derive(Debug, Clone, PartialEq)]
pub enum AndMember {
    /// Wants what the policy wants.
    Simple(SimplePolicy),
    /// Wants what the policy does not want.
    Not(SimplePolicy),
}

/// `composite`.
#[derive(Debug, Clone, PartialEq)]
pub struct CompositeSettings {
    /// Most spans a second over all members.
    pub max_total_spans_per_second: u64,
    /// Not empty, in the order in which they are asked: that of `policy_order`, then those it does not name.
    pub members: Vec<CompositeMember>,
}

/// A member of `composite`.
#[derive(Debug, Clone, PartialEq)]
pub struct CompositeMember {
    /// Unique among the members.
    pub name: String,
    /// What it looks for.
    pub kind: CompositeKind,
    /// Most spans a second through this member, by `rate_allocation`; members without one share evenly what is left.
    pub spans_per_second: u64,
}

/// What may stand in `composite`.
#[derive(Debug, Clone, PartialEq)]
pub enum CompositeKind {
    /// One of the policies that may stand everywhere.
    Simple(SimplePolicy),
    /// `and`. Not empty.
    And(Vec<AndMember>),
}

/// The policies that may stand everywhere, by upstream's `type`.
#[derive(Debug, Clone, PartialEq)]
pub enum SimplePolicy {
    /// `always_sample`.
    AlwaysSample,
    /// `latency`: last end minus first start of the trace, in whole milliseconds.
    Latency {
        /// In milliseconds, exclusive.
        threshold_ms: i64,
        /// In milliseconds, inclusive; none: no upper bound.
        upper_threshold_ms: Option<i64>,
    },
    /// `numeric_attribute`: an attribute of any span, or of its resource, is a number within the bounds.
    NumericAttribute {
        /// Not empty.
        key: String,
        /// Inclusive; at least one of the bounds is there.
        min_value: Option<i64>,
        /// Inclusive.
        max_value: Option<i64>,
        /// Wants traces where no attribute matches.
        invert_match: bool,
    },
    /// `string_attribute`: an attribute of any span, or of its resource, is a text that matches.
    StringAttribute {
        /// Not empty.
        key: String,
        /// What matches.
        matcher: StringMatcher,
        /// Wants traces where no attribute matches.
        invert_match: bool,
    },
    /// `boolean_attribute`: an attribute of any span, or of its resource, is this truth value.
    BooleanAttribute {
        /// Not empty.
        key: String,
        /// The value.
        value: bool,
        /// Wants traces where no attribute matches.
        invert_match: bool,
    },
    /// `status_code`: any span has one of these.
    StatusCode {
        /// Not empty.
        status_codes: Vec<StatusCode>,
    },
    /// `probabilistic`: FNV-1a 64 over salt and trace id, at most `sampling_percentage / 100 * 2^64`.
    Probabilistic {
        /// Upstream's default is `default-hash-seed`.
        hash_salt: String,
        /// As written; values of 100 and more keep everything, 0 and less nothing (but a hash of exactly 0).
        sampling_percentage: f64,
    },
    /// `rate_limiting`: a token bucket of spans; a trace fits as a whole or not at all.
    RateLimiting {
        /// Tokens added a second.
        spans_per_second: u64,
        /// Size of the bucket. Default twice `spans_per_second`.
        burst_capacity: u64,
    },
    /// `bytes_limiting`: a token bucket of bytes; a trace fits as a whole or not at all.
    BytesLimiting {
        /// Tokens added a second.
        bytes_per_second: u64,
        /// Size of the bucket. Default twice `bytes_per_second`.
        burst_capacity: u64,
    },
    /// `span_count`: the trace has at least and at most so many spans.
    SpanCount {
        /// Inclusive.
        min_spans: u32,
        /// Inclusive; none: no upper bound.
        max_spans: Option<u32>,
    },
    /// `trace_state`: any span's W3C tracestate has the key with one of the values.
    TraceState {
        /// Not empty.
        key: String,
        /// Not empty.
        values: Vec<String>,
    },
    /// `trace_flags`: any span's flags have the W3C bit "sampled".
    TraceFlags,
}

/// What texts `string_attribute` matches.
#[derive(Debug, Clone, PartialEq)]
pub enum StringMatcher {
    /// Equal to one of these. Not empty; none of them is empty.
    Exact(Vec<String>),
    /// A match of one of these anywhere in the text, with the meaning of Go's `regexp`.
    Regex {
        /// As written; each compiles. Not empty.
        patterns: Vec<String>,
        /// Most results remembered. Default 128.
        cache_max_size: u64,
    },
}

/// A span's status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusCode {
    /// Nothing was said.
    Unset,
    /// Set by the application to say that it went well.
    Ok,
    /// It failed.
    Error,
}

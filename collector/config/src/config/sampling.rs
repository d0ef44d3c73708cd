//! `tail_sampling` as it was written. Which policy may stand in which is upstream's rule, and the types keep it.

mod decode;

use super::{Field, Spanned};
use crate::duration::GoDuration;
use crate::settings::StatusCode;

pub(super) use decode::tail_sampling;

/// `tail_sampling`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TailSamplingConfig {
    /// Default 30 s, as upstream.
    pub decision_wait: Field<GoDuration>,
    /// 0 or nothing: a root span makes no difference.
    pub decision_wait_after_root_received: Field<GoDuration>,
    /// Default 50000, as upstream.
    pub num_traces: Field<u64>,
    /// Default false, as upstream.
    pub block_on_overflow: Field<bool>,
    /// Default 0, as upstream.
    pub expected_new_traces_per_sec: Field<u64>,
    /// In bytes; 0 or nothing: no bound.
    pub maximum_trace_size_bytes: Field<u64>,
    /// Default false, as upstream.
    pub sample_on_first_match: Field<bool>,
    /// Default true. A key of our own: upstream has a feature gate in its place, which is off.
    pub record_policy: Field<bool>,
    /// `decision_cache`.
    pub decision_cache: DecisionCacheConfig,
    /// Required, not empty.
    pub policies: Policies<PolicyKindConfig>,
}

/// `tail_sampling.decision_cache`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DecisionCacheConfig {
    /// In traces; nothing: as many as `num_traces`. 0: none.
    pub sampled_cache_size: Field<u64>,
    /// In traces; nothing: as many as `num_traces`. 0: none.
    pub non_sampled_cache_size: Field<u64>,
    /// An absolute path; nothing: in memory only. A key of our own.
    pub directory: Field<String>,
}

/// Policies in their order.
pub type Policies<Kind> = Field<Vec<Spanned<PolicyConfig<Kind>>>>;

/// A policy, or a member of one.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyConfig<Kind = PolicyKindConfig> {
    /// Required and unique among policies and among the members of a `composite`; elsewhere it says nothing.
    pub name: Field<String>,
    /// By its `type`.
    pub kind: Kind,
}

/// What may stand in `policies`.
#[derive(Debug, Clone, PartialEq)]
pub enum PolicyKindConfig {
    /// One that may stand everywhere.
    Simple(SimplePolicyConfig),
    /// `and.and_sub_policy`: required, not empty.
    And(Policies<AndMemberConfig>),
    /// `not.not_sub_policy`: required.
    Not(NotConfig),
    /// `drop.drop_sub_policy`: required, not empty.
    Drop(Policies<AndMemberConfig>),
    /// `composite`.
    Composite(CompositeConfig),
}

/// What may stand in `and` and in `drop`.
#[derive(Debug, Clone, PartialEq)]
pub enum AndMemberConfig {
    /// One that may stand everywhere.
    Simple(SimplePolicyConfig),
    /// `not.not_sub_policy`: required.
    Not(NotConfig),
}

/// What stands in `not`.
pub type NotConfig = Field<PolicyConfig<SimplePolicyConfig>>;

/// `composite`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CompositeConfig {
    /// Required, above 0.
    pub max_total_spans_per_second: Field<u64>,
    /// Names of members; those it does not name come behind, in their order.
    pub policy_order: Field<Vec<Spanned<String>>>,
    /// Required, not empty.
    pub composite_sub_policy: Policies<CompositeMemberConfig>,
    /// Members that it does not name share evenly what it leaves.
    pub rate_allocation: Field<Vec<Spanned<RateAllocationConfig>>>,
}

/// What may stand in `composite`.
#[derive(Debug, Clone, PartialEq)]
pub enum CompositeMemberConfig {
    /// One that may stand everywhere.
    Simple(SimplePolicyConfig),
    /// `and.and_sub_policy`: required, not empty.
    And(Policies<AndMemberConfig>),
}

/// One of `composite.rate_allocation`.
#[derive(Debug, Clone, PartialEq)]
pub struct RateAllocationConfig {
    /// Required: a member's name.
    pub policy: Field<String>,
    /// Required: its share of `max_total_spans_per_second`, from 1 to 100.
    pub percent: Field<u64>,
}

/// The policies that may stand everywhere, by upstream's `type`; the settings stand in a map of the same name.
#[derive(Debug, Clone, PartialEq)]
pub enum SimplePolicyConfig {
    /// `always_sample`.
    AlwaysSample,
    /// `latency`.
    Latency {
        /// Required, in milliseconds.
        threshold_ms: Field<i64>,
        /// In milliseconds; 0 or nothing: no upper bound.
        upper_threshold_ms: Field<i64>,
    },
    /// `numeric_attribute`; at least one of the bounds is required.
    NumericAttribute {
        /// Required, not empty.
        key: Field<String>,
        /// A written 0 is a bound here; upstream takes it for nothing.
        min_value: Field<i64>,
        /// A written 0 is a bound here; upstream takes it for nothing.
        max_value: Field<i64>,
        /// Default false.
        invert_match: Field<bool>,
    },
    /// `string_attribute`.
    StringAttribute {
        /// Required, not empty.
        key: Field<String>,
        /// Required, not empty, none empty.
        values: Field<Vec<Spanned<String>>>,
        /// Default false.
        enabled_regex_matching: Field<bool>,
        /// Only for regular expressions; 0 or nothing: 128, as upstream.
        cache_max_size: Field<u64>,
        /// Default false.
        invert_match: Field<bool>,
    },
    /// `boolean_attribute`.
    BooleanAttribute {
        /// Required, not empty.
        key: Field<String>,
        /// Default false, as upstream.
        value: Field<bool>,
        /// Default false.
        invert_match: Field<bool>,
    },
    /// `status_code`.
    StatusCode {
        /// Required, not empty.
        status_codes: Field<Vec<Spanned<StatusCode>>>,
    },
    /// `probabilistic`.
    Probabilistic {
        /// Nothing, or empty: upstream's salt.
        hash_salt: Field<String>,
        /// Required, in percent.
        sampling_percentage: Field<f64>,
    },
    /// `rate_limiting`.
    RateLimiting {
        /// Required, above 0.
        spans_per_second: Field<u64>,
        /// In spans; 0 or nothing: twice `spans_per_second`, as upstream.
        burst_capacity: Field<u64>,
    },
    /// `bytes_limiting`.
    BytesLimiting {
        /// Required, above 0.
        bytes_per_second: Field<u64>,
        /// In bytes; 0 or nothing: twice `bytes_per_second`, as upstream.
        burst_capacity: Field<u64>,
    },
    /// `span_count`; at least one of the bounds is required.
    SpanCount {
        /// Default 0.
        min_spans: Field<u64>,
        /// 0 or nothing: no upper bound.
        max_spans: Field<u64>,
    },
    /// `trace_state`.
    TraceState {
        /// Required, not empty.
        key: Field<String>,
        /// Required, not empty, none empty.
        values: Field<Vec<Spanned<String>>>,
    },
    /// `trace_flags`.
    TraceFlags,
}

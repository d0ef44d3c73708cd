//! `tail_sampling` under upstream's keys.

use super::yaml::{Map, ToYaml, Yaml};
use crate::config::{
    AndMemberConfig, CompositeConfig, CompositeMemberConfig, NotConfig, Policies, PolicyConfig,
    PolicyKindConfig, RateAllocationConfig, SimplePolicyConfig, TailSamplingConfig,
};

pub(super) fn tail_sampling(config: &TailSamplingConfig) -> Map {
    let cache = &config.decision_cache;
    let cache = Map::default()
        .field("sampled_cache_size", &cache.sampled_cache_size)
        .field("non_sampled_cache_size", &cache.non_sampled_cache_size)
        .field("directory", &cache.directory);
    Map::default()
        .field("decision_wait", &config.decision_wait)
        .field(
            "decision_wait_after_root_received",
            &config.decision_wait_after_root_received,
        )
        .field("num_traces", &config.num_traces)
        .field("block_on_overflow", &config.block_on_overflow)
        .field("expected_new_traces_per_sec", &config.expected_new_traces_per_sec)
        .field("maximum_trace_size_bytes", &config.maximum_trace_size_bytes)
        .field("sample_on_first_match", &config.sample_on_first_match)
        .field("record_policy", &config.record_policy)
        .filled("decision_cache", cache)
        .field("policies", &config.policies)
}

/// The word of a `type`, and what stands under it.
type Kind = (&'static str, Map);

/// A policy at any level.
trait ToKind {
    fn to_kind(&self) -> Kind;
}

impl<K: ToKind> ToYaml for PolicyConfig<K> {
    fn to_yaml(&self) -> Yaml {
        let (kind, settings) = self.kind.to_kind();
        let map = Map::default()
            .field("name", &self.name)
            .maybe("type", Some(Yaml::Token(kind.to_owned())))
            .filled(kind, settings);
        Yaml::Map(map)
    }
}

impl ToKind for PolicyKindConfig {
    fn to_kind(&self) -> Kind {
        match self {
            Self::Simple(policy) => policy.to_kind(),
            Self::And(members) => and(members),
            Self::Not(member) => not(member),
            Self::Drop(members) => ("drop", Map::default().field("drop_sub_policy", members)),
            Self::Composite(config) => ("composite", composite(config)),
        }
    }
}

impl ToKind for AndMemberConfig {
    fn to_kind(&self) -> Kind {
        match self {
            Self::Simple(policy) => policy.to_kind(),
            Self::Not(member) => not(member),
        }
    }
}

impl ToKind for CompositeMemberConfig {
    fn to_kind(&self) -> Kind {
        match self {
            Self::Simple(policy) => policy.to_kind(),
            Self::And(members) => and(members),
        }
    }
}

fn and(members: &Policies<AndMemberConfig>) -> Kind {
    ("and", Map::default().field("and_sub_policy", members))
}

fn not(member: &NotConfig) -> Kind {
    ("not", Map::default().field("not_sub_policy", member))
}

fn composite(config: &CompositeConfig) -> Map {
    Map::default()
        .field("max_total_spans_per_second", &config.max_total_spans_per_second)
        .field("policy_order", &config.policy_order)
        .field("composite_sub_policy", &config.composite_sub_policy)
        .field("rate_allocation", &config.rate_allocation)
}

impl ToYaml for RateAllocationConfig {
    fn to_yaml(&self) -> Yaml {
        let map = Map::default()
            .field("policy", &self.policy)
            .field("percent", &self.percent);
        Yaml::Map(map)
    }
}

impl ToKind for SimplePolicyConfig {
    fn to_kind(&self) -> Kind {
        let map = Map::default();
        match self {
            Self::AlwaysSample => ("always_sample", map),
            Self::Latency {
                threshold_ms,
                upper_threshold_ms,
            } => (
                "latency",
                map.field("threshold_ms", threshold_ms)
                    .field("upper_threshold_ms", upper_threshold_ms),
            ),
            Self::NumericAttribute { .. } => ("numeric_attribute", attribute(self)),
            Self::StringAttribute { .. } => ("string_attribute", attribute(self)),
            Self::BooleanAttribute { .. } => ("boolean_attribute", attribute(self)),
            Self::StatusCode { status_codes } => ("status_code", map.field("status_codes", status_codes)),
            Self::Probabilistic {
                hash_salt,
                sampling_percentage,
            } => (
                "probabilistic",
                map.field("hash_salt", hash_salt)
                    .field("sampling_percentage", sampling_percentage),
            ),
            Self::RateLimiting {
                spans_per_second,
                burst_capacity,
            } => (
                "rate_limiting",
                map.field("spans_per_second", spans_per_second)
                    .field("burst_capacity", burst_capacity),
            ),
            Self::BytesLimiting {
                bytes_per_second,
                burst_capacity,
            } => (
                "bytes_limiting",
                map.field("bytes_per_second", bytes_per_second)
                    .field("burst_capacity", burst_capacity),
            ),
            Self::SpanCount { min_spans, max_spans } => (
                "span_count",
                map.field("min_spans", min_spans).field("max_spans", max_spans),
            ),
            Self::TraceState { key, values } => {
                ("trace_state", map.field("key", key).field("values", values))
            }
            Self::TraceFlags => ("trace_flags", map),
        }
    }
}

/// The settings of the policies that look at attributes; empty for every other.
fn attribute(policy: &SimplePolicyConfig) -> Map {
    let map = Map::default();
    match policy {
        SimplePolicyConfig::NumericAttribute {
            key,
            min_value,
            max_value,
            invert_match,
        } => map
            .field("key", key)
            .field("min_value", min_value)
            .field("max_value", max_value)
            .field("invert_match", invert_match),
        SimplePolicyConfig::StringAttribute {
            key,
            values,
            enabled_regex_matching,
            cache_max_size,
            invert_match,
        } => map
            .field("key", key)
            .field("values", values)
            .field("enabled_regex_matching", enabled_regex_matching)
            .field("cache_max_size", cache_max_size)
            .field("invert_match", invert_match),
        SimplePolicyConfig::BooleanAttribute {
            key,
            value,
            invert_match,
        } => map
            .field("key", key)
            .field("value", value)
            .field("invert_match", invert_match),
        SimplePolicyConfig::AlwaysSample
        | SimplePolicyConfig::Latency { .. }
        | SimplePolicyConfig::StatusCode { .. }
        | SimplePolicyConfig::Probabilistic { .. }
        | SimplePolicyConfig::RateLimiting { .. }
        | SimplePolicyConfig::BytesLimiting { .. }
        | SimplePolicyConfig::SpanCount { .. }
        | SimplePolicyConfig::TraceState { .. }
        | SimplePolicyConfig::TraceFlags => map,
    }
}

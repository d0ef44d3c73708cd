//! `processors`.

use super::{Field, Spanned};
use crate::decode::{self, Choice, Cursor, Fields, Unless};
use crate::duration::GoDuration;
use crate::error::Diagnostics;
use crate::scalar::Kind;
use crate::settings::{AttributeValue, StatusCode};
use crate::tree::Value;

/// A processor.
#[derive(Debug, Clone, PartialEq)]
pub enum ProcessorConfig {
    /// `memory_limiter`.
    MemoryLimiter(MemoryLimiterConfig),
    /// `tail_sampling`.
    TailSampling(TailSamplingConfig),
    /// `batch`.
    Batch(BatchConfig),
    /// `resource`.
    Resource(ResourceConfig),
}

/// `memory_limiter`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MemoryLimiterConfig {
    /// Required, above zero.
    pub check_interval: Field<GoDuration>,
    /// Required, in MiB.
    pub limit_mib: Field<u64>,
    /// In MiB; 0 or nothing: a fifth of the limit, as upstream.
    pub spike_limit_mib: Field<u64>,
}

/// `tail_sampling`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TailSamplingConfig {
    /// Default 30 s, as upstream.
    pub decision_wait: Field<GoDuration>,
    /// Default 50000, as upstream.
    pub num_traces: Field<u64>,
    /// Default 0, as upstream.
    pub expected_new_traces_per_sec: Field<u64>,
    /// `decision_cache`.
    pub decision_cache: DecisionCacheConfig,
    /// Required, not empty.
    pub policies: Field<Vec<Spanned<PolicyConfig>>>,
}

/// `tail_sampling.decision_cache`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DecisionCacheConfig {
    /// In traces; 0 or nothing: as many as `num_traces`.
    pub sampled_cache_size: Field<u64>,
    /// In traces; 0 or nothing: as many as `num_traces`.
    pub non_sampled_cache_size: Field<u64>,
}

/// One sampling policy.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyConfig {
    /// Required, unique.
    pub name: Field<String>,
    /// By its `type`.
    pub kind: PolicyKindConfig,
}

/// The policies of this version, by upstream's `type`; the settings stand in a map of the same name.
#[derive(Debug, Clone, PartialEq)]
pub enum PolicyKindConfig {
    /// `always_sample`.
    AlwaysSample,
    /// `latency`.
    Latency {
        /// Required, in milliseconds.
        threshold_ms: Field<i64>,
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
}

/// `batch`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BatchConfig {
    /// Default 200 ms, as upstream.
    pub timeout: Field<GoDuration>,
    /// In spans; default 8192, as upstream.
    pub send_batch_size: Field<u64>,
    /// In spans; default 0, no bound.
    pub send_batch_max_size: Field<u64>,
}

/// `resource`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResourceConfig {
    /// Required, not empty.
    pub attributes: Field<Vec<Spanned<ResourceActionConfig>>>,
}

/// One action of `resource`.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceActionConfig {
    /// Required, not empty.
    pub key: Field<String>,
    /// Required, but not for `delete`.
    pub value: Field<AttributeValue>,
    /// Instead of `value`, only in a configuration that was built: written as `${env:NAME}`, for the collector to fill
    /// in. A name of the program's own, so that no text from elsewhere can get here.
    pub value_from_env: Option<&'static str>,
    /// Required.
    pub action: Field<ResourceVerb>,
}

/// `action` of `resource`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceVerb {
    /// `insert`.
    Insert,
    /// `update`.
    Update,
    /// `upsert`.
    Upsert,
    /// `delete`.
    Delete,
}

impl ProcessorConfig {
    pub(super) fn decode(kind: &str, cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<Self> {
        match kind {
            "memory_limiter" => memory_limiter(cursor, diag).map(Self::MemoryLimiter),
            "tail_sampling" => tail_sampling(cursor, diag).map(Self::TailSampling),
            "batch" => batch(cursor, diag).map(Self::Batch),
            "resource" => resource(cursor, diag).map(Self::Resource),
            // The catalog has refused every other type.
            _ => None,
        }
    }
}

fn memory_limiter(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<MemoryLimiterConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let config = MemoryLimiterConfig {
        check_interval: fields.get(diag, "check_interval", decode::duration),
        limit_mib: fields.get(diag, "limit_mib", decode::whole),
        spike_limit_mib: fields.get(diag, "spike_limit_mib", decode::whole),
    };
    let percentages = [
        ("limit_percentage", Unless::Zero),
        ("spike_limit_percentage", Unless::Zero),
    ];
    if fields.has("limit_percentage") {
        diag.excuse(format!("{}.limit_mib", cursor.path));
    }
    fields.unsupported(diag, &percentages);
    fields.without_effect(
        diag,
        &[
            "min_gc_interval_when_soft_limited",
            "min_gc_interval_when_hard_limited",
            "max_gc_interval_when_soft_limited",
            "max_gc_interval_when_hard_limited",
        ],
        "there is no garbage collector",
    );
    fields.finish(diag);
    Some(config)
}

fn tail_sampling(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<TailSamplingConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let config = TailSamplingConfig {
        decision_wait: fields.get(diag, "decision_wait", decode::duration),
        num_traces: fields.get(diag, "num_traces", decode::whole),
        expected_new_traces_per_sec: fields.get(diag, "expected_new_traces_per_sec", decode::whole),
        decision_cache: fields
            .get(diag, "decision_cache", decision_cache)
            .map(|cache| cache.value)
            .unwrap_or_default(),
        policies: fields.get(diag, "policies", |cursor, diag| {
            decode::list(cursor, diag, policy)
        }),
    };
    fields.unsupported(
        diag,
        &[
            ("decision_wait_after_root_received", Unless::Zero),
            ("block_on_overflow", Unless::False),
            ("tail_storage", Unless::Empty),
            ("sample_on_first_match", Unless::False),
            ("sampling_strategy", Unless::Word("trace-complete")),
            ("drop_pending_traces_on_shutdown", Unless::False),
            ("maximum_trace_size_bytes", Unless::Zero),
        ],
    );
    fields.without_effect(diag, &["num_shards"], "one thread owns all traces");
    fields.finish(diag);
    Some(config)
}

fn decision_cache(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<DecisionCacheConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let config = DecisionCacheConfig {
        sampled_cache_size: fields.get(diag, "sampled_cache_size", decode::whole),
        non_sampled_cache_size: fields.get(diag, "non_sampled_cache_size", decode::whole),
    };
    fields.finish(diag);
    Some(config)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum PolicyType {
    AlwaysSample,
    Latency,
    StatusCode,
    Probabilistic,
}

const POLICY_TYPES: Choice<PolicyType> = Choice {
    supported: &[
        ("always_sample", PolicyType::AlwaysSample),
        ("latency", PolicyType::Latency),
        ("status_code", PolicyType::StatusCode),
        ("probabilistic", PolicyType::Probabilistic),
    ],
    also: &[],
    upstream: &[
        "numeric_attribute",
        "string_attribute",
        "rate_limiting",
        "bytes_limiting",
        "composite",
        "and",
        "not",
        "drop",
        "span_count",
        "trace_state",
        "boolean_attribute",
        "ottl_condition",
        "trace_flags",
    ],
};

fn policy(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<PolicyConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let name = fields.get(diag, "name", decode::text);
    let kind = fields.get(diag, "type", |cursor, diag| POLICY_TYPES.decode(cursor, diag));
    let Some(kind) = kind else {
        if !fields.has("type") {
            cursor.error(diag, "`type` is required, for example `type: status_code`");
        }
        return None;
    };
    let kind = match kind.value {
        PolicyType::AlwaysSample => PolicyKindConfig::AlwaysSample,
        PolicyType::Latency => fields
            .get(diag, "latency", latency)
            .map_or_else(latency_default, |kind| kind.value),
        PolicyType::StatusCode => {
            let kind = fields.get(diag, "status_code", status_code);
            kind.map_or(PolicyKindConfig::StatusCode { status_codes: None }, |kind| {
                kind.value
            })
        }
        PolicyType::Probabilistic => {
            let kind = fields.get(diag, "probabilistic", probabilistic);
            let none = PolicyKindConfig::Probabilistic {
                hash_salt: None,
                sampling_percentage: None,
            };
            kind.map_or(none, |kind| kind.value)
        }
    };
    let others = POLICY_TYPES
        .supported
        .iter()
        .map(|(name, _)| *name)
        .chain(POLICY_TYPES.upstream.iter().copied());
    fields.without_effect(
        diag,
        &others.collect::<Vec<_>>(),
        "the policy's `type` is another",
    );
    fields.finish(diag);
    Some(PolicyConfig { name, kind })
}

fn latency_default() -> PolicyKindConfig {
    PolicyKindConfig::Latency { threshold_ms: None }
}

fn latency(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<PolicyKindConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let threshold_ms = fields.get(diag, "threshold_ms", decode::signed);
    fields.unsupported(diag, &[("upper_threshold_ms", Unless::Zero)]);
    fields.finish(diag);
    Some(PolicyKindConfig::Latency { threshold_ms })
}

const STATUS_CODES: Choice<StatusCode> = Choice {
    supported: &[
        ("OK", StatusCode::Ok),
        ("ERROR", StatusCode::Error),
        ("UNSET", StatusCode::Unset),
    ],
    also: &[],
    upstream: &[],
};

fn status_code(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<PolicyKindConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let status_codes = fields.get(diag, "status_codes", |cursor, diag| {
        decode::list(cursor, diag, |cursor, diag| STATUS_CODES.decode(cursor, diag))
    });
    fields.finish(diag);
    Some(PolicyKindConfig::StatusCode { status_codes })
}

fn probabilistic(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<PolicyKindConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let hash_salt = fields.get(diag, "hash_salt", decode::text);
    let sampling_percentage = fields.get(diag, "sampling_percentage", decode::number);
    fields.finish(diag);
    Some(PolicyKindConfig::Probabilistic {
        hash_salt,
        sampling_percentage,
    })
}

fn batch(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<BatchConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let config = BatchConfig {
        timeout: fields.get(diag, "timeout", decode::duration),
        send_batch_size: fields.get(diag, "send_batch_size", decode::whole),
        send_batch_max_size: fields.get(diag, "send_batch_max_size", decode::whole),
    };
    fields.unsupported(diag, &[("metadata_keys", Unless::Empty)]);
    fields.without_effect(
        diag,
        &["metadata_cardinality_limit"],
        "`metadata_keys` is not supported",
    );
    fields.finish(diag);
    Some(config)
}

fn resource(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<ResourceConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let attributes = fields.get(diag, "attributes", |cursor, diag| {
        decode::list(cursor, diag, action)
    });
    fields.finish(diag);
    Some(ResourceConfig { attributes })
}

/// Lower and upper case, as upstream (`attraction`).
const VERBS: Choice<ResourceVerb> = Choice {
    supported: &[
        ("insert", ResourceVerb::Insert),
        ("update", ResourceVerb::Update),
        ("upsert", ResourceVerb::Upsert),
        ("delete", ResourceVerb::Delete),
    ],
    also: &[
        ("INSERT", ResourceVerb::Insert),
        ("UPDATE", ResourceVerb::Update),
        ("UPSERT", ResourceVerb::Upsert),
        ("DELETE", ResourceVerb::Delete),
    ],
    upstream: &["hash", "extract", "convert", "HASH", "EXTRACT", "CONVERT"],
};

fn action(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<ResourceActionConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let config = ResourceActionConfig {
        key: fields.get(diag, "key", decode::text),
        value: fields.get(diag, "value", attribute_value),
        value_from_env: None,
        action: fields.get(diag, "action", |cursor, diag| VERBS.decode(cursor, diag)),
    };
    let others = [
        "from_attribute",
        "from_context",
        "pattern",
        "converted_type",
        "default_value",
    ];
    for key in others {
        if fields.has(key) {
            // The value comes from there: that there is no `value` is no news.
            diag.excuse(format!("{}.value", cursor.path));
        }
        fields.unsupported(diag, &[(key, Unless::Empty)]);
    }
    fields.finish(diag);
    Some(config)
}

fn attribute_value(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<AttributeValue> {
    let Value::Scalar(scalar) = &cursor.node.value else {
        cursor.error(diag, "lists and maps are not supported as a value");
        return None;
    };
    match scalar.kind {
        Kind::Text => Some(AttributeValue::String(scalar.text.clone())),
        Kind::Bool(value) => Some(AttributeValue::Bool(value)),
        Kind::Float(value) => Some(AttributeValue::Double(value)),
        Kind::Int(_) => decode::signed(cursor, diag).map(AttributeValue::Int),
        Kind::Null => None,
    }
}

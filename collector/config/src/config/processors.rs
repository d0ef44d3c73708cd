//! `processors`.

use super::sampling::{TailSamplingConfig, tail_sampling};
use super::{Field, Spanned};
use crate::decode::{self, Choice, Cursor, Fields, Unless};
use crate::duration::GoDuration;
use crate::error::Diagnostics;
use crate::scalar::Kind;
use crate::settings::AttributeValue;
use crate::tree::Value;

/// A processor.
#[derive(Debug, Clone, PartialEq)]
pub enum ProcessorConfig {
    /// `memory_limiter`.
    MemoryLimiter(MemoryLimiterConfig),
    /// `tail_sampling`.
    TailSampling(Box<TailSamplingConfig>),
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
            "tail_sampling" => tail_sampling(cursor, diag).map(Box::new).map(Self::TailSampling),
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

//! From the tree to `tail_sampling`.

use super::{
    AndMemberConfig, CompositeConfig, CompositeMemberConfig, DecisionCacheConfig, Policies, PolicyConfig,
    PolicyKindConfig, RateAllocationConfig, SimplePolicyConfig, TailSamplingConfig,
};
use crate::config::{Field, Spanned};
use crate::decode::{self, Choice, Cursor, Fields, Unless};
use crate::error::Diagnostics;
use crate::settings::StatusCode;

pub(in crate::config) fn tail_sampling(
    cursor: &Cursor<'_>,
    diag: &mut Diagnostics,
) -> Option<TailSamplingConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let after_root = "decision_wait_after_root_received";
    let config = TailSamplingConfig {
        decision_wait: fields.get(diag, "decision_wait", decode::duration),
        decision_wait_after_root_received: fields.get(diag, after_root, decode::duration),
        num_traces: fields.get(diag, "num_traces", decode::whole),
        block_on_overflow: fields.get(diag, "block_on_overflow", decode::boolean),
        expected_new_traces_per_sec: fields.get(diag, "expected_new_traces_per_sec", decode::whole),
        maximum_trace_size_bytes: fields.get(diag, "maximum_trace_size_bytes", decode::whole),
        sample_on_first_match: fields.get(diag, "sample_on_first_match", decode::boolean),
        record_policy: fields.get(diag, "record_policy", decode::boolean),
        decision_cache: fields
            .get(diag, "decision_cache", decision_cache)
            .map(|cache| cache.value)
            .unwrap_or_default(),
        policies: policies(&mut fields, "policies", diag, top),
    };
    fields.refused_unless(
        diag,
        ("sampling_strategy", Unless::Word("trace-complete")),
        "tracepipe decides on whole traces; leave it out, or write `trace-complete`",
    );
    fields.refused_unless(
        diag,
        ("tail_storage", Unless::Empty),
        "tracepipe holds spans in memory only, within the memory limit; leave it out",
    );
    fields.refused_unless(
        diag,
        ("drop_pending_traces_on_shutdown", Unless::False),
        "tracepipe decides every trace before it stops; leave it out",
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
        directory: fields.get(diag, "directory", decode::text),
    };
    fields.finish(diag);
    Some(config)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum PolicyType {
    Simple(SimpleType),
    And,
    Not,
    Drop,
    Composite,
    Ottl,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum SimpleType {
    AlwaysSample,
    Latency,
    NumericAttribute,
    StringAttribute,
    BooleanAttribute,
    StatusCode,
    Probabilistic,
    RateLimiting,
    BytesLimiting,
    SpanCount,
    TraceState,
    TraceFlags,
}

const POLICY_TYPES: Choice<PolicyType> = Choice {
    supported: &[
        ("always_sample", PolicyType::Simple(SimpleType::AlwaysSample)),
        ("latency", PolicyType::Simple(SimpleType::Latency)),
        (
            "numeric_attribute",
            PolicyType::Simple(SimpleType::NumericAttribute),
        ),
        (
            "string_attribute",
            PolicyType::Simple(SimpleType::StringAttribute),
        ),
        (
            "boolean_attribute",
            PolicyType::Simple(SimpleType::BooleanAttribute),
        ),
        ("status_code", PolicyType::Simple(SimpleType::StatusCode)),
        ("probabilistic", PolicyType::Simple(SimpleType::Probabilistic)),
        ("rate_limiting", PolicyType::Simple(SimpleType::RateLimiting)),
        ("bytes_limiting", PolicyType::Simple(SimpleType::BytesLimiting)),
        ("span_count", PolicyType::Simple(SimpleType::SpanCount)),
        ("trace_state", PolicyType::Simple(SimpleType::TraceState)),
        ("trace_flags", PolicyType::Simple(SimpleType::TraceFlags)),
        ("and", PolicyType::And),
        ("not", PolicyType::Not),
        ("drop", PolicyType::Drop),
        ("composite", PolicyType::Composite),
    ],
    also: &[("ottl_condition", PolicyType::Ottl)],
    upstream: &[],
};

/// Types whose settings upstream has none of, so that nobody writes a map for them.
const WITHOUT_SETTINGS: [&str; 2] = ["always_sample", "trace_flags"];

/// Takes the type's settings, or says why the type cannot stand here.
type Kind<T> = fn(PolicyType, &mut Fields<'_>, &mut Diagnostics) -> Result<Option<T>, &'static str>;

/// A list of policies or of members.
fn policies<T>(
    fields: &mut Fields<'_>,
    key: &'static str,
    diag: &mut Diagnostics,
    kind: Kind<T>,
) -> Policies<T> {
    fields.get(diag, key, |cursor, diag| {
        decode::list(cursor, diag, |cursor, diag| policy(cursor, diag, kind))
    })
}

fn policy<T>(cursor: &Cursor<'_>, diag: &mut Diagnostics, kind: Kind<T>) -> Option<PolicyConfig<T>> {
    let mut fields = Fields::new(cursor, diag)?;
    let name = fields.get(diag, "name", decode::text);
    let written = fields.get(diag, "type", |cursor, diag| POLICY_TYPES.decode(cursor, diag));
    let Some(written) = written else {
        if !fields.has("type") {
            cursor.error(diag, "`type` is required, for example `type: status_code`");
        }
        return None;
    };
    let kind = match kind(written.value, &mut fields, diag) {
        Ok(kind) => kind?,
        Err(why) => {
            diag.error(written.at, format!("{}.type", cursor.path), why);
            return None;
        }
    };
    fields.without_effect(diag, &WITHOUT_SETTINGS, "this type has no settings");
    let others = POLICY_TYPES.supported.iter().chain(POLICY_TYPES.also);
    fields.without_effect(
        diag,
        &others.map(|(name, _)| *name).collect::<Vec<_>>(),
        "the policy's `type` is another",
    );
    fields.finish(diag);
    Some(PolicyConfig { name, kind })
}

/// The map that holds a type's settings; one that is not written has none.
fn settings<'n>(fields: &mut Fields<'n>, key: &'static str, diag: &mut Diagnostics) -> Option<Fields<'n>> {
    match fields.entry(key) {
        Some((_, cursor)) => Fields::new(&cursor, diag),
        None => Some(fields.none(key)),
    }
}

const OTTL: &str = "`ottl_condition` is known to the OpenTelemetry Collector and comes to tracepipe with a later \
                    version; `string_attribute`, `numeric_attribute` and `boolean_attribute` are here";
const DROP_IN: &str = "`drop` stands in `policies` only, as upstream";
const COMPOSITE_IN: &str = "`composite` stands in `policies` only, as upstream";
const AND_IN_AND: &str = "`and` cannot stand here, as upstream; write its members in its place";
const NOT_IN_COMPOSITE: &str =
    "`not` cannot stand in a `composite`, as upstream; put it into an `and`, which can";
const IN_NOT: &str = "`and` cannot stand in a `not`, as upstream; write a policy with a `not` for each of its members: \
                      a trace is kept when any policy wants it";
const NOT_IN_NOT: &str = "`not` cannot stand in a `not`, as upstream; write the policy itself";

type Taken<T> = Result<Option<T>, &'static str>;

/// In `policies`.
fn top(kind: PolicyType, fields: &mut Fields<'_>, diag: &mut Diagnostics) -> Taken<PolicyKindConfig> {
    Ok(match kind {
        PolicyType::Simple(kind) => simple(kind, fields, diag).map(PolicyKindConfig::Simple),
        PolicyType::And => members(fields, ("and", "and_sub_policy"), diag).map(PolicyKindConfig::And),
        PolicyType::Not => not(fields, diag).map(PolicyKindConfig::Not),
        PolicyType::Drop => members(fields, ("drop", "drop_sub_policy"), diag).map(PolicyKindConfig::Drop),
        PolicyType::Composite => composite(fields, diag).map(PolicyKindConfig::Composite),
        PolicyType::Ottl => return Err(OTTL),
    })
}

/// In `and` and `drop`.
fn in_and(kind: PolicyType, fields: &mut Fields<'_>, diag: &mut Diagnostics) -> Taken<AndMemberConfig> {
    Ok(match kind {
        PolicyType::Simple(kind) => simple(kind, fields, diag).map(AndMemberConfig::Simple),
        PolicyType::Not => not(fields, diag).map(AndMemberConfig::Not),
        PolicyType::And => return Err(AND_IN_AND),
        PolicyType::Drop => return Err(DROP_IN),
        PolicyType::Composite => return Err(COMPOSITE_IN),
        PolicyType::Ottl => return Err(OTTL),
    })
}

/// In `not`.
fn in_not(kind: PolicyType, fields: &mut Fields<'_>, diag: &mut Diagnostics) -> Taken<SimplePolicyConfig> {
    match kind {
        PolicyType::Simple(kind) => Ok(simple(kind, fields, diag)),
        PolicyType::And => Err(IN_NOT),
        PolicyType::Not => Err(NOT_IN_NOT),
        PolicyType::Drop => Err(DROP_IN),
        PolicyType::Composite => Err(COMPOSITE_IN),
        PolicyType::Ottl => Err(OTTL),
    }
}

/// In `composite`.
fn in_composite(
    kind: PolicyType,
    fields: &mut Fields<'_>,
    diag: &mut Diagnostics,
) -> Taken<CompositeMemberConfig> {
    Ok(match kind {
        PolicyType::Simple(kind) => simple(kind, fields, diag).map(CompositeMemberConfig::Simple),
        PolicyType::And => members(fields, ("and", "and_sub_policy"), diag).map(CompositeMemberConfig::And),
        PolicyType::Not => return Err(NOT_IN_COMPOSITE),
        PolicyType::Drop => return Err(DROP_IN),
        PolicyType::Composite => return Err(COMPOSITE_IN),
        PolicyType::Ottl => return Err(OTTL),
    })
}

fn members(
    fields: &mut Fields<'_>,
    (kind, key): (&'static str, &'static str),
    diag: &mut Diagnostics,
) -> Option<Policies<AndMemberConfig>> {
    let mut fields = settings(fields, kind, diag)?;
    let members = policies(&mut fields, key, diag, in_and);
    fields.finish(diag);
    Some(members)
}

fn not(fields: &mut Fields<'_>, diag: &mut Diagnostics) -> Option<Field<PolicyConfig<SimplePolicyConfig>>> {
    let mut fields = settings(fields, "not", diag)?;
    let member = fields.get(diag, "not_sub_policy", |cursor, diag| {
        policy(cursor, diag, in_not)
    });
    fields.finish(diag);
    Some(member)
}

fn composite(fields: &mut Fields<'_>, diag: &mut Diagnostics) -> Option<CompositeConfig> {
    let mut fields = settings(fields, "composite", diag)?;
    let config = CompositeConfig {
        max_total_spans_per_second: fields.get(diag, "max_total_spans_per_second", decode::whole),
        policy_order: texts(&mut fields, "policy_order", diag),
        composite_sub_policy: policies(&mut fields, "composite_sub_policy", diag, in_composite),
        rate_allocation: fields.get(diag, "rate_allocation", |cursor, diag| {
            decode::list(cursor, diag, rate_allocation)
        }),
    };
    fields.finish(diag);
    Some(config)
}

fn rate_allocation(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<RateAllocationConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let config = RateAllocationConfig {
        policy: fields.get(diag, "policy", decode::text),
        percent: fields.get(diag, "percent", decode::whole),
    };
    fields.finish(diag);
    Some(config)
}

fn texts(fields: &mut Fields<'_>, key: &'static str, diag: &mut Diagnostics) -> Field<Vec<Spanned<String>>> {
    fields.get(diag, key, |cursor, diag| decode::list(cursor, diag, decode::text))
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

fn simple(kind: SimpleType, fields: &mut Fields<'_>, diag: &mut Diagnostics) -> Option<SimplePolicyConfig> {
    match kind {
        SimpleType::AlwaysSample => Some(SimplePolicyConfig::AlwaysSample),
        SimpleType::TraceFlags => Some(SimplePolicyConfig::TraceFlags),
        SimpleType::NumericAttribute => own(fields, "numeric_attribute", diag, numeric_attribute),
        SimpleType::StringAttribute => own(fields, "string_attribute", diag, string_attribute),
        SimpleType::BooleanAttribute => own(fields, "boolean_attribute", diag, boolean_attribute),
        SimpleType::Latency => own(fields, "latency", diag, |own, diag| SimplePolicyConfig::Latency {
            threshold_ms: own.get(diag, "threshold_ms", decode::signed),
            upper_threshold_ms: own.get(diag, "upper_threshold_ms", decode::signed),
        }),
        SimpleType::StatusCode => own(fields, "status_code", diag, |own, diag| {
            let status_codes = own.get(diag, "status_codes", |cursor, diag| {
                decode::list(cursor, diag, |cursor, diag| STATUS_CODES.decode(cursor, diag))
            });
            SimplePolicyConfig::StatusCode { status_codes }
        }),
        SimpleType::Probabilistic => own(fields, "probabilistic", diag, |own, diag| {
            SimplePolicyConfig::Probabilistic {
                hash_salt: own.get(diag, "hash_salt", decode::text),
                sampling_percentage: own.get(diag, "sampling_percentage", decode::number),
            }
        }),
        SimpleType::RateLimiting => own(fields, "rate_limiting", diag, |own, diag| {
            SimplePolicyConfig::RateLimiting {
                spans_per_second: own.get(diag, "spans_per_second", decode::whole),
                burst_capacity: own.get(diag, "burst_capacity", decode::whole),
            }
        }),
        SimpleType::BytesLimiting => own(fields, "bytes_limiting", diag, |own, diag| {
            SimplePolicyConfig::BytesLimiting {
                bytes_per_second: own.get(diag, "bytes_per_second", decode::whole),
                burst_capacity: own.get(diag, "burst_capacity", decode::whole),
            }
        }),
        SimpleType::SpanCount => own(fields, "span_count", diag, |own, diag| {
            SimplePolicyConfig::SpanCount {
                min_spans: own.get(diag, "min_spans", decode::whole),
                max_spans: own.get(diag, "max_spans", decode::whole),
            }
        }),
        SimpleType::TraceState => own(fields, "trace_state", diag, |own, diag| {
            SimplePolicyConfig::TraceState {
                key: own.get(diag, "key", decode::text),
                values: texts(own, "values", diag),
            }
        }),
    }
}

/// What a policy's own map says.
fn own(
    fields: &mut Fields<'_>,
    key: &'static str,
    diag: &mut Diagnostics,
    take: fn(&mut Fields<'_>, &mut Diagnostics) -> SimplePolicyConfig,
) -> Option<SimplePolicyConfig> {
    let mut own = settings(fields, key, diag)?;
    let config = take(&mut own, diag);
    own.finish(diag);
    Some(config)
}

fn numeric_attribute(own: &mut Fields<'_>, diag: &mut Diagnostics) -> SimplePolicyConfig {
    SimplePolicyConfig::NumericAttribute {
        key: own.get(diag, "key", decode::text),
        min_value: own.get(diag, "min_value", decode::signed),
        max_value: own.get(diag, "max_value", decode::signed),
        invert_match: own.get(diag, "invert_match", decode::boolean),
    }
}

fn string_attribute(own: &mut Fields<'_>, diag: &mut Diagnostics) -> SimplePolicyConfig {
    SimplePolicyConfig::StringAttribute {
        key: own.get(diag, "key", decode::text),
        values: texts(own, "values", diag),
        enabled_regex_matching: own.get(diag, "enabled_regex_matching", decode::boolean),
        cache_max_size: own.get(diag, "cache_max_size", decode::whole),
        invert_match: own.get(diag, "invert_match", decode::boolean),
    }
}

fn boolean_attribute(own: &mut Fields<'_>, diag: &mut Diagnostics) -> SimplePolicyConfig {
    SimplePolicyConfig::BooleanAttribute {
        key: own.get(diag, "key", decode::text),
        value: own.get(diag, "value", decode::boolean),
        invert_match: own.get(diag, "invert_match", decode::boolean),
    }
}

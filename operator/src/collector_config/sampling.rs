//! `spec.sampling` as the collector's `tail_sampling`. What has the collector's own default is not written.

use tracepipe_config::StatusCode;
use tracepipe_config::config::{
    AndMemberConfig, CompositeConfig, CompositeMemberConfig, DecisionCacheConfig, Field, NotConfig, Policies,
    PolicyConfig, PolicyKindConfig, RateAllocationConfig, SimplePolicyConfig, Spanned, TailSamplingConfig,
    set, set_list,
};
use tracepipe_crds::{
    AndMember, AndPolicy, CompositePolicy, NotPolicy, Policy, PolicyType, Sampling, SimpleSettings,
    TraceStatusCode, TracingPipelineSpec,
};

use super::Reader;
use crate::names::DECISIONS_FOLDER;

/// Name of the policy behind `sampling.keepErrors`.
pub(super) const KEEP_ERRORS: &str = "always-sample-errors";
/// Name of the policy behind `sampling.slowThreshold`.
pub(super) const KEEP_SLOW: &str = "always-sample-slow";
/// Name of the policy behind `samplingRatePercentage`.
pub(super) const SAMPLING_RATE: &str = "probabilistic";

/// The processor of a spec.
pub(super) fn tail_sampling(spec: &TracingPipelineSpec, reader: &mut Reader) -> TailSamplingConfig {
    let sampling = &spec.sampling;
    let at = |field: &str| format!("spec.sampling.{field}");
    let after_root = sampling.decision_wait_after_root.as_ref();
    let expected = sampling.expected_new_traces_per_sec;
    TailSamplingConfig {
        decision_wait: reader.duration(&at("decisionWait"), &sampling.decision_wait),
        decision_wait_after_root_received: after_root
            .and_then(|wait| reader.duration(&at("decisionWaitAfterRoot"), wait)),
        num_traces: reader.whole(&at("numTraces"), sampling.num_traces),
        block_on_overflow: switch(sampling.block_on_overflow),
        expected_new_traces_per_sec: (expected != 0)
            .then(|| reader.whole(&at("expectedNewTracesPerSec"), expected))
            .flatten(),
        maximum_trace_size_bytes: reader
            .optional(&at("maximumTraceSizeBytes"), sampling.maximum_trace_size_bytes),
        sample_on_first_match: switch(sampling.sample_on_first_match),
        record_policy: (!sampling.record_policy).then(|| false.into()),
        decision_cache: decision_cache(sampling, reader),
        policies: set_list(policies(spec, reader)),
    }
}

/// How many policies stand before those of `sampling.policies`.
pub(super) fn built_in_policies(sampling: &Sampling) -> usize {
    1 + usize::from(sampling.keep_errors) + usize::from(slow_millis(sampling).is_some())
}

/// The part of `spec.sampling` that makes this part of the processor.
pub(super) fn spec_path(rest: &str, built_in: usize) -> Option<String> {
    let rest = rest.strip_prefix('.')?;
    let policy = rest
        .strip_prefix("policies[")
        .and_then(|rest| rest.split_once(']'));
    let rest = match policy {
        Some((index, rest)) => {
            let index = index.parse::<usize>().ok()?.checked_sub(built_in)?;
            format!("policies[{index}]{rest}")
        }
        None => rest.to_owned(),
    };
    let path = camel_case(&rest)
        .replace("decisionWaitAfterRootReceived", "decisionWaitAfterRoot")
        .replace("decisionCache.directory", "decisionCache.persistence");
    Some(format!("spec.sampling.{path}"))
}

/// `and.and_sub_policy[1]` as `and.andSubPolicy[1]`.
fn camel_case(path: &str) -> String {
    let mut camel = String::with_capacity(path.len());
    let mut upper = false;
    for c in path.chars() {
        match c {
            '_' => upper = true,
            c if upper => {
                camel.push(c.to_ascii_uppercase());
                upper = false;
            }
            c => camel.push(c),
        }
    }
    camel
}

fn decision_cache(sampling: &Sampling, reader: &mut Reader) -> DecisionCacheConfig {
    let cache = &sampling.decision_cache;
    let at = |field: &str| format!("spec.sampling.decisionCache.{field}");
    DecisionCacheConfig {
        sampled_cache_size: reader.optional(&at("sampledCacheSize"), cache.sampled_cache_size),
        non_sampled_cache_size: reader.optional(&at("nonSampledCacheSize"), cache.non_sampled_cache_size),
        directory: cache.persistence.as_ref().and_then(|_| set(DECISIONS_FOLDER)),
    }
}

/// None: no trace is kept for being slow.
fn slow_millis(sampling: &Sampling) -> Option<i64> {
    let threshold = tracepipe_crds::values::Duration::parse(&sampling.slow_threshold)?;
    i64::try_from(threshold.millis())
        .ok()
        .filter(|millis| *millis > 0)
}

fn policies(spec: &TracingPipelineSpec, reader: &mut Reader) -> Vec<PolicyConfig> {
    let sampling = &spec.sampling;
    let mut policies = Vec::new();
    if sampling.keep_errors {
        let kind = SimplePolicyConfig::status_code([StatusCode::Error]);
        policies.push(PolicyConfig::new(KEEP_ERRORS, kind));
    }
    if let Some(millis) = slow_millis(sampling) {
        policies.push(PolicyConfig::new(KEEP_SLOW, SimplePolicyConfig::latency(millis)));
    }
    let rate = SimplePolicyConfig::Probabilistic {
        hash_salt: None,
        sampling_percentage: reader.percent("spec.samplingRatePercentage", &spec.sampling_rate_percentage),
    };
    policies.push(PolicyConfig::new(SAMPLING_RATE, rate));
    for (index, policy) in sampling.policies.iter().enumerate() {
        let path = format!("spec.sampling.policies[{index}]");
        if let Some(kind) = kind(policy, &path, reader) {
            policies.push(PolicyConfig::new(&policy.name, kind));
        }
    }
    policies
}

/// A member that is missing is left out, for the collector's own parser to find. None only after an error.
fn kind(policy: &Policy, path: &str, reader: &mut Reader) -> Option<PolicyKindConfig> {
    if policy.kind == PolicyType::And {
        return Some(PolicyKindConfig::And(and(policy.and.as_ref(), path, reader)));
    }
    if policy.kind == PolicyType::Not {
        return Some(PolicyKindConfig::Not(not(policy.not.as_ref(), path, reader)));
    }
    if policy.kind == PolicyType::Drop {
        let path = format!("{path}.drop.dropSubPolicy");
        let members = policy.drop.as_ref().map(|drop| &drop.drop_sub_policy);
        let members = members.and_then(|members| self::members(members, &path, reader));
        return Some(PolicyKindConfig::Drop(members));
    }
    if policy.kind == PolicyType::Composite {
        let settings = policy.composite.as_ref();
        let config = settings.map(|settings| composite(settings, &format!("{path}.composite"), reader));
        return Some(PolicyKindConfig::Composite(config.unwrap_or_default()));
    }
    simple(policy.kind, &policy.settings, path, reader).map(PolicyKindConfig::Simple)
}

fn and(and: Option<&AndPolicy>, path: &str, reader: &mut Reader) -> Policies<AndMemberConfig> {
    members(&and?.and_sub_policy, &format!("{path}.and.andSubPolicy"), reader)
}

fn members(members: &[AndMember], path: &str, reader: &mut Reader) -> Policies<AndMemberConfig> {
    let mut built = Vec::new();
    for (index, member) in members.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let kind = if member.kind == PolicyType::Not {
            Some(AndMemberConfig::Not(not(member.not.as_ref(), &path, reader)))
        } else {
            simple(member.kind, &member.settings, &path, reader).map(AndMemberConfig::Simple)
        };
        built.extend(kind.map(|kind| named(member.name.as_ref(), kind)));
    }
    set_list(built)
}

fn not(not: Option<&NotPolicy>, path: &str, reader: &mut Reader) -> NotConfig {
    let member = &not?.not_sub_policy;
    let kind = simple(
        member.kind,
        &member.settings,
        &format!("{path}.not.notSubPolicy"),
        reader,
    );
    set(named(member.name.as_ref(), kind?))
}

fn named<Kind>(name: Option<&String>, kind: Kind) -> PolicyConfig<Kind> {
    PolicyConfig {
        name: name.cloned().map(Spanned::from),
        kind,
    }
}

fn composite(settings: &CompositePolicy, path: &str, reader: &mut Reader) -> CompositeConfig {
    let mut built = Vec::new();
    for (index, member) in settings.composite_sub_policy.iter().enumerate() {
        let path = format!("{path}.compositeSubPolicy[{index}]");
        let kind = if member.kind == PolicyType::And {
            let members = and(member.and.as_ref(), &path, reader);
            Some(CompositeMemberConfig::And(members))
        } else {
            simple(member.kind, &member.settings, &path, reader).map(CompositeMemberConfig::Simple)
        };
        built.extend(kind.map(|kind| named(Some(&member.name), kind)));
    }
    let mut shares = Vec::new();
    for (index, share) in settings.rate_allocation.iter().enumerate() {
        shares.push(RateAllocationConfig {
            policy: set(share.policy.as_str()),
            percent: reader.whole(&format!("{path}.rateAllocation[{index}].percent"), share.percent),
        });
    }
    CompositeConfig {
        max_total_spans_per_second: reader.whole(
            &format!("{path}.maxTotalSpansPerSecond"),
            settings.max_total_spans_per_second,
        ),
        policy_order: unless_empty(settings.policy_order.iter().map(String::as_str)),
        composite_sub_policy: set_list(built),
        rate_allocation: unless_empty(shares.into_iter()),
    }
}

/// What is empty is as if it were not written.
fn unless_empty<T>(items: impl ExactSizeIterator<Item = impl Into<T>>) -> Field<Vec<Spanned<T>>> {
    if items.len() == 0 { None } else { set_list(items) }
}

/// One of the policies that may stand everywhere.
fn simple(
    kind: PolicyType,
    settings: &SimpleSettings,
    path: &str,
    reader: &mut Reader,
) -> Option<SimplePolicyConfig> {
    match kind {
        PolicyType::AlwaysSample => Some(SimplePolicyConfig::AlwaysSample),
        PolicyType::TraceFlags => Some(SimplePolicyConfig::TraceFlags),
        PolicyType::StatusCode => {
            let own = settings.status_code.as_ref();
            let codes = own.map(|own| own.status_codes.iter().copied().map(status_code));
            Some(SimplePolicyConfig::StatusCode {
                status_codes: codes.and_then(set_list),
            })
        }
        PolicyType::Latency => {
            let own = settings.latency.as_ref();
            Some(SimplePolicyConfig::Latency {
                threshold_ms: own.and_then(|own| set(own.threshold_ms)),
                upper_threshold_ms: own.and_then(|own| set(own.upper_threshold_ms?)),
            })
        }
        PolicyType::NumericAttribute => Some(numeric_attribute(settings)),
        PolicyType::StringAttribute => Some(string_attribute(settings, path, reader)),
        PolicyType::BooleanAttribute => {
            let own = settings.boolean_attribute.as_ref();
            Some(SimplePolicyConfig::BooleanAttribute {
                key: own.and_then(|own| set(own.key.as_str())),
                value: own.and_then(|own| set(own.value)),
                invert_match: own.and_then(|own| switch(own.invert_match)),
            })
        }
        PolicyType::TraceState => {
            let own = settings.trace_state.as_ref();
            Some(SimplePolicyConfig::TraceState {
                key: own.and_then(|own| set(own.key.as_str())),
                values: own.and_then(|own| set_list(own.values.iter().map(String::as_str))),
            })
        }
        PolicyType::Probabilistic => {
            let own = settings.probabilistic.as_ref();
            let path = format!("{path}.probabilistic.samplingPercentage");
            Some(SimplePolicyConfig::Probabilistic {
                hash_salt: own.and_then(|own| set(own.hash_salt.clone()?)),
                sampling_percentage: own.and_then(|own| reader.percent(&path, &own.sampling_percentage)),
            })
        }
        PolicyType::RateLimiting => Some(rate_limiting(settings, path, reader)),
        PolicyType::BytesLimiting => Some(bytes_limiting(settings, path, reader)),
        PolicyType::SpanCount => Some(span_count(settings, path, reader)),
        PolicyType::And | PolicyType::Not | PolicyType::Drop | PolicyType::Composite => {
            let wrong = format!("{path}.type: {} cannot stand here", kind.word());
            reader.wrong.push(wrong);
            None
        }
    }
}

/// A switch whose default is off.
fn switch(on: bool) -> Field<bool> {
    on.then(|| true.into())
}

fn numeric_attribute(settings: &SimpleSettings) -> SimplePolicyConfig {
    let own = settings.numeric_attribute.as_ref();
    SimplePolicyConfig::NumericAttribute {
        key: own.and_then(|own| set(own.key.as_str())),
        min_value: own.and_then(|own| set(own.min_value?)),
        max_value: own.and_then(|own| set(own.max_value?)),
        invert_match: own.and_then(|own| switch(own.invert_match)),
    }
}

fn string_attribute(settings: &SimpleSettings, path: &str, reader: &mut Reader) -> SimplePolicyConfig {
    let own = settings.string_attribute.as_ref();
    let path = format!("{path}.stringAttribute.cacheMaxSize");
    SimplePolicyConfig::StringAttribute {
        key: own.and_then(|own| set(own.key.as_str())),
        values: own.and_then(|own| set_list(own.values.iter().map(String::as_str))),
        enabled_regex_matching: own.and_then(|own| switch(own.enabled_regex_matching)),
        cache_max_size: own.and_then(|own| reader.optional(&path, own.cache_max_size)),
        invert_match: own.and_then(|own| switch(own.invert_match)),
    }
}

fn rate_limiting(settings: &SimpleSettings, path: &str, reader: &mut Reader) -> SimplePolicyConfig {
    let own = settings.rate_limiting.as_ref();
    let at = |field: &str| format!("{path}.rateLimiting.{field}");
    SimplePolicyConfig::RateLimiting {
        spans_per_second: own.and_then(|own| reader.whole(&at("spansPerSecond"), own.spans_per_second)),
        burst_capacity: own.and_then(|own| reader.optional(&at("burstCapacity"), own.burst_capacity)),
    }
}

fn bytes_limiting(settings: &SimpleSettings, path: &str, reader: &mut Reader) -> SimplePolicyConfig {
    let own = settings.bytes_limiting.as_ref();
    let at = |field: &str| format!("{path}.bytesLimiting.{field}");
    SimplePolicyConfig::BytesLimiting {
        bytes_per_second: own.and_then(|own| reader.whole(&at("bytesPerSecond"), own.bytes_per_second)),
        burst_capacity: own.and_then(|own| reader.optional(&at("burstCapacity"), own.burst_capacity)),
    }
}

fn span_count(settings: &SimpleSettings, path: &str, reader: &mut Reader) -> SimplePolicyConfig {
    let own = settings.span_count.as_ref();
    let at = |field: &str| format!("{path}.spanCount.{field}");
    SimplePolicyConfig::SpanCount {
        min_spans: own.and_then(|own| reader.optional(&at("minSpans"), own.min_spans)),
        max_spans: own.and_then(|own| reader.optional(&at("maxSpans"), own.max_spans)),
    }
}

fn status_code(code: TraceStatusCode) -> StatusCode {
    match code {
        TraceStatusCode::Ok => StatusCode::Ok,
        TraceStatusCode::Error => StatusCode::Error,
        TraceStatusCode::Unset => StatusCode::Unset,
    }
}

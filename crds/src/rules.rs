//! What the types cannot say. Each rule stands here twice, side by side with one message: as CEL, which the API server
//! evaluates ([`cel`]), and as code ([`violations`]), for `tracepipe-operator validate` and for a cluster whose CRD is
//! older than its operator. A test holds both against the same cases.

mod policies;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::sampling::Sampling;
use crate::spec::{Identity, IdentityType, Mode, TracingPipeline, TracingPipelineSpec};
use crate::values::{Duration, Percentage, WorkspaceUrl, cpu_millis, memory_bytes};
use crate::workload::{ResourceAmounts, Resources, Toleration, TolerationEffect, TolerationOperator};

/// Longest name of a TracingPipeline: `-collector-` and a hash are put behind it, and 63 characters are a label.
pub const NAME_LENGTH_MAX: usize = 52;

/// Memory that the container has above `memoryLimiter.limitMiB`, in MiB: threads, code and what the kernel counts.
pub const MEMORY_HEADROOM_MIB: i64 = 64;

/// Longest text of a duration. With the digits that [`DURATION`] allows, no sum passes the 292 years that CEL's
/// `duration()` and Go can hold: a rule that overflows would be answered with an internal error.
pub(crate) const DURATION_LENGTH_MAX: usize = 16;

/// Disk for one remembered decision, in bytes: twice what the collector writes, so that what a file system rounds up
/// has its room.
pub const DECISION_BYTES: i64 = 64;

/// Least disk for decisions, in bytes: files and a folder take whole blocks, however little is in them.
pub const DECISIONS_BYTES_MIN: u128 = 1 << 20;

/// An amount of memory or disk.
pub(crate) const AMOUNT: &str = r"^[1-9][0-9]{0,14}([KMGTPE]i|[kMGTPE])?$";

/// Name of a policy.
pub(crate) const POLICY_NAME: &str = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";

/// Key of a taint or a label: an optional DNS name and a slash, then at most 63 characters. Empty as well: every key.
pub(crate) const TAINT_KEY: &str = r"^(([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[0-9A-Za-z]([-0-9A-Za-z_.]{0,61}[0-9A-Za-z])?)?$";

/// Value of a label or a taint.
pub(crate) const LABEL_VALUE: &str = r"^([0-9A-Za-z]([-0-9A-Za-z_.]{0,61}[0-9A-Za-z])?)?$";

/// A text from one duration to another. CEL's `duration()` takes more than people should write (`-1s`, `.5h`), so the
/// pattern comes first; where it fails, `&&` never looks at what follows.
macro_rules! duration_between {
    ($least:literal, $most:literal) => {
        concat!(
            "self.matches('^([0-9]{1,8}(ms|s|m)|[0-9]{1,4}h)+$') && duration(self) >= duration('",
            $least,
            "') && duration(self) <= duration('",
            $most,
            "')"
        )
    };
}

/// The member is set if and only if `type` names it.
macro_rules! members {
    ($(($kind:literal, $member:literal)),+ ; $last:literal, $last_member:literal) => {
        concat!(
            $("(self.type == '", $kind, "') == has(self.", $member, ") && ",)+
            "(self.type == '", $last, "') == has(self.", $last_member, ")"
        )
    };
}

/// [`members`] with those of the types that may stand everywhere in front.
macro_rules! union_of {
    ($(($kind:literal, $member:literal)),*) => {
        members!(
            $(($kind, $member),)*
            ("StatusCode", "statusCode"),
            ("Latency", "latency"),
            ("NumericAttribute", "numericAttribute"),
            ("StringAttribute", "stringAttribute"),
            ("BooleanAttribute", "booleanAttribute"),
            ("Probabilistic", "probabilistic"),
            ("RateLimiting", "rateLimiting"),
            ("BytesLimiting", "bytesLimiting"),
            ("SpanCount", "spanCount");
            "TraceState", "traceState"
        )
    };
}

/// The rules as CEL. `self` is the value that the rule stands at.
///
/// Every string and list that a rule reads has a maxLength or maxItems in the schema: the API server prices a rule by
/// the largest value that it could meet, and refuses a CRD whose rules are too dear.
pub mod cel {
    /// At the resource.
    pub const NAME: &str =
        "self.metadata.name.size() <= 52 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')";
    /// At `clusterName`.
    pub const CLUSTER_NAME_IS_FIXED: &str = "self == oldSelf";
    /// At a percentage.
    pub const PERCENTAGE: &str = "type(self) == int ? self >= 0 && self <= 100 : self.matches('^(100([.]0{1,4})?|[0-9]{1,2}([.][0-9]{1,4})?)$')";
    /// At `slowThreshold`.
    pub const SLOW_THRESHOLD: &str = duration_between!("0s", "1h");
    /// At `decisionWait`.
    pub const DECISION_WAIT: &str = duration_between!("100ms", "5m");
    /// At `checkInterval`.
    pub const CHECK_INTERVAL: &str = duration_between!("100ms", "1m");
    /// At `batch.timeout`.
    pub const BATCH_TIMEOUT: &str = duration_between!("1ms", "1m");
    /// At `sampling`. A text that is no amount is the pattern's to refuse.
    pub const SIZE_LIMIT: &str = "!has(self.decisionCache.persistence) || !isQuantity(self.decisionCache.persistence.sizeLimit) || quantity(self.decisionCache.persistence.sizeLimit).asApproximateFloat() >= 1048576.0 && quantity(self.decisionCache.persistence.sizeLimit).asApproximateFloat() >= double(((has(self.decisionCache.sampledCacheSize) ? self.decisionCache.sampledCacheSize : self.numTraces) + (has(self.decisionCache.nonSampledCacheSize) ? self.decisionCache.nonSampledCacheSize : self.numTraces)) * 64)";
    /// At a policy of `policies`.
    pub const POLICY: &str = union_of!(
        ("And", "and"),
        ("Not", "not"),
        ("Drop", "drop"),
        ("Composite", "composite")
    );
    /// At a member of `and` or `drop`.
    pub const AND_MEMBER: &str = union_of!(("Not", "not"));
    /// At the member of `not`.
    pub const NOT_MEMBER: &str = union_of!();
    /// At a member of `composite`.
    pub const COMPOSITE_MEMBER: &str = union_of!(("And", "and"));
    /// At `latency`.
    pub const LATENCY_BOUNDS: &str =
        "!has(self.upperThresholdMs) || self.thresholdMs < self.upperThresholdMs";
    /// At `numericAttribute`.
    pub const NUMBER_BOUNDS: &str = "(has(self.minValue) || has(self.maxValue)) && (!has(self.minValue) || !has(self.maxValue) || self.minValue <= self.maxValue)";
    /// At `spanCount`.
    pub const SPAN_BOUNDS: &str = "(has(self.minSpans) || has(self.maxSpans)) && (!has(self.minSpans) || !has(self.maxSpans) || self.minSpans <= self.maxSpans)";
    /// At `composite`.
    pub const ORDER_OF_MEMBERS: &str = "!has(self.policyOrder) || self.policyOrder.all(name, self.compositeSubPolicy.exists(member, member.name == name))";
    /// At `composite`.
    pub const SHARES_OF_MEMBERS: &str = "!has(self.rateAllocation) || self.rateAllocation.all(share, self.compositeSubPolicy.exists(member, member.name == share.policy))";
    /// At `composite`.
    pub const SHARES: &str =
        "!has(self.rateAllocation) || self.rateAllocation.map(share, share.percent).sum() <= 100";
    /// At `memoryLimiter`.
    pub const SPIKE: &str = "self.spikeLimitMiB < self.limitMiB";
    /// At `batch`.
    pub const BATCH_SIZES: &str = "self.sendBatchMaxSize == 0 || self.sendBatchMaxSize >= self.sendBatchSize";
    /// At `exporters`.
    pub const ONE_EXPORTER: &str = "self.xray.mode == 'Enabled' || has(self.logging)";
    /// At `ampRemoteWriteEndpoint`. Which hosts may be named is the administrator's to say, and the operator's to check.
    pub const AMP_ENDPOINT: &str = "self.matches('^https?://[0-9A-Za-z.-]+(:[0-9]{1,5})?/workspaces/ws-[0-9A-Za-z-]{1,61}/api/v1/remote_write$')";
    /// At `identity`.
    pub const NO_ROLE: &str = "self.type == 'IRSA' || !has(self.roleArn)";
    /// At the spec. A text that is no amount is the pattern's to refuse. In bytes and not as a text with `Mi`, whose
    /// length, and so its price, the API server cannot bound.
    pub const MEMORY_FITS: &str = "!has(self.collector.resources.limits.memory) || !isQuantity(self.collector.resources.limits.memory) || quantity(self.collector.resources.limits.memory).asApproximateFloat() >= double((self.memoryLimiter.limitMiB + 64) * 1048576)";
    /// At `resources`.
    pub const MEMORY_REQUEST: &str = "!has(self.requests.memory) || !has(self.limits.memory) || !isQuantity(self.requests.memory) || !isQuantity(self.limits.memory) || quantity(self.requests.memory).compareTo(quantity(self.limits.memory)) <= 0";
    /// At `resources`.
    pub const CPU_REQUEST: &str = "!has(self.requests.cpu) || !has(self.limits.cpu) || !isQuantity(string(self.requests.cpu)) || !isQuantity(string(self.limits.cpu)) || quantity(string(self.requests.cpu)).compareTo(quantity(string(self.limits.cpu))) <= 0";
    /// At an amount of CPU.
    pub const CPU: &str = "type(self) == int ? self >= 0 && self <= 1000 : self.matches('^([0-9]{1,6}m|[0-9]{1,3}([.][0-9]{1,3})?|1000)$')";
    /// At `nodeSelector`. The values have a pattern.
    pub const NODE_SELECTOR: &str = "self.all(key, key.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[0-9A-Za-z]([-0-9A-Za-z_.]{0,61}[0-9A-Za-z])?$'))";
    /// At a toleration.
    pub const TOLERATION: &str = "(self.operator == 'Exists' ? !has(self.value) || self.value == '' : has(self.key) && self.key != '') && (!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute'))";
}

/// The messages of the rules, under the same names.
pub mod message {
    /// At the resource.
    pub const NAME: &str = "metadata.name becomes the name of a Service and the start of other names: lower case letters, digits and hyphens, a letter first, at most 52 characters";
    /// At `clusterName`.
    pub const CLUSTER_NAME_IS_FIXED: &str =
        "clusterName cannot be changed: delete this TracingPipeline and make a new one";
    /// At a percentage.
    pub const PERCENTAGE: &str =
        "write a whole number from 0 to 100, or a string with at most four decimals such as \"0.5\"";
    /// At `slowThreshold`.
    pub const SLOW_THRESHOLD: &str =
        "write a duration such as 500ms or 2s, at most 1h; 0s keeps no trace for being slow";
    /// At `decisionWait`.
    pub const DECISION_WAIT: &str = "write a duration such as 10s, from 100ms to 5m";
    /// At `checkInterval`.
    pub const CHECK_INTERVAL: &str = "write a duration such as 1s, from 100ms to 1m";
    /// At `batch.timeout`.
    pub const BATCH_TIMEOUT: &str = "write a duration such as 200ms, from 1ms to 1m";
    /// At `sampling`.
    pub const SIZE_LIMIT: &str = "sizeLimit must be at least 1Mi, and 64 bytes for each decision that decisionCache remembers: the kubelet ends a pod that writes more";
    /// At a policy, wherever it stands.
    pub const POLICY_MEMBER: &str = "set exactly the member that type names, for example latency for Latency; AlwaysSample and TraceFlags have none";
    /// At `latency`.
    pub const LATENCY_BOUNDS: &str = "upperThresholdMs must be more than thresholdMs";
    /// At `numericAttribute`.
    pub const NUMBER_BOUNDS: &str = "set minValue, maxValue or both, minValue not above maxValue";
    /// At `spanCount`.
    pub const SPAN_BOUNDS: &str = "set minSpans, maxSpans or both, minSpans not above maxSpans";
    /// At `composite`.
    pub const ORDER_OF_MEMBERS: &str = "each name must be that of a member of compositeSubPolicy";
    /// At `composite`.
    pub const SHARES_OF_MEMBERS: &str = "each policy must be the name of a member of compositeSubPolicy";
    /// At `composite`.
    pub const SHARES: &str = "the percents must not be more than 100 together";
    /// At `memoryLimiter`.
    pub const SPIKE: &str =
        "spikeLimitMiB must be less than limitMiB: requests are refused above the difference";
    /// At `batch`.
    pub const BATCH_SIZES: &str = "sendBatchMaxSize must be 0 or at least sendBatchSize";
    /// At `exporters`.
    pub const ONE_EXPORTER: &str = "no exporter is on: set xray.mode to Enabled, or add logging";
    /// At `ampRemoteWriteEndpoint`.
    pub const AMP_ENDPOINT: &str = "write the workspace's remote write URL: https://aps-workspaces.REGION.amazonaws.com/workspaces/ws-ID/api/v1/remote_write";
    /// At `identity`.
    pub const NO_ROLE: &str = "roleArn is for type IRSA: remove it (an EKS Pod Identity association names its own role), or set type to IRSA";
    /// At the spec.
    pub const MEMORY_FITS: &str = "the container's memory limit must be at least memoryLimiter.limitMiB + 64Mi, or the kernel ends the collector before its own limiter acts";
    /// At `resources`.
    pub const MEMORY_REQUEST: &str = "requests.memory must not be more than limits.memory";
    /// At `resources`.
    pub const CPU_REQUEST: &str = "requests.cpu must not be more than limits.cpu";
    /// At an amount of CPU.
    pub const CPU: &str = "write CPU as 100m, 0.5 or 1, at most 1000";
    /// At `nodeSelector`.
    pub const NODE_SELECTOR: &str = "each key must be the key of a node label, such as kubernetes.io/arch";
    /// At a toleration.
    pub const TOLERATION: &str = "operator Equal needs a key, operator Exists takes no value, tolerationSeconds needs effect NoExecute";
}

/// A rule as it stands in the schema.
pub(crate) fn validation(rule: &str, message: &str) -> Value {
    json!({ "rule": rule, "message": message })
}

/// A rule whose refusal names a field below the value that it stands at.
fn validation_at(rule: &str, message: &str, field: &str) -> Value {
    json!({ "rule": rule, "message": message, "fieldPath": field })
}

/// The rule at the resource.
pub(crate) fn at_resource() -> Value {
    json!([validation_at(cel::NAME, message::NAME, ".metadata.name")])
}

/// The rule at the spec.
pub(crate) fn at_spec() -> Value {
    let memory = ".collector.resources.limits.memory";
    json!([validation_at(cel::MEMORY_FITS, message::MEMORY_FITS, memory)])
}

/// The rule at `sampling`.
pub(crate) fn at_sampling() -> Value {
    let field = ".decisionCache.persistence.sizeLimit";
    json!([validation_at(cel::SIZE_LIMIT, message::SIZE_LIMIT, field)])
}

/// The rules at `composite`.
pub(crate) fn at_composite() -> Value {
    json!([
        validation_at(cel::ORDER_OF_MEMBERS, message::ORDER_OF_MEMBERS, ".policyOrder"),
        validation_at(
            cel::SHARES_OF_MEMBERS,
            message::SHARES_OF_MEMBERS,
            ".rateAllocation"
        ),
        validation_at(cel::SHARES, message::SHARES, ".rateAllocation"),
    ])
}

/// The rules at `identity`.
pub(crate) fn at_identity() -> Value {
    let mut role = validation_at(cel::NO_ROLE, message::NO_ROLE, ".roleArn");
    role["reason"] = json!("FieldValueForbidden");
    json!([role])
}

/// The rules at `resources`.
pub(crate) fn at_resources() -> Value {
    json!([
        validation_at(cel::CPU_REQUEST, message::CPU_REQUEST, ".requests.cpu"),
        validation_at(cel::MEMORY_REQUEST, message::MEMORY_REQUEST, ".requests.memory"),
    ])
}

/// Schema of a value of `nodeSelector`.
pub(crate) fn label_value() -> Value {
    json!({ "type": "string", "maxLength": 63, "pattern": LABEL_VALUE })
}

/// A rule that a resource breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where, for example `spec.sampling.policies[1]`.
    pub path: String,
    /// What to do, one of [`message`].
    pub message: &'static str,
}

/// Every rule that `pipeline` breaks, in the order of the spec. Rules that compare with an older version of the
/// resource are not here.
pub fn violations(pipeline: &TracingPipeline) -> Vec<Violation> {
    let mut found = Found::default();
    let spec = &pipeline.spec;
    found.unless(is_name(&pipeline.name_any()), "metadata.name", message::NAME);
    let rate = is_percentage(&spec.sampling_rate_percentage);
    found.unless(rate, "spec.samplingRatePercentage", message::PERCENTAGE);
    sampling(&spec.sampling, &mut found);
    let limiter = &spec.memory_limiter;
    let below = limiter.spike_limit_mib < limiter.limit_mib;
    found.unless(below, "spec.memoryLimiter", message::SPIKE);
    let interval = is_duration(&limiter.check_interval, 100, MINUTE_MS);
    found.unless(
        interval,
        "spec.memoryLimiter.checkInterval",
        message::CHECK_INTERVAL,
    );
    let batch = &spec.batch;
    let fits = batch.send_batch_max_size == 0 || batch.send_batch_max_size >= batch.send_batch_size;
    found.unless(fits, "spec.batch", message::BATCH_SIZES);
    let timeout = is_duration(&batch.timeout, 1, MINUTE_MS);
    found.unless(timeout, "spec.batch.timeout", message::BATCH_TIMEOUT);
    let exporters = &spec.exporters;
    let on = exporters.xray.mode == Mode::Enabled || exporters.logging.is_some();
    found.unless(on, "spec.exporters", message::ONE_EXPORTER);
    let endpoint = spec.amp_remote_write_endpoint.as_deref();
    let is_endpoint = endpoint.is_none_or(|url| WorkspaceUrl::parse(url).is_some());
    let path = "spec.ampRemoteWriteEndpoint";
    found.unless(is_endpoint, path, message::AMP_ENDPOINT);
    identity(&spec.identity, &mut found);
    collector(spec, &mut found);
    found.0
}

const MINUTE_MS: u64 = 60_000;

#[derive(Default)]
struct Found(Vec<Violation>);

impl Found {
    fn unless(&mut self, holds: bool, path: impl Into<String>, message: &'static str) {
        if !holds {
            let path = path.into();
            self.0.push(Violation { path, message });
        }
    }
}

fn sampling(sampling: &Sampling, found: &mut Found) {
    let slow = is_duration(&sampling.slow_threshold, 0, 60 * MINUTE_MS);
    found.unless(slow, "spec.sampling.slowThreshold", message::SLOW_THRESHOLD);
    let is_wait = |wait: &str| is_duration(wait, 100, 5 * MINUTE_MS);
    let wait = is_wait(&sampling.decision_wait);
    found.unless(wait, "spec.sampling.decisionWait", message::DECISION_WAIT);
    let after_root = sampling.decision_wait_after_root.as_deref().is_none_or(is_wait);
    let path = "spec.sampling.decisionWaitAfterRoot";
    found.unless(after_root, path, message::DECISION_WAIT);
    let fits = is_size_enough(sampling);
    let path = "spec.sampling.decisionCache.persistence.sizeLimit";
    found.unless(fits, path, message::SIZE_LIMIT);
    policies::of(&sampling.policies, found);
}

/// What is no amount is the pattern's to refuse.
fn is_size_enough(sampling: &Sampling) -> bool {
    let cache = &sampling.decision_cache;
    let limit = cache.persistence.as_ref();
    let limit = limit.and_then(|persistence| memory_bytes(&persistence.size_limit));
    let size = |size: Option<i64>| i128::from(size.unwrap_or(sampling.num_traces));
    let decisions = size(cache.sampled_cache_size) + size(cache.non_sampled_cache_size);
    // A CRD older than the operator may lack the bounds of the sizes.
    let needed = u128::try_from(decisions * i128::from(DECISION_BYTES)).unwrap_or(0);
    in_order(Some(needed.max(DECISIONS_BYTES_MIN)), limit)
}

fn identity(identity: &Identity, found: &mut Found) {
    let holds = match identity.kind {
        IdentityType::Irsa => true,
        IdentityType::PodIdentity | IdentityType::Ambient => identity.role_arn.is_none(),
    };
    found.unless(holds, "spec.identity.roleArn", message::NO_ROLE);
}

fn collector(spec: &TracingPipelineSpec, found: &mut Found) {
    let Resources { requests, limits } = &spec.collector.resources;
    let path = "spec.collector.resources";
    for (name, amounts) in [("requests", requests), ("limits", limits)] {
        if let Some(cpu) = &amounts.cpu {
            found.unless(
                cpu_millis(cpu).is_some(),
                format!("{path}.{name}.cpu"),
                message::CPU,
            );
        }
    }
    let millis = |amounts: &ResourceAmounts| amounts.cpu.as_ref().and_then(cpu_millis);
    let below = in_order(millis(requests), millis(limits));
    found.unless(below, format!("{path}.requests.cpu"), message::CPU_REQUEST);
    let bytes = |amounts: &ResourceAmounts| amounts.memory.as_deref().and_then(memory_bytes);
    let below = in_order(bytes(requests), bytes(limits));
    found.unless(below, format!("{path}.requests.memory"), message::MEMORY_REQUEST);
    // A CRD older than the operator may lack the bounds of limitMiB.
    let needed = i128::from(spec.memory_limiter.limit_mib) + i128::from(MEMORY_HEADROOM_MIB);
    let needed = u128::try_from(needed).unwrap_or(0) << 20;
    let fits = in_order(Some(needed), bytes(limits));
    found.unless(fits, format!("{path}.limits.memory"), message::MEMORY_FITS);
    let keys = spec.collector.node_selector.keys().all(|key| is_label_key(key));
    found.unless(keys, "spec.collector.nodeSelector", message::NODE_SELECTOR);
    for (index, toleration) in spec.collector.tolerations.iter().enumerate() {
        let path = format!("spec.collector.tolerations[{index}]");
        found.unless(is_toleration(toleration), path, message::TOLERATION);
    }
}

/// What is absent, or is no amount, is in order with everything.
fn in_order<T: PartialOrd>(less: Option<T>, more: Option<T>) -> bool {
    less.zip(more).is_none_or(|(less, more)| less <= more)
}

fn is_toleration(toleration: &Toleration) -> bool {
    let empty = |text: &Option<String>| text.as_ref().is_none_or(String::is_empty);
    let compared = match toleration.operator {
        TolerationOperator::Exists => empty(&toleration.value),
        TolerationOperator::Equal => !empty(&toleration.key),
    };
    let timed =
        toleration.toleration_seconds.is_none() || toleration.effect == Some(TolerationEffect::NoExecute);
    compared && timed
}

/// A DNS name and a slash or neither, then a name of at most 63 characters.
fn is_label_key(key: &str) -> bool {
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let (domain, name) = match key.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, key),
    };
    let bytes = name.as_bytes();
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let named = bytes.len() <= 63 && alphanumeric(bytes.first()) && alphanumeric(bytes.last());
    let dns = |label: &str| {
        let bytes = label.as_bytes();
        let inside = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        bytes.iter().all(inside) && alphanumeric(bytes.first()) && alphanumeric(bytes.last())
    };
    named && bytes.iter().all(inside) && domain.is_none_or(|domain| domain.split('.').all(dns))
}

fn is_name(name: &str) -> bool {
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let starts = name.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
    plain && starts && !name.ends_with('-') && name.len() <= NAME_LENGTH_MAX
}

fn is_percentage(value: &IntOrString) -> bool {
    Percentage::parse(value).is_some()
}

fn is_duration(text: &str, least_ms: u64, most_ms: u64) -> bool {
    Duration::parse(text).is_some_and(|duration| (least_ms..=most_ms).contains(&duration.millis()))
}

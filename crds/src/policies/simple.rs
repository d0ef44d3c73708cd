//! The settings of the policies that may stand everywhere.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules::{cel, message, validation};

/// Least and most of a number that every reader of JSON can hold: 2^53 - 1.
pub(crate) const NUMBER_MAX: i64 = 9_007_199_254_740_991;
/// Spans or bytes a second, as the collector has it.
pub(super) const RATE_MAX: i64 = 1_000_000_000_000;

/// The settings of the types that may stand everywhere; the one that `type` names is set.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct SimpleSettings {
    /// For `StatusCode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code: Option<StatusCodePolicy>,
    /// For `Latency`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyPolicy>,
    /// For `NumericAttribute`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numeric_attribute: Option<NumericAttributePolicy>,
    /// For `StringAttribute`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub string_attribute: Option<StringAttributePolicy>,
    /// For `BooleanAttribute`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boolean_attribute: Option<BooleanAttributePolicy>,
    /// For `Probabilistic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probabilistic: Option<ProbabilisticPolicy>,
    /// For `RateLimiting`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limiting: Option<RateLimitingPolicy>,
    /// For `BytesLimiting`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_limiting: Option<BytesLimitingPolicy>,
    /// For `SpanCount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span_count: Option<SpanCountPolicy>,
    /// For `TraceState`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_state: Option<TraceStatePolicy>,
}

/// Settings of a `StatusCode` policy.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StatusCodePolicy {
    /// Span status codes that keep the trace.
    #[schemars(length(min = 1, max = 3))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub status_codes: Vec<TraceStatusCode>,
}

/// Status code of a span.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub enum TraceStatusCode {
    /// The application said that it went well.
    Ok,
    /// It went wrong.
    Error,
    /// Nothing was said.
    Unset,
}

/// Settings of a `Latency` policy.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [validation(cel::LATENCY_BOUNDS, message::LATENCY_BOUNDS)]))]
pub struct LatencyPolicy {
    /// Keep traces that took longer than this, in milliseconds.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub threshold_ms: i64,
    /// Keep no trace that took longer than this, in milliseconds. Absent: no such bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3_600_000))]
    pub upper_threshold_ms: Option<i64>,
}

/// Settings of a `NumericAttribute` policy.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [validation(cel::NUMBER_BOUNDS, message::NUMBER_BOUNDS)]))]
pub struct NumericAttributePolicy {
    /// Name of the attribute, for example `http.response.status_code`.
    #[schemars(length(min = 1, max = 256))]
    pub key: String,
    /// Least number that matches. At least one of the bounds is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -NUMBER_MAX, max = NUMBER_MAX))]
    pub min_value: Option<i64>,
    /// Greatest number that matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -NUMBER_MAX, max = NUMBER_MAX))]
    pub max_value: Option<i64>,
    /// Keep the traces where nothing matches instead.
    #[serde(default, skip_serializing_if = "is_false")]
    pub invert_match: bool,
}

/// Settings of a `StringAttribute` policy.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StringAttributePolicy {
    /// Name of the attribute, for example `http.route`.
    #[schemars(length(min = 1, max = 256))]
    pub key: String,
    /// Texts that match, or patterns with `enabledRegexMatching`.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 256)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub values: Vec<String>,
    /// The values are regular expressions of Go, which match anywhere in the text.
    #[serde(default, skip_serializing_if = "is_false")]
    pub enabled_regex_matching: bool,
    /// Most results of patterns that are remembered. Absent: 128.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub cache_max_size: Option<i64>,
    /// Keep the traces where nothing matches instead.
    #[serde(default, skip_serializing_if = "is_false")]
    pub invert_match: bool,
}

/// Settings of a `BooleanAttribute` policy.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BooleanAttributePolicy {
    /// Name of the attribute, for example `app.premium`.
    #[schemars(length(min = 1, max = 256))]
    pub key: String,
    /// The value that matches.
    pub value: bool,
    /// Keep the traces where nothing matches instead.
    #[serde(default, skip_serializing_if = "is_false")]
    pub invert_match: bool,
}

/// Settings of a `Probabilistic` policy.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ProbabilisticPolicy {
    /// Share of the traces to keep, in percent: a whole number, or a string for up to four decimals.
    #[schemars(extend("maxLength" = 10))]
    #[schemars(extend("x-kubernetes-validations" = [validation(cel::PERCENTAGE, message::PERCENTAGE)]))]
    pub sampling_percentage: IntOrString,
    /// Changes which traces are chosen. Collectors that shall choose the same traces need the same salt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub hash_salt: Option<String>,
}

/// Settings of a `RateLimiting` policy.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitingPolicy {
    /// Spans a second that each collector keeps.
    #[schemars(range(min = 1, max = RATE_MAX))]
    pub spans_per_second: i64,
    /// Spans that may be kept at once; no larger trace is. Absent: twice `spansPerSecond`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = RATE_MAX))]
    pub burst_capacity: Option<i64>,
}

/// Settings of a `BytesLimiting` policy.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BytesLimitingPolicy {
    /// Bytes a second that each collector keeps.
    #[schemars(range(min = 1, max = RATE_MAX))]
    pub bytes_per_second: i64,
    /// Bytes that may be kept at once; no larger trace is. Absent: twice `bytesPerSecond`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = RATE_MAX))]
    pub burst_capacity: Option<i64>,
}

/// Settings of a `SpanCount` policy.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [validation(cel::SPAN_BOUNDS, message::SPAN_BOUNDS)]))]
pub struct SpanCountPolicy {
    /// Least spans of a trace that is kept. At least one of the bounds is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub min_spans: Option<i64>,
    /// Most spans of a trace that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub max_spans: Option<i64>,
}

/// Settings of a `TraceState` policy.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TraceStatePolicy {
    /// The key.
    #[schemars(length(min = 1, max = 127))]
    pub key: String,
    /// Values that match.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 128)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub values: Vec<String>,
}

fn is_false(value: &bool) -> bool {
    !value
}

//! Sampling policies as people write them: unions of Kubernetes, where `type` names the one member that is set.
//!
//! Which policy may stand in which is upstream's rule. The schema has no recursion, so each level is a type of its own;
//! all share the words of [`PolicyType`] and the members of [`SimpleSettings`]. The texts below the first level are cut
//! to their first sentences: `kubectl apply` keeps a copy of the CRD in an annotation, which has its limit.

mod simple;

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::rules::{self, cel, message, validation};

pub(crate) use simple::NUMBER_MAX;
use simple::RATE_MAX;
pub use simple::{
    BooleanAttributePolicy, BytesLimitingPolicy, LatencyPolicy, NumericAttributePolicy, ProbabilisticPolicy,
    RateLimitingPolicy, SimpleSettings, SpanCountPolicy, StatusCodePolicy, StringAttributePolicy,
    TraceStatePolicy, TraceStatusCode,
};

/// One sampling policy: `type` says which, and the member of the same name holds its settings.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [validation(cel::POLICY, message::POLICY_MEMBER)]))]
pub struct Policy {
    /// Name of the policy, unique in the list. `always-sample-errors`, `always-sample-slow` and `probabilistic` are taken.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::POLICY_NAME))]
    pub name: String,
    /// What the policy looks at.
    #[serde(rename = "type")]
    pub kind: PolicyType,
    /// The settings of the types that may stand everywhere.
    #[serde(flatten)]
    pub settings: SimpleSettings,
    /// For `And`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = brief)]
    pub and: Option<AndPolicy>,
    /// For `Not`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = brief)]
    pub not: Option<NotPolicy>,
    /// For `Drop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = brief)]
    pub drop: Option<DropPolicy>,
    /// For `Composite`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = brief)]
    pub composite: Option<CompositePolicy>,
}

/// What a policy looks at.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyType {
    /// Keeps every trace.
    AlwaysSample,
    /// Keeps traces that have a span with one of these status codes.
    StatusCode,
    /// Keeps traces that took longer than a threshold.
    Latency,
    /// Keeps traces where an attribute of a span or its resource is a whole number within bounds.
    NumericAttribute,
    /// Keeps traces where an attribute of a span or its resource is one of some texts, or matches a pattern.
    StringAttribute,
    /// Keeps traces where an attribute of a span or its resource is true, or is false.
    BooleanAttribute,
    /// Keeps a share of the traces, chosen by trace id.
    Probabilistic,
    /// Keeps traces while their spans stay within a rate.
    RateLimiting,
    /// Keeps traces while their bytes stay within a rate.
    BytesLimiting,
    /// Keeps traces with so many spans.
    SpanCount,
    /// Keeps traces whose W3C trace state has a key with one of some values.
    TraceState,
    /// Keeps traces that the application marked as sampled in their W3C trace flags.
    TraceFlags,
    /// Keeps traces that all its members want.
    And,
    /// Keeps traces that its member does not want.
    Not,
    /// Drops traces that all its members want, whatever other policies say.
    Drop,
    /// Shares a rate among its members: the first that wants a trace keeps it, if its share allows.
    Composite,
}

impl PolicyType {
    /// The word that people write.
    pub fn word(self) -> &'static str {
        match self {
            Self::AlwaysSample => "AlwaysSample",
            Self::StatusCode => "StatusCode",
            Self::Latency => "Latency",
            Self::NumericAttribute => "NumericAttribute",
            Self::StringAttribute => "StringAttribute",
            Self::BooleanAttribute => "BooleanAttribute",
            Self::Probabilistic => "Probabilistic",
            Self::RateLimiting => "RateLimiting",
            Self::BytesLimiting => "BytesLimiting",
            Self::SpanCount => "SpanCount",
            Self::TraceState => "TraceState",
            Self::TraceFlags => "TraceFlags",
            Self::And => "And",
            Self::Not => "Not",
            Self::Drop => "Drop",
            Self::Composite => "Composite",
        }
    }
}

/// Settings of an `And` policy.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AndPolicy {
    /// What a trace must be, each perhaps for another of its spans.
    #[schemars(length(min = 1, max = 16))]
    pub and_sub_policy: Vec<AndMember>,
}

/// Settings of a `Drop` policy.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DropPolicy {
    /// What a trace must be to be dropped, each perhaps for another of its spans.
    #[schemars(length(min = 1, max = 16))]
    pub drop_sub_policy: Vec<AndMember>,
}

/// A policy in an `And` or a `Drop`.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [validation(cel::AND_MEMBER, message::POLICY_MEMBER)]))]
pub struct AndMember {
    /// For people: nothing depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::POLICY_NAME))]
    pub name: Option<String>,
    /// What the policy looks at.
    #[serde(rename = "type")]
    #[schemars(transform = in_and)]
    pub kind: PolicyType,
    /// The settings of the types that may stand everywhere.
    #[serde(flatten)]
    pub settings: SimpleSettings,
    /// For `Not`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not: Option<NotPolicy>,
}

/// Settings of a `Not` policy.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NotPolicy {
    /// What a trace must not be.
    pub not_sub_policy: NotMember,
}

/// The policy in a `Not`.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [validation(cel::NOT_MEMBER, message::POLICY_MEMBER)]))]
pub struct NotMember {
    /// For people: nothing depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::POLICY_NAME))]
    pub name: Option<String>,
    /// What the policy looks at.
    #[serde(rename = "type")]
    #[schemars(transform = in_not)]
    pub kind: PolicyType,
    /// The settings of the types that may stand everywhere.
    #[serde(flatten)]
    pub settings: SimpleSettings,
}

/// Settings of a `Composite` policy.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::at_composite()))]
pub struct CompositePolicy {
    /// Spans a second that each collector keeps through all members together.
    #[schemars(range(min = 1, max = RATE_MAX))]
    pub max_total_spans_per_second: i64,
    /// Names of members in the order in which they are asked; others follow. Absent: the order of the list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub policy_order: Vec<String>,
    /// The policies that share the rate.
    #[schemars(length(min = 1, max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub composite_sub_policy: Vec<CompositeMember>,
    /// Shares of members; the others share evenly what is left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["policy"]))]
    pub rate_allocation: Vec<RateAllocation>,
}

/// A policy in a `Composite`.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [validation(cel::COMPOSITE_MEMBER, message::POLICY_MEMBER)]))]
pub struct CompositeMember {
    /// Name of the policy, unique in the list.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::POLICY_NAME))]
    pub name: String,
    /// What the policy looks at.
    #[serde(rename = "type")]
    #[schemars(transform = in_composite)]
    pub kind: PolicyType,
    /// The settings of the types that may stand everywhere.
    #[serde(flatten)]
    pub settings: SimpleSettings,
    /// For `And`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub and: Option<AndPolicy>,
}

/// The share of a member.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RateAllocation {
    /// Name of the member.
    #[schemars(length(min = 1, max = 63))]
    pub policy: String,
    /// Its share of `maxTotalSpansPerSecond` in percent.
    #[schemars(range(min = 1, max = 100))]
    pub percent: i64,
}

/// Types that cannot stand in an `And` or a `Drop`.
fn in_and(schema: &mut Schema) {
    without(
        schema,
        &[PolicyType::And, PolicyType::Drop, PolicyType::Composite],
    );
}

/// Types that cannot stand in a `Not`.
fn in_not(schema: &mut Schema) {
    without(
        schema,
        &[
            PolicyType::And,
            PolicyType::Not,
            PolicyType::Drop,
            PolicyType::Composite,
        ],
    );
}

/// Types that cannot stand in a `Composite`.
fn in_composite(schema: &mut Schema) {
    without(
        schema,
        &[PolicyType::Not, PolicyType::Drop, PolicyType::Composite],
    );
}

fn without(schema: &mut Schema, types: &[PolicyType]) {
    if let Some(Value::Array(choices)) = schema.get_mut("oneOf") {
        choices.retain(|choice| types.iter().all(|kind| choice["const"] != kind.word()));
    }
}

/// Cuts each text to its first sentence, and leaves out those of choices and the widths of numbers, whose bounds stand
/// beside them.
fn brief(schema: &mut Schema) {
    if let Some(members) = schema.as_object_mut() {
        brief_object(members);
    }
}

fn brief_object(members: &mut Map<String, Value>) {
    if members.get("format").is_some_and(Value::is_string) {
        members.remove("format");
    }
    members
        .iter_mut()
        .for_each(|(word, value)| brief_member(word, value));
}

fn brief_value(value: &mut Value) {
    match value {
        Value::Object(members) => brief_object(members),
        Value::Array(items) => items.iter_mut().for_each(brief_value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn brief_member(word: &str, value: &mut Value) {
    match (word, value) {
        ("description", Value::String(text)) => {
            if let Some((first, _)) = text.split_once(". ") {
                *text = format!("{first}.");
            }
        }
        ("oneOf", Value::Array(choices)) => {
            for choice in choices {
                if let Some(name) = choice.get("const").cloned() {
                    *choice = json!({ "const": name });
                }
            }
        }
        (_, value) => brief_value(value),
    }
}

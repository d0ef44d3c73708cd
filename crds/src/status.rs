//! What the operator answers.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What is true of this pipeline now.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct TracingPipelineStatus {
    /// The generation of the spec that the rest of the status speaks of; -1 before the operator has seen it.
    pub observed_generation: i64,
    /// Ready, ConfigAccepted, IdentityReady, CollectorAvailable and Exporting always; Reconciling, Stalled, Conflicted
    /// and PolicyDrift while they are true.
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"], "items" = condition()))]
    pub conditions: Vec<Condition>,
    /// Where applications send to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<EndpointsStatus>,
    /// Who the collectors are to AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentityStatus>,
    /// The collector's pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collector: Option<CollectorStatus>,
    /// Settings that were found out or defaulted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective: Option<EffectiveStatus>,
}

/// [`Condition`] with our own texts and bounds: `kubectl explain` shows them among ours.
fn condition() -> Value {
    json!({
        "type": "object",
        "description": "Whether something is true of this pipeline.",
        "required": ["lastTransitionTime", "message", "reason", "status", "type"],
        "properties": {
            "type": { "type": "string", "maxLength": 316, "description": "What is said, in one word." },
            "status": {
                "type": "string",
                "enum": ["True", "False", "Unknown"],
                "description": "Whether it is true. Unknown: nobody can say yet.",
            },
            "reason": {
                "type": "string",
                "minLength": 1,
                "maxLength": 1024,
                "description": "Why, in one word that does not change between releases.",
            },
            "message": { "type": "string", "maxLength": 32_768, "description": "Why, in sentences for people." },
            "lastTransitionTime": {
                "type": "string",
                "format": "date-time",
                "description": "When the status became what it is.",
            },
            "observedGeneration": {
                "type": "integer",
                "format": "int64",
                "minimum": 0,
                "description": "The generation of the spec that the condition speaks of.",
            },
        },
    })
}

impl Default for TracingPipelineStatus {
    fn default() -> Self {
        Self {
            observed_generation: -1,
            conditions: Vec::new(),
            endpoints: None,
            identity: None,
            collector: None,
            effective: None,
        }
    }
}

/// Where applications send to.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointsStatus {
    /// OTLP over gRPC: the value for OTEL_EXPORTER_OTLP_ENDPOINT, for example
    /// `http://otel-collector.tracing.svc.cluster.local:4317`.
    pub grpc: String,
    /// OTLP over HTTP.
    pub http: String,
    /// What the Service does in this cluster: PreferSameNode, Local or Cluster.
    pub traffic_policy: String,
}

/// Who the collectors are to AWS.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct IdentityStatus {
    /// IRSA, PodIdentity or Ambient.
    #[serde(rename = "type")]
    pub kind: String,
    /// The IAM role, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// The ServiceAccount that the role's trust policy names.
    pub service_account_name: String,
    /// Roles that the operator has made for this resource, or was about to make, and has not yet deleted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub managed_roles: Vec<String>,
}

/// The collector's pods.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct CollectorStatus {
    /// Nodes with a working collector of the current configuration, of the nodes that should have one: `48/50`.
    pub nodes: String,
    /// Nodes that should have a collector: Ready, and matching selector and tolerations.
    pub nodes_desired: i32,
    /// Of these, nodes with a working collector of the current configuration.
    pub nodes_ready: i32,
    /// The collector's image.
    pub image: String,
    /// The ConfigMap that the current configuration lies in.
    pub config_map: String,
    /// Pods that do not work, at most five.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    pub failing: Vec<FailingPod>,
}

/// A pod that does not work.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct FailingPod {
    /// Its node.
    pub node: String,
    /// Its name; empty when it could not be made.
    pub pod: String,
    /// Why, in one word: ImagePull, CrashLoop, Forbidden or Pending.
    pub reason: String,
    /// Why, in a sentence of at most 256 characters.
    pub message: String,
}

/// Settings that were found out or defaulted.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct EffectiveStatus {
    /// The AWS region that traces go to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Share of the traces that are neither failed nor slow, in percent.
    pub sampling_rate_percentage: String,
    /// Exporters that are on.
    #[schemars(length(max = 8))]
    pub exporters: Vec<String>,
}

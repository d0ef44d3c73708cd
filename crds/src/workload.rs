//! What people write about the objects that the operator makes: the collector's pods and the Service.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::rules::{self, cel, message, validation};

/// The collector's pods, one on each node.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Collector {
    /// CPU and memory of the collector's container.
    pub resources: Resources,
    /// Run only on nodes that have these labels. Default: every Linux node that is not Fargate.
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = rules::label_value()))]
    #[schemars(extend("x-kubernetes-validations" = [validation(cel::NODE_SELECTOR, message::NODE_SELECTOR)]))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods bear. Default: all, because every node's applications send to their own node. This list
    /// replaces the default.
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
}

/// CPU and memory of a container.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules::at_resources()))]
pub struct Resources {
    /// What the scheduler reserves.
    #[serde(deserialize_with = "requests")]
    pub requests: ResourceAmounts,
    /// What the container cannot exceed. There is always a limit of memory; one of CPU only when it is set.
    #[serde(deserialize_with = "limits")]
    pub limits: ResourceAmounts,
}

/// Amounts of CPU and memory.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceAmounts {
    /// CPU in cores, for example `100m`, `0.5` or `1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 10))]
    #[schemars(extend("x-kubernetes-validations" = [validation(cel::CPU, message::CPU)]))]
    pub cpu: Option<IntOrString>,
    /// Memory: a whole number of bytes, or one with a unit such as Ki, Mi, Gi, k, M or G, for example `512Mi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = rules::AMOUNT))]
    pub memory: Option<String>,
}

/// A taint that the pods bear, as in a pod's `tolerations`.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [validation(cel::TOLERATION, message::TOLERATION)]))]
pub struct Toleration {
    /// Key of the taint. Empty: every key, with operator Exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317), regex(pattern = rules::TAINT_KEY))]
    pub key: Option<String>,
    /// How the toleration is compared with the taint.
    #[serde(default)]
    pub operator: TolerationOperator,
    /// Value of the taint, for operator Equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = rules::LABEL_VALUE))]
    pub value: Option<String>,
    /// Effect of the taint. Absent: every effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TolerationEffect>,
    /// With effect NoExecute: how long the pod stays, in seconds. Absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub toleration_seconds: Option<i64>,
}

/// How a toleration is compared with a taint.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TolerationOperator {
    /// Its key and its value are those given here.
    #[default]
    Equal,
    /// Its key is the one given here, its value any.
    Exists,
}

/// What a taint does.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum TolerationEffect {
    /// No new pods.
    NoSchedule,
    /// No new pods if it can be helped.
    PreferNoSchedule,
    /// No pods.
    NoExecute,
}

/// The Service that applications send to.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    /// Which collector an application reaches.
    pub traffic_policy: TrafficPolicy,
}

/// Which collector an application reaches.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TrafficPolicy {
    /// Its own node's, another one while that is not ready (from Kubernetes 1.34; on older clusters this is `Local`).
    #[default]
    PreferSameNode,
    /// Its own node's or none.
    Local,
    /// Any.
    Cluster,
}

/// A member that is left out keeps its default, as the API server has it.
fn requests<'de, D: Deserializer<'de>>(written: D) -> Result<ResourceAmounts, D::Error> {
    Ok(ResourceAmounts::deserialize(written)?.or(Resources::default().requests))
}

fn limits<'de, D: Deserializer<'de>>(written: D) -> Result<ResourceAmounts, D::Error> {
    Ok(ResourceAmounts::deserialize(written)?.or(Resources::default().limits))
}

impl ResourceAmounts {
    fn or(self, default: Self) -> Self {
        Self {
            cpu: self.cpu.or(default.cpu),
            memory: self.memory.or(default.memory),
        }
    }
}

impl Default for Collector {
    fn default() -> Self {
        Self {
            resources: Resources::default(),
            node_selector: BTreeMap::new(),
            tolerations: vec![Toleration {
                operator: TolerationOperator::Exists,
                ..Toleration::default()
            }],
        }
    }
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            requests: ResourceAmounts {
                cpu: Some(IntOrString::String("50m".to_owned())),
                memory: Some("128Mi".to_owned()),
            },
            limits: ResourceAmounts {
                cpu: None,
                memory: Some("512Mi".to_owned()),
            },
        }
    }
}

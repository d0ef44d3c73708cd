//! What people write.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules::{self, cel, message, validation};
use crate::sampling::Sampling;
use crate::status::TracingPipelineStatus;
use crate::workload::{Collector, Service};

/// What the collectors of one cluster do: which traces they keep, how much memory they take, where they send.
///
/// `clusterName` is enough; everything else has a default that suits a cluster of moderate traffic.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "tracepipe.dev",
    version = "v1alpha1",
    kind = "TracingPipeline",
    plural = "tracingpipelines",
    shortname = "tp",
    category = "tracing",
    category = "observability",
    namespaced,
    status = "TracingPipelineStatus",
    derive = "PartialEq",
    doc = "A trace collector on every node of the cluster. Applications send OTLP to the Service that has this resource's name, in its namespace: NAME.NAMESPACE.svc.cluster.local, port 4317 (gRPC) or 4318 (HTTP). Each trace with an error, each slow trace and a share of the rest go to AWS X-Ray.",
    selectable = ".spec.clusterName"
)]
#[schemars(extend("x-kubernetes-validations" = rules::at_spec()))]
#[serde(rename_all = "camelCase")]
pub struct TracingPipelineSpec {
    /// Name of the EKS cluster. Every span carries it as the resource attributes `cluster_name` and
    /// `k8s.cluster.name`, every X-Ray document as the annotation `cluster_name`, so that traces of several clusters
    /// in one account stay apart. It cannot be changed: make a new TracingPipeline instead.
    #[schemars(length(min = 1, max = 100), regex(pattern = r"^[0-9A-Za-z][0-9A-Za-z_-]*$"))]
    #[schemars(extend("x-kubernetes-validations" = [validation(cel::CLUSTER_NAME_IS_FIXED, message::CLUSTER_NAME_IS_FIXED)]))]
    pub cluster_name: String,

    /// AWS region that traces are sent to, for example `eu-west-1`. Default: the operator's `aws.region` chart value,
    /// else the label `topology.kubernetes.io/region` of the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^[a-z]{2,4}(-[a-z]+)+-[0-9]$"))]
    pub region: Option<String>,

    /// Share of the traces that are kept although they neither failed nor were slow, in percent: a whole number, or
    /// a string for up to four decimals such as `"0.5"`. 100 keeps every trace. The choice depends on the trace id
    /// alone, so that all nodes choose the same traces.
    #[serde(default = "ten_percent")]
    #[schemars(extend("maxLength" = 10))]
    #[schemars(extend("x-kubernetes-validations" = [validation(cel::PERCENTAGE, message::PERCENTAGE)]))]
    pub sampling_rate_percentage: IntOrString,

    /// Which traces are kept, and how long a collector waits before it decides.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-validations" = rules::at_sampling()))]
    pub sampling: Sampling,

    /// How much memory a collector takes. Above `limitMiB - spikeLimitMiB` new requests are refused retryably.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-validations" = [validation(cel::SPIKE, message::SPIKE)]))]
    pub memory_limiter: MemoryLimiter,

    /// How kept spans are put together before they are sent.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-validations" = [validation(cel::BATCH_SIZES, message::BATCH_SIZES)]))]
    pub batch: Batch,

    /// Where kept traces go. At least one exporter is on.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-validations" = [validation(cel::ONE_EXPORTER, message::ONE_EXPORTER)]))]
    pub exporters: Exporters,

    /// Remote write URL of a workspace of Amazon Managed Prometheus, for example
    /// `https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-ID/api/v1/remote_write`. With it collectors take OTLP
    /// metrics as well and write them there, signed; the administrator's `aws.amp` chart values say which workspaces may be
    /// named. Metrics are refused when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[schemars(extend("x-kubernetes-validations" = [validation(cel::AMP_ENDPOINT, message::AMP_ENDPOINT)]))]
    pub amp_remote_write_endpoint: Option<String>,

    /// How collectors get AWS credentials.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-validations" = rules::at_identity()))]
    pub identity: Identity,

    /// The collector's pods.
    #[serde(default)]
    pub collector: Collector,

    /// The Service that applications send to.
    #[serde(default)]
    pub service: Service,
}

/// How much memory a collector takes.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct MemoryLimiter {
    /// Memory that the collector never exceeds, in MiB. `collector.resources.limits.memory` is at least 64 MiB more.
    #[serde(rename = "limitMiB")]
    #[schemars(range(min = 32, max = 65_536))]
    pub limit_mib: i64,
    /// Room for what was already admitted, in MiB, below `limitMiB`.
    #[serde(rename = "spikeLimitMiB")]
    #[schemars(range(min = 8, max = 65_536))]
    pub spike_limit_mib: i64,
    /// How often the resident memory is read, for example `1s`. `100ms` to `1m`.
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-validations" = [validation(cel::CHECK_INTERVAL, message::CHECK_INTERVAL)]))]
    pub check_interval: String,
}

/// How kept spans are put together.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Batch {
    /// A batch is sent when its first span has waited this long, for example `200ms`. `1ms` to `1m`.
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-validations" = [validation(cel::BATCH_TIMEOUT, message::BATCH_TIMEOUT)]))]
    pub timeout: String,
    /// A batch is sent when it has this many spans.
    #[schemars(range(min = 1, max = 100_000))]
    pub send_batch_size: i64,
    /// A batch never has more spans than this, but for a single trace that has. 0: no bound.
    #[schemars(range(min = 0, max = 100_000))]
    pub send_batch_max_size: i64,
}

/// Where kept traces go.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Exporters {
    /// AWS X-Ray.
    pub xray: Xray,
    /// The collector's own log, for looking at traces while setting up. Off when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,
}

/// Whether something is on.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// On.
    #[default]
    Enabled,
    /// Off.
    Disabled,
}

/// AWS X-Ray.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Xray {
    /// Whether traces go to X-Ray.
    pub mode: Mode,
    /// Make every span attribute searchable (an annotation) instead of only readable (metadata).
    pub index_all_attributes: bool,
    /// Names of span attributes to make searchable without `indexAllAttributes`; with it, those that come first. X-Ray
    /// takes 50 annotations a trace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 256)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub indexed_attributes: Vec<String>,
}

/// The collector's own log.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Logging {
    /// How much is logged of each batch.
    pub verbosity: LoggingVerbosity,
}

/// How much is logged of each batch.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoggingVerbosity {
    /// A line for each batch.
    #[default]
    Basic,
    /// A line for each span.
    Normal,
    /// Spans with all they hold.
    Detailed,
}

/// How collectors get AWS credentials.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Identity {
    /// Where the credentials come from.
    #[serde(rename = "type")]
    pub kind: IdentityType,
    /// An IAM role of your own for the collectors, for type IRSA; then the operator makes no call to IAM. Without it the
    /// operator makes a role. Yours allows `xray:PutTraceSegments` and `xray:PutTelemetryRecords`, and its trust policy
    /// names `system:serviceaccount:NAMESPACE:NAME-collector` and the audience `sts.amazonaws.com`.
    /// `tracepipe-operator render --iam` prints both policies.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 640),
        regex(pattern = r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[0-9A-Za-z+=,.@_/-]+$")
    )]
    pub role_arn: Option<String>,
    /// What becomes of a role that the operator has made, when this resource is deleted or uses another.
    pub deletion_policy: DeletionPolicy,
}

/// What becomes of a role that the operator has made and that is no longer used.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeletionPolicy {
    /// It is deleted. Until it is, the resource stays, with the finalizer `tracepipe.dev/iam-role`.
    #[default]
    Delete,
    /// It stays, and is yours from then on.
    Retain,
}

/// Where credentials come from.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdentityType {
    /// The pod's own token is exchanged for a role (IAM roles for service accounts): the one in `roleArn`, or one that the
    /// operator makes.
    #[default]
    #[serde(rename = "IRSA")]
    Irsa,
    /// The pod's own token is taken to the node's EKS Pod Identity Agent, which gives the role of the association of
    /// the ServiceAccount `NAME-collector`. The association is yours to make.
    PodIdentity,
    /// Whatever the node gives; nothing is projected into the pod.
    Ambient,
}

fn ten_percent() -> IntOrString {
    IntOrString::Int(10)
}

impl Default for MemoryLimiter {
    fn default() -> Self {
        Self {
            limit_mib: 400,
            spike_limit_mib: 100,
            check_interval: "1s".to_owned(),
        }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            timeout: "200ms".to_owned(),
            send_batch_size: 8192,
            send_batch_max_size: 0,
        }
    }
}

impl Default for Xray {
    fn default() -> Self {
        Self {
            mode: Mode::Enabled,
            index_all_attributes: true,
            indexed_attributes: Vec::new(),
        }
    }
}

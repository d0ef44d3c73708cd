//! What is true after [`crate::resolve`]: no `Option` that stands for a default, no string for a closed set,
//! nothing that has to be checked again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

mod metrics;
mod sampling;

pub use metrics::*;
pub use sampling::*;

/// One mebibyte, the unit of `limit_mib`.
pub const MIB: u64 = 1024 * 1024;

/// Everything the collector needs to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `receivers.otlp`.
    pub otlp: OtlpReceiverSettings,
    /// `processors.memory_limiter`; when the pipeline has none, its defaults still hold: a collector on a node
    /// is never without a limit.
    pub memory_limiter: MemoryLimiterSettings,
    /// `processors.tail_sampling`; without it every span is kept.
    pub tail_sampling: Option<TailSamplingSettings>,
    /// `processors.batch`; without it each kept trace is a batch of its own.
    pub batch: Option<BatchSettings>,
    /// `processors.resource`: what is done to resource attributes on the way out, in this order.
    pub resource: Vec<ResourceAction>,
    /// The exporters of the traces pipeline, in its order; at least one. None: there is no such pipeline, and traces are
    /// not received.
    pub exporters: Vec<ExporterSettings>,
    /// The metrics pipeline; without one metrics are not received. One of the two is there.
    pub metrics: Option<MetricsSettings>,
    /// `service.telemetry` and the health endpoint.
    pub telemetry: TelemetrySettings,
}

impl Settings {
    /// There is a traces pipeline.
    pub fn takes_traces(&self) -> bool {
        !self.exporters.is_empty()
    }
}

/// `receivers.otlp.protocols`: at least one of the two is there.
#[derive(Debug, Clone, PartialEq)]
pub struct OtlpReceiverSettings {
    /// OTLP over gRPC, by convention port 4317.
    pub grpc: Option<OtlpServerSettings>,
    /// OTLP over HTTP, by convention port 4318.
    pub http: Option<OtlpServerSettings>,
}

/// One OTLP server.
#[derive(Debug, Clone, PartialEq)]
pub struct OtlpServerSettings {
    /// Where it listens. Port 0 takes a free one, which the log names.
    pub endpoint: SocketAddr,
    /// Largest request in bytes, on the wire and after inflation. Default 64 MiB
    /// (OTLP specification, "Maximum Message Size").
    pub max_request_bytes: u64,
    /// Path of the traces service, HTTP only. Default `/v1/traces`.
    pub traces_url_path: String,
    /// Path of the metrics service, HTTP only. Default `/v1/metrics`.
    pub metrics_url_path: String,
}

/// `memory_limiter`.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryLimiterSettings {
    /// How often the resident size is read.
    pub check_interval: Duration,
    /// The process stays below this many bytes.
    pub limit_bytes: u64,
    /// New requests are refused above `limit_bytes - spike_bytes`.
    pub spike_bytes: u64,
}

/// `batch`.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchSettings {
    /// A batch is sent at the latest this long after its first span. Default 200 ms.
    pub timeout: Duration,
    /// A batch is sent when it has this many spans. Default 8192. 0: no such bound.
    pub send_batch_size: u64,
    /// No batch has more spans than this. 0: no bound.
    pub send_batch_max_size: u64,
}

/// One action of the `resource` processor.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceAction {
    /// The attribute's name.
    pub key: String,
    /// What to do with it.
    pub op: ResourceOp,
}

/// The actions of the `resource` processor.
#[derive(Debug, Clone, PartialEq)]
pub enum ResourceOp {
    /// Set when the resource has no such attribute.
    Insert(AttributeValue),
    /// Set when the resource has such an attribute.
    Update(AttributeValue),
    /// Set in any case.
    Upsert(AttributeValue),
    /// Take it away.
    Delete,
}

/// A value written in a configuration.
#[derive(Debug, Clone, PartialEq)]
pub enum AttributeValue {
    /// Text.
    String(String),
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Double(f64),
}

/// An exporter and the name it has in the file (`awsxray`, `otlp/backup`).
#[derive(Debug, Clone, PartialEq)]
pub struct ExporterSettings {
    /// `type` or `type/name`, as written.
    pub id: String,
    /// What it is.
    pub kind: ExporterKind,
}

/// The exporters of this version.
#[derive(Debug, Clone, PartialEq)]
pub enum ExporterKind {
    /// `awsxray`.
    AwsXray(AwsXraySettings),
    /// `otlp` or `otlp_grpc`.
    Otlp(OtlpExporterSettings),
    /// `debug`, or `logging` as it was called before.
    Debug(DebugSettings),
}

/// `awsxray`.
#[derive(Debug, Clone, PartialEq)]
pub struct AwsXraySettings {
    /// Empty: `AWS_REGION`, else the SDK's chain.
    pub region: Option<String>,
    /// Overrides the address that the region gives; an `http` or `https` URL.
    pub endpoint: Option<String>,
    /// Requests go by this proxy; an `http` or `https` URL. None: the environment says.
    pub proxy_address: Option<String>,
    /// The role that is assumed with the credentials that the SDK finds.
    pub role: Option<AssumedRole>,
    /// Every attribute becomes an annotation, which X-Ray indexes.
    pub index_all_attributes: bool,
    /// The attributes that become annotations when not all do.
    pub indexed_attributes: Vec<String>,
    /// CloudWatch log groups named in every segment that names none itself.
    pub aws_log_groups: Vec<String>,
    /// Requests in flight at a time. Default 8.
    pub num_workers: u64,
    /// One attempt may take this long. Default 30 s.
    pub request_timeout: Duration,
    /// What X-Ray is told about the sending itself; none: nothing.
    pub telemetry: Option<XrayTelemetrySettings>,
    /// How long a document waits for X-Ray to take it before it is given up. Default zero: no end; what waits is bounded
    /// by the queue.
    pub max_elapsed_time: Duration,
}

impl Default for AwsXraySettings {
    fn default() -> Self {
        Self {
            region: None,
            endpoint: None,
            proxy_address: None,
            role: None,
            index_all_attributes: false,
            indexed_attributes: Vec::new(),
            aws_log_groups: Vec::new(),
            num_workers: 8,
            request_timeout: Duration::from_secs(30),
            telemetry: None,
            max_elapsed_time: Duration::ZERO,
        }
    }
}

/// Longest `Hostname` of X-Ray's (API model), in bytes.
pub const XRAY_HOSTNAME_LENGTH_MAX: usize = 255;
/// Longest `EC2InstanceId` of X-Ray's.
pub const XRAY_INSTANCE_ID_LENGTH_MAX: usize = 20;
/// Longest `ResourceARN` of X-Ray's.
pub const XRAY_RESOURCE_ARN_LENGTH_MAX: usize = 500;

/// `telemetry` of `awsxray`, when it is enabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XrayTelemetrySettings {
    /// Who sends; none: X-Ray is not told.
    pub metadata: Option<XrayMetadata>,
}

/// Who sends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct XrayMetadata {
    /// None: `AWS_HOSTNAME`, else what the instance says.
    pub hostname: Option<String>,
    /// None: `AWS_INSTANCE_ID`, else what the instance says.
    pub instance_id: Option<String>,
    /// Of what the collector runs on.
    pub resource_arn: Option<String>,
    /// The instance's metadata service may be asked.
    pub ask_instance: bool,
}

/// A role of another account, as a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssumedRole {
    /// `arn:aws:iam::111122223333:role/name`.
    pub arn: String,
    /// What the role's trust policy asks for; AWS does not count it as a secret.
    pub external_id: Option<String>,
    /// What the session is called in CloudTrail. None: a name that the collector makes up. `awsxray` has no such
    /// setting.
    pub session_name: Option<String>,
    /// The region whose STS is asked. None: the region of the requests. `awsxray` has no such setting.
    pub sts_region: Option<String>,
}

/// `otlp`.
#[derive(Debug, Clone, PartialEq)]
pub struct OtlpExporterSettings {
    /// `host:port`, without scheme.
    pub authority: String,
    /// How to secure the connection.
    pub tls: ClientTls,
    /// Default gzip, as upstream.
    pub compression: Compression,
    /// Sent with every request; values may be secret and are never logged.
    pub headers: Vec<(String, Secret)>,
    /// One attempt may take this long. Default 5 s.
    pub timeout: Duration,
    /// What waits when the backend is slow.
    pub queue: QueueSettings,
    /// What happens to a request that failed.
    pub retry: RetrySettings,
}

/// TLS of a client.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientTls {
    /// Plain text.
    Insecure,
    /// TLS with the system's roots, or with those of a file.
    Secure {
        /// PEM file of certificate authorities.
        ca_file: Option<PathBuf>,
    },
}

/// Compression of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// `sending_queue`.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueSettings {
    /// Requests in flight at a time. Default 10.
    pub num_consumers: u64,
    /// Most batches waiting; the memory limit bounds their bytes as well. Default 1000.
    pub queue_size: u64,
}

/// `retry_on_failure`.
#[derive(Debug, Clone, PartialEq)]
pub struct RetrySettings {
    /// False: one attempt.
    pub enabled: bool,
    /// Pause after the first failure. Default 5 s.
    pub initial_interval: Duration,
    /// Longest pause. Default 30 s.
    pub max_interval: Duration,
    /// Given up after this long; zero: never. Default 300 s.
    pub max_elapsed_time: Duration,
    /// Factor from one pause to the next. Default 1.5.
    pub multiplier: f64,
    /// A pause is drawn from this share around its value. Default 0.5.
    pub randomization_factor: f64,
}

/// `debug` / `logging`.
#[derive(Debug, Clone, PartialEq)]
pub struct DebugSettings {
    /// How much is written for each batch.
    pub verbosity: Verbosity,
    /// In each second the first this many batches are written ...
    pub sampling_initial: u64,
    /// ... and then every this many-th.
    pub sampling_thereafter: u64,
}

/// `verbosity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// One line with the number of spans.
    Basic,
    /// One line a span.
    Normal,
    /// Everything.
    Detailed,
}

/// The collector's own telemetry.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetrySettings {
    /// Prometheus metrics; none when `service.telemetry.metrics.level: none`. Default `localhost:8888`.
    pub metrics: Option<SocketAddr>,
    /// `extensions.health_check.endpoint`; default `localhost:13133`, also without the extension.
    pub health: SocketAddr,
    /// `service.telemetry.logs`.
    pub logs: LogSettings,
}

/// `service.telemetry.logs`.
#[derive(Debug, Clone, PartialEq)]
pub struct LogSettings {
    /// Default info.
    pub level: LogLevel,
    /// Default console.
    pub encoding: LogEncoding,
}

/// Log levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What an operator wants to know.
    Info,
    /// What may need a look.
    Warn,
    /// What needs one.
    Error,
}

/// Log encodings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogEncoding {
    /// For people.
    Console,
    /// One JSON object a line.
    Json,
}

/// A value that is never written to a log or an error.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(...)")
    }
}

//! The metrics pipeline.

use std::net::SocketAddr;
use std::time::Duration;

use super::{
    AssumedRole, BatchSettings, ClientTls, DebugSettings, OtlpExporterSettings, ResourceAction,
    RetrySettings, Secret,
};

/// The metrics pipeline. The receiver and the memory limiter are those of the traces pipeline: one socket, one process.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsSettings {
    /// `processors.batch`, counted in data points; without it each request is a batch of its own.
    pub batch: Option<BatchSettings>,
    /// `processors.resource`: what is done to resource attributes on the way out, in this order.
    pub resource: Vec<ResourceAction>,
    /// The exporters of the metrics pipeline, in its order; at least one.
    pub exporters: Vec<MetricsExporterSettings>,
}

/// An exporter of metrics and the name it has in the file (`prometheusremotewrite`, `prometheus/2`).
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsExporterSettings {
    /// `type` or `type/name`, as written. An exporter of the traces pipeline may have the same one: it is then another
    /// of the same settings.
    pub id: String,
    /// What it is.
    pub kind: MetricsExporterKind,
}

/// The exporters of metrics of this version.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricsExporterKind {
    /// `prometheusremotewrite`.
    RemoteWrite(Box<RemoteWriteSettings>),
    /// `prometheus`.
    Prometheus(PrometheusSettings),
    /// `otlp` or `otlp_grpc`.
    Otlp(OtlpExporterSettings),
    /// `debug` or `logging`.
    Debug(DebugSettings),
}

/// How OTLP metrics become series: names, labels, what of the resource becomes labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranslationSettings {
    /// `namespace`: the first word of every metric's name, as written. None: no such word.
    pub namespace: Option<String>,
    /// `translation_strategy`, or the older `add_metric_suffixes`. Default with suffixes, as upstream.
    pub strategy: TranslationStrategy,
    /// `tracepipe.label_underscores`. Default collapse, as upstream.
    pub label_underscores: LabelUnderscores,
    /// `resource_constant_labels`, or the older `resource_to_telemetry_conversion`. Default none, as upstream.
    pub promote: ResourcePromotion,
    /// Series have the labels `otel_scope_*`. Default true, as upstream; its keys say the contrary: `disable_scope_info`
    /// of `prometheusremotewrite`, `without_scope_info` of `prometheus`.
    pub scope_info: bool,
}

/// `translation_strategy`. Upstream's two others keep UTF-8 names, which neither remote write 1.0 nor the text formats
/// can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TranslationStrategy {
    /// Characters that a Prometheus name cannot have become `_`; units and types are appended.
    UnderscoreEscapingWithSuffixes,
    /// Characters that a Prometheus name cannot have become `_`; nothing is appended.
    UnderscoreEscapingWithoutSuffixes,
}

/// What becomes of several characters in a row that a label's name cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelUnderscores {
    /// One `_` for all, as the OpenTelemetry Collector v0.161.0 without its gate
    /// `pkg.translator.prometheus.PermissiveLabelSanitization`, and as Prometheus: `a..b` is `a_b`.
    Collapse,
    /// One `_` each, as with that gate: `a..b` is `a__b`.
    Preserve,
}

/// Which resource attributes become labels of every series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourcePromotion {
    /// None but `service.name`, `service.namespace` and `service.instance.id`, which are `job` and `instance` in any
    /// case.
    None,
    /// All.
    All {
        /// But `service.name`, `service.namespace` and `service.instance.id`.
        exclude_service_attributes: bool,
    },
    /// By patterns on the attribute's own name: `*` is any text, `?` any one character, neither can be escaped. A name
    /// that matches one of `excluded` is out, whatever `included` says. Not both are empty.
    Matching {
        /// Empty: all names.
        included: Vec<String>,
        /// Empty: none.
        excluded: Vec<String>,
    },
}

/// `prometheusremotewrite`: Prometheus remote write 1.0.
///
/// What waits is bounded in bytes by its part of the memory limit, as with every exporter (the collector's limiter says
/// how much), and in requests by [`Self::queue_size`].
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteWriteSettings {
    /// An `http` or `https` URL with a host, perhaps a port, path and query; without credentials or a fragment.
    pub endpoint: String,
    /// `auth.authenticator`: the `sigv4auth` extension that it names. None: requests are not signed.
    pub auth: Option<SigV4Settings>,
    /// Sent with every request; values may be secret and are never logged. None of the protocol's own names.
    pub headers: Vec<(String, Secret)>,
    /// [`ClientTls::Insecure`] exactly if the endpoint begins with `http://`.
    pub tls: ClientTls,
    /// Requests go by this proxy; an `http` or `https` URL without credentials. None: the environment says.
    pub proxy_url: Option<String>,
    /// Names and labels.
    pub translation: TranslationSettings,
    /// Labels of every series that has no label of that name already, sorted by name, names valid for Prometheus and no
    /// value empty.
    pub external_labels: Vec<(String, String)>,
    /// `target_info.enabled`: a series `target_info` with what of a resource is not a label. Default true, as upstream.
    pub target_info: bool,
    /// `tracepipe.target_info_interval`: how often it is written again; below Prometheus' five minutes of lookback.
    /// Default 60 s. Upstream writes it with every request.
    pub target_info_interval: Duration,
    /// Types, units and descriptions are sent. Default true; upstream's is false.
    pub send_metadata: bool,
    /// `tracepipe.metadata_interval`: how often, for each metric. Default 60 s.
    pub metadata_interval: Duration,
    /// One attempt may take this long. Default 30 s, as Prometheus; upstream's is 5 s.
    pub timeout: Duration,
    /// `max_batch_request_parallelism`, else `remote_write_queue.num_consumers`: requests in flight at a time. Each series
    /// belongs to one of them, so that its samples stay in order. From 1 to 64, default 5, as upstream.
    pub shards: u64,
    /// `remote_write_queue.queue_size`: most requests waiting. Default 10000, as upstream; the bound in bytes ends it
    /// long before.
    pub queue_size: u64,
    /// Largest request in bytes, before compression. Default 3,000,000, as upstream.
    pub max_batch_size_bytes: u64,
    /// `tracepipe.max_samples_per_send`: most samples of a request; a native histogram is one. Default 2000, as Prometheus.
    pub max_samples_per_send: u64,
    /// `tracepipe.batch_send_deadline`: a sample waits at most this long for others to share its request. Default 5 s, as
    /// Prometheus.
    pub batch_send_deadline: Duration,
    /// `retry_on_failure`. Defaults: first pause 50 ms, as upstream; longest pause 5 s, as Prometheus; drawn from the whole
    /// range (a factor of 1); no end, because [`Self::sample_age_limit`] is one.
    pub retry: RetrySettings,
    /// `tracepipe.bisect`: a request that is refused for good is halved until what is wrong is alone. Default true.
    pub bisect: bool,
    /// `tracepipe.inject_zero`: a new cumulative series begins with a zero at its start time. Default false.
    pub inject_zero: bool,
    /// `tracepipe.sample_age_limit`: an older sample is dropped and counted, when it comes and before each attempt. Default
    /// one hour: Amazon Managed Prometheus takes none older.
    pub sample_age_limit: Duration,
    /// `tracepipe.out_of_order_window`: how much older than the last one of its series a sample may be. Default 60 s, that
    /// of Amazon Managed Prometheus.
    pub out_of_order_window: Duration,
    /// `tracepipe.max_streams`: streams of delta points, and series whose last time is remembered, that state is held
    /// for. Default 100,000.
    pub max_streams: u64,
    /// `tracepipe.max_stale`: a stream of delta points that is silent for so long is forgotten and marked stale. Default
    /// 5 min, as upstream's `deltatocumulative`.
    pub max_stale: Duration,
    /// `tracepipe.max_native_buckets`: a native histogram with more populated buckets is written at a lower resolution.
    /// Default 160, that of the OpenTelemetry SDKs.
    pub max_native_buckets: u64,
}

/// `sigv4auth`: requests are signed with the credentials that the collector finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigV4Settings {
    /// The extension's key, else from the endpoint's host (`aps-workspaces.REGION.amazonaws.com` and its FIPS,
    /// dual-stack and VPC forms). None: `AWS_REGION` at the start.
    pub region: Option<String>,
    /// The extension's key, else from the endpoint's host, else `aps`.
    pub service: String,
    /// The role that is assumed with the credentials that the collector finds.
    pub assume_role: Option<AssumedRole>,
}

/// `prometheus`: a page to be scraped.
#[derive(Debug, Clone, PartialEq)]
pub struct PrometheusSettings {
    /// Where it listens. Port 0 takes a free one, which the log names.
    pub endpoint: SocketAddr,
    /// Names and labels.
    pub translation: TranslationSettings,
    /// Labels of every series, sorted by name, names valid for Prometheus and no value empty.
    pub const_labels: Vec<(String, String)>,
    /// Samples carry their time. Default false, as upstream.
    pub send_timestamps: bool,
    /// A series that nothing comes for is forgotten after this long. Default 5 min, as upstream.
    pub metric_expiration: Duration,
    /// OpenMetrics, with exemplars, for those who ask for it. Default false, as upstream.
    pub enable_open_metrics: bool,
    /// `tracepipe.max_series`: most data points (one histogram is one) that are held; more are dropped and counted. Default
    /// 100,000.
    pub max_series: u64,
}

//! What makes a [`Config`] short to write in a program.

use std::time::Duration;

use super::{
    AndMemberConfig, Component, ComponentId, CompositeMemberConfig, Config, ExporterConfig, ExtensionConfig,
    Field, OtlpServerConfig, PipelineConfig, PolicyConfig, PolicyKindConfig, ProcessorConfig, ReceiverConfig,
    ResourceActionConfig, ResourceVerb, Signal, SimplePolicyConfig, Spanned,
};
use crate::duration::GoDuration;
use crate::settings::{AttributeValue, StatusCode};

/// A setting with a value: `set("0.0.0.0:4317")`, `set(Duration::from_secs(10))`, `set(400_u64)`.
pub fn set<T>(value: impl Into<T>) -> Field<T> {
    Some(Spanned::from(value.into()))
}

/// A setting that is a list: `set_list([StatusCode::Error])`, `set_list(["orderId", "userId"])`.
pub fn set_list<T>(items: impl IntoIterator<Item = impl Into<T>>) -> Field<Vec<Spanned<T>>> {
    let items = items.into_iter().map(|item| Spanned::from(item.into()));
    Some(Spanned::from(items.collect::<Vec<_>>()))
}

impl From<Duration> for GoDuration {
    /// At most the 292 years that Go can hold.
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl ComponentId {
    /// The one component of its type.
    pub fn of(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            name: None,
        }
    }
}

impl ReceiverConfig {
    /// The type as a file has it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Otlp(_) => "otlp",
        }
    }
}

impl ProcessorConfig {
    /// The type as a file has it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::MemoryLimiter(_) => "memory_limiter",
            Self::TailSampling(_) => "tail_sampling",
            Self::Batch(_) => "batch",
            Self::Resource(_) => "resource",
        }
    }
}

impl ExporterConfig {
    /// The type as a file has it; of two words for one type the usual one.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AwsXray(_) => "awsxray",
            Self::Otlp(_) => "otlp",
            Self::Debug(_) => "debug",
            Self::Logging(_) => "logging",
            Self::RemoteWrite(_) => "prometheusremotewrite",
            Self::Prometheus(_) => "prometheus",
        }
    }
}

impl ExtensionConfig {
    /// The type as a file has it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::HealthCheck(_) => "health_check",
            Self::SigV4(_) => "sigv4auth",
        }
    }
}

impl<T> Component<T> {
    fn of(kind: &str, config: T) -> Self {
        Self {
            id: ComponentId::of(kind).into(),
            config,
        }
    }

    /// The same component as `type/name`.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.id.value.name = Some(name.to_owned());
        self
    }
}

impl From<ReceiverConfig> for Component<ReceiverConfig> {
    /// Under its type, without a name.
    fn from(config: ReceiverConfig) -> Self {
        Self::of(config.kind(), config)
    }
}

impl From<ProcessorConfig> for Component<ProcessorConfig> {
    /// Under its type, without a name.
    fn from(config: ProcessorConfig) -> Self {
        Self::of(config.kind(), config)
    }
}

impl From<ExporterConfig> for Component<ExporterConfig> {
    /// Under its type, without a name.
    fn from(config: ExporterConfig) -> Self {
        Self::of(config.kind(), config)
    }
}

impl From<ExtensionConfig> for Component<ExtensionConfig> {
    /// Under its type, without a name.
    fn from(config: ExtensionConfig) -> Self {
        Self::of(config.kind(), config)
    }
}

impl Config {
    /// The same configuration with one pipeline, `traces`, of all its components in their order, and all its
    /// extensions started.
    #[must_use]
    pub fn with_traces_pipeline(mut self) -> Self {
        self.service.pipelines = vec![PipelineConfig {
            id: ComponentId::of("traces").into(),
            receivers: ids(&self.receivers),
            processors: ids(&self.processors),
            exporters: ids(&self.exporters),
        }];
        self.service.extensions = ids(&self.extensions);
        self
    }
}

impl Config {
    /// The same configuration with a pipeline `metrics` beside the others: of its receivers and processors, but
    /// `tail_sampling`, and of these exporters, which are added to it.
    #[must_use]
    pub fn with_metrics_pipeline(mut self, exporters: Vec<Component<ExporterConfig>>) -> Self {
        let processors = self
            .processors
            .iter()
            .filter(|processor| match &processor.config {
                ProcessorConfig::TailSampling(_) => false,
                ProcessorConfig::MemoryLimiter(_)
                | ProcessorConfig::Batch(_)
                | ProcessorConfig::Resource(_) => true,
            });
        self.service.pipelines.push(PipelineConfig {
            id: ComponentId::of(Signal::Metrics.word()).into(),
            receivers: ids(&self.receivers),
            processors: processors
                .map(|processor| processor.id.value.clone().into())
                .collect(),
            exporters: ids(&exporters),
        });
        self.exporters.extend(exporters);
        self
    }
}

fn ids<T>(components: &[Component<T>]) -> Vec<Spanned<ComponentId>> {
    let ids = components.iter().map(|component| component.id.value.clone());
    ids.map(Spanned::from).collect()
}

impl OtlpServerConfig {
    /// All defaults but the address, which is `host:port`.
    pub fn at(endpoint: &str) -> Self {
        Self {
            endpoint: set(endpoint),
            ..Self::default()
        }
    }
}

impl<Kind> PolicyConfig<Kind> {
    /// A policy under a name, which must be unique.
    pub fn new(name: &str, kind: impl Into<Kind>) -> Self {
        Self {
            name: set(name),
            kind: kind.into(),
        }
    }

    /// A member that nothing names.
    pub fn unnamed(kind: impl Into<Kind>) -> Self {
        Self {
            name: None,
            kind: kind.into(),
        }
    }
}

impl SimplePolicyConfig {
    /// Keeps traces that take longer than this, in milliseconds.
    pub fn latency(threshold_ms: i64) -> Self {
        Self::Latency {
            threshold_ms: set(threshold_ms),
            upper_threshold_ms: None,
        }
    }

    /// Keeps traces with a span of one of these.
    pub fn status_code(status_codes: impl IntoIterator<Item = StatusCode>) -> Self {
        Self::StatusCode {
            status_codes: set_list(status_codes),
        }
    }

    /// Keeps this share of traces, in percent, with upstream's salt.
    pub fn probabilistic(sampling_percentage: f64) -> Self {
        Self::Probabilistic {
            hash_salt: None,
            sampling_percentage: set(sampling_percentage),
        }
    }

    /// Keeps traces where this attribute of a span, or of its resource, is one of these texts.
    pub fn string_attribute<'v>(key: &str, values: impl IntoIterator<Item = &'v str>) -> Self {
        Self::StringAttribute {
            key: set(key),
            values: set_list(values),
            enabled_regex_matching: None,
            cache_max_size: None,
            invert_match: None,
        }
    }
}

impl From<SimplePolicyConfig> for PolicyKindConfig {
    fn from(policy: SimplePolicyConfig) -> Self {
        Self::Simple(policy)
    }
}

impl From<SimplePolicyConfig> for AndMemberConfig {
    fn from(policy: SimplePolicyConfig) -> Self {
        Self::Simple(policy)
    }
}

impl From<SimplePolicyConfig> for CompositeMemberConfig {
    fn from(policy: SimplePolicyConfig) -> Self {
        Self::Simple(policy)
    }
}

impl ResourceActionConfig {
    /// Sets an attribute of the resource, whether it is there or not.
    pub fn upsert(key: &str, value: AttributeValue) -> Self {
        Self {
            key: set(key),
            value: set(value),
            value_from_env: None,
            action: set(ResourceVerb::Upsert),
        }
    }
}

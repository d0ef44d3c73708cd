//! A spec as the collector's typed configuration. Every value is a literal: the writer escapes `$`, so a
//! TracingPipeline cannot make the collector expand its environment.

mod sampling;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tracepipe_config::config::{
    AwsXrayConfig, BatchConfig, ComponentId, Config, DebugConfig, ExporterConfig, ExtensionConfig, Field,
    HealthCheckConfig, HttpClientConfig, LabelValue, LogsConfig, MemoryLimiterConfig, MetricsConfig,
    OtlpReceiverConfig, OtlpServerConfig, ProcessorConfig, PrometheusConfig, ReceiverConfig,
    RemoteWriteConfig, ResourceActionConfig, ResourceConfig, ResourceLabelsConfig, ResourceVerb,
    ServiceConfig, SigV4Config, TelemetryConfig, TranslationConfig, set, set_list,
};
use tracepipe_config::{AttributeValue, ConfigError, GoDuration, LogEncoding, Verbosity};
use tracepipe_crds::values::Percentage;
use tracepipe_crds::{Batch, Exporters, LoggingVerbosity, MemoryLimiter, Mode, TracingPipelineSpec};

use crate::amp::Target;
use crate::names::{GRPC_PORT, HEALTH_PORT, HTTP_PORT, METRICS_PORT, NODE_NAME_VARIABLE};
use crate::settings::Settings;
use sampling::{built_in_policies, tail_sampling};

const TAIL_SAMPLING: &str = "processors.tail_sampling";
/// The extension that signs.
const SIGNER: &str = "sigv4auth";
/// Label of every series: the node of the collector that writes it.
const NODE_LABEL: &str = "collector_node";

/// The collector's configuration for a spec that breaks no rule of [`tracepipe_crds::rules`]. `region` is the one that
/// traces go to, `amp` where metrics go.
///
/// # Errors
/// A text that is not what its rule says, with its path in the spec.
pub(crate) fn build(
    spec: &TracingPipelineSpec,
    settings: &Settings,
    region: Option<&str>,
    amp: Option<&Target>,
) -> Result<Config, Vec<String>> {
    let mut reader = Reader::default();
    let signer = amp.map(|target| ExtensionConfig::SigV4(signer(target)));
    let config = Config {
        receivers: vec![ReceiverConfig::Otlp(otlp()).into()],
        processors: vec![
            ProcessorConfig::MemoryLimiter(memory_limiter(&spec.memory_limiter, &mut reader)).into(),
            ProcessorConfig::TailSampling(Box::new(tail_sampling(spec, &mut reader))).into(),
            ProcessorConfig::Batch(batch(&spec.batch, &mut reader)).into(),
            ProcessorConfig::Resource(resource(&spec.cluster_name, region)).into(),
        ],
        exporters: exporters(&spec.exporters, settings, region)
            .into_iter()
            .map(Into::into)
            .collect(),
        extensions: [Some(health_check()), signer]
            .into_iter()
            .flatten()
            .map(Into::into)
            .collect(),
        service: ServiceConfig {
            telemetry: telemetry(),
            ..ServiceConfig::default()
        },
        sources: Vec::new(),
    };
    if !reader.wrong.is_empty() {
        return Err(reader.wrong);
    }
    let config = config.with_traces_pipeline();
    Ok(match amp {
        None => config,
        Some(target) => {
            let exporter = ExporterConfig::RemoteWrite(Box::new(remote_write(target)));
            config.with_metrics_pipeline(vec![exporter.into()])
        }
    })
}

/// What the collector's own parser found, in the words of the spec.
pub(crate) fn in_spec(error: &ConfigError, spec: &TracingPipelineSpec) -> String {
    let path = spec_path(&error.path, built_in_policies(&spec.sampling));
    format!("{path}: {}", error.message)
}

/// Reads texts, and remembers those that cannot be read.
#[derive(Default)]
struct Reader {
    wrong: Vec<String>,
}

impl Reader {
    fn duration(&mut self, path: &str, text: &str) -> Field<GoDuration> {
        match GoDuration::parse(text) {
            Ok(duration) => Some(duration.into()),
            Err(why) => {
                self.wrong.push(format!("{path}: {why}"));
                None
            }
        }
    }

    fn whole(&mut self, path: &str, number: i64) -> Field<u64> {
        match u64::try_from(number) {
            Ok(number) => Some(number.into()),
            Err(_) => {
                self.wrong.push(format!("{path}: {number} is below zero"));
                None
            }
        }
    }

    fn optional(&mut self, path: &str, number: Option<i64>) -> Field<u64> {
        number.and_then(|number| self.whole(path, number))
    }

    fn percent(&mut self, path: &str, value: &IntOrString) -> Field<f64> {
        let percentage = Percentage::parse(value);
        if percentage.is_none() {
            self.wrong
                .push(format!("{path}: {}", tracepipe_crds::rules::message::PERCENTAGE));
        }
        percentage.map(|percentage| percentage.percent().into())
    }
}

fn everywhere(port: u16) -> String {
    format!("0.0.0.0:{port}")
}

fn otlp() -> OtlpReceiverConfig {
    OtlpReceiverConfig {
        grpc: set(OtlpServerConfig::at(&everywhere(GRPC_PORT))),
        http: set(OtlpServerConfig::at(&everywhere(HTTP_PORT))),
        protocols_at: None,
    }
}

fn health_check() -> ExtensionConfig {
    ExtensionConfig::HealthCheck(HealthCheckConfig {
        endpoint: set(everywhere(HEALTH_PORT)),
    })
}

fn memory_limiter(limiter: &MemoryLimiter, reader: &mut Reader) -> MemoryLimiterConfig {
    MemoryLimiterConfig {
        check_interval: reader.duration("spec.memoryLimiter.checkInterval", &limiter.check_interval),
        limit_mib: reader.whole("spec.memoryLimiter.limitMiB", limiter.limit_mib),
        spike_limit_mib: reader.whole("spec.memoryLimiter.spikeLimitMiB", limiter.spike_limit_mib),
    }
}

fn batch(batch: &Batch, reader: &mut Reader) -> BatchConfig {
    BatchConfig {
        timeout: reader.duration("spec.batch.timeout", &batch.timeout),
        send_batch_size: reader.whole("spec.batch.sendBatchSize", batch.send_batch_size),
        send_batch_max_size: reader.whole("spec.batch.sendBatchMaxSize", batch.send_batch_max_size),
    }
}

/// What every span gets on its way out. An application that says where it runs is believed, but for the cluster's name,
/// which keeps the traces of several clusters in one account apart.
fn resource(cluster: &str, region: Option<&str>) -> ResourceConfig {
    let text = |value: &str| AttributeValue::String(value.to_owned());
    let insert = |key: &str, value: &str| ResourceActionConfig {
        action: set(ResourceVerb::Insert),
        ..ResourceActionConfig::upsert(key, text(value))
    };
    let mut actions = vec![
        ResourceActionConfig::upsert("cluster_name", text(cluster)),
        ResourceActionConfig::upsert("k8s.cluster.name", text(cluster)),
    ];
    if let Some(region) = region {
        actions.push(insert("cloud.provider", "aws"));
        actions.push(insert("cloud.platform", "aws_eks"));
        actions.push(insert("cloud.region", region));
    }
    // By the downward API: the one thing that each node's collector knows for itself.
    actions.push(ResourceActionConfig {
        key: set("k8s.node.name"),
        value: None,
        value_from_env: Some(NODE_NAME_VARIABLE),
        action: set(ResourceVerb::Insert),
    });
    ResourceConfig {
        attributes: set_list(actions),
    }
}

fn exporters(exporters: &Exporters, settings: &Settings, region: Option<&str>) -> Vec<ExporterConfig> {
    let mut built = Vec::new();
    if exporters.xray.mode == Mode::Enabled {
        built.push(ExporterConfig::AwsXray(AwsXrayConfig {
            region: region.and_then(set),
            endpoint: settings.xray_endpoint.as_deref().and_then(set),
            index_all_attributes: set(exporters.xray.index_all_attributes),
            indexed_attributes: match exporters.xray.indexed_attributes.as_slice() {
                [] => None,
                names => set_list(names.to_vec()),
            },
            ..AwsXrayConfig::default()
        }));
    }
    if let Some(logging) = &exporters.logging {
        let verbosity = match logging.verbosity {
            LoggingVerbosity::Basic => Verbosity::Basic,
            LoggingVerbosity::Normal => Verbosity::Normal,
            LoggingVerbosity::Detailed => Verbosity::Detailed,
        };
        built.push(ExporterConfig::Debug(DebugConfig {
            verbosity: set(verbosity),
            ..DebugConfig::default()
        }));
    }
    built
}

fn signer(target: &Target) -> SigV4Config {
    SigV4Config {
        region: set(target.region.as_str()),
        ..SigV4Config::default()
    }
}

/// As in the first seed, and with the collector's node as a label of its own: an application may be taken to another
/// node's collector, and two that write one series would make each other's samples late, and its sums go up and down. The
/// resource's `k8s.node.name` is the application's to say, so it does not do.
fn remote_write(target: &Target) -> RemoteWriteConfig {
    let node = (NODE_LABEL.to_owned(), LabelValue::Env(NODE_NAME_VARIABLE));
    RemoteWriteConfig {
        client: HttpClientConfig {
            endpoint: set(target.url.as_str()),
            authenticator: set(ComponentId::of(SIGNER)),
            ..HttpClientConfig::default()
        },
        translation: TranslationConfig {
            resource_to_telemetry_conversion: ResourceLabelsConfig {
                enabled: set(true),
                ..ResourceLabelsConfig::default()
            },
            ..TranslationConfig::default()
        },
        external_labels: vec![node.into()],
        ..RemoteWriteConfig::default()
    }
}

fn telemetry() -> TelemetryConfig {
    let everywhere = PrometheusConfig {
        host: set("0.0.0.0"),
        port: set(METRICS_PORT),
    };
    TelemetryConfig {
        logs: LogsConfig {
            level: None,
            encoding: set(LogEncoding::Json),
        },
        metrics: MetricsConfig {
            level: None,
            readers: set_list([everywhere]),
        },
    }
}

/// The part of the spec that makes this part of the configuration.
fn spec_path(path: &str, built_in: usize) -> String {
    const SECTIONS: [(&str, &str); 6] = [
        ("processors.memory_limiter", "spec.memoryLimiter"),
        (TAIL_SAMPLING, "spec.sampling"),
        ("processors.batch", "spec.batch"),
        ("exporters.awsxray", "spec.exporters.xray"),
        ("exporters.debug", "spec.exporters.logging"),
        ("exporters.prometheusremotewrite", "spec.ampRemoteWriteEndpoint"),
    ];
    let sampling = path
        .strip_prefix(TAIL_SAMPLING)
        .and_then(|rest| sampling::spec_path(rest, built_in));
    if let Some(path) = sampling {
        return path;
    }
    for (prefix, section) in SECTIONS {
        if path.starts_with(prefix) {
            return format!("{section} ({path})");
        }
    }
    format!("spec ({path})")
}

#[cfg(test)]
mod tests;

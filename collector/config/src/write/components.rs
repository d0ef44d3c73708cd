//! Each component's settings under upstream's keys.

use super::metrics;
use super::sampling::tail_sampling;
use super::yaml::{Map, ToYaml, Yaml};
use crate::config::{
    AwsXrayConfig, ClientTlsConfig, DebugConfig, ExporterConfig, ExtensionConfig, OtlpExporterConfig,
    OtlpServerConfig, ProcessorConfig, PrometheusConfig, QueueConfig, ReceiverConfig, ResourceActionConfig,
    RetryConfig, Spanned,
};
use crate::settings::Secret;

pub(super) fn receiver(config: &ReceiverConfig) -> Map {
    let ReceiverConfig::Otlp(config) = config;
    let server = |config: &OtlpServerConfig| {
        let map = Map::default()
            .field("endpoint", &config.endpoint)
            .field("max_recv_msg_size_mib", &config.max_recv_msg_size_mib)
            .field("max_request_body_size", &config.max_request_body_size)
            .field("traces_url_path", &config.traces_url_path)
            .field("metrics_url_path", &config.metrics_url_path);
        Yaml::Map(map)
    };
    let protocols = Map::default()
        .maybe("grpc", config.grpc.as_ref().map(|grpc| server(&grpc.value)))
        .maybe("http", config.http.as_ref().map(|http| server(&http.value)));
    Map::default().filled("protocols", protocols)
}

pub(super) fn processor(config: &ProcessorConfig) -> Map {
    match config {
        ProcessorConfig::MemoryLimiter(config) => Map::default()
            .field("check_interval", &config.check_interval)
            .field("limit_mib", &config.limit_mib)
            .field("spike_limit_mib", &config.spike_limit_mib),
        ProcessorConfig::TailSampling(config) => tail_sampling(config),
        ProcessorConfig::Batch(config) => Map::default()
            .field("timeout", &config.timeout)
            .field("send_batch_size", &config.send_batch_size)
            .field("send_batch_max_size", &config.send_batch_max_size),
        ProcessorConfig::Resource(config) => Map::default().field("attributes", &config.attributes),
    }
}

impl ToYaml for ResourceActionConfig {
    fn to_yaml(&self) -> Yaml {
        let map = Map::default()
            .field("key", &self.key)
            .field("value", &self.value)
            .maybe(
                "value",
                self.value_from_env
                    .map(|name| Yaml::Token(format!("${{env:{name}}}"))),
            )
            .field("action", &self.action);
        Yaml::Map(map)
    }
}

pub(super) fn exporter(config: &ExporterConfig) -> Map {
    match config {
        ExporterConfig::AwsXray(config) => awsxray(config),
        ExporterConfig::Otlp(config) => otlp(config),
        ExporterConfig::Debug(config) | ExporterConfig::Logging(config) => debug(config),
        ExporterConfig::RemoteWrite(config) => metrics::remote_write(config),
        ExporterConfig::Prometheus(config) => metrics::prometheus(config),
    }
}

fn awsxray(config: &AwsXrayConfig) -> Map {
    let telemetry = &config.telemetry;
    let telemetry = Map::default()
        .field("enabled", &telemetry.enabled)
        .field("include_metadata", &telemetry.include_metadata)
        .field("hostname", &telemetry.hostname)
        .field("instance_id", &telemetry.instance_id)
        .field("resource_arn", &telemetry.resource_arn);
    let own = Map::default().field("max_elapsed_time", &config.max_elapsed_time);
    Map::default()
        .field("region", &config.region)
        .field("endpoint", &config.endpoint)
        .field("proxy_address", &config.proxy_address)
        .field("role_arn", &config.role_arn)
        .field("external_id", &config.external_id)
        .field("index_all_attributes", &config.index_all_attributes)
        .field("indexed_attributes", &config.indexed_attributes)
        .field("aws_log_groups", &config.aws_log_groups)
        .field("num_workers", &config.num_workers)
        .field("request_timeout_seconds", &config.request_timeout_seconds)
        .filled("telemetry", telemetry)
        .field("resource_arn", &config.resource_arn)
        .field("local_mode", &config.local_mode)
        .filled("tracepipe", own)
}

fn otlp(config: &OtlpExporterConfig) -> Map {
    Map::default()
        .field("endpoint", &config.endpoint)
        .filled("tls", tls(&config.tls))
        .field("compression", &config.compression)
        .filled("headers", headers(&config.headers))
        .field("timeout", &config.timeout)
        .filled("sending_queue", queue(&config.sending_queue))
        .filled("retry_on_failure", retry(&config.retry_on_failure))
}

pub(super) fn tls(config: &ClientTlsConfig) -> Map {
    Map::default()
        .field("insecure", &config.insecure)
        .field("ca_file", &config.ca_file)
}

pub(super) fn headers(headers: &[Spanned<(String, Secret)>]) -> Map {
    headers.iter().fold(Map::default(), |map, header| {
        let (name, value) = &header.value;
        map.maybe(name, Some(Yaml::Text(value.expose().to_owned())))
    })
}

pub(super) fn queue(config: &QueueConfig) -> Map {
    Map::default()
        .field("enabled", &config.enabled)
        .field("num_consumers", &config.num_consumers)
        .field("queue_size", &config.queue_size)
}

pub(super) fn retry(config: &RetryConfig) -> Map {
    Map::default()
        .field("enabled", &config.enabled)
        .field("initial_interval", &config.initial_interval)
        .field("max_interval", &config.max_interval)
        .field("max_elapsed_time", &config.max_elapsed_time)
        .field("multiplier", &config.multiplier)
        .field("randomization_factor", &config.randomization_factor)
}

fn debug(config: &DebugConfig) -> Map {
    Map::default()
        .field("verbosity", &config.verbosity)
        .field("loglevel", &config.loglevel)
        .field("sampling_initial", &config.sampling_initial)
        .field("sampling_thereafter", &config.sampling_thereafter)
}

pub(super) fn extension(config: &ExtensionConfig) -> Map {
    match config {
        ExtensionConfig::HealthCheck(config) => Map::default().field("endpoint", &config.endpoint),
        ExtensionConfig::SigV4(config) => metrics::sigv4(config),
    }
}

/// One of `service.telemetry.metrics.readers`.
pub(super) fn reader(config: &PrometheusConfig) -> Map {
    let prometheus = Map::default()
        .field("host", &config.host)
        .field("port", &config.port);
    Map::default().with(
        "pull",
        Map::default().with("exporter", Map::default().with("prometheus", prometheus)),
    )
}

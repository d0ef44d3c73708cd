//! The exporters of metrics, and what signs their requests.

use super::components::{headers, queue, retry, tls};
use super::yaml::{Map, Yaml};
use crate::config::{
    HttpClientConfig, LabelValue, PrometheusExporterConfig, RemoteWriteConfig, ResourceLabelsConfig,
    SigV4Config, Spanned, TranslationConfig,
};

pub(super) fn remote_write(config: &RemoteWriteConfig) -> Map {
    let client = client(&config.client);
    let map = match config.client_under_http {
        true => Map::default().with("http", client),
        false => client,
    };
    let own = &config.own;
    let own = Map::default()
        .field("label_underscores", &config.translation.label_underscores)
        .field("target_info_interval", &own.target_info_interval)
        .field("metadata_interval", &own.metadata_interval)
        .field("max_samples_per_send", &own.max_samples_per_send)
        .field("batch_send_deadline", &own.batch_send_deadline)
        .field("bisect", &own.bisect)
        .field("inject_zero", &own.inject_zero)
        .field("sample_age_limit", &own.sample_age_limit)
        .field("out_of_order_window", &own.out_of_order_window)
        .field("max_streams", &own.max_streams)
        .field("max_stale", &own.max_stale)
        .field("max_native_buckets", &own.max_native_buckets);
    translation(map, &config.translation, "disable_scope_info")
        .filled("external_labels", labels(&config.external_labels))
        .filled(
            "target_info",
            Map::default().field("enabled", &config.target_info),
        )
        .field("send_metadata", &config.send_metadata)
        .field("timeout", &config.timeout)
        .field("max_batch_size_bytes", &config.max_batch_size_bytes)
        .field(
            "max_batch_request_parallelism",
            &config.max_batch_request_parallelism,
        )
        .filled("remote_write_queue", queue(&config.remote_write_queue))
        .filled("retry_on_failure", retry(&config.retry_on_failure))
        .filled("tracepipe", own)
}

fn client(config: &HttpClientConfig) -> Map {
    let id = config
        .authenticator
        .as_ref()
        .map(|id| Yaml::Text(id.value.to_string()));
    Map::default()
        .field("endpoint", &config.endpoint)
        .field("proxy_url", &config.proxy_url)
        .filled("tls", tls(&config.tls))
        .filled("headers", headers(&config.headers))
        .filled("auth", Map::default().maybe("authenticator", id))
}

pub(super) fn prometheus(config: &PrometheusExporterConfig) -> Map {
    let own = Map::default()
        .field("label_underscores", &config.translation.label_underscores)
        .field("max_series", &config.max_series);
    let map = Map::default().field("endpoint", &config.endpoint);
    translation(map, &config.translation, "without_scope_info")
        .filled("const_labels", labels(&config.const_labels))
        .field("send_timestamps", &config.send_timestamps)
        .field("metric_expiration", &config.metric_expiration)
        .field("enable_open_metrics", &config.enable_open_metrics)
        .filled("tracepipe", own)
}

fn translation(map: Map, config: &TranslationConfig, scope_key: &str) -> Map {
    map.field("namespace", &config.namespace)
        .field("translation_strategy", &config.translation_strategy)
        .field("add_metric_suffixes", &config.add_metric_suffixes)
        .filled(
            "resource_to_telemetry_conversion",
            resource_labels(&config.resource_to_telemetry_conversion),
        )
        .filled(
            "resource_constant_labels",
            resource_labels(&config.resource_constant_labels),
        )
        .field(scope_key, &config.no_scope_info)
}

fn resource_labels(config: &ResourceLabelsConfig) -> Map {
    Map::default()
        .field("enabled", &config.enabled)
        .field("exclude_service_attributes", &config.exclude_service_attributes)
        .field("included", &config.included)
        .field("excluded", &config.excluded)
}

fn labels(labels: &[Spanned<(String, LabelValue)>]) -> Map {
    labels.iter().fold(Map::default(), |map, label| {
        let (name, value) = &label.value;
        let value = match value {
            LabelValue::Text(text) => Yaml::Text(text.clone()),
            LabelValue::Env(variable) => Yaml::Token(format!("${{env:{variable}}}")),
        };
        map.maybe(name, Some(value))
    })
}

pub(super) fn sigv4(config: &SigV4Config) -> Map {
    let role = &config.assume_role;
    let role = Map::default()
        .field("arn", &role.arn)
        .field("external_id", &role.external_id)
        .field("session_name", &role.session_name)
        .field("sts_region", &role.sts_region);
    Map::default()
        .field("region", &config.region)
        .field("service", &config.service)
        .filled("assume_role", role)
}

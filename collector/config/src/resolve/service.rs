//! `service` and `extensions`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::pipelines::Lines;
use super::{Scope, address, or};
use crate::catalog::Role;
use crate::config::{
    Config, ExporterConfig, ExtensionConfig, MetricsConfig, MetricsLevel, PrometheusConfig, ReceiverConfig,
    Spanned,
};
use crate::error::{Diagnostics, Position};
use crate::settings::{LogEncoding, LogLevel, LogSettings, MetricsExporterKind, TelemetrySettings};

/// Upstream's.
const METRICS_PORT: u16 = 8888;
/// Upstream's.
const HEALTH_PORT: u16 = 13133;
const METRICS_PATH: &str = "service.telemetry.metrics";

/// `service.telemetry` and the health endpoint; None only after an error.
pub(super) fn telemetry(config: &Config, diag: &mut Diagnostics) -> Option<TelemetrySettings> {
    let logs = &config.service.telemetry.logs;
    let logs = LogSettings {
        level: or(&logs.level, LogLevel::Info),
        encoding: or(&logs.encoding, LogEncoding::Console),
    };
    let health = health(config, diag);
    let metrics = metrics(&config.service.telemetry.metrics, diag);
    Some(TelemetrySettings {
        metrics: metrics?,
        health: health?,
        logs,
    })
}

fn metrics(config: &MetricsConfig, diag: &mut Diagnostics) -> Option<Option<SocketAddr>> {
    let is_off = or(&config.level, MetricsLevel::Normal) == MetricsLevel::None;
    let Some(readers) = &config.readers else {
        return Some((!is_off).then(|| local(METRICS_PORT)));
    };
    let path = format!("{METRICS_PATH}.readers");
    if readers.value.len() > 1 {
        diag.error(readers.at, &path, "this version has one reader");
    }
    let Some(reader) = readers.value.first() else {
        return Some(None);
    };
    let address = prometheus(reader, &path, diag)?;
    Some((!is_off).then_some(address))
}

fn prometheus(reader: &Spanned<PrometheusConfig>, path: &str, diag: &mut Diagnostics) -> Option<SocketAddr> {
    let scope = Scope {
        path: format!("{path}[0].pull.exporter.prometheus"),
        at: reader.at,
    };
    let bounds = (0..=u64::from(u16::MAX), u64::from(METRICS_PORT));
    let port = scope.within(&reader.value.port, "port", bounds, diag);
    let ip = match &reader.value.host {
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(host) => match address::ip(host.value.trim_start_matches('[').trim_end_matches(']')) {
            Ok(ip) => ip,
            Err(message) => {
                diag.error(host.at, scope.path("host"), message);
                return None;
            }
        },
    };
    // Out of bounds only after an error.
    u16::try_from(port).ok().map(|port| SocketAddr::new(ip, port))
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Health is always served: on the address of the started `health_check`, or else where upstream would serve it.
fn health(config: &Config, diag: &mut Diagnostics) -> Option<SocketAddr> {
    let mut health = Some(local(HEALTH_PORT));
    let mut started = 0;
    for (index, id) in config.service.extensions.iter().enumerate() {
        let path = diag.item("service.extensions", index);
        let Some(extension) = config
            .extensions
            .iter()
            .find(|extension| extension.id.value == id.value)
        else {
            if !diag.is_silenced(&format!("extensions.{}", id.value)) {
                let message = Role::Extension
                    .refusal(&id.value.kind)
                    .unwrap_or_else(|| format!("`{}` is not defined under `extensions`", id.value));
                diag.error(id.at, path, message);
            }
            continue;
        };
        let check = match &extension.config {
            ExtensionConfig::HealthCheck(check) => check,
            ExtensionConfig::SigV4(_) => continue,
        };
        started += 1;
        if started > 1 {
            diag.error(id.at, path, "this version has one `health_check`");
        }
        if let Some(endpoint) = &check.endpoint {
            health = address::listen(&endpoint.value)
                .map_err(|message| {
                    diag.error(endpoint.at, format!("extensions.{}.endpoint", id.value), message)
                })
                .ok();
        }
    }
    health
}

/// The path of a server's address, the address, and where it stands.
type Server = (String, SocketAddr, Option<Position>);

/// Two servers on one port: the second would fail to start, and which one that is depends on the order.
pub(super) fn distinct_addresses(
    config: &Config,
    lines: &Lines,
    telemetry: &TelemetrySettings,
    diag: &mut Diagnostics,
) {
    let mut servers: Vec<Server> = Vec::new();
    let health_at = config
        .extensions
        .iter()
        .find_map(|extension| match &extension.config {
            ExtensionConfig::HealthCheck(check) => check.endpoint.as_ref().and_then(|endpoint| endpoint.at),
            ExtensionConfig::SigV4(_) => None,
        });
    servers.push((
        "extensions.health_check.endpoint".to_owned(),
        telemetry.health,
        health_at,
    ));
    if let Some(metrics) = telemetry.metrics {
        let readers = config.service.telemetry.metrics.readers.as_ref();
        servers.push((
            METRICS_PATH.to_owned(),
            metrics,
            readers.and_then(|readers| readers.at),
        ));
    }
    servers.extend(receivers(config, lines));
    servers.extend(pages(config, lines));
    for (index, (path, address, at)) in servers.iter().enumerate() {
        for (other, taken, taken_at) in &servers[..index] {
            if address::collide(*address, *taken) {
                // One of the two may be a default, which stands nowhere.
                diag.error(
                    at.or(*taken_at),
                    path,
                    format!("{address} is taken by {other} ({taken})"),
                );
            }
        }
    }
}

/// The servers of the OTLP receiver.
fn receivers(config: &Config, lines: &Lines) -> Vec<Server> {
    let mut servers = Vec::new();
    let receiver = config.service.pipelines.first().and_then(|pipeline| {
        let id = pipeline.receivers.first()?;
        config
            .receivers
            .iter()
            .find(|receiver| receiver.id.value == id.value)
    });
    if let (Some(otlp), Some(receiver)) = (&lines.otlp, receiver) {
        let ReceiverConfig::Otlp(written) = &receiver.config;
        let both = [
            ("grpc", &otlp.grpc, &written.grpc),
            ("http", &otlp.http, &written.http),
        ];
        for (protocol, settings, written) in both {
            let Some(settings) = settings else { continue };
            let path = format!("receivers.{}.protocols.{protocol}.endpoint", receiver.id.value);
            let endpoint_at = written
                .as_ref()
                .and_then(|server| server.value.endpoint.as_ref()?.at);
            let at = endpoint_at.or_else(|| written.as_ref().and_then(|server| server.at));
            servers.push((path, settings.endpoint, at));
        }
    }
    servers
}

/// The servers of the `prometheus` exporters.
fn pages(config: &Config, lines: &Lines) -> Vec<Server> {
    let exporters = lines.metrics.iter().flat_map(|metrics| &metrics.exporters);
    let pages = exporters.filter_map(|exporter| match &exporter.kind {
        MetricsExporterKind::Prometheus(page) => {
            let written = config.exporters.iter().find_map(|written| match &written.config {
                ExporterConfig::Prometheus(page) if written.id.value.to_string() == exporter.id => {
                    page.endpoint.as_ref()
                }
                ExporterConfig::Prometheus(_)
                | ExporterConfig::RemoteWrite(_)
                | ExporterConfig::AwsXray(_)
                | ExporterConfig::Otlp(_)
                | ExporterConfig::Debug(_)
                | ExporterConfig::Logging(_) => None,
            });
            let at = written.and_then(|endpoint| endpoint.at);
            Some((format!("exporters.{}.endpoint", exporter.id), page.endpoint, at))
        }
        MetricsExporterKind::RemoteWrite(_)
        | MetricsExporterKind::Otlp(_)
        | MetricsExporterKind::Debug(_) => None,
    });
    pages.collect()
}

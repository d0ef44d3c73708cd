//! `service` and `extensions`.

use super::sigv4::{SigV4Config, sigv4};
use super::{ComponentId, Field, Spanned};
use crate::decode::{self, Choice, Cursor, Fields, Unless};
use crate::error::{Diagnostics, Position};
use crate::settings::{LogEncoding, LogLevel};
use crate::tree;

/// An extension.
#[derive(Debug, Clone, PartialEq)]
pub enum ExtensionConfig {
    /// `health_check`.
    HealthCheck(HealthCheckConfig),
    /// `sigv4auth`.
    SigV4(SigV4Config),
}

/// `health_check`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HealthCheckConfig {
    /// `host:port`; default `localhost:13133`, as upstream.
    pub endpoint: Field<String>,
}

/// `service`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServiceConfig {
    /// Where the key stands; without it, where the file begins.
    pub at: Option<Position>,
    /// The extensions that are started.
    pub extensions: Vec<Spanned<ComponentId>>,
    /// The pipelines of traces and metrics: `traces`, `traces/name`, `metrics`, `metrics/name`.
    pub pipelines: Vec<PipelineConfig>,
    /// `telemetry`.
    pub telemetry: TelemetryConfig,
}

/// One pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineConfig {
    /// `traces` or `metrics`, with or without `/name`.
    pub id: Spanned<ComponentId>,
    /// What fills it.
    pub receivers: Vec<Spanned<ComponentId>>,
    /// In their order.
    pub processors: Vec<Spanned<ComponentId>>,
    /// Each gets everything.
    pub exporters: Vec<Spanned<ComponentId>>,
}

/// What a pipeline carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Data points.
    Metrics,
}

impl Signal {
    /// The word that a pipeline's name begins with.
    pub fn word(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }
}

impl PipelineConfig {
    /// What it carries. None only in a configuration that was built, and is refused.
    pub fn signal(&self) -> Option<Signal> {
        [Signal::Traces, Signal::Metrics]
            .into_iter()
            .find(|signal| signal.word() == self.id.value.kind)
    }
}

/// `service.telemetry`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TelemetryConfig {
    /// `logs`.
    pub logs: LogsConfig,
    /// `metrics`.
    pub metrics: MetricsConfig,
}

/// `service.telemetry.logs`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogsConfig {
    /// Default info.
    pub level: Field<LogLevel>,
    /// Default console.
    pub encoding: Field<LogEncoding>,
}

/// `service.telemetry.metrics`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricsConfig {
    /// Default normal; all but none are the same.
    pub level: Field<MetricsLevel>,
    /// Nothing: Prometheus on `localhost:8888`; an empty list: no metrics.
    pub readers: Field<Vec<Spanned<PrometheusConfig>>>,
}

/// `service.telemetry.metrics.level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsLevel {
    /// No metrics.
    None,
    /// Some.
    Basic,
    /// More.
    Normal,
    /// All.
    Detailed,
}

/// `pull.exporter.prometheus` of a reader.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PrometheusConfig {
    /// Default localhost.
    pub host: Field<String>,
    /// Default 8888.
    pub port: Field<u64>,
}

impl ExtensionConfig {
    pub(super) fn decode(kind: &str, cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<Self> {
        match kind {
            "health_check" => health_check(cursor, diag).map(Self::HealthCheck),
            "sigv4auth" => sigv4(cursor, diag).map(Self::SigV4),
            // The catalog has refused every other type.
            _ => None,
        }
    }
}

fn health_check(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<HealthCheckConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let config = HealthCheckConfig {
        endpoint: fields.get(diag, "endpoint", decode::text),
    };
    fields.unsupported(
        diag,
        &[
            ("path", Unless::Word("/")),
            ("response_body", Unless::Empty),
            ("tls", Unless::Never),
            ("auth", Unless::Never),
            ("cors", Unless::Empty),
            ("check_collector_pipeline", Unless::Empty),
            ("use_v2", Unless::False),
            ("http", Unless::Empty),
            ("grpc", Unless::Empty),
            ("component_health", Unless::Empty),
            ("include_metadata", Unless::False),
            ("response_headers", Unless::Empty),
            ("compression_algorithms", Unless::Empty),
            ("max_request_body_size", Unless::Zero),
            ("transport", Unless::Word("tcp")),
        ],
    );
    fields.finish(diag);
    Some(config)
}

impl ServiceConfig {
    pub(super) fn decode(cursor: &Cursor<'_>, at: Position, diag: &mut Diagnostics) -> Self {
        let mut config = Self {
            at: Some(at),
            ..Self::default()
        };
        let Some(mut fields) = Fields::new(cursor, diag) else {
            return config;
        };
        config.extensions = ids(&mut fields, "extensions", diag);
        if let Some((_, cursor)) = fields.entry("pipelines") {
            config.pipelines = pipelines(&cursor, diag);
        }
        let telemetry = fields.get(diag, "telemetry", telemetry);
        config.telemetry = telemetry.map(|telemetry| telemetry.value).unwrap_or_default();
        fields.finish(diag);
        config
    }
}

fn ids(fields: &mut Fields<'_>, key: &'static str, diag: &mut Diagnostics) -> Vec<Spanned<ComponentId>> {
    let ids = fields.get(diag, key, |cursor, diag| {
        decode::list(cursor, diag, |cursor, diag| {
            let text = decode::text(cursor, diag)?;
            ComponentId::parse(&text)
                .map_err(|message| cursor.error(diag, message))
                .ok()
        })
    });
    ids.map(|ids| ids.value).unwrap_or_default()
}

/// Pipelines of other signals are refused here: they have no place in [`ServiceConfig`].
fn pipelines(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Vec<PipelineConfig> {
    let Some(mut fields) = Fields::new(cursor, diag) else {
        return Vec::new();
    };
    let mut pipelines = Vec::new();
    for entry in fields.rest() {
        let path = tree::join(&fields.path, &entry.key);
        let id = match ComponentId::parse(&entry.key) {
            Ok(id) => id,
            Err(message) => {
                diag.error(entry.key_at, path, message);
                continue;
            }
        };
        match id.kind.as_str() {
            "traces" | "metrics" => {
                let id = Spanned {
                    value: id,
                    at: Some(entry.key_at),
                };
                let cursor = Cursor {
                    node: &entry.value,
                    path,
                };
                pipelines.extend(pipeline(id, &cursor, diag));
            }
            signal @ ("logs" | "profiles") => {
                let message = format!("this version has no {signal} pipeline; it has `traces` and `metrics`");
                diag.error(entry.key_at, path, message);
            }
            other => {
                let hint = crate::catalog::did_you_mean(other, &["traces", "metrics"]);
                diag.error(
                    entry.key_at,
                    path,
                    format!("unknown signal{hint}; this version has the pipelines `traces` and `metrics`"),
                );
            }
        }
    }
    pipelines
}

fn pipeline(id: Spanned<ComponentId>, cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<PipelineConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let pipeline = PipelineConfig {
        id,
        receivers: ids(&mut fields, "receivers", diag),
        processors: ids(&mut fields, "processors", diag),
        exporters: ids(&mut fields, "exporters", diag),
    };
    fields.finish(diag);
    Some(pipeline)
}

fn telemetry(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<TelemetryConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let config = TelemetryConfig {
        logs: fields
            .get(diag, "logs", logs)
            .map(|logs| logs.value)
            .unwrap_or_default(),
        metrics: fields
            .get(diag, "metrics", metrics)
            .map(|metrics| metrics.value)
            .unwrap_or_default(),
    };
    fields.unsupported(diag, &[("traces", Unless::Empty), ("resource", Unless::Empty)]);
    fields.finish(diag);
    Some(config)
}

const LOG_LEVELS: Choice<LogLevel> = Choice {
    supported: &[
        ("debug", LogLevel::Debug),
        ("info", LogLevel::Info),
        ("warn", LogLevel::Warn),
        ("error", LogLevel::Error),
    ],
    also: &[
        ("DEBUG", LogLevel::Debug),
        ("INFO", LogLevel::Info),
        ("WARN", LogLevel::Warn),
        ("ERROR", LogLevel::Error),
    ],
    upstream: &["dpanic", "panic", "fatal", "DPANIC", "PANIC", "FATAL"],
};

const ENCODINGS: Choice<LogEncoding> = Choice {
    supported: &[("console", LogEncoding::Console), ("json", LogEncoding::Json)],
    also: &[],
    upstream: &[],
};

fn logs(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<LogsConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let config = LogsConfig {
        level: fields.get(diag, "level", |cursor, diag| LOG_LEVELS.decode(cursor, diag)),
        encoding: fields.get(diag, "encoding", |cursor, diag| ENCODINGS.decode(cursor, diag)),
    };
    let why = "logs have neither callers nor stack traces, and none is left out";
    fields.without_effect(
        diag,
        &[
            "disable_caller",
            "disable_stacktrace",
            "disable_zap_resource",
            "sampling",
        ],
        why,
    );
    fields.unsupported(
        diag,
        &[
            ("development", Unless::False),
            ("output_paths", Unless::Empty),
            ("error_output_paths", Unless::Empty),
            ("initial_fields", Unless::Empty),
            ("processors", Unless::Empty),
        ],
    );
    fields.finish(diag);
    Some(config)
}

const METRICS_LEVELS: Choice<MetricsLevel> = Choice {
    supported: &[
        ("none", MetricsLevel::None),
        ("basic", MetricsLevel::Basic),
        ("normal", MetricsLevel::Normal),
        ("detailed", MetricsLevel::Detailed),
    ],
    also: &[],
    upstream: &[],
};

fn metrics(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<MetricsConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let config = MetricsConfig {
        level: fields.get(diag, "level", |cursor, diag| METRICS_LEVELS.decode(cursor, diag)),
        readers: fields.get(diag, "readers", |cursor, diag| decode::list(cursor, diag, reader)),
    };
    let advice = "the OpenTelemetry Collector has dropped `address`; \
                  write `readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: 8888}}}}]`";
    fields.refused(diag, "address", advice);
    fields.unsupported(diag, &[("views", Unless::Empty)]);
    fields.finish(diag);
    Some(config)
}

fn reader(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<PrometheusConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let pull = fields.get(diag, "pull", |cursor, diag| {
        let mut fields = Fields::new(cursor, diag)?;
        let exporter = fields.get(diag, "exporter", |cursor, diag| {
            let mut fields = Fields::new(cursor, diag)?;
            let prometheus = fields.get(diag, "prometheus", prometheus);
            fields.finish(diag);
            Some(prometheus)
        });
        fields.unsupported(
            diag,
            &[
                ("producers", Unless::Empty),
                ("cardinality_limits", Unless::Empty),
            ],
        );
        fields.finish(diag);
        Some(exporter)
    });
    let has_periodic = fields.has("periodic");
    fields.unsupported(diag, &[("periodic", Unless::Never)]);
    fields.finish(diag);
    let prometheus = pull
        .and_then(|pull| pull.value)
        .and_then(|exporter| exporter.value);
    if prometheus.is_none() && !has_periodic {
        cursor.error(
            diag,
            "write `pull: {exporter: {prometheus: {host: 127.0.0.1, port: 8888}}}`",
        );
    }
    prometheus.map(|prometheus| prometheus.value)
}

fn prometheus(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<PrometheusConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let config = PrometheusConfig {
        host: fields.get(diag, "host", decode::text),
        port: fields.get(diag, "port", decode::whole),
    };
    let names = ["without_scope_info", "without_units", "without_type_suffix"];
    fields.without_effect(diag, &names, "names are as with upstream's defaults");
    fields.unsupported(diag, &[("with_resource_constant_labels", Unless::Empty)]);
    fields.finish(diag);
    Some(config)
}

//! `exporters`.

use super::{Field, PrometheusExporterConfig, RemoteWriteConfig, Spanned, metrics};
use crate::decode::{self, Choice, Cursor, Fields, Unless};
use crate::duration::GoDuration;
use crate::error::Diagnostics;
use crate::settings::{Compression, Secret, Verbosity};
use crate::tree::Value;

/// An exporter.
#[derive(Debug, Clone, PartialEq)]
pub enum ExporterConfig {
    /// `awsxray`.
    AwsXray(AwsXrayConfig),
    /// `otlp` or `otlp_grpc`.
    Otlp(OtlpExporterConfig),
    /// `debug`.
    Debug(DebugConfig),
    /// `logging`, which `debug` was called before.
    Logging(DebugConfig),
    /// `prometheusremotewrite` or `prometheus_remote_write`.
    RemoteWrite(Box<RemoteWriteConfig>),
    /// `prometheus`.
    Prometheus(Box<PrometheusExporterConfig>),
}

/// `awsxray`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AwsXrayConfig {
    /// Nothing, or empty: `AWS_REGION`, else the SDK's chain.
    pub region: Field<String>,
    /// An `http` or `https` URL.
    pub endpoint: Field<String>,
    /// An `http` or `https` URL. Nothing, or empty: `HTTPS_PROXY`.
    pub proxy_address: Field<String>,
    /// Default none.
    pub role_arn: Field<String>,
    /// Only together with `role_arn`.
    pub external_id: Field<String>,
    /// Default false, as upstream.
    pub index_all_attributes: Field<bool>,
    /// Default none.
    pub indexed_attributes: Field<Vec<Spanned<String>>>,
    /// Default none.
    pub aws_log_groups: Field<Vec<Spanned<String>>>,
    /// Default 8, as upstream.
    pub num_workers: Field<u64>,
    /// In seconds; default 30, as upstream.
    pub request_timeout_seconds: Field<u64>,
    /// `telemetry`.
    pub telemetry: XrayTelemetryConfig,
    /// Default none; `telemetry` has one as well, which comes first.
    pub resource_arn: Field<String>,
    /// True: the instance is not asked who it is. Default false.
    pub local_mode: Field<bool>,
    /// `tracepipe.max_elapsed_time`: a key that only tracepipe has. Default 0: no end.
    pub max_elapsed_time: Field<GoDuration>,
}

/// `telemetry` of `awsxray`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct XrayTelemetryConfig {
    /// Default false, as upstream.
    pub enabled: Field<bool>,
    /// Default false, as upstream.
    pub include_metadata: Field<bool>,
    /// Nothing, or empty: the environment or the instance says.
    pub hostname: Field<String>,
    /// Nothing, or empty: the environment or the instance says.
    pub instance_id: Field<String>,
    /// Default none.
    pub resource_arn: Field<String>,
}

/// `otlp`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OtlpExporterConfig {
    /// Required: `host:port`, with or without `http://` or `https://`.
    pub endpoint: Field<String>,
    /// `tls`.
    pub tls: ClientTlsConfig,
    /// Default gzip, as upstream.
    pub compression: Field<Compression>,
    /// Sent with every request.
    pub headers: Vec<Spanned<(String, Secret)>>,
    /// Default 5 s, as upstream.
    pub timeout: Field<GoDuration>,
    /// `sending_queue`.
    pub sending_queue: QueueConfig,
    /// `retry_on_failure`.
    pub retry_on_failure: RetryConfig,
}

/// `tls` of a client.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClientTlsConfig {
    /// True: plain text.
    pub insecure: Field<bool>,
    /// PEM file of certificate authorities.
    pub ca_file: Field<String>,
}

/// `sending_queue`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueueConfig {
    /// Must be true: there is always a queue.
    pub enabled: Field<bool>,
    /// Requests at a time; default 10, as upstream.
    pub num_consumers: Field<u64>,
    /// In requests; default 1000, as upstream.
    pub queue_size: Field<u64>,
}

/// `retry_on_failure`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RetryConfig {
    /// Default true.
    pub enabled: Field<bool>,
    /// Default 5 s.
    pub initial_interval: Field<GoDuration>,
    /// Default 30 s.
    pub max_interval: Field<GoDuration>,
    /// Default 5 min; 0: no end.
    pub max_elapsed_time: Field<GoDuration>,
    /// Default 1.5.
    pub multiplier: Field<f64>,
    /// Default 0.5.
    pub randomization_factor: Field<f64>,
}

/// `debug` and `logging`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DebugConfig {
    /// Default basic, of `logging` normal, as upstream.
    pub verbosity: Field<Verbosity>,
    /// `logging` only; not together with `verbosity`.
    pub loglevel: Field<LogLevelWord>,
    /// Default 2.
    pub sampling_initial: Field<u64>,
    /// Default 1.
    pub sampling_thereafter: Field<u64>,
}

/// `loglevel` of `logging`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevelWord {
    /// Writes everything.
    Debug,
    /// One line a span.
    Info,
    /// One line a batch.
    Warn,
    /// One line a batch.
    Error,
}

impl ExporterConfig {
    pub(super) fn decode(kind: &str, cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<Self> {
        match kind {
            "awsxray" => awsxray(cursor, diag).map(Self::AwsXray),
            "otlp" | "otlp_grpc" => otlp(cursor, diag).map(Self::Otlp),
            "debug" => debug(cursor, diag, false).map(Self::Debug),
            "logging" => debug(cursor, diag, true).map(Self::Logging),
            "prometheusremotewrite" | "prometheus_remote_write" => metrics::remote_write(cursor, diag)
                .map(Box::new)
                .map(Self::RemoteWrite),
            "prometheus" => metrics::prometheus(cursor, diag)
                .map(Box::new)
                .map(Self::Prometheus),
            // The catalog has refused every other type.
            _ => None,
        }
    }
}

fn texts(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<Vec<Spanned<String>>> {
    decode::list(cursor, diag, decode::text)
}

fn awsxray(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<AwsXrayConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let config = AwsXrayConfig {
        region: fields.get(diag, "region", decode::text),
        endpoint: fields.get(diag, "endpoint", decode::text),
        proxy_address: fields.get(diag, "proxy_address", decode::text),
        role_arn: fields.get(diag, "role_arn", decode::text),
        external_id: fields.get(diag, "external_id", decode::text),
        index_all_attributes: fields.get(diag, "index_all_attributes", decode::boolean),
        indexed_attributes: fields.get(diag, "indexed_attributes", texts),
        aws_log_groups: fields.get(diag, "aws_log_groups", texts),
        num_workers: fields.get(diag, "num_workers", decode::whole),
        request_timeout_seconds: fields.get(diag, "request_timeout_seconds", decode::whole),
        telemetry: fields
            .get(diag, "telemetry", telemetry)
            .map(|telemetry| telemetry.value)
            .unwrap_or_default(),
        resource_arn: fields.get(diag, "resource_arn", decode::text),
        local_mode: fields.get(diag, "local_mode", decode::boolean),
        max_elapsed_time: fields.get(diag, "tracepipe", own).and_then(|own| own.value),
    };
    let advice = "is a setting of tracepipe, not of the OpenTelemetry Collector; write it under `tracepipe`";
    fields.refused(diag, "max_elapsed_time", advice);
    fields.unsupported(
        diag,
        &[
            ("profile", Unless::Empty),
            ("shared_credentials_file", Unless::Empty),
            ("middleware", Unless::Empty),
            ("transit_spans_in_otlp_format", Unless::False),
        ],
    );
    let authority = "name the file of a private authority in AWS_CA_BUNDLE or SSL_CERT_FILE";
    fields.refused_unless(diag, ("certificate_file_path", Unless::Empty), authority);
    let never = "X-Ray's certificate is always verified, or anybody on the way could read the spans; name the file of a \
                 private authority in AWS_CA_BUNDLE or SSL_CERT_FILE";
    fields.refused_unless(diag, ("no_verify_ssl", Unless::False), never);
    let why = "a request is tried again until `tracepipe.max_elapsed_time`";
    fields.without_effect(diag, &["max_retries"], why);
    fields.without_effect(diag, &["imds_retries"], "the AWS SDK decides");
    fields.finish(diag);
    Some(config)
}

/// The settings of `awsxray` that upstream does not have.
fn own(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<Field<GoDuration>> {
    let mut fields = Fields::new(cursor, diag)?;
    let max_elapsed_time = fields.get(diag, "max_elapsed_time", decode::duration);
    fields.finish(diag);
    Some(max_elapsed_time)
}

fn telemetry(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<XrayTelemetryConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let config = XrayTelemetryConfig {
        enabled: fields.get(diag, "enabled", decode::boolean),
        include_metadata: fields.get(diag, "include_metadata", decode::boolean),
        hostname: fields.get(diag, "hostname", decode::text),
        instance_id: fields.get(diag, "instance_id", decode::text),
        resource_arn: fields.get(diag, "resource_arn", decode::text),
    };
    let none =
        "there is no component here that could contribute: upstream names its X-Ray receiver and proxy";
    fields.refused_unless(diag, ("contributors", Unless::Empty), none);
    fields.finish(diag);
    Some(config)
}

const COMPRESSIONS: Choice<Compression> = Choice {
    supported: &[
        ("gzip", Compression::Gzip),
        ("zstd", Compression::Zstd),
        ("none", Compression::None),
    ],
    // Upstream's other word for none.
    also: &[("", Compression::None)],
    upstream: &["snappy", "x-snappy-framed", "zlib", "deflate", "lz4"],
};

fn otlp(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<OtlpExporterConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let config = OtlpExporterConfig {
        endpoint: fields.get(diag, "endpoint", decode::text),
        tls: tls(&mut fields, diag),
        compression: fields.get(diag, "compression", |cursor, diag| {
            COMPRESSIONS.decode(cursor, diag)
        }),
        headers: headers(&mut fields, diag),
        timeout: fields.get(diag, "timeout", decode::duration),
        sending_queue: fields
            .get(diag, "sending_queue", queue)
            .map(|queue| queue.value)
            .unwrap_or_default(),
        retry_on_failure: fields
            .get(diag, "retry_on_failure", retry)
            .map(|retry| retry.value)
            .unwrap_or_default(),
    };
    fields.unsupported(
        diag,
        &[
            ("auth", Unless::Never),
            ("authority", Unless::Empty),
            ("keepalive", Unless::Empty),
            ("middlewares", Unless::Empty),
            ("user_agent", Unless::Empty),
            ("wait_for_ready", Unless::False),
        ],
    );
    fields.without_effect(
        diag,
        &["read_buffer_size", "write_buffer_size"],
        "buffers size themselves",
    );
    fields.without_effect(diag, &["balancer_name"], "there is one connection");
    fields.finish(diag);
    Some(config)
}

/// `tls` of a client.
pub(super) fn tls(fields: &mut Fields<'_>, diag: &mut Diagnostics) -> ClientTlsConfig {
    let tls = fields.get(diag, "tls", client_tls);
    tls.map(|tls| tls.value).unwrap_or_default()
}

fn client_tls(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<ClientTlsConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let config = ClientTlsConfig {
        insecure: fields.get(diag, "insecure", decode::boolean),
        ca_file: fields.get(diag, "ca_file", decode::text),
    };
    fields.unsupported(
        diag,
        &[
            ("insecure_skip_verify", Unless::False),
            ("server_name_override", Unless::Empty),
            ("ca_pem", Unless::Empty),
            ("cert_file", Unless::Empty),
            ("cert_pem", Unless::Empty),
            ("key_file", Unless::Empty),
            ("key_pem", Unless::Empty),
            ("min_version", Unless::Empty),
            ("max_version", Unless::Empty),
            ("cipher_suites", Unless::Empty),
            ("curve_preferences", Unless::Empty),
            ("include_insecure_cipher_suites", Unless::False),
            ("include_system_ca_certs_pool", Unless::False),
            ("reload_interval", Unless::Zero),
            ("tpm", Unless::Empty),
        ],
    );
    fields.finish(diag);
    Some(config)
}

/// `headers` of a client.
pub(super) fn headers(fields: &mut Fields<'_>, diag: &mut Diagnostics) -> Vec<Spanned<(String, Secret)>> {
    let headers = fields.get(diag, "headers", header_list);
    headers.map(|headers| headers.value).unwrap_or_default()
}

/// A map of names and values, or upstream's list of `{name, value}`. No message here repeats what was written but
/// for a name that is surely one: `Authorization:token` without a space would be a name.
fn header_list(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<Vec<Spanned<(String, Secret)>>> {
    if let Value::List(_) = &cursor.node.value {
        let pairs = decode::list(cursor, diag, |cursor, diag| {
            let mut fields = Fields::new(cursor, diag)?;
            let name = fields.get(diag, "name", decode::text);
            let value = fields.get(diag, "value", secret);
            fields.finish(diag);
            if name.is_none() || value.is_none() {
                cursor.error(diag, "a header has a `name` and a `value`");
            }
            Some((name?.value, value?.value))
        });
        return pairs;
    }
    let Value::Map(entries) = &cursor.node.value else {
        cursor.error(
            diag,
            "a map of header names and values is wanted; is a space missing after a colon?",
        );
        return None;
    };
    let headers = entries.iter().filter_map(|entry| {
        if !is_header_name(&entry.key) {
            let message =
                "a header's name has letters, digits, `-`, `_` and `.`; is a space missing after a colon?";
            diag.error(entry.key_at, &cursor.path, message);
            return None;
        }
        let cursor = Cursor {
            node: &entry.value,
            path: format!("{}.{}", cursor.path, entry.key),
        };
        let value = if entry.value.is_null() {
            Secret::new("")
        } else {
            secret(&cursor, diag)?
        };
        Some(Spanned {
            value: (entry.key.clone(), value),
            at: Some(entry.key_at),
        })
    });
    Some(headers.collect())
}

/// gRPC's rule for a header's name (protocol description, "Custom-Metadata"), in upper case too.
pub(crate) fn is_header_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn secret(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<Secret> {
    decode::text(cursor, diag).map(Secret::new)
}

pub(super) fn queue(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<QueueConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let config = QueueConfig {
        enabled: fields.get(diag, "enabled", decode::boolean),
        num_consumers: fields.get(diag, "num_consumers", decode::whole),
        queue_size: fields.get(diag, "queue_size", decode::whole),
    };
    fields.unsupported(
        diag,
        &[
            ("sizer", Unless::Word("requests")),
            ("wait_for_result", Unless::False),
            ("block_on_overflow", Unless::False),
            ("blocking", Unless::False),
            ("storage", Unless::Empty),
            ("batch", Unless::Never),
        ],
    );
    fields.finish(diag);
    Some(config)
}

pub(super) fn retry(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<RetryConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let config = RetryConfig {
        enabled: fields.get(diag, "enabled", decode::boolean),
        initial_interval: fields.get(diag, "initial_interval", decode::duration),
        max_interval: fields.get(diag, "max_interval", decode::duration),
        max_elapsed_time: fields.get(diag, "max_elapsed_time", decode::duration),
        multiplier: fields.get(diag, "multiplier", decode::number),
        randomization_factor: fields.get(diag, "randomization_factor", decode::number),
    };
    fields.finish(diag);
    Some(config)
}

const VERBOSITIES: Choice<Verbosity> = Choice {
    supported: &[
        ("basic", Verbosity::Basic),
        ("normal", Verbosity::Normal),
        ("detailed", Verbosity::Detailed),
    ],
    also: &[],
    upstream: &[],
};

const LOG_LEVEL_WORDS: Choice<LogLevelWord> = Choice {
    supported: &[
        ("debug", LogLevelWord::Debug),
        ("info", LogLevelWord::Info),
        ("warn", LogLevelWord::Warn),
        ("error", LogLevelWord::Error),
    ],
    also: &[],
    upstream: &["dpanic", "panic", "fatal"],
};

fn debug(cursor: &Cursor<'_>, diag: &mut Diagnostics, logging: bool) -> Option<DebugConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let mut config = DebugConfig {
        verbosity: fields.get(diag, "verbosity", |cursor, diag| VERBOSITIES.decode(cursor, diag)),
        loglevel: None,
        sampling_initial: fields.get(diag, "sampling_initial", decode::whole),
        sampling_thereafter: fields.get(diag, "sampling_thereafter", decode::whole),
    };
    if logging {
        config.loglevel = fields.get(diag, "loglevel", |cursor, diag| {
            LOG_LEVEL_WORDS.decode(cursor, diag)
        });
    } else {
        fields.refused(
            diag,
            "loglevel",
            "`debug` has `verbosity` in its place: basic, normal or detailed",
        );
    }
    fields.unsupported(
        diag,
        &[
            ("use_internal_logger", Unless::Word("true")),
            ("output_paths", Unless::Empty),
            ("sending_queue", Unless::Empty),
        ],
    );
    fields.finish(diag);
    Some(config)
}

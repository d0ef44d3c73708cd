//! `exporters`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::client::{
    ATTEMPT_MAX, ELAPSED_MAX, MILLISECOND, RetryDefaults, Scheme, WORKERS_MAX, queue, retry, tls,
};
use super::{Scope, or, prometheus, remote_write};
use crate::catalog::Role;
use crate::config::{
    AwsXrayConfig, Component, Config, DebugConfig, ExporterConfig, Field, LogLevelWord, OtlpExporterConfig,
    Spanned,
};
use crate::error::Diagnostics;
use crate::settings::{
    AssumedRole, AwsXraySettings, Compression, DebugSettings, ExporterKind, MetricsExporterKind,
    OtlpExporterSettings, PrometheusSettings, RemoteWriteSettings, Secret, Verbosity,
    XRAY_HOSTNAME_LENGTH_MAX, XRAY_INSTANCE_ID_LENGTH_MAX, XRAY_RESOURCE_ARN_LENGTH_MAX, XrayMetadata,
    XrayTelemetrySettings,
};

/// An exporter, resolved, whatever it takes.
#[derive(Debug, Clone)]
pub(super) enum Resolved {
    AwsXray(AwsXraySettings),
    Otlp(OtlpExporterSettings),
    Debug(DebugSettings),
    RemoteWrite(Box<RemoteWriteSettings>),
    Prometheus(PrometheusSettings),
}

impl Resolved {
    /// What it is in a traces pipeline, or what to say.
    pub(super) fn of_traces(self) -> Result<ExporterKind, String> {
        match self {
            Self::AwsXray(settings) => Ok(ExporterKind::AwsXray(settings)),
            Self::Otlp(settings) => Ok(ExporterKind::Otlp(settings)),
            Self::Debug(settings) => Ok(ExporterKind::Debug(settings)),
            Self::RemoteWrite(_) | Self::Prometheus(_) => Err(
                "takes metrics, and this is a traces pipeline; name it in the metrics pipeline".to_owned(),
            ),
        }
    }

    /// What it is in a metrics pipeline, or what to say.
    pub(super) fn of_metrics(self) -> Result<MetricsExporterKind, String> {
        match self {
            Self::RemoteWrite(settings) => Ok(MetricsExporterKind::RemoteWrite(settings)),
            Self::Prometheus(settings) => Ok(MetricsExporterKind::Prometheus(settings)),
            Self::Otlp(settings) => Ok(MetricsExporterKind::Otlp(settings)),
            Self::Debug(settings) => Ok(MetricsExporterKind::Debug(settings)),
            Self::AwsXray(_) => {
                Err("takes traces, and this is a metrics pipeline; name it in the traces pipeline".to_owned())
            }
        }
    }
}

/// None only after an error.
pub(super) fn resolve(
    exporter: &Component<ExporterConfig>,
    config: &Config,
    diag: &mut Diagnostics,
) -> Option<Resolved> {
    let scope = Scope::of(Role::Exporter, exporter);
    Some(match &exporter.config {
        ExporterConfig::AwsXray(written) => Resolved::AwsXray(awsxray(&scope, written, diag)),
        ExporterConfig::Otlp(written) => Resolved::Otlp(otlp(&scope, written, diag)?),
        ExporterConfig::Debug(written) | ExporterConfig::Logging(written) => {
            Resolved::Debug(debug(&scope, written, Verbosity::Basic, diag))
        }
        ExporterConfig::RemoteWrite(written) => {
            Resolved::RemoteWrite(Box::new(remote_write::resolve(&scope, written, config, diag)?))
        }
        ExporterConfig::Prometheus(written) => {
            Resolved::Prometheus(prometheus::resolve(&scope, written, diag)?)
        }
    })
}

fn awsxray(scope: &Scope, config: &AwsXrayConfig, diag: &mut Diagnostics) -> AwsXraySettings {
    if let Some(region) = &config.region
        && !region
            .value
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    {
        diag.error(
            region.at,
            scope.path("region"),
            "a region has lower-case letters, digits and `-`, as in `us-east-1`",
        );
    }
    if let Some(endpoint) = &config.endpoint
        && !endpoint.value.is_empty()
        && let Err(message) = url(&endpoint.value)
    {
        diag.error(endpoint.at, scope.path("endpoint"), message);
    }
    if let Some(proxy) = &config.proxy_address
        && !proxy.value.is_empty()
    {
        // No message shows it: it may hold a password.
        if proxy.value.contains('@') {
            let message = "credentials do not belong into this file; set HTTPS_PROXY in the environment";
            diag.error(proxy.at, scope.path("proxy_address"), message);
        } else if let Err(message) = url(&proxy.value) {
            diag.error(proxy.at, scope.path("proxy_address"), message);
        }
    }
    let seconds = scope.within(
        &config.request_timeout_seconds,
        "request_timeout_seconds",
        (1..=300, 30),
        diag,
    );
    let key = "tracepipe.max_elapsed_time";
    AwsXraySettings {
        region: not_empty(&config.region),
        endpoint: not_empty(&config.endpoint),
        proxy_address: not_empty(&config.proxy_address),
        role: role(scope, config, diag),
        index_all_attributes: or(&config.index_all_attributes, false),
        indexed_attributes: values(&config.indexed_attributes),
        aws_log_groups: values(&config.aws_log_groups),
        num_workers: scope.within(&config.num_workers, "num_workers", (1..=WORKERS_MAX, 8), diag),
        request_timeout: Duration::from_secs(seconds),
        telemetry: xray_telemetry(scope, config, diag),
        max_elapsed_time: scope.duration(
            &config.max_elapsed_time,
            key,
            (Duration::ZERO..=ELAPSED_MAX, Duration::ZERO),
            diag,
        ),
    }
}

/// What stands there is checked also when it is not asked for.
fn xray_telemetry(
    scope: &Scope,
    config: &AwsXrayConfig,
    diag: &mut Diagnostics,
) -> Option<XrayTelemetrySettings> {
    let telemetry = &config.telemetry;
    let includes = or(&telemetry.include_metadata, false);
    let below = scope.below("telemetry");
    let mut text = |scope: &Scope, field: &Field<String>, key: &str, longest: usize| {
        let text = not_empty(field)?;
        let at = field.as_ref().and_then(|field| field.at);
        let path = scope.path(key);
        if text.len() > longest {
            diag.error(at, path, format!("X-Ray takes no more than {longest} bytes"));
        } else if !includes {
            diag.warn(
                at,
                path,
                "has no effect: X-Ray is told who sends when `telemetry.include_metadata` is true",
            );
        }
        Some(text)
    };
    let hostname = text(&below, &telemetry.hostname, "hostname", XRAY_HOSTNAME_LENGTH_MAX);
    let id = text(
        &below,
        &telemetry.instance_id,
        "instance_id",
        XRAY_INSTANCE_ID_LENGTH_MAX,
    );
    let longest = XRAY_RESOURCE_ARN_LENGTH_MAX;
    let own_arn = text(&below, &telemetry.resource_arn, "resource_arn", longest);
    let arn = text(scope, &config.resource_arn, "resource_arn", longest);
    let metadata = XrayMetadata {
        hostname,
        instance_id: id,
        resource_arn: own_arn.or(arn),
        ask_instance: !or(&config.local_mode, false),
    };
    or(&telemetry.enabled, false).then(|| XrayTelemetrySettings {
        metadata: includes.then_some(metadata),
    })
}

fn role(scope: &Scope, config: &AwsXrayConfig, diag: &mut Diagnostics) -> Option<AssumedRole> {
    let role_at = config.role_arn.as_ref().and_then(|field| field.at);
    let id_at = config.external_id.as_ref().and_then(|field| field.at);
    let arn = not_empty(&config.role_arn);
    let external_id = not_empty(&config.external_id);
    if let Some(arn) = &arn
        && !is_role(arn)
    {
        let message = "a role's ARN is wanted, as in `arn:aws:iam::111122223333:role/name`";
        diag.error(role_at, scope.path("role_arn"), message);
    }
    match (&arn, &external_id) {
        (None, Some(_)) => {
            let message = "is for a role that is assumed, and there is no `role_arn`";
            diag.error(id_at, scope.path("external_id"), message);
        }
        (Some(_), Some(id)) if !is_external_id(id) => {
            let message = "has 2 to 1224 letters, digits and `_+=,.@:/-`";
            diag.error(id_at, scope.path("external_id"), message);
        }
        (_, Some(_) | None) => {}
    }
    arn.map(|arn| AssumedRole {
        arn,
        external_id,
        session_name: None,
        sts_region: None,
    })
}

/// STS's own rule (API reference, AssumeRole).
pub(super) fn is_external_id(id: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c);
    (2..=1224).contains(&id.len()) && id.chars().all(is_allowed)
}

/// `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME`.
pub(super) fn is_role(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let &["arn", partition, "iam", "", account, resource] = parts.as_slice() else {
        return false;
    };
    partition.starts_with("aws")
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && resource
            .strip_prefix("role/")
            .is_some_and(|name| !name.is_empty())
        && arn.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(super) fn not_empty(field: &Field<String>) -> Option<String> {
    field
        .as_ref()
        .map(|field| field.value.clone())
        .filter(|value| !value.is_empty())
}

pub(super) fn values(field: &Field<Vec<Spanned<String>>>) -> Vec<String> {
    field
        .as_ref()
        .map(|list| list.value.iter().map(|item| item.value.clone()).collect())
        .unwrap_or_default()
}

fn url(text: &str) -> Result<(), String> {
    let Some(rest) = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
    else {
        return Err("write a URL that begins with https:// or http://".to_owned());
    };
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Err("credentials do not belong into a URL".to_owned());
    }
    if authority.is_empty() || authority.starts_with(':') || text.contains(char::is_whitespace) {
        return Err("the URL has no host, or a space in it".to_owned());
    }
    Ok(())
}

fn otlp(scope: &Scope, config: &OtlpExporterConfig, diag: &mut Diagnostics) -> Option<OtlpExporterSettings> {
    let endpoint = scope.required(&config.endpoint, ("endpoint", "endpoint: backend:4317"), diag);
    let at = config.endpoint.as_ref().and_then(|endpoint| endpoint.at);
    // What follows is checked in any case: all errors are said at once.
    let split = endpoint.map(|endpoint| split_scheme(&endpoint));
    let (scheme, authority) = match split {
        Some(Ok((scheme, authority))) => (scheme, Some(authority)),
        Some(Err(message)) => {
            diag.error(at, scope.path("endpoint"), message);
            (Scheme::None, None)
        }
        None => (Scheme::None, None),
    };
    let timeout = (MILLISECOND..=ATTEMPT_MAX, Duration::from_secs(5));
    let settings = OtlpExporterSettings {
        authority: authority.clone().unwrap_or_default(),
        tls: tls(scope, &config.tls, scheme, diag),
        compression: or(&config.compression, Compression::Gzip),
        headers: headers(scope, config, diag),
        timeout: scope.duration(&config.timeout, "timeout", timeout, diag),
        queue: queue(scope, &config.sending_queue, diag),
        retry: retry(scope, &config.retry_on_failure, RetryDefaults::OTLP, diag),
    };
    authority.map(|_| settings)
}

/// The scheme and `host:port`.
fn split_scheme(endpoint: &str) -> Result<(Scheme, String), String> {
    let (scheme, rest) = match endpoint.split_once("://") {
        None => (Scheme::None, endpoint),
        Some(("http", rest)) => (Scheme::Http, rest),
        Some(("https", rest)) => (Scheme::Https, rest),
        // gRPC's way to say that a name is looked up, which it is in any case.
        Some(("dns", rest)) if rest.starts_with('/') => (Scheme::None, rest.trim_start_matches('/')),
        Some(_) => {
            return Err("the scheme is not supported; write host:port, http:// or https://".to_owned());
        }
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '@', '?', '#']) || authority.contains(char::is_whitespace) {
        return Err("write host:port only; gRPC has no path".to_owned());
    }
    let Some((host, port)) = authority.rsplit_once(':') else {
        return Err("the port is missing; write for example backend:4317".to_owned());
    };
    if host.is_empty() || (host.contains(':') && !(host.starts_with('[') && host.ends_with(']'))) {
        return Err("the host is missing, or an IPv6 address stands without brackets".to_owned());
    }
    match port.parse::<u16>() {
        Ok(1..) if !port.starts_with('+') => Ok((scheme, authority.to_owned())),
        Ok(_) | Err(_) => Err("the port is a number from 1 to 65535".to_owned()),
    }
}

fn headers(scope: &Scope, config: &OtlpExporterConfig, diag: &mut Diagnostics) -> Vec<(String, Secret)> {
    let mut seen = BTreeSet::new();
    for header in &config.headers {
        let (name, value) = &header.value;
        let path = scope.path("headers");
        let lower = name.to_ascii_lowercase();
        if !crate::config::is_header_name(name) {
            diag.error(
                header.at,
                path,
                "a header's name has letters, digits, `-`, `_` and `.`",
            );
        } else if lower.starts_with("grpc-") {
            diag.error(header.at, path, "names that begin with `grpc-` belong to gRPC");
        } else if lower.ends_with("-bin") {
            let message =
                "names that end with `-bin` are for bytes in gRPC, and this is text; leave the ending out";
            diag.error(header.at, path, message);
        } else if !seen.insert(lower) {
            diag.error(
                header.at,
                path,
                format!("`{name}` stands here twice (case does not count)"),
            );
        } else if !value.expose().bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            let message =
                "the value has characters that a header cannot carry; is there a line break at its end?";
            diag.error(header.at, format!("{path}.{name}"), message);
        }
    }
    config.headers.iter().map(|header| header.value.clone()).collect()
}

fn debug(scope: &Scope, config: &DebugConfig, default: Verbosity, diag: &mut Diagnostics) -> DebugSettings {
    let verbosity = match (&config.verbosity, &config.loglevel) {
        (Some(_), Some(level)) => {
            diag.error(
                level.at,
                scope.path("loglevel"),
                "`verbosity` says the same; take one away",
            );
            default
        }
        (Some(verbosity), None) => verbosity.value,
        // Upstream's translation, while it still had `loglevel`.
        (None, Some(level)) => match level.value {
            LogLevelWord::Debug => Verbosity::Detailed,
            // At info the `logging` exporter wrote one line a batch.
            LogLevelWord::Info | LogLevelWord::Warn | LogLevelWord::Error => Verbosity::Basic,
        },
        (None, None) => default,
    };
    let bounds = 0..=u64::from(u32::MAX);
    DebugSettings {
        verbosity,
        sampling_initial: scope.within(
            &config.sampling_initial,
            "sampling_initial",
            (bounds.clone(), 2),
            diag,
        ),
        sampling_thereafter: scope.within(
            &config.sampling_thereafter,
            "sampling_thereafter",
            (bounds, 1),
            diag,
        ),
    }
}

//! `receivers`.

use std::net::{Ipv4Addr, SocketAddr};

use super::{Reference, Scope, address};
use crate::catalog::Role;
use crate::config::{Component, Field, OtlpServerConfig, PipelineConfig, ReceiverConfig};
use crate::error::Diagnostics;
use crate::settings::{MIB, OtlpReceiverSettings, OtlpServerSettings};

/// OTLP specification, "Maximum Message Size": servers should take 64 MiB.
const REQUEST_MIB: u64 = 64;
/// A request is held in memory whole.
const REQUEST_MIB_MAX: u64 = 1024;
/// OTLP specification, "OTLP/HTTP Request".
const TRACES_PATH: &str = "/v1/traces";
/// OTLP specification, "OTLP/HTTP Request".
const METRICS_PATH: &str = "/v1/metrics";

/// The one receiver of the pipeline.
pub(super) fn one<'c>(
    receivers: &[Reference<'c, ReceiverConfig>],
    pipeline: &PipelineConfig,
    diag: &mut Diagnostics,
) -> Option<&'c Component<ReceiverConfig>> {
    let path = format!("service.pipelines.{}.receivers", pipeline.id.value);
    let [receiver, more @ ..] = receivers else {
        if pipeline.receivers.is_empty() {
            diag.error(
                pipeline.id.at,
                path,
                "no receiver: nothing would come in; write `receivers: [otlp]`",
            );
        }
        return None;
    };
    for more in more {
        let message = format!(
            "this version has one otlp receiver, and that is `{}`",
            receiver.component.id.value
        );
        diag.error(more.at, &more.path, message);
    }
    Some(receiver.component)
}

pub(super) fn resolve(
    receiver: &Component<ReceiverConfig>,
    diag: &mut Diagnostics,
) -> Option<OtlpReceiverSettings> {
    let ReceiverConfig::Otlp(config) = &receiver.config;
    let scope = Scope::of(Role::Receiver, receiver);
    if config.grpc.is_none() && config.http.is_none() {
        let at = config.protocols_at.or(scope.at);
        diag.error(
            at,
            scope.path("protocols"),
            "no protocol; write `protocols: {grpc: {}, http: {}}` or one of them",
        );
        return None;
    }
    Some(OtlpReceiverSettings {
        grpc: server(&scope, &config.grpc, ("grpc", 4317), diag),
        http: server(&scope, &config.http, ("http", 4318), diag),
    })
}

fn server(
    scope: &Scope,
    config: &Field<OtlpServerConfig>,
    (protocol, port): (&str, u16),
    diag: &mut Diagnostics,
) -> Option<OtlpServerSettings> {
    let config = config.as_ref()?;
    let scope = Scope {
        path: scope.path(&format!("protocols.{protocol}")),
        at: config.at,
    };
    let config = &config.value;
    let mut endpoint = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if let Some(written) = &config.endpoint {
        match address::listen(&written.value) {
            Ok(address) => endpoint = address,
            Err(message) => diag.error(written.at, scope.path("endpoint"), message),
        }
    }
    let mib = scope.within(
        &config.max_recv_msg_size_mib,
        "max_recv_msg_size_mib",
        (0..=REQUEST_MIB_MAX, 0),
        diag,
    );
    let bounds = (0..=REQUEST_MIB_MAX * MIB, 0);
    let bytes = scope.within(
        &config.max_request_body_size,
        "max_request_body_size",
        bounds,
        diag,
    );
    let max_request_bytes = match (mib, bytes) {
        (0, 0) => REQUEST_MIB * MIB,
        (0, bytes) => bytes,
        // Within bounds, or refused above.
        (mib, _) => mib.saturating_mul(MIB),
    };
    let mut url_path = |field: &Field<String>, key: &str, default: &str| match field {
        None => default.to_owned(),
        Some(path) => {
            if path.value.is_empty() || path.value.contains(['?', '#', ' ']) {
                let message = format!("write a path, for example `{default}`");
                diag.error(path.at, scope.path(key), message);
            }
            // Upstream adds the slash too.
            format!("/{}", path.value.trim_start_matches('/'))
        }
    };
    let traces_url_path = url_path(&config.traces_url_path, "traces_url_path", TRACES_PATH);
    let metrics_url_path = url_path(&config.metrics_url_path, "metrics_url_path", METRICS_PATH);
    if traces_url_path == metrics_url_path {
        let at = config
            .metrics_url_path
            .as_ref()
            .or(config.traces_url_path.as_ref());
        let at = at.and_then(|path| path.at).or(scope.at);
        let message = "is the path of traces as well; give each its own";
        diag.error(at, scope.path("metrics_url_path"), message);
    }
    Some(OtlpServerSettings {
        endpoint,
        max_request_bytes,
        traces_url_path,
        metrics_url_path,
    })
}

//! What a program can build and no file can say. A file is refused for it while it is read.

use std::collections::BTreeSet;

use crate::catalog::Role;
use crate::config::{Component, ComponentId, Config, ExporterConfig, ReceiverConfig, Signal};
use crate::error::{ConfigErrors, Diagnostics};
use crate::tree;

/// Checks that the configuration reads back from what [`Config::to_yaml`] writes.
pub(super) fn check(config: &Config, diag: &mut Diagnostics) {
    section(&config.receivers, Role::Receiver, |config| config.kind(), diag);
    section(&config.processors, Role::Processor, |config| config.kind(), diag);
    section(&config.exporters, Role::Exporter, |config| config.kind(), diag);
    section(&config.extensions, Role::Extension, |config| config.kind(), diag);
    for pipeline in &config.service.pipelines {
        let path = format!("service.pipelines.{}", pipeline.id.value);
        let kind = pipeline.signal().map_or("traces", Signal::word);
        id(&pipeline.id.value, kind, &path, diag);
    }
    config
        .receivers
        .iter()
        .for_each(|receiver| protocols(receiver, diag));
    for exporter in &config.exporters {
        if let ExporterConfig::Debug(debug) = &exporter.config
            && debug.loglevel.is_some()
        {
            let path = format!("exporters.{}.loglevel", exporter.id.value);
            diag.error(None, path, "`debug` has `verbosity` in its place");
        }
    }
    if !diag.has_errors() {
        // Only the size can be wrong with it now, bytes or values; a place in it would mean nothing to anybody.
        let mut read = Diagnostics::default();
        tree::parse(&config.to_yaml(), 0, &mut read);
        let errors = read
            .finish(&[])
            .map_or_else(ConfigErrors::into_errors, |_| Vec::new());
        errors
            .into_iter()
            .for_each(|error| diag.error(None, error.path, error.message));
    }
}

fn section<T>(components: &[Component<T>], role: Role, kind: fn(&T) -> &'static str, diag: &mut Diagnostics) {
    let mut seen = BTreeSet::new();
    for component in components {
        let path = format!("{}.{}", role.section(), component.id.value);
        id(&component.id.value, kind(&component.config), &path, diag);
        if !seen.insert(&component.id.value) {
            diag.error(None, path, "is defined twice");
        }
    }
}

fn id(id: &ComponentId, kind: &str, path: &str, diag: &mut Diagnostics) {
    // Two words for one type.
    let is_other_word = match kind {
        "otlp" => id.kind == "otlp_grpc",
        "prometheusremotewrite" => id.kind == "prometheus_remote_write",
        _ => false,
    };
    let is_kind = id.kind == kind || (is_other_word && path.starts_with("exporters."));
    if !is_kind {
        diag.error(None, path, format!("these are the settings of `{kind}`"));
    } else if let Err(message) = ComponentId::parse(&id.to_string()) {
        diag.error(None, path, message);
    } else if ComponentId::parse(&id.to_string()).as_ref() != Ok(id) {
        diag.error(None, path, "a component's name has no spaces around it");
    }
}

fn protocols(receiver: &Component<ReceiverConfig>, diag: &mut Diagnostics) {
    let ReceiverConfig::Otlp(config) = &receiver.config;
    let path = |rest: &str| format!("receivers.{}.protocols.{rest}", receiver.id.value);
    if let Some(grpc) = &config.grpc {
        if grpc.value.max_request_body_size.is_some() {
            diag.error(None, path("grpc.max_request_body_size"), "is a setting of http");
        }
        if grpc.value.traces_url_path.is_some() {
            diag.error(None, path("grpc.traces_url_path"), "is a setting of http");
        }
        if grpc.value.metrics_url_path.is_some() {
            diag.error(None, path("grpc.metrics_url_path"), "is a setting of http");
        }
    }
    if let Some(http) = &config.http
        && http.value.max_recv_msg_size_mib.is_some()
    {
        diag.error(None, path("http.max_recv_msg_size_mib"), "is a setting of grpc");
    }
}

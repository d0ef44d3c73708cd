//! The pipelines: one of traces, one of metrics, or both.

use super::{Reference, exporters, processors, receivers, references, sigv4};
use crate::catalog::Role;
use crate::config::{
    Component, ComponentId, Config, ExporterConfig, ExtensionConfig, PipelineConfig, ReceiverConfig, Signal,
    Spanned,
};
use crate::error::Diagnostics;
use crate::settings::{
    BatchSettings, ExporterSettings, MemoryLimiterSettings, MetricsExporterSettings, MetricsSettings,
    OtlpReceiverSettings, ResourceAction, TailSamplingSettings,
};

/// What the pipelines say; parts are None or left out after an error as well.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) otlp: Option<OtlpReceiverSettings>,
    /// Of whichever pipeline names one.
    pub(super) memory_limiter: Option<MemoryLimiterSettings>,
    pub(super) traces: Option<Traces>,
    pub(super) metrics: Option<MetricsSettings>,
}

#[derive(Debug, Default)]
pub(super) struct Traces {
    pub(super) tail_sampling: Option<TailSamplingSettings>,
    pub(super) batch: Option<BatchSettings>,
    pub(super) resource: Vec<ResourceAction>,
    pub(super) exporters: Vec<ExporterSettings>,
}

/// The components that both pipelines may name, each resolved once, so that what is wrong is said once.
#[derive(Debug, Default)]
struct Resolved<'c> {
    processors: Once<'c, processors::Resolved>,
    exporters: Once<'c, exporters::Resolved>,
}

/// Results by the component's name.
#[derive(Debug)]
pub(super) struct Once<'c, T> {
    results: Vec<(&'c ComponentId, Option<T>)>,
}

impl<T> Default for Once<'_, T> {
    fn default() -> Self {
        Self { results: Vec::new() }
    }
}

impl<'c, T: Clone> Once<'c, T> {
    pub(super) fn get(&mut self, id: &'c ComponentId, resolve: impl FnOnce() -> Option<T>) -> Option<T> {
        if let Some((_, result)) = self.results.iter().find(|(known, _)| *known == id) {
            return result.clone();
        }
        let result = resolve();
        self.results.push((id, result.clone()));
        result
    }
}

pub(super) fn resolve(config: &Config, diag: &mut Diagnostics) -> Lines {
    if config.service.pipelines.is_empty() {
        let message =
            "no pipeline; write `service: {pipelines: {traces: {receivers: [otlp], exporters: [...]}}}`";
        diag.error(config.service.at, "service.pipelines.traces", message);
    }
    let traces = one(config, Signal::Traces, diag);
    let metrics = one(config, Signal::Metrics, diag);
    check_unused(config, [traces, metrics], diag);
    let mut lines = Lines::default();
    let mut resolved = Resolved::default();
    // The sockets are those of the first pipeline.
    let receiver = traces.or(metrics).and_then(|pipeline| {
        let named = named(config, pipeline, diag);
        let receiver = receivers::one(&named.receivers, pipeline, diag)?;
        lines.otlp = receivers::resolve(receiver, diag);
        Some(receiver)
    });
    if let Some(receiver) = receiver {
        without_pipeline(
            receiver,
            [traces, metrics].map(|pipeline| pipeline.is_some()),
            diag,
        );
    }
    if let Some(pipeline) = traces {
        line_of_traces(config, pipeline, &mut resolved, &mut lines, diag);
    }
    if let Some(pipeline) = metrics {
        if traces.is_some() {
            same_receiver(config, (pipeline, receiver), diag);
        }
        line_of_metrics(config, pipeline, &mut resolved, &mut lines, diag);
    }
    lines
}

/// The one pipeline of a signal, if there is one.
fn one<'c>(config: &'c Config, signal: Signal, diag: &mut Diagnostics) -> Option<&'c PipelineConfig> {
    let all = &config.service.pipelines;
    let mut pipelines = all.iter().filter(|pipeline| pipeline.signal() == Some(signal));
    let word = signal.word();
    let pipeline = pipelines.next()?;
    for more in pipelines {
        let message = format!(
            "this version has one {word} pipeline, and that is `{}`",
            pipeline.id.value
        );
        diag.error(
            more.id.at,
            format!("service.pipelines.{}", more.id.value),
            message,
        );
    }
    Some(pipeline)
}

/// The components that a pipeline names.
struct Named<'c> {
    receivers: Vec<Reference<'c, ReceiverConfig>>,
    path: String,
}

fn named<'c>(config: &'c Config, pipeline: &PipelineConfig, diag: &mut Diagnostics) -> Named<'c> {
    let path = format!("service.pipelines.{}", pipeline.id.value);
    Named {
        receivers: references(
            &config.receivers,
            &pipeline.receivers,
            (Role::Receiver, &path),
            diag,
        ),
        path,
    }
}

fn line_of_traces<'c>(
    config: &'c Config,
    pipeline: &'c PipelineConfig,
    resolved: &mut Resolved<'c>,
    lines: &mut Lines,
    diag: &mut Diagnostics,
) {
    let processors = processors_of(config, (pipeline, Signal::Traces), resolved, diag);
    let exporters = exporters_of(config, pipeline, resolved, exporters::Resolved::of_traces, diag);
    lines.memory_limiter = processors.memory_limiter;
    lines.traces = exporters.map(|exporters| Traces {
        tail_sampling: processors.tail_sampling,
        batch: processors.batch,
        resource: processors.resource,
        exporters: exporters
            .into_iter()
            .map(|(id, kind)| ExporterSettings { id, kind })
            .collect(),
    });
}

fn line_of_metrics<'c>(
    config: &'c Config,
    pipeline: &'c PipelineConfig,
    resolved: &mut Resolved<'c>,
    lines: &mut Lines,
    diag: &mut Diagnostics,
) {
    let processors = processors_of(config, (pipeline, Signal::Metrics), resolved, diag);
    let exporters = exporters_of(config, pipeline, resolved, exporters::Resolved::of_metrics, diag);
    match (&lines.memory_limiter, &processors.memory_limiter) {
        (Some(one), Some(other)) if one != other => {
            let path = format!("service.pipelines.{}.processors", pipeline.id.value);
            let message = "there is one process, so there is one memory limit; name the `memory_limiter` of the traces \
                           pipeline";
            diag.error(pipeline.id.at, path, message);
        }
        (None, _) => lines.memory_limiter = processors.memory_limiter,
        (Some(_), _) => {}
    }
    lines.metrics = exporters.map(|exporters| MetricsSettings {
        batch: processors.batch,
        resource: processors.resource,
        exporters: exporters
            .into_iter()
            .map(|(id, kind)| MetricsExporterSettings { id, kind })
            .collect(),
    });
}

fn processors_of<'c>(
    config: &'c Config,
    (pipeline, signal): (&'c PipelineConfig, Signal),
    resolved: &mut Resolved<'c>,
    diag: &mut Diagnostics,
) -> processors::Processors {
    let path = format!("service.pipelines.{}", pipeline.id.value);
    let processors = references(
        &config.processors,
        &pipeline.processors,
        (Role::Processor, &path),
        diag,
    );
    processors::in_order(&processors, signal, &mut resolved.processors, diag)
}

/// None only after an error.
fn exporters_of<'c, T>(
    config: &'c Config,
    pipeline: &'c PipelineConfig,
    resolved: &mut Resolved<'c>,
    of_signal: fn(exporters::Resolved) -> Result<T, String>,
    diag: &mut Diagnostics,
) -> Option<Vec<(String, T)>> {
    let path = format!("service.pipelines.{}", pipeline.id.value);
    let exporters = references(
        &config.exporters,
        &pipeline.exporters,
        (Role::Exporter, &path),
        diag,
    );
    if pipeline.exporters.is_empty() {
        let message = match pipeline.signal() {
            Some(Signal::Metrics) => {
                "no exporter: what comes in would go nowhere; name one, for example `exporters: [prometheus]`"
            }
            Some(Signal::Traces) | None => {
                "no exporter: what is kept would go nowhere; name one, for example `exporters: [awsxray]`"
            }
        };
        diag.error(pipeline.id.at, format!("{path}.exporters"), message);
    }
    let exporters: Vec<_> = exporters
        .iter()
        .map(|reference| exporter(config, reference, resolved, of_signal, diag))
        .collect();
    exporters.into_iter().collect()
}

fn exporter<'c, T>(
    config: &'c Config,
    reference: &Reference<'c, ExporterConfig>,
    resolved: &mut Resolved<'c>,
    of_signal: fn(exporters::Resolved) -> Result<T, String>,
    diag: &mut Diagnostics,
) -> Option<(String, T)> {
    let id = &reference.component.id.value;
    let settings = resolved
        .exporters
        .get(id, || exporters::resolve(reference.component, config, diag))?;
    match of_signal(settings) {
        Ok(kind) => Some((id.to_string(), kind)),
        Err(message) => {
            diag.error(reference.at, &reference.path, format!("`{id}` {message}"));
            None
        }
    }
}

/// The metrics come in by the sockets of the traces.
fn same_receiver(
    config: &Config,
    (pipeline, of_traces): (&PipelineConfig, Option<&Component<ReceiverConfig>>),
    diag: &mut Diagnostics,
) {
    let named = named(config, pipeline, diag);
    if pipeline.receivers.is_empty() {
        let message = "no receiver: nothing would come in; write `receivers: [otlp]`";
        diag.error(pipeline.id.at, format!("{}.receivers", named.path), message);
    }
    let Some(receiver) = of_traces else { return };
    for other in &named.receivers {
        if other.component.id.value != receiver.id.value {
            let message = format!(
                "this version has one otlp receiver, and that is `{}` of the traces pipeline; name it here",
                receiver.id.value
            );
            diag.error(other.at, &other.path, message);
        }
    }
}

/// A setting for a signal that no pipeline takes.
fn without_pipeline(
    receiver: &Component<ReceiverConfig>,
    [has_traces, has_metrics]: [bool; 2],
    diag: &mut Diagnostics,
) {
    let ReceiverConfig::Otlp(written) = &receiver.config;
    let Some(http) = &written.http else { return };
    for (signal, path, has_pipeline) in [
        (Signal::Traces, &http.value.traces_url_path, has_traces),
        (Signal::Metrics, &http.value.metrics_url_path, has_metrics),
    ] {
        if let Some(path) = path
            && !has_pipeline
        {
            let word = signal.word();
            diag.warn(
                path.at,
                format!("receivers.{}.protocols.http.{word}_url_path", receiver.id.value),
                format!("has no effect: there is no {word} pipeline"),
            );
        }
    }
}

/// What is defined and not used is checked as well, and warned of: it is not part of what runs.
fn check_unused(config: &Config, pipelines: [Option<&PipelineConfig>; 2], diag: &mut Diagnostics) {
    let used = |list: fn(&PipelineConfig) -> &[Spanned<ComponentId>]| -> Vec<&ComponentId> {
        let named = pipelines.iter().flatten().flat_map(|pipeline| list(pipeline));
        named.map(|id| &id.value).collect()
    };
    for receiver in unused(&config.receivers, &used(|p| &p.receivers), Role::Receiver, diag) {
        drop(receivers::resolve(receiver, diag));
    }
    for processor in unused(
        &config.processors,
        &used(|p| &p.processors),
        Role::Processor,
        diag,
    ) {
        drop(processors::resolve(processor, diag));
    }
    for exporter in unused(&config.exporters, &used(|p| &p.exporters), Role::Exporter, diag) {
        drop(exporters::resolve(exporter, config, diag));
    }
    let started: Vec<&ComponentId> = config.service.extensions.iter().map(|id| &id.value).collect();
    unused(&config.extensions, &started, Role::Extension, diag);
    for extension in &config.extensions {
        match &extension.config {
            ExtensionConfig::SigV4(signer) => sigv4::check(extension, signer, diag),
            // Checked where the endpoint is taken from it.
            ExtensionConfig::HealthCheck(_) => {}
        }
    }
}

fn unused<'c, T>(
    defined: &'c [Component<T>],
    named: &[&ComponentId],
    role: Role,
    diag: &mut Diagnostics,
) -> Vec<&'c Component<T>> {
    let unused: Vec<_> = defined
        .iter()
        .filter(|component| named.iter().all(|id| **id != component.id.value))
        .collect();
    for component in &unused {
        let message = match role {
            Role::Extension => "is defined and not named in `service.extensions`, so it does not count",
            Role::Receiver | Role::Processor | Role::Exporter | Role::Connector => {
                "is defined and not used by a pipeline"
            }
        };
        diag.warn(
            component.id.at,
            format!("{}.{}", role.section(), component.id.value),
            message,
        );
    }
    unused
}

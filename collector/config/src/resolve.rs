//! From what was written to what is true: references, ranges and what must not contradict each other.

mod address;
mod built;
mod exporters;
mod processors;
mod receivers;
mod sampling;
mod service;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::catalog::Role;
use crate::config::{Component, ComponentId, Config, Field, PipelineConfig, Spanned};
use crate::duration::GoDuration;
use crate::error::{ConfigErrors, Diagnostics, Position};
use crate::settings::Settings;
use crate::{Loaded, MemoryLimiterSettings};

impl Config {
    /// Turns what was written into what is true.
    ///
    /// What is accepted here, [`crate::load`] accepts when it reads what [`Config::to_yaml`] writes, and the settings
    /// are the same.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn resolve(&self) -> Result<Loaded, ConfigErrors> {
        let mut diag = Diagnostics::default();
        let settings = self.resolve_with(&mut diag);
        built::check(self, &mut diag);
        self.finish(settings, diag)
    }

    /// As [`Self::resolve`], after earlier steps that may have found errors.
    pub(crate) fn finish(
        &self,
        settings: Option<Settings>,
        diag: Diagnostics,
    ) -> Result<Loaded, ConfigErrors> {
        let warnings = diag.finish(&self.sources)?;
        match settings {
            Some(settings) => Ok(Loaded { settings, warnings }),
            // A part is left out only after an error about it.
            None => Err(ConfigErrors::incomplete()),
        }
    }

    /// None only after an error.
    pub(crate) fn resolve_with(&self, diag: &mut Diagnostics) -> Option<Settings> {
        let telemetry = service::telemetry(self, diag);
        let Some(pipeline) = self.pipeline(diag) else {
            self.resolve_unused(None, diag);
            return None;
        };
        let path = format!("service.pipelines.{}", pipeline.id.value);
        let receivers = references(
            &self.receivers,
            &pipeline.receivers,
            (Role::Receiver, &path),
            diag,
        );
        let processors = references(
            &self.processors,
            &pipeline.processors,
            (Role::Processor, &path),
            diag,
        );
        let exporters = references(
            &self.exporters,
            &pipeline.exporters,
            (Role::Exporter, &path),
            diag,
        );
        self.resolve_unused(Some(pipeline), diag);

        let otlp = receivers::one(&receivers, pipeline, diag);
        let processors = processors::in_order(&processors, diag);
        if pipeline.exporters.is_empty() {
            let message =
                "no exporter: what is kept would go nowhere; name one, for example `exporters: [awsxray]`";
            diag.error(pipeline.id.at, format!("{path}.exporters"), message);
        }
        let exporters: Vec<_> = exporters
            .iter()
            .map(|reference| exporters::resolve(reference.component, diag))
            .collect();
        let telemetry = telemetry?;
        service::distinct_addresses(self, otlp.as_ref(), &telemetry, diag);
        Some(Settings {
            otlp: otlp?,
            memory_limiter: processors
                .memory_limiter
                .unwrap_or_else(MemoryLimiterSettings::when_absent),
            tail_sampling: processors.tail_sampling,
            batch: processors.batch,
            resource: processors.resource,
            exporters: exporters.into_iter().collect::<Option<Vec<_>>>()?,
            metrics: None,
            telemetry,
        })
    }

    /// The one traces pipeline.
    fn pipeline(&self, diag: &mut Diagnostics) -> Option<&PipelineConfig> {
        let [pipeline, more @ ..] = self.service.pipelines.as_slice() else {
            let message =
                "no pipeline; write `service: {pipelines: {traces: {receivers: [otlp], exporters: [...]}}}`";
            diag.error(self.service.at, "service.pipelines.traces", message);
            return None;
        };
        for more in more {
            let message = format!(
                "this version has one traces pipeline, and that is `{}`",
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

    /// What is defined and not used is checked as well, and warned of: it is not part of what runs.
    fn resolve_unused(&self, pipeline: Option<&PipelineConfig>, diag: &mut Diagnostics) {
        let used = |list: fn(&PipelineConfig) -> &[Spanned<ComponentId>]| pipeline.map_or(&[][..], list);
        let receivers = unused(&self.receivers, used(|p| &p.receivers), Role::Receiver, diag);
        receivers
            .into_iter()
            .for_each(|receiver| drop(receivers::resolve(receiver, diag)));
        let processors = unused(&self.processors, used(|p| &p.processors), Role::Processor, diag);
        processors
            .into_iter()
            .for_each(|processor| drop(processors::resolve(processor, diag)));
        let exporters = unused(&self.exporters, used(|p| &p.exporters), Role::Exporter, diag);
        exporters
            .into_iter()
            .for_each(|exporter| drop(exporters::resolve(exporter, diag)));
        unused(&self.extensions, &self.service.extensions, Role::Extension, diag);
    }
}

/// A component and the place where a pipeline names it.
#[derive(Debug)]
struct Reference<'c, T> {
    component: &'c Component<T>,
    at: Option<Position>,
    path: String,
}

/// The components that a pipeline names.
fn references<'c, T>(
    defined: &'c [Component<T>],
    named: &[Spanned<ComponentId>],
    (role, pipeline): (Role, &str),
    diag: &mut Diagnostics,
) -> Vec<Reference<'c, T>> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (index, id) in named.iter().enumerate() {
        let path = diag.item(&format!("{pipeline}.{}", role.section()), index);
        if !seen.insert(&id.value) {
            diag.error(id.at, path, format!("`{}` stands here twice", id.value));
            continue;
        }
        match defined.iter().find(|component| component.id.value == id.value) {
            Some(component) => found.push(Reference {
                component,
                at: id.at,
                path,
            }),
            None => undefined(defined, id, (role, path), diag),
        }
    }
    found
}

fn undefined<T>(
    defined: &[Component<T>],
    id: &Spanned<ComponentId>,
    (role, path): (Role, String),
    diag: &mut Diagnostics,
) {
    // Defined, and refused there: that says it all.
    if diag.is_silenced(&format!("{}.{}", role.section(), id.value)) {
        return;
    }
    let message = role.refusal(&id.value.kind).unwrap_or_else(|| {
        let names: Vec<String> = defined
            .iter()
            .map(|component| component.id.value.to_string())
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let hint = crate::catalog::did_you_mean(&id.value.to_string(), &names);
        format!("`{}` is not defined under `{}`{hint}", id.value, role.section())
    });
    diag.error(id.at, path, message);
}

fn unused<'c, T>(
    defined: &'c [Component<T>],
    named: &[Spanned<ComponentId>],
    role: Role,
    diag: &mut Diagnostics,
) -> Vec<&'c Component<T>> {
    let unused: Vec<_> = defined
        .iter()
        .filter(|component| named.iter().all(|id| id.value != component.id.value))
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

/// A component's path and the place of its key.
#[derive(Debug, Clone)]
struct Scope {
    path: String,
    at: Option<Position>,
}

impl Scope {
    fn of<T>(role: Role, component: &Component<T>) -> Self {
        Self {
            path: format!("{}.{}", role.section(), component.id.value),
            at: component.id.at,
        }
    }

    fn path(&self, key: &str) -> String {
        crate::tree::join(&self.path, key)
    }

    /// A map in this one.
    fn below(&self, key: &str) -> Self {
        Self {
            path: self.path(key),
            at: self.at,
        }
    }

    /// Where a setting stands, or where it would.
    fn place<T>(&self, field: &Field<T>) -> Option<Position> {
        field.as_ref().map_or(self.at, |field| field.at)
    }

    /// A setting that has no default.
    fn required<T: Clone>(
        &self,
        field: &Field<T>,
        (key, example): (&str, &str),
        diag: &mut Diagnostics,
    ) -> Option<T> {
        if field.is_none() {
            diag.error(
                self.at,
                self.path(key),
                format!("is required, for example `{example}`"),
            );
        }
        field.as_ref().map(|field| field.value.clone())
    }

    /// A number within bounds, or the default.
    fn within(
        &self,
        field: &Field<u64>,
        key: &str,
        bounds: (RangeInclusive<u64>, u64),
        diag: &mut Diagnostics,
    ) -> u64 {
        let (range, default) = bounds;
        let Some(field) = field else { return default };
        if !range.contains(&field.value) {
            let message = format!("{} is not from {} to {}", field.value, range.start(), range.end());
            diag.error(field.at, self.path(key), message);
        }
        field.value
    }

    /// A duration within bounds, or the default.
    fn duration(
        &self,
        field: &Field<GoDuration>,
        key: &str,
        bounds: (RangeInclusive<Duration>, Duration),
        diag: &mut Diagnostics,
    ) -> Duration {
        let (range, default) = bounds;
        let Some(field) = field else { return default };
        match field.value.to_std() {
            Some(value) if range.contains(&value) => value,
            Some(_) | None => {
                let (from, to) = (go(*range.start()), go(*range.end()));
                diag.error(
                    field.at,
                    self.path(key),
                    format!("{} is not from {from} to {to}", field.value),
                );
                default
            }
        }
    }
}

fn go(duration: Duration) -> GoDuration {
    GoDuration(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

fn or<T: Clone>(field: &Field<T>, default: T) -> T {
    field.as_ref().map_or(default, |field| field.value.clone())
}

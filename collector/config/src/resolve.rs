//! From what was written to what is true: references, ranges and what must not contradict each other.

mod address;
mod built;
mod client;
mod exporters;
mod pipelines;
mod processors;
mod prometheus;
mod receivers;
mod remote_write;
mod sampling;
mod service;
mod sigv4;
mod translation;
mod url;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::catalog::Role;
use crate::config::{Component, ComponentId, Config, Field, Spanned};
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
        let lines = pipelines::resolve(self, diag);
        let telemetry = telemetry?;
        service::distinct_addresses(self, &lines, &telemetry, diag);
        // None without such a pipeline, or after an error.
        let traces = lines.traces.unwrap_or_default();
        Some(Settings {
            otlp: lines.otlp?,
            memory_limiter: lines
                .memory_limiter
                .unwrap_or_else(MemoryLimiterSettings::when_absent),
            tail_sampling: traces.tail_sampling,
            batch: traces.batch,
            resource: traces.resource,
            exporters: traces.exporters,
            metrics: lines.metrics,
            telemetry,
        })
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

//! `processors`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::pipelines::Once;
use super::sampling::tail_sampling;
use super::{Reference, Scope, or};
use crate::catalog::Role;
use crate::config::{
    BatchConfig, Component, MemoryLimiterConfig, ProcessorConfig, ResourceConfig, ResourceVerb, Signal,
};
use crate::error::Diagnostics;
use crate::settings::{
    AttributeValue, BatchSettings, MIB, MemoryLimiterSettings, ResourceAction, ResourceOp,
    TailSamplingSettings,
};

/// The orders that have a meaning here.
const ORDER_OF_TRACES: &str = "[memory_limiter, tail_sampling, batch, resource]";
const ORDER_OF_METRICS: &str = "[memory_limiter, batch, resource]";
/// 1 TiB: more is a mistake in the unit.
const LIMIT_MIB_MAX: u64 = 1024 * 1024;
/// The limit of the first seed's configuration.
const DEFAULT_LIMIT_MIB: u64 = 400;
/// The spike limit of the first seed's configuration.
const DEFAULT_SPIKE_MIB: u64 = 100;
/// Upstream's type is 32 bits wide.
const BATCH_MAX: u64 = u32::MAX as u64;

impl MemoryLimiterSettings {
    /// What holds when the pipeline has no `memory_limiter`: 400 MiB, a spike of 100 MiB, looked at every second.
    pub(crate) fn when_absent() -> Self {
        Self {
            check_interval: Duration::from_secs(1),
            limit_bytes: DEFAULT_LIMIT_MIB * MIB,
            spike_bytes: DEFAULT_SPIKE_MIB * MIB,
        }
    }
}

/// The processors of the pipeline; None and empty where it has none.
#[derive(Debug, Default)]
pub(super) struct Processors {
    pub(super) memory_limiter: Option<MemoryLimiterSettings>,
    pub(super) tail_sampling: Option<TailSamplingSettings>,
    pub(super) batch: Option<BatchSettings>,
    pub(super) resource: Vec<ResourceAction>,
}

/// A processor, resolved.
#[derive(Debug, Clone)]
pub(super) enum Resolved {
    MemoryLimiter(MemoryLimiterSettings),
    TailSampling(Box<TailSamplingSettings>),
    Batch(BatchSettings),
    Resource(Vec<ResourceAction>),
}

/// Resolves the processors of a pipeline and checks that their order is the one that is built.
pub(super) fn in_order<'c>(
    processors: &[Reference<'c, ProcessorConfig>],
    signal: Signal,
    resolved: &mut Once<'c, Resolved>,
    diag: &mut Diagnostics,
) -> Processors {
    let order = match signal {
        Signal::Traces => ORDER_OF_TRACES,
        Signal::Metrics => ORDER_OF_METRICS,
    };
    let mut found = Processors::default();
    let mut last = 0;
    let mut seen = BTreeMap::new();
    for reference in processors {
        let processor = reference.component;
        let kind = processor.id.value.kind.as_str();
        let id = &processor.id.value;
        if let Some(first) = seen.insert(kind, id) {
            let message = format!("`{first}` and `{id}`: this version has one `{kind}`");
            diag.error(reference.at, &reference.path, message);
        }
        let is_of_traces = matches!(processor.config, ProcessorConfig::TailSampling(_));
        if signal == Signal::Metrics && is_of_traces {
            let message = format!("`{id}` decides about traces, and this is a metrics pipeline; take it out");
            diag.error(reference.at, &reference.path, message);
        }
        let stage = stage(&processor.config);
        if stage < last && !(signal == Signal::Metrics && is_of_traces) {
            let message = format!("`{id}` stands too late; the order is {order}, and each may be left out");
            diag.error(reference.at, &reference.path, message);
        }
        last = last.max(stage);
        match resolved.get(id, || resolve(processor, diag)) {
            Some(Resolved::MemoryLimiter(settings)) => found.memory_limiter = Some(settings),
            Some(Resolved::TailSampling(settings)) if signal == Signal::Traces => {
                found.tail_sampling = Some(*settings);
            }
            Some(Resolved::Batch(settings)) => found.batch = Some(settings),
            Some(Resolved::Resource(actions)) => found.resource.extend(actions),
            // An error of its own, or the one above.
            Some(Resolved::TailSampling(_)) | None => {}
        }
    }
    found
}

/// Batch and resource may change places: what one does, the other does not see.
fn stage(config: &ProcessorConfig) -> u8 {
    match config {
        ProcessorConfig::MemoryLimiter(_) => 0,
        ProcessorConfig::TailSampling(_) => 1,
        ProcessorConfig::Batch(_) | ProcessorConfig::Resource(_) => 2,
    }
}

pub(super) fn resolve(processor: &Component<ProcessorConfig>, diag: &mut Diagnostics) -> Option<Resolved> {
    let scope = Scope::of(Role::Processor, processor);
    match &processor.config {
        ProcessorConfig::MemoryLimiter(config) => {
            memory_limiter(&scope, config, diag).map(Resolved::MemoryLimiter)
        }
        ProcessorConfig::TailSampling(config) => {
            tail_sampling(&scope, config, diag).map(|settings| Resolved::TailSampling(Box::new(settings)))
        }
        ProcessorConfig::Batch(config) => Some(Resolved::Batch(batch(&scope, config, diag))),
        ProcessorConfig::Resource(config) => resource(&scope, config, diag).map(Resolved::Resource),
    }
}

fn memory_limiter(
    scope: &Scope,
    config: &MemoryLimiterConfig,
    diag: &mut Diagnostics,
) -> Option<MemoryLimiterSettings> {
    let example = ("check_interval", "check_interval: 1s");
    scope.required(&config.check_interval, example, diag);
    let bounds = (
        Duration::from_millis(1)..=Duration::from_secs(60),
        Duration::from_secs(1),
    );
    let check_interval = scope.duration(&config.check_interval, "check_interval", bounds, diag);
    let limit_mib = scope.required(&config.limit_mib, ("limit_mib", "limit_mib: 400"), diag)?;
    scope.within(&config.limit_mib, "limit_mib", (1..=LIMIT_MIB_MAX, 0), diag);
    let spike_mib = match or(&config.spike_limit_mib, 0) {
        // Upstream's default (`memorylimiter`).
        0 => limit_mib / 5,
        spike => spike,
    };
    if let Some(spike) = &config.spike_limit_mib
        && spike.value >= limit_mib
        && limit_mib > 0
    {
        let message = format!("{} is not below `limit_mib`, which is {limit_mib}", spike.value);
        diag.error(spike.at, scope.path("spike_limit_mib"), message);
    }
    Some(MemoryLimiterSettings {
        check_interval,
        limit_bytes: limit_mib.saturating_mul(MIB),
        spike_bytes: spike_mib.saturating_mul(MIB),
    })
}

fn batch(scope: &Scope, config: &BatchConfig, diag: &mut Diagnostics) -> BatchSettings {
    let bounds = (
        Duration::ZERO..=Duration::from_secs(3600),
        Duration::from_millis(200),
    );
    let settings = BatchSettings {
        timeout: scope.duration(&config.timeout, "timeout", bounds, diag),
        send_batch_size: scope.within(
            &config.send_batch_size,
            "send_batch_size",
            (0..=BATCH_MAX, 8192),
            diag,
        ),
        send_batch_max_size: scope.within(
            &config.send_batch_max_size,
            "send_batch_max_size",
            (0..=BATCH_MAX, 0),
            diag,
        ),
    };
    let (size, max) = (settings.send_batch_size, settings.send_batch_max_size);
    if max != 0 && max < size {
        let at = config.send_batch_max_size.as_ref().and_then(|field| field.at);
        let message = format!("{max} is below `send_batch_size`, which is {size}; 0 means no bound");
        diag.error(at, scope.path("send_batch_max_size"), message);
    }
    settings
}

fn resource(scope: &Scope, config: &ResourceConfig, diag: &mut Diagnostics) -> Option<Vec<ResourceAction>> {
    let example = (
        "attributes",
        "attributes: [{key: cluster_name, value: prod, action: upsert}]",
    );
    let actions = scope.required(&config.attributes, example, diag)?;
    if actions.is_empty() {
        let at = config.attributes.as_ref().and_then(|field| field.at);
        diag.error(at, scope.path("attributes"), "is empty");
    }
    let actions = actions.iter().enumerate().filter_map(|(index, action)| {
        let scope = Scope {
            path: diag.item(&scope.path("attributes"), index),
            at: action.at,
        };
        let action = &action.value;
        let key = scope.required(&action.key, ("key", "key: cluster_name"), diag);
        if key.as_ref().is_some_and(String::is_empty) {
            let at = action.key.as_ref().and_then(|key| key.at);
            diag.error(at, scope.path("key"), "is empty");
        }
        let verb = scope.required(&action.action, ("action", "action: upsert"), diag)?;
        let op = match verb {
            ResourceVerb::Delete => {
                if let Some(value) = &action.value {
                    diag.error(value.at, scope.path("value"), "`delete` takes no value");
                }
                ResourceOp::Delete
            }
            ResourceVerb::Insert | ResourceVerb::Update | ResourceVerb::Upsert => {
                let value = match action.value_from_env {
                    Some(name) => AttributeValue::String(format!("${{env:{name}}}")),
                    None => scope.required(&action.value, ("value", "value: prod"), diag)?,
                };
                match verb {
                    ResourceVerb::Insert => ResourceOp::Insert(value),
                    ResourceVerb::Update => ResourceOp::Update(value),
                    ResourceVerb::Upsert | ResourceVerb::Delete => ResourceOp::Upsert(value),
                }
            }
        };
        Some(ResourceAction { key: key?, op })
    });
    Some(actions.collect())
}

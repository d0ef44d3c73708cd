//! How OTLP metrics become series: what both exporters of series have.

use std::collections::BTreeSet;

use super::exporters::{not_empty, values};
use super::{Scope, or};
use crate::config::{LabelValue, ResourceLabelsConfig, Spanned, TranslationConfig};
use crate::error::Diagnostics;
use crate::settings::{LabelUnderscores, ResourcePromotion, TranslationSettings, TranslationStrategy};

pub(super) fn resolve(
    scope: &Scope,
    config: &TranslationConfig,
    diag: &mut Diagnostics,
) -> TranslationSettings {
    if let Some(namespace) = &config.namespace
        && !namespace.value.is_empty()
        && !is_metric_name(&namespace.value)
    {
        let message = format!(
            "every metric's name begins with it, so it has letters, digits and `_`, no digit first; write `{}`",
            sanitized(&namespace.value)
        );
        diag.error(namespace.at, scope.path("namespace"), message);
    }
    TranslationSettings {
        namespace: not_empty(&config.namespace),
        strategy: strategy(scope, config, diag),
        label_underscores: or(&config.label_underscores, LabelUnderscores::Collapse),
        promote: promotion(scope, config, diag),
        scope_info: !or(&config.no_scope_info, false),
    }
}

/// Upstream lets `translation_strategy` win over the older key without a word.
fn strategy(scope: &Scope, config: &TranslationConfig, diag: &mut Diagnostics) -> TranslationStrategy {
    let older = config
        .add_metric_suffixes
        .as_ref()
        .map(|suffixes| match suffixes.value {
            true => TranslationStrategy::UnderscoreEscapingWithSuffixes,
            false => TranslationStrategy::UnderscoreEscapingWithoutSuffixes,
        });
    if let (Some(suffixes), Some(_)) = (&config.add_metric_suffixes, &config.translation_strategy) {
        let message = "has no effect: `translation_strategy` says it, and upstream has deprecated this";
        diag.warn(suffixes.at, scope.path("add_metric_suffixes"), message);
    }
    let default = older.unwrap_or(TranslationStrategy::UnderscoreEscapingWithSuffixes);
    or(&config.translation_strategy, default)
}

/// Upstream's rules (its package `resourcetotelemetry`): the two ways do not mix.
fn promotion(scope: &Scope, config: &TranslationConfig, diag: &mut Diagnostics) -> ResourcePromotion {
    let (older, newer) = (
        &config.resource_to_telemetry_conversion,
        &config.resource_constant_labels,
    );
    let newer_scope = scope.below("resource_constant_labels");
    for (key, field) in [
        ("enabled", &newer.enabled),
        ("exclude_service_attributes", &newer.exclude_service_attributes),
    ] {
        if let Some(field) = field.as_ref().filter(|field| field.value) {
            let message = "is a setting of the older `resource_to_telemetry_conversion`; write `included: [\"*\"]` and \
                           `excluded`";
            diag.error(field.at, newer_scope.path(key), message);
        }
    }
    let older_scope = scope.below("resource_to_telemetry_conversion");
    if is_written(older) && is_written(newer) {
        let message = "says the same as `resource_constant_labels`, which is its newer name; take one away";
        diag.error(place(older).or(scope.at), older_scope.path.clone(), message);
    }
    if is_flagged(older) && has_patterns(older) {
        let message = "either `enabled` or patterns: take `enabled` and `exclude_service_attributes` away";
        diag.error(place(older).or(scope.at), older_scope.path.clone(), message);
    }
    for (scope, labels) in [(&older_scope, older), (&newer_scope, newer)] {
        for (key, patterns) in [("included", &labels.included), ("excluded", &labels.excluded)] {
            let items = patterns.iter().flat_map(|patterns| patterns.value.iter());
            for (index, pattern) in items.enumerate().filter(|(_, pattern)| pattern.value.is_empty()) {
                let path = diag.item(&scope.path(key), index);
                diag.error(pattern.at, path, "is empty: it would match nothing");
            }
        }
    }
    let patterns = if has_patterns(newer) { newer } else { older };
    if has_patterns(patterns) {
        return ResourcePromotion::Matching {
            included: values(&patterns.included),
            excluded: values(&patterns.excluded),
        };
    }
    if or(&older.enabled, false) {
        return ResourcePromotion::All {
            exclude_service_attributes: or(&older.exclude_service_attributes, false),
        };
    }
    ResourcePromotion::None
}

fn is_flagged(labels: &ResourceLabelsConfig) -> bool {
    or(&labels.enabled, false) || or(&labels.exclude_service_attributes, false)
}

fn has_patterns(labels: &ResourceLabelsConfig) -> bool {
    [&labels.included, &labels.excluded]
        .into_iter()
        .flatten()
        .any(|patterns| !patterns.value.is_empty())
}

fn is_written(labels: &ResourceLabelsConfig) -> bool {
    is_flagged(labels) || has_patterns(labels)
}

fn place(labels: &ResourceLabelsConfig) -> Option<crate::error::Position> {
    let flags = [&labels.enabled, &labels.exclude_service_attributes];
    let flags = flags.into_iter().flatten().find_map(|flag| flag.at);
    let lists = [&labels.included, &labels.excluded];
    flags.or_else(|| lists.into_iter().flatten().find_map(|list| list.at))
}

/// Labels of every series, sorted by name.
pub(super) fn labels(
    (scope, key): (&Scope, &str),
    labels: &[Spanned<(String, LabelValue)>],
    diag: &mut Diagnostics,
) -> Vec<(String, String)> {
    let mut seen = BTreeSet::new();
    for label in labels {
        let (name, value) = &label.value;
        let path = crate::tree::join(&scope.path(key), name);
        if !is_label_name(name) {
            let message = format!(
                "a label's name has letters, digits and `_`, no digit first; write `{}`",
                sanitized(name)
            );
            diag.error(label.at, path, message);
        } else if name == "__name__" {
            diag.error(label.at, path, "is the metric's own name");
        } else if !seen.insert(name) {
            diag.error(label.at, path, "stands here twice");
        } else if *value == LabelValue::Text(String::new()) {
            let message = "is empty: to Prometheus that is no label";
            diag.error(label.at, path, message);
        }
    }
    let mut labels: Vec<(String, String)> = labels
        .iter()
        .map(|label| match &label.value {
            (name, LabelValue::Text(value)) => (name.clone(), value.clone()),
            (name, LabelValue::Env(variable)) => (name.clone(), format!("${{env:{variable}}}")),
        })
        .collect();
    labels.sort();
    labels
}

/// Prometheus' data model.
fn is_label_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().all(is_allowed)
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.contains(|c| c != '_')
}

/// Prometheus' data model.
fn is_metric_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
    text.bytes().all(is_allowed) && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// A name that is allowed, and near to this one.
fn sanitized(text: &str) -> String {
    let allowed: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '_'
            }
        })
        .take(60)
        .collect();
    match allowed.trim_matches('_') {
        "" => "name".to_owned(),
        _ if allowed.starts_with(|c: char| c.is_ascii_digit()) => format!("_{allowed}"),
        _ => allowed,
    }
}

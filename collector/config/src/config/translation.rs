//! How OTLP metrics become series: what the exporters of series have in common.

use super::{Field, Spanned};
use crate::decode::{self, Choice, Cursor, Fields};
use crate::error::Diagnostics;
use crate::settings::{LabelUnderscores, TranslationStrategy};
use crate::tree::{self, Value};

/// How OTLP metrics become series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TranslationConfig {
    /// Default none.
    pub namespace: Field<String>,
    /// Default with suffixes, as upstream.
    pub translation_strategy: Field<TranslationStrategy>,
    /// The older key; only without `translation_strategy`. Default true.
    pub add_metric_suffixes: Field<bool>,
    /// The older key.
    pub resource_to_telemetry_conversion: ResourceLabelsConfig,
    /// Only without the older key.
    pub resource_constant_labels: ResourceLabelsConfig,
    /// True: no labels `otel_scope_*`. Default false, as upstream.
    pub no_scope_info: Field<bool>,
    /// `tracepipe.label_underscores`; default collapse, as upstream.
    pub label_underscores: Field<LabelUnderscores>,
}

/// `resource_to_telemetry_conversion` and `resource_constant_labels`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResourceLabelsConfig {
    /// The older key only. Default false.
    pub enabled: Field<bool>,
    /// The older key only. Default false.
    pub exclude_service_attributes: Field<bool>,
    /// Not together with the two above.
    pub included: Field<Vec<Spanned<String>>>,
    /// Not together with the two above.
    pub excluded: Field<Vec<Spanned<String>>>,
}

/// The value of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelValue {
    /// As it is.
    Text(String),
    /// Only in a configuration that was built: written as `${env:NAME}`, for the collector to fill in. A name of the
    /// program's own, so that no text from elsewhere can get here.
    Env(&'static str),
}

/// A map of label names and values.
pub(super) fn labels(
    fields: &mut Fields<'_>,
    key: &'static str,
    diag: &mut Diagnostics,
) -> Vec<Spanned<(String, LabelValue)>> {
    let labels = fields.get(diag, key, |cursor, diag| {
        let Value::Map(entries) = &cursor.node.value else {
            cursor.error(diag, "a map of label names and values is wanted");
            return None;
        };
        let labels = entries.iter().filter_map(|entry| {
            let cursor = Cursor {
                node: &entry.value,
                path: tree::join(&cursor.path, &entry.key),
            };
            let text = if entry.value.is_null() {
                String::new()
            } else {
                decode::text(&cursor, diag)?
            };
            Some(Spanned {
                value: (entry.key.clone(), LabelValue::Text(text)),
                at: Some(entry.key_at),
            })
        });
        Some(labels.collect::<Vec<_>>())
    });
    labels.map(|labels| labels.value).unwrap_or_default()
}

pub(super) fn translation(
    fields: &mut Fields<'_>,
    scope_key: &'static str,
    diag: &mut Diagnostics,
) -> TranslationConfig {
    let mut resource = |key, diag: &mut Diagnostics| {
        fields
            .get(diag, key, resource_labels)
            .map(|labels| labels.value)
            .unwrap_or_default()
    };
    let resource_to_telemetry_conversion = resource("resource_to_telemetry_conversion", diag);
    let resource_constant_labels = resource("resource_constant_labels", diag);
    TranslationConfig {
        namespace: fields.get(diag, "namespace", decode::text),
        translation_strategy: fields.get(diag, "translation_strategy", strategy),
        add_metric_suffixes: fields.get(diag, "add_metric_suffixes", decode::boolean),
        resource_to_telemetry_conversion,
        resource_constant_labels,
        no_scope_info: fields.get(diag, scope_key, decode::boolean),
        label_underscores: None,
    }
}

fn resource_labels(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<ResourceLabelsConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let texts = |cursor: &Cursor<'_>, diag: &mut Diagnostics| decode::list(cursor, diag, decode::text);
    let config = ResourceLabelsConfig {
        enabled: fields.get(diag, "enabled", decode::boolean),
        exclude_service_attributes: fields.get(diag, "exclude_service_attributes", decode::boolean),
        included: fields.get(diag, "included", texts),
        excluded: fields.get(diag, "excluded", texts),
    };
    fields.finish(diag);
    Some(config)
}

const STRATEGIES: Choice<TranslationStrategy> = Choice {
    supported: &[
        (
            "UnderscoreEscapingWithSuffixes",
            TranslationStrategy::UnderscoreEscapingWithSuffixes,
        ),
        (
            "UnderscoreEscapingWithoutSuffixes",
            TranslationStrategy::UnderscoreEscapingWithoutSuffixes,
        ),
    ],
    also: &[],
    upstream: &[],
};

fn strategy(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<TranslationStrategy> {
    if let Value::Scalar(scalar) = &cursor.node.value {
        let advice = match scalar.text.as_str() {
            "NoUTF8EscapingWithSuffixes" => "UnderscoreEscapingWithSuffixes",
            "NoTranslation" => "UnderscoreEscapingWithoutSuffixes",
            _ => return STRATEGIES.decode(cursor, diag),
        };
        let message = format!(
            "keeps names in UTF-8, which neither remote write 1.0 nor the text format of a scrape can carry; write \
             `{advice}`"
        );
        cursor.error(diag, message);
        return None;
    }
    STRATEGIES.decode(cursor, diag)
}

const UNDERSCORES: Choice<LabelUnderscores> = Choice {
    supported: &[
        ("collapse", LabelUnderscores::Collapse),
        ("preserve", LabelUnderscores::Preserve),
    ],
    also: &[],
    upstream: &[],
};

pub(super) fn label_underscores(fields: &mut Fields<'_>, diag: &mut Diagnostics) -> Field<LabelUnderscores> {
    fields.get(diag, "label_underscores", |cursor, diag| {
        UNDERSCORES.decode(cursor, diag)
    })
}

//! Attributes as the exporter reads them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Number, Value};
use tracepipe_otlp::SpanId;
use tracepipe_otlp::view::{AnyValue, KeyValue, Span};

/// Attributes that no facet has taken yet: of two with the same name, the last.
pub(super) type Remaining<'a> = BTreeMap<&'a str, &'a AnyValue<'a>>;

/// A span, or a copy of it that was edited.
#[derive(Debug, Clone)]
pub(super) struct Input<'a> {
    pub(super) resource: &'a [KeyValue<'a>],
    pub(super) span: &'a Span<'a>,
    pub(super) span_id: SpanId,
    pub(super) parent_id: Option<SpanId>,
    pub(super) attributes: Attributes<'a>,
}

impl<'a> Input<'a> {
    pub(super) fn new(resource: &'a [KeyValue<'a>], span: &'a Span<'a>) -> Self {
        Self {
            resource,
            span,
            span_id: span.span_id,
            parent_id: span.parent_span_id,
            attributes: Attributes::new(&span.attributes),
        }
    }
}

/// Attributes in order.
#[derive(Debug, Clone)]
pub(super) struct Attributes<'a>(Vec<(&'a str, &'a AnyValue<'a>)>);

impl<'a> Attributes<'a> {
    pub(super) fn new(list: &'a [KeyValue<'a>]) -> Self {
        Self(list.iter().map(|pair| (&*pair.key, &pair.value)).collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a str, &'a AnyValue<'a>)> + '_ {
        self.0.iter().copied()
    }

    /// The first of this name.
    pub(super) fn get(&self, name: &str) -> Option<&'a AnyValue<'a>> {
        self.0
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| *value)
    }

    /// The text of the first of this name; empty when there is none.
    pub(super) fn text(&self, name: &str) -> &'a str {
        self.get(name).map_or("", text)
    }

    /// Removes the first of this name; the last attribute takes its place.
    pub(super) fn remove(&mut self, name: &str) {
        if let Some(index) = self.0.iter().position(|(key, _)| *key == name) {
            self.0.swap_remove(index);
        }
    }
}

/// Empty when the value is no string.
pub(super) fn text<'a>(value: &'a AnyValue<'_>) -> &'a str {
    if let AnyValue::String(text) = value {
        text
    } else {
        ""
    }
}

/// 0 when the value is no integer.
pub(super) fn int(value: &AnyValue<'_>) -> i64 {
    if let AnyValue::Int(number) = value {
        *number
    } else {
        0
    }
}

/// A string, or an integer in decimal.
pub(super) fn text_or_int(value: &AnyValue<'_>) -> String {
    match text(value) {
        "" => int(value).to_string(),
        text => text.to_owned(),
    }
}

/// Stands for a double that JSON has not: a document with it cannot be written.
const NO_NUMBER: &str = "\u{10ffff} no number";

/// Whether a document can be written.
pub(super) fn is_json(value: &Value) -> bool {
    match value {
        Value::String(text) => text != NO_NUMBER,
        Value::Array(items) => items.iter().all(is_json),
        Value::Object(object) => object.values().all(is_json),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

/// The value as JSON; nothing for the value that is none.
pub(super) fn raw(value: &AnyValue<'_>) -> Option<Value> {
    Some(match value {
        AnyValue::Empty => return None,
        AnyValue::String(text) => text.as_ref().into(),
        AnyValue::Bool(flag) => (*flag).into(),
        AnyValue::Int(number) => (*number).into(),
        AnyValue::Double(number) => Number::from_f64(*number).map_or_else(|| NO_NUMBER.into(), Value::Number),
        AnyValue::Array(items) => items.iter().map(|item| raw(item).unwrap_or_default()).collect(),
        AnyValue::Map(pairs) => raw_map(pairs),
        AnyValue::Bytes(bytes) if bytes.is_empty() => Value::Null,
        AnyValue::Bytes(bytes) => STANDARD.encode(bytes).into(),
    })
}

/// All of a map; of two members with the same name, the last.
pub(super) fn raw_map(pairs: &[KeyValue<'_>]) -> Value {
    let members = pairs.iter().map(|pair| {
        (
            pair.key.clone().into_owned(),
            raw(&pair.value).unwrap_or_default(),
        )
    });
    Value::Object(members.collect())
}

/// The value of an annotation; nothing when it cannot be one.
pub(super) fn annotation(value: &AnyValue<'_>) -> Option<Value> {
    match value {
        AnyValue::String(_) | AnyValue::Bool(_) | AnyValue::Int(_) | AnyValue::Double(_) => raw(value),
        AnyValue::Empty | AnyValue::Array(_) | AnyValue::Map(_) | AnyValue::Bytes(_) => None,
    }
}

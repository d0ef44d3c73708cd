//! `user`, `annotations` and `metadata`: where attributes go that no facet took.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use tracepipe_otlp::view::AnyValue;

use super::input::{Input, Remaining, annotation, raw, text};
use super::{Translator, put_text};

const METADATA: &str = "aws.xray.metadata.";

/// Adds them to the document.
pub(super) fn store<'a>(
    translator: &'a Translator,
    input: &Input<'a>,
    mut remaining: Remaining<'a>,
    is_subsegment: bool,
    document: &mut Map<String, Value>,
) {
    for name in &translator.indexed {
        if let Some(value) = input.attributes.get(name) {
            remaining.entry(name).or_insert(value);
        }
    }
    if let Some(user) = remaining.remove("enduser.id") {
        put_text(document, "user", text(user));
    }
    let resource = if is_subsegment { &[] } else { input.resource };
    if remaining.is_empty() && resource.is_empty() {
        return;
    }
    let mut indexed: BTreeSet<&str> = BTreeSet::new();
    if !translator.index_all {
        indexed.extend(translator.indexed.iter().map(String::as_str));
    }
    if let Some(AnyValue::Array(names)) = remaining.get("aws.xray.annotations").copied() {
        let strings = names.iter().filter(|name| matches!(name, AnyValue::String(_)));
        indexed.extend(strings.map(text));
        remaining.remove("aws.xray.annotations");
    }
    let is_indexed = |name: &str| translator.index_all || indexed.contains(name);

    let mut annotations = Map::new();
    let mut metadata = Map::new();
    let mut default = Map::new();
    for pair in resource {
        let key = format!("otel.resource.{}", pair.key);
        match annotation(&pair.value) {
            Some(value) if is_indexed(&key) => {
                annotations.insert(fixed(&key), value);
            }
            _ => default.extend(raw(&pair.value).map(|value| (key, value))),
        }
    }
    for (key, value) in remaining {
        let namespace = key.strip_prefix(METADATA);
        if is_indexed(key) {
            annotations.extend(annotation(value).map(|value| (fixed(key), value)));
        } else if let (Some(namespace), AnyValue::String(json)) = (namespace, value) {
            match object(json) {
                None => {
                    default.insert(key.to_owned(), json.as_ref().into());
                }
                Some(object) if namespace.eq_ignore_ascii_case("default") => {
                    default.extend(object.into_iter().flatten());
                }
                Some(object) => {
                    metadata.insert(namespace.to_owned(), object.into());
                }
            }
        } else {
            default.extend(raw(value).map(|value| (key.to_owned(), value)));
        }
    }
    if !default.is_empty() {
        metadata.insert("default".into(), default.into());
    }
    for (name, map) in [("annotations", annotations), ("metadata", metadata)] {
        if !map.is_empty() {
            document.insert(name.into(), map.into());
        }
    }
}

/// A JSON object, or the `null` that can stand for one; nothing when the text is neither.
fn object(json: &str) -> Option<Option<Map<String, Value>>> {
    let mut object: Option<Map<String, Value>> = serde_json::from_str(json).ok()?;
    object.iter_mut().flat_map(Map::values_mut).for_each(as_doubles);
    Some(object)
}

/// Every number of a JSON text is read as a double.
fn as_doubles(value: &mut Value) {
    match value {
        Value::Number(number) => *value = number.as_f64().into(),
        Value::Array(items) => items.iter_mut().for_each(as_doubles),
        Value::Object(object) => object.values_mut().for_each(as_doubles),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// A name that an annotation can have; the feature gate for dots is on by default.
fn fixed(key: &str) -> String {
    key.chars()
        .map(|it| {
            if it.is_ascii_alphanumeric() || it == '.' {
                it
            } else {
                '_'
            }
        })
        .collect()
}

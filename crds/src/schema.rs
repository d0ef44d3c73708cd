//! What the API server says of a document before any rule is evaluated: nulls, defaults, unknown fields, types, bounds.
//! As much of JSON schema as [`crate::generate`] writes, read from the same schema, so that the two cannot disagree.

use std::borrow::Cow;

use regex::Regex;
use serde_json::{Map, Value};

/// What is said of a field that is like no other in its place.
pub(crate) const UNKNOWN: &str = "unknown field";

/// Something in a document that the schema does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where, for example `spec.sampling.policies[1].name`.
    pub(crate) path: String,
    /// What is wrong and what would be right.
    pub(crate) message: String,
}

/// Completes a value as the API server does before it validates: null is the same as left out, what is left out gets
/// its default, a number without a fraction is a whole number.
pub(crate) fn complete(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, value| !value.is_null() || member(schema, name).is_none());
            for (name, property) in properties(schema) {
                if let Some(default) = property.get("default") {
                    members.entry(name.as_str()).or_insert_with(|| default.clone());
                }
            }
            for (name, value) in members {
                if let Some(schema) = member(schema, name) {
                    complete(value, schema);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                items.iter_mut().for_each(|item| complete(item, schema));
            }
        }
        Value::Number(number) => {
            let whole = number.as_f64().filter(|it| number.is_f64() && it.fract() == 0.0);
            if let Some(whole) = whole.and_then(|whole| format!("{whole:.0}").parse::<i64>().ok()) {
                *value = Value::from(whole);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Everything in a completed value that its schema does not allow. `path` is where the value stands.
pub(crate) fn check(value: &Value, schema: &Value, path: &str, found: &mut Vec<Problem>) {
    if let Some(message) = wrong_type(value, schema) {
        let path = path.to_owned();
        found.push(Problem { path, message });
        return;
    }
    match value {
        Value::Object(members) => object(members, schema, path, found),
        Value::Array(items) => array(items, schema, path, found),
        Value::String(text) => found.extend(string(text, schema).map(|message| at(path, message))),
        Value::Number(number) => found.extend(bounds(number, schema).map(|message| at(path, message))),
        Value::Null | Value::Bool(_) => {}
    }
}

/// The path of a member: `spec.region`, or `spec` at the root.
pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// Of `candidates`, the one that was most likely meant.
pub(crate) fn similar<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let most = lower.chars().count().div_ceil(3);
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Where a schema has a field of this name: `spec.sampling.keepErrors`.
pub(crate) fn places(schema: &Value, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (own, below) in properties(schema) {
        if own == name {
            found.push(own.clone());
        }
        let below = below.get("items").unwrap_or(below);
        found.extend(places(below, name).into_iter().map(|path| join(own, &path)));
    }
    found
}

fn at(path: &str, message: impl Into<String>) -> Problem {
    Problem {
        path: path.to_owned(),
        message: message.into(),
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

/// The schema of a member: of its name, or of any name.
fn member<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let named = schema
        .get("properties")
        .and_then(|properties| properties.get(name));
    named.or_else(|| schema.get("additionalProperties"))
}

fn count(schema: &Value, bound: &str) -> Option<usize> {
    schema.get(bound)?.as_u64()?.try_into().ok()
}

fn wrong_type(value: &Value, schema: &Value) -> Option<String> {
    let int_or_string = schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true));
    if int_or_string
        && value
            .as_i64()
            .is_some_and(|number| i32::try_from(number).is_err())
    {
        // More than the types can hold, and far more than the rule of any such field allows.
        let message = schema.pointer("/x-kubernetes-validations/0/message")?;
        return message.as_str().map(str::to_owned);
    }
    let (wanted, right) = match schema.get("type").and_then(Value::as_str) {
        _ if int_or_string => ("a whole number or a string", value.is_i64() || value.is_string()),
        Some("object") => ("an object", value.is_object()),
        Some("array") => ("a list", value.is_array()),
        Some("string") => ("a string", value.is_string()),
        Some("boolean") => ("true or false", value.is_boolean()),
        Some("integer") => ("a whole number", value.is_i64()),
        Some(_) | None => return None,
    };
    let hint = match value.as_number() {
        Some(number) if wanted.ends_with("string") => format!(" (in quotes: \"{number}\")"),
        Some(_) | None => String::new(),
    };
    (!right).then(|| format!("must be {wanted}, not {}{hint}", what(value)))
}

/// A value in words, short enough for a message.
fn what(value: &Value) -> Cow<'static, str> {
    match value {
        Value::Null => "null".into(),
        Value::Bool(it) => it.to_string().into(),
        Value::Number(it) => it.to_string().into(),
        Value::String(_) => "a string".into(),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}

fn object(members: &Map<String, Value>, schema: &Value, path: &str, found: &mut Vec<Problem>) {
    let required = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    for name in required.filter_map(Value::as_str) {
        if !members.contains_key(name) {
            found.push(at(&join(path, name), "is required"));
        }
    }
    if let Some(most) = count(schema, "maxProperties").filter(|most| members.len() > *most) {
        found.push(at(path, format!("must not have more than {most} members")));
    }
    for (name, value) in members {
        let path_of_member = join(path, name);
        match member(schema, name) {
            Some(schema) => check(value, schema, &path_of_member, found),
            None => {
                let names = properties(schema).map(|(name, _)| name.as_str());
                let message = match similar(name, names) {
                    Some(meant) => format!("unknown field; did you mean {meant}?"),
                    None => UNKNOWN.to_owned(),
                };
                found.push(at(&path_of_member, message));
            }
        }
    }
}

fn array(items: &[Value], schema: &Value, path: &str, found: &mut Vec<Problem>) {
    if let Some(least) = count(schema, "minItems").filter(|least| items.len() < *least) {
        found.push(at(path, format!("must have at least {least} item")));
    }
    if let Some(most) = count(schema, "maxItems").filter(|most| items.len() > *most) {
        found.push(at(path, format!("must not have more than {most} items")));
    }
    let keys: Vec<&str> = match schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array) {
        Some(keys) => keys.iter().filter_map(Value::as_str).collect(),
        None => Vec::new(),
    };
    let list_type = schema.get("x-kubernetes-list-type").and_then(Value::as_str);
    let mut seen: Vec<Vec<&Value>> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let identity = match list_type {
            Some("map") => keys.iter().filter_map(|key| item.get(key)).collect(),
            Some("set") => vec![item],
            Some(_) | None => Vec::new(),
        };
        if !identity.is_empty() && seen.contains(&identity) {
            let identity: Vec<String> = identity.iter().map(ToString::to_string).collect();
            found.push(at(
                &path,
                format!("{} is in the list already", identity.join(", ")),
            ));
        }
        seen.push(identity);
        if let Some(schema) = schema.get("items") {
            check(item, schema, &path, found);
        }
    }
}

fn string(text: &str, schema: &Value) -> Option<String> {
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        let choices: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
        if choices.contains(&text) {
            return None;
        }
        let meant = similar(text, choices.iter().copied()).map(|meant| format!("; did you mean {meant}?"));
        let choices = choices.join(", ");
        return Some(format!(
            "must be one of {choices}, not \"{text}\"{}",
            meant.unwrap_or_default()
        ));
    }
    let length = text.chars().count();
    if let Some(least) = count(schema, "minLength").filter(|least| length < *least) {
        return Some(format!("must have at least {least} character"));
    }
    if let Some(most) = count(schema, "maxLength").filter(|most| length > *most) {
        return Some(format!("must have at most {most} characters"));
    }
    let pattern = schema.get("pattern").and_then(Value::as_str)?;
    // Patterns are ours; a test holds that each can be read.
    let matches = Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text));
    (!matches).then(|| format!("\"{text}\" does not match {pattern}"))
}

fn bounds(number: &serde_json::Number, schema: &Value) -> Option<String> {
    let number = number.as_i64()?;
    let bound = |name: &str| schema.get(name).and_then(Value::as_i64);
    let (least, most) = (bound("minimum"), bound("maximum"));
    if least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most) {
        return None;
    }
    Some(match (least, most) {
        (Some(least), Some(most)) => format!("must be from {least} to {most}"),
        (Some(least), None) => format!("must be at least {least}"),
        (None, most) => format!("must be at most {}", most.unwrap_or_default()),
    })
}

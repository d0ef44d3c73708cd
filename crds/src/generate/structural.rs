//! From the schema that `schemars` makes of types to a structural schema of Kubernetes:
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema>

use serde_json::{Map, Value, json};

/// Rewrites a schema and all below it.
pub(super) fn rewrite(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else {
        return;
    };
    for word in ["$schema", "title", "nullable"] {
        members.remove(word);
    }
    not_null(members);
    plain_enum(members);
    numbers(members);
    if let Some(Value::String(text)) = members.get_mut("description") {
        *text = one_paragraph(text);
    }
    for below in below_mut(members) {
        rewrite(below);
    }
    defaults_of_members(members);
}

/// Adds bounds and default to the text of each member that has them: `kubectl explain` prints texts and enums alone.
/// <https://github.com/kubernetes/kubectl/blob/v0.34.4/pkg/explain/v2/templates/plaintext.tmpl>
pub(super) fn explain(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else {
        return;
    };
    for below in below_mut(members) {
        explain(below);
    }
    let added: String = [bounds(members), default(members)]
        .into_iter()
        .flatten()
        .map(|text| format!(" {text}"))
        .collect();
    if let Some(Value::String(text)) = members.get_mut("description") {
        text.push_str(&added);
    }
}

/// The bounds of a number, as [`explain`] says them.
pub(crate) fn bounds(members: &Map<String, Value>) -> Option<String> {
    match (members.get("minimum"), members.get("maximum")) {
        (Some(least), Some(most)) => Some(format!("From {least} to {most}.")),
        (Some(least), None) => Some(format!("At least {least}.")),
        (None, Some(most)) => Some(format!("At most {most}.")),
        (None, None) => None,
    }
}

/// The default of a scalar, as [`explain`] says it. The members of an object say their own, and what a list's default
/// means stands in its text.
pub(crate) fn default(members: &Map<String, Value>) -> Option<String> {
    match members.get("default")? {
        Value::String(text) => Some(format!("Default: {text}.")),
        scalar @ (Value::Bool(_) | Value::Number(_)) => Some(format!("Default: {scalar}.")),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Removes every default below `schema` but that of `observedGeneration`: what the operator has not said is absent.
pub(super) fn without_defaults(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else {
        return;
    };
    members.remove("default");
    if let Some(Value::Object(properties)) = members.get_mut("properties") {
        for (name, property) in properties {
            if name != "observedGeneration" {
                without_defaults(property);
            }
        }
    }
    if let Some(items) = members.get_mut("items") {
        without_defaults(items);
    }
}

/// The schemas one level down.
fn below_mut(members: &mut Map<String, Value>) -> Vec<&mut Value> {
    let mut below = Vec::new();
    for (word, value) in members {
        match (word.as_str(), value) {
            ("properties", Value::Object(properties)) => below.extend(properties.values_mut()),
            ("items" | "additionalProperties", schema) => below.push(schema),
            _ => {}
        }
    }
    below
}

/// `Option<T>` is T: what is left out is absent, and null is not a way to leave something out. The text of the field
/// stands above that of its type.
fn not_null(members: &mut Map<String, Value>) {
    if let Some(Value::Array(kinds)) = members.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            let kind = kind.clone();
            members.insert("type".to_owned(), kind);
        }
    }
    if let Some(Value::Array(mut choices)) = members.remove("anyOf") {
        choices.retain(|choice| *choice != json!({ "type": "null" }));
        if let [Value::Object(choice)] = choices.as_mut_slice() {
            for (word, value) in std::mem::take(choice) {
                members.entry(word).or_insert(value);
            }
        }
    }
}

/// A documented unit variant is `{const, description}` in a `oneOf`. API servers take `enum` only, and explain shows
/// the description of the field alone: the variants' texts go there.
fn plain_enum(members: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = members.remove("oneOf") else {
        return;
    };
    let mut texts = Vec::new();
    let mut names = Vec::new();
    for choice in choices {
        let Some(name) = choice.get("const").and_then(Value::as_str) else {
            // An undocumented group of variants.
            names.extend(
                choice
                    .get("enum")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .cloned(),
            );
            continue;
        };
        if let Some(text) = choice.get("description").and_then(Value::as_str) {
            texts.push(format!("`{name}`: {}", lower_first(&one_paragraph(text))));
        }
        names.push(json!(name));
    }
    let own = members
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let text = [own.to_owned(), texts.join(" ")].join(" ");
    members.insert("description".to_owned(), json!(text.trim()));
    members.insert("type".to_owned(), json!("string"));
    members.insert("enum".to_owned(), Value::Array(names));
}

/// API servers warn of integer formats that they do not know, and bounds of whole numbers are whole numbers.
fn numbers(members: &mut Map<String, Value>) {
    let unknown = |format: &Value| format.as_str().is_some_and(|format| format.starts_with("uint"));
    if members.get("format").is_some_and(unknown) {
        members.remove("format");
    }
    if members.get("type").is_some_and(|kind| kind == "integer") {
        for bound in ["minimum", "maximum"] {
            let whole = members
                .get(bound)
                .and_then(Value::as_f64)
                .map(|bound| format!("{bound:.0}"));
            if let Some(whole) = whole.and_then(|whole| whole.parse::<i64>().ok()) {
                members.insert(bound.to_owned(), json!(whole));
            }
        }
    }
}

/// What an object's default says of a member is the member's default as well: `limits: {cpu: "1"}` keeps the limit of
/// memory.
fn defaults_of_members(members: &mut Map<String, Value>) {
    let Some(Value::Object(defaults)) = members.get("default").cloned() else {
        return;
    };
    if let Some(Value::Object(properties)) = members.get_mut("properties") {
        for (name, default) in defaults {
            if let Some(property) = properties.get_mut(&name).and_then(Value::as_object_mut) {
                property.entry("default").or_insert(default);
            }
        }
    }
}

fn one_paragraph(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// In the middle of a sentence; words such as `IAM` stay.
fn lower_first(text: &str) -> String {
    let mut rest = text.chars();
    match (rest.next(), text.chars().nth(1)) {
        (Some(first), second) if second.is_none_or(|second| !second.is_uppercase()) => {
            first.to_lowercase().chain(rest).collect()
        }
        _ => text.to_owned(),
    }
}

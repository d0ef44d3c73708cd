//! Documents without what is random in them, and their differences for people to read.

use std::collections::BTreeMap;

use serde_json::Value;

/// The documents of one span; each random id is the number of its first appearance.
pub(crate) struct Normal(Vec<Value>);

impl Normal {
    pub(crate) fn new(mut documents: Vec<Value>) -> Self {
        let mut ids = Ids::default();
        if let [dependency, service] = documents.as_mut_slice() {
            // What is above the call is a segment that no span has.
            ids.name(&mut service["id"]);
            ids.name(&mut dependency["parent_id"]);
        }
        for document in &mut documents {
            let exceptions = document
                .get_mut("cause")
                .and_then(|cause| cause.get_mut("exceptions"))
                .and_then(Value::as_array_mut);
            for exception in exceptions.into_iter().flatten() {
                ids.name(&mut exception["id"]);
                if let Some(cause) = exception.get_mut("cause") {
                    ids.name(cause);
                }
            }
        }
        Self(documents)
    }
}

#[derive(Default)]
struct Ids(BTreeMap<String, usize>);

impl Ids {
    /// What is no id is left as it is, and shows.
    fn name(&mut self, id: &mut Value) {
        let Some(text) = id.as_str().filter(|it| it.len() == 16) else {
            return;
        };
        let next = self.0.len();
        let number = *self.0.entry(text.to_owned()).or_insert(next);
        *id = format!("random {number}").into();
    }
}

/// A line for each place where they differ; none when they are equal.
pub(crate) fn differences(theirs: Normal, model: Normal) -> Vec<String> {
    let (theirs, model) = (Value::Array(theirs.0), Value::Array(model.0));
    let mut found = Vec::new();
    walk("", Some(&theirs), Some(&model), &mut found);
    found
}

fn walk(path: &str, theirs: Option<&Value>, model: Option<&Value>, found: &mut Vec<String>) {
    match (theirs, model) {
        (Some(Value::Object(theirs)), Some(Value::Object(model))) => {
            let mut keys: Vec<&String> = theirs.keys().chain(model.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                walk(&format!("{path}/{key}"), theirs.get(key), model.get(key), found);
            }
        }
        (Some(Value::Array(theirs)), Some(Value::Array(model))) => {
            for index in 0..theirs.len().max(model.len()) {
                walk(
                    &format!("{path}/{index}"),
                    theirs.get(index),
                    model.get(index),
                    found,
                );
            }
        }
        (Some(Value::Number(theirs)), Some(Value::Number(model))) if same_number(theirs, model) => {}
        (theirs, model) if theirs == model => {}
        (theirs, model) => {
            let text = |it: Option<&Value>| it.map_or("nothing".to_owned(), Value::to_string);
            found.push(format!(
                "{path}: upstream {}, model {}",
                text(theirs),
                text(model)
            ));
        }
    }
}

/// Equal as doubles. What `serde_json` reads of a fraction can be the double beside the nearest.
fn same_number(theirs: &serde_json::Number, model: &serde_json::Number) -> bool {
    if theirs == model {
        return true;
    }
    if theirs.is_i64() && model.is_i64() {
        return false;
    }
    let (Some(theirs), Some(model)) = (theirs.as_f64(), model.as_f64()) else {
        return false;
    };
    theirs == model || theirs.to_bits().abs_diff(model.to_bits()) <= 1
}

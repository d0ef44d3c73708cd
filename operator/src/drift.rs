//! Whether an object in the cluster still is what was applied. Pure. It is asked before every write, so that a steady
//! state has no writes at all.

mod clashes;

use serde_json::{Map, Value, json};

use crate::names::{APPLIED_ANNOTATION, MANAGER};
use crate::plan::hash_of;

pub(crate) use clashes::clashes;

/// Lists whose elements belong to their writers one by one, and the members that name an element, as in the API's
/// `x-kubernetes-list-map-keys`. An element that we do not set is somebody else's; every other list is ours whole, with
/// all that its elements hold.
const LISTS_BY_KEY: [(&str, &[&str]); 8] = [
    ("containers", &["name"]),
    ("env", &["name"]),
    ("volumes", &["name"]),
    ("volumeMounts", &["mountPath"]),
    ("imagePullSecrets", &["name"]),
    ("ownerReferences", &["uid"]),
    ("ports", &["containerPort", "protocol"]),
    ("ports", &["port", "protocol"]),
];

/// Maps that the API treats as one value (`x-kubernetes-map-type: atomic`): a key that was added changes our field.
const WHOLE_MAPS: [&str; 4] = [
    "nodeSelector",
    "selector",
    "fieldRef",
    "requiredDuringSchedulingIgnoredDuringExecution",
];

/// The first field of `desired` that `live` does not have as it shall be; None when there is none.
pub(crate) fn first_difference(desired: &Value, live: &Value) -> Option<String> {
    let mut at = Vec::new();
    differs(desired, live, &mut at).then(|| at.join(".").replace(".[", "["))
}

/// True when our field manager has applied `live`. It has not when somebody reset `metadata.managedFields`; then a
/// later apply could not take back what is no longer set.
pub(crate) fn is_applied(live: &Value) -> bool {
    live.pointer("/metadata/managedFields")
        .and_then(Value::as_array)
        .is_some_and(|entries| entries.iter().any(|entry| is_by_us(entry, "Apply")))
}

/// Tells one state of an object from another, but for what changes by itself.
pub(crate) fn state_of(live: &Value) -> String {
    let mut state = live.clone();
    if let Some(object) = state.as_object_mut() {
        object.remove("status");
    }
    if let Some(metadata) = state.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| !["managedFields", "resourceVersion", "generation"].contains(&key.as_str()));
    }
    hash_of(&state)
}

/// True when `live` was made by our first write (an update by the API's lights) and not yet by an apply. Until it is
/// handed over, a field that we no longer set would stay.
pub(crate) fn is_of_first_write(live: &Value) -> bool {
    !hand_over(live).is_empty()
}

/// A patch that turns what our first write made ours into what an apply made ours.
pub(crate) fn hand_over(live: &Value) -> Vec<Value> {
    let entries = live
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let ours = entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| is_first_write(entry));
    ours.map(|(index, _)| {
        let path = format!("/metadata/managedFields/{index}/operation");
        json!({ "op": "replace", "path": path, "value": "Apply" })
    })
    .collect()
}

/// The patch for `live` as it was read: it fails when the object was written since.
pub(crate) fn if_unchanged(live: &Value, operations: Vec<Value>) -> Vec<Value> {
    let version = live.pointer("/metadata/resourceVersion");
    let test = json!({ "op": "test", "path": "/metadata/resourceVersion", "value": version });
    std::iter::once(test).chain(operations).collect()
}

fn is_first_write(entry: &Value) -> bool {
    is_by_us(entry, "Update") && entry.get("subresource").is_none()
}

fn is_by_us(entry: &Value, operation: &str) -> bool {
    let is = |key: &str, value: &str| entry.get(key).and_then(Value::as_str) == Some(value);
    is("manager", MANAGER) && is("operation", operation)
}

/// Leaves the place of the difference in `at`.
fn differs(desired: &Value, live: &Value, at: &mut Vec<String>) -> bool {
    match (desired, live) {
        (Value::Object(desired), Value::Object(live)) => map_differs(desired, live, at),
        (Value::Array(desired), Value::Array(live)) => list_differs(desired, live, at),
        // What is empty is not stored.
        (Value::Object(desired), Value::Null) => !desired.is_empty(),
        (Value::Array(desired), Value::Null) => !desired.is_empty(),
        (Value::String(desired), Value::Null) => !desired.is_empty(),
        (Value::String(a), Value::String(b)) => a != b && !same_amount(a, b, at),
        (desired, live) => desired != live,
    }
}

fn map_differs(desired: &Map<String, Value>, live: &Map<String, Value>, at: &mut Vec<String>) -> bool {
    // In an element of a list that is ours whole, everything is.
    let whole = at
        .iter()
        .any(|key| WHOLE_MAPS.contains(&key.as_str()) || key.starts_with('['));
    for (key, value) in desired {
        // The API server answers apiVersion and kind only on request.
        let found = live.get(key).unwrap_or(&Value::Null);
        if at.is_empty() && found.is_null() && (key == "apiVersion" || key == "kind") {
            continue;
        }
        at.push(key.clone());
        if differs(value, found, at) {
            return true;
        }
        at.pop();
    }
    let added = live.keys().find(|key| whole && !desired.contains_key(*key));
    at.extend(added.cloned());
    added.is_some()
}

fn list_differs(desired: &[Value], live: &[Value], at: &mut Vec<String>) -> bool {
    let list = at.last().cloned().unwrap_or_default();
    let keys = LISTS_BY_KEY.iter().find(|(name, keys)| {
        *name == list
            && desired
                .iter()
                .all(|one| keys.iter().all(|key| one.get(key).is_some()))
    });
    let Some((_, keys)) = keys else {
        if desired.len() != live.len() {
            return true;
        }
        return desired
            .iter()
            .zip(live)
            .enumerate()
            .any(|(index, (desired, live))| {
                at.push(format!("[{index}]"));
                let found = differs(desired, live, at);
                if !found {
                    at.pop();
                }
                found
            });
    };
    for one in desired {
        let named = |other: &&Value| keys.iter().all(|key| other.get(key) == one.get(key));
        let mut found = live.iter().filter(named);
        let name = keys.first().and_then(|key| one.get(key));
        at.push(
            name.map(|name| name.to_string().replace('"', ""))
                .unwrap_or_default(),
        );
        // A second element of the name hides the first (the kubelet takes the last value of a variable).
        if differs(one, found.next().unwrap_or(&Value::Null), at) || found.next().is_some() {
            return true;
        }
        at.pop();
    }
    false
}

/// The API server rewrites amounts: `1024Mi` is answered as `1Gi`, `0.5` as `500m`, `1000` as `1k`.
fn same_amount(a: &str, b: &str, at: &[String]) -> bool {
    match at {
        [.., resources, _, _] if resources == "resources" => is_same_number(a, b),
        [.., limit] if limit == "sizeLimit" => is_same_number(a, b),
        _ => false,
    }
}

fn is_same_number(a: &str, b: &str) -> bool {
    billionths(a).is_some() && billionths(a) == billionths(b)
}

/// An amount without a sign, in billionths of its unit. None for what is not one, or has an exponent.
/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>
fn billionths(text: &str) -> Option<u128> {
    const ONE: u128 = 1_000_000_000;
    let end = text
        .find(|c: char| c != '.' && !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit {
        "n" => 1,
        "u" => 1_000,
        "m" => 1_000_000,
        "" => ONE,
        "k" => ONE * 1_000,
        "M" => ONE * 1_000_000,
        "G" => ONE * 1_000_000_000,
        "T" => ONE * 1_000_000_000_000,
        "P" => ONE * 1_000_000_000_000_000,
        "E" => ONE * 1_000_000_000_000_000_000,
        "Ki" => ONE << 10,
        "Mi" => ONE << 20,
        "Gi" => ONE << 30,
        "Ti" => ONE << 40,
        "Pi" => ONE << 50,
        "Ei" => ONE << 60,
        _ => return None,
    };
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.parse::<u128>().ok()?.checked_mul(factor)?;
    if decimals.is_empty() {
        return Some(whole);
    }
    let digits = u32::try_from(decimals.len()).ok()?;
    let part = decimals.parse::<u128>().ok()?.checked_mul(factor)? / 10_u128.checked_pow(digits)?;
    whole.checked_add(part)
}

/// The hash of what was applied last, as the object says.
pub(crate) fn applied_hash(object: &Value) -> Option<&str> {
    object
        .get("metadata")?
        .get("annotations")?
        .get(APPLIED_ANNOTATION)?
        .as_str()
}

#[cfg(test)]
mod tests;

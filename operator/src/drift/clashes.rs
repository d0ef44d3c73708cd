//! What an apply cannot stand beside. A field that names a list's element is changed by taking one element out and
//! putting another in; an apply puts ours back and leaves the other, which is nobody's wish where both cannot be.

use serde_json::{Value, json};

/// A patch that takes out what clashes with ours: a port with the name of one of ours and another number (the API server
/// refuses two of one name), a container that has one of our ports (it cannot listen there). Empty where there is none.
pub(crate) fn clashes(desired: &Value, live: &Value) -> Vec<Value> {
    let mut patch = Vec::new();
    find(desired, live, "", &mut patch);
    patch
}

fn find(desired: &Value, live: &Value, at: &str, patch: &mut Vec<Value>) {
    let (Value::Object(desired), Value::Object(live)) = (desired, live) else {
        return;
    };
    for (key, desired) in desired {
        let live = live.get(key).unwrap_or(&Value::Null);
        let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        match (key.as_str(), desired, live) {
            ("ports", Value::Array(desired), Value::Array(live)) => {
                let clash = |port: &Value| desired.iter().any(|ours| same(ours, port, "name"));
                patch.extend(without(desired, live, is_port, clash).map(|ports| replace(&at, ports)));
            }
            ("containers", Value::Array(desired), Value::Array(live)) => {
                let is_it = |ours: &Value, other: &Value| same(ours, other, "name");
                let clash = |container: &Value| desired.iter().any(|ours| share_a_port(ours, container));
                if let Some(containers) = without(desired, live, is_it, clash) {
                    patch.push(replace(&at, containers));
                    continue;
                }
                for (index, other) in live.iter().enumerate() {
                    let ours = desired.iter().find(|ours| is_it(ours, other));
                    find(
                        ours.unwrap_or(&Value::Null),
                        other,
                        &format!("{at}/{index}"),
                        patch,
                    );
                }
            }
            (_, desired, live) => find(desired, live, &at, patch),
        }
    }
}

/// `live` without foreign elements that clash, and with those of ours that it has not. None when nothing clashes.
fn without(
    desired: &[Value],
    live: &[Value],
    is_it: impl Fn(&Value, &Value) -> bool,
    clash: impl Fn(&Value) -> bool,
) -> Option<Vec<Value>> {
    let is_foreign = |other: &Value| !desired.iter().any(|ours| is_it(ours, other));
    let stays = |other: &&Value| !(is_foreign(other) && clash(other));
    let mut all: Vec<Value> = live.iter().filter(stays).cloned().collect();
    if all.len() == live.len() {
        return None;
    }
    let missing = desired
        .iter()
        .filter(|ours| !live.iter().any(|other| is_it(ours, other)));
    all.extend(missing.cloned());
    Some(all)
}

fn replace(at: &str, list: Vec<Value>) -> Value {
    json!({ "op": "replace", "path": at, "value": Value::Array(list) })
}

fn same(one: &Value, other: &Value, key: &str) -> bool {
    one.get(key).is_some() && one.get(key) == other.get(key)
}

fn is_port(one: &Value, other: &Value) -> bool {
    (same(one, other, "port") || same(one, other, "containerPort")) && same(one, other, "protocol")
}

fn share_a_port(one: &Value, other: &Value) -> bool {
    let ports = |container: &Value| {
        container
            .get("ports")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    ports(one)
        .iter()
        .any(|port| ports(other).iter().any(|another| is_port(port, another)))
}

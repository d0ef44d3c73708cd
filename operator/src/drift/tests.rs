//! `testdata/stored`: what was applied and what a real API server (1.34) made of it. Whose a field is stands in
//! `metadata.managedFields`, so that the tables above are held against the API server's own.

mod clashing;

use serde_json::{Value, json};

use super::*;
use crate::testing::*;

/// Case, object as applied, object as stored.
fn pairs() -> Vec<(String, Value, Value)> {
    let mut pairs = Vec::new();
    for case in ["minimal", "ambient", "full"] {
        let stored: Value = serde_json::from_str(
            &std::fs::read_to_string(testdata(&format!("stored/{case}.stored.json"))).unwrap(),
        )
        .unwrap();
        let stored = stored["items"].as_array().unwrap();
        let sent = sent(case);
        assert_eq!(sent.len(), stored.len());
        for (sent, stored) in sent.into_iter().zip(stored) {
            pairs.push((format!("{case} {}", sent["kind"]), sent, stored.clone()));
        }
    }
    pairs
}

fn sent(case: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(testdata(&format!("stored/{case}.sent.yaml"))).unwrap();
    let documents = text.strip_prefix("---\n").unwrap().split("\n---\n");
    documents
        .map(|document| serde_saphyr::from_str(document).unwrap())
        .collect()
}

/// Pointers to every value in `value`, the outermost left out.
fn pointers(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut below = |key: String, value: &Value| {
        found.push(format!("/{key}"));
        found.extend(pointers(value).into_iter().map(|rest| format!("/{key}{rest}")));
    };
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, value)| below(key.replace('/', "~1"), value)),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .for_each(|(index, value)| below(index.to_string(), value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    found
}

fn other(value: &Value) -> Value {
    match value {
        Value::Bool(on) => json!(!on),
        Value::Number(number) => json!(number.as_i64().unwrap() + 1),
        Value::String(text) => json!(format!("{text}1")),
        Value::Null | Value::Array(_) | Value::Object(_) => json!("another"),
    }
}

fn without(value: &Value, pointer: &str) -> Value {
    let mut value = value.clone();
    let patch = json!([{"op": "remove", "path": pointer}]);
    json_patch::patch(
        &mut value,
        &serde_json::from_value::<json_patch::Patch>(patch).unwrap(),
    )
    .unwrap();
    value
}

fn with(value: &Value, pointer: &str, new: &Value) -> Value {
    let mut value = value.clone();
    *value.pointer_mut(pointer).unwrap() = new.clone();
    value
}

#[test]
fn what_the_api_server_made_of_an_apply_is_no_difference() {
    for (case, sent, stored) in pairs() {
        assert_eq!(first_difference(&sent, &stored), None, "{case}");
    }
}

#[test]
fn the_recorded_objects_have_every_field_of_todays_plan() {
    for (case, settings) in [
        ("minimal", settings()),
        ("ambient", settings()),
        ("full", all_settings()),
    ] {
        let plan = plan_of(&pipeline_of(case), &settings, &facts());
        for (object, sent) in plan.objects.iter().zip(sent(case)) {
            let known = pointers(&sent);
            for pointer in pointers(&object.desired) {
                // `render` does not know the owner, and endpoints are variables like any other.
                let skipped = [
                    "/metadata/ownerReferences",
                    "/spec/template/spec/containers/0/env/",
                ];
                let skipped = skipped.iter().any(|prefix| pointer.starts_with(prefix));
                assert!(
                    skipped || known.contains(&pointer),
                    "{case}: record anew (record.sh): {pointer}"
                );
            }
        }
    }
}

#[test]
fn a_changed_field_is_found() {
    let mut edits = 0;
    for (case, sent, stored) in pairs() {
        for pointer in pointers(&sent) {
            let Some(value) = stored.pointer(&pointer) else {
                continue;
            };
            let edited = with(&stored, &pointer, &other(value));
            assert!(first_difference(&sent, &edited).is_some(), "{case}: {pointer}");
            edits += 1;
        }
    }
    assert!(edits > 400, "{edits}");
}

#[test]
fn a_removed_field_is_found() {
    for (case, sent, stored) in pairs() {
        for pointer in pointers(&sent) {
            // Not stored at all, or answered on request only.
            if stored.pointer(&pointer).is_none() || ["/kind", "/apiVersion"].contains(&pointer.as_str()) {
                continue;
            }
            let edited = without(&stored, &pointer);
            assert!(first_difference(&sent, &edited).is_some(), "{case}: {pointer}");
        }
    }
}

/// What is empty is the only thing that is not stored.
#[test]
fn nothing_that_says_something_is_missing_in_a_stored_object() {
    for (case, sent, stored) in pairs() {
        for pointer in pointers(&sent) {
            let value = sent.pointer(&pointer).unwrap();
            let empty = [json!({}), json!([]), json!("")].contains(value);
            assert!(empty || stored.pointer(&pointer).is_some(), "{case}: {pointer}");
        }
    }
}

/// The part of our managed fields for a value, None for what is not ours.
fn managed<'a>(fields: &'a Value, value: &Value, key: &str) -> Option<&'a Value> {
    let fields = fields.as_object()?;
    match value {
        Value::Object(_) => fields.get(&format!("f:{}", key.replace("~1", "/"))),
        Value::Array(list) => {
            let element = &list[key.parse::<usize>().unwrap()];
            let names = |name: &str| {
                let keys: Value = serde_json::from_str(name.strip_prefix("k:").unwrap_or("null")).unwrap();
                keys.as_object()
                    .is_some_and(|keys| keys.iter().all(|(key, value)| element[key] == *value))
            };
            fields
                .iter()
                .find(|(name, _)| names(name))
                .map(|(_, below)| below)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Every map and list of a stored object in which we own something, and whether we own it whole.
fn containers(stored: &Value) -> Vec<(String, bool)> {
    let entries = stored["metadata"]["managedFields"].as_array().unwrap();
    let ours = entries
        .iter()
        .find(|entry| entry["manager"] == "tracepipe-operator")
        .unwrap();
    let mut found = Vec::new();
    walk(stored, &ours["fieldsV1"], String::new(), &mut found);
    found
}

fn walk(value: &Value, fields: &Value, at: String, found: &mut Vec<(String, bool)>) {
    let keys: Vec<String> = match value {
        Value::Object(map) => map.keys().map(|key| key.replace('/', "~1")).collect(),
        Value::Array(list) => (0..list.len()).map(|index| index.to_string()).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return,
    };
    let whole = *fields == json!({});
    found.push((at.clone(), whole));
    for key in keys {
        let below = if whole {
            Some(fields)
        } else {
            managed(fields, value, &key)
        };
        if let Some(below) = below {
            walk(
                value.pointer(&format!("/{key}")).unwrap(),
                below,
                format!("{at}/{key}"),
                found,
            );
        }
    }
}

#[test]
fn an_addition_to_what_is_ours_whole_is_found_and_any_other_is_left_alone() {
    let (mut found, mut left) = (0, 0);
    for (case, sent, stored) in pairs() {
        for (pointer, whole) in containers(&stored) {
            // The name is all that the API has there.
            if pointer.contains("/imagePullSecrets/") {
                continue;
            }
            for edited in additions(&stored, &pointer) {
                let difference = first_difference(&sent, &edited);
                assert_eq!(difference.is_some(), whole, "{case}: {pointer}: {difference:?}");
            }
            *if whole { &mut found } else { &mut left } += 1;
        }
    }
    assert!(found > 50 && left > 100, "{found} {left}");
}

/// The object with something foreign in one place of it, before and behind what is there.
fn additions(stored: &Value, pointer: &str) -> Vec<Value> {
    let mut edited = Vec::new();
    match stored.pointer(pointer).unwrap() {
        Value::Object(map) => {
            let mut map = map.clone();
            map.insert("foreign".to_owned(), json!("value"));
            edited.push(Value::Object(map));
        }
        Value::Array(list) => {
            let mut element = list.first().cloned().unwrap_or(json!("foreign"));
            match &mut element {
                Value::Object(map) => {
                    for key in ["name", "mountPath", "uid", "protocol", "port"] {
                        if map.contains_key(key) {
                            map.insert(key.to_owned(), json!("foreign"));
                        }
                    }
                }
                other => *other = json!("foreign"),
            }
            edited.push(Value::Array(
                [list.as_slice(), std::slice::from_ref(&element)].concat(),
            ));
            edited.push(Value::Array([std::slice::from_ref(&element), list].concat()));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    edited
        .into_iter()
        .map(|new| with(stored, pointer, &new))
        .collect()
}

#[test]
fn a_second_element_of_our_name_is_found() {
    for (case, sent, stored) in pairs()
        .into_iter()
        .filter(|(case, ..)| case.contains("DaemonSet"))
    {
        let pointer = "/spec/template/spec/containers/0/env";
        let mut env = stored.pointer(pointer).unwrap().as_array().unwrap().clone();
        env.push(json!({"name": "AWS_REGION", "value": "elsewhere"}));
        let edited = with(&stored, pointer, &Value::Array(env));
        let difference = first_difference(&sent, &edited);
        let place = "spec.template.spec.containers.collector.env.AWS_REGION";
        assert_eq!(difference.as_deref(), Some(place), "{case}");
    }
}

#[test]
fn a_foreign_port_with_our_number_and_another_protocol_is_left_alone() {
    for (case, sent, stored) in pairs() {
        for pointer in ["/spec/ports", "/spec/template/spec/containers/0/ports"] {
            let Some(ports) = stored.pointer(pointer).and_then(Value::as_array) else {
                continue;
            };
            let mut foreign = ports[0].clone();
            foreign["protocol"] = json!("UDP");
            foreign["name"] = json!("foreign");
            let edited = with(&stored, pointer, &json!([vec![foreign], ports.clone()].concat()));
            assert_eq!(first_difference(&sent, &edited), None, "{case}: {pointer}");
        }
    }
}

#[test]
fn the_order_counts_only_in_lists_without_keys() {
    for (case, sent, stored) in pairs() {
        for (pointer, whole) in containers(&stored) {
            let Some(list) = stored
                .pointer(&pointer)
                .and_then(Value::as_array)
                .filter(|list| list.len() > 1)
            else {
                continue;
            };
            let turned = Value::Array(list.iter().rev().cloned().collect());
            let difference = first_difference(&sent, &with(&stored, &pointer, &turned));
            assert_eq!(difference.is_some(), whole, "{case}: {pointer}: {difference:?}");
        }
    }
}

#[test]
fn the_place_of_a_difference_is_one_that_a_person_finds() {
    let difference = |desired: Value, live: Value| first_difference(&desired, &live);
    let cases = [
        (json!({"a": {"b": 1}}), json!({"a": {"b": 2}}), "a.b"),
        (json!({"a": {"b": 1}}), json!({}), "a"),
        (
            json!({"args": ["x", "y"]}),
            json!({"args": ["x", "z"]}),
            "args[1]",
        ),
        (
            json!({"tolerations": [{"key": "a"}]}),
            json!({"tolerations": [{"key": "a", "effect": "b"}]}),
            "tolerations[0].effect",
        ),
        (json!({"args": ["x"]}), json!({"args": []}), "args"),
        (
            json!({"env": [{"name": "A", "value": "1"}]}),
            json!({"env": []}),
            "env.A",
        ),
    ];
    for (desired, live, place) in cases {
        assert_eq!(difference(desired, live).as_deref(), Some(place));
    }
}

#[test]
fn an_amount_that_the_api_server_writes_in_its_own_way_is_the_same() {
    let same = [
        ("1024Mi", "1Gi"),
        ("0.5", "500m"),
        ("1000", "1k"),
        ("0.0", "0"),
        ("00.5", "500m"),
        ("1000M", "1G"),
        ("2048000k", "2048M"),
        ("1000T", "1P"),
        ("1024Ti", "1Pi"),
        ("999.999", "999999m"),
        ("007", "7"),
        ("1000m", "1"),
        ("1Ki", "1024"),
        ("1.0", "1"),
    ];
    for what in ["cpu", "memory"] {
        let at = |amount: &str| json!({"resources": {"limits": {what: amount}}});
        for (ours, theirs) in same {
            assert_eq!(first_difference(&at(ours), &at(theirs)), None, "{ours} {theirs}");
        }
        for (ours, theirs) in [
            ("1024Mi", "1023Mi"),
            ("0.5", "5"),
            ("1", "1m"),
            ("1k", "1Ki"),
            ("1", "one"),
            ("1", ""),
        ] {
            assert!(
                first_difference(&at(ours), &at(theirs)).is_some(),
                "{ours} {theirs}"
            );
        }
    }
    let limit = |amount: &str| json!({"emptyDir": {"sizeLimit": amount}});
    assert_eq!(first_difference(&limit("1024Mi"), &limit("1Gi")), None);
    assert!(first_difference(&limit("1024Mi"), &limit("1G")).is_some());
    // Elsewhere a text is a text.
    assert!(first_difference(&json!({"value": "1000"}), &json!({"value": "1k"})).is_some());
}

fn entry(manager: &str, operation: &str, subresource: Option<&str>) -> Value {
    let mut entry = json!({"manager": manager, "operation": operation, "fieldsV1": {}});
    if let Some(subresource) = subresource {
        entry["subresource"] = json!(subresource);
    }
    entry
}

fn live(entries: &[Value]) -> Value {
    json!({"metadata": {"resourceVersion": "7", "managedFields": entries}})
}

#[test]
fn the_first_write_is_handed_over_and_nobody_elses_is() {
    let controller = entry("kube-controller-manager", "Update", Some("status"));
    let kubectl = entry("kubectl-edit", "Update", None);
    let mut made = live(&[
        controller.clone(),
        entry("tracepipe-operator", "Update", None),
        kubectl.clone(),
    ]);
    assert!(!is_applied(&made));
    let patch: json_patch::Patch = serde_json::from_value(Value::Array(hand_over(&made))).unwrap();
    json_patch::patch(&mut made, &patch).unwrap();
    assert_eq!(
        made,
        live(&[controller, entry("tracepipe-operator", "Apply", None), kubectl])
    );
    assert_eq!(hand_over(&made), [json!(null); 0]);
    assert!(is_applied(&made));
}

#[test]
fn a_hand_over_fails_when_the_object_was_written_meanwhile() {
    let made = live(&[entry("tracepipe-operator", "Update", None)]);
    let patch: json_patch::Patch =
        serde_json::from_value(Value::Array(if_unchanged(&made, hand_over(&made)))).unwrap();
    let mut newer = made;
    newer["metadata"]["resourceVersion"] = json!("8");
    assert!(json_patch::patch(&mut newer, &patch).is_err());
}

#[test]
fn an_object_whose_managed_fields_were_reset_is_not_applied() {
    for entries in [
        vec![],
        vec![entry("before-first-apply", "Update", None)],
        vec![entry("helm", "Apply", None)],
    ] {
        assert!(!is_applied(&live(&entries)), "{entries:?}");
        assert_eq!(hand_over(&live(&entries)), [json!(null); 0], "{entries:?}");
    }
    for (case, _, stored) in pairs() {
        assert!(is_applied(&stored), "{case}");
    }
}

#[test]
fn a_state_is_the_same_after_what_happens_by_itself_and_another_after_an_edit() {
    for (case, _, stored) in pairs() {
        let mut later = stored.clone();
        later["status"] = json!({"numberReady": 7});
        for field in ["resourceVersion", "generation", "managedFields"] {
            later["metadata"][field] = json!("another");
        }
        assert_eq!(state_of(&stored), state_of(&later), "{case}");
        for pointer in [
            "/metadata/labels/app.kubernetes.io~1instance",
            "/metadata/annotations/tracepipe.dev~1applied",
        ] {
            assert_ne!(
                state_of(&stored),
                state_of(&with(&stored, pointer, &json!("edited"))),
                "{case}"
            );
        }
    }
}

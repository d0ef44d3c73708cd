use super::*;

/// Edits the number of a port; answers the object after the patch that makes room.
fn after_making_room(sent: &Value, stored: &Value, pointer: &str, number: &str) -> Value {
    let mut edited = with(stored, &format!("{pointer}/0/{number}"), &json!(9999));
    let patch: json_patch::Patch = serde_json::from_value(Value::Array(clashes(sent, &edited))).unwrap();
    json_patch::patch(&mut edited, &patch).unwrap();
    edited
}

/// An apply would add our port beside the edited one, and the API server refuses two ports of one name.
#[test]
fn a_port_whose_number_was_edited_is_taken_out_before_an_apply() {
    let mut edits = 0;
    for (case, sent, stored) in pairs() {
        assert_eq!(clashes(&sent, &stored), [json!(null); 0], "{case}");
        for (pointer, number) in [
            ("/spec/ports", "port"),
            ("/spec/template/spec/containers/0/ports", "containerPort"),
        ] {
            if stored.pointer(pointer).is_none() {
                continue;
            }
            let after = after_making_room(&sent, &stored, pointer, number);
            let names = |object: &Value| {
                let ports = object.pointer(pointer).unwrap().as_array().unwrap();
                let mut names: Vec<String> = ports.iter().map(|port| port["name"].to_string()).collect();
                names.sort();
                names
            };
            assert_eq!(names(&after), names(&stored), "{case}");
            assert_eq!(first_difference(&sent, &after), None, "{case}");
            edits += 1;
        }
    }
    assert_eq!(edits, 6);
}

#[test]
fn a_foreign_port_of_another_name_stays_when_room_is_made() {
    for (case, sent, stored) in pairs()
        .into_iter()
        .filter(|(case, ..)| case.contains("Service\""))
    {
        let foreign = json!({"name": "foreign", "port": 1, "protocol": "TCP", "targetPort": 1});
        let mut ports = stored["spec"]["ports"].as_array().unwrap().clone();
        ports.push(foreign.clone());
        let with_foreign = with(&stored, "/spec/ports", &json!(ports));
        assert_eq!(clashes(&sent, &with_foreign), [json!(null); 0], "{case}");
        let after = after_making_room(&sent, &with_foreign, "/spec/ports", "port");
        assert!(
            after["spec"]["ports"].as_array().unwrap().contains(&foreign),
            "{case}"
        );
    }
}

/// A container that was renamed is ours once more, and it cannot listen where the right one does.
#[test]
fn a_renamed_container_is_taken_out_and_a_foreign_one_stays() {
    for (case, sent, stored) in pairs()
        .into_iter()
        .filter(|(case, ..)| case.contains("DaemonSet"))
    {
        let pointer = "/spec/template/spec/containers";
        let sidecar =
            json!({"name": "sidecar", "image": "x", "ports": [{"containerPort": 15090, "protocol": "TCP"}]});
        let ours = stored.pointer(pointer).unwrap()[0].clone();
        let renamed = with(&json!([ours.clone()]), "/0/name", &json!("other"))[0].clone();
        let mut edited = with(&stored, pointer, &json!([sidecar, renamed]));
        let patch: json_patch::Patch = serde_json::from_value(Value::Array(clashes(&sent, &edited))).unwrap();
        json_patch::patch(&mut edited, &patch).unwrap();
        let containers = edited.pointer(pointer).unwrap().as_array().unwrap();
        let names: Vec<&str> = containers
            .iter()
            .map(|one| one["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["sidecar", "collector"], "{case}");
        assert_eq!(first_difference(&sent, &edited), None, "{case}");
        let beside = with(&stored, pointer, &json!([ours, sidecar]));
        assert_eq!(clashes(&sent, &beside), [json!(null); 0], "{case}");
    }
}

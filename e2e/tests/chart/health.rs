//! Argo CD's health check, in the Lua that Argo CD runs it in (`e2e/tools/lua`).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::{leave_out, root, text};

/// A value as Lua writes it.
fn lua(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
        Value::Array(items) => format!("{{{}}}", items.iter().map(lua).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            members.iter().fold("{".to_owned(), |mut out, (name, value)| {
                write!(out, "[{name:?}]={},", lua(value)).unwrap();
                out
            }) + "}"
        }
    }
}

/// Argo CD's own Lua, built into a folder; none where there is no Go.
fn interpreter(folder: &Path) -> Option<PathBuf> {
    let built = folder.join("lua");
    let output = Command::new("go")
        .args(["build", "-mod=readonly", "-buildvcs=false", "-o"])
        .args([built.as_os_str(), ".".as_ref()])
        .current_dir(root().join("e2e/tools/lua"))
        .env("GOWORK", "off")
        .env("CGO_ENABLED", "0")
        .env_remove("GOFLAGS")
        .output()
        .ok()?;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(built)
}

/// (status, message) of the health check for one object.
fn health(interpreter: &Path, object: &Value) -> (String, String) {
    let script = format!(
        "obj = {}\nlocal function check()\n{}\nend\nlocal health = check()\nprint(health.status .. '\\n' .. health.message)",
        lua(object),
        text("deploy/argocd/health.lua")
    );
    let output = Command::new(interpreter).arg(&script).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let out = String::from_utf8(output.stdout).unwrap();
    let (status, message) = out.split_once('\n').unwrap();
    (status.to_owned(), message.to_owned())
}

fn pipeline(observed: Option<i64>, conditions: &[(&str, &str, &str)]) -> Value {
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|(kind, status, reason)| {
            json!({ "type": kind, "status": status, "reason": reason, "message": format!("because of {reason}") })
        })
        .collect();
    let mut object = json!({ "metadata": { "generation": 2 } });
    if let Some(observed) = observed {
        object["status"] = json!({ "observedGeneration": observed, "conditions": conditions });
    }
    object
}

#[test]
fn argo_calls_a_pipeline_healthy_only_when_its_nodes_have_their_collectors() {
    let folder = tempfile::tempdir().unwrap();
    let Some(interpreter) = interpreter(folder.path()) else {
        leave_out("Argo CD's health check (go is not on the path)");
        return;
    };
    let ready = ("Ready", "True", "Ready");
    let cases = [
        (pipeline(None, &[]), "Progressing", "not seen"),
        // What the API server puts in, before the operator has looked.
        (pipeline(Some(-1), &[]), "Progressing", "not seen"),
        (pipeline(Some(1), &[ready]), "Progressing", "not seen"),
        (pipeline(Some(2), &[ready]), "Healthy", "Ready: because of Ready"),
        (
            pipeline(Some(2), &[("Ready", "Unknown", "RollingOut")]),
            "Progressing",
            "RollingOut",
        ),
        (
            pipeline(
                Some(2),
                &[
                    ("Ready", "False", "RollingOut"),
                    ("Reconciling", "True", "RollingOut"),
                ],
            ),
            "Progressing",
            "RollingOut: because",
        ),
        (
            pipeline(Some(2), &[("Ready", "False", "CrashLoop")]),
            "Degraded",
            "CrashLoop: because",
        ),
        (
            pipeline(
                Some(2),
                &[
                    ("Ready", "False", "InvalidConfig"),
                    ("Stalled", "True", "InvalidConfig"),
                ],
            ),
            "Degraded",
            "InvalidConfig: because",
        ),
        (pipeline(Some(2), &[]), "Progressing", ""),
    ];
    for (object, status, message) in cases {
        let (found, told) = health(&interpreter, &object);
        assert_eq!(found, status, "{object}");
        assert!(told.contains(message), "{told} for {object}");
    }
}

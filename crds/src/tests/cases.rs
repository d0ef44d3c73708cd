//! The cases of `testdata`: each is a resource and what an API server says of it. Tests on a cluster send the same files
//! to a real one, so that the rules as CEL and the rules as code answer alike.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::generate;
use crate::parse;

/// A resource, and the path and the message of its refusal; None where it is taken.
struct Case {
    file: PathBuf,
    text: String,
    expected: Option<(String, String)>,
}

fn cases(folder: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).unwrap();
        let resource: Value = serde_saphyr::from_str(&text).unwrap();
        let note = |name: &str| {
            let note = &resource["metadata"]["annotations"][format!("tracepipe.dev/expect-{name}")];
            note.as_str().map(str::to_owned)
        };
        Case {
            expected: note("path").zip(note("message")),
            file,
            text,
        }
    };
    files.into_iter().map(read).collect()
}

fn hold(cases: &[Case]) {
    for Case { file, text, expected } in cases {
        let answer = parse(text);
        let found: Vec<(String, String)> = match answer {
            Ok(parsed) => {
                assert_eq!(parsed.pipelines.len(), 1, "{}", file.display());
                Vec::new()
            }
            Err(errors) => errors
                .into_iter()
                .map(|error| (error.path, error.message))
                .collect(),
        };
        assert_eq!(found, Vec::from_iter(expected.clone()), "{}", file.display());
    }
}

#[test]
fn each_rule_is_broken_with_its_message_and_path_and_by_nothing_else() {
    let cases = cases("rules");
    assert!(cases.len() > 100, "{}", cases.len());
    hold(&cases);
}

#[test]
fn the_schema_is_held_with_a_path_and_a_way_out() {
    let cases = cases("schema");
    assert!(cases.len() > 40, "{}", cases.len());
    hold(&cases);
}

/// Each by itself may be written; what the second says of the first is for an API server that has seen the first.
#[test]
fn each_version_of_an_update_is_valid_by_itself() {
    let mut cases = cases("updates");
    assert_eq!(cases.len(), 4);
    for case in &mut cases {
        case.expected = None;
    }
    hold(&cases);
}

#[test]
fn each_rule_of_the_schema_has_a_case_that_breaks_it() {
    let mut broken: BTreeSet<(String, String)> = BTreeSet::new();
    for case in cases("rules").into_iter().chain(cases("updates")) {
        broken.extend(
            case.expected
                .map(|(path, message)| (without_indexes(&path), message)),
        );
    }
    let mut rules = BTreeSet::new();
    rules_of(&generate::schema(None), "", &mut rules);
    let messages = |all: &BTreeSet<(String, String)>| -> BTreeSet<String> {
        all.iter().map(|(_, message)| message.clone()).collect()
    };
    assert!(messages(&rules).len() >= 18);
    assert_eq!(messages(&rules), messages(&broken), "messages");
    let unknown: Vec<_> = broken.difference(&rules).collect();
    assert!(unknown.is_empty(), "cases of no rule: {unknown:?}");
}

/// Each rule of a schema: the path that it is refused at, and its message.
fn rules_of(schema: &Value, path: &str, rules: &mut BTreeSet<(String, String)>) {
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let at = format!("{path}{}", rule["fieldPath"].as_str().unwrap_or_default());
        let message = rule["message"].as_str().unwrap().to_owned();
        rules.insert((at.trim_start_matches('.').to_owned(), message));
    }
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        rules_of(below, &format!("{path}.{name}"), rules);
    }
    if let Some(below) = schema.get("items") {
        rules_of(below, &format!("{path}[]"), rules);
    }
}

fn without_indexes(path: &str) -> String {
    path.chars().filter(|c| !c.is_ascii_digit()).collect()
}

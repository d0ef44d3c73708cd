//! Style is a test: the edges between the crates, and what may not stand in the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Which of our crates each may use, tests included (ARCHITECTURE.md, "Code map").
const EDGES: &[(&str, &[&str])] = &[
    ("tracepipe-config", &[]),
    ("tracepipe-otlp", &[]),
    ("tracepipe-sampling", &["tracepipe-config", "tracepipe-otlp"]),
    ("tracepipe-metrics", &["tracepipe-config", "tracepipe-otlp"]),
    ("tracepipe-xray", &["tracepipe-config", "tracepipe-otlp"]),
    (
        "tracepipe-collector",
        &[
            "tracepipe-config",
            "tracepipe-metrics",
            "tracepipe-otlp",
            "tracepipe-sampling",
            "tracepipe-xray",
        ],
    ),
    (
        "tracepipe-hot-loops",
        &[
            "tracepipe-config",
            "tracepipe-metrics",
            "tracepipe-otlp",
            "tracepipe-sampling",
            "tracepipe-xray",
        ],
    ),
    ("tracepipe-crds", &[]),
    ("tracepipe-operator", &["tracepipe-config", "tracepipe-crds"]),
    // The tests put policies and a model beside upstream's in their own process; its programs use `otlp` only.
    (
        "tracepipe-e2e",
        &[
            "tracepipe-config",
            "tracepipe-otlp",
            "tracepipe-sampling",
            "tracepipe-xray",
        ],
    ),
];

/// What no crate may use, and what only some may.
const BANNED: &[(&str, &[&str])] = &[
    ("tracepipe-config", &["tokio", "hyper", "kube"]),
    ("tracepipe-otlp", &["tokio", "hyper", "kube", "rand"]),
    ("tracepipe-sampling", &["tokio", "hyper", "kube", "rand"]),
    ("tracepipe-metrics", &["tokio", "hyper", "kube", "rand"]),
    ("tracepipe-xray", &["tokio", "hyper", "kube", "rand"]),
    ("tracepipe-crds", &["tokio", "hyper"]),
    ("tracepipe-collector", &["kube", "k8s-openapi"]),
    ("tracepipe-operator", &["tonic", "tikv-jemallocator"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("e2e lies in the workspace")
        .to_owned()
}

/// All packages of the workspace.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array_mut().expect("packages");
    std::mem::take(packages)
}

/// The direct dependencies of each crate of the workspace.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let text = |value: &Value| value.as_str().expect("a name").to_owned();
    packages()
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            // The fakes are for the tests of every crate.
            let of_tests = |it: &&Value| it["kind"] == "dev" && it["name"] == "tracepipe-e2e";
            let others = dependencies.iter().filter(|it| !of_tests(it));
            (
                text(&package["name"]),
                others.map(|it| text(&it["name"])).collect(),
            )
        })
        .collect()
}

#[test]
fn every_crate_uses_only_the_crates_below_it() {
    let dependencies = dependencies();
    let known: BTreeSet<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    let found: BTreeSet<&str> = dependencies.keys().map(String::as_str).collect();
    assert_eq!(known, found, "a crate is missing from the table of edges");
    for (name, allowed) in EDGES {
        let ours: BTreeSet<&str> = dependencies[*name]
            .iter()
            .map(String::as_str)
            .filter(|it| it.starts_with("tracepipe-"))
            .collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        assert!(
            ours.is_subset(&allowed),
            "{name} uses {:?}",
            ours.difference(&allowed)
        );
    }
}

#[test]
fn the_pure_crates_know_no_runtime_and_no_randomness() {
    let dependencies = dependencies();
    for (name, banned) in BANNED {
        for it in *banned {
            assert!(!dependencies[*name].contains(*it), "{name} uses {it}");
        }
    }
}

#[test]
fn the_model_of_upstream_is_for_tests_only() {
    let packages = packages();
    let (mut tests, mut others) = (0, 0);
    for package in &packages {
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        for it in dependencies.iter().filter(|it| it["name"] == "tracepipe-xray") {
            let has_model = it["features"]
                .as_array()
                .expect("features")
                .iter()
                .any(|it| it == "upstream");
            assert!(!has_model || it["kind"] == "dev", "{} ships it", package["name"]);
            tests += usize::from(has_model);
            others += usize::from(!has_model);
        }
        assert_eq!(package["features"].get("default"), None, "{}", package["name"]);
    }
    assert!(tests > 0 && others > 0, "the feature has another name");
}

#[test]
fn no_crate_with_an_old_tls_or_http_stack_is_locked() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock");
    for name in ["openssl", "native-tls", "serde_yaml", "reqwest", "rustls-pemfile"] {
        assert!(
            !lock.contains(&format!("\nname = \"{name}\"\n")),
            "{name} is in Cargo.lock"
        );
    }
    for package in lock.split("[[package]]") {
        let old = package.contains("name = \"hyper\"") && package.contains("version = \"0.");
        assert!(!old, "hyper 0.x is in Cargo.lock");
    }
}

#[test]
fn the_sources_hold_no_unfinished_work() {
    // Split, so that this file does not find itself.
    let banned = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("#[ig", "nore]"),
    ];
    let mut files = vec![];
    for folder in ["collector", "e2e"] {
        rust_files(&root().join(folder), &mut files);
    }
    assert!(files.len() > 20, "the sources were not found");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source file");
        for word in banned {
            assert!(!text.contains(word), "{} holds {word}", file.display());
        }
    }
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
}

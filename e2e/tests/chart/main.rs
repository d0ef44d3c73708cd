//! The Helm chart, the manifests made from it and the images: what a cluster's administrator gets before anything runs.
//!
//! Most of them need Helm 3 and 4, named by `TRACEPIPE_HELM3` and `TRACEPIPE_HELM4` or as `helm3` and `helm4` in the
//! folder `TRACEPIPE_CLUSTER_BIN`; what is not there is left out, and a line on standard error that begins with
//! `left out:` says so. None needs a cluster.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as the tests do"
)]

mod deploy;
mod health;
mod helm;
mod images;
mod rights;
mod templates;
mod values;

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

pub(crate) fn chart() -> PathBuf {
    root().join("charts/tracepipe")
}

/// A text file of the project, named from its root.
pub(crate) fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents of a YAML text that are not empty.
pub(crate) fn documents(yaml: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    all.into_iter().filter(|it| !it.is_null()).collect()
}

/// The only document of a YAML file of the project.
pub(crate) fn document(path: &str) -> Value {
    let mut all = documents(&text(path));
    assert_eq!(all.len(), 1, "{path} holds one document");
    all.remove(0)
}

/// The documents of a kind.
pub(crate) fn of_kind<'a>(all: &'a [Value], kind: &str) -> Vec<&'a Value> {
    all.iter().filter(|it| it["kind"] == kind).collect()
}

/// The only document of a kind.
pub(crate) fn the<'a>(all: &'a [Value], kind: &str) -> &'a Value {
    let found = of_kind(all, kind);
    assert_eq!(found.len(), 1, "{kind}: {found:#?}");
    found[0]
}

/// The texts of a list; none where there is no list.
pub(crate) fn strings(list: &Value) -> Vec<&str> {
    list.as_array()
        .into_iter()
        .flatten()
        .map(|it| it.as_str().unwrap())
        .collect()
}

/// Says that something is left out. Not by a print macro: the test harness would swallow it.
pub(crate) fn leave_out(what: &str) {
    let line = format!("left out: {what}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

//! `make demo` is right when all is well, and wrong when it is not.

use std::process::Output;

use tokio::process::Command;
use tracepipe_e2e::{collector, operator};

use crate::rig::{self, LIMIT};

async fn demo(pipeline: &std::path::Path, args: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tracepipe-demo"))
        .args(["--seconds", "6", "--traces", "600", "--pipeline"])
        .arg(pipeline)
        .args(args)
        .env(collector::BINARY_VARIABLE, collector::find_binary().unwrap())
        .env(operator::BINARY_VARIABLE, operator::find_binary().unwrap())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, output)
        .await
        .expect("a demo that ends")
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_what_was_kept_and_exits_0() {
    let (output, text) = demo(&rig::example("pipeline-minimal.yaml"), &[]).await;
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in [
        "always-sample-errors",
        "the account holds",
        "-> load-balancer",
        "-> payment",
        "[load-balancer]",
        "are in X-Ray, complete.",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "escape codes without a terminal");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_notices_one_swallowed_trace() {
    let (output, text) = demo(&rig::example("pipeline-minimal.yaml"), &["--swallow-one-error"]).await;
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("is missing in X-Ray: it failed"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_notices_a_pipeline_that_drops_failed_traces() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = folder.path().join("drops.yaml");
    let minimal = std::fs::read_to_string(rig::example("pipeline-minimal.yaml")).unwrap();
    let drops = minimal.replace("spec:\n", "spec:\n  sampling: { keepErrors: false }\n");
    assert_ne!(minimal, drops);
    std::fs::write(&pipeline, drops).unwrap();
    let (output, text) = demo(&pipeline, &[]).await;
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("had to be kept") || text.contains("is missing in X-Ray"),
        "{text}"
    );
}

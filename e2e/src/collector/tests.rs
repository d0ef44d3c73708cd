use std::time::Duration;

use super::{CollectorProcess, Start};

const LIMIT: Duration = Duration::from_secs(20);

/// A shell script that says what a collector says. Another process writes it: a test that starts one of its own meanwhile
/// would hand on a file that is open for writing here, and such a file cannot be run ("Text file busy").
fn pretend(folder: &std::path::Path, script: &str) -> Start {
    let binary = folder.join("collector.sh");
    let written = std::process::Command::new("sh")
        .args([
            "-c",
            r#"printf '%s\n' '#!/bin/sh' "$2" >"$1" && chmod 755 "$1""#,
            "sh",
        ])
        .args([binary.as_os_str(), script.as_ref()])
        .status();
    assert!(written.unwrap().success());
    Start {
        binary: Some(binary),
        ..Start::new("none.yaml")
    }
}

#[tokio::test]
async fn addresses_and_the_last_account_are_read_from_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let start = pretend(
        folder.path(),
        r#"
        trap 'printf "%s\n" "{\"fields\":{\"message\":\"account\",\"account\":\"tracepipe_spans_accepted 3\\ntracepipe_spans_buffered 3\\ntracepipe_spans_filtered 0\"}}" >&2; exit 0' TERM
        echo 'a line that is no JSON' >&2
        echo '{"level":"INFO","fields":{"message":"listening","server":"otlp_grpc","address":"127.0.0.1:4001"}}' >&2
        echo '{"level":"INFO","fields":{"message":"ready"}}' >&2
        while :; do sleep 0.05; done"#,
    );
    let collector = CollectorProcess::start(start).await.unwrap();
    assert_eq!(collector.grpc().unwrap(), "127.0.0.1:4001".parse().unwrap());
    assert!(collector.http().is_err());
    let ended = collector.terminate(LIMIT).await.unwrap();
    assert!(ended.status.success());
    let account = ended.account.unwrap();
    assert_eq!((account.check(), account.spans_inside()), (Ok(()), 3));
}

#[tokio::test]
async fn every_listener_gets_a_free_port_and_the_callers_settings_come_last() {
    let folder = tempfile::tempdir().unwrap();
    let start = pretend(folder.path(), r#"echo "$@" "$AWS_REGION" >&2; exit 1"#)
        .set("processors.batch.timeout=1s")
        .xray("http://127.0.0.1:1", ("key", "secret"));
    let error = format!("{:#}", CollectorProcess::start(start).await.unwrap_err());
    for part in [
        "--config none.yaml",
        "grpc.endpoint=127.0.0.1:0",
        "batch.timeout=1s us-east-1",
    ] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
}

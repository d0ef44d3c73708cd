//! Real SDKs: what they made has to be what X-Ray gets.

use std::path::Path;
use std::process::Output;

use serde::Deserialize;
use tokio::process::Command;

use crate::rig::{self, LIMIT, XrayRig, named, settled};
use crate::schema::Schema;

#[derive(Debug, Deserialize)]
struct Sent {
    spans: u64,
    traces: Vec<SentTrace>,
}

#[derive(Debug, Deserialize)]
struct SentTrace {
    trace_id: String,
    spans: usize,
    error: bool,
    duration_ms: u64,
}

/// What it printed; it has to end well.
pub(crate) async fn run(command: &mut Command) -> Output {
    let output = tokio::time::timeout(LIMIT, command.kill_on_drop(true).output()).await;
    let output = output.expect("a client that ends").unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// The last line that it printed, as JSON.
pub(crate) fn last_line<T: serde::de::DeserializeOwned>(output: &Output) -> T {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

fn tool(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(path)
}

async fn check_sent(rig: &XrayRig, sent: &Sent) {
    settled(&rig.collector, sent.spans).await;
    rig.assert_clean();
    let documents = rig.documents();
    for trace in &sent.traces {
        let found = documents.get(&trace.trace_id).map_or(0, Vec::len);
        if trace.error || trace.duration_ms > 500 {
            assert_eq!(found, trace.spans, "{trace:?}");
        } else {
            assert!(
                found == 0 || found == trace.spans,
                "{trace:?} has {found} documents"
            );
        }
    }
}

async fn python(protocol: &str, compression: &str) {
    let Some(python) = named(
        "TRACEPIPE_PYTHON",
        &format!("OpenTelemetry Python over {protocol}"),
    ) else {
        return;
    };
    let rig = rig::xray(|start| start).await;
    let server = if protocol == "grpc" {
        rig.collector.grpc()
    } else {
        rig.collector.http()
    };
    let output = run(Command::new(python)
        .arg(tool("python/send.py"))
        .args([
            protocol,
            &format!("http://{}", server.unwrap()),
            "200",
            "shop-python",
        ])
        .args(["--compression", compression]))
    .await;
    check_sent(&rig, &last_line(&output)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opentelemetry_python_over_grpc() {
    python("grpc", "none").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opentelemetry_python_over_http_with_gzip() {
    python("http", "gzip").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opentelemetry_node_over_http_with_json() {
    let Some(node) = named("TRACEPIPE_NODE_DIR", "OpenTelemetry Node over HTTP/JSON") else {
        return;
    };
    let rig = rig::xray(|start| start).await;
    let endpoint = format!("http://{}", rig.collector.http().unwrap());
    let output =
        run(Command::new("node")
            .current_dir(node)
            .args(["send.js", &endpoint, "200", "shop-node", "gzip"]))
        .await;
    check_sent(&rig, &last_line(&output)).await;
}

#[derive(Debug, Deserialize)]
struct Requests {
    requests: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_seeds_node_program_in_its_form() {
    let Some(node) = named("TRACEPIPE_NODE_DIR", "the second seed's Node program") else {
        return;
    };
    let rig = rig::xray(|start| start).await;
    let output = run(Command::new("node")
        .current_dir(node)
        .args(["seed2.js", "20"])
        .env("OTLP_URL", format!("http://{}", rig.collector.grpc().unwrap()))
        .env("OTEL_SERVICE_NAME", "orders-node")
        .env("OTEL_METRICS_EXPORTER", "none")
        .env("OTEL_LOGS_EXPORTER", "none"))
    .await;
    let requests: Requests = last_line(&output);
    // Auto-instrumentation makes more spans than the two of each request; the failed one must be there.
    let account = rig
        .collector
        .wait_until("settled collector", LIMIT, |account| {
            account.sum("tracepipe_spans_accepted") >= 2 * requests.requests && account.spans_inside() == 0
        })
        .await
        .unwrap();
    assert!(account.sum("tracepipe_spans_kept") > 0);
    rig.assert_clean();
    let documents = rig.documents();
    let failed = documents
        .values()
        .flatten()
        .find(|document| document.status() == Some(500));
    assert!(failed.is_some(), "{documents:?}");
    assert!(
        documents
            .values()
            .flatten()
            .any(|document| document.name == "orders-node"),
        "{documents:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_document_passes_awss_published_schema() {
    let Some(schema) = Schema::named() else { return };
    let rig = rig::xray(|start| start.set("processors.tail_sampling.decision_wait=6s")).await;
    let senders =
        tracepipe_e2e::order_system::senders(rig.collector.grpc().unwrap(), rig.collector.http().unwrap())
            .unwrap();
    let length = std::time::Duration::from_secs(3);
    let traffic =
        tracepipe_e2e::order_system::Traffic::new(3, 500, length, tracepipe_e2e::clock::unix_nanos());
    let started = tracepipe_e2e::clock::now();
    let report = tracepipe_e2e::load::run(&senders, started, traffic.requests.into_iter()).await;
    settled(&rig.collector, report.spans_accepted).await;
    let lines: String = rig
        .fake
        .accepted()
        .iter()
        .map(|document| document.text.replace('\n', " ") + "\n")
        .collect();
    assert!(!lines.is_empty());
    schema.check(&lines).await;
}

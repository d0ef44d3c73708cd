//! The upstream collector v0.120.0 as oracle of its X-Ray documents: it and `tracepipe_xray::upstream`, our model of it,
//! make the same documents of the same spans, but for random ids. What the model says of v0.161.0 stands on that.

mod compare;
mod coverage;
mod crash;
mod encode;
mod shipped;
mod spans;
mod stacks;
mod upstream;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tracepipe_config::{AwsXraySettings, ExporterKind, Source};
use tracepipe_otlp::view::ResourceSpans;
use tracepipe_xray::upstream::{Outcome, Translator, Version};

use crate::rig::named;
use compare::{Normal, differences};
use coverage::Coverage;
use spans::SpanSource;
use upstream::Upstream;

/// Names the binary of e2e/tools/otelcol_awsxray.
const PEER_VARIABLE: &str = "TRACEPIPE_OTELCOL_AWSXRAY";
/// Resources in one request.
const RESOURCES_PER_REQUEST: u64 = 40;
/// Differing spans that are shown.
const SHOWN_MAX: usize = 6;

/// How much is compared: a part with every `make test`; `make peers` asks for more through the environment.
fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text:?}")),
        Err(_) => default,
    }
}

/// An exporter's settings, read as the collector reads them.
fn settings(exporter: &Value) -> AwsXraySettings {
    let source = Source {
        name: "exporter".into(),
        text: format!(
            "receivers:\n  otlp: {{protocols: {{http: }}}}\nexporters:\n  awsxray: {exporter}\n\
             service:\n  pipelines:\n    traces: {{receivers: [otlp], exporters: [awsxray]}}\n"
        ),
    };
    let loaded = tracepipe_config::load(&source, &[], &|_| None).unwrap();
    match loaded.settings.exporters.into_iter().next().map(|it| it.kind) {
        Some(ExporterKind::AwsXray(settings)) => settings,
        other => panic!("no awsxray but {other:?}"),
    }
}

/// Exporters by name.
fn exporters() -> Vec<(&'static str, Value)> {
    vec![
        ("plain", json!({})),
        ("index_all", json!({ "index_all_attributes": true })),
        (
            "indexed",
            json!({
                "indexed_attributes": [
                    "rpc.method",
                    "http.method",
                    "net.peer.name",
                    "db.statement",
                    "aws.region",
                    "enduser.id",
                    "custom.text",
                    "custom.list",
                    "Key@1",
                    "aws.xray.metadata.http",
                    "aws.xray.annotations",
                    "otel.resource.service.name",
                    "otel.resource.custom.list",
                    "service.name",
                    "not.there",
                ],
                "aws_log_groups": ["configured", "second"],
            }),
        ),
        (
            "index_all_and_list",
            json!({
                "index_all_attributes": true,
                "indexed_attributes": ["http.url", "aws.operation", "db.name", "otel.resource.host.id"],
                "aws_log_groups": ["configured"],
            }),
        ),
    ]
}

/// What was seen with one exporter.
#[derive(Debug, Default)]
struct Seen {
    spans: u64,
    documents: u64,
    /// Spans without a document.
    nothing: u64,
    coverage: Coverage,
    failures: Vec<Failure>,
}

/// A span whose documents differ.
#[derive(Debug)]
struct Failure {
    differences: Vec<String>,
    span: String,
}

/// How often each member differs.
fn places(failures: &[Failure]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for difference in failures.iter().flat_map(|it| &it.differences) {
        let path = difference.split(':').next().unwrap_or_default();
        *counts.entry(path.to_owned()).or_default() += 1;
    }
    counts
        .iter()
        .map(|(path, count)| format!("{count:6} {path}\n"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_those_of_the_upstream_collector() {
    let Some(peer) = peer_binary().await else {
        return;
    };
    let seed = number("TRACEPIPE_XRAY_SEED", 7);
    let spans = number("TRACEPIPE_XRAY_SPANS", 2_000);
    let exporters = exporters();
    let upstream = Upstream::start(&peer, &exporters).await.unwrap();
    let each = spans.div_ceil(exporters.len() as u64);
    let mut report = Vec::new();
    let mut failures = Vec::new();
    let mut coverage = Coverage::default();
    for (index, (name, exporter)) in exporters.iter().enumerate() {
        let settings = settings(exporter);
        let source = SpanSource::new(seed.wrapping_mul(1_000) + index as u64, &settings);
        let seen = compare_exporter(&upstream, index, &settings, &source, each).await;
        report.push(format!(
            "{name}: {} spans, {} documents, {} spans without one, {} differ",
            seen.spans,
            seen.documents,
            seen.nothing,
            seen.failures.len()
        ));
        coverage.extend(seen.coverage);
        failures.extend(seen.failures);
    }
    println!("{}", report.join("\n"));
    upstream.stop().await;
    assert_eq!(
        coverage.missing(),
        Vec::<&str>::new(),
        "nothing was compared of these"
    );
    let shown: Vec<String> = failures
        .iter()
        .take(SHOWN_MAX)
        .map(|it| format!("{}\n{}\n", it.differences.join("\n"), it.span))
        .collect();
    assert!(
        failures.is_empty(),
        "seed {seed}\n{}\n{}\n{}",
        report.join("\n"),
        places(&failures),
        shown.join("\n")
    );
}

async fn compare_exporter(
    upstream: &Upstream,
    index: usize,
    settings: &AwsXraySettings,
    source: &SpanSource,
    spans: u64,
) -> Seen {
    let translator = Translator::new(settings, Version::V0_120);
    let mut seen = Seen::default();
    let mut number = 0;
    while seen.spans < spans {
        let request: Vec<ResourceSpans<'static>> = (number..number + RESOURCES_PER_REQUEST)
            .map(|number| source.resource_spans(number))
            .collect();
        number += RESOURCES_PER_REQUEST;
        let bytes = encode::request(&request);
        let decoded = tracepipe_otlp::view::decode_traces(&bytes).unwrap();
        let mut documents = upstream.documents(index, bytes.clone()).await.unwrap();
        for resource_spans in &decoded {
            compare_resource(&translator, resource_spans, &mut documents, &mut seen);
        }
        let left = documents.values().flatten().count();
        assert_eq!(left, 0, "documents of no span: {documents:?}");
    }
    seen
}

fn compare_resource(
    translator: &Translator,
    resource_spans: &ResourceSpans<'_>,
    documents: &mut BTreeMap<String, Vec<Value>>,
    seen: &mut Seen,
) {
    let mut id = 0;
    let mut random_id = || {
        id += 1;
        id
    };
    let outcomes = translator.translate(resource_spans, &mut random_id);
    let spans = resource_spans.scope_spans.iter().flat_map(|scope| &scope.spans);
    for (span, outcome) in spans.zip(outcomes) {
        let model = match outcome {
            Outcome::Documents(documents) => documents,
            Outcome::Nothing => Vec::new(),
            Outcome::Crash => panic!("the generator made a span that ends the upstream collector: {span:?}"),
        };
        let theirs = documents.remove(&span.trace_id.to_string()).unwrap_or_default();
        seen.spans += 1;
        seen.documents += theirs.len() as u64;
        seen.nothing += u64::from(theirs.is_empty());
        seen.coverage.look(span.kind, &theirs);
        let found = differences(Normal::new(theirs), Normal::new(model));
        if !found.is_empty() {
            seen.failures.push(Failure {
                differences: found,
                span: format!("  resource {:?}\n  span {span:?}", resource_spans.resource),
            });
        }
    }
}

/// The upstream collector; a line says so when it is not there.
async fn peer_binary() -> Option<PathBuf> {
    let binary = named(PEER_VARIABLE, "X-Ray documents beside those of upstream")?;
    check_version(&binary).await;
    Some(binary)
}

async fn check_version(binary: &Path) {
    let args = ["--version".to_owned()];
    let mut process = tracepipe_e2e::process::Process::start(binary, &args, &BTreeMap::new()).unwrap();
    process.wait(crate::rig::LIMIT).await.unwrap();
    let said = process.log().into_iter().next().unwrap_or_default();
    assert!(
        said.ends_with("0.120.0"),
        "{PEER_VARIABLE} says that it is {said:?}"
    );
}

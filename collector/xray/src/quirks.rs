//! Upstream's quirks that have no test elsewhere, and the table of docs/xray.md that says where each has its own.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tracepipe_otlp::SpanId;
use tracepipe_otlp::view::{FLAG_HAS_IS_REMOTE, FLAG_IS_REMOTE, Span, SpanKind};

use crate::check::check_document;
use crate::tests::{attributes, batch, settings, span, translate};

/// The documents of one span.
fn documents(resource: &[(&'static str, &'static str)], span: Span<'static>) -> Vec<Value> {
    let (_, documents) = translate(&settings(), &[batch(attributes(resource), vec![span])]);
    documents.iter().map(check_document).collect()
}

fn of_kind(kind: SpanKind, list: &[(&'static str, &'static str)]) -> Span<'static> {
    Span {
        kind,
        parent_span_id: Some(SpanId([9; 8])),
        flags: FLAG_HAS_IS_REMOTE,
        ..span(attributes(list))
    }
}

#[test]
fn the_service_of_a_call_to_a_database_has_no_sql() {
    let call = Span {
        parent_span_id: None,
        ..of_kind(
            SpanKind::Client,
            &[("db.system", "mysql"), ("db.statement", "SELECT 1")],
        )
    };
    let [service, call] = &documents(&[("service.name", "shop")], call)[..] else {
        panic!("a service and a call");
    };
    assert_eq!(service.get("sql"), None);
    assert_eq!(call["sql"]["sanitized_query"], "SELECT 1");
}

#[test]
fn what_a_facet_looked_at_and_did_not_use_is_metadata() {
    let names = [
        ("net.peer.name", "p"),
        ("server.address", "s"),
        ("host.name", "h"),
        ("url.full", ""),
        ("aws.operation", "Op"),
        ("aws.queue_url", "q"),
    ];
    let elsewhere = [("cloud.provider", "gcp")];
    let [document] = &documents(&elsewhere, of_kind(SpanKind::Internal, &names))[..] else {
        panic!("one document");
    };
    assert_eq!(document.get("aws"), None);
    let metadata = &document["metadata"]["default"];
    for (name, value) in names {
        assert_eq!(metadata[name], value, "{name}");
    }
}

#[test]
fn only_a_server_has_a_client() {
    let list = [
        ("http.method", "GET"),
        ("net.peer.ip", "10.0.0.1"),
        ("http.client_ip", "10.0.0.2"),
    ];
    for (kind, expected) in [
        (
            SpanKind::Client,
            json!({"method": "GET", "client_ip": "10.0.0.2"}),
        ),
        (
            SpanKind::Server,
            json!({"method": "GET", "client_ip": "10.0.0.2"}),
        ),
    ] {
        let document = documents(&[], of_kind(kind, &list)).remove(0);
        let request = document["http"]["request"].as_object().unwrap();
        let mut request = request.clone();
        request.remove("url");
        assert_eq!(Value::Object(request), expected, "{kind:?}");
    }
    let peer = [("http.method", "GET"), ("net.peer.ip", "10.0.0.1")];
    let client_ip = |kind| {
        let document = documents(&[], of_kind(kind, &peer)).remove(0);
        document["http"]["request"].get("client_ip").cloned()
    };
    assert_eq!(client_ip(SpanKind::Client), None);
    assert_eq!(client_ip(SpanKind::Server), Some(json!("10.0.0.1")));
}

#[test]
fn every_local_root_has_its_resource_and_its_subsegments_leave_it_to_it() {
    for kind in [
        SpanKind::Unspecified,
        SpanKind::Internal,
        SpanKind::Server,
        SpanKind::Client,
        SpanKind::Producer,
        SpanKind::Consumer,
    ] {
        let resource = [("service.name", "shop"), ("region", "r")];
        let root = Span {
            flags: FLAG_HAS_IS_REMOTE | FLAG_IS_REMOTE,
            ..of_kind(kind, &[])
        };
        for document in documents(&resource, root) {
            let is_segment = document.get("type").is_none();
            let region = &document["metadata"]["default"]["otel.resource.region"];
            assert_eq!(region.as_str(), is_segment.then_some("r"), "{kind:?}");
            assert_eq!(document["name"] == "shop", is_segment, "{kind:?}");
        }
    }
}

/// Each row of the table names its quirk and tests that are there: functions of this crate or of the exporter, or files of
/// `testdata`.
#[test]
fn each_quirk_has_its_decision_and_its_test() {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(crate_folder.join("../../docs/xray.md")).unwrap();
    let mut sources = String::new();
    for folder in [crate_folder.join("src"), crate_folder.join("../src/exporter")] {
        read_all(&folder, &mut sources);
    }
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| Q"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let numbers: Vec<&str> = rows.iter().flat_map(|row| row[0].split(", ")).collect();
    let all: Vec<String> = (1..=25).map(|number| format!("Q{number}")).collect();
    assert_eq!(numbers, all);
    for row in rows {
        let [number, _quirk, decision, tests] = row[..] else {
            panic!("four columns: {row:?}");
        };
        assert!(!decision.is_empty(), "{number}");
        let mut found = 0;
        for test in tests.split('`').skip(1).step_by(2) {
            let is_function = sources.contains(&format!("fn {test}("));
            let is_file = crate_folder
                .join("testdata")
                .join(test)
                .with_extension("json")
                .exists();
            assert!(is_function || is_file, "{number}: no test {test}");
            found += 1;
        }
        assert!(found > 0, "{number} has no test");
    }
}

fn read_all(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

//! The whole line: Helm, one resource, real applications on each node, the pod's own token, X-Ray.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::ensure;
use http::Method;
use serde_json::{Value, json};
use tracepipe_e2e::account::Account;
use tracepipe_e2e::cluster::network::Node;
use tracepipe_e2e::cluster::wait::wait_until;
use tracepipe_e2e::http_get::http_request;
use tracepipe_e2e::metrics::Metrics;

use crate::apps::{self, Report};
use crate::rig::{LIMIT, Rig, condition, named_python, rig};

/// Traces of the application on each node: different, so that a mix-up shows.
const TRACES: [(Node, &str, u32); 2] = [(Node::Node1, "checkout", 1_000), (Node::Node2, "billing", 600)];

/// Decided spans need the decision wait of 10 s and a batch.
const EXPORT_LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_name_makes_a_role_and_a_collector_on_every_node_that_keeps_what_it_must() {
    let (Some(rig), Some(python)) = (rig().await, named_python()) else {
        return;
    };
    let pipeline = rig.until_ready("tracing", "otel-collector").await;
    let status = &pipeline["status"];
    assert_eq!(status["collector"]["nodes"], "2/2");
    assert_eq!(
        status["endpoints"]["grpc"],
        "http://otel-collector.tracing.svc.cluster.local:4317"
    );
    assert_eq!(
        status["endpoints"]["http"],
        "http://otel-collector.tracing.svc.cluster.local:4318"
    );
    let role = status["identity"]["roleArn"].as_str().unwrap();
    assert!(
        role.starts_with("arn:aws:iam::111122223333:role/tracing-pipeline/prod-eu/tp-prod-eu-tracing-"),
        "{role}"
    );
    assert_eq!(
        status["effective"]["region"], "eu-west-1",
        "the nodes' label says it"
    );
    assert_eq!(
        condition(&pipeline, "IdentityReady"),
        ("True".into(), "Verified".into())
    );

    let before = accepted_by_node(&rig).await;
    let mut reports = BTreeMap::new();
    let mut running = Vec::new();
    for (node, service, traces) in TRACES {
        let traces = traces.to_string();
        let app = apps::start(&rig, &python, node, service, &["--traces", &traces])
            .await
            .unwrap();
        running.push((node, app));
    }
    for (node, app) in running {
        let report = app.report(&rig, LIMIT).await.unwrap();
        assert_eq!(
            (report.exported, report.failed),
            (report.spans, 0),
            "the SDK delivered everything"
        );
        reports.insert(node.name(), report);
    }
    assert_every_application_reached_its_own_node(&rig, &before, &reports).await;
    assert_what_is_owed_is_in_xray_and_of_the_rest_a_tenth(&rig, &reports).await;
    assert_credentials_came_from_sts_by_the_pods_own_token(&rig, role).await;
}

/// Spans that the collector of each node has taken so far.
async fn accepted_by_node(rig: &Rig) -> BTreeMap<String, u64> {
    let mut accepted = BTreeMap::new();
    for pod in rig.pods("tracing", "otel-collector").await.unwrap() {
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
        let account = account_of(&pod).await.unwrap();
        assert_eq!(account.check(), Ok(()));
        accepted.insert(node, account.sum("tracepipe_spans_accepted"));
    }
    accepted
}

/// The account of a collector's pod.
pub(crate) async fn account_of(pod: &Value) -> anyhow::Result<Account> {
    let address = pod["status"]["podIP"].as_str().unwrap_or_default();
    let (_, text) = http_request(&format!("http://{address}:8888/metrics"), Method::GET, "").await?;
    Ok(Account::parse(&Metrics::parse(&text)?))
}

/// The ids of all traces that X-Ray has, in OTLP's form.
pub(crate) async fn traces_in_xray(rig: &Rig) -> BTreeSet<String> {
    documents(rig).await.iter().map(trace_of).collect()
}

async fn assert_every_application_reached_its_own_node(
    rig: &Rig,
    before: &BTreeMap<String, u64>,
    reports: &BTreeMap<&str, Report>,
) {
    let after = accepted_by_node(rig).await;
    for (node, report) in reports {
        assert_eq!(
            after[*node] - before[*node],
            report.spans,
            "spans of {node}: {before:?} {after:?}"
        );
    }
}

/// Everything that X-Ray has taken.
async fn documents(rig: &Rig) -> Vec<Value> {
    let (status, text) = rig.fakes(Method::GET, "/_fake/records", "").await.unwrap();
    assert!(status.is_success(), "{status}: {text}");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn trace_of(document: &Value) -> String {
    let id = document["trace_id"].as_str().unwrap_or_default();
    id.split('-').skip(1).collect()
}

async fn assert_what_is_owed_is_in_xray_and_of_the_rest_a_tenth(rig: &Rig, reports: &BTreeMap<&str, Report>) {
    let sent = || reports.values().flat_map(|report| &report.traces);
    let owed: BTreeSet<&str> = sent()
        .filter(|one| one.is_owed())
        .map(|one| one.trace_id.as_str())
        .collect();
    let rest: BTreeSet<&str> = sent()
        .filter(|one| !one.is_owed())
        .map(|one| one.trace_id.as_str())
        .collect();
    let of_these = |records: &[Value]| -> BTreeSet<String> {
        let known = |id: &String| owed.contains(id.as_str()) || rest.contains(id.as_str());
        records.iter().map(trace_of).filter(known).collect()
    };
    wait_until("owed traces in X-Ray", EXPORT_LIMIT, || async {
        let found = of_these(&documents(rig).await);
        let missing = owed.iter().filter(|id| !found.contains(**id)).count();
        ensure!(missing == 0, "{missing} of {} are missing", owed.len());
        Ok(())
    })
    .await
    .unwrap();
    // What is undecided when the last owed trace is there: nothing that was sent before it; one more wait tells.
    wait_until("decision on every span", EXPORT_LIMIT, || async {
        for pod in rig.pods("tracing", "otel-collector").await? {
            let inside = account_of(&pod).await?.spans_inside();
            ensure!(inside == 0, "{inside} spans inside");
        }
        Ok(())
    })
    .await
    .unwrap();
    let records = documents(rig).await;
    let kept_of_rest = of_these(&records)
        .iter()
        .filter(|id| rest.contains(id.as_str()))
        .count();
    // Six standard deviations of a binomial: wrong once in 500 million runs.
    let (n, p) = (rest.len() as f64, 0.1);
    let (mean, sigma) = (n * p, (n * p * (1.0 - p)).sqrt());
    assert!(
        (kept_of_rest as f64 - mean).abs() <= 6.0 * sigma,
        "{kept_of_rest} of {n} kept, {mean} expected"
    );
    for document in &records {
        assert_eq!(document["annotations"]["cluster_name"], "prod-eu", "{document}");
    }
}

async fn assert_credentials_came_from_sts_by_the_pods_own_token(rig: &Rig, role: &str) {
    let (_, text) = rig.fakes(Method::GET, "/_fake/sts", "").await.unwrap();
    let calls: Value = serde_json::from_str(&text).unwrap();
    let granted = calls.as_array().unwrap().iter().filter(|call| {
        call["action"] == "AssumeRoleWithWebIdentity"
            && call["result"] == "OK"
            && call["subject"] == "system:serviceaccount:tracing:otel-collector-collector"
            && call["role"] == role
    });
    let pods: BTreeSet<&str> = granted.filter_map(|call| call["pod"].as_str()).collect();
    for pod in rig.pods("tracing", "otel-collector").await.unwrap() {
        let name = pod["metadata"]["name"].as_str().unwrap();
        assert!(
            pods.contains(name),
            "no credentials by the token of {name}: {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_service_accounts_token_gets_no_credentials() {
    let Some(rig) = rig().await else { return };
    let pipeline = rig.until_ready("tracing", "otel-collector").await;
    let role = pipeline["status"]["identity"]["roleArn"].as_str().unwrap();
    let ca = std::env::var("TRACEPIPE_AWS_CA").unwrap();
    for (namespace, account, audience, refused) in [
        ("tracing", "otel-collector-collector", "sts.amazonaws.com", None),
        ("tracing", "default", "sts.amazonaws.com", Some("AccessDenied")),
        ("tp-names", "default", "sts.amazonaws.com", Some("AccessDenied")),
        (
            "tracing",
            "otel-collector-collector",
            "elsewhere",
            Some("InvalidIdentityToken"),
        ),
    ] {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let request = json!({ "spec": { "audiences": [audience], "expirationSeconds": 600 } });
        let token = rig.api.post(&path, &request).await.unwrap().success().unwrap();
        let token = token["status"]["token"].as_str().unwrap();
        let answer = assume(&ca, role, token).await;
        match refused {
            None => assert!(answer.contains("<SessionToken>"), "{answer}"),
            Some(code) => {
                assert!(
                    answer.contains(code),
                    "{namespace}/{account} for {audience}: {answer}"
                );
                assert!(
                    !answer.contains("<SessionToken>") && !answer.contains(token),
                    "{answer}"
                );
            }
        }
    }
}

/// AssumeRoleWithWebIdentity as any client makes it.
async fn assume(ca: &str, role: &str, token: &str) -> String {
    let fakes = tracepipe_e2e::cluster::network::FAKES;
    let output = tokio::process::Command::new("python3")
        .args(["-c", ASSUME, &fakes.to_string(), ca, role, token])
        .output()
        .await
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Connects to the fakes by address and asks for STS by name, which resolves on the cluster only.
const ASSUME: &str = r#"
import socket, ssl, sys, urllib.parse
address, ca, role, token = sys.argv[1:]
name = "sts.eu-west-1.amazonaws.com"
body = urllib.parse.urlencode({"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleArn": role,
                               "RoleSessionName": "test", "WebIdentityToken": token})
head = (f"POST / HTTP/1.1\r\nHost: {name}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n")
context = ssl.create_default_context(cafile=ca)
with context.wrap_socket(socket.create_connection((address, 443), 10), server_hostname=name) as stream:
    stream.sendall((head + body).encode())
    while data := stream.recv(65536):
        sys.stdout.write(data.decode())
"#;

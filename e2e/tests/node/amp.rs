//! `ampRemoteWriteEndpoint`: metrics of both nodes in the workspace, and nothing of it where it is not set.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, ensure};
use http::Method;
use serde_json::{Value, json};
use tracepipe_e2e::clock;
use tracepipe_e2e::cluster::REGION;
use tracepipe_e2e::cluster::wait::wait_until;
use tracepipe_e2e::fake_amp::WORKSPACE;
use tracepipe_e2e::load::{Outcome, Sender, Target};
use tracepipe_e2e::otlp_metrics::{Data, Metric, Number, Point, encode, single, texts};
use tracepipe_e2e::workload::Encoding;

use crate::rig::{ACCOUNT, LIMIT, Rig, message, rig};

const NAMESPACE: &str = "tracing";
const NAME: &str = "otel-collector";
/// How the series is called there.
const SERIES: &str = "orders_total";

fn workspace() -> String {
    format!("arn:aws:aps:{REGION}:{ACCOUNT}:workspace/{WORKSPACE}")
}

fn endpoint() -> String {
    format!("https://aps-workspaces.{REGION}.amazonaws.com/workspaces/{WORKSPACE}/api/v1/remote_write")
}

/// The same counter of the same service, as if its pod had been taken to each collector in turn.
async fn send(pods: &[Value]) -> anyhow::Result<Vec<String>> {
    let now = clock::unix_nanos();
    let point = Point {
        attributes: texts(&[("tier", "gold")]),
        start: now - 60_000_000_000,
        time: now,
        value: Number::Int(7),
        ..Point::default()
    };
    let body = encode(&single(Metric::new("orders", "", Data::counter(vec![point]))));
    let mut answers = Vec::new();
    for pod in pods {
        let address: IpAddr = pod["status"]["podIP"].as_str().context("an address")?.parse()?;
        let sender = Sender::of_metrics(Target::http(SocketAddr::new(address, 4318)))?;
        let outcome: Outcome = sender.send(body.clone(), Encoding::Protobuf).await;
        answers.push(outcome.name());
    }
    Ok(answers)
}

/// The labels of each series of the counter.
async fn written(rig: &Rig) -> anyhow::Result<Vec<Value>> {
    let (status, text) = rig.fakes(Method::GET, "/_fake/amp/series", "").await?;
    ensure!(status.is_success(), "{status}: {text}");
    let mut found = Vec::new();
    for line in text.lines() {
        let series: Value = serde_json::from_str(line)?;
        if series["labels"]["__name__"] == SERIES {
            found.push(series["labels"].clone());
        }
    }
    Ok(found)
}

/// What the operator has made of the pipeline: the statements of its role, its configuration, its pods' template.
#[derive(Debug, PartialEq)]
struct Made {
    statements: Value,
    config: Value,
    template: Value,
}

/// Asked of the objects and not of the status, which says nothing of a spec that is refused.
async fn made(rig: &Rig) -> anyhow::Result<Made> {
    let pipeline = rig.pipeline(NAMESPACE, NAME).await?;
    let uid = &pipeline["metadata"]["uid"];
    let roles = rig.iam_roles().await?;
    let is_its = |role: &&Value| role["tags"]["tracepipe.dev/uid"] == *uid;
    let role = roles.iter().find(is_its).context("a role")?;
    let policies = role["inline"].as_object().context("inline policies")?;
    ensure!(policies.len() == 1, "{policies:?}");
    let statements = policies.values().map(|policy| policy["Statement"].clone());
    let set = rig
        .object(&format!(
            "/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/{NAME}-collector"
        ))
        .await?;
    let template = set["spec"]["template"].clone();
    let volumes = template["spec"]["volumes"].as_array().context("volumes")?;
    let config = volumes.iter().find(|volume| volume["name"] == "config");
    let name = config.and_then(|volume| volume["configMap"]["name"].as_str());
    let name = name.context("a ConfigMap")?;
    let config = rig
        .object(&format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{name}"))
        .await?;
    Ok(Made {
        statements: statements.collect(),
        config: config["data"].clone(),
        template,
    })
}

/// Alone: it changes the pipeline that the release has made.
pub(crate) mod alone {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn an_endpoint_brings_the_metrics_of_both_nodes_and_without_it_nothing_is_left() {
        let Some(rig) = rig().await else { return };
        rig.until_ready(NAMESPACE, NAME).await;
        let before = made(&rig).await.unwrap();
        let text = format!("{before:?}");
        for word in ["aps", "prometheusremotewrite", "sigv4", "workspace"] {
            assert!(!text.contains(word), "{word}: {text}");
        }
        let pods = rig.pods(NAMESPACE, NAME).await.unwrap();
        let refused = send(&pods).await.unwrap();
        assert!(refused.iter().all(|answer| answer == "http 404"), "{refused:?}");

        // Nobody has allowed it.
        let spec = json!({ "ampRemoteWriteEndpoint": endpoint() });
        rig.change(NAMESPACE, NAME, spec.clone()).await.unwrap();
        let pipeline = rig
            .until(NAMESPACE, NAME, "ConfigAccepted", ("False", "InvalidConfig"))
            .await;
        let said = message(&pipeline, "ConfigAccepted");
        assert!(said.contains("aws.amp.workspaces"), "{said}");
        assert_eq!(made(&rig).await.unwrap(), before);

        rig.tell_operator(&format!("--amp-workspaces={}", workspace()))
            .await;
        rig.until(NAMESPACE, NAME, "ConfigAccepted", ("True", "Valid"))
            .await;
        rig.until_ready(NAMESPACE, NAME).await;
        let with = made(&rig).await.unwrap();
        let allowed = json!({
            "Sid": "AMP", "Effect": "Allow", "Action": ["aps:RemoteWrite"], "Resource": [workspace()],
        });
        assert_eq!(with.statements[0][0], before.statements[0][0]);
        assert_eq!(with.statements[0][1], allowed);
        let config = with.config["collector.yaml"].as_str().unwrap();
        assert!(config.contains(&endpoint()), "{config}");

        // Series of both nodes, each with its own label: no collector writes into another's.
        let pods = rig.pods(NAMESPACE, NAME).await.unwrap();
        let nodes: BTreeSet<&str> = pods
            .iter()
            .filter_map(|pod| pod["spec"]["nodeName"].as_str())
            .collect();
        assert_eq!(nodes.len(), 2, "{nodes:?}");
        let taken = send(&pods).await.unwrap();
        assert!(taken.iter().all(|answer| answer == "ok"), "{taken:?}");
        let series = wait_until("series of both nodes in the workspace", LIMIT, || async {
            let found = written(&rig).await?;
            ensure!(found.len() == 2, "{found:?}");
            Ok(found)
        })
        .await
        .unwrap();
        let told: BTreeSet<&str> = series
            .iter()
            .filter_map(|labels| labels["collector_node"].as_str())
            .collect();
        assert_eq!(told, nodes);
        for labels in &series {
            for (name, value) in [
                ("job", "shop"),
                ("tier", "gold"),
                ("cluster_name", "prod-eu"),
                ("service_name", "shop"),
            ] {
                assert_eq!(labels[name], value, "{name}: {labels}");
            }
        }

        rig.change(NAMESPACE, NAME, json!({ "ampRemoteWriteEndpoint": null }))
            .await
            .unwrap();
        rig.until_ready(NAMESPACE, NAME).await;
        let after = wait_until("what there was before", LIMIT, || async {
            let after = made(&rig).await?;
            ensure!(after == before, "{after:?}");
            Ok(after)
        })
        .await
        .unwrap();
        assert_eq!(after, before);
        let pods = rig.pods(NAMESPACE, NAME).await.unwrap();
        let refused = send(&pods).await.unwrap();
        assert!(refused.iter().all(|answer| answer == "http 404"), "{refused:?}");
    }
}

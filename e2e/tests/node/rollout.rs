//! A changed setting rolls the collectors, and nothing that was sent meanwhile is refused or lost.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::process::Child;
use tracepipe_e2e::cluster::network::Node;
use tracepipe_e2e::cluster::wait::wait_until;

use crate::apps;
use crate::rig::{LIMIT, Rig, named_python, rig};

/// More than the whole roll takes; the applications are stopped when it is over.
const TRACES: &str = "100000";
/// Traces a second of each application, three spans each.
const RATE: &str = "40";

/// Alone: it changes the pipeline that others measure.
pub(crate) mod alone {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_changed_sampling_rate_rolls_every_collector_and_loses_nothing() {
        let (Some(rig), Some(python)) = (rig().await, named_python()) else {
            return;
        };
        rig.until_ready("tracing", "otel-collector").await;
        // Every trace fails, so that every one of them is owed whatever the rate is.
        let before = sum_of(&rig, "tracepipe_spans_accepted").await;
        let refused_before = sum_of(&rig, "tracepipe_requests_refused").await;
        let args = ["--traces", TRACES, "--rate", RATE, "--all-fail"];
        let first = apps::start(&rig, &python, Node::Node1, "steady-one", &args)
            .await
            .unwrap();
        let second = apps::start(&rig, &python, Node::Node2, "steady-two", &args)
            .await
            .unwrap();
        under_load(&rig).await;

        let old = rig.pods("tracing", "otel-collector").await.unwrap();
        let logs: Vec<Child> = old.iter().map(|pod| follow(&rig, pod)).collect();
        rig.change(
            "tracing",
            "otel-collector",
            json!({ "samplingRatePercentage": "12.5" }),
        )
        .await
        .unwrap();
        let ready = rig.until_ready("tracing", "otel-collector").await;
        assert_eq!(ready["status"]["effective"]["samplingRatePercentage"], "12.5");
        let mut accounts = Vec::new();
        for log in logs {
            accounts.push(last_account(log).await.unwrap());
        }
        // The new ones take the load as the old ones did.
        under_load(&rig).await;
        let reports = [first.stop(&rig).await.unwrap(), second.stop(&rig).await.unwrap()];
        for report in &reports {
            assert_eq!(
                (report.exported, report.failed),
                (report.spans, 0),
                "the SDK delivered everything"
            );
        }

        let sent: BTreeSet<&str> = reports
            .iter()
            .flat_map(|it| &it.traces)
            .map(|it| it.trace_id.as_str())
            .collect();
        wait_until("every trace in X-Ray", LIMIT, || async {
            let found = crate::line::traces_in_xray(&rig).await;
            let missing = sent.iter().filter(|id| !found.contains(**id)).count();
            ensure!(missing == 0, "{missing} of {} are missing", sent.len());
            Ok(())
        })
        .await
        .unwrap();
        for pod in rig.pods("tracing", "otel-collector").await.unwrap() {
            accounts.push(crate::line::account_of(&pod).await.unwrap());
        }
        let sum = |name: &str| accounts.iter().map(|account| account.sum(name)).sum::<u64>();
        // What other tests were refused is not of this load.
        assert_eq!(sum("tracepipe_requests_refused"), refused_before);
        assert_eq!(
            sum("tracepipe_spans_lost") + sum("tracepipe_exporter_spans_lost"),
            0
        );
        let spans: u64 = reports.iter().map(|report| report.spans).sum();
        assert_eq!(sum("tracepipe_spans_accepted") - before, spans, "each span once");
    }
}

/// A figure of the collectors of now.
async fn sum_of(rig: &Rig, name: &str) -> u64 {
    let mut sum = 0;
    for pod in rig.pods("tracing", "otel-collector").await.unwrap() {
        sum += crate::line::account_of(&pod).await.unwrap().sum(name);
    }
    sum
}

/// Waits until each collector has taken more.
async fn under_load(rig: &Rig) {
    let mut before = Vec::new();
    for pod in rig.pods("tracing", "otel-collector").await.unwrap() {
        before.push((
            pod.clone(),
            crate::line::account_of(&pod)
                .await
                .unwrap()
                .sum("tracepipe_spans_accepted"),
        ));
    }
    for (pod, accepted) in before {
        wait_until("spans on each node", LIMIT, || async {
            let now = crate::line::account_of(&pod)
                .await?
                .sum("tracepipe_spans_accepted");
            ensure!(now > accepted + 100, "{now} after {accepted}");
            Ok(())
        })
        .await
        .unwrap();
    }
}

/// The pod's log until the pod ends: afterwards there is none.
fn follow(rig: &Rig, pod: &Value) -> Child {
    let name = pod["metadata"]["name"].as_str().unwrap();
    let mut command = rig.command("kubectl");
    command.args(["logs", "--follow", "--tail", "1", "--namespace", "tracing", name]);
    command.stdout(std::process::Stdio::piped()).spawn().unwrap()
}

/// What a collector has logged at its end.
async fn last_account(log: Child) -> anyhow::Result<tracepipe_e2e::account::Account> {
    let output = tokio::time::timeout(Duration::from_secs(120), log.wait_with_output()).await??;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    tracepipe_e2e::collector::account_in_log(text.lines()).with_context(|| format!("no account in {text}"))
}

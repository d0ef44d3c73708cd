//! What collectors say of their exporters when the operator asks them, as the condition `Exporting`.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, ensure};
use http::Method;
use serde_json::Value;
use tracepipe_e2e::cluster::wait::wait_until;
use tracepipe_e2e::fake_xray::{Failure, Script, When};
use tracepipe_e2e::load::{Sender, Target};
use tracepipe_e2e::workload::{Encoding, Mix, Plain};

use crate::rig::{LIMIT, Rig, condition, message, rig};

const NAMESPACE: &str = "tracing";
const NAME: &str = "otel-collector";

/// Failed traces, which are kept, to each collector.
async fn send(pods: &[Value], seed: u64) -> anyhow::Result<()> {
    let failed = Mix {
        error_share: 1.0,
        ..Mix::default()
    };
    let plain = Plain::new(seed, failed, 1_764_000_000_000_000_000, 1000)?;
    for (number, pod) in (0..).zip(pods) {
        let address: IpAddr = pod["status"]["podIP"].as_str().context("an address")?.parse()?;
        let sender = Sender::new(Target::http(SocketAddr::new(address, 4318)))?;
        sender.send(plain.request(number).body, Encoding::Protobuf).await;
    }
    Ok(())
}

async fn script(rig: &Rig, script: Option<Script>) {
    let body = serde_json::to_string(&script).unwrap();
    let (status, text) = rig.fakes(Method::POST, "/_fake/failure", &body).await.unwrap();
    assert!(status.is_success(), "{text}");
}

/// Alone: it makes X-Ray refuse what others want to see there, and the operator impatient.
pub(crate) mod alone {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_backend_that_denies_access_is_a_condition_until_it_does_not() {
        let Some(rig) = rig().await else { return };
        // In place of three minutes.
        rig.tell_operator("--exporting-patience=6").await;
        rig.until_ready(NAMESPACE, NAME).await;
        rig.until(NAMESPACE, NAME, "Exporting", ("True", "Exporting"))
            .await;
        let pods = rig.pods(NAMESPACE, NAME).await.unwrap();

        script(
            &rig,
            Some(Script {
                when: When::Every(1),
                failure: Failure::Status(403),
            }),
        )
        .await;
        send(&pods, 1).await.unwrap();
        let pipeline = rig
            .until(NAMESPACE, NAME, "Exporting", ("False", "AccessDenied"))
            .await;
        let said = message(&pipeline, "Exporting");
        for part in [
            "awsxray",
            "AccessDeniedException",
            "xray:PutTraceSegments",
            "since 20",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(condition(&pipeline, "Ready"), ("True".into(), "Ready".into()));
        let columns = rig
            .kubectl(&format!("get tracingpipelines -n {NAMESPACE}"))
            .await
            .unwrap();
        assert!(columns.contains("EXPORTING"), "{columns}");

        script(&rig, None).await;
        let pipeline = rig
            .until(NAMESPACE, NAME, "Exporting", ("True", "Exporting"))
            .await;
        assert_eq!(condition(&pipeline, "Ready"), ("True".into(), "Ready".into()));
        wait_until("what waited in X-Ray", LIMIT, || async {
            let found = crate::line::traces_in_xray(&rig).await;
            ensure!(!found.is_empty(), "nothing yet");
            Ok(())
        })
        .await
        .unwrap();
    }
}

//! Applications on the cluster: the real OpenTelemetry Python SDK, in a pod on a node of one's choice.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::Command;
use tracepipe_e2e::cluster::network::Node;
use tracepipe_e2e::cluster::wait::wait_until;

use crate::rig::{Rig, project};

/// Namespace of the applications, without Pod Security: they take Python from the machine by hostPath.
pub(crate) const NAMESPACE: &str = "apps";

/// What an application printed at its end.
#[derive(Debug, Deserialize)]
pub(crate) struct Report {
    pub(crate) spans: u64,
    pub(crate) exported: u64,
    pub(crate) failed: u64,
    pub(crate) traces: Vec<Sent>,
}

/// A trace that was sent.
#[derive(Debug, Deserialize)]
pub(crate) struct Sent {
    pub(crate) trace_id: String,
    pub(crate) error: bool,
    pub(crate) duration_ms: u64,
}

impl Sent {
    /// Whether every collector has to keep it.
    pub(crate) fn is_owed(&self) -> bool {
        self.error || self.duration_ms > 500
    }
}

/// An application in a pod.
pub(crate) struct App {
    name: String,
}

/// Starts `e2e/tools/python/app.py` on a node. It is told what applications are told, and nothing else.
pub(crate) async fn start(
    rig: &Rig,
    python: &Path,
    node: Node,
    service: &str,
    args: &[&str],
) -> anyhow::Result<App> {
    make_namespace(rig).await?;
    let command = [
        python.display().to_string(),
        scripts().join("app.py").display().to_string(),
    ];
    let args: Vec<String> = command
        .into_iter()
        .chain(args.iter().map(|arg| (*arg).to_owned()))
        .collect();
    let folders = folders(python).await?;
    let volumes: Vec<Value> = (0..)
        .zip(&folders)
        .map(|(index, path)| json!({ "name": format!("v{index}"), "hostPath": { "path": path } }))
        .collect();
    let mounts: Vec<Value> = (0..)
        .zip(&folders)
        .map(|(index, path)| json!({ "name": format!("v{index}"), "mountPath": path, "readOnly": true }))
        .collect();
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": service },
        "spec": {
            "nodeName": node.name(),
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 60,
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "app",
                // Nothing of the image is used but that it is there.
                "image": "tracepipe.dev/pause:test",
                "imagePullPolicy": "Never",
                "command": args,
                "env": [
                    {
                        "name": "OTEL_EXPORTER_OTLP_ENDPOINT",
                        "value": "http://otel-collector.tracing.svc.cluster.local:4317",
                    },
                    { "name": "OTEL_SERVICE_NAME", "value": service },
                ],
                "securityContext": { "runAsUser": 0 },
                "volumeMounts": mounts,
            }],
            "volumes": volumes,
        },
    });
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    rig.api.post(&path, &pod).await?.success()?;
    let name = service.to_owned();
    Ok(App { name })
}

impl App {
    /// Waits until it has ended, and reads what it printed.
    pub(crate) async fn report(&self, rig: &Rig, limit: Duration) -> anyhow::Result<Report> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{}", self.name);
        wait_until(&format!("end of {}", self.name), limit, || async {
            let pod = rig.object(&path).await?;
            let phase = pod["status"]["phase"].as_str().unwrap_or_default();
            ensure!(phase == "Succeeded" || phase == "Failed", "{}", pod["status"]);
            Ok(())
        })
        .await?;
        // The machine may write a line of the runtime's beside it.
        let log = rig.api.get(&format!("{path}/log")).await?.success()?;
        match log.as_str() {
            None => serde_json::from_value(log).context("the report"),
            Some(text) => bail!("{} printed no report: {text}", self.name),
        }
    }

    /// Tells it to stop, and waits for its report by following its log: the pod is gone afterwards.
    pub(crate) async fn stop(self, rig: &Rig) -> anyhow::Result<Report> {
        let follow = format!("logs --follow --namespace {NAMESPACE} {}", self.name);
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{}", self.name);
        let delete = async {
            rig.api.delete(&path, None).await?.success()?;
            anyhow::Ok(String::new())
        };
        let (log, _) = tokio::try_join!(rig.kubectl(&follow), delete)?;
        serde_json::from_str(&log).with_context(|| format!("the report in {log}"))
    }
}

async fn make_namespace(rig: &Rig) -> anyhow::Result<()> {
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
    let answer = rig.api.post("/api/v1/namespaces", &namespace).await?;
    ensure!(
        answer.status.is_success() || answer.status.as_u16() == 409,
        "{}",
        answer.message()
    );
    // The ServiceAccount controller is a moment behind.
    wait_until("ServiceAccount", Duration::from_secs(30), || async {
        rig.object(&format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"))
            .await
    })
    .await?;
    Ok(())
}

fn scripts() -> std::path::PathBuf {
    let path = project("e2e/tools/python");
    path.canonicalize().unwrap_or(path)
}

/// What Python needs of the machine: its own folders, and the C library's.
async fn folders(python: &Path) -> anyhow::Result<Vec<String>> {
    let ask = "import sys; print(sys.prefix); print(sys.base_prefix)";
    let output = Command::new(python)
        .args(["-c", ask])
        .output()
        .await
        .context("asking Python where it lies")?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let own = String::from_utf8(output.stdout)?;
    let mut folders: Vec<String> = own.lines().map(str::to_owned).collect();
    folders.push(scripts().display().to_string());
    for system in ["/usr", "/lib", "/lib64"] {
        if Path::new(system).exists() {
            folders.push(system.to_owned());
        }
    }
    folders.retain(|folder| folder == "/usr" || !folder.starts_with("/usr"));
    folders.dedup();
    Ok(folders)
}

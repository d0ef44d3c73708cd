//! What the tests stand on: the cluster's API server, namespaces, and pods that can be asked.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tracepipe_e2e::cluster::kube_api::KubeApi;
use tracepipe_e2e::cluster::network::Node;
use tracepipe_e2e::cluster::wait::wait_until;
use tracepipe_e2e::cluster::{BIN_VARIABLE, DIR_VARIABLE};
use tracepipe_e2e::http_get::http_get;

/// Nothing in these tests takes longer, unless it has failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// The value of a variable; without it, the line that says what is left out.
pub(crate) fn named(variable: &str) -> Option<PathBuf> {
    let value = std::env::var_os(variable).filter(|value| !value.is_empty());
    if value.is_none() {
        // Not a print macro: the test harness would swallow it.
        let line = "left out: the two-node cluster: started by scripts/cluster.sh test\n";
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    value.map(PathBuf::from)
}

/// The administrator of the cluster that this test runs in.
pub(crate) fn api() -> Option<KubeApi> {
    named(DIR_VARIABLE).map(|folder| KubeApi::of(&folder).unwrap())
}

/// One of the programs of the cluster: `kubectl`, `helm4`, `kstatus`.
pub(crate) fn program(name: &str) -> PathBuf {
    let bin = std::env::var_os(BIN_VARIABLE).expect("the folder of the cluster's programs");
    Path::new(&bin).join(name)
}

/// Makes a namespace under the restricted Pod Security Standard, with its default ServiceAccount.
pub(crate) async fn namespace(api: &KubeApi, name: &str) {
    let label = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let object = json!({"metadata": {"name": name, "labels": label}});
    api.post("/api/v1/namespaces", &object)
        .await
        .unwrap()
        .success()
        .unwrap();
    let path = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
    wait_until("ServiceAccount default", LIMIT, async || {
        api.get(&path).await?.success()
    })
    .await
    .unwrap();
}

/// What the restricted standard asks of a container.
pub(crate) fn restricted() -> Value {
    json!({
        "runAsNonRoot": true,
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}

/// A DaemonSet `echo` (`e2e/tools/cluster/pod/echo`) on both nodes and, before it, its Service with
/// `trafficDistribution: PreferSameNode`.
pub(crate) async fn echo(api: &KubeApi, namespace: &str) {
    let labels = json!({"app": "echo"});
    let service = json!({
        "metadata": {"name": "echo"},
        "spec": {
            "selector": labels,
            "ports": [{"port": 80, "targetPort": 8080}],
            "trafficDistribution": "PreferSameNode",
        },
    });
    let field =
        |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let daemon_set = json!({
        "metadata": {"name": "echo"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{
                    "name": "echo",
                    "image": "tracepipe.dev/echo:test",
                    "imagePullPolicy": "Never",
                    "env": [field("POD", "metadata.name"), field("NODE", "spec.nodeName")],
                    "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
                    "securityContext": restricted(),
                }]},
            },
        },
    });
    let core = format!("/api/v1/namespaces/{namespace}/services");
    let apps = format!("/apis/apps/v1/namespaces/{namespace}/daemonsets");
    for (path, object) in [(&core, &service), (&apps, &daemon_set)] {
        api.post(path, object).await.unwrap().success().unwrap();
    }
}

/// Waits for the ready pod of `echo` on a node; where it answers.
pub(crate) async fn echo_on(api: &KubeApi, namespace: &str, node: Node) -> SocketAddr {
    let name = node.name();
    let path = format!(
        "/api/v1/namespaces/{namespace}/pods?labelSelector=app%3Decho&fieldSelector=spec.nodeName%3D{name}"
    );
    wait_until(&format!("ready pod on {name}"), LIMIT, async || {
        let pods = api.get(&path).await?.success()?;
        let pod = pods["items"].get(0).context("no pod yet")?;
        let conditions = pod["status"]["conditions"]
            .as_array()
            .context("no conditions yet")?;
        let ready = conditions
            .iter()
            .any(|it| it["type"] == "Ready" && it["status"] == "True");
        ensure!(ready, "{}", pod["status"]);
        let address: Ipv4Addr = pod["status"]["podIP"]
            .as_str()
            .context("no address yet")?
            .parse()?;
        Ok(SocketAddr::from((address, 8080)))
    })
    .await
    .unwrap()
}

/// Asks a pod of `echo`; its JSON, also of a refusal.
pub(crate) async fn ask(pod: SocketAddr, path: &str) -> Value {
    let (_, body) = http_get(pod, path).await.unwrap();
    serde_json::from_str(&body).unwrap()
}

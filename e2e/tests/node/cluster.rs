//! What the tests of the operator take for granted of their cluster.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::process::Command;
use tracepipe_e2e::cluster::front::{self, KubeletAction};
use tracepipe_e2e::cluster::kube_api::{KubeApi, Patch};
use tracepipe_e2e::cluster::network::{FAKES, KUBERNETES_SERVICE, Node};
use tracepipe_e2e::cluster::wait::wait_until;
use tracepipe_e2e::cluster::{AWS_NAMES, DIR_VARIABLE, ISSUER, KUBERNETES_VERSION, REGION};

use crate::pods::{self, LIMIT, api, ask, echo, echo_on, namespace};

/// Enough that a random choice between two pods would not be the same one each time: 1 in a million.
const QUESTIONS: usize = 20;

#[tokio::test]
async fn both_nodes_are_of_this_version_and_know_their_region_and_zone() {
    let Some(api) = api() else { return };
    for node in Node::ALL {
        let path = format!("/api/v1/nodes/{}", node.name());
        let object = api.get(&path).await.unwrap().success().unwrap();
        assert_eq!(object["status"]["nodeInfo"]["kubeletVersion"], KUBERNETES_VERSION);
        let labels = &object["metadata"]["labels"];
        assert_eq!(labels["topology.kubernetes.io/region"], REGION);
        assert_eq!(labels["topology.kubernetes.io/zone"], node.zone());
    }
}

#[tokio::test]
async fn a_restricted_daemon_set_runs_on_both_nodes_and_a_privileged_pod_is_refused() {
    let Some(api) = api() else { return };
    namespace(&api, "restricted").await;
    echo(&api, "restricted").await;
    for node in Node::ALL {
        let pod = echo_on(&api, "restricted", node).await;
        assert_eq!(ask(pod, "/").await["node"], node.name());
        let range = node.pods().replace("0/24", "");
        assert!(
            pod.ip().to_string().starts_with(&range),
            "{pod} of {}",
            node.name()
        );
    }
    let privileged = json!({
        "metadata": {"name": "privileged"},
        "spec": {"containers": [{
            "name": "x",
            "image": "tracepipe.dev/echo:test",
            "securityContext": {"privileged": true},
        }]},
    });
    let answer = api
        .post("/api/v1/namespaces/restricted/pods", &privileged)
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.message());
}

#[tokio::test]
async fn a_service_that_prefers_the_same_node_answers_from_it_and_from_the_other_where_it_has_no_pod() {
    let Some(api) = api() else { return };
    namespace(&api, "same-node").await;
    echo(&api, "same-node").await;
    let pods = [
        echo_on(&api, "same-node", Node::Node1).await,
        echo_on(&api, "same-node", Node::Node2).await,
    ];
    let question = "/get?url=http://echo.same-node.svc.cluster.local/";
    for (node, pod) in Node::ALL.into_iter().zip(pods) {
        // The rules of a node follow the pods by a moment.
        wait_until("answers of the same node", LIMIT, async || {
            for _ in 0..QUESTIONS {
                let answer = ask(pod, question).await;
                let body = answer["body"].as_str().with_context(|| answer.to_string())?;
                let who: Value = serde_json::from_str(body)?;
                ensure!(who["node"] == node.name(), "{who} answered {}", node.name());
            }
            Ok(())
        })
        .await
        .unwrap();
    }
    // Away from node2; the pod there goes, and the Service goes on.
    let only_node1 =
        json!({"spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": "node1"}}}}});
    let path = "/apis/apps/v1/namespaces/same-node/daemonsets/echo";
    api.patch(path, Patch::Strategic(&only_node1))
        .await
        .unwrap()
        .success()
        .unwrap();
    wait_until("answers of the other node", LIMIT, async || {
        let answer = get_from(Node::Node2, &service_address(&api).await?).await?;
        ensure!(answer["node"] == "node1", "{answer} answered");
        Ok(())
    })
    .await
    .unwrap();
}

async fn service_address(api: &KubeApi) -> anyhow::Result<String> {
    let service = api
        .get("/api/v1/namespaces/same-node/services/echo")
        .await?
        .success()?;
    Ok(service["spec"]["clusterIP"]
        .as_str()
        .context("no address")?
        .to_owned())
}

/// What a process of a node, outside of its pods, gets from a ClusterIP.
async fn get_from(node: Node, address: &str) -> anyhow::Result<Value> {
    let folder = PathBuf::from(std::env::var_os(DIR_VARIABLE).context("no cluster")?);
    let machine = tracepipe_e2e::cluster::machine::Namespaces::of(&folder, node.name())?;
    let script = format!(
        "exec 3<>/dev/tcp/{address}/80; printf 'GET / HTTP/1.0\\r\\nHost: echo\\r\\n\\r\\n' >&3; cat <&3"
    );
    let output = machine
        .command("timeout")
        .args(["5", "bash", "-c", &script])
        .output()
        .await?;
    let text = String::from_utf8(output.stdout)?;
    let body = text
        .lines()
        .last()
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok(serde_json::from_str(body)?)
}

#[tokio::test]
async fn pods_resolve_services_and_aws_names_and_are_told_at_once_that_others_do_not_exist() {
    let Some(api) = api() else { return };
    namespace(&api, "names").await;
    echo(&api, "names").await;
    for node in Node::ALL {
        let pod = echo_on(&api, "names", node).await;
        let lookup = async |name: &str| ask(pod, &format!("/lookup?name={name}")).await;
        let of = |address: std::net::Ipv4Addr| json!({"addresses": [address.to_string()]});
        assert_eq!(
            lookup("kubernetes.default.svc.cluster.local").await,
            of(KUBERNETES_SERVICE)
        );
        assert_eq!(lookup("kubernetes.default").await, of(KUBERNETES_SERVICE));
        for name in AWS_NAMES {
            assert_eq!(lookup(name).await, of(FAKES), "{name}");
        }
        let unknown = lookup("example.org").await;
        let error = unknown["error"].as_str().unwrap();
        assert!(error.contains("no such host"), "{error}");
    }
}

#[tokio::test]
async fn a_service_account_token_is_of_the_issuer_whose_keys_everybody_may_read_and_its_writes_are_audited() {
    let Some(api) = api() else { return };
    namespace(&api, "tokens").await;
    let keys = api
        .anonymous()
        .get("/openid/v1/jwks")
        .await
        .unwrap()
        .success()
        .unwrap();
    assert_eq!(keys["keys"][0]["alg"], "RS256", "{keys}");
    let discovery = api
        .anonymous()
        .get("/.well-known/openid-configuration")
        .await
        .unwrap();
    assert_eq!(discovery.success().unwrap()["issuer"], ISSUER);

    let role = json!({
        "metadata": {"name": "writer"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}],
    });
    let binding = json!({
        "metadata": {"name": "writer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "writer"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "tokens"}],
    });
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/tokens";
    for (path, object) in [("roles", &role), ("rolebindings", &binding)] {
        api.post(&format!("{rbac}/{path}"), object)
            .await
            .unwrap()
            .success()
            .unwrap();
    }
    let path = "/api/v1/namespaces/tokens/serviceaccounts/default/token";
    let token = api
        .post(path, &json!({"spec": {"audiences": []}}))
        .await
        .unwrap()
        .success()
        .unwrap();
    let writer = api.with_token(token["status"]["token"].as_str().unwrap());
    let written = json!({"metadata": {"name": "written"}, "data": {"greeting": "hello auditor"}});
    // The authorizer learns of a new role by a watch.
    wait_until("right to write", LIMIT, async || {
        writer
            .post("/api/v1/namespaces/tokens/configmaps", &written)
            .await?
            .success()
    })
    .await
    .unwrap();

    let log = PathBuf::from(std::env::var_os(DIR_VARIABLE).unwrap()).join("audit.log");
    let event = wait_until("line in the audit log", LIMIT, async || {
        let text = std::fs::read_to_string(&log)?;
        let mut events = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let found = events.find(|event| {
            event["objectRef"]["namespace"] == "tokens"
                && event["responseStatus"]["code"] == 201
                && event["user"]["username"] == "system:serviceaccount:tokens:default"
        });
        found.context("no such event yet")
    })
    .await
    .unwrap();
    assert_eq!(
        event["requestObject"]["data"]["greeting"], "hello auditor",
        "{event}"
    );
}

#[tokio::test]
async fn kstatus_and_the_logs_tell_of_a_rolled_out_daemon_set() {
    let Some(api) = api() else { return };
    namespace(&api, "told").await;
    echo(&api, "told").await;
    for node in Node::ALL {
        echo_on(&api, "told", node).await;
    }
    wait_until("kstatus Current", LIMIT, async || {
        let line = kstatus(&["apps/v1/daemonsets", "told", "echo"]).await?;
        ensure!(line["kstatus"] == "Current", "{line}");
        ensure!(line["generation"] == line["observedGeneration"], "{line}");
        Ok(())
    })
    .await
    .unwrap();
    let missing = kstatus(&["apps/v1/daemonsets", "told", "nothing"]).await.unwrap();
    assert_eq!(missing["kstatus"], "NotFound");

    let pods = api
        .get("/api/v1/namespaces/told/pods")
        .await
        .unwrap()
        .success()
        .unwrap();
    let name = pods["items"][0]["metadata"]["name"].as_str().unwrap();
    let log = api
        .get(&format!("/api/v1/namespaces/told/pods/{name}/log"))
        .await
        .unwrap();
    assert_eq!((log.status, log.body), (StatusCode::OK, json!("")));
}

async fn kstatus(args: &[&str]) -> anyhow::Result<Value> {
    let output = Command::new(pods::program("kstatus"))
        .args(["-count", "1"])
        .args(args)
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Alone: a node that is not Ready is everybody's.
mod alone {
    use super::*;

    #[tokio::test]
    async fn a_node_whose_kubelet_hangs_is_not_ready_until_it_goes_on() {
        let Some(api) = api() else { return };
        let ready = async |wanted: &str| {
            let what = format!("condition Ready of node2 to be {wanted}");
            wait_until(&what, Duration::from_secs(90), async || {
                let node = api.get("/api/v1/nodes/node2").await?.success()?;
                let conditions = node["status"]["conditions"].as_array().context("conditions")?;
                let ready = conditions
                    .iter()
                    .find(|it| it["type"] == "Ready")
                    .context("Ready")?;
                ensure!(ready["status"] == wanted, "{ready}");
                Ok(())
            })
            .await
            .unwrap();
        };
        front::kubelet(KubeletAction::Pause, Node::Node2).await.unwrap();
        ready("Unknown").await;
        front::kubelet(KubeletAction::Resume, Node::Node2).await.unwrap();
        ready("True").await;
    }
}

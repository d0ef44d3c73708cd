//! What runs on a node: containerd, kubelet, kube-proxy, and the images.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use super::credentials::{Credentials, User};
use super::daemon::{Daemon, Start, path_with};
use super::kube_api::KubeApi;
use super::machine::Namespaces;
use super::network::{CONTROL_PLANE, Node, PODS};
use super::wait::wait_until;
use super::{REGION, cgroups};
use crate::http_get::http_get;

/// From the start of a kubelet to a Ready node on a loaded machine; ten seconds on a free one.
const READY_LIMIT: Duration = Duration::from_secs(120);
/// Where Debian puts the CNI plugins.
const CNI_PLUGINS: &str = "/usr/lib/cni";
/// Of the image beside the programs, `pause.tar`.
const PAUSE_IMAGE: &str = "tracepipe.dev/pause:test";
/// kube-proxy's health server.
const PROXY_HEALTH_PORT: u16 = 10_256;

/// What starts the programs of one node.
#[derive(Debug)]
pub(crate) struct NodeParts<'a> {
    pub(crate) node: Node,
    pub(crate) machine: &'a Namespaces,
    pub(crate) cluster: &'a Path,
    pub(crate) bin: &'a Path,
    pub(crate) credentials: &'a Credentials,
}

impl NodeParts<'_> {
    /// What runs containers.
    pub(crate) fn start_containerd(&self) -> anyhow::Result<Daemon> {
        let cni = self.cluster.join(self.node.name()).join("cni");
        std::fs::create_dir_all(&cni)?;
        std::fs::write(cni.join("10-pods.conflist"), cni_config(self.node).to_string())?;
        let config = self.write("containerd.toml", &containerd_config(&cni))?;
        self.start(
            "containerd",
            "containerd".as_ref(),
            vec![format!("--config={config}")],
        )
    }

    /// What makes the node one of the cluster; needs a containerd and an API server.
    pub(crate) fn start_kubelet(&self) -> anyhow::Result<Daemon> {
        let resolv = self.write("resolv.conf", &format!("nameserver {CONTROL_PLANE}\n"))?;
        let config = self.write("kubelet.json", &kubelet_config(self.node, &resolv).to_string())?;
        let kubeconfig = self.credentials.kubeconfig(User::Kubelet(self.node));
        let labels = format!(
            "topology.kubernetes.io/region={REGION},topology.kubernetes.io/zone={}",
            self.node.zone()
        );
        let args = vec![
            format!("--config={config}"),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--hostname-override={}", self.node.name()),
            format!("--node-ip={}", self.node.address()),
            format!("--node-labels={labels}"),
        ];
        self.start("kubelet", &self.bin.join("kubelet"), args)
    }

    /// What sends a Service's packets to its pods.
    pub(crate) fn start_proxy(&self) -> anyhow::Result<Daemon> {
        let kubeconfig = self.credentials.kubeconfig(User::KubeProxy);
        let config = proxy_config(self.node, &kubeconfig).to_string();
        let config = self.write("kube-proxy.json", &config)?;
        self.start(
            "kube-proxy",
            &self.bin.join("kube-proxy"),
            vec![format!("--config={config}")],
        )
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<String> {
        let path = self.cluster.join(self.node.name()).join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path.display().to_string())
    }

    fn start(&self, name: &str, program: &Path, args: Vec<String>) -> anyhow::Result<Daemon> {
        Daemon::start(Start {
            name: daemon_name(self.node, name),
            program: program.to_owned(),
            args,
            machine: self.machine,
            cluster: self.cluster,
            bin: self.bin,
        })
    }
}

/// The name of a node's program among the daemons: `node1-kubelet`.
pub(crate) fn daemon_name(node: Node, program: &str) -> String {
    format!("{}-{program}", node.name())
}

/// Brings an image (a docker-archive or OCI archive) to a node.
pub(crate) async fn load_image(machine: &Namespaces, archive: &Path) -> anyhow::Result<()> {
    let file = File::open(archive).with_context(|| format!("the image {}", archive.display()))?;
    // By standard input: a node has other files than the host in some folders.
    let output = machine
        .command("ctr")
        .args(["--namespace=k8s.io", "images", "import", "-"])
        .env("PATH", path_with(Path::new("/usr/bin")))
        .stdin(Stdio::from(file))
        .kill_on_drop(true)
        .output()
        .await?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!(
            "the image {} could not be loaded: {}",
            archive.display(),
            why.trim()
        );
    }
    Ok(())
}

/// Until containerd answers.
pub(crate) async fn wait_for_containerd(node: Node, machine: &Namespaces) -> anyhow::Result<()> {
    wait_until(&format!("containerd on {}", node.name()), READY_LIMIT, || async {
        let output = machine
            .command("ctr")
            .args(["--namespace=k8s.io", "images", "list", "-q"])
            .kill_on_drop(true)
            .output()
            .await?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    })
    .await
}

/// Until Kubernetes says that the node is Ready and its kube-proxy has written its rules.
pub(crate) async fn wait_for_node(node: Node, api: &KubeApi) -> anyhow::Result<()> {
    let name = node.name();
    let health = SocketAddr::from((node.address(), PROXY_HEALTH_PORT));
    wait_until(
        &format!("Ready {name} with a healthy kube-proxy"),
        READY_LIMIT,
        || async {
            let answer = api.get(&format!("/api/v1/nodes/{name}")).await?.success()?;
            let conditions = answer["status"]["conditions"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let ready = conditions.iter().find(|one| one["type"] == "Ready");
            let ready = ready.context("the node has no condition Ready yet")?;
            ensure!(ready["status"] == "True", "{}", ready["message"]);
            let (status, body) = http_get(health, "/healthz").await?;
            ensure!(status.is_success(), "kube-proxy: {status} {body}");
            Ok(())
        },
    )
    .await
}

/// For containerd 1.6 and later. /run and /var/lib are the node's own, so places are the defaults.
fn containerd_config(cni: &Path) -> String {
    let cni = cni.display();
    // A machine may lack CAP_SYS_RESOURCE (`restrict_oom_score_adj`) and huge pages; the node's processes run under no
    // AppArmor profile of the host's.
    format!(
        r#"version = 2
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt"]

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
restrict_oom_score_adj = true
disable_hugetlb_controller = true
tolerate_missing_hugetlb_controller = true
disable_apparmor = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI_PLUGINS}"
conf_dir = "{cni}"

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
"#
    )
}

/// A pod's link ends at its node, as on EKS, not at a bridge: each packet is routed, so that kube-proxy's rules see
/// answers between two pods of one node without the kernel's bridge filter.
fn cni_config(node: Node) -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": node.pods()}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
}

fn kubelet_config(node: Node, resolv: &str) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "address": node.address().to_string(),
        "clusterDNS": [CONTROL_PLANE.to_string()],
        "clusterDomain": "cluster.local",
        "resolvConf": resolv,
        // The API server comes without a certificate, and nobody else reaches the node.
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroups::root_of(node),
        "failSwapOn": false,
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "localStorageCapacityIsolation": false,
        "enforceNodeAllocatable": [],
        // A full disk is not this cluster's, and no image of it can be pulled again.
        "evictionHard": {},
        "imageGCHighThresholdPercent": 100,
        // The lease is renewed at a quarter of it; the controller manager gives a node 20 s.
        "nodeLeaseDurationSeconds": 20,
        "nodeStatusUpdateFrequency": "5s",
    })
}

fn proxy_config(node: Node, kubeconfig: &Path) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": node.name(),
        // What comes from elsewhere (the host) is answered by way of this node.
        "detectLocalMode": "ClusterCIDR",
        "clusterCIDR": PODS,
        "clientConnection": {"kubeconfig": kubeconfig},
        "healthzBindAddress": format!("{}:{PROXY_HEALTH_PORT}", node.address()),
        "metricsBindAddress": "127.0.0.1:10249",
        // The kernel's limits are the host's.
        "conntrack": {"maxPerCore": 0, "min": 0},
    })
}

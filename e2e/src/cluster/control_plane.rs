//! etcd, the API server and what works for it, CoreDNS and the fakes of AWS: all in one machine.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;

use super::credentials::{Credentials, User};
use super::daemon::{Daemon, Start};
use super::kube_api::KubeApi;
use super::machine::Namespaces;
use super::network::{API_PORT, CONTROL_PLANE, FAKES, FAKES_CONTROL_PORT, SERVICES};
use super::wait::wait_until;
use super::{AWS_NAMES, ISSUER, REGION};

/// From start to ready on a loaded machine; four seconds on a free one.
pub(crate) const READY_LIMIT: Duration = Duration::from_secs(120);
/// Without a sign of life for so long a node is not Ready. A lease is renewed every 5 s (`super::node`), so three may
/// come late before a node of a loaded machine is taken for dead.
const NODE_GRACE: &str = "20s";

/// What starts the programs of the control plane.
#[derive(Debug)]
pub(crate) struct ControlPlane<'a> {
    pub(crate) machine: &'a Namespaces,
    pub(crate) cluster: &'a Path,
    pub(crate) bin: &'a Path,
    pub(crate) credentials: &'a Credentials,
}

impl ControlPlane<'_> {
    /// etcd and kube-apiserver, which waits for etcd by itself.
    pub(crate) fn start_api(&self) -> anyhow::Result<[Daemon; 2]> {
        std::fs::write(self.cluster.join("audit-policy.json"), audit_policy())?;
        Ok([self.etcd()?, self.api_server()?])
    }

    /// What needs an API server.
    pub(crate) fn start_rest(&self) -> anyhow::Result<[Daemon; 3]> {
        self.write_corefile()?;
        Ok([self.controller_manager()?, self.scheduler()?, self.coredns()?])
    }

    /// The fakes of AWS, a program of the tests.
    pub(crate) fn start_fakes(&self, program: &Path) -> anyhow::Result<Daemon> {
        let api = format!("https://{CONTROL_PLANE}:{API_PORT}");
        let program = program
            .canonicalize()
            .with_context(|| format!("the fakes of AWS: {}", program.display()))?;
        self.start(
            program,
            "fake-aws",
            vec![
                format!("--listen={FAKES}:443"),
                format!("--control={}", fakes_control()),
                format!("--ca-file={}", fakes_ca(self.cluster).display()),
                format!("--jwks-url={api}/openid/v1/jwks"),
                format!("--jwks-ca={}", self.credentials.ca().display()),
                format!("--issuer={ISSUER}"),
                format!("--region={REGION}"),
            ],
        )
    }

    fn etcd(&self) -> anyhow::Result<Daemon> {
        let client = "http://127.0.0.1:2379";
        let peer = "http://127.0.0.1:2380";
        self.start_own(
            "etcd",
            vec![
                "--name=control-plane".to_owned(),
                format!("--data-dir={}", self.cluster.join("etcd").display()),
                format!("--listen-client-urls={client}"),
                format!("--advertise-client-urls={client}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster=control-plane={peer}"),
                // A power cut may lose this cluster.
                "--unsafe-no-fsync".to_owned(),
                "--log-level=warn".to_owned(),
            ],
        )
    }

    fn api_server(&self) -> anyhow::Result<Daemon> {
        let file = |name: &str| self.cluster.join(name).display().to_string();
        let (certificate, key) = self.credentials.serving();
        let signing = self.credentials.service_account_key();
        self.start_own(
            "kube-apiserver",
            vec![
                "--etcd-servers=http://127.0.0.1:2379".to_owned(),
                format!("--bind-address={CONTROL_PLANE}"),
                format!("--advertise-address={CONTROL_PLANE}"),
                format!("--secure-port={API_PORT}"),
                format!("--tls-cert-file={}", certificate.display()),
                format!("--tls-private-key-file={}", key.display()),
                format!("--service-cluster-ip-range={SERVICES}"),
                format!("--service-account-issuer={ISSUER}"),
                format!("--service-account-key-file={}", signing.display()),
                format!("--service-account-signing-key-file={}", signing.display()),
                // The audience of a token that names none, as in EKS.
                "--api-audiences=https://kubernetes.default.svc".to_owned(),
                format!("--token-auth-file={}", self.credentials.tokens().display()),
                "--authorization-mode=Node,RBAC".to_owned(),
                // The second is off by default; where it is on, as in OpenShift, the operator needs one right more.
                "--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement".to_owned(),
                // Whether a pod may be privileged is for Pod Security to say.
                "--allow-privileged=true".to_owned(),
                format!("--audit-policy-file={}", file("audit-policy.json")),
                format!("--audit-log-path={}", file("audit.log")),
                "--audit-log-format=json".to_owned(),
                // In MiB: whoever counts its lines should find them all in one file.
                "--audit-log-maxsize=10000".to_owned(),
                "--kubelet-preferred-address-types=InternalIP".to_owned(),
                // A lease of the address in etcd that lives 15 s after an end.
                "--endpoint-reconciler-type=lease".to_owned(),
            ],
        )
    }

    fn controller_manager(&self) -> anyhow::Result<Daemon> {
        let kubeconfig = self.credentials.kubeconfig(User::ControllerManager);
        let signing = self.credentials.service_account_key();
        self.start_own(
            "kube-controller-manager",
            vec![
                format!("--kubeconfig={}", kubeconfig.display()),
                format!("--root-ca-file={}", self.credentials.ca().display()),
                format!("--service-account-private-key-file={}", signing.display()),
                "--use-service-account-credentials=true".to_owned(),
                "--controllers=*,-nodeipam".to_owned(),
                "--leader-elect=false".to_owned(),
                "--bind-address=127.0.0.1".to_owned(),
                format!("--node-monitor-grace-period={NODE_GRACE}"),
                "--node-monitor-period=2s".to_owned(),
                // Its default lies in the host's /usr.
                format!(
                    "--flex-volume-plugin-dir={}",
                    self.cluster.join("flex-volumes").display()
                ),
                "--kube-api-qps=200".to_owned(),
                "--kube-api-burst=400".to_owned(),
            ],
        )
    }

    fn scheduler(&self) -> anyhow::Result<Daemon> {
        let kubeconfig = self.credentials.kubeconfig(User::Scheduler);
        self.start_own(
            "kube-scheduler",
            vec![
                format!("--kubeconfig={}", kubeconfig.display()),
                "--leader-elect=false".to_owned(),
                "--bind-address=127.0.0.1".to_owned(),
            ],
        )
    }

    fn coredns(&self) -> anyhow::Result<Daemon> {
        let corefile = self.cluster.join("Corefile");
        self.start_own(
            "coredns",
            vec!["-conf".to_owned(), corefile.display().to_string()],
        )
    }

    fn write_corefile(&self) -> anyhow::Result<()> {
        let hosts = self.cluster.join("dns-hosts");
        let lines: String = AWS_NAMES.iter().map(|name| format!("{FAKES} {name}\n")).collect();
        std::fs::write(&hosts, lines)?;
        let kubeconfig = self.credentials.kubeconfig(User::CoreDns);
        // No forward: a name that is in neither has to be answered at once, and no name of the outside world is needed.
        let corefile = format!(
            "cluster.local in-addr.arpa {{\n  errors\n  ready {CONTROL_PLANE}:8181\n  kubernetes {{\n    kubeconfig {}\n    ttl 5\n  }}\n  cache 5\n}}\n\
             . {{\n  errors\n  ready {CONTROL_PLANE}:8181\n  hosts {} . {{\n    reload 1s\n    ttl 1\n    no_reverse\n    fallthrough\n  }}\n  template ANY ANY . {{\n    rcode NXDOMAIN\n  }}\n}}\n",
            kubeconfig.display(),
            hosts.display(),
        );
        std::fs::write(self.cluster.join("Corefile"), corefile).context("writing the Corefile")
    }

    fn start_own(&self, name: &str, args: Vec<String>) -> anyhow::Result<Daemon> {
        self.start(self.bin.join(name), name, args)
    }

    fn start(&self, program: PathBuf, name: &str, args: Vec<String>) -> anyhow::Result<Daemon> {
        Daemon::start(Start {
            name: name.to_owned(),
            program,
            args,
            machine: self.machine,
            cluster: self.cluster,
            bin: self.bin,
        })
    }
}

/// Where the fakes' control server listens.
pub(crate) fn fakes_control() -> SocketAddr {
    SocketAddr::from((FAKES, FAKES_CONTROL_PORT))
}

/// The authority behind the fakes' HTTPS; the fakes write it.
pub(crate) fn fakes_ca(cluster: &Path) -> PathBuf {
    cluster.join("aws-ca.pem")
}

/// Until the API server says that it is ready, with all that it makes for itself.
pub(crate) async fn wait_for_api(api: &KubeApi) -> anyhow::Result<()> {
    wait_until("ready API server", READY_LIMIT, || async {
        let answer = api.get("/readyz").await?;
        ensure!(answer.status.is_success(), "/readyz: {}", answer.body);
        Ok(())
    })
    .await
}

/// Until something accepts connections there.
pub(crate) async fn wait_for_listener(what: &str, address: SocketAddr) -> anyhow::Result<()> {
    wait_until(what, READY_LIMIT, || async {
        tokio::net::TcpStream::connect(address).await?;
        Ok(())
    })
    .await
}

/// Until CoreDNS has read every Service.
pub(crate) async fn wait_for_dns() -> anyhow::Result<()> {
    let ready = SocketAddr::from((CONTROL_PLANE, 8181));
    wait_until("ready CoreDNS", READY_LIMIT, || async {
        let (status, body) = crate::http_get::http_get(ready, "/ready").await?;
        ensure!(status.is_success(), "/ready: {status} {body}");
        Ok(())
    })
    .await
}

/// The rights that no role of Kubernetes' own gives: CoreDNS reads what it answers with; the keys of the tokens are
/// public, as those of EKS are.
pub(crate) async fn grant(api: &KubeApi) -> anyhow::Result<()> {
    let role = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    let read = |groups: &[&str], resources: &[&str]| json!({"apiGroups": groups, "resources": resources, "verbs": ["list", "watch"]});
    let coredns = User::CoreDns.name();
    let role_of =
        |name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name});
    let subject = |kind: &str, name: &str| json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}]);
    let objects = [
        (
            role,
            json!({
                "metadata": {"name": coredns},
                "rules": [
                    read(&[""], &["services", "namespaces", "pods", "endpoints"]),
                    read(&["discovery.k8s.io"], &["endpointslices"]),
                ],
            }),
        ),
        (
            bindings,
            json!({
                "metadata": {"name": coredns},
                "roleRef": role_of(&coredns),
                "subjects": subject("User", &coredns),
            }),
        ),
        (
            bindings,
            json!({
                "metadata": {"name": "tracepipe-test:public-issuer"},
                "roleRef": role_of("system:service-account-issuer-discovery"),
                "subjects": subject("Group", "system:unauthenticated"),
            }),
        ),
    ];
    for (path, object) in &objects {
        api.post(path, object).await?.success()?;
    }
    Ok(())
}

/// Everything by its metadata; what ServiceAccounts write with its content.
fn audit_policy() -> String {
    let writes = ["create", "update", "patch", "delete", "deletecollection"];
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "omitManagedFields": true,
        "rules": [
            {"level": "Request", "verbs": writes, "userGroups": ["system:serviceaccounts"]},
            {"level": "Metadata"},
        ],
    })
    .to_string()
}

//! Who is who in the cluster: an authority, the keys that sign ServiceAccount tokens, and a token for each program.

use std::fs::{OpenOptions, Permissions};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, SanType,
};
use serde_json::json;

use super::network::{API_PORT, CONTROL_PLANE, KUBERNETES_SERVICE, Node};

/// A program, or a person, that the API server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// May do everything.
    Admin,
    ControllerManager,
    Scheduler,
    Kubelet(Node),
    KubeProxy,
    CoreDns,
}

impl User {
    const ALL: [Self; 7] = [
        Self::Admin,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Kubelet(Node::Node1),
        Self::Kubelet(Node::Node2),
        Self::KubeProxy,
        Self::CoreDns,
    ];

    /// The names that Kubernetes' own roles are bound to, but for CoreDNS.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Admin => "admin".to_owned(),
            Self::ControllerManager => "system:kube-controller-manager".to_owned(),
            Self::Scheduler => "system:kube-scheduler".to_owned(),
            Self::Kubelet(node) => format!("system:node:{}", node.name()),
            Self::KubeProxy => "system:kube-proxy".to_owned(),
            Self::CoreDns => "system:coredns".to_owned(),
        }
    }

    fn group(self) -> Option<&'static str> {
        match self {
            Self::Admin => Some("system:masters"),
            Self::Kubelet(_) => Some("system:nodes"),
            Self::ControllerManager | Self::Scheduler | Self::KubeProxy | Self::CoreDns => None,
        }
    }

    fn file(self) -> String {
        self.name().replace(':', "-")
    }
}

/// The files of the cluster's folder that say who is who.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    folder: PathBuf,
}

impl Credentials {
    /// Makes new ones in the cluster's folder.
    pub(crate) fn make(cluster: &Path) -> anyhow::Result<Self> {
        let this = Self {
            folder: cluster.to_owned(),
        };
        for folder in ["pki", "kubeconfigs"] {
            std::fs::create_dir_all(cluster.join(folder))?;
        }
        this.make_certificates()?;
        this.make_tokens()?;
        Ok(this)
    }

    /// The authority behind the API server's certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.join("pki/ca.pem")
    }

    /// The API server's certificate and key.
    pub(crate) fn serving(&self) -> (PathBuf, PathBuf) {
        let pki = self.folder.join("pki");
        (pki.join("apiserver.pem"), pki.join("apiserver-key.pem"))
    }

    /// The key pair of the ServiceAccount tokens.
    pub(crate) fn service_account_key(&self) -> PathBuf {
        self.folder.join("pki/service-accounts-key.pem")
    }

    /// kube-apiserver's `--token-auth-file`.
    pub(crate) fn tokens(&self) -> PathBuf {
        self.folder.join("tokens.csv")
    }

    /// How a user reaches the API server.
    pub(crate) fn kubeconfig(&self, user: User) -> PathBuf {
        match user {
            User::Admin => admin_kubeconfig(&self.folder),
            User::ControllerManager
            | User::Scheduler
            | User::Kubelet(_)
            | User::KubeProxy
            | User::CoreDns => self.folder.join("kubeconfigs").join(user.file()),
        }
    }

    fn make_certificates(&self) -> anyhow::Result<()> {
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name
            .push(DnType::CommonName, "tracepipe cluster authority");
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_key = KeyPair::generate()?;
        write_private(&self.ca(), &ca.self_signed(&ca_key)?.pem())?;
        let issuer = Issuer::new(ca, ca_key);

        let names = [
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ];
        let mut leaf = CertificateParams::new(names.map(str::to_owned).to_vec())?;
        for address in [CONTROL_PLANE, KUBERNETES_SERVICE, Ipv4Addr::LOCALHOST] {
            leaf.subject_alt_names
                .push(SanType::IpAddress(IpAddr::V4(address)));
        }
        leaf.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf_key = KeyPair::generate()?;
        let (certificate, key) = self.serving();
        write_private(&certificate, &leaf.signed_by(&leaf_key, &issuer)?.pem())?;
        write_private(&key, &leaf_key.serialize_pem())?;

        // RSA as in EKS: what verifies a token has to do it as there.
        let signing = KeyPair::generate_for(&PKCS_RSA_SHA256)?;
        write_private(&self.service_account_key(), &signing.serialize_pem())
    }

    fn make_tokens(&self) -> anyhow::Result<()> {
        let mut lines = String::new();
        for user in User::ALL {
            let token = random_token()?;
            let name = user.name();
            let group = user.group().unwrap_or_default();
            lines.push_str(&format!("{token},{name},{name},\"{group}\"\n"));
            let config = json!({
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "tracepipe", "cluster": {
                    "server": format!("https://{CONTROL_PLANE}:{API_PORT}"),
                    "certificate-authority": self.ca(),
                }}],
                "users": [{"name": name, "user": {"token": token}}],
                "contexts": [{"name": "tracepipe", "context": {"cluster": "tracepipe", "user": name}}],
                "current-context": "tracepipe",
            });
            write_private(&self.kubeconfig(user), &serde_json::to_string_pretty(&config)?)?;
            if user == User::Admin {
                write_private(&admin_token(&self.folder), &token)?;
            }
        }
        write_private(&self.tokens(), &lines)
    }
}

/// The kubeconfig of a cluster's administrator.
pub(crate) fn admin_kubeconfig(cluster: &Path) -> PathBuf {
    cluster.join("admin.kubeconfig")
}

/// The bearer token of a cluster's administrator.
pub(crate) fn admin_token(cluster: &Path) -> PathBuf {
    cluster.join("admin.token")
}

/// The certificate of a cluster's authority.
pub(crate) fn authority(cluster: &Path) -> PathBuf {
    cluster.join("pki/ca.pem")
}

/// 128 bits from the kernel, as hex digits.
fn random_token() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("/dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let write = || {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())
    };
    write().with_context(|| format!("writing {}", path.display()))
}

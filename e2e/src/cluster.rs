//! A real Kubernetes cluster of two nodes on one Linux machine: for the tests of the operator, and to play with.
//!
//! Every part is the real program (`e2e/tools/cluster/build.sh` makes them): etcd, kube-apiserver, controller manager,
//! scheduler, CoreDNS, and on each node containerd, kubelet and kube-proxy. Each of the three machines (the control
//! plane and two nodes) is a set of namespaces: network, mounts, process ids. Nothing listens in the host's own network
//! namespace, no mount is seen outside, and when the first process of a machine ends, the kernel ends all others in it.
//! So nothing survives a run, whatever ended it, but folders: [`folder`] removes them, at the end or at the next start.
//!
//! [`front`] is what `tracepipe-cluster` offers, [`supervisor`] the process that holds a cluster. Tests take
//! [`kube_api::KubeApi`], [`wait::wait_until`], [`machine::Namespaces`] and the addresses of [`network`].
//!
//! Linux with root only. x86-64 and arm64; cgroup v1 and v2.

mod cgroups;
mod control_plane;
mod credentials;
mod daemon;
pub mod folder;
pub mod front;
pub mod kube_api;
pub mod machine;
pub mod network;
mod node;
mod progress;
pub mod supervisor;
pub mod wait;

/// Names the folder of the running cluster; `tracepipe-cluster run` sets it for its command.
pub const DIR_VARIABLE: &str = "TRACEPIPE_CLUSTER_DIR";
/// Names the folder with the programs; `e2e/tools/cluster/build.sh` prints it.
pub const BIN_VARIABLE: &str = "TRACEPIPE_CLUSTER_BIN";
/// Set for the command when the fakes of AWS run: the URL of their control server.
pub const FAKE_AWS_VARIABLE: &str = "TRACEPIPE_FAKE_AWS";
/// Set for the command when the fakes of AWS run: the file (PEM) of the authority behind their HTTPS.
pub const AWS_CA_VARIABLE: &str = "TRACEPIPE_AWS_CA";

/// The Kubernetes version of `e2e/tools/cluster/kubernetes/go.mod`.
pub const KUBERNETES_VERSION: &str = "v1.34.4";
/// What signs the ServiceAccount tokens, in the form of EKS; `/openid/v1/jwks` of the API server has its keys.
pub const ISSUER: &str = "https://oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF";
/// The AWS region that the nodes' labels and the names of the fakes say.
pub const REGION: &str = "eu-west-1";
/// The AWS names that pods resolve to the fakes; more can be added in the file `dns-hosts`, read every second.
pub const AWS_NAMES: [&str; 4] = [
    "xray.eu-west-1.amazonaws.com",
    "aps-workspaces.eu-west-1.amazonaws.com",
    "sts.eu-west-1.amazonaws.com",
    "iam.amazonaws.com",
];

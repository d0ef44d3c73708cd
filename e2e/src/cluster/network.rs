//! Addresses, and the links between the machines.
//!
//! ```text
//! host 10.217.0.1 -- veth -- [bridge br0 in the control plane: .2, fakes .3] -- veth -- node1 .11, node2 .12
//! services 10.217.64.0/20     pods of node1 10.217.129.0/24, of node2 10.217.130.0/24
//! ```
//! The host has one link and three routes; it reaches API server, nodes, pods and, by node1's kube-proxy, Services.
//! All links end with the network namespace of the control plane. Pods reach nothing outside.

use std::net::Ipv4Addr;

use anyhow::bail;
use tokio::process::Command;

use super::machine::{Machine, run};

/// The range of everything: hosts, Services, pods.
pub const RANGE: &str = "10.217.0.0/16";
/// The host's own address in it.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 217, 0, 1);
/// API server (port 6443) and CoreDNS (port 53).
pub const CONTROL_PLANE: Ipv4Addr = Ipv4Addr::new(10, 217, 0, 2);
/// The fakes of AWS: HTTPS on port 443, their control server on [`FAKES_CONTROL_PORT`].
pub const FAKES: Ipv4Addr = Ipv4Addr::new(10, 217, 0, 3);
/// Plain HTTP, for the tests.
pub const FAKES_CONTROL_PORT: u16 = 8080;
/// The API server's port.
pub const API_PORT: u16 = 6443;
/// Where ClusterIPs lie.
pub const SERVICES: &str = "10.217.64.0/20";
/// The ClusterIP of `kubernetes.default`: the first of [`SERVICES`].
pub const KUBERNETES_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 217, 64, 1);
/// Where the pods of all nodes lie.
pub const PODS: &str = "10.217.128.0/17";

const HOST_LINK: &str = "tp-host";

/// One of the two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Node {
    /// In zone a.
    Node1,
    /// In zone b.
    Node2,
}

impl Node {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Node1, Self::Node2];

    /// Its name in Kubernetes, and that of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Node1 => "node1",
            Self::Node2 => "node2",
        }
    }

    /// Its address.
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 217, 0, 10 + self.number())
    }

    /// Where its pods lie.
    pub fn pods(self) -> String {
        format!("10.217.{}.0/24", 128 + self.number())
    }

    /// Its availability zone.
    pub fn zone(self) -> &'static str {
        match self {
            Self::Node1 => "eu-west-1a",
            Self::Node2 => "eu-west-1b",
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Node1 => Self::Node2,
            Self::Node2 => Self::Node1,
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Node1 => 1,
            Self::Node2 => 2,
        }
    }
}

/// Fails when the range is taken: by another network of this machine, or by a cluster that was not cleaned.
pub(crate) async fn check_free() -> anyhow::Result<()> {
    let mut command = Command::new("ip");
    let taken = run(command.args(["-4", "-o", "route", "show", "table", "all", "root", RANGE])).await?;
    if let Some(route) = taken.lines().next() {
        bail!("this machine has a route within {RANGE}, which the cluster needs: {route}");
    }
    Ok(())
}

/// Links host, control plane and nodes, and tells each how to reach the others.
pub(crate) async fn connect(control_plane: &Machine, nodes: &[(Node, &Machine)]) -> anyhow::Result<()> {
    let centre = control_plane.namespaces().pid().to_string();
    ip(&format!(
        "link add {HOST_LINK} type veth peer name host netns {centre}"
    ))
    .await?;
    ip(&format!("addr add {HOST}/24 dev {HOST_LINK}")).await?;
    ip(&format!("link set {HOST_LINK} up")).await?;

    let mut inside = vec![
        "link add br0 type bridge".to_owned(),
        format!("addr add {CONTROL_PLANE}/24 dev br0"),
        format!("addr add {FAKES}/24 dev br0"),
        "link set br0 up".to_owned(),
        "link set host master br0 up".to_owned(),
    ];
    for (node, machine) in nodes {
        let pid = machine.namespaces().pid();
        let name = node.name();
        ip(&format!(
            "link add {name} netns {centre} type veth peer name eth0 netns {pid}"
        ))
        .await?;
        inside.push(format!("link set {name} master br0 up"));
        inside.push(format!("route add {} via {}", node.pods(), node.address()));
    }
    ip_in(control_plane, &inside).await?;

    for (node, machine) in nodes {
        let mut lines = vec![
            format!("addr add {}/24 dev eth0", node.address()),
            "link set eth0 up".to_owned(),
            // kube-proxy rewrites a Service's address after the kernel has found a route for it.
            format!("route add {SERVICES} dev eth0"),
        ];
        let others = nodes.iter().filter(|(other, _)| other != node);
        lines.extend(others.map(|(other, _)| format!("route add {} via {}", other.pods(), other.address())));
        ip_in(machine, &lines).await?;
        ip(&format!("route add {} via {}", node.pods(), node.address())).await?;
    }
    let first = Node::Node1.address();
    ip(&format!("route add {SERVICES} via {first}")).await
}

/// Removes the host's link, and with it its routes, in case the kernel has not done so yet.
pub(crate) async fn disconnect() -> anyhow::Result<()> {
    if std::path::Path::new("/sys/class/net").join(HOST_LINK).exists() {
        // It may vanish by itself meanwhile, so only its presence afterwards is an error.
        drop(ip(&format!("link del {HOST_LINK}")).await);
    }
    if std::path::Path::new("/sys/class/net").join(HOST_LINK).exists() {
        bail!("the network link {HOST_LINK} could not be removed: ip link del {HOST_LINK}");
    }
    Ok(())
}

async fn ip(line: &str) -> anyhow::Result<()> {
    run(Command::new("ip").args(line.split(' '))).await.map(drop)
}

/// One process for all lines: entering a machine costs more than the lines do.
async fn ip_in(machine: &Machine, lines: &[String]) -> anyhow::Result<()> {
    let script: String = lines.iter().map(|line| format!("ip {line}\n")).collect();
    run(machine.namespaces().command("sh").args(["-ec", &script]))
        .await
        .map(drop)
}

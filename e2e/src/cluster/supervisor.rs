//! The process that holds a cluster: it starts everything, waits until it is no longer wanted, and removes everything.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::control_plane::{self, ControlPlane};
use super::credentials::Credentials;
use super::daemon::{Daemon, wake, while_all_live};
use super::folder::Folder;
use super::kube_api::KubeApi;
use super::machine::{Kind, Machine, Namespaces, run};
use super::network::{self, KUBERNETES_SERVICE, Node};
use super::node::{self, NodeParts};
use super::progress::Progress;
use super::wait::POLL_INTERVAL;
use super::{BIN_VARIABLE, KUBERNETES_VERSION, cgroups};

/// The name of the control plane's machine.
pub const CONTROL_PLANE_MACHINE: &str = "control-plane";
/// Folders that a node has for itself; a program that lies there is not seen inside.
const HIDDEN_IN_NODES: [&str; 3] = ["/run", "/var/log", "/var/lib"];
/// What `build.sh` puts into the folder of the programs.
const PROGRAMS: [&str; 9] = [
    "coredns",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubelet",
    "pause",
    "pause.tar",
];

/// What a cluster is started with.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Shown to whoever wants to start another.
    pub purpose: String,
    /// Image archives to load on both nodes.
    pub images: Vec<PathBuf>,
    /// The program that plays AWS.
    pub fake_aws: Option<PathBuf>,
    /// Where the logs stay when the cluster is removed: `logs` of its folder, `audit.log`, the pods' logs.
    pub keep_logs: Option<PathBuf>,
    /// Remove the cluster when standard input ends.
    pub until_stdin_ends: bool,
}

/// Holds a cluster until SIGTERM, SIGINT or SIGHUP, or until standard input ends, then removes it. What it does, and
/// what goes wrong, it says on standard output; whether all went well it returns.
pub async fn supervise(options: Options) -> bool {
    let mut progress = Progress::new();
    let held = hold(&options, &mut progress).await;
    if let Err(error) = &held {
        progress.say(format_args!("error: {error:#}"));
    }
    held.is_ok()
}

async fn hold(options: &Options, progress: &mut Progress) -> anyhow::Result<()> {
    let mut unwanted = Unwanted::new(options.until_stdin_ends)?;
    let bin = programs()?;
    let folder = Folder::take(&options.purpose).await?;
    let mut cluster = Cluster::new(folder, bin);

    let started = tokio::select! {
        started = cluster.start(options, progress) => started.map(|()| true),
        why = unwanted.wait() => { progress.say(why); Ok(false) }
    };
    if matches!(started, Ok(true)) {
        progress.ready();
        let why = tokio::select! {
            why = unwanted.wait() => why,
            never = tell_ends(&mut cluster.daemons, progress) => match never {},
        };
        progress.say(why);
    }
    let stopped = cluster.stop(options.keep_logs.as_deref(), progress).await;
    started?;
    stopped
}

/// Why a cluster is no longer wanted.
struct Unwanted {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
    stdin: Option<pipe::Receiver>,
}

impl Unwanted {
    fn new(until_stdin_ends: bool) -> anyhow::Result<Self> {
        // Not tokio's stdin: a thread would wait in it, and the end of this process for the thread.
        let stdin = if until_stdin_ends {
            let stdin = std::io::stdin().as_fd().try_clone_to_owned()?;
            Some(pipe::Receiver::from_owned_fd(stdin).context("standard input is no pipe")?)
        } else {
            None
        };
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            stdin,
        })
    }

    async fn wait(&mut self) -> &'static str {
        let stdin = async {
            match &mut self.stdin {
                None => std::future::pending().await,
                // Nothing is ever written: it ends with whoever holds the other side.
                Some(stdin) => drop(stdin.read(&mut [0; 64]).await),
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => "told to end: removing the cluster",
            _ = self.interrupt.recv() => "interrupted: removing the cluster",
            _ = self.hang_up.recv() => "the terminal is gone: removing the cluster",
            () = stdin => "the command has ended: removing the cluster",
        }
    }
}

#[derive(Debug)]
struct Cluster {
    folder: Folder,
    bin: PathBuf,
    control_plane: Option<Machine>,
    nodes: Vec<(Node, Machine)>,
    daemons: Vec<Daemon>,
}

impl Cluster {
    fn new(folder: Folder, bin: PathBuf) -> Self {
        Self {
            folder,
            bin,
            control_plane: None,
            nodes: Vec::new(),
            daemons: Vec::new(),
        }
    }

    async fn start(&mut self, options: &Options, progress: &mut Progress) -> anyhow::Result<()> {
        let path = self.folder.path().to_owned();
        progress.log_to(&path.join("logs/supervisor.log"))?;
        progress.say(format_args!(
            "starting Kubernetes {KUBERNETES_VERSION} in {}",
            path.display()
        ));
        let credentials = Credentials::make(&path)?;
        cgroups::make()?;
        self.make_machines().await?;
        progress.say("3 machines and their network are there");

        self.start_api_and_containerds(&credentials)?;
        self.load_images(&options.images).await?;
        progress.say(format_args!(
            "images are loaded: pause and {} more",
            options.images.len()
        ));
        let api = KubeApi::of(&path)?;
        let waiting = control_plane::wait_for_api(&api);
        while_all_live(&mut self.daemons, &["etcd", "kube-apiserver"], waiting).await?;
        progress.say("the API server is ready");

        self.start_rest(&credentials, options.fake_aws.as_deref())?;
        let waiting = async {
            control_plane::grant(&api).await?;
            control_plane::wait_for_dns().await
        };
        while_all_live(&mut self.daemons, &["coredns"], waiting).await?;
        progress.say("the control plane is ready");
        if options.fake_aws.is_some() {
            self.wait_for_fakes().await?;
            progress.say("the fakes of AWS are ready");
        }
        self.wait_for_nodes(&api).await?;
        progress.say("both nodes are Ready, Services are reachable");
        Ok(())
    }

    async fn make_machines(&mut self) -> anyhow::Result<()> {
        network::check_free().await?;
        let path = self.folder.path();
        let pause = self.bin.join("pause");
        let centre = Machine::start(Kind::ControlPlane, CONTROL_PLANE_MACHINE, path, &pause).await?;
        let centre = self.control_plane.insert(centre);
        for node in Node::ALL {
            let machine = Machine::start(Kind::Node, node.name(), path, &pause).await?;
            self.nodes.push((node, machine));
        }
        let nodes: Vec<(Node, &Machine)> = self
            .nodes
            .iter()
            .map(|(node, machine)| (*node, machine))
            .collect();
        network::connect(centre, &nodes).await
    }

    fn start_api_and_containerds(&mut self, credentials: &Credentials) -> anyhow::Result<()> {
        let mut started = Vec::from(self.control_plane(credentials)?.start_api()?);
        for parts in self.parts(credentials) {
            started.push(parts.start_containerd()?);
        }
        self.daemons.extend(started);
        Ok(())
    }

    fn start_rest(&mut self, credentials: &Credentials, fake_aws: Option<&Path>) -> anyhow::Result<()> {
        let centre = self.control_plane(credentials)?;
        let mut started = Vec::from(centre.start_rest()?);
        if let Some(program) = fake_aws {
            started.push(centre.start_fakes(program)?);
        }
        for parts in self.parts(credentials) {
            started.push(parts.start_kubelet()?);
            started.push(parts.start_proxy()?);
        }
        self.daemons.extend(started);
        Ok(())
    }

    async fn load_images(&mut self, images: &[PathBuf]) -> anyhow::Result<()> {
        let pause = self.bin.join("pause.tar");
        let machines: Vec<(Node, Namespaces)> = self
            .nodes
            .iter()
            .map(|(node, machine)| (*node, machine.namespaces().clone()))
            .collect();
        let loading = async {
            for (node, machine) in &machines {
                node::wait_for_containerd(*node, machine).await?;
                for archive in std::iter::once(&pause).chain(images) {
                    node::load_image(machine, archive).await?;
                }
            }
            Ok(())
        };
        let names = Node::ALL.map(|node| node::daemon_name(node, "containerd"));
        while_all_live(&mut self.daemons, &names.each_ref().map(String::as_str), loading).await
    }

    async fn wait_for_fakes(&mut self) -> anyhow::Result<()> {
        let control = control_plane::fakes_control();
        let waiting = async {
            control_plane::wait_for_listener("fakes of AWS", control).await?;
            let ca = control_plane::fakes_ca(self.folder.path());
            ensure!(ca.exists(), "the fakes of AWS have not written {}", ca.display());
            Ok(())
        };
        while_all_live(&mut self.daemons, &["fake-aws"], waiting).await
    }

    /// The Service of the API server is asked by way of node1: its kube-proxy works, and so do the host's routes.
    async fn wait_for_nodes(&mut self, api: &KubeApi) -> anyhow::Result<()> {
        for node in Node::ALL {
            let names =
                ["kubelet", "kube-proxy", "containerd"].map(|program| node::daemon_name(node, program));
            let waiting = node::wait_for_node(node, api);
            while_all_live(&mut self.daemons, &names.each_ref().map(String::as_str), waiting).await?;
        }
        let service = (KUBERNETES_SERVICE, 443).into();
        let waiting = control_plane::wait_for_listener("Service kubernetes by node1's kube-proxy", service);
        while_all_live(&mut self.daemons, &["node1-kube-proxy"], waiting).await
    }

    fn control_plane<'a>(&'a self, credentials: &'a Credentials) -> anyhow::Result<ControlPlane<'a>> {
        let machine = self
            .control_plane
            .as_ref()
            .context("the control plane was not made")?;
        Ok(ControlPlane {
            machine: machine.namespaces(),
            cluster: self.folder.path(),
            bin: &self.bin,
            credentials,
        })
    }

    fn parts<'a>(&'a self, credentials: &'a Credentials) -> Vec<NodeParts<'a>> {
        let parts = |(node, machine): &'a (Node, Machine)| NodeParts {
            node: *node,
            machine: machine.namespaces(),
            cluster: self.folder.path(),
            bin: &self.bin,
            credentials,
        };
        self.nodes.iter().map(parts).collect()
    }

    /// The machines first: with them everything ends that could hold something.
    async fn stop(self, keep_logs: Option<&Path>, progress: &mut Progress) -> anyhow::Result<()> {
        self.folder.say_stopping()?;
        let mut problems = Vec::new();
        problems.extend(wake(&self.daemons).await.err());
        let nodes = self.nodes.into_iter().map(|(_, machine)| machine);
        let mut machines: Vec<Machine> = nodes.chain(self.control_plane).collect();
        machines.iter_mut().for_each(Machine::tell_to_end);
        for machine in machines {
            problems.extend(machine.stop().await.err());
        }
        if let Some(to) = keep_logs {
            problems.extend(keep(self.folder.path(), to).await.err());
        }
        problems.extend(self.folder.remove().await.err());
        if let Some(problem) = problems.into_iter().next() {
            return Err(problem.context("removing the cluster"));
        }
        progress.say("the cluster is removed");
        Ok(())
    }
}

/// A test that fails because of it should not be the only one to say so. Nothing is started again.
async fn tell_ends(daemons: &mut Vec<Daemon>, progress: &mut Progress) -> std::convert::Infallible {
    loop {
        daemons.retain_mut(|daemon| {
            let Some(status) = daemon.ended() else {
                return true;
            };
            progress.say(format_args!(
                "{} ended: {status}; {}",
                daemon.name(),
                daemon.log_tail()
            ));
            false
        });
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// The folder of the programs, whole.
pub(crate) fn programs() -> anyhow::Result<PathBuf> {
    let named = std::env::var_os(BIN_VARIABLE).filter(|value| !value.is_empty());
    let Some(named) = named else {
        bail!("{BIN_VARIABLE} is not set: eval \"$(e2e/tools/cluster/build.sh)\"");
    };
    let bin = PathBuf::from(named)
        .canonicalize()
        .with_context(|| format!("{BIN_VARIABLE} names no folder"))?;
    if let Some(missing) = PROGRAMS.iter().find(|name| !bin.join(name).exists()) {
        bail!(
            "{missing} is not in {}: run e2e/tools/cluster/build.sh",
            bin.display()
        );
    }
    if let Some(hidden) = HIDDEN_IN_NODES.iter().find(|hidden| bin.starts_with(hidden)) {
        bail!(
            "{} is not seen in a node, which has a {hidden} of its own: set XDG_CACHE_HOME",
            bin.display()
        );
    }
    Ok(bin)
}

/// Copies what tells afterwards what happened. A pod's log is a file in `node1/log/pods`.
async fn keep(cluster: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
    let mut copied = vec![cluster.join("logs"), cluster.join("audit.log")];
    copied.extend(Node::ALL.map(|node| cluster.join(node.name()).join("log")));
    for from in copied.iter().filter(|from| from.exists()) {
        // Both nodes have a folder `log`.
        let parent = from.parent().filter(|parent| *parent != cluster);
        let place = parent
            .and_then(Path::file_name)
            .map_or_else(|| to.to_owned(), |name| to.join(name));
        std::fs::create_dir_all(&place)?;
        run(Command::new("cp")
            .args(["-R", "--no-dereference", "--"])
            .arg(from)
            .arg(place))
        .await?;
    }
    Ok(())
}

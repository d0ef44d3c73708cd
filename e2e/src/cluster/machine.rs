//! A machine of the cluster: its namespaces, and the process that holds them.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Namespaces are made in milliseconds; a loaded machine may take seconds.
const START_LIMIT: Duration = Duration::from_secs(20);
/// The kernel ends hundreds of processes at once, and pods may be deep in the disk.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// What a kubelet sets for the whole kernel unless it is so already (`ContainerManager`, setupKernelTunables). Files
/// with these values lie over the kernel's own in a node, so that the host keeps its settings.
const KERNEL_SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// What a machine's namespaces hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Sees the host's files as they are.
    ControlPlane,
    /// Has /run, /var/log and /var/lib of its own, and forwards packets.
    Node,
}

/// A machine that runs. It ends when this is dropped, and when this process ends.
#[derive(Debug)]
pub(crate) struct Machine {
    name: &'static str,
    holder: Child,
    namespaces: Namespaces,
}

/// How to get into a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespaces {
    pid: u32,
}

impl Machine {
    /// Makes the namespaces. `folder` is the machine's own; `cluster` is the cluster's, which stays visible inside;
    /// `pause` becomes the first process.
    pub(crate) async fn start(
        kind: Kind,
        name: &'static str,
        cluster: &Path,
        pause: &Path,
    ) -> anyhow::Result<Self> {
        let folder = cluster.join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let mut holder = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "KILL",
                "unshare",
                "--net",
                "--mount",
                "--pid",
                "--fork",
            ])
            .args(["--kill-child", "--mount-proc", "--propagation", "private"])
            .args(["sh", "-ec", &script(kind)])
            .args([pause, &folder, cluster])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting setpriv and unshare of util-linux")?;
        let pid = holder.id().context("a machine that ended at once")?;
        let stdout = holder
            .stdout
            .take()
            .context("a machine without standard output")?;
        let mut said = String::new();
        let mut lines = BufReader::new(stdout);
        let made = tokio::time::timeout(START_LIMIT, lines.read_line(&mut said)).await;
        if said != "made\n" {
            drop(holder.stdin.take());
            let why = match made {
                Err(_) => format!("not done after {START_LIMIT:?}"),
                Ok(_) => String::from_utf8_lossy(&holder.wait_with_output().await?.stderr).into_owned(),
            };
            bail!(
                "the namespaces of {name} could not be made (are you root?): {}",
                why.trim()
            );
        }
        std::fs::write(folder.join("pid"), pid.to_string())?;
        Ok(Self {
            name,
            holder,
            namespaces: Namespaces { pid },
        })
    }

    pub(crate) fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Ends every process in it; several machines can do that at once.
    pub(crate) fn tell_to_end(&mut self) {
        drop(self.holder.stdin.take());
    }

    /// Ends every process in it, and returns when there is none left.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.tell_to_end();
        match tokio::time::timeout(STOP_LIMIT, self.holder.wait()).await {
            Ok(status) => status.map(drop).context("waiting for the end of a machine"),
            Err(_) => bail!("{} has not ended after {STOP_LIMIT:?}", self.name),
        }
    }
}

impl Namespaces {
    /// Of a machine of the running cluster: `control-plane`, `node1` or `node2`.
    ///
    /// # Errors
    /// When no cluster runs in this folder.
    pub fn of(cluster: &Path, machine: &str) -> anyhow::Result<Self> {
        let file = cluster.join(machine).join("pid");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("no machine {machine} in {}: no cluster runs", cluster.display()))?;
        let pid = text
            .trim()
            .parse()
            .with_context(|| format!("{} holds no pid", file.display()))?;
        let this = Self { pid };
        if !this.path("net").exists() {
            bail!("the cluster in {} has ended", cluster.display());
        }
        Ok(this)
    }

    /// A command that runs inside, as root, in the folder `/`, with this process's environment.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(self.arguments()).arg(program);
        command
    }

    /// The process that holds the namespaces, as the host sees it.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// nsenter's. Not `ip netns exec`: that mounts a /sys without the cgroups.
    pub(crate) fn arguments(&self) -> [String; 4] {
        let file = |kind, name| format!("--{kind}={}", self.path(name).display());
        [
            file("net", "net"),
            file("mount", "mnt"),
            file("pid", "pid_for_children"),
            "--".to_owned(),
        ]
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/{name}", self.pid))
    }
}

/// Runs a command to its end; its standard output.
///
/// # Errors
/// When it fails: what it wrote to standard error.
pub(crate) async fn run(command: &mut Command) -> anyhow::Result<String> {
    let shown = format!("{:?}", command.as_std());
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("starting {shown}"))?;
    check(&shown, output.status, &output.stderr)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn check(shown: &str, status: ExitStatus, stderr: &[u8]) -> anyhow::Result<()> {
    if !status.success() {
        bail!("{shown}: {status}: {}", String::from_utf8_lossy(stderr).trim());
    }
    Ok(())
}

/// What the first process of a machine does before it becomes `pause`: $0 is pause, $1 the machine's folder, $2 the
/// cluster's. /var/lib is replaced last because the cluster's own folder lies there.
fn script(kind: Kind) -> String {
    // A connection whose two ends were killed is repeated into the void for minutes, and holds the network namespace as
    // long. Once is enough where no packet is lost. Pods have network namespaces of their own, with the kernel's value.
    let mut script = String::from(
        "ip link set lo up\n\
         echo 1 >/proc/sys/net/ipv4/tcp_orphan_retries\n",
    );
    if kind == Kind::Node {
        script.push_str(
            "mount --make-rshared /\n\
             echo 1 >/proc/sys/net/ipv4/ip_forward\n\
             mkdir -p \"$1/run\" \"$1/log\" \"$1/lib/${2##*/}\" \"$1/settings\"\n",
        );
        for (number, (name, value)) in KERNEL_SETTINGS.iter().enumerate() {
            script.push_str(&format!(
                "if [ -e /proc/sys/{name} ]; then\n\
                 echo {value} >\"$1/settings/{number}\"\n\
                 mount --bind \"$1/settings/{number}\" /proc/sys/{name}\n\
                 fi\n"
            ));
        }
        script.push_str(
            "mount --rbind \"$2\" \"$1/lib/${2##*/}\"\n\
             mount --bind \"$1/run\" /run\n\
             mount --bind \"$1/log\" /var/log\n\
             mount --rbind \"$1/lib\" \"${2%/*}\"\n",
        );
    }
    // The pipe that says so is closed, so that nothing inside can write to it or keep it open.
    script.push_str("echo made\nexec \"$0\" stdin >/dev/null 2>&1\n");
    script
}

//! What `tracepipe-cluster` offers: a cluster for the time of a command, or one that stays.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::control_plane::{fakes_ca, fakes_control};
use super::credentials::admin_kubeconfig;
use super::daemon::{self, path_with};
use super::folder;
use super::machine::Namespaces;
use super::network::Node;
use super::node::{daemon_name, load_image};
use super::progress::READY;
use super::supervisor::programs;
use super::wait::wait_until;
use super::{AWS_CA_VARIABLE, BIN_VARIABLE, DIR_VARIABLE, FAKE_AWS_VARIABLE};

/// For a command that was told to end; then it is killed.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);
/// For a cluster that was told to end.
const DOWN_LIMIT: Duration = Duration::from_secs(90);

/// What a cluster is started with.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Wanted {
    /// An image archive to load on both nodes; may be given several times.
    #[arg(long, value_name = "TAR")]
    pub image: Vec<PathBuf>,
    /// The program that plays AWS, run beside the control plane.
    #[arg(long, value_name = "PROGRAM")]
    pub fake_aws: Option<PathBuf>,
    /// Where the logs stay when the cluster is removed: of its programs and pods, and the audit log.
    #[arg(long, value_name = "FOLDER")]
    pub keep_logs: Option<PathBuf>,
}

/// Starts a cluster, runs a command with it, removes the cluster; the command's exit status, 128 and the signal's number
/// when a signal ended it.
///
/// # Errors
/// When the cluster cannot be started or removed, or the command not be started.
pub async fn run(wanted: &Wanted, command: &[OsString]) -> anyhow::Result<u8> {
    let mut interrupted = Interrupts::new()?;
    let purpose = format!("run: {}", words(command));
    let mut cluster = Supervisor::start(wanted, &purpose, true)?;
    let ready = tokio::select! {
        ready = cluster.until_ready() => ready,
        () = interrupted.next() => { cluster.end().await?; return Ok(128 + 15); }
    };
    if let Err(error) = ready {
        // It has said itself what it could not do.
        drop(cluster.end().await);
        return Err(error);
    }
    let (program, args) = command.split_first().context("no command")?;
    let child = Command::new(program)
        .args(args)
        .envs(environment(wanted)?)
        .kill_on_drop(true)
        .spawn();
    let mut lost = false;
    let status = match child {
        Ok(child) => {
            let over = async {
                tokio::select! {
                    () = interrupted.next() => {}
                    () = cluster.pass_on() => lost = true,
                }
            };
            until_end(child, over).await
        }
        Err(error) => Err(error).with_context(|| format!("starting {}", program.display())),
    };
    if lost {
        bail!("the cluster has ended under the command; the next start, or down, removes what is left of it");
    }
    cluster.end().await?;
    Ok(code_of(status?))
}

/// Starts a cluster that stays, and says how it is used and removed.
///
/// # Errors
/// When it cannot be started.
pub async fn up(wanted: &Wanted) -> anyhow::Result<()> {
    let mut interrupted = Interrupts::new()?;
    let mut cluster = Supervisor::start(wanted, "up: left running", false)?;
    tokio::select! {
        ready = cluster.until_ready() => ready?,
        () = interrupted.next() => {
            cluster.terminate().await?;
            bail!("interrupted");
        }
    }
    let mut out = std::io::stdout();
    for (name, value) in environment(wanted)? {
        // Of the shell that takes this in, not of this one.
        if name == "PATH" {
            writeln!(
                out,
                "export PATH={}:\"$PATH\"",
                quoted(&programs()?.to_string_lossy())
            )?;
        } else {
            writeln!(out, "export {name}={}", quoted(&value.to_string_lossy()))?;
        }
    }
    writeln!(
        out,
        "# use it: take these lines into a shell, then: kubectl get nodes"
    )?;
    let this = std::env::current_exe()?;
    writeln!(
        out,
        "# a node's own view: {} exec node1 -- ip route",
        this.display()
    )?;
    writeln!(out, "# remove it: scripts/cluster.sh down")?;
    Ok(())
}

/// Removes the cluster that runs, or what is left of one; nothing when there is none.
///
/// # Errors
/// When it is not gone after 90 s.
pub async fn down() -> anyhow::Result<()> {
    if let Some(holder) = folder::holder()? {
        if holder.pid == 0 {
            bail!("a cluster is just being started: try again");
        }
        tell(&format!("ending process {} ({})", holder.pid, holder.purpose));
        terminate(holder.pid).await?;
        wait_until("end of the cluster", DOWN_LIMIT, || async {
            match folder::holder()? {
                None => Ok(()),
                Some(holder) => bail!("process {} still holds it", holder.pid),
            }
        })
        .await?;
    }
    folder::remove_leftovers().await?;
    tell("no cluster is left on this machine");
    Ok(())
}

/// Loads image archives on both nodes of the running cluster.
///
/// # Errors
/// When no cluster runs, or an archive is no image.
pub async fn load(archives: &[PathBuf]) -> anyhow::Result<()> {
    for node in Node::ALL {
        let machine = Namespaces::of(Path::new(folder::PATH), node.name())?;
        for archive in archives {
            load_image(&machine, archive).await?;
        }
    }
    Ok(())
}

/// What is done to a kubelet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum KubeletAction {
    /// It stops where it is, as on a node that hangs; pods run on. The node is NotReady 20 s later.
    Pause,
    /// It goes on.
    Resume,
}

/// Pauses or resumes a node's kubelet in the running cluster.
///
/// # Errors
/// When no cluster runs, or the kubelet has ended.
pub async fn kubelet(action: KubeletAction, node: Node) -> anyhow::Result<()> {
    let cluster = Path::new(folder::PATH);
    let machine = Namespaces::of(cluster, node.name())?;
    let paused = match action {
        KubeletAction::Pause => true,
        KubeletAction::Resume => false,
    };
    daemon::pause(cluster, &machine, &daemon_name(node, "kubelet"), paused).await
}

/// Runs a command inside a machine of the running cluster; its exit status.
///
/// # Errors
/// When no cluster runs, or the command cannot be started.
pub async fn exec(machine: &str, command: &[OsString]) -> anyhow::Result<u8> {
    let machine = Namespaces::of(Path::new(folder::PATH), machine)?;
    let (program, args) = command.split_first().context("no command")?;
    let status = machine
        .command(program)
        .args(args)
        .kill_on_drop(true)
        .status()
        .await?;
    Ok(code_of(status))
}

/// The process that holds the cluster, in a process group of its own: an interrupt of this one's group does not reach
/// it, and it removes the cluster when its standard input ends, whatever ended this process.
#[derive(Debug)]
struct Supervisor {
    child: Child,
    stdin: Option<ChildStdin>,
    said: Lines<BufReader<ChildStdout>>,
}

impl Supervisor {
    fn start(wanted: &Wanted, purpose: &str, attached: bool) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["supervise", "--purpose", purpose]).process_group(0);
        for image in &wanted.image {
            command.arg("--image").arg(absolute(image)?);
        }
        if let Some(program) = &wanted.fake_aws {
            command.arg("--fake-aws").arg(absolute(program)?);
        }
        if let Some(folder) = &wanted.keep_logs {
            command.arg("--keep-logs").arg(std::path::absolute(folder)?);
        }
        if attached {
            command
                .arg("--until-stdin-ends")
                .stdin(Stdio::piped())
                .stderr(Stdio::inherit());
        } else {
            // Nothing of the terminal or pipe that this process writes to stays open.
            command.stdin(Stdio::null()).stderr(Stdio::null());
        }
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        let stdout = child
            .stdout
            .take()
            .context("a supervisor without standard output")?;
        let said = BufReader::new(stdout).lines();
        Ok(Self { child, stdin, said })
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        while let Some(line) = self.said.next_line().await? {
            if line == READY {
                return Ok(());
            }
            tell(&line);
        }
        bail!("the cluster could not be started")
    }

    /// Shows what it says until it ends.
    async fn pass_on(&mut self) {
        while let Ok(Some(line)) = self.said.next_line().await {
            tell(&line);
        }
    }

    /// Tells it to remove the cluster, and waits.
    async fn terminate(self) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id() {
            terminate(pid).await?;
        }
        self.end().await
    }

    /// Lets it remove the cluster, and waits.
    async fn end(mut self) -> anyhow::Result<()> {
        drop(self.stdin.take());
        self.pass_on().await;
        let status = self.child.wait().await?;
        if !status.success() {
            bail!("the supervisor ended with {status}");
        }
        Ok(())
    }
}

struct Interrupts {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Interrupts {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

/// When it is `over` before, the command is told to end; it may know from the terminal already.
async fn until_end(mut child: Child, over: impl Future<Output = ()>) -> anyhow::Result<ExitStatus> {
    tokio::select! {
        status = child.wait() => return Ok(status?),
        () = over => {}
    }
    if let Some(pid) = child.id() {
        terminate(pid).await?;
    }
    match tokio::time::timeout(COMMAND_LIMIT, child.wait()).await {
        Ok(status) => Ok(status?),
        Err(_) => {
            child.kill().await?;
            Ok(child.wait().await?)
        }
    }
}

/// SIGTERM. std can only kill, and libc's call is `unsafe`; that the process has ended meanwhile is no error.
async fn terminate(pid: u32) -> anyhow::Result<()> {
    let script = format!("kill -TERM {pid}");
    let mut command = Command::new("sh");
    command
        .args(["-c", &script])
        .stderr(Stdio::null())
        .status()
        .await?;
    Ok(())
}

/// What a command needs to know of the cluster.
fn environment(wanted: &Wanted) -> anyhow::Result<Vec<(&'static str, OsString)>> {
    let cluster = Path::new(folder::PATH);
    let bin = programs()?;
    let mut set = vec![
        ("KUBECONFIG", admin_kubeconfig(cluster).into_os_string()),
        (DIR_VARIABLE, folder::PATH.into()),
        ("PATH", path_with(&bin).into()),
        (BIN_VARIABLE, bin.into_os_string()),
    ];
    if wanted.fake_aws.is_some() {
        set.push((FAKE_AWS_VARIABLE, format!("http://{}", fakes_control()).into()));
        set.push((AWS_CA_VARIABLE, fakes_ca(cluster).into_os_string()));
    }
    Ok(set)
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    path.canonicalize()
        .with_context(|| format!("{} is not there", path.display()))
}

fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

fn words(command: &[OsString]) -> String {
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    words.join(" ").replace('\n', " ")
}

/// For a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn tell(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::{code_of, quoted};

    #[test]
    fn a_command_that_a_signal_ended_has_the_status_that_a_shell_gives_it() {
        assert_eq!(code_of(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(code_of(ExitStatus::from_raw(15)), 143);
    }

    #[test]
    fn a_value_is_one_word_for_a_shell() {
        assert_eq!(quoted("/a b/it's"), "'/a b/it'\\''s'");
    }
}

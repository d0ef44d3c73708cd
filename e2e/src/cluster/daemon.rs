//! A program of the cluster that runs until the cluster ends.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::Context;
use tokio::process::{Child, Command};

use super::machine::{Namespaces, run};
use super::wait::POLL_INTERVAL;

/// Of a log, for a message.
const TAIL_LINES: usize = 25;

/// A running program. It ends with its machine.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: String,
    log: PathBuf,
    child: Child,
}

/// What is started.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    /// Of the log file in `logs`, and in messages.
    pub(crate) name: String,
    /// Its path, or a name on the path.
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    /// Where it runs.
    pub(crate) machine: &'a Namespaces,
    /// The cluster's folder.
    pub(crate) cluster: &'a Path,
    /// Before the others on the path: the folder of the programs.
    pub(crate) bin: &'a Path,
}

impl Daemon {
    /// Starts a program. Its id, as its machine sees it, is in `pids/NAME` of the cluster's folder.
    pub(crate) fn start(start: Start<'_>) -> anyhow::Result<Self> {
        let log = start.cluster.join("logs").join(format!("{}.log", start.name));
        let file = File::create(&log).with_context(|| format!("making {}", log.display()))?;
        let pids = start.cluster.join("pids");
        std::fs::create_dir_all(&pids)?;
        let pid_file = pids.join(&start.name);
        // nsenter stays as the parent, because a process id namespace is entered by a child only; so the shell says
        // which process it becomes. nsenter has to outlive its child also when this process is killed: a machine has
        // not ended before somebody has taken notice of each child's end, and not every process 1 does.
        let child = Command::new("nsenter")
            .args(start.machine.arguments())
            .args(["sh", "-ec", "echo $$ >\"$0\"; exec \"$@\""])
            .args([&pid_file, &start.program])
            .args(&start.args)
            .env_clear()
            .env("PATH", path_with(start.bin))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting {}", start.name))?;
        let parent = child.id().context("a program that ended at once")?;
        std::fs::write(pids.join(format!("{}.parent", start.name)), parent.to_string())?;
        Ok(Self {
            name: start.name,
            log,
            child,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its status, once it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The end of its log, indented.
    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines
            .get(lines.len().saturating_sub(TAIL_LINES)..)
            .unwrap_or_default();
        let tail: String = tail.iter().map(|line| format!("    {line}\n")).collect();
        format!("the end of {}:\n{tail}", self.log.display())
    }
}

/// Lets every nsenter go on that has stopped itself because its child was (see [`pause`]).
pub(crate) async fn wake(daemons: &[Daemon]) -> anyhow::Result<()> {
    let pids: Vec<String> = daemons
        .iter()
        .filter_map(|daemon| Some(daemon.child.id()?.to_string()))
        .collect();
    if !pids.is_empty() {
        run(Command::new("sh").args(["-c", &format!("kill -CONT {}", pids.join(" "))])).await?;
    }
    Ok(())
}

/// Waits for `work`, but not longer than all daemons live. A limit that passes is told with the log of `of_interest`.
pub(crate) async fn while_all_live<T>(
    daemons: &mut [Daemon],
    of_interest: &[&str],
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let result = tokio::select! {
        done = work => done,
        error = first_end(daemons) => return Err(error),
    };
    result.map_err(|error| {
        let interesting = daemons.iter().filter(|one| of_interest.contains(&one.name()));
        let logs: String = interesting.map(Daemon::log_tail).collect();
        error.context(logs)
    })
}

/// The error of the first that ends.
async fn first_end(daemons: &mut [Daemon]) -> anyhow::Error {
    loop {
        for daemon in daemons.iter_mut() {
            if let Some(status) = daemon.ended() {
                return anyhow::anyhow!("{} ended: {status}; {}", daemon.name, daemon.log_tail());
            }
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// The path of this process behind `first`, and where Debian keeps what only root runs, which may not be on it.
pub(crate) fn path_with(first: &Path) -> String {
    let rest = std::env::var("PATH").unwrap_or_default();
    format!("{}:{rest}:/usr/sbin:/sbin", first.display())
}

/// Stops a program where it is, or lets it go on.
pub(crate) async fn pause(
    cluster: &Path,
    machine: &Namespaces,
    name: &str,
    paused: bool,
) -> anyhow::Result<()> {
    let pids = cluster.join("pids");
    let read = |file: &str| {
        std::fs::read_to_string(pids.join(file)).with_context(|| format!("no {name} in this cluster"))
    };
    let (pid, parent) = (read(name)?, read(&format!("{name}.parent"))?);
    let signal = if paused { "STOP" } else { "CONT" };
    let kill = |pid: &str| format!("kill -{signal} {}", pid.trim());
    run(machine.command("sh").args(["-c", &kill(&pid)])).await?;
    if !paused {
        // nsenter stops itself when its child is stopped, and would not see the child's end.
        run(Command::new("sh").args(["-c", &kill(&parent)])).await?;
    }
    Ok(())
}

//! A cluster comes and goes, and leaves nothing, whatever ends it. These tests start clusters of their own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::ensure;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::Mutex;
use tracepipe_e2e::cluster::wait::wait_until;
use tracepipe_e2e::cluster::{BIN_VARIABLE, DIR_VARIABLE, folder};

use crate::pods::{LIMIT, named, program};

/// Only one cluster can run.
static ONE: Mutex<()> = Mutex::const_new(());

/// Makes a DaemonSet, waits for its pods, and stays.
const BUSY: &str = r#"
kubectl create deployment echo --image tracepipe.dev/echo:test --replicas 4 >&2
kubectl wait --for condition=Available deployment/echo --timeout 120s >&2
echo busy
exec sleep 1000
"#;

/// Whether clusters can be started here: the programs are there, and no cluster is.
fn possible() -> bool {
    std::env::var_os(DIR_VARIABLE).is_none() && named(BIN_VARIABLE).is_some()
}

struct Run {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
}

impl Run {
    fn start(script: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tracepipe-cluster"))
            .args(["run", "--image"])
            .arg(program("echo.tar"))
            .args(["--", "sh", "-ec", script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdout: BufReader::new(child.stdout.take().unwrap()).lines(),
            stderr: BufReader::new(child.stderr.take().unwrap()).lines(),
            child,
        }
    }

    async fn end(mut self) -> (Option<i32>, String) {
        let reading = async {
            let mut text = String::new();
            while let Some(line) = self.stderr.next_line().await.unwrap() {
                text.push_str(&line);
                text.push('\n');
            }
            text
        };
        let text = tokio::time::timeout(LIMIT, reading).await.expect("an end");
        (self.child.wait().await.unwrap().code(), text)
    }
}

async fn until_line(lines: &mut Lines<impl AsyncBufRead + Unpin>, wanted: &str) {
    let reading = async {
        let mut seen = String::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(wanted) {
                return;
            }
            seen.push_str(&line);
            seen.push('\n');
        }
        panic!("no line with {wanted}:\n{seen}");
    };
    tokio::time::timeout(LIMIT, reading).await.expect("a line");
}

async fn kill(signal: &str, pid: u32) {
    let script = format!("kill -{signal} {pid}");
    assert!(
        Command::new("sh")
            .args(["-c", &script])
            .status()
            .await
            .unwrap()
            .success()
    );
}

fn supervisor() -> u32 {
    folder::holder().unwrap().expect("a holder").pid
}

/// What a cluster has outside of its folder.
fn traces() -> Vec<String> {
    let mut found = Vec::new();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    found.extend(
        mounts
            .lines()
            .filter(|line| line.contains("tracepipe-cluster"))
            .map(str::to_owned),
    );
    if Path::new("/sys/class/net/tp-host").exists() {
        found.push("the link tp-host".to_owned());
    }
    let routes = std::fs::read_to_string("/proc/net/route").unwrap();
    // 10.217.x.y, in the order of the bytes in memory.
    found.extend(
        routes
            .lines()
            .filter(|line| line.contains("D90A"))
            .map(|line| format!("route {line}")),
    );
    found.extend(processes());
    found
}

/// Processes that work in a cluster: in its folder, or in one of its cgroups.
fn processes() -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let path = entry.path();
        let read = |name: &str| {
            std::fs::read_to_string(path.join(name))
                .unwrap_or_default()
                .replace('\0', " ")
        };
        let command = read("cmdline");
        if command.contains(folder::PATH) || read("cgroup").contains("/tracepipe-cluster") {
            found.push(format!("process {}: {command}", path.display()));
        }
    }
    found
}

fn cgroups() -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/sys/fs/cgroup/tracepipe-cluster")];
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
    found.extend(hierarchies.map(|entry| entry.path().join("tracepipe-cluster")));
    found.retain(|folder| folder.exists());
    found
}

/// Nothing is left, not even a folder.
async fn assert_nothing_is_left() {
    wait_until(
        "machine without a trace of a cluster",
        Duration::from_secs(30),
        async || {
            let traces = traces();
            ensure!(traces.is_empty(), "{}", traces.join("\n"));
            ensure!(!Path::new(folder::PATH).exists(), "{} is there", folder::PATH);
            let cgroups = cgroups();
            ensure!(cgroups.is_empty(), "{cgroups:?}");
            Ok(())
        },
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn a_run_has_the_status_of_its_command_and_leaves_nothing() {
    if !possible() {
        return;
    }
    let _one = ONE.lock().await;
    let (code, text) = Run::start("kubectl get nodes; exit 7").end().await;
    assert_eq!(code, Some(7), "{text}");
    assert_nothing_is_left().await;
}

#[tokio::test]
async fn a_second_cluster_is_refused_and_an_interrupt_removes_the_first() {
    if !possible() {
        return;
    }
    let _one = ONE.lock().await;
    let mut first = Run::start(BUSY);
    until_line(&mut first.stdout, "busy").await;
    let (code, text) = Run::start("true").end().await;
    assert_eq!(code, Some(1), "{text}");
    let holder = format!("held by process {}", supervisor());
    assert!(text.contains(&holder), "{text}");

    kill("INT", first.child.id().unwrap()).await;
    let (code, text) = first.end().await;
    assert_eq!(code, Some(143), "{text}");
    assert_nothing_is_left().await;
}

#[tokio::test]
async fn a_killed_run_is_removed_by_its_supervisor() {
    if !possible() {
        return;
    }
    let _one = ONE.lock().await;
    let mut run = Run::start(BUSY);
    until_line(&mut run.stdout, "busy").await;
    kill("KILL", run.child.id().unwrap()).await;
    assert_nothing_is_left().await;
}

#[tokio::test]
async fn after_a_killed_supervisor_no_process_or_mount_is_left_and_the_next_start_removes_the_rest() {
    if !possible() {
        return;
    }
    let _one = ONE.lock().await;
    let mut run = Run::start(BUSY);
    until_line(&mut run.stdout, "busy").await;
    kill("KILL", supervisor()).await;
    let (code, text) = run.end().await;
    assert_eq!(code, Some(1), "{text}");
    wait_until(
        "machine without a process of the cluster",
        Duration::from_secs(30),
        async || {
            let traces = traces();
            ensure!(traces.is_empty(), "{}", traces.join("\n"));
            Ok(())
        },
    )
    .await
    .unwrap();

    let (code, text) = Run::start("kubectl get --raw /readyz").end().await;
    assert_eq!(code, Some(0), "{text}");
    assert_nothing_is_left().await;
}

#[tokio::test]
async fn a_start_that_is_killed_half_way_is_removed_by_down() {
    if !possible() {
        return;
    }
    let _one = ONE.lock().await;
    let mut run = Run::start("true");
    until_line(&mut run.stderr, "the API server is ready").await;
    let supervisor = supervisor();
    kill("KILL", run.child.id().unwrap()).await;
    kill("KILL", supervisor).await;
    let down = Command::new(env!("CARGO_BIN_EXE_tracepipe-cluster"))
        .arg("down")
        .output()
        .await
        .unwrap();
    assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
    assert_nothing_is_left().await;
}

//! A child process whose log is read and whose cost is known.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Lines remembered of a child's log; a child that writes more keeps running, and what it wrote last is not kept.
const LOG_LINES_MAX: usize = 200_000;

/// Linux reports CPU times in this many ticks a second on every architecture that Rust's std runs on (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;

/// What a process has cost so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// User and system time, in steps of 10 ms.
    pub cpu: Duration,
    /// Resident memory now, in bytes.
    pub rss_bytes: u64,
    /// The most resident memory it ever had, in bytes.
    pub rss_peak_bytes: u64,
}

/// A running child. It is killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: u32,
    log: Arc<Log>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    read: watch::Sender<usize>,
}

impl Process {
    /// Starts `binary` with nothing in its environment but `PATH` and `env`, so that no credentials, proxies or
    /// settings of the person who runs the tests get in.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(binary: &Path, args: &[String], env: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let mut child = Command::new(binary)
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        let pid = child.id().context("a child that ended at once")?;
        let log = Arc::new(Log::default());
        let mut readers = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            readers.push(tokio::spawn(read_lines(stdout, Arc::clone(&log))));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.push(tokio::spawn(read_lines(stderr, Arc::clone(&log))));
        }
        Ok(Self {
            child,
            pid,
            log,
            readers,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended, when it has.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// What it wrote so far to standard output and standard error, line by line.
    pub fn log(&self) -> Vec<String> {
        self.log
            .lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The last `count` lines of the log, for messages.
    pub fn log_tail(&self, count: usize) -> String {
        let lines = self.log();
        lines
            .get(lines.len().saturating_sub(count)..)
            .unwrap_or_default()
            .join("\n")
    }

    /// Waits until `found` finds something in the log's lines; `found` sees each line once.
    ///
    /// # Errors
    /// When the process ends or `limit` passes before, with the end of its log.
    pub async fn wait_for_line<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut found: impl FnMut(&str) -> Option<T>,
    ) -> anyhow::Result<T> {
        let mut read = self.log.read.subscribe();
        let mut seen = 0;
        let mut ended = None;
        let waiting = async {
            loop {
                let lines = self.log();
                for line in lines.iter().skip(seen) {
                    if let Some(value) = found(line) {
                        return Ok(value);
                    }
                }
                seen = lines.len();
                if let Some(status) = ended {
                    bail!("it ended with {status}");
                }
                tokio::select! {
                    changed = read.wait_for(|lines| *lines > seen) => drop(changed),
                    status = self.child.wait() => {
                        ended = Some(status?);
                        // Its last words may say why.
                        for reader in self.readers.drain(..) {
                            reader.await?;
                        }
                    }
                }
            }
        };
        let result = tokio::time::timeout(limit, waiting).await;
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(error.context(format!("waiting for {what}:\n{}", self.log_tail(30)))),
            Err(_) => bail!("no {what} in {limit:?}:\n{}", self.log_tail(30)),
        }
    }

    /// What it has cost so far.
    ///
    /// # Errors
    /// When it has ended, or `/proc` is not Linux's.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        let read = |name: &str| {
            let path = format!("/proc/{}/{name}", self.pid);
            std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))
        };
        parse_usage(&read("stat")?, &read("status")?).context("/proc in another form than proc(5) says")
    }

    /// Sends SIGTERM.
    ///
    /// # Errors
    /// When the signal cannot be sent, because the process has ended.
    pub async fn signal_terminate(&self) -> anyhow::Result<()> {
        // std can only kill, and libc's call is `unsafe`; the shell's own `kill` needs nothing installed.
        let script = format!("kill -TERM {}", self.pid);
        let status = Command::new("sh")
            .arg("-c")
            .arg(script)
            .stderr(Stdio::null())
            .status()
            .await?;
        if !status.success() {
            bail!("process {} could not be signalled", self.pid);
        }
        Ok(())
    }

    /// SIGKILL, and waits for its end.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Waits for its end and for the rest of its log.
    ///
    /// # Errors
    /// When it has not ended after `limit`.
    pub async fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let waiting = async {
            let status = self.child.wait().await?;
            for reader in self.readers.drain(..) {
                reader.await?;
            }
            anyhow::Ok(status)
        };
        match tokio::time::timeout(limit, waiting).await {
            Ok(status) => status,
            Err(_) => bail!(
                "process {} has not ended after {limit:?}:\n{}",
                self.pid,
                self.log_tail(30)
            ),
        }
    }

    /// SIGTERM, then [`Process::wait`].
    ///
    /// # Errors
    /// As the two.
    pub async fn terminate(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        self.signal_terminate().await?;
        self.wait(limit).await
    }
}

async fn read_lines(pipe: impl AsyncRead + Unpin, log: Arc<Log>) {
    let mut lines = BufReader::new(pipe).lines();
    // An error ends the reading, as the end of the pipe does: the child is gone or writes no UTF-8.
    while let Ok(Some(line)) = lines.next_line().await {
        let count = {
            let mut lines = log.lines.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() < LOG_LINES_MAX {
                lines.push(line);
            }
            lines.len()
        };
        log.read.send_replace(count);
    }
}

/// `stat`: fields 14 and 15 are user and system ticks, counted after the name in parentheses (field 2), which may
/// hold blanks. `status`: `VmRSS` and `VmHWM` in kB. See proc(5).
fn parse_usage(stat: &str, status: &str) -> Option<Usage> {
    let after_name = stat.rsplit_once(')')?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let bytes = |name: &str| -> Option<u64> {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    Some(Usage {
        cpu: Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND),
        rss_bytes: bytes("VmRSS")?,
        rss_peak_bytes: bytes("VmHWM")?,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::time::Duration;

    use super::{Process, parse_usage};

    const LIMIT: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Process {
        let env = BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]);
        Process::start(Path::new("/bin/sh"), &["-c".into(), script.into()], &env).unwrap()
    }

    #[test]
    fn usage_is_read_with_blanks_and_parentheses_in_the_name() {
        let stat = "77 (a) b c) S 1 77 77 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 3 0 100 0 0";
        let usage = parse_usage(stat, "Name:\tx\nVmHWM:\t 2048 kB\nVmRSS:\t 1024 kB\n").unwrap();
        assert_eq!(usage.cpu, Duration::from_secs(3));
        assert_eq!((usage.rss_bytes, usage.rss_peak_bytes), (1 << 20, 2 << 20));
    }

    #[tokio::test]
    async fn lines_of_both_streams_are_found_and_the_environment_is_only_ours() {
        let mut process = shell("echo \"$GREETING $HOME.\"; echo problem >&2; exec sleep 60");
        let find = |text: &'static str| move |line: &str| line.contains(text).then(|| line.to_owned());
        assert_eq!(
            process
                .wait_for_line("greeting", LIMIT, find("hello"))
                .await
                .unwrap(),
            "hello ."
        );
        assert_eq!(
            process
                .wait_for_line("problem", LIMIT, find("problem"))
                .await
                .unwrap(),
            "problem"
        );
        assert!(process.usage().unwrap().rss_peak_bytes > 0);
    }

    #[tokio::test]
    async fn sigterm_ends_it_and_its_last_words_are_read() {
        let mut process = shell("trap 'echo goodbye; exit 3' TERM; echo up; while :; do sleep 0.05; done");
        process
            .wait_for_line("start", LIMIT, |line| (line == "up").then_some(()))
            .await
            .unwrap();
        let status = process.terminate(LIMIT).await.unwrap();
        assert_eq!(status.code(), Some(3));
        assert_eq!(process.log().last().unwrap(), "goodbye");
    }

    #[tokio::test]
    async fn a_child_that_ends_early_is_an_error_with_its_log() {
        let mut process = shell("echo no such file >&2; exit 1");
        let error = process
            .wait_for_line("start", LIMIT, |_| None::<()>)
            .await
            .unwrap_err();
        assert!(format!("{error:#}").contains("no such file"), "{error:#}");
    }
}

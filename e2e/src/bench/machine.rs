//! The machine: who runs where, what it cost, who else was busy.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

/// The pages of /proc count CPU time in these (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;

/// The cores of a run.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    /// The collector's.
    pub collector: u32,
    /// The generator's and the sink's.
    pub generator: u32,
}

/// CPU time so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Busy {
    /// This process: generator and sink.
    pub generator: Duration,
    /// All processes of the machine.
    pub all: Duration,
}

impl Busy {
    /// Reads both.
    ///
    /// # Errors
    /// When `/proc` has another form than proc(5) says.
    pub fn now() -> anyhow::Result<Self> {
        let all = std::fs::read_to_string("/proc/stat")?;
        Ok(Self {
            generator: cpu_of("self")?,
            all: busy_of(&all).context("/proc/stat in another form than proc(5) says")?,
        })
    }
}

/// CPU time of a process so far: the sum over its threads in nanoseconds where the kernel has it (`schedstat`), else
/// user and system time in steps of 10 ms. A thread that has ended is only in the latter, so the larger is taken when
/// they differ by more than such steps explain.
///
/// # Errors
/// When it has ended.
pub fn cpu_of(pid: &str) -> anyhow::Result<Duration> {
    let stat =
        std::fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
    let coarse = ticks_of(&stat).context("stat in another form than proc(5) says")?;
    let mut fine = Duration::ZERO;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        let nanos = text
            .split_whitespace()
            .next()
            .and_then(|nanos| nanos.parse().ok());
        fine += Duration::from_nanos(nanos.unwrap_or(0));
    }
    Ok(choose(coarse, fine))
}

fn choose(coarse: Duration, fine: Duration) -> Duration {
    // User and system time are cut to a tick each.
    let step = Duration::from_millis(1000 / TICKS_PER_SECOND);
    if fine + step * 2 >= coarse { fine } else { coarse }
}

/// Fields 14 and 15 of `stat` in proc(5), counted after the name.
fn ticks_of(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// The first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal. What another guest stole counts
/// as busy: it was missing here.
fn busy_of(stat: &str) -> Option<Duration> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = line
        .split_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    let all: u64 = fields.iter().take(8).sum();
    let idle = fields.get(3)? + fields.get(4)?;
    Some(Duration::from_millis(
        all.saturating_sub(idle) * 1000 / TICKS_PER_SECOND,
    ))
}

/// Resident memory of a process, in bytes: now, and the most it ever was.
///
/// # Errors
/// When it has ended.
pub fn memory_of(pid: u32) -> anyhow::Result<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let bytes = |name: &str| -> Option<u64> {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    bytes("VmRSS")
        .zip(bytes("VmHWM"))
        .context("status without VmRSS and VmHWM")
}

/// Gives this process, all of its threads and those to come one core; false when that cannot be done.
pub fn pin_this_process(core: u32) -> bool {
    let pid = std::process::id().to_string();
    let output = Command::new("taskset")
        .args(["--all-tasks", "--pid", "--cpu-list", &core.to_string(), &pid])
        .output();
    output.is_ok_and(|output| output.status.success())
}

/// A script in `folder` that becomes `binary`, with the same process id, on one core and in one cgroup.
///
/// # Errors
/// When there is no such binary or the script cannot be written.
pub fn start_script(
    folder: &Path,
    binary: &Path,
    core: Option<u32>,
    cgroup: Option<&Path>,
) -> anyhow::Result<PathBuf> {
    let binary = binary
        .canonicalize()
        .with_context(|| binary.display().to_string())?;
    let enter = cgroup.map_or(String::new(), |group| {
        format!("echo $$ > {} || exit 97\n", quoted(&group.join("cgroup.procs")))
    });
    let pin = core.map_or(String::new(), |core| format!("taskset --cpu-list {core} "));
    let script = tempfile::Builder::new().prefix("start-").tempfile_in(folder)?;
    let (_, path) = script.keep()?;
    std::fs::write(
        &path,
        format!("#!/bin/sh\n{enter}exec {pin}{} \"$@\"\n", quoted(&binary)),
    )?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// CPU, its threads a core, memory: one line.
pub fn describe() -> String {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned()))
    };
    let model = field(&file("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown CPU".into());
    let memory = field(&file("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let memory = memory
        .split_whitespace()
        .next()
        .and_then(|kib| kib.parse::<u64>().ok());
    // This process may be pinned to one of them.
    let cores = file("/proc/cpuinfo")
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    format!(
        "{model}, {cores} CPUs, threads on the core of CPU 0: {}, {} MiB, Linux {}",
        file("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list").trim(),
        memory.unwrap_or(0) / 1024,
        file("/proc/sys/kernel/osrelease").trim()
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{busy_of, choose, cpu_of, ticks_of};

    #[test]
    fn cpu_time_is_read_from_proc() {
        let stat = "77 (a) b c) S 1 77 77 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 3 0 100 0 0";
        assert_eq!(ticks_of(stat), Some(Duration::from_secs(3)));
        let busy = busy_of("cpu  100 10 50 9999 40 1 2 3 0 0\ncpu0 1 1 1 1\n");
        assert_eq!(busy, Some(Duration::from_millis(1660)));
        assert!(cpu_of("self").unwrap() > Duration::ZERO);
    }

    #[test]
    fn exact_time_is_taken_unless_a_thread_has_ended() {
        let ms = Duration::from_millis;
        assert_eq!(choose(ms(100), ms(107)), ms(107));
        assert_eq!(choose(ms(100), ms(81)), ms(81));
        assert_eq!(choose(ms(500), ms(107)), ms(500));
        assert_eq!(choose(ms(500), ms(0)), ms(500));
    }
}

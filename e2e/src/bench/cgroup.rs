//! A share of a core for one collector: a cgroup with a CPU quota, version 1 or 2. Needs root.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The period that a kubelet sets as well.
const PERIOD_MICROS: u64 = 100_000;

/// A cgroup of our own. It is removed when dropped; nobody may be in it any more.
#[derive(Debug)]
pub struct CpuQuota {
    path: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hierarchy {
    V1(PathBuf),
    V2(PathBuf),
}

impl CpuQuota {
    /// Makes a group that gets `share` of one core.
    ///
    /// # Errors
    /// When this process may not make one: no root, or no hierarchy with the cpu controller.
    pub fn new(share: f64) -> anyhow::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
        let Some(hierarchy) = with_cpu_controller(&mounts, |root| {
            fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default()
        }) else {
            bail!("no cgroup hierarchy with the cpu controller is mounted");
        };
        let micros = (share * PERIOD_MICROS as f64) as u64;
        let name = format!("tracepipe-bench-{}", std::process::id());
        let (root, settings) = match &hierarchy {
            Hierarchy::V1(root) => (
                root,
                vec![
                    ("cpu.cfs_period_us", PERIOD_MICROS.to_string()),
                    ("cpu.cfs_quota_us", micros.to_string()),
                ],
            ),
            Hierarchy::V2(root) => {
                write(&root.join("cgroup.subtree_control"), "+cpu")?;
                (root, vec![("cpu.max", format!("{micros} {PERIOD_MICROS}"))])
            }
        };
        let path = root.join(name);
        fs::create_dir_all(&path).with_context(|| format!("making the cgroup {}", path.display()))?;
        let group = Self { path };
        for (file, value) in settings {
            write(&group.path.join(file), &value)?;
        }
        Ok(group)
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for CpuQuota {
    fn drop(&mut self) {
        // A collector that has just been killed is in it for a moment more; an empty group costs nothing.
        let _left_behind = fs::remove_dir(&self.path);
    }
}

fn write(file: &Path, value: &str) -> anyhow::Result<()> {
    fs::write(file, value).with_context(|| format!("writing {value} to {}", file.display()))
}

/// Version 1 is taken where both are mounted: a controller is in one of them only. Fields as proc(5) says.
fn with_cpu_controller(mounts: &str, controllers_of: impl Fn(&Path) -> String) -> Option<Hierarchy> {
    let mut unified = None;
    for line in mounts.lines() {
        let Some((mount, filesystem)) = line.split_once(" - ") else {
            continue;
        };
        let Some(path) = mount.split(' ').nth(4).map(PathBuf::from) else {
            continue;
        };
        let mut fields = filesystem.split(' ');
        match (fields.next(), fields.nth(1)) {
            (Some("cgroup"), Some(options)) if options.split(',').any(|option| option == "cpu") => {
                return Some(Hierarchy::V1(path));
            }
            (Some("cgroup2"), _) if controllers_of(&path).split_whitespace().any(|one| one == "cpu") => {
                unified = Some(Hierarchy::V2(path));
            }
            _ => {}
        }
    }
    unified
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Hierarchy, with_cpu_controller};

    const V1: &str = "\
30 25 0:26 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset
31 25 0:27 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu
33 25 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
";
    const V2: &str = "33 25 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_hierarchy_with_the_cpu_controller_is_found() {
        let found = with_cpu_controller(V1, |_| String::new());
        assert_eq!(found, Some(Hierarchy::V1(PathBuf::from("/sys/fs/cgroup/cpu"))));
        let found = with_cpu_controller(V2, |_| "cpuset cpu io memory".into());
        assert_eq!(found, Some(Hierarchy::V2(PathBuf::from("/sys/fs/cgroup"))));
        assert_eq!(with_cpu_controller(V2, |_| "memory pids".into()), None);
    }
}

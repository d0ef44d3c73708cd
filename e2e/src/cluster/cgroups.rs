//! The cgroups that the nodes' pods live in: one folder in every hierarchy, `tracepipe-cluster`, with one for each node.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::Command;

use super::network::Node;
use super::wait::POLL_INTERVAL;
use crate::clock;

const FOLDER: &str = "tracepipe-cluster";
/// Processes end at once when they are killed; their groups are free a moment later.
const REMOVE_LIMIT: Duration = Duration::from_secs(20);
/// kubelet looks for these (`pkg/kubelet/cm`); a hierarchy of others needs no folder from us.
const V2_CONTROLLERS: [&str; 6] = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids"];

/// A mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Systemd's without a controller is one as well: a kubelet wants its folder in each.
    V1 {
        cpuset: bool,
    },
    V2,
}

/// The name that a node's kubelet takes as `cgroupRoot`.
pub(crate) fn root_of(node: Node) -> String {
    format!("/{FOLDER}/{}", node.name())
}

/// Makes the folders of both nodes.
pub(crate) fn make() -> anyhow::Result<()> {
    let hierarchies = mounted()?;
    let v1 = hierarchies.iter().any(|one| matches!(one.kind, Kind::V1 { .. }));
    for hierarchy in &hierarchies {
        let ours = hierarchy.path.join(FOLDER);
        let levels = |node: Node| [ours.clone(), ours.join(node.name())];
        match hierarchy.kind {
            // Beside v1 it has no controllers, and whoever needs a folder there makes it.
            Kind::V2 if v1 => {}
            Kind::V2 => {
                enable(&hierarchy.path)?;
                for node in Node::ALL {
                    make_levels(&levels(node), enable)?;
                }
            }
            Kind::V1 { cpuset: false } => {
                for node in Node::ALL {
                    make_levels(&levels(node), |_| Ok(()))?;
                }
            }
            Kind::V1 { cpuset: true } => {
                for node in Node::ALL {
                    make_levels(&levels(node), inherit_cpus)?;
                }
            }
        }
    }
    Ok(())
}

/// Kills what is still in them and removes them.
pub(crate) async fn remove() -> anyhow::Result<()> {
    let started = clock::now();
    loop {
        let mut folders = Vec::new();
        for hierarchy in mounted()? {
            subfolders(&hierarchy.path.join(FOLDER), &mut folders);
        }
        if folders.is_empty() {
            return Ok(());
        }
        kill(&folders).await?;
        // The deepest were found last.
        let failed: Vec<_> = folders
            .iter()
            .rev()
            .filter_map(|folder| Some((folder, std::fs::remove_dir(folder).err()?)))
            .filter(|(_, error)| error.kind() != ErrorKind::NotFound)
            .collect();
        match failed.first() {
            None => return Ok(()),
            Some((folder, error)) if clock::now().duration_since(started) > REMOVE_LIMIT => {
                bail!("the cgroup {} could not be removed: {error}", folder.display());
            }
            Some(_) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

fn make_levels(levels: &[PathBuf], prepare: impl Fn(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    for level in levels {
        std::fs::create_dir_all(level).with_context(|| format!("making the cgroup {}", level.display()))?;
        prepare(level)?;
    }
    Ok(())
}

/// A new cpuset is empty, and nothing runs in it until it has CPUs and memory nodes (cpusets(7)).
fn inherit_cpus(folder: &Path) -> anyhow::Result<()> {
    let above = folder.parent().context("a cgroup without a parent")?;
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let value = std::fs::read_to_string(above.join(file))?;
        let place = folder.join(file);
        std::fs::write(&place, value.trim()).with_context(|| format!("writing {}", place.display()))?;
    }
    Ok(())
}

/// Gives the controllers on to the folders below (cgroups(7), cgroup.subtree_control).
fn enable(folder: &Path) -> anyhow::Result<()> {
    let there = std::fs::read_to_string(folder.join("cgroup.controllers"))?;
    for controller in there
        .split_whitespace()
        .filter(|one| V2_CONTROLLERS.contains(one))
    {
        let file = folder.join("cgroup.subtree_control");
        std::fs::write(&file, format!("+{controller}"))
            .with_context(|| format!("giving {controller} on in {}", file.display()))?;
    }
    Ok(())
}

fn subfolders(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    found.push(folder.to_owned());
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            subfolders(&entry.path(), found);
        }
    }
}

/// Our folder is nobody else's, so what is in it is a pod of ours, whatever its name.
async fn kill(folders: &[PathBuf]) -> anyhow::Result<()> {
    let mut pids: Vec<String> = folders
        .iter()
        .filter_map(|folder| std::fs::read_to_string(folder.join("cgroup.procs")).ok())
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        // A process that this one cannot see.
        .filter(|pid| pid != "0")
        .collect();
    pids.sort_unstable();
    pids.dedup();
    if !pids.is_empty() {
        // One that has ended meanwhile makes the command fail.
        let script = format!("kill -KILL {} 2>/dev/null || :", pids.join(" "));
        Command::new("sh").args(["-c", &script]).status().await?;
    }
    Ok(())
}

fn mounted() -> anyhow::Result<Vec<Hierarchy>> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
    Ok(text.lines().filter_map(parse).collect())
}

/// A line of mountinfo, see proc(5): the fifth field is the mount point; behind " - " stand type, source and options.
fn parse(line: &str) -> Option<Hierarchy> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let path = PathBuf::from(mount.split(' ').nth(4)?);
    let mut fields = filesystem.split(' ');
    let kind = match (fields.next()?, fields.nth(1)?) {
        ("cgroup2", _) => Kind::V2,
        ("cgroup", options) => {
            let cpuset = options.split(',').any(|option| option == "cpuset");
            Kind::V1 { cpuset }
        }
        _ => return None,
    };
    Some(Hierarchy { path, kind })
}

#[cfg(test)]
mod tests {
    use super::{Kind, parse};

    #[test]
    fn hierarchies_are_found_among_the_mounts() {
        let kind = |line| parse(line).map(|one| one.kind);
        let cpuset = "30 25 0:26 / /sys/fs/cgroup/cpuset rw,relatime shared:9 - cgroup cgroup rw,cpuset";
        assert_eq!(kind(cpuset), Some(Kind::V1 { cpuset: true }));
        assert_eq!(
            parse(cpuset).unwrap().path.to_str(),
            Some("/sys/fs/cgroup/cpuset")
        );
        let cpu = "31 25 0:27 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu";
        assert_eq!(kind(cpu), Some(Kind::V1 { cpuset: false }));
        let systemd = "32 25 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd";
        assert_eq!(kind(systemd), Some(Kind::V1 { cpuset: false }));
        let unified = "33 25 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(kind(unified), Some(Kind::V2));
        assert_eq!(
            kind("25 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755"),
            None
        );
    }
}

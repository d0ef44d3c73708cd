//! What the kernel says about memory: of the process, and of the cgroup it is in.

use std::path::{Path, PathBuf};

use crate::process::resident_bytes;

/// Above this a limit means "none": cgroup v1 writes the largest multiple of a page below 2^63.
const NO_LIMIT: u64 = 1 << 60;

/// One look at the kernel's figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Readings {
    /// Resident size of the process, in bytes.
    pub resident: u64,
    /// The smallest limit on the way from the cgroup to the root, in bytes; none: there is none.
    pub group_limit: Option<u64>,
    /// What is used under that limit: without the part of the page cache that is given up first.
    pub group_used: Option<u64>,
}

/// Where the kernel's figures are read.
#[derive(Debug)]
pub struct Sources {
    groups: Vec<Group>,
}

/// A cgroup that has a limit, or may be given one.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    version: Version,
    folder: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

// === impl Sources ===

impl Sources {
    /// Finds the cgroup of this process and those above it, of either version.
    pub fn find() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            groups: groups(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo")),
        }
    }

    /// All figures.
    pub fn read(&self) -> Readings {
        let tightest = self
            .groups
            .iter()
            .filter_map(|group| Some((group.limit()?, group)))
            .min_by_key(|(limit, _)| *limit);
        Readings {
            resident: resident_bytes(),
            group_limit: tightest.map(|(limit, _)| limit),
            group_used: tightest.and_then(|(_, group)| group.used()),
        }
    }

    /// As [`Self::read`], but the cgroup's figures are those of `last`: reading them makes the kernel add up counters of
    /// all cores.
    pub fn read_resident(&self, last: Readings) -> Readings {
        Readings {
            resident: resident_bytes(),
            ..last
        }
    }
}

// === impl Group ===

impl Group {
    fn limit(&self) -> Option<u64> {
        let file = match self.version {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        };
        // "max" is no number.
        self.number(file).filter(|limit| *limit < NO_LIMIT)
    }

    fn used(&self) -> Option<u64> {
        let (file, inactive) = match self.version {
            Version::V1 => ("memory.usage_in_bytes", "total_inactive_file "),
            Version::V2 => ("memory.current", "inactive_file "),
        };
        let stat = std::fs::read_to_string(self.folder.join("memory.stat")).ok()?;
        let inactive: u64 = stat
            .lines()
            .find_map(|line| line.strip_prefix(inactive)?.trim().parse().ok())
            .unwrap_or(0);
        Some(self.number(file)?.saturating_sub(inactive))
    }

    fn number(&self, file: &str) -> Option<u64> {
        let text = std::fs::read_to_string(self.folder.join(file)).ok()?;
        text.trim().parse().ok()
    }
}

/// The folders of the memory cgroup and those above it, by the texts of `/proc/self/cgroup` (cgroups(7)) and
/// `/proc/self/mountinfo` (proc(5)).
fn groups(own: &str, mounts: &str) -> Vec<Group> {
    let mut groups = Vec::new();
    for line in own.lines() {
        // Number, controllers, path; the unified hierarchy is "0::/path".
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let version = match controllers {
            "" => Version::V2,
            named if named.split(',').any(|controller| controller == "memory") => Version::V1,
            _ => continue,
        };
        if let Some((root, point)) = mounts.lines().find_map(|mount| mount_of(mount, version)) {
            let folders = folders(Path::new(path), root, point);
            groups.extend(folders.map(|folder| Group { version, folder }));
        }
    }
    groups
}

/// Root and mount point of a line that mounts the memory controller.
fn mount_of(line: &str, version: Version) -> Option<(&Path, &Path)> {
    let (mount, of) = line.split_once(" - ")?;
    let mut of = of.split(' ');
    let (kind, options) = (of.next()?, of.nth(1)?);
    let is_it = match version {
        Version::V1 => kind == "cgroup" && options.split(',').any(|option| option == "memory"),
        Version::V2 => kind == "cgroup2",
    };
    let mut mount = mount.split(' ');
    let (root, point) = (mount.nth(3)?, mount.next()?);
    is_it.then_some((Path::new(root), Path::new(point)))
}

/// From the process's own folder up to the mount point. Inside a container the path may be the host's, of which only a
/// part is mounted; where even that is not there the mount point itself is the container's.
fn folders<'a>(path: &Path, root: &Path, point: &'a Path) -> impl Iterator<Item = PathBuf> + use<'a> {
    let mut own = point.to_owned();
    own.extend(path.strip_prefix(root).unwrap_or_else(|_outside| Path::new("")));
    let mut next = Some(own);
    std::iter::from_fn(move || {
        let folder = next.take()?;
        next = folder
            .parent()
            .filter(|parent| parent.starts_with(point))
            .map(Path::to_owned);
        Some(folder)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1_MOUNT: &str =
        "36 31 0:30 / /sys/fs/cgroup/memory rw,relatime shared:1 - cgroup cgroup rw,memory\n";
    const V2_MOUNT: &str = "29 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";

    fn found(own: &str, mounts: &str) -> Vec<String> {
        groups(own, mounts)
            .iter()
            .map(|group| group.folder.display().to_string())
            .collect()
    }

    #[test]
    fn a_cgroup_of_version_2_is_found_with_those_above_it() {
        assert_eq!(
            found("0::/kubepods/pod1/main\n", V2_MOUNT),
            [
                "/sys/fs/cgroup/kubepods/pod1/main",
                "/sys/fs/cgroup/kubepods/pod1",
                "/sys/fs/cgroup/kubepods",
                "/sys/fs/cgroup"
            ]
        );
        // What a container with a namespace of its own sees.
        assert_eq!(found("0::/\n", V2_MOUNT), ["/sys/fs/cgroup"]);
    }

    #[test]
    fn a_cgroup_of_version_1_is_found_by_its_controller() {
        let own = "9:name=systemd:/\n4:memory:/a/b\n3:cpuset:/\n0::/\n";
        assert_eq!(
            found(own, V1_MOUNT),
            [
                "/sys/fs/cgroup/memory/a/b",
                "/sys/fs/cgroup/memory/a",
                "/sys/fs/cgroup/memory"
            ]
        );
    }

    #[test]
    fn a_path_of_the_host_is_read_from_what_is_mounted_of_it() {
        let mount = "36 31 0:30 /kubepods/pod1/main /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        assert_eq!(
            found("4:memory:/kubepods/pod1/main\n", mount),
            ["/sys/fs/cgroup/memory"]
        );
        // A path that is outside of what is mounted says nothing.
        assert_eq!(found("4:memory:/../other\n", mount), ["/sys/fs/cgroup/memory"]);
    }

    #[test]
    fn figures_are_read_in_the_form_of_each_version() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
        let group = |version| Group {
            version,
            folder: folder.path().to_owned(),
        };
        write("memory.max", "1000\n");
        write("memory.current", "700\n");
        write(
            "memory.stat",
            "anon 1\ninactive_file 200\ntotal_inactive_file 300\n",
        );
        write("memory.limit_in_bytes", "9223372036854771712\n");
        write("memory.usage_in_bytes", "900\n");
        let v2 = group(Version::V2);
        assert_eq!((v2.limit(), v2.used()), (Some(1000), Some(500)));
        let v1 = group(Version::V1);
        assert_eq!((v1.limit(), v1.used()), (None, Some(600)));
        write("memory.max", "max\n");
        assert_eq!(v2.limit(), None);
    }
}

//! The one folder of a cluster on this machine: who holds it, and how what is left in it is removed.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

use super::wait::POLL_INTERVAL;
use super::{cgroups, network};
use crate::clock;

/// The folder. One path for every user and checkout, because the addresses are the same for all as well.
pub const PATH: &str = "/var/lib/tracepipe-cluster";

/// Who holds the folder: a process id and, in a second line, what it was started for.
const HOLDER: &str = "holder";
/// Written when the holder has begun to remove its cluster.
const STOPPING: &str = "stopping";
/// For a holder that has just lost its command to notice.
const HOLDER_LIMIT: Duration = Duration::from_secs(3);
/// For a holder that is removing its cluster.
const STOPPING_LIMIT: Duration = Duration::from_secs(60);

/// The folder, held: by nobody else until this is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    lock: File,
}

/// Who holds the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// What it was started for.
    pub purpose: String,
}

impl Folder {
    /// Takes the folder and removes what an earlier cluster left in it and elsewhere. Waits for one that is just
    /// being removed.
    pub(crate) async fn take(purpose: &str) -> anyhow::Result<Self> {
        let folder = Self::lock().await?;
        folder
            .clean()
            .await
            .context("removing what an earlier cluster left")?;
        let holder = format!("{}\n{purpose}\n", std::process::id());
        std::fs::write(folder.path.join(HOLDER), holder)?;
        std::fs::create_dir_all(folder.path.join("logs"))?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// For others: what takes longer now is only the removal.
    pub(crate) fn say_stopping(&self) -> anyhow::Result<()> {
        std::fs::write(self.path.join(STOPPING), "").context("writing to the cluster's folder")
    }

    /// Removes everything, itself as well. Every machine must have ended.
    pub(crate) async fn remove(self) -> anyhow::Result<()> {
        self.clean().await?;
        std::fs::remove_dir(&self.path).with_context(|| format!("removing {}", self.path.display()))
    }

    async fn lock() -> anyhow::Result<Self> {
        let path = PathBuf::from(PATH);
        let started = clock::now();
        loop {
            std::fs::create_dir_all(&path)
                .with_context(|| format!("making {}: the cluster needs root", path.display()))?;
            let lock = File::open(&path)?;
            match lock.try_lock() {
                // The folder that was locked may be one that its last holder has just removed.
                Ok(()) if is_at(&lock, &path) => return Ok(Self { path, lock }),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let stopping = path.join(STOPPING).exists();
                    let limit = if stopping { STOPPING_LIMIT } else { HOLDER_LIMIT };
                    if clock::now().duration_since(started) > limit {
                        bail!("{}", taken());
                    }
                }
                Err(TryLockError::Error(error)) => return Err(error).context("locking the cluster's folder"),
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// A machine ends with the process that started it, so there are at most processes that are just ending, groups
    /// without processes, a link, and files.
    async fn clean(&self) -> anyhow::Result<()> {
        cgroups::remove().await?;
        network::disconnect().await?;
        for entry in std::fs::read_dir(&self.path)? {
            remove_entry(&entry?.path()).await?;
        }
        debug_assert!(is_at(&self.lock, &self.path), "the lock is the folder's");
        Ok(())
    }
}

/// Who holds the cluster of this machine now, if anybody does.
///
/// # Errors
/// When the folder cannot be looked at.
pub fn holder() -> anyhow::Result<Option<Holder>> {
    let folder = match File::open(PATH) {
        Ok(folder) => folder,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context(PATH),
    };
    match folder.try_lock() {
        Ok(()) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).context(PATH),
        Err(TryLockError::WouldBlock) => {
            let text = std::fs::read_to_string(Path::new(PATH).join(HOLDER)).unwrap_or_default();
            Ok(Some(parse_holder(&text)))
        }
    }
}

/// Removes what is left of a cluster that nobody holds.
///
/// # Errors
/// When somebody holds it, or something cannot be removed.
pub async fn remove_leftovers() -> anyhow::Result<()> {
    let folder = Folder::lock().await?;
    folder.remove().await
}

fn taken() -> String {
    let holder = holder().ok().flatten();
    let who = holder.map_or_else(
        || "a process that has just ended".to_owned(),
        |holder| format!("process {} ({})", holder.pid, holder.purpose),
    );
    format!(
        "a cluster already runs on this machine, held by {who}: only one can. Remove it by: scripts/cluster.sh down"
    )
}

/// A holder that has not said who it is yet has the pid 0.
fn parse_holder(text: &str) -> Holder {
    let mut lines = text.lines();
    let pid = lines
        .next()
        .and_then(|line| line.trim().parse().ok())
        .unwrap_or(0);
    let purpose = lines.next().unwrap_or("just starting").to_owned();
    Holder { pid, purpose }
}

fn is_at(lock: &File, path: &Path) -> bool {
    let (Ok(locked), Ok(there)) = (lock.metadata(), std::fs::metadata(path)) else {
        return false;
    };
    (locked.dev(), locked.ino()) == (there.dev(), there.ino())
}

/// What the last process of a node had open or mounted goes a moment after the process.
async fn remove_entry(path: &Path) -> anyhow::Result<()> {
    let started = clock::now();
    loop {
        let removed = if path.is_dir() && !path.is_symlink() {
            std::fs::remove_dir_all(path)
        } else {
            std::fs::remove_file(path)
        };
        match removed {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(_) if clock::now().duration_since(started) < Duration::from_secs(10) => {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
            Err(error) => return Err(error).with_context(|| format!("removing {}", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Holder, parse_holder};

    #[test]
    fn the_holder_is_read_and_one_that_is_just_starting_has_no_pid() {
        let holder = Holder {
            pid: 77,
            purpose: "run: cargo test".to_owned(),
        };
        assert_eq!(parse_holder("77\nrun: cargo test\n"), holder);
        assert_eq!(parse_holder("").pid, 0);
    }
}

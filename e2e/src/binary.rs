//! Where the product's binaries are.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The file that the environment variable `variable` names, else `name` in the folder of this binary or the one above
/// (test binaries lie in `deps`).
///
/// # Errors
/// When there is none.
pub fn find(variable: &str, name: &str) -> anyhow::Result<PathBuf> {
    let named = std::env::var_os(variable).filter(|named| !named.is_empty());
    find_from(variable, name, named, &std::env::current_exe()?)
}

fn find_from(variable: &str, name: &str, named: Option<OsString>, this: &Path) -> anyhow::Result<PathBuf> {
    if let Some(named) = named {
        let path = PathBuf::from(named);
        if !path.is_file() {
            bail!("{variable} names {}, which is no file", path.display());
        }
        return Ok(path);
    }
    this.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("no {name} near {}: build it, or set {variable}", this.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_near(named: Option<OsString>, this: &Path) -> anyhow::Result<PathBuf> {
        find_from("TRACEPIPE_COLLECTOR", "tracepipe-collector", named, this)
    }

    #[test]
    fn the_binary_is_named_or_lies_beside() {
        let folder = tempfile::tempdir().unwrap();
        let deps = folder.path().join("deps");
        std::fs::create_dir(&deps).unwrap();
        assert!(find_near(None, &deps.join("proc-1")).is_err());
        let binary = folder.path().join("tracepipe-collector");
        std::fs::write(&binary, "").unwrap();
        assert_eq!(find_near(None, &deps.join("proc-1")).unwrap(), binary);
        assert_eq!(
            find_near(None, &folder.path().join("tracepipe-demo")).unwrap(),
            binary
        );
        assert!(find_near(Some("nowhere".into()), &deps).is_err());
        assert_eq!(
            find_near(Some(PathBuf::from(&binary).into()), &deps).unwrap(),
            binary
        );
    }
}

//! AWS's published schema of a segment document, when it is there.

use std::path::{Path, PathBuf};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::rig::named;

/// The schema and who reads it.
pub(crate) struct Schema {
    schema: PathBuf,
    python: PathBuf,
}

impl Schema {
    /// None when one of the two is not there; that is said.
    pub(crate) fn named() -> Option<Self> {
        const WHAT: &str = "AWS's schema of a segment document";
        Some(Self {
            schema: named("TRACEPIPE_XRAY_SCHEMA", WHAT)?,
            python: named("TRACEPIPE_PYTHON", WHAT)?,
        })
    }

    /// Panics with what is wrong with documents, one a line.
    pub(crate) async fn check(&self, lines: &str) {
        let mut check = Command::new(&self.python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/python/check_schema.py"))
            .env("TRACEPIPE_XRAY_SCHEMA", &self.schema)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = check.stdin.take().unwrap();
        let (written, output) = tokio::join!(
            async move { stdin.write_all(lines.as_bytes()).await },
            check.wait_with_output()
        );
        let output = output.unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        written.unwrap();
    }
}

//! The operator's binary, for what it does without a cluster.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::process::Command;

use crate::binary;

/// Names the operator's binary; without it the one beside this binary is taken.
pub const BINARY_VARIABLE: &str = "TRACEPIPE_OPERATOR";

/// The binary that [`BINARY_VARIABLE`] names, else the one beside this program.
///
/// # Errors
/// When there is neither.
pub fn find_binary() -> anyhow::Result<PathBuf> {
    binary::find(BINARY_VARIABLE, "tracepipe-operator")
}

/// The collector's configuration that the operator makes of the TracingPipeline in `pipeline`; `region` is for one that
/// names none.
///
/// # Errors
/// When the operator refuses it, with what it says.
pub async fn render_collector_config(
    operator: &Path,
    pipeline: &Path,
    region: &str,
) -> anyhow::Result<Vec<u8>> {
    let flags = ["--output", "collector-config", "--node-region", region];
    render(operator, pipeline, &flags).await
}

/// The policies of the role that the operator prints for the TracingPipeline in `pipeline`.
///
/// # Errors
/// When the operator refuses it, with what it says.
pub async fn render_iam(
    operator: &Path,
    pipeline: &Path,
    issuer: &str,
    account: &str,
) -> anyhow::Result<Value> {
    let flags = ["--iam", "--issuer", issuer, "--account", account];
    Ok(serde_json::from_slice(
        &render(operator, pipeline, &flags).await?,
    )?)
}

async fn render(operator: &Path, pipeline: &Path, flags: &[&str]) -> anyhow::Result<Vec<u8>> {
    let output = Command::new(operator)
        .arg("render")
        .args(flags)
        .arg("--file")
        .arg(pipeline)
        .env_clear()
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("starting {}", operator.display()))?;
    if !output.status.success() {
        bail!(
            "the operator does not take {}:\n{}",
            pipeline.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(output.stdout)
}

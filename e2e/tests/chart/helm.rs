//! Helm as a process, without a cluster.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::{chart, documents, leave_out};

/// Both majors: people install by either, and they check values by other libraries.
const MAJORS: [(&str, &str); 2] = [("TRACEPIPE_HELM3", "helm3"), ("TRACEPIPE_HELM4", "helm4")];

/// One Helm, with a home of its own.
pub(crate) struct Helm {
    pub(crate) path: PathBuf,
    home: TempDir,
}

/// What a run of Helm ended with.
pub(crate) struct Ended {
    pub(crate) good: bool,
    /// Standard output.
    pub(crate) out: String,
    /// Both outputs, for a message.
    pub(crate) all: String,
}

/// Every Helm that is there; says of which one a test is left out.
pub(crate) fn helms(test: &str) -> Vec<Helm> {
    let folder = std::env::var_os("TRACEPIPE_CLUSTER_BIN").map(PathBuf::from);
    let mut found = vec![];
    let mut missing = vec![];
    for (variable, name) in MAJORS {
        let named = std::env::var_os(variable)
            .filter(|it| !it.is_empty())
            .map(PathBuf::from);
        let path = named.or_else(|| folder.as_ref().map(|it| it.join(name)).filter(|it| it.is_file()));
        match path {
            Some(path) => found.push(Helm {
                path,
                home: TempDir::new().unwrap(),
            }),
            None => missing.push(variable),
        }
    }
    if !missing.is_empty() {
        leave_out(&format!("{test} ({} not set)", missing.join(", ")));
    }
    found
}

impl Helm {
    /// Runs it. No cluster is named, and none is asked.
    pub(crate) fn run(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ended {
        let output = Command::new(&self.path)
            .args(args)
            .env("HOME", self.home.path())
            .env("KUBECONFIG", self.home.path().join("no-cluster"))
            .envs(
                ["CACHE", "CONFIG", "DATA"].map(|it| (format!("HELM_{it}_HOME"), self.home.path().join(it))),
            )
            .output()
            .unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        let all = format!(
            "{}: {out}{}",
            self.path.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        Ended {
            good: output.status.success(),
            out,
            all,
        }
    }

    /// `helm template` of the chart as people install it.
    pub(crate) fn template(&self, args: &[impl AsRef<OsStr>]) -> Ended {
        let mut line: Vec<OsString> = vec!["template".into(), "tracepipe".into(), chart().into()];
        line.extend(["--namespace", "tracepipe-system", "--kube-version", "1.34.0"].map(OsString::from));
        line.extend(args.iter().map(|it| it.as_ref().to_owned()));
        self.run(line)
    }

    /// The manifests that it makes with these values, in YAML.
    pub(crate) fn manifests(&self, values: &str) -> Vec<Value> {
        let ended = self.with_values(values);
        assert!(ended.good, "{}", ended.all);
        documents(&ended.out)
    }

    /// `helm template` with these values, in YAML.
    pub(crate) fn with_values(&self, values: &str) -> Ended {
        let file = self.home.path().join("values.yaml");
        std::fs::write(&file, values).unwrap();
        self.template(&[OsStr::new("--values"), file.as_os_str()])
    }
}

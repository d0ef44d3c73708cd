//! What `promtool check metrics` says of a page, and the committed lists of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tracepipe_e2e::prometheus::TOOL_VARIABLE;

use crate::rig::{LIMIT, named};

/// promtool's exit statuses: nothing found, and style alone. 1 means that it could not read the page.
const READ: [i32; 2] = [0, 3];

/// The units that promlint knows and the generator uses, whatever their prefix.
const UNITS: [&str; 10] = [
    "amperes", "bytes", "celsius", "days", "grams", "hours", "joules", "meters", "minutes", "seconds",
];

/// Prometheus' own tool.
pub(super) struct Promtool(PathBuf);

impl Promtool {
    /// None, and a line that says so, where there is none.
    pub(super) fn find() -> Option<Self> {
        named(TOOL_VARIABLE, "what promtool says of the pages on 8888 and 8889").map(Self)
    }

    /// What it finds in a page, in its words; it has to be able to read it.
    pub(super) async fn check(&self, page: &str) -> BTreeSet<String> {
        let mut child = Command::new(&self.0)
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(page.as_bytes()).await.unwrap();
        drop(stdin);
        let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await;
        let output = output.expect("a promtool that ends").unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        let status = output.status.code();
        assert!(
            status.is_some_and(|status| READ.contains(&status)),
            "promtool ended with {status:?}: {said}\n{page}"
        );
        let lines = said.lines().filter(|line| !is_of_several_units(line));
        lines.map(str::to_owned).collect()
    }
}

/// Of the units in a name promtool looks at one, and not always at the same (promlint goes through a Go map): what it says
/// of a name with two of them is not compared.
fn is_of_several_units(finding: &str) -> bool {
    let name = finding.split(' ').next().unwrap_or_default();
    let is_unit = |word: &&str| UNITS.iter().any(|unit| word.ends_with(unit));
    finding.contains(" use base unit ") && name.split('_').filter(is_unit).count() > 1
}

/// Compares with a list; `TRACEPIPE_WRITE=1` makes it anew.
pub(super) fn assert_listed(list: &str, found: &BTreeSet<String>) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/proc/amp_page")
        .join(list);
    if std::env::var_os("TRACEPIPE_WRITE").is_some() {
        let lines: String = found.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(&file, lines).unwrap();
    }
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let listed: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    let more: Vec<_> = found.difference(&listed).collect();
    let fewer: Vec<_> = listed.difference(found).collect();
    assert!(
        more.is_empty() && fewer.is_empty(),
        "{}: promtool also finds {more:#?} and no longer {fewer:#?}; TRACEPIPE_WRITE=1 renews the list, but only for names \
         that are upstream's or the application's",
        file.display()
    );
}

/// Fails where a finding is about a name of ours.
pub(super) fn assert_none_is_ours(found: &BTreeSet<String>) {
    let ours: Vec<_> = found
        .iter()
        .filter(|line| line.starts_with("tracepipe_"))
        .collect();
    assert!(ours.is_empty(), "to be mended, not listed: {ours:#?}");
}

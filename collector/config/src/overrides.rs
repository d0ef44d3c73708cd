//! `--set a.b.c=value`: what a command line changes in a configuration.

use std::str::FromStr;

use crate::error::{ConfigErrors, Diagnostics, Position};
use crate::tree::{self, Entry, Node, Value};

/// Most overrides of one start.
pub(crate) const OVERRIDES_MAX: usize = 1000;

/// One setting from the command line. Maps are merged into those of the file, everything else takes the place of
/// what the file says, lists as a whole.
#[derive(Debug, Clone)]
pub struct Override {
    key: String,
    path: Vec<String>,
    value: Node,
}

impl Override {
    /// Parses `receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0`. What stands behind the first `=` is YAML.
    /// `::` may stand in place of the dots, as upstream writes it, and must where a name has a dot.
    ///
    /// # Errors
    /// No `=`, an empty key, or a value that is not YAML.
    pub fn parse(text: &str) -> Result<Self, ConfigErrors> {
        let (key, yaml) = text.split_once('=').unwrap_or((text, ""));
        let key = key.trim();
        let separator = if key.contains("::") { "::" } else { "." };
        let path: Vec<String> = key.split(separator).map(|part| part.trim().to_owned()).collect();
        let mut diag = Diagnostics::default();
        let start = Position {
            source: 0,
            line: 1,
            column: 1,
        };
        if !text.contains('=') {
            diag.error(
                None,
                "",
                "write KEY=VALUE, for example `receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0`",
            );
        } else if path.iter().any(String::is_empty) {
            diag.error(None, "", "a part of the key is empty");
        }
        let value = tree::parse(yaml, 0, &mut diag).unwrap_or_else(|| Node::null(start));
        diag.finish(&[source_name(key)])?;
        Ok(Self {
            key: key.to_owned(),
            path,
            value,
        })
    }

    /// As it is called in messages.
    pub(crate) fn source(&self) -> String {
        source_name(&self.key)
    }

    /// Puts the value into the tree; `source` as in [`Position::source`].
    pub(crate) fn apply(&self, root: &mut Node, source: u16, diag: &mut Diagnostics) {
        let at = Position {
            source,
            line: 1,
            column: 1,
        };
        let mut value = self.value.clone();
        value.for_each(&mut |node| {
            node.at.source = source;
            if let Value::Map(entries) = &mut node.value {
                entries.iter_mut().for_each(|entry| entry.key_at.source = source);
            }
        });
        let patch = self.path.iter().rev().fold(value, |value, key| {
            let entry = Entry::new(key.clone(), at, value);
            Node {
                value: Value::Map(vec![entry]),
                at,
                expanded: None,
            }
        });
        merge(root, patch, "", diag);
    }
}

impl FromStr for Override {
    type Err = ConfigErrors;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

fn source_name(key: &str) -> String {
    format!("--set {key}")
}

fn merge(target: &mut Node, patch: Node, path: &str, diag: &mut Diagnostics) {
    let Value::Map(patches) = patch.value else {
        *target = patch;
        return;
    };
    if target.is_null() {
        *target = Node {
            value: Value::Map(Vec::new()),
            at: patch.at,
            expanded: None,
        };
    }
    let Value::Map(entries) = &mut target.value else {
        diag.error(
            patch.at,
            path,
            "the file has no map here; lists and values can only be replaced as a whole",
        );
        return;
    };
    for patch in patches {
        match entries.iter_mut().find(|entry| entry.key == patch.key) {
            Some(entry) => merge(&mut entry.value, patch.value, &tree::join(path, &patch.key), diag),
            None => entries.push(patch),
        }
    }
}

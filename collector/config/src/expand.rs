//! `${env:NAME}` in values, by the rules of the OpenTelemetry Collector (its package `confmap`).
//!
//! Expansion works on the tree, so text from the environment that stands within other text can never become YAML
//! structure. A value that is nothing but `${env:NAME}` is read as YAML, as there; its text is kept for settings
//! that want text, so that `0123` stays `0123`.

use crate::error::{Diagnostics, Position};
use crate::scalar::Kind;
use crate::tree::{self, Expanded, NODES_MAX, Node, Scalar, TEXT_BYTES_MAX, Value};

/// Replacements in one value: a variable that names itself ends here.
const ROUNDS_MAX: usize = 100;
/// Values within values that came from the environment.
const DEPTH_MAX: usize = 8;

/// Expands every value of the tree and turns `$$` into `$`.
pub(crate) fn expand(root: &mut Node, env: &dyn Fn(&str) -> Option<String>, diag: &mut Diagnostics) {
    let mut expander = Expander {
        env,
        diag,
        nodes_left: NODES_MAX,
    };
    expander.node(root, "", 0);
}

struct Expander<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    diag: &'a mut Diagnostics,
    /// Values that may still come from the environment.
    nodes_left: usize,
}

impl Expander<'_> {
    fn node(&mut self, node: &mut Node, path: &str, depth: usize) {
        match &mut node.value {
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.node(item, &format!("{path}[{index}]"), depth);
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    self.node(&mut entry.value, &tree::join(path, &entry.key), depth);
                }
            }
            Value::Scalar(scalar) if scalar.kind == Kind::Text && scalar.text.contains('$') => {
                if let Err(message) = self.scalar(node, path, depth) {
                    self.diag.error(node.at, path, message);
                }
            }
            Value::Scalar(_) => {}
        }
    }

    fn scalar(&mut self, node: &mut Node, path: &str, depth: usize) -> Result<(), String> {
        let Value::Scalar(scalar) = &mut node.value else {
            return Ok(());
        };
        let written = scalar.text.clone();
        let mut text = written.clone();
        for _ in 0..ROUNDS_MAX {
            let Some(reference) = find(&text) else {
                let text = text.replace("$$", "$");
                if text != written {
                    scalar.text = text;
                    node.expanded = Some(Box::new(Expanded { text: None, written }));
                }
                return Ok(());
            };
            let whole = reference.start == 0 && reference.end == text.len();
            let value = self.lookup(&text[reference.start + 2..reference.end - 1], node.at, path)?;
            if whole {
                return self.whole(
                    node,
                    value,
                    Written {
                        text: written,
                        path,
                        depth,
                    },
                );
            }
            text.replace_range(reference, &value.text);
            if text.len() > TEXT_BYTES_MAX {
                return Err(format!("the expanded value has more than {TEXT_BYTES_MAX} bytes"));
            }
        }
        Err(format!(
            "more than {ROUNDS_MAX} expansions in one value; does a variable name itself?"
        ))
    }

    /// The value is nothing but one reference: it is read as YAML.
    fn whole(&mut self, node: &mut Node, found: Found, written: Written<'_>) -> Result<(), String> {
        if written.depth >= DEPTH_MAX {
            return Err(format!(
                "expansions are nested deeper than {DEPTH_MAX}; does a variable name itself?"
            ));
        }
        let Found { text, is_text } = found;
        // Not YAML, or YAML text: then it is taken as it is, quotes and all.
        let verbatim = || {
            Value::Scalar(Scalar {
                text: text.clone(),
                kind: Kind::Text,
                plain: false,
            })
        };
        let parsed = tree::parse(&text, 0, &mut Diagnostics::default()).map(|node| node.value);
        let at = node.at;
        node.value = match parsed {
            Some(Value::Scalar(scalar)) if is_text || scalar.kind == Kind::Text => verbatim(),
            Some(value) => value,
            None => verbatim(),
        };
        let mut nodes = 0;
        node.for_each(&mut |node| {
            nodes += 1;
            node.at = at;
            if let Value::Map(entries) = &mut node.value {
                entries.iter_mut().for_each(|entry| entry.key_at = at);
            }
        });
        self.nodes_left = self
            .nodes_left
            .checked_sub(nodes)
            .ok_or_else(|| format!("more than {NODES_MAX} values come from the environment"))?;
        self.node(node, written.path, written.depth + 1);
        node.for_each(&mut |node| {
            node.expanded = Some(Box::new(Expanded {
                text: None,
                written: written.text.clone(),
            }));
        });
        // A setting that wants text takes the variable as it is, whatever it would mean as YAML.
        let as_text = match &node.value {
            Value::Scalar(scalar) if scalar.kind == Kind::Text => scalar.text.clone(),
            Value::Scalar(_) | Value::List(_) | Value::Map(_) => text.replace("$$", "$"),
        };
        node.expanded = Some(Box::new(Expanded {
            text: Some(as_text),
            written: written.text,
        }));
        Ok(())
    }

    /// What a reference stands for; nothing when the variable is not set.
    fn lookup(&mut self, reference: &str, at: Position, path: &str) -> Result<Found, String> {
        let name = match reference.split_once(':') {
            None => reference,
            Some(("env", name)) => name,
            Some((scheme, rest)) if is_name(scheme) && rest.starts_with('-') => {
                return Err(format!(
                    "write ${{env:{scheme}:-...}}: a default needs the `env:`"
                ));
            }
            Some((scheme, _)) => {
                return Err(format!(
                    "`${{{scheme}:...}}` is not supported; `${{env:NAME}}` is"
                ));
            }
        };
        let (name, default) = match name.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (name, None),
        };
        if !is_name(name) {
            return Err(
                "the name of an environment variable has letters, digits and `_`, and does not begin with a digit; \
                 write `$$` for a `$`"
                    .to_owned(),
            );
        }
        let value = (self.env)(name);
        match (value, default) {
            (Some(value), _) if value.len() > TEXT_BYTES_MAX => Err(format!(
                "the environment variable {name} has more than {TEXT_BYTES_MAX} bytes"
            )),
            (Some(text), _) => Ok(Found { text, is_text: false }),
            // As upstream: nothing is null, but a default of nothing is the empty text.
            (None, Some(default)) => Ok(Found {
                text: default.to_owned(),
                is_text: default.is_empty(),
            }),
            (None, None) => {
                let message = format!("the environment variable {name} is not set; the value is left empty");
                self.diag.warn(at, path, message);
                Ok(Found {
                    text: String::new(),
                    is_text: false,
                })
            }
        }
    }
}

struct Found {
    text: String,
    /// Not to be read as YAML.
    is_text: bool,
}

struct Written<'a> {
    text: String,
    path: &'a str,
    depth: usize,
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The first `${...}` that is not escaped, innermost first.
fn find(text: &str) -> Option<std::ops::Range<usize>> {
    let mut from = 0;
    while let Some(length) = text[from..].find('}') {
        let end = from + length + 1;
        if let Some(start) = text[from..end].rfind("${").map(|start| from + start) {
            let dollars = text[..start]
                .bytes()
                .rev()
                .take_while(|byte| *byte == b'$')
                .count();
            if dollars % 2 == 0 {
                return Some(start..end);
            }
        }
        from = end;
    }
    None
}

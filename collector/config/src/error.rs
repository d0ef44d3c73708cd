//! Everything that is wrong with a configuration, at once, with the place where it was written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A place in one of the texts of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Which text: 0 is the file, n the n-th override. It indexes [`crate::Config::sources`].
    pub source: u16,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
}

/// One thing to say about a configuration: an error, or a warning.
///
/// It never holds the value of a header or of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file's name, or `--set KEY` for an override.
    pub file: String,
    /// Where in the file. None for an override, and for a configuration that was built and not read.
    pub at: Option<Position>,
    /// The setting, for example `processors.tail_sampling.policies[2].latency.threshold_ms`. May be empty.
    pub path: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// A reason why a configuration cannot be used.
pub type ConfigError = Diagnostic;

/// Something that is accepted and has no effect, or may surprise.
pub type ConfigWarning = Diagnostic;

impl fmt::Display for Diagnostic {
    /// `file:line:column: path: message`, without the parts that are not known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(at) = self.at {
            write!(f, ":{}:{}", at.line, at.column)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// All errors of one configuration, in the order of the file. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    errors: Vec<ConfigError>,
}

impl ConfigErrors {
    /// The errors, in the order of the file, those of overrides last.
    pub fn errors(&self) -> &[ConfigError] {
        &self.errors
    }
}

impl ConfigErrors {
    pub(crate) fn into_errors(self) -> Vec<ConfigError> {
        self.errors
    }

    /// For the branch that cannot be reached: settings are missing and nothing was said.
    pub(crate) fn incomplete() -> Self {
        let found = Found {
            at: None,
            path: String::new(),
            message: "the configuration is not complete".to_owned(),
        };
        Self {
            errors: vec![found.into_diagnostic(&[])],
        }
    }
}

impl fmt::Display for ConfigErrors {
    /// One error a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

/// The name used in messages for a configuration that was built and not read.
const BUILT: &str = "configuration";

/// Collects errors and warnings.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    errors: Vec<Found>,
    warnings: Vec<Found>,
    /// Paths about which nothing more is said: an earlier step has already refused something there, and what a
    /// later step finds would only be its consequence.
    silenced: BTreeSet<String>,
    /// The same holds for what lies around these paths.
    silenced_around: bool,
    /// Of each list from which decoding has left items out: the places that the others have in the file.
    kept: BTreeMap<String, Vec<usize>>,
    /// Paths refused by this step.
    refused: BTreeSet<String>,
    /// Bytes of the regular expressions that were compiled so far.
    pub(crate) program_bytes: usize,
}

#[derive(Debug)]
struct Found {
    at: Option<Position>,
    path: String,
    message: String,
}

impl Diagnostics {
    /// Adds an error, unless an earlier step has refused this path.
    pub(crate) fn error(
        &mut self,
        at: impl Into<Option<Position>>,
        path: impl Into<String>,
        message: impl Into<String>,
    ) {
        let (path, message) = (path.into(), message.into());
        if !self.is_silenced(&path) {
            self.refused.insert(path.clone());
            self.errors.push(Found {
                at: at.into(),
                path,
                message,
            });
        }
    }

    /// Adds a warning.
    pub(crate) fn warn(
        &mut self,
        at: impl Into<Option<Position>>,
        path: impl Into<String>,
        message: impl Into<String>,
    ) {
        self.warnings.push(Found {
            at: at.into(),
            path: path.into(),
            message: message.into(),
        });
    }

    /// Later steps say nothing about this path: `limit_mb` was refused with "did you mean `limit_mib`", so that
    /// `limit_mib` is missing is no news.
    pub(crate) fn excuse(&mut self, path: String) {
        self.refused.insert(path);
    }

    /// The tree is expanded; values that could not be are not refused again by their type.
    pub(crate) fn expanded(&mut self) {
        self.silenced.append(&mut self.refused);
    }

    /// The tree is decoded. What could not be decoded is left out of the configuration, which shows around it too:
    /// a list may be empty for that reason only.
    pub(crate) fn decoded(&mut self) {
        self.silenced.append(&mut self.refused);
        self.silenced_around = true;
    }

    /// True if an earlier step has refused this path.
    pub(crate) fn is_silenced(&self, path: &str) -> bool {
        let mut silenced = self.silenced.iter();
        silenced.any(|refused| is_within(path, refused) || (self.silenced_around && is_within(refused, path)))
    }

    /// Decoding has left out all but these items of a list.
    pub(crate) fn keep(&mut self, list: String, kept: Vec<usize>) {
        self.kept.insert(list, kept);
    }

    /// The path of an item of a decoded list, with the index that it has in the file.
    pub(crate) fn item(&self, list: &str, index: usize) -> String {
        let written = self
            .kept
            .get(list)
            .and_then(|kept| kept.get(index))
            .unwrap_or(&index);
        format!("{list}[{written}]")
    }

    pub(crate) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The warnings, or the errors if there are any. `sources` as in [`crate::Config::sources`].
    pub(crate) fn finish(self, sources: &[String]) -> Result<Vec<ConfigWarning>, ConfigErrors> {
        if self.errors.is_empty() {
            Ok(sorted(self.warnings, sources))
        } else {
            Err(ConfigErrors {
                errors: sorted(self.errors, sources),
            })
        }
    }
}

/// True for `a.b` within `a`, `a[0]` within `a`, and `a` within `a`.
fn is_within(path: &str, outer: &str) -> bool {
    match path.strip_prefix(outer) {
        Some(rest) => outer.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']),
        None => false,
    }
}

fn sorted(mut found: Vec<Found>, sources: &[String]) -> Vec<Diagnostic> {
    // What has no place of its own concerns the whole file and stands last; the sort is stable.
    found.sort_by_key(|found| found.at.map_or((true, None), |at| (false, Some(at))));
    found
        .into_iter()
        .map(|found| found.into_diagnostic(sources))
        .collect()
}

impl Found {
    fn into_diagnostic(self, sources: &[String]) -> Diagnostic {
        let source = self.at.map_or(0, |at| usize::from(at.source));
        Diagnostic {
            file: sources.get(source).map_or(BUILT, String::as_str).to_owned(),
            // A column within an override's value helps nobody: the key says which one it is.
            at: self.at.filter(|at| at.source == 0),
            path: self.path,
            message: self.message,
        }
    }
}

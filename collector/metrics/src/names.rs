//! Names of metrics: `http.server.request.duration` in `s` becomes `http_server_request_duration_seconds`.
//!
//! The rules are those of `otlptranslator` v1.0.0 (`metric_namer.go`) for the two strategies that escape. One
//! difference: a name of which no character is left is refused, where upstream makes one of its unit alone.

use tracepipe_config::{TranslationSettings, TranslationStrategy};

use crate::units::UnitWords;

/// What a metric is, as far as its name says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// A monotonic sum, whatever its temporality: its name ends in `_total`.
    Counter,
    /// A gauge: its name ends in `_ratio` if its unit is `1`.
    Gauge,
    /// All else: sums that may fall, histograms, summaries.
    Other,
}

/// Why a metric has no name. It is dropped and counted; an SDK that sends such names goes on doing so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameDefect {
    /// It is empty, or has no character that a name can have.
    Empty,
    /// Only underscores are left of it.
    OnlyUnderscores,
}

/// Makes names.
#[derive(Debug, Clone)]
pub struct MetricNamer {
    /// Valid for Prometheus, as the configuration has been checked; empty: none.
    namespace: Vec<u8>,
    strategy: TranslationStrategy,
}

impl MetricNamer {
    /// Names by these settings.
    pub fn new(settings: &TranslationSettings) -> Self {
        Self {
            namespace: settings.namespace.clone().unwrap_or_default().into_bytes(),
            strategy: settings.strategy,
        }
    }

    /// Appends the name to `out`: `[a-zA-Z_:][a-zA-Z0-9_:]*`, about as long as `name` and the unit's words together.
    ///
    /// # Errors
    /// If nothing is left of the name; then nothing is appended.
    pub fn put(&self, name: &[u8], unit: &[u8], kind: NameKind, out: &mut Vec<u8>) -> Result<(), NameDefect> {
        match self.strategy {
            TranslationStrategy::UnderscoreEscapingWithSuffixes => {
                self.put_with_suffixes(name, unit, kind, out)
            }
            TranslationStrategy::UnderscoreEscapingWithoutSuffixes => self.put_without_suffixes(name, out),
        }
    }

    /// Appends the name of the series that tells of a resource: `target_info`, behind the namespace.
    pub fn put_target_info(&self, out: &mut Vec<u8>) {
        if !self.namespace.is_empty() {
            out.extend_from_slice(&self.namespace);
            out.push(b'_');
        }
        out.extend_from_slice(b"target_info");
    }

    fn put_with_suffixes(
        &self,
        name: &[u8],
        unit: &[u8],
        kind: NameKind,
        out: &mut Vec<u8>,
    ) -> Result<(), NameDefect> {
        let suffix = suffix(unit, kind);
        if tokens(name, is_plain).next().is_none() {
            return Err(NameDefect::Empty);
        }
        let mut joined = Joined::new(out);
        if !self.namespace.is_empty() {
            joined.push(&self.namespace);
        }
        let mut has_main = false;
        let units = UnitWords::of(unit);
        for token in tokens(name, is_plain) {
            has_main |= token == units.main.as_ref();
            if Some(token) != suffix {
                joined.push(token);
            }
        }
        if !units.main.is_empty() && !has_main && Some(units.main.as_ref()) != suffix {
            let mut main = units.main.as_ref();
            if !units.per.is_empty() {
                main = main.strip_suffix(b"_").unwrap_or(main);
            }
            joined.push(main);
        }
        if !units.per.is_empty() {
            joined.push(b"per");
            joined.push(&units.per);
        }
        if let Some(suffix) = suffix {
            joined.push(suffix);
        }
        Ok(())
    }

    fn put_without_suffixes(&self, name: &[u8], out: &mut Vec<u8>) -> Result<(), NameDefect> {
        if tokens(name, is_plain_or_underscore).next().is_none() {
            return Err(NameDefect::Empty);
        }
        let start = out.len();
        let mut joined = Joined::new(out);
        if !self.namespace.is_empty() {
            joined.push(&self.namespace);
        }
        for token in tokens(name, is_plain_or_underscore) {
            joined.push(token);
        }
        let made = &out[start..];
        if made != name && made.iter().all(|byte| *byte == b'_') {
            out.truncate(start);
            return Err(NameDefect::OnlyUnderscores);
        }
        Ok(())
    }
}

/// What stands at the end of a name for its kind. It is taken out wherever else it stands.
fn suffix(unit: &[u8], kind: NameKind) -> Option<&'static [u8]> {
    match kind {
        NameKind::Counter => Some(b"total"),
        NameKind::Gauge if unit == b"1" => Some(b"ratio"),
        NameKind::Gauge | NameKind::Other => None,
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b':'
}

fn is_plain_or_underscore(byte: u8) -> bool {
    is_plain(byte) || byte == b'_'
}

/// The words of a name, none empty. All bytes of a character that is not ASCII part them.
fn tokens(name: &[u8], is_part: fn(u8) -> bool) -> impl Iterator<Item = &[u8]> {
    name.split(move |byte| !is_part(*byte))
        .filter(|token| !token.is_empty())
}

/// Words with `_` between them.
struct Joined<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Joined<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, is_empty: true }
    }

    fn push(&mut self, word: &[u8]) {
        if !self.is_empty {
            self.out.push(b'_');
        } else if word.first().is_some_and(u8::is_ascii_digit) {
            // No name begins with a digit.
            self.out.push(b'_');
        }
        self.is_empty = false;
        self.out.extend_from_slice(word);
    }
}

#[cfg(test)]
pub(crate) mod tests;

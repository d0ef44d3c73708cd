//! Regular expressions with the meaning that they have in Go, for settings which upstream hands to Go's `regexp`.
//!
//! Both engines are automata, so that no pattern takes more than linear time, but the languages differ: in Go `\d`,
//! `\w`, `\s` and `\b` are ASCII, `\Q..\E` quotes, `[[:word:]]` stands alone, classes have neither `&&` nor `--`, `{` may
//! be itself, `x**` is refused. So patterns are parsed here by Go's rules (`regexp/syntax` of Go 1.26, flags `Perl`) into
//! what the engine runs; texts that are not UTF-8 are read as Go reads them.
//!
//! Refused here and not in Go: patterns longer than [`PATTERN_BYTES_MAX`], more than 200 groups inside each other, and
//! what compiles to more than [`PROGRAM_BYTES_MAX`]. Scripts and categories are those of Unicode 16, upstream's of 15.

mod class;
mod names;
mod parse;

use std::borrow::Cow;

use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::{Input, meta};
use regex_syntax::hir::Look;

/// Longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 8192;

/// Most bytes of a compiled pattern's automaton. There are up to two of these, forward and backward.
pub const PROGRAM_BYTES_MAX: usize = 4 << 20;

/// Bytes that a pattern's search keeps to be fast. Less would still give the same answers.
const SEARCH_CACHE_BYTES: usize = 256 << 10;

/// A compiled pattern. Clones share it.
#[derive(Debug, Clone)]
pub struct GoRegex {
    regex: meta::Regex,
    /// A search may stop at the first sign of a match: see [`GoRegex::new`].
    stops_early: bool,
}

impl GoRegex {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong, for people, when Go refuses the pattern too or when it is too large (see the module).
    pub fn new(pattern: &str) -> Result<Self, String> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(format!("has more than {PATTERN_BYTES_MAX} bytes"));
        }
        let hir = parse::parse(pattern)?;
        // Within a character `\B` holds for the engine. It passes over such a match, as it should, but when it stops at
        // the first sign of one it passes over a longer one as well, which began before.
        let stops_early = !hir.properties().look_set().contains(Look::WordAsciiNegate);
        let captures = if stops_early {
            WhichCaptures::None
        } else {
            WhichCaptures::Implicit
        };
        let config = meta::Config::new()
            .which_captures(captures)
            .nfa_size_limit(Some(PROGRAM_BYTES_MAX))
            .hybrid_cache_capacity(SEARCH_CACHE_BYTES);
        let built = meta::Builder::new().configure(config).build_from_hir(&hir);
        match built {
            Ok(regex) => Ok(Self { regex, stops_early }),
            Err(error) if error.size_limit().is_some() => Err(format!(
                "is too large: it compiles to more than {PROGRAM_BYTES_MAX} bytes"
            )),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Bytes of what the pattern compiled to.
    pub fn memory_bytes(&self) -> usize {
        self.regex.memory_usage()
    }

    /// True when the pattern matches anywhere in the text. A byte that is not part of UTF-8 counts as U+FFFD.
    pub fn is_match(&self, text: &[u8]) -> bool {
        let text = as_go_reads(text);
        if self.stops_early {
            self.regex.is_match(&*text)
        } else {
            self.regex.search_half(&Input::new(&*text)).is_some()
        }
    }
}

/// The text with U+FFFD for each byte that belongs to no character. (The standard library's lossy form has one for a
/// whole truncated character.)
fn as_go_reads(text: &[u8]) -> Cow<'_, [u8]> {
    if std::str::from_utf8(text).is_ok() {
        return Cow::Borrowed(text);
    }
    let mut read = String::with_capacity(text.len() * 2);
    for chunk in text.utf8_chunks() {
        read.push_str(chunk.valid());
        read.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(read.into_bytes())
}

#[cfg(test)]
mod tests;

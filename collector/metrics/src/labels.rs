//! Names and values of labels.
//!
//! Names by the rules of `otlptranslator` v1.0.0 (`label_namer.go`) as the exporters of the OpenTelemetry Collector
//! Contrib v0.161.0 use it; which labels a series has by their `createAttributes`, but that a key which gives no name
//! costs its label and not the point.

mod value;

use tracepipe_config::LabelUnderscores;

pub use value::{put_text, put_value};

/// Why a key is no label's name. The label is left out and counted; the point is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelDefect {
    /// The key is empty.
    Empty,
    /// Only underscores are left of it.
    OnlyUnderscores,
}

/// Appends the name of the label for the attribute `key` to `out`: `[a-zA-Z_][a-zA-Z0-9_]*`, at most four bytes longer.
///
/// With [`LabelUnderscores::Collapse`] runs become one `_` and a name that begins with one `_` has `key` in front of it,
/// but `__x__` keeps its outer underscores: what upstream does unless a feature gate of its is on. With
/// [`LabelUnderscores::Preserve`] each character becomes one `_`, as with the gate.
///
/// # Errors
/// If nothing is left of the key; then nothing is appended.
#[inline]
pub fn put_name(key: &[u8], underscores: LabelUnderscores, out: &mut Vec<u8>) -> Result<(), LabelDefect> {
    if is_plain_name(key) {
        out.extend_from_slice(key);
        return Ok(());
    }
    put_escaped(key, underscores, out)
}

/// Begins with a letter and has no character to replace nor two underscores in a row: it stays as it is in both modes.
fn is_plain_name(key: &[u8]) -> bool {
    let Some(first) = key.first() else { return false };
    let mut before = b'_';
    first.is_ascii_alphabetic()
        && key.iter().all(|byte| {
            let fits = byte.is_ascii_alphanumeric() || (*byte == b'_' && before != b'_');
            before = *byte;
            fits
        })
}

fn put_escaped(key: &[u8], underscores: LabelUnderscores, out: &mut Vec<u8>) -> Result<(), LabelDefect> {
    if key.is_empty() {
        return Err(LabelDefect::Empty);
    }
    let start = out.len();
    match underscores {
        LabelUnderscores::Preserve => {
            if starts_with_digit(key) {
                out.extend_from_slice(b"key_");
            }
            put_one_for_each(key, out);
        }
        LabelUnderscores::Collapse => {
            if let Some(inner) = reserved(key) {
                out.extend_from_slice(b"__");
                put_one_for_runs(inner, out);
                out.extend_from_slice(b"__");
            } else if starts_with_digit(key) {
                out.extend_from_slice(b"key_");
                put_one_for_runs(key, out);
            } else {
                if !key[0].is_ascii_alphabetic() {
                    out.extend_from_slice(b"key");
                }
                put_one_for_runs(key, out);
            }
        }
    }
    if out[start..].iter().all(|byte| *byte == b'_') {
        out.truncate(start);
        return Err(LabelDefect::OnlyUnderscores);
    }
    Ok(())
}

fn starts_with_digit(key: &[u8]) -> bool {
    key.first().is_some_and(u8::is_ascii_digit)
}

/// What stands between the outer underscores of `__x__`.
fn reserved(key: &[u8]) -> Option<&[u8]> {
    key.strip_prefix(b"__")?.strip_suffix(b"__")
}

/// One `_` for each character that does not fit; each byte that is no UTF-8 is one character, as in Go.
fn put_one_for_each(key: &[u8], out: &mut Vec<u8>) {
    for chunk in key.utf8_chunks() {
        out.extend(chunk.valid().chars().map(plain_or_underscore));
        out.extend(chunk.invalid().iter().map(|_| b'_'));
    }
}

fn plain_or_underscore(char: char) -> u8 {
    u8::try_from(char)
        .ok()
        .filter(u8::is_ascii_alphanumeric)
        .unwrap_or(b'_')
}

fn put_one_for_runs(key: &[u8], out: &mut Vec<u8>) {
    let mut is_run = false;
    for byte in key {
        let fits = byte.is_ascii_alphanumeric();
        if fits || !is_run {
            out.push(if fits { *byte } else { b'_' });
        }
        is_run = !fits;
    }
}

#[cfg(test)]
mod tests;

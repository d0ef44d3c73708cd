//! The little YAML that is written: maps and lists in block style, short lists of scalars in one line.
//!
//! A text stands plain only if it is made of letters, digits, `_`, `.`, `/` and `-`, begins with a letter, `_` or
//! `/`, and means itself to every reader of YAML 1.1 and 1.2. Every other one is quoted, in printable ASCII alone,
//! on one line. So no text can end its value, begin a comment, or become structure.

use crate::config::{Field, Spanned};
use crate::duration::GoDuration;
use crate::scalar::{Kind, old_bool, resolve_plain};

/// Longer lists of scalars stand one item a line.
const FLOW_CHARS_MAX: usize = 80;
/// A key that stands before its `:` has at most 1024 characters (YAML 1.2.2, section 7.4); longer ones get a `?`.
const SIMPLE_KEY_CHARS_MAX: usize = 1000;

/// A value to be written.
pub(super) enum Yaml {
    /// What stands as it is: a number, a bool, a duration, a word of a closed set.
    Token(String),
    /// Any text; a `$` in it is doubled.
    Text(String),
    List(Vec<Yaml>),
    Map(Map),
}

/// A map in the order in which it is written.
#[derive(Default)]
pub(super) struct Map(Vec<(String, Yaml)>);

impl Map {
    /// A setting, if it is set.
    pub(super) fn field<T: ToYaml>(self, key: &str, field: &Field<T>) -> Self {
        self.maybe(key, field.as_ref().map(|field| field.value.to_yaml()))
    }

    pub(super) fn maybe(mut self, key: &str, value: Option<Yaml>) -> Self {
        self.0.extend(value.map(|value| (key.to_owned(), value)));
        self
    }

    /// A map, unless nothing is in it.
    pub(super) fn filled(self, key: &str, map: Self) -> Self {
        let value = (!map.0.is_empty()).then_some(Yaml::Map(map));
        self.maybe(key, value)
    }

    /// A map, an empty one too.
    pub(super) fn with(mut self, key: impl Into<String>, map: Self) -> Self {
        self.0.push((key.into(), Yaml::Map(map)));
        self
    }
}

/// How a setting's value is written.
pub(super) trait ToYaml {
    fn to_yaml(&self) -> Yaml;
}

impl ToYaml for bool {
    fn to_yaml(&self) -> Yaml {
        Yaml::Token(self.to_string())
    }
}

impl ToYaml for u64 {
    fn to_yaml(&self) -> Yaml {
        Yaml::Token(self.to_string())
    }
}

impl ToYaml for i64 {
    fn to_yaml(&self) -> Yaml {
        Yaml::Token(self.to_string())
    }
}

impl ToYaml for f64 {
    /// `10` and not `10.0`: where a number is wanted, both are one.
    fn to_yaml(&self) -> Yaml {
        match double(*self) {
            text if text.ends_with(".0") => Yaml::Token(text.trim_end_matches(".0").to_owned()),
            text => Yaml::Token(text),
        }
    }
}

impl ToYaml for String {
    fn to_yaml(&self) -> Yaml {
        Yaml::Text(self.clone())
    }
}

impl ToYaml for GoDuration {
    /// `1m` and not Go's `1m0s`.
    fn to_yaml(&self) -> Yaml {
        let mut text = self.to_string();
        if text.ends_with("m0s") {
            text.truncate(text.len() - 2);
        }
        if text.ends_with("h0m") {
            text.truncate(text.len() - 2);
        }
        Yaml::Token(text)
    }
}

impl<T: ToYaml> ToYaml for Vec<Spanned<T>> {
    fn to_yaml(&self) -> Yaml {
        Yaml::List(self.iter().map(|item| item.value.to_yaml()).collect())
    }
}

/// A number that reads back as one with a fraction, even where it is whole.
pub(super) fn double(value: f64) -> String {
    if value.is_nan() {
        ".nan".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { ".inf" } else { "-.inf" }.to_owned()
    } else {
        // Rust's shortest form that reads back to the same bits, always with a point or an exponent.
        format!("{value:?}")
    }
}

/// The whole text.
pub(super) fn print(map: &Map) -> String {
    let mut out = String::new();
    if map.0.is_empty() {
        out.push_str("{}\n");
    }
    entries(&mut out, map, 0, false);
    out
}

/// The entries of a map, the first behind what stands on the line already if `is_open`.
fn entries(out: &mut String, map: &Map, indent: usize, mut is_open: bool) {
    for (key, value) in &map.0 {
        if !std::mem::take(&mut is_open) {
            pad(out, indent);
        }
        let key = quoted(key);
        if key.len() > SIMPLE_KEY_CHARS_MAX {
            out.push_str("? ");
            out.push_str(&key);
            out.push('\n');
            pad(out, indent);
        } else {
            out.push_str(&key);
        }
        out.push(':');
        under(out, value, indent);
    }
}

/// A value behind its key's colon.
fn under(out: &mut String, value: &Yaml, indent: usize) {
    match value {
        Yaml::Map(map) if !map.0.is_empty() => {
            out.push('\n');
            entries(out, map, indent + 2, false);
        }
        Yaml::List(items) => match flow(items) {
            Some(line) => line_end(out, &line),
            None => {
                out.push('\n');
                for item in items {
                    pad(out, indent + 2);
                    out.push('-');
                    listed(out, item, indent + 2);
                }
            }
        },
        Yaml::Map(_) => line_end(out, "{}"),
        Yaml::Token(text) => line_end(out, text),
        Yaml::Text(text) => line_end(out, &scalar(text)),
    }
}

/// A value behind the dash of its list.
fn listed(out: &mut String, item: &Yaml, indent: usize) {
    match item {
        Yaml::Map(map) if !map.0.is_empty() => {
            out.push(' ');
            entries(out, map, indent + 2, true);
        }
        Yaml::Map(_) | Yaml::List(_) | Yaml::Token(_) | Yaml::Text(_) => under(out, item, indent),
    }
}

/// The list in one line, if it is a short one of scalars.
fn flow(items: &[Yaml]) -> Option<String> {
    let mut texts = Vec::new();
    for item in items {
        match item {
            Yaml::Token(text) => texts.push(text.clone()),
            Yaml::Text(text) => texts.push(scalar(text)),
            Yaml::List(_) | Yaml::Map(_) => return None,
        }
    }
    let line = format!("[{}]", texts.join(", "));
    (line.len() <= FLOW_CHARS_MAX).then_some(line)
}

fn line_end(out: &mut String, text: &str) {
    out.push(' ');
    out.push_str(text);
    out.push('\n');
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// A text as a value: expansion turns `$$` back into `$`.
fn scalar(text: &str) -> String {
    quoted(&text.replace('$', "$$"))
}

/// A text as it is, plain or quoted. Keys are not expanded, so this is how they are written.
fn quoted(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match u32::from(c) {
            0x22 | 0x5c => out.extend(['\\', c]),
            0x0a => out.push_str("\\n"),
            0x09 => out.push_str("\\t"),
            0x20..=0x7e => out.push(c),
            code @ 0..=0xff => out.push_str(&format!("\\x{code:02x}")),
            code @ 0x100..=0xffff => out.push_str(&format!("\\u{code:04x}")),
            code => out.push_str(&format!("\\U{code:08x}")),
        }
    }
    out.push('"');
    out
}

/// True if the text means itself without quotes. `yes`, `Off` and their like are quoted: to YAML 1.1 they are bools.
fn is_plain(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '/'))
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/' | b'-'))
        && resolve_plain(&lower) == Kind::Text
        && old_bool(&lower).is_none()
}

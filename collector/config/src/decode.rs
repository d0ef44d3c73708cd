//! From the tree to typed values: each function takes what it understands and says what is wrong with the rest.
//!
//! There is no derive: a map is taken apart key by key with [`Fields`], which knows at the end what was asked for
//! and what is left over.

use crate::catalog;
use crate::config::{Field, Spanned};
use crate::duration::GoDuration;
use crate::error::{Diagnostics, Position};
use crate::scalar::{Kind, old_bool};
use crate::tree::{self, Entry, Node, Value};

/// A value and the path that leads to it.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'n> {
    pub(crate) node: &'n Node,
    pub(crate) path: String,
}

impl Cursor<'_> {
    pub(crate) fn error(&self, diag: &mut Diagnostics, message: impl Into<String>) {
        diag.error(self.node.at, &self.path, message);
    }

    fn wrong_type(&self, diag: &mut Diagnostics, wanted: &str) {
        let mut message = format!("{} is wanted, this is {}", wanted, what(self.node));
        if let Value::Scalar(scalar) = &self.node.value
            && self.node.expanded.is_none()
            && let Some(key) = tree::key_without_space(&scalar.text)
        {
            message.push_str(&format!(" (is a space missing after `{key}:`?)"));
        }
        self.error(diag, message);
    }
}

/// The kind of a value in words, without the value.
fn what(node: &Node) -> &'static str {
    match &node.value {
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
        Value::Scalar(scalar) => match scalar.kind {
            Kind::Null => "empty",
            Kind::Bool(_) => "true or false",
            Kind::Int(_) => "a whole number",
            Kind::Float(_) => "a number with a fraction",
            Kind::Text => "text",
        },
    }
}

/// A value as it stands in the file, short enough for a message. What came from the environment is shown as the
/// reference that was written.
pub(crate) fn shown(node: &Node) -> String {
    const SHOWN_CHARS_MAX: usize = 60;
    let text = match (&node.expanded, &node.value) {
        (Some(expanded), _) => &expanded.written,
        (None, Value::Scalar(scalar)) => &scalar.text,
        (None, Value::List(_)) => return "a list".to_owned(),
        (None, Value::Map(_)) => return "a map".to_owned(),
    };
    let mut short: String = text
        .chars()
        .take(SHOWN_CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    format!("`{short}`")
}

/// Text. A number or a bool must be quoted to be text, unless it comes from `${env:NAME}`.
pub(crate) fn text(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<String> {
    if let Some(text) = cursor
        .node
        .expanded
        .as_ref()
        .and_then(|expanded| expanded.text.clone())
    {
        return Some(text);
    }
    match &cursor.node.value {
        Value::Scalar(scalar) if scalar.kind == Kind::Text => Some(scalar.text.clone()),
        Value::Scalar(scalar) if scalar.kind != Kind::Null => {
            cursor.error(
                diag,
                format!(
                    "text is wanted, this is {}; write it in quotes",
                    what(cursor.node)
                ),
            );
            None
        }
        Value::Scalar(_) | Value::List(_) | Value::Map(_) => {
            cursor.wrong_type(diag, "text");
            None
        }
    }
}

/// `true` or `false`, or an unquoted `on`, `off`, `yes`, `no`.
pub(crate) fn boolean(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<bool> {
    let value = match &cursor.node.value {
        Value::Scalar(scalar) => match scalar.kind {
            Kind::Bool(value) => Some(value),
            Kind::Text if scalar.plain => old_bool(&scalar.text),
            Kind::Text | Kind::Null | Kind::Int(_) | Kind::Float(_) => None,
        },
        Value::List(_) | Value::Map(_) => None,
    };
    if value.is_none() {
        cursor.wrong_type(diag, "true or false");
    }
    value
}

/// A whole number from 0.
pub(crate) fn whole(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<u64> {
    let value = integer(cursor.node);
    if value.is_none() {
        cursor.wrong_type(diag, "a whole number");
    }
    let value = u64::try_from(value?);
    if value.is_err() {
        cursor.error(
            diag,
            format!("{} is too small or too large; from 0 upwards", shown(cursor.node)),
        );
    }
    value.ok()
}

/// A whole number, negative ones too.
pub(crate) fn signed(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<i64> {
    let value = integer(cursor.node);
    if value.is_none() {
        cursor.wrong_type(diag, "a whole number");
    }
    let value = i64::try_from(value?);
    if value.is_err() {
        cursor.error(diag, format!("{} does not fit 64 bits", shown(cursor.node)));
    }
    value.ok()
}

fn integer(node: &Node) -> Option<i128> {
    match &node.value {
        Value::Scalar(scalar) => match scalar.kind {
            Kind::Int(value) => Some(value),
            // `1e3`: the collector's decoder takes a float that is whole.
            #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
            Kind::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => Some(value as i128),
            Kind::Float(_) | Kind::Null | Kind::Bool(_) | Kind::Text => None,
        },
        Value::List(_) | Value::Map(_) => None,
    }
}

/// A number.
pub(crate) fn number(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<f64> {
    if let Value::Scalar(scalar) = &cursor.node.value {
        match scalar.kind {
            #[expect(clippy::cast_precision_loss, reason = "Go converts the same way")]
            Kind::Int(value) => return Some(value as f64),
            Kind::Float(value) => return Some(value),
            Kind::Null | Kind::Bool(_) | Kind::Text => {}
        }
    }
    cursor.wrong_type(diag, "a number");
    None
}

/// A duration of Go. A bare number would be nanoseconds upstream, which nobody means.
pub(crate) fn duration(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<GoDuration> {
    let Value::Scalar(scalar) = &cursor.node.value else {
        cursor.wrong_type(diag, "a duration");
        return None;
    };
    match scalar.kind {
        Kind::Int(0) => Some(GoDuration(0)),
        Kind::Int(_) | Kind::Float(_) => {
            let message = format!(
                "{} has no unit; write 5s for seconds, 500ms for milliseconds",
                shown(cursor.node)
            );
            cursor.error(diag, message);
            None
        }
        Kind::Text => match GoDuration::parse(&scalar.text) {
            Ok(duration) => Some(duration),
            Err(_) if cursor.node.expanded.is_some() => {
                cursor.error(
                    diag,
                    format!("{} is not a duration; 10s is one", shown(cursor.node)),
                );
                None
            }
            Err(message) => {
                cursor.error(diag, message);
                None
            }
        },
        Kind::Null | Kind::Bool(_) => {
            cursor.wrong_type(diag, "a duration");
            None
        }
    }
}

/// A list; items that are wrong are left out, and said.
pub(crate) fn list<T>(
    cursor: &Cursor<'_>,
    diag: &mut Diagnostics,
    item: impl Fn(&Cursor<'_>, &mut Diagnostics) -> Option<T>,
) -> Option<Vec<Spanned<T>>> {
    let Value::List(items) = &cursor.node.value else {
        cursor.wrong_type(diag, "a list");
        return None;
    };
    let mut kept = Vec::new();
    let mut decoded = Vec::new();
    for (index, node) in items.iter().enumerate() {
        let cursor = Cursor {
            node,
            path: format!("{}[{index}]", cursor.path),
        };
        if let Some(value) = item(&cursor, diag) {
            kept.push(index);
            decoded.push(Spanned {
                value,
                at: Some(node.at),
            });
        }
    }
    if kept.len() < items.len() {
        diag.keep(cursor.path.clone(), kept);
    }
    Some(decoded)
}

/// A closed set of words.
pub(crate) struct Choice<T: 'static> {
    /// The words and what they mean.
    pub(crate) supported: &'static [(&'static str, T)],
    /// Other spellings, which messages do not offer.
    pub(crate) also: &'static [(&'static str, T)],
    /// Words that the OpenTelemetry Collector has and this version does not.
    pub(crate) upstream: &'static [&'static str],
}

impl<T: Copy> Choice<T> {
    pub(crate) fn decode(&self, cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<T> {
        let word = text(cursor, diag)?;
        if let Some((_, value)) = self
            .supported
            .iter()
            .chain(self.also)
            .find(|(name, _)| *name == word)
        {
            return Some(*value);
        }
        let names: Vec<&str> = self.supported.iter().map(|(name, _)| *name).collect();
        let shown = shown(cursor.node);
        let supported = names.join(", ");
        let message = if self.upstream.contains(&word.as_str()) {
            format!(
                "{shown} is known to the OpenTelemetry Collector and not supported in this version; supported: {supported}"
            )
        } else {
            format!(
                "{shown} is not known{}; supported: {supported}",
                catalog::did_you_mean(&word, &names)
            )
        };
        cursor.error(diag, message);
        None
    }
}

/// When a setting that is not supported may be written all the same.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unless {
    /// Never.
    Never,
    /// `false`.
    False,
    /// A number or a duration of zero.
    Zero,
    /// Text, a list or a map with nothing in it.
    Empty,
    /// This word, or nothing.
    Word(&'static str),
}

impl Unless {
    fn holds(self, node: &Node) -> bool {
        match (self, &node.value) {
            (Self::Never, _) => false,
            (Self::Empty, Value::List(items)) => items.is_empty(),
            (Self::Empty, Value::Map(entries)) => entries.is_empty(),
            (Self::False, Value::Scalar(scalar)) => scalar.kind == Kind::Bool(false),
            (Self::Zero, Value::Scalar(scalar)) => {
                scalar.kind == Kind::Int(0) || GoDuration::parse(&scalar.text) == Ok(GoDuration(0))
            }
            (Self::Empty, Value::Scalar(scalar)) => scalar.text.is_empty(),
            (Self::Word(word), Value::Scalar(scalar)) => scalar.text.is_empty() || scalar.text == word,
            (Self::False | Self::Zero | Self::Word(_), Value::List(_) | Value::Map(_)) => false,
        }
    }
}

/// A map that is taken apart key by key.
pub(crate) struct Fields<'n> {
    pub(crate) path: String,
    entries: &'n [Entry],
    taken: Vec<bool>,
    supported: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// A map, or nothing at all, which is a map without keys.
    pub(crate) fn new(cursor: &Cursor<'n>, diag: &mut Diagnostics) -> Option<Self> {
        let entries: &[Entry] = match &cursor.node.value {
            Value::Map(entries) => entries,
            Value::Scalar(scalar) if scalar.kind == Kind::Null => &[],
            Value::Scalar(_) | Value::List(_) => {
                cursor.wrong_type(diag, "a map");
                return None;
            }
        };
        let taken = vec![false; entries.len()];
        Some(Self {
            path: cursor.path.clone(),
            entries,
            taken,
            supported: Vec::new(),
        })
    }

    /// A map under a key that is not written.
    pub(crate) fn none(&self, key: &str) -> Self {
        Self {
            path: tree::join(&self.path, key),
            entries: &[],
            taken: Vec::new(),
            supported: Vec::new(),
        }
    }

    /// True if the key is written.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// None if it is not there, or taken.
    fn take(&mut self, key: &str) -> Option<&'n Entry> {
        let index = self
            .entries
            .iter()
            .position(|entry| entry.key == key)
            .filter(|index| !self.taken[*index])?;
        self.taken[index] = true;
        Some(&self.entries[index])
    }

    /// The entry of a supported key, empty ones too.
    pub(crate) fn entry(&mut self, key: &'static str) -> Option<(Position, Cursor<'n>)> {
        self.supported.push(key);
        let path = tree::join(&self.path, key);
        self.take(key).map(|entry| {
            (
                entry.key_at,
                Cursor {
                    node: &entry.value,
                    path,
                },
            )
        })
    }

    /// A supported key. An empty value is as if the key were not there, as upstream.
    pub(crate) fn get<T>(
        &mut self,
        diag: &mut Diagnostics,
        key: &'static str,
        decode: impl Fn(&Cursor<'n>, &mut Diagnostics) -> Option<T>,
    ) -> Field<T> {
        let (_, cursor) = self.entry(key)?;
        if cursor.node.is_null() {
            return None;
        }
        Some(Spanned {
            value: decode(&cursor, diag)?,
            at: Some(cursor.node.at),
        })
    }

    /// Keys that upstream has and this version does not, each with the value that changes nothing.
    pub(crate) fn unsupported(&mut self, diag: &mut Diagnostics, keys: &[(&'static str, Unless)]) {
        for (key, unless) in keys {
            let Some(entry) = self.take(key) else { continue };
            if !entry.value.is_null() && !unless.holds(&entry.value) {
                let message =
                    "the OpenTelemetry Collector has this setting, tracepipe does not support it yet";
                diag.error(entry.key_at, tree::join(&self.path, key), message);
            }
        }
    }

    /// Keys that upstream has and that change nothing here.
    pub(crate) fn without_effect(&mut self, diag: &mut Diagnostics, keys: &[&'static str], why: &str) {
        for key in keys {
            if let Some(entry) = self.take(key)
                && !entry.value.is_null()
            {
                diag.warn(
                    entry.key_at,
                    tree::join(&self.path, key),
                    format!("has no effect here: {why}"),
                );
            }
        }
    }

    /// A key that upstream has and this version does not, with the value that changes nothing and its own advice.
    pub(crate) fn refused_unless(
        &mut self,
        diag: &mut Diagnostics,
        (key, unless): (&'static str, Unless),
        advice: &str,
    ) {
        if let Some(entry) = self.take(key)
            && !entry.value.is_null()
            && !unless.holds(&entry.value)
        {
            diag.error(entry.key_at, tree::join(&self.path, key), advice);
        }
    }

    /// A key that upstream has had and that is refused with its own advice.
    pub(crate) fn refused(&mut self, diag: &mut Diagnostics, key: &str, advice: &str) {
        if let Some(entry) = self.take(key) {
            diag.error(entry.key_at, tree::join(&self.path, key), advice);
        }
    }

    /// The keys that nobody has asked for.
    pub(crate) fn rest(&mut self) -> Vec<&'n Entry> {
        let rest = self
            .entries
            .iter()
            .zip(&self.taken)
            .filter(|(_, taken)| !**taken)
            .map(|(entry, _)| entry)
            .collect();
        self.taken.fill(true);
        rest
    }

    /// Says which keys are not known.
    pub(crate) fn finish(mut self, diag: &mut Diagnostics) {
        for entry in self.rest() {
            let hint = match catalog::closest(&entry.key, &self.supported) {
                Some(closest) => {
                    diag.excuse(tree::join(&self.path, closest));
                    format!(" (did you mean `{closest}`?)")
                }
                None => match tree::key_without_space(&entry.key) {
                    Some(key) => format!(" (is a space missing after `{key}:`?)"),
                    None => String::new(),
                },
            };
            let key = tree::key_without_space(&entry.key).unwrap_or(&entry.key);
            let supported = self.supported.join(", ");
            let message = format!("unknown key{hint}; supported: {supported}");
            diag.error(entry.key_at, tree::join(&self.path, key), message);
        }
    }
}

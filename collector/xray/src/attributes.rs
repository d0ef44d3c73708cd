//! Reading attributes: by name, by type, and keeping account of which have found their place in the document.
//!
//! What has found no place becomes an annotation or metadata in the end, so nothing is lost because a facet looked
//! at it: [`Attributes::written`] is called only for a value that stands in the document whole.

use std::borrow::Cow;
use std::net::IpAddr;

use tracepipe_otlp::view::{AnyValue, KeyValue};

/// Attributes that are looked up by name: dozens of names are asked for, of which few are there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct List<'t> {
    entries: &'t [KeyValue<'t>],
    /// The marks of all their names: a name whose mark is not here is not there.
    marks: u128,
}

impl<'t> List<'t> {
    /// Marks the names.
    pub(crate) fn new(entries: &'t [KeyValue<'t>]) -> Self {
        let marks = entries.iter().fold(0, |marks, entry| marks | mark(&entry.key));
        Self { entries, marks }
    }

    /// All of them.
    pub(crate) fn entries(self) -> &'t [KeyValue<'t>] {
        self.entries
    }

    /// The first of this name.
    #[inline]
    pub(crate) fn get(self, key: &str) -> Option<&'t AnyValue<'t>> {
        if self.marks & mark(key) == 0 {
            return None;
        }
        lookup(self.entries, key)
    }

    /// The text of the first of this name; empty when there is none or it is no text.
    #[inline]
    pub(crate) fn text(self, key: &str) -> &'t str {
        self.get(key).map_or("", text)
    }
}

/// One of 128 bits by the length of a name and three of its bytes.
#[inline]
pub(crate) fn mark(key: &str) -> u128 {
    let bytes = key.as_bytes();
    let [first, middle, last] = [0, bytes.len() / 2, bytes.len().wrapping_sub(1)]
        .map(|at| bytes.get(at).map_or(0, |byte| usize::from(*byte)));
    1 << ((bytes.len() * 5 + first * 3 + middle * 7 + last * 11) % 128)
}

/// A span's attributes and where each of them went.
#[derive(Debug)]
pub(crate) struct Attributes<'t> {
    list: List<'t>,
    places: Vec<Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Still to be stored.
    Open,
    /// It stands in the document.
    Written,
    /// Not an attribute of this document at all.
    Hidden,
}

/// An attribute that was looked up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'t> {
    /// For [`Attributes::written`].
    pub(crate) index: usize,
    /// The value.
    pub(crate) value: &'t AnyValue<'t>,
}

impl<'t> Attributes<'t> {
    /// The attributes of a span without those that have one of the `hidden` names.
    pub(crate) fn new(list: &'t [KeyValue<'t>], hidden: &[&str]) -> Self {
        let place = |entry: &KeyValue<'_>| {
            if hidden.contains(&&*entry.key) {
                Place::Hidden
            } else {
                Place::Open
            }
        };
        Self {
            list: List::new(list),
            places: list.iter().map(place).collect(),
        }
    }

    /// The first attribute of this name.
    #[inline]
    pub(crate) fn find(&self, key: &str) -> Option<Found<'t>> {
        if self.list.marks & mark(key) == 0 {
            return None;
        }
        self.all()
            .find(|(_, entry)| entry.key == key)
            .map(|(index, entry)| Found {
                index,
                value: &entry.value,
            })
    }

    /// The first of these names that is there.
    #[inline]
    pub(crate) fn find_any(&self, keys: &[&str]) -> Option<Found<'t>> {
        keys.iter().find_map(|key| self.find(key))
    }

    /// The text of the first attribute of this name; empty when there is none or it is no text.
    #[inline]
    pub(crate) fn text(&self, key: &str) -> &'t str {
        self.find(key).map_or("", |found| text(found.value))
    }

    /// The first text of these names that is not empty.
    pub(crate) fn first_text(&self, keys: &[&str]) -> &'t str {
        let mut texts = keys.iter().map(|key| self.text(key));
        texts.find(|text| !text.is_empty()).unwrap_or("")
    }

    /// Whether there is an attribute of this name.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// The text of the first of these names that has one, which is then written.
    pub(crate) fn write_text(&mut self, keys: &[&str]) -> &'t str {
        for key in keys {
            let Some(found) = self.find(key) else { continue };
            let text = text(found.value);
            if !text.is_empty() {
                self.written(found.index);
                return text;
            }
        }
        ""
    }

    /// The attribute stands in the document.
    pub(crate) fn written(&mut self, index: usize) {
        self.places[index] = Place::Written;
    }

    /// The attribute is not one of this document.
    pub(crate) fn hide(&mut self, index: usize) {
        self.places[index] = Place::Hidden;
    }

    /// Every attribute, written ones too, with its index.
    pub(crate) fn all(&self) -> impl Iterator<Item = (usize, &'t KeyValue<'t>)> + use<'t, '_> {
        let shown = |(_, place): &(_, &Place)| **place != Place::Hidden;
        self.list
            .entries
            .iter()
            .enumerate()
            .zip(&self.places)
            .filter(shown)
            .map(|(entry, _)| entry)
    }

    /// Whether the attribute has found its place.
    pub(crate) fn is_written(&self, index: usize) -> bool {
        self.places[index] == Place::Written
    }
}

/// The first attribute of this name.
pub(crate) fn lookup<'t>(list: &'t [KeyValue<'t>], key: &str) -> Option<&'t AnyValue<'t>> {
    list.iter()
        .find(|entry| entry.key == key)
        .map(|entry| &entry.value)
}

/// The text of the first attribute of this name; empty when there is none or it is no text.
pub(crate) fn lookup_text<'t>(list: &'t [KeyValue<'t>], key: &str) -> &'t str {
    lookup(list, key).map_or("", text)
}

/// A text; empty for every other type.
pub(crate) fn text<'t>(value: &'t AnyValue<'_>) -> &'t str {
    match value {
        AnyValue::String(text) => text,
        AnyValue::Empty
        | AnyValue::Bool(_)
        | AnyValue::Int(_)
        | AnyValue::Double(_)
        | AnyValue::Array(_)
        | AnyValue::Map(_)
        | AnyValue::Bytes(_) => "",
    }
}

/// The items of an array.
pub(crate) fn items<'t>(value: &'t AnyValue<'t>) -> Option<&'t [AnyValue<'t>]> {
    match value {
        AnyValue::Array(items) => Some(items),
        AnyValue::Empty
        | AnyValue::String(_)
        | AnyValue::Bool(_)
        | AnyValue::Int(_)
        | AnyValue::Double(_)
        | AnyValue::Map(_)
        | AnyValue::Bytes(_) => None,
    }
}

/// A whole number, also one that an application wrote as text or as a double.
pub(crate) fn integer(value: &AnyValue<'_>) -> Option<i64> {
    /// Above this a double has no room for every whole number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        AnyValue::Int(value) => Some(*value),
        AnyValue::String(text) => text.trim().parse().ok(),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole and within the exact range, both checked"
        )]
        AnyValue::Double(value) if value.fract() == 0.0 && value.abs() <= EXACT => Some(*value as i64),
        AnyValue::Empty
        | AnyValue::Bool(_)
        | AnyValue::Double(_)
        | AnyValue::Array(_)
        | AnyValue::Map(_)
        | AnyValue::Bytes(_) => None,
    }
}

/// A text, a number or a truth value as text; empty for every other type.
pub(crate) fn scalar_text<'t>(value: &'t AnyValue<'_>) -> Cow<'t, str> {
    match value {
        AnyValue::String(text) => Cow::Borrowed(text),
        AnyValue::Bool(value) => Cow::Owned(value.to_string()),
        AnyValue::Int(value) => Cow::Owned(value.to_string()),
        AnyValue::Double(value) => Cow::Owned(value.to_string()),
        AnyValue::Empty | AnyValue::Array(_) | AnyValue::Map(_) | AnyValue::Bytes(_) => Cow::Borrowed(""),
    }
}

/// Whether a text is an IP address.
pub(crate) fn is_ip(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use tracepipe_otlp::view::AnyValue;

    use super::integer;

    #[test]
    fn numbers_written_as_text_or_as_doubles_are_numbers() {
        assert_eq!(integer(&AnyValue::String("503".into())), Some(503));
        assert_eq!(integer(&AnyValue::Double(503.0)), Some(503));
        for other in [
            AnyValue::String("".into()),
            AnyValue::String("5xx".into()),
            AnyValue::Double(503.5),
            AnyValue::Double(f64::NAN),
            AnyValue::Double(1e300),
            AnyValue::Bool(true),
        ] {
            assert_eq!(integer(&other), None, "{other:?}");
        }
    }
}

//! Writes JSON in one pass into a buffer that is used again for the next document.
//!
//! A document goes to X-Ray as a text inside of JSON, so it is written as one from the start: every quote and every
//! backslash has one more in front. To do that to a document that is there costs as much as to write it.
//!
//! What cannot be written in JSON or must not stand in a document has one rule, here: a double that is not finite
//! becomes its name as text, an empty value and a null are left out with their key, of equal keys the first counts.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tracepipe_otlp::view::{AnyValue, KeyValue};

use crate::limits::{DOCUMENT_BYTES_MAX, METADATA_DEPTH_MAX};

/// Maps up to this size are searched for an earlier equal key without a set.
const SMALL_MAP: usize = 16;

/// A text that goes beyond is not written: a span can be larger than a document by a thousand times, and more when it is
/// escaped. A document with so many bytes is made smaller before it is used.
const BYTES_MAX: usize = 4 * DOCUMENT_BYTES_MAX;

/// Most documents have less.
const USUAL_BYTES: usize = 4 * 1024;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Where the first byte stands that JSON wants escaped.
#[inline]
fn to_escape(text: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let is_special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    let (words, rest) = text.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let bytes = u64::from_le_bytes(*word);
        // The high bit of a byte that is zero, or has a zero below it: eight bytes at once (Hacker's Delight, 6-1).
        let zero = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes;
        let below_space = bytes.wrapping_sub(ONES * 0x20) & !bytes;
        let found =
            below_space | zero(bytes ^ (ONES * u64::from(b'"'))) | zero(bytes ^ (ONES * u64::from(b'\\')));
        if found & HIGH != 0
            && let Some(at) = word.iter().position(is_special)
        {
            return Some(number * 8 + at);
        }
    }
    let at = rest.iter().position(is_special)?;
    Some(text.len() - rest.len() + at)
}

/// The buffer. Commas are set by what stands before; the caller sees to keys and to closing what it opens.
#[derive(Debug, Default)]
pub(crate) struct Json {
    buffer: String,
    /// Backslashes in the buffer that are none of the document's own.
    in_front: usize,
    /// Bytes of texts that were left out because there was no end of them.
    left_out: usize,
}

impl Json {
    /// With room for a usual document.
    pub(crate) fn with_room() -> Self {
        Self {
            buffer: String::with_capacity(USUAL_BYTES),
            in_front: 0,
            left_out: 0,
        }
    }

    /// Empties the buffer, keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        self.in_front = 0;
        self.left_out = 0;
    }

    /// What has been written, as a text of JSON with its quotes.
    pub(crate) fn to_literal(&self) -> String {
        let mut literal = String::with_capacity(self.buffer.len() + 2);
        literal.push('"');
        literal.push_str(&self.buffer);
        literal.push('"');
        literal
    }

    /// How many bytes of JSON have been written, and would have been if there were no bound: about so many more than
    /// [`BYTES_MAX`], which is more than any document may have.
    pub(crate) fn len(&self) -> usize {
        self.written() + self.left_out
    }

    /// `{ ... }`, with whatever `body` writes.
    pub(crate) fn object(&mut self, body: impl FnOnce(&mut Self)) {
        self.separate();
        self.buffer.push('{');
        body(self);
        self.buffer.push('}');
    }

    /// `[ ... ]`, with whatever `body` writes.
    pub(crate) fn array(&mut self, body: impl FnOnce(&mut Self)) {
        self.separate();
        self.buffer.push('[');
        body(self);
        self.buffer.push(']');
    }

    /// A key; a value must follow.
    pub(crate) fn key(&mut self, key: &str) -> &mut Self {
        self.text(key);
        self.buffer.push(':');
        self
    }

    /// A key and a text, or nothing for an empty text.
    pub(crate) fn text_member(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.key(key).text(text);
        }
    }

    /// A text with what JSON wants escaped (RFC 8259, section 7).
    pub(crate) fn text(&mut self, text: &str) {
        self.separate();
        if self.written() + text.len() > BYTES_MAX {
            // As it would be written: what is made smaller is measured by it.
            let escaped = text
                .bytes()
                .filter(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'));
            self.left_out += text.len() + 5 * escaped.count();
            self.quote();
            self.quote();
            return;
        }
        self.quote();
        let mut rest = text;
        while let Some(at) = to_escape(rest.as_bytes()) {
            // All bytes to escape are ASCII, so both cuts are between characters.
            self.buffer.push_str(&rest[..at]);
            self.escape(rest.as_bytes()[at]);
            rest = &rest[at + 1..];
        }
        self.buffer.push_str(rest);
        self.quote();
    }

    /// `true` or `false`.
    pub(crate) fn bool(&mut self, value: bool) {
        self.separate();
        self.buffer.push_str(if value { "true" } else { "false" });
    }

    /// A whole number.
    pub(crate) fn int(&mut self, value: i64) {
        self.separate();
        self.buffer.push_str(itoa::Buffer::new().format(value));
    }

    /// The shortest number that reads back as `value`, or `"NaN"`, `"Infinity"`, `"-Infinity"`.
    pub(crate) fn double(&mut self, value: f64) {
        if value.is_finite() {
            self.separate();
            self.buffer.push_str(zmij::Buffer::new().format_finite(value));
        } else if value.is_nan() {
            self.text("NaN");
        } else {
            self.text(if value > 0.0 { "Infinity" } else { "-Infinity" });
        }
    }

    /// Nanoseconds as decimal seconds, exactly: a double has no nanoseconds left at today's dates.
    pub(crate) fn seconds(&mut self, nanos: u64) {
        self.separate();
        self.buffer
            .push_str(itoa::Buffer::new().format(nanos / NANOS_PER_SECOND));
        let fraction = nanos % NANOS_PER_SECOND;
        if fraction > 0 {
            // A one before them keeps the zeros in front.
            let mut buffer = itoa::Buffer::new();
            let digits = buffer.format(NANOS_PER_SECOND + fraction);
            self.buffer.push('.');
            self.buffer.push_str(digits[1..].trim_end_matches('0'));
        }
    }

    /// Bytes as lowercase hexadecimal text.
    pub(crate) fn hex(&mut self, bytes: &[u8]) {
        self.separate();
        self.quote();
        self.push_hex(bytes);
        self.quote();
    }

    /// A trace id in X-Ray's form: `1-`, the first 8 digits, `-`, the other 24.
    pub(crate) fn trace_id(&mut self, id: &[u8; 16]) {
        self.separate();
        self.quote();
        self.buffer.push_str("1-");
        self.push_hex(&id[..4]);
        self.buffer.push('-');
        self.push_hex(&id[4..]);
        self.quote();
    }

    /// An attribute's value; an empty one writes nothing, so [`AnyValue::Empty`] must not follow a key.
    pub(crate) fn attribute(&mut self, value: &AnyValue<'_>) {
        self.attribute_at(value, 0);
    }

    /// Attributes as the members of an object.
    pub(crate) fn attributes(&mut self, entries: &[KeyValue<'_>]) {
        self.object(|json| json.members(entries, 0));
    }

    /// Some attributes as the members of an object; none of them is empty.
    pub(crate) fn some_attributes<'e>(&mut self, entries: impl Iterator<Item = &'e KeyValue<'e>>) {
        let mut seen = HashSet::new();
        self.object(|json| {
            for entry in entries {
                if seen.insert(&*entry.key) {
                    json.key(&entry.key).attribute_at(&entry.value, 0);
                }
            }
        });
    }

    /// A parsed JSON value; a null writes nothing, so it must not follow a key.
    pub(crate) fn value(&mut self, value: &serde_json::Value) {
        self.value_at(value, 0);
    }

    fn attribute_at(&mut self, value: &AnyValue<'_>, depth: usize) {
        match value {
            AnyValue::Empty => {}
            AnyValue::String(text) => self.text(text),
            AnyValue::Bool(value) => self.bool(*value),
            AnyValue::Int(value) => self.int(*value),
            AnyValue::Double(value) => self.double(*value),
            AnyValue::Bytes(bytes) => self.text(&STANDARD.encode(bytes)),
            AnyValue::Array(items) => self.array(|json| {
                if depth < METADATA_DEPTH_MAX {
                    items.iter().for_each(|item| json.attribute_at(item, depth + 1));
                }
            }),
            AnyValue::Map(entries) => self.object(|json| {
                if depth < METADATA_DEPTH_MAX {
                    json.members(entries, depth + 1);
                }
            }),
        }
    }

    fn members(&mut self, entries: &[KeyValue<'_>], depth: usize) {
        let mut seen = HashSet::new();
        for (at, entry) in entries.iter().enumerate() {
            let repeated = if entries.len() <= SMALL_MAP {
                entries[..at].iter().any(|earlier| earlier.key == entry.key)
            } else {
                !seen.insert(&*entry.key)
            };
            if !repeated && entry.value != AnyValue::Empty {
                self.key(&entry.key).attribute_at(&entry.value, depth);
            }
        }
    }

    fn value_at(&mut self, value: &serde_json::Value, depth: usize) {
        match value {
            serde_json::Value::Null => {}
            serde_json::Value::Bool(value) => self.bool(*value),
            serde_json::Value::Number(number) => self.number(number),
            serde_json::Value::String(text) => self.text(text),
            serde_json::Value::Array(items) => self.array(|json| {
                if depth < METADATA_DEPTH_MAX {
                    items.iter().for_each(|item| json.value_at(item, depth + 1));
                }
            }),
            serde_json::Value::Object(members) => self.object(|json| {
                if depth < METADATA_DEPTH_MAX {
                    for (key, value) in members.iter().filter(|(_, value)| !value.is_null()) {
                        json.key(key).value_at(value, depth + 1);
                    }
                }
            }),
        }
    }

    fn number(&mut self, number: &serde_json::Number) {
        self.separate();
        self.buffer.push_str(&number.to_string());
    }

    fn separate(&mut self) {
        // A text ends with its quote, so these four can only be JSON's own marks.
        if !matches!(self.buffer.as_bytes().last(), None | Some(b'{' | b'[' | b':')) {
            self.buffer.push(',');
        }
    }

    /// The quote of a text.
    fn quote(&mut self) {
        self.in_front += 1;
        self.buffer.push_str("\\\"");
    }

    fn written(&self) -> usize {
        self.buffer.len() - self.in_front
    }

    fn escape(&mut self, byte: u8) {
        self.in_front += 1;
        match byte {
            b'"' => {
                self.in_front += 1;
                self.buffer.push_str(r#"\\\""#);
            }
            b'\\' => {
                self.in_front += 1;
                self.buffer.push_str(r"\\\\");
            }
            b'\n' => self.buffer.push_str(r"\\n"),
            b'\r' => self.buffer.push_str(r"\\r"),
            b'\t' => self.buffer.push_str(r"\\t"),
            control => {
                self.buffer.push_str(r"\\u00");
                self.push_hex(&[control]);
            }
        }
    }

    fn push_hex(&mut self, bytes: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for byte in bytes {
            self.buffer.push(char::from(DIGITS[usize::from(byte >> 4)]));
            self.buffer.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Json;

    fn written(body: impl FnOnce(&mut Json)) -> String {
        let mut json = Json::default();
        body(&mut json);
        let document: String = serde_json::from_str(&json.to_literal()).unwrap();
        assert_eq!(json.len(), document.len());
        document
    }

    #[test]
    fn seconds_keep_every_nanosecond_and_no_trailing_zero() {
        for (nanos, expected) in [
            (0, "0"),
            (1, "0.000000001"),
            (1_500_000_000, "1.5"),
            (1_700_000_000_123_456_789, "1700000000.123456789"),
            (1_700_000_000_000_000_000, "1700000000"),
            (u64::MAX, "18446744073.709551615"),
        ] {
            assert_eq!(written(|json| json.seconds(nanos)), expected);
        }
    }

    #[test]
    fn every_text_reads_back() {
        let text: String = (0..0x300)
            .filter_map(char::from_u32)
            .chain(['\u{2028}', '\u{1f600}'])
            .collect();
        let json = written(|json| json.text(&text));
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn doubles_that_are_not_finite_are_named() {
        for (value, expected) in [
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            assert_eq!(written(|json| json.double(value)), expected);
        }
        for value in [0.0, -0.0, 1.5e300, f64::MIN_POSITIVE, f64::MAX, 0.1] {
            let text = written(|json| json.double(value));
            assert_eq!(serde_json::from_str::<f64>(&text).unwrap(), value, "{text}");
        }
    }
}

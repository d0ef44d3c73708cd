//! Values of attributes as text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::floats;
use crate::view::Value;

/// Deeper lists and maps are written as `null`. The receiver refuses requests that nest as deep.
const DEPTH_MAX: u32 = 256;

/// Appends the text that a label has for `value`, always UTF-8; nothing for an empty value.
///
/// As the OpenTelemetry Collector's `AsString`: texts as they are, numbers and booleans in their usual form, bytes in
/// base64, lists and maps as JSON with keys sorted. Bytes that are no UTF-8 become U+FFFD. In JSON a double that is not
/// finite becomes its name as text, where the Collector makes an empty value of the whole.
#[inline]
pub fn put_value(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Empty => {}
        Value::Text(text) => put_text(text, out),
        Value::Bool(value) => put_bool(value, out),
        Value::Int(value) => put_int(value, out),
        Value::Double(value) => floats::put_json(value, out),
        Value::Bytes(bytes) => put_base64(bytes, out),
        Value::Array(_) | Value::Map(_) => put_json(value, DEPTH_MAX, out),
    }
}

/// Appends `text`; bytes that are no UTF-8 become U+FFFD.
#[inline]
pub fn put_text(text: &[u8], out: &mut Vec<u8>) {
    match str::from_utf8(text) {
        Ok(text) => out.extend_from_slice(text.as_bytes()),
        Err(_) => out.extend_from_slice(String::from_utf8_lossy(text).as_bytes()),
    }
}

fn put_bool(value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

fn put_int(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn put_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
}

fn put_json(value: Value<'_>, depth: u32, out: &mut Vec<u8>) {
    match value {
        Value::Empty => out.extend_from_slice(b"null"),
        Value::Text(text) => put_json_text(text, out),
        Value::Bool(value) => put_bool(value, out),
        Value::Int(value) => put_int(value, out),
        Value::Double(value) if value.is_finite() => floats::put_json(value, out),
        Value::Double(value) => {
            out.push(b'"');
            floats::put_json(value, out);
            out.push(b'"');
        }
        Value::Bytes(bytes) => {
            out.push(b'"');
            put_base64(bytes, out);
            out.push(b'"');
        }
        Value::Array(_) | Value::Map(_) if depth == 0 => out.extend_from_slice(b"null"),
        Value::Array(list) => {
            out.push(b'[');
            for (at, element) in Value::elements(list).enumerate() {
                separate(at, out);
                put_json(element, depth - 1, out);
            }
            out.push(b']');
        }
        Value::Map(map) => put_json_map(map, depth - 1, out),
    }
}

/// Sorted by key, so that the same map gives the same label; of equal keys the last counts, as in Go's maps.
fn put_json_map(map: &[u8], depth: u32, out: &mut Vec<u8>) {
    let mut entries: Vec<_> = Value::entries(map).collect();
    entries.reverse();
    entries.sort_by_key(|entry| entry.key);
    entries.dedup_by_key(|entry| entry.key);
    out.push(b'{');
    for (at, entry) in entries.iter().enumerate() {
        separate(at, out);
        put_json_text(entry.key, out);
        out.push(b':');
        put_json(entry.value, depth, out);
    }
    out.push(b'}');
}

fn separate(at: usize, out: &mut Vec<u8>) {
    if at > 0 {
        out.push(b',');
    }
}

/// With the escapes of Go's `encoding/json`.
fn put_json_text(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                '\u{8}' => out.extend_from_slice(b"\\b"),
                '\u{c}' => out.extend_from_slice(b"\\f"),
                '\0'..'\u{20}' => {
                    let code = usize::from(u8::try_from(char).unwrap_or_default());
                    out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[code >> 4], HEX[code & 15]]);
                }
                '\u{2028}' => out.extend_from_slice(b"\\u2028"),
                '\u{2029}' => out.extend_from_slice(b"\\u2029"),
                _ => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        out.extend(chunk.invalid().iter().flat_map(|_| *b"\\ufffd"));
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests;

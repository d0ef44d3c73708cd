//! Attributes as most encoders write them, read at a glance: they are two thirds of a request's text.

use super::lexer::plain_length;
use crate::wire::{bytes_field_len, put_bytes, put_bytes_header, put_varint, varint_len};

/// An attribute of the plain form.
#[derive(Debug, PartialEq)]
pub(super) struct PlainAttribute<'j> {
    key: &'j [u8],
    value: PlainValue<'j>,
    /// Bytes of its text.
    pub(super) length: usize,
}

#[derive(Debug, PartialEq)]
enum PlainValue<'j> {
    Text(&'j [u8]),
    Int(u64),
    Bool(bool),
}

/// Longest whole number here in digits: every one of so many is below 2^63.
const DIGITS_MAX: usize = 18;

impl<'j> PlainAttribute<'j> {
    /// Reads `{"key":"K","value":{"stringValue":"V"}}` and the same with `intValue` and `boolValue` at the beginning of
    /// `json`: no white space, no escapes, nothing else in it. None for everything else, which may be as good.
    #[inline]
    pub(super) fn read(json: &'j [u8]) -> Option<Self> {
        let rest = json.strip_prefix(b"{\"key\":\"")?;
        let (key, rest) = rest.split_at_checked(plain_length(rest))?;
        let rest = rest.strip_prefix(b"\",\"value\":{\"")?;
        let (value, rest) = if let Some(rest) = rest.strip_prefix(b"stringValue\":\"") {
            let (text, rest) = rest.split_at_checked(plain_length(rest))?;
            (PlainValue::Text(text), rest.strip_prefix(b"\"}}")?)
        } else if let Some(rest) = rest.strip_prefix(b"intValue\":\"") {
            let (number, rest) = whole_number(rest)?;
            (PlainValue::Int(number), rest.strip_prefix(b"\"}}")?)
        } else if let Some(rest) = rest.strip_prefix(b"intValue\":") {
            let (number, rest) = whole_number(rest)?;
            (PlainValue::Int(number), rest.strip_prefix(b"}}")?)
        } else if let Some(rest) = rest.strip_prefix(b"boolValue\":true}}") {
            (PlainValue::Bool(true), rest)
        } else {
            let rest = rest.strip_prefix(b"boolValue\":false}}")?;
            (PlainValue::Bool(false), rest)
        };
        Some(Self {
            key,
            value,
            length: json.len() - rest.len(),
        })
    }

    /// Appends it as a `KeyValue` in field `number`.
    #[inline]
    pub(super) fn write(&self, number: u32, out: &mut Vec<u8>) {
        let value_len = match &self.value {
            PlainValue::Text(text) => bytes_field_len(1, text.len()),
            PlainValue::Int(number) => 1 + varint_len(*number),
            PlainValue::Bool(_) => 2,
        };
        let length = bytes_field_len(1, self.key.len()) + bytes_field_len(2, value_len);
        put_bytes_header(number, length, out);
        put_bytes(1, self.key, out);
        put_bytes_header(2, value_len, out);
        match &self.value {
            PlainValue::Text(text) => put_bytes(1, text, out),
            PlainValue::Int(number) => {
                out.push(0x18);
                put_varint(*number, out);
            }
            PlainValue::Bool(truth) => out.extend([0x10, u8::from(*truth)]),
        }
    }
}

/// A number that is not negative and has no zeros before it, and what follows it.
#[inline]
fn whole_number(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at_checked(digits)?;
    match digits {
        [b'0'] | [b'1'..=b'9', ..] if digits.len() <= DIGITS_MAX => {
            let number = digits
                .iter()
                .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
            Some((number, rest))
        }
        _ => None,
    }
}

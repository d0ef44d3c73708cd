//! An attribute's value as it lies on the wire.

/// An `AnyValue`, as far as policies care.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'v> {
    /// Perhaps not UTF-8.
    Text(&'v [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    /// None at all, bytes, a list or a map.
    Other,
}

// Field numbers of AnyValue (opentelemetry/proto/common/v1/common.proto). They are members of a oneof: the last stands.
const STRING: u64 = 1;
const BOOL: u64 = 2;
const INT: u64 = 3;
const DOUBLE: u64 = 4;
/// Lists, maps, bytes, and the index of a text, which only profiles use.
const OTHERS: std::ops::RangeInclusive<u64> = 5..=8;

// Wire types.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const GROUP_START: u64 = 3;
const GROUP_END: u64 = 4;

impl<'v> Value<'v> {
    /// Reads an encoded value that the walk has checked. Of one that it has not, what can be read.
    #[inline]
    pub(super) fn read(message: &'v [u8]) -> Self {
        match message {
            [0x0a, length, text @ ..] if *length < 0x80 && usize::from(*length) == text.len() => {
                Self::Text(text)
            }
            [0x18, number] if *number < 0x80 => Self::Int(i64::from(*number)),
            [0x10, truth] if *truth < 0x80 => Self::Bool(*truth != 0),
            _ => Self::read_any(message),
        }
    }

    fn read_any(message: &'v [u8]) -> Self {
        let mut value = Self::Other;
        let mut fields = Fields {
            rest: message,
            groups: 0,
        };
        while let Some((number, payload)) = fields.next() {
            value = match (number, payload) {
                (STRING, Payload::Bytes(text)) => Self::Text(text),
                (BOOL, Payload::Number(truth)) => Self::Bool(truth != 0),
                (INT, Payload::Number(number)) => Self::Int(number.cast_signed()),
                (DOUBLE, Payload::Fixed64(bits)) => Self::Double(f64::from_bits(bits)),
                (number, _) if OTHERS.contains(&number) => Self::Other,
                // An unknown field says nothing.
                (_, _) => value,
            };
        }
        value
    }
}

/// Whether a fraction lies within whole numbers, exactly. One that is no number lies nowhere.
pub(super) fn is_within(number: f64, min: i64, max: i64) -> bool {
    // 2^63: every i64 is below it, and its negative is the smallest i64.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if number.is_nan() {
        return false;
    }
    // Rounding away from the bound changes no comparison with whole numbers; both roundings are exact below 2^63.
    let at_least = number >= BEYOND || (number >= -BEYOND && number.floor() as i64 >= min);
    let at_most = number < -BEYOND || (number < BEYOND && number.ceil() as i64 <= max);
    at_least && at_most
}

enum Payload<'v> {
    Number(u64),
    Fixed64(u64),
    Bytes(&'v [u8]),
    Other,
}

/// The fields of a message, but for those within groups.
struct Fields<'v> {
    rest: &'v [u8],
    groups: usize,
}

impl<'v> Fields<'v> {
    fn next(&mut self) -> Option<(u64, Payload<'v>)> {
        loop {
            let key = self.varint()?;
            let payload = match key & 7 {
                VARINT => Payload::Number(self.varint()?),
                FIXED64 => {
                    let (bytes, rest) = self.rest.split_first_chunk()?;
                    self.rest = rest;
                    Payload::Fixed64(u64::from_le_bytes(*bytes))
                }
                BYTES => {
                    let length = usize::try_from(self.varint()?).ok()?;
                    let (bytes, rest) = self.rest.split_at_checked(length)?;
                    self.rest = rest;
                    Payload::Bytes(bytes)
                }
                GROUP_START => {
                    self.groups += 1;
                    continue;
                }
                GROUP_END => {
                    self.groups = self.groups.checked_sub(1)?;
                    continue;
                }
                _ => {
                    self.rest = self.rest.get(4..)?;
                    Payload::Other
                }
            };
            if self.groups == 0 {
                return Some((key >> 3, payload));
            }
        }
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in 0..10 {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << (7 * shift);
            if *byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_value_is_read_in_each_encoding() {
        let long = [&[0x0a, 0x80, 0x01][..], &[b'x'; 128]].concat();
        let table: [(&[u8], Value<'_>); 22] = [
            (&[], Value::Other),
            (b"\x0a\x03abc", Value::Text(b"abc")),
            (b"\x0a\x00", Value::Text(b"")),
            (b"\x0a\x83\x00abc", Value::Text(b"abc")),
            (&long, Value::Text(&[b'x'; 128])),
            (&[0x10, 1], Value::Bool(true)),
            (&[0x10, 0], Value::Bool(false)),
            (&[0x10, 0x80, 0x02], Value::Bool(true)),
            (&[0x18, 7], Value::Int(7)),
            (&[0x18, 0xac, 0x02], Value::Int(300)),
            (
                &[0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
                Value::Int(-1),
            ),
            (&[0x21, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f], Value::Double(0.5)),
            (b"\x2a\x00", Value::Other),
            (b"\x32\x00", Value::Other),
            (b"\x3a\x01x", Value::Other),
            (&[0x40, 1], Value::Other),
            // The last member of a oneof stands; an unknown field changes nothing.
            (b"\x0a\x01a\x18\x05", Value::Int(5)),
            (b"\x18\x05\x0a\x01a", Value::Text(b"a")),
            (b"\x18\x05\x3a\x01a", Value::Other),
            (b"\x18\x05\x7a\x01a", Value::Int(5)),
            (b"\x18\x05\x7d\x00\x00\x00\x00", Value::Int(5)),
            // A group, which nobody sends, hides what is in it.
            (b"\x18\x05\x7b\x18\x06\x7c", Value::Int(5)),
        ];
        for (message, expected) in table {
            assert_eq!(Value::read(message), expected, "{message:x?}");
        }
    }

    #[test]
    fn a_fraction_is_compared_with_whole_bounds_exactly() {
        let table = [
            (0.5, 0, 1, true),
            (0.5, 1, 1, false),
            (-0.5, 0, 1, false),
            (1.5, 0, 1, false),
            (1.0, 0, 1, true),
            (-0.0, 0, 0, true),
            (f64::NAN, i64::MIN, i64::MAX, false),
            (f64::INFINITY, 0, i64::MAX, false),
            (f64::NEG_INFINITY, i64::MIN, 0, false),
            (1e300, 0, i64::MAX, false),
            (9_223_372_036_854_775_808.0, 0, i64::MAX, false),
            (9_223_372_036_854_774_784.0, 0, i64::MAX, true),
            (-9_223_372_036_854_775_808.0, i64::MIN, 0, true),
            (-9_223_372_036_854_777_856.0, i64::MIN, 0, false),
            // As a fraction 2^53 + 1 would be 2^53.
            (9_007_199_254_740_992.0, 9_007_199_254_740_993, i64::MAX, false),
        ];
        for (number, min, max, expected) in table {
            assert_eq!(
                is_within(number, min, max),
                expected,
                "{min} <= {number} <= {max}"
            );
        }
    }
}

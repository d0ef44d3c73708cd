//! The few parts of protobuf that OTLP needs, written by hand.
//!
//! The generator and the sink do not share code with the product: a mistake made twice would not be seen.

/// A protobuf message in the making.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// A varint field; zero is the default and is not written.
    pub fn varint(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.varint_always(field, value);
        }
    }

    /// A varint field of a oneof, where zero is a value.
    pub fn varint_always(&mut self, field: u32, value: u64) {
        self.raw_varint(u64::from(field) << 3);
        self.raw_varint(value);
    }

    /// A fixed64 field, also when zero.
    pub fn fixed64(&mut self, field: u32, value: u64) {
        self.raw_varint(u64::from(field) << 3 | 1);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A fixed32 field, also when zero.
    pub fn fixed32(&mut self, field: u32, value: u32) {
        self.raw_varint(u64::from(field) << 3 | 5);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A string, bytes or message field, also when empty.
    pub fn bytes(&mut self, field: u32, value: &[u8]) {
        self.raw_varint(u64::from(field) << 3 | 2);
        self.raw_varint(value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    /// A string field; the empty one is the default and is not written.
    pub fn string(&mut self, field: u32, value: &str) {
        if !value.is_empty() {
            self.bytes(field, value.as_bytes());
        }
    }

    /// A message field that `write` fills.
    pub fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(field, &inner.bytes);
    }

    /// A varint without a field, for packed ones.
    pub fn bare_varint(&mut self, value: u64) {
        self.raw_varint(value);
    }

    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

/// One field of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 5.
    Fixed32(u32),
    /// Wire type 2: a string, bytes or a message.
    Bytes(&'a [u8]),
}

/// The fields of a message with their numbers, in wire order; ends with `Err` at the first malformed one.
pub struct Reader<'a> {
    all: &'a [u8],
    rest: &'a [u8],
    broken: bool,
}

/// The bytes are no protobuf message.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

impl<'a> Reader<'a> {
    /// Reads this message from its start.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            all: bytes,
            rest: bytes,
            broken: false,
        }
    }

    /// Where the field that was read last ends, from the message's start.
    pub fn offset(&self) -> usize {
        self.all.len() - self.rest.len()
    }

    fn field(&mut self) -> Result<(u32, Field<'a>), Malformed> {
        let tag = self.raw_varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Malformed)?;
        let field = match tag & 7 {
            0 => Field::Varint(self.raw_varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(
                self.take(8)?.try_into().map_err(|_| Malformed)?,
            )),
            2 => {
                let length = usize::try_from(self.raw_varint()?).map_err(|_| Malformed)?;
                Field::Bytes(self.take(length)?)
            }
            5 => Field::Fixed32(u32::from_le_bytes(
                self.take(4)?.try_into().map_err(|_| Malformed)?,
            )),
            _ => return Err(Malformed),
        };
        Ok((number, field))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn raw_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<(u32, Field<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken || self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        self.broken = field.is_err();
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::{Field, Malformed, Reader, Writer};

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::default();
        writer.varint(1, 300);
        writer.varint(2, 0);
        writer.fixed64(3, 7);
        writer.fixed32(16, 9);
        writer.string(5, "");
        writer.message(6, |inner| inner.string(1, "x"));
        let bytes = writer.into_bytes();
        let fields: Result<Vec<_>, _> = Reader::new(&bytes).collect();
        let expected = vec![
            (1, Field::Varint(300)),
            (3, Field::Fixed64(7)),
            (16, Field::Fixed32(9)),
            (6, Field::Bytes(b"\x0a\x01x")),
        ];
        assert_eq!(fields, Ok(expected));
    }

    #[test]
    fn truncation_is_an_error_once() {
        let mut reader = Reader::new(&[0x0a, 5, 1]);
        assert_eq!(reader.next(), Some(Err(Malformed)));
        assert_eq!(reader.next(), None);
    }
}

//! The protobuf wire format: keys, varints, lengths. What is refused here is what prost refuses.

use thiserror::Error;

/// The bytes are not a well-formed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("malformed OTLP protobuf at byte {offset}: {what}")]
pub struct WireError {
    /// Where in the input, near enough to find it in a dump.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// A [`WireError`] that knows only an address, since inner messages do not know where they lie in the whole.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    address: usize,
    what: &'static str,
}

/// Most groups (an encoding that OTLP never used) inside each other in an unknown field; prost's limit for everything.
const GROUP_DEPTH_MAX: u32 = 100;

/// The six ways in which a field's value is encoded, in the order of their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireType {
    /// 1 to 10 bytes.
    Varint,
    /// 8 bytes.
    Fixed64,
    /// A length and as many bytes.
    Bytes,
    /// The beginning of a group, which OTLP never used.
    GroupStart,
    /// The end of a group.
    GroupEnd,
    /// 4 bytes.
    Fixed32,
}

/// The value of one field.
#[derive(Debug, Clone, Copy)]
pub enum Payload<'a> {
    /// A whole number.
    Varint(u64),
    /// 8 bytes, little end first.
    Fixed64(u64),
    /// Text, bytes, a message, or numbers packed.
    Bytes(&'a [u8]),
    /// 4 bytes, little end first.
    Fixed32(u32),
    /// A whole group, skipped.
    Group,
}

/// What has not been read of a message.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

// === impl Fault ===

impl Fault {
    /// `place` is the rest of the input where it is wrong.
    #[cold]
    pub fn at(place: &[u8], what: &'static str) -> Self {
        Self {
            address: place.as_ptr().addr(),
            what,
        }
    }

    /// `whole` is the input that all places lie in.
    #[cold]
    pub fn within(self, whole: &[u8]) -> WireError {
        WireError {
            offset: offset_within(whole, self.address),
            what: self.what,
        }
    }
}

/// How far `address` is into `whole`, which it lies in.
#[inline]
fn offset_within(whole: &[u8], address: usize) -> usize {
    address.wrapping_sub(whole.as_ptr().addr())
}

/// Where `part` begins in `whole`, a slice of which it is.
#[inline]
pub(crate) fn offset_of(whole: &[u8], part: &[u8]) -> usize {
    offset_within(whole, part.as_ptr().addr())
}

// === impl Cursor ===

impl<'a> Cursor<'a> {
    /// At the beginning of a message.
    #[inline]
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// What has not been read.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// All has been read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// A field's number and encoding.
    ///
    /// # Errors
    /// [`Fault`] when there is no such field or encoding.
    #[inline(always)]
    pub fn key(&mut self) -> Result<(u32, WireType), Fault> {
        let place = self.rest;
        let key = self.raw_key()?;
        split_key(key, place)
    }

    /// A key as it is, which [`split_key`] has not looked at.
    #[inline(always)]
    pub(crate) fn raw_key(&mut self) -> Result<u32, Fault> {
        let place = self.rest;
        match u32::try_from(self.varint()?) {
            Ok(key) => Ok(key),
            Err(_) => Err(Fault::at(place, "no such field number")),
        }
    }

    /// A number of 1 to 10 bytes.
    ///
    /// # Errors
    /// [`Fault`] when it does not end in them.
    #[inline(always)]
    pub fn varint(&mut self) -> Result<u64, Fault> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            // The length of a usual span.
            [low, high, rest @ ..] if *high < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            // The tenth byte has room for one bit of the 64.
            if index == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(Fault::at(self.rest, "a number does not end"))
    }

    /// A length and as many bytes.
    ///
    /// # Errors
    /// [`Fault`] when there are fewer.
    #[inline(always)]
    pub fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let place = self.rest;
        let length = self.varint()?;
        // A length beyond usize is beyond the input too.
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        match self.rest.split_at_checked(length) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(Fault::at(place, "a length reaches beyond the end")),
        }
    }

    /// A number of 8 bytes.
    ///
    /// # Errors
    /// [`Fault`] when there are fewer.
    #[inline(always)]
    pub fn fixed64(&mut self) -> Result<u64, Fault> {
        match self.rest.split_first_chunk() {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(u64::from_le_bytes(*bytes))
            }
            None => Err(Fault::at(
                self.rest,
                "the message ends within a number of 8 bytes",
            )),
        }
    }

    /// A number of 4 bytes.
    ///
    /// # Errors
    /// [`Fault`] when there are fewer.
    #[inline(always)]
    pub fn fixed32(&mut self) -> Result<u32, Fault> {
        match self.rest.split_first_chunk() {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(u32::from_le_bytes(*bytes))
            }
            None => Err(Fault::at(
                self.rest,
                "the message ends within a number of 4 bytes",
            )),
        }
    }

    /// The value after a key.
    ///
    /// # Errors
    /// [`Fault`] when it is not whole.
    pub fn payload(&mut self, field: u32, wire: WireType) -> Result<Payload<'a>, Fault> {
        match wire {
            WireType::Varint => self.varint().map(Payload::Varint),
            WireType::Fixed64 => self.fixed64().map(Payload::Fixed64),
            WireType::Bytes => self.bytes().map(Payload::Bytes),
            WireType::Fixed32 => self.fixed32().map(Payload::Fixed32),
            WireType::GroupStart => self.skip_group(field, GROUP_DEPTH_MAX).map(|()| Payload::Group),
            WireType::GroupEnd => Err(Fault::at(self.rest, "a group ends that did not begin")),
        }
    }

    fn skip_group(&mut self, field: u32, depth: u32) -> Result<(), Fault> {
        loop {
            let place = self.rest;
            let (inner, wire) = self.key()?;
            match wire {
                WireType::GroupEnd if inner == field => return Ok(()),
                WireType::GroupEnd => return Err(Fault::at(place, "another group ends than began")),
                WireType::GroupStart if depth == 0 => return Err(Fault::at(place, "groups nest too deeply")),
                WireType::GroupStart => self.skip_group(inner, depth - 1)?,
                WireType::Varint | WireType::Fixed64 | WireType::Bytes | WireType::Fixed32 => {
                    self.payload(inner, wire)?;
                }
            }
        }
    }
}

/// Number and encoding of a key, which stands at `place`.
#[inline]
pub(crate) fn split_key(key: u32, place: &[u8]) -> Result<(u32, WireType), Fault> {
    let wire = match key & 7 {
        0 => WireType::Varint,
        1 => WireType::Fixed64,
        2 => WireType::Bytes,
        3 => WireType::GroupStart,
        4 => WireType::GroupEnd,
        5 => WireType::Fixed32,
        _ => return Err(Fault::at(place, "no such wire type")),
    };
    if key < 8 {
        return Err(Fault::at(place, "no such field number"));
    }
    Ok((key >> 3, wire))
}

/// The fields of a message that has been checked: ends early, silently, if it has not.
pub fn fields(message: &[u8]) -> impl Iterator<Item = (u32, Payload<'_>)> + Clone {
    records(message).map(|(field, payload, _)| (field, payload))
}

/// As [`fields`], with each field's key and value as they are in the message.
pub fn records(message: &[u8]) -> impl Iterator<Item = (u32, Payload<'_>, &[u8])> + Clone {
    let mut cursor = Cursor::new(message);
    std::iter::from_fn(move || {
        let start = cursor.rest;
        if start.is_empty() {
            return None;
        }
        let (field, wire) = cursor.key().ok()?;
        let payload = cursor.payload(field, wire).ok()?;
        Some((field, payload, &start[..start.len() - cursor.rest.len()]))
    })
}

/// The key of a field.
pub const fn key_of(number: u32, wire: WireType) -> u32 {
    (number << 3) | wire as u32
}

/// The key of field `number` with a length after it.
const fn bytes_key(number: u32) -> u64 {
    key_of(number, WireType::Bytes) as u64
}

/// Bytes that [`put_varint`] writes: 1 to 10.
#[inline]
pub fn varint_len(value: u64) -> usize {
    // One byte for each seven bits begun, at least one.
    (64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// A number in 1 to 10 bytes.
#[inline]
pub fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Key and length of a field whose `length` bytes follow.
#[inline]
pub fn put_bytes_header(number: u32, length: usize, out: &mut Vec<u8>) {
    put_varint(bytes_key(number), out);
    put_varint(length as u64, out);
}

/// A whole field of bytes.
#[inline]
pub fn put_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    put_bytes_header(number, bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Bytes that [`put_bytes`] writes.
#[inline]
pub fn bytes_field_len(number: u32, length: usize) -> usize {
    varint_len(bytes_key(number)) + varint_len(length as u64) + length
}

//! From tokens to wire bytes, led by the schema.

use std::ops::Range;
use std::str::FromStr;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::attribute::PlainAttribute;
use super::lexer::{Fail, Lexer, Result, Scalar, Segment};
use super::schema::{Field, KEY_VALUE, Kind, Number, Schema};
use crate::check::VALUE_DEPTH_MAX;
use crate::wire::{put_bytes, put_bytes_header, put_varint, varint_len};

/// Values deeper than this have lengths of a fixed width where they need more than one byte. A length stands before its
/// message but is known after it, when all of the message must be moved for a longer length: at every level, without
/// this bound.
const MOVING_DEPTH_MAX: u32 = 8;

/// Bytes of a length of fixed width: 28 bits, so [`super::JSON_BYTES_MAX`].
const FIXED_WIDTH: usize = 4;

/// In [`HEX_DIGITS`], for what is none.
const NO_HEX_DIGIT: u8 = 0x80;

/// The value of each byte as a hex digit of either case.
const HEX_DIGITS: [u8; 256] = {
    let mut digits = [NO_HEX_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value] as usize] = value as u8;
        digits[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    digits
};

/// Base64 as the Go collector takes it: padded, not caring about unused bits.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical)
        .with_decode_allow_trailing_bits(true),
);

/// Writes what the lexer reads.
pub(super) struct Transcoder<'j, 'o> {
    lexer: Lexer<'j>,
    out: &'o mut Vec<u8>,
    /// Which fields of the open messages have been written and where: those of the innermost are last.
    written: Vec<(usize, Range<usize>)>,
}

/// A message that is being written.
struct Open {
    schema: &'static Schema,
    /// Where its fields begin in the output.
    start: usize,
    /// Where its fields begin in `written`.
    first_written: usize,
    /// A bit for each of its fields that has come, by its place in the schema: none has more than 32.
    seen: u32,
}

impl<'j, 'o> Transcoder<'j, 'o> {
    pub(super) fn new(json: &'j [u8], out: &'o mut Vec<u8>) -> Self {
        Self {
            lexer: Lexer::new(json),
            out,
            written: Vec::new(),
        }
    }

    /// The whole input.
    pub(super) fn request(mut self, schema: &'static Schema) -> Result<()> {
        if !self.lexer.take_null()? {
            self.object(schema, 0)?;
        }
        self.lexer.end()
    }

    /// `depth` is the number of values around and including this message.
    fn object(&mut self, schema: &'static Schema, depth: u32) -> Result<()> {
        self.lexer.expect(b'{', "an object")?;
        if self.lexer.take(b'}') {
            return Ok(());
        }
        let mut open = Open {
            schema,
            start: self.out.len(),
            first_written: self.written.len(),
            seen: 0,
        };
        let mut next = 0;
        loop {
            let key = self.lexer.string()?;
            self.lexer.expect(b':', "a colon")?;
            match schema.find(&key, next) {
                Some((index, field)) => {
                    next = index + 1;
                    self.field(&mut open, index, field, depth)
                        .map_err(|fail| fail.within(Segment::Field(field.name)))?;
                }
                None => self.lexer.skip_value()?,
            }
            if self.lexer.take(b'}') {
                break;
            }
            self.lexer.expect(b',', "a comma or the closing bracket")?;
        }
        self.written.truncate(open.first_written);
        Ok(())
    }

    #[inline]
    fn field(&mut self, open: &mut Open, index: usize, field: &'static Field, depth: u32) -> Result<()> {
        let is_null = self.lexer.take_null()?;
        if is_null && open.schema.one_of {
            return Ok(());
        }
        let bit = 1 << index;
        if open.schema.one_of {
            self.out.truncate(open.start);
        } else if open.seen & bit != 0 {
            self.forget(open.first_written, index);
        }
        if is_null {
            return Ok(());
        }
        open.seen |= bit;
        let start = self.out.len();
        self.value(field, open.schema.one_of, depth)?;
        if !open.schema.one_of {
            self.written.push((index, start..self.out.len()));
        }
        Ok(())
    }

    /// Takes back what an earlier value of the same field has written.
    #[cold]
    fn forget(&mut self, first_written: usize, index: usize) {
        let open = &mut self.written[first_written..];
        let Some(found) = open.iter().position(|(written, _)| *written == index) else {
            return;
        };
        let range = open[found].1.clone();
        for (_, later) in &mut open[found + 1..] {
            later.start -= range.len();
            later.end -= range.len();
        }
        self.written.remove(first_written + found);
        self.out.drain(range);
    }

    /// Writes one field, unless it has its default value; a member of a oneof always.
    fn value(&mut self, field: &'static Field, always: bool, depth: u32) -> Result<()> {
        let number = field.number;
        match &field.kind {
            Kind::Message(inner) => self.message(number, inner, depth)?,
            Kind::Attributes => self.elements(|this| this.attribute(number, depth))?,
            Kind::Messages(inner) => self.elements(|this| this.element(number, inner, depth))?,
            Kind::Strings => self.elements(|this| this.string_element(number))?,
            Kind::String => {
                let text = self.lexer.string()?;
                if always || !text.is_empty() {
                    put_bytes(number, &text, self.out);
                }
            }
            Kind::Id(length) => self.id(number, *length)?,
            Kind::Base64 => self.base64(number)?,
            Kind::Bool => {
                let truth = self.lexer.boolean()?;
                self.varint(number, u64::from(truth));
            }
            Kind::Int64 => {
                let value: i64 = whole_number(&self.lexer.scalar()?)?;
                self.varint(number, value.cast_unsigned());
            }
            Kind::Uint32 => {
                let value: u32 = whole_number(&self.lexer.scalar()?)?;
                if value != 0 {
                    self.varint(number, u64::from(value));
                }
            }
            Kind::Enum(names) => {
                let value = enum_number(&self.lexer.scalar()?, names)?;
                if value != 0 {
                    self.varint(number, value);
                }
            }
            Kind::Fixed32 => {
                let value: u32 = whole_number(&self.lexer.scalar()?)?;
                if value != 0 {
                    put_varint(u64::from(number) << 3 | 5, self.out);
                    self.out.extend(value.to_le_bytes());
                }
            }
            Kind::Fixed64 => {
                let value: u64 = whole_number(&self.lexer.scalar()?)?;
                if value != 0 {
                    self.fixed64(number, value);
                }
            }
            Kind::Double => {
                let value = fraction(&self.lexer.scalar()?)?;
                self.fixed64(number, value.to_bits());
            }
            Kind::Number(kind) => self.number(number, *kind)?,
        }
        Ok(())
    }

    /// Writes what only requests with metrics have. Not inlined: messages nest, and each level would have room for this.
    #[inline(never)]
    fn number(&mut self, number: u32, kind: Number) -> Result<()> {
        match kind {
            Number::Sint32 => {
                let value: i32 = whole_number(&self.lexer.scalar()?)?;
                if value != 0 {
                    self.varint(number, u64::from(((value << 1) ^ (value >> 31)).cast_unsigned()));
                }
            }
            Number::Fixed64s => self.packed(number, |this| {
                let value: u64 = whole_number(&this.lexer.scalar()?)?;
                this.out.extend(value.to_le_bytes());
                Ok(())
            })?,
            Number::Uint64s => self.packed(number, |this| {
                put_varint(whole_number(&this.lexer.scalar()?)?, this.out);
                Ok(())
            })?,
            Number::Doubles => self.packed(number, |this| {
                let value = fraction(&this.lexer.scalar()?)?;
                this.out.extend(value.to_le_bytes());
                Ok(())
            })?,
            Number::Sfixed64 => {
                let value: i64 = whole_number(&self.lexer.scalar()?)?;
                self.fixed64(number, value.cast_unsigned());
            }
        }
        Ok(())
    }

    fn elements(&mut self, mut element: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.lexer.expect(b'[', "a list")?;
        if self.lexer.take(b']') {
            return Ok(());
        }
        for index in 0.. {
            element(self).map_err(|fail| fail.within(Segment::Index(index)))?;
            if self.lexer.take(b']') {
                break;
            }
            self.lexer.expect(b',', "a comma or the closing bracket")?;
        }
        Ok(())
    }

    /// A list of numbers in one field; an empty one is no field. Unlike elsewhere `null` is no element: it would move the
    /// others to another bucket.
    fn packed(&mut self, number: u32, element: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        let start = self.out.len();
        put_varint(u64::from(number) << 3 | 2, self.out);
        let length_at = self.out.len();
        self.out.push(0);
        self.elements(element)?;
        if self.out.len() == length_at + 1 {
            self.out.truncate(start);
        } else {
            self.set_length(length_at, 1);
        }
        Ok(())
    }

    fn element(&mut self, number: u32, schema: &'static Schema, depth: u32) -> Result<()> {
        if self.lexer.take_null()? {
            put_bytes(number, b"", self.out);
            return Ok(());
        }
        self.message(number, schema, depth)
    }

    fn attribute(&mut self, number: u32, depth: u32) -> Result<()> {
        if depth < VALUE_DEPTH_MAX
            && let Some(plain) = PlainAttribute::read(self.lexer.rest())
        {
            plain.write(number, self.out);
            self.lexer.skip(plain.length);
            return Ok(());
        }
        self.element(number, &KEY_VALUE, depth)
    }

    fn string_element(&mut self, number: u32) -> Result<()> {
        if self.lexer.take_null()? {
            put_bytes(number, b"", self.out);
            return Ok(());
        }
        let text = self.lexer.string()?;
        put_bytes(number, &text, self.out);
        Ok(())
    }

    fn message(&mut self, number: u32, schema: &'static Schema, outer_depth: u32) -> Result<()> {
        let depth = outer_depth + u32::from(schema.one_of);
        if depth > VALUE_DEPTH_MAX {
            return Err(Fail::at(self.lexer.offset(), "values nest too deeply"));
        }
        let width = if depth > MOVING_DEPTH_MAX { FIXED_WIDTH } else { 1 };
        put_varint(u64::from(number) << 3 | 2, self.out);
        let length_at = self.out.len();
        self.out.resize(length_at + width, 0);
        self.object(schema, depth)?;
        self.set_length(length_at, width);
        Ok(())
    }

    /// Writes the length of the message at the end, for which `width` bytes have been left.
    fn set_length(&mut self, at: usize, width: usize) {
        let body = at + width;
        let length = self.out.len() - body;
        let needed = varint_len(length as u64);
        if width == FIXED_WIDTH && needed > 1 {
            for (index, byte) in self.out[at..body].iter_mut().enumerate() {
                let more = if index + 1 < FIXED_WIDTH { 0x80 } else { 0 };
                *byte = (length >> (7 * index)) as u8 & 0x7f | more;
            }
            return;
        }
        // One byte was left, which is enough for most messages.
        if needed != width {
            self.out.resize(self.out.len().max(at + needed + length), 0);
            self.out.copy_within(body..body + length, at + needed);
            self.out.truncate(at + needed + length);
        }
        for (index, byte) in self.out[at..at + needed].iter_mut().enumerate() {
            let more = if index + 1 < needed { 0x80 } else { 0 };
            *byte = (length >> (7 * index)) as u8 & 0x7f | more;
        }
    }

    fn id(&mut self, number: u32, length: usize) -> Result<()> {
        self.lexer.peek();
        let offset = self.lexer.offset();
        let text = self.lexer.string()?;
        if text.is_empty() {
            return Ok(());
        }
        if text.len() != 2 * length {
            return Err(Fail::at(
                offset,
                format!("an id of {} hex digits, not {}", 2 * length, text.len()),
            ));
        }
        put_bytes_header(number, length, self.out);
        let (pairs, _) = text.as_chunks::<2>();
        let mut wrong = 0;
        self.out.extend(pairs.iter().map(|[high, low]| {
            let (high, low) = (HEX_DIGITS[usize::from(*high)], HEX_DIGITS[usize::from(*low)]);
            wrong |= high | low;
            high << 4 | low & 0x0f
        }));
        if wrong & NO_HEX_DIGIT != 0 {
            return Err(Fail::at(offset, "an id has a character that is no hex digit"));
        }
        Ok(())
    }

    fn base64(&mut self, number: u32) -> Result<()> {
        self.lexer.peek();
        let offset = self.lexer.offset();
        let mut text = self.lexer.string()?;
        if text.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
            text.to_mut().retain(|byte| !matches!(byte, b'\r' | b'\n'));
        }
        match BASE64.decode(&text) {
            Ok(bytes) => put_bytes(number, &bytes, self.out),
            Err(error) => return Err(Fail::at(offset, format!("not padded standard base64: {error}"))),
        }
        Ok(())
    }

    fn varint(&mut self, number: u32, value: u64) {
        put_varint(u64::from(number) << 3, self.out);
        put_varint(value, self.out);
    }

    fn fixed64(&mut self, number: u32, bits: u64) {
        put_varint(u64::from(number) << 3 | 1, self.out);
        self.out.extend(bits.to_le_bytes());
    }
}

fn whole_number<T: FromStr + TryFrom<u64>>(scalar: &Scalar<'_>) -> Result<T> {
    // A number of up to 19 digits is below 10^19, which 64 bits hold.
    if (1..20).contains(&scalar.text.len()) && scalar.text.iter().all(u8::is_ascii_digit) {
        let number = scalar
            .text
            .iter()
            .fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
        return T::try_from(number).map_err(|_| Fail::at(scalar.offset, "not a whole number of its range"));
    }
    let text = str::from_utf8(&scalar.text).unwrap_or_default();
    text.parse()
        .map_err(|_| Fail::at(scalar.offset, "not a whole number of its range"))
}

/// A number that the specification does not know stays. A negative one counts as 0, which is what every reader makes of
/// it: its ten bytes could be more than the JSON has.
fn enum_number(scalar: &Scalar<'_>, names: &[&str]) -> Result<u64> {
    if scalar.quoted
        && let Some(number) = names.iter().position(|name| name.as_bytes() == &*scalar.text)
    {
        return Ok(number as u64);
    }
    match whole_number::<i32>(scalar) {
        Ok(number) => Ok(u64::try_from(number).unwrap_or(0)),
        Err(_) => Err(Fail::at(
            scalar.offset,
            "neither a number nor a name of this enum",
        )),
    }
}

/// In quotes also `NaN`, `Infinity` and their signs and short forms.
fn fraction(scalar: &Scalar<'_>) -> Result<f64> {
    let text = str::from_utf8(&scalar.text).unwrap_or_default();
    match text.parse::<f64>() {
        Ok(value) if value.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit()) => {
            Err(Fail::at(scalar.offset, "a number beyond the range of a double"))
        }
        Ok(value) => Ok(value),
        Err(_) => Err(Fail::at(scalar.offset, "not a number")),
    }
}

//! JSON's tokens (RFC 8259), without recursion.

use std::borrow::Cow;

/// Most brackets inside each other in a value that is skipped.
pub const SKIP_DEPTH_MAX: usize = 1024;

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct Fail {
    pub(super) offset: usize,
    pub(super) message: Cow<'static, str>,
    /// Innermost first.
    pub(super) path: Vec<Segment>,
}

/// A step on the way to a value.
#[derive(Debug)]
pub(super) enum Segment {
    Field(&'static str),
    Index(usize),
}

/// Failure is rare and its description large: a box keeps results small.
pub(super) type Result<T> = std::result::Result<T, Box<Fail>>;

/// A number, or the text of a string in its place.
#[derive(Debug)]
pub(super) struct Scalar<'j> {
    pub(super) text: Cow<'j, [u8]>,
    pub(super) quoted: bool,
    pub(super) offset: usize,
}

/// Reads tokens one after the other.
#[derive(Debug)]
pub(super) struct Lexer<'j> {
    json: &'j [u8],
    at: usize,
}

// === impl Fail ===

impl Fail {
    #[cold]
    pub(super) fn at(offset: usize, message: impl Into<Cow<'static, str>>) -> Box<Self> {
        Box::new(Self {
            offset,
            message: message.into(),
            path: Vec::new(),
        })
    }

    /// The same failure, seen from outside.
    #[cold]
    pub(super) fn within(mut self: Box<Self>, segment: Segment) -> Box<Self> {
        self.path.push(segment);
        self
    }
}

// === impl Lexer ===

impl<'j> Lexer<'j> {
    pub(super) fn new(json: &'j [u8]) -> Self {
        Self { json, at: 0 }
    }

    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'j [u8] {
        self.json.get(self.at..).unwrap_or_default()
    }

    /// Goes on after so many bytes of [`Self::rest`].
    pub(super) fn skip(&mut self, length: usize) {
        self.at += length;
    }

    /// The next token's first byte.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.json.get(self.at) {
                // Most encoders write no white space.
                Some(byte) if *byte > b' ' => return Some(*byte),
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Takes `byte` if it is next.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    #[inline]
    pub(super) fn expect(&mut self, byte: u8, what: &'static str) -> Result<()> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(self.unexpected(what))
        }
    }

    pub(super) fn take_null(&mut self) -> Result<bool> {
        if self.peek() != Some(b'n') {
            return Ok(false);
        }
        self.literal(b"null").map(|()| true)
    }

    pub(super) fn boolean(&mut self) -> Result<bool> {
        match self.peek() {
            Some(b't') => self.literal(b"true").map(|()| true),
            Some(b'f') => self.literal(b"false").map(|()| false),
            _ => Err(self.unexpected("true or false")),
        }
    }

    /// Nothing but white space may be left.
    pub(super) fn end(&mut self) -> Result<()> {
        if self.peek().is_none() {
            Ok(())
        } else {
            Err(self.unexpected("the end"))
        }
    }

    /// A number as it is written, or a string.
    pub(super) fn scalar(&mut self) -> Result<Scalar<'j>> {
        let quoted = self.peek() == Some(b'"');
        let offset = self.at;
        let text = match self.peek() {
            Some(b'"') => self.string()?,
            Some(b'-' | b'0'..=b'9') => Cow::Borrowed(self.number()?),
            _ => return Err(self.unexpected("a number")),
        };
        Ok(Scalar { text, quoted, offset })
    }

    /// A string's bytes, escapes undone. They may be no UTF-8 where the input is none.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Cow<'j, [u8]>> {
        self.expect(b'"', "a string")?;
        let plain = self.plain_part()?;
        if self.json[self.at] == b'"' {
            self.at += 1;
            return Ok(Cow::Borrowed(plain));
        }
        self.escaped(plain)
    }

    /// The rest of a string that begins with `plain`, from its first backslash on.
    #[cold]
    fn escaped(&mut self, plain: &[u8]) -> Result<Cow<'j, [u8]>> {
        let mut text = plain.to_vec();
        loop {
            self.at += 1;
            self.escape(&mut text)?;
            text.extend_from_slice(self.plain_part()?);
            if self.json[self.at] == b'"' {
                self.at += 1;
                return Ok(Cow::Owned(text));
            }
        }
    }

    /// Skips any value. Brackets are kept in bits, one for each open one: set in an object.
    pub(super) fn skip_value(&mut self) -> Result<()> {
        let mut objects = [0_u64; SKIP_DEPTH_MAX / 64];
        let mut depth = 0;
        loop {
            let opened = match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    if depth == SKIP_DEPTH_MAX {
                        return Err(Fail::at(self.at, "brackets nest too deeply"));
                    }
                    self.at += 1;
                    let bit = 1 << (depth % 64);
                    if open == b'{' {
                        objects[depth / 64] |= bit;
                    } else {
                        objects[depth / 64] &= !bit;
                    }
                    depth += 1;
                    true
                }
                _ => {
                    self.skip_scalar()?;
                    false
                }
            };
            let mut after_value = !opened;
            loop {
                if depth == 0 {
                    return Ok(());
                }
                let in_object = objects[(depth - 1) / 64] & (1 << ((depth - 1) % 64)) != 0;
                if self.take(if in_object { b'}' } else { b']' }) {
                    depth -= 1;
                    after_value = true;
                    continue;
                }
                if after_value {
                    self.expect(b',', "a comma or the closing bracket")?;
                }
                if in_object {
                    self.skip_string()?;
                    self.expect(b':', "a colon")?;
                }
                break;
            }
        }
    }

    fn skip_scalar(&mut self) -> Result<()> {
        match self.peek() {
            Some(b'"') => self.skip_string(),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            Some(b'n') => self.literal(b"null"),
            Some(b't' | b'f') => self.boolean().map(drop),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn skip_string(&mut self) -> Result<()> {
        self.expect(b'"', "a string")?;
        let mut ignored = Vec::new();
        loop {
            self.plain_part()?;
            let stop = self.json[self.at];
            self.at += 1;
            if stop == b'"' {
                return Ok(());
            }
            ignored.clear();
            self.escape(&mut ignored)?;
        }
    }

    fn literal(&mut self, word: &'static [u8]) -> Result<()> {
        if !self.json[self.at..].starts_with(word) {
            return Err(self.unexpected("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<&'j [u8]> {
        let start = self.at;
        self.at += usize::from(self.json[self.at] == b'-');
        if self.json.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.json.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.json.get(self.at) {
            self.at += 1;
            self.at += usize::from(matches!(self.json.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(&self.json[start..self.at])
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<()> {
        let count = self.json[self.at..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        self.at += count;
        if count == 0 {
            Err(self.unexpected("a digit"))
        } else {
            Ok(())
        }
    }

    /// A string's bytes up to the quote or the backslash that follows, where the lexer stands then.
    #[inline]
    fn plain_part(&mut self) -> Result<&'j [u8]> {
        let rest = &self.json[self.at..];
        let length = plain_length(rest);
        match rest.get(length) {
            Some(b'"' | b'\\') => {
                self.at += length;
                Ok(&rest[..length])
            }
            Some(_) => Err(Fail::at(self.at + length, "a control character in a string")),
            None => Err(Fail::at(self.json.len(), "a string does not end")),
        }
    }

    /// What follows a backslash.
    fn escape(&mut self, text: &mut Vec<u8>) -> Result<()> {
        let plain = match self.json.get(self.at) {
            Some(b'u') => return self.unicode_escape(text),
            Some(&byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            _ => return Err(Fail::at(self.at, "no such escape in a string")),
        };
        self.at += 1;
        text.push(plain);
        Ok(())
    }

    /// Half of a surrogate pair without the other half becomes U+FFFD.
    fn unicode_escape(&mut self, text: &mut Vec<u8>) -> Result<()> {
        let unit = self.code_unit()?;
        let mut code = u32::from(unit);
        if (0xd800..0xdc00).contains(&unit) && self.json[self.at..].starts_with(b"\\u") {
            let after_high = self.at;
            self.at += 1;
            let low = self.code_unit()?;
            if (0xdc00..0xe000).contains(&low) {
                code = 0x1_0000 + ((u32::from(unit) - 0xd800) << 10) + (u32::from(low) - 0xdc00);
            } else {
                // It is a character of its own.
                self.at = after_high;
            }
        }
        let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    /// The `u` and four hex digits.
    fn code_unit(&mut self) -> Result<u16> {
        let digits = self.json.get(self.at + 1..self.at + 5).unwrap_or_default();
        if digits.len() < 4 {
            return Err(Fail::at(self.at, "no such escape in a string"));
        }
        let mut unit = 0;
        for digit in digits {
            match char::from(*digit).to_digit(16) {
                Some(value) => unit = unit << 4 | value as u16,
                None => return Err(Fail::at(self.at, "no such escape in a string")),
            }
        }
        self.at += 5;
        Ok(unit)
    }

    #[cold]
    pub(super) fn unexpected(&mut self, wanted: &'static str) -> Box<Fail> {
        let message = match self.peek() {
            None => format!("expected {wanted}, but the text ends"),
            Some(byte) => format!("expected {wanted}, not {:?}", char::from(byte)),
        };
        Fail::at(self.at, message)
    }
}

/// How many bytes come before the first that may not simply stand in a string: a quote, a backslash, a control
/// character. Eight bytes at a time: most of a request's text is in strings, and most strings are short.
#[inline]
pub(super) fn plain_length(text: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    let (chunks, rest) = text.as_chunks::<8>();
    for (index, chunk) in chunks.iter().enumerate() {
        let bytes = u64::from_le_bytes(*chunk);
        // A subtraction carries into the high bit of the bytes that are smaller. It may also carry on to the byte above
        // such a one, but the lowest of them is right, and only that one counts.
        let control = bytes.wrapping_sub(0x20 * ONES);
        let quote = (bytes ^ (0x22 * ONES)).wrapping_sub(ONES);
        let backslash = (bytes ^ (0x5c * ONES)).wrapping_sub(ONES);
        let found = (control | quote | backslash) & !bytes & HIGH;
        if found != 0 {
            return 8 * index + found.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
    let end = rest.iter().position(is_special).unwrap_or(rest.len());
    8 * chunks.len() + end
}

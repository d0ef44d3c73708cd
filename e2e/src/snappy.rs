//! Snappy's block format, read strictly and written without compressing: what remote write bodies are in.
//!
//! Written from `format_description.txt` of google/snappy, and apart from what the product uses: a mistake made twice
//! would not be seen.

/// The bytes are no snappy block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(
    /// What is wrong.
    pub &'static str,
);

/// Literals of this length are the longest that one byte of length says.
const LITERAL_MAX: usize = 60;

/// Inflates a block of at most `limit` bytes.
///
/// # Errors
/// When it is no block, is longer, ends early or goes on.
pub fn decode(block: &[u8], limit: usize) -> Result<Vec<u8>, Malformed> {
    let mut input = block;
    let length =
        usize::try_from(length(&mut input)?).map_err(|_| Malformed("a length beyond this machine"))?;
    if length > limit {
        return Err(Malformed("larger than the limit"));
    }
    let mut out = Vec::with_capacity(length);
    while let [tag, rest @ ..] = input {
        input = rest;
        match tag & 3 {
            0 => literal(*tag, &mut input, &mut out)?,
            1 => {
                let low = number(&mut input, 1)?;
                copy(
                    &mut out,
                    usize::from(tag >> 5) << 8 | low,
                    usize::from(tag >> 2 & 7) + 4,
                )?;
            }
            2 => {
                let offset = number(&mut input, 2)?;
                copy(&mut out, offset, usize::from(tag >> 2) + 1)?;
            }
            _ => {
                let offset = number(&mut input, 4)?;
                copy(&mut out, offset, usize::from(tag >> 2) + 1)?;
            }
        }
        if out.len() > length {
            return Err(Malformed("longer than it says"));
        }
    }
    if out.len() == length {
        Ok(out)
    } else {
        Err(Malformed("shorter than it says"))
    }
}

/// A block of literals only: larger than its content, and valid.
pub fn encode(content: &[u8]) -> Vec<u8> {
    let mut block = Vec::with_capacity(content.len() + content.len() / LITERAL_MAX + 8);
    let mut length = content.len();
    while length >= 0x80 {
        block.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    block.push(length as u8);
    for part in content.chunks(LITERAL_MAX) {
        block.push(((part.len() - 1) << 2) as u8);
        block.extend_from_slice(part);
    }
    block
}

/// The length in front: a varint of at most 32 bits.
fn length(input: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0_u64;
    for shift in [0, 7, 14, 21, 28] {
        let [byte, rest @ ..] = *input else {
            return Err(Malformed("no length"));
        };
        *input = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return if value <= u64::from(u32::MAX) {
                Ok(value)
            } else {
                Err(Malformed("a length above 32 bits"))
            };
        }
    }
    Err(Malformed("a length above 32 bits"))
}

fn literal(tag: u8, input: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let length = match usize::from(tag >> 2) {
        short @ 0..60 => short + 1,
        long => number(input, long - 59)?.saturating_add(1),
    };
    let (part, rest) = input
        .split_at_checked(length)
        .ok_or(Malformed("a literal beyond the end"))?;
    *input = rest;
    out.extend_from_slice(part);
    Ok(())
}

/// Little-endian, `bytes` long.
fn number(input: &mut &[u8], bytes: usize) -> Result<usize, Malformed> {
    let (part, rest) = input
        .split_at_checked(bytes)
        .ok_or(Malformed("an element beyond the end"))?;
    *input = rest;
    Ok(part
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | usize::from(*byte)))
}

/// A copy may overlap what it makes: `offset` 1 repeats the last byte.
fn copy(out: &mut Vec<u8>, offset: usize, length: usize) -> Result<(), Malformed> {
    let from = out
        .len()
        .checked_sub(offset)
        .filter(|_| offset > 0)
        .ok_or(Malformed("a copy from before the start"))?;
    for index in from..from + length {
        let byte = out.get(index).copied().unwrap_or_default();
        out.push(byte);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Malformed, decode, encode};

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 59, 60, 61, 127, 128, 70_000] {
            let content: Vec<u8> = (0..length).map(|number: u32| (number % 251) as u8).collect();
            assert_eq!(decode(&encode(&content), 1 << 20).as_deref(), Ok(&content[..]));
        }
    }

    #[test]
    fn every_kind_of_copy_and_long_literals_are_read() {
        // "ab", then five bytes from two back, four from four back, three from one back: in offsets of 1, 2 and 4 bytes.
        let block = [
            14,
            0b100,
            b'a',
            b'b',
            0b0000_0101,
            2,
            0b0000_1110,
            4,
            0,
            0b0000_1011,
            1,
            0,
            0,
            0,
        ];
        assert_eq!(decode(&block, 100).as_deref(), Ok(&b"abababababaaaa"[..]));
        let mut long = vec![0x80, 0x02, 61 << 2, 0xff, 0];
        long.extend_from_slice(&[7; 256]);
        assert_eq!(decode(&long, 1 << 20), Ok(vec![7; 256]));
    }

    #[test]
    fn what_is_no_block_is_refused() {
        let refused = |block: &[u8]| decode(block, 100).is_err();
        assert!(refused(&[]));
        assert!(refused(&[1]));
        assert!(refused(&[1, 0b1000, b'a', b'b']));
        assert!(refused(&[2, 0b1000, b'a']));
        assert!(refused(&[4, 0b0000_0001, 1]));
        assert!(refused(&[5, 0, b'a', 0b0000_0001, 0]));
        assert!(refused(&[0xff, 0xff, 0xff, 0xff, 0x7f]));
        assert_eq!(
            decode(&encode(&[0; 101]), 100),
            Err(Malformed("larger than the limit"))
        );
    }
}

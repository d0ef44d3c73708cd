//! gzip (RFC 1952): one member or several. Header and trailer are read here, so that the decoder inside (RFC 1951) can
//! be used again for the next body.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{Output, PARTS_MAX, Stop, malformed};
use crate::limiter::{Held, MemoryLimiter};

/// What a decoder holds: 32 KiB of window, tables, buffers of its own.
const DECODER_BYTES: u64 = 64 * 1024;

/// deflate makes at most so many bytes of one (RFC 1951: 258 bytes from two bits).
const RATIO_MAX: usize = 1032;

/// The decoder works faster while there is room for another longest match.
const SLACK_BYTES: usize = 512;

/// Length of the first part of a header, and of the trailer: CRC-32 and length modulo 2^32.
const HEADER_BYTES: usize = 10;
const TRAILER_BYTES: usize = 8;

/// Flags of a header (RFC 1952, section 2.3.1).
const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

/// A decoder for one body after the other.
pub(super) struct Decoder {
    deflate: Decompress,
    _held: Held,
}

// === impl Decoder ===

impl Decoder {
    pub(super) fn new(limiter: &MemoryLimiter) -> Self {
        Self {
            deflate: Decompress::new(false),
            _held: limiter.hold(DECODER_BYTES),
        }
    }

    /// Inflates all members of a body.
    pub(super) fn inflate(&mut self, body: &[u8], output: &mut Output<'_>) -> Result<(), Stop> {
        let expected = expected(body);
        let mut rest = body;
        for _ in 0..PARTS_MAX {
            let header = header_len(rest).ok_or_else(|| bad("a header is wrong or breaks off"))?;
            rest = self.member(&rest[header..], expected, output)?;
            if rest.is_empty() {
                return Ok(());
            }
        }
        Err(bad(&format!("it has more than {PARTS_MAX} members")))
    }

    /// Inflates what follows a header; gives what follows the trailer.
    fn member<'b>(
        &mut self,
        body: &'b [u8],
        expected: usize,
        output: &mut Output<'_>,
    ) -> Result<&'b [u8], Stop> {
        self.deflate.reset(false);
        let mut crc = Crc::new();
        let mut rest = body;
        loop {
            let piece = output.room(0, expected)?;
            let (had, consumed) = (piece.len(), self.deflate.total_in());
            let status = self
                .deflate
                .decompress_vec(rest, piece, FlushDecompress::None)
                .map_err(|error| bad(&error.to_string()))?;
            crc.update(&piece[had..]);
            let is_stuck = piece.len() == had && self.deflate.total_in() == consumed;
            // No more than the length of a slice.
            rest = &rest[(self.deflate.total_in() - consumed) as usize..];
            output.check()?;
            match status {
                Status::StreamEnd => break,
                Status::Ok | Status::BufError if is_stuck => return Err(bad("it breaks off")),
                Status::Ok | Status::BufError => {}
            }
        }
        let (trailer, rest) = rest
            .split_first_chunk::<TRAILER_BYTES>()
            .ok_or_else(|| bad("it breaks off"))?;
        let [sum @ .., _, _, _, _] = *trailer;
        let [_, _, _, _, length @ ..] = *trailer;
        if u32::from_le_bytes(sum) != crc.sum() || u32::from_le_bytes(length) != crc.amount() {
            return Err(bad("its checksum does not match"));
        }
        Ok(rest)
    }
}

/// How long the body says it is, as far as that can be true. Only right for one member.
fn expected(body: &[u8]) -> usize {
    let Some(length) = body.last_chunk::<4>() else {
        return 0;
    };
    let length = u32::from_le_bytes(*length) as usize;
    length.min(body.len().saturating_mul(RATIO_MAX)) + SLACK_BYTES
}

/// Length of a member's header; none when it is none, or not whole.
fn header_len(member: &[u8]) -> Option<usize> {
    let head = member.first_chunk::<HEADER_BYTES>()?;
    let [0x1f, 0x8b, 8, flags, ..] = *head else {
        return None;
    };
    if flags & RESERVED != 0 {
        return None;
    }
    let mut length = HEADER_BYTES;
    if flags & EXTRA != 0 {
        let extra = member.get(length..)?.first_chunk::<2>()?;
        length += 2 + usize::from(u16::from_le_bytes(*extra));
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            length += 1 + member.get(length..)?.iter().position(|byte| *byte == 0)?;
        }
    }
    if flags & HEADER_CRC != 0 {
        length += 2;
    }
    (length <= member.len()).then_some(length)
}

fn bad(what: &str) -> Stop {
    malformed(format!("the body is not valid gzip: {what}"))
}

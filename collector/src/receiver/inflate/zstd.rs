//! zstd (RFC 8878): one frame or several. Frame headers are read here first, so that what a frame makes the decoder
//! allocate is accounted for before, and old formats and dictionaries are refused.

use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, get_error_name};

use super::{Output, PARTS_MAX, Stop, malformed};
use crate::limiter::{Held, MemoryLimiter};
use crate::receiver::rejection::Rejection;

/// What a decoder without a window holds.
const DECODER_BYTES: u64 = 128 * 1024;

/// The largest window: what RFC 8878 (section 3.1.1.1.2) asks of every decoder, and what encoders for streams use.
const WINDOW_LOG_MAX: u32 = 23;
const WINDOW_BYTES_MAX: u64 = 1 << WINDOW_LOG_MAX;

/// A frame of up to this length is decoded in one step, with its output as the window.
const ONE_STEP_BYTES_MAX: u64 = 1024 * 1024;

/// A decoder with a window has room for it, for two blocks of output and one of input (RFC 8878, section 3.1.1.2.4: a
/// block has at most 128 KiB), and some slack.
const BLOCK_BYTES_MAX: u64 = 128 * 1024;
const SLACK_BYTES: u64 = 1024;

const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
/// Skippable frames have one of sixteen magic numbers.
const SKIPPABLE: u32 = 0x184d_2a50;

/// A decoder for one body after the other.
pub(super) struct Decoder {
    context: DCtx<'static>,
    _held: Held,
}

/// What a frame's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    /// Nothing for us: skip this many bytes.
    Skippable(usize),
    /// Compressed bytes.
    Data {
        /// How far back it may look, in bytes.
        window: u64,
        /// Bytes when decoded, if it says so.
        content: Option<u64>,
    },
}

// === impl Decoder ===

impl Decoder {
    pub(super) fn new(limiter: &MemoryLimiter) -> Result<Self, Stop> {
        let held = limiter.hold(DECODER_BYTES);
        let mut context = DCtx::try_create().ok_or(Stop::Rejected(Rejection::Memory))?;
        context
            .set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))
            .map_err(bad_code)?;
        Ok(Self { context, _held: held })
    }

    /// True when there is no window in it that should not be kept.
    pub(super) fn is_small(&self) -> bool {
        self.context.sizeof() as u64 <= DECODER_BYTES
    }

    /// Decodes all frames of a body. No frame is an empty body: some encoders write nothing for nothing.
    pub(super) fn inflate(&mut self, body: &[u8], output: &mut Output<'_>) -> Result<(), Stop> {
        let mut rest = body;
        let mut streaming = 0;
        for _ in 0..PARTS_MAX {
            if rest.is_empty() {
                output.reservation.shrink(streaming);
                return Ok(());
            }
            rest = match frame(rest)? {
                Frame::Skippable(length) => rest.get(length..).ok_or_else(|| bad("it breaks off"))?,
                Frame::Data { window, content } => {
                    if window > WINDOW_BYTES_MAX {
                        return Err(Stop::Rejected(Rejection::Window {
                            max_bytes: WINDOW_BYTES_MAX,
                        }));
                    }
                    let come = output.pieces.len() as u64;
                    if content.is_some_and(|content| content > output.bounds.max_bytes - come) {
                        return Err(output.too_large());
                    }
                    if content.is_some_and(|content| content + come > output.bounds.here_max) {
                        return Err(Stop::TooLongHere);
                    }
                    if content.is_none_or(|content| content > ONE_STEP_BYTES_MAX) {
                        let needed = streaming_bytes(window, content);
                        output.reservation.grow(needed.saturating_sub(streaming))?;
                        streaming = streaming.max(needed);
                    }
                    self.frame(rest, content, output)?
                }
            };
        }
        Err(bad(&format!("it has more than {PARTS_MAX} frames")))
    }

    /// Decodes one frame; gives what follows it.
    fn frame<'b>(
        &mut self,
        body: &'b [u8],
        content: Option<u64>,
        output: &mut Output<'_>,
    ) -> Result<&'b [u8], Stop> {
        self.context
            .reset(ResetDirective::SessionOnly)
            .map_err(bad_code)?;
        // With room for all of it there is no need of a window. Bounded by the caller.
        let expected = content.map_or(0, |content| content as usize);
        let in_one_step = content.is_some_and(|content| content <= ONE_STEP_BYTES_MAX);
        let needed = if in_one_step { expected } else { 0 };
        let begun = output.pieces.len();
        let mut rest = body;
        loop {
            let piece = output.room(needed.saturating_sub(output.pieces.len() - begun), expected)?;
            let had = piece.len();
            let mut input = InBuffer::around(rest);
            let mut decoded = OutBuffer::around_pos(piece, had);
            let more = self
                .context
                .decompress_stream(&mut decoded, &mut input)
                .map_err(bad_code)?;
            let is_stuck = decoded.pos() == had && input.pos() == 0;
            rest = &rest[input.pos()..];
            output.check()?;
            if more == 0 {
                return Ok(rest);
            }
            if is_stuck {
                return Err(bad("it breaks off"));
            }
        }
    }
}

/// What the decoder allocates for a frame that is not decoded in one step.
fn streaming_bytes(window: u64, content: Option<u64>) -> u64 {
    let output = (window + 2 * BLOCK_BYTES_MAX).min(content.unwrap_or(u64::MAX));
    output + BLOCK_BYTES_MAX + SLACK_BYTES
}

/// Reads a frame's header (RFC 8878, sections 3.1.1.1 and 3.1.2).
fn frame(bytes: &[u8]) -> Result<Frame, Stop> {
    header(bytes).ok_or_else(|| bad("a frame's header is wrong or breaks off"))
}

fn header(bytes: &[u8]) -> Option<Frame> {
    let (magic, rest) = bytes.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*magic) & !0xf == SKIPPABLE {
        let length = u32::from_le_bytes(*rest.first_chunk()?);
        return Some(Frame::Skippable(8 + length as usize));
    }
    if *magic != MAGIC {
        return None;
    }
    let (&descriptor, mut rest) = rest.split_first()?;
    let is_single_segment = descriptor & 0b10_0000 != 0;
    if descriptor & 0b1000 != 0 {
        // Reserved.
        return None;
    }
    let mut window = 0;
    if !is_single_segment {
        let (&byte, after) = rest.split_first()?;
        let base = 1_u64 << (10 + (byte >> 3));
        window = base + base / 8 * u64::from(byte & 0b111);
        rest = after;
    }
    let dictionary_id_bytes = [0, 1, 2, 4][usize::from(descriptor & 0b11)];
    rest = rest.get(dictionary_id_bytes..)?;
    let content = match (descriptor >> 6, is_single_segment) {
        (0, false) => None,
        (0, true) => Some(u64::from(*rest.first()?)),
        (1, _) => Some(u64::from(u16::from_le_bytes(*rest.first_chunk()?)) + 256),
        (2, _) => Some(u64::from(u32::from_le_bytes(*rest.first_chunk()?))),
        (_, _) => Some(u64::from_le_bytes(*rest.first_chunk()?)),
    };
    if is_single_segment {
        window = content?;
    }
    Some(Frame::Data { window, content })
}

fn bad_code(code: usize) -> Stop {
    bad(get_error_name(code))
}

fn bad(what: &str) -> Stop {
    malformed(format!("the body is not valid zstd: {what}"))
}

//! The only place that inflates: bounded by a size and by the memory limiter, step by step.
//!
//! What a decoder needs is kept between requests: setting it up costs more than a small body. Both decoders write into
//! [`Pieces`], whose room is accounted for before it is taken.

mod gzip;
mod zstd;

use std::cell::Cell;

use bytes::Bytes;

use super::body::Compression;
use super::pieces::Pieces;
use super::rejection::Rejection;
use crate::limiter::{MemoryLimiter, OverLimit, Reservation};

/// Members of gzip, or frames of zstd, in one body. Senders write one, parallel compressors one for some hundred
/// kilobytes; tens of thousands of empty ones would cost more than what they hold.
const PARTS_MAX: usize = 4096;

/// Inflates bodies, one at a time.
#[derive(Default)]
pub(super) struct Inflater {
    gzip: Cell<Option<gzip::Decoder>>,
    zstd: Cell<Option<zstd::Decoder>>,
}

/// Why a body was not inflated.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It is refused.
    Rejected(Rejection),
    /// It is longer than what is inflated at a stretch.
    TooLongHere,
}

/// What is known before, and bounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Most bytes of the inflated body.
    pub(super) max_bytes: u64,
    /// Stop when there are more bytes than this.
    pub(super) here_max: u64,
}

/// Inflated bytes while they come.
struct Output<'a> {
    pieces: Pieces,
    bounds: Bounds,
    reservation: &'a mut Reservation,
}

// === impl Inflater ===

impl Inflater {
    /// Inflates a body.
    ///
    /// # Errors
    /// [`Rejection::TooLarge`] over the bound, [`Rejection::Memory`] when there is no room, [`Rejection::Malformed`] when
    /// it is not what it is said to be or breaks off; [`Stop::TooLongHere`].
    pub(super) fn inflate(
        &self,
        compressed: &[u8],
        compression: Compression,
        bounds: Bounds,
        limiter: &MemoryLimiter,
    ) -> Result<(Bytes, Reservation), Stop> {
        let mut reservation = limiter.try_reserve(0)?;
        let mut output = Output {
            pieces: Pieces::default(),
            bounds,
            reservation: &mut reservation,
        };
        match compression {
            Compression::Gzip => {
                let mut decoder = match self.gzip.take() {
                    Some(decoder) => decoder,
                    None => gzip::Decoder::new(limiter),
                };
                let done = decoder.inflate(compressed, &mut output);
                self.gzip.set(Some(decoder));
                done?;
            }
            Compression::Zstd => {
                let mut decoder = match self.zstd.take() {
                    Some(decoder) => decoder,
                    None => zstd::Decoder::new(limiter)?,
                };
                let done = decoder.inflate(compressed, &mut output);
                self.zstd.set(Some(decoder).filter(zstd::Decoder::is_small));
                done?;
            }
        }
        let bytes = output.pieces.into_bytes(&mut reservation)?;
        Ok((bytes, reservation))
    }
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<OverLimit> for Stop {
    fn from(over: OverLimit) -> Self {
        Self::Rejected(over.into())
    }
}

// === impl Output ===

impl Output<'_> {
    /// A piece with room for `needed` bytes and at least one; `expected` bytes are said to come in all.
    fn room(&mut self, needed: usize, expected: usize) -> Result<&mut Vec<u8>, Stop> {
        Ok(self.pieces.room(needed, expected, self.reservation)?)
    }

    /// To be called after each step.
    fn check(&self) -> Result<(), Stop> {
        let come = self.pieces.len() as u64;
        if come > self.bounds.max_bytes {
            return Err(self.too_large());
        }
        if come > self.bounds.here_max {
            return Err(Stop::TooLongHere);
        }
        Ok(())
    }

    fn too_large(&self) -> Stop {
        Stop::Rejected(Rejection::TooLarge {
            max_bytes: self.bounds.max_bytes,
        })
    }
}

fn malformed(what: impl Into<String>) -> Stop {
    Stop::Rejected(Rejection::Malformed(what.into()))
}

#[cfg(test)]
mod tests;

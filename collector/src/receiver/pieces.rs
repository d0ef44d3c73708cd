//! A body while it comes: copied into pieces whose capacity is accounted for.
//!
//! Frames are copied, never kept: a frame of one byte would hold the whole read buffer it lies in. Pieces are added
//! rather than one buffer grown, because growing holds the old and the new buffer at the same time and leaves the old
//! one's size behind.

use bytes::Bytes;

use super::rejection::Rejection;
use crate::limiter::Reservation;

/// The smallest piece: what a sender of single bytes makes us hold.
const PIECE_BYTES_MIN: usize = 512;
/// The largest piece; most requests fit into one.
const PIECE_BYTES_MAX: usize = 256 * 1024;
/// A piece has room for this many times of what has come: an announced length alone takes no room.
const ROOM_FACTOR: usize = 16;

/// Bytes in pieces.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    full: Vec<Vec<u8>>,
    last: Vec<u8>,
    length: usize,
}

// === impl Pieces ===

impl Pieces {
    /// How many bytes have come.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Appends `data`; in all `expected` bytes are announced, or 0.
    pub(super) fn push(
        &mut self,
        mut data: &[u8],
        expected: usize,
        reservation: &mut Reservation,
    ) -> Result<(), Rejection> {
        while !data.is_empty() {
            let room = self.last.capacity() - self.last.len();
            if room == 0 {
                self.add_piece(data.len(), expected, reservation)?;
                continue;
            }
            let (now, rest) = data.split_at(room.min(data.len()));
            self.last.extend_from_slice(now);
            self.length += now.len();
            data = rest;
        }
        Ok(())
    }

    /// The whole, in one piece.
    pub(super) fn into_bytes(mut self, reservation: &mut Reservation) -> Result<Bytes, Rejection> {
        if self.full.is_empty() {
            return Ok(Bytes::from(self.last));
        }
        reservation.grow(self.length as u64)?;
        let mut whole = Vec::with_capacity(self.length);
        self.full.push(self.last);
        // Each piece is given back as soon as it is copied.
        self.full
            .into_iter()
            .for_each(|piece| whole.extend_from_slice(&piece));
        Ok(Bytes::from(whole))
    }

    fn add_piece(
        &mut self,
        coming: usize,
        expected: usize,
        reservation: &mut Reservation,
    ) -> Result<(), Rejection> {
        let come = self.length + coming;
        let announced = expected
            .saturating_sub(self.length)
            .min(come.saturating_mul(ROOM_FACTOR));
        let capacity = announced
            .max(if expected == 0 { come } else { coming })
            .clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX);
        reservation.grow(capacity as u64)?;
        let piece = Vec::with_capacity(capacity);
        let full = std::mem::replace(&mut self.last, piece);
        if !full.is_empty() {
            self.full.push(full);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tracepipe_config::MemoryLimiterSettings;

    use super::*;
    use crate::limiter::MemoryLimiter;

    fn limiter(limit_bytes: u64) -> MemoryLimiter {
        MemoryLimiter::new(&MemoryLimiterSettings {
            check_interval: Duration::from_secs(1),
            limit_bytes,
            spike_bytes: 0,
        })
    }

    #[test]
    fn what_came_in_frames_of_any_size_is_the_same_in_one_piece() {
        let limiter = limiter(u64::MAX);
        let body: Vec<u8> = (0..1_000_000_u32).map(|it| it as u8).collect();
        for frame in [1, 7, 511, 512, 16 * 1024, 999_999, 1_000_000] {
            for expected in [0, body.len()] {
                let mut reservation = limiter.try_reserve(0).unwrap();
                let mut pieces = Pieces::default();
                for data in body.chunks(frame) {
                    pieces.push(data, expected, &mut reservation).unwrap();
                }
                assert_eq!(pieces.len(), body.len());
                assert_eq!(pieces.into_bytes(&mut reservation).unwrap(), body);
            }
        }
        assert_eq!(limiter.accounted(), 0);
    }

    #[test]
    fn an_announcement_takes_no_room() {
        let limiter = limiter(u64::MAX);
        let mut reservation = limiter.try_reserve(0).unwrap();
        let mut pieces = Pieces::default();
        pieces.push(b"x", 64 << 20, &mut reservation).unwrap();
        assert_eq!(limiter.accounted(), PIECE_BYTES_MIN as u64);
    }

    #[test]
    fn a_request_of_usual_size_lies_in_one_piece() {
        let limiter = limiter(u64::MAX);
        let mut reservation = limiter.try_reserve(0).unwrap();
        let mut pieces = Pieces::default();
        let frame = vec![1; 16 * 1024];
        for _ in 0..8 {
            pieces.push(&frame, 8 * frame.len(), &mut reservation).unwrap();
        }
        assert_eq!(limiter.accounted(), 8 * frame.len() as u64);
    }

    #[test]
    fn there_is_no_more_room_than_the_limit_gives() {
        let limiter = limiter(1 << 20);
        let mut reservation = limiter.try_reserve(0).unwrap();
        let mut pieces = Pieces::default();
        let frame = vec![1; 16 * 1024];
        let refused = (0..100).find_map(|_| pieces.push(&frame, 0, &mut reservation).err());
        assert_eq!(refused, Some(Rejection::Memory));
        assert!(pieces.len() <= 1 << 20);
    }
}

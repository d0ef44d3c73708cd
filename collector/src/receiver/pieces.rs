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
/// The largest piece; most requests fit into one, which is then the whole without another copy.
const PIECE_BYTES_MAX: usize = 1024 * 1024;
/// A beginning of up to this many bytes moves into the piece after it: clients send a message's prefix alone.
const MOVED_BYTES_MAX: usize = 4096;
/// A first piece of inflated bytes is as large as what is said about them, up to this.
const FIRST_PIECE_BYTES_MAX: usize = 1024 * 1024;
/// A piece has room for this many times of what has come: an announced length alone takes no room.
const ROOM_FACTOR: usize = 64;

/// Bytes in pieces.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    full: Vec<Vec<u8>>,
    /// Bytes in `full`.
    full_length: usize,
    /// Capacities of all pieces.
    reserved: u64,
    last: Vec<u8>,
}

// === impl Pieces ===

impl Pieces {
    /// How many bytes have come.
    pub(super) fn len(&self) -> usize {
        self.full_length + self.last.len()
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
            data = rest;
        }
        Ok(())
    }

    /// A piece with room for `needed` bytes and at least one: what is written into its spare capacity follows what has
    /// come. The first has room for `expected` bytes, within bounds.
    pub(super) fn room(
        &mut self,
        needed: usize,
        expected: usize,
        reservation: &mut Reservation,
    ) -> Result<&mut Vec<u8>, Rejection> {
        if self.last.capacity() - self.last.len() < needed.max(1) {
            let capacity = match self.len() {
                0 => expected.clamp(PIECE_BYTES_MIN, FIRST_PIECE_BYTES_MAX),
                come => come.clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX),
            };
            self.add(capacity.max(needed), reservation)?;
        }
        Ok(&mut self.last)
    }

    /// The whole, in one piece.
    pub(super) fn into_bytes(mut self, reservation: &mut Reservation) -> Result<Bytes, Rejection> {
        if self.full.is_empty() {
            return Ok(Bytes::from(self.last));
        }
        let length = self.len();
        reservation.grow(length as u64)?;
        let mut whole = Vec::with_capacity(length);
        self.full.push(self.last);
        // Each piece is given back as soon as it is copied.
        self.full
            .into_iter()
            .for_each(|piece| whole.extend_from_slice(&piece));
        reservation.shrink(self.reserved);
        Ok(Bytes::from(whole))
    }

    fn add_piece(
        &mut self,
        coming: usize,
        expected: usize,
        reservation: &mut Reservation,
    ) -> Result<(), Rejection> {
        let had = self.len();
        let come = had + coming;
        let moved = if self.full.is_empty() && had <= MOVED_BYTES_MAX {
            std::mem::take(&mut self.last)
        } else {
            Vec::new()
        };
        let announced = expected.saturating_sub(had).min(come.saturating_mul(ROOM_FACTOR));
        let capacity = announced
            .max(if expected == 0 { come } else { coming })
            .clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX);
        self.add(moved.len() + capacity, reservation)?;
        self.last.extend_from_slice(&moved);
        let given_back = moved.capacity() as u64;
        self.reserved -= given_back;
        reservation.shrink(given_back);
        Ok(())
    }

    fn add(&mut self, capacity: usize, reservation: &mut Reservation) -> Result<(), Rejection> {
        reservation.grow(capacity as u64)?;
        self.reserved += capacity as u64;
        let piece = Vec::with_capacity(capacity);
        let full = std::mem::replace(&mut self.last, piece);
        if !full.is_empty() {
            self.full_length += full.len();
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
                // The pieces are gone.
                assert_eq!(limiter.accounted(), body.len() as u64);
            }
        }
        assert_eq!(limiter.accounted(), 0);
    }

    #[test]
    fn what_is_written_into_the_room_follows_what_has_come() {
        let limiter = limiter(u64::MAX);
        let mut reservation = limiter.try_reserve(0).unwrap();
        let body: Vec<u8> = (0..1_000_000_u32).map(|it| it as u8).collect();
        for expected in [0, 1_000, body.len(), usize::MAX] {
            let mut pieces = Pieces::default();
            let mut rest = &body[..];
            while !rest.is_empty() {
                let piece = pieces.room(0, expected, &mut reservation).unwrap();
                let (now, later) = rest.split_at((piece.capacity() - piece.len()).min(rest.len()));
                piece.extend_from_slice(now);
                rest = later;
            }
            assert_eq!(pieces.into_bytes(&mut reservation).unwrap(), body);
        }
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
    fn a_prefix_that_comes_alone_costs_no_second_copy() {
        let limiter = limiter(u64::MAX);
        let mut reservation = limiter.try_reserve(0).unwrap();
        let mut pieces = Pieces::default();
        let body: Vec<u8> = (0..100_005_u32).map(|it| it as u8).collect();
        let (prefix, rest) = body.split_at(5);
        pieces.push(prefix, body.len(), &mut reservation).unwrap();
        for data in rest.chunks(16 * 1024) {
            pieces.push(data, body.len(), &mut reservation).unwrap();
        }
        assert_eq!(limiter.accounted(), body.len() as u64);
        let lies_at = pieces.last.as_ptr();
        let bytes = pieces.into_bytes(&mut reservation).unwrap();
        assert_eq!((bytes.as_ptr(), &bytes[..]), (lies_at, &body[..]));
    }

    #[test]
    fn there_is_no_more_room_than_the_limit_gives() {
        let limiter = limiter(1 << 20);
        let mut reservation = limiter.try_reserve(0).unwrap();
        let mut pieces = Pieces::default();
        let frame = vec![1; 16 * 1024];
        let refused = (0..100).find_map(|_| pieces.push(&frame, 0, &mut reservation).err());
        assert_eq!(refused, Some(Rejection::NeverFits));
        assert!(pieces.len() <= 1 << 20);
    }
}

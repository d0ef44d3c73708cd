//! The bodies of requests, encoded and compressed in memory that serves one after the other.

use bytes::Bytes;
use tracepipe_metrics::{TranslatedSeries, write_request};

use crate::limiter::{Held, MemoryLimiter};

/// Bytes of either buffer that are kept for the next request; 2,000 samples of usual series need one million. Memory that
/// is asked for anew costs more than what is written into it.
const KEPT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A request as it goes.
pub(super) struct Body {
    /// Compressed.
    pub(super) bytes: Bytes,
    /// Bytes before that.
    pub(super) encoded: u64,
    _held: Held,
}

/// Makes bodies.
pub(super) struct BodyMaker {
    limiter: MemoryLimiter,
    snappy: snap::raw::Encoder,
    plain: Vec<u8>,
    compressed: Vec<u8>,
}

// === impl BodyMaker ===

impl BodyMaker {
    /// What it makes is accounted for by `limiter` until it is dropped.
    pub(super) fn new(limiter: MemoryLimiter) -> Self {
        Self {
            limiter,
            snappy: snap::raw::Encoder::new(),
            plain: Vec::new(),
            compressed: Vec::new(),
        }
    }

    /// The request of samples that [`write_request::sort`] has sorted, which has `room` bytes at most. None: snappy has no
    /// length for so much.
    pub(super) fn samples(&mut self, sorted: &[TranslatedSeries], room: u64) -> Option<Body> {
        let held = self.limiter.hold(room);
        let mut plain = std::mem::take(&mut self.plain);
        plain.clear();
        plain.reserve_exact(usize::try_from(room).ok()?);
        write_request::encode(sorted, &mut plain);
        let body = self.compress(&plain, held);
        if plain.capacity() <= KEPT_BYTES_MAX {
            self.plain = plain;
        }
        body
    }

    /// The body of an encoded request. None: as above.
    pub(super) fn encoded(&mut self, request: &[u8]) -> Option<Body> {
        let held = self.limiter.hold(0);
        self.compress(request, held)
    }

    fn compress(&mut self, plain: &[u8], mut held: Held) -> Option<Body> {
        let most = snap::raw::max_compress_len(plain.len());
        held.set((plain.len() + most) as u64);
        if self.compressed.len() < most {
            // Nothing of what is in there is needed: no copy.
            self.compressed.clear();
            self.compressed.resize(most, 0);
        }
        let length = self.snappy.compress(plain, &mut self.compressed).ok()?;
        // It may be sent again and again.
        let bytes = Bytes::copy_from_slice(&self.compressed[..length]);
        if self.compressed.len() > KEPT_BYTES_MAX {
            self.compressed = Vec::new();
        }
        held.set(bytes.len() as u64);
        Some(Body {
            bytes,
            encoded: plain.len() as u64,
            _held: held,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::metrics::testing::limiter;

    /// Samples whose labels have so many bytes each, and the bytes of their request.
    fn sorted(count: usize, label_bytes: usize) -> (Vec<TranslatedSeries>, u64) {
        let sample = |number: usize| {
            let labels: Vec<u8> = (0..label_bytes).map(|at| (number * 31 + at * 7) as u8).collect();
            TranslatedSeries::sample(number as u64, Rc::from(labels), 1.5, 7)
        };
        let samples: Vec<_> = (0..count).map(sample).collect();
        let room = samples.iter().map(|one| one.encoded_len() as u64).sum();
        (samples, room)
    }

    fn plain(body: &Body) -> Vec<u8> {
        snap::raw::Decoder::new().decompress_vec(&body.bytes).unwrap()
    }

    #[test]
    fn a_body_has_nothing_of_the_one_before() {
        let mut maker = BodyMaker::new(limiter(1 << 30));
        for (count, label_bytes) in [(200, 300), (3, 50), (1, 5), (20_000, 300), (7, 90)] {
            let (samples, room) = sorted(count, label_bytes);
            let body = maker.samples(&samples, room).unwrap();
            let mut wanted = Vec::new();
            write_request::encode(&samples, &mut wanted);
            assert_eq!(body.encoded, wanted.len() as u64);
            assert!(plain(&body) == wanted, "{count} samples");
        }
        let body = maker.encoded(b"metadata").unwrap();
        assert_eq!(plain(&body), b"metadata");
    }

    #[test]
    fn what_is_kept_has_a_bound_and_a_body_is_accounted_for_as_long_as_it_is_there() {
        let limiter = limiter(1 << 30);
        let mut maker = BodyMaker::new(limiter.clone());
        let (large, room) = sorted(20_000, 300);
        let body = maker.samples(&large, room).unwrap();
        assert_eq!(limiter.accounted(), body.bytes.len() as u64);
        assert_eq!((maker.plain.capacity(), maker.compressed.capacity()), (0, 0));
        drop(body);
        assert_eq!(limiter.accounted(), 0);
        let (usual, room) = sorted(2_000, 300);
        drop(maker.samples(&usual, room));
        let kept = maker.plain.capacity() + maker.compressed.capacity();
        assert!(kept > 1_000_000 && kept <= 2 * KEPT_BYTES_MAX, "{kept}");
    }
}

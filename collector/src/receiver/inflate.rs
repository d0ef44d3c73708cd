//! The only place that inflates: bounded by a size and by the memory limiter, step by step.

#![expect(
    clippy::disallowed_types,
    reason = "this is the bounded use that the ban points to"
)]

use std::io::Read;

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;

use super::pieces::Pieces;
use super::rejection::Rejection;
use crate::limiter::Reservation;

/// Bytes inflated between two looks at the bounds.
const STEP_BYTES: usize = 32 * 1024;

/// Inflates a gzip body of at most `max_bytes` inflated bytes.
///
/// # Errors
/// [`Rejection::TooLarge`] one byte over the bound, [`Rejection::Memory`] when there is no room,
/// [`Rejection::Malformed`] when it is not gzip or breaks off.
pub(crate) fn gunzip(
    compressed: &[u8],
    max_bytes: u64,
    reservation: &mut Reservation,
) -> Result<Bytes, Rejection> {
    let mut decoder = MultiGzDecoder::new(compressed);
    let mut inflated = Pieces::default();
    let mut step = [0; STEP_BYTES];
    loop {
        let read = decoder
            .read(&mut step)
            .map_err(|error| Rejection::Malformed(format!("the body is not valid gzip: {error}")))?;
        if read == 0 {
            return inflated.into_bytes(reservation);
        }
        if (inflated.len() + read) as u64 > max_bytes {
            return Err(Rejection::TooLarge { max_bytes });
        }
        inflated.push(&step[..read], 0, reservation)?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tracepipe_config::MemoryLimiterSettings;

    use super::*;
    use crate::limiter::MemoryLimiter;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn limiter(limit_bytes: u64) -> MemoryLimiter {
        MemoryLimiter::new(&MemoryLimiterSettings {
            check_interval: Duration::from_secs(1),
            limit_bytes,
            spike_bytes: 0,
        })
    }

    #[test]
    fn what_was_compressed_comes_back_and_is_accounted() {
        let limiter = limiter(1 << 20);
        let mut reservation = limiter.try_reserve(0).unwrap();
        let text = b"spans ".repeat(10_000);
        let inflated = gunzip(&gzip(&text), 1 << 20, &mut reservation).unwrap();
        assert_eq!(inflated, text);
        assert!(limiter.accounted() >= text.len() as u64);
    }

    #[test]
    fn a_bomb_stops_at_the_bound() {
        let limiter = limiter(1 << 30);
        let bomb = gzip(&vec![0; 10 << 20]);
        let mut reservation = limiter.try_reserve(0).unwrap();
        assert_eq!(
            gunzip(&bomb, 1 << 20, &mut reservation),
            Err(Rejection::TooLarge { max_bytes: 1 << 20 })
        );
        assert!(limiter.accounted() < 2 << 20);
    }

    #[test]
    fn a_bomb_stops_at_the_memory_limit() {
        let limiter = limiter(1 << 20);
        let bomb = gzip(&vec![0; 10 << 20]);
        let mut reservation = limiter.try_reserve(0).unwrap();
        assert_eq!(gunzip(&bomb, 1 << 30, &mut reservation), Err(Rejection::Memory));
    }

    #[test]
    fn a_truncated_body_is_malformed() {
        let limiter = limiter(1 << 20);
        let compressed = gzip(b"spans");
        let mut reservation = limiter.try_reserve(0).unwrap();
        let cut = &compressed[..compressed.len() - 3];
        assert!(matches!(
            gunzip(cut, 1 << 20, &mut reservation),
            Err(Rejection::Malformed(_))
        ));
    }
}

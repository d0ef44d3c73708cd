//! Reading a request's body: under the limiter, under a size bound, under a time bound.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::inflate;
use super::rejection::Rejection;
use crate::limiter::{MemoryLimiter, Reservation};

/// A body must be whole after this long. OTLP clients give up after 10 s by default; a sender of a byte a second
/// would otherwise hold its bytes for ever.
pub(crate) const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// The first allocation for a body whose length is announced: more is taken only when bytes really come, so that
/// an announcement alone costs nothing.
const FIRST_ALLOCATION_MAX: usize = 256 * 1024;

/// How a body was compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Not at all.
    Identity,
    /// gzip (RFC 1952), one member or several.
    Gzip,
}

/// Bytes of one request together with their place in the memory account.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// The OTLP message.
    pub(crate) bytes: Bytes,
    /// Gives the bytes back when the request is done with.
    pub(crate) reservation: Reservation,
}

/// What reads one body.
pub(crate) struct BodyReader<'a> {
    /// Asked before anything is buffered.
    pub(crate) limiter: &'a MemoryLimiter,
    /// Most bytes, on the wire and inflated.
    pub(crate) max_bytes: u64,
    /// How many bytes came from the wire, also when reading failed.
    pub(crate) wire_bytes: u64,
}

// === impl BodyReader ===

impl BodyReader<'_> {
    /// Reads a whole body as it is on the wire.
    ///
    /// # Errors
    /// [`Rejection`] when there is no room, it is too large, too slow or breaks off.
    pub(crate) async fn read(
        &mut self,
        body: Incoming,
        announced: Option<u64>,
    ) -> Result<Admitted, Rejection> {
        if announced.is_some_and(|length| length > self.max_bytes) {
            return Err(Rejection::TooLarge {
                max_bytes: self.max_bytes,
            });
        }
        match tokio::time::timeout(BODY_TIME_MAX, self.read_frames(body, announced)).await {
            Ok(read) => read,
            Err(_elapsed) => Err(Rejection::TooSlow),
        }
    }

    async fn read_frames(
        &mut self,
        mut body: Incoming,
        announced: Option<u64>,
    ) -> Result<Admitted, Rejection> {
        let mut reservation = self.limiter.try_reserve(0)?;
        let mut first: Option<Bytes> = None;
        let mut whole: Vec<u8> = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_broken| Rejection::BrokenOff)?;
            let Ok(data) = frame.into_data() else { continue };
            self.wire_bytes += data.len() as u64;
            if self.wire_bytes > self.max_bytes {
                return Err(Rejection::TooLarge {
                    max_bytes: self.max_bytes,
                });
            }
            match first.take() {
                None if whole.is_empty() => {
                    reservation.grow(data.len() as u64)?;
                    first = Some(data);
                }
                None => append(&mut whole, &data, &mut reservation)?,
                Some(before) => {
                    let expected = announced.unwrap_or(0) as usize;
                    let capacity = expected.clamp(
                        before.len() + data.len(),
                        FIRST_ALLOCATION_MAX.max(before.len() + data.len()),
                    );
                    reservation.grow((capacity - before.len()) as u64)?;
                    whole.reserve_exact(capacity);
                    whole.extend_from_slice(&before);
                    whole.extend_from_slice(&data);
                }
            }
        }
        let bytes = first.unwrap_or_else(|| Bytes::from(whole));
        Ok(Admitted { bytes, reservation })
    }

    /// Undoes the compression of what [`Self::read`] gave.
    ///
    /// # Errors
    /// [`Rejection`] when the inflated message has no room, is too large or is not valid.
    pub(crate) fn decompress(&self, admitted: Admitted, encoding: Encoding) -> Result<Admitted, Rejection> {
        match encoding {
            Encoding::Identity => Ok(admitted),
            Encoding::Gzip => {
                let mut reservation = self.limiter.try_reserve(0)?;
                let bytes = inflate::gunzip(&admitted.bytes, self.max_bytes, &mut reservation)?;
                Ok(Admitted {
                    bytes: bytes.into(),
                    reservation,
                })
            }
        }
    }
}

/// Appends to a buffer whose capacity is accounted for.
pub(super) fn append(
    buffer: &mut Vec<u8>,
    data: &[u8],
    reservation: &mut Reservation,
) -> Result<(), Rejection> {
    let needed = buffer.len() + data.len();
    if needed > buffer.capacity() {
        // Growing by half bounds both the number of copies and the room that is never used.
        let capacity = needed.max(buffer.capacity() + buffer.capacity() / 2);
        reservation.grow((capacity - buffer.capacity()) as u64)?;
        buffer.reserve_exact(capacity - buffer.len());
    }
    buffer.extend_from_slice(data);
    Ok(())
}

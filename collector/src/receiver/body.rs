//! Reading a request's body: under the limiter, under a size bound, under a time bound.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::pieces::Pieces;
use super::rejection::Rejection;
use super::shared::Reading;
use crate::grpc_prefix::{self, PREFIX_BYTES};
use crate::limiter::{MemoryLimiter, Reservation};

/// A body must be whole after this long. OTLP clients give up after 10 s by default; a sender of a byte a second
/// would otherwise hold its bytes for ever.
pub(crate) const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// What a request holds beside its body: its task, its headers, its stream's state. An estimate on the safe side, so
/// that ten thousand requests without a body are not free.
const REQUEST_BYTES: u64 = 8 * 1024;

/// How a message lies in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// The body is the message.
    Whole,
    /// The message follows a prefix that says how long it is.
    Grpc,
}

/// How a body was compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// gzip (RFC 1952).
    Gzip,
    /// zstd (RFC 8878).
    Zstd,
}

/// What a sender may say of the compressions that are taken.
pub(crate) const COMPRESSIONS: &str = "gzip, zstd or none";

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
    /// Most bytes of the message, on the wire and inflated.
    pub(crate) max_bytes: u64,
    /// How the message lies in the body.
    pub(crate) framing: Framing,
    /// Told how many bytes came from the wire, also when reading fails or is given up.
    pub(crate) reading: &'a Reading<'a>,
}

// === impl Compression ===

impl Compression {
    /// The compression that a header names; none: the bytes are as they are.
    ///
    /// # Errors
    /// [`Rejection::Encoding`] when it names another, or several.
    pub(crate) fn of(header: Option<&[u8]>) -> Result<Option<Self>, Rejection> {
        let named = header.unwrap_or_default().trim_ascii();
        // Names of codings do not depend on case (RFC 9110, section 8.4.1).
        if named.is_empty() || named.eq_ignore_ascii_case(b"identity") {
            Ok(None)
        } else if named.eq_ignore_ascii_case(b"gzip") {
            Ok(Some(Self::Gzip))
        } else if named.eq_ignore_ascii_case(b"zstd") {
            Ok(Some(Self::Zstd))
        } else {
            let named = String::from_utf8_lossy(named).chars().take(200).collect();
            Err(Rejection::Encoding(named))
        }
    }
}

// === impl BodyReader ===

impl BodyReader<'_> {
    /// Reads a whole body as it is on the wire, a prefix included.
    ///
    /// # Errors
    /// [`Rejection`] when there is no room, it is too large, too slow or breaks off.
    pub(crate) async fn read(
        &self,
        body: &mut Incoming,
        announced: Option<u64>,
    ) -> Result<Admitted, Rejection> {
        if announced.is_some_and(|length| length > self.wire_bytes_max()) {
            return Err(self.too_large());
        }
        match tokio::time::timeout(BODY_TIME_MAX, self.read_frames(body, announced)).await {
            Ok(read) => read,
            Err(_elapsed) => Err(Rejection::TooSlow),
        }
    }

    async fn read_frames(&self, body: &mut Incoming, announced: Option<u64>) -> Result<Admitted, Rejection> {
        let mut reservation = self.limiter.try_reserve(REQUEST_BYTES)?;
        // What cannot fit is refused before it comes.
        let announced = announced.unwrap_or(0);
        reservation.check(announced)?;
        let mut pieces = Pieces::default();
        let mut prefix = [0; PREFIX_BYTES];
        // The bound of a message fits into memory, so it fits into a usize.
        let mut expected = announced as usize;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_broken| Rejection::BrokenOff)?;
            let Ok(data) = frame.into_data() else { continue };
            self.reading.came(data.len() as u64);
            if self.reading.wire_bytes() > self.wire_bytes_max() {
                return Err(self.too_large());
            }
            if self.framing == Framing::Grpc && pieces.len() < PREFIX_BYTES {
                let had = pieces.len();
                let come = data.len().min(PREFIX_BYTES - had);
                prefix[had..had + come].copy_from_slice(&data[..come]);
                if had + come == PREFIX_BYTES {
                    expected = self.announced_by(prefix)?;
                    reservation.check(expected as u64)?;
                }
            }
            pieces.push(&data, expected, &mut reservation)?;
        }
        let bytes = pieces.into_bytes(&mut reservation)?;
        Ok(Admitted { bytes, reservation })
    }

    /// The length of the whole body by its prefix; a message that would be too large is refused before it comes.
    fn announced_by(&self, prefix: [u8; PREFIX_BYTES]) -> Result<usize, Rejection> {
        let (_flag, length) = grpc_prefix::read(prefix);
        if u64::from(length) > self.max_bytes {
            return Err(self.too_large());
        }
        Ok(PREFIX_BYTES + length as usize)
    }

    fn wire_bytes_max(&self) -> u64 {
        match self.framing {
            Framing::Whole => self.max_bytes,
            Framing::Grpc => self.max_bytes + PREFIX_BYTES as u64,
        }
    }

    fn too_large(&self) -> Rejection {
        Rejection::TooLarge {
            max_bytes: self.max_bytes,
        }
    }
}

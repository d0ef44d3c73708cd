//! gRPC's framing and its status codes, as far as one unary call needs them.
//!
//! Source: the gRPC project's "gRPC over HTTP2" and "Status codes and their use in gRPC".

use std::io::{Read, Write};

use bytes::{BufMut, Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;

/// The status codes that the sink answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub(crate) enum Code {
    /// It went well.
    Ok = 0,
    /// The request is wrong for ever.
    InvalidArgument = 3,
    /// There is no such method.
    Unimplemented = 12,
    /// Come back later.
    Unavailable = 14,
}

/// A length-prefixed message.
pub(crate) struct Frame;

impl Frame {
    /// As it is.
    pub(crate) fn plain(message: &[u8]) -> Bytes {
        Self::with_flag(0, message)
    }

    /// Compressed with gzip; the caller sends `grpc-encoding: gzip`.
    pub(crate) fn gzip(message: &[u8]) -> std::io::Result<Bytes> {
        Ok(Self::with_flag(1, &gzip(message)?))
    }

    fn with_flag(flag: u8, message: &[u8]) -> Bytes {
        let mut frame = BytesMut::with_capacity(message.len() + 5);
        frame.put_u8(flag);
        // A message of 4 GiB cannot be sent; none is made here.
        frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        frame.put_slice(message);
        frame.freeze()
    }
}

/// gzip at the fastest level.
pub(crate) fn gzip(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain)?;
    encoder.finish()
}

/// Inflates gzip; `None` when it is none, or larger than `bytes_max`.
#[expect(
    clippy::disallowed_types,
    reason = "read through `take`, which stops at the named size"
)]
pub(crate) fn gunzip(compressed: &[u8], bytes_max: usize) -> Option<Bytes> {
    let mut plain = Vec::new();
    let limit = bytes_max as u64 + 1;
    flate2::read::GzDecoder::new(compressed)
        .take(limit)
        .read_to_end(&mut plain)
        .ok()?;
    (plain.len() <= bytes_max).then(|| Bytes::from(plain))
}

/// The one message of a unary call's body, inflated; `None` when the body is anything else.
pub(crate) fn message(body: &Bytes, encoding: Option<&str>, bytes_max: usize) -> Option<Bytes> {
    let (prefix, message) = body.split_at_checked(5)?;
    let length = u32::from_be_bytes(prefix.get(1..)?.try_into().ok()?);
    if usize::try_from(length).ok()? != message.len() {
        return None;
    }
    match (prefix.first()?, encoding) {
        (0, _) => Some(body.slice(5..)),
        (1, Some("gzip")) => gunzip(message, bytes_max),
        _ => None,
    }
}

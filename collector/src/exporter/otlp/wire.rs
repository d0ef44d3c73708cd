//! A unary gRPC call by its bytes (gRPC over HTTP/2): the message that goes out, the answer that comes back.

use std::convert::Infallible;
use std::io::Write as _;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tonic::body::Body;
use tonic::{Code, Status};
use tracepipe_config::Compression;

use crate::batcher::Batch;
use crate::grpc_prefix::{self, PREFIX_BYTES};
use crate::limiter::{Held, MemoryLimiter};

/// What a compressor holds while it works on a batch, beside what comes of it, which may have twice the room of the batch
/// while it grows; on the safe side.
const GZIP_BYTES: u64 = 512 * 1024;
const ZSTD_BYTES: u64 = 4 * 1024 * 1024;

/// Most bytes of an answer (OTLP specification, "Maximum Message Size"): it says at most how many spans were rejected.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A batch as it goes to the wire, for all attempts.
pub(super) struct WireMessage {
    /// The prefix, then the batch's own pieces or what they were compressed to.
    frames: Vec<Bytes>,
    /// The place of compressed bytes in the memory account.
    _held: Held,
}

/// Why there is no answer to read.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The call failed, or the backend says so.
    Status(Status),
    /// The backend had the batch and would say the same again.
    TooLarge,
}

// === impl WireMessage ===

impl WireMessage {
    /// Compresses where that is asked for; else nothing is copied.
    ///
    /// # Errors
    /// A compressor that fails; 4 GiB, which no prefix can say.
    pub(super) fn new(
        batch: &impl Batch,
        compression: Compression,
        limiter: &MemoryLimiter,
    ) -> std::io::Result<Self> {
        let mut held = limiter.hold(0);
        let compressed = match compression {
            Compression::None => None,
            Compression::Gzip => {
                held.set(2 * batch.bytes() + GZIP_BYTES);
                let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                batch.pieces().try_for_each(|piece| gzip.write_all(piece))?;
                Some(gzip.finish()?)
            }
            Compression::Zstd => {
                held.set(2 * batch.bytes() + ZSTD_BYTES);
                let mut zstd = zstd::Encoder::new(Vec::new(), zstd::DEFAULT_COMPRESSION_LEVEL)?;
                batch.pieces().try_for_each(|piece| zstd.write_all(piece))?;
                Some(zstd.finish()?)
            }
        };
        let is_compressed = compressed.is_some();
        let pieces = match compressed {
            None => batch.pieces().cloned().collect(),
            Some(mut whole) => {
                // It may be sent again and again.
                whole.shrink_to_fit();
                held.set(whole.capacity() as u64);
                vec![Bytes::from(whole)]
            }
        };
        let length: usize = pieces.iter().map(Bytes::len).sum();
        let length = u32::try_from(length).map_err(std::io::Error::other)?;
        let prefix = grpc_prefix::write(is_compressed, length);
        let frames = std::iter::once(Bytes::copy_from_slice(&prefix));
        Ok(Self {
            frames: frames.chain(pieces).collect(),
            _held: held,
        })
    }

    /// As a request's body.
    pub(super) fn body(&self) -> Body {
        let frames = self.frames.clone().into_iter();
        let frames = frames.map(|frame| Ok::<_, Infallible>(Frame::data(frame)));
        Body::new(StreamBody::new(futures_util::stream::iter(frames)))
    }
}

/// The message of a backend's answer; empty when it says nothing but that all is well.
///
/// # Errors
/// [`NoAnswer`].
pub(super) async fn answer(response: Response<Body>, limiter: &MemoryLimiter) -> Result<Bytes, NoAnswer> {
    let (head, mut body) = response.into_parts();
    // A call that fails at once has its status among the headers ("Trailers-Only").
    let mut status = Status::from_header_map(&head.headers);
    if status.is_none() && head.status != StatusCode::OK {
        return Err(NoAnswer::Status(status_of_http(head.status)));
    }
    let mut framed = Vec::new();
    let mut held = limiter.hold(0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(NoAnswer::Status)?;
        match frame.into_data() {
            Ok(data) if framed.len() + data.len() > PREFIX_BYTES + ANSWER_BYTES_MAX => {
                return Err(NoAnswer::TooLarge);
            }
            Ok(data) => {
                framed.extend_from_slice(&data);
                held.set(framed.capacity() as u64);
            }
            Err(other) => {
                let trailers: Option<HeaderMap> = other.into_trailers().ok();
                status = trailers.as_ref().and_then(Status::from_header_map).or(status);
            }
        }
    }
    let status = status.unwrap_or_else(|| Status::unknown("the answer has no grpc-status"));
    if status.code() != Code::Ok {
        return Err(NoAnswer::Status(status));
    }
    unframe(framed.into()).map_err(NoAnswer::Status)
}

fn unframe(framed: Bytes) -> Result<Bytes, Status> {
    let Some((prefix, message)) = framed.split_first_chunk::<PREFIX_BYTES>() else {
        return match framed.is_empty() {
            true => Ok(framed),
            false => Err(Status::internal("the answer ends in its prefix")),
        };
    };
    let (flag, length) = grpc_prefix::read(*prefix);
    if flag != 0 {
        return Err(Status::internal(
            "the answer is compressed, which was not asked for",
        ));
    }
    if length as usize != message.len() {
        return Err(Status::internal("the answer is not one message"));
    }
    Ok(framed.slice(PREFIX_BYTES..))
}

/// What a proxy's answer means that knows nothing of gRPC ("HTTP to gRPC Status Code Mapping").
fn status_of_http(status: StatusCode) -> Status {
    let code = match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    Status::new(code, format!("the backend answered {status}"))
}

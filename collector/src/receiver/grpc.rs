//! OTLP over gRPC: unary calls of TraceService/Export and MetricsService/Export, spoken directly over hyper's HTTP/2.
//!
//! Why not a generated tonic server: it buffers a message before anybody can ask the memory limiter, copies it once
//! more, and answers an oversize message with OUT_OF_RANGE, which OTLP clients repeat for ever. A unary call is a
//! 5-byte prefix and a message; with it both protocols share one body reader. Codes and status headers are tonic's.

use std::convert::Infallible;
use std::io::Cursor;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prost::Message as _;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tracepipe_otlp::proto;

use super::body::{BodyReader, Compression, Framing};
use super::connections::drive;
use super::message::{Format, Message};
use super::peer::{BUFFER_BYTES_MAX, Peer};
use super::rejection::Rejection;
use super::shared::{Reading, Shared};
use super::unary_body::UnaryBody;
use super::wire::Wire;
use crate::account::Signal;
use crate::grpc_prefix::{self, PREFIX_BYTES};
use crate::ingest::Accepted;

const SERVICES: &str = "/opentelemetry.proto.collector.";
const EXPORT_TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const EXPORT_METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// Requests at a time on one connection; an SDK has one or two.
const STREAMS_MAX: u32 = 128;
/// Bytes a sender may be ahead of us, per request and per connection. They are held in the connection's buffers, which
/// the limiter sees only as resident size, so they are small.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 512 * 1024;
/// Payload of one DATA frame, of which HTTP/2's least is 16 KiB: a client that heeds it sends, and we read, a usual
/// request in two frames instead of seven.
const FRAME_BYTES_MAX: u32 = BUFFER_BYTES_MAX as u32;
const HEADERS_BYTES_MAX: u32 = 16 * 1024;
/// A connection from which nothing came for so long is asked whether it is alive, and closed without an answer.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(20);
/// A call must be over after this long: its body has 10 s, a long request some more to be worked on, and the sender must
/// take the answer. A peer that grants no window would hold its stream for ever.
const STREAM_TIME_MAX: Duration = Duration::from_secs(30);
/// Streams reset by the peer before we looked at them: more ends the connection (CVE-2023-44487).
const PENDING_RESETS_MAX: usize = 20;

/// A client's first bytes: the connection preface and the head of the SETTINGS frame that must follow it
/// (RFC 9113, sections 3.4 and 4.1).
const BEGINNING_BYTES: usize = 24 + 9;

/// The beginning must be there after this long.
const BEGINNING_TIME_MAX: Duration = Duration::from_secs(10);

/// Serves one connection.
pub(super) async fn serve(stream: TcpStream, peer: Rc<Peer>, mut closing: watch::Receiver<bool>) {
    // hyper waits for the beginning without end. It is read here, and given to hyper as if it came from the socket.
    let (mut read, write) = stream.into_split();
    let mut beginning = [0; BEGINNING_BYTES];
    tokio::select! {
        begun = tokio::time::timeout(BEGINNING_TIME_MAX, read.read_exact(&mut beginning)) => match begun {
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return,
        },
        () = peer.told_to_leave() => return,
        _ = closing.wait_for(|closing| *closing) => return,
    }
    let stream = tokio::io::join(Cursor::new(beginning).chain(read), write);
    let stream = Wire::new(stream, Rc::clone(&peer));
    let service = {
        let peer = Rc::clone(&peer);
        service_fn(move |request| answer(request, Rc::clone(&peer)))
    };
    let connection = hyper::server::conn::http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_ANSWER)
        .serve_connection(TokioIo::new(stream), service);
    drive(
        connection,
        |connection| connection.graceful_shutdown(),
        &peer,
        closing,
    )
    .await;
}

/// Runs a connection's streams on the ingest owner's own thread. A stream that has not ended after [`STREAM_TIME_MAX`] is
/// reset: its sender does not take the answer.
#[derive(Clone, Copy)]
struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, stream: F) {
        tokio::task::spawn_local(tokio::time::timeout(STREAM_TIME_MAX, stream));
    }
}

async fn answer(request: Request<Incoming>, peer: Rc<Peer>) -> Result<Response<UnaryBody>, Infallible> {
    let reading = Reading::begin(&peer);
    let read = read(request, &peer, &reading).await;
    Ok(match reading.end(read).await {
        Ok(accepted) => success(&accepted),
        Err(rejection) => failure(&rejection),
    })
}

async fn read(request: Request<Incoming>, peer: &Peer, reading: &Reading<'_>) -> Result<Message, Rejection> {
    let shared = &peer.shared;
    let signal = check_path(request.uri().path(), shared)?;
    reading.carries(signal);
    check_content_type(request.headers())?;
    let named = Compression::of(request.headers().get("grpc-encoding").map(HeaderValue::as_bytes))?;
    let reader = BodyReader {
        limiter: &shared.limiter,
        max_bytes: shared.max_request_bytes,
        framing: Framing::Grpc,
        reading,
    };
    let announced = announced(request.headers());
    // A body that is not read to its end is reset when it is dropped, once the answer has gone out: with NO_ERROR, so
    // that the sender reads the answer (RFC 9113, section 8.1).
    let mut admitted = reader.read(&mut request.into_body(), announced).await?;
    let compression = match (unframe(&mut admitted.bytes, shared.max_request_bytes)?, named) {
        (false, _) => None,
        (true, Some(compression)) => Some(compression),
        (true, None) => {
            return Err(Rejection::Malformed(
                "the message is marked as compressed but grpc-encoding names nothing".into(),
            ));
        }
    };
    Ok(Message {
        admitted,
        compression,
        format: Format::Protobuf,
        signal,
    })
}

fn check_path(path: &str, shared: &Shared) -> Result<Signal, Rejection> {
    let takes_metrics = shared.metrics.is_some();
    match path {
        EXPORT_TRACES if shared.takes_traces => return Ok(Signal::Traces),
        EXPORT_METRICS if takes_metrics => return Ok(Signal::Metrics),
        _ => {}
    }
    Err(match path.strip_prefix(SERVICES) {
        Some(service) if service.starts_with("trace.") && !shared.takes_traces => {
            Rejection::NoPipeline { signal: "traces" }
        }
        Some(service) if service.starts_with("metrics.") && !takes_metrics => {
            Rejection::NoPipeline { signal: "metrics" }
        }
        Some(service) if service.starts_with("logs.") => Rejection::NoPipeline { signal: "logs" },
        Some(_) | None => Rejection::NotFound(path.chars().take(200).collect()),
    })
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Rejection> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    let subtype = given.strip_prefix(b"application/grpc");
    if subtype.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+proto") || rest.starts_with(b";")) {
        return Ok(());
    }
    Err(Rejection::ContentType(
        String::from_utf8_lossy(given).chars().take(200).collect(),
    ))
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Takes the prefix off; says whether the message is compressed.
fn unframe(bytes: &mut Bytes, max_bytes: u64) -> Result<bool, Rejection> {
    let Some(prefix) = bytes.first_chunk::<PREFIX_BYTES>() else {
        return Err(Rejection::Malformed("the call has no message".into()));
    };
    let (flag, length) = grpc_prefix::read(*prefix);
    let length = u64::from(length);
    if length > max_bytes {
        return Err(Rejection::TooLarge { max_bytes });
    }
    let message = bytes.slice(PREFIX_BYTES..);
    if message.len() as u64 != length {
        return Err(Rejection::Malformed(format!(
            "the message should have {length} bytes but {} came; a unary call has exactly one message",
            message.len()
        )));
    }
    *bytes = message;
    match flag {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Rejection::Malformed(format!(
            "{other} is not a gRPC compression flag"
        ))),
    }
}

fn success(accepted: &Accepted) -> Response<UnaryBody> {
    let message = accepted.response();
    let length = message.encoded_len();
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + length);
    framed.extend_from_slice(&grpc_prefix::write(
        false,
        u32::try_from(length).unwrap_or(u32::MAX),
    ));
    framed.extend_from_slice(&message.encode_to_vec());
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let mut response = Response::new(UnaryBody::with_trailers(framed.freeze(), trailers));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// A trailers-only answer with the `google.rpc.Status` in `grpc-status-details-bin`.
fn failure(rejection: &Rejection) -> Response<UnaryBody> {
    let details = proto::Status::encode_to_vec(&rejection.status());
    let status =
        tonic::Status::with_details(rejection.grpc_code(), rejection.message(), Bytes::from(details));
    let mut response = status.into_http::<UnaryBody>();
    if matches!(rejection, Rejection::Encoding(_)) {
        response.headers_mut().insert(
            "grpc-accept-encoding",
            HeaderValue::from_static("identity,gzip,zstd"),
        );
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_longer_than_the_bound_is_too_large_before_it_has_come() {
        let mut claim = Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(
            unframe(&mut claim, 1_000),
            Err(Rejection::TooLarge { max_bytes: 1_000 })
        );
    }

    #[test]
    fn a_call_has_exactly_one_message() {
        for bad in [
            &b""[..],
            b"\0\0\0",
            b"\0\0\0\0\x02a",
            b"\0\0\0\0\x01ab",
            b"\x02\0\0\0\0",
        ] {
            let mut bytes = Bytes::copy_from_slice(bad);
            assert!(
                matches!(unframe(&mut bytes, 1_000), Err(Rejection::Malformed(_))),
                "{bad:?}"
            );
        }
        let mut good = Bytes::from_static(b"\x01\0\0\0\x01a");
        assert_eq!(unframe(&mut good, 1_000), Ok(true));
        assert_eq!(&good[..], b"a");
    }

    #[test]
    fn a_refusal_says_when_to_come_back_and_an_oversize_message_does_not() {
        assert_eq!(Rejection::Memory.status().details.len(), 1);
        assert!(Rejection::TooLarge { max_bytes: 1 }.status().details.is_empty());
        let response = failure(&Rejection::Memory);
        assert_eq!(response.headers()["grpc-status"], "14");
        assert!(response.headers().contains_key("grpc-status-details-bin"));
    }
}

//! OTLP over HTTP/1.1: `POST /v1/traces` and `POST /v1/metrics` with protobuf or JSON.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prost::Message as _;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::body::{BODY_TIME_MAX, BodyReader, Compression, Framing};
use super::connections::drive;
use super::message::{Format, Message};
use super::peer::{BUFFER_BYTES_MAX, Peer};
use super::rejection::Rejection;
use super::shared::{Reading, Shared};
use super::unary_body::UnaryBody;
use super::wire::Wire;
use crate::account::Signal;
use crate::ingest::Accepted;

/// A request's head must be whole after this long.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

impl Format {
    /// An answer has the content type of its request.
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        })
    }
}

/// Serves one connection.
pub(super) async fn serve(stream: TcpStream, peer: Rc<Peer>, closing: watch::Receiver<bool>) {
    let service = {
        let peer = Rc::clone(&peer);
        service_fn(move |request| answer(request, Rc::clone(&peer)))
    };
    let stream = Wire::new(stream, Rc::clone(&peer));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(BUFFER_BYTES_MAX as usize)
        .serve_connection(TokioIo::new(stream), service);
    drive(
        connection,
        |connection| connection.graceful_shutdown(),
        &peer,
        closing,
    )
    .await;
}

async fn answer(request: Request<Incoming>, peer: Rc<Peer>) -> Result<Response<UnaryBody>, Infallible> {
    let format = format(request.headers());
    let reading = Reading::begin(&peer);
    let (head, mut body) = request.into_parts();
    let read = read(&head, &mut body, &peer.shared, &reading).await;
    if let Err(rejection) = &read {
        // Who asks first has not begun to send.
        let comes = reading.wire_bytes() > 0 || !head.headers.contains_key(header::EXPECT);
        if comes {
            drain(body, rejection, peer.shared.max_request_bytes);
        }
    }
    // A request of no known type is answered in the type that a person can read.
    let format = format.unwrap_or(Format::Json);
    Ok(match reading.end(read).await {
        Ok(accepted) => success(&accepted, format),
        Err(rejection) => failure(&rejection, format),
    })
}

async fn read(
    head: &Parts,
    body: &mut Incoming,
    shared: &Shared,
    reading: &Reading<'_>,
) -> Result<Message, Rejection> {
    let signal = check_path(head.uri.path(), shared)?;
    reading.carries(signal);
    if head.method != Method::POST {
        return Err(Rejection::Method);
    }
    let Some(format) = format(&head.headers) else {
        let given = head
            .headers
            .get(header::CONTENT_TYPE)
            .map(HeaderValue::as_bytes)
            .unwrap_or_default();
        return Err(Rejection::ContentType(
            String::from_utf8_lossy(given).chars().take(200).collect(),
        ));
    };
    let compression = Compression::of(
        head.headers
            .get(header::CONTENT_ENCODING)
            .map(HeaderValue::as_bytes),
    )?;
    let announced = head
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let reader = BodyReader {
        limiter: &shared.limiter,
        max_bytes: shared.max_request_bytes,
        framing: Framing::Whole,
        reading,
    };
    Ok(Message {
        admitted: reader.read(body, announced).await?,
        compression,
        format,
        signal,
    })
}

/// Lets the rest of a refused body come, and forgets it, while the answer goes out: a connection that is closed with
/// unread bytes is reset, and its sender may not get to see why. No longer and no more than a body that is taken.
fn drain(mut body: Incoming, rejection: &Rejection, bytes_max: u64) {
    if body.is_end_stream() || matches!(rejection, Rejection::TooSlow | Rejection::BrokenOff) {
        return;
    }
    let draining = async move {
        let mut left = bytes_max;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len) as u64;
            let Some(rest) = left.checked_sub(length) else {
                break;
            };
            left = rest;
        }
    };
    tokio::task::spawn_local(tokio::time::timeout(BODY_TIME_MAX, draining));
}

fn check_path(path: &str, shared: &Shared) -> Result<Signal, Rejection> {
    match path {
        path if path == shared.traces_path && shared.takes_traces => Ok(Signal::Traces),
        path if path == shared.traces_path => Err(Rejection::NoPipeline { signal: "traces" }),
        "/v1/traces" if !shared.takes_traces => Err(Rejection::NoPipeline { signal: "traces" }),
        path if path == shared.metrics_path && shared.metrics.is_some() => Ok(Signal::Metrics),
        path if path == shared.metrics_path => Err(Rejection::NoPipeline { signal: "metrics" }),
        "/v1/metrics" if shared.metrics.is_none() => Err(Rejection::NoPipeline { signal: "metrics" }),
        "/v1/logs" => Err(Rejection::NoPipeline { signal: "logs" }),
        other => Err(Rejection::NotFound(other.chars().take(200).collect())),
    }
}

fn format(headers: &HeaderMap) -> Option<Format> {
    let given = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/x-protobuf") {
        Some(Format::Protobuf)
    } else if essence.eq_ignore_ascii_case("application/json") {
        Some(Format::Json)
    } else {
        None
    }
}

fn success(accepted: &Accepted, format: Format) -> Response<UnaryBody> {
    let body = match format {
        Format::Protobuf => accepted.response().encode_to_vec(),
        // Proto3 JSON: 64-bit integers are strings, and what is not set is left out.
        Format::Json => match accepted.response().partial_success {
            None => b"{}".to_vec(),
            Some(partial) => json!({
                "partialSuccess": {
                    "rejectedSpans": partial.rejected_spans.to_string(),
                    "errorMessage": partial.error_message,
                }
            })
            .to_string()
            .into_bytes(),
        },
    };
    respond(http::StatusCode::OK, body, format)
}

fn failure(rejection: &Rejection, format: Format) -> Response<UnaryBody> {
    let status = rejection.status();
    let body = match format {
        Format::Protobuf => status.encode_to_vec(),
        Format::Json => json!({ "code": status.code, "message": status.message })
            .to_string()
            .into_bytes(),
    };
    let mut response = respond(rejection.http_status(), body, format);
    let headers = response.headers_mut();
    if let Some(after) = rejection.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    match rejection {
        Rejection::Method => {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        // The rest of such a body would be taken for the next request, or waited for.
        Rejection::TooSlow | Rejection::NeverFits | Rejection::TooLarge { .. } | Rejection::BrokenOff => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        // What would be taken (RFC 9110, section 15.5.16).
        Rejection::Encoding(_) => {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"));
        }
        Rejection::Memory
        | Rejection::NumTraces
        | Rejection::MetricsBusy
        | Rejection::Window { .. }
        | Rejection::Malformed(_)
        | Rejection::ContentType(_)
        | Rejection::NoPipeline { .. }
        | Rejection::NotFound(_) => {}
    }
    response
}

fn respond(status: http::StatusCode, body: Vec<u8>, format: Format) -> Response<UnaryBody> {
    let mut response = Response::new(UnaryBody::of(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, format.content_type());
    response
}

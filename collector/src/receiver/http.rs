//! OTLP over HTTP/1.1: `POST /v1/traces` with protobuf or JSON.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prost::Message;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tracepipe_otlp::json::traces_json_to_protobuf;

use super::body::{Admitted, BodyReader, Encoding, Framing};
use super::unary_body::UnaryBody;
use super::{Reading, Rejection, Shared, drive};
use crate::ingest::Accepted;

/// A request's head must be whole after this long.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

/// Bytes buffered for a connection's next head or piece of body.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// The content type of a request, which is also that of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Protobuf,
    Json,
}

impl Format {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        })
    }
}

/// Serves one connection.
pub(super) async fn serve(stream: TcpStream, shared: Rc<Shared>, closing: watch::Receiver<bool>) {
    let service = service_fn(move |request| answer(request, Rc::clone(&shared)));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    drive(connection, |connection| connection.graceful_shutdown(), closing).await;
}

async fn answer(request: Request<Incoming>, shared: Rc<Shared>) -> Result<Response<UnaryBody>, Infallible> {
    let format = format(request.headers());
    let reading = Reading::begin(&shared);
    let read = read(request, format, &shared, &reading.wire_bytes).await;
    // A request of no known type is answered in the type that a person can read.
    let format = format.unwrap_or(Format::Json);
    Ok(match reading.end(read) {
        Ok(accepted) => success(&accepted, format),
        Err(rejection) => failure(&rejection, format),
    })
}

async fn read(
    request: Request<Incoming>,
    format: Option<Format>,
    shared: &Shared,
    wire_bytes: &Cell<u64>,
) -> Result<Admitted, Rejection> {
    check_path(request.uri().path(), shared)?;
    if request.method() != Method::POST {
        return Err(Rejection::Method);
    }
    let Some(format) = format else {
        let given = request
            .headers()
            .get(header::CONTENT_TYPE)
            .map(HeaderValue::as_bytes)
            .unwrap_or_default();
        return Err(Rejection::ContentType(
            String::from_utf8_lossy(given).chars().take(200).collect(),
        ));
    };
    let encoding = encoding(request.headers())?;
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let reader = BodyReader {
        limiter: &shared.limiter,
        max_bytes: shared.max_request_bytes,
        framing: Framing::Whole,
        wire_bytes,
    };
    let read = reader.read(request.into_body(), announced).await;
    let admitted = reader.decompress(read?, encoding)?;
    match format {
        Format::Protobuf => Ok(admitted),
        Format::Json => transcode(admitted),
    }
}

/// JSON becomes protobuf bytes, so that everything after the receiver knows one form.
fn transcode(admitted: Admitted) -> Result<Admitted, Rejection> {
    let Admitted {
        bytes: json,
        mut reservation,
    } = admitted;
    // OTLP's JSON is at least as long as its protobuf: names and quotes alone cost more than tags.
    reservation.grow(json.len() as u64)?;
    let mut protobuf = Vec::new();
    traces_json_to_protobuf(&json, &mut protobuf).map_err(|error| Rejection::Malformed(error.to_string()))?;
    Ok(Admitted {
        bytes: protobuf.into(),
        reservation,
    })
}

fn check_path(path: &str, shared: &Shared) -> Result<(), Rejection> {
    match path {
        path if path == shared.traces_path => Ok(()),
        "/v1/metrics" => Err(Rejection::NoPipeline { signal: "metrics" }),
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

fn encoding(headers: &HeaderMap) -> Result<Encoding, Rejection> {
    match headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"" | b"identity") => Ok(Encoding::Identity),
        Some(b"gzip") => Ok(Encoding::Gzip),
        Some(other) => Err(Rejection::Encoding(
            String::from_utf8_lossy(other).chars().take(200).collect(),
        )),
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
        Rejection::TooSlow | Rejection::TooLarge { .. } | Rejection::BrokenOff => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Rejection::Memory
        | Rejection::Malformed(_)
        | Rejection::ContentType(_)
        | Rejection::Encoding(_)
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

//! One client of one OTLP server.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::grpc::{self, Frame};
use crate::otlp_sink::{EXPORT_PATH, METRICS_EXPORT_PATH};
use crate::wire::{Field, Reader};
use crate::workload::Encoding;

/// An answer later than this is none.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// An answer holds a status and a sentence; what is longer is not read.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Codes that OTLP calls retryable in any case (OTLP specification, "Failures"): CANCELLED, DEADLINE_EXCEEDED,
/// ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS. RESOURCE_EXHAUSTED (8) is, when it comes with `RetryInfo`.
const GRPC_RETRYABLE: [u32; 6] = [1, 4, 10, 11, 14, 15];
/// The same for HTTP.
const HTTP_RETRYABLE: [u16; 4] = [429, 502, 503, 504];

/// How requests travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC: protobuf only.
    Grpc,
    /// OTLP/HTTP/1.1: protobuf or JSON, as each request is encoded.
    Http,
}

/// Where and how to send.
#[derive(Debug, Clone)]
pub struct Target {
    /// The server.
    pub address: SocketAddr,
    /// The protocol.
    pub protocol: Protocol,
    /// Compress bodies.
    pub gzip: bool,
    /// gRPC: connections that requests are dealt to in turn. HTTP opens as many as requests wait at a time.
    pub connections: usize,
}

impl Target {
    /// gRPC over one connection without compression.
    pub fn grpc(address: SocketAddr) -> Self {
        Self {
            address,
            protocol: Protocol::Grpc,
            gzip: false,
            connections: 1,
        }
    }

    /// HTTP without compression.
    pub fn http(address: SocketAddr) -> Self {
        Self {
            address,
            protocol: Protocol::Http,
            gzip: false,
            connections: 1,
        }
    }
}

/// What a server said to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Taken.
    Accepted {
        /// `partial_success.rejected_spans`.
        rejected_spans: u64,
    },
    /// Not taken.
    Refused {
        /// By OTLP's rules it may be sent again.
        retryable: bool,
        /// When, if it says so: `RetryInfo` or `Retry-After`.
        retry_after: Option<Duration>,
        /// `grpc 14`, `http 503`.
        code: String,
        /// The server's words.
        message: String,
    },
    /// No answer.
    Failed(String),
}

impl Outcome {
    /// A short name to count by.
    pub fn name(&self) -> String {
        match self {
            Self::Accepted { rejected_spans: 0 } => "ok".into(),
            Self::Accepted { .. } => "partial".into(),
            Self::Refused { code, .. } => code.clone(),
            Self::Failed(why) => why.clone(),
        }
    }
}

type HttpClient = Client<HttpConnector, Full<Bytes>>;

/// A client. It connects when the first request is sent, and again when a connection was closed.
pub struct Sender {
    target: Target,
    uri: Uri,
    clients: Vec<HttpClient>,
    next: AtomicUsize,
}

impl Sender {
    /// Makes a client for traces; nothing is sent yet.
    ///
    /// # Errors
    /// When the address makes no URL.
    pub fn new(target: Target) -> anyhow::Result<Self> {
        let path = match target.protocol {
            Protocol::Grpc => EXPORT_PATH,
            Protocol::Http => "/v1/traces",
        };
        Self::to(target, path)
    }

    /// Makes a client for metrics: what it says of spans is then said of data points.
    ///
    /// # Errors
    /// As [`Sender::new`].
    pub fn of_metrics(target: Target) -> anyhow::Result<Self> {
        let path = match target.protocol {
            Protocol::Grpc => METRICS_EXPORT_PATH,
            Protocol::Http => "/v1/metrics",
        };
        Self::to(target, path)
    }

    fn to(target: Target, path: &str) -> anyhow::Result<Self> {
        let uri = format!("http://{}{path}", target.address)
            .parse()
            .context("the target's URL")?;
        let clients = (0..target.connections.max(1))
            .map(|_| {
                let mut connector = HttpConnector::new();
                // Nagle's algorithm would add 40 ms to a request's last packet.
                connector.set_nodelay(true);
                Client::builder(TokioExecutor::new())
                    .http2_only(target.protocol == Protocol::Grpc)
                    .build(connector)
            })
            .collect();
        Ok(Self {
            target,
            uri,
            clients,
            next: AtomicUsize::new(0),
        })
    }

    /// Sends one request and waits for the answer, 30 s at most.
    pub async fn send(&self, body: Bytes, encoding: Encoding) -> Outcome {
        let exchange = async {
            let request = self.request(body, encoding)?;
            let index = self.next.fetch_add(1, Ordering::Relaxed) % self.clients.len();
            let client = self.clients.get(index).context("a sender has clients")?;
            let response = client.request(request).await?;
            let (parts, body) = response.into_parts();
            let collected = Limited::new(body, ANSWER_BYTES_MAX)
                .collect()
                .await
                .map_err(|error| anyhow::anyhow!("reading the answer: {error}"))?;
            let trailers = collected.trailers().cloned().unwrap_or_default();
            let body = collected.to_bytes();
            anyhow::Ok(match self.target.protocol {
                Protocol::Grpc => grpc_outcome(&parts, &trailers, &body),
                Protocol::Http => http_outcome(&parts, &body),
            })
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, exchange).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Outcome::Failed(format!("{error:#}")),
            Err(_) => Outcome::Failed("no answer in time".into()),
        }
    }

    fn request(&self, body: Bytes, encoding: Encoding) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::post(self.uri.clone());
        let body = match (self.target.protocol, encoding) {
            (Protocol::Grpc, Encoding::Json) => anyhow::bail!("gRPC carries no JSON"),
            (Protocol::Grpc, Encoding::Protobuf) => {
                request = request
                    .header("content-type", "application/grpc")
                    .header("te", "trailers");
                if self.target.gzip {
                    request = request.header("grpc-encoding", "gzip");
                    Frame::gzip(&body)?
                } else {
                    Frame::plain(&body)
                }
            }
            (Protocol::Http, encoding) => {
                let kind = match encoding {
                    Encoding::Protobuf => "application/x-protobuf",
                    Encoding::Json => "application/json",
                };
                request = request.header("content-type", kind);
                if self.target.gzip {
                    request = request.header("content-encoding", "gzip");
                    grpc::gzip(&body)?.into()
                } else {
                    body
                }
            }
        };
        Ok(request.body(Full::new(body))?)
    }
}

pub(crate) fn grpc_outcome(parts: &http::response::Parts, trailers: &HeaderMap, body: &Bytes) -> Outcome {
    // A status without a message stands in the headers ("Trailers-Only").
    let header = |name: &str| {
        let value = trailers.get(name).or_else(|| parts.headers.get(name));
        value.and_then(|value| value.to_str().ok())
    };
    let Some(code) = header("grpc-status").and_then(|code| code.parse::<u32>().ok()) else {
        return Outcome::Failed(format!("http {} without grpc-status", parts.status.as_u16()));
    };
    if code == 0 {
        let message = grpc::message(body, None, ANSWER_BYTES_MAX).unwrap_or_default();
        return Outcome::Accepted {
            rejected_spans: rejected_spans(&message),
        };
    }
    let retry_after = header("grpc-status-details-bin").and_then(retry_info);
    Outcome::Refused {
        retryable: GRPC_RETRYABLE.contains(&code) || (code == 8 && retry_after.is_some()),
        retry_after,
        code: format!("grpc {code}"),
        message: header("grpc-message").unwrap_or_default().to_owned(),
    }
}

fn http_outcome(parts: &http::response::Parts, body: &Bytes) -> Outcome {
    let kind = parts
        .headers
        .get("content-type")
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    if parts.status.is_success() {
        let rejected_spans = if kind.starts_with("application/json") {
            rejected_spans_json(body)
        } else {
            rejected_spans(body)
        };
        return Outcome::Accepted { rejected_spans };
    }
    let status = parts.status.as_u16();
    Outcome::Refused {
        retryable: HTTP_RETRYABLE.contains(&status),
        retry_after: retry_after(&parts.headers),
        code: format!("http {status}"),
        message: String::from_utf8_lossy(body).into_owned(),
    }
}

/// `Retry-After` in seconds; the form with a date is not used by OTLP servers.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    Some(Duration::from_secs(
        headers.get("retry-after")?.to_str().ok()?.parse().ok()?,
    ))
}

/// The delay of a `google.rpc.RetryInfo` among the details of a base64 `google.rpc.Status`. Field numbers: status 3 =
/// details, there 1 = type URL and 2 = value, there 1 = delay, there 1 = seconds and 2 = nanoseconds.
fn retry_info(details: &str) -> Option<Duration> {
    let status = STANDARD_NO_PAD.decode(details.trim_end_matches('=')).ok()?;
    let any = messages(&status, 3)
        .find(|any| messages(any, 1).any(|url| url.ends_with(b"google.rpc.RetryInfo")))?;
    let info = messages(any, 2).next()?;
    let delay = messages(info, 1).next()?;
    let nanos = u32::try_from(varint(delay, 2)).ok()?;
    Some(Duration::new(varint(delay, 1), nanos))
}

/// `ExportTraceServiceResponse`: field 1 = partial success, there 1 = rejected spans.
fn rejected_spans(response: &[u8]) -> u64 {
    messages(response, 1)
        .next()
        .map_or(0, |partial| varint(partial, 1))
}

/// The values of a message (or string) field; ends at the first malformed one.
fn messages(bytes: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    Reader::new(bytes)
        .map_while(Result::ok)
        .filter_map(move |(found, field)| match field {
            Field::Bytes(inner) if found == number => Some(inner),
            Field::Bytes(_) | Field::Varint(_) | Field::Fixed32(_) | Field::Fixed64(_) => None,
        })
}

/// The value of a varint field, 0 when absent.
fn varint(bytes: &[u8], number: u32) -> u64 {
    Reader::new(bytes)
        .map_while(Result::ok)
        .find_map(|(found, field)| match field {
            Field::Varint(value) if found == number => Some(value),
            Field::Bytes(_) | Field::Varint(_) | Field::Fixed32(_) | Field::Fixed64(_) => None,
        })
        .unwrap_or(0)
}

fn rejected_spans_json(response: &[u8]) -> u64 {
    let response: Value = serde_json::from_slice(response).unwrap_or_default();
    // 64-bit integers are strings in protobuf's JSON; numbers are read as well.
    match &response["partialSuccess"]["rejectedSpans"] {
        Value::String(text) => text.parse().unwrap_or(0),
        Value::Number(number) => number.as_u64().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use prost::Message as _;
    use tracepipe_otlp::proto;

    use super::{rejected_spans, rejected_spans_json, retry_info};

    #[test]
    fn rejected_spans_are_read_in_both_forms() {
        assert_eq!(rejected_spans(&[]), 0);
        assert_eq!(rejected_spans(&[0x0a, 2, 0x08, 7]), 7);
        assert_eq!(rejected_spans(&[0x0a, 3, 0x12, 1, b'x']), 0);
        assert_eq!(
            rejected_spans_json(br#"{"partialSuccess":{"rejectedSpans":"3"}}"#),
            3
        );
        assert_eq!(rejected_spans_json(b"{}"), 0);
    }

    #[test]
    fn only_retry_info_says_when() {
        let bare = proto::Status {
            code: 8,
            ..Default::default()
        };
        assert_eq!(retry_info(&STANDARD.encode(bare.encode_to_vec())), None);
        let delay = proto::Duration {
            seconds: 1,
            nanos: 500_000_000,
        };
        let info = proto::RetryInfo {
            retry_delay: Some(delay),
        };
        let any = proto::Any {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".into(),
            value: info.encode_to_vec(),
        };
        let status = proto::Status {
            code: 14,
            message: "later".into(),
            details: vec![any],
        };
        assert_eq!(
            retry_info(&STANDARD.encode(status.encode_to_vec())),
            Some(Duration::from_millis(1500))
        );
        assert_eq!(retry_info("no base64!"), None);
    }
}

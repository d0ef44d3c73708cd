//! PutTraceSegments over TLS: takes everything, looks only at the ids, and can say that there is too much.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use tracepipe_otlp::{SpanId, TraceId};

use crate::bench::ledger::Ledger;
use crate::clock;
use crate::fake_xray::{TestTls, error};
use crate::server::{Body, CloseConnection, Listen, Server};

/// Far above what a collector sends to X-Ray in one request.
const REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A running sink. It ends when dropped.
pub struct XraySink {
    shared: Arc<Shared>,
    server: Server,
    ca: tempfile::NamedTempFile,
}

/// What came so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls of PutTraceSegments.
    pub calls: u64,
    /// Of these, those that were refused with `ThrottledException`.
    pub throttled: u64,
    /// Of these, those over HTTP/2.
    pub http2: u64,
    /// Documents in the calls that were taken.
    pub documents: u64,
    /// Their bytes.
    pub document_bytes: u64,
    /// Bytes of the calls that were taken.
    pub body_bytes: u64,
}

impl Tally {
    /// What came since `before`.
    pub(super) fn minus(&self, before: &Self) -> Self {
        self.with(before, |now, then| now.saturating_sub(then))
    }

    /// Of both.
    pub(super) fn plus(&self, other: &Self) -> Self {
        self.with(other, |one, more| one + more)
    }

    fn with(&self, other: &Self, of: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            calls: of(self.calls, other.calls),
            throttled: of(self.throttled, other.throttled),
            http2: of(self.http2, other.http2),
            documents: of(self.documents, other.documents),
            document_bytes: of(self.document_bytes, other.document_bytes),
            body_bytes: of(self.body_bytes, other.body_bytes),
        }
    }
}

struct Shared {
    /// Arrivals are counted from here.
    epoch: Instant,
    ledger: Mutex<Ledger>,
    tally: Mutex<Tally>,
    throttles: AtomicBool,
}

#[derive(Deserialize)]
struct Put {
    #[serde(rename = "TraceSegmentDocuments")]
    documents: Vec<String>,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    trace_id: Cow<'a, str>,
}

impl XraySink {
    /// Listens on a free port of 127.0.0.1 for the traces of `seed`; arrival times count from `epoch`.
    ///
    /// # Errors
    /// When nothing can be bound, or the certificate cannot be made.
    pub async fn start(seed: u64, epoch: Instant) -> anyhow::Result<Self> {
        let tls = TestTls::new(&[])?;
        let ca = tempfile::Builder::new().suffix(".pem").tempfile()?;
        std::fs::write(ca.path(), tls.ca_pem())?;
        let shared = Arc::new(Shared {
            epoch,
            ledger: Mutex::new(Ledger::new(seed)),
            tally: Mutex::default(),
            throttles: AtomicBool::new(false),
        });
        let listen = Listen {
            at: None,
            tls: Some(tls.acceptor()),
        };
        let of_server = Arc::clone(&shared);
        let server = Server::start(listen, move |request| put(Arc::clone(&of_server), request)).await?;
        Ok(Self { shared, server, ca })
    }

    /// The bound address.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The file of its authority, PEM.
    pub fn ca_file(&self) -> &Path {
        self.ca.path()
    }

    /// What came; do not wait while you look.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.shared.ledger)
    }

    /// What was counted.
    pub fn tally(&self) -> Tally {
        *lock(&self.shared.tally)
    }

    /// From now on every call is refused with `ThrottledException`, or none.
    pub fn throttle(&self, throttles: bool) {
        self.shared.throttles.store(throttles, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn put(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, CloseConnection> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, REQUEST_BYTES_MAX).collect().await else {
        return Err(CloseConnection);
    };
    if parts.uri.path() != "/TraceSegments" {
        return Ok(json("{}"));
    }
    let body = body.to_bytes();
    let throttled = shared.throttles.load(Ordering::Relaxed);
    let mut tally = lock(&shared.tally);
    tally.calls += 1;
    tally.http2 += u64::from(parts.version == Version::HTTP_2);
    if throttled {
        tally.throttled += 1;
        drop(tally);
        return Ok(error(
            StatusCode::TOO_MANY_REQUESTS,
            "ThrottledException",
            "Rate exceeded",
        ));
    }
    let micros = clock::now().saturating_duration_since(shared.epoch).as_micros();
    let micros = u32::try_from(micros).unwrap_or(u32::MAX);
    let mut ledger = lock(&shared.ledger);
    let Ok(put) = serde_json::from_slice::<Put>(&body) else {
        ledger.enter_malformed();
        return Ok(error(StatusCode::BAD_REQUEST, "InvalidRequestException", ""));
    };
    tally.body_bytes += body.len() as u64;
    for text in &put.documents {
        tally.documents += 1;
        tally.document_bytes += text.len() as u64;
        match ids(text) {
            Some((trace_id, span_id)) => drop(ledger.enter_ids(trace_id, span_id, micros)),
            None => ledger.enter_malformed(),
        }
    }
    drop((tally, ledger));
    Ok(json(r#"{"UnprocessedTraceSegments":[]}"#))
}

fn json(text: &'static str) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())).boxed_unsync());
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    response
}

/// The ids of the span that a document is of: its id, and `1-5759e988-bd862e3fe1be46a994272793` without the ornaments.
fn ids(text: &str) -> Option<(TraceId, SpanId)> {
    let document: Document<'_> = serde_json::from_str(text).ok()?;
    let span_id = u64::from_str_radix(&document.id, 16).ok()?;
    let (high, low) = document.trace_id.strip_prefix("1-")?.split_once('-')?;
    let (high, low) = match (high.len(), low.len()) {
        (8, 24) => (
            u128::from_str_radix(high, 16).ok()?,
            u128::from_str_radix(low, 16).ok()?,
        ),
        _ => return None,
    };
    Some((
        TraceId((high << 96 | low).to_be_bytes()),
        SpanId(span_id.to_be_bytes()),
    ))
}

#[cfg(test)]
mod tests {
    use tracepipe_otlp::{SpanId, TraceId};

    use super::ids;

    #[test]
    fn a_document_says_which_span_it_is_of() {
        let text = r#"{"name":"a","id":"00f067aa0ba902b7","subsegments":[{"id":"1","trace_id":"x"}],"trace_id":"1-5759e988-bd862e3fe1be46a994272793"}"#;
        let trace_id = TraceId(0x5759_e988_bd86_2e3f_e1be_46a9_9427_2793_u128.to_be_bytes());
        let span_id = SpanId(0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
        assert_eq!(ids(text), Some((trace_id, span_id)));
        for wrong in ["", "{}", r#"{"id":"00f067aa0ba902b7","trace_id":"1-5759e988"}"#] {
            assert_eq!(ids(wrong), None, "{wrong}");
        }
    }
}

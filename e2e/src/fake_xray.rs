//! A strict stand-in for AWS X-Ray.
//!
//! It believes nothing: [`sigv4`] verifies each request, [`checks`] each document, [`store`] remembers what was taken
//! and what was not, [`failure`] says which calls go wrong, [`tls`] makes the certificate. Over HTTP and HTTPS, with
//! HTTP/1.1 and HTTP/2. What it cannot prove is that AWS takes an odd document.
//!
//! Other processes steer it over the same port, unsigned: `GET /_fake/records` (accepted documents, a line each),
//! `GET /_fake/refused` and `GET /_fake/counts` (JSON), `POST /_fake/failure` (a [`Script`] or `null`),
//! `POST /_fake/swallow`.

pub mod checks;
pub mod failure;
pub mod sigv4;
pub mod store;
pub(crate) mod strict_json;
pub mod tls;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::clock;
use crate::server::{Body, CloseConnection, Listen, Server};
use failure::Player;
pub use failure::{Failure, Script, When};
pub use sigv4::{Credentials, Verifier};
use store::Store;
pub use store::{Accepted, Counts, Refused};
pub use tls::TestTls;

/// Documents of one `PutTraceSegments` call ("Exceeding maximum segment count: 50" is X-Ray's answer above it).
pub const DOCUMENTS_PER_CALL_MAX: usize = 50;

/// More than fifty documents of 64 kB, each escaped once more, can be: what is larger is no request to X-Ray.
const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Operations of the API that this fake leaves to AWS.
const OTHER_OPERATIONS: [&str; 5] = [
    "/GetSamplingRules",
    "/SamplingTargets",
    "/SamplingStatisticSummaries",
    "/Traces",
    "/TraceSummaries",
];

/// How a fake is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who may call.
    pub verifier: Verifier,
    /// `None`: plain HTTP.
    pub tls: Option<TestTls>,
    /// `None`: a free port of 127.0.0.1.
    pub listen: Option<SocketAddr>,
}

impl Options {
    /// Plain HTTP on a free port, one key, any region.
    pub fn new(key: Credentials) -> Self {
        let verifier = Verifier {
            credentials: vec![key],
            region: None,
            service: "xray".into(),
        };
        Self {
            verifier,
            tls: None,
            listen: None,
        }
    }
}

/// A running fake. It ends when dropped.
pub struct FakeXray {
    shared: Arc<Shared>,
    server: Server,
    is_https: bool,
}

impl FakeXray {
    /// Binds and serves.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(options: Options) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::new(options.verifier));
        let tls = options.tls;
        let listen = Listen {
            at: options.listen,
            tls: tls.as_ref().map(TestTls::acceptor),
        };
        let of_server = Arc::clone(&shared);
        let server = Server::start(listen, move |request| handle(Arc::clone(&of_server), request)).await?;
        Ok(Self::over(shared, server, tls.is_some()))
    }

    /// A fake whose calls come in by a server of another's making.
    pub(crate) fn over(shared: Arc<Shared>, server: Server, is_https: bool) -> Self {
        Self {
            shared,
            server,
            is_https,
        }
    }

    /// The bound address.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The endpoint for `AWS_ENDPOINT_URL_XRAY`.
    pub fn url(&self) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    /// Every accepted document in the order of arrival.
    pub fn accepted(&self) -> Vec<Accepted> {
        lock(&self.shared.store).accepted.clone()
    }

    /// Every refused document in the order of arrival.
    pub fn refused(&self) -> Vec<Refused> {
        lock(&self.shared.store).refused.clone()
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        lock(&self.shared.store).counts
    }

    /// From the next call on; `None` ends the failures.
    pub fn set_script(&self, script: Option<Script>) {
        lock(&self.shared.player).set(script);
    }

    /// Replaces who may call.
    pub fn set_verifier(&self, verifier: Verifier) {
        *lock(&self.shared.verifier) = verifier;
    }

    /// From now on its clock is so many seconds ahead of this machine's; negative: behind.
    pub fn set_seconds_ahead(&self, seconds: i64) {
        *lock(&self.shared.seconds_ahead) = seconds;
    }

    /// Says "stored" to the documents of one trace with a fault, and forgets them.
    pub fn swallow_one_fault(&self) {
        lock(&self.shared.store).swallow_one_fault();
    }

    /// The trace that was swallowed, once there is one.
    pub fn swallowed_trace(&self) -> Option<String> {
        lock(&self.shared.store).swallowed_trace().map(str::to_owned)
    }

    /// Returns as soon as the counts fulfil `condition`. Set your own time limit around it.
    pub async fn wait_until(&self, condition: impl Fn(&Counts) -> bool) -> Counts {
        let mut counts = self.shared.counts.subscribe();
        match counts.wait_for(|counts| condition(counts)).await {
            Ok(counts) => *counts,
            // The sender lives in `self.shared`, so this cannot be; the current counts are still true.
            Err(_) => self.counts(),
        }
    }
}

/// What the calls share.
pub(crate) struct Shared {
    verifier: Mutex<Verifier>,
    player: Mutex<Player>,
    store: Mutex<Store>,
    seconds_ahead: Mutex<i64>,
    counts: watch::Sender<Counts>,
}

impl Shared {
    pub(crate) fn new(verifier: Verifier) -> Self {
        Self {
            verifier: Mutex::new(verifier),
            player: Mutex::new(Player::default()),
            store: Mutex::new(Store::default()),
            seconds_ahead: Mutex::default(),
            counts: watch::Sender::new(Counts::default()),
        }
    }

    fn now(&self) -> SystemTime {
        let ahead = *lock(&self.seconds_ahead);
        let shift = Duration::from_secs(ahead.unsigned_abs());
        if ahead < 0 {
            clock::wall() - shift
        } else {
            clock::wall() + shift
        }
    }

    /// One more key may call.
    pub(crate) fn admit(&self, key: Credentials) {
        lock(&self.verifier).credentials.push(key);
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        let mut store = lock(&self.store);
        change(&mut store.counts);
        self.counts.send_replace(store.counts);
    }
}

/// A panicking test thread must not hide what the fake recorded.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutTraceSegments {
    trace_segment_documents: Vec<String>,
}

/// Answers a call to the API, or to the fake's own paths, and dates the answer.
pub(crate) async fn handle(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, CloseConnection> {
    let mut response = answer(Arc::clone(&shared), request).await?;
    if let Ok(date) = HeaderValue::from_str(&sigv4::http_date(shared.now())) {
        response.headers_mut().insert("date", date);
    }
    Ok(response)
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, CloseConnection> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, REQUEST_BYTES_MAX).collect().await else {
        return Err(CloseConnection);
    };
    let body = body.to_bytes();
    if let Some(path) = parts.uri.path().strip_prefix("/_fake/") {
        return Ok(steer(&shared, &parts.method, path, &body));
    }
    shared.count(|counts| counts.requests += 1);
    let verified = lock(&shared.verifier).verify(&parts, &body, shared.now());
    if let Err(denied) = verified {
        shared.count(|counts| counts.denied += 1);
        return Ok(error(StatusCode::FORBIDDEN, denied.code(), &denied.message()));
    }
    match (&parts.method, parts.uri.path()) {
        (&Method::POST, "/TraceSegments") => put_trace_segments(&shared, &parts, &body).await,
        (&Method::POST, "/TelemetryRecords") => Ok(put_telemetry(&shared, &body)),
        (&Method::POST, path) if OTHER_OPERATIONS.contains(&path) => {
            shared.count(|counts| counts.invalid += 1);
            Ok(error(
                StatusCode::FORBIDDEN,
                "AccessDeniedException",
                "not authorized to perform this operation",
            ))
        }
        _ => {
            shared.count(|counts| counts.invalid += 1);
            Ok(error(StatusCode::NOT_FOUND, "UnknownOperationException", ""))
        }
    }
}

async fn put_trace_segments(
    shared: &Shared,
    parts: &Parts,
    body: &Bytes,
) -> Result<Response<Body>, CloseConnection> {
    let scripted = lock(&shared.player).next();
    if scripted.is_some() {
        shared.count(|counts| counts.scripted += 1);
    }
    match scripted {
        None => Ok(store_documents(shared, parts, body, None)),
        Some(Failure::Unprocessed { code, documents }) => {
            Ok(store_documents(shared, parts, body, Some((&code, documents))))
        }
        Some(Failure::LoseAnswer) => {
            drop(store_documents(shared, parts, body, None));
            Err(CloseConnection)
        }
        Some(Failure::Throttle) => Ok(error(
            StatusCode::TOO_MANY_REQUESTS,
            "ThrottledException",
            "Rate exceeded",
        )),
        Some(Failure::Status(status)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let code = match status {
                StatusCode::FORBIDDEN => "AccessDeniedException",
                StatusCode::REQUEST_TIMEOUT => "RequestTimeoutException",
                StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailableException",
                _ => "InternalFailure",
            };
            Ok(error(status, code, "the fake was told to fail"))
        }
        Some(Failure::Hang) => std::future::pending().await,
        Some(Failure::Close) => Err(CloseConnection),
    }
}

/// `unprocessed`: the code and how many of the first documents come back with it.
fn store_documents(
    shared: &Shared,
    parts: &Parts,
    body: &Bytes,
    unprocessed: Option<(&str, usize)>,
) -> Response<Body> {
    let is_json = parts
        .headers
        .get("content-type")
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/"));
    let documents = match serde_json::from_slice::<PutTraceSegments>(body) {
        Ok(put) if is_json => put.trace_segment_documents,
        Ok(_) | Err(_) => return invalid_request(shared, "the body is no PutTraceSegments request"),
    };
    if documents.len() > DOCUMENTS_PER_CALL_MAX {
        let message = format!("Exceeding maximum segment count: {DOCUMENTS_PER_CALL_MAX}");
        return invalid_request(shared, &message);
    }
    let arrived = clock::unix_nanos();
    let mut store = lock(&shared.store);
    let mut answers = Vec::new();
    let (code, scripted) = unprocessed.unwrap_or_default();
    for (index, text) in documents.iter().enumerate() {
        if index < scripted {
            store.counts.documents_scripted += 1;
            answers.push(unprocessed_segment(text, code, "the fake was told to fail"));
        } else if let Err(refusal) = store.put(text, arrived) {
            answers.push(unprocessed_segment(text, refusal.code, &refusal.message));
        }
    }
    store.counts.put_calls += 1;
    shared.counts.send_replace(store.counts);
    drop(store);
    json_response(StatusCode::OK, &json!({ "UnprocessedTraceSegments": answers }))
}

fn unprocessed_segment(text: &str, code: &str, message: &str) -> Value {
    let document: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let id = document.get("id").and_then(Value::as_str);
    json!({ "Id": id, "ErrorCode": code, "Message": message })
}

fn put_telemetry(shared: &Shared, body: &Bytes) -> Response<Body> {
    let records: Option<Value> = serde_json::from_slice(body).ok();
    let records = records
        .as_ref()
        .and_then(|body| body.get("TelemetryRecords"))
        .and_then(Value::as_array);
    // Timestamp is the only member of a record that the API's model requires.
    if !records.is_some_and(|records| records.iter().all(|record| record["Timestamp"].is_number())) {
        return invalid_request(shared, "the body is no PutTelemetryRecords request");
    }
    shared.count(|counts| counts.telemetry_calls += 1);
    json_response(StatusCode::OK, &json!({}))
}

fn invalid_request(shared: &Shared, message: &str) -> Response<Body> {
    shared.count(|counts| counts.invalid += 1);
    error(StatusCode::BAD_REQUEST, "InvalidRequestException", message)
}

/// Answers the fake's own paths.
pub(crate) fn steer(shared: &Shared, method: &Method, path: &str, body: &Bytes) -> Response<Body> {
    match (method, path) {
        (&Method::GET, "records") => {
            let lines = lock(&shared.store)
                .accepted
                .iter()
                .fold(String::new(), |mut lines, document| {
                    lines.push_str(&document.text.replace('\n', " "));
                    lines.push('\n');
                    lines
                });
            respond(StatusCode::OK, "application/jsonl", lines)
        }
        (&Method::GET, "refused") => json_response(StatusCode::OK, &json!(lock(&shared.store).refused)),
        (&Method::GET, "counts") => json_response(StatusCode::OK, &json!(lock(&shared.store).counts)),
        (&Method::POST, "failure") => match serde_json::from_slice::<Option<Script>>(body) {
            Ok(script) => {
                lock(&shared.player).set(script);
                json_response(StatusCode::OK, &json!({}))
            }
            Err(problem) => error(StatusCode::BAD_REQUEST, "InvalidScript", &problem.to_string()),
        },
        (&Method::POST, "swallow") => {
            lock(&shared.store).swallow_one_fault();
            json_response(StatusCode::OK, &json!({}))
        }
        _ => error(StatusCode::NOT_FOUND, "UnknownFakePath", path),
    }
}

/// An error in the form of AWS's JSON protocols.
pub(crate) fn error(status: StatusCode, code: &'static str, message: &str) -> Response<Body> {
    let mut response = json_response(status, &json!({ "__type": code, "message": message }));
    response
        .headers_mut()
        .insert("x-amzn-errortype", HeaderValue::from_static(code));
    response
}

pub(crate) fn json_response(status: StatusCode, body: &Value) -> Response<Body> {
    respond(status, "application/json", body.to_string())
}

pub(crate) fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(body)).boxed_unsync());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
#[path = "fake_xray/tests.rs"]
mod tests;

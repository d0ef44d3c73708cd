//! A strict stand-in for the remote write API of an Amazon Managed Prometheus workspace.
//!
//! It believes nothing: [`crate::fake_xray::sigv4`] verifies each request, [`checks`] each series and sample, [`store`]
//! remembers what was taken and what was not, [`failure`] says which requests go wrong. A Prometheus may stand behind it:
//! what was taken is passed on, and refused when that refuses. What it cannot prove is that AWS takes an odd sample.
//!
//! Other processes steer it over the same port, unsigned: `GET /_fake/amp/series` (a JSON object a line: labels, samples,
//! histograms), `GET /_fake/amp/refused`, `GET /_fake/amp/counts`, `POST /_fake/amp/failure` (a [`Script`] or `null`),
//! `POST /_fake/amp/poison` (a list of [`Poison`]).

mod checks;
mod failure;
mod forward;
mod reason;
mod steer;
mod store;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::json;
use tokio::sync::watch;

use crate::clock;
use crate::fake_xray::failure::Player;
use crate::fake_xray::{self, Credentials, TestTls, Verifier, sigv4};
use crate::remote_write::{Labels, Metadata, WriteRequest};
use crate::server::{Body, CloseConnection, Listen, Server};
use crate::snappy;
pub use checks::Limits;
pub use failure::Failure;
use forward::Forward;
pub use reason::Reason;
pub(crate) use steer::steer;
use store::Store;
pub use store::{Counts, OnBad, Poison, Refused, Series};

/// A failure and when it happens.
pub type Script = fake_xray::Script<Failure>;

/// The workspace that there is.
pub const WORKSPACE: &str = "ws-b226cc2a-a446-46a9-933a-ac50479a5568";

/// Above what any limit allows after inflation: such a body is not read to its end.
const COMPRESSED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Headers of the protocol and what they have to say.
const PROTOCOL: [(&str, &str); 3] = [
    ("content-encoding", "snappy"),
    ("content-type", "application/x-protobuf"),
    ("x-prometheus-remote-write-version", "0.1.0"),
];

/// How a fake is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who may write; `None`: everybody.
    pub verifier: Option<Verifier>,
    /// `None`: plain HTTP.
    pub tls: Option<TestTls>,
    /// `None`: a free port of 127.0.0.1.
    pub listen: Option<SocketAddr>,
    /// Quotas; `None`: whatever can be decoded is taken, and of its samples only their number is remembered.
    pub limits: Option<Limits>,
    /// What becomes of the good samples beside a bad one.
    pub on_bad: OnBad,
    /// `http://HOST:PORT/api/v1/write` of a Prometheus that is to have what is taken.
    pub forward: Option<String>,
}

impl Options {
    /// Plain HTTP on a free port, one key, any region, AMP's quotas.
    pub fn new(key: Credentials) -> Self {
        let verifier = Verifier {
            credentials: vec![key],
            region: None,
            service: "aps".into(),
        };
        Self {
            verifier: Some(verifier),
            ..Self::open()
        }
    }

    /// The same for everybody.
    pub fn open() -> Self {
        Self {
            verifier: None,
            tls: None,
            listen: None,
            limits: Some(Limits::default()),
            on_bad: OnBad::RejectRequest,
            forward: None,
        }
    }
}

/// A running fake. It ends when dropped.
pub struct FakeAmp {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// `None`: the requests come in by a server of another's making.
    _server: Option<Server>,
    is_https: bool,
}

impl FakeAmp {
    /// Binds and serves.
    ///
    /// # Errors
    /// When the address cannot be bound, or the URL behind is none.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let tls = options.tls.clone();
        let listen = Listen {
            at: options.listen,
            tls: tls.as_ref().map(TestTls::acceptor),
        };
        let shared = Arc::new(Shared::new(options)?);
        let of_server = Arc::clone(&shared);
        let server = Server::start(listen, move |request| handle(Arc::clone(&of_server), request)).await?;
        Ok(Self {
            shared,
            address: server.address(),
            _server: Some(server),
            is_https: tls.is_some(),
        })
    }

    /// A fake whose requests come in by a server of another's making.
    pub(crate) fn over(shared: Arc<Shared>, address: SocketAddr, is_https: bool) -> Self {
        Self {
            shared,
            address,
            _server: None,
            is_https,
        }
    }

    /// The bound address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint of remote write.
    pub fn url(&self) -> String {
        self.url_of(&self.address().to_string())
    }

    /// The same on another name for this machine.
    pub fn url_of(&self, authority: &str) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        format!("{scheme}://{authority}{}", write_path())
    }

    /// Every series that was taken.
    pub fn series(&self) -> BTreeMap<Labels, Series> {
        lock(&self.shared.store).series.clone()
    }

    /// What was said of metrics, by their names.
    pub fn metadata(&self) -> BTreeMap<String, Metadata> {
        lock(&self.shared.store).metadata.clone()
    }

    /// Samples that were not taken, in the order of arrival.
    pub fn refused(&self) -> Vec<Refused> {
        lock(&self.shared.store).refused.clone()
    }

    /// What the Prometheus behind said when it refused.
    pub fn refused_behind(&self) -> Vec<String> {
        lock(&self.shared.said_behind).clone()
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        lock(&self.shared.store).counts
    }

    /// From the next request on; `None` ends the failures.
    pub fn set_script(&self, script: Option<Script>) {
        lock(&self.shared.player).set(script);
    }

    /// From the next request on these series are refused.
    pub fn set_poison(&self, poison: Vec<Poison>) {
        lock(&self.shared.store).poison = poison;
    }

    /// From the next request on these are the quotas.
    pub fn set_limits(&self, limits: Limits) {
        *lock(&self.shared.limits) = Some(limits);
    }

    /// Replaces who may write.
    pub fn set_verifier(&self, verifier: Verifier) {
        *lock(&self.shared.verifier) = Some(verifier);
    }

    /// From now on its clock is so many seconds ahead of this machine's; negative: behind.
    pub fn set_seconds_ahead(&self, seconds: i64) {
        *lock(&self.shared.seconds_ahead) = seconds;
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

/// What the requests share.
pub(crate) struct Shared {
    verifier: Mutex<Option<Verifier>>,
    limits: Mutex<Option<Limits>>,
    player: Mutex<Player<Failure>>,
    store: Mutex<Store>,
    said_behind: Mutex<Vec<String>>,
    seconds_ahead: Mutex<i64>,
    counts: watch::Sender<Counts>,
    on_bad: OnBad,
    forward: Option<Forward>,
}

impl Shared {
    pub(crate) fn new(options: Options) -> anyhow::Result<Self> {
        Ok(Self {
            verifier: Mutex::new(options.verifier),
            limits: Mutex::new(options.limits),
            player: Mutex::default(),
            store: Mutex::default(),
            said_behind: Mutex::default(),
            seconds_ahead: Mutex::default(),
            counts: watch::Sender::new(Counts::default()),
            on_bad: options.on_bad,
            forward: options.forward.as_deref().map(Forward::to).transpose()?,
        })
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

    /// One more key may write.
    pub(crate) fn admit(&self, key: Credentials) {
        if let Some(verifier) = lock(&self.verifier).as_mut() {
            verifier.credentials.push(key);
        }
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

fn write_path() -> String {
    format!("/workspaces/{WORKSPACE}/api/v1/remote_write")
}

/// Answers a request, and dates the answer.
pub(crate) async fn handle(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, CloseConnection> {
    let mut response = answer(&shared, request).await?;
    if let Ok(date) = HeaderValue::from_str(&sigv4::http_date(shared.now())) {
        response.headers_mut().insert("date", date);
    }
    Ok(response)
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Result<Response<Body>, CloseConnection> {
    let (parts, body) = request.into_parts();
    if let Some(path) = parts.uri.path().strip_prefix("/_fake/amp/") {
        let body = collect(body).await?;
        return Ok(steer(shared, &parts.method, path, &body));
    }
    let scripted = lock(&shared.player).next();
    shared.count(|counts| {
        counts.requests += 1;
        counts.scripted += u64::from(scripted.is_some());
    });
    if scripted == Some(Failure::CloseEarly) {
        return Err(CloseConnection);
    }
    let body = collect(body).await?;
    let verified = match &*lock(&shared.verifier) {
        Some(verifier) => verifier.verify(&parts, &body, shared.now()),
        None => Ok(()),
    };
    if let Err(denied) = verified {
        shared.count(|counts| counts.denied += 1);
        let code = denied.code();
        return Ok(fake_xray::error(StatusCode::FORBIDDEN, code, &denied.message()));
    }
    match scripted {
        None => take(shared, &parts, &body).await,
        Some(Failure::LoseAnswer) => {
            drop(take(shared, &parts, &body).await?);
            Err(CloseConnection)
        }
        Some(Failure::Status { status, retry_after }) => Ok(told_to_fail(status, retry_after.as_deref())),
        Some(Failure::Hang) => std::future::pending().await,
        Some(Failure::Close | Failure::CloseEarly) => Err(CloseConnection),
    }
}

async fn collect(body: Incoming) -> Result<Bytes, CloseConnection> {
    match Limited::new(body, COMPRESSED_BYTES_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(_) => Err(CloseConnection),
    }
}

fn told_to_fail(status: u16, retry_after: Option<&str>) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let text = match status {
        StatusCode::TOO_MANY_REQUESTS => "Rate exceeded",
        StatusCode::PAYLOAD_TOO_LARGE => "Request Too Long",
        _ => "the fake was told to fail",
    };
    let mut response = message(status, text);
    if let Some(value) = retry_after.and_then(|text| HeaderValue::from_str(text).ok()) {
        response.headers_mut().insert("retry-after", value);
    }
    response
}

/// Takes a signed request, or says why not.
async fn take(shared: &Shared, parts: &Parts, body: &Bytes) -> Result<Response<Body>, CloseConnection> {
    if let Some(refusal) = wrong_form(parts) {
        shared.count(|counts| counts.invalid += 1);
        return Ok(refusal);
    }
    let limits = lock(&shared.limits).clone();
    let most = limits.as_ref().map_or(usize::MAX, |limits| limits.request_bytes);
    let request = match snappy::decode(body, most) {
        Ok(bytes) => WriteRequest::decode(&bytes).map_err(|problem| problem.0),
        Err(snappy::Malformed("larger than the limit")) => {
            shared.count(|counts| counts.too_large += 1);
            return Ok(message(StatusCode::PAYLOAD_TOO_LARGE, "Request Too Long"));
        }
        Err(snappy::Malformed(problem)) => Err(problem.to_owned()),
    };
    let request = match request {
        Ok(request) if request.series.is_empty() && request.metadata.is_empty() => {
            Err("a request of nothing".to_owned())
        }
        other => other,
    };
    let request = match request {
        Ok(request) => request,
        Err(problem) => {
            shared.count(|counts| counts.invalid += 1);
            return Ok(message(StatusCode::BAD_REQUEST, &problem));
        }
    };
    if let Some(refusal) = put(shared, request, limits.as_ref()) {
        return Ok(refusal);
    }
    if let Some(forward) = &shared.forward {
        match forward.send(body.clone()).await {
            Ok(()) => {}
            Err((status, text)) => {
                shared.count(|counts| counts.refused_behind += 1);
                lock(&shared.said_behind).push(text.clone());
                return Ok(message(status, &text));
            }
        }
    }
    shared.count(|counts| {
        counts.writes += 1;
        counts.bytes += body.len() as u64;
    });
    Ok(message(StatusCode::OK, ""))
}

/// Counts and remembers; an answer when something is not taken.
fn put(shared: &Shared, request: WriteRequest, limits: Option<&Limits>) -> Option<Response<Body>> {
    let now = shared.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    let samples = request.samples();
    let mut store = lock(&shared.store);
    let Some(limits) = limits else {
        store.counts.samples += samples;
        store.put_metadata(request.metadata);
        return None;
    };
    let refusal = if store.within_rate(samples, now, limits) {
        let put = store.put(request, now, limits, shared.on_bad);
        put.err().map(|refused| {
            store.counts.rejected += 1;
            let what = checks::described(&refused.labels, refused.timestamp);
            let text = format!("{}: {what}", refused.reason.code());
            let status = StatusCode::from_u16(refused.reason.status()).unwrap_or(StatusCode::BAD_REQUEST);
            message(status, &text)
        })
    } else {
        store.counts.over_rate += 1;
        let (rate, _) = limits.rate.unwrap_or_default();
        let text = format!("ingestion rate limit ({rate}) exceeded while adding {samples} samples");
        Some(message(StatusCode::TOO_MANY_REQUESTS, &text))
    };
    shared.counts.send_replace(store.counts);
    refusal
}

/// An answer to a request that is none of remote write 1.0.
fn wrong_form(parts: &Parts) -> Option<Response<Body>> {
    if parts.method != Method::POST || parts.uri.path() != write_path() {
        return Some(message(StatusCode::NOT_FOUND, "no such workspace or operation"));
    }
    // AMP refuses the header of Cortex's tenants.
    if parts.headers.contains_key("x-scope-orgid") {
        return Some(message(StatusCode::BAD_REQUEST, "X-Scope-OrgID is not for users"));
    }
    for (name, value) in PROTOCOL {
        let said = parts.headers.get(name).and_then(|value| value.to_str().ok());
        if said != Some(value) {
            let text = format!("header {name} is {said:?}, not {value:?}");
            return Some(message(StatusCode::BAD_REQUEST, &text));
        }
    }
    let is_named = parts.headers.get("user-agent").is_some_and(|it| !it.is_empty());
    (!is_named).then(|| message(StatusCode::BAD_REQUEST, "no User-Agent"))
}

fn message(status: StatusCode, text: &str) -> Response<Body> {
    fake_xray::json_response(status, &json!({ "message": text }))
}

#[cfg(test)]
mod tests;

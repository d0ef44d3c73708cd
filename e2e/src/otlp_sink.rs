//! An OTLP/gRPC backend that remembers which spans it got, and counts data points.
//!
//! It reads the gRPC framing itself (gRPC over HTTP/2: a flag byte, a big-endian length, the message) and of the
//! message only the ids, so that it costs little beside the collector that is measured.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use tokio::sync::watch;
use tracepipe_otlp::{SpanId, TraceId};

use crate::grpc::{self, Frame};
use crate::server::{Body, CloseConnection, Listen, Server};
use crate::wire::{Field, Malformed, Reader};

/// The method that OTLP/gRPC exporters call for traces.
pub const EXPORT_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// The method that they call for metrics.
pub const METRICS_EXPORT_PATH: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// Largest message on the wire and after inflation: twice the OTLP specification's advice of 64 MiB.
const MESSAGE_BYTES_MAX: usize = 128 * 1024 * 1024;

/// What the sink does with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Behaviour {
    /// Takes them.
    #[default]
    Accept,
    /// Answers `UNAVAILABLE`, which is retryable, and stores nothing.
    Refuse,
    /// Answers `INVALID_ARGUMENT`, which is not, and stores nothing.
    Reject,
    /// Stores nothing and never answers.
    Hang,
}

/// What the sink counted since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SinkCounts {
    /// Requests that were taken.
    pub accepted: u64,
    /// Requests that were refused, rejected, hung or not understood.
    pub failed: u64,
    /// Spans in the requests that were taken, repeated ones included.
    pub spans: u64,
    /// Data points in the requests that were taken.
    pub metric_points: u64,
    /// Bytes of the taken messages, inflated.
    pub message_bytes: u64,
}

/// A running sink. It ends when dropped.
pub struct OtlpSink {
    shared: Arc<Shared>,
    server: Server,
}

impl OtlpSink {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When nothing can be bound.
    pub async fn start() -> std::io::Result<Self> {
        Self::start_at(None).await
    }

    /// Listens on `at`; so a sink that went away can come back.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start_at(at: Option<SocketAddr>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_server = Arc::clone(&shared);
        let handler = move |request| handle(Arc::clone(&of_server), request);
        let server = Server::start(Listen { at, tls: None }, handler).await?;
        Ok(Self { shared, server })
    }

    /// The bound address, as the `endpoint` of an `otlp` exporter.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// From the next request on.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        lock(&self.shared.state).behaviour = behaviour;
    }

    /// Keeps every message that is taken from now on; they are inflated and take memory until the sink ends.
    pub fn keep_messages(&self) {
        lock(&self.shared.state).messages.get_or_insert_default();
    }

    /// The messages that were kept, in the order of their arrival.
    pub fn messages(&self) -> Vec<Bytes> {
        lock(&self.shared.state).messages.clone().unwrap_or_default()
    }

    /// What was counted so far.
    pub fn counts(&self) -> SinkCounts {
        lock(&self.shared.state).counts
    }

    /// The spans of each trace in the order of arrival, repeated ones included.
    pub fn traces(&self) -> HashMap<TraceId, Vec<SpanId>> {
        lock(&self.shared.state).traces.clone()
    }

    /// How many spans came more than once.
    pub fn repeated_spans(&self) -> u64 {
        let state = lock(&self.shared.state);
        state.traces.values().fold(0, |sum, spans| {
            let mut spans = spans.clone();
            spans.sort_unstable();
            let all = spans.len();
            spans.dedup();
            sum + (all - spans.len()) as u64
        })
    }

    /// Returns as soon as the counts fulfil `condition`. Set your own time limit around it.
    pub async fn wait_until(&self, condition: impl Fn(&SinkCounts) -> bool) -> SinkCounts {
        let mut counts = self.shared.counts.subscribe();
        match counts.wait_for(|counts| condition(counts)).await {
            Ok(counts) => *counts,
            // The sender lives in `self.shared`, so this cannot be; the current counts are still true.
            Err(_) => self.counts(),
        }
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    counts: watch::Sender<SinkCounts>,
}

#[derive(Default)]
struct State {
    behaviour: Behaviour,
    counts: SinkCounts,
    traces: HashMap<TraceId, Vec<SpanId>>,
    /// `None`: they are not kept.
    messages: Option<Vec<Bytes>>,
}

/// A panicking test thread must not hide what the sink recorded.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn handle(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, CloseConnection> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MESSAGE_BYTES_MAX).collect().await else {
        return Err(CloseConnection);
    };
    let behaviour = lock(&shared.state).behaviour;
    if behaviour != Behaviour::Accept {
        fail(&shared);
    }
    match behaviour {
        Behaviour::Accept => {}
        Behaviour::Refuse => return Ok(answer(grpc::Code::Unavailable)),
        Behaviour::Reject => return Ok(answer(grpc::Code::InvalidArgument)),
        Behaviour::Hang => std::future::pending().await,
    }
    let of_metrics = parts.uri.path() == METRICS_EXPORT_PATH;
    if !of_metrics && parts.uri.path() != EXPORT_PATH {
        fail(&shared);
        return Ok(answer(grpc::Code::Unimplemented));
    }
    let encoding = parts
        .headers
        .get("grpc-encoding")
        .and_then(|encoding| encoding.to_str().ok());
    let Some(message) = grpc::message(&body.to_bytes(), encoding, MESSAGE_BYTES_MAX) else {
        fail(&shared);
        return Ok(answer(grpc::Code::InvalidArgument));
    };
    let mut ids = Vec::new();
    let read = if of_metrics {
        count_points(&message)
    } else {
        read_ids(&message, &mut ids).map(|()| 0)
    };
    let Ok(metric_points) = read else {
        fail(&shared);
        return Ok(answer(grpc::Code::InvalidArgument));
    };
    let mut state = lock(&shared.state);
    state.counts.accepted += 1;
    state.counts.spans += ids.len() as u64;
    state.counts.metric_points += metric_points;
    state.counts.message_bytes += message.len() as u64;
    if let Some(messages) = &mut state.messages {
        messages.push(message.clone());
    }
    for (trace_id, span_id) in ids {
        state.traces.entry(trace_id).or_default().push(span_id);
    }
    shared.counts.send_replace(state.counts);
    Ok(answer(grpc::Code::Ok))
}

fn fail(shared: &Shared) {
    let mut state = lock(&shared.state);
    state.counts.failed += 1;
    shared.counts.send_replace(state.counts);
}

/// Fields: request 1 = resource spans, there 2 = scope spans, there 2 = span, there 1 = trace id and 2 = span id.
fn read_ids(request: &[u8], ids: &mut Vec<(TraceId, SpanId)>) -> Result<(), Malformed> {
    for resource_spans in messages(request, 1) {
        for scope_spans in messages(resource_spans?, 2) {
            for span in messages(scope_spans?, 2) {
                let (mut trace_id, mut span_id) = (TraceId::default(), SpanId::default());
                for field in Reader::new(span?) {
                    match field? {
                        (1, Field::Bytes(id)) => trace_id = TraceId(id.try_into().map_err(|_| Malformed)?),
                        (2, Field::Bytes(id)) => span_id = SpanId(id.try_into().map_err(|_| Malformed)?),
                        _ => {}
                    }
                    if trace_id.is_valid() && span_id.is_valid() {
                        break;
                    }
                }
                ids.push((trace_id, span_id));
            }
        }
    }
    Ok(())
}

/// Fields: request 1 = resource metrics, there 2 = scope metrics, there 2 = metric, there 5, 7, 9, 10 or 11 = what it is,
/// there 1 = point.
fn count_points(request: &[u8]) -> Result<u64, Malformed> {
    let mut points = 0;
    for resource_metrics in messages(request, 1) {
        for scope_metrics in messages(resource_metrics?, 2) {
            for metric in messages(scope_metrics?, 2) {
                for field in Reader::new(metric?) {
                    if let (5 | 7 | 9 | 10 | 11, Field::Bytes(data)) = field? {
                        for point in messages(data, 1) {
                            point?;
                            points += 1;
                        }
                    }
                }
            }
        }
    }
    Ok(points)
}

fn messages(bytes: &[u8], number: u32) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    Reader::new(bytes).filter_map(move |field| match field {
        Ok((found, Field::Bytes(inner))) if found == number => Some(Ok(inner)),
        Ok(_) => None,
        Err(malformed) => Some(Err(malformed)),
    })
}

/// An answer of the `Export` method: an empty message when all is well, a bare status when not.
fn answer(code: grpc::Code) -> Response<Body> {
    let mut status = HeaderMap::new();
    status.insert("grpc-status", HeaderValue::from(code as u16));
    let mut response = if code == grpc::Code::Ok {
        let body = Full::new(Frame::plain(&[])).with_trailers(async { Some(Ok(status)) });
        Response::new(body.boxed_unsync())
    } else {
        let mut response = Response::new(Full::new(Bytes::new()).boxed_unsync());
        *response.headers_mut() = status;
        response
    };
    *response.status_mut() = StatusCode::OK;
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

//! The collector's own ports: Prometheus metrics (8888), health and what the exporters do (13133). Neither shows a span or
//! a setting.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::account::Account;
use crate::clock::Clock;
use crate::exposition::{ProcessFigures, exporters_json, metrics_text};
use crate::limiter::MemoryLimiter;
use crate::pipeline::Snapshots;
use crate::process;

/// Connections at a time on each of the two ports: a scraper and a few probes need no more. When there are more, the
/// oldest makes room: an honest one is answered at once and is never the oldest for long.
const CONNECTIONS_MAX: usize = 512;
/// A request must be whole, and its answer taken, in this time.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(15);
/// Out of descriptors or the like: the connections that end will free some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A live ingest owner reads the resident size every `check_interval`; after this long without it is not alive.
const BEAT_AGE_MAX: Duration = Duration::from_secs(30);
/// A snapshot waits for room in the channel; a scraper gives up after 10 s by default.
const SNAPSHOT_TIME_MAX: Duration = Duration::from_secs(8);

/// Whether the collector is ready and alive.
#[derive(Debug, Default)]
pub struct Health {
    ready: AtomicBool,
    beat_ms: AtomicU64,
}

/// What the two ports answer from.
pub struct Admin {
    /// The socket of the metrics, when they are on.
    pub metrics: Option<std::net::TcpListener>,
    /// The socket of the health endpoint.
    pub health_listener: std::net::TcpListener,
    /// Ready and alive.
    pub health: Arc<Health>,
    /// Where the account is asked for.
    pub snapshots: Snapshots,
    /// For the memory figures.
    pub limiter: MemoryLimiter,
    /// For the uptime.
    pub clock: Clock,
}

/// What a connection needs.
struct Shared {
    health: Arc<Health>,
    snapshots: Snapshots,
    limiter: MemoryLimiter,
    clock: Clock,
}

#[derive(Debug, Clone, Copy)]
enum Port {
    Metrics,
    Health,
}

// === impl Health ===

impl Health {
    /// Ready: the receivers take requests and go on doing so.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Relaxed);
    }

    /// The ingest owner is alive at `now`.
    pub fn beat(&self, now: Duration) {
        self.beat_ms
            .store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Relaxed)
    }

    fn is_alive(&self, now: Duration) -> bool {
        now.saturating_sub(Duration::from_millis(self.beat_ms.load(Relaxed))) < BEAT_AGE_MAX
    }
}

// === impl Admin ===

impl Admin {
    /// Starts both servers.
    ///
    /// # Errors
    /// A socket that the runtime cannot use.
    pub fn spawn(self, tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
        let shared = Rc::new(Shared {
            health: self.health,
            snapshots: self.snapshots,
            limiter: self.limiter,
            clock: self.clock,
        });
        for (port, listener) in [
            (Port::Metrics, self.metrics),
            (Port::Health, Some(self.health_listener)),
        ] {
            if let Some(listener) = listener {
                let listener = TcpListener::from_std(listener).context("a socket cannot be used")?;
                tasks.spawn_local(serve(port, listener, Rc::clone(&shared)));
            }
        }
        Ok(())
    }
}

async fn serve(port: Port, listener: TcpListener, shared: Rc<Shared>) {
    let mut connections = JoinSet::new();
    let mut in_order: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok((stream, _peer)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        in_order.retain(|connection| !connection.is_finished());
        if in_order.len() >= CONNECTIONS_MAX
            && let Some(oldest) = in_order.pop_front()
        {
            oldest.abort();
        }
        let shared = Rc::clone(&shared);
        in_order.push_back(connections.spawn_local(async move {
            let served = tokio::time::timeout(CONNECTION_TIME_MAX, connection(port, stream, shared)).await;
            if served.is_err() {
                tracing::debug!(?port, "a connection was cut: it took too long");
            }
        }));
    }
}

async fn connection(port: Port, stream: TcpStream, shared: Rc<Shared>) {
    let service = service_fn(move |request| answer(port, request, Rc::clone(&shared)));
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, ?port, "a connection broke");
    }
}

async fn answer(
    port: Port,
    request: Request<Incoming>,
    shared: Rc<Shared>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(match (port, request.uri().path()) {
        (Port::Metrics, "/metrics") => metrics(&shared).await,
        (Port::Health, "/livez") => verdict(shared.health.is_alive(shared.clock.now()), "alive"),
        (Port::Health, "/" | "/readyz") => verdict(shared.health.is_ready(), "ready"),
        (Port::Health, "/exporters") => exporters(&shared).await,
        (Port::Metrics, _) => text(StatusCode::NOT_FOUND, "metrics are at /metrics\n".into()),
        (Port::Health, _) => text(
            StatusCode::NOT_FOUND,
            "health is at /livez and /readyz, what the exporters do at /exporters\n".into(),
        ),
    })
}

async fn snapshot(shared: &Shared) -> Result<Account, Response<Full<Bytes>>> {
    let snapshot = tokio::time::timeout(SNAPSHOT_TIME_MAX, shared.snapshots.take()).await;
    snapshot.ok().flatten().ok_or_else(|| {
        text(
            StatusCode::SERVICE_UNAVAILABLE,
            "no snapshot: the collector is going down or stuck\n".into(),
        )
    })
}

async fn exporters(shared: &Shared) -> Response<Full<Bytes>> {
    let account = match snapshot(shared).await {
        Ok(account) => account,
        Err(none) => return none,
    };
    let json = exporters_json(&account.exporters, Clock::unix_now());
    of_type("application/json", text(StatusCode::OK, json))
}

async fn metrics(shared: &Shared) -> Response<Full<Bytes>> {
    let account = match snapshot(shared).await {
        Ok(account) => account,
        Err(none) => return none,
    };
    let figures = ProcessFigures {
        uptime_seconds: shared.clock.now().as_secs_f64(),
        cpu_seconds: process::cpu_time().as_secs_f64(),
        resident_bytes: process::resident_bytes(),
        accounted_bytes: shared.limiter.accounted(),
    };
    let response = text(StatusCode::OK, metrics_text(&account, &figures));
    of_type("text/plain; version=0.0.4; charset=utf-8", response)
}

fn of_type(kind: &'static str, mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    let kind = http::HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn verdict(good: bool, what: &str) -> Response<Full<Bytes>> {
    if good {
        text(StatusCode::OK, format!("{what}\n"))
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, format!("not {what}\n"))
    }
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

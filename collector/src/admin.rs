//! The collector's own ports: Prometheus metrics (8888), health and what the exporters do (13133). Neither shows a span or
//! a setting.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::account::Account;
use crate::clock::Clock;
use crate::exposition::{ProcessFigures, exporters_json, metrics_text};
use crate::http_port::{of_type, serve, text};
use crate::limiter::MemoryLimiter;
use crate::pipeline::Snapshots;
use crate::process;

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
                let shared = Rc::clone(&shared);
                tasks.spawn_local(serve(port.name(), listener, async move |request| {
                    answer(port, &request, &shared).await
                }));
            }
        }
        Ok(())
    }
}

impl Port {
    fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Health => "health",
        }
    }
}

async fn answer(port: Port, request: &Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    match (port, request.uri().path()) {
        (Port::Metrics, "/metrics") => metrics(shared).await,
        (Port::Health, "/livez") => verdict(shared.health.is_alive(shared.clock.now()), "alive"),
        (Port::Health, "/" | "/readyz") => verdict(shared.health.is_ready(), "ready"),
        (Port::Health, "/exporters") => exporters(shared).await,
        (Port::Metrics, _) => text(StatusCode::NOT_FOUND, "metrics are at /metrics\n".into()),
        (Port::Health, _) => text(
            StatusCode::NOT_FOUND,
            "health is at /livez and /readyz, what the exporters do at /exporters\n".into(),
        ),
    }
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
    let json = exporters_json(&account, Clock::unix_now());
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

fn verdict(good: bool, what: &str) -> Response<Full<Bytes>> {
    if good {
        text(StatusCode::OK, format!("{what}\n"))
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, format!("not {what}\n"))
    }
}

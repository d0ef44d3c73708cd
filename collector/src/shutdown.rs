//! Going down without losing a span:
//!
//! 1. SIGTERM: not ready, and everything as before for 5 s, while the endpoints move;
//! 2. the listeners close, connections are told to finish (GOAWAY, `Connection: close`); then metrics are flushed, beside
//!    what follows;
//! 3. waiting traces are decided at their normal deadlines, for 60 s at most;
//! 4. what is kept is flushed (in `pipeline.rs`), and the last account is logged.
//!
//! When the metrics owner is gone, which it never should be, the collector goes the same way: the spans that it holds do
//! not go with the metrics.
//!
//! SIGINT, from a terminal where no endpoints move, leaves out step 1's wait. A second signal of either kind ends
//! every wait: what is waiting is decided on what is known.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::admin::Health;
use crate::ingest::SharedIngest;
use crate::metrics::SharedInlet;

/// Endpoints move when kube-proxy and clients have seen that the pod is not ready; a few seconds in practice.
const ENDPOINTS_MOVE: Duration = Duration::from_secs(5);

/// No trace is waited for longer than this, whatever `decision_wait` says: the pod's grace period is made from it.
const DECISIONS_MAX: Duration = Duration::from_secs(60);

/// What is stopped, in order.
pub struct Draining {
    /// Where traces wait.
    pub ingest: SharedIngest,
    /// The OTLP servers.
    pub servers: JoinSet<()>,
    /// Tells them to close.
    pub close_receivers: watch::Sender<bool>,
    /// Told when no trace is left.
    pub drained: Rc<Notify>,
    /// Not ready from the first moment.
    pub health: Arc<Health>,
    /// Where requests with metrics go, if there is a pipeline for them.
    pub metrics: Option<SharedInlet>,
}

/// Waits for a signal, then goes through the steps until no trace is left.
///
/// # Errors
/// When signals cannot be received.
pub async fn run(mut draining: Draining) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let endpoints_move = tokio::select! {
        endpoints_move = signals.next() => endpoints_move,
        Some(ended) = draining.servers.join_next() => {
            ended.context("an OTLP server failed")?;
            anyhow::bail!("an OTLP server ended; the collector cannot go on");
        }
        () = metrics_gone(draining.metrics.as_ref()) => {
            tracing::error!("the metrics owner is gone; the collector cannot go on");
            ENDPOINTS_MOVE
        }
    };
    draining.health.set_ready(false);
    tracing::info!("shutting down: not ready any more");
    let mut hurry = signals.wait(endpoints_move).await;

    draining.close_receivers.send_replace(true);
    tracing::info!("shutting down: no new requests");
    if !hurry {
        tokio::select! {
            () = joined(&mut draining.servers) => {}
            _second = signals.next() => hurry = true,
        }
    }
    // After this neither span nor data point comes in any more.
    draining.servers.shutdown().await;
    if let Some(metrics) = &draining.metrics {
        metrics.drain().await;
    }
    if !hurry {
        tokio::select! {
            () = drained(&draining.ingest, &draining.drained) => {}
            () = tokio::time::sleep(DECISIONS_MAX) => {}
            _second = signals.next() => {}
        }
    }
    draining.ingest.borrow_mut().decide_all();
    tracing::info!("shutting down: every trace is decided, flushing");
    Ok(())
}

async fn metrics_gone(metrics: Option<&SharedInlet>) {
    match metrics {
        Some(metrics) => metrics.gone().await,
        None => std::future::pending().await,
    }
}

async fn joined(servers: &mut JoinSet<()>) {
    while let Some(ended) = servers.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a server failed");
        }
    }
}

async fn drained(ingest: &SharedIngest, drained: &Notify) {
    while !ingest.borrow().is_empty() {
        drained.notified().await;
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

// === impl Signals ===

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot receive signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// The next signal: how long endpoints need after it.
    async fn next(&mut self) -> Duration {
        tokio::select! {
            _ = self.terminate.recv() => ENDPOINTS_MOVE,
            _ = self.interrupt.recv() => Duration::ZERO,
        }
    }

    /// Waits; true when another signal came meanwhile.
    async fn wait(&mut self, time: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(time) => false,
            _ = self.next() => true,
        }
    }
}

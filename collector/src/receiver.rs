//! OTLP in: what both servers share. `grpc.rs` and `http.rs` speak the protocols, `body.rs` reads bodies under the
//! limiter, `inflate.rs` undoes compression, `rejection.rs` says what is answered when a request is not taken.

mod body;
mod grpc;
mod http;
mod inflate;
mod pieces;
mod rejection;
mod unary_body;

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use rand::RngExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tracepipe_otlp::walk::RequestWalk;

use body::Admitted;
use rejection::Rejection;

use crate::account::{Outcome, Transport};
use crate::ingest::{Accepted, SharedIngest};
use crate::limiter::MemoryLimiter;

/// Most connections on one port. A node has at most a few hundred pods.
const CONNECTIONS_MAX: usize = 1_000;

/// What a connection holds: its task, its buffers, its state. An estimate on the safe side. Connections are accounted
/// for but not refused for want of memory: on them senders are told when to come back.
const CONNECTION_BYTES: u64 = 32 * 1024;

/// A connection is closed, gracefully, after this long, give or take a fifth: no application may stay for ever on the
/// collector of another node after its own node's has restarted.
const CONNECTION_AGE: Duration = Duration::from_secs(300);

/// How long a connection may take to finish what it has begun once it is told to close.
const CONNECTION_GRACE: Duration = Duration::from_secs(11);

/// One OTLP server: its socket and what its connections need.
pub struct Server {
    transport: Transport,
    listener: TcpListener,
    shared: Rc<Shared>,
}

/// What every connection of a server needs.
struct Shared {
    transport: Transport,
    ingest: SharedIngest,
    limiter: MemoryLimiter,
    max_request_bytes: u64,
    traces_path: String,
}

// === impl Server ===

impl Server {
    /// A server that takes its requests to `ingest`.
    pub fn new(
        transport: Transport,
        listener: TcpListener,
        settings: &tracepipe_config::OtlpServerSettings,
        ingest: SharedIngest,
        limiter: MemoryLimiter,
    ) -> Self {
        let shared = Rc::new(Shared {
            transport,
            ingest,
            limiter,
            max_request_bytes: settings.max_request_bytes,
            traces_path: settings.traces_url_path.clone(),
        });
        Self {
            transport,
            listener,
            shared,
        }
    }

    /// Serves until `closing` turns true, then until the last connection is done.
    pub async fn run(self, closing: watch::Receiver<bool>) {
        let mut closes = closing.clone();
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _peer)) => self.spawn(stream, &mut connections, &closing),
                    // Out of descriptors or the like: the connections that end will free some.
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                Some(_ended) = connections.join_next() => {}
                _ = closes.wait_for(|closing| *closing) => break,
            }
        }
        drop(self.listener);
        while connections.join_next().await.is_some() {}
    }

    fn spawn(
        &self,
        stream: TcpStream,
        connections: &mut tokio::task::JoinSet<()>,
        closing: &watch::Receiver<bool>,
    ) {
        if connections.len() >= CONNECTIONS_MAX {
            tracing::debug!(
                max = CONNECTIONS_MAX,
                "a connection was closed at once: there are too many"
            );
            return;
        }
        // Requests are answered as a whole: waiting for more bytes to send only adds latency.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        let shared = Rc::clone(&self.shared);
        let closing = closing.clone();
        let transport = self.transport;
        connections.spawn_local(async move {
            let _held = shared.limiter.hold(CONNECTION_BYTES);
            match transport {
                Transport::Grpc => grpc::serve(stream, Rc::clone(&shared), closing).await,
                Transport::Http => http::serve(stream, Rc::clone(&shared), closing).await,
            }
        });
    }
}

// === impl Shared ===

impl Shared {
    /// Hands a request that has been read to the ingest owner and accounts for it.
    fn take(&self, wire_bytes: u64, read: Result<Admitted, Rejection>) -> Result<Accepted, Rejection> {
        let mut ingest = self.ingest.borrow_mut();
        ingest.account.receive(self.transport, wire_bytes);
        let taken = read.and_then(|mut admitted| {
            // The walk notes where each span lies: of nearly empty ones that is more than the spans themselves.
            let room = RequestWalk::room_for(&admitted.bytes);
            admitted.reservation.grow(room as u64)?;
            ingest
                .accept(&admitted.bytes)
                .map_err(|error| Rejection::Malformed(error.to_string()))
        });
        let outcome = match &taken {
            Ok(_) => Outcome::Accepted,
            Err(rejection) => rejection.outcome(),
        };
        ingest.account.finish(self.transport, wire_bytes, outcome);
        taken
    }
}

/// A request that is being read. When its sender resets the stream or the connection breaks, hyper drops what reads
/// it, at any point: then it is accounted for here.
struct Reading<'a> {
    shared: &'a Shared,
    /// How many bytes came from the wire so far.
    wire_bytes: Cell<u64>,
    is_over: Cell<bool>,
}

impl<'a> Reading<'a> {
    fn begin(shared: &'a Shared) -> Self {
        Self {
            shared,
            wire_bytes: Cell::new(0),
            is_over: Cell::new(false),
        }
    }

    fn end(self, read: Result<Admitted, Rejection>) -> Result<Accepted, Rejection> {
        self.is_over.set(true);
        self.shared.take(self.wire_bytes.get(), read)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if !self.is_over.get() {
            let broken_off = self.shared.take(self.wire_bytes.get(), Err(Rejection::BrokenOff));
            debug_assert!(broken_off.is_err());
        }
    }
}

/// Drives a connection until it ends by itself, grows too old or the server closes; then `close` begins to close it
/// (GOAWAY, `Connection: close`) and it may finish what it has begun.
async fn drive<C>(connection: C, close: fn(Pin<&mut C>), mut closing: watch::Receiver<bool>)
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = std::pin::pin!(connection);
    let age = CONNECTION_AGE.mul_f64(rand::rng().random_range(0.8..1.2));
    tokio::select! {
        ended = connection.as_mut() => return log_end(ended),
        () = tokio::time::sleep(age) => {}
        _ = closing.wait_for(|closing| *closing) => {}
    }
    close(connection.as_mut());
    match tokio::time::timeout(CONNECTION_GRACE, connection).await {
        Ok(ended) => log_end(ended),
        Err(_elapsed) => tracing::debug!("a connection did not end in time and was cut"),
    }
}

/// Broken connections are the senders' business: one line for who looks for it.
fn log_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

//! OTLP in: what both servers share. `connections.rs` bounds connections, `peer.rs` and `wire.rs` are one of them, `grpc.rs`
//! and `http.rs` speak the protocols, `body.rs` reads bodies under the limiter, `message.rs` makes protobuf of them, `inflate.rs` undoes compression, `shared.rs` takes them to the ingest
//! owner, `rejection.rs` says what is answered when a request is not taken.

mod body;
mod connections;
mod grpc;
mod http;
mod inflate;
mod message;
mod peer;
mod pieces;
mod rejection;
mod shared;
mod unary_body;
mod wire;

use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use connections::Connections;
use peer::Peer;
use shared::Shared;

use crate::account::Transport;
use crate::ingest::SharedIngest;
use crate::limiter::MemoryLimiter;
use crate::metrics::SharedInlet;

/// Out of descriptors or the like: the connections that end will free some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One OTLP server: its socket and what its connections need.
pub struct Server {
    transport: Transport,
    listener: TcpListener,
    shared: Rc<Shared>,
}

/// Where requests go.
#[derive(Clone)]
pub struct Owners {
    /// Those with spans; the account of all that nobody takes is with it.
    pub ingest: SharedIngest,
    /// There is a pipeline for spans. Without one requests with them are refused.
    pub takes_traces: bool,
    /// Those with metrics, if there is a pipeline for them.
    pub metrics: Option<SharedInlet>,
}

// === impl Server ===

impl Server {
    /// A server that takes its requests to their owners.
    pub fn new(
        transport: Transport,
        listener: TcpListener,
        settings: &tracepipe_config::OtlpServerSettings,
        owners: Owners,
        limiter: MemoryLimiter,
    ) -> Self {
        let shared = Rc::new(Shared::new(transport, settings, owners, limiter));
        Self {
            transport,
            listener,
            shared,
        }
    }

    /// Serves until `closing` turns true, then until the last connection is done.
    pub async fn run(self, closing: watch::Receiver<bool>) {
        let mut closes = closing.clone();
        let mut connections = Connections::default();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _address)) => self.spawn(stream, &mut connections, &closing),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                () = connections.one_ended() => {}
                _ = closes.wait_for(|closing| *closing) => break,
            }
        }
        drop(self.listener);
        connections.all_ended().await;
        self.shared.finish().await;
    }

    fn spawn(&self, stream: TcpStream, connections: &mut Connections, closing: &watch::Receiver<bool>) {
        if !connections.make_room() {
            tracing::debug!("a connection was closed at once: there are too many");
            return;
        }
        // Requests are answered as a whole: waiting for more bytes to send only adds latency.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        let peer = Rc::new(Peer::new(Rc::clone(&self.shared)));
        let (served, closing) = (Rc::clone(&peer), closing.clone());
        match self.transport {
            Transport::Grpc => connections.spawn(&peer, grpc::serve(stream, served, closing)),
            Transport::Http => connections.spawn(&peer, http::serve(stream, served, closing)),
        }
    }
}

//! The backend: an OTLP/gRPC server that costs little and knows which spans it must get.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::bench::ledger::Ledger;
use crate::clock;

/// The sink never slows a collector down: what a message may hold and two more.
const STREAM_WINDOW: u32 = 64 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024 * 1024;
const FRAME_BYTES_MAX: u32 = 1024 * 1024;
/// Bytes before a gRPC message.
const GRPC_PREFIX: usize = 5;

/// A running sink. It ends when dropped.
pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    /// Arrivals are counted from here.
    epoch: Instant,
    ledger: Mutex<Ledger>,
    /// For the next messages: some megabytes each, which the allocator would give back and take again page by page.
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl Sink {
    /// Listens on a free port of 127.0.0.1 for the traces of `seed`; arrival times count from `epoch`.
    ///
    /// # Errors
    /// When nothing can be bound.
    pub async fn start(seed: u64, epoch: Instant) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            epoch,
            ledger: Mutex::new(Ledger::new(seed)),
            buffers: Mutex::default(),
        });
        let server = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            server,
        })
    }

    /// The `endpoint` of the exporter.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came; do not wait while you look.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.shared.ledger()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn buffers(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // A failed accept (no file handle left) concerns one connection, not the server. Connections end with their client.
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                // How a connection ends is the client's matter: what it delivered is in the ledger.
                drop(connection(stream, shared).await);
            });
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = h2::server::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_BYTES_MAX)
        .handshake::<_, Bytes>(stream)
        .await?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            drop(exchange(request.into_body(), respond, shared).await);
        });
    }
    Ok(())
}

async fn exchange(
    mut body: RecvStream,
    mut respond: SendResponse<Bytes>,
    shared: Arc<Shared>,
) -> anyhow::Result<()> {
    let mut bytes = shared.buffers().pop().unwrap_or_default();
    bytes.clear();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    let micros = clock::now().saturating_duration_since(shared.epoch).as_micros();
    let (prefix, message) = bytes.split_at_checked(GRPC_PREFIX).unwrap_or_default();
    // A compressed message is read as none: the configuration says that there is no compression.
    let message = if prefix.first() == Some(&0) {
        message
    } else {
        &[0][..]
    };
    shared
        .ledger()
        .enter(message, u32::try_from(micros).unwrap_or(u32::MAX));
    shared.buffers().push(bytes);

    let mut response = Response::new(());
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    let mut stream = respond.send_response(response, false)?;
    stream.send_data(Bytes::from_static(&[0; GRPC_PREFIX]), false)?;
    let mut status = HeaderMap::new();
    status.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(status)?;
    Ok(())
}

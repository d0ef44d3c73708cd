//! What the fakes share: an HTTP server on 127.0.0.1 that speaks HTTP/1.1 and HTTP/2, with TLS or without.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A response's body; errors cannot happen, trailers can.
pub(crate) type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// What a handler returns to have the connection closed without an answer.
#[derive(Debug)]
pub(crate) struct CloseConnection;

impl std::fmt::Display for CloseConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the fake was told to close the connection")
    }
}

impl std::error::Error for CloseConnection {}

/// Where and how to listen.
pub(crate) struct Listen {
    /// `None`: a free port of 127.0.0.1.
    pub(crate) at: Option<SocketAddr>,
    /// `None`: plain text.
    pub(crate) tls: Option<TlsAcceptor>,
}

/// A running server; dropping it closes the listener and every connection at once.
pub(crate) struct Server {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Binds and serves.
    pub(crate) async fn start<H, F>(listen: Listen, handler: H) -> io::Result<Self>
    where
        H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Response<Body>, CloseConnection>> + Send + 'static,
    {
        let at = listen
            .at
            .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let listener = TcpListener::bind(at).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, listen.tls, Arc::new(handler)));
        Ok(Self { address, task })
    }

    /// The bound address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept<H, F>(listener: TcpListener, tls: Option<TlsAcceptor>, handler: Arc<H>)
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Response<Body>, CloseConnection>> + Send + 'static,
{
    // Owned here, so that the connections end with the server.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A failed accept (no file handle left) concerns one connection, not the server.
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(stream, tls.clone(), Arc::clone(&handler)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection<H, F>(stream: TcpStream, tls: Option<TlsAcceptor>, handler: Arc<H>)
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Response<Body>, CloseConnection>> + Send + 'static,
{
    let service = service_fn(move |request| handler(request));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(1024);
    // Nagle's algorithm would add 40 ms to every small answer.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    // How a connection ends is the client's matter: what it did has been counted by the handler.
    let _ended = match tls {
        None => builder.serve_connection(TokioIo::new(stream), service).await,
        Some(acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => builder.serve_connection(TokioIo::new(stream), service).await,
            Err(_) => return,
        },
    };
}

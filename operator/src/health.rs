//! `/livez`, `/readyz` and `/metrics`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::metrics::Metrics;
use crate::watches::Nodes;

/// Connections at once on each port; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;
/// A request's head has to be here in this time.
const HEAD_LIMIT: Duration = Duration::from_secs(5);

/// After a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Both ports, bound.
#[derive(Debug)]
pub(crate) struct Health {
    health: TcpListener,
    metrics: TcpListener,
}

/// What a port answers: status and text, None for what is not there.
type Answer = dyn Fn(&str) -> Option<(StatusCode, String)> + Send + Sync;

impl Health {
    /// Binds both.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub(crate) async fn bind(health: SocketAddr, metrics: SocketAddr) -> anyhow::Result<Self> {
        let bind = async |at: SocketAddr| {
            TcpListener::bind(at)
                .await
                .with_context(|| format!("listening on {at}"))
        };
        Ok(Self {
            health: bind(health).await?,
            metrics: bind(metrics).await?,
        })
    }

    /// Answers, for ever. Ready: the nodes were listed once, so what is said of a pipeline rests on something.
    ///
    /// # Errors
    /// When a port can no longer be listened on.
    pub(crate) async fn serve(self, metrics: Arc<Metrics>, nodes: Nodes) -> anyhow::Result<()> {
        let health: Arc<Answer> = Arc::new(move |path| match path {
            "/livez" => Some((StatusCode::OK, "ok\n".to_owned())),
            "/readyz" if nodes.listed() => Some((StatusCode::OK, "ok\n".to_owned())),
            "/readyz" => Some((
                StatusCode::SERVICE_UNAVAILABLE,
                "nodes are not listed yet\n".to_owned(),
            )),
            _ => None,
        });
        let figures: Arc<Answer> =
            Arc::new(move |path| (path == "/metrics").then(|| (StatusCode::OK, metrics.render())));
        tokio::try_join!(listen(self.health, health), listen(self.metrics, figures))?;
        Ok(())
    }
}

async fn listen(listener: TcpListener, answer: Arc<Answer>) -> anyhow::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await?;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // The peer is gone again, or descriptors are short for a moment: neither is a reason to end.
            Err(error) => {
                tracing::warn!(%error, "accepting a connection to health or metrics");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let answer = Arc::clone(&answer);
        tokio::spawn(async move {
            serve(stream, answer).await;
            drop(place);
        });
    }
}

async fn serve(stream: TcpStream, answer: Arc<Answer>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answered = answer(request.uri().path());
        async move { Ok::<_, Infallible>(response(answered)) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to health or metrics");
    }
}

fn response(answered: Option<(StatusCode, String)>) -> Response<Full<Bytes>> {
    let (status, text) = answered.unwrap_or((StatusCode::NOT_FOUND, "not found\n".to_owned()));
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let plain = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

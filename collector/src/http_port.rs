//! A small HTTP server for whoever reads: metrics, health, the page of the `prometheus` exporter. One request a connection.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// Connections at a time on each port: a scraper and a few probes need no more. When there are more, the oldest makes
/// room: an honest one is answered at once and is never the oldest for long.
const CONNECTIONS_MAX: usize = 512;
/// A request must be whole, and its answer taken, in this time.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(15);
/// What is read ahead of a request, whose head must fit, and what is made ahead of an answer, beside one piece of it. A
/// browser's head is a quarter of it.
const BUFFER_BYTES_MAX: usize = 32 * 1024;
/// Out of descriptors or the like: the connections that end will free some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers requests on a port until it is dropped. `port` is its name in the log.
pub(crate) async fn serve<B, A>(port: &'static str, listener: TcpListener, answer: A)
where
    B: Body<Data = Bytes, Error = Infallible> + 'static,
    A: AsyncFn(Request<Incoming>) -> Response<B> + 'static,
{
    let answer = Rc::new(answer);
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
        let answer = Rc::clone(&answer);
        in_order.push_back(connections.spawn_local(async move {
            let served = tokio::time::timeout(CONNECTION_TIME_MAX, connection(port, stream, answer)).await;
            if served.is_err() {
                tracing::debug!(port, "a connection was cut: it took too long");
            }
        }));
    }
}

async fn connection<B, A>(port: &'static str, stream: TcpStream, answer: Rc<A>)
where
    B: Body<Data = Bytes, Error = Infallible> + 'static,
    A: AsyncFn(Request<Incoming>) -> Response<B> + 'static,
{
    let service = service_fn(move |request| {
        let answer = Rc::clone(&answer);
        async move { Ok::<_, Infallible>(answer(request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, port, "a connection broke");
    }
}

/// An answer for a person.
pub(crate) fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

/// An answer with another content type.
pub(crate) fn of_type<B>(kind: &'static str, mut response: Response<B>) -> Response<B> {
    let kind = http::HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

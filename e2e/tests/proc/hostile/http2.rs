//! gRPC calls with any body, through a real HTTP/2 client; and HTTP/2 frames by hand for what no client sends.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tracepipe_e2e::otlp_sink::EXPORT_PATH;

use super::rpc::RpcStatus;
use super::site::soon;

/// A request's body: some bytes, others again and again, and then its end, or not.
pub(super) struct Feed {
    first: Option<Bytes>,
    piece: Bytes,
    times: usize,
    after: After,
}

/// What follows.
pub(super) enum After {
    /// The body ends.
    End,
    /// It never ends.
    Silence,
    /// It goes on with a byte at each tick.
    Drip(tokio::time::Interval),
}

impl Feed {
    /// These bytes.
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::new(bytes, After::End)
    }

    /// These bytes, and then something else.
    pub(super) fn new(bytes: impl Into<Bytes>, after: After) -> Self {
        Self {
            first: Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty()),
            piece: Bytes::new(),
            times: 0,
            after,
        }
    }

    /// With `piece` so many times before the rest.
    pub(super) fn with_pieces(mut self, piece: Bytes, times: usize) -> Self {
        (self.piece, self.times) = (piece, times);
        self
    }
}

impl Body for Feed {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if self.times > 0 {
            self.times -= 1;
            return Poll::Ready(Some(Ok(Frame::data(self.piece.clone()))));
        }
        match &mut self.after {
            After::End => Poll::Ready(None),
            After::Silence => Poll::Pending,
            After::Drip(interval) => {
                ready!(interval.poll_tick(context));
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"\0")))))
            }
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    headers: HeaderMap,
    /// `grpc-status`.
    pub(super) code: i32,
    /// From `grpc-status-details-bin`.
    pub(super) details: Option<RpcStatus>,
    /// The message, without its prefix.
    pub(super) message: Bytes,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Seconds after which the same request may come again.
    pub(super) fn retry_seconds(&self) -> Option<i64> {
        self.details.as_ref()?.retry_seconds()
    }
}

/// A connection of a real client.
#[derive(Clone)]
pub(super) struct Client {
    sender: SendRequest<Feed>,
}

impl Client {
    pub(super) async fn open(at: SocketAddr) -> Self {
        let stream = soon("a connection", TcpStream::connect(at)).await.unwrap();
        let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        // It ends with the server or with the last sender.
        tokio::spawn(connection);
        Self { sender }
    }

    /// A call of the traces service with these headers on top.
    pub(super) async fn export(&mut self, headers: &[(&str, &str)], body: Feed) -> Answer {
        self.call(EXPORT_PATH, headers, body).await
    }

    /// A call. A content type in `headers` takes the place of gRPC's.
    pub(super) async fn call(&mut self, path: &str, headers: &[(&str, &str)], body: Feed) -> Answer {
        let mut request = Request::post(format!("http://collector{path}")).header("te", "trailers");
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/grpc");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).unwrap();
        let exchange = async {
            let response = self.sender.send_request(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let collected = body.collect().await.unwrap();
            let mut headers = parts.headers;
            headers.extend(collected.trailers().cloned().unwrap_or_default());
            let code = headers["grpc-status"].to_str().unwrap().parse().unwrap();
            let details = headers.get("grpc-status-details-bin");
            let details = details.map(|details| RpcStatus::from_header(details.to_str().unwrap()));
            let bytes = collected.to_bytes();
            Answer {
                headers,
                code,
                details,
                message: bytes.slice(bytes.len().min(5)..),
            }
        };
        soon("a gRPC answer", exchange).await
    }
}

/// A call on a connection of its own.
pub(super) async fn export(at: SocketAddr, headers: &[(&str, &str)], body: Feed) -> Answer {
    Client::open(at).await.export(headers, body).await
}

/// HTTP/2's frame types (RFC 9113, section 6), and one that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Data = 0,
    Headers = 1,
    RstStream = 3,
    Settings = 4,
    Goaway = 7,
    Continuation = 9,
    Unknown = 0xbb,
}

/// What every connection starts with: the preface and empty settings.
pub(super) fn preface() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut bytes, (Kind::Settings, 0), 0, &[]);
    bytes
}

/// Appends a frame.
pub(super) fn frame(bytes: &mut Vec<u8>, (kind, flags): (Kind, u8), stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    bytes.extend_from_slice(&length[1..]);
    bytes.extend_from_slice(&[kind as u8, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}

/// The end of a header block.
pub(super) const END_HEADERS: u8 = 4;

/// The header block of an export call, without compression (RFC 7541, section 6.2.2).
pub(super) fn export_headers() -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "collector"),
        (":path", EXPORT_PATH),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        literal(&mut block, name, value);
    }
    block
}

/// Appends one header.
pub(super) fn literal(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        // Seven bits of length; nothing here is longer.
        let length = u8::try_from(text.len()).unwrap();
        assert!(length < 127, "{text} is too long");
        block.push(length);
        block.extend_from_slice(text.as_bytes());
    }
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// GOAWAY with this error code (RFC 9113, section 7).
    Goaway(u32),
    /// Without a word.
    Closed,
}

/// Reads until the server closes; of several GOAWAYs the last counts.
pub(super) async fn end_of(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> End {
    let mut end = End::Closed;
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        if stream.read_exact(&mut payload).await.is_err() {
            break;
        }
        if head[3] == Kind::Goaway as u8 {
            end = End::Goaway(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
    }
    end
}

/// Writes `bytes` on a new connection and waits for the server to end it.
pub(super) async fn provoke(at: SocketAddr, bytes: &[u8]) -> End {
    let stream = soon("a connection", TcpStream::connect(at)).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let writing = async {
        // A server may well end it in the middle.
        write.write_all(bytes).await.ok();
        std::future::pending::<()>().await;
    };
    let ending = soon("the end of a connection", end_of(&mut read));
    tokio::select! {
        end = ending => end,
        () = writing => End::Closed,
    }
}

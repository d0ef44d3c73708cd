//! One connection that requests leave by, and what was said to each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, Uri};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::bench::payload::Coding;
use crate::load::{self, Outcome, Protocol, Sender, Target};
use crate::otlp_sink::{EXPORT_PATH, METRICS_EXPORT_PATH};
use crate::workload::Encoding;

/// An answer later than this is none.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// An answer holds a status and a sentence.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Answer {
    /// Not known yet.
    #[default]
    Waiting,
    /// All of its spans were taken.
    Accepted,
    /// Refused with a code (and, where the rules ask for it, a delay) that says "come again".
    Retryable,
    /// Refused for good, or in part.
    Refused,
    /// No answer: the connection was lost or time is over.
    Failed,
    /// Never sent: too much was on the way.
    Unsent,
}

/// A client of the collector.
pub enum Link {
    /// One HTTP/2 connection, driven by hand: the common client costs more than what is measured.
    Grpc {
        /// Opens streams.
        requests: SendRequest<Bytes>,
        /// `http://host:port/...`
        uri: Uri,
        /// `grpc-encoding`.
        coding: Coding,
        /// Moves the bytes.
        connection: JoinHandle<()>,
    },
    /// HTTP/1.1, as many connections as requests wait at a time.
    Http(Arc<Sender>),
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Self::Grpc { connection, .. } = self {
            connection.abort();
        }
    }
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens or speaks HTTP/2.
    pub async fn open(address: SocketAddr, protocol: Protocol, coding: Coding) -> anyhow::Result<Self> {
        if protocol == Protocol::Http {
            anyhow::ensure!(coding == Coding::Plain, "HTTP is measured without compression");
            return Ok(Self::Http(Arc::new(Sender::new(Target::http(address))?)));
        }
        Self::open_grpc(address, EXPORT_PATH, coding).await
    }

    /// Connects by gRPC, for requests with metrics, not compressed.
    ///
    /// # Errors
    /// As [`Link::open`].
    pub async fn of_metrics(address: SocketAddr) -> anyhow::Result<Self> {
        Self::open_grpc(address, METRICS_EXPORT_PATH, Coding::Plain).await
    }

    async fn open_grpc(address: SocketAddr, path: &str, coding: Coding) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        let (requests, connection) = h2::client::handshake(stream).await?;
        let connection = tokio::spawn(async move {
            // How it ends, the requests on it say.
            drop(connection.await);
        });
        Ok(Self::Grpc {
            requests,
            uri: format!("http://{address}{path}").parse()?,
            coding,
            connection,
        })
    }

    /// Waits until the server has said how it wants to be spoken to, so that the first request is as fast as others.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn ready(&self) -> anyhow::Result<()> {
        if let Self::Grpc { requests, .. } = self {
            requests.clone().ready().await?;
        }
        Ok(())
    }

    /// Sends `body` and says what came back; the future does not borrow.
    pub fn send(&self, body: Bytes) -> impl Future<Output = Answer> + Send + 'static + use<> {
        let parts = match self {
            Self::Grpc {
                requests,
                uri,
                coding,
                ..
            } => Ok((requests.clone(), uri.clone(), *coding)),
            Self::Http(sender) => Err(Arc::clone(sender)),
        };
        let exchange = async move {
            match parts {
                Ok((requests, uri, coding)) => {
                    grpc(requests, uri, coding, body).await.unwrap_or(Answer::Failed)
                }
                Err(sender) => answer_of(&sender.send(body, Encoding::Protobuf).await),
            }
        };
        async move {
            tokio::time::timeout(ANSWER_TIMEOUT, exchange)
                .await
                .unwrap_or(Answer::Failed)
        }
    }
}

async fn grpc(requests: SendRequest<Bytes>, uri: Uri, coding: Coding, body: Bytes) -> anyhow::Result<Answer> {
    let mut request = Request::post(uri)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(name) = coding.name() {
        request = request.header("grpc-encoding", name);
    }
    let mut requests = requests.ready().await?;
    let (response, mut stream) = requests.send_request(request.body(())?, false)?;
    stream.send_data(body, true)?;
    let (parts, mut body) = response.await?.into_parts();
    let mut message = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        anyhow::ensure!(message.len() + chunk.len() <= ANSWER_BYTES_MAX, "a long answer");
        message.extend_from_slice(&chunk);
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    if is_plain_ok(&trailers) && message.iter().all(|byte| *byte == 0) {
        return Ok(Answer::Accepted);
    }
    Ok(answer_of(&load::grpc_outcome(&parts, &trailers, &message.into())))
}

/// The usual answer, an empty message and status 0: five zeros and this.
fn is_plain_ok(trailers: &HeaderMap) -> bool {
    trailers.get("grpc-status").is_some_and(|status| status == "0")
}

fn answer_of(outcome: &Outcome) -> Answer {
    match outcome {
        Outcome::Accepted { rejected_spans: 0 } => Answer::Accepted,
        Outcome::Accepted { .. } | Outcome::Refused { retryable: false, .. } => Answer::Refused,
        Outcome::Refused { retryable: true, .. } => Answer::Retryable,
        Outcome::Failed(_) => Answer::Failed,
    }
}

//! An HTTP/1.1 client that sends what it is told, right or wrong, and reads whatever comes back.

use std::net::SocketAddr;

use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::rpc::RpcStatus;
use super::site::soon;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// `100 Continue` came first.
    pub(super) continued: bool,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The status in the body, by the answer's content type.
    pub(super) fn rpc_status(&self) -> RpcStatus {
        match self.header("content-type") {
            Some("application/x-protobuf") => RpcStatus::decode(&self.body[..]).unwrap(),
            Some("application/json") => RpcStatus::from_json(&self.body),
            other => panic!("{} with content type {other:?}", self.status),
        }
    }

    /// The sender is told that there will be no further answer on this connection.
    pub(super) fn says_close(&self) -> bool {
        self.header("connection") == Some("close")
    }
}

/// A request's head; `headers` without the last line break.
pub(super) fn head(line: &str, headers: &[&str]) -> Vec<u8> {
    let mut head = format!("{line} HTTP/1.1\r\nhost: collector\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// A whole request with its length.
pub(super) fn request(line: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let length = format!("content-length: {}", body.len());
    let headers = [headers, &[&length]].concat();
    [&head(line, &headers)[..], body].concat()
}

/// `POST /v1/traces` of a whole body.
pub(super) fn post(kind: &str, body: &[u8]) -> Vec<u8> {
    request("POST /v1/traces", &[&format!("content-type: {kind}")], body)
}

/// A connection.
pub(super) struct Connection {
    stream: TcpStream,
}

impl Connection {
    pub(super) async fn open(at: SocketAddr) -> Self {
        let stream = soon("a connection", TcpStream::connect(at)).await.unwrap();
        Self { stream }
    }

    /// Writes; a server that has closed is seen when it is read from.
    pub(super) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.ok();
    }

    /// Ends the writing side.
    pub(super) async fn finish(&mut self) {
        self.stream.shutdown().await.ok();
    }

    /// The next answer; `None` when the server closed without one.
    pub(super) async fn answer(&mut self) -> Option<Answer> {
        soon("an answer", read_answer(&mut self.stream)).await
    }

    /// Sends a request and reads its answer.
    pub(super) async fn ask(&mut self, request: &[u8]) -> Answer {
        self.write(request).await;
        self.answer().await.expect("an answer")
    }

    /// Writes `piece` until there is an answer, `times` at most. With `every`, one at each of its ticks.
    pub(super) async fn feed(
        self,
        piece: &[u8],
        times: usize,
        mut every: Option<tokio::time::Interval>,
    ) -> (Self, Option<Answer>) {
        let (mut read, mut write) = self.stream.into_split();
        let feeding = async {
            for _ in 0..times {
                if let Some(every) = &mut every {
                    every.tick().await;
                }
                if write.write_all(piece).await.is_err() {
                    break;
                }
            }
            std::future::pending().await
        };
        let answer = tokio::select! {
            answer = soon("an answer", read_answer(&mut read)) => answer,
            () = feeding => None,
        };
        let stream = read.reunite(write).unwrap();
        (Self { stream }, answer)
    }

    /// Everything until the server closes.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is a close, too.
        soon("the end of the connection", self.stream.read_to_end(&mut rest))
            .await
            .ok();
        rest
    }
}

async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> Option<Answer> {
    let mut continued = false;
    loop {
        let head = read_head(stream).await?;
        let mut lines = head.split("\r\n");
        let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        if status == 100 {
            continued = true;
            continue;
        }
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
            continued,
        };
        let length = answer
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        answer.body = vec![0; length];
        stream.read_exact(&mut answer.body).await.ok()?;
        return Some(answer);
    }
}

/// Byte by byte: answers are small, and what follows is left for the next.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

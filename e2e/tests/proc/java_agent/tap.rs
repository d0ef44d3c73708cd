//! A listener between an OTLP/HTTP client and a server. It passes every byte on, both ways, and keeps what the client said.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A running tap. It ends when dropped, and its connections with it.
pub(crate) struct Tap {
    address: SocketAddr,
    heard: Arc<Heard>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Heard {
    /// What came on each connection, in the order of the connections.
    connections: Mutex<Vec<Vec<u8>>>,
    bytes: watch::Sender<usize>,
}

impl Tap {
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Heard::default());
        let of_task = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let number = of_task.open();
                connections.spawn(pass(client, server, Arc::clone(&of_task), number));
            }
        });
        Self { address, heard, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bodies of all requests that came whole so far.
    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        let connections = self.heard.lock();
        connections.iter().flat_map(|bytes| bodies(bytes)).collect()
    }

    /// Returns as soon as the bodies fulfil the condition. Set your own time limit around it.
    pub(crate) async fn wait_until(&self, condition: impl Fn(&[Vec<u8>]) -> bool) {
        let mut bytes = self.heard.bytes.subscribe();
        // The sender lives in `self.heard`, so the wait cannot fail.
        bytes.wait_for(|_| condition(&self.bodies())).await.unwrap();
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Heard {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> usize {
        let mut connections = self.lock();
        connections.push(Vec::new());
        connections.len() - 1
    }

    fn hear(&self, number: usize, said: &[u8]) {
        self.lock()[number].extend_from_slice(said);
        self.bytes.send_modify(|bytes| *bytes += said.len());
    }
}

async fn pass(client: TcpStream, server: SocketAddr, heard: Arc<Heard>, number: usize) {
    let server = TcpStream::connect(server).await.unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = async {
        let mut buffer = vec![0; 64 * 1024];
        // A client that goes away may reset its connection.
        while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
            heard.hear(number, &buffer[..length]);
            to_server.write_all(&buffer[..length]).await.unwrap();
        }
        drop(to_server.shutdown().await);
    };
    tokio::join!(there, tokio::io::copy(&mut from_server, &mut to_client))
        .1
        .ok();
}

/// The bodies of HTTP/1.1 requests that say how long they are.
fn bodies(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        assert!(head.starts_with("post /v1/metrics http/1.1"), "{head}");
        assert!(!head.contains("content-encoding"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.expect("a length").trim().parse().unwrap();
        let Some(body) = bytes.get(end + 4..end + 4 + length) else {
            break;
        };
        found.push(body.to_vec());
        bytes = &bytes[end + 4 + length..];
    }
    found
}

//! A way to a server that can be broken.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Another process may have the port for a moment.
const BIND_AGAIN: Duration = Duration::from_millis(100);
/// Less than a line of status and headers.
const HALF_REPLY: usize = 60;

/// How the way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Open to this server.
    Open(SocketAddr),
    /// Nobody listens: connections are refused.
    Gone,
    /// Connections are taken, and nothing comes back.
    Hang,
    /// Requests get through to this server; of its answers only the beginning, then the connection ends.
    Half(SocketAddr),
}

/// An address that leads somewhere. It is closed when dropped.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    way: watch::Sender<Way>,
    task: JoinHandle<()>,
}

impl Door {
    /// A free port of 127.0.0.1 that leads to `server`.
    ///
    /// # Errors
    /// When none can be bound.
    pub async fn start(server: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (way, changes) = watch::channel(Way::Open(server));
        let task = tokio::spawn(keep(listener, address, changes));
        Ok(Self { address, way, task })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on; connections that are open end.
    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep(listener: TcpListener, address: SocketAddr, mut changes: watch::Receiver<Way>) {
    let mut listener = Some(listener);
    loop {
        let way = *changes.borrow_and_update();
        let opened = match (way, listener.take()) {
            (Way::Gone, _) => None,
            (_, Some(open)) => Some(open),
            (_, None) => match TcpListener::bind(address).await {
                Ok(open) => Some(open),
                Err(_) => {
                    tokio::time::sleep(BIND_AGAIN).await;
                    continue;
                }
            },
        };
        let changed = match &opened {
            None => changes.changed().await,
            // Its connections end with it.
            Some(open) => tokio::select! {
                changed = changes.changed() => changed,
                () = serve(open, way) => Ok(()),
            },
        };
        listener = opened;
        if changed.is_err() {
            return;
        }
    }
}

async fn serve(listener: &TcpListener, way: Way) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(stream, way));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(mut outside: TcpStream, way: Way) -> std::io::Result<()> {
    match way {
        Way::Gone => {}
        Way::Open(server) => {
            let mut inside = TcpStream::connect(server).await?;
            inside.set_nodelay(true)?;
            outside.set_nodelay(true)?;
            copy_bidirectional(&mut outside, &mut inside).await?;
        }
        Way::Hang => std::future::pending().await,
        Way::Half(server) => {
            let inside = TcpStream::connect(server).await?;
            let (mut from_inside, mut to_inside) = inside.into_split();
            let (mut from_outside, mut to_outside) = outside.into_split();
            tokio::select! {
                // It goes on until the other half ends it.
                Err(error) = copy(&mut from_outside, &mut to_inside) => return Err(error),
                half = half(&mut from_inside, &mut to_outside) => half?,
            }
        }
    }
    Ok(())
}

async fn half(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
) -> std::io::Result<()> {
    let mut beginning = [0; HALF_REPLY];
    let count = from.read(&mut beginning).await?;
    to.write_all(beginning.get(..count).unwrap_or_default()).await
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::{Door, HALF_REPLY, Way};

    /// Answers each connection with 200 bytes after the first byte.
    async fn server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut byte = [0];
                if stream.read_exact(&mut byte).await.is_ok() {
                    drop(stream.write_all(&[7; 200]).await);
                }
            }
        });
        address
    }

    /// Bytes that come back until the connection ends or for half a second; `None` when there is no connection.
    async fn ask(door: SocketAddr) -> Option<usize> {
        let mut stream = TcpStream::connect(door).await.ok()?;
        stream.write_all(&[1]).await.ok()?;
        let mut all = Vec::new();
        let reading = stream.read_to_end(&mut all);
        drop(tokio::time::timeout(Duration::from_millis(500), reading).await);
        Some(all.len())
    }

    #[tokio::test]
    async fn each_way_is_as_it_says_and_the_address_stays() {
        let server = server().await;
        let door = Door::start(server).await.unwrap();
        let at = door.address();
        for (way, bytes) in [
            (Way::Open(server), Some(200)),
            (Way::Gone, None),
            (Way::Hang, Some(0)),
            (Way::Half(server), Some(HALF_REPLY)),
            (Way::Gone, None),
            (Way::Open(server), Some(200)),
        ] {
            door.set(way);
            let is_so = async {
                while ask(at).await != bytes {
                    tokio::task::yield_now().await;
                }
            };
            let in_time = tokio::time::timeout(Duration::from_secs(30), is_so).await;
            assert!(in_time.is_ok(), "{way:?}");
        }
    }
}

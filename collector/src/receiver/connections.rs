//! The connections of one port: how many there may be, and who goes when there are more.

use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::time::Duration;

use rand::RngExt;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::peer::Peer;

/// Most connections on one port. A node has at most a few hundred pods.
const CONNECTIONS_MAX: usize = 1_000;

/// So many more may be there while they end to make room. Beyond that new ones are closed at once.
const LEAVING_MAX: usize = 100;

/// A connection is closed, gracefully, after this long, give or take a fifth: no application may stay for ever on the
/// collector of another node after its own node's has restarted.
const CONNECTION_AGE: Duration = Duration::from_secs(300);

/// How long a connection may take to finish what it has begun once it is told to close.
const CONNECTION_GRACE: Duration = Duration::from_secs(11);

/// The same when it has to make room for another.
const LEAVING_GRACE: Duration = Duration::from_secs(1);

/// The connections of one port.
#[derive(Default)]
pub(super) struct Connections {
    tasks: JoinSet<()>,
    peers: Vec<Weak<Peer>>,
}

// === impl Connections ===

impl Connections {
    /// Room for one more: when there are too many, the one that has been of no use for longest is told to go. False when
    /// there is none: too many are going already.
    pub(super) fn make_room(&mut self) -> bool {
        while self.tasks.try_join_next().is_some() {}
        if self.tasks.len() < CONNECTIONS_MAX {
            return true;
        }
        self.peers.retain(|peer| peer.strong_count() > 0);
        let longest_idle = self
            .peers
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|peer| !peer.is_leaving())
            .min_by_key(|peer| peer.rank());
        if let Some(peer) = longest_idle {
            peer.tell_to_leave();
        }
        self.tasks.len() < CONNECTIONS_MAX + LEAVING_MAX
    }

    /// Serves a connection. [`Self::make_room`] was asked before.
    pub(super) fn spawn(&mut self, peer: &Rc<Peer>, serving: impl Future<Output = ()> + 'static) {
        if self.peers.len() == self.peers.capacity() {
            self.peers.retain(|peer| peer.strong_count() > 0);
        }
        self.peers.push(Rc::downgrade(peer));
        self.tasks.spawn_local(serving);
    }

    /// Waits until one has ended; none is left: waits for ever.
    pub(super) async fn one_ended(&mut self) {
        if self.tasks.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until all have ended.
    pub(super) async fn all_ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Drives a connection until it ends by itself, grows too old, has to make room or the server closes; then `close` begins
/// to close it (GOAWAY, `Connection: close`) and it may finish what it has begun.
pub(super) async fn drive<C>(
    connection: C,
    close: fn(Pin<&mut C>),
    peer: &Peer,
    mut closing: watch::Receiver<bool>,
) where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = std::pin::pin!(connection);
    let age = CONNECTION_AGE.mul_f64(rand::rng().random_range(0.8..1.2));
    let grace = tokio::select! {
        ended = connection.as_mut() => return log_end(ended),
        () = tokio::time::sleep(age) => CONNECTION_GRACE,
        () = peer.told_to_leave() => LEAVING_GRACE,
        _ = closing.wait_for(|closing| *closing) => CONNECTION_GRACE,
    };
    close(connection.as_mut());
    match tokio::time::timeout(grace, connection).await {
        Ok(ended) => log_end(ended),
        Err(_elapsed) => tracing::debug!("a connection did not end in time and was cut"),
    }
}

/// Broken connections are the senders' business: one line for who looks for it.
fn log_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

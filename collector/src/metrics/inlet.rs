//! The receivers' end of the metrics line: the bounded channel to the metrics owner.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tracepipe_otlp::edit::{ResourceEdit, growth_max};
use tracepipe_otlp::metrics::Counted;

use crate::account::{MetricsAccount, MetricsIngestAccount};
use crate::clock::Clock;
use crate::limiter::{MemoryLimiter, OverLimit, Reservation};

/// What part of the memory limit may wait in the channel. The metrics owner empties it at once; this much comes while it
/// translates.
const CHANNEL_SHARE: u64 = 16;

/// Requests that may wait in the channel, however small they are.
const CHANNEL_REQUESTS_MAX: u64 = 4096;

/// Room in the channel for what is no request: snapshots of the account, the end.
const CONTROLS_MAX: usize = 64;

/// What a request holds beside its bytes.
const REQUEST_BYTES: u64 = 256;

/// What goes from the receivers to the metrics owner.
#[derive(Debug)]
pub enum MetricsMessage {
    /// Data points.
    Request(MetricsRequest),
    /// Asks for the account at this point.
    Snapshot {
        /// The receivers' half of it.
        ingest: Box<MetricsIngestAccount>,
        /// For the whole; nobody may wait for it.
        reply: oneshot::Sender<MetricsAccount>,
    },
    /// No request comes any more: what waits must leave now.
    Drain,
}

/// A request with data points, checked and accepted.
#[derive(Debug)]
pub struct MetricsRequest {
    /// An encoded `ExportMetricsServiceRequest`.
    pub bytes: Bytes,
    /// What is in it; at least one data point.
    pub counted: Counted,
    /// When it came.
    pub since: Duration,
    /// Its place in the memory account, with room for what the resource's edits add to it.
    pub reservation: Reservation,
    /// Its place in the channel.
    place: Place,
}

/// Why a request was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// There is no memory for it.
    #[error("there is no memory for it")]
    OverLimit(OverLimit),
    /// As many requests wait as may. It can be sent again.
    #[error("too many requests with metrics wait")]
    Busy,
    /// The metrics owner is gone, and the collector about to go.
    #[error("metrics are not taken any more")]
    Gone,
}

/// The receivers' end. It is theirs alone: one thread, so cells are enough.
#[derive(Debug)]
pub struct MetricsInlet {
    /// Where every request went, and how many data points were accepted.
    pub account: RefCell<MetricsIngestAccount>,
    messages: mpsc::Sender<MetricsMessage>,
    room: Arc<Room>,
    /// What will be done on each resource.
    edits: Vec<ResourceEdit>,
    clock: Clock,
}

/// The inlet as the servers share it.
pub type SharedInlet = Rc<MetricsInlet>;

/// The room in the channel.
#[derive(Debug)]
struct Room {
    bytes: AtomicU64,
    requests: AtomicU64,
    bytes_max: u64,
}

/// A place in the channel, given back when dropped.
#[derive(Debug)]
struct Place {
    room: Arc<Room>,
    bytes: u64,
}

/// The channel between ingest and the metrics owner. `edits` are what the owner will do on each resource.
pub fn channel(
    limiter: &MemoryLimiter,
    edits: Vec<ResourceEdit>,
    clock: Clock,
) -> (MetricsInlet, mpsc::Receiver<MetricsMessage>) {
    let (messages, received) = mpsc::channel(CHANNEL_REQUESTS_MAX as usize + CONTROLS_MAX);
    let room = Room {
        bytes: AtomicU64::new(0),
        requests: AtomicU64::new(0),
        bytes_max: limiter.ceiling() / CHANNEL_SHARE,
    };
    let inlet = MetricsInlet {
        account: RefCell::default(),
        messages,
        room: Arc::new(room),
        edits,
        clock,
    };
    (inlet, received)
}

impl From<OverLimit> for NotTaken {
    fn from(over: OverLimit) -> Self {
        Self::OverLimit(over)
    }
}

// === impl MetricsInlet ===

impl MetricsInlet {
    /// Hands a checked request to the metrics owner.
    ///
    /// # Errors
    /// [`NotTaken`]; then nothing of it was taken.
    pub fn take(&self, bytes: Bytes, counted: Counted, mut reservation: Reservation) -> Result<(), NotTaken> {
        if counted.points == 0 {
            return Ok(());
        }
        let bytes = exact(bytes, &mut reservation)?;
        // What it needs later is asked for while it can still be refused.
        reservation.grow(growth_max(counted.resources, &self.edits) + REQUEST_BYTES)?;
        let Some(place) = Place::take(&self.room, reservation.bytes()) else {
            return Err(NotTaken::Busy);
        };
        let request = MetricsRequest {
            bytes,
            counted,
            since: self.clock.now(),
            reservation,
            place,
        };
        match self.messages.try_send(MetricsMessage::Request(request)) {
            Ok(()) => {
                self.account.borrow_mut().accepted += counted.points;
                Ok(())
            }
            Err(mpsc::error::TrySendError::Full(_)) => Err(NotTaken::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(NotTaken::Gone),
        }
    }

    /// Asks for the account as it is now, behind every request that was taken before. None comes when the owner is gone.
    pub fn snapshot(&self) -> oneshot::Receiver<MetricsAccount> {
        let (reply, account) = oneshot::channel();
        let ingest = Box::new(self.account.borrow().clone());
        // When the channel has no room the asker gets no answer, and says so.
        drop(self.messages.try_send(MetricsMessage::Snapshot { ingest, reply }));
        account
    }

    /// Says that no request comes any more.
    pub async fn drain(&self) {
        // An owner that is gone has nothing to drain.
        drop(self.messages.send(MetricsMessage::Drain).await);
    }

    /// Ends when the metrics owner is gone.
    pub fn gone(&self) -> impl Future<Output = ()> + use<> {
        let messages = self.messages.clone();
        async move { messages.closed().await }
    }
}

/// The bytes with no more room behind them than a quarter: they may wait in a queue that counts what is held.
fn exact(bytes: Bytes, reservation: &mut Reservation) -> Result<Bytes, OverLimit> {
    let length = bytes.len() as u64;
    if reservation.bytes() <= length + length / 4 {
        return Ok(bytes);
    }
    // The reservation knows what the body took, which its length does not tell.
    let beside = reservation.bytes();
    reservation.grow(length)?;
    let exact = Bytes::copy_from_slice(&bytes);
    drop(bytes);
    reservation.shrink(beside);
    Ok(exact)
}

// === impl MetricsRequest ===

impl MetricsRequest {
    /// Gives its place in the channel to the next.
    pub(super) fn leave_channel(self) -> (Bytes, Counted, Duration, Reservation) {
        drop(self.place);
        (self.bytes, self.counted, self.since, self.reservation)
    }
}

// === impl Place ===

impl Place {
    /// One that alone is larger than all room waits alone. Only the receivers' thread takes places, so nobody comes in
    /// between.
    fn take(room: &Arc<Room>, bytes: u64) -> Option<Self> {
        let (waiting, requests) = (room.bytes.load(Relaxed), room.requests.load(Relaxed));
        if requests >= CHANNEL_REQUESTS_MAX || waiting > 0 && waiting + bytes > room.bytes_max {
            return None;
        }
        room.bytes.fetch_add(bytes, Relaxed);
        room.requests.fetch_add(1, Relaxed);
        Some(Self {
            room: Arc::clone(room),
            bytes,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.bytes.fetch_sub(self.bytes, Relaxed);
        self.room.requests.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests;

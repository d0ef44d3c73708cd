//! One connection as the others see it: how long it has been of no use, and what it holds.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use super::shared::Shared;
use crate::limiter::Held;

/// What a connection holds when nothing is on its way: its task, its buffers, its state. An estimate on the safe side.
/// Connections are accounted for but not refused for want of memory: on them senders are told when to come back.
const CONNECTION_BYTES: u64 = 32 * 1024;

/// What a protocol may buffer of a connection: a frame of HTTP/2, or what HTTP/1 reads at a time. Where so much came at
/// once the buffer stays, and is accounted for.
pub(super) const BUFFER_BYTES_MAX: u64 = 64 * 1024;

/// What is on its way is told to the account in steps of this many bytes.
const ACCOUNT_STEP_BYTES: u64 = 16 * 1024;

/// Bytes that a connection reads before others have their turn, while there is much room and while there is little.
/// What is read and not yet taken by a request is accounted for; with many connections the account fills up within one
/// turn, and then each reads no more than the smaller figure.
const READ_BYTES_MAX: u64 = 256 * 1024;
const READ_BYTES_MAX_TIGHT: u64 = 16 * 1024;

/// A connection.
pub(super) struct Peer {
    pub(super) shared: Rc<Shared>,
    /// Requests that have begun and not ended.
    requests: Cell<u32>,
    /// When a request last began or ended, or the connection was made.
    last_used: Cell<Duration>,
    /// Bytes that came and no request has taken yet: they lie in the buffers of the protocol.
    on_the_way: Cell<u64>,
    /// What of it the account knows.
    told: Cell<u64>,
    /// The largest buffer that the protocol may have needed so far, and keeps.
    buffer: Cell<u64>,
    held: RefCell<Held>,
    leave: Notify,
    is_leaving: Cell<bool>,
}

// === impl Peer ===

impl Peer {
    /// A new connection.
    pub(super) fn new(shared: Rc<Shared>) -> Self {
        Self {
            requests: Cell::new(0),
            last_used: Cell::new(shared.clock.now()),
            on_the_way: Cell::new(0),
            told: Cell::new(0),
            buffer: Cell::new(0),
            held: RefCell::new(shared.limiter.hold(CONNECTION_BYTES)),
            leave: Notify::new(),
            is_leaving: Cell::new(false),
            shared,
        }
    }

    /// A request begins.
    pub(super) fn begin(&self) {
        self.requests.set(self.requests.get() + 1);
        self.last_used.set(self.shared.clock.now());
    }

    /// A request ends.
    pub(super) fn end(&self) {
        let left = self.requests.get().saturating_sub(1);
        self.requests.set(left);
        self.last_used.set(self.shared.clock.now());
        if left == 0 {
            // What came with frames and heads is in no buffer any more.
            self.set_on_the_way(0);
        }
    }

    /// Bytes came from the socket.
    pub(super) fn came(&self, bytes: u64) {
        self.set_on_the_way(self.on_the_way.get() + bytes);
    }

    /// A request has taken bytes out of the connection's buffers.
    pub(super) fn taken(&self, bytes: u64) {
        self.set_on_the_way(self.on_the_way.get().saturating_sub(bytes));
    }

    /// How much may be read before others have their turn.
    pub(super) fn read_bytes_max(&self) -> u64 {
        if self.shared.limiter.is_tight() {
            READ_BYTES_MAX_TIGHT
        } else {
            READ_BYTES_MAX
        }
    }

    /// Who must go first when there are too many: those without a request, and of them who has been of no use for the
    /// longest time. A sender that stalls a request is the next, since an honest one's is soon over.
    pub(super) fn rank(&self) -> (bool, Duration) {
        (self.requests.get() > 0, self.last_used.get())
    }

    /// Tells the connection to end. False when it was told before.
    pub(super) fn tell_to_leave(&self) -> bool {
        self.leave.notify_one();
        !self.is_leaving.replace(true)
    }

    /// True when it was told to end.
    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving.get()
    }

    /// Waits until the connection is told to end.
    pub(super) async fn told_to_leave(&self) {
        self.leave.notified().await;
    }

    fn set_on_the_way(&self, bytes: u64) {
        self.on_the_way.set(bytes);
        if bytes.abs_diff(self.told.get()) >= ACCOUNT_STEP_BYTES || bytes == 0 {
            let buffer = self.buffer.get().max(bytes.min(BUFFER_BYTES_MAX));
            self.buffer.set(buffer);
            self.told.set(bytes);
            self.held.borrow_mut().set(CONNECTION_BYTES + buffer.max(bytes));
        }
    }
}

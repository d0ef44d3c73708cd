//! The last request of a batch is rarely full: its documents wait a moment for those of the next one. A request costs the
//! same with five documents as with fifty, here and at X-Ray's.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tokio::sync::Notify;

use super::documents::Documents;
use crate::exporter::progress::Progress;
use crate::limiter::{Held, MemoryLimiter};

/// Documents wait for others so long at most.
const WAIT_MAX: Duration = Duration::from_millis(500);

/// Where the documents of at most one request wait.
#[derive(Default)]
pub(super) struct LeftOver {
    waiting: RefCell<Option<Waiting>>,
    /// Of what waits, or waited last.
    number: Cell<u64>,
    taken: Notify,
}

struct Waiting {
    documents: Documents,
    progress: Progress,
    _held: Held,
}

/// Whoever ends before its documents were taken does not leave them behind: then nobody would send them.
struct Owner<'a> {
    place: &'a LeftOver,
    number: u64,
}

// === impl LeftOver ===

impl LeftOver {
    /// Takes what waits, to send it with more.
    pub(super) fn take(&self) -> Option<(Documents, Progress)> {
        let waiting = self.waiting.take()?;
        self.taken.notify_waiters();
        Some((waiting.documents, waiting.progress))
    }

    /// Leaves documents, and what accounts for them, for others to take; gives them back when nobody did in time. Nothing
    /// else waits there.
    pub(super) async fn leave(
        &self,
        documents: Documents,
        progress: Progress,
        limiter: &MemoryLimiter,
    ) -> Option<(Documents, Progress)> {
        let last_call = progress.last_call();
        let taken = self.taken.notified();
        let number = self.number.get() + 1;
        self.number.set(number);
        let waiting = Waiting {
            _held: limiter.hold(documents.bytes()),
            documents,
            progress,
        };
        self.waiting.replace(Some(waiting));
        let owner = Owner { place: self, number };
        tokio::select! {
            () = tokio::time::sleep(WAIT_MAX) => {}
            () = last_call => {}
            () = taken => {}
        }
        owner
            .take_back()
            .map(|waiting| (waiting.documents, waiting.progress))
    }
}

impl Owner<'_> {
    fn take_back(&self) -> Option<Waiting> {
        if self.place.number.get() != self.number {
            return None;
        }
        self.place.waiting.take()
    }
}

impl Drop for Owner<'_> {
    fn drop(&mut self) {
        drop(self.take_back());
    }
}

//! Requests leave some together, and full: what is left over of a batch waits a moment for the next one.
//!
//! A request costs the same with five documents as with fifty, here and at X-Ray's. And one that goes alone costs twice
//! what it does among others: on a quiet node all that it passes has left the processor's caches.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tokio::sync::Notify;

use super::documents::Documents;
use crate::clock::Clock;
use crate::exporter::progress::Progress;
use crate::limiter::{Held, MemoryLimiter};

/// Documents wait for others so long at most.
const WAIT_MAX: Duration = Duration::from_millis(500);

/// So many requests do not wait for more.
const REQUESTS_TOGETHER: usize = 4;

/// Requests that are ready, and the documents of the next.
#[derive(Debug, Default)]
pub(super) struct Burst {
    full: Vec<Documents>,
    pub(super) last: Documents,
    /// When they have waited long enough, if some have waited already.
    until: Option<Duration>,
}

/// Where a burst waits that is not large enough, one at most.
#[derive(Default)]
pub(super) struct LeftOver {
    waiting: RefCell<Option<Waiting>>,
    /// Of what waits, or waited last.
    number: Cell<u64>,
    taken: Notify,
}

struct Waiting {
    burst: Burst,
    progress: Progress,
    _held: Held,
}

/// Whoever ends before its documents were taken does not leave them behind: then nobody would send them.
struct Owner<'a> {
    place: &'a LeftOver,
    number: u64,
}

// === impl Burst ===

impl Burst {
    /// Begins another request when a trace of so many spans is better off in that one.
    pub(super) fn make_room(&mut self, spans: u64) {
        if self.last.go_before(spans) {
            self.full.push(std::mem::take(&mut self.last));
        }
    }

    /// Makes requests of the documents when there are enough for one.
    pub(super) fn cut(&mut self) {
        while let Some(full) = self.last.take_full() {
            self.full.push(full);
        }
    }

    /// Full requests, when there are enough to leave.
    pub(super) fn take_full(&mut self) -> Vec<Documents> {
        if self.full.len() < REQUESTS_TOGETHER {
            return Vec::new();
        }
        // What has waited comes first.
        self.until = None;
        std::mem::take(&mut self.full)
    }

    /// Requests when, at the end of a batch, there are enough to leave.
    pub(super) fn take_enough(&mut self) -> Vec<Documents> {
        let is_last_full = self.last.are_enough();
        if self.full.len() + usize::from(is_last_full) < REQUESTS_TOGETHER {
            return Vec::new();
        }
        if is_last_full {
            self.full.push(std::mem::take(&mut self.last));
        }
        self.until = None;
        std::mem::take(&mut self.full)
    }

    /// All there is.
    pub(super) fn into_requests(mut self) -> Vec<Documents> {
        if !self.last.0.is_empty() {
            self.full.push(self.last);
        }
        self.full
    }

    /// Puts these behind others.
    fn follow(self, others: Self) -> Self {
        let mut all = others;
        all.full.extend(self.full);
        all.last.0.extend(self.last.0);
        all.cut();
        all
    }

    fn is_empty(&self) -> bool {
        self.full.is_empty() && self.last.0.is_empty()
    }

    fn sum(&self, of: impl Fn(&Documents) -> u64) -> u64 {
        self.full.iter().chain([&self.last]).map(of).sum()
    }
}

// === impl LeftOver ===

impl LeftOver {
    /// A burst behind what waits, which its batch accounts for from now on.
    pub(super) fn take_with(&self, burst: Burst, progress: &mut Progress) -> Burst {
        let Some(waiting) = self.waiting.take() else {
            return burst;
        };
        self.taken.notify_waiters();
        progress.merge(waiting.progress);
        burst.follow(waiting.burst)
    }

    /// Leaves a burst for others to take; gives it back when nobody did in time. Nothing else waits there.
    pub(super) async fn leave(
        &self,
        mut burst: Burst,
        progress: &RefCell<Progress>,
        limiter: &MemoryLimiter,
        clock: Clock,
    ) -> Option<Burst> {
        if burst.is_empty() {
            return None;
        }
        let (is_closing, last_call) = {
            let progress = progress.borrow();
            (progress.is_closing(), progress.last_call())
        };
        if is_closing {
            return Some(burst);
        }
        let until = *burst.until.get_or_insert_with(|| clock.now() + WAIT_MAX);
        let taken = self.taken.notified();
        let number = self.number.get() + 1;
        self.number.set(number);
        let waiting = Waiting {
            _held: limiter.hold(burst.sum(Documents::bytes)),
            progress: progress.borrow_mut().split(burst.sum(Documents::spans)),
            burst,
        };
        self.waiting.replace(Some(waiting));
        let owner = Owner { place: self, number };
        tokio::select! {
            () = tokio::time::sleep(until.saturating_sub(clock.now())) => {}
            () = last_call => {}
            () = taken => {}
        }
        let waiting = owner.take_back()?;
        progress.borrow_mut().merge(waiting.progress);
        Some(waiting.burst)
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

//! What waits for an exporter: whole batches, bounded in bytes and number; the oldest makes room, and is counted.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::progress::Progress;
use crate::account::ExporterAccount;
use crate::batcher::{Batch, SpanBatch};

/// Longest pause between two attempts once the queue is closed.
const LAST_PAUSE_MAX: Duration = Duration::from_millis(500);

/// The queue of one exporter; clones share it.
pub struct SendingQueue<B: Batch = SpanBatch> {
    state: Rc<RefCell<State<B>>>,
    changed: Rc<Notify>,
    closing: Rc<Notify>,
}

struct State<B> {
    account: ExporterAccount,
    batches: VecDeque<Arc<B>>,
    bytes_max: u64,
    batches_max: u64,
    closed: bool,
    /// Batches have been dropped since the queue was last empty.
    is_full: bool,
}

// === impl SendingQueue ===

impl<B: Batch> Clone for SendingQueue<B> {
    fn clone(&self) -> Self {
        Self {
            state: Rc::clone(&self.state),
            changed: Rc::clone(&self.changed),
            closing: Rc::clone(&self.closing),
        }
    }
}

impl<B: Batch> SendingQueue<B> {
    /// An empty queue.
    pub fn new(exporter_id: String, bytes_max: u64, batches_max: u64) -> Self {
        Self {
            state: Rc::new(RefCell::new(State {
                account: ExporterAccount {
                    id: exporter_id,
                    ..ExporterAccount::default()
                },
                batches: VecDeque::new(),
                bytes_max,
                batches_max,
                closed: false,
                is_full: false,
            })),
            changed: Rc::new(Notify::new()),
            closing: Rc::new(Notify::new()),
        }
    }

    /// Spans or data points have come; they are in the batch that is being filled.
    pub fn expect(&self, items: u64) {
        self.state.borrow_mut().account.waiting += items;
    }

    /// Adds a batch whose items [`Self::expect`] was told of. The oldest batches go when there is no room.
    pub fn push(&self, batch: Arc<B>) {
        let mut state = self.state.borrow_mut();
        state.account.queue_bytes += batch.bytes();
        state.account.queue_batches += 1;
        state.batches.push_back(batch);
        while state.account.queue_bytes > state.bytes_max || state.batches.len() as u64 > state.batches_max {
            let Some(oldest) = state.pop() else { break };
            state.account.waiting -= oldest.items();
            *state.account.lost.entry("queue_full").or_default() += oldest.items();
            if !std::mem::replace(&mut state.is_full, true) {
                tracing::warn!(
                    exporter = state.account.id,
                    "the exporter's queue is full: the oldest batches are dropped and counted"
                );
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The oldest batch, when there is one; none once the queue is closed and empty.
    pub(crate) async fn take(&self) -> Option<(Arc<B>, Progress<B>)> {
        loop {
            if let Some(taken) = self.try_take() {
                // Another consumer may have been told of a push that this one has taken up.
                self.changed.notify_one();
                return Some(taken);
            }
            if self.state.borrow().closed {
                self.changed.notify_one();
                return None;
            }
            self.changed.notified().await;
        }
    }

    /// No batch will be added any more.
    pub fn close(&self) {
        self.state.borrow_mut().closed = true;
        self.changed.notify_one();
        self.closing.notify_waiters();
    }

    /// Whether no batch will be added any more.
    pub(super) fn is_closed(&self) -> bool {
        self.state.borrow().closed
    }

    /// Waits until the queue is closed; afterwards for [`LAST_PAUSE_MAX`]. Whoever waits for a better time to send has
    /// little left then, and tries.
    pub(super) async fn last_call(&self) {
        let closing = self.closing.notified();
        if self.state.borrow().closed {
            tokio::time::sleep(LAST_PAUSE_MAX).await;
        } else {
            closing.await;
        }
    }

    /// Gives up what waits.
    pub fn abandon(&self, reason: &'static str) {
        let mut state = self.state.borrow_mut();
        while let Some(batch) = state.pop() {
            state.account.waiting -= batch.items();
            *state.account.lost.entry(reason).or_default() += batch.items();
        }
    }

    /// The exporter's account now.
    pub fn account(&self) -> ExporterAccount {
        self.state.borrow().account.clone()
    }

    /// Changes the exporter's account.
    pub(super) fn update(&self, change: impl FnOnce(&mut ExporterAccount)) {
        change(&mut self.state.borrow_mut().account);
    }

    fn try_take(&self) -> Option<(Arc<B>, Progress<B>)> {
        let mut state = self.state.borrow_mut();
        let batch = state.pop()?;
        state.account.waiting -= batch.items();
        state.account.in_flight += batch.items();
        drop(state);
        let progress = Progress::new(self.clone(), batch.items());
        Some((batch, progress))
    }
}

// === impl State ===

impl<B: Batch> State<B> {
    fn pop(&mut self) -> Option<Arc<B>> {
        let batch = self.batches.pop_front()?;
        self.account.queue_bytes -= batch.bytes();
        self.account.queue_batches -= 1;
        self.is_full &= !self.batches.is_empty();
        Some(batch)
    }
}

//! Where the spans or data points of one batch stand while it is being sent.

use std::time::Duration;

use tracepipe_xray::Translated;

use super::queue::SendingQueue;
use crate::account::{BackendErrors, Failing};
use crate::batcher::{Batch, SpanBatch};
use crate::clock::Clock;

/// Accounts for the spans of a batch, or for its data points. What has come to no end when it is dropped (shutdown, a
/// panic) is lost, and counted so.
pub(crate) struct Progress<B: Batch = SpanBatch> {
    queue: SendingQueue<B>,
    in_flight: u64,
}

// === impl Progress ===

impl<B: Batch> Progress<B> {
    /// A batch of `spans` has been taken from the queue.
    pub(super) fn new(queue: SendingQueue<B>, spans: u64) -> Self {
        Self {
            queue,
            in_flight: spans,
        }
    }

    /// How many spans have come to no end yet.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// The backend took `spans`.
    pub(crate) fn exported(&mut self, spans: u64) {
        let spans = self.settle(spans);
        self.queue.update(|account| {
            account.exported += spans;
            account.in_flight -= spans;
        });
    }

    /// `spans` are given up.
    pub(crate) fn lost(&mut self, reason: &'static str, spans: u64) {
        let spans = self.settle(spans);
        self.queue.update(|account| {
            *account.lost.entry(reason).or_default() += spans;
            account.in_flight -= spans;
        });
    }

    /// The pause before another attempt; shorter when the collector goes down.
    pub(crate) fn pause(&self, pause: Duration) -> impl Future<Output = ()> + use<B> {
        let last_call = self.last_call();
        async move {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = last_call => {}
            }
        }
    }

    /// Ends when there is no time left to wait for a better one.
    pub(crate) fn last_call(&self) -> impl Future<Output = ()> + use<B> {
        let queue = self.queue.clone();
        async move { queue.last_call().await }
    }

    /// A request was sent.
    pub(crate) fn requested(&self) {
        self.queue.update(|account| account.requests += 1);
    }

    /// The backend took a request.
    pub(crate) fn request_taken(&self) {
        self.queue.update(|account| account.failing = None);
    }

    /// The backend refused what is in a request: it answers, so it does not count as failing.
    pub(crate) fn request_refused(&self, reason: &'static str, code: &str) {
        self.queue
            .update(|account| *account.failed_requests.entry(reason).or_default() += 1);
        if !code.is_empty() {
            self.backend_error("request", code);
        }
    }

    /// A document of X-Ray's is given up; its span, if it carries one, is told by [`Self::lost`].
    pub(crate) fn document_lost(&self, reason: &'static str) {
        self.queue
            .update(|account| *account.lost_documents.entry(reason).or_default() += 1);
    }

    /// A request failed; `code` is the backend's own word, and may be empty.
    pub(crate) fn request_failed(&self, reason: &'static str, code: &str) {
        self.queue.update(|account| {
            *account.failed_requests.entry(reason).or_default() += 1;
            let since = account.failing.as_ref().map(|failing| failing.since);
            account.failing = Some(Failing {
                reason,
                code: BackendErrors::word(code),
                since: since.unwrap_or_else(Clock::unix_now),
            });
        });
        if !code.is_empty() {
            self.backend_error("request", code);
        }
    }

    /// The backend said `code` of a request or of a part of one.
    pub(crate) fn backend_error(&self, of: &'static str, code: &str) {
        self.queue
            .update(|account| account.backend_errors.count(of, code));
    }

    /// A span was translated; what it lost on the way.
    pub(crate) fn translated(&self, translated: &Translated) {
        self.queue.update(|account| {
            account.shrunk_documents += translated.shrunk;
            account.annotations_spilled += translated.annotations_spilled;
            account.links_dropped += translated.links_dropped;
            account.events_dropped += translated.events_dropped;
            account.resource_attributes_dropped += translated.resource_attributes_dropped;
        });
    }

    /// Accounts for `spans` of these by themselves from now on.
    pub(crate) fn split(&mut self, spans: u64) -> Self {
        Self::new(self.queue.clone(), self.settle(spans))
    }

    /// Accounts for the spans of another batch as well.
    pub(crate) fn merge(&mut self, mut other: Self) {
        self.in_flight += std::mem::take(&mut other.in_flight);
    }

    /// The collector goes down: no batch comes after those that wait.
    pub(crate) fn is_closing(&self) -> bool {
        self.queue.is_closed()
    }

    /// The queue that the batch was taken from.
    pub(super) fn queue(&self) -> SendingQueue<B> {
        self.queue.clone()
    }

    /// The exporter's name, for the log.
    pub(crate) fn exporter_id(&self) -> String {
        self.queue.account().id
    }

    fn settle(&mut self, spans: u64) -> u64 {
        // A backend may claim to have rejected more spans than it was sent.
        let spans = spans.min(self.in_flight);
        self.in_flight -= spans;
        spans
    }
}

impl<B: Batch> Drop for Progress<B> {
    fn drop(&mut self) {
        if self.in_flight > 0 {
            self.lost("abandoned", self.in_flight);
        }
    }
}

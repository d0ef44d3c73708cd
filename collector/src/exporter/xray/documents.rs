//! Documents that go out together.

use aws_sdk_xray::types::UnprocessedTraceSegment;
use tracepipe_xray::SegmentDocument;

use super::failure::{Failure, classify_unprocessed};
use crate::exporter::progress::Progress;

/// Documents in one PutTraceSegments call: X-Ray refuses more (AWS: "Exceeding maximum segment count: 50").
pub(super) const DOCUMENTS_PER_REQUEST_MAX: usize = 50;

/// A request with so many documents goes before a trace that does not fit whole: the segments of a trace have more room
/// at X-Ray's when they come together, and a request is paid for as one.
const FULL_ENOUGH: usize = 45;

/// Documents that go out together and the spans they carry.
#[derive(Debug, Default)]
pub(super) struct Documents(pub(super) Vec<SegmentDocument>);

// === impl Documents ===

impl Documents {
    /// Whether these shall go before a trace of so many spans is added.
    pub(super) fn go_before(&self, spans: u64) -> bool {
        let with = self.0.len() as u64 + spans;
        let fits_alone = spans <= DOCUMENTS_PER_REQUEST_MAX as u64;
        self.0.len() >= FULL_ENOUGH && fits_alone && with > DOCUMENTS_PER_REQUEST_MAX as u64
    }

    /// The documents of a request, when there are enough for one.
    pub(super) fn take_full(&mut self) -> Option<Self> {
        if self.0.len() < DOCUMENTS_PER_REQUEST_MAX {
            return None;
        }
        let rest = self.0.split_off(DOCUMENTS_PER_REQUEST_MAX);
        Some(Self(std::mem::replace(&mut self.0, rest)))
    }

    /// Puts the documents from `first` on, those of one trace, in the order of their beginning: parents before their
    /// children.
    pub(super) fn order_from(&mut self, first: usize) {
        if let Some(of_trace) = self.0.get_mut(first..) {
            of_trace.sort_by_key(|document| document.start_time_unix_nano);
        }
    }

    /// Their second half; none of a single one.
    pub(super) fn split(&mut self) -> Option<Self> {
        (self.0.len() > 1).then(|| Self(self.0.split_off(self.0.len() / 2)))
    }

    /// Bytes of their JSON.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|document| document.json.len() as u64).sum()
    }

    /// How many spans of the account they carry.
    pub(super) fn spans(&self) -> u64 {
        self.0.iter().map(|document| u64::from(document.spans)).sum()
    }

    /// Accounts for the answer to a request that X-Ray took: what it names may be sent again or is lost, the rest is
    /// exported. Keeps what may be sent again.
    pub(super) fn settle(&mut self, unprocessed: &[UnprocessedTraceSegment], progress: &mut Progress) {
        for refused in unprocessed {
            progress.backend_error("document", refused.error_code().unwrap_or_default());
        }
        let is_ours = |id: &str| self.0.iter().any(|document| document.span_id.to_string() == id);
        if unprocessed
            .iter()
            .any(|segment| !segment.id().is_some_and(is_ours))
        {
            // X-Ray did not take one of them and does not say which: none may be counted as sent.
            tracing::error!(
                documents = self.0.len(),
                "X-Ray refused documents without naming them"
            );
            progress.lost("unprocessed_unnamed", self.spans());
            self.0.clear();
            return;
        }
        self.0.retain(|document| {
            let spans = u64::from(document.spans);
            let id = document.span_id.to_string();
            let Some(refused) = unprocessed.iter().find(|segment| segment.id() == Some(&id)) else {
                progress.exported(spans);
                return false;
            };
            match classify_unprocessed(refused.error_code().unwrap_or_default()) {
                Failure::Retryable(_) | Failure::Throttled => true,
                Failure::Permanent(reason) | Failure::OfSome(reason) => {
                    tracing::debug!(segment_id = id, reason, "X-Ray refused a document");
                    progress.lost(reason, spans);
                    false
                }
            }
        });
    }
}

//! Documents that go out together.

use std::collections::HashMap;

use aws_sdk_xray::types::UnprocessedTraceSegment;
use bytes::Bytes;
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

    /// How many spans of the account they carry.
    pub(super) fn spans(&self) -> u64 {
        self.0.iter().map(|document| u64::from(document.spans)).sum()
    }

    /// Worth a request as they are.
    pub(super) fn are_enough(&self) -> bool {
        self.0.len() >= FULL_ENOUGH
    }

    /// Bytes of them in a request.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|document| document.literal.len() as u64).sum()
    }

    /// The body of a PutTraceSegments request with all of them.
    pub(super) fn to_body(&self) -> Bytes {
        const BEGINNING: &[u8] = br#"{"TraceSegmentDocuments":["#;
        const END: &[u8] = b"]}";
        let commas = self.0.len();
        let literals: usize = self.0.iter().map(|document| document.literal.len()).sum();
        let mut body = Vec::with_capacity(BEGINNING.len() + literals + commas + END.len());
        body.extend_from_slice(BEGINNING);
        for (number, document) in self.0.iter().enumerate() {
            if number > 0 {
                body.push(b',');
            }
            body.extend_from_slice(document.literal.as_bytes());
        }
        body.extend_from_slice(END);
        body.into()
    }

    /// Gives up all of them.
    pub(super) fn lose(&mut self, reason: &'static str, progress: &mut Progress) {
        for document in self.0.drain(..) {
            progress.document_lost(reason);
            progress.lost(reason, u64::from(document.spans));
        }
    }

    /// Accounts for the answer to a request that X-Ray took: what it names may be sent again or is lost, the rest is
    /// exported. Keeps what may be sent again.
    pub(super) fn settle(
        &mut self,
        unprocessed: &[UnprocessedTraceSegment],
        progress: &mut Progress,
    ) -> Settled {
        let mut codes = HashMap::new();
        for refused in unprocessed {
            let code = refused.error_code().unwrap_or_default();
            progress.backend_error("document", code);
            codes.insert(refused.id().unwrap_or_default(), code);
        }
        let named = self
            .0
            .iter()
            .filter(|document| codes.contains_key(&*document.span_id.to_string()))
            .count();
        // A span that came twice has two documents of one id.
        if named < codes.len() {
            // X-Ray did not take one of them and does not say which: none may be counted as sent.
            tracing::error!(
                documents = self.0.len(),
                "X-Ray refused documents without naming them"
            );
            self.lose("unprocessed_unnamed", progress);
            return Settled::default();
        }
        let mut settled = Settled::default();
        self.0.retain(|document| {
            let spans = u64::from(document.spans);
            let id = document.span_id.to_string();
            let Some(code) = codes.get(&*id) else {
                progress.exported(spans);
                settled.taken += 1;
                return false;
            };
            match classify_unprocessed(code) {
                failure @ (Failure::Retryable(_) | Failure::Throttled) => {
                    settled.again += 1;
                    settled.throttled |= failure == Failure::Throttled;
                    true
                }
                Failure::Permanent(reason) | Failure::OfSome(reason) => {
                    tracing::debug!(segment_id = id, reason, "X-Ray refused a document");
                    progress.document_lost(reason);
                    progress.lost(reason, spans);
                    false
                }
            }
        });
        settled
    }
}

/// What became of the documents of a request that was taken.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Settled {
    pub(super) taken: usize,
    /// They may be sent again.
    pub(super) again: usize,
    /// X-Ray had no room for some of these.
    pub(super) throttled: bool,
}

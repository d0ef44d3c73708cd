//! What the walk learns of each span in one pass, without decoding it.

use std::ops::Range;

use crate::id::{SpanId, TraceId};
use crate::view::StatusCode;

/// The few fields of a span that sampling needs, and where its bytes lie in the request.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanHead {
    /// All zero when `defect` says so.
    pub trace_id: TraceId,
    /// All zero when `defect` says so.
    pub span_id: SpanId,
    /// The parent span id is absent, empty or all zero.
    pub is_root: bool,
    /// Nanoseconds since the Unix epoch, 0 when absent.
    pub start_time_unix_nano: u64,
    /// Nanoseconds since the Unix epoch, 0 when absent.
    pub end_time_unix_nano: u64,
    /// The status code; numbers that the specification does not know count as unset.
    pub status: StatusCode,
    /// `Span.flags`.
    pub flags: u32,
    /// Tag, length and body of the span within the request: bytes that can be copied as they are into a `ScopeSpans`.
    pub record: Range<usize>,
    /// What the watch of the walk found in the span and in its resource: one bit for each thing it looked for.
    pub matched: u128,
    /// Which `ScopeSpans` it stands in: an index into the walk's contexts.
    pub context: u32,
    /// Why this span must be rejected, alone.
    pub defect: Option<SpanDefect>,
}

/// Why one span of a well-formed request is rejected. OTLP: trace id and span id are required, of 16 and 8 bytes, and
/// not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpanDefect {
    /// The trace id is absent, all zero or not 16 bytes long.
    TraceId,
    /// The span id is absent, all zero or not 8 bytes long.
    SpanId,
    /// Its resource and scope together are too large. Found by who stores it, not by the walk.
    Context,
}

impl SpanDefect {
    /// The label in metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::TraceId => "invalid_trace_id",
            Self::SpanId => "invalid_span_id",
            Self::Context => "resource_too_large",
        }
    }
}

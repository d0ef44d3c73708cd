//! What is remembered of a trace's spans for its decision.

use tracepipe_otlp::head::SpanHead;
use tracepipe_otlp::view::StatusCode;

/// All that policies may look at, besides the trace id.
///
/// It merges: folding the spans of a trace in any order, or in parts that are merged in any order, gives the same
/// summary, so that collectors which each saw a part of a trace can decide on the whole. Times, status codes, flags
/// and predicates also stay the same when a part is merged twice; `spans` and `bytes` do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TraceSummary {
    /// The smallest start, in nanoseconds since the Unix epoch; `u64::MAX` before the first span.
    pub min_start_unix_nano: u64,
    /// The largest end, in nanoseconds since the Unix epoch; 0 before the first span.
    pub max_end_unix_nano: u64,
    /// One bit for each predicate that some span, or its resource, fulfilled: the places of
    /// [`tracepipe_config::predicates::predicates`].
    pub predicates: u128,
    /// Sum of the spans' sizes in bytes; stays at `u64::MAX` when it gets there.
    pub bytes: u64,
    /// Number of spans; stays at `u32::MAX` when it gets there.
    pub spans: u32,
    /// The status codes that were seen.
    pub statuses: StatusSet,
    /// A span without parent was seen.
    pub root_seen: bool,
    /// A span was seen whose W3C flags have the bit "sampled".
    pub flag_sampled: bool,
}

/// The bit "sampled" of the W3C trace flags, which are the low byte of `Span.flags`.
const FLAG_SAMPLED: u32 = 1;

impl TraceSummary {
    /// The summary of no span: merging it changes nothing.
    pub const EMPTY: Self = Self {
        min_start_unix_nano: u64::MAX,
        max_end_unix_nano: 0,
        predicates: 0,
        bytes: 0,
        spans: 0,
        statuses: StatusSet::EMPTY,
        root_seen: false,
        flag_sampled: false,
    };

    /// The summary of one span of `record_len` bytes.
    #[inline]
    pub fn of_span(head: &SpanHead, record_len: u32) -> Self {
        Self {
            min_start_unix_nano: head.start_time_unix_nano,
            max_end_unix_nano: head.end_time_unix_nano,
            predicates: head.matched,
            bytes: u64::from(record_len),
            spans: 1,
            statuses: StatusSet::of(head.status),
            root_seen: head.is_root,
            flag_sampled: head.flags & FLAG_SAMPLED != 0,
        }
    }

    /// Adds what another part of the same trace saw. Commutative and associative.
    #[inline]
    pub fn merge(&mut self, other: &Self) {
        self.min_start_unix_nano = self.min_start_unix_nano.min(other.min_start_unix_nano);
        self.max_end_unix_nano = self.max_end_unix_nano.max(other.max_end_unix_nano);
        self.predicates |= other.predicates;
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.spans = self.spans.saturating_add(other.spans);
        self.statuses = self.statuses.union(other.statuses);
        self.root_seen |= other.root_seen;
        self.flag_sampled |= other.flag_sampled;
    }
}

impl Default for TraceSummary {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// A set of status codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct StatusSet(u8);

impl StatusSet {
    /// No status code.
    pub const EMPTY: Self = Self(0);

    /// One status code.
    pub fn of(status: StatusCode) -> Self {
        Self(match status {
            StatusCode::Unset => 1,
            StatusCode::Ok => 2,
            StatusCode::Error => 4,
        })
    }

    /// What is in either.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True when they have a status code in common.
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

#[cfg(test)]
pub(crate) mod tests;

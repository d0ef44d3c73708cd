//! The last sample of each series: what may follow it, and of which sort.

use crate::account::DropReason;
use crate::context::Sort;
use crate::identity::Identity;
use crate::recent::Recent;

/// Bytes that a series takes here: an entry of a table that is half full.
const SERIES_BYTES: usize = 192;

/// The series that were written lately.
#[derive(Debug)]
pub(crate) struct Order {
    seen: Recent<Seen>,
    series_max: usize,
    window_ms: i64,
    /// A series that is silent for so long may be of another sort after that.
    owner_ms: i64,
    /// Series may have been written before this that are not known any more; none: nothing has been written yet.
    forgot_ms: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    last_ms: i64,
    at_ms: i64,
    /// The translation that wrote the last sample, and where that one is in its output.
    call: u64,
    index: usize,
    sort: Sort,
    writer: u64,
}

/// A sample that would be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) sort: Sort,
    /// Another number for each stream that may write the series.
    pub(crate) writer: u64,
    pub(crate) timestamp_ms: i64,
    pub(crate) now_ms: i64,
    pub(crate) call: u64,
    /// Where it would be in the output.
    pub(crate) index: usize,
}

/// What may be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Write it, the first of its series.
    First,
    /// Write it, behind the last one.
    Next {
        last_ms: i64,
        /// Another stream wrote that one, a moment ago.
        is_of_another: bool,
    },
    /// Write it, although a later one was written.
    Late,
    /// Write it in place of the sample that is there in the output: it is newer news of the same time.
    InPlaceOf(usize),
    /// Do not write it.
    Drop(DropReason),
}

impl Order {
    /// Knows at most `series_max` series.
    pub(crate) fn new(series_max: usize, window_ms: i64, owner_ms: i64) -> Self {
        Self {
            seen: Recent::new(series_max),
            series_max,
            window_ms,
            owner_ms,
            forgot_ms: None,
        }
    }

    /// Knows no more series than fit into so many bytes.
    pub(crate) fn set_bytes_max(&mut self, bytes: usize) {
        self.seen
            .set_weight_max(self.series_max.min(bytes / SERIES_BYTES));
    }

    /// Bytes that they take, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.seen.weight() * SERIES_BYTES
    }

    /// A series that began after this is new if it is not known.
    pub(crate) fn forgot_ms(&mut self, now_ms: i64) -> i64 {
        *self.forgot_ms.get_or_insert(now_ms)
    }

    /// The last sample that was admitted of a series stands elsewhere in the output than was said.
    pub(crate) fn moved(&mut self, series: Identity, index: usize) {
        if let Some(seen) = self.seen.get(series) {
            seen.index = index;
        }
    }

    /// Whether a sample may be written, and where.
    pub(crate) fn admit(&mut self, series: Identity, candidate: &Candidate) -> Verdict {
        let Candidate {
            sort,
            writer,
            timestamp_ms,
            now_ms,
            call,
            index,
        } = *candidate;
        self.forgot_ms(now_ms);
        let seen = Seen {
            last_ms: timestamp_ms,
            at_ms: now_ms,
            call,
            index,
            sort,
            writer,
        };
        let Some(last) = self.seen.get(series) else {
            if self.seen.insert(series, 1, seen) {
                self.forgot_ms = Some(now_ms);
            }
            return Verdict::First;
        };
        let is_owned = now_ms < last.at_ms.saturating_add(self.owner_ms);
        if last.sort != sort && is_owned {
            return Verdict::Drop(DropReason::TypeCollision);
        }
        if timestamp_ms > last.last_ms {
            let verdict = Verdict::Next {
                last_ms: last.last_ms,
                is_of_another: last.writer != writer && is_owned,
            };
            *last = seen;
            verdict
        } else if timestamp_ms == last.last_ms {
            if last.call == call {
                Verdict::InPlaceOf(last.index)
            } else {
                Verdict::Drop(DropReason::DuplicateTimestamp)
            }
        } else if last.last_ms.saturating_sub(timestamp_ms) <= self.window_ms {
            Verdict::Late
        } else {
            Verdict::Drop(DropReason::OutOfOrder)
        }
    }
}

//! `latency`: traces that took longer than a threshold, and perhaps not longer than another.

use crate::summary::TraceSummary;

/// Wants traces whose last end is more than a threshold after their first start, and not more than the upper threshold if
/// there is one.
///
/// As upstream the difference is taken in signed 64-bit nanoseconds that stop at their ends, cut to whole milliseconds
/// toward zero, and compared strictly: 500.999 ms is not over a threshold of 500 ms. It is negative when clocks
/// disagree.
///
/// Upstream compares after each span and stops at the first time over the threshold. For times a clock can show that
/// is the same as one comparison at the end, which we make. It differs for a start of 0 (upstream forgets it at
/// the next span, but samples if a real end was seen by then) and for times of 2^63 ns and more (dates before 1970
/// there): upstream's answer then depends on the order in which spans came, ours does not. A start of 0 counts as the
/// epoch, so that such a trace is kept.
///
/// With an upper threshold upstream's answer depends on the order even for real times: it keeps a trace that was
/// within both thresholds after some of its spans. Ours looks at the whole trace only.
#[derive(Debug, Clone, Copy)]
pub(super) struct Latency {
    threshold_ms: i64,
    /// `i64::MAX` for none.
    upper_threshold_ms: i64,
}

impl Latency {
    /// Both in milliseconds; the lower is exclusive, the upper inclusive.
    pub(super) fn new(threshold_ms: i64, upper_threshold_ms: Option<i64>) -> Self {
        Self {
            threshold_ms,
            upper_threshold_ms: upper_threshold_ms.unwrap_or(i64::MAX),
        }
    }

    /// False for a trace without spans.
    #[inline]
    pub(super) fn wants(self, summary: &TraceSummary) -> bool {
        let duration_ms = duration_ms(summary.min_start_unix_nano, summary.max_end_unix_nano);
        summary.spans > 0 && duration_ms > self.threshold_ms && duration_ms <= self.upper_threshold_ms
    }
}

/// Whole milliseconds from `start` to `end`, both nanoseconds since the Unix epoch.
fn duration_ms(start: u64, end: u64) -> i64 {
    const NANOS_PER_MS: i64 = 1_000_000;
    end.cast_signed().saturating_sub(start.cast_signed()) / NANOS_PER_MS
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// For the vectors in `policy/tests.rs`.
    pub(in crate::policy) fn parity(start: u64, end: u64) -> i64 {
        duration_ms(start, end)
    }

    #[test]
    fn only_whole_milliseconds_over_the_threshold_count() {
        let at = 1_763_700_000_000_000_000;
        let wants = |threshold_ms, upper_threshold_ms, nanos| {
            let summary = TraceSummary {
                min_start_unix_nano: at,
                max_end_unix_nano: at.wrapping_add_signed(nanos),
                spans: 1,
                ..TraceSummary::EMPTY
            };
            Latency::new(threshold_ms, upper_threshold_ms).wants(&summary)
        };
        assert!(!wants(500, None, 500_000_000));
        assert!(!wants(500, None, 500_999_999));
        assert!(wants(500, None, 501_000_000));
        assert!(!wants(0, None, 999_999));
        assert!(wants(0, None, 1_000_000));
        assert!(!wants(0, None, -999_999_999));
        assert!(wants(-1, None, 0));
        assert!(wants(-1, None, -999_999), "cut toward zero: minus nothing");
        assert!(!wants(-1, None, -1_000_000));
        assert!(wants(500, Some(600), 600_999_999), "the upper one is inclusive");
        assert!(!wants(500, Some(600), 601_000_000));
        assert!(!wants(500, Some(600), 500_999_999));
    }

    #[test]
    fn a_trace_without_spans_is_not_slow() {
        assert!(!Latency::new(i64::MIN, None).wants(&TraceSummary::EMPTY));
    }
}

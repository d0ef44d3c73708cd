//! The account of the trace table: plain numbers, each counted where the thing happens and none computed from the
//! others, so that a forgotten one shows.
//!
//! The sums that always hold, and that the tests hold:
//! - spans: `received_spans` = `dropped_by_policy_spans` + `buffered_spans` + `released_spans`
//! - traces: `new_traces` = `sampled_traces` + `not_sampled_traces` + `open_traces`
//! - parts: `sampled_traces` + `late_parts` = `released_parts` + `release_waiting_parts`

use crate::policy::{PolicyIndex, Verdict};

/// Counters since start, but for the four that say that they are gauges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SamplingStats {
    /// Spans given to the table.
    pub received_spans: u64,
    /// Spans of dropped traces that have left: discarded with their trace, or late.
    pub dropped_by_policy_spans: u64,
    /// Spans of kept traces that have left: released with their trace, or late.
    pub released_spans: u64,
    /// Gauge: spans in open traces, in discarded traces that nobody took yet, and in parts that wait for release.
    pub buffered_spans: u64,
    /// Gauge: bytes of those spans.
    pub buffered_bytes: u64,

    /// Traces opened. A trace that was forgotten and comes again counts again.
    pub new_traces: u64,
    /// Gauge: traces that wait for their decision.
    pub open_traces: u64,
    /// Traces decided to be kept.
    pub sampled_traces: u64,
    /// Traces decided to be dropped, for whatever reason.
    pub not_sampled_traces: u64,
    /// Of those, traces that a policy of type `drop` dropped.
    pub dropped_traces: u64,
    /// Of those, traces that had more than `maximum_trace_size_bytes`; no policy was asked.
    pub dropped_too_large_traces: u64,

    /// Decided before their time to make room for a new trace: `num_traces` was reached. A trace whose time had come
    /// as well is not counted.
    pub decided_early_num_traces: u64,
    /// Decided before their time because they alone had more bytes than the owner allows one trace.
    pub decided_early_giant: u64,
    /// Decided before their time because the process ends.
    pub decided_early_shutdown: u64,

    /// Spans that came after their trace was decided to be kept; they are among `released_spans` once released.
    pub late_kept_spans: u64,
    /// Spans that came after their trace was decided to be dropped; they are among `dropped_by_policy_spans`.
    pub late_dropped_spans: u64,
    /// Of those, spans that would have made some policy keep their trace, had they come in time: one with an error, say.
    pub late_trigger_spans: u64,
    /// Parts of kept traces made of late spans.
    pub late_parts: u64,

    /// Gauge: kept traces, and late parts of such, that wait until there is room downstream.
    pub release_waiting_parts: u64,
    /// Kept traces, and late parts of such, that went downstream.
    pub released_parts: u64,

    /// For each policy, in the order of the configuration.
    pub policies: Vec<PolicyStats>,
}

/// What one policy did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PolicyStats {
    /// Traces that it wanted, also where an earlier policy wanted them already: upstream's `count_traces_sampled` with
    /// `sampled="true"`.
    pub wanted_traces: u64,
    /// The spans that those had at their decision.
    pub wanted_spans: u64,
    /// Traces that it did not want: upstream's `count_traces_sampled` with `sampled="false"`.
    pub unwanted_traces: u64,
    /// The spans that those had at their decision.
    pub unwanted_spans: u64,
    /// Traces that it dropped, being of type `drop`: upstream's `count_traces_sampled` with `decision="dropped"`.
    pub dropped_traces: u64,
    /// The spans that those had at their decision.
    pub dropped_spans: u64,
    /// Traces that are kept because of it: it was the first to want them. Over all policies this is `sampled_traces`.
    pub sampled_traces: u64,
    /// The spans of those, late ones included.
    pub sampled_spans: u64,
}

impl SamplingStats {
    pub(crate) fn new(policies: usize) -> Self {
        Self {
            policies: vec![PolicyStats::default(); policies],
            ..Self::default()
        }
    }

    pub(crate) fn buffer(&mut self, record_len: u32) {
        self.buffered_spans += 1;
        self.buffered_bytes += u64::from(record_len);
    }

    pub(crate) fn unbuffer(&mut self, spans: u64, bytes: u64) {
        self.buffered_spans -= spans;
        self.buffered_bytes -= bytes;
    }

    pub(crate) fn policy(&mut self, policy: PolicyIndex) -> &mut PolicyStats {
        &mut self.policies[policy.index()]
    }
}

impl PolicyStats {
    pub(crate) fn result(&mut self, verdict: Verdict, spans: u64) {
        match verdict {
            Verdict::Sampled => {
                self.wanted_traces += 1;
                self.wanted_spans += spans;
            }
            Verdict::NotSampled => {
                self.unwanted_traces += 1;
                self.unwanted_spans += spans;
            }
            Verdict::Dropped => {
                self.dropped_traces += 1;
                self.dropped_spans += spans;
            }
        }
    }
}

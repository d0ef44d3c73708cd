mod facts;
mod model;

use std::time::Duration;

use tracepipe_config::{
    DecisionCacheSettings, PolicyKind, PolicySettings, StatusCode as Wanted, TailSamplingSettings,
};
use tracepipe_otlp::head::SpanHead;
use tracepipe_otlp::id::{SpanId, TraceId};
use tracepipe_otlp::view::StatusCode;

use super::*;

/// What the tests store for a trace: the numbers of its spans, in the order of their arrival.
type Stored = Vec<u32>;

const WAIT: Duration = Duration::from_secs(10);
const DAY: u64 = 1_763_700_000_000_000_000;
const MS: u64 = 1_000_000;

/// Errors, then traces of more than 3 ms, then 30 percent; waits of 10 s.
fn settings(num_traces: u64, sampled_cache_size: u64, non_sampled_cache_size: u64) -> TailSamplingSettings {
    let policy = |name: &str, kind| PolicySettings {
        name: name.to_owned(),
        kind,
    };
    TailSamplingSettings {
        decision_wait: WAIT,
        num_traces,
        expected_new_traces_per_sec: 0,
        decision_cache: DecisionCacheSettings {
            sampled_cache_size,
            non_sampled_cache_size,
        },
        policies: vec![
            policy(
                "errors",
                PolicyKind::StatusCode {
                    status_codes: vec![Wanted::Error],
                },
            ),
            policy("slow", PolicyKind::Latency { threshold_ms: 3 }),
            policy(
                "share",
                PolicyKind::Probabilistic {
                    hash_salt: "salt".to_owned(),
                    sampling_percentage: 30.0,
                },
            ),
        ],
    }
}

fn table(num_traces: u64) -> TraceTable<Stored> {
    TraceTable::new(&settings(num_traces, 100, 100), 42)
}

/// Span of a trace, from `start_ms` on for `ms`.
fn head(trace_id: TraceId, status: StatusCode, start_ms: u64, ms: u64) -> SpanHead {
    SpanHead {
        trace_id,
        span_id: SpanId([7; 8]),
        is_root: false,
        start_time_unix_nano: DAY + start_ms * MS,
        end_time_unix_nano: DAY + (start_ms + ms) * MS,
        status,
        flags: 0,
        record: 0..100,
        context: 0,
        defect: None,
    }
}

/// Ids that `share` does not want: the first of them is 1, the second 2 and so on.
fn dull(n: usize) -> TraceId {
    let policies = Policies::new(&settings(1, 0, 0).policies);
    (0u128..)
        .map(|n| TraceId((n << 64 | 1).to_be_bytes()))
        .filter(|id| policies.decide(*id, &TraceSummary::EMPTY) == Decision::NotSampled)
        .nth(n)
        .unwrap()
}

fn sums_hold(stats: &SamplingStats) {
    assert_eq!(
        stats.received_spans,
        stats.dropped_by_policy_spans + stats.buffered_spans + stats.released_spans,
        "{stats:?}"
    );
    assert_eq!(
        stats.new_traces,
        stats.sampled_traces + stats.not_sampled_traces + stats.open_traces,
        "{stats:?}"
    );
    assert_eq!(
        stats.sampled_traces + stats.late_parts,
        stats.released_parts + stats.release_waiting_parts,
        "{stats:?}"
    );
    let decided = stats.sampled_traces + stats.not_sampled_traces;
    for policy in &stats.policies {
        assert_eq!(
            policy.wanted_traces + policy.unwanted_traces,
            decided,
            "{stats:?}"
        );
        assert!(policy.sampled_traces <= policy.wanted_traces, "{stats:?}");
    }
    let sum = |field: fn(&crate::stats::PolicyStats) -> u64| stats.policies.iter().map(field).sum::<u64>();
    assert_eq!(
        sum(|policy| policy.sampled_traces),
        stats.sampled_traces,
        "{stats:?}"
    );
    if stats.buffered_spans == 0 {
        assert_eq!(
            sum(|policy| policy.sampled_spans),
            stats.released_spans,
            "{stats:?}"
        );
        assert_eq!(stats.buffered_bytes, 0, "{stats:?}");
    }
}

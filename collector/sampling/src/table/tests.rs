mod facts;
mod limits;
mod model;

use std::time::Duration;

use tracepipe_config::{
    AndMember, DecisionCacheSettings, PolicyKind, PolicySettings, SimplePolicy, StatusCode as Wanted,
    TailSamplingSettings,
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
    let status_codes = vec![Wanted::Error];
    let policies = [
        ("errors", SimplePolicy::StatusCode { status_codes }),
        (
            "slow",
            SimplePolicy::Latency {
                threshold_ms: 3,
                upper_threshold_ms: None,
            },
        ),
        (
            "share",
            SimplePolicy::Probabilistic {
                hash_salt: "salt".to_owned(),
                sampling_percentage: 30.0,
            },
        ),
    ];
    TailSamplingSettings {
        decision_wait: WAIT,
        decision_wait_after_root_received: None,
        num_traces,
        block_on_overflow: false,
        expected_new_traces_per_sec: 0,
        maximum_trace_size_bytes: None,
        sample_on_first_match: false,
        record_policy: true,
        decision_cache: DecisionCacheSettings {
            sampled_cache_size,
            non_sampled_cache_size,
            directory: None,
        },
        policies: policies
            .into_iter()
            .map(|(name, policy)| named(name, PolicyKind::Simple(policy)))
            .collect(),
    }
}

fn named(name: &str, kind: PolicyKind) -> PolicySettings {
    PolicySettings {
        name: name.to_owned(),
        kind,
    }
}

/// A fourth policy: traces with a span whose flag "sampled" is set are dropped.
fn dropping(mut settings: TailSamplingSettings) -> TailSamplingSettings {
    let flagged = vec![AndMember::Simple(SimplePolicy::TraceFlags)];
    settings
        .policies
        .push(named("unwanted", PolicyKind::Drop(flagged)));
    settings
}

fn new(settings: &TailSamplingSettings) -> TraceTable<Stored> {
    TraceTable::new(settings, 42).unwrap()
}

fn table(num_traces: u64) -> TraceTable<Stored> {
    new(&settings(num_traces, 100, 100))
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
        matched: 0,
        record: 0..100,
        context: 0,
        defect: None,
    }
}

/// Ids that `share` does not want: the first of them is 1, the second 2 and so on.
fn dull(n: usize) -> TraceId {
    let mut policies = Policies::new(&settings(1, 0, 0).policies, false).unwrap();
    let mut is_dull = |trace_id| {
        let question = Question {
            now: Duration::ZERO,
            trace_id,
            summary: &TraceSummary::EMPTY,
        };
        policies.decide(&question) == Decision::NotSampled
    };
    (0u128..10_000)
        .map(|n| TraceId((n << 64 | 1).to_be_bytes()))
        .filter(|id| is_dull(*id))
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
    let asked = stats.sampled_traces + stats.not_sampled_traces - stats.dropped_too_large_traces;
    for policy in &stats.policies {
        let answers = policy.wanted_traces + policy.unwanted_traces + policy.dropped_traces;
        assert!(answers <= asked, "{stats:?}");
        assert!(policy.sampled_traces <= policy.wanted_traces, "{stats:?}");
    }
    let sum = |field: fn(&crate::stats::PolicyStats) -> u64| stats.policies.iter().map(field).sum::<u64>();
    assert_eq!(
        sum(|policy| policy.sampled_traces),
        stats.sampled_traces,
        "{stats:?}"
    );
    assert_eq!(
        sum(|policy| policy.dropped_traces),
        stats.dropped_traces,
        "{stats:?}"
    );
    assert!(
        stats.dropped_traces + stats.dropped_too_large_traces <= stats.not_sampled_traces,
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

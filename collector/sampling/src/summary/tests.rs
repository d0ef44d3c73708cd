use proptest::prelude::*;
use tracepipe_otlp::id::{SpanId, TraceId};

use super::*;

/// A span's head with the fields that summaries look at; times cover real ones, 0 and the far ends.
pub(crate) fn any_head() -> impl Strategy<Value = SpanHead> {
    let status = prop_oneof![
        Just(StatusCode::Unset),
        Just(StatusCode::Ok),
        Just(StatusCode::Error)
    ];
    let times = (any_time(), any_time());
    (times, status, any::<bool>(), any::<u32>(), any_bits()).prop_map(
        |((start, end), status, is_root, flags, matched)| SpanHead {
            trace_id: TraceId([1; 16]),
            span_id: SpanId([1; 8]),
            is_root,
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            status,
            flags,
            matched,
            record: 0..0,
            context: 0,
            defect: None,
        },
    )
}

/// Few bits of many.
fn any_bits() -> impl Strategy<Value = u128> {
    prop::collection::vec(0u32..128, 0..4).prop_map(|bits| bits.iter().fold(0, |set, bit| set | 1 << bit))
}

fn any_time() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => 1_763_700_000_000_000_000u64..1_763_700_010_000_000_000,
        1 => Just(0u64),
        1 => any::<u64>(),
    ]
}

pub(crate) fn any_summary() -> impl Strategy<Value = TraceSummary> {
    (
        any_head(),
        any::<u32>(),
        any_bits(),
        prop_oneof![0u32..5, Just(u32::MAX)],
    )
        .prop_map(|(head, record_len, predicates, spans)| TraceSummary {
            predicates,
            spans,
            ..TraceSummary::of_span(&head, record_len)
        })
}

fn merged(mut left: TraceSummary, right: &TraceSummary) -> TraceSummary {
    left.merge(right);
    left
}

proptest! {
    #[test]
    fn merge_is_commutative_and_associative_and_empty_changes_nothing(
        a in any_summary(), b in any_summary(), c in any_summary(),
    ) {
        prop_assert_eq!(merged(a, &b), merged(b, &a));
        prop_assert_eq!(merged(merged(a, &b), &c), merged(a, &merged(b, &c)));
        prop_assert_eq!(merged(a, &TraceSummary::EMPTY), a);
    }

    #[test]
    fn a_part_merged_twice_changes_nothing_but_the_counts(a in any_summary(), b in any_summary()) {
        let once = merged(a, &b);
        let twice = merged(once, &b);
        prop_assert_eq!(TraceSummary { spans: once.spans, bytes: once.bytes, ..twice }, once);
    }

    #[test]
    fn any_order_and_any_split_of_the_spans_gives_the_same_summary(
        spans in prop::collection::vec((any_head(), 0u32..100_000, 0usize..4, any::<u64>()), 0..20),
    ) {
        let policies = crate::policy::Policies::new(&[], false).unwrap();
        let mut whole = TraceSummary::EMPTY;
        for (head, record_len, _, _) in &spans {
            policies.fold(&mut whole, head, *record_len);
        }
        prop_assert_eq!(whole.spans as usize, spans.len());

        let mut shuffled = spans;
        shuffled.sort_by_key(|(_, _, _, order)| *order);
        let mut parts = [TraceSummary::EMPTY; 4];
        for (head, record_len, part, _) in &shuffled {
            policies.fold(&mut parts[*part], head, *record_len);
        }
        let from_parts = parts.iter().rev().fold(TraceSummary::EMPTY, merged);
        prop_assert_eq!(from_parts, whole);
    }
}

#[test]
fn a_summary_is_small() {
    assert!(size_of::<TraceSummary>() <= 48);
}

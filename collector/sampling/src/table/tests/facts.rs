use super::*;

pub(super) const ERROR: StatusCode = StatusCode::Error;
pub(super) const UNSET: StatusCode = StatusCode::Unset;

pub(super) fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Gives the table a span of 100 bytes and stores its number.
pub(super) fn span(
    table: &mut TraceTable<Stored>,
    now: Duration,
    head: &SpanHead,
    number: u32,
) -> &'static str {
    let (stored, placement) = match table.on_span(now, head, 100) {
        Placement::Buffer(stored) => (stored, "buffer"),
        Placement::Late(stored) => (stored, "late"),
        Placement::Drop => return "drop",
    };
    stored.push(number);
    placement
}

#[test]
fn a_trace_is_decided_exactly_when_the_wait_from_its_first_span_is_over() {
    let mut table = table(10);
    assert_eq!(table.poll_timeout(), None);
    let first = Duration::from_millis(1_500);
    span(&mut table, first, &head(dull(0), ERROR, 0, 1), 1);
    span(&mut table, first + at(9), &head(dull(0), UNSET, 0, 1), 2);
    assert_eq!(
        table.poll_timeout(),
        Some(first + WAIT),
        "the second span does not extend it"
    );

    table.on_timeout(first + WAIT - Duration::from_nanos(1));
    assert_eq!(table.poll_effect(), None);
    table.on_timeout(first + WAIT);
    assert_eq!(table.poll_timeout(), None);
    let sampled = table.poll_release().unwrap();
    assert_eq!(
        (sampled.stored, sampled.spans, sampled.bytes, sampled.late),
        (vec![1, 2], 2, 200, false)
    );
    assert_eq!(table.policies().name(sampled.policy), Some("errors"));
}

#[test]
fn time_that_goes_back_delays_nothing() {
    let mut table = table(10);
    span(&mut table, at(5), &head(dull(0), UNSET, 0, 1), 1);
    span(&mut table, at(2), &head(dull(1), UNSET, 0, 1), 2);
    assert_eq!(table.poll_timeout(), Some(at(15)));
    table.on_timeout(at(15));
    assert_eq!(table.stats().open_traces, 0);
}

#[test]
fn a_trace_is_as_long_as_all_its_spans_together() {
    let mut table = table(10);
    span(&mut table, at(0), &head(dull(0), UNSET, 2, 2), 1);
    span(&mut table, at(0), &head(dull(0), UNSET, 0, 1), 2);
    span(&mut table, at(0), &head(dull(1), UNSET, 0, 3), 3);
    table.on_timeout(at(10));
    let sampled = table.poll_release().unwrap();
    assert_eq!((sampled.trace_id, sampled.policy.index()), (dull(0), 1));
    assert_eq!(table.poll_discard().unwrap().stored, [3]);
    assert_eq!(table.poll_effect(), None);
}

#[test]
fn late_span_follows_the_remembered_decision() {
    let mut table = table(10);
    span(&mut table, at(0), &head(dull(0), ERROR, 0, 1), 1);
    span(&mut table, at(0), &head(dull(1), UNSET, 0, 1), 2);
    table.on_timeout(at(10));
    assert_eq!(span(&mut table, at(11), &head(dull(0), UNSET, 0, 1), 3), "late");
    assert_eq!(
        span(&mut table, at(11), &head(dull(1), ERROR, 0, 1), 4),
        "drop",
        "errors too"
    );
    assert_eq!(table.poll_timeout(), None, "no new trace");

    assert_eq!(table.poll_discard().unwrap().stored, [2]);
    let whole = table.poll_release().unwrap();
    assert_eq!((whole.stored, whole.late), (vec![1], false));
    let late = table.poll_release().unwrap();
    assert_eq!(
        (late.trace_id, late.policy, late.late),
        (dull(0), whole.policy, true)
    );
    assert_eq!((late.stored, late.spans, late.bytes), (vec![3], 1, 100));

    let stats = table.stats();
    assert_eq!(
        (stats.late_kept_spans, stats.late_dropped_spans, stats.late_parts),
        (1, 1, 1)
    );
    assert_eq!(
        (
            stats.dropped_by_policy_spans,
            stats.released_spans,
            stats.buffered_spans
        ),
        (2, 2, 0)
    );
    sums_hold(stats);
}

#[test]
fn late_spans_of_a_trace_that_come_together_leave_together() {
    let mut table = table(10);
    span(&mut table, at(0), &head(dull(0), ERROR, 0, 1), 1);
    span(&mut table, at(0), &head(dull(1), ERROR, 0, 1), 2);
    table.on_timeout(at(10));
    for (trace, number) in [(0, 3), (0, 4), (1, 5), (0, 6)] {
        assert_eq!(
            span(&mut table, at(11), &head(dull(trace), UNSET, 0, 1), number),
            "late"
        );
    }
    let parts: Vec<Stored> = std::iter::from_fn(|| table.poll_release())
        .map(|part| part.stored)
        .collect();
    assert_eq!(parts, [vec![1], vec![2], vec![3, 4], vec![5], vec![6]]);
    assert_eq!(span(&mut table, at(11), &head(dull(0), UNSET, 0, 1), 7), "late");
    assert_eq!(
        table.poll_release().unwrap().stored,
        [7],
        "one that has left is not added to"
    );
    sums_hold(table.stats());
}

#[test]
fn a_forgotten_trace_is_a_new_trace() {
    for (status, sampled_cache, non_sampled_cache) in [(ERROR, 1, 9), (UNSET, 9, 1), (ERROR, 0, 9)] {
        let mut table = new(&settings(10, sampled_cache, non_sampled_cache));
        for trace in 0..2 {
            span(&mut table, at(0), &head(dull(trace), status, 0, 1), 0);
        }
        table.on_timeout(at(10));
        let again = span(&mut table, at(12), &head(dull(0), UNSET, 0, 1), 1);
        assert_eq!(again, "buffer", "{status:?} {sampled_cache} {non_sampled_cache}");
        assert_eq!(table.poll_timeout(), Some(at(22)));
        assert_eq!(table.stats().new_traces, 3);
    }
}

#[test]
fn a_trace_that_still_sends_stays_remembered() {
    let mut table = new(&settings(10, 9, 2));
    for second in 0..50 {
        let trace = head(dull(second), UNSET, 0, 1);
        assert_eq!(span(&mut table, at(second as u64), &trace, 0), "buffer");
        table.on_timeout(at(second as u64));
        if second > 10 {
            assert_eq!(
                span(&mut table, at(second as u64), &head(dull(0), UNSET, 0, 1), 0),
                "drop"
            );
        }
    }
    assert_eq!(table.stats().new_traces, 50);
}

#[test]
fn when_num_traces_is_reached_the_oldest_is_decided_on_what_is_known() {
    let mut table = table(2);
    span(&mut table, at(0), &head(dull(0), ERROR, 0, 1), 1);
    span(&mut table, at(1), &head(dull(1), UNSET, 0, 1), 2);
    span(&mut table, at(2), &head(dull(2), UNSET, 0, 1), 3);
    assert_eq!(table.poll_release().unwrap().stored, [1]);
    assert_eq!(table.stats().decided_early_num_traces, 1);
    assert_eq!(table.poll_timeout(), Some(at(11)));
    assert_eq!(span(&mut table, at(3), &head(dull(0), UNSET, 0, 1), 4), "late");

    span(&mut table, at(11), &head(dull(3), UNSET, 0, 1), 5);
    assert_eq!(table.poll_discard().unwrap().stored, [2]);
    assert_eq!(
        table.stats().decided_early_num_traces,
        1,
        "its time had come anyway"
    );
    sums_hold(table.stats());
}

#[test]
fn a_kept_trace_stays_in_the_account_until_it_is_taken() {
    let mut table = table(10);
    span(&mut table, at(0), &head(dull(0), ERROR, 0, 1), 1);
    span(&mut table, at(0), &head(dull(1), UNSET, 0, 1), 2);
    table.on_timeout(at(10));
    let stats = table.stats();
    assert_eq!((stats.open_traces, stats.release_waiting_parts), (0, 1));
    assert_eq!((stats.buffered_spans, stats.buffered_bytes), (2, 200));
    assert!(table.releases() > 0);

    assert!(
        matches!(table.poll_effect(), Some(Effect::Discard(_))),
        "what frees memory comes first"
    );
    assert_eq!(
        (table.stats().buffered_spans, table.stats().buffered_bytes),
        (1, 100)
    );
    assert!(matches!(table.poll_effect(), Some(Effect::Release(_))));
    assert_eq!(
        (table.stats().buffered_spans, table.stats().release_waiting_parts),
        (0, 0)
    );
    assert_eq!(table.releases(), 0);
    sums_hold(table.stats());
}

#[test]
fn at_the_end_everything_is_decided_and_what_comes_then_is_still_served() {
    let mut table = table(10);
    for trace in 0..5u32 {
        span(
            &mut table,
            at(trace.into()),
            &head(dull(trace as usize), ERROR, 0, 1),
            trace,
        );
    }
    table.on_timeout(at(10));
    table.decide_all();
    assert_eq!(table.poll_timeout(), None);
    assert_eq!(table.stats().decided_early_shutdown, 4);
    let order: Vec<Stored> = std::iter::from_fn(|| table.poll_release())
        .map(|kept| kept.stored)
        .collect();
    assert_eq!(order, [[0], [1], [2], [3], [4]]);
    assert_eq!(span(&mut table, at(11), &head(dull(4), UNSET, 0, 1), 9), "late");
    sums_hold(table.stats());
}

#[test]
fn each_policy_counts_what_it_wanted_and_the_first_one_gets_the_trace() {
    let mut table = table(10);
    span(&mut table, at(0), &head(dull(0), ERROR, 0, 9), 1);
    span(&mut table, at(0), &head(dull(0), UNSET, 0, 1), 2);
    span(&mut table, at(0), &head(dull(1), UNSET, 0, 9), 3);
    span(&mut table, at(0), &head(dull(2), UNSET, 0, 1), 4);
    table.on_timeout(at(10));
    span(&mut table, at(11), &head(dull(0), UNSET, 0, 1), 5);
    let [errors, slow, share] = table.stats().policies[..] else {
        panic!("three policies")
    };
    assert_eq!(
        (errors.wanted_traces, errors.wanted_spans, errors.unwanted_traces),
        (1, 2, 2)
    );
    assert_eq!(
        (errors.sampled_traces, errors.sampled_spans),
        (1, 3),
        "with the late one"
    );
    assert_eq!(
        (slow.wanted_traces, slow.wanted_spans, slow.unwanted_spans),
        (2, 3, 1)
    );
    assert_eq!((slow.sampled_traces, slow.sampled_spans), (1, 1));
    assert_eq!(
        (share.wanted_traces, share.unwanted_traces, share.unwanted_spans),
        (0, 3, 4)
    );
}

#[test]
fn an_idle_table_is_small_and_a_burst_gives_its_memory_back() {
    let mut table = TraceTable::<[u64; 4]>::new(&settings(100_000, 1_000, 1_000), 1).unwrap();
    assert!(table.memory_bytes() < 1_000);
    for n in 1..=100_000u128 {
        table.on_span(at(0), &head(TraceId(n.to_be_bytes()), UNSET, 0, 1), 100);
    }
    let full = table.memory_bytes();
    assert!(full < 100_000 * 200, "{full}");
    table.on_timeout(at(10));
    while table.poll_effect().is_some() {}
    for second in 0..10 {
        table.on_timeout(at(11 + second));
    }
    assert!(
        table.memory_bytes() < 2_000_000,
        "{} of {full}",
        table.memory_bytes()
    );
}

#[test]
fn settings_beyond_all_bounds_reserve_nothing_to_speak_of() {
    let mut settings = settings(u64::MAX, u64::MAX, u64::MAX);
    settings.expected_new_traces_per_sec = u64::MAX;
    settings.decision_wait = Duration::MAX;
    let mut table = new(&settings);
    assert!(table.memory_bytes() < 20 << 20, "{}", table.memory_bytes());
    assert_eq!(span(&mut table, at(1), &head(dull(0), UNSET, 0, 1), 1), "buffer");
    assert_eq!(table.poll_timeout(), Some(Duration::MAX));

    settings.num_traces = 0;
    let mut table = new(&settings);
    assert_eq!(
        span(&mut table, at(1), &head(dull(0), UNSET, 0, 1), 1),
        "buffer",
        "one at least"
    );
}

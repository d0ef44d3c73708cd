use super::facts::{ERROR, UNSET, at, span};
use super::*;

#[test]
fn a_trace_whose_root_has_come_is_decided_after_the_shorter_wait() {
    let mut settings = settings(10, 9, 9);
    settings.decision_wait_after_root_received = Some(at(2));
    let mut table = new(&settings);
    let root = |trace| SpanHead {
        is_root: true,
        ..head(dull(trace), UNSET, 0, 1)
    };
    span(&mut table, at(0), &head(dull(0), UNSET, 0, 1), 1);
    span(&mut table, at(1), &head(dull(1), UNSET, 0, 1), 2);
    span(&mut table, at(3), &root(1), 3);
    span(&mut table, at(4), &root(1), 4);
    assert_eq!(table.poll_timeout(), Some(at(5)), "a second root changes nothing");
    table.on_timeout(at(5));
    assert_eq!(table.poll_discard().unwrap().stored, [2, 3, 4]);
    assert_eq!(table.poll_timeout(), Some(at(10)), "the older one waits on");

    span(&mut table, at(9), &root(0), 5);
    assert_eq!(table.poll_timeout(), Some(at(10)), "only ever earlier");
    table.on_timeout(at(10));
    assert_eq!(table.poll_discard().unwrap().stored, [1, 5]);
    assert_eq!(table.poll_timeout(), None);
    sums_hold(table.stats());
}

#[test]
fn a_trace_with_too_many_bytes_is_dropped_at_once_and_stays_dropped() {
    for (cache, later) in [(9, "drop"), (0, "drop")] {
        let mut settings = settings(10, cache, cache);
        settings.maximum_trace_size_bytes = Some(200);
        let mut table = new(&settings);
        for number in 1..=2 {
            assert_eq!(
                span(&mut table, at(0), &head(dull(0), ERROR, 0, 1), number),
                "buffer"
            );
            assert_eq!(table.poll_discard(), None);
        }
        assert_eq!(span(&mut table, at(0), &head(dull(0), ERROR, 0, 1), 3), "buffer");
        let dropped = table.poll_discard().unwrap();
        assert_eq!(
            (dropped.stored, dropped.spans, dropped.bytes),
            (vec![1, 2, 3], 3, 300)
        );
        assert_eq!(table.poll_timeout(), None);
        assert_eq!(span(&mut table, at(0), &head(dull(0), ERROR, 0, 1), 4), later);
        let stats = table.stats();
        assert_eq!((stats.dropped_too_large_traces, stats.not_sampled_traces), (1, 1));
        assert_eq!(stats.policies[0].wanted_traces, 0, "no policy was asked");
        assert_eq!(stats.late_trigger_spans, 0, "it would not have been kept");
        sums_hold(stats);
    }
}

#[test]
fn a_giant_trace_is_decided_at_once_and_streamed_whatever_the_caches() {
    let mut table = new(&settings(10, 1, 0));
    table.set_giant_bytes(250);
    for number in 1..=3 {
        assert_eq!(
            span(&mut table, at(0), &head(dull(0), ERROR, 0, 1), number),
            "buffer"
        );
        assert_eq!(
            span(&mut table, at(0), &head(dull(1), UNSET, 0, 1), 10 + number),
            "buffer"
        );
    }
    let kept = table.poll_release().unwrap();
    assert_eq!((kept.stored, kept.spans, kept.bytes), (vec![1, 2, 3], 3, 300));
    assert_eq!(table.poll_discard().unwrap().stored, [11, 12, 13]);
    assert_eq!(table.poll_timeout(), None);
    assert_eq!(table.stats().decided_early_giant, 2);

    // Its decision is not pushed out by those of others, while it still sends.
    for other in 2..50u32 {
        span(
            &mut table,
            at(0),
            &head(dull(other as usize), ERROR, 0, 1),
            100 + other,
        );
        table.decide_all();
        assert_eq!(table.poll_release().unwrap().stored, [100 + other]);
        assert_eq!(
            span(&mut table, at(1), &head(dull(0), UNSET, 0, 1), other),
            "late"
        );
        assert_eq!(
            span(&mut table, at(1), &head(dull(1), UNSET, 0, 1), other),
            "drop"
        );
        assert_eq!(table.poll_release().unwrap().stored, [other]);
    }
    sums_hold(table.stats());
}

#[test]
fn late_spans_that_would_have_kept_a_dropped_trace_are_counted() {
    let mut table = new(&dropping(settings(10, 9, 9)));
    let flagged = |trace| SpanHead {
        flags: 0x101,
        ..head(dull(trace), UNSET, 0, 1)
    };
    span(&mut table, at(0), &head(dull(0), UNSET, 0, 1), 1);
    span(&mut table, at(0), &flagged(1), 2);
    table.on_timeout(at(10));
    for (status, counted) in [(UNSET, 0), (ERROR, 1), (ERROR, 2)] {
        assert_eq!(span(&mut table, at(11), &head(dull(0), status, 0, 1), 3), "drop");
        assert_eq!(table.stats().late_trigger_spans, counted);
    }
    assert_eq!(span(&mut table, at(11), &head(dull(1), ERROR, 0, 1), 4), "drop");
    assert_eq!(table.stats().late_trigger_spans, 2, "a policy dropped it");
    assert_eq!(table.stats().dropped_traces, 1);
    assert_eq!(table.stats().policies[3].dropped_spans, 1);
}

#[test]
fn with_block_on_overflow_a_request_has_room_for_all_its_new_traces_or_waits() {
    let heads = |traces: &[usize]| -> Vec<SpanHead> {
        traces
            .iter()
            .map(|trace| head(dull(*trace), UNSET, 0, 1))
            .collect()
    };
    let mut settings = settings(3, 9, 9);
    settings.block_on_overflow = true;
    let mut table = new(&settings);
    span(&mut table, at(0), &head(dull(0), UNSET, 0, 1), 1);
    span(&mut table, at(1), &head(dull(1), UNSET, 0, 1), 2);
    assert!(table.has_room_for(&heads(&[2])));
    assert!(table.has_room_for(&heads(&[0, 1, 2, 0, 2, 1])), "one is new");
    assert!(!table.has_room_for(&heads(&[2, 3])));
    assert!(!table.has_room_for(&heads(&[2, 0, 3, 2])));
    assert!(table.has_room_for(&heads(&[2, 3, 4, 5])), "it never would");
    let mut defect = heads(&[2, 3]);
    defect[1].defect = Some(tracepipe_otlp::SpanDefect::SpanId);
    assert!(table.has_room_for(&defect));

    table.on_timeout(at(10));
    assert!(table.has_room_for(&heads(&[2, 3])));
    span(&mut table, at(10), &head(dull(2), UNSET, 0, 1), 3);
    assert!(table.has_room_for(&heads(&[0, 3])), "a decided one opens nothing");
    assert!(!table.has_room_for(&heads(&[3, 4])));

    settings.block_on_overflow = false;
    assert!(new(&settings).has_room_for(&heads(&[0, 1, 2, 3])));
}

#[test]
fn recorded_decisions_bring_a_new_table_up_to_date() {
    let settings = settings(10, 9, 9);
    let mut before = new(&settings);
    span(&mut before, at(0), &head(dull(9), UNSET, 0, 1), 0);
    before.decide_all();
    assert_eq!(before.take_new_decisions(), [], "not asked for");
    before.record_decisions(2);
    for trace in 0..3 {
        let status = if trace == 1 { ERROR } else { UNSET };
        span(&mut before, at(0), &head(dull(trace), status, 0, 1), 0);
    }
    before.decide_all();
    let decisions = before.take_new_decisions();
    assert_eq!(decisions.len(), 2, "the last ones");
    assert_eq!(before.take_new_decisions(), []);

    let mut after = TraceTable::<Stored>::new(&settings, before.seed()).unwrap();
    decisions.iter().for_each(|decision| after.restore(*decision));
    assert_eq!(span(&mut after, at(0), &head(dull(1), UNSET, 0, 1), 1), "late");
    assert_eq!(span(&mut after, at(0), &head(dull(2), UNSET, 0, 1), 2), "drop");
    assert_eq!(span(&mut after, at(0), &head(dull(0), UNSET, 0, 1), 3), "buffer");
    let part = after.poll_release().unwrap();
    assert_eq!((part.stored, part.policy.index(), part.late), (vec![1], 0, true));

    // Another configuration has no such policy.
    let mut fewer = settings;
    fewer.policies.clear();
    let mut other = TraceTable::<Stored>::new(&fewer, before.seed()).unwrap();
    decisions.iter().for_each(|decision| other.restore(*decision));
    assert_eq!(span(&mut other, at(0), &head(dull(1), UNSET, 0, 1), 1), "buffer");
    assert_eq!(span(&mut other, at(0), &head(dull(2), UNSET, 0, 1), 2), "drop");
}

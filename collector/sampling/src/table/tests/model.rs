//! A naive table, driven in lockstep with the real one.

mod reference;

use proptest::prelude::*;

use super::*;
use reference::{ReferenceTable, Setup, trace_id};

#[derive(Debug, Clone)]
enum Op {
    /// A span `back` milliseconds in the past of the clock, which the table must not mind.
    Span {
        trace: u8,
        status: StatusCode,
        start_ms: u64,
        ms: u64,
        len: u32,
        back: u64,
        is_root: bool,
        flagged: bool,
    },
    /// Whether a request with these traces may come.
    Room(Vec<u8>),
    /// The clock goes on; nobody calls the table.
    Wait {
        ms: u64,
    },
    /// The owner's timer fires.
    Timeout,
    /// The owner takes up to this many dropped traces.
    Discard(u8),
    /// There is room for up to this many kept traces.
    Release(u8),
    Effect,
    DecideAll,
}

/// What can be seen from outside; two tables that were given the same must show the same.
#[derive(Debug, PartialEq)]
enum Seen {
    Placement(&'static str),
    Timeout(Option<Duration>),
    Discard(Option<Discarded<Stored>>),
    Release(Option<Sampled<Stored>>),
    Effect(Option<Effect<Stored>>),
    Room(bool),
}

fn any_op() -> impl Strategy<Value = Op> {
    let status =
        prop_oneof![8 => Just(StatusCode::Unset), 1 => Just(StatusCode::Ok), 1 => Just(StatusCode::Error)];
    let back = prop_oneof![9 => Just(0u64), 1 => 0u64..20_000];
    let bits = (prop::bool::weighted(0.2), prop::bool::weighted(0.05));
    let span = (0u8..10, status, 0u64..3, 0u64..3, 0u32..1_000, (back, bits)).prop_map(
        |(trace, status, start_ms, ms, len, (back, (is_root, flagged)))| Op::Span {
            trace,
            status,
            start_ms,
            ms,
            len,
            back,
            is_root,
            flagged,
        },
    );
    let wait = prop_oneof![0u64..4_000, Just(10_000u64), Just(0u64)].prop_map(|ms| Op::Wait { ms });
    prop_oneof![
        24 => span,
        6 => wait,
        2 => prop::collection::vec(0u8..10, 0..12).prop_map(Op::Room),
        6 => Just(Op::Timeout),
        3 => (0u8..4).prop_map(Op::Discard),
        3 => (0u8..4).prop_map(Op::Release),
        1 => Just(Op::Effect),
        1 => prop::bool::weighted(0.2).prop_map(|all| if all { Op::DecideAll } else { Op::Timeout }),
    ]
}

fn any_setup() -> impl Strategy<Value = Setup> {
    let sizes = (1u64..8, 0u64..5, 0u64..5);
    let after_root = prop::option::of((0u64..12).prop_map(Duration::from_secs));
    let most_bytes = prop::option::weighted(0.3, 0u64..3_000);
    let giant_bytes = prop_oneof![2 => Just(u64::MAX), 1 => 0u64..3_000];
    (sizes, after_root, most_bytes, giant_bytes, any::<[bool; 3]>()).prop_map(
        |((traces, sampled, dropped), after_root, most_bytes, giant_bytes, [block, first_match, drops])| {
            let mut settings = settings(traces, sampled, dropped);
            settings.decision_wait_after_root_received = after_root;
            settings.maximum_trace_size_bytes = most_bytes;
            settings.block_on_overflow = block;
            settings.sample_on_first_match = first_match;
            if drops {
                settings = dropping(settings);
            }
            Setup {
                settings,
                giant_bytes,
            }
        },
    )
}

/// What both tables answer to an operation: the real one first.
fn step(
    table: &mut TraceTable<Stored>,
    model: &mut ReferenceTable,
    op: &Op,
    context: (Duration, u32),
) -> [Vec<Seen>; 2] {
    let (now, number) = context;
    let times = |n: u8| 0..n;
    match op {
        Op::Span {
            trace,
            status,
            start_ms,
            ms,
            len,
            back,
            is_root,
            flagged,
        } => {
            let now = now.saturating_sub(Duration::from_millis(*back));
            let head = SpanHead {
                is_root: *is_root,
                flags: u32::from(*flagged),
                ..head(trace_id(*trace), *status, *start_ms, *ms)
            };
            let placement = match table.on_span(now, &head, *len) {
                Placement::Buffer(stored) => {
                    stored.push(number);
                    "buffer"
                }
                Placement::Late(stored) => {
                    stored.push(number);
                    "late"
                }
                Placement::Drop => "drop",
            };
            let expected = model.on_span(now, &head, *len, number);
            [vec![Seen::Placement(placement)], vec![Seen::Placement(expected)]]
        }
        Op::Wait { .. } => [vec![], vec![]],
        Op::Room(traces) => {
            let heads: Vec<SpanHead> = traces
                .iter()
                .map(|trace| head(trace_id(*trace), StatusCode::Unset, 0, 0))
                .collect();
            [
                vec![Seen::Room(table.has_room_for(&heads))],
                vec![Seen::Room(model.has_room(traces))],
            ]
        }
        Op::Timeout => {
            table.on_timeout(now);
            model.on_timeout(now);
            [vec![], vec![]]
        }
        Op::Discard(n) => [
            times(*n).map(|_| Seen::Discard(table.poll_discard())).collect(),
            times(*n)
                .map(|_| Seen::Discard(model.discards.pop_front()))
                .collect(),
        ],
        Op::Release(n) => [
            times(*n).map(|_| Seen::Release(table.poll_release())).collect(),
            times(*n)
                .map(|_| Seen::Release(model.releases.pop_front()))
                .collect(),
        ],
        Op::Effect => [
            vec![Seen::Effect(table.poll_effect())],
            vec![Seen::Effect(model.effect())],
        ],
        Op::DecideAll => {
            table.decide_all();
            while model.decide_oldest() {}
            [vec![], vec![]]
        }
    }
}

fn new_table(setup: &Setup, seed: u64) -> TraceTable<Stored> {
    let mut table = TraceTable::new(&setup.settings, seed).unwrap();
    table.set_giant_bytes(setup.giant_bytes);
    table
}

/// Drives both, and returns all that the real table showed.
fn run(setup: &Setup, ops: &[Op], seed: u64) -> Result<(Vec<Seen>, SamplingStats), TestCaseError> {
    let mut table = new_table(setup, seed);
    let mut model = ReferenceTable::new(setup);
    let mut all = Vec::new();
    let mut now = Duration::ZERO;
    let end = [Op::DecideAll, Op::Discard(255), Op::Release(255)];
    for (number, op) in (0u32..).zip(ops.iter().chain(&end)) {
        if let Op::Wait { ms } = op {
            now += Duration::from_millis(*ms);
        }
        let [seen, expected] = step(&mut table, &mut model, op, (now, number));
        prop_assert_eq!(&seen, &expected, "{:?}", op);
        all.extend(seen);
        all.push(Seen::Timeout(table.poll_timeout()));

        prop_assert_eq!(table.poll_timeout(), model.deadline());
        prop_assert_eq!(table.releases(), model.releases.len());
        let stats = table.stats();
        sums_hold(stats);
        prop_assert_eq!(stats.open_traces as usize, model.open.len());
        prop_assert_eq!(stats.release_waiting_parts as usize, model.releases.len());
        for (policy, wanted) in stats.policies.iter().zip(model.wanted) {
            prop_assert_eq!(policy.wanted_traces, wanted);
        }
        prop_assert_eq!(stats.late_trigger_spans, model.late_triggers);
        let open = model
            .open
            .values()
            .flat_map(|trace| &trace.spans)
            .map(|(_, len, _)| u64::from(*len));
        let discards = model.discards.iter().map(|discarded| discarded.bytes);
        let releases = model.releases.iter().map(|released| released.bytes);
        prop_assert_eq!(
            stats.buffered_bytes,
            open.chain(discards).chain(releases).sum::<u64>()
        );
    }
    Ok((all, table.stats().clone()))
}

/// The numbers of all spans that came out of a table.
fn out(all: &[Seen]) -> Vec<u32> {
    let mut out = Vec::new();
    for seen in all {
        match seen {
            Seen::Discard(Some(discarded)) | Seen::Effect(Some(Effect::Discard(discarded))) => {
                out.extend(&discarded.stored);
            }
            Seen::Release(Some(released)) | Seen::Effect(Some(Effect::Release(released))) => {
                out.extend(&released.stored);
            }
            Seen::Placement(_)
            | Seen::Timeout(_)
            | Seen::Room(_)
            | Seen::Discard(None)
            | Seen::Release(None)
            | Seen::Effect(None) => {}
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_table_does_what_the_naive_table_does(
        setup in any_setup(),
        ops in prop::collection::vec(any_op(), 1..160),
        seed in any::<u64>(),
    ) {
        let (all, stats) = run(&setup, &ops, seed)?;

        let spans_in = ops.iter().filter(|op| matches!(op, Op::Span { .. })).count();
        prop_assert_eq!(stats.received_spans as usize, spans_in);
        prop_assert_eq!(stats.buffered_spans, 0);
        let mut out = out(&all);
        prop_assert_eq!(out.len() + stats.late_dropped_spans as usize, spans_in);
        out.sort_unstable();
        prop_assert!(out.windows(2).all(|pair| pair[0] < pair[1]), "a span came out twice");
    }

    #[test]
    fn the_hash_seed_changes_nothing(
        setup in any_setup(),
        ops in prop::collection::vec(any_op(), 1..160),
        seeds in any::<[u64; 2]>(),
    ) {
        let [first, second] = [run(&setup, &ops, seeds[0])?, run(&setup, &ops, seeds[1])?];
        prop_assert_eq!(first, second);
    }
}

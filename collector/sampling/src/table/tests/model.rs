//! A naive table, driven in lockstep with the real one.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

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
    },
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
    DecideOldest,
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
    Oldest(bool),
}

/// Numbers of traces that were decided, oldest first; one that was asked for has a second life.
struct ReferenceCache {
    size: usize,
    queue: VecDeque<(TraceId, Option<usize>, bool)>,
}

impl ReferenceCache {
    fn ask(&mut self, id: TraceId) -> Option<Option<usize>> {
        let entry = self.queue.iter_mut().find(|(other, _, _)| *other == id)?;
        entry.2 = true;
        Some(entry.1)
    }

    fn insert(&mut self, id: TraceId, policy: Option<usize>) {
        if self.size == 0 {
            return;
        }
        while self.queue.len() == self.size {
            if let Some((spared, policy, true)) = self.queue.pop_front() {
                self.queue.push_back((spared, policy, false));
            }
        }
        self.queue.push_back((id, policy, false));
    }
}

/// A span, its size in bytes and its number.
type WholeSpan = (SpanHead, u32, u32);

/// Keeps whole spans and looks at all of them again for each question.
struct ReferenceTable {
    num_traces: usize,
    now: Duration,
    /// By arrival.
    open: BTreeMap<u64, (TraceId, Duration, Vec<WholeSpan>)>,
    arrivals: u64,
    kept: ReferenceCache,
    dropped: ReferenceCache,
    discards: VecDeque<Discarded<Stored>>,
    releases: VecDeque<Sampled<Stored>>,
}

impl ReferenceTable {
    fn new(settings: &TailSamplingSettings) -> Self {
        let cache = |size: u64| ReferenceCache {
            size: size as usize,
            queue: VecDeque::new(),
        };
        Self {
            num_traces: settings.num_traces as usize,
            now: Duration::ZERO,
            open: BTreeMap::new(),
            arrivals: 0,
            kept: cache(settings.decision_cache.sampled_cache_size),
            dropped: cache(settings.decision_cache.non_sampled_cache_size),
            discards: VecDeque::new(),
            releases: VecDeque::new(),
        }
    }

    fn on_span(&mut self, now: Duration, head: &SpanHead, len: u32, number: u32) -> &'static str {
        self.now = self.now.max(now);
        let id = head.trace_id;
        if let Some((_, _, spans)) = self.open.values_mut().find(|(other, _, _)| *other == id) {
            spans.push((head.clone(), len, number));
            return "buffer";
        }
        if let Some(policy) = self.kept.ask(id) {
            let policy = policy_index(policy.unwrap());
            match self.releases.back_mut() {
                Some(part) if part.late && part.trace_id == id => {
                    part.stored.push(number);
                    part.spans += 1;
                    part.bytes += u64::from(len);
                }
                _ => self.releases.push_back(Sampled {
                    trace_id: id,
                    policy,
                    late: true,
                    stored: vec![number],
                    spans: 1,
                    bytes: len.into(),
                }),
            }
            return "late";
        }
        if self.dropped.ask(id).is_some() {
            return "drop";
        }
        if self.open.len() == self.num_traces {
            self.decide_oldest();
        }
        self.arrivals += 1;
        self.open.insert(
            self.arrivals,
            (id, self.now + WAIT, vec![(head.clone(), len, number)]),
        );
        "buffer"
    }

    fn on_timeout(&mut self, now: Duration) {
        self.now = self.now.max(now);
        while self.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.decide_oldest();
        }
    }

    fn deadline(&self) -> Option<Duration> {
        self.open.values().map(|(_, deadline, _)| *deadline).min()
    }

    fn decide_oldest(&mut self) -> bool {
        let Some((_, (id, _, heads))) = self.open.pop_first() else {
            return false;
        };
        let stored: Stored = heads.iter().map(|(_, _, number)| *number).collect();
        let spans = heads.len() as u32;
        let bytes = heads.iter().map(|(_, len, _)| u64::from(*len)).sum();
        match wanted_by(id, &heads) {
            Some(policy) => {
                self.kept.insert(id, Some(policy));
                let (policy, late) = (policy_index(policy), false);
                self.releases.push_back(Sampled {
                    trace_id: id,
                    policy,
                    late,
                    stored,
                    spans,
                    bytes,
                });
            }
            None => {
                self.dropped.insert(id, None);
                self.discards.push_back(Discarded { stored, spans, bytes });
            }
        }
        true
    }

    fn effect(&mut self) -> Option<Effect<Stored>> {
        match self.discards.pop_front() {
            Some(discarded) => Some(Effect::Discard(discarded)),
            None => self.releases.pop_front().map(Effect::Release),
        }
    }
}

/// The policies of `settings`, told in another way.
fn wanted_by(id: TraceId, heads: &[WholeSpan]) -> Option<usize> {
    let failed = heads.iter().any(|(head, _, _)| head.status == StatusCode::Error);
    let slow = heads.iter().any(|(first, _, _)| {
        let over = first.start_time_unix_nano + 4 * MS;
        heads.iter().any(|(last, _, _)| last.end_time_unix_nano >= over)
    });
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in b"salt".iter().chain(&id.0) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    }
    let chosen = u128::from(hash) * 10 <= u128::from(u64::MAX) * 3;
    [failed, slow, chosen].iter().position(|wants| *wants)
}

fn policy_index(policy: usize) -> PolicyIndex {
    let all = Policies::new(&settings(1, 0, 0).policies);
    let mut found = None;
    all.evaluate(TraceId([1; 16]), &TraceSummary::EMPTY, |index, _| {
        if index.index() == policy {
            found = Some(index);
        }
    });
    found.unwrap()
}

fn any_op() -> impl Strategy<Value = Op> {
    let status =
        prop_oneof![8 => Just(StatusCode::Unset), 1 => Just(StatusCode::Ok), 1 => Just(StatusCode::Error)];
    let back = prop_oneof![9 => Just(0u64), 1 => 0u64..20_000];
    let span = (0u8..10, status, 0u64..3, 0u64..3, 0u32..1_000, back).prop_map(
        |(trace, status, start_ms, ms, len, back)| Op::Span {
            trace,
            status,
            start_ms,
            ms,
            len,
            back,
        },
    );
    let wait = prop_oneof![0u64..4_000, Just(10_000u64), Just(0u64)].prop_map(|ms| Op::Wait { ms });
    prop_oneof![
        24 => span,
        6 => wait,
        6 => Just(Op::Timeout),
        3 => (0u8..4).prop_map(Op::Discard),
        3 => (0u8..4).prop_map(Op::Release),
        1 => Just(Op::Effect),
        1 => Just(Op::DecideOldest),
        1 => prop::bool::weighted(0.2).prop_map(|all| if all { Op::DecideAll } else { Op::Timeout }),
    ]
}

fn any_settings() -> impl Strategy<Value = TailSamplingSettings> {
    (1u64..8, 0u64..5, 0u64..5).prop_map(|(traces, sampled, dropped)| settings(traces, sampled, dropped))
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
        } => {
            let now = now.saturating_sub(Duration::from_millis(*back));
            let head = head(TraceId([*trace + 1; 16]), *status, *start_ms, *ms);
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
        Op::DecideOldest => [
            vec![Seen::Oldest(table.decide_oldest())],
            vec![Seen::Oldest(model.decide_oldest())],
        ],
        Op::DecideAll => {
            table.decide_all();
            while model.decide_oldest() {}
            [vec![], vec![]]
        }
    }
}

/// Drives both, and returns all that the real table showed.
fn run(
    settings: &TailSamplingSettings,
    ops: &[Op],
    seed: u64,
) -> Result<(Vec<Seen>, SamplingStats), TestCaseError> {
    let mut table = TraceTable::new(settings, seed);
    let mut model = ReferenceTable::new(settings);
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
        prop_assert_eq!(table.peek_release(), model.releases.front());
        prop_assert_eq!(table.has_release(), !model.releases.is_empty());
        let stats = table.stats();
        sums_hold(stats);
        prop_assert_eq!(stats.open_traces as usize, model.open.len());
        prop_assert_eq!(stats.release_waiting_parts as usize, model.releases.len());
        let open = model
            .open
            .values()
            .flat_map(|(_, _, spans)| spans)
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
            | Seen::Oldest(_)
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
        settings in any_settings(),
        ops in prop::collection::vec(any_op(), 1..160),
        seed in any::<u64>(),
    ) {
        let (all, stats) = run(&settings, &ops, seed)?;

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
        settings in any_settings(),
        ops in prop::collection::vec(any_op(), 1..160),
        seeds in any::<[u64; 2]>(),
    ) {
        let [first, second] = [run(&settings, &ops, seeds[0])?, run(&settings, &ops, seeds[1])?];
        prop_assert_eq!(first, second);
    }
}

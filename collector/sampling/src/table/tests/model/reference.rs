//! The naive table.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::*;

/// What the owner may choose besides the settings.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) settings: TailSamplingSettings,
    pub(super) giant_bytes: u64,
}

/// Numbers of traces that were decided, oldest first; one that was asked for has a second life.
struct ReferenceCache {
    size: usize,
    queue: VecDeque<(TraceId, Fate, bool)>,
}

impl ReferenceCache {
    fn ask(&mut self, id: TraceId) -> Option<Fate> {
        let entry = self.queue.iter_mut().find(|(other, _, _)| *other == id)?;
        entry.2 = true;
        Some(entry.1)
    }

    fn insert(&mut self, id: TraceId, fate: Fate) {
        if self.size == 0 {
            return;
        }
        while self.queue.len() == self.size {
            if let Some((spared, fate, true)) = self.queue.pop_front() {
                self.queue.push_back((spared, fate, false));
            }
        }
        self.queue.push_back((id, fate, false));
    }
}

/// A span, its size in bytes and its number.
type WholeSpan = (SpanHead, u32, u32);

/// A trace that waits.
pub(super) struct ReferenceTrace {
    id: TraceId,
    deadline: Duration,
    /// The place of its root among all roots, when that set the deadline.
    root: Option<u64>,
    pub(super) spans: Vec<WholeSpan>,
}

/// What became of a trace.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Kept(usize),
    NotWanted,
    Dropped,
}

/// Keeps whole spans and looks at all of them again for each question.
pub(super) struct ReferenceTable {
    setup: Setup,
    now: Duration,
    /// By arrival.
    pub(super) open: BTreeMap<u64, ReferenceTrace>,
    arrivals: u64,
    kept: ReferenceCache,
    dropped: ReferenceCache,
    large: Vec<(TraceId, Fate)>,
    pub(super) discards: VecDeque<Discarded<Stored>>,
    pub(super) releases: VecDeque<Sampled<Stored>>,
    pub(super) wanted: [u64; 4],
    pub(super) late_triggers: u64,
}

impl ReferenceTable {
    pub(super) fn new(setup: &Setup) -> Self {
        let cache = |size: u64| ReferenceCache {
            size: size as usize,
            queue: VecDeque::new(),
        };
        let sizes = &setup.settings.decision_cache;
        Self {
            setup: setup.clone(),
            now: Duration::ZERO,
            open: BTreeMap::new(),
            arrivals: 0,
            kept: cache(sizes.sampled_cache_size),
            dropped: cache(sizes.non_sampled_cache_size),
            large: Vec::new(),
            discards: VecDeque::new(),
            releases: VecDeque::new(),
            wanted: [0; 4],
            late_triggers: 0,
        }
    }

    pub(super) fn on_span(&mut self, now: Duration, head: &SpanHead, len: u32, number: u32) -> &'static str {
        self.now = self.now.max(now);
        let id = head.trace_id;
        if !self.open.values().any(|trace| trace.id == id) {
            if let Some(fate) = self.recall(id) {
                return self.late(head, fate, (len, number));
            }
            if self.open.len() as u64 == self.setup.settings.num_traces {
                self.decide_oldest();
            }
            self.arrivals += 1;
            let trace = ReferenceTrace {
                id,
                deadline: self.now + WAIT,
                root: None,
                spans: Vec::new(),
            };
            self.open.insert(self.arrivals, trace);
        }
        let entry = self.open.iter_mut().find(|(_, trace)| trace.id == id);
        let (arrival, trace) = entry.map(|(arrival, trace)| (*arrival, trace)).unwrap();
        let no_root_yet = !trace.spans.iter().any(|(head, _, _)| head.is_root);
        trace.spans.push((head.clone(), len, number));
        if head.is_root
            && no_root_yet
            && let Some(wait) = self.setup.settings.decision_wait_after_root_received
            && self.now + wait < trace.deadline
        {
            self.arrivals += 1;
            trace.deadline = self.now + wait;
            trace.root = Some(self.arrivals);
        }
        let bytes: u64 = trace.spans.iter().map(|(_, len, _)| u64::from(*len)).sum();
        let too_large = self
            .setup
            .settings
            .maximum_trace_size_bytes
            .is_some_and(|most| bytes > most);
        if too_large || bytes > self.setup.giant_bytes {
            let fate = self.decide(arrival, Some(too_large));
            self.large.push((id, fate));
        }
        "buffer"
    }

    fn recall(&mut self, id: TraceId) -> Option<Fate> {
        if let Some((_, fate)) = self.large.iter().find(|(large, _)| *large == id) {
            return Some(*fate);
        }
        self.kept.ask(id).or_else(|| self.dropped.ask(id))
    }

    fn knows(&self, id: TraceId) -> bool {
        let caches = self.kept.queue.iter().chain(&self.dropped.queue);
        caches.map(|(known, _, _)| known).any(|known| *known == id)
            || self.large.iter().any(|(large, _)| *large == id)
            || self.open.values().any(|trace| trace.id == id)
    }

    pub(super) fn has_room(&self, traces: &[u8]) -> bool {
        let fresh: BTreeSet<u8> = traces
            .iter()
            .filter(|trace| !self.knows(trace_id(**trace)))
            .copied()
            .collect();
        let most = self.setup.settings.num_traces as usize;
        !self.setup.settings.block_on_overflow || fresh.len() > most || self.open.len() + fresh.len() <= most
    }

    fn late(&mut self, head: &SpanHead, fate: Fate, (len, number): (u32, u32)) -> &'static str {
        let Fate::Kept(policy) = fate else {
            let too_late = fate == Fate::NotWanted && head.status == StatusCode::Error;
            self.late_triggers += u64::from(too_late);
            return "drop";
        };
        match self.releases.back_mut() {
            Some(part) if part.late && part.trace_id == head.trace_id => {
                part.stored.push(number);
                part.spans += 1;
                part.bytes += u64::from(len);
            }
            _ => self.releases.push_back(Sampled {
                trace_id: head.trace_id,
                policy: policy_index(policy),
                late: true,
                early: false,
                stored: vec![number],
                spans: 1,
                bytes: len.into(),
            }),
        }
        "late"
    }

    pub(super) fn on_timeout(&mut self, now: Duration) {
        self.now = self.now.max(now);
        while let Some(deadline) = self.deadline().filter(|deadline| *deadline <= self.now) {
            let due = || self.open.iter().filter(|(_, trace)| trace.deadline == deadline);
            // The oldest of all goes first, then the one whose root came first.
            let oldest = self.open.first_key_value().map(|(arrival, _)| *arrival);
            let is_oldest = due().any(|(arrival, _)| Some(*arrival) == oldest);
            let first_root = due().min_by_key(|(_, trace)| trace.root.unwrap_or(u64::MAX));
            let next = if is_oldest {
                oldest
            } else {
                first_root.map(|(arrival, _)| *arrival)
            };
            self.decide(next.unwrap(), None);
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.open.values().map(|trace| trace.deadline).min()
    }

    pub(super) fn decide_oldest(&mut self) -> bool {
        let Some((arrival, _)) = self.open.first_key_value() else {
            return false;
        };
        self.decide(*arrival, None);
        true
    }

    /// `large`: before its time, because of its size; whether that is too much to keep it.
    fn decide(&mut self, arrival: u64, large: Option<bool>) -> Fate {
        let ReferenceTrace {
            id,
            spans: heads,
            deadline,
            ..
        } = self.open.remove(&arrival).unwrap();
        let early = large.is_some() || deadline > self.now;
        let stored: Stored = heads.iter().map(|(_, _, number)| *number).collect();
        let spans = heads.len() as u32;
        let bytes = heads.iter().map(|(_, len, _)| u64::from(*len)).sum();
        let fate = if large == Some(true) {
            Fate::Dropped
        } else {
            self.ask_policies(id, &heads)
        };
        if let Fate::Kept(policy) = fate {
            self.kept.insert(id, fate);
            let (policy, late) = (policy_index(policy), false);
            self.releases.push_back(Sampled {
                trace_id: id,
                policy,
                late,
                early,
                stored,
                spans,
                bytes,
            });
        } else {
            self.dropped.insert(id, fate);
            self.discards.push_back(Discarded { stored, spans, bytes });
        }
        fate
    }

    fn ask_policies(&mut self, id: TraceId, heads: &[WholeSpan]) -> Fate {
        let drops = self.setup.settings.policies.len() == 4;
        if drops && heads.iter().any(|(head, _, _)| head.flags & 1 == 1) {
            return Fate::Dropped;
        }
        let wanted = wanted_by(id, heads);
        let first = wanted.iter().position(|wants| *wants);
        for (policy, wants) in wanted.iter().enumerate() {
            let asked =
                !self.setup.settings.sample_on_first_match || first.is_none_or(|first| policy <= first);
            self.wanted[policy] += u64::from(*wants && asked);
        }
        first.map_or(Fate::NotWanted, Fate::Kept)
    }

    pub(super) fn effect(&mut self) -> Option<Effect<Stored>> {
        match self.discards.pop_front() {
            Some(discarded) => Some(Effect::Discard(discarded)),
            None => self.releases.pop_front().map(Effect::Release),
        }
    }
}

/// The policies of `settings`, told in another way: what each of the three wants.
fn wanted_by(id: TraceId, heads: &[WholeSpan]) -> [bool; 3] {
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
    [failed, slow, chosen]
}

pub(super) fn trace_id(trace: u8) -> TraceId {
    TraceId([trace + 1; 16])
}

fn policy_index(policy: usize) -> PolicyIndex {
    let mut all = Policies::new(&settings(1, 0, 0).policies, false).unwrap();
    let question = Question {
        now: Duration::ZERO,
        trace_id: TraceId([1; 16]),
        summary: &TraceSummary::EMPTY,
    };
    let mut found = None;
    all.evaluate(&question, |index, _| {
        if index.index() == policy {
            found = Some(index);
        }
    });
    found.unwrap()
}

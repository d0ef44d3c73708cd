//! The trace table: spans in, decided traces out.

mod memory;
mod open;
mod room;

use std::collections::VecDeque;
use std::time::Duration;

use tracepipe_config::TailSamplingSettings;
use tracepipe_otlp::head::SpanHead;
use tracepipe_otlp::id::TraceId;

use crate::id_hash::IdHasher;
use crate::policy::{Decision, Policies, PolicyError, PolicyIndex, Question};
use crate::stats::SamplingStats;
use crate::summary::TraceSummary;
use memory::{Fate, Memory};
use open::{OPEN_TRACES_MAX, OpenTrace, OpenTraces, Place};

pub use memory::RecordedDecision;

/// The traces that wait for their decision, the decided ones that wait to be taken, and the memory of decisions.
///
/// `S` is what the owner keeps for each trace: the place of its spans' bytes. The table never looks into it.
///
/// | a span's trace is | then | and |
/// |---|---|---|
/// | open | it joins its trace | if it is too large now it is decided, with this span |
/// | remembered as kept | it joins a late part | which waits for release at once |
/// | remembered as dropped | it is dropped | |
/// | unknown | it opens a trace | if `num_traces` are open, the oldest is decided first |
///
/// A trace is decided when `decision_wait` has passed since its first span arrived, or
/// `decision_wait_after_root_received` since its first root span did if that is earlier, whatever its spans' own times
/// say. No trace leaves without a decision; upstream instead evicts the oldest undecided when `num_traces` is reached.
///
/// Time is [`Duration`] since process start. Should it go back, the latest time seen stands.
#[derive(Debug)]
pub struct TraceTable<S> {
    policies: Policies,
    decision_wait: Duration,
    wait_after_root: Option<Duration>,
    num_traces: usize,
    block_on_overflow: bool,
    /// `maximum_trace_size_bytes`; `u64::MAX` for none.
    trace_bytes_max: u64,
    /// Of [`TraceTable::set_giant_bytes`]; `u64::MAX` for none.
    giant_bytes: u64,
    seed: u64,
    hasher: IdHasher,
    now: Duration,
    open: OpenTraces<S>,
    memory: Memory,
    discards: VecDeque<Discarded<S>>,
    releases: VecDeque<Sampled<S>>,
    stats: SamplingStats,
    /// Room for [`TraceTable::has_room_for`].
    new_traces: Vec<u64>,
}

/// Where a span goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Placement<'a, S> {
    /// Its trace waits for the decision, or was decided with this span because of its size: store it here.
    Buffer(&'a mut S),
    /// Its trace was kept: store it here, in a part that waits for release already.
    Late(&'a mut S),
    /// Its trace was dropped, and so is the span; it is counted.
    Drop,
}

/// What the owner has to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect<S> {
    /// Send it on.
    Release(Sampled<S>),
    /// Forget it.
    Discard(Discarded<S>),
}

/// A kept trace, or a late part of one.
#[derive(Debug, PartialEq, Eq)]
pub struct Sampled<S> {
    /// Of all its spans.
    pub trace_id: TraceId,
    /// What kept it.
    pub policy: PolicyIndex,
    /// Its spans came after the decision.
    pub late: bool,
    /// It was decided before its time: more of its spans may come.
    pub early: bool,
    /// What the owner stored.
    pub stored: S,
    /// Number of spans, at least 1.
    pub spans: u32,
    /// Their sizes in bytes.
    pub bytes: u64,
}

/// A dropped trace.
#[derive(Debug, PartialEq, Eq)]
pub struct Discarded<S> {
    /// What the owner stored.
    pub stored: S,
    /// Number of spans, at least 1.
    pub spans: u32,
    /// Their sizes in bytes.
    pub bytes: u64,
}

/// Most traces that room is made for at start, whatever is expected: about 10 MB.
const EXPECTED_TRACES_MAX: u64 = 100_000;

/// Room of the queues of decided traces above this many is given back when they are empty.
const QUEUE_ROOM_KEPT: usize = 4096;

impl<S: Default> TraceTable<S> {
    /// An empty table. `seed` is drawn at random once a process: senders must not be able to guess it, because they
    /// choose the ids that are hashed with it. It has no effect on any result. Who restores decisions needs the seed
    /// they were recorded with.
    ///
    /// # Errors
    /// [`PolicyError`], which the configuration finds too.
    pub fn new(settings: &TailSamplingSettings, seed: u64) -> Result<Self, PolicyError> {
        let policies = Policies::new(&settings.policies, settings.sample_on_first_match)?;
        let hasher = IdHasher::new(seed);
        let num_traces = usize::try_from(settings.num_traces).unwrap_or(OPEN_TRACES_MAX);
        let expected = settings
            .expected_new_traces_per_sec
            .min(settings.num_traces)
            .min(EXPECTED_TRACES_MAX);
        Ok(Self {
            decision_wait: settings.decision_wait,
            wait_after_root: settings.decision_wait_after_root_received,
            num_traces: num_traces.clamp(1, OPEN_TRACES_MAX),
            block_on_overflow: settings.block_on_overflow,
            trace_bytes_max: settings.maximum_trace_size_bytes.unwrap_or(u64::MAX),
            giant_bytes: u64::MAX,
            seed,
            hasher,
            now: Duration::ZERO,
            open: OpenTraces::new(expected as usize, hasher),
            memory: Memory::new(&settings.decision_cache),
            discards: VecDeque::new(),
            releases: VecDeque::new(),
            stats: SamplingStats::new(policies.len()),
            new_traces: Vec::new(),
            policies,
        })
    }

    /// Takes notice of one span of `record_len` bytes and says where the owner must store it. The span's ids must be
    /// valid: the owner rejects others before.
    pub fn on_span(&mut self, now: Duration, head: &SpanHead, record_len: u32) -> Placement<'_, S> {
        self.now = self.now.max(now);
        self.stats.received_spans += 1;

        let id = head.trace_id;
        let place = match self.open.find_last(id) {
            Some(place) => place,
            None => {
                if let Some(fate) = self.memory.recall_last(id) {
                    return self.place_late(head, fate, record_len);
                }
                let hash = self.hasher.hash(id);
                if let Some(place) = self.open.find(id, hash) {
                    place
                } else if let Some(fate) = self.memory.recall(id, hash) {
                    return self.place_late(head, fate, record_len);
                } else {
                    self.open(id, hash)
                }
            }
        };

        self.stats.buffer(record_len);
        let summary = &mut self.open.at(place).summary;
        self.policies.fold(summary, head, record_len);
        let bytes = summary.bytes;
        if head.is_root
            && let Some(wait) = self.wait_after_root
        {
            self.open.set_root_deadline(place, self.now.saturating_add(wait));
        }
        if bytes > self.trace_bytes_max.min(self.giant_bytes) {
            return self.place_large(place, bytes);
        }
        Placement::Buffer(&mut self.open.at(place).stored)
    }

    /// When [`TraceTable::on_timeout`] is to be called next; `None` while no trace waits.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.open.next().map(|(deadline, _)| deadline)
    }

    /// Decides every trace that is due, in the order of their deadlines.
    pub fn on_timeout(&mut self, now: Duration) {
        self.now = self.now.max(now);
        while let Some((_, place)) = self.open.next().filter(|(deadline, _)| *deadline <= self.now) {
            self.decide(place);
        }
        self.open.shrink();
    }

    /// Decides every trace on what is known of it, because the process ends.
    pub fn decide_all(&mut self) {
        while let Some(place) = self.open.oldest() {
            let when = self.decide(place);
            self.stats.decided_early_shutdown += u64::from(when == When::Early);
        }
        self.open.shrink();
    }

    /// From now on a trace is decided on what is known of it as soon as it has more bytes than this, and what comes of
    /// it later follows the decision, so that no single trace takes the memory of the others; `u64::MAX` for never,
    /// which is so at first. As long as its spans keep coming the decision is remembered, whatever the caches' sizes.
    pub fn set_giant_bytes(&mut self, bytes: u64) {
        self.giant_bytes = bytes;
    }

    /// The next thing to do: dropped traces first, since they free memory, then kept ones. For an owner that must ask
    /// for room before it takes a kept trace there are [`TraceTable::poll_discard`] and [`TraceTable::poll_release`].
    pub fn poll_effect(&mut self) -> Option<Effect<S>> {
        match self.poll_discard() {
            Some(discarded) => Some(Effect::Discard(discarded)),
            None => self.poll_release().map(Effect::Release),
        }
    }

    /// The next dropped trace, in the order of decisions; its spans leave the account.
    pub fn poll_discard(&mut self) -> Option<Discarded<S>> {
        let discarded = pop_front(&mut self.discards)?;
        self.stats.unbuffer(u64::from(discarded.spans), discarded.bytes);
        self.stats.dropped_by_policy_spans += u64::from(discarded.spans);
        Some(discarded)
    }

    /// The next kept trace or late part, in the order of decisions and arrival; its spans leave the account. To be
    /// called only when there is room for it: until then it stays here.
    pub fn poll_release(&mut self) -> Option<Sampled<S>> {
        let released = pop_front(&mut self.releases)?;
        self.stats.unbuffer(u64::from(released.spans), released.bytes);
        self.stats.released_spans += u64::from(released.spans);
        self.stats.released_parts += 1;
        self.stats.release_waiting_parts -= 1;
        Some(released)
    }

    /// How many [`TraceTable::poll_release`] has to give.
    pub fn releases(&self) -> usize {
        self.releases.len()
    }

    /// The policies, for their names and for what the walk must look for.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// The account.
    pub fn stats(&self) -> &SamplingStats {
        &self.stats
    }

    /// The seed that the table was made with: fingerprints of decisions depend on it.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// From now on the decisions are recorded for [`TraceTable::take_new_decisions`], the last `most` of them (16 bytes
    /// each); 0 for none, which is so at first.
    pub fn record_decisions(&mut self, most: usize) {
        self.memory.record(most);
    }

    /// The decisions since this was called last, oldest first.
    pub fn take_new_decisions(&mut self) -> Vec<RecordedDecision> {
        self.memory.take_records()
    }

    /// Remembers a decision that a table with the same seed and the same policies recorded. To be called oldest first,
    /// before the first span. One with a policy that is not there is left out.
    pub fn restore(&mut self, decision: RecordedDecision) {
        let known = |policy: PolicyIndex| policy.index() < self.policies.len();
        if decision.1.is_none_or(known) {
            self.memory.restore(decision);
        }
    }

    /// Bytes allocated by the table itself: without what `S` points to.
    pub fn memory_bytes(&self) -> usize {
        self.open.memory_bytes()
            + self.memory.memory_bytes()
            + self.discards.capacity() * size_of::<Discarded<S>>()
            + self.releases.capacity() * size_of::<Sampled<S>>()
            + self.new_traces.capacity() * size_of::<u64>()
    }

    /// Opens a trace that is neither open nor remembered.
    fn open(&mut self, id: TraceId, hash: u64) -> Place {
        if self.open.len() >= self.num_traces
            && let Some(oldest) = self.open.oldest()
        {
            let when = self.decide(oldest);
            self.stats.decided_early_num_traces += u64::from(when == When::Early);
        }
        self.stats.new_traces += 1;
        self.stats.open_traces += 1;
        let trace = OpenTrace {
            id,
            deadline: self.now.saturating_add(self.decision_wait),
            summary: TraceSummary::EMPTY,
            stored: S::default(),
        };
        self.open.push(hash, trace)
    }

    /// Places a span whose trace was decided.
    fn place_late(&mut self, head: &SpanHead, fate: Fate, record_len: u32) -> Placement<'_, S> {
        let policy = match fate {
            Fate::Kept(policy) => policy,
            Fate::NotWanted | Fate::Dropped => {
                let too_late = fate == Fate::NotWanted && self.policies.is_triggered_by(head);
                self.stats.late_trigger_spans += u64::from(too_late);
                self.stats.late_dropped_spans += 1;
                self.stats.dropped_by_policy_spans += 1;
                return Placement::Drop;
            }
        };
        self.stats.buffer(record_len);
        self.stats.late_kept_spans += 1;
        self.stats.policy(policy).sampled_spans += 1;

        // Spans of a trace that come together stay together while they wait.
        let id = head.trace_id;
        let joins = |part: &Sampled<S>| part.late && part.trace_id == id && part.spans < u32::MAX;
        let part = match self.releases.pop_back_if(|part| joins(part)) {
            Some(part) => part,
            None => {
                self.stats.late_parts += 1;
                self.stats.release_waiting_parts += 1;
                Sampled {
                    trace_id: id,
                    policy,
                    late: true,
                    early: false,
                    stored: S::default(),
                    spans: 0,
                    bytes: 0,
                }
            }
        };
        let part = self.releases.push_back_mut(part);
        part.spans += 1;
        part.bytes += u64::from(record_len);
        Placement::Late(&mut part.stored)
    }

    /// Decides a trace that has become too large to wait, and places its last span: with the others, wherever they go.
    #[cold]
    fn place_large(&mut self, place: Place, bytes: u64) -> Placement<'_, S> {
        let (hash, trace) = self.open.take(place);
        self.stats.open_traces -= 1;
        let fate = if bytes > self.trace_bytes_max {
            self.stats.dropped_too_large_traces += 1;
            Fate::Dropped
        } else {
            self.stats.decided_early_giant += 1;
            self.ask_policies(&trace)
        };
        self.memory.remember_large(hash, fate);
        Placement::Buffer(self.carry_out(fate, When::Early, hash, trace))
    }

    /// Decides a trace that waits, and says whether its time had come.
    #[inline]
    fn decide(&mut self, place: Place) -> When {
        let (hash, trace) = self.open.take(place);
        self.stats.open_traces -= 1;
        let when = if trace.deadline <= self.now {
            When::Due
        } else {
            When::Early
        };
        let fate = self.ask_policies(&trace);
        self.carry_out(fate, when, hash, trace);
        when
    }

    #[inline]
    fn ask_policies(&mut self, trace: &OpenTrace<S>) -> Fate {
        let question = Question {
            now: self.now,
            trace_id: trace.id,
            summary: &trace.summary,
        };
        let spans = u64::from(trace.summary.spans);
        let decision = self.policies.evaluate(&question, |policy, verdict| {
            self.stats.policy(policy).result(verdict, spans);
        });
        match decision {
            Decision::Sampled { policy } => Fate::Kept(policy),
            Decision::NotSampled => Fate::NotWanted,
            Decision::Dropped { .. } => {
                self.stats.dropped_traces += 1;
                Fate::Dropped
            }
        }
    }

    /// Puts a decided trace where it will be taken from, and gives its place there.
    #[inline(always)]
    fn carry_out(&mut self, fate: Fate, when: When, hash: u64, trace: OpenTrace<S>) -> &mut S {
        self.memory.remember(hash, fate);
        let OpenTrace {
            id,
            summary: TraceSummary { spans, bytes, .. },
            stored,
            ..
        } = trace;
        match fate {
            Fate::Kept(policy) => {
                self.stats.sampled_traces += 1;
                self.stats.release_waiting_parts += 1;
                let policy_stats = self.stats.policy(policy);
                policy_stats.sampled_traces += 1;
                policy_stats.sampled_spans += u64::from(spans);
                let released = Sampled {
                    trace_id: id,
                    policy,
                    late: false,
                    early: matches!(when, When::Early),
                    stored,
                    spans,
                    bytes,
                };
                &mut self.releases.push_back_mut(released).stored
            }
            Fate::NotWanted | Fate::Dropped => {
                self.stats.not_sampled_traces += 1;
                let discarded = Discarded { stored, spans, bytes };
                &mut self.discards.push_back_mut(discarded).stored
            }
        }
    }
}

/// Whether a trace was decided at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Due,
    Early,
}

/// Takes the first, and gives back the room of a burst with the last.
fn pop_front<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let first = queue.pop_front();
    if queue.is_empty() && queue.capacity() > QUEUE_ROOM_KEPT {
        queue.shrink_to(QUEUE_ROOM_KEPT);
    }
    first
}

#[cfg(test)]
mod tests;

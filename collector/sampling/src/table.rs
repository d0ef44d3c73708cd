//! The trace table: spans in, decided traces out.

mod open;

use std::collections::VecDeque;
use std::time::Duration;

use tracepipe_config::TailSamplingSettings;
use tracepipe_otlp::head::SpanHead;
use tracepipe_otlp::id::TraceId;

use crate::decision_cache::DecisionCache;
use crate::id_hash::IdHasher;
use crate::policy::{Decision, Policies, PolicyIndex};
use crate::stats::SamplingStats;
use crate::summary::TraceSummary;
use open::{OPEN_TRACES_MAX, OpenTrace, OpenTraces};

/// The traces that wait for their decision, the decided ones that wait to be taken, and the memory of decisions.
///
/// `S` is what the owner keeps for each trace: the place of its spans' bytes. The table never looks into it.
///
/// | a span's trace is | then | and |
/// |---|---|---|
/// | open | it joins its trace | |
/// | remembered as kept | it joins a late part | which waits for release at once |
/// | remembered as dropped | it is dropped | |
/// | unknown | it opens a trace | if `num_traces` are open, the oldest is decided first |
///
/// A trace is decided when `decision_wait` has passed since its first span arrived, whatever its spans' own times say.
/// No trace leaves without a decision; upstream instead evicts the oldest undecided when `num_traces` is reached.
///
/// Time is [`Duration`] since process start. Should it go back, the latest time seen stands.
#[derive(Debug)]
pub struct TraceTable<S> {
    policies: Policies,
    decision_wait: Duration,
    num_traces: usize,
    hasher: IdHasher,
    now: Duration,
    open: OpenTraces<S>,
    sampled: DecisionCache<PolicyIndex>,
    not_sampled: DecisionCache<()>,
    /// What the last late span met: its neighbours are often of the same trace. Void once anything is decided, as a
    /// decision may push another out of memory.
    last_remembered: Option<(TraceId, Decision)>,
    discards: VecDeque<Discarded<S>>,
    releases: VecDeque<Sampled<S>>,
    stats: SamplingStats,
}

/// Where a span goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Placement<'a, S> {
    /// Its trace waits for the decision: store it here.
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
    /// choose the ids that are hashed with it. It has no effect on any result.
    pub fn new(settings: &TailSamplingSettings, seed: u64) -> Self {
        let policies = Policies::new(&settings.policies);
        let hasher = IdHasher::new(seed);
        let num_traces = usize::try_from(settings.num_traces).unwrap_or(OPEN_TRACES_MAX);
        let expected = settings
            .expected_new_traces_per_sec
            .min(settings.num_traces)
            .min(EXPECTED_TRACES_MAX);
        Self {
            decision_wait: settings.decision_wait,
            num_traces: num_traces.clamp(1, OPEN_TRACES_MAX),
            hasher,
            now: Duration::ZERO,
            open: OpenTraces::new(expected as usize, hasher),
            sampled: DecisionCache::new(settings.decision_cache.sampled_cache_size),
            not_sampled: DecisionCache::new(settings.decision_cache.non_sampled_cache_size),
            last_remembered: None,
            discards: VecDeque::new(),
            releases: VecDeque::new(),
            stats: SamplingStats::new(policies.len()),
            policies,
        }
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
                if let Some((_, decision)) = self.last_remembered.filter(|(last, _)| *last == id) {
                    return self.place_late(id, decision, record_len);
                }
                let hash = self.hasher.hash(id);
                if let Some(place) = self.open.find(id, hash) {
                    place
                } else if let Some(decision) = self.remembered(hash) {
                    self.last_remembered = Some((id, decision));
                    return self.place_late(id, decision, record_len);
                } else {
                    self.open(id, hash)
                }
            }
        };

        self.stats.buffer(record_len);
        let trace = self.open.at(place);
        self.policies.fold(&mut trace.summary, head, record_len);
        Placement::Buffer(&mut trace.stored)
    }

    /// When [`TraceTable::on_timeout`] is to be called next; `None` while no trace waits.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.open.front().map(|trace| trace.deadline)
    }

    /// Decides every trace that is due, in the order of their first spans.
    pub fn on_timeout(&mut self, now: Duration) {
        self.now = self.now.max(now);
        while self.open.front().is_some_and(|trace| trace.deadline <= self.now) {
            self.decide_front();
        }
        self.open.shrink();
    }

    /// Decides the oldest trace on what is known of it, to free memory. False when none waits.
    pub fn decide_oldest(&mut self) -> bool {
        let decided = self.decide_front();
        self.stats.decided_early_memory += u64::from(decided == Some(When::Early));
        decided.is_some()
    }

    /// Decides every trace on what is known of it, because the process ends.
    pub fn decide_all(&mut self) {
        while let Some(when) = self.decide_front() {
            self.stats.decided_early_shutdown += u64::from(when == When::Early);
        }
        self.open.shrink();
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

    /// What [`TraceTable::poll_release`] would give.
    pub fn peek_release(&self) -> Option<&Sampled<S>> {
        self.releases.front()
    }

    /// True when [`TraceTable::poll_release`] has something to give.
    pub fn has_release(&self) -> bool {
        !self.releases.is_empty()
    }

    /// The policies, for their names.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// The account.
    pub fn stats(&self) -> &SamplingStats {
        &self.stats
    }

    /// Bytes allocated by the table itself: without what `S` points to.
    pub fn memory_bytes(&self) -> usize {
        self.open.memory_bytes()
            + self.sampled.memory_bytes()
            + self.not_sampled.memory_bytes()
            + self.discards.capacity() * size_of::<Discarded<S>>()
            + self.releases.capacity() * size_of::<Sampled<S>>()
    }

    /// Opens a trace that is neither open nor remembered.
    fn open(&mut self, id: TraceId, hash: u64) -> open::Place {
        if self.open.len() >= self.num_traces {
            let decided = self.decide_front();
            self.stats.decided_early_num_traces += u64::from(decided == Some(When::Early));
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
    fn place_late(&mut self, id: TraceId, decision: Decision, record_len: u32) -> Placement<'_, S> {
        let policy = match decision {
            Decision::NotSampled => {
                self.stats.late_dropped_spans += 1;
                self.stats.dropped_by_policy_spans += 1;
                return Placement::Drop;
            }
            Decision::Sampled { policy } => policy,
        };
        self.stats.buffer(record_len);
        self.stats.late_kept_spans += 1;
        self.stats.policy(policy).sampled_spans += 1;

        // Spans of a trace that come together stay together while they wait.
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

    /// What was decided about the trace whose id has this hash.
    fn remembered(&mut self, hash: u64) -> Option<Decision> {
        match self.sampled.ask(hash) {
            Some(policy) => Some(Decision::Sampled { policy }),
            None => self.not_sampled.ask(hash).map(|()| Decision::NotSampled),
        }
    }

    /// Decides the oldest trace, and says whether its time had come. `None` when none waits.
    fn decide_front(&mut self) -> Option<When> {
        let (hash, trace) = self.open.pop()?;
        self.stats.open_traces -= 1;
        self.last_remembered = None;

        let OpenTrace {
            id,
            deadline,
            summary,
            stored,
        } = trace;
        let TraceSummary { spans, bytes, .. } = summary;
        let decision = self.policies.evaluate(id, &summary, |policy, wants| {
            self.stats.policy(policy).result(wants, u64::from(spans));
        });
        match decision {
            Decision::Sampled { policy } => {
                self.stats.sampled_traces += 1;
                self.stats.release_waiting_parts += 1;
                let policy_stats = self.stats.policy(policy);
                policy_stats.sampled_traces += 1;
                policy_stats.sampled_spans += u64::from(spans);
                self.sampled.insert(hash, policy);
                let late = false;
                self.releases.push_back(Sampled {
                    trace_id: id,
                    policy,
                    late,
                    stored,
                    spans,
                    bytes,
                });
            }
            Decision::NotSampled => {
                self.stats.not_sampled_traces += 1;
                self.not_sampled.insert(hash, ());
                self.discards.push_back(Discarded { stored, spans, bytes });
            }
        }
        Some(if deadline <= self.now {
            When::Due
        } else {
            When::Early
        })
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

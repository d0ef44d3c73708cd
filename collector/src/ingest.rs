//! The ingest owner: walk, fold, trace table and span store of one thread. Plain calls, no locks.
//!
//! [`Ingest::accept`] takes one request; [`Ingest::run_decisions`] decides what is due; [`Ingest::pop_released`] gives
//! out kept traces when the caller has room for them. All are synchronous: the tasks that call them are in
//! `pipeline/tasks.rs`.

mod sampler;

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tracepipe_config::TailSamplingSettings;
use tracepipe_otlp::edit::ResourceEdit;
use tracepipe_otlp::proto;
use tracepipe_otlp::store::{CHUNK_BYTES, Chain, SpanStore};
use tracepipe_otlp::walk::{RequestWalk, WalkError};
use tracepipe_otlp::{SpanDefect, TraceId};
use tracepipe_sampling::{Discarded, PolicyError, PolicyWatch};

use crate::account::{IngestAccount, SamplingFigures};
use crate::clock::Clock;
use crate::decision_log::Record;
use crate::limiter::{Held, MemoryLimiter};
use sampler::{Leaving, Sampler};

/// The ingest owner as its tasks share it: one thread, so a `RefCell` is enough.
pub type SharedIngest = Rc<RefCell<Ingest>>;

/// The span attribute that names the policy that kept the trace.
pub const POLICY_ATTRIBUTE: &str = "tailsampling.policy";

/// Kept traces leave the store together until they have this many bytes: a wake-up of the export owner, a buffer and a
/// write for many traces instead of for each.
const RELEASED_BYTES: usize = 256 * 1024;

/// A kept trace with more bytes than this leaves in parts of about this many, one after the other: what leaves is in
/// memory twice for a moment, and a giant must not be.
const TRACE_PART_BYTES: u64 = 1024 * 1024;

/// Most bytes of a span's resource and scope; a span with more around it is rejected. They leave with every trace that
/// has a span of theirs, so one of some megabytes would come to gigabytes. Real ones have one to ten kilobytes.
const CONTEXT_BYTES_MAX: usize = 256 * 1024;

/// A request that finds traces due has them decided with it, while thread and caches are awake, unless that was done so
/// short a time ago: each run costs the same for one trace and for many.
const DECISION_PAUSE: Duration = Duration::from_millis(5);

/// What the sender of an accepted request is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// How many spans were rejected, by what is wrong with them.
    rejected: Vec<(SpanDefect, u64)>,
}

/// Kept traces, and late parts of such, on their way to the exporters.
#[derive(Debug)]
pub struct SampledTraces {
    /// An encoded `ExportTraceServiceRequest` with the spans of all of them, resources edited.
    pub spans: Bytes,
    /// At least one.
    pub traces: Vec<SampledTrace>,
    /// They have waited to leave since then at the earliest.
    pub since: Duration,
    /// Their place in the memory account.
    pub held: Held,
}

/// One kept trace, or a late part of one.
#[derive(Debug, Clone)]
pub struct SampledTrace {
    /// Its id.
    pub trace_id: TraceId,
    /// Where it lies in [`SampledTraces::spans`]; an `ExportTraceServiceRequest` of its own.
    pub range: Range<usize>,
    /// How many spans.
    pub span_count: u64,
    /// These are all spans of the trace that came in time, not a part of it.
    pub is_whole: bool,
}

/// Why none of a request's spans was taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted {
    /// The bytes are no `ExportTraceServiceRequest`.
    #[error(transparent)]
    Malformed(#[from] WalkError),
    /// `num_traces` wait and `block_on_overflow` is set. It can be sent again.
    #[error("too many traces wait for their decision")]
    NumTraces,
}

/// Walks a request away from the ingest owner, with what its policies look for.
pub struct Walker {
    watch: Option<PolicyWatch>,
}

/// A walked request whose spans are being placed, some at a time.
#[derive(Debug, Default)]
pub struct Placing {
    /// Index of the next span.
    next: usize,
    accepted: Accepted,
}

/// Walk, sampling and span store.
pub struct Ingest {
    /// Where every request and span went.
    pub account: IngestAccount,
    clock: Clock,
    limiter: MemoryLimiter,
    walk: RequestWalk,
    store: SpanStore,
    sampler: Sampler,
    /// The rest of a kept trace of which the first parts have left.
    leaving: Option<Leaving>,
    /// When [`Self::run_decisions`] was called last.
    decided: Duration,
    /// Told when the next deadline comes earlier than was known, and when a request finds one that has passed.
    deadline_changed: Rc<Notify>,
    /// Told when there is something to release.
    released: Rc<Notify>,
}

// === impl Accepted ===

impl Accepted {
    fn reject(&mut self, defect: SpanDefect) {
        match self.rejected.iter_mut().find(|(known, _)| *known == defect) {
            Some((_, count)) => *count += 1,
            None => self.rejected.push((defect, 1)),
        }
    }

    /// OTLP's answer: partial success when spans were rejected, else nothing.
    pub fn response(&self) -> proto::ExportTraceServiceResponse {
        let rejected: u64 = self.rejected.iter().map(|(_, count)| count).sum();
        let reasons: Vec<String> = self
            .rejected
            .iter()
            .map(|(defect, count)| format!("{}: {count}", defect.reason()))
            .collect();
        proto::ExportTraceServiceResponse {
            partial_success: (rejected > 0).then(|| proto::ExportTracePartialSuccess {
                rejected_spans: i64::try_from(rejected).unwrap_or(i64::MAX),
                error_message: format!("spans rejected by reason: {}", reasons.join(", ")),
            }),
        }
    }
}

// === impl Walker ===

impl Walker {
    /// Walks one request.
    ///
    /// # Errors
    /// As [`Ingest::accept`].
    pub fn walk(self, request: &[u8]) -> Result<RequestWalk, WalkError> {
        let mut walk = RequestWalk::new();
        match self.watch {
            Some(mut watch) => walk.walk_with(request, &mut watch)?,
            None => walk.walk(request)?,
        }
        Ok(walk)
    }
}

// === impl Ingest ===

impl Ingest {
    /// An empty owner. `edits` are done on each resource that leaves.
    ///
    /// # Errors
    /// [`PolicyError`], which the configuration finds too.
    pub fn new(
        settings: Option<&TailSamplingSettings>,
        edits: Vec<ResourceEdit>,
        limiter: MemoryLimiter,
        clock: Clock,
    ) -> Result<Self, PolicyError> {
        Self::seeded(settings, edits, limiter, clock, rand::random())
    }

    /// As [`Self::new`], with a seed for the trace table: fingerprints of decisions depend on it.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn seeded(
        settings: Option<&TailSamplingSettings>,
        edits: Vec<ResourceEdit>,
        limiter: MemoryLimiter,
        clock: Clock,
        seed: u64,
    ) -> Result<Self, PolicyError> {
        // Trace ids and contents are chosen by senders: seeds that they do not know keep them from choosing hash
        // collisions.
        Ok(Self {
            account: IngestAccount::default(),
            clock,
            walk: RequestWalk::new(),
            store: SpanStore::new(CHUNK_BYTES, rand::random()).with_edits(edits),
            sampler: Sampler::new(settings, limiter.ceiling(), seed)?,
            leaving: None,
            limiter,
            decided: clock.now(),
            deadline_changed: Rc::new(Notify::new()),
            released: Rc::new(Notify::new()),
        })
    }

    /// The clock that it goes by.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Told when [`Self::next_deadline`] comes earlier than it was or should be looked at now.
    pub fn deadline_changed(&self) -> Rc<Notify> {
        Rc::clone(&self.deadline_changed)
    }

    /// Told when there may be something for [`Self::pop_released`].
    pub fn released(&self) -> Rc<Notify> {
        Rc::clone(&self.released)
    }

    /// Takes the spans of one encoded `ExportTraceServiceRequest`.
    ///
    /// # Errors
    /// [`NotAccepted`]; then none of its spans was taken.
    pub fn accept(&mut self, request: &[u8]) -> Result<Accepted, NotAccepted> {
        let walked = match &mut self.sampler {
            Sampler::Tail(tail) => self.walk.walk_with(request, &mut tail.watch),
            Sampler::All { .. } => self.walk.walk(request),
        };
        let mut walk = std::mem::take(&mut self.walk);
        let taken = match walked {
            Err(error) => Err(error.into()),
            Ok(()) if !self.sampler.has_room_for(walk.spans()) => Err(NotAccepted::NumTraces),
            Ok(()) => {
                let mut placing = Placing::default();
                self.place(&mut placing, &walk, request, usize::MAX);
                Ok(placing.accepted)
            }
        };
        walk.clear();
        self.walk = walk;
        self.settle();
        taken
    }

    /// What walks a request elsewhere, for [`Self::accept_some`].
    pub fn walker(&self) -> Walker {
        Walker {
            watch: match &self.sampler {
                Sampler::Tail(tail) => Some(tail.watch.without_memory()),
                Sampler::All { .. } => None,
            },
        }
    }

    /// Takes at most `spans_max` more spans of a request that was walked elsewhere. Gives what its sender is to be told
    /// once all are taken.
    ///
    /// # Errors
    /// [`NotAccepted::NumTraces`], the first time only; then none of its spans was taken.
    pub fn accept_some(
        &mut self,
        placing: &mut Placing,
        walk: &RequestWalk,
        request: &[u8],
        spans_max: usize,
    ) -> Result<Option<Accepted>, NotAccepted> {
        if placing.next == 0 && !self.sampler.has_room_for(walk.spans()) {
            return Err(NotAccepted::NumTraces);
        }
        self.place(placing, walk, request, spans_max);
        self.settle();
        let is_whole = placing.next >= walk.spans().len();
        Ok(is_whole.then(|| std::mem::take(&mut placing.accepted)))
    }

    /// From now on decisions are noted for [`Self::new_decisions`].
    pub fn record_decisions(&mut self) {
        self.sampler.record_decisions();
    }

    /// The decisions since this was asked last, oldest first, and their place in the memory account.
    pub fn new_decisions(&mut self) -> (Vec<Record>, Held) {
        let decisions = self.sampler.new_decisions();
        let held = self.limiter.hold(size_of_val(&decisions[..]) as u64);
        (decisions, held)
    }

    /// Remembers a decision of a former process. To be called before the first request, oldest first.
    pub fn restore(&mut self, record: Record) {
        self.sampler.restore(record);
    }

    /// The time of the next decision.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.sampler.next_deadline()
    }

    /// Decides every trace whose time has come.
    pub fn run_decisions(&mut self) {
        self.decided = self.clock.now();
        self.sampler.decide_due(self.decided);
        self.settle();
    }

    /// Decides everything now, on what is known.
    pub fn decide_all(&mut self) {
        self.sampler.decide_all();
        self.settle();
        self.released.notify_one();
    }

    /// How many kept traces wait for [`Self::pop_released`].
    pub fn released_traces(&self) -> usize {
        usize::from(self.leaving.is_some()) + self.sampler.releases()
    }

    /// True when no trace waits for anything.
    pub fn is_empty(&self) -> bool {
        self.account.buffered == 0
    }

    /// The next kept traces, copied out of the store. Call it when there is room for them. They have waited since then.
    pub fn pop_released(&mut self, since: Duration) -> Option<SampledTraces> {
        let mut spans = Vec::new();
        let mut traces = Vec::new();
        while spans.len() < RELEASED_BYTES
            && let Some(trace) = self.write_released(&mut spans)
        {
            traces.push(trace);
        }
        if traces.is_empty() {
            return None;
        }
        self.publish_memory();
        // It may wait long in a queue that counts bytes, not room.
        if spans.capacity() - spans.len() > spans.len() / 4 {
            spans.shrink_to_fit();
        }
        let held = self.limiter.hold(spans.capacity() as u64);
        Some(SampledTraces {
            spans: spans.into(),
            traces,
            since,
            held,
        })
    }

    /// Moves the next kept trace, or a part of a large one, from the store to the end of `spans`.
    fn write_released(&mut self, spans: &mut Vec<u8>) -> Option<SampledTrace> {
        let mut leaving = self.next_leaving()?;
        let (trace_id, policy) = (leaving.trace_id, leaving.policy);
        let attribute = self.sampler.attribute(policy);
        let bytes = leaving.chain.bytes() + u64::from(leaving.chain.spans()) * attribute.len() as u64;
        let is_part = bytes > TRACE_PART_BYTES;
        let is_whole = leaving.is_whole && !is_part;
        let chain = if is_part {
            leaving.is_whole = false;
            let part = self
                .store
                .split_front(&mut leaving.chain, TRACE_PART_BYTES, attribute.len());
            self.leaving = Some(leaving).filter(|rest| !rest.chain.is_empty());
            part
        } else {
            leaving.chain
        };
        let start = spans.len();
        self.store.write_trace(&chain, attribute, spans);
        let span_count = u64::from(chain.spans());
        self.store.release(chain);
        self.account.buffered -= span_count;
        self.account.keep(policy, span_count);
        Some(SampledTrace {
            trace_id,
            range: start..spans.len(),
            span_count,
            is_whole,
        })
    }

    /// Gives up every trace that was decided to be kept, because nobody takes it any more.
    pub fn lose_released(&mut self, reason: &'static str) {
        while let Some(Leaving { chain, .. }) = self.next_leaving() {
            let spans = u64::from(chain.spans());
            self.store.release(chain);
            self.account.buffered -= spans;
            *self.account.lost.entry(reason).or_default() += spans;
        }
    }

    /// The sampler's own figures.
    pub fn figures(&self) -> SamplingFigures {
        self.sampler.figures()
    }

    fn next_leaving(&mut self) -> Option<Leaving> {
        self.leaving.take().or_else(|| self.sampler.next_released())
    }

    /// Puts each good span of the walked request where it belongs, `spans_max` at most.
    fn place(&mut self, placing: &mut Placing, walk: &RequestWalk, request: &[u8], spans_max: usize) {
        let now = self.clock.now();
        let deadline_before = self.next_deadline();
        let mut context = None;
        let mut is_too_large = (u32::MAX, false);
        let mut unsampled: Option<(TraceId, Chain)> = None;
        let spans = &walk.spans()[placing.next..];
        let spans = &spans[..spans.len().min(spans_max)];
        for head in spans {
            self.account.accepted += 1;
            if is_too_large.0 != head.context {
                let bytes = walk.context(head.context).bytes();
                is_too_large = (head.context, bytes > CONTEXT_BYTES_MAX);
            }
            let too_large = is_too_large.1.then_some(SpanDefect::Context);
            if let Some(defect) = head.defect.or(too_large) {
                *self.account.rejected.entry(defect).or_default() += 1;
                placing.accepted.reject(defect);
                continue;
            }
            let record = &request[head.record.clone()];
            // A request is bounded far below 4 GiB.
            let record_len = u32::try_from(record.len()).unwrap_or(u32::MAX);
            let Some(chain) = self.sampler.place(now, head, record_len, &mut unsampled) else {
                self.account.dropped_late += 1;
                continue;
            };
            let context = match context {
                Some((index, id)) if index == head.context => id,
                _ => {
                    if let Some((_, finished)) = context.take() {
                        self.store.end(finished);
                    }
                    let id = self.store.begin(request, walk.context(head.context));
                    context = Some((head.context, id));
                    id
                }
            };
            self.store.append(chain, context, record);
            self.account.buffered += 1;
        }
        placing.next += spans.len();
        if let Some((_, finished)) = context {
            self.store.end(finished);
        }
        if let Some(together) = unsampled {
            self.sampler.release(together);
        }
        let comes_earlier = |next| deadline_before.is_none_or(|before| next < before);
        let is_due = |next| next <= now && now >= self.decided + DECISION_PAUSE;
        if self
            .next_deadline()
            .is_some_and(|next| is_due(next) || comes_earlier(next))
        {
            self.deadline_changed.notify_one();
        }
    }

    /// Carries out what needs no room elsewhere: dropped traces leave the store.
    fn settle(&mut self) {
        self.discard();
        self.publish_memory();
        // Also when the last trace was dropped: whoever waits for the end must look again.
        if self.released_traces() > 0 || self.is_empty() {
            self.released.notify_one();
        }
    }

    fn discard(&mut self) {
        while let Some(Discarded { stored, spans, .. }) = self.sampler.next_discarded() {
            self.store.release(stored);
            self.account.buffered -= u64::from(spans);
            self.account.dropped_by_policy += u64::from(spans);
        }
    }

    fn publish_memory(&self) {
        let held = self.store.memory_bytes() + self.sampler.memory_bytes() + self.walk.memory_bytes();
        self.limiter.set_buffered(held as u64);
    }
}

#[cfg(test)]
mod tests;

//! The ingest owner: walk, fold, trace table and span store of one thread. Plain calls, no locks.
//!
//! [`Ingest::accept`] takes one request; [`Ingest::run_decisions`] decides what is due; [`Ingest::pop_released`] gives
//! out a kept trace when the caller has room for it. All are synchronous: the tasks that call them are in
//! `pipeline.rs`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tracepipe_config::TailSamplingSettings;
use tracepipe_otlp::proto;
use tracepipe_otlp::store::{Chain, SpanStore, encode_string_attribute};
use tracepipe_otlp::walk::{RequestWalk, WalkError};
use tracepipe_otlp::{SpanDefect, TraceId};
use tracepipe_sampling::{Discarded, Placement, PolicyStats, Sampled, TraceTable};

use crate::account::{IngestAccount, SamplingFigures};
use crate::clock::Clock;
use crate::limiter::{Held, MemoryLimiter};

/// The ingest owner as its tasks share it: one thread, so a `RefCell` is enough.
pub type SharedIngest = Rc<RefCell<Ingest>>;

/// The span attribute that names the policy that kept the trace.
pub const POLICY_ATTRIBUTE: &str = "tailsampling.policy";

/// Field number of `Span.attributes` in the OTLP protobuf.
const SPAN_ATTRIBUTES: u32 = 9;

/// Bytes of a chunk of the span store. Small enough that an idle collector holds little, large enough that a chunk
/// holds hundreds of spans and is freed by one call.
const CHUNK_BYTES: usize = 256 * 1024;

/// The account's name for spans kept because nothing samples.
const NO_SAMPLING: &str = "no_tail_sampling";

/// What the sender of an accepted request is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// How many spans were rejected, by what is wrong with them.
    rejected: Vec<(SpanDefect, u64)>,
}

/// A kept trace, or a late part of one, on its way to the exporters.
#[derive(Debug)]
pub struct SampledTrace {
    /// Its id.
    pub trace_id: TraceId,
    /// An encoded `ExportTraceServiceRequest` with this trace's spans.
    pub spans: Bytes,
    /// How many spans that are.
    pub span_count: u64,
    /// Its place in the memory account.
    pub held: Held,
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
    /// Told when there is a first deadline.
    deadline_changed: Rc<Notify>,
    /// Told when there is something to release.
    released: Rc<Notify>,
}

#[expect(clippy::large_enum_variant, reason = "there is one of it")]
enum Sampler {
    Tail {
        table: TraceTable<Chain>,
        /// The policies' names, and each as the encoded attribute that is added to the spans it keeps.
        policies: Vec<(String, Vec<u8>)>,
    },
    /// Without `tail_sampling` everything is kept: each request is released as one piece.
    All {
        released: VecDeque<(TraceId, Chain)>,
        traces: u64,
    },
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

// === impl Ingest ===

impl Ingest {
    /// An empty owner.
    pub fn new(settings: Option<&TailSamplingSettings>, limiter: MemoryLimiter, clock: Clock) -> Self {
        // Trace ids and contents are chosen by senders: seeds of this process keep them from choosing hash collisions.
        let sampler = match settings {
            Some(settings) => Sampler::Tail {
                table: TraceTable::new(settings, rand::random()),
                policies: settings
                    .policies
                    .iter()
                    .map(|policy| {
                        let attribute =
                            encode_string_attribute(SPAN_ATTRIBUTES, POLICY_ATTRIBUTE, &policy.name);
                        (policy.name.clone(), attribute)
                    })
                    .collect(),
            },
            None => Sampler::All {
                released: VecDeque::new(),
                traces: 0,
            },
        };
        Self {
            account: IngestAccount::default(),
            clock,
            limiter,
            walk: RequestWalk::new(),
            store: SpanStore::new(CHUNK_BYTES, rand::random()),
            sampler,
            deadline_changed: Rc::new(Notify::new()),
            released: Rc::new(Notify::new()),
        }
    }

    /// Told when there is a first deadline after there was none.
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
    /// [`WalkError`] when the bytes are not such a message; then none of its spans was taken.
    pub fn accept(&mut self, request: &[u8]) -> Result<Accepted, WalkError> {
        if let Err(error) = self.walk.walk(request) {
            self.publish_memory();
            return Err(error);
        }
        let now = self.clock.now();
        let had_deadline = self.next_deadline().is_some();
        let accepted = self.place_spans(now, request);
        self.walk.clear();
        self.settle();
        if !had_deadline && self.next_deadline().is_some() {
            self.deadline_changed.notify_one();
        }
        Ok(accepted)
    }

    /// The time of the next decision.
    pub fn next_deadline(&self) -> Option<Duration> {
        match &self.sampler {
            Sampler::Tail { table, .. } => table.poll_timeout(),
            Sampler::All { .. } => None,
        }
    }

    /// Decides every trace whose time has come.
    pub fn run_decisions(&mut self) {
        let now = self.clock.now();
        if let Sampler::Tail { table, .. } = &mut self.sampler {
            table.on_timeout(now);
        }
        self.settle();
    }

    /// Decides everything now, on what is known.
    pub fn decide_all(&mut self) {
        if let Sampler::Tail { table, .. } = &mut self.sampler {
            table.decide_all();
        }
        self.settle();
        self.released.notify_one();
    }

    /// True when a kept trace waits for [`Self::pop_released`].
    pub fn has_released(&self) -> bool {
        match &self.sampler {
            Sampler::Tail { table, .. } => table.has_release(),
            Sampler::All { released, .. } => !released.is_empty(),
        }
    }

    /// True when no trace waits for anything.
    pub fn is_empty(&self) -> bool {
        self.account.buffered == 0
    }

    /// The next kept trace, copied out of the store. Call it when there is room for it.
    pub fn pop_released(&mut self) -> Option<SampledTrace> {
        let (trace_id, policy, chain) = match &mut self.sampler {
            Sampler::Tail { table, .. } => {
                let Sampled {
                    trace_id,
                    policy,
                    stored,
                    ..
                } = table.poll_release()?;
                (trace_id, policy.index(), stored)
            }
            Sampler::All { released, .. } => {
                let (trace_id, chain) = released.pop_front()?;
                (trace_id, 0, chain)
            }
        };
        let attribute = match &self.sampler {
            Sampler::Tail { policies, .. } => {
                policies.get(policy).map_or(&[][..], |(_, attribute)| attribute)
            }
            Sampler::All { .. } => &[],
        };
        let mut spans = Vec::new();
        self.store.write_trace(&chain, attribute, &mut spans);
        let span_count = u64::from(chain.spans());
        self.store.release(chain);
        self.account.buffered -= span_count;
        self.account.keep(policy, span_count);
        self.publish_memory();
        let held = self.limiter.hold(spans.len() as u64);
        Some(SampledTrace {
            trace_id,
            spans: spans.into(),
            span_count,
            held,
        })
    }

    /// Gives up every trace that was decided to be kept, because nobody takes it any more.
    pub fn lose_released(&mut self, reason: &'static str) {
        loop {
            let chain = match &mut self.sampler {
                Sampler::Tail { table, .. } => table.poll_release().map(|sampled| sampled.stored),
                Sampler::All { released, .. } => released.pop_front().map(|(_, chain)| chain),
            };
            let Some(chain) = chain else { return };
            let spans = u64::from(chain.spans());
            self.store.release(chain);
            self.account.buffered -= spans;
            *self.account.lost.entry(reason).or_default() += spans;
        }
    }

    /// The sampler's own figures.
    pub fn figures(&self) -> SamplingFigures {
        match &self.sampler {
            Sampler::Tail { table, policies } => {
                let stats = table.stats();
                SamplingFigures {
                    policies: policies.iter().map(|(name, _)| name.clone()).collect(),
                    policy_stats: stats.policies.clone(),
                    sampled_traces: stats.sampled_traces,
                    not_sampled_traces: stats.not_sampled_traces,
                    new_traces: stats.new_traces,
                    open_traces: stats.open_traces,
                    decided_early_num_traces: stats.decided_early_num_traces,
                    decided_early_shutdown: stats.decided_early_shutdown,
                    late_kept: stats.late_kept_spans,
                }
            }
            Sampler::All { traces, .. } => SamplingFigures {
                policies: vec![NO_SAMPLING.to_owned()],
                policy_stats: vec![PolicyStats {
                    sampled_traces: *traces,
                    ..PolicyStats::default()
                }],
                sampled_traces: *traces,
                new_traces: *traces,
                ..SamplingFigures::default()
            },
        }
    }

    /// Puts each good span of the walked request where it belongs.
    fn place_spans(&mut self, now: Duration, request: &[u8]) -> Accepted {
        let mut accepted = Accepted::default();
        let mut context = None;
        let mut whole_request: Option<(TraceId, Chain)> = None;
        for head in self.walk.spans() {
            self.account.accepted += 1;
            if let Some(defect) = head.defect {
                *self.account.rejected.entry(defect).or_default() += 1;
                accepted.reject(defect);
                continue;
            }
            let record = &request[head.record.clone()];
            // A request is bounded far below 4 GiB.
            let record_len = u32::try_from(record.len()).unwrap_or(u32::MAX);
            let chain = match &mut self.sampler {
                Sampler::Tail { table, .. } => match table.on_span(now, head, record_len) {
                    Placement::Buffer(chain) | Placement::Late(chain) => chain,
                    Placement::Drop => {
                        self.account.dropped_late += 1;
                        continue;
                    }
                },
                Sampler::All { .. } => {
                    &mut whole_request
                        .get_or_insert_with(|| (head.trace_id, Chain::default()))
                        .1
                }
            };
            let context = match context {
                Some((index, id)) if index == head.context => id,
                _ => {
                    if let Some((_, finished)) = context.take() {
                        self.store.end(finished);
                    }
                    let id = self.store.begin(request, self.walk.context(head.context));
                    context = Some((head.context, id));
                    id
                }
            };
            self.store.append(chain, context, record);
            self.account.buffered += 1;
        }
        if let Some((_, finished)) = context {
            self.store.end(finished);
        }
        if let (Sampler::All { released, traces }, Some(whole)) = (&mut self.sampler, whole_request) {
            *traces += 1;
            released.push_back(whole);
        }
        accepted
    }

    /// Carries out what needs no room elsewhere: dropped traces leave the store.
    fn settle(&mut self) {
        self.discard();
        self.publish_memory();
        // Also when the last trace was dropped: whoever waits for the end must look again.
        if self.has_released() || self.is_empty() {
            self.released.notify_one();
        }
    }

    fn discard(&mut self) {
        let Sampler::Tail { table, .. } = &mut self.sampler else {
            return;
        };
        while let Some(Discarded { stored, spans, .. }) = table.poll_discard() {
            self.store.release(stored);
            self.account.buffered -= u64::from(spans);
            self.account.dropped_by_policy += u64::from(spans);
        }
    }

    fn publish_memory(&self) {
        let table = match &self.sampler {
            Sampler::Tail { table, .. } => table.memory_bytes(),
            Sampler::All { .. } => 0,
        };
        let held = self.store.memory_bytes() + table + self.walk.memory_bytes();
        self.limiter.set_buffered(held as u64);
    }
}

#[cfg(test)]
mod tests;

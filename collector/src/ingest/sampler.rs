//! What becomes of spans: decided by policies, or kept as they come.

use std::collections::VecDeque;
use std::time::Duration;

use tracepipe_config::TailSamplingSettings;
use tracepipe_otlp::store::{Chain, encode_string_attribute};
use tracepipe_otlp::{SpanHead, TraceId};
use tracepipe_sampling::{
    Discarded, Placement, PolicyError, PolicyIndex, PolicyStats, PolicyWatch, Sampled, TraceTable,
};

use super::POLICY_ATTRIBUTE;
use crate::account::SamplingFigures;
use crate::decision_log::Record;

/// Field number of `Span.attributes` in the OTLP protobuf.
const SPAN_ATTRIBUTES: u32 = 9;

/// The account's name for spans kept because nothing samples.
const NO_SAMPLING: &str = "no_tail_sampling";

/// A trace that has this part of the memory limit is decided at once on what is known of it, and what comes of it later
/// follows: no trace may take the memory of the others. A sixteenth: twelve of them at the same time still fit into what
/// requests may have at the default spike (a fifth), and at 400 MiB it is some 50,000 spans, what upstream's users
/// call a giant (contrib issue 45200).
const GIANT_DIVISOR: u64 = 16;

/// Decisions that are remembered to be written, from one writing to the next: 4 MiB. At more than 260,000 decisions a
/// second the oldest are not written.
const RECORDED_MAX: usize = 256 * 1024;

/// Decides, or does not.
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
pub(super) enum Sampler {
    Tail(TailSampler),
    /// Without `tail_sampling` everything is kept: what comes together is released together.
    All {
        released: VecDeque<(TraceId, Chain)>,
        traces: u64,
    },
}

/// `tail_sampling`.
pub(super) struct TailSampler {
    pub(super) table: TraceTable<Chain>,
    /// Looks for what the policies look for while requests are walked.
    pub(super) watch: PolicyWatch,
    policies: Vec<PolicyName>,
}

struct PolicyName {
    name: String,
    /// As the encoded attribute that is added to the spans it keeps; empty when none is to be added.
    attribute: Vec<u8>,
    /// None: the table does not know it.
    index: Option<PolicyIndex>,
}

/// A kept trace that leaves, whole or in parts.
pub(super) struct Leaving {
    pub(super) trace_id: TraceId,
    pub(super) policy: usize,
    pub(super) chain: Chain,
    /// These are all spans that came in time.
    pub(super) is_whole: bool,
}

// === impl Sampler ===

impl Sampler {
    /// `limit_bytes` is the memory limit, `seed` that of the trace table.
    pub(super) fn new(
        settings: Option<&TailSamplingSettings>,
        limit_bytes: u64,
        seed: u64,
    ) -> Result<Self, PolicyError> {
        let Some(settings) = settings else {
            return Ok(Self::All {
                released: VecDeque::new(),
                traces: 0,
            });
        };
        let mut table = TraceTable::new(settings, seed)?;
        table.set_giant_bytes(limit_bytes / GIANT_DIVISOR);
        let policies = settings
            .policies
            .iter()
            .map(|policy| PolicyName {
                name: policy.name.clone(),
                attribute: match settings.record_policy {
                    true => encode_string_attribute(SPAN_ATTRIBUTES, POLICY_ATTRIBUTE, &policy.name),
                    false => Vec::new(),
                },
                index: table.policies().find(&policy.name),
            })
            .collect();
        Ok(Self::Tail(TailSampler {
            watch: table.policies().watch(),
            table,
            policies,
        }))
    }

    /// The time of the next decision.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        match self {
            Self::Tail(tail) => tail.table.poll_timeout(),
            Self::All { .. } => None,
        }
    }

    /// With `block_on_overflow`: false when the spans' traces do not fit into `num_traces` now.
    pub(super) fn has_room_for(&mut self, spans: &[SpanHead]) -> bool {
        match self {
            Self::Tail(tail) => tail.table.has_room_for(spans),
            Self::All { .. } => true,
        }
    }

    /// Decides every trace whose time has come.
    pub(super) fn decide_due(&mut self, now: Duration) {
        if let Self::Tail(tail) = self {
            tail.table.on_timeout(now);
        }
    }

    /// Decides everything now, on what is known.
    pub(super) fn decide_all(&mut self) {
        if let Self::Tail(tail) = self {
            tail.table.decide_all();
        }
    }

    /// Where a span is to be stored; none: its trace was dropped. `unsampled` is where it goes without sampling.
    pub(super) fn place<'c>(
        &'c mut self,
        now: Duration,
        head: &SpanHead,
        record_len: u32,
        unsampled: &'c mut Option<(TraceId, Chain)>,
    ) -> Option<&'c mut Chain> {
        match self {
            Self::Tail(tail) => match tail.table.on_span(now, head, record_len) {
                Placement::Buffer(chain) | Placement::Late(chain) => Some(chain),
                Placement::Drop => None,
            },
            Self::All { .. } => {
                let (_, chain) = unsampled.get_or_insert_with(|| (head.trace_id, Chain::default()));
                Some(chain)
            }
        }
    }

    /// Without sampling: what came together leaves together, under its first id, which is for the log only.
    pub(super) fn release(&mut self, together: (TraceId, Chain)) {
        if let Self::All { released, traces } = self {
            *traces += 1;
            released.push_back(together);
        }
    }

    /// The next dropped trace.
    pub(super) fn next_discarded(&mut self) -> Option<Discarded<Chain>> {
        match self {
            Self::Tail(tail) => tail.table.poll_discard(),
            Self::All { .. } => None,
        }
    }

    /// How many [`Self::next_released`] has.
    pub(super) fn releases(&self) -> usize {
        match self {
            Self::Tail(tail) => tail.table.releases(),
            Self::All { released, .. } => released.len(),
        }
    }

    /// The next kept trace.
    pub(super) fn next_released(&mut self) -> Option<Leaving> {
        match self {
            Self::Tail(tail) => {
                let Sampled {
                    trace_id,
                    policy,
                    stored: chain,
                    late,
                    early,
                    ..
                } = tail.table.poll_release()?;
                let policy = policy.index();
                Some(Leaving {
                    trace_id,
                    policy,
                    chain,
                    is_whole: !late && !early,
                })
            }
            Self::All { released, .. } => {
                let (trace_id, chain) = released.pop_front()?;
                Some(Leaving {
                    trace_id,
                    policy: 0,
                    chain,
                    // What came in one request: of the trace more may come.
                    is_whole: false,
                })
            }
        }
    }

    /// The encoded attribute that spans kept by this policy get; may be empty.
    pub(super) fn attribute(&self, policy: usize) -> &[u8] {
        match self {
            Self::Tail(tail) => tail.policies.get(policy).map_or(&[], |policy| &policy.attribute),
            Self::All { .. } => &[],
        }
    }

    /// From now on decisions are noted for [`Self::new_decisions`].
    pub(super) fn record_decisions(&mut self) {
        if let Self::Tail(tail) = self {
            tail.table.record_decisions(RECORDED_MAX);
        }
    }

    /// The decisions since this was asked last, oldest first.
    pub(super) fn new_decisions(&mut self) -> Vec<Record> {
        let Self::Tail(tail) = self else {
            return Vec::new();
        };
        let decisions = tail.table.take_new_decisions();
        let records = decisions.into_iter().map(|(fingerprint, policy)| Record {
            fingerprint,
            policy: policy.and_then(|policy| u32::try_from(policy.index()).ok()),
        });
        records.collect()
    }

    /// Remembers a decision of a former process.
    pub(super) fn restore(&mut self, record: Record) {
        let Self::Tail(tail) = self else { return };
        let policy = match record.policy {
            None => None,
            Some(place) => match tail.policies.get(place as usize) {
                Some(PolicyName {
                    index: Some(index), ..
                }) => Some(*index),
                // Of policies that are no more.
                Some(_) | None => return,
            },
        };
        tail.table.restore((record.fingerprint, policy));
    }

    /// What it holds in memory, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Self::Tail(tail) => tail.table.memory_bytes() + tail.watch.memory_bytes(),
            Self::All { released, .. } => released.capacity() * size_of::<(TraceId, Chain)>(),
        }
    }

    /// Its own figures.
    pub(super) fn figures(&self) -> SamplingFigures {
        match self {
            Self::Tail(tail) => SamplingFigures {
                policies: tail.policies.iter().map(|policy| policy.name.clone()).collect(),
                stats: tail.table.stats().clone(),
                ..SamplingFigures::default()
            },
            Self::All { traces, .. } => {
                let mut figures = SamplingFigures {
                    policies: vec![NO_SAMPLING.to_owned()],
                    ..SamplingFigures::default()
                };
                figures.stats.sampled_traces = *traces;
                figures.stats.new_traces = *traces;
                figures.stats.policies = vec![PolicyStats {
                    sampled_traces: *traces,
                    ..PolicyStats::default()
                }];
                figures
            }
        }
    }
}

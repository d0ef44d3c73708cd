//! What was decided, for the spans that come later.

use std::collections::VecDeque;

use tracepipe_config::DecisionCacheSettings;
use tracepipe_otlp::id::TraceId;

use crate::decision_cache::DecisionCache;
use crate::policy::PolicyIndex;

/// What became of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// A policy keeps it.
    Kept(PolicyIndex),
    /// No policy wanted it on what was known.
    NotWanted,
    /// A policy of type `drop`, or its size: whatever comes, it stays dropped.
    Dropped,
}

/// A decision, as it is kept over a restart: the fingerprint of the trace's id, and the policy that keeps it if one
/// does.
pub type RecordedDecision = (u64, Option<PolicyIndex>);

/// Remembers traces by the hashes of their ids.
#[derive(Debug)]
pub(super) struct Memory {
    kept: DecisionCache<PolicyIndex>,
    /// With true for those of [`Fate::Dropped`].
    dropped: DecisionCache<bool>,
    /// Traces that were decided because of their size: their spans keep coming, and whatever the other caches' sizes
    /// the first of them must not open the trace again.
    large: DecisionCache<Fate>,
    /// What the last late span met: its neighbours are often of the same trace. Void once anything is decided, as a
    /// decision may push another out of memory.
    last: Option<(TraceId, Fate)>,
    records: VecDeque<RecordedDecision>,
    records_max: usize,
}

/// Most traces that are streamed because of their size at a time: 20 kB. Each has at least a good part of the memory
/// limit's bytes behind it, so there cannot be many.
const LARGE_TRACES_MAX: u64 = 1024;

impl Memory {
    pub(super) fn new(settings: &DecisionCacheSettings) -> Self {
        Self {
            kept: DecisionCache::new(settings.sampled_cache_size),
            dropped: DecisionCache::new(settings.non_sampled_cache_size),
            large: DecisionCache::new(LARGE_TRACES_MAX),
            last: None,
            records: VecDeque::new(),
            records_max: 0,
        }
    }

    /// Remembers a decision.
    #[inline]
    pub(super) fn remember(&mut self, hash: u64, fate: Fate) {
        self.last = None;
        self.insert(hash, fate);
        if self.records_max > 0 {
            if self.records.len() >= self.records_max {
                self.records.pop_front();
            }
            self.records.push_back((hash, fate.policy()));
        }
    }

    /// As [`Memory::remember`], for a trace whose spans keep coming: it is remembered until a thousand others are.
    pub(super) fn remember_large(&mut self, hash: u64, fate: Fate) {
        self.large.replace(hash, fate);
    }

    /// What [`Memory::recall`] said last, if it was about this trace.
    #[inline]
    pub(super) fn recall_last(&self, id: TraceId) -> Option<Fate> {
        self.last.filter(|(last, _)| *last == id).map(|(_, fate)| fate)
    }

    /// What was decided about a trace, which is spared for another round. `hash` is that of its id.
    pub(super) fn recall(&mut self, id: TraceId, hash: u64) -> Option<Fate> {
        let fate = self.ask(hash)?;
        self.last = Some((id, fate));
        Some(fate)
    }

    /// Whether anything is known of a trace, which is not spared for it.
    pub(super) fn knows(&self, hash: u64) -> bool {
        self.large.contains(hash) || self.kept.contains(hash) || self.dropped.contains(hash)
    }

    /// Keeps a record of the decisions to come, the last `most` of them; 0 for none.
    pub(super) fn record(&mut self, most: usize) {
        self.records_max = most;
        self.records.truncate(most);
    }

    pub(super) fn take_records(&mut self) -> Vec<RecordedDecision> {
        std::mem::take(&mut self.records).into()
    }

    pub(super) fn restore(&mut self, (hash, policy): RecordedDecision) {
        self.last = None;
        match policy {
            Some(policy) => self.kept.replace(hash, policy),
            None => self.dropped.replace(hash, false),
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.kept.memory_bytes()
            + self.dropped.memory_bytes()
            + self.large.memory_bytes()
            + self.records.capacity() * size_of::<RecordedDecision>()
    }

    #[inline]
    fn insert(&mut self, hash: u64, fate: Fate) {
        match fate {
            Fate::Kept(policy) => self.kept.insert(hash, policy),
            Fate::NotWanted => self.dropped.insert(hash, false),
            Fate::Dropped => self.dropped.insert(hash, true),
        }
    }

    fn ask(&mut self, hash: u64) -> Option<Fate> {
        // Asked first, so that a trace which is still coming is spared there.
        if !self.large.is_empty()
            && let Some(fate) = self.large.ask(hash)
        {
            return Some(fate);
        }
        if let Some(policy) = self.kept.ask(hash) {
            return Some(Fate::Kept(policy));
        }
        let stays_dropped = self.dropped.ask(hash)?;
        Some(if stays_dropped {
            Fate::Dropped
        } else {
            Fate::NotWanted
        })
    }
}

impl Fate {
    fn policy(self) -> Option<PolicyIndex> {
        match self {
            Self::Kept(policy) => Some(policy),
            Self::NotWanted | Self::Dropped => None,
        }
    }
}

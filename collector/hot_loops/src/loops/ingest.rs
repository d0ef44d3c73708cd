//! The way of spans that are not kept, as the collector's ingest owner goes it.

use std::hint::black_box;
use std::time::Duration;

use tracepipe_config::{
    DecisionCacheSettings, PolicyKind, PolicySettings, SimplePolicy, StatusCode, StringMatcher,
    TailSamplingSettings,
};
use tracepipe_otlp::SpanHead;
use tracepipe_otlp::store::{CHUNK_BYTES, Chain, ContextId, SpanStore};
use tracepipe_otlp::walk::RequestWalk;
use tracepipe_sampling::{Placement, TraceTable};

use super::SEED;
use crate::input::{self, SPANS, TRACES};

/// From a trace's first span to its decision, in passes: each pass is a second, and brings a request.
const WAIT_PASSES: u64 = 50;

/// Passes before those that are counted: all tables have their size then, and each pass decides as much as it brings.
const WARM_UP_PASSES: u64 = 4 * WAIT_PASSES;

/// Decisions remembered: the caches are full after the warm-up.
const CACHE_SIZE: u64 = WAIT_PASSES * TRACES;

/// Walk, table and store with one request that comes again and again, each time with other trace ids.
pub(super) struct Ingest {
    request: Vec<u8>,
    /// Where the trace ids are in the request.
    ids: Vec<usize>,
    walk: RequestWalk,
    table: TraceTable<Chain>,
    store: SpanStore,
    passes: u64,
}

impl Ingest {
    pub(super) fn new() -> Result<Self, String> {
        let request = input::protobuf();
        let mut walk = RequestWalk::new();
        walk.walk(&request).map_err(|error| error.to_string())?;
        // The walk says where a span is; its id is its first field.
        let ids = walk
            .spans()
            .iter()
            .filter_map(|head| {
                let record = &request[head.record.clone()];
                let at = record.windows(16).position(|bytes| bytes == head.trace_id.0)?;
                Some(head.record.start + at)
            })
            .collect();
        Ok(Self {
            request,
            ids,
            walk,
            table: TraceTable::new(&settings(), SEED).map_err(|error| error.to_string())?,
            store: SpanStore::new(CHUNK_BYTES, SEED),
            passes: 0,
        })
    }

    pub(super) fn table(mut self, passes: u64) -> Result<u64, String> {
        let mut heads: Vec<(SpanHead, u32)> = self
            .walk
            .spans()
            .iter()
            .map(|head| (head.clone(), head.record.len() as u32))
            .collect();
        for _ in 0..WARM_UP_PASSES + passes {
            self.passes += 1;
            for (head, record_len) in &mut heads {
                head.trace_id.0[..8].copy_from_slice(&self.passes.to_le_bytes());
                black_box(
                    self.table
                        .on_span(Duration::from_secs(self.passes), head, *record_len),
                );
            }
            self.table.on_timeout(Duration::from_secs(self.passes));
            while let Some(discarded) = self.table.poll_discard() {
                black_box(discarded);
            }
        }
        self.settled()
    }

    pub(super) fn store(mut self, passes: u64) -> Result<u64, String> {
        let mut waiting = std::collections::VecDeque::new();
        for _ in 0..WARM_UP_PASSES + passes {
            let mut chains: [Chain; TRACES as usize] = std::array::from_fn(|_| Chain::default());
            let mut appending = Appending {
                store: &mut self.store,
                walk: &self.walk,
                request: &self.request,
                context: None,
            };
            // The traces of a service's spans come one after the other.
            let mut last = None;
            let mut trace = usize::MAX;
            for head in self.walk.spans() {
                if last != Some(head.trace_id) {
                    last = Some(head.trace_id);
                    trace = (trace.wrapping_add(1)) % chains.len();
                }
                appending.append(head, &mut chains[trace]);
            }
            appending.end();
            waiting.push_back(chains);
            if waiting.len() as u64 > WAIT_PASSES {
                for chain in waiting.pop_front().into_iter().flatten() {
                    self.store.release(chain);
                }
            }
        }
        Ok(SPANS)
    }

    /// The walk of the request alone, watched as the policies want it.
    pub(super) fn walk(mut self, passes: u64) -> Result<u64, String> {
        let mut watch = self.table.policies().watch();
        for _ in 0..passes {
            self.walk
                .walk_with(black_box(&self.request), &mut watch)
                .map_err(|error| error.to_string())?;
            black_box(self.walk.spans());
        }
        Ok(SPANS)
    }

    pub(super) fn request_to_drop(mut self, passes: u64) -> Result<u64, String> {
        let mut watch = self.table.policies().watch();
        for _ in 0..WARM_UP_PASSES + passes {
            self.passes += 1;
            for at in &self.ids {
                self.request[*at..at + 8].copy_from_slice(&self.passes.to_le_bytes());
            }
            black_box(RequestWalk::room_for(&self.request));
            self.walk
                .walk_with(&self.request, &mut watch)
                .map_err(|error| error.to_string())?;
            let now = Duration::from_secs(self.passes);
            let mut appending = Appending {
                store: &mut self.store,
                walk: &self.walk,
                request: &self.request,
                context: None,
            };
            for head in self.walk.spans() {
                match self.table.on_span(now, head, head.record.len() as u32) {
                    Placement::Buffer(chain) | Placement::Late(chain) => {
                        appending.append(head, chain);
                    }
                    Placement::Drop => {}
                }
            }
            appending.end();
            self.walk.clear();
            self.table.on_timeout(now);
            while let Some(discarded) = self.table.poll_discard() {
                self.store.release(discarded.stored);
            }
            black_box(self.store.memory_bytes() + self.table.memory_bytes() + self.walk.memory_bytes());
        }
        self.settled()
    }

    pub(super) fn late_drop(mut self, passes: u64) -> Result<u64, String> {
        let heads: Vec<(SpanHead, u32)> = self
            .walk
            .spans()
            .iter()
            .map(|head| (head.clone(), head.record.len() as u32))
            .collect();
        let now = Duration::from_secs(1);
        for (head, record_len) in &heads {
            black_box(self.table.on_span(now, head, *record_len));
        }
        self.table.decide_all();
        let mut dropped = 0;
        for _ in 0..passes {
            for (head, record_len) in &heads {
                let placement = self.table.on_span(now, black_box(head), *record_len);
                dropped += u64::from(placement == Placement::Drop);
            }
        }
        if dropped == passes * SPANS {
            Ok(SPANS)
        } else {
            Err(format!("{dropped} late spans of {} were dropped", passes * SPANS))
        }
    }

    /// Items of a pass, when every trace was dropped at its time.
    fn settled(self) -> Result<u64, String> {
        let stats = self.table.stats();
        let open = WAIT_PASSES * TRACES;
        if stats.sampled_traces == 0 && stats.not_sampled_traces == self.passes * TRACES - open {
            Ok(SPANS)
        } else {
            Err(format!(
                "{} traces were kept and {} dropped in {} passes",
                stats.sampled_traces, stats.not_sampled_traces, self.passes
            ))
        }
    }
}

/// Puts spans into the store as the ingest owner does it: spans of one context follow each other.
struct Appending<'a> {
    store: &'a mut SpanStore,
    walk: &'a RequestWalk,
    request: &'a [u8],
    context: Option<(u32, ContextId)>,
}

impl Appending<'_> {
    #[inline(always)]
    fn append(&mut self, head: &SpanHead, chain: &mut Chain) {
        let id = match self.context {
            Some((index, id)) if index == head.context => id,
            _ => {
                self.end();
                let id = self.store.begin(self.request, self.walk.context(head.context));
                self.context = Some((head.context, id));
                id
            }
        };
        self.store.append(chain, id, &self.request[head.record.clone()]);
    }

    fn end(&mut self) {
        if let Some((_, finished)) = self.context.take() {
            self.store.end(finished);
        }
    }
}

/// Four policies, as in the headline benchmark, that want none of the traces.
fn settings() -> TailSamplingSettings {
    let policies = [
        (
            "errors",
            SimplePolicy::StatusCode {
                status_codes: vec![StatusCode::Error],
            },
        ),
        (
            "slow",
            SimplePolicy::Latency {
                threshold_ms: 500,
                upper_threshold_ms: None,
            },
        ),
        (
            "gold",
            SimplePolicy::StringAttribute {
                key: "customer.tier".into(),
                matcher: StringMatcher::Exact(vec!["gold".into()]),
                invert_match: false,
            },
        ),
        (
            "share",
            SimplePolicy::Probabilistic {
                hash_salt: "default-hash-seed".into(),
                sampling_percentage: 0.0,
            },
        ),
    ];
    TailSamplingSettings {
        decision_wait: Duration::from_secs(WAIT_PASSES),
        decision_wait_after_root_received: None,
        num_traces: 100_000,
        block_on_overflow: false,
        expected_new_traces_per_sec: 2 * WAIT_PASSES * TRACES,
        maximum_trace_size_bytes: None,
        sample_on_first_match: false,
        record_policy: true,
        decision_cache: DecisionCacheSettings {
            sampled_cache_size: CACHE_SIZE,
            non_sampled_cache_size: CACHE_SIZE,
            directory: None,
        },
        policies: policies
            .into_iter()
            .map(|(name, kind)| PolicySettings {
                name: name.into(),
                kind: PolicyKind::Simple(kind),
            })
            .collect(),
    }
}

//! Ten minutes of a square wave with a backend that fails twice, in virtual time: what `make soak` does for an hour with
//! processes and sockets.

use prost::Message as _;
use tracepipe_config::{
    DecisionCacheSettings, MemoryLimiterSettings, PolicyKind, PolicySettings, SimplePolicy, StatusCode,
    TailSamplingSettings,
};
use tracepipe_otlp::proto;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::export::fill_queues;
use super::tasks::{Outlet, decide, release};
use super::*;
use crate::batcher::Batcher;
use crate::exporter::SendingQueue;
use crate::ingest::{Ingest, SharedIngest};

const SOAK: Duration = Duration::from_secs(600);
/// Half a period of the wave. Longer than the decision wait, so that all that was buffered has left before the next.
const HALF_WAVE: Duration = Duration::from_secs(30);
const DECISION_WAIT: Duration = Duration::from_secs(10);
/// A request in each of these while the wave is high: 2,000 spans a second.
const TICK: Duration = Duration::from_millis(25);
const TRACES_PER_REQUEST: u32 = 5;
const SPANS_PER_TRACE: u32 = 10;
/// The backend takes nothing for this long in every five minutes, from the second minute on.
const FAULT: Duration = Duration::from_secs(25);
const FAULT_PERIOD: Duration = Duration::from_secs(300);
const FIRST_FAULT: Duration = Duration::from_secs(125);
/// Small enough that the export queue, which has 40 % of it, overflows in each fault.
const LIMIT: u64 = 14 << 20;

fn is_high(at: Duration) -> bool {
    (at.as_secs() / HALF_WAVE.as_secs()).is_multiple_of(2)
}

fn is_fault(at: Duration) -> bool {
    at.checked_sub(FIRST_FAULT)
        .is_some_and(|since| since.as_secs() % FAULT_PERIOD.as_secs() < FAULT.as_secs())
}

fn policy(name: &str, kind: SimplePolicy) -> PolicySettings {
    PolicySettings {
        name: name.into(),
        kind: PolicyKind::Simple(kind),
    }
}

fn sampling() -> TailSamplingSettings {
    let status_codes = vec![StatusCode::Error];
    TailSamplingSettings {
        decision_wait: DECISION_WAIT,
        decision_wait_after_root_received: None,
        num_traces: 50_000,
        block_on_overflow: false,
        expected_new_traces_per_sec: 0,
        maximum_trace_size_bytes: None,
        sample_on_first_match: false,
        record_policy: true,
        decision_cache: DecisionCacheSettings {
            sampled_cache_size: 1_000,
            non_sampled_cache_size: 1_000,
            directory: None,
        },
        policies: vec![
            policy("errors", SimplePolicy::StatusCode { status_codes }),
            policy(
                "share",
                SimplePolicy::Probabilistic {
                    hash_salt: "default-hash-seed".into(),
                    sampling_percentage: 30.0,
                },
            ),
        ],
    }
}

/// A request of whole traces; every tenth trace has failed.
pub(super) fn request(number: u32) -> Vec<u8> {
    let spans = (0..TRACES_PER_REQUEST).flat_map(|trace| {
        let trace = number * TRACES_PER_REQUEST + trace;
        (0..SPANS_PER_TRACE).map(move |span| proto::Span {
            trace_id: [
                u64::from(trace).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes(),
                [1; 8],
            ]
            .concat(),
            span_id: (u64::from(span) + 1).to_be_bytes().to_vec(),
            name: "x".repeat(300),
            status: Some(proto::SpanStatus {
                code: if trace.is_multiple_of(10) && span == 3 {
                    2
                } else {
                    0
                },
                ..Default::default()
            }),
            ..Default::default()
        })
    });
    proto::ExportTraceServiceRequest {
        resource_spans: vec![proto::ResourceSpans {
            scope_spans: vec![proto::ScopeSpans {
                spans: spans.collect(),
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
    .encode_to_vec()
}

/// Takes every batch, but for the faults: then the batch waits, as behind a client that tries again.
async fn backend(queue: SendingQueue, clock: Clock) {
    while let Some((_batch, mut progress)) = queue.take().await {
        while is_fault(clock.now()) {
            progress.requested();
            progress.request_failed("unavailable", "");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        progress.requested();
        let all = progress.in_flight();
        progress.request_taken();
        progress.exported(all);
    }
}

/// What went in.
#[derive(Default)]
struct Offered {
    spans: u64,
    requests: u32,
    refused: u32,
}

/// One request, as a receiver takes it.
fn offer(ingest: &SharedIngest, limiter: &MemoryLimiter, offered: &mut Offered) {
    let bytes = request(offered.requests);
    offered.requests += 1;
    match limiter.try_reserve(bytes.len() as u64) {
        Ok(_reservation) => {
            ingest.borrow_mut().accept(&bytes).unwrap();
            offered.spans += u64::from(TRACES_PER_REQUEST * SPANS_PER_TRACE);
        }
        Err(_over_limit) => offered.refused += 1,
    }
}

/// Every identity of the account, and that it agrees with what was offered.
fn assert_exact(account: &Account, offered: u64) {
    let it = &account.ingest;
    let lost: u64 = it.lost.values().sum();
    let kept: u64 = it.kept.iter().sum();
    assert_eq!(it.accepted, offered);
    assert_eq!(
        it.accepted,
        it.dropped_by_policy + it.dropped_late + lost + it.buffered + kept
    );
    for exporter in &account.exporters {
        let lost: u64 = exporter.lost.values().sum();
        assert_eq!(
            kept,
            exporter.exported + lost + exporter.waiting + exporter.in_flight,
            "{exporter:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn after_ten_minutes_of_waves_and_faults_the_account_is_exact_and_memory_is_back() {
    let local = tokio::task::LocalSet::new();
    local.run_until(soak()).await;
}

async fn soak() {
    let clock = Clock::start();
    let limiter = MemoryLimiter::new(&MemoryLimiterSettings {
        check_interval: Duration::from_secs(1),
        limit_bytes: LIMIT,
        spike_bytes: 1 << 20,
    });
    let settings = sampling();
    let ingest = Ingest::new(Some(&settings), Vec::new(), limiter.clone(), clock);
    let ingest: SharedIngest = Rc::new(RefCell::new(ingest.unwrap()));
    let (traces, mut released) = mpsc::channel(CHANNEL_PIECES);
    let (requests, snapshots) = mpsc::channel(SNAPSHOTS_MAX);
    let (stop_releasing, stop) = watch::channel(false);
    let queue = SendingQueue::new("sink".into(), limiter.export_queue_bytes_max(), 1_000);
    let deciding = tokio::task::spawn_local(decide(Rc::clone(&ingest), clock));
    let releasing = tokio::task::spawn_local(release(
        Rc::clone(&ingest),
        Outlet {
            traces,
            gather: Duration::from_millis(100),
            snapshots,
            decision_log: None,
            metrics: None,
        },
        Rc::new(Notify::new()),
        stop,
    ));
    let exporting = tokio::task::spawn_local(backend(queue.clone(), clock));
    let queues = [queue.clone()];
    let batcher = Batcher::new(None);
    let filling =
        tokio::task::spawn_local(async move { fill_queues(&mut released, batcher, &queues, clock).await });

    let snapshots = Snapshots { requests };
    let mut offered = Offered::default();
    let (mut idle_at_first, mut waves) = (None, 0);
    let mut ticks = tokio::time::interval(TICK);
    while clock.now() < SOAK {
        ticks.tick().await;
        let high = is_high(clock.now());
        if high {
            offer(&ingest, &limiter, &mut offered);
        }
        if !high && is_high(clock.now() + TICK) {
            waves += 1;
            let account = snapshots.take().await.unwrap();
            assert_exact(&account, offered.spans);
            assert_eq!(
                account.ingest.buffered, 0,
                "a wave is decided before the next begins"
            );
            if !is_fault(clock.now()) && !is_fault(clock.now().saturating_sub(HALF_WAVE)) {
                // The tables have the size of the first wave; nothing may be added by later ones.
                let idle = *idle_at_first.get_or_insert(limiter.accounted());
                assert!(
                    limiter.accounted() <= idle + (64 << 10),
                    "{} and first {idle}",
                    limiter.accounted()
                );
            }
        }
    }

    stop_releasing.send_replace(true);
    ingest.borrow_mut().decide_all();
    releasing.await.unwrap();
    deciding.abort();
    let last = filling.await.unwrap().unwrap();
    queue.close();
    exporting.await.unwrap();
    let account = Account {
        ingest: last.0,
        sampling: last.1,
        exporters: vec![queue.account()],
        metrics: None,
    };
    assert_exact(&account, offered.spans);
    let exporter = &account.exporters[0];
    assert_eq!((exporter.waiting, exporter.in_flight), (0, 0));
    assert_eq!(waves, SOAK.as_secs() / HALF_WAVE.as_secs() / 2);
    // The faults were faults, and what they cost is told.
    assert!(exporter.failed_requests["unavailable"] > 0);
    assert!(exporter.lost["queue_full"] > 0, "{exporter:?}");
    assert_eq!(exporter.lost.len(), 1, "{exporter:?}");
    let kept: u64 = account.ingest.kept.iter().sum();
    assert!(exporter.lost["queue_full"] < kept / 4, "{exporter:?}");
    assert!(offered.refused < offered.requests / 4);
}

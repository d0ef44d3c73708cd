use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tracepipe_config::MemoryLimiterSettings;

use super::*;
use crate::ingest::SampledTrace;
use crate::limiter::MemoryLimiter;

fn limiter() -> MemoryLimiter {
    MemoryLimiter::new(&MemoryLimiterSettings {
        check_interval: Duration::from_secs(1),
        limit_bytes: 1 << 30,
        spike_bytes: 0,
    })
}

/// A trace: its number, how many bytes, all of them the number's last, and how many spans.
type Trace = (u32, usize, u64);

fn bytes((number, length, _): Trace) -> Vec<u8> {
    vec![number as u8; length]
}

fn id(number: u32) -> TraceId {
    let mut id = [1; 16];
    id[..4].copy_from_slice(&number.to_le_bytes());
    TraceId(id)
}

fn released(traces: &[Trace], since: Duration, limiter: &MemoryLimiter) -> SampledTraces {
    let mut spans = Vec::new();
    let mut places = Vec::new();
    for trace in traces {
        let start = spans.len();
        spans.extend(bytes(*trace));
        places.push(SampledTrace {
            trace_id: id(trace.0),
            range: start..spans.len(),
            span_count: trace.2,
            is_whole: true,
        });
    }
    SampledTraces {
        held: limiter.hold(spans.len() as u64),
        spans: spans.into(),
        traces: places,
        since,
    }
}

/// Everything that a batch says of itself agrees, and it is within the bounds, unless one trace alone is larger.
fn check(batch: &SpanBatch, settings: &BatchSettings) {
    assert_eq!(batch.bytes, batch.pieces().map(Bytes::len).sum::<usize>());
    let of_traces: usize = batch.traces.iter().map(|trace| trace.range.len()).sum();
    assert_eq!(batch.bytes, of_traces);
    let spans: u64 = batch.traces.iter().map(|trace| trace.span_count).sum();
    assert_eq!(batch.span_count, spans);
    if batch.traces.len() > 1 {
        let max = settings.send_batch_max_size;
        assert!(max == 0 || spans <= max, "{spans} of {max}");
        assert!(batch.bytes <= BATCH_BYTES_MAX);
        let before_the_last = spans - batch.traces.last().unwrap().span_count;
        let size = settings.send_batch_size;
        assert!(size == 0 || before_the_last < size, "{before_the_last} of {size}");
    }
    // One after the other the pieces are the traces, in their order.
    let whole: Vec<&[u8]> = batch.pieces().map(|piece| &piece[..]).collect();
    let traces: Vec<&[u8]> = batch.traces.iter().map(|trace| batch.spans_of(trace)).collect();
    assert!(whole.concat() == traces.concat());
}

#[test]
fn each_trace_leaves_once_with_its_own_bytes_and_in_its_order() {
    for seed in 0..200 {
        let mut random = StdRng::seed_from_u64(seed);
        let limiter = limiter();
        let settings = BatchSettings {
            timeout: Duration::from_secs(1),
            send_batch_size: [0, 1, 20, 8192][random.random_range(0..4)],
            send_batch_max_size: [0, 20, 35][random.random_range(0..3)],
        };
        let longest = [40, 3_000, 1 << 21][random.random_range(0..3)];
        let mut batcher = Batcher::new(Some(&settings));
        let (mut wanted, mut batches): (Vec<Trace>, Vec<_>) = (Vec::new(), Vec::new());
        for _ in 0..random.random_range(1..8) {
            let traces: Vec<Trace> = (0..random.random_range(1..6))
                .map(|index| {
                    let number = (wanted.len() + index) as u32;
                    (
                        number,
                        random.random_range(1..longest),
                        random.random_range(1..30),
                    )
                })
                .collect();
            wanted.extend(&traces);
            batches.extend(batcher.push(released(&traces, Duration::ZERO, &limiter)));
        }
        batches.extend(batcher.take());
        assert!(batcher.take().is_none());

        batches.iter().for_each(|batch| check(batch, &settings));
        let found = batches
            .iter()
            .flat_map(|batch| batch.traces.iter().map(move |trace| (batch, trace)));
        assert_eq!(found.clone().count(), wanted.len(), "seed {seed}");
        for ((batch, trace), wanted) in found.zip(&wanted) {
            assert_eq!((trace.trace_id, trace.span_count), (id(wanted.0), wanted.2));
            assert!(batch.spans_of(trace) == bytes(*wanted), "seed {seed}");
        }
        // What two batches share is held until both are gone, and no longer.
        let all: usize = wanted.iter().map(|trace| trace.1).sum();
        assert_eq!(limiter.accounted(), all as u64);
        while let Some(batch) = batches.pop() {
            let left: usize = batches.iter().map(|batch| batch.bytes).sum();
            drop(batch);
            assert!(limiter.accounted() >= left as u64, "seed {seed}");
        }
        assert_eq!(limiter.accounted(), 0);
    }
}

#[test]
fn a_batch_is_due_when_the_first_of_its_traces_has_waited_for_the_timeout() {
    let limiter = limiter();
    let settings = BatchSettings {
        timeout: Duration::from_millis(200),
        send_batch_size: 0,
        send_batch_max_size: 0,
    };
    let mut batcher = Batcher::new(Some(&settings));
    assert_eq!(batcher.due(), None);
    for since in [700, 800] {
        let full = batcher.push(released(&[(1, 10, 1)], Duration::from_millis(since), &limiter));
        assert!(full.is_empty());
        // Also of that which it waited to get here.
        assert_eq!(batcher.due(), Some(Duration::from_millis(900)));
    }
    assert_eq!(batcher.take().unwrap().traces.len(), 2);
    assert_eq!(batcher.due(), None);
}

#[test]
fn without_batch_each_trace_leaves_alone_and_at_once() {
    let limiter = limiter();
    let full = Batcher::new(None).push(released(
        &[(1, 10, 3), (2, 20, 1)],
        Duration::from_secs(5),
        &limiter,
    ));
    let spans: Vec<u64> = full.iter().map(|batch| batch.span_count).collect();
    assert_eq!(spans, [3, 1]);
}

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tracepipe_otlp::edit::{ResourceEditOp, Value};
use tracepipe_otlp::metrics::check;

use super::*;
use crate::clock::Clock;
use crate::metrics::channel;
use crate::metrics::testing::{limiter, offer, received, request};

/// A request as it comes out of the channel.
fn came(limiter: &MemoryLimiter, edits: &[ResourceEdit], bytes: &Bytes) -> MetricsRequest {
    let (inlet, mut messages) = channel(limiter, edits.to_vec(), Clock::start());
    offer(&inlet, limiter, bytes).unwrap();
    received(&mut messages)
}

fn settings(send_batch_size: u64, send_batch_max_size: u64) -> BatchSettings {
    BatchSettings {
        timeout: Duration::from_millis(200),
        send_batch_size,
        send_batch_max_size,
    }
}

#[test]
fn whatever_comes_leaves_in_order_in_batches_within_their_bounds() {
    for seed in 0..50 {
        let mut random = StdRng::seed_from_u64(seed);
        let limiter = limiter(1 << 30);
        let settings = settings(
            [0, 1, 10, 40][random.random_range(0..4)],
            [0, 15, 60][random.random_range(0..3)],
        );
        let mut batcher = MetricsBatcher::new(Some(&settings), Vec::new(), limiter.clone());
        let longest = [10, 200_000][random.random_range(0..2)];
        let (mut wanted, mut batches) = (Vec::new(), Vec::new());
        for _ in 0..random.random_range(1..20) {
            let bytes = request(random.random_range(1..20), random.random_range(1..longest));
            batches.extend(batcher.push(came(&limiter, &[], &bytes)));
            wanted.push(bytes);
        }
        batches.extend(batcher.take());
        assert!(batcher.take().is_none());

        let pieces: Vec<&Bytes> = batches.iter().flat_map(|batch| batch.pieces()).collect();
        assert!(pieces.iter().copied().eq(&wanted), "seed {seed}");
        for batch in &batches {
            let whole: Vec<u8> = batch.pieces().flatten().copied().collect();
            let counted = check(&whole).unwrap();
            assert_eq!((counted.points, counted.metrics), (batch.points, batch.metrics));
            assert_eq!(
                (counted.resources, batch.items()),
                (batch.resources, batch.points)
            );
            assert!(batch.bytes() >= whole.len() as u64);
            let is_alone = batch.pieces().len() == 1;
            let max = settings.send_batch_max_size;
            assert!(is_alone || max == 0 || batch.points <= max, "seed {seed}");
            assert!(is_alone || batch.bytes() <= BATCH_BYTES_MAX, "seed {seed}");
        }
        // What lies in batches is in the account as long as they do.
        let all: u64 = batches.iter().map(|batch| batch.bytes()).sum();
        assert_eq!(limiter.accounted(), all);
        drop(batches);
        assert_eq!(limiter.accounted(), 0);
    }
}

#[test]
fn a_batch_is_due_when_its_first_request_has_waited_for_the_timeout() {
    let limiter = limiter(1 << 30);
    let mut batcher = MetricsBatcher::new(Some(&settings(0, 0)), Vec::new(), limiter.clone());
    assert_eq!(batcher.due(), None);
    let mut first = came(&limiter, &[], &request(1, 1));
    first.since = Duration::from_millis(700);
    assert!(batcher.push(first).is_empty());
    assert!(batcher.push(came(&limiter, &[], &request(1, 1))).is_empty());
    assert_eq!(batcher.due(), Some(Duration::from_millis(900)));
    assert_eq!(batcher.take().unwrap().points, 2);
    assert_eq!(batcher.due(), None);
}

#[test]
fn without_batch_each_request_leaves_at_once() {
    let limiter = limiter(1 << 30);
    let mut batcher = MetricsBatcher::new(None, Vec::new(), limiter.clone());
    for points in [3, 1] {
        let full = batcher.push(came(&limiter, &[], &request(points, 1)));
        assert_eq!(
            full.iter().map(|batch| batch.points).collect::<Vec<_>>(),
            [points as u64]
        );
    }
}

#[test]
fn resources_are_edited_within_what_was_reserved() {
    let limiter = limiter(1 << 30);
    let edits = [ResourceEdit {
        key: "k8s.cluster.name".into(),
        op: ResourceEditOp::Upsert(Value::String("c".repeat(500))),
    }];
    let mut batcher = MetricsBatcher::new(None, edits.to_vec(), limiter.clone());
    let bytes = request(3, 10);
    let batch = batcher.push(came(&limiter, &edits, &bytes)).remove(0);
    let mut edited = Vec::new();
    edit_metrics(&bytes, &edits, &mut edited);
    assert!(batch.pieces().eq([&edited]));
    assert_eq!(limiter.accounted(), batch.bytes());
    assert_eq!(batch.bytes(), edited.len() as u64);
}

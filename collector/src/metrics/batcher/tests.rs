use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tracepipe_otlp::edit::{ResourceEditOp, Value};
use tracepipe_otlp::metrics::check;
use tracepipe_otlp::wire::put_bytes;

use super::*;
use crate::clock::Clock;
use crate::metrics::channel;
use crate::metrics::testing::{limiter, offer, push, received, request};

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

/// Each data point in a request of its own, with all that stands around it.
fn points_of(request: &[u8]) -> Vec<Vec<u8>> {
    let one_by_one = PartBounds {
        bytes_max: 0,
        spread_max: usize::MAX,
        around_max: usize::MAX,
        repeated_max: usize::MAX / 2,
    };
    let mut parts = Parts::new(request, one_by_one);
    let mut points = Vec::new();
    while let Some(part) = parts.next_part() {
        points.push(part.to_vec());
    }
    points
}

#[test]
fn a_batch_has_exactly_as_many_data_points_as_it_may_have() {
    for seed in 0..100 {
        let mut random = StdRng::seed_from_u64(seed);
        let limiter = limiter(1 << 30);
        let max = random.random_range(1..50);
        let mut batcher = MetricsBatcher::new(Some(&settings(max, max)), Vec::new(), limiter.clone());
        let (mut wanted, mut batches) = (Vec::new(), Vec::new());
        for _ in 0..random.random_range(1..10) {
            // Requests one behind the other are one of several resources.
            let resources = random.random_range(1..5);
            let bytes: Vec<u8> = (0..resources)
                .flat_map(|_| request(random.random_range(1..60), random.random_range(1..20)))
                .collect();
            wanted.extend_from_slice(&bytes);
            batches.extend(push(&mut batcher, came(&limiter, &[], &bytes.into())));
        }
        assert!(batches.iter().all(|batch| batch.points == max), "seed {seed}");
        batches.extend(batcher.take());
        assert!(batches.iter().all(|batch| batch.points <= max), "seed {seed}");
        let all: Vec<u8> = batches
            .iter()
            .flat_map(|batch| batch.pieces().flatten().copied())
            .collect();
        assert!(
            points_of(&all) == points_of(&wanted),
            "seed {seed}: each once, in order, below what it was below"
        );
        let all: u64 = batches.iter().map(|batch| batch.bytes()).sum();
        assert_eq!(limiter.accounted(), all);
        drop(batches);
        assert_eq!(limiter.accounted(), 0);
    }
}

#[test]
fn a_request_that_cutting_would_make_a_thousand_times_larger_is_lost_in_part_and_counted() {
    let limiter = limiter(1 << 30);
    // Of a resource with an attribute of a megabyte.
    let (mut value, mut attribute, mut attributes, mut resource) = Default::default();
    put_bytes(1, &vec![b'v'; 1 << 20], &mut value);
    put_bytes(1, b"k", &mut attribute);
    put_bytes(2, &value, &mut attribute);
    put_bytes(1, &attribute, &mut attributes);
    put_bytes(1, &attributes, &mut resource);
    let plain = request(1000, 1);
    // Its scope, behind the header of the resource.
    resource.extend_from_slice(&plain[4..]);
    let mut bytes = Vec::new();
    put_bytes(1, &resource, &mut bytes);
    assert_eq!(check(&bytes).map(|counted| counted.points), Ok(1000));

    let mut batcher = MetricsBatcher::new(Some(&settings(1, 1)), Vec::new(), limiter.clone());
    let mut request = batcher.edit(came(&limiter, &[], &bytes.into()));
    let mut rest = request.rest();
    let mut given = 0;
    while let Some(batch) = batcher.fill(&mut rest) {
        given += batch.points;
    }
    assert!((60..100).contains(&given), "{given}");
    assert_eq!(given + rest.lost(), 1000);
    drop(request);
    assert_eq!(limiter.accounted(), 0);
}

#[test]
fn a_piece_is_no_larger_than_a_batch_however_few_data_points_it_has() {
    let limiter = limiter(1 << 30);
    // Below one resource of a megabyte a thousand scopes, each with one data point.
    let (mut attribute, mut attributes, mut resource) = Default::default();
    put_bytes(1, &vec![b'k'; 1 << 20], &mut attribute);
    put_bytes(1, &attribute, &mut attributes);
    put_bytes(1, &attributes, &mut resource);
    let plain = request(1, 1);
    let scope: Vec<u8> = match tracepipe_otlp::wire::records(&plain).next() {
        Some((1, tracepipe_otlp::wire::Payload::Bytes(below), _)) => below.to_vec(),
        other => panic!("{other:?}"),
    };
    resource.extend_from_slice(&scope.repeat(1000));
    let mut bytes = Vec::new();
    put_bytes(1, &resource, &mut bytes);
    assert_eq!(check(&bytes).map(|counted| counted.points), Ok(1000));

    let mut batcher = MetricsBatcher::new(Some(&settings(900, 900)), Vec::new(), limiter.clone());
    let mut request = batcher.edit(came(&limiter, &[], &bytes.into()));
    let mut rest = request.rest();
    let mut given = 0;
    while let Some(batch) = batcher.fill(&mut rest) {
        given += batch.points;
        assert!(batch.bytes() <= BATCH_BYTES_MAX + (2 << 20), "{}", batch.bytes());
    }
    given += batcher.take().map_or(0, |batch| batch.points);
    assert_eq!(given + rest.lost(), 1000);
    drop(request);
    assert_eq!(limiter.accounted(), 0);
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
            batches.extend(push(&mut batcher, came(&limiter, &[], &bytes)));
            wanted.push(bytes);
        }
        batches.extend(batcher.take());
        assert!(batcher.take().is_none());

        let all: Vec<u8> = batches
            .iter()
            .flat_map(|batch| batch.pieces().flatten().copied())
            .collect();
        if settings.send_batch_max_size == 0 {
            assert!(all == wanted.concat(), "seed {seed}: as they came");
        }
        assert_eq!(points_of(&all), points_of(&wanted.concat()), "seed {seed}");
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
            assert!(max == 0 || batch.points <= max, "seed {seed}");
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
    assert!(push(&mut batcher, first).is_empty());
    assert!(push(&mut batcher, came(&limiter, &[], &request(1, 1))).is_empty());
    assert_eq!(batcher.due(), Some(Duration::from_millis(900)));
    assert_eq!(batcher.take().unwrap().points, 2);
    assert_eq!(batcher.due(), None);
}

#[test]
fn without_batch_each_request_leaves_at_once() {
    let limiter = limiter(1 << 30);
    let mut batcher = MetricsBatcher::new(None, Vec::new(), limiter.clone());
    for points in [3, 1] {
        let full = push(&mut batcher, came(&limiter, &[], &request(points, 1)));
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
    let batch = push(&mut batcher, came(&limiter, &edits, &bytes)).remove(0);
    let mut edited = Vec::new();
    edit_metrics(&bytes, &edits, &mut edited);
    assert!(batch.pieces().eq([&edited]));
    assert_eq!(limiter.accounted(), batch.bytes());
    assert_eq!(batch.bytes(), edited.len() as u64);
}

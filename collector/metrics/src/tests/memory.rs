//! What is remembered from one request to the next has a bound.

use opentelemetry_proto::tonic::metrics::v1 as otlp;
use tracepipe_config::RemoteWriteSettings;

use crate::testing::*;
use crate::{DropReason, RemoteWrite};

/// What is asked of a collector with a small limit.
const BYTES: usize = 4 * 1024 * 1024;

/// The largest thing that is remembered although it alone is more than its part: a resource with much in it.
const ONE: usize = 256 * 1024;

fn bench() -> Bench {
    let settings = RemoteWriteSettings {
        target_info: true,
        ..settings()
    };
    let mut bench = Bench::new(&settings);
    bench.remote_write = RemoteWrite::new(&settings).with_bytes_max(BYTES);
    bench
}

/// Sends so many requests, and every point of them has one end. The most bytes that were remembered.
fn send(bench: &mut Bench, requests: u32, points: u64, make: impl Fn(u32) -> otlp::Metric) -> usize {
    let mut most = 0;
    for number in 0..requests {
        let pod = text("service.instance.id", &format!("{number}-{}", "i".repeat(2000)));
        let pod = [service(), vec![pod, text("host.name", "a")]].concat();
        bench.send_raw(&request(pod, vec![make(number)]));
        most = most.max(bench.remote_write.memory_bytes());
    }
    let told = bench.done.points + bench.done.dropped.total();
    assert_eq!(told, u64::from(requests) * points, "{:?}", bench.done);
    most
}

#[test]
fn targets_series_and_labels_without_end_have_a_bound() {
    let mut bench = bench();
    let most = send(&mut bench, 3000, 2, |number| {
        let large = |suffix: &str| otlp::NumberDataPoint {
            attributes: vec![text("k", &format!("{number}{suffix}{}", "v".repeat(20_000)))],
            ..point(NOW, 1.0)
        };
        gauge(&format!("m{number}"), vec![large("a"), large("b")])
    });
    assert!((BYTES / 2..BYTES + ONE).contains(&most), "{most}");
    assert_eq!(
        bench.done.dropped.total(),
        0,
        "what is remembered to save work is forgotten"
    );
    assert!(
        bench.done.target_info_conflicts > 0,
        "targets without room are counted"
    );
}

#[test]
fn streams_of_deltas_without_end_have_a_bound_and_the_rest_is_counted() {
    let mut bench = bench();
    let most = send(&mut bench, 5000, 1, |number| {
        let of_one = otlp::HistogramDataPoint {
            attributes: vec![text("k", &number.to_string())],
            ..buckets(NOW, &[1.0, 2.0, 4.0, 8.0], &[1, 1, 1, 1, 1])
        };
        histogram("h", DELTA, vec![of_one])
    });
    assert!(most < BYTES + ONE, "{most}");
    let full = bench.done.dropped.of(DropReason::StreamsFull);
    assert!(
        full > 0 && full == bench.done.dropped.total(),
        "{:?}",
        bench.done.dropped
    );
    let held = bench.remote_write.memory_bytes();
    assert!(held > BYTES * 7 / 16, "most of it is for them: {held}");
    // Those that have a place keep it.
    let before = bench.done.points;
    bench.now += 10_000;
    let held = otlp::HistogramDataPoint {
        attributes: vec![text("k", "0")],
        ..buckets(NOW + 10_000, &[1.0, 2.0, 4.0, 8.0], &[1, 1, 1, 1, 1])
    };
    let pod = text("service.instance.id", &format!("0-{}", "i".repeat(2000)));
    let pod = [service(), vec![pod, text("host.name", "a")]].concat();
    bench.send_raw(&request(pod, vec![histogram("h", DELTA, vec![held])]));
    assert_eq!(bench.done.points, before + 1);
}

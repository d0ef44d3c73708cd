//! Requests with metrics for tests.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tracepipe_config::{BatchSettings, MemoryLimiterSettings};
use tracepipe_otlp::metrics::check;
use tracepipe_otlp::wire::{put_bytes, put_varint};

use super::{MetricsBatch, MetricsBatcher, MetricsInlet, MetricsMessage, MetricsRequest, NotTaken, channel};
use crate::clock::Clock;
use crate::limiter::MemoryLimiter;

/// A request of one gauge with so many points, each without a time, with a value and an attribute of so many bytes.
pub(crate) fn request(points: usize, attribute_bytes: usize) -> Bytes {
    let point = point(&vec![b'v'; attribute_bytes], None);
    gauge(std::iter::repeat_n(point, points))
}

/// A request of one gauge `up` with so many series `{k="0"}` and on, all of this time.
pub(crate) fn series(count: usize, unix: Duration) -> Bytes {
    let nanos = u64::try_from(unix.as_nanos()).unwrap();
    gauge((0..count).map(|number| point(number.to_string().as_bytes(), Some(nanos))))
}

fn point(attribute_value: &[u8], unix_nanos: Option<u64>) -> Vec<u8> {
    let (mut value, mut attribute, mut point) = (Vec::new(), Vec::new(), Vec::new());
    put_bytes(1, attribute_value, &mut value);
    put_bytes(1, b"k", &mut attribute);
    put_bytes(2, &value, &mut attribute);
    put_bytes(7, &attribute, &mut point);
    if let Some(nanos) = unix_nanos {
        put_varint(3 << 3 | 1, &mut point);
        point.extend(nanos.to_le_bytes());
    }
    put_varint(4 << 3 | 1, &mut point);
    point.extend(1.5_f64.to_le_bytes());
    point
}

fn gauge(points: impl Iterator<Item = Vec<u8>>) -> Bytes {
    let mut gauge = Vec::new();
    points.for_each(|point| put_bytes(1, &point, &mut gauge));
    let mut metric = Vec::new();
    put_bytes(1, b"up", &mut metric);
    put_bytes(5, &gauge, &mut metric);
    within(&within(&within(&metric, 2), 2), 1).into()
}

/// A batch of these requests.
pub(crate) fn batch(limiter: &MemoryLimiter, requests: &[Bytes]) -> Arc<MetricsBatch> {
    let (inlet, mut messages) = channel(limiter, Vec::new(), Clock::start());
    let settings = BatchSettings {
        timeout: Duration::ZERO,
        send_batch_size: 0,
        send_batch_max_size: 0,
    };
    let mut batcher = MetricsBatcher::new(Some(&settings), Vec::new(), limiter.clone());
    for request in requests {
        offer(&inlet, limiter, request).unwrap();
        assert!(push(&mut batcher, received(&mut messages)).is_empty());
    }
    batcher.take().unwrap()
}

/// The batches that a request fills.
pub(crate) fn push(batcher: &mut MetricsBatcher, request: MetricsRequest) -> Vec<Arc<MetricsBatch>> {
    let mut request = batcher.edit(request);
    let mut rest = request.rest();
    let full = std::iter::from_fn(|| batcher.fill(&mut rest)).collect();
    assert_eq!(rest.lost(), 0);
    full
}

fn within(message: &[u8], field: u32) -> Vec<u8> {
    let mut outer = Vec::new();
    put_bytes(field, message, &mut outer);
    outer
}

pub(crate) fn limiter(limit_bytes: u64) -> MemoryLimiter {
    MemoryLimiter::new(&MemoryLimiterSettings {
        check_interval: Duration::from_secs(1),
        limit_bytes,
        spike_bytes: 0,
    })
}

/// Takes a request as a receiver does.
pub(crate) fn offer(inlet: &MetricsInlet, limiter: &MemoryLimiter, request: &Bytes) -> Result<(), NotTaken> {
    let reservation = limiter.try_reserve(request.len() as u64)?;
    let counted = check(request).unwrap_or_else(|error| panic!("{error}"));
    inlet.take(request.clone(), counted, reservation)
}

/// What lies in the channel next.
pub(crate) fn received(messages: &mut mpsc::Receiver<MetricsMessage>) -> MetricsRequest {
    match messages.try_recv() {
        Ok(MetricsMessage::Request(request)) => request,
        other => panic!("no request: {other:?}"),
    }
}

//! Requests with metrics for tests.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tracepipe_config::MemoryLimiterSettings;
use tracepipe_otlp::metrics::check;
use tracepipe_otlp::wire::{put_bytes, put_varint};

use super::{MetricsInlet, MetricsMessage, MetricsRequest, NotTaken};
use crate::limiter::MemoryLimiter;

/// A request of one gauge with so many points, each with a value and an attribute of so many bytes.
pub(crate) fn request(points: usize, attribute_bytes: usize) -> Bytes {
    let (mut value, mut attribute, mut point) = (Vec::new(), Vec::new(), Vec::new());
    put_bytes(1, &vec![b'v'; attribute_bytes], &mut value);
    put_bytes(1, b"k", &mut attribute);
    put_bytes(2, &value, &mut attribute);
    put_bytes(7, &attribute, &mut point);
    put_varint(4 << 3 | 1, &mut point);
    point.extend(1.5_f64.to_le_bytes());
    let mut gauge = Vec::new();
    (0..points).for_each(|_| put_bytes(1, &point, &mut gauge));
    let mut metric = Vec::new();
    put_bytes(1, b"up", &mut metric);
    put_bytes(5, &gauge, &mut metric);
    within(&within(&within(&metric, 2), 2), 1).into()
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
    inlet.take(request.clone(), check(request).unwrap(), reservation)
}

/// What lies in the channel next.
pub(crate) fn received(messages: &mut mpsc::Receiver<MetricsMessage>) -> MetricsRequest {
    match messages.try_recv() {
        Ok(MetricsMessage::Request(request)) => request,
        other => panic!("no request: {other:?}"),
    }
}

use futures_util::FutureExt;
use tracepipe_otlp::edit::{ResourceEditOp, Value};
use tracepipe_otlp::metrics::check;

use super::*;
use crate::metrics::testing::{limiter, offer, received, request};

const LIMIT: u64 = 16 << 20;

#[tokio::test]
async fn a_full_channel_refuses_requests_until_the_owner_has_taken_some() {
    let limiter = limiter(LIMIT);
    let (inlet, mut messages) = channel(&limiter, Vec::new(), Clock::start());
    let request = request(10, 10_000);
    let taken = (0..1_000)
        .take_while(|_| offer(&inlet, &limiter, &request).is_ok())
        .count() as u64;
    let room = LIMIT / CHANNEL_SHARE;
    let each = request.len() as u64 + REQUEST_BYTES;
    assert!(taken * each <= room && (taken + 1) * each > room, "{taken}");
    assert_eq!(offer(&inlet, &limiter, &request), Err(NotTaken::Busy));
    assert_eq!(inlet.account.borrow().accepted, taken * 10);
    // What waits is in the account, and what was refused is not.
    assert_eq!(limiter.accounted(), taken * each);
    // A snapshot finds room all the same, behind all that was taken.
    let snapshot = inlet.snapshot();

    received(&mut messages);
    assert_eq!(offer(&inlet, &limiter, &request), Ok(()));
    for _ in 1..taken {
        received(&mut messages);
    }
    let Ok(MetricsMessage::Snapshot { ingest, reply }) = messages.try_recv() else {
        panic!("the snapshot is not where it was asked for");
    };
    assert_eq!(ingest.accepted, taken * 10);
    reply.send(MetricsAccount::default()).unwrap();
    assert!(snapshot.await.is_ok());
    received(&mut messages);
    assert_eq!(limiter.accounted(), 0);
}

#[test]
fn small_requests_are_bounded_by_their_number() {
    let limiter = limiter(u64::MAX);
    let (inlet, _messages) = channel(&limiter, Vec::new(), Clock::start());
    let request = request(1, 1);
    for _ in 0..CHANNEL_REQUESTS_MAX {
        assert_eq!(offer(&inlet, &limiter, &request), Ok(()));
    }
    assert_eq!(offer(&inlet, &limiter, &request), Err(NotTaken::Busy));
    for _ in 0..CONTROLS_MAX {
        assert_eq!(inlet.snapshot().now_or_never(), None, "there is room for it");
    }
}

#[test]
fn a_request_larger_than_all_room_is_taken_alone() {
    let limiter = limiter(LIMIT);
    let (inlet, mut messages) = channel(&limiter, Vec::new(), Clock::start());
    let large = request(3, 1 << 20);
    assert_eq!(offer(&inlet, &limiter, &large), Ok(()));
    assert_eq!(offer(&inlet, &limiter, &request(1, 1)), Err(NotTaken::Busy));
    received(&mut messages);
    assert_eq!(offer(&inlet, &limiter, &request(1, 1)), Ok(()));
}

#[test]
fn nothing_is_taken_that_there_is_no_memory_for() {
    let limiter = limiter(LIMIT);
    let upsert = ResourceEdit {
        key: "k".into(),
        op: ResourceEditOp::Upsert(Value::String("v".repeat(1000))),
    };
    let (inlet, mut messages) = channel(&limiter, vec![upsert], Clock::start());
    // Each of these empty resources would get an attribute.
    let mut many = [10, 0].repeat(100_000);
    many.extend_from_slice(&request(1, 1));
    assert_eq!(
        offer(&inlet, &limiter, &many.into()),
        Err(NotTaken::OverLimit(OverLimit::Ever))
    );
    assert_eq!((limiter.accounted(), inlet.account.borrow().accepted), (0, 0));
    assert_eq!(offer(&inlet, &limiter, &request(1, 1)), Ok(()));
    assert!(received(&mut messages).reservation.bytes() > 1000);
}

#[test]
fn a_request_does_not_keep_the_room_that_its_body_came_in() {
    let limiter = limiter(LIMIT);
    let (inlet, mut messages) = channel(&limiter, Vec::new(), Clock::start());
    let bytes = request(10, 100);
    let reservation = limiter.try_reserve(1 << 20).unwrap();
    let counted = check(&bytes).unwrap();
    inlet.take(bytes.clone(), counted, reservation).unwrap();
    let request = received(&mut messages);
    assert_eq!(request.bytes, bytes);
    assert_eq!(limiter.accounted(), bytes.len() as u64 + REQUEST_BYTES);
}

#[tokio::test]
async fn without_its_owner_nothing_is_taken_and_the_collector_is_told() {
    let limiter = limiter(LIMIT);
    let (inlet, messages) = channel(&limiter, Vec::new(), Clock::start());
    assert_eq!(inlet.gone().now_or_never(), None);
    drop(messages);
    inlet.gone().await;
    assert_eq!(offer(&inlet, &limiter, &request(1, 1)), Err(NotTaken::Gone));
    assert!(inlet.snapshot().await.is_err());
    inlet.drain().await;
    assert_eq!((limiter.accounted(), inlet.account.borrow().accepted), (0, 0));
}

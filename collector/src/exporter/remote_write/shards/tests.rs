use std::rc::Rc;

use super::*;
use crate::exporter::remote_write::tests::settings;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A sample of a series; each series is of the shard of its number.
fn sample(series: u64, time: i64) -> TranslatedSeries {
    let labels = [&b"\x0a\x08"[..], &series.to_be_bytes()].concat();
    TranslatedSeries::sample(series << 32, Rc::from(labels), 1.0, time)
}

fn shards(change: impl FnOnce(&mut RemoteWriteSettings), bytes_max: u64) -> Shards {
    let mut settings = RemoteWriteSettings {
        shards: 2,
        max_samples_per_send: 10,
        batch_send_deadline: seconds(5),
        ..settings()
    };
    change(&mut settings);
    Shards::new(&settings, bytes_max)
}

fn times(ready: Ready) -> Vec<i64> {
    match ready {
        Ready::Now(taken) => taken.iter().map(TranslatedSeries::timestamp_ms).collect(),
        Ready::At(_) | Ready::Empty | Ready::Over => Vec::new(),
    }
}

#[test]
fn a_shard_goes_when_it_is_full_or_when_its_oldest_sample_has_waited() {
    let mut shards = shards(|_| (), u64::MAX);
    assert!(matches!(shards.take(0, u64::MAX, seconds(0)), Ready::Empty));
    for time in 0..9 {
        shards.push(sample(0, time), seconds(1));
    }
    assert!(matches!(
        shards.take(0, u64::MAX, seconds(1)),
        Ready::At(due) if due == seconds(6)
    ));
    shards.push(sample(0, 9), seconds(2));
    assert_eq!(
        times(shards.take(0, u64::MAX, seconds(2))),
        (0..10).collect::<Vec<_>>()
    );
    shards.push(sample(0, 10), seconds(3));
    assert_eq!(times(shards.take(0, u64::MAX, seconds(7))), [0_i64; 0]);
    assert_eq!(times(shards.take(0, u64::MAX, seconds(8))), [10]);
    assert_eq!(shards.bytes(), 0);
}

#[test]
fn a_request_is_never_larger_than_its_bound_but_for_a_single_sample() {
    let one = sample(0, 1).encoded_len() as u64;
    let mut shards = shards(|_| (), u64::MAX);
    for time in 0..8 {
        shards.push(sample(0, time), seconds(0));
    }
    assert_eq!(times(shards.take(0, 3 * one, seconds(0))), [0, 1, 2]);
    assert_eq!(times(shards.take(0, 4 * one - 1, seconds(0))), [3, 4, 5]);
    assert_eq!(times(shards.take(0, 1, seconds(0))), [6], "it goes alone");
    assert_eq!(
        times(shards.take(0, 2 * one, seconds(0))),
        [0_i64; 0],
        "it waits for others"
    );
}

#[test]
fn the_oldest_samples_of_all_shards_make_room() {
    let one = sample(0, 1).encoded_len() as u64 + SAMPLE_BYTES;
    let mut shards = shards(|_| (), 4 * one);
    for time in 0..6 {
        shards.push(sample(u64::try_from(time).unwrap() % 2, time), seconds(0));
    }
    assert_eq!(shards.make_room(), 2);
    assert_eq!(shards.make_room(), 0);
    assert_eq!(shards.bytes(), 4 * one);
    shards.close();
    assert_eq!(times(shards.take(0, u64::MAX, seconds(0))), [2, 4]);
    assert_eq!(times(shards.take(1, u64::MAX, seconds(0))), [3, 5]);
}

#[test]
fn the_queue_holds_no_more_requests_than_it_may() {
    let mut shards = shards(|settings| settings.queue_size = 2, u64::MAX);
    for time in 0..25 {
        shards.push(sample(0, time), seconds(0));
    }
    assert_eq!(shards.make_room(), 5);
}

#[test]
fn in_a_queue_that_is_half_full_the_oldest_samples_do_not_wait_for_others() {
    let mut shards = shards(|settings| settings.queue_size = 1, u64::MAX);
    for time in 0..5 {
        shards.push(sample(u64::try_from(time).unwrap() % 2, time), seconds(0));
    }
    assert_eq!(shards.urgent(), None);
    shards.push(sample(1, 5), seconds(0));
    assert_eq!(shards.urgent(), Some(0));
    assert_eq!(times(shards.take(1, u64::MAX, seconds(0))), [0_i64; 0]);
    assert_eq!(times(shards.take(0, u64::MAX, seconds(0))), [0, 2, 4]);
    assert_eq!(
        times(shards.take(1, u64::MAX, seconds(0))),
        [0_i64; 0],
        "there is room"
    );
}

#[test]
fn a_closed_shard_gives_what_it_has_and_is_over() {
    let mut shards = shards(|_| (), u64::MAX);
    shards.push(sample(1, 7), seconds(0));
    shards.close();
    assert!(matches!(shards.take(0, u64::MAX, seconds(0)), Ready::Over));
    assert_eq!(times(shards.take(1, u64::MAX, seconds(0))), [7]);
    assert!(matches!(shards.take(1, u64::MAX, seconds(0)), Ready::Over));
}

#[test]
fn what_waits_in_a_shard_can_be_dropped() {
    let mut shards = shards(|_| (), u64::MAX);
    for time in 0..3 {
        shards.push(sample(0, time), seconds(4));
    }
    shards.push(sample(1, 3), seconds(5));
    assert_eq!(shards.oldest_since(), Some(seconds(4)));
    assert_eq!(shards.clear(0), 3);
    assert_eq!(shards.oldest_since(), Some(seconds(5)));
    assert_eq!(shards.clear(1), 1);
    assert_eq!((shards.bytes(), shards.oldest_since()), (0, None));
}

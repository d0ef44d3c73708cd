//! An endpoint that nobody answers at for minutes: what the queue and the age of samples allow is written when it comes
//! back, once and in order, and of the rest each sample is counted.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const SERIES: u64 = 100;
const INTERVAL: Duration = Duration::from_secs(15);

/// Nobody is there from the first minute on, for so long.
fn gone(for_long: Duration) -> impl FnMut(Duration, &Request) -> Answer + Send {
    let gone = MINUTE..MINUTE + for_long;
    move |now, _| {
        if gone.contains(&now) {
            Answer::Refuse
        } else {
            Answer::Take
        }
    }
}

/// Rounds of a sample of each series; the value of a sample is the number of its round.
async fn rounds(world: &mut World, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let now = world.now_ms();
        let samples = (0..SERIES).map(|series| sample_of(series, now, f64::from(number)));
        world.push_all(samples.collect());
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The rounds of which each series has been written, in the order in which they came.
fn written(world: &World) -> Vec<Vec<f64>> {
    let seen = world.receiver.seen();
    (0..SERIES).map(|series| seen.values(series)).collect()
}

fn numbers(range: std::ops::Range<u32>) -> Vec<f64> {
    range.map(f64::from).collect()
}

#[test]
fn half_an_hour_costs_nothing_that_the_queue_has_room_for() {
    story(|| async {
        let mut world = World::new(gone(MINUTE * 30));
        rounds(&mut world, 0..4 * 32).await;
        let account = world.settle().await;
        assert_eq!(account.lost, none_lost());
        for of_series in written(&world) {
            assert_eq!(of_series, numbers(0..4 * 32));
        }
    });
}

#[test]
fn minutes_cost_what_the_queue_has_no_room_for_and_no_more() {
    const HELD: u32 = 10;
    story(|| async {
        let mut world = World::with(
            |settings| (settings.queue_size, settings.max_samples_per_send) = (HELD.into(), SERIES),
            gone(MINUTE * 10),
        );
        rounds(&mut world, 0..4 * 11 - 1).await;
        let account = world.queue.account();
        let held = u64::from(HELD) * SERIES;
        assert_eq!(account.waiting, held, "it is full: {account:?}");
        let lost = account.lost.clone();
        assert_eq!(lost.keys().collect::<Vec<_>>(), [&"queue_full"]);
        tokio::time::sleep(MINUTE).await;
        let account = world.settle().await;
        assert_eq!(account.lost, lost, "nothing is lost once it is back");
        for of_series in written(&world) {
            // What came before, what was on its way then, and the newest that there was room for.
            assert!(of_series.is_sorted_by(|one, next| one < next), "{of_series:?}");
            assert_eq!(of_series[..4], numbers(0..4));
            let newest = &of_series[of_series.len() - HELD as usize..];
            assert_eq!(newest, numbers(4 * 11 - 1 - HELD..4 * 11 - 1));
        }
    });
}

#[test]
fn longer_than_samples_may_be_old_costs_those_that_are_older() {
    story(|| async {
        let mut world = World::with(
            |settings| settings.sample_age_limit = MINUTE * 5,
            gone(MINUTE * 20),
        );
        rounds(&mut world, 0..4 * 22).await;
        let account = world.settle().await;
        assert_eq!(account.lost.keys().collect::<Vec<_>>(), [&"age_limit"]);
        for of_series in written(&world) {
            // It is back at round 84; a pause between attempts may be over ten seconds later.
            let (before, after) = of_series.split_at(4);
            assert_eq!(before, numbers(0..4));
            let first = after[0] as u32;
            assert!((4 * 16..=4 * 16 + 2).contains(&first), "{first}");
            assert_eq!(after, numbers(first..4 * 22));
        }
    });
}

//! All faults in any mixture.

use super::*;

struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// What fails, in its share of the requests.
fn fault(random: &mut Random, request: &Request, bytes_max: usize) -> Answer {
    match random.below(16) {
        0 => Answer::Status(503),
        1 => Answer::Status(429),
        2 => {
            let pause = random.below(4).to_string();
            Answer::Full(429, vec![("retry-after", pause)], "slow down")
        }
        3 => Answer::Refuse,
        4 => Answer::Hang,
        5 => Answer::Lose,
        6 => Answer::StoreAndFail(500),
        7 => Answer::Status(403),
        8 => Answer::Status(404),
        9 => Answer::Status(408),
        10 => Answer::Full(503, vec![("retry-after", "nonsense".to_owned())], "\u{0}"),
        // The receiver takes none so large; now and then.
        _ if request.bytes > bytes_max => Answer::Status(413),
        _ => Answer::Take,
    }
}

/// Samples of a few series, several of each in a request, of which some are wrong, by way of a receiver that fails as
/// often as `share` of sixteen says. Nothing but what is wrong is lost, nothing is written twice or out of order: the
/// receiver would refuse that.
fn mixture(seed: u64) {
    story(|| async move {
        let mut random = Random::new(seed);
        let (share, shards, series) = (random.below(15), 1 + random.below(6), 1 + random.below(60));
        let samples_max = 1 + random.below(200);
        let bytes_max = usize::try_from(2_000 + random.below(20_000)).unwrap();
        let mut wrong_of = random.below(50);
        if seed.is_multiple_of(3) {
            wrong_of = 0;
        }
        let mut of_script = Random::new(!seed);
        let mut world = World::with(
            |settings| {
                settings.shards = shards;
                settings.max_samples_per_send = samples_max;
                settings.timeout = seconds(5);
                // Nothing grows too old.
                settings.sample_age_limit = seconds(1_000_000);
            },
            move |_, request| {
                if of_script.below(16) < share {
                    fault(&mut of_script, request, bytes_max)
                } else {
                    Answer::Take
                }
            },
        );
        let mut wrong = 0;
        let mut time = 0;
        for _ in 0..40 {
            let mut samples = Vec::new();
            for _ in 0..random.below(4) {
                time += 1;
                for number in 0..series {
                    let is_wrong = wrong_of > 0 && random.below(wrong_of * 40) == 0;
                    wrong += u64::from(is_wrong);
                    let value = if is_wrong { WRONG } else { f64::from(time) };
                    samples.push(sample_of(number, world.now_ms() + i64::from(time), value));
                }
            }
            world.push_all(samples);
            tokio::time::sleep(Duration::from_millis(random.below(4000))).await;
        }
        let account = world.settle().await;
        let expected = match wrong {
            0 => none_lost(),
            _ => BTreeMap::from([("rejected_too_new", wrong)]),
        };
        assert_eq!(account.lost, expected, "seed {seed}");
    });
}

#[test]
fn whatever_fails_each_sample_is_written_once_in_order_or_counted() {
    for seed in 0..100 {
        mixture(seed);
    }
}

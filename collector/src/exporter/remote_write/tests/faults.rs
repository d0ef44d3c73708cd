//! One fault at a time.

use std::sync::Mutex;
use std::time::SystemTime;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// A fault that lasts from the tenth second for so long.
fn outage(for_long: Duration, answer: Answer) -> impl FnMut(Duration, &Request) -> Answer + Send {
    let outage = seconds(10)..seconds(10) + for_long;
    move |now, _| {
        if outage.contains(&now) {
            answer.clone()
        } else {
            Answer::Take
        }
    }
}

fn retry_after(status: u16, value: &str) -> Answer {
    Answer::Full(status, vec![("retry-after", value.to_owned())], "slow down")
}

fn http_date(time: SystemTime) -> String {
    DateTime::from(time).fmt(Format::HttpDate).unwrap()
}

#[test]
fn what_passes_in_minutes_costs_no_sample() {
    for (answer, ended) in [
        (Answer::Status(500), Ended::Status(500)),
        (Answer::Status(503), Ended::Status(503)),
        (Answer::Status(404), Ended::Status(404)),
        (Answer::Status(408), Ended::Status(408)),
        (Answer::Status(429), Ended::Status(429)),
        (Answer::Status(403), Ended::Status(403)),
        (Answer::Status(302), Ended::Status(302)),
        (Answer::Refuse, Ended::Connection),
        (Answer::Hang, Ended::Timeout),
        (Answer::Lose, Ended::Connection),
        (Answer::StoreAndFail(502), Ended::Status(502)),
    ] {
        story(|| async {
            let mut world = World::new(outage(MINUTE * 7, answer.clone()));
            world.feed(500, seconds(15), MINUTE * 8).await;
            tokio::time::sleep(MINUTE).await;
            let account = world.queue.account();
            assert_eq!(
                account.waiting + account.in_flight,
                0,
                "it has caught up: {account:?}"
            );
            assert!(account.failing.is_none(), "{account:?}");
            let account = world.settle().await;
            assert_eq!(
                (account.written, account.lost),
                (500 * 32, none_lost()),
                "{answer:?}"
            );
            let failed = account.requests[&ended];
            // Seven minutes, five shards, pauses of up to ten seconds, on average five.
            assert!((5..=600).contains(&failed), "{answer:?}: {failed} failed");
            assert_eq!(account.retries, failed);
        });
    }
}

#[test]
fn while_nothing_is_taken_the_account_says_since_when_and_why() {
    story(|| async {
        let mut world = World::new(|now, _| {
            let code = vec![("x-amzn-errortype", "AccessDeniedException:http://aws".to_owned())];
            if now < MINUTE {
                Answer::Full(403, code, "no")
            } else {
                Answer::Take
            }
        });
        world.push(1);
        tokio::time::sleep(seconds(30)).await;
        let account = world.queue.account();
        let failing = account.failing.unwrap();
        assert_eq!(
            (failing.reason, &*failing.code),
            ("denied", "AccessDeniedException")
        );
        let said: Vec<_> = account.backend_errors.iter().collect();
        assert_eq!(said[0].1, "AccessDeniedException");
        assert_eq!(account.in_flight, 1);
        let account = world.settle().await;
        assert!(account.failing.is_none());
    });
}

#[test]
fn the_lag_is_that_of_samples_that_have_come_to_no_end_whatever_times_they_have() {
    story(|| async {
        let mut world = World::new(outage(MINUTE, Answer::Status(503)));
        let now = world.now_ms();
        // An application whose clock is ahead: the receiver does not take it.
        world.push_all(vec![sample_of(1, now + 540_000, WRONG), sample(2, now)]);
        tokio::time::sleep(seconds(12)).await;
        assert_eq!(world.queue.account().lag, Duration::ZERO);
        world.push(5);
        tokio::time::sleep(seconds(10)).await;
        // They are in requests that are not taken; these here wait.
        world.push(5);
        tokio::time::sleep(seconds(20)).await;
        let lag = world.queue.account().lag;
        assert!((seconds(30)..seconds(31)).contains(&lag), "{lag:?}");
        tokio::time::sleep(MINUTE).await;
        assert_eq!(world.queue.account().lag, Duration::ZERO);
        world.settle().await;
    });
}

#[test]
fn a_receiver_that_says_when_to_come_again_is_left_alone_until_then() {
    let here = || SystemTime::UNIX_EPOCH + Clock::unix_now();
    for status in [429, 503] {
        for is_date in [false, true] {
            story(|| async {
                let started = here();
                let mut world = World::new(move |now, _| {
                    if now < seconds(10) {
                        return Answer::Take;
                    }
                    if now > seconds(130) {
                        return Answer::Take;
                    }
                    let again = match is_date {
                        // Dates have no fractions.
                        true => http_date(started + seconds(131)),
                        false => "120".to_owned(),
                    };
                    retry_after(status, &again)
                });
                world.feed(500, seconds(1), seconds(150)).await;
                let account = world.settle().await;
                assert_eq!(account.lost, none_lost());
                let seen = world.receiver.seen();
                let meanwhile = seen
                    .requests
                    .iter()
                    .filter(|request| request.at > seconds(12) && request.at < seconds(125));
                assert_eq!(meanwhile.count(), 0);
                // One for each shard that was on its way.
                assert!(account.requests[&Ended::Status(status)] <= 10, "{account:?}");
            });
        }
    }
}

#[test]
fn a_receiver_that_takes_some_requests_a_second_gets_no_more_at_a_time_than_it_takes() {
    story(|| async {
        // Two in each second.
        let mut taken: (u64, u32) = (0, 0);
        let mut world = World::new(move |now, _| {
            if taken.0 != now.as_secs() {
                taken = (now.as_secs(), 0);
            }
            taken.1 += 1;
            if taken.1 > 2 {
                Answer::Status(429)
            } else {
                Answer::Take
            }
        });
        world.push(40_000);
        tokio::time::sleep(seconds(6)).await;
        assert!(world.queue.account().shards_allowed < 5);
        tokio::time::sleep(seconds(60)).await;
        let account = world.queue.account();
        assert_eq!(account.written, 40_000, "{account:?}");
        let account = world.settle().await;
        assert_eq!(account.lost, none_lost());
        assert!(account.requests[&Ended::Status(429)] < 100, "{account:?}");
    });
}

#[test]
fn one_wrong_sample_costs_one_sample() {
    for wrong in [0, 1, 777, 1998, 1999] {
        story(|| async {
            let mut world = World::with(|settings| settings.shards = 1, |_, _| Answer::Take);
            let now = world.now_ms();
            let value = |number| if number == wrong { WRONG } else { 1.0 };
            world.push_all(
                (0..2000)
                    .map(|number| sample_of(number, now, value(number)))
                    .collect(),
            );
            let account = world.settle().await;
            assert_eq!(account.written, 1999);
            assert_eq!(account.lost, BTreeMap::from([("rejected_too_new", 1)]));
            let requests: u64 = account.requests.values().sum();
            assert!(requests <= 1 + 24, "{wrong}: {requests}");
            assert!((10..=11).contains(&account.halvings), "{account:?}");
            assert_eq!(
                account.failed_requests,
                BTreeMap::from([("rejected", account.requests[&Ended::Status(400)])])
            );
        });
    }
}

#[test]
fn a_request_that_is_wrong_all_through_costs_few_requests_and_holds_up_nothing() {
    story(|| async {
        let mut world = World::with(|settings| settings.shards = 1, |_, _| Answer::Take);
        let now = world.now_ms();
        world.push_all((0..2000).map(|number| sample_of(number, now, WRONG)).collect());
        world.push_all((0..2000).map(|number| sample(number, now + 1)).collect());
        let account = world.settle().await;
        assert_eq!(account.written, 2000);
        assert_eq!(account.lost, BTreeMap::from([("rejected_too_new", 2000)]));
        assert!(account.requests[&Ended::Status(400)] <= 1 + 36, "{account:?}");
        assert!(account.failing.is_none(), "it answers");
    });
}

#[test]
fn series_that_are_never_taken_are_found_once_and_cost_their_neighbours_nothing_afterwards() {
    story(|| async {
        let mut world = World::with(|settings| settings.shards = 1, |_, _| Answer::Take);
        let mut before = RemoteWriteAccount::default();
        for round in 0..12 {
            let now = world.now_ms();
            let sample = |number| match number % 40 {
                7 => unnameable(number, now),
                _ => sample(number, now),
            };
            world.push_all((0..2000).map(sample).collect());
            tokio::time::sleep(MINUTE / 2).await;
            let account = world.queue.account();
            let requests = |account: &RemoteWriteAccount| account.requests.values().sum::<u64>();
            if round >= 3 {
                assert_eq!(account.written - before.written, 1950, "{round}: {account:?}");
                assert_eq!(requests(&account) - requests(&before), 1, "{round}: {account:?}");
            }
            before = account;
        }
        assert_eq!(
            before.lost.keys().collect::<Vec<_>>(),
            [&"rejected_label_value_too_long"]
        );
        // A limit may have been raised.
        tokio::time::sleep(MINUTE * 10).await;
        let refused = before.requests[&Ended::Status(400)];
        let now = world.now_ms();
        world.push_all(vec![unnameable(7, now)]);
        let account = world.settle().await;
        assert_eq!(account.requests[&Ended::Status(400)], refused + 1);
    });
}

#[test]
fn without_halving_a_wrong_sample_costs_its_request() {
    story(|| async {
        let mut world = World::with(
            |settings| (settings.shards, settings.bisect) = (1, false),
            |_, _| Answer::Take,
        );
        let now = world.now_ms();
        world.push_all(vec![sample_of(1, now, WRONG), sample(2, now)]);
        let account = world.settle().await;
        assert_eq!(account.lost, BTreeMap::from([("rejected_too_new", 2)]));
    });
}

#[test]
fn a_receiver_of_small_requests_gets_small_requests() {
    story(|| async {
        let mut world = World::new(|_, request| {
            if request.bytes > 20_000 {
                Answer::Status(413)
            } else {
                Answer::Take
            }
        });
        world.push(20_000);
        tokio::time::sleep(MINUTE).await;
        let account = world.queue.account();
        assert_eq!((account.written, account.lost), (20_000, none_lost()));
        assert!(
            account.request_bytes_max <= 20_000,
            "{}",
            account.request_bytes_max
        );
        let refused = account.requests[&Ended::Status(413)];
        assert!(refused <= 5 * 3, "each shard learns it at most: {refused}");
        world.push(20_000);
        let account = world.settle().await;
        assert_eq!(account.written, 40_000);
        assert_eq!(account.requests[&Ended::Status(413)], refused, "it is remembered");
    });
}

#[test]
fn an_answer_that_will_not_change_costs_the_request_and_is_not_asked_for_again() {
    story(|| async {
        let mut world = World::new(outage(seconds(1), Answer::Status(415)));
        tokio::time::sleep(seconds(9)).await;
        world.push(100);
        tokio::time::sleep(seconds(5)).await;
        assert!(world.queue.account().failing.is_some());
        world.push(100);
        let account = world.settle().await;
        assert_eq!(
            (account.written, account.lost),
            (100, BTreeMap::from([("refused", 100)]))
        );
        assert_eq!(account.requests[&Ended::Status(415)], 5);
        assert_eq!(account.retries, 0);
    });
}

#[test]
fn samples_that_no_receiver_takes_any_more_are_given_up_and_no_others() {
    story(|| async {
        let mut world = World::with(
            |settings| settings.sample_age_limit = MINUTE * 10,
            outage(MINUTE * 30, Answer::Status(503)),
        );
        world.feed(100, seconds(30), MINUTE * 35).await;
        let account = world.settle().await;
        // Of the half hour the first twenty minutes.
        let lost = account.lost["age_limit"];
        assert_eq!(account.lost.len(), 1);
        assert!((19 * 200..=21 * 200).contains(&lost), "{lost}");
    });
}

#[test]
fn a_user_may_ask_for_a_single_attempt_or_for_an_end_of_attempts() {
    story(|| async {
        let mut world = World::with(
            |settings| settings.retry.enabled = false,
            outage(seconds(1), Answer::Status(503)),
        );
        tokio::time::sleep(seconds(9)).await;
        world.push(5);
        tokio::time::sleep(seconds(3)).await;
        let account = world.settle().await;
        assert_eq!(account.lost, BTreeMap::from([("retries_exhausted", 5)]));
    });
    story(|| async {
        let mut world = World::with(
            |settings| settings.retry.max_elapsed_time = MINUTE,
            |now, _| {
                if now < seconds(150) {
                    Answer::Refuse
                } else {
                    Answer::Take
                }
            },
        );
        world.push(5);
        tokio::time::sleep(MINUTE * 2).await;
        world.push(5);
        tokio::time::sleep(MINUTE * 2).await;
        let account = world.settle().await;
        assert_eq!(
            (account.written, account.lost),
            (5, BTreeMap::from([("retries_exhausted", 5)]))
        );
    });
}

#[test]
fn a_sample_of_which_the_answer_was_lost_is_written_and_not_lost() {
    story(|| async {
        let mut lost = false;
        let mut world = World::with(
            |settings| settings.shards = 1,
            move |_, _| {
                if std::mem::replace(&mut lost, true) {
                    Answer::Take
                } else {
                    Answer::Lose
                }
            },
        );
        let now = world.now_ms();
        // Of one series the later samples make the receiver refuse the earlier ones when they come again.
        world.push_all(
            (0..100)
                .map(|number| sample(number % 10, now + i64::try_from(number).unwrap()))
                .collect(),
        );
        let account = world.settle().await;
        assert!(account.presumed_written >= 90 - 1, "{account:?}");
        assert_eq!((account.written, account.lost), (100, none_lost()));
    });
}

/// What is lost when a first attempt fails so, and the receiver then says this of each sample.
fn lost_after(first: Answer, said: &'static str) -> BTreeMap<&'static str, u64> {
    let mut lost = BTreeMap::new();
    story(|| async {
        let mut world = World::with(
            |settings| settings.shards = 1,
            move |_, request| match request.number {
                0 => first.clone(),
                _ => Answer::Full(400, Vec::new(), said),
            },
        );
        world.push(10);
        let account = world.settle().await;
        assert_eq!(account.presumed_written, 0);
        lost = account.lost;
    });
    lost
}

#[test]
fn a_sample_of_a_request_that_never_went_out_is_lost_when_it_is_refused() {
    for said in ["out of order sample", "duplicate sample for timestamp"] {
        let lost = lost_after(Answer::Refuse, said);
        assert_eq!(lost.values().sum::<u64>(), 10, "{said}: {lost:?}");
    }
}

#[test]
fn a_sample_that_is_too_old_is_lost_whatever_became_of_the_first_attempt() {
    for said in ["greater_than_max_sample_age", "out of bounds", "too old sample"] {
        let lost = lost_after(Answer::Hang, said);
        assert_eq!(lost, BTreeMap::from([("rejected_too_old", 10)]), "{said}");
    }
}

#[test]
fn a_receiver_that_names_a_time_is_left_alone_by_requests_that_are_tried_once() {
    story(|| async {
        let mut world = World::with(
            |settings| (settings.shards, settings.retry.enabled) = (1, false),
            |now, _| match now < MINUTE {
                true => retry_after(429, "60"),
                false => Answer::Take,
            },
        );
        world.feed(5, seconds(5), MINUTE).await;
        let account = world.settle().await;
        assert_eq!(account.requests[&Ended::Status(429)], 1);
        assert_eq!(account.lost, BTreeMap::from([("retries_exhausted", 5)]));
    });
}

#[test]
fn metadata_does_not_hide_that_no_samples_are_taken_and_says_nothing_of_them() {
    for samples_fail in [true, false] {
        story(|| async {
            let mut world = World::new(move |now, request| {
                if now < MINUTE && samples_fail == (request.samples > 0) {
                    Answer::Status(429)
                } else {
                    Answer::Take
                }
            });
            world.push(5);
            tokio::time::sleep(seconds(5)).await;
            for _ in 0..300 {
                world.queue.push_metadata(receiver::metadata("up"));
                tokio::time::sleep(Duration::from_millis(100)).await;
                let failing = world.queue.account().failing;
                assert_eq!(failing.is_some(), samples_fail, "{failing:?}");
            }
            let account = world.settle().await;
            assert!(account.failed_requests["throttled"] > 0, "{account:?}");
            assert_eq!((account.written, account.lost), (5, none_lost()));
        });
    }
}

#[test]
fn a_panic_costs_its_request_alone() {
    story(|| async {
        let mut world = World::with(
            |settings| settings.shards = 1,
            |_, request| {
                if request.number == 0 {
                    Answer::Panic
                } else {
                    Answer::Take
                }
            },
        );
        world.push(10);
        tokio::time::sleep(seconds(5)).await;
        world.push(20);
        let account = world.settle().await;
        assert_eq!(
            (account.written, account.lost),
            (20, BTreeMap::from([("abandoned", 10)]))
        );
    });
}

#[test]
fn metadata_goes_beside_the_samples_and_is_not_sent_for_ever() {
    story(|| async {
        let mut world = World::new(|_, request| {
            if request.samples == 0 && request.number < 8 {
                Answer::Status(503)
            } else {
                Answer::Take
            }
        });
        for _ in 0..4 {
            world.queue.push_metadata(receiver::metadata("up"));
            world.push(5);
            tokio::time::sleep(seconds(30)).await;
        }
        let account = world.settle().await;
        assert_eq!(account.written, 20);
        assert!(
            account.metadata_written >= 2 && account.metadata_lost >= 1,
            "{account:?}"
        );
        assert_eq!(account.metadata_written + account.metadata_lost, 4);
    });
}

#[test]
fn at_the_end_all_goes_at_once_and_what_is_left_then_is_counted() {
    story(|| async {
        // A receiver that wants to be left alone is asked nevertheless: there is no later.
        let mut world = World::new(|now, _| {
            if now < seconds(12) {
                retry_after(429, "300")
            } else {
                Answer::Take
            }
        });
        world.push(100);
        tokio::time::sleep(seconds(10)).await;
        world.push(100);
        let before = world.clock.now();
        let account = world.settle_within(seconds(8)).await;
        assert_eq!((account.written, account.lost), (200, none_lost()));
        assert!(world.clock.now() - before < seconds(4));
    });
    story(|| async {
        let mut world = World::new(outage(MINUTE * 100, Answer::Hang));
        world.feed(100, seconds(1), seconds(20)).await;
        let before = world.clock.now();
        let account = world.settle_within(seconds(8)).await;
        let took = world.clock.now() - before;
        assert!((seconds(8)..seconds(9)).contains(&took), "{took:?}");
        assert_eq!(account.lost.keys().collect::<Vec<_>>(), [&"shutdown"]);
        assert!(account.written >= 800, "{account:?}");
    });
}

#[test]
fn an_owner_that_ends_the_tasks_itself_still_gets_a_true_account() {
    story(|| async {
        let mut world = World::new(|_, _| Answer::Hang);
        world.feed(100, seconds(1), seconds(10)).await;
        world.tasks.shutdown().await;
        world.queue.abandon();
        let account = world.queue.account();
        assert_eq!((account.waiting, account.in_flight, account.written), (0, 0, 0));
        assert_eq!(account.lost.values().sum::<u64>(), 1000);
        assert_eq!(world.limiter.accounted(), 0);
    });
}

// === the signature ===

/// A receiver whose clock is off, which knows only some sessions.
fn signed(
    is_ahead: bool,
    off: Duration,
    knows: impl Fn(Duration, &str) -> bool + Send + 'static,
) -> Receiver {
    let started = SystemTime::UNIX_EPOCH + Clock::unix_now();
    Receiver::new(move |now, request| {
        let here = started + now;
        let theirs = if is_ahead { here + off } else { here - off };
        let fault = |code: &str| {
            let headers = vec![("date", http_date(theirs)), ("x-amzn-errortype", code.to_owned())];
            Answer::Full(403, headers, "secrets may stand here")
        };
        let Some(date) = request.header("x-amz-date") else {
            return fault("MissingAuthenticationTokenException");
        };
        // 20261122T034414Z
        let date = format!(
            "{}-{}-{}T{}:{}:{}Z",
            &date[..4],
            &date[4..6],
            &date[6..8],
            &date[9..11],
            &date[11..13],
            &date[13..15]
        );
        let date = DateTime::from_str(&date, Format::DateTime).unwrap();
        let date = SystemTime::try_from(date).unwrap();
        let apart = date
            .duration_since(theirs)
            .unwrap_or_else(|error| error.duration());
        if apart > MINUTE * 5 {
            return fault("InvalidSignatureException");
        }
        let token = request.header("x-amz-security-token").unwrap();
        if !knows(now, token) {
            return fault("ExpiredTokenException");
        }
        assert!(
            request
                .header("authorization")
                .unwrap()
                .contains("/eu-west-1/aps/aws4_request")
        );
        Answer::Take
    })
}

fn one_shard() -> RemoteWriteSettings {
    RemoteWriteSettings {
        shards: 1,
        ..settings()
    }
}

#[test]
fn a_wrong_clock_costs_one_request() {
    for is_ahead in [false, true] {
        story(|| async {
            let receiver = signed(is_ahead, MINUTE * 60, |_, _| true);
            let mut world = World::build(&one_shard(), u64::MAX, Some(Source::shared()), receiver);
            for _ in 0..20 {
                world.push(10);
                tokio::time::sleep(seconds(30)).await;
            }
            let account = world.settle().await;
            assert_eq!((account.written, account.lost), (200, none_lost()));
            assert_eq!(account.requests[&Ended::Status(403)], 1);
            let seen = world.receiver.seen();
            let again = seen.requests[1].at - seen.requests[0].at;
            assert!(
                again < Duration::from_millis(50),
                "it is sent again at once: {again:?}"
            );
            assert_eq!(seen.requests[1].header("x-amz-security-token"), Some("token-0"));
        });
    }
}

#[test]
fn a_session_that_has_expired_is_renewed_at_once_and_costs_one_request() {
    story(|| async {
        let receiver = signed(true, Duration::ZERO, |now, token| {
            now < MINUTE || token == "token-1"
        });
        let mut world = World::build(&one_shard(), u64::MAX, Some(Source::shared()), receiver);
        for _ in 0..10 {
            world.push(10);
            tokio::time::sleep(seconds(15)).await;
        }
        let account = world.settle().await;
        assert_eq!((account.written, account.lost), (100, none_lost()));
        assert_eq!(account.requests[&Ended::Status(403)], 1);
        assert_eq!(account.failed_requests, BTreeMap::from([("denied", 1)]));
    });
}

#[test]
fn a_role_that_is_repaired_in_minutes_loses_nothing() {
    story(|| async {
        let receiver = signed(true, Duration::ZERO, |now, _| now > MINUTE * 20);
        let mut world = World::build(&settings(), u64::MAX, Some(Source::shared()), receiver);
        world.feed(500, seconds(15), MINUTE * 21).await;
        let account = world.settle().await;
        assert!(
            account.requests[&Ended::Status(403)] < 20 * 60 * 5 / 4,
            "{account:?}"
        );
        assert_eq!((account.written, account.lost), (500 * 84, none_lost()));
    });
}

/// Fails until it is told otherwise.
#[derive(Debug)]
struct Broken(Arc<Mutex<bool>>);

impl ProvideCredentials for Broken {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(if *self.0.lock().unwrap() {
            Err(provider::error::CredentialsError::not_loaded("no role"))
        } else {
            Ok(Credentials::for_tests())
        })
    }
}

#[test]
fn without_credentials_nothing_is_sent_and_nothing_is_lost() {
    story(|| async {
        let is_broken = Arc::new(Mutex::new(true));
        let source = SharedCredentialsProvider::new(Broken(Arc::clone(&is_broken)));
        let receiver = Receiver::new(|_, _| Answer::Take);
        let mut world = World::build(&settings(), u64::MAX, Some(source), receiver);
        world.feed(100, seconds(10), MINUTE * 5).await;
        let account = world.queue.account();
        assert_eq!(account.written, 0);
        assert!(account.requests[&Ended::Credentials] > 0);
        assert_eq!(account.failing.unwrap().reason, "credentials");
        assert!(world.receiver.seen().requests.is_empty());
        *is_broken.lock().unwrap() = false;
        tokio::time::sleep(MINUTE * 2).await;
        let account = world.settle().await;
        assert_eq!((account.written, account.lost), (3000, none_lost()));
    });
}

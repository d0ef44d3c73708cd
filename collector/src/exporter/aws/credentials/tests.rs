//! Credentials whose source fails, in virtual time.

use aws_sdk_xray::config::SharedCredentialsProvider;

use super::*;

/// What the source does when it is asked.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// Credentials that are valid for so long.
    Give(Duration),
    /// Credentials without an end.
    GiveForEver,
    Fail,
    Hang,
    Panic,
}

type Script = Box<dyn Fn(Duration, u64) -> Answer + Send + Sync>;

/// A source of credentials; the access key's id is the number of the call.
struct Source {
    script: Script,
    calls: Arc<Mutex<Vec<Duration>>>,
    clock: Clock,
    aws: Arc<AwsClock>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

impl Source {
    async fn answer(&self) -> provider::Result {
        let now = self.clock.now();
        let number = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(now);
            calls.len() as u64
        };
        let credentials = |end| Credentials::new(number.to_string(), "secret", None, end, "test");
        let answer = (self.script)(now, number);
        tokio::time::sleep(Duration::from_millis(50)).await;
        match answer {
            Answer::Give(valid) => Ok(credentials(Some(self.aws.now() + valid))),
            Answer::GiveForEver => Ok(credentials(None)),
            Answer::Fail => Err(CredentialsError::provider_error(std::io::Error::from(
                std::io::ErrorKind::NotFound,
            ))),
            Answer::Hang => std::future::pending().await,
            Answer::Panic => panic!("a fault of the source"),
        }
    }
}

impl ProvideCredentials for Source {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.answer())
    }
}

struct World {
    credentials: EarlyCredentials,
    calls: Arc<Mutex<Vec<Duration>>>,
    clock: Clock,
    aws: Arc<AwsClock>,
}

impl World {
    fn new(script: impl Fn(Duration, u64) -> Answer + Send + Sync + 'static) -> Self {
        let clock = Clock::start();
        let aws = Arc::new(AwsClock::new(clock));
        let calls = Arc::default();
        let source = Source {
            script: Box::new(script),
            calls: Arc::clone(&calls),
            clock,
            aws: Arc::clone(&aws),
        };
        Self {
            credentials: EarlyCredentials::new(
                SharedCredentialsProvider::new(source),
                clock,
                Arc::clone(&aws),
            ),
            calls,
            clock,
            aws,
        }
    }

    /// Which credentials a request gets, and how long it waits for them.
    async fn ask(&self) -> (Option<u64>, Duration) {
        let before = self.clock.now();
        let answer = self.credentials.provide_credentials().await;
        if let Ok(credentials) = &answer {
            assert!(credentials.expiry().is_none_or(|end| end > self.aws.now()));
        }
        let number = answer
            .ok()
            .map(|credentials| credentials.access_key_id().parse().unwrap());
        (number, self.clock.now() - before)
    }

    /// A request every second. How many got no credentials; none waits when it gets some.
    async fn ask_until(&self, end: Duration) -> u64 {
        let mut without = 0;
        while self.clock.now() < end {
            let (number, waited) = self.ask().await;
            assert!(waited <= WAIT_MAX);
            match number {
                Some(_) => assert!(waited < PAUSE_LONGEST_WITHOUT * 2, "{waited:?}"),
                None => without += 1,
            }
            tokio::time::sleep(seconds(1)).await;
        }
        without
    }

    fn calls(&self) -> Vec<Duration> {
        self.calls.lock().unwrap().clone()
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn they_are_fetched_anew_minutes_early_and_no_request_waits_for_it() {
    let world = World::new(|_, _| Answer::Give(HOUR));
    assert_eq!(world.ask().await.0, Some(1));
    while world.clock.now() < HOUR * 5 {
        let (number, waited) = world.ask().await;
        assert!(number.is_some() && waited.is_zero());
        tokio::time::sleep(seconds(1)).await;
    }
    for pair in world.calls().windows(2) {
        let pause = pair[1] - pair[0];
        assert!(
            (HOUR - EARLY * 3 / 2..=HOUR - EARLY + seconds(1)).contains(&pause),
            "{pause:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn they_are_kept_fresh_while_nobody_asks() {
    let world = World::new(|_, _| Answer::Give(HOUR));
    assert_eq!(world.ask().await.0, Some(1));
    tokio::time::sleep(HOUR * 3).await;
    let (number, waited) = world.ask().await;
    assert!(number.unwrap() >= 3 && waited.is_zero());
}

#[tokio::test(start_paused = true)]
async fn an_outage_shorter_than_their_rest_is_not_noticed() {
    for fault in [Answer::Fail, Answer::Hang] {
        // They would be fetched anew at 52.5 to 55 minutes. An attempt that hangs and the pause after it take some minutes.
        let outage = seconds(50 * 60)..seconds(56 * 60);
        let world = World::new(move |now, _| {
            if outage.contains(&now) {
                fault
            } else {
                Answer::Give(HOUR)
            }
        });
        assert_eq!(world.ask().await.0, Some(1));
        while world.clock.now() < HOUR * 2 {
            let (number, waited) = world.ask().await;
            assert!(number.is_some() && waited.is_zero(), "{fault:?}");
            tokio::time::sleep(seconds(1)).await;
        }
        let calls = world.calls().len();
        assert!(calls < 20, "{fault:?}: {calls}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_longer_than_their_rest_they_are_soon_there() {
    for (fault, per_minute) in [(Answer::Fail, 20), (Answer::Hang, 6)] {
        let outage = seconds(50 * 60)..seconds(90 * 60);
        let world = World::new(move |now, _| {
            if outage.contains(&now) {
                fault
            } else {
                Answer::Give(HOUR)
            }
        });
        assert_eq!(world.ask_until(HOUR - seconds(1)).await, 0);
        assert!(world.ask_until(seconds(90 * 60)).await > 10);
        let calls = world.calls().len();
        // One every few seconds while spans wait.
        assert!(calls < 31 * per_minute, "{fault:?}: {calls}");
        assert!(world.ask().await.0.is_some(), "{fault:?}");
        let back = world.clock.now();
        assert!(back < seconds(90 * 60 + 25), "{fault:?}: {back:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_no_longer_than_for_an_attempt() {
    let world = World::new(|_, _| Answer::Hang);
    for _ in 0..5 {
        let (number, waited) = world.ask().await;
        assert!(
            number.is_none() && waited <= ATTEMPT_MAX + PAUSE_LONGEST_WITHOUT * 5 / 4,
            "{waited:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_of_minutes_are_fetched_anew_in_their_last_third() {
    let world = World::new(|_, _| Answer::Give(seconds(30)));
    assert_eq!(world.ask_until(seconds(300)).await, 0);
    assert_eq!(world.calls().len(), 15);
}

#[tokio::test(start_paused = true)]
async fn credentials_without_an_end_are_looked_at_again() {
    let world = World::new(|_, _| Answer::GiveForEver);
    assert_eq!(world.ask().await.0, Some(1));
    tokio::time::sleep(UNENDING_AGE_MAX + seconds(1)).await;
    assert_eq!(world.ask().await.0, Some(2));
}

#[tokio::test(start_paused = true)]
async fn credentials_that_aws_refuses_are_fetched_anew_but_not_all_the_time() {
    let world = World::new(|_, _| Answer::Give(HOUR));
    assert_eq!(world.ask().await.0, Some(1));
    let keeper = world.credentials.keeper();
    for _ in 0..300 {
        keeper.refused();
        tokio::time::sleep(seconds(1)).await;
        // Those at hand serve until new ones are there.
        let (number, waited) = world.ask().await;
        assert!(number.is_some() && waited.is_zero());
    }
    assert_eq!(world.calls().len(), 11);
}

#[tokio::test(start_paused = true)]
async fn whoever_was_refused_can_wait_for_the_credentials_that_are_fetched_for_it() {
    let world = World::new(|_, number| match number {
        2 => Answer::Fail,
        4 => Answer::Hang,
        _ => Answer::Give(HOUR),
    });
    assert_eq!(world.ask().await.0, Some(1));
    let keeper = world.credentials.keeper();
    assert!(!keeper.renew().await, "none came");
    assert!(!keeper.renew().await, "not so often");
    assert_eq!(world.ask().await.0, Some(1), "those at hand are used");
    tokio::time::sleep(REFUSED_INTERVAL).await;
    assert_eq!(world.ask().await.0, Some(3), "it was tried again");
    let before = world.clock.now();
    assert!(!keeper.renew().await, "no answer");
    assert!(world.clock.now() - before <= WAIT_MAX);
    tokio::time::sleep(REFUSED_INTERVAL).await;
    assert!(keeper.renew().await);
    assert_eq!(world.ask().await.0, Some(6));
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_clock_is_wrong_uses_what_it_gets_and_no_longer_than_aws_takes_it() {
    // Ahead by two hours: all that comes seems to be past its end.
    let world = World::new(|_, _| Answer::Give(HOUR));
    world.aws.hear(world.aws.now() - HOUR * 2);
    let behind = Arc::new(AwsClock::new(world.clock));
    let ahead = EarlyCredentials::new(world.credentials.keeper.source.clone(), world.clock, behind);
    for _ in 0..10 {
        assert!(ahead.provide_credentials().await.is_ok());
    }
    assert_eq!(world.calls().len(), 1, "once a minute");
    // An answer of AWS says what time it is.
    ahead.keeper.aws.hear(world.aws.now());
    tokio::time::sleep(seconds(600)).await;
    assert_eq!(world.calls().len(), 2, "then once an hour");

    // Behind by half an hour: they seem to be valid for longer than they are, until an answer says the time.
    let world = World::new(|_, _| Answer::Give(HOUR));
    let right = Arc::clone(&world.aws);
    let wrong = Arc::new(AwsClock::new(world.clock));
    wrong.hear(right.now() - HOUR / 2);
    let behind = EarlyCredentials::new(
        world.credentials.keeper.source.clone(),
        world.clock,
        Arc::clone(&wrong),
    );
    assert!(behind.provide_credentials().await.is_ok());
    wrong.hear(right.now());
    for _ in 0..120 {
        tokio::time::sleep(seconds(60)).await;
        let end = behind.provide_credentials().await.unwrap().expiry().unwrap();
        assert!(end > right.now());
    }
}

/// What the SDK's own provider for a pod does with its token file, below ours.
#[tokio::test(start_paused = true)]
async fn a_source_that_panics_is_asked_again() {
    let world = World::new(|_, call| match call {
        1 => Answer::Panic,
        _ => Answer::Give(HOUR),
    });
    let (number, _) = world.ask().await;
    assert_eq!(number, None);
    let (number, waited) = world.ask().await;
    assert_eq!(number, Some(2));
    assert!(waited < seconds(1), "{waited:?}");
}

#[test]
fn the_reason_holds_a_code_and_no_message() {
    #[derive(Debug)]
    struct Said(&'static str);
    impl fmt::Display for Said {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }
    impl Error for Said {}
    let reason = |said| super::reason(&CredentialsError::provider_error(Said(said)));
    assert_eq!(
        reason("InvalidIdentityTokenException: eyJhbGciOi is no token"),
        "refused or not reached (InvalidIdentityTokenException)"
    );
    assert_eq!(reason("eyJhbGciOi is no token"), "refused or not reached");
    let missing = CredentialsError::provider_error(std::io::Error::from(std::io::ErrorKind::NotFound));
    assert_eq!(
        super::reason(&missing),
        "refused or not reached (entity not found)"
    );
}

//! The exporter against a receiver in memory, in virtual time: every sample is written once, in the order of its series, or
//! lost and counted under one reason.

mod faults;
mod gone;
mod mixtures;
mod receiver;
mod role;
mod socket;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use tokio::task::{JoinSet, LocalSet};
use tracepipe_config::{
    ClientTls, LabelUnderscores, MemoryLimiterSettings, RemoteWriteSettings, ResourcePromotion,
    RetrySettings, TranslationSettings, TranslationStrategy,
};
use tracepipe_metrics::TranslatedSeries;

use self::receiver::{Answer, Receiver, Request};
use super::sender::Sender;
use super::transport::Transport;
use super::*;

pub(super) fn settings() -> RemoteWriteSettings {
    RemoteWriteSettings {
        endpoint: "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write".into(),
        auth: None,
        headers: Vec::new(),
        tls: ClientTls::Secure { ca_file: None },
        proxy_url: None,
        translation: TranslationSettings {
            namespace: None,
            strategy: TranslationStrategy::UnderscoreEscapingWithSuffixes,
            label_underscores: LabelUnderscores::Preserve,
            promote: ResourcePromotion::None,
            scope_info: true,
        },
        external_labels: Vec::new(),
        target_info: true,
        target_info_interval: seconds(60),
        send_metadata: true,
        metadata_interval: seconds(60),
        timeout: seconds(30),
        shards: 5,
        queue_size: 10_000,
        max_batch_size_bytes: 3_000_000,
        max_samples_per_send: 2000,
        batch_send_deadline: seconds(1),
        retry: RetrySettings {
            enabled: true,
            initial_interval: Duration::from_millis(50),
            max_interval: seconds(5),
            max_elapsed_time: Duration::ZERO,
            multiplier: 1.5,
            randomization_factor: 1.0,
        },
        bisect: true,
        inject_zero: false,
        sample_age_limit: seconds(3600),
        out_of_order_window: seconds(60),
        max_streams: 100_000,
        max_stale: seconds(300),
        max_native_buckets: 160,
    }
}

/// A sample that has this value is not taken.
const WRONG: f64 = -1.0;

/// A series of which a label has this value is not taken.
const UNNAMEABLE: &str = "unnameable";

/// The exporter with its queue, and the receiver.
struct World {
    queue: SampleQueue,
    receiver: Receiver,
    limiter: MemoryLimiter,
    tasks: JoinSet<()>,
    clock: Clock,
    started: Duration,
    pushed: u64,
    /// The latest time of a sample that was pushed.
    newest_ms: Option<i64>,
}

impl World {
    /// Answers as the script says: it is told the time since the start, and the request.
    fn new(script: impl FnMut(Duration, &Request) -> Answer + Send + 'static) -> Self {
        Self::with(|_| (), script)
    }

    fn with(
        change: impl FnOnce(&mut RemoteWriteSettings),
        script: impl FnMut(Duration, &Request) -> Answer + Send + 'static,
    ) -> Self {
        let mut settings = settings();
        change(&mut settings);
        Self::build(&settings, u64::MAX, None, Receiver::new(script))
    }

    fn build(
        settings: &RemoteWriteSettings,
        queue_bytes_max: u64,
        source: Option<SharedCredentialsProvider>,
        receiver: Receiver,
    ) -> Self {
        let clock = Clock::start();
        let started = Clock::unix_now();
        let limiter = MemoryLimiter::new(&MemoryLimiterSettings {
            check_interval: seconds(1),
            limit_bytes: 400 << 20,
            spike_bytes: 100 << 20,
        });
        let signer = source.map(|source| {
            let aws = Arc::new(AwsClock::new(clock));
            let scope = Scope {
                region: "eu-west-1".into(),
                service: "aps".into(),
            };
            Signer::new(EarlyCredentials::new(source, clock, Arc::clone(&aws)), aws, scope)
        });
        let connector = SharedHttpConnector::new(receiver.clone());
        let transport = Transport::new(settings, connector, signer).unwrap();
        let queue = SampleQueue::new(
            "prometheusremotewrite",
            settings,
            &limiter,
            queue_bytes_max,
            clock,
        );
        let sender = Sender::new(settings, queue.clone(), transport, limiter.clone(), clock)
            .with_wall_clock(move || started + clock.now());
        let mut tasks = JoinSet::new();
        RemoteWriteExporter { sender }.spawn(&mut tasks);
        Self {
            queue,
            receiver,
            limiter,
            tasks,
            clock,
            started,
            pushed: 0,
            newest_ms: None,
        }
    }

    /// The time of a sample that is taken now, in ms since the Unix epoch.
    fn now_ms(&self) -> i64 {
        i64::try_from((self.started + self.clock.now()).as_millis()).unwrap()
    }

    /// One sample of each of so many series, of this time.
    fn push(&mut self, series: u64) {
        let now = self.now_ms();
        self.push_all((0..series).map(|number| sample(number, now)).collect());
    }

    fn push_all(&mut self, mut samples: Vec<TranslatedSeries>) {
        self.pushed += samples.len() as u64;
        let newest_ms = samples.iter().map(TranslatedSeries::timestamp_ms).max();
        self.newest_ms = self.newest_ms.max(newest_ms);
        self.queue.push(&mut samples);
        assert!(samples.is_empty());
    }

    /// One sample of each of so many series, in each interval, for so long.
    async fn feed(&mut self, series: u64, interval: Duration, for_long: Duration) {
        let end = self.clock.now() + for_long;
        while self.clock.now() < end {
            self.push(series);
            tokio::time::sleep(interval).await;
        }
    }

    /// Waits until nothing is under way, and gives the account.
    async fn settle(&mut self) -> RemoteWriteAccount {
        self.settle_within(seconds(100_000)).await
    }

    async fn settle_within(&mut self, within: Duration) -> RemoteWriteAccount {
        self.queue.drain(within);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        let account = self.queue.account();
        let lost: u64 = account.lost.values().sum();
        assert_eq!(
            (account.written + lost, account.waiting, account.in_flight),
            (self.pushed, 0, 0),
            "{account:?}"
        );
        assert_eq!(account.translated, self.pushed);
        assert_eq!(self.limiter.accounted(), 0, "all memory is given back");
        let seen = self.receiver.seen();
        assert_eq!(
            account.written,
            seen.samples(),
            "what is counted as written is there"
        );
        account
    }
}

/// A sample of a series of this number.
fn sample(series: u64, time_ms: i64) -> TranslatedSeries {
    // Its value is told by its time, so that the same one is the same.
    sample_of(series, time_ms, 1.0)
}

fn sample_of(series: u64, time_ms: i64, value: f64) -> TranslatedSeries {
    labelled(
        &[("__name__", "up"), ("n", &series.to_string())],
        series,
        value,
        time_ms,
    )
}

/// A sample of a series that the receiver does not take whatever its value.
fn unnameable(series: u64, time_ms: i64) -> TranslatedSeries {
    let labels = [("__name__", "up"), ("m", UNNAMEABLE), ("n", &series.to_string())];
    labelled(&labels, series, 1.0, time_ms)
}

fn labelled(labels: &[(&str, &str)], series: u64, value: f64, time_ms: i64) -> TranslatedSeries {
    // Any hash does that is the same for the same series.
    let hash = (series + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    TranslatedSeries::sample(hash, Rc::from(receiver::labels(labels)), value, time_ms)
}

/// Runs a story on a runtime whose time is virtual.
fn story<F: Future<Output = ()>>(story: impl FnOnce() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async { story().await });
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn none_lost() -> BTreeMap<&'static str, u64> {
    BTreeMap::new()
}

#[test]
fn every_sample_is_written_once_in_full_requests() {
    story(|| async {
        let mut world = World::new(|_, _| Answer::Take);
        for _ in 0..5 {
            world.push(20_000);
            tokio::time::sleep(seconds(15)).await;
        }
        let account = world.settle().await;
        let requests = account.requests[&Ended::Status(200)];
        assert!((50..=75).contains(&requests), "{account:?}");
        assert_eq!(account.newest_written_ms, world.newest_ms);
        assert_eq!((account.written, account.lost), (100_000, none_lost()));
        let seen = world.receiver.seen();
        assert!(seen.requests.iter().all(|request| request.samples <= 2000));
        let full = seen.requests.iter().filter(|request| request.samples == 2000);
        assert!(full.count() >= 25, "each shard has one in each round, and a rest");
        assert_eq!(seen.concurrent_max, 5);
    });
}

#[test]
fn a_request_is_what_the_protocol_says() {
    story(|| async {
        let mut world = World::with(
            |settings| {
                settings.headers = vec![
                    ("X-Team".into(), tracepipe_config::Secret::new("blue")),
                    ("User-Agent".into(), tracepipe_config::Secret::new("mine")),
                ];
            },
            |_, _| Answer::Take,
        );
        world.push(3);
        world.queue.push_metadata(receiver::metadata("up"));
        tokio::time::sleep(seconds(2)).await;
        world.settle().await;
        let seen = world.receiver.seen();
        assert!(!seen.requests.is_empty());
        assert_eq!(seen.metadata, ["up"]);
        for request in &seen.requests {
            assert_eq!(
                request.url,
                "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
            );
            for (name, value) in [
                ("content-encoding", "snappy"),
                ("content-type", "application/x-protobuf"),
                ("x-prometheus-remote-write-version", "0.1.0"),
                ("x-team", "blue"),
                (
                    "user-agent",
                    concat!("tracepipe-collector/", env!("CARGO_PKG_VERSION")),
                ),
            ] {
                assert_eq!(request.header(name), Some(value), "{name}");
            }
            assert_eq!(
                request.header("authorization"),
                None,
                "nobody asked for a signature"
            );
        }
    });
}

#[test]
fn a_sample_waits_for_others_no_longer_than_the_deadline() {
    story(|| async {
        let mut world = World::new(|_, _| Answer::Take);
        world.push(10);
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert_eq!(world.queue.account().waiting, 10);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(world.queue.account().written, 10);
        world.settle().await;
    });
}

#[test]
fn two_samples_of_a_series_and_time_are_one_and_the_later_counts() {
    story(|| async {
        let mut world = World::new(|_, _| Answer::Take);
        let now = world.now_ms();
        world.push_all(vec![
            sample_of(1, now, 1.0),
            sample_of(1, now + 1, 2.0),
            sample_of(1, now, 3.0),
        ]);
        let account = world.settle().await;
        assert_eq!(account.lost, BTreeMap::from([("duplicate", 1)]));
        assert_eq!(world.receiver.seen().values(1), [3.0, 2.0]);
    });
}

#[test]
fn requests_keep_to_the_bound_in_bytes() {
    story(|| async {
        let mut world = World::with(
            |settings| settings.max_batch_size_bytes = 1000,
            |_, _| Answer::Take,
        );
        world.push(5000);
        let account = world.settle().await;
        assert_eq!(account.written, 5000);
        let seen = world.receiver.seen();
        assert!(seen.requests.iter().all(|request| request.bytes <= 1000));
        let most = seen.requests.iter().map(|request| request.bytes).max();
        assert!(most > Some(950), "{most:?}");
    });
}

#[test]
fn a_small_queue_loses_nothing_to_a_receiver_that_takes_all() {
    story(|| async {
        let mut world = World::with(
            // All shards together may hold what fills one of them.
            |settings| (settings.queue_size, settings.max_samples_per_send) = (1, 100),
            |_, _| Answer::Take,
        );
        world.feed(40, Duration::from_millis(50), seconds(30)).await;
        let account = world.settle().await;
        assert_eq!(account.lost, none_lost());
    });
}

#[test]
fn a_full_queue_drops_its_oldest_samples_and_counts_them() {
    story(|| async {
        let receiver = Receiver::new(|now, _| {
            if now < seconds(60) {
                Answer::Status(503)
            } else {
                Answer::Take
            }
        });
        let bytes_max = 100_000;
        let mut world = World::build(&settings(), bytes_max, None, receiver);
        world.feed(100, seconds(1), seconds(50)).await;
        let account = world.queue.account();
        assert!(account.queue_bytes <= bytes_max);
        assert!(account.queue_bytes > bytes_max / 10 * 9);
        assert!(
            account.oldest_age > seconds(1) && account.oldest_age < seconds(50),
            "{account:?}"
        );
        assert!(
            world.limiter.accounted() >= account.queue_bytes,
            "it is in the memory account"
        );
        let account = world.settle().await;
        let dropped = account.lost["queue_full"];
        assert_eq!(account.lost.len(), 1);
        assert!(dropped > 1000 && dropped < 5000, "{dropped}");
        // What was on its way, and the newest.
        let newest = world.receiver.seen().newest();
        assert_eq!(Some(newest), world.newest_ms);
    });
}

/// Gives credentials whose session token is their number; another number with each call if so wanted.
#[derive(Debug)]
struct Source {
    calls: std::sync::atomic::AtomicU64,
}

impl Source {
    fn shared() -> SharedCredentialsProvider {
        SharedCredentialsProvider::new(Self {
            calls: std::sync::atomic::AtomicU64::new(0),
        })
    }

    fn fetch(&self) -> provider::Result {
        let call = self.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(Credentials::new(
            "id",
            "secret",
            Some(format!("token-{call}")),
            None,
            "test",
        ))
    }
}

impl ProvideCredentials for Source {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(self.fetch())
    }
}

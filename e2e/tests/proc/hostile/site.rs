//! A collector of the first seed with honest clients that go on sending while it is attacked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tracepipe_e2e::account::Account;
use tracepipe_e2e::clock;
use tracepipe_e2e::collector::{CollectorProcess, Start};
use tracepipe_e2e::load::{self, LoadReport, Planned, Sender, Target};
use tracepipe_e2e::workload::{Mix, Plain};

use super::MIB;
use crate::rig::{self, LIMIT, XrayRig};

/// Less than the first seed's 400 and 100, so that attacks come near it: what is above is not needed by anything here.
const LIMIT_MIB: u64 = 150;
const SPIKE_MIB: u64 = 40;

/// SDKs give up an export after 10 s by default (OTLP exporter specification); who waits longer is not served.
const HONEST_LATENCY_MAX: Duration = Duration::from_secs(10);

/// Honest requests that there are in any case, however short the attack.
const HONEST_REQUESTS_MIN: u64 = 4;

/// 20 traces a request: three requests of 105 kB a second, in turn over gRPC and HTTP.
const HONEST_TRACES_PER_SECOND: u64 = 60;

/// What honest clients have to put up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Honest {
    /// Nothing: each request is accepted.
    AllAccepted,
    /// The attack takes the collector to its memory limit: refusals that say "come again".
    MayBeToldToRetry,
}

/// A collector and its honest clients.
pub(super) struct Site {
    rig: XrayRig,
    workload: Arc<Plain>,
    attack_is_over: Arc<AtomicBool>,
    honest: JoinHandle<LoadReport>,
}

impl Site {
    /// Starts all.
    pub(super) async fn open() -> Self {
        Self::open_with(|start| start).await
    }

    /// Starts all, with settings changed.
    pub(super) async fn open_with(adjust: impl FnOnce(Start) -> Start) -> Self {
        let rig = rig::xray(|start| {
            adjust(
                start
                    .set(format!("processors.memory_limiter.limit_mib={LIMIT_MIB}"))
                    .set(format!("processors.memory_limiter.spike_limit_mib={SPIKE_MIB}")),
            )
        })
        .await;
        let senders = [
            Target::grpc(rig.collector.grpc().unwrap()),
            Target::http(rig.collector.http().unwrap()),
        ]
        .map(|target| Arc::new(Sender::new(target).unwrap()));
        let workload = Arc::new(rig::plain(3, Mix::default(), HONEST_TRACES_PER_SECOND));
        let attack_is_over = Arc::new(AtomicBool::new(false));
        let (requests, over) = (Arc::clone(&workload), Arc::clone(&attack_is_over));
        let honest = tokio::spawn(async move {
            let planned = (0..)
                .take_while(|number| *number < HONEST_REQUESTS_MIN || !over.load(Ordering::Relaxed))
                .map(|number| Planned {
                    due: Duration::from_nanos(requests.due_nanos(number)),
                    sender: usize::from(number % 2 == 1),
                    request: requests.request(number),
                });
            load::run(&senders, clock::now(), planned).await
        });
        Self {
            rig,
            workload,
            attack_is_over,
            honest,
        }
    }

    /// The collector under attack.
    pub(super) fn collector(&self) -> &CollectorProcess {
        &self.rig.collector
    }

    /// The OTLP/gRPC port.
    pub(super) fn grpc(&self) -> SocketAddr {
        self.rig.collector.grpc().unwrap()
    }

    /// The OTLP/HTTP port.
    pub(super) fn http(&self) -> SocketAddr {
        self.rig.collector.http().unwrap()
    }

    /// Every port, by its name in the log.
    pub(super) fn ports(&self) -> [(&'static str, SocketAddr); 4] {
        ["otlp_grpc", "otlp_http", "metrics", "health"]
            .map(|server| (server, self.rig.collector.address(server).unwrap()))
    }

    /// The attack is over: honest clients were served, what they sent came out at the other end, memory was under its
    /// limit all the time, and the account holds. `accepted` spans of the attack were taken.
    pub(super) async fn close(self, honest: Honest, accepted: u64) -> Account {
        self.attack_is_over.store(true, Ordering::Relaxed);
        let report = self.honest.await.unwrap();
        let peak = self.rig.collector.usage().unwrap().rss_peak_bytes;
        assert!(
            peak < LIMIT_MIB * MIB as u64,
            "{} MiB were resident, the limit is {LIMIT_MIB} MiB",
            peak / MIB as u64
        );
        assert_served(&report, honest);
        for path in ["/livez", "/readyz"] {
            let (status, text) = self.rig.collector.health(path).await.unwrap();
            assert_eq!(status, 200, "{path}: {text}");
        }
        let account = rig::settled(&self.rig.collector, report.spans_accepted + accepted).await;
        let truths = rig::truths(&self.workload, report.requests);
        let owed: Vec<_> = truths
            .iter()
            .filter(|truth| truth.must_be_kept.is_some() && report.fully_accepted(truth))
            .collect();
        assert!(
            !owed.is_empty() || honest == Honest::MayBeToldToRetry,
            "no honest trace had to be kept"
        );
        let documents = self.rig.documents();
        for truth in owed {
            assert!(
                self.rig.has_whole(&documents, truth),
                "{} is lost",
                truth.trace_id
            );
        }
        self.rig.assert_clean();
        account
    }
}

fn assert_served(report: &LoadReport, honest: Honest) {
    match honest {
        Honest::AllAccepted => assert!(report.all_accepted(), "{:?}", report.answers),
        Honest::MayBeToldToRetry => {
            assert_eq!((report.refused, report.failed), (0, 0), "{:?}", report.answers);
        }
    }
    let slowest = report.latency(1.0).unwrap_or_default();
    assert!(
        slowest < HONEST_LATENCY_MAX,
        "an honest request waited {slowest:?}"
    );
}

/// Waits, but not for ever.
pub(super) async fn within<T>(what: &str, limit: Duration, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, work).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not in {limit:?}"),
    }
}

/// As [`within`], for what should take no time at all on a quiet machine.
pub(super) async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    within(what, LIMIT, work).await
}

//! One collector through one fault: what was taken in is at X-Ray or counted as lost, and nothing is lost that the queue
//! has room for.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::account::Account;
use crate::clock;
use crate::collector::{CollectorProcess, Start, find_binary};
use crate::load::{self, LoadReport, Planned, Sender, Target};
use crate::soak::faults::{Fault, World};
use crate::workload::{Mix, Plain, SPANS_PER_TRACE, TRACES_PER_REQUEST};

/// Every trace is kept.
const ALL_FAIL: Mix = Mix {
    error_share: 1.0,
    slow_share: 0.0,
    slow_ms: 500,
};
const BEFORE: Duration = Duration::from_secs(10);
const AFTER: Duration = Duration::from_secs(10);
/// After the repair: pauses of credentials that were refused, and the backlog.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Of a limit of 400 MiB the queue may have 40 %, which no fault but one fills.
const LIMITER: &str = "{check_interval: 1s, limit_mib: 400, spike_limit_mib: 100}";
/// 20 MiB for the queue: some 25,000 spans.
const SMALL_LIMITER: &str = "{check_interval: 1s, limit_mib: 50, spike_limit_mib: 10}";
/// Fills that in twenty seconds.
const FULL_RATE: u64 = 1_500;
/// So many spans inside are no backlog.
const NO_BACKLOG: u64 = 500;

/// How a fault is gone through.
#[derive(Debug, Clone)]
pub struct Course {
    /// How long it lasts.
    pub length: Duration,
    /// Spans a second.
    pub rate: u64,
    /// Our collector's binary; `None`: as [`find_binary`].
    pub collector: Option<std::path::PathBuf>,
    /// `seed1.yaml`.
    pub config: std::path::PathBuf,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Result {
    /// Spans taken in.
    pub accepted: u64,
    /// Different documents at X-Ray.
    pub documents: u64,
    /// Documents that were sent once more.
    pub repeated: u64,
    /// Counted as lost.
    pub lost: u64,
    /// The most spans that were inside.
    pub backlog: u64,
    /// From the repair to no backlog.
    pub clear_after: Duration,
    /// Requests that failed.
    pub failed_calls: u64,
}

/// Goes through it.
///
/// # Errors
/// What is wrong.
pub async fn run(fault: Fault, course: &Course) -> anyhow::Result<Result> {
    let world = World::new(fault).await?;
    let is_full = fault == Fault::GoneAndFull;
    let limiter = if is_full { SMALL_LIMITER } else { LIMITER };
    let mut start = Start::new(Path::new(&course.config))
        .set("processors.tail_sampling.decision_wait=1s")
        .set("exporters.awsxray.request_timeout_seconds=5")
        .set("service.pipelines.traces.exporters=[awsxray]")
        .set(format!("processors.memory_limiter={limiter}"));
    start.binary = Some(course.collector.clone().map_or_else(find_binary, Ok)?);
    let collector = CollectorProcess::start(world.start(start)?).await?;
    let begun = clock::now();
    let rate = if is_full { FULL_RATE } else { course.rate };
    let (report, watched) = tokio::join!(
        send(&collector, begun, rate, BEFORE + course.length + AFTER),
        watch(&world, &collector, begun, course.length)
    );
    let (report, mut result) = (report?, watched?);
    let settled = collector
        .wait_until("end of all exports", SETTLE_LIMIT, |account| {
            account.sum("tracepipe_spans_accepted") >= report.spans_accepted && account.spans_inside() == 0
        })
        .await?;
    let failed = collector
        .metrics()
        .await?
        .sum("tracepipe_exporter_requests_failed_total");
    let ended = collector.terminate(STOP_LIMIT).await?;
    ensure!(ended.status.success(), "it ended with {}", ended.status);
    let last = ended.account.context("the last account is not in the log")?;
    last.check()
        .map_err(|problems| anyhow::anyhow!("the last account: {}", problems.join("; ")))?;
    world.check()?;
    let counts = world.aws().xray().counts();
    result.accepted = settled.sum("tracepipe_spans_accepted");
    result.documents = counts.documents_accepted - counts.documents_repeated;
    result.repeated = counts.documents_repeated;
    result.lost = settled.sum("tracepipe_exporter_spans_lost");
    result.failed_calls = failed as u64;
    check(fault, &report, &settled, &result)?;
    Ok(result)
}

/// All books say the same.
fn check(fault: Fault, report: &LoadReport, account: &Account, result: &Result) -> anyhow::Result<()> {
    ensure!(
        report.failed == 0 && report.refused == 0,
        "requests went unanswered or were refused for good: {:?}",
        report.answers
    );
    ensure!(
        result.accepted == report.spans_accepted,
        "{} spans were accepted, the collector says {}",
        report.spans_accepted,
        result.accepted
    );
    // X-Ray may have what a broken answer says nothing of, and refuse it when it comes again.
    let may_have_more = fault == Fault::HalfReplies;
    let missing = result.accepted - result.documents;
    ensure!(
        missing == result.lost || may_have_more && missing == 0,
        "{} documents and {} lost are not {} spans",
        result.documents,
        result.lost,
        result.accepted
    );
    ensure!(
        account.sum("tracepipe_spans_lost") == 0,
        "spans were lost before they were exported"
    );
    ensure!(
        result.failed_calls > 0 && result.backlog > NO_BACKLOG,
        "nothing was broken: {result:?}"
    );
    let by_reason = account.by_label("tracepipe_exporter_spans_lost", "reason");
    let full = by_reason.get("queue_full").copied().unwrap_or(0);
    if fault == Fault::GoneAndFull {
        ensure!(full > 0, "the queue was never full");
    } else {
        ensure!(
            report.all_accepted(),
            "requests were refused: {:?}",
            report.answers
        );
        ensure!(full == 0, "the queue was full");
    }
    ensure!(full == missing, "lost for other reasons: {by_reason:?}");
    Ok(())
}

/// Sends whole traces at `rate`, each of which is kept.
async fn send(
    collector: &CollectorProcess,
    begun: Instant,
    rate: u64,
    length: Duration,
) -> anyhow::Result<LoadReport> {
    let traces_per_second = (rate / u64::from(SPANS_PER_TRACE)).max(1);
    let plain = Plain::new(7, ALL_FAIL, clock::unix_nanos(), traces_per_second)?;
    let requests = length.as_secs() * traces_per_second / u64::from(TRACES_PER_REQUEST);
    let senders = [Arc::new(Sender::new(Target::grpc(collector.grpc()?))?)];
    let planned = (0..requests).map(|number| Planned {
        due: Duration::from_nanos(plain.due_nanos(number)),
        sender: 0,
        request: plain.request(number),
    });
    Ok(load::run(&senders, begun, planned).await)
}

/// Breaks the way for `length` and looks at the account all the time, until there is no backlog any more.
async fn watch(
    world: &World,
    collector: &CollectorProcess,
    begun: Instant,
    length: Duration,
) -> anyhow::Result<Result> {
    let mut result = Result::default();
    let inside = |account: &Account| {
        account.sum("tracepipe_exporter_spans_waiting") + account.sum("tracepipe_exporter_spans_in_flight")
    };
    tokio::time::sleep_until((begun + BEFORE).into()).await;
    let broken = clock::now();
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let mut since = Duration::ZERO;
    while since < length {
        world.worsen(since, length)?;
        ticks.tick().await;
        let account = collector.checked_account().await?;
        result.backlog = result.backlog.max(inside(&account));
        since = clock::now().saturating_duration_since(broken);
    }
    world.repair()?;
    let repaired = clock::now();
    collector
        .wait_until("end of the backlog", SETTLE_LIMIT, |account| {
            inside(account) <= NO_BACKLOG
        })
        .await?;
    result.clear_after = clock::now().saturating_duration_since(repaired);
    Ok(result)
}

//! What a kept span costs on its way to X-Ray: the CPU with `awsxray` minus the CPU of the same load that is thrown away.

use std::time::Duration;

use crate::bench::arm::{Arm, Bench, Books, Collector};
use crate::bench::outcome::{Outcome, Window, losses, share_loss};
use crate::bench::steady::{
    Load, SETTLE_LIMIT, Sent, Timing, accepted, drive, open_links, spans_per_request,
};
use crate::bench::xray::setup::{Way, XraySetup};
use crate::bench::xray::sink::{Tally, XraySink};
use crate::clock;

/// The machine may become slower on the way; each way is measured first and last.
const ORDER: [Way; 4] = [Way::Discard, Way::Xray, Way::Xray, Way::Discard];
/// Between the start of the process and the first request.
const LEAD: Duration = Duration::from_millis(1200);
/// What upstream has decided leaves within this time, even on a busy machine.
const FLUSH_LIMIT: Duration = Duration::from_secs(10);
const FLUSH_POLL: Duration = Duration::from_millis(200);

/// Sums over the runs of one way.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    cpu: Duration,
    received: u64,
    wall: Duration,
    generator: Duration,
    tally: Tally,
}

/// Runs one collector four times, twice each way.
///
/// # Errors
/// When something does not work; a collector that refuses or loses makes the outcome void instead.
pub async fn run(
    bench: &Bench,
    arm: Arm,
    setup: &XraySetup,
    load: &Load,
    timing: Timing,
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut sums = Vec::new();
    for way in ORDER {
        let sum = Box::pin(one(bench, (arm, way), setup, (load, timing), &mut outcome)).await?;
        sums.push((way, sum));
    }
    let of = |way| {
        sums.iter()
            .filter(move |(of, _)| *of == way)
            .fold(Sum::default(), |all, (_, one)| all.plus(one))
    };
    let (xray, discard) = (of(Way::Xray), of(Way::Discard));
    let documents = xray.tally.documents as f64;
    // Each is of another span, or the run is void.
    let kept_share = documents / xray.received as f64;
    let difference = |with: &Sum, without: &Sum| (with.per_received() - without.per_received()) / kept_share;
    if let [(_, first), (_, second), (_, third), (_, fourth)] = sums.as_slice() {
        outcome.notes.push(format!(
            "halves: {:.2} and {:.2} us per kept span; of {} calls {} over HTTP/2",
            difference(second, first),
            difference(third, fourth),
            xray.tally.calls,
            xray.tally.http2
        ));
    }
    outcome.figures.extend([
        ("xray_us_per_kept", difference(&xray, &discard)),
        ("cpu_us_per_span", xray.per_received()),
        ("discard_us_per_span", discard.per_received()),
        ("kept_share", kept_share),
        ("spans_per_s", xray.received as f64 / xray.wall.as_secs_f64()),
        ("documents_per_call", documents / xray.tally.calls as f64),
        ("bytes_per_document", xray.tally.document_bytes as f64 / documents),
        (
            "bytes_per_call",
            xray.tally.body_bytes as f64 / xray.tally.calls as f64,
        ),
        (
            "generator_share",
            xray.generator.as_secs_f64() / xray.wall.as_secs_f64(),
        ),
    ]);
    Ok(outcome)
}

async fn one(
    bench: &Bench,
    (arm, way): (Arm, Way),
    setup: &XraySetup,
    (load, timing): (&Load, Timing),
    outcome: &mut Outcome,
) -> anyhow::Result<Sum> {
    let seed = clock::unix_nanos();
    let epoch = clock::now();
    let sink = XraySink::start(seed, epoch).await?;
    let collector = setup.start(bench, arm, &sink, way).await?;
    let links = open_links(&collector, load).await?;
    let start = clock::now().saturating_duration_since(epoch) + LEAD;
    let tallies = async {
        tokio::time::sleep_until((epoch + start + timing.warm_up).into()).await;
        let first = sink.tally();
        tokio::time::sleep(timing.measure).await;
        anyhow::Ok((first, sink.tally()))
    };
    let load_time = (epoch, start, timing);
    let (driven, tallies) = tokio::try_join!(drive(&collector, &links, (load, seed), load_time), tallies)?;
    let (sent, window) = driven;
    drop(links);

    let traces_per_request = u64::from(load.traces_per_request);
    let settled = collector.settled(accepted(&sent.plain) * traces_per_request);
    let settled = tokio::time::timeout(SETTLE_LIMIT + setup.decision_wait, settled).await;
    let books = flushed(
        &collector,
        &sink,
        way,
        accepted(&sent.plain) * spans_per_request(load),
    )
    .await?;
    if way == Way::Xray {
        outcome.memory = collector.memory_series();
        outcome.memory(0, collector.memory()?.1, collector.ready_after);
        outcome.figures.remove("rss_idle_mib");
    }
    collector.stop().await?;

    let mut void = Vec::new();
    match settled {
        Ok(result) => result?,
        Err(_) => void.push("spans are still inside long after the last request".to_owned()),
    }
    let checked = Checked {
        sink: &sink,
        sent: &sent,
        seed,
    };
    void.extend(checked.wrong(setup, way, &books, load));
    outcome
        .void
        .extend(void.into_iter().map(|what| format!("{way:?}: {what}")));
    // Notes on the generator and others, once.
    let mut cost = Outcome::default();
    cost.cost(&window, spans_per_request(load))?;
    outcome
        .notes
        .extend(cost.notes.into_iter().map(|note| format!("{way:?}: {note}")));
    Ok(Sum::of(&window, &tallies))
}

/// The books once all is sent that is decided, or after a while: upstream says what it has decided, not what it has sent.
async fn flushed(collector: &Collector, sink: &XraySink, way: Way, accepted: u64) -> anyhow::Result<Books> {
    let limit = clock::now() + FLUSH_LIMIT;
    // The last batch may be waiting when nothing differs yet.
    tokio::time::sleep(FLUSH_POLL * 5).await;
    loop {
        let books = collector.books().await?;
        let is_even = way == Way::Discard || sink.tally().documents == books.kept;
        if is_even && books.received == accepted || clock::now() > limit {
            return Ok(books);
        }
        tokio::time::sleep(FLUSH_POLL).await;
    }
}

/// What was sent and what came.
struct Checked<'a> {
    sink: &'a XraySink,
    sent: &'a Sent,
    seed: u64,
}

impl Checked<'_> {
    /// Whatever makes the run void: each kept span must be in one document.
    fn wrong(&self, setup: &XraySetup, way: Way, books: &Books, load: &Load) -> Vec<String> {
        let ledger = self.sink.ledger();
        let mut verdict = setup.verdict(&ledger, self.seed, self.sent, u64::from(load.traces_per_request));
        let share = share_loss(&verdict, setup.keep.share_of_others()).filter(|_| way == Way::Xray);
        if way == Way::Discard {
            // Nothing comes, as it should be.
            verdict.missing = 0;
        }
        // The shares of other policies than the first seed's.
        verdict.optional = 0;
        let mut wrong = losses(&self.sent.plain, &verdict, &ledger.counts(), books);
        wrong.extend(share);
        let came = ledger.counts().spans;
        if way == Way::Xray && came != books.kept {
            wrong.push(format!(
                "{came} documents came, and the collector has sent {} spans",
                books.kept
            ));
        }
        wrong
    }
}

impl Sum {
    fn of(window: &Window, (first, last): &(Tally, Tally)) -> Self {
        let (from, to) = (&window.first, &window.last);
        Self {
            cpu: to.cpu.saturating_sub(from.cpu),
            received: to.received.saturating_sub(from.received),
            wall: to.at.saturating_duration_since(from.at),
            generator: to.busy.generator.saturating_sub(from.busy.generator),
            tally: last.minus(first),
        }
    }

    fn plus(self, other: &Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            received: self.received + other.received,
            wall: self.wall + other.wall,
            generator: self.generator + other.generator,
            tally: self.tally.plus(&other.tally),
        }
    }

    fn per_received(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.received as f64
    }
}

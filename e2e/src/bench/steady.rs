//! One run at a fixed rate: cost, memory, latency, lateness, and whether nothing was lost.

use std::time::{Duration, Instant};

use crate::bench::arm::{Arm, Bench, Collector};
use crate::bench::generator::{self, IN_FLIGHT_BYTES_MAX, Lane, Record, Records};
use crate::bench::link::{Answer, Link};
use crate::bench::outcome::{Outcome, Window, losses};
use crate::bench::pace::{Phase, Plan};
use crate::bench::payload::{Checker, Coding, Form, Payload};
use crate::bench::setup::Setup;
use crate::bench::sink::Sink;
use crate::clock;
use crate::load::Protocol;
use crate::workload::SPANS_PER_TRACE;

/// A collector that waits longer than its decision wait and this after the last request has lost something.
pub(crate) const SETTLE_LIMIT: Duration = Duration::from_secs(60);
/// Between the start of the process and the look at its idle memory.
const IDLE: Duration = Duration::from_secs(1);
/// Between that look and the first request.
const LEAD: Duration = Duration::from_millis(200);
/// The load goes on for so long after the measured time: the last look still sees a collector under load.
const TAIL: Duration = Duration::from_millis(500);
/// The burst of a giant trace comes in this time.
const GIANT_BURST: Duration = Duration::from_secs(5);

/// The load of a scenario.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Spans a second.
    pub rate: u64,
    /// Traces (of ten spans) in each request.
    pub traces_per_request: u32,
    /// Connections that requests are dealt to in turn.
    pub connections: usize,
    /// gRPC or HTTP/1.1.
    pub protocol: Protocol,
    /// Compression.
    pub coding: Coding,
    /// Spans a second of one trace that never ends beside it, from the measured time on, the first 50,000 spans in
    /// five seconds.
    pub giant: Option<Giant>,
    /// The sink compares every span with what was sent, and cost is of no interest.
    pub check_bytes: bool,
}

/// A trace beside the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Giant {
    /// Spans of its first five seconds.
    pub burst: u64,
    /// Spans a second afterwards, until the end of the load.
    pub rate: u64,
}

/// How long a run lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Load before the measured time.
    pub warm_up: Duration,
    /// The measured time.
    pub measure: Duration,
}

/// Runs one collector under one load.
///
/// # Errors
/// When something does not work; a collector that refuses or loses makes the outcome void instead.
pub async fn run(
    bench: &Bench,
    arm: Arm,
    setup: &Setup,
    load: &Load,
    timing: Timing,
) -> anyhow::Result<Outcome> {
    let seed = clock::unix_nanos();
    let epoch = clock::now();
    let sink = Sink::start(seed, epoch).await?;
    if load.check_bytes {
        sink.ledger().check_bytes(Checker::new(seed)?);
    }
    let collector = bench.start(arm, setup, sink.address(), None).await?;
    tokio::time::sleep(IDLE).await;
    let (idle, _) = collector.memory()?;
    let links = open_links(&collector, load).await?;
    let start = clock::now().saturating_duration_since(epoch) + LEAD;
    let (sent, window) = drive(&collector, &links, (load, seed), (epoch, start, timing)).await?;
    drop(links);

    let accepted = accepted(&sent.plain) * u64::from(load.traces_per_request);
    let settled = collector.settled(accepted);
    let settled = tokio::time::timeout(SETTLE_LIMIT + setup.decision_wait, settled).await;
    let books = collector.books().await?;
    let mut outcome = Outcome {
        memory: collector.memory_series(),
        ..Outcome::default()
    };
    outcome.memory(idle, collector.memory()?.1, collector.ready_after);
    collector.stop().await?;

    match settled {
        Ok(result) => result?,
        Err(_) => outcome
            .void
            .push("spans are still inside long after the last request".into()),
    }
    let ledger = sink.ledger();
    let traces_per_request = u64::from(load.traces_per_request);
    let verdict = ledger.verdict(seed, &sent.plain, traces_per_request);
    let counts = ledger.counts();
    outcome
        .void
        .extend(losses(&sent.plain, &verdict, &counts, &books));
    outcome.cost(&window, spans_per_request(load))?;
    outcome.latency(&sent.plain, &window);
    let wait = setup.decision_wait.as_micros() as i64;
    outcome.lateness(&ledger.lateness(&sent.plain, traces_per_request, wait, window.micros()));
    if load.check_bytes {
        outcome.figures.insert("spans_compared", counts.spans as f64);
    }
    if load.giant.is_some() {
        outcome.giant(&sent.giant, &counts);
    }
    Ok(outcome)
}

/// What became of the requests.
pub(crate) struct Sent {
    pub(crate) plain: Vec<Record>,
    giant: Vec<Record>,
}

/// Sends the load and looks at the collector at both ends of the measured time.
pub(crate) async fn drive(
    collector: &Collector,
    links: &[Link],
    (load, seed): (&Load, u64),
    (epoch, start, timing): (Instant, Duration, Timing),
) -> anyhow::Result<(Sent, Window)> {
    let whole = Phase {
        rate: load.rate,
        length: timing.warm_up + timing.measure + TAIL,
    };
    let plain = plain_lane(load, seed, start, &[whole])?;
    let giant = giant_lane(load, seed, start, timing)?;
    let (records, giant_records) = (Records::default(), Records::default());
    let (begin, end) = (start + timing.warm_up, start + timing.warm_up + timing.measure);
    let watch = async {
        tokio::time::sleep_until((epoch + begin).into()).await;
        let first = collector.look().await?;
        tokio::time::sleep_until((epoch + end).into()).await;
        anyhow::Ok((first, collector.look().await?))
    };
    let beside = async {
        match &giant {
            None => Ok(()),
            Some(lane) => generator::run(lane, links, epoch, &giant_records, |_| false).await,
        }
    };
    let main = generator::run(&plain, links, epoch, &records, |_| false);
    let ((), (), (first, last)) = tokio::try_join!(main, beside, watch)?;
    let sent = Sent {
        plain: records.lock().clone(),
        giant: giant_records.lock().clone(),
    };
    let window = Window {
        first,
        last,
        start: begin,
        end,
    };
    Ok((sent, window))
}

/// Opens the connections of a load.
pub(crate) async fn open_links(collector: &Collector, load: &Load) -> anyhow::Result<Vec<Link>> {
    let address = match load.protocol {
        Protocol::Grpc => collector.grpc(),
        Protocol::Http => collector.http(),
    };
    let mut links = Vec::new();
    for _ in 0..load.connections.max(1) {
        let link = Link::open(address, load.protocol, load.coding).await?;
        link.ready().await?;
        links.push(link);
    }
    Ok(links)
}

/// The whole traces of a load, in `phases` from `start` after the epoch.
pub(crate) fn plain_lane(load: &Load, seed: u64, start: Duration, phases: &[Phase]) -> anyhow::Result<Lane> {
    let form = Form {
        traces_per_request: load.traces_per_request,
        grpc: load.protocol == Protocol::Grpc,
        coding: load.coding,
    };
    let payload = Payload::new(form, seed)?;
    let plan = Plan::new(payload.spans_per_request(), phases);
    Ok(Lane {
        payload,
        plan,
        start,
        in_flight_bytes_max: IN_FLIGHT_BYTES_MAX,
    })
}

/// The parts of the giant trace; they begin with the measured time and end with the load.
fn giant_lane(load: &Load, seed: u64, start: Duration, timing: Timing) -> anyhow::Result<Option<Lane>> {
    let Some(giant) = load.giant else {
        return Ok(None);
    };
    let phases = [
        Phase {
            rate: giant.burst / GIANT_BURST.as_secs(),
            length: GIANT_BURST,
        },
        Phase {
            rate: giant.rate,
            length: (timing.measure + TAIL).saturating_sub(GIANT_BURST),
        },
    ];
    let parts = Load {
        traces_per_request: 0,
        ..*load
    };
    plain_lane(&parts, seed, start + timing.warm_up, &phases).map(Some)
}

pub(crate) fn accepted(records: &[Record]) -> u64 {
    let accepted = records.iter().filter(|record| record.answer == Answer::Accepted);
    accepted.count() as u64
}

pub(crate) fn spans_per_request(load: &Load) -> u64 {
    u64::from(load.traces_per_request * SPANS_PER_TRACE)
}

//! `make soak`: our collector for an hour under a square wave of spans, with a backend that fails every five minutes.
//! What must come out of it is that nothing is unaccounted for, that memory is flat, and that it comes back to idle.

use std::cell::Cell;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use tracepipe_e2e::account::Account;
use tracepipe_e2e::clock;
use tracepipe_e2e::collector::{CollectorProcess, Start};
use tracepipe_e2e::load::{self, LoadReport, Planned, Sender, Target};
use tracepipe_e2e::otlp_sink::{Behaviour, OtlpSink};
use tracepipe_e2e::workload::{Mix, Plain, SPANS_PER_TRACE, TRACES_PER_REQUEST};

/// The backend fails once in this time, half a wave after a minute begins: under load.
const FAULT_PERIOD: Duration = Duration::from_secs(300);
/// How long a fault lasts. At the full rate the export queue has room for four times as much.
const FAULT: Duration = Duration::from_secs(20);
/// What goes wrong, in turn.
const FAULTS: [Behaviour; 2] = [Behaviour::Refuse, Behaviour::Hang];
/// Half a period of the wave: the low half is long enough for every trace of the high half to be decided.
const HALF_WAVE: Duration = Duration::from_secs(30);
/// Longest decision wait, retry and flush after the last request.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Idle size after the load may be this much above idle size before it: tables and memories of decisions stay.
const IDLE_GROWTH_MAX_MIB: f64 = 5.0;
/// Low water from one wave to any later one, once the tables have their size.
const FLAT_MIB: f64 = 2.0;
/// Waves until the tables have their size.
const WARM_WAVES: usize = 3;
/// `limit_mib` of the configuration.
const LIMIT_MIB: f64 = 400.0;
const MIB: f64 = (1024 * 1024) as f64;

/// Soaks one collector.
#[derive(Debug, Parser)]
struct Arguments {
    /// Our collector's binary [default: $TRACEPIPE_COLLECTOR, else the one beside this binary].
    #[arg(long)]
    collector: Option<PathBuf>,
    /// The configuration; addresses and the metrics port are replaced.
    #[arg(long, default_value = "deploy/examples/otlp-out.yaml")]
    config: PathBuf,
    /// How long.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(2..))]
    minutes: u64,
    /// Spans a second in the high half of the wave.
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(10..=200_000))]
    rate: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let length = Duration::from_secs(arguments.minutes * 60);
    let sink = OtlpSink::start().await?;
    let mut start = Start::new(&arguments.config)
        .set(format!("exporters.otlp.endpoint={}", sink.address()))
        .set("exporters.otlp.retry_on_failure.initial_interval=1s")
        .set("exporters.otlp.retry_on_failure.max_interval=5s")
        .set(format!("processors.memory_limiter.limit_mib={LIMIT_MIB}"))
        // What is remembered of decisions is kept on purpose, and with the file's 100,000 traces is most of what is left
        // after the first wave.
        .set("processors.tail_sampling.decision_cache.sampled_cache_size=10000")
        .set("processors.tail_sampling.decision_cache.non_sampled_cache_size=10000");
    start.binary = arguments.collector.clone();
    let collector = CollectorProcess::start(start).await?;
    let idle = resident_mib(&collector)?;
    say(&format!(
        "soak       {} min of 0 and {} spans/s in turns of {} s; a fault of {} s every {} s; idle {idle:.1} MiB",
        arguments.minutes,
        arguments.rate,
        HALF_WAVE.as_secs(),
        FAULT.as_secs(),
        FAULT_PERIOD.as_secs()
    ));

    let plain = Plain::new(
        7,
        Mix::default(),
        clock::unix_nanos(),
        arguments.rate / u64::from(SPANS_PER_TRACE),
    )?;
    let senders = [Arc::new(Sender::new(Target::grpc(collector.grpc()?))?)];
    let begun = clock::now();
    let done = Cell::new(false);
    let loading = async {
        let report = load::run(&senders, begun, planned(&plain, arguments.rate, length)).await;
        done.set(true);
        report
    };
    let (report, watched) = tokio::join!(loading, watch(&collector, &sink, begun, &done));
    let (low_water, peak) = watched?;
    ensure!(
        peak <= LIMIT_MIB,
        "{peak:.1} MiB were resident, the limit is {LIMIT_MIB} MiB"
    );
    finish(collector, &sink, &report, (idle, &low_water)).await
}

/// Requests in the high halves only; their numbers go on, so that no trace comes twice.
fn planned(plain: &Plain, rate: u64, length: Duration) -> impl Iterator<Item = Planned> {
    let spans_per_request = u64::from(TRACES_PER_REQUEST * SPANS_PER_TRACE);
    let per_half = rate * HALF_WAVE.as_secs() / spans_per_request;
    let halves = length.as_secs() / HALF_WAVE.as_secs() / 2;
    (0..halves * per_half).map(move |number| {
        let wave = number / per_half;
        let within = Duration::from_nanos(1_000_000_000 * spans_per_request * (number % per_half) / rate);
        Planned {
            due: 2 * HALF_WAVE * wave as u32 + within,
            sender: 0,
            request: plain.request(number),
        }
    })
}

/// Makes the sink fail at its times, checks the account every few seconds, and gives the resident size at the end of
/// each low half, and the highest seen, in MiB.
async fn watch(
    collector: &CollectorProcess,
    sink: &OtlpSink,
    begun: Instant,
    done: &Cell<bool>,
) -> anyhow::Result<(Vec<f64>, f64)> {
    let mut low_water = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    let mut peak: f64 = 0.0;
    while !done.get() {
        ticks.tick().await;
        let at = clock::now().saturating_duration_since(begun);
        sink.set_behaviour(behaviour(at));
        let account = collector.checked_account().await?;
        let resident = resident_mib(collector)?;
        peak = peak.max(resident);
        let in_wave = at.as_secs() % (2 * HALF_WAVE).as_secs();
        if in_wave >= (2 * HALF_WAVE).as_secs() - 5 {
            low_water.push(resident);
            say(&format!(
                "{:>4} s     low {resident:.1} MiB, peak {peak:.1} MiB, accepted {}, kept {}, exported {}, lost {}",
                at.as_secs(),
                account.sum("tracepipe_spans_accepted"),
                account.sum("tracepipe_spans_kept"),
                account.sum("tracepipe_exporter_spans_exported"),
                account.sum("tracepipe_exporter_spans_lost"),
            ));
        }
    }
    sink.set_behaviour(Behaviour::Accept);
    Ok((low_water, peak))
}

fn behaviour(at: Duration) -> Behaviour {
    let since = at.as_secs() % FAULT_PERIOD.as_secs();
    // From the third minute of each five on, in the middle of a high half.
    let first = 2 * 60 + HALF_WAVE.as_secs() / 2;
    if (first..first + FAULT.as_secs()).contains(&since) {
        FAULTS[(at.as_secs() / FAULT_PERIOD.as_secs()) as usize % FAULTS.len()]
    } else {
        Behaviour::Accept
    }
}

/// Waits for the end of all decisions and compares all books.
async fn finish(
    collector: CollectorProcess,
    sink: &OtlpSink,
    report: &LoadReport,
    (idle, low_water): (f64, &[f64]),
) -> anyhow::Result<()> {
    let settled = collector
        .wait_until("end of all decisions", SETTLE_LIMIT, |account| {
            account.sum("tracepipe_spans_accepted") >= report.spans_accepted && account.spans_inside() == 0
        })
        .await?;
    let after = lowest_resident(&collector, idle + IDLE_GROWTH_MAX_MIB).await?;
    let ended = collector.terminate(STOP_LIMIT).await?;
    let last = ended.account.context("the last account is not in the log")?;
    last.check()
        .map_err(|problems| anyhow::anyhow!("the last account: {}", problems.join("; ")))?;
    say(&format!(
        "end        idle {idle:.1} MiB before, {after:.1} MiB after; {} spans sent, {} refused requests, {} at the sink",
        report.spans,
        report.refused_retryable,
        sink.counts().spans
    ));
    let mut wrong = books(&settled, report, sink);
    if after > idle + IDLE_GROWTH_MAX_MIB {
        wrong.push(format!(
            "{after:.1} MiB at the end, {idle:.1} MiB at the beginning"
        ));
    }
    if let Some((first, later)) = low_water.get(WARM_WAVES..).and_then(<[f64]>::split_first) {
        let most = later.iter().copied().fold(*first, f64::max);
        if most > first + FLAT_MIB {
            wrong.push(format!(
                "resident size is not flat: low water from {first:.1} to {most:.1} MiB"
            ));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    say("soak       passed");
    Ok(())
}

/// What the generator, the collector and the sink say of the same spans.
fn books(account: &Account, report: &LoadReport, sink: &OtlpSink) -> Vec<String> {
    let pairs = [
        (
            "spans accepted",
            account.sum("tracepipe_spans_accepted"),
            report.spans_accepted,
        ),
        ("requests without an answer", report.failed, 0),
        ("requests refused for good", report.refused, 0),
        (
            "spans exported",
            account.sum("tracepipe_exporter_spans_exported"),
            sink.counts().spans,
        ),
        (
            "spans kept and not exported",
            account.sum("tracepipe_exporter_spans_lost"),
            0,
        ),
        ("spans lost", account.sum("tracepipe_spans_lost"), 0),
        ("spans that came twice", sink.repeated_spans(), 0),
    ];
    pairs
        .into_iter()
        .filter(|(_, found, expected)| found != expected)
        .map(|(what, found, expected)| format!("{what}: {found}, not {expected}"))
        .collect()
}

/// The resident size once it is at most `wanted`, or after a while.
async fn lowest_resident(collector: &CollectorProcess, wanted: f64) -> anyhow::Result<f64> {
    let limit = clock::now() + Duration::from_secs(10);
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    let mut lowest = f64::MAX;
    while lowest > wanted && clock::now() < limit {
        ticks.tick().await;
        lowest = lowest.min(resident_mib(collector)?);
    }
    Ok(lowest)
}

fn resident_mib(collector: &CollectorProcess) -> anyhow::Result<f64> {
    Ok(collector.usage()?.rss_bytes as f64 / MIB)
}

fn say(line: &str) {
    // Who has closed the output does not want to know.
    drop(writeln!(std::io::stdout(), "{line}"));
}

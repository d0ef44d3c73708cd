//! CPU per span and resident memory beside the upstream collector, both with the first seed's processors and OTLP out.
//!
//! One core for the collector, another for generator and sink, as far as `taskset` is there. Runs alternate in the
//! order ABBA, so that a machine that gets slower or faster on the way weighs on both alike.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use tracepipe_e2e::clock;
use tracepipe_e2e::collector::{CollectorProcess, OtelcolPeer, Start, find_binary, free_address};
use tracepipe_e2e::load::{self, LoadReport, Planned, Sender, Target};
use tracepipe_e2e::otlp_sink::OtlpSink;
use tracepipe_e2e::process::Usage;
use tracepipe_e2e::workload::{Mix, Plain, SPANS_PER_TRACE, TRACES_PER_REQUEST};

/// A collector that waits longer than its decision wait and this after the last request has lost something.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);
/// 5 s in which a collector stays for its clients, and its flush.
const STOP_LIMIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The load goes on for so long after the measurement's end: the last look still sees a collector under load.
const TAIL: Duration = Duration::from_secs(1);
/// A generator that needs more of its core cannot be trusted to send in time.
const GENERATOR_SHARE_MAX: f64 = 0.9;
/// The pages of /proc count CPU time in these (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;
const MIB: f64 = (1024 * 1024) as f64;

/// Measures our collector and upstream's in turn at a fixed rate of spans and prints a table.
#[derive(Debug, Parser)]
struct Arguments {
    /// Our collector's binary [default: $TRACEPIPE_COLLECTOR, else the one beside this binary].
    #[arg(long)]
    collector: Option<PathBuf>,
    /// The upstream collector's binary.
    #[arg(long, env = "TRACEPIPE_OTELCOL")]
    upstream: PathBuf,
    /// The configuration of both; addresses and the metrics port are replaced.
    #[arg(long, default_value = "deploy/examples/otlp-out.yaml")]
    config: PathBuf,
    /// Spans a second: ten a trace, 200 a request, about 526 bytes each.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(10..=1_000_000))]
    rate: u64,
    /// Seconds of load before the measurement: more than the decision wait of 10 s, so that spans leave as fast as
    /// they come.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(12..))]
    warm_up: u64,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    measure: u64,
    /// Seconds between the start and the look at the idle collector.
    #[arg(long, default_value_t = 3)]
    idle: u64,
    /// Repetitions of ABBA: each is two runs of either collector.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The collector's core.
    #[arg(long, default_value_t = 0)]
    collector_core: u32,
    /// The core of generator and sink.
    #[arg(long, default_value_t = 1)]
    generator_core: u32,
    /// Another `limit_mib` of both memory limiters. By the file's 400/100 MiB upstream's heap is at the border at
    /// 10,000 spans/s, and what it refuses makes the run void; a higher limit gives its cost without refusals.
    #[arg(long, value_parser = clap::value_parser!(u64).range(101..))]
    limit_mib: Option<u64>,
    /// Further variables of the upstream collector's environment, NAME=VALUE; `GOMAXPROCS=1` is always there.
    #[arg(long, value_parser = variable)]
    upstream_env: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arm {
    Ours,
    Upstream,
}

impl Arm {
    const ABBA: [Self; 4] = [Self::Ours, Self::Upstream, Self::Upstream, Self::Ours];

    fn name(self) -> &'static str {
        match self {
            Self::Ours => "tracepipe",
            Self::Upstream => "upstream",
        }
    }
}

/// What one run showed.
#[derive(Debug, Clone, Copy)]
struct Run {
    arm: Arm,
    /// CPU time of the collector for each span that it received in the measured time.
    cpu_micros_per_span: f64,
    spans_per_second: f64,
    idle_rss_bytes: u64,
    peak_rss_bytes: u64,
    /// Requests that were not accepted, in the whole run.
    refused: u64,
    /// Traces that had to be kept and did not come out whole, and traces that came out in part or with a span twice.
    spoilt_traces: u64,
    /// Share of its core that generator and sink needed in the measured time.
    generator_share: f64,
    send_lag_max: Duration,
    latency_p99: Duration,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout();
    let scripts = tempfile::tempdir().context("a folder for start scripts")?;
    let bench = Bench::new(arguments, scripts.path())?;
    bench.write_setting(&mut out)?;
    let mut runs = Vec::new();
    for _ in 0..bench.arguments.rounds {
        for arm in Arm::ABBA {
            let run = bench.run(arm).await.with_context(|| arm.name())?;
            write_run(&mut out, runs.len() + 1, &run)?;
            runs.push(run);
        }
    }
    write_table(&mut out, &runs)?;
    Ok(())
}

/// Everything that is the same in all runs.
struct Bench {
    arguments: Arguments,
    config: String,
    ours: PathBuf,
    upstream: PathBuf,
    pinned: bool,
}

impl Bench {
    fn new(arguments: Arguments, scripts: &Path) -> anyhow::Result<Self> {
        let config = std::fs::read_to_string(&arguments.config)
            .with_context(|| format!("reading {}", arguments.config.display()))?;
        let ours = arguments.collector.clone().map_or_else(find_binary, Ok)?;
        let upstream = arguments.upstream.clone();
        let core = arguments.collector_core;
        let Some(()) = pin_this_process(arguments.generator_core) else {
            return Ok(Self {
                arguments,
                config,
                ours,
                upstream,
                pinned: false,
            });
        };
        Ok(Self {
            ours: pinned(&ours, core, &scripts.join("tracepipe"))?,
            upstream: pinned(&upstream, core, &scripts.join("upstream"))?,
            arguments,
            config,
            pinned: true,
        })
    }

    async fn run(&self, arm: Arm) -> anyhow::Result<Run> {
        let sink = OtlpSink::start().await?;
        let mut collector = match arm {
            Arm::Ours => self.start_ours(sink.address()).await?,
            Arm::Upstream => self.start_upstream(sink.address()).await?,
        };
        tokio::time::sleep(Duration::from_secs(self.arguments.idle)).await;
        let idle = collector.usage()?;

        let traces_per_second = self.arguments.rate / u64::from(SPANS_PER_TRACE);
        let plain = Plain::new(1, Mix::default(), clock::unix_nanos(), traces_per_second)?;
        let length = Duration::from_secs(self.arguments.warm_up + self.arguments.measure) + TAIL;
        let traces = traces_per_second * length.as_secs();
        let requests = traces.div_ceil(u64::from(TRACES_PER_REQUEST));
        let senders = [Arc::new(Sender::new(Target::grpc(collector.otlp()?))?)];
        let planned = (0..requests).map(|number| Planned {
            due: Duration::from_nanos(plain.due_nanos(number)),
            sender: 0,
            request: plain.request(number),
        });
        let start = clock::now();
        let (load, window) = tokio::join!(
            load::run(&senders, start, planned),
            self.watch(&mut collector, start)
        );
        let (first, last) = window?;
        let accepted = load.spans_accepted / u64::from(SPANS_PER_TRACE);
        tokio::time::timeout(SETTLE_LIMIT, collector.settled(accepted))
            .await
            .context("spans are still in the collector long after the last request")??;
        collector.stop().await?;

        let spans = last.received.saturating_sub(first.received);
        ensure!(spans > 0, "the collector received no span while it was measured");
        let wall = last.at.saturating_duration_since(first.at).as_secs_f64();
        Ok(Run {
            arm,
            cpu_micros_per_span: last.usage.cpu.saturating_sub(first.usage.cpu).as_secs_f64() * 1e6
                / spans as f64,
            spans_per_second: spans as f64 / wall,
            idle_rss_bytes: idle.rss_bytes,
            peak_rss_bytes: last.usage.rss_peak_bytes,
            refused: load.requests - load.accepted,
            spoilt_traces: spoilt_traces(&plain, requests, &load, &sink),
            generator_share: last
                .generator_cpu
                .saturating_sub(first.generator_cpu)
                .as_secs_f64()
                / wall,
            send_lag_max: load.send_lag_max,
            latency_p99: load.latency(0.99).unwrap_or_default(),
        })
    }

    /// Looks when the warm-up is over and again at the end of the measured time.
    async fn watch(&self, collector: &mut Collector, start: Instant) -> anyhow::Result<(Look, Look)> {
        let warm = start + Duration::from_secs(self.arguments.warm_up);
        tokio::time::sleep_until(warm.into()).await;
        let first = collector.look().await?;
        tokio::time::sleep_until((warm + Duration::from_secs(self.arguments.measure)).into()).await;
        Ok((first, collector.look().await?))
    }

    async fn start_ours(&self, sink: SocketAddr) -> anyhow::Result<Collector> {
        let start = Start {
            binary: Some(self.ours.clone()),
            ..Start::new(&self.arguments.config)
        };
        let mut start = start.set(format!("exporters.otlp.endpoint={sink}"));
        if let Some(limit) = self.arguments.limit_mib {
            start = start.set(format!("processors.memory_limiter.limit_mib={limit}"));
        }
        Ok(Collector::Ours(CollectorProcess::start(start).await?))
    }

    async fn start_upstream(&self, sink: SocketAddr) -> anyhow::Result<Collector> {
        let (grpc, http, metrics) = (free_address()?, free_address()?, free_address()?);
        let reader = format!(
            "service:\n  telemetry:\n    metrics:\n      readers:\n        - pull: {{exporter: {{prometheus: {{host: {}, port: {}}}}}}}\n",
            metrics.ip(),
            metrics.port()
        );
        let mut config = self.config.clone();
        for (from, to) in [
            ("0.0.0.0:4317", grpc.to_string()),
            ("0.0.0.0:4318", http.to_string()),
            ("127.0.0.1:4327", sink.to_string()),
            ("\nservice:\n", format!("\n{reader}")),
            (
                " limit_mib: 400",
                format!(" limit_mib: {}", self.arguments.limit_mib.unwrap_or(400)),
            ),
        ] {
            ensure!(
                config.matches(from).count() == 1,
                "{} has {from:?} not once",
                self.arguments.config.display()
            );
            config = config.replace(from, &to);
        }
        let mut env = BTreeMap::from([("GOMAXPROCS".to_owned(), "1".to_owned())]);
        env.extend(self.arguments.upstream_env.iter().cloned());
        let peer = OtelcolPeer::start(&self.upstream, &config, grpc, &env).await?;
        Ok(Collector::Upstream { peer, grpc, metrics })
    }

    fn write_setting(&self, out: &mut impl Write) -> std::io::Result<()> {
        let arguments = &self.arguments;
        let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = file("/proc/cpuinfo");
        let model = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let siblings = file("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list");
        writeln!(
            out,
            "machine    {}; threads on the core of CPU 0: {}",
            model.map_or("unknown CPU", |(_, name)| name),
            siblings.trim()
        )?;
        match self.pinned {
            true => writeln!(
                out,
                "cores      collector {}, generator and sink {}",
                arguments.collector_core, arguments.generator_core
            )?,
            false => writeln!(out, "cores      NOT PINNED: taskset is not there or not allowed")?,
        }
        writeln!(
            out,
            "load       {} spans/s, {SPANS_PER_TRACE} a trace, {} a request, gRPC without compression; {} s of warm-up, {} s measured",
            arguments.rate,
            SPANS_PER_TRACE * TRACES_PER_REQUEST,
            arguments.warm_up,
            arguments.measure
        )?;
        if let Some(limit) = arguments.limit_mib {
            writeln!(out, "limiter    limit_mib {limit} instead of the file's")?;
        }
        writeln!(
            out,
            "CPU        user and system time of the process by spans received; what the kernel does for loopback is\n\
             \x20          mostly on the sender's account, so do not compare with figures of a network card\n"
        )
    }
}

/// A collector under load.
enum Collector {
    Ours(CollectorProcess),
    Upstream {
        peer: OtelcolPeer,
        grpc: SocketAddr,
        metrics: SocketAddr,
    },
}

/// One look at everything that is measured.
struct Look {
    at: Instant,
    received: u64,
    usage: Usage,
    generator_cpu: Duration,
}

impl Collector {
    fn otlp(&self) -> anyhow::Result<SocketAddr> {
        match self {
            Self::Ours(ours) => ours.grpc(),
            Self::Upstream { grpc, .. } => Ok(*grpc),
        }
    }

    fn usage(&mut self) -> anyhow::Result<Usage> {
        match self {
            Self::Ours(ours) => ours.usage(),
            Self::Upstream { peer, .. } => peer.process().usage(),
        }
    }

    async fn look(&mut self) -> anyhow::Result<Look> {
        let received = match self {
            Self::Ours(ours) => ours.checked_account().await?.sum("tracepipe_spans_accepted"),
            Self::Upstream { peer, metrics, .. } => {
                let page = peer.metrics(*metrics).await?;
                page.sum("otelcol_receiver_accepted_spans") as u64
            }
        };
        Ok(Look {
            at: clock::now(),
            received,
            usage: self.usage()?,
            generator_cpu: own_cpu()?,
        })
    }

    /// Returns when every trace is decided and, in ours, gone. Set a time limit around it.
    async fn settled(&self, traces: u64) -> anyhow::Result<()> {
        let mut tick = tokio::time::interval(POLL_INTERVAL);
        loop {
            tick.tick().await;
            let settled = match self {
                Self::Ours(ours) => ours.checked_account().await?.spans_inside() == 0,
                Self::Upstream { peer, metrics, .. } => {
                    let page = peer.metrics(*metrics).await?;
                    page.sum("otelcol_processor_tail_sampling_global_count_traces_sampled") >= traces as f64
                }
            };
            if settled {
                return Ok(());
            }
        }
    }

    async fn stop(self) -> anyhow::Result<()> {
        let status = match self {
            Self::Ours(ours) => ours.terminate(STOP_LIMIT).await?.status,
            Self::Upstream { peer, .. } => peer.terminate(STOP_LIMIT).await?.0,
        };
        if !status.success() {
            bail!("it ended with {status}");
        }
        Ok(())
    }
}

fn spoilt_traces(plain: &Plain, requests: u64, load: &LoadReport, sink: &OtlpSink) -> u64 {
    let traces = sink.traces();
    let mut spoilt = 0;
    for truth in (0..requests)
        .flat_map(Plain::traces_of)
        .map(|trace| plain.truth(trace))
    {
        let whole = truth.spans.len();
        let spoils = match traces.get(&truth.trace_id) {
            None => truth.must_be_kept.is_some() && load.fully_accepted(&truth),
            Some(spans) => {
                let mut distinct = spans.clone();
                distinct.sort_unstable();
                distinct.dedup();
                spans.len() != whole || distinct.len() != whole
            }
        };
        spoilt += u64::from(spoils);
    }
    spoilt
}

/// Gives this process, all of its threads and those to come one core; `None` when that cannot be done.
fn pin_this_process(core: u32) -> Option<()> {
    let pid = std::process::id().to_string();
    let output = Command::new("taskset")
        .args(["--all-tasks", "--pid", "--cpu-list", &core.to_string(), &pid])
        .output()
        .ok()?;
    output.status.success().then_some(())
}

/// A script that becomes `binary` on one core, with the same process id.
fn pinned(binary: &Path, core: u32, script: &Path) -> anyhow::Result<PathBuf> {
    let binary = binary
        .canonicalize()
        .with_context(|| binary.display().to_string())?;
    let quoted = binary.display().to_string().replace('\'', r"'\''");
    std::fs::write(
        script,
        format!("#!/bin/sh\nexec taskset --cpu-list {core} '{quoted}' \"$@\"\n"),
    )?;
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755))?;
    Ok(script.to_owned())
}

/// User and system time of this process so far: fields 14 and 15 of `stat` in proc(5), counted after the name.
fn own_cpu() -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let ticks = stat.rsplit_once(')').and_then(|(_, fields)| {
        let mut fields = fields.split_whitespace().skip(11);
        Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
    });
    let ticks = ticks.context("/proc/self/stat in another form than proc(5) says")?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is needed")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn write_run(out: &mut impl Write, number: usize, run: &Run) -> std::io::Result<()> {
    writeln!(
        out,
        "run {number:>2}  {:<10} {:>6.2} us/span  {:>7.0} spans/s  peak {:>6.1} MiB  idle {:>5.1} MiB  refused {}  spoilt {}  \
         generator {:.0} % of its core, {:.0} ms late at most, p99 {:.1} ms{}",
        run.arm.name(),
        run.cpu_micros_per_span,
        run.spans_per_second,
        run.peak_rss_bytes as f64 / MIB,
        run.idle_rss_bytes as f64 / MIB,
        run.refused,
        run.spoilt_traces,
        run.generator_share * 100.0,
        run.send_lag_max.as_secs_f64() * 1e3,
        run.latency_p99.as_secs_f64() * 1e3,
        if run.generator_share > GENERATOR_SHARE_MAX {
            "  GENERATOR-BOUND"
        } else {
            ""
        },
    )?;
    out.flush()
}

fn write_table(out: &mut impl Write, runs: &[Run]) -> std::io::Result<()> {
    writeln!(
        out,
        "\nmedian (least - most)\n{:<10} {:>4}  {:<24} {:<26} {:<24} {:>7} {:>6}  generator's headroom",
        "", "runs", "CPU us/span", "peak RSS MiB", "idle RSS MiB", "refused", "spoilt"
    )?;
    for arm in [Arm::Ours, Arm::Upstream] {
        let of_arm: Vec<&Run> = runs.iter().filter(|run| run.arm == arm).collect();
        let spread = |value: fn(&Run) -> f64| Spread::of(of_arm.iter().map(|run| value(run)));
        let sum = |value: fn(&Run) -> u64| of_arm.iter().map(|run| value(run)).sum::<u64>();
        writeln!(
            out,
            "{:<10} {:>4}  {:<24} {:<26} {:<24} {:>7} {:>6}  {:.0} % of its core",
            arm.name(),
            of_arm.len(),
            spread(|run| run.cpu_micros_per_span).to_string(),
            spread(|run| run.peak_rss_bytes as f64 / MIB).to_string(),
            spread(|run| run.idle_rss_bytes as f64 / MIB).to_string(),
            sum(|run| run.refused),
            sum(|run| run.spoilt_traces),
            (1.0 - spread(|run| run.generator_share).most) * 100.0,
        )?;
    }
    // ABBA: the first of each two is compared with the second.
    let ratio = |value: fn(&Run) -> f64| {
        Spread::of(runs.as_chunks::<2>().0.iter().map(|pair| {
            let of = |arm: Arm| pair.iter().find(|run| run.arm == arm).map_or(f64::NAN, value);
            of(Arm::Upstream) / of(Arm::Ours)
        }))
    };
    writeln!(
        out,
        "upstream / tracepipe, by pairs: CPU {}, peak RSS {}",
        ratio(|run| run.cpu_micros_per_span),
        ratio(|run| run.peak_rss_bytes as f64)
    )?;
    for arm in [Arm::Ours, Arm::Upstream] {
        let spoilt = |run: &&Run| run.arm == arm && (run.refused > 0 || run.spoilt_traces > 0);
        let count = runs.iter().filter(spoilt).count();
        if count > 0 {
            writeln!(
                out,
                "VOID: in {count} runs {} refused or lost something; its cost there is not that of all the load",
                arm.name()
            )?;
        }
    }
    Ok(())
}

/// Median, least and most.
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    /// All NaN when there is nothing.
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let last = sorted.len().saturating_sub(1);
        Self {
            median: f64::midpoint(at(last / 2), at(last.div_ceil(2))),
            least: at(0),
            most: at(last),
        }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ({:.2} - {:.2})", self.median, self.least, self.most)
    }
}

//! `make bench`: measures our collector and the upstream one in turn and prints a table. See `docs/benchmarks.md`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context;
use clap::Parser;
use serde_json::json;
use tracepipe_e2e::bench::arm::Bench;
use tracepipe_e2e::bench::machine;
use tracepipe_e2e::bench::report::{self, Tally};
use tracepipe_e2e::bench::runner;
use tracepipe_e2e::bench::scenario::{self, Depth, SCENARIOS};
use tracepipe_e2e::clock;
use tracepipe_e2e::collector::find_binary;

/// Turns of the scheduler between looks at the sockets: a generator that is behind its schedule still reads answers.
const EVENT_INTERVAL: u32 = 8;

/// Measures our collector and upstream's in turn under loads whose outcome is known span by span.
#[derive(Debug, Parser)]
#[command(name = "tracepipe-bench")]
struct Arguments {
    /// Scenarios by number, `B4` or `B7-gzip`; all when there is none.
    scenarios: Vec<String>,
    /// Our collector's binary [default: $TRACEPIPE_COLLECTOR, else the one beside this binary].
    #[arg(long)]
    collector: Option<PathBuf>,
    /// The upstream collector's binary.
    #[arg(long, env = "TRACEPIPE_OTELCOL", required_unless_present_any = ["ours_only", "list"])]
    upstream: Option<PathBuf>,
    /// The upstream collector v0.120.0 with its X-Ray exporter; without it, B16 measures ours alone.
    #[arg(long, env = "TRACEPIPE_OTELCOL_AWSXRAY")]
    upstream_xray: Option<PathBuf>,
    /// Measure our collector alone.
    #[arg(long)]
    ours_only: bool,
    /// At least five pairs, 30 s of warm-up, 60 s and three decision waits measured: hours.
    #[arg(long)]
    full: bool,
    /// Pairs of runs instead of the form's own number.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: Option<u32>,
    /// Another rate for the scenarios that have one, in spans a second: to find where time goes.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1000..=3_000_000))]
    rate: Option<u64>,
    /// The configuration of both.
    #[arg(long, default_value = "deploy/examples/otlp-out.yaml")]
    config: PathBuf,
    /// The folder of the JSON file.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// The collector's core.
    #[arg(long, default_value_t = 0)]
    collector_core: u32,
    /// The core of generator and sink.
    #[arg(long, default_value_t = 1)]
    generator_core: u32,
    /// Says what stands in the report beside our version, `git describe` for one.
    #[arg(long, env = "TRACEPIPE_REVISION", default_value = "")]
    revision: String,
    /// Only list the scenarios.
    #[arg(long)]
    list: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(EVENT_INTERVAL)
        .build()?
        .block_on(bench(&arguments))
}

async fn bench(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    if arguments.list {
        for scenario in SCENARIOS {
            writeln!(out, "{:<8} {}", scenario.id, scenario.title)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let selected = scenario::select(&arguments.scenarios).map_err(anyhow::Error::msg)?;
    let depth = if arguments.full { Depth::Full } else { Depth::Short };
    let scratch = tempfile::tempdir().context("a folder for start scripts")?;
    let bench = prepare(arguments, scratch.path())?;
    let setting = write_setting(&mut out, arguments, &bench)?;

    let mut blocks = Vec::new();
    for mut scenario in selected {
        if let Some(pairs) = arguments.pairs {
            (scenario.pairs_short, scenario.pairs_full) = (pairs, pairs);
        }
        if let Some(rate) = arguments.rate {
            scenario.work = scenario.work.at_rate(rate);
        }
        let block = Box::pin(runner::run(&bench, &scenario, depth, &blocks, &mut out)).await?;
        blocks.push(block);
    }
    let mut tally = Tally::default();
    report::write_head(&mut out)?;
    for block in &blocks {
        report::write_block(&mut out, block, &mut tally)?;
    }
    let file = report::write_file(
        &arguments.out,
        clock::unix_nanos() / 1_000_000_000,
        &report::json(&setting, &blocks),
    )?;
    writeln!(
        out,
        "\n{} gates missed, {} goals missed, {} runs void; {}",
        tally.gates_missed,
        tally.goals_missed,
        tally.void,
        file.display()
    )?;
    let good = tally.gates_missed == 0 && tally.void == 0;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn prepare(arguments: &Arguments, scratch: &Path) -> anyhow::Result<Bench> {
    let base = std::fs::read_to_string(&arguments.config)
        .with_context(|| format!("reading {}", arguments.config.display()))?;
    let pinned = machine::pin_this_process(arguments.generator_core);
    let wanted = |path: &Option<PathBuf>| path.clone().filter(|_| !arguments.ours_only);
    Ok(Bench {
        ours: arguments.collector.clone().map_or_else(find_binary, Ok)?,
        upstream: wanted(&arguments.upstream),
        upstream_xray: wanted(&arguments.upstream_xray),
        base,
        scratch: scratch.to_owned(),
        core: pinned.then_some(arguments.collector_core),
    })
}

fn write_setting(
    out: &mut impl Write,
    arguments: &Arguments,
    bench: &Bench,
) -> anyhow::Result<serde_json::Value> {
    let machine = machine::describe();
    let ours = format!("{} {}", version(&bench.ours)?, arguments.revision);
    let upstream = bench.upstream.as_deref().map(version).transpose()?;
    let upstream_xray = bench.upstream_xray.as_deref().map(version).transpose()?;
    let cores = bench.core.map_or_else(
        || "NOT PINNED: taskset is not there or not allowed".to_owned(),
        |core| {
            format!(
                "collector {core}, generator and sink {}",
                arguments.generator_core
            )
        },
    );
    writeln!(
        out,
        "machine    {machine}\ncores      {cores}\ntracepipe  {}",
        ours.trim()
    )?;
    writeln!(
        out,
        "upstream   {}",
        upstream.as_ref().map_or_else(
            || "not measured".to_owned(),
            |version| format!("{version}, GOMAXPROCS=1, GOMEMLIMIT=80 % of limit_mib")
        )
    )?;
    if let Some(version) = &upstream_xray {
        writeln!(out, "           {version} in B16, the same way")?;
    }
    writeln!(
        out,
        "load       10 spans a trace of about 526 bytes, 200 a request where nothing else is said, no compression out\n\
         CPU        user and system time by spans or data points received; what the kernel does for loopback is mostly\n\
         \x20          on the sender's account, so do not compare with figures of a network card"
    )?;
    Ok(json!({
        "machine": machine, "cores": cores, "tracepipe": ours.trim(), "upstream": upstream,
        "upstream_xray": upstream_xray,
        "full": arguments.full, "unix_seconds": clock::unix_nanos() / 1_000_000_000,
    }))
}

/// The last line of `--version`.
fn version(binary: &Path) -> anyhow::Result<String> {
    let output = Command::new(binary)
        .arg("--version")
        .output()
        .with_context(|| format!("running {}", binary.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().last().unwrap_or_default().trim().to_owned())
}

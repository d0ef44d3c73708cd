//! `make soak`, the part of X-Ray: a collector for each way in which the way to X-Ray can break, all side by side.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Parser;
use tokio::task::{JoinSet, LocalSet};
use tracepipe_e2e::soak::faults::{FAULTS, Fault};
use tracepipe_e2e::soak::run::{self, Course};

/// Breaks the way to X-Ray in every way and looks whether anything is lost.
#[derive(Debug, Parser)]
struct Arguments {
    /// Faults by name; all when there is none.
    faults: Vec<String>,
    /// Forty seconds of each fault in place of ten minutes.
    #[arg(long)]
    quick: bool,
    /// Our collector's binary [default: $TRACEPIPE_COLLECTOR, else the one beside this binary].
    #[arg(long)]
    collector: Option<PathBuf>,
    /// The configuration.
    #[arg(long, default_value = "deploy/examples/seed1.yaml")]
    config: PathBuf,
    /// Spans a second, all kept.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(100..=2_000))]
    rate: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    LocalSet::new().run_until(soak(Arguments::parse())).await
}

async fn soak(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let selected = select(&arguments.faults)?;
    let course = Course {
        length: Duration::from_secs(if arguments.quick { 40 } else { 600 }),
        rate: arguments.rate,
        collector: arguments.collector,
        config: arguments.config,
    };
    say(&format!(
        "x-ray      faults of {} s at {} spans/s, all kept",
        course.length.as_secs(),
        course.rate
    ));
    let mut running = JoinSet::new();
    for fault in selected {
        if let Some(why) = fault.impossible() {
            say(&format!("{:<16} left out: {why}", fault.name()));
            continue;
        }
        let course = course.clone();
        running.spawn_local(async move { (fault, run::run(fault, &course).await) });
    }
    let mut failed = 0;
    while let Some(ended) = running.join_next().await {
        let (fault, result) = ended?;
        match result {
            Ok(result) => say(&format!(
                "{:<16} {} spans, {} at X-Ray, {} lost and counted, {} sent twice; backlog {} clear after {:.1} s; {} calls failed",
                fault.name(),
                result.accepted,
                result.documents,
                result.lost,
                result.repeated,
                result.backlog,
                result.clear_after.as_secs_f64(),
                result.failed_calls
            )),
            Err(error) => {
                failed += 1;
                say(&format!("{:<16} FAILED: {error:#}", fault.name()));
            }
        }
    }
    say(if failed == 0 {
        "x-ray      passed"
    } else {
        "x-ray      FAILED"
    });
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn select(names: &[String]) -> anyhow::Result<Vec<Fault>> {
    if names.is_empty() {
        return Ok(FAULTS.to_vec());
    }
    let of = |name: &String| FAULTS.into_iter().find(|fault| fault.name() == name);
    let mut selected = Vec::new();
    for name in names {
        match of(name) {
            Some(fault) => selected.push(fault),
            None => bail!("no fault {name}: {}", FAULTS.map(Fault::name).join(" ")),
        }
    }
    Ok(selected)
}

fn say(line: &str) {
    // Who has closed the output does not want to know.
    drop(writeln!(std::io::stdout(), "{line}"));
}

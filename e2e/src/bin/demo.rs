//! The product in one command: see `tracepipe_e2e::demo`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tracepipe_e2e::demo::{self, Options};
use tracepipe_e2e::terminal::Terminal;

/// Runs the collector with an order system in front of it and a stand-in for AWS X-Ray behind it, for under a minute.
#[derive(Debug, Parser)]
struct Arguments {
    /// The TracingPipeline that says what the collector does.
    #[arg(long, default_value = "deploy/examples/pipeline-minimal.yaml")]
    pipeline: PathBuf,
    /// The operator's binary [default: $TRACEPIPE_OPERATOR, else the one beside this binary].
    #[arg(long)]
    operator: Option<PathBuf>,
    /// The collector's binary [default: $TRACEPIPE_COLLECTOR, else the one beside this binary].
    #[arg(long)]
    collector: Option<PathBuf>,
    /// How many traces are sent.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    traces: u32,
    /// For how many seconds traces begin.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Another number is another day in the shop.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Have X-Ray forget one failed trace that it has accepted: the demo must notice and exit with 1.
    #[arg(long)]
    swallow_one_error: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = Options {
        pipeline: arguments.pipeline,
        operator: arguments.operator,
        collector: arguments.collector,
        traces: arguments.traces,
        length: Duration::from_secs(arguments.seconds),
        seed: arguments.seed,
        swallow_one_error: arguments.swallow_one_error,
    };
    let mut out = std::io::stdout();
    match demo::run(&options, &mut out, Terminal::detect()).await {
        Ok(problems) if problems.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing is left to do when even this cannot be written.
            let _unwritable = writeln!(std::io::stderr(), "the demo could not be run: {error:#}");
            ExitCode::FAILURE
        }
    }
}

//! `tracepipe-collector`: arguments, log, exit codes; nothing else.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use tracepipe_collector::exposition::account_text;
use tracepipe_collector::pipeline::Pipeline;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The configuration was refused.
const EXIT_CONFIG: u8 = 2;

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the answers of a command-line tool"
)]
fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let loaded = match cli::load(&arguments.config()) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    if arguments.is_validate() {
        for warning in &loaded.warnings {
            eprintln!("warning: {warning}");
        }
        println!("the configuration is valid");
        return ExitCode::SUCCESS;
    }
    cli::init_log(&loaded.settings.telemetry.logs);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    match run(loaded.settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: tracepipe_config::Settings) -> anyhow::Result<()> {
    // One provider for everything that speaks TLS; two features that disagree would panic at the first connection.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        anyhow::bail!("another TLS provider is installed already");
    }
    let account = Pipeline::build(settings)?.run()?;
    tracing::info!(account = account_text(&account), "account");
    Ok(())
}

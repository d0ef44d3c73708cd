//! The command line, spelled as the OpenTelemetry Collector spells it.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tracepipe_config::{Loaded, LogEncoding, LogLevel, LogSettings, Override, Source, load as load_config};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// A trace collector for one node: OTLP in, memory limiter, tail sampling, batch, AWS X-Ray out.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Option<ConfigArguments>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a configuration: every error with file, line and column; exit status 2 when there is one.
    Validate(ConfigArguments),
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigArguments {
    /// OpenTelemetry Collector YAML.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Overrides one setting; may be repeated. The value is YAML.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    overrides: Vec<String>,
}

// === impl Arguments ===

impl Arguments {
    /// True for `validate`.
    pub(crate) fn is_validate(&self) -> bool {
        matches!(self.command, Some(Command::Validate(_)))
    }

    /// Where the configuration comes from, whatever is to be done with it.
    pub(crate) fn config(&self) -> ConfigArguments {
        match (&self.command, &self.run) {
            (Some(Command::Validate(config)), _) | (None, Some(config)) => config.clone(),
            (None, None) => <Self as clap::CommandFactory>::command()
                .error(
                    clap::error::ErrorKind::MissingRequiredArgument,
                    "--config FILE is required",
                )
                .exit(),
        }
    }
}

/// Why there is no configuration.
pub(crate) struct LoadError(String);

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads and resolves a configuration.
///
/// # Errors
/// The file cannot be read, an override is not `PATH=VALUE`, or the configuration is refused; all errors at once.
pub(crate) fn load(arguments: &ConfigArguments) -> Result<Loaded, LoadError> {
    let name = arguments.config.display().to_string();
    let text = std::fs::read_to_string(&arguments.config)
        .map_err(|error| LoadError(format!("{name}: cannot be read: {error}")))?;
    let overrides = arguments
        .overrides
        .iter()
        .map(|text| Override::parse(text))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| LoadError(format!("--set: {error}")))?;
    let env = |name: &str| std::env::var(name).ok();
    load_config(&Source { name, text }, &overrides, &env).map_err(|errors| LoadError(errors.to_string()))
}

/// Starts the log on standard error.
pub(crate) fn init_log(settings: &LogSettings) {
    let level = match settings.level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    // The libraries' own debug lines would bury ours, and the SDK's may show what is sent.
    let libraries = level.min(LevelFilter::WARN);
    let filter = Targets::new()
        .with_default(libraries)
        .with_target("tracepipe", level);
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match settings.encoding {
        LogEncoding::Console => registry.with(layer).init(),
        LogEncoding::Json => registry.with(layer.json()).init(),
    }
}

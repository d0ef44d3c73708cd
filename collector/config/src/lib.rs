//! OpenTelemetry Collector YAML in, [`Settings`] out. Shared by the collector and the operator: what the operator
//! accepts, the collector of the same release cannot refuse.
//!
//! The way of a setting: text -> `tree` (values with places) -> `overrides` -> `expand` (`${env:NAME}`) ->
//! [`Config`] (what was written, typed) -> [`Config::resolve`] -> [`Settings`] (what is true). Everything that is
//! wrong is said at once, with its place. Nothing here reads a file, the environment or a clock.
//!
//! The other way, for a program that builds a [`Config`]: [`Config::to_yaml`].
//!
//! Settings of our own, which upstream does not have: what stands under `tracepipe` of `awsxray`, `prometheusremotewrite`
//! and `prometheus`, and of `tail_sampling` `record_policy` and `decision_cache.directory`. Known settings without an
//! effect here are accepted with a warning: see the calls of `without_effect` in `config/`.

mod catalog;
pub mod config;
mod decode;
mod duration;
mod error;
mod expand;
pub mod go_regex;
mod overrides;
pub mod predicates;
mod resolve;
mod scalar;
mod settings;
mod tree;
mod write;

#[cfg(test)]
mod tests;

pub use config::Config;
pub use duration::GoDuration;
pub use error::{ConfigError, ConfigErrors, ConfigWarning, Diagnostic, Position};
pub use overrides::Override;
pub use settings::*;

use error::Diagnostics;

/// A configuration's text and the name it has in messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// For example the file's path.
    pub name: String,
    /// YAML, at most 1 MiB.
    pub text: String,
}

/// A configuration that can be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What is true.
    pub settings: Settings,
    /// What was accepted and has no effect, in the order of the file.
    pub warnings: Vec<ConfigWarning>,
}

/// Reads a configuration: the file's text, then the overrides in their order (the last one wins), then `${env:NAME}`
/// through `env`, which answers None for a variable that is not set.
///
/// # Errors
/// Everything that is wrong, at once, each with its place. YAML that cannot be read gives the first error only.
pub fn load(
    source: &Source,
    overrides: &[Override],
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, ConfigErrors> {
    let names = overrides.iter().map(Override::source);
    let sources: Vec<String> = std::iter::once(source.name.clone()).chain(names).collect();
    let mut diag = Diagnostics::default();
    let Some(mut root) = tree::parse(&source.text, 0, &mut diag) else {
        return Config {
            sources,
            ..Config::default()
        }
        .finish(None, diag);
    };
    for (index, change) in overrides.iter().enumerate() {
        match u16::try_from(index + 1) {
            Ok(number) if index < overrides::OVERRIDES_MAX => change.apply(&mut root, number, &mut diag),
            Ok(_) | Err(_) => {
                diag.error(
                    None,
                    "",
                    format!("more than {} overrides", overrides::OVERRIDES_MAX),
                );
                break;
            }
        }
    }
    expand::expand(&mut root, env, &mut diag);
    diag.expanded();
    let config = Config::decode(&root, sources, &mut diag);
    diag.decoded();
    let settings = config.resolve_with(&mut diag);
    config.finish(settings, diag)
}

//! Whole files.

mod examples;
mod golden;
mod language;
mod metrics;
mod random;
mod sampling;
mod write;

use crate::{ConfigErrors, Loaded, Override, Source, load};

/// The smallest configuration that runs.
const SMALLEST: &str = "\
receivers:
  otlp:
    protocols:
      grpc:
exporters:
  awsxray:
service:
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [awsxray]
";

fn source(text: &str) -> Source {
    Source {
        name: "collector.yaml".to_owned(),
        text: text.to_owned(),
    }
}

fn load_text(text: &str) -> Result<Loaded, ConfigErrors> {
    load(&source(text), &[], &|_| None)
}

/// [`SMALLEST`] with overrides and an environment.
fn load_with(overrides: &[&str], env: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let overrides: Vec<Override> = overrides
        .iter()
        .map(|text| Override::parse(text).unwrap())
        .collect();
    load(&source(SMALLEST), &overrides, &|name| {
        env.iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    })
}

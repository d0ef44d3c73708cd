//! OTLP metrics to Prometheus series. Pure: no clock, no network, no random numbers of its own.
//!
//! The rules are those of the page `prometheus-translation.md` of the project's reference, which follows the
//! `prometheusremotewrite` and `prometheus` exporters of the OpenTelemetry Collector Contrib but where they lose data.

pub mod floats;
pub mod labels;
pub mod names;
pub mod scrape;
pub mod units;
pub mod view;

//! OTLP metrics to Prometheus series. Pure: no clock, no network, no random numbers of its own.
//!
//! The rules are those of the page `prometheus-translation.md` of the project's reference, which follows the
//! `prometheusremotewrite` and `prometheus` exporters of the OpenTelemetry Collector Contrib but where they lose data.

mod account;
mod context;
mod delta;
mod exemplar;
pub mod floats;
#[cfg(any(test, feature = "fuzzing"))]
#[allow(
    clippy::panic,
    clippy::expect_used,
    reason = "what it finds wrong shall end the test"
)]
pub mod fuzzing;
mod identity;
mod label_set;
pub mod labels;
pub mod limits;
mod metadata;
pub mod names;
mod native;
mod order;
mod recent;
mod remote_write;
mod rules;
pub mod scrape;
mod series;
mod sink;
mod stream;
mod target_info;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod time;
pub mod units;
pub mod view;
pub mod write_request;

pub use account::{DropReason, Dropped, Translated, UnixMillis};
pub use remote_write::RemoteWrite;
pub use series::{STALE_NAN, STALE_NAN_BITS, TranslatedSeries};

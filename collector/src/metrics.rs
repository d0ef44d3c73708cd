//! The metrics line: requests with metrics as bytes, from the receivers to the exporters.
//!
//! `inlet.rs` is the receivers' end of the one channel between ingest and the metrics owner, `batcher.rs` makes batches of
//! what comes out of it; `exporter/metrics.rs` has the exporters, `pipeline/metrics_owner.rs` the thread that they run on.
//! Traces never wait for any of it: requests that there is no room for are refused, batches that there is no room for are
//! dropped and counted.

mod batcher;
mod inlet;

pub use batcher::{EditedRequest, MetricsBatch, MetricsBatcher, Rest};
pub use inlet::{MetricsInlet, MetricsMessage, MetricsRequest, NotTaken, SharedInlet, channel};

#[cfg(test)]
pub(crate) mod testing;

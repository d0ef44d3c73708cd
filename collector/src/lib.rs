//! The tracepipe collector, in the order of a span's way:
//!
//! [`receiver`] -> [`ingest`] -> [`batcher`] -> [`exporter`], wired by [`pipeline`]; [`limiter`] bounds it, [`account`]
//! counts it, [`exposition`] and [`admin`] show it, [`purge`] gives its memory back, [`shutdown`] empties it. Requests with
//! metrics go from [`receiver`] by [`metrics`] to exporters of their own.

pub mod account;
pub mod admin;
pub mod batcher;
pub mod clock;
pub mod decision_log;
pub mod exporter;
pub mod exposition;
mod grpc_prefix;
mod http_port;
pub mod ingest;
pub mod limiter;
pub mod log_gate;
pub mod metrics;
pub mod pipeline;
pub mod process;
pub mod purge;
pub mod receiver;
pub mod shutdown;

//! Fakes, load generator, demo and the tools of the cross-process tests.
//!
//! [`workload`] and [`order_system`] make traces whose fate is known, [`load`] sends them, [`collector`] runs the
//! collector in between, [`fake_xray`], [`fake_amp`] and [`otlp_sink`] take what it sends, [`fake_sts`] says who may and
//! [`fake_iam`] has the roles ([`fake_aws`] is all of AWS), [`recorder`] takes what upstream sends to X-Ray, [`account`]
//! checks that nothing was lost on the way, [`service_map`] and [`waterfall`] show it; [`demo`] is all of them in one
//! command.

pub mod account;
pub mod bench;
pub mod binary;
pub mod clock;
pub mod cluster;
pub mod collector;
pub mod demo;
pub mod documents;
pub mod fake_amp;
pub mod fake_aws;
pub mod fake_iam;
pub mod fake_sts;
pub mod fake_xray;
mod grpc;
pub mod http_get;
pub mod load;
pub mod metrics;
pub mod operator;
pub mod order_system;
pub mod otlp_metrics;
pub mod otlp_sink;
pub mod process;
pub mod prometheus;
mod query;
pub mod recorder;
pub mod remote_write;
pub mod rng;
mod server;
pub mod service_map;
pub mod snappy;
pub mod soak;
pub mod spans;
pub mod terminal;
pub mod waterfall;
pub mod wire;
pub mod workload;

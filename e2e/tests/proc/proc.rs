//! Tests of real collector processes between real clients and fakes.
//!
//! They need `tracepipe-collector` beside this binary or in `TRACEPIPE_COLLECTOR`. Real peers and clients are named by
//! `TRACEPIPE_OTELCOL`, `TRACEPIPE_OTELCOL_AWSXRAY`, `TRACEPIPE_PYTHON`, `TRACEPIPE_NODE_DIR`, `TRACEPIPE_JAVA_AGENT` and
//! `TRACEPIPE_XRAY_SCHEMA`; what is not named is left out, and a line on standard error that begins with `left out:`
//! says so.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as the tests do"
)]

mod account;
mod amp_failures;
mod amp_oracle;
mod amp_page;
mod amp_rig;
mod clients;
mod demo;
mod fake_process;
mod hostile;
mod identity;
mod java_agent;
mod lifecycle;
mod line;
mod maps;
mod moto;
mod otlp_export;
mod parity;
mod policies;
mod rig;
mod schema;
mod sdk_metrics;
mod xray_failures;
mod xray_oracle;

//! `make bench`: our collector and the upstream one side by side, one core each in turn, under loads whose outcome is
//! known span by span.
//!
//! [`scenario`] is the table of what is measured; [`runner`] runs one line of it in the order ABBA, by [`steady`] (a
//! fixed rate), [`idle`], [`ceiling`] (the highest rate) or [`overload`]. A run has a collector ([`arm`], configured by
//! [`setup`]), a load ([`pace`] says when, [`payload`] what, [`link`] how, [`generator`] drives) and a [`sink`] whose
//! [`ledger`] says of each trace whether it came whole. [`report`] prints and writes what came out. What sends to X-Ray is
//! in [`xray`]: there upstream is v0.120.0, the last with an X-Ray exporter to be had. Data points are in [`metrics`].

pub mod arm;
pub mod ceiling;
pub mod cgroup;
pub mod generator;
pub mod idle;
pub mod ids;
pub mod ledger;
pub mod link;
pub mod machine;
pub mod metrics;
pub mod outcome;
pub mod overload;
pub mod pace;
pub mod payload;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod setup;
pub mod sink;
pub mod stats;
pub mod steady;
pub mod xray;

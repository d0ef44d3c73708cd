//! Tests on a real cluster of two nodes.
//!
//! `scripts/cluster.sh test` runs them: those of [`lifecycle`] where no cluster is, because they start their own (the
//! programs are named by `TRACEPIPE_CLUSTER_BIN`), all others inside one (`TRACEPIPE_CLUSTER_DIR`): `first::` on a cluster
//! without anything, `alone::` one after the other at the end, because they take away what others need, the rest
//! together. What cannot run is left out, and a line on standard error that begins with `left out:` says so.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as the tests do"
)]

mod account;
mod amp;
mod apps;
mod cluster;
mod exporting;
mod identity;
mod kill;
mod lifecycle;
mod line;
mod manifests;
mod names;
mod operator;
mod pods;
mod rig;
mod rights;
mod rollout;
mod size;
mod spec;
mod steady;
mod truth;

//! Senders that mean harm: the right refusal, the process lives, memory stays under its limit, honest clients are
//! served meanwhile, and the account holds.
//!
//! [`site`] is a collector with honest clients, [`bodies`] what is thrown at it, [`http1`] and [`http2`] how. The
//! attacks: [`refused_http`], [`refused_grpc`] (wrong requests, one at a time, exact answers), [`crowds`] (many that
//! stall), [`memory`] (few that are huge), [`noise`] (bytes that are no protocol).

mod bodies;
mod crowds;
mod http1;
mod http2;
mod memory;
mod noise;
mod refused_grpc;
mod refused_http;
mod rpc;
mod site;

/// One mebibyte.
const MIB: usize = 1024 * 1024;

/// More than any port takes: the bound is 64 MiB (OTLP specification, "Maximum Message Size").
const HUGE_BYTES: usize = 100 * MIB;

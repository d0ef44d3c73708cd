//! `make soak`, the part of X-Ray: collectors whose way to X-Ray breaks in one way each, in real time ([`faults`]), and
//! what must come of it ([`run`]). [`door`] is the way.

pub mod door;
pub mod faults;
pub mod run;

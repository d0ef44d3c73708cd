//! Documents to X-Ray: what they cost ([`cost`]) and what throttling does ([`throttled`]), ours and upstream's. A run's
//! configuration is [`setup`], its backend [`sink`].

pub mod cost;
pub mod setup;
pub mod sink;
pub mod throttled;

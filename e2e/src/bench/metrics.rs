//! Data points to a remote write endpoint: what one costs, ours and upstream's ([`cost`]). A run's configuration is
//! [`setup`], its load [`payload`], its backend [`sink`].

pub mod cost;
pub mod payload;
pub mod setup;
pub mod sink;

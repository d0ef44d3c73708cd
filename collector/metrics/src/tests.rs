//! Facts about the translation, each told by requests in and decoded requests out.

mod bad_input;
mod delta;
mod exemplars;
mod histograms;
mod labels;
mod memory;
mod metadata;
mod native;
mod numbers;
mod order;
mod returning;
mod staleness;
mod target_info;
mod write_request;
mod zeros;

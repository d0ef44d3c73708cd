//! What the fuzz targets of `fuzz/` run, which the tests run too: on each corpus, and on random input. Not in the product.

mod json_reader;
mod json_target;
mod metrics_target;
mod walk_target;

pub use json_target::json;
pub use metrics_target::{metrics, metrics_json};
#[cfg(test)]
pub(crate) use walk_target::assert_head;
pub use walk_target::walk;

#[cfg(test)]
mod tests;

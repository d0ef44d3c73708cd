//! What the fuzz targets of `fuzz/` run, which the tests run too: on each corpus, and on random input. Not in the product.

mod json_reader;
mod json_target;
mod walk_target;

pub use json_target::json;
pub use walk_target::walk;

#[cfg(test)]
mod tests;

//! Tail sampling as a pure state machine: no task, no clock, no input or output. Time is a parameter, and the same
//! calls give the same answers, whatever the hash seed.
//!
//! In the order of a span's way:
//! 1. [`summary`]: what is remembered of a trace's spans; it merges, so that parts of a trace can be added up.
//! 2. [`policy`]: folds each span into the summary at arrival, and decides from the summary alone.
//! 3. [`table`]: the traces that wait for their decision, and what became of those that were decided.
//! 4. `decision_cache`: what was decided, for the spans that come after it.
//! 5. [`stats`]: the account of all of it.

mod decision_cache;
mod id_hash;
pub mod policy;
pub mod stats;
pub mod summary;
pub mod table;

pub use policy::{Decision, Policies, PolicyIndex};
pub use stats::{PolicyStats, SamplingStats};
pub use summary::TraceSummary;
pub use table::{Discarded, Effect, Placement, Sampled, TraceTable};

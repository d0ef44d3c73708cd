//! Tail sampling as a pure state machine: no task, no clock, no input or output. Time is a parameter, and the same
//! calls give the same answers, whatever the hash seed.
//!
//! In the order of a span's way:
//! 1. [`watch`]: looks for what the policies look for, while the walk shows it a span's attributes.
//! 2. [`summary`]: what is remembered of a trace's spans; it merges, so that parts of a trace can be added up, and
//!    [`parts`] adds up what several collectors saw of it.
//! 3. [`policy`]: decides from the summary alone.
//! 4. [`table`]: the traces that wait for their decision, and what became of those that were decided.
//! 5. `decision_cache`: what was decided, for the spans that come after it.
//! 6. [`stats`]: the account of all of it.

mod decision_cache;
mod id_hash;
pub mod parts;
pub mod policy;
pub mod stats;
pub mod summary;
pub mod table;
pub mod watch;

pub use parts::PartialSummaries;
pub use policy::{Decision, Policies, PolicyError, PolicyIndex, Question, Verdict};
pub use stats::{PolicyStats, SamplingStats};
pub use summary::TraceSummary;
pub use table::{Discarded, Effect, Placement, RecordedDecision, Sampled, TraceTable};
pub use watch::PolicyWatch;

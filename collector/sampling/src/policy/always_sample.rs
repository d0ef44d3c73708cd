//! `always_sample`: every trace.

/// Wants every trace.
#[derive(Debug, Clone, Copy)]
pub(super) struct AlwaysSample;

impl AlwaysSample {
    /// True.
    pub(super) fn wants(self) -> bool {
        true
    }
}

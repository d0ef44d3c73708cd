//! What was true of a role, and when.

use std::time::SystemTime;

use super::Role;

/// A role while it was as it was.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) role: Role,
    pub(super) created: SystemTime,
}

/// States in the order of their times. None: there was no such role.
#[derive(Debug, Default)]
pub(super) struct History(Vec<(SystemTime, Option<State>)>);

impl History {
    pub(super) fn set(&mut self, now: SystemTime, state: Option<State>) {
        self.0.push((now, state));
    }

    /// The newest.
    pub(super) fn now(&self) -> Option<&State> {
        let (_, state) = self.0.last()?;
        state.as_ref()
    }

    /// The newest that was there at that time.
    pub(super) fn at(&self, time: SystemTime) -> Option<&State> {
        let (_, state) = self.0.iter().rfind(|(since, _)| *since <= time)?;
        state.as_ref()
    }
}

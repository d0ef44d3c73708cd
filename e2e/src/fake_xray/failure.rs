//! What the fake has been told to do wrong.

use serde::{Deserialize, Serialize};

/// Which of the signed `PutTraceSegments` calls fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// The next this many.
    Next(u64),
    /// Every this many-th, counted from when the script was set; 0 and 1: all.
    Every(u64),
}

/// How a call fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// 429 `ThrottledException`.
    Throttle,
    /// This HTTP status: 403, 408 or 5xx.
    Status(u16),
    /// The documents are not stored and no answer comes.
    Hang,
    /// The documents are not stored and the connection is closed without an answer.
    Close,
    /// The documents are stored, but the connection is closed without an answer: a retry sends them again.
    LoseAnswer,
    /// The first `documents` documents of the call come back unprocessed with this code, the others are stored.
    Unprocessed {
        /// `ErrorCode`.
        code: String,
        /// How many.
        documents: usize,
    },
}

/// A failure and when it happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script<F = Failure> {
    /// Which calls.
    pub when: When,
    /// What happens to them.
    pub failure: F,
}

/// The script that is being played.
#[derive(Debug)]
pub(crate) struct Player<F = Failure> {
    script: Option<Script<F>>,
    calls: u64,
}

impl<F> Default for Player<F> {
    fn default() -> Self {
        Self {
            script: None,
            calls: 0,
        }
    }
}

impl<F: Clone> Player<F> {
    pub(crate) fn set(&mut self, script: Option<Script<F>>) {
        *self = Self { script, calls: 0 };
    }

    /// Counts a call and says how it fails, if it does.
    pub(crate) fn next(&mut self) -> Option<F> {
        self.calls += 1;
        let script = self.script.as_ref()?;
        let fails = match script.when {
            When::Next(calls) => self.calls <= calls,
            When::Every(nth) => self.calls.is_multiple_of(nth.max(1)),
        };
        fails.then(|| script.failure.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, Player, Script, When};

    fn played(when: When) -> Vec<bool> {
        let mut player: Player = Player::default();
        player.set(Some(Script {
            when,
            failure: Failure::Throttle,
        }));
        (0..6).map(|_| player.next().is_some()).collect()
    }

    #[test]
    fn the_next_calls_fail_and_then_no_more() {
        assert_eq!(played(When::Next(2)), [true, true, false, false, false, false]);
    }

    #[test]
    fn every_third_call_fails() {
        assert_eq!(played(When::Every(3)), [false, false, true, false, false, true]);
        assert_eq!(played(When::Every(0)), [true; 6]);
    }

    #[test]
    fn a_script_reads_as_json() {
        let text =
            r#"{"when":{"next":3},"failure":{"unprocessed":{"code":"InternalFailure","documents":2}}}"#;
        let script: Script = serde_json::from_str(text).unwrap();
        assert_eq!(script.when, When::Next(3));
        let throttle: Script = serde_json::from_str(r#"{"when":{"every":1},"failure":"throttle"}"#).unwrap();
        assert_eq!(throttle.failure, Failure::Throttle);
    }
}

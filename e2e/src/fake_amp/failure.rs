//! What the fake has been told to do wrong.

use serde::{Deserialize, Serialize};

/// How a request fails. Which ones do, and when: [`crate::fake_xray::Script`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// This status, nothing is stored.
    Status {
        /// 400, 401, 403, 404, 408, 413, 429, 5xx.
        status: u16,
        /// `Retry-After`: seconds or an HTTP date.
        retry_after: Option<String>,
    },
    /// Nothing is stored and no answer comes.
    Hang,
    /// Nothing is stored and the connection is closed without an answer.
    Close,
    /// The connection is closed before the body was read.
    CloseEarly,
    /// All is stored, but the connection is closed without an answer: a retry sends it again.
    LoseAnswer,
}

impl Failure {
    /// 429 without a word on when to come back.
    pub fn throttle() -> Self {
        Self::Status {
            status: 429,
            retry_after: None,
        }
    }
}

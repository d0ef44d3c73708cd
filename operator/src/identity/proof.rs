//! Whether AWS gives the collectors their role: what is asked when, and what the answers come to. Pure.

use jiff::{SignedDuration, Timestamp};

use super::Backoff;
use crate::aws::{Assumed, Trouble};

/// What was written to IAM takes up to about two minutes to hold everywhere; only a refusal that lasts longer is one.
pub(crate) const DENIED_AFTER: SignedDuration = SignedDuration::from_mins(3);
/// A proven role is looked at this often.
const AGAIN: SignedDuration = SignedDuration::from_mins(9);
/// The first rollout waits for a proof this long.
const FIRST_ROLLOUT_WAITS: SignedDuration = SignedDuration::from_secs(60);

/// What is known of one role.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Proof {
    arn: String,
    proven: bool,
    denied: Option<Denial>,
    trouble: Option<Trouble>,
    next: Option<Timestamp>,
    tries: Backoff,
}

#[derive(Debug, Clone, PartialEq)]
struct Denial {
    since: Timestamp,
    reason: &'static str,
    message: String,
}

/// What it comes to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum View<'a> {
    /// AWS has given credentials, and has not refused them for long since.
    Proven,
    /// AWS has refused for long: reason and message.
    Denied(&'static str, &'a str),
    /// AWS refuses, which may pass.
    NotYet(&'a str),
    /// Nothing could be asked.
    Unanswered(&'a Trouble),
    /// Nothing was asked.
    Unknown,
}

impl Proof {
    /// Of `arn`: what was known of another role is not about this one. `proven`: the status says so, from a time before
    /// this operator.
    pub(crate) fn of(self, arn: &str, proven: bool) -> Self {
        if self.arn == arn {
            return self;
        }
        Self {
            arn: arn.to_owned(),
            proven,
            ..Self::default()
        }
    }

    /// True when it is time to ask.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    /// Asks at once: something was written.
    pub(crate) fn hurry(&mut self) {
        self.next = None;
        self.tries = Backoff::default();
    }

    /// When to ask, if AWS was asked before.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.next
    }

    /// Takes an answer in.
    pub(crate) fn take(&mut self, answer: Assumed, now: Timestamp) {
        match answer {
            Assumed::Granted => {
                *self = Self {
                    arn: std::mem::take(&mut self.arn),
                    proven: true,
                    next: Some(now + AGAIN),
                    ..Self::default()
                };
                return;
            }
            Assumed::Denied(reason, message) => {
                let since = self.denied.as_ref().map_or(now, |denial| denial.since);
                self.denied = Some(Denial {
                    since,
                    reason,
                    message,
                });
                self.trouble = None;
                self.proven &= now.duration_since(since) < DENIED_AFTER;
            }
            Assumed::Unanswered(trouble) => self.trouble = Some(trouble),
        }
        self.tries.fail(now);
        // While nothing is known to be wrong there is no hurry.
        let patient = self.proven && self.denied.is_none();
        self.next = if patient {
            Some(now + AGAIN)
        } else {
            self.tries.not_before()
        };
    }

    /// What is known now.
    pub(crate) fn view(&self, now: Timestamp) -> View<'_> {
        match (&self.denied, &self.trouble) {
            _ if self.proven => View::Proven,
            (Some(denial), _) if now.duration_since(denial.since) >= DENIED_AFTER => {
                View::Denied(denial.reason, &denial.message)
            }
            (_, Some(trouble)) => View::Unanswered(trouble),
            (Some(denial), None) => View::NotYet(&denial.message),
            (None, None) => View::Unknown,
        }
    }
}

/// What a DaemonSet's pods are, before they become what the plan says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pods {
    /// There is no DaemonSet.
    None,
    /// They have the plan's role, or the plan has none to be proven.
    SameRole,
    /// They have another role, which may work.
    OtherRole,
}

/// Whether pods have to wait for a proof, and for how much longer at most; `waited` is how long they have waited.
pub(crate) fn wait(
    pods: Pods,
    has_arn: bool,
    view: &View<'_>,
    waited: SignedDuration,
) -> Option<SignedDuration> {
    let rest = FIRST_ROLLOUT_WAITS - waited;
    let at_most = || Some(rest).filter(SignedDuration::is_positive);
    match (pods, view) {
        (Pods::SameRole, _) | (_, View::Proven) => None,
        (Pods::None, _) => at_most(),
        // A role that works is not given up for one that AWS refuses, or that nobody knows.
        (Pods::OtherRole, View::Denied(..) | View::NotYet(_)) => Some(DENIED_AFTER),
        (Pods::OtherRole, View::Unanswered(_) | View::Unknown) if has_arn => at_most(),
        (Pods::OtherRole, View::Unanswered(_) | View::Unknown) => Some(DENIED_AFTER),
    }
}

#[cfg(test)]
mod tests;

//! Credentials that are there before they are needed.
//!
//! The SDK's cache (`IdentityCache::lazy`) fetches new credentials when a request finds the old ones to end within
//! seconds: the request waits for that, and fails when STS does not answer just then. Here a task of its own fetches
//! them minutes early and goes on trying, and requests use what is there until its end. The SDK's providers below it
//! read token files anew each time they are asked, so a rotated file is seen, and one that is missing, empty or cut off
//! is an error like any other: to be tried again.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::skew::AwsClock;
use crate::clock::Clock;
use crate::log_gate::LogGate;

/// Credentials are fetched anew so long before their end, or up to half as long again: nodes must not ask in step.
const EARLY: Duration = Duration::from_secs(5 * 60);

/// Of credentials that last only for minutes, the last third is early enough.
const EARLY_PART_MAX: u32 = 3;

/// Credentials without an end may change in their file.
const UNENDING_AGE_MAX: Duration = Duration::from_secs(15 * 60);

/// Credentials that are past their end when they come: either they or the clock are wrong.
const ENDED_AGE_MAX: Duration = Duration::from_secs(60);

/// One attempt to fetch them may take this long.
const ATTEMPT_MAX: Duration = Duration::from_secs(10);

/// A request waits no longer than this for credentials when there are none: for an attempt and the pause before it.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// First pause after an attempt that failed. The pauses double.
const PAUSE_FIRST: Duration = Duration::from_secs(1);

/// Longest pause while those at hand are valid.
const PAUSE_LONGEST: Duration = Duration::from_secs(60);

/// Longest pause while spans wait for credentials.
const PAUSE_LONGEST_WITHOUT: Duration = Duration::from_secs(5);

/// AWS may change its time, and with it the end of credentials: so often it is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Credentials that AWS refuses are fetched anew this often at most.
const REFUSED_INTERVAL: Duration = Duration::from_secs(30);

/// Attempts that failed are logged this often at most.
const FAILURE_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// No code of AWS is longer.
const CODE_LENGTH_MAX: usize = 64;

/// A provider of credentials in front of the SDK's.
pub(in crate::exporter) struct EarlyCredentials {
    keeper: Arc<Keeper>,
    task: Mutex<Option<AbortHandle>>,
}

/// Keeps credentials fresh.
pub(in crate::exporter) struct Keeper {
    source: SharedCredentialsProvider,
    clock: Clock,
    aws: Arc<AwsClock>,
    held: watch::Sender<Held>,
    refused: Notify,
    last_refused: Mutex<Option<Duration>>,
}

/// What there is.
#[derive(Default)]
struct Held {
    fetched: Option<Fetched>,
    /// Attempts that have come to an end.
    attempts: u64,
    /// Why the last attempt failed.
    failure: Option<String>,
}

struct Fetched {
    credentials: Credentials,
    at: Duration,
    /// How long before their end they are fetched anew.
    early: Duration,
    /// They were past their end when they came. They are tried, nevertheless.
    is_ended: bool,
}

// === impl EarlyCredentials ===

impl EarlyCredentials {
    /// Nothing is fetched before the first request.
    pub(in crate::exporter) fn new(
        source: SharedCredentialsProvider,
        clock: Clock,
        aws: Arc<AwsClock>,
    ) -> Self {
        let keeper = Keeper {
            source,
            clock,
            aws,
            held: watch::Sender::default(),
            refused: Notify::new(),
            last_refused: Mutex::new(None),
        };
        Self {
            keeper: Arc::new(keeper),
            task: Mutex::new(None),
        }
    }

    /// What keeps them.
    pub(in crate::exporter) fn keeper(&self) -> Arc<Keeper> {
        Arc::clone(&self.keeper)
    }

    /// The task runs; one that has panicked, in a provider of the SDK's, is started again.
    fn see_to_task(&self) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(AbortHandle::is_finished) {
            *task = Some(tokio::spawn(Arc::clone(&self.keeper).keep()).abort_handle());
        }
    }

    async fn get(&self) -> provider::Result {
        let keeper = &self.keeper;
        self.see_to_task();
        let mut held = keeper.held.subscribe();
        let attempts = held.borrow().attempts;
        let is_answer = |held: &Held| held.attempts > attempts || keeper.usable(held).is_some();
        match tokio::time::timeout(WAIT_MAX, held.wait_for(is_answer)).await {
            Ok(Ok(held)) => match keeper.usable(&held) {
                Some(fetched) => Ok(fetched.credentials.clone()),
                None => Err(CredentialsError::provider_error(
                    held.failure.clone().unwrap_or_default(),
                )),
            },
            // The sender lives as long as `self`.
            Ok(Err(_)) | Err(_) => Err(CredentialsError::provider_timed_out(WAIT_MAX)),
        }
    }
}

impl ProvideCredentials for EarlyCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.get())
    }
}

impl Drop for EarlyCredentials {
    fn drop(&mut self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = &*task {
            task.abort();
        }
    }
}

impl fmt::Debug for EarlyCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EarlyCredentials")
    }
}

// === impl Keeper ===

impl Keeper {
    /// AWS does not know the credentials, or says that they have ended: new ones are fetched, and those at hand are used
    /// until then.
    /// True when they are fetched for it: not so often.
    pub(in crate::exporter) fn refused(&self) -> bool {
        let now = self.clock.now();
        let mut last = self.last_refused.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| now >= last + REFUSED_INTERVAL);
        if is_due {
            *last = Some(now);
            self.refused.notify_one();
        }
        is_due
    }

    /// As [`Self::refused`], and waits for those that are fetched for it. True when some came.
    pub(in crate::exporter) async fn renew(&self) -> bool {
        let mut held = self.held.subscribe();
        let attempts = held.borrow().attempts;
        if !self.refused() {
            return false;
        }
        let is_over = held.wait_for(|held| held.attempts > attempts);
        let ended = tokio::time::timeout(WAIT_MAX, is_over).await;
        matches!(ended, Ok(Ok(held)) if held.failure.is_none())
    }

    async fn keep(self: Arc<Self>) {
        let log = LogGate::new(FAILURE_LOG_INTERVAL);
        let mut pause = PAUSE_FIRST;
        loop {
            let attempt = tokio::time::timeout(ATTEMPT_MAX, self.source.provide_credentials()).await;
            let fetched = attempt
                .map_err(|_| format!("no answer in {} s", ATTEMPT_MAX.as_secs()))
                .and_then(|fetched| fetched.map_err(|error| reason(&error)));
            match fetched {
                Ok(credentials) => {
                    pause = PAUSE_FIRST;
                    let fetched = Some(self.date(credentials));
                    self.held.send_modify(|held| {
                        held.attempts += 1;
                        held.failure = None;
                        held.fetched = fetched;
                    });
                    self.wait_until_due().await;
                }
                Err(failure) => {
                    if log.is_due(self.clock.now()) {
                        let valid_seconds = self.left().as_secs();
                        tracing::warn!(
                            reason = failure,
                            valid_seconds,
                            "credentials cannot be fetched (said once in {} s at most); those at hand are used to their end",
                            FAILURE_LOG_INTERVAL.as_secs()
                        );
                    }
                    self.held.send_modify(|held| {
                        held.attempts += 1;
                        held.failure = Some(failure);
                    });
                    self.wait_after_failure(pause).await;
                    pause = (pause * 2).min(PAUSE_LONGEST);
                }
            }
        }
    }

    /// Credentials that have just come.
    fn date(&self, credentials: Credentials) -> Fetched {
        let left = credentials
            .expiry()
            .map(|end| end.duration_since(self.aws.now()).unwrap_or_default());
        let chance: f64 = rand::random();
        Fetched {
            at: self.clock.now(),
            early: EARLY
                .mul_f64(1.0 + chance / 2.0)
                .min(left.unwrap_or_default() / EARLY_PART_MAX),
            is_ended: left.is_some_and(|left| left.is_zero()),
            credentials,
        }
    }

    /// What requests may be signed with.
    fn usable<'h>(&self, held: &'h Held) -> Option<&'h Fetched> {
        held.fetched.as_ref().filter(|fetched| {
            let is_over = |end| end <= self.aws.now();
            fetched.is_ended || !fetched.credentials.expiry().is_some_and(is_over)
        })
    }

    /// How long those at hand are valid; zero of none.
    fn left(&self) -> Duration {
        let held = self.held.borrow();
        match held.fetched.as_ref().map(|fetched| fetched.credentials.expiry()) {
            Some(Some(end)) => end.duration_since(self.aws.now()).unwrap_or_default(),
            Some(None) => Duration::MAX,
            None => Duration::ZERO,
        }
    }

    /// How long those at hand are good enough.
    fn until_due(&self) -> Duration {
        let held = self.held.borrow();
        let Some(fetched) = &held.fetched else {
            return Duration::ZERO;
        };
        let until_age = |age: Duration| (fetched.at + age).saturating_sub(self.clock.now());
        match fetched.credentials.expiry() {
            _ if fetched.is_ended => until_age(ENDED_AGE_MAX),
            None => until_age(UNENDING_AGE_MAX),
            Some(end) => end
                .duration_since(self.aws.now())
                .unwrap_or_default()
                .saturating_sub(fetched.early),
        }
    }

    async fn wait_until_due(&self) {
        loop {
            let left = self.until_due();
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = self.refused.notified() => return,
                () = tokio::time::sleep(left.min(LOOK_INTERVAL)) => {}
            }
        }
    }

    /// A pause that ends sooner when those at hand end.
    async fn wait_after_failure(&self, pause: Duration) {
        let chance: f64 = rand::random();
        let pause = pause.mul_f64(0.75 + chance / 2.0);
        tokio::time::sleep(pause.min(self.left().max(PAUSE_LONGEST_WITHOUT.min(pause)))).await;
    }
}

/// Why credentials could not be fetched, in words that hold no secret: messages of AWS may quote what was sent, its codes
/// do not.
fn reason(error: &CredentialsError) -> String {
    let kind = match error {
        CredentialsError::CredentialsNotLoaded(_) => "nothing in the environment gives credentials",
        CredentialsError::ProviderTimedOut(_) => "no answer in time",
        CredentialsError::InvalidConfiguration(_) => "the environment's settings are wrong",
        CredentialsError::ProviderError(_) | CredentialsError::Unhandled(_) | _ => "refused or not reached",
    };
    let mut word = String::new();
    let mut cause = error.source();
    while let Some(one) = cause {
        if let Some(io) = one.downcast_ref::<std::io::Error>() {
            word = io.kind().to_string();
            break;
        }
        let text = one.to_string();
        let code = text.split([':', ' ']).next().unwrap_or_default();
        let is_code = code.len() <= CODE_LENGTH_MAX
            && ["Exception", "Error", "Denied", "Failure"]
                .iter()
                .any(|end| code.ends_with(end))
            && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_code {
            word = code.to_owned();
        }
        cause = one.source();
    }
    if word.is_empty() {
        kind.to_owned()
    } else {
        format!("{kind} ({word})")
    }
}

#[cfg(test)]
mod tests;

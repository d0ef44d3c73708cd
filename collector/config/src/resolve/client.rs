//! What the exporters that send have in common.

use std::path::PathBuf;
use std::time::Duration;

use super::exporters::not_empty;
use super::{Scope, or};
use crate::config::{ClientTlsConfig, QueueConfig, RetryConfig};
use crate::error::Diagnostics;
use crate::settings::{ClientTls, QueueSettings, RetrySettings};

/// Requests in flight at a time: each holds a batch.
pub(super) const WORKERS_MAX: u64 = 256;
/// Batches waiting: the memory limit ends it long before.
pub(super) const QUEUE_MAX: u64 = 1_000_000;
/// A backend that takes longer is down.
pub(super) const ATTEMPT_MAX: Duration = Duration::from_secs(300);
/// Spans older than a day are of no use; X-Ray takes none older than 30 days.
pub(super) const ELAPSED_MAX: Duration = Duration::from_secs(24 * 3600);
pub(super) const MILLISECOND: Duration = Duration::from_millis(1);

pub(super) fn queue(scope: &Scope, config: &QueueConfig, diag: &mut Diagnostics) -> QueueSettings {
    let scope = Scope {
        path: scope.path("sending_queue"),
        at: scope.at,
    };
    if let Some(enabled) = &config.enabled
        && !enabled.value
    {
        let message =
            "this version cannot do without the queue: batches wait in it while a request is under way";
        diag.error(enabled.at, scope.path("enabled"), message);
    }
    QueueSettings {
        num_consumers: scope.within(
            &config.num_consumers,
            "num_consumers",
            (1..=WORKERS_MAX, 10),
            diag,
        ),
        queue_size: scope.within(&config.queue_size, "queue_size", (1..=QUEUE_MAX, 1000), diag),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    None,
    Http,
    Https,
}

/// Upstream lets one of two contradicting settings win without a word; here they are refused.
pub(super) fn tls(
    scope: &Scope,
    config: &ClientTlsConfig,
    scheme: Scheme,
    diag: &mut Diagnostics,
) -> ClientTls {
    let ca_file = not_empty(&config.ca_file).map(PathBuf::from);
    let insecure = config.insecure.as_ref();
    let insecure_at = insecure.and_then(|field| field.at);
    let wants = insecure.map(|field| field.value);
    match (scheme, wants) {
        (Scheme::Https, Some(true)) => {
            let message = "the endpoint says https://, this says plain text; take one away";
            diag.error(insecure_at, scope.path("tls.insecure"), message);
        }
        (Scheme::Http, Some(false)) => {
            let message = "the endpoint says http://, which is plain text, this says TLS; take one away";
            diag.error(insecure_at, scope.path("tls.insecure"), message);
        }
        (Scheme::None | Scheme::Http | Scheme::Https, _) => {}
    }
    let is_insecure = scheme == Scheme::Http || (scheme == Scheme::None && wants == Some(true));
    if is_insecure && ca_file.is_some() {
        let at = config.ca_file.as_ref().and_then(|field| field.at);
        diag.error(
            at,
            scope.path("tls.ca_file"),
            "the connection is plain text, which needs no authorities; take one away",
        );
    }
    if is_insecure {
        ClientTls::Insecure
    } else {
        ClientTls::Secure { ca_file }
    }
}

/// What `retry_on_failure` is where it says nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct RetryDefaults {
    initial_interval: Duration,
    max_interval: Duration,
    max_elapsed_time: Duration,
    randomization_factor: f64,
}

impl RetryDefaults {
    /// Upstream's (its package `configretry`).
    pub(super) const OTLP: Self = Self {
        initial_interval: Duration::from_secs(5),
        max_interval: Duration::from_secs(30),
        max_elapsed_time: Duration::from_secs(300),
        randomization_factor: 0.5,
    };
    /// The first pause is upstream's, the longest Prometheus'; the whole range is drawn from, so that collectors which
    /// were refused together do not come back together. The age of a sample is its end.
    pub(super) const REMOTE_WRITE: Self = Self {
        initial_interval: Duration::from_millis(50),
        max_interval: Duration::from_secs(5),
        max_elapsed_time: Duration::ZERO,
        randomization_factor: 1.0,
    };
}

pub(super) fn retry(
    scope: &Scope,
    config: &RetryConfig,
    defaults: RetryDefaults,
    diag: &mut Diagnostics,
) -> RetrySettings {
    let scope = scope.below("retry_on_failure");
    let pause = |default| (MILLISECOND..=Duration::from_secs(3600), default);
    let initial = pause(defaults.initial_interval);
    let longest = pause(defaults.max_interval);
    let settings = RetrySettings {
        enabled: or(&config.enabled, true),
        initial_interval: scope.duration(&config.initial_interval, "initial_interval", initial, diag),
        max_interval: scope.duration(&config.max_interval, "max_interval", longest, diag),
        max_elapsed_time: scope.duration(
            &config.max_elapsed_time,
            "max_elapsed_time",
            (Duration::ZERO..=ELAPSED_MAX, defaults.max_elapsed_time),
            diag,
        ),
        multiplier: or(&config.multiplier, 1.5),
        randomization_factor: or(&config.randomization_factor, defaults.randomization_factor),
    };
    if let Some(multiplier) = &config.multiplier
        && !(1.0..=100.0).contains(&multiplier.value)
    {
        diag.error(
            multiplier.at,
            scope.path("multiplier"),
            format!("{} is not from 1 to 100", multiplier.value),
        );
    }
    if let Some(factor) = &config.randomization_factor
        && !(0.0..=1.0).contains(&factor.value)
    {
        diag.error(
            factor.at,
            scope.path("randomization_factor"),
            format!("{} is not from 0 to 1", factor.value),
        );
    }
    settings
}

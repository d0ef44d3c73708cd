//! When to try again: exponential pauses with jitter, until a time of giving up.

use std::time::Duration;

use rand::RngExt;
use tracepipe_config::RetrySettings;

/// The pauses of one request.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    next: Duration,
    settings: RetrySettings,
}

// === impl Backoff ===

impl Backoff {
    /// The first pause is still to come.
    pub(crate) fn new(settings: &RetrySettings) -> Self {
        Self {
            next: settings.initial_interval,
            settings: settings.clone(),
        }
    }

    /// How long to wait before the next attempt, at least `at_least`; none when the time of giving up has come. The
    /// time of the attempts themselves, `elapsed` in all, counts as well.
    pub(crate) fn next(&mut self, elapsed: Duration, at_least: Option<Duration>) -> Option<Duration> {
        if !self.settings.enabled {
            return None;
        }
        let spread = self.settings.randomization_factor.clamp(0.0, 1.0);
        let jitter = if spread > 0.0 {
            rand::rng().random_range(1.0 - spread..=1.0 + spread)
        } else {
            1.0
        };
        let pause = self.next.mul_f64(jitter).max(at_least.unwrap_or_default());
        self.next = self
            .next
            .mul_f64(self.settings.multiplier.max(1.0))
            .min(self.settings.max_interval);
        let gives_up = self.settings.max_elapsed_time;
        if !gives_up.is_zero() && elapsed + pause > gives_up {
            return None;
        }
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: RetrySettings = RetrySettings {
        enabled: true,
        initial_interval: Duration::from_secs(1),
        max_interval: Duration::from_secs(4),
        max_elapsed_time: Duration::from_secs(10),
        multiplier: 2.0,
        randomization_factor: 0.0,
    };

    #[test]
    fn pauses_grow_to_their_bound_and_end_in_time() {
        let mut backoff = Backoff::new(&SETTINGS);
        let mut elapsed = Duration::ZERO;
        let mut pauses = Vec::new();
        while let Some(pause) = backoff.next(elapsed, None) {
            elapsed += pause;
            pauses.push(pause.as_secs());
        }
        assert_eq!(pauses, [1, 2, 4]);
    }

    #[test]
    fn a_backend_that_asks_for_more_time_gets_it() {
        let mut backoff = Backoff::new(&SETTINGS);
        assert_eq!(
            backoff.next(Duration::ZERO, Some(Duration::from_secs(7))),
            Some(Duration::from_secs(7))
        );
    }

    #[test]
    fn no_retry_means_one_attempt() {
        let mut backoff = Backoff::new(&RetrySettings {
            enabled: false,
            ..SETTINGS
        });
        assert_eq!(backoff.next(Duration::ZERO, None), None);
    }

    #[test]
    fn jitter_stays_within_its_share() {
        let settings = RetrySettings {
            randomization_factor: 0.5,
            ..SETTINGS
        };
        for _ in 0..100 {
            let pause = Backoff::new(&settings).next(Duration::ZERO, None).unwrap();
            assert!((0.5..=1.5).contains(&pause.as_secs_f64()), "{pause:?}");
        }
    }
}

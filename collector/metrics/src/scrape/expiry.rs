//! Series that nothing comes for are forgotten, whether anybody scrapes or not.

use crate::account::UnixMillis;

use super::Registry;
use super::families::Place;
use super::series::Series;

/// Looking for series that have expired takes about a millisecond for 10,000, so it is done at most so often.
const EXPIRE_EVERY_MS: i64 = 10_000;

impl Registry {
    pub(super) fn is_expired(&self, series: &Series, now: UnixMillis) -> bool {
        now.0.saturating_sub(series.updated.0) > self.expiration_ms
    }

    /// Forgets a family of which all series have expired; false if one has not. Those before that one are forgotten too, so
    /// that asking again, as each point of another type does, costs nothing.
    pub(super) fn forget_expired_family(&mut self, name: &[u8], now: UnixMillis) -> bool {
        while let Some(place) = self.families.first_place(name) {
            if self
                .series
                .get(place)
                .is_some_and(|series| !self.is_expired(series, now))
            {
                return false;
            }
            self.held.expired += 1;
            self.remove(place);
        }
        true
    }

    /// Forgets the series that nothing came for in `metric_expiration`, if it is time to look for them. Gives when to call it
    /// again; none when nothing is held: then it is to be asked after the next [`Self::apply`]. Cheap when it is not time.
    pub fn expire(&mut self, now: UnixMillis) -> Option<UnixMillis> {
        let at = self.expire_at?;
        if now < at {
            return Some(at);
        }
        let expired: Vec<Place> = self
            .series
            .iter()
            .filter(|(_, series)| self.is_expired(series, now))
            .map(|(place, _)| place)
            .collect();
        for place in expired {
            self.held.expired += 1;
            self.remove(place);
        }
        self.targets
            .retain(|_, target| self.series.find(*target).is_some());
        self.expire_at = (self.series.len() > 0).then(|| self.next_expiry(now));
        self.expire_at
    }

    /// No series that came now expires before, so that what is held is held at most a quarter too long, or 10 s.
    fn next_expiry(&self, now: UnixMillis) -> UnixMillis {
        UnixMillis(
            now.0
                .saturating_add((self.expiration_ms / 4).max(EXPIRE_EVERY_MS)),
        )
    }

    pub(super) fn look_for_expired_later(&mut self, now: UnixMillis) {
        if self.expire_at.is_none() && self.series.len() > 0 {
            self.expire_at = Some(self.next_expiry(now));
        }
    }
}

//! How many shards may send at once: all of them, until the receiver says that it is too much.
//!
//! Amazon Managed Prometheus answers 429 for its limits of samples and of requests a second. Each such answer halves the
//! number of requests at a time, requests that were on their way then not counted again, and each request that is taken
//! adds a part of one (additive increase, multiplicative decrease). All shards leave the receiver alone for as long as it
//! says, or for the pause of the shard that was refused.
//!
//! [`Window`] is pure: time is a parameter.

use std::cell::RefCell;
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Clock;

/// A receiver that asks for a longer pause is asked again after this long: the longest that a mistake may cost.
pub(super) const PAUSE_LONGEST: Duration = Duration::from_secs(5 * 60);

/// The number of requests at a time.
#[derive(Debug)]
struct Window {
    /// One for each shard.
    most: f64,
    /// As many as the whole part of it.
    allowed: f64,
    sending: u32,
    /// When it was halved last.
    halved: Option<Duration>,
    /// Nothing goes before.
    closed_until: Duration,
    /// When that was said last.
    closed_at: Duration,
}

/// Whether a request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Now.
    Now,
    /// Not before then.
    At(Duration),
    /// When another one has ended.
    Busy,
}

// === impl Window ===

impl Window {
    fn new(shards: u64) -> Self {
        let most = u32::try_from(shards).unwrap_or(u32::MAX).max(1);
        Self {
            most: f64::from(most),
            allowed: f64::from(most),
            sending: 0,
            halved: None,
            closed_until: Duration::ZERO,
            closed_at: Duration::ZERO,
        }
    }

    /// Whether a request may go; if now, it goes.
    fn ask(&mut self, now: Duration) -> Turn {
        if now < self.closed_until {
            return Turn::At(self.closed_until);
        }
        if f64::from(self.sending) + 1.0 > self.allowed {
            return Turn::Busy;
        }
        self.sending += 1;
        Turn::Now
    }

    /// One has ended.
    fn ended(&mut self) {
        self.sending = self.sending.saturating_sub(1);
    }

    /// One that went at `sent` was taken.
    fn taken(&mut self, sent: Duration) {
        if sent > self.closed_at {
            // It did not wait: there was no time left.
            self.closed_until = Duration::ZERO;
        }
        self.allowed = (self.allowed + 1.0 / self.allowed).min(self.most);
    }

    /// One that went at `sent` was too much.
    fn throttled(&mut self, sent: Duration, now: Duration) {
        if self.halved.is_none_or(|halved| sent >= halved) {
            self.allowed = (self.allowed / 2.0).max(1.0);
            self.halved = Some(now);
        }
    }

    /// The receiver is left alone for so long.
    fn close(&mut self, pause: Duration, now: Duration) {
        self.closed_until = self.closed_until.max(now + pause.min(PAUSE_LONGEST));
        self.closed_at = now;
    }
}

/// A [`Window`] that requests wait at, in a line.
pub(super) struct Gate {
    /// Held by the head of the line; whoever waits for it is served in order.
    line: tokio::sync::Mutex<()>,
    window: RefCell<Window>,
    changed: Notify,
    clock: Clock,
}

/// One request on its way.
pub(super) struct Permit<'a> {
    gate: &'a Gate,
    /// When it went.
    sent: Duration,
}

// === impl Gate ===

impl Gate {
    /// Open to as many requests as there are shards.
    pub(super) fn new(shards: u64, clock: Clock) -> Self {
        Self {
            line: tokio::sync::Mutex::new(()),
            window: RefCell::new(Window::new(shards)),
            changed: Notify::new(),
            clock,
        }
    }

    /// Waits until a request may go.
    pub(super) async fn pass(&self) -> Permit<'_> {
        let _head = self.line.lock().await;
        loop {
            let changed = self.changed.notified();
            let now = self.clock.now();
            let turn = self.window.borrow_mut().ask(now);
            match turn {
                Turn::Now => {
                    return Permit {
                        gate: self,
                        sent: now,
                    };
                }
                Turn::At(then) => tokio::time::sleep(then.saturating_sub(now)).await,
                Turn::Busy => changed.await,
            }
        }
    }

    /// A request that does not wait for its turn, because there is no time left.
    pub(super) fn force(&self) -> Permit<'_> {
        self.window.borrow_mut().sending += 1;
        Permit {
            gate: self,
            sent: self.clock.now(),
        }
    }

    /// The receiver is left alone for so long.
    pub(super) fn close(&self, pause: Duration) {
        self.window.borrow_mut().close(pause, self.clock.now());
    }

    /// How many requests may go at a time.
    pub(super) fn allowed(&self) -> u64 {
        // At least one, and no more than there are shards.
        self.window.borrow().allowed as u64
    }
}

// === impl Permit ===

impl Permit<'_> {
    /// The request was taken.
    pub(super) fn taken(&self) {
        self.gate.window.borrow_mut().taken(self.sent);
    }

    /// The receiver has no room for so many.
    pub(super) fn throttled(&self) {
        let now = self.gate.clock.now();
        self.gate.window.borrow_mut().throttled(self.sent, now);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.gate.window.borrow_mut().ended();
        // Only the head of the line waits for it.
        self.gate.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn go(window: &mut Window, now: Duration) -> u32 {
        let before = window.sending;
        while window.ask(now) == Turn::Now {}
        window.sending - before
    }

    #[test]
    fn a_burst_of_refusals_halves_once_and_what_is_taken_brings_it_back() {
        let mut window = Window::new(8);
        assert_eq!(go(&mut window, at(0)), 8);
        for _ in 0..8 {
            window.throttled(at(0), at(1));
            window.ended();
        }
        assert_eq!(go(&mut window, at(1)), 4, "those were one burst");
        for _ in 0..4 {
            window.throttled(at(1), at(2));
            window.ended();
        }
        assert_eq!(go(&mut window, at(2)), 2);
        let mut taken = 0;
        while window.allowed < 8.0 {
            window.taken(at(2));
            taken += 1;
        }
        assert!(
            (25..=35).contains(&taken),
            "about one more for each round: {taken}"
        );
        window.taken(at(2));
        assert_eq!(window.allowed, 8.0);
    }

    #[test]
    fn one_request_at_a_time_is_always_tried() {
        let mut window = Window::new(2);
        for second in 0..20 {
            window.throttled(at(second), at(second));
        }
        assert_eq!(go(&mut window, at(30)), 1);
        assert_eq!(window.ask(at(30)), Turn::Busy);
    }

    #[test]
    fn nobody_goes_before_the_time_that_the_receiver_named() {
        let mut window = Window::new(2);
        window.close(at(7), at(1));
        window.close(at(2), at(1));
        assert_eq!(window.ask(at(2)), Turn::At(at(8)));
        window.taken(at(0));
        assert_eq!(window.ask(at(2)), Turn::At(at(8)), "it went before");
        assert_eq!(window.ask(at(8)), Turn::Now);
        window.close(at(1_000_000), at(10));
        assert_eq!(
            window.ask(at(11)),
            Turn::At(at(10) + PAUSE_LONGEST),
            "a wrong date of its own"
        );
        window.taken(at(12));
        assert_eq!(window.ask(at(13)), Turn::Now, "it takes requests again");
    }
}

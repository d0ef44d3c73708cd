//! How fast requests may go: as fast as they come until X-Ray refuses some, then as fast as it takes them.
//!
//! Three states. *Free*: no bound. *Limited*: X-Ray takes some requests and refuses others; requests are spaced out at a
//! rate that drops to less than what was taken lately and grows with each request that is taken, fast up to where it is
//! known to work and slowly beyond. *Stopped*: nothing was taken lately (throttled through and through, gone, no
//! credentials); one request at a time finds out whether that is over, and the others wait for it, so that an outage
//! costs next to no calls, and its end is seen within [`PROBE_PAUSE_LONGEST`].
//!
//! [`Pace`] is pure: time is a parameter, and so is chance.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Clock;

/// What was taken within this time is what X-Ray takes now.
const LATELY: Duration = Duration::from_secs(1);

/// Refusals within this time after one are of the same burst, and do not slow down again.
const BURST: Duration = Duration::from_millis(500);

/// After a refusal the rate is this part of what was taken: less, so that what waits at X-Ray's side can go.
const KEPT: f64 = 0.7;

/// Requests a second that are always tried.
const RATE_LEAST: f64 = 1.0;

/// Requests a second when an outage has ended.
const RATE_AFTER_OUTAGE: f64 = 4.0;

/// What a request that is taken adds to the rate, up to where it is known to work: it doubles in half a second.
const GROWTH_FAST: f64 = 1.386;

/// And beyond: in a second it grows by a tenth, ...
const GROWTH_SLOW: f64 = 0.1;

/// ... and by half a request a second, so that a low rate does not stay one.
const GROWTH_LEAST: f64 = 0.5;

/// Requests that began to go after a pause are counted by at least so much time: the first of them are no rate yet.
const BUSY_LEAST: Duration = Duration::from_millis(100);

/// When the rate is down to this part of what it was, ...
const CUT_FAR: f64 = 0.25;

/// ... and at least so many requests have gone since, ...
const CUT_CALLS: u32 = 6;

/// ... in this time, ...
const CUT_TIME: Duration = Duration::from_secs(10);

/// ... of which still more than this part of the share is refused that was before, then X-Ray does not refuse because of our
/// rate, and slowing down further would only lose what comes.
const CUT_OF_NO_USE: f64 = 0.6;

/// For so long the rate is left alone then; what is refused pauses alone.
const LEFT_ALONE: Duration = Duration::from_secs(30);

/// After so long without a refusal there is no bound any more.
const CALM: Duration = Duration::from_secs(60);

/// So many refusals, and nothing taken lately, are an outage. Fewer may be a matter of one request.
const REFUSALS_OF_AN_OUTAGE: u32 = 4;

/// First pause of an outage. The pauses double.
const PROBE_PAUSE_FIRST: Duration = Duration::from_millis(250);

/// Longest pause of an outage, before chance makes it up to a quarter shorter or longer: nodes must not ask in step.
const PROBE_PAUSE_LONGEST: Duration = Duration::from_millis(2_500);

/// The rate.
#[derive(Debug)]
pub(super) struct Pace {
    state: State,
    /// When requests were taken, lately.
    taken: VecDeque<Duration>,
    /// When requests were refused for their number, lately.
    throttled: VecDeque<Duration>,
    last_refusal: Option<Duration>,
    /// Refusals since a request was taken.
    in_a_row: u32,
    /// When the first request went after a pause.
    busy_since: Duration,
    last_asked: Option<Duration>,
    /// The last time the rate was cut.
    cut: Option<Cut>,
    /// Until then the rate is not cut.
    left_alone: Duration,
    /// Which part was refused when that was found.
    share_left_alone: f64,
}

/// What came of the last cut of the rate, and of those before it that were of no use either.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cut {
    at: Duration,
    /// The rate before the first of them, in requests a second.
    rate: f64,
    /// Which part of the requests was refused then.
    share: f64,
    /// Requests since, and how many of them were refused.
    calls: u32,
    refused: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Free,
    Limited {
        /// Requests a second.
        rate: f64,
        /// Up to here the rate grows fast.
        known_to_work: f64,
        /// The next request may go then.
        next: Duration,
    },
    Stopped {
        /// The next probe may go then.
        until: Duration,
        /// One is on its way.
        probing: bool,
        /// The pause after it, if it fails.
        pause: Duration,
    },
}

/// How a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// X-Ray has no room for so many.
    Throttled,
    /// In any other way. While others are taken, it is a matter of this request alone.
    Failed,
}

/// When a request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Now.
    Now,
    /// To be asked again then, or when an answer to another request has come.
    At(Duration),
}

// === impl Pace ===

impl Pace {
    /// Without bound.
    pub(super) fn new() -> Self {
        Self {
            state: State::Free,
            taken: VecDeque::new(),
            throttled: VecDeque::new(),
            last_refusal: None,
            in_a_row: 0,
            busy_since: Duration::ZERO,
            last_asked: None,
            cut: None,
            left_alone: Duration::ZERO,
            share_left_alone: 1.0,
        }
    }

    /// Whether a request may go now; then it must. `patience` is how long a request takes at most: a probe that nobody
    /// hears of is over then.
    pub(super) fn ask(&mut self, now: Duration, patience: Duration) -> Turn {
        if self.last_asked.is_none_or(|asked| now > asked + LATELY) {
            self.busy_since = now;
        }
        self.last_asked = Some(now);
        match &mut self.state {
            State::Free => Turn::Now,
            State::Limited { rate, next, .. } => {
                if now < *next {
                    return Turn::At(*next);
                }
                *next = now + Duration::from_secs_f64(1.0 / *rate);
                Turn::Now
            }
            State::Stopped { until, probing, .. } => {
                if now < *until {
                    return Turn::At(*until);
                }
                *until = now + patience;
                *probing = true;
                Turn::Now
            }
        }
    }

    /// X-Ray answered a request without taking it: there is somebody, and no more is known.
    pub(super) fn answered(&mut self, now: Duration) {
        if matches!(self.state, State::Stopped { .. }) {
            self.resume(now);
        }
    }

    fn resume(&mut self, now: Duration) {
        self.in_a_row = 0;
        self.state = State::Limited {
            rate: RATE_AFTER_OUTAGE,
            known_to_work: f64::INFINITY,
            next: now,
        };
    }

    /// X-Ray took a request.
    pub(super) fn taken(&mut self, now: Duration) {
        self.forget_old(now);
        self.taken.push_back(now);
        self.in_a_row = 0;
        self.judge_cut(now, false);
        let lately = self.taken_lately(now);
        match &mut self.state {
            State::Free => {}
            State::Limited {
                rate, known_to_work, ..
            } => {
                let growth = if *rate < *known_to_work {
                    GROWTH_FAST
                } else {
                    GROWTH_SLOW + GROWTH_LEAST / *rate
                };
                // A rate that is not made use of says nothing about a higher one.
                if *rate < 2.0 * lately.max(RATE_AFTER_OUTAGE) {
                    *rate += growth;
                }
                if self.last_refusal.is_none_or(|refusal| now >= refusal + CALM) {
                    self.state = State::Free;
                }
            }
            State::Stopped { .. } => self.resume(now),
        }
    }

    /// A request failed. `chance` is from 0 to 1. True when [`Self::ask`] says when to try again; else the request was
    /// refused alone.
    pub(super) fn refused(&mut self, now: Duration, how: Refusal, chance: f64) -> bool {
        self.forget_old(now);
        self.in_a_row = self.in_a_row.saturating_add(1);
        if how == Refusal::Throttled {
            self.throttled.push_back(now);
            self.judge_cut(now, true);
        }
        let is_same_burst = self.last_refusal.is_some_and(|refusal| now < refusal + BURST);
        match self.state {
            // It went before everything stopped.
            State::Stopped { probing: false, .. } => true,
            State::Stopped { pause, .. } => self.stop(now, pause, chance),
            State::Free | State::Limited { .. } if self.taken.is_empty() => {
                self.in_a_row >= REFUSALS_OF_AN_OUTAGE && self.stop(now, PROBE_PAUSE_FIRST, chance)
            }
            State::Free | State::Limited { .. } if how == Refusal::Failed => false,
            State::Free | State::Limited { .. } if now < self.left_alone => false,
            State::Limited { .. } if is_same_burst => true,
            State::Free | State::Limited { .. } => {
                self.last_refusal = Some(now);
                let (taken, refused) = (self.taken.len() as f64, self.throttled.len() as f64);
                let is_as_before = refused >= (taken + refused) * self.share_left_alone * CUT_OF_NO_USE;
                if is_as_before && self.left_alone > Duration::ZERO && now < self.left_alone + LEFT_ALONE {
                    self.left_alone = now + LEFT_ALONE;
                    return false;
                }
                let before = self.before_cuts(now);
                let rate = (self.taken_lately(now) * KEPT).max(RATE_LEAST);
                if self.rate(now) <= before.rate * CUT_FAR && before.calls >= CUT_CALLS {
                    self.state = State::Free;
                    self.cut = None;
                    self.left_alone = now + LEFT_ALONE;
                    self.share_left_alone = before.share;
                    return false;
                }
                self.cut = Some(Cut { at: now, ..before });
                self.state = State::Limited {
                    rate,
                    known_to_work: rate,
                    next: now + Duration::from_secs_f64(1.0 / rate),
                };
                true
            }
        }
    }

    fn stop(&mut self, now: Duration, pause: Duration, chance: f64) -> bool {
        self.last_refusal = Some(now);
        self.state = State::Stopped {
            until: now + pause.mul_f64(0.75 + chance.clamp(0.0, 1.0) / 2.0),
            probing: false,
            pause: (pause * 2).min(PROBE_PAUSE_LONGEST),
        };
        true
    }

    /// Requests a second that were taken while there were any.
    fn taken_lately(&self, now: Duration) -> f64 {
        let busy = now.saturating_sub(self.busy_since).clamp(BUSY_LEAST, LATELY);
        self.taken.len() as f64 / busy.as_secs_f64()
    }

    /// What was on its way when the rate was cut says nothing about the cut.
    fn judge_cut(&mut self, now: Duration, was_refused: bool) {
        if let Some(cut) = &mut self.cut
            && now >= cut.at + BURST
        {
            cut.calls = cut.calls.saturating_add(1);
            cut.refused = cut.refused.saturating_add(u32::from(was_refused));
        }
    }

    /// The last cut, if it was of no use; else how things are before the next one.
    fn before_cuts(&self, now: Duration) -> Cut {
        let is_of_no_use = |cut: &Cut| {
            let is_recent = now < cut.at + CUT_TIME;
            is_recent && f64::from(cut.refused) >= f64::from(cut.calls) * cut.share * CUT_OF_NO_USE
        };
        let (taken, refused) = (self.taken.len() as f64, self.throttled.len() as f64);
        self.cut.filter(is_of_no_use).unwrap_or(Cut {
            at: now,
            rate: self.rate(now),
            share: refused / (taken + refused),
            calls: 0,
            refused: 0,
        })
    }

    /// How many requests a second go now.
    fn rate(&self, now: Duration) -> f64 {
        match self.state {
            State::Limited { rate, .. } => rate,
            State::Free | State::Stopped { .. } => {
                self.taken_lately(now) * (self.taken.len() + self.throttled.len()) as f64
                    / self.taken.len().max(1) as f64
            }
        }
    }

    fn forget_old(&mut self, now: Duration) {
        for times in [&mut self.taken, &mut self.throttled] {
            while times.front().is_some_and(|time| *time + LATELY < now) {
                times.pop_front();
            }
        }
    }
}

/// A [`Pace`] that requests wait at, in a line: who was refused goes to its end, so that a request which always fails is
/// not the only one that ever tries.
pub(super) struct Gate {
    /// Held by the head of the line; whoever waits for it is served in order.
    line: tokio::sync::Mutex<()>,
    pace: RefCell<Pace>,
    answered: Notify,
    clock: Clock,
    /// How long a request takes at most.
    patience: Duration,
}

// === impl Gate ===

impl Gate {
    /// Open.
    pub(super) fn new(clock: Clock, patience: Duration) -> Self {
        Self {
            line: tokio::sync::Mutex::new(()),
            pace: RefCell::new(Pace::new()),
            answered: Notify::new(),
            clock,
            patience,
        }
    }

    /// Waits until a request may go.
    pub(super) async fn pass(&self) {
        let _head = self.line.lock().await;
        loop {
            let answered = self.answered.notified();
            let now = self.clock.now();
            let turn = self.pace.borrow_mut().ask(now, self.patience);
            match turn {
                Turn::Now => return,
                Turn::At(then) => {
                    tokio::select! {
                        () = answered => {}
                        () = tokio::time::sleep(then.saturating_sub(now)) => {}
                    }
                }
            }
        }
    }

    /// X-Ray answered a request without taking it.
    pub(super) fn answered(&self) {
        self.pace.borrow_mut().answered(self.clock.now());
        self.answered.notify_waiters();
    }

    /// X-Ray took a request.
    pub(super) fn taken(&self) {
        self.pace.borrow_mut().taken(self.clock.now());
        self.answered.notify_waiters();
    }

    /// A request failed. True when [`Self::pass`] knows when to try again.
    pub(super) fn refused(&self, how: Refusal) -> bool {
        let knows = self
            .pace
            .borrow_mut()
            .refused(self.clock.now(), how, rand::random());
        self.answered.notify_waiters();
        knows
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);
    const ROUND_TRIP: Duration = Duration::from_millis(20);
    const IN_FLIGHT: usize = 8;

    /// What happened to a queue of requests that are sent by a [`Pace`], `IN_FLIGHT` at a time.
    #[derive(Debug, Default)]
    struct Outcome {
        calls: u64,
        taken: u64,
        /// When the queue was empty and stayed so.
        empty_since: Duration,
    }

    /// Requests come at a steady rate until `until`; `takes` says whether X-Ray takes one now. Ends a minute later.
    fn run(per_second: u64, until: Duration, mut takes: impl FnMut(Duration) -> bool) -> Outcome {
        let mut pace = Pace::new();
        let mut outcome = Outcome::default();
        let mut answers: BinaryHeap<Reverse<(Duration, bool)>> = BinaryHeap::new();
        let (mut waiting, mut chance) = (0_u64, 0.0);
        let step = Duration::from_millis(1);
        let mut now = Duration::from_secs(10);
        let end = now + until + Duration::from_secs(60);
        let mut came = 0.0;
        while now < end {
            if now < end - Duration::from_secs(60) {
                came += per_second as f64 * step.as_secs_f64();
                let whole = came as u64;
                came -= whole as f64;
                waiting += whole;
            }
            while let Some(Reverse((at, was_taken))) = answers.peek().copied()
                && at <= now
            {
                answers.pop();
                if was_taken {
                    pace.taken(now);
                    outcome.taken += 1;
                } else {
                    chance = f64::fract(chance + 0.37);
                    pace.refused(now, Refusal::Throttled, chance);
                    waiting += 1;
                }
            }
            while waiting > 0 && answers.len() < IN_FLIGHT && pace.ask(now, PATIENCE) == Turn::Now {
                waiting -= 1;
                outcome.calls += 1;
                answers.push(Reverse((now + ROUND_TRIP, takes(now))));
            }
            if waiting + answers.len() as u64 > IN_FLIGHT as u64 {
                outcome.empty_since = now;
            }
            now += step;
        }
        assert_eq!(
            waiting + answers.len() as u64,
            0,
            "all is taken in the end: {outcome:?}"
        );
        outcome
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A pace after an outage has begun, at five seconds.
    fn stopped() -> Pace {
        let mut pace = Pace::new();
        for _ in 1..REFUSALS_OF_AN_OUTAGE {
            assert!(!pace.refused(seconds(5), Refusal::Failed, 0.5));
        }
        assert!(pace.refused(seconds(5), Refusal::Failed, 0.5));
        pace
    }

    #[test]
    fn nothing_is_held_up_that_x_ray_takes() {
        let outcome = run(200, seconds(30), |_| true);
        assert_eq!(outcome.calls, outcome.taken);
        assert_eq!(outcome.taken, 6_000);
    }

    #[test]
    fn a_minute_of_throttling_costs_few_calls_and_is_made_up_for() {
        // The issue's: 2,000 documents a second are 40 requests a second.
        let outage = seconds(40)..seconds(100);
        let outcome = run(40, seconds(150), |now| !outage.contains(&now));
        let needed = 40 * 150;
        assert_eq!(outcome.taken, needed);
        assert!(outcome.calls < needed * 102 / 100, "{outcome:?}");
        assert!(outcome.empty_since < outage.end + seconds(15), "{outcome:?}");
    }

    #[test]
    fn a_limit_is_made_use_of() {
        // 25 requests a second are taken, 40 come.
        let mut second = (0, 0);
        let outcome = run(40, seconds(60), |now| {
            if second.0 != now.as_secs() {
                second = (now.as_secs(), 0);
            }
            second.1 += 1;
            second.1 <= 25
        });
        assert!(outcome.calls < outcome.taken * 12 / 10, "{outcome:?}");
        // 2,400 requests at 25 a second take 96 seconds.
        assert!(outcome.empty_since < seconds(10 + 96 * 12 / 10), "{outcome:?}");
    }

    #[test]
    fn a_request_that_always_fails_is_not_the_only_one_that_tries() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let calls = runtime.block_on(async {
            let clock = Clock::start();
            let gate = Gate::new(clock, PATIENCE);
            let calls = RefCell::new([0_u32; 8]);
            // The first always fails; the others would be taken, and then there is another of them.
            let request = async |number: usize| {
                loop {
                    gate.pass().await;
                    calls.borrow_mut()[number] += 1;
                    tokio::time::sleep(ROUND_TRIP).await;
                    if number == 0 {
                        gate.refused(Refusal::Failed);
                    } else {
                        gate.taken();
                        tokio::time::sleep(seconds(10)).await;
                    }
                }
            };
            for _ in 0..REFUSALS_OF_AN_OUTAGE {
                gate.refused(Refusal::Failed);
            }
            let all = futures_util::future::join_all((0..8).map(&request));
            drop(tokio::time::timeout(seconds(600), all).await);
            calls.into_inner()
        });
        assert!(calls[1..].iter().all(|calls| *calls > 30), "{calls:?}");
    }

    #[test]
    fn requests_that_are_refused_whatever_the_rate_are_made_up_for() {
        // At 20 that are needed a second, each tenth or third is refused.
        for refused in [10, 3] {
            let mut call = 0;
            let outcome = run(20, seconds(60), |_| {
                call += 1;
                call % refused != 0
            });
            assert_eq!(outcome.taken, 1_200);
            assert!(
                outcome.empty_since < seconds(10 + 60 + 5),
                "{refused}: {outcome:?}"
            );
            let needed = outcome.taken * refused / (refused - 1);
            assert!(outcome.calls < needed * 11 / 10, "{refused}: {outcome:?}");
        }
    }

    #[test]
    fn one_refusal_in_a_burst_after_a_pause_slows_down_little() {
        let mut pace = Pace::new();
        let mut now = seconds(100);
        for call in 0..8 {
            assert_eq!(pace.ask(now, PATIENCE), Turn::Now);
            now += Duration::from_millis(5);
            if call == 5 {
                pace.refused(now, Refusal::Throttled, 0.5);
            } else {
                pace.taken(now);
            }
            let State::Limited { next, .. } = pace.state else {
                continue;
            };
            now = next;
        }
        assert!(now < seconds(101), "{now:?}");
    }

    #[test]
    fn an_outage_costs_a_call_every_few_seconds() {
        let outage = seconds(20)..seconds(620);
        let outcome = run(1, seconds(630), |now| !outage.contains(&now));
        assert!(outcome.calls - outcome.taken < 600 / 2 + 20, "{outcome:?}");
    }

    #[test]
    fn each_probe_that_fails_makes_the_pause_longer_and_no_other_request_does() {
        let mut pace = stopped();
        let mut now = seconds(5);
        // More of them were on their way.
        for _ in 0..8 {
            assert!(pace.refused(now, Refusal::Failed, 0.5));
        }
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let Turn::At(then) = pace.ask(now, PATIENCE) else {
                panic!("it waits");
            };
            pauses.push((then - now).as_millis());
            assert_eq!(pace.ask(then, PATIENCE), Turn::Now);
            now = then + ROUND_TRIP;
            assert!(pace.refused(now, Refusal::Failed, 0.5));
        }
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 2_500, 2_500]);
    }

    #[test]
    fn a_probe_that_nobody_hears_of_is_over_in_time() {
        let mut pace = stopped();
        assert_eq!(
            pace.ask(seconds(5), PATIENCE),
            Turn::At(seconds(5) + PROBE_PAUSE_FIRST)
        );
        assert_eq!(pace.ask(seconds(6), PATIENCE), Turn::Now);
        assert_eq!(pace.ask(seconds(7), PATIENCE), Turn::At(seconds(36)));
        assert_eq!(pace.ask(seconds(36), PATIENCE), Turn::Now);
    }

    #[test]
    fn a_request_that_fails_alone_slows_no_other_down() {
        let mut pace = Pace::new();
        pace.taken(seconds(1));
        assert!(!pace.refused(seconds(1), Refusal::Failed, 0.5));
        assert_eq!(pace.state, State::Free);
        // When nothing else is taken for some time, it is not alone.
        for _ in 2..REFUSALS_OF_AN_OUTAGE {
            assert!(!pace.refused(seconds(3), Refusal::Failed, 0.5));
        }
        assert!(pace.refused(seconds(3), Refusal::Failed, 0.5));
        assert!(matches!(pace.state, State::Stopped { .. }));
    }

    #[test]
    fn the_bound_goes_when_nothing_was_refused_for_long() {
        let mut pace = Pace::new();
        pace.taken(seconds(1));
        pace.refused(seconds(1), Refusal::Throttled, 0.5);
        assert!(matches!(pace.state, State::Limited { .. }));
        pace.taken(seconds(1) + CALM);
        assert_eq!(pace.state, State::Free);
    }
}

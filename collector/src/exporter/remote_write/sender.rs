//! Sends what waits in a shard, a request at a time, until each sample is written or given up.
//!
//! While a request is not taken its shard sends no other: so the samples of a series stay in order. An attempt that fails
//! is repeated until the samples are too old for any receiver, not so many times.

use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::FutureExt;
use tracepipe_config::{RemoteWriteSettings, RetrySettings};

use super::account::Ended;
use super::answer::Verdict;
use super::body::{Body, BodyMaker};
use super::gate::{Gate, PAUSE_LONGEST, Permit};
use super::parts::{Part, Parts};
use super::queue::{Flight, SampleQueue};
use super::reason::{Lost, Reject};
use super::refused::{KEPT, RefusedSeries};
use super::sizes::SizeLimit;
use super::transport::{Answer, Fault, Transport};
use crate::clock::Clock;
use crate::exporter::retry::Backoff;
use crate::limiter::MemoryLimiter;
use crate::log_gate::LogGate;

/// Failed requests are logged this often at most, and refused ones beside them.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Characters of a series in the log.
const SERIES_TOLD_MAX: usize = 300;

/// Attempts to send a request with metadata: there is another one in a minute.
const METADATA_ATTEMPTS_MAX: u32 = 3;

/// What all shards of an exporter share.
pub(super) struct Sender {
    pub(super) queue: SampleQueue,
    transport: Transport,
    gate: Gate,
    sizes: RefCell<SizeLimit>,
    refused: RefCell<RefusedSeries>,
    retry: RetrySettings,
    may_halve: bool,
    age_max: Duration,
    bodies: RefCell<BodyMaker>,
    failures: LogGate,
    rejects: LogGate,
    silenced: LogGate,
    clock: Clock,
    /// Wall-clock time since the Unix epoch.
    unix_now: Box<dyn Fn() -> Duration>,
}

/// What a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goods {
    Samples,
    Metadata,
}

/// The pauses of a shard: they grow until a request is taken.
struct Pauses<'a> {
    retry: &'a RetrySettings,
    backoff: Backoff,
}

// === impl Sender ===

impl Sender {
    pub(super) fn new(
        settings: &RemoteWriteSettings,
        queue: SampleQueue,
        transport: Transport,
        limiter: MemoryLimiter,
        clock: Clock,
    ) -> Self {
        let sender = Self {
            gate: Gate::new(queue.shards() as u64, clock),
            queue,
            transport,
            sizes: RefCell::new(SizeLimit::new(settings.max_batch_size_bytes)),
            refused: RefCell::new(RefusedSeries::new(&limiter)),
            retry: settings.retry.clone(),
            may_halve: settings.bisect,
            age_max: settings.sample_age_limit,
            bodies: RefCell::new(BodyMaker::new(limiter)),
            failures: LogGate::new(LOG_INTERVAL),
            rejects: LogGate::new(LOG_INTERVAL),
            silenced: LogGate::new(LOG_INTERVAL),
            clock,
            unix_now: Box::new(Clock::unix_now),
        };
        sender.tell_bounds();
        sender
    }

    /// Tells the time otherwise than the process's clock does.
    #[cfg(test)]
    pub(super) fn with_wall_clock(mut self, unix_now: impl Fn() -> Duration + 'static) -> Self {
        self.unix_now = Box::new(unix_now);
        self
    }

    /// Works on a shard until it is drained, or there is no time left.
    pub(super) async fn run_shard(self: Rc<Self>, shard: usize) {
        let work = async {
            let mut pauses = Pauses::new(&self.retry);
            while let Some((series, flight)) = self.queue.next(shard, || self.bytes_max()).await {
                let parts = Parts::new(series, self.may_halve);
                // A request that makes this panic is lost, and counted, alone.
                let one = AssertUnwindSafe(self.send(parts, flight, &mut pauses)).catch_unwind();
                if one.await.is_err() {
                    tracing::error!("an exporter panicked on a request; its samples are lost");
                }
            }
        };
        tokio::select! {
            () = work => {}
            // What was on its way is counted when it is dropped.
            () = self.queue.end() => {}
        }
        self.queue.abandon_shard(shard);
    }

    /// Sends metadata until the queue is drained.
    pub(super) async fn run_metadata(self: Rc<Self>) {
        let work = async {
            while let Some(request) = self.queue.next_metadata().await {
                let is_written = self.send_metadata(&request).await;
                self.queue.update(|account| {
                    account.metadata_written += u64::from(is_written);
                    account.metadata_lost += u64::from(!is_written);
                });
            }
        };
        tokio::select! {
            () = work => {}
            () = self.queue.end() => {}
        }
    }

    async fn send(&self, mut parts: Parts, mut flight: Flight, pauses: &mut Pauses<'_>) {
        let mut halvings = 0;
        while let Some(part) = parts.next(self.bytes_max()) {
            self.send_part(part, &mut parts, &mut flight, pauses).await;
            let more = parts.halvings() - std::mem::replace(&mut halvings, parts.halvings());
            self.queue.update(|account| account.halvings += more);
            self.tell_bounds();
        }
    }

    /// Sends a part until it is written, given up or in halves.
    async fn send_part(
        &self,
        mut part: Part,
        parts: &mut Parts,
        flight: &mut Flight,
        pauses: &mut Pauses<'_>,
    ) {
        let begun = self.clock.now();
        let mut body: Option<Body> = None;
        let mut is_again = false;
        let mut was_signed_anew = false;
        loop {
            let permit = self.pass().await;
            if self.take_out(&mut part, flight) {
                body = None;
            }
            if part.series.is_empty() {
                return;
            }
            let Some(going) = body.take().or_else(|| self.encode(&part)) else {
                return flight.lost(Lost::TooLarge, part.samples());
            };
            let outcome = self
                .attempt(&going, std::mem::replace(&mut is_again, true), Goods::Samples)
                .await;
            let (answer, verdict) = match &outcome {
                Ok((answer, verdict)) => (Some(answer), *verdict),
                Err(fault) => (None, Verdict::Later(fault.label(), None)),
            };
            part.is_unconfirmed |= outcome_is_unknown(&outcome);
            let at_least = match verdict {
                Verdict::Taken => {
                    permit.taken();
                    parts.taken();
                    pauses.reset();
                    return flight.written(&part.series);
                }
                Verdict::Wrong(reject) => {
                    pauses.reset();
                    let is_known = part.is_unconfirmed && reject.may_mean_written();
                    self.remember(&part, reject);
                    return give_up(parts.wrong(part, is_known), Lost::Rejected(reject), flight);
                }
                Verdict::TooLarge => {
                    pauses.reset();
                    self.learn_size(going.encoded);
                    return give_up(parts.too_large(part), Lost::TooLarge, flight);
                }
                Verdict::Refused => return flight.lost(Lost::Refused, part.samples()),
                Verdict::Throttled(pause) => {
                    permit.throttled();
                    // Whether this request is sent again or not.
                    pause.into_iter().for_each(|pause| self.gate.close(pause));
                    pause
                }
                Verdict::Denied => {
                    if let Some(answer) = answer
                        && !std::mem::replace(&mut was_signed_anew, true)
                        && self.transport.sign_anew(answer).await
                    {
                        body = Some(going);
                        continue;
                    }
                    None
                }
                Verdict::Later(_, pause) => pause,
            };
            drop(permit);
            self.tell_bounds();
            body = Some(going);
            let Some(pause) = pauses.next(self.clock.now() - begun, at_least) else {
                return flight.lost(Lost::RetriesExhausted, part.samples());
            };
            self.pause(pause, verdict).await;
        }
    }

    /// Takes out what need not be sent, and counts it; true when there was any.
    fn take_out(&self, part: &mut Part, flight: &mut Flight) -> bool {
        let before = part.samples();
        let too_old = part.drop_older(self.oldest_ms());
        flight.lost(Lost::AgeLimit, too_old);
        let mut refused = self.refused.borrow_mut();
        refused.take_out(&mut part.series, self.clock.now(), |reject| {
            flight.lost(Lost::Rejected(reject), 1);
        });
        part.samples() < before
    }

    /// A part was refused: if it is a single sample, its series may not be sent for a while.
    fn remember(&self, part: &Part, reject: Reject) {
        let [alone] = &part.series[..] else { return };
        let now = self.clock.now();
        if self.refused.borrow_mut().remember(alone, reject, now) && self.silenced.is_due(now) {
            tracing::warn!(
                reason = Lost::Rejected(reject).label(),
                series = alone.describe().chars().take(SERIES_TOLD_MAX).collect::<String>(),
                "the receiver does not take a series: it is not sent for {} s, and its samples are counted (one such series is named in {} s at most)",
                KEPT.as_secs(),
                LOG_INTERVAL.as_secs()
            );
        }
    }

    /// True when it was taken.
    async fn send_metadata(&self, request: &[u8]) -> bool {
        let Some(body) = self.bodies.borrow_mut().encoded(request) else {
            return false;
        };
        let mut pauses = Pauses::new(&self.retry);
        for attempt in 0..METADATA_ATTEMPTS_MAX {
            let permit = self.pass().await;
            let verdict = match self.attempt(&body, attempt > 0, Goods::Metadata).await {
                Ok((_, verdict)) => verdict,
                Err(fault) => Verdict::Later(fault.label(), None),
            };
            let at_least = match verdict {
                Verdict::Taken => return true,
                Verdict::Wrong(_) | Verdict::TooLarge | Verdict::Refused => return false,
                Verdict::Throttled(pause) => {
                    permit.throttled();
                    pause
                }
                Verdict::Later(_, pause) => pause,
                Verdict::Denied => None,
            };
            drop(permit);
            let Some(pause) = pauses.next(Duration::ZERO, at_least) else {
                return false;
            };
            self.pause(pause, verdict).await;
        }
        false
    }

    /// One attempt, counted and, if it failed, told.
    async fn attempt(&self, body: &Body, is_again: bool, goods: Goods) -> Result<(Answer, Verdict), Fault> {
        let begun = self.clock.now();
        let outcome = self.transport.send(body.bytes.clone()).await;
        let took = self.clock.now() - begun;
        let here = UNIX_EPOCH + (self.unix_now)();
        let outcome = outcome.map(|answer| {
            let verdict = Verdict::of(&answer, here);
            (answer, verdict)
        });
        let ended = match &outcome {
            Ok((answer, _)) => Ended::Status(answer.status),
            Err(fault) => fault.ended(),
        };
        self.queue.update(|account| {
            *account.requests.entry(ended).or_default() += 1;
            account.retries += u64::from(is_again);
            account.bytes_sent += body.bytes.len() as u64;
            account.latencies.add(took);
            let failing = account.failing.clone();
            match &outcome {
                Ok((answer, verdict)) => account.answered(answer.status, &answer.code, *verdict),
                Err(fault) => account.fail(fault.label(), ""),
            }
            match goods {
                Goods::Samples => {}
                // No limit of samples holds for it: what it meets says nothing of what they will.
                Goods::Metadata => account.failing = failing,
            }
        });
        self.tell(&outcome);
        outcome
    }

    /// Says what failed. Not the body of an answer to a wrong signature: AWS's quote the request, with the session token.
    fn tell(&self, outcome: &Result<(Answer, Verdict), Fault>) {
        let (answer, verdict) = match outcome {
            Ok((_, Verdict::Taken)) => return,
            Ok((answer, verdict)) => (answer, *verdict),
            Err(fault) => {
                if self.failures.is_due(self.clock.now()) {
                    tracing::warn!(
                        reason = fault.label(),
                        cause = fault.cause(),
                        "a remote write request failed (said once in {} s at most)",
                        LOG_INTERVAL.as_secs()
                    );
                }
                return;
            }
        };
        let (log, body) = match verdict {
            Verdict::Denied => (&self.failures, "".into()),
            Verdict::Taken | Verdict::Throttled(_) | Verdict::Later(..) => {
                (&self.failures, String::from_utf8_lossy(&answer.body))
            }
            Verdict::Wrong(_) | Verdict::TooLarge | Verdict::Refused => {
                (&self.rejects, String::from_utf8_lossy(&answer.body))
            }
        };
        if log.is_due(self.clock.now()) {
            tracing::warn!(
                reason = verdict.label(),
                status = answer.status,
                code = answer.code,
                body = ?body,
                "the receiver refused a remote write request (said once in {} s at most)",
                LOG_INTERVAL.as_secs()
            );
        }
    }

    fn encode(&self, part: &Part) -> Option<Body> {
        let body = self.bodies.borrow_mut().samples(&part.series, part.bytes())?;
        self.queue.update(|account| account.bytes_encoded += body.encoded);
        Some(body)
    }

    /// Waits until a request may go; not any more when there is no time left.
    async fn pass(&self) -> Permit<'_> {
        tokio::select! {
            biased;
            permit = self.gate.pass() => permit,
            () = self.queue.last_call() => self.gate.force(),
        }
    }

    /// The pause before another attempt, of all shards when there are too many; shorter when all must go.
    async fn pause(&self, pause: Duration, verdict: Verdict) {
        if matches!(verdict, Verdict::Throttled(_)) {
            self.gate.close(pause);
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.queue.last_call() => {}
        }
    }

    /// What is allowed now goes into the account.
    fn tell_bounds(&self) {
        self.queue.update(|account| {
            account.request_bytes_max = self.bytes_max();
            account.shards_allowed = self.gate.allowed();
        });
    }

    fn bytes_max(&self) -> u64 {
        self.sizes.borrow().bytes_max(self.clock.now())
    }

    fn learn_size(&self, refused: u64) {
        let now = self.clock.now();
        let mut sizes = self.sizes.borrow_mut();
        if sizes.refused(refused, now) {
            tracing::info!(
                refused_bytes = refused,
                bytes_max = sizes.bytes_max(now),
                "the receiver takes no such large requests: they are smaller from now on"
            );
        }
    }

    /// No sample from before is sent, in ms since the Unix epoch.
    fn oldest_ms(&self) -> i64 {
        let oldest = (self.unix_now)().saturating_sub(self.age_max);
        i64::try_from(oldest.as_millis()).unwrap_or(i64::MAX)
    }
}

/// It may have been written although it was not said so.
fn outcome_is_unknown(outcome: &Result<(Answer, Verdict), Fault>) -> bool {
    match outcome {
        Ok((answer, _)) => answer.status >= 500 || answer.status == 408,
        Err(fault) => fault.is_out(),
    }
}

/// Counts a part that is given up, if one is.
fn give_up(part: Option<Part>, reason: Lost, flight: &mut Flight) {
    let Some(part) = part else { return };
    let is_known = match reason {
        Lost::Rejected(reject) => part.is_unconfirmed && reject.may_mean_written(),
        Lost::QueueFull
        | Lost::AgeLimit
        | Lost::Duplicate
        | Lost::RetriesExhausted
        | Lost::TooLarge
        | Lost::Refused
        | Lost::Shutdown
        | Lost::Abandoned => false,
    };
    if is_known {
        flight.presumed_written(&part.series);
    } else {
        flight.lost(reason, part.samples());
    }
}

// === impl Pauses ===

impl<'a> Pauses<'a> {
    fn new(retry: &'a RetrySettings) -> Self {
        Self {
            retry,
            backoff: Backoff::new(retry),
        }
    }

    /// The receiver answers: the next pause is the first again.
    fn reset(&mut self) {
        self.backoff = Backoff::new(self.retry);
    }

    /// As [`Backoff::next`]; a receiver that asks for very long is asked again before.
    fn next(&mut self, elapsed: Duration, at_least: Option<Duration>) -> Option<Duration> {
        self.backoff
            .next(elapsed, at_least.map(|pause| pause.min(PAUSE_LONGEST)))
    }
}

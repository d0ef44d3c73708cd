//! What the ingest owner does besides serving: deciding, releasing, watching memory, writing decisions.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tracepipe_config::BatchSettings;

use super::{Message, Reply};
use crate::account::Account;
use crate::admin::Health;
use crate::clock::Clock;
use crate::decision_log::{DecisionWriter, LogCounters};
use crate::exposition::account_text;
use crate::ingest::SharedIngest;
use crate::limiter::{MemoryLimiter, Sources};
use crate::metrics::SharedInlet;
use crate::purge::Purge;

/// A decision may come this much later than its deadline, so that one wake-up decides many traces.
const DECISION_SLACK: Duration = Duration::from_millis(20);

/// New decisions are written this often: what a killed process forgets.
const DECISIONS_WRITTEN_EVERY: Duration = Duration::from_secs(1);

/// The resident size is read this often, or every `check_interval` where that is less: after a burst requests must be
/// taken again soon. The cgroup's figures, which cost the kernel more, are read every `check_interval`.
const RESIDENT_INTERVAL: Duration = Duration::from_millis(250);

/// Decides traces when their time has come.
pub(super) async fn decide(ingest: SharedIngest, clock: Clock) {
    let earlier = ingest.borrow().deadline_changed();
    loop {
        let deadline = ingest.borrow().next_deadline();
        let Some(deadline) = deadline else {
            earlier.notified().await;
            continue;
        };
        let pause = (deadline + DECISION_SLACK).saturating_sub(clock.now());
        tokio::select! {
            () = tokio::time::sleep(pause) => ingest.borrow_mut().run_decisions(),
            // A root span may bring a trace's decision forward; or a request has found traces that are due.
            () = earlier.notified() => {
                let mut ingest = ingest.borrow_mut();
                if ingest.next_deadline().is_some_and(|deadline| deadline <= clock.now()) {
                    ingest.run_decisions();
                }
            }
        }
    }
}

/// Hands new decisions to the thread that writes them.
pub(super) async fn write_decisions(ingest: SharedIngest, writer: Rc<DecisionWriter>) {
    let mut ticks = tokio::time::interval(DECISIONS_WRITTEN_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (decisions, held) = ingest.borrow_mut().new_decisions();
        writer.write(decisions, held);
    }
}

/// Kept traces wait for others before they leave, for `batch.timeout` and this long at most: one wake-up of the export
/// owner is for many of them. The batch they get into goes as soon as if they had not waited.
const GATHER_TIME_MAX: Duration = Duration::from_millis(200);

/// So many do not wait for others.
const GATHERED_TRACES_MAX: usize = 64;

/// What `release` sends into and is asked by.
pub(super) struct Outlet {
    pub(super) traces: mpsc::Sender<Message>,
    /// Kept traces may wait so long for others.
    pub(super) gather: Duration,
    pub(super) snapshots: mpsc::Receiver<Reply>,
    pub(super) decision_log: Option<Arc<LogCounters>>,
    /// Asked for its account at the same moment.
    pub(super) metrics: Option<SharedInlet>,
}

// === impl Outlet ===

impl Outlet {
    /// How long kept traces wait for others.
    pub(super) fn gather_time(batch: Option<&BatchSettings>) -> Duration {
        batch.map_or(Duration::ZERO, |batch| batch.timeout.min(GATHER_TIME_MAX))
    }

    fn snapshot(&self, ingest: &SharedIngest, reply: Reply) -> Message {
        let ingest = ingest.borrow();
        let mut figures = ingest.figures();
        figures.decision_log = self.decision_log.as_ref().map(|counters| counters.read());
        Message::Snapshot {
            ingest: Box::new((ingest.account.clone(), figures)),
            metrics: self.metrics.as_ref().map(|metrics| metrics.snapshot()),
            reply,
        }
    }
}

/// Hands kept traces to the export owner, some when there is room for some, and snapshots in their order. Ends when it
/// is told to stop and nothing is left.
pub(super) async fn release(
    ingest: SharedIngest,
    mut outlet: Outlet,
    drained: Rc<Notify>,
    stop: watch::Receiver<bool>,
) {
    let changed = ingest.borrow().released();
    let clock = ingest.borrow().clock();
    // Since when the first of those that wait has waited.
    let mut since = None;
    loop {
        // Room first, then the trace: nothing can be lost between "taken" and "sent".
        let Ok(permit) = outlet.traces.reserve().await else {
            return give_up(&ingest);
        };
        if let Ok(reply) = outlet.snapshots.try_recv() {
            permit.send(outlet.snapshot(&ingest, reply));
            continue;
        }
        let waiting = ingest.borrow().released_traces();
        let mut gathered = Duration::MAX;
        if waiting > 0 {
            let now = clock.now();
            let since = *since.get_or_insert(now);
            gathered = (since + outlet.gather).saturating_sub(now);
            if gathered.is_zero() || waiting >= GATHERED_TRACES_MAX || *stop.borrow() {
                // While there are always some that wait, the oldest of these are not the oldest of all.
                let since = since.max(now.saturating_sub(outlet.gather));
                let released = ingest.borrow_mut().pop_released(since);
                if let Some(traces) = released {
                    permit.send(Message::Traces(traces));
                }
                continue;
            }
        } else {
            since = None;
        }
        drop(permit);
        if ingest.borrow().is_empty() {
            drained.notify_waiters();
            if *stop.borrow() {
                break;
            }
        }
        tokio::select! {
            () = changed.notified() => {}
            () = tokio::time::sleep(gathered), if waiting > 0 => {}
            Some(reply) = outlet.snapshots.recv() => {
                let Ok(permit) = outlet.traces.reserve().await else { return give_up(&ingest) };
                permit.send(outlet.snapshot(&ingest, reply));
            }
        }
    }
    // The last snapshot has no asker: the export owner gives it out when all is flushed.
    let (reply, _nobody) = oneshot::channel();
    if outlet.traces.send(outlet.snapshot(&ingest, reply)).await.is_err() {
        give_up(&ingest);
    }
}

fn give_up(ingest: &SharedIngest) {
    let mut ingest = ingest.borrow_mut();
    ingest.decide_all();
    ingest.lose_released("export_gone");
    // There is nobody to complete the account; this half is still true.
    let account = Account {
        ingest: ingest.account.clone(),
        sampling: ingest.figures(),
        exporters: Vec::new(),
        metrics: None,
    };
    tracing::error!(
        account = account_text(&account),
        "the export owner is gone: kept spans are lost"
    );
}

/// Reads what the kernel says about memory, gives back what is free, and shows that the ingest owner is alive.
pub(super) async fn watch_memory(limiter: MemoryLimiter, every: Duration, health: Arc<Health>, clock: Clock) {
    let sources = Sources::find();
    let mut last = sources.read();
    let mut next_full = clock.now();
    let mut purge = Purge::default();
    let mut ticks = tokio::time::interval(every.min(RESIDENT_INTERVAL));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = clock.now();
        last = if now >= next_full {
            next_full = now + every;
            sources.read()
        } else {
            sources.read_resident(last)
        };
        limiter.set_readings(last);
        purge.adjust(&limiter);
        health.beat(now);
    }
}

#[cfg(test)]
mod tests;

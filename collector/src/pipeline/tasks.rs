//! What the ingest owner does besides serving: deciding, releasing, watching memory, writing decisions.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::Message;
use crate::account::Account;
use crate::admin::Health;
use crate::clock::Clock;
use crate::decision_log::{DecisionWriter, LogCounters};
use crate::exposition::account_text;
use crate::ingest::SharedIngest;
use crate::limiter::{MemoryLimiter, Sources};

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
            // A root span may bring a trace's decision forward.
            () = earlier.notified() => {}
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

/// What `release` sends into and is asked by.
pub(super) struct Outlet {
    pub(super) traces: mpsc::Sender<Message>,
    pub(super) snapshots: mpsc::Receiver<oneshot::Sender<Account>>,
    pub(super) decision_log: Option<Arc<LogCounters>>,
}

// === impl Outlet ===

impl Outlet {
    fn snapshot(&self, ingest: &SharedIngest, reply: oneshot::Sender<Account>) -> Message {
        let ingest = ingest.borrow();
        let mut figures = ingest.figures();
        figures.decision_log = self.decision_log.as_ref().map(|counters| counters.read());
        Message::Snapshot {
            ingest: Box::new((ingest.account.clone(), figures)),
            reply,
        }
    }
}

/// Hands kept traces to the export owner, one when there is room for one, and snapshots in their order. Ends when it
/// is told to stop and nothing is left.
pub(super) async fn release(
    ingest: SharedIngest,
    mut outlet: Outlet,
    drained: Rc<Notify>,
    stop: watch::Receiver<bool>,
) {
    let changed = ingest.borrow().released();
    loop {
        // Room first, then the trace: nothing can be lost between "taken" and "sent".
        let Ok(permit) = outlet.traces.reserve().await else {
            return give_up(&ingest);
        };
        if let Ok(reply) = outlet.snapshots.try_recv() {
            permit.send(outlet.snapshot(&ingest, reply));
            continue;
        }
        let released = ingest.borrow_mut().pop_released();
        if let Some(traces) = released {
            permit.send(Message::Traces(traces));
            continue;
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
    };
    tracing::error!(
        account = account_text(&account),
        "the export owner is gone: kept spans are lost"
    );
}

/// Reads what the kernel says about memory, and shows that the ingest owner is alive.
pub(super) async fn watch_memory(limiter: MemoryLimiter, every: Duration, health: Arc<Health>, clock: Clock) {
    let sources = Sources::find();
    let mut last = sources.read();
    let mut next_full = clock.now();
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
        health.beat(now);
    }
}

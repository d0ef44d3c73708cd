//! When kept traces leave, in virtual time. Without `tail_sampling` each request is a kept trace.

use std::cell::RefCell;

use tokio::time::sleep;
use tracepipe_config::MemoryLimiterSettings;

use super::super::soak::request;
use super::*;
use crate::ingest::{Ingest, SampledTraces};

const GATHER: Duration = Duration::from_millis(100);

/// What the release task works between.
struct Rig {
    ingest: SharedIngest,
    released: mpsc::Receiver<Message>,
    clock: Clock,
    stop: watch::Sender<bool>,
}

impl Rig {
    fn start(pieces: usize) -> Self {
        let clock = Clock::start();
        let limiter = MemoryLimiter::new(&MemoryLimiterSettings {
            check_interval: Duration::from_secs(1),
            limit_bytes: 1 << 30,
            spike_bytes: 0,
        });
        let ingest = Ingest::new(None, Vec::new(), limiter, clock).unwrap();
        let ingest: SharedIngest = Rc::new(RefCell::new(ingest));
        let (traces, released) = mpsc::channel(pieces);
        let (_, snapshots) = mpsc::channel(1);
        let (stop, stopped) = watch::channel(false);
        let outlet = Outlet {
            traces,
            gather: GATHER,
            snapshots,
            decision_log: None,
            metrics: None,
        };
        let drained = Rc::new(Notify::new());
        tokio::task::spawn_local(release(Rc::clone(&ingest), outlet, drained, stopped));
        Self {
            ingest,
            released,
            clock,
            stop,
        }
    }

    fn keep(&self, traces: u32) {
        for number in 0..traces {
            self.ingest.borrow_mut().accept(&request(number)).unwrap();
        }
    }

    /// The next that leave, and when they do.
    async fn next(&mut self) -> (SampledTraces, Duration) {
        match self.released.recv().await {
            Some(Message::Traces(traces)) => (traces, self.clock.now()),
            Some(Message::Snapshot { .. }) | None => panic!("nothing left"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn kept_traces_wait_for_others_and_say_since_when() {
    let local = tokio::task::LocalSet::new();
    let test = async {
        let mut rig = Rig::start(4);
        rig.keep(1);
        let begun = rig.clock.now();
        sleep(GATHER / 2).await;
        rig.keep(2);
        let (left, at) = rig.next().await;
        assert_eq!((left.traces.len(), left.since), (3, begun));
        assert!((begun + GATHER..begun + GATHER * 2).contains(&at), "{at:?}");
        // The next begin anew.
        rig.keep(1);
        let begun = rig.clock.now();
        assert_eq!(rig.next().await.0.since, begun);
    };
    local.run_until(test).await;
}

#[tokio::test(start_paused = true)]
async fn many_traces_and_the_last_ones_do_not_wait() {
    let local = tokio::task::LocalSet::new();
    let test = async {
        let mut rig = Rig::start(16);
        rig.keep(GATHERED_TRACES_MAX as u32);
        let begun = rig.clock.now();
        assert_eq!(rig.next().await.1, begun);
        sleep(GATHER * 2).await;
        while rig.released.try_recv().is_ok() {}

        rig.keep(1);
        let begun = rig.clock.now();
        rig.stop.send_replace(true);
        rig.ingest.borrow().released().notify_one();
        assert_eq!(rig.next().await.1, begun);
    };
    local.run_until(test).await;
}

/// Batches are due by it: were it the time of the first that ever waited, a slow backend would get them smaller and
/// smaller.
#[tokio::test(start_paused = true)]
async fn behind_a_full_channel_traces_do_not_say_that_they_waited_for_others() {
    let local = tokio::task::LocalSet::new();
    let test = async {
        let mut rig = Rig::start(1);
        for _ in 0..100 {
            rig.keep(20);
            sleep(GATHER).await;
        }
        // The one that lies in the channel, then such as left when it was taken out.
        rig.next().await;
        let (left, at) = rig.next().await;
        assert!(
            rig.ingest.borrow().released_traces() > 0,
            "the test keeps too little"
        );
        assert!(left.since + GATHER >= at, "{:?} at {at:?}", left.since);
    };
    local.run_until(test).await;
}

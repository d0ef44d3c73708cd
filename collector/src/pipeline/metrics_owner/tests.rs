//! The metrics line beside that of traces, in virtual time: each flows while the backend of the other takes nothing, both
//! stay within their memory, and every data point is accounted for.

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::FutureExt;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::super::export::fill_queues;
use super::super::tasks::{Outlet, release};
use super::super::{CHANNEL_PIECES, SNAPSHOTS_MAX, Snapshots};
use super::*;
use crate::account::Account;
use crate::batcher::{Batch, Batcher};
use crate::exporter::SendingQueue;
use crate::ingest::{Ingest, SharedIngest};
use crate::metrics::testing::{limiter, offer, request};
use crate::metrics::{NotTaken, SharedInlet, channel};

const LIMIT: u64 = 32 << 20;
const POINTS: u64 = 20;

/// Both lines between the receivers and backends of the tests, as the pipeline puts them together.
struct Rig {
    limiter: MemoryLimiter,
    ingest: SharedIngest,
    inlet: SharedInlet,
    snapshots: Snapshots,
    spans: SendingQueue,
    points: SendingQueue<MetricsBatch>,
    offered_points: u64,
    offered_spans: u64,
    clock: Clock,
}

impl Rig {
    fn start() -> Self {
        let clock = Clock::start();
        let limiter = limiter(LIMIT);
        let queue_bytes_max = limiter.export_queue_bytes_max() / 2;
        let (inlet, mut messages) = channel(&limiter, Vec::new(), clock);
        let inlet = Rc::new(inlet);
        let (idle, points) = MetricsExporter::idle("prometheusremotewrite", queue_bytes_max);
        let batcher = MetricsBatcher::new(None, Vec::new(), limiter.clone());
        let mut line = Line::new(batcher, vec![idle], clock);
        tokio::task::spawn_local(async move { line.run(&mut messages).await });

        let ingest = Ingest::new(None, Vec::new(), limiter.clone(), clock).unwrap();
        let ingest: SharedIngest = Rc::new(RefCell::new(ingest));
        let (traces, mut released) = mpsc::channel(CHANNEL_PIECES);
        let (requests, snapshots) = mpsc::channel(SNAPSHOTS_MAX);
        let outlet = Outlet {
            traces,
            gather: Duration::ZERO,
            snapshots,
            decision_log: None,
            metrics: Some(Rc::clone(&inlet)),
        };
        let (stop, stopped) = watch::channel(false);
        let releasing = release(Rc::clone(&ingest), outlet, Rc::new(Notify::new()), stopped);
        tokio::task::spawn_local(async move {
            releasing.await;
            drop(stop);
        });
        let spans = SendingQueue::new("awsxray".into(), queue_bytes_max, u64::MAX);
        let queues = [spans.clone()];
        tokio::task::spawn_local(async move {
            fill_queues(&mut released, Batcher::new(None), &queues, clock).await;
        });
        Self {
            limiter,
            ingest,
            inlet,
            snapshots: Snapshots { requests },
            spans,
            points,
            offered_points: 0,
            offered_spans: 0,
            clock,
        }
    }

    /// One request of each kind. Both must be taken.
    fn offer_both(&mut self, number: u32) {
        let traces = super::super::soak::request(number);
        let reservation = self.limiter.try_reserve(traces.len() as u64);
        reservation.expect("there is room for spans");
        self.ingest.borrow_mut().accept(&traces).unwrap();
        self.offered_spans += 50;
        let metrics = request(POINTS as usize, 500);
        assert_eq!(offer(&self.inlet, &self.limiter, &metrics), Ok(()));
        self.offered_points += POINTS;
    }

    async fn account(&self) -> Account {
        self.snapshots.take().await.unwrap()
    }

    /// Every identity of both accounts, and that they agree with what was offered.
    fn assert_exact(&self, account: &Account) {
        let metrics = account.metrics.as_ref().unwrap();
        let lost: u64 = metrics.lost.values().sum();
        assert_eq!(metrics.ingest.accepted, self.offered_points);
        assert_eq!(self.offered_points, lost + metrics.waiting + metrics.handed_on);
        let kept: u64 = account.ingest.kept.iter().sum();
        assert_eq!(account.ingest.accepted, self.offered_spans);
        assert_eq!(self.offered_spans, account.ingest.buffered + kept);
        for (exporter, handed_on) in [
            (&account.exporters[0], kept),
            (&metrics.exporters[0].points, metrics.handed_on),
        ] {
            let lost: u64 = exporter.lost.values().sum();
            let ends = exporter.exported + lost + exporter.waiting + exporter.in_flight;
            assert_eq!(ends, handed_on, "{exporter:?}");
        }
    }
}

/// Takes every batch, at once.
async fn takes<B: Batch>(queue: SendingQueue<B>) {
    while let Some((_batch, mut progress)) = queue.take().await {
        progress.requested();
        let all = progress.in_flight();
        progress.exported(all);
    }
}

/// Takes one batch, and never answers.
async fn hangs<B: Batch>(queue: SendingQueue<B>) {
    let taken = queue.take().await;
    std::future::pending::<()>().await;
    drop(taken);
}

/// Ten minutes in which one backend hangs: far more comes than its queue may hold.
async fn ten_minutes(rig: &mut Rig) -> Account {
    for number in 0..3_000 {
        rig.offer_both(number);
        sleep(Duration::from_millis(200)).await;
        if number % 500 == 0 {
            let account = rig.account().await;
            rig.assert_exact(&account);
            assert!(
                rig.limiter.accounted() < LIMIT * 45 / 100,
                "{}",
                rig.limiter.accounted()
            );
        }
    }
    let account = rig.account().await;
    rig.assert_exact(&account);
    assert!(rig.clock.now() >= Duration::from_secs(600));
    account
}

#[tokio::test(start_paused = true)]
async fn traces_flow_while_the_backend_of_metrics_takes_nothing() {
    let test = async {
        let mut rig = Rig::start();
        tokio::task::spawn_local(takes(rig.spans.clone()));
        tokio::task::spawn_local(hangs(rig.points.clone()));
        let account = ten_minutes(&mut rig).await;
        assert_eq!(account.exporters[0].exported, rig.offered_spans);
        let metrics = account.metrics.unwrap();
        let points = &metrics.exporters[0].points;
        assert!(points.lost["queue_full"] > rig.offered_points / 2, "{points:?}");
        assert!(points.queue_bytes <= rig.limiter.export_queue_bytes_max() / 2);
        assert_eq!(points.exported, 0);
    };
    tokio::task::LocalSet::new().run_until(test).await;
}

#[tokio::test(start_paused = true)]
async fn metrics_flow_while_the_backend_of_traces_takes_nothing() {
    let test = async {
        let mut rig = Rig::start();
        tokio::task::spawn_local(hangs(rig.spans.clone()));
        tokio::task::spawn_local(takes(rig.points.clone()));
        let account = ten_minutes(&mut rig).await;
        let spans = &account.exporters[0];
        assert!(spans.lost["queue_full"] > rig.offered_spans / 2, "{spans:?}");
        let metrics = account.metrics.unwrap();
        assert_eq!(metrics.exporters[0].points.exported, rig.offered_points);
        assert_eq!((metrics.waiting, metrics.lost.len()), (0, 0));
    };
    tokio::task::LocalSet::new().run_until(test).await;
}

/// The owner is stopped in the middle of a translation, as it were: the channel fills up.
#[tokio::test(start_paused = true)]
async fn metrics_are_refused_while_their_owner_does_not_come_and_traces_are_not() {
    let limiter = limiter(LIMIT);
    let (inlet, _stuck) = channel(&limiter, Vec::new(), Clock::start());
    let metrics = request(100, 1_000);
    let taken = (0..1_000)
        .take_while(|_| offer(&inlet, &limiter, &metrics).is_ok())
        .count();
    assert!(taken > 5, "{taken}");
    assert_eq!(offer(&inlet, &limiter, &metrics), Err(NotTaken::Busy));
    assert!(limiter.try_reserve(LIMIT / 2).is_ok());
}

/// A line whose only exporter has a queue that the test empties, and what ends it.
fn draining(
    limiter: &MemoryLimiter,
) -> (
    SharedInlet,
    SendingQueue<MetricsBatch>,
    tokio::task::JoinHandle<MetricsAccount>,
) {
    let clock = Clock::start();
    let (inlet, mut messages) = channel(limiter, Vec::new(), clock);
    let (idle, queue) = MetricsExporter::idle("otlp", u64::MAX);
    let settings = tracepipe_config::BatchSettings {
        timeout: Duration::from_secs(60),
        send_batch_size: 0,
        send_batch_max_size: 0,
    };
    let batcher = MetricsBatcher::new(Some(&settings), Vec::new(), limiter.clone());
    let mut tasks = MetricsTasks::default();
    let consumer = queue.clone();
    tasks.senders.spawn_local(async move {
        while let Some((_batch, mut progress)) = consumer.take().await {
            sleep(Duration::from_secs(30)).await;
            let all = progress.in_flight();
            progress.exported(all);
        }
    });
    let mut line = Line::new(batcher, vec![idle], clock);
    let running = tokio::task::spawn_local(async move {
        line.run(&mut messages).await;
        line.drain(&mut messages, tasks).await;
        line.account()
    });
    (Rc::new(inlet), queue, running)
}

#[tokio::test(start_paused = true)]
async fn at_the_end_what_waits_has_eight_seconds_and_snapshots_are_answered_until_the_channel_closes() {
    let test = async {
        let limiter = limiter(LIMIT);
        let (inlet, _queue, mut running) = draining(&limiter);
        assert_eq!(offer(&inlet, &limiter, &request(3, 10)), Ok(()));
        sleep(Duration::from_secs(1)).await;
        let begun = Clock::start();
        inlet.drain().await;
        // The batch that was being filled has left at once.
        let account = inlet.snapshot().await.unwrap();
        assert_eq!((account.waiting, account.handed_on), (0, 3));
        assert_eq!(account.exporters[0].points.in_flight, 3);
        // Its backend needs longer than there is.
        sleep(Duration::from_secs(9)).await;
        let account = inlet.snapshot().await.unwrap();
        assert_eq!(account.exporters[0].points.lost, [("abandoned", 3)].into());
        assert_eq!(limiter.accounted(), 0);
        // It goes on for as long as traces need.
        sleep(Duration::from_secs(60)).await;
        assert!((&mut running).now_or_never().is_none());
        drop(inlet);
        let last = running.await.unwrap();
        assert_eq!(last.ingest.accepted, 3);
        assert!(begun.now() < Duration::from_secs(71));
    };
    tokio::task::LocalSet::new().run_until(test).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_in_the_batch_that_is_being_filled_waits_in_one_place_only() {
    let test = async {
        let limiter = limiter(LIMIT);
        let (inlet, _queue, _running) = draining(&limiter);
        assert_eq!(offer(&inlet, &limiter, &request(3, 10)), Ok(()));
        sleep(Duration::from_secs(1)).await;
        let account = inlet.snapshot().await.unwrap();
        assert_eq!((account.waiting, account.handed_on), (3, 0));
        let points = &account.exporters[0].points;
        assert_eq!((points.waiting, points.in_flight), (0, 0));
    };
    tokio::task::LocalSet::new().run_until(test).await;
}

#[tokio::test(start_paused = true)]
async fn a_line_without_a_word_of_the_end_flushes_too() {
    let test = async {
        let limiter = limiter(LIMIT);
        let (inlet, _queue, running) = draining(&limiter);
        assert_eq!(offer(&inlet, &limiter, &request(3, 10)), Ok(()));
        drop(inlet);
        let last = running.await.unwrap();
        assert_eq!(last.handed_on, 3);
        assert_eq!(last.exporters[0].points.lost, [("abandoned", 3)].into());
    };
    tokio::task::LocalSet::new().run_until(test).await;
}

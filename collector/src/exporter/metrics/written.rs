//! `prometheusremotewrite`: data points become samples at once, and the sender's queue holds them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tracepipe_config::RemoteWriteSettings;
use tracepipe_metrics::{RemoteWrite, TranslatedSeries, UnixMillis};

use super::translated::{Points, unix_now, until};
use super::{MetricsTasks, Room};
use crate::account::{ExporterAccount, MetricsExporterAccount};
use crate::exporter::remote_write::{RemoteWriteExporter, SampleQueue};
use crate::limiter::{Held, MemoryLimiter};
use crate::metrics::MetricsBatch;

/// The exporter; clones share it.
#[derive(Clone)]
pub struct Written {
    shared: Rc<Shared>,
}

struct Shared {
    points: Points,
    state: RefCell<State>,
    queue: SampleQueue,
    /// Until it is spawned.
    sender: RefCell<Option<RemoteWriteExporter>>,
    /// Told when something is due earlier than was known.
    changed: Notify,
    /// The place of what is remembered of series in the memory account.
    held: RefCell<Held>,
}

struct State {
    translation: RemoteWrite,
    /// Used again and again.
    samples: Vec<TranslatedSeries>,
    metadata: Vec<Vec<u8>>,
}

// === impl Written ===

impl Written {
    pub(super) async fn build(
        id: &str,
        settings: &RemoteWriteSettings,
        limiter: &MemoryLimiter,
        room: Room,
    ) -> anyhow::Result<Self> {
        let sender = RemoteWriteExporter::build(id, settings, limiter, room.queue_bytes_max).await?;
        let bytes_max = usize::try_from(room.series_bytes_max).unwrap_or(usize::MAX);
        Ok(Self {
            shared: Rc::new(Shared {
                points: Points::new(id),
                state: RefCell::new(State {
                    translation: RemoteWrite::new(settings).with_bytes_max(bytes_max),
                    samples: Vec::new(),
                    metadata: Vec::new(),
                }),
                queue: sender.queue(),
                sender: RefCell::new(Some(sender)),
                changed: Notify::new(),
                held: RefCell::new(limiter.hold(0)),
            }),
        })
    }

    pub(super) fn spawn(&self, tasks: &mut MetricsTasks) {
        if let Some(sender) = self.shared.sender.take() {
            sender.spawn(&mut tasks.senders);
        }
        tasks.services.spawn_local(Rc::clone(&self.shared).keep_time());
    }

    pub(super) fn expect(&self, points: u64) {
        self.shared.points.expect(points);
    }

    pub(super) async fn push(&self, batch: &Arc<MetricsBatch>) {
        let shared = &self.shared;
        let translate = |part: &[u8], now| {
            let State {
                translation, samples, ..
            } = &mut *shared.state.borrow_mut();
            let done = translation.translate(part, now, samples);
            shared.held.borrow_mut().set(translation.memory_bytes() as u64);
            shared.queue.push(samples);
            done
        };
        shared.points.translate(batch, translate).await;
        shared.changed.notify_one();
    }

    /// What this collector made itself ends with it: its series are marked stale, which goes out with the rest.
    pub(super) fn drain(&self, within: Duration) {
        let State {
            translation, samples, ..
        } = &mut *self.shared.state.borrow_mut();
        self.shared.points.add(&translation.drain(unix_now(), samples));
        self.shared.queue.push(samples);
        self.shared.queue.drain(within);
    }

    pub(super) fn abandon(&self) {
        self.shared.queue.abandon();
    }

    pub(super) fn account(&self) -> MetricsExporterAccount {
        let samples = self.shared.queue.account();
        let account = self.shared.points.account();
        MetricsExporterAccount {
            points: ExporterAccount {
                queue_bytes: samples.queue_bytes,
                requests: samples.requests.values().sum(),
                failed_requests: samples.failed_requests.clone(),
                backend_errors: samples.backend_errors.clone(),
                failing: samples.failing.clone(),
                ..account.points
            },
            samples: Some(Box::new(samples)),
            ..account
        }
    }
}

// === impl Shared ===

impl Shared {
    /// Does what is due at its time: `target_info` and metadata again, the end of silent streams.
    async fn keep_time(self: Rc<Self>) {
        loop {
            match self.poll() {
                Some(next) => {
                    tokio::select! {
                        () = until(next) => {}
                        () = self.changed.notified() => {}
                    }
                }
                None => self.changed.notified().await,
            }
        }
    }

    fn poll(&self) -> Option<UnixMillis> {
        let now = unix_now();
        let State {
            translation,
            samples,
            metadata,
        } = &mut *self.state.borrow_mut();
        let (done, next) = translation.poll(now, samples);
        self.points.add(&done);
        self.queue.push(samples);
        let next_metadata = translation.poll_metadata(now, metadata);
        self.held.borrow_mut().set(translation.memory_bytes() as u64);
        metadata
            .drain(..)
            .for_each(|request| self.queue.push_metadata(request));
        [next, next_metadata].into_iter().flatten().min()
    }
}

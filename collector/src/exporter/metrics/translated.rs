//! What the exporters that make series have in common: requests come to them in small parts, and every data point is
//! followed to what became of it.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use tracepipe_metrics::{DropReason, Translated, UnixMillis};
use tracepipe_otlp::metrics::{self, PartBounds, Parts};

use crate::account::{ExporterAccount, MetricsExporterAccount};
use crate::clock::Clock;
use crate::log_gate::LogGate;
use crate::metrics::MetricsBatch;

/// What is translated at a stretch. What becomes of a part is in memory before its place in a queue is found, so it must be
/// small, however much of a resource is repeated in each series: at most some megabytes.
const PART: PartBounds = PartBounds {
    bytes_max: 32 * 1024,
    spread_max: 4 * 1024 * 1024,
    around_max: POINT_BYTES_MAX,
    // A second of copying and hashing. A request of 4 MiB below a resource of 1 KiB, each data point in a scope of its own,
    // needs a tenth.
    repeated_max: 512 * 1024 * 1024,
};

/// A request of up to so many bytes is small whatever is in it: half of it repeated for each 16 bytes of the other half.
const SHORT_BYTES_MAX: usize = 16 * 1024;

/// A data point of more bytes, with its resource and scope, is given up: its attributes, repeated for each of its buckets,
/// could be hundreds of megabytes. The largest that an SDK writes by itself have a tenth of it.
const POINT_BYTES_MAX: usize = 64 * 1024;

/// What lasts until somebody changes the senders or the settings is logged this often at most.
const LOG_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// A process that is started anew takes its series over at once; two that write them go on: after this, and before the
/// series are anybody's.
const CONFLICTS_GO_ON: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(5 * 60);

/// The account of the data points of one exporter.
pub(super) struct Points {
    state: RefCell<State>,
    conflicts: LogGate,
    without_room: LogGate,
}

#[derive(Default)]
struct State {
    points: ExporterAccount,
    done: Translated,
    /// When samples of series that another stream writes too came last, since the Unix epoch.
    last_conflict: Duration,
}

// === impl Points ===

impl Points {
    pub(super) fn new(id: &str) -> Self {
        let points = ExporterAccount {
            id: id.to_owned(),
            ..ExporterAccount::default()
        };
        Self {
            state: RefCell::new(State {
                points,
                ..State::default()
            }),
            conflicts: LogGate::new(LOG_INTERVAL),
            without_room: LogGate::new(LOG_INTERVAL),
        }
    }

    /// Data points are about to come.
    pub(super) fn expect(&self, points: u64) {
        self.state.borrow_mut().points.waiting += points;
    }

    /// Gives `translate` the batch in parts, and accounts for what became of each. Between two others have their turn.
    pub(super) async fn translate(
        &self,
        batch: &MetricsBatch,
        translate: impl Fn(&[u8], UnixMillis) -> Translated,
    ) {
        for (request, points) in batch.requests() {
            let mut done = Translated::default();
            let mut too_large = 0;
            if request.len() <= SHORT_BYTES_MAX {
                done = self.one(request, &translate);
                tokio::task::yield_now().await;
            } else {
                let mut parts = Parts::new(request, PART);
                while let Some(part) = parts.next_part() {
                    if part.len() > POINT_BYTES_MAX {
                        // A part is so large only by one point, or by what stands around its few.
                        too_large += metrics::check(part).map_or(0, |counted| counted.points);
                    } else {
                        done.add(&self.one(part, &translate));
                    }
                    tokio::task::yield_now().await;
                }
                too_large += parts.passed_over();
            }
            self.settle(points, &done, too_large);
        }
    }

    /// A part that makes the translation panic is lost alone.
    fn one(&self, part: &[u8], translate: &impl Fn(&[u8], UnixMillis) -> Translated) -> Translated {
        let now = unix_now();
        std::panic::catch_unwind(AssertUnwindSafe(|| translate(part, now))).unwrap_or_else(|_panic| {
            let id = self.state.borrow().points.id.clone();
            tracing::error!(exporter = id, "a translation panicked; its data points are lost");
            Translated::default()
        })
    }

    /// What became of so many data points.
    fn settle(&self, points: u64, done: &Translated, too_large: u64) {
        let mut state = self.state.borrow_mut();
        let State {
            points: account,
            done: all,
            last_conflict,
        } = &mut *state;
        account.waiting -= points;
        account.exported += done.points;
        all.add(done);
        let now = Clock::unix_now();
        if done.series_conflicts > 0 {
            let before = std::mem::replace(last_conflict, now);
            if CONFLICTS_GO_ON.contains(&now.saturating_sub(before)) && self.conflicts.is_due(now) {
                tracing::warn!(
                    exporter = account.id,
                    samples = all.series_conflicts,
                    "two streams write the same series, which goes up and down: resources need a label that differs, \
                     service.instance.id or a promoted one such as k8s.pod.name (said once in {} s at most)",
                    LOG_INTERVAL.as_secs()
                );
            }
        }
        if done.dropped.of(DropReason::StreamsFull) > 0 && self.without_room.is_due(now) {
            tracing::warn!(
                exporter = account.id,
                points = all.dropped.of(DropReason::StreamsFull),
                "there is no room for more streams of deltas, whose points are dropped: raise tracepipe.max_streams or \
                 memory_limiter's limit_mib, or send cumulative metrics (said once in {} s at most)",
                LOG_INTERVAL.as_secs()
            );
        }
        if too_large > 0 {
            *account.lost.entry("too_large").or_default() += too_large;
        }
        let told = done.points + done.dropped.total() + too_large;
        if told != points {
            // The translation and the check disagree, or it panicked; say so rather than count them as translated.
            tracing::error!(exporter = account.id, points, told, "data points without an end");
            *account.lost.entry("untranslatable").or_default() += points.saturating_sub(told);
        }
    }

    /// Samples that no data point stands for.
    pub(super) fn add(&self, done: &Translated) {
        self.state.borrow_mut().done.add(done);
    }

    pub(super) fn account(&self) -> MetricsExporterAccount {
        let state = self.state.borrow();
        let dropped = state.done.dropped.by_reason().filter(|(_, count)| *count > 0);
        MetricsExporterAccount {
            points: state.points.clone(),
            dropped: dropped.collect(),
            translated: Some(state.done),
            ..MetricsExporterAccount::default()
        }
    }
}

/// The time, as Prometheus has it.
pub(super) fn unix_now() -> UnixMillis {
    UnixMillis(i64::try_from(Clock::unix_now().as_millis()).unwrap_or(i64::MAX))
}

/// Waits until then. A clock that is set back makes it no longer than a minute.
pub(super) async fn until(then: UnixMillis) {
    const LONGEST_MS: i64 = 60_000;
    let pause = then.0.saturating_sub(unix_now().0).clamp(0, LONGEST_MS);
    tokio::time::sleep(Duration::from_millis(pause.unsigned_abs())).await;
}

//! What the exporters that make series have in common: requests come to them in small parts, and every data point is
//! followed to what became of it.

use std::cell::RefCell;
use std::panic::AssertUnwindSafe;

use tracepipe_metrics::{Translated, UnixMillis};
use tracepipe_otlp::metrics::{PartBounds, Parts};

use crate::account::{ExporterAccount, MetricsExporterAccount};
use crate::clock::Clock;
use crate::metrics::MetricsBatch;

/// What is translated at a stretch: some milliseconds. What becomes of a part is in memory before its place in a queue is
/// found, so it must be small too, however much of a resource is repeated in each series.
const PART: PartBounds = PartBounds {
    bytes_max: 128 * 1024,
    spread_max: 4 * 1024 * 1024,
};

/// The account of the data points of one exporter.
pub(super) struct Points {
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    points: ExporterAccount,
    done: Translated,
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
        }
    }

    /// Data points are in the batch that is being filled.
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
            let is_long = request.len() > PART.bytes_max
                || (request.len() as u64).saturating_mul(points) > PART.spread_max as u64;
            if is_long {
                let mut parts = Parts::new(request, PART);
                while let Some(part) = parts.next_part() {
                    done.add(&self.one(part, &translate));
                    tokio::task::yield_now().await;
                }
            } else {
                done = self.one(request, &translate);
                tokio::task::yield_now().await;
            }
            self.settle(points, &done);
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
    fn settle(&self, points: u64, done: &Translated) {
        let mut state = self.state.borrow_mut();
        let State {
            points: account,
            done: all,
        } = &mut *state;
        account.waiting -= points;
        account.exported += done.points;
        all.add(done);
        let told = done.points + done.dropped.total();
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
    tokio::time::sleep(std::time::Duration::from_millis(pause.unsigned_abs())).await;
}

//! `debug` (`logging`): kept spans in the collector's own log.

use std::cell::Cell;

use tracepipe_config::{DebugSettings, Verbosity};
use tracepipe_otlp::view::{EachSpan, ResourceSpans};

use super::progress::Progress;
use crate::batcher::{Batch, SpanBatch};
use crate::clock::Clock;

/// The exporter.
pub(crate) struct DebugExporter {
    verbosity: Verbosity,
    sampling: Sampling,
}

/// Which batches are written: the first `sampling_initial` of a second, then every `sampling_thereafter`-th.
pub(super) struct Sampling {
    initial: u64,
    thereafter: u64,
    clock: Clock,
    /// The second that is being counted, and the batches seen in it.
    second: Cell<(u64, u64)>,
}

// === impl DebugExporter ===

impl DebugExporter {
    /// Writes with the given verbosity.
    pub(crate) fn new(settings: &DebugSettings) -> Self {
        Self {
            verbosity: settings.verbosity,
            sampling: Sampling::new(settings),
        }
    }

    /// Writes one batch, unless this second has had enough of them.
    pub(crate) fn export(&self, batch: &SpanBatch, mut progress: Progress) {
        progress.requested();
        if self.sampling.is_due() {
            tracing::info!(
                exporter = progress.exporter_id(),
                traces = batch.traces.len(),
                spans = batch.span_count,
                bytes = batch.bytes,
                "traces"
            );
            match self.verbosity {
                Verbosity::Basic => {}
                Verbosity::Normal => each(batch, log_spans),
                Verbosity::Detailed => each(batch, |spans| tracing::info!(?spans, "resource spans")),
            }
        }
        let spans = progress.in_flight();
        progress.exported(spans);
    }
}

// === impl Sampling ===

impl Sampling {
    /// Counts from now on.
    pub(super) fn new(settings: &DebugSettings) -> Self {
        Self {
            initial: settings.sampling_initial,
            thereafter: settings.sampling_thereafter,
            clock: Clock::start(),
            second: Cell::new((0, 0)),
        }
    }

    /// Whether the batch that is seen now is written.
    pub(super) fn is_due(&self) -> bool {
        let now = self.clock.now().as_secs();
        let (second, seen) = self.second.get();
        let seen = if second == now { seen } else { 0 };
        self.second.set((now, seen + 1));
        match seen.checked_sub(self.initial) {
            None => true,
            Some(over) => self.thereafter > 0 && over % self.thereafter == 0,
        }
    }
}

fn each(batch: &SpanBatch, log: impl Fn(&ResourceSpans<'_>)) {
    for piece in batch.pieces() {
        match EachSpan::new(piece) {
            Ok(mut spans) => {
                while let Some([span]) = spans.next() {
                    log(span);
                }
            }
            Err(error) => tracing::error!(%error, "a batch cannot be decoded"),
        }
    }
}

fn log_spans(resource: &ResourceSpans<'_>) {
    for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
        let nanos = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
        tracing::info!(
            trace_id = %span.trace_id,
            span_id = %span.span_id,
            // Quoted: a name is the sender's and may hold line ends.
            name = ?span.name,
            kind = ?span.kind,
            status = ?span.status.code,
            duration_ms = nanos / 1_000_000,
            "span"
        );
    }
}

//! OTLP metrics to samples of remote write, by the settings of one `prometheusremotewrite` exporter.

mod point;

use std::rc::Rc;
use std::time::Duration;

use tracepipe_config::RemoteWriteSettings;

use crate::account::{DropReason, Translated, UnixMillis};
use crate::context::{Contexts, Metric, Resource, Scope};
use crate::delta::Deltas;
use crate::identity::{Identities, Identity};
use crate::limits::{CACHE_BYTES_MAX, DELTA_BYTES_MAX, FAMILIES_BYTES_MAX, FUTURE_MS_MAX, TARGETS_BYTES_MAX};
use crate::metadata::Families;
use crate::native::Scratch;
use crate::order::Order;
use crate::recent::Recent;
use crate::rules::Rules;
use crate::series::TranslatedSeries;
use crate::sink::{Restart, Sink, Stamp};
use crate::stream::Stream;
use crate::target_info::Targets;
use crate::time::millis;
use crate::view;

/// Streams of deltas are looked through for silent ones this often.
const LOOK_MS: i64 = 10_000;

/// Translates requests for one exporter, and remembers what follows from one request to the next.
#[derive(Debug)]
pub struct RemoteWrite {
    identities: Identities,
    contexts: Contexts,
    /// But for those of deltas, which are held with their sums.
    streams: Recent<Rc<Stream>>,
    /// For both.
    streams_bytes_max: usize,
    deltas: Deltas,
    order: Order,
    targets: Targets,
    families: Families,
    native: Scratch,
    /// Numbers of a point's layout.
    layout: Vec<u64>,
    settings: Own,
    calls: u64,
    next_look_ms: i64,
}

/// What of the settings is asked for each point.
#[derive(Debug, Clone, Copy)]
struct Own {
    age_ms: i64,
    window_ms: i64,
    stale_ms: i64,
    with_zeros: bool,
    with_metadata: bool,
    metadata_ms: i64,
    request_bytes_max: usize,
    native_buckets_max: u64,
}

impl RemoteWrite {
    /// Takes what it needs of the settings.
    pub fn new(settings: &RemoteWriteSettings) -> Self {
        let streams_max = usize::try_from(settings.max_streams).unwrap_or(usize::MAX);
        let own = Own {
            age_ms: whole_millis(settings.sample_age_limit),
            window_ms: whole_millis(settings.out_of_order_window),
            stale_ms: whole_millis(settings.max_stale),
            with_zeros: settings.inject_zero,
            with_metadata: settings.send_metadata,
            metadata_ms: whole_millis(settings.metadata_interval),
            request_bytes_max: usize::try_from(settings.max_batch_size_bytes).unwrap_or(usize::MAX),
            native_buckets_max: settings.max_native_buckets,
        };
        let rules = Rules::new(&settings.translation, &settings.external_labels);
        let mut target_info = Vec::new();
        rules.namer.put_target_info(&mut target_info);
        Self {
            identities: Identities::default(),
            contexts: Contexts::new(rules, settings.target_info),
            streams: Recent::new(CACHE_BYTES_MAX),
            streams_bytes_max: CACHE_BYTES_MAX + DELTA_BYTES_MAX,
            deltas: Deltas::new(streams_max),
            order: Order::new(streams_max, own.window_ms, own.stale_ms),
            targets: Targets::new(
                target_info,
                whole_millis(settings.target_info_interval),
                own.stale_ms,
            ),
            families: Families::default(),
            native: Scratch::default(),
            layout: Vec::new(),
            settings: own,
            calls: 0,
            next_look_ms: 0,
        }
    }

    /// As [`Self::new`], with hashes that are always the same: to count instructions, not for input from strangers.
    pub fn with_seed(settings: &RemoteWriteSettings, seed: u64) -> Self {
        Self {
            identities: Identities::with_seed(seed),
            ..Self::new(settings)
        }
    }

    /// With no more memory than so many bytes, of which each memory gets a part, and none more than [`crate::limits`] says:
    /// there it is told what follows when a part is used up.
    #[must_use]
    pub fn with_bytes_max(mut self, bytes: usize) -> Self {
        // Most to streams. Those of deltas cannot be made anew, so they come first.
        self.streams_bytes_max = bytes / 16 * 9;
        self.deltas
            .set_bytes_max((self.streams_bytes_max / 8 * 7).min(DELTA_BYTES_MAX));
        self.bound_streams();
        self.contexts.set_bytes_max(bytes / 16 * 3);
        self.targets.set_bytes_max((bytes / 16).min(TARGETS_BYTES_MAX));
        self.families.set_bytes_max((bytes / 16).min(FAMILIES_BYTES_MAX));
        self.order.set_bytes_max(bytes / 8);
        self
    }

    /// Streams that can be made anew get what those of deltas leave.
    fn bound_streams(&mut self) {
        let most = self.streams_bytes_max;
        let left = most.saturating_sub(self.deltas.bytes()).max(most / 8);
        self.streams.set_weight_max(left.min(CACHE_BYTES_MAX));
    }

    /// Bytes that all takes that is remembered, roughly and rather too many: what two hold counts twice.
    pub fn memory_bytes(&self) -> usize {
        self.contexts.bytes()
            + self.streams.weight()
            + self.deltas.bytes()
            + self.targets.bytes()
            + self.families.bytes()
            + self.order.bytes()
    }

    /// Adds the samples of an encoded `ExportMetricsServiceRequest` to `out`. `now` is the time of our clock.
    ///
    /// Of malformed bytes, which `tracepipe_otlp::metrics::check` refuses, what stands before the fault is read.
    pub fn translate(
        &mut self,
        request: &[u8],
        now: UnixMillis,
        out: &mut Vec<TranslatedSeries>,
    ) -> Translated {
        self.bound_streams();
        let mut done = Translated::default();
        for resource_metrics in view::resources(request) {
            let resource = self
                .contexts
                .resource(&resource_metrics, &self.identities, &mut done);
            let mut has_points = false;
            for scope_metrics in resource_metrics.scopes() {
                let scope = self
                    .contexts
                    .scope(&scope_metrics, &resource, &self.identities, &mut done);
                let mut newest_of_scope = None;
                for metric in scope_metrics.metrics() {
                    let Some(kind) = metric.kind else { continue };
                    let context = self.contexts.metric(
                        (&metric, kind),
                        (&resource, &scope),
                        &self.identities,
                        &mut self.families,
                    );
                    let newest = self.translate_points(&metric, &context, now, (out, &mut done));
                    newest_of_scope = newest_of_scope.max(newest);
                }
                if let Some(newest_ms) = newest_of_scope {
                    scope.saw(newest_ms);
                    has_points = true;
                }
            }
            if has_points {
                self.finish(&resource, now, (out, &mut done));
            }
        }
        // A sample may take the place of another one of the same call only.
        self.calls += 1;
        done
    }

    /// Gives the time of the newest point, dropped ones included; none when there is no point.
    fn translate_points(
        &mut self,
        metric: &view::Metric<'_>,
        context: &Result<Rc<Metric>, DropReason>,
        now: UnixMillis,
        (out, done): (&mut Vec<TranslatedSeries>, &mut Translated),
    ) -> Option<i64> {
        let mut newest_ms = None;
        for point in metric.points() {
            let result = match context {
                Ok(context) => self.translate_point(point, context, now, (&mut *out, &mut *done)),
                Err(reason) => Err(*reason),
            };
            match result {
                Ok(time_ms) => {
                    done.points += 1;
                    newest_ms = newest_ms.max(Some(time_ms));
                }
                Err(reason) => {
                    done.dropped.count(reason);
                    newest_ms = newest_ms.max(Some(i64::MIN));
                }
            }
        }
        if let (Ok(context), Some(_)) = (context, newest_ms) {
            self.families.saw(&context.family, now.0);
        }
        newest_ms
    }

    /// All points of a resource have been translated.
    fn finish(
        &mut self,
        resource: &Rc<Resource>,
        now: UnixMillis,
        (out, done): (&mut Vec<TranslatedSeries>, &mut Translated),
    ) {
        let mut sink = Sink {
            order: &mut self.order,
            out,
            done,
            call: self.calls,
            now_ms: now.0,
        };
        self.targets.saw(resource, &self.identities, &mut sink);
    }

    /// Does what is due by now: `target_info` again, and the end of streams that nothing came for. Gives when to ask again;
    /// none while there is nothing to wait for. To be asked after each [`Self::translate`] too.
    pub fn poll(
        &mut self,
        now: UnixMillis,
        out: &mut Vec<TranslatedSeries>,
    ) -> (Translated, Option<UnixMillis>) {
        let mut done = Translated::default();
        let mut next_ms = None;
        self.calls += 1;
        let mut sink = Sink {
            order: &mut self.order,
            out,
            done: &mut done,
            call: self.calls,
            now_ms: now.0,
        };
        if !self.deltas.is_empty() {
            if self.next_look_ms <= now.0 {
                self.next_look_ms = now.0 + LOOK_MS.min(self.settings.stale_ms);
                let own = self.settings;
                end_silent(&mut self.deltas, now.0 - own.stale_ms, own, &mut sink);
            }
            next_ms = Some(self.next_look_ms);
        }
        let next_target_ms = self.targets.poll(&mut sink);
        let next_ms = [next_ms, next_target_ms].into_iter().flatten().min();
        self.calls += 1;
        (done, next_ms.map(UnixMillis))
    }

    /// Ends everything that this collector itself made: sums of deltas and `target_info` are marked stale. For the end of the
    /// process, after the last [`Self::translate`].
    pub fn drain(&mut self, now: UnixMillis, out: &mut Vec<TranslatedSeries>) -> Translated {
        let mut done = Translated::default();
        self.calls += 1;
        let mut sink = Sink {
            order: &mut self.order,
            out,
            done: &mut done,
            call: self.calls,
            now_ms: now.0,
        };
        end_silent(&mut self.deltas, i64::MAX, self.settings, &mut sink);
        self.targets.drain(&mut sink);
        self.calls += 1;
        done
    }

    /// Appends the requests with metadata that are due, whole and encoded: type, unit and description of each family that
    /// points came for, once in each `metadata_interval`. Gives when to ask again; none while there is nothing to say.
    pub fn poll_metadata(&mut self, now: UnixMillis, out: &mut Vec<Vec<u8>>) -> Option<UnixMillis> {
        if !self.settings.with_metadata {
            return None;
        }
        let Own {
            metadata_ms,
            request_bytes_max,
            ..
        } = self.settings;
        self.families
            .poll(now.0, metadata_ms, request_bytes_max, out)
            .map(UnixMillis)
    }

    /// Streams of deltas that have not ended.
    pub fn delta_streams(&self) -> usize {
        self.deltas.len()
    }

    /// The time of a point in milliseconds, if it is one that can be sent.
    fn time(&self, nanos: u64, now: UnixMillis) -> Result<i64, DropReason> {
        let time_ms = millis(nanos);
        if nanos == 0 {
            Err(DropReason::NoTimestamp)
        } else if time_ms > now.0.saturating_add(FUTURE_MS_MAX) {
            Err(DropReason::Future)
        } else if time_ms < now.0.saturating_sub(self.settings.age_ms) {
            Err(DropReason::TooOld)
        } else {
            Ok(time_ms)
        }
    }

    /// The identity of the stream of a point.
    fn stream_identity(&self, metric: &Metric, attributes: &view::Attributes<'_>) -> Identity {
        self.identities.of_items(metric.identity, attributes.encoded())
    }

    /// The stream of a point, from memory or made anew: of this layout, or of the one that it had last.
    fn stream(
        &mut self,
        metric: &Metric,
        attributes: &view::Attributes<'_>,
        layout: Option<&[u64]>,
        labels_dropped: &mut u64,
    ) -> Result<Rc<Stream>, DropReason> {
        let identity = self.stream_identity(metric, attributes);
        if let Some(known) = self.known(metric, identity)
            && layout.is_none_or(|layout| known.has_layout(layout))
        {
            return Ok(Rc::clone(known));
        }
        let point = self.contexts.rules().labels(attributes.iter(), labels_dropped);
        let layout = layout.unwrap_or_default();
        let made = Rc::new(Stream::new(metric, identity, &point, layout, &self.identities)?);
        // One of deltas is held with its sum, if there is room for that.
        if !metric.is_delta() {
            self.streams.insert(identity, made.weight(), Rc::clone(&made));
        }
        Ok(made)
    }

    /// The stream, if it is remembered.
    #[inline]
    fn known(&mut self, metric: &Metric, identity: Identity) -> Option<&Rc<Stream>> {
        if metric.is_delta() {
            self.deltas.stream(identity)
        } else {
            self.streams.get(identity).map(|stream| &*stream)
        }
    }
}

/// When what a point says began.
#[derive(Debug, Clone, Copy)]
struct Start {
    /// 0: not known.
    nanos: u64,
    /// Of a sum of ours, whether the point is its first; none: the sender's own total.
    is_first_of_sum: Option<bool>,
}

impl Start {
    fn of_sender(nanos: u64) -> Self {
        Self {
            nanos,
            is_first_of_sum: None,
        }
    }
}

fn stamp(
    order: &mut Order,
    own: Own,
    (metric, stream): (&Metric, &Stream),
    start: Start,
    (timestamp_ms, now): (i64, UnixMillis),
) -> Stamp {
    Stamp {
        sort: metric.sort,
        writer: stream.identity.hash(),
        timestamp_ms,
        zero_ms: zero_ms(order, own, &metric.scope, (start.nanos, timestamp_ms), now),
        restart: restart(own, start, timestamp_ms),
    }
}

/// A series that is known begins anew with a sum of ours that does, and with a total whose start is later than all that was
/// written of it (OpenTelemetry's data model, "Resets and gaps"; so do created timestamps in Prometheus).
fn restart(own: Own, start: Start, time_ms: i64) -> Option<Restart> {
    if !own.with_zeros || start.nanos == 0 {
        return None;
    }
    let start_ms = millis(start.nanos);
    let since_ms = match start.is_first_of_sum {
        Some(false) => return None,
        Some(true) => None,
        None => Some(start_ms),
    };
    Some(Restart {
        since_ms,
        zero_ms: start_ms.max(time_ms.saturating_sub(own.window_ms)),
    })
}

/// When a series of a point was zero, should it be new: never before anything that may have been written already.
fn zero_ms(
    order: &mut Order,
    own: Own,
    scope: &Scope,
    (start_nanos, time_ms): (u64, i64),
    now: UnixMillis,
) -> Option<i64> {
    if !own.with_zeros || start_nanos == 0 {
        return None;
    }
    let start_ms = millis(start_nanos);
    let before = scope.before(time_ms);
    let forgot_ms = order.forgot_ms(now.0);
    // A series that began before our memory is new only where its scope was seen without it.
    if start_ms <= forgot_ms && !(before.is_whole && before.at_ms > forgot_ms) {
        return None;
    }
    let oldest_ms = time_ms.saturating_sub(own.window_ms);
    let zero_ms = start_ms.max(before.at_ms).max(oldest_ms);
    (zero_ms < time_ms).then_some(zero_ms)
}

fn end_silent(deltas: &mut Deltas, before_ms: i64, own: Own, sink: &mut Sink<'_>) {
    // Older ones might be too old to be sent.
    let oldest_ms = sink.now_ms.saturating_sub(own.age_ms / 2);
    for ended in deltas.end_silent(before_ms) {
        // Not at our own time: the collector that takes over from this one may have written the series already.
        let timestamp_ms = oldest_ms.max(ended.last_ms + 1);
        if let Err(reason) = sink.write_stale(&ended.stream, timestamp_ms) {
            sink.done.samples_dropped.count(reason);
        }
    }
}

/// Beyond 292 million years it is the same.
fn whole_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

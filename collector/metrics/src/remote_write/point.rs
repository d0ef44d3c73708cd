//! One data point to samples.

use std::rc::Rc;

use super::{RemoteWrite, Start, stamp};
use crate::account::{DropReason, Translated, UnixMillis};
use crate::context::{Metric, Sort};
use crate::delta::{Advance, ExplicitSum, ExponentialSum, Interval, Sum};
use crate::exemplar;
use crate::limits::EXEMPLARS_MAX;
use crate::native::{Exponential, Half};
use crate::series::{SampleValue, TranslatedSeries, ordinary};
use crate::sink::{Parts, Sink, Stamp};
use crate::stream::{Stream, finite};
use crate::view::{Attributes, ExponentialPoint, HistogramPoint, Kind, NumberPoint, SummaryPoint};

/// Where samples of a point go.
type Output<'a> = (&'a mut Vec<TranslatedSeries>, &'a mut Translated);

/// The samples that a histogram with explicit bounds becomes.
struct Explicit<C> {
    count: u64,
    sum: Option<f64>,
    counts: C,
    exemplars: Vec<Option<Box<[u8]>>>,
}

impl RemoteWrite {
    /// Gives the point's time in milliseconds.
    pub(super) fn translate_point(
        &mut self,
        point: &[u8],
        metric: &Metric,
        now: UnixMillis,
        output: Output<'_>,
    ) -> Result<i64, DropReason> {
        match metric.kind {
            Kind::Gauge | Kind::Sum { .. } => self.number(&NumberPoint::read(point), metric, now, output),
            Kind::Histogram { .. } => self.histogram(&HistogramPoint::read(point), metric, now, output),
            Kind::ExponentialHistogram { .. } => {
                self.exponential(&ExponentialPoint::read(point), metric, now, output)
            }
            Kind::Summary => self.summary(&SummaryPoint::read(point), metric, now, output),
        }
    }

    fn number(
        &mut self,
        point: &NumberPoint<'_>,
        metric: &Metric,
        now: UnixMillis,
        (out, done): Output<'_>,
    ) -> Result<i64, DropReason> {
        let timestamp_ms = self.time(point.time_unix_nano, now)?;
        if point.is_stale {
            let interval = interval(point.start_time_unix_nano, point.time_unix_nano, now);
            return self.stale((&point.attributes(), &[]), metric, interval, (out, done));
        }
        let number = point.value.ok_or(DropReason::NoValue)?.as_f64();
        let stream = self.stream(metric, &point.attributes(), Some(&[]), &mut done.labels_dropped)?;
        let mut start = Start::of_sender(point.start_time_unix_nano);
        let mut value = number;
        if metric.is_delta() {
            let interval = interval(point.start_time_unix_nano, point.time_unix_nano, now);
            let advance = self.deltas.advance(&stream, interval, || Sum::Number(0.0))?;
            count_advance(&advance, done);
            start = Start {
                nanos: advance.start_nanos,
                is_first_of_sum: Some(advance.is_first),
            };
            if let Sum::Number(sum) = advance.sum {
                *sum += number;
                value = *sum;
            }
        }
        let exemplars = self.number_exemplars(point, metric, timestamp_ms, done);
        let mut stamp = self.stamp(metric, &stream, start, (timestamp_ms, now));
        if metric.sort != Sort::Counter {
            // A gauge has a value before its first point, too.
            stamp.zero_ms = None;
            stamp.restart = None;
        }
        let mut sink = self.sink(now, (out, done));
        if let [series] = &*stream.series {
            sink.write(series, stamp, SampleValue::Float(ordinary(value)), exemplars)?;
        }
        Ok(timestamp_ms)
    }

    /// Of a counter the newest ones; of a gauge none (OpenTelemetry's compatibility specification, "Exemplars").
    fn number_exemplars(
        &self,
        point: &NumberPoint<'_>,
        metric: &Metric,
        timestamp_ms: i64,
        done: &mut Translated,
    ) -> Option<Box<[u8]>> {
        if !point.has_exemplars {
            return None;
        }
        let most = match metric.sort {
            Sort::Counter => EXEMPLARS_MAX,
            Sort::Gauge | Sort::Histogram | Sort::NativeHistogram | Sort::Summary => 0,
        };
        let (exemplars, dropped) =
            exemplar::newest(point.exemplars(), most, self.contexts.rules(), timestamp_ms);
        done.exemplars_dropped += dropped;
        exemplars
    }

    fn histogram(
        &mut self,
        point: &HistogramPoint<'_>,
        metric: &Metric,
        now: UnixMillis,
        (out, done): Output<'_>,
    ) -> Result<i64, DropReason> {
        let timestamp_ms = self.time(point.time_unix_nano, now)?;
        let interval = interval(point.start_time_unix_nano, point.time_unix_nano, now);
        if point.is_stale {
            let bounds: Vec<u64> = point.explicit_bounds.iter().collect();
            let is_whole = point.bucket_counts.len() == bounds.len() + 1 && rises(&bounds);
            let own: &[u64] = if is_whole { &bounds } else { &[] };
            return self.stale((&point.attributes(), own), metric, interval, (out, done));
        }
        let bounds = point.explicit_bounds.len();
        let counts = point.bucket_counts.len();
        if counts != 0 && counts != bounds + 1 {
            return Err(DropReason::Buckets);
        }
        let mut layout = std::mem::take(&mut self.layout);
        layout.clear();
        // Bounds without counts say nothing of the buckets.
        if counts != 0 {
            layout.extend(point.explicit_bounds.iter());
        }
        let stream = if rises(&layout) {
            self.stream(
                metric,
                &point.attributes(),
                Some(&layout),
                &mut done.labels_dropped,
            )
        } else {
            Err(DropReason::Bounds)
        };
        self.layout = layout;
        let stream = stream?;
        let exemplars = if point.has_exemplars {
            let bounds: Vec<f64> = finite(&stream.layout).collect();
            let rules = self.contexts.rules();
            let (exemplars, dropped) =
                exemplar::of_buckets(point.exemplars(), &bounds, EXEMPLARS_MAX, rules, timestamp_ms);
            done.exemplars_dropped += dropped;
            exemplars
        } else {
            Vec::new()
        };
        if !metric.is_delta() {
            let start = Start::of_sender(interval.start_nanos);
            let stamp = self.stamp(metric, &stream, start, (timestamp_ms, now));
            let explicit = Explicit {
                count: point.count,
                sum: point.sum,
                counts: point.bucket_counts.iter(),
                exemplars,
            };
            explicit.write(&stream, stamp, &mut self.sink(now, (out, done)))?;
            return Ok(timestamp_ms);
        }
        let begin = || Sum::Explicit(ExplicitSum::new(stream.layout.len() + 1, point.sum.is_some()));
        let advance = self.deltas.advance(&stream, interval, begin)?;
        count_advance(&advance, done);
        let Sum::Explicit(sum) = advance.sum else {
            return Err(DropReason::Buckets);
        };
        sum.add(point.count, point.sum, point.bucket_counts.iter());
        let start = Start {
            nanos: advance.start_nanos,
            is_first_of_sum: Some(advance.is_first),
        };
        let order = &mut self.order;
        let stamp = stamp(
            order,
            self.settings,
            (metric, &stream),
            start,
            (timestamp_ms, now),
        );
        let explicit = Explicit {
            count: sum.count,
            sum: sum.sum,
            counts: sum.counts.iter().copied(),
            exemplars,
        };
        let mut sink = Sink {
            order,
            out,
            done,
            call: self.calls,
            now_ms: now.0,
        };
        explicit.write(&stream, stamp, &mut sink)?;
        Ok(timestamp_ms)
    }

    fn exponential(
        &mut self,
        point: &ExponentialPoint<'_>,
        metric: &Metric,
        now: UnixMillis,
        (out, done): Output<'_>,
    ) -> Result<i64, DropReason> {
        let timestamp_ms = self.time(point.time_unix_nano, now)?;
        let interval = interval(point.start_time_unix_nano, point.time_unix_nano, now);
        if point.is_stale {
            return self.stale((&point.attributes(), &[]), metric, interval, (out, done));
        }
        let histogram = Exponential {
            count: point.count,
            sum: point.sum.ok_or(DropReason::NoSum)?,
            scale: point.scale,
            zero_count: point.zero_count,
            zero_threshold: point.zero_threshold,
            positive: Half {
                offset: point.positive.offset.into(),
                counts: point.positive.counts.iter(),
            },
            negative: Half {
                offset: point.negative.offset.into(),
                counts: point.negative.counts.iter(),
            },
        };
        histogram.check()?;
        let stream = self.stream(metric, &point.attributes(), Some(&[]), &mut done.labels_dropped)?;
        let buckets_max = self.settings.native_buckets_max;
        let mut start = Start::of_sender(point.start_time_unix_nano);
        let encoded = if metric.is_delta() {
            let begin = || Sum::Exponential(ExponentialSum::new(point.scale));
            let advance = self.deltas.advance(&stream, interval, begin)?;
            count_advance(&advance, done);
            start = Start {
                nanos: advance.start_nanos,
                is_first_of_sum: Some(advance.is_first),
            };
            let Sum::Exponential(sum) = advance.sum else {
                return Err(DropReason::Buckets);
            };
            sum.add(&histogram)?;
            sum.total().encode(timestamp_ms, buckets_max, &mut self.native)?
        } else {
            histogram.encode(timestamp_ms, buckets_max, &mut self.native)?
        };
        let mut exemplars = None;
        if point.has_exemplars {
            let rules = self.contexts.rules();
            let dropped;
            (exemplars, dropped) = exemplar::newest(point.exemplars(), EXEMPLARS_MAX, rules, timestamp_ms);
            done.exemplars_dropped += dropped;
        }
        let stamp = self.stamp(metric, &stream, start, (timestamp_ms, now));
        let mut sink = self.sink(now, (out, done));
        if let [series] = &*stream.series {
            sink.write(series, stamp, SampleValue::Histogram(encoded), exemplars)?;
        }
        Ok(timestamp_ms)
    }

    fn summary(
        &mut self,
        point: &SummaryPoint<'_>,
        metric: &Metric,
        now: UnixMillis,
        (out, done): Output<'_>,
    ) -> Result<i64, DropReason> {
        let timestamp_ms = self.time(point.time_unix_nano, now)?;
        let interval = interval(point.start_time_unix_nano, point.time_unix_nano, now);
        if point.is_stale {
            let own: Vec<u64> = point.quantiles().map(|it| it.quantile.to_bits()).collect();
            return self.stale((&point.attributes(), &own), metric, interval, (out, done));
        }
        let mut layout = std::mem::take(&mut self.layout);
        layout.clear();
        layout.extend(point.quantiles().map(|quantile| quantile.quantile.to_bits()));
        let stream = self.stream(
            metric,
            &point.attributes(),
            Some(&layout),
            &mut done.labels_dropped,
        );
        self.layout = layout;
        let stream = stream?;
        let start = Start::of_sender(point.start_time_unix_nano);
        let stamp = self.stamp(metric, &stream, start, (timestamp_ms, now));
        let mut sink = self.sink(now, (out, done));
        let mut parts = Parts::new(&mut sink, stamp);
        if let [sum, count, quantiles @ ..] = &*stream.series {
            parts.write(sum, ordinary(point.sum), None);
            parts.write(count, as_f64(point.count), None);
            // A quantile of nothing is not zero.
            parts.without_zeros();
            for (series, quantile) in quantiles.iter().zip(point.quantiles()) {
                parts.write(series, ordinary(quantile.value), None);
            }
        }
        parts.finish()?;
        Ok(timestamp_ms)
    }

    /// A point that says that there is no value any more: so do all series of its stream, or those of its `own` layout when
    /// the stream is not known.
    fn stale(
        &mut self,
        (attributes, own): (&Attributes<'_>, &[u64]),
        metric: &Metric,
        interval: Interval,
        (out, done): Output<'_>,
    ) -> Result<i64, DropReason> {
        // Such a point need not have the bounds that the others have.
        let identity = self.stream_identity(metric, attributes);
        let layout = self.known(metric, identity).is_none().then_some(own);
        let stream = self.stream(metric, attributes, layout, &mut done.labels_dropped)?;
        if metric.is_delta() {
            self.deltas.pause(stream.identity, interval);
        }
        let timestamp_ms = crate::time::millis(interval.end_nanos);
        let mut sink = self.sink(UnixMillis(interval.now_ms), (out, done));
        sink.write_stale(&stream, timestamp_ms)?;
        Ok(timestamp_ms)
    }

    fn stamp(&mut self, metric: &Metric, stream: &Stream, start: Start, times: (i64, UnixMillis)) -> Stamp {
        let order = &mut self.order;
        stamp(order, self.settings, (metric, stream), start, times)
    }

    fn sink<'a>(&'a mut self, now: UnixMillis, (out, done): Output<'a>) -> Sink<'a> {
        Sink {
            order: &mut self.order,
            out,
            done,
            call: self.calls,
            now_ms: now.0,
        }
    }
}

impl<C: Iterator<Item = u64>> Explicit<C> {
    fn write(self, stream: &Rc<Stream>, stamp: Stamp, sink: &mut Sink<'_>) -> Result<(), DropReason> {
        let [sum_series, count_series, buckets @ .., infinite] = &*stream.series else {
            return Err(DropReason::Bounds);
        };
        let mut parts = Parts::new(sink, stamp);
        if let Some(sum) = self.sum {
            parts.write(sum_series, ordinary(sum), None);
        }
        let count = as_f64(self.count);
        parts.write(count_series, count, None);
        let mut exemplars = self.exemplars.into_iter();
        let mut total = 0_u64;
        for (series, count) in buckets.iter().zip(self.counts) {
            total = total.saturating_add(count);
            let exemplar = exemplars.next().flatten();
            parts.write(series, as_f64(total), exemplar);
        }
        // What was in no bucket before stands in the last one.
        parts.write(infinite, count, exemplars.last().flatten());
        parts.finish()
    }
}

fn interval(start_nanos: u64, end_nanos: u64, now: UnixMillis) -> Interval {
    Interval {
        start_nanos,
        end_nanos,
        now_ms: now.0,
    }
}

fn count_advance(advance: &Advance<'_>, done: &mut Translated) {
    done.delta_gaps += u64::from(advance.has_gap);
    done.delta_resets += u64::from(advance.is_reset);
}

/// Each bound is above the one before, and none is not a number.
fn rises(bounds: &[u64]) -> bool {
    let bound = |bits: &u64| f64::from_bits(*bits);
    bounds.iter().all(|bits| !bound(bits).is_nan())
        && bounds.windows(2).all(|pair| bound(&pair[0]) < bound(&pair[1]))
}

/// Prometheus has no other numbers.
#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

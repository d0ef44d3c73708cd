//! Where samples go: each is asked for its place in its series first.

use crate::account::{DropReason, Dropped, Translated};
use crate::context::Sort;
use crate::native;
use crate::order::{Candidate, Order, Verdict};
use crate::series::{STALE_NAN, SampleValue, TranslatedSeries};
use crate::stream::{Series, Stream};

/// The output of one translation.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    pub(crate) order: &'a mut Order,
    pub(crate) out: &'a mut Vec<TranslatedSeries>,
    pub(crate) done: &'a mut Translated,
    /// Another number for each translation.
    pub(crate) call: u64,
    pub(crate) now_ms: i64,
}

/// What is the same for all samples of a point.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) sort: Sort,
    /// Another number for each stream.
    pub(crate) writer: u64,
    pub(crate) timestamp_ms: i64,
    /// When the series were zero, if they are new.
    pub(crate) zero_ms: Option<i64>,
    /// When they were zero again, if they are known.
    pub(crate) restart: Option<Restart>,
}

/// The series began anew before this point, whatever their last sample says: what stands behind it is not what was added to
/// it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Restart {
    /// So it is if their last sample is older than this; none: so it is.
    pub(crate) since_ms: Option<i64>,
    /// When, or later.
    pub(crate) zero_ms: i64,
}

/// The samples of a point, which is one in the account.
#[derive(Debug)]
pub(crate) struct Parts<'s, 'a> {
    sink: &'s mut Sink<'a>,
    stamp: Stamp,
    is_written: bool,
    dropped: Dropped,
    reason: Option<DropReason>,
}

// === impl Restart ===

impl Restart {
    fn zero_behind(self, last_ms: i64) -> Option<i64> {
        let is_so = self.since_ms.is_none_or(|since_ms| since_ms > last_ms);
        is_so.then_some(self.zero_ms.max(last_ms.saturating_add(1)))
    }
}

// === impl Sink ===

impl Sink<'_> {
    /// Writes a sample, or says why not.
    #[inline]
    pub(crate) fn write(
        &mut self,
        series: &Series,
        stamp: Stamp,
        value: SampleValue,
        exemplars: Option<Box<[u8]>>,
    ) -> Result<(), DropReason> {
        let candidate = Candidate {
            sort: stamp.sort,
            writer: stamp.writer,
            timestamp_ms: stamp.timestamp_ms,
            now_ms: self.now_ms,
            call: self.call,
            // In front of it there may be a zero, see below.
            index: self.out.len(),
        };
        let sample = TranslatedSeries {
            hash: series.identity.hash(),
            labels: series.labels.clone(),
            timestamp_ms: stamp.timestamp_ms,
            value,
            exemplars,
        };
        match self.order.admit(series.identity, &candidate) {
            Verdict::First => {
                if let Some(zero_ms) = stamp.zero_ms {
                    self.write_zero(series, &sample, stamp.sort, zero_ms);
                }
            }
            Verdict::Next {
                last_ms,
                is_of_another,
            } => {
                self.done.series_conflicts += u64::from(is_of_another);
                if let Some(zero_ms) = stamp.restart.and_then(|restart| restart.zero_behind(last_ms))
                    && zero_ms < stamp.timestamp_ms
                {
                    self.write_zero(series, &sample, stamp.sort, zero_ms);
                }
            }
            Verdict::Late => {}
            Verdict::InPlaceOf(index) => {
                if let Some(place) = self.out.get_mut(index) {
                    self.done.samples_dropped.count(DropReason::DuplicateTimestamp);
                    *place = sample;
                }
                return Ok(());
            }
            Verdict::Drop(reason) => return Err(reason),
        }
        self.done.samples += 1;
        self.out.push(sample);
        Ok(())
    }

    fn write_zero(&mut self, series: &Series, next: &TranslatedSeries, sort: Sort, timestamp_ms: i64) {
        let value = match sort {
            Sort::NativeHistogram => SampleValue::Histogram(native::empty(timestamp_ms)),
            Sort::Gauge | Sort::Counter | Sort::Histogram | Sort::Summary => SampleValue::Float(0.0),
        };
        self.done.samples += 1;
        self.out.push(TranslatedSeries {
            timestamp_ms,
            value,
            exemplars: None,
            ..next.clone()
        });
        self.order.moved(series.identity, self.out.len());
    }

    /// Says of each series of a stream that it has no value any more.
    pub(crate) fn write_stale(&mut self, stream: &Stream, timestamp_ms: i64) -> Result<(), DropReason> {
        let stamp = Stamp {
            sort: stream.sort,
            writer: stream.identity.hash(),
            timestamp_ms,
            zero_ms: None,
            restart: None,
        };
        match (stream.sort, &*stream.series) {
            (Sort::NativeHistogram, [series]) => {
                let marker = SampleValue::Histogram(native::stale(timestamp_ms));
                self.write(series, stamp, marker, None)
            }
            (_, all) => {
                let mut parts = Parts::new(self, stamp);
                for series in all {
                    parts.write(series, STALE_NAN, None);
                }
                parts.finish()
            }
        }
    }
}

impl<'s, 'a> Parts<'s, 'a> {
    pub(crate) fn new(sink: &'s mut Sink<'a>, stamp: Stamp) -> Self {
        Self {
            sink,
            stamp,
            is_written: false,
            dropped: Dropped::default(),
            reason: None,
        }
    }

    /// What follows was not zero before.
    pub(crate) fn without_zeros(&mut self) {
        self.stamp.zero_ms = None;
        self.stamp.restart = None;
    }

    pub(crate) fn write(&mut self, series: &Series, value: f64, exemplars: Option<Box<[u8]>>) {
        match self
            .sink
            .write(series, self.stamp, SampleValue::Float(value), exemplars)
        {
            Ok(()) => self.is_written = true,
            Err(reason) => {
                self.reason = Some(reason);
                self.dropped.count(reason);
            }
        }
    }

    /// The point is translated if one of its samples was written. If none was, it is dropped as a whole.
    pub(crate) fn finish(self) -> Result<(), DropReason> {
        match self.reason {
            Some(reason) if !self.is_written => Err(reason),
            Some(_) => {
                self.sink.done.samples_dropped.add(&self.dropped);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

//! One series that is held: its last value, or the sum of its deltas.

use std::rc::Rc;

use crate::account::{DropReason, Translated, UnixMillis};
use crate::delta::ExplicitSum;
use crate::limits::GAP_MS;
use crate::time::millis;
use crate::view::{Exemplars, Number};

use super::accept::Format;
use super::text::Lines;

/// Bytes that a series takes in the maps that lead to it.
const OVERHEAD: usize = 160;

/// Bytes of each place for an exemplar.
const EXEMPLAR_BYTES: usize = size_of::<Option<Exemplar>>();

/// A series, or all series of one histogram or summary.
#[derive(Debug, Clone)]
pub(super) struct Series {
    /// The name of its family.
    pub(super) family: Rc<[u8]>,
    /// As they stand between the braces.
    pub(super) labels: Rc<[u8]>,
    /// When the last point came, by our clock.
    pub(super) updated: UnixMillis,
    start_unix_nano: u64,
    time_unix_nano: u64,
    /// The value is a sum of deltas.
    is_delta: bool,
    value: Value,
    /// The newest of each bucket, or of the counter. Empty: none has come.
    exemplars: Vec<Option<Exemplar>>,
}

/// What has been observed.
#[derive(Debug, Clone)]
enum Value {
    Number(Number),
    /// With the upper bounds of all buckets but the last.
    Explicit(Vec<f64>, ExplicitSum),
    /// Of its buckets neither text format knows anything.
    Exponential {
        count: u64,
        sum: Option<f64>,
    },
    Summary {
        count: u64,
        sum: f64,
        /// Quantiles, which rise, and their values.
        quantiles: Vec<(f64, f64)>,
    },
}

/// How a series is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) format: Format,
    pub(super) is_open_metrics_counter: bool,
    pub(super) with_time: bool,
}

/// A point as it has been read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample<'a> {
    pub(super) start_unix_nano: u64,
    pub(super) time_unix_nano: u64,
    pub(super) is_delta: bool,
    pub(super) reading: Reading<'a>,
    pub(super) exemplars: Option<Exemplars<'a>>,
}

/// Its value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reading<'a> {
    Number(Number),
    Explicit {
        count: u64,
        sum: Option<f64>,
        /// Rising.
        bounds: &'a [f64],
        /// One more than bounds.
        counts: &'a [u64],
    },
    Exponential {
        count: u64,
        sum: Option<f64>,
    },
    Summary {
        count: u64,
        sum: f64,
        /// Rising.
        quantiles: &'a [(f64, f64)],
    },
}

/// An observation that stands for others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exemplar {
    pub(super) value: f64,
    /// Nanoseconds since the Unix epoch; 0: not known.
    pub(super) time_unix_nano: u64,
    /// All zero: none.
    trace_id: [u8; 16],
    /// All zero: none.
    span_id: [u8; 8],
}

// === impl Series ===

impl Series {
    pub(super) fn new(family: Rc<[u8]>, labels: Rc<[u8]>, sample: &Sample<'_>, now: UnixMillis) -> Self {
        Self {
            family,
            labels,
            updated: now,
            start_unix_nano: sample.start_unix_nano,
            time_unix_nano: sample.time_unix_nano,
            is_delta: sample.is_delta,
            value: Value::of(&sample.reading),
            exemplars: Vec::new(),
        }
    }

    /// Bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let exemplars = self.exemplars.capacity();
        size_of::<Self>() + OVERHEAD + self.labels.len() + self.value.bytes() + exemplars * EXEMPLAR_BYTES
    }

    /// Whether a point with this time may be the next: older ones are old news, and what has been added once is not added
    /// again.
    pub(super) fn admit(&self, sample: &Sample<'_>) -> Result<(), DropReason> {
        if sample.is_delta && self.is_delta {
            let is_older = sample.start_unix_nano != 0 && sample.start_unix_nano < self.start_unix_nano;
            if sample.time_unix_nano <= self.time_unix_nano || is_older {
                return Err(DropReason::DeltaOutOfOrder);
            }
        } else if sample.time_unix_nano < self.time_unix_nano {
            return Err(DropReason::OutOfOrder);
        }
        Ok(())
    }

    /// Whether its value is newer than this time.
    pub(super) fn is_newer_than(&self, time_unix_nano: u64) -> bool {
        self.time_unix_nano > time_unix_nano
    }

    /// Takes a point that [`Self::admit`] lets in.
    pub(super) fn update(&mut self, sample: &Sample<'_>, now: UnixMillis, done: &mut Translated) {
        let is_sum = sample.is_delta && self.is_delta;
        if is_sum && millis(sample.start_unix_nano) > millis(self.time_unix_nano).saturating_add(GAP_MS) {
            done.delta_gaps += 1;
        }
        if !(is_sum && self.value.add(&sample.reading)) {
            if is_sum {
                done.delta_resets += 1;
            }
            if !self.value.has_bounds_of(&sample.reading) {
                self.exemplars = Vec::new();
            }
            self.value.replace(&sample.reading);
            self.start_unix_nano = sample.start_unix_nano;
        }
        self.is_delta = sample.is_delta;
        self.time_unix_nano = sample.time_unix_nano;
        self.updated = now;
    }

    /// Keeps the newest exemplar of each bucket. Older ones stay until newer ones come, as in Prometheus' own clients. Places
    /// for them are made within `room` bytes: a series is worth more than another one's exemplars.
    pub(super) fn keep_exemplars(&mut self, exemplars: Exemplars<'_>, room: usize, done: &mut Translated) {
        for exemplar in exemplars.iter() {
            let Some(exemplar) = Exemplar::read(&exemplar) else {
                done.exemplars_dropped += 1;
                continue;
            };
            let (bucket, buckets) = self.value.bucket_of(exemplar.value);
            if self.exemplars.len() != buckets {
                if buckets * EXEMPLAR_BYTES > room {
                    done.exemplars_dropped += 1;
                    continue;
                }
                self.exemplars = vec![None; buckets];
            }
            let Some(slot) = self.exemplars.get_mut(bucket) else {
                continue;
            };
            if slot.is_none_or(|known| known.time_unix_nano <= exemplar.time_unix_nano) {
                *slot = Some(exemplar);
            } else {
                done.exemplars_dropped += 1;
            }
        }
    }

    /// Appends its lines from the one of this number on, until there are no more or `full` says so of the text. Gives the
    /// number of the next line if there is one.
    pub(super) fn put(
        &self,
        way: &Way,
        from: usize,
        out: &mut Vec<u8>,
        full: impl Fn(&[u8]) -> bool,
    ) -> Option<usize> {
        let with_time = way.with_time && self.time_unix_nano > 0;
        let mut lines = Lines {
            format: way.format,
            name: &self.family,
            labels: &self.labels,
            time_unix_nano: with_time.then_some(self.time_unix_nano),
            out,
        };
        // Buckets are written added up.
        let mut total = self.value.counted_before(from);
        for line in from..self.value.lines() {
            if line > from && full(lines.out) {
                return Some(line);
            }
            self.put_line(way, line, &mut total, &mut lines);
        }
        None
    }

    fn put_line(&self, way: &Way, line: usize, total: &mut u64, lines: &mut Lines<'_>) {
        let exemplar = |bucket: usize| self.exemplars.get(bucket).and_then(Option::as_ref);
        match &self.value {
            Value::Number(number) => {
                // OpenMetrics has them for counters that it knows as such.
                let exemplar = exemplar(0).filter(|_| way.is_open_metrics_counter);
                lines.put(number.as_f64(), exemplar);
            }
            Value::Explicit(bounds, sum) => match (bounds.get(line), line.saturating_sub(bounds.len())) {
                (Some(bound), _) => {
                    *total = total.saturating_add(sum.counts.get(line).copied().unwrap_or(0));
                    if *bound < f64::INFINITY {
                        lines.put_bucket(*bound, *total, exemplar(line));
                    }
                }
                (None, 0) => {
                    // An exemplar beyond all bounds, or in the bucket that ends in infinity by its bound.
                    let last = exemplar(line).or_else(|| match bounds.last() {
                        Some(&f64::INFINITY) => exemplar(line - 1),
                        Some(_) | None => None,
                    });
                    lines.put_bucket(f64::INFINITY, sum.count, last);
                }
                (None, rest) => put_sum_or_count(rest, sum.sum, sum.count, lines),
            },
            Value::Exponential { count, sum } => match line {
                0 => lines.put_bucket(f64::INFINITY, *count, None),
                rest => put_sum_or_count(rest, *sum, *count, lines),
            },
            Value::Summary {
                count,
                sum,
                quantiles,
            } => match quantiles.get(line) {
                Some((quantile, value)) => lines.put_quantile(*quantile, *value),
                None => put_sum_or_count(line + 1 - quantiles.len(), Some(*sum), *count, lines),
            },
        }
    }
}

/// The sum is the first of the last two lines, the count the second. A sum that the sender does not know is not written: 0
/// would be a lie.
fn put_sum_or_count(line: usize, sum: Option<f64>, count: u64, lines: &mut Lines<'_>) {
    match (line, sum) {
        (1, Some(sum)) => lines.put_sum(sum),
        (1, None) => {}
        _ => lines.put_count(count),
    }
}

// === impl Sample ===

impl Sample<'_> {
    /// Of `target_info`: 1, of no time.
    pub(super) const TARGET: Self = Self {
        start_unix_nano: 0,
        time_unix_nano: 0,
        is_delta: false,
        reading: Reading::Number(Number::Int(1)),
        exemplars: None,
    };
}

// === impl Reading ===

impl Reading<'_> {
    /// The lines that it becomes, at most.
    pub(super) fn lines(&self) -> usize {
        match self {
            Self::Number(_) => 1,
            // With `+Inf`, the sum and the count.
            Self::Explicit { bounds, .. } => bounds.len() + 3,
            Self::Exponential { .. } => 3,
            Self::Summary { quantiles, .. } => quantiles.len() + 2,
        }
    }
}

// === impl Value ===

impl Value {
    fn of(reading: &Reading<'_>) -> Self {
        match *reading {
            Reading::Number(number) => Self::Number(number),
            Reading::Explicit {
                count,
                sum,
                bounds,
                counts,
            } => {
                let counts = counts.to_vec();
                Self::Explicit(bounds.to_vec(), ExplicitSum { count, sum, counts })
            }
            Reading::Exponential { count, sum } => Self::Exponential { count, sum },
            Reading::Summary {
                count,
                sum,
                quantiles,
            } => Self::Summary {
                count,
                sum,
                quantiles: quantiles.to_vec(),
            },
        }
    }

    /// Bytes outside of the value itself.
    fn bytes(&self) -> usize {
        match self {
            Self::Number(_) | Self::Exponential { .. } => 0,
            Self::Explicit(bounds, sum) => 8 * (bounds.capacity() + sum.counts.capacity()),
            Self::Summary { quantiles, .. } => 16 * quantiles.capacity(),
        }
    }

    /// The lines that it is, at most.
    fn lines(&self) -> usize {
        match self {
            Self::Number(_) => 1,
            // With `+Inf`, the sum and the count.
            Self::Explicit(bounds, _) => bounds.len() + 3,
            Self::Exponential { .. } => 3,
            Self::Summary { quantiles, .. } => quantiles.len() + 2,
        }
    }

    /// What is in the buckets of the lines before this one.
    fn counted_before(&self, line: usize) -> u64 {
        match self {
            Self::Explicit(bounds, sum) => sum
                .counts
                .iter()
                .take(line.min(bounds.len()))
                .fold(0, |total, count| total.saturating_add(*count)),
            Self::Number(_) | Self::Exponential { .. } | Self::Summary { .. } => 0,
        }
    }

    /// Adds a delta; false if it does not fit what is here.
    fn add(&mut self, reading: &Reading<'_>) -> bool {
        match (self, reading) {
            (Self::Number(mine), Reading::Number(theirs)) => *mine = sum_of(*mine, *theirs),
            (
                Self::Explicit(mine, sum_here),
                Reading::Explicit {
                    count,
                    sum,
                    bounds,
                    counts,
                },
            ) if mine == bounds && sum_here.counts.len() == counts.len() => {
                sum_here.add(*count, *sum, counts.iter().copied());
            }
            (
                Self::Exponential { count, sum },
                Reading::Exponential {
                    count: more,
                    sum: and,
                },
            ) => {
                *count = count.saturating_add(*more);
                *sum = sum.zip(*and).map(|(mine, theirs)| mine + theirs);
            }
            (Self::Number(_) | Self::Explicit(..) | Self::Exponential { .. } | Self::Summary { .. }, _) => {
                return false;
            }
        }
        true
    }

    /// Takes a new value in the memory of the old one.
    fn replace(&mut self, reading: &Reading<'_>) {
        match (&mut *self, reading) {
            (
                Self::Explicit(mine, sum_here),
                Reading::Explicit {
                    count,
                    sum,
                    bounds,
                    counts,
                },
            ) if mine.len() == bounds.len() => {
                mine.copy_from_slice(bounds);
                sum_here.count = *count;
                sum_here.sum = *sum;
                sum_here.counts.clear();
                sum_here.counts.extend_from_slice(counts);
            }
            _ => *self = Self::of(reading),
        }
    }

    /// Exemplars of the one are in the same buckets of the other.
    fn has_bounds_of(&self, reading: &Reading<'_>) -> bool {
        match (self, reading) {
            (Self::Explicit(mine, _), Reading::Explicit { bounds, .. }) => mine == bounds,
            (Self::Number(_), Reading::Number(_)) => true,
            (Self::Number(_) | Self::Explicit(..) | Self::Exponential { .. } | Self::Summary { .. }, _) => {
                false
            }
        }
    }

    /// The place of an exemplar among all there may be. What is not a number is in no bucket but the last.
    fn bucket_of(&self, value: f64) -> (usize, usize) {
        match self {
            Self::Number(_) => (0, 1),
            Self::Explicit(bounds, _) => {
                let bucket = bounds.partition_point(|bound| *bound < value || value.is_nan());
                (bucket, bounds.len() + 1)
            }
            // No place in the text.
            Self::Exponential { .. } | Self::Summary { .. } => (0, 0),
        }
    }
}

/// Whole numbers stay whole for as long as they fit.
fn sum_of(a: Number, b: Number) -> Number {
    match (a, b) {
        (Number::Int(a), Number::Int(b)) => match a.checked_add(b) {
            Some(sum) => Number::Int(sum),
            None => Number::Double(Number::Int(a).as_f64() + Number::Int(b).as_f64()),
        },
        _ => Number::Double(a.as_f64() + b.as_f64()),
    }
}

// === impl Exemplar ===

impl Exemplar {
    /// None if it has no value, or no id: without a label there is nothing to look for.
    fn read(exemplar: &crate::view::Exemplar<'_>) -> Option<Self> {
        let trace_id = exemplar.trace_id.try_into().unwrap_or([0; 16]);
        let span_id = exemplar.span_id.try_into().unwrap_or([0; 8]);
        if trace_id == [0; 16] && span_id == [0; 8] {
            return None;
        }
        Some(Self {
            value: exemplar.value?.as_f64(),
            time_unix_nano: exemplar.time_unix_nano,
            trace_id,
            span_id,
        })
    }

    /// Appends what stands between its braces.
    pub(super) fn put_labels(&self, out: &mut Vec<u8>) {
        if self.trace_id != [0; 16] {
            put_id(b"trace_id", &self.trace_id, out);
        }
        if self.span_id != [0; 8] {
            if self.trace_id != [0; 16] {
                out.push(b',');
            }
            put_id(b"span_id", &self.span_id, out);
        }
    }
}

fn put_id(name: &[u8], id: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(name);
    out.extend_from_slice(b"=\"");
    for byte in id {
        out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    out.push(b'"');
}

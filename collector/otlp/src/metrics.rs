//! Requests with metrics: one pass over the bytes checks the whole structure and counts the data points.
//!
//! A request is taken or refused as a whole. A data point that means nothing (no time, buckets that do not fit their
//! bounds) is taken: what is wrong with it depends on who reads it, so the exporters drop it and count why.
//!
//! Known fields of another wire type than their own are errors and unknown fields are skipped, as in [`crate::check`].
//! Text is not looked at. Nothing is deeper than its message but the values of attributes, which are bounded there.

mod parts;

pub use parts::{PartBounds, Parts};

use crate::check::{self, VALUE_DEPTH_MAX, check_attributes, check_field};
use crate::walk::REQUEST_BYTES_MAX;
use crate::wire::{Cursor, Fault, WireError, WireType};

/// The bytes are not an `ExportMetricsServiceRequest` that can be taken. Nothing of it is.
pub type Malformed = WireError;

/// What kind of data points a metric has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetricKind {
    /// A value now.
    Gauge,
    /// A sum since a start, or since the last one.
    Sum,
    /// Counts in buckets with bounds of their own.
    Histogram,
    /// Counts in buckets whose bounds are powers of a base.
    ExponentialHistogram,
    /// Quantiles.
    Summary,
}

/// What is in a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// `ResourceMetrics`, empty ones included.
    pub resources: u64,
    /// Metrics, those without data points included.
    pub metrics: u64,
    /// Data points of every kind.
    pub points: u64,
    /// Data points of each kind, in the order of [`MetricKind`].
    of_kinds: [u64; 5],
}

impl Counted {
    /// Data points of one kind.
    pub fn points_of(&self, kind: MetricKind) -> u64 {
        self.of_kinds[kind as usize]
    }
}

/// Checks an `ExportMetricsServiceRequest` and counts what is in it.
///
/// # Errors
/// [`Malformed`], with the first place that is wrong: exactly where prost refuses the bytes, but for text that is not
/// UTF-8, which is taken, values that nest deeper than prost reads, taken down to [`VALUE_DEPTH_MAX`], and requests of more
/// than [`REQUEST_BYTES_MAX`] bytes, which are not.
pub fn check(request: &[u8]) -> Result<Counted, Malformed> {
    let mut counted = Counted::default();
    check_request(request, &mut counted).map_err(|fault| fault.within(request))?;
    Ok(counted)
}

fn check_request(request: &[u8], counted: &mut Counted) -> Result<(), Fault> {
    if request.len() > REQUEST_BYTES_MAX {
        return Err(Fault::at(request, "the request is too long"));
    }
    let mut cursor = Cursor::new(request);
    while !cursor.is_empty() {
        let place = cursor.rest();
        match cursor.key()? {
            (1, WireType::Bytes) => {
                counted.resources += 1;
                check_resource_metrics(cursor.bytes()?, counted)?;
            }
            // Of the fields around the metrics a trace request has those of the same numbers and types.
            key => check_field(check::Shape::Request, key, &mut cursor, VALUE_DEPTH_MAX, place)?,
        }
    }
    Ok(())
}

fn check_resource_metrics(message: &[u8], counted: &mut Counted) -> Result<(), Fault> {
    let mut cursor = Cursor::new(message);
    while !cursor.is_empty() {
        let place = cursor.rest();
        match cursor.key()? {
            (2, WireType::Bytes) => check_scope_metrics(cursor.bytes()?, counted)?,
            key => check_field(
                check::Shape::ResourceSpans,
                key,
                &mut cursor,
                VALUE_DEPTH_MAX,
                place,
            )?,
        }
    }
    Ok(())
}

fn check_scope_metrics(message: &[u8], counted: &mut Counted) -> Result<(), Fault> {
    let mut cursor = Cursor::new(message);
    while !cursor.is_empty() {
        let place = cursor.rest();
        match cursor.key()? {
            (2, WireType::Bytes) => {
                counted.metrics += 1;
                if let Some((kind, points)) = check_metric(cursor.bytes()?)? {
                    counted.points += points;
                    counted.of_kinds[kind as usize] += points;
                }
            }
            key => check_field(check::Shape::ScopeSpans, key, &mut cursor, VALUE_DEPTH_MAX, place)?,
        }
    }
    Ok(())
}

/// What kind of metric it is and how many data points it has.
fn check_metric(message: &[u8]) -> Result<Option<(MetricKind, u64)>, Fault> {
    let mut data = None;
    let mut cursor = Cursor::new(message);
    while !cursor.is_empty() {
        let place = cursor.rest();
        let key = cursor.key()?;
        match (kind_of(key.0), key) {
            (Some(kind), (_, WireType::Bytes)) => {
                let points = check_data(kind, cursor.bytes()?)?;
                // Of several kinds the last stands; of one that comes in parts, all of it (Protocol Buffers, "Last One
                // Wins").
                data = match data {
                    Some((known, before)) if known == kind => Some((kind, before + points)),
                    _ => Some((kind, points)),
                };
            }
            _ => check_own(Shape::Metric, key, &mut cursor, place)?,
        }
    }
    Ok(data)
}

/// The fields of a metric that hold its data points.
fn kind_of(field: u32) -> Option<MetricKind> {
    match field {
        5 => Some(MetricKind::Gauge),
        7 => Some(MetricKind::Sum),
        9 => Some(MetricKind::Histogram),
        10 => Some(MetricKind::ExponentialHistogram),
        11 => Some(MetricKind::Summary),
        _ => None,
    }
}

/// How many data points there are.
fn check_data(kind: MetricKind, message: &[u8]) -> Result<u64, Fault> {
    let (data, point) = match kind {
        MetricKind::Gauge => (Shape::Gauge, Shape::NumberPoint),
        MetricKind::Sum => (Shape::Sum, Shape::NumberPoint),
        MetricKind::Histogram => (Shape::Histogram, Shape::HistogramPoint),
        MetricKind::ExponentialHistogram => (Shape::Histogram, Shape::ExponentialPoint),
        MetricKind::Summary => (Shape::Gauge, Shape::SummaryPoint),
    };
    let mut points = 0;
    let mut cursor = Cursor::new(message);
    while !cursor.is_empty() {
        let place = cursor.rest();
        match cursor.key()? {
            (1, WireType::Bytes) => {
                points += 1;
                check_message(point, cursor.bytes()?)?;
            }
            key => check_own(data, key, &mut cursor, place)?,
        }
    }
    Ok(points)
}

/// A message that only requests with metrics have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Without its data.
    Metric,
    /// Of a gauge and of a summary nothing is known but data points.
    Gauge,
    Sum,
    /// Of both kinds.
    Histogram,
    NumberPoint,
    HistogramPoint,
    ExponentialPoint,
    Buckets,
    SummaryPoint,
    Quantile,
    Exemplar,
}

/// What a field must hold.
#[derive(Debug, Clone, Copy)]
enum Rule {
    Varint,
    Fixed64,
    /// Bytes or text.
    Bytes,
    /// One after the other in one field, or each in a field of its own.
    Varints,
    /// As [`Rule::Varints`].
    Fixed64s,
    Message(Shape),
    Attribute,
    /// Data points, which come before these rules, in another wire type.
    Points,
    Unknown,
}

fn check_message(shape: Shape, message: &[u8]) -> Result<(), Fault> {
    let mut cursor = Cursor::new(message);
    while !cursor.is_empty() {
        let place = cursor.rest();
        let key = cursor.key()?;
        check_own(shape, key, &mut cursor, place)?;
    }
    Ok(())
}

/// Checks the value after a key, which stands at `place`.
#[inline]
fn check_own<'a>(
    shape: Shape,
    (field, wire): (u32, WireType),
    cursor: &mut Cursor<'a>,
    place: &'a [u8],
) -> Result<(), Fault> {
    match (rule(shape, field), wire) {
        (Rule::Varint | Rule::Varints, WireType::Varint) => cursor.varint().map(drop),
        (Rule::Fixed64 | Rule::Fixed64s, WireType::Fixed64) => cursor.fixed64().map(drop),
        (Rule::Bytes, WireType::Bytes) => cursor.bytes().map(drop),
        (Rule::Varints, WireType::Bytes) => {
            let mut numbers = Cursor::new(cursor.bytes()?);
            while !numbers.is_empty() {
                numbers.varint()?;
            }
            Ok(())
        }
        (Rule::Fixed64s, WireType::Bytes) => match cursor.bytes()?.len() % 8 {
            0 => Ok(()),
            _ => Err(Fault::at(place, "a list of numbers of 8 bytes ends within one")),
        },
        (Rule::Attribute, WireType::Bytes) => check_attributes(place, cursor, VALUE_DEPTH_MAX),
        (Rule::Message(inner), WireType::Bytes) => check_message(inner, cursor.bytes()?),
        (Rule::Unknown, _) => cursor.payload(field, wire).map(drop),
        (
            Rule::Varint
            | Rule::Fixed64
            | Rule::Bytes
            | Rule::Varints
            | Rule::Fixed64s
            | Rule::Message(_)
            | Rule::Attribute
            | Rule::Points,
            _,
        ) => Err(Fault::at(place, "a known field has a wrong wire type")),
    }
}

/// OTLP's field numbers (opentelemetry-proto 1.x, `metrics.proto`).
#[inline]
fn rule(shape: Shape, field: u32) -> Rule {
    use Rule::{Attribute, Bytes, Fixed64, Fixed64s, Message, Points, Unknown, Varint, Varints};
    match (shape, field) {
        (Shape::Metric, 1..=3) => Bytes,
        (Shape::Metric, 5 | 7 | 9..=11) => Points,
        (Shape::Metric, 12) => Attribute,
        (Shape::Gauge | Shape::Sum | Shape::Histogram, 1) => Points,
        (Shape::Sum | Shape::Histogram, 2) | (Shape::Sum, 3) => Varint,
        (Shape::NumberPoint, 2..=4 | 6) => Fixed64,
        (Shape::NumberPoint, 5) => Message(Shape::Exemplar),
        (Shape::NumberPoint, 7) => Attribute,
        (Shape::NumberPoint, 8) => Varint,
        (Shape::HistogramPoint, 2..=5 | 11 | 12) => Fixed64,
        (Shape::HistogramPoint, 6 | 7) => Fixed64s,
        (Shape::HistogramPoint, 8) => Message(Shape::Exemplar),
        (Shape::HistogramPoint, 9) => Attribute,
        (Shape::HistogramPoint, 10) => Varint,
        (Shape::ExponentialPoint, 1) => Attribute,
        (Shape::ExponentialPoint, 2..=5 | 7 | 12..=14) => Fixed64,
        (Shape::ExponentialPoint, 6 | 10) => Varint,
        (Shape::ExponentialPoint, 8 | 9) => Message(Shape::Buckets),
        (Shape::ExponentialPoint, 11) => Message(Shape::Exemplar),
        (Shape::Buckets, 1) => Varint,
        (Shape::Buckets, 2) => Varints,
        (Shape::SummaryPoint, 2..=5) => Fixed64,
        (Shape::SummaryPoint, 6) => Message(Shape::Quantile),
        (Shape::SummaryPoint, 7) => Attribute,
        (Shape::SummaryPoint, 8) => Varint,
        (Shape::Quantile, 1 | 2) => Fixed64,
        (Shape::Exemplar, 2 | 3 | 6) => Fixed64,
        (Shape::Exemplar, 4 | 5) => Bytes,
        (Shape::Exemplar, 7) => Attribute,
        (_, _) => Unknown,
    }
}

#[cfg(test)]
mod tests;

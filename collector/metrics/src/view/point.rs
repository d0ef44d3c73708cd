//! Data points.

use tracepipe_otlp::wire::{Cursor, Fault, Payload, WireType, fields};

use super::numbers::{Fixed64s, Varints};
use super::value::Attributes;

/// Bit 0 of `flags`: the point says that there is no value any more (`DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`).
const NO_RECORDED_VALUE: u64 = 1;

/// Field number of `attributes` in `NumberDataPoint`.
const ATTRIBUTES: u32 = 7;

/// A number of a point or an exemplar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// `as_int`.
    Int(i64),
    /// `as_double`.
    Double(f64),
}

/// A point of a gauge or a sum.
#[derive(Debug, Clone, Copy)]
pub struct NumberPoint<'a> {
    message: &'a [u8],
    /// From the first attribute to the last.
    attributes: &'a [u8],
    /// Nanoseconds since the Unix epoch; 0: not known.
    pub start_time_unix_nano: u64,
    /// Nanoseconds since the Unix epoch; 0: not known.
    pub time_unix_nano: u64,
    /// None: the sender wrote no number.
    pub value: Option<Number>,
    /// The point has no value any more.
    pub is_stale: bool,
    /// The point has exemplars.
    pub has_exemplars: bool,
}

/// A point of a histogram with explicit bounds.
#[derive(Debug, Clone, Copy)]
pub struct HistogramPoint<'a> {
    message: &'a [u8],
    /// Nanoseconds since the Unix epoch; 0: not known.
    pub start_time_unix_nano: u64,
    /// Nanoseconds since the Unix epoch; 0: not known.
    pub time_unix_nano: u64,
    /// Of observations.
    pub count: u64,
    /// Of observations; absent where some may be negative.
    pub sum: Option<f64>,
    /// Of each bucket alone.
    pub bucket_counts: Fixed64s<'a>,
    /// The bits of the upper bounds.
    pub explicit_bounds: Fixed64s<'a>,
    /// The point has no value any more.
    pub is_stale: bool,
    /// The point has exemplars.
    pub has_exemplars: bool,
}

/// A point of an exponential histogram.
#[derive(Debug, Clone, Copy)]
pub struct ExponentialPoint<'a> {
    message: &'a [u8],
    /// Nanoseconds since the Unix epoch; 0: not known.
    pub start_time_unix_nano: u64,
    /// Nanoseconds since the Unix epoch; 0: not known.
    pub time_unix_nano: u64,
    /// Of observations.
    pub count: u64,
    /// Of observations; absent where some may be negative.
    pub sum: Option<f64>,
    /// The base is `2^(2^-scale)`.
    pub scale: i32,
    /// Of observations that are zero, or nearly.
    pub zero_count: u64,
    /// What is nearly zero; 0: not said.
    pub zero_threshold: f64,
    /// Of observations above zero.
    pub positive: Buckets<'a>,
    /// Of observations below zero.
    pub negative: Buckets<'a>,
    /// The point has no value any more.
    pub is_stale: bool,
    /// The point has exemplars.
    pub has_exemplars: bool,
}

/// Half of an exponential histogram. Bucket `offset + i` has the values in `(base^(offset+i), base^(offset+i+1)]`.
#[derive(Debug, Clone, Copy)]
pub struct Buckets<'a> {
    /// Of the first count.
    pub offset: i32,
    /// In a row.
    pub counts: Varints<'a>,
}

/// A point of a summary.
#[derive(Debug, Clone, Copy)]
pub struct SummaryPoint<'a> {
    message: &'a [u8],
    /// Nanoseconds since the Unix epoch; 0: not known.
    pub start_time_unix_nano: u64,
    /// Nanoseconds since the Unix epoch; 0: not known.
    pub time_unix_nano: u64,
    /// Of observations.
    pub count: u64,
    /// Of observations.
    pub sum: f64,
    /// The point has no value any more.
    pub is_stale: bool,
}

/// A quantile of a summary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantile {
    /// From 0 to 1.
    pub quantile: f64,
    /// That many of the observations are not above it.
    pub value: f64,
}

/// An observation that stands for others.
#[derive(Debug, Clone, Copy)]
pub struct Exemplar<'a> {
    message: &'a [u8],
    /// Nanoseconds since the Unix epoch; 0: not known.
    pub time_unix_nano: u64,
    /// None: the sender wrote no number.
    pub value: Option<Number>,
    /// 16 bytes, or what the sender wrote.
    pub trace_id: &'a [u8],
    /// 8 bytes, or what the sender wrote.
    pub span_id: &'a [u8],
}

/// The exemplars of a point.
#[derive(Debug, Clone, Copy)]
pub struct Exemplars<'a> {
    message: &'a [u8],
    field: u32,
}

// === impl Number ===

impl Number {
    /// As Prometheus has it.
    #[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Double(value) => value,
        }
    }
}

// === impl NumberPoint ===

impl<'a> NumberPoint<'a> {
    /// Reads an encoded `NumberDataPoint`.
    #[inline]
    pub fn read(message: &'a [u8]) -> Self {
        let mut read = Self {
            message,
            attributes: &[],
            start_time_unix_nano: 0,
            time_unix_nano: 0,
            value: None,
            is_stale: false,
            has_exemplars: false,
        };
        // Whatever is malformed ends it: what was read stands.
        let _end = read.read_fields();
        read
    }

    /// As the other points are read, but by hand: most points are of this kind, and attributes are most of a point.
    #[inline]
    fn read_fields(&mut self) -> Result<(), Fault> {
        let mut cursor = Cursor::new(self.message);
        let mut first_attribute = None;
        while !cursor.is_empty() {
            let place = self.message.len() - cursor.rest().len();
            match cursor.key()? {
                (2, WireType::Fixed64) => self.start_time_unix_nano = cursor.fixed64()?,
                (3, WireType::Fixed64) => self.time_unix_nano = cursor.fixed64()?,
                (4, WireType::Fixed64) => {
                    self.value = Some(Number::Double(f64::from_bits(cursor.fixed64()?)))
                }
                (6, WireType::Fixed64) => self.value = Some(Number::Int(cursor.fixed64()?.cast_signed())),
                (ATTRIBUTES, WireType::Bytes) => {
                    cursor.bytes()?;
                    let first = *first_attribute.get_or_insert(place);
                    self.attributes = &self.message[first..self.message.len() - cursor.rest().len()];
                }
                (5, WireType::Bytes) => {
                    cursor.bytes()?;
                    self.has_exemplars = true;
                }
                (8, WireType::Varint) => self.is_stale = cursor.varint()? & NO_RECORDED_VALUE != 0,
                (field, wire) => {
                    cursor.payload(field, wire)?;
                }
            }
        }
        Ok(())
    }

    /// What tells it from the metric's other points.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.attributes, ATTRIBUTES)
    }

    /// Observations that stand for others.
    pub fn exemplars(&self) -> Exemplars<'a> {
        Exemplars {
            message: self.message,
            field: 5,
        }
    }
}

// === impl HistogramPoint ===

impl<'a> HistogramPoint<'a> {
    /// Reads an encoded `HistogramDataPoint`.
    pub fn read(message: &'a [u8]) -> Self {
        let mut read = Self {
            message,
            start_time_unix_nano: 0,
            time_unix_nano: 0,
            count: 0,
            sum: None,
            bucket_counts: Fixed64s::NONE,
            explicit_bounds: Fixed64s::NONE,
            is_stale: false,
            has_exemplars: false,
        };
        for field in fields(message) {
            match field {
                (2, Payload::Fixed64(nanos)) => read.start_time_unix_nano = nanos,
                (3, Payload::Fixed64(nanos)) => read.time_unix_nano = nanos,
                (4, Payload::Fixed64(count)) => read.count = count,
                (5, Payload::Fixed64(bits)) => read.sum = Some(f64::from_bits(bits)),
                (6, payload) => read.bucket_counts.add(message, 6, payload),
                (7, payload) => read.explicit_bounds.add(message, 7, payload),
                (8, Payload::Bytes(_)) => read.has_exemplars = true,
                (10, Payload::Varint(flags)) => read.is_stale = flags & NO_RECORDED_VALUE != 0,
                _ => {}
            }
        }
        read
    }

    /// What tells it from the metric's other points.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.message, 9)
    }

    /// Observations that stand for others.
    pub fn exemplars(&self) -> Exemplars<'a> {
        Exemplars {
            message: self.message,
            field: 8,
        }
    }
}

// === impl ExponentialPoint ===

impl<'a> ExponentialPoint<'a> {
    /// Reads an encoded `ExponentialHistogramDataPoint`.
    pub fn read(message: &'a [u8]) -> Self {
        let mut read = Self {
            message,
            start_time_unix_nano: 0,
            time_unix_nano: 0,
            count: 0,
            sum: None,
            scale: 0,
            zero_count: 0,
            zero_threshold: 0.0,
            positive: Buckets::NONE,
            negative: Buckets::NONE,
            is_stale: false,
            has_exemplars: false,
        };
        for field in fields(message) {
            match field {
                (2, Payload::Fixed64(nanos)) => read.start_time_unix_nano = nanos,
                (3, Payload::Fixed64(nanos)) => read.time_unix_nano = nanos,
                (4, Payload::Fixed64(count)) => read.count = count,
                (5, Payload::Fixed64(bits)) => read.sum = Some(f64::from_bits(bits)),
                (6, Payload::Varint(scale)) => read.scale = zigzag(scale),
                (7, Payload::Fixed64(count)) => read.zero_count = count,
                (8, Payload::Bytes(buckets)) => read.positive = Buckets::read(buckets),
                (9, Payload::Bytes(buckets)) => read.negative = Buckets::read(buckets),
                (10, Payload::Varint(flags)) => read.is_stale = flags & NO_RECORDED_VALUE != 0,
                (11, Payload::Bytes(_)) => read.has_exemplars = true,
                (14, Payload::Fixed64(bits)) => read.zero_threshold = f64::from_bits(bits),
                _ => {}
            }
        }
        read
    }

    /// What tells it from the metric's other points.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.message, 1)
    }

    /// Observations that stand for others.
    pub fn exemplars(&self) -> Exemplars<'a> {
        Exemplars {
            message: self.message,
            field: 11,
        }
    }
}

/// A `sint32`. A number of more than 32 bits loses those above, as in every protobuf library.
#[expect(clippy::cast_possible_truncation, reason = "as the format wants it")]
fn zigzag(value: u64) -> i32 {
    let value = value as u32;
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

// === impl Buckets ===

impl<'a> Buckets<'a> {
    const NONE: Self = Self {
        offset: 0,
        counts: Varints::NONE,
    };

    fn read(message: &'a [u8]) -> Self {
        let mut read = Self::NONE;
        for field in fields(message) {
            match field {
                (1, Payload::Varint(offset)) => read.offset = zigzag(offset),
                (2, payload) => read.counts.add(message, 2, payload),
                _ => {}
            }
        }
        read
    }
}

// === impl SummaryPoint ===

impl<'a> SummaryPoint<'a> {
    /// Reads an encoded `SummaryDataPoint`.
    pub fn read(message: &'a [u8]) -> Self {
        let mut read = Self {
            message,
            start_time_unix_nano: 0,
            time_unix_nano: 0,
            count: 0,
            sum: 0.0,
            is_stale: false,
        };
        for field in fields(message) {
            match field {
                (2, Payload::Fixed64(nanos)) => read.start_time_unix_nano = nanos,
                (3, Payload::Fixed64(nanos)) => read.time_unix_nano = nanos,
                (4, Payload::Fixed64(count)) => read.count = count,
                (5, Payload::Fixed64(bits)) => read.sum = f64::from_bits(bits),
                (8, Payload::Varint(flags)) => read.is_stale = flags & NO_RECORDED_VALUE != 0,
                _ => {}
            }
        }
        read
    }

    /// What tells it from the metric's other points.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.message, 7)
    }

    /// In the sender's order.
    pub fn quantiles(&self) -> impl Iterator<Item = Quantile> + use<'a> {
        super::messages(self.message, 6).map(Quantile::read)
    }
}

// === impl Quantile ===

impl Quantile {
    fn read(message: &[u8]) -> Self {
        let mut read = Self {
            quantile: 0.0,
            value: 0.0,
        };
        for field in fields(message) {
            match field {
                (1, Payload::Fixed64(bits)) => read.quantile = f64::from_bits(bits),
                (2, Payload::Fixed64(bits)) => read.value = f64::from_bits(bits),
                _ => {}
            }
        }
        read
    }
}

// === impl Exemplars ===

impl<'a> Exemplars<'a> {
    /// In the sender's order.
    pub fn iter(&self) -> impl Iterator<Item = Exemplar<'a>> + use<'a> {
        super::messages(self.message, self.field).map(Exemplar::read)
    }
}

// === impl Exemplar ===

impl<'a> Exemplar<'a> {
    fn read(message: &'a [u8]) -> Self {
        let mut read = Self {
            message,
            time_unix_nano: 0,
            value: None,
            trace_id: &[],
            span_id: &[],
        };
        for field in fields(message) {
            match field {
                (2, Payload::Fixed64(nanos)) => read.time_unix_nano = nanos,
                (3, Payload::Fixed64(bits)) => read.value = Some(Number::Double(f64::from_bits(bits))),
                (4, Payload::Bytes(id)) => read.span_id = id,
                (5, Payload::Bytes(id)) => read.trace_id = id,
                (6, Payload::Fixed64(bits)) => read.value = Some(Number::Int(bits.cast_signed())),
                _ => {}
            }
        }
        read
    }

    /// What the metric's view left out of the attributes.
    pub fn filtered_attributes(&self) -> Attributes<'a> {
        Attributes::new(self.message, 7)
    }
}

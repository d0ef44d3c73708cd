//! Native histograms.

use std::collections::BTreeMap;

use super::{Malformed, Read, fields, malformed, unknown};
use crate::wire::{Field, Reader, Writer};

/// Absolute counts of populated buckets by their index; bucket `i` of schema `s` ends at `2^(i / 2^s)`.
pub type Counts = BTreeMap<i64, f64>;

/// A `Histogram`. Each count is an integer or a float, by which of the fields is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    /// `count_int`.
    pub count_int: Option<u64>,
    /// `count_float`, its bits.
    pub count_float: Option<u64>,
    /// The sum's bits.
    pub sum_bits: u64,
    /// Resolution: 8 is the finest, -4 the coarsest.
    pub schema: i64,
    /// The bits of `zero_threshold`.
    pub zero_threshold_bits: u64,
    /// `zero_count_int`.
    pub zero_count_int: Option<u64>,
    /// `zero_count_float`, its bits.
    pub zero_count_float: Option<u64>,
    /// Offset and length of each run of negative buckets.
    pub negative_spans: Vec<(i64, u64)>,
    /// Differences of counts.
    pub negative_deltas: Vec<i64>,
    /// Counts, their bits.
    pub negative_counts: Vec<u64>,
    /// Offset and length of each run of positive buckets.
    pub positive_spans: Vec<(i64, u64)>,
    /// Differences of counts.
    pub positive_deltas: Vec<i64>,
    /// Counts, their bits.
    pub positive_counts: Vec<u64>,
    /// 0 unknown, 1 yes, 2 no, 3 gauge.
    pub reset_hint: u64,
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
}

impl Histogram {
    /// Reads a message.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(bytes: &[u8]) -> Read<Self> {
        let mut it = Self::default();
        for field in fields(bytes, "Histogram") {
            match field? {
                (1, Field::Varint(count)) => it.count_int = Some(count),
                (2, Field::Fixed64(bits)) => it.count_float = Some(bits),
                (3, Field::Fixed64(bits)) => it.sum_bits = bits,
                (4, Field::Varint(value)) => it.schema = zigzag(value),
                (5, Field::Fixed64(bits)) => it.zero_threshold_bits = bits,
                (6, Field::Varint(count)) => it.zero_count_int = Some(count),
                (7, Field::Fixed64(bits)) => it.zero_count_float = Some(bits),
                (8, Field::Bytes(bytes)) => it.negative_spans.push(span(bytes)?),
                (9, Field::Bytes(bytes)) => it.negative_deltas.extend(packed_deltas(bytes)?),
                (10, Field::Bytes(bytes)) => it.negative_counts.extend(packed_floats(bytes)?),
                (11, Field::Bytes(bytes)) => it.positive_spans.push(span(bytes)?),
                (12, Field::Bytes(bytes)) => it.positive_deltas.extend(packed_deltas(bytes)?),
                (13, Field::Bytes(bytes)) => it.positive_counts.extend(packed_floats(bytes)?),
                (14, Field::Varint(hint)) => it.reset_hint = hint,
                (15, Field::Varint(time)) => it.timestamp = time.cast_signed(),
                (number, _) => return unknown("Histogram", number),
            }
        }
        Ok(it)
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        if let Some(count) = self.count_int {
            writer.varint_always(1, count);
        }
        if let Some(bits) = self.count_float {
            writer.fixed64(2, bits);
        }
        writer.fixed64(3, self.sum_bits);
        writer.varint(4, to_zigzag(self.schema));
        writer.fixed64(5, self.zero_threshold_bits);
        if let Some(count) = self.zero_count_int {
            writer.varint_always(6, count);
        }
        if let Some(bits) = self.zero_count_float {
            writer.fixed64(7, bits);
        }
        for (spans, deltas, fields) in [
            (&self.negative_spans, &self.negative_deltas, [8, 9]),
            (&self.positive_spans, &self.positive_deltas, [11, 12]),
        ] {
            for (offset, length) in spans {
                writer.message(fields[0], |writer| {
                    writer.varint(1, to_zigzag(*offset));
                    writer.varint(2, *length);
                });
            }
            if !deltas.is_empty() {
                let mut packed = Writer::default();
                deltas
                    .iter()
                    .for_each(|delta| packed.bare_varint(to_zigzag(*delta)));
                writer.bytes(fields[1], &packed.into_bytes());
            }
        }
        writer.varint(14, self.reset_hint);
        writer.varint(15, self.timestamp.cast_unsigned());
    }

    /// It marks the series as gone.
    pub fn is_stale(&self) -> bool {
        self.sum_bits == super::STALE_NAN_BITS
    }

    /// The sum of all observations.
    pub fn sum(&self) -> f64 {
        f64::from_bits(self.sum_bits)
    }

    /// All observations.
    pub fn count(&self) -> f64 {
        either(self.count_int, self.count_float)
    }

    /// Observations that count as zero.
    pub fn zero_count(&self) -> f64 {
        either(self.zero_count_int, self.zero_count_float)
    }

    /// Populated buckets above zero.
    ///
    /// # Errors
    /// When spans and counts do not fit together, or a count is below zero.
    pub fn positive(&self) -> Read<Counts> {
        counts(&self.positive_spans, &self.positive_deltas, &self.positive_counts)
    }

    /// Populated buckets below zero, by the index of their mirror image.
    ///
    /// # Errors
    /// As [`Self::positive`].
    pub fn negative(&self) -> Read<Counts> {
        counts(&self.negative_spans, &self.negative_deltas, &self.negative_counts)
    }

    /// Checks what a storage checks: counts that are integers or floats throughout, not below zero, and no more in the
    /// buckets than there are.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Read<()> {
        if self.is_stale() {
            return Ok(());
        }
        let in_buckets: f64 = self.positive()?.values().chain(self.negative()?.values()).sum();
        let all = in_buckets + self.zero_count();
        // NaN is observed without a bucket.
        let fits = if self.sum().is_nan() {
            all <= self.count()
        } else {
            (all - self.count()).abs() < 0.5
        };
        if fits {
            Ok(())
        } else {
            malformed(format!(
                "{all} observations in the buckets, {} in all",
                self.count()
            ))
        }
    }
}

fn either(whole: Option<u64>, float: Option<u64>) -> f64 {
    whole.map_or_else(|| float.map_or(0.0, f64::from_bits), |count| count as f64)
}

fn counts(spans: &[(i64, u64)], deltas: &[i64], floats: &[u64]) -> Read<Counts> {
    let mut absolute = Vec::new();
    let mut last = 0_i64;
    for delta in deltas {
        last = last
            .checked_add(*delta)
            .ok_or_else(|| Malformed("a count beyond 64 bits".into()))?;
        absolute.push(last as f64);
    }
    absolute.extend(floats.iter().map(|bits| f64::from_bits(*bits)));
    let length: u64 = spans.iter().map(|(_, length)| *length).sum();
    if length != absolute.len() as u64 {
        return malformed(format!(
            "spans of {length} buckets with {} counts",
            absolute.len()
        ));
    }
    let mut counts = Counts::new();
    let mut values = absolute.into_iter();
    let mut index = 0_i64;
    for (number, (offset, length)) in spans.iter().enumerate() {
        if number > 0 && *offset < 0 {
            return malformed("spans that overlap");
        }
        index += offset;
        for value in values
            .by_ref()
            .take(usize::try_from(*length).unwrap_or(usize::MAX))
        {
            if value < 0.0 {
                return malformed(format!("a bucket with {value} observations"));
            }
            if value > 0.0 {
                counts.insert(index, value);
            }
            index += 1;
        }
    }
    Ok(counts)
}

fn span(bytes: &[u8]) -> Read<(i64, u64)> {
    let mut span = (0, 0);
    for field in fields(bytes, "BucketSpan") {
        match field? {
            (1, Field::Varint(offset)) => span.0 = zigzag(offset),
            (2, Field::Varint(length)) => span.1 = length,
            (number, _) => return unknown("BucketSpan", number),
        }
    }
    Ok(span)
}

/// Numbers one after the other, each a varint.
fn packed_deltas(bytes: &[u8]) -> Read<Vec<i64>> {
    let mut deltas = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte < 0x80);
        let end = end.ok_or_else(|| Malformed("deltas that end in a number".into()))?;
        let (one, after) = rest.split_at(end + 1);
        rest = after;
        // A field with this number, which the reader of fields reads.
        let mut field = vec![8];
        field.extend_from_slice(one);
        match Reader::new(&field).next() {
            Some(Ok((1, Field::Varint(value)))) => deltas.push(zigzag(value)),
            _ => return malformed("a delta that is no number"),
        }
    }
    Ok(deltas)
}

fn packed_floats(bytes: &[u8]) -> Read<Vec<u64>> {
    let (floats, rest) = bytes.as_chunks::<8>();
    if rest.is_empty() {
        Ok(floats.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect())
    } else {
        malformed("floats that end in one")
    }
}

fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn to_zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

//! The messages of Prometheus' remote write 1.0 and remote read, as data.
//!
//! Field numbers are those of `prompb/types.proto` and `prompb/remote.proto` of prometheus/prometheus. Read with
//! [`crate::wire`], not with what the product uses. Floats are compared by their bits: a stale marker is a NaN of its own.

mod histogram;

pub use histogram::{Counts, Histogram};

use crate::wire::{Field, Reader, Writer};

/// The bits of the NaN that marks a series as gone (`value.StaleNaN` of prometheus/prometheus).
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Names and values in the order of the message.
pub type Labels = Vec<(String, String)>;

/// A `WriteRequest`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WriteRequest {
    /// Its series, in their order.
    pub series: Vec<TimeSeries>,
    /// What is said of metrics, in its order.
    pub metadata: Vec<Metadata>,
}

/// A `TimeSeries`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TimeSeries {
    /// What it is.
    pub labels: Labels,
    /// Its floats.
    pub samples: Vec<Sample>,
    /// Its native histograms.
    pub histograms: Vec<Histogram>,
    /// Its exemplars.
    pub exemplars: Vec<Exemplar>,
}

/// A float at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The value's bits.
    pub bits: u64,
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
}

/// An `Exemplar`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exemplar {
    /// `trace_id`, `span_id` and more.
    pub labels: Labels,
    /// The value's bits.
    pub bits: u64,
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
}

/// A `MetricMetadata`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// `MetricType`: 1 counter, 2 gauge, 3 histogram, 5 summary, 6 info.
    pub kind: u64,
    /// The family.
    pub name: String,
    /// Its description.
    pub help: String,
    /// Its unit.
    pub unit: String,
}

impl Sample {
    /// The value.
    pub fn value(self) -> f64 {
        f64::from_bits(self.bits)
    }

    /// It marks the series as gone.
    pub fn is_stale(self) -> bool {
        self.bits == STALE_NAN_BITS
    }
}

/// What is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(
    /// In words.
    pub String,
);

type Read<T> = Result<T, Malformed>;

fn malformed<T>(what: impl Into<String>) -> Read<T> {
    Err(Malformed(what.into()))
}

impl WriteRequest {
    /// Reads a message.
    ///
    /// # Errors
    /// When it is none, or has a field that this version of the protocol has not.
    pub fn decode(bytes: &[u8]) -> Read<Self> {
        let mut request = Self::default();
        for field in fields(bytes, "WriteRequest") {
            match field? {
                (1, Field::Bytes(bytes)) => request.series.push(TimeSeries::decode(bytes)?),
                (3, Field::Bytes(bytes)) => request.metadata.push(Metadata::decode(bytes)?),
                (number, _) => return unknown("WriteRequest", number),
            }
        }
        Ok(request)
    }

    /// Writes the message.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        for series in &self.series {
            writer.message(1, |writer| series.write(writer));
        }
        for metadata in &self.metadata {
            writer.message(3, |writer| {
                writer.varint(1, metadata.kind);
                writer.string(2, &metadata.name);
                writer.string(4, &metadata.help);
                writer.string(5, &metadata.unit);
            });
        }
        writer.into_bytes()
    }

    /// Floats and native histograms in it.
    pub fn samples(&self) -> u64 {
        let of = |series: &TimeSeries| series.samples.len() + series.histograms.len();
        self.series.iter().map(of).sum::<usize>() as u64
    }
}

impl TimeSeries {
    /// Reads a message.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(bytes: &[u8]) -> Read<Self> {
        let mut series = Self::default();
        for field in fields(bytes, "TimeSeries") {
            match field? {
                (1, Field::Bytes(bytes)) => series.labels.push(label(bytes)?),
                (2, Field::Bytes(bytes)) => series.samples.push(sample(bytes)?),
                (3, Field::Bytes(bytes)) => series.exemplars.push(exemplar(bytes)?),
                (4, Field::Bytes(bytes)) => series.histograms.push(Histogram::decode(bytes)?),
                (number, _) => return unknown("TimeSeries", number),
            }
        }
        Ok(series)
    }

    fn write(&self, writer: &mut Writer) {
        write_labels(writer, &self.labels);
        for sample in &self.samples {
            writer.message(2, |writer| {
                writer.fixed64(1, sample.bits);
                writer.varint(2, sample.timestamp.cast_unsigned());
            });
        }
        for exemplar in &self.exemplars {
            writer.message(3, |writer| {
                write_labels(writer, &exemplar.labels);
                writer.fixed64(2, exemplar.bits);
                writer.varint(3, exemplar.timestamp.cast_unsigned());
            });
        }
        for histogram in &self.histograms {
            writer.message(4, |writer| histogram.write(writer));
        }
    }

    /// The value of `__name__`.
    pub fn name(&self) -> &str {
        label_value(&self.labels, "__name__").unwrap_or_default()
    }
}

/// The value of one label.
pub fn label_value<'a>(labels: &'a Labels, name: &str) -> Option<&'a str> {
    let found = labels.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

impl Metadata {
    fn decode(bytes: &[u8]) -> Read<Self> {
        let mut metadata = Self::default();
        for field in fields(bytes, "MetricMetadata") {
            match field? {
                (1, Field::Varint(kind)) => metadata.kind = kind,
                (2, Field::Bytes(bytes)) => metadata.name = text(bytes)?,
                (4, Field::Bytes(bytes)) => metadata.help = text(bytes)?,
                (5, Field::Bytes(bytes)) => metadata.unit = text(bytes)?,
                (number, _) => return unknown("MetricMetadata", number),
            }
        }
        Ok(metadata)
    }
}

fn label(bytes: &[u8]) -> Read<(String, String)> {
    let mut label = (String::new(), String::new());
    for field in fields(bytes, "Label") {
        match field? {
            (1, Field::Bytes(bytes)) => label.0 = text(bytes)?,
            (2, Field::Bytes(bytes)) => label.1 = text(bytes)?,
            (number, _) => return unknown("Label", number),
        }
    }
    Ok(label)
}

fn sample(bytes: &[u8]) -> Read<Sample> {
    let mut sample = Sample {
        bits: 0,
        timestamp: 0,
    };
    for field in fields(bytes, "Sample") {
        match field? {
            (1, Field::Fixed64(bits)) => sample.bits = bits,
            (2, Field::Varint(time)) => sample.timestamp = time.cast_signed(),
            (number, _) => return unknown("Sample", number),
        }
    }
    Ok(sample)
}

fn exemplar(bytes: &[u8]) -> Read<Exemplar> {
    let mut exemplar = Exemplar::default();
    for field in fields(bytes, "Exemplar") {
        match field? {
            (1, Field::Bytes(bytes)) => exemplar.labels.push(label(bytes)?),
            (2, Field::Fixed64(bits)) => exemplar.bits = bits,
            (3, Field::Varint(time)) => exemplar.timestamp = time.cast_signed(),
            (number, _) => return unknown("Exemplar", number),
        }
    }
    Ok(exemplar)
}

fn write_labels(writer: &mut Writer, labels: &Labels) {
    for (name, value) in labels {
        writer.message(1, |writer| {
            writer.string(1, name);
            writer.string(2, value);
        });
    }
}

/// The fields of a message; the message's name stands in what is said of a malformed one.
fn fields<'a>(bytes: &'a [u8], of: &'static str) -> impl Iterator<Item = Read<(u32, Field<'a>)>> {
    Reader::new(bytes).map(move |field| field.or_else(|_| malformed(format!("{of} is no protobuf message"))))
}

fn unknown<T>(of: &str, number: u32) -> Read<T> {
    malformed(format!("field {number} of {of} is unknown or of another type"))
}

fn text(bytes: &[u8]) -> Read<String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => malformed("text that is no UTF-8"),
    }
}

/// What a `ReadRequest` asks for: all that lies in a range of time, every series with a label of that name, in one
/// answer.
pub fn read_request(start_ms: i64, end_ms: i64, label: &str) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.message(1, |query| {
        query.varint(1, start_ms.cast_unsigned());
        query.varint(2, end_ms.cast_unsigned());
        query.message(3, |matcher| {
            // `label!=""`
            matcher.varint(1, 1);
            matcher.string(2, label);
        });
    });
    writer.into_bytes()
}

/// The series of a `ReadResponse`.
///
/// # Errors
/// When it is none.
pub fn decode_read_response(bytes: &[u8]) -> Read<Vec<TimeSeries>> {
    let mut series = Vec::new();
    for field in fields(bytes, "ReadResponse") {
        let (1, Field::Bytes(result)) = field? else {
            return malformed("a ReadResponse with something else than results");
        };
        for field in fields(result, "QueryResult") {
            match field? {
                (1, Field::Bytes(bytes)) => series.push(TimeSeries::decode(bytes)?),
                (number, _) => return unknown("QueryResult", number),
            }
        }
    }
    Ok(series)
}

#[cfg(test)]
mod tests;

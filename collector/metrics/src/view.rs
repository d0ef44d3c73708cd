//! Borrowed views over the bytes of one `ExportMetricsServiceRequest` (opentelemetry-proto 1.x). Nothing is copied or
//! allocated, and nothing panics: of malformed bytes what stands before the fault is read. `tracepipe_otlp::metrics` has
//! refused such requests before, and counts data points as they are read here.
//!
//! A known field of another wire type than its own is skipped. Of single fields the last wins; messages that come in parts
//! are merged (Protocol Buffers, "Last One Wins").

mod numbers;
mod point;
mod value;

pub use numbers::{Fixed64s, Varints};
pub use point::{
    Buckets, Exemplar, Exemplars, ExponentialPoint, HistogramPoint, Number, NumberPoint, Quantile,
    SummaryPoint,
};
pub use value::{Attribute, Attributes, Value};

use tracepipe_otlp::wire::{Cursor, Payload, WireType, fields};

/// What a metric is, with what says how its points are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A value now.
    Gauge,
    /// A sum.
    Sum {
        /// Since when.
        temporality: Temporality,
        /// It never falls, but at a reset.
        is_monotonic: bool,
    },
    /// Counts in buckets with bounds of their own.
    Histogram {
        /// Since when.
        temporality: Temporality,
    },
    /// Counts in buckets whose bounds are powers of a base.
    ExponentialHistogram {
        /// Since when.
        temporality: Temporality,
    },
    /// Quantiles.
    Summary,
}

/// OTLP's `AggregationTemporality`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Temporality {
    /// The sender did not say, or said something unknown.
    Unspecified,
    /// Since the last point.
    Delta,
    /// Since a fixed start.
    Cumulative,
}

/// The metrics of one resource.
#[derive(Debug, Clone, Copy)]
pub struct ResourceMetrics<'a> {
    message: &'a [u8],
}

/// The metrics of one instrumentation scope.
#[derive(Debug, Clone, Copy)]
pub struct ScopeMetrics<'a> {
    message: &'a [u8],
    /// `scope.name`.
    pub name: &'a [u8],
    /// `scope.version`.
    pub version: &'a [u8],
    /// Of the scope's metrics.
    pub schema_url: &'a [u8],
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric<'a> {
    /// For example `http.server.request.duration`.
    pub name: &'a [u8],
    /// For people.
    pub description: &'a [u8],
    /// UCUM, for example `By`.
    pub unit: &'a [u8],
    /// None: it has no data that is known.
    pub kind: Option<Kind>,
    /// From the first part of its data on.
    data: &'a [u8],
    data_field: u32,
}

/// The resources of a request, each with its metrics.
pub fn resources(request: &[u8]) -> impl Iterator<Item = ResourceMetrics<'_>> {
    messages(request, 1).map(|message| ResourceMetrics { message })
}

/// The embedded messages of one field. Data points and attributes are such: most of what is read passes here.
#[inline]
fn messages(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> + Clone {
    let mut cursor = Cursor::new(message);
    std::iter::from_fn(move || {
        while !cursor.is_empty() {
            match cursor.key().ok()? {
                (field, WireType::Bytes) => {
                    let inner = cursor.bytes().ok()?;
                    if field == number {
                        return Some(inner);
                    }
                }
                (field, wire) => {
                    cursor.payload(field, wire).ok()?;
                }
            }
        }
        None
    })
}

/// The fields of an embedded message, which may come in parts.
fn parts(message: &[u8], number: u32) -> impl Iterator<Item = (u32, Payload<'_>)> {
    messages(message, number).flat_map(fields)
}

// === impl ResourceMetrics ===

impl<'a> ResourceMetrics<'a> {
    /// The resource's attributes, in the sender's order.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        messages(self.message, 1).flat_map(|resource| Attributes::new(resource, 1).iter())
    }

    /// The resource's attributes as encoded `KeyValue`s, in the sender's order.
    pub fn encoded_attributes(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        messages(self.message, 1).flat_map(|resource| Attributes::new(resource, 1).encoded())
    }

    /// Of the instrumentation scopes.
    pub fn scopes(&self) -> impl Iterator<Item = ScopeMetrics<'a>> + use<'a> {
        messages(self.message, 2).map(ScopeMetrics::read)
    }
}

// === impl ScopeMetrics ===

impl<'a> ScopeMetrics<'a> {
    fn read(message: &'a [u8]) -> Self {
        let mut read = Self {
            message,
            name: &[],
            version: &[],
            schema_url: &[],
        };
        for field in parts(message, 1) {
            match field {
                (1, Payload::Bytes(name)) => read.name = name,
                (2, Payload::Bytes(version)) => read.version = version,
                _ => {}
            }
        }
        if let Some(url) = messages(message, 3).last() {
            read.schema_url = url;
        }
        read
    }

    /// The scope's attributes as encoded `KeyValue`s, in the sender's order.
    pub fn encoded_attributes(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        messages(self.message, 1).flat_map(|scope| Attributes::new(scope, 3).encoded())
    }

    /// The scope's attributes, in the sender's order.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        messages(self.message, 1).flat_map(|scope| Attributes::new(scope, 3).iter())
    }

    /// In the sender's order.
    pub fn metrics(&self) -> impl Iterator<Item = Metric<'a>> + use<'a> {
        messages(self.message, 2).map(Metric::read)
    }
}

// === impl Metric ===

impl<'a> Metric<'a> {
    fn read(message: &'a [u8]) -> Self {
        let mut read = Self {
            name: &[],
            description: &[],
            unit: &[],
            kind: None,
            data: &[],
            data_field: 0,
        };
        let mut rest = message;
        for (field, payload, record) in tracepipe_otlp::wire::records(message) {
            match (field, payload) {
                (1, Payload::Bytes(name)) => read.name = name,
                (2, Payload::Bytes(description)) => read.description = description,
                (3, Payload::Bytes(unit)) => read.unit = unit,
                (5 | 7 | 9 | 10 | 11, Payload::Bytes(_)) if field != read.data_field => {
                    read.data_field = field;
                    read.data = rest;
                }
                _ => {}
            }
            rest = &rest[record.len()..];
        }
        read.kind = read.read_kind();
        read
    }

    fn read_kind(&self) -> Option<Kind> {
        Some(match self.data_field {
            5 => Kind::Gauge,
            7 => Kind::Sum {
                temporality: self.temporality(),
                is_monotonic: self.varint(3) != 0,
            },
            9 => Kind::Histogram {
                temporality: self.temporality(),
            },
            10 => Kind::ExponentialHistogram {
                temporality: self.temporality(),
            },
            11 => Kind::Summary,
            _ => return None,
        })
    }

    fn temporality(&self) -> Temporality {
        match self.varint(2) {
            1 => Temporality::Delta,
            2 => Temporality::Cumulative,
            _ => Temporality::Unspecified,
        }
    }

    /// The last number of a field of the data; 0 when there is none.
    fn varint(&self, number: u32) -> u64 {
        parts(self.data, self.data_field)
            .filter_map(|field| match field {
                (field, Payload::Varint(value)) if field == number => Some(value),
                _ => None,
            })
            .last()
            .unwrap_or_default()
    }

    /// The encoded points; they mean what [`Self::kind`] says.
    #[inline]
    pub fn points(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        messages(self.data, self.data_field).flat_map(|data| messages(data, 1))
    }
}

#[cfg(test)]
mod tests;

//! OTLP metrics as data, whatever is in them, and as protobuf.
//!
//! Field numbers are those of `opentelemetry/proto/metrics/v1/metrics.proto`. Written with [`crate::wire`], not with what
//! the product reads by.

mod odd;
pub mod source;

use bytes::Bytes;

use crate::wire::Writer;

/// An attribute's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Any {
    /// None of the others.
    Empty,
    /// UTF-8.
    Text(String),
    /// Yes or no.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A double.
    Double(f64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Any>),
    /// A map.
    Map(Attributes),
}

impl From<&str> for Any {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Keys and values in their order; a key may stand there twice.
pub type Attributes = Vec<(String, Any)>;

/// Attributes that are all text.
pub fn texts(pairs: &[(&str, &str)]) -> Attributes {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), Any::from(*value));
    pairs.iter().map(owned).collect()
}

/// `ResourceMetrics`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resource {
    /// Of the resource.
    pub attributes: Attributes,
    /// `scope_metrics`.
    pub scopes: Vec<Scope>,
}

/// `ScopeMetrics`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scope {
    /// The scope's name.
    pub name: String,
    /// The scope's version.
    pub version: String,
    /// Of the scope.
    pub attributes: Attributes,
    /// `schema_url`.
    pub schema_url: String,
    /// Its metrics.
    pub metrics: Vec<Metric>,
}

/// `Metric`.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Its unit.
    pub unit: String,
    /// Its points.
    pub data: Data,
}

impl Metric {
    /// Without description.
    pub fn new(name: &str, unit: &str, data: Data) -> Self {
        Self {
            name: name.to_owned(),
            description: String::new(),
            unit: unit.to_owned(),
            data,
        }
    }
}

/// `AggregationTemporality`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Temporality {
    /// 0.
    Unspecified,
    /// 1.
    Delta,
    /// 2.
    Cumulative,
}

/// The points of a metric.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// `Gauge`.
    Gauge(Vec<Point<Number>>),
    /// `Sum`.
    Sum {
        /// Since when.
        temporality: Temporality,
        /// It only grows.
        monotonic: bool,
        /// Its points.
        points: Vec<Point<Number>>,
    },
    /// `Histogram`.
    Histogram {
        /// Since when.
        temporality: Temporality,
        /// Its points.
        points: Vec<Point<Explicit>>,
    },
    /// `ExponentialHistogram`.
    Exponential {
        /// Since when.
        temporality: Temporality,
        /// Its points.
        points: Vec<Point<Exponential>>,
    },
    /// `Summary`.
    Summary(Vec<Point<Summary>>),
}

impl Data {
    /// A counter since its start.
    pub fn counter(points: Vec<Point<Number>>) -> Self {
        Self::Sum {
            temporality: Temporality::Cumulative,
            monotonic: true,
            points,
        }
    }

    /// How many points.
    pub fn len(&self) -> usize {
        match self {
            Self::Gauge(points) | Self::Sum { points, .. } => points.len(),
            Self::Histogram { points, .. } => points.len(),
            Self::Exponential { points, .. } => points.len(),
            Self::Summary(points) => points.len(),
        }
    }

    /// No point.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What all points have, and a value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Point<V> {
    /// Of the point.
    pub attributes: Attributes,
    /// `start_time_unix_nano`.
    pub start: u64,
    /// `time_unix_nano`.
    pub time: u64,
    /// `NO_RECORDED_VALUE`.
    pub stale: bool,
    /// Its exemplars.
    pub exemplars: Vec<Exemplar>,
    /// What was measured.
    pub value: V,
}

/// The value of a `NumberDataPoint`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// `as_int`.
    Int(i64),
    /// `as_double`.
    Double(f64),
}

impl Default for Number {
    fn default() -> Self {
        Self::Int(0)
    }
}

/// The value of a `HistogramDataPoint`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Explicit {
    /// All observations.
    pub count: u64,
    /// Their sum.
    pub sum: Option<f64>,
    /// One more than bounds, or none.
    pub counts: Vec<u64>,
    /// Upper bounds.
    pub bounds: Vec<f64>,
}

/// The value of an `ExponentialHistogramDataPoint`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exponential {
    /// All observations.
    pub count: u64,
    /// Their sum.
    pub sum: Option<f64>,
    /// Resolution: bounds are powers of `2^(2^-scale)`.
    pub scale: i32,
    /// Observations that count as zero.
    pub zero_count: u64,
    /// Below it, an observation counts as zero.
    pub zero_threshold: f64,
    /// Offset and counts above zero.
    pub positive: (i32, Vec<u64>),
    /// Offset and counts below zero.
    pub negative: (i32, Vec<u64>),
}

/// The value of a `SummaryDataPoint`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// All observations.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Quantiles and values.
    pub quantiles: Vec<(f64, f64)>,
}

/// `Exemplar`.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// `filtered_attributes`.
    pub attributes: Attributes,
    /// `time_unix_nano`.
    pub time: u64,
    /// What was measured.
    pub value: f64,
    /// All zero: none.
    pub trace_id: [u8; 16],
    /// All zero: none.
    pub span_id: [u8; 8],
}

/// How many points.
pub fn points(all: &[Resource]) -> u64 {
    let scopes = all.iter().flat_map(|resource| &resource.scopes);
    let metrics = scopes.flat_map(|scope| &scope.metrics);
    metrics.map(|metric| metric.data.len() as u64).sum()
}

/// One metric of a resource with a name.
pub fn single(metric: Metric) -> Vec<Resource> {
    vec![Resource {
        attributes: texts(&[("service.name", "shop"), ("service.instance.id", "1")]),
        scopes: vec![Scope {
            metrics: vec![metric],
            ..Scope::default()
        }],
    }]
}

/// An `ExportMetricsServiceRequest`.
pub fn encode(all: &[Resource]) -> Bytes {
    let mut writer = Writer::default();
    for resource in all {
        writer.message(1, |writer| {
            writer.message(1, |writer| attributes(writer, 1, &resource.attributes));
            for scope in &resource.scopes {
                writer.message(2, |writer| encode_scope(writer, scope));
            }
        });
    }
    writer.into_bytes().into()
}

fn encode_scope(writer: &mut Writer, scope: &Scope) {
    writer.message(1, |writer| {
        writer.string(1, &scope.name);
        writer.string(2, &scope.version);
        attributes(writer, 3, &scope.attributes);
    });
    for metric in &scope.metrics {
        writer.message(2, |writer| encode_metric(writer, metric));
    }
    writer.string(3, &scope.schema_url);
}

fn encode_metric(writer: &mut Writer, metric: &Metric) {
    writer.string(1, &metric.name);
    writer.string(2, &metric.description);
    writer.string(3, &metric.unit);
    match &metric.data {
        Data::Gauge(points) => writer.message(5, |writer| {
            points
                .iter()
                .for_each(|it| writer.message(1, |writer| number(writer, it)));
        }),
        Data::Sum {
            temporality,
            monotonic,
            points,
        } => writer.message(7, |writer| {
            points
                .iter()
                .for_each(|it| writer.message(1, |writer| number(writer, it)));
            writer.varint(2, *temporality as u64);
            writer.varint(3, u64::from(*monotonic));
        }),
        Data::Histogram { temporality, points } => writer.message(9, |writer| {
            points
                .iter()
                .for_each(|it| writer.message(1, |writer| explicit(writer, it)));
            writer.varint(2, *temporality as u64);
        }),
        Data::Exponential { temporality, points } => writer.message(10, |writer| {
            points
                .iter()
                .for_each(|it| writer.message(1, |writer| exponential(writer, it)));
            writer.varint(2, *temporality as u64);
        }),
        Data::Summary(points) => writer.message(11, |writer| {
            points
                .iter()
                .for_each(|it| writer.message(1, |writer| summary(writer, it)));
        }),
    }
}

/// The numbers of a point's fields: attributes, exemplars, flags.
fn common<V>(writer: &mut Writer, point: &Point<V>, [of_attributes, of_exemplars, of_flags]: [u32; 3]) {
    attributes(writer, of_attributes, &point.attributes);
    writer.fixed64(2, point.start);
    writer.fixed64(3, point.time);
    for exemplar in &point.exemplars {
        writer.message(of_exemplars, |writer| {
            attributes(writer, 7, &exemplar.attributes);
            writer.fixed64(2, exemplar.time);
            writer.fixed64(3, exemplar.value.to_bits());
            for (field, id) in [(4, &exemplar.span_id[..]), (5, &exemplar.trace_id[..])] {
                if id.iter().any(|byte| *byte != 0) {
                    writer.bytes(field, id);
                }
            }
        });
    }
    writer.varint(of_flags, u64::from(point.stale));
}

fn number(writer: &mut Writer, point: &Point<Number>) {
    common(writer, point, [7, 5, 8]);
    match point.value {
        Number::Int(value) => writer.fixed64(6, value.cast_unsigned()),
        Number::Double(value) => writer.fixed64(4, value.to_bits()),
    }
}

fn explicit(writer: &mut Writer, point: &Point<Explicit>) {
    common(writer, point, [9, 8, 10]);
    let value = &point.value;
    writer.fixed64(4, value.count);
    if let Some(sum) = value.sum {
        writer.fixed64(5, sum.to_bits());
    }
    packed_fixed64(writer, 6, value.counts.iter().copied());
    packed_fixed64(writer, 7, value.bounds.iter().map(|bound| bound.to_bits()));
}

fn exponential(writer: &mut Writer, point: &Point<Exponential>) {
    common(writer, point, [1, 11, 10]);
    let value = &point.value;
    writer.fixed64(4, value.count);
    if let Some(sum) = value.sum {
        writer.fixed64(5, sum.to_bits());
    }
    writer.varint(6, zigzag(value.scale));
    writer.fixed64(7, value.zero_count);
    for (field, (offset, counts)) in [(8, &value.positive), (9, &value.negative)] {
        writer.message(field, |writer| {
            writer.varint(1, zigzag(*offset));
            let mut packed = Writer::default();
            counts.iter().for_each(|count| packed.bare_varint(*count));
            writer.bytes(2, &packed.into_bytes());
        });
    }
    writer.fixed64(14, value.zero_threshold.to_bits());
}

fn summary(writer: &mut Writer, point: &Point<Summary>) {
    // A summary has no exemplars.
    common(writer, point, [7, 15, 8]);
    writer.fixed64(4, point.value.count);
    writer.fixed64(5, point.value.sum.to_bits());
    for (quantile, value) in &point.value.quantiles {
        writer.message(6, |writer| {
            writer.fixed64(1, quantile.to_bits());
            writer.fixed64(2, value.to_bits());
        });
    }
}

fn packed_fixed64(writer: &mut Writer, field: u32, values: impl Iterator<Item = u64>) {
    let bytes: Vec<u8> = values.flat_map(u64::to_le_bytes).collect();
    if !bytes.is_empty() {
        writer.bytes(field, &bytes);
    }
}

fn zigzag(value: i32) -> u64 {
    u64::from((value << 1 ^ value >> 31).cast_unsigned())
}

fn attributes(writer: &mut Writer, field: u32, attributes: &Attributes) {
    for pair in attributes {
        writer.message(field, |writer| key_value(writer, pair));
    }
}

fn key_value(writer: &mut Writer, (key, value): &(String, Any)) {
    writer.string(1, key);
    writer.message(2, |writer| any(writer, value));
}

fn any(writer: &mut Writer, value: &Any) {
    match value {
        Any::Empty => {}
        Any::Text(text) => writer.bytes(1, text.as_bytes()),
        Any::Bool(flag) => writer.varint_always(2, u64::from(*flag)),
        Any::Int(number) => writer.varint_always(3, number.cast_unsigned()),
        Any::Double(number) => writer.fixed64(4, number.to_bits()),
        Any::List(items) => writer.message(5, |writer| {
            items
                .iter()
                .for_each(|item| writer.message(1, |writer| any(writer, item)));
        }),
        Any::Map(pairs) => writer.message(6, |writer| attributes(writer, 1, pairs)),
        Any::Bytes(bytes) => writer.bytes(7, bytes),
    }
}

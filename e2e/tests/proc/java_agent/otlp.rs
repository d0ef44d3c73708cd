//! OTLP metrics as the agent sends them, as streams. Field numbers are those of `metrics.proto`.

use std::collections::BTreeMap;

use prost::{Message, Oneof};

use crate::sdk_metrics::Exemplar;
use crate::sdk_metrics::expected::{Texts, Value};

/// What one resource sent in a request.
pub(crate) struct Sent {
    pub(crate) resource: Texts,
    pub(crate) points: Vec<SentPoint>,
}

/// A data point.
pub(crate) struct SentPoint {
    /// Name, version and schema URL; empty: it has none.
    pub(crate) scope: [String; 3],
    pub(crate) metric: String,
    pub(crate) attributes: Texts,
    /// Milliseconds since the Unix epoch.
    pub(crate) time: i64,
    /// It is what came since the last one, not since the start.
    pub(crate) is_delta: bool,
    pub(crate) value: Value,
    pub(crate) exemplars: Vec<Exemplar>,
}

/// Reads an `ExportMetricsServiceRequest`.
pub(crate) fn read(body: &[u8]) -> Vec<Sent> {
    let request = Request::decode(body).expect("an OTLP request");
    request.resources.into_iter().map(sent).collect()
}

fn sent(of: ResourceMetrics) -> Sent {
    let mut points = Vec::new();
    for scope in of.scopes {
        let maker = scope.scope.unwrap_or_default();
        for metric in scope.metrics {
            let data = metric.data.expect("a metric with data");
            points.extend(read_data(data).into_iter().map(|point| SentPoint {
                scope: [&maker.name, &maker.version, &scope.schema_url].map(String::clone),
                metric: metric.name.clone(),
                ..point
            }));
        }
    }
    Sent {
        resource: texts(of.resource.unwrap_or_default().attributes),
        points,
    }
}

fn read_data(data: Data) -> Vec<SentPoint> {
    match data {
        Data::Gauge(gauge) => {
            let value = |value| Value::Gauge { value };
            gauge.points.into_iter().map(|it| it.read(0, value)).collect()
        }
        Data::Sum(sum) => {
            let value = |value| match sum.monotonic {
                true => Value::Counter { value },
                false => Value::UpDown { value },
            };
            let points = sum.points.into_iter();
            points.map(|it| it.read(sum.temporality, value)).collect()
        }
        Data::Histogram(all) => {
            let points = all.points.into_iter();
            points.map(|it| it.read(all.temporality)).collect()
        }
        Data::Exponential(all) => {
            let points = all.points.into_iter();
            points.map(|it| it.read(all.temporality)).collect()
        }
    }
}

/// `AGGREGATION_TEMPORALITY_DELTA`.
const DELTA: i32 = 1;

fn point(time: u64, temporality: i32, attributes: Vec<KeyValue>, value: Value) -> SentPoint {
    SentPoint {
        scope: [const { String::new() }; 3],
        metric: String::new(),
        attributes: texts(attributes),
        time: i64::try_from(time / 1_000_000).expect("a time"),
        is_delta: temporality == DELTA,
        value,
        exemplars: Vec::new(),
    }
}

impl NumberPoint {
    fn read(self, temporality: i32, value: impl Fn(f64) -> Value) -> SentPoint {
        point(self.time, temporality, self.attributes, value(number(self.value)))
    }
}

impl HistogramPoint {
    fn read(self, temporality: i32) -> SentPoint {
        let value = Value::Histogram {
            count: self.count,
            sum: self.sum.expect("a sum"),
            bounds: self.bounds,
            buckets: self.buckets,
        };
        SentPoint {
            exemplars: self.exemplars.into_iter().map(exemplar).collect(),
            ..point(self.time, temporality, self.attributes, value)
        }
    }
}

impl ExponentialPoint {
    fn read(self, temporality: i32) -> SentPoint {
        let positive = self.positive.unwrap_or_default();
        let value = Value::Exponential {
            count: self.count,
            sum: self.sum.expect("a sum"),
            scale: self.scale,
            zero: self.zero,
            offset: positive.offset,
            buckets: positive.counts,
        };
        SentPoint {
            exemplars: self.exemplars.into_iter().map(exemplar).collect(),
            ..point(self.time, temporality, self.attributes, value)
        }
    }
}

fn exemplar(from: ExemplarMessage) -> Exemplar {
    let hex = |id: Vec<u8>| id.iter().map(|byte| format!("{byte:02x}")).collect();
    Exemplar {
        metric: String::new(),
        attributes: BTreeMap::new(),
        value: match from.value.expect("a number") {
            ExemplarNumber::Double(value) => value,
            ExemplarNumber::Int(value) => value as f64,
        },
        trace_id: hex(from.trace_id),
        span_id: hex(from.span_id),
    }
}

fn number(value: Option<Number>) -> f64 {
    match value.expect("a number") {
        Number::Double(value) => value,
        Number::Int(value) => value as f64,
    }
}

fn texts(attributes: Vec<KeyValue>) -> Texts {
    let text = |pair: KeyValue| (pair.key, json(pair.value.unwrap_or_default()));
    let text = |pair| match text(pair) {
        (key, serde_json::Value::String(text)) => (key, text),
        (key, other) => (key, other.to_string()),
    };
    attributes.into_iter().map(text).collect()
}

fn json(value: AnyValue) -> serde_json::Value {
    match value.value.expect("a value") {
        Any::Text(text) => text.into(),
        Any::Bool(flag) => flag.into(),
        Any::Int(number) => number.into(),
        Any::Double(number) => number.into(),
        Any::List(list) => list.values.into_iter().map(json).collect(),
    }
}

// === the messages, as far as the agent uses them ===

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceMetrics {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeMetrics {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
    #[prost(string, tag = "3")]
    schema_url: String,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(oneof = "Data", tags = "5, 7, 9, 10")]
    data: Option<Data>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Data {
    #[prost(message, tag = "5")]
    Gauge(Gauge),
    #[prost(message, tag = "7")]
    Sum(Sum),
    #[prost(message, tag = "9")]
    Histogram(Histogram),
    #[prost(message, tag = "10")]
    Exponential(Exponential),
}

#[derive(Clone, PartialEq, Message)]
struct Gauge {
    #[prost(message, repeated, tag = "1")]
    points: Vec<NumberPoint>,
}

#[derive(Clone, PartialEq, Message)]
struct Sum {
    #[prost(message, repeated, tag = "1")]
    points: Vec<NumberPoint>,
    #[prost(int32, tag = "2")]
    temporality: i32,
    #[prost(bool, tag = "3")]
    monotonic: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(message, repeated, tag = "1")]
    points: Vec<HistogramPoint>,
    #[prost(int32, tag = "2")]
    temporality: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Exponential {
    #[prost(message, repeated, tag = "1")]
    points: Vec<ExponentialPoint>,
    #[prost(int32, tag = "2")]
    temporality: i32,
}

#[derive(Clone, PartialEq, Message)]
struct NumberPoint {
    #[prost(fixed64, tag = "3")]
    time: u64,
    #[prost(oneof = "Number", tags = "4, 6")]
    value: Option<Number>,
    #[prost(message, repeated, tag = "7")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, Copy, PartialEq, Oneof)]
enum Number {
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(sfixed64, tag = "6")]
    Int(i64),
}

#[derive(Clone, PartialEq, Message)]
struct HistogramPoint {
    #[prost(fixed64, tag = "3")]
    time: u64,
    #[prost(fixed64, tag = "4")]
    count: u64,
    #[prost(double, optional, tag = "5")]
    sum: Option<f64>,
    #[prost(fixed64, repeated, tag = "6")]
    buckets: Vec<u64>,
    #[prost(double, repeated, tag = "7")]
    bounds: Vec<f64>,
    #[prost(message, repeated, tag = "8")]
    exemplars: Vec<ExemplarMessage>,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ExponentialPoint {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
    #[prost(fixed64, tag = "3")]
    time: u64,
    #[prost(fixed64, tag = "4")]
    count: u64,
    #[prost(double, optional, tag = "5")]
    sum: Option<f64>,
    #[prost(sint32, tag = "6")]
    scale: i32,
    #[prost(fixed64, tag = "7")]
    zero: u64,
    #[prost(message, optional, tag = "8")]
    positive: Option<Buckets>,
    #[prost(message, repeated, tag = "11")]
    exemplars: Vec<ExemplarMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct Buckets {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint64, repeated, tag = "2")]
    counts: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct ExemplarMessage {
    #[prost(oneof = "ExemplarNumber", tags = "3, 6")]
    value: Option<ExemplarNumber>,
    #[prost(bytes = "vec", tag = "4")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    trace_id: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Oneof)]
enum ExemplarNumber {
    #[prost(double, tag = "3")]
    Double(f64),
    #[prost(sfixed64, tag = "6")]
    Int(i64),
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 2, 3, 4, 5")]
    value: Option<Any>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Any {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    List(AnyList),
}

#[derive(Clone, PartialEq, Message)]
struct AnyList {
    #[prost(message, repeated, tag = "1")]
    values: Vec<AnyValue>,
}

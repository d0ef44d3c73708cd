//! Requests, and registries to apply them to.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1 as otlp;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

pub(super) use crate::scrape::fuzzing::settings;
use crate::scrape::*;

/// Our clock in most tests.
pub(super) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

pub(super) const DELTA: i32 = 1;
pub(super) const CUMULATIVE: i32 = 2;

/// Nanoseconds of a time so many seconds behind [`NOW`].
pub(super) fn at(seconds: i64) -> u64 {
    (NOW.0 + seconds * 1000).cast_unsigned() * 1_000_000
}

pub(super) fn later(seconds: i64) -> UnixMillis {
    UnixMillis(NOW.0 + seconds * 1000)
}

pub(super) fn registry() -> Registry {
    Registry::new(&settings())
}

/// With room for so many bytes.
pub(super) fn registry_of(bytes: usize) -> Registry {
    registry().with_bytes_max(bytes)
}

pub(super) fn text(registry: &Registry, format: Format, now: UnixMillis) -> String {
    let mut out = Vec::new();
    registry.write(format, now, &mut out);
    String::from_utf8(out).expect("pages are UTF-8")
}

/// The page in the text format, now.
pub(super) fn page(registry: &Registry) -> String {
    text(registry, Format::Text, NOW)
}

pub(super) fn attributes(pairs: &[(&str, &str)]) -> Vec<KeyValue> {
    pairs
        .iter()
        .map(|(key, value)| KeyValue {
            key: (*key).to_owned(),
            value: Some(AnyValue {
                value: Some(Value::StringValue((*value).to_owned())),
            }),
            ..KeyValue::default()
        })
        .collect()
}

pub(super) fn number(time: i64, value: f64, pairs: &[(&str, &str)]) -> otlp::NumberDataPoint {
    otlp::NumberDataPoint {
        attributes: attributes(pairs),
        time_unix_nano: at(time),
        value: Some(number_data_point::Value::AsDouble(value)),
        ..otlp::NumberDataPoint::default()
    }
}

/// From `start` to `time`.
pub(super) fn delta(start: i64, time: i64, value: i64, pairs: &[(&str, &str)]) -> otlp::NumberDataPoint {
    otlp::NumberDataPoint {
        start_time_unix_nano: at(start),
        value: Some(number_data_point::Value::AsInt(value)),
        ..number(time, 0.0, pairs)
    }
}

pub(super) fn histogram_point(
    time: i64,
    bounds: &[f64],
    counts: &[u64],
    sum: f64,
) -> otlp::HistogramDataPoint {
    otlp::HistogramDataPoint {
        time_unix_nano: at(time),
        count: counts.iter().sum(),
        sum: Some(sum),
        bucket_counts: counts.to_vec(),
        explicit_bounds: bounds.to_vec(),
        ..otlp::HistogramDataPoint::default()
    }
}

pub(super) fn gauge(name: &str, points: Vec<otlp::NumberDataPoint>) -> otlp::Metric {
    metric(name, Data::Gauge(otlp::Gauge { data_points: points }))
}

pub(super) fn counter(name: &str, temporality: i32, points: Vec<otlp::NumberDataPoint>) -> otlp::Metric {
    metric(
        name,
        Data::Sum(otlp::Sum {
            data_points: points,
            aggregation_temporality: temporality,
            is_monotonic: true,
        }),
    )
}

pub(super) fn updown(name: &str, temporality: i32, points: Vec<otlp::NumberDataPoint>) -> otlp::Metric {
    metric(
        name,
        Data::Sum(otlp::Sum {
            data_points: points,
            aggregation_temporality: temporality,
            is_monotonic: false,
        }),
    )
}

pub(super) fn histogram(name: &str, temporality: i32, points: Vec<otlp::HistogramDataPoint>) -> otlp::Metric {
    metric(
        name,
        Data::Histogram(otlp::Histogram {
            data_points: points,
            aggregation_temporality: temporality,
        }),
    )
}

pub(super) fn exponential(
    name: &str,
    temporality: i32,
    points: Vec<otlp::ExponentialHistogramDataPoint>,
) -> otlp::Metric {
    metric(
        name,
        Data::ExponentialHistogram(otlp::ExponentialHistogram {
            data_points: points,
            aggregation_temporality: temporality,
        }),
    )
}

pub(super) fn summary(name: &str, points: Vec<otlp::SummaryDataPoint>) -> otlp::Metric {
    metric(name, Data::Summary(otlp::Summary { data_points: points }))
}

pub(super) fn metric(name: &str, data: Data) -> otlp::Metric {
    otlp::Metric {
        name: name.to_owned(),
        data: Some(data),
        ..otlp::Metric::default()
    }
}

/// With a unit and a description.
pub(super) fn described(metric: otlp::Metric, unit: &str, description: &str) -> otlp::Metric {
    otlp::Metric {
        unit: unit.to_owned(),
        description: description.to_owned(),
        ..metric
    }
}

/// Of one resource and of a scope that says nothing.
pub(super) fn request(resource: &[(&str, &str)], metrics: Vec<otlp::Metric>) -> Vec<u8> {
    scoped(resource, InstrumentationScope::default(), "", metrics)
}

pub(super) fn scoped(
    resource: &[(&str, &str)],
    scope: InstrumentationScope,
    schema_url: &str,
    metrics: Vec<otlp::Metric>,
) -> Vec<u8> {
    ExportMetricsServiceRequest {
        resource_metrics: vec![otlp::ResourceMetrics {
            resource: Some(Resource {
                attributes: attributes(resource),
                ..Resource::default()
            }),
            scope_metrics: vec![otlp::ScopeMetrics {
                scope: Some(scope),
                metrics,
                schema_url: schema_url.to_owned(),
            }],
            schema_url: String::new(),
        }],
    }
    .encode_to_vec()
}

/// The counts of an answer that has no others: points, then what was dropped and why.
pub(super) fn counts(done: &Translated) -> (u64, Vec<(&'static str, u64)>) {
    let dropped = done.dropped.by_reason().filter(|(_, count)| *count > 0).collect();
    (done.points, dropped)
}

/// Applies metrics of no resource; the page without its types.
pub(super) fn applied(
    registry: &mut Registry,
    metrics: Vec<otlp::Metric>,
    now: UnixMillis,
) -> (Translated, String) {
    let done = registry.apply(&request(&[], metrics), now);
    let page = text(registry, Format::Text, now);
    crate::scrape::parser::check(&page, Format::Text);
    let samples: Vec<_> = page.lines().filter(|line| !line.starts_with('#')).collect();
    (done, samples.join("\n"))
}

/// `DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`.
pub(super) const NO_RECORDED_VALUE: u32 = 1;

pub(super) fn stale(point: otlp::NumberDataPoint) -> otlp::NumberDataPoint {
    otlp::NumberDataPoint {
        flags: NO_RECORDED_VALUE,
        value: None,
        ..point
    }
}

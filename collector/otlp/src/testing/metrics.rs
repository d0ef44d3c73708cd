//! Random requests with metrics, and what an independent decoder makes of them.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::metrics::v1 as otlp;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::prelude::*;
use prost::Message;

use super::{broken, id, proto_attributes, wild};
use crate::metrics::MetricKind;

/// Resources, metrics and data points of each kind.
pub(crate) type Counts = (u64, u64, [u64; 5]);

/// What is in a request, as prost has read it.
pub(crate) fn counts(request: &ExportMetricsServiceRequest) -> Counts {
    let mut points = [0; 5];
    let mut metrics = 0;
    let scopes = request.resource_metrics.iter().flat_map(|it| &it.scope_metrics);
    for metric in scopes.flat_map(|it| &it.metrics) {
        metrics += 1;
        let (kind, count) = match &metric.data {
            None => continue,
            Some(Data::Gauge(data)) => (MetricKind::Gauge, data.data_points.len()),
            Some(Data::Sum(data)) => (MetricKind::Sum, data.data_points.len()),
            Some(Data::Histogram(data)) => (MetricKind::Histogram, data.data_points.len()),
            Some(Data::ExponentialHistogram(data)) => {
                (MetricKind::ExponentialHistogram, data.data_points.len())
            }
            Some(Data::Summary(data)) => (MetricKind::Summary, data.data_points.len()),
        };
        points[kind as usize] += count as u64;
    }
    (request.resource_metrics.len() as u64, metrics, points)
}

/// Encoded requests that no encoder writes but every decoder must take, and some that none may.
pub(crate) fn wild_bytes() -> impl Strategy<Value = Vec<u8>> {
    wild("metrics_request")
}

/// Good bytes with some of them changed, cut out or cut off.
pub(crate) fn broken_bytes() -> impl Strategy<Value = Vec<u8>> {
    broken(prop_oneof![
        requests().prop_map(|request| request.encode_to_vec()),
        wild_bytes()
    ])
}

/// Requests as clients send them, with every field in use.
pub(crate) fn requests() -> impl Strategy<Value = ExportMetricsServiceRequest> {
    prop::collection::vec(resource_metrics(), 0..3)
        .prop_map(|resource_metrics| ExportMetricsServiceRequest { resource_metrics })
}

fn resource_metrics() -> impl Strategy<Value = otlp::ResourceMetrics> {
    let resource = (attributes(), 0_u32..3).prop_map(|(attributes, dropped_attributes_count)| Resource {
        attributes,
        dropped_attributes_count,
        ..Default::default()
    });
    (
        prop::option::of(resource),
        prop::collection::vec(scope_metrics(), 0..3),
        "[a-z]{0,3}",
    )
        .prop_map(|(resource, scope_metrics, schema_url)| otlp::ResourceMetrics {
            resource,
            scope_metrics,
            schema_url,
        })
}

fn scope_metrics() -> impl Strategy<Value = otlp::ScopeMetrics> {
    let scope = ("[a-z]{0,3}", "[0-9.]{0,3}", attributes(), 0_u32..3).prop_map(
        |(name, version, attributes, dropped_attributes_count)| common::InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    );
    (
        prop::option::of(scope),
        prop::collection::vec(metric(), 0..4),
        "[a-z]{0,3}",
    )
        .prop_map(|(scope, metrics, schema_url)| otlp::ScopeMetrics {
            scope,
            metrics,
            schema_url,
        })
}

fn metric() -> impl Strategy<Value = otlp::Metric> {
    let temporality = 0..4;
    let data = prop_oneof![
        list(number_point()).prop_map(|data_points| Data::Gauge(otlp::Gauge { data_points })),
        (list(number_point()), temporality.clone(), any::<bool>()).prop_map(
            |(data_points, aggregation_temporality, is_monotonic)| Data::Sum(otlp::Sum {
                data_points,
                aggregation_temporality,
                is_monotonic,
            })
        ),
        (list(histogram_point()), temporality.clone()).prop_map(|(data_points, aggregation_temporality)| {
            Data::Histogram(otlp::Histogram {
                data_points,
                aggregation_temporality,
            })
        }),
        (list(exponential_point()), temporality).prop_map(|(data_points, aggregation_temporality)| {
            Data::ExponentialHistogram(otlp::ExponentialHistogram {
                data_points,
                aggregation_temporality,
            })
        }),
        list(summary_point()).prop_map(|data_points| Data::Summary(otlp::Summary { data_points })),
    ];
    let texts = ("[a-z.]{0,8}", "\\PC{0,8}", "(|s|By|\\{x\\})");
    (texts, prop::option::weighted(0.95, data), attributes()).prop_map(
        |((name, description, unit), data, metadata)| otlp::Metric {
            name,
            description,
            unit,
            metadata,
            data,
        },
    )
}

fn number_point() -> impl Strategy<Value = otlp::NumberDataPoint> {
    use otlp::number_data_point::Value;
    let value = prop_oneof![
        double().prop_map(Value::AsDouble),
        any::<i64>().prop_map(Value::AsInt),
        Just(Value::AsInt(0)),
    ];
    (
        attributes(),
        times(),
        prop::option::of(value),
        list(exemplar()),
        0_u32..2,
    )
        .prop_map(
            |(attributes, [start, time], value, exemplars, flags)| otlp::NumberDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: time,
                exemplars,
                flags,
                value,
            },
        )
}

fn histogram_point() -> impl Strategy<Value = otlp::HistogramDataPoint> {
    let summed = (any::<u64>(), optional(), optional(), optional());
    let buckets = (
        prop::collection::vec(prop_oneof![Just(1), any::<u64>()], 0..20),
        prop::collection::vec(double(), 0..20),
    );
    (attributes(), times(), summed, buckets, list(exemplar()), 0_u32..2).prop_map(
        |(
            attributes,
            [start, time],
            (count, sum, min, max),
            (bucket_counts, explicit_bounds),
            exemplars,
            flags,
        )| {
            otlp::HistogramDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: time,
                count,
                sum,
                bucket_counts,
                explicit_bounds,
                exemplars,
                flags,
                min,
                max,
            }
        },
    )
}

fn exponential_point() -> impl Strategy<Value = otlp::ExponentialHistogramDataPoint> {
    let summed = (any::<u64>(), optional(), optional(), optional());
    let shape = (any::<i32>(), any::<u64>(), optional());
    let buckets = (prop::option::of(buckets()), prop::option::of(buckets()));
    (
        attributes(),
        times(),
        summed,
        shape,
        buckets,
        list(exemplar()),
        0_u32..2,
    )
        .prop_map(
            |(
                attributes,
                [start, time],
                (count, sum, min, max),
                shape,
                (positive, negative),
                exemplars,
                flags,
            )| {
                let (scale, zero_count, zero_threshold) = shape;
                otlp::ExponentialHistogramDataPoint {
                    attributes,
                    start_time_unix_nano: start,
                    time_unix_nano: time,
                    count,
                    sum,
                    scale,
                    zero_count,
                    positive,
                    negative,
                    flags,
                    exemplars,
                    min,
                    max,
                    zero_threshold: zero_threshold.unwrap_or_default(),
                }
            },
        )
}

fn buckets() -> impl Strategy<Value = otlp::exponential_histogram_data_point::Buckets> {
    let counts = prop::collection::vec(prop_oneof![0_u64..4, any::<u64>()], 0..20);
    (any::<i32>(), counts).prop_map(|(offset, bucket_counts)| {
        otlp::exponential_histogram_data_point::Buckets {
            offset,
            bucket_counts,
        }
    })
}

fn summary_point() -> impl Strategy<Value = otlp::SummaryDataPoint> {
    let quantile = (double(), double())
        .prop_map(|(quantile, value)| otlp::summary_data_point::ValueAtQuantile { quantile, value });
    (
        attributes(),
        times(),
        (any::<u64>(), double()),
        list(quantile),
        0_u32..2,
    )
        .prop_map(
            |(attributes, [start, time], (count, sum), quantile_values, flags)| otlp::SummaryDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: time,
                count,
                sum,
                quantile_values,
                flags,
            },
        )
}

fn exemplar() -> impl Strategy<Value = otlp::Exemplar> {
    use otlp::exemplar::Value;
    let value = prop_oneof![
        double().prop_map(Value::AsDouble),
        any::<i64>().prop_map(Value::AsInt),
    ];
    (attributes(), any::<u64>(), id(8), id(16), prop::option::of(value)).prop_map(
        |(filtered_attributes, time_unix_nano, span_id, trace_id, value)| otlp::Exemplar {
            filtered_attributes,
            time_unix_nano,
            span_id,
            trace_id,
            value,
        },
    )
}

fn list<T: std::fmt::Debug>(element: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    prop::collection::vec(element, 0..4)
}

fn times() -> impl Strategy<Value = [u64; 2]> {
    any::<[u64; 2]>()
}

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        (0_i32..100).prop_map(f64::from),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
    ]
}

fn optional() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![Just(None), Just(Some(0.0)), double().prop_map(Some)]
}

fn attributes() -> impl Strategy<Value = Vec<common::KeyValue>> {
    proto_attributes().prop_map(|attributes| {
        let decoded = attributes
            .iter()
            .map(|attribute| common::KeyValue::decode(&attribute.encode_to_vec()[..]).unwrap());
        decoded.collect()
    })
}

//! Requests with metrics as another encoder writes them in JSON.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::metrics::v1 as otlp;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message;
use serde_json::{Value, json};

use super::json::{Style, attributes_json, hex};
use crate::proto;

pub(crate) fn to_json(request: &ExportMetricsServiceRequest, style: Style) -> Value {
    let resources = list(&request.resource_metrics, |from| {
        let mut to = json!({ "schemaUrl": from.schema_url });
        to[style.name("scopeMetrics", "scope_metrics")] =
            list(&from.scope_metrics, |scope| scope_json(scope, style));
        if let Some(resource) = &from.resource {
            to["resource"] = json!({
                "attributes": attributes(&resource.attributes),
                "droppedAttributesCount": resource.dropped_attributes_count,
            });
        }
        to
    });
    let mut to = json!({});
    to[style.name("resourceMetrics", "resource_metrics")] = resources;
    to
}

fn list<T>(from: &[T], element: impl FnMut(&T) -> Value) -> Value {
    from.iter().map(element).collect()
}

fn scope_json(from: &otlp::ScopeMetrics, style: Style) -> Value {
    let metrics = list(&from.metrics, |metric| metric_json(metric, style));
    let mut to = json!({ "metrics": metrics, "schemaUrl": from.schema_url });
    if let Some(scope) = &from.scope {
        to["scope"] = json!({
            "name": scope.name,
            "version": scope.version,
            "attributes": attributes(&scope.attributes),
            "droppedAttributesCount": scope.dropped_attributes_count,
        });
    }
    to
}

fn metric_json(from: &otlp::Metric, style: Style) -> Value {
    let mut to = json!({
        "name": from.name,
        "description": from.description,
        "unit": from.unit,
        "metadata": attributes(&from.metadata),
    });
    let points = style.name("dataPoints", "data_points");
    let temporality = style.name("aggregationTemporality", "aggregation_temporality");
    match &from.data {
        None => {}
        Some(Data::Gauge(data)) => {
            to["gauge"][points] = list(&data.data_points, |point| number_json(point, style));
        }
        Some(Data::Sum(data)) => {
            to["sum"][points] = list(&data.data_points, |point| number_json(point, style));
            to["sum"][temporality] = temporality_json(data.aggregation_temporality, style);
            to["sum"]["isMonotonic"] = data.is_monotonic.into();
        }
        Some(Data::Histogram(data)) => {
            to["histogram"][points] = list(&data.data_points, |point| histogram_json(point, style));
            to["histogram"][temporality] = temporality_json(data.aggregation_temporality, style);
        }
        Some(Data::ExponentialHistogram(data)) => {
            let name = style.name("exponentialHistogram", "exponential_histogram");
            to[name][points] = list(&data.data_points, |point| exponential_json(point, style));
            to[name][temporality] = temporality_json(data.aggregation_temporality, style);
        }
        Some(Data::Summary(data)) => {
            to["summary"][points] = list(&data.data_points, |point| summary_json(point, style));
        }
    }
    to
}

fn temporality_json(number: i32, style: Style) -> Value {
    match number {
        1 if style.quoted => "AGGREGATION_TEMPORALITY_DELTA".into(),
        2 if style.quoted => "AGGREGATION_TEMPORALITY_CUMULATIVE".into(),
        number => number.into(),
    }
}

fn number_json(from: &otlp::NumberDataPoint, style: Style) -> Value {
    use otlp::number_data_point::Value::{AsDouble, AsInt};
    let mut to = point_json(&from.attributes, from.flags, style);
    to["startTimeUnixNano"] = style.number(from.start_time_unix_nano);
    to[style.name("timeUnixNano", "time_unix_nano")] = style.number(from.time_unix_nano);
    to["exemplars"] = list(&from.exemplars, |exemplar| exemplar_json(exemplar, style));
    match from.value {
        None => {}
        Some(AsDouble(value)) => to[style.name("asDouble", "as_double")] = double(value),
        Some(AsInt(value)) => to[style.name("asInt", "as_int")] = int(value, style),
    }
    to
}

fn histogram_json(from: &otlp::HistogramDataPoint, style: Style) -> Value {
    let mut to = point_json(&from.attributes, from.flags, style);
    to["startTimeUnixNano"] = style.number(from.start_time_unix_nano);
    to["timeUnixNano"] = style.number(from.time_unix_nano);
    to["count"] = style.number(from.count);
    optional(&mut to, [("sum", from.sum), ("min", from.min), ("max", from.max)]);
    to[style.name("bucketCounts", "bucket_counts")] = list(&from.bucket_counts, |it| style.number(*it));
    to[style.name("explicitBounds", "explicit_bounds")] = list(&from.explicit_bounds, |it| double(*it));
    to["exemplars"] = list(&from.exemplars, |exemplar| exemplar_json(exemplar, style));
    to
}

fn exponential_json(from: &otlp::ExponentialHistogramDataPoint, style: Style) -> Value {
    let mut to = point_json(&from.attributes, from.flags, style);
    to["startTimeUnixNano"] = style.number(from.start_time_unix_nano);
    to["timeUnixNano"] = style.number(from.time_unix_nano);
    to["count"] = style.number(from.count);
    optional(&mut to, [("sum", from.sum), ("min", from.min), ("max", from.max)]);
    to["scale"] = from.scale.into();
    to[style.name("zeroCount", "zero_count")] = style.number(from.zero_count);
    to[style.name("zeroThreshold", "zero_threshold")] = double(from.zero_threshold);
    for (name, buckets) in [("positive", &from.positive), ("negative", &from.negative)] {
        if let Some(buckets) = buckets {
            to[name]["offset"] = buckets.offset.into();
            to[name]["bucketCounts"] = list(&buckets.bucket_counts, |it| style.number(*it));
        }
    }
    to["exemplars"] = list(&from.exemplars, |exemplar| exemplar_json(exemplar, style));
    to
}

fn summary_json(from: &otlp::SummaryDataPoint, style: Style) -> Value {
    let mut to = point_json(&from.attributes, from.flags, style);
    to["startTimeUnixNano"] = style.number(from.start_time_unix_nano);
    to["timeUnixNano"] = style.number(from.time_unix_nano);
    to["count"] = style.number(from.count);
    to["sum"] = double(from.sum);
    to[style.name("quantileValues", "quantile_values")] = list(
        &from.quantile_values,
        |it| json!({ "quantile": double(it.quantile), "value": double(it.value) }),
    );
    to
}

fn exemplar_json(from: &otlp::Exemplar, style: Style) -> Value {
    use otlp::exemplar::Value::{AsDouble, AsInt};
    let mut to = json!({
        "timeUnixNano": style.number(from.time_unix_nano),
        "spanId": hex(&from.span_id),
        "traceId": hex(&from.trace_id),
    });
    to[style.name("filteredAttributes", "filtered_attributes")] = attributes(&from.filtered_attributes);
    match from.value {
        None => {}
        Some(AsDouble(value)) => to["asDouble"] = double(value),
        Some(AsInt(value)) => to["asInt"] = int(value, style),
    }
    to
}

fn point_json(from: &[common::KeyValue], flags: u32, style: Style) -> Value {
    json!({ "attributes": attributes(from), "flags": style.number(flags.into()) })
}

fn attributes(from: &[common::KeyValue]) -> Value {
    let ours: Vec<_> = from
        .iter()
        .map(|attribute| proto::KeyValue::decode(&attribute.encode_to_vec()[..]).unwrap())
        .collect();
    attributes_json(&ours)
}

fn optional(to: &mut Value, numbers: [(&str, Option<f64>); 3]) {
    for (name, number) in numbers {
        if let Some(number) = number {
            to[name] = double(number);
        }
    }
}

fn int(value: i64, style: Style) -> Value {
    if style.quoted {
        value.to_string().into()
    } else {
        value.into()
    }
}

fn double(value: f64) -> Value {
    match value {
        value if value.is_finite() => value.into(),
        value if value.is_nan() => "NaN".into(),
        value if value > 0.0 => "Infinity".into(),
        _ => "-Infinity".into(),
    }
}

//! Requests with metrics.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint,
};
use proptest::prelude::*;
use prost::Message;

use crate::json::{JsonError, metrics_bytes_max, metrics_json_to_protobuf};
use crate::testing::json::Style;
use crate::testing::metrics::requests;
use crate::testing::metrics_json::to_json;

fn transcoded(json: &[u8]) -> Result<ExportMetricsServiceRequest, JsonError> {
    let mut out = b"before".to_vec();
    let result = metrics_json_to_protobuf(json, &mut out);
    assert_eq!(&out[..6], b"before");
    assert!(out.len() - 6 <= metrics_bytes_max(json), "{} bytes", out.len());
    assert!(result.is_ok() || out.len() == 6);
    result.map(|()| {
        crate::metrics::check(&out[6..]).unwrap();
        ExportMetricsServiceRequest::decode(&out[6..]).unwrap()
    })
}

/// A request with one metric of these fields.
fn metric_json(fields: &str) -> String {
    format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{{fields}}}]}}]}}]}}"#)
}

fn metric(fields: &str) -> Metric {
    match transcoded(metric_json(fields).as_bytes()) {
        Ok(mut request) => request.resource_metrics[0].scope_metrics[0].metrics.remove(0),
        Err(error) => panic!("{fields}: {error}"),
    }
}

fn number(fields: &str) -> NumberDataPoint {
    match metric(&format!(r#""gauge":{{"dataPoints":[{{{fields}}}]}}"#)).data {
        Some(Data::Gauge(mut gauge)) => gauge.data_points.remove(0),
        other => panic!("{fields}: {other:?}"),
    }
}

fn histogram(fields: &str) -> HistogramDataPoint {
    match metric(&format!(r#""histogram":{{"dataPoints":[{{{fields}}}]}}"#)).data {
        Some(Data::Histogram(mut histogram)) => histogram.data_points.remove(0),
        other => panic!("{fields}: {other:?}"),
    }
}

fn exponential(fields: &str) -> ExponentialHistogramDataPoint {
    match metric(&format!(
        r#""exponentialHistogram":{{"dataPoints":[{{{fields}}}]}}"#
    ))
    .data
    {
        Some(Data::ExponentialHistogram(mut histogram)) => histogram.data_points.remove(0),
        other => panic!("{fields}: {other:?}"),
    }
}

fn refused(fields: &str) -> JsonError {
    match transcoded(metric_json(fields).as_bytes()) {
        Ok(request) => panic!("{fields} was taken: {request:?}"),
        Err(error) => error,
    }
}

#[test]
fn whole_numbers_may_be_in_quotes_and_zero_is_a_value() {
    assert_eq!(
        number(r#""asInt":"-9223372036854775808""#).value,
        Some(Number::AsInt(i64::MIN))
    );
    assert_eq!(number(r#""asInt":7"#).value, Some(Number::AsInt(7)));
    assert_eq!(number(r#""asInt":0"#).value, Some(Number::AsInt(0)));
    assert_eq!(number(r#""asDouble":0"#).value, Some(Number::AsDouble(0.0)));
    assert_eq!(number("").value, None);
    let point = histogram(r#""sum":0,"max":0.5,"count":"18446744073709551615""#);
    assert_eq!((point.sum, point.min, point.max), (Some(0.0), None, Some(0.5)));
    assert_eq!(point.count, u64::MAX);
    assert_eq!(exponential(r#""scale":-11"#).scale, -11);
    assert_eq!(exponential(r#""scale":"2147483647""#).scale, i32::MAX);
    assert_eq!(
        exponential(r#""positive":{"offset":-2147483648,"bucketCounts":["1",2]}"#)
            .positive
            .map(|it| (it.offset, it.bucket_counts)),
        Some((i32::MIN, vec![1, 2]))
    );
}

#[test]
fn numbers_that_json_does_not_know_come_in_quotes() {
    for (text, value) in [
        ("NaN", f64::NAN),
        ("Infinity", f64::INFINITY),
        ("-Infinity", f64::NEG_INFINITY),
    ] {
        let Some(Number::AsDouble(read)) = number(&format!(r#""asDouble":"{text}""#)).value else {
            panic!("{text}");
        };
        assert!(read == value || read.is_nan() && value.is_nan(), "{text}");
    }
    let bounds = histogram(r#""explicitBounds":[1,2.5,"Infinity"]"#).explicit_bounds;
    assert_eq!(bounds, [1.0, 2.5, f64::INFINITY]);
}

#[test]
fn temporality_comes_by_name_or_number() {
    let temporality = |json: &str| match metric(&format!(r#""sum":{{"aggregationTemporality":{json}}}"#)).data
    {
        Some(Data::Sum(sum)) => sum.aggregation_temporality,
        other => panic!("{other:?}"),
    };
    assert_eq!(temporality("1"), 1);
    assert_eq!(temporality("\"2\""), 2);
    assert_eq!(temporality("\"AGGREGATION_TEMPORALITY_CUMULATIVE\""), 2);
    refused(r#""sum":{"aggregationTemporality":"CUMULATIVE"}"#);
}

#[test]
fn of_several_kinds_the_last_stands() {
    assert!(matches!(
        metric(r#""gauge":{},"sum":{"isMonotonic":true},"histogram":null"#).data,
        Some(Data::Sum(_))
    ));
    assert!(matches!(
        metric(r#""sum":{},"gauge":{},"sum":{}"#).data,
        Some(Data::Sum(_))
    ));
    assert_eq!(
        number(r#""asInt":1,"asDouble":2,"asInt":null"#).value,
        Some(Number::AsDouble(2.0))
    );
}

#[test]
fn an_exemplar_keeps_its_trace() {
    let point = number(
        r#""exemplars":[{"timeUnixNano":"5","asDouble":1.5,"spanId":"00010203040506Ff",
           "traceId":"000102030405060708090a0b0c0d0e0f","filteredAttributes":[{"key":"k"}]}]"#,
    );
    let exemplar = &point.exemplars[0];
    assert_eq!((exemplar.span_id[7], exemplar.trace_id[15]), (255, 15));
    assert_eq!(
        (exemplar.time_unix_nano, exemplar.filtered_attributes.len()),
        (5, 1)
    );
    refused(r#""gauge":{"dataPoints":[{"exemplars":[{"traceId":"00"}]}]}"#);
}

/// `null` is an absent value elsewhere; here it would move counts to another bucket.
#[test]
fn a_list_of_numbers_has_numbers_only() {
    assert_eq!(histogram(r#""bucketCounts":null"#).bucket_counts, [] as [u64; 0]);
    assert_eq!(histogram(r#""bucketCounts":[]"#).bucket_counts, [] as [u64; 0]);
    for list in ["[1,null]", "[-1]", "[1.5]", "[\"x\"]", "1", "[1,]"] {
        refused(&format!(
            r#""histogram":{{"dataPoints":[{{"bucketCounts":{list}}}]}}"#
        ));
    }
    let error = refused(r#""histogram":{"dataPoints":[{},{"bucketCounts":[1,null]}]}"#);
    assert_eq!(
        error.path,
        "$.resourceMetrics[0].scopeMetrics[0].metrics[0].histogram.dataPoints[1].bucketCounts[1]"
    );
}

#[test]
fn lists_of_small_numbers_stay_within_the_room_that_is_asked_for() {
    for digits in ["0", "1,1", &vec!["1"; 1000].join(",")] {
        histogram(&format!(
            r#""bucketCounts":[{digits}],"explicitBounds":[{digits}]"#
        ));
    }
    let points = vec![r#"{"sum":1,"min":1,"max":1}"#; 1000].join(",");
    metric(&format!(r#""histogram":{{"dataPoints":[{points}]}}"#));
    let points = vec![r#"{"sum":1}"#; 1000].join(",");
    metric(&format!(r#""histogram":{{"dataPoints":[{points}]}}"#));
    let quantiles = vec![r#"{"value":1}"#; 1000].join(",");
    metric(&format!(
        r#""summary":{{"dataPoints":[{{"quantileValues":[{quantiles}]}}]}}"#
    ));
}

proptest! {
    #[test]
    fn json_of_a_request_becomes_that_request(request in requests(), snake: bool, quoted: bool, pretty: bool) {
        let json = to_json(&request, Style { snake, quoted });
        let json = if pretty { serde_json::to_vec_pretty(&json) } else { serde_json::to_vec(&json) }.unwrap();
        let transcoded = transcoded(&json).unwrap();
        // Printed, since no NaN equals another.
        prop_assert_eq!(format!("{transcoded:?}"), format!("{request:?}"));
    }

    #[test]
    fn broken_json_never_panics(
        request in requests(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..4), 1..4),
    ) {
        let mut json = serde_json::to_vec(&to_json(&request, Style { snake: false, quoted: true })).unwrap();
        for (index, byte, change) in changes {
            let at = index.index(json.len());
            match change {
                0 => json[at] = byte,
                1 => json[at] = b"{}[]\",:\\u0-."[usize::from(byte) % 12],
                2 if json.len() > 1 => drop(json.remove(at)),
                _ => json.truncate(at.max(1)),
            }
        }
        let mut out = Vec::new();
        match metrics_json_to_protobuf(&json, &mut out) {
            Ok(()) => {
                crate::metrics::check(&out).unwrap();
                prop_assert!(out.len() <= metrics_bytes_max(&json));
            }
            Err(error) => prop_assert!(error.offset <= json.len()),
        }
    }
}

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::metrics::check;
use crate::testing::metrics::{broken_bytes, requests, wild_bytes};

fn parts(request: &[u8], bounds: PartBounds) -> Vec<Vec<u8>> {
    let mut parts = Parts::new(request, bounds);
    let mut all = Vec::new();
    while let Some(part) = parts.next_part() {
        all.push(part.to_vec());
    }
    all
}

/// Every data point, with all that stands around it.
fn points(request: &[u8]) -> Vec<String> {
    let request = ExportMetricsServiceRequest::decode(request).unwrap();
    let mut points = Vec::new();
    for mut resource in request.resource_metrics {
        for mut scope in std::mem::take(&mut resource.scope_metrics) {
            for metric in std::mem::take(&mut scope.metrics) {
                let (around, all) = taken_apart(metric);
                let around = format!("{around:?} in {scope:?} in {resource:?}");
                points.extend(all.into_iter().map(|point| format!("{point} of {around}")));
            }
        }
    }
    points
}

fn taken_apart(mut metric: Metric) -> (Metric, Vec<String>) {
    fn texts<T: std::fmt::Debug>(points: &mut Vec<T>) -> Vec<String> {
        points.drain(..).map(|point| format!("{point:?}")).collect()
    }
    let points = match &mut metric.data {
        None => Vec::new(),
        Some(Data::Gauge(data)) => texts(&mut data.data_points),
        Some(Data::Sum(data)) => texts(&mut data.data_points),
        Some(Data::Histogram(data)) => texts(&mut data.data_points),
        Some(Data::ExponentialHistogram(data)) => texts(&mut data.data_points),
        Some(Data::Summary(data)) => texts(&mut data.data_points),
    };
    (metric, points)
}

fn bounds() -> impl Strategy<Value = PartBounds> {
    (0_usize..600, 0_usize..2000).prop_map(|(bytes_max, spread_max)| PartBounds {
        bytes_max,
        spread_max,
    })
}

proptest! {
    #[test]
    fn parts_have_the_points_of_the_whole(
        request in prop_oneof![requests().prop_map(|request| request.encode_to_vec()), wild_bytes()],
        bounds in bounds(),
    ) {
        prop_assume!(ExportMetricsServiceRequest::decode(&request[..]).is_ok());
        let parts = parts(&request, bounds);
        let together: Vec<String> = parts.iter().flat_map(|part| points(part)).collect();
        prop_assert_eq!(together, points(&request));
    }

    #[test]
    fn parts_are_within_their_bounds_or_one_point(request in requests(), bounds in bounds()) {
        for part in parts(&request.encode_to_vec(), bounds) {
            let counted = check(&part).unwrap();
            let mut decoded = ExportMetricsServiceRequest::decode(&part[..]).unwrap();
            prop_assert_eq!(decoded.resource_metrics.len(), 1);
            prop_assert_eq!(decoded.resource_metrics[0].scope_metrics.len(), 1);
            let resource = &mut decoded.resource_metrics[0];
            let metrics = std::mem::take(&mut resource.scope_metrics[0].metrics);
            let around = resource.encoded_len().saturating_sub(16);
            let bytes_max = bounds.bytes_max.min(bounds.spread_max / around.max(1) * SERIES_BYTES_MIN);
            if metrics.len() > 1 {
                let bytes: usize = metrics.iter().map(Message::encoded_len).sum();
                prop_assert!(bytes <= bytes_max, "{} bytes", bytes);
            } else if counted.points > 1 {
                let (_, points) = taken_apart(metrics[0].clone());
                prop_assert!(points.len() <= bytes_max, "{} points", points.len());
            }
        }
    }

    #[test]
    fn broken_bytes_never_panic(bytes in broken_bytes(), bounds in bounds()) {
        parts(&bytes, bounds);
    }
}

#[test]
fn a_short_request_is_one_part_as_it_is() {
    let metric = |name: &[u8]| {
        let (mut point, mut data, mut metric, mut record) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        put_bytes(POINT, &[0x19, 1, 0, 0, 0, 0, 0, 0, 0], &mut point);
        data.extend_from_slice(&point);
        put_bytes(1, name, &mut metric);
        put_bytes(5, &data, &mut metric);
        put_bytes(METRIC, &metric, &mut record);
        record
    };
    let (mut scope, mut request) = (Vec::new(), Vec::new());
    put_bytes(SCOPE, &[metric(b"a"), metric(b"b")].concat(), &mut scope);
    put_bytes(RESOURCE, &scope, &mut request);
    let bounds = PartBounds {
        bytes_max: 1000,
        spread_max: 1000,
    };
    assert_eq!(parts(&request, bounds), [request.clone()]);
    let one_by_one = PartBounds {
        bytes_max: 0,
        spread_max: 1000,
    };
    assert_eq!(parts(&request, one_by_one).len(), 2);
}

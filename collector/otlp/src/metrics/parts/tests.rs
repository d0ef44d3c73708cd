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

/// Nothing is passed over.
const WIDE: PartBounds = PartBounds {
    bytes_max: 1000,
    spread_max: 1000,
    around_max: usize::MAX,
    repeated_max: usize::MAX / 2,
};

fn bounds() -> impl Strategy<Value = PartBounds> {
    (0_usize..600, 0_usize..2000).prop_map(|(bytes_max, spread_max)| PartBounds {
        bytes_max,
        spread_max,
        ..WIDE
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
    fn parts_have_no_more_points_than_asked_for_each_time(
        request in requests(),
        sizes in proptest::collection::vec(1_u64..6, 1..20),
    ) {
        let request = request.encode_to_vec();
        let unbounded = PartBounds {
            bytes_max: usize::MAX,
            spread_max: usize::MAX,
            ..WIDE
        };
        let mut parts = Parts::new(&request, unbounded);
        let mut together = Vec::new();
        for size in sizes.iter().cycle() {
            let Some(part) = parts.next_part_of(*size) else { break };
            prop_assert!(check(part).unwrap().points <= *size);
            together.extend(points(part));
        }
        prop_assert_eq!(together, points(&request));
    }

    #[test]
    fn what_is_passed_over_is_counted_and_the_rest_is_given(
        request in requests(),
        around_max in 0_usize..200,
        repeated_max in 0_usize..2000,
    ) {
        let request = request.encode_to_vec();
        let mut parts = Parts::new(&request, PartBounds { around_max, repeated_max, ..WIDE });
        let (mut given, mut around) = (0, 0);
        while let Some(part) = parts.next_part() {
            let counted = check(part).unwrap();
            given += counted.points;
            if counted.points == 1 {
                around += part.len();
            }
        }
        prop_assert_eq!(given + parts.passed_over(), check(&request).unwrap().points);
        prop_assert!(around <= repeated_max + request.len() * 4, "{} bytes", around);
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
    assert_eq!(parts(&request, WIDE), [request.clone()]);
    let one_by_one = PartBounds { bytes_max: 0, ..WIDE };
    assert_eq!(parts(&request, one_by_one).len(), 2);
}

/// A request of one resource with this attribute, and as many scopes as there are texts, each a list of records of metrics.
fn request_of(resource: &[u8], scopes: &[Vec<u8>]) -> Vec<u8> {
    let (mut attribute, mut below, mut request) = (Vec::new(), Vec::new(), Vec::new());
    put_bytes(1, resource, &mut attribute);
    let mut attributes = Vec::new();
    put_bytes(1, &attribute, &mut attributes);
    put_bytes(1, &attributes, &mut below);
    for scope in scopes {
        put_bytes(SCOPE, scope, &mut below);
    }
    put_bytes(RESOURCE, &below, &mut request);
    request
}

/// A gauge with this description and so many points without anything in them.
fn gauge(description: &[u8], points: usize) -> Vec<u8> {
    let (mut metric, mut record) = (Vec::new(), Vec::new());
    put_bytes(2, description, &mut metric);
    put_bytes(5, &[10, 0].repeat(points), &mut metric);
    put_bytes(METRIC, &metric, &mut record);
    record
}

#[test]
fn what_stands_around_many_points_is_not_repeated_without_end() {
    const MIB: usize = 1 << 20;
    let bounds = PartBounds {
        bytes_max: 32 * 1024,
        spread_max: 4 * MIB,
        around_max: 64 * 1024,
        repeated_max: 64 * MIB,
    };
    let scopes_of_one: Vec<Vec<u8>> = std::iter::repeat_n(gauge(b"", 1), 100_000).collect();
    for (case, request, points, passed_over) in [
        (
            "a resource of megabytes",
            request_of(&vec![b'a'; 4 * MIB], &[gauge(b"", 1_000_000)]),
            1_000_000,
            1_000_000..1_000_001,
        ),
        (
            "a description of megabytes",
            request_of(
                b"a",
                &[[gauge(&vec![b'a'; 4 * MIB], 1_000_000), gauge(b"", 10)].concat()],
            ),
            1_000_010,
            1_000_000..1_000_001,
        ),
        (
            "a large resource and many scopes",
            request_of(&vec![b'a'; 32 * 1024], &scopes_of_one),
            100_000,
            97_000..99_000,
        ),
        (
            "a resource of usual size and many scopes",
            request_of(&[b'a'; 500], &scopes_of_one),
            100_000,
            0..1,
        ),
    ] {
        assert_eq!(check(&request).unwrap().points, points, "{case}");
        let mut parts = Parts::new(&request, bounds);
        let (mut given, mut bytes) = (0, 0);
        while let Some(part) = parts.next_part() {
            given += check(part).unwrap().points;
            bytes += part.len();
        }
        assert!(
            passed_over.contains(&parts.passed_over()),
            "{case}: {}",
            parts.passed_over()
        );
        assert_eq!(given + parts.passed_over(), points, "{case}");
        assert!(bytes <= 2 * bounds.repeated_max, "{case}: {bytes}");
    }
}

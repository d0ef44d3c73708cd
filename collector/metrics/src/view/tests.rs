//! The views beside prost's reading of the same bytes.

use opentelemetry_proto::tonic::metrics::v1 as otlp;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets as OtlpBuckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use proptest::prelude::*;
use prost::Message;
use tracepipe_otlp::wire::{put_bytes, put_varint};

use super::*;
use crate::testing::{every_kind, text};

/// A field of eight bytes.
fn put_fixed64(field: u8, bits: u64, out: &mut Vec<u8>) {
    out.push(field << 3 | 1);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// The metrics of a request of one resource and one scope, as the views show them.
fn metrics(request: &[u8]) -> Vec<Metric<'_>> {
    resources(request)
        .flat_map(|resource| resource.scopes())
        .flat_map(|scope| scope.metrics())
        .collect()
}

/// A metric alone in a request.
fn request_of(metric: &[u8]) -> Vec<u8> {
    let [mut scope, mut resource, mut request] = [const { Vec::new() }; 3];
    put_bytes(2, metric, &mut scope);
    put_bytes(2, &scope, &mut resource);
    put_bytes(1, &resource, &mut request);
    request
}

#[test]
fn resources_scopes_and_metrics_are_read_as_prost_reads_them() {
    let decoded = every_kind();
    let bytes = decoded.encode_to_vec();
    let read: Vec<_> = resources(&bytes).collect();
    assert_eq!(read.len(), 1);
    let keys: Vec<_> = read[0].attributes().map(|attribute| attribute.key).collect();
    assert_eq!(keys, [&b"service.name"[..], b"service.instance.id", b"host.name"]);
    let scopes: Vec<_> = read[0].scopes().collect();
    assert_eq!(
        (scopes[0].name, scopes[0].version),
        (&b"library"[..], &b"1.2"[..])
    );
    assert_eq!(scopes[0].schema_url, b"https://schema");
    assert_eq!(scopes[0].attributes().count(), 2);
    let expected = &decoded.resource_metrics[0].scope_metrics[0].metrics;
    let metrics: Vec<_> = scopes[0].metrics().collect();
    assert_eq!(metrics.len(), expected.len());
    for (metric, expected) in metrics.iter().zip(expected) {
        assert_eq!(metric.name, expected.name.as_bytes());
        assert_eq!(metric.unit, expected.unit.as_bytes());
        assert_eq!(metric.description, expected.description.as_bytes());
        assert_eq!(metric.points().count(), 1);
    }
    let (delta, cumulative) = (Temporality::Delta, Temporality::Cumulative);
    let sum = |temporality, is_monotonic| Kind::Sum {
        temporality,
        is_monotonic,
    };
    let kinds: Vec<_> = metrics.iter().filter_map(|metric| metric.kind).collect();
    assert_eq!(
        kinds,
        [
            Kind::Gauge,
            sum(cumulative, true),
            sum(delta, true),
            sum(delta, false),
            Kind::Histogram {
                temporality: cumulative
            },
            Kind::Histogram { temporality: delta },
            Kind::ExponentialHistogram {
                temporality: cumulative
            },
            Kind::ExponentialHistogram { temporality: delta },
            Kind::Summary,
        ]
    );
}

#[test]
fn numbers_that_are_not_packed_are_read_too_and_both_may_be_mixed() {
    let packed: Vec<u8> = [1_u64, 2].iter().flat_map(|count| count.to_le_bytes()).collect();
    let mut point = Vec::new();
    put_fixed64(6, 7, &mut point);
    put_bytes(6, &packed, &mut point);
    put_fixed64(7, 1.5_f64.to_bits(), &mut point);
    put_fixed64(6, 8, &mut point);
    put_bytes(6, &packed, &mut point);
    let read = HistogramPoint::read(&point);
    assert_eq!(read.bucket_counts.iter().collect::<Vec<_>>(), [7, 1, 2, 8, 1, 2]);
    assert_eq!(read.bucket_counts.len(), 6);
    assert_eq!(
        read.explicit_bounds
            .iter()
            .map(f64::from_bits)
            .collect::<Vec<_>>(),
        [1.5]
    );

    let mut buckets = vec![2 << 3, 5];
    put_bytes(2, &[1, 0x80, 1], &mut buckets);
    buckets.extend_from_slice(&[2 << 3, 6]);
    let mut point = Vec::new();
    put_bytes(8, &buckets, &mut point);
    let read = ExponentialPoint::read(&point);
    assert_eq!(read.positive.counts.iter().collect::<Vec<_>>(), [5, 1, 128, 6]);
}

#[test]
fn unknown_fields_and_known_ones_of_a_wrong_type_are_skipped() {
    let mut point = vec![3 << 3, 9];
    put_varint(100 << 3 | 3, &mut point);
    put_fixed64(3, 1, &mut point);
    put_varint(100 << 3 | 4, &mut point);
    put_bytes(99, b"unknown", &mut point);
    put_fixed64(3, 2, &mut point);
    put_fixed64(6, 5, &mut point);
    assert_eq!(NumberPoint::read(&point).time_unix_nano, 2);
    assert_eq!(NumberPoint::read(&point).value, Some(Number::Int(5)));
}

#[test]
fn of_malformed_bytes_what_stands_before_the_fault_is_read() {
    let mut point = Vec::new();
    put_fixed64(3, 2, &mut point);
    put_bytes(7, &text("a", "1").encode_to_vec(), &mut point);
    point.extend_from_slice(&[7 << 3 | 2, 200, 1]);
    let read = NumberPoint::read(&point);
    assert_eq!(read.time_unix_nano, 2);
    assert_eq!(read.attributes().iter().count(), 1);
}

#[test]
fn attributes_may_stand_apart() {
    let mut point = Vec::new();
    for key in ["a", "b", "c"] {
        put_bytes(7, &text(key, "1").encode_to_vec(), &mut point);
        put_fixed64(3, 2, &mut point);
    }
    let keys: Vec<_> = NumberPoint::read(&point)
        .attributes()
        .iter()
        .map(|it| it.key.to_vec())
        .collect();
    assert_eq!(keys, [b"a", b"b", b"c"]);
}

#[test]
fn of_several_kinds_the_last_stands_and_one_kind_may_come_in_parts() {
    let point = otlp::NumberDataPoint {
        time_unix_nano: 1,
        ..otlp::NumberDataPoint::default()
    };
    let mut one = Vec::new();
    put_bytes(1, &point.encode_to_vec(), &mut one);
    let mut cumulative = one.clone();
    cumulative.extend_from_slice(&[2 << 3, 2]);
    let mut metric = Vec::new();
    put_bytes(5, &one, &mut metric);
    put_bytes(7, &cumulative, &mut metric);
    put_bytes(1, b"name", &mut metric);
    put_bytes(7, &one, &mut metric);
    let request = request_of(&metric);
    let read = metrics(&request);
    assert_eq!(read[0].name, b"name");
    assert_eq!(
        read[0].kind,
        Some(Kind::Sum {
            temporality: Temporality::Cumulative,
            is_monotonic: false
        })
    );
    let counted = tracepipe_otlp::metrics::check(&request).unwrap();
    assert_eq!((read[0].points().count(), counted.points), (2, 2));
}

#[test]
fn a_metric_without_data_has_no_kind() {
    let mut metric = Vec::new();
    put_bytes(1, b"name", &mut metric);
    let request = request_of(&metric);
    assert_eq!(metrics(&request)[0].kind, None);
}

fn arbitrary_exponential() -> impl Strategy<Value = otlp::ExponentialHistogramDataPoint> {
    let buckets =
        (any::<i32>(), prop::collection::vec(any::<u64>(), 0..20)).prop_map(|(offset, bucket_counts)| {
            OtlpBuckets {
                offset,
                bucket_counts,
            }
        });
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
    let others = (any::<i32>(), prop::option::of(-1e9..1e9), any::<u32>(), 0.0..1.0);
    (
        numbers,
        others,
        prop::option::of(buckets.clone()),
        prop::option::of(buckets),
    )
        .prop_map(
            |((start, time, count, zero_count), (scale, sum, flags, zero_threshold), positive, negative)| {
                otlp::ExponentialHistogramDataPoint {
                    start_time_unix_nano: start,
                    time_unix_nano: time,
                    count,
                    zero_count,
                    scale,
                    sum,
                    flags,
                    zero_threshold,
                    positive,
                    negative,
                    ..otlp::ExponentialHistogramDataPoint::default()
                }
            },
        )
}

proptest! {
    #[test]
    fn exponential_points_are_read_as_prost_wrote_them(point in arbitrary_exponential()) {
        let bytes = point.encode_to_vec();
        let read = ExponentialPoint::read(&bytes);
        prop_assert_eq!(
            (read.start_time_unix_nano, read.time_unix_nano, read.count, read.zero_count),
            (point.start_time_unix_nano, point.time_unix_nano, point.count, point.zero_count)
        );
        prop_assert_eq!(
            (read.scale, read.sum, read.is_stale, read.zero_threshold),
            (point.scale, point.sum, point.flags & 1 == 1, point.zero_threshold)
        );
        for (read, buckets) in [(read.positive, point.positive), (read.negative, point.negative)] {
            let buckets = buckets.unwrap_or_default();
            prop_assert_eq!(read.offset, buckets.offset);
            prop_assert_eq!(read.counts.iter().collect::<Vec<_>>(), buckets.bucket_counts);
        }
    }

    #[test]
    fn histogram_points_are_read_as_prost_wrote_them(
        bucket_counts in prop::collection::vec(any::<u64>(), 0..20),
        explicit_bounds in prop::collection::vec(-1e9..1e9, 0..20),
        numbers: (u64, u64, u64),
        sum in prop::option::of(-1e9..1e9),
        flags: u32,
    ) {
        let point = otlp::HistogramDataPoint {
            start_time_unix_nano: numbers.0,
            time_unix_nano: numbers.1,
            count: numbers.2,
            sum,
            flags,
            bucket_counts,
            explicit_bounds,
            ..otlp::HistogramDataPoint::default()
        };
        let bytes = point.encode_to_vec();
        let read = HistogramPoint::read(&bytes);
        prop_assert_eq!((read.start_time_unix_nano, read.time_unix_nano, read.count), numbers);
        prop_assert_eq!((read.sum, read.is_stale), (point.sum, flags & 1 == 1));
        prop_assert_eq!(read.bucket_counts.iter().collect::<Vec<_>>(), point.bucket_counts);
        let bounds: Vec<_> = read.explicit_bounds.iter().map(f64::from_bits).collect();
        prop_assert_eq!(bounds, point.explicit_bounds);
    }

    /// Where prost can read the bytes, the views see as many points.
    #[test]
    fn as_many_points_are_seen_as_prost_sees(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
        let mut bytes = every_kind().encode_to_vec();
        for (place, byte) in &changes {
            let place = place.index(bytes.len());
            bytes[place] = *byte;
        }
        let Ok(decoded) = opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest::decode(bytes.as_slice()) else {
            return Ok(());
        };
        let expected: usize = decoded
            .resource_metrics
            .iter()
            .flat_map(|resource| &resource.scope_metrics)
            .flat_map(|scope| &scope.metrics)
            .map(|metric| match &metric.data {
                Some(Data::Gauge(data)) => data.data_points.len(),
                Some(Data::Sum(data)) => data.data_points.len(),
                Some(Data::Histogram(data)) => data.data_points.len(),
                Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
                Some(Data::Summary(data)) => data.data_points.len(),
                None => 0,
            })
            .sum();
        let seen: usize = metrics(&bytes).iter().map(|metric| metric.points().count()).sum();
        prop_assert_eq!(seen, expected);
    }
}

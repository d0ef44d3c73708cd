//! Exponential histograms to native ones.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::metrics::v1 as otlp;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use proptest::prelude::*;

use crate::DropReason;
use crate::testing::*;

fn one(point: otlp::ExponentialHistogramDataPoint) -> String {
    let shown = Bench::new(&settings()).send_metric(exponential("h", CUMULATIVE, vec![point]));
    shown.into_values().flatten().map(|(_, value)| value).collect()
}

fn dropped(point: otlp::ExponentialHistogramDataPoint, reason: DropReason) {
    let mut bench = Bench::new(&settings());
    let shown = bench.send_metric(exponential("h", CUMULATIVE, vec![point]));
    assert!(shown.is_empty());
    assert_eq!(bench.done.dropped.of(reason), 1, "{reason:?}");
}

#[test]
fn a_bucket_is_counted_by_its_upper_bound() {
    assert_eq!(
        one(exponents(NOW, 3, 0, &[7])),
        "schema 3 count 7 sum 70 zeros 0 {1:7}"
    );
    assert_eq!(
        one(exponents(NOW, -4, -3, &[7, 0, 1])),
        "schema -4 count 8 sum 80 zeros 0 {-2:7 0:1}"
    );
}

#[test]
fn both_halves_and_the_zeros_are_there() {
    let mut point = exponents(NOW, 0, 2, &[1, 2]);
    point.negative = Some(Buckets {
        offset: 5,
        bucket_counts: vec![4],
    });
    point.zero_count = 3;
    point.count = 10;
    assert_eq!(one(point), "schema 0 count 10 sum 30 zeros 3 {-6:4 3:1 4:2}");
}

#[test]
fn the_zero_threshold_is_the_senders_or_a_default_and_the_reset_hint_unknown() {
    for (given, expected) in [(0.0, 1e-128), (1e-6, 1e-6)] {
        let mut point = exponents(NOW, 0, 0, &[1]);
        point.zero_threshold = given;
        let mut bench = Bench::new(&settings());
        let out = bench.send_raw(&request(
            service(),
            vec![exponential("h", CUMULATIVE, vec![point])],
        ));
        assert!(out[0].is_histogram());
        let histogram = &decoded(&out)[0].histograms[0];
        assert_eq!(
            (
                histogram.zero_threshold,
                histogram.reset_hint,
                histogram.timestamp
            ),
            (expected, 0, NOW)
        );
    }
}

/// What upstream writes as `{1:5 2:6}` (`convertBucketsLayout`): a group of empty buckets before one of two.
#[test]
fn an_empty_group_before_a_full_one_does_not_split_it() {
    assert_eq!(
        one(exponents(NOW, 9, 0, &[0, 0, 5, 6])),
        "schema 8 count 11 sum 110 zeros 0 {2:11}"
    );
}

#[test]
fn scales_above_eight_are_merged_down_by_index_below_zero_too() {
    assert_eq!(
        one(exponents(NOW, 10, -3, &[1, 1, 1, 1, 1])),
        "schema 8 count 5 sum 50 zeros 0 {0:3 1:2}"
    );
    assert_eq!(
        one(exponents(NOW, 20, i32::MIN, &[1])),
        "schema 8 count 1 sum 10 zeros 0 {-524287:1}"
    );
}

#[test]
fn small_gaps_are_filled_and_large_ones_begin_a_span() {
    let mut bench = Bench::new(&settings());
    let counts = [1, 0, 0, 2, 0, 0, 0, 3];
    let point = exponents(NOW, 0, 4, &counts);
    let out = bench.send_raw(&request(
        service(),
        vec![exponential("h", CUMULATIVE, vec![point])],
    ));
    let histogram = &decoded(&out)[0].histograms[0];
    let spans: Vec<_> = histogram
        .positive_spans
        .iter()
        .map(|span| (span.offset, span.length))
        .collect();
    assert_eq!(spans, [(5, 4), (3, 1)]);
    assert_eq!(histogram.positive_deltas, [1, -1, 0, 2, 1]);
}

#[test]
fn leading_and_trailing_empty_buckets_are_left_out() {
    let mut bench = Bench::new(&settings());
    let point = exponents(NOW, 0, -2, &[0, 0, 0, 1, 0, 0]);
    let out = bench.send_raw(&request(
        service(),
        vec![exponential("h", CUMULATIVE, vec![point])],
    ));
    let histogram = &decoded(&out)[0].histograms[0];
    assert_eq!(histogram.positive_deltas, [1]);
    assert_eq!(histogram.positive_spans[0].offset, 2);
}

#[test]
fn a_histogram_of_nothing_is_a_histogram() {
    assert_eq!(
        one(exponents(NOW, 0, 0, &[])),
        "schema 0 count 0 sum 0 zeros 0 {}"
    );
}

#[test]
fn more_populated_buckets_than_allowed_halve_the_resolution() {
    let mut settings = settings();
    settings.max_native_buckets = 4;
    let mut bench = Bench::new(&settings);
    let shown = bench.send_metric(exponential("h", CUMULATIVE, vec![exponents(NOW, 2, 0, &[1; 12])]));
    assert_eq!(
        lines(&shown),
        ["h{job=shop} schema 0 count 12 sum 120 zeros 0 {1:4 2:4 3:4}@0"]
    );
    let too_wide: Vec<u64> = (0..100).map(|_| 1).collect();
    bench.send_metric(exponential(
        "h",
        CUMULATIVE,
        vec![exponents(NOW + 1, -4, 0, &too_wide)],
    ));
    assert_eq!(bench.done.dropped.of(DropReason::Scale), 1);
}

#[test]
fn what_no_native_histogram_can_say_is_dropped() {
    dropped(exponents(NOW, -5, 0, &[1]), DropReason::Scale);
    let mut without_sum = exponents(NOW, 0, 0, &[1]);
    without_sum.sum = None;
    dropped(without_sum, DropReason::NoSum);
    let mut miscounted = exponents(NOW, 0, 0, &[1]);
    miscounted.count = 2;
    dropped(miscounted, DropReason::Buckets);
    let mut no_threshold = exponents(NOW, 0, 0, &[1]);
    no_threshold.zero_threshold = f64::NAN;
    dropped(no_threshold, DropReason::Buckets);
    dropped(exponents(NOW, 0, i32::MAX, &[1]), DropReason::Scale);
    let mut overflow = exponents(NOW, 0, 0, &[1, 1]);
    overflow.count = u64::MAX;
    overflow.positive = Some(Buckets {
        offset: 0,
        bucket_counts: vec![u64::MAX, 1],
    });
    dropped(overflow, DropReason::Buckets);
}

#[test]
fn observations_that_are_no_number_are_in_no_bucket() {
    let mut point = exponents(NOW, 0, 0, &[1]);
    point.count = 2;
    point.sum = Some(f64::NAN);
    assert_eq!(one(point), "schema 0 count 2 sum NaN zeros 0 {1:1}");
}

/// Index to count, the buckets of a higher scale moved one by one.
fn model(scale: i32, to: i32, offset: i32, counts: &[u64]) -> BTreeMap<i64, i64> {
    let mut buckets = BTreeMap::new();
    for (place, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let mut index = i64::from(offset) + i64::try_from(place).unwrap();
        for _ in to..scale {
            index = index.div_euclid(2);
        }
        *buckets.entry(index + 1).or_default() += i64::try_from(*count).unwrap();
    }
    buckets
}

fn counts() -> impl Strategy<Value = Vec<u64>> {
    let count = prop_oneof![3 => Just(0), 2 => 1_u64..20, 1 => 1_u64..1_000_000_000_000];
    prop::collection::vec(count, 0..200)
}

proptest! {
    #[test]
    fn buckets_are_those_of_a_naive_model(
        scale in -4..21_i32,
        offsets in (-10_000..10_000_i32, -10_000..10_000_i32),
        positive in counts(),
        negative in counts(),
        buckets_max in 1..400_u64,
    ) {
        let mut settings = settings();
        settings.max_native_buckets = buckets_max;
        let mut point = exponents(NOW, scale, offsets.0, &positive);
        point.count += negative.iter().sum::<u64>();
        point.negative = Some(Buckets { offset: offsets.1, bucket_counts: negative.clone() });
        let mut bench = Bench::new(&settings);
        let out = bench.send_raw(&request(service(), vec![exponential("h", CUMULATIVE, vec![point])]));
        let models = |schema| {
            (model(scale, schema, offsets.0, &positive), model(scale, schema, offsets.1, &negative))
        };
        let size = |(positive, negative): &(BTreeMap<_, _>, BTreeMap<_, _>)| (positive.len() + negative.len()) as u64;
        if out.is_empty() {
            prop_assert_eq!(bench.done.dropped.of(DropReason::Scale), 1);
            prop_assert!(size(&models(-4)) > buckets_max);
            return Ok(());
        }
        let histogram = &decoded(&out)[0].histograms[0];
        let schema = histogram.schema;
        let expected = models(schema);
        prop_assert!(size(&expected) <= buckets_max);
        prop_assert!(schema == scale.min(8) || size(&models(schema + 1)) > buckets_max, "no lower than needed");
        let positive: BTreeMap<_, _> = absolute(&histogram.positive_spans, &histogram.positive_deltas).into_iter().collect();
        let negative: BTreeMap<_, _> = absolute(&histogram.negative_spans, &histogram.negative_deltas).into_iter().collect();
        prop_assert_eq!((positive, negative), expected);
    }
}

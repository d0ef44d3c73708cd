use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::testing::metrics::{broken_bytes, counts, requests, wild_bytes};
use crate::testing::only_prost_refuses;
use crate::wire::{put_bytes, put_varint};

/// The check takes what prost takes, and counts what prost finds.
fn assert_agree(bytes: &[u8]) {
    match (check(bytes), ExportMetricsServiceRequest::decode(bytes)) {
        (Ok(counted), Ok(decoded)) => {
            let counted_all = (counted.resources, counted.metrics, counted.of_kinds);
            assert_eq!(counted_all, counts(&decoded));
            assert_eq!(counted.points, counted.of_kinds.iter().sum::<u64>());
        }
        (Ok(_), Err(error)) => assert!(only_prost_refuses(&error), "only prost refuses: {error}"),
        (Err(error), Ok(_)) => panic!("only the check refuses: {error}"),
        (Err(error), Err(_)) => assert!(error.offset <= bytes.len(), "{error}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn encoded_requests_are_taken_and_counted_as_by_prost(request in requests()) {
        let bytes = request.encode_to_vec();
        prop_assert!(check(&bytes).is_ok());
        assert_agree(&bytes);
    }

    #[test]
    fn odd_requests_are_taken_and_counted_as_by_prost(bytes in wild_bytes()) {
        assert_agree(&bytes);
    }

    #[test]
    fn what_prost_refuses_is_refused(bytes in broken_bytes()) {
        assert_agree(&bytes);
    }
}

/// `message` in field `number`, and so on outwards.
fn within(message: &[u8], numbers: &[u32]) -> Vec<u8> {
    numbers.iter().fold(message.to_vec(), |message, number| {
        let mut outer = Vec::new();
        put_bytes(*number, &message, &mut outer);
        outer
    })
}

/// A request with one metric of these fields.
fn request_of(metric: &[u8]) -> Vec<u8> {
    within(metric, &[2, 2, 1])
}

#[test]
fn a_metric_of_two_kinds_is_of_the_last() {
    let (gauge, sum) = (within(b"", &[1, 5]), within(b"", &[1, 7]));
    let counted = check(&request_of(&[&gauge[..], &gauge, &sum].concat())).unwrap();
    assert_eq!((counted.metrics, counted.points), (1, 1));
    assert_eq!(counted.points_of(MetricKind::Sum), 1);
    let counted = check(&request_of(&[&sum[..], &gauge, &gauge].concat())).unwrap();
    assert_eq!(counted.points_of(MetricKind::Gauge), 2);
    assert_eq!(counted.points_of(MetricKind::Sum), 0);
}

#[test]
fn an_empty_request_has_no_data_points() {
    assert_eq!(check(b""), Ok(Counted::default()));
    let counted = check(&request_of(b"")).unwrap();
    assert_eq!((counted.resources, counted.metrics, counted.points), (1, 1, 0));
}

/// An attribute of a data point is the deepest there is.
#[test]
fn values_may_nest_as_deep_as_in_traces_and_no_deeper() {
    let nested = |values: u32| {
        let value = (1..values).fold(Vec::new(), |value, _| within(&value, &[1, 5]));
        request_of(&within(&value, &[2, 7, 1, 5]))
    };
    assert_eq!(check(&nested(VALUE_DEPTH_MAX)).map(|it| it.points), Ok(1));
    let error = check(&nested(VALUE_DEPTH_MAX + 1)).unwrap_err();
    assert_eq!(error.what, "values nest too deeply");
}

#[test]
fn a_list_of_numbers_may_come_packed_or_one_by_one_but_not_broken() {
    let point = |fields: &[u8]| request_of(&within(fields, &[1, 9]));
    let mut packed = Vec::new();
    put_bytes(6, &[7; 16], &mut packed);
    assert!(check(&point(&packed)).is_ok());
    let mut single = Vec::new();
    put_varint(6 << 3 | 1, &mut single);
    single.extend([7; 8]);
    assert!(check(&point(&single)).is_ok());
    let mut broken = Vec::new();
    put_bytes(6, &[7; 15], &mut broken);
    assert_eq!(
        check(&point(&broken)).unwrap_err().what,
        "a list of numbers of 8 bytes ends within one"
    );
}

#[test]
fn an_error_says_where() {
    let good = request_of(&within(b"", &[1, 5]));
    let bad = [&good[..], &request_of(&[5 << 3, 1])].concat();
    let error = check(&bad).unwrap_err();
    assert!((good.len()..bad.len()).contains(&error.offset), "{error}");
    assert_eq!(error.what, "a known field has a wrong wire type");
}

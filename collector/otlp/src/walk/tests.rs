mod watched;

use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::check::VALUE_DEPTH_MAX;
use crate::fuzzing::assert_head;
use crate::head::SpanDefect;
use crate::proto;
use crate::testing::{broken_bytes, only_prost_refuses, oracle, printed, requests, wild_bytes};
use crate::view::{EachSpan, ResourceSpans, ScopeSpans, StatusCode, decode_traces};
use crate::wire::{put_bytes, put_bytes_header};

const TRACE: [u8; 16] = [7; 16];
const SPAN: [u8; 8] = [9; 8];

fn good_span() -> proto::Span {
    proto::Span {
        trace_id: TRACE.into(),
        span_id: SPAN.into(),
        ..proto::Span::default()
    }
}

fn request_of(spans: Vec<proto::Span>) -> Vec<u8> {
    request_with_body(
        &proto::ScopeSpans {
            spans,
            ..proto::ScopeSpans::default()
        }
        .encode_to_vec(),
    )
}

/// `scope_spans` as the only `ScopeSpans` of a request.
fn request_with_body(scope_spans: &[u8]) -> Vec<u8> {
    let (mut resource_spans, mut request) = (Vec::new(), Vec::new());
    put_bytes(2, scope_spans, &mut resource_spans);
    put_bytes(1, &resource_spans, &mut request);
    request
}

/// A request whose only attribute's value is a list in a list and so on, of this many values.
fn nested(values: u32) -> Vec<u8> {
    let mut value = Vec::new();
    for _ in 1..values {
        let (mut list, mut outer) = (Vec::new(), Vec::new());
        put_bytes(1, &value, &mut list);
        put_bytes(5, &list, &mut outer);
        value = outer;
    }
    let (mut attribute, mut span, mut scope_spans) = (Vec::new(), good_span().encode_to_vec(), Vec::new());
    put_bytes(2, &value, &mut attribute);
    put_bytes(9, &attribute, &mut span);
    put_bytes(2, &span, &mut scope_spans);
    request_with_body(&scope_spans)
}

fn walked(request: &[u8]) -> RequestWalk {
    let mut walk = RequestWalk::new();
    walk.walk(request).unwrap();
    walk
}

fn only_head(span: proto::Span) -> SpanHead {
    walked(&request_of(vec![span])).spans()[0].clone()
}

/// The heads say what decoding says, and context and record together decode to the same.
fn assert_same_as_decoded(request: &[u8], walk: &RequestWalk, decoded: &[ResourceSpans<'_>]) {
    let spans = decoded.iter().flat_map(|resource| {
        resource
            .scope_spans
            .iter()
            .flat_map(move |scope| scope.spans.iter().map(move |span| (resource, scope, span)))
    });
    assert_eq!(walk.spans().len(), spans.clone().count());
    for (head, (resource, scope, span)) in walk.spans().iter().zip(spans) {
        assert_head(head, span);

        let context = walk.context(head.context);
        let (mut scope_spans, mut resource_spans, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        for piece in context.scope.iter().chain([&head.record]) {
            scope_spans.extend_from_slice(&request[piece.clone()]);
        }
        for piece in context.resource {
            resource_spans.extend_from_slice(&request[piece.clone()]);
        }
        put_bytes(2, &scope_spans, &mut resource_spans);
        put_bytes(1, &resource_spans, &mut alone);
        let mut expected = ResourceSpans {
            scope_spans: vec![scope.clone()],
            ..resource.clone()
        };
        expected.scope_spans[0].spans = vec![span.clone()];
        assert_eq!(printed(&decode_traces(&alone).unwrap()), printed(&[expected]));
    }
}

fn assert_agree(bytes: &[u8]) {
    let mut walk = RequestWalk::new();
    let walked = walk.walk(bytes);
    let decoded = decode_traces(bytes);
    assert_eq!(walked, decoded.as_ref().map(|_| ()).map_err(|error| *error));
    match oracle(bytes) {
        Ok(expected) => {
            assert_eq!(printed(decoded.as_ref().unwrap()), printed(&expected));
        }
        Err(error) => assert!(
            decoded.is_err() || only_prost_refuses(&error),
            "only prost refuses: {error}"
        ),
    }
    match decoded {
        Ok(decoded) => assert_same_as_decoded(bytes, &walk, &decoded),
        Err(error) => {
            assert!(error.offset <= bytes.len());
            assert_eq!((walk.spans().len(), walk.context_count()), (0, 0));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn encoded_requests_are_walked_and_decoded_as_by_prost(request in requests()) {
        assert_agree(&request.encode_to_vec());
    }

    #[test]
    fn spans_decoded_one_by_one_are_those_decoded_together(request in requests()) {
        let bytes = request.encode_to_vec();
        let mut one_by_one = Vec::new();
        let mut each = EachSpan::new(&bytes).unwrap();
        while let Some([resource]) = each.next() {
            let [scope] = &resource.scope_spans[..] else { panic!("one scope") };
            prop_assert_eq!(scope.spans.len(), 1);
            one_by_one.push(resource.clone());
        }
        let mut together = Vec::new();
        for resource in decode_traces(&bytes).unwrap() {
            for scope in &resource.scope_spans {
                for span in &scope.spans {
                    let scope = ScopeSpans { spans: vec![span.clone()], ..scope.clone() };
                    together.push(ResourceSpans { scope_spans: vec![scope], ..resource.clone() });
                }
            }
        }
        prop_assert_eq!(format!("{one_by_one:?}"), format!("{together:?}"));
    }

    #[test]
    fn fields_in_any_order_and_number_are_merged_as_by_prost(bytes in wild_bytes()) {
        prop_assert!(oracle(&bytes).is_ok());
        assert_agree(&bytes);
    }

    #[test]
    fn broken_requests_are_refused_exactly_when_prost_refuses_them(bytes in broken_bytes()) {
        assert_agree(&bytes);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        assert_agree(&bytes);
    }
}

#[test]
fn a_cut_off_request_is_refused_as_a_whole() {
    let request = request_of(vec![good_span(), good_span()]);
    for length in 1..request.len() {
        assert!(RequestWalk::new().walk(&request[..length]).is_err(), "{length}");
    }
}

#[test]
fn an_empty_request_has_no_spans() {
    assert!(walked(&[]).spans().is_empty());
}

#[test]
fn a_span_with_a_bad_id_is_rejected_alone() {
    let bad_trace = |id: &[u8]| proto::Span {
        trace_id: id.into(),
        ..good_span()
    };
    let bad_span = |id: &[u8]| proto::Span {
        span_id: id.into(),
        ..good_span()
    };
    let spans = vec![
        good_span(),
        bad_trace(&[]),
        bad_trace(&[0; 16]),
        bad_trace(&[1; 15]),
        bad_trace(&[1; 17]),
        bad_span(&[]),
        bad_span(&[0; 8]),
        bad_span(&[1; 16]),
        proto::Span::default(),
        good_span(),
    ];
    let walk = walked(&request_of(spans));
    let defects: Vec<_> = walk.spans().iter().map(|head| head.defect).collect();
    let (trace, span) = (Some(SpanDefect::TraceId), Some(SpanDefect::SpanId));
    assert_eq!(
        defects,
        [None, trace, trace, trace, trace, span, span, span, trace, None]
    );
}

#[test]
fn a_parent_that_names_no_span_makes_a_root() {
    let with_parent = |id: &[u8]| {
        only_head(proto::Span {
            parent_span_id: id.into(),
            ..good_span()
        })
    };
    assert!(with_parent(&[]).is_root);
    assert!(with_parent(&[0; 8]).is_root);
    assert!(with_parent(&[1; 7]).is_root);
    assert!(!with_parent(&[1; 8]).is_root);
}

#[test]
fn the_last_status_code_stands_and_unknown_codes_are_unset() {
    let code = |codes: &[i32]| {
        let mut span = good_span().encode_to_vec();
        for code in codes {
            let status = proto::SpanStatus {
                code: *code,
                ..proto::SpanStatus::default()
            };
            put_bytes(15, &status.encode_to_vec(), &mut span);
        }
        let mut scope_spans = Vec::new();
        put_bytes(2, &span, &mut scope_spans);
        walked(&request_with_body(&scope_spans)).spans()[0].status
    };
    assert_eq!(code(&[]), StatusCode::Unset);
    assert_eq!(code(&[2]), StatusCode::Error);
    assert_eq!(code(&[2, 1]), StatusCode::Ok);
    // Its second message has no code: that is no change.
    assert_eq!(code(&[2, 0]), StatusCode::Error);
    assert_eq!(code(&[3]), StatusCode::Unset);
    assert_eq!(code(&[-1]), StatusCode::Unset);
}

#[test]
fn values_nest_to_the_limit_and_no_further() {
    let at_limit = nested(VALUE_DEPTH_MAX);
    assert_eq!(walked(&at_limit).spans().len(), 1);
    assert_eq!(
        decode_traces(&at_limit).unwrap()[0].scope_spans[0].spans[0]
            .attributes
            .len(),
        1
    );
    for values in [VALUE_DEPTH_MAX + 1, 10_000] {
        let error = RequestWalk::new().walk(&nested(values)).unwrap_err();
        assert_eq!(error.what, "values nest too deeply");
        assert_eq!(decode_traces(&nested(values)).unwrap_err(), error);
    }
}

#[test]
fn deep_groups_are_refused() {
    let groups = [0x9b, 0x01].repeat(100_000);
    assert_eq!(
        RequestWalk::new().walk(&groups).unwrap_err().what,
        "groups nest too deeply"
    );
}

#[test]
fn a_wrong_wire_type_is_found_at_its_place() {
    // Span.name as a number.
    let request = request_with_body(&[0x12, 0x02, 0x28, 0x01]);
    let error = RequestWalk::new().walk(&request).unwrap_err();
    assert_eq!(
        (error.offset, error.what),
        (6, "a known field has a wrong wire type")
    );
    assert_eq!(
        error.to_string(),
        "malformed OTLP protobuf at byte 6: a known field has a wrong wire type"
    );
}

#[test]
fn text_that_is_not_utf8_is_accepted_and_repaired_in_the_view() {
    let mut span = good_span().encode_to_vec();
    put_bytes(5, b"a\xffb", &mut span);
    let mut scope_spans = Vec::new();
    put_bytes(2, &span, &mut scope_spans);
    let request = request_with_body(&scope_spans);
    assert_eq!(walked(&request).spans()[0].defect, None);
    assert_eq!(
        decode_traces(&request).unwrap()[0].scope_spans[0].spans[0].name,
        "a\u{fffd}b"
    );
}

#[test]
fn a_context_has_the_fields_before_and_after_the_spans_in_one_order() {
    let (mut scope_spans, mut resource_spans, mut request) = (Vec::new(), Vec::new(), Vec::new());
    let span = good_span().encode_to_vec();
    put_bytes(100, b"unknown", &mut scope_spans);
    put_bytes(2, &span, &mut scope_spans);
    put_bytes(1, b"", &mut scope_spans);
    put_bytes(3, b"scope", &mut scope_spans);
    put_bytes(2, &scope_spans, &mut resource_spans);
    put_bytes(1, b"", &mut resource_spans);
    put_bytes(101, b"new", &mut resource_spans);
    put_bytes(1, &resource_spans, &mut request);
    let walk = walked(&request);
    let context = walk.context(0);
    let bytes = |pieces: &[Range<usize>]| {
        pieces
            .iter()
            .map(|piece| &request[piece.clone()])
            .collect::<Vec<_>>()
            .concat()
    };
    assert_eq!(context.scope.len(), 2);
    assert_eq!(
        bytes(context.scope),
        [&b"\xa2\x06\x07unknown"[..], b"\x0a\x00\x1a\x05scope"].concat()
    );
    assert_eq!(bytes(context.resource), b"\x0a\x00\xaa\x06\x03new");
    assert_eq!(
        walk.context(1),
        ContextHead {
            resource: &[],
            scope: &[]
        }
    );
}

#[test]
fn scopes_without_spans_have_no_context() {
    let empty = proto::ScopeSpans {
        schema_url: "x".into(),
        ..proto::ScopeSpans::default()
    };
    let full = proto::ScopeSpans {
        spans: vec![good_span()],
        ..empty.clone()
    };
    let resource_spans = vec![
        proto::ResourceSpans {
            scope_spans: vec![empty.clone(), full.clone()],
            ..Default::default()
        },
        proto::ResourceSpans {
            scope_spans: vec![empty.clone(), empty],
            ..Default::default()
        },
        proto::ResourceSpans {
            scope_spans: vec![full],
            ..Default::default()
        },
    ];
    let walk = walked(&proto::ExportTraceServiceRequest { resource_spans }.encode_to_vec());
    assert_eq!(walk.context_count(), 2);
    assert_eq!(
        walk.spans().iter().map(|head| head.context).collect::<Vec<_>>(),
        [0, 1]
    );
}

#[test]
fn a_flood_of_empty_spans_is_refused_before_it_takes_memory() {
    let few = request_with_body(&[0x12, 0x00].repeat(SPARE_SPANS));
    assert_eq!(walked(&few).spans().len(), SPARE_SPANS);
    let flood = request_with_body(&[0x12, 0x00].repeat(1_000_000));
    let mut walk = RequestWalk::new();
    assert_eq!(
        walk.walk(&flood).unwrap_err().what,
        "too many spans are too short to have ids"
    );
    assert!(walk.memory_bytes() < 3 * flood.len());
}

#[test]
fn the_smallest_spans_with_ids_are_never_too_many() {
    let mut record = Vec::new();
    let span = good_span().encode_to_vec();
    put_bytes_header(2, span.len(), &mut record);
    record.extend(span);
    assert_eq!(record.len(), VALID_SPAN_BYTES_MIN);
    let count = 10 * SPARE_SPANS;
    assert_eq!(
        walked(&request_with_body(&record.repeat(count))).spans().len(),
        count
    );
}

#[test]
fn fields_scattered_between_spans_are_refused_when_too_many() {
    let request = request_with_body(&[0x12, 0x00, 0x1a, 0x00].repeat(PIECES_MAX + 1));
    assert_eq!(
        RequestWalk::new().walk(&request).unwrap_err().what,
        "too many fields are scattered between spans"
    );
}

#[test]
fn room_is_kept_from_request_to_request_but_not_that_of_a_rare_large_one() {
    let usual = request_of(vec![good_span(); 100]);
    let mut walk = walked(&usual);
    let room = walk.memory_bytes();
    walk.walk(&usual).unwrap();
    assert_eq!(walk.memory_bytes(), room);
    walk.walk(&request_of(vec![
        good_span();
        4 * BYTES_KEPT / size_of::<SpanHead>()
    ]))
    .unwrap();
    walk.walk(&usual).unwrap();
    assert!(walk.memory_bytes() <= 2 * room);
}

#[test]
fn a_hostile_number_of_attributes_is_decoded_to_a_limit() {
    let mut span = good_span().encode_to_vec();
    span.extend([0x4a, 0x00].repeat(100_000));
    let mut scope_spans = Vec::new();
    put_bytes(2, &span, &mut scope_spans);
    let request = request_with_body(&scope_spans);
    let decoded = decode_traces(&request).unwrap();
    assert_eq!(
        decoded[0].scope_spans[0].spans[0].attributes.len(),
        crate::view::ITEMS_MAX
    );
}

#[test]
fn the_room_asked_for_is_at_least_what_the_walk_takes() {
    for spans in [0, 1, 10, 5_000] {
        let span = proto::Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            ..Default::default()
        };
        let request = proto::ExportTraceServiceRequest {
            resource_spans: vec![proto::ResourceSpans {
                scope_spans: vec![proto::ScopeSpans {
                    spans: vec![span; spans],
                    ..Default::default()
                }],
                ..Default::default()
            }],
        }
        .encode_to_vec();
        let mut walk = RequestWalk::new();
        walk.walk(&request).unwrap();
        assert_eq!(walk.spans().len(), spans);
        let heads = walk.spans.capacity() * size_of::<SpanHead>();
        // The smallest vector has room for four.
        assert!(heads <= RequestWalk::room_for(&request).max(4 * size_of::<SpanHead>()));
    }
}

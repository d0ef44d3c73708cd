//! What a watch is shown is what decoding finds.

use opentelemetry_proto::tonic::common::v1 as common;
use proptest::prelude::*;
use prost::Message;

use super::{good_span, request_with_body};
use crate::proto;
use crate::testing::{any_value, broken_bytes, only_prost_refuses, oracle, requests, wild_bytes};
use crate::view::{KeyValue, ResourceSpans};
use crate::walk::RequestWalk;
use crate::watch::{NoWatch, Watch};
use crate::wire::put_bytes;

/// Writes down what it is shown. Its bits tell what that was.
#[derive(Debug, Default)]
struct Recorder {
    without_attributes: bool,
    without_trace_state: bool,
    resources: Vec<Resource>,
    resource: Resource,
    span: Seen,
    in_resource: bool,
}

#[derive(Debug, Default)]
struct Resource {
    attributes: Vec<KeyValue<'static>>,
    spans: Vec<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    attributes: Vec<KeyValue<'static>>,
    trace_state: String,
}

impl Watch for Recorder {
    fn wants_attributes(&self) -> bool {
        !self.without_attributes
    }

    fn wants_trace_state(&self) -> bool {
        !self.without_trace_state
    }

    fn reset(&mut self) {
        *self = Self {
            without_attributes: self.without_attributes,
            without_trace_state: self.without_trace_state,
            ..Self::default()
        };
    }

    fn begin_resource(&mut self) {
        assert!(!self.in_resource);
        self.in_resource = true;
    }

    fn resource_attribute(&mut self, key: &[u8], value: &[u8]) {
        assert!(self.in_resource);
        self.resource.attributes.push(attribute(key, value));
    }

    fn end_resource(&mut self) -> u128 {
        assert!(self.in_resource);
        self.in_resource = false;
        let resource = std::mem::take(&mut self.resource);
        let bit = bit(&format!("{:?}", resource.attributes));
        self.resources.push(resource);
        bit << 64
    }

    fn span_attribute(&mut self, key: &[u8], value: &[u8]) {
        assert!(self.in_resource);
        self.span.attributes.push(attribute(key, value));
    }

    fn trace_state(&mut self, text: &[u8]) {
        assert!(self.in_resource);
        self.span.trace_state = String::from_utf8_lossy(text).into_owned();
    }

    fn end_span(&mut self) -> u128 {
        let span = std::mem::take(&mut self.span);
        let bit = bit(&format!("{span:?}"));
        self.resource.spans.push(span);
        bit
    }
}

fn attribute(key: &[u8], value: &[u8]) -> KeyValue<'static> {
    let value = common::AnyValue::decode(value).unwrap_or_else(|error| {
        assert!(only_prost_refuses(&error), "{error}");
        common::AnyValue::default()
    });
    KeyValue {
        key: String::from_utf8_lossy(key).into_owned().into(),
        value: any_value(value),
    }
}

/// One of the lower 64 bits, or none for a quarter of all texts.
fn bit(text: &str) -> u128 {
    let hash = text.bytes().fold(7_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    if hash.is_multiple_of(4) {
        0
    } else {
        1 << (hash >> 32 & 63)
    }
}

/// What the watch must have been shown of these spans.
fn expected(decoded: &[ResourceSpans<'static>], only: &Recorder) -> Vec<Resource> {
    let wanted = |attributes: &[KeyValue<'static>]| {
        if only.without_attributes {
            Vec::new()
        } else {
            attributes.to_vec()
        }
    };
    let resource = |from: &ResourceSpans<'static>| Resource {
        attributes: wanted(&from.resource),
        spans: from
            .scope_spans
            .iter()
            .flat_map(|scope| &scope.spans)
            .map(|span| Seen {
                attributes: wanted(&span.attributes),
                trace_state: if only.without_trace_state {
                    String::new()
                } else {
                    span.trace_state.clone().into_owned()
                },
            })
            .collect(),
    };
    decoded.iter().map(resource).collect()
}

/// The walk shows `watch` what is in the request and says what the watch found.
fn assert_shown(request: &[u8], watch: &mut Recorder) {
    let mut walk = RequestWalk::new();
    let mut plain = RequestWalk::new();
    let watched = walk.walk_with(request, watch);
    assert_eq!(watched, plain.walk_with(request, &mut NoWatch));
    if watched.is_err() {
        assert!(walk.spans().is_empty());
        return;
    }
    for (with, without) in walk.spans().iter().zip(plain.spans()) {
        let found = with.matched;
        let mut with = with.clone();
        with.matched = 0;
        assert_eq!(&with, without);
        assert_eq!(walk.context(with.context), plain.context(with.context), "{found}");
    }
    // Text that is not UTF-8 and deep values are refused by the oracle alone.
    let Ok(decoded) = oracle(request) else { return };
    let expected = expected(&decoded, watch);
    assert_eq!(format!("{:#?}", watch.resources), format!("{expected:#?}"));
    let bits = expected.iter().flat_map(|resource| {
        let of_resource = bit(&format!("{:?}", resource.attributes)) << 64;
        resource
            .spans
            .iter()
            .map(move |span| of_resource | bit(&format!("{span:?}")))
    });
    let found: Vec<_> = walk.spans().iter().map(|head| head.matched).collect();
    assert_eq!(found, bits.collect::<Vec<_>>());
}

fn recorders() -> impl Strategy<Value = Recorder> {
    prop_oneof![
        6 => Just((false, false)),
        1 => Just((true, false)),
        1 => Just((false, true)),
    ]
    .prop_map(|(without_attributes, without_trace_state)| Recorder {
        without_attributes,
        without_trace_state,
        ..Recorder::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn encoded_requests_are_shown_as_prost_decodes_them(request in requests(), mut watch in recorders()) {
        assert_shown(&request.encode_to_vec(), &mut watch);
    }

    #[test]
    fn odd_orders_parts_and_duplicates_are_shown_as_prost_decodes_them(
        request in wild_bytes(),
        mut watch in recorders(),
    ) {
        assert_shown(&request, &mut watch);
    }

    #[test]
    fn nothing_of_a_request_that_is_refused_is_shown_with_the_next(
        broken in broken_bytes(),
        request in wild_bytes(),
        mut watch in recorders(),
    ) {
        assert_shown(&broken, &mut watch);
        assert_shown(&request, &mut watch);
    }
}

fn text_attribute(key: &str, value: &str) -> proto::KeyValue {
    proto::KeyValue {
        key: key.into(),
        value: Some(proto::AnyValue {
            value: Some(proto::any_value::Value::StringValue(value.into())),
        }),
    }
}

fn resource(attributes: &[proto::KeyValue]) -> Vec<u8> {
    proto::Resource {
        attributes: attributes.into(),
        ..proto::Resource::default()
    }
    .encode_to_vec()
}

#[test]
fn a_resource_after_and_between_the_spans_counts_for_all_of_them() {
    let (mut scope_spans, mut resource_spans, mut request) = (Vec::new(), Vec::new(), Vec::new());
    put_bytes(2, &good_span().encode_to_vec(), &mut scope_spans);
    let parts = [text_attribute("a", "1"), text_attribute("b", "2")];
    put_bytes(2, &scope_spans, &mut resource_spans);
    put_bytes(1, &resource(&parts[..1]), &mut resource_spans);
    put_bytes(2, &scope_spans, &mut resource_spans);
    put_bytes(1, &resource(&parts[1..]), &mut resource_spans);
    put_bytes(1, &resource_spans, &mut request);
    // Another resource follows: nothing of the first counts for it.
    request.extend(request_with_body(&scope_spans));

    let mut watch = Recorder::default();
    assert_shown(&request, &mut watch);
    let keys = |index: usize| -> Vec<_> {
        let attributes = &watch.resources[index].attributes;
        attributes
            .iter()
            .map(|attribute| attribute.key.to_string())
            .collect()
    };
    assert_eq!(
        (keys(0), watch.resources[0].spans.len()),
        (vec!["a".into(), "b".into()], 2)
    );
    assert_eq!((keys(1), watch.resources[1].spans.len()), (vec![], 1));
}

#[test]
fn duplicate_attributes_and_odd_ones_are_shown_in_their_order() {
    let mut span = good_span();
    span.attributes = vec![
        text_attribute("a", "1"),
        text_attribute("a", "2"),
        proto::KeyValue::default(),
        text_attribute(&"k".repeat(200), &"v".repeat(200)),
        text_attribute("a", "3"),
    ];
    let mut scope_spans = Vec::new();
    put_bytes(2, &span.encode_to_vec(), &mut scope_spans);
    let mut watch = Recorder::default();
    assert_shown(&request_with_body(&scope_spans), &mut watch);
    assert_eq!(watch.resources[0].spans[0].attributes.len(), 5);
}

#[test]
fn values_of_one_attribute_are_shown_together() {
    let value = |text: &str| text_attribute("", text).value.unwrap().encode_to_vec();
    let mut attribute = Vec::new();
    put_bytes(2, &value("first"), &mut attribute);
    put_bytes(1, b"a", &mut attribute);
    put_bytes(2, &value("last"), &mut attribute);
    let (mut span, mut scope_spans) = (good_span().encode_to_vec(), Vec::new());
    put_bytes(9, &attribute, &mut span);
    put_bytes(2, &span, &mut scope_spans);
    let mut watch = Recorder::default();
    assert_shown(&request_with_body(&scope_spans), &mut watch);
    let [attribute] = &watch.resources[0].spans[0].attributes[..] else {
        panic!("one attribute");
    };
    assert_eq!(attribute.value, crate::view::AnyValue::String("last".into()));
}

#[test]
fn a_walk_that_fails_leaves_nothing_in_the_watch() {
    let mut span = good_span();
    span.attributes = vec![text_attribute("a", "1")];
    let mut scope_spans = Vec::new();
    put_bytes(2, &span.encode_to_vec(), &mut scope_spans);
    let whole = request_with_body(&scope_spans);
    // The span's status, of a wrong wire type, comes after its attribute has been shown.
    let mut broken = span.encode_to_vec();
    broken.extend([0x78, 0x01]);
    scope_spans.clear();
    put_bytes(2, &broken, &mut scope_spans);
    let mut watch = Recorder::default();
    let mut walk = RequestWalk::new();
    assert!(
        walk.walk_with(&request_with_body(&scope_spans), &mut watch)
            .is_err()
    );
    assert_eq!(watch.span.attributes.len(), 1);
    assert_shown(&whole, &mut watch);
}

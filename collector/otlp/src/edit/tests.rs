use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::proto;
use crate::testing::{self, broken_bytes, requests, wild_bytes};
use crate::view::decode_traces;

fn edited(traces: &[u8], edits: &[ResourceEdit]) -> Vec<u8> {
    let mut out = Vec::new();
    for (field, payload, record) in records(traces) {
        match (field, payload) {
            (1, Payload::Bytes(resource_spans)) => {
                put_bytes(1, &edit_resource(resource_spans, edits), &mut out)
            }
            _ => out.extend_from_slice(record),
        }
    }
    out
}

fn edit(key: &str, op: ResourceEditOp) -> ResourceEdit {
    ResourceEdit { key: key.into(), op }
}

fn text(value: &str) -> Value {
    Value::String(value.into())
}

fn any_value(value: &Value) -> proto::AnyValue {
    use proto::any_value::Value as Any;
    proto::AnyValue {
        value: Some(match value {
            Value::String(text) => Any::StringValue(text.clone()),
            Value::Bool(truth) => Any::BoolValue(*truth),
            Value::Int(number) => Any::IntValue(*number),
            Value::Double(number) => Any::DoubleValue(*number),
        }),
    }
}

/// The same on structures.
fn model(request: &mut proto::ExportTraceServiceRequest, edits: &[ResourceEdit]) {
    for resource_spans in &mut request.resource_spans {
        let existed = resource_spans.resource.is_some();
        let mut resource = resource_spans.resource.take().unwrap_or_default();
        for edit in edits {
            let attributes = &mut resource.attributes;
            let at = attributes.iter().position(|attribute| attribute.key == edit.key);
            let value = match &edit.op {
                ResourceEditOp::Insert(value) if at.is_none() => Some(value),
                ResourceEditOp::Update(value) if at.is_some() => Some(value),
                ResourceEditOp::Upsert(value) => Some(value),
                ResourceEditOp::Delete => None,
                ResourceEditOp::Insert(_) | ResourceEditOp::Update(_) => continue,
            };
            attributes.retain(|attribute| attribute.key != edit.key);
            if let Some(value) = value {
                let new = proto::KeyValue {
                    key: edit.key.clone(),
                    value: Some(any_value(value)),
                };
                attributes.insert(at.unwrap_or(attributes.len()), new);
            }
        }
        let needed = existed || resource != proto::Resource::default();
        resource_spans.resource = needed.then_some(resource);
    }
}

fn edits() -> impl Strategy<Value = Vec<ResourceEdit>> {
    let value = prop_oneof![
        "[a-z]{0,200}".prop_map(Value::String),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-1e9..1e9).prop_map(Value::Double),
    ];
    let op = prop_oneof![
        value.clone().prop_map(ResourceEditOp::Insert),
        value.clone().prop_map(ResourceEditOp::Update),
        value.prop_map(ResourceEditOp::Upsert),
        Just(ResourceEditOp::Delete),
    ];
    prop::collection::vec(
        ("[a-c]{1,2}", op).prop_map(|(key, op)| ResourceEdit { key, op }),
        0..4,
    )
}

proptest! {
    #[test]
    fn edits_do_what_they_do_on_structures(request in requests(), edits in edits()) {
        let bytes = edited(&request.encode_to_vec(), &edits);
        let mut expected = request;
        model(&mut expected, &edits);
        // Encoded once more, since a new attribute comes after the other fields. (No NaN equals another.)
        let decoded = proto::ExportTraceServiceRequest::decode(&bytes[..]).unwrap();
        prop_assert_eq!(decoded.encode_to_vec(), expected.encode_to_vec());
    }

    #[test]
    fn nothing_but_the_resource_changes(request in wild_bytes(), edits in edits()) {
        let bytes = edited(&request, &edits);
        let (before, after) = (decode_traces(&request).unwrap(), decode_traces(&bytes).unwrap());
        prop_assert_eq!(before.len(), after.len());
        for (before, mut after) in before.into_iter().zip(after) {
            after.resource.clone_from(&before.resource);
            prop_assert_eq!(crate::testing::printed(&[after]), crate::testing::printed(&[before]));
        }
    }

    /// The messages around a resource have the same numbers in both kinds of requests: what is right for traces, which
    /// the test above holds against structures, is the standard.
    #[test]
    fn requests_with_metrics_are_edited_as_those_with_traces(
        request in prop_oneof![
            testing::metrics::requests().prop_map(|request| request.encode_to_vec()),
            testing::metrics::wild_bytes(),
        ],
        edits in edits(),
    ) {
        let Ok(counted) = crate::metrics::check(&request) else { return Ok(()) };
        let mut out = Vec::new();
        edit_metrics(&request, &edits, &mut out);
        prop_assert_eq!(&out, &edited(&request, &edits));
        let after = crate::metrics::check(&out).unwrap();
        prop_assert_eq!(after, counted);
        let growth = out.len().saturating_sub(request.len()) as u64;
        prop_assert!(growth <= growth_max(counted.resources, &edits), "{} bytes more", growth);
    }

    #[test]
    fn broken_bytes_never_panic(bytes in broken_bytes(), edits in edits()) {
        edited(&bytes, &edits);
    }
}

fn with_resource(resource: &[u8]) -> Vec<u8> {
    let (mut resource_spans, mut request) = (Vec::new(), Vec::new());
    put_bytes(1, resource, &mut resource_spans);
    put_bytes(3, b"url", &mut resource_spans);
    put_bytes(1, &resource_spans, &mut request);
    request
}

fn attribute(key: &str, value: &str) -> Vec<u8> {
    encode_attribute(key, &text(value))
}

#[test]
fn a_key_that_is_there_twice_is_replaced_by_one() {
    let twice = [attribute("a", "1"), attribute("b", "2"), attribute("a", "3")].concat();
    let once = with_resource(&[attribute("a", "4"), attribute("b", "2")].concat());
    assert_eq!(
        edited(
            &with_resource(&twice),
            &[edit("a", ResourceEditOp::Upsert(text("4")))]
        ),
        once
    );
    assert_eq!(
        edited(
            &with_resource(&twice),
            &[edit("a", ResourceEditOp::Update(text("4")))]
        ),
        once
    );
    let none = with_resource(&attribute("b", "2"));
    assert_eq!(
        edited(&with_resource(&twice), &[edit("a", ResourceEditOp::Delete)]),
        none
    );
    let insert = edit("a", ResourceEditOp::Insert(text("4")));
    assert_eq!(edited(&with_resource(&twice), &[insert]), with_resource(&twice));
}

#[test]
fn edits_see_what_the_edits_before_them_did() {
    let edits = [
        edit("a", ResourceEditOp::Insert(text("1"))),
        edit("a", ResourceEditOp::Update(text("2"))),
        edit("a", ResourceEditOp::Insert(text("3"))),
        edit("b", ResourceEditOp::Upsert(text("4"))),
        edit("b", ResourceEditOp::Delete),
    ];
    assert_eq!(
        edited(&with_resource(b""), &edits),
        with_resource(&attribute("a", "2"))
    );
}

#[test]
fn a_resource_is_made_only_when_needed() {
    let mut request = Vec::new();
    put_bytes(1, b"\x1a\x03url", &mut request);
    assert_eq!(edited(&request, &[edit("a", ResourceEditOp::Delete)]), request);
    assert_eq!(
        edited(&request, &[edit("a", ResourceEditOp::Update(text("1")))]),
        request
    );
    let insert = edit("a", ResourceEditOp::Insert(text("1")));
    assert_eq!(edited(&request, &[insert]), with_resource(&attribute("a", "1")));
}

#[test]
fn unknown_fields_and_other_encodings_of_attributes_survive() {
    // An unknown field of the resource; an attribute with its value before its key.
    let odd = [
        &b"\xa2\x06\x01u"[..],
        b"\x0a\x09\x12\x03\x0a\x01v\x0a\x02bb",
        b"\x10\x05",
    ]
    .concat();
    let with_new = with_resource(&[&odd[..], &attribute("a", "1")].concat());
    assert_eq!(
        edited(
            &with_resource(&odd),
            &[edit("a", ResourceEditOp::Upsert(text("1")))]
        ),
        with_new
    );
    let without = with_resource(b"\xa2\x06\x01u\x10\x05");
    assert_eq!(
        edited(&with_resource(&odd), &[edit("bb", ResourceEditOp::Delete)]),
        without
    );
}

#[test]
fn a_resource_in_two_parts_becomes_one() {
    let (mut resource_spans, mut request) = (Vec::new(), Vec::new());
    put_bytes(1, &attribute("a", "1"), &mut resource_spans);
    put_bytes(3, b"url", &mut resource_spans);
    put_bytes(1, &attribute("b", "2"), &mut resource_spans);
    put_bytes(1, &resource_spans, &mut request);
    let expected = with_resource(&[attribute("a", "9"), attribute("b", "2")].concat());
    assert_eq!(
        edited(&request, &[edit("a", ResourceEditOp::Upsert(text("9")))]),
        expected
    );
}

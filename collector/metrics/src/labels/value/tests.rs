use prost::Message;
use tracepipe_otlp::proto::any_value::Value as Any;
use tracepipe_otlp::proto::{AnyValue, ArrayValue, KeyValue, KeyValueList};

use super::*;

fn text(value: Value<'_>) -> String {
    let mut out = Vec::new();
    put_value(value, &mut out);
    String::from_utf8(out).expect("labels are UTF-8")
}

fn encoded(value: Any) -> String {
    let value = AnyValue { value: Some(value) }.encode_to_vec();
    text(Value::read(&value))
}

fn list(values: impl IntoIterator<Item = Any>) -> Any {
    let values = values
        .into_iter()
        .map(|value| AnyValue { value: Some(value) })
        .collect();
    Any::ArrayValue(ArrayValue { values })
}

fn map(entries: impl IntoIterator<Item = (&'static str, Any)>) -> Any {
    let values = entries
        .into_iter()
        .map(|(key, value)| KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
        })
        .collect();
    Any::KvlistValue(KeyValueList { values })
}

#[test]
fn values_become_text() {
    assert_eq!(text(Value::Empty), "");
    assert_eq!(text(Value::Text("Größe \"x\"\n".as_bytes())), "Größe \"x\"\n");
    assert_eq!(text(Value::Text(b"a\xffb")), "a\u{fffd}b");
    assert_eq!(text(Value::Bool(true)), "true");
    assert_eq!(text(Value::Bool(false)), "false");
    assert_eq!(text(Value::Int(i64::MIN)), "-9223372036854775808");
    assert_eq!(text(Value::Double(1.0)), "1");
    assert_eq!(text(Value::Double(-0.0)), "-0");
    assert_eq!(text(Value::Double(1e21)), "1e+21");
    assert_eq!(text(Value::Double(f64::NEG_INFINITY)), "-Infinity");
    assert_eq!(text(Value::Bytes(b"\x00\x01\xff")), "AAH/");
}

#[test]
fn lists_and_maps_become_json() {
    assert_eq!(encoded(list([])), "[]");
    assert_eq!(encoded(map([])), "{}");
    let inner = list([
        Any::IntValue(1),
        Any::DoubleValue(0.5),
        Any::BoolValue(true),
        Any::BytesValue(vec![0]),
    ]);
    let value = map([
        ("z", inner),
        ("a", Any::StringValue("<&> \"\\\n\t\u{1}\u{2028}".to_owned())),
        ("n", Any::DoubleValue(f64::NAN)),
        ("empty", map([])),
    ]);
    assert_eq!(
        encoded(value),
        r#"{"a":"<&> \"\\\n\t\u0001\u2028","empty":{},"n":"NaN","z":[1,0.5,true,"AA=="]}"#
    );
}

#[test]
fn of_equal_keys_of_a_map_the_last_counts() {
    let value = map([
        ("b", Any::IntValue(1)),
        ("a", Any::IntValue(2)),
        ("b", Any::IntValue(3)),
    ]);
    assert_eq!(encoded(value), r#"{"a":2,"b":3}"#);
}

#[test]
fn an_element_without_a_value_is_null() {
    let value = Any::ArrayValue(ArrayValue {
        values: vec![AnyValue { value: None }],
    });
    assert_eq!(encoded(value), "[null]");
}

#[test]
fn what_nests_too_deep_is_cut() {
    let mut value = list([]);
    for _ in 0..300 {
        value = list([value]);
    }
    let text = encoded(value);
    assert!(text.starts_with("[[[["));
    assert!(text.contains("[null]"));
}

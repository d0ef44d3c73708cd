//! What X-Ray and its schema ask of a document, for tests.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::SegmentDocument;
use crate::letters::is_letter;
use crate::limits::{ANNOTATIONS_MAX, DOCUMENT_BYTES_MAX, LINKS_MAX};

/// Panics with what is wrong. The rules are those of the schema and the guide (see [`crate::limits`]), and ours: no
/// null anywhere.
pub(crate) fn check_document(document: &SegmentDocument) -> Value {
    let json: String = serde_json::from_str(&document.literal).expect("a text");
    assert!(json.len() <= DOCUMENT_BYTES_MAX, "{} bytes", json.len());
    let value: Value = serde_json::from_str(&json).expect("JSON");
    check_no_null(&value);
    assert_eq!(
        value["id"],
        document.span_id.to_string(),
        "the id that X-Ray answers with"
    );
    check_head(&value);
    check_times(&value);
    check_http(&value);
    check_annotations(&value);
    if let Some(metadata) = value.get("metadata") {
        for space in metadata.as_object().expect("metadata is an object").values() {
            assert!(space.is_object(), "a namespace is an object");
        }
    }
    if let Some(cause) = value.get("cause").and_then(|cause| cause.get("exceptions")) {
        for exception in cause.as_array().expect("an array of exceptions") {
            check_id(&exception["id"]);
            assert!(exception["message"].is_string() && exception["type"].is_string());
            for frame in exception
                .get("stack")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                assert!(frame.get("path").is_none_or(Value::is_string));
                assert!(frame.get("label").is_none_or(Value::is_string));
                assert!(frame.get("line").is_none_or(Value::is_u64));
            }
        }
    }
    value
}

fn check_head(value: &Value) {
    check_id(&value["id"]);
    if let Some(parent) = value.get("parent_id") {
        check_id(parent);
    }
    check_trace_id(&value["trace_id"]);
    let name = value["name"].as_str().expect("a name");
    assert!(
        (1..=200).contains(&name.encode_utf16().count()),
        "length of {name:?}"
    );
    let allowed = |c: char| c.is_ascii_alphanumeric() || " _.:/%&#=+-@".contains(c) || is_letter(c);
    assert!(name.chars().all(allowed), "characters of {name:?}");
    for flag in ["fault", "error", "throttle"] {
        assert!(value[flag].is_boolean(), "{flag}");
    }
    if let Some(kind) = value.get("type") {
        assert_eq!(kind, "subsegment");
        check_id(&value["parent_id"]);
    }
    if let Some(namespace) = value.get("namespace") {
        assert!(namespace == "aws" || namespace == "remote");
    }
    let links = value
        .get("links")
        .map_or(&[][..], |links| links.as_array().expect("links"));
    assert!(links.len() <= LINKS_MAX);
    for link in links {
        check_id(&link["id"]);
        check_trace_id(&link["trace_id"]);
    }
}

fn check_times(value: &Value) {
    let start = value["start_time"].as_f64().expect("start_time");
    if value.get("in_progress").is_some() {
        assert_eq!(value["in_progress"], true);
        assert!(value.get("end_time").is_none());
    } else {
        assert!(value["end_time"].as_f64().expect("end_time") >= start);
    }
}

fn check_http(value: &Value) {
    let mut texts = vec![value.get("user")];
    if let Some(http) = value.get("http") {
        texts.extend(["method", "url", "user_agent", "client_ip"].map(|key| http["request"].get(key)));
        assert!(http["response"]["content_length"].is_number());
        assert!(http["response"].get("status").is_none_or(Value::is_number));
    }
    texts.push(value.get("sql").and_then(|sql| sql.get("user")));
    for text in texts.into_iter().flatten() {
        assert!(
            (1..=250).contains(&text.as_str().expect("a text").encode_utf16().count()),
            "{text}"
        );
    }
}

fn check_annotations(value: &Value) {
    let Some(annotations) = value.get("annotations") else {
        return;
    };
    let annotations = annotations.as_object().expect("annotations are an object");
    assert!((1..=ANNOTATIONS_MAX).contains(&annotations.len()));
    for (key, value) in annotations {
        assert!((1..=500).contains(&key.len()), "length of {key}");
        assert!(
            key.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.'),
            "{key}"
        );
        assert!(
            value.is_string() || value.is_number() || value.is_boolean(),
            "{value}"
        );
        assert!(
            value
                .as_str()
                .is_none_or(|text| text.encode_utf16().count() <= 1_000)
        );
    }
}

fn check_id(value: &Value) {
    let id = value.as_str().expect("an id");
    assert!(id.len() == 16 && is_hex(id) && id != "0000000000000000", "{id}");
}

fn check_trace_id(value: &Value) {
    let id = value.as_str().expect("a trace id");
    let (time, unique) = id
        .strip_prefix("1-")
        .and_then(|id| id.split_once('-'))
        .expect("two parts");
    assert!(
        time.len() == 8 && is_hex(time) && unique.len() == 24 && is_hex(unique),
        "{id}"
    );
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn check_no_null(value: &Value) {
    match value {
        Value::Null => panic!("null"),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        Value::Array(items) => items.iter().for_each(check_no_null),
        Value::Object(members) => members.values().for_each(check_no_null),
    }
}

/// Fails for a key that stands twice in any object: `serde_json::Value` would hide it.
pub(crate) fn check_no_repeated_key(json: &str) {
    struct Unique;
    impl<'de> serde::Deserialize<'de> for Unique {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(Visitor)
        }
    }
    struct Visitor;
    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = Unique;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("JSON")
        }
        fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
            Ok(Unique)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
            Ok(Unique)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
            Ok(Unique)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
            Ok(Unique)
        }
        fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
            Ok(Unique)
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
            while items.next_element::<Unique>()?.is_some() {}
            Ok(Unique)
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut members: A) -> Result<Unique, A::Error> {
            let mut seen = BTreeSet::new();
            while let Some((key, _)) = members.next_entry::<String, Unique>()? {
                assert!(seen.insert(key.clone()), "{key} twice");
            }
            Ok(Unique)
        }
    }
    let _: Unique = serde_json::from_str(json).expect("JSON");
}

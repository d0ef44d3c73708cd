mod metrics;

use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::proto;
use crate::proto::any_value::Value;
use crate::testing::json::{Style, to_json};
use crate::testing::requests;

fn transcoded(json: &[u8]) -> Result<proto::ExportTraceServiceRequest, JsonError> {
    let mut out = b"before".to_vec();
    let result = traces_json_to_protobuf(json, &mut out);
    assert_eq!(&out[..6], b"before");
    assert!(
        out.len() - 6 <= json.len(),
        "more protobuf than JSON: {}",
        String::from_utf8_lossy(json)
    );
    assert!(result.is_ok() || out.len() == 6);
    result.map(|()| proto::ExportTraceServiceRequest::decode(&out[6..]).unwrap())
}

fn refused(json: &str) -> JsonError {
    match transcoded(json.as_bytes()) {
        Ok(request) => panic!("{json} was taken: {request:?}"),
        Err(error) => error,
    }
}

/// A request with one span of these fields.
fn span_json(fields: &str) -> String {
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#)
}

fn span(fields: &str) -> proto::Span {
    match transcoded(span_json(fields).as_bytes()) {
        Ok(mut request) => request.resource_spans[0].scope_spans[0].spans.remove(0),
        Err(error) => panic!("{fields}: {error}"),
    }
}

fn refused_span(fields: &str) -> JsonError {
    refused(&span_json(fields))
}

/// The value of a span's only attribute.
fn value(json: &str) -> Option<Value> {
    let span = span(&format!(r#""attributes":[{{"key":"k","value":{json}}}]"#));
    span.attributes[0].value.clone().and_then(|value| value.value)
}

fn refused_value(json: &str) -> JsonError {
    refused_span(&format!(r#""attributes":[{{"key":"k","value":{json}}}]"#))
}

/// The probes of the reference table and more of their kind: what each must become.
#[test]
fn what_the_go_collector_takes_is_taken() {
    let id16 = "000102030405060708090a0b0c0d0e0f";
    for id in [id16.to_owned(), id16.to_uppercase()] {
        assert_eq!(
            span(&format!(r#""traceId":"{id}""#)).trace_id,
            (0..16).collect::<Vec<u8>>()
        );
    }
    assert_eq!(
        span(r#""spanId":"00010203040506Ff""#).span_id,
        [0, 1, 2, 3, 4, 5, 6, 255]
    );
    assert_eq!(
        span(r#""traceId":"","spanId":"","parentSpanId":"""#),
        proto::Span::default()
    );
    assert_eq!(
        span(r#""startTimeUnixNano":"18446744073709551615""#).start_time_unix_nano,
        u64::MAX
    );
    assert_eq!(
        span(r#""endTimeUnixNano":1700000000000000001"#).end_time_unix_nano,
        1_700_000_000_000_000_001
    );
    assert_eq!(span(r#""kind":2"#).kind, 2);
    assert_eq!(span(r#""kind":"SPAN_KIND_SERVER""#).kind, 2);
    assert_eq!(span(r#""kind":99"#).kind, 99);
    assert_eq!(span(r#""kind":-1"#).kind, 0);
    assert_eq!(
        span(r#""status":{"code":"STATUS_CODE_ERROR","message":"m"}"#)
            .status
            .unwrap()
            .code,
        2
    );
    assert_eq!(span(r#""status":{"code":1}"#).status.unwrap().code, 1);
    assert_eq!(
        span(r#""droppedAttributesCount":"3""#).dropped_attributes_count,
        3
    );
    assert_eq!(span(r#""flags":257"#).flags, 257);
    assert_eq!(
        span(r#""events":[{}],"links":[{}]"#).events,
        [proto::Event::default()]
    );
    assert_eq!(
        span(r#""events":[{"timeUnixNano":"5","name":"e"}]"#).events[0].time_unix_nano,
        5
    );
    assert_eq!(
        span(r#""attributes":[{}]"#).attributes,
        [proto::KeyValue::default()]
    );
    assert_eq!(
        span(r#""attributes":[{"value":{"intValue":1}}]"#).attributes[0].key,
        ""
    );
    assert_eq!(span(r#""name":"a","name":"b""#).name, "b");
    assert_eq!(
        span(r#""nobody":{"knows":[1,{"this":null}]},"name":"a""#).name,
        "a"
    );
}

#[test]
fn every_kind_of_value_is_taken() {
    assert_eq!(
        value(r#"{"stringValue":"s"}"#),
        Some(Value::StringValue("s".into()))
    );
    assert_eq!(
        value(r#"{"stringValue":""}"#),
        Some(Value::StringValue(String::new()))
    );
    assert_eq!(value(r#"{"boolValue":true}"#), Some(Value::BoolValue(true)));
    assert_eq!(value(r#"{"boolValue":false}"#), Some(Value::BoolValue(false)));
    assert_eq!(
        value(r#"{"intValue":"-9223372036854775808"}"#),
        Some(Value::IntValue(i64::MIN))
    );
    assert_eq!(
        value(r#"{"intValue":9223372036854775807}"#),
        Some(Value::IntValue(i64::MAX))
    );
    assert_eq!(value(r#"{"intValue":0}"#), Some(Value::IntValue(0)));
    assert_eq!(
        value(r#"{"doubleValue":1.5e300}"#),
        Some(Value::DoubleValue(1.5e300))
    );
    assert_eq!(value(r#"{"doubleValue":"1.5"}"#), Some(Value::DoubleValue(1.5)));
    assert_eq!(value(r#"{"doubleValue":-0.0}"#), Some(Value::DoubleValue(-0.0)));
    assert_eq!(
        value(r#"{"doubleValue":"Infinity"}"#),
        Some(Value::DoubleValue(f64::INFINITY))
    );
    assert_eq!(
        value(r#"{"doubleValue":"-Infinity"}"#),
        Some(Value::DoubleValue(f64::NEG_INFINITY))
    );
    assert!(matches!(value(r#"{"doubleValue":"NaN"}"#), Some(Value::DoubleValue(nan)) if nan.is_nan()));
    assert_eq!(
        value(r#"{"arrayValue":{}}"#),
        Some(Value::ArrayValue(proto::ArrayValue::default()))
    );
    assert_eq!(
        value(r#"{"kvlistValue":{}}"#),
        Some(Value::KvlistValue(proto::KeyValueList::default()))
    );
    assert_eq!(
        value(r#"{"bytesValue":"+/8="}"#),
        Some(Value::BytesValue(vec![0xfb, 0xff]))
    );
    assert_eq!(
        value(r#"{"bytesValue":"+/\n8="}"#),
        Some(Value::BytesValue(vec![0xfb, 0xff]))
    );
    assert_eq!(value(r#"{"bytesValue":""}"#), Some(Value::BytesValue(Vec::new())));
    assert_eq!(value(r#"{"newValue":{"a":1}}"#), None);
    assert_eq!(value("{}"), None);
    let list = proto::ArrayValue {
        values: vec![
            proto::AnyValue {
                value: Some(Value::IntValue(1)),
            },
            proto::AnyValue::default(),
        ],
    };
    assert_eq!(
        value(r#"{"arrayValue":{"values":[{"intValue":1},null]}}"#),
        Some(Value::ArrayValue(list))
    );
}

#[test]
fn null_is_an_absent_value_everywhere() {
    for field in [
        "traceId",
        "spanId",
        "traceState",
        "parentSpanId",
        "name",
        "kind",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "attributes",
        "droppedAttributesCount",
        "events",
        "droppedEventsCount",
        "links",
        "droppedLinksCount",
        "status",
        "flags",
    ] {
        assert_eq!(
            span(&format!(r#""{field}":null"#)),
            proto::Span::default(),
            "{field}"
        );
    }
    assert_eq!(
        span(r#""attributes":[{"key":null,"value":null}]"#).attributes,
        [proto::KeyValue::default()]
    );
    assert_eq!(
        span(r#""attributes":[null]"#).attributes,
        [proto::KeyValue::default()]
    );
    for kind in [
        "stringValue",
        "boolValue",
        "intValue",
        "doubleValue",
        "arrayValue",
        "kvlistValue",
        "bytesValue",
    ] {
        assert_eq!(value(&format!(r#"{{"{kind}":null}}"#)), None, "{kind}");
        // Some encoders write every kind, the unused ones as null.
        assert_eq!(
            value(&format!(r#"{{"intValue":1,"{kind}":null}}"#)),
            Some(Value::IntValue(1)),
            "{kind}"
        );
    }
    for json in [
        "{}",
        "null",
        r#"{"resourceSpans":null}"#,
        r#"{"resourceSpans":[]}"#,
    ] {
        assert_eq!(
            transcoded(json.as_bytes()).unwrap(),
            proto::ExportTraceServiceRequest::default(),
            "{json}"
        );
    }
    let nothing = r#"{"resourceSpans":[{"resource":null,"scopeSpans":[{"scope":null,"spans":null}]},null]}"#;
    assert_eq!(transcoded(nothing.as_bytes()).unwrap().resource_spans.len(), 2);
}

#[test]
fn quoted_enum_numbers_are_taken() {
    assert_eq!(span(r#""kind":"2""#).kind, 2);
    assert_eq!(span(r#""status":{"code":"2"}"#).status.unwrap().code, 2);
}

#[test]
fn wrong_values_refuse_the_whole_request() {
    let digits = "0".repeat(32);
    for fields in [
        format!(r#""traceId":"0x{}""#, &digits[2..]),
        format!(r#""traceId":"{}""#, &digits[2..]),
        format!(r#""traceId":"{digits}00""#),
        format!(r#""traceId":"{}""#, &digits[1..]),
        format!(r#""spanId":"{digits}""#),
        r#""traceId":"AAECAwQFBgcICQoLDA0ODw==""#.into(),
        r#""traceId":1"#.into(),
        r#""kind":"SERVER""#.into(),
        r#""kind":1.5"#.into(),
        r#""kind":true"#.into(),
        r#""startTimeUnixNano":-1"#.into(),
        r#""startTimeUnixNano":1.5"#.into(),
        r#""startTimeUnixNano":"18446744073709551616""#.into(),
        r#""startTimeUnixNano":"""#.into(),
        r#""startTimeUnixNano":01"#.into(),
        r#""flags":4294967296"#.into(),
        r#""name":1"#.into(),
        r#""attributes":{}"#.into(),
        r#""attributes":[1]"#.into(),
        r#""status":[]"#.into(),
    ] {
        refused_span(&fields);
    }
    for json in [
        r#"{"intValue":1e3}"#,
        r#"{"intValue":"x"}"#,
        r#"{"intValue":9223372036854775808}"#,
        r#"{"doubleValue":"x"}"#,
        r#"{"doubleValue":1e999}"#,
        r#"{"doubleValue":NaN}"#,
        r#"{"boolValue":"true"}"#,
        r#"{"boolValue":1}"#,
        r#"{"bytesValue":"-_8="}"#,
        r#"{"bytesValue":"+/8"}"#,
        r#"{"arrayValue":[]}"#,
        r#""text""#,
        "1",
    ] {
        refused_value(json);
    }
}

#[test]
fn text_that_is_no_json_is_refused() {
    for json in [
        "",
        " ",
        "[]",
        "1",
        "\"\"",
        "{",
        "}",
        "{}}",
        "{}{}",
        "{} x",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\" 1}",
        "{'a':1}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":+1}",
        "{\"a\":-}",
        "{\"a\":1e}",
        "{\"a\":tru}",
        "{\"a\":nul}",
        "{\"a\":[1 2]}",
        "{\"a\":[1,]}",
        "{\"a\":[}",
        "{\"a\":{]}",
        "{\"a\":\"",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\\",
        "\u{feff}{}",
        "{\"resourceSpans\":[{}",
        "{\"resourceSpans\":[{},]}",
        "{\"resourceSpans\":[,]}",
        "{\"resourceSpans\":n}",
    ] {
        refused(json);
    }
}

#[test]
fn white_space_may_stand_between_all_tokens() {
    let spaced = " { \"resourceSpans\" : [ { \"skipped\" : [ 1 , { } ] ,\r\n\t\"schemaUrl\" : \"u\" } ] } \n";
    assert_eq!(
        transcoded(spaced.as_bytes()).unwrap().resource_spans[0].schema_url,
        "u"
    );
}

#[test]
fn an_error_names_path_and_place() {
    let json = r#"{"resourceSpans":[{},{"scopeSpans":[{"spans":[{},{"traceId":"12"}]}]}]}"#;
    let error = refused(json);
    assert_eq!(error.path, "$.resourceSpans[1].scopeSpans[0].spans[1].traceId");
    assert_eq!(error.offset, json.find("\"12\"").unwrap());
    assert_eq!(
        error.to_string(),
        "malformed OTLP JSON at byte 60, $.resourceSpans[1].scopeSpans[0].spans[1].traceId: \
         an id of 32 hex digits, not 2"
    );
    let error = refused("{} x");
    assert_eq!((error.path.as_str(), error.offset), ("$", 3));
    assert_eq!(error.message, "expected the end, not 'x'");
    let snake = r#"{"resource_spans":[{"scope_spans":{}}]}"#;
    assert_eq!(refused(snake).path, "$.resourceSpans[0].scopeSpans");
}

#[test]
fn escapes_are_undone() {
    assert_eq!(
        span(r#""name":"\"\\\/\b\f\n\r\t\u0041\u00e4\u20ac""#).name,
        "\"\\/\u{8}\u{c}\n\r\tA\u{e4}\u{20ac}"
    );
    assert_eq!(span(r#""name":"\ud83d\ude00""#).name, "\u{1f600}");
    assert_eq!(span(r#""na\u006de":"a""#).name, "a");
}

#[test]
fn half_a_surrogate_pair_becomes_a_replacement_character() {
    assert_eq!(span(r#""name":"\ud83d""#).name, "\u{fffd}");
    assert_eq!(span(r#""name":"\ude00x""#).name, "\u{fffd}x");
    assert_eq!(span(r#""name":"\ud83d\ud83d\ude00""#).name, "\u{fffd}\u{1f600}");
    assert_eq!(span(r#""name":"\ud83d\n""#).name, "\u{fffd}\n");
    assert_eq!(span(r#""name":"\ud83d\u0041""#).name, "\u{fffd}A");
}

#[test]
fn bytes_that_are_no_utf8_pass_as_in_protobuf() {
    let json = span_json(r#""name":"X""#).into_bytes();
    let json: Vec<u8> = json
        .into_iter()
        .map(|byte| if byte == b'X' { 0xff } else { byte })
        .collect();
    let mut out = Vec::new();
    traces_json_to_protobuf(&json, &mut out).unwrap();
    assert_eq!(
        crate::view::decode_traces(&out).unwrap()[0].scope_spans[0].spans[0].name,
        "\u{fffd}"
    );
}

#[test]
fn the_last_of_equal_keys_stands_also_for_lists_and_messages() {
    let twice = span(
        r#""attributes":[{"key":"a"},{"key":"b"}],"name":"first","status":{"code":2,"message":"m"},
           "attributes":[{"key":"c"}],"status":{"code":1},"kind":1,"name":"second","kind":null"#,
    );
    let status = Some(proto::SpanStatus {
        code: 1,
        message: String::new(),
    });
    let attributes = vec![proto::KeyValue {
        key: "c".into(),
        value: None,
    }];
    assert_eq!(
        twice,
        proto::Span {
            name: "second".into(),
            status,
            attributes,
            ..proto::Span::default()
        }
    );
    // Both spellings are the same key.
    assert_eq!(span(r#""traceState":"a","trace_state":"b""#).trace_state, "b");
    // Kinds of one value exclude each other.
    assert_eq!(
        value(r#"{"arrayValue":{"values":[{}]},"intValue":1}"#),
        Some(Value::IntValue(1))
    );
    assert_eq!(
        value(r#"{"intValue":1,"stringValue":"s"}"#),
        Some(Value::StringValue("s".into()))
    );
}

#[test]
fn entity_references_are_not_lost() {
    let json = r#"{"resourceSpans":[{"resource":{"entityRefs":[{"schemaUrl":"u","type":"t","idKeys":["a",null],
        "description_keys":["d"]}]}}]}"#;
    let mut out = Vec::new();
    traces_json_to_protobuf(json.as_bytes(), &mut out).unwrap();
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    let request = ExportTraceServiceRequest::decode(&out[..]).unwrap();
    let reference = &request.resource_spans[0].resource.as_ref().unwrap().entity_refs[0];
    assert_eq!(
        (reference.schema_url.as_str(), reference.r#type.as_str()),
        ("u", "t")
    );
    assert_eq!(
        (&reference.id_keys[..], &reference.description_keys[..]),
        (&["a".into(), String::new()][..], &["d".into()][..])
    );
}

fn nested(levels: u32, around: [&str; 2]) -> String {
    let levels = levels as usize;
    format!(
        "{}{{\"intValue\":1}}{}",
        around[0].repeat(levels - 1),
        around[1].repeat(levels - 1)
    )
}

#[test]
fn values_nest_to_the_same_limit_as_in_protobuf() {
    let list = ["{\"arrayValue\":{\"values\":[", "]}}"];
    let map = ["{\"kvlistValue\":{\"values\":[{\"key\":\"k\",\"value\":", "}]}}"];
    for around in [list, map] {
        for levels in [200, crate::check::VALUE_DEPTH_MAX] {
            let json = span_json(&format!(
                r#""attributes":[{{"value":{}}}]"#,
                nested(levels, around)
            ));
            let mut out = Vec::new();
            traces_json_to_protobuf(json.as_bytes(), &mut out).unwrap();
            assert!(out.len() < json.len());
            crate::walk::RequestWalk::new().walk(&out).unwrap();
            crate::view::decode_traces(&out).unwrap();
        }
        for levels in [crate::check::VALUE_DEPTH_MAX + 1, 100_000] {
            assert!(
                refused_value(&nested(levels, around))
                    .message
                    .contains("too deeply")
            );
        }
    }
}

#[test]
fn what_is_skipped_may_nest_to_a_limit() {
    let skipped = |depth: usize, open: &str, close: &str| {
        format!(r#"{{"x":{}1{}}}"#, open.repeat(depth), close.repeat(depth))
    };
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        assert!(transcoded(skipped(SKIP_DEPTH_MAX, open, close).as_bytes()).is_ok());
        assert!(
            refused(&skipped(SKIP_DEPTH_MAX + 1, open, close))
                .message
                .contains("too deeply")
        );
        refused(&skipped(1_000_000, open, close));
    }
    // A closing bracket must be of the kind that was opened.
    refused(r#"{"x":[[{"a":[]}}]}"#);
}

#[test]
fn empty_messages_deep_inside_are_not_larger_than_their_json() {
    let elements = vec!["{}"; 10_000].join(",");
    let list = format!("{{\"arrayValue\":{{\"values\":[{elements}]}}}}");
    let deep = nested(20, ["{\"arrayValue\":{\"values\":[", "]}}"]).replace("{\"intValue\":1}", &list);
    assert!(transcoded(span_json(&format!(r#""attributes":[{{"value":{deep}}}]"#)).as_bytes()).is_ok());
    let spans = vec![r#"{"kind":-1}"#; 1000].join(",");
    let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#);
    assert!(transcoded(json.as_bytes()).is_ok());
}

#[test]
fn room_for_the_result_is_taken_once() {
    let json = span_json(&format!(r#""name":"{}""#, "n".repeat(100_000)));
    let mut out = Vec::new();
    traces_json_to_protobuf(json.as_bytes(), &mut out).unwrap();
    assert!(out.capacity() <= json.len());
}

proptest! {
    #[test]
    fn json_of_a_request_becomes_that_request(request in requests(), snake: bool, quoted: bool, pretty: bool) {
        let json = to_json(&request, Style { snake, quoted });
        let json = if pretty { serde_json::to_vec_pretty(&json) } else { serde_json::to_vec(&json) }.unwrap();
        let transcoded = transcoded(&json).unwrap();
        // Printed, since no NaN equals another.
        prop_assert_eq!(format!("{transcoded:?}"), format!("{request:?}"));
    }

    #[test]
    fn broken_json_never_panics(
        request in requests(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..4), 1..4),
    ) {
        let mut json = serde_json::to_vec(&to_json(&request, Style { snake: false, quoted: true })).unwrap();
        for (index, byte, change) in changes {
            let at = index.index(json.len());
            match change {
                0 => json[at] = byte,
                1 => json[at] = b"{}[]\",:\\u0-."[usize::from(byte) % 12],
                2 if json.len() > 1 => drop(json.remove(at)),
                _ => json.truncate(at.max(1)),
            }
        }
        let mut out = Vec::new();
        match traces_json_to_protobuf(&json, &mut out) {
            // What is taken is well-formed, and JSON by another parser's judgement, but for its limits and text.
            Ok(()) => {
                crate::view::decode_traces(&out).unwrap();
                prop_assert!(out.len() <= json.len());
                if std::str::from_utf8(&json).is_ok() && !json.contains(&b'\\') {
                    prop_assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok());
                }
            }
            Err(error) => prop_assert!(error.offset <= json.len()),
        }
    }
}

use serde_json::{Value, json};

use super::{Facts, check};

fn segment() -> Value {
    json!({
        "name": "orders", "id": "53995c3f42cd8ad8", "trace_id": "1-4bf92f35-77b34da6a3ce929d0e0e4736",
        "start_time": 1_795_236_000.25, "end_time": 1_795_236_000.5,
        "fault": true, "error": false, "throttle": false,
        "http": {"request": {"method": "POST", "url": "http://orders/api"}, "response": {"status": 500}},
        "cause": {"exceptions": [{"id": "1111111111111111", "type": "E", "message": "m", "remote": false,
                  "stack": [{"path": "a.py", "line": 3, "label": "f"}]}]},
        "annotations": {"cluster_name": "prod-eu", "http.retries": 2, "cold": true},
        "metadata": {"default": {"anything": [1, null]}},
        "aws": {"eks": {"cluster_name": "prod-eu"}, "xray": {"auto_instrumentation": false}},
        "service": {"version": "1.2"}, "origin": "AWS::EKS::Container", "user": "ann",
        "links": [{"trace_id": "1-4bf92f35-77b34da6a3ce929d0e0e4736", "id": "2222222222222222"}],
        "sql": {"url": "SELECT", "database_type": "postgresql"},
    })
}

/// The segment with one member replaced (or, by null, still present and null).
fn with(name: &str, value: Value) -> String {
    let mut document = segment();
    document[name] = value;
    document.to_string()
}

fn without(name: &str) -> String {
    let mut document = segment();
    document.as_object_mut().unwrap().remove(name);
    document.to_string()
}

#[test]
fn a_full_segment_passes() {
    assert_eq!(
        check(&segment().to_string()),
        Ok(Facts {
            trace_id: "1-4bf92f35-77b34da6a3ce929d0e0e4736".into(),
            id: "53995c3f42cd8ad8".into(),
            fault: true
        })
    );
}

#[test]
fn what_must_be_there_must_be_there() {
    for (name, code) in [
        ("name", "InvalidName"),
        ("id", "InvalidSegment"),
        ("trace_id", "InvalidTraceId"),
        ("start_time", "InvalidSegment"),
        ("end_time", "InvalidSegment"),
    ] {
        assert_eq!(check(&without(name)).unwrap_err().code, code, "without {name}");
    }
    let in_progress = without("end_time").replacen('{', r#"{"in_progress":true,"#, 1);
    assert!(check(&in_progress).is_ok());
    assert!(
        check(&with("in_progress", json!(true))).is_err(),
        "both end_time and in_progress"
    );
}

#[test]
fn each_rule_refuses_what_breaks_it() {
    let fifty_one: Value = (0..51)
        .map(|n| (format!("k{n}"), json!(n)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let link = json!({"trace_id": "1-4bf92f35-77b34da6a3ce929d0e0e4736", "id": "2222222222222222"});
    let broken = [
        ("name", json!("a,b")),
        ("name", json!("a\\b")),
        ("name", json!("a\nb")),
        ("name", json!("")),
        ("name", json!("n".repeat(201))),
        ("name", json!(null)),
        ("id", json!("53995c3f42cd8ad")),
        ("id", json!("53995c3f42cd8adg")),
        ("id", json!("0000000000000000")),
        ("id", json!(null)),
        ("parent_id", json!("")),
        ("parent_id", json!("53995c3f42cd8ad8")),
        ("trace_id", json!("4bf92f3577b34da6a3ce929d0e0e4736")),
        ("trace_id", json!("1-4bf92f35-77b34da6a3ce929d0e0e473")),
        ("trace_id", json!("nonsense")),
        ("start_time", json!("1795236000")),
        ("start_time", json!(1_795_236_000_250_u64)),
        ("end_time", json!(-1)),
        ("fault", json!("yes")),
        ("type", json!("segment")),
        ("type", json!("subsegment")), // without a parent_id
        ("namespace", json!("local")),
        ("origin", json!(null)),
        ("user", json!("u".repeat(251))),
        ("annotations", fifty_one),
        ("annotations", json!({"has space": 1})),
        ("annotations", json!({"": 1})),
        ("annotations", json!({"k": "v".repeat(1001)})),
        ("annotations", json!({"k": [1]})),
        ("annotations", json!({"k": null})),
        ("metadata", json!({"default": 1})),
        ("metadata", json!({"default": null})),
        ("metadata", json!([])),
        ("http", json!({"request": {"url": "u".repeat(251)}})),
        ("http", json!({"request": {"method": 1}})),
        ("http", json!({"response": {"status": "500"}})),
        ("http", json!({"response": null})),
        ("cause", json!("abc")),
        ("cause", json!({"exceptions": [{"message": "no id"}]})),
        (
            "cause",
            json!({"exceptions": [{"id": "1111111111111111", "stack": [{"line": "3"}]}]}),
        ),
        ("links", json!(vec![link; 21])),
        ("links", json!([{"trace_id": "x", "id": "2222222222222222"}])),
        ("aws", json!({"ec2": {"instance_id": null}})),
        ("sql", json!({"url": 1})),
        ("service", json!("1.2")),
        (
            "subsegments",
            json!([{"name": "a,b", "id": "3333333333333333", "start_time": 1, "end_time": 2}]),
        ),
        ("colour", json!("unknown member")),
    ];
    for (name, value) in broken {
        let shown = value.to_string();
        assert!(check(&with(name, value)).is_err(), "{name} = {shown} was taken");
    }
}

#[test]
fn values_at_their_limits_pass() {
    let fifty: Value = (0..50)
        .map(|n| (format!("k.{n}"), json!(n)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    for (name, value) in [
        ("name", json!("n".repeat(200))),
        ("name", json!("Gr\u{f6}\u{df}e _.:/%&#=+-@ \u{6771}\u{4eac}")),
        ("annotations", fifty),
        ("annotations", json!({"k".repeat(500): "v".repeat(1000)})),
        ("cause", json!("1111111111111111")),
        ("cause", json!({})),
        ("namespace", json!("remote")),
        ("user", json!("u".repeat(250))),
        (
            "subsegments",
            json!([{"name": "a", "id": "3333333333333333", "start_time": 1, "end_time": 2}]),
        ),
    ] {
        let shown = value.to_string();
        assert_eq!(check(&with(name, value)).map(|_| ()), Ok(()), "{name} = {shown}");
    }
}

#[test]
fn size_form_and_repeated_keys_are_seen() {
    let big = with("metadata", json!({"default": {"k": "v".repeat(65_536)}}));
    assert!(check(&big).unwrap_err().message.contains("bytes"));
    assert!(check("T1SCgsK").is_err());
    assert!(check("[]").is_err());
    assert!(check("{} {}").is_err());
    let twice = segment().to_string().replacen('{', r#"{"name":"first","#, 1);
    assert!(check(&twice).unwrap_err().message.contains("twice"));
}

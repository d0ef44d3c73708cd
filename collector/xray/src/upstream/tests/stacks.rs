//! Stack traces, by the case names of upstream's tests.

use serde_json::{Value, json};
use tracepipe_otlp::view::{AnyValue, Event, ResourceSpans, Span, SpanKind};

use super::{Outcome, Version, attribute, attributes, ended, of_resource, outcome, span};

fn spans(language: &'static str, trace: &str) -> ResourceSpans<'static> {
    let mut list = attributes(&[("exception.type", "T"), ("exception.message", "m")]);
    list.push(attribute(
        "exception.stacktrace",
        AnyValue::String(trace.to_owned().into()),
    ));
    let event = Event {
        name: "exception".into(),
        attributes: list,
        ..Event::default()
    };
    let span = Span {
        events: vec![event],
        ..span(SpanKind::Client, "x", Vec::new())
    };
    of_resource(attributes(&[("telemetry.sdk.language", language)]), span)
}

/// The exceptions of a trace as `TYPE: MESSAGE`, each with its frames as `LABEL|PATH|LINE` below it.
fn read(language: &'static str, trace: &str) -> Vec<String> {
    let document = ended(Version::V0_161, &spans(language, trace)).remove(0);
    let exceptions = document["cause"]["exceptions"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut lines = Vec::new();
    for (index, exception) in exceptions.iter().enumerate() {
        let cause = exceptions.get(index + 1).map(|next| next["id"].clone());
        assert_eq!(
            exception.get("cause").cloned(),
            cause,
            "each has the next one as its cause"
        );
        assert_eq!(exception["remote"], true);
        lines.push(format!(
            "{}: {}",
            text(&exception["type"]),
            text(&exception["message"])
        ));
        for frame in exception["stack"].as_array().into_iter().flatten() {
            let (label, path) = (text(&frame["label"]), text(&frame["path"]));
            lines.push(format!("  {label}|{path}|{}", frame["line"]));
        }
    }
    lines
}

fn crashes(language: &'static str, trace: &str) -> bool {
    outcome(&spans(language, trace)) == Outcome::Crash
}

#[test]
fn without_a_stack_trace_or_a_known_language_there_are_no_frames() {
    for (language, trace) in [
        ("java", ""),
        ("ruby", "a\n\tat b(c:1)"),
        ("Java", "a\n\tat b(c:1)"),
        ("java", "a"),
    ] {
        assert_eq!(read(language, trace), ["T: m"], "{language} {trace:?}");
    }
    let empty = Event {
        name: "exception".into(),
        ..Event::default()
    };
    let span = Span {
        events: vec![empty],
        ..span(SpanKind::Server, "x", Vec::new())
    };
    let document = ended(Version::V0_161, &of_resource(Vec::new(), span)).remove(0);
    assert_eq!(
        document["cause"],
        json!({ "exceptions": [{ "id": "0000000000000001", "type": "", "message": "", "remote": false }] })
    );
}

#[test]
fn java_frames() {
    let trace =
        "T: m\n\tat a.B.c(B.java:12)\n\tat java.base/java.util.D.e(D.java:3)\r\n\tat f(Native Method)\n";
    for language in ["java", "php"] {
        assert_eq!(
            read(language, trace),
            [
                "T: m",
                "  a.B.c|B.java|12",
                "  java.util.D.e|D.java|3",
                "  f|Native Method|0"
            ]
        );
    }
    assert_eq!(
        read("java", "\tat a(b:1)\n\tat c(d:2)"),
        ["T: m", "  c|d|2"],
        "line 1 is skipped"
    );
}

#[test]
fn java_not_java() {
    assert_eq!(read("java", "T: m\n  File \"a.py\", line 1, in b\n"), ["T: m"]);
}

#[test]
fn java_causes() {
    let trace =
        "T: m\n\tat a(B.java:1)\nCaused by: X: first\nand more\n\tat c(D.java:2)\n\t... 3 more\nCaused by: Y";
    assert_eq!(
        read("java", trace),
        ["T: m", "  a|B.java|1", "X: firstand more", "  c|D.java|2", "Y: "]
    );
    assert_eq!(read("java", "T: m\nCaused by: X: "), ["T: m", "X: "]);
}

#[test]
fn java_skip_common_and_suppressed_and_malformed() {
    let trace = "T: m\n\tat a(A.java:)\n\t... 1 more\n\tSuppressed: S\n\t\tat b(B.java:1)\n\tat c\n\tat d(D.java:1\n\tat e(x)";
    assert_eq!(read("java", trace), ["T: m", "  a|A.java|0", "  e|x|0"]);
}

#[test]
fn java_crash() {
    assert!(crashes("java", "T: m\nCaused by: X:"));
    assert!(crashes("php", "T: m\nCaused by: X:"));
}

#[test]
fn python_frames() {
    let trace = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    g()\n  File \"b.py\", line 2, in g\n\
                 TypeError: m";
    assert_eq!(read("python", trace), ["T: m", "  g|b.py|2", "  f|a.py|1"]);
}

#[test]
fn python_cause() {
    let trace = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    g()\nX: first\nand more\n\n\
                 During handling of the above exception, another exception occurred:\n\n\
                 Traceback (most recent call last):\n  File \"b.py\", line 2, in h\n    k()\nT: m";
    assert_eq!(
        read("python", trace),
        ["T: m", "  h|b.py|2", "X: first\nand more", "  f|a.py|1"]
    );
}

#[test]
fn python_direct_cause_is_not_read() {
    let trace = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    g()\nX: first\n\n\
                 The above exception was the direct cause of the following exception:\n\n\
                 Traceback (most recent call last):\n  File \"b.py\", line 2, in h\n    k()\nT: m";
    assert_eq!(read("python", trace), ["T: m", "  h|b.py|2", "  f|a.py|1"]);
}

#[test]
fn python_malformed() {
    let trace = "Traceback (most recent call last):\n  File \"a.py\", line x, in f\n  File \"b.py\", line 2\n\
                 \x20 File \"c,d.py\", line 3, in g\n  File \"e.py\", 4, h\nT: m";
    assert_eq!(read("python", trace), ["T: m", "  |e.py|0", "  f|a.py|0"]);
    // No frame above, and no colon in what is above: the reading ends.
    let cause = "\nDuring handling of the above exception, another exception occurred:\n";
    assert_eq!(
        read(
            "python",
            &format!("x\n  File \"a.py\", line 1, in f\n    g()\nX\n{cause}\nT: m")
        ),
        ["T: m"]
    );
    assert_eq!(read("python", &format!("x\ny\nz{cause}\nT: m")), ["T: m"]);
}

#[test]
fn python_crash() {
    let again = "During handling of the above exception, another exception occurred:";
    for trace in [
        "x\n  File ,a,b\nT: m".to_owned(),
        "x\n  File \",a,b\nT: m".to_owned(),
        format!("x\n  File \"a.py\", line 1, in f\n    g()\nX:\n\n{again}\n\nT: m"),
        format!("x\n  File \"a.py\", line 1, in f\n{again}\n\nT: m"),
    ] {
        assert!(crashes("python", &trace), "{trace:?}");
    }
}

#[test]
fn javascript_frames() {
    let trace = "T: m\n    at Object.<anonymous> (/app/index.js:10:15)\n    at /app/plain.js:5:9\n    at Array.map (native)\n\
                 \x20   at new A (/app/a.js:1)\n    at <anonymous>\n";
    assert_eq!(
        read("javascript", trace),
        [
            "T: m",
            "  Object.<anonymous> |/app/index.js|10",
            "  |/app/plain.js|5",
            "  Array.map |native|0",
            "  new A |/app/a.js:1|0",
            "  |<anonymous>|0"
        ]
    );
}

#[test]
fn javascript_urls_break() {
    let trace = "T: m\n    at a (node:internal/x:1105:14)\n    at file:///app/mod.mjs:3:7\n    at C:\\app\\win.js:5:9";
    assert_eq!(
        read("javascript", trace),
        ["T: m", "  a |node|0", "  |file|0", "  |C|0"]
    );
}

#[test]
fn javascript_malformed() {
    let trace = "T: m\n   at a (b:1:2)\n    at b (c:1:2\n    at \n    at ()\n    at d(e:1:2)";
    assert_eq!(read("javascript", trace), ["T: m", "  d|e|1"]);
}

#[test]
fn dotnet_frames() {
    let trace = "T: m\r\n   at A.B(String c) in /src/A.cs:line 42\r\n   at D.E()\r\n --- End of inner exception stack trace ---\r\n\
                 \x20  at F() in x:7 in y:8";
    assert_eq!(
        read("dotnet", trace),
        ["T: m", "  A.B(String c)|/src/A.cs|42", "  D.E()||0", "  F()|x|7"]
    );
}

#[test]
fn dotnet_malformed() {
    let trace = "T: m\n   at no.parenthesis\n  in x\n   at G() tail\n   at H in file\n   at I in file:line x";
    assert_eq!(
        read("dotnet", trace),
        ["T: m", "  G()||0", "  H|file|0", "  I|file|0"]
    );
    assert!(crashes("dotnet", "T: m\n   at A() in file:line"));
    assert!(crashes("dotnet", "T: m\n   at in file:line 7"));
}

#[test]
fn go_frames() {
    let trace = "T: m\ngoroutine 1 [running]:\nmain.f(0x1)\n\t/src/a.go:12 +0x1d\nmain.main()\n\t/src/b c/b.go:7\ncreated by x\n\tno location\n";
    assert_eq!(
        read("go", trace),
        [
            "T: m",
            "  main.f(0x1)|/src/a.go|12",
            "  main.main()|c/b.go|7",
            "  created by x|c/b.go|7"
        ]
    );
}

#[test]
fn go_goroutines() {
    let trace = "T: m\ngoroutine 1 [running]:\na()\n\ta.go:1\ngoroutine 2 [running, locked to thread]:\nb()\n\tb.go:2\n\
                 goroutine 3 [select]:\nc()";
    assert_eq!(
        read("go", trace),
        [
            "T: m",
            "  a()|a.go|1",
            "  b()|b.go|2",
            "  goroutine 3 [select]:|b.go|2"
        ]
    );
}

#[test]
fn a_number_too_large_is_the_largest() {
    assert_eq!(
        read(
            "java",
            "T: m\n\tat a(b:99999999999999999999)\n\tat c(d:-99999999999999999999)"
        ),
        ["T: m", "  a|b|9223372036854775807", "  c|d|-9223372036854775808"]
    );
}

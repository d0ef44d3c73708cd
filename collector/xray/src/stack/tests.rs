use proptest::prelude::{Strategy, any};

use super::{Frame, StackTrace};
use crate::limits::{CAUSES_MAX, FRAMES_MAX};

fn frame(path: &'static str, line: u32, label: &'static str) -> Frame<'static> {
    Frame { path, line, label }
}

/// Type, message and labels of each cause.
fn causes<'t>(trace: &'t StackTrace<'t>) -> Vec<(&'t str, &'t str, Vec<&'t str>)> {
    trace
        .causes
        .iter()
        .map(|cause| {
            let labels = cause.stack.frames.iter().map(|frame| frame.label).collect();
            (cause.kind, &*cause.message, labels)
        })
        .collect()
}

#[test]
fn java_frames_causes_and_what_they_have_in_common() {
    let text = "java.lang.IllegalStateException: state is not legal\n\
        \tat com.shop.Orders.place(Orders.java:16)\n\
        \tat app//com.shop.Api$Handler.handle(Api.java)\n\
        \tat java.base@21/jdk.internal.reflect.Invoke.invoke0(Native Method)\n\
        \tat com.shop.Api$$Lambda$14/0x00007f.run(Unknown Source)\n\
        \tSuppressed: java.io.IOException: close\n\
        \t\tat com.shop.Pool.close(Pool.java:1)\n\
        \t\t... 3 more\n\
        Caused by: java.lang.IllegalArgumentException: bad argument:\n\
        see above\n\
        \tat com.shop.Orders.check(Orders.java:20)\n\
        \t... 4 more\n\
        Caused by: com.shop.Closed\n\
        \tat com.shop.Pool.take(Pool.java:7)\n";
    let trace = StackTrace::parse("java", text);
    assert_eq!(
        trace.stack.frames,
        [
            frame("Orders.java", 16, "com.shop.Orders.place"),
            frame("Api.java", 0, "com.shop.Api$Handler.handle"),
            frame("Native Method", 0, "jdk.internal.reflect.Invoke.invoke0"),
            frame("Unknown Source", 0, "com.shop.Api$$Lambda$14/0x00007f.run"),
        ]
    );
    assert_eq!(trace.stack.truncated, 0);
    assert_eq!(
        causes(&trace),
        [
            (
                "java.lang.IllegalArgumentException",
                "bad argument:\nsee above",
                vec!["com.shop.Orders.check"]
            ),
            ("com.shop.Closed", "", vec!["com.shop.Pool.take"]),
        ]
    );
    assert_eq!(trace.causes[0].stack.truncated, 4);
}

#[test]
fn java_with_windows_line_ends_and_malformed_lines() {
    let text = "E: x\r\n\tat a.B.c(D.java:1)\r\n\tat broken\r\n\tat (\r\nCaused by: \r\n";
    let trace = StackTrace::parse("java", text);
    assert_eq!(trace.stack.frames, [frame("D.java", 1, "a.B.c")]);
    assert_eq!(causes(&trace), [("", "", vec![])]);
}

#[test]
fn python_frames_are_innermost_first_and_chains_are_causes() {
    let text = "Traceback (most recent call last):\n\
        \u{20} File \"/app/db.py\", line 5, in query\n\
        \u{20}   cursor.execute(sql, [a, b])\n\
        \u{20}   ^^^^^^^^^^^^^^\n\
        sqlite3.OperationalError: no such table: orders\n\
        check the schema\n\
        \n\
        The above exception was the direct cause of the following exception:\n\
        \n\
        Traceback (most recent call last):\n\
        \u{20} File \"/app/orders, old.py\", line 9, in place\n\
        \u{20}   query()\n\
        KeyError\n\
        \n\
        During handling of the above exception, another exception occurred:\n\
        \n\
        Traceback (most recent call last):\n\
        \u{20} File \"/app/api.py\", line 3, in <module>\n\
        \u{20}   place()\n\
        \u{20} File \"/app/api.py\", line 2\n\
        ValueError: bad order\n";
    let trace = StackTrace::parse("python", text);
    assert_eq!(
        trace.stack.frames,
        [frame("/app/api.py", 2, ""), frame("/app/api.py", 3, "<module>")]
    );
    assert_eq!(
        causes(&trace),
        [
            ("KeyError", "", vec!["place"]),
            (
                "sqlite3.OperationalError",
                "no such table: orders\ncheck the schema",
                vec!["query"]
            ),
        ]
    );
    assert_eq!(trace.causes[0].stack.frames[0].path, "/app/orders, old.py");
}

#[test]
fn javascript_places_have_colons_of_their_own() {
    let text = "TypeError: x is undefined\n\
        \u{20}   at Order.place [as handler] (file:///app/orders.js:10:5)\n\
        \u{20}   at async /app/api.js:3:14\n\
        \u{20}   at new Pool (C:\\app\\pool.js:7:1)\n\
        \u{20}   at node:internal/timers:573:17\n\
        \u{20}   at Array.map (<anonymous>)\n\
        \u{20}   at eval (eval at run (/app/e.js:1:2), <anonymous>:4:9)\n\
        \u{20}   at process.tick (native)\n";
    let expected = [
        frame("file:///app/orders.js", 10, "Order.place [as handler]"),
        frame("/app/api.js", 3, ""),
        frame("C:\\app\\pool.js", 7, "new Pool"),
        frame("node:internal/timers", 573, ""),
        frame("<anonymous>", 0, "Array.map"),
        frame("eval at run (/app/e.js:1:2), <anonymous>", 4, "eval"),
        frame("native", 0, "process.tick"),
    ];
    for language in ["nodejs", "javascript", "webjs"] {
        assert_eq!(StackTrace::parse(language, text).stack.frames, expected);
    }
}

#[test]
fn javascript_of_other_browsers() {
    let text = "place@https://shop.example/app.js:12:34\n@https://shop.example/app.js:1:2\nme@example.com\n";
    assert_eq!(
        StackTrace::parse("webjs", text).stack.frames,
        [
            frame("https://shop.example/app.js", 12, "place"),
            frame("https://shop.example/app.js", 1, "")
        ]
    );
}

#[test]
fn what_is_not_understood_is_kept_line_by_line() {
    let text = "main.Fail(...)\n\n\t/app/main.go:12 +0x1d\n";
    let expected = [
        frame("", 0, "main.Fail(...)"),
        frame("", 0, "/app/main.go:12 +0x1d"),
    ];
    for language in ["go", "java", "python", "nodejs", ""] {
        assert_eq!(
            StackTrace::parse(language, text).stack.frames,
            expected,
            "{language}"
        );
    }
    assert!(StackTrace::parse("java", " \n").stack.is_empty());
}

#[test]
fn frames_and_causes_beyond_the_limits_are_counted() {
    let mut text = "E\n".to_owned();
    text.push_str(&"\tat a.B.c(D.java:1)\n".repeat(FRAMES_MAX + 7));
    text.push_str(&"Caused by: F: g\n\tat a.B.c(D.java:1)\n".repeat(CAUSES_MAX + 3));
    let trace = StackTrace::parse("java", &text);
    assert_eq!((trace.stack.frames.len(), trace.stack.truncated), (FRAMES_MAX, 7));
    assert_eq!((trace.causes.len(), trace.skipped), (CAUSES_MAX, 3));
    assert_eq!(trace.causes[CAUSES_MAX - 1].stack.frames.len(), 1);
}

proptest::proptest! {
    #[test]
    fn no_text_is_too_odd(
        lines in proptest::collection::vec(
            proptest::prop_oneof![
                any::<String>(),
                proptest::sample::select(vec![
                    "\tat ", "\tat a(", "\tat a()", "\tat )(", "Caused by: ", "Caused by: X:", "\t... 99999999999 more", "  File \"",
                    "  File \"\", line ", "  File ,a,b", "ValueError:", "During handling of the above exception, another exception occurred:",
                    "    at (", "    at  ()", "    at :::", "@::1", "\u{e9}@\u{e9}:1:1", "    at \u{e9} (\u{e9}:1:\u{e9})",
                ]).prop_map(str::to_owned),
            ],
            0..12,
        ),
        ends in proptest::sample::select(vec!["\n", "\r\n", "\r"]),
    ) {
        let text = lines.join(ends);
        for language in ["java", "python", "nodejs", "go"] {
            StackTrace::parse(language, &text);
        }
    }
}

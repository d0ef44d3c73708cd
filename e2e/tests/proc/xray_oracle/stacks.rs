//! Stack traces of every language that upstream reads: lines in an order that no runtime would write.

use super::values::Draw;

/// As resources name them.
pub(crate) const LANGUAGES: [&str; 8] = [
    "java",
    "python",
    "javascript",
    "dotnet",
    "php",
    "go",
    "ruby",
    "Java",
];

const JAVA: [&str; 21] = [
    "\tat com.shop.Cart.add(Cart.java:42)",
    "\tat java.base/java.util.ArrayList.get(ArrayList.java:427)",
    "\tat app//com.shop.Main.main(Main.java)",
    "\tat com.shop.Native.call(Native Method)",
    "\tat com.shop.Odd.line(Odd.java:)",
    "\tat com.shop.Odd.line(Odd.java:x1)",
    "\tat com.shop.Odd.line(Odd.java:99999999999999999999)",
    "\tat com.shop.Odd.line(Odd.java:+7)",
    "\tat com.shop.Odd.line(Odd.java:1:2)",
    "\tat com.shop.Odd.open(Odd.java:1",
    "\tat no.parenthesis",
    "\tat a(b)(c:3)",
    "\t... 12 more",
    "\tSuppressed: java.io.IOException: closed",
    "\t\tat com.shop.Inner.close(Inner.java:3)",
    "Caused by: java.io.IOException: disk: full",
    "Caused by: java.lang.Error",
    "Caused by: a.B: ",
    "Caused by: ",
    "more of the message",
    "",
];
const PHP: [&str; 6] = [
    "\tat Shop\\Cart->add(/var/www/cart.php:12)",
    "\tat {main}(/var/www/index.php:3)",
    "\tat [internal function]()",
    "\tat strlen()",
    "Caused by: Exception: inner",
    "\t... 3 more",
];
const PYTHON: [&str; 22] = [
    "  File \"main.py\", line 14, in greet_many",
    "    greet(person)",
    "  File \"greet.py\", line 3, in <module>",
    "  File \"/a,b.py\", line 3, in f",
    "  File \"two.py\", line 3",
    "  File \"odd.py\", line x, in f",
    "  File \"odd.py\", ln 7, at f",
    "  File \"caf\u{e9}.py\", line 8, in f\r",
    "During handling of the above exception, another exception occurred:",
    "",
    "",
    "Traceback (most recent call last):",
    "ValueError: bad value",
    "TypeError: two: colons",
    "more of the message",
    "KeyError",
    "The above exception was the direct cause of the following exception:",
    "    ~~~~~^^^^",
    "  [Previous line repeated 992 more times]",
    " File \"indent.py\", line 1, in f",
    "  File ",
    "Error: ",
];
const JAVASCRIPT: [&str; 19] = [
    "    at Object.<anonymous> (/app/index.js:10:15)",
    "    at Module._compile (node:internal/modules/cjs/loader:1105:14)",
    "    at file:///app/mod.mjs:3:7",
    "    at async Promise.all (index 0)",
    "    at /app/plain.js:5:9",
    "    at C:\\app\\win.js:5:9",
    "    at Array.map (native)",
    "    at Array.forEach (<anonymous>)",
    "    at native",
    "    at new Cart (/app/cart.js:1)",
    "    at broken (/app/x.js:1:2",
    "    at ()",
    "    at ",
    "    at (:0:0)",
    "    at (:0:)",
    "    at (a:b:c)",
    "    at a:7:",
    "   at three (/app/x.js:1:2)",
    "at none (/app/x.js:1:2)",
];
const DOTNET: [&str; 17] = [
    "   at Shop.Cart.Add(String id) in /src/Cart.cs:line 42",
    "   at Shop.Cart.Add(String id)",
    "   at System.Threading.Tasks.Task.Wait() in C:\\src\\Task.cs:line 7",
    "at x() in y:line 1",
    "   at Odd in file",
    "   at Odd() in file:12",
    "   at Odd() in file:",
    "   at Odd() in file:line x",
    "   at Odd() in a in b:line 3",
    "   at no.parenthesis",
    "   at caf\u{e9}(\u{4e2d}) tail",
    "--- End of inner exception stack trace ---",
    " ---> System.Exception: inner",
    "   --- End of stack trace from previous location ---",
    "   at  in :line 5",
    "   at",
    "",
];
const GO: [&str; 16] = [
    "goroutine 19 [running]:",
    "goroutine 1 [running, locked to thread]:",
    "goroutine 7 [chan receive]:",
    "github.com/shop/cart.Add(0xc000, 0x1)",
    "\t/src/cart/cart.go:42 +0x1d",
    "main.main()",
    "\t/src/main.go:7",
    "created by main.main",
    "\t/src/a b/main.go:12 +0x3",
    "testing.tRunner(0xc1, 0x2)",
    "no location",
    "a:b:3",
    "::5",
    "x:99999999999999999999",
    "",
    "goroutine running:",
];

/// A trace in one of the languages; sometimes of another than it is said to be.
pub(crate) fn trace(draw: &mut Draw<'_>, language: &str) -> String {
    let language = if draw.chance(0.1) {
        draw.one(&LANGUAGES)
    } else {
        language
    };
    let (first, pool): (_, &[&str]) = match language {
        "java" | "Java" => ("java.lang.IllegalStateException: state", &JAVA),
        "php" => ("Exception: state", if draw.chance(0.3) { &JAVA } else { &PHP }),
        "python" => ("Traceback (most recent call last):", &PYTHON),
        "javascript" => ("TypeError: Cannot read property", &JAVASCRIPT),
        "dotnet" => ("System.InvalidOperationException: state", &DOTNET),
        "go" => ("panic: state", &GO),
        _ => ("main.rb:1:in `f': state (RuntimeError)", &GO),
    };
    let mut lines: Vec<String> = Vec::new();
    if draw.chance(0.97) {
        lines.push(first.to_owned());
    }
    let length = draw.one(&[0, 1, 2, 3, 5, 8, 13]);
    if language == "python" && draw.chance(0.5) {
        lines.extend(chain(draw).into_iter().map(str::to_owned));
    }
    lines.extend((0..length).map(|_| line(draw, pool)));
    if language == "python" && draw.chance(0.8) {
        lines.push("ValueError: the last one".to_owned());
    }
    let end = draw.one(&["\n", "\n", "\n", "\r\n"]);
    let mut text = lines.join(end);
    if draw.chance(0.3) {
        text.push_str(end);
    }
    text
}

/// A line of these; sometimes cut, or with a part of another one in it.
fn line(draw: &mut Draw<'_>, pool: &[&str]) -> String {
    let mut line = draw.one(pool).to_owned();
    if draw.chance(0.15) {
        let at = place(draw, &line);
        line.truncate(at);
    }
    if draw.chance(0.15) {
        let other = draw.one(pool);
        let (at, from) = (place(draw, &line), place(draw, other));
        line.insert_str(at, &other[from..]);
    }
    line
}

/// Between any two characters.
fn place(draw: &mut Draw<'_>, text: &str) -> usize {
    let mut at = draw.below(text.len() as u64 + 1) as usize;
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Two Python exceptions, one raised while the other was handled.
fn chain(draw: &mut Draw<'_>) -> Vec<&'static str> {
    let mut lines = vec![
        "  File \"first.py\", line 1, in first",
        "    first()",
        draw.one(&[
            "ValueError: bad value",
            "TypeError: two: colons",
            "KeyError",
            "Error: ",
        ]),
    ];
    if draw.chance(0.3) {
        lines.push("more of the message");
    }
    lines.extend([
        "",
        "During handling of the above exception, another exception occurred:",
        "",
        "Traceback (most recent call last):",
        "  File \"second.py\", line 2, in second",
        "    second()",
    ]);
    lines
}

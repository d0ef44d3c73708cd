//! `Error.prototype.stack`: as V8 writes it (Node.js, Chrome), and as Firefox and Safari do.

use super::{Frame, StackTrace};

/// Frames only: the text has no causes.
pub(super) fn parse(text: &str) -> StackTrace<'_> {
    let mut trace = StackTrace::default();
    for line in text.lines() {
        if let Some(frame) = v8(line).or_else(|| firefox(line)) {
            trace.push(frame);
        }
    }
    trace
}

/// `    at async Class.method [as name] (file:///app/server.js:12:34)`, or the place alone.
fn v8(line: &str) -> Option<Frame<'_>> {
    if !line.starts_with(' ') {
        return None;
    }
    let call = line.trim().strip_prefix("at ")?;
    // Code of an eval has places inside its place; the first bracket begins the whole.
    let (label, place) = match call.strip_suffix(')').and_then(|call| call.split_once(" (")) {
        Some((label, place)) => (label, place),
        None => ("", call.strip_prefix("async ").unwrap_or(call)),
    };
    let (path, line) = place_of(place);
    Some(Frame { path, line, label })
}

/// `method@https://shop.example/app.js:12:34`.
fn firefox(line: &str) -> Option<Frame<'_>> {
    let (label, place) = line.trim().split_once('@')?;
    let (path, line) = place_of(place);
    if line == 0 {
        return None;
    }
    Some(Frame { path, line, label })
}

/// `path:line:column`. Paths have colons of their own: `node:fs`, `file:///`, `C:\`.
fn place_of(place: &str) -> (&str, u32) {
    let number = |text: &str| text.parse::<u32>().ok();
    let Some((before, last)) = place.rsplit_once(':') else {
        return (place, 0);
    };
    match (number(last), before.rsplit_once(':')) {
        (Some(_), Some((path, line))) if number(line).is_some() => (path, number(line).unwrap_or(0)),
        (Some(line), _) => (before, line),
        (None, _) => (place, 0),
    }
}

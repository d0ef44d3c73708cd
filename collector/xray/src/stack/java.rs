//! What `Throwable.printStackTrace` prints (Java, and the languages of its virtual machine).

use std::borrow::Cow;

use super::{Frame, StackTrace, type_and_message, with_lines};

const CAUSED_BY: &str = "Caused by: ";

/// Frames and causes. What was suppressed stands deeper and is left out: it is not why the request failed.
pub(super) fn parse(text: &str) -> StackTrace<'_> {
    let mut trace = StackTrace::default();
    let lines: Vec<&str> = text.lines().collect();
    let depth = lines
        .iter()
        .find(|line| frame(line).is_some())
        .map_or(0, |line| indent(line));
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        at += 1;
        if let Some(cause) = line.strip_prefix(CAUSED_BY) {
            let (kind, first) = type_and_message(cause);
            let following = lines[at..]
                .iter()
                .take_while(|line| frame(line).is_none() && !is_end_of_message(line))
                .count();
            let message = with_lines(first, &lines[at..at + following]);
            trace.push_cause(kind, message);
            at += following;
        } else if indent(line) <= depth
            && let Some(frame) = frame(line)
        {
            trace.push(frame);
        } else if indent(line) <= depth
            && let Some(common) = frames_in_common(line)
            && let Some(stack) = trace.current()
        {
            // The same as the last ones of the exception that this one caused.
            stack.truncated = stack.truncated.saturating_add(common);
        }
    }
    for cause in &mut trace.causes {
        if let Cow::Borrowed(message) = cause.message {
            cause.message = Cow::Borrowed(message.trim_end());
        }
    }
    trace
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// `\tat loader/module@1/package.Class.method(File.java:12)`.
fn frame(line: &str) -> Option<Frame<'_>> {
    if !line.starts_with(['\t', ' ']) {
        return None;
    }
    let call = line.trim().strip_prefix("at ")?;
    let (function, place) = call.strip_suffix(')')?.split_once('(')?;
    let (path, number) = place.rsplit_once(':').unwrap_or((place, ""));
    // A lambda has a slash in the name of its class; what stands before is no module.
    let label = match function.rsplit_once('/') {
        Some((before, label)) if !before.contains("$$") => label,
        Some(_) | None => function,
    };
    Some(Frame {
        path,
        line: number.parse().unwrap_or(0),
        label,
    })
}

fn is_end_of_message(line: &str) -> bool {
    line.starts_with(CAUSED_BY)
        || frames_in_common(line).is_some()
        || line.trim_start().starts_with("Suppressed: ")
}

/// `\t... 12 more`.
fn frames_in_common(line: &str) -> Option<u32> {
    line.trim().strip_prefix("... ")?.split(' ').next()?.parse().ok()
}

//! What Python's `traceback` prints.

use super::{Frame, StackTrace, type_and_message, with_lines};

/// Stand between an exception and the one that was raised because of it or while it was handled.
const LINKS: [&str; 2] = [
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
];

/// The exception stands last in the text and what caused it before; and its innermost call last of its frames.
pub(super) fn parse(text: &str) -> StackTrace<'_> {
    let mut trace = StackTrace::default();
    let lines: Vec<&str> = text.lines().collect();
    let blocks = lines.split(|line| LINKS.contains(&line.trim())).rev();
    for (at, block) in blocks.enumerate() {
        if at > 0 {
            let Some((kind, message)) = raised(block) else {
                // Not as Python prints it; but what it led to is known to have a cause.
                trace.skipped = trace.skipped.saturating_add(1);
                continue;
            };
            trace.push_cause(kind, message);
        }
        for frame in block.iter().rev().filter_map(|line| frame(line)) {
            trace.push(frame);
        }
    }
    trace
}

/// `  File "/app/orders.py", line 12, in place`, the last part not always.
fn frame(line: &str) -> Option<Frame<'_>> {
    let rest = line.trim_start().strip_prefix("File \"")?;
    let (path, rest) = rest.split_once("\", line ")?;
    let (number, label) = rest.split_once(", in ").unwrap_or((rest, ""));
    Some(Frame {
        path,
        line: number.trim().parse().unwrap_or(0),
        label: label.trim_end(),
    })
}

/// Type and message of a block: the first line below its frames that is not indented, and those after it.
fn raised<'t>(block: &[&'t str]) -> Option<(&'t str, std::borrow::Cow<'t, str>)> {
    let last_frame = block.iter().rposition(|line| frame(line).is_some())?;
    let below = &block[last_frame + 1..];
    let at = below
        .iter()
        .position(|line| !line.is_empty() && !line.starts_with(' '))?;
    let (kind, message) = type_and_message(below[at]);
    Some((kind, with_lines(message, &below[at + 1..])))
}

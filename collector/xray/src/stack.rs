//! `exception.stacktrace` to frames and causes, by the language of the SDK (`telemetry.sdk.language`).
//!
//! Each parser reads what the runtime of its language prints and skips what it does not know. A text that gives no frame,
//! and that of any other language, becomes one frame for each of its lines: nothing of it is lost, only its structure.

mod java;
mod javascript;
mod python;

use std::borrow::Cow;

use crate::json::Json;
use crate::limits::{CAUSES_MAX, FRAMES_MAX, STACK_BYTES_MAX, cut};

/// One call on the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Frame<'t> {
    /// The file, or what stands for it; empty if unknown.
    pub(crate) path: &'t str,
    /// In that file; 0 if unknown.
    pub(crate) line: u32,
    /// The function, or a line of text that is not understood.
    pub(crate) label: &'t str,
}

/// The frames of one exception, the innermost first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Stack<'t> {
    frames: Vec<Frame<'t>>,
    /// How many further frames there were.
    truncated: u32,
}

/// An exception that caused the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Caused<'t> {
    pub(crate) kind: &'t str,
    pub(crate) message: Cow<'t, str>,
    pub(crate) stack: Stack<'t>,
}

/// What a text says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct StackTrace<'t> {
    /// Of the exception itself.
    pub(crate) stack: Stack<'t>,
    /// Its cause, the cause of that, and so on; at most [`CAUSES_MAX`].
    pub(crate) causes: Vec<Caused<'t>>,
    /// How many further causes there were.
    pub(crate) skipped: u32,
}

impl<'t> StackTrace<'t> {
    /// Reads what an SDK of this language recorded.
    pub(crate) fn parse(language: &str, text: &'t str) -> Self {
        // What caused it all stands last in Python, and what a reader looks for first in all others.
        let text = if language == "python" {
            last_of(text, STACK_BYTES_MAX)
        } else {
            first_of(text, STACK_BYTES_MAX)
        };
        let trace = match language {
            // OpenTelemetry's SDK for PHP prints what Java would.
            "java" | "php" => java::parse(text),
            "python" => python::parse(text),
            "nodejs" | "javascript" | "webjs" => javascript::parse(text),
            _ => Self::default(),
        };
        if trace.stack.frames.is_empty() {
            return Self {
                stack: Stack::of_lines(text),
                ..Self::default()
            };
        }
        trace
    }

    /// Starts the next cause.
    fn push_cause(&mut self, kind: &'t str, message: Cow<'t, str>) {
        if self.causes.len() == CAUSES_MAX {
            self.skipped += 1;
            return;
        }
        self.causes.push(Caused {
            kind,
            message,
            stack: Stack::default(),
        });
    }

    /// The stack of the exception that is being read; none when it is left out.
    fn current(&mut self) -> Option<&mut Stack<'t>> {
        match self.causes.last_mut() {
            _ if self.skipped > 0 => None,
            Some(cause) => Some(&mut cause.stack),
            None => Some(&mut self.stack),
        }
    }

    fn push(&mut self, frame: Frame<'t>) {
        if let Some(stack) = self.current() {
            stack.push(frame);
        }
    }
}

impl<'t> Stack<'t> {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Keeps the first frames, their texts cut. True if that changed anything.
    pub(crate) fn keep_first(&mut self, frames: usize, text_max: usize) -> bool {
        let dropped = self.frames.len().saturating_sub(frames);
        self.frames.truncate(frames);
        self.truncated = self
            .truncated
            .saturating_add(u32::try_from(dropped).unwrap_or(u32::MAX));
        let mut changed = dropped > 0;
        for frame in &mut self.frames {
            let (path, label) = (cut(frame.path, text_max), cut(frame.label, text_max));
            changed |= path.len() < frame.path.len() || label.len() < frame.label.len();
            (frame.path, frame.label) = (path, label);
        }
        changed
    }

    /// Writes the members `stack` and `truncated`.
    pub(crate) fn write_members(&self, json: &mut Json) {
        json.key("stack").array(|json| {
            for frame in &self.frames {
                json.object(|json| {
                    json.text_member("path", frame.path);
                    if frame.line > 0 {
                        json.key("line").int(i64::from(frame.line));
                    }
                    json.text_member("label", frame.label);
                });
            }
        });
        if self.truncated > 0 {
            json.key("truncated").int(i64::from(self.truncated));
        }
    }

    fn push(&mut self, frame: Frame<'t>) {
        if self.frames.len() < FRAMES_MAX {
            self.frames.push(frame);
        } else {
            self.truncated = self.truncated.saturating_add(1);
        }
    }

    fn of_lines(text: &'t str) -> Self {
        let mut stack = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            stack.push(Frame {
                label: line,
                ..Frame::default()
            });
        }
        stack
    }
}

/// The longest beginning of `text` with at most so many bytes.
fn first_of(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// The longest end of it.
fn last_of(text: &str, bytes: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(bytes))..]
}

/// `Type: message`, or the type alone.
fn type_and_message(line: &str) -> (&str, &str) {
    line.split_once(':')
        .map_or((line, ""), |(kind, message)| (kind, message.trim_start()))
}

/// The message with the lines that follow its first one.
fn with_lines<'t>(first: &'t str, following: &[&'t str]) -> Cow<'t, str> {
    let lines = following.iter().rposition(|line| !line.trim().is_empty());
    match lines {
        None => Cow::Borrowed(first),
        Some(last) => {
            let mut whole = first.to_owned();
            for line in &following[..=last] {
                whole.push('\n');
                whole.push_str(line);
            }
            Cow::Owned(whole)
        }
    }
}

#[cfg(test)]
mod tests;

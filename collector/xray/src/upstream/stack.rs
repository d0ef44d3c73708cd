//! Stack traces as text to frames, and to further exceptions where a trace tells of causes.

use super::Crash;
use super::cause::{Exception, Frame};
use super::go::{atoi, text_of};

/// Reads the stack trace of the last exception.
pub(super) fn parse(
    language: &str,
    trace: &str,
    exceptions: &mut Vec<Exception>,
    random_id: &mut dyn FnMut() -> u64,
) -> Result<(), Crash> {
    if trace.is_empty() {
        return Ok(());
    }
    let reader = Reader {
        remote: exceptions.last().and_then(|it| it.remote),
        exceptions,
        random_id,
    };
    match language {
        "java" | "php" => java(trace, reader),
        "python" => python(trace, reader),
        "javascript" => {
            javascript(trace, reader);
            Ok(())
        }
        "dotnet" => dotnet(trace, reader),
        "go" => {
            go(trace, reader);
            Ok(())
        }
        _ => Ok(()),
    }
}

struct Reader<'r> {
    exceptions: &'r mut Vec<Exception>,
    random_id: &'r mut dyn FnMut() -> u64,
    remote: Option<bool>,
}

impl Reader<'_> {
    fn frame(&mut self, path: &str, line: i64, label: &str) {
        if let Some(current) = self.exceptions.last_mut() {
            current.stack.push(Frame {
                path: path.to_owned(),
                line,
                label: label.to_owned(),
            });
        }
    }

    /// The current exception has this one as its cause, and this one is the current one now.
    fn caused_by(&mut self, kind: &str, message: &str) {
        let id = (self.random_id)();
        let cause = Exception::new(kind.to_owned(), message.to_owned(), self.remote, id);
        if let Some(current) = self.exceptions.last_mut() {
            current.cause = Some(cause.id.clone());
        }
        self.exceptions.push(cause);
    }
}

/// Part of a text by its bytes; a crash when they are not there.
fn slice(text: &str, from: usize, to: usize) -> Result<String, Crash> {
    text.as_bytes().get(from..to).map(text_of).ok_or(Crash)
}

/// Before the first colon, and from two bytes after it on.
fn kind_and_message(text: &str) -> Result<Option<(String, String)>, Crash> {
    let Some(colon) = text.find(':') else {
        return Ok(None);
    };
    let message = slice(text, colon + 2, text.len())?;
    Ok(Some((slice(text, 0, colon)?, message)))
}

/// `LABEL(INSIDE)`.
fn label_and_inside(text: &str) -> Option<(&str, &str)> {
    text.strip_suffix(')')?.split_once('(')
}

fn java(trace: &str, mut reader: Reader<'_>) -> Result<(), Crash> {
    let mut lines = trace.lines().skip(1);
    let mut next = lines.next();
    while let Some(line) = next {
        next = lines.next();
        if let Some((label, inside)) = line.strip_prefix("\tat ").and_then(label_and_inside) {
            let label = label.split_once('/').map_or(label, |(_, label)| label);
            let (path, number) = inside.split_once(':').unwrap_or((inside, ""));
            reader.frame(path, atoi(number), label);
        } else if let Some(rest) = line.strip_prefix("Caused by: ") {
            let (kind, mut message) =
                kind_and_message(rest)?.unwrap_or_else(|| (rest.to_owned(), String::new()));
            while let Some(line) = next {
                if line.starts_with("\tat ") && line.contains('(') && line.ends_with(')') {
                    break;
                }
                message.push_str(line);
                next = lines.next();
            }
            reader.caused_by(&kind, &message);
        }
    }
    Ok(())
}

fn python(trace: &str, mut reader: Reader<'_>) -> Result<(), Crash> {
    const AGAIN: &str = "During handling of the above exception, another exception occurred:";
    let lines: Vec<&str> = trace.split('\n').collect();
    // The last line tells the exception, not a frame; the innermost frame is before it.
    let mut end = lines.len().saturating_sub(1);
    while let Some(index) = end.checked_sub(1) {
        end = index;
        let line = lines.get(index).copied().unwrap_or_default();
        if line.starts_with("  File ") {
            if let [file, number, label] = line.split(',').collect::<Vec<_>>()[..] {
                let path = slice(file, 8, file.len() - 1)?;
                let number = number.strip_prefix(" line ").map_or(0, atoi);
                reader.frame(&path, number, label.strip_prefix(" in ").unwrap_or_default());
            }
        } else if line.starts_with(AGAIN) {
            let above = lines.get(..index).unwrap_or_default();
            let Some(file) = above.iter().rposition(|line| line.starts_with("  File ")) else {
                return Ok(());
            };
            let block = lines.get(file + 2..index - 1).ok_or(Crash)?.join("\n");
            let Some((kind, message)) = kind_and_message(&block)? else {
                return Ok(());
            };
            reader.caused_by(&kind, &message);
            end = file + 1;
        }
    }
    Ok(())
}

fn javascript(trace: &str, mut reader: Reader<'_>) {
    for line in trace.lines().skip(1) {
        let Some(rest) = line.strip_prefix("    at ") else {
            continue;
        };
        let (label, location) = match label_and_inside(rest) {
            Some(both) => both,
            None if rest.contains('(') => ("", ""),
            None => ("", rest),
        };
        let mut parts = location.splitn(3, ':');
        let (path, number) = match (parts.next(), parts.next(), parts.next()) {
            (Some(path), Some(number), Some(_)) => (path, atoi(number)),
            (_, None, _) if location.contains("native") => ("native", 0),
            _ => (location, 0),
        };
        if !path.is_empty() || !label.is_empty() || number != 0 {
            reader.frame(path, number, label);
        }
    }
}

fn dotnet(trace: &str, mut reader: Reader<'_>) -> Result<(), Crash> {
    for line in trace.lines().skip(1) {
        let Some(rest) = line.trim().strip_prefix("at ") else {
            continue;
        };
        if rest.starts_with("in ") {
            // The blank is that of "at ", and there is no label before it.
            return Err(Crash);
        }
        let mut parts = rest.split(" in ");
        if let (Some(label), Some(location)) = (parts.next(), parts.next()) {
            let (path, tail) = location.rsplit_once(':').unwrap_or((location, ""));
            let number = if tail.starts_with("line") {
                slice(tail, 5, tail.len())?
            } else {
                tail.to_owned()
            };
            reader.frame(path, atoi(&number), label);
        } else if let Some(end) = rest.rfind(')') {
            reader.frame("", 0, &slice(rest, 0, end + 1)?);
        }
    }
    Ok(())
}

fn go(trace: &str, mut reader: Reader<'_>) {
    let mut lines = trace.lines().skip(1);
    let (mut path, mut number) = (String::new(), 0);
    while let Some(mut label) = lines.next() {
        if is_goroutine(label) {
            label = lines.next().unwrap_or_default();
        }
        let location = lines.next().unwrap_or_default();
        if let Some((found, line)) = path_and_line(location) {
            path = found.to_owned();
            number = line;
        }
        reader.frame(&path, number, label);
    }
}

fn is_goroutine(line: &str) -> bool {
    let is_word = |it: char| it.is_ascii_alphanumeric() || it == '_';
    line.starts_with("goroutine")
        && line.ends_with(':')
        && line.split(|it| !is_word(it)).any(|it| it == "running")
}

/// The first `PATH:DIGITS` without blanks and colons in the path.
fn path_and_line(line: &str) -> Option<(&str, i64)> {
    let mut from = 0;
    for (colon, _) in line.match_indices(':') {
        let before = line.get(from..colon).unwrap_or_default();
        let path = before.rsplit([' ', '\t']).next().unwrap_or_default();
        let after = line.get(colon + 1..).unwrap_or_default();
        let end = after.find(|it: char| !it.is_ascii_digit()).unwrap_or(after.len());
        let digits = after.get(..end).unwrap_or_default();
        if !path.is_empty() && !digits.is_empty() {
            return Some((path, atoi(digits)));
        }
        from = colon + 1;
    }
    None
}

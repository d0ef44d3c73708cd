//! What X-Ray asks of a segment document, and a little more.
//!
//! Sources: the X-Ray developer guide ("X-Ray segment documents": fields, lengths, characters, 64 kB), AWS's JSON
//! schema of a segment document, and what users saw refused. Stricter than AWS on purpose, because a test should see
//! what AWS would silently ignore: unknown top-level members, repeated keys, nulls and times that are not seconds are
//! refused too.

use serde_json::{Map, Value};

use super::strict_json;

/// Bytes of one document (developer guide, "segment documents").
pub const DOCUMENT_BYTES_MAX: usize = 64 * 1024;
/// Characters of a name (developer guide).
pub const NAME_CHARS_MAX: usize = 200;
/// Annotations that X-Ray indexes of a trace (developer guide).
pub const ANNOTATIONS_MAX: usize = 50;
/// Characters of an annotation's key and of its value (schema).
pub const ANNOTATION_KEY_CHARS_MAX: usize = 500;
/// See [`ANNOTATION_KEY_CHARS_MAX`].
pub const ANNOTATION_VALUE_CHARS_MAX: usize = 1000;
/// Characters of `user` and of the strings in `http.request` (schema).
pub const SHORT_STRING_CHARS_MAX: usize = 250;
/// Links of one segment (developer guide).
pub const LINKS_MAX: usize = 20;

/// Seconds since the epoch are below this until the year 5138; milliseconds have been above it since 1973.
const SECONDS_MAX: f64 = 1e11;

const MEMBERS: [&str; 25] = [
    "annotations",
    "aws",
    "cause",
    "end_time",
    "error",
    "fault",
    "http",
    "id",
    "in_progress",
    "links",
    "metadata",
    "name",
    "namespace",
    "origin",
    "parent_id",
    "precursor_ids",
    "resource_arn",
    "service",
    "sql",
    "start_time",
    "subsegments",
    "throttle",
    "trace_id",
    "type",
    "user",
];

/// Why a document was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `ErrorCode` of the answer.
    pub code: &'static str,
    /// `Message` of the answer.
    pub message: String,
}

/// What the fake needs to know of a document that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// In X-Ray's form, `1-8hex-24hex`.
    pub trace_id: String,
    /// 16 hex digits.
    pub id: String,
    /// The segment or a part of it has `fault`.
    pub fault: bool,
}

/// Checks one document of a `PutTraceSegments` call.
///
/// # Errors
/// The first rule that it breaks.
pub fn check(text: &str) -> Result<Facts, Refusal> {
    if text.len() > DOCUMENT_BYTES_MAX {
        return invalid(format!(
            "the document has {} bytes, at most {DOCUMENT_BYTES_MAX} are taken",
            text.len()
        ));
    }
    let value = strict_json::parse(text).or_else(|error| invalid(format!("not JSON: {error}")))?;
    let Value::Object(document) = value else {
        return invalid("the document is not a JSON object");
    };
    let trace_id = match document.get("trace_id") {
        Some(Value::String(id)) if is_trace_id(id) => id.clone(),
        other => return refuse("InvalidTraceId", format!("trace_id is {}", show(other))),
    };
    let id = check_part(&document)?;
    if document.get("type").is_some() && !is_hex16(document.get("parent_id")) {
        return invalid("a subsegment sent alone needs parent_id");
    }
    Ok(Facts {
        trace_id,
        id,
        fault: has_fault(&document),
    })
}

/// The rules that hold for segments, subsegments and embedded subsegments.
fn check_part(part: &Map<String, Value>) -> Result<String, Refusal> {
    if let Some(unknown) = part
        .keys()
        .find(|key| !MEMBERS.contains(&key.as_str()) && *key != "traced")
    {
        return invalid(format!("member {unknown:?} is not known"));
    }
    if let Some(path) = null_path(part) {
        return invalid(format!("{path} is null"));
    }
    let id = check_identity(part)?;
    check_times(part)?;
    for flag in ["fault", "error", "throttle", "traced"] {
        ensure(part.get(flag).is_none_or(Value::is_boolean), || {
            format!("{flag} must be true or false")
        })?;
    }
    for text in ["origin", "resource_arn"] {
        ensure(part.get(text).is_none_or(Value::is_string), || {
            format!("{text} must be a string")
        })?;
    }
    check_short_string(part, "user")?;
    check_annotations(part)?;
    check_metadata(part)?;
    check_http(part)?;
    check_cause(part)?;
    check_links(part)?;
    for block in ["aws", "service", "sql"] {
        ensure(part.get(block).is_none_or(Value::is_object), || {
            format!("{block} must be an object")
        })?;
    }
    check_strings(part.get("sql"), "sql")?;
    check_strings(part.get("service"), "service")?;
    for embedded in array(part, "subsegments")? {
        check_part(object(embedded, "subsegments")?)?;
    }
    Ok(id)
}

fn check_identity(part: &Map<String, Value>) -> Result<String, Refusal> {
    match part.get("name") {
        Some(Value::String(name)) => check_name(name)?,
        other => return refuse("InvalidName", format!("name is {}", show(other))),
    }
    ensure(is_hex16(part.get("id")), || {
        format!("id is {}, not 16 hex digits", show(part.get("id")))
    })?;
    let parent = part.get("parent_id");
    ensure(parent.is_none() || is_hex16(parent), || {
        format!("parent_id is {}, not 16 hex digits", show(parent))
    })?;
    ensure(parent.is_none() || parent != part.get("id"), || {
        "parent_id is its own id".into()
    })?;
    match part.get("type") {
        None => {}
        Some(Value::String(kind)) if kind == "subsegment" => {}
        other => return invalid(format!("type is {}, not subsegment", show(other))),
    }
    match part.get("namespace") {
        None => {}
        Some(Value::String(namespace)) if namespace == "aws" || namespace == "remote" => {}
        other => return invalid(format!("namespace is {}, not aws or remote", show(other))),
    }
    Ok(part
        .get("id")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned())
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let chars = name.chars().count();
    if chars == 0 || chars > NAME_CHARS_MAX {
        return refuse(
            "InvalidName",
            format!("the name has {chars} characters, 1 to {NAME_CHARS_MAX} are taken"),
        );
    }
    let allowed = |c: char| {
        c.is_alphanumeric() || c == ' ' || (c.is_whitespace() && !c.is_control()) || "_.:/%&#=+-@".contains(c)
    };
    match name.chars().find(|c| !allowed(*c)) {
        Some(bad) => refuse(
            "InvalidName",
            format!("the name {name:?} has the character {bad:?}"),
        ),
        None => Ok(()),
    }
}

fn check_times(part: &Map<String, Value>) -> Result<(), Refusal> {
    let seconds = |name: &str| match part.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => match number.as_f64() {
            Some(time) if (0.0..SECONDS_MAX).contains(&time) => Ok(Some(time)),
            Some(_) | None => invalid(format!("{name} is {number}, not seconds since 1970")),
        },
        other => invalid(format!("{name} is {}, not a number", show(other))),
    };
    ensure(seconds("start_time")?.is_some(), || {
        "start_time is missing".into()
    })?;
    match (seconds("end_time")?, part.get("in_progress")) {
        (Some(_), None | Some(Value::Bool(false))) | (None, Some(Value::Bool(true))) => Ok(()),
        (end, progress) => invalid(format!(
            "end_time {end:?} beside in_progress {}: one of the two",
            show(progress)
        )),
    }
}

fn check_annotations(part: &Map<String, Value>) -> Result<(), Refusal> {
    let Some(value) = part.get("annotations") else {
        return Ok(());
    };
    let annotations = object(value, "annotations")?;
    ensure(annotations.len() <= ANNOTATIONS_MAX, || {
        format!(
            "{} annotations, at most {ANNOTATIONS_MAX} are indexed",
            annotations.len()
        )
    })?;
    for (key, value) in annotations {
        let charset = key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        ensure(
            charset && (1..=ANNOTATION_KEY_CHARS_MAX).contains(&key.len()),
            || format!("annotation key {key:?}"),
        )?;
        let taken = match value {
            Value::String(text) => text.chars().count() <= ANNOTATION_VALUE_CHARS_MAX,
            Value::Number(_) | Value::Bool(_) => true,
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        };
        ensure(taken, || {
            format!("annotation {key:?} is too long or no string, number or boolean")
        })?;
    }
    Ok(())
}

fn check_metadata(part: &Map<String, Value>) -> Result<(), Refusal> {
    let Some(value) = part.get("metadata") else {
        return Ok(());
    };
    for (namespace, value) in object(value, "metadata")? {
        ensure(value.is_object(), || {
            format!("metadata namespace {namespace:?} is not an object")
        })?;
    }
    Ok(())
}

fn check_http(part: &Map<String, Value>) -> Result<(), Refusal> {
    let Some(value) = part.get("http") else {
        return Ok(());
    };
    let http = object(value, "http")?;
    if let Some(request) = http.get("request") {
        let request = object(request, "http.request")?;
        for name in ["method", "client_ip", "url", "user_agent"] {
            check_short_string(request, name)?;
        }
        for flag in ["x_forwarded_for", "traced"] {
            ensure(request.get(flag).is_none_or(Value::is_boolean), || {
                format!("http.request.{flag}")
            })?;
        }
    }
    if let Some(response) = http.get("response") {
        let response = object(response, "http.response")?;
        for name in ["status", "content_length"] {
            ensure(response.get(name).is_none_or(Value::is_number), || {
                format!(
                    "http.response.{name} is {}, not a number",
                    show(response.get(name))
                )
            })?;
        }
    }
    Ok(())
}

fn check_cause(part: &Map<String, Value>) -> Result<(), Refusal> {
    let cause = match part.get("cause") {
        None => return Ok(()),
        id @ Some(Value::String(_)) if is_hex16(id) => return Ok(()),
        Some(value) => object(value, "cause")?,
    };
    ensure(
        cause.get("working_directory").is_none_or(Value::is_string),
        || "cause.working_directory".into(),
    )?;
    for exception in array(cause, "exceptions")? {
        let exception = object(exception, "cause.exceptions")?;
        ensure(is_hex16(exception.get("id")), || {
            format!("exception id is {}, not 16 hex digits", show(exception.get("id")))
        })?;
        for name in ["message", "type", "cause"] {
            ensure(exception.get(name).is_none_or(Value::is_string), || {
                format!("exception {name}")
            })?;
        }
        ensure(exception.get("remote").is_none_or(Value::is_boolean), || {
            "exception remote".into()
        })?;
        for name in ["truncated", "skipped"] {
            ensure(exception.get(name).is_none_or(is_integer), || {
                format!("exception {name}")
            })?;
        }
        for frame in array(exception, "stack")? {
            let frame = object(frame, "stack")?;
            ensure(frame.get("line").is_none_or(is_integer), || {
                "stack line is not a whole number".into()
            })?;
            for name in ["path", "label"] {
                ensure(frame.get(name).is_none_or(Value::is_string), || {
                    format!("stack {name}")
                })?;
            }
        }
    }
    Ok(())
}

fn check_links(part: &Map<String, Value>) -> Result<(), Refusal> {
    let links = array(part, "links")?;
    ensure(links.len() <= LINKS_MAX, || {
        format!("{} links, at most {LINKS_MAX} are taken", links.len())
    })?;
    for link in links {
        let link = object(link, "links")?;
        let trace_id = link
            .get("trace_id")
            .and_then(Value::as_str)
            .is_some_and(is_trace_id);
        ensure(trace_id && is_hex16(link.get("id")), || {
            "a link's trace_id or id".into()
        })?;
        ensure(link.get("attributes").is_none_or(Value::is_object), || {
            "a link's attributes".into()
        })?;
    }
    Ok(())
}

fn check_short_string(part: &Map<String, Value>, name: &str) -> Result<(), Refusal> {
    match part.get(name) {
        None => Ok(()),
        Some(Value::String(text)) if text.chars().count() <= SHORT_STRING_CHARS_MAX => Ok(()),
        other => invalid(format!(
            "{name} is {}: a string of at most {SHORT_STRING_CHARS_MAX}",
            show(other)
        )),
    }
}

fn check_strings(block: Option<&Value>, name: &str) -> Result<(), Refusal> {
    let wrong = block
        .and_then(Value::as_object)
        .and_then(|block| block.iter().find(|(_, v)| !v.is_string()));
    ensure(wrong.is_none(), || {
        format!("{name} has a member that is not a string")
    })
}

fn is_trace_id(id: &str) -> bool {
    let parts: Vec<&str> = id.split('-').collect();
    matches!(parts.as_slice(), ["1", time, rest] if is_hex(time, 8) && is_hex(rest, 24))
}

fn is_hex16(value: Option<&Value>) -> bool {
    value
        .and_then(Value::as_str)
        .is_some_and(|id| is_hex(id, 16) && id.bytes().any(|byte| byte != b'0'))
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64()
}

fn has_fault(part: &Map<String, Value>) -> bool {
    let embedded = part.get("subsegments").and_then(Value::as_array);
    part.get("fault") == Some(&Value::Bool(true))
        || embedded.is_some_and(|all| all.iter().filter_map(Value::as_object).any(has_fault))
}

/// The path of the first null. Below a metadata namespace nulls are the user's own data.
fn null_path(part: &Map<String, Value>) -> Option<String> {
    part.iter().find_map(|(key, value)| match (key.as_str(), value) {
        (_, Value::Null) => Some(key.clone()),
        ("metadata" | "subsegments", _) => None,
        (_, Value::Object(inner)) => null_path(inner).map(|rest| format!("{key}.{rest}")),
        (_, Value::Array(items)) => items.iter().find_map(|item| match item {
            Value::Null => Some(format!("{key}[]")),
            Value::Object(inner) => null_path(inner).map(|rest| format!("{key}[].{rest}")),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        }),
        (_, Value::Bool(_) | Value::Number(_) | Value::String(_)) => None,
    })
}

fn object<'a>(value: &'a Value, name: &str) -> Result<&'a Map<String, Value>, Refusal> {
    value
        .as_object()
        .map_or_else(|| invalid(format!("{name} is not an object")), Ok)
}

fn array<'a>(part: &'a Map<String, Value>, name: &str) -> Result<&'a [Value], Refusal> {
    match part.get(name) {
        None => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        other => invalid(format!("{name} is {}, not an array", show(other))),
    }
}

fn show(value: Option<&Value>) -> String {
    value.map_or_else(
        || "missing".into(),
        |value| {
            let text = value.to_string();
            text.chars().take(80).collect()
        },
    )
}

fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<(), Refusal> {
    if holds { Ok(()) } else { invalid(message()) }
}

fn invalid<T>(message: impl Into<String>) -> Result<T, Refusal> {
    refuse("InvalidSegment", message)
}

fn refuse<T>(code: &'static str, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal {
        code,
        message: message.into(),
    })
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;

//! `cause`, `fault`, `error` and `throttle`.

use serde_json::{Map, Value, json};
use tracepipe_otlp::view::{AnyValue, Event, SpanKind, StatusCode};

use super::input::{Attributes, Input, Remaining, text};
use super::make::{int_of, is_aws_call};
use super::{Crash, stack};

/// One line of a stack trace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) path: String,
    pub(super) line: i64,
    pub(super) label: String,
}

/// One of a `cause`'s exceptions.
#[derive(Debug)]
pub(super) struct Exception {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) message: String,
    pub(super) remote: Option<bool>,
    pub(super) cause: Option<String>,
    pub(super) stack: Vec<Frame>,
}

impl Exception {
    pub(super) fn new(kind: String, message: String, remote: Option<bool>, id: u64) -> Self {
        Self {
            id: format!("{id:016x}"),
            kind,
            message,
            remote,
            cause: None,
            stack: Vec::new(),
        }
    }

    fn write(self) -> Value {
        let mut json = Map::new();
        json.insert("id".into(), self.id.into());
        json.insert("type".into(), self.kind.into());
        json.insert("message".into(), self.message.into());
        json.extend(self.remote.map(|remote| ("remote".to_owned(), remote.into())));
        json.extend(self.cause.map(|cause| ("cause".to_owned(), cause.into())));
        if !self.stack.is_empty() {
            let frames = self
                .stack
                .into_iter()
                .map(|frame| json!({ "path": frame.path, "line": frame.line, "label": frame.label }));
            json.insert("stack".into(), frames.collect());
        }
        json.into()
    }
}

/// Adds them to the document.
pub(super) fn cause(
    input: &Input<'_>,
    remaining: &mut Remaining<'_>,
    document: &mut Map<String, Value>,
    random_id: &mut dyn FnMut() -> u64,
) -> Result<(), Crash> {
    let is_failed = input.span.status.code == StatusCode::Error;
    let is_aws_call = is_aws_call(&input.attributes);
    let mut events = input.span.events.iter();
    let is_of_cause = |event: &Event<'_>| {
        event.name == "exception" || (is_aws_call && event.name == "HTTP request failure")
    };
    let exceptions = if events.any(is_of_cause) {
        Some(of_events(input, is_aws_call, random_id)?)
    } else if is_failed {
        of_status(input, remaining, random_id)
    } else {
        None
    };
    if let Some(exceptions) = exceptions {
        let mut cause = Map::new();
        if !exceptions.is_empty() {
            cause.insert(
                "exceptions".into(),
                exceptions.into_iter().map(Exception::write).collect(),
            );
        }
        document.insert("cause".into(), cause.into());
    }

    let status = input
        .attributes
        .get("http.status_code")
        .or_else(|| input.attributes.get("http.response.status_code"));
    let status = int_of(status);
    let (error, fault) = match status {
        400..=499 => (true, false),
        500..=599 => (false, true),
        _ => (false, is_failed),
    };
    document.insert("error".into(), error.into());
    document.insert("fault".into(), fault.into());
    document.insert("throttle".into(), (status == 429).into());
    Ok(())
}

fn of_events(
    input: &Input<'_>,
    is_aws_call: bool,
    random_id: &mut dyn FnMut() -> u64,
) -> Result<Vec<Exception>, Crash> {
    let language = Attributes::new(input.resource).text("telemetry.sdk.language");
    let is_remote = matches!(input.span.kind, SpanKind::Client | SpanKind::Producer);
    let mut exceptions = Vec::new();
    for event in &input.span.events {
        let attributes = Attributes::new(&event.attributes);
        if event.name == "exception" {
            exceptions.push(Exception::new(
                attributes.text("exception.type").to_owned(),
                attributes.text("exception.message").to_owned(),
                Some(is_remote),
                random_id(),
            ));
            let trace = attributes.text("exception.stacktrace");
            stack::parse(language, trace, &mut exceptions, random_id)?;
        } else if is_aws_call && event.name == "HTTP request failure" {
            let status = attributes.get("http.response.status_code");
            let message = attributes.get("aws.http.error_message");
            let (Some(status), Some(message)) = (status, message) else {
                continue;
            };
            let micros = event.time_unix_nano / 1_000;
            let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
            let message = format!("{}@{seconds}.{micros:06}@{}", scalar(status), text(message));
            let kind = "aws.http.error.event".to_owned();
            exceptions.push(Exception::new(kind, message, Some(true), random_id()));
        }
    }
    Ok(exceptions)
}

fn of_status(
    input: &Input<'_>,
    remaining: &mut Remaining<'_>,
    random_id: &mut dyn FnMut() -> u64,
) -> Option<Vec<Exception>> {
    let of_http = remaining.remove("http.status_text").map_or("", text);
    let message = match input.span.status.message.as_ref() {
        "" => of_http,
        message => message,
    };
    let message = Some(message).filter(|message| !message.is_empty())?;
    Some(vec![Exception::new(
        String::new(),
        message.to_owned(),
        None,
        random_id(),
    )])
}

fn scalar(value: &AnyValue<'_>) -> String {
    match value {
        AnyValue::String(text) => text.clone().into_owned(),
        AnyValue::Bool(flag) => flag.to_string(),
        AnyValue::Int(number) => number.to_string(),
        AnyValue::Double(number) => number.to_string(),
        AnyValue::Empty | AnyValue::Array(_) | AnyValue::Map(_) | AnyValue::Bytes(_) => String::new(),
    }
}

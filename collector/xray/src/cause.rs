//! `fault`, `error`, `throttle` and `cause`: what went wrong.

use std::borrow::Cow;

use tracepipe_otlp::view::{Event, Span, SpanKind, StatusCode};

use crate::attributes::{Attributes, lookup, lookup_text, scalar_text, text};
use crate::http::status_code;
use crate::json::Json;
use crate::limits::{SHRUNK_TEXT_MAX, cut};
use crate::stack::{Caused, Stack, StackTrace};

/// The three flags; all are always written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Flags {
    /// The server failed.
    pub(crate) fault: bool,
    /// The client did something wrong.
    pub(crate) error: bool,
    /// The client did too much.
    pub(crate) throttle: bool,
}

impl Flags {
    /// A code of HTTP says more than the status.
    pub(crate) fn new(span: &Span<'_>, attributes: &Attributes<'_>) -> Self {
        match status_code(attributes) {
            Some(code @ 400..=499) => Self {
                error: true,
                throttle: code == 429,
                ..Self::default()
            },
            Some(500..=599) => Self {
                fault: true,
                ..Self::default()
            },
            Some(_) | None => Self {
                fault: span.status.code == StatusCode::Error,
                ..Self::default()
            },
        }
    }
}

/// The `cause` block.
#[derive(Debug)]
pub(crate) struct Cause<'t> {
    exceptions: Vec<Exception<'t>>,
}

#[derive(Debug, Default)]
struct Exception<'t> {
    id: u64,
    kind: &'t str,
    message: Cow<'t, str>,
    remote: Option<bool>,
    stack: Stack<'t>,
    /// The id of the exception that caused this one.
    cause: Option<u64>,
    /// How many exceptions are left out between this one and what caused it all.
    skipped: u32,
}

/// How many frames an exception keeps in a document that is too large with all of them.
const FRAMES_KEPT: usize = 5;

/// Longest text of such a frame, in UTF-16 units.
const FRAME_TEXT_KEPT: usize = 100;

impl<'t> Cause<'t> {
    /// From the events of a span, or from its status when no event tells of an exception. `language` is that of the SDK.
    pub(crate) fn new(
        span: &'t Span<'t>,
        language: &str,
        attributes: &mut Attributes<'t>,
        random_id: &mut dyn FnMut() -> u64,
    ) -> Option<Self> {
        let is_aws_call = attributes.text("rpc.system") == "aws-api";
        let mut told = span
            .events
            .iter()
            .filter_map(|event| Told::by(event, is_aws_call))
            .peekable();
        if told.peek().is_some() {
            let remote = matches!(span.kind, SpanKind::Client | SpanKind::Producer);
            let mut exceptions = Vec::new();
            for told in told {
                told.push_to(&mut exceptions, remote, language, random_id);
            }
            return Some(Self { exceptions });
        }
        if span.status.code != StatusCode::Error {
            return None;
        }
        let message = match &*span.status.message {
            "" => attributes.write_text(&["http.status_text"]),
            message => message,
        };
        if message.is_empty() {
            return None;
        }
        let exception = Exception {
            id: random_id(),
            kind: "",
            message: message.into(),
            ..Exception::default()
        };
        Some(Self {
            exceptions: vec![exception],
        })
    }

    /// Cuts types and messages to what a reader needs. True if that changed anything.
    pub(crate) fn cut_texts(&mut self) -> bool {
        let mut changed = false;
        for exception in &mut self.exceptions {
            let kept = cut(&exception.message, SHRUNK_TEXT_MAX).len();
            let kind = cut(exception.kind, SHRUNK_TEXT_MAX);
            changed |= kept < exception.message.len() || kind.len() < exception.kind.len();
            exception.kind = kind;
            match &mut exception.message {
                Cow::Borrowed(message) => *message = &message[..kept],
                Cow::Owned(message) => message.truncate(kept),
            }
        }
        changed
    }

    /// Keeps only the innermost frames of each exception, their texts cut. True if that changed anything.
    pub(crate) fn cut_stacks(&mut self) -> bool {
        let mut changed = false;
        for exception in &mut self.exceptions {
            changed |= exception.stack.keep_first(FRAMES_KEPT, FRAME_TEXT_KEPT);
        }
        changed
    }

    /// Keeps only the first exceptions. True if there were more.
    pub(crate) fn keep_first(&mut self, count: usize) -> bool {
        let more = self.exceptions.len() > count;
        self.exceptions.truncate(count);
        if let Some(last) = self.exceptions.last_mut()
            && more
        {
            // What caused it may be gone.
            last.cause = None;
        }
        more
    }

    /// Writes the value of `cause`.
    pub(crate) fn write(&self, json: &mut Json) {
        json.object(|json| {
            if self.exceptions.is_empty() {
                return;
            }
            json.key("exceptions").array(|json| {
                self.exceptions.iter().for_each(|exception| exception.write(json));
            });
        });
    }
}

/// An event that tells of something gone wrong.
enum Told<'t> {
    /// OpenTelemetry's own.
    Exception(&'t Event<'t>),
    /// That of the instrumentation of AWS SDKs: one attempt that failed.
    FailedAttempt(&'t Event<'t>),
}

impl<'t> Told<'t> {
    fn by(event: &'t Event<'t>, is_aws_call: bool) -> Option<Self> {
        match &*event.name {
            "exception" => Some(Self::Exception(event)),
            "HTTP request failure" if is_aws_call => Some(Self::FailedAttempt(event)),
            _ => None,
        }
    }

    /// Adds the exception and those that caused it; nothing for an attempt that does not say how it failed.
    fn push_to(
        self,
        exceptions: &mut Vec<Exception<'t>>,
        remote: bool,
        language: &str,
        random_id: &mut dyn FnMut() -> u64,
    ) {
        match self {
            Self::Exception(event) => {
                let trace =
                    StackTrace::parse(language, lookup_text(&event.attributes, "exception.stacktrace"));
                exceptions.push(Exception {
                    id: random_id(),
                    kind: lookup_text(&event.attributes, "exception.type"),
                    message: lookup_text(&event.attributes, "exception.message").into(),
                    remote: Some(remote),
                    stack: trace.stack,
                    ..Exception::default()
                });
                for Caused { kind, message, stack } in trace.causes {
                    let id = random_id();
                    if let Some(caused) = exceptions.last_mut() {
                        caused.cause = Some(id);
                    }
                    exceptions.push(Exception {
                        id,
                        kind,
                        message,
                        remote: Some(remote),
                        stack,
                        ..Exception::default()
                    });
                }
                if let Some(last) = exceptions.last_mut() {
                    last.skipped = trace.skipped;
                }
            }
            Self::FailedAttempt(event) => exceptions.extend(failed_attempt(event, random_id)),
        }
    }
}

fn failed_attempt<'t>(event: &'t Event<'t>, random_id: &mut dyn FnMut() -> u64) -> Option<Exception<'t>> {
    let status = scalar_text(lookup(&event.attributes, "http.response.status_code")?);
    let error = text(lookup(&event.attributes, "aws.http.error_message")?);
    let micros = event.time_unix_nano / 1_000;
    let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
    Some(Exception {
        id: random_id(),
        kind: "aws.http.error.event",
        message: format!("{status}@{seconds}.{rest:06}@{error}").into(),
        remote: Some(true),
        ..Exception::default()
    })
}

impl Exception<'_> {
    fn write(&self, json: &mut Json) {
        json.object(|json| {
            json.key("id").hex(&self.id.to_be_bytes());
            json.key("type").text(self.kind);
            if let Some(remote) = self.remote {
                json.key("remote").bool(remote);
            }
            json.key("message").text(&self.message);
            if !self.stack.is_empty() {
                self.stack.write_members(json);
            }
            if let Some(cause) = self.cause {
                json.key("cause").hex(&cause.to_be_bytes());
            }
            if self.skipped > 0 {
                json.key("skipped").int(i64::from(self.skipped));
            }
        });
    }
}

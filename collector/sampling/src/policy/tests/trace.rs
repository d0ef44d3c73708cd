//! Traces to decide on, from spans with attributes.

use tracepipe_otlp::id::SpanId;
use tracepipe_otlp::view::StatusCode;
use tracepipe_otlp::watch::Watch;

use super::*;

/// A span and its resource.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Span {
    pub(super) resource: Vec<(String, Value)>,
    pub(super) attributes: Vec<(String, Value)>,
    pub(super) trace_state: String,
    /// In milliseconds.
    pub(super) start: u64,
    /// In milliseconds.
    pub(super) end: u64,
    pub(super) status: StatusCode,
    pub(super) flags: u32,
    pub(super) bytes: u32,
}

/// An attribute's value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    None,
    Text(String),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes,
    List,
}

pub(super) const ID: TraceId = TraceId([7; 16]);

impl Span {
    /// With one attribute.
    pub(super) fn with(key: &str, value: Value) -> Self {
        Self {
            attributes: vec![(key.to_owned(), value)],
            ..Self::default()
        }
    }

    /// With one attribute of its resource.
    pub(super) fn of_resource(key: &str, value: Value) -> Self {
        Self {
            resource: vec![(key.to_owned(), value)],
            ..Self::default()
        }
    }

    /// From and to these milliseconds.
    pub(super) fn timed(start: u64, end: u64) -> Self {
        Self {
            start,
            end,
            ..Self::default()
        }
    }

    /// What the walk would show the watch.
    fn shown_to(&self, watch: &mut impl Watch) -> u128 {
        watch.begin_resource();
        for (key, value) in &self.resource {
            watch.resource_attribute(key.as_bytes(), &value.encoded());
        }
        let of_resource = watch.end_resource();
        for (key, value) in &self.attributes {
            watch.span_attribute(key.as_bytes(), &value.encoded());
        }
        watch.trace_state(self.trace_state.as_bytes());
        of_resource | watch.end_span()
    }

    pub(super) fn head(&self, watch: &mut impl Watch) -> SpanHead {
        const MS: u64 = 1_000_000;
        SpanHead {
            trace_id: ID,
            span_id: SpanId([1; 8]),
            is_root: false,
            start_time_unix_nano: self.start * MS,
            end_time_unix_nano: self.end * MS,
            status: self.status,
            flags: self.flags,
            record: 0..0,
            matched: self.shown_to(watch),
            context: 0,
            defect: None,
        }
    }
}

impl Value {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    fn encoded(&self) -> Vec<u8> {
        match self {
            Self::None => Vec::new(),
            Self::Text(text) => [&[0x0a, text.len() as u8], text.as_bytes()].concat(),
            Self::Bool(truth) => vec![0x10, u8::from(*truth)],
            Self::Int(number) => {
                let mut rest = number.cast_unsigned();
                let mut bytes = vec![0x18];
                while rest >= 0x80 {
                    bytes.push(rest as u8 | 0x80);
                    rest >>= 7;
                }
                bytes.push(rest as u8);
                bytes
            }
            Self::Double(number) => [&[0x21][..], &number.to_le_bytes()].concat(),
            Self::Bytes => vec![0x3a, 1, b'x'],
            Self::List => vec![0x2a, 0],
        }
    }
}

/// The summary of a trace, folded span by span.
pub(super) fn folded(policies: &Policies, spans: &[Span]) -> TraceSummary {
    let mut watch = policies.watch();
    let mut summary = TraceSummary::EMPTY;
    for span in spans {
        let head = span.head(&mut watch);
        policies.fold(&mut summary, &head, span.bytes);
    }
    summary
}

/// What these policies decide at a time.
pub(super) fn decided(policies: &mut Policies, now: Duration, spans: &[Span]) -> Decision {
    let summary = folded(policies, spans);
    policies.decide(&Question {
        now,
        trace_id: ID,
        summary: &summary,
    })
}

/// Whether the policy alone keeps the trace.
pub(super) fn keeps(kind: PolicyKind, spans: &[Span]) -> bool {
    let decision = decided(&mut policies(vec![kind]), Duration::ZERO, spans);
    matches!(decision, Decision::Sampled { .. })
}

//! Kept spans as borrowed structures: what the X-Ray translator and the logging exporter read.
//!
//! Decoding is tolerant where the Go collector is (invalid UTF-8 becomes U+FFFD, unknown fields and enum values are
//! skipped or kept as numbers), because the spans have been accepted long before.

use std::borrow::Cow;

pub use crate::decode::{DecodeError, EachSpan, ITEMS_MAX, decode_traces};
use crate::id::{SpanId, TraceId};

/// One `ResourceSpans` message.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResourceSpans<'a> {
    /// The resource's attributes, in wire order.
    pub resource: Vec<KeyValue<'a>>,
    /// `schema_url`.
    pub schema_url: Cow<'a, str>,
    /// In wire order.
    pub scope_spans: Vec<ScopeSpans<'a>>,
}

/// One `ScopeSpans` message.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScopeSpans<'a> {
    /// The instrumentation scope's name.
    pub scope_name: Cow<'a, str>,
    /// The instrumentation scope's version.
    pub scope_version: Cow<'a, str>,
    /// The instrumentation scope's attributes.
    pub scope_attributes: Vec<KeyValue<'a>>,
    /// In wire order.
    pub spans: Vec<Span<'a>>,
}

/// One span.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Span<'a> {
    /// Field 1.
    pub trace_id: TraceId,
    /// Field 2.
    pub span_id: SpanId,
    /// Field 3, the W3C header's text.
    pub trace_state: Cow<'a, str>,
    /// Field 4; none for a root span (absent, empty or all zero).
    pub parent_span_id: Option<SpanId>,
    /// Field 16: W3C flags in the low byte, [`FLAG_HAS_IS_REMOTE`] and [`FLAG_IS_REMOTE`] above.
    pub flags: u32,
    /// Field 5.
    pub name: Cow<'a, str>,
    /// Field 6.
    pub kind: SpanKind,
    /// Field 7, nanoseconds since the Unix epoch.
    pub start_time_unix_nano: u64,
    /// Field 8, nanoseconds since the Unix epoch.
    pub end_time_unix_nano: u64,
    /// Field 9, in wire order, duplicates included.
    pub attributes: Vec<KeyValue<'a>>,
    /// Field 11.
    pub events: Vec<Event<'a>>,
    /// Field 13.
    pub links: Vec<Link<'a>>,
    /// Field 15.
    pub status: Status<'a>,
}

/// `Span.flags` bit: the sender knows whether the parent is remote.
pub const FLAG_HAS_IS_REMOTE: u32 = 0x100;
/// `Span.flags` bit: the parent is remote.
pub const FLAG_IS_REMOTE: u32 = 0x200;

/// `Span.SpanKind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SpanKind {
    /// 0, and every number that the specification does not know.
    #[default]
    Unspecified,
    /// 1
    Internal,
    /// 2
    Server,
    /// 3
    Client,
    /// 4
    Producer,
    /// 5
    Consumer,
}

/// `Status.StatusCode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StatusCode {
    /// 0, and every number that the specification does not know.
    #[default]
    Unset,
    /// 1
    Ok,
    /// 2
    Error,
}

/// `Status`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Status<'a> {
    /// Field 2.
    pub message: Cow<'a, str>,
    /// Field 3.
    pub code: StatusCode,
}

/// `Span.Event`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Event<'a> {
    /// Nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// The event's name.
    pub name: Cow<'a, str>,
    /// In wire order.
    pub attributes: Vec<KeyValue<'a>>,
}

/// `Span.Link`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Link<'a> {
    /// The linked trace; all zero when the wire has no 16 bytes.
    pub trace_id: TraceId,
    /// The linked span; all zero when the wire has no 8 bytes.
    pub span_id: SpanId,
    /// In wire order.
    pub attributes: Vec<KeyValue<'a>>,
}

/// `KeyValue`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KeyValue<'a> {
    /// The name.
    pub key: Cow<'a, str>,
    /// The value.
    pub value: AnyValue<'a>,
}

/// `AnyValue`.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum AnyValue<'a> {
    /// No member of the oneof is set.
    #[default]
    Empty,
    /// Field 1.
    String(Cow<'a, str>),
    /// Field 2.
    Bool(bool),
    /// Field 3.
    Int(i64),
    /// Field 4.
    Double(f64),
    /// Field 5.
    Array(Vec<AnyValue<'a>>),
    /// Field 6.
    Map(Vec<KeyValue<'a>>),
    /// Field 7.
    Bytes(Cow<'a, [u8]>),
}

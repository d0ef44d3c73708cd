//! The few messages that are built or read whole, as prost types: the trace request for tests and generators, OTLP's
//! answer, and gRPC's status with its retry hint.
//!
//! Written from the field numbers of the OTLP specification (opentelemetry-proto 1.x) and of `google.rpc`. Names are
//! those of the specification; fields that only profiles use are left out. The hot path knows none of these types.

/// What a client sends: field numbers equal those of `TracesData`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExportTraceServiceRequest {
    /// One entry per resource, in most cases.
    #[prost(message, repeated, tag = "1")]
    pub resource_spans: Vec<ResourceSpans>,
}

/// The answer to a request that was accepted, at least in part.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ExportTraceServiceResponse {
    /// Absent when everything was accepted (OTLP, "Full success").
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<ExportTracePartialSuccess>,
}

/// What was not accepted of a request, and why.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ExportTracePartialSuccess {
    /// Number of spans; the sender must not send them again.
    #[prost(int64, tag = "1")]
    pub rejected_spans: i64,
    /// For people, in English.
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// The spans of one resource.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ResourceSpans {
    /// Who made the spans.
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    /// One entry per instrumentation scope.
    #[prost(message, repeated, tag = "2")]
    pub scope_spans: Vec<ScopeSpans>,
    /// Of the resource.
    #[prost(string, tag = "3")]
    pub schema_url: String,
}

/// Who made the spans.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Resource {
    /// `service.name` and the like.
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
    /// How many attributes the sender left out.
    #[prost(uint32, tag = "2")]
    pub dropped_attributes_count: u32,
}

/// The spans of one instrumentation scope.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ScopeSpans {
    /// The library that made the spans.
    #[prost(message, optional, tag = "1")]
    pub scope: Option<InstrumentationScope>,
    /// In the sender's order.
    #[prost(message, repeated, tag = "2")]
    pub spans: Vec<Span>,
    /// Of the scope's spans.
    #[prost(string, tag = "3")]
    pub schema_url: String,
}

/// The library that made spans.
#[derive(Clone, PartialEq, prost::Message)]
pub struct InstrumentationScope {
    /// For example the library's module name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The library's version.
    #[prost(string, tag = "2")]
    pub version: String,
    /// More about it.
    #[prost(message, repeated, tag = "3")]
    pub attributes: Vec<KeyValue>,
    /// How many attributes the sender left out.
    #[prost(uint32, tag = "4")]
    pub dropped_attributes_count: u32,
}

/// One operation.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Span {
    /// 16 bytes, not all zero.
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    /// 8 bytes, not all zero.
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    /// The text of the W3C header `tracestate`.
    #[prost(string, tag = "3")]
    pub trace_state: String,
    /// 8 bytes, or empty for a root span.
    #[prost(bytes = "vec", tag = "4")]
    pub parent_span_id: Vec<u8>,
    /// The operation.
    #[prost(string, tag = "5")]
    pub name: String,
    /// A number of `SpanKind`.
    #[prost(int32, tag = "6")]
    pub kind: i32,
    /// Nanoseconds since the Unix epoch.
    #[prost(fixed64, tag = "7")]
    pub start_time_unix_nano: u64,
    /// Nanoseconds since the Unix epoch.
    #[prost(fixed64, tag = "8")]
    pub end_time_unix_nano: u64,
    /// More about it.
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<KeyValue>,
    /// How many attributes the sender left out.
    #[prost(uint32, tag = "10")]
    pub dropped_attributes_count: u32,
    /// What happened meanwhile.
    #[prost(message, repeated, tag = "11")]
    pub events: Vec<Event>,
    /// How many events the sender left out.
    #[prost(uint32, tag = "12")]
    pub dropped_events_count: u32,
    /// Spans it belongs with.
    #[prost(message, repeated, tag = "13")]
    pub links: Vec<Link>,
    /// How many links the sender left out.
    #[prost(uint32, tag = "14")]
    pub dropped_links_count: u32,
    /// How it ended.
    #[prost(message, optional, tag = "15")]
    pub status: Option<SpanStatus>,
    /// W3C trace flags in the low byte; bits 8 and 9 tell of the parent.
    #[prost(fixed32, tag = "16")]
    pub flags: u32,
}

/// OTLP's `Status`. Named apart from `google.rpc`'s [`Status`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SpanStatus {
    /// What went wrong.
    #[prost(string, tag = "2")]
    pub message: String,
    /// A number of `StatusCode`: 0 unset, 1 ok, 2 error.
    #[prost(int32, tag = "3")]
    pub code: i32,
}

/// `Span.Event`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Event {
    /// Nanoseconds since the Unix epoch.
    #[prost(fixed64, tag = "1")]
    pub time_unix_nano: u64,
    /// What happened.
    #[prost(string, tag = "2")]
    pub name: String,
    /// More about it.
    #[prost(message, repeated, tag = "3")]
    pub attributes: Vec<KeyValue>,
    /// How many attributes the sender left out.
    #[prost(uint32, tag = "4")]
    pub dropped_attributes_count: u32,
}

/// `Span.Link`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Link {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    /// 8 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    /// The text of the W3C header `tracestate`.
    #[prost(string, tag = "3")]
    pub trace_state: String,
    /// More about it.
    #[prost(message, repeated, tag = "4")]
    pub attributes: Vec<KeyValue>,
    /// How many attributes the sender left out.
    #[prost(uint32, tag = "5")]
    pub dropped_attributes_count: u32,
    /// As in [`Span`], of the linked span.
    #[prost(fixed32, tag = "6")]
    pub flags: u32,
}

/// A named value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct KeyValue {
    /// The name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The value.
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

/// A value of any type, or none.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AnyValue {
    /// Which type, and the value.
    #[prost(oneof = "any_value::Value", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub value: Option<any_value::Value>,
}

/// What belongs to [`AnyValue`].
pub mod any_value {
    /// The types of a value.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Value {
        /// A text.
        #[prost(string, tag = "1")]
        StringValue(String),
        /// True or false.
        #[prost(bool, tag = "2")]
        BoolValue(bool),
        /// A whole number.
        #[prost(int64, tag = "3")]
        IntValue(i64),
        /// A fraction.
        #[prost(double, tag = "4")]
        DoubleValue(f64),
        /// A list.
        #[prost(message, tag = "5")]
        ArrayValue(super::ArrayValue),
        /// Named values.
        #[prost(message, tag = "6")]
        KvlistValue(super::KeyValueList),
        /// Anything.
        #[prost(bytes, tag = "7")]
        BytesValue(Vec<u8>),
    }
}

/// A list of values.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ArrayValue {
    /// In order.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<AnyValue>,
}

/// A list of named values.
#[derive(Clone, PartialEq, prost::Message)]
pub struct KeyValueList {
    /// In order; keys should be unique.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<KeyValue>,
}

/// `google.rpc.Status`: how gRPC and OTLP/HTTP describe an error.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Status {
    /// A gRPC status code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// For people, in English.
    #[prost(string, tag = "2")]
    pub message: String,
    /// For programs, for example a [`RetryInfo`].
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// `google.protobuf.Any`: a message with its type's name.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Any {
    /// `type.googleapis.com/` and the message's full name.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The encoded message.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `google.rpc.RetryInfo`: the sender may try again, and when.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RetryInfo {
    /// Wait at least this long.
    #[prost(message, optional, tag = "1")]
    pub retry_delay: Option<Duration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Duration {
    /// Whole seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// The rest, below 1,000,000,000, with the sign of `seconds`.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

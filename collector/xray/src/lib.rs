//! OTLP spans to AWS X-Ray segment documents. Pure: no clock, no network, no random numbers of its own.
//!
//! Read it in the order of a span's way: [`TraceTranslator::translate`] asks `kind` which documents the span becomes;
//! `segment` makes each of them from its facets (`name`, `http`, `cause` with `stack`, `aws` with `origin`, `sql`,
//! `links`), gives the attributes and `events` that found no place to `annotations` and `metadata`, and writes it through
//! `json`; `shrink` sees to its size. [`limits`] has the numbers.
//!
//! The rules are those of the `awsxray` exporter of the OpenTelemetry Collector Contrib (v0.161.0), but that every
//! document is one which X-Ray takes, and that no attribute is lost because a facet looked at it.

mod annotations;
mod attributes;
mod aws;
mod cause;
mod events;
mod http;
mod json;
mod kind;
mod letters;
pub mod limits;
mod links;
mod metadata;
mod name;
mod origin;
mod segment;
mod shrink;
mod sql;
mod stack;
#[cfg(any(test, feature = "upstream"))]
pub mod upstream;

use std::cell::LazyCell;
use std::collections::HashMap;

use tracepipe_config::AwsXraySettings;
use tracepipe_otlp::view::{ResourceSpans, Span};
use tracepipe_otlp::{SpanId, TraceId, TraceOutline};

use crate::annotations::Indexed;
use crate::json::Json;
use crate::kind::{Shape, shape};
use crate::segment::{Context, Document, ResourceFacts};
use crate::shrink::write_within_limit;

#[cfg(test)]
mod beside_upstream;
#[cfg(any(test, feature = "fuzzing"))]
#[allow(
    clippy::panic,
    clippy::expect_used,
    reason = "what it finds wrong shall end the test"
)]
mod check;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod quirks;
#[cfg(test)]
mod tests;

/// Translates spans by the settings of one `awsxray` exporter.
#[derive(Debug)]
pub struct Translator {
    indexed: Indexed,
    log_groups: Vec<String>,
}

/// One document for `PutTraceSegments`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentDocument {
    /// The document's `id`: X-Ray names it in its answer when it does not take the document.
    pub span_id: SpanId,
    /// The document as a text of JSON, with quotes and escapes (RFC 8259, section 7): as it stands in a request. The
    /// document itself has at most [`limits::DOCUMENT_BYTES_MAX`] bytes.
    pub literal: String,
    /// How many spans of the account the document carries: 1, or 0 for the second document of a span.
    pub spans: u32,
    /// When it begins, in nanoseconds since the Unix epoch.
    pub start_time_unix_nano: u64,
}

impl SegmentDocument {
    /// The document itself, for those who want to read it.
    pub fn json(&self) -> String {
        // What this crate writes is a text.
        serde_json::from_str(&self.literal).unwrap_or_default()
    }
}

/// What a translation did. Every span of the input is in `spans` or in `untranslatable_spans`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Translated {
    /// Spans that became documents.
    pub spans: u64,
    /// Documents added; a span can become two.
    pub documents: u64,
    /// Documents that miss something because they were too large with it.
    pub shrunk: u64,
    /// Attributes that were to be indexed and are metadata instead, or cut as annotations and whole as metadata:
    /// more than [`limits::ANNOTATIONS_MAX`], too long, of a type that X-Ray does not index, or of a name that was
    /// taken.
    pub annotations_spilled: u64,
    /// Links left out: without ids, or more than [`limits::LINKS_MAX`].
    pub links_dropped: u64,
    /// Events left out: more than [`limits::EVENTS_MAX`] in one span.
    pub events_dropped: u64,
    /// Attributes of resources left out: beyond [`limits::RESOURCE_ATTRIBUTES_MAX`] or [`limits::RESOURCE_BYTES_MAX`].
    pub resource_attributes_dropped: u64,
    /// Spans that became nothing, by reason.
    pub untranslatable_spans: UntranslatableSpans,
}

/// Spans that cannot be documents. X-Ray has no such ids, and to make up others would tear the trace apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UntranslatableSpans {
    /// The trace id is all zero.
    pub zero_trace_id: u64,
    /// The span id is all zero.
    pub zero_span_id: u64,
}

impl UntranslatableSpans {
    /// Their sum.
    pub fn total(self) -> u64 {
        self.by_reason().iter().map(|(_, count)| count).sum()
    }

    /// Each reason as a label of metrics, with its count.
    pub fn by_reason(self) -> [(&'static str, u64); 2] {
        [
            ("zero_trace_id", self.zero_trace_id),
            ("zero_span_id", self.zero_span_id),
        ]
    }
}

impl Translator {
    /// Takes what it needs of the settings.
    pub fn new(settings: &AwsXraySettings) -> Self {
        Self {
            indexed: Indexed::new(settings.index_all_attributes, &settings.indexed_attributes),
            log_groups: settings.aws_log_groups.clone(),
        }
    }

    /// Begins a trace, or the part of one that is there. `outline` is asked for when a span's sender did not say whether its
    /// parent is remote: of most traces never.
    pub fn begin<'t>(&'t self, outline: impl FnOnce() -> TraceOutline + 't) -> TraceTranslator<'t> {
        TraceTranslator {
            translator: self,
            trace: LazyCell::new(Box::new(outline)),
            bytes: HashMap::new(),
            json: Json::with_room(),
        }
    }
}

/// Translates the spans of one trace. The map is drawn from all of them, and so is the room that they have.
pub struct TraceTranslator<'t> {
    translator: &'t Translator,
    trace: LazyCell<TraceOutline, Box<dyn FnOnce() -> TraceOutline + 't>>,
    /// Of the documents so far, of each trace.
    bytes: HashMap<TraceId, usize>,
    json: Json,
}

impl TraceTranslator<'_> {
    /// Adds the documents of `spans`, some of the trace's, to `out`, in their order.
    ///
    /// `random_id` gives the ids of segments and exceptions that have none: 64 random bits a call. The same input with
    /// the same ids gives the same bytes.
    pub fn translate(
        &mut self,
        spans: &[ResourceSpans<'_>],
        random_id: &mut dyn FnMut() -> u64,
        out: &mut Vec<SegmentDocument>,
    ) -> Translated {
        // All zero is no id; any other number does as well.
        let mut random_id = || random_id().max(1);
        let Translator { indexed, log_groups } = self.translator;
        let trace = &self.trace;
        let mut writer = Writer {
            json: &mut self.json,
            bytes: &mut self.bytes,
            out,
            done: Translated::default(),
        };
        for resource_spans in spans {
            let facts = ResourceFacts::new(&resource_spans.resource, log_groups);
            let context = Context {
                facts: &facts,
                indexed,
            };
            for span in resource_spans.scope_spans.iter().flat_map(|scope| &scope.spans) {
                if !span.trace_id.is_valid() {
                    writer.done.untranslatable_spans.zero_trace_id += 1;
                } else if !span.span_id.is_valid() {
                    writer.done.untranslatable_spans.zero_span_id += 1;
                } else {
                    writer.done.spans += 1;
                    writer.translate(context, span, shape(trace, span), &mut random_id);
                }
            }
        }
        writer.done
    }
}

/// Where documents go.
struct Writer<'o> {
    json: &'o mut Json,
    /// Of each trace so far.
    bytes: &'o mut HashMap<TraceId, usize>,
    out: &'o mut Vec<SegmentDocument>,
    done: Translated,
}

impl Writer<'_> {
    fn translate<'t>(
        &mut self,
        context: Context<'t>,
        span: &'t Span<'t>,
        shape: Shape,
        random_id: &mut dyn FnMut() -> u64,
    ) {
        match shape {
            Shape::Segment => self.write(Document::segment(context, span, random_id), 1),
            Shape::Subsegment => self.write(Document::subsegment(context, span, random_id), 1),
            Shape::ServiceAndCall => {
                let service_id = SpanId(random_id().to_be_bytes());
                self.write(Document::service(context, span, service_id, random_id), 0);
                self.write(Document::call(context, span, service_id, random_id), 1);
            }
        }
    }

    fn write(&mut self, mut document: Document<'_>, spans: u32) {
        // Without sampling the spans of several traces come together.
        let bytes = self.bytes.entry(document.trace_id).or_default();
        let for_others = if document.is_subsegment {
            limits::TRACE_BYTES_OF_SEGMENTS
        } else {
            0
        };
        let room = limits::TRACE_BYTES_MAX.saturating_sub(*bytes + for_others);
        let is_beyond = room < limits::DOCUMENT_BYTES_BEYOND;
        if is_beyond {
            // Not by steps: there may be a great many of them.
            document.keep_essentials();
        }
        let bytes_max = room.clamp(limits::DOCUMENT_BYTES_BEYOND, limits::DOCUMENT_BYTES_MAX);
        let shrunk = write_within_limit(&mut document, bytes_max, self.json) || is_beyond;
        *bytes += self.json.len();
        self.done.documents += 1;
        self.done.shrunk += u64::from(shrunk);
        self.done.annotations_spilled += document.spilled;
        self.done.links_dropped += document.links_dropped;
        self.done.events_dropped += document.events_dropped;
        self.done.resource_attributes_dropped += document.resource_attributes_dropped;
        self.out.push(SegmentDocument {
            span_id: document.id,
            literal: self.json.to_literal(),
            spans,
            start_time_unix_nano: document.start_nanos,
        });
    }
}

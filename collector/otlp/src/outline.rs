//! Who is whose parent among the spans of one trace: what a span alone does not say, without decoding the others.

use crate::decode::{span_id, span_kind};
use crate::id::SpanId;
use crate::view::{ResourceSpans, SpanKind};
use crate::wire::{Payload, fields};

/// The spans of one trace, by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TraceOutline {
    /// By id, then in wire order.
    spans: Vec<SpanOutline>,
    is_whole: bool,
}

/// One of the spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanOutline {
    /// `span_id`.
    pub span_id: SpanId,
    /// `kind`.
    pub kind: SpanKind,
    /// Which resource it is of: equal numbers are the same one. The store writes equal resources once.
    pub resource: u32,
}

impl TraceOutline {
    /// Reads an encoded `ExportTraceServiceRequest` that [`crate::view::EachSpan`] takes; of other bytes what can be read.
    /// `is_whole`: these are all spans of the trace that came in time, not a part of it.
    pub fn read(bytes: &[u8], is_whole: bool) -> Self {
        let mut spans = Vec::new();
        for (resource, message) in (0..).zip(messages(bytes, 1)) {
            for span in messages(message, 2).flat_map(|scope| messages(scope, 2)) {
                spans.push(outline(span, resource));
            }
        }
        Self::new(spans, is_whole)
    }

    /// The same of decoded spans.
    pub fn of(trace: &[ResourceSpans<'_>], is_whole: bool) -> Self {
        let of_resource = |(resource, of_it): (u32, &ResourceSpans<'_>)| {
            let spans = of_it.scope_spans.iter().flat_map(|scope| &scope.spans);
            let outline = spans.map(|span| SpanOutline {
                span_id: span.span_id,
                kind: span.kind,
                resource,
            });
            outline.collect::<Vec<_>>()
        };
        let spans = (0..).zip(trace).flat_map(of_resource).collect();
        Self::new(spans, is_whole)
    }

    /// The span of this id; the first of several.
    pub fn find(&self, id: SpanId) -> Option<SpanOutline> {
        let at = self.spans.partition_point(|span| span.span_id.0 < id.0);
        self.spans.get(at).copied().filter(|span| span.span_id == id)
    }

    /// Whether a span that is not here did not come at all, as far as is known.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    fn new(mut spans: Vec<SpanOutline>, is_whole: bool) -> Self {
        spans.sort_by_key(|span| span.span_id.0);
        Self { spans, is_whole }
    }
}

/// The embedded messages of one field.
fn messages(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    fields(message).filter_map(move |field| match field {
        (field, Payload::Bytes(inner)) if field == number => Some(inner),
        _ => None,
    })
}

fn outline(span: &[u8], resource: u32) -> SpanOutline {
    let mut outline = SpanOutline {
        span_id: SpanId::default(),
        kind: SpanKind::default(),
        resource,
    };
    for field in fields(span) {
        match field {
            (2, Payload::Bytes(id)) => outline.span_id = span_id(id),
            (6, Payload::Varint(number)) => outline.kind = span_kind(number),
            _ => {}
        }
    }
    outline
}

#[cfg(test)]
mod tests {
    use proptest::prelude::prop_assert_eq;
    use prost::Message;

    use super::TraceOutline;
    use crate::testing::{requests, wild_bytes};
    use crate::view::decode_traces;

    proptest::proptest! {
        #[test]
        fn bytes_and_decoded_spans_have_the_same_outline(request in requests()) {
            let bytes = request.encode_to_vec();
            let decoded = decode_traces(&bytes).unwrap();
            let outline = TraceOutline::read(&bytes, true);
            prop_assert_eq!(&outline, &TraceOutline::of(&decoded, true));
            for span in decoded.iter().flat_map(|of_it| &of_it.scope_spans).flat_map(|scope| &scope.spans) {
                prop_assert_eq!(outline.find(span.span_id).map(|found| found.span_id), Some(span.span_id));
            }
        }

        #[test]
        fn no_bytes_are_too_odd(bytes in wild_bytes()) {
            TraceOutline::read(&bytes, false);
        }
    }
}

//! Segment or subsegment, and how many documents a span becomes.
//!
//! X-Ray draws a node of its service map for each *segment*; a *subsegment* belongs to the segment above it. Whether
//! a span is the first of its service in a trace cannot be seen from its kind alone. An agent that knows says so
//! in `aws.span.kind`; without it the kind and the parent decide.

use tracepipe_otlp::view::{ResourceSpans, Span, SpanKind};

use crate::attributes::lookup_text;

/// What a span becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One segment. It carries the resource's attributes.
    Segment,
    /// One subsegment. It does not: its segment has them.
    Subsegment,
    /// One segment, whatever its parent: the agent says that it is the first of its service.
    LocalRoot {
        /// Whether it carries the resource's attributes.
        with_resource: bool,
    },
    /// Two documents, because the first span of a service calls another service itself: a subsegment for the call
    /// below a segment for the service.
    ServiceAndCall {
        /// Whether the segment carries the resource's attributes.
        service_with_resource: bool,
        /// Whether the subsegment does.
        call_with_resource: bool,
    },
}

/// Decides it, by the span and, once it matters, by everything of its trace: flags that say whether a parent is in
/// another process, and spans that are there or not. `_batch` holds all spans of all traces that are translated
/// together; a kept trace is whole in it, but for late spans.
pub(crate) fn shape(_batch: &[ResourceSpans<'_>], span: &Span<'_>) -> Shape {
    let is_segment = is_segment(span.kind, span.parent_span_id.is_some());
    if lookup_text(&span.attributes, "aws.span.kind") != "LOCAL_ROOT" {
        return if is_segment {
            Shape::Segment
        } else {
            Shape::Subsegment
        };
    }
    match span.kind {
        SpanKind::Server | SpanKind::Internal => Shape::LocalRoot {
            with_resource: is_segment,
        },
        SpanKind::Client | SpanKind::Producer | SpanKind::Consumer | SpanKind::Unspecified => {
            Shape::ServiceAndCall {
                service_with_resource: is_segment,
                // The call always has a parent: the service.
                call_with_resource: self::is_segment(span.kind, true),
            }
        }
    }
}

fn is_segment(kind: SpanKind, has_parent: bool) -> bool {
    match kind {
        SpanKind::Server | SpanKind::Consumer => true,
        SpanKind::Client | SpanKind::Producer | SpanKind::Internal | SpanKind::Unspecified => !has_parent,
    }
}

#[cfg(test)]
mod tests {
    use tracepipe_otlp::SpanId;
    use tracepipe_otlp::view::{AnyValue, KeyValue, Span, SpanKind};

    use super::{Shape, shape};

    const KINDS: [SpanKind; 6] = [
        SpanKind::Unspecified,
        SpanKind::Internal,
        SpanKind::Server,
        SpanKind::Client,
        SpanKind::Producer,
        SpanKind::Consumer,
    ];

    fn span(kind: SpanKind, parent: bool, aws_kind: &'static str) -> Span<'static> {
        Span {
            kind,
            parent_span_id: parent.then_some(SpanId([1; 8])),
            attributes: vec![KeyValue {
                key: "aws.span.kind".into(),
                value: AnyValue::String(aws_kind.into()),
            }],
            ..Span::default()
        }
    }

    #[test]
    fn servers_consumers_and_roots_are_segments() {
        for kind in KINDS {
            assert_eq!(shape(&[], &span(kind, false, "")), Shape::Segment);
            let is_segment = matches!(kind, SpanKind::Server | SpanKind::Consumer);
            let expected = if is_segment {
                Shape::Segment
            } else {
                Shape::Subsegment
            };
            assert_eq!(shape(&[], &span(kind, true, "local_root")), expected, "{kind:?}");
        }
    }

    #[test]
    fn a_local_root_that_calls_becomes_two_documents() {
        let both = |with_resource| Shape::ServiceAndCall {
            service_with_resource: with_resource,
            call_with_resource: with_resource,
        };
        for (kind, expected) in [
            (SpanKind::Server, Shape::LocalRoot { with_resource: true }),
            (SpanKind::Internal, Shape::LocalRoot { with_resource: false }),
            (SpanKind::Client, both(false)),
            (SpanKind::Producer, both(false)),
            (SpanKind::Unspecified, both(false)),
            (SpanKind::Consumer, both(true)),
        ] {
            assert_eq!(shape(&[], &span(kind, true, "LOCAL_ROOT")), expected, "{kind:?}");
        }
        let root = Shape::ServiceAndCall {
            service_with_resource: true,
            call_with_resource: false,
        };
        assert_eq!(shape(&[], &span(SpanKind::Client, false, "LOCAL_ROOT")), root);
    }
}

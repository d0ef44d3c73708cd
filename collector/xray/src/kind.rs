//! Segment or subsegment, and how many documents a span becomes.
//!
//! X-Ray draws a node of its service map for each *segment*; a *subsegment* belongs to the segment above it. So the map is
//! right when each *local root*, the first span of a service in a trace, is a segment, and no other span is.
//!
//! What decides whether a span is one, in this order: an agent that says so (`aws.span.kind`); no parent; OTLP's flags,
//! which say whether the parent is in another process; and, from senders too old to set them, the trace itself.

use std::ops::Deref;

use tracepipe_otlp::view::{FLAG_HAS_IS_REMOTE, FLAG_IS_REMOTE, Span, SpanKind};
use tracepipe_otlp::{SpanId, TraceOutline};

use crate::attributes::lookup_text;

/// What a span becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One segment: the span is a local root. It carries the resource's attributes.
    Segment,
    /// One subsegment. It does not: its segment has them.
    Subsegment,
    /// Two documents, because the first span of a service is a call to another one: a segment for the service, and below
    /// it a subsegment for the call.
    ServiceAndCall,
}

/// Decides it. `trace` is looked at only for a span whose sender set no flags.
pub(crate) fn shape(trace: &impl Deref<Target = TraceOutline>, span: &Span<'_>) -> Shape {
    let said_by_agent = said_by_agent(span);
    let named_by_agent = said_by_agent == Some(true);
    let is_local_root = said_by_agent.unwrap_or_else(|| is_local_root(trace, span));
    if !is_local_root && parent(span).is_some() {
        return Shape::Subsegment;
    }
    match span.kind {
        SpanKind::Server | SpanKind::Internal => Shape::Segment,
        // An agent says from where a message came, which is a call of its own. Without that the consumer is all there is.
        SpanKind::Consumer | SpanKind::Unspecified if !named_by_agent => Shape::Segment,
        SpanKind::Client | SpanKind::Producer | SpanKind::Consumer | SpanKind::Unspecified => {
            Shape::ServiceAndCall
        }
    }
}

/// The parent, but for a span that says to be its own.
pub(crate) fn parent(span: &Span<'_>) -> Option<SpanId> {
    span.parent_span_id.filter(|parent| *parent != span.span_id)
}

/// Agents of AWS write it (ADOT's SDKs, Application Signals): of other spans they write their kind.
fn said_by_agent(span: &Span<'_>) -> Option<bool> {
    match lookup_text(&span.attributes, "aws.span.kind") {
        "LOCAL_ROOT" => Some(true),
        "SERVER" | "CLIENT" | "PRODUCER" | "CONSUMER" | "INTERNAL" => Some(false),
        _ => None,
    }
}

fn is_local_root(trace: &impl Deref<Target = TraceOutline>, span: &Span<'_>) -> bool {
    let Some(parent) = parent(span) else { return true };
    if span.flags & FLAG_HAS_IS_REMOTE != 0 {
        return span.flags & FLAG_IS_REMOTE != 0;
    }
    if span.kind == SpanKind::Server {
        // Its kind says that a request came in, wherever from.
        return true;
    }
    match (span.kind, trace.find(parent)) {
        // It came late, or the trace was too large to leave in one: most spans have their parent in their own process.
        (kind, None) if !trace.is_whole() => kind == SpanKind::Consumer,
        // It is more likely lost, or not ended yet, than in another service: a call has its caller in its own.
        (SpanKind::Client | SpanKind::Producer, None) => false,
        (_, None) => true,
        (kind, Some(parent)) => {
            // A service may send messages to itself. Below a client it is more likely one that the client has fetched.
            let is_message = kind == SpanKind::Consumer && parent.kind == SpanKind::Producer;
            let own = trace.find(span.span_id);
            is_message || own.is_some_and(|own| own.resource != parent.resource)
        }
    }
}

#[cfg(test)]
mod tests {
    use tracepipe_otlp::view::{AnyValue, KeyValue, ResourceSpans, ScopeSpans, Span, SpanKind};
    use tracepipe_otlp::{SpanId, TraceOutline};

    use super::{Shape, shape};

    const KINDS: [SpanKind; 6] = [
        SpanKind::Unspecified,
        SpanKind::Internal,
        SpanKind::Server,
        SpanKind::Client,
        SpanKind::Producer,
        SpanKind::Consumer,
    ];

    const LOCAL: u32 = 0x101;
    const REMOTE: u32 = 0x301;
    const UNKNOWN: u32 = 0x1;

    fn span(kind: SpanKind, parent: Option<u8>, flags: u32) -> Span<'static> {
        Span {
            span_id: SpanId([2; 8]),
            parent_span_id: parent.map(|id| SpanId([id; 8])),
            kind,
            flags,
            ..Span::default()
        }
    }

    fn by_agent(value: &'static str, span: Span<'static>) -> Span<'static> {
        let attribute = KeyValue {
            key: "aws.span.kind".into(),
            value: AnyValue::String(value.into()),
        };
        Span {
            attributes: vec![attribute],
            ..span
        }
    }

    /// The shape of a span whose parent, if it is there, has this kind and is of the same resource or of another one.
    fn below(parent: Option<(SpanKind, bool)>, is_whole: bool, span: &Span<'static>) -> Shape {
        let resource = |spans| ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        };
        let parent = parent.map(|(kind, same)| {
            let parent = Span {
                span_id: SpanId([1; 8]),
                kind,
                ..Span::default()
            };
            (parent, same)
        });
        let trace = match parent {
            None => vec![resource(vec![span.clone()])],
            Some((parent, true)) => vec![resource(vec![parent, span.clone()])],
            Some((parent, false)) => vec![resource(vec![parent]), resource(vec![span.clone()])],
        };
        shape(&&TraceOutline::of(&trace, is_whole), span)
    }

    /// What a local root of this kind becomes.
    fn root(kind: SpanKind) -> Shape {
        match kind {
            SpanKind::Client | SpanKind::Producer => Shape::ServiceAndCall,
            SpanKind::Server | SpanKind::Consumer | SpanKind::Internal | SpanKind::Unspecified => {
                Shape::Segment
            }
        }
    }

    #[test]
    fn the_flags_decide_whatever_the_trace_says() {
        for kind in KINDS {
            for parent in [
                None,
                Some((SpanKind::Internal, true)),
                Some((SpanKind::Client, false)),
            ] {
                let local = below(parent, true, &span(kind, Some(1), LOCAL));
                assert_eq!(local, Shape::Subsegment, "{kind:?} {parent:?}");
                let remote = below(parent, true, &span(kind, Some(1), REMOTE));
                assert_eq!(remote, root(kind), "{kind:?} {parent:?}");
            }
        }
    }

    #[test]
    fn without_flags_a_parent_of_the_same_resource_is_of_the_same_process() {
        for kind in KINDS {
            let span = span(kind, Some(1), UNKNOWN);
            let expected = if kind == SpanKind::Server {
                Shape::Segment
            } else {
                Shape::Subsegment
            };
            for parent in [SpanKind::Internal, SpanKind::Server, SpanKind::Consumer] {
                assert_eq!(
                    below(Some((parent, true)), true, &span),
                    expected,
                    "{kind:?} {parent:?}"
                );
                assert_eq!(
                    below(Some((parent, false)), true, &span),
                    root(kind),
                    "{kind:?} {parent:?}"
                );
            }
        }
    }

    #[test]
    fn a_service_that_sends_itself_a_message_takes_it_in_a_segment_of_its_own() {
        let consumer = span(SpanKind::Consumer, Some(1), UNKNOWN);
        let by = |parent| below(Some((parent, true)), true, &consumer);
        assert_eq!(by(SpanKind::Producer), Shape::Segment);
        // A "receive" of the newer conventions with its "process".
        assert_eq!(by(SpanKind::Client), Shape::Subsegment);
    }

    #[test]
    fn without_flags_a_parent_that_is_missing_is_elsewhere_only_if_the_trace_is_whole() {
        for kind in KINDS {
            let span = span(kind, Some(1), UNKNOWN);
            let calls = matches!(kind, SpanKind::Client | SpanKind::Producer);
            let whole = if calls { Shape::Subsegment } else { root(kind) };
            assert_eq!(below(None, true, &span), whole, "{kind:?}");
            let expected = match kind {
                SpanKind::Server | SpanKind::Consumer => Shape::Segment,
                SpanKind::Client | SpanKind::Producer | SpanKind::Internal | SpanKind::Unspecified => {
                    Shape::Subsegment
                }
            };
            assert_eq!(below(None, false, &span), expected, "{kind:?}");
        }
    }

    #[test]
    fn a_span_without_parent_is_a_root_and_so_is_its_own_parent() {
        for kind in KINDS {
            for parent in [None, Some(2)] {
                assert_eq!(
                    below(None, false, &span(kind, parent, LOCAL)),
                    root(kind),
                    "{kind:?}"
                );
            }
        }
    }

    #[test]
    fn an_agent_knows_better_and_says_from_where_a_message_came() {
        for (kind, expected) in [
            (SpanKind::Server, Shape::Segment),
            (SpanKind::Internal, Shape::Segment),
            (SpanKind::Client, Shape::ServiceAndCall),
            (SpanKind::Producer, Shape::ServiceAndCall),
            (SpanKind::Unspecified, Shape::ServiceAndCall),
            (SpanKind::Consumer, Shape::ServiceAndCall),
        ] {
            let span = by_agent("LOCAL_ROOT", span(kind, Some(1), LOCAL));
            assert_eq!(
                below(Some((SpanKind::Server, true)), true, &span),
                expected,
                "{kind:?}"
            );
        }
        for said in ["CLIENT", "INTERNAL"] {
            let inner = by_agent(said, span(SpanKind::Client, Some(1), REMOTE));
            assert_eq!(below(None, true, &inner), Shape::Subsegment);
            let root = by_agent(said, span(SpanKind::Internal, None, LOCAL));
            assert_eq!(below(None, true, &root), Shape::Segment);
        }
        let lowercase = by_agent("local_root", span(SpanKind::Internal, Some(1), LOCAL));
        assert_eq!(below(None, true, &lowercase), Shape::Subsegment);
    }
}

//! The walk against the decoder, and the store against both.

use std::collections::BTreeMap;

use crate::head::SpanHead;
use crate::id::TraceId;
use crate::store::{Chain, SpanStore};
use crate::view::{KeyValue, ResourceSpans, ScopeSpans, Span, decode_traces};
use crate::walk::RequestWalk;
use crate::watch::Watch;
use crate::wire::put_bytes;

/// Why the walk may refuse what can be decoded: see `RequestWalk::walk`.
const ONLY_THE_WALK_REFUSES: [&str; 3] = [
    "the request is too long",
    "too many spans are too short to have ids",
    "too many fields are scattered between spans",
];

/// Vectors begin with room for a few elements, whatever is asked for.
const SMALLEST_ROOM: usize = 2048;

/// Walks `input` as a request.
///
/// # Panics
/// When something does not hold that must hold for every input: the walk takes what the decoder takes and shows what the
/// decoder finds; all ranges lie in the input; it needs no more memory than it asked for; a trace that was stored and
/// written has the same spans as the input; and nothing is left of a trace that is released.
pub fn walk(input: &[u8]) {
    let mut walk = RequestWalk::new();
    let mut watch = Recorder::default();
    let watched = walk.walk_with(input, &mut watch);
    let mut plain = RequestWalk::new();
    assert_eq!(watched, plain.walk(input), "a watch changes what is taken");
    let decoded = decode_traces(input);
    if let Err(error) = watched {
        assert!(error.offset <= input.len());
        assert!(walk.spans().is_empty());
        let alone = ONLY_THE_WALK_REFUSES.contains(&error.what);
        assert!(
            alone || decoded.err() == Some(error),
            "only the walk refuses it: {error}"
        );
        return;
    }
    assert!(
        decoded.is_ok(),
        "the walk took it, the decoder does not: {decoded:?}"
    );
    let decoded = decoded.unwrap_or_default();
    let room = RequestWalk::room_for(input).max(SMALLEST_ROOM);
    assert!(walk.memory_bytes() <= room, "{} of {room}", walk.memory_bytes());
    assert_heads(&walk, &plain, &decoded, &watch, input);
    assert_stored(&walk, &decoded, input);
}

/// The walk and the decoder say the same of a span.
pub(crate) fn assert_head(head: &SpanHead, span: &Span<'_>) {
    assert_eq!(head.trace_id, span.trace_id);
    assert_eq!(head.span_id, span.span_id);
    assert_eq!(head.is_root, span.parent_span_id.is_none());
    assert_eq!(head.start_time_unix_nano, span.start_time_unix_nano);
    assert_eq!(head.end_time_unix_nano, span.end_time_unix_nano);
    assert_eq!(head.status, span.status.code);
    assert_eq!(head.flags, span.flags);
    assert_eq!(
        head.defect.is_none(),
        span.trace_id.is_valid() && span.span_id.is_valid()
    );
}

fn assert_heads(
    walk: &RequestWalk,
    plain: &RequestWalk,
    decoded: &[ResourceSpans<'_>],
    watch: &Recorder,
    input: &[u8],
) {
    let spans = decoded
        .iter()
        .zip(&watch.resources)
        .flat_map(|(resource, shown)| {
            assert_attributes(&shown.attributes, &resource.resource);
            let spans = resource.scope_spans.iter().flat_map(|scope| &scope.spans);
            spans.map(move |span| (span, shown.bits))
        });
    let spans: Vec<_> = spans.collect();
    assert_eq!(watch.resources.len(), decoded.len());
    assert_eq!(walk.spans().len(), spans.len());
    assert_eq!(watch.spans.len(), spans.len());
    assert_eq!(plain.spans().len(), spans.len());
    for (((span, of_resource), shown), (head, plain)) in spans
        .iter()
        .zip(&watch.spans)
        .zip(walk.spans().iter().zip(plain.spans()))
    {
        assert_head(head, span);
        assert_eq!(head.matched, shown.bits | of_resource);
        assert_eq!(plain.matched, 0);
        assert_eq!((&head.record, head.context), (&plain.record, plain.context));
        assert!(input.get(head.record.clone()).is_some());
        assert_eq!(String::from_utf8_lossy(&shown.trace_state), span.trace_state);
        assert_attributes(&shown.attributes, &span.attributes);
        let context = walk.context(head.context);
        for piece in context.resource.iter().chain(context.scope) {
            assert!(input.get(piece.clone()).is_some_and(|bytes| !bytes.is_empty()));
        }
    }
}

/// `shown` are encoded `KeyValue`s, each as a field 1: those of a resource.
fn assert_attributes(shown: &[u8], decoded: &[KeyValue<'_>]) {
    let (mut resource_spans, mut request) = (Vec::new(), Vec::new());
    put_bytes(1, shown, &mut resource_spans);
    put_bytes(1, &resource_spans, &mut request);
    let shown = decode_traces(&request);
    let shown = shown
        .as_deref()
        .map(|resources| resources.iter().flat_map(|one| &one.resource));
    assert!(shown.is_ok(), "a value is shown that has not been checked");
    if let Ok(shown) = shown {
        let shown: Vec<_> = shown.collect();
        let decoded: Vec<_> = decoded.iter().collect();
        // Through text, since a fraction that is no number equals nothing.
        assert_eq!(format!("{shown:?}"), format!("{decoded:?}"));
    }
}

/// Stores each span with its trace and writes the traces again.
fn assert_stored(walk: &RequestWalk, decoded: &[ResourceSpans<'_>], input: &[u8]) {
    let mut store = SpanStore::new(0, 7);
    let empty = store.memory_bytes();
    let mut traces: BTreeMap<TraceId, Chain> = BTreeMap::new();
    for head in walk.spans() {
        let context = store.begin(input, walk.context(head.context));
        let chain = traces.entry(head.trace_id).or_default();
        store.append(chain, context, &input[head.record.clone()]);
        store.end(context);
    }
    let mut expected = by_trace(decoded);
    for (id, chain) in traces {
        let mut out = Vec::new();
        store.write_trace(&chain, &[], &mut out);
        let written = decode_traces(&out);
        assert!(written.is_ok(), "a stored trace cannot be decoded: {written:?}");
        if let Ok(written) = written {
            assert_eq!(by_trace(&written).remove(&id), expected.remove(&id));
        }
        store.release(chain);
    }
    assert_eq!(expected.len(), 0);
    assert_eq!(store.memory_bytes(), empty);
}

/// The spans of each trace, each with all that stands around it, in an order that does not depend on how they are
/// grouped.
fn by_trace(decoded: &[ResourceSpans<'_>]) -> BTreeMap<TraceId, Vec<String>> {
    let mut traces: BTreeMap<TraceId, Vec<String>> = BTreeMap::new();
    for resource in decoded {
        for scope in &resource.scope_spans {
            let context = ResourceSpans {
                scope_spans: vec![ScopeSpans {
                    spans: Vec::new(),
                    ..scope.clone()
                }],
                ..resource.clone()
            };
            let context = format!("{context:?}");
            for span in &scope.spans {
                let text = format!("{span:?} in {context}");
                traces.entry(span.trace_id).or_default().push(text);
            }
        }
    }
    for spans in traces.values_mut() {
        spans.sort();
    }
    traces
}

/// Writes down what it is shown. Its bits tell how much that was.
#[derive(Default)]
struct Recorder {
    resources: Vec<Shown>,
    spans: Vec<Shown>,
    resource: Shown,
    span: Shown,
}

#[derive(Default)]
struct Shown {
    /// As the fields of a `Resource`.
    attributes: Vec<u8>,
    trace_state: Vec<u8>,
    bits: u128,
}

impl Shown {
    fn attribute(&mut self, key: &[u8], value: &[u8]) {
        let mut attribute = Vec::new();
        put_bytes(1, key, &mut attribute);
        put_bytes(2, value, &mut attribute);
        put_bytes(1, &attribute, &mut self.attributes);
    }
}

impl Watch for Recorder {
    fn wants_attributes(&self) -> bool {
        true
    }

    fn wants_trace_state(&self) -> bool {
        true
    }

    fn reset(&mut self) {
        *self = Self::default();
    }

    fn begin_resource(&mut self) {}

    fn resource_attribute(&mut self, key: &[u8], value: &[u8]) {
        self.resource.attribute(key, value);
    }

    fn end_resource(&mut self) -> u128 {
        let mut resource = std::mem::take(&mut self.resource);
        resource.bits = 1 << (64 + resource.attributes.len() % 64);
        let bits = resource.bits;
        self.resources.push(resource);
        bits
    }

    fn span_attribute(&mut self, key: &[u8], value: &[u8]) {
        self.span.attribute(key, value);
    }

    fn trace_state(&mut self, text: &[u8]) {
        self.span.trace_state = text.to_vec();
    }

    fn end_span(&mut self) -> u128 {
        let mut span = std::mem::take(&mut self.span);
        span.bits = 1 << (span.attributes.len() % 64);
        let bits = span.bits;
        self.spans.push(span);
        bits
    }
}

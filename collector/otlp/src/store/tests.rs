use std::collections::BTreeMap;

use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::TraceId;
use crate::proto;
use crate::testing::{printed, requests, wild_bytes};
use crate::view::{ResourceSpans, ScopeSpans, Span, decode_traces};
use crate::walk::RequestWalk;

const CHUNK: usize = 4096;

fn store() -> SpanStore {
    SpanStore::new(CHUNK, 42)
}

/// Where each trace's spans went.
type Traces = BTreeMap<TraceId, Chain>;

/// What the ingest owner does with a request.
fn accept(store: &mut SpanStore, traces: &mut Traces, request: &[u8]) {
    let mut walk = RequestWalk::new();
    walk.walk(request).unwrap();
    for head in walk.spans() {
        let context = store.begin(request, walk.context(head.context));
        let chain = traces.entry(head.trace_id).or_default();
        store.append(chain, context, &request[head.record.clone()]);
        store.end(context);
    }
}

fn written(store: &mut SpanStore, chain: &Chain, extra: &[u8]) -> Vec<u8> {
    let mut out = b"before".to_vec();
    store.write_trace(chain, extra, &mut out);
    assert_eq!(&out[..6], b"before");
    out.split_off(6)
}

/// Spans each with all that stands around it, in an order that does not depend on how they are grouped.
fn flat(decoded: &[ResourceSpans<'_>]) -> Vec<String> {
    let mut flat = Vec::new();
    for resource in decoded {
        for scope in &resource.scope_spans {
            for span in &scope.spans {
                let scope = ScopeSpans {
                    spans: vec![span.clone()],
                    ..scope.clone()
                };
                let whole = ResourceSpans {
                    scope_spans: vec![scope],
                    ..resource.clone()
                };
                flat.push(printed(&[whole]));
            }
        }
    }
    flat.sort();
    flat
}

fn only_trace(decoded: Vec<ResourceSpans<'_>>, id: TraceId) -> Vec<ResourceSpans<'_>> {
    let mut decoded = decoded;
    for scope in decoded.iter_mut().flat_map(|resource| &mut resource.scope_spans) {
        scope.spans.retain(|span| span.trace_id == id);
    }
    decoded
}

fn span(trace: u8, name: &str) -> proto::Span {
    proto::Span {
        trace_id: vec![trace; 16],
        span_id: vec![1; 8],
        name: name.into(),
        ..proto::Span::default()
    }
}

fn request(service: &str, scope: &str, spans: Vec<proto::Span>) -> Vec<u8> {
    let scope = proto::InstrumentationScope {
        name: scope.into(),
        ..Default::default()
    };
    let attribute = proto::KeyValue {
        key: "service.name".into(),
        value: Some(proto::AnyValue {
            value: Some(proto::any_value::Value::StringValue(service.into())),
        }),
    };
    proto::ExportTraceServiceRequest {
        resource_spans: vec![proto::ResourceSpans {
            resource: Some(proto::Resource {
                attributes: vec![attribute],
                ..Default::default()
            }),
            scope_spans: vec![proto::ScopeSpans {
                scope: Some(scope),
                spans,
                ..Default::default()
            }],
            schema_url: String::new(),
        }],
    }
    .encode_to_vec()
}

fn names(decoded: &[ResourceSpans<'_>]) -> Vec<String> {
    let spans = decoded
        .iter()
        .flat_map(|resource| &resource.scope_spans)
        .flat_map(|scope| &scope.spans);
    spans.map(|span| span.name.to_string()).collect()
}

/// Model test: the store does what a list of requests per trace would do.
#[derive(Debug, Clone)]
enum Step {
    Accept(proto::ExportTraceServiceRequest),
    Release(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few ids, so that traces grow over several requests; some spans larger than a chunk.
    let few_traces = (requests(), any::<u8>()).prop_map(|(mut request, salt)| {
        let spans = request
            .resource_spans
            .iter_mut()
            .flat_map(|resource| &mut resource.scope_spans);
        for (index, span) in spans.flat_map(|scope| &mut scope.spans).enumerate() {
            span.trace_id = vec![1 + (index as u8).wrapping_mul(salt) % 5; 16];
            span.span_id = vec![1; 8];
            if salt % 16 == 3 {
                span.name = "long".repeat(CHUNK / 3);
            }
        }
        Step::Accept(request)
    });
    let step = prop_oneof![3 => few_traces, 2 => any::<prop::sample::Index>().prop_map(Step::Release)];
    prop::collection::vec(step, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_trace_is_written_as_it_came_and_nothing_is_left_when_all_are_released(steps in steps()) {
        let mut store = store();
        let empty = store.memory_bytes();
        let mut traces = Traces::new();
        let mut model: BTreeMap<TraceId, Vec<String>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Accept(request) => {
                    let request = request.encode_to_vec();
                    accept(&mut store, &mut traces, &request);
                    let decoded = decode_traces(&request).unwrap();
                    for id in traces.keys() {
                        let spans = flat(&only_trace(decoded.clone(), *id));
                        model.entry(*id).or_default().extend(spans);
                    }
                }
                Step::Release(index) if !traces.is_empty() => {
                    let id = *traces.keys().nth(index.index(traces.len())).unwrap();
                    store.release(traces.remove(&id).unwrap());
                    model.remove(&id);
                }
                Step::Release(_) => {}
            }
            for (id, chain) in &traces {
                let expected = model.get_mut(id).unwrap();
                expected.sort();
                let bytes = written(&mut store, chain, &[]);
                prop_assert_eq!(&flat(&decode_traces(&bytes).unwrap()), &*expected);
                prop_assert_eq!(chain.spans() as usize, expected.len());
            }
            assert_memory_is_what_is_held(&store);
        }
        for (_, chain) in traces {
            store.release(chain);
        }
        prop_assert_eq!((store.chunk_count(), store.context_count()), (0, 0));
        prop_assert_eq!(store.memory_bytes(), empty);
    }

    #[test]
    fn unknown_fields_and_odd_encodings_survive(request in wild_bytes()) {
        let (mut store, mut traces) = (store(), Traces::new());
        accept(&mut store, &mut traces, &request);
        for (id, chain) in traces {
            let bytes = written(&mut store, &chain, &[]);
            let expected = only_trace(decode_traces(&request).unwrap(), id);
            prop_assert_eq!(flat(&decode_traces(&bytes).unwrap()), flat(&expected));
            // Each record is in it byte by byte.
            let mut walk = RequestWalk::new();
            walk.walk(&request).unwrap();
            for head in walk.spans().iter().filter(|head| head.trace_id == id) {
                let record = &request[head.record.clone()];
                prop_assert!(bytes.windows(record.len()).any(|window| window == record));
            }
            store.release(chain);
        }
        prop_assert_eq!(store.chunk_count(), 0);
    }

    #[test]
    fn extra_fields_are_added_to_each_span_and_change_nothing_else(request in wild_bytes()) {
        let extra = encode_string_attribute(9, "tailsampling.policy", "errors");
        let (mut store, mut traces) = (store(), Traces::new());
        accept(&mut store, &mut traces, &request);
        for chain in traces.values() {
            let with = written(&mut store, chain, &extra);
            let mut with = decode_traces(&with).unwrap();
            for span in with.iter_mut().flat_map(|r| &mut r.scope_spans).flat_map(|s| &mut s.spans) {
                let added = span.attributes.pop().unwrap();
                prop_assert_eq!(added.key, "tailsampling.policy");
                prop_assert_eq!(added.value, crate::view::AnyValue::String("errors".into()));
            }
            let without = written(&mut store, chain, &[]);
            prop_assert_eq!(printed(&with), printed(&decode_traces(&without).unwrap()));
        }
    }
}

/// The sum over what is there, by another way than the store's own running totals.
fn assert_memory_is_what_is_held(store: &SpanStore) {
    assert_eq!(
        store.memory_bytes(),
        store.chunks.counted_memory() + store.contexts.counted_memory()
    );
}

#[test]
fn a_trace_of_one_context_is_the_request_again() {
    let request = request("shop", "http", vec![span(1, "a"), span(1, "b")]);
    let (mut store, mut traces) = (store(), Traces::new());
    accept(&mut store, &mut traces, &request);
    assert_eq!(written(&mut store, traces.values().next().unwrap(), &[]), request);
}

#[test]
fn a_trace_in_parts_is_the_whole_trace_and_leaves_nothing_behind() {
    let mut store = store();
    let mut traces = Traces::new();
    // Runs of another trace in between, two contexts, chunks that change; at last a record larger than any.
    for number in 0..100 {
        let mine = (0..5).map(|at| span(1, &format!("{number} {at}")));
        let spans = mine.chain([span(2, "other")]).collect();
        accept(
            &mut store,
            &mut traces,
            &request(["a", "b"][number % 2], "scope", spans),
        );
    }
    accept(
        &mut store,
        &mut traces,
        &request("a", "scope", vec![span(1, &"x".repeat(2 * CHUNK))]),
    );
    let mut rest = traces.remove(&TraceId([1; 16])).unwrap();
    let whole = written(&mut store, &rest, b"");
    let (spans, bytes) = (rest.spans(), rest.bytes());
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let part = store.split_front(&mut rest, 1000, 0);
        assert!(!part.is_empty());
        let message = written(&mut store, &part, b"");
        assert_eq!(
            flat(&decode_traces(&message).unwrap()).len(),
            part.spans() as usize
        );
        parts.push((part, message));
    }
    assert!(parts.len() > 20, "{}", parts.len());
    assert_eq!(parts.iter().map(|(part, _)| part.spans()).sum::<u32>(), spans);
    assert_eq!(parts.iter().map(|(part, _)| part.bytes()).sum::<u64>(), bytes);
    // Concatenation merges.
    let messages: Vec<u8> = parts.iter().flat_map(|(_, message)| message.clone()).collect();
    assert_eq!(
        flat(&decode_traces(&messages).unwrap()),
        flat(&decode_traces(&whole).unwrap())
    );
    for (part, _) in parts {
        store.release(part);
    }
    assert_memory_is_what_is_held(&store);
    traces.into_values().for_each(|chain| store.release(chain));
    assert_eq!((store.chunk_count(), store.context_count()), (0, 0));
}

#[test]
fn an_empty_chain_is_an_empty_request() {
    let mut store = store();
    assert_eq!(written(&mut store, &Chain::default(), b"x"), b"");
    store.release(Chain::default());
    assert_eq!(store.chunk_count(), 0);
}

#[test]
fn spans_that_follow_each_other_share_one_header() {
    let many = vec![span(1, "a"); 20];
    let (mut store, mut traces) = (store(), Traces::new());
    let request = request("shop", "http", many);
    accept(&mut store, &mut traces, &request);
    let chain = traces.values().next().unwrap();
    assert_eq!((chain.spans(), runs(&store.chunks, chain).len()), (20, 1));
}

#[test]
fn equal_contexts_are_stored_once_and_freed_with_the_last_span() {
    let (mut store, mut traces) = (store(), Traces::new());
    for trace in 1..=3 {
        accept(
            &mut store,
            &mut traces,
            &request("shop", "http", vec![span(trace, "a")]),
        );
    }
    accept(
        &mut store,
        &mut traces,
        &request("shop", "sql", vec![span(3, "b")]),
    );
    accept(
        &mut store,
        &mut traces,
        &request("cart", "http", vec![span(4, "c")]),
    );
    assert_eq!(store.context_count(), 3);
    let mut release = |trace: u8| {
        store.release(traces.remove(&TraceId([trace; 16])).unwrap());
        store.context_count()
    };
    assert_eq!([release(4), release(1), release(3), release(2)], [2, 2, 1, 0]);
}

#[test]
fn a_context_without_spans_goes_with_its_end() {
    let request = request("shop", "http", vec![span(1, "a")]);
    let mut walk = RequestWalk::new();
    walk.walk(&request).unwrap();
    let mut store = store();
    let first = store.begin(&request, walk.context(0));
    let second = store.begin(&request, walk.context(0));
    assert_eq!(first, second);
    store.end(first);
    assert_eq!(store.context_count(), 1);
    store.end(second);
    assert_eq!(store.context_count(), 0);
}

#[test]
fn a_large_resource_is_written_once_however_often_a_trace_returns_to_it() {
    let (mut store, mut traces) = (store(), Traces::new());
    let large = "x".repeat(10_000);
    let mut received = 0;
    for round in 0..50 {
        for (service, scope) in [(&large[..], "http"), ("cart", "http"), (&large[..], "sql")] {
            let request = request(service, scope, vec![span(1, &format!("{round}"))]);
            received += request.len();
            accept(&mut store, &mut traces, &request);
        }
    }
    let chain = traces.values().next().unwrap();
    let bytes = written(&mut store, chain, &[]);
    let decoded = decode_traces(&bytes).unwrap();
    assert_eq!(decoded.len(), 2);
    assert_eq!(decoded[0].scope_spans.len(), 2);
    assert!(bytes.len() < received / 20);
    // In a scope the spans keep their order.
    let expected: Vec<_> = (0..50).map(|round| round.to_string()).collect();
    assert_eq!(names(&decoded)[..50], expected);
}

#[test]
fn chunks_are_freed_whole_while_others_live() {
    let (mut store, mut traces) = (store(), Traces::new());
    let name = "x".repeat(CHUNK / 4);
    for trace in 1..=9 {
        accept(
            &mut store,
            &mut traces,
            &request("shop", "http", vec![span(trace, &name)]),
        );
    }
    // Three fit in a chunk.
    assert_eq!(store.chunk_count(), 3);
    let full = store.memory_bytes();
    for (trace, chunks) in [(1, 3), (3, 3), (2, 2), (9, 2), (8, 2), (7, 1)] {
        store.release(traces.remove(&TraceId([trace; 16])).unwrap());
        assert_eq!(store.chunk_count(), chunks, "after {trace}");
    }
    assert!(store.memory_bytes() <= full - 2 * CHUNK + 64);
    // What is left is untouched, and there is room for more.
    accept(
        &mut store,
        &mut traces,
        &request("shop", "http", vec![span(10, "new")]),
    );
    for trace in [4, 5, 6, 10] {
        let bytes = written(&mut store, &traces[&TraceId([trace; 16])], &[]);
        assert_eq!(names(&decode_traces(&bytes).unwrap()).len(), 1);
    }
}

#[test]
fn a_record_larger_than_a_chunk_has_its_own_and_leaves_the_current_one_in_use() {
    let (mut store, mut traces) = (store(), Traces::new());
    accept(
        &mut store,
        &mut traces,
        &request("shop", "http", vec![span(1, "a")]),
    );
    let name = "x".repeat(3 * CHUNK);
    accept(
        &mut store,
        &mut traces,
        &request("shop", "http", vec![span(2, &name)]),
    );
    accept(
        &mut store,
        &mut traces,
        &request("shop", "http", vec![span(1, "b")]),
    );
    assert_eq!(store.chunk_count(), 2);
    store.release(traces.remove(&TraceId([2; 16])).unwrap());
    assert_eq!(store.chunk_count(), 1);
    let bytes = written(&mut store, &traces[&TraceId([1; 16])], &[]);
    assert_eq!(names(&decode_traces(&bytes).unwrap()), ["a", "b"]);
}

#[test]
fn a_flood_of_contexts_leaves_no_memory_behind() {
    let (mut store, mut traces) = (store(), Traces::new());
    for context in 0..3000 {
        let trace = if context == 1500 { 2 } else { 1 };
        accept(
            &mut store,
            &mut traces,
            &request("shop", &context.to_string(), vec![span(trace, "a")]),
        );
    }
    assert_eq!(store.context_count(), 3000);
    store.release(traces.remove(&TraceId([1; 16])).unwrap());
    assert_eq!(store.context_count(), 1);
    assert_memory_is_what_is_held(&store);
    let bytes = written(&mut store, &traces[&TraceId([2; 16])], &[]);
    assert_eq!(
        decode_traces(&bytes).unwrap()[0].scope_spans[0].scope_name,
        "1500"
    );
    // New ones are found again.
    for _ in 0..2 {
        accept(
            &mut store,
            &mut traces,
            &request("cart", "new", vec![span(1, "a")]),
        );
    }
    assert_eq!(store.context_count(), 2);
}

#[test]
fn an_encoded_attribute_is_what_prost_encodes() {
    for length in [0, 1, 100, 127, 128, 300, 20_000] {
        let text = "v".repeat(length);
        let value = proto::AnyValue {
            value: Some(proto::any_value::Value::StringValue(text.clone())),
        };
        let attribute = proto::KeyValue {
            key: "policy".into(),
            value: Some(value),
        };
        let span = proto::Span {
            attributes: vec![attribute],
            ..proto::Span::default()
        };
        let encoded = encode_string_attribute(9, "policy", &text);
        assert_eq!(encoded, span.encode_to_vec());
        assert_eq!(encoded.capacity(), encoded.len());
    }
}

#[test]
fn span_order_in_a_scope_is_that_of_arrival() {
    let (mut store, mut traces) = (store(), Traces::new());
    for name in ["a", "b", "c"] {
        accept(
            &mut store,
            &mut traces,
            &request("shop", "http", vec![span(1, name), span(2, "other")]),
        );
    }
    let bytes = written(&mut store, &traces[&TraceId([1; 16])], b"");
    let decoded = decode_traces(&bytes).unwrap();
    assert_eq!(names(&decoded), ["a", "b", "c"]);
    assert_eq!(
        decoded[0].scope_spans[0].spans[0],
        Span {
            name: "a".into(),
            ..decoded[0].scope_spans[0].spans[1].clone()
        }
    );
}

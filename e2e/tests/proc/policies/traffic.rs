//! Random traces with missing and odd attributes: the same ones for ever for the same seed.

use std::collections::BTreeMap;

use bytes::Bytes;
use tracepipe_e2e::rng::Rng;
use tracepipe_otlp::TraceId;

use super::spans::{self, Attribute, Layout, ResourceSpans, ScopeSpans, Span, Value};
use super::values::{attributes, flags, status, trace_states};

/// 2026-11-21. Fixed, so that the bytes sent are the same in every run.
const BASE_UNIX_NANO: u64 = 1_795_219_200_000_000_000;
const NANOS_PER_MILLI: u64 = 1_000_000;

/// Traces whose spans are mixed with each other.
const TRACES_PER_BLOCK: usize = 25;
/// Most requests that the spans of a block are dealt to.
const REQUESTS_PER_BLOCK_MAX: u64 = 4;
const RESOURCES_MAX: u64 = 4;
const SCOPES_MAX: u64 = 3;
const SPANS_MAX: u64 = 12;

/// Trace durations on which comparisons go wrong, in nanoseconds: policies have thresholds beside them.
const BORDER_NANOS: [u64; 14] = [
    0,
    1,
    999_999,
    1_000_000,
    1_000_001,
    1_999_999,
    2_000_000,
    49_999_999,
    50_000_000,
    51_000_000,
    500_000_000,
    500_999_999,
    501_000_000,
    1_500_000_000,
];

/// What is sent, and what it was before it was bytes.
pub(super) struct Traffic {
    /// How to make it again.
    pub(super) seed: u64,
    /// See [`Traffic::new`].
    pub(super) ordered: bool,
    /// In the order in which they are sent.
    pub(super) requests: Vec<Bytes>,
    /// Spans of each trace.
    pub(super) traces: BTreeMap<TraceId, u32>,
    trace_ids: Vec<[u8; 16]>,
    decoded: Vec<Vec<ResourceSpans>>,
}

impl Traffic {
    /// This many traces. `ordered`: the span of a trace that comes first lasts from its start to its end. Upstream
    /// judges latency span by span; with an upper bound its answer depends on the order of spans, except then.
    pub(super) fn new(seed: u64, traces: usize, ordered: bool) -> Self {
        let mut ids = Rng::for_item(seed, u64::MAX);
        let trace_ids: Vec<[u8; 16]> = (0..traces).map(|_| trace_id(&mut ids)).collect();
        let requests = (0..traces).step_by(TRACES_PER_BLOCK).flat_map(|first| {
            let mut rng = Rng::for_item(seed, first as u64);
            let last = traces.min(first + TRACES_PER_BLOCK);
            block(&mut rng, first..last, ordered)
        });
        Self {
            seed,
            ordered,
            ..Self::of(requests.collect(), trace_ids)
        }
    }

    /// These requests, in which [`Span::trace`] is an index into the ids.
    pub(super) fn of(decoded: Vec<Vec<ResourceSpans>>, trace_ids: Vec<[u8; 16]>) -> Self {
        let requests = decoded.iter();
        let requests = requests.map(|request| spans::encode(request, &trace_ids).into());
        let mut traffic = Self {
            seed: 0,
            ordered: false,
            requests: requests.collect(),
            traces: BTreeMap::new(),
            trace_ids,
            decoded,
        };
        let mut counts: BTreeMap<TraceId, u32> = BTreeMap::new();
        for span in traffic.spans() {
            *counts.entry(TraceId(traffic.trace_ids[span.trace])).or_default() += 1;
        }
        traffic.traces = counts;
        traffic
    }

    /// One trace, decoded: each span with the number of its request and its resource.
    pub(super) fn show(&self, id: TraceId) -> String {
        let number = self.trace_ids.iter().position(|other| *other == id.0);
        let mut text = format!("trace {id}:");
        for (request, parts) in self.decoded.iter().enumerate() {
            for part in parts {
                let spans = part.scopes.iter().flat_map(|scope| &scope.spans);
                let mut spans = spans.filter(|span| Some(span.trace) == number).peekable();
                if spans.peek().is_some() {
                    let (layout, resource) = (part.layout, &part.resource);
                    text += &format!("\n  request {request}, resource {resource:?}, {layout:?}");
                }
                for span in spans {
                    text += &format!("\n    {span:?}");
                }
            }
        }
        text
    }

    /// All spans in the order in which they are sent.
    pub(super) fn spans(&self) -> impl Iterator<Item = &Span> {
        let parts = self.decoded.iter().flatten();
        parts.flat_map(|part| part.scopes.iter().flat_map(|scope| &scope.spans))
    }
}

fn trace_id(rng: &mut Rng) -> [u8; 16] {
    let mut id = rng.trace_id();
    if rng.chance(0.1) {
        // 64-bit ids of older systems are padded with zeros.
        id[..8].fill(0);
    }
    id
}

/// The requests of some traces.
fn block(rng: &mut Rng, traces: std::ops::Range<usize>, ordered: bool) -> Vec<Vec<ResourceSpans>> {
    let mut requests: Vec<Vec<ResourceSpans>> = (0..rng.between(1, REQUESTS_PER_BLOCK_MAX))
        .map(|_| {
            (0..rng.between(1, RESOURCES_MAX))
                .map(|_| empty_resource(rng))
                .collect()
        })
        .collect();
    let mut number = traces.start as u64 * SPANS_MAX;
    for trace in traces.clone() {
        for _ in 0..span_count(rng) {
            number += 1;
            let request = any(rng, &mut requests);
            let part = any(rng, request);
            any(rng, &mut part.scopes).spans.push(span(rng, trace, number));
        }
    }
    for trace in traces {
        let all = requests.iter_mut().flatten();
        let all = all.flat_map(|part| part.scopes.iter_mut().flat_map(|scope| &mut scope.spans));
        set_times(rng, all.filter(|span| span.trace == trace), ordered);
    }
    requests
}

fn any<'a, T>(rng: &mut Rng, items: &'a mut [T]) -> &'a mut T {
    let last = items.len() - 1;
    &mut items[rng.between(0, last as u64) as usize]
}

fn span_count(rng: &mut Rng) -> u64 {
    if rng.chance(0.7) {
        rng.between(1, 4)
    } else {
        rng.between(5, SPANS_MAX)
    }
}

fn empty_resource(rng: &mut Rng) -> ResourceSpans {
    let scopes = (0..rng.between(1, SCOPES_MAX))
        .map(|_| ScopeSpans {
            // No policy looks here.
            attributes: attributes(rng, |word| word.on_spans),
            spans: Vec::new(),
        })
        .collect();
    ResourceSpans {
        resource: (!rng.chance(0.05)).then(|| attributes(rng, |word| word.on_resources)),
        layout: layout(rng),
        scopes,
    }
}

fn layout(rng: &mut Rng) -> Layout {
    match rng.between(0, 19) {
        0 => Layout::Late,
        1 => Layout::Split,
        _ => Layout::Usual,
    }
}

fn span(rng: &mut Rng, trace: usize, number: u64) -> Span {
    Span {
        trace,
        number,
        root: rng.chance(0.2),
        layout: layout(rng),
        flags: flags(rng),
        start_unix_nano: 0,
        end_unix_nano: 0,
        status: status(rng),
        trace_states: trace_states(rng),
        attributes: attributes(rng, |word| word.on_spans),
    }
}

/// No span starts at 0, and none after the year 2262: upstream then depends on the order of spans.
fn set_times<'a>(rng: &mut Rng, spans: impl Iterator<Item = &'a mut Span>, ordered: bool) {
    let start = BASE_UNIX_NANO + rng.between(0, 1_000) * NANOS_PER_MILLI;
    let duration = if rng.chance(0.3) {
        *rng.pick(&BORDER_NANOS).unwrap_or(&0)
    } else if rng.chance(0.3) {
        rng.between(0, 10_000 * NANOS_PER_MILLI)
    } else {
        rng.between(0, 600 * NANOS_PER_MILLI)
    };
    // One clock is hours off.
    let skew = if rng.chance(0.01) {
        7_200_000 * NANOS_PER_MILLI
    } else {
        0
    };
    let all_ended = !rng.chance(0.05);
    for (index, span) in spans.enumerate() {
        let (from, to) = if ordered && index == 0 {
            (0, Some(duration))
        } else {
            inner_times(rng, duration)
        };
        span.start_unix_nano = start + from;
        span.end_unix_nano = match to {
            Some(to) if all_ended => start + to,
            // 0 is OTLP's "no end".
            Some(_) | None => 0,
        };
        if !ordered && skew > 0 && index == 1 {
            span.start_unix_nano += skew;
            span.end_unix_nano = span.end_unix_nano.saturating_add(skew);
        }
    }
}

fn inner_times(rng: &mut Rng, duration: u64) -> (u64, Option<u64>) {
    let from = rng.between(0, duration);
    match rng.between(0, 19) {
        0 => (from, None),
        // Ends before it starts.
        1 => (duration, Some(from)),
        2 => (0, Some(duration)),
        3..=8 => (from, Some(duration)),
        9..=13 => (0, Some(rng.between(0, duration))),
        _ => (from, Some(rng.between(from, duration))),
    }
}

#[test]
fn the_traffic_is_the_same_for_the_same_seed_and_has_what_policies_trip_over() {
    let traffic = Traffic::new(1, 2_000, false);
    assert_eq!(traffic.requests, Traffic::new(1, 2_000, false).requests);
    assert_ne!(traffic.requests, Traffic::new(2, 2_000, false).requests);
    assert_eq!(traffic.traces.len(), 2_000);
    let count = |wanted: &dyn Fn(&Span) -> bool| traffic.spans().filter(|span| wanted(span)).count();
    let has = |span: &Span, wanted: &dyn Fn(&Attribute) -> bool| span.attributes.iter().any(wanted);
    let spans = traffic.spans().count();
    assert!((3 * 2_000..5 * 2_000).contains(&spans), "{spans} spans");
    for (what, found) in [
        (
            "ends before it starts",
            count(&|span| span.end_unix_nano < span.start_unix_nano),
        ),
        ("no attribute at all", count(&|span| span.attributes.is_empty())),
        (
            "a key twice",
            count(&|span| {
                has(span, &|one| {
                    span.attributes
                        .iter()
                        .filter(|other| other.key == one.key)
                        .count()
                        > 1
                })
            }),
        ),
        ("no value", count(&|span| has(span, &|one| one.values.is_empty()))),
        (
            "not UTF-8",
            count(&|span| {
                has(
                    span,
                    &|one| matches!(one.values.first(), Some(Value::Text(text)) if std::str::from_utf8(text).is_err()),
                )
            }),
        ),
        ("two trace states", count(&|span| span.trace_states.len() > 1)),
    ] {
        assert!(found >= 10, "{what}: {found} of {spans} spans");
    }
}

#[test]
fn in_ordered_traffic_the_first_span_of_a_trace_is_as_long_as_the_trace() {
    let traffic = Traffic::new(3, 1_000, true);
    let mut bounds: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
    for span in traffic.spans() {
        let (start, end) = *bounds
            .entry(span.trace)
            .or_insert((span.start_unix_nano, span.end_unix_nano));
        assert!(
            start <= span.start_unix_nano && span.end_unix_nano <= end,
            "{span:?}"
        );
    }
}

//! The traffic of the parity test: traces in every shape that may move a decision, the same ones for ever.

use std::collections::BTreeMap;
use std::time::Duration;

use tracepipe_e2e::load::Planned;
use tracepipe_e2e::rng::Rng;
use tracepipe_e2e::spans::{Attributes, Kind, ResourceSpans, Span, Status};
use tracepipe_e2e::workload::{Encoding, OtlpRequest, TraceTruth};
use tracepipe_otlp::{SpanId, TraceId};

/// Traces sent, one a millisecond.
pub(super) const TRACES: usize = 20_000;
/// Spans of each trace.
pub(super) const SPANS_PER_TRACE: usize = 10;
/// The latency policy of the first seed; what takes longer is kept.
const SLOW_MS: u64 = 500;

const SEED: u64 = 161;
/// 2026-11-21. Fixed, so that the bytes sent are the same in every run.
const BASE_UNIX_NANO: u64 = 1_795_219_200_000_000_000;
const NANOS_PER_MILLI: u64 = 1_000_000;
/// A trace is due every so many milliseconds: 1,000 a second.
const TRACE_INTERVAL_MS: u64 = 1;
/// Spans that are due within the same 20 ms share a request: 50 requests a second, about 200 spans each.
const SLOT_MS: u64 = 20;
/// A trace's last part comes at most so long after its first: far below the 10 s after which it is decided, so that
/// both collectors decide on the whole trace even on a machine that stands still for seconds.
const LAST_PART_MS: u64 = 2_000;

/// How a request travels; the collectors have a sender for each, in this order.
pub(super) const ROUTES: usize = 4;
/// Index of OTLP/gRPC.
const GRPC: usize = 0;
/// Index of OTLP/gRPC with gzip.
const GRPC_GZIP: usize = 1;
/// Index of OTLP/HTTP.
const HTTP: usize = 2;
/// Index of OTLP/HTTP with gzip.
const HTTP_GZIP: usize = 3;

const SERVICES: [&str; 4] = ["gateway", "basket", "prices", "postings"];

/// Trace durations around the threshold, in nanoseconds: those above 500 ms and below 501 ms are not slow, because
/// upstream compares whole milliseconds (tailsamplingprocessor v0.161.0, `internal/sampling/latency.go`).
const BORDER_NANOS: [u64; 8] = [
    499_000_000,
    499_999_999,
    500_000_000,
    500_000_001,
    500_500_000,
    500_999_999,
    501_000_000,
    501_000_001,
];

/// All that is sent and what is known of it.
pub(super) struct Traffic {
    pub(super) truths: Vec<TraceTruth>,
    /// In the order of `due`.
    pub(super) requests: Vec<Planned>,
}

impl Traffic {
    pub(super) fn new() -> Self {
        let mut truths = Vec::with_capacity(TRACES);
        let mut slots: BTreeMap<u64, Vec<(usize, Span)>> = BTreeMap::new();
        for number in 0..TRACES as u64 {
            let mut rng = Rng::for_item(SEED, number);
            let mut spans = trace(
                &mut rng,
                BASE_UNIX_NANO + number * TRACE_INTERVAL_MS * NANOS_PER_MILLI,
            );
            let trace_id = spans[0].trace_id;
            truths.push(TraceTruth::of(
                trace_id,
                &spans.iter().collect::<Vec<_>>(),
                SLOW_MS,
            ));
            shuffle(&mut rng, &mut spans);
            for (due_ms, part) in parts(&mut rng, number * TRACE_INTERVAL_MS, spans) {
                let of_services = part.into_iter().map(|span| (rng.between(0, 3) as usize, span));
                slots.entry(due_ms / SLOT_MS).or_default().extend(of_services);
            }
        }
        let requests = slots
            .into_iter()
            .enumerate()
            .map(|(number, (slot, spans))| {
                let (sender, encoding) = route(number);
                Planned {
                    due: Duration::from_millis((slot + 1) * SLOT_MS),
                    sender,
                    request: OtlpRequest::new(&by_service(spans), encoding),
                }
            })
            .collect();
        Self { truths, requests }
    }

    /// Spans in all requests.
    pub(super) fn spans(&self) -> u64 {
        self.requests.iter().map(|planned| planned.request.spans()).sum()
    }
}

/// Most over gRPC, as most SDKs send; the rest over everything else that the receiver takes.
fn route(number: usize) -> (usize, Encoding) {
    match number % 8 {
        1 => (GRPC_GZIP, Encoding::Protobuf),
        3 => (HTTP, Encoding::Protobuf),
        5 => (HTTP_GZIP, Encoding::Protobuf),
        7 => (HTTP, Encoding::Json),
        _ => (GRPC, Encoding::Protobuf),
    }
}

/// How a trace's spans lie in its time.
#[derive(Clone, Copy)]
enum Shape {
    /// A root as long as the trace, the others within it.
    Nested,
    /// One after the other: no span is as long as the trace, first start and last end are in different spans.
    Relay,
    /// Nested, and some inner spans have no end yet (0) or one before their start (a clock that was set back).
    BadClocks,
}

fn trace(rng: &mut Rng, start: u64) -> Vec<Span> {
    let mut trace_id = TraceId(rng.trace_id());
    if rng.chance(0.1) {
        // 64-bit ids of older systems are padded with zeros.
        trace_id.0[..8].fill(0);
    }
    let duration = duration(rng);
    let shape = *rng
        .pick(&[Shape::Nested, Shape::Nested, Shape::Relay, Shape::BadClocks])
        .expect("there are choices");
    let failed = rng
        .chance(0.05)
        .then(|| rng.between(0, SPANS_PER_TRACE as u64 - 1));
    let root_is_missing = rng.chance(0.2);
    let ids: Vec<SpanId> = (0..SPANS_PER_TRACE).map(|_| SpanId(rng.span_id())).collect();
    (0..SPANS_PER_TRACE)
        .map(|index| {
            let (from, to) = times(rng, shape, index, duration);
            let parent = match index.checked_sub(1) {
                Some(last) => Some(ids[rng.between(0, last as u64) as usize]),
                // Its parent is a span that nobody sends.
                None => root_is_missing.then(|| SpanId(rng.span_id())),
            };
            let status = if failed == Some(index as u64) {
                Status::Error(["", "deadline exceeded"][rng.between(0, 1) as usize].to_owned())
            } else {
                [Status::Unset, Status::Ok][rng.between(0, 1) as usize].clone()
            };
            Span {
                trace_id,
                span_id: ids[index],
                parent,
                flags: 0x101,
                name: format!("step {index}"),
                kind: if index == 0 { Kind::Server } else { Kind::Internal },
                start_unix_nano: start + from,
                // 0 is OTLP's "no end".
                end_unix_nano: to.map_or(0, |to| start + to),
                attributes: attributes(index),
                events: Vec::new(),
                status,
            }
        })
        .collect()
}

fn duration(rng: &mut Rng) -> u64 {
    if rng.chance(0.08) {
        rng.between((SLOW_MS + 1) * NANOS_PER_MILLI, 4 * SLOW_MS * NANOS_PER_MILLI)
    } else if rng.chance(0.2) {
        *rng.pick(&BORDER_NANOS).expect("there are choices")
    } else {
        rng.between(5 * NANOS_PER_MILLI, 450 * NANOS_PER_MILLI)
    }
}

/// Start and end of a span as offsets from the trace's start. No span starts at 0 of the epoch: upstream takes that
/// for "not known yet", and its decision then depends on the order of the spans.
fn times(rng: &mut Rng, shape: Shape, index: usize, duration: u64) -> (u64, Option<u64>) {
    let inner = |rng: &mut Rng| {
        let from = rng.between(0, duration);
        (from, rng.between(from, duration))
    };
    let at = |step: usize| duration * step as u64 / SPANS_PER_TRACE as u64;
    match (shape, index) {
        (Shape::Relay, _) => (at(index), Some(at(index + 1))),
        (Shape::Nested | Shape::BadClocks, 0) => (0, Some(duration)),
        (Shape::BadClocks, 2 | 5) => (inner(rng).0, None),
        (Shape::BadClocks, 4 | 9) => {
            let (from, to) = inner(rng);
            (to, Some(from))
        }
        (Shape::Nested | Shape::BadClocks, _) => {
            let (from, to) = inner(rng);
            (from, Some(to))
        }
    }
}

/// Half of the traces come in one part, the others in up to ten, the first at once.
fn parts(rng: &mut Rng, due_ms: u64, mut spans: Vec<Span>) -> Vec<(u64, Vec<Span>)> {
    let mut parts = Vec::new();
    if rng.chance(0.5) {
        while spans.len() > 1 && rng.chance(0.7) {
            let rest = spans.split_off(rng.between(1, spans.len() as u64 - 1) as usize);
            let delay = if parts.is_empty() {
                0
            } else {
                rng.between(0, LAST_PART_MS)
            };
            parts.push((due_ms + delay, std::mem::replace(&mut spans, rest)));
        }
    }
    let delay = if parts.is_empty() {
        0
    } else {
        rng.between(0, LAST_PART_MS)
    };
    parts.push((due_ms + delay, spans));
    parts
}

fn by_service(spans: Vec<(usize, Span)>) -> Vec<ResourceSpans> {
    let mut of_services: BTreeMap<usize, Vec<Span>> = BTreeMap::new();
    for (service, span) in spans {
        of_services.entry(service).or_default().push(span);
    }
    of_services
        .into_iter()
        .map(|(service, spans)| ResourceSpans {
            resource: vec![
                ("service.name".to_owned(), SERVICES[service].into()),
                ("service.version".to_owned(), "4.12.0".into()),
            ],
            scope: "parity".to_owned(),
            spans,
        })
        .collect()
}

fn attributes(index: usize) -> Attributes {
    vec![
        ("url.path".to_owned(), "/api/v2/items/availability".into()),
        ("http.response.status_code".to_owned(), 200_i64.into()),
        ("step.number".to_owned(), (index as i64).into()),
        ("step.last".to_owned(), (index + 1 == SPANS_PER_TRACE).into()),
    ]
}

/// Fisher and Yates.
fn shuffle<T>(rng: &mut Rng, items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, rng.between(0, last as u64) as usize);
    }
}

#[test]
fn the_traffic_has_every_shape_that_may_move_a_decision() {
    let traffic = Traffic::new();
    assert_eq!(traffic.truths.len(), TRACES);
    assert_eq!(traffic.spans(), (TRACES * SPANS_PER_TRACE) as u64);
    let mut ids: Vec<TraceId> = traffic.truths.iter().map(|truth| truth.trace_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), TRACES, "trace ids are repeated");
    for milliseconds in [499, 500, 501] {
        let at_border = |truth: &&TraceTruth| truth.duration_ms == milliseconds;
        let count = traffic.truths.iter().filter(at_border).count();
        assert!(count > 100, "{count} traces of {milliseconds} ms");
    }
    let mut requests_of: BTreeMap<TraceId, u32> = BTreeMap::new();
    for (trace_id, _) in traffic
        .requests
        .iter()
        .flat_map(|planned| &planned.request.traces)
    {
        *requests_of.entry(*trace_id).or_default() += 1;
    }
    let split = requests_of.values().filter(|requests| **requests > 1).count();
    assert!(
        split > TRACES / 4,
        "{split} traces are split over several requests"
    );
    assert!(
        traffic.requests.iter().all(|planned| planned.sender < ROUTES),
        "a route that no collector has"
    );
    assert!(
        traffic.requests.is_sorted_by_key(|planned| planned.due),
        "requests are not in the order in which they are due"
    );
}

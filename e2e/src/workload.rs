//! Traces whose fate is known before they are sent.
//!
//! Trace N of a seed is the same for ever and does not depend on the traces before it, so two collectors can be sent
//! the same bytes one after the other. [`template`] makes requests at high rates: encoded once, then only ids, times
//! and status codes are written into a copy.

mod template;

use bytes::Bytes;
use tracepipe_otlp::{SpanId, TraceId};

use crate::rng::Rng;
use crate::spans::{self, Attributes, Kind, ResourceSpans, Span, Status};
pub(crate) use template::{Patch, Template};

/// Spans of each trace of the plain shape.
pub const SPANS_PER_TRACE: u32 = 10;
/// Traces in each request of the plain shape: 200 spans, about 105 kB.
pub const TRACES_PER_REQUEST: u32 = 20;

const SERVICES: [&str; 4] = ["frontend", "cart", "pricing", "ledger"];
const NANOS_PER_MILLI: u64 = 1_000_000;

/// Why a trace has to be kept whatever the share of the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// A span has the status ERROR.
    Error,
    /// It took longer than the threshold, and no span failed.
    Slow,
}

/// What is known of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceTruth {
    /// Its id.
    pub trace_id: TraceId,
    /// Its spans.
    pub spans: Vec<SpanId>,
    /// A span has the status ERROR.
    pub has_error: bool,
    /// Last end minus first start, in whole milliseconds (rounded down).
    pub duration_ms: u64,
    /// By the policies of the first seed: errors, and more than [`Mix::slow_ms`].
    pub must_be_kept: Option<Why>,
}

impl TraceTruth {
    /// Reads the truth off the spans of one trace.
    pub fn of(trace_id: TraceId, spans: &[&Span], slow_ms: u64) -> Self {
        let start = spans.iter().map(|span| span.start_unix_nano).min().unwrap_or(0);
        let end = spans.iter().map(|span| span.end_unix_nano).max().unwrap_or(0);
        let has_error = spans.iter().any(|span| matches!(span.status, Status::Error(_)));
        let duration_ms = end.saturating_sub(start) / NANOS_PER_MILLI;
        Self {
            trace_id,
            spans: spans.iter().map(|span| span.span_id).collect(),
            has_error,
            duration_ms,
            must_be_kept: why(has_error, duration_ms, slow_ms),
        }
    }
}

/// How many traces go wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mix {
    /// Share of traces with a failed span, 0.0 to 1.0.
    pub error_share: f64,
    /// Share of traces over the threshold, 0.0 to 1.0.
    pub slow_share: f64,
    /// The threshold of the latency policy, in milliseconds, exclusive.
    pub slow_ms: u64,
}

impl Default for Mix {
    /// 5 % errors and 10 % slow (`reference/performance.md` section 6, payload "std"); 500 ms as the first seed.
    fn default() -> Self {
        Self {
            error_share: 0.05,
            slow_share: 0.10,
            slow_ms: 500,
        }
    }
}

/// The form of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`; the only one that gRPC takes.
    Protobuf,
    /// `application/json`.
    Json,
}

/// One request, ready to be sent.
#[derive(Debug, Clone)]
pub struct OtlpRequest {
    /// The encoded `ExportTraceServiceRequest`.
    pub body: Bytes,
    /// How it is encoded.
    pub encoding: Encoding,
    /// The traces in it and how many spans of each.
    pub traces: Vec<(TraceId, u32)>,
}

impl OtlpRequest {
    /// Encodes spans.
    pub fn new(request: &[ResourceSpans], encoding: Encoding) -> Self {
        let body = match encoding {
            Encoding::Protobuf => spans::to_protobuf(request),
            Encoding::Json => spans::to_json(request),
        };
        let mut traces: Vec<(TraceId, u32)> = Vec::new();
        for span in request.iter().flat_map(|part| &part.spans) {
            match traces.iter_mut().find(|(trace_id, _)| *trace_id == span.trace_id) {
                Some((_, spans)) => *spans += 1,
                None => traces.push((span.trace_id, 1)),
            }
        }
        Self {
            body: body.into(),
            encoding,
            traces,
        }
    }

    /// All spans in it.
    pub fn spans(&self) -> u64 {
        self.traces.iter().map(|(_, spans)| u64::from(*spans)).sum()
    }
}

/// The plain shape: ten spans of four services, about 526 bytes a span on the wire, all of a trace in one request.
#[derive(Debug)]
pub struct Plain {
    seed: u64,
    mix: Mix,
    base_unix_nano: u64,
    trace_interval_nano: u64,
    template: Template,
}

impl Plain {
    /// Trace N starts at `base_unix_nano + N / traces_per_second`.
    ///
    /// # Errors
    /// When the template cannot be read back, which is a mistake in this crate.
    pub fn new(seed: u64, mix: Mix, base_unix_nano: u64, traces_per_second: u64) -> anyhow::Result<Self> {
        let request = placeholder_request(TRACES_PER_REQUEST, SPANS_PER_TRACE);
        let template = Template::new(spans::to_protobuf(&request))?;
        let trace_interval_nano = 1_000_000_000 / traces_per_second.max(1);
        Ok(Self {
            seed,
            mix,
            base_unix_nano,
            trace_interval_nano,
            template,
        })
    }

    /// Nanoseconds from the base time to when request `number` is complete and due: its last trace has started.
    pub fn due_nanos(&self, number: u64) -> u64 {
        (number + 1) * u64::from(TRACES_PER_REQUEST) * self.trace_interval_nano
    }

    /// What is known of trace `number`.
    pub fn truth(&self, number: u64) -> TraceTruth {
        let trace = self.trace(number);
        let duration_ms = trace.duration_nano / NANOS_PER_MILLI;
        TraceTruth {
            trace_id: trace.trace_id,
            spans: (0..SPANS_PER_TRACE).map(|span| trace.span_id(span)).collect(),
            has_error: trace.error_span.is_some(),
            duration_ms,
            must_be_kept: why(trace.error_span.is_some(), duration_ms, self.mix.slow_ms),
        }
    }

    /// The traces of request `number`.
    pub fn traces_of(number: u64) -> std::ops::Range<u64> {
        let first = number * u64::from(TRACES_PER_REQUEST);
        first..first + u64::from(TRACES_PER_REQUEST)
    }

    /// Request `number`.
    pub fn request(&self, number: u64) -> OtlpRequest {
        let traces: Vec<PlainTrace> = Self::traces_of(number).map(|trace| self.trace(trace)).collect();
        let body = self.template.render(|trace, span| {
            let trace = traces.get(usize::try_from(trace).ok()?)?;
            Some(trace.patch(span))
        });
        let traces = traces
            .iter()
            .map(|trace| (trace.trace_id, SPANS_PER_TRACE))
            .collect();
        OtlpRequest {
            body: body.into(),
            encoding: Encoding::Protobuf,
            traces,
        }
    }

    fn trace(&self, number: u64) -> PlainTrace {
        let mut rng = Rng::for_item(self.seed, number);
        let trace_id = TraceId(rng.trace_id());
        let span_seed = rng.next();
        let Fate {
            error_span,
            duration_nano,
        } = Fate::draw(&mut rng, &self.mix);
        let start_unix_nano = self.base_unix_nano + number * self.trace_interval_nano;
        PlainTrace {
            trace_id,
            span_seed,
            error_span,
            duration_nano,
            start_unix_nano,
        }
    }
}

fn why(has_error: bool, duration_ms: u64, slow_ms: u64) -> Option<Why> {
    if has_error {
        Some(Why::Error)
    } else if duration_ms > slow_ms {
        Some(Why::Slow)
    } else {
        None
    }
}

/// What happens in a trace of [`SPANS_PER_TRACE`] spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fate {
    /// The span that fails.
    pub(crate) error_span: Option<u32>,
    /// From the first start to the last end.
    pub(crate) duration_nano: u64,
}

impl Fate {
    pub(crate) fn draw(rng: &mut Rng, mix: &Mix) -> Self {
        let error_span = rng
            .chance(mix.error_share)
            .then(|| rng.between(0, u64::from(SPANS_PER_TRACE) - 1) as u32);
        let threshold = mix.slow_ms * NANOS_PER_MILLI;
        let duration_nano = if rng.chance(mix.slow_share) {
            // From the first duration that counts as slow, in whole milliseconds, to four times the threshold.
            rng.between(threshold + NANOS_PER_MILLI, threshold * 4)
        } else if rng.chance(0.02) {
            // At the border, on the side that is not slow.
            rng.between(threshold - NANOS_PER_MILLI, threshold + NANOS_PER_MILLI - 1)
        } else {
            rng.between(threshold / 100, threshold * 9 / 10)
        };
        Self {
            error_span,
            duration_nano,
        }
    }

    /// Why the policies of the first seed keep the trace in any case.
    pub(crate) fn must_be_kept(&self, mix: &Mix) -> Option<Why> {
        why(
            self.error_span.is_some(),
            self.duration_nano / NANOS_PER_MILLI,
            mix.slow_ms,
        )
    }
}

struct PlainTrace {
    trace_id: TraceId,
    span_seed: u64,
    error_span: Option<u32>,
    duration_nano: u64,
    start_unix_nano: u64,
}

impl PlainTrace {
    fn span_id(&self, span: u32) -> SpanId {
        SpanId(Rng::for_item(self.span_seed, u64::from(span)).span_id())
    }

    fn patch(&self, span: u32) -> Patch {
        // Each span lies within its parent, a fortieth of the trace in from both ends; the root has its full length.
        let inset = self.duration_nano / 40 * u64::from(span);
        Patch {
            trace_id: self.trace_id,
            span_id: self.span_id(span),
            parent: span.checked_sub(1).map(|parent| self.span_id(parent)),
            start_unix_nano: self.start_unix_nano + inset,
            end_unix_nano: self.start_unix_nano + self.duration_nano - inset,
            status_code: if self.error_span == Some(span) { 2 } else { 0 },
        }
    }
}

/// The request that the template is made of: trace T has the id T + 1, its span S the id S + 1.
pub(crate) fn placeholder_request(traces: u32, spans_per_trace: u32) -> Vec<ResourceSpans> {
    let service_of = |span: u32| span as usize % SERVICES.len();
    SERVICES
        .iter()
        .enumerate()
        .map(|(index, service)| {
            let spans = (0..traces)
                .flat_map(|trace| (0..spans_per_trace).map(move |span| (trace, span)))
                .filter(|(_, span)| service_of(*span) == index)
                .map(|(trace, span)| placeholder_span(trace, span))
                .collect();
            ResourceSpans {
                resource: resource(service),
                scope: "http-instrumentation".into(),
                spans,
            }
        })
        .collect()
}

fn placeholder_span(trace: u32, span: u32) -> Span {
    let id = |number: u32| SpanId(u64::from(number + 1).to_be_bytes());
    let kind = if span == 0 { Kind::Server } else { Kind::Internal };
    let attributes: [(&str, &str); 8] = [
        ("http.request.method", "GET"),
        ("url.path", "/api/v2/items/availability"),
        ("url.scheme", "http"),
        ("server.address", "items.shop.svc.cluster.local"),
        ("client.address", "10.21.144.187"),
        (
            "user_agent.original",
            "shop-client/4.12.0 (linux; x86_64) http/1.1 build/8812ab3f",
        ),
        ("thread.name", "worker-pool-3-thread-14"),
        (
            "code.function.name",
            "com.example.shop.items.availability.AvailabilityLookup.byWarehouse",
        ),
    ];
    Span {
        trace_id: TraceId(u128::from(trace + 1).to_be_bytes()),
        span_id: id(span),
        parent: span.checked_sub(1).map(id),
        flags: 0x101,
        name: format!("GET /api/v2/items/availability step {span}"),
        kind,
        start_unix_nano: 1,
        end_unix_nano: 1,
        attributes: attributes
            .map(|(key, value)| (key.to_owned(), value.into()))
            .to_vec(),
        events: Vec::new(),
        // Written as one byte that can be patched.
        status: Status::Ok,
    }
}

/// Fourteen attributes, as the k8sattributes processor or an SDK's detectors add them.
fn resource(service: &str) -> Attributes {
    let pod = format!("{service}-6d5f7c9b8d-x2x7k");
    let pairs: [(&str, &str); 14] = [
        ("service.name", service),
        ("service.namespace", "shop"),
        ("service.version", "4.12.0"),
        ("service.instance.id", "4f6ee39f-4e25-4f0c-9c6c-3d1f8f8f7d1b"),
        ("deployment.environment.name", "production"),
        ("telemetry.sdk.name", "opentelemetry"),
        ("telemetry.sdk.language", "java"),
        ("telemetry.sdk.version", "1.45.0"),
        ("k8s.namespace.name", "shop"),
        ("k8s.deployment.name", service),
        ("k8s.pod.name", &pod),
        ("k8s.pod.uid", "0f1b24d6-4f3c-4ad2-9e47-5a3d7c1be110"),
        ("k8s.node.name", "ip-10-21-144-12.ec2.internal"),
        ("k8s.container.name", "app"),
    ];
    pairs.map(|(key, value)| (key.to_owned(), value.into())).to_vec()
}

#[cfg(test)]
#[path = "workload/tests.rs"]
mod tests;

//! Request bodies: one that is right, and the kinds of wrong.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tracepipe_e2e::clock;
use tracepipe_e2e::rng::Rng;
use tracepipe_e2e::spans::{self, Kind, ResourceSpans, Span, Status};
use tracepipe_otlp::{SpanId, TraceId};

/// A request with these spans.
pub(super) fn request(spans: Vec<Span>) -> Vec<ResourceSpans> {
    vec![ResourceSpans {
        resource: vec![("service.name".into(), "hostile".into())],
        scope: "hostile".into(),
        spans,
    }]
}

/// A good span of a moment ago: neither failed nor slow.
pub(super) fn span(seed: u64) -> Span {
    let mut rng = Rng::new(seed);
    let end_unix_nano = clock::unix_nanos();
    Span {
        trace_id: TraceId(rng.trace_id()),
        span_id: SpanId(rng.span_id()),
        parent: None,
        flags: 0,
        name: "GET /".into(),
        kind: Kind::Server,
        start_unix_nano: end_unix_nano - 1_000_000,
        end_unix_nano,
        attributes: Vec::new(),
        events: Vec::new(),
        status: Status::Unset,
    }
}

/// One good span. Every beginning of it but the empty one is malformed, because it is one message in one.
pub(super) fn good() -> Vec<u8> {
    spans::to_protobuf(&request(vec![span(1)]))
}

/// The same as JSON.
pub(super) fn good_json() -> Vec<u8> {
    spans::to_json(&request(vec![span(1)]))
}

/// Two good spans and three with ids that are no ids.
pub(super) fn partly_bad() -> Vec<ResourceSpans> {
    let none = TraceId([0; 16]);
    let without_trace = |seed| Span {
        trace_id: none,
        ..span(seed)
    };
    let without_id = Span {
        span_id: SpanId([0; 8]),
        ..span(5)
    };
    request(vec![
        span(2),
        without_trace(3),
        span(4),
        without_id,
        without_trace(6),
    ])
}

/// Spans of one trace with ids and nothing else: 30 bytes each, nothing smaller is taken for a span.
pub(super) fn tiny_spans(count: usize) -> Vec<u8> {
    let mut spans = Vec::with_capacity(count * 30);
    for _ in 0..count {
        spans.extend_from_slice(&[0x12, 28, 0x0a, 16]);
        spans.extend_from_slice(&[7; 16]);
        spans.extend_from_slice(&[0x12, 8]);
        spans.extend_from_slice(&[9; 8]);
    }
    field(1, &field(2, &spans))
}

/// Good spans with names of so many bytes, ten in each trace.
pub(super) fn long_spans(seed: u64, count: u64, name_bytes: usize) -> Vec<u8> {
    let spans = (0..count).map(|number| {
        let first = seed * 1_000_000 + number / 10;
        Span {
            trace_id: span(first).trace_id,
            name: "n".repeat(name_bytes),
            ..span(first + 500_000 + number)
        }
    });
    spans::to_protobuf(&request(spans.collect()))
}

/// Failed spans with names of so many bytes, all of one trace; `first` numbers them.
pub(super) fn part_of_a_failed_trace(first: u64, count: u64, name_bytes: usize) -> Vec<u8> {
    let spans = (first..first + count).map(|number| Span {
        trace_id: span(0).trace_id,
        name: "n".repeat(name_bytes),
        status: Status::Error("failed".into()),
        ..span(1_000 + number)
    });
    spans::to_protobuf(&request(spans.collect()))
}

/// Spans of two bytes, without anything.
pub(super) fn empty_spans(count: usize) -> Vec<u8> {
    field(1, &field(2, &[0x12, 0].repeat(count)))
}

/// A span whose attribute holds an array in an array in an array.
pub(super) fn nested(levels: usize) -> Vec<u8> {
    // Written backwards, from the innermost value out: each level knows the length of what is in it.
    let mut backwards = Vec::new();
    for _ in 0..levels {
        // AnyValue.array_value = 5 holds ArrayValue.values = 1.
        wrap_backwards(&mut backwards, 1);
        wrap_backwards(&mut backwards, 5);
    }
    wrap_backwards(&mut backwards, 2);
    // KeyValue -> Span.attributes = 9 -> ScopeSpans.spans = 2 -> 2 -> 1.
    for field in [9, 2, 2, 1] {
        wrap_backwards(&mut backwards, field);
    }
    backwards.reverse();
    backwards
}

/// The same as JSON.
pub(super) fn nested_json(levels: usize) -> Vec<u8> {
    let open = r#"{"arrayValue":{"values":["#.repeat(levels);
    let close = "]}}".repeat(levels);
    let value = format!("{open}{close}");
    format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"attributes":[{{"key":"k","value":{value}}}]}}]}}]}}]}}"#
    )
    .into_bytes()
}

/// A good span with an attribute of `length` bytes, as JSON.
pub(super) fn long_text_json(length: usize) -> Vec<u8> {
    let mut long = span(8);
    long.attributes.push(("text".into(), "x".repeat(length).into()));
    spans::to_json(&request(vec![long]))
}

/// The same bytes for ever.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    (0..length).map(|_| rng.next() as u8).collect()
}

/// gzip, a thousandth of the size for zeros.
pub(super) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// `length` zeros, compressed.
pub(super) fn bomb(length: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let block = [0; 64 * 1024];
    for _ in 0..length / block.len() {
        encoder.write_all(&block).unwrap();
    }
    encoder.finish().unwrap()
}

/// gRPC's length-prefixed message.
pub(super) fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    [&claim(flag, u32::try_from(message.len()).unwrap())[..], message].concat()
}

/// The prefix alone.
pub(super) fn claim(flag: u8, length: u32) -> [u8; 5] {
    let [a, b, c, d] = length.to_be_bytes();
    [flag, a, b, c, d]
}

/// A length-delimited protobuf field.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    bytes.extend(varint(value.len()));
    bytes.extend_from_slice(value);
    bytes
}

fn wrap_backwards(backwards: &mut Vec<u8>, number: u8) {
    let length = varint(backwards.len());
    backwards.extend(length.iter().rev());
    backwards.push(number << 3 | 2);
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

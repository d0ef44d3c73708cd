//! The loops. Each does what the collector does with one step of a span's way, and gives the number of items of a pass.

mod ingest;
mod metrics;

use std::hint::black_box;

use tracepipe_config::AwsXraySettings;
use tracepipe_otlp::TraceOutline;
use tracepipe_otlp::json::traces_json_to_protobuf;
use tracepipe_otlp::store::{CHUNK_BYTES, Chain, SpanStore, encode_string_attribute};
use tracepipe_otlp::view::EachSpan;
use tracepipe_otlp::walk::RequestWalk;
use tracepipe_xray::{SegmentDocument, Translator};

use crate::input::{self, SPANS, SPANS_PER_TRACE};
use ingest::Ingest;

/// Runs a loop for so many passes. The number of items of one pass, or why it cannot run.
pub(crate) type Run = fn(u64) -> Result<u64, String>;

/// Every loop by its name.
pub(crate) const ALL: &[(&str, Run)] = &[
    ("room_for", room_for),
    ("walk", walk),
    ("walk_watched", walk_watched),
    ("table", table),
    ("store", store),
    ("request_to_drop", request_to_drop),
    ("late_drop", late_drop),
    ("write_trace", write_trace),
    ("json", json),
    ("xray_document", xray_document),
    ("metric_point", metrics::points),
    ("metric_histogram", metrics::histograms),
    ("metric_new_series", metrics::new_series),
];

/// Drawn once.
pub(crate) const SEED: u64 = 0x7261_6365_7069_7065;

/// The bound of the walk's memory, known before it: a span of a request.
fn room_for(passes: u64) -> Result<u64, String> {
    let request = input::protobuf();
    for _ in 0..passes {
        black_box(RequestWalk::room_for(black_box(&request)));
    }
    Ok(SPANS)
}

/// The walk when no policy looks at attributes: a span.
fn walk(passes: u64) -> Result<u64, String> {
    let request = input::protobuf();
    let mut walk = RequestWalk::new();
    for _ in 0..passes {
        walk.walk(black_box(&request))
            .map_err(|error| error.to_string())?;
        black_box(walk.spans());
    }
    Ok(SPANS)
}

/// The walk under policies that look at attributes: a span.
fn walk_watched(passes: u64) -> Result<u64, String> {
    Ingest::new()?.walk(passes)
}

/// Fold, place and decide: a span that is dropped, with its tenth of a trace.
fn table(passes: u64) -> Result<u64, String> {
    Ingest::new()?.table(passes)
}

/// Append and release: a span, with its tenth of a trace.
fn store(passes: u64) -> Result<u64, String> {
    Ingest::new()?.store(passes)
}

/// From the bytes of a request to the end of its traces, which nobody wants: a span.
fn request_to_drop(passes: u64) -> Result<u64, String> {
    Ingest::new()?.request_to_drop(passes)
}

/// The table's answer to a span of a trace that was dropped: a span.
fn late_drop(passes: u64) -> Result<u64, String> {
    Ingest::new()?.late_drop(passes)
}

/// A kept trace of ten spans of four services, with its policy's attribute: a trace.
fn write_trace(passes: u64) -> Result<u64, String> {
    let request = input::protobuf();
    let mut walk = RequestWalk::new();
    walk.walk(&request).map_err(|error| error.to_string())?;
    let (mut store, chain) = one_trace(&request, &walk)?;
    let attribute = encode_string_attribute(9, "tailsampling.policy", "errors");
    // Several traces leave in one piece.
    let mut out = Vec::new();
    for _ in 0..passes {
        out.clear();
        store.write_trace(black_box(&chain), &attribute, &mut out);
        black_box(&out);
    }
    store.release(chain);
    Ok(1)
}

/// JSON to protobuf: a span.
fn json(passes: u64) -> Result<u64, String> {
    let request = input::json();
    let mut out = Vec::new();
    for _ in 0..passes {
        out.clear();
        traces_json_to_protobuf(black_box(request.as_bytes()), &mut out)
            .map_err(|error| error.to_string())?;
        black_box(&out);
    }
    let mut walk = RequestWalk::new();
    walk.walk(&out).map_err(|error| error.to_string())?;
    if walk.spans().len() as u64 != SPANS {
        return Err("the JSON has not the spans of the request".into());
    }
    Ok(SPANS)
}

/// A kept span decoded and written as a segment document: a span.
fn xray_document(passes: u64) -> Result<u64, String> {
    let request = input::protobuf();
    let mut walk = RequestWalk::new();
    walk.walk(&request).map_err(|error| error.to_string())?;
    let (mut store, chain) = one_trace(&request, &walk)?;
    let mut trace = Vec::new();
    store.write_trace(&chain, &[], &mut trace);
    store.release(chain);
    let translator = Translator::new(&xray_settings());
    let mut id = SEED;
    let mut documents: Vec<SegmentDocument> = Vec::new();
    for _ in 0..passes {
        documents.clear();
        let mut spans = EachSpan::of_walked(black_box(&trace));
        let mut translator = translator.begin(|| TraceOutline::read(black_box(&trace), true));
        while let Some(span) = spans.next() {
            let mut random_id = || {
                id = id.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                id
            };
            translator.translate(span, &mut random_id, &mut documents);
        }
        black_box(&documents);
    }
    Ok(SPANS_PER_TRACE)
}

/// A store with the request's first trace in it.
fn one_trace(request: &[u8], walk: &RequestWalk) -> Result<(SpanStore, Chain), String> {
    let mut store = SpanStore::new(CHUNK_BYTES, SEED);
    let mut chain = Chain::default();
    let first = walk.spans().first().ok_or("the request has no spans")?.trace_id;
    for head in walk.spans().iter().filter(|head| head.trace_id == first) {
        let context = store.begin(request, walk.context(head.context));
        store.append(&mut chain, context, &request[head.record.clone()]);
        store.end(context);
    }
    if u64::from(chain.spans()) != SPANS_PER_TRACE {
        return Err("the trace has not all its spans".into());
    }
    Ok((store, chain))
}

fn xray_settings() -> AwsXraySettings {
    AwsXraySettings {
        indexed_attributes: vec!["http.response.status_code".into(), "thread.name".into()],
        ..AwsXraySettings::default()
    }
}

use std::collections::HashSet;

use super::{Encoding, Mix, OtlpRequest, Plain, SPANS_PER_TRACE, TRACES_PER_REQUEST, TraceTruth, Why};
use crate::spans::{ResourceSpans, Span, Status, to_protobuf};

const BASE: u64 = 1_795_236_000_000_000_000;

fn plain(mix: Mix) -> Plain {
    Plain::new(42, mix, BASE, 1000).unwrap()
}

/// The request made the slow way: span by span.
fn expected(plain: &Plain, number: u64) -> Vec<ResourceSpans> {
    let mut request = super::placeholder_request(TRACES_PER_REQUEST, SPANS_PER_TRACE);
    for span in request.iter_mut().flat_map(|part| &mut part.spans) {
        let trace = u64::from(span.trace_id.0[15]) - 1 + number * u64::from(TRACES_PER_REQUEST);
        let index = u32::from(span.span_id.0[7]) - 1;
        let patch = plain.trace(trace).patch(index);
        span.trace_id = patch.trace_id;
        span.span_id = patch.span_id;
        span.parent = patch.parent;
        span.start_unix_nano = patch.start_unix_nano;
        span.end_unix_nano = patch.end_unix_nano;
        span.status = if patch.status_code == 2 {
            Status::Error(String::new())
        } else {
            Status::Ok
        };
    }
    request
}

#[test]
fn a_patched_request_is_the_one_encoded_span_by_span() {
    let plain = plain(Mix {
        error_share: 0.5,
        ..Mix::default()
    });
    // Unset is written as an explicit zero by the template, so the slow way says Ok and the byte is put back.
    let mut ok = plain.request(3).body.to_vec();
    let unset = [0x7a, 2, 0x18, 0];
    let places: Vec<usize> = (0..ok.len() - 4)
        .filter(|at| ok[*at..].starts_with(&unset))
        .collect();
    for at in places {
        ok[at + 3] = 1;
    }
    assert!(ok == to_protobuf(&expected(&plain, 3)), "requests differ");
}

#[test]
fn the_truth_is_what_the_spans_say() {
    let plain = plain(Mix {
        error_share: 0.3,
        slow_share: 0.3,
        slow_ms: 500,
    });
    for number in 0..5 {
        let request = expected(&plain, number);
        let all: Vec<&Span> = request.iter().flat_map(|part| &part.spans).collect();
        for trace in Plain::traces_of(number) {
            let truth = plain.truth(trace);
            let of_trace: Vec<&Span> = all
                .iter()
                .copied()
                .filter(|span| span.trace_id == truth.trace_id)
                .collect();
            let read = TraceTruth::of(truth.trace_id, &of_trace, 500);
            let sorted = |truth: &TraceTruth| {
                let mut spans = truth.spans.clone();
                spans.sort_unstable();
                TraceTruth {
                    spans,
                    ..truth.clone()
                }
            };
            assert_eq!(sorted(&read), sorted(&truth));
            assert_eq!(truth.spans.len(), SPANS_PER_TRACE as usize);
        }
    }
}

#[test]
fn shares_are_kept_and_the_border_is_not_slow() {
    let plain = plain(Mix::default());
    let truths: Vec<TraceTruth> = (0..20_000).map(|trace| plain.truth(trace)).collect();
    let share = |count: usize| count as f64 / truths.len() as f64;
    let errors = share(truths.iter().filter(|truth| truth.has_error).count());
    let slow = share(truths.iter().filter(|truth| truth.duration_ms > 500).count());
    assert!(
        (0.045..0.055).contains(&errors) && (0.09..0.11).contains(&slow),
        "{errors} {slow}"
    );
    let border = |ms: u64| truths.iter().filter(|truth| truth.duration_ms == ms).count();
    assert!(
        border(499) > 50 && border(500) > 50,
        "too few traces at the border"
    );
    assert!(
        truths
            .iter()
            .all(|t| t.duration_ms != 500 || t.must_be_kept.is_none() || t.has_error)
    );
    let ids: HashSet<_> = truths.iter().map(|truth| truth.trace_id).collect();
    assert_eq!(ids.len(), truths.len());
}

#[test]
fn a_span_is_about_526_bytes() {
    let request = plain(Mix::default()).request(0);
    let mean = request.body.len() as u64 / request.spans();
    assert!((516..=536).contains(&mean), "{mean} bytes a span");
}

#[test]
fn an_error_outranks_slowness() {
    let plain = plain(Mix {
        error_share: 1.0,
        slow_share: 1.0,
        slow_ms: 500,
    });
    assert_eq!(plain.truth(0).must_be_kept, Some(Why::Error));
    let slow = self::plain(Mix {
        error_share: 0.0,
        slow_share: 1.0,
        slow_ms: 500,
    });
    assert_eq!(slow.truth(0).must_be_kept, Some(Why::Slow));
}

#[test]
fn a_request_names_its_traces() {
    let plain = plain(Mix::default());
    let fast = plain.request(0);
    assert_eq!(fast.traces.len(), TRACES_PER_REQUEST as usize);
    assert_eq!(fast.spans(), u64::from(TRACES_PER_REQUEST * SPANS_PER_TRACE));
    let slow = OtlpRequest::new(&expected(&plain, 0), Encoding::Protobuf);
    let sorted = |request: &OtlpRequest| {
        let mut traces = request.traces.clone();
        traces.sort_unstable();
        traces
    };
    assert_eq!(sorted(&fast), sorted(&slow));
}

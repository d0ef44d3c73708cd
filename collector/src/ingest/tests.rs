use std::time::Duration;

use futures_util::FutureExt;
use prost::Message;
use tracepipe_config::{
    DecisionCacheSettings, MemoryLimiterSettings, PolicyKind, PolicySettings, SimplePolicy, StatusCode,
    TailSamplingSettings,
};
use tracepipe_otlp::view::{AnyValue, decode_traces};

use super::*;

const ERROR: i32 = 2;

fn limiter() -> MemoryLimiter {
    MemoryLimiter::new(&MemoryLimiterSettings {
        check_interval: Duration::from_secs(1),
        limit_bytes: 1 << 30,
        spike_bytes: 0,
    })
}

/// Keeps errors and nothing else, when told to decide.
fn errors_only() -> TailSamplingSettings {
    TailSamplingSettings {
        decision_wait: Duration::from_secs(3600),
        decision_wait_after_root_received: None,
        num_traces: 1_000,
        block_on_overflow: false,
        maximum_trace_size_bytes: None,
        sample_on_first_match: false,
        record_policy: true,
        expected_new_traces_per_sec: 0,
        decision_cache: DecisionCacheSettings {
            sampled_cache_size: 1_000,
            non_sampled_cache_size: 1_000,
            directory: None,
        },
        policies: vec![PolicySettings {
            name: "errors".into(),
            kind: PolicyKind::Simple(SimplePolicy::StatusCode {
                status_codes: vec![StatusCode::Error],
            }),
        }],
    }
}

fn ingest(settings: Option<&TailSamplingSettings>) -> (Ingest, MemoryLimiter) {
    let limiter = limiter();
    let ingest = Ingest::new(settings, Vec::new(), limiter.clone(), Clock::start()).unwrap();
    (ingest, limiter)
}

fn span(trace: u8, span: u8, status: i32) -> proto::Span {
    proto::Span {
        trace_id: vec![trace; 16],
        span_id: vec![span; 8],
        name: format!("span {span}"),
        status: Some(proto::SpanStatus {
            code: status,
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn request(spans: Vec<proto::Span>) -> Vec<u8> {
    proto::ExportTraceServiceRequest {
        resource_spans: vec![proto::ResourceSpans {
            resource: Some(proto::Resource::default()),
            scope_spans: vec![proto::ScopeSpans {
                spans,
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
    .encode_to_vec()
}

/// One kept trace, or a late part of one.
struct Kept {
    trace_id: TraceId,
    span_count: u64,
    spans: Bytes,
    _held: Rc<Held>,
}

fn released(ingest: &mut Ingest) -> Vec<Kept> {
    let mut kept = Vec::new();
    while let Some(SampledTraces {
        spans, traces, held, ..
    }) = ingest.pop_released(Duration::ZERO)
    {
        let held = Rc::new(held);
        kept.extend(traces.into_iter().map(|trace| Kept {
            trace_id: trace.trace_id,
            span_count: trace.span_count,
            spans: spans.slice(trace.range),
            _held: Rc::clone(&held),
        }));
    }
    kept
}

/// The identity of the account, term by term.
fn assert_balanced(ingest: &Ingest) {
    let it = &ingest.account;
    let rejected: u64 = it.rejected.values().sum();
    let lost: u64 = it.lost.values().sum();
    let kept: u64 = it.kept.iter().sum();
    assert_eq!(
        it.accepted,
        rejected + it.filtered + it.dropped_by_policy + it.dropped_late + lost + it.buffered + kept,
        "{it:?}"
    );
}

#[test]
fn a_failed_trace_is_kept_whole_and_names_the_policy_on_every_span() {
    let (mut ingest, _) = ingest(Some(&errors_only()));
    ingest
        .accept(&request(vec![span(1, 1, 0), span(2, 2, 0), span(1, 3, ERROR)]))
        .unwrap();
    ingest.accept(&request(vec![span(1, 4, 0)])).unwrap();
    ingest.decide_all();
    let kept = released(&mut ingest);
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].span_count, 3);
    let resources = decode_traces(&kept[0].spans).unwrap();
    let spans: Vec<_> = resources
        .iter()
        .flat_map(|it| &it.scope_spans)
        .flat_map(|it| &it.spans)
        .collect();
    let names: Vec<&str> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["span 1", "span 3", "span 4"]);
    for span in spans {
        let policy = span
            .attributes
            .iter()
            .find(|it| it.key == POLICY_ATTRIBUTE)
            .map(|it| &it.value);
        assert_eq!(policy, Some(&AnyValue::String("errors".into())));
    }
    assert_eq!(ingest.account.dropped_by_policy, 1);
    assert_balanced(&ingest);
}

#[test]
fn late_spans_follow_their_trace() {
    let (mut ingest, _) = ingest(Some(&errors_only()));
    ingest
        .accept(&request(vec![span(1, 1, ERROR), span(2, 2, 0)]))
        .unwrap();
    ingest.decide_all();
    assert_eq!(released(&mut ingest).len(), 1);
    ingest
        .accept(&request(vec![span(1, 3, 0), span(2, 4, ERROR)]))
        .unwrap();
    assert_balanced(&ingest);
    let late = released(&mut ingest);
    assert_eq!(
        late.iter()
            .map(|it| (it.trace_id, it.span_count))
            .collect::<Vec<_>>(),
        [(TraceId([1; 16]), 1)]
    );
    assert_eq!(ingest.account.dropped_late, 1);
    assert_balanced(&ingest);
}

#[test]
fn an_invalid_span_is_rejected_alone_and_the_sender_is_told() {
    let (mut ingest, _) = ingest(Some(&errors_only()));
    let mut short = span(1, 1, ERROR);
    short.trace_id = vec![1; 15];
    let accepted = ingest
        .accept(&request(vec![short, span(2, 2, 0), span(3, 0, 0)]))
        .unwrap();
    let partial = accepted.response().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 2);
    assert_eq!(
        partial.error_message,
        "spans rejected by reason: invalid_trace_id: 1, invalid_span_id: 1"
    );
    assert_eq!(ingest.account.buffered, 1);
    assert_balanced(&ingest);
}

#[test]
fn a_malformed_request_leaves_nothing_behind() {
    let (mut ingest, _) = ingest(Some(&errors_only()));
    let mut bytes = request(vec![span(1, 1, ERROR), span(2, 2, ERROR)]);
    bytes.truncate(bytes.len() - 1);
    assert!(ingest.accept(&bytes).is_err());
    assert_eq!(ingest.account, IngestAccount::default());
    ingest.decide_all();
    assert!(released(&mut ingest).is_empty());
}

#[test]
fn an_empty_request_is_fine_and_says_nothing_of_partial_success() {
    let (mut ingest, _) = ingest(Some(&errors_only()));
    assert_eq!(ingest.accept(&[]).unwrap().response().partial_success, None);
    assert_balanced(&ingest);
}

#[test]
fn without_tail_sampling_every_span_leaves_as_it_came() {
    let (mut ingest, _) = ingest(None);
    let bytes = request(vec![span(1, 1, 0), span(2, 2, 0)]);
    ingest.accept(&bytes).unwrap();
    let kept = released(&mut ingest);
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].spans, bytes);
    assert_eq!(ingest.account.kept, [2]);
    assert_balanced(&ingest);
}

#[test]
fn memory_comes_back_when_traces_are_decided_and_gone() {
    let (mut ingest, limiter) = ingest(Some(&errors_only()));
    for trace in 1..=200 {
        let spans = (1..=50)
            .map(|id| span(trace, id, if trace % 2 == 0 { ERROR } else { 0 }))
            .collect();
        ingest.accept(&request(spans)).unwrap();
    }
    let full = limiter.accounted();
    assert!(full > 200 * 50 * 40, "{full}");
    ingest.decide_all();
    let kept = released(&mut ingest);
    assert_eq!(kept.len(), 100);
    drop(kept);
    // What stays: one chunk to go on with, the tables and the decision cache.
    assert!(
        limiter.accounted() < 400 * 1024,
        "{} of {full}",
        limiter.accounted()
    );
    assert_balanced(&ingest);
}

#[test]
fn whoever_waits_for_the_end_is_told_when_the_last_trace_was_dropped() {
    let (mut ingest, _) = ingest(Some(&TailSamplingSettings {
        decision_wait: Duration::ZERO,
        ..errors_only()
    }));
    let released = ingest.released();
    ingest.accept(&request(vec![span(1, 1, 0)])).unwrap();
    assert!(released.notified().now_or_never().is_none(), "told too early");
    ingest.run_decisions();
    assert!(ingest.is_empty());
    assert!(released.notified().now_or_never().is_some());
}

#[test]
fn what_nobody_takes_any_more_is_lost_once_and_not_kept() {
    let (mut ingest, _) = ingest(Some(&errors_only()));
    ingest
        .accept(&request(vec![span(1, 1, ERROR), span(2, 2, 0)]))
        .unwrap();
    ingest.decide_all();
    ingest.lose_released("export_gone");
    assert_eq!(ingest.account.lost, [("export_gone", 1)].into());
    assert_eq!(ingest.account.kept, [0_u64; 0]);
    assert_balanced(&ingest);
}

#[test]
fn a_request_of_many_small_spans_holds_no_memory_once_they_are_dropped() {
    let (mut ingest, limiter) = ingest(Some(&errors_only()));
    let small = proto::Span {
        trace_id: vec![1; 16],
        span_id: vec![1; 8],
        ..Default::default()
    };
    ingest.accept(&request(vec![small; 100_000])).unwrap();
    ingest.decide_all();
    assert!(ingest.is_empty());
    // Requests are refused by this figure: what the walk needed must not be in it any more.
    assert!(limiter.accounted() < 1 << 20, "{}", limiter.accounted());
}

/// What the spans of released traces are called.
fn names(released: &[Kept]) -> Vec<String> {
    released
        .iter()
        .flat_map(|it| decode_traces(&it.spans).unwrap())
        .flat_map(|it| it.scope_spans)
        .flat_map(|it| it.spans)
        .map(|span| span.name.to_string())
        .collect()
}

/// A limit of which a sixteenth is 1 MiB.
fn with_a_small_limit(settings: &TailSamplingSettings) -> (Ingest, MemoryLimiter) {
    let limiter = MemoryLimiter::new(&MemoryLimiterSettings {
        check_interval: Duration::from_secs(1),
        limit_bytes: 16 << 20,
        spike_bytes: 0,
    });
    let ingest = Ingest::new(Some(settings), Vec::new(), limiter.clone(), Clock::start()).unwrap();
    (ingest, limiter)
}

fn large_span(trace: u8, status: i32) -> proto::Span {
    proto::Span {
        name: "x".repeat(10_000),
        ..span(trace, 1, status)
    }
}

#[test]
fn a_giant_trace_is_decided_early_and_what_comes_of_it_later_follows() {
    let (mut ingest, limiter) = with_a_small_limit(&errors_only());
    ingest.accept(&request(vec![span(3, 1, ERROR)])).unwrap();
    for trace in [1, 2] {
        // The first is kept, the second is not; each is 4 MB.
        let status = if trace == 1 { ERROR } else { 0 };
        for _ in 0..400 {
            ingest.accept(&request(vec![large_span(trace, status)])).unwrap();
        }
        assert_balanced(&ingest);
    }
    let stats = ingest.figures().stats;
    assert_eq!((stats.decided_early_giant, stats.open_traces), (2, 1));
    // Of the second nothing is held any more, of the first what waits to leave.
    assert!(limiter.accounted() < 6 << 20, "{}", limiter.accounted());
    assert_eq!(
        ingest.account.dropped_by_policy + ingest.account.dropped_late,
        400
    );
    let mut most = 0;
    let mut spans = 0;
    while let Some(piece) = ingest.pop_released(Duration::ZERO) {
        most = most.max(piece.spans.len());
        spans += piece.traces.iter().map(|part| part.span_count).sum::<u64>();
        assert!(piece.traces.iter().all(|part| part.trace_id == TraceId([1; 16])));
        assert_balanced(&ingest);
    }
    assert_eq!(spans, 400);
    // In parts of a megabyte: what leaves is in memory twice for a moment.
    assert!(most < 1_200_000, "{most}");
    ingest.decide_all();
    assert_eq!(names(&released(&mut ingest)), ["span 1"]);
    assert!(ingest.is_empty());
}

/// A request of one failed span below a resource of about so many bytes.
fn below_a_resource(trace: u8, number: usize, bytes: usize) -> Vec<u8> {
    proto::ExportTraceServiceRequest {
        resource_spans: vec![proto::ResourceSpans {
            resource: Some(proto::Resource {
                attributes: vec![proto::KeyValue {
                    key: format!("{number}{}", "k".repeat(bytes)),
                    value: None,
                }],
                ..Default::default()
            }),
            scope_spans: vec![proto::ScopeSpans {
                spans: vec![span(trace, 1, ERROR)],
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
    .encode_to_vec()
}

#[test]
fn a_trace_of_few_spans_below_many_large_resources_leaves_in_parts() {
    let (mut ingest, _) = ingest(Some(&errors_only()));
    for number in 0..200 {
        ingest.accept(&below_a_resource(1, number, 60_000)).unwrap();
    }
    ingest.decide_all();
    let (mut most, mut spans, mut bytes) = (0, 0, 0);
    while let Some(piece) = ingest.pop_released(Duration::ZERO) {
        most = most.max(piece.spans.len());
        bytes += piece.spans.len();
        spans += piece.traces.iter().map(|part| part.span_count).sum::<u64>();
    }
    assert_eq!(spans, 200);
    assert!(bytes > 200 * 60_000 && most < 1_200_000, "{most} of {bytes}");
    assert!(ingest.is_empty());
}

#[test]
fn spans_below_a_resource_that_is_too_large_are_rejected_and_the_sender_is_told() {
    let (mut ingest, _) = ingest(Some(&errors_only()));
    let mut request = below_a_resource(1, 0, CONTEXT_BYTES_MAX);
    request.extend(below_a_resource(2, 0, CONTEXT_BYTES_MAX - 100));
    let accepted = ingest.accept(&request).unwrap();
    let told = accepted.response().partial_success.unwrap();
    assert_eq!(told.rejected_spans, 1);
    assert_eq!(
        told.error_message,
        "spans rejected by reason: resource_too_large: 1"
    );
    ingest.decide_all();
    let kept = released(&mut ingest);
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].trace_id, TraceId([2; 16]));
    assert_balanced(&ingest);
}

#[test]
fn the_rest_of_a_giant_that_nobody_takes_any_more_is_lost_and_counted() {
    let (mut ingest, _) = with_a_small_limit(&errors_only());
    for _ in 0..300 {
        ingest.accept(&request(vec![large_span(1, ERROR)])).unwrap();
    }
    let first = ingest.pop_released(Duration::ZERO).unwrap();
    let taken: u64 = first.traces.iter().map(|part| part.span_count).sum();
    assert!(taken < 300 && ingest.released_traces() > 0);
    ingest.lose_released("export_gone");
    assert_eq!(ingest.account.lost, [("export_gone", 300 - taken)].into());
    assert!(ingest.is_empty() && ingest.released_traces() == 0);
    assert_balanced(&ingest);
}

#[test]
fn with_block_on_overflow_requests_with_new_traces_wait_until_there_is_room() {
    let settings = TailSamplingSettings {
        num_traces: 2,
        block_on_overflow: true,
        ..errors_only()
    };
    let (mut ingest, _) = ingest(Some(&settings));
    ingest
        .accept(&request(vec![span(1, 1, 0), span(2, 1, 0)]))
        .unwrap();
    let refused = ingest.accept(&request(vec![span(1, 2, 0), span(3, 1, 0)]));
    assert_eq!(refused, Err(NotAccepted::NumTraces));
    // Nothing of it was taken, and traces that are there go on.
    assert_eq!(ingest.account.accepted, 2);
    ingest.accept(&request(vec![span(2, 2, ERROR)])).unwrap();
    ingest.decide_all();
    ingest
        .accept(&request(vec![span(1, 2, 0), span(3, 1, 0)]))
        .unwrap();
    assert_balanced(&ingest);
}

#[test]
fn spans_name_their_policy_only_when_they_are_to() {
    let settings = TailSamplingSettings {
        record_policy: false,
        ..errors_only()
    };
    let (mut ingest, _) = ingest(Some(&settings));
    let bytes = request(vec![span(1, 1, ERROR)]);
    ingest.accept(&bytes).unwrap();
    ingest.decide_all();
    assert_eq!(released(&mut ingest)[0].spans, bytes);
}

#[test]
fn a_request_taken_in_slices_is_taken_as_a_whole_one() {
    let spans: Vec<_> = (1..=100)
        .map(|number| span(number % 7 + 1, number, if number == 50 { ERROR } else { 0 }))
        .chain([span(0, 0, 0)])
        .collect();
    let bytes = request(spans);
    let (mut whole, _) = ingest(Some(&errors_only()));
    let (mut sliced, _) = ingest(Some(&errors_only()));
    let accepted = whole.accept(&bytes).unwrap();
    let walk = sliced.walker().walk(&bytes).unwrap();
    let mut placing = Placing::default();
    let slices = std::iter::repeat_with(|| sliced.accept_some(&mut placing, &walk, &bytes, 9).unwrap());
    assert_eq!(slices.flatten().next(), Some(accepted));
    assert_eq!(sliced.account, whole.account);
    for ingest in [&mut whole, &mut sliced] {
        ingest.decide_all();
        assert_balanced(ingest);
    }
    assert_eq!(names(&released(&mut sliced)), names(&released(&mut whole)));
}

#[test]
fn late_spans_follow_a_decision_of_a_former_process() {
    let settings = errors_only();
    let seeded = || Ingest::seeded(Some(&settings), Vec::new(), limiter(), Clock::start(), 7).unwrap();
    let mut former = seeded();
    former.record_decisions();
    former
        .accept(&request(vec![span(1, 1, ERROR), span(2, 2, 0)]))
        .unwrap();
    former.decide_all();
    let (decisions, _) = former.new_decisions();
    assert_eq!(decisions.len(), 2);
    assert_eq!(former.new_decisions().0, []);

    let mut restarted = seeded();
    decisions.into_iter().for_each(|it| restarted.restore(it));
    restarted
        .accept(&request(vec![span(1, 3, 0), span(2, 4, ERROR), span(3, 5, 0)]))
        .unwrap();
    assert_eq!(names(&released(&mut restarted)), ["span 3"]);
    assert_eq!(restarted.account.dropped_late, 1);
    assert_eq!(restarted.account.buffered, 1);
    // Of a policy that is no more: as if it had never been decided.
    let mut others = seeded();
    others.restore(Record {
        fingerprint: 1,
        policy: Some(5),
    });
    assert_balanced(&others);
}

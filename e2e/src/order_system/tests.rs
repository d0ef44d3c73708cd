use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use prost::Message;
use tracepipe_otlp::{SpanId, proto};

use super::{Service, Traffic};
use crate::rng::Rng;
use crate::spans::{Kind, Span, Status, to_json, to_protobuf};
use crate::workload::{Encoding, Why};

const BASE: u64 = 1_795_236_000_000_000_000;

fn traffic() -> Traffic {
    Traffic::new(1, 2000, Duration::from_secs(20), BASE)
}

#[test]
fn the_same_arguments_give_the_same_bytes() {
    let bodies = |traffic: &Traffic| -> Vec<Vec<u8>> {
        traffic
            .requests
            .iter()
            .map(|request| request.request.body.to_vec())
            .collect()
    };
    assert!(bodies(&traffic()) == bodies(&traffic()), "traffic differs");
}

#[test]
fn there_are_failed_slow_and_ordinary_traces() {
    let traffic = traffic();
    let share = |why: Option<Why>| {
        let count = traffic
            .stories
            .iter()
            .filter(|story| story.truth.must_be_kept == why)
            .count();
        count as f64 / traffic.stories.len() as f64
    };
    assert!(
        (0.03..0.12).contains(&share(Some(Why::Error))),
        "errors {}",
        share(Some(Why::Error))
    );
    assert!(
        (0.03..0.12).contains(&share(Some(Why::Slow))),
        "slow {}",
        share(Some(Why::Slow))
    );
    assert_eq!(traffic.stories.len(), 2000);
    let titles: BTreeSet<&str> = traffic.stories.iter().map(|story| story.title.as_str()).collect();
    assert!(titles.len() >= 12, "{titles:?}");
    assert!(
        traffic.length() < Duration::from_secs(25),
        "{:?}",
        traffic.length()
    );
}

#[test]
fn every_service_sends_its_own_spans_and_all_spans_are_sent() {
    let traffic = traffic();
    let senders: HashSet<usize> = traffic.requests.iter().map(|request| request.sender).collect();
    assert_eq!(senders.len(), Service::ALL.len());
    let mut sent: HashMap<_, usize> = HashMap::new();
    for (trace_id, spans) in traffic
        .requests
        .iter()
        .flat_map(|request| &request.request.traces)
    {
        *sent.entry(*trace_id).or_default() += *spans as usize;
    }
    for story in &traffic.stories {
        assert_eq!(sent[&story.truth.trace_id], story.truth.spans.len());
    }
    assert!(
        traffic
            .requests
            .iter()
            .any(|request| request.request.encoding == Encoding::Json)
    );
    assert!(traffic.requests.is_sorted_by_key(|request| request.due));
}

#[test]
fn a_story_is_one_tree_in_which_time_makes_sense() {
    for number in 0..500 {
        let (title, spans) = super::story::tell(&mut Rng::for_item(3, number), BASE);
        let by_id: HashMap<SpanId, &Span> = spans.iter().map(|(_, span)| (span.span_id, span)).collect();
        assert_eq!(by_id.len(), spans.len());
        assert_eq!(
            spans.iter().filter(|(_, span)| span.parent.is_none()).count(),
            1,
            "{title}"
        );
        for (service, span) in &spans {
            assert!(
                span.end_unix_nano > span.start_unix_nano,
                "{title}: {}",
                span.name
            );
            let Some(parent) = span.parent else { continue };
            let parent = by_id[&parent];
            assert!(
                span.start_unix_nano >= parent.start_unix_nano,
                "{title}: {}",
                span.name
            );
            // A queue's consumer works after its producer is done.
            let inside = span.end_unix_nano <= parent.end_unix_nano;
            assert!(
                inside || span.kind == Kind::Consumer,
                "{title}: {} of {service:?}",
                span.name
            );
            assert_eq!(
                span.flags == 0x301,
                matches!(span.kind, Kind::Server | Kind::Consumer)
            );
        }
        let failed = spans
            .iter()
            .any(|(_, span)| matches!(span.status, Status::Error(_)));
        let bad = ["times out", "no database", "bounces"]
            .iter()
            .any(|words| title.contains(words));
        assert_eq!(failed, bad, "{title}");
    }
}

/// The product's prost types know nothing of our encoder.
#[test]
fn our_protobuf_is_what_prost_reads() {
    let (_, spans) = (0..)
        .map(|number| super::story::tell(&mut Rng::for_item(3, number), BASE))
        .find(|(title, _)| title.contains("card network"))
        .unwrap();
    let part = crate::spans::ResourceSpans {
        resource: Service::Orders.resource(),
        scope: "s".into(),
        spans: spans.into_iter().map(|(_, span)| span).collect(),
    };
    let read = proto::ExportTraceServiceRequest::decode(&*to_protobuf(std::slice::from_ref(&part))).unwrap();
    let read = &read.resource_spans[0];
    assert_eq!(
        read.resource.as_ref().unwrap().attributes.len(),
        part.resource.len()
    );
    assert_eq!(read.scope_spans[0].scope.as_ref().unwrap().name, "s");
    let json: serde_json::Value = serde_json::from_slice(&to_json(std::slice::from_ref(&part))).unwrap();
    for (index, (got, sent)) in read.scope_spans[0].spans.iter().zip(&part.spans).enumerate() {
        assert_eq!(got.trace_id, sent.trace_id.0);
        assert_eq!(got.span_id, sent.span_id.0);
        assert_eq!(
            got.parent_span_id,
            sent.parent.map_or(vec![], |parent| parent.0.to_vec())
        );
        assert_eq!(
            (&got.name, got.kind, got.flags),
            (&sent.name, sent.kind as i32, sent.flags)
        );
        assert_eq!(got.start_time_unix_nano, sent.start_unix_nano);
        assert_eq!(got.end_time_unix_nano, sent.end_unix_nano);
        assert_eq!(got.attributes.len(), sent.attributes.len());
        assert_eq!(got.events.len(), sent.events.len());
        let failed = got.status.as_ref().is_some_and(|status| status.code == 2);
        assert_eq!(failed, matches!(sent.status, Status::Error(_)));
        let written = &json["resourceSpans"][0]["scopeSpans"][0]["spans"][index];
        assert_eq!(written["traceId"], sent.trace_id.to_string());
        assert_eq!(written["startTimeUnixNano"], sent.start_unix_nano.to_string());
    }
    assert_eq!(read.scope_spans[0].spans.len(), part.spans.len());
}

use std::sync::Arc;
use std::time::Duration;

use super::{LoadReport, Outcome, Planned, Sender, Target, run};
use crate::clock;
use crate::otlp_sink::{Behaviour, OtlpSink};
use crate::workload::{Encoding, Mix, Plain};

fn plain() -> Plain {
    Plain::new(1, Mix::default(), clock::unix_nanos(), 2000).unwrap()
}

fn planned(plain: &Plain, requests: u64) -> impl Iterator<Item = Planned> + '_ {
    (0..requests).map(|number| Planned {
        due: Duration::from_nanos(plain.due_nanos(number)),
        sender: 0,
        request: plain.request(number),
    })
}

async fn load(target: Target, plain: &Plain, requests: u64) -> LoadReport {
    let senders = [Arc::new(Sender::new(target).unwrap())];
    run(&senders, clock::now(), planned(plain, requests)).await
}

#[tokio::test]
async fn every_generated_span_reaches_the_sink_once() {
    for gzip in [false, true] {
        let sink = OtlpSink::start().await.unwrap();
        let plain = plain();
        let target = Target {
            gzip,
            connections: 2,
            ..Target::grpc(sink.address())
        };
        let report = load(target, &plain, 10).await;
        assert!(report.all_accepted(), "{:?}", report.answers);
        assert_eq!(
            (report.requests, report.spans, report.spans_accepted),
            (10, 2000, 2000)
        );
        assert_eq!(sink.counts().spans, 2000);
        assert_eq!(sink.counts().message_bytes, report.body_bytes);
        assert_eq!(sink.repeated_spans(), 0);
        let traces = sink.traces();
        for trace in 0..200 {
            let truth = plain.truth(trace);
            assert!(report.fully_accepted(&truth));
            let mut got = traces[&truth.trace_id].clone();
            let mut sent = truth.spans;
            got.sort_unstable();
            sent.sort_unstable();
            assert_eq!(got, sent);
        }
        assert_eq!(report.latencies.len(), 10);
        assert!(report.latency(1.0) >= report.latency(0.5));
    }
}

#[tokio::test]
async fn refusals_are_told_apart_and_owe_nothing() {
    let sink = OtlpSink::start().await.unwrap();
    let plain = plain();
    sink.set_behaviour(Behaviour::Refuse);
    let refused = load(Target::grpc(sink.address()), &plain, 2).await;
    assert_eq!((refused.refused_retryable, refused.accepted), (2, 0));
    assert!(!refused.fully_accepted(&plain.truth(0)));
    sink.set_behaviour(Behaviour::Reject);
    let rejected = load(Target::grpc(sink.address()), &plain, 2).await;
    assert_eq!((rejected.refused, rejected.refused_retryable), (2, 0));
    assert_eq!(sink.counts().failed, 4);
    assert!(sink.traces().is_empty());
}

#[tokio::test]
async fn a_hanging_server_does_not_slow_the_load() {
    let sink = OtlpSink::start().await.unwrap();
    sink.set_behaviour(Behaviour::Hang);
    let plain = plain();
    let senders = [Arc::new(Sender::new(Target::grpc(sink.address())).unwrap())];
    tokio::select! {
        _ = run(&senders, clock::now(), planned(&plain, 20)) => panic!("a hung request was answered"),
        counts = sink.wait_until(|counts| counts.failed == 20) => assert_eq!(counts.accepted, 0),
    }
}

#[tokio::test]
async fn a_sender_comes_back_with_its_server() {
    let sink = OtlpSink::start().await.unwrap();
    let address = sink.address();
    let plain = plain();
    let sender = Sender::new(Target::grpc(address)).unwrap();
    let body = plain.request(0).body;
    let accepted = Outcome::Accepted { rejected_spans: 0 };
    assert_eq!(sender.send(body.clone(), Encoding::Protobuf).await, accepted);
    drop(sink);
    // The old listener is closed by its task, which may not have run yet.
    let sink = loop {
        match OtlpSink::start_at(Some(address)).await {
            Ok(sink) => break sink,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    // The first request may meet the closed connection; after it there is a new one.
    let mut answer = sender.send(body.clone(), Encoding::Protobuf).await;
    if matches!(answer, Outcome::Failed(_)) {
        answer = sender.send(body, Encoding::Protobuf).await;
    }
    assert_eq!(answer, accepted);
    assert_eq!(sink.counts().accepted, 1);
}

#[tokio::test]
async fn json_is_not_sent_over_grpc() {
    let sink = OtlpSink::start().await.unwrap();
    let sender = Sender::new(Target::grpc(sink.address())).unwrap();
    let outcome = sender.send("{}".into(), Encoding::Json).await;
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
}

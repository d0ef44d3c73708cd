//! The exporter against an X-Ray in memory, in virtual time: nothing is lost that fits into the queue, and what is lost is
//! counted.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_xray::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use prost::Message;
use serde_json::{Value, json};
use tokio::task::{JoinSet, LocalSet};
use tracepipe_config::{AwsXraySettings, BatchSettings, MemoryLimiterSettings};
use tracepipe_otlp::{TraceId, proto};

use super::*;
use crate::account::ExporterAccount;
use crate::batcher::Batcher;
use crate::exporter::aws::credentials::EarlyCredentials;
use crate::exporter::aws::sign::{Scope, Signer};
use crate::exporter::aws::skew::AwsClock;
use crate::exporter::{Backend, Exporter, SendingQueue};
use crate::ingest::{SampledTrace, SampledTraces};

/// What X-Ray does with a call.
#[derive(Debug, Clone)]
enum Answer {
    /// Takes all.
    Take,
    /// Takes all but those whose place in the request is named, with the code of each.
    TakeBut(Vec<(usize, &'static str)>),
    /// An error with an AWS code, or none.
    Status(u16, &'static str),
    /// Takes all, and the answer is lost on the way.
    Lose,
    /// No connection.
    Refuse,
    /// Never answers.
    Hang,
    /// Half of a body.
    Half,
}

/// What came.
#[derive(Debug, Default)]
struct Seen {
    calls: u64,
    /// How often each document was taken, by its id.
    taken: HashMap<String, u64>,
    /// How many documents each call had.
    sizes: Vec<usize>,
    /// How often each document was sent, by its id.
    sent: HashMap<String, u64>,
}

type Script = Box<dyn FnMut(Duration, u64, &[Value]) -> Answer + Send>;

/// X-Ray, in the place of a connection.
#[derive(Clone)]
struct Cloud {
    seen: Arc<Mutex<Seen>>,
    script: Arc<Mutex<Script>>,
    clock: Clock,
}

impl std::fmt::Debug for Cloud {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cloud")
    }
}

impl HttpConnector for Cloud {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let cloud = self.clone();
        HttpConnectorFuture::new(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            cloud.answer(request.body().bytes().unwrap_or_default()).await
        })
    }
}

impl Cloud {
    async fn answer(&self, body: &[u8]) -> Result<HttpResponse, ConnectorError> {
        let body: Value = serde_json::from_slice(body).unwrap();
        let documents: Vec<Value> = body["TraceSegmentDocuments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|text| serde_json::from_str(text.as_str().unwrap()).unwrap())
            .collect();
        let number = {
            let mut seen = self.seen.lock().unwrap();
            seen.calls += 1;
            seen.sizes.push(documents.len());
            for document in &documents {
                *seen.sent.entry(id(document)).or_default() += 1;
            }
            seen.calls
        };
        let answer = (self.script.lock().unwrap())(self.clock.now(), number, &documents);
        let take = |but: &[(usize, &'static str)]| {
            let mut seen = self.seen.lock().unwrap();
            for (at, document) in documents.iter().enumerate() {
                if !but.iter().any(|(refused, _)| *refused == at) {
                    *seen.taken.entry(id(document)).or_default() += 1;
                }
            }
            let unprocessed: Vec<Value> = but
                .iter()
                .map(|(at, code)| json!({"Id": id(&documents[*at]), "ErrorCode": code, "Message": "m"}))
                .collect();
            json!({"UnprocessedTraceSegments": unprocessed}).to_string()
        };
        let io = || ConnectorError::io(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into());
        match answer {
            Answer::Take => Ok(response(200, "", &take(&[]))),
            Answer::TakeBut(but) => Ok(response(200, "", &take(&but))),
            Answer::Status(status, code) => Ok(response(status, code, "{}")),
            Answer::Lose => {
                take(&[]);
                Err(io())
            }
            Answer::Refuse => Err(io()),
            Answer::Hang => std::future::pending().await,
            Answer::Half => Ok(response(200, "", "{\"UnprocessedTraceSeg")),
        }
    }
}

fn id(document: &Value) -> String {
    document["id"].as_str().unwrap().to_owned()
}

fn response(status: u16, code: &'static str, body: &str) -> HttpResponse {
    let mut response = HttpResponse::new(
        StatusCode::try_from(status).unwrap(),
        SdkBody::from(body.to_owned()),
    );
    if !code.is_empty() {
        response.headers_mut().insert("x-amzn-errortype", code);
    }
    response
}

pub(super) fn settings() -> AwsXraySettings {
    AwsXraySettings {
        region: Some("eu-west-1".into()),
        ..AwsXraySettings::default()
    }
}

/// The exporter with its queue, and X-Ray.
struct World {
    queue: SendingQueue,
    cloud: Cloud,
    limiter: MemoryLimiter,
    batcher: Batcher,
    consumers: JoinSet<()>,
    clock: Clock,
    next_trace: u32,
    spans: u64,
}

impl World {
    fn new(
        queue_bytes_max: u64,
        script: impl FnMut(Duration, u64, &[Value]) -> Answer + Send + 'static,
    ) -> Self {
        let clock = Clock::start();
        let cloud = Cloud {
            seen: Arc::default(),
            script: Arc::new(Mutex::new(Box::new(script))),
            clock,
        };
        let aws = Arc::new(AwsClock::new(clock));
        let source = SharedCredentialsProvider::new(Credentials::for_tests());
        let credentials = EarlyCredentials::new(source, clock, Arc::clone(&aws));
        let scope = Scope {
            region: "eu-west-1".into(),
            service: "xray".into(),
        };
        let calls = Calls::new(
            SharedHttpConnector::new(cloud.clone()),
            "https://xray.eu-west-1.amazonaws.com",
            Signer::new(credentials, aws, scope),
            settings().request_timeout,
        );
        let limiter = MemoryLimiter::new(&MemoryLimiterSettings {
            check_interval: seconds(1),
            limit_bytes: 400 << 20,
            spike_bytes: 100 << 20,
        });
        let exporter = XrayExporter::new(calls.unwrap(), &settings(), limiter.clone());
        let queue = SendingQueue::new("awsxray".into(), queue_bytes_max, u64::MAX);
        let mut consumers = JoinSet::new();
        Exporter {
            queue: queue.clone(),
            backend: Rc::new(Backend::Xray(Box::new(exporter))),
        }
        .spawn(&mut consumers);
        Self {
            queue,
            cloud,
            limiter,
            batcher: Batcher::new(Some(&BatchSettings {
                timeout: Duration::from_secs(1),
                send_batch_size: 500,
                send_batch_max_size: 0,
            })),
            consumers,
            clock,
            next_trace: 0,
            spans: 0,
        }
    }

    /// Traces of ten spans come, so many in each tenth of a second, for so long.
    async fn feed(&mut self, traces: u32, for_long: Duration) {
        self.feed_each(Duration::from_millis(100), traces, for_long).await;
    }

    async fn feed_each(&mut self, interval: Duration, traces: u32, for_long: Duration) {
        let end = self.clock.now() + for_long;
        while self.clock.now() < end {
            self.push(traces);
            tokio::time::sleep(interval).await;
        }
    }

    fn push(&mut self, traces: u32) {
        let mut spans = Vec::new();
        let mut places = Vec::new();
        for _ in 0..traces {
            self.next_trace += 1;
            let start = spans.len();
            spans.extend(trace(self.next_trace));
            places.push(SampledTrace {
                trace_id: TraceId::default(),
                range: start..spans.len(),
                span_count: 10,
                is_whole: true,
            });
        }
        let count = u64::from(traces) * 10;
        self.spans += count;
        self.queue.expect(count);
        let released = SampledTraces {
            held: self.limiter.hold(spans.len() as u64),
            spans: Bytes::from(spans),
            traces: places,
            since: self.clock.now(),
        };
        for batch in self.batcher.push(released) {
            self.queue.push(batch);
        }
    }

    /// Waits until nothing is under way, and gives the account.
    async fn settle(&mut self) -> ExporterAccount {
        if let Some(batch) = self.batcher.take() {
            self.queue.push(batch);
        }
        self.queue.close();
        while let Some(ended) = self.consumers.join_next().await {
            ended.unwrap();
        }
        let mut account = self.queue.account();
        account.lost.retain(|_, spans| *spans > 0);
        let lost: u64 = account.lost.values().sum();
        assert_eq!(
            (account.exported + lost, account.waiting, account.in_flight),
            (self.spans, 0, 0)
        );
        assert_eq!(self.limiter.accounted(), 0, "all memory is given back");
        account
    }
}

/// Ten spans below each other, of one service.
fn trace(number: u32) -> Vec<u8> {
    let span_id = |at: u32| {
        (u64::from(number) << 8 | u64::from(at + 1))
            .to_be_bytes()
            .to_vec()
    };
    let span = |at: u32| proto::Span {
        trace_id: [&[7; 12][..], &number.to_be_bytes()].concat(),
        span_id: span_id(at),
        parent_span_id: at.checked_sub(1).map(span_id).unwrap_or_default(),
        name: "work".into(),
        // Children come before their parents, as SDKs send them.
        start_time_unix_nano: 1_700_000_000_000_000_000 + u64::from(at),
        end_time_unix_nano: 1_700_000_001_000_000_000,
        flags: 0x101,
        ..Default::default()
    };
    proto::ExportTraceServiceRequest {
        resource_spans: vec![proto::ResourceSpans {
            scope_spans: vec![proto::ScopeSpans {
                spans: (0..10).rev().map(span).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
    .encode_to_vec()
}

/// Runs a story on a runtime whose time is virtual.
fn story<F: Future<Output = ()>>(story: impl FnOnce() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async { story().await });
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const NO_BOUND: u64 = u64::MAX;

#[test]
fn requests_are_full_and_parents_come_before_their_children() {
    story(|| async {
        let mut world = World::new(NO_BOUND, |_, _, documents| {
            let starts: Vec<(&str, f64)> = documents
                .iter()
                .map(|document| {
                    let trace = document["trace_id"].as_str().unwrap();
                    (trace, document["start_time"].as_f64().unwrap())
                })
                .collect();
            for pair in starts.windows(2) {
                assert!(pair[0].0 != pair[1].0 || pair[0].1 <= pair[1].1, "{starts:?}");
            }
            Answer::Take
        });
        world.feed(20, seconds(5)).await;
        let account = world.settle().await;
        let seen = world.cloud.seen.lock().unwrap();
        assert_eq!(account.exported, 10_000);
        assert_eq!(seen.calls, 200, "50 documents each");
        assert!(seen.taken.values().all(|times| *times == 1));
    });
}

#[test]
fn the_last_documents_of_a_batch_leave_with_those_of_the_next() {
    story(|| async {
        let mut world = World::new(NO_BOUND, |_, _, _| Answer::Take);
        // A batch of 70 spans, five times a second.
        for _ in 0..50 {
            world.push(7);
            world.queue.push(world.batcher.take().unwrap());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let account = world.settle().await;
        let seen = world.cloud.seen.lock().unwrap();
        assert_eq!(account.exported, 3_500);
        assert_eq!(seen.calls, 70, "{:?}", seen.sizes);
        assert!(seen.taken.values().all(|times| *times == 1));
    });
}

#[test]
fn full_requests_leave_four_together() {
    story(|| async {
        let mut world = World::new(NO_BOUND, |_, _, _| Answer::Take);
        // A request's documents, five times a second.
        let mut calls = Vec::new();
        for _ in 0..40 {
            world.push(5);
            world.queue.push(world.batcher.take().unwrap());
            tokio::time::sleep(Duration::from_millis(200)).await;
            calls.push(world.cloud.seen.lock().unwrap().calls);
        }
        calls.dedup();
        // The first of them waits no longer than half a second.
        assert!(calls.windows(2).all(|pair| pair[1] - pair[0] >= 3), "{calls:?}");
        assert_eq!(world.settle().await.exported, 2_000);
        assert_eq!(world.cloud.seen.lock().unwrap().calls, 40);
    });
}

#[test]
fn no_document_waits_longer_because_others_come() {
    story(|| async {
        let mut world = World::new(NO_BOUND, |_, _, _| Answer::Take);
        for number in 1..=20 {
            world.push(1);
            world.queue.push(world.batcher.take().unwrap());
            tokio::time::sleep(Duration::from_millis(400)).await;
            let came = world.cloud.seen.lock().unwrap().sent.len();
            assert!(came + 20 >= number * 10, "{came} of {number} traces");
        }
        assert_eq!(world.settle().await.exported, 200);
    });
}

#[test]
fn documents_to_which_none_come_leave_within_a_second_and_at_once_when_the_collector_goes() {
    story(|| async {
        let mut world = World::new(NO_BOUND, |_, _, _| Answer::Take);
        world.push(1);
        world.queue.push(world.batcher.take().unwrap());
        tokio::time::sleep(seconds(1)).await;
        assert_eq!(world.cloud.seen.lock().unwrap().sizes, [10]);

        world.push(1);
        world.queue.push(world.batcher.take().unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = world.clock.now();
        let account = world.settle().await;
        assert_eq!(account.exported, 20);
        assert!(world.clock.now() - before < Duration::from_millis(100));
    });
}

#[test]
fn documents_that_are_waited_with_are_in_the_account_and_in_the_memory() {
    story(|| async {
        let mut world = World::new(NO_BOUND, |_, _, _| Answer::Take);
        world.push(1);
        world.queue.push(world.batcher.take().unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(world.queue.account().in_flight, 10);
        assert!(world.limiter.accounted() > 2_000);
        // Nobody is left to send them.
        world.consumers.abort_all();
        while world.consumers.join_next().await.is_some() {}
        let account = world.queue.account();
        assert_eq!((account.in_flight, account.lost["abandoned"]), (0, 10));
        assert_eq!(world.limiter.accounted(), 0);
    });
}

#[test]
fn a_minute_of_throttling_loses_nothing_and_costs_few_calls() {
    story(|| async {
        let outage = seconds(30)..seconds(90);
        let throttled = outage.clone();
        let mut world = World::new(NO_BOUND, move |now, _, _| {
            if throttled.contains(&now) {
                Answer::Status(429, "ThrottledException")
            } else {
                Answer::Take
            }
        });
        world.feed(20, seconds(90)).await;
        // 2,000 spans a second, for fifteen seconds more; then what waits is no more than a moment's.
        world.feed(20, seconds(15)).await;
        let waiting = world.queue.account();
        assert!(waiting.waiting + waiting.in_flight < 2_500, "{waiting:?}");
        let account = world.settle().await;
        let needed = 105 * 2_000 / 50;
        assert_eq!(account.exported, 105 * 2_000);
        assert!(account.requests < needed * 12 / 10, "{account:?}");
        assert_eq!(
            account.backend_errors.iter().next().unwrap().1,
            "ThrottledException"
        );
        assert!(account.failing.is_none());
    });
}

#[test]
fn every_third_call_throttled_loses_nothing_and_keeps_up() {
    story(|| async {
        let mut world = World::new(NO_BOUND, |_, call, _| {
            if call % 3 == 0 {
                Answer::Status(429, "ThrottledException")
            } else {
                Answer::Take
            }
        });
        // 1,000 spans a second.
        world.feed(10, seconds(60)).await;
        let account = world.queue.account();
        assert!(account.waiting + account.in_flight < 10_000, "{account:?}");
        let account = world.settle().await;
        assert_eq!(account.exported, 60_000);
        assert!(world.clock.now() < seconds(70), "{:?}", world.clock.now());
    });
}

#[test]
fn while_nothing_is_taken_the_account_says_since_when_and_why() {
    story(|| async {
        let mut world = World::new(NO_BOUND, |now, _, _| {
            if now < seconds(60) {
                Answer::Status(403, "AccessDeniedException")
            } else {
                Answer::Take
            }
        });
        world.feed(1, seconds(50)).await;
        let failing = world.queue.account().failing.expect("it fails");
        assert_eq!(
            (failing.reason, failing.code.as_str()),
            ("access_denied", "AccessDeniedException")
        );
        world.feed(1, seconds(20)).await;
        let account = world.settle().await;
        assert!(
            account.failing.is_none() && account.lost.is_empty(),
            "{account:?}"
        );
    });
}

/// A backend that does `answer` for ten minutes costs nothing but time, up to the queue's size.
fn gone_for_ten_minutes(answer: Answer) {
    story(|| async move {
        let fault = answer.clone();
        let mut world = World::new(NO_BOUND, move |now, _, _| {
            if (seconds(10)..seconds(610)).contains(&now) {
                fault.clone()
            } else {
                Answer::Take
            }
        });
        world.feed_each(seconds(1), 2, seconds(620)).await;
        let account = world.settle().await;
        assert!(account.lost.is_empty(), "{answer:?}: {account:?}");
        // One that never answers is heard of when the time of an attempt is over.
        let over = world.clock.now();
        assert!(over < seconds(620 + 35), "{answer:?}: {over:?}");
        assert!(
            account.requests < account.exported / 50 + 400,
            "{answer:?}: {account:?}"
        );
    });
}

#[test]
fn a_backend_that_is_gone_for_ten_minutes_costs_nothing_but_time() {
    for answer in [
        Answer::Refuse,
        Answer::Hang,
        Answer::Half,
        Answer::Status(503, ""),
        Answer::Status(408, ""),
        Answer::Status(403, "ExpiredTokenException"),
        Answer::Status(429, "ThrottledException"),
    ] {
        gone_for_ten_minutes(answer);
    }
}

#[test]
fn what_the_queue_has_no_room_for_is_counted() {
    story(|| async {
        let mut world = World::new(200_000, |now, _, _| {
            if now < seconds(300) {
                Answer::Refuse
            } else {
                Answer::Take
            }
        });
        world.feed(10, seconds(310)).await;
        let account = world.settle().await;
        let lost = account.lost["queue_full"];
        assert!(lost > 0 && account.lost.len() == 1, "{account:?}");
        assert!(account.exported > 2_000, "{account:?}");
    });
}

#[test]
fn a_request_that_waits_for_its_next_attempt_gets_it_when_the_collector_goes_down() {
    story(|| async {
        let mut world = World::new(NO_BOUND, |now, _, documents| {
            // One request fails alone, again and again, so that its pauses have grown.
            let is_it = documents
                .iter()
                .any(|document| document["id"] == "0000000000000101");
            if is_it && now < seconds(100) {
                Answer::Status(500, "")
            } else {
                Answer::Take
            }
        });
        world.feed(1, seconds(101)).await;
        let begun = world.clock.now();
        let account = world.settle().await;
        assert!(account.lost.is_empty(), "{account:?}");
        assert!(
            world.clock.now() < begun + seconds(4),
            "{:?}",
            world.clock.now() - begun
        );
    });
}

#[test]
fn a_lost_answer_sends_again_what_x_ray_has_already() {
    story(|| async {
        let mut world = World::new(
            NO_BOUND,
            |_, call, _| {
                if call == 1 { Answer::Lose } else { Answer::Take }
            },
        );
        world.push(5);
        let account = world.settle().await;
        assert_eq!((account.exported, account.requests), (50, 2));
        // The same documents under the same ids: X-Ray keeps one of each.
        let seen = world.cloud.seen.lock().unwrap();
        assert_eq!(seen.taken.len(), 50);
    });
}

#[test]
fn one_wrong_document_costs_no_other_when_x_ray_refuses_the_whole_request() {
    story(|| async {
        let mut world = World::new(NO_BOUND, |_, _, documents| {
            let is_wrong = |document: &Value| document["id"] == "0000000000000303";
            if documents.iter().any(is_wrong) {
                Answer::Status(400, "InvalidRequestException")
            } else {
                Answer::Take
            }
        });
        world.push(10);
        let account = world.settle().await;
        assert_eq!(account.exported, 99);
        assert_eq!(account.lost, BTreeMap::from([("invalid_request", 1)]));
        assert!(account.requests < 20, "{account:?}");
    });
}

#[test]
fn a_document_that_never_gets_through_is_lost_alone_and_stops_nobody() {
    story(|| async {
        // A proxy that does not like one of them: the code that would else be tried for ever.
        let mut world = World::new(NO_BOUND, |_, _, documents| {
            if documents
                .iter()
                .any(|document| document["id"] == "0000000000000103")
            {
                Answer::Status(403, "")
            } else {
                Answer::Take
            }
        });
        world.feed(5, seconds(300)).await;
        let waiting = world.queue.account();
        assert!(waiting.exported > 14_000, "{waiting:?}");
        let account = world.settle().await;
        assert_eq!(account.lost, BTreeMap::from([("retries_exhausted", 1)]));
        assert_eq!(account.lost_documents, BTreeMap::from([("retries_exhausted", 1)]));
    });
}

#[test]
fn neither_throttling_nor_outages_that_come_and_go_cost_a_document() {
    for answer in [
        Answer::Status(429, "ThrottledException"),
        Answer::Status(503, ""),
        Answer::Refuse,
    ] {
        for whole_seconds in [true, false] {
            let answer = answer.clone();
            story(|| async move {
                let fault = answer.clone();
                let mut world = World::new(NO_BOUND, move |now, call, _| {
                    // Ten seconds of twenty, or every second call.
                    let is_fault = if whole_seconds {
                        now.as_secs() % 20 < 10
                    } else {
                        call % 2 == 0
                    };
                    if is_fault && now < seconds(600) {
                        fault.clone()
                    } else {
                        Answer::Take
                    }
                });
                world.feed_each(seconds(1), 5, seconds(600)).await;
                let account = world.settle().await;
                assert!(account.lost.is_empty(), "{answer:?} {whole_seconds}: {account:?}");
            });
        }
    }
}

#[test]
fn what_waits_for_x_ray_lies_in_memory_once() {
    story(|| async {
        let documents = Arc::new(Mutex::new(0_u64));
        let bytes = Arc::clone(&documents);
        let mut world = World::new(NO_BOUND, move |now, call, sent| {
            if call == 1 {
                *bytes.lock().unwrap() = sent.iter().map(|one| one.to_string().len() as u64).sum();
            }
            if now < seconds(60) {
                Answer::Refuse
            } else {
                Answer::Take
            }
        });
        let before = world.limiter.accounted();
        world.push(5);
        if let Some(batch) = world.batcher.take() {
            world.queue.push(batch);
        }
        let wire = world.limiter.accounted() - before;
        // Far into an outage nearly all time passes between two attempts.
        tokio::time::sleep(Duration::from_millis(30_100)).await;
        let mut least = u64::MAX;
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(7)).await;
            least = least.min(world.limiter.accounted());
        }
        let documents = *documents.lock().unwrap();
        assert!(documents > 5_000, "{documents}");
        assert!(
            least - wire < documents * 3 / 2,
            "{least} with {wire} and {documents}"
        );
        world.settle().await;
    });
}

#[test]
fn a_backend_that_refuses_all_for_good_is_not_asked_a_hundred_times_for_a_request() {
    story(|| async {
        let mut world = World::new(NO_BOUND, |_, _, _| Answer::Status(400, ""));
        world.feed(10, seconds(30)).await;
        let account = world.settle().await;
        assert_eq!(account.lost, BTreeMap::from([("invalid_request", 30_000)]));
        // What was on its way was split once; then each request is asked once.
        assert!(account.requests < 30_000 / 50 + 8 * 99, "{account:?}");
        assert!(account.failing.is_none(), "it answers");
    });
}

#[test]
fn throttling_that_is_told_of_each_document_is_throttling() {
    story(|| async {
        let outage = seconds(10)..seconds(70);
        let mut world = World::new(NO_BOUND, move |now, _, documents| {
            if outage.contains(&now) {
                Answer::TakeBut(
                    (0..documents.len())
                        .map(|at| (at, "ThrottledException"))
                        .collect(),
                )
            } else {
                Answer::Take
            }
        });
        world.feed(20, seconds(85)).await;
        let waiting = world.queue.account();
        assert!(waiting.waiting + waiting.in_flight < 2_500, "{waiting:?}");
        let account = world.settle().await;
        assert!(account.lost.is_empty(), "{account:?}");
        assert!(account.requests < 85 * 2_000 / 50 * 12 / 10, "{account:?}");
    });
}

#[test]
fn every_mixture_of_unprocessed_documents_is_counted_and_sent_again_exactly() {
    const CODES: [(&str, bool, &str); 6] = [
        ("ThrottledException", true, ""),
        ("ServiceUnavailable", true, ""),
        ("InvalidTraceId", false, "invalid_trace_id"),
        ("InvalidName", false, "invalid_name"),
        ("InvalidSegment", false, "invalid_segment"),
        ("SomethingNew", false, "unprocessed_other"),
    ];
    for seed in 0..100_u64 {
        story(|| async move {
            let lost: Arc<Mutex<BTreeMap<&'static str, u64>>> = Arc::default();
            let again: Arc<Mutex<HashMap<String, u64>>> = Arc::default();
            let (of_lost, of_again) = (Arc::clone(&lost), Arc::clone(&again));
            let random = Cell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            let next = move || {
                random.set(random.get() ^ (random.get() << 13));
                random.set(random.get() ^ (random.get() >> 7));
                random.set(random.get() ^ (random.get() << 17));
                random.get()
            };
            let mut world = World::new(NO_BOUND, move |_, call, documents| {
                // In the end it takes what may be taken.
                let share = if call > 12 { 0 } else { seed % 4 + 1 };
                let mut but = Vec::new();
                for (at, document) in documents.iter().enumerate() {
                    if next() % 8 >= share {
                        continue;
                    }
                    let (code, is_again, reason) = CODES[usize::try_from(next() % 6).unwrap()];
                    but.push((at, code));
                    if is_again {
                        *of_again.lock().unwrap().entry(id(document)).or_default() += 1;
                    } else {
                        *of_lost.lock().unwrap().entry(reason).or_default() += 1;
                    }
                }
                Answer::TakeBut(but)
            });
            world.push(13);
            let account = world.settle().await;
            assert_eq!(account.lost, *lost.lock().unwrap(), "seed {seed}");
            let seen = world.cloud.seen.lock().unwrap();
            let again = again.lock().unwrap();
            for (id, sent) in &seen.sent {
                let refused = again.get(id).copied().unwrap_or_default();
                assert_eq!(*sent, 1 + refused, "seed {seed}: {id}");
            }
            assert_eq!(seen.sent.len(), 130);
            assert!(seen.taken.values().all(|times| *times == 1));
            assert_eq!(seen.taken.len() as u64, account.exported);
        });
    }
}

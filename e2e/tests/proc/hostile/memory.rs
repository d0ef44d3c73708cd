//! Requests that are taken up to the memory limit, and such that want to pass it: from small on the wire to large in
//! memory.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::interval;
use tracepipe_e2e::collector::Start;
use tracepipe_e2e::load::Target;
use tracepipe_e2e::workload::Mix;

use super::bodies::{claim, framed};
use super::http1::{Connection, head, post, request};
use super::http2::{self, After, Client, END_HEADERS, Feed, Kind};
use super::site::{Honest, Site, soon};
use super::{HUGE_BYTES, MIB, bodies};
use crate::rig::{self, LIMIT};

const UNAVAILABLE: i32 = 14;
const RESOURCE_EXHAUSTED: i32 = 8;

/// The first seed's policies without the share of the rest: nothing of an attack is kept, it would have to be exported.
fn nothing_by_chance(start: Start) -> Start {
    start.set(
        "processors.tail_sampling.policies=[\
         {name: always-sample-errors, type: status_code, status_code: {status_codes: [ERROR]}}, \
         {name: always-sample-slow, type: latency, latency: {threshold_ms: 500}}]",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_memory_limit_requests_are_refused_retryably_until_there_is_room() {
    let site = Site::open().await;
    // 30 MiB of 40 come; three or four of these fill 110 MiB, and they wait for the rest.
    let piece = Bytes::from(vec![0x0a; MIB]);
    let mut holders = JoinSet::new();
    for number in 0..8 {
        let (grpc, http, piece) = (site.grpc(), site.http(), piece.clone());
        holders.spawn(async move {
            if number % 2 == 0 {
                let prefix = claim(0, 40 << 20).to_vec();
                let feed = Feed::new(prefix, After::Silence).with_pieces(piece, 30);
                let answer = http2::export(grpc, &[], feed).await;
                (answer.code, answer.retry_seconds())
            } else {
                let mut connection = Connection::open(http).await;
                let kind = "content-type: application/x-protobuf";
                connection
                    .write(&head("POST /v1/traces", &[kind, "content-length: 41943040"]))
                    .await;
                let (_, answer) = connection.feed(&piece, 30, None).await;
                let answer = answer.expect("an answer");
                let status = answer.rpc_status();
                if answer.status == 503 {
                    assert_eq!(answer.header("retry-after"), Some("1"));
                }
                (status.code, status.retry_seconds())
            }
        });
    }
    let mut answers = Vec::new();
    while let Some(answer) = soon("an answer", holders.join_next()).await {
        answers.push(answer.unwrap());
    }
    // Who was let in timed out, the others were told to come again in a second.
    let refused = answers
        .iter()
        .filter(|answer| **answer == (UNAVAILABLE, Some(1)))
        .count();
    let timed_out = answers.iter().filter(|answer| **answer == (4, None)).count();
    assert!(
        refused > 2 && timed_out > 0 && refused + timed_out == 8,
        "{answers:?}"
    );
    // Room again.
    taken_again(&site).await;
    let account = site.close(Honest::MayBeToldToRetry, 2).await;
    assert!(
        account.sum_with("tracepipe_requests_refused", "reason", |reason| reason
            == "memory")
            >= refused as u64
    );
}

/// A good request over each protocol is taken, not necessarily at once.
async fn taken_again(site: &Site) {
    let mut client = Client::open(site.grpc()).await;
    let mut ticks = interval(Duration::from_millis(100));
    let taking = async {
        loop {
            let answer = client.export(&[], Feed::whole(framed(0, &bodies::good()))).await;
            if answer.code == 0 {
                break;
            }
            assert_eq!((answer.code, answer.retry_seconds()), (UNAVAILABLE, Some(1)));
            ticks.tick().await;
        }
        loop {
            let mut connection = Connection::open(site.http()).await;
            let answer = connection
                .ask(&post("application/json", &bodies::good_json()))
                .await;
            if answer.status == 200 {
                break;
            }
            assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
            ticks.tick().await;
        }
    };
    soon("room", taking).await;
}

/// What was said to each of eight requests in gzip that came at the same time, half of them over gRPC.
async fn eight_at_once(site: &Site, form: &'static str, zipped: Vec<u8>) -> Vec<i32> {
    eight_in(site, "gzip", form, zipped).await
}

async fn eight_in(site: &Site, coding: &'static str, form: &'static str, zipped: Vec<u8>) -> Vec<i32> {
    let zipped = Bytes::from(zipped);
    let mut bombs = JoinSet::new();
    for number in 0..8 {
        let (grpc, http, zipped) = (site.grpc(), site.http(), zipped.clone());
        bombs.spawn(async move {
            if number % 2 == 0 && form == "application/x-protobuf" {
                let body = Feed::whole(framed(1, &zipped));
                http2::export(grpc, &[("grpc-encoding", coding)], body).await.code
            } else {
                let kind = format!("content-type: {form}");
                let coding = format!("content-encoding: {coding}");
                let request = request("POST /v1/traces", &[&kind, &coding], &zipped);
                let answer = Connection::open(http).await.ask(&request).await;
                if answer.status == 200 {
                    0
                } else {
                    answer.rpc_status().code
                }
            }
        });
    }
    let mut codes = Vec::new();
    while let Some(code) = soon("an answer", bombs.join_next()).await {
        codes.push(code.unwrap());
    }
    codes
}

#[tokio::test(flavor = "multi_thread")]
async fn gzip_bombs_at_the_same_time_stay_under_the_limit() {
    let site = Site::open().await;
    let codes = eight_at_once(
        &site,
        "application/x-protobuf",
        bodies::bomb(HUGE_BYTES + 10 * MIB),
    )
    .await;
    let known = |code: &i32| [RESOURCE_EXHAUSTED, UNAVAILABLE].contains(code);
    assert!(
        codes.iter().all(known) && codes.contains(&RESOURCE_EXHAUSTED),
        "{codes:?}"
    );
    taken_again(&site).await;
    site.close(Honest::MayBeToldToRetry, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tiny_spans_in_small_requests_stay_under_the_limit() {
    let site = Site::open_with(nothing_by_chance).await;
    // 45 MB of good spans in 200 kB of gzip: what is known of each span must have room, too.
    let zipped = bodies::gzip(&bodies::tiny_spans(1_500_000));
    assert!(zipped.len() < MIB / 4, "no bomb: {} bytes", zipped.len());
    let codes = eight_at_once(&site, "application/x-protobuf", zipped).await;
    // One that could never fit is refused for good.
    let known = [0, UNAVAILABLE, RESOURCE_EXHAUSTED];
    assert!(codes.iter().all(|code| known.contains(code)), "{codes:?}");
    taken_again(&site).await;
    let taken = codes.iter().filter(|code| **code == 0).count() as u64;
    site.close(Honest::MayBeToldToRetry, taken * 1_500_000 + 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_whose_spans_are_kept_stay_under_the_limit() {
    const SPANS: u64 = 1_500;
    let everything = "processors.tail_sampling.policies=[{name: everything, type: always_sample}]";
    let plain = bodies::long_spans(1, SPANS, 10_000);
    for (coding, zipped) in [
        ("gzip", bodies::gzip(&plain)),
        ("zstd", zstd::encode_all(&plain[..], 3).unwrap()),
    ] {
        assert!(zipped.len() < plain.len() / 50, "no bomb: {} bytes", zipped.len());
        let site = Site::open_with(|start| start.set(everything)).await;
        let codes = eight_in(&site, coding, "application/x-protobuf", zipped).await;
        assert!(
            codes.iter().all(|code| [0, UNAVAILABLE].contains(code)) && codes.contains(&0),
            "{coding}: {codes:?}"
        );
        taken_again(&site).await;
        let taken = codes.iter().filter(|code| **code == 0).count() as u64;
        site.close(Honest::MayBeToldToRetry, taken * SPANS + 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_load_memory_goes_back_to_the_kernel_although_nothing_comes_any_more() {
    const REQUESTS: u64 = 100;
    const SPANS: u64 = 100;
    let rig = rig::otlp(|start| start).await;
    let resident = || rig.collector.usage().unwrap().rss_bytes as usize;
    let idle = resident();
    let mut client = Client::open(rig.collector.grpc().unwrap()).await;
    for number in 0..REQUESTS {
        let body = bodies::long_spans(1 + number, SPANS, 10_000);
        let answer = client.export(&[], Feed::whole(framed(0, &body))).await;
        assert_eq!(answer.code, 0, "request {number}");
    }
    rig::settled(&rig.collector, REQUESTS * SPANS).await;
    drop(client);
    let mut ticks = interval(Duration::from_millis(100));
    let going_back = async {
        while resident() > idle + 5 * MIB {
            ticks.tick().await;
        }
    };
    soon("memory of an idle collector", going_back).await;
    let peak = rig.collector.usage().unwrap().rss_peak_bytes as usize;
    assert!(peak > idle + 20 * MIB, "no load: {} MiB", peak / MIB);
}

/// Not to X-Ray, which takes half a megabyte of a trace.
#[tokio::test(flavor = "multi_thread")]
async fn a_trace_that_grows_without_end_leaves_in_parts_and_others_their_room() {
    const REQUESTS: u64 = 200;
    const SPANS: u64 = 30;
    const LIMIT_MIB: usize = 150;
    let rig = rig::otlp(|start| {
        nothing_by_chance(start)
            .set(format!("processors.memory_limiter.limit_mib={LIMIT_MIB}"))
            .set("processors.memory_limiter.spike_limit_mib=40")
            .set("processors.tail_sampling.decision_wait=10s")
    })
    .await;
    let mut client = Client::open(rig.collector.grpc().unwrap()).await;
    // 60 MB of one failed trace, where requests may have 110 in all, and others between them.
    for number in 0..REQUESTS {
        let giant = bodies::part_of_a_failed_trace(number * SPANS, SPANS, 10_000);
        for body in [giant, bodies::long_spans(1 + number, 1, 10)] {
            let answer = client.export(&[], Feed::whole(framed(0, &body))).await;
            assert_eq!(answer.code, 0, "request {number}");
        }
    }
    let metrics = rig.collector.metrics().await.unwrap();
    let early = "tracepipe_tail_sampling_traces_decided_early_total";
    assert!(metrics.sum_with(early, ("reason", "giant")) >= 1.0);
    rig::settled(&rig.collector, REQUESTS * (SPANS + 1)).await;
    // Kept from its first span to its last, and the others were decided as ever.
    let traces = rig.sink.traces();
    assert_eq!(traces.len(), 1);
    let spans = traces.into_values().next().unwrap();
    assert_eq!(spans.len() as u64, REQUESTS * SPANS);
    let peak = rig.collector.usage().unwrap().rss_peak_bytes as usize;
    assert!(peak < LIMIT_MIB * MIB, "{} MiB", peak / MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_times_too_much_is_refused_retryably_and_what_is_taken_is_kept() {
    const SENDERS: u64 = 12;
    const REQUESTS: u64 = 60;
    const SPANS: u64 = 100;
    // Long enough for a slow machine to offer more than fits before the first trace is decided.
    let site =
        Site::open_with(|start| nothing_by_chance(start).set("processors.tail_sampling.decision_wait=15s"))
            .await;
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let grpc = site.grpc();
        senders.spawn(async move {
            let mut client = Client::open(grpc).await;
            let mut taken = 0;
            for number in 0..REQUESTS {
                // A megabyte each, 720 in all.
                let body = bodies::long_spans(1 + sender * REQUESTS + number, SPANS, 10_000);
                let answer = client.export(&[], Feed::whole(framed(0, &body))).await;
                match (answer.code, answer.retry_seconds()) {
                    (0, None) => taken += 1,
                    (UNAVAILABLE, Some(1)) => {}
                    other => panic!("{other:?}"),
                }
            }
            taken
        });
    }
    let mut taken: u64 = 0;
    while let Some(sender) = soon("the end of a sender", senders.join_next()).await {
        taken += sender.unwrap();
    }
    assert!(
        (50..SENDERS * REQUESTS).contains(&taken),
        "{taken} of {} were taken: no overload, or nobody served",
        SENDERS * REQUESTS
    );
    taken_again(&site).await;
    let account = site.close(Honest::MayBeToldToRetry, taken * SPANS + 2).await;
    let refused = account.sum_with("tracepipe_requests_refused", "reason", |reason| {
        reason == "memory"
    });
    assert!(refused >= SENDERS * REQUESTS - taken, "{refused} and {taken}");
}

#[tokio::test(flavor = "multi_thread")]
async fn long_texts_in_small_json_requests_stay_under_the_limit() {
    let site = Site::open_with(nothing_by_chance).await;
    let zipped = bodies::gzip(&bodies::long_text_json(25 * MIB));
    let codes = eight_at_once(&site, "application/json", zipped).await;
    assert!(
        codes.iter().all(|code| [0, UNAVAILABLE].contains(code)),
        "{codes:?}"
    );
    taken_again(&site).await;
    let taken = codes.iter().filter(|code| **code == 0).count() as u64;
    site.close(Honest::MayBeToldToRetry, taken + 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_of_a_body_does_not_hold_the_buffer_it_came_in() {
    const CONNECTIONS: u32 = 150;
    const CALLS: u32 = 128;
    let site = Site::open().await;
    let headers = http2::export_headers();
    // Each byte comes with 16 KiB behind it that mean nothing: 300 MiB pass by, 19 kB of them belong to requests.
    let filler = vec![0; 16 * 1024];
    let mut burst = http2::preface();
    for call in 0..CALLS {
        let stream = call * 2 + 1;
        http2::frame(&mut burst, (Kind::Headers, END_HEADERS), stream, &headers);
        http2::frame(&mut burst, (Kind::Data, 0), stream, b"x");
        http2::frame(&mut burst, (Kind::Unknown, 0), 0, &filler);
    }
    let burst = Bytes::from(burst);
    let mut open = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let mut stream = soon("a connection", TcpStream::connect(site.grpc()))
            .await
            .unwrap();
        let burst = burst.clone();
        open.spawn(async move {
            stream.write_all(&burst).await.unwrap();
            stream
        });
    }
    let open = soon("all of it", open.join_all()).await;
    // Refused at once or given up in time: each was seen.
    let given_up = site.collector().wait_until("calls given up", LIMIT, |account| {
        account.sum("tracepipe_requests_refused") >= u64::from(CONNECTIONS * CALLS)
    });
    given_up.await.unwrap();
    drop(open);
    taken_again(&site).await;
    site.close(Honest::MayBeToldToRetry, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_spans_than_there_is_room_for_are_refused_retryably() {
    // Limit and spike in MiB: small, so that a load of a few seconds is too much.
    const LIMIT_MIB: u64 = 100;
    let rig = rig::otlp(|start| {
        start
            .set(format!("processors.memory_limiter.limit_mib={LIMIT_MIB}"))
            .set("processors.memory_limiter.spike_limit_mib=25")
            .set("processors.tail_sampling.decision_wait=5s")
    })
    .await;
    let grpc = rig.collector.grpc().unwrap();
    // 30,000 spans of 526 bytes a second for 5 s are 79 MB, and each waits for 5 s.
    const REQUESTS: u64 = 750;
    let plain = rig::plain(1, Mix::default(), 3000);
    let target = Target {
        connections: 4,
        ..Target::grpc(grpc)
    };
    let report = rig::send(target, &plain, REQUESTS).await;
    assert!(
        report.refused_retryable > 0,
        "all was taken: {:?}",
        report.answers
    );
    assert_eq!((report.refused, report.failed), (0, 0), "{:?}", report.answers);
    let account = rig::settled(&rig.collector, report.spans_accepted).await;
    assert_eq!(
        account.sum("tracepipe_requests_refused"),
        report.refused_retryable
    );
    let traces = rig.sink.traces();
    for truth in rig::truths(&plain, REQUESTS) {
        if truth.must_be_kept.is_some() && report.fully_accepted(&truth) {
            let arrived = traces.get(&truth.trace_id).map(Vec::len);
            assert_eq!(arrived, Some(truth.spans.len()), "{}", truth.trace_id);
        }
    }
    let peak = rig.collector.usage().unwrap().rss_peak_bytes / MIB as u64;
    assert!(peak < LIMIT_MIB, "{peak} MiB were resident");
    // Room again.
    let again = rig::send(Target::grpc(grpc), &rig::plain(2, Mix::default(), 1000), 1).await;
    assert!(again.all_accepted(), "{:?}", again.answers);
}

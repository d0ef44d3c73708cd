//! Wrong requests over gRPC, one at a time: the code, whether to try again, and that it is counted under that name.

use std::collections::BTreeMap;

use bytes::Bytes;
use tracepipe_e2e::spans;

use super::bodies::{claim, framed};
use super::http2::{self, After, Client, Feed};
use super::site::{Honest, Site};
use super::{HUGE_BYTES, MIB, bodies};

const INVALID_ARGUMENT: i32 = 3;
const RESOURCE_EXHAUSTED: i32 = 8;
const UNIMPLEMENTED: i32 = 12;

const GZIP: &[(&str, &str)] = &[("grpc-encoding", "gzip")];

/// A call that is turned away, and how.
struct Case {
    what: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: Bytes,
    code: i32,
    /// What it is counted under.
    reason: &'static str,
}

const EXPORT: &str = tracepipe_e2e::otlp_sink::EXPORT_PATH;

fn bad_body(
    what: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: impl Into<Bytes>,
) -> Case {
    Case {
        what,
        path: EXPORT,
        headers,
        body: body.into(),
        code: INVALID_ARGUMENT,
        reason: "not_otlp",
    }
}

fn bad_bodies() -> Vec<Case> {
    let good = bodies::good();
    let zipped = bodies::gzip(&good);
    let short = [&claim(0, 1000)[..], &good].concat();
    let mut cases = vec![
        bad_body("no message", &[], Bytes::new()),
        bad_body("half a prefix", &[], &b"\0\0\0"[..]),
        bad_body("a message that breaks off", &[], short),
        bad_body("two messages", &[], framed(0, &good).repeat(2)),
        bad_body("a flag that is none", &[], framed(2, &good)),
        bad_body("all bits of the flag", &[], framed(255, &good)),
        bad_body("compressed, but how", &[], framed(1, &zipped)),
        bad_body(
            "compressed with identity",
            &[("grpc-encoding", "identity")],
            framed(1, &zipped),
        ),
        bad_body("no gzip in gzip", GZIP, framed(1, &good)),
        bad_body(
            "half of a gzip stream",
            GZIP,
            framed(1, &zipped[..zipped.len() / 2]),
        ),
        bad_body("gzip without its flag", GZIP, framed(0, &zipped)),
        bad_body("noise", &[], framed(0, &bodies::noise(1, 10_000))),
        bad_body(
            "noise without a prefix of ours",
            &[],
            [&b"\0\0"[..], &bodies::noise(2, 10_000)].concat(),
        ),
        bad_body("JSON", &[], framed(0, &bodies::good_json())),
        bad_body("deep values", &[], framed(0, &bodies::nested(100_000))),
        bad_body("empty spans", &[], framed(0, &bodies::empty_spans(MIB))),
    ];
    for length in 1..good.len() {
        cases.push(bad_body(
            "the beginning of a request",
            &[],
            framed(0, &good[..length]),
        ));
    }
    cases
}

fn wrong_calls() -> Vec<Case> {
    let good = || framed(0, &bodies::good()).into();
    let to = |what, path, reason| Case {
        what,
        path,
        headers: &[],
        body: good(),
        code: UNIMPLEMENTED,
        reason,
    };
    let typed = |headers: &'static [(&str, &str)]| Case {
        headers,
        code: INVALID_ARGUMENT,
        ..to("a content type", EXPORT, "content_type")
    };
    let encoded = |headers: &'static [(&str, &str)]| Case {
        headers,
        ..to("an encoding", EXPORT, "encoding")
    };
    vec![
        to(
            "metrics",
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            "no_pipeline",
        ),
        to(
            "logs",
            "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            "no_pipeline",
        ),
        to("another service", "/grpc.health.v1.Health/Check", "not_found"),
        to(
            "another method",
            "/opentelemetry.proto.collector.trace.v1.TraceService/Import",
            "not_found",
        ),
        to("HTTP's path", "/v1/traces", "not_found"),
        typed(&[("content-type", "application/x-protobuf")]),
        typed(&[("content-type", "application/grpc+json")]),
        typed(&[("content-type", "application/grpc-web")]),
        encoded(&[("grpc-encoding", "snappy")]),
        encoded(&[("grpc-encoding", "deflate")]),
    ]
}

fn too_large() -> Vec<Case> {
    let large = |what, headers, body: Vec<u8>| Case {
        code: RESOURCE_EXHAUSTED,
        reason: "too_large",
        ..bad_body(what, headers, body)
    };
    vec![
        large("a claim of 4 GiB", &[], claim(0, u32::MAX).to_vec()),
        large("a claim of 4 GiB of gzip", GZIP, claim(1, u32::MAX).to_vec()),
        large("a bomb", GZIP, framed(1, &bodies::bomb(HUGE_BYTES + 10 * MIB))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_grpc_calls_are_told_what_is_wrong_and_counted() {
    let site = Site::open().await;
    let cases = [bad_bodies(), wrong_calls(), too_large()];
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    // One connection for all: a mistake costs the call, not the connection.
    let mut client = Client::open(site.grpc()).await;
    for case in cases.iter().flatten() {
        let what = case.what;
        let body = Feed::whole(case.body.clone());
        let answer = client.call(case.path, case.headers, body).await;
        assert_eq!(answer.code, case.code, "{what}: {answer:?}");
        let details = answer.details.as_ref().unwrap();
        assert_eq!(details.code, case.code, "{what}");
        assert!(!details.message.is_empty(), "{what}");
        // RESOURCE_EXHAUSTED without RetryInfo is for good (OTLP specification, "Failures"); so are the others.
        assert_eq!(answer.retry_seconds(), None, "{what}");
        if case.reason == "encoding" {
            assert_eq!(
                answer.header("grpc-accept-encoding"),
                Some("identity,gzip,zstd"),
                "{what}"
            );
        }
        if case.reason == "no_pipeline" {
            let exporter = format!("OTEL_{}_EXPORTER=none", what.to_ascii_uppercase());
            assert!(details.message.contains(&exporter), "{what}: {}", details.message);
        }
        *expected.entry(case.reason.to_owned()).or_default() += 1;
    }
    // Odd, but right.
    let good = bodies::good();
    for (headers, body) in [
        (&[][..], framed(0, b"")),
        (&[], framed(0, &good)),
        (GZIP, framed(0, &good)),
        (GZIP, framed(1, &bodies::gzip(&good))),
        (&[("content-type", "application/grpc+proto")], framed(0, &good)),
    ] {
        let answer = client.export(headers, Feed::whole(body)).await;
        assert_eq!((answer.code, &answer.message[..]), (0, &b""[..]), "{headers:?}");
    }
    let account = site.close(Honest::AllAccepted, 4).await;
    let mut counted = account.by_label("tracepipe_requests_malformed", "reason");
    counted.extend(account.by_label("tracepipe_requests_refused", "reason"));
    assert_eq!(counted, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_messages_over_the_bound_are_refused_while_they_are_sent() {
    let site = Site::open().await;
    let piece = Bytes::from(vec![0x0a; MIB]);
    let pieces = HUGE_BYTES / MIB;
    let honest_claim = claim(0, u32::try_from(HUGE_BYTES).unwrap());
    for (what, body) in [
        (
            "100 MiB",
            Feed::new(honest_claim.to_vec(), After::End).with_pieces(piece.clone(), pieces),
        ),
        (
            "100 MiB that are said to be none",
            Feed::new(claim(0, 0).to_vec(), After::End).with_pieces(piece, pieces),
        ),
        // Nothing after the prefix can make it good: no reason to wait for it.
        (
            "a claim of 4 GiB and no more",
            Feed::new(claim(0, u32::MAX).to_vec(), After::Silence),
        ),
    ] {
        let answer = http2::export(site.grpc(), &[], body).await;
        assert_eq!(
            (answer.code, answer.retry_seconds()),
            (RESOURCE_EXHAUSTED, None),
            "{what}: {answer:?}"
        );
    }
    let account = site.close(Honest::AllAccepted, 0).await;
    let malformed = account.by_label("tracepipe_requests_malformed", "reason");
    assert_eq!(malformed, BTreeMap::from([("too_large".to_owned(), 3)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_with_bad_ids_are_rejected_alone_over_grpc() {
    let site = Site::open().await;
    let body = framed(0, &spans::to_protobuf(&bodies::partly_bad()));
    let answer = http2::export(site.grpc(), &[], Feed::whole(body)).await;
    assert_eq!(answer.code, 0);
    // ExportTraceServiceResponse.partial_success = 1 begins with rejected_spans = 1: three.
    assert_eq!((answer.message[0], &answer.message[2..4]), (0x0a, &[0x08, 3][..]));
    let account = site.close(Honest::AllAccepted, 5).await;
    assert_eq!(account.sum("tracepipe_spans_rejected"), 3);
}

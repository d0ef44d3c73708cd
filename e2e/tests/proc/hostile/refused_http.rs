//! Wrong requests over HTTP, one at a time: what the sender is told, and that it is counted under that name.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use tracepipe_e2e::spans;

use super::http1::{Connection, head, post, request};
use super::site::{Honest, Site};
use super::{HUGE_BYTES, MIB, bodies};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// A request that is turned away, and how.
struct Case {
    what: &'static str,
    request: Vec<u8>,
    status: u16,
    /// Of the `google.rpc.Status` in the body.
    code: i32,
    /// The content type of the answer.
    form: &'static str,
    /// What it is counted under.
    reason: &'static str,
}

const INVALID_ARGUMENT: i32 = 3;
const RESOURCE_EXHAUSTED: i32 = 8;
const UNIMPLEMENTED: i32 = 12;

fn bad_body(what: &'static str, form: &'static str, body: &[u8]) -> Case {
    Case {
        what,
        request: post(form, body),
        status: 400,
        code: INVALID_ARGUMENT,
        form,
        reason: "not_otlp",
    }
}

fn bad_bodies() -> Vec<Case> {
    let (good, json) = (bodies::good(), bodies::good_json());
    let zipped = bodies::gzip(&good);
    let in_gzip = |what, body: &[u8]| Case {
        request: request(
            "POST /v1/traces",
            &["content-type: application/x-protobuf", "content-encoding: gzip"],
            body,
        ),
        ..bad_body(what, PROTOBUF, &[])
    };
    let mut cases = vec![
        bad_body("noise as protobuf", PROTOBUF, &bodies::noise(1, 10_000)),
        bad_body("noise as JSON", JSON, &bodies::noise(2, 10_000)),
        bad_body("JSON as protobuf", PROTOBUF, &json),
        bad_body("protobuf as JSON", JSON, &good),
        bad_body("nothing as JSON", JSON, b""),
        bad_body("half of a JSON text", JSON, &json[..json.len() / 2]),
        bad_body("an array", JSON, b"[]"),
        bad_body("deep values", PROTOBUF, &bodies::nested(100_000)),
        bad_body("deep values in JSON", JSON, &bodies::nested_json(10_000)),
        bad_body("brackets only", JSON, &b"[".repeat(MIB)),
        bad_body(
            "brackets in what is not known",
            JSON,
            &[&b"{\"x\":"[..], &b"[".repeat(MIB)].concat(),
        ),
        bad_body("empty spans", PROTOBUF, &bodies::empty_spans(MIB)),
        in_gzip("plain bytes called gzip", &good),
        in_gzip("half of a gzip stream", &zipped[..zipped.len() / 2]),
        in_gzip("gzip of noise", &bodies::gzip(&bodies::noise(3, 1000))),
        in_gzip("gzip, then noise", &[&zipped[..], b"noise"].concat()),
    ];
    for length in 1..good.len() {
        cases.push(bad_body("the beginning of a request", PROTOBUF, &good[..length]));
    }
    cases
}

fn wrong_types() -> Vec<Case> {
    let mut cases = Vec::new();
    for header in [
        "content-type: text/plain",
        "content-type: application/grpc",
        "content-type: application/x-protobuf-not",
        "content-type: \u{80}",
        "x-no-content-type: at all",
    ] {
        cases.push(Case {
            what: header,
            request: request("POST /v1/traces", &[header], &bodies::good()),
            status: 415,
            code: INVALID_ARGUMENT,
            form: JSON,
            reason: "content_type",
        });
    }
    for header in [
        "content-encoding: br",
        "content-encoding: deflate",
        "content-encoding: gzip, gzip",
    ] {
        cases.push(Case {
            what: header,
            request: request(
                "POST /v1/traces",
                &["content-type: application/x-protobuf", header],
                &bodies::good(),
            ),
            status: 415,
            code: UNIMPLEMENTED,
            form: PROTOBUF,
            reason: "encoding",
        });
    }
    cases
}

fn wrong_places() -> Vec<Case> {
    let at = |what, line, (status, reason)| Case {
        what,
        request: request(line, &["content-type: application/x-protobuf"], &bodies::good()),
        status,
        code: UNIMPLEMENTED,
        form: PROTOBUF,
        reason,
    };
    vec![
        at("metrics", "POST /v1/metrics", (404, "no_pipeline")),
        at("logs", "POST /v1/logs", (404, "no_pipeline")),
        at("another path", "POST /v2/traces", (404, "not_found")),
        at("the root", "POST /", (404, "not_found")),
        at("a way up", "POST /v1/../v1/traces", (404, "not_found")),
        at("GET", "GET /v1/traces", (405, "method")),
        at("PUT", "PUT /v1/traces", (405, "method")),
        at("DELETE", "DELETE /v1/traces", (405, "method")),
        at("a method of its own", "SPAN /v1/traces", (405, "method")),
    ]
}

fn too_large() -> Vec<Case> {
    let bomb = |what, form, zipped: &[u8]| Case {
        what,
        request: request(
            "POST /v1/traces",
            &[&format!("content-type: {form}"), "content-encoding: gzip"],
            zipped,
        ),
        status: 413,
        code: RESOURCE_EXHAUSTED,
        form,
        reason: "too_large",
    };
    let zeros = bodies::bomb(HUGE_BYTES + 10 * MIB);
    assert!(zeros.len() < MIB / 4, "no bomb: {} bytes", zeros.len());
    let announced = Case {
        request: head(
            "POST /v1/traces",
            &["content-type: application/json", "content-length: 104857600"],
        ),
        ..bomb("100 MiB announced and not sent", JSON, &[])
    };
    vec![
        bomb("a bomb", PROTOBUF, &zeros),
        bomb("a bomb in JSON", JSON, &zeros),
        announced,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_http_requests_are_told_what_is_wrong_and_counted() {
    let site = Site::open().await;
    let cases = [bad_bodies(), wrong_types(), wrong_places(), too_large()];
    let cases: Vec<Case> = cases.into_iter().flatten().collect();
    let mut accepted = 0;
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for case in &cases {
        let what = case.what;
        let mut connection = Connection::open(site.http()).await;
        let answer = connection.ask(&case.request).await;
        let status = answer.rpc_status();
        assert_eq!(
            (answer.status, answer.header("content-type"), status.code),
            (case.status, Some(case.form), case.code),
            "{what}: {status:?}"
        );
        assert!(!status.message.is_empty(), "{what}");
        // None of these is better the second time.
        assert_eq!(
            (answer.header("retry-after"), status.retry_seconds()),
            (None, None),
            "{what}"
        );
        if case.status == 405 {
            assert_eq!(answer.header("allow"), Some("POST"), "{what}");
        }
        if case.reason == "no_pipeline" {
            let exporter = format!("OTEL_{}_EXPORTER=none", what.to_ascii_uppercase());
            assert!(status.message.contains(&exporter), "{what}: {}", status.message);
        }
        *expected.entry(case.reason.to_owned()).or_default() += 1;
        if answer.says_close() {
            assert_eq!(connection.rest().await, b"", "{what}");
        } else {
            // A mistake costs the request, not the connection.
            let good = connection.ask(&post(PROTOBUF, &bodies::good())).await;
            assert_eq!(good.status, 200, "{what}, then a good request");
            accepted += 1;
        }
    }
    assert!(accepted > 100, "{accepted}");
    let account = site.close(Honest::AllAccepted, accepted).await;
    let mut counted = account.by_label("tracepipe_requests_malformed", "reason");
    counted.extend(account.by_label("tracepipe_requests_refused", "reason"));
    assert_eq!(counted, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_requests_that_are_odd_but_right_are_taken() {
    let site = Site::open().await;
    let good = bodies::good();
    let chunked = [
        &head(
            "POST /v1/traces",
            &[
                "content-type: Application/X-Protobuf ; charset=utf-8",
                "transfer-encoding: chunked",
            ],
        )[..],
        format!("{:x}\r\n", good.len()).as_bytes(),
        &good,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    let two_members = [
        bodies::gzip(&good[..good.len() / 2]),
        bodies::gzip(&good[good.len() / 2..]),
    ]
    .concat();
    let zipped = request(
        "POST /v1/traces",
        &["content-type: application/x-protobuf", "content-encoding: gzip"],
        &two_members,
    );
    let mut connection = Connection::open(site.http()).await;
    for (request, kind, body) in [
        (chunked, PROTOBUF, &b""[..]),
        (zipped, PROTOBUF, b""),
        // A request without spans is one.
        (post(PROTOBUF, b""), PROTOBUF, b""),
        (post(JSON, b"{}"), JSON, b"{}"),
        (post(JSON, &bodies::good_json()), JSON, b"{}"),
    ] {
        let answer = connection.ask(&request).await;
        let got = (answer.status, answer.header("content-type"), &answer.body[..]);
        assert_eq!(got, (200, Some(kind), body));
    }
    site.close(Honest::AllAccepted, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_with_bad_ids_are_rejected_alone_over_http() {
    #[derive(Clone, PartialEq, Message)]
    struct Response {
        #[prost(message, optional, tag = "1")]
        partial_success: Option<Partial>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Partial {
        #[prost(int64, tag = "1")]
        rejected_spans: i64,
        #[prost(string, tag = "2")]
        error_message: String,
    }

    let site = Site::open().await;
    let mut connection = Connection::open(site.http()).await;
    let spans = bodies::partly_bad();
    let answer = connection.ask(&post(PROTOBUF, &spans::to_protobuf(&spans))).await;
    assert_eq!(answer.status, 200);
    let partial = Response::decode(&answer.body[..])
        .unwrap()
        .partial_success
        .unwrap();
    assert_eq!(partial.rejected_spans, 3);
    assert!(!partial.error_message.is_empty());

    let answer = connection.ask(&post(JSON, &spans::to_json(&spans))).await;
    assert_eq!(answer.status, 200);
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    // A 64-bit integer is a string in protobuf's JSON.
    assert_eq!(json["partialSuccess"]["rejectedSpans"], "3");

    // All ten came in requests that were accepted; rejected are six of them.
    let account = site.close(Honest::AllAccepted, 10).await;
    let rejected: Vec<u64> = account
        .by_label("tracepipe_spans_rejected", "reason")
        .into_values()
        .collect();
    assert_eq!(
        (rejected.len(), rejected.iter().sum()),
        (2, 6_u64),
        "{rejected:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn http_bodies_of_100_mib_are_refused_and_their_connections_closed() {
    let site = Site::open().await;
    let kind = "content-type: application/x-protobuf";
    let length = format!("content-length: {HUGE_BYTES}");
    // Who asks first does not send for nothing.
    let mut polite = Connection::open(site.http()).await;
    polite
        .write(&head("POST /v1/traces", &[kind, &length, "expect: 100-continue"]))
        .await;
    let answer = polite.answer().await.unwrap();
    assert_eq!((answer.status, answer.continued), (413, false));

    let piece = Bytes::from(vec![0x0a; MIB]);
    let chunk = [&b"100000\r\n"[..], &piece, b"\r\n"].concat();
    let pieces = HUGE_BYTES / MIB;
    for (encoding, piece) in [
        (length.as_str(), &piece[..]),
        ("transfer-encoding: chunked", &chunk),
    ] {
        let mut connection = Connection::open(site.http()).await;
        connection
            .write(&head("POST /v1/traces", &[kind, encoding]))
            .await;
        let (mut connection, answer) = connection.feed(piece, pieces, None).await;
        let answer = answer.expect("an answer");
        let status = answer.rpc_status();
        assert_eq!(
            (answer.status, status.code),
            (413, RESOURCE_EXHAUSTED),
            "{encoding}"
        );
        assert_eq!(
            (status.retry_seconds(), answer.says_close()),
            (None, true),
            "{encoding}"
        );
        assert_eq!(connection.rest().await, b"", "{encoding}");
    }
    let account = site.close(Honest::AllAccepted, 0).await;
    assert_eq!(account.sum("tracepipe_requests_malformed"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_bodies_that_break_off_are_malformed() {
    let site = Site::open().await;
    let good = bodies::good();
    let kind = "content-type: application/x-protobuf";
    let whole = post(PROTOBUF, &good);
    let chunked = head("POST /v1/traces", &[kind, "transfer-encoding: chunked"]);
    let begun = [&chunked[..], b"40\r\n", &good[..10]].concat();
    let no_size = [&chunked[..], b"not hex\r\n", &good].concat();
    for (what, request) in [
        ("half of a body", &whole[..whole.len() - good.len() / 2]),
        ("half of a chunk", &begun[..]),
        ("a chunk of no size", &no_size[..]),
    ] {
        let mut connection = Connection::open(site.http()).await;
        connection.write(request).await;
        connection.finish().await;
        // Who still listens is answered.
        if let Some(answer) = connection.answer().await {
            assert_eq!((answer.status, answer.says_close()), (400, true), "{what}");
            assert_eq!(answer.rpc_status().code, INVALID_ARGUMENT, "{what}");
        }
        assert_eq!(connection.rest().await, b"", "{what}");
    }
    let account = site.close(Honest::AllAccepted, 0).await;
    let malformed = account.by_label("tracepipe_requests_malformed", "reason");
    assert_eq!(malformed, BTreeMap::from([("broken_off".to_owned(), 3)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_http_heads_are_refused_and_their_connections_closed() {
    let site = Site::open().await;
    let long = format!("x: {}", "x".repeat(HUGE_BYTES / 100));
    let many = "x: y\r\n".repeat(1000);
    for (what, head, status) in [
        ("a long header", head("POST /v1/traces", &[&long]), 431),
        ("many headers", head("POST /v1/traces", &[many.trim_end()]), 431),
        (
            "a long path",
            head(&format!("POST /{}", "x".repeat(200_000)), &[]),
            431,
        ),
        ("no version", b"POST /v1/traces\r\n\r\n".to_vec(), 400),
        (
            "a version to come",
            b"POST /v1/traces HTTP/7.1\r\n\r\n".to_vec(),
            400,
        ),
        (
            "no length",
            head("POST /v1/traces", &["content-length: some"]),
            400,
        ),
        (
            "a length below zero",
            head("POST /v1/traces", &["content-length: -1"]),
            400,
        ),
        (
            "a length beyond 64 bits",
            head("POST /v1/traces", &["content-length: 99999999999999999999"]),
            400,
        ),
        (
            "two lengths",
            head("POST /v1/traces", &["content-length: 1", "content-length: 2"]),
            400,
        ),
        (
            "an unknown transfer encoding",
            head("POST /v1/traces", &["transfer-encoding: spans"]),
            400,
        ),
        ("a broken header", head("POST /v1/traces", &["no colon"]), 400),
        ("a control character", head("POST /v1/\u{1}", &[]), 400),
    ] {
        let connection = Connection::open(site.http()).await;
        let (mut connection, answer) = connection.feed(&head, 1, None).await;
        assert_eq!(answer.map(|answer| answer.status), Some(status), "{what}");
        assert_eq!(connection.rest().await, b"", "{what}");
    }
    site.close(Honest::AllAccepted, 0).await;
}

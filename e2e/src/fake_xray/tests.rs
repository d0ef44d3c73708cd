use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};

use super::{Credentials, Failure, FakeXray, Options, Script, TestTls, When, sigv4};
use crate::clock;

fn key() -> Credentials {
    Credentials::new("AKIDTEST", "secret")
}

async fn fake() -> FakeXray {
    FakeXray::start(Options::new(key())).await.unwrap()
}

fn document(trace: u32, id: u64, fault: bool) -> String {
    json!({"name": "orders", "id": format!("{id:016x}"), "trace_id": format!("1-{trace:08x}-{:024x}", 1),
           "start_time": 1_795_236_000.0, "end_time": 1_795_236_001.0, "fault": fault})
    .to_string()
}

fn signed(url: &str, path: &str, body: &Value) -> Request<Full<Bytes>> {
    let body = body.to_string();
    let request = Request::post(format!("{url}{path}")).header("content-type", "application/json");
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    sigv4::sign(
        &mut parts,
        body.as_bytes(),
        &key(),
        ("us-east-1", "xray"),
        clock::wall(),
    )
    .unwrap();
    Request::from_parts(parts, Full::new(Bytes::from(body)))
}

/// Status, error type and body; `None` when the connection was closed.
async fn call(request: Request<Full<Bytes>>) -> Option<(StatusCode, String, Value)> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request).await.ok()?;
    let status = response.status();
    let kind = response
        .headers()
        .get("x-amzn-errortype")
        .map_or("", |kind| kind.to_str().unwrap())
        .to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Some((status, kind, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}

async fn put(fake: &FakeXray, documents: &[String]) -> Option<(StatusCode, String, Value)> {
    let body = json!({ "TraceSegmentDocuments": documents });
    call(signed(&fake.url(), "/TraceSegments", &body)).await
}

#[tokio::test]
async fn good_documents_are_stored_and_bad_ones_come_back_by_id() {
    let fake = fake().await;
    let bad = document(1, 2, false).replace("orders", "or,ders");
    let (status, _, answer) = put(&fake, &[document(1, 1, false), bad.clone()]).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["UnprocessedTraceSegments"][0]["Id"], "0000000000000002");
    assert_eq!(answer["UnprocessedTraceSegments"][0]["ErrorCode"], "InvalidName");
    let accepted = fake.accepted();
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0].text, document(1, 1, false));
    assert!(accepted[0].arrived_unix_nano > 0);
    assert_eq!(fake.refused()[0].text, bad);
}

#[tokio::test]
async fn a_call_with_51_documents_is_refused_whole() {
    let fake = fake().await;
    let documents: Vec<String> = (1..=51).map(|id| document(1, id, false)).collect();
    let (status, kind, answer) = put(&fake, &documents).await.unwrap();
    assert_eq!(
        (status, kind.as_str()),
        (StatusCode::BAD_REQUEST, "InvalidRequestException")
    );
    assert!(answer["message"].as_str().unwrap().contains("50"));
    assert_eq!(fake.counts().documents_accepted, 0);
    assert_eq!(put(&fake, &documents[..50]).await.unwrap().0, StatusCode::OK);
    assert_eq!(fake.counts().documents_accepted, 50);
}

#[tokio::test]
async fn an_unsigned_call_is_refused_as_aws_words_it() {
    let fake = fake().await;
    let request = Request::post(format!("{}/TraceSegments", fake.url()))
        .body(Full::default())
        .unwrap();
    let (status, kind, body) = call(request).await.unwrap();
    assert_eq!(
        (status, kind.as_str()),
        (StatusCode::FORBIDDEN, "MissingAuthenticationTokenException")
    );
    assert_eq!(body["__type"], "MissingAuthenticationTokenException");
    assert_eq!((fake.counts().requests, fake.counts().denied), (1, 1));
}

#[tokio::test]
async fn other_paths_are_refused() {
    let fake = fake().await;
    let status = |path: &'static str| {
        let request = signed(&fake.url(), path, &json!({}));
        async move { call(request).await.unwrap().0 }
    };
    assert_eq!(status("/GetSamplingRules").await, StatusCode::FORBIDDEN);
    assert_eq!(status("/v1/traces").await, StatusCode::NOT_FOUND);
    assert_eq!(status("/TelemetryRecords").await, StatusCode::BAD_REQUEST);
    let records = json!({"TelemetryRecords": [{"Timestamp": 1.5, "SegmentsSentCount": 3}]});
    let sent = call(signed(&fake.url(), "/TelemetryRecords", &records))
        .await
        .unwrap();
    assert_eq!(sent.0, StatusCode::OK);
    assert_eq!(fake.counts().telemetry_calls, 1);
}

#[tokio::test]
async fn a_script_fails_the_calls_it_names() {
    let fake = fake().await;
    let one = [document(1, 1, false)];
    let script = |failure| {
        fake.set_script(Some(Script {
            when: When::Next(1),
            failure,
        }))
    };
    script(Failure::Throttle);
    let (status, kind, _) = put(&fake, &one).await.unwrap();
    assert_eq!((status.as_u16(), kind.as_str()), (429, "ThrottledException"));
    script(Failure::Status(503));
    assert_eq!(put(&fake, &one).await.unwrap().0.as_u16(), 503);
    script(Failure::Close);
    assert!(put(&fake, &one).await.is_none());
    assert_eq!(fake.counts().documents_accepted, 0);
    script(Failure::LoseAnswer);
    assert!(put(&fake, &one).await.is_none());
    assert_eq!(put(&fake, &one).await.unwrap().0, StatusCode::OK);
    let counts = fake.counts();
    assert_eq!(
        (
            counts.documents_accepted,
            counts.documents_repeated,
            counts.scripted
        ),
        (2, 1, 4)
    );
}

#[tokio::test]
async fn a_hanging_call_gets_no_answer_and_leaves_others_alone() {
    let fake = fake().await;
    fake.set_script(Some(Script {
        when: When::Next(1),
        failure: Failure::Hang,
    }));
    let one = [document(1, 1, false)];
    tokio::select! {
        _ = put(&fake, &one) => panic!("the call was answered"),
        counts = fake.wait_until(|counts| counts.scripted == 1) => assert_eq!(counts.documents_accepted, 0),
    }
    assert_eq!(put(&fake, &one).await.unwrap().0, StatusCode::OK);
}

#[tokio::test]
async fn a_script_gives_back_part_of_a_call() {
    let fake = fake().await;
    let failure = Failure::Unprocessed {
        code: "InternalFailure".into(),
        documents: 1,
    };
    fake.set_script(Some(Script {
        when: When::Every(1),
        failure,
    }));
    let (_, _, answer) = put(&fake, &[document(1, 1, false), document(1, 2, false)])
        .await
        .unwrap();
    let unprocessed = json!([{"Id": "0000000000000001", "ErrorCode": "InternalFailure",
                              "Message": "the fake was told to fail"}]);
    assert_eq!(answer["UnprocessedTraceSegments"], unprocessed);
    assert_eq!(fake.accepted()[0].id, "0000000000000002");
}

#[tokio::test]
async fn a_swallowed_trace_is_answered_as_stored_and_gone() {
    let fake = fake().await;
    fake.swallow_one_fault();
    let documents = [
        document(1, 1, false),
        document(2, 2, false),
        document(1, 3, true),
        document(1, 4, false),
    ];
    let (status, _, answer) = put(&fake, &documents).await.unwrap();
    assert_eq!(
        (status, &answer["UnprocessedTraceSegments"]),
        (StatusCode::OK, &json!([]))
    );
    put(&fake, &[document(3, 5, true)]).await.unwrap();
    let kept: Vec<String> = fake.accepted().into_iter().map(|document| document.id).collect();
    assert_eq!(kept, ["0000000000000002", "0000000000000005"]);
    assert_eq!(
        fake.swallowed_trace().unwrap(),
        "1-00000001-000000000000000000000001"
    );
    assert_eq!(fake.counts().documents_swallowed, 3);
}

#[tokio::test]
async fn a_trace_has_a_size_budget() {
    let fake = fake().await;
    let padded = |id: u64| {
        let padding = "x".repeat(60 * 1024);
        document(1, id, false).replacen(
            '{',
            &format!(r#"{{"metadata":{{"default":{{"p":"{padding}"}}}},"#),
            1,
        )
    };
    for id in 1..=8 {
        put(&fake, &[padded(id)]).await.unwrap();
    }
    assert_eq!(fake.counts().documents_refused, 0);
    put(&fake, &[padded(9)]).await.unwrap();
    assert!(fake.refused()[0].message.contains("Trace Size Exceeded"));
}

#[tokio::test]
async fn other_processes_can_steer_it() {
    let fake = fake().await;
    let script = json!({"when": {"next": 1}, "failure": {"status": 500}});
    let url = format!("{}/_fake/failure", fake.url());
    let request = Request::post(url)
        .body(Full::new(Bytes::from(script.to_string())))
        .unwrap();
    assert_eq!(call(request).await.unwrap().0, StatusCode::OK);
    let one = [document(1, 1, false)];
    assert_eq!(put(&fake, &one).await.unwrap().0.as_u16(), 500);
    put(&fake, &one).await.unwrap();
    let get = |path: &str| {
        Request::get(format!("{}/_fake/{path}", fake.url()))
            .body(Full::default())
            .unwrap()
    };
    assert_eq!(call(get("counts")).await.unwrap().2["documents_accepted"], 1);
    assert_eq!(call(get("records")).await.unwrap().2["id"], "0000000000000001");
}

#[tokio::test]
async fn over_https_a_client_that_trusts_the_authority_is_served() {
    let tls = TestTls::new(&["xray.us-east-1.amazonaws.com"]).unwrap();
    let options = Options {
        tls: Some(tls.clone()),
        ..Options::new(key())
    };
    let fake = FakeXray::start(options).await.unwrap();
    for name in ["127.0.0.1", "xray.us-east-1.amazonaws.com"] {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(tls.ca_pem().as_bytes()).unwrap())
            .unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = tokio::net::TcpStream::connect(fake.address()).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let body = json!({ "TraceSegmentDocuments": [document(1, 1, false)] });
        let request = signed(&fake.url(), "/TraceSegments", &body);
        let answer = tokio::time::timeout(Duration::from_secs(10), sender.send_request(request)).await;
        assert_eq!(answer.unwrap().unwrap().status(), StatusCode::OK);
    }
}

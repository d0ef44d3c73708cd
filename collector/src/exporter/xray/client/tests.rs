//! What the SDK sends, by an HTTP client that answers in its place.

use std::sync::Mutex;

use aws_config::Region;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::{StaticConfiguration, WebIdentityTokenCredentialsProvider};
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_xray::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;

use super::*;

/// A request and what it is answered.
type Answer = Box<dyn Fn(&HttpRequest, u64) -> HttpResponse + Send + Sync>;

/// AWS, as an HTTP client of the SDK.
#[derive(Clone)]
struct Cloud {
    answer: Arc<Answer>,
    /// What came: URL and `X-Amz-Date`.
    seen: Arc<Mutex<Vec<(String, String)>>>,
}

impl std::fmt::Debug for Cloud {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cloud")
    }
}

impl HttpClient for Cloud {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Cloud {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let number = {
            let date = request.headers().get("x-amz-date").unwrap_or_default();
            let mut seen = self.seen.lock().unwrap();
            seen.push((request.uri().to_owned(), date.to_owned()));
            seen.len() as u64
        };
        HttpConnectorFuture::ready(Ok((self.answer)(&request, number)))
    }
}

impl Cloud {
    fn new(answer: impl Fn(&HttpRequest, u64) -> HttpResponse + Send + Sync + 'static) -> Self {
        Self {
            answer: Arc::new(Box::new(answer)),
            seen: Arc::default(),
        }
    }

    fn sdk(&self, region: &str) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(region.to_owned()))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            .http_client(self.clone())
            .build()
    }
}

fn response(status: u16, date: SystemTime, code: &'static str) -> HttpResponse {
    let status = StatusCode::try_from(status).unwrap();
    let mut response = HttpResponse::new(status, SdkBody::from("{}"));
    let date = DateTime::from(date).fmt(DateTimeFormat::HttpDate).unwrap();
    response.headers_mut().insert("date", date);
    if !code.is_empty() {
        response.headers_mut().insert("x-amzn-errortype", code);
    }
    response
}

fn settings() -> AwsXraySettings {
    super::super::tests::settings()
}

async fn put(client: &aws_sdk_xray::Client) -> bool {
    client
        .put_trace_segments()
        .trace_segment_documents("{}")
        .send()
        .await
        .is_ok()
}

fn here() -> SystemTime {
    SystemTime::UNIX_EPOCH + Clock::unix_now()
}

/// `20261122T034414Z`, within a few seconds.
fn is_about(said: &str, time: SystemTime) -> bool {
    (-3..=3_i64).any(|off| {
        let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let text = DateTime::from_secs(i64::try_from(seconds).unwrap() + off)
            .fmt(DateTimeFormat::DateTime)
            .unwrap();
        text.replace(['-', ':'], "") == said
    })
}

#[tokio::test]
async fn a_request_that_is_refused_for_its_time_is_taken_when_it_is_sent_again() {
    for (code, status) in [
        ("InvalidSignatureException", 403),
        ("RequestTimeTooSkewed", 403),
        ("RequestExpired", 400),
    ] {
        for is_ahead in [false, true] {
            let theirs = move || {
                let hour = Duration::from_secs(3600);
                if is_ahead { here() - hour } else { here() + hour }
            };
            let cloud = Cloud::new(move |request, _| {
                let date = request.headers().get("x-amz-date").unwrap();
                if is_about(date, theirs()) {
                    response(200, theirs(), "")
                } else {
                    response(status, theirs(), code)
                }
            });
            let config = assemble(&settings(), &cloud.sdk("eu-west-1"), Clock::start()).unwrap();
            let client = aws_sdk_xray::Client::from_conf(config);
            let first = client
                .put_trace_segments()
                .trace_segment_documents("{}")
                .send()
                .await;
            let failure = super::super::failure::classify(&first.unwrap_err());
            assert_eq!(failure.reason(), "signature", "{code}");
            for _ in 0..3 {
                assert!(put(&client).await, "{code}");
            }
            let seen = cloud.seen.lock().unwrap();
            assert!(is_about(&seen[0].1, here()));
            assert!(seen[1..].iter().all(|(_, date)| is_about(date, theirs())));
        }
    }
}

/// STS takes one token and no other.
fn sts(request: &HttpRequest, token: &str, end: SystemTime) -> HttpResponse {
    let body = std::str::from_utf8(request.body().bytes().unwrap()).unwrap();
    let is_right = body
        .split('&')
        .any(|pair| pair == format!("WebIdentityToken={token}"));
    let (status, body) = if is_right {
        let end = DateTime::from(end).fmt(DateTimeFormat::DateTime).unwrap();
        let credentials = format!(
            "<Credentials><AccessKeyId>{token}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>t</SessionToken><Expiration>{end}</Expiration></Credentials>"
        );
        let result = "AssumeRoleWithWebIdentityResult";
        (
            200,
            format!(
                "<AssumeRoleWithWebIdentityResponse><{result}>{credentials}</{result}></AssumeRoleWithWebIdentityResponse>"
            ),
        )
    } else {
        let code = "<Code>InvalidIdentityToken</Code><Message>no token</Message>";
        (
            400,
            format!("<ErrorResponse><Error>{code}</Error></ErrorResponse>"),
        )
    };
    HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body))
}

#[tokio::test(start_paused = true)]
async fn a_token_file_may_come_late_be_cut_off_and_change() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let clock = Clock::start();
    let aws = Arc::new(AwsClock::new(clock));
    let right: Arc<Mutex<&str>> = Arc::new(Mutex::new("first"));
    let (of_sts, time) = (Arc::clone(&right), Arc::clone(&aws));
    let hour = Duration::from_secs(3600);
    let cloud = Cloud::new(move |request, _| sts(request, *of_sts.lock().unwrap(), time.now() + hour));
    let config = ProviderConfig::without_region()
        .with_region(Some(Region::new("eu-west-1")))
        .with_http_client(cloud.clone());
    let provider = WebIdentityTokenCredentialsProvider::builder()
        .configure(&config)
        .static_configuration(StaticConfiguration {
            web_identity_token_file: file.clone(),
            role_arn: "arn:aws:iam::111122223333:role/r".into(),
            session_name: "s".into(),
        })
        .build();
    let credentials = EarlyCredentials::new(SharedCredentialsProvider::new(provider), clock, aws);
    let key = async || {
        let answer = credentials.provide_credentials().await;
        answer
            .ok()
            .map(|credentials| credentials.access_key_id().to_owned())
    };
    assert_eq!(key().await, None, "missing");
    for cut_off in ["", "fir"] {
        std::fs::write(&file, cut_off).unwrap();
        assert_eq!(key().await, None, "{cut_off}");
    }
    std::fs::write(&file, "first").unwrap();
    assert_eq!(key().await.unwrap(), "first");
    // Rotated, and cut off for a moment just when it is read again: nobody notices.
    *right.lock().unwrap() = "second";
    std::fs::write(&file, "sec").unwrap();
    tokio::time::sleep(Duration::from_secs(56 * 60)).await;
    assert_eq!(key().await.unwrap(), "first");
    std::fs::write(&file, "second").unwrap();
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!(key().await.unwrap(), "second");
}

//! What the SDK sends, by an HTTP client that answers in its place.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_config::Region;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::{StaticConfiguration, WebIdentityTokenCredentialsProvider};
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_xray::config::RuntimeComponents;
use aws_sdk_xray::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_xray::primitives::{DateTime, DateTimeFormat};
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use std::time::SystemTime;
use tracepipe_config::AssumedRole;

use super::*;

/// A request and what it is answered.
type Answer = Box<dyn Fn(&HttpRequest, u64) -> Result<HttpResponse, ConnectorError> + Send + Sync>;

/// AWS, as an HTTP client of the SDK.
#[derive(Clone)]
pub(in crate::exporter::xray) struct Cloud {
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
        HttpConnectorFuture::ready((self.answer)(&request, number))
    }
}

impl Cloud {
    fn new(answer: impl Fn(&HttpRequest, u64) -> HttpResponse + Send + Sync + 'static) -> Self {
        Self::that_may_fail(move |request, number| Ok(answer(request, number)))
    }

    pub(in crate::exporter::xray) fn that_may_fail(
        answer: impl Fn(&HttpRequest, u64) -> Result<HttpResponse, ConnectorError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            answer: Arc::new(Box::new(answer)),
            seen: Arc::default(),
        }
    }

    pub(in crate::exporter::xray) fn sdk(&self, region: &str) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(region.to_owned()))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
            .time_source(SharedTimeSource::new(SystemTimeSource::new()))
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            .http_client(self.clone())
            .build()
    }
}

pub(in crate::exporter::xray) fn response(status: u16, date: SystemTime, code: &'static str) -> HttpResponse {
    let status = StatusCode::try_from(status).unwrap();
    let mut response = HttpResponse::new(status, SdkBody::from("{}"));
    let date = DateTime::from(date).fmt(DateTimeFormat::HttpDate).unwrap();
    response.headers_mut().insert("date", date);
    if !code.is_empty() {
        response.headers_mut().insert("x-amzn-errortype", code);
    }
    response
}

pub(in crate::exporter::xray) fn settings() -> AwsXraySettings {
    super::super::tests::settings()
}

/// A client in an environment without variables.
pub(in crate::exporter::xray) async fn client(
    settings: &AwsXraySettings,
    sdk: &SdkConfig,
) -> anyhow::Result<aws_sdk_xray::Client> {
    let nowhere = SharedHttpConnector::new(Cloud::new(|_, _| response(500, here(), "")));
    let clients = assemble(settings, sdk, nowhere, Clock::start(), &|_| None).await?;
    Ok(aws_sdk_xray::Client::from_conf(clients.sdk))
}

/// What sends documents to a cloud, in an environment without variables.
async fn calls(settings: &AwsXraySettings, cloud: &Cloud, sdk: &SdkConfig) -> Calls {
    let connector = SharedHttpConnector::new(cloud.clone());
    let clients = assemble(settings, sdk, connector, Clock::start(), &|_| None).await;
    clients.unwrap().calls
}

async fn put(calls: &Calls) -> bool {
    calls.put(BODY).await.is_ok()
}

const BODY: Bytes = Bytes::from_static(br#"{"TraceSegmentDocuments":["{}"]}"#);

pub(in crate::exporter::xray) fn here() -> SystemTime {
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
            let calls = calls(&settings(), &cloud, &cloud.sdk("eu-west-1")).await;
            let first = calls.put(BODY).await;
            let failure = super::super::failure::classify(&first.unwrap_err());
            assert_eq!(failure.reason(), "signature", "{code}");
            for _ in 0..3 {
                assert!(put(&calls).await, "{code}");
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
    // Whatever chance makes of the pauses, some time before the old ones end.
    tokio::time::sleep(Duration::from_secs(3 * 60)).await;
    assert_eq!(key().await.unwrap(), "second");
}

#[tokio::test]
async fn credentials_that_aws_does_not_know_are_fetched_anew() {
    #[derive(Debug)]
    struct Numbered(AtomicU32);
    impl ProvideCredentials for Numbered {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.0.fetch_add(1, Ordering::Relaxed);
            let credentials = Credentials::new(format!("AKID{number}"), "s", None, None, "test");
            future::ProvideCredentials::ready(Ok(credentials))
        }
    }
    for (status, code) in [
        (403, "ExpiredTokenException"),
        (400, "UnrecognizedClientException:http://x/"),
    ] {
        let cloud = Cloud::new(move |request, _| {
            let is_first = request.headers().get("authorization").unwrap().contains("AKID0");
            let (status, code) = if is_first { (status, code) } else { (200, "") };
            response(status, here(), code)
        });
        let sdk = cloud.sdk("eu-west-1").into_builder();
        let source = SharedCredentialsProvider::new(Numbered(AtomicU32::new(0)));
        let sdk = sdk.credentials_provider(source).build();
        let calls = calls(&settings(), &cloud, &sdk).await;
        assert!(!put(&calls).await);
        while !put(&calls).await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Region, FIPS, dual stack, a named endpoint, and what is called; none: it does not start.
type Row = (
    &'static str,
    bool,
    bool,
    Option<&'static str>,
    Option<&'static str>,
);

const ADDRESSES: &[Row] = &[
    (
        "us-east-1",
        false,
        false,
        None,
        Some("xray.us-east-1.amazonaws.com"),
    ),
    (
        "us-east-1",
        true,
        false,
        None,
        Some("xray-fips.us-east-1.amazonaws.com"),
    ),
    ("us-east-1", false, true, None, Some("xray.us-east-1.api.aws")),
    ("us-east-1", true, true, None, Some("xray-fips.us-east-1.api.aws")),
    (
        "us-east-2",
        true,
        false,
        None,
        Some("xray-fips.us-east-2.amazonaws.com"),
    ),
    (
        "us-west-1",
        true,
        false,
        None,
        Some("xray-fips.us-west-1.amazonaws.com"),
    ),
    (
        "us-west-2",
        true,
        false,
        None,
        Some("xray-fips.us-west-2.amazonaws.com"),
    ),
    (
        "us-gov-west-1",
        false,
        false,
        None,
        Some("xray.us-gov-west-1.amazonaws.com"),
    ),
    (
        "us-gov-west-1",
        true,
        false,
        None,
        Some("xray-fips.us-gov-west-1.amazonaws.com"),
    ),
    (
        "us-gov-east-1",
        true,
        false,
        None,
        Some("xray-fips.us-gov-east-1.amazonaws.com"),
    ),
    (
        "us-gov-east-1",
        false,
        true,
        None,
        Some("xray.us-gov-east-1.api.aws"),
    ),
    (
        "eu-west-1",
        false,
        false,
        None,
        Some("xray.eu-west-1.amazonaws.com"),
    ),
    ("eu-west-1", false, true, None, Some("xray.eu-west-1.api.aws")),
    ("eu-west-1", true, false, None, None),
    ("eu-west-1", true, true, None, None),
    ("ca-central-1", true, false, None, None),
    (
        "cn-north-1",
        false,
        false,
        None,
        Some("xray.cn-north-1.amazonaws.com.cn"),
    ),
    (
        "cn-northwest-1",
        false,
        true,
        None,
        Some("xray.cn-northwest-1.api.amazonwebservices.com.cn"),
    ),
    ("cn-north-1", true, false, None, None),
    (
        "us-iso-east-1",
        false,
        false,
        None,
        Some("xray.us-iso-east-1.c2s.ic.gov"),
    ),
    (
        "us-isob-east-1",
        false,
        false,
        None,
        Some("xray.us-isob-east-1.sc2s.sgov.gov"),
    ),
    (
        "eusc-de-east-1",
        false,
        false,
        None,
        Some("xray.eusc-de-east-1.amazonaws.eu"),
    ),
    // One that is newer than this SDK.
    (
        "eu-north-9",
        false,
        false,
        None,
        Some("xray.eu-north-9.amazonaws.com"),
    ),
    (
        "eu-west-1",
        false,
        false,
        Some("vpce-1-x.xray.eu-west-1.vpce.amazonaws.com"),
        Some("vpce-1-x.xray.eu-west-1.vpce.amazonaws.com"),
    ),
    (
        "eu-west-1",
        true,
        true,
        Some("xray.example"),
        Some("xray.example"),
    ),
];

#[tokio::test]
async fn the_address_is_that_of_the_region_and_of_the_kind_that_is_asked_for() {
    for &(region, fips, dual_stack, endpoint, called) in ADDRESSES {
        for by_variable in [false, true] {
            let row = format!("{region} {fips} {dual_stack} {endpoint:?}");
            let cloud = Cloud::new(|_, _| response(200, here(), ""));
            let sdk = cloud.sdk(region).into_builder();
            let sdk = sdk.use_fips(fips).use_dual_stack(dual_stack).build();
            let url = endpoint.map(|host| format!("https://{host}"));
            let settings = AwsXraySettings {
                endpoint: url.clone().filter(|_| !by_variable),
                ..settings()
            };
            let variable = |name: &str| {
                url.clone()
                    .filter(|_| name == "AWS_ENDPOINT_URL_XRAY" && by_variable)
            };
            let connector = SharedHttpConnector::new(cloud.clone());
            let clients = assemble(&settings, &sdk, connector, Clock::start(), &variable).await;
            let Some(called) = called else {
                let message = clients.err().unwrap().to_string();
                assert!(
                    message.contains(&format!("no FIPS endpoint in {region}")),
                    "{row}: {message}"
                );
                continue;
            };
            let clients = clients.unwrap();
            assert!(put(&clients.calls).await, "{row}");
            // What the SDK itself sends goes to the same place.
            let client = aws_sdk_xray::Client::from_conf(clients.sdk);
            let sent = client
                .put_telemetry_records()
                .set_telemetry_records(Some(Vec::new()));
            sent.send().await.unwrap();
            let seen = cloud.seen.lock().unwrap();
            assert_eq!(seen[0].0, format!("https://{called}/TraceSegments"), "{row}");
            assert_eq!(seen[1].0, format!("https://{called}/TelemetryRecords"), "{row}");
        }
    }
}

#[tokio::test]
async fn a_role_is_assumed_with_the_credentials_that_the_sdk_finds() {
    let cloud = Cloud::new(|request, _| {
        let signed_by = request.headers().get("authorization").unwrap().to_owned();
        if !request.uri().starts_with("https://sts.") {
            assert!(signed_by.contains("Credential=ASSUMED/"), "{signed_by}");
            assert!(request.uri().starts_with("https://xray.example/"));
            return response(200, here(), "");
        }
        // STS is asked at its own address, whatever X-Ray's is.
        assert_eq!(request.uri(), "https://sts.eu-west-1.amazonaws.com/");
        assert!(signed_by.contains("Credential=ANOTREAL/"), "{signed_by}");
        let body = std::str::from_utf8(request.body().bytes().unwrap()).unwrap();
        for part in [
            "Action=AssumeRole&",
            "RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fr&",
            "ExternalId=e%3Ax",
            "RoleSessionName=tracepipe-collector",
        ] {
            assert!(body.contains(part), "{body}");
        }
        let end = DateTime::from(here() + Duration::from_secs(3600));
        let end = end.fmt(DateTimeFormat::DateTime).unwrap();
        let credentials = format!(
            "<Credentials><AccessKeyId>ASSUMED</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>t</SessionToken><Expiration>{end}</Expiration></Credentials>"
        );
        let body = format!(
            "<AssumeRoleResponse><AssumeRoleResult>{credentials}</AssumeRoleResult></AssumeRoleResponse>"
        );
        HttpResponse::new(StatusCode::try_from(200).unwrap(), SdkBody::from(body))
    });
    let settings = AwsXraySettings {
        endpoint: Some("https://xray.example".into()),
        role: Some(AssumedRole {
            arn: "arn:aws:iam::111122223333:role/r".into(),
            external_id: Some("e:x".into()),
            session_name: None,
            sts_region: None,
        }),
        ..settings()
    };
    let calls = calls(&settings, &cloud, &cloud.sdk("eu-west-1")).await;
    for _ in 0..3 {
        assert!(put(&calls).await);
    }
    assert_eq!(cloud.seen.lock().unwrap().len(), 4, "one to STS");
}

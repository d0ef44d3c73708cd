//! Who signs: with which region, and with whose credentials.

use std::sync::Mutex;

use aws_config::Region;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use tracepipe_config::AssumedRole;

use super::*;

/// AWS's STS, as an HTTP client of the SDK: gives a role's credentials to everybody, and remembers who asked where.
#[derive(Debug, Clone, Default)]
struct Sts {
    /// URL, authorization and body.
    seen: Arc<Mutex<Vec<(String, String, String)>>>,
}

impl HttpClient for Sts {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Sts {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let said = |name: &str| request.headers().get(name).unwrap_or_default().to_owned();
        let body = String::from_utf8(request.body().bytes().unwrap().to_vec()).unwrap();
        let seen = (request.uri().to_owned(), said("authorization"), body);
        self.seen.lock().unwrap().push(seen);
        let body = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASSUMED</AccessKeyId>\
             <SecretAccessKey>s</SecretAccessKey><SessionToken>of-the-role</SessionToken>\
             <Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
        let ok = StatusCode::try_from(200).unwrap();
        HttpConnectorFuture::ready(Ok(HttpResponse::new(ok, SdkBody::from(body))))
    }
}

/// What a request is signed with, and what STS was asked.
async fn sign(auth: &SigV4Settings) -> (http::Request<()>, Vec<(String, String, String)>) {
    let sts = Sts::default();
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
        .time_source(SharedTimeSource::new(SystemTimeSource::new()))
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .http_client(sts.clone())
        .build();
    let signer = assemble(auth, "eu-west-1".into(), &sdk, Clock::start())
        .await
        .unwrap();
    let mut request = http::Request::new(());
    *request.uri_mut() = settings().endpoint.parse().unwrap();
    signer.sign(&mut request, b"body").await.unwrap();
    let seen = sts.seen.lock().unwrap().clone();
    (request, seen)
}

fn auth(assume_role: Option<AssumedRole>) -> SigV4Settings {
    SigV4Settings {
        region: Some("eu-west-1".into()),
        service: "aps".into(),
        assume_role,
    }
}

#[tokio::test]
async fn requests_are_signed_with_what_the_collector_finds() {
    let (request, sts) = sign(&auth(None)).await;
    let authorization = request.headers()["authorization"].to_str().unwrap();
    assert!(authorization.contains("Credential=ANOTREAL/"), "{authorization}");
    assert!(
        authorization.contains("/eu-west-1/aps/aws4_request"),
        "{authorization}"
    );
    assert!(sts.is_empty());
}

#[tokio::test]
async fn a_role_is_assumed_by_its_own_name_at_the_sts_of_its_region() {
    let role = AssumedRole {
        arn: "arn:aws:iam::111122223333:role/r".into(),
        external_id: Some("e:x".into()),
        session_name: Some("team-blue".into()),
        sts_region: Some("us-east-2".into()),
    };
    let (request, sts) = sign(&auth(Some(role.clone()))).await;
    let authorization = request.headers()["authorization"].to_str().unwrap();
    assert!(authorization.contains("Credential=ASSUMED/"), "{authorization}");
    assert!(
        authorization.contains("/eu-west-1/aps/aws4_request"),
        "{authorization}"
    );
    assert_eq!(request.headers()["x-amz-security-token"], "of-the-role");
    let [(url, signed_by, body)] = &sts[..] else {
        panic!("{sts:?}");
    };
    assert_eq!(url, "https://sts.us-east-2.amazonaws.com/");
    assert!(signed_by.contains("Credential=ANOTREAL/"), "{signed_by}");
    for part in [
        "Action=AssumeRole&",
        "RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fr&",
        "ExternalId=e%3Ax",
        "RoleSessionName=team-blue",
    ] {
        assert!(body.contains(part), "{body}");
    }
    let plain = AssumedRole {
        session_name: None,
        sts_region: None,
        ..role
    };
    let (_, sts) = sign(&auth(Some(plain))).await;
    assert_eq!(sts[0].0, "https://sts.eu-west-1.amazonaws.com/");
    assert!(
        sts[0].2.contains("RoleSessionName=tracepipe-collector"),
        "{sts:?}"
    );
}

#[tokio::test]
async fn without_a_region_the_collector_does_not_start() {
    let auth = SigV4Settings {
        region: None,
        ..auth(None)
    };
    let error = signer(&auth, Clock::start(), &|_| None).await.err().unwrap();
    assert!(
        error.to_string().starts_with("extensions.sigv4auth.region: "),
        "{error}"
    );
}

//! What becomes of X-Ray's answers.

use std::sync::Arc;

use aws_sdk_xray::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_xray::error::ProvideErrorMetadata;
use aws_smithy_runtime_api::client::http::HttpConnectorFuture;
use aws_smithy_runtime_api::http::StatusCode;

use super::super::failure::{Failure, classify};
use super::*;
use crate::clock::Clock;
use crate::exporter::aws::credentials::EarlyCredentials;
use crate::exporter::aws::sign::Scope;
use crate::exporter::aws::skew::AwsClock;

/// Answers each request the same, and looks at what came.
#[derive(Debug)]
struct Cloud {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
}

impl HttpConnector for Cloud {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let header = |name| request.headers().get(name).unwrap_or_default();
        assert_eq!(request.method(), "POST");
        assert_eq!(request.uri(), "https://vpce-1.xray.example/prefix/TraceSegments");
        assert_eq!(header("content-type"), "application/json");
        assert!(header("authorization").contains("/eu-west-1/xray/aws4_request"));
        let mut response = HttpResponse::new(
            StatusCode::try_from(self.status).unwrap(),
            SdkBody::from(self.body.clone()),
        );
        for (name, value) in &self.headers {
            response.headers_mut().insert(*name, *value);
        }
        HttpConnectorFuture::ready(Ok(response))
    }
}

async fn put(
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: impl Into<Vec<u8>>,
) -> Result<Vec<UnprocessedTraceSegment>, CallError> {
    let clock = Clock::start();
    let aws = Arc::new(AwsClock::new(clock));
    let source = SharedCredentialsProvider::new(Credentials::for_tests());
    let credentials = EarlyCredentials::new(source, clock, Arc::clone(&aws));
    let scope = Scope {
        region: "eu-west-1".into(),
        service: "xray".into(),
    };
    let cloud = Cloud {
        status,
        headers: headers.to_vec(),
        body: body.into(),
    };
    let calls = Calls::new(
        SharedHttpConnector::new(cloud),
        "https://vpce-1.xray.example/prefix/",
        Signer::new(credentials, aws, scope),
        Duration::from_secs(30),
    );
    calls.unwrap().put(Bytes::from_static(b"{}")).await
}

#[tokio::test]
async fn an_error_is_named_by_a_header_or_by_the_body() {
    let long = "ThrottledException:http://internal.amazon.com/coral/com.amazonaws.xray/";
    for (headers, body) in [
        (&[("x-amzn-errortype", "ThrottledException")][..], "{}"),
        (&[("x-amzn-errortype", long)], "not JSON"),
        (
            &[],
            r#"{"__type": "com.amazonaws.xray#ThrottledException", "message": "slower"}"#,
        ),
        (&[], r#"{"code": "ThrottledException"}"#),
    ] {
        let error = put(400, headers, body).await.unwrap_err();
        assert_eq!(classify(&error), Failure::Throttled, "{headers:?} {body}");
        assert_eq!(
            error.as_service_error().unwrap().code(),
            Some("ThrottledException")
        );
    }
    // A proxy's has no name.
    let error = put(404, &[], "<html>no</html>").await.unwrap_err();
    assert_eq!(classify(&error), Failure::Retryable("not_x_ray"));
    assert_eq!(error.as_service_error().unwrap().code(), None);
}

#[tokio::test]
async fn the_request_id_is_there_for_the_log() {
    let error = put(400, &[("x-amzn-requestid", "1-2-3")], "{}")
        .await
        .unwrap_err();
    let service = error.as_service_error().unwrap();
    assert_eq!(service.meta().extra("aws_request_id"), Some("1-2-3"));
}

#[tokio::test]
async fn what_x_ray_did_not_take_is_in_the_answer() {
    let body = r#"{"UnprocessedTraceSegments": [
        {"Id": "00f067aa0ba902b7", "ErrorCode": "ThrottledException", "Message": "m"}, {"ErrorCode": "Other"}
    ]}"#;
    let unprocessed = put(200, &[], body).await.unwrap();
    assert_eq!(unprocessed[0].id(), Some("00f067aa0ba902b7"));
    assert_eq!(unprocessed[0].error_code(), Some("ThrottledException"));
    assert_eq!(unprocessed[1].id(), None);
    for body in [
        "{}",
        r#"{"UnprocessedTraceSegments": []}"#,
        r#"{"UnprocessedTraceSegments": null}"#,
    ] {
        assert_eq!(put(200, &[], body).await.unwrap(), [], "{body}");
    }
}

#[tokio::test]
async fn an_answer_that_is_none_or_has_no_end_is_a_fault_of_the_servers() {
    let endless = vec![b' '; ANSWER_BYTES_MAX + 1];
    for body in [b"".to_vec(), b"{\"Unproc".to_vec(), b"[1]".to_vec(), endless] {
        let error = put(200, &[], body).await.unwrap_err();
        assert_eq!(classify(&error), Failure::Retryable("server_error"));
    }
}

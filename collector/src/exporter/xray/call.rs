//! PutTraceSegments by the shortest way: signed here, and sent by the connector of the SDK's.
//!
//! What the SDK's client does for each call (endpoint, interceptors, layers of configuration) costs about as much as a
//! dozen documents, more on a quiet node, and its serializer would escape each document once more. What comes back is what
//! the client would have made of it, so that nobody else needs to know.

use std::time::Duration;

use anyhow::Context;
use aws_sdk_xray::error::{BoxError, ErrorMetadata, SdkError};
use aws_sdk_xray::operation::put_trace_segments::PutTraceSegmentsError;
use aws_sdk_xray::types::UnprocessedTraceSegment;
use aws_smithy_runtime_api::client::connection::CaptureSmithyConnection;
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Uri, header};
use http_body_util::BodyExt;
use serde::Deserialize;

use crate::exporter::aws::codes::is_of_credentials;
use crate::exporter::aws::sign::Signer;
use crate::exporter::aws::skew::date;

/// Path of the operation (X-Ray API reference, PutTraceSegments).
const PATH: &str = "/TraceSegments";

/// Longest answer that is read: fifty documents that were not taken, with a kilobyte of words each, have a tenth of it.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// As of the SDK's client.
pub(super) type CallError = SdkError<PutTraceSegmentsError>;

/// The way to X-Ray.
pub(super) struct Calls {
    connector: SharedHttpConnector,
    uri: Uri,
    headers: HeaderMap,
    signer: Signer,
    timeout: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawAnswer {
    #[serde(default)]
    unprocessed_trace_segments: Option<Vec<RawUnprocessed>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawUnprocessed {
    id: Option<String>,
    error_code: Option<String>,
}

/// An error may name itself in the body as well.
#[derive(Deserialize, Default)]
struct RawError {
    #[serde(alias = "code")]
    __type: Option<String>,
}

// === impl Calls ===

impl Calls {
    /// To the endpoint, a URL without the operation's path. One attempt may take `timeout`.
    ///
    /// # Errors
    /// An endpoint that is no URL.
    pub(super) fn new(
        connector: SharedHttpConnector,
        endpoint: &str,
        signer: Signer,
        timeout: Duration,
    ) -> anyhow::Result<Self> {
        let url = format!("{}{PATH}", endpoint.trim_end_matches('/'));
        let uri = url
            .parse()
            .with_context(|| format!("exporters.awsxray.endpoint: {endpoint:?}"))?;
        let agent = concat!("tracepipe-collector/", env!("CARGO_PKG_VERSION"));
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (header::USER_AGENT, HeaderValue::from_static(agent)),
        ];
        Ok(Self {
            connector,
            uri,
            headers: headers.into_iter().collect(),
            signer,
            timeout,
        })
    }

    /// Sends a body; gives the documents of it that X-Ray did not take.
    ///
    /// # Errors
    /// Those of the SDK's client.
    pub(super) async fn put(&self, body: Bytes) -> Result<Vec<UnprocessedTraceSegment>, CallError> {
        let connection = CaptureSmithyConnection::new();
        let attempt = self.attempt(body, connection.clone());
        match tokio::time::timeout(self.timeout, attempt).await {
            Ok(outcome) => outcome,
            Err(elapsed) => {
                // A connection that others share may be dead without telling.
                if let Some(connection) = connection.get() {
                    connection.poison();
                }
                Err(SdkError::timeout_error(elapsed))
            }
        }
    }

    async fn attempt(
        &self,
        body: Bytes,
        connection: CaptureSmithyConnection,
    ) -> Result<Vec<UnprocessedTraceSegment>, CallError> {
        let mut request = http::Request::new(());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let signed = self.signer.sign(&mut request, &body).await.map_err(|why| {
            // As the SDK tells of credentials that cannot be fetched.
            SdkError::dispatch_failure(ConnectorError::other(why.into(), None))
        })?;
        let request = request.map(|()| SdkBody::from(body));
        let mut request = HttpRequest::try_from(request).map_err(SdkError::construction_failure)?;
        request.add_extension(connection);
        let answer = self.connector.call(request).await;
        let mut response = answer.map_err(SdkError::dispatch_failure)?;
        if let Some(date) = date(response.headers()) {
            self.signer.hear(date, signed);
        }
        let body = read(response.take_body()).await;
        self.heard(response, body).map_err(|error| *error)
    }

    fn heard(
        &self,
        response: HttpResponse,
        body: Result<Vec<u8>, BoxError>,
    ) -> Result<Vec<UnprocessedTraceSegment>, Box<CallError>> {
        let mut code = self.code_of(&response);
        let body = match body {
            Ok(body) => body,
            Err(error) => return Err(Box::new(SdkError::response_error(error, response))),
        };
        if response.status().is_success() {
            return match serde_json::from_slice::<RawAnswer>(&body) {
                Ok(answer) => Ok(unprocessed(answer)),
                Err(error) => Err(Box::new(SdkError::response_error(error, response))),
            };
        }
        if code.is_empty() {
            // Not every answer is JSON: a proxy's is not.
            let error: RawError = serde_json::from_slice(&body).unwrap_or_default();
            code = name_of(error.__type.as_deref().unwrap_or_default()).to_owned();
        }
        let mut error = ErrorMetadata::builder();
        if !code.is_empty() {
            error = error.code(code);
        }
        if let Some(id) = response.headers().get("x-amzn-requestid") {
            error = error.custom("aws_request_id", id.to_owned());
        }
        let error = PutTraceSegmentsError::generic(error.build());
        Err(Box::new(SdkError::service_error(error, response)))
    }

    /// The code in the headers, or nothing; one that speaks of credentials is heard.
    fn code_of(&self, response: &HttpResponse) -> String {
        let code = name_of(response.headers().get("x-amzn-errortype").unwrap_or_default());
        if is_of_credentials(code) {
            self.signer.refused();
        }
        code.to_owned()
    }
}

/// The name of an error: "com.amazonaws.xray#ThrottledException:http://internal.amazon.com/...".
fn name_of(text: &str) -> &str {
    let text = text.split(':').next().unwrap_or_default();
    text.rsplit('#').next().unwrap_or_default()
}

fn unprocessed(answer: RawAnswer) -> Vec<UnprocessedTraceSegment> {
    let all = answer.unprocessed_trace_segments.unwrap_or_default();
    all.into_iter()
        .map(|one| {
            UnprocessedTraceSegment::builder()
                .set_id(one.id)
                .set_error_code(one.error_code)
                .build()
        })
        .collect()
}

async fn read(mut body: SdkBody) -> Result<Vec<u8>, BoxError> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            if whole.len() + data.len() > ANSWER_BYTES_MAX {
                return Err(format!("an answer of more than {ANSWER_BYTES_MAX} bytes").into());
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole)
}

#[cfg(test)]
mod tests;

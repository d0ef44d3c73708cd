//! One request to the receiver and its answer.

use std::error::Error;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use aws_smithy_runtime_api::client::connection::{CaptureSmithyConnection, ConnectionMetadata};
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use http_body_util::BodyExt;
use tracepipe_config::RemoteWriteSettings;

use super::account::Ended;
use crate::exporter::aws::sign::Signer;
use crate::exporter::aws::skew::date;

/// What is kept of an answer's body, for the log and to tell one reason from another.
const BODY_BYTES_KEPT: usize = 1024;

/// What is read of it, so that the connection can be used again; a longer one costs the connection.
const BODY_BYTES_READ: usize = 64 * 1024;

/// The protocol's own headers (Prometheus Remote-Write 1.0 specification, "Protocol").
const OWN_HEADERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_ENCODING, "snappy"),
    (header::CONTENT_TYPE, "application/x-protobuf"),
    (
        HeaderName::from_static("x-prometheus-remote-write-version"),
        "0.1.0",
    ),
    (
        header::USER_AGENT,
        concat!("tracepipe-collector/", env!("CARGO_PKG_VERSION")),
    ),
];

/// The way to the receiver.
pub(super) struct Transport {
    connector: SharedHttpConnector,
    uri: Uri,
    /// Those of every request.
    headers: HeaderMap,
    signer: Option<Signer>,
    timeout: Duration,
}

/// What the receiver says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: u16,
    /// AWS's own word for an error, or empty.
    pub(super) code: String,
    /// `Retry-After`, as it came.
    pub(super) retry_after: Option<String>,
    /// When it was said, by the receiver's clock.
    pub(super) date: Option<SystemTime>,
    /// The request was signed for a time that is too far from that.
    pub(super) is_signed_off: bool,
    /// The beginning of the body.
    pub(super) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// It did not come in time.
    Timeout {
        /// The request had begun to go out: the receiver may have it.
        is_out: bool,
    },
    /// No connection, or one that broke.
    Connection {
        /// Why.
        cause: String,
        /// As of a timeout.
        is_out: bool,
    },
    /// There are no credentials to sign with; why.
    Credentials(String),
}

// === impl Transport ===

impl Transport {
    /// To the receiver of the settings, by `connector`.
    ///
    /// # Errors
    /// An address or a header that HTTP cannot carry.
    pub(super) fn new(
        settings: &RemoteWriteSettings,
        connector: SharedHttpConnector,
        signer: Option<Signer>,
    ) -> anyhow::Result<Self> {
        let uri = settings.endpoint.parse().with_context(|| {
            format!(
                "exporters.prometheusremotewrite.endpoint: {:?}",
                settings.endpoint
            )
        })?;
        Ok(Self {
            connector,
            uri,
            headers: headers(settings)?,
            signer,
            timeout: settings.timeout,
        })
    }

    /// Sends a body, and waits for the answer no longer than one attempt may take.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn send(&self, body: Bytes) -> Result<Answer, Fault> {
        let mut request = http::Request::new(());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let mut signed = None;
        if let Some(signer) = &self.signer {
            // Each attempt anew: a signature lives for five minutes.
            let time = signer
                .sign(&mut request, &body)
                .await
                .map_err(Fault::Credentials)?;
            signed = Some((signer, time));
        }
        let request = request.map(|()| SdkBody::from(body));
        let mut request = HttpRequest::try_from(request).map_err(|error| connection_fault(&error, false))?;
        let connection = CaptureSmithyConnection::new();
        request.add_extension(connection.clone());
        let answer = tokio::time::timeout(self.timeout, self.exchange(request)).await;
        // A request gets its connection when that is there, its proxy and its TLS included.
        let is_out = || connection.get().is_some();
        let mut answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) if error.is_timeout() => return Err(Fault::Timeout { is_out: is_out() }),
            Ok(Err(error)) => return Err(connection_fault(&error, is_out())),
            Err(_elapsed) => {
                let connection = connection.get();
                // A connection that others share may be dead without telling.
                connection.iter().for_each(ConnectionMetadata::poison);
                return Err(Fault::Timeout {
                    is_out: connection.is_some(),
                });
            }
        };
        if let (Some((signer, time)), Some(date)) = (signed, answer.date) {
            answer.is_signed_off = signer.hear(date, time);
        }
        Ok(answer)
    }

    /// The receiver answered that it does not know who we are, or that we may not. True when the next request will be
    /// signed in another way: for the receiver's time, or with credentials that were fetched meanwhile.
    pub(super) async fn sign_anew(&self, answer: &Answer) -> bool {
        match &self.signer {
            Some(_) if answer.is_signed_off => true,
            Some(signer) => signer.renew().await,
            None => false,
        }
    }

    async fn exchange(&self, request: HttpRequest) -> Result<Answer, ConnectorError> {
        let response = self.connector.call(request).await?;
        let mut answer = heard(&response);
        answer.body = read(response.into_body()).await;
        Ok(answer)
    }
}

fn heard(response: &Response) -> Answer {
    let headers = response.headers();
    let code = headers.get("x-amzn-errortype").unwrap_or_default();
    Answer {
        status: response.status().as_u16(),
        // "ExpiredTokenException:http://internal.amazon.com/..."
        code: code.split(':').next().unwrap_or_default().to_owned(),
        retry_after: headers.get("retry-after").map(str::to_owned),
        date: date(headers),
        is_signed_off: false,
        body: Vec::new(),
    }
}

/// The beginning of a body. One that breaks off has said enough: the status counts.
async fn read(mut body: SdkBody) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        let room = BODY_BYTES_KEPT - kept.len();
        kept.extend_from_slice(&data[..data.len().min(room)]);
        read += data.len();
        if read > BODY_BYTES_READ {
            break;
        }
    }
    kept
}

fn headers(settings: &RemoteWriteSettings) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(settings.headers.len() + OWN_HEADERS.len() + 3);
    for (name, value) in &settings.headers {
        // Neither error names the value: it may be a secret.
        let key = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).with_context(|| {
            format!("exporters.prometheusremotewrite.headers: {name:?} is not a header name")
        })?;
        // The client wants text.
        let value = value.expose();
        let value = HeaderValue::from_str(value)
            .ok()
            .filter(|value| value.to_str().is_ok());
        let mut value = value.with_context(|| {
            format!("exporters.prometheusremotewrite.headers.{name}: the value cannot be sent in a header")
        })?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    // After the user's: these are the protocol's.
    for (name, value) in OWN_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(headers)
}

/// What went wrong: a name that is not known, a certificate that is not trusted. It speaks of addresses, never of what
/// was sent.
fn connection_fault(error: &(dyn Error + 'static), is_out: bool) -> Fault {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    Fault::Connection {
        cause: innermost.to_string(),
        is_out,
    }
}

// === impl Fault ===

impl Fault {
    /// The receiver may have taken the request.
    pub(super) fn is_out(&self) -> bool {
        match self {
            Self::Timeout { is_out } | Self::Connection { is_out, .. } => *is_out,
            Self::Credentials(_) => false,
        }
    }

    /// As the account counts it.
    pub(super) fn ended(&self) -> Ended {
        match self {
            Self::Timeout { .. } => Ended::Timeout,
            Self::Connection { .. } => Ended::Connection,
            Self::Credentials(_) => Ended::Credentials,
        }
    }

    /// The label of the failure in metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "timeout",
            Self::Connection { .. } => "connection",
            Self::Credentials(_) => "credentials",
        }
    }

    /// More about it, for the log.
    pub(super) fn cause(&self) -> Option<&str> {
        match self {
            Self::Timeout { .. } => None,
            Self::Connection { cause, .. } | Self::Credentials(cause) => Some(cause),
        }
    }
}

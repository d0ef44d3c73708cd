//! AWS Signature Version 4 of a request.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::{HeaderName, HeaderValue, Request};

use crate::exporter::aws::credentials::{EarlyCredentials, Keeper};
use crate::exporter::aws::skew::AwsClock;

/// What is signed beside the host, the time and the session: what says how the body is to be read. Nothing that a proxy
/// may change.
const SIGNED_HEADERS: [&str; 3] = [
    "content-encoding",
    "content-type",
    "x-prometheus-remote-write-version",
];

/// A signature this far from the receiver's time was refused for it, or nearly so: AWS's bound is five minutes.
const OFF_MAX: Duration = Duration::from_secs(4 * 60);

/// Signs requests.
pub(in crate::exporter) struct Signer {
    credentials: SharedCredentialsProvider,
    keeper: Arc<Keeper>,
    aws: Arc<AwsClock>,
    scope: Scope,
}

/// What a signature is good for.
#[derive(Debug, Clone)]
pub(in crate::exporter) struct Scope {
    /// `us-west-2`.
    pub(in crate::exporter) region: String,
    /// `aps`.
    pub(in crate::exporter) service: String,
}

// === impl Signer ===

impl Signer {
    /// Signs with these credentials, at the receiver's time.
    pub(in crate::exporter) fn new(credentials: EarlyCredentials, aws: Arc<AwsClock>, scope: Scope) -> Self {
        Self {
            keeper: credentials.keeper(),
            credentials: SharedCredentialsProvider::new(credentials),
            aws,
            scope,
        }
    }

    /// Signs a request with the body that it will have; gives the time that it is signed with.
    ///
    /// # Errors
    /// Why there are no credentials that can be signed with, without any of them.
    pub(in crate::exporter) async fn sign(
        &self,
        request: &mut Request<()>,
        body: &[u8],
    ) -> Result<SystemTime, String> {
        let credentials = self.credentials.provide_credentials().await;
        let credentials = credentials.map_err(|error| match error.source() {
            Some(source) => source.to_string(),
            None => error.to_string(),
        })?;
        let time = self.aws.now();
        signed(request, body, credentials, &self.scope, time)?;
        Ok(time)
    }

    /// An answer to a request that was signed at `signed` was dated `date`. True when that is too far off to be taken.
    pub(in crate::exporter) fn hear(&self, date: SystemTime, signed: SystemTime) -> bool {
        self.aws.hear(date);
        let behind = date.duration_since(signed);
        behind.unwrap_or_else(|ahead| ahead.duration()) > OFF_MAX
    }

    /// What it signs with, for a client of the SDK's.
    pub(in crate::exporter) fn credentials(&self) -> SharedCredentialsProvider {
        self.credentials.clone()
    }

    /// AWS does not know the credentials, or says that they have ended.
    pub(in crate::exporter) fn refused(&self) {
        self.keeper.refused();
    }

    /// A signature was refused, and not for its time. True when credentials were fetched since.
    pub(in crate::exporter) async fn renew(&self) -> bool {
        self.keeper.renew().await
    }
}

/// Signs with these credentials at this time.
///
/// # Errors
/// What cannot be signed: a word that names no secret.
fn signed(
    request: &mut Request<()>,
    body: &[u8],
    credentials: Credentials,
    scope: &Scope,
    time: SystemTime,
) -> Result<(), String> {
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(&scope.region)
        .name(&scope.service)
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| error.to_string())?
        .into();
    let uri = request.uri().to_string();
    let headers = SIGNED_HEADERS
        .into_iter()
        .filter_map(|name| Some((name, request.headers().get(name)?.to_str().ok()?)));
    let signable = SignableRequest::new(
        request.method().as_str(),
        &uri,
        headers,
        SignableBody::Bytes(body),
    )
    .map_err(|error| error.to_string())?;
    let (instructions, _signature) = sign(signable, &parameters)
        .map_err(|error| error.to_string())?
        .into_parts();
    let (added, _query) = instructions.into_parts();
    for one in added {
        // One that is none would have been a panic in `apply_to_request_http1x`.
        let mut value = HeaderValue::from_str(one.value()).map_err(|_| "a credential is no text")?;
        value.set_sensitive(one.sensitive());
        request
            .headers_mut()
            .insert(HeaderName::from_static(one.name()), value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::DateTime;
    use aws_smithy_types::date_time::Format;

    use super::*;

    /// botocore 1.43.11 signs the same request like this.
    #[test]
    fn the_signature_is_botocores() {
        let mut request = Request::new(());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = "https://aps-workspaces.us-west-2.amazonaws.com/workspaces/\
             ws-b226cc2a-a446-46a9-933a-ac50479a5568/api/v1/remote_write"
            .parse()
            .unwrap();
        for (name, value) in [
            ("content-type", "application/x-protobuf"),
            ("content-encoding", "snappy"),
            ("x-prometheus-remote-write-version", "0.1.0"),
            // Neither of these is signed: a proxy may change the first, and the second is the user's.
            ("user-agent", "tracepipe-collector/1"),
            ("x-team", "blue"),
        ] {
            request
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        let credentials = Credentials::new(
            "AKIDEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            Some("TOKEN".to_owned()),
            None,
            "test",
        );
        let scope = Scope {
            region: "us-west-2".to_owned(),
            service: "aps".to_owned(),
        };
        let time = DateTime::from_str("2026-11-21T02:13:00Z", Format::DateTime).unwrap();
        let time = SystemTime::try_from(time).unwrap();
        signed(&mut request, b"abc", credentials, &scope, time).unwrap();
        let header = |name: &str| request.headers()[name].to_str().unwrap();
        assert_eq!(header("x-amz-date"), "20261121T021300Z");
        assert_eq!(header("x-amz-security-token"), "TOKEN");
        assert_eq!(
            header("authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261121/us-west-2/aps/aws4_request, \
             SignedHeaders=content-encoding;content-type;host;x-amz-date;x-amz-security-token;\
             x-prometheus-remote-write-version, \
             Signature=5058ccc0d612168d5d1cb0576a081fea22e4d9c78411c7a67055c7122e33eebe"
        );
        assert!(request.headers()["x-amz-security-token"].is_sensitive());
    }

    #[test]
    fn a_session_token_that_is_no_text_is_an_error_and_no_panic() {
        let mut request = Request::new(());
        *request.uri_mut() = "https://example.com/".parse().unwrap();
        let credentials = Credentials::new("id", "secret", Some("a\nb".to_owned()), None, "test");
        let scope = Scope {
            region: "r".to_owned(),
            service: "aps".to_owned(),
        };
        let error = signed(&mut request, b"", credentials, &scope, SystemTime::UNIX_EPOCH).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }
}

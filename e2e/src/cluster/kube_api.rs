//! A small client of the cluster's API server: paths in, JSON out.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::DIR_VARIABLE;
use super::credentials::{admin_token, authority};
use super::network::{API_PORT, CONTROL_PLANE};

/// From the connection to the last byte of the answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A thousand objects of 100 kB in one list, and some room.
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A client with one identity. Each request has a connection of its own, so an answer is never one of an old server.
#[derive(Clone)]
pub struct KubeApi {
    tls: TlsConnector,
    token: Option<String>,
}

/// What the API server answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body; what is not JSON (a log, `/readyz`) is a string.
    pub body: Value,
}

/// How an object is changed.
#[derive(Debug, Clone, Copy)]
pub enum Patch<'a> {
    /// RFC 7396.
    Merge(&'a Value),
    /// Kubernetes' own merge, which knows the keys of lists. Not for custom resources.
    Strategic(&'a Value),
    /// RFC 6902: a list of operations.
    Json(&'a Value),
    /// Server-side apply of the fields that this manager wants.
    Apply {
        /// With apiVersion and kind.
        object: &'a Value,
        /// The field manager.
        manager: &'a str,
        /// Take fields that belong to others.
        force: bool,
    },
}

impl std::fmt::Debug for KubeApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KubeApi").finish_non_exhaustive()
    }
}

impl KubeApi {
    /// The administrator of the cluster in this folder.
    ///
    /// # Errors
    /// When there is no cluster.
    pub fn of(cluster: &Path) -> anyhow::Result<Self> {
        let path = admin_token(cluster);
        let token =
            std::fs::read_to_string(&path).with_context(|| format!("no cluster: {}", path.display()))?;
        let ca = CertificateDer::from_pem_file(authority(cluster)).context("the cluster's authority")?;
        let mut roots = RootCertStore::empty();
        roots.add(ca)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            token: Some(token),
        })
    }

    /// The administrator of the cluster that [`DIR_VARIABLE`] names.
    ///
    /// # Errors
    /// When the variable is not set, or there is no cluster.
    pub fn from_environment() -> anyhow::Result<Self> {
        let folder = std::env::var_os(DIR_VARIABLE).filter(|value| !value.is_empty());
        let folder = folder.with_context(|| format!("{DIR_VARIABLE} is not set"))?;
        Self::of(&PathBuf::from(folder))
    }

    /// Somebody else: the bearer of this token, a ServiceAccount's for example.
    #[must_use]
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self {
            token: Some(token.into()),
            ..self.clone()
        }
    }

    /// Nobody: without a token.
    #[must_use]
    pub fn anonymous(&self) -> Self {
        Self {
            token: None,
            ..self.clone()
        }
    }

    /// Reads an object, a list, or any other path, with its query.
    ///
    /// # Errors
    /// When there is no answer in 30 s. An answer that says no is no error: see [`Answer::success`].
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, None).await
    }

    /// Creates an object. apiVersion and kind may be left out: the path says them.
    ///
    /// # Errors
    /// As [`KubeApi::get`].
    pub async fn post(&self, path: &str, object: &Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, Some(("application/json", object)))
            .await
    }

    /// Replaces an object.
    ///
    /// # Errors
    /// As [`KubeApi::get`].
    pub async fn put(&self, path: &str, object: &Value) -> anyhow::Result<Answer> {
        self.send(Method::PUT, path, Some(("application/json", object)))
            .await
    }

    /// Changes an object.
    ///
    /// # Errors
    /// As [`KubeApi::get`].
    pub async fn patch(&self, path: &str, patch: Patch<'_>) -> anyhow::Result<Answer> {
        let (kind, body) = match patch {
            Patch::Merge(body) => ("application/merge-patch+json", body),
            Patch::Strategic(body) => ("application/strategic-merge-patch+json", body),
            Patch::Json(body) => ("application/json-patch+json", body),
            Patch::Apply {
                object,
                manager,
                force,
            } => {
                let join = if path.contains('?') { '&' } else { '?' };
                let path = format!("{path}{join}fieldManager={manager}&force={force}");
                // JSON is YAML; the type of its own is there from Kubernetes 1.34 only.
                let body = Some(("application/apply-patch+yaml", object));
                return self.send(Method::PATCH, &path, body).await;
            }
        };
        self.send(Method::PATCH, path, Some((kind, body))).await
    }

    /// Deletes an object, or every object of a list. `options` are `DeleteOptions`.
    ///
    /// # Errors
    /// As [`KubeApi::get`].
    pub async fn delete(&self, path: &str, options: Option<&Value>) -> anyhow::Result<Answer> {
        let body = options.map(|options| ("application/json", options));
        self.send(Method::DELETE, path, body).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<(&str, &Value)>) -> anyhow::Result<Answer> {
        let shown = format!("{method} {path}");
        match tokio::time::timeout(TIMEOUT, self.exchange(method, path, body)).await {
            Ok(answer) => answer.context(shown),
            Err(_) => bail!("{shown}: no answer in {TIMEOUT:?}"),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> anyhow::Result<Answer> {
        let address = SocketAddr::from((CONTROL_PLANE, API_PORT));
        let stream = TcpStream::connect(address)
            .await
            .context("the API server is not there")?;
        let name = ServerName::IpAddress(address.ip().into());
        let stream = self.tls.connect(name, stream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);

        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, address.to_string())
            .header(header::ACCEPT, "application/json, */*");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let bytes = match body {
            None => Bytes::new(),
            Some((kind, value)) => {
                request = request.header(header::CONTENT_TYPE, kind);
                Bytes::from(serde_json::to_vec(value)?)
            }
        };
        let response = sender.send_request(request.body(Full::new(bytes))?).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
        let body = body
            .map_err(|error| anyhow::anyhow!("reading the answer: {error}"))?
            .to_bytes();
        drop(sender);
        connection.abort();
        let body = serde_json::from_slice(&body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
        Ok(Answer { status, body })
    }
}

impl Answer {
    /// The body of a good answer.
    ///
    /// # Errors
    /// When the status is not 2xx: the status, its reason and its message.
    pub fn success(self) -> anyhow::Result<Value> {
        if !self.status.is_success() {
            bail!("{}: {}", self.status, self.message());
        }
        Ok(self.body)
    }

    /// The body, or nothing where there is no such object.
    ///
    /// # Errors
    /// As [`Answer::success`], but for 404.
    pub fn found(self) -> anyhow::Result<Option<Value>> {
        if self.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.success().map(Some)
    }

    /// What a refusal says to people: `message` of its `Status`, else the whole body.
    pub fn message(&self) -> String {
        match self.body["message"].as_str() {
            Some(message) => message.to_owned(),
            None => self.body.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::json;

    use super::Answer;

    #[test]
    fn a_refusal_is_an_error_with_its_message_and_a_missing_object_is_none() {
        let refused = Answer {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            body: json!({"kind": "Status", "message": "spec.x: too long"}),
        };
        let error = refused.success().unwrap_err().to_string();
        assert_eq!(error, "422 Unprocessable Entity: spec.x: too long");
        let missing = Answer {
            status: StatusCode::NOT_FOUND,
            body: json!({"kind": "Status"}),
        };
        assert_eq!(missing.found().unwrap(), None);
    }
}

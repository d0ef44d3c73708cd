//! The keys of the identity provider: a JWK set (RFC 7517), fetched where the API server publishes it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// AWS gives up after a few seconds too, with `IDPCommunicationError`.
const FETCH_TIME_MAX: Duration = Duration::from_secs(5);
/// A key set has a few keys.
const SET_BYTES_MAX: usize = 256 * 1024;

/// Where the keys are.
#[derive(Debug, Clone)]
pub struct KeySource {
    /// `http` or `https`: an API server has them under `/openid/v1/jwks`.
    pub url: Uri,
    /// The authority of an `https` URL, PEM. It is read at each fetch: a cluster may be younger than the fake.
    pub ca_file: Option<PathBuf>,
    /// A bearer token for an API server that shows its keys to nobody else; read at each fetch.
    pub bearer_file: Option<PathBuf>,
}

impl KeySource {
    /// Without authority and bearer.
    pub fn new(url: Uri) -> Self {
        Self {
            url,
            ca_file: None,
            bearer_file: None,
        }
    }

    /// Fetches the keys.
    pub(super) async fn fetch(&self) -> anyhow::Result<Keys> {
        let body = tokio::time::timeout(FETCH_TIME_MAX, self.get()).await;
        let body = body.map_err(anyhow::Error::from).and_then(|body| body);
        body.and_then(|body| Keys::parse(&body))
            .with_context(|| format!("GET {}", self.url))
    }

    async fn get(&self) -> anyhow::Result<Bytes> {
        let host = self.url.host().context("the URL has no host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_tls = self.url.scheme_str() == Some("https");
        let port = self.url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await?;
        if !is_tls {
            return self.exchange(stream).await;
        }
        let name = ServerName::try_from(host.to_owned())?;
        let stream = TlsConnector::from(Arc::new(self.tls()?))
            .connect(name, stream)
            .await?;
        self.exchange(stream).await
    }

    fn tls(&self) -> anyhow::Result<ClientConfig> {
        let file = self
            .ca_file
            .as_ref()
            .context("an https URL needs the file of its authority")?;
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(file);
        for certificate in certificates.with_context(|| format!("reading {}", file.display()))? {
            roots.add(certificate.with_context(|| format!("reading {}", file.display()))?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(config.with_root_certificates(roots).with_no_client_auth())
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> anyhow::Result<Bytes> {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let host = self.url.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::get(path).header("host", host);
        if let Some(file) = &self.bearer_file {
            let token = tokio::fs::read_to_string(file).await;
            let token = token.with_context(|| format!("reading {}", file.display()))?;
            request = request.header("authorization", format!("Bearer {}", token.trim()));
        }
        let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        let status = response.status();
        if !status.is_success() {
            bail!("the answer is {status}");
        }
        let body = Limited::new(response.into_body(), SET_BYTES_MAX).collect().await;
        connection.abort();
        Ok(body
            .map_err(|problem| anyhow::anyhow!("reading the answer: {problem}"))?
            .to_bytes())
    }
}

/// RSA keys by their `kid`.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys(BTreeMap<String, PublicKey>);

/// An RSA key: modulus and exponent, big-endian.
#[derive(Debug, Clone)]
pub(super) struct PublicKey {
    n: Vec<u8>,
    e: Vec<u8>,
}

impl PublicKey {
    /// RS256: PKCS #1 v1.5 with SHA-256, at least 2048 bits.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = RsaPublicKeyComponents {
            n: &self.n,
            e: &self.e,
        };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            .is_ok()
    }
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl Keys {
    pub(super) fn get(&self, kid: &str) -> Option<&PublicKey> {
        self.0.get(kid)
    }

    fn parse(body: &[u8]) -> anyhow::Result<Self> {
        let set: Set = serde_json::from_slice(body).context("the answer is no JWK set")?;
        let mut keys = BTreeMap::new();
        for key in set.keys.into_iter().filter(|key| key.kty == "RSA") {
            let (Some(kid), Some(n), Some(e)) = (key.kid, key.n, key.e) else {
                bail!("an RSA key lacks `kid`, `n` or `e`");
            };
            let key = PublicKey {
                n: URL_SAFE_NO_PAD.decode(n)?,
                e: URL_SAFE_NO_PAD.decode(e)?,
            };
            keys.insert(kid, key);
        }
        Ok(Self(keys))
    }
}

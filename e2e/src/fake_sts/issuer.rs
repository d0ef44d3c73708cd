//! An identity provider of our own, for tests without an API server: it signs tokens and publishes its keys.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use anyhow::Context;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use super::keys::KeySource;
use crate::clock;
use crate::fake_xray::TestTls;
use crate::server::{Listen, Server};

/// Signs tokens as an API server does.
pub struct TestIssuer {
    url: String,
    kid: String,
    key: KeyPair,
}

impl TestIssuer {
    /// Makes a new RSA key of 2048 bits; `url` is the `iss` of its tokens, `kid` names the key.
    ///
    /// # Errors
    /// When the key cannot be made.
    pub fn new(url: &str, kid: &str) -> anyhow::Result<Self> {
        let key =
            KeyPair::generate(KeySize::Rsa2048).map_err(|_| anyhow::anyhow!("no RSA key could be made"))?;
        Ok(Self {
            url: url.to_owned(),
            kid: kid.to_owned(),
            key,
        })
    }

    /// Its public key, as an entry of a JWK set.
    pub fn jwk(&self) -> Value {
        let key = self.key.public_key();
        let encode = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
        json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid,
            "n": encode(key.modulus().big_endian_without_leading_zero()),
            "e": encode(key.exponent().big_endian_without_leading_zero()),
        })
    }

    /// The claims of a token for a service account, valid for an hour from now.
    pub fn claims(&self, (namespace, name): (&str, &str), audience: &str) -> Value {
        let now = unix_seconds(clock::wall());
        json!({
            "iss": self.url, "sub": format!("system:serviceaccount:{namespace}:{name}"), "aud": [audience],
            "iat": now, "nbf": now, "exp": now + 3600,
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name}},
        })
    }

    /// A signed token with these claims.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn sign(&self, claims: &Value) -> anyhow::Result<String> {
        self.sign_under(&json!({"alg": "RS256", "kid": self.kid}), claims)
    }

    /// As [`Self::sign`], with a header that may lie.
    pub(super) fn sign_under(&self, header: &Value, claims: &Value) -> anyhow::Result<String> {
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .map_err(|_| anyhow::anyhow!("the token could not be signed"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn unix_seconds(time: SystemTime) -> u64 {
    clock::nanos_of(time) / 1_000_000_000
}

/// Publishes keys on a free port of 127.0.0.1, as an API server does at `/openid/v1/jwks`.
pub struct KeyServer {
    shared: Arc<Mutex<Published>>,
    server: Server,
    scheme: &'static str,
}

#[derive(Default)]
struct Published {
    keys: Vec<Value>,
    is_down: bool,
    fetches: u64,
}

impl KeyServer {
    /// Binds and serves; without `tls` in plain HTTP.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(keys: Vec<Value>, tls: Option<&TestTls>) -> std::io::Result<Self> {
        let shared = Arc::new(Mutex::new(Published {
            keys,
            ..Published::default()
        }));
        let of_server = Arc::clone(&shared);
        let listen = Listen {
            at: None,
            tls: tls.map(TestTls::acceptor),
        };
        let server = Server::start(listen, move |_| {
            let (status, body) = of_server.lock().unwrap_or_else(PoisonError::into_inner).answer();
            let mut response = Response::new(Full::new(bytes::Bytes::from(body)).boxed_unsync());
            *response.status_mut() = status;
            response.headers_mut().insert(
                "content-type",
                HeaderValue::from_static("application/jwk-set+json"),
            );
            std::future::ready(Ok(response))
        });
        let scheme = if tls.is_some() { "https" } else { "http" };
        Ok(Self {
            shared,
            server: server.await?,
            scheme,
        })
    }

    /// Where a fake STS finds them; with TLS it needs the authority too.
    ///
    /// # Errors
    /// Never, as far as is known: an address makes a URL.
    pub fn source(&self) -> anyhow::Result<KeySource> {
        let url: Uri = format!("{}://{}/openid/v1/jwks", self.scheme, self.server.address())
            .parse()
            .context("an address makes a URL")?;
        Ok(KeySource::new(url))
    }

    /// Publishes other keys from now on.
    pub fn publish(&self, keys: Vec<Value>) {
        self.lock().keys = keys;
    }

    /// Answers 503 from now on, or no longer.
    pub fn set_down(&self, is_down: bool) {
        self.lock().is_down = is_down;
    }

    /// How often the keys were asked for.
    pub fn fetches(&self) -> u64 {
        self.lock().fetches
    }

    fn lock(&self) -> MutexGuard<'_, Published> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Published {
    fn answer(&mut self) -> (StatusCode, String) {
        self.fetches += 1;
        if self.is_down {
            return (StatusCode::SERVICE_UNAVAILABLE, String::new());
        }
        (StatusCode::OK, json!({ "keys": self.keys }).to_string())
    }
}

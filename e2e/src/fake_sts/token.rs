//! A web identity token: a JWT signed with RS256 (RFC 7519, RFC 7518 section 3.3), as Kubernetes issues them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Problem;
use super::keys::PublicKey;

/// A token whose form is right; nothing in it is believed before [`Token::verify`].
#[derive(Debug)]
pub(super) struct Token<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    /// Which key has signed it.
    pub(super) kid: String,
    pub(super) claims: Claims,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    aud: Audience,
    /// In seconds since the Unix epoch.
    pub(super) exp: u64,
    /// In seconds since the Unix epoch.
    pub(super) nbf: Option<u64>,
    /// What Kubernetes binds a token to.
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<Kubernetes>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Kubernetes {
    pod: Option<Bound>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Bound {
    name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

impl Claims {
    /// The one audience. AWS decides by `azp` where there are several, which Kubernetes never writes.
    pub(super) fn audience(&self) -> Result<&str, Problem> {
        match &self.aud {
            Audience::One(audience) => Ok(audience),
            Audience::Many(audiences) => match audiences.as_slice() {
                [audience] => Ok(audience),
                _ => Err(invalid("this fake supports tokens with one audience only")),
            },
        }
    }

    /// The pod that the kubelet asked the token for.
    pub(super) fn pod(&self) -> Option<&str> {
        let pod = self.kubernetes.as_ref()?.pod.as_ref()?;
        Some(&pod.name)
    }

    /// Namespace and name, if the subject is a service account of Kubernetes.
    pub(super) fn service_account(&self) -> Option<(&str, &str)> {
        self.sub.strip_prefix("system:serviceaccount:")?.split_once(':')
    }
}

impl<'a> Token<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Problem> {
        let mut parts = text.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(invalid("the token is not a JWT"));
        };
        let signed = &text[..header.len() + 1 + claims.len()];
        let header: Header = part(header)?;
        if header.alg != "RS256" {
            return Err(invalid("the token is not signed with RS256"));
        }
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| invalid("the signature is not base64url"))?;
        Ok(Self {
            signed,
            signature,
            kid: header.kid,
            claims: part(claims)?,
        })
    }

    /// Checks signature and time.
    pub(super) fn verify(&self, key: &PublicKey, now: u64) -> Result<(), Problem> {
        if !key.verifies(self.signed.as_bytes(), &self.signature) {
            return Err(invalid(
                "the signature does not fit the key of the identity provider",
            ));
        }
        let exp = self.claims.exp;
        if exp <= now {
            return Err(Problem::ExpiredToken(format!(
                "Token expired: current date/time {now} must be before the expiration date/time {exp}"
            )));
        }
        match self.claims.nbf {
            Some(nbf) if nbf > now => Err(invalid("the token is not valid yet")),
            Some(_) | None => Ok(()),
        }
    }
}

fn part<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let bytes = URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| invalid("the token is not base64url"))?;
    serde_json::from_slice(&bytes).map_err(|problem| invalid(&format!("the token lacks a claim: {problem}")))
}

fn invalid(message: &str) -> Problem {
    Problem::InvalidIdentityToken(message.to_owned())
}

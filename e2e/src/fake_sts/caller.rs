//! Who has signed a request: a user with a key of its own, or somebody who has become a role.

use std::sync::PoisonError;

use bytes::Bytes;
use http::request::Parts;

use super::{Call, FakeSts, Problem, State, session};
use crate::clock;
use crate::fake_iam::Options;
use crate::fake_xray::sigv4::{Credentials, Denied, Verifier, access_key_id};
use crate::query::element;

/// An IAM user and its access key.
#[derive(Debug)]
pub(super) struct User {
    arn: String,
    credentials: Credentials,
}

/// Whose signature it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signer {
    /// Of a user, or of an assumed role.
    pub(crate) arn: String,
    /// IAM's unique id, with the session's name behind it.
    id: String,
    /// The ARN of the role.
    role: Option<String>,
}

impl FakeSts {
    /// A user of the account with this key: AWS lets it in everywhere. It may have a path: `team/name`.
    pub fn add_user(&self, name: &str, key: Credentials) {
        let Options { partition, account } = self.place();
        let user = User {
            arn: format!("arn:{partition}:iam::{account}:user/{name}"),
            credentials: key.clone(),
        };
        self.lock().users.insert(key.access_key_id.clone(), user);
        (self.admit)(key);
    }

    /// Verifies a signature for a service; without a region for any.
    pub(crate) fn signer(
        &self,
        parts: &Parts,
        body: &Bytes,
        (region, service): (Option<&str>, &str),
    ) -> Result<Signer, Denied> {
        let state = self.lock();
        let verifier = Verifier {
            credentials: state.credentials(),
            region: region.map(str::to_owned),
            service: service.to_owned(),
        };
        verifier.verify(parts, body, clock::wall())?;
        access_key_id(parts)
            .and_then(|id| state.signer(id))
            .ok_or(Denied::Unknown)
    }

    pub(super) fn caller_identity(
        &self,
        parts: &Parts,
        body: &Bytes,
        region: &str,
        call: &mut Call,
    ) -> Result<String, Problem> {
        call.access_key_id = access_key_id(parts).map(str::to_owned);
        let signer = self
            .signer(parts, body, (Some(region), "sts"))
            .map_err(Problem::Signature)?;
        call.role = signer.role;
        let fields = [
            ("Arn", signer.arn.as_str()),
            ("UserId", &signer.id),
            ("Account", &self.options.account),
        ];
        Ok(fields.map(|(name, text)| element(name, text)).concat())
    }

    /// The account and partition of the users.
    fn place(&self) -> Options {
        let iam = self.iam.lock().unwrap_or_else(PoisonError::into_inner);
        iam.options().clone()
    }
}

impl State {
    fn credentials(&self) -> Vec<Credentials> {
        let sessions = self.sessions.values().map(|session| &session.credentials);
        let users = self.users.values().map(|user| &user.credentials);
        sessions.chain(users).cloned().collect()
    }

    fn signer(&self, access_key_id: &str) -> Option<Signer> {
        if let Some(user) = self.users.get(access_key_id) {
            return Some(Signer {
                arn: user.arn.clone(),
                id: session::unique_id("AIDA", &user.arn),
                role: None,
            });
        }
        let session = self.sessions.get(access_key_id)?;
        Some(Signer {
            arn: session.arn.clone(),
            id: session.id.clone(),
            role: Some(session.role.clone()),
        })
    }
}

//! What the condition IdentityReady says. Pure.

use jiff::Timestamp;
use tracepipe_crds::conditions::reasons;

use super::proof::View;
use super::{KnownAccount, Memory};
use crate::aws::{Kind, Trouble};
use crate::validate::Credentials;

/// The condition IdentityReady, and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// None: nobody can say yet.
    pub(crate) ready: Option<bool>,
    /// One of [`reasons`].
    pub(crate) reason: &'static str,
    /// A sentence.
    pub(crate) message: String,
    /// Policies of the role that are not ours.
    pub(crate) foreign: Vec<String>,
}

impl Verdict {
    fn new(ready: Option<bool>, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            ready,
            reason,
            message: message.into(),
            foreign: Vec::new(),
        }
    }

    /// As the condition writes it.
    pub(crate) fn status(&self) -> &'static str {
        match self.ready {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        }
    }
}

/// Decides. A proven identity stays so while AWS is slow or does not let the operator look.
pub(crate) fn verdict(
    credentials: &Credentials,
    has_issuer: bool,
    account: &KnownAccount,
    memory: &Memory,
    now: Timestamp,
) -> Verdict {
    let view = memory.proof.view(now);
    let mut verdict = match credentials {
        Credentials::NotNeeded => Verdict::new(
            None,
            reasons::NOT_NEEDED,
            "nothing is sent to AWS, so no credentials are needed",
        ),
        Credentials::Ambient => Verdict::new(
            None,
            reasons::AMBIENT,
            "the collectors use the credentials that they find",
        ),
        Credentials::PodIdentity { .. } => Verdict::new(
            None,
            reasons::NOT_VERIFIED,
            "nothing has proven yet that the ServiceAccount has an EKS Pod Identity association",
        ),
        Credentials::Managed(None) if !has_issuer => Verdict::new(
            Some(false),
            reasons::PROVIDER_NOT_FOUND,
            "the operator's own token names no https issuer whom AWS could trust: start the API server with --service-account-issuer, or give the operator --issuer",
        ),
        Credentials::Managed(None) => match &account.trouble {
            Some(trouble) => of_trouble(trouble),
            None => Verdict::new(
                None,
                reasons::VERIFYING,
                "AWS is asked for the operator's account",
            ),
        },
        Credentials::Managed(Some(role)) => match (&memory.trouble, &view) {
            (Some((trouble, writing)), View::Proven) if !writing || trouble.kind == Kind::Passing => {
                Verdict::new(
                    Some(true),
                    reasons::VERIFIED,
                    format!(
                        "AWS gives the collectors {}; but whether it still is as it shall be is not known: {}",
                        role.arn, trouble.message
                    ),
                )
            }
            (Some((trouble, _)), _) => of_trouble(trouble),
            (None, _) => of_proof(&role.arn, &view),
        },
        Credentials::Role(arn) => of_proof(arn, &view),
    };
    verdict.foreign.clone_from(&memory.foreign);
    verdict
}

fn of_trouble(trouble: &Trouble) -> Verdict {
    let ready = match trouble.kind {
        Kind::Passing => None,
        Kind::Standing => Some(false),
    };
    Verdict::new(ready, trouble.reason, &trouble.message)
}

fn of_proof(arn: &str, view: &View<'_>) -> Verdict {
    match view {
        View::Proven => Verdict::new(
            Some(true),
            reasons::VERIFIED,
            format!("AWS gives the collectors' ServiceAccount credentials of {arn}"),
        ),
        View::Denied(reason, message) => Verdict::new(Some(false), reason, *message),
        View::NotYet(message) => Verdict::new(
            None,
            reasons::VERIFYING,
            format!("{message} (what was just written to IAM takes a while; asked again)"),
        ),
        View::Unanswered(trouble) => of_trouble(trouble),
        View::Unknown => Verdict::new(
            None,
            reasons::VERIFYING,
            format!("whether AWS gives {arn} to the collectors is being asked"),
        ),
    }
}

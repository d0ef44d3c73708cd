//! What an error of AWS means, and the way out. Pure.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use tracepipe_crds::conditions::reasons;

use super::Assumed;
use crate::facts::shortened;

/// Why a call to AWS did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// One of [`reasons`], of the condition IdentityReady.
    pub(crate) reason: &'static str,
    /// The action, the resource, AWS's words and the way out.
    pub(crate) message: String,
    /// Whether waiting helps.
    pub(crate) kind: Kind,
    /// The call may have been carried out all the same.
    pub(crate) perhaps_done: bool,
    /// AWS says that there is such a role already.
    pub(crate) exists: bool,
}

/// Whether waiting helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It may pass by itself.
    Passing,
    /// Somebody has to change something.
    Standing,
}

impl Trouble {
    fn new(reason: &'static str, kind: Kind, message: String) -> Self {
        Self {
            reason,
            message,
            kind,
            perhaps_done: false,
            exists: false,
        }
    }

    /// One that is none of AWS's.
    pub(crate) fn of(reason: &'static str, kind: Kind, message: String) -> Self {
        Self::new(reason, kind, message)
    }

    /// Something that nobody has foreseen.
    pub(crate) fn standing(action: &str, resource: &str, why: &str) -> Self {
        let message = format!("{action} on {resource}: {}", shortened(why));
        Self::new(reasons::ROLE_FAILED, Kind::Standing, message)
    }
}

/// What an answer of the service means.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html>
pub(super) fn of_answer(action: &str, resource: &str, code: &str, message: &str) -> Trouble {
    let said = format!("{action} on {resource}: {code}: {}", shortened(message));
    let (reason, kind, way_out) = match code {
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => (
            reasons::ACCESS_DENIED,
            Kind::Standing,
            "; the operator's own role has to allow it: `tracepipe-operator iam-policy` prints its policy",
        ),
        "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "MissingAuthenticationToken" => (
            reasons::NO_CREDENTIALS,
            Kind::Standing,
            "; AWS does not take the operator's own credentials: look at its ServiceAccount's role",
        ),
        "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "TooManyRequestsException" => {
            (reasons::THROTTLED, Kind::Passing, "")
        }
        "NoSuchEntity" if action == "iam:CreateRole" || action == "iam:PutRolePermissionsBoundary" => (
            reasons::BOUNDARY_MISSING,
            Kind::Standing,
            "; make the policy (`tracepipe-operator iam-policy --boundary` prints it), or correct the chart's aws.permissionsBoundary",
        ),
        "LimitExceeded" | "LimitExceededException" => (
            reasons::LIMIT_EXCEEDED,
            Kind::Standing,
            "; ask AWS for a higher quota, or delete roles that nobody uses",
        ),
        "DeleteConflict" | "DeleteConflictException" => (
            reasons::DELETE_CONFLICT,
            Kind::Standing,
            "; take away what is not the operator's, or delete the role by hand",
        ),
        // What was just written is not everywhere yet, or two write at once.
        "EntityAlreadyExists"
        | "NoSuchEntity"
        | "ConcurrentModification"
        | "EntityTemporarilyUnmodifiable" => (reasons::VERIFYING, Kind::Passing, "; IAM is asked again"),
        "ServiceFailure" | "ServiceUnavailable" | "InternalFailure" | "InternalError" | "no code" => {
            (reasons::AWS_UNREACHABLE, Kind::Passing, "")
        }
        _ => (reasons::ROLE_FAILED, Kind::Standing, ""),
    };
    Trouble {
        perhaps_done: reason == reasons::AWS_UNREACHABLE,
        exists: code == "EntityAlreadyExists",
        ..Trouble::new(reason, kind, format!("{said}{way_out}"))
    }
}

/// What it means when there is no answer.
pub(super) fn of_silence(action: &str, resource: &str, error: &(dyn Error + 'static)) -> Trouble {
    let mut credentials = None;
    let mut innermost = error;
    loop {
        credentials = credentials.or(innermost.downcast_ref::<CredentialsError>());
        let Some(source) = innermost.source() else {
            break;
        };
        innermost = source;
    }
    let innermost = innermost.to_string();
    match credentials {
        Some(CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_)) => {
            let message = format!(
                "{action} on {resource}: the operator finds no AWS credentials ({}): give its ServiceAccount a role by the chart's aws.operatorRoleArn, or a Pod Identity association",
                shortened(&innermost)
            );
            Trouble::new(reasons::NO_CREDENTIALS, Kind::Standing, message)
        }
        Some(error) => {
            // The provider's own errors are of private types; what they show is AWS's code.
            let shown = format!("{error:?}");
            let refused = ["AccessDenied", "InvalidIdentityToken", "No such file", "NotFound"]
                .iter()
                .any(|sign| shown.contains(sign));
            let kind = if refused { Kind::Standing } else { Kind::Passing };
            let message = format!(
                "{action} on {resource}: the operator gets no credentials of its own role: {}; look at the chart's aws.operatorRoleArn and that role's trust policy",
                shortened(&innermost)
            );
            Trouble::new(reasons::NO_CREDENTIALS, kind, message)
        }
        None => Trouble {
            perhaps_done: true,
            ..Trouble::new(
                reasons::AWS_UNREACHABLE,
                Kind::Passing,
                format!("{action} on {resource}: no answer: {}", shortened(&innermost)),
            )
        },
    }
}

/// A refusal by STS, None for what decides nothing.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>
pub(super) fn of_assume(role: &str, code: Option<&str>, message: &str) -> Option<Assumed> {
    let code = code?;
    let said = format!("{code}: {}", shortened(message));
    let (reason, way_out) = match code {
        "AccessDenied" => (
            reasons::ASSUME_ROLE_DENIED,
            "its trust policy has to name this cluster's issuer, the ServiceAccount and the audience sts.amazonaws.com: `tracepipe-operator render --iam` prints it",
        ),
        "InvalidIdentityToken" if message.contains("No OpenIDConnect provider") => (
            reasons::PROVIDER_NOT_FOUND,
            "make the provider: eksctl utils associate-iam-oidc-provider --cluster CLUSTER --approve",
        ),
        "InvalidIdentityToken" if message.contains("audience") => (
            reasons::AUDIENCE_MISSING,
            "add the audience: aws iam add-client-id-to-open-id-connect-provider --client-id sts.amazonaws.com --open-id-connect-provider-arn ARN",
        ),
        "InvalidIdentityToken" | "ExpiredTokenException" | "IDPRejectedClaim" => (
            reasons::ASSUME_ROLE_DENIED,
            "AWS does not take the cluster's token: look at the account's OpenID Connect provider",
        ),
        "RegionDisabledException" => (
            reasons::ASSUME_ROLE_DENIED,
            "STS is switched off in this region: switch it on in the account's settings",
        ),
        _ => return None,
    };
    Some(Assumed::Denied(
        reason,
        format!("{role} is refused to the collectors: {said}; {way_out}"),
    ))
}

#[cfg(test)]
mod tests;

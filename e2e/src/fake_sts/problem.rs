//! Why a call was refused, and what AWS calls that.

use http::StatusCode;

use crate::fake_xray::sigv4::Denied;

/// Why a call was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    InvalidIdentityToken(String),
    ExpiredToken(String),
    AccessDenied,
    Validation(String),
    IdpCommunication(String),
    InvalidAction(String),
    Signature(Denied),
    Scripted { status: u16, code: String },
}

impl Problem {
    pub(super) fn code(&self) -> &str {
        match self {
            Self::InvalidIdentityToken(_) => "InvalidIdentityToken",
            Self::ExpiredToken(_) => "ExpiredTokenException",
            Self::AccessDenied => "AccessDenied",
            Self::Validation(_) => "ValidationError",
            Self::IdpCommunication(_) => "IDPCommunicationError",
            Self::InvalidAction(_) => "InvalidAction",
            Self::Signature(denied) => code_of(denied),
            Self::Scripted { code, .. } => code,
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::AccessDenied | Self::Signature(_) => StatusCode::FORBIDDEN,
            Self::InvalidIdentityToken(_)
            | Self::ExpiredToken(_)
            | Self::Validation(_)
            | Self::IdpCommunication(_)
            | Self::InvalidAction(_) => StatusCode::BAD_REQUEST,
            Self::Scripted { status, .. } => {
                StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::InvalidIdentityToken(message)
            | Self::ExpiredToken(message)
            | Self::Validation(message)
            | Self::IdpCommunication(message)
            | Self::InvalidAction(message) => message.clone(),
            Self::AccessDenied => "Not authorized to perform sts:AssumeRoleWithWebIdentity".to_owned(),
            Self::Signature(denied) => denied.message(),
            Self::Scripted { .. } => "the fake was told to fail".to_owned(),
        }
    }
}

/// What the services of the Query protocol call it.
pub(crate) fn code_of(denied: &Denied) -> &'static str {
    match denied {
        Denied::Missing => "MissingAuthenticationToken",
        Denied::Incomplete(_) => "IncompleteSignature",
        Denied::Unknown => "InvalidClientTokenId",
        Denied::Expired => "ExpiredToken",
        Denied::Invalid(_) => "SignatureDoesNotMatch",
    }
}

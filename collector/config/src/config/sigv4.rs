//! `sigv4auth`.

use super::Field;
use crate::decode::{self, Cursor, Fields, Unless};
use crate::error::Diagnostics;

/// `sigv4auth`: signs the requests of the exporters that name it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SigV4Config {
    /// Nothing, or empty: from the endpoint's host, else `AWS_REGION`.
    pub region: Field<String>,
    /// Nothing, or empty: from the endpoint's host, else `aps`.
    pub service: Field<String>,
    /// `assume_role`.
    pub assume_role: AssumeRoleConfig,
}

/// `assume_role` of `sigv4auth`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AssumeRoleConfig {
    /// Nothing, or empty: no role is assumed.
    pub arn: Field<String>,
    /// Only together with `arn`.
    pub external_id: Field<String>,
    /// Only together with `arn`. Default: a name that the collector makes up.
    pub session_name: Field<String>,
    /// Only together with `arn`. Default `region`, as upstream.
    pub sts_region: Field<String>,
}

pub(super) fn sigv4(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<SigV4Config> {
    let mut fields = Fields::new(cursor, diag)?;
    let config = SigV4Config {
        region: fields.get(diag, "region", decode::text),
        service: fields.get(diag, "service", decode::text),
        assume_role: fields
            .get(diag, "assume_role", assume_role)
            .map(|role| role.value)
            .unwrap_or_default(),
    };
    fields.finish(diag);
    Some(config)
}

fn assume_role(cursor: &Cursor<'_>, diag: &mut Diagnostics) -> Option<AssumeRoleConfig> {
    let mut fields = Fields::new(cursor, diag)?;
    let config = AssumeRoleConfig {
        arn: fields.get(diag, "arn", decode::text),
        external_id: fields.get(diag, "external_id", decode::text),
        session_name: fields.get(diag, "session_name", decode::text),
        sts_region: fields.get(diag, "sts_region", decode::text),
    };
    let token = "name the token's file in AWS_WEB_IDENTITY_TOKEN_FILE and its role in AWS_ROLE_ARN, as EKS does; a role \
                 named here is assumed with the credentials that these give";
    fields.refused_unless(diag, ("web_identity_token_file", Unless::Empty), token);
    let session = "a session is as long as STS makes it, and new before it ends";
    fields.without_effect(diag, &["session_duration", "expiry_window"], session);
    fields.finish(diag);
    Some(config)
}

//! What the operator's own IAM role may do: make and end roles under its path for its cluster, and nothing that makes one
//! of them more than a writer of traces and metrics. Pure.
//!
//! Condition keys by action, from the Service Authorization Reference:
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html>.
//! `sts:GetCallerIdentity` and `sts:AssumeRoleWithWebIdentity` need no permission.

use serde_json::{Value, json};

use crate::iam::{self, Account, Rights};
use crate::managed_role::{self, CLUSTER_TAG};
use crate::settings::{AwsAccount, ManagedRoles, Workspaces};

/// The policy.
pub(crate) fn document(partition: &str, account: &Account, settings: &ManagedRoles) -> Value {
    let roles = format!("arn:{partition}:iam::{account}:role{}*", settings.path());
    let allow = |sid: &str, actions: &[&str], condition: Value| {
        let mut statement = json!({ "Sid": sid, "Effect": "Allow", "Action": actions, "Resource": roles });
        if !condition.is_null() {
            statement["Condition"] = json!({ "StringEquals": condition });
        }
        statement
    };
    let requested = format!("aws:RequestTag/{CLUSTER_TAG}");
    let existing = format!("aws:ResourceTag/{CLUSTER_TAG}");
    let bounded = |tag: &str| {
        let mut condition = json!({ tag: settings.cluster });
        if let Some(boundary) = &settings.boundary {
            condition["iam:PermissionsBoundary"] = json!(boundary);
        }
        condition
    };
    let mut rights = vec!["iam:PutRolePolicy"];
    if settings.boundary.is_some() {
        // For this action the key is the boundary that is put: there is only the one.
        rights.push("iam:PutRolePermissionsBoundary");
    }
    iam::document(&[
        allow("CreateRoles", &["iam:CreateRole"], bounded(&requested)),
        // A role that is being created has no tag yet.
        allow(
            "TagRoles",
            &["iam:TagRole"],
            json!({ requested.as_str(): settings.cluster }),
        ),
        allow("WriteRights", &rights, bounded(&existing)),
        // The Service Authorization Reference has the boundary's key for these two since 2026; accounts have been seen
        // where it never matched, and then nothing could be repaired or deleted. Path and tag bound them. A role that
        // has lost its boundary has to be deletable, and to take a policy away gives no right.
        allow(
            "WriteRoles",
            &[
                "iam:UpdateAssumeRolePolicy",
                "iam:DeleteRolePolicy",
                "iam:DeleteRole",
            ],
            json!({ existing.as_str(): settings.cluster }),
        ),
        allow(
            "ReadRoles",
            &[
                "iam:GetRole",
                "iam:GetRolePolicy",
                "iam:ListRolePolicies",
                "iam:ListAttachedRolePolicies",
            ],
            Value::Null,
        ),
        // Of a role that does not exist IAM knows no path: whoever may not ask by the name alone is not told that there
        // is none, but that he may not ask.
        json!({
            "Sid": "FindRoles",
            "Effect": "Allow",
            "Action": ["iam:GetRole"],
            "Resource": format!("arn:{partition}:iam::{account}:role/{}*", managed_role::name_prefix(settings)),
        }),
    ])
}

/// The most that a role may do which the operator makes: what it may be told to write into one.
pub(crate) fn boundary(account: &AwsAccount, allowed: &Workspaces) -> Value {
    iam::document(&iam::statements(&Rights {
        xray: true,
        workspaces: allowed.resources(account),
    }))
}

#[cfg(test)]
mod tests;

//! Whether the caller may: which action on which resource, under which condition keys.
//!
//! # Condition keys
//!
//! Those of the Service Authorization Reference and no others: a key that an action does not have is absent, and a
//! `StringEquals` on it lets nobody through.
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html>
//!
//! | key | actions |
//! |---|---|
//! | `iam:PermissionsBoundary`, the one in the request | `CreateRole`, `PutRolePermissionsBoundary` |
//! | `iam:PermissionsBoundary`, the one that the role has | `PutRolePolicy`, `DeleteRolePolicy`, `AttachRolePolicy`, `DetachRolePolicy`, `DeleteRolePermissionsBoundary` |
//! | `iam:PolicyARN` | `AttachRolePolicy`, `DetachRolePolicy` |
//! | `aws:RequestTag/KEY` | `CreateRole`, `TagRole` |
//! | `aws:TagKeys` | `CreateRole`, `TagRole`, `UntagRole` |
//! | `aws:ResourceTag/KEY`, `iam:ResourceTag/KEY` | all on a role that exists, but `CreateRole` |
//!
//! `DeleteRole`, `UpdateAssumeRolePolicy`, `GetRole` and the tag actions have no `iam:PermissionsBoundary`. Others have
//! met that: for an action that does not know the key "it is as if the condition fails in 100% of cases"
//! (code-dot-org/code-dot-org, pull request 65584), and `iam:UpdateRole` was denied to them (alphagov/gsp, pull request
//! 990).
//!
//! `CreateRole` with tags is `CreateRole` and `TagRole`, the latter on the same ARN ("is not authorized to perform:
//! iam:TagRole on resource: arn:aws:iam::..:role/..", openshift/installer, issue 1073).
//!
//! # Roles that do not exist
//!
//! All actions but `CreateRole` name a role without its path. IAM looks it up and takes its ARN. Of a role that does not
//! exist IAM knows no path and no tag: it takes `arn:aws:iam::ACCOUNT:role/NAME`. So a policy that allows
//! `role/some/path/*` answers `AccessDenied` where one for `*` answers `NoSuchEntity`, before a role is made and after it
//! was deleted, and while reads lag. AWS does not say so anywhere that we know of; those who met it do:
//! ConductorOne/AppHub, `terraform/modules/deploy-target/main.tf` (its policies name both ARNs, "`iam:GetRole` on a role
//! that does not exist yet is authorized against the role name alone"); keikoproj/iam-manager, issue 31 and pull request
//! 35 (rights that hang on a tag are gone with the role, `ListAttachedRolePolicies` is then denied and no
//! `NoSuchEntity`). Messages name all these roles without path as well, whether they exist or not: `role NAME`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::policy::{Context, Decision};
use super::problem::Problem;
use super::request::{Ask, Request, Write};
use super::{Iam, Role};

/// One thing that the caller has to be allowed.
struct Check {
    /// `iam:CreateRole`.
    action: String,
    /// An ARN.
    resource: String,
    /// The resource as IAM's messages name it.
    shown: String,
    context: Context,
}

impl Iam {
    pub(super) fn authorize(&self, now: SystemTime, caller: &str, request: &Request) -> Result<(), Problem> {
        let role = self.seen(now, request).map(|state| &state.role);
        self.checks(request, role)
            .iter()
            .try_for_each(|check| self.check(caller, check))
    }

    fn check(&self, caller: &str, check: &Check) -> Result<(), Problem> {
        let Check {
            action,
            resource,
            shown,
            context,
        } = check;
        let decision = if self.denied.contains(&action.to_ascii_lowercase()) {
            Decision::Denied
        } else {
            let policy = self.policy.as_ref();
            policy.map_or(Decision::Allowed, |policy| {
                policy.decide(action, resource, context)
            })
        };
        let why = match decision {
            Decision::Allowed => return Ok(()),
            Decision::Denied => "with an explicit deny in an identity-based policy".to_owned(),
            Decision::NotAllowed => format!("because no identity-based policy allows the {action} action"),
        };
        Err(Problem::access_denied(caller, action, shown, &why))
    }

    fn checks(&self, request: &Request, role: Option<&Role>) -> Vec<Check> {
        let name = &request.role;
        let action = format!("iam:{}", request.action.name);
        let Ask::Create(new) = &request.ask else {
            return vec![Check {
                action,
                resource: role.map_or_else(|| self.arn("/", name), |role| role.arn.clone()),
                shown: format!("role {name}"),
                context: context(&request.ask, role),
            }];
        };
        let resource = self.arn(&new.path, name);
        let check = |action: String, context| Check {
            action,
            resource: resource.clone(),
            shown: resource.clone(),
            context,
        };
        let mut checks = vec![check(action, context(&request.ask, None))];
        if !new.tags.is_empty() {
            checks.push(check("iam:TagRole".to_owned(), requested_tags(&new.tags)));
        }
        checks
    }
}

/// The condition keys of a request, in lower case.
fn context(ask: &Ask, role: Option<&Role>) -> Context {
    let existing = || role.and_then(|role| role.boundary.as_ref());
    let (mut context, boundary, policy) = match ask {
        Ask::Create(new) => (requested_tags(&new.tags), new.boundary.as_ref(), None),
        Ask::Write(Write::Tag(tags)) => (requested_tags(tags), None, None),
        Ask::Write(Write::Untag(keys)) => (tag_keys(keys.iter()), None, None),
        Ask::Write(Write::PutBoundary(boundary)) => (Context::new(), Some(boundary), None),
        Ask::Write(Write::PutPolicy { .. } | Write::DeletePolicy(_) | Write::DeleteBoundary) => {
            (Context::new(), existing(), None)
        }
        Ask::Write(Write::Attach(policy) | Write::Detach(policy)) => {
            (Context::new(), existing(), Some(policy))
        }
        Ask::Write(Write::Delete | Write::PutTrust(_)) | Ask::Read(_) => (Context::new(), None, None),
    };
    let of_policies = [("iam:permissionsboundary", boundary), ("iam:policyarn", policy)];
    for (key, arn) in of_policies {
        context.extend(arn.map(|arn| (key.to_owned(), vec![arn.clone()])));
    }
    for (key, value) in role.iter().flat_map(|role| &role.tags) {
        for prefix in ["aws:resourcetag/", "iam:resourcetag/"] {
            context.insert(format!("{prefix}{}", key.to_lowercase()), vec![value.clone()]);
        }
    }
    context
}

fn requested_tags(tags: &BTreeMap<String, String>) -> Context {
    let mut context = tag_keys(tags.keys());
    context.extend(tags.iter().map(|(key, value)| {
        (
            format!("aws:requesttag/{}", key.to_lowercase()),
            vec![value.clone()],
        )
    }));
    context
}

fn tag_keys<'a>(keys: impl Iterator<Item = &'a String>) -> Context {
    let keys: Vec<String> = keys.cloned().collect();
    let mut context = Context::new();
    if !keys.is_empty() {
        context.insert("aws:tagkeys".to_owned(), keys);
    }
    context
}

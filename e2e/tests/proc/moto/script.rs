//! What both are asked, in this order. Where moto does not check, a step takes a role that no later step looks at.

mod policies;
mod roles;

use serde_json::{Value, json};

/// Managed policies that exist.
pub(super) const POLICIES: [&str; 12] = [
    "boundary", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10", "p11",
];

/// One call.
pub(super) struct Step {
    /// Its name.
    pub(super) what: &'static str,
    pub(super) action: &'static str,
    pub(super) fields: Vec<(String, String)>,
}

fn step(what: &'static str, action: &'static str, role: &str, fields: &[(&str, &str)]) -> Step {
    let fields = fields.iter().copied();
    Step {
        what,
        action,
        fields: std::iter::once(("RoleName", role))
            .chain(fields)
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    }
}

fn arn(policy: &str) -> String {
    format!("arn:aws:iam::{}:policy/{policy}", super::ACCOUNT)
}

fn permissions(resource: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["xray:PutTraceSegments"], "Resource": resource}],
    })
}

pub(super) fn documents_of_policies() -> impl Iterator<Item = String> {
    std::iter::repeat_with(|| permissions("*").to_string())
}

/// A subject of so many characters makes it as long as needed.
fn trust(subject: usize) -> String {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Federated": "arn:aws:iam::123456789012:oidc-provider/issuer.test"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {"issuer.test:sub": "s".repeat(subject)}},
        }],
    })
    .to_string()
}

pub(super) fn steps() -> Vec<Step> {
    [
        roles::new_roles(),
        roles::tags(),
        roles::trusts(),
        roles::boundaries(),
        policies::inline(),
        policies::attached(),
        missing(),
        ends(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn create(what: &'static str, role: &str, fields: &[(&str, &str)]) -> Step {
    let trust = trust(10);
    let trust: &[(&str, &str)] = &[("AssumeRolePolicyDocument", &trust)];
    step(what, "CreateRole", role, &[trust, fields].concat())
}

fn missing() -> Vec<Step> {
    let (trust, permissions) = (trust(1), permissions("*").to_string());
    let policy = arn("p1");
    let nobody = |what, action, fields: &[(&str, &str)]| step(what, action, "nobody", fields);
    vec![
        nobody("nobody's role", "GetRole", &[]),
        nobody("nobody's end", "DeleteRole", &[]),
        nobody(
            "nobody's tag",
            "TagRole",
            &[("Tags.member.1.Key", "k"), ("Tags.member.1.Value", "v")],
        ),
        nobody("nobody's tag less", "UntagRole", &[("TagKeys.member.1", "k")]),
        nobody(
            "nobody's trust policy",
            "UpdateAssumeRolePolicy",
            &[("PolicyDocument", &trust)],
        ),
        nobody(
            "nobody's policy",
            "PutRolePolicy",
            &[("PolicyName", "p"), ("PolicyDocument", &permissions)],
        ),
        nobody("nobody's policy told", "GetRolePolicy", &[("PolicyName", "p")]),
        nobody("nobody's policy less", "DeleteRolePolicy", &[("PolicyName", "p")]),
        nobody("nobody's policies", "ListRolePolicies", &[]),
        nobody("nobody's attached policies", "ListAttachedRolePolicies", &[]),
        nobody(
            "nobody's boundary",
            "PutRolePermissionsBoundary",
            &[("PermissionsBoundary", &policy)],
        ),
        nobody("nobody's boundary less", "DeleteRolePermissionsBoundary", &[]),
        nobody(
            "nobody's attachment",
            "AttachRolePolicy",
            &[("PolicyArn", &policy)],
        ),
        nobody(
            "nobody's detachment",
            "DetachRolePolicy",
            &[("PolicyArn", &policy)],
        ),
    ]
}

fn ends() -> Vec<Step> {
    vec![
        step(
            "the last policy",
            "DeleteRolePolicy",
            "collector",
            &[("PolicyName", "write")],
        ),
        step("the end", "DeleteRole", "collector", &[]),
        step("after the end", "GetRole", "collector", &[]),
        step("the end again", "DeleteRole", "collector", &[]),
        create("a new role of the old name", "collector", &[]),
        step("the new role", "GetRole", "collector", &[]),
    ]
}

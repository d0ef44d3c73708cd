//! The permission policies of roles.

use serde_json::{Value, json};

use super::{POLICIES, Step, arn, create, permissions, step};

pub(super) fn inline() -> Vec<Step> {
    let put = |what, role, name: &str, document: &str| {
        let fields = [("PolicyName", name), ("PolicyDocument", document)];
        step(what, "PutRolePolicy", role, &fields)
    };
    let changed = |member: &str, value: Value| {
        let mut policy = permissions("*");
        policy["Statement"][0][member] = value;
        policy.to_string()
    };
    let write = [("PolicyName", "write")];
    let long = permissions(&format!("arn:aws:s3:::{}", "x".repeat(10_200))).to_string();
    vec![
        step("no policy yet", "GetRolePolicy", "collector", &write),
        put("a policy", "collector", "write", &permissions("*").to_string()),
        step("its policy", "GetRolePolicy", "collector", &write),
        put(
            "the policy anew",
            "collector",
            "write",
            &permissions("arn:aws:xray:*:*:group/*").to_string(),
        ),
        step("its policy again", "GetRolePolicy", "collector", &write),
        put(
            "another policy",
            "collector",
            "more",
            &permissions("*").to_string(),
        ),
        step("its policies", "ListRolePolicies", "collector", &[]),
        step(
            "a part of a list",
            "ListRolePolicies",
            "collector",
            &[("MaxItems", "1")],
        ),
        step("deleted with policies", "DeleteRole", "collector", &[]),
        put("policy that is no JSON", "collector", "p", "{"),
        put("policy that is a list", "collector", "p", "[]"),
        put(
            "policy of an old version",
            "collector",
            "p",
            &permissions("*").to_string().replace("2012-10-17", "2008-10-17"),
        ),
        put(
            "policy without a vendor",
            "collector",
            "p",
            &changed("Action", json!("PutTraceSegments")),
        ),
        put(
            "policy with no ARN",
            "collector",
            "p",
            &changed("Resource", json!("everything")),
        ),
        put(
            "policy with a member too many",
            "collector",
            "p",
            &changed("Colour", json!("red")),
        ),
        put(
            "policy with an odd effect",
            "collector",
            "p",
            &changed("Effect", json!("Perhaps")),
        ),
        put(
            "policy with an effect in small letters",
            "collector",
            "p",
            &changed("Effect", json!("allow")),
        ),
        put(
            "inline policy with a principal",
            "spelt",
            "p",
            &changed("Principal", json!("*")),
        ),
        put("inline policies of 10241", "spelt", "long", &long),
        put(
            "inline policy with a name of 129",
            "spelt",
            &"p".repeat(129),
            &permissions("*").to_string(),
        ),
        step(
            "a policy less",
            "DeleteRolePolicy",
            "collector",
            &[("PolicyName", "more")],
        ),
        step(
            "no such policy",
            "DeleteRolePolicy",
            "collector",
            &[("PolicyName", "more")],
        ),
    ]
}

pub(super) fn attached() -> Vec<Step> {
    let attach =
        |what, role, policy: &str| step(what, "AttachRolePolicy", role, &[("PolicyArn", &arn(policy))]);
    let mut steps = vec![
        attach("an attached policy", "collector", "p1"),
        attach("it attached again", "collector", "p1"),
        step(
            "its attached policies",
            "ListAttachedRolePolicies",
            "collector",
            &[],
        ),
        attach("an attached policy that does not exist", "collector", "missing"),
        step("deleted with attached policies", "DeleteRole", "collector", &[]),
        step(
            "a detached policy",
            "DetachRolePolicy",
            "collector",
            &[("PolicyArn", &arn("p1"))],
        ),
        step(
            "it detached again",
            "DetachRolePolicy",
            "collector",
            &[("PolicyArn", &arn("p1"))],
        ),
        step(
            "no attached policies",
            "ListAttachedRolePolicies",
            "collector",
            &[],
        ),
        create("a role for many policies", "attached", &[]),
    ];
    let names = [
        "1st",
        "2nd",
        "3rd",
        "4th",
        "5th",
        "6th",
        "7th",
        "8th",
        "9th",
        "10th",
        "11th attached policy",
    ];
    let ten = names.into_iter().zip(&POLICIES[1..]);
    steps.extend(ten.map(|(what, policy)| attach(what, "attached", policy)));
    steps
}

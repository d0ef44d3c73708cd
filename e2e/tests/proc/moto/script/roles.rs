//! Roles, their tags, trust policies and boundaries.

use super::{Step, arn, create, step, trust};

pub(super) fn new_roles() -> Vec<Step> {
    vec![
        create(
            "a new role",
            "collector",
            &[
                ("Path", "/tracing/prod/"),
                ("Description", "ours"),
                ("MaxSessionDuration", "7200"),
                ("PermissionsBoundary", &arn("boundary")),
                ("Tags.member.1.Key", "tracepipe.dev/uid"),
                ("Tags.member.1.Value", "uid-1"),
                ("Tags.member.2.Key", "empty"),
                ("Tags.member.2.Value", ""),
            ],
        ),
        step("it is there", "GetRole", "collector", &[]),
        create("a plain role", "plain", &[]),
        step("it is plain", "GetRole", "plain", &[]),
        create("the same name", "collector", &[]),
        create(
            "the same name on another path",
            "collector",
            &[("Path", "/other/")],
        ),
        create("the same name in capitals", "PLAIN", &[]),
        create("name of 65", &"n".repeat(65), &[]),
        create("name with a slash", "a/b", &[]),
        create("path without slashes", "odd-path", &[("Path", "tracing")]),
        create(
            "path of 513",
            "long-path",
            &[("Path", &format!("/{}/", "p".repeat(511)))],
        ),
        create(
            "description of 1001",
            "long-description",
            &[("Description", &"d".repeat(1001))],
        ),
        create(
            "session of 59 minutes",
            "short-session",
            &[("MaxSessionDuration", "3540")],
        ),
        step("no trust policy", "CreateRole", "without-trust", &[]),
        step("unknown action", "CreateRoleAlias", "collector", &[]),
    ]
}

pub(super) fn tags() -> Vec<Step> {
    let many = |count: usize| -> Vec<(String, String)> {
        let tag = |number: usize| {
            [
                (format!("Tags.member.{number}.Key"), format!("k{number}")),
                (format!("Tags.member.{number}.Value"), "v".to_owned()),
            ]
        };
        (1..=count).flat_map(tag).collect()
    };
    let tag = |what, role, key: &str, value: &str| {
        let fields = [("Tags.member.1.Key", key), ("Tags.member.1.Value", value)];
        step(what, "TagRole", role, &fields)
    };
    let tag_many = |what, role, count| {
        let owned = many(count);
        let fields: Vec<(&str, &str)> = owned
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        step(what, "TagRole", role, &fields)
    };
    vec![
        tag("a tag more", "collector", "team", "a b"),
        tag("a tag anew", "collector", "team", "c"),
        step("its tags", "GetRole", "collector", &[]),
        step(
            "a tag less",
            "UntagRole",
            "collector",
            &[("TagKeys.member.1", "team"), ("TagKeys.member.2", "never")],
        ),
        step("its tags again", "GetRole", "collector", &[]),
        tag("key of 129", "collector", &"k".repeat(129), ""),
        tag("value of 257", "collector", "k", &"v".repeat(257)),
        tag("key with a semicolon", "collector", "a;b", ""),
        step(
            "key to take away of 129",
            "UntagRole",
            "collector",
            &[("TagKeys.member.1", &"k".repeat(129))],
        ),
        step(
            "a key twice",
            "TagRole",
            "collector",
            &[
                ("Tags.member.1.Key", "k"),
                ("Tags.member.1.Value", "1"),
                ("Tags.member.2.Key", "K"),
                ("Tags.member.2.Value", "2"),
            ],
        ),
        tag_many("51 tags", "plain", 51),
        tag_many("50 tags", "plain", 50),
        step("fifty tags", "GetRole", "plain", &[]),
        tag("51st tag", "plain", "k51", "v"),
        create(
            "a role for spellings",
            "spelt",
            &[("Tags.member.1.Key", "team"), ("Tags.member.1.Value", "a")],
        ),
        // What the write changes shows at the read after it.
        tag("another spelling", "spelt", "Team", "b"),
        step("tags after another case", "GetRole", "spelt", &[]),
        tag("tag of AWS", "spelt", "aws:k", "v"),
        step("tags without a list", "TagRole", "spelt", &[]),
    ]
}

pub(super) fn trusts() -> Vec<Step> {
    let update = |what, role, document: &str| {
        step(
            what,
            "UpdateAssumeRolePolicy",
            role,
            &[("PolicyDocument", document)],
        )
    };
    let with = |what, role: &str, document: &str| {
        step(
            what,
            "CreateRole",
            role,
            &[("AssumeRolePolicyDocument", document)],
        )
    };
    vec![
        update("another trust policy", "collector", &trust(20)),
        step("its trust policy", "GetRole", "collector", &[]),
        update("update to what is no JSON", "collector", "{"),
        update("update to a list", "collector", "[]"),
        update(
            "update to no version",
            "collector",
            &trust(5).replace("2012", "1999"),
        ),
        with("trust policy that is no JSON", "no-json", "{"),
        with(
            "trust policy of 2049",
            "long-trust",
            &trust(2049 - trust(0).len()),
        ),
        create("a role for a long trust policy", "long-trust-later", &[]),
        update(
            "update to a trust policy of 2049",
            "long-trust-later",
            &trust(2049 - trust(0).len()),
        ),
    ]
}

pub(super) fn boundaries() -> Vec<Step> {
    let put = |what, role, arn: &str| {
        step(
            what,
            "PutRolePermissionsBoundary",
            role,
            &[("PermissionsBoundary", arn)],
        )
    };
    vec![
        put("another boundary", "collector", &arn("p1")),
        step("its boundary", "GetRole", "collector", &[]),
        step("no boundary", "DeleteRolePermissionsBoundary", "collector", &[]),
        step(
            "still no boundary",
            "DeleteRolePermissionsBoundary",
            "collector",
            &[],
        ),
        step("it is gone", "GetRole", "collector", &[]),
        create(
            "boundary that does not exist",
            "unbounded",
            &[("PermissionsBoundary", &arn("missing"))],
        ),
        put("another boundary that does not exist", "spelt", &arn("missing")),
        put(
            "boundary that is no policy",
            "spelt",
            "arn:aws:iam::123456789012:role/collector",
        ),
    ]
}

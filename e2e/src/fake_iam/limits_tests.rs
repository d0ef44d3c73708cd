use serde_json::{Value, json};

use super::testing::{
    BOUNDARY, OTHER_POLICY, at, call, create, iam, message, new_role, outcome, permissions, trust,
};

const NAME: (&str, &str) = ("RoleName", "collector");

/// What `CreateRole` with one other field comes to, in an account without roles.
fn created(field: &str, value: &str) -> String {
    outcome(&iam().call(at(0), &new_role(&[(field, Some(value))])))
}

#[test]
fn each_field_of_a_new_role_has_its_limit() {
    let longest = |length: usize, text: &str| text.repeat(length);
    let path = |length: usize| format!("/{}/", "p".repeat(length - 2));
    let allowed = [
        ("RoleName", longest(64, "r")),
        ("RoleName", "aZ09_+=,.@-".into()),
        ("Path", "/".into()),
        ("Path", path(512)),
        ("Path", "/a/!~/".into()),
        ("Description", longest(1000, "é")),
        ("Description", "a\tb\r\nc".into()),
        ("MaxSessionDuration", "3600".into()),
        ("MaxSessionDuration", "43200".into()),
    ];
    for (field, value) in allowed {
        assert_eq!(created(field, &value), "200", "{field} {value}");
    }
    let refused = [
        ("RoleName", longest(65, "r")),
        ("RoleName", String::new()),
        ("RoleName", "a/b".into()),
        ("RoleName", "a b".into()),
        ("RoleName", "é".into()),
        ("Path", path(513)),
        ("Path", "tracing".into()),
        ("Path", "/tracing".into()),
        ("Path", "tracing/".into()),
        ("Path", "//".into()),
        ("Path", "/a b/".into()),
        ("Path", "/é/".into()),
        ("Description", longest(1001, "d")),
        ("Description", "…".into()),
        ("MaxSessionDuration", "3599".into()),
        ("MaxSessionDuration", "43201".into()),
        ("PermissionsBoundary", "arn:aws:iam::1:pol".into()),
        ("AssumeRolePolicyDocument", longest(131_073, " ")),
        ("Colour", "red".into()),
    ];
    for (field, value) in refused {
        assert_eq!(created(field, &value), "400 ValidationError", "{field} {value}");
    }
    for field in ["RoleName", "AssumeRolePolicyDocument"] {
        let answer = iam().call(at(0), &new_role(&[(field, None)]));
        assert_eq!(outcome(&answer), "400 ValidationError", "{field}");
    }
}

#[test]
fn a_refused_field_is_named_as_iam_names_it() {
    let mut iam = iam();
    assert_eq!(
        message(&mut iam, "GetRole", &[("RoleName", "a b")]),
        "1 validation error detected: Value 'a b' at 'roleName' failed to satisfy constraint: \
         Member must satisfy regular expression pattern: [\\w+=,.@-]+"
    );
    let tag = [NAME, ("Tags.member.1.Key", "a;b"), ("Tags.member.1.Value", "")];
    assert!(message(&mut iam, "TagRole", &tag).contains("'a;b' at 'tags.1.member.key'"));
}

#[test]
fn tags_have_limits_and_one_spelling() {
    let tag = |key: &str, value: &str| {
        let fields = [
            ("Tags.member.1.Key", Some(key)),
            ("Tags.member.1.Value", Some(value)),
        ];
        outcome(&iam().call(at(0), &new_role(&fields)))
    };
    let (key, value) = ("k".repeat(128), "v".repeat(256));
    for (key, value) in [
        (key.as_str(), value.as_str()),
        ("tracepipe.dev/uid", ""),
        ("Ünï 1_.:/=+-@", "ß Ⅷ"),
    ] {
        assert_eq!(tag(key, value), "200", "{key} {value}");
    }
    let (key, value) = ("k".repeat(129), "v".repeat(257));
    for (key, value) in [
        (key.as_str(), ""),
        ("", ""),
        ("k", value.as_str()),
        ("a;b", ""),
        ("k", "a*b"),
        ("a\tb", ""),
    ] {
        assert_eq!(tag(key, value), "400 ValidationError", "{key} {value}");
    }
    assert_eq!(tag("aws:k", ""), "400 InvalidInput");
    let without_value = new_role(&[("Tags.member.1.Key", Some("k"))]);
    assert_eq!(outcome(&iam().call(at(0), &without_value)), "400 ValidationError");
    let gap = new_role(&[
        ("Tags.member.2.Key", Some("k")),
        ("Tags.member.2.Value", Some("")),
    ]);
    assert_eq!(outcome(&iam().call(at(0), &gap)), "400 MalformedInput");
    let twice = new_role(&[
        ("Tags.member.1.Key", Some("team")),
        ("Tags.member.1.Value", Some("a")),
        ("Tags.member.2.Key", Some("Team")),
        ("Tags.member.2.Value", Some("a")),
    ]);
    assert_eq!(outcome(&iam().call(at(0), &twice)), "400 InvalidInput");
}

#[test]
fn a_role_has_fifty_tags_at_most() {
    let fields = |from: usize, count: usize| -> Vec<(String, String)> {
        let tag = |at: usize| {
            [
                (format!("Tags.member.{}.Key", at + 1), format!("k{}", from + at)),
                (format!("Tags.member.{}.Value", at + 1), String::new()),
            ]
        };
        (0..count).flat_map(tag).collect()
    };
    let tagged = |iam: &mut super::Iam, from: usize, count: usize| {
        let owned = fields(from, count);
        let tags = owned.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let fields: Vec<(&str, &str)> = std::iter::once(NAME).chain(tags).collect();
        call(iam, "TagRole", &fields)
    };
    let mut iam = iam();
    create(&mut iam, &[]);
    assert_eq!(tagged(&mut iam, 0, 51), "400 ValidationError");
    assert_eq!(tagged(&mut iam, 0, 50), "200");
    assert_eq!(tagged(&mut iam, 0, 50), "200");
    assert_eq!(tagged(&mut iam, 50, 1), "409 LimitExceeded");
    assert_eq!(iam.role("collector").unwrap().tags.len(), 50);
}

/// The trust policy with a subject of so many characters, and its own length beside it.
fn trust_of(length: usize) -> String {
    let mut trust = trust();
    let rest = {
        trust["Statement"][0]["Condition"]["StringEquals"]["issuer.test:sub"] = json!("");
        trust.to_string().len()
    };
    trust["Statement"][0]["Condition"]["StringEquals"]["issuer.test:sub"] = json!("s".repeat(length - rest));
    serde_json::to_string_pretty(&trust).unwrap()
}

#[test]
fn a_trust_policy_has_2048_characters_and_white_space_is_none() {
    let mut iam = iam();
    assert!(trust_of(2048).len() > 2100);
    create(&mut iam, &[("AssumeRolePolicyDocument", Some(&trust_of(2048)))]);
    let over = trust_of(2049);
    assert_eq!(created("AssumeRolePolicyDocument", &over), "409 LimitExceeded");
    let update = [NAME, ("PolicyDocument", over.as_str())];
    assert_eq!(
        call(&mut iam, "UpdateAssumeRolePolicy", &update),
        "409 LimitExceeded"
    );
    assert_eq!(
        message(&mut iam, "UpdateAssumeRolePolicy", &update),
        "Cannot exceed quota for ACLSizePerRole: 2048"
    );
}

#[test]
fn what_is_no_trust_policy_is_refused() {
    let mut principal = trust();
    principal["Statement"][0]["Principal"] = json!("*");
    let text = trust().to_string();
    let twice = text.replacen('{', "{\"Version\":\"2012-10-17\",", 1);
    for document in ["{", "[]", "{}", &principal.to_string(), &twice] {
        assert_eq!(
            created("AssumeRolePolicyDocument", document),
            "400 MalformedPolicyDocument",
            "{document}"
        );
    }
}

fn put(iam: &mut super::Iam, name: &str, policy: &str) -> String {
    call(
        iam,
        "PutRolePolicy",
        &[NAME, ("PolicyName", name), ("PolicyDocument", policy)],
    )
}

/// A permission policy that is measured as so many characters.
fn permissions_of(length: usize) -> String {
    let mut policy = permissions();
    policy["Statement"][0]["Resource"] = json!("arn:aws:s3:::");
    let rest = policy.to_string().len();
    policy["Statement"][0]["Resource"] = json!(format!("arn:aws:s3:::{}", "x".repeat(length - rest)));
    policy.to_string()
}

#[test]
fn inline_policies_have_10240_characters_together() {
    let mut iam = iam();
    create(&mut iam, &[]);
    assert_eq!(put(&mut iam, "a", &permissions_of(10_241)), "409 LimitExceeded");
    assert_eq!(put(&mut iam, "a", &permissions_of(10_000)), "200");
    assert_eq!(put(&mut iam, "b", &permissions_of(241)), "409 LimitExceeded");
    assert_eq!(put(&mut iam, "b", &permissions_of(240)), "200");
    // What is replaced does not count.
    assert_eq!(put(&mut iam, "b", &permissions_of(239)), "200");
    let text = permissions_of(300);
    let fields = [NAME, ("PolicyName", "b"), ("PolicyDocument", text.as_str())];
    assert_eq!(
        message(&mut iam, "PutRolePolicy", &fields),
        "Maximum policy size of 10240 bytes exceeded for role collector"
    );
}

#[test]
fn what_is_no_permission_policy_is_refused() {
    let mut iam = iam();
    create(&mut iam, &[]);
    let mut one = permissions();
    one["Statement"] = one["Statement"][0].clone();
    assert_eq!(put(&mut iam, "one", &one.to_string()), "200");
    let statement = |path: &str, value: Value| {
        let mut policy = permissions();
        policy["Statement"][0][path] = value;
        policy
    };
    let without = |path: &str| {
        let mut policy = permissions();
        policy["Statement"][0].as_object_mut().unwrap().remove(path);
        policy
    };
    let mut old = permissions();
    old["Version"] = json!("2008-10-17");
    let mut more = permissions();
    more["Statements"] = json!([]);
    let empty = json!({"Version": "2012-10-17", "Statement": []});
    let sid = json!({"Sid": "a", "Effect": "Allow", "Action": "*", "Resource": "*"});
    let policies = [
        json!([]),
        json!("text"),
        old,
        more,
        empty,
        json!({"Version": "2012-10-17", "Statement": [sid, sid]}),
        without("Effect"),
        without("Action"),
        without("Resource"),
        statement("Effect", json!("allow")),
        statement("Action", json!([])),
        statement("Action", json!("PutTraceSegments")),
        statement("Action", json!(1)),
        statement("Resource", json!("everything")),
        statement("Principal", json!("*")),
        statement("NotAction", json!("xray:*")),
        statement("Condition", json!("x")),
        statement("Sid", json!("a-b")),
    ];
    for policy in policies {
        assert_eq!(
            put(&mut iam, "p", &policy.to_string()),
            "400 MalformedPolicyDocument",
            "{policy}"
        );
    }
    assert_eq!(put(&mut iam, "p", "{"), "400 MalformedPolicyDocument");
    assert_eq!(
        put(&mut iam, &"p".repeat(129), &one.to_string()),
        "400 ValidationError"
    );
}

#[test]
fn a_boundary_has_to_exist() {
    let mut iam = iam();
    create(&mut iam, &[]);
    let put = |iam: &mut super::Iam, arn: &str| {
        call(
            iam,
            "PutRolePermissionsBoundary",
            &[NAME, ("PermissionsBoundary", arn)],
        )
    };
    let missing = "arn:aws:iam::111122223333:policy/missing";
    for (arn, expected) in [
        (BOUNDARY, "200"),
        (missing, "404 NoSuchEntity"),
        ("arn:aws:iam::111122223333:role/collector", "400 InvalidInput"),
        ("arn:aws-cn:iam::111122223333:policy/p", "400 ValidationError"),
    ] {
        assert_eq!(put(&mut iam, arn), expected);
        assert_eq!(created("PermissionsBoundary", arn), expected);
    }
    assert_eq!(
        message(
            &mut iam,
            "PutRolePermissionsBoundary",
            &[NAME, ("PermissionsBoundary", missing)]
        ),
        format!("Scope ARN: {missing} does not exist or is not attachable.")
    );
    assert_eq!(
        call(&mut iam, "AttachRolePolicy", &[NAME, ("PolicyArn", missing)]),
        "404 NoSuchEntity"
    );
}

#[test]
fn a_role_has_ten_managed_policies_at_most() {
    let mut iam = iam();
    create(&mut iam, &[]);
    iam.change(at(0), "collector", |role| {
        role.attached = (0..10)
            .map(|number| format!("arn:aws:iam::aws:policy/p{number}"))
            .collect();
    });
    let attach = [NAME, ("PolicyArn", OTHER_POLICY)];
    assert_eq!(call(&mut iam, "AttachRolePolicy", &attach), "409 LimitExceeded");
    iam.change(at(0), "collector", |role| {
        role.attached.pop_first();
    });
    assert_eq!(call(&mut iam, "AttachRolePolicy", &attach), "200");
}

#[test]
fn an_account_has_so_many_roles_at_most() {
    let mut iam = iam();
    iam.set_role_quota(1);
    create(&mut iam, &[]);
    let another = new_role(&[("RoleName", Some("another"))]);
    assert_eq!(outcome(&iam.call(at(0), &another)), "409 LimitExceeded");
    iam.remove(at(0), "collector");
    assert_eq!(outcome(&iam.call(at(0), &another)), "200");
}

#[test]
fn other_actions_and_versions_are_not_known() {
    let mut iam = iam();
    for body in [
        &b"Action=ListRoles&Version=2010-05-08"[..],
        b"Action=GetRole&Version=2011-06-15&RoleName=a",
        b"Action=GetRole&RoleName=a",
        b"",
        b"Action=%",
        b"Action=GetRole&Version=2010-05-08&RoleName=a&RoleName=b",
    ] {
        assert_eq!(outcome(&iam.call(at(0), body)), "400 InvalidAction");
    }
}

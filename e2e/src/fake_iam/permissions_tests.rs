use std::time::Duration;

use serde_json::{Value, json};

use super::Iam;
use super::testing::{
    BOUNDARY, OTHER_POLICY, at, call, create, form, iam, message, new_role, outcome, permissions, text_of,
    trust,
};

const NAME: (&str, &str) = ("RoleName", "collector");
const PATH: &str = "/tracing/prod/";
const PATTERN: &str = "arn:aws:iam::111122223333:role/tracing/prod/*";

fn policy(action: &str, resource: &str, condition: Value) -> Value {
    let mut statement = json!({"Effect": "Allow", "Action": action, "Resource": resource});
    if !condition.is_null() {
        statement["Condition"] = condition;
    }
    json!({"Version": "2012-10-17", "Statement": [statement]})
}

/// Made under [`PATH`], with a boundary and the tag `team`.
fn stage() -> Iam {
    let mut iam = iam();
    let fields = [
        ("Path", Some(PATH)),
        ("PermissionsBoundary", Some(BOUNDARY)),
        ("Tags.member.1.Key", Some("team")),
        ("Tags.member.1.Value", Some("a")),
    ];
    create(&mut iam, &fields);
    iam
}

/// Every action but `CreateRole`, with what it takes beside the name.
fn actions() -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let trust = trust().to_string();
    let permissions = permissions().to_string();
    vec![
        ("GetRole", vec![]),
        ("DeleteRole", vec![]),
        (
            "TagRole",
            vec![
                ("Tags.member.1.Key", "zone".into()),
                ("Tags.member.1.Value", "z".into()),
            ],
        ),
        ("UntagRole", vec![("TagKeys.member.1", "zone".into())]),
        ("UpdateAssumeRolePolicy", vec![("PolicyDocument", trust)]),
        (
            "PutRolePolicy",
            vec![("PolicyName", "p".into()), ("PolicyDocument", permissions)],
        ),
        ("GetRolePolicy", vec![("PolicyName", "p".into())]),
        ("DeleteRolePolicy", vec![("PolicyName", "p".into())]),
        ("ListRolePolicies", vec![]),
        ("ListAttachedRolePolicies", vec![]),
        (
            "PutRolePermissionsBoundary",
            vec![("PermissionsBoundary", BOUNDARY.into())],
        ),
        ("DeleteRolePermissionsBoundary", vec![]),
        ("AttachRolePolicy", vec![("PolicyArn", OTHER_POLICY.into())]),
        ("DetachRolePolicy", vec![("PolicyArn", OTHER_POLICY.into())]),
    ]
}

/// Those that a policy lets through, on a role that exists.
fn let_through(policy: &Value) -> Vec<&'static str> {
    let is_let = |(action, fields): &(&'static str, Vec<(&'static str, String)>)| {
        let mut iam = stage();
        iam.set_caller_policy(Some(policy)).unwrap();
        let fields = fields.iter().map(|(name, value)| (*name, value.as_str()));
        let fields: Vec<(&str, &str)> = std::iter::once(NAME).chain(fields).collect();
        call(&mut iam, action, &fields) != "403 AccessDenied"
    };
    let actions = actions().into_iter().filter(is_let);
    actions.map(|(action, _)| action).collect()
}

#[test]
fn a_condition_key_is_there_for_the_actions_that_have_it_and_for_no_other() {
    let all: Vec<&str> = actions().into_iter().map(|(action, _)| action).collect();
    let of_boundary = [
        "PutRolePolicy",
        "DeleteRolePolicy",
        "PutRolePermissionsBoundary",
        "DeleteRolePermissionsBoundary",
        "AttachRolePolicy",
        "DetachRolePolicy",
    ];
    let keys: [(Value, &[&str]); 6] = [
        (json!({"iam:PermissionsBoundary": BOUNDARY}), &of_boundary),
        (
            json!({"iam:PolicyARN": OTHER_POLICY}),
            &["AttachRolePolicy", "DetachRolePolicy"],
        ),
        (json!({"aws:RequestTag/zone": "z"}), &["TagRole"]),
        (json!({"aws:ResourceTag/team": "a"}), &all),
        (json!({"iam:ResourceTag/Team": "a"}), &all),
        (json!({"aws:ResourceTag/zone": "z"}), &[]),
    ];
    for (condition, expected) in keys {
        let policy = policy("iam:*", "*", json!({"StringEquals": condition}));
        assert_eq!(let_through(&policy), expected, "{policy}");
    }
    assert_eq!(let_through(&policy("iam:*", PATTERN, Value::Null)), all);
    assert_eq!(
        let_through(&policy(
            "iam:*",
            "arn:aws:iam::111122223333:role/other/*",
            Value::Null
        )),
        [""; 0]
    );
}

#[test]
fn tag_keys_are_those_of_the_request() {
    let denied = |keys: Value| -> Vec<&str> {
        let policy = policy(
            "iam:*",
            "*",
            json!({"ForAllValues:StringEquals": {"aws:TagKeys": keys}}),
        );
        let through = let_through(&policy);
        let actions = actions().into_iter().map(|(action, _)| action);
        actions.filter(|action| !through.contains(action)).collect()
    };
    assert_eq!(denied(json!(["team", "zone"])), [""; 0]);
    assert_eq!(denied(json!("team")), ["TagRole", "UntagRole"]);
}

#[test]
fn the_boundary_is_the_one_that_is_put_and_otherwise_the_one_that_is_there() {
    let mut iam = stage();
    let only = policy(
        "iam:*",
        "*",
        json!({"StringEquals": {"iam:PermissionsBoundary": BOUNDARY}}),
    );
    iam.set_caller_policy(Some(&only)).unwrap();
    let put = |iam: &mut Iam, arn| {
        call(
            iam,
            "PutRolePermissionsBoundary",
            &[NAME, ("PermissionsBoundary", arn)],
        )
    };
    let text = permissions().to_string();
    let inline = [NAME, ("PolicyName", "p"), ("PolicyDocument", &text)];
    assert_eq!(put(&mut iam, OTHER_POLICY), "403 AccessDenied");
    assert_eq!(call(&mut iam, "PutRolePolicy", &inline), "200");
    iam.change(at(0), "collector", |role| role.boundary = None);
    assert_eq!(call(&mut iam, "PutRolePolicy", &inline), "403 AccessDenied");
    assert_eq!(put(&mut iam, BOUNDARY), "200");
    assert_eq!(call(&mut iam, "PutRolePolicy", &inline), "200");
}

/// What is allowed to make a role with a boundary and a tag, one condition key a time left out of the request.
#[test]
fn each_condition_on_a_new_role_is_needed() {
    let conditions = json!({
        "StringEquals": {"iam:PermissionsBoundary": BOUNDARY, "aws:RequestTag/team": "a"},
        "ForAllValues:StringEquals": {"aws:TagKeys": ["team"]},
    });
    let mut all = policy("iam:CreateRole", PATTERN, conditions);
    let tag = json!({"Effect": "Allow", "Action": "iam:TagRole", "Resource": PATTERN,
                     "Condition": {"StringEquals": {"aws:RequestTag/team": "a"}}});
    all["Statement"].as_array_mut().unwrap().push(tag);
    let right = [
        ("Path", Some(PATH)),
        ("PermissionsBoundary", Some(BOUNDARY)),
        ("Tags.member.1.Key", Some("team")),
        ("Tags.member.1.Value", Some("a")),
    ];
    let made = |policy: &Value, changes: &[(&str, Option<&str>)]| {
        let mut iam = iam();
        iam.set_caller_policy(Some(policy)).unwrap();
        let fields = [&right, changes].concat();
        outcome(&iam.call(at(0), &new_role(&fields)))
    };
    assert_eq!(made(&all, &[]), "200");
    let changes: [&[(&str, Option<&str>)]; 7] = [
        &[("Path", None)],
        &[("Path", Some("/tracing/test/"))],
        &[("PermissionsBoundary", None)],
        &[("PermissionsBoundary", Some(OTHER_POLICY))],
        &[("Tags.member.1.Key", None), ("Tags.member.1.Value", None)],
        &[("Tags.member.1.Value", Some("b"))],
        &[
            ("Tags.member.2.Key", Some("more")),
            ("Tags.member.2.Value", Some("")),
        ],
    ];
    for change in changes {
        assert_eq!(made(&all, change), "403 AccessDenied", "{change:?}");
    }
    // Without the condition, what it has kept out comes in.
    let relaxed = [
        ("/StringEquals/iam:PermissionsBoundary", 2..4),
        // Without tags there is nothing to be allowed to tag.
        ("/StringEquals/aws:RequestTag/team", 4..5),
        ("/ForAllValues:StringEquals/aws:TagKeys", 6..7),
    ];
    for (path, let_in) in relaxed {
        let mut policy = all.clone();
        let (operator, key) = path.trim_start_matches('/').split_once('/').unwrap();
        let condition = &mut policy["Statement"][0]["Condition"][operator];
        condition.as_object_mut().unwrap().remove(key).unwrap();
        for (at, change) in changes.iter().enumerate() {
            let expected = if let_in.contains(&at) {
                "200"
            } else {
                "403 AccessDenied"
            };
            assert_eq!(made(&policy, change), expected, "without {key}: {change:?}");
        }
    }
}

#[test]
fn a_role_with_tags_is_made_by_those_who_may_tag() {
    let tagged = [
        ("Path", Some(PATH)),
        ("Tags.member.1.Key", Some("team")),
        ("Tags.member.1.Value", Some("a")),
    ];
    let mut iam = iam();
    iam.set_caller_policy(Some(&policy("iam:CreateRole", "*", Value::Null)))
        .unwrap();
    let answer = iam.call(at(0), &new_role(&tagged));
    assert_eq!(outcome(&answer), "403 AccessDenied");
    assert_eq!(
        text_of(&answer.body, "Message"),
        "User: arn:aws:iam::111122223333:user/caller is not authorized to perform: iam:TagRole on resource: \
         arn:aws:iam::111122223333:role/tracing/prod/collector because no identity-based policy allows the \
         iam:TagRole action"
    );
    // The role is not there yet, so it has no tag that a condition could find.
    let mut both = policy("iam:CreateRole", "*", Value::Null);
    let of_resource = json!({"Effect": "Allow", "Action": "iam:TagRole", "Resource": "*",
                             "Condition": {"StringEquals": {"aws:ResourceTag/team": "a"}}});
    both["Statement"].as_array_mut().unwrap().push(of_resource);
    iam.set_caller_policy(Some(&both)).unwrap();
    assert_eq!(outcome(&iam.call(at(0), &new_role(&tagged))), "403 AccessDenied");
    assert_eq!(outcome(&iam.call(at(0), &new_role(&[]))), "200");
}

#[test]
fn of_a_role_that_does_not_exist_the_path_is_not_known() {
    let allowed = |resource: &str| policy("iam:*", resource, Value::Null);
    for (action, fields) in actions() {
        let fields = fields.iter().map(|(name, value)| (*name, value.as_str()));
        let fields: Vec<(&str, &str)> = std::iter::once(NAME).chain(fields).collect();
        for (resource, expected) in [
            (PATTERN, "403 AccessDenied"),
            ("arn:aws:iam::111122223333:role/collector", "404 NoSuchEntity"),
            ("*", "404 NoSuchEntity"),
        ] {
            let mut iam = iam();
            iam.set_caller_policy(Some(&allowed(resource))).unwrap();
            assert_eq!(call(&mut iam, action, &fields), expected, "{action} {resource}");
        }
    }
    let mut iam = stage();
    iam.set_caller_policy(Some(&allowed(PATTERN))).unwrap();
    assert_eq!(call(&mut iam, "GetRole", &[NAME]), "200");
    iam.remove(at(0), "collector");
    assert_eq!(
        message(&mut iam, "GetRole", &[NAME]),
        "User: arn:aws:iam::111122223333:user/caller is not authorized to perform: iam:GetRole on resource: role \
         collector because no identity-based policy allows the iam:GetRole action"
    );
}

#[test]
fn reads_are_judged_by_what_they_see() {
    let mut iam = iam();
    iam.set_caller_policy(Some(&policy("iam:*", PATTERN, Value::Null)))
        .unwrap();
    iam.set_read_lag(Duration::from_secs(10));
    create(&mut iam, &[("Path", Some(PATH))]);
    let get = form("GetRole", &[NAME]);
    let boundary = form("DeleteRolePermissionsBoundary", &[NAME]);
    assert_eq!(outcome(&iam.call(at(9), &get)), "403 AccessDenied");
    assert_eq!(outcome(&iam.call(at(9), &boundary)), "200");
    assert_eq!(outcome(&iam.call(at(10), &get)), "200");
}

#[test]
fn what_is_denied_is_denied_whatever_allows_it() {
    let mut iam = stage();
    iam.deny(&["iam:GetRole", "iam:tagrole"]);
    let denied = |iam: &mut Iam, action: &str| {
        let tags = [("Tags", "")];
        let more: &[(&str, &str)] = if action == "TagRole" { &tags } else { &[] };
        call(iam, action, &[&[NAME], more].concat())
    };
    assert_eq!(denied(&mut iam, "GetRole"), "403 AccessDenied");
    assert_eq!(denied(&mut iam, "TagRole"), "403 AccessDenied");
    assert_eq!(denied(&mut iam, "ListRolePolicies"), "200");
    assert!(message(&mut iam, "GetRole", &[NAME]).ends_with(
        "iam:GetRole on resource: role collector with an explicit deny in an identity-based policy"
    ));
    iam.deny(&[]);
    assert_eq!(denied(&mut iam, "GetRole"), "200");
    let mut policy = policy("*", "*", Value::Null);
    let deny = json!({"Effect": "Deny", "Action": "iam:Get*", "Resource": "*"});
    policy["Statement"].as_array_mut().unwrap().push(deny);
    iam.set_caller_policy(Some(&policy)).unwrap();
    assert_eq!(denied(&mut iam, "GetRole"), "403 AccessDenied");
    iam.set_caller_policy(None).unwrap();
    assert_eq!(denied(&mut iam, "GetRole"), "200");
}

#[test]
fn the_caller_is_named() {
    let mut iam = iam();
    iam.deny(&["iam:GetRole"]);
    let caller = "arn:aws:sts::111122223333:assumed-role/operator/session";
    let answer = iam.call_as(at(0), caller, &form("GetRole", &[NAME]));
    assert!(
        answer.body.contains(&format!("User: {caller} is not")),
        "{}",
        answer.body
    );
}

use serde_json::{Value, json};

use super::{Context, Decision, Policy, is_like};

const ROLE: &str = "arn:aws:iam::111122223333:role/tracing/prod/collector";

fn statement() -> Value {
    json!({
        "Sid": "One",
        "Effect": "Allow",
        "Action": ["iam:GetRole", "iam:Put*"],
        "Resource": "arn:aws:iam::111122223333:role/tracing/*",
        "Condition": {"StringEquals": {"aws:ResourceTag/team": ["a", "b"]}},
    })
}

fn policy(statements: &[Value]) -> Result<Policy, String> {
    Policy::parse(&json!({"Version": "2012-10-17", "Statement": statements}))
}

fn context(fields: &[(&str, &[&str])]) -> Context {
    let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    let fields = fields.iter();
    fields
        .map(|(key, values)| ((*key).to_owned(), owned(values)))
        .collect()
}

fn decided(changes: &[(&str, Value)], action: &str, resource: &str, team: &str) -> Decision {
    let mut changed = statement();
    for (name, value) in changes {
        changed[*name] = value.clone();
    }
    let context = context(&[("aws:resourcetag/team", &[team])]);
    policy(&[changed]).unwrap().decide(action, resource, &context)
}

#[test]
fn every_part_of_a_statement_must_fit() {
    use Decision::{Allowed, NotAllowed};
    assert_eq!(decided(&[], "iam:GetRole", ROLE, "b"), Allowed);
    assert_eq!(decided(&[], "iam:PutRolePolicy", ROLE, "a"), Allowed);
    assert_eq!(decided(&[], "iam:GetRolePolicy", ROLE, "a"), NotAllowed);
    assert_eq!(
        decided(&[], "iam:GetRole", "arn:aws:iam::111122223333:role/a", "a"),
        NotAllowed
    );
    assert_eq!(decided(&[], "iam:GetRole", ROLE, "c"), NotAllowed);
    let none = policy(&[statement()])
        .unwrap()
        .decide("iam:GetRole", ROLE, &Context::new());
    assert_eq!(none, NotAllowed);
}

#[test]
fn actions_have_no_case_and_may_end_in_a_wildcard() {
    for action in ["*", "iam:*", "IAM:getrole", "iam:Get*"] {
        let decision = decided(&[("Action", json!(action))], "iam:GetRole", ROLE, "a");
        assert_eq!(decision, Decision::Allowed, "{action}");
    }
    for action in ["iam:Get", "sts:*", "iam:GetRole "] {
        let decision = decided(&[("Action", json!(action))], "iam:GetRole", ROLE, "a");
        assert_eq!(decision, Decision::NotAllowed, "{action}");
    }
}

#[test]
fn wildcards_of_resources_span_everything() {
    let like = [
        ("*", true),
        (ROLE, true),
        ("arn:aws:iam::*:role/*", true),
        ("arn:aws:iam::111122223333:role/*/collector", true),
        ("arn:aws:iam::111122223333:role/tracing/prod/collecto?", true),
        ("*collector*", true),
        ("arn:aws:iam::111122223333:role/tracing/prod/collector?", false),
        ("arn:aws:iam::111122223333:role/tracing", false),
        ("arn:aws:iam::111122223333:role/*/other", false),
        ("ARN:AWS:*", false),
        ("", false),
    ];
    for (pattern, expected) in like {
        assert_eq!(is_like(ROLE, pattern), expected, "{pattern}");
    }
    for (text, pattern, expected) in [
        ("", "", true),
        ("", "**", true),
        ("", "?", false),
        ("aab", "*ab", true),
        ("abcabd", "a*abd", true),
        ("a*b", "a*b", true),
        ("ab", "a?b", false),
    ] {
        assert_eq!(is_like(text, pattern), expected, "{text} {pattern}");
    }
}

#[test]
fn operators_do_what_their_names_say() {
    let cases: [(&str, &str, &[&str], bool); 10] = [
        ("StringEquals", "a*", &["a*"], true),
        ("StringEquals", "a*", &["ab"], false),
        ("StringLike", "a*", &["ab"], true),
        ("StringLike", "a*", &["ba"], false),
        ("StringLike", "a*", &[], false),
        ("ForAllValues:StringEquals", "a", &["a"], true),
        ("ForAllValues:StringEquals", "a", &["a", "b"], false),
        ("ForAllValues:StringEquals", "a", &["A"], false),
        ("ForAllValues:StringEquals", "a", &[], true),
        ("StringEquals", "a", &["A"], false),
    ];
    for (operator, wanted, has, expected) in cases {
        let mut changed = statement();
        changed["Condition"] = json!({ operator: {"aws:RequestTag/k": wanted} });
        let context = context(&[("aws:requesttag/k", has)]);
        let decision = policy(&[changed]).unwrap().decide("iam:GetRole", ROLE, &context);
        assert_eq!(
            decision == Decision::Allowed,
            expected,
            "{operator} {wanted} {has:?}"
        );
    }
}

#[test]
fn all_values_of_a_key_that_is_absent_are_as_they_should_be() {
    let mut changed = statement();
    changed["Condition"] = json!({"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}});
    let policy = policy(&[changed]).unwrap();
    assert_eq!(
        policy.decide("iam:GetRole", ROLE, &Context::new()),
        Decision::Allowed
    );
}

#[test]
fn a_denial_wins_wherever_it_stands() {
    let mut deny = statement();
    deny["Effect"] = json!("Deny");
    let context = context(&[("aws:resourcetag/team", &["a"])]);
    for statements in [[deny.clone(), statement()], [statement(), deny]] {
        let decision = policy(&statements).unwrap().decide("iam:GetRole", ROLE, &context);
        assert_eq!(decision, Decision::Denied);
    }
}

#[test]
fn what_is_not_supported_is_refused_and_named() {
    let changes: [(&str, Value, &str); 12] = [
        ("Effect", json!("allow"), "Effect"),
        ("Action", json!("iam:*Role"), "wildcard"),
        ("Action", json!("iam:Get?ole"), "wildcard"),
        ("Action", json!([]), "without actions"),
        ("NotAction", json!("iam:*"), "NotAction"),
        ("NotResource", json!("*"), "NotResource"),
        ("Principal", json!("*"), "Principal"),
        (
            "Resource",
            json!("arn:aws:iam::1:role/${aws:username}"),
            "variable",
        ),
        (
            "Condition",
            json!({"StringNotEquals": {"aws:RequestTag/a": "b"}}),
            "StringNotEquals",
        ),
        (
            "Condition",
            json!({"StringEquals": {"aws:RequestTag/a": "${aws:x}"}}),
            "variable",
        ),
        (
            "Condition",
            json!({"StringEquals": {"aws:SourceIp": "::1"}}),
            "aws:SourceIp",
        ),
        (
            "Condition",
            json!({"StringEquals": {"aws:TagKeys": "a"}}),
            "ForAllValues",
        ),
    ];
    for (name, value, said) in changes {
        let mut changed = statement();
        changed[name] = value;
        let problem = policy(&[changed]).unwrap_err();
        assert!(problem.contains(said), "{problem}");
    }
    assert!(policy(&[]).is_err());
    assert!(Policy::parse(&json!({"Statement": statement()})).is_err());
    assert!(Policy::parse(&json!({"Version": "2008-10-17", "Statement": statement()})).is_err());
    assert!(Policy::parse(&json!({"Version": "2012-10-17", "Statement": statement()})).is_ok());
}

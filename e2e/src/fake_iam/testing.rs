//! What the tests of the fake stand on.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::{Answer, Iam, Options};
use crate::query::percent_encode;

pub(super) const BOUNDARY: &str = "arn:aws:iam::111122223333:policy/tracing/boundary";
pub(super) const OTHER_POLICY: &str = "arn:aws:iam::111122223333:policy/other";

/// An account in which [`BOUNDARY`] and [`OTHER_POLICY`] exist.
pub(super) fn iam() -> Iam {
    let mut iam = Iam::new(Options {
        account: "111122223333".into(),
        partition: "aws".into(),
    });
    iam.add_managed_policy(BOUNDARY);
    iam.add_managed_policy(OTHER_POLICY);
    iam
}

pub(super) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

/// Who may become the role of the tests.
pub(super) fn trust() -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Federated": "arn:aws:iam::111122223333:oidc-provider/issuer.test"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {"issuer.test:sub": "system:serviceaccount:tracing:a"}},
        }],
    })
}

/// A permission policy.
pub(super) fn permissions() -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["xray:PutTraceSegments"], "Resource": "*"}],
    })
}

pub(super) fn form(action: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let fields = fields
        .iter()
        .map(|(name, value)| format!("&{name}={}", percent_encode(value)));
    format!("Action={action}&Version=2010-05-08{}", fields.collect::<String>()).into_bytes()
}

/// The fields of a `CreateRole`, each of which `changes` may replace, add or, with no value, take away.
pub(super) fn new_role(changes: &[(&str, Option<&str>)]) -> Vec<u8> {
    let trust = trust().to_string();
    let mut fields = vec![("RoleName", "collector"), ("AssumeRolePolicyDocument", &trust)];
    for (name, value) in changes {
        fields.retain(|(known, _)| known != name);
        fields.extend(value.map(|value| (*name, value)));
    }
    form("CreateRole", &fields)
}

/// The status and, of an error, the code.
pub(super) fn outcome(Answer { status, body }: &Answer) -> String {
    match text_of(body, "Code") {
        "" => status.to_string(),
        code => format!("{status} {code}"),
    }
}

pub(super) fn text_of<'a>(xml: &'a str, name: &str) -> &'a str {
    let (_, rest) = xml.split_once(&format!("<{name}>")).unwrap_or(("", ""));
    rest.split_once(&format!("</{name}>"))
        .map_or("", |(text, _)| text)
}

/// [`outcome`] of one call at second 0.
pub(super) fn call(iam: &mut Iam, action: &str, fields: &[(&str, &str)]) -> String {
    outcome(&iam.call(at(0), &form(action, fields)))
}

/// The message of one call that is refused.
pub(super) fn message(iam: &mut Iam, action: &str, fields: &[(&str, &str)]) -> String {
    let Answer { body, .. } = iam.call(at(0), &form(action, fields));
    text_of(&body, "Message").to_owned()
}

/// Makes the role `collector` at second 0.
pub(super) fn create(iam: &mut Iam, changes: &[(&str, Option<&str>)]) {
    let answer = iam.call(at(0), &new_role(changes));
    assert_eq!(answer.status, 200, "{}", answer.body);
}

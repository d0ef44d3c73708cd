//! The policies that are put into roles: what IAM takes, and how it measures them.

use serde_json::{Map, Value};

use super::problem::Problem;
use crate::fake_sts::trust::Trust;
use crate::fake_xray::strict_json;

/// "IAM and AWS STS quotas": a role trust policy. It can be raised to 4,096.
const TRUST_MAX: usize = 2048;
/// "IAM and AWS STS quotas": the sum of a role's inline policies.
const INLINE_MAX: usize = 10_240;
/// What may stand in a statement; `NotAction` and `NotResource` may as well, but this fake does not support them.
const OF_STATEMENTS: [&str; 5] = ["Sid", "Effect", "Action", "Resource", "Condition"];

/// Reads a trust policy.
pub(super) fn trust(text: &str) -> Result<Value, Problem> {
    let document = parse(text)?;
    Trust::parse(&document).map_err(Problem::malformed_policy)?;
    if size(&document) > TRUST_MAX {
        return Err(Problem::quota("ACLSizePerRole", TRUST_MAX));
    }
    Ok(document)
}

/// Reads a permission policy that is to stand in a role beside `others`.
pub(super) fn inline<'a>(
    text: &str,
    role: &str,
    others: impl Iterator<Item = &'a Value>,
) -> Result<Value, Problem> {
    let document = parse(text)?;
    check(&document).map_err(Problem::malformed_policy)?;
    if size(&document) + others.map(size).sum::<usize>() > INLINE_MAX {
        let message = format!("Maximum policy size of {INLINE_MAX} bytes exceeded for role {role}");
        return Err(Problem::limit_exceeded(message));
    }
    Ok(document)
}

fn parse(text: &str) -> Result<Value, Problem> {
    strict_json::parse(text).map_err(|_| Problem::malformed_policy("Syntax errors in policy."))
}

/// "IAM doesn't count white space."
fn size(document: &Value) -> usize {
    document.to_string().chars().count()
}

/// IAM User Guide, "IAM JSON policy elements reference".
fn check(document: &Value) -> Result<(), String> {
    let syntax = || "Syntax errors in policy.".to_owned();
    let document = document.as_object().ok_or_else(syntax)?;
    if document
        .keys()
        .any(|name| !["Version", "Id", "Statement"].contains(&name.as_str()))
    {
        return Err(syntax());
    }
    if document.get("Version").and_then(Value::as_str) != Some("2012-10-17") {
        return Err("Policy document must be version 2012-10-17 or greater.".to_owned());
    }
    let statements = one_or_many(document.get("Statement")).ok_or_else(syntax)?;
    let mut sids: Vec<&str> = Vec::new();
    for statement in statements {
        let statement = statement.as_object().ok_or_else(syntax)?;
        check_statement(statement)?;
        let sid = statement.get("Sid").and_then(Value::as_str).unwrap_or_default();
        if !sid.is_empty() && sids.contains(&sid) {
            return Err("Statement IDs (SID) in a single policy must be unique.".to_owned());
        }
        sids.push(sid);
    }
    Ok(())
}

fn check_statement(statement: &Map<String, Value>) -> Result<(), String> {
    if statement.contains_key("Principal") || statement.contains_key("NotPrincipal") {
        return Err("Policy document should not specify a principal.".to_owned());
    }
    if let Some(name) = statement
        .keys()
        .find(|name| !OF_STATEMENTS.contains(&name.as_str()))
    {
        return Err(format!("Syntax errors in policy: {name} is not supported"));
    }
    let is_sid = |sid: &Value| {
        sid.as_str()
            .is_some_and(|sid| sid.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    };
    let is_right = statement.get("Sid").is_none_or(is_sid)
        && statement.get("Condition").is_none_or(Value::is_object)
        && matches!(
            statement.get("Effect").and_then(Value::as_str),
            Some("Allow" | "Deny")
        );
    if !is_right {
        return Err("Syntax errors in policy.".to_owned());
    }
    let actions = texts(statement.get("Action")).ok_or("Policy statement must contain actions.")?;
    if !actions.iter().all(|action| is_action(action)) {
        return Err("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.".to_owned());
    }
    let resources = texts(statement.get("Resource")).ok_or("Policy statement must contain resources.")?;
    match resources.iter().find(|resource| !is_resource(resource)) {
        Some(resource) => Err(format!("Resource {resource} must be in ARN format or \"*\".")),
        None => Ok(()),
    }
}

fn is_action(text: &str) -> bool {
    let is_vendor = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'*' || byte == b'?';
    match text.split_once(':') {
        Some((vendor, name)) => {
            !vendor.is_empty()
                && !name.is_empty()
                && vendor.bytes().all(is_vendor)
                && name.bytes().all(is_name)
        }
        None => text == "*",
    }
}

fn is_resource(text: &str) -> bool {
    text == "*" || (text.starts_with("arn:") && text.split(':').count() >= 6)
}

/// A text or a list with texts and nothing else in it.
fn texts(value: Option<&Value>) -> Option<Vec<&str>> {
    one_or_many(value)?.iter().map(|text| text.as_str()).collect()
}

/// None: there is nothing, or an empty list.
fn one_or_many(value: Option<&Value>) -> Option<&[Value]> {
    let value = value?;
    let items = value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice);
    (!items.is_empty()).then_some(items)
}

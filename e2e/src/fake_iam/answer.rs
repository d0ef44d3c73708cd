//! What IAM tells of a role, as XML.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Role;
use super::history::State;
use super::request::Page;
use crate::fake_xray::sigv4::iso_8601;
use crate::query::{element, percent_encode};

/// The namespace of IAM's answers; its version is in it.
pub(super) const NAMESPACE: &str = "https://iam.amazonaws.com/doc/2010-05-08/";

/// In the form of AWS's request ids.
pub(super) fn request_id(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

/// The result of `CreateRole` and `GetRole`.
pub(super) fn role(State { role, created }: &State) -> String {
    let Role {
        name,
        path,
        arn,
        id,
        description,
        trust,
        boundary,
        tags,
        inline: _,
        attached: _,
        max_session_seconds,
    } = role;
    let mut xml = [
        element("Path", path),
        element("RoleName", name),
        element("RoleId", id),
        element("Arn", arn),
        element("CreateDate", &iso_8601(*created)),
        element("AssumeRolePolicyDocument", &document(trust)),
        element("MaxSessionDuration", &max_session_seconds.to_string()),
    ]
    .concat();
    if !description.is_empty() {
        xml.push_str(&element("Description", description));
    }
    if let Some(arn) = boundary {
        // The model says `PermissionsBoundaryPolicy`, IAM does not (awsdocs/iam-user-guide, issue 82).
        let kind = element("PermissionsBoundaryType", "Policy");
        let arn = element("PermissionsBoundaryArn", arn);
        xml.push_str(&format!("<PermissionsBoundary>{kind}{arn}</PermissionsBoundary>"));
    }
    if !tags.is_empty() {
        xml.push_str(&self::tags(tags));
    }
    format!("<Role>{xml}</Role>")
}

fn tags(tags: &BTreeMap<String, String>) -> String {
    let members = tags.iter().map(|(key, value)| {
        let (key, value) = (element("Key", key), element("Value", value));
        format!("<member>{key}{value}</member>")
    });
    format!("<Tags>{}</Tags>", members.collect::<String>())
}

/// The result of `GetRolePolicy`.
pub(super) fn inline(role: &str, name: &str, policy: &Value) -> String {
    [
        element("RoleName", role),
        element("PolicyName", name),
        element("PolicyDocument", &document(policy)),
    ]
    .concat()
}

/// The result of `ListRolePolicies`.
pub(super) fn inline_names(policies: &BTreeMap<String, Value>, page: &Page) -> String {
    let names: Vec<&str> = policies.keys().map(String::as_str).collect();
    list("PolicyNames", &names, page, |name| element("member", name))
}

/// The result of `ListAttachedRolePolicies`.
pub(super) fn attached(policies: &BTreeSet<String>, page: &Page) -> String {
    let arns: Vec<&str> = policies.iter().map(String::as_str).collect();
    list("AttachedPolicies", &arns, page, |arn| {
        let name = arn.rsplit('/').next().unwrap_or(arn);
        let (name, arn) = (element("PolicyName", name), element("PolicyArn", arn));
        format!("<member>{name}{arn}</member>")
    })
}

/// The marker of a page is the last item of the page before.
fn list(name: &str, sorted: &[&str], page: &Page, member: impl Fn(&str) -> String) -> String {
    let after = sorted
        .iter()
        .filter(|item| page.after.as_deref().is_none_or(|after| **item > after));
    let left: Vec<&str> = after.copied().collect();
    let shown = left.get(..page.items).unwrap_or(&left);
    let members: String = shown.iter().map(|item| member(item)).collect();
    let is_truncated = shown.len() < left.len();
    let mut xml = format!("<{name}>{members}</{name}>");
    xml.push_str(&element(
        "IsTruncated",
        if is_truncated { "true" } else { "false" },
    ));
    if let Some(last) = shown.last().filter(|_| is_truncated) {
        xml.push_str(&element("Marker", last));
    }
    xml
}

/// "Policies returned by this operation are URL-encoded compliant with RFC 3986."
fn document(policy: &Value) -> String {
    percent_encode(&policy.to_string())
}

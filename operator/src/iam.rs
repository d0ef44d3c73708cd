//! The IAM policies of a pipeline's role: what it may do, and who may be it. Pure.
//!
//! Nothing that people write reaches a document but for names whose letters were looked at: no wildcard, no policy
//! variable (`${...}`) and no quote can be among them.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html>

use std::fmt::{self, Display};

use serde_json::{Value, json};
use tracepipe_crds::TracingPipeline;

use crate::names;
use crate::settings::Facts;
use crate::validate::{Accepted, Credentials};

/// Version of the policy language, not of the policy.
const LANGUAGE: &str = "2012-10-17";
const ISSUER_NEEDED: &str = "--issuer is needed: aws eks describe-cluster --name CLUSTER --query cluster.identity.oidc.issuer --output text";
pub(crate) const ACCOUNT_NEEDED: &str =
    "--account is needed: aws sts get-caller-identity --query Account --output text";
/// The audience of tokens that STS takes, in every partition.
pub(crate) const AUDIENCE: &str = "sts.amazonaws.com";
/// Longest name of a namespace (RFC 1123 label).
const LABEL_BYTES_MAX: usize = 63;

/// A twelve-digit AWS account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account(String);

/// Who signs the cluster's tokens: the URL of its OpenID Connect issuer without scheme, as IAM names the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issuer(String);

/// What a pipeline itself does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Surroundings {
    /// For roles that are had for a token.
    pub(crate) issuer: Option<Issuer>,
    /// For [`Credentials::PodIdentity`].
    pub(crate) account: Option<Account>,
}

/// Both documents of a role, under the names that the IAM API has for them; without a trust policy where nobody is
/// known who is to be trusted.
///
/// # Errors
/// What is missing, and how to get it.
pub(crate) fn role(
    pipeline: &TracingPipeline,
    accepted: &Accepted,
    surroundings: &Surroundings,
) -> Result<Value, String> {
    let mut role = json!({ "PolicyDocument": document(&statements(&accepted.rights()?)) });
    if let Some(trust) = trust(pipeline, accepted, surroundings)? {
        role["AssumeRolePolicyDocument"] = document(&[trust]);
    }
    Ok(role)
}

/// What a role that the operator makes cannot be named without.
pub(crate) fn missing(facts: &Facts) -> Option<&'static str> {
    match (&facts.issuer, &facts.aws) {
        (None, _) => Some(ISSUER_NEEDED),
        (_, None) => Some(ACCOUNT_NEEDED),
        (Some(_), Some(_)) => None,
    }
}

/// What a pipeline's collectors do in AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rights {
    /// They send traces to X-Ray.
    pub(crate) xray: bool,
    /// ARNs of what they write metrics to.
    pub(crate) workspaces: Vec<String>,
}

/// What collectors may do. X-Ray has no resources that a statement could name; a workspace is one.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html>
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonmanagedserviceforprometheus.html>
pub(crate) fn statements(rights: &Rights) -> Vec<Value> {
    let xray = json!({
        "Sid": "XRay",
        "Effect": "Allow",
        "Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
        "Resource": "*",
    });
    let amp = json!({
        "Sid": "AMP",
        "Effect": "Allow",
        "Action": ["aps:RemoteWrite"],
        "Resource": rights.workspaces,
    });
    let both = [(rights.xray, xray), (!rights.workspaces.is_empty(), amp)];
    both.into_iter()
        .filter(|(on, _)| *on)
        .map(|(_, statement)| statement)
        .collect()
}

/// Who may be the role: one ServiceAccount of one namespace of one cluster, by equality.
fn trust(
    pipeline: &TracingPipeline,
    accepted: &Accepted,
    surroundings: &Surroundings,
) -> Result<Option<Value>, String> {
    let trust = match &accepted.credentials {
        Credentials::Role(arn) => {
            by_token(arn, surroundings.issuer.as_ref().ok_or(ISSUER_NEEDED)?, pipeline)?
        }
        Credentials::Managed(Some(role)) => return Ok(Some(role.trust["Statement"][0].clone())),
        // Nobody gets here without what [`missing`] asks for.
        Credentials::Managed(None) => return Err(ISSUER_NEEDED.to_owned()),
        Credentials::PodIdentity { .. } => {
            let account = surroundings.account.as_ref().ok_or(ACCOUNT_NEEDED)?;
            by_association(&pipeline.spec.cluster_name, account, &Subject::of(pipeline)?)
        }
        Credentials::Ambient | Credentials::NotNeeded => return Ok(None),
    };
    Ok(Some(trust))
}

/// <https://docs.aws.amazon.com/eks/latest/userguide/associate-service-account-role.html>
///
/// # Errors
/// When `role` is no ARN, or the pipeline's namespace no name of one.
pub(crate) fn by_token(
    role: &str,
    Issuer(issuer): &Issuer,
    pipeline: &TracingPipeline,
) -> Result<Value, String> {
    let subject = Subject::of(pipeline)?;
    // A provider is of the account and the partition of the roles that trust it.
    let mut parts = role.split(':').skip(1);
    let (Some(partition), Some(account)) = (parts.next(), parts.nth(2)) else {
        return Err(format!("{role} is not the ARN of a role"));
    };
    Ok(json!({
        "Effect": "Allow",
        "Principal": { "Federated": format!("arn:{partition}:iam::{account}:oidc-provider/{issuer}") },
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": { "StringEquals": {
            format!("{issuer}:sub"): format!("system:serviceaccount:{}:{}", subject.namespace, subject.account),
            format!("{issuer}:aud"): AUDIENCE,
        } },
    }))
}

/// Without the tags any association of the account could be the role; the service sets them, not the pod.
/// <https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html>
fn by_association(cluster: &str, Account(account): &Account, subject: &Subject<'_>) -> Value {
    json!({
        "Effect": "Allow",
        "Principal": { "Service": "pods.eks.amazonaws.com" },
        "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Condition": { "StringEquals": {
            "aws:SourceAccount": account,
            "aws:RequestTag/eks-cluster-name": cluster,
            "aws:RequestTag/kubernetes-namespace": subject.namespace,
            "aws:RequestTag/kubernetes-service-account": subject.account,
        } },
    })
}

/// Statements as a policy.
pub(crate) fn document(statements: &[Value]) -> Value {
    json!({ "Version": LANGUAGE, "Statement": statements })
}

/// The ServiceAccount of the collectors.
struct Subject<'p> {
    namespace: &'p str,
    account: String,
}

// === impl Subject ===

impl<'p> Subject<'p> {
    /// A cluster has looked at the namespace; a file may hold anything, and nothing.
    fn of(pipeline: &'p TracingPipeline) -> Result<Self, String> {
        let namespace = pipeline.metadata.namespace.as_deref().unwrap_or_default();
        let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_label = (1..=LABEL_BYTES_MAX).contains(&namespace.len())
            && namespace.bytes().all(is_inner)
            && !namespace.starts_with('-')
            && !namespace.ends_with('-');
        if !is_label {
            return Err(format!(
                "metadata.namespace: {namespace:?} is not the name of a namespace; the trust policy holds it, so write the one that the TracingPipeline will be in"
            ));
        }
        let name = pipeline.metadata.name.as_deref().unwrap_or_default();
        let account = names::workload(name);
        Ok(Self { namespace, account })
    }
}

// === impl Account ===

impl Account {
    /// # Errors
    /// When it is not twelve digits.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self(text.to_owned()));
        }
        Err("write the twelve digits of an AWS account".to_owned())
    }
}

impl Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Issuer ===

impl Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Issuer {
    /// Takes the URL as EKS prints it and as tokens hold it (`iss`).
    ///
    /// # Errors
    /// When it is no https URL, or one that IAM knows no provider for: with a port, a query or odd letters.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let wrong = || {
            "write the issuer's URL, for example https://oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF"
                .to_owned()
        };
        let rest = url.strip_prefix("https://").ok_or_else(wrong)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        // IAM leaves the port of https out.
        let host = host.strip_suffix(":443").unwrap_or(host);
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        let is_path = |byte: u8| is_host(byte) || matches!(byte, b'/' | b'_' | b'~');
        if host.is_empty() || !host.bytes().all(is_host) || !path.bytes().all(is_path) {
            return Err(wrong());
        }
        Ok(Self(if path.is_empty() {
            host.to_owned()
        } else {
            format!("{host}/{path}")
        }))
    }
}

#[cfg(test)]
mod tests;

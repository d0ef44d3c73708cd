//! The IAM role that the operator makes for a pipeline: what it shall be, whose one is that has its name, and what is to
//! be written next. Pure.
//!
//! IAM answers reads with what was true up to minutes ago, so what was just written is not read again
//! ([`Observed::after`]), and a role that is not there may be on its way (`identity::delete`).

use std::collections::BTreeMap;

use kube::ResourceExt;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tracepipe_crds::TracingPipeline;

use crate::iam::{self, Issuer, Rights};
use crate::names::MANAGER;
use crate::settings::{AwsAccount, ManagedRoles};

/// Name of the role's one inline policy. It ends with the role, and nothing else can use it.
pub(crate) const POLICY_NAME: &str = "tracepipe-collector";
/// Tag with the cluster, the condition of the operator's own rights.
pub(crate) const CLUSTER_TAG: &str = "tracepipe.dev/cluster";
/// Tag with the UID of the TracingPipeline: whose the role is.
pub(crate) const UID_TAG: &str = "tracepipe.dev/uid";
const MANAGED_BY_TAG: &str = "tracepipe.dev/managed-by";
const NAMESPACE_TAG: &str = "tracepipe.dev/namespace";
const NAME_TAG: &str = "tracepipe.dev/name";

/// A role as it shall be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Role {
    /// Unique in the account.
    pub(crate) name: String,
    /// `/.../`.
    pub(crate) path: String,
    /// Follows from account, path and name.
    pub(crate) arn: String,
    /// Who may be it.
    pub(crate) trust: Value,
    /// What it may do.
    pub(crate) policy: Value,
    /// ARN of the policy that bounds it.
    pub(crate) boundary: Option<String>,
    /// Whose it is.
    pub(crate) tags: BTreeMap<String, String>,
}

/// A role as IAM has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Observed {
    /// Its ARN, path and name included.
    pub(crate) arn: String,
    /// All tags.
    pub(crate) tags: BTreeMap<String, String>,
    /// Who may be it; Null when it cannot be read.
    pub(crate) trust: Value,
    /// ARN of the policy that bounds it.
    pub(crate) boundary: Option<String>,
    /// [`POLICY_NAME`].
    pub(crate) policy: Option<Value>,
    /// Other policies: names of inline ones, ARNs of attached ones.
    pub(crate) foreign: Vec<String>,
}

/// One call that changes a role.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Write {
    /// With trust, boundary and all tags in the one call: a role of ours is never without its owner.
    Create,
    /// Puts all tags back: the operator may only write tags when the cluster's is among them.
    Tag,
    /// Puts the boundary back.
    Boundary(String),
    /// Puts the trust policy back.
    Trust,
    /// Writes the inline policy.
    Policy,
}

impl Role {
    /// What `pipeline` shall have.
    ///
    /// # Errors
    /// When the pipeline's namespace is none, which a cluster has looked at.
    pub(crate) fn new(
        pipeline: &TracingPipeline,
        settings: &ManagedRoles,
        aws: &AwsAccount,
        issuer: &Issuer,
        rights: &Rights,
    ) -> Result<Self, String> {
        let namespace = pipeline.namespace().unwrap_or_default();
        let name = pipeline.name_any();
        let role = name_of(settings, issuer, &namespace, &name);
        let path = settings.path();
        let AwsAccount { partition, id } = aws;
        let arn = format!("arn:{partition}:iam::{id}:role{path}{role}");
        let tags = [
            (MANAGED_BY_TAG, MANAGER),
            (CLUSTER_TAG, &settings.cluster),
            (NAMESPACE_TAG, &namespace),
            (NAME_TAG, &name),
            (UID_TAG, &pipeline.uid().unwrap_or_default()),
        ];
        Ok(Self {
            trust: iam::document(&[iam::by_token(&arn, issuer, pipeline)?]),
            policy: iam::document(&iam::statements(rights)),
            boundary: settings.boundary.clone(),
            tags: tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            name: role,
            path,
            arn,
        })
    }

    /// Tells one wish from another.
    pub(crate) fn fingerprint(&self) -> String {
        let Self {
            name: _,
            path: _,
            arn,
            trust,
            policy,
            boundary,
            tags,
        } = self;
        crate::plan::hash_of(&json!([arn, trust, policy, boundary, tags]))
    }

    /// What has to be written next, None when all is as it shall be. In an order in which each write is allowed: the
    /// operator's rights rest on the cluster's tag and the boundary.
    ///
    /// # Errors
    /// When the role of this name is somebody else's; nothing may be written to it.
    pub(crate) fn next(&self, observed: Option<&Observed>) -> Result<Option<Write>, String> {
        let Some(observed) = observed else {
            return Ok(Some(Write::Create));
        };
        self.claim(observed)?;
        let is_there = |(key, value): (&String, &String)| observed.tags.get(key) == Some(value);
        if !self.tags.iter().all(is_there) {
            return Ok(Some(Write::Tag));
        }
        if let Some(boundary) = &self.boundary
            && observed.boundary.as_ref() != Some(boundary)
        {
            return Ok(Some(Write::Boundary(boundary.clone())));
        }
        if !is_same_document(&self.trust, &observed.trust) {
            return Ok(Some(Write::Trust));
        }
        let same_policy = |policy: &Value| is_same_document(&self.policy, policy);
        if !observed.policy.as_ref().is_some_and(same_policy) {
            return Ok(Some(Write::Policy));
        }
        Ok(None)
    }

    fn claim(&self, observed: &Observed) -> Result<(), String> {
        let uid = self.tags.get(UID_TAG).map(String::as_str).unwrap_or_default();
        claim(observed, &self.arn, uid).map_err(|why| {
            format!(
                "{why}; nothing was written to it. Delete it, or give it to this resource: aws iam tag-role --role-name {} --tags Key={UID_TAG},Value={uid}",
                self.name
            )
        })
    }
}

impl Observed {
    /// What the role is after a write that IAM has taken.
    pub(crate) fn after(write: &Write, role: &Role, before: Option<Self>) -> Self {
        let mut now = before.unwrap_or_default();
        match write {
            Write::Create => {
                now.arn.clone_from(&role.arn);
                now.tags.clone_from(&role.tags);
                now.trust = role.trust.clone();
                now.boundary.clone_from(&role.boundary);
            }
            Write::Tag => now.tags.extend(role.tags.clone()),
            Write::Boundary(boundary) => now.boundary = Some(boundary.clone()),
            Write::Trust => now.trust = role.trust.clone(),
            Write::Policy => now.policy = Some(role.policy.clone()),
        }
        now
    }
}

impl Write {
    /// In one word, for an event.
    pub(crate) fn what(&self) -> &'static str {
        match self {
            Self::Create => "role",
            Self::Tag => "tags",
            Self::Boundary(_) => "permissions boundary",
            Self::Trust => "trust policy",
            Self::Policy => "inline policy",
        }
    }
}

/// Whether the role at `arn` belongs to the pipeline with this UID, by path and tag. Names can be taken by anybody, paths
/// and tags are given by those who may write to them.
///
/// # Errors
/// Whose it is, as far as it says.
pub(crate) fn claim(observed: &Observed, arn: &str, uid: &str) -> Result<(), String> {
    let tag = |key: &str| observed.tags.get(key).map(String::as_str);
    if observed.arn == arn
        && !uid.is_empty()
        && tag(UID_TAG) == Some(uid)
        && tag(MANAGED_BY_TAG) == Some(MANAGER)
    {
        return Ok(());
    }
    let owner = match (tag(NAMESPACE_TAG), tag(NAME_TAG), tag(UID_TAG)) {
        (Some(namespace), Some(name), Some(uid)) => {
            format!("of TracingPipeline {namespace}/{name} with UID {uid}")
        }
        _ => "without the tags of this TracingPipeline".to_owned(),
    };
    Err(format!("the role {} is there, {owner}", observed.arn))
}

/// `tp-CLUSTER-NAMESPACE-NAME-HASH`, at most 64 characters: readable parts are cut, the hash tells roles apart. It is
/// taken over the issuer and not the cluster's name, which two clusters of an account may share; and over the path, so
/// that a role under a new path can be there before the one under the old path goes (names are unique whatever the path).
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
fn name_of(settings: &ManagedRoles, issuer: &Issuer, namespace: &str, name: &str) -> String {
    let digest = Sha256::digest(format!("{issuer}\n{}\n{namespace}\n{name}", settings.path()).as_bytes());
    let hash: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}{}-{}-{hash}",
        name_prefix(settings),
        cut(namespace, 14),
        cut(name, 14)
    )
}

/// With what every role's name begins.
pub(crate) fn name_prefix(settings: &ManagedRoles) -> String {
    format!("tp-{}-", cut(&settings.cluster, 20))
}

fn cut(text: &str, length: usize) -> String {
    text.chars().take(length).collect()
}

/// The name in a role's ARN.
pub(crate) fn name_in(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or_default()
}

/// Whether two policies say the same: IAM keeps what it was given, and people write one string for a list of one.
pub(crate) fn is_same_document(a: &Value, b: &Value) -> bool {
    canonical(a) == canonical(b)
}

fn canonical(document: &Value) -> Value {
    match document {
        Value::Object(members) => {
            let mut sorted = Map::new();
            for (key, value) in members {
                let is_list = !matches!(key.as_str(), "Version" | "Id" | "Sid" | "Effect");
                let one_of_a_list = match value {
                    Value::String(_) | Value::Bool(_) | Value::Number(_) => is_list,
                    Value::Object(_) => key == "Statement",
                    Value::Null | Value::Array(_) => false,
                };
                let value = if one_of_a_list {
                    json!([canonical(value)])
                } else {
                    canonical(value)
                };
                sorted.insert(key.clone(), value);
            }
            Value::Object(sorted)
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(canonical).collect();
            items.sort_by_key(ToString::to_string);
            Value::Array(items)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => document.clone(),
    }
}

#[cfg(test)]
mod tests;

//! What each action does, once it is known that the caller may.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::form::same_key;
use super::history::State;
use super::problem::Problem;
use super::request::{Ask, NewRole, Read, Request, Write};
use super::{Iam, Role, answer, documents, key};
use crate::fake_sts::unique_id;

/// "IAM and AWS STS quotas": tags of a role.
const TAGS_MAX: usize = 50;
/// "IAM and AWS STS quotas": managed policies attached to a role. It can be raised to 20.
const ATTACHED_MAX: usize = 10;

impl Iam {
    /// The XML of the result, if the action has one.
    pub(super) fn carry_out(
        &mut self,
        now: SystemTime,
        request: &Request,
    ) -> Result<Option<String>, Problem> {
        let name = &request.role;
        let state = || {
            let state = self.seen(now, request);
            state.ok_or_else(|| Problem::no_such_role(name))
        };
        match &request.ask {
            Ask::Create(new) => self.create(now, name, new).map(Some),
            Ask::Read(read) => told(state()?, read).map(Some),
            Ask::Write(write) => {
                let State { role, created } = state()?.clone();
                let changed = self.changed(role, write)?;
                let history = self.roles.entry(key(name)).or_default();
                history.set(now, changed.map(|role| State { role, created }));
                Ok(None)
            }
        }
    }

    fn create(&mut self, now: SystemTime, name: &str, new: &NewRole) -> Result<String, Problem> {
        let trust = documents::trust(&new.trust)?;
        if let Some(boundary) = &new.boundary {
            self.check_boundary(boundary)?;
        }
        if self.role(name).is_some() {
            return Err(Problem::already_exists(format!(
                "Role with name {name} already exists."
            )));
        }
        if self.roles().len() >= self.roles_max {
            return Err(Problem::quota("RolesPerAccount", self.roles_max));
        }
        self.made += 1;
        let arn = self.arn(&new.path, name);
        let role = Role {
            name: name.to_owned(),
            path: new.path.clone(),
            id: unique_id("AROA", &format!("{arn} {}", self.made)),
            arn,
            description: new.description.clone(),
            trust,
            boundary: new.boundary.clone(),
            tags: new.tags.clone(),
            inline: BTreeMap::new(),
            attached: BTreeSet::new(),
            max_session_seconds: new.max_session_seconds,
        };
        let state = State { role, created: now };
        let xml = answer::role(&state);
        self.roles.entry(key(name)).or_default().set(now, Some(state));
        Ok(xml)
    }

    /// The role as it is after a write. None: there is none any more.
    fn changed(&self, mut role: Role, write: &Write) -> Result<Option<Role>, Problem> {
        match write {
            Write::Delete => {
                check_empty(&role)?;
                return Ok(None);
            }
            Write::Tag(tags) => tag(&mut role, tags)?,
            Write::Untag(keys) => role
                .tags
                .retain(|known, _| !keys.iter().any(|key| same_key(known, key))),
            Write::PutTrust(document) => role.trust = documents::trust(document)?,
            Write::PutPolicy { name, document } => {
                role.inline.remove(name);
                let policy = documents::inline(document, &role.name, role.inline.values())?;
                role.inline.insert(name.clone(), policy);
            }
            Write::DeletePolicy(name) => {
                role.inline.remove(name).ok_or_else(|| no_such_policy(name))?;
            }
            Write::PutBoundary(boundary) => {
                self.check_boundary(boundary)?;
                role.boundary = Some(boundary.clone());
            }
            Write::DeleteBoundary => role.boundary = None,
            Write::Attach(policy) => {
                self.check_attachable(policy)?;
                role.attached.insert(policy.clone());
                if role.attached.len() > ATTACHED_MAX {
                    return Err(Problem::quota("PoliciesPerRole", ATTACHED_MAX));
                }
            }
            Write::Detach(policy) => {
                self.check_policy_arn(policy)?;
                if !role.attached.remove(policy) {
                    return Err(Problem::no_such_entity(format!("Policy {policy} was not found.")));
                }
            }
        }
        Ok(Some(role))
    }

    fn check_boundary(&self, arn: &str) -> Result<(), Problem> {
        self.check_policy_arn(arn)?;
        if self.managed_policies.contains(arn) {
            Ok(())
        } else {
            let message = format!("Scope ARN: {arn} does not exist or is not attachable.");
            Err(Problem::no_such_entity(message))
        }
    }

    fn check_attachable(&self, arn: &str) -> Result<(), Problem> {
        self.check_policy_arn(arn)?;
        if self.managed_policies.contains(arn) {
            Ok(())
        } else {
            let message = format!("Policy {arn} does not exist or is not attachable.");
            Err(Problem::no_such_entity(message))
        }
    }

    /// `arn:PARTITION:iam::ACCOUNT:policy/...`; the account of AWS's own policies is `aws`.
    fn check_policy_arn(&self, arn: &str) -> Result<(), Problem> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let ["arn", partition, "iam", "", account, resource] = parts[..] else {
            return Err(Problem::invalid_input(format!("ARN {arn} is not valid.")));
        };
        let name = resource.strip_prefix("policy/").unwrap_or_default();
        if account.is_empty() || name.is_empty() {
            return Err(Problem::invalid_input(format!("ARN {arn} is not valid.")));
        }
        if partition != self.options().partition {
            return Err(Problem::new(400, "ValidationError", "Invalid ARN partition"));
        }
        Ok(())
    }
}

/// The result of a read.
fn told(state: &State, read: &Read) -> Result<String, Problem> {
    let role = &state.role;
    match read {
        Read::Role => Ok(answer::role(state)),
        Read::Policy(name) => {
            let policy = role.inline.get(name).ok_or_else(|| no_such_policy(name))?;
            Ok(answer::inline(&role.name, name, policy))
        }
        Read::PolicyNames(page) => Ok(answer::inline_names(&role.inline, page)),
        Read::Attached(page) => Ok(answer::attached(&role.attached, page)),
    }
}

/// Of keys that differ in case alone the later one stays, as it is written.
fn tag(role: &mut Role, tags: &BTreeMap<String, String>) -> Result<(), Problem> {
    role.tags
        .retain(|known, _| !tags.keys().any(|key| same_key(known, key)));
    role.tags.extend(tags.clone());
    if role.tags.len() > TAGS_MAX {
        let message = format!("The number of tags has reached the maximum limit: {TAGS_MAX}");
        return Err(Problem::limit_exceeded(message));
    }
    Ok(())
}

fn check_empty(role: &Role) -> Result<(), Problem> {
    if !role.attached.is_empty() {
        return Err(Problem::delete_conflict(
            "Cannot delete entity, must detach all policies first.",
        ));
    }
    if !role.inline.is_empty() {
        return Err(Problem::delete_conflict(
            "Cannot delete entity, must delete policies first.",
        ));
    }
    Ok(())
}

fn no_such_policy(name: &str) -> Problem {
    Problem::no_such_entity(format!("The role policy with name {name} cannot be found."))
}

//! A strict stand-in for AWS IAM, for the roles of one account. Pure: a form and a time in, XML out.
//!
//! [`request`] reads what is asked for and [`form`] holds it to the API's model, [`permissions`] says whether the caller
//! may, with [`policy`] for the caller's own policy, [`actions`] does it, [`documents`] reads the policies that are put
//! into roles, [`history`] remembers what was true when. Codes, statuses and limits are those of the IAM API Reference
//! and of "IAM and AWS STS quotas" in its User Guide; messages are IAM's own where they are known.
//!
//! Reads may lag ([`Iam::set_read_lag`]): IAM says itself that its answers are eventually consistent. Writes check
//! against what is true now.
//!
//! What it cannot prove: what a role may do, how IAM simplifies principals in trust policies, that the account's quotas
//! are the usual ones. Service-linked roles and instance profiles do not exist here. Where IAM keeps the text of a
//! document, this fake keeps its meaning.
//!
//! [`crate::fake_aws`] serves it.

mod actions;
mod answer;
mod documents;
mod form;
mod history;
mod permissions;
mod policy;
mod problem;
mod request;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::Value;

use crate::fake_sts::Script;
use crate::query;
use form::Form;
use history::{History, State};
use policy::Policy;
use problem::Problem;
use request::{Action, Ask, Request};

/// "IAM and AWS STS quotas": roles in an account.
const ROLES_MAX: usize = 1000;
/// Tells one owner from another; it is only shown ([`Call::uid_tag`]).
const UID_TAG: &str = "tracepipe.dev/uid";

/// The account that the fake plays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Twelve digits.
    pub account: String,
    /// `aws`, `aws-cn`, ...
    pub partition: String,
}

/// What IAM answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// XML.
    pub body: String,
}

/// A role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Role {
    /// Unique in the account, whatever the path and the case.
    pub name: String,
    /// `/`, or `/.../`.
    pub path: String,
    /// Follows from account, path and name.
    pub arn: String,
    /// `AROA...`; another role of the same name has another.
    pub id: String,
    /// Empty if there is none.
    pub description: String,
    /// Who may become it.
    pub trust: Value,
    /// ARN of the policy that is the permissions boundary.
    pub boundary: Option<String>,
    /// No two keys differ in case alone.
    pub tags: BTreeMap<String, String>,
    /// Inline policies by name.
    pub inline: BTreeMap<String, Value>,
    /// ARNs of managed policies.
    pub attached: BTreeSet<String>,
    /// `MaxSessionDuration`.
    pub max_session_seconds: u32,
}

/// A call, as `GET /_fake/iam` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// `CreateRole`.
    pub action: String,
    /// `RoleName`.
    pub role: Option<String>,
    /// Whether it changes something when it goes well.
    pub write: bool,
    /// `OK`, or the code of the error.
    pub result: String,
    /// The tag `tracepipe.dev/uid` that the role had before the call, for `CreateRole` the one in the request.
    pub uid_tag: Option<String>,
}

/// The fake's state.
#[derive(Debug)]
pub struct Iam {
    options: Options,
    /// By name in lower case.
    roles: BTreeMap<String, History>,
    /// How many roles there ever were.
    made: u64,
    managed_policies: BTreeSet<String>,
    roles_max: usize,
    lag: Duration,
    policy: Option<Policy>,
    denied: BTreeSet<String>,
    script: Option<Script>,
    calls: Vec<Call>,
}

impl Iam {
    /// An account without roles, in which everybody may do everything.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            roles: BTreeMap::new(),
            made: 0,
            managed_policies: BTreeSet::new(),
            roles_max: ROLES_MAX,
            lag: Duration::ZERO,
            policy: None,
            denied: BTreeSet::new(),
            script: None,
            calls: Vec::new(),
        }
    }

    /// The account.
    pub fn options(&self) -> &Options {
        &self.options
    }

    // === how it behaves ===

    /// `Get*`, `List*` and STS see what was true this long ago; writes check against what is true now, as IAM does.
    pub fn set_read_lag(&mut self, lag: Duration) {
        self.lag = lag;
    }

    /// The identity policy of the callers. None, which is the default: everything is allowed.
    ///
    /// # Errors
    /// What is malformed in it, or not supported by this fake; the policy before it stays.
    pub fn set_caller_policy(&mut self, policy: Option<&Value>) -> Result<(), String> {
        self.policy = policy.map(Policy::parse).transpose()?;
        Ok(())
    }

    /// These actions (`iam:CreateRole`) are denied whatever the policy says. Replaces the earlier list.
    pub fn deny(&mut self, actions: &[&str]) {
        self.denied = actions.iter().map(|action| action.to_ascii_lowercase()).collect();
    }

    /// A managed policy that exists, so that it can be a permissions boundary or be attached. AWS's own have to be
    /// added as well.
    pub fn add_managed_policy(&mut self, arn: &str) {
        self.managed_policies.insert(arn.to_owned());
    }

    /// How many roles the account may have.
    pub fn set_role_quota(&mut self, roles: usize) {
        self.roles_max = roles;
    }

    /// From the next call on, in place of what it would do; None ends it.
    pub fn set_script(&mut self, script: Option<Script>) {
        self.script = script;
    }

    // === what is true ===

    /// What is true now.
    pub fn role(&self, name: &str) -> Option<Role> {
        let state = self.history(name)?.now()?;
        Some(state.role.clone())
    }

    /// What is true now, by name.
    pub fn roles(&self) -> Vec<Role> {
        let states = self.roles.values().filter_map(History::now);
        states.map(|state| state.role.clone()).collect()
    }

    /// Somebody else's change, with no permission asked: a person at the console. Without such a role nothing happens.
    pub fn change(&mut self, now: SystemTime, name: &str, change: impl FnOnce(&mut Role)) {
        if let Some(mut role) = self.role(name) {
            change(&mut role);
            self.put(now, role);
        }
    }

    /// Somebody else's role, in place of one of its name.
    pub fn put(&mut self, now: SystemTime, role: Role) {
        let history = self.roles.entry(key(&role.name)).or_default();
        let created = history.now().map_or(now, |state| state.created);
        history.set(now, Some(State { role, created }));
    }

    /// Somebody else deletes a role, whatever is in it.
    pub fn remove(&mut self, now: SystemTime, name: &str) {
        if let Some(history) = self.roles.get_mut(&key(name)) {
            history.set(now, None);
        }
    }

    /// Every call in order.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// What STS sees of a role at `now`, with the lag: its trust policy. None: no such role. STS knows ARNs, path and
    /// case included.
    pub fn visible_trust(&self, now: SystemTime, arn: &str) -> Option<Value> {
        self.visible_role(now, arn).map(|role| role.trust)
    }

    pub(crate) fn visible_role(&self, now: SystemTime, arn: &str) -> Option<Role> {
        let mut states = self
            .roles
            .values()
            .filter_map(|history| self.visible(now, history));
        let state = states.find(|state| state.role.arn == arn)?;
        Some(state.role.clone())
    }

    // === calls ===

    /// One call of the Query API, by some user: the form-encoded body. `now` is any clock that does not go backwards.
    pub fn call(&mut self, now: SystemTime, body: &[u8]) -> Answer {
        let Options { account, partition } = &self.options;
        let caller = format!("arn:{partition}:iam::{account}:user/caller");
        self.call_as(now, &caller, body)
    }

    /// [`Iam::call`] by somebody whose ARN is known.
    pub fn call_as(&mut self, now: SystemTime, caller: &str, body: &[u8]) -> Answer {
        let form = Form::read(body);
        let mut call = self.describe(form.as_ref());
        let outcome = form
            .ok_or_else(|| Problem::invalid_action("the request is no form"))
            .and_then(|form| self.outcome(now, caller, &form));
        self.record(&mut call, outcome)
    }

    /// A call that was refused before it was looked at, because of its signature.
    pub(crate) fn refuse(&mut self, body: &[u8], code: &str, message: &str) -> Answer {
        let mut call = self.describe(Form::read(body).as_ref());
        self.record(&mut call, Err(Problem::new(403, code, message)))
    }

    fn outcome(&mut self, now: SystemTime, caller: &str, form: &Form) -> Result<Option<String>, Problem> {
        let action = Action::of(form)?;
        if let Some(script) = self.script.as_mut()
            && script.fails()
        {
            let problem = Problem::new(script.status, &script.code, "the fake was told to fail");
            return Err(problem);
        }
        let request = Request::read(form, action)?;
        self.authorize(now, caller, &request)?;
        self.carry_out(now, &request)
    }

    /// What is known of a call before anything is done about it.
    fn describe(&self, form: Option<&Form>) -> Call {
        let field = |name: &str| form.and_then(|form| form.get(name)).map(str::to_owned);
        let action = field("Action").unwrap_or_default();
        let role = field("RoleName");
        let existing = role.as_ref().and_then(|name| self.role(name));
        let uid_tag = if action == "CreateRole" {
            form.and_then(|form| form.tag(UID_TAG))
        } else {
            existing.and_then(|role| role.tags.get(UID_TAG).cloned())
        };
        Call {
            write: request::writes(&action),
            action,
            role,
            result: "OK".to_owned(),
            uid_tag,
        }
    }

    fn record(&mut self, call: &mut Call, outcome: Result<Option<String>, Problem>) -> Answer {
        // Nothing here is random: the n-th call of a test has the same id in each run.
        let request_id = answer::request_id(self.calls.len());
        let (status, body) = match outcome {
            Ok(result) => {
                let body = query::answer(answer::NAMESPACE, &call.action, result.as_deref(), &request_id);
                (200, body)
            }
            Err(problem) => {
                problem.code.clone_into(&mut call.result);
                let Problem {
                    status,
                    code,
                    message,
                } = problem;
                (
                    status,
                    query::error(answer::NAMESPACE, status, &code, &message, &request_id),
                )
            }
        };
        self.calls.push(call.clone());
        Answer { status, body }
    }

    fn history(&self, name: &str) -> Option<&History> {
        self.roles.get(&key(name))
    }

    /// What reads see.
    fn visible<'a>(&self, now: SystemTime, history: &'a History) -> Option<&'a State> {
        if self.lag.is_zero() {
            return history.now();
        }
        // Before the first moment of a clock there was nothing.
        history.at(now.checked_sub(self.lag)?)
    }

    /// The role that a request is about, as the request may see it.
    fn seen(&self, now: SystemTime, request: &Request) -> Option<&State> {
        let history = self.history(&request.role)?;
        match request.ask {
            Ask::Read(_) => self.visible(now, history),
            Ask::Create(_) | Ask::Write(_) => history.now(),
        }
    }

    fn arn(&self, path: &str, name: &str) -> String {
        let Options { account, partition } = &self.options;
        format!("arn:{partition}:iam::{account}:role{path}{name}")
    }
}

/// "Names are not distinguished by case" (IAM API Reference, `CreateRole`).
fn key(name: &str) -> String {
    name.to_ascii_lowercase()
}

#[cfg(test)]
mod limits_tests;
#[cfg(test)]
mod permissions_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

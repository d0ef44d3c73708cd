//! What is asked for: the actions that this fake knows, and what each of them takes.

use std::collections::BTreeMap;

use super::form::Form;
use super::problem::Problem;

/// The one version of the API.
const VERSION: &str = "2010-05-08";
/// IAM API Reference, `CreateRole`: from 1 h to 12 h, and 1 h if nothing is said.
const SESSION_SECONDS: std::ops::RangeInclusive<u32> = 3600..=43_200;
const SESSION_SECONDS_DEFAULT: u32 = 3600;
/// IAM API Reference, `ListRolePolicies`.
const PAGE_ITEMS_MAX: u32 = 1000;
const PAGE_ITEMS_DEFAULT: u32 = 100;

/// An action of the API.
pub(super) struct Action {
    pub(super) name: &'static str,
    /// Its fields beside `RoleName`.
    takes: &'static [&'static str],
    read: fn(&Form) -> Result<Ask, Problem>,
}

const fn action(
    name: &'static str,
    takes: &'static [&'static str],
    read: fn(&Form) -> Result<Ask, Problem>,
) -> Action {
    Action { name, takes, read }
}

static ACTIONS: [Action; 15] = [
    action(
        "CreateRole",
        &[
            "AssumeRolePolicyDocument",
            "Path",
            "Description",
            "MaxSessionDuration",
            "PermissionsBoundary",
            "Tags",
        ],
        |form| Ok(Ask::Create(NewRole::read(form)?)),
    ),
    action("GetRole", &[], |_| Ok(Ask::Read(Read::Role))),
    action("DeleteRole", &[], |_| Ok(Ask::Write(Write::Delete))),
    action("TagRole", &["Tags"], |form| {
        form.require_list("Tags")?;
        Ok(Ask::Write(Write::Tag(form.tags()?)))
    }),
    action("UntagRole", &["TagKeys"], |form| {
        form.require_list("TagKeys")?;
        Ok(Ask::Write(Write::Untag(form.tag_keys()?)))
    }),
    action("UpdateAssumeRolePolicy", &["PolicyDocument"], |form| {
        Ok(Ask::Write(Write::PutTrust(form.document("PolicyDocument")?)))
    }),
    action("PutRolePolicy", &["PolicyName", "PolicyDocument"], |form| {
        Ok(Ask::Write(Write::PutPolicy {
            name: form.policy_name()?,
            document: form.document("PolicyDocument")?,
        }))
    }),
    action("GetRolePolicy", &["PolicyName"], |form| {
        Ok(Ask::Read(Read::Policy(form.policy_name()?)))
    }),
    action("DeleteRolePolicy", &["PolicyName"], |form| {
        Ok(Ask::Write(Write::DeletePolicy(form.policy_name()?)))
    }),
    action("ListRolePolicies", &["Marker", "MaxItems"], |form| {
        Ok(Ask::Read(Read::PolicyNames(Page::read(form)?)))
    }),
    action("ListAttachedRolePolicies", &["Marker", "MaxItems"], |form| {
        Ok(Ask::Read(Read::Attached(Page::read(form)?)))
    }),
    action("PutRolePermissionsBoundary", &["PermissionsBoundary"], |form| {
        Ok(Ask::Write(Write::PutBoundary(form.arn("PermissionsBoundary")?)))
    }),
    action("DeleteRolePermissionsBoundary", &[], |_| {
        Ok(Ask::Write(Write::DeleteBoundary))
    }),
    action("AttachRolePolicy", &["PolicyArn"], |form| {
        Ok(Ask::Write(Write::Attach(form.arn("PolicyArn")?)))
    }),
    action("DetachRolePolicy", &["PolicyArn"], |form| {
        Ok(Ask::Write(Write::Detach(form.arn("PolicyArn")?)))
    }),
];

/// Whether an action changes something; one that is not known does not.
pub(super) fn writes(action: &str) -> bool {
    let reads = ["Get", "List"].iter().any(|verb| action.starts_with(verb));
    !reads && ACTIONS.iter().any(|known| known.name == action)
}

/// A request that the API's model allows.
pub(super) struct Request {
    pub(super) action: &'static Action,
    /// The name of the role.
    pub(super) role: String,
    pub(super) ask: Ask,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Ask {
    Create(NewRole),
    Write(Write),
    Read(Read),
}

/// A change of a role that exists.
#[derive(Debug)]
pub(super) enum Write {
    Delete,
    Tag(BTreeMap<String, String>),
    Untag(Vec<String>),
    PutTrust(String),
    PutPolicy { name: String, document: String },
    DeletePolicy(String),
    PutBoundary(String),
    DeleteBoundary,
    Attach(String),
    Detach(String),
}

/// A question about a role.
#[derive(Debug)]
pub(super) enum Read {
    Role,
    Policy(String),
    PolicyNames(Page),
    Attached(Page),
}

/// A role that is to be made.
#[derive(Debug)]
pub(super) struct NewRole {
    pub(super) path: String,
    pub(super) description: String,
    pub(super) trust: String,
    pub(super) boundary: Option<String>,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) max_session_seconds: u32,
}

/// Which part of a list.
#[derive(Debug)]
pub(super) struct Page {
    /// `Marker`.
    pub(super) after: Option<String>,
    pub(super) items: usize,
}

impl Request {
    pub(super) fn read(form: &Form, action: &'static Action) -> Result<Self, Problem> {
        let known = [&["RoleName"], action.takes].concat();
        if let Some(name) = form.other_than(&known) {
            let message = format!("this fake does not support {name} of {}", action.name);
            return Err(Problem::new(400, "ValidationError", message));
        }
        Ok(Self {
            action,
            role: form.role_name()?,
            ask: (action.read)(form)?,
        })
    }
}

impl Action {
    /// What the form calls it, in the one version of the API.
    pub(super) fn of(form: &Form) -> Result<&'static Self, Problem> {
        let name = form.get("Action").unwrap_or_default();
        let version = form.get("Version").unwrap_or_default();
        let known = ACTIONS.iter().find(|known| known.name == name);
        known.filter(|_| version == VERSION).ok_or_else(|| {
            Problem::invalid_action(format!("Could not find operation {name} for version {version}"))
        })
    }
}

impl NewRole {
    fn read(form: &Form) -> Result<Self, Problem> {
        let seconds = form.number("MaxSessionDuration", SESSION_SECONDS)?;
        Ok(Self {
            path: form.path()?.unwrap_or_else(|| "/".to_owned()),
            description: form.description()?.unwrap_or_default(),
            trust: form.document("AssumeRolePolicyDocument")?,
            boundary: form.optional_arn("PermissionsBoundary")?,
            tags: form.tags()?,
            max_session_seconds: seconds.unwrap_or(SESSION_SECONDS_DEFAULT),
        })
    }
}

impl Page {
    fn read(form: &Form) -> Result<Self, Problem> {
        let items = form.number("MaxItems", 1..=PAGE_ITEMS_MAX)?;
        Ok(Self {
            after: form.marker()?,
            items: usize::try_from(items.unwrap_or(PAGE_ITEMS_DEFAULT)).unwrap_or(usize::MAX),
        })
    }
}

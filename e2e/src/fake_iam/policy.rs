//! The caller's identity policy (IAM User Guide, "IAM JSON policy elements reference" and "Policy evaluation logic").
//!
//! What is not understood is refused when the policy is set, and never taken for a condition that holds.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::fake_sts::trust::{Document, OneOrMany};

/// Condition keys of a request, in lower case, and their values.
pub(super) type Context = BTreeMap<String, Vec<String>>;

/// What a policy says to one action on one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Allowed,
    /// A statement denies it, whatever else allows it.
    Denied,
    NotAllowed,
}

/// A policy that has been read.
#[derive(Debug, Clone)]
pub(super) struct Policy(Vec<Statement>);

#[derive(Debug, Clone)]
struct Statement {
    allows: bool,
    /// In lower case.
    actions: Vec<String>,
    resources: Vec<String>,
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone)]
struct Condition {
    operator: Operator,
    /// In lower case.
    key: String,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    StringEquals,
    StringLike,
    ForAllValuesStringEquals,
}

impl Policy {
    /// Reads a policy document.
    ///
    /// # Errors
    /// What is malformed, or not supported by this fake.
    pub(super) fn parse(document: &Value) -> Result<Self, String> {
        let document: Document = read(document)?;
        if document.version != "2012-10-17" {
            return Err(format!("policy: Version {} is not supported", document.version));
        }
        let statements = document.statement.into_vec();
        if statements.is_empty() {
            return Err("policy: no Statement".to_owned());
        }
        let statements = statements
            .iter()
            .map(|statement| Statement::read(read(statement)?));
        statements.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn decide(&self, action: &str, resource: &str, context: &Context) -> Decision {
        let matching = || {
            let statements = self.0.iter();
            statements.filter(|statement| statement.matches(action, resource, context))
        };
        if matching().any(|statement| !statement.allows) {
            Decision::Denied
        } else if matching().next().is_some() {
            Decision::Allowed
        } else {
            Decision::NotAllowed
        }
    }
}

impl Statement {
    fn read(raw: RawStatement) -> Result<Self, String> {
        let allows = match raw.effect.as_str() {
            "Allow" => true,
            "Deny" => false,
            other => return Err(format!("policy: Effect `{other}` is neither Allow nor Deny")),
        };
        let (actions, resources) = (raw.action.into_vec(), raw.resource.into_vec());
        if actions.is_empty() || resources.is_empty() {
            return Err("policy: a statement without actions or resources".to_owned());
        }
        let wildcard = |action: &&String| action.trim_end_matches('*').contains(['*', '?']);
        if let Some(action) = actions.iter().find(wildcard) {
            return Err(format!("policy: the wildcard in `{action}` is not at its end"));
        }
        let mut conditions = Vec::new();
        for (operator, keys) in raw.condition {
            for (key, values) in keys {
                conditions.push(Condition::read(&operator, &key, values.into_vec())?);
            }
        }
        let values = conditions.iter().flat_map(|condition| &condition.values);
        if let Some(text) = values.chain(&resources).find(|text| text.contains("${")) {
            return Err(format!("policy: the variable in `{text}` is not supported"));
        }
        Ok(Self {
            allows,
            actions: actions.iter().map(|action| action.to_ascii_lowercase()).collect(),
            resources,
            conditions,
        })
    }

    /// Everything in a statement must fit.
    fn matches(&self, action: &str, resource: &str, context: &Context) -> bool {
        let action = action.to_ascii_lowercase();
        self.actions.iter().any(|pattern| is_like(&action, pattern))
            && self.resources.iter().any(|pattern| is_like(resource, pattern))
            && self.conditions.iter().all(|condition| condition.holds(context))
    }
}

impl Condition {
    fn read(operator: &str, key: &str, values: Vec<String>) -> Result<Self, String> {
        let operator = match operator {
            "StringEquals" => Operator::StringEquals,
            "StringLike" => Operator::StringLike,
            "ForAllValues:StringEquals" => Operator::ForAllValuesStringEquals,
            other => return Err(format!("policy: condition operator `{other}` is not supported")),
        };
        let lower = key.to_lowercase();
        let is_tag = ["aws:requesttag/", "aws:resourcetag/", "iam:resourcetag/"]
            .iter()
            .any(|prefix| lower.strip_prefix(prefix).is_some_and(|tag| !tag.is_empty()));
        match lower.as_str() {
            "aws:tagkeys" if operator != Operator::ForAllValuesStringEquals => {
                Err("policy: aws:TagKeys has many values, which needs ForAllValues:StringEquals".to_owned())
            }
            "iam:permissionsboundary" | "iam:policyarn" | "aws:tagkeys" => Ok(()),
            _ if is_tag => Ok(()),
            // The request may well have it: that it is absent here would prove nothing.
            _ => Err(format!("policy: condition key `{key}` is not supported")),
        }?;
        Ok(Self {
            operator,
            key: lower,
            values,
        })
    }

    /// A key that the request does not have fits nothing, but of no values all are as they should be.
    fn holds(&self, context: &Context) -> bool {
        let has = context.get(&self.key);
        let fits = |value: &String| match self.operator {
            Operator::StringLike => self.values.iter().any(|pattern| is_like(value, pattern)),
            Operator::StringEquals | Operator::ForAllValuesStringEquals => self.values.contains(value),
        };
        match self.operator {
            Operator::StringEquals | Operator::StringLike => has.is_some_and(|has| has.iter().any(fits)),
            Operator::ForAllValuesStringEquals => has.is_none_or(|has| has.iter().all(fits)),
        }
    }
}

/// `*` is any text, `/` and `:` included, and `?` any one character.
fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
    let (mut at, mut in_pattern) = (0, 0);
    // Where the last `*` stands, and how far it reaches.
    let mut star = None;
    while at < text.len() {
        match pattern.get(in_pattern) {
            Some('*') => {
                star = Some((in_pattern, at));
                in_pattern += 1;
            }
            Some(c) if *c == '?' || text.get(at) == Some(c) => {
                at += 1;
                in_pattern += 1;
            }
            Some(_) | None => {
                let Some((stands, reaches)) = star else {
                    return false;
                };
                star = Some((stands, reaches + 1));
                at = reaches + 1;
                in_pattern = stands + 1;
            }
        }
    }
    pattern.iter().skip(in_pattern).all(|c| *c == '*')
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, String> {
    serde_json::from_value(value.clone()).map_err(|problem| format!("policy: {problem}"))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawStatement {
    #[serde(rename = "Sid", default)]
    _sid: Option<String>,
    effect: String,
    action: OneOrMany<String>,
    resource: OneOrMany<String>,
    #[serde(default)]
    condition: BTreeMap<String, BTreeMap<String, OneOrMany<String>>>,
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;

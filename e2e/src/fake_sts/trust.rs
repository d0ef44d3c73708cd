//! A role's trust policy, as far as web identities and EKS Pod Identity need it (IAM User Guide, "IAM JSON policy
//! elements reference").
//!
//! What is not understood is refused when the role is made, and never taken for a condition that holds.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The action that a trust policy must allow.
pub const ASSUME: &str = "sts:AssumeRoleWithWebIdentity";

/// A trust policy that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    statements: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Statement {
    allows: bool,
    actions: Vec<String>,
    principals: Vec<Principal>,
    /// Each key, in lower case, with the values of which one must be there.
    equals: BTreeMap<String, Vec<String>>,
}

/// Whom a policy can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// An identity provider, by its ARN.
    Federated(String),
    /// A service of AWS, by its name.
    Service(String),
}

/// Who wants to become the role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub principal: Principal,
    /// What it wants to do; the policy has to allow all of it.
    pub actions: &'static [&'static str],
    /// The condition keys of the request, in lower case, and their values.
    pub context: BTreeMap<String, Vec<String>>,
}

impl Trust {
    /// Reads a policy document.
    ///
    /// # Errors
    /// What is malformed, or not supported by this fake.
    pub fn parse(document: &Value) -> Result<Self, String> {
        let document: Document =
            serde_json::from_value(document.clone()).map_err(|problem| format!("trust policy: {problem}"))?;
        if document.version != "2012-10-17" {
            return Err(format!(
                "trust policy: Version {} is not supported",
                document.version
            ));
        }
        let statements = document.statement.into_vec();
        if statements.is_empty() {
            return Err("trust policy: no Statement".to_owned());
        }
        let read = |statement| match serde_json::from_value(statement) {
            Ok(raw) => Statement::read(raw),
            Err(problem) => Err(format!("trust policy: {problem}")),
        };
        let statements = statements.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { statements })
    }

    /// True if for each action a statement allows it and none denies it.
    pub fn allows(&self, caller: &Caller) -> bool {
        caller.actions.iter().all(|action| {
            let mut matching = self
                .statements
                .iter()
                .filter(|statement| statement.matches(caller, action))
                .peekable();
            matching.peek().is_some() && matching.all(|statement| statement.allows)
        })
    }
}

impl Statement {
    fn read(raw: RawStatement) -> Result<Self, String> {
        let allows = match raw.effect.as_str() {
            "Allow" => true,
            "Deny" => false,
            other => {
                return Err(format!(
                    "trust policy: Effect `{other}` is neither Allow nor Deny"
                ));
            }
        };
        let actions = raw.action.into_vec();
        let mut principals = Vec::new();
        let mut names_of_all = Vec::new();
        for (kind, names) in raw.principal {
            let names = names.into_vec();
            names_of_all.extend(names.iter().cloned());
            match kind.as_str() {
                "Federated" => principals.extend(names.into_iter().map(Principal::Federated)),
                "Service" => principals.extend(names.into_iter().map(Principal::Service)),
                // They may stand there; no pod is one of them.
                "AWS" => {}
                other => return Err(format!("trust policy: Principal `{other}` is not supported")),
            }
        }
        let wildcard = actions
            .iter()
            .chain(&names_of_all)
            .find(|text| text.contains(['*', '?']));
        if let Some(text) = wildcard {
            return Err(format!("trust policy: the wildcard in `{text}` is not supported"));
        }
        let mut equals = BTreeMap::new();
        for (operator, keys) in raw.condition {
            if operator != "StringEquals" {
                return Err(format!(
                    "trust policy: condition operator `{operator}` is not supported"
                ));
            }
            for (key, values) in keys {
                let values = values.into_vec();
                if let Some(variable) = values.iter().find(|value| value.contains("${")) {
                    return Err(format!(
                        "trust policy: the variable in `{variable}` is not supported"
                    ));
                }
                if equals.insert(key.to_ascii_lowercase(), values).is_some() {
                    return Err(format!("trust policy: condition key `{key}` stands there twice"));
                }
            }
        }
        Ok(Self {
            allows,
            actions,
            principals,
            equals,
        })
    }

    /// Everything in a statement must fit. A condition key that the request does not have fits nothing.
    fn matches(&self, caller: &Caller, wanted: &str) -> bool {
        self.actions
            .iter()
            .any(|action| action.eq_ignore_ascii_case(wanted))
            && self.principals.contains(&caller.principal)
            && self.equals.iter().all(|(key, wanted)| {
                let has = caller.context.get(key);
                has.is_some_and(|has| has.iter().any(|value| wanted.contains(value)))
            })
    }
}

/// Any policy of IAM.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Document {
    pub(crate) version: String,
    #[serde(rename = "Id", default)]
    _id: Option<String>,
    /// Read one by one: an error within an untagged choice would not say what it is about.
    pub(crate) statement: OneOrMany<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawStatement {
    #[serde(rename = "Sid", default)]
    _sid: Option<String>,
    effect: String,
    principal: BTreeMap<String, OneOrMany<String>>,
    action: OneOrMany<String>,
    #[serde(default)]
    condition: BTreeMap<String, BTreeMap<String, OneOrMany<String>>>,
}

/// A list of one may be written without brackets.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany<T> {
    Many(Vec<T>),
    One(T),
}

impl<T> OneOrMany<T> {
    pub(crate) fn into_vec(self) -> Vec<T> {
        match self {
            Self::Many(items) => items,
            Self::One(item) => vec![item],
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PROVIDER: &str = "arn:aws:iam::111122223333:oidc-provider/issuer.test";

    fn statement() -> Value {
        json!({
            "Effect": "Allow",
            "Principal": {"Federated": PROVIDER},
            "Action": ASSUME,
            "Condition": {"StringEquals": {"issuer.test:sub": "a", "issuer.test:aud": ["x", "y"]}},
        })
    }

    fn policy(statements: &[Value]) -> Result<Trust, String> {
        Trust::parse(&json!({"Version": "2012-10-17", "Statement": statements}))
    }

    fn caller(sub: &str, aud: &str) -> Caller {
        let context = [("issuer.test:sub", sub), ("issuer.test:aud", aud)];
        Caller {
            principal: Principal::Federated(PROVIDER.to_owned()),
            actions: &[ASSUME],
            context: context
                .map(|(key, value)| (key.to_owned(), vec![value.to_owned()]))
                .into(),
        }
    }

    #[test]
    fn every_part_of_a_statement_must_fit() {
        let trust = policy(&[statement()]).unwrap();
        assert!(trust.allows(&caller("a", "y")));
        assert!(!trust.allows(&caller("b", "y")));
        assert!(!trust.allows(&caller("a", "z")));
        let elsewhere = Caller {
            principal: Principal::Federated("arn:aws:iam::1:oidc-provider/issuer.test".into()),
            ..caller("a", "y")
        };
        assert!(!trust.allows(&elsewhere));
        let mut other = statement();
        other["Action"] = json!(["sts:AssumeRole", "sts:TagSession"]);
        assert!(!policy(&[other]).unwrap().allows(&caller("a", "y")));
    }

    #[test]
    fn a_condition_that_is_not_there_restricts_nothing_and_an_unknown_key_fits_nobody() {
        let mut open = statement();
        open.as_object_mut().unwrap().remove("Condition");
        assert!(policy(&[open]).unwrap().allows(&caller("anyone", "anything")));
        let mut unknown = statement();
        unknown["Condition"]["StringEquals"]["issuer.test:email"] = json!("a@b");
        assert!(!policy(&[unknown]).unwrap().allows(&caller("a", "y")));
    }

    #[test]
    fn all_that_is_wanted_has_to_be_allowed_to_just_that_principal() {
        let mut service = statement();
        service["Principal"] = json!({"Service": "pods.eks.amazonaws.com"});
        service["Action"] = json!(["sts:AssumeRole", "sts:TagSession"]);
        let pods = Caller {
            principal: Principal::Service("pods.eks.amazonaws.com".into()),
            actions: &["sts:AssumeRole", "sts:TagSession"],
            ..caller("a", "x")
        };
        let trust = policy(&[service.clone()]).unwrap();
        assert!(trust.allows(&pods));
        assert!(!trust.allows(&caller("a", "x")));
        service["Action"] = json!("sts:AssumeRole");
        assert!(!policy(&[service]).unwrap().allows(&pods));
    }

    #[test]
    fn a_denial_wins_wherever_it_stands() {
        let mut deny = statement();
        deny["Effect"] = json!("Deny");
        for statements in [[deny.clone(), statement()], [statement(), deny]] {
            assert!(!policy(&statements).unwrap().allows(&caller("a", "y")));
        }
    }

    #[test]
    fn one_statement_needs_no_list() {
        let one = json!({"Version": "2012-10-17", "Statement": statement()});
        assert!(Trust::parse(&one).unwrap().allows(&caller("a", "x")));
    }

    #[test]
    fn what_is_not_supported_is_refused_and_named() {
        let changes: [(&str, Value, &str); 8] = [
            ("/Effect", json!("allow"), "Effect"),
            ("/Action", json!("sts:*"), "wildcard"),
            ("/Principal", json!({"Federated": "*"}), "wildcard"),
            ("/Principal", json!("*"), "trust policy"),
            ("/Principal", json!({"CanonicalUser": "x"}), "CanonicalUser"),
            (
                "/Condition",
                json!({"StringLike": {"issuer.test:sub": "a"}}),
                "StringLike",
            ),
            (
                "/Condition",
                json!({"StringEquals": {"issuer.test:sub": "${aws:x}"}}),
                "variable",
            ),
            (
                "/Condition",
                json!({"StringEquals": {"a:sub": "a", "A:sub": "a"}}),
                "twice",
            ),
        ];
        for (path, value, said) in changes {
            let mut changed = statement();
            *changed.pointer_mut(path).unwrap() = value;
            let problem = policy(&[changed]).unwrap_err();
            assert!(problem.contains(said), "{problem}");
        }
        let mut more = statement();
        more["NotAction"] = json!("x");
        assert!(policy(&[more]).unwrap_err().contains("NotAction"));
        assert!(policy(&[]).is_err());
        assert!(Trust::parse(&json!({"Statement": statement()})).is_err());
    }
}

//! Roles, what is asked for, and what is issued.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Problem;
use super::trust::Trust;
use crate::fake_iam;
use crate::fake_xray::sigv4::{Credentials, iso_8601};
use crate::query::element;

/// STS API Reference, `AssumeRoleWithWebIdentity`: from 900 s to 12 h, and 1 h if nothing is said.
const SECONDS: std::ops::RangeInclusive<u64> = 900..=43_200;
const SECONDS_DEFAULT: u64 = 3600;

/// A role and who may become it.
#[derive(Debug, Clone)]
pub(super) struct Role {
    arn: String,
    partition: String,
    account: String,
    name: String,
    /// IAM's unique id.
    id: String,
    pub(super) trust: Trust,
    seconds_max: u64,
}

impl Role {
    /// `seconds_max` is the role's `MaxSessionDuration`; nothing: 1 h, as IAM.
    pub(super) fn new(arn: &str, trust: Trust, seconds_max: Option<u64>) -> Result<Self, String> {
        let refuse = || format!("`{arn}` is no ARN of a role");
        let ["arn", partition, "iam", "", account, resource] = arn.splitn(6, ':').collect::<Vec<_>>()[..]
        else {
            return Err(refuse());
        };
        let path = resource.strip_prefix("role/").ok_or_else(refuse)?;
        let name = path.rsplit('/').next().unwrap_or(path);
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        if name.is_empty() || !is_account {
            return Err(refuse());
        }
        let seconds_max = seconds_max.unwrap_or(SECONDS_DEFAULT);
        if !(3600..=43_200).contains(&seconds_max) {
            return Err("max_session_seconds is not from 3600 to 43200".to_owned());
        }
        Ok(Self {
            arn: arn.to_owned(),
            partition: partition.to_owned(),
            account: account.to_owned(),
            name: name.to_owned(),
            // Made from the ARN so that it stays.
            id: unique_id("AROA", arn),
            trust,
            seconds_max,
        })
    }

    /// How long the session is to last.
    pub(super) fn seconds(&self, ask: &Ask) -> Result<u64, Problem> {
        let seconds = ask.seconds.unwrap_or(SECONDS_DEFAULT);
        if seconds > self.seconds_max {
            let message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
            return Err(Problem::Validation(message.to_owned()));
        }
        Ok(seconds)
    }

    /// The ARN of an identity provider in the role's account.
    pub(super) fn provider_arn(&self, provider: &str) -> String {
        format!(
            "arn:{}:iam::{}:oidc-provider/{provider}",
            self.partition, self.account
        )
    }

    /// One that IAM has. None: its trust policy has something in it that this fake does not understand.
    pub(super) fn of_iam(role: &fake_iam::Role) -> Option<Self> {
        let trust = Trust::parse(&role.trust).ok()?;
        let made = Self::new(&role.arn, trust, Some(u64::from(role.max_session_seconds))).ok()?;
        Some(Self {
            id: role.id.clone(),
            ..made
        })
    }
}

/// As IAM makes unique ids, always the same of the same thing.
pub(crate) fn unique_id(prefix: &str, of: &str) -> String {
    format!("{prefix}{}", letters(&Sha256::digest(of.as_bytes())[..17]))
}

/// The account in a role's ARN.
pub(super) fn account_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(4)
}

/// What `AssumeRoleWithWebIdentity` is asked for; the form is right.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) role: String,
    pub(super) session: String,
    pub(super) token: String,
    pub(super) seconds: Option<u64>,
}

impl Ask {
    pub(super) fn read(form: &BTreeMap<String, String>) -> Result<Self, Problem> {
        const KNOWN: [&str; 6] = [
            "Action",
            "Version",
            "RoleArn",
            "RoleSessionName",
            "WebIdentityToken",
            "DurationSeconds",
        ];
        if let Some(name) = form.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(Problem::Validation(format!("this fake does not support {name}")));
        }
        let field = |name: &str, lengths: std::ops::RangeInclusive<usize>| match form.get(name) {
            Some(value) if lengths.contains(&value.len()) => Ok(value.clone()),
            Some(_) => Err(invalid(name, "its length")),
            None => Err(invalid(name, "it must not be null")),
        };
        let session = field("RoleSessionName", 2..=64)?;
        if !session
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
        {
            return Err(invalid("RoleSessionName", r"the pattern [\w+=,.@-]*"));
        }
        let seconds = match form.get("DurationSeconds").map(|text| text.parse()) {
            None => None,
            Some(Ok(seconds)) if SECONDS.contains(&seconds) => Some(seconds),
            Some(_) => return Err(invalid("DurationSeconds", "from 900 to 43200")),
        };
        Ok(Self {
            role: field("RoleArn", 20..=2048)?,
            session,
            token: field("WebIdentityToken", 4..=20_000)?,
            seconds,
        })
    }
}

fn invalid(name: &str, constraint: &str) -> Problem {
    Problem::Validation(format!(
        "1 validation error detected: {name} does not satisfy the constraint: {constraint}"
    ))
}

/// An assumed role.
#[derive(Debug)]
pub(super) struct Session {
    /// The role's ARN.
    pub(super) role: String,
    pub(super) credentials: Credentials,
    /// `assumed-role`.
    pub(super) arn: String,
    /// The role's id and the session's name.
    pub(super) id: String,
    expiration: String,
}

impl Session {
    /// Issues credentials.
    pub(super) fn new(role: &Role, name: &str, now: SystemTime, seconds: u64) -> Result<Self, Problem> {
        // AWS tells whole seconds, so they end on one.
        let whole = Duration::from_secs(crate::clock::nanos_of(now) / 1_000_000_000 + seconds);
        let expires = SystemTime::UNIX_EPOCH + whole;
        let credentials = Credentials {
            access_key_id: format!("ASIA{}", letters(&random::<16>()?)),
            secret_access_key: STANDARD.encode(random::<30>()?),
            session_token: Some(STANDARD.encode(random::<300>()?)),
            expires: Some(expires),
        };
        Ok(Self {
            role: role.arn.clone(),
            credentials,
            arn: format!(
                "arn:{}:sts::{}:assumed-role/{}/{}",
                role.partition, role.account, role.name, name
            ),
            id: format!("{}:{name}", role.id),
            expiration: iso_8601(expires),
        })
    }

    /// The result of `AssumeRoleWithWebIdentity`.
    pub(super) fn xml(&self, subject: &str, audience: &str, provider: &str) -> String {
        let key = &self.credentials;
        let token = key.session_token.as_deref().unwrap_or_default();
        format!(
            "{}{}{}<AssumedRoleUser>{}{}</AssumedRoleUser><Credentials>{}{}{}{}</Credentials>",
            element("SubjectFromWebIdentityToken", subject),
            element("Audience", audience),
            element("Provider", provider),
            element("Arn", &self.arn),
            element("AssumedRoleId", &self.id),
            element("AccessKeyId", &key.access_key_id),
            element("SecretAccessKey", &key.secret_access_key),
            element("SessionToken", token),
            element("Expiration", &self.expiration),
        )
    }

    /// What a container's credentials endpoint answers.
    pub(super) fn json(&self) -> Value {
        let key = &self.credentials;
        json!({
            "AccessKeyId": key.access_key_id,
            "SecretAccessKey": key.secret_access_key,
            "Token": key.session_token,
            "AccountId": account_of(&self.role),
            "Expiration": self.expiration,
        })
    }
}

/// As AWS writes request ids.
pub(super) fn request_id() -> String {
    let hex: String = random::<16>()
        .unwrap_or_default()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

fn random<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(_) => Err(Problem::Scripted {
            status: 500,
            code: "InternalFailure".to_owned(),
        }),
    }
}

/// A letter or digit of base 32 for each byte.
fn letters(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .collect()
}

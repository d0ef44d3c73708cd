//! A strict stand-in for AWS STS, for the two actions that a web identity needs.
//!
//! `AssumeRoleWithWebIdentity`: the token is verified against the identity provider's own keys ([`keys`]), the role's
//! trust policy is evaluated ([`trust`]), and what is issued ends. `GetCallerIdentity`: the signature is verified.
//! Codes and their statuses are those of the AWS STS API Reference. What it cannot prove is what a role may do: this
//! fake has no permission policies.
//!
//! A role is looked for among those that were made here, then among those of [`crate::fake_iam`].
//!
//! [`crate::fake_aws`] serves it, and has the control port whose `sts` and `roles` are answered here.

mod caller;
mod issuer;
mod keys;
pub mod pod_identity;
mod problem;
mod session;
mod token;
pub mod trust;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::clock;
use crate::fake_iam::Iam;
use crate::fake_xray::sigv4::{Credentials, iso_8601};
use crate::fake_xray::{error, json_response};
use crate::query;
use crate::server::{Body, CloseConnection};
use caller::User;
pub use issuer::{KeyServer, TestIssuer};
pub use keys::KeySource;
use keys::{Keys, PublicKey};
use problem::Problem;
pub(crate) use problem::code_of;
pub(crate) use session::unique_id;
use session::{Ask, Role, Session};
use token::Token;
use trust::{ASSUME, Caller, Principal, Trust};

/// A token has 20,000 characters at most, and little stands beside it.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// The one version of the API.
const VERSION: &str = "2011-06-15";
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The account that the fake plays, and the identity provider that is registered in it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Twelve digits.
    pub account: String,
    /// The region of the regional endpoint; signatures must be made for it.
    pub region: String,
    /// The provider's `iss`, an `https` URL.
    pub issuer: String,
    /// The provider's client ids: the audiences that are taken.
    pub audiences: Vec<String>,
    /// The provider's keys.
    pub keys: KeySource,
}

/// A call, as `GET /_fake/sts` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// When it came, UTC, in seconds.
    pub time: String,
    /// `Action`.
    pub action: String,
    /// `RoleArn`, or the role of the caller.
    pub role: Option<String>,
    /// `sub` as the token has it, whether it was believed or not.
    pub subject: Option<String>,
    /// Of the subject, if that is a service account.
    pub namespace: Option<String>,
    /// Of the subject, if that is a service account.
    pub service_account: Option<String>,
    /// The pod that the token is bound to, if it is.
    pub pod: Option<String>,
    /// The access key that was issued, or that has signed.
    pub access_key_id: Option<String>,
    /// `OK`, or the code of the error.
    pub result: String,
    /// The error's message; empty with `OK`.
    pub message: String,
}

/// What the fake has been told to answer in place of the truth.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// How many calls; nothing: all, until the script is replaced.
    pub calls: Option<u64>,
    /// The HTTP status, 400 to 599.
    pub status: u16,
    /// The error's code.
    pub code: String,
}

/// What becomes of credentials that were issued: other services have to know them.
type Admit = Box<dyn Fn(Credentials) + Send + Sync>;

/// The fake's state. It listens nowhere: [`crate::fake_aws::FakeAws`] does.
pub struct FakeSts {
    options: Options,
    iam: Arc<Mutex<Iam>>,
    admit: Admit,
    keys: tokio::sync::Mutex<Keys>,
    state: Mutex<State>,
    calls: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    roles: BTreeMap<String, Role>,
    sessions: HashMap<String, Session>,
    users: HashMap<String, User>,
    calls: Vec<Call>,
    script: Option<Script>,
    session_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PostedRole {
    arn: String,
    trust: Option<Value>,
    max_session_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PostedUser {
    name: String,
    access_key_id: String,
    secret_access_key: String,
}

impl FakeSts {
    pub(crate) fn new(
        options: Options,
        iam: Arc<Mutex<Iam>>,
        admit: impl Fn(Credentials) + Send + Sync + 'static,
    ) -> Self {
        Self {
            options,
            iam,
            admit: Box::new(admit),
            keys: tokio::sync::Mutex::default(),
            state: Mutex::default(),
            calls: watch::Sender::new(0),
        }
    }

    /// Makes a role, or another of it; `trust` is its trust policy.
    ///
    /// # Errors
    /// When the ARN is no role's, or the policy is malformed or not supported.
    pub fn set_role(&self, arn: &str, trust: &Value) -> Result<(), String> {
        self.put_role(PostedRole {
            arn: arn.to_owned(),
            trust: Some(trust.clone()),
            max_session_seconds: None,
        })
    }

    fn put_role(&self, posted: PostedRole) -> Result<(), String> {
        let PostedRole {
            arn,
            trust,
            max_session_seconds,
        } = posted;
        let Some(trust) = trust else {
            self.lock().roles.remove(&arn);
            return Ok(());
        };
        let role = Role::new(&arn, Trust::parse(&trust)?, max_session_seconds)?;
        self.lock().roles.insert(arn, role);
        Ok(())
    }

    /// Every call in the order of arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// The credentials that it has given, to be looked for where they must not be.
    pub fn issued(&self) -> Vec<Credentials> {
        let state = self.lock();
        let sessions = state.sessions.values();
        sessions.map(|session| session.credentials.clone()).collect()
    }

    /// From the next call on; `None` ends the failures.
    pub fn set_script(&self, script: Option<Script>) {
        self.lock().script = script;
    }

    /// How long sessions last in place of what was asked for, in seconds. AWS has none under 900: with this a test
    /// sees them end. `None`: as asked for.
    pub fn set_session_seconds(&self, seconds: Option<u64>) {
        self.lock().session_seconds = seconds;
    }

    /// Returns as soon as the calls fulfil `condition`. Set your own time limit around it.
    pub async fn wait_until(&self, condition: impl Fn(&[Call]) -> bool) {
        let mut calls = self.calls.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        drop(calls.wait_for(|_| condition(&self.lock().calls)).await);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a call to the endpoint of `region`.
    pub(crate) async fn handle(
        &self,
        request: Request<Incoming>,
        region: &str,
    ) -> Result<Response<Body>, CloseConnection> {
        let (parts, body) = request.into_parts();
        let Ok(body) = Limited::new(body, REQUEST_BYTES_MAX).collect().await else {
            return Err(CloseConnection);
        };
        let body = body.to_bytes();
        let now = clock::wall();
        let mut call = Call::at(now);
        let answer = self.answer(&parts, &body, region, &mut call).await;
        let request_id = session::request_id();
        let response = match &answer {
            Ok(result) => {
                call.result = "OK".to_owned();
                let body = query::answer(NAMESPACE, &call.action, Some(result), &request_id);
                query::respond(StatusCode::OK, body)
            }
            Err(problem) => {
                call.result = problem.code().to_owned();
                call.message = problem.message();
                let status = problem.status();
                let body = query::error(
                    NAMESPACE,
                    status.as_u16(),
                    problem.code(),
                    &call.message,
                    &request_id,
                );
                query::respond(status, body)
            }
        };
        self.lock().calls.push(call);
        // Whoever waits holds the channel while it asks for the lock: the lock is free again by now.
        self.calls.send_modify(|calls| *calls += 1);
        Ok(response)
    }

    async fn answer(
        &self,
        parts: &Parts,
        body: &Bytes,
        region: &str,
        call: &mut Call,
    ) -> Result<String, Problem> {
        let is_form = parts
            .headers
            .get("content-type")
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
        let form = query::form(body).filter(|_| is_form && parts.method == Method::POST);
        let form = form.ok_or_else(|| Problem::InvalidAction("the request is no form".to_owned()))?;
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        field("Action").clone_into(&mut call.action);
        if let Some(problem) = self.scripted() {
            return Err(problem);
        }
        match (field("Action"), field("Version")) {
            ("AssumeRoleWithWebIdentity", VERSION) => self.assume(&form, call).await,
            ("GetCallerIdentity", VERSION) => self.caller_identity(parts, body, region, call),
            (action, version) => Err(Problem::InvalidAction(format!(
                "Could not find operation {action} for version {version}"
            ))),
        }
    }

    fn scripted(&self) -> Option<Problem> {
        let mut state = self.lock();
        let script = state.script.as_mut()?;
        script.fails().then(|| Problem::Scripted {
            status: script.status,
            code: script.code.clone(),
        })
    }

    /// As STS sees it now.
    fn role(&self, state: &State, arn: &str, now: SystemTime) -> Result<Role, Problem> {
        let of_iam = || {
            let iam = self.iam.lock().unwrap_or_else(PoisonError::into_inner);
            Role::of_iam(&iam.visible_role(now, arn)?)
        };
        let role = state.roles.get(arn).cloned();
        role.or_else(of_iam).ok_or(Problem::AccessDenied)
    }

    async fn assume(&self, form: &BTreeMap<String, String>, call: &mut Call) -> Result<String, Problem> {
        let ask = Ask::read(form)?;
        call.role = Some(ask.role.clone());
        let token = Token::parse(&ask.token)?;
        let claims = &token.claims;
        call.subject = Some(claims.sub.clone());
        if let Some((namespace, name)) = claims.service_account() {
            call.namespace = Some(namespace.to_owned());
            call.service_account = Some(name.to_owned());
        }
        call.pod = claims.pod().map(str::to_owned);
        let Options {
            issuer,
            audiences,
            account,
            ..
        } = &self.options;
        let role_account = session::account_of(&ask.role);
        if claims.iss != *issuer || role_account != Some(account) {
            let message = format!(
                "No OpenIDConnect provider found in your account for {}",
                claims.iss
            );
            return Err(Problem::InvalidIdentityToken(message));
        }
        let key = self.key(&token.kid).await?;
        let now = clock::wall();
        token.verify(&key, clock::nanos_of(now) / 1_000_000_000)?;
        let audience = claims.audience()?;
        if !audiences.iter().any(|known| known == audience) {
            return Err(Problem::InvalidIdentityToken(
                "Incorrect token audience".to_owned(),
            ));
        }
        let mut state = self.lock();
        let role = self.role(&state, &ask.role, now)?;
        let provider = provider(issuer);
        let provider_arn = role.provider_arn(provider);
        let caller = Caller {
            principal: Principal::Federated(provider_arn.clone()),
            actions: &[ASSUME],
            context: [("sub", claims.sub.as_str()), ("aud", audience)]
                .map(|(key, value)| {
                    (
                        format!("{provider}:{key}").to_ascii_lowercase(),
                        vec![value.to_owned()],
                    )
                })
                .into(),
        };
        if !role.trust.allows(&caller) {
            return Err(Problem::AccessDenied);
        }
        let seconds = state.session_seconds.unwrap_or(role.seconds(&ask)?);
        let session = Session::new(&role, &ask.session, now, seconds)?;
        let result = session.xml(&claims.sub, audience, &provider_arn);
        let credentials = session.credentials.clone();
        call.access_key_id = Some(credentials.access_key_id.clone());
        state.sessions.insert(credentials.access_key_id.clone(), session);
        drop(state);
        (self.admit)(credentials);
        Ok(result)
    }

    /// The key of that name; the set is fetched again when it is not known, once a call.
    async fn key(&self, kid: &str) -> Result<PublicKey, Problem> {
        let mut keys = self.keys.lock().await;
        if let Some(key) = keys.get(kid) {
            return Ok(key.clone());
        }
        let fetched = self.options.keys.fetch().await;
        *keys = fetched.map_err(|problem| Problem::IdpCommunication(format!("{problem:#}")))?;
        keys.get(kid).cloned().ok_or_else(|| {
            Problem::InvalidIdentityToken("the identity provider has no key of the token's `kid`".to_owned())
        })
    }

    /// Answers the control port.
    pub(crate) fn steer(&self, method: &Method, path: &str, body: &Bytes) -> Response<Body> {
        match (method, path) {
            (&Method::GET, "sts") => json_response(StatusCode::OK, &json!(self.calls())),
            (&Method::POST, "roles") => done(read(body).and_then(|role| self.put_role(role))),
            (&Method::POST, "users") => done(read(body).map(|user: PostedUser| {
                let key = Credentials::new(user.access_key_id, user.secret_access_key);
                self.add_user(&user.name, key);
            })),
            (&Method::POST, "sts/failure") => done(read(body).map(|script| self.set_script(script))),
            (&Method::POST, "sts/session_seconds") => {
                done(read(body).map(|seconds| self.set_session_seconds(seconds)))
            }
            _ => error(StatusCode::NOT_FOUND, "UnknownFakePath", path),
        }
    }
}

impl Script {
    /// Counts a call and says whether it fails.
    pub(crate) fn fails(&mut self) -> bool {
        match &mut self.calls {
            Some(0) => return false,
            Some(calls) => *calls -= 1,
            None => {}
        }
        true
    }
}

impl Call {
    fn at(now: SystemTime) -> Self {
        Self {
            time: iso_8601(now),
            action: String::new(),
            role: None,
            subject: None,
            namespace: None,
            service_account: None,
            pod: None,
            access_key_id: None,
            result: String::new(),
            message: String::new(),
        }
    }
}

/// The answer of the control port to something that was to be done.
pub(crate) fn done(outcome: Result<(), String>) -> Response<Body> {
    match outcome {
        Ok(()) => json_response(StatusCode::OK, &json!({})),
        Err(problem) => error(StatusCode::BAD_REQUEST, "InvalidRequest", &problem),
    }
}

/// What the control port was sent.
pub(crate) fn read<T: serde::de::DeserializeOwned>(body: &Bytes) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|problem| problem.to_string())
}

/// How IAM names a provider: its issuer without the scheme.
fn provider(issuer: &str) -> &str {
    issuer.strip_prefix("https://").unwrap_or(issuer)
}

#[cfg(test)]
#[path = "fake_sts/tests.rs"]
mod tests;

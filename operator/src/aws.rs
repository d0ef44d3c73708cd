//! The few calls that are made to AWS. A thin shell: nothing is decided here but what an error means.

mod trouble;

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_iam::types::Tag;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::clock::instant;
use crate::managed_role::{Observed, POLICY_NAME, Role, Write};
use crate::settings::AwsAccount;
pub(crate) use trouble::{Kind, Trouble};

/// A call is given up after this long; the next pass asks again.
const CALL_LIMIT: Duration = Duration::from_secs(4);
/// An STS that did not answer is not asked again for this long, by anybody: each call holds a pass, of which there are few.
const SILENCE: Duration = Duration::from_secs(10);
/// IAM lists at most this many policies of a role at once, and a role has no more than twenty.
const LISTED_MAX: i32 = 100;

/// AWS, through the operator's eyes.
pub(crate) struct Aws {
    /// The chart's; without it the environment's, then the nodes'. Never a pipeline's: its author has no say here.
    region: Option<String>,
    region_of_nodes: Mutex<Option<String>>,
    loaded: Mutex<Option<SdkConfig>>,
    /// Instead of the network, in tests.
    http: Option<aws_sdk_iam::config::SharedHttpClient>,
    /// IAM has one endpoint for the world, with a quota for the account: one pass at a time talks to it.
    worker: Semaphore,
    /// Regions whose STS did not answer last, until when, what was said of it and of which role.
    silent: Mutex<BTreeMap<Option<String>, (Instant, Trouble, String)>>,
}

/// A token of a ServiceAccount. It is a credential: it has no Debug.
pub(crate) struct Token(String);

/// What AWS says to a ServiceAccount's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Assumed {
    /// It gave credentials; they were not kept.
    Granted,
    /// It refused: a reason of the condition IdentityReady, and its words.
    Denied(&'static str, String),
    /// It did not decide.
    Unanswered(Trouble),
}

// === impl Token ===

impl Token {
    /// Takes what the API server has made.
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }
}

// === impl Aws ===

impl Aws {
    /// Nothing is loaded before it is needed: where every pipeline has a role of its own, there is nothing to be loaded.
    pub(crate) fn new(region: Option<String>) -> Self {
        Self {
            region,
            region_of_nodes: Mutex::default(),
            loaded: Mutex::default(),
            http: None,
            worker: Semaphore::new(1),
            silent: Mutex::default(),
        }
    }

    /// One that talks to `http`.
    #[cfg(test)]
    pub(crate) fn through(http: aws_sdk_iam::config::SharedHttpClient) -> Self {
        Self {
            http: Some(http),
            ..Self::new(Some("eu-west-1".to_owned()))
        }
    }

    /// The region that the nodes name, for an administrator who names none.
    pub(crate) fn nodes_are_in(&self, region: Option<&str>) {
        if let Some(region) = region {
            *self
                .region_of_nodes
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(region.to_owned());
        }
    }

    /// The right to call IAM, unless another pass has it.
    pub(crate) fn worker(&self) -> Option<SemaphorePermit<'_>> {
        self.worker.try_acquire().ok()
    }

    /// The account that the operator's own credentials belong to. It needs no permission.
    pub(crate) async fn account(&self) -> Result<AwsAccount, Trouble> {
        let action = "sts:GetCallerIdentity";
        let client = aws_sdk_sts::Client::from_conf(self.sts().await.build());
        let answer = client.get_caller_identity().send().await;
        let answer = answer.map_err(|error| trouble(action, "*", &error))?;
        let arn = answer.arn.unwrap_or_default();
        AwsAccount::of_arn(&arn)
            .ok_or_else(|| Trouble::standing(action, "*", &format!("{arn} names no account")))
    }

    /// Why there is no use in asking STS for credentials of `role` now: a moment ago it did not answer.
    pub(crate) fn silence(&self, role: &str, region: Option<&str>) -> Option<Trouble> {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.retain(|_, (until, ..)| *until > instant());
        let (_, trouble, of) = silent.get(&region.map(str::to_owned))?;
        let mut trouble = trouble.clone();
        trouble.message = trouble.message.replace(of, role);
        Some(trouble)
    }

    /// Whether the bearer of `token` gets credentials of `role`.
    pub(crate) async fn assume(&self, role: &str, token: Token, region: Option<&str>) -> Assumed {
        if token.0.is_empty() {
            let why = "the API server gave an empty token";
            return Assumed::Unanswered(Trouble::standing("sts:AssumeRoleWithWebIdentity", role, why));
        }
        let mut config = self.sts().await;
        if let Some(region) = region {
            config = config.region(Region::new(region.to_owned()));
        }
        let client = aws_sdk_sts::Client::from_conf(config.build());
        let answer = client
            .assume_role_with_web_identity()
            .role_arn(role)
            .role_session_name("tracepipe-operator-verifies")
            .web_identity_token(&token.0)
            .duration_seconds(900)
            .send()
            .await;
        let Err(error) = answer else {
            return Assumed::Granted;
        };
        // Whoever answers may repeat what he was shown.
        let hide = |text: &str| text.replace(&token.0, "(the token)");
        let denied = trouble::of_assume(role, code_of(&error), &hide(message_of(&error)));
        denied.unwrap_or_else(|| {
            let mut trouble = trouble("sts:AssumeRoleWithWebIdentity", role, &error);
            trouble.message = hide(&trouble.message);
            if error.as_service_error().is_none() {
                let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
                let until = instant() + SILENCE;
                let region = region.map(str::to_owned);
                silent.insert(region, (until, trouble.clone(), role.to_owned()));
            }
            Assumed::Unanswered(trouble)
        })
    }

    /// The role of this name, None when IAM knows none.
    pub(crate) async fn role(&self, arn: &str, name: &str) -> Result<Option<Observed>, Trouble> {
        let iam = self.iam().await;
        let got = match iam.get_role().role_name(name).send().await {
            Ok(got) => got,
            Err(error) if code_of(&error) == Some("NoSuchEntity") => return Ok(None),
            Err(error) => return Err(trouble("iam:GetRole", arn, &error)),
        };
        let Some(role) = got.role else {
            return Ok(None);
        };
        let tags = role.tags.unwrap_or_default().into_iter();
        Ok(Some(Observed {
            arn: role.arn,
            tags: tags.map(|tag| (tag.key, tag.value)).collect(),
            trust: document(role.assume_role_policy_document.as_deref()),
            boundary: role
                .permissions_boundary
                .and_then(|boundary| boundary.permissions_boundary_arn),
            policy: None,
            foreign: Vec::new(),
        }))
    }

    /// [`Self::role`] with its policies. Only for a role that is ours: of others there is nothing to be known.
    pub(crate) async fn with_policies(&self, mut role: Observed, name: &str) -> Result<Observed, Trouble> {
        let iam = self.iam().await;
        let arn = &role.arn;
        let policy = iam.get_role_policy().role_name(name).policy_name(POLICY_NAME);
        role.policy = match policy.send().await {
            Ok(got) => Some(document(Some(&got.policy_document))),
            Err(error) if code_of(&error) == Some("NoSuchEntity") => None,
            Err(error) => return Err(trouble("iam:GetRolePolicy", arn, &error)),
        };
        let inline = iam.list_role_policies().role_name(name).max_items(LISTED_MAX);
        let inline = match inline.send().await {
            Ok(listed) => listed.policy_names,
            Err(error) if code_of(&error) == Some("NoSuchEntity") => Vec::new(),
            Err(error) => return Err(trouble("iam:ListRolePolicies", arn, &error)),
        };
        let attached = iam
            .list_attached_role_policies()
            .role_name(name)
            .max_items(LISTED_MAX);
        let attached = match attached.send().await {
            Ok(listed) => listed.attached_policies.unwrap_or_default(),
            Err(error) if code_of(&error) == Some("NoSuchEntity") => Vec::new(),
            Err(error) => return Err(trouble("iam:ListAttachedRolePolicies", arn, &error)),
        };
        let inline = inline.into_iter().filter(|name| name != POLICY_NAME);
        let attached = attached.into_iter().filter_map(|policy| policy.policy_arn);
        role.foreign = inline.chain(attached).collect();
        Ok(role)
    }

    /// Does one write. Each may be repeated.
    pub(crate) async fn write(&self, write: &Write, role: &Role) -> Result<(), Trouble> {
        let iam = self.iam().await;
        let name = &role.name;
        match write {
            Write::Create => {
                let create = iam
                    .create_role()
                    .role_name(name)
                    .path(&role.path)
                    .description("Collectors of a TracingPipeline. Made and deleted by tracepipe-operator.")
                    .assume_role_policy_document(role.trust.to_string())
                    .set_permissions_boundary(role.boundary.clone())
                    .set_tags(Some(tags(&role.tags)));
                outcome("iam:CreateRole", &role.arn, create.send().await)
            }
            Write::Tag => {
                let tag = iam.tag_role().role_name(name).set_tags(Some(tags(&role.tags)));
                outcome("iam:TagRole", &role.arn, tag.send().await)
            }
            Write::Boundary(boundary) => {
                let put = iam.put_role_permissions_boundary().role_name(name);
                let sent = put.permissions_boundary(boundary).send().await;
                outcome("iam:PutRolePermissionsBoundary", &role.arn, sent)
            }
            Write::Trust => {
                let update = iam
                    .update_assume_role_policy()
                    .role_name(name)
                    .policy_document(role.trust.to_string());
                outcome("iam:UpdateAssumeRolePolicy", &role.arn, update.send().await)
            }
            Write::Policy => {
                let put = iam
                    .put_role_policy()
                    .role_name(name)
                    .policy_name(POLICY_NAME)
                    .policy_document(role.policy.to_string());
                outcome("iam:PutRolePolicy", &role.arn, put.send().await)
            }
        }
    }

    /// Deletes a role that was found to be ours, our policy first.
    pub(crate) async fn delete(&self, arn: &str, name: &str) -> Result<(), Trouble> {
        let iam = self.iam().await;
        let policy = iam.delete_role_policy().role_name(name).policy_name(POLICY_NAME);
        match policy.send().await {
            Err(error) if code_of(&error) == Some("NoSuchEntity") => {}
            sent => outcome("iam:DeleteRolePolicy", arn, sent)?,
        }
        match iam.delete_role().role_name(name).send().await {
            Err(error) if code_of(&error) == Some("NoSuchEntity") => Ok(()),
            sent => outcome("iam:DeleteRole", arn, sent),
        }
    }

    async fn iam(&self) -> aws_sdk_iam::Client {
        let config = aws_sdk_iam::config::Builder::from(&self.load().await);
        let config = config
            .retry_config(RetryConfig::disabled())
            .timeout_config(limits());
        aws_sdk_iam::Client::from_conf(config.build())
    }

    async fn sts(&self) -> aws_sdk_sts::config::Builder {
        let config = aws_sdk_sts::config::Builder::from(&self.load().await);
        config
            .retry_config(RetryConfig::disabled())
            .timeout_config(limits())
    }

    /// The SDK's configuration. Credentials in it are kept until they end; they come from where the SDK looks: variables,
    /// a web identity, a Pod Identity association.
    async fn load(&self) -> SdkConfig {
        if let Some(loaded) = self.lock().clone() {
            return loaded;
        }
        let from_environment = || {
            std::env::var("AWS_REGION")
                .ok()
                .filter(|region| !region.is_empty())
        };
        let of_nodes = || {
            self.region_of_nodes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        };
        let region = self.region.clone().or_else(from_environment).or_else(of_nodes);
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .timeout_config(limits())
            // Without one there is no endpoint; where the partition is another, the region has to be known.
            .region(Region::new(
                region.clone().unwrap_or_else(|| "us-east-1".to_owned()),
            ));
        if let Some(http) = &self.http {
            loader = loader.http_client(http.clone()).test_credentials();
        }
        let loaded = loader.load().await;
        if region.is_some() {
            *self.lock() = Some(loaded.clone());
        }
        loaded
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<SdkConfig>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn limits() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_timeout(CALL_LIMIT)
        .build()
}

fn tags(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    let made = tags
        .iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build());
    // It fails for a tag without key or value alone.
    made.filter_map(Result::ok).collect()
}

/// IAM answers documents percent-encoded. What is none is Null, which is like no document.
fn document(text: Option<&str>) -> Value {
    let decoded = percent_decode_str(text.unwrap_or_default()).decode_utf8_lossy();
    serde_json::from_str(&decoded).unwrap_or_default()
}

fn outcome<T, E>(action: &'static str, resource: &str, sent: Result<T, SdkError<E>>) -> Result<(), Trouble>
where
    E: ProvideErrorMetadata + StdError + Debug + 'static,
{
    match sent {
        Ok(_) => Ok(()),
        Err(error) => Err(trouble(action, resource, &error)),
    }
}

fn code_of<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<&str> {
    error.as_service_error()?.code()
}

fn message_of<E: ProvideErrorMetadata>(error: &SdkError<E>) -> &str {
    let service = error.as_service_error();
    service
        .and_then(ProvideErrorMetadata::message)
        .unwrap_or_default()
}

fn trouble<E>(action: &'static str, resource: &str, error: &SdkError<E>) -> Trouble
where
    E: ProvideErrorMetadata + StdError + Debug + 'static,
{
    match error {
        SdkError::ServiceError(_) => {
            let code = code_of(error).unwrap_or("no code");
            trouble::of_answer(action, resource, code, message_of(error))
        }
        SdkError::TimeoutError(_)
        | SdkError::ResponseError(_)
        | SdkError::DispatchFailure(_)
        | SdkError::ConstructionFailure(_)
        | _ => trouble::of_silence(action, resource, error),
    }
}

//! A cluster, an AWS account and an operator between them, in virtual time. Any write, to Kubernetes or to IAM, can go
//! wrong: the operator ends before it or after it, it is refused for once, or its reply is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tracepipe_e2e::fake_iam::{self, Iam};
use tracepipe_e2e::fake_sts::trust::{ASSUME, Caller, Principal, Trust};

use super::api_server::ApiServer;
use super::collectors::Collectors;
pub(crate) use super::faults::{Fault, Faults};
use super::{UID, facts, issuer, managed_roles, settings};
use crate::aws::Aws;
use crate::clock::Clock;
use crate::exporting::asking::{Asker, Exporters};
use crate::exporting::{PATIENCE, Times};
use crate::facts::{NodeFacts, PodFacts};
use crate::names::REVISION_LABEL;
use crate::operator_policy;
use crate::reconcile::{Context, failed, look};
use crate::settings::{Facts, Settings};

pub(crate) const NAMESPACE: &str = "tracing";
pub(crate) const NAME: &str = "otel-collector";
/// The resource.
pub(crate) const PIPELINE: &str =
    "/apis/tracepipe.dev/v1alpha1/namespaces/tracing/tracingpipelines/otel-collector";
pub(crate) const DAEMON_SET: &str = "/apis/apps/v1/namespaces/tracing/daemonsets/otel-collector-collector";
const ACCOUNT: &str = "111122223333";
/// In every secret that the operator is given.
pub(crate) const CANARY: &str = "CANARY-4711";
/// How long a pod takes to end.
const POD_ENDS: Duration = Duration::from_secs(5);
/// No story is longer.
const HORIZON: Duration = Duration::from_secs(3600);
/// A pipeline that asks to be looked at no sooner is at rest.
const REST: Duration = Duration::from_secs(100);

/// IAM and STS, instead of a network.
#[derive(Clone)]
pub(crate) struct Cloud {
    pub(crate) iam: Arc<Mutex<Iam>>,
    clock: Clock,
    faults: Faults,
    /// Nobody answers.
    dead: Arc<Mutex<bool>>,
}

impl std::fmt::Debug for Cloud {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cloud")
    }
}

impl HttpClient for Cloud {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Cloud {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let cloud = self.clone();
        let body = request.body().bytes().unwrap_or_default().to_vec();
        HttpConnectorFuture::new(async move { cloud.answer(&body).await })
    }
}

impl Cloud {
    async fn answer(&self, body: &[u8]) -> Result<HttpResponse, ConnectorError> {
        if *self.dead.lock().unwrap() {
            // The SDK's own limit ends the call.
            std::future::pending::<()>().await;
        }
        let form: BTreeMap<String, String> = form_of(body);
        let action = form.get("Action").cloned().unwrap_or_default();
        let now = self.now();
        let (status, body) = match action.as_str() {
            "GetCallerIdentity" => (200, caller_identity()),
            "AssumeRoleWithWebIdentity" => self.assume(&form, now),
            _ => {
                let call = || self.iam.lock().unwrap().call(now, body);
                let reads = action.starts_with("Get") || action.starts_with("List");
                let answer = match reads {
                    true => Some(call()),
                    false => self.faults.around(&format!("iam:{action}"), call).await,
                };
                let lost = || ConnectorError::io("the reply is lost".into());
                let answer = answer.ok_or_else(lost)?;
                (answer.status, answer.body)
            }
        };
        Ok(HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body)))
    }

    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(self.clock.now().as_second()).unwrap())
    }

    /// The token is the path of its ServiceAccount.
    fn assume(&self, form: &BTreeMap<String, String>, now: SystemTime) -> (u16, String) {
        let token: Vec<&str> = form["WebIdentityToken"]
            .trim_end_matches(CANARY)
            .split('/')
            .collect();
        let subject = format!("system:serviceaccount:{}:{}", token[4], token[6]);
        let issuer = issuer().to_string();
        let caller = Caller {
            principal: Principal::Federated(format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{issuer}")),
            actions: &[ASSUME],
            context: [("sub", subject), ("aud", "sts.amazonaws.com".to_owned())]
                .map(|(key, value)| (format!("{issuer}:{key}").to_ascii_lowercase(), vec![value]))
                .into(),
        };
        let trust = self.iam.lock().unwrap().visible_trust(now, &form["RoleArn"]);
        if trust.is_some_and(|trust| Trust::parse(&trust).unwrap().allows(&caller)) {
            return (
                200,
                "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIAX</AccessKeyId><SecretAccessKey>CANARY-4711</SecretAccessKey><SessionToken>CANARY-4711</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>".to_owned(),
            );
        }
        let message = format!(
            "Not authorized to perform sts:AssumeRoleWithWebIdentity with {}",
            form["WebIdentityToken"]
        );
        (
            403,
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>{message}</Message></Error></ErrorResponse>"
            ),
        )
    }
}

fn caller_identity() -> String {
    format!(
        "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:sts::{ACCOUNT}:assumed-role/operator/pod</Arn><UserId>AROAX:pod</UserId><Account>{ACCOUNT}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
    )
}

fn form_of(body: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(body).replace('+', " ");
    let decode = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (decode(key), decode(value))).collect()
}

/// All of it.
pub(crate) struct World {
    pub(crate) api: ApiServer,
    pub(crate) cloud: Cloud,
    pub(crate) faults: Faults,
    pub(crate) settings: Settings,
    /// What pods answer that have this address; without one they are not asked.
    pub(crate) collectors: Collectors,
    pub(crate) pod_ip: Mutex<Option<IpAddr>>,
    clock: Clock,
    pods: Mutex<Vec<(PodFacts, Option<Timestamp>)>>,
}

impl World {
    /// A cluster with a TracingPipeline that has `clusterName` and `changes`, before any operator.
    pub(crate) fn new(changes: &Value) -> Self {
        let clock = Clock::of_the_runtime("2026-11-21T12:00:00Z".parse().unwrap());
        let faults = Faults::default();
        let mut iam = Iam::new(fake_iam::Options {
            account: ACCOUNT.to_owned(),
            partition: "aws".to_owned(),
        });
        let roles = managed_roles();
        iam.add_managed_policy(roles.boundary.as_deref().unwrap());
        let world = Self {
            api: ApiServer::default(),
            cloud: Cloud {
                iam: Arc::new(Mutex::new(iam)),
                clock: clock.clone(),
                faults: faults.clone(),
                dead: Arc::default(),
            },
            faults,
            settings: Settings {
                managed_roles: Some(roles),
                ..settings()
            },
            collectors: Collectors::default(),
            pod_ip: Mutex::default(),
            clock,
            pods: Mutex::default(),
        };
        world.api.strike(world.faults.clone());
        world.permit();
        let mut pipeline =
            serde_json::to_value(super::with_spec(json!({"identity": {"roleArn": null}}))).unwrap();
        json_patch::merge(&mut pipeline["spec"], changes);
        pipeline["metadata"]["generation"] = json!(1);
        world.api.put(PIPELINE, pipeline);
        world
    }

    /// The operator may do in IAM what `iam-policy` prints, nothing else.
    pub(crate) fn permit(&self) {
        let account = crate::iam::Account::parse(ACCOUNT).unwrap();
        let roles = self.settings.managed_roles.as_ref().unwrap();
        let policy = operator_policy::document("aws", &account, roles);
        self.cloud
            .iam
            .lock()
            .unwrap()
            .set_caller_policy(Some(&policy))
            .unwrap();
    }

    /// Nobody answers at AWS, or somebody does again.
    pub(crate) fn kill_aws(&self, dead: bool) {
        *self.cloud.dead.lock().unwrap() = dead;
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn system_time(&self) -> SystemTime {
        self.cloud.now()
    }

    /// An operator that has just started.
    pub(crate) fn operator(&self) -> Context {
        let facts = Facts {
            issuer: Some(issuer()),
            ..facts()
        };
        Context {
            aws: Arc::new(Aws::through(SharedHttpClient::new(self.cloud.clone()))),
            clock: self.clock.clone(),
            started: self.clock.now(),
            exporters: Exporters::new(Times::new(PATIENCE), Asker::Fake(self.collectors.clone())),
            ..Context::new(self.api.client(), self.settings.clone(), facts)
        }
    }

    /// Lets a new operator work until all is at rest. `plan`: which write goes wrong how. False: it never was.
    pub(crate) async fn chapter(&self, plan: Option<(usize, Fault)>) -> bool {
        self.faults.begin(plan);
        let end = tokio::time::Instant::now() + HORIZON;
        self.work(self.operator(), HORIZON, true).await;
        tokio::time::Instant::now() < end
    }

    /// Lets `operator` work for so long. Answers the operator that there is then.
    pub(crate) async fn live(&self, operator: Context, time: Duration) -> Context {
        self.faults.begin(None);
        self.work(operator, time, false).await
    }

    async fn work(&self, mut operator: Context, limit: Duration, until_rest: bool) -> Context {
        let end = tokio::time::Instant::now() + limit;
        while tokio::time::Instant::now() < end {
            self.move_pods(&operator);
            let before = self.faults.writes().len();
            let again = tokio::select! {
                biased;
                outcome = Box::pin(look(NAMESPACE, NAME, &operator)) => match outcome {
                    Ok(again) => again,
                    Err(error) => Some(failed(NAMESPACE, NAME, &error, &operator)),
                },
                () = self.faults.crashed() => {
                    operator = self.operator();
                    continue;
                }
            };
            // Without a time it waits for a change, and nobody makes one.
            let again = again.unwrap_or(HORIZON);
            let wrote = self.faults.writes().len() > before;
            if until_rest && !wrote && again >= REST && self.pods_rest() {
                break;
            }
            // A write is an event, and events come at once.
            let wait = if wrote || !self.pods_rest() {
                again.min(Duration::from_secs(1))
            } else {
                again
            };
            let until = end.min(tokio::time::Instant::now() + wait);
            self.rest(&operator, until).await;
        }
        operator
    }

    /// Until then, or until collectors say something new.
    async fn rest(&self, operator: &Context, until: tokio::time::Instant) {
        if self.pod_ip.lock().unwrap().is_none() {
            return tokio::time::sleep_until(until).await;
        }
        let tick = Duration::from_secs(5);
        while tokio::time::Instant::now() < until {
            tokio::time::sleep_until(until.min(tokio::time::Instant::now() + tick)).await;
            let changed = operator.exporters.round(&operator.stores.pods, &self.clock).await;
            if !changed.is_empty() {
                break;
            }
        }
    }

    fn pods_rest(&self) -> bool {
        self.pods.lock().unwrap().iter().all(|(_, ends)| ends.is_none())
    }

    /// Does what the DaemonSet controller and the kubelet would.
    fn move_pods(&self, operator: &Context) {
        let now = self.clock.now();
        let mut pods = self.pods.lock().unwrap();
        let live = self.api.get(DAEMON_SET);
        let text = |path: &str| {
            let found = live.as_ref().and_then(|live| live.pointer(path));
            found.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let label = REVISION_LABEL.replace('/', "~1");
        let revision = text(&format!("/spec/template/metadata/labels/{label}"));
        let owner = text("/metadata/uid");
        for (pod, ends) in pods.iter_mut() {
            let wanted = live.is_some() && pod.revision == revision && pod.owner == owner;
            if !wanted && ends.is_none() {
                *ends = Some(now + SignedDuration::try_from(POD_ENDS).unwrap());
            }
        }
        pods.retain(|(_, ends)| ends.is_none_or(|ends| ends > now));
        if live.is_some() && !pods.iter().any(|(_, ends)| ends.is_none()) {
            let pod = PodFacts {
                name: format!("pod-{owner}-{revision}"),
                pipeline: NAME.to_owned(),
                owner,
                created: Some(now),
                node: "node".to_owned(),
                revision,
                ready: true,
                ip: *self.pod_ip.lock().unwrap(),
                config_maps: vec![text("/spec/template/spec/volumes/0/configMap/name")],
                ..PodFacts::default()
            };
            pods.push((pod, None));
        }
        if live.is_some() {
            self.api.edit(DAEMON_SET, |live| {
                let generation = live["metadata"]["generation"].clone();
                live["status"] = json!({
                    "observedGeneration": generation,
                    "desiredNumberScheduled": 1,
                    "updatedNumberScheduled": 1,
                });
            });
        }
        let node = NodeFacts {
            name: "node".to_owned(),
            labels: [
                ("kubernetes.io/os", "linux"),
                ("topology.kubernetes.io/region", "eu-west-1"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
            taints: Vec::new(),
            ready: true,
            created: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        };
        let facts = pods.iter().map(|(pod, ends)| PodFacts {
            deleting: ends.is_some(),
            ..pod.clone()
        });
        operator.stores.set(vec![node], NAMESPACE, facts.collect());
    }

    /// What the status says of a condition: `True/Verified`.
    pub(crate) fn says(&self, kind: &str) -> String {
        self.condition(kind).map_or("-".to_owned(), |one| {
            format!(
                "{}/{}",
                one["status"].as_str().unwrap(),
                one["reason"].as_str().unwrap()
            )
        })
    }

    pub(crate) fn message(&self, kind: &str) -> String {
        let found = self.condition(kind).unwrap();
        found["message"].as_str().unwrap().to_owned()
    }

    fn condition(&self, kind: &str) -> Option<Value> {
        let pipeline = self.api.get(PIPELINE)?;
        let conditions = pipeline["status"]["conditions"].as_array()?.clone();
        conditions.into_iter().find(|one| one["type"] == kind)
    }

    /// Whether the resource has the finalizer.
    pub(crate) fn is_held(&self) -> bool {
        let pipeline = self.api.get(PIPELINE).unwrap();
        pipeline["metadata"]["finalizers"] == json!([crate::identity::FINALIZER])
    }

    /// Names of the account's roles.
    pub(crate) fn roles(&self) -> Vec<String> {
        let roles = self.cloud.iam.lock().unwrap().roles();
        roles.into_iter().map(|role| role.arn).collect()
    }

    /// Writes to IAM that were carried out on roles without our UID.
    pub(crate) fn trespasses(&self) -> Vec<String> {
        let iam = self.cloud.iam.lock().unwrap();
        let wrong = iam
            .calls()
            .iter()
            .filter(|call| call.write && call.result == "OK" && call.uid_tag.as_deref() != Some(UID));
        wrong.map(|call| format!("{call:?}")).collect()
    }

    /// Everything that lasts, without what differs from one telling to the next.
    pub(crate) fn end(&self) -> (BTreeMap<String, Value>, Vec<Value>) {
        let mut objects = self.api.objects();
        for object in objects.values_mut() {
            strip(object);
        }
        let roles = self.cloud.iam.lock().unwrap().roles().into_iter().map(|role| {
            json!({
                "arn": role.arn, "trust": role.trust, "boundary": role.boundary, "tags": role.tags,
                "inline": role.inline, "attached": role.attached,
            })
        });
        (objects, roles.collect())
    }
}

/// Takes out versions, times, generations, and UIDs of children.
fn strip(value: &mut Value) {
    let volatile: BTreeSet<&str> = [
        "resourceVersion",
        "managedFields",
        "generation",
        "observedGeneration",
        "lastTransitionTime",
        "deletionTimestamp",
    ]
    .into();
    match value {
        Value::Object(members) => {
            members.retain(|key, value| {
                let of_child = key == "uid" && value.as_str().is_some_and(|uid| uid.starts_with("uid-"));
                !volatile.contains(key.as_str()) && !of_child
            });
            members.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

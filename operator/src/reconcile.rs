//! One pass over one pipeline: observe, validate, plan, apply, report. The order stands in [`pass`], nowhere else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource, ResourceExt};
use serde_json::json;
use tracepipe_crds::{TracingPipeline, TracingPipelineStatus};

use crate::apply::{Applied, Children, apply, prune};
use crate::aws::Aws;
use crate::clock::Clock;
use crate::cluster::{Error, Namespace};
use crate::drift;
use crate::exporting::Times;
use crate::exporting::asking::{Asker, Exporters};
use crate::facts::{self, PodFacts};
use crate::identity::{self, KnownAccount, Subject};
use crate::metrics::Metrics;
use crate::names::MANAGER;
use crate::plan::{Kind, plan};
use crate::report::{self, Findings, Happening, Progress};
use crate::rollout::{Evidence, judge, misses_pods, still_refused};
use crate::settings::{Facts, Settings};
use crate::validate::{Credentials, validate, wants_managed_role};
use crate::watches::{Nodes, Pods, Refusals, Stores, Watched};

/// A pipeline that rests is looked at this often, in case an event was lost, give or take [`jitter`].
const RESYNC: Duration = Duration::from_secs(600);
/// From the end of a pass to the next one of the same pipeline, at least.
const PAUSE: Duration = Duration::from_millis(300);
/// A pipeline that does not rest is looked at this often.
const UNSETTLED: Duration = Duration::from_secs(5);
/// After a failure: doubled with each in a row, up to the second.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(300);
/// The longest pause when a right is missing: whoever gives it wants to see that it was the one.
const RETRY_FORBIDDEN: Duration = Duration::from_secs(30);
/// While something that is not needed for a pass is not allowed.
const HINDERED: Duration = Duration::from_secs(30);

/// What all passes share.
pub(crate) struct Context {
    /// The API server.
    pub(crate) client: Client,
    /// The administrator's part.
    pub(crate) settings: Settings,
    /// Nodes and pods, as watched.
    pub(crate) stores: Stores,
    /// What the operator counts.
    pub(crate) metrics: Arc<Metrics>,
    /// Writes events.
    pub(crate) recorder: Recorder,
    /// What does not change while the operator runs; the region of the nodes may.
    pub(crate) facts: Facts,
    /// Per pipeline, what is not worth keeping over a restart.
    pub(crate) memory: Mutex<BTreeMap<String, Memory>>,
    /// Per DaemonSet, the last refusal of a pod and when it was read.
    pub(crate) refusals: Mutex<BTreeMap<String, (Timestamp, Option<Refusal>)>>,
    /// AWS, for the roles of pipelines.
    pub(crate) aws: Arc<Aws>,
    /// What the collectors say of their exporters.
    pub(crate) exporters: Exporters,
    /// The account that the operator works in.
    pub(crate) account: Mutex<KnownAccount>,
    /// The time.
    pub(crate) clock: Clock,
    /// Since when this operator runs.
    pub(crate) started: Timestamp,
}

/// What is remembered of a pipeline between passes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    /// The resource's.
    uid: Option<String>,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// Objects that an apply could not make as they shall be, each with the plan's hash and the state that it left.
    pub(crate) unmoved: BTreeMap<Kind, (Option<String>, String)>,
    /// Of the collectors' identity.
    pub(crate) identity: identity::Memory,
    last_pass: Option<Timestamp>,
    last_write: Option<Timestamp>,
    progress: Option<Progress>,
    untold: Option<Untold>,
}

/// The last event that the API server did not let the operator write.
#[derive(Debug, Clone)]
struct Untold {
    happening: Happening,
    why: String,
    tried: Timestamp,
}

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassError {
    /// A call to the API server failed.
    #[error("{0}")]
    Api(#[from] Error),
}

impl Memory {
    /// What was remembered of a resource of this name is not about another one.
    fn is_of(&mut self, uid: Option<String>) {
        if self.uid != uid {
            *self = Self {
                uid,
                ..Self::default()
            };
        }
    }

    /// How long the next pass has to wait. Events of a large rollout come without end; each pass takes in many.
    fn pause(&self, now: Timestamp) -> Option<Duration> {
        let since = Duration::try_from(now.duration_since(self.last_pass?)).ok()?;
        PAUSE.checked_sub(since).filter(|rest| !rest.is_zero())
    }
}

/// The API server takes a note of at most 1 kB.
const NOTE_BYTES_MAX: usize = 1000;

/// The start of a text, at most so many bytes of it.
fn cut(text: &str, bytes: usize) -> &str {
    let ends = (0..=bytes.min(text.len())).rev();
    ends.filter_map(|end| text.get(..end)).next().unwrap_or_default()
}

/// When and why the API server refused a pod.
type Refusal = (Timestamp, String);

/// [`look`], as the controller calls it.
pub(crate) async fn reconcile(pipeline: Arc<Watched>, context: Arc<Context>) -> Result<Action, PassError> {
    let name = pipeline.name_any();
    let namespace = pipeline.namespace().unwrap_or_default();
    let again = look(&namespace, &name, &context).await?;
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}

/// Looks at one pipeline and does what is needed. Answers when to look again, None: when it has changed.
///
/// # Errors
/// What kept the pass from its end.
pub(crate) async fn look(
    namespace: &str,
    name: &str,
    context: &Context,
) -> Result<Option<Duration>, PassError> {
    let key = key_of(namespace, name);
    let api: Api<TracingPipeline> = Api::namespaced(context.client.clone(), namespace);
    if let Some(pause) = context.remember(&key, |memory| memory.pause(context.clock.now())) {
        return Ok(Some(pause));
    }
    // The cache may be older than our own last write; what is decided below rests on what is true now.
    let Some(pipeline) = api.get_opt(name).await? else {
        context.gone(namespace, name);
        return Ok(None);
    };
    context.remember(&key, |memory| memory.is_of(pipeline.uid()));
    let subject = Subject {
        pipeline: &pipeline,
        api: &api,
        context,
    };
    let leaves = pipeline.meta().deletion_timestamp.is_some();
    // Without its nodes every pipeline would look unready, without its pods every ConfigMap unused. One that goes may be in
    // a namespace where nothing may be listed any more.
    if !leaves {
        if let Some(why) = context.stores.forbidden() {
            context.say_forbidden(&pipeline, &why, &api).await?;
            return Ok(Some(UNSETTLED));
        }
        if !context.stores.listed() {
            return Ok(Some(PAUSE));
        }
    }
    context.tell_the_untold(&pipeline).await;
    // Children go with their owner. Whatever were applied now would be a new one for the collector to remove.
    let outcome = if leaves {
        let again = identity::wind_up(&subject).await;
        again.map(|again| again.map(|again| Duration::try_from(again).unwrap_or(PAUSE).max(PAUSE)))
    } else {
        pass(&subject).await.map(Some)
    };
    if let Err(PassError::Api(Error::Api(answer))) = &outcome
        && answer.code == 403
    {
        context.say_forbidden(&pipeline, &answer.message, &api).await?;
    }
    let again = outcome?;
    context.remember(&key, |memory| {
        memory.failures = 0;
        memory.last_pass = Some(context.clock.now());
    });
    Ok(again)
}

/// What is done after a failure: nobody else waits for it.
#[allow(clippy::needless_pass_by_value, reason = "the controller passes it so")]
pub(crate) fn after_failure(pipeline: Arc<Watched>, error: &PassError, context: Arc<Context>) -> Action {
    let namespace = pipeline.namespace().unwrap_or_default();
    let name = pipeline.name_any();
    Action::requeue(failed(&namespace, &name, error, &context))
}

/// Answers when to try again.
pub(crate) fn failed(namespace: &str, name: &str, error: &PassError, context: &Context) -> Duration {
    let failures = context.remember(&key_of(namespace, name), |memory| {
        memory.failures = memory.failures.saturating_add(1);
        memory.last_pass = Some(context.clock.now());
        memory.failures
    });
    context.metrics.failed();
    let PassError::Api(why) = error;
    let mut most = RETRY_MAX;
    if let Error::Api(answer) = why
        && answer.code == 403
    {
        context.metrics.forbidden(&answer.message);
        most = RETRY_FORBIDDEN;
    }
    let wait = RETRY_MIN.saturating_mul(1 << failures.min(9)).min(most);
    tracing::warn!(namespace, name, %error, retry_seconds = wait.as_secs(), "the pass failed");
    wait
}

/// Answers when to look again.
async fn pass(subject: &Subject<'_>) -> Result<Duration, PassError> {
    let Subject {
        pipeline,
        api,
        context,
    } = *subject;
    let namespace = Namespace::new(context.client.clone(), pipeline.namespace().unwrap_or_default());
    let nodes = context.stores.nodes();
    let facts = context.facts(pipeline, facts::region_of(&nodes)).await;
    let config = validate(pipeline, &context.settings, &facts);
    let planned = config
        .as_ref()
        .ok()
        .map(|accepted| plan(pipeline, accepted, &context.settings));
    let mut children = Children::observe(pipeline, planned.as_ref(), &namespace).await?;
    let may_write = children.conflicts.is_empty();
    let accepted = config.as_ref().ok().filter(|_| may_write);
    let mut happenings = Vec::new();
    let mut hold = None;
    if let Some(accepted) = accepted {
        happenings = identity::ensure(subject, &accepted.credentials).await?;
        // What somebody else has changed in what was applied is put back at once.
        let live = children.get(Kind::DaemonSet);
        let of_plan = planned
            .as_ref()
            .and_then(|planned| planned.hash_of(Kind::DaemonSet));
        let drifted = live.is_some_and(|live| drift::applied_hash(live) == of_plan);
        if drifted {
            identity::let_go(subject, &accepted.credentials);
        } else {
            hold = identity::hold(subject, &accepted.credentials, live, context.clock.now());
        }
        if hold.is_some() {
            children.hold_pods();
        }
    }
    let applied = match (&planned, may_write) {
        (Some(planned), true) => apply(pipeline, planned, children, &namespace, context).await?,
        _ => Applied::untouched(children),
    };
    if let Some(accepted) = accepted.filter(|_| applied.failure.is_none()) {
        identity::prove(
            subject,
            &accepted.credentials,
            accepted.region.as_deref(),
            &namespace,
        )
        .await?;
    }
    let daemon_set = applied.daemon_set.as_ref();
    let revision = match (&planned, daemon_set) {
        (Some(planned), _) => planned.revision.as_str(),
        (None, Some(daemon_set)) => daemon_set.revision.as_str(),
        (None, None) => "",
    };
    // Pods of a DaemonSet that was there before work no longer than that takes to be removed.
    let is_its = |pod: &PodFacts| daemon_set.is_some_and(|one| one.uid == pod.owner);
    let (pods, other_pods): (Vec<_>, Vec<_>) = context.stores.pods(pipeline).into_iter().partition(is_its);
    let mut evidence = Evidence {
        daemon_set,
        revision,
        pods: &pods,
        nodes: &nodes,
        collector: &pipeline.spec.collector,
        refused: None,
        now: context.clock.now(),
    };
    let refused = refused(&evidence, &namespace, context).await?;
    evidence.refused = refused.as_deref();
    let mut rollout = judge(&evidence);
    if hold.is_some() {
        rollout.wait_for_identity();
    }
    // Pods that end still send what they hold, with the role that they have.
    let applied_everywhere = other_pods.is_empty() && pods.iter().all(|pod| !pod.deleting);
    // Until then the DaemonSet controller may still make a pod that mounts an old one.
    let settled = applied.is_whole() && rollout.complete;
    let mut roles = subject.recorded_or_wanted(accepted);
    let retires =
        settled && applied_everywhere && accepted.is_some_and(|it| subject.may_retire(&it.credentials));
    if let Some(accepted) = accepted.filter(|_| retires) {
        let used = accepted.credentials.managed().map(|role| role.arn.as_str());
        let (left, told) = identity::retire(subject, used, roles).await?;
        roles = left;
        happenings.extend(told);
    }
    let mut failure = applied.failure.clone();
    if let Some(planned) = planned.as_ref().filter(|_| settled) {
        let all_pods = pods.iter().chain(&other_pods);
        match prune(pipeline, planned, all_pods, &namespace).await {
            Ok(()) => {}
            // Told below like any other right that is missing; told after it, the status would never rest.
            Err(PassError::Api(Error::Api(answer))) if answer.code == 403 => {
                failure = Some(facts::shortened(&answer.message));
            }
            Err(error) => return Err(error),
        }
    }
    let exporting = context
        .exporters
        .verdict(pipeline, context.started, context.clock.now());
    let identity = accepted.map(|accepted| context.judge_identity(subject, &accepted.credentials));
    let findings = Findings {
        pipeline,
        settings: &context.settings,
        config: config.as_ref(),
        config_map: planned
            .as_ref()
            .map(|planned| planned.config_map.as_str())
            .unwrap_or_default(),
        revision,
        conflicts: &applied.conflicts,
        failure: failure.as_deref(),
        identity: identity.as_ref(),
        exporting: exporting.as_ref(),
        managed_roles: &roles,
        rollout: &rollout,
        hindered: &context.hindered(subject),
        now: evidence.now,
    };
    let written_in = report(&findings, api, context).await?;
    for happening in happenings.iter().chain(&applied.happenings) {
        context.publish(pipeline, happening).await;
    }
    let of_identity = accepted.and_then(|accepted| {
        let now = context.clock.now();
        let next = identity::look_again(subject, &accepted.credentials, now);
        // What was waited for may have come.
        let held = hold
            .filter(|_| !identity::is_proven(subject, now))
            .or(hold.map(|_| SignedDuration::ZERO));
        [next, held].into_iter().flatten().min()
    });
    // An event that was written above, or was not.
    let hindered = !context.hindered(subject).is_empty();
    Ok(look_again(&findings, written_in, of_identity, hindered))
}

/// The region that this pipeline was found to be in before.
fn known_region(pipeline: &TracingPipeline) -> Option<String> {
    pipeline.status.as_ref()?.effective.as_ref()?.region.clone()
}

/// What the API server says to pods that are missing. Read anew every [`UNSETTLED`]: it looks through all events of the
/// namespace.
async fn refused(
    evidence: &Evidence<'_>,
    namespace: &Namespace,
    context: &Context,
) -> Result<Option<String>, PassError> {
    let Some(daemon_set) = evidence.daemon_set.filter(|_| misses_pods(evidence)) else {
        return Ok(None);
    };
    let uid = &daemon_set.uid;
    let is_fresh = |read: Timestamp| {
        Duration::try_from(evidence.now.duration_since(read)).is_ok_and(|age| age < UNSETTLED)
    };
    let known = lock(&context.refusals).get(uid).cloned();
    let refusal = match known.filter(|(read, _)| is_fresh(*read)) {
        Some((_, refusal)) => refusal,
        None => {
            let refusal = namespace.last_refusal(uid).await?;
            let mut refusals = lock(&context.refusals);
            refusals.retain(|_, (read, _)| is_fresh(*read));
            refusals.insert(uid.clone(), (evidence.now, refusal.clone()));
            refusal
        }
    };
    let still = refusal.filter(|(at, _)| still_refused(*at, evidence));
    Ok(still.map(|(_, why)| facts::shortened(&why)))
}

/// Writes the status if it says something new, then the events that go with it. Answers how long a count may wait.
async fn report(
    findings: &Findings<'_>,
    api: &Api<TracingPipeline>,
    context: &Context,
) -> Result<Option<SignedDuration>, PassError> {
    let pipeline = findings.pipeline;
    let key = key_of(&pipeline.namespace().unwrap_or_default(), &pipeline.name_any());
    let old = pipeline.status.clone().unwrap_or_default();
    let ready = report::works(findings).then_some(findings.rollout.ready);
    let generation = pipeline.metadata.generation.unwrap_or(0);
    let progress = context.remember(&key, |memory| {
        let next = Progress::next(
            memory.progress.take(),
            generation,
            findings.revision,
            ready,
            findings.now,
        );
        memory.progress.insert(next).clone()
    });
    let new = report::status(findings, &progress);
    context.metrics.status(pipeline, &new);
    let last_write = context.remember(&key, |memory| memory.last_write);
    let wait = match report::write_in(&old, &new, last_write, findings.now) {
        None => return Ok(None),
        Some(wait) if wait.is_zero() => wait,
        Some(wait) => return Ok(Some(wait)),
    };
    context.write_status(pipeline, &new, api).await?;
    context.remember(&key, |memory| memory.last_write = Some(findings.now));
    for happening in report::happenings(&old, &new) {
        context.publish(pipeline, &happening).await;
    }
    Ok(Some(wait).filter(|wait| !wait.is_zero()))
}

fn look_again(
    findings: &Findings<'_>,
    written_in: Option<SignedDuration>,
    of_identity: Option<SignedDuration>,
    hindered: bool,
) -> Duration {
    // What is in somebody else's hands may go without an event that is ours.
    let rests = !report::works(findings) && findings.conflicts.is_empty();
    let base = if rests { jitter(RESYNC) } else { UNSETTLED };
    [findings.rollout.look_again, written_in, of_identity]
        .into_iter()
        .flatten()
        .filter_map(|wait| Duration::try_from(wait).ok())
        .chain(hindered.then_some(HINDERED))
        .fold(base, Duration::min)
        .max(PAUSE)
}

/// 90 to 110 percent, so that pipelines do not all look at once.
fn jitter(around: Duration) -> Duration {
    let tenths = u32::from(Timestamp::now().subsec_nanosecond().unsigned_abs() as u8) % 21;
    around * (90 + tenths) / 100
}

/// Of [`Context::memory`].
pub(crate) fn key_of(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    /// One that has seen nothing yet.
    pub(crate) fn new(client: Client, settings: Settings, facts: Facts) -> Self {
        let reporter = Reporter {
            controller: MANAGER.to_owned(),
            instance: std::env::var("HOSTNAME").ok(),
        };
        let clock = Clock::default();
        let metrics = Arc::<Metrics>::default();
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            aws: Arc::new(Aws::new(settings.region.clone())),
            exporters: Exporters::new(Times::new(settings.exporting_patience), Asker::Http),
            client,
            settings,
            stores: Stores {
                nodes: Nodes::new(Arc::clone(&metrics)),
                pods: Pods::default(),
                refusals: Refusals::new(Arc::clone(&metrics)),
            },
            metrics,
            facts,
            memory: Mutex::default(),
            refusals: Mutex::default(),
            account: Mutex::default(),
            started: clock.now(),
            clock,
        }
    }

    /// What the plan of a pipeline rests on besides its spec.
    async fn facts(&self, pipeline: &TracingPipeline, region_of_nodes: Option<String>) -> Facts {
        self.aws.nodes_are_in(region_of_nodes.as_deref());
        // A node that says otherwise, or none at all, changes nothing for a pipeline that has its region.
        let region_of_nodes = known_region(pipeline).or(region_of_nodes);
        let aws = if wants_managed_role(pipeline) && self.settings.managed_roles.is_some() {
            identity::account(pipeline, self).await
        } else {
            None
        };
        Facts {
            region_of_nodes,
            aws,
            ..self.facts.clone()
        }
    }

    /// ARN of the role that a pipeline would have, if the operator makes it.
    pub(crate) async fn role_of(&self, pipeline: &TracingPipeline) -> Option<String> {
        let region = facts::region_of(&self.stores.nodes());
        let facts = self.facts(pipeline, region).await;
        let accepted = validate(pipeline, &self.settings, &facts).ok()?;
        Some(accepted.credentials.managed()?.arn.clone())
    }

    fn judge_identity(&self, subject: &Subject<'_>, credentials: &Credentials) -> identity::Verdict {
        let has_issuer = self.facts.issuer.is_some();
        let key = key_of(
            &subject.pipeline.namespace().unwrap_or_default(),
            &subject.pipeline.name_any(),
        );
        let now = self.clock.now();
        self.account(|account| {
            self.remember(&key, |memory| {
                identity::verdict(credentials, has_issuer, account, &memory.identity, now)
            })
        })
    }

    /// Reads and changes what is known of the account.
    pub(crate) fn account<T>(&self, change: impl FnOnce(&mut KnownAccount) -> T) -> T {
        change(&mut lock(&self.account))
    }

    /// Tells of a right that the operator lacks. Without that to the status, an event and the log are left.
    async fn say_forbidden(
        &self,
        pipeline: &TracingPipeline,
        why: &str,
        api: &Api<TracingPipeline>,
    ) -> Result<(), PassError> {
        let old = pipeline.status.clone().unwrap_or_default();
        let new = report::forbidden(pipeline, why, self.clock.now());
        self.metrics.status(pipeline, &new);
        if old.conditions == new.conditions {
            return Ok(());
        }
        for happening in report::happenings(&old, &new) {
            self.publish(pipeline, &happening).await;
        }
        self.write_status(pipeline, &new, api).await
    }

    /// Makes the status what `new` is.
    pub(crate) async fn write_status(
        &self,
        pipeline: &TracingPipeline,
        new: &TracingPipelineStatus,
        api: &Api<TracingPipeline>,
    ) -> Result<(), PassError> {
        let status = report::merge_patch(pipeline.status.as_ref(), new).map_err(Error::SerdeError)?;
        let patch = json!({ "metadata": { "uid": pipeline.uid() }, "status": status });
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        api.patch_status(&pipeline.name_any(), &params, &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    /// Forgets a pipeline that is gone.
    pub(crate) fn gone(&self, namespace: &str, name: &str) {
        let mut memory = lock(&self.memory);
        memory.remove(&key_of(namespace, name));
        self.exporters.forget(namespace, name);
        self.metrics.gone(namespace, name);
    }

    /// Reads and changes what is remembered of a pipeline.
    pub(crate) fn remember<T>(&self, key: &str, change: impl FnOnce(&mut Memory) -> T) -> T {
        let mut memory = lock(&self.memory);
        change(memory.entry(key.to_owned()).or_default())
    }

    /// The API server's words when a right lacks; a namespace that goes takes no events from anybody.
    fn right_to_tell(&self, error: &Error) -> Option<String> {
        let Error::Api(answer) = error else {
            return None;
        };
        (answer.code == 403 && self.metrics.forbidden(&answer.message)).then(|| answer.message.clone())
    }

    /// Rights that lack without keeping a pass from its end.
    fn hindered(&self, subject: &Subject<'_>) -> Vec<String> {
        let mut words = self.stores.hindered();
        let pipeline = subject.pipeline;
        let key = key_of(&pipeline.namespace().unwrap_or_default(), &pipeline.name_any());
        words.extend(self.remember(&key, |memory| {
            memory.untold.as_ref().map(|untold| untold.why.clone())
        }));
        words
    }

    /// Tries again to write the event that could not be.
    async fn tell_the_untold(&self, pipeline: &TracingPipeline) {
        let key = key_of(&pipeline.namespace().unwrap_or_default(), &pipeline.name_any());
        let now = self.clock.now();
        let is_due = |untold: &Untold| {
            let waited = Duration::try_from(now.duration_since(untold.tried)).unwrap_or_default();
            waited >= HINDERED
        };
        if let Some(untold) = self.remember(&key, |memory| memory.untold.clone().filter(is_due)) {
            self.publish(pipeline, &untold.happening).await;
        }
    }

    /// An event is for people: when it cannot be written, the status still says the same.
    pub(crate) async fn publish(&self, pipeline: &TracingPipeline, happening: &Happening) {
        let event = Event {
            type_: if happening.warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: happening.reason.clone(),
            note: Some(cut(&happening.note, NOTE_BYTES_MAX).to_owned()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        let written = self.recorder.publish(&event, &pipeline.object_ref(&())).await;
        let untold = match written {
            Ok(()) => None,
            Err(error) => {
                tracing::warn!(%error, "an event could not be written");
                self.right_to_tell(&error).map(|why| Untold {
                    happening: happening.clone(),
                    why,
                    tried: self.clock.now(),
                })
            }
        };
        let key = key_of(&pipeline.namespace().unwrap_or_default(), &pipeline.name_any());
        self.remember(&key, |memory| memory.untold = untold);
    }
}

#[cfg(test)]
mod tests;

//! From what was found to the status and its events. Pure: time is a parameter, and the same findings give the same
//! status, so that nothing is written when nothing changed.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;
use serde_json::Value;
use tracepipe_crds::conditions::{reasons, types};
use tracepipe_crds::{
    CollectorStatus, EffectiveStatus, EndpointsStatus, IdentityStatus, IdentityType, Mode, TracingPipeline,
    TracingPipelineStatus, TrafficPolicy,
};

use crate::exporting;
use crate::facts::shortened;
use crate::identity;
use crate::names;
use crate::rollout::Verdict;
use crate::settings::Settings;
use crate::validate::{Accepted, Refusal};

/// A rollout in which nothing gets better for this long is stuck: as the progress deadline of a Deployment.
const PROGRESS_DEADLINE: SignedDuration = SignedDuration::from_secs(600);
/// Counts alone are written at most this often.
const COUNTS_INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// Everything that one pass found.
#[derive(Debug)]
pub(crate) struct Findings<'a> {
    /// The resource as it was read, with the status that it had.
    pub(crate) pipeline: &'a TracingPipeline,
    /// The administrator's part.
    pub(crate) settings: &'a Settings,
    /// The spec's verdict.
    pub(crate) config: Result<&'a Accepted, &'a Refusal>,
    /// Name of the ConfigMap; empty when the spec was refused.
    pub(crate) config_map: &'a str,
    /// The pod template that shall run.
    pub(crate) revision: &'a str,
    /// Objects that belong to somebody else.
    pub(crate) conflicts: &'a [String],
    /// Why something could not be applied.
    pub(crate) failure: Option<&'a str>,
    /// The identity's verdict; None when nothing was done about it in this pass.
    pub(crate) identity: Option<&'a identity::Verdict>,
    /// What the collectors say of their exporters; None when what is said stands.
    pub(crate) exporting: Option<&'a exporting::Verdict>,
    /// Roles that there may be.
    pub(crate) managed_roles: &'a [String],
    /// The pods' verdict.
    pub(crate) rollout: &'a Verdict,
    /// What the API server says of rights that lack and keep nothing from being done.
    pub(crate) hindered: &'a [String],
    /// The time.
    pub(crate) now: Timestamp,
}

/// How work moves. It is kept between passes, not over a restart: then the deadline begins anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    generation: i64,
    revision: String,
    /// Most nodes ready at once in this work: a collector that comes and goes is no progress. None: no work goes on.
    best: Option<usize>,
    /// When something got better last.
    since: Timestamp,
    /// Whether that was seen, or is when the operator began to look.
    seen: bool,
}

impl Progress {
    /// What `old` has become. `ready`: the nodes that are, while work goes on.
    pub(crate) fn next(
        old: Option<Self>,
        generation: i64,
        revision: &str,
        ready: Option<usize>,
        now: Timestamp,
    ) -> Self {
        let stands = |old: &Self| {
            let same = old.generation == generation && old.revision == revision;
            same && ready.is_some() && old.best.is_some() && ready <= old.best
        };
        match old {
            Some(old) if stands(&old) => old,
            old => Self {
                generation,
                revision: revision.to_owned(),
                best: ready,
                since: now,
                seen: old.is_some(),
            },
        }
    }
}

/// Something that happened, for `kubectl describe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Happening {
    /// Whether somebody should look.
    pub(crate) warning: bool,
    /// In one word.
    pub(crate) reason: String,
    /// In a sentence.
    pub(crate) note: String,
}

/// True when something is still to be done that needs no change by anybody.
pub(crate) fn works(findings: &Findings<'_>) -> bool {
    let rollout = findings.rollout;
    let rolls = !rollout.complete && rollout.reason != reasons::NO_ELIGIBLE_NODES;
    !waits_for_a_change(findings) && (rolls || findings.failure.is_some())
}

fn waits_for_a_change(findings: &Findings<'_>) -> bool {
    findings.config.is_err() || !findings.conflicts.is_empty() || refused_identity(findings).is_some()
}

/// The identity, when somebody has to do something about it.
fn refused_identity<'a>(findings: &Findings<'a>) -> Option<&'a identity::Verdict> {
    findings.identity.filter(|identity| identity.ready == Some(false))
}

/// The status that the findings make.
pub(crate) fn status(findings: &Findings<'_>, progress: &Progress) -> TracingPipelineStatus {
    let old = findings.pipeline.status.clone().unwrap_or_default();
    let generation = findings.pipeline.metadata.generation.unwrap_or(0);
    let mut conditions = Conditions {
        old: &old.conditions,
        new: Vec::new(),
        progress,
        generation,
        now: findings.now,
    };
    conditions.fill(findings);
    let accepted = findings.config.ok();
    TracingPipelineStatus {
        observed_generation: generation,
        conditions: conditions.new,
        // With another's Service at the address it is none to be sent to.
        endpoints: accepted
            .map(|accepted| endpoints(findings.pipeline, accepted))
            .or(old.endpoints)
            .filter(|_| findings.conflicts.is_empty()),
        // Beside IdentityReady stands the role that it was said of.
        identity: accepted
            .filter(|_| findings.identity.is_some())
            .map(|accepted| identity_status(findings.pipeline, accepted))
            .or(old.identity)
            .map(|identity| IdentityStatus {
                managed_roles: findings.managed_roles.to_vec(),
                ..identity
            }),
        collector: Some(collector(findings, old.collector)),
        effective: accepted
            .map(|accepted| effective(findings.pipeline, accepted))
            .or(old.effective),
    }
}

/// The status of a resource that is being deleted, or whose operator was: why its role is there, or no longer.
pub(crate) fn ending(
    pipeline: &TracingPipeline,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> TracingPipelineStatus {
    amended(
        pipeline,
        &[
            (types::READY, reason, message),
            (types::IDENTITY_READY, reason, message),
        ],
        now,
    )
}

/// The status of a resource that is being deleted and whose identity is as it was.
pub(crate) fn leaving(
    pipeline: &TracingPipeline,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> TracingPipelineStatus {
    amended(pipeline, &[(types::READY, reason, message)], now)
}

/// The status of a resource that the operator cannot work on for want of a right.
pub(crate) fn forbidden(pipeline: &TracingPipeline, why: &str, now: Timestamp) -> TracingPipelineStatus {
    let message = format!(
        "the API server does not let the operator do its work: {}; the chart's Roles allow it",
        shortened(why)
    );
    let said = [
        (types::READY, reasons::APPLY_FAILED, message.as_str()),
        (types::STALLED, reasons::APPLY_FAILED, message.as_str()),
    ];
    amended(pipeline, &said, now)
}

/// The status as it is, but for conditions (type, reason, message) that say what holds the resource up: Ready and what
/// belongs to it are False, what is only there while it is so is True.
fn amended(pipeline: &TracingPipeline, said: &[(&str, &str, &str)], now: Timestamp) -> TracingPipelineStatus {
    let old = pipeline.status.clone().unwrap_or_default();
    let generation = pipeline.metadata.generation.unwrap_or(0);
    let progress = Progress::next(None, generation, "", None, now);
    let mut conditions = Conditions {
        old: &old.conditions,
        new: Vec::new(),
        progress: &progress,
        generation,
        now,
    };
    for &(kind, reason, message) in said {
        let status = if kind == types::STALLED { "True" } else { "False" };
        conditions.set(kind, status, reason, message);
    }
    let mut new = conditions.new;
    let others = old.conditions.iter().filter(|one| {
        let replaced = new.iter().any(|other| other.type_ == one.type_);
        !replaced && one.type_ != types::RECONCILING
    });
    let others: Vec<Condition> = others.cloned().collect();
    new.extend(others);
    TracingPipelineStatus {
        observed_generation: generation,
        conditions: new,
        ..old
    }
}

/// What has happened between two statuses: each turn of a condition once.
pub(crate) fn happenings(old: &TracingPipelineStatus, new: &TracingPipelineStatus) -> Vec<Happening> {
    let mut found = Vec::new();
    for condition in &new.conditions {
        let before = find(&old.conditions, &condition.type_);
        let turned =
            before.is_none_or(|old| old.status != condition.status || old.reason != condition.reason);
        // That the collectors of a new pipeline export is no news.
        let first = condition.type_ == types::EXPORTING
            && condition.status == "True"
            && before.is_none_or(|old| old.reason == reasons::NOT_ASKED);
        if turned
            && !first
            && let Some(happening) = happening(condition)
        {
            found.push(happening);
        }
    }
    found
}

/// How long a status may wait before it is written: not at all when it says something new, a while when only counts
/// differ, None when it is the old one.
pub(crate) fn write_in(
    old: &TracingPipelineStatus,
    new: &TracingPipelineStatus,
    last_write: Option<Timestamp>,
    now: Timestamp,
) -> Option<SignedDuration> {
    if old == new {
        return None;
    }
    let words = |status: &TracingPipelineStatus| {
        let said = status
            .conditions
            .iter()
            .map(|one| (one.type_.clone(), one.status.clone(), one.reason.clone()));
        (status.observed_generation, said.collect::<Vec<_>>())
    };
    // A clock that was set back has not waited at all.
    let waited = last_write.map_or(COUNTS_INTERVAL, |last| {
        now.duration_since(last).max(SignedDuration::ZERO)
    });
    if words(old) != words(new) || waited >= COUNTS_INTERVAL {
        return Some(SignedDuration::ZERO);
    }
    Some(COUNTS_INTERVAL - waited)
}

/// The merge patch that makes `old` to `new`: what is gone is named, or the merge would keep it.
///
/// # Errors
/// When a status makes no JSON.
pub(crate) fn merge_patch(
    old: Option<&TracingPipelineStatus>,
    new: &TracingPipelineStatus,
) -> Result<Value, serde_json::Error> {
    let mut patch = serde_json::to_value(new)?;
    null_what_is_gone(&serde_json::to_value(old)?, &mut patch);
    Ok(patch)
}

fn null_what_is_gone(old: &Value, new: &mut Value) {
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return;
    };
    for (key, value) in old {
        match new.get_mut(key) {
            Some(member) => null_what_is_gone(value, member),
            None => {
                new.insert(key.clone(), Value::Null);
            }
        }
    }
}

fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|one| one.type_ == kind)
}

fn happening(condition: &Condition) -> Option<Happening> {
    let warning = match (condition.type_.as_str(), condition.status.as_str()) {
        (types::IDENTITY_READY, "False") => {
            ![reasons::DELETING, reasons::UNINSTALLED].contains(&condition.reason.as_str())
        }
        (types::CONFIG_ACCEPTED, "False") | (types::CONFLICTED | types::POLICY_DRIFT, "True") => true,
        (types::IDENTITY_READY, "True") => false,
        (types::IDENTITY_READY, _) if condition.reason == reasons::AWS_UNREACHABLE => true,
        (types::EXPORTING, "True") => false,
        (types::EXPORTING, _) if condition.reason == reasons::NOT_ASKED => return None,
        (types::EXPORTING, _) => true,
        (types::COLLECTOR_AVAILABLE, "True") => false,
        (types::COLLECTOR_AVAILABLE, _) => {
            if condition.reason == reasons::NOT_APPLIED {
                return None;
            }
            condition.reason != reasons::ROLLING_OUT
        }
        (types::READY, "False") if condition.reason == reasons::APPLY_FAILED => true,
        _ => return None,
    };
    Some(Happening {
        warning,
        reason: condition.reason.clone(),
        note: condition.message.clone(),
    })
}

struct Conditions<'a> {
    old: &'a [Condition],
    new: Vec<Condition>,
    progress: &'a Progress,
    generation: i64,
    now: Timestamp,
}

impl Conditions<'_> {
    fn set(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        let since = find(self.old, kind).filter(|old| old.status == status);
        self.new.push(Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            observed_generation: Some(self.generation),
            last_transition_time: since.map_or(Time(self.now), |old| old.last_transition_time.clone()),
        });
    }

    /// What it was, or Unknown.
    fn keep(&mut self, kind: &str, reason: &str, message: &str) {
        match find(self.old, kind) {
            Some(old) => self.set(kind, &old.status, &old.reason, &old.message),
            None => self.set(kind, "Unknown", reason, message),
        }
    }

    fn fill(&mut self, findings: &Findings<'_>) {
        let rollout = findings.rollout;
        let stuck = self.is_stuck(findings);
        let rolling = if stuck && rollout.reason == reasons::ROLLING_OUT {
            reasons::ROLLOUT_STUCK
        } else {
            rollout.reason
        };
        let (ready, reason, mut message) = verdict(findings, rolling);
        if !findings.hindered.is_empty() {
            let words: Vec<String> = findings.hindered.iter().map(|one| shortened(one)).collect();
            message = format!(
                "{message}; the operator lacks rights that the chart's Roles give, so changes are seen late or not told: {}",
                words.join("; ")
            );
        }
        self.set(
            types::READY,
            if ready { "True" } else { "False" },
            reason,
            &message,
        );
        match findings.config {
            Ok(_) => self.set(
                types::CONFIG_ACCEPTED,
                "True",
                reasons::VALID,
                "the collector takes this configuration",
            ),
            Err(refusal) => self.set(types::CONFIG_ACCEPTED, "False", refusal.reason, &refusal.message),
        }
        match findings.identity {
            Some(identity) => {
                self.set(
                    types::IDENTITY_READY,
                    identity.status(),
                    identity.reason,
                    &identity.message,
                );
            }
            None => self.keep(
                types::IDENTITY_READY,
                reasons::NOT_VERIFIED,
                "nothing is done about it while the rest is not in order",
            ),
        }
        let available = if rollout.complete { "True" } else { "False" };
        self.set(types::COLLECTOR_AVAILABLE, available, rolling, &rollout.message);
        match findings.exporting {
            Some(said) => self.set(types::EXPORTING, said.status, said.reason, &said.message),
            None => self.keep(types::EXPORTING, reasons::NOT_ASKED, exporting::NOT_ASKED),
        }
        if !findings.conflicts.is_empty() {
            let message = conflict_message(findings.conflicts);
            self.set(types::CONFLICTED, "True", reasons::CONFLICTED, &message);
        }
        if let Some(identity) = findings.identity.filter(|one| !one.foreign.is_empty()) {
            let message = format!(
                "the role has policies that are not the operator's, which leaves them: {}",
                identity.foreign.join(", ")
            );
            self.set(types::POLICY_DRIFT, "True", reasons::FOREIGN_POLICIES, &message);
        }
        if ready {
            return;
        }
        if stuck || waits_for_a_change(findings) {
            self.set(types::STALLED, "True", reason, &message);
        } else if works(findings) {
            self.set(types::RECONCILING, "True", reason, &message);
        }
    }

    /// True when nothing has got better for longer than it may, and when it was so before and still is.
    fn is_stuck(&self, findings: &Findings<'_>) -> bool {
        if !works(findings) {
            return false;
        }
        let progress = self.progress;
        let was_stuck = |old: &Condition| {
            let stuck = [
                reasons::APPLY_FAILED,
                reasons::ROLLOUT_STUCK,
                reasons::ROLLING_OUT,
                reasons::IMAGE_PULL,
                reasons::CRASH_LOOP,
                reasons::FORBIDDEN,
                reasons::NOT_APPLIED,
                reasons::WAITING_FOR_IDENTITY,
            ];
            old.observed_generation == Some(self.generation) && stuck.contains(&old.reason.as_str())
        };
        let before = !progress.seen && find(self.old, types::STALLED).is_some_and(was_stuck);
        before || self.now.duration_since(progress.since) >= PROGRESS_DEADLINE
    }
}

/// Whether the pipeline is ready, and the first reason why not; `rolling` is the pods'.
fn verdict(findings: &Findings<'_>, rolling: &'static str) -> (bool, &'static str, String) {
    if let Err(refusal) = findings.config {
        let message = format!("{}; pods were left as they are", refusal.message);
        return (false, refusal.reason, message);
    }
    if !findings.conflicts.is_empty() {
        return (false, reasons::CONFLICTED, conflict_message(findings.conflicts));
    }
    if let Some(failure) = findings.failure {
        return (false, reasons::APPLY_FAILED, failure.to_owned());
    }
    if let Some(identity) = refused_identity(findings) {
        return (false, identity.reason, identity.message.clone());
    }
    let rollout = findings.rollout;
    let reason = if rollout.complete { reasons::READY } else { rolling };
    (rollout.complete, reason, rollout.message.clone())
}

fn conflict_message(conflicts: &[String]) -> String {
    format!(
        "{} not made by this TracingPipeline and left untouched: rename or remove, or give the TracingPipeline another name",
        conflicts.join(", ")
    )
}

fn endpoints(pipeline: &TracingPipeline, accepted: &Accepted) -> EndpointsStatus {
    let host = format!(
        "{}.{}.svc.cluster.local",
        pipeline.name_any(),
        pipeline.namespace().unwrap_or_default()
    );
    let policy = match accepted.traffic_policy {
        TrafficPolicy::PreferSameNode => "PreferSameNode",
        TrafficPolicy::Local => "Local",
        TrafficPolicy::Cluster => "Cluster",
    };
    EndpointsStatus {
        grpc: format!("http://{host}:{}", names::GRPC_PORT),
        http: format!("http://{host}:{}", names::HTTP_PORT),
        traffic_policy: policy.to_owned(),
    }
}

fn identity_status(pipeline: &TracingPipeline, accepted: &Accepted) -> IdentityStatus {
    let kind = match pipeline.spec.identity.kind {
        IdentityType::Irsa => "IRSA",
        IdentityType::PodIdentity => "PodIdentity",
        IdentityType::Ambient => "Ambient",
    };
    IdentityStatus {
        kind: kind.to_owned(),
        role_arn: accepted.credentials.role_arn().map(str::to_owned),
        service_account_name: names::workload(&pipeline.name_any()),
        managed_roles: Vec::new(),
    }
}

fn collector(findings: &Findings<'_>, old: Option<CollectorStatus>) -> CollectorStatus {
    let rollout = findings.rollout;
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let old = old.unwrap_or_default();
    let (image, config_map) = match findings.config {
        Ok(_) => (
            findings.settings.collector_image.clone(),
            findings.config_map.to_owned(),
        ),
        Err(_) => (old.image, old.config_map),
    };
    CollectorStatus {
        nodes: format!("{}/{}", rollout.ready, rollout.desired),
        nodes_desired: count(rollout.desired),
        nodes_ready: count(rollout.ready),
        image,
        config_map,
        failing: rollout.failing.clone(),
    }
}

fn effective(pipeline: &TracingPipeline, accepted: &Accepted) -> EffectiveStatus {
    let exporters = &pipeline.spec.exporters;
    let on = [
        ("xray", exporters.xray.mode == Mode::Enabled),
        ("logging", exporters.logging.is_some()),
        ("amp", accepted.amp.is_some()),
    ];
    EffectiveStatus {
        region: accepted.region.clone(),
        sampling_rate_percentage: accepted.sampling_rate.to_string(),
        exporters: on
            .into_iter()
            .filter(|(_, on)| *on)
            .map(|(name, _)| name.to_owned())
            .collect(),
    }
}

#[cfg(test)]
mod tests;

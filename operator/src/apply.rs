//! The writes of a pass: what is there is made what the plan says, with no call at all where it is so already.

use kube::ResourceExt;
use serde_json::Value;
use tracepipe_crds::TracingPipeline;

use crate::cluster::{Error, Namespace};
use crate::drift;
use crate::facts::{self, DaemonSetFacts, PodFacts};
use crate::names;
use crate::ownership::{Owner, owner_of};
use crate::plan::{Kind, Object, Plan};
use crate::reconcile::{Context, PassError, key_of};
use crate::report::Happening;

/// Failures in a row that may pass by themselves, before they are told in the status.
const PATIENCE: u32 = 3;

/// The children as they are.
pub(crate) struct Children {
    live: Vec<(Kind, String, Option<Value>)>,
    /// Those that belong to somebody else.
    pub(crate) conflicts: Vec<String>,
    waits: bool,
    holds_pods: bool,
}

impl Children {
    /// Reads those that every plan has, and those of this one.
    ///
    /// # Errors
    /// When the API server does not answer one.
    pub(crate) async fn observe(
        pipeline: &TracingPipeline,
        planned: Option<&Plan>,
        namespace: &Namespace,
    ) -> Result<Self, PassError> {
        let name = pipeline.name_any();
        let workload = names::workload(&name);
        let mut wanted = vec![
            (Kind::ServiceAccount, workload.clone()),
            (Kind::Service, name),
            (Kind::DaemonSet, workload),
        ];
        if let Some(planned) = planned {
            wanted.push((Kind::ConfigMap, planned.config_map.clone()));
        }
        let mut children = Self {
            live: Vec::new(),
            conflicts: Vec::new(),
            waits: false,
            holds_pods: false,
        };
        for (kind, name) in wanted {
            let live = namespace.get(kind, &name).await?;
            let leaving = live
                .as_ref()
                .is_some_and(|live| live.pointer("/metadata/deletionTimestamp").is_some());
            match live.as_ref().map(|live| owner_of(live, pipeline)) {
                None => {}
                Some(Owner::Ours) => children.waits |= leaving,
                Some(Owner::Predecessor) => children.waits = true,
                Some(Owner::Foreign) => children.conflicts.push(format!("{} {name} is", kind.name())),
            }
            children.live.push((kind, name, live));
        }
        Ok(children)
    }

    /// The pods are not to be touched in this pass.
    pub(crate) fn hold_pods(&mut self) {
        self.holds_pods = true;
    }

    /// The one of this kind.
    pub(crate) fn get(&self, kind: Kind) -> Option<&Value> {
        self.live.iter().find(|(other, ..)| *other == kind)?.2.as_ref()
    }

    fn take(&mut self, kind: Kind) -> Option<Value> {
        self.live.iter_mut().find(|(other, ..)| *other == kind)?.2.take()
    }

    fn daemon_set(&mut self) -> Option<DaemonSetFacts> {
        self.take(Kind::DaemonSet).as_ref().map(DaemonSetFacts::of)
    }
}

/// What applying has led to.
#[derive(Default)]
pub(crate) struct Applied {
    /// The DaemonSet as it is now, if it is ours.
    pub(crate) daemon_set: Option<DaemonSetFacts>,
    /// Objects that belong to somebody else.
    pub(crate) conflicts: Vec<String>,
    /// Why something could not be applied.
    pub(crate) failure: Option<String>,
    /// What people should hear of.
    pub(crate) happenings: Vec<Happening>,
}

impl Applied {
    /// Nothing was applied.
    pub(crate) fn untouched(mut children: Children) -> Self {
        let foreign = children
            .conflicts
            .iter()
            .any(|one| one.starts_with(Kind::DaemonSet.name()));
        Self {
            daemon_set: children.daemon_set().filter(|_| !foreign),
            conflicts: children.conflicts,
            ..Self::default()
        }
    }

    /// True when all of the plan is applied.
    pub(crate) fn is_whole(&self) -> bool {
        self.conflicts.is_empty() && self.failure.is_none()
    }
}

/// Writes what differs, in the plan's order; the first refusal ends it, because what follows rests on what comes before.
/// Pods that are held stay as they are.
///
/// # Errors
/// A failure that may pass by itself, the first times: it says nothing about the pipeline.
pub(crate) async fn apply(
    pipeline: &TracingPipeline,
    planned: &Plan,
    mut children: Children,
    namespace: &Namespace,
    context: &Context,
) -> Result<Applied, PassError> {
    let key = key_of(&pipeline.namespace().unwrap_or_default(), &pipeline.name_any());
    let mut applied = Applied::default();
    if children.waits {
        applied.failure = Some("objects of this name are still being removed".to_owned());
        applied.daemon_set = children.daemon_set();
        return Ok(applied);
    }
    for object in &planned.objects {
        if children.holds_pods && object.kind == Kind::DaemonSet {
            applied.daemon_set = children.daemon_set();
            continue;
        }
        let live = children.take(object.kind);
        match write(object, live, namespace, context, &key).await {
            Ok((live, happening)) => {
                applied.happenings.extend(happening);
                if object.kind == Kind::DaemonSet {
                    applied.daemon_set = Some(DaemonSetFacts::of(&live));
                }
            }
            Err(error) if may_pass(&error) && context.remember(&key, |memory| memory.failures) < PATIENCE => {
                return Err(error.into());
            }
            Err(error) => {
                if let Error::Api(answer) = &error
                    && answer.code == 403
                {
                    context.metrics.forbidden(&answer.message);
                }
                let words = in_words(&error);
                applied.failure = Some(format!("{} {}: {words}", object.kind.name(), object.name));
                break;
            }
        }
    }
    if applied.failure.is_some() && applied.daemon_set.is_none() {
        applied.daemon_set = children.daemon_set();
    }
    Ok(applied)
}

/// Removes ConfigMaps that no pod mounts any more.
///
/// # Errors
/// When the API server lists or removes none.
pub(crate) async fn prune(
    pipeline: &TracingPipeline,
    planned: &Plan,
    pods: impl Iterator<Item = &PodFacts> + Clone,
    namespace: &Namespace,
) -> Result<(), PassError> {
    for one in namespace.config_maps(&pipeline.name_any()).await? {
        let text = |path: &str| one.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let name = text("/metadata/name");
        let is_mounted = |pod: &PodFacts| pod.config_maps.iter().any(|map| map == name);
        let used = name == planned.config_map || pods.clone().any(is_mounted);
        if !used && owner_of(&one, pipeline) == Owner::Ours {
            namespace
                .delete(Kind::ConfigMap, name, text("/metadata/uid"))
                .await?;
        }
    }
    Ok(())
}

/// Makes `object` true. Answers it as it is then.
async fn write(
    object: &Object,
    live: Option<Value>,
    namespace: &Namespace,
    context: &Context,
    key: &str,
) -> Result<(Value, Option<Happening>), Error> {
    let Some(live) = live else {
        let live = namespace.create(object).await?;
        context.metrics.wrote(object.kind);
        return Ok((live, None));
    };
    // An operator that ended after its create left the server's defaults among our fields.
    let interrupted = drift::is_of_first_write(&live);
    let live = namespace.hand_over(object.kind, &object.name, &live).await?;
    let same_plan = drift::applied_hash(&live) == drift::applied_hash(&object.desired);
    let difference = drift::first_difference(&object.desired, &live);
    if same_plan && difference.is_none() && !interrupted && drift::is_applied(&live) {
        return Ok((live, None));
    }
    // Where admission rewrites what is applied, a second apply would change nothing either.
    let state = |live: &Value| {
        (
            drift::applied_hash(&object.desired).map(str::to_owned),
            drift::state_of(live),
        )
    };
    if context.remember(key, |memory| {
        memory.unmoved.get(&object.kind) == Some(&state(&live))
    }) {
        return Ok((live, None));
    }
    let live = namespace.make_room(object, &live).await?;
    let uid = live.pointer("/metadata/uid").and_then(Value::as_str);
    let live = namespace.apply(object, uid.unwrap_or_default()).await?;
    context.metrics.wrote(object.kind);
    let left = drift::first_difference(&object.desired, &live);
    context.remember(key, |memory| match &left {
        Some(_) => memory.unmoved.insert(object.kind, state(&live)),
        None => memory.unmoved.remove(&object.kind),
    });
    let about = |reason: &str, field: &str, what: &str| Happening {
        warning: left.is_some(),
        reason: reason.to_owned(),
        note: format!("{} {}: {field} {what}", object.kind.name(), object.name),
    };
    let happening = match (&left, &difference) {
        (Some(field), _) => Some(about(
            "Rewritten",
            field,
            "is changed by the cluster's admission whenever it is applied, and left so",
        )),
        (None, Some(field)) if same_plan => Some(about(
            "Repaired",
            field,
            "was changed by somebody else and put back",
        )),
        (None, _) => None,
    };
    Ok((live, happening))
}

/// True for what is no answer to what was asked: no connection, too many requests, a conflict with another write.
fn may_pass(error: &Error) -> bool {
    const ANSWERS: [u16; 6] = [400, 403, 405, 413, 415, 422];
    !matches!(error, Error::Api(answer) if ANSWERS.contains(&answer.code))
}

fn in_words(error: &Error) -> String {
    if let Error::Api(answer) = error {
        let words = facts::shortened(&answer.message);
        // Of an API server that guards owner references; it names no right.
        if answer.code == 403 && answer.message.contains("set finalizers on") {
            return format!("{words}: the right to update tracingpipelines/finalizers is missing");
        }
        return words;
    }
    facts::shortened(&error.to_string())
}

#[cfg(test)]
mod tests;

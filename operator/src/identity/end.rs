//! The end of roles: no role is deleted that is not proven to be this resource's, and none of its own is left.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use tracepipe_crds::TracingPipelineStatus;
use tracepipe_crds::conditions::reasons;

use super::{BUSY, Backoff, FINALIZER, SKIP_ANNOTATION, Subject, WORK_LIMIT, account};
use crate::aws::{Aws, Kind as TroubleKind, Trouble};
use crate::cluster::{Error, Namespace};
use crate::facts::shortened;
use crate::managed_role::{claim, name_in};
use crate::names;
use crate::ownership::{Owner, owner_of};
use crate::plan::Kind;
use crate::reconcile::PassError;
use crate::report::{self, Happening};
use crate::settings::AwsAccount;
use crate::validate::wants_managed_role;

/// IAM may go on answering for this long that a role is not there which was just made.
pub(crate) const LAG: SignedDuration = SignedDuration::from_secs(150);
/// Collectors that are told to stop are gone after 85 s; then nothing needs the role any more.
const COLLECTORS_GONE: SignedDuration = SignedDuration::from_secs(120);
/// While pods go, if no event tells of it.
const POLL: SignedDuration = SignedDuration::from_secs(2);

/// A role that is to be deleted.
struct Doomed<'a> {
    arn: &'a str,
    /// Of the resource whose role it should be.
    uid: &'a str,
    /// When it may have been made last: for [`LAG`] after that, not to be there proves nothing. None: long ago.
    made: Option<Timestamp>,
}

/// Deletes a role if it is the resource's. One that is not there, or is somebody else's, counts as deleted; answers
/// whether it was.
///
/// # Errors
/// Why it may still be there.
async fn delete(
    doomed: &Doomed<'_>,
    aws: &Aws,
    account: Option<&AwsAccount>,
    now: Timestamp,
) -> Result<bool, Trouble> {
    let Doomed { arn, uid, made } = *doomed;
    let name = name_in(arn);
    let of = AwsAccount::of_arn(arn);
    if account.is_some() && of.as_ref() != account {
        let message = format!(
            "the role {arn} is in another account than the operator, which cannot delete it: delete it by hand, then set the annotation {SKIP_ANNOTATION}: \"true\""
        );
        return Err(Trouble::of(reasons::ROLE_FAILED, TroubleKind::Standing, message));
    }
    let Some(observed) = aws.role(arn, name).await? else {
        if made.is_some_and(|made| now.duration_since(made) < LAG) {
            let message = format!(
                "IAM does not know the role {arn}, which may have been made less than {} s ago; it is asked again",
                LAG.as_secs()
            );
            return Err(Trouble::of(reasons::DELETING, TroubleKind::Passing, message));
        }
        return Ok(false);
    };
    if claim(&observed, arn, uid).is_err() {
        return Ok(false);
    }
    aws.delete(arn, name).await?;
    Ok(true)
}

/// Deletes roles that the pipeline no longer uses, once its pods use another. Answers the roles that there are then, and
/// what people should hear of.
///
/// # Errors
/// When the API server does not take the finalizer.
pub(crate) async fn retire(
    subject: &Subject<'_>,
    used: Option<&str>,
    mut roles: Vec<String>,
) -> Result<(Vec<String>, Vec<Happening>), PassError> {
    let mut happenings = Vec::new();
    let now = subject.context.clock.now();
    let worker = subject.context.aws.worker();
    let unused: Vec<String> = roles
        .iter()
        .filter(|arn| Some(arn.as_str()) != used)
        .cloned()
        .collect();
    if !unused.is_empty() && worker.is_some() && subject.remember(|memory| memory.end.is_due(now)) {
        for arn in unused {
            if subject.retains() {
                happenings.push(happening(
                    "RoleRetained",
                    format!("the role {arn} stays: it is yours now"),
                ));
                roles.retain(|one| *one != arn);
                continue;
            }
            match end(subject, &arn).await {
                Ok(happening) => {
                    happenings.extend(happening);
                    roles.retain(|one| *one != arn);
                }
                Err(trouble) => {
                    tracing::warn!(
                        arn,
                        reason = trouble.reason,
                        message = trouble.message,
                        "a role that is no longer used"
                    );
                    subject.remember(|memory| memory.end.fail(subject.context.clock.now()));
                }
            }
        }
    }
    if roles.iter().all(|arn| Some(arn.as_str()) == used) {
        subject.remember(|memory| memory.end = Backoff::default());
    }
    if roles.is_empty() && subject.has_finalizer() && subject.recorded_roles().is_empty() {
        subject.set_finalizer(subject.pipeline, false).await?;
    }
    Ok((roles, happenings))
}

/// Deletes all of `roles` that are to be deleted. Answers those that stay.
///
/// # Errors
/// Why one of them may still be there.
pub(crate) async fn end_all(subject: &Subject<'_>, roles: &[String]) -> Result<Vec<String>, Trouble> {
    if subject.retains() || subject.skips_cleanup() {
        return Ok(roles.to_vec());
    }
    for arn in roles {
        end(subject, arn).await?;
    }
    Ok(Vec::new())
}

async fn end(subject: &Subject<'_>, arn: &str) -> Result<Option<Happening>, Trouble> {
    let context = subject.context;
    let work = async {
        let _looked_up = account(subject.pipeline, context).await;
        let known = context.account(|known| known.account.clone());
        // AWS has shown a role that it has given to somebody.
        let made = (!subject.was_proven(arn)).then(|| {
            let made = subject.remember(|memory| memory.perhaps_made);
            made.unwrap_or(context.started)
        });
        let now = context.clock.now();
        let uid = subject.uid();
        let doomed = Doomed { arn, uid: &uid, made };
        delete(&doomed, &context.aws, known.as_ref(), now).await
    };
    let deleted = tokio::time::timeout(WORK_LIMIT, work).await.unwrap_or_else(|_| {
        let message = format!(
            "AWS takes longer than {} s to answer for {arn}",
            WORK_LIMIT.as_secs()
        );
        Err(Trouble::of(
            reasons::AWS_UNREACHABLE,
            TroubleKind::Passing,
            message,
        ))
    })?;
    Ok(deleted.then(|| happening("RoleDeleted", format!("the role {arn} was deleted"))))
}

/// The roles that have to go before the resource can.
///
/// # Errors
/// When nothing says which: a status that was lost, by a restored backup for example, while AWS does not answer.
pub(crate) async fn roles_to_end(subject: &Subject<'_>) -> Result<Vec<String>, Trouble> {
    let recorded = subject.recorded_roles();
    let makes_roles = subject.context.settings.managed_roles.is_some();
    if !recorded.is_empty() || !makes_roles || !wants_managed_role(subject.pipeline) {
        return Ok(recorded);
    }
    match subject.context.role_of(subject.pipeline).await {
        Some(arn) => Ok(vec![arn]),
        None => Err(Trouble::of(
            reasons::AWS_UNREACHABLE,
            TroubleKind::Passing,
            "which role is to be deleted is not known: the status does not say, and AWS does not name the account"
                .to_owned(),
        )),
    }
}

/// Does what is left to do for a resource that is being deleted: its collectors end, then its roles, then it may go.
/// Answers when to look again; None: there is nothing left to do.
///
/// # Errors
/// When the API server does not answer.
pub(crate) async fn wind_up(subject: &Subject<'_>) -> Result<Option<SignedDuration>, PassError> {
    if !subject.has_finalizer() {
        return Ok(None);
    }
    let context = subject.context;
    let roles = subject.recorded_roles();
    let skips = subject.skips_cleanup();
    if skips || subject.retains() {
        let (reason, why) = if skips {
            ("CleanupSkipped", format!("by the annotation {SKIP_ANNOTATION}"))
        } else {
            ("RoleRetained", "by its deletionPolicy".to_owned())
        };
        for arn in &roles {
            context
                .publish(
                    subject.pipeline,
                    &happening(reason, format!("the role {arn} stays, {why}")),
                )
                .await;
        }
        subject.set_finalizer(subject.pipeline, false).await?;
        return Ok(None);
    }
    if let Some(wait) = end_collectors(subject).await? {
        return Ok(Some(wait));
    }
    let now = context.clock.now();
    if let Some(pause) = subject
        .remember(|memory| memory.end.not_before())
        .filter(|time| *time > now)
    {
        return Ok(Some(pause.duration_since(now)));
    }
    let Some(_worker) = context.aws.worker() else {
        return Ok(Some(BUSY));
    };
    let mut trouble = None;
    match roles_to_end(subject).await {
        Err(why) => trouble = Some(why),
        Ok(roles) => {
            for arn in roles {
                match end(subject, &arn).await {
                    Ok(Some(happening)) => context.publish(subject.pipeline, &happening).await,
                    Ok(None) => {}
                    Err(why) => trouble = Some(why),
                }
            }
        }
    }
    if let Some(trouble) = trouble {
        let now = context.clock.now();
        subject.remember(|memory| memory.end.fail(now));
        say(subject, &trouble).await?;
        let next = subject.remember(|memory| memory.end.not_before());
        return Ok(next.map(|next| next.duration_since(now)));
    }
    subject.set_finalizer(subject.pipeline, false).await?;
    Ok(None)
}

/// Collectors send what they hold before they end, and need their role for that.
async fn end_collectors(subject: &Subject<'_>) -> Result<Option<SignedDuration>, PassError> {
    let pipeline = subject.pipeline;
    let namespace = Namespace::new(
        subject.context.client.clone(),
        pipeline.namespace().unwrap_or_default(),
    );
    let name = names::workload(&pipeline.name_any());
    let live = match namespace.get(Kind::DaemonSet, &name).await {
        Ok(live) => live.filter(|live| owner_of(live, pipeline) == Owner::Ours),
        // The operator's rights in a namespace that goes may go first; its DaemonSets go with it.
        Err(Error::Api(answer)) if answer.code == 403 => None,
        Err(error) => return Err(error.into()),
    };
    let now = subject.context.clock.now();
    if let Some(live) = live
        && live.pointer("/metadata/deletionTimestamp").is_none()
    {
        let uid = live.pointer("/metadata/uid").and_then(serde_json::Value::as_str);
        match namespace
            .delete(Kind::DaemonSet, &name, uid.unwrap_or_default())
            .await
        {
            // Its pods hear of it after this.
            Ok(()) => {
                subject.remember(|memory| memory.collectors_end = Some(now));
                return Ok(Some(POLL));
            }
            Err(Error::Api(answer)) if answer.code == 403 => {
                let message = format!(
                    "the operator may not delete the DaemonSet {name}: {}; the chart's Role allows it",
                    shortened(&answer.message)
                );
                say(
                    subject,
                    &Trouble::of(reasons::FORBIDDEN, TroubleKind::Standing, message),
                )
                .await?;
                return Ok(Some(POLL));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let since = subject.remember(|memory| *memory.collectors_end.get_or_insert(now));
    let waited = now.duration_since(since);
    if subject.context.stores.pods(pipeline).is_empty() || waited >= COLLECTORS_GONE {
        return Ok(None);
    }
    let why = "the collectors end; then the role is deleted";
    let new = report::leaving(pipeline, reasons::DELETING, why, now);
    tell(subject, &new).await?;
    Ok(Some(POLL))
}

/// Tells why the resource is still there.
async fn say(subject: &Subject<'_>, trouble: &Trouble) -> Result<(), PassError> {
    let mut trouble = trouble.clone();
    if trouble.kind == TroubleKind::Standing {
        trouble.message = format!(
            "{}. The resource stays until its role is deleted; to let it go without, annotate it: {SKIP_ANNOTATION}=true (finalizer {FINALIZER})",
            trouble.message
        );
    }
    let now = subject.context.clock.now();
    let new = report::ending(subject.pipeline, trouble.reason, &trouble.message, now);
    tell(subject, &new).await
}

async fn tell(subject: &Subject<'_>, new: &TracingPipelineStatus) -> Result<(), PassError> {
    let context = subject.context;
    let old = subject.pipeline.status.clone().unwrap_or_default();
    if old == *new {
        return Ok(());
    }
    context.write_status(subject.pipeline, new, subject.api).await?;
    for happening in report::happenings(&old, new) {
        context.publish(subject.pipeline, &happening).await;
    }
    Ok(())
}

fn happening(reason: &str, note: String) -> Happening {
    Happening {
        warning: false,
        reason: reason.to_owned(),
        note,
    }
}

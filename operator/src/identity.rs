//! The identity of a pipeline's collectors, as one pass after another makes it: the role that the operator makes
//! ([`ensure`]), the proof that AWS gives it to them ([`prove`]), the end of roles that are no longer used ([`retire`],
//! [`wind_up`]). What is decided is pure and lies in `managed_role`, [`proof`] and [`mod@verdict`].
//!
//! A role is written down in `status.identity.managedRoles` before it is made and until it is known to be deleted; while
//! one stands there that shall be deleted, the resource has [`FINALIZER`]. An operator may end after any of these writes:
//! the next one finds what has to be done.

mod end;
mod proof;
mod verdict;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use tracepipe_crds::conditions::{reasons, types};
use tracepipe_crds::{DeletionPolicy, TracingPipeline};

use crate::aws::{Assumed, Aws, Kind as TroubleKind, Token, Trouble};
use crate::cluster::{Error, Namespace};
use crate::managed_role::{Observed, Role, Write};
use crate::names::{self, MANAGER};
use crate::reconcile::{Context, PassError, key_of};
use crate::report::Happening;
use crate::settings::AwsAccount;
use crate::validate::{Accepted, Credentials};
pub(crate) use end::{end_all, retire, roles_to_end, wind_up};
use proof::{Pods, Proof, wait};
pub(crate) use verdict::{Verdict, verdict};

/// On a TracingPipeline while there is a role to be deleted with it.
pub(crate) const FINALIZER: &str = "tracepipe.dev/iam-role";
/// The way out: with this annotation a TracingPipeline goes at once, and its roles stay.
pub(crate) const SKIP_ANNOTATION: &str = "tracepipe.dev/skip-aws-cleanup";

/// A role is compared with what it shall be this often.
const RECHECK: SignedDuration = SignedDuration::from_mins(9);
/// All calls of one pass to IAM together; what is not done then is done by the next pass.
const WORK_LIMIT: Duration = Duration::from_secs(10);
/// Until what is due and could not be done is tried again.
const OVERDUE: SignedDuration = SignedDuration::from_secs(5);
/// When another pass talks to IAM.
const BUSY: SignedDuration = SignedDuration::from_secs(1);

/// What is remembered of a pipeline's identity between passes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    /// The wish that was last seen fulfilled, and when.
    fulfilled: Option<(String, Timestamp)>,
    /// Policies of the role that are not ours.
    foreign: Vec<String>,
    /// Why a wish is not fulfilled, and whether it was a write that failed.
    trouble: Option<(Trouble, bool)>,
    tries: Backoff,
    /// When a role may have been made last: reads may not show it yet.
    perhaps_made: Option<Timestamp>,
    proof: Proof,
    /// For which role pods wait, and since when.
    held: Option<(String, Timestamp)>,
    /// For which role they do not wait any more: what is deleted by hand is made again at once.
    let_go: Option<String>,
    /// Of the last attempt to delete.
    end: Backoff,
    /// Since when the collectors of a deleted resource end.
    collectors_end: Option<Timestamp>,
}

/// Attempts that get rarer: after one, two, four ... seconds, [`Backoff::MOST`] at most, or somewhat less.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Backoff {
    failures: u32,
    not_before: Option<Timestamp>,
}

/// The account that the operator works in, as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct KnownAccount {
    account: Option<AwsAccount>,
    trouble: Option<Trouble>,
    tries: Backoff,
}

/// What a pass over a pipeline works with.
pub(crate) struct Subject<'a> {
    /// As it was read.
    pub(crate) pipeline: &'a TracingPipeline,
    /// Its resource.
    pub(crate) api: &'a Api<TracingPipeline>,
    /// What all passes share.
    pub(crate) context: &'a Context,
}

// === impl Memory ===

impl Memory {
    /// Whether the role was seen as it shall be, if it is the operator's to make.
    fn has_made(&self, credentials: &Credentials) -> bool {
        credentials.managed().is_none_or(|role| {
            let wish = role.fingerprint();
            self.fulfilled.as_ref().is_some_and(|(seen, _)| *seen == wish)
        })
    }
}

// === impl Backoff ===

impl Backoff {
    /// Longest pause: what was repaired is seen within it.
    const MOST: SignedDuration = SignedDuration::from_secs(20);
    /// A pause is shorter by this share at most, so that those who failed together do not come again together.
    const JITTER_PERCENT: i32 = 20;

    /// True when it is time for an attempt.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.not_before.is_none_or(|time| time <= now)
    }

    /// When the next attempt is due.
    pub(crate) fn not_before(&self) -> Option<Timestamp> {
        self.not_before
    }

    /// An attempt has failed.
    pub(crate) fn fail(&mut self, now: Timestamp) {
        let pause = SignedDuration::from_secs(1 << self.failures.min(5));
        self.failures = self.failures.saturating_add(1);
        // The nanoseconds of an answer are as good as dice.
        let less = now.subsec_nanosecond().unsigned_abs() as i32 % (Self::JITTER_PERCENT + 1);
        self.not_before = Some(now + pause.min(Self::MOST) * (100 - less) / 100);
    }
}

// === impl Subject ===

impl<'a> Subject<'a> {
    /// Roles that the status says were made, or about to be.
    pub(crate) fn recorded_roles(&self) -> Vec<String> {
        let status = self.pipeline.status.as_ref();
        let identity = status.and_then(|status| status.identity.as_ref());
        identity.map(|one| one.managed_roles.clone()).unwrap_or_default()
    }

    /// [`Self::recorded_roles`] and the one that the plan wants, which was written down in this pass at the latest.
    pub(crate) fn recorded_or_wanted(&self, accepted: Option<&Accepted>) -> Vec<String> {
        let mut roles = self.recorded_roles();
        if let Some(role) = accepted.and_then(|accepted| accepted.credentials.managed())
            && !roles.contains(&role.arn)
        {
            roles.push(role.arn.clone());
        }
        roles
    }

    /// Whether roles that are no longer used may go: nothing is left to be proven of the one that is.
    pub(crate) fn may_retire(&self, credentials: &Credentials) -> bool {
        match credentials {
            Credentials::Role(_) | Credentials::Managed(Some(_)) => is_proven(self, self.context.clock.now()),
            Credentials::Managed(None) => false,
            Credentials::PodIdentity { .. } | Credentials::Ambient | Credentials::NotNeeded => true,
        }
    }

    fn key(&self) -> String {
        key_of(
            &self.pipeline.namespace().unwrap_or_default(),
            &self.pipeline.name_any(),
        )
    }

    fn remember<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> T {
        self.context
            .remember(&self.key(), |memory| change(&mut memory.identity))
    }

    fn uid(&self) -> String {
        self.pipeline.uid().unwrap_or_default()
    }

    fn has_finalizer(&self) -> bool {
        self.pipeline.finalizers().iter().any(|one| one == FINALIZER)
    }

    /// By the documented way out.
    fn skips_cleanup(&self) -> bool {
        let annotation = self.pipeline.annotations().get(SKIP_ANNOTATION);
        annotation.is_some_and(|value| value == "true")
    }

    fn retains(&self) -> bool {
        self.pipeline.spec.identity.deletion_policy == DeletionPolicy::Retain
    }

    /// Writes down which roles there may be. Before one is made, and after one is deleted.
    async fn record_roles(&self, roles: &[String]) -> Result<TracingPipeline, Error> {
        let patch = json!({
            "metadata": { "uid": self.pipeline.uid() },
            "status": { "identity": { "managedRoles": roles } },
        });
        let params = params();
        self.api
            .patch_status(&self.pipeline.name_any(), &params, &Patch::Merge(patch))
            .await
    }

    /// Puts the finalizer there or takes it away, unless somebody has written `read` since it was read.
    pub(crate) async fn set_finalizer(&self, read: &TracingPipeline, wanted: bool) -> Result<(), Error> {
        let mut finalizers: Vec<&str> = read.finalizers().iter().map(String::as_str).collect();
        finalizers.retain(|one| *one != FINALIZER);
        if wanted {
            finalizers.push(FINALIZER);
        }
        let patch = json!({
            "metadata": {
                "uid": read.uid(),
                "resourceVersion": read.resource_version(),
                "finalizers": finalizers,
            },
        });
        let name = self.pipeline.name_any();
        self.api.patch(&name, &params(), &Patch::Merge(patch)).await?;
        Ok(())
    }
}

fn params() -> PatchParams {
    PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

/// The account that roles of this pipeline are in. While AWS does not say, the one that its roles were in before.
pub(crate) async fn account(pipeline: &TracingPipeline, context: &Context) -> Option<AwsAccount> {
    let now = context.clock.now();
    let due = context.account(|known| known.account.is_none() && known.tries.is_due(now));
    if due {
        let answer = context.aws.account().await;
        let now = context.clock.now();
        context.account(|known| match answer {
            Ok(account) => {
                *known = KnownAccount {
                    account: Some(account),
                    ..KnownAccount::default()
                }
            }
            Err(trouble) => {
                known.trouble = Some(trouble);
                known.tries.fail(now);
            }
        });
    }
    let identity = pipeline
        .status
        .as_ref()
        .and_then(|status| status.identity.as_ref());
    // A role that was given may be in anybody's.
    let before = identity.and_then(|identity| identity.managed_roles.first());
    context
        .account(|known| known.account.clone())
        .or_else(|| AwsAccount::of_arn(before?))
}

/// Makes the role what it shall be. Answers what people should hear of; what failed is remembered, not returned, because
/// the collectors do not wait for it.
///
/// # Errors
/// When the API server does not take what has to be written down first.
pub(crate) async fn ensure(
    subject: &Subject<'_>,
    credentials: &Credentials,
) -> Result<Vec<Happening>, PassError> {
    let Some(role) = credentials.managed() else {
        subject.remember(|memory| {
            memory.fulfilled = None;
            memory.foreign = Vec::new();
            memory.trouble = None;
        });
        return Ok(Vec::new());
    };
    write_down(subject, role).await?;
    let now = subject.context.clock.now();
    let fingerprint = role.fingerprint();
    let (fresh, same, due) = subject.remember(|memory| {
        let same = memory.fulfilled.as_ref().filter(|(wish, _)| *wish == fingerprint);
        let fresh = same.is_some_and(|(_, seen)| now.duration_since(*seen) < RECHECK);
        (fresh, same.is_some(), memory.tries.is_due(now))
    });
    if fresh || !due {
        return Ok(Vec::new());
    }
    let Some(_worker) = subject.context.aws.worker() else {
        subject.remember(|memory| memory.tries.not_before = Some(now + BUSY));
        return Ok(Vec::new());
    };
    let mut work = Work {
        subject,
        role,
        written: Vec::new(),
        writing: false,
    };
    let outcome = match tokio::time::timeout(WORK_LIMIT, work.run()).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Trouble::of(
            reasons::AWS_UNREACHABLE,
            TroubleKind::Passing,
            format!(
                "IAM takes longer than {} s to answer for {}",
                WORK_LIMIT.as_secs(),
                role.arn
            ),
        )),
    };
    let now = subject.context.clock.now();
    let Work { written, writing, .. } = work;
    let happening = told(role, &written, same);
    subject.remember(|memory| match outcome {
        Ok(observed) => {
            if !written.is_empty() {
                memory.proof.hurry();
            }
            memory.fulfilled = Some((fingerprint, now));
            memory.foreign = observed.foreign;
            memory.trouble = None;
            memory.tries = Backoff::default();
        }
        Err(trouble) => {
            memory.trouble = Some((trouble, writing));
            memory.tries.fail(now);
        }
    });
    Ok(happening.into_iter().collect())
}

/// What people should hear of the writes; `drift`: the role was as it shall be before.
fn told(role: &Role, written: &[Write], drift: bool) -> Option<Happening> {
    let arn = &role.arn;
    let what: Vec<&str> = written.iter().map(Write::what).collect();
    let what = what.join(", ");
    let (reason, note) = match written.first()? {
        Write::Create => ("RoleCreated", format!("the role {arn} was made")),
        _ if drift => (
            "RoleRepaired",
            format!("somebody else had changed the role {arn}; put back: {what}"),
        ),
        Write::Tag | Write::Boundary(_) | Write::Trust | Write::Policy => {
            ("RoleUpdated", format!("written to the role {arn}: {what}"))
        }
    };
    Some(Happening {
        warning: drift && written.first() != Some(&Write::Create),
        reason: reason.to_owned(),
        note,
    })
}

/// The role stands in the status before it is made, and the finalizer on the resource as long as it is to be deleted.
async fn write_down(subject: &Subject<'_>, role: &Role) -> Result<(), PassError> {
    let mut roles = subject.recorded_roles();
    let mut read = None;
    if !roles.contains(&role.arn) {
        roles.push(role.arn.clone());
        read = Some(subject.record_roles(&roles).await?);
    }
    let wanted = !subject.retains();
    if subject.has_finalizer() != wanted {
        let read = read.as_ref().unwrap_or(subject.pipeline);
        subject.set_finalizer(read, wanted).await?;
    }
    Ok(())
}

/// The work on one role in one pass.
struct Work<'a> {
    subject: &'a Subject<'a>,
    role: &'a Role,
    written: Vec<Write>,
    /// What goes on is a write.
    writing: bool,
}

impl Work<'_> {
    async fn run(&mut self) -> Result<Observed, Trouble> {
        let Role { arn, name, .. } = self.role;
        let aws: &Aws = &self.subject.context.aws;
        let mut observed = aws.role(arn, name).await?;
        // Whose it is comes before what is in it.
        self.next(observed.as_ref())?;
        if let Some(role) = observed.take() {
            observed = Some(aws.with_policies(role, name).await?);
        }
        while let Some(write) = self.next(observed.as_ref())? {
            self.writing = true;
            self.write(&write).await?;
            observed = Some(Observed::after(&write, self.role, observed));
            self.written.push(write);
            self.writing = false;
        }
        Ok(observed.unwrap_or_default())
    }

    fn next(&self, observed: Option<&Observed>) -> Result<Option<Write>, Trouble> {
        let conflict = |why| Trouble::of(reasons::ROLE_NAME_CONFLICT, TroubleKind::Standing, why);
        self.role.next(observed).map_err(conflict)
    }

    async fn write(&self, write: &Write) -> Result<(), Trouble> {
        let now = self.subject.context.clock.now();
        if *write != Write::Create {
            return self.subject.context.aws.write(write, self.role).await;
        }
        let before = self.subject.remember(|memory| memory.perhaps_made.replace(now));
        let outcome = self.subject.context.aws.write(write, self.role).await;
        let done = match &outcome {
            Ok(()) => true,
            Err(trouble) => trouble.perhaps_done || trouble.exists,
        };
        if !done {
            self.subject.remember(|memory| memory.perhaps_made = before);
        }
        outcome
    }
}

/// Asks AWS whether it gives the collectors their role, when it is time. The ServiceAccount has to be there.
///
/// # Errors
/// When the API server does not answer.
pub(crate) async fn prove(
    subject: &Subject<'_>,
    credentials: &Credentials,
    region: Option<&str>,
    namespace: &Namespace,
) -> Result<(), PassError> {
    let Some(arn) = credentials.role_arn() else {
        subject.remember(|memory| memory.proof = Proof::default());
        return Ok(());
    };
    let now = subject.context.clock.now();
    let before = subject.was_proven(arn);
    let due = subject.remember(|memory| {
        memory.proof = std::mem::take(&mut memory.proof).of(arn, before);
        // A role that is still to be made is not refused.
        (memory.has_made(credentials) || before) && memory.proof.is_due(now)
    });
    if !due {
        return Ok(());
    }
    if let Some(trouble) = subject.context.aws.silence(arn, region) {
        subject.remember(|memory| memory.proof.take(Assumed::Unanswered(trouble), now));
        return Ok(());
    }
    let account = names::workload(&subject.pipeline.name_any());
    let answer = match namespace.token(&account).await {
        Ok(token) => subject.context.aws.assume(arn, Token::new(token), region).await,
        Err(Error::Api(answer)) if answer.code == 403 => {
            subject.context.metrics.forbidden(&answer.message);
            Assumed::Unanswered(Trouble::of(
                reasons::TOKEN_FORBIDDEN,
                TroubleKind::Passing,
                format!(
                    "the operator may not create serviceaccounts/token of {account}: {}; the chart's Role allows it",
                    crate::facts::shortened(&answer.message)
                ),
            ))
        }
        Err(error) => return Err(error.into()),
    };
    let now = subject.context.clock.now();
    subject.remember(|memory| memory.proof.take(answer, now));
    Ok(())
}

impl Subject<'_> {
    /// The status says that this role is proven.
    fn was_proven(&self, arn: &str) -> bool {
        let Some(status) = &self.pipeline.status else {
            return false;
        };
        let identity = status.identity.as_ref();
        let same = identity.and_then(|identity| identity.role_arn.as_deref()) == Some(arn);
        let is_true = |kind: &str| {
            let mut conditions = status.conditions.iter();
            conditions.any(|one| one.type_ == kind && one.status == "True")
        };
        same && is_true(types::IDENTITY_READY)
    }
}

/// Why the pods do not become what the plan says, and for how much longer at most; None when nothing is waited for.
pub(crate) fn hold(
    subject: &Subject<'_>,
    credentials: &Credentials,
    daemon_set: Option<&Value>,
    now: Timestamp,
) -> Option<SignedDuration> {
    let arn = credentials.role_arn();
    let needs_role = matches!(credentials, Credentials::Role(_) | Credentials::Managed(_));
    let pods = match daemon_set {
        _ if !needs_role => Pods::SameRole,
        None => Pods::None,
        Some(live) if role_in(live) == arn => Pods::SameRole,
        Some(_) => Pods::OtherRole,
    };
    let before = arn.is_some_and(|arn| subject.was_proven(arn));
    subject.remember(|memory| {
        memory.proof = std::mem::take(&mut memory.proof).of(arn.unwrap_or_default(), before);
        let wish = arn.unwrap_or_default();
        let since = match &memory.held {
            Some((role, since)) if role == wish => *since,
            _ => now,
        };
        // A role that is not made yet is like one that nobody knows.
        let rest = wait(
            pods,
            arn.is_some() && memory.has_made(credentials),
            &memory.proof.view(now),
            now.duration_since(since),
        );
        // Until the pods have the role, it is the same wait.
        memory.held = (pods != Pods::SameRole).then(|| (wish.to_owned(), since));
        if memory.let_go.as_deref() == Some(wish) && pods == Pods::None {
            return None;
        }
        memory.let_go = rest.is_none().then(|| wish.to_owned());
        rest
    })
}

/// The pods have this role.
pub(crate) fn let_go(subject: &Subject<'_>, credentials: &Credentials) {
    let role = credentials.role_arn().unwrap_or_default().to_owned();
    subject.remember(|memory| {
        memory.held = None;
        memory.let_go = Some(role);
    });
}

/// True when AWS has given the collectors their role.
pub(crate) fn is_proven(subject: &Subject<'_>, now: Timestamp) -> bool {
    subject.remember(|memory| memory.proof.view(now) == proof::View::Proven)
}

/// The role that the pods of a DaemonSet are given.
fn role_in(daemon_set: &Value) -> Option<&str> {
    let containers = daemon_set.pointer("/spec/template/spec/containers")?.as_array()?;
    let env = containers.first()?.get("env")?.as_array()?;
    let role = env
        .iter()
        .find(|one| one["name"] == crate::plan::credentials::ROLE_VARIABLE)?;
    role.get("value")?.as_str()
}

/// When something may have changed by then, however quiet the cluster is.
pub(crate) fn look_again(
    subject: &Subject<'_>,
    credentials: &Credentials,
    now: Timestamp,
) -> Option<SignedDuration> {
    let of_account = subject.context.account(|known| known.tries.not_before());
    let of_account = of_account.filter(|_| matches!(credentials, Credentials::Managed(None)));
    let next = subject.remember(|memory| {
        let recheck = memory.fulfilled.as_ref().map(|(_, seen)| *seen + RECHECK);
        let role = match &memory.trouble {
            Some(_) => memory.tries.not_before(),
            None => recheck.max(memory.tries.not_before()),
        };
        [
            role.filter(|_| credentials.managed().is_some()),
            memory.proof.next().filter(|_| credentials.role_arn().is_some()),
            memory.end.not_before(),
            of_account,
        ]
    });
    let next = next.into_iter().flatten().min();
    // What is due and was not done waits for something else.
    next.map(|next| match next.duration_since(now) {
        rest if rest.is_positive() => rest,
        _ => OVERDUE,
    })
}

#[cfg(test)]
mod tests;

//! `validate` and `render`: the operator's judgement and its plan, without a cluster.

use std::io::{Read, Write};
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;
use tracepipe_crds::TracingPipeline;

use crate::amp;
use crate::cli::{IamPolicyArguments, Output, RenderArguments, ValidateArguments};
use crate::iam;
use crate::operator_policy;
use crate::plan::plan;
use crate::settings::{Facts, ManagedRoles, Settings, Workspaces};
use crate::validate::{validate, wants_managed_role};

/// Stands for the one that a cluster's nodes name.
const ANY_REGION: &str = "us-east-1";

/// The outcome for the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every resource is accepted.
    Accepted,
    /// One or more are refused; why stands on standard error.
    Refused,
}

/// Says of each TracingPipeline of a file whether it would be accepted.
///
/// # Errors
/// When the file cannot be read or the answer not be written.
pub(crate) fn check(arguments: &ValidateArguments) -> anyhow::Result<Outcome> {
    let mut settings = arguments.settings()?;
    let mut facts = arguments.cluster.facts();
    let Some(pipelines) = read(&arguments.file)? else {
        return Ok(Outcome::Refused);
    };
    let mut outcome = Outcome::Accepted;
    // On a cluster the nodes would say it.
    let named = pipelines.iter().all(|pipeline| pipeline.spec.region.is_some());
    if !named && settings.region.is_none() && facts.region_of_nodes.is_none() {
        writeln!(
            std::io::stderr(),
            "note: no region is given; the cluster's nodes have to name one"
        )?;
        facts.region_of_nodes = Some(ANY_REGION.to_owned());
    }
    if settings.managed_roles.is_none() && pipelines.iter().any(wants_managed_role) {
        writeln!(
            std::io::stderr(),
            "note: no roleArn is given; the operator makes the role, if its chart has aws.clusterName"
        )?;
        settings.managed_roles = Some(any_roles());
    }
    any_workspace(&pipelines, &mut settings)?;
    for pipeline in &pipelines {
        match validate(pipeline, &settings, &facts) {
            Ok(_) => writeln!(std::io::stdout(), "{}: accepted", full_name(pipeline))?,
            Err(refusal) => {
                outcome = Outcome::Refused;
                complain(pipeline, &refusal.message)?;
            }
        }
    }
    Ok(outcome)
}

/// Prints what the operator would make.
///
/// # Errors
/// As [`check`].
pub(crate) fn render(arguments: &RenderArguments) -> anyhow::Result<Outcome> {
    let mut settings = arguments.settings()?;
    let mut facts = arguments.facts();
    let Some(pipelines) = read(&arguments.file)? else {
        return Ok(Outcome::Refused);
    };
    any_workspace(&pipelines, &mut settings)?;
    match arguments.output() {
        // Policies of a role are of no region, but for that of a workspace whose host does not say it.
        Output::Iam if pipelines.iter().any(amp::needs_region) => {}
        Output::Iam => drop(facts.region_of_nodes.get_or_insert_with(|| ANY_REGION.to_owned())),
        // The configuration is the same whatever the role is called.
        Output::CollectorConfig => drop(settings.managed_roles.get_or_insert_with(any_roles)),
        Output::Manifests => {}
    }
    let mut outcome = Outcome::Accepted;
    let mut out = std::io::stdout();
    for pipeline in &pipelines {
        if arguments.output() != Output::CollectorConfig
            && let Some(missing) = missing_for_role(pipeline, &settings, &facts)
        {
            outcome = Outcome::Refused;
            complain(pipeline, missing)?;
            continue;
        }
        let accepted = match validate(pipeline, &settings, &facts) {
            Ok(accepted) => accepted,
            Err(refusal) => {
                outcome = Outcome::Refused;
                complain(pipeline, &refusal.message)?;
                continue;
            }
        };
        match arguments.output() {
            Output::CollectorConfig => write!(out, "{}", plan(pipeline, &accepted, &settings).config_yaml)?,
            Output::Iam => match iam::role(pipeline, &accepted, &arguments.surroundings()) {
                Ok(role) => writeln!(out, "{role:#}")?,
                Err(missing) => {
                    outcome = Outcome::Refused;
                    complain(pipeline, &missing)?;
                }
            },
            Output::Manifests => {
                for object in plan(pipeline, &accepted, &settings).objects {
                    let text =
                        serde_saphyr::to_string(&without_owner(object.desired)).context("writing YAML")?;
                    write!(out, "---\n{text}")?;
                }
            }
        }
    }
    Ok(outcome)
}

/// The administrator who has not been asked allows every workspace.
fn any_workspace(pipelines: &[TracingPipeline], settings: &mut Settings) -> anyhow::Result<()> {
    let writes = |pipeline: &TracingPipeline| pipeline.spec.amp_remote_write_endpoint.is_some();
    if settings.amp.workspaces == Workspaces::default() && pipelines.iter().any(writes) {
        writeln!(
            std::io::stderr(),
            "note: no --amp-workspaces are given; the chart's aws.amp.workspaces has to have the workspace"
        )?;
        settings.amp.workspaces = Workspaces::Any;
    }
    Ok(())
}

/// Stands for the administrator's.
fn any_roles() -> ManagedRoles {
    ManagedRoles {
        cluster: "any".to_owned(),
        path_prefix: "/".to_owned(),
        boundary: None,
    }
}

/// What a role that the operator makes cannot be named without.
fn missing_for_role(pipeline: &TracingPipeline, settings: &Settings, facts: &Facts) -> Option<&'static str> {
    if !wants_managed_role(pipeline) {
        return None;
    }
    if settings.managed_roles.is_none() {
        return Some("--cluster-name is needed, as the chart's aws.clusterName: the operator makes the role");
    }
    iam::missing(facts)
}

/// Prints the policy of the operator's own role, or the boundary of the roles that it makes.
///
/// # Errors
/// When the answer cannot be written.
pub(crate) fn iam_policy(arguments: &IamPolicyArguments) -> anyhow::Result<Outcome> {
    let document = if arguments.boundary {
        operator_policy::boundary(&arguments.aws(), &arguments.amp_workspaces)
    } else {
        operator_policy::document(
            &arguments.partition,
            &arguments.account,
            &arguments.managed_roles(),
        )
    };
    writeln!(std::io::stdout(), "{document:#}")?;
    Ok(Outcome::Accepted)
}

/// The TracingPipelines of a file; None when it has been said why there are none.
fn read(file: &Path) -> anyhow::Result<Option<Vec<TracingPipeline>>> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin()
            .read_to_string(&mut text)
            .context("reading standard input")?;
    } else {
        text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    }
    match tracepipe_crds::parse(&text) {
        Ok(found) => {
            for skipped in &found.skipped {
                writeln!(std::io::stderr(), "{}: {skipped}: not looked at", file.display())?;
            }
            if found.pipelines.is_empty() {
                writeln!(std::io::stderr(), "{}: no TracingPipeline in it", file.display())?;
                return Ok(None);
            }
            Ok(Some(found.pipelines))
        }
        Err(errors) => {
            for error in errors {
                writeln!(std::io::stderr(), "{}: {error}", file.display())?;
            }
            Ok(None)
        }
    }
}

fn full_name(pipeline: &TracingPipeline) -> String {
    let name = pipeline.metadata.name.as_deref().unwrap_or_default();
    format!("tracingpipeline.tracepipe.dev/{name}")
}

fn complain(pipeline: &TracingPipeline, message: &str) -> anyhow::Result<()> {
    for line in message.lines() {
        writeln!(std::io::stderr(), "{}: {line}", full_name(pipeline))?;
    }
    Ok(())
}

/// The owner's UID is known to a cluster alone.
fn without_owner(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("ownerReferences");
        metadata.retain(|_, value| !value.is_null());
    }
    object
}

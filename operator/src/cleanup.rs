//! `cleanup`: what an uninstall does before the operator goes. Roles that the operator has made are deleted while there
//! is somebody to do it; the TracingPipelines stay, and say what has become of their identity.

use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use tracepipe_crds::TracingPipeline;
use tracepipe_crds::conditions::reasons;

use crate::cli::CleanupArguments;
use crate::controller::Scope;
use crate::identity::{self, FINALIZER, Subject};
use crate::reconcile::Context;
use crate::report;

/// Between two looks at what goes on.
const POLL: Duration = Duration::from_secs(1);

/// Stops the operator, then deletes what it has made in AWS.
///
/// # Errors
/// What is left when the time is over, or what the API server does not allow.
pub(crate) async fn run(
    client: &Client,
    context: &Context,
    arguments: &CleanupArguments,
) -> anyhow::Result<()> {
    let limit = Duration::from_secs(arguments.timeout);
    let mut left = String::new();
    let work = async {
        let (namespace, name) = &arguments.deployment;
        stop_operator(client, namespace, name).await?;
        loop {
            let remaining = Box::pin(end_identities(client, context, &arguments.namespaces)).await?;
            if remaining.is_empty() {
                return Ok(());
            }
            left = remaining.join("; ");
            tokio::time::sleep(POLL).await;
        }
    };
    let outcome = Box::pin(tokio::time::timeout(limit, work)).await;
    outcome.unwrap_or_else(|_| {
        Err(anyhow::anyhow!(
            "not done after {} s: {left}. Repair it and uninstall again; or leave the roles and uninstall without hooks: then each TracingPipeline needs the annotation {}=true before it can be deleted",
            arguments.timeout,
            identity::SKIP_ANNOTATION
        ))
    })
}

/// An operator that runs would make the roles again.
async fn stop_operator(client: &Client, namespace: &str, name: &str) -> anyhow::Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let scale = json!({ "spec": { "replicas": 0 } });
    let scaled = deployments
        .patch_scale(name, &PatchParams::default(), &Patch::Merge(scale))
        .await;
    match scaled {
        Ok(_) => {}
        Err(kube::Error::Api(answer)) if answer.code == 404 => return Ok(()),
        Err(error) => {
            return Err(error).with_context(|| format!("scaling Deployment {namespace}/{name} to zero"));
        }
    }
    let deployment = deployments
        .get(name)
        .await
        .context("reading the operator's Deployment")?;
    let selector = deployment
        .spec
        .unwrap_or_default()
        .selector
        .match_labels
        .unwrap_or_default();
    let selector: Vec<String> = selector
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let ours = ListParams::default().labels(&selector.join(","));
    tracing::info!(namespace, name, "the operator is told to stop");
    while pods
        .list_metadata(&ours)
        .await
        .context("listing the operator's pods")?
        .iter()
        .any(|pod| pod.name_any() != hostname())
    {
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// This job's own pod may have the same labels.
fn hostname() -> String {
    std::env::var("HOSTNAME").unwrap_or_default()
}

/// Answers what is left, and why.
async fn end_identities(client: &Client, context: &Context, scope: &Scope) -> anyhow::Result<Vec<String>> {
    let scopes: Vec<Api<TracingPipeline>> = match scope {
        Scope::Cluster => vec![Api::all(client.clone())],
        Scope::Namespaces(names) => names
            .iter()
            .map(|name| Api::namespaced(client.clone(), name))
            .collect(),
    };
    let mut left = Vec::new();
    for api in scopes {
        for pipeline in api
            .list(&ListParams::default())
            .await
            .context("listing TracingPipelines")?
        {
            let namespace = pipeline.namespace().unwrap_or_default();
            let api: Api<TracingPipeline> = Api::namespaced(client.clone(), &namespace);
            let subject = Subject {
                pipeline: &pipeline,
                api: &api,
                context,
            };
            if let Err(why) = end_identity(&subject).await {
                tracing::warn!(namespace, name = pipeline.name_any(), why, "not done yet");
                left.push(format!("{namespace}/{}: {why}", pipeline.name_any()));
            }
        }
    }
    Ok(left)
}

async fn end_identity(subject: &Subject<'_>) -> Result<(), String> {
    let pipeline = subject.pipeline;
    let roles = subject.recorded_roles();
    if roles.is_empty() && !pipeline.finalizers().iter().any(|one| one == FINALIZER) {
        return Ok(());
    }
    let kept = identity::end_all(subject, &roles)
        .await
        .map_err(|trouble| trouble.message)?;
    let message = match kept.is_empty() {
        true => "the operator was uninstalled; the role that it had made was deleted".to_owned(),
        false => format!(
            "the operator was uninstalled; {} stays by its deletionPolicy",
            kept.join(", ")
        ),
    };
    let now = subject.context.clock.now();
    let mut new = report::ending(pipeline, reasons::UNINSTALLED, &message, now);
    if let Some(identity) = &mut new.identity {
        identity.managed_roles = Vec::new();
    }
    let said = subject.context.write_status(pipeline, &new, subject.api).await;
    said.map_err(|error| error.to_string())?;
    // The status has another resourceVersion by now.
    let read = subject
        .api
        .get(&pipeline.name_any())
        .await
        .map_err(|error| error.to_string())?;
    subject
        .set_finalizer(&read, false)
        .await
        .map_err(|error| error.to_string())
}

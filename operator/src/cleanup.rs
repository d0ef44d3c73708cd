//! `cleanup`: what an uninstall does before the operator goes. Roles that the operator has made are deleted while there
//! is somebody to do it; the TracingPipelines stay, and say what has become of their identity.

use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use tracepipe_crds::TracingPipeline;
use tracepipe_crds::conditions::reasons;

use crate::cli::CleanupArguments;
use crate::controller::Scope;
use crate::facts::{self, NodeFacts};
use crate::identity::{self, FINALIZER, Subject};
use crate::reconcile::Context;
use crate::report;

/// Between two looks at what goes on.
const POLL: Duration = Duration::from_secs(1);
/// Of every object that Helm has installed.
const HELM_ANNOTATION: &str = "meta.helm.sh/release-name";

/// Stops the operator, then deletes what it has made in AWS. When that does not end in time the operator is started again.
///
/// # Errors
/// What is left when the time is over, or what the API server does not allow.
pub(crate) async fn run(
    client: &Client,
    context: &Context,
    arguments: &CleanupArguments,
) -> anyhow::Result<()> {
    let (namespace, name) = &arguments.deployment;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let deployment = deployments.get_opt(name).await;
    let deployment = deployment.context("reading the operator's Deployment")?;
    // `helm template` prints this job among the manifests, and whoever applies those uninstalls nothing.
    let by_helm = |it: &Deployment| it.annotations().contains_key(HELM_ANNOTATION);
    if deployment.as_ref().is_some_and(|it| !by_helm(it)) {
        tracing::warn!(
            namespace,
            name,
            "Helm has not installed this operator: nothing is cleaned up"
        );
        return Ok(());
    }
    context.aws.nodes_are_in(region_of_nodes(client).await.as_deref());
    let mut left = String::new();
    let work = async {
        if let Some(deployment) = &deployment {
            stop_operator(client, &deployments, deployment).await?;
        }
        loop {
            let remaining = Box::pin(end_identities(client, context, &arguments.namespaces)).await?;
            if remaining.is_empty() {
                return Ok(());
            }
            left = remaining.join("; ");
            tokio::time::sleep(POLL).await;
        }
    };
    let limit = Duration::from_secs(arguments.timeout);
    let outcome = Box::pin(tokio::time::timeout(limit, work)).await;
    let outcome = outcome.unwrap_or_else(|_| {
        Err(anyhow::anyhow!(
            "not done after {} s: {left}. The operator is started again. Repair it and uninstall again; or let go of a role by the annotation {}=true on its TracingPipeline",
            arguments.timeout,
            identity::SKIP_ANNOTATION
        ))
    });
    if outcome.is_err() && deployment.is_some() {
        scale(&deployments, name, 1).await?;
    }
    outcome
}

/// For the endpoints of another partition than the first.
async fn region_of_nodes(client: &Client) -> Option<String> {
    let nodes = Api::<Node>::all(client.clone());
    let nodes = nodes.list(&ListParams::default()).await.ok()?;
    let nodes: Vec<NodeFacts> = nodes.iter().map(NodeFacts::of).collect();
    facts::region_of(&nodes)
}

async fn scale(deployments: &Api<Deployment>, name: &str, replicas: u32) -> anyhow::Result<()> {
    let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
    let scaled = deployments
        .patch_scale(name, &PatchParams::default(), &patch)
        .await;
    scaled
        .map(drop)
        .with_context(|| format!("scaling the Deployment {name} to {replicas}"))
}

/// An operator that runs would make the roles again.
async fn stop_operator(
    client: &Client,
    deployments: &Api<Deployment>,
    deployment: &Deployment,
) -> anyhow::Result<()> {
    let (namespace, name) = (deployment.namespace().unwrap_or_default(), deployment.name_any());
    scale(deployments, &name, 0).await?;
    let spec = deployment.spec.clone().unwrap_or_default();
    let selector = spec.selector.match_labels.unwrap_or_default();
    let selector: Vec<String> = selector
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let ours = ListParams::default().labels(&selector.join(","));
    tracing::info!(namespace, name, "the operator is told to stop");
    while !pods
        .list(&ours)
        .await
        .context("listing the operator's pods")?
        .items
        .is_empty()
    {
        tokio::time::sleep(POLL).await;
    }
    Ok(())
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
        let pipelines = match api.list(&ListParams::default()).await {
            Ok(pipelines) => pipelines,
            // No such kind any more, or no such namespace and no rights in it.
            Err(kube::Error::Api(answer)) if answer.code == 404 || answer.code == 403 => {
                tracing::warn!(message = answer.message, "TracingPipelines cannot be listed");
                continue;
            }
            Err(error) => return Err(error).context("listing TracingPipelines"),
        };
        for pipeline in pipelines {
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
    let held = pipeline.finalizers().iter().any(|one| one == FINALIZER);
    if subject.recorded_roles().is_empty() && !held {
        return Ok(());
    }
    let roles = identity::roles_to_end(subject).await;
    let roles = roles.map_err(|trouble| trouble.message)?;
    let kept = identity::end_all(subject, &roles).await;
    let kept = kept.map_err(|trouble| trouble.message)?;
    let message = if kept.is_empty() {
        "the operator was uninstalled; the role that it had made was deleted".to_owned()
    } else {
        format!(
            "the operator was uninstalled; {} stays, as asked for",
            kept.join(", ")
        )
    };
    let now = subject.context.clock.now();
    let mut new = report::ending(pipeline, reasons::UNINSTALLED, &message, now);
    if let Some(identity) = &mut new.identity {
        identity.managed_roles = Vec::new();
    }
    let written = subject.context.write_status(pipeline, &new, subject.api).await;
    written.map_err(|error| error.to_string())?;
    // The status has another resourceVersion by now.
    let read = subject.api.get(&pipeline.name_any()).await;
    let read = read.map_err(|error| error.to_string())?;
    let let_go = subject.set_finalizer(&read, false).await;
    let_go.map_err(|error| error.to_string())
}

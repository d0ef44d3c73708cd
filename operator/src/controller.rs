//! `run`: watches, and a pass whenever something may have changed.

use std::net::Ipv6Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::{StreamExt, future};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use kube::api::{Api, PartialObjectMeta};
use kube::runtime::controller::{Config, Controller, Error};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::watcher;
use kube::{Client, Resource};
use tracepipe_crds::TracingPipeline;

use crate::health::Health;
use crate::metrics::Metrics;
use crate::names::{MANAGED_SELECTOR, MANAGER};
use crate::reconcile::{self, Context};
use crate::settings::{Facts, Settings};
use crate::watches::{Nodes, Pods, Stores};

/// Pipelines looked at at once, in one scope.
const CONCURRENCY: u16 = 4;
/// Passes that run are finished in this time when the operator is told to stop; a pod has 30 s.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Which TracingPipelines are looked after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All of the cluster.
    Cluster,
    /// Those of these namespaces.
    Namespaces(Vec<String>),
}

impl Scope {
    /// `*`, or names separated by commas.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        // Two controllers of one namespace would work against each other.
        names.sort();
        names.dedup();
        if names.iter().any(|name| name == "*") {
            return match names.as_slice() {
                [_] => Ok(Self::Cluster),
                _ => Err("`*` stands alone: it means every namespace".to_owned()),
            };
        }
        let is_name = |name: &String| {
            let plain = name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            plain && !name.is_empty() && name.len() <= 63
        };
        match names.iter().find(|name| !is_name(name)) {
            Some(wrong) => Err(format!("`{wrong}` is not the name of a namespace")),
            None => Ok(Self::Namespaces(names)),
        }
    }
}

/// Watched by metadata alone: each pass reads the resource anew, and one that this version cannot read stops nobody
/// else's.
type Pipeline = PartialObjectMeta<TracingPipeline>;

/// Runs until `stop` is ready.
///
/// # Errors
/// When there is no API server to talk to, or a port cannot be bound.
pub(crate) async fn run(
    client: Client,
    scope: Scope,
    settings: Settings,
    health: Health,
    stop: impl Future<Output = ()> + Send + Sync + Clone + 'static,
) -> anyhow::Result<()> {
    let version = client
        .apiserver_version()
        .await
        .context("asking the API server for its version")?;
    let facts = Facts {
        prefer_same_node: knows_prefer_same_node(&version.major, &version.minor),
        ipv6: is_ipv6(std::env::var("KUBERNETES_SERVICE_HOST").ok().as_deref()),
        region_of_nodes: None,
    };
    tracing::info!(
        version = version.git_version,
        prefer_same_node = facts.prefer_same_node,
        ipv6 = facts.ipv6,
        ?scope,
        "connected to the API server"
    );
    let metrics = Arc::new(Metrics::default());
    let nodes = Nodes::new();
    let server = health.serve(Arc::clone(&metrics), nodes.clone());
    let scopes: Vec<Option<String>> = match scope {
        Scope::Cluster => vec![None],
        Scope::Namespaces(names) => names.into_iter().map(Some).collect(),
    };
    let controllers = scopes.into_iter().map(|namespace| {
        let context = Context {
            client: client.clone(),
            settings: settings.clone(),
            stores: Stores {
                nodes: nodes.clone(),
                pods: Pods::default(),
            },
            metrics: Arc::clone(&metrics),
            recorder: Recorder::new(client.clone(), reporter()),
            facts: facts.clone(),
            memory: Mutex::default(),
            refusals: Mutex::default(),
        };
        control(namespace, Arc::new(context), stop.clone())
    });
    let controllers = future::join_all(controllers);
    // A controller that could never list its resources does not end by itself.
    let given_up = async {
        stop.clone().await;
        tokio::time::sleep(STOP_LIMIT).await;
    };
    let following = nodes.follow(client);
    tokio::select! {
        _ = controllers => Ok(()),
        () = given_up => Ok(()),
        () = following => anyhow::bail!("the watch of nodes has ended"),
        failed = server => failed,
    }
}

/// Whether the API server's Service, which the kubelet names in every pod, has an IPv6 address.
fn is_ipv6(service_host: Option<&str>) -> bool {
    service_host.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok())
}

/// Beta and on by default since 1.34 (KEP-3015).
pub(crate) fn knows_prefer_same_node(major: &str, minor: &str) -> bool {
    let number = |text: &str| {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().unwrap_or(0)
    };
    (number(major), number(minor)) >= (1, 34)
}

fn reporter() -> Reporter {
    Reporter {
        controller: MANAGER.to_owned(),
        instance: std::env::var("HOSTNAME").ok(),
    }
}

/// One scope, until `stop` is ready.
async fn control(
    namespace: Option<String>,
    context: Arc<Context>,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let client = &context.client;
    let at = namespace.as_deref();
    let ours = || watcher::Config::default().labels(MANAGED_SELECTOR);
    let pods = context.stores.pods.follow(scoped::<Pod>(client, at));
    let nodes = context.stores.nodes.turns();
    Controller::new(scoped::<Pipeline>(client, at), watcher::Config::default())
        .with_config(Config::default().concurrency(CONCURRENCY))
        .owns(scoped::<DaemonSet>(client, at), ours())
        .owns(scoped::<Service>(client, at), ours())
        .owns(scoped::<ServiceAccount>(client, at), ours())
        // Only their names and owners are needed.
        .owns(scoped::<PartialObjectMeta<ConfigMap>>(client, at), ours())
        .reconcile_on(pods)
        .reconcile_all_on(nodes)
        .graceful_shutdown_on(stop)
        .run(
            reconcile::reconcile,
            reconcile::after_failure,
            Arc::clone(&context),
        )
        .for_each(|result| {
            match result {
                // Told by `after_failure`.
                Ok(_) | Err(Error::ReconcilerFailed(..)) => {}
                Err(Error::ObjectNotFound(gone)) => {
                    context.gone(gone.namespace.as_deref().unwrap_or_default(), &gone.name)
                }
                // A missing CustomResourceDefinition, or a missing right.
                Err(error) => tracing::warn!(%error, "watching; trying again"),
            }
            future::ready(())
        })
        .await;
}

fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

#[cfg(test)]
mod tests;

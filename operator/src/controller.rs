//! `run`: watches, and a pass whenever something may have changed.

use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures_util::{StreamExt, future};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use kube::api::Api;
use kube::runtime::controller::{Config, Controller, Error};
use kube::runtime::reflector;
use kube::{Client, Resource};

use crate::aws::Aws;
use crate::health::Health;
use crate::iam::Issuer;
use crate::metrics::Metrics;
use crate::reconcile::{self, Context};
use crate::settings::{Facts, Settings};
use crate::watches::{self, Nodes, Pods, Refusals, Stores, owners};

/// Pipelines looked at at once, in one scope.
const CONCURRENCY: u16 = 4;
/// Passes that run are finished in this time when the operator is told to stop; a pod has 30 s.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Where the kubelet puts the token of a pod's ServiceAccount.
const OWN_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

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
        aws: None,
        issuer: settings.issuer.clone().or_else(own_issuer),
    };
    tracing::info!(
        version = version.git_version,
        prefer_same_node = facts.prefer_same_node,
        ipv6 = facts.ipv6,
        issuer = facts.issuer.as_ref().map(ToString::to_string),
        ?scope,
        "connected to the API server"
    );
    let metrics = Arc::new(Metrics::default());
    let nodes = Nodes::new(Arc::clone(&metrics));
    let server = health.serve(Arc::clone(&metrics), nodes.clone());
    let scopes: Vec<Option<String>> = match scope {
        Scope::Cluster => vec![None],
        Scope::Namespaces(names) => names.into_iter().map(Some).collect(),
    };
    let aws = Arc::new(Aws::new(settings.region.clone()));
    let controllers = scopes.into_iter().map(|namespace| {
        let context = Context {
            stores: Stores {
                nodes: nodes.clone(),
                pods: Pods::default(),
                refusals: Refusals::new(Arc::clone(&metrics)),
            },
            metrics: Arc::clone(&metrics),
            aws: Arc::clone(&aws),
            ..Context::new(client.clone(), settings.clone(), facts.clone())
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

/// What a pod of the operator knows without asking anybody.
pub(crate) fn facts_of_pod(issuer: Option<Issuer>) -> Facts {
    Facts {
        issuer: issuer.or_else(own_issuer),
        ..Facts::default()
    }
}

/// The issuer of the operator's own token, which is that of all tokens of the cluster.
fn own_issuer() -> Option<Issuer> {
    let token = std::fs::read_to_string(OWN_TOKEN).ok()?;
    issuer_in(&token)
}

/// `iss` of a JSON Web Token. Whether it is signed is no question here: the kubelet has put it there.
fn issuer_in(token: &str) -> Option<Issuer> {
    let claims = token.trim().split('.').nth(1)?;
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    Issuer::parse(claims.get("iss")?.as_str()?).ok()
}

/// Beta and on by default since 1.34 (KEP-3015).
pub(crate) fn knows_prefer_same_node(major: &str, minor: &str) -> bool {
    let number = |text: &str| {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().unwrap_or(0)
    };
    (number(major), number(minor)) >= (1, 34)
}

/// One scope, until `stop` is ready.
async fn control(
    namespace: Option<String>,
    context: Arc<Context>,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let client = &context.client;
    let at = namespace.as_deref();
    let Stores {
        nodes,
        pods,
        refusals,
    } = &context.stores;
    let refusals = || refusals.clone();
    let (reader, writer) = reflector::store();
    let pipelines = watches::pipelines(scoped(client, at), writer, refusals());
    Controller::for_stream(pipelines, reader)
        .with_config(Config::default().concurrency(CONCURRENCY))
        .reconcile_on(owners::<DaemonSet>(scoped(client, at), "daemonsets", refusals()))
        .reconcile_on(owners::<Service>(scoped(client, at), "services", refusals()))
        .reconcile_on(owners::<ServiceAccount>(
            scoped(client, at),
            "serviceaccounts",
            refusals(),
        ))
        .reconcile_on(owners::<ConfigMap>(scoped(client, at), "configmaps", refusals()))
        .reconcile_on(pods.follow(scoped(client, at), refusals()))
        .reconcile_on(context.exporters.follow(pods.clone(), context.clock.clone()))
        .reconcile_all_on(nodes.turns())
        .reconcile_all_on(context.stores.refusals.turns())
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
                // The watches tell theirs themselves.
                Err(error @ (Error::QueueError(_) | Error::RunnerError(_))) => {
                    tracing::warn!(%error, "the queue of passes");
                }
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

//! An operator's ServiceAccount with the rights that the chart gives, or with all but one of them.

use std::path::Path;

use anyhow::{Context, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use tracepipe_e2e::cluster::kube_api::Patch;

use crate::rig::Rig;

/// Where the rig's release has its rights.
const SHIPPED: &str = "tracepipe-system:tracepipe";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const NAME: &str = "operator";

/// One verb of one resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Right {
    pub(crate) verb: String,
    pub(crate) group: String,
    /// With its subresource.
    pub(crate) resource: String,
}

impl Right {
    /// For names and for matching: `list pods`.
    pub(crate) fn words(&self) -> String {
        format!("{} {}", self.verb, self.resource)
    }

    fn rule(&self) -> Value {
        json!({ "apiGroups": [self.group], "resources": [self.resource], "verbs": [self.verb] })
    }
}

/// The rights that a role gives, one by one.
pub(crate) fn rights_of(role: &Value) -> Vec<Right> {
    let texts = |list: &Value| -> Vec<String> {
        let items = list.as_array().into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut rights = Vec::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                rights.extend(texts(&rule["verbs"]).into_iter().map(|verb| Right {
                    verb,
                    group: group.clone(),
                    resource: resource.clone(),
                }));
            }
        }
    }
    rights
}

/// What the chart gives: in the cluster, and in each watched namespace.
pub(crate) async fn shipped(rig: &Rig) -> anyhow::Result<(Vec<Right>, Vec<Right>)> {
    let cluster = rig.object(&format!("{RBAC}/clusterroles/{SHIPPED}")).await?;
    let role = format!("{RBAC}/namespaces/tracing/roles/{SHIPPED}");
    Ok((rights_of(&cluster), rights_of(&rig.object(&role).await?)))
}

/// A ServiceAccount, in a namespace of its own.
pub(crate) struct Account {
    namespace: String,
    kubeconfig: tempfile::NamedTempFile,
    token: String,
}

impl Account {
    /// Without any right.
    pub(crate) async fn make(rig: &Rig, namespace: &str) -> anyhow::Result<Self> {
        rig.make_namespace(namespace).await?;
        let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        put(rig, &accounts, &json!({ "metadata": { "name": NAME } })).await?;
        let request = json!({ "spec": { "expirationSeconds": 7200 } });
        let token = rig
            .api
            .post(&format!("{accounts}/{NAME}/token"), &request)
            .await?;
        let token = token.success()?["status"]["token"]
            .as_str()
            .context("a token")?
            .to_owned();
        let config = rig.kubectl("config view --raw --output json").await?;
        let mut config: Value = serde_json::from_str(&config)?;
        for user in config["users"].as_array_mut().context("users")? {
            user["user"] = json!({ "token": token });
        }
        let kubeconfig = tempfile::NamedTempFile::new()?;
        std::fs::write(kubeconfig.path(), config.to_string())?;
        Ok(Self {
            namespace: namespace.to_owned(),
            kubeconfig,
            token,
        })
    }

    /// For a client.
    pub(crate) fn kubeconfig(&self) -> &Path {
        self.kubeconfig.path()
    }

    /// What must be seen nowhere.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// As the API server calls it.
    pub(crate) fn user(&self) -> String {
        format!("system:serviceaccount:{}:{NAME}", self.namespace)
    }

    /// Gives it these rights in the whole cluster, and no others.
    pub(crate) async fn grant_in_cluster(&self, rig: &Rig, rights: &[Right]) -> anyhow::Result<()> {
        let name = &self.namespace;
        let at = |plural: &str| format!("{RBAC}/{plural}");
        put(rig, &at("clusterroles"), &role(name, rights)).await?;
        put(
            rig,
            &at("clusterrolebindings"),
            &self.binding(name, "ClusterRole"),
        )
        .await
    }

    /// Gives it these rights in a namespace, and no others.
    pub(crate) async fn grant(&self, rig: &Rig, namespace: &str, rights: &[Right]) -> anyhow::Result<()> {
        let at = |plural: &str| format!("{RBAC}/namespaces/{namespace}/{plural}");
        put(rig, &at("roles"), &role(NAME, rights)).await?;
        put(rig, &at("rolebindings"), &self.binding(NAME, "Role")).await
    }

    fn binding(&self, role: &str, kind: &str) -> Value {
        json!({
            "metadata": { "name": role },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role },
            "subjects": [{ "kind": "ServiceAccount", "name": NAME, "namespace": self.namespace }],
        })
    }
}

fn role(name: &str, rights: &[Right]) -> Value {
    let rules: Vec<Value> = rights.iter().map(Right::rule).collect();
    json!({ "metadata": { "name": name }, "rules": rules })
}

/// Makes an object, or makes the one that is there like it.
async fn put(rig: &Rig, collection: &str, object: &Value) -> anyhow::Result<()> {
    let made = rig.api.post(collection, object).await?;
    if made.status != StatusCode::CONFLICT {
        return made.success().map(drop);
    }
    let name = object["metadata"]["name"].as_str().context("a name")?;
    let changed = rig
        .api
        .patch(&format!("{collection}/{name}"), Patch::Merge(object))
        .await?;
    ensure!(changed.status.is_success(), "{}", changed.message());
    Ok(())
}

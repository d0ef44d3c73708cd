//! What shall exist for a pipeline: pure, and it cannot fail. Same pipeline, same settings, same facts: same bytes.

pub(crate) mod credentials;

use std::collections::BTreeMap;

use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tracepipe_crds::values::Duration;
use tracepipe_crds::{Persistence, ResourceAmounts, TracingPipeline, TracingPipelineSpec, TrafficPolicy};

use crate::drift;
use crate::names::{self, APPLIED_ANNOTATION, CONTAINER, REVISION_LABEL, ROLE_ANNOTATION};
use crate::settings::Settings;
use crate::validate::Accepted;

/// The volume of [`names::DECISIONS_FOLDER`].
const DECISIONS_VOLUME: &str = "decisions";
const CONFIG_FOLDER: &str = "/etc/tracepipe";
const CONFIG_KEY: &str = "collector.yaml";
const CA_KEY: &str = "extra-ca.pem";
/// User and group of the container; no file of the image belongs to it.
const USER: i64 = 65532;
/// The collector decides at the normal deadlines for at most this long when it is told to stop, in seconds.
const DRAIN_WAIT_MAX_S: u64 = 60;
/// What it needs besides: endpoints move, connections close, queues are flushed (ARCHITECTURE.md, shutdown).
const DRAIN_REST_S: u64 = 25;

/// One object, in the form that is applied.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object {
    /// Its kind.
    pub(crate) kind: Kind,
    /// Its name.
    pub(crate) name: String,
    /// All of it, with apiVersion and kind, exactly the fields that the operator sets.
    pub(crate) desired: Value,
}

/// The kinds that a plan has, in the order in which they are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// The collectors' identity.
    ServiceAccount,
    /// The collectors' configuration.
    ConfigMap,
    /// Where applications send to.
    Service,
    /// The collectors.
    DaemonSet,
}

/// Everything that shall exist.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// In the order in which they are applied.
    pub(crate) objects: Vec<Object>,
    /// The collector's configuration, as in the ConfigMap.
    pub(crate) config_yaml: String,
    /// Name of the ConfigMap.
    pub(crate) config_map: String,
    /// Tells pods of this plan from older ones ([`REVISION_LABEL`]).
    pub(crate) revision: String,
}

/// Plans.
pub(crate) fn plan(pipeline: &TracingPipeline, accepted: &Accepted, settings: &Settings) -> Plan {
    let name = pipeline.name_any();
    let config_yaml = accepted.config.to_yaml();
    let mut data = BTreeMap::from([(CONFIG_KEY, config_yaml.as_str())]);
    if let Some(ca) = &settings.extra_ca {
        data.insert(CA_KEY, ca);
    }
    let config_map = names::config_map(&name, &hash_of(&json!(data)));
    let mut template = pod_template(pipeline, accepted, settings, &config_map);
    let revision = hash_of(&template);
    template["metadata"]["labels"][REVISION_LABEL] = json!(revision);
    let objects = vec![
        object(
            pipeline,
            Kind::ServiceAccount,
            &names::workload(&name),
            service_account(accepted),
        ),
        object(
            pipeline,
            Kind::ConfigMap,
            &config_map,
            json!({ "immutable": true, "data": data }),
        ),
        object(
            pipeline,
            Kind::Service,
            &name,
            service(&name, accepted.traffic_policy),
        ),
        object(
            pipeline,
            Kind::DaemonSet,
            &names::workload(&name),
            daemon_set(&name, &template),
        ),
    ];
    Plan {
        objects,
        config_yaml,
        config_map,
        revision,
    }
}

impl Plan {
    /// What tells the plan's object of this kind from what was applied before.
    pub(crate) fn hash_of(&self, kind: Kind) -> Option<&str> {
        let object = self.objects.iter().find(|object| object.kind == kind)?;
        drift::applied_hash(&object.desired)
    }
}

impl Kind {
    /// Group and version, as in a manifest.
    pub(crate) fn api_version(self) -> &'static str {
        match self {
            Self::ServiceAccount | Self::ConfigMap | Self::Service => "v1",
            Self::DaemonSet => "apps/v1",
        }
    }

    /// As in a manifest.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ServiceAccount => "ServiceAccount",
            Self::ConfigMap => "ConfigMap",
            Self::Service => "Service",
            Self::DaemonSet => "DaemonSet",
        }
    }
}

/// Ten hex digits of a value's canonical JSON: maps are sorted.
pub(crate) fn hash_of(value: &Value) -> String {
    let digest = Sha256::digest(value.to_string().as_bytes());
    digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect()
}

/// An owned object around `body`.
fn object(pipeline: &TracingPipeline, kind: Kind, name: &str, body: Value) -> Object {
    let mut desired = json!({
        "apiVersion": kind.api_version(),
        "kind": kind.name(),
        "metadata": {
            "name": name,
            "namespace": pipeline.namespace(),
            "labels": names::labels(&pipeline.name_any()),
            "ownerReferences": [{
                "apiVersion": TracingPipeline::api_version(&()),
                "kind": TracingPipeline::kind(&()),
                "name": pipeline.name_any(),
                "uid": pipeline.uid().unwrap_or_default(),
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
    });
    merge(&mut desired, body);
    let applied = hash_of(&desired);
    desired["metadata"]["annotations"][APPLIED_ANNOTATION] = json!(applied);
    let name = name.to_owned();
    Object { kind, name, desired }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn service_account(accepted: &Accepted) -> Value {
    let mut account = json!({ "automountServiceAccountToken": false });
    if let Some(role) = accepted.credentials.role_arn() {
        account["metadata"] = json!({ "annotations": { ROLE_ANNOTATION: role } });
    }
    account
}

fn service(name: &str, traffic: TrafficPolicy) -> Value {
    let port = |name: &str, port: u16, protocol: &str| {
        json!({
            "name": name, "port": port, "targetPort": port, "protocol": "TCP", "appProtocol": protocol,
        })
    };
    let internal = match traffic {
        TrafficPolicy::Local => "Local",
        TrafficPolicy::PreferSameNode | TrafficPolicy::Cluster => "Cluster",
    };
    let mut spec = json!({
        "type": "ClusterIP",
        "selector": names::selector(name),
        "internalTrafficPolicy": internal,
        "ports": [
            port("otlp-grpc", names::GRPC_PORT, "kubernetes.io/h2c"),
            port("otlp-http", names::HTTP_PORT, "http"),
        ],
    });
    if traffic == TrafficPolicy::PreferSameNode {
        spec["trafficDistribution"] = json!("PreferSameNode");
    }
    json!({ "spec": spec })
}

fn daemon_set(name: &str, template: &Value) -> Value {
    json!({
        "spec": {
            "selector": { "matchLabels": names::selector(name) },
            // No minReadySeconds: with a surge the controller counts the old pods as available, and does not look again
            // when the new ones have been ready for long enough; the update hangs (seen with 1.34).
            // The new pod works before the old one goes, so that no application finds its node without a collector, and
            // one that does not start takes nothing away.
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": { "maxUnavailable": 0, "maxSurge": "25%" },
            },
            "revisionHistoryLimit": 3,
            "template": template,
        },
    })
}

fn pod_template(
    pipeline: &TracingPipeline,
    accepted: &Accepted,
    settings: &Settings,
    config_map: &str,
) -> Value {
    let name = pipeline.name_any();
    let collector = &pipeline.spec.collector;
    let mut spec = json!({
        "serviceAccountName": names::workload(&name),
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": grace_period(&pipeline.spec.sampling.decision_wait),
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            // Without it the token cannot be read by this user.
            "fsGroup": USER,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "affinity": linux_and_not_fargate(),
        "tolerations": collector.tolerations,
        "containers": [container(&pipeline.spec, accepted, settings)],
        "volumes": volumes(&pipeline.spec, accepted, config_map),
    });
    if !collector.node_selector.is_empty() {
        spec["nodeSelector"] = json!(collector.node_selector);
    }
    if let Some(class) = &settings.priority_class {
        spec["priorityClassName"] = json!(class);
    }
    if !settings.image_pull_secrets.is_empty() {
        let secrets = settings.image_pull_secrets.iter();
        spec["imagePullSecrets"] = secrets.map(|name| json!({ "name": name })).collect();
    }
    json!({
        "metadata": {
            "labels": names::labels(&name),
            "annotations": {
                "kubectl.kubernetes.io/default-container": CONTAINER,
                "prometheus.io/scrape": "true",
                "prometheus.io/port": names::METRICS_PORT.to_string(),
            },
        },
        "spec": spec,
    })
}

/// In seconds: as long as the collector may take from SIGTERM to its end.
fn grace_period(decision_wait: &str) -> u64 {
    let wait = Duration::parse(decision_wait).map_or(DRAIN_WAIT_MAX_S, |wait| wait.millis().div_ceil(1000));
    wait.min(DRAIN_WAIT_MAX_S) + DRAIN_REST_S
}

/// Fargate has no DaemonSets: its nodes refuse the pods, which would wait for ever.
/// <https://docs.aws.amazon.com/eks/latest/userguide/fargate.html>
fn linux_and_not_fargate() -> Value {
    json!({
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{
                    "matchExpressions": [
                        { "key": "kubernetes.io/os", "operator": "In", "values": ["linux"] },
                        { "key": "eks.amazonaws.com/compute-type", "operator": "NotIn", "values": ["fargate"] },
                    ],
                }],
            },
        },
    })
}

fn container(spec: &TracingPipelineSpec, accepted: &Accepted, settings: &Settings) -> Value {
    let resources = &spec.collector.resources;
    let port = |name: &str, port: u16| json!({ "name": name, "containerPort": port, "protocol": "TCP" });
    let probe = |path: &str, period: u16, failures: u16| {
        json!({
            "httpGet": { "path": path, "port": "health", "scheme": "HTTP" },
            "periodSeconds": period,
            "timeoutSeconds": 3,
            "failureThreshold": failures,
        })
    };
    let mut mounts = vec![json!({ "name": "config", "mountPath": CONFIG_FOLDER, "readOnly": true })];
    mounts.extend(accepted.credentials.mount());
    if persistence(spec).is_some() {
        mounts.push(json!({ "name": DECISIONS_VOLUME, "mountPath": names::DECISIONS_FOLDER }));
    }
    json!({
        "name": CONTAINER,
        "image": settings.collector_image,
        "imagePullPolicy": settings.image_pull_policy,
        "args": [format!("--config={CONFIG_FOLDER}/{CONFIG_KEY}")],
        "env": environment(accepted, settings),
        "ports": [
            port("otlp-grpc", names::GRPC_PORT),
            port("otlp-http", names::HTTP_PORT),
            port("metrics", names::METRICS_PORT),
            port("health", names::HEALTH_PORT),
        ],
        "resources": {
            "requests": amounts(&resources.requests),
            "limits": amounts(&resources.limits),
        },
        "startupProbe": probe("/livez", 1, 60),
        "livenessProbe": probe("/livez", 10, 6),
        "readinessProbe": probe("/readyz", 2, 3),
        // The last lines of a collector that ends become the message in the status.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
        "volumeMounts": mounts,
    })
}

fn amounts(amounts: &ResourceAmounts) -> Value {
    let mut written = json!({});
    if let Some(cpu) = &amounts.cpu {
        // A quantity is a string in every object that the API server stores.
        let text = serde_json::to_value(cpu).unwrap_or_default();
        written["cpu"] = json!(text.as_str().map_or_else(|| text.to_string(), str::to_owned));
    }
    if let Some(memory) = &amounts.memory {
        written["memory"] = json!(memory);
    }
    written
}

fn environment(accepted: &Accepted, settings: &Settings) -> Value {
    let mut env = vec![json!({
        "name": names::NODE_NAME_VARIABLE,
        "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": "spec.nodeName" } },
    })];
    let mut set = |name: &str, value: &str| env.push(json!({ "name": name, "value": value }));
    if let Some(region) = &accepted.region {
        set("AWS_REGION", region);
        set("AWS_DEFAULT_REGION", region);
        set("AWS_STS_REGIONAL_ENDPOINTS", "regional");
    }
    for (name, value) in accepted.credentials.environment() {
        set(name, &value);
    }
    if let Some(endpoint) = &settings.sts_endpoint {
        set("AWS_ENDPOINT_URL_STS", endpoint);
    }
    if settings.extra_ca.is_some() {
        set("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt");
        set("SSL_CERT_DIR", CONFIG_FOLDER);
    }
    Value::Array(env)
}

fn persistence(spec: &TracingPipelineSpec) -> Option<&Persistence> {
    spec.sampling.decision_cache.persistence.as_ref()
}

fn volumes(spec: &TracingPipelineSpec, accepted: &Accepted, config_map: &str) -> Value {
    let mut volumes = vec![json!({
        "name": "config",
        "configMap": { "name": config_map, "defaultMode": 0o444 },
    })];
    volumes.extend(accepted.credentials.volume());
    if let Some(persistence) = persistence(spec) {
        volumes.push(json!({
            "name": DECISIONS_VOLUME,
            "emptyDir": { "sizeLimit": persistence.size_limit },
        }));
    }
    Value::Array(volumes)
}

#[cfg(test)]
mod tests;

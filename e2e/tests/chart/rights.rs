//! What the operator may do, and what its pod may.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::helm::{Helm, helms};
use crate::values::ci_files;
use crate::{of_kind, strings, the};

/// In a watched namespace: each verb is one that the operator uses, and nothing here reads a Secret, writes a pod or
/// gives a right.
const IN_A_NAMESPACE: &[(&str, &str)] = &[
    ("/configmaps", "create delete get list patch watch"),
    ("/events", "list"),
    ("/pods", "list watch"),
    ("/serviceaccounts", "create get list patch watch"),
    ("/serviceaccounts/token", "create"),
    ("/services", "create get list patch watch"),
    ("apps/daemonsets", "create delete get list patch watch"),
    ("events.k8s.io/events", "create patch"),
    ("tracepipe.dev/tracingpipelines/finalizers", "update"),
];
/// A namespace that is deleted may lose its Roles before its TracingPipelines.
const IN_THE_CLUSTER: &[(&str, &str)] = &[
    ("/nodes", "list watch"),
    ("tracepipe.dev/tracingpipelines", "get list patch watch"),
    ("tracepipe.dev/tracingpipelines/status", "patch"),
];

/// `group/resource` to its verbs, as the table above has them.
fn rights(role: &Value) -> BTreeMap<String, String> {
    let mut rights = BTreeMap::new();
    for rule in role["rules"].as_array().unwrap() {
        let mut verbs = strings(&rule["verbs"]);
        verbs.sort_unstable();
        for group in strings(&rule["apiGroups"]) {
            for resource in strings(&rule["resources"]) {
                let known = rights.insert(format!("{group}/{resource}"), verbs.join(" "));
                assert!(known.is_none(), "{resource} stands in two rules");
            }
        }
        let members: Vec<&str> = rule.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["apiGroups", "resources", "verbs"]);
    }
    rights
}

fn table(parts: &[&[(&str, &str)]]) -> BTreeMap<String, String> {
    let rows = parts.iter().flat_map(|it| it.iter());
    rows.map(|(resource, verbs)| ((*resource).to_owned(), (*verbs).to_owned()))
        .collect()
}

/// Checks that a binding of this kind ties the role of its own name to the operator's account.
fn assert_bound(all: &[Value], role: &Value, binding: &str, account: &Value) {
    let found = of_kind(all, binding).into_iter().find(|it| {
        it["metadata"]["name"] == role["metadata"]["name"]
            && it["metadata"]["namespace"] == role["metadata"]["namespace"]
    });
    let found = found.unwrap_or_else(|| panic!("{role:#} is not bound"));
    let named = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": role["kind"], "name": role["metadata"]["name"] });
    assert_eq!(found["roleRef"], named);
    let subject = json!([{ "kind": "ServiceAccount", "name": account, "namespace": "tracepipe-system" }]);
    assert_eq!(found["subjects"], subject);
}

fn account(all: &[Value]) -> &Value {
    &the(all, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
}

#[test]
fn in_the_cluster_the_operator_may_only_read_nodes_and_let_pipelines_go() {
    for helm in helms("the operator's rights in the cluster") {
        let all = helm.manifests("");
        let role = the(&all, "ClusterRole");
        assert_eq!(rights(role), table(&[IN_THE_CLUSTER]));
        assert_bound(&all, role, "ClusterRoleBinding", account(&all));
        assert_eq!(of_kind(&all, "ClusterRoleBinding").len(), 1);
    }
}

#[test]
fn each_watched_namespace_has_a_role_of_its_own_and_no_other_namespace_has_one() {
    for helm in helms("a Role in each watched namespace") {
        let all = helm.manifests("watchNamespaces: [tracing, team-a, team-b]");
        let roles = of_kind(&all, "Role");
        let namespaces: BTreeSet<_> = roles
            .iter()
            .map(|it| it["metadata"]["namespace"].as_str().unwrap())
            .collect();
        assert_eq!(namespaces, BTreeSet::from(["tracing", "team-a", "team-b"]));
        assert_eq!(roles.len(), 3);
        for role in roles {
            assert_eq!(rights(role), table(&[IN_A_NAMESPACE]));
            assert_bound(&all, role, "RoleBinding", account(&all));
        }
        assert_eq!(of_kind(&all, "RoleBinding").len(), 3);
    }
}

#[test]
fn the_whole_cluster_is_one_cluster_role_with_the_same_rights() {
    for helm in helms("rights in the whole cluster") {
        let all = helm.manifests(r#"watchNamespaces: ["*"]"#);
        assert_eq!(
            rights(the(&all, "ClusterRole")),
            table(&[IN_THE_CLUSTER, IN_A_NAMESPACE])
        );
        assert!(of_kind(&all, "Role").is_empty() && of_kind(&all, "RoleBinding").is_empty());
        assert!(
            of_kind(&all, "Namespace").is_empty(),
            "a namespace called * is no namespace"
        );
    }
}

/// Before an uninstall the operator is stopped, and only there is that allowed.
#[test]
fn only_the_job_before_an_uninstall_may_stop_the_operator_and_only_where_roles_are_made() {
    for helm in helms("the rights of the job before an uninstall") {
        let none = helm.manifests("");
        assert!(of_kind(&none, "Job").is_empty());
        let all = helm.manifests("{aws: {clusterName: prod-eu}, watchNamespaces: [tracing]}");
        let job = the(&all, "Job");
        assert_eq!(job["metadata"]["annotations"]["helm.sh/hook"], "pre-delete");
        let role = of_kind(&all, "Role")
            .into_iter()
            .find(|role| role["metadata"]["name"] == job["metadata"]["name"])
            .unwrap();
        assert_eq!(role["metadata"]["annotations"]["helm.sh/hook"], "pre-delete");
        let operator = &the(&all, "Deployment")["metadata"]["name"];
        let expected = json!([
            { "apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": [operator], "verbs": ["get"] },
            { "apiGroups": ["apps"], "resources": ["deployments/scale"], "resourceNames": [operator], "verbs": ["patch"] },
            { "apiGroups": [""], "resources": ["pods"], "verbs": ["list"] },
        ]);
        assert_eq!(role["rules"], expected);
        assert_bound(&all, role, "RoleBinding", account(&all));
        // The operator's own pods are counted, and this one is none of them.
        let selected = &the(&all, "Deployment")["spec"]["selector"]["matchLabels"];
        let labels = &job["spec"]["template"]["metadata"]["labels"];
        assert_ne!(
            selected["app.kubernetes.io/name"],
            labels["app.kubernetes.io/name"]
        );
    }
}

#[test]
fn every_pod_starts_under_restricted_pod_security_and_tells_its_needs() {
    for helm in helms("restricted pods") {
        for values in ci_files() {
            for pod in pods(&helm, &values) {
                assert_restricted(&pod);
            }
        }
    }
}

fn pods(helm: &Helm, values: &str) -> Vec<Value> {
    let all = helm.manifests(values);
    let pods: Vec<Value> = all
        .iter()
        .map(|it| it["spec"]["template"]["spec"].clone())
        .filter(|it| !it.is_null())
        .collect();
    assert!(!pods.is_empty());
    pods
}

/// https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, and what we ask beside it: a
/// read-only root, probes, and resources.
fn assert_restricted(pod: &Value) {
    let context = &pod["securityContext"];
    assert_eq!(context["runAsNonRoot"], true);
    assert_eq!(context["runAsUser"], 65532);
    assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault");
    for host in [
        "hostNetwork",
        "hostPID",
        "hostIPC",
        "initContainers",
        "ephemeralContainers",
    ] {
        assert!(pod[host].is_null(), "{host}");
    }
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        let is_token =
            volume["projected"]["sources"][0]["serviceAccountToken"]["audience"] == "sts.amazonaws.com";
        assert!(volume["configMap"].is_object() || is_token, "{volume}");
    }
    for container in pod["containers"].as_array().unwrap() {
        let expected = json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true,
            "capabilities": { "drop": ["ALL"] },
        });
        assert_eq!(container["securityContext"], expected);
        // What runs once is not probed.
        let probed = pod["restartPolicy"].is_null();
        for needed in ["livenessProbe", "readinessProbe", "startupProbe"] {
            assert_eq!(container[needed].is_object(), probed, "{needed}");
        }
        assert!(container["resources"]["requests"]["memory"].is_string());
        assert!(container["resources"]["limits"]["memory"].is_string());
        for port in container["ports"].as_array().into_iter().flatten() {
            assert!(port["hostPort"].is_null());
        }
    }
}

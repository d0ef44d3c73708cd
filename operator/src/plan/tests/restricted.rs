//! Kubernetes' Pod Security Standard "restricted".
//! <https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted>

use serde_json::{Value, json};

use super::cases;
use crate::testing::{plan_of, template};

/// What a pod of this spec breaks.
pub(super) fn violations(spec: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            found.push(what.to_owned());
        }
    };
    for absent in [
        "hostNetwork",
        "hostPID",
        "hostIPC",
        "initContainers",
        "ephemeralContainers",
    ] {
        must(spec[absent].is_null(), absent);
    }
    let pod = &spec["securityContext"];
    must(pod["runAsNonRoot"] == true, "runAsNonRoot");
    must(
        pod["runAsUser"].as_i64().is_some_and(|user| user > 0),
        "runAsUser",
    );
    must(
        pod["seccompProfile"] == json!({"type": "RuntimeDefault"}),
        "seccompProfile",
    );
    for absent in ["sysctls", "seLinuxOptions", "windowsOptions", "appArmorProfile"] {
        must(pod[absent].is_null(), absent);
    }
    for volume in spec["volumes"].as_array().unwrap() {
        let kinds: Vec<&str> = volume.as_object().unwrap().keys().map(String::as_str).collect();
        let allowed = [["configMap", "name"], ["emptyDir", "name"], ["name", "projected"]];
        must(allowed.iter().any(|pair| kinds == pair), "volumes");
    }
    for container in spec["containers"].as_array().unwrap() {
        container_violations(container, &mut must);
    }
    found
}

fn container_violations(container: &Value, must: &mut dyn FnMut(bool, &str)) {
    let own = &container["securityContext"];
    must(
        own["allowPrivilegeEscalation"] == false,
        "allowPrivilegeEscalation",
    );
    must(own["capabilities"] == json!({"drop": ["ALL"]}), "capabilities");
    must(own["readOnlyRootFilesystem"] == true, "readOnlyRootFilesystem");
    for absent in [
        "privileged",
        "procMount",
        "runAsUser",
        "runAsNonRoot",
        "seccompProfile",
        "seLinuxOptions",
    ] {
        must(own[absent].is_null(), absent);
    }
    for port in container["ports"].as_array().unwrap() {
        must(port["hostPort"].is_null(), "hostPort");
    }
    must(container["lifecycle"].is_null(), "lifecycle");
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        must(container[probe]["httpGet"]["host"].is_null(), probe);
    }
}

#[test]
fn pods_need_no_right_that_the_restricted_profile_forbids() {
    for (case, pipeline, settings, facts) in cases() {
        let plan = plan_of(&pipeline, &settings, &facts);
        assert_eq!(violations(&template(&plan)["spec"]), [""; 0], "{case}");
    }
}

#[test]
fn the_collector_has_no_token_for_the_api_server() {
    for (case, pipeline, settings, facts) in cases() {
        let plan = plan_of(&pipeline, &settings, &facts);
        assert_eq!(
            template(&plan)["spec"]["automountServiceAccountToken"],
            false,
            "{case}"
        );
        assert_eq!(template(&plan)["spec"]["enableServiceLinks"], false, "{case}");
    }
}

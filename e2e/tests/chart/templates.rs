//! What the chart makes of its values.

use std::process::Command;

use serde_json::{Value, json};

use crate::helm::helms;
use crate::values::{ci_file, ci_files};
use crate::{chart, document, leave_out, of_kind, strings, text, the};

/// The version of the workspace, which is that of binaries, images and chart.
fn version() -> String {
    let manifest = text("Cargo.toml");
    let (_, package) = manifest.split_once("[workspace.package]\nversion = \"").unwrap();
    package.split_once('"').unwrap().0.to_owned()
}

fn names(all: &[Value], kind: &str) -> Vec<String> {
    of_kind(all, kind)
        .iter()
        .map(|it| it["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

fn container(all: &[Value]) -> &Value {
    &the(all, "Deployment")["spec"]["template"]["spec"]["containers"][0]
}

#[test]
fn helm_has_nothing_to_say_against_the_chart_with_any_of_the_values_files() {
    for helm in helms("helm lint") {
        for entry in std::fs::read_dir(chart().join("ci")).unwrap() {
            let file = entry.unwrap().path();
            let (chart, file) = (chart(), file.to_string_lossy().into_owned());
            let chart = chart.to_string_lossy();
            let ended = helm.run([
                "lint",
                "--strict",
                &chart,
                "--values",
                &file,
                "--kube-version",
                "1.34.0",
            ]);
            assert!(ended.good && !ended.all.contains("[WARNING]"), "{}", ended.all);
        }
    }
}

#[test]
fn chart_images_and_binaries_have_one_version() {
    let chart = document("charts/tracepipe/Chart.yaml");
    assert_eq!(chart["version"], version());
    assert_eq!(chart["appVersion"], version());
    for helm in helms("the default images") {
        let all = helm.manifests("");
        assert_eq!(
            container(&all)["image"],
            format!("tracepipe.dev/operator:{}", version())
        );
        let collector = format!("--collector-image=tracepipe.dev/collector:{}", version());
        assert!(strings(&container(&all)["args"]).contains(&collector.as_str()));
    }
}

#[test]
fn the_operator_is_told_what_is_set_and_nothing_else() {
    let plain = format!(
        "run --namespaces=tracing --collector-image=tracepipe.dev/collector:{} --image-pull-policy=IfNotPresent \
         --priority-class=tracepipe-collector --health-address=0.0.0.0:8081 --metrics-address=0.0.0.0:8080 \
         --log-format=json --log-level=info",
        version()
    );
    let digest = "0123456789abcdef".repeat(4);
    let everything = format!(
        "run --namespaces=observability,tracing \
         --collector-image=mirror.example.com/tracepipe/collector@sha256:{digest} --image-pull-policy=Never \
         --image-pull-secrets=mirror,fallback --priority-class=tracing --region=eu-west-1 --cluster-name=prod-eu \
         --role-path-prefix=/platform/tracing/ \
         --permissions-boundary=arn:aws:iam::111122223333:policy/tracing-boundary \
         --xray-endpoint=https://vpce-1.xray.eu-west-1.vpce.amazonaws.com \
         --sts-endpoint=https://vpce-2.sts.eu-west-1.vpce.amazonaws.com \
         --amp-workspaces=arn:aws:aps:eu-west-1:111122223333:workspace/ws-0a1b2c3d-0000-4000-8000-0123456789ab,\
         arn:aws:aps:eu-central-1:111122223333:workspace/ws-1 --amp-endpoints=https://amp.internal:8443 \
         --extra-ca-file=/etc/tracepipe/ca/ca.pem \
         --health-address=0.0.0.0:8081 --metrics-address=0.0.0.0:8080 --log-format=text --log-level=debug"
    );
    for helm in helms("the operator's arguments") {
        assert_eq!(strings(&container(&helm.manifests(""))["args"]).join(" "), plain);
        let all = helm.manifests(&ci_file("everything"));
        assert_eq!(strings(&container(&all)["args"]).join(" "), everything);
        assert_eq!(
            container(&all)["image"],
            "mirror.example.com/tracepipe/operator:0.1.0-rc.1"
        );
        assert_eq!(container(&all)["imagePullPolicy"], "Always");
        let all = helm.manifests("aws: {amp: {workspaces: ['*']}}");
        assert!(strings(&container(&all)["args"]).contains(&"--amp-workspaces=*"));
        let all = helm.manifests(&ci_file("namespaces"));
        assert!(
            !strings(&container(&all)["args"])
                .join(" ")
                .contains("--priority-class")
        );
    }
}

/// Under the names that EKS's webhooks use, which leave a pod alone that has them.
#[test]
fn the_operator_and_its_last_job_go_to_aws_as_the_operators_role_and_as_nobody_else() {
    for helm in helms("the operator's way to AWS") {
        let none = helm.manifests("");
        assert!(container(&none)["env"].is_null() && container(&none)["volumeMounts"].is_null());
        let all = helm.manifests(&ci_file("everything"));
        let job = &the(&all, "Job")["spec"]["template"]["spec"];
        let operator = &the(&all, "Deployment")["spec"]["template"]["spec"];
        for member in ["env", "volumeMounts"] {
            assert_eq!(
                job["containers"][0][member], operator["containers"][0][member],
                "{member}"
            );
        }
        assert_eq!(job["volumes"], operator["volumes"]);
        let env = operator["containers"][0]["env"].as_array().unwrap();
        let of = |name: &str| {
            env.iter()
                .find(|one| one["name"] == name)
                .map(|one| &one["value"])
        };
        let expected = [
            (
                "AWS_ROLE_ARN",
                "arn:aws:iam::111122223333:role/tracepipe-operator",
            ),
            (
                "AWS_WEB_IDENTITY_TOKEN_FILE",
                "/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
            ),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_ENDPOINT_URL_IAM", "https://vpce-3.iam.vpce.amazonaws.com"),
            (
                "AWS_ENDPOINT_URL_STS",
                "https://vpce-2.sts.eu-west-1.vpce.amazonaws.com",
            ),
            ("SSL_CERT_DIR", "/etc/tracepipe/ca"),
        ];
        for (name, value) in expected {
            assert_eq!(of(name), Some(&json!(value)), "{name}");
        }
        let token = operator["volumes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["name"] == "aws-iam-token")
            .unwrap();
        assert_eq!(
            token["projected"]["sources"][0]["serviceAccountToken"]["audience"],
            "sts.amazonaws.com"
        );
    }
}

#[test]
fn the_operator_knows_each_argument_and_takes_its_value() {
    let Some(operator) = std::env::var_os("TRACEPIPE_OPERATOR").filter(|it| !it.is_empty()) else {
        leave_out("the operator takes the chart's arguments (TRACEPIPE_OPERATOR is not set)");
        return;
    };
    for helm in helms("the operator takes the chart's arguments") {
        for values in ci_files() {
            let all = helm.manifests(&values);
            // Arguments are read in their order, so help is only given when those before it are good.
            let mut command = Command::new(&operator);
            command.args(strings(&container(&all)["args"])).arg("--help");
            let output = command.output().unwrap();
            assert!(
                output.status.success(),
                "{command:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}

#[test]
fn the_operator_is_one_pod_whose_labels_no_value_can_take_from_its_deployment() {
    for helm in helms("the Deployment") {
        for values in ci_files() {
            let all = helm.manifests(&values);
            let spec = &the(&all, "Deployment")["spec"];
            assert_eq!(
                (&spec["replicas"], &spec["strategy"]),
                (&json!(1), &json!({ "type": "Recreate" }))
            );
            let labels = spec["template"]["metadata"]["labels"].as_object().unwrap();
            for (name, value) in spec["selector"]["matchLabels"].as_object().unwrap() {
                assert_eq!(labels.get(name), Some(value), "{name}");
            }
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                let get = &container(&all)[probe]["httpGet"];
                let path = if probe == "readinessProbe" {
                    "/readyz"
                } else {
                    "/livez"
                };
                assert_eq!((&get["path"], &get["port"]), (&json!(path), &json!("health")));
            }
        }
    }
}

#[test]
fn a_watched_namespace_is_made_restricted_and_outlives_the_release() {
    for helm in helms("namespaces of the chart") {
        let all = helm.manifests("watchNamespaces: [tracing, team-a, tracepipe-system]");
        // The release's own is there, or Helm is told to make it.
        assert_eq!(names(&all, "Namespace").len(), 2);
        for namespace in of_kind(&all, "Namespace") {
            let metadata = &namespace["metadata"];
            assert!(["tracing", "team-a"].contains(&metadata["name"].as_str().unwrap()));
            assert_eq!(
                metadata["labels"]["pod-security.kubernetes.io/enforce"],
                "restricted"
            );
            assert_eq!(metadata["annotations"]["helm.sh/resource-policy"], "keep");
            assert_eq!(
                metadata["annotations"]["argocd.argoproj.io/sync-options"],
                "Delete=false,Prune=false"
            );
        }
        assert!(names(&helm.manifests("createNamespaces: false"), "Namespace").is_empty());
    }
}

#[test]
fn the_priority_class_preempts_nobody_and_can_be_left_to_others() {
    for helm in helms("the PriorityClass") {
        let all = helm.manifests("");
        let class = the(&all, "PriorityClass");
        // The API server does not keep a false: a manifest that says it is applied anew for ever.
        assert!(class["globalDefault"].is_null());
        assert_eq!(
            (&class["value"], &class["preemptionPolicy"]),
            (&json!(1_000_000), &json!("Never"))
        );
        let all = helm.manifests("priorityClass: {create: false, name: theirs}");
        assert!(names(&all, "PriorityClass").is_empty());
        assert!(strings(&container(&all)["args"]).contains(&"--priority-class=theirs"));
        let refused = helm.with_values("priorityClass: {name: ''}");
        assert!(
            !refused.good && refused.all.contains("priorityClass.name is needed"),
            "{}",
            refused.all
        );
    }
}

/// The ports of each rule of a NetworkPolicy and who it lets in.
fn let_in(policy: &Value) -> Vec<(Vec<u64>, Value)> {
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress"]));
    let rules = policy["spec"]["ingress"].as_array().unwrap().iter();
    rules
        .map(|rule| {
            let ports = rule["ports"].as_array().unwrap().iter();
            let ports = ports.map(|port| {
                assert_eq!(port["protocol"], "TCP");
                port["port"].as_u64().unwrap()
            });
            (ports.collect(), rule["from"].clone())
        })
        .collect()
}

/// The operator's pods, as a NetworkPolicy of another namespace names them.
fn operator(set: &[Value]) -> Value {
    let pods = &the(set, "Deployment")["spec"]["selector"]["matchLabels"];
    json!([{
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "tracepipe-system" } },
        "podSelector": { "matchLabels": pods },
    }])
}

#[test]
fn network_policies_let_in_whoever_is_named_at_the_ports_that_are_served() {
    for helm in helms("NetworkPolicies") {
        assert!(names(&helm.manifests(""), "NetworkPolicy").is_empty());
        let all = helm.manifests(&ci_file("everything"));
        let policies = of_kind(&all, "NetworkPolicy");
        assert_eq!(policies.len(), 3);
        let values: Value = serde_saphyr::from_str(&ci_file("everything")).unwrap();
        let (otlp, metrics) = (
            &values["networkPolicy"]["otlpFrom"],
            &values["networkPolicy"]["metricsFrom"],
        );
        for policy in policies {
            let selected = &policy["spec"]["podSelector"]["matchLabels"];
            if policy["metadata"]["namespace"] == "tracepipe-system" {
                assert_eq!(
                    selected,
                    &the(&all, "Deployment")["spec"]["selector"]["matchLabels"]
                );
                assert_eq!(let_in(policy), [(vec![8080], metrics.clone())]);
                continue;
            }
            let collectors = json!({
                "app.kubernetes.io/name": "tracepipe-collector",
                "app.kubernetes.io/managed-by": "tracepipe-operator",
            });
            assert_eq!(selected, &collectors);
            let expected = [
                (vec![4317, 4318], otlp.clone()),
                (vec![8888], metrics.clone()),
                (vec![13133], operator(&all)),
            ];
            assert_eq!(let_in(policy), expected);
        }
        // An empty list is no `from` at all, which is everybody; an empty `from` would be nobody on some plugins.
        let open = helm.manifests("networkPolicy: {create: true}");
        for policy in of_kind(&open, "NetworkPolicy") {
            for (ports, from) in let_in(policy) {
                let expected = if ports == [13133] {
                    operator(&open)
                } else {
                    Value::Null
                };
                assert_eq!(from, expected, "{policy:#}");
            }
        }
        let refused = helm.with_values("networkPolicy: {create: true}\nwatchNamespaces: ['*']");
        assert!(
            !refused.good && refused.all.contains("watchNamespaces must name them"),
            "{}",
            refused.all
        );
        let refused = helm.with_values("networkPolicy: {create: true, otlpFrom: [{podSelecter: {}}]}");
        assert!(
            !refused.good && refused.all.contains("podSelecter"),
            "{}",
            refused.all
        );
    }
}

/// The selector of the policies is the operator's own labels of the pods.
#[test]
fn the_pods_of_a_pipeline_are_those_that_the_network_policies_select() {
    let rendered = text("operator/testdata/rendered/minimal.manifests.yaml");
    let set = crate::documents(&rendered);
    let template = &the(&set, "DaemonSet")["spec"]["template"];
    let labels = &template["metadata"]["labels"];
    assert_eq!(labels["app.kubernetes.io/name"], "tracepipe-collector");
    assert_eq!(labels["app.kubernetes.io/managed-by"], "tracepipe-operator");
    let ports = template["spec"]["containers"][0]["ports"].as_array().unwrap();
    let ports: Vec<_> = ports
        .iter()
        .map(|port| port["containerPort"].as_u64().unwrap())
        .collect();
    // Health is the kubelet's.
    assert_eq!(ports, [4317, 4318, 8888, 13133]);
}

#[test]
fn extra_certificates_reach_the_operator_and_a_change_of_them_starts_it_anew() {
    let bundle = |body: &str| {
        format!("aws: {{caBundle: \"-----BEGIN CERTIFICATE-----\\n{body}\\n-----END CERTIFICATE-----\\n\"}}")
    };
    for helm in helms("extra certificates") {
        let (one, other) = (helm.manifests(&bundle("AAAA")), helm.manifests(&bundle("BBBB")));
        let pem = the(&one, "ConfigMap")["data"]["ca.pem"].as_str().unwrap();
        assert_eq!(
            pem,
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        );
        let pod = &the(&one, "Deployment")["spec"]["template"];
        assert_eq!(
            pod["spec"]["volumes"][0]["configMap"]["name"],
            the(&one, "ConfigMap")["metadata"]["name"]
        );
        let mount = json!([{ "name": "ca", "mountPath": "/etc/tracepipe/ca", "readOnly": true }]);
        assert_eq!(container(&one)["volumeMounts"], mount);
        let hash = |all: &[Value]| {
            the(all, "Deployment")["spec"]["template"]["metadata"]["annotations"]["tracepipe.dev/ca-hash"]
                .clone()
        };
        assert!(hash(&one).is_string());
        assert_ne!(hash(&one), hash(&other));
        assert!(names(&helm.manifests(""), "ConfigMap").is_empty());
    }
}

#[test]
fn a_pipeline_comes_with_the_release_where_somebody_serves_it() {
    for helm in helms("a pipeline in the release") {
        let all = helm.manifests(&ci_file("pipeline"));
        let pipeline = the(&all, "TracingPipeline");
        assert_eq!(pipeline["metadata"]["name"], "otel-collector");
        assert_eq!(pipeline["metadata"]["namespace"], "tracing");
        assert_eq!(pipeline["spec"]["samplingRatePercentage"], "0.5");
        assert!(names(&helm.manifests(""), "TracingPipeline").is_empty());

        let refused =
            helm.with_values("pipeline: {create: true, namespace: elsewhere, spec: {clusterName: a}}");
        assert!(
            !refused.good && refused.all.contains("not in watchNamespaces (tracing)"),
            "{}",
            refused.all
        );
        let everywhere =
            "watchNamespaces: ['*']\npipeline: {create: true, namespace: elsewhere, spec: {clusterName: a}}";
        assert_eq!(
            the(&helm.manifests(everywhere), "TracingPipeline")["metadata"]["namespace"],
            "elsewhere"
        );
    }
}

#[test]
fn every_object_says_where_it_belongs() {
    const OF_THE_CLUSTER: [&str; 4] = ["ClusterRole", "ClusterRoleBinding", "Namespace", "PriorityClass"];
    for helm in helms("labels and namespaces of the objects") {
        for values in ci_files() {
            for object in helm.manifests(&values) {
                let metadata = &object["metadata"];
                let kind = object["kind"].as_str().unwrap();
                assert_eq!(
                    metadata["labels"]["app.kubernetes.io/part-of"], "tracepipe",
                    "{kind}"
                );
                assert_eq!(
                    metadata["namespace"].is_null(),
                    OF_THE_CLUSTER.contains(&kind),
                    "{kind}"
                );
            }
        }
    }
}

//! What the tests stand on: the cluster, the fakes on it, the operator that Helm installed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::OnceCell;
use tracepipe_e2e::cluster::kube_api::{KubeApi, Patch};
use tracepipe_e2e::cluster::wait::wait_until;
use tracepipe_e2e::cluster::{
    AWS_CA_VARIABLE, BIN_VARIABLE, DIR_VARIABLE, FAKE_AWS_VARIABLE, ISSUER, REGION,
};
use tracepipe_e2e::http_get::http_request;
use tracepipe_e2e::operator::find_binary;

/// A pod starts in seconds; two cores under the rest of the tests make it more.
pub(crate) const LIMIT: Duration = Duration::from_secs(180);

/// Namespaces of the operator that Helm installed. Each test has its own, but for `default`, which is anybody's.
pub(crate) const WATCHED: [&str; 8] = [
    "tracing",
    "default",
    "tp-names",
    "tp-broken",
    "tp-rules",
    "tp-steady",
    "tp-gone",
    "tp-nodes",
];

/// Bounds the roles that operators make.
pub(crate) const BOUNDARY: &str = "arn:aws:iam::111122223333:policy/tracing-boundary";
/// The account of the fake STS.
pub(crate) const ACCOUNT: &str = "111122223333";

static INSTALLED: OnceCell<()> = OnceCell::const_new();

/// The cluster, with the operator on it.
pub(crate) struct Rig {
    pub(crate) api: KubeApi,
    bin: PathBuf,
    fakes: String,
}

/// What `iam-policy` prints for the cluster of the tests.
pub(crate) async fn operators_policy() -> anyhow::Result<String> {
    let words = ["iam-policy", "--account", ACCOUNT, "--cluster-name", "prod-eu"];
    let printed = Command::new(find_binary()?)
        .args(words)
        .args(["--permissions-boundary", BOUNDARY])
        .output()
        .await?;
    ensure!(
        printed.status.success(),
        "{}",
        String::from_utf8_lossy(&printed.stderr)
    );
    Ok(String::from_utf8(printed.stdout)?)
}

/// None without a cluster, after saying so.
pub(crate) async fn rig() -> Option<Rig> {
    let rig = bare_rig()?;
    INSTALLED
        .get_or_init(|| async { rig.install().await.expect("Helm installs the operator") })
        .await;
    Some(rig)
}

/// The cluster as it is.
pub(crate) fn bare_rig() -> Option<Rig> {
    let in_a_cluster = std::env::var_os(DIR_VARIABLE).is_some_and(|value| !value.is_empty());
    if !in_a_cluster {
        left_out("the two-node cluster: started by scripts/cluster.sh test");
        return None;
    }
    Some(Rig {
        api: KubeApi::from_environment().unwrap(),
        bin: PathBuf::from(needed(BIN_VARIABLE)),
        fakes: needed(FAKE_AWS_VARIABLE),
    })
}

/// What `tracepipe-cluster run` sets for its command.
fn needed(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set"))
}

/// The Python with the OpenTelemetry SDK; without it, says what is left out.
pub(crate) fn named_python() -> Option<PathBuf> {
    let named = std::env::var_os("TRACEPIPE_PYTHON").filter(|value| !value.is_empty());
    if named.is_none() {
        left_out("applications on the cluster (TRACEPIPE_PYTHON is not set)");
    }
    named.map(PathBuf::from)
}

fn left_out(what: &str) {
    // Not a print macro: the test harness would swallow it.
    let line = format!("left out: {what}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// A file of the project.
pub(crate) fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Where TracingPipelines of a namespace are.
fn pipelines(namespace: &str) -> String {
    format!("/apis/tracepipe.dev/v1alpha1/namespaces/{namespace}/tracingpipelines")
}

/// A TracingPipeline with this spec.
fn pipeline(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "tracepipe.dev/v1alpha1",
        "kind": "TracingPipeline",
        "metadata": { "name": name },
        "spec": spec,
    })
}

/// A spec that needs no role.
pub(crate) fn ambient() -> Value {
    json!({ "clusterName": "prod-eu", "identity": { "type": "Ambient" } })
}

/// The trust policy of a role of one ServiceAccount.
pub(crate) fn trust_in(namespace: &str, account: &str) -> Value {
    let issuer = ISSUER.trim_start_matches("https://");
    let subject = format!("system:serviceaccount:{namespace}:{account}");
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Federated": format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{issuer}") },
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {
                    format!("{issuer}:sub"): subject,
                    format!("{issuer}:aud"): "sts.amazonaws.com",
                },
            },
        }],
    })
}

fn find_condition<'a>(pipeline: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = pipeline["status"]["conditions"].as_array()?;
    conditions.iter().find(|one| one["type"] == kind)
}

/// Status and reason of a condition, `-` where there is none.
pub(crate) fn condition(pipeline: &Value, kind: &str) -> (String, String) {
    let text = |key: &str| {
        let found = find_condition(pipeline, kind).and_then(|one| one[key].as_str());
        found.unwrap_or("-").to_owned()
    };
    (text("status"), text("reason"))
}

/// The message of a condition.
pub(crate) fn message(pipeline: &Value, kind: &str) -> String {
    let found = find_condition(pipeline, kind).and_then(|one| one["message"].as_str());
    found.unwrap_or_default().to_owned()
}

impl Rig {
    /// Gives the operator one argument more, and waits until it runs with it.
    pub(crate) async fn tell_operator(&self, argument: &str) {
        let patch = format!(
            r#"[{{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"{argument}"}}]"#
        );
        for command in [
            format!("patch deployment tracepipe -n tracepipe-system --type=json -p={patch}"),
            "rollout status deployment/tracepipe -n tracepipe-system --timeout=120s".to_owned(),
        ] {
            self.kubectl(&command).await.unwrap();
        }
    }

    /// By Helm 4, whose --wait waits for the pipeline of the release as well.
    async fn install(&self) -> anyhow::Result<()> {
        let deployment = "/apis/apps/v1/namespaces/tracepipe-system/deployments/tracepipe";
        // An earlier process of these tests has done it.
        if self.api.get(deployment).await?.found()?.is_some() {
            return Ok(());
        }
        let operator = self
            .let_operator_make_roles("tracepipe-system", "tracepipe")
            .await?;
        let spec = json!({ "clusterName": "prod-eu" });
        let ca = std::env::var(AWS_CA_VARIABLE).context(AWS_CA_VARIABLE)?;
        let chart = project("charts/tracepipe").display().to_string();
        let mut args: Vec<String> = ["install", "tracepipe", &chart, "--namespace", "tracepipe-system"]
            .map(str::to_owned)
            .into();
        for setting in [
            format!("watchNamespaces={{{}}}", WATCHED.join(",")),
            "image.operator.pullPolicy=Never".to_owned(),
            "image.collector.pullPolicy=Never".to_owned(),
            "log.level=debug".to_owned(),
            "pipeline.create=true".to_owned(),
            "aws.clusterName=prod-eu".to_owned(),
            format!("aws.operatorRoleArn={operator}"),
            format!("aws.permissionsBoundary={BOUNDARY}"),
            format!("aws.region={REGION}"),
        ] {
            args.extend(["--set".to_owned(), setting]);
        }
        args.extend(["--set-file".to_owned(), format!("aws.caBundle={ca}")]);
        args.extend(["--set-json".to_owned(), format!("pipeline.spec={spec}")]);
        args.extend(["--create-namespace", "--wait", "--timeout", "4m"].map(str::to_owned));
        self.run("helm4", &args).await?;
        // Helm has waited: what it waited for is true now, not soon.
        let pipeline = self.pipeline("tracing", "otel-collector").await?;
        let ready = condition(&pipeline, "Ready").0 == "True";
        ensure!(ready, "Helm returned before Ready: {}", pipeline["status"]);
        Ok(())
    }

    /// Runs one of the cluster's programs; its output when it succeeds.
    pub(crate) async fn run(&self, program: &str, args: &[String]) -> anyhow::Result<String> {
        let output = self.try_run(program, args).await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if !output.status.success() {
            let said = text(&output.stdout) + &text(&output.stderr);
            bail!("{program} {}: {said}", args.join(" "));
        }
        Ok(text(&output.stdout))
    }

    /// Runs one of the cluster's programs to its end.
    pub(crate) async fn try_run(&self, program: &str, args: &[String]) -> anyhow::Result<Output> {
        let running = self.command(program).args(args).output();
        let output = tokio::time::timeout(Duration::from_secs(300), running);
        output
            .await
            .with_context(|| format!("{program} {args:?} does not end"))?
            .with_context(|| format!("starting {program}"))
    }

    /// One of the cluster's programs.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.kill_on_drop(true);
        command
    }

    /// `kubectl` with words.
    pub(crate) async fn kubectl(&self, words: &str) -> anyhow::Result<String> {
        let args: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        self.run("kubectl", &args).await
    }

    /// Tells the fake IAM of a role that trusts one ServiceAccount; answers its ARN.
    pub(crate) async fn make_role(
        &self,
        name: &str,
        namespace: &str,
        account: &str,
    ) -> anyhow::Result<String> {
        let arn = format!("arn:aws:iam::{ACCOUNT}:role/{name}");
        let trust = trust_in(namespace, account);
        let role = json!({ "arn": arn, "trust": trust }).to_string();
        let (status, text) = self.fakes(Method::POST, "/_fake/roles", &role).await?;
        ensure!(status.is_success(), "{status}: {text}");
        Ok(arn)
    }

    /// Gives an operator's ServiceAccount a role with the policy that `iam-policy` prints, in an account that has the
    /// boundary; answers the role's ARN. IAM asks that policy from then on, whoever calls.
    pub(crate) async fn let_operator_make_roles(
        &self,
        namespace: &str,
        account: &str,
    ) -> anyhow::Result<String> {
        let policy = operators_policy().await?;
        for (path, body) in [
            ("/_fake/iam/managed_policies", json!(BOUNDARY).to_string()),
            ("/_fake/iam/policy", policy),
        ] {
            let (status, text) = self.fakes(Method::POST, path, &body).await?;
            ensure!(status.is_success(), "{path}: {status}: {text}");
        }
        self.make_role("tracepipe-operator", namespace, account).await
    }

    /// The roles that IAM has.
    pub(crate) async fn iam_roles(&self) -> anyhow::Result<Vec<Value>> {
        let (status, text) = self.fakes(Method::GET, "/_fake/iam/roles", "").await?;
        ensure!(status.is_success(), "{status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Asks the fakes' control server.
    pub(crate) async fn fakes(
        &self,
        method: Method,
        path: &str,
        body: &str,
    ) -> anyhow::Result<(StatusCode, String)> {
        http_request(&format!("{}{path}", self.fakes), method, body).await
    }

    /// One object by its path.
    pub(crate) async fn object(&self, path: &str) -> anyhow::Result<Value> {
        self.api.get(path).await?.success()
    }

    /// The objects of a list.
    pub(crate) async fn list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let list = self.object(path).await?;
        list["items"].as_array().cloned().context("a list")
    }

    /// A TracingPipeline as it is now.
    pub(crate) async fn pipeline(&self, namespace: &str, name: &str) -> anyhow::Result<Value> {
        self.object(&format!("{}/{name}", pipelines(namespace))).await
    }

    /// Makes a TracingPipeline.
    pub(crate) async fn create(&self, namespace: &str, name: &str, spec: &Value) -> anyhow::Result<Value> {
        let answer = self
            .api
            .post(&pipelines(namespace), &pipeline(name, spec))
            .await?;
        answer.success()
    }

    /// Changes a spec.
    pub(crate) async fn change(&self, namespace: &str, name: &str, spec: Value) -> anyhow::Result<Value> {
        let path = format!("{}/{name}", pipelines(namespace));
        let patch = json!({ "spec": spec });
        self.api.patch(&path, Patch::Merge(&patch)).await?.success()
    }

    /// Removes a TracingPipeline, or a whole namespace with `name` None.
    pub(crate) async fn remove(&self, namespace: &str, name: Option<&str>) -> anyhow::Result<()> {
        let path = match name {
            Some(name) => format!("{}/{name}", pipelines(namespace)),
            None => format!("/api/v1/namespaces/{namespace}"),
        };
        self.api.delete(&path, None).await?.success().map(|_| ())
    }

    /// Waits until a condition of a TracingPipeline is so, for its newest generation; answers the resource.
    pub(crate) async fn until(&self, namespace: &str, name: &str, kind: &str, wanted: (&str, &str)) -> Value {
        let what = format!("{kind} {wanted:?} of {namespace}/{name}");
        let found = wait_until(&what, LIMIT, || async {
            let pipeline = self.pipeline(namespace, name).await?;
            let (status, reason) = condition(&pipeline, kind);
            let current = pipeline["status"]["observedGeneration"] == pipeline["metadata"]["generation"];
            let so = current && status == wanted.0 && reason == wanted.1;
            ensure!(so, "{}", pipeline["status"]);
            Ok(pipeline)
        });
        found.await.unwrap()
    }

    /// Waits until it is Ready.
    pub(crate) async fn until_ready(&self, namespace: &str, name: &str) -> Value {
        self.until(namespace, name, "Ready", ("True", "Ready")).await
    }

    /// The pods of a pipeline's collectors that are not on their way out.
    pub(crate) async fn pods(&self, namespace: &str, name: &str) -> anyhow::Result<Vec<Value>> {
        let labels = format!("app.kubernetes.io/instance%3D{name},app.kubernetes.io/component%3Dcollector");
        let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector={labels}");
        let mut pods = self.list(&path).await?;
        pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        Ok(pods)
    }

    /// Their UIDs, to see whether pods are the same ones.
    pub(crate) async fn pod_ids(&self, namespace: &str, name: &str) -> Vec<String> {
        let pods = self.pods(namespace, name).await.unwrap();
        let mut ids: Vec<String> = pods
            .iter()
            .map(|pod| pod["metadata"]["uid"].to_string())
            .collect();
        ids.sort();
        ids
    }

    /// Makes a namespace as the chart does, for tests that run an operator of their own.
    pub(crate) async fn make_namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": { "name": name, "labels": { "pod-security.kubernetes.io/enforce": "restricted" } },
        });
        let answer = self.api.post("/api/v1/namespaces", &namespace).await?;
        let there = answer.status.is_success() || answer.status == StatusCode::CONFLICT;
        ensure!(there, "{}", answer.message());
        Ok(())
    }
}

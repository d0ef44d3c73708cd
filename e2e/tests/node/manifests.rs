//! `deploy/`, as somebody without Helm uses it. First of all tests: Helm installs the same names afterwards.

pub(crate) mod first {
    use crate::rig::{bare_rig, project};

    #[tokio::test(flavor = "multi_thread")]
    async fn plain_kubectl_apply_of_everything_in_deploy_works() {
        let Some(rig) = bare_rig() else { return };
        let deploy = project("deploy");
        let apply = |what: &str| format!("apply --filename {}", deploy.join(what).display());
        let run = async |words: String| {
            let args: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            let output = rig.try_run("kubectl", &args).await.unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{words}: {said}");
            assert!(!said.contains("Warning"), "{words}: {said}");
        };
        run(format!("apply --filename {}", deploy.display())).await;
        run(
            "wait --namespace tracepipe-system --timeout=180s --for=condition=Available deployment/tracepipe"
                .to_owned(),
        )
        .await;
        run(apply("examples/pipeline-minimal.yaml")).await;
        // As it comes the operator makes no roles, and says what to do.
        let refused = ("False", "ManagedRolesOff");
        rig.until("tracing", "otel-collector", "ConfigAccepted", refused)
            .await;
        let role = serde_json::json!({ "identity": { "roleArn": "arn:aws:iam::111122223333:role/prod-eu-tracing" } });
        rig.change("tracing", "otel-collector", role).await.unwrap();
        rig.until_ready("tracing", "otel-collector").await;
        run(apply("examples/pipeline-full.yaml")).await;
        let kustomize = format!("apply --kustomize {} --dry-run=server", deploy.display());
        run(kustomize).await;
        // All of it goes again, as it came.
        let delete = |what: &str| {
            format!(
                "delete --wait=true --timeout=120s --filename {}",
                deploy.join(what).display()
            )
        };
        run(delete("examples/pipeline-full.yaml")).await;
        run(format!(
            "{} --ignore-not-found",
            delete("examples/pipeline-minimal.yaml")
        ))
        .await;
        run(delete("install.yaml")).await;
        let left = rig
            .api
            .get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/tracingpipelines.tracepipe.dev");
        assert_eq!(left.await.unwrap().found().unwrap(), None);
    }
}

/// A second release, in a namespace of its own.
const RELEASE: &str = "tp-helm";

#[tokio::test(flavor = "multi_thread")]
async fn helm_4_waits_for_the_pipeline_and_helm_3_installs_as_well() {
    let Some(rig) = crate::rig::rig().await else {
        return;
    };
    let chart = crate::rig::project("charts/tracepipe").display().to_string();
    let install = async |program: &str, spec: &serde_json::Value| {
        let words = [
            "install",
            "second",
            &chart,
            "--namespace",
            RELEASE,
            "--create-namespace",
        ];
        let mut args: Vec<String> = words.map(str::to_owned).into();
        for setting in [
            &format!("watchNamespaces={{{RELEASE}}}"),
            "createNamespaces=false",
            "priorityClass.create=false",
            "image.operator.pullPolicy=Never",
            "image.collector.pullPolicy=Never",
            "pipeline.create=true",
            &format!("pipeline.namespace={RELEASE}"),
        ] {
            args.extend(["--set".to_owned(), setting.to_owned()]);
        }
        args.extend(["--set-json".to_owned(), format!("pipeline.spec={spec}")]);
        args.extend(["--wait", "--timeout", "60s"].map(str::to_owned));
        rig.run(program, &args).await
    };
    let uninstall = ["uninstall", "second", "--namespace", RELEASE].map(str::to_owned);
    let mut nowhere = crate::rig::ambient();
    nowhere["collector"] = serde_json::json!({ "nodeSelector": { "tracepipe.dev/test-pool": "nowhere" } });
    let outcome = install("helm4", &nowhere).await;
    let error = format!("{:#}", outcome.map(|_| "Helm 4 returned").unwrap_err());
    let found = rig.pipeline(RELEASE, "otel-collector").await.unwrap();
    let (status, reason) = crate::rig::condition(&found, "Ready");
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", "NoEligibleNodes"),
        "{error}"
    );
    rig.run("helm4", &uninstall).await.unwrap();

    install("helm3", &crate::rig::ambient()).await.unwrap();
    rig.until_ready(RELEASE, "otel-collector").await;
    rig.run("helm3", &uninstall).await.unwrap();
}

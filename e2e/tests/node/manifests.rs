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
        run(apply("install.yaml")).await;
        run("wait --timeout=60s --for=condition=Established crd/tracingpipelines.tracepipe.dev".to_owned())
            .await;
        run(
            "wait --namespace tracepipe-system --timeout=180s --for=condition=Available deployment/tracepipe"
                .to_owned(),
        )
        .await;
        run(apply("crd.yaml")).await;
        run(apply("examples/pipeline-minimal.yaml")).await;
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

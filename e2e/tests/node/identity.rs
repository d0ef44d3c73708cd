//! The roles that the operator makes, on the real API server: whatever ends it, whatever AWS does, whoever goes first.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};
use tracepipe_e2e::cluster::wait::wait_until;
use tracepipe_e2e::cluster::{ISSUER, REGION};
use tracepipe_e2e::fake_aws::{FakeAws, Options};
use tracepipe_e2e::fake_sts::{self, KeySource, Script};
use tracepipe_e2e::fake_xray::sigv4::Credentials;

use crate::account::{Account, shipped};
use crate::operator::OwnOperator;
use crate::rig::{self, ACCOUNT, BOUNDARY, LIMIT, Rig, condition, rig};
use crate::steady::{audit_place, operators_writes_since, rights_used_since};

const CRASHES: &str = "tp-role-crashes";
const GONE: &str = "tp-role-gone";
const UNINSTALL: &str = "tp-uninstall";
/// The operator's own key, to be seen nowhere.
pub(crate) const SECRET: &str = "CANARY/of/the/operators/own/key/0123456789";
/// "Within a minute."
const MINUTE: Duration = Duration::from_secs(60);
/// Points of a life at which the operator is killed: so many writes after its first.
const POINTS: [usize; 10] = [1, 2, 3, 5, 7, 9, 11, 13, 15, 18];

/// An AWS of a test's own, which believes the tokens of the cluster's API server.
pub(crate) struct Aws {
    aws: FakeAws,
    _ca: tempfile::NamedTempFile,
}

impl Aws {
    pub(crate) async fn start(rig: &Rig) -> anyhow::Result<Self> {
        let config = rig.kubectl("config view --raw --output json").await?;
        let config: Value = serde_json::from_str(&config)?;
        let cluster = &config["clusters"][0]["cluster"];
        let server = cluster["server"].as_str().context("a server")?;
        let ca = tempfile::NamedTempFile::new()?;
        match cluster["certificate-authority"].as_str() {
            Some(file) => drop(std::fs::copy(file, ca.path())?),
            None => {
                let data = cluster["certificate-authority-data"]
                    .as_str()
                    .context("an authority")?;
                std::fs::write(ca.path(), STANDARD.decode(data)?)?;
            }
        }
        let aws = FakeAws::start(Options {
            sts: fake_sts::Options {
                account: ACCOUNT.to_owned(),
                region: REGION.to_owned(),
                issuer: ISSUER.to_owned(),
                audiences: vec!["sts.amazonaws.com".to_owned()],
                keys: KeySource {
                    ca_file: Some(ca.path().to_owned()),
                    ..KeySource::new(format!("{server}/openid/v1/jwks").parse()?)
                },
            },
            tls: None,
            listen: None,
            control: None,
        })
        .await?;
        aws.sts().add_user(
            "operator",
            Credentials {
                access_key_id: "AKIAOPERATOR00000000".to_owned(),
                secret_access_key: SECRET.to_owned(),
                session_token: None,
                expires: None,
            },
        );
        let policy: Value = serde_json::from_str(&rig::operators_policy().await?)?;
        aws.iam()
            .set_caller_policy(Some(&policy))
            .map_err(anyhow::Error::msg)?;
        aws.iam().add_managed_policy(BOUNDARY);
        Ok(Self { aws, _ca: ca })
    }

    /// As the cluster's administrator.
    async fn operator(&self, namespace: &str) -> OwnOperator {
        let administrator = std::env::var_os("KUBECONFIG").unwrap();
        self.operator_as(Path::new(&administrator), namespace).await
    }

    /// As whom the kubeconfig says.
    pub(crate) async fn operator_as(&self, kubeconfig: &Path, namespaces: &str) -> OwnOperator {
        let url = self.aws.url();
        let env = [
            ("AWS_ACCESS_KEY_ID", "AKIAOPERATOR00000000"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_ENDPOINT_URL_IAM", url.as_str()),
            ("AWS_ENDPOINT_URL_STS", url.as_str()),
            ("TRACEPIPE_ISSUER", ISSUER),
        ];
        let env: BTreeMap<String, String> = env
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let args = [
            "--cluster-name",
            "prod-eu",
            "--region",
            REGION,
            "--permissions-boundary",
            BOUNDARY,
        ];
        OwnOperator::start_as(kubeconfig, namespaces, &args, env)
            .await
            .unwrap()
    }

    fn writes(&self) -> usize {
        self.aws.iam().calls().iter().filter(|call| call.write).count()
    }

    /// The UIDs that the account's roles are tagged with.
    fn owners(&self) -> Vec<String> {
        let roles = self.aws.iam().roles();
        let tag = |role: &tracepipe_e2e::fake_iam::Role| role.tags.get("tracepipe.dev/uid").cloned();
        roles.iter().filter_map(tag).collect()
    }

    fn fail(&self, failing: bool) {
        let script = failing.then(|| Script {
            calls: None,
            status: 503,
            code: "ServiceUnavailable".to_owned(),
        });
        self.aws.iam().set_script(script);
    }
}

/// A pipeline that needs a role and no pod, so that the cluster has nothing to start.
pub(crate) fn nowhere() -> Value {
    json!({
        "clusterName": "prod-eu",
        "collector": { "nodeSelector": { "tracepipe.dev/test-pool": "nowhere" } },
    })
}

async fn until_verified(rig: &Rig, namespace: &str, name: &str) -> Value {
    rig.until(
        namespace,
        name,
        "CollectorAvailable",
        ("False", "NoEligibleNodes"),
    )
    .await;
    rig.until(namespace, name, "IdentityReady", ("True", "Verified"))
        .await
}

/// Twenty points: ten in the making of a role, ten in its end.
#[tokio::test(flavor = "multi_thread")]
async fn killed_after_any_write_an_operator_leaves_one_role_and_later_none() {
    let Some(rig) = rig().await else { return };
    rig.make_namespace(CRASHES).await.unwrap();
    let aws = Aws::start(&rig).await.unwrap();
    for point in POINTS {
        let name = format!("point-{point}");
        let operator = aws.operator(CRASHES).await;
        let from = (audit_place(), aws.writes());
        rig.create(CRASHES, &name, &nowhere()).await.unwrap();
        until_so_many_writes(&aws, from, point).await;
        operator.kill();
        let operator = aws.operator(CRASHES).await;
        let pipeline = until_verified(&rig, CRASHES, &name).await;
        let uid = pipeline["metadata"]["uid"].as_str().unwrap().to_owned();
        assert_eq!(aws.owners(), [uid], "{name}");
        let from = (audit_place(), aws.writes());
        rig.remove(CRASHES, Some(&name)).await.unwrap();
        // An end has fewer writes.
        until_so_many_writes(&aws, from, 1 + point / 6).await;
        operator.kill();
        let _operator = aws.operator(CRASHES).await;
        wait_until("end of the resource", LIMIT, || async {
            let left = rig.pipeline(CRASHES, &name).await;
            ensure!(left.is_err(), "it is there: {}", left?["status"]);
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(aws.owners(), Vec::<String>::new(), "{name}");
    }
    let created = aws
        .aws
        .iam()
        .calls()
        .iter()
        .filter(|call| call.action == "CreateRole" && call.result == "OK")
        .count();
    assert_eq!(created, POINTS.len());
    rig.remove(CRASHES, None).await.unwrap();
}

/// Writes to Kubernetes and to IAM together. When fewer come, it is over, which is a point as well.
async fn until_so_many_writes(aws: &Aws, from: (u64, usize), wanted: usize) {
    let writes = || operators_writes_since(from.0, CRASHES) + aws.writes() - from.1;
    let reached = async {
        while writes() < wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    drop(tokio::time::timeout(Duration::from_secs(10), reached).await);
    assert!(writes() > 0, "the operator does nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_whose_role_cannot_be_deleted_says_why_and_goes_within_a_minute_of_the_repair() {
    let Some(rig) = rig().await else { return };
    let aws = Aws::start(&rig).await.unwrap();
    // The Role in the namespace goes with the namespace: what is left then is the ClusterRole.
    let (in_cluster, in_namespace) = shipped(&rig).await.unwrap();
    let account = Account::make(&rig, "tp-role-gone-system").await.unwrap();
    account.grant_in_cluster(&rig, &in_cluster).await.unwrap();
    for operator_is_down in [false, true] {
        rig.make_namespace(GONE).await.unwrap();
        account.grant(&rig, GONE, &in_namespace).await.unwrap();
        let mut operator = Some(aws.operator_as(account.kubeconfig(), GONE).await);
        rig.create(GONE, "main", &nowhere()).await.unwrap();
        until_verified(&rig, GONE, "main").await;
        aws.fail(true);
        if operator_is_down {
            operator = None;
        }
        rig.remove(GONE, None).await.unwrap();
        if operator_is_down {
            operator = Some(aws.operator_as(account.kubeconfig(), GONE).await);
        }
        // A namespace that goes takes no new events: the condition has to say it.
        wait_until("the reason", MINUTE, || async {
            let pipeline = rig.pipeline(GONE, "main").await?;
            let (status, reason) = condition(&pipeline, "IdentityReady");
            ensure!(
                status == "False" && reason == "AWSUnreachable",
                "{}",
                pipeline["status"]
            );
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(aws.owners().len(), 1);
        let role = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{GONE}/roles/operator");
        wait_until("end of the Role", LIMIT, || async {
            ensure!(rig.api.get(&role).await?.found()?.is_none(), "it is there");
            Ok(())
        })
        .await
        .unwrap();
        aws.fail(false);
        wait_until("end of the namespace", MINUTE, || async {
            let left = rig
                .api
                .get(&format!("/api/v1/namespaces/{GONE}"))
                .await?
                .found()?;
            ensure!(left.is_none(), "it is there");
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(aws.owners(), Vec::<String>::new());
        let log = operator.unwrap().log();
        assert!(!log.contains(SECRET) && !log.contains(account.token()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_uninstall_deletes_the_roles_and_leaves_pipelines_that_say_so() {
    let Some(rig) = rig().await else { return };
    let account = "roles-tracepipe";
    let role = rig
        .make_role("tracepipe-operator-2", UNINSTALL, account)
        .await
        .unwrap();
    let chart = rig::project("charts/tracepipe").display().to_string();
    let place = audit_place();
    for helm in ["helm4", "helm3"] {
        let ca = std::env::var(tracepipe_e2e::cluster::AWS_CA_VARIABLE).unwrap();
        let words = [
            "install",
            "roles",
            &chart,
            "--namespace",
            UNINSTALL,
            "--create-namespace",
            "--wait",
            "--timeout",
            "2m",
        ];
        let mut args: Vec<String> = words.map(str::to_owned).into();
        for setting in [
            &format!("watchNamespaces={{{UNINSTALL}}}"),
            "createNamespaces=false",
            "priorityClass.create=false",
            "image.operator.pullPolicy=Never",
            "image.collector.pullPolicy=Never",
            "aws.clusterName=prod-eu",
            &format!("aws.operatorRoleArn={role}"),
            &format!("aws.permissionsBoundary={BOUNDARY}"),
            &format!("aws.region={REGION}"),
        ] {
            args.extend(["--set".to_owned(), setting.to_owned()]);
        }
        args.extend(["--set-file".to_owned(), format!("aws.caBundle={ca}")]);
        rig.run(helm, &args).await.unwrap();
        // A role that stays is no role of a later resource of that name.
        let names = ["deleted", "retained"].map(|name| format!("{name}-{helm}"));
        let [deleted, retained_name] = &names;
        rig.create(UNINSTALL, deleted, &nowhere()).await.unwrap();
        let mut retained = nowhere();
        retained["identity"] = json!({ "deletionPolicy": "Retain" });
        rig.create(UNINSTALL, retained_name, &retained).await.unwrap();
        let mut uids = Vec::new();
        for name in &names {
            let pipeline = until_verified(&rig, UNINSTALL, name).await;
            uids.push(pipeline["metadata"]["uid"].as_str().unwrap().to_owned());
        }
        let words = ["uninstall", "roles", "--namespace", UNINSTALL, "--timeout", "5m"];
        rig.run(helm, &words.map(str::to_owned)).await.unwrap();
        let roles = rig.iam_roles().await.unwrap();
        let is_of = |uid: &String| {
            roles
                .iter()
                .any(|role| role["tags"]["tracepipe.dev/uid"] == json!(uid))
        };
        assert_eq!(
            uids.iter().map(is_of).collect::<Vec<_>>(),
            [false, true],
            "{helm}"
        );
        let deleted = rig.pipeline(UNINSTALL, deleted).await.unwrap();
        assert_eq!(
            condition(&deleted, "IdentityReady"),
            ("False".into(), "Uninstalled".into())
        );
        for name in &names {
            let pipeline = rig.pipeline(UNINSTALL, name).await.unwrap();
            assert!(pipeline["metadata"]["finalizers"].is_null(), "{helm}: {name}");
            rig.remove(UNINSTALL, Some(name)).await.unwrap();
        }
        wait_until("end of the pipelines", LIMIT, || async {
            let left = rig
                .list(&format!(
                    "/apis/tracepipe.dev/v1alpha1/namespaces/{UNINSTALL}/tracingpipelines"
                ))
                .await?;
            ensure!(left.is_empty(), "{left:?}");
            Ok(())
        })
        .await
        .unwrap();
    }
    let (_, calls) = rig.fakes(Method::GET, "/_fake/iam", "").await.unwrap();
    let calls: Vec<Value> = serde_json::from_str(&calls).unwrap();
    let trespasses = calls
        .iter()
        .filter(|call| call["write"] == true && call["result"] == "OK" && !call["uid_tag"].is_string());
    assert_eq!(trespasses.collect::<Vec<_>>(), Vec::<&Value>::new());
    // The job's own Role has no right that it does not use; the chart's tests have the same list.
    let used = rights_used_since(place, &format!("system:serviceaccount:{UNINSTALL}:{account}"));
    for (verb, group, resource) in [
        ("get", "apps", "deployments"),
        ("patch", "apps", "deployments/scale"),
        ("list", "", "pods"),
    ] {
        let is_used = used
            .iter()
            .any(|right| (&*right.verb, &*right.group, &*right.resource) == (verb, group, resource));
        assert!(is_used, "{verb} {resource}: {used:?}");
    }
}

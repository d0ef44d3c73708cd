//! Credentials from a web identity token, as in a pod: what the collector needs for that, and which authorities it
//! trusts on the way.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tracepipe_e2e::collector::{CollectorProcess, Start};
use tracepipe_e2e::fake_aws::{FakeAws, Options};
use tracepipe_e2e::fake_sts::pod_identity::{self, Association};
use tracepipe_e2e::fake_sts::trust::{ASSUME, Caller, Principal, Trust};
use tracepipe_e2e::fake_sts::{self, Call, KeyServer, Script, TestIssuer};
use tracepipe_e2e::fake_xray::TestTls;
use tracepipe_e2e::http_get::http_get;
use tracepipe_e2e::load::{LoadReport, Target};
use tracepipe_e2e::operator;
use tracepipe_e2e::otlp_sink::OtlpSink;
use tracepipe_e2e::process::Process;
use tracepipe_e2e::workload::Mix;

use crate::rig::{self, LIMIT, plain, send, settled, stop};

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const AUDIENCE: &str = "sts.amazonaws.com";
const ROLE: &str = "arn:aws:iam::111122223333:role/xray-writer";
const REGION: &str = "eu-west-1";
const ACCOUNT: (&str, &str) = ("tracing", "otel-collector-collector");
const AWS_ACCOUNT: &str = "111122223333";
const CLUSTER: &str = "prod";

/// Every trace is kept.
const ALL_FAIL: Mix = Mix {
    error_share: 1.0,
    slow_share: 0.0,
    slow_ms: 500,
};

/// The fakes under a test authority, and what a pod has in its files.
struct Pod {
    aws: FakeAws,
    /// PEM of the authority of the fakes.
    ca: String,
    issuer: TestIssuer,
    folder: TempDir,
    _keys: KeyServer,
}

/// The trust policy that the operator prints for a role of the collectors.
async fn trust(identity: Value) -> Value {
    let pipeline = json!({
        "apiVersion": "tracepipe.dev/v1alpha1",
        "kind": "TracingPipeline",
        "metadata": {"name": "otel-collector", "namespace": ACCOUNT.0},
        "spec": {"clusterName": CLUSTER, "region": REGION, "identity": identity},
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pipeline.to_string()).unwrap();
    let binary = operator::find_binary().unwrap();
    let role = operator::render_iam(&binary, file.path(), ISSUER, AWS_ACCOUNT)
        .await
        .unwrap();
    role["AssumeRolePolicyDocument"].clone()
}

fn by_role() -> Value {
    json!({"roleArn": ROLE})
}

fn by_association() -> Value {
    json!({"type": "PodIdentity"})
}

fn other_authority() -> String {
    TestTls::new(&[]).unwrap().ca_pem().to_owned()
}

/// A file in a folder as kubelet mounts a ConfigMap: behind two symbolic links.
fn mount(folder: &Path, pem: &str) {
    use std::os::unix::fs::symlink;
    let version = folder.join("..2026_11_21");
    std::fs::create_dir_all(&version).unwrap();
    std::fs::write(version.join("ca.pem"), pem).unwrap();
    symlink("..2026_11_21", folder.join("..data")).unwrap();
    symlink("..data/ca.pem", folder.join("ca.pem")).unwrap();
}

/// The variables of the operator's pods: the image's bundle of authorities, and a folder with one more.
fn authorities(folder: &Path, bundle: &str, extra: &str) -> [(&'static str, String); 2] {
    let (file, extra_folder) = (folder.join("bundle.pem"), folder.join("extra"));
    std::fs::write(&file, bundle).unwrap();
    mount(&extra_folder, extra);
    [
        ("SSL_CERT_FILE", file.display().to_string()),
        ("SSL_CERT_DIR", extra_folder.display().to_string()),
    ]
}

impl Pod {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tls = TestTls::new(&[]).unwrap();
        let ca = tls.ca_pem().to_owned();
        let issuer = TestIssuer::new(ISSUER, "key-1").unwrap();
        let keys = KeyServer::start(vec![issuer.jwk()], None).await.unwrap();
        let sts = fake_sts::Options {
            account: AWS_ACCOUNT.into(),
            region: REGION.into(),
            issuer: ISSUER.into(),
            audiences: vec![AUDIENCE.into()],
            keys: keys.source().unwrap(),
        };
        let options = Options {
            sts,
            tls: Some(tls),
            listen: None,
            control: None,
        };
        let aws = FakeAws::start(options).await.unwrap();
        aws.sts().set_role(ROLE, &trust(by_role()).await).unwrap();
        let pod = Self {
            aws,
            ca,
            issuer,
            folder,
            _keys: keys,
        };
        pod.project(ACCOUNT, AUDIENCE);
        pod
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Puts the token of a service account where kubelet would.
    fn project(&self, account: (&str, &str), audience: &str) {
        let claims = self.issuer.claims(account, audience);
        std::fs::write(self.path("token"), self.issuer.sign(&claims).unwrap()).unwrap();
    }

    /// The variables of the pod; the endpoints are where DNS would lead.
    async fn collector(&self, authorities: [(&str, String); 2]) -> CollectorProcess {
        let start = self
            .start(authorities)
            .env("AWS_ROLE_ARN", ROLE)
            .env("AWS_WEB_IDENTITY_TOKEN_FILE", self.path("token"));
        CollectorProcess::start(start).await.unwrap()
    }

    /// Without what says where credentials come from.
    fn start(&self, authorities: [(&str, String); 2]) -> Start {
        let start = Start::new(rig::example("seed1.yaml"))
            .set("processors.tail_sampling.decision_wait=1s")
            .set(format!("exporters.awsxray.region={REGION}"))
            .env("AWS_REGION", REGION)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL_STS", self.aws.url())
            .env("AWS_ENDPOINT_URL_XRAY", self.aws.url());
        authorities
            .into_iter()
            .fold(start, |start, (name, path)| start.env(name, path))
    }

    /// A collector that knows the authority of the fakes as the extra one.
    async fn usual_collector(&self) -> CollectorProcess {
        self.collector(authorities(self.folder.path(), &other_authority(), &self.ca))
            .await
    }

    /// Sends 20 failed traces; all their spans must be in X-Ray at the end.
    async fn exports(&self, collector: &CollectorProcess, before: u64) -> u64 {
        let report = send_failed(collector, before).await;
        let spans = before + report.spans;
        let account = settled(collector, spans).await;
        assert_eq!(account.sum("tracepipe_exporter_spans_lost"), 0);
        assert_eq!(self.aws.xray().counts().documents_accepted, spans);
        spans
    }

    async fn calls(&self, enough: impl Fn(&[Call]) -> bool) -> Vec<Call> {
        tokio::time::timeout(LIMIT, self.aws.sts().wait_until(enough))
            .await
            .unwrap();
        self.aws.sts().calls()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pods_own_token_is_all_it_needs() {
    let pod = Pod::new().await;
    let collector = pod.usual_collector().await;
    pod.exports(&collector, 0).await;
    stop(collector).await;
    let calls = pod.aws.sts().calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!(calls[0].result, "OK");
    assert_eq!(calls[0].service_account.as_deref(), Some(ACCOUNT.1));
    let counts = pod.aws.xray().counts();
    assert_eq!((counts.denied, counts.invalid), (0, 0), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_an_association_is_all_it_needs() {
    let pod = Pod::new().await;
    pod.aws
        .sts()
        .set_role(ROLE, &trust(by_association()).await)
        .unwrap();
    let association = Association {
        cluster: CLUSTER.into(),
        namespace: ACCOUNT.0.into(),
        service_account: ACCOUNT.1.into(),
        role: ROLE.into(),
    };
    let agent = pod.aws.pod_identity_agent(vec![association]).await.unwrap();
    pod.project((ACCOUNT.0, "default"), pod_identity::AUDIENCE);
    let start = pod
        .start(authorities(pod.folder.path(), &other_authority(), &pod.ca))
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.url())
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", pod.path("token"));
    let mut collector = CollectorProcess::start(start).await.unwrap();

    // Without an association of its own the spans wait, and nothing is sent without credentials.
    let report = send_failed(&collector, 1).await;
    let refused = |line: &str| line.contains("credentials").then_some(());
    collector
        .process()
        .wait_for_line("refused credentials", LIMIT, refused)
        .await
        .unwrap();
    assert_eq!(pod.aws.xray().counts().requests, 0);

    pod.project(ACCOUNT, pod_identity::AUDIENCE);
    let account = settled(&collector, report.spans).await;
    assert_eq!(account.sum("tracepipe_exporter_spans_lost"), 0);
    assert_eq!(pod.aws.xray().counts().documents_accepted, report.spans);
    // The agent asks for it.
    assert_eq!(pod.aws.sts().calls(), []);
    stop(collector).await;
}

/// Callers that differ from the collectors in one thing each, and the collectors first.
fn callers(principal: &Principal, actions: &'static [&'static str], context: &[(&str, &str)]) -> Vec<Caller> {
    let caller = |principal: &Principal, changed: Option<usize>| Caller {
        principal: principal.clone(),
        actions,
        context: context
            .iter()
            .enumerate()
            .map(|(at, (key, value))| {
                let value = if changed == Some(at) { "other" } else { value };
                (key.to_lowercase(), vec![value.to_owned()])
            })
            .collect(),
    };
    let mut callers = vec![caller(principal, None)];
    callers.extend((0..context.len()).map(|at| caller(principal, Some(at))));
    callers.push(caller(
        &Principal::Federated(format!("arn:aws:iam::{AWS_ACCOUNT}:oidc-provider/other")),
        None,
    ));
    callers.push(caller(&Principal::Service("ec2.amazonaws.com".into()), None));
    callers
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_policies_let_one_service_account_of_one_cluster_in_and_none_of_their_conditions_is_spare()
 {
    let provider = ISSUER.trim_start_matches("https://");
    let subject = format!("system:serviceaccount:{}:{}", ACCOUNT.0, ACCOUNT.1);
    let (sub, aud) = (format!("{provider}:sub"), format!("{provider}:aud"));
    let by_token = callers(
        &Principal::Federated(format!("arn:aws:iam::{AWS_ACCOUNT}:oidc-provider/{provider}")),
        &[ASSUME],
        &[(&sub, &subject), (&aud, AUDIENCE)],
    );
    let by_agent = callers(
        &Principal::Service(pod_identity::AUDIENCE.into()),
        &["sts:AssumeRole", "sts:TagSession"],
        &[
            ("aws:SourceAccount", AWS_ACCOUNT),
            ("aws:RequestTag/eks-cluster-name", CLUSTER),
            ("aws:RequestTag/kubernetes-namespace", ACCOUNT.0),
            ("aws:RequestTag/kubernetes-service-account", ACCOUNT.1),
        ],
    );
    for (identity, callers) in [(by_role(), by_token), (by_association(), by_agent)] {
        let policy = trust(identity).await;
        let lets_in = |policy: &Value| {
            let trust = Trust::parse(policy).unwrap();
            callers.iter().filter(|caller| trust.allows(caller)).count()
        };
        assert!(Trust::parse(&policy).unwrap().allows(&callers[0]), "{policy}");
        assert_eq!(lets_in(&policy), 1, "{policy}");
        let conditions = "/Statement/0/Condition/StringEquals";
        let keys: Vec<String> = policy
            .pointer(conditions)
            .unwrap()
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        assert_eq!(keys.len(), callers.len() - 3, "{policy}");
        for key in keys {
            let mut without = policy.clone();
            without
                .pointer_mut(conditions)
                .unwrap()
                .as_object_mut()
                .unwrap()
                .remove(&key);
            assert_eq!(lets_in(&without), 2, "without {key}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn authorities_of_the_bundle_and_of_the_extra_folder_are_trusted_together() {
    let pod = Pod::new().await;
    let other = other_authority();
    // As the extra one it is trusted in the other tests: that there is a folder does not put the bundle out of use.
    let collector = pod
        .collector(authorities(pod.folder.path(), &pod.ca, &other))
        .await;
    pod.exports(&collector, 0).await;
    stop(collector).await;

    let pod = Pod::new().await;
    let mut collector = pod
        .collector(authorities(pod.folder.path(), &other, &other))
        .await;
    send_failed(&collector, 1).await;
    let refused = |line: &str| line.contains("invalid peer certificate").then_some(());
    collector
        .process()
        .wait_for_line("refused authority", LIMIT, refused)
        .await
        .unwrap();
    assert_eq!(pod.aws.sts().calls(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bundle_of_awss_tools_stands_in_place_of_the_systems() {
    let pod = Pod::new().await;
    let bundle = pod.path("aws.pem");
    std::fs::write(&bundle, &pod.ca).unwrap();
    let [system, _] = authorities(pod.folder.path(), &other_authority(), &other_authority());
    let collector = pod.collector([system, ("AWS_CA_BUNDLE", bundle)]).await;
    pod.exports(&collector, 0).await;
}

/// Sends 20 failed traces, all of which are kept.
async fn send_failed(collector: &CollectorProcess, seed: u64) -> LoadReport {
    let target = Target::grpc(collector.grpc().unwrap());
    let report = send(target, &plain(seed, ALL_FAIL, 1000), 1).await;
    assert!(report.all_accepted(), "{:?}", report.answers);
    report
}

/// TLS in front of a server that has none.
async fn tls_front(tls: &TestTls, server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = tls.acceptor();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut outside = acceptor.accept(stream).await.unwrap();
                let mut inside = TcpStream::connect(server).await.unwrap();
                // How it ends is the matter of both sides.
                drop(copy_bidirectional(&mut outside, &mut inside).await);
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn the_otlp_exporter_trusts_the_same_authorities() {
    let tls = TestTls::new(&[]).unwrap();
    for is_extra in [true, false] {
        let sink = OtlpSink::start().await.unwrap();
        let front = tls_front(&tls, sink.address()).await;
        let folder = tempfile::tempdir().unwrap();
        let (right, other) = (tls.ca_pem(), &*other_authority());
        let (bundle, extra) = if is_extra { (other, right) } else { (right, other) };
        let start = Start::new(rig::example("otlp-out.yaml"))
            .set("processors.tail_sampling.decision_wait=1s")
            .set(format!("exporters.otlp.endpoint=https://{front}"))
            .set("exporters.otlp.tls=null");
        let start = authorities(folder.path(), bundle, extra)
            .into_iter()
            .fold(start, |start, (name, path)| start.env(name, path));
        let collector = CollectorProcess::start(start).await.unwrap();
        let report = send_failed(&collector, 1).await;
        settled(&collector, report.spans).await;
        assert_eq!(sink.counts().spans, report.spans, "extra: {is_extra}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_wait_while_the_token_is_anothers_and_go_when_it_is_right() {
    let pod = Pod::new().await;
    pod.project((ACCOUNT.0, "default"), AUDIENCE);
    let collector = pod.usual_collector().await;
    let report = send_failed(&collector, 1).await;
    let calls = pod.calls(|calls| calls.len() >= 2).await;
    assert!(
        calls.iter().all(|call| call.result == "AccessDenied"),
        "{calls:?}"
    );
    assert_eq!(calls[0].service_account.as_deref(), Some("default"));
    // Nothing was sent with other credentials, and nothing unsigned.
    assert_eq!(pod.aws.xray().counts().requests, 0);

    pod.project(ACCOUNT, AUDIENCE);
    let account = settled(&collector, report.spans).await;
    assert_eq!(account.sum("tracepipe_exporter_spans_lost"), 0);
    assert_eq!(pod.aws.xray().counts().documents_accepted, report.spans);
}

/// The longest part of a secret that looks the same however it is encoded.
fn plainest(secret: &str) -> &str {
    let parts = secret.split(|c: char| !c.is_ascii_alphanumeric());
    parts.max_by_key(|part| part.len()).unwrap()
}

/// Refused, delayed, given, given again, in the most talkative log.
#[tokio::test(flavor = "multi_thread")]
async fn neither_the_token_nor_the_credentials_are_logged_or_counted() {
    let pod = Pod::new().await;
    let mut secrets = Vec::new();
    let mut project = |account| {
        pod.project(account, AUDIENCE);
        secrets.push(std::fs::read_to_string(pod.path("token")).unwrap());
    };
    project((ACCOUNT.0, "default"));
    pod.aws.sts().set_session_seconds(Some(11));
    let start = pod
        .start(authorities(pod.folder.path(), &other_authority(), &pod.ca))
        .set("service.telemetry.logs.level=debug")
        .env("AWS_ROLE_ARN", ROLE)
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", pod.path("token"));
    let collector = CollectorProcess::start(start).await.unwrap();
    let report = send_failed(&collector, 1).await;
    pod.calls(|calls| calls.len() >= 2).await;
    let script = Script {
        calls: Some(2),
        status: 503,
        code: "ServiceUnavailable".into(),
    };
    pod.aws.sts().set_script(Some(script));
    project(ACCOUNT);
    let mut spans = report.spans;
    settled(&collector, spans).await;
    let several = async {
        while pod.aws.sts().issued().len() < 2 {
            spans = pod.exports(&collector, spans).await;
        }
    };
    tokio::time::timeout(LIMIT, several).await.unwrap();
    let (_, metrics) = http_get(collector.address("metrics").unwrap(), "/metrics")
        .await
        .unwrap();
    let ended = collector.terminate(LIMIT).await.unwrap();
    let log = ended.log.join("\n");
    for given in pod.aws.sts().issued() {
        secrets.push(given.secret_access_key);
        secrets.extend(given.session_token);
    }
    assert!(secrets.len() >= 6, "{}", secrets.len());
    for secret in &secrets {
        let part = plainest(secret);
        assert!(part.len() >= 8, "{part} may be anything");
        let found = log.lines().find(|line| line.contains(part));
        assert_eq!(found, None, "a secret is in the log");
        assert!(!metrics.contains(part));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sts_that_fails_only_delays() {
    let pod = Pod::new().await;
    let script = Script {
        calls: Some(7),
        status: 503,
        code: "ServiceUnavailable".into(),
    };
    pod.aws.sts().set_script(Some(script));
    let collector = pod.usual_collector().await;
    pod.exports(&collector, 0).await;
    assert!(pod.aws.sts().calls().len() >= 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_fetched_again_before_they_end() {
    let pod = Pod::new().await;
    // Of what lasts for seconds, the last third is early.
    pod.aws.sts().set_session_seconds(Some(6));
    let collector = pod.usual_collector().await;
    let mut spans = 0;
    let several = async {
        while pod.aws.sts().calls().len() < 4 {
            spans = pod.exports(&collector, spans).await;
        }
    };
    tokio::time::timeout(LIMIT, several).await.unwrap();
    assert_eq!(pod.aws.xray().counts().denied, 0);
}

#[tokio::test]
async fn the_fake_aws_is_a_process_too() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    let binary = Path::new(env!("CARGO_BIN_EXE_fake-aws"));
    let ca = ca_file.display().to_string();
    let args = [
        "--ca-file",
        &ca,
        "--region",
        REGION,
        "--issuer",
        ISSUER,
        "--jwks-url",
        "https://127.0.0.1:6443/openid/v1/jwks",
    ];
    let mut fake = Process::start(binary, &args.map(str::to_owned), &BTreeMap::new()).unwrap();
    let addresses = fake
        .wait_for_line("addresses", LIMIT, |line| {
            serde_json::from_str::<Value>(line).ok()
        })
        .await
        .unwrap();
    assert!(
        addresses["aws"]
            .as_str()
            .unwrap()
            .starts_with("https://127.0.0.1:")
    );
    assert!(
        std::fs::read_to_string(&ca_file)
            .unwrap()
            .contains("BEGIN CERTIFICATE")
    );
    let control = addresses["control"].as_str().unwrap().parse().unwrap();
    let (status, calls) = http_get(control, "/_fake/sts").await.unwrap();
    assert_eq!((status.as_u16(), calls.as_str()), (200, "[]"));
    assert!(fake.terminate(LIMIT).await.unwrap().success());
    assert!(fake.log().last().unwrap().contains("\"documents_accepted\":0"));
}

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::{KeyServer, Options, Script, TestIssuer};
use crate::clock;
use crate::fake_aws::{self, FakeAws};
use crate::fake_xray::TestTls;
use crate::fake_xray::sigv4::{self, Credentials};

const ISSUER: &str = "https://issuer.test/id/1";
const ROLE: &str = "arn:aws:iam::111122223333:role/tracing/xray-writer";
const AUDIENCE: &str = "sts.amazonaws.com";
const ACCOUNT: (&str, &str) = ("tracing", "otel-collector-collector");

/// As the operator's documents have it: both condition keys.
fn trust() -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Federated": "arn:aws:iam::111122223333:oidc-provider/issuer.test/id/1"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {
                "issuer.test/id/1:sub": "system:serviceaccount:tracing:otel-collector-collector",
                "issuer.test/id/1:aud": AUDIENCE,
            }},
        }],
    })
}

struct Stage {
    aws: FakeAws,
    issuer: TestIssuer,
    keys: KeyServer,
}

/// A provider that is registered for two audiences, so that the trust policy has something to tell apart.
async fn stage() -> Stage {
    let issuer = TestIssuer::new(ISSUER, "key-1").unwrap();
    let keys = KeyServer::start(vec![issuer.jwk()], None).await.unwrap();
    let options = Options {
        account: "111122223333".into(),
        region: "eu-west-1".into(),
        issuer: ISSUER.into(),
        audiences: vec![AUDIENCE.into(), "another".into()],
        keys: keys.source().unwrap(),
    };
    let aws = FakeAws::start(fake_aws::Options {
        sts: options,
        tls: None,
        listen: None,
        control: None,
    })
    .await
    .unwrap();
    aws.sts().set_role(ROLE, &trust()).unwrap();
    Stage { aws, issuer, keys }
}

fn text_of<'a>(xml: &'a str, name: &str) -> &'a str {
    let (_, rest) = xml.split_once(&format!("<{name}>")).unwrap_or(("", ""));
    rest.split_once(&format!("</{name}>"))
        .map_or("", |(text, _)| text)
}

async fn send(request: Request<Full<Bytes>>) -> (StatusCode, String) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

impl Stage {
    fn claims(&self) -> Value {
        self.issuer.claims(ACCOUNT, AUDIENCE)
    }

    fn token(&self) -> String {
        self.issuer.sign(&self.claims()).unwrap()
    }

    fn form(&self, fields: &[(&str, &str)]) -> Request<Full<Bytes>> {
        let escape = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02x}")).collect() };
        let pairs: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", escape(value)))
            .collect();
        let body = format!("Version=2011-06-15&{}", pairs.join("&"));
        Request::post(format!("{}/", self.aws.url()))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(body)))
            .unwrap()
    }

    async fn ask(&self, token: &str, more: &[(&str, &str)]) -> (StatusCode, String) {
        let mut fields: BTreeMap<&str, &str> = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("RoleArn", ROLE),
            ("RoleSessionName", "test"),
            ("WebIdentityToken", token),
        ]
        .into();
        fields.extend(more.iter().copied());
        send(self.form(&fields.into_iter().collect::<Vec<_>>())).await
    }

    /// The credentials, or status and code.
    async fn assume(&self, token: &str) -> Result<Credentials, String> {
        let (status, xml) = self.ask(token, &[]).await;
        if status != StatusCode::OK {
            return Err(format!("{} {}", status.as_u16(), text_of(&xml, "Code")));
        }
        Ok(Credentials {
            session_token: Some(text_of(&xml, "SessionToken").to_owned()),
            ..Credentials::new(text_of(&xml, "AccessKeyId"), text_of(&xml, "SecretAccessKey"))
        })
    }

    async fn outcome(&self, token: &str) -> String {
        self.assume(token).await.err().unwrap_or_else(|| "OK".to_owned())
    }

    /// What X-Ray answers to a document.
    async fn put(&self, key: &Credentials) -> (StatusCode, String) {
        let document = json!({"name": "orders", "id": "0000000000000001", "start_time": 1.0, "end_time": 2.0,
                              "trace_id": "1-00000001-000000000000000000000001"});
        let body = json!({"TraceSegmentDocuments": [document.to_string()]}).to_string();
        let request = Request::post(format!("{}/TraceSegments", self.aws.url()));
        let request = request
            .header("content-type", "application/json")
            .body(())
            .unwrap();
        let (mut parts, ()) = request.into_parts();
        sigv4::sign(
            &mut parts,
            body.as_bytes(),
            key,
            ("eu-west-1", "xray"),
            clock::wall(),
        )
        .unwrap();
        send(Request::from_parts(parts, Full::new(Bytes::from(body)))).await
    }

    async fn identity(&self, key: &Credentials, scope: (&str, &str)) -> (StatusCode, String) {
        let (mut parts, body) = self.form(&[("Action", "GetCallerIdentity")]).into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        sigv4::sign(&mut parts, &body, key, scope, clock::wall()).unwrap();
        send(Request::from_parts(parts, Full::new(body))).await
    }
}

fn changed(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

#[tokio::test]
async fn the_right_service_account_gets_credentials_that_xray_takes() {
    let stage = stage().await;
    let key = stage.assume(&stage.token()).await.unwrap();
    assert!(key.access_key_id.starts_with("ASIA"));
    assert_eq!(stage.put(&key).await.0, StatusCode::OK);
    assert_eq!(stage.aws.xray().counts().documents_accepted, 1);

    let (status, xml) = stage.identity(&key, ("eu-west-1", "sts")).await;
    assert_eq!(status, StatusCode::OK, "{xml}");
    assert_eq!(
        text_of(&xml, "Arn"),
        "arn:aws:sts::111122223333:assumed-role/xray-writer/test"
    );
    assert_eq!(text_of(&xml, "Account"), "111122223333");

    let calls = stage.aws.sts().calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].action, "AssumeRoleWithWebIdentity");
    assert_eq!(
        (calls[0].namespace.as_deref(), calls[0].service_account.as_deref()),
        (Some(ACCOUNT.0), Some(ACCOUNT.1))
    );
    assert_eq!(calls[0].access_key_id.as_ref(), Some(&key.access_key_id));
    assert_eq!(
        (calls[1].role.as_deref(), calls[1].result.as_str()),
        (Some(ROLE), "OK")
    );
}

/// Tokens that differ from the right one in one thing each, and what becomes of them.
async fn others(stage: &Stage) -> Vec<(&'static str, String)> {
    let of = |namespace: &str, name: &str| stage.issuer.claims((namespace, name), AUDIENCE);
    let now = clock::nanos_of(clock::wall()) / 1_000_000_000;
    let audience = |value: Value| changed(stage.claims(), "aud", value);
    let tokens = [
        ("name", of(ACCOUNT.0, "default")),
        (
            "name with more behind",
            of(ACCOUNT.0, "otel-collector-collector2"),
        ),
        ("namespace", of("tracing2", ACCOUNT.1)),
        ("audience", audience(json!(["another"]))),
        ("unregistered audience", audience(json!("kubernetes"))),
        ("two audiences", audience(json!([AUDIENCE, "another"]))),
        (
            "issuer",
            changed(stage.claims(), "iss", json!("https://issuer.test/id/2")),
        ),
        ("expired", changed(stage.claims(), "exp", json!(now))),
        ("not yet valid", changed(stage.claims(), "nbf", json!(now + 60))),
    ];
    let mut outcomes = Vec::new();
    for (what, claims) in tokens {
        outcomes.push((what, stage.outcome(&stage.issuer.sign(&claims).unwrap()).await));
    }
    let impostor = TestIssuer::new(ISSUER, "key-1").unwrap();
    outcomes.push((
        "signature",
        stage.outcome(&impostor.sign(&stage.claims()).unwrap()).await,
    ));
    let stranger = TestIssuer::new(ISSUER, "key-2").unwrap();
    outcomes.push((
        "key",
        stage.outcome(&stranger.sign(&stage.claims()).unwrap()).await,
    ));
    outcomes
}

const REFUSED: [(&str, &str); 11] = [
    ("name", "403 AccessDenied"),
    ("name with more behind", "403 AccessDenied"),
    ("namespace", "403 AccessDenied"),
    ("audience", "403 AccessDenied"),
    ("unregistered audience", "400 InvalidIdentityToken"),
    ("two audiences", "400 InvalidIdentityToken"),
    ("issuer", "400 InvalidIdentityToken"),
    ("expired", "400 ExpiredTokenException"),
    ("not yet valid", "400 InvalidIdentityToken"),
    ("signature", "400 InvalidIdentityToken"),
    ("key", "400 InvalidIdentityToken"),
];

fn with_ok(names: &[&str]) -> Vec<(&'static str, String)> {
    let outcome = |name: &str, code: &str| {
        if names.contains(&name) {
            "OK".to_owned()
        } else {
            code.to_owned()
        }
    };
    REFUSED
        .iter()
        .map(|(name, code)| (*name, outcome(name, code)))
        .collect()
}

#[tokio::test]
async fn every_other_token_is_refused() {
    let stage = stage().await;
    assert_eq!(others(&stage).await, with_ok(&[]));
    assert_eq!(stage.outcome(&stage.token()).await, "OK");
}

#[tokio::test]
async fn each_refusal_hangs_on_its_condition_and_on_no_other() {
    let stage = stage().await;
    let without = |key: &str| {
        let mut trust = trust();
        trust["Statement"][0]["Condition"]["StringEquals"]
            .as_object_mut()
            .unwrap()
            .remove(key)
            .unwrap();
        trust
    };
    stage
        .aws
        .sts()
        .set_role(ROLE, &without("issuer.test/id/1:sub"))
        .unwrap();
    assert_eq!(
        others(&stage).await,
        with_ok(&["name", "name with more behind", "namespace"])
    );
    stage
        .aws
        .sts()
        .set_role(ROLE, &without("issuer.test/id/1:aud"))
        .unwrap();
    assert_eq!(others(&stage).await, with_ok(&["audience"]));

    let mut foreign = trust();
    foreign["Statement"][0]["Principal"]["Federated"] =
        json!("arn:aws:iam::111122223333:oidc-provider/issuer.test/id/2");
    stage.aws.sts().set_role(ROLE, &foreign).unwrap();
    assert_eq!(stage.outcome(&stage.token()).await, "403 AccessDenied");
}

#[tokio::test]
async fn unknown_roles_and_accounts_are_refused() {
    let stage = stage().await;
    let code = async |role: &str| {
        let (status, xml) = stage.ask(&stage.token(), &[("RoleArn", role)]).await;
        format!("{} {}", status.as_u16(), text_of(&xml, "Code"))
    };
    assert_eq!(
        code("arn:aws:iam::111122223333:role/xray-writer").await,
        "403 AccessDenied"
    );
    assert_eq!(
        code("arn:aws:iam::999999999999:role/tracing/xray-writer").await,
        "400 InvalidIdentityToken"
    );
    assert_eq!(code("xray-writer").await, "400 ValidationError");
}

#[tokio::test]
async fn a_token_that_is_signed_in_another_way_or_not_at_all_is_refused() {
    use base64::Engine;
    let stage = stage().await;
    let token = stage.token();
    let parts: Vec<&str> = token.split('.').collect();
    let header = |value: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let none = format!("{}.{}.", header(json!({"alg": "none", "kid": "key-1"})), parts[1]);
    // The key itself has signed it, so that only its name for what it has done is wrong.
    let other = stage
        .issuer
        .sign_under(&json!({"alg": "RS384", "kid": "key-1"}), &stage.claims())
        .unwrap();
    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    let longer = format!("{token}.{}", parts[2]);
    for token in [none, other, unsigned, longer, "no token".to_owned()] {
        assert_eq!(stage.outcome(&token).await, "400 InvalidIdentityToken", "{token}");
    }
}

#[tokio::test]
async fn credentials_end_and_are_worth_nothing_when_changed() {
    let stage = stage().await;
    let key = stage.assume(&stage.token()).await.unwrap();
    let denied = async |key: Credentials| {
        let (status, answer) = stage.put(&key).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        serde_json::from_str::<Value>(&answer).unwrap()["__type"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let wrong = Credentials {
        secret_access_key: "x".into(),
        ..key.clone()
    };
    assert_eq!(denied(wrong).await, "InvalidSignatureException");
    let none = Credentials {
        session_token: None,
        ..key.clone()
    };
    assert_eq!(denied(none).await, "UnrecognizedClientException");
    let unknown = Credentials {
        access_key_id: "ASIAUNKNOWN".into(),
        ..key.clone()
    };
    assert_eq!(denied(unknown.clone()).await, "UnrecognizedClientException");
    let code =
        async |key: &Credentials, scope| text_of(&stage.identity(key, scope).await.1, "Code").to_owned();
    assert_eq!(code(&unknown, ("eu-west-1", "sts")).await, "InvalidClientTokenId");
    assert_eq!(code(&key, ("eu-west-1", "xray")).await, "SignatureDoesNotMatch");
    assert_eq!(code(&key, ("us-east-1", "sts")).await, "SignatureDoesNotMatch");

    stage.aws.sts().set_session_seconds(Some(0));
    let ended = stage.assume(&stage.token()).await.unwrap();
    assert_eq!(denied(ended.clone()).await, "ExpiredTokenException");
    assert_eq!(code(&ended, ("eu-west-1", "sts")).await, "ExpiredToken");
    assert_eq!(stage.put(&key).await.0, StatusCode::OK);
}

#[tokio::test]
async fn what_is_asked_for_must_be_within_the_limits_of_the_api() {
    let stage = stage().await;
    let token = stage.token();
    let code = async |name: &str, value: &str| {
        let (status, xml) = stage.ask(&token, &[(name, value)]).await;
        format!("{} {}", status.as_u16(), text_of(&xml, "Code"))
    };
    for seconds in ["899", "43201", "an hour"] {
        assert_eq!(
            code("DurationSeconds", seconds).await,
            "400 ValidationError",
            "{seconds}"
        );
    }
    // The role's own maximum is an hour.
    assert_eq!(code("DurationSeconds", "3601").await, "400 ValidationError");
    assert_eq!(code("DurationSeconds", "900").await, "200 ");
    assert_eq!(code("RoleSessionName", "a b").await, "400 ValidationError");
    assert_eq!(code("Policy", "{}").await, "400 ValidationError");
    assert_eq!(code("Action", "AssumeRole").await, "400 InvalidAction");
}

#[tokio::test]
async fn keys_are_fetched_when_a_token_names_one_that_is_not_known() {
    let stage = stage().await;
    assert_eq!(stage.outcome(&stage.token()).await, "OK");
    assert_eq!(stage.outcome(&stage.token()).await, "OK");
    assert_eq!(stage.keys.fetches(), 1);

    let rotated = TestIssuer::new(ISSUER, "key-2").unwrap();
    let token = rotated.sign(&stage.claims()).unwrap();
    assert_eq!(stage.outcome(&token).await, "400 InvalidIdentityToken");
    stage.keys.publish(vec![stage.issuer.jwk(), rotated.jwk()]);
    stage.keys.set_down(true);
    assert_eq!(stage.outcome(&token).await, "400 IDPCommunicationError");
    assert_eq!(stage.outcome(&stage.token()).await, "OK");
    stage.keys.set_down(false);
    assert_eq!(stage.outcome(&token).await, "OK");
}

#[tokio::test]
async fn keys_come_over_tls_from_the_authority_that_was_named_only() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = TestIssuer::new(ISSUER, "key-1").unwrap();
    let tls = TestTls::new(&[]).unwrap();
    let server = KeyServer::start(vec![issuer.jwk()], Some(&tls)).await.unwrap();
    let mut source = server.source().unwrap();
    assert!(source.fetch().await.is_err());
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, TestTls::new(&[]).unwrap().ca_pem()).unwrap();
    source.ca_file = Some(ca_file.clone());
    assert!(source.fetch().await.is_err());
    std::fs::write(&ca_file, tls.ca_pem()).unwrap();
    assert!(source.fetch().await.unwrap().get("key-1").is_some());
}

#[tokio::test]
async fn it_fails_as_it_is_told() {
    let stage = stage().await;
    let script = |calls| Script {
        calls,
        status: 503,
        code: "ServiceUnavailable".into(),
    };
    stage.aws.sts().set_script(Some(script(Some(2))));
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        outcomes.push(stage.outcome(&stage.token()).await);
    }
    assert_eq!(
        outcomes,
        ["503 ServiceUnavailable", "503 ServiceUnavailable", "OK"]
    );
    stage.aws.sts().set_script(Some(script(None)));
    assert_eq!(stage.outcome(&stage.token()).await, "503 ServiceUnavailable");
    stage.aws.sts().set_script(None);
    assert_eq!(stage.outcome(&stage.token()).await, "OK");
    let waited = stage.aws.sts().wait_until(|calls| calls.len() == 5);
    tokio::time::timeout(Duration::from_secs(10), waited)
        .await
        .unwrap();
}

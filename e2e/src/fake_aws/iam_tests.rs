use std::time::Duration;

use aws_sdk_iam::Client;
use aws_sdk_iam::config::{BehaviorVersion, Credentials as SdkCredentials, Region};
use aws_sdk_iam::error::ProvideErrorMetadata;
use aws_sdk_iam::types::Tag;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::tests::{aws, call, start};
use super::{FakeAws, names};
use crate::clock;
use crate::fake_iam::Iam;
use crate::fake_sts::{KeyServer, TestIssuer};
use crate::fake_xray::Credentials;
use crate::fake_xray::sigv4;
use crate::query::percent_encode;

const KEY: (&str, &str) = ("AKIATRACEPIPETEST", "test-secret-of-no-account");
const BOUNDARY: &str = "arn:aws:iam::111122223333:policy/boundary";
const SUBJECT: (&str, &str) = ("tracing", "collector");

fn key() -> Credentials {
    Credentials::new(KEY.0, KEY.1)
}

fn trust() -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Federated": "arn:aws:iam::111122223333:oidc-provider/issuer.test"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {"issuer.test:sub": "system:serviceaccount:tracing:collector"}},
        }],
    })
}

/// The SDK, told to go to the fake by its URL alone.
fn sdk(aws: &FakeAws) -> Client {
    aws.sts().add_user("team/alice", key());
    let config = aws_sdk_iam::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(SdkCredentials::new(KEY.0, KEY.1, None, None, "test"))
        .endpoint_url(aws.url());
    Client::from_conf(config.build())
}

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build().unwrap()
}

fn decoded(document: &str) -> Value {
    let form = crate::query::form(format!("d={document}").as_bytes()).unwrap();
    serde_json::from_str(&form["d"]).unwrap()
}

#[tokio::test]
async fn awss_own_sdk_reads_every_answer() {
    let aws = aws().await;
    let iam = sdk(&aws);
    aws.iam().add_managed_policy(BOUNDARY);
    let made = iam
        .create_role()
        .role_name("collector")
        .path("/tracing/prod/")
        .description("Ours & <theirs>")
        .assume_role_policy_document(trust().to_string())
        .permissions_boundary(BOUNDARY)
        .set_tags(Some(vec![tag("a", "1"), tag("b", "")]))
        .send()
        .await
        .unwrap()
        .role
        .unwrap();
    let got = iam.get_role().role_name("collector").send().await.unwrap();
    let got = got.role.unwrap();
    assert_eq!(got, made);
    assert_eq!(got.arn, "arn:aws:iam::111122223333:role/tracing/prod/collector");
    assert_eq!(got.path, "/tracing/prod/");
    assert_eq!(got.description.as_deref(), Some("Ours & <theirs>"));
    assert_eq!(got.max_session_duration, Some(3600));
    assert_eq!(got.tags(), [tag("a", "1"), tag("b", "")]);
    assert_eq!(decoded(got.assume_role_policy_document().unwrap()), trust());
    let boundary = got.permissions_boundary.unwrap();
    assert_eq!(boundary.permissions_boundary_arn.as_deref(), Some(BOUNDARY));
    let kind = boundary.permissions_boundary_type.unwrap();
    assert_eq!(kind.as_str(), "Policy");

    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "xray:PutTraceSegments", "Resource": "*"}]});
    let put = iam.put_role_policy().role_name("collector").policy_name("write");
    put.policy_document(policy.to_string()).send().await.unwrap();
    let got = iam.get_role_policy().role_name("collector").policy_name("write");
    assert_eq!(decoded(&got.send().await.unwrap().policy_document), policy);
    let attach = iam.attach_role_policy().role_name("collector");
    attach.policy_arn(BOUNDARY).send().await.unwrap();
    let inline = iam.list_role_policies().role_name("collector").max_items(100);
    let inline = inline.send().await.unwrap();
    assert_eq!(
        (inline.policy_names(), inline.is_truncated),
        (&["write".to_owned()][..], false)
    );
    let attached = iam.list_attached_role_policies().role_name("collector");
    let attached = attached.send().await.unwrap();
    assert_eq!(attached.attached_policies()[0].policy_arn(), Some(BOUNDARY));
    assert!(!attached.is_truncated);

    iam.tag_role()
        .role_name("collector")
        .tags(tag("b", "2"))
        .send()
        .await
        .unwrap();
    iam.untag_role()
        .role_name("collector")
        .tag_keys("a")
        .send()
        .await
        .unwrap();
    let update = iam.update_assume_role_policy().role_name("collector");
    update.policy_document(trust().to_string()).send().await.unwrap();
    let put = iam.put_role_permissions_boundary().role_name("collector");
    put.permissions_boundary(BOUNDARY).send().await.unwrap();
    iam.delete_role_permissions_boundary()
        .role_name("collector")
        .send()
        .await
        .unwrap();
    let role = aws.iam().role("collector").unwrap();
    assert_eq!(
        (role.boundary, role.tags),
        (None, [("b".to_owned(), "2".to_owned())].into())
    );

    let refused = iam.delete_role().role_name("collector").send().await.unwrap_err();
    assert!(refused.as_service_error().unwrap().is_delete_conflict_exception());
    let detach = iam.detach_role_policy().role_name("collector");
    detach.policy_arn(BOUNDARY).send().await.unwrap();
    let delete = iam
        .delete_role_policy()
        .role_name("collector")
        .policy_name("write");
    delete.send().await.unwrap();
    iam.delete_role().role_name("collector").send().await.unwrap();
    assert_eq!(aws.iam().roles(), []);
    let missing = iam.get_role().role_name("collector").send().await.unwrap_err();
    let missing = missing.as_service_error().unwrap();
    assert!(missing.is_no_such_entity_exception());
    assert_eq!(
        missing.message(),
        Some("The role with name collector cannot be found.")
    );
}

#[tokio::test]
async fn the_sdk_reads_codes_that_no_model_names() {
    let aws = aws().await;
    let iam = sdk(&aws);
    aws.iam().deny(&["iam:GetRole"]);
    let denied = iam.get_role().role_name("collector").send().await.unwrap_err();
    let denied = denied.as_service_error().unwrap();
    assert_eq!(denied.code(), Some("AccessDenied"));
    assert_eq!(
        denied.message(),
        Some(
            "User: arn:aws:iam::111122223333:user/team/alice is not authorized to perform: iam:GetRole on resource: \
             role collector with an explicit deny in an identity-based policy"
        )
    );
    let long = iam.get_role().role_name("r".repeat(65)).send().await.unwrap_err();
    assert_eq!(long.as_service_error().unwrap().code(), Some("ValidationError"));
}

/// A signed form to the endpoint of that name: what became of it.
async fn asked(aws: &FakeAws, host: &str, scope: (&str, &str), key: &Credentials, form: &str) -> String {
    let request = Request::post(format!("{}/", aws.url()))
        .header("host", host)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(())
        .unwrap();
    let (mut parts, ()) = request.into_parts();
    sigv4::sign(&mut parts, form.as_bytes(), key, scope, clock::wall()).unwrap();
    let mut request = Request::post(parts.uri.clone());
    for (name, value) in &parts.headers {
        request = request.header(name, value);
    }
    let (status, xml) = call(request, form).await;
    let (_, code) = xml.split_once("<Code>").unwrap_or_default();
    let (code, _) = code.split_once("</Code>").unwrap_or_default();
    format!("{} {code}", status.as_u16())
}

const GET: &str = "Action=GetRole&Version=2010-05-08&RoleName=collector";

#[tokio::test]
async fn each_partitions_endpoint_has_a_region_of_its_own() {
    let aws = aws().await;
    aws.sts().add_user("alice", key());
    let asked = async |host: &str, region: &str| asked(&aws, host, (region, "iam"), &key(), GET).await;
    let endpoints = [
        ("iam.amazonaws.com", "us-east-1"),
        ("IAM.cn-north-1.amazonaws.com.cn:443", "cn-north-1"),
        ("iam.us-gov.amazonaws.com", "us-gov-west-1"),
    ];
    for (host, region) in endpoints {
        assert_eq!(asked(host, region).await, "404 NoSuchEntity", "{host}");
        assert_eq!(
            asked(host, "eu-west-1").await,
            "403 SignatureDoesNotMatch",
            "{host}"
        );
    }
    // Where no name says which endpoint it is, the scope of the signature does.
    assert_eq!(asked("127.0.0.1", "eu-west-1").await, "404 NoSuchEntity");
    assert_eq!(asked("iam.eu-west-1.amazonaws.com", "eu-west-1").await, "404 ");
    let names = names("eu-west-1");
    assert!(endpoints.iter().all(|(host, _)| {
        let host = host.trim_end_matches(":443").to_lowercase();
        names.contains(&host)
    }));
}

#[tokio::test]
async fn only_who_is_known_is_let_in_and_refusals_are_seen() {
    let aws = aws().await;
    aws.sts().add_user("alice", key());
    let host = "iam.amazonaws.com";
    let ask = async |key: Credentials, service| asked(&aws, host, ("us-east-1", service), &key, GET).await;
    assert_eq!(ask(key(), "iam").await, "404 NoSuchEntity");
    assert_eq!(ask(key(), "sts").await, "403 SignatureDoesNotMatch");
    assert_eq!(
        ask(Credentials::new(KEY.0, "other"), "iam").await,
        "403 SignatureDoesNotMatch"
    );
    assert_eq!(
        ask(Credentials::new("AKIAOTHER", "x"), "iam").await,
        "403 InvalidClientTokenId"
    );
    let unsigned = Request::post(format!("{}/", aws.url())).header("host", host);
    assert_eq!(call(unsigned, GET).await.0, StatusCode::FORBIDDEN);
    let results: Vec<String> = aws.iam().calls().iter().map(|call| call.result.clone()).collect();
    assert_eq!(
        results,
        [
            "NoSuchEntity",
            "SignatureDoesNotMatch",
            "SignatureDoesNotMatch",
            "InvalidClientTokenId",
            "MissingAuthenticationToken"
        ]
    );
}

#[tokio::test]
async fn a_user_learns_who_it_is() {
    let aws = aws().await;
    aws.sts().add_user("team/alice", key());
    let host = "sts.eu-west-1.amazonaws.com";
    let form = "Action=GetCallerIdentity&Version=2011-06-15";
    assert_eq!(
        asked(&aws, host, ("eu-west-1", "sts"), &key(), form).await,
        "200 "
    );
    let sts = aws.sts().calls();
    assert_eq!((sts[0].result.as_str(), &sts[0].role), ("OK", &None));
    let request = Request::post(format!("http://{}/_fake/users", aws.control()));
    let user = json!({"name": "bob", "access_key_id": "AKIABOB", "secret_access_key": "s"}).to_string();
    assert_eq!(call(request, &user).await.0, StatusCode::OK);
    let bob = Credentials::new("AKIABOB", "s");
    assert_eq!(asked(&aws, host, ("eu-west-1", "sts"), &bob, form).await, "200 ");
}

/// A form to STS for the role of `arn`, with a token of [`SUBJECT`].
async fn assume(aws: &FakeAws, issuer: &TestIssuer, arn: &str) -> (StatusCode, String) {
    let token = issuer.sign(&issuer.claims(SUBJECT, "sts.amazonaws.com")).unwrap();
    let form = format!(
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn={}&RoleSessionName=test&WebIdentityToken={token}",
        percent_encode(arn)
    );
    let request = Request::post(format!("{}/", aws.url()));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    call(request, &form).await
}

fn text_of(xml: &str, name: &str) -> String {
    let (_, rest) = xml.split_once(&format!("<{name}>")).unwrap();
    rest.split_once(&format!("</{name}>")).unwrap().0.to_owned()
}

#[tokio::test]
async fn a_role_of_iam_can_be_assumed_once_sts_has_heard_of_it() {
    let issuer = TestIssuer::new("https://issuer.test", "key-1").unwrap();
    let keys = KeyServer::start(vec![issuer.jwk()], None).await.unwrap();
    let aws = start(&keys).await;
    let iam = sdk(&aws);
    let arn = "arn:aws:iam::111122223333:role/tracing/collector";
    let create = iam.create_role().role_name("collector").path("/tracing/");
    let create = create.assume_role_policy_document(trust().to_string());
    assert_eq!(assume(&aws, &issuer, arn).await.0, StatusCode::FORBIDDEN);
    aws.iam().set_read_lag(Duration::from_secs(3600));
    create.send().await.unwrap();
    assert_eq!(assume(&aws, &issuer, arn).await.0, StatusCode::FORBIDDEN);
    aws.iam().set_read_lag(Duration::ZERO);
    assert_eq!(
        assume(&aws, &issuer, "arn:aws:iam::111122223333:role/collector")
            .await
            .0,
        StatusCode::FORBIDDEN
    );
    let (status, xml) = assume(&aws, &issuer, arn).await;
    assert_eq!(status, StatusCode::OK, "{xml}");
    let id = aws.iam().role("collector").unwrap().id;
    assert_eq!(text_of(&xml, "AssumedRoleId"), format!("{id}:test"));

    // What it issued is a caller of IAM like any other.
    let session = Credentials {
        session_token: Some(text_of(&xml, "SessionToken")),
        ..Credentials::new(text_of(&xml, "AccessKeyId"), text_of(&xml, "SecretAccessKey"))
    };
    let scope = ("us-east-1", "iam");
    assert_eq!(
        asked(&aws, "iam.amazonaws.com", scope, &session, GET).await,
        "200 "
    );

    // A role that was made for STS alone comes first.
    let mut nobody = trust();
    nobody["Statement"][0]["Effect"] = json!("Deny");
    aws.sts().set_role(arn, &nobody).unwrap();
    assert_eq!(assume(&aws, &issuer, arn).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn it_is_steered_by_the_control_port() {
    let aws = aws().await;
    aws.sts().add_user("alice", key());
    let control = format!("http://{}/_fake/iam", aws.control());
    let post = async |path: &str, body: Value| {
        let request = Request::post(format!("{control}/{path}"));
        call(request, &body.to_string()).await.0
    };
    let ask = async || asked(&aws, "iam.amazonaws.com", ("us-east-1", "iam"), &key(), GET).await;
    let denying = json!({"Version": "2012-10-17",
                         "Statement": {"Effect": "Deny", "Action": "iam:*", "Resource": "*"}});
    let steps = [
        (
            "failure",
            json!({"calls": 1, "status": 503, "code": "ServiceUnavailable"}),
            "503 ServiceUnavailable",
        ),
        ("failure", Value::Null, "404 NoSuchEntity"),
        ("deny", json!(["iam:GetRole"]), "403 AccessDenied"),
        ("deny", json!([]), "404 NoSuchEntity"),
        ("policy", denying, "403 AccessDenied"),
        ("policy", Value::Null, "404 NoSuchEntity"),
        ("lag", json!(3600), "404 NoSuchEntity"),
        ("managed_policies", json!(BOUNDARY), "404 NoSuchEntity"),
    ];
    for (path, body, expected) in steps {
        assert_eq!(post(path, body.clone()).await, StatusCode::OK, "{path} {body}");
        assert_eq!(ask().await, expected, "{path} {body}");
    }
    for (path, body) in [
        ("failure", json!({"often": 1})),
        ("deny", json!("iam:GetRole")),
        ("policy", json!({"Version": "2012-10-17"})),
        ("lag", json!(-1)),
        ("managed_policies", json!([])),
    ] {
        assert_eq!(
            post(path, body.clone()).await,
            StatusCode::BAD_REQUEST,
            "{path} {body}"
        );
    }
    assert_eq!(post("other", Value::Null).await, StatusCode::NOT_FOUND);

    let create = format!(
        "Action=CreateRole&Version=2010-05-08&RoleName=collector&PermissionsBoundary={}&AssumeRolePolicyDocument={}",
        percent_encode(BOUNDARY),
        percent_encode(&trust().to_string())
    );
    let scope = ("us-east-1", "iam");
    assert_eq!(
        asked(&aws, "iam.amazonaws.com", scope, &key(), &create).await,
        "200 "
    );
    // Reads are an hour behind.
    assert_eq!(ask().await, "404 NoSuchEntity");
    let get =
        async |url: String| -> Value { serde_json::from_str(&call(Request::get(url), "").await.1).unwrap() };
    let roles = get(format!("{control}/roles")).await;
    assert_eq!(roles[0]["boundary"], BOUNDARY);
    assert_eq!(roles[0]["trust"], trust());
    let calls = get(control.clone()).await;
    assert_eq!(calls[8]["action"], "CreateRole");
    assert_eq!(calls[8]["result"], "OK");
    let ten = |iam: &Iam| iam.calls().len() == 10;
    let waited = tokio::time::timeout(Duration::from_secs(10), aws.wait_until_iam(ten));
    waited.await.unwrap();
}

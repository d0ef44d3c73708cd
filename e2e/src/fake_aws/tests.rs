use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::{FakeAws, Options};
use crate::fake_sts::{self, KeyServer};

pub(super) async fn aws() -> FakeAws {
    start(&KeyServer::start(Vec::new(), None).await.unwrap()).await
}

pub(super) async fn start(keys: &KeyServer) -> FakeAws {
    let sts = fake_sts::Options {
        account: "111122223333".into(),
        region: "eu-west-1".into(),
        issuer: "https://issuer.test".into(),
        audiences: vec!["sts.amazonaws.com".into()],
        keys: keys.source().unwrap(),
    };
    FakeAws::start(Options {
        sts,
        tls: None,
        listen: None,
        control: None,
    })
    .await
    .unwrap()
}

pub(super) async fn call(request: http::request::Builder, body: &str) -> (StatusCode, String) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request: Request<Full<Bytes>> = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
    let response = client.request(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn the_name_that_is_asked_for_says_which_service_answers() {
    let aws = aws().await;
    let asked = async |host: &str, path: &str| {
        let request = Request::post(format!("{}{path}", aws.url())).header("host", host);
        call(request, "").await.1
    };
    let port = aws.address().port();
    for host in [
        "xray.eu-west-1.amazonaws.com",
        "XRAY.eu-west-1.amazonaws.com:443",
        "aps-workspaces.eu-west-1.amazonaws.com",
    ] {
        assert!(
            asked(host, "/TraceSegments")
                .await
                .contains("MissingAuthenticationTokenException"),
            "{host}"
        );
    }
    for host in [
        "sts.eu-west-1.amazonaws.com",
        "sts.amazonaws.com",
        &format!("127.0.0.1:{port}"),
    ] {
        assert!(asked(host, "/").await.contains("<ErrorResponse"), "{host}");
    }
    for host in [
        "xray.us-east-1.amazonaws.com",
        "aps-workspaces.us-east-1.amazonaws.com",
        "xray.eu-west-1.api.aws",
    ] {
        assert!(
            asked(host, "/TraceSegments").await.contains("UnknownEndpoint"),
            "{host}"
        );
    }
}

#[tokio::test]
async fn only_the_control_port_steers() {
    let aws = aws().await;
    let control = format!("http://{}", aws.control());
    let get = async |base: &str, path: &str| call(Request::get(format!("{base}/_fake/{path}")), "").await;
    for path in [
        "counts",
        "records",
        "sts",
        "iam",
        "iam/roles",
        "amp/counts",
        "amp/series",
    ] {
        assert_eq!(get(&control, path).await.0, StatusCode::OK, "{path}");
        assert_eq!(get(&aws.url(), path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(
        call(Request::post(format!("{control}/TraceSegments")), "")
            .await
            .0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn roles_and_failures_are_posted() {
    let aws = aws().await;
    let post = async |path: &str, body: Value| {
        call(
            Request::post(format!("http://{}/_fake/{path}", aws.control())),
            &body.to_string(),
        )
        .await
    };
    let statement = json!({"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
                           "Principal": {"Federated": "arn:aws:iam::111122223333:oidc-provider/issuer.test"}});
    let arn = "arn:aws:iam::111122223333:role/writer";
    let role =
        |statement: &Value| json!({"arn": arn, "trust": {"Version": "2012-10-17", "Statement": statement}});
    assert_eq!(post("roles", role(&statement)).await.0, StatusCode::OK);
    assert_eq!(
        post("roles", json!({"arn": arn, "trust": null})).await.0,
        StatusCode::OK
    );
    let mut like = statement.clone();
    like["Condition"] = json!({"StringLike": {"issuer.test:sub": "system:*"}});
    let (status, answer) = post("roles", role(&like)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer.contains("StringLike"), "{answer}");

    assert_eq!(
        post("sts/failure", json!({"calls": 1, "status": 503, "code": "X"}))
            .await
            .0,
        StatusCode::OK
    );
    assert_eq!(
        post("sts/failure", json!({"often": 1})).await.0,
        StatusCode::BAD_REQUEST
    );
    let form =
        Request::post(format!("{}/", aws.url())).header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(
        call(form, "Action=GetCallerIdentity&Version=2011-06-15").await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    let (_, calls) = call(Request::get(format!("http://{}/_fake/sts", aws.control())), "").await;
    let calls: Value = serde_json::from_str(&calls).unwrap();
    assert_eq!(
        (&calls[0]["action"], &calls[0]["result"]),
        (&json!("GetCallerIdentity"), &json!("X"))
    );
}

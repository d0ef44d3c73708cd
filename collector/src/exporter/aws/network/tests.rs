//! Proxies and authorities, with sockets in the proxy's and the server's place.

use std::collections::HashMap;

use aws_sdk_xray::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// What one request to `endpoint` says first to the socket that is at `proxy`; none when it takes another way.
async fn asked(
    endpoint: &str,
    proxy_address: impl Fn(&str) -> Option<String>,
    variables: impl Fn(&str) -> Vec<(&'static str, String)>,
) -> Option<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
    let variables: HashMap<_, _> = variables(&proxy).into_iter().collect();
    let variable = |name: &str| variables.get(name).cloned();
    let http_client = http_client(proxy_address(&proxy).as_deref(), &variable).unwrap();
    let mut config = aws_sdk_xray::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
        .retry_config(aws_config::retry::RetryConfig::disabled())
        .endpoint_url(endpoint);
    config.set_http_client(http_client);
    let client = aws_sdk_xray::Client::from_conf(config.build());
    let call = tokio::spawn(async move {
        client
            .put_trace_segments()
            .trace_segment_documents("{}")
            .send()
            .await
    });
    let heard = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut said = Vec::new();
        while !said.ends_with(b"\r\n\r\n") && said.len() < 4096 {
            said.push(socket.read_u8().await.unwrap());
        }
        socket.write_all(b"HTTP/1.1 502 no\r\n\r\n").await.unwrap();
        String::from_utf8(said).unwrap()
    };
    tokio::select! {
        said = heard => Some(said),
        _ = call => None,
    }
}

const X_RAY: &str = "https://xray.invalid";

#[tokio::test]
async fn requests_go_by_the_proxy_of_the_setting_or_of_the_environment() {
    let url = |proxy: &str| Some(format!("http://{proxy}"));
    let none = |_: &str| None;
    let connect = "CONNECT xray.invalid:443 HTTP/1.1\r\n";
    let said = asked(X_RAY, url, |_| Vec::new()).await.unwrap();
    assert!(said.starts_with(connect), "{said}");
    for name in ["HTTPS_PROXY", "https_proxy"] {
        // With a scheme and without, and with a password.
        let said = asked(X_RAY, none, |proxy| vec![(name, proxy.to_owned())])
            .await
            .unwrap();
        assert!(said.starts_with(connect), "{said}");
        let with_password = |proxy: &str| vec![(name, format!("http://user:pa%20ss@{proxy}"))];
        let said = asked(X_RAY, none, with_password).await.unwrap().to_lowercase();
        assert!(
            said.contains("proxy-authorization: basic dxnlcjpwysbzcw==\r\n"),
            "{said}"
        );
    }
    // The setting comes first.
    let both = |_: &str| vec![("HTTPS_PROXY", "http://127.0.0.1:1".to_owned())];
    assert!(asked(X_RAY, url, both).await.is_some());
}

#[tokio::test]
async fn some_hosts_are_called_without_the_proxy() {
    for name in ["NO_PROXY", "no_proxy"] {
        let said = asked(
            X_RAY,
            |_| None,
            |proxy| {
                vec![
                    ("HTTPS_PROXY", proxy.to_owned()),
                    (name, "example.com,.invalid".to_owned()),
                ]
            },
        );
        assert_eq!(said.await, None);
    }
    // What the node itself offers: nothing listens at port 1.
    for own in ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"] {
        let said = asked(own, |proxy| Some(format!("http://{proxy}")), |_| Vec::new());
        assert_eq!(said.await, None, "{own}");
    }
}

#[test]
fn a_proxy_or_a_file_that_is_none_is_an_error_that_names_it_and_no_password() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("empty"), "").unwrap();
    std::fs::write(
        path("text"),
        "-----BEGIN CERTIFICATE-----\n***\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let bad_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(path("der"), bad_der).unwrap();
    for (name, value, words) in [
        ("AWS_CA_BUNDLE", path("absent"), "cannot read"),
        ("SSL_CERT_FILE", path("absent"), "cannot read"),
        ("AWS_CA_BUNDLE", path("empty"), "no certificate"),
        ("AWS_CA_BUNDLE", path("text"), "no PEM"),
        ("SSL_CERT_FILE", path("der"), "cannot be used"),
        (
            "HTTPS_PROXY",
            "socks5://user:secret@proxy".to_owned(),
            "a URL that begins",
        ),
        (
            "https_proxy",
            "http://user:secret@".to_owned(),
            "a URL that begins",
        ),
    ] {
        let variable = |asked: &str| (asked == name).then(|| value.clone());
        let error = http_client(None, &variable).unwrap_err().to_string();
        assert!(error.starts_with(name) && error.contains(words), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    assert!(http_client(None, &|_| None).unwrap().is_none());
}

/// The first line that a request by a [`connector`] says to the socket that is at `proxy`; none when it takes another way.
async fn connected(
    endpoint: &str,
    own: impl Fn(&str) -> Option<String>,
    variables: impl Fn(&str) -> Vec<(&'static str, String)>,
) -> Option<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
    let variables: HashMap<_, _> = variables(&proxy).into_iter().collect();
    let own = own(&proxy);
    let way = Way {
        proxy: own.as_deref(),
        is_secure: endpoint.starts_with("https"),
        ..WAY
    };
    let connector = connector(&way, &|name| variables.get(name).cloned()).unwrap();
    let mut request = HttpRequest::empty();
    request.set_uri(endpoint).unwrap();
    let call = connector.call(request);
    let heard = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut said = Vec::new();
        while !said.ends_with(b"\r\n") {
            said.push(socket.read_u8().await.unwrap());
        }
        String::from_utf8(said).unwrap()
    };
    tokio::select! {
        said = heard => Some(said),
        _ = call => None,
    }
}

const WAY: Way<'static> = Way {
    setting: "exporters.prometheusremotewrite",
    proxy: None,
    proxy_key: "proxy_url",
    ca_file: None,
    is_secure: true,
    is_of_aws: true,
};

#[tokio::test]
async fn a_named_endpoint_is_reached_by_its_own_proxy_or_by_that_of_its_scheme() {
    let url = |proxy: &str| Some(format!("http://{proxy}"));
    let none = |_: &str| None;
    let set = |name: &'static str| move |proxy: &str| vec![(name, proxy.to_owned())];
    let (secure, plain) = ("https://amp.invalid/write", "http://amp.invalid/write");
    let tunnel = Some("CONNECT amp.invalid:443 HTTP/1.1\r\n".to_owned());
    let asked = Some("GET http://amp.invalid/write HTTP/1.1\r\n".to_owned());
    assert_eq!(connected(secure, url, |_| Vec::new()).await, tunnel);
    assert_eq!(connected(plain, url, |_| Vec::new()).await, asked);
    assert_eq!(connected(secure, none, set("HTTPS_PROXY")).await, tunnel);
    assert_eq!(connected(plain, none, set("http_proxy")).await, asked);
    assert_eq!(connected(secure, none, set("HTTP_PROXY")).await, None);
    assert_eq!(connected(plain, none, set("HTTPS_PROXY")).await, None);
}

#[test]
fn what_a_named_endpoint_cannot_use_is_an_error_that_names_its_setting() {
    let error = |way: Way<'_>, variables: &[(&str, &str)]| {
        let variable = |name: &str| {
            let found = variables.iter().find(|(one, _)| *one == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        connector(&way, &variable)
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    let missing = Path::new("/does/not/exist");
    let of_file = Way {
        ca_file: Some(missing),
        ..WAY
    };
    let said = error(of_file, &[]).unwrap_err();
    assert_eq!(
        said,
        "exporters.prometheusremotewrite.tls.ca_file: cannot read /does/not/exist"
    );
    let of_proxy = Way {
        proxy: Some("ftp://user:password@proxy"),
        ..WAY
    };
    let said = error(of_proxy, &[]).unwrap_err();
    assert!(
        said.starts_with("exporters.prometheusremotewrite.proxy_url: "),
        "{said}"
    );
    assert!(!said.contains("password"), "{said}");
    let bundle = [("AWS_CA_BUNDLE", "/does/not/exist")];
    let said = error(WAY, &bundle).unwrap_err();
    assert!(said.starts_with("AWS_CA_BUNDLE: "), "{said}");
    let not_of_aws = Way {
        is_of_aws: false,
        ..WAY
    };
    assert_eq!(
        error(not_of_aws, &bundle),
        Ok(()),
        "it speaks of AWS's endpoints only"
    );
}

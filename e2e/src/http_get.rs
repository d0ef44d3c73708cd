//! Small requests: metrics and health pages, the control servers of the fakes.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Fetches `http://{address}{path}`.
///
/// # Errors
/// When there is no answer within 10 s, or it is larger than 64 MiB.
pub async fn http_get(address: SocketAddr, path: &str) -> anyhow::Result<(StatusCode, String)> {
    http_request(&format!("http://{address}{path}"), Method::GET, "").await
}

/// Sends `body` to an `http` URL.
///
/// # Errors
/// As [`http_get`].
pub async fn http_request(url: &str, method: Method, body: &str) -> anyhow::Result<(StatusCode, String)> {
    let what = format!("{method} {url}");
    let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
    let request = Request::builder().method(method).uri(url).body(body)?;
    let exchange = async {
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let response = client.request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
        let body = body
            .map_err(|error| anyhow::anyhow!("reading the answer: {error}"))?
            .to_bytes();
        anyhow::Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    tokio::time::timeout(TIMEOUT, exchange)
        .await
        .map_err(anyhow::Error::from)
        .and_then(|answer| answer)
        .with_context(|| what)
}

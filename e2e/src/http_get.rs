//! A GET, for metrics and health pages.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Fetches `http://{address}{path}`.
///
/// # Errors
/// When there is no answer within 10 s, or it is larger than 16 MiB.
pub async fn http_get(address: SocketAddr, path: &str) -> anyhow::Result<(StatusCode, String)> {
    let url: http::Uri = format!("http://{address}{path}").parse()?;
    let exchange = async {
        let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let response = client.get(url.clone()).await?;
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
        .with_context(|| format!("GET {url}"))
}

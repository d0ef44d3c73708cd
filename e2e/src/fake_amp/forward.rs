//! What was taken, passed on to a Prometheus.

use anyhow::ensure;
use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::PROTOCOL;

/// Prometheus answers a few lines when it refuses.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A Prometheus.
pub(super) struct Forward {
    url: Uri,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Forward {
    pub(super) fn to(url: &str) -> anyhow::Result<Self> {
        let url: Uri = url.parse()?;
        ensure!(url.host().is_some(), "{url} has no host");
        Ok(Self {
            url,
            client: Client::builder(TokioExecutor::new()).build_http(),
        })
    }

    /// Sends a body as it came. Otherwise the status and the words of the answer.
    pub(super) async fn send(&self, body: Bytes) -> Result<(), (StatusCode, String)> {
        let failed = |problem: String| (StatusCode::BAD_GATEWAY, problem);
        let mut request = Request::post(self.url.clone());
        for (name, value) in PROTOCOL {
            request = request.header(name, value);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|problem| failed(problem.to_string()))?;
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|problem| failed(problem.to_string()))?;
        let status = answer.status();
        let text = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        if status.is_success() {
            return Ok(());
        }
        let text = text.map_or_else(
            |_| String::new(),
            |text| String::from_utf8_lossy(&text.to_bytes()).into_owned(),
        );
        Err((status, text))
    }
}

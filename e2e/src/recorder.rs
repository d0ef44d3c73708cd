//! An X-Ray that takes everything: any signature, any document. It remembers documents as they came, for the upstream
//! collector's, some of which [`fake_xray`](crate::fake_xray) would refuse.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::fake_xray::json_response;
use crate::server::{Body, CloseConnection, Listen, Server};

/// Far above what a collector sends to X-Ray in one request.
const REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A running recorder. It ends when dropped.
pub struct Recorder {
    documents: Arc<watch::Sender<Vec<String>>>,
    server: Server,
}

impl Recorder {
    /// Plain HTTP on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When nothing can be bound.
    pub async fn start() -> std::io::Result<Self> {
        let documents = Arc::new(watch::Sender::new(Vec::new()));
        let of_server = Arc::clone(&documents);
        let handler = move |request| record(Arc::clone(&of_server), request);
        let server = Server::start(Listen { at: None, tls: None }, handler).await?;
        Ok(Self { documents, server })
    }

    /// The bound address.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The `endpoint` of an `awsxray` exporter.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Every document as it came, in the order of arrival.
    pub fn documents(&self) -> Vec<String> {
        self.documents.borrow().clone()
    }

    /// The documents that came since the last call, which are forgotten.
    pub fn take(&self) -> Vec<String> {
        self.documents.send_replace(Vec::new())
    }

    /// Returns as soon as there are so many documents. Set your own time limit around it.
    pub async fn wait_for(&self, count: usize) -> Vec<String> {
        let mut documents = self.documents.subscribe();
        match documents.wait_for(|documents| documents.len() >= count).await {
            Ok(documents) => documents.clone(),
            // The sender lives in `self`, so this cannot be; what there is is still true.
            Err(_) => self.documents(),
        }
    }
}

async fn record(
    documents: Arc<watch::Sender<Vec<String>>>,
    request: Request<Incoming>,
) -> Result<Response<Body>, CloseConnection> {
    let Ok(body) = Limited::new(request.into_body(), REQUEST_BYTES_MAX)
        .collect()
        .await
    else {
        return Err(CloseConnection);
    };
    let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null);
    // Calls of other operations have none and are answered as well.
    let sent = body["TraceSegmentDocuments"].as_array().into_iter().flatten();
    let sent = sent.filter_map(Value::as_str).map(str::to_owned);
    documents.send_modify(|documents| documents.extend(sent));
    Ok(json_response(
        StatusCode::OK,
        &json!({ "UnprocessedTraceSegments": [] }),
    ))
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};

    use super::Recorder;
    use crate::http_get::http_request;

    #[tokio::test]
    async fn documents_are_kept_as_they_came_and_nothing_is_refused() {
        let recorder = Recorder::start().await.unwrap();
        let put = format!("{}/TraceSegments", recorder.url());
        for body in [
            r#"{"TraceSegmentDocuments": ["{ \"id\": null }", "no JSON"]}"#,
            "{}",
            "",
        ] {
            let (status, _) = http_request(&put, Method::POST, body).await.unwrap();
            assert_eq!(status, StatusCode::OK);
        }
        assert_eq!(recorder.wait_for(2).await, [r#"{ "id": null }"#, "no JSON"]);
        assert_eq!(recorder.take().len(), 2);
        assert!(recorder.documents().is_empty());
    }
}

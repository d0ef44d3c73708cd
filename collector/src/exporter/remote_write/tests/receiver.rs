//! A receiver of remote write in memory, as the HTTP client that the exporter sends by. It stores samples as Prometheus
//! does: a request in which one sample is wrong is not stored at all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_smithy_runtime_api::client::connection::{CaptureSmithyConnection, ConnectionMetadata};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use prost::Message;

use super::{UNNAMEABLE, WRONG};
use crate::clock::Clock;

/// What the receiver does with a request.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// Stores it, or says what is wrong with it.
    Take,
    /// Stores it, and the answer is lost on the way.
    Lose,
    /// Stores it, and says that it did not.
    StoreAndFail(u16),
    /// A status.
    Status(u16),
    /// A status, headers and a body.
    Full(u16, Vec<(&'static str, String)>, &'static str),
    /// No connection.
    Refuse,
    /// Never answers.
    Hang,
    /// A fault of ours.
    Panic,
}

/// One request as it came.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) at: Duration,
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    /// How many samples, and bytes before compression.
    pub(super) samples: usize,
    pub(super) bytes: usize,
    /// How many came before.
    pub(super) number: usize,
}

/// What came.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) requests: Vec<Request>,
    pub(super) metadata: Vec<String>,
    /// By labels.
    series: HashMap<Labels, Vec<(i64, f64)>>,
    concurrent: usize,
    pub(super) concurrent_max: usize,
}

/// Names and values.
type Labels = Vec<(String, String)>;

type Script = Box<dyn FnMut(Duration, &Request) -> Answer + Send>;

/// The receiver.
#[derive(Clone)]
pub(super) struct Receiver {
    seen: Arc<Mutex<Seen>>,
    script: Arc<Mutex<Script>>,
    clock: Clock,
}

/// The messages of `prometheus.WriteRequest`, as far as the tests need them.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<MetricMetadata>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct MetricMetadata {
    #[prost(string, tag = "2")]
    family: String,
}

/// Labels as they lie in a series.
pub(super) fn labels(labels: &[(&str, &str)]) -> Vec<u8> {
    let label = |(name, value): &(&str, &str)| Label {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    TimeSeries {
        labels: labels.iter().map(label).collect(),
        samples: Vec::new(),
    }
    .encode_to_vec()
}

/// A request with metadata of a metric.
pub(super) fn metadata(family: &str) -> Vec<u8> {
    WriteRequest {
        timeseries: Vec::new(),
        metadata: vec![MetricMetadata {
            family: family.to_owned(),
        }],
    }
    .encode_to_vec()
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receiver")
    }
}

impl HttpConnector for Receiver {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let receiver = self.clone();
        HttpConnectorFuture::new(async move {
            let going = Going::new(&receiver);
            tokio::time::sleep(Duration::from_millis(20)).await;
            let answer = receiver.answer(&request).await;
            drop(going);
            answer
        })
    }
}

/// A request that is being answered.
struct Going(Receiver);

impl Going {
    fn new(receiver: &Receiver) -> Self {
        let mut seen = receiver.seen();
        seen.concurrent += 1;
        seen.concurrent_max = seen.concurrent_max.max(seen.concurrent);
        drop(seen);
        Self(receiver.clone())
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.0.seen().concurrent -= 1;
    }
}

impl Receiver {
    pub(super) fn new(script: impl FnMut(Duration, &Request) -> Answer + Send + 'static) -> Self {
        Self {
            seen: Arc::default(),
            script: Arc::new(Mutex::new(Box::new(script))),
            clock: Clock::start(),
        }
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        // A script may panic, which is what it is told to.
        self.seen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn answer(&self, request: &HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let body = request.body().bytes().unwrap();
        let plain = snap::raw::Decoder::new().decompress_vec(body).unwrap();
        let message = WriteRequest::decode(&plain[..]).unwrap();
        assert!(
            !message.timeseries.is_empty() || !message.metadata.is_empty(),
            "an empty request"
        );
        let mut got = Request {
            at: self.clock.now(),
            url: request.uri().to_owned(),
            headers: request
                .headers()
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            samples: message.timeseries.iter().map(|series| series.samples.len()).sum(),
            bytes: plain.len(),
            number: 0,
        };
        {
            let mut seen = self.seen();
            got.number = seen.requests.len();
            seen.requests.push(got.clone());
        }
        let answer = (self.script.lock().unwrap())(got.at, &got);
        if !matches!(answer, Answer::Refuse)
            && let Some(connection) = request.extension::<CaptureSmithyConnection>()
        {
            connection.set_connection_retriever(|| {
                Some(
                    ConnectionMetadata::builder()
                        .proxied(false)
                        .poison_fn(|| ())
                        .build(),
                )
            });
        }
        let broken = || ConnectorError::io(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into());
        match answer {
            Answer::Take => Ok(match self.seen().store(&message) {
                Ok(()) => response(200, &[], ""),
                Err(wrong) => response(400, &[], wrong),
            }),
            Answer::Lose => {
                let _is_stored = self.seen().store(&message);
                Err(broken())
            }
            Answer::StoreAndFail(status) => {
                let _is_stored = self.seen().store(&message);
                Ok(response(status, &[], "no quorum"))
            }
            Answer::Status(status) => Ok(response(status, &[], "")),
            Answer::Full(status, headers, body) => Ok(response(status, &headers, body)),
            Answer::Refuse => Err(broken()),
            Answer::Hang => std::future::pending().await,
            Answer::Panic => panic!("as it was told"),
        }
    }
}

fn response(status: u16, headers: &[(&'static str, String)], body: &str) -> HttpResponse {
    let mut response = HttpResponse::new(
        StatusCode::try_from(status).unwrap(),
        SdkBody::from(body.to_owned()),
    );
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.clone());
    }
    response
}

impl Seen {
    /// As Prometheus without a window for late samples.
    fn store(&mut self, request: &WriteRequest) -> Result<(), &'static str> {
        let mut new = Vec::with_capacity(request.timeseries.len());
        for series in &request.timeseries {
            assert!(!series.samples.is_empty(), "a series without samples");
            let labels = series
                .labels
                .iter()
                .map(|label| (label.name.clone(), label.value.clone()));
            let labels: Labels = labels.collect();
            if labels.iter().any(|(_, value)| value == UNNAMEABLE) {
                return Err("label_value_too_long");
            }
            let stored = self.series.get(&labels);
            let mut last = stored.and_then(|stored| stored.last().copied());
            let mut added = Vec::new();
            for sample in &series.samples {
                if sample.value.to_bits() == WRONG.to_bits() {
                    return Err("too_far_in_future");
                }
                let this = (sample.timestamp, sample.value);
                match last {
                    Some(last) if last == this => continue,
                    Some((last, _)) if sample.timestamp < last => return Err("out of order sample"),
                    Some((last, _)) if sample.timestamp == last => {
                        return Err("duplicate sample for timestamp");
                    }
                    Some(_) | None => added.push(this),
                }
                last = Some(this);
            }
            new.push((labels, added));
        }
        for (labels, added) in new {
            self.series.entry(labels).or_default().extend(added);
        }
        self.metadata
            .extend(request.metadata.iter().map(|metadata| metadata.family.clone()));
        Ok(())
    }

    /// How many samples are stored.
    pub(super) fn samples(&self) -> u64 {
        self.series.values().map(|samples| samples.len() as u64).sum()
    }

    /// The values of the series of this number.
    pub(super) fn values(&self, number: u64) -> Vec<f64> {
        let number = ("n".to_owned(), number.to_string());
        let (_, samples) = self
            .series
            .iter()
            .find(|(labels, _)| labels.contains(&number))
            .unwrap();
        samples.iter().map(|(_, value)| *value).collect()
    }

    /// The latest time that is stored.
    pub(super) fn newest(&self) -> i64 {
        let times = self.series.values().flatten().map(|(time, _)| *time);
        times.max().unwrap()
    }
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(one, _)| one == name);
        found.map(|(_, value)| value.as_str())
    }
}

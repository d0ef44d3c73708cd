//! A real Prometheus that takes remote write, and what it holds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::collector::free_address;
use crate::http_get::http_request;
use crate::process::Process;
use crate::remote_write::{self, Exemplar, Labels, TimeSeries};
use crate::snappy;

/// Names the binary: `e2e/tools/prometheus/fetch.sh` unpacks it.
pub const BINARY_VARIABLE: &str = "TRACEPIPE_PROMETHEUS";
/// Names the tool that comes with it.
pub const TOOL_VARIABLE: &str = "TRACEPIPE_PROMTOOL";

const START_LIMIT: Duration = Duration::from_secs(60);
/// Above what a test writes.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Scrapes nothing; takes samples that are so much older than the newest, as Amazon Managed Prometheus.
const CONFIG: &str = "global: {scrape_interval: 1h}\nstorage: {tsdb: {out_of_order_time_window: 60s}}\n";

/// A running Prometheus with a storage of its own, both gone when dropped.
pub struct Prometheus {
    process: Process,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts it on a free port of 127.0.0.1 and waits until it says that it is ready.
    ///
    /// # Errors
    /// When it cannot be started or ends.
    pub async fn start(binary: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, CONFIG)?;
        let address = free_address()?;
        let args = [
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", folder.path().join("data").display()),
            format!("--web.listen-address={address}"),
            "--web.enable-remote-write-receiver".to_owned(),
            "--enable-feature=native-histograms,exemplar-storage".to_owned(),
        ];
        let mut process = Process::start(binary, &args, &BTreeMap::new())?;
        let ready = |line: &str| {
            line.contains("Server is ready to receive web requests")
                .then_some(())
        };
        process
            .wait_for_line("ready Prometheus", START_LIMIT, ready)
            .await?;
        Ok(Self {
            process,
            address,
            _folder: folder,
        })
    }

    /// The URL of its remote write receiver.
    pub fn write_url(&self) -> String {
        format!("http://{}/api/v1/write", self.address)
    }

    /// The end of its log, for messages.
    pub fn log_tail(&self) -> String {
        self.process.log_tail(20)
    }

    /// Every sample that it holds, stale markers too, by labels: read by remote read, bit by bit.
    ///
    /// # Errors
    /// When it does not answer, or with something that cannot be read.
    pub async fn series(&self) -> anyhow::Result<BTreeMap<Labels, TimeSeries>> {
        let request = remote_write::read_request(0, i64::MAX / 2, "__name__");
        let request = Request::post(format!("http://{}/api/v1/read", self.address))
            .header("content-encoding", "snappy")
            .header("content-type", "application/x-protobuf")
            .header("x-prometheus-remote-read-version", "0.1.0")
            .body(Full::new(Bytes::from(snappy::encode(&request))))?;
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let answer = client.request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|problem| anyhow::anyhow!("{problem}"))?.to_bytes();
        ensure!(
            status == StatusCode::OK,
            "remote read: {status}: {}",
            String::from_utf8_lossy(&body)
        );
        let bytes = snappy::decode(&body, ANSWER_BYTES_MAX).map_err(|it| anyhow::anyhow!(it.0))?;
        let series = remote_write::decode_read_response(&bytes).map_err(|it| anyhow::anyhow!(it.0))?;
        let mut by_labels = BTreeMap::new();
        for one in series {
            let labels = one.labels.clone();
            if by_labels.insert(labels, one).is_some() {
                bail!("a series that is there twice");
            }
        }
        Ok(by_labels)
    }

    /// The exemplars of every series, by labels, in the order of time.
    ///
    /// # Errors
    /// When it does not answer, or with something else than exemplars.
    pub async fn exemplars(&self) -> anyhow::Result<BTreeMap<Labels, Vec<Exemplar>>> {
        let query = "query=%7B__name__%3D~%22.%2B%22%7D&start=0&end=99999999999";
        let url = format!("http://{}/api/v1/query_exemplars?{query}", self.address);
        let (status, text) = http_request(&url, Method::GET, "").await?;
        ensure!(status == StatusCode::OK, "query_exemplars: {status}: {text}");
        let answer: Value = serde_json::from_str(&text)?;
        let mut by_labels = BTreeMap::new();
        for series in answer["data"].as_array().context("no data")? {
            let exemplars = series["exemplars"].as_array().context("no exemplars")?;
            let exemplars: anyhow::Result<Vec<_>> = exemplars.iter().map(exemplar).collect();
            by_labels.insert(labels(&series["seriesLabels"])?, exemplars?);
        }
        Ok(by_labels)
    }
}

fn labels(object: &Value) -> anyhow::Result<Labels> {
    let object = object.as_object().context("labels that are none")?;
    let text = |value: &Value| {
        value
            .as_str()
            .map(str::to_owned)
            .context("a label that is no text")
    };
    let labels = object
        .iter()
        .map(|(name, value)| Ok((name.clone(), text(value)?)));
    let mut labels = labels.collect::<anyhow::Result<Labels>>()?;
    labels.sort();
    Ok(labels)
}

fn exemplar(object: &Value) -> anyhow::Result<Exemplar> {
    let value: f64 = object["value"].as_str().context("no value")?.parse()?;
    let seconds = object["timestamp"].as_f64().context("no timestamp")?;
    Ok(Exemplar {
        labels: labels(&object["labels"])?,
        bits: value.to_bits(),
        timestamp: (seconds * 1000.0).round() as i64,
    })
}

//! A real Prometheus that takes remote write or scrapes, and what it holds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::collector::free_address;
use crate::http_get::http_request;
use crate::process::Process;
use crate::remote_write::{self, Exemplar, Labels, Sample};
use crate::snappy;

/// Names the binary: `e2e/tools/prometheus/fetch.sh` unpacks it.
pub const BINARY_VARIABLE: &str = "TRACEPIPE_PROMETHEUS";
/// Names the tool that comes with it.
pub const TOOL_VARIABLE: &str = "TRACEPIPE_PROMTOOL";

const START_LIMIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Above what a test writes.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// `{__name__=~".+"}`
const ALL: &str = "query=%7B__name__%3D~%22.%2B%22%7D";
/// Above the age of what a test writes; Prometheus loads no more than there is.
const LOOKBACK: &str = "3h";

/// Scrapes nothing; takes samples that are so much older than the newest, as Amazon Managed Prometheus.
const CONFIG: &str = "global: {scrape_interval: 1h}\nstorage: {tsdb: {out_of_order_time_window: 60s}}\n";

/// What a Prometheus holds of a series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Series {
    /// Its floats, stale markers too, bit by bit.
    pub samples: Vec<Sample>,
    /// Its native histograms but for stale markers.
    pub histograms: Vec<NativeHistogram>,
    /// Its exemplars.
    pub exemplars: Vec<Exemplar>,
}

/// A native histogram as the query API shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeHistogram {
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// All observations.
    pub count: String,
    /// Their sum.
    pub sum: String,
    /// Populated buckets from the lowest: which bounds belong to it (0 the upper, 1 the lower, 3 both), lower bound, upper
    /// bound, observations.
    pub buckets: Vec<(u64, String, String, String)>,
}

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
        Self::start_with(binary, CONFIG).await
    }

    /// One that scrapes `/metrics` of each page once a second, and adds the label `page` with its name. What a series says
    /// of `job` and `instance` stays.
    ///
    /// # Errors
    /// As [`Prometheus::start`].
    pub async fn scraping(binary: &Path, pages: &[(&str, SocketAddr)]) -> anyhow::Result<Self> {
        let page = |(name, address): &(&str, SocketAddr)| {
            format!("    - {{targets: ['{address}'], labels: {{page: '{name}'}}}}\n")
        };
        let pages: String = pages.iter().map(page).collect();
        let config = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: scraped\n    honor_labels: true\n    \
             static_configs:\n{pages}"
        );
        Self::start_with(binary, &config).await
    }

    async fn start_with(binary: &Path, text: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, text)?;
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

    /// Waits until every page has been scraped.
    ///
    /// # Errors
    /// What is wrong with a page that could not be scraped; or when one was not within a minute.
    pub async fn wait_for_scrapes(&self) -> anyhow::Result<()> {
        let waiting = async {
            while !self.is_all_scraped().await? {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
            anyhow::Ok(())
        };
        let waited = tokio::time::timeout(START_LIMIT, waiting).await;
        waited.with_context(|| format!("not scraped:\n{}", self.log_tail()))?
    }

    async fn is_all_scraped(&self) -> anyhow::Result<bool> {
        let data = self.get("targets").await?;
        let targets = data["activeTargets"].as_array().context("no targets")?;
        for target in targets {
            ensure!(
                target["health"] != "down",
                "{}: {}",
                target["scrapeUrl"],
                target["lastError"]
            );
        }
        Ok(!targets.is_empty() && targets.iter().all(|target| target["health"] == "up"))
    }

    /// All that it holds, by labels.
    ///
    /// # Errors
    /// When it does not answer, or with something that cannot be read.
    pub async fn series(&self) -> anyhow::Result<BTreeMap<Labels, Series>> {
        let mut all: BTreeMap<Labels, Series> = BTreeMap::new();
        for (labels, samples) in self.floats().await? {
            all.entry(labels).or_default().samples = samples;
        }
        for (labels, histograms) in self.histograms().await? {
            all.entry(labels).or_default().histograms = histograms;
        }
        for (labels, exemplars) in self.exemplars().await? {
            all.entry(labels).or_default().exemplars = exemplars;
        }
        Ok(all)
    }

    /// By remote read, which this version answers with floats alone.
    async fn floats(&self) -> anyhow::Result<Vec<(Labels, Vec<Sample>)>> {
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
        Ok(series.into_iter().map(|one| (one.labels, one.samples)).collect())
    }

    async fn histograms(&self) -> anyhow::Result<Vec<(Labels, Vec<NativeHistogram>)>> {
        let data = self.get(&format!("query?{ALL}%5B{LOOKBACK}%5D")).await?;
        let mut all = Vec::new();
        for series in data["result"].as_array().context("no result")? {
            if let Some(histograms) = series["histograms"].as_array() {
                let histograms: anyhow::Result<Vec<_>> = histograms.iter().map(histogram).collect();
                all.push((labels(&series["metric"])?, histograms?));
            }
        }
        Ok(all)
    }

    async fn exemplars(&self) -> anyhow::Result<Vec<(Labels, Vec<Exemplar>)>> {
        let data = self
            .get(&format!("query_exemplars?{ALL}&start=0&end=99999999999"))
            .await?;
        let mut all = Vec::new();
        for series in data.as_array().context("no data")? {
            let exemplars = series["exemplars"].as_array().context("no exemplars")?;
            let exemplars: anyhow::Result<Vec<_>> = exemplars.iter().map(exemplar).collect();
            all.push((labels(&series["seriesLabels"])?, exemplars?));
        }
        Ok(all)
    }

    async fn get(&self, what: &str) -> anyhow::Result<Value> {
        let url = format!("http://{}/api/v1/{what}", self.address);
        let (status, text) = http_request(&url, Method::GET, "").await?;
        ensure!(status == StatusCode::OK, "{what}: {status}: {text}");
        let mut answer: Value = serde_json::from_str(&text)?;
        Ok(answer["data"].take())
    }
}

fn histogram(pair: &Value) -> anyhow::Result<NativeHistogram> {
    let text = |value: &Value| {
        value
            .as_str()
            .map(str::to_owned)
            .context("a number that is no text")
    };
    let value = &pair[1];
    let mut buckets = Vec::new();
    for bucket in value["buckets"].as_array().into_iter().flatten() {
        let rule = bucket[0].as_u64().context("a bucket without its rule")?;
        buckets.push((rule, text(&bucket[1])?, text(&bucket[2])?, text(&bucket[3])?));
    }
    Ok(NativeHistogram {
        timestamp: millis(&pair[0])?,
        count: text(&value["count"])?,
        sum: text(&value["sum"])?,
        buckets,
    })
}

fn millis(seconds: &Value) -> anyhow::Result<i64> {
    let seconds = seconds.as_f64().context("no timestamp")?;
    Ok((seconds * 1000.0).round() as i64)
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
    Ok(Exemplar {
        labels: labels(&object["labels"])?,
        bits: value.to_bits(),
        timestamp: millis(&object["timestamp"])?,
    })
}

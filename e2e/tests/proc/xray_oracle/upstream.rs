//! The upstream collector with a pipeline for each exporter's settings.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, ensure};
use bytes::Bytes;
use serde_json::Value;
use tracepipe_e2e::collector::{OtelcolPeer, free_address};
use tracepipe_e2e::load::{Outcome, Sender, Target};
use tracepipe_e2e::recorder::Recorder;
use tracepipe_e2e::workload::Encoding;

use crate::rig::{KEY, LIMIT};

/// A running collector. There is no batch processor and no queue in it: what a request becomes has been sent when the
/// request is answered.
pub(crate) struct Upstream {
    peer: OtelcolPeer,
    pipelines: Vec<(Sender, Recorder)>,
}

impl Upstream {
    pub(crate) async fn start(binary: &Path, exporters: &[(&str, Value)]) -> anyhow::Result<Self> {
        let mut pipelines = Vec::new();
        let mut parts = Parts::default();
        let mut last = None;
        for (name, exporter) in exporters {
            let address = free_address()?;
            let recorder = Recorder::start().await?;
            parts.add(name, address, &recorder.url(), exporter)?;
            pipelines.push((Sender::new(Target::http(address))?, recorder));
            last = Some(address);
        }
        let env = BTreeMap::from(
            [
                ("AWS_ACCESS_KEY_ID", KEY.0),
                ("AWS_SECRET_ACCESS_KEY", KEY.1),
                ("AWS_REGION", "us-east-1"),
                ("AWS_EC2_METADATA_DISABLED", "true"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let last = last.context("no exporter")?;
        let peer = OtelcolPeer::start(binary, &parts.config(), last, &env).await?;
        Ok(Self { peer, pipelines })
    }

    /// The documents of a request by their trace ids; each trace is one span.
    pub(crate) async fn documents(
        &self,
        pipeline: usize,
        request: Bytes,
    ) -> anyhow::Result<BTreeMap<String, Vec<Value>>> {
        let (sender, recorder) = self.pipelines.get(pipeline).context("no such pipeline")?;
        let outcome = sender.send(request, Encoding::Protobuf).await;
        ensure!(
            outcome == Outcome::Accepted { rejected_spans: 0 },
            "the upstream collector answered {outcome:?}"
        );
        let mut documents: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for text in recorder.take() {
            let document: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
            let trace_id = document["trace_id"].as_str().context("no trace id")?;
            let hex = trace_id.strip_prefix("1-").context("no trace id of X-Ray")?;
            documents.entry(hex.replace('-', "")).or_default().push(document);
        }
        Ok(documents)
    }

    pub(crate) async fn stop(self) {
        let (status, log) = self.peer.terminate(LIMIT).await.unwrap();
        assert!(status.success(), "{status}:\n{}", log.join("\n"));
    }
}

/// A configuration in the making.
#[derive(Default)]
struct Parts {
    receivers: String,
    exporters: String,
    pipelines: String,
}

impl Parts {
    fn add(&mut self, name: &str, address: SocketAddr, endpoint: &str, exporter: &Value) -> std::fmt::Result {
        writeln!(
            self.receivers,
            "  otlp/{name}: {{protocols: {{http: {{endpoint: '{address}'}}}}}}"
        )?;
        let mut exporter = exporter.clone();
        exporter["endpoint"] = endpoint.into();
        exporter["region"] = "us-east-1".into();
        exporter["local_mode"] = true.into();
        // JSON is YAML.
        writeln!(self.exporters, "  awsxray/{name}: {exporter}")?;
        writeln!(
            self.pipelines,
            "    traces/{name}: {{receivers: [otlp/{name}], exporters: [awsxray/{name}]}}"
        )
    }

    fn config(&self) -> String {
        format!(
            "receivers:\n{}exporters:\n{}service:\n  telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}\n  \
             pipelines:\n{}",
            self.receivers, self.exporters, self.pipelines
        )
    }
}

//! The two programs, each with a front of its own and a real Prometheus behind it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use tracepipe_e2e::account::Account;
use tracepipe_e2e::collector::{CollectorProcess, OtelcolPeer, free_address};
use tracepipe_e2e::fake_amp::{FakeAmp, Limits, Options};
use tracepipe_e2e::load::{Outcome, Sender, Target};
use tracepipe_e2e::otlp_metrics::{Resource, encode, points};
use tracepipe_e2e::prometheus::{self, Prometheus};
use tracepipe_e2e::workload::Encoding;

use super::compare::Held;
use crate::amp_rig::{self, key};
use crate::rig::{self, KEY, LIMIT, named};

/// The programs that the tests of this module stand on; a line says which one is not there.
pub(crate) struct Programs {
    pub(crate) upstream: PathBuf,
    pub(crate) prometheus: PathBuf,
}

impl Programs {
    pub(crate) async fn find() -> Option<Self> {
        let prometheus = named(
            prometheus::BINARY_VARIABLE,
            "series beside those of upstream in a real Prometheus",
        )?;
        named(
            "TRACEPIPE_OTELCOL",
            "series beside those of upstream in a real Prometheus",
        )?;
        let upstream = crate::parity::peer_binary().await.unwrap();
        Some(Self { upstream, prometheus })
    }
}

/// What both are told: no word of ours in it.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// Further keys of the exporter, YAML at its depth.
    pub(crate) exporter: &'static str,
    /// Delta points are accumulated before upstream's exporter, by the processor that upstream has for it.
    pub(crate) accumulate: bool,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            exporter: "    external_labels: {cluster: oracle}\n    resource_to_telemetry_conversion: {enabled: true}\n",
            accumulate: true,
        }
    }
}

const SIGNED: &str = "extensions:\n  sigv4auth: {region: us-east-1, service: aps}\n";

fn environment() -> BTreeMap<String, String> {
    [
        ("AWS_ACCESS_KEY_ID", KEY.0),
        ("AWS_SECRET_ACCESS_KEY", KEY.1),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// Where the samples of a program go.
pub(crate) struct Backend {
    pub(crate) front: FakeAmp,
    behind: Prometheus,
}

impl Backend {
    /// `limits`: what the front checks before Prometheus has a look.
    async fn start(programs: &Programs, limits: Option<Limits>) -> anyhow::Result<Self> {
        let behind = Prometheus::start(&programs.prometheus).await?;
        let front = FakeAmp::start(Options {
            limits,
            forward: Some(behind.write_url()),
            ..Options::new(key())
        })
        .await?;
        Ok(Self { front, behind })
    }

    /// What is known of a request that was not taken.
    pub(crate) fn complaint(&self) -> String {
        format!("{:?}\n{}", self.front.refused_behind(), self.behind.log_tail())
    }

    /// What Prometheus holds; but the exemplars of native histograms are those that were written, where the front remembers
    /// them. Prometheus 2.42 looks for the series of an exemplar before it adds one for the first histogram.
    pub(crate) async fn series(&self) -> Held {
        let mut held = self.behind.series().await.unwrap();
        for (mut labels, written) in self.front.series() {
            if written.histograms.is_empty() {
                continue;
            }
            labels.retain(|(_, value)| !value.is_empty());
            if let Some(series) = held.get_mut(&labels) {
                series.exemplars = written.exemplars;
                series.exemplars.iter_mut().for_each(|it| it.labels.sort());
            }
        }
        held
    }
}

/// The upstream collector. There is no batch processor and no queue in it: what a request becomes has been written when
/// the request is answered.
pub(crate) struct Upstream {
    pub(crate) backend: Backend,
    peer: OtelcolPeer,
    sender: Sender,
}

impl Upstream {
    pub(crate) async fn start(programs: &Programs, told: &Told) -> anyhow::Result<Self> {
        let backend = Backend::start(programs, None).await?;
        let otlp = free_address()?;
        let (processors, names) = if told.accumulate {
            ("processors:\n  deltatocumulative:\n", "deltatocumulative")
        } else {
            ("", "")
        };
        let config = format!(
            "{SIGNED}receivers:\n  otlp: {{protocols: {{http: {{endpoint: '{otlp}'}}}}}}\n{processors}exporters:\n  \
             prometheusremotewrite:\n    endpoint: {}\n    auth: {{authenticator: sigv4auth}}\n{}    \
             send_metadata: true\n    remote_write_queue: {{enabled: false}}\n    retry_on_failure: {{enabled: false}}\n\
             service:\n  extensions: [sigv4auth]\n  telemetry: {{metrics: {{level: none}}, logs: {{level: warn, disable_stacktrace: true}}}}\n  \
             pipelines:\n    metrics: {{receivers: [otlp], processors: [{names}], exporters: [prometheusremotewrite]}}\n",
            backend.front.url(),
            told.exporter,
        );
        let peer = OtelcolPeer::start(&programs.upstream, &config, otlp, &environment()).await?;
        let sender = Sender::of_metrics(Target::http(otlp))?;
        Ok(Self {
            backend,
            peer,
            sender,
        })
    }

    /// What it answers.
    pub(crate) async fn send(&self, request: Bytes) -> Outcome {
        self.sender.send(request, Encoding::Protobuf).await
    }

    pub(crate) async fn stop(self) -> Vec<String> {
        let (status, log) = self.peer.terminate(LIMIT).await.unwrap();
        assert!(status.success(), "{status}:\n{}", log.join("\n"));
        log
    }
}

/// Our collector.
pub(crate) struct Ours {
    pub(crate) backend: Backend,
    collector: CollectorProcess,
    sender: Sender,
    points: Cell<u64>,
}

impl Ours {
    /// The front checks what it takes as Amazon Managed Prometheus does.
    pub(crate) async fn start(programs: &Programs, told: &Told) -> anyhow::Result<Self> {
        let backend = Backend::start(programs, Some(Limits::default())).await?;
        let config = format!(
            "{SIGNED}receivers:\n  otlp: {{protocols: {{grpc: , http: }}}}\nexporters:\n  \
             prometheusremotewrite:\n    endpoint: {}\n    auth: {{authenticator: sigv4auth}}\n{}    \
             send_metadata: true\n    tracepipe: {{batch_send_deadline: 100ms}}\n  debug:\nservice:\n  \
             extensions: [sigv4auth]\n  pipelines:\n    traces: {{receivers: [otlp], exporters: [debug]}}\n    \
             metrics: {{receivers: [otlp], exporters: [prometheusremotewrite]}}\n",
            backend.front.url(),
            told.exporter,
        );
        let collector = amp_rig::collector(&config, |start| start).await;
        let sender = Sender::of_metrics(Target::http(collector.http()?))?;
        let points = Cell::new(0);
        Ok(Self {
            backend,
            collector,
            sender,
            points,
        })
    }

    /// Sends a request, which has to be taken.
    pub(crate) async fn send(&self, request: &[Resource]) {
        let taken = self.sender.send(encode(request), Encoding::Protobuf).await;
        assert_eq!(taken, Outcome::Accepted { rejected_spans: 0 });
        self.points.set(self.points.get() + points(request));
    }

    /// Waits until all is written.
    pub(crate) async fn settled(&self) -> Account {
        amp_rig::settled(&self.collector, self.points.get()).await
    }

    pub(crate) async fn stop(self) -> Account {
        rig::stop(self.collector).await
    }
}

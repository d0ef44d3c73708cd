//! What the tests stand on: a collector between a generator and a fake.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tracepipe_e2e::account::Account;
use tracepipe_e2e::clock;
use tracepipe_e2e::collector::{CollectorProcess, Start};
use tracepipe_e2e::documents::Document;
use tracepipe_e2e::fake_xray::{Credentials, FakeXray, Options};
use tracepipe_e2e::load::{self, LoadReport, Planned, Sender, Target};
use tracepipe_e2e::otlp_sink::OtlpSink;
use tracepipe_e2e::workload::{Mix, Plain, TraceTruth};

/// Nothing in these tests takes longer, unless it has failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

pub(crate) const KEY: (&str, &str) = ("AKIATRACEPIPETEST", "test-secret-of-no-account");

/// The decisions of a test come sooner than those of a cluster.
const DECISION_WAIT: &str = "processors.tail_sampling.decision_wait=1s";

pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy/examples")
        .join(name)
}

/// The value of a variable that names something real; without it, the line that says what is left out.
pub(crate) fn named(variable: &str, what: &str) -> Option<PathBuf> {
    let value = std::env::var_os(variable).filter(|value| !value.is_empty());
    if value.is_none() {
        // Not a print macro: the test harness would swallow it.
        let line = format!("left out: {what} ({variable} is not set)\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    value.map(PathBuf::from)
}

pub(crate) struct XrayRig {
    pub(crate) fake: FakeXray,
    pub(crate) collector: CollectorProcess,
}

/// The first seed's configuration with a decision wait of one second, and a fake X-Ray.
pub(crate) async fn xray(adjust: impl FnOnce(Start) -> Start) -> XrayRig {
    let fake = FakeXray::start(Options::new(Credentials::new(KEY.0, KEY.1)))
        .await
        .unwrap();
    let start = Start::new(example("seed1.yaml"))
        .set(DECISION_WAIT)
        .xray(fake.url(), KEY);
    let collector = CollectorProcess::start(adjust(start)).await.unwrap();
    XrayRig { fake, collector }
}

impl XrayRig {
    /// X-Ray's documents by the trace id's 32 hex digits.
    pub(crate) fn documents(&self) -> HashMap<String, Vec<Document>> {
        let mut traces: HashMap<String, Vec<Document>> = HashMap::new();
        for accepted in self.fake.accepted() {
            let document = Document::parse(&accepted).unwrap();
            traces
                .entry(document.trace_id[2..].replace('-', ""))
                .or_default()
                .push(document);
        }
        traces
    }

    /// Every span of the trace has a document.
    pub(crate) fn has_whole(&self, documents: &HashMap<String, Vec<Document>>, truth: &TraceTruth) -> bool {
        let of_trace = documents
            .get(&truth.trace_id.to_string())
            .map_or(&[][..], Vec::as_slice);
        truth
            .spans
            .iter()
            .all(|span| of_trace.iter().any(|document| document.id == span.to_string()))
    }

    /// Fails unless X-Ray took every document and every signature.
    pub(crate) fn assert_clean(&self) {
        let counts = self.fake.counts();
        assert_eq!((counts.denied, counts.invalid), (0, 0), "{counts:?}");
        assert_eq!(self.fake.refused(), []);
    }
}

pub(crate) struct OtlpRig {
    pub(crate) sink: OtlpSink,
    pub(crate) collector: CollectorProcess,
}

/// The configuration with OTLP out, a decision wait of one second, and a sink.
pub(crate) async fn otlp(adjust: impl FnOnce(Start) -> Start) -> OtlpRig {
    let sink = OtlpSink::start().await.unwrap();
    let start = Start::new(example("otlp-out.yaml"))
        .set(DECISION_WAIT)
        .set(format!("exporters.otlp.endpoint={}", sink.address()));
    let collector = CollectorProcess::start(adjust(start)).await.unwrap();
    OtlpRig { sink, collector }
}

/// Ten-span traces from now on.
pub(crate) fn plain(seed: u64, mix: Mix, traces_per_second: u64) -> Plain {
    Plain::new(seed, mix, clock::unix_nanos(), traces_per_second).unwrap()
}

/// Sends the first requests of a workload at their times.
pub(crate) async fn send(target: Target, plain: &Plain, requests: u64) -> LoadReport {
    let senders = [Arc::new(Sender::new(target).unwrap())];
    let planned = (0..requests).map(|number| Planned {
        due: Duration::from_nanos(plain.due_nanos(number)),
        sender: 0,
        request: plain.request(number),
    });
    load::run(&senders, clock::now(), planned).await
}

/// What is known of the traces in the first requests.
pub(crate) fn truths(plain: &Plain, requests: u64) -> Vec<TraceTruth> {
    (0..requests)
        .flat_map(Plain::traces_of)
        .map(|trace| plain.truth(trace))
        .collect()
}

/// Waits until `spans` came in and none is inside any more; every snapshot on the way holds.
pub(crate) async fn settled(collector: &CollectorProcess, spans: u64) -> Account {
    collector
        .wait_until("settled collector", LIMIT, |account| {
            account.sum("tracepipe_spans_accepted") == spans && account.spans_inside() == 0
        })
        .await
        .unwrap()
}

/// SIGTERM; the exit status is 0 and the last account holds.
pub(crate) async fn stop(collector: CollectorProcess) -> Account {
    let ended = collector.terminate(LIMIT).await.unwrap();
    assert!(
        ended.status.success(),
        "{}:\n{}",
        ended.status,
        ended.log.join("\n")
    );
    let account = ended.account.expect("the last account is logged");
    assert_eq!(account.check(), Ok(()));
    account
}

//! The upstream collector with one pipeline for each policy set: all get the same requests.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use tracepipe_e2e::clock;
use tracepipe_e2e::collector::{OtelcolPeer, PeerStart, free_address};
use tracepipe_e2e::load::{Outcome, Sender, Target};
use tracepipe_e2e::wire::{Field, Malformed, Reader};
use tracepipe_e2e::workload::Encoding;
use tracepipe_otlp::TraceId;

use super::sets::PolicySet;
use super::traffic::Traffic;

/// Upstream decides all that waits when it is told to end, on all that came until then. So it must be told before the
/// first trace is due, which is checked.
const DECISION_WAIT: Duration = Duration::from_secs(900);
/// Decisions about all traces for all sets, and their way to the disk.
const STOP_LIMIT: Duration = Duration::from_secs(300);

/// Upstream records which policy kept a trace only behind this gate.
const RECORD_POLICY: &str = "--feature-gates=+processor.tailsamplingprocessor.recordpolicy";
const POLICY_ATTRIBUTE: &[u8] = b"tailsampling.policy";

/// A trace that was kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Kept {
    /// What kept it.
    pub(super) policy: String,
    pub(super) spans: u32,
}

/// The traces that were kept.
pub(super) type KeptTraces = BTreeMap<TraceId, Kept>;

/// A running upstream collector with a pipeline for each of some sets.
pub(super) struct Upstream {
    peer: OtelcolPeer,
    address: SocketAddr,
    /// A file for each pipeline, with what was kept.
    folder: tempfile::TempDir,
    sets: usize,
}

impl Upstream {
    /// Starts it; every trace is decided so long after its first span, in whole seconds.
    pub(super) async fn start(
        binary: &Path,
        sets: &[PolicySet],
        decision_wait: Duration,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = free_address()?;
        let config = config(address, folder.path(), sets, decision_wait)?;
        let start = PeerStart {
            args: vec![RECORD_POLICY.to_owned()],
            ..PeerStart::new(binary, &config, address)
        };
        Ok(Self {
            peer: start.start().await?,
            address,
            folder,
            sets: sets.len(),
        })
    }

    /// Its OTLP/gRPC server.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it ends by itself, in no good order, and says what it wrote.
    pub(super) async fn wait_for_end(mut self) -> anyhow::Result<String> {
        let process = self.peer.process();
        let status = process.wait(STOP_LIMIT).await?;
        ensure!(!status.success(), "the upstream collector ended in good order");
        Ok(process.log().join("\n"))
    }

    /// Ends it, which makes it decide all that waits, and says what was kept for each of the sets.
    pub(super) async fn stop(self) -> anyhow::Result<Vec<KeptTraces>> {
        let (status, log) = self.peer.terminate(STOP_LIMIT).await?;
        ensure!(
            status.success(),
            "the upstream collector ended with {status}:\n{}",
            log.join("\n")
        );
        (0..self.sets)
            .map(|index| {
                let path = self.folder.path().join(index.to_string());
                let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
                read_kept(&bytes)
                    .map_err(|_| anyhow::anyhow!("what the upstream collector wrote cannot be read"))
            })
            .collect()
    }
}

/// What upstream keeps of the traffic for each of the sets.
pub(super) async fn kept(
    binary: &Path,
    traffic: &Traffic,
    sets: &[PolicySet],
) -> anyhow::Result<Vec<KeptTraces>> {
    let upstream = Upstream::start(binary, sets, DECISION_WAIT).await?;
    let started = clock::now();
    send(traffic, upstream.address()).await?;
    let took = clock::now().saturating_duration_since(started);
    ensure!(
        took < DECISION_WAIT / 2,
        "sending took {took:?}: decisions may have been made before all was there"
    );
    upstream.stop().await
}

/// Sends the requests one after the other: the order of spans is part of the question.
pub(super) async fn send(traffic: &Traffic, address: SocketAddr) -> anyhow::Result<()> {
    let sender = Sender::new(Target::grpc(address))?;
    for request in &traffic.requests {
        let outcome = sender.send(request.clone(), Encoding::Protobuf).await;
        ensure!(
            outcome == Outcome::Accepted { rejected_spans: 0 },
            "the collector answered {outcome:?}"
        );
    }
    Ok(())
}

fn config(
    address: SocketAddr,
    folder: &Path,
    sets: &[PolicySet],
    decision_wait: Duration,
) -> anyhow::Result<String> {
    let (mut processors, mut exporters, mut pipelines) = (String::new(), String::new(), String::new());
    for (index, set) in sets.iter().enumerate() {
        writeln!(
            processors,
            "  tail_sampling/{index}: {{decision_wait: {}s, num_traces: 10000000, sample_on_first_match: {}, \
             policies: {}}}",
            decision_wait.as_secs(),
            set.sample_on_first_match,
            set.policies
        )?;
        let path = folder.join(index.to_string());
        writeln!(
            exporters,
            "  file/{index}: {{path: \"{}\", format: proto}}",
            path.display()
        )?;
        writeln!(
            pipelines,
            "    traces/{index}: {{receivers: [otlp], processors: [tail_sampling/{index}], exporters: [file/{index}]}}"
        )?;
    }
    Ok(format!(
        "receivers:\n  otlp: {{protocols: {{grpc: {{endpoint: \"{address}\", max_recv_msg_size_mib: 64}}}}}}\n\
         processors:\n{processors}exporters:\n{exporters}service:\n  telemetry: {{metrics: {{level: none}}, logs: \
         {{level: warn}}}}\n  pipelines:\n{pipelines}"
    ))
}

/// Messages with their length in 4 bytes before them, as the file exporter writes them.
fn read_kept(mut bytes: &[u8]) -> Result<KeptTraces, Malformed> {
    let mut kept = KeptTraces::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk().ok_or(Malformed)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (message, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
        bytes = rest;
        read_message(message, &mut kept)?;
    }
    Ok(kept)
}

/// The traces of an `ExportTraceServiceRequest`, or of what upstream writes to a file, which has the same form.
pub(super) fn read_message(message: &[u8], kept: &mut KeptTraces) -> Result<(), Malformed> {
    for resource_spans in messages(message, 1) {
        for scope_spans in messages(resource_spans?, 2) {
            read_scope(scope_spans?, kept)?;
        }
    }
    Ok(())
}

/// Upstream writes the policy into the scope (field 1, there 3 = attributes), we into each span (field 2, there 9 =
/// attributes and 1 = trace id).
fn read_scope(scope_spans: &[u8], kept: &mut KeptTraces) -> Result<(), Malformed> {
    let mut of_scope = None;
    for scope in messages(scope_spans, 1) {
        of_scope = policy_among(messages(scope?, 3))?.or(of_scope);
    }
    for span in messages(scope_spans, 2) {
        let span = span?;
        let policy = policy_among(messages(span, 9))?.or_else(|| of_scope.clone());
        for id in messages(span, 1) {
            let id = TraceId(id?.try_into().map_err(|_| Malformed)?);
            let trace = kept.entry(id).or_default();
            trace.policy = policy.clone().unwrap_or_default();
            trace.spans += 1;
        }
    }
    Ok(())
}

fn policy_among<'a>(
    attributes: impl Iterator<Item = Result<&'a [u8], Malformed>>,
) -> Result<Option<String>, Malformed> {
    let mut policy = None;
    for attribute in attributes {
        policy = policy_in(attribute?)?.or(policy);
    }
    Ok(policy)
}

/// The text of a `KeyValue` that names the policy.
fn policy_in(attribute: &[u8]) -> Result<Option<String>, Malformed> {
    // An empty key is not written at all.
    let mut key: &[u8] = &[];
    for found in messages(attribute, 1) {
        key = found?;
    }
    if key != POLICY_ATTRIBUTE {
        return Ok(None);
    }
    let mut policy = None;
    for value in messages(attribute, 2) {
        for text in messages(value?, 1) {
            policy = Some(String::from_utf8_lossy(text?).into_owned());
        }
    }
    Ok(policy)
}

fn messages(bytes: &[u8], number: u32) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    Reader::new(bytes).filter_map(move |field| match field {
        Ok((found, Field::Bytes(inner))) if found == number => Some(Ok(inner)),
        Ok(_) => None,
        Err(malformed) => Some(Err(malformed)),
    })
}

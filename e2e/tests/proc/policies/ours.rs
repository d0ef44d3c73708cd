//! The same sets and requests through our own walk, policies and trace table, in this process: what the collector does
//! with a request, without its servers and queues.

use std::time::Duration;

use anyhow::Context;
use tracepipe_config::{Source, TailSamplingSettings};
use tracepipe_e2e::collector::{CollectorProcess, Start};
use tracepipe_e2e::otlp_sink::OtlpSink;
use tracepipe_otlp::walk::RequestWalk;
use tracepipe_sampling::{Effect, TraceTable};

use super::sets::PolicySet;
use super::traffic::Traffic;
use super::upstream::{self, Kept, KeptTraces};
use crate::rig;

/// All decisions of a run are within the time that its traces wait.
const DECISION_WAIT: Duration = Duration::from_secs(3_000);
const DECISION_INTERVAL: Duration = Duration::from_micros(100);

/// What we keep of the traffic for a set, all decided when all is there.
pub(super) fn kept(traffic: &Traffic, set: &PolicySet) -> anyhow::Result<KeptTraces> {
    let settings = settings(set)?;
    let mut table: TraceTable<()> = TraceTable::new(&settings, traffic.seed)?;
    let mut watch = table.policies().watch();
    let mut walk = RequestWalk::new();
    // One after the other, with time between them, in which a budget that is no limit fills.
    let mut now = Duration::ZERO;
    for request in &traffic.requests {
        walk.walk_with(request, &mut watch).context("a request")?;
        for head in walk.spans() {
            now += DECISION_INTERVAL;
            table.on_span(now, head, head.record.len() as u32);
        }
    }
    while let Some(deadline) = table.poll_timeout() {
        table.on_timeout(deadline);
    }
    let mut kept = KeptTraces::new();
    while let Some(effect) = table.poll_effect() {
        if let Effect::Release(trace) = effect {
            let policy = table
                .policies()
                .name(trace.policy)
                .context("a policy has a name")?;
            let one = Kept {
                policy: policy.to_owned(),
                spans: trace.spans,
            };
            kept.insert(trace.trace_id, one);
        }
    }
    Ok(kept)
}

/// Reads the set as the collector reads its configuration.
pub(super) fn settings(set: &PolicySet) -> anyhow::Result<TailSamplingSettings> {
    let text = config(set, "127.0.0.1:4317", DECISION_WAIT);
    let source = Source {
        name: format!("set {}", set.number),
        text,
    };
    let loaded = tracepipe_config::load(&source, &[], &|_| None)
        .map_err(|errors| anyhow::anyhow!("{errors}\n{}", set.policies))?;
    loaded.settings.tail_sampling.context("there is a tail_sampling")
}

/// A whole configuration with OTLP out.
pub(super) fn config(set: &PolicySet, sink: &str, decision_wait: Duration) -> String {
    format!(
        "receivers:\n  otlp: {{protocols: {{grpc: {{endpoint: \"127.0.0.1:0\"}}}}}}\n\
         processors:\n  tail_sampling: {{decision_wait: {}s, num_traces: 1000000, sample_on_first_match: {}, \
         policies: {}}}\n\
         exporters:\n  otlp: {{endpoint: \"{sink}\", compression: none, tls: {{insecure: true}}, \
         sending_queue: {{queue_size: 100000}}}}\n\
         service:\n  pipelines:\n    traces: {{receivers: [otlp], processors: [tail_sampling], exporters: [otlp]}}\n",
        decision_wait.as_secs(),
        set.sample_on_first_match,
        set.policies
    )
}

/// What the collector itself keeps of the traffic for a set, by what stands in the spans that it sends on.
pub(super) async fn kept_by_collector(traffic: &Traffic, set: &PolicySet) -> anyhow::Result<KeptTraces> {
    let sink = OtlpSink::start().await?;
    sink.keep_messages();
    let file = tempfile::Builder::new().suffix(".yaml").tempfile()?;
    let config = config(set, &sink.address().to_string(), Duration::from_secs(2));
    std::fs::write(file.path(), config)?;
    let collector = CollectorProcess::start(Start::new(file.path())).await?;
    upstream::send(traffic, collector.grpc()?).await?;
    let spans = traffic.traces.values().map(|spans| u64::from(*spans)).sum();
    rig::settled(&collector, spans).await;
    let lost = rig::stop(collector).await.sum("tracepipe_exporter_spans_lost");
    // Each trace is a batch of its own here, and thousands are decided at one moment.
    anyhow::ensure!(lost == 0, "{lost} spans did not fit into the queue");
    let mut kept = KeptTraces::new();
    for message in sink.messages() {
        let read = upstream::read_message(&message, &mut kept);
        read.map_err(|_| anyhow::anyhow!("what our collector sent cannot be read"))?;
    }
    Ok(kept)
}

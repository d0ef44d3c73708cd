//! The account as Prometheus text (exposition format 0.0.4): what `/metrics` answers and what is logged at exit.
//!
//! Written here and not with a metrics library because the account is one snapshot: a library's registry is read
//! figure by figure while the owners go on counting, and sums over such readings do not hold.
//! Names follow upstream's where the meaning is the same (`otelcol_*`, without `_total`, as its default reader has
//! them), `tracepipe_*` for the rest, where counters end as Prometheus wants them to: in `_total`.

mod exporters;
mod metrics;
mod sampling;

use std::fmt::Write;

use crate::account::{Account, ExporterAccount, Requests, Transport, TransportAccount};
pub(crate) use exporters::exporters_json;

/// Figures of the process, read when they are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessFigures {
    /// Seconds since the start.
    pub uptime_seconds: f64,
    /// CPU time in seconds, user and system.
    pub cpu_seconds: f64,
    /// Resident size.
    pub resident_bytes: u64,
    /// The memory limiter's account.
    pub accounted_bytes: u64,
}

/// Everything that `/metrics` answers.
pub fn metrics_text(account: &Account, process: &ProcessFigures) -> String {
    let mut text = Exposition::default();
    account_into(&mut text, account);
    upstream_into(&mut text, account);
    process_into(&mut text, process);
    text.out
}

/// The account alone: what is logged at exit.
pub fn account_text(account: &Account) -> String {
    let mut text = Exposition::default();
    account_into(&mut text, account);
    text.out
}

fn account_into(text: &mut Exposition, account: &Account) {
    let ingest = &account.ingest;
    requests_into(text, "tracepipe", [&ingest.grpc, &ingest.http]);
    text.family(
        "tracepipe_spans_accepted_total",
        "counter",
        "Spans in accepted requests.",
    );
    text.sample("tracepipe_spans_accepted_total", &[], ingest.accepted);
    text.family(
        "tracepipe_spans_rejected_total",
        "counter",
        "Invalid spans of accepted requests, told to the sender.",
    );
    for (defect, count) in &ingest.rejected {
        text.sample(
            "tracepipe_spans_rejected_total",
            &[("reason", defect.reason())],
            *count,
        );
    }
    text.family(
        "tracepipe_spans_filtered_total",
        "counter",
        "Spans that a filter took out.",
    );
    text.sample("tracepipe_spans_filtered_total", &[], ingest.filtered);
    text.family(
        "tracepipe_spans_dropped_total",
        "counter",
        "Spans dropped by a sampling decision.",
    );
    text.sample(
        "tracepipe_spans_dropped_total",
        &[("reason", "policy")],
        ingest.dropped_by_policy,
    );
    text.sample(
        "tracepipe_spans_dropped_total",
        &[("reason", "late")],
        ingest.dropped_late,
    );
    text.family(
        "tracepipe_spans_lost_total",
        "counter",
        "Spans lost between a decision and the exporters.",
    );
    for (reason, count) in &ingest.lost {
        text.sample("tracepipe_spans_lost_total", &[("reason", reason)], *count);
    }
    text.family(
        "tracepipe_spans_buffered",
        "gauge",
        "Spans that wait for their decision or for room to leave.",
    );
    text.sample("tracepipe_spans_buffered", &[], ingest.buffered);
    text.family(
        "tracepipe_spans_kept_total",
        "counter",
        "Spans handed to the exporters, by the policy that kept them.",
    );
    for (policy, count) in account.sampling.policies.iter().zip(&ingest.kept) {
        text.sample("tracepipe_spans_kept_total", &[("policy", policy)], *count);
    }
    exporters_into(text, account);
    if let Some(metrics) = &account.metrics {
        metrics::into(text, metrics);
    }
}

/// The requests of both transports, in the order of [`Transport::ALL`].
fn requests_into(text: &mut Exposition, prefix: &str, transports: [&TransportAccount; 2]) {
    for (unit, figure) in [
        ("requests", (|r| r.count) as fn(&Requests) -> u64),
        ("request_bytes", |r| r.bytes),
    ] {
        let prefix = format!("{prefix}_{unit}");
        requests_of(text, &prefix, [transports[0], transports[1]], figure);
    }
}

fn requests_of(
    text: &mut Exposition,
    prefix: &str,
    transports: [&TransportAccount; 2],
    figure: fn(&Requests) -> u64,
) {
    let [grpc, http] = transports;
    let transports = [(Transport::Grpc, grpc), (Transport::Http, http)];
    let name = format!("{prefix}_received_total");
    text.family(
        &name,
        "counter",
        "Requests read to their end or turned away, or the bytes of their bodies.",
    );
    for (transport, requests) in transports {
        text.sample(
            &name,
            &[("transport", transport.label())],
            figure(&requests.received),
        );
    }
    let name = format!("{prefix}_refused_total");
    text.family(
        &name,
        "counter",
        "Requests refused, by reason, or the bytes of their bodies.",
    );
    for (transport, requests) in transports {
        for (reason, refused) in &requests.refused {
            text.sample(
                &name,
                &[("transport", transport.label()), ("reason", reason)],
                figure(refused),
            );
        }
    }
    let name = format!("{prefix}_malformed_total");
    text.family(
        &name,
        "counter",
        "Requests that were not valid, by reason, or the bytes of their bodies.",
    );
    for (transport, requests) in transports {
        for (reason, malformed) in &requests.malformed {
            text.sample(
                &name,
                &[("transport", transport.label()), ("reason", reason)],
                figure(malformed),
            );
        }
    }
    let name = format!("{prefix}_accepted_total");
    text.family(
        &name,
        "counter",
        "Requests answered with success, or the bytes of their bodies.",
    );
    for (transport, requests) in transports {
        text.sample(
            &name,
            &[("transport", transport.label())],
            figure(&requests.accepted),
        );
    }
}

/// The exporters of both pipelines, each with its labels. Two of them may have one name.
fn all_exporters(account: &Account) -> impl Iterator<Item = (Vec<(&'static str, &str)>, &ExporterAccount)> {
    let of_spans = account
        .exporters
        .iter()
        .map(|exporter| (vec![("exporter", &*exporter.id)], exporter));
    let of_metrics = account.metrics.iter().flat_map(|metrics| &metrics.exporters);
    of_spans.chain(of_metrics.map(|exporter| {
        let id = ("exporter", &*exporter.points.id);
        (vec![id, metrics::DATA_TYPE], &exporter.points)
    }))
}

fn exporters_into(text: &mut Exposition, account: &Account) {
    let exporters = &account.exporters[..];
    text.family(
        "tracepipe_exporter_spans_exported_total",
        "counter",
        "Kept spans that the backend took.",
    );
    for exporter in exporters {
        text.sample(
            "tracepipe_exporter_spans_exported_total",
            &[("exporter", &exporter.id)],
            exporter.exported,
        );
    }
    text.family(
        "tracepipe_exporter_spans_lost_total",
        "counter",
        "Kept spans given up by an exporter, by reason.",
    );
    for exporter in exporters {
        for (reason, lost) in &exporter.lost {
            let labels = [("exporter", exporter.id.as_str()), ("reason", reason)];
            text.sample("tracepipe_exporter_spans_lost_total", &labels, *lost);
        }
    }
    text.family(
        "tracepipe_exporter_spans_waiting",
        "gauge",
        "Kept spans in the batch or in the exporter's queue.",
    );
    for exporter in exporters {
        text.sample(
            "tracepipe_exporter_spans_waiting",
            &[("exporter", &exporter.id)],
            exporter.waiting,
        );
    }
    text.family(
        "tracepipe_exporter_spans_in_flight",
        "gauge",
        "Kept spans in a request without an answer.",
    );
    for exporter in exporters {
        text.sample(
            "tracepipe_exporter_spans_in_flight",
            &[("exporter", &exporter.id)],
            exporter.in_flight,
        );
    }
    text.family(
        "tracepipe_exporter_requests_total",
        "counter",
        "Requests to the backend, repeated ones included.",
    );
    for (labels, exporter) in all_exporters(account) {
        text.sample("tracepipe_exporter_requests_total", &labels, exporter.requests);
    }
    text.family(
        "tracepipe_exporter_requests_failed_total",
        "counter",
        "Requests to the backend that failed, by reason.",
    );
    for (labels, exporter) in all_exporters(account) {
        for (reason, failed) in &exporter.failed_requests {
            let labels = [&labels[..], &[("reason", reason)]].concat();
            text.sample("tracepipe_exporter_requests_failed_total", &labels, *failed);
        }
    }
    text.family(
        "tracepipe_exporter_documents_lost_total",
        "counter",
        "X-Ray documents given up, by reason. A span can have two: a service and its call.",
    );
    for exporter in exporters {
        for (reason, lost) in &exporter.lost_documents {
            let labels = [("exporter", exporter.id.as_str()), ("reason", reason)];
            text.sample("tracepipe_exporter_documents_lost_total", &labels, *lost);
        }
    }
    text.family(
        "tracepipe_exporter_backend_errors_total",
        "counter",
        "What the backend said of requests and of parts of them (documents of X-Ray), in its own words.",
    );
    for (labels, exporter) in all_exporters(account) {
        for (of, code, count) in exporter.backend_errors.iter() {
            let labels = [&labels[..], &[("of", of), ("code", code)]].concat();
            text.sample("tracepipe_exporter_backend_errors_total", &labels, count);
        }
    }
    text.family(
        "tracepipe_exporter_failing_since_seconds",
        "gauge",
        "While the backend takes nothing: since when, in seconds of the Unix epoch, and why. No sample while it takes requests.",
    );
    for (labels, exporter) in all_exporters(account) {
        if let Some(failing) = &exporter.failing {
            let why = [("reason", failing.reason), ("code", failing.code.as_str())];
            let labels = [&labels[..], &why].concat();
            text.sample(
                "tracepipe_exporter_failing_since_seconds",
                &labels,
                failing.since.as_secs(),
            );
        }
    }
    for (name, help, figure) in [
        (
            "tracepipe_exporter_documents_shrunk_total",
            "X-Ray documents that miss something because they were too large with it.",
            (|exporter| exporter.shrunk_documents) as fn(&ExporterAccount) -> u64,
        ),
        (
            "tracepipe_exporter_annotations_spilled_total",
            "Attributes that were to be annotations of an X-Ray document and are its metadata.",
            |exporter| exporter.annotations_spilled,
        ),
        (
            "tracepipe_exporter_links_dropped_total",
            "Span links that an X-Ray document has no room for.",
            |exporter| exporter.links_dropped,
        ),
        (
            "tracepipe_exporter_events_dropped_total",
            "Span events that an X-Ray document has no room for.",
            |exporter| exporter.events_dropped,
        ),
        (
            "tracepipe_exporter_resource_attributes_dropped_total",
            "Attributes of resources that an X-Ray document has no room for.",
            |exporter| exporter.resource_attributes_dropped,
        ),
    ] {
        text.family(name, "counter", help);
        for exporter in exporters {
            text.sample(name, &[("exporter", &exporter.id)], figure(exporter));
        }
    }
    text.family(
        "tracepipe_exporter_queue_bytes",
        "gauge",
        "Bytes of the batches in the exporter's queue.",
    );
    for (labels, exporter) in all_exporters(account) {
        text.sample("tracepipe_exporter_queue_bytes", &labels, exporter.queue_bytes);
    }
}

/// The figures that dashboards made for the OpenTelemetry Collector look for.
fn upstream_into(text: &mut Exposition, account: &Account) {
    sampling::into(text, &account.sampling);
    text.family(
        "otelcol_exporter_sent_spans",
        "counter",
        "Kept spans that the backend took.",
    );
    for exporter in &account.exporters {
        text.sample(
            "otelcol_exporter_sent_spans",
            &[("exporter", &exporter.id)],
            exporter.exported,
        );
    }
    text.family(
        "otelcol_exporter_send_failed_spans",
        "counter",
        "Kept spans given up by an exporter.",
    );
    for exporter in &account.exporters {
        let lost: u64 = exporter.lost.values().sum();
        text.sample(
            "otelcol_exporter_send_failed_spans",
            &[("exporter", &exporter.id)],
            lost,
        );
    }
    text.family(
        "otelcol_exporter_queue_size",
        "gauge",
        "Batches in the exporter's queue.",
    );
    for (labels, exporter) in all_exporters(account) {
        text.sample("otelcol_exporter_queue_size", &labels, exporter.queue_batches);
    }
    if let Some(metrics) = &account.metrics {
        metrics::upstream_into(text, metrics);
    }
}

fn process_into(text: &mut Exposition, process: &ProcessFigures) {
    text.family("otelcol_process_uptime", "counter", "Seconds since the start.");
    text.sample("otelcol_process_uptime", &[], process.uptime_seconds);
    text.family(
        "otelcol_process_cpu_seconds",
        "counter",
        "CPU time, user and system, in seconds.",
    );
    text.sample("otelcol_process_cpu_seconds", &[], process.cpu_seconds);
    text.family("otelcol_process_memory_rss", "gauge", "Resident size in bytes.");
    text.sample("otelcol_process_memory_rss", &[], process.resident_bytes);
    text.family(
        "tracepipe_memory_accounted_bytes",
        "gauge",
        "What the memory limiter's account comes to, in bytes.",
    );
    text.sample("tracepipe_memory_accounted_bytes", &[], process.accounted_bytes);
}

#[derive(Default)]
struct Exposition {
    out: String,
}

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}").unwrap_or_default();
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.out.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.out.push(if index == 0 { '{' } else { ',' });
            write!(self.out, "{label}=\"").unwrap_or_default();
            for c in text.chars() {
                match c {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    c => self.out.push(c),
                }
            }
            self.out.push('"');
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        writeln!(self.out, " {value}").unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        let mut text = Exposition::default();
        text.sample("m", &[("policy", "a\"b\\c\nd"), ("x", "y")], 1);
        assert_eq!(text.out, "m{policy=\"a\\\"b\\\\c\\nd\",x=\"y\"} 1\n");
    }

    #[test]
    fn every_family_is_announced_once_before_its_samples() {
        let account = Account {
            exporters: vec![ExporterAccount {
                id: "awsxray".into(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let text = metrics_text(&account, &ProcessFigures::default());
        let mut seen = std::collections::BTreeSet::new();
        for line in text.lines() {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                let name = family.split(' ').next().unwrap_or_default();
                assert!(seen.insert(name.to_owned()), "{name} twice");
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap_or_default();
                assert!(seen.contains(name), "{name} without a type");
            }
        }
    }
}

//! What became of metrics. Names and their order are those of spans, with `metric_points` for them; nothing of it is there
//! without a pipeline for metrics.

use super::{Exposition, requests_into};
use crate::account::{ExporterAccount, MetricsAccount};

/// Tells an exporter of metrics from one of spans with the same name; upstream's label and word.
pub(super) const DATA_TYPE: (&str, &str) = ("data_type", "metrics");

pub(super) fn into(text: &mut Exposition, account: &MetricsAccount) {
    requests_into(
        text,
        "tracepipe_metric",
        [&account.ingest.grpc, &account.ingest.http],
    );
    const ACCEPTED: &str = "tracepipe_metric_points_accepted";
    text.family(ACCEPTED, "counter", "Data points in accepted requests.");
    text.sample(ACCEPTED, &[], account.ingest.accepted);
    const LOST: &str = "tracepipe_metric_points_lost";
    text.family(LOST, "counter", "Data points that no exporter got, by reason.");
    for (reason, count) in &account.lost {
        text.sample(LOST, &[("reason", reason)], *count);
    }
    const WAITING: &str = "tracepipe_metric_points_waiting";
    text.family(WAITING, "gauge", "Data points in the batch that is being filled.");
    text.sample(WAITING, &[], account.waiting);
    const HANDED_ON: &str = "tracepipe_metric_points_handed_on";
    text.family(HANDED_ON, "counter", "Data points handed to every exporter.");
    text.sample(HANDED_ON, &[], account.handed_on);
    exporters_into(text, account);
}

fn exporters_into(text: &mut Exposition, account: &MetricsAccount) {
    for (name, kind, help, figure) in [
        (
            "exported",
            "counter",
            "Data points that the backend took or, where they are translated, those that were.",
            (|exporter| exporter.exported) as fn(&ExporterAccount) -> u64,
        ),
        (
            "waiting",
            "gauge",
            "Data points in the batch or in the exporter's queue.",
            |exporter| exporter.waiting,
        ),
        (
            "in_flight",
            "gauge",
            "Data points in a request without an answer.",
            |exporter| exporter.in_flight,
        ),
    ] {
        let name = format!("tracepipe_exporter_metric_points_{name}");
        text.family(&name, kind, help);
        for exporter in &account.exporters {
            let points = &exporter.points;
            text.sample(&name, &[("exporter", &points.id)], figure(points));
        }
    }
    const DROPPED: &str = "tracepipe_exporter_metric_points_dropped";
    text.family(
        DROPPED,
        "counter",
        "Data points that the exporter makes nothing of, by reason.",
    );
    for exporter in &account.exporters {
        for (reason, dropped) in &exporter.dropped {
            let labels = [("exporter", &*exporter.points.id), ("reason", reason)];
            text.sample(DROPPED, &labels, *dropped);
        }
    }
    const LOST: &str = "tracepipe_exporter_metric_points_lost";
    text.family(LOST, "counter", "Data points given up by an exporter, by reason.");
    for exporter in &account.exporters {
        for (reason, lost) in &exporter.points.lost {
            let labels = [("exporter", &*exporter.points.id), ("reason", reason)];
            text.sample(LOST, &labels, *lost);
        }
    }
}

/// The figures that dashboards made for the OpenTelemetry Collector look for.
pub(super) fn upstream_into(text: &mut Exposition, account: &MetricsAccount) {
    const SENT: &str = "otelcol_exporter_sent_metric_points";
    text.family(SENT, "counter", "Data points that the backend took.");
    for exporter in &account.exporters {
        let points = &exporter.points;
        text.sample(SENT, &[("exporter", &points.id)], points.exported);
    }
    const FAILED: &str = "otelcol_exporter_send_failed_metric_points";
    text.family(FAILED, "counter", "Data points given up by an exporter.");
    for exporter in &account.exporters {
        let lost: u64 = exporter.points.lost.values().sum();
        text.sample(FAILED, &[("exporter", &exporter.points.id)], lost);
    }
}
